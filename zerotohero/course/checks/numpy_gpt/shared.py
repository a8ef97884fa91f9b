"""What the exercises of lecture 11 share: arrays of a shape and a dtype, parts of a small GPT."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from zerotohero.course.exercise import NOTHING, Mistake, Wrong, expect

WIDE = (
    "The dtype of x has changed: a NumPy scalar such as `np.sqrt(2)` or `np.float64(0.1)` is "
    "float64 and wins over float32, a Python number doesn't. `.astype(x.dtype)` turns back."
)


def expect_array(
    what: str,
    got,
    want: np.ndarray,
    *,
    dtype: str = "",
    wide: str = "",
    mistakes: Callable[[], Sequence[Mistake]] = list,
    **options,
) -> None:
    """Do what `expect` does, for one array, with mistakes that are made only for a wrong answer.

    dtype: what the array's has to be, if that is asked; `wide` is the hint for another one.
    """
    if not isinstance(got, np.ndarray):
        came = "nothing" if got is None else f"a {type(got).__name__}"
        raise Wrong(f"{what}: expected one array, got {came}", NOTHING if got is None else None)
    try:
        expect(what, got, want, **options)
    except Wrong:
        expect(what, got, want, mistakes=mistakes(), **options)
    if dtype and got.dtype != dtype:
        raise Wrong(f"{what}: expected {dtype}, got {got.dtype}", wide or None)


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def normed(x: np.ndarray, g: np.ndarray, b: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * g + b
