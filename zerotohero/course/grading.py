"""Mark a folder of strangers' submissions: a `results.json` each, and `grades.csv` for the class.

    grades = grade(Path("submissions"), Path("grades"))

Who is in the folder is found by `handed_in.py`, what is written is in `marks.py`. Each submission
is marked (`marking.py`) in a process of its own, so that a file or a reply that breaks the verdict
breaks no one else's.
"""

import multiprocessing
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from zerotohero import __version__
from zerotohero.course import checks, handed_in, marks
from zerotohero.course.checking import Outcome
from zerotohero.course.exercise import Exercise
from zerotohero.course.marking import MAX_SOURCE, Asked, Marked, libraries, marked, patience
from zerotohero.course.marks import Earlier, Graded, Grades
from zerotohero.course.nursery import Unavailable, nurseries
from zerotohero.course.sandbox import available
from zerotohero.course.submission import NotASubmission, Submission, read
from zerotohero.course.to_look_at import words

_START = "fork" if sys.platform == "linux" else "spawn"


def grade(
    folder: Path,
    out: Path,
    exercises: Sequence[str] | None = None,
    *,
    seed: int | None = None,
    resume: bool = False,
    sandbox: bool = True,
    jobs: int | None = None,
) -> Grades:
    """Mark everything in a folder; write `out/<id>/results.json` for each, and `out/grades.csv`.

    exercises: numbers such as "1.1" that count; all that are handed in if None.
    seed: of the inputs; drawn if None. It is printed, and stands in every results.json.
    resume: go on with the marks in `out`, by their seed and exercises: only what is new or has
        changed since is marked.
    sandbox: False runs strangers' code with your rights.
    jobs: submissions marked at the same time; as many as there are cores if None.

    Raises ValueError for an exercise that is unknown or isn't handed in, a folder in which nothing
    is a submission, and an `out` whose marks would be lost or that can't be written;
    nursery.Unavailable where the sandbox cannot run. All of these before anything is marked.
    """
    folder, out = Path(folder), Path(out)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; name the one that holds the submissions.")
    chosen = None if exercises is None else _chosen(exercises)
    earlier = marks.earlier(out)
    if earlier and not resume:
        raise ValueError(
            f"{out} holds the marks of {len(earlier.results)} already; use --resume to go on"
            " with them, or name another folder with --out."
        )
    if resume and not earlier:
        print(f"There are no marks in {out} yet to go on with; grading begins with the first.")
    if earlier:
        chosen, seed = _as_before(earlier, out, chosen, seed)
    chosen = checks.handed_in() if chosen is None else chosen
    seed = secrets.randbelow(10**15) if seed is None else seed
    everyone, passed_over = handed_in.listed(folder, out, earlier.ids() if earlier else None)
    if not any(graded.path for graded in everyone):
        raise ValueError(_nothing(folder, everyone, passed_over))
    if sandbox and (why_not := available()):
        raise Unavailable(why_not)
    grades = Grades(chosen, seed, everyone)
    for graded in everyone if earlier else ():
        earlier.restore(graded, chosen)
    _try(out, grades, earlier)
    if passed_over:
        print(f"Passed over, as marks of an earlier run: {', '.join(passed_over)}.")
    if earlier and (gone := sorted(earlier.results.keys() - {g.id for g in everyone})):
        print(
            f"No longer in {folder}, so not in {marks.TABLE}: {', '.join(gone)}. What they were "
            f"given is still in {out}, in a folder of that name."
        )
    _mark(grades, out, [Asked(e, seed) for e in chosen], sandbox, jobs or _cores())
    print(f"The marks are in {out / marks.TABLE}, the details in {out}/*/{marks.RESULTS}.")
    return grades


def _chosen(numbers: Sequence[str]) -> list[Exercise]:
    """Return the exercises of these numbers, each once."""
    chosen = {exercise.number: exercise for exercise in map(checks.find, numbers)}
    if not chosen:
        raise ValueError("No exercise is named; say --only 1.1,1.2, or leave it out for all.")
    for exercise in chosen.values():
        if not exercise.handed_in:
            raise ValueError(
                f"{exercise.number} cannot be graded: its answer is a trained model, which only "
                "the notebook's own check can take. Leave it out of --only."
            )
    return list(chosen.values())


