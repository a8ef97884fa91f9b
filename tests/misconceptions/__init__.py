"""Wrong answers that learners really write, each with the hint that it must get.

A module an exercise, with the name that it has in `zerotohero/course/checks`:

    @wrong("1.1", "divide by 2h")
    def one_sided():
        def numerical_gradient(f, a, b, c): ...
        return numerical_gradient        # or a tuple, where the exercise takes several answers

`tests/test_exercises.py` checks that the answer fails and that one of the hints it gets contains
the text given here, and that no other misconception of the same exercise has the same text.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zerotohero.course.checks import LECTURES


@dataclass(frozen=True)
class Misconception:
    number: str  # of the exercise
    name: str
    hint: str  # what the hint it gets must contain
    make: Callable[[], Any]

    @property
    def answers(self) -> tuple[Any, ...]:
        made = self.make()
        return made if isinstance(made, tuple) else (made,)


_ALL: list[Misconception] = []


def wrong(number: str, hint: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register the function below as the maker of a wrong answer to an exercise."""

    def register(make: Callable[[], Any]) -> Callable[[], Any]:
        _ALL.append(Misconception(number, make.__name__, hint, make))
        return make

    return register


def misconceptions() -> list[Misconception]:
    """Return those of all exercises, each registered by importing its module."""
    for lecture in LECTURES:
        package = importlib.import_module(f"misconceptions.{lecture}")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return _ALL
