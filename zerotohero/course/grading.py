"""Mark a folder of strangers' submissions: a `results.json` each, and `grades.csv` for the class.

    grades = grade(Path("submissions"), Path("grades"))

Each submission is marked (`marking.py`) in a process of its own, so that a file or a reply that
breaks the verdict breaks no one else's. The results are in Gradescope's format.
"""

import csv
import io
import json
import multiprocessing
import os
import re
import secrets
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from zerotohero.course import checks
from zerotohero.course.checking import Outcome
from zerotohero.course.exercise import Exercise
from zerotohero.course.files import write_whole
from zerotohero.course.marking import Asked, Marked, marked, patience
from zerotohero.course.sandbox import Unavailable, available, nurseries
from zerotohero.course.submission import NotASubmission, read

_START = "fork" if sys.platform == "linux" else "spawn"


@dataclass
class Graded:
    """One file of the folder, graded."""

    path: Path
    id: str  # the name of its folder in the results: from the file's name, as names are claims
    name: str = ""  # as written in the submission
    marked: dict[str, Marked] = field(default_factory=dict)  # by the exercise's number
    note: str = ""  # why the file could not be marked
    seconds: float = 0.0

    @property
    def score(self) -> int:
        return sum(marked.score for marked in self.marked.values())


@dataclass(frozen=True)
class Grades:
    """A folder, graded."""

    exercises: list[Exercise]
    seed: int  # of the inputs, with which the run can be repeated
    submissions: list[Graded]

    @property
    def points(self) -> int:
        return sum(exercise.points for exercise in self.exercises)


def grade(
    folder: Path,
    out: Path,
    exercises: Sequence[str] | None = None,
    *,
    seed: int | None = None,
    sandbox: bool = True,
    jobs: int | None = None,
) -> Grades:
    """Mark every file of a folder; write `out/<id>/results.json` for each, and `out/grades.csv`.

    exercises: numbers such as "1.1" that count; all that are handed in if None.
    seed: of the inputs; drawn if None. It is printed, and stands in every results.json.
    sandbox: False runs strangers' code with your rights.
    jobs: submissions marked at the same time; as many as there are cores if None.

    Raises ValueError for an exercise that is unknown or isn't handed in, or a folder with nothing
    in it, sandbox.Unavailable where the sandbox cannot run.
    """
    from tqdm.auto import tqdm

    folder, out = Path(folder), Path(out)
    chosen = [checks.find(n) for n in exercises] if exercises else checks.handed_in()
    for exercise in chosen:
        if not exercise.handed_in:
            raise ValueError(
                f"{exercise.number} cannot be graded: its answer is a trained model, which only "
                "the notebook's own check can take. Leave it out of --only."
            )
    todo = _listed(folder, out)
    if sandbox and (why_not := available()):
        raise Unavailable(why_not)
    seed = secrets.randbelow(10**15) if seed is None else seed
    asked = [Asked(e, seed) for e in chosen]
    grades = Grades(chosen, seed, todo)
    print(f"Grading {len(todo)} files with seed {seed}.")
    jobs = min(jobs or _cores(), len(todo))
    with nurseries(jobs if sandbox else 0), tqdm(total=len(todo), unit="file") as bar:
        for graded in _all_graded(todo, asked, sandbox, jobs):
            _write_results(out, graded, grades)
            bar.update()
    # What was killed may have been so because another submission took all memory: it is marked
    # once more, alone.
    for graded in todo:
        again = [a for a in asked if _disturbed(graded, a)]
        if again:
            list(_all_graded([graded], again, sandbox, 1))
            _write_results(out, graded, grades)
    _write(out / "grades.csv", _table(grades))
    print(f"The marks are in {out / 'grades.csv'}, the details in {out}/*/results.json.")
    return grades


