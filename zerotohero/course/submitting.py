"""`submit`: what was answered is tried as the grader will try it, and written to one small file.

    submit()                         # in a notebook: from what was run in this kernel
    zerotohero submit --name Ada     # at the command line: from all of exercises/*.ipynb

A file holds source alone. Whether the source is all that the answers need shows when it runs in a
fresh process, without the notebook's other cells: so it does before it is handed in, and what
`check` has accepted in the notebook must be accepted there too.
"""

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from zerotohero.course import cells, checking, checks, marking, progress, submission
from zerotohero.course.checking import Outcome
from zerotohero.course.collecting import History
from zerotohero.course.exercise import Exercise
from zerotohero.course.submission import FILE_NAME, Submission, answered_in

cells.watch()


def submit(name: str = "", run: bool = True) -> None:
    """Write what you have answered in this kernel to `zerotohero-submission.json`.

    name: yours, if your teacher asks for it in the file.
    run: try the answers first, in a process of their own, as the grader will; False writes at
        once what was collected. Interrupting it does the same for what has not been tried yet.
    """
    if cells.shell() is None:
        print("submit() works in a notebook; at the command line use: zerotohero submit")
        return
    sources, stopped = cells.ran()
    history = History(sources, stopped)
    exercises = _checked_in(sources)
    mine = submission.from_history(history, name, exercises)
    # What `check` has accepted was answered, though its source may be in no cell's text.
    for exercise in exercises:
        if exercise.handed_in and checking.accepted.get(exercise.number):
            mine.exercises.setdefault(exercise.number, history.everything())
    try:
        hand_in(mine, Path(FILE_NAME), run, checking.accepted, history.everything())
    except ValueError:
        print("Nothing to submit yet: run the cells of the exercises that you have answered.")
    except OSError as error:
        print(f"Could not write {FILE_NAME}: {error.strerror}. Change to a folder that you may")
        print("write to, with %cd.")


def hand_in(
    mine: Submission,
    path: Path,
    run: bool = True,
    accepted: Mapping[str, int] | None = None,
    everything: str = "",
) -> None:
    """Try a submission as the grader will, write it, and print what came of both.

    accepted: the points that `check` gave in the notebook, by the exercise's number.
    everything: what is handed in for an exercise that has lost points, if that brings them back.

    Raises ValueError if it holds no answers, OSError if the file can't be written.
    """
    answered = answered_in(mine)
    if not answered:
        raise ValueError("Nothing is answered yet; save your notebooks, then submit.")
    path = path.resolve()
    if not os.access(path.parent, os.W_OK) and path.parent.exists():
        raise PermissionError(13, "Permission denied", str(path))
    if run:
        _try(mine, [checks.find(number) for number in answered], accepted or {}, everything)
    mine.write(path)
    print(f"Wrote {path}\nwith your answers to {', '.join(answered)}. Hand in this one file.")


def _try(
    mine: Submission, exercises: Sequence[Exercise], accepted: Mapping[str, int], everything: str
) -> None:
    """Mark the exercises and print a line for each; `mine` gets `everything` where it is better."""
    train = sum(exercise.takes or 0 for exercise in exercises)
    print("Your answers are run as the grader will run them, without the notebook:")
    if train:
        which = ", ".join(exercise.number for exercise in exercises if exercise.takes)
        verb = "train" if "," in which else "trains"
        print(f"{which} {verb}, for about {train:.0f} s; interrupt to hand in without a trial.")
    start, lost, tried = time.perf_counter(), [], 0
    marked = marking.mark(mine, exercises, sandboxed=False)
    try:
        for exercise in exercises:
            _, outcomes = next(marked)
            expected = accepted.get(exercise.number)
            if expected is not None and _points(outcomes) < expected and everything:
                whole = Submission("", {exercise.number: everything})
                ((_, again),) = marking.mark(whole, [exercise], sandboxed=False)
                if _points(again) > _points(outcomes):
                    mine.exercises[exercise.number], outcomes = everything, again
            print(progress.line(exercise, outcomes), flush=True)
            tried += 1
            for text in _why(exercise, outcomes, mine.exercises[exercise.number], expected):
                print(f"        {text}", flush=True)
            if expected is not None and _points(outcomes) < expected:
                lost.append(exercise.number)
        print(f"That took {time.perf_counter() - start:.0f} s.")
    except KeyboardInterrupt:
        print(f"Interrupted; not tried: {', '.join(e.number for e in exercises[tried:])}.")
    except OSError as error:  # where no process can be started
        print(f"They can't be tried here ({error}), so the file is written without a trial.")
    finally:
        marked.close()
    if lost:
        verb = "gives" if len(lost) == 1 else "give"
        print(
            f"{' and '.join(lost)} no longer {verb} the points that check gave. The grader has none"
            " of your files or other notebooks: define all that the answer needs in cells of this"
            " one, restart the kernel, run all cells, and submit again."
        )


def _why(
    exercise: Exercise, outcomes: Sequence[Outcome], source: str, expected: int | None
) -> list[str]:
    """Return why an exercise has not got all its points, a line a reason."""
    said: dict[str, None] = {}  # ordered, each once
    if expected is not None and _points(outcomes) < expected:
        said[f"check gave {expected} in this notebook"] = None
    missing = submission.unwritten(source, exercise.answers)
    if missing and _points(outcomes) < exercise.points:
        said[f"still to be written: {', '.join(missing)}"] = None
    for outcome in outcomes:
        if outcome.status in ("wrong", "crashed"):
            where = f" ({outcome.where})" if outcome.where else ""
            said[f"{outcome.message}{where}"] = None
    return list(said)[:4]


def _points(outcomes: Sequence[Outcome]) -> int:
    return sum(outcome.points for outcome in outcomes)


def _checked_in(sources: Sequence[str]) -> list[Exercise]:
    """Return the exercises of the lectures that a check was called for; of all, if none was."""
    lectures = set(re.findall(r"""\bcheck\(\s*["']?(\d+)\.\d+""", "\n".join(sources)))
    everything = checks.all_exercises()
    return [e for e in everything if e.number.split(".")[0] in lectures] or everything
