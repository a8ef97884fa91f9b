"""What all configurations share: plain Python values, and one way to say what is wrong with one.

A configuration is a frozen dataclass. It is written into checkpoints and config.json, which hold
Python's own numbers only; but a size often comes from NumPy or torch, as in
`vocab_size=tokens.max() + 1`. So each is made plain when the configuration is made. All functions
here are for `__post_init__`, raise ValueError, and name the field. A None that a field allows
passes.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Collection
from numbers import Integral, Real


def make_plain(config) -> None:
    """Convert the scalars of NumPy and torch in all fields, also within tuples, to Python's.

    ValueError if a field declared as `int` is no whole number, or one declared as `float` no
    number, or if another kind of object is in a field. `int | None` may be None as well. A field
    may be a configuration itself.
    """
    for field in dataclasses.fields(config):
        value = plain(getattr(config, field.name))
        if dataclasses.is_dataclass(value):
            continue  # plain since it was made
        object.__setattr__(config, field.name, value)  # the dataclass is frozen
        kind = field.type
        if isinstance(kind, types.UnionType):
            kind = type(None) if value is None else typing.get_args(kind)[0]
        kinds = {int: (int,), float: (int, float)}.get(kind, (type(value),))
        demand(config, field.name, type(value) in kinds, WANTED.get(kind, ""))
        fine = all(type(v) in PLAIN for v in (value if type(value) is tuple else (value,)))
        demand(config, field.name, fine, "a number, True or False, text, or a tuple of these")


WANTED = {int: "a whole number, such as 8", float: "a number"}
PLAIN = (bool, int, float, str, type(None))


def plain(value):
    """Return a scalar of NumPy or torch as Python's own; what isn't one, as it is."""
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if type(value) not in PLAIN and hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    for kind, base in ((str, str), (bool, bool), (int, Integral), (float, Real)):
        if isinstance(value, base):
            return value if type(value) is kind else kind(value)
    return value


def demand(config, name: str, fine: bool, what: str) -> None:
    """Raise ValueError, with the field's name and value, unless it is `fine`."""
    if not fine:
        raise ValueError(f"{name} is {getattr(config, name)!r}; it must be {what}.")


def at_least_one(config, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        demand(config, name, value is None or value >= 1, "at least 1")


def positive(config, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        demand(config, name, value is None or 0 < value < math.inf, "a positive number")


def not_negative(config, *names: str) -> None:
    for name in names:
        demand(config, name, 0 <= getattr(config, name) < math.inf, "0 or a positive number")


def share(config, *names: str) -> None:
    for name in names:
        demand(config, name, 0 <= getattr(config, name) < 1, "at least 0 and below 1")


def one_of(config, **allowed: Collection[str]) -> None:
    for name, words in allowed.items():
        demand(config, name, getattr(config, name) in words, f"one of {', '.join(words)}")
