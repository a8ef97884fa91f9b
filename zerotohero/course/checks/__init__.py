"""The exercises of all lectures: cards, cases and verdicts, one module a lecture.

To add a lecture's exercises, write `checks/<name>.py` with a tuple `EXERCISES`, its adapters in
`adapters/<name>.py`, its misconceptions in `tests/misconceptions/<name>.py`, and add the name
here, in the lectures' order.
"""

import importlib

from zerotohero.course.exercise import Exercise

LECTURES = ("micrograd", "bigram", "mlp", "batchnorm", "backprop", "wavenet", "gpt")  # 01, 02, …


def exercises(lecture: str) -> tuple[Exercise, ...]:
    """The exercises of one lecture, by its module's name. Raises ValueError for another name."""
    if lecture not in LECTURES:
        raise ValueError(f"No lecture is called {lecture!r}; there are {', '.join(LECTURES)}.")
    return importlib.import_module(f"{__name__}.{lecture}").EXERCISES


def all_exercises() -> list[Exercise]:
    """Every exercise of the course, in order."""
    return [exercise for lecture in LECTURES for exercise in exercises(lecture)]


def handed_in() -> list[Exercise]:
    """Those whose answers are source code: what `submit` collects and `grade` marks."""
    return [exercise for exercise in all_exercises() if exercise.handed_in]


def lecture_of(exercise: Exercise) -> str:
    """The name of the lecture that an exercise belongs to: "micrograd" for 1.3."""
    return LECTURES[int(exercise.number.split(".")[0]) - 1]


def file_name(lecture: str) -> str:
    """The name that a lecture's notebooks share: "01_micrograd" for "micrograd"."""
    return f"{LECTURES.index(lecture) + 1:02d}_{lecture}"


def find(number: str | float) -> Exercise:
    """The exercise of that number, "1.1". Raises ValueError with the numbers that there are."""
    number = str(number).strip()
    lecture = number.split(".")[0]
    if lecture.isdigit() and 1 <= int(lecture) <= len(LECTURES):
        of_lecture = exercises(LECTURES[int(lecture) - 1])
        for exercise in of_lecture:
            if exercise.number == number:
                return exercise
        known = f"lecture {lecture} has {of_lecture[0].number} to {of_lecture[-1].number}"
    else:
        known = f"the lectures are 1 to {len(LECTURES)}, so a number is like 1.1"
    raise ValueError(f"There is no exercise {number or 'without a number'}; {known}.")