def _listed(folder: Path, out: Path) -> list[Graded]:
    """The files of a folder, each with an id; what is not a file has a note that says so."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; name the one that holds the submissions.")
    listed, taken = [], {"grades.csv"}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.resolve() == out.resolve():
            continue
        plain = unicodedata.normalize("NFKD", path.name.removesuffix(".json"))
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-")[:80] or "submission"
        unique, n = plain, 1
        while unique.casefold() in taken:
            unique, n = f"{plain}-{n + 1}", n + 1
        taken.add(unique.casefold())
        listed.append(Graded(path, unique))
        if path.is_symlink() or not path.is_file():
            listed[-1].note = "This is not a file but a link, a folder or something else."
    if not listed:
        raise ValueError(f"There is nothing to grade in {folder}.")
    return listed


def _disturbed(graded: Graded, asked: Asked) -> bool:
    marked = graded.marked.get(asked.exercise.number)
    return marked is not None and marked.disturbed


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
                if graded.note:  # not a file
                    _fill(graded, asked)
                    yield graded
                    continue
                slot = free.pop(0)
                here, there = context.Pipe(duplex=False)
                arguments = (there, graded.path, asked, sandboxed, slot)
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
    pipe: Connection, path: Path, asked: Sequence[Asked], sandboxed: bool, slot: int
) -> None:
    """In a process of its own: mark one file, and send what comes out, exercise by exercise."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # for the verdicts: the other cores are taken
    try:
        submission = read(path)
        pipe.send(("name", submission.name))
        for done in marked(submission, asked, sandboxed, slot):
            plain = [(o.status, o.message, o.where, o.hint) for o in done.outcomes]
            pipe.send(("marked", (done.number, plain, done.disturbed)))
    except NotASubmission as error:
        pipe.send(("note", str(error)))
    except OSError as error:
        pipe.send(("note", f"The file cannot be read or marked: {error.strerror}."))
    except KeyboardInterrupt:
        pass
    finally:
        pipe.close()


def _take(graded: Graded, what: str, value: Any, asked: Sequence[Asked]) -> None:
    if what == "marked":
        number, plain, disturbed = value
        cases = next(a.exercise.cases for a in asked if a.exercise.number == number)
        outcomes = [Outcome(c, *o) for c, o in zip(cases, plain, strict=True)]
        graded.marked[number] = Marked(number, outcomes, disturbed)
    else:
        setattr(graded, what, value)


def _fill(graded: Graded, asked: Sequence[Asked]) -> None:
    """Give an outcome to the exercises that have none: the file or its marking failed."""
    for exercise in (a.exercise for a in asked):
        if exercise.number not in graded.marked:
            why = graded.note or "the grader failed on this submission"
            outcomes = [Outcome(case, "crashed", why) for case in exercise.cases]
            graded.marked[exercise.number] = Marked(exercise.number, outcomes, not graded.note)


# --- results ------------------------------------------------------------------------------------


def _write_results(out: Path, graded: Graded, grades: Grades) -> None:
    """Write one submission's results as Gradescope reads them."""
    tests = []
    for exercise in grades.exercises:
        for outcome in graded.marked[exercise.number].outcomes:
            tests.append(
                {
                    "number": exercise.number,
                    "name": f"{exercise.number} {exercise.title}: {outcome.case.name}",
                    "score": outcome.points,
                    "max_score": outcome.case.points,
                    "status": "passed" if outcome.status == "passed" else "failed",
                    "output": _explained(outcome),
                }
            )
    results = {
        "score": graded.score,
        "output": _clean(graded.note or f"{graded.score} of {grades.points} points."),
        "execution_time": round(graded.seconds, 1),
        "tests": tests,
        "extra_data": {"name": _clean(graded.name), "max_score": grades.points},
    }
    results["extra_data"]["seed"] = grades.seed
    folder = out / graded.id
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "results.json", json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def _explained(outcome: Outcome) -> str:
    lines = [outcome.message]
    lines += [f"where: {outcome.where}"] if outcome.where else []
    lines += [f"hint: {outcome.hint}"] if outcome.hint else []
    return "\n".join(_clean(line) for line in lines)


def _table(grades: Grades) -> str:
    """The class as CSV: a row a submission, a column an exercise."""
    numbers = [exercise.number for exercise in grades.exercises]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["id", "name", "score", "max_score", *numbers, "note"])
    for graded in grades.submissions:
        scores = [graded.marked[number].score for number in numbers]
        row = [_cell(graded.id), _cell(graded.name), graded.score, grades.points]
        table.writerow([*row, *scores, _cell(graded.note)])
    return text.getvalue()


def _clean(text: str) -> str:
    """Text of a stranger without what a terminal, a page or an encoding would trip over."""
    return "".join(c if c.isprintable() else " " for c in text[:1000])


def _cell(text: str) -> str:
    """A cell of text that no spreadsheet takes for a formula."""
    text = _clean(text).strip()
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _write(path: Path, text: str) -> None:
    # Excel takes a file for UTF-8 by its mark.
    write_whole(path, text.encode("utf-8-sig" if path.suffix == ".csv" else "utf-8"))