def _as_before(
    earlier: Earlier, out: Path, chosen: list[Exercise] | None, seed: int | None
) -> tuple[list[Exercise], int]:
    """Return exercises and seed of the marks in `out`. ValueError if others are asked for."""
    numbers = ",".join(earlier.numbers)
    if chosen is not None and {e.number for e in chosen} != set(earlier.numbers):
        raise ValueError(
            f"The marks in {out} are for {numbers}, and grading can only go on with these; leave "
            "out --only, or name another folder with --out."
        )
    if seed not in (None, earlier.seed):
        raise ValueError(
            f"The marks in {out} were made with seed {earlier.seed}, and grading can only go on "
            "with it; leave out --seed, or name another folder with --out."
        )
    return _chosen(earlier.numbers), earlier.seed


def _nothing(folder: Path, everyone: Sequence[Graded], passed_over: Sequence[str]) -> str:
    """Say that there is no submission in a folder."""
    if not everyone:
        but = f" but marks of an earlier run: {', '.join(passed_over)}" if passed_over else ""
        return f"There is nothing to grade in {folder}{but}."
    first = everyone[0]
    return (
        f"None of the {len(everyone)} files and folders in {folder} is a submission, or holds one "
        f"directly in it. The first, {first.file}: {first.note}"
    )


def _try(out: Path, grades: Grades, earlier: Earlier | None) -> None:
    """Find out whether marks can be written, before anything is marked."""
    for graded in grades.submissions:
        mine = earlier is not None and graded.id in earlier.results
        if not mine and marks.is_in_the_way(out / graded.id):
            raise ValueError(
                f"{out / graded.id} is there already, where results must go; name another folder "
                "with --out."
            )
    try:
        marks.write_table(out, grades)
    except OSError as error:
        raise ValueError(
            f"The marks can't be written to {out}: {error.strerror}. Name another folder with "
            "--out."
        ) from None


def _mark(grades: Grades, out: Path, asked: Sequence[Asked], sandboxed: bool, jobs: int) -> None:
    """Mark everyone who has no marks yet, and write them one by one."""
    from tqdm.auto import tqdm

    todo = [graded for graded in grades.submissions if not graded.done]
    written = {graded.id for graded in grades.submissions if graded.done}
    before = f"; {len(written)} have their marks already" if written else ""
    print(f"Grading {len(todo)} files with seed {grades.seed}{before}.")

    def so_far() -> str:
        return (
            f"{len(written)} of {len(grades.submissions)} are marked, in {out / marks.TABLE}; to "
            "go on, run the same command with --resume."
        )

    def save(graded: Graded) -> None:
        try:
            marks.write(out, grades, graded)
        except OSError as error:
            raise ValueError(
                f"The marks of {graded.id} can't be written to {out}: {error.strerror}. {so_far()}"
            ) from None
        written.add(graded.id)

    try:
        jobs = min(jobs, len(todo))
        kept = nurseries(jobs if sandboxed else 0, libraries(asked))
        with kept, tqdm(total=len(todo), unit="file") as bar:
            for graded in _all_graded(todo, asked, sandboxed, jobs):
                save(graded)
                bar.update()
        # What was killed may have died because another submission took all the memory: it is
        # marked once more, alone.
        for graded in todo:
            again = [a for a in asked if graded.marked[a.exercise.number].disturbed]
            if again:
                list(_all_graded([graded], again, sandboxed, 1))
                save(graded)
    except KeyboardInterrupt:
        print(f"\nStopped. {so_far()}")
        raise
    except OSError as error:
        why = error.strerror or error
        raise ValueError(f"Grading can't go on: {why}. {so_far()}") from None


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _all_graded(
    todo: Sequence[Graded], asked: Sequence[Asked], sandboxed: bool, jobs: int
) -> Iterator[Graded]:
    """Fill in each of `todo`, in a process of its own, and yield it when it is done."""
    context = multiprocessing.get_context(_START)
    longest = patience(asked)
    waiting, free = list(todo), list(range(jobs))
    running: dict[Connection, tuple[Any, Graded, int, float]] = {}
    try:
        while waiting or running:
            while waiting and free:
                graded = waiting.pop(0)
                if graded.path is None:
                    _fill(graded, asked)
                    yield graded
                    continue
                slot = free.pop(0)
                here, there = context.Pipe(duplex=False)
                where = (graded.path, graded.folder)
                arguments = (there, *where, asked, sandboxed, slot)
                process = context.Process(target=_mark_file, args=arguments, daemon=True)
                process.start()
                there.close()
                running[here] = (process, graded, slot, time.monotonic())
            for pipe in wait(list(running), timeout=1):
                process, graded, slot, started = running[pipe]
                try:
                    what, value = pipe.recv()
                except (EOFError, OSError):  # it is done
                    process.join()
                    del running[pipe]
                    free.append(slot)
                    graded.seconds += time.monotonic() - started
                    _fill(graded, asked)
                    yield graded
                else:
                    _take(graded, what, value, asked)
            for process, _, _, started in running.values():
                if time.monotonic() - started > longest:
                    process.kill()
    finally:
        for process, *_ in running.values():
            process.kill()
            process.join()


