"""The list of names as the exercises of lectures 02 and 03 use it."""

import string
from functools import cache

import numpy as np

from zerotohero.course import data

STOI = {s: i for i, s in enumerate("." + string.ascii_lowercase)}
V = len(STOI)


@cache
def all_names() -> list[str]:
    return data.words("names")


def some_names(rng: np.random.Generator, count: int) -> list[str]:
    """Return so many names, drawn without repetition."""
    return [all_names()[i] for i in rng.choice(len(all_names()), count, replace=False)]
