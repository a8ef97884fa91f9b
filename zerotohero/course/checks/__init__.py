"""The exercises of all lectures, a package a lecture, a module an exercise.

`checks/gpt/e7_2_adder.py` defines `adder`, exercise 7.2: its card, its cases and their verdicts.
What would make it too long stands beside it, in `_e7_2_adder.py` and the like.
`tests/misconceptions/gpt/e7_2_adder.py` holds wrong answers to it, and the functions
that its cases name, in `adapters/`, call an answer. Modules are found by their names, so a new
one need not be listed anywhere; a new lecture's name is added to `LECTURES`.
"""

import importlib
import pkgutil
import re
from functools import cache

from zerotohero.course.exercise import Exercise

LECTURES = {  # each with its number
    "micrograd": 1,
    "bigram": 2,
    "mlp": 3,
    "batchnorm": 4,
    "backprop": 5,
    "wavenet": 6,
    "gpt": 7,
    "assistant": 8,
    "tokenizer": 9,
    "numpy_gpt": 11,
}


def exercises(lecture: str) -> tuple[Exercise, ...]:
    """Return the exercises of one lecture, by its module's name, in the order of their numbers.

    Raises ValueError for a name that no lecture has, and for a module whose name is not that of
    the exercise in it.
    """
    if lecture not in LECTURES:
        raise ValueError(f"No lecture is called {lecture!r}; there are {', '.join(LECTURES)}.")
    return _of_package(f"{__name__}.{lecture}")


@cache
def _of_package(package: str) -> tuple[Exercise, ...]:
    found = []
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if match := re.fullmatch(r"e(\d+)_(\d+)_(\w+)", module.name):
            *number, name = match.groups()
            exercise = getattr(importlib.import_module(f"{package}.{module.name}"), name, None)
            if not isinstance(exercise, Exercise) or exercise.number != ".".join(number):
                raise ValueError(
                    f"{package}.{module.name} has to define exercise {'.'.join(number)} as {name}."
                )
            found.append(exercise)
    return tuple(sorted(found, key=lambda exercise: exercise.order))


def all_exercises() -> list[Exercise]:
    """Return every exercise of the course, in order."""
    return [exercise for lecture in LECTURES for exercise in exercises(lecture)]


def handed_in() -> list[Exercise]:
    """Return the exercises whose answers are source: what `submit` collects and `grade` marks."""
    return [exercise for exercise in all_exercises() if exercise.handed_in]


def adapters_of(exercise: Exercise) -> str:
    """Return the full name of the module whose functions call answers to an exercise."""
    return f"zerotohero.course.adapters.{exercise.adapters or lecture_of(exercise)}"


def lecture_of(exercise: Exercise) -> str:
    """Return the name of the lecture that an exercise belongs to: "micrograd" for 1.3."""
    return next(name for name, number in LECTURES.items() if number == exercise.order[0])


def file_name(lecture: str) -> str:
    """Return the name that a lecture's notebooks share: "01_micrograd" for "micrograd"."""
    return f"{LECTURES[lecture]:02d}_{lecture}"


def find(number: str | float) -> Exercise:
    """Return the exercise of that number, "1.1". ValueError lists the existing numbers."""
    number = str(number).strip()
    lecture = number.split(".")[0]
    names = {str(place): name for name, place in LECTURES.items()}
    if lecture in names:
        of_lecture = exercises(names[lecture])
        for exercise in of_lecture:
            if exercise.number == number:
                return exercise
        known = f"lecture {lecture} has {of_lecture[0].number} to {of_lecture[-1].number}"
    else:
        known = f"the lectures are {', '.join(names)}, so a number is like 1.1"
    raise ValueError(f"There is no exercise {number or 'without a number'}; {known}.")
