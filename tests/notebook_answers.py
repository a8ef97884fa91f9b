"""What the course's notebooks define for an exercise, read as a submission is."""

from functools import cache
from pathlib import Path

from zerotohero.course import checks
from zerotohero.course.answering import define
from zerotohero.course.cells import code_cells
from zerotohero.course.collecting import History

ROOT = Path(__file__).parent.parent


@cache
def cells(folder: str, lecture: str) -> list[str]:
    return code_cells(ROOT / folder / f"{checks.file_name(lecture)}.ipynb")


@cache
def history(folder: str, lecture: str) -> History:
    return History(cells(folder, lecture))


def source(exercise, folder: str) -> str:
    text = history(folder, checks.lecture_of(exercise)).source(exercise.answers)
    assert text, f"{folder} does not define {exercise.answers} for {exercise.number}"
    return text


def answers(exercise, folder: str):
    """What a notebook defines for an exercise, defined anew."""
    return define(source(exercise, folder), exercise.answers)