def _mark_file(
    pipe: Connection, path: Path, folder: Path, asked: Sequence[Asked], sandboxed: bool, slot: int
) -> None:
    """Mark one file in a process of its own, and send what comes out, exercise by exercise."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # for the verdicts: the other cores are taken
    try:
        try:
            submission = read(path, folder)
        except (NotASubmission, OSError) as error:  # though it could be read before
            pipe.send(("lost", str(error)))
            return
        pipe.send(("name", submission.name))
        pipe.send(("digest", handed_in.digest(submission)))
        pipe.send(("to_look_at", _to_look_at(submission, asked)))
        pipe.send(("version", _of_another_version(submission)))
        for done in marked(submission, asked, sandboxed, slot):
            plain = [(o.status, o.message, o.where, o.hint) for o in done.outcomes]
            pipe.send(("marked", (done.number, plain, done.disturbed)))
    except OSError as error:  # of the machine, not of the answer: it is marked again
        print(f"{path.name} could not be marked: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        pass
    finally:
        pipe.close()


def _to_look_at(submission: Submission, asked: Sequence[Asked]) -> str:
    """Return what a teacher may want to look at: "1.3: threading, 2.5: jit torch.compile"."""
    found = []
    for exercise in (a.exercise for a in asked):
        source = submission.exercises.get(exercise.number, "")
        if len(source) <= MAX_SOURCE and (used := words(source, exercise.look_for)):
            found.append(f"{exercise.number}: {' '.join(used)}")
    return ", ".join(found)


def _of_another_version(submission: Submission) -> str:
    """Return what to say of a submission that another version of the course wrote, or ""."""
    if submission.course == __version__:
        return ""
    known = {exercise.number for exercise in checks.all_exercises()}
    gone = [ascii(number)[1:-1][:8] for number in submission.exercises if number not in known]
    made = submission.course if re.fullmatch(r"[\w.+]+", submission.course) else "an older version"
    left = f" Not in it: {', '.join(gone[:20])}." if gone else ""
    return f"Made with {made} of the course, marked with {__version__}.{left}"


def _take(graded: Graded, what: str, value: Any, asked: Sequence[Asked]) -> None:
    if what == "marked":
        number, plain, disturbed = value
        cases = next(a.exercise.cases for a in asked if a.exercise.number == number)
        outcomes = [Outcome(c, *o) for c, o in zip(cases, plain, strict=True)]
        graded.marked[number] = Marked(number, outcomes, disturbed)
    elif what == "lost":
        graded.path, graded.note = None, value
    else:
        setattr(graded, what, value)


def _fill(graded: Graded, asked: Sequence[Asked]) -> None:
    """Give an outcome to the exercises that have none: the file or its marking failed."""
    for exercise in (a.exercise for a in asked):
        if exercise.number not in graded.marked:
            failed = graded.path is not None
            why = "the grader failed on this submission" if failed else graded.note
            outcomes = [Outcome(case, "crashed", why) for case in exercise.cases]
            graded.marked[exercise.number] = Marked(exercise.number, outcomes, disturbed=failed)
    graded.complete = True
