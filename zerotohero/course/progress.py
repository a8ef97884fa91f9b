"""`zerotohero check`: where a learner stands, from the saved exercise notebooks.

Answers run in a process of their own, without a sandbox: they are the learner's.
"""

from collections.abc import Sequence
from pathlib import Path

from zerotohero.course import checks, marking, submission
from zerotohero.course.checking import Outcome, report
from zerotohero.course.exercise import Exercise


def show(folder: Path, numbers: Sequence[str]) -> None:
    """Print a line for each exercise, or the named ones in full, as `check` prints them.

    Raises ValueError for a number that is unknown or isn't handed in, or a file that is not a
    notebook, FileNotFoundError for a folder without exercise notebooks.
    """
    chosen = [checks.find(number) for number in numbers] or checks.handed_in()
    for exercise in chosen:
        if not exercise.handed_in:
            raise ValueError(
                f"{exercise.number} is checked only in its notebook, where your trained model is."
            )
    mine = submission.from_notebooks(folder, "")
    answered = submission.answered_in(mine)
    # What a stub would be asked can take seconds to make.
    marked = marking.mark(mine, [e for e in chosen if e.number in answered], sandboxed=False)
    points = done = 0
    for exercise in chosen:
        outcomes = [Outcome(case, "not yet") for case in exercise.cases]
        if exercise.number in answered:
            if exercise.takes:
                print(f"  {exercise.number} trains: about {exercise.takes:.0f} s", flush=True)
            _, outcomes = next(marked)
        print(report(exercise, outcomes) if numbers else line(exercise, outcomes), flush=True)
        points += sum(outcome.points for outcome in outcomes)
        done += all(outcome.status == "passed" for outcome in outcomes)
    if not numbers:
        total = sum(exercise.points for exercise in chosen)
        print(f"\n{done} of {len(chosen)} exercises done, {points} of {total} points.")
        print("What counts is what is saved. `zerotohero check 1.1` tells more about one.")
        elsewhere = [e.number for e in checks.all_exercises() if not e.handed_in]
        if elsewhere:
            print(f"Only the notebook can check your trained model: {', '.join(elsewhere)}.")


def line(exercise: Exercise, outcomes: Sequence[Outcome]) -> str:
    """Return how an exercise stands, in one line: done or not, its number and title, its points."""
    statuses = {outcome.status for outcome in outcomes}
    mark = {"passed": "✓", "not yet": "·"}.get(statuses.pop() if len(statuses) == 1 else "", "✗")
    points = sum(outcome.points for outcome in outcomes)
    return f"{mark} {exercise.number:<5}{exercise.title:<54}{points:>3}/{exercise.points}"
