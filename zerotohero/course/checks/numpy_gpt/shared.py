"""What the exercises of lecture 11 share: arrays of a shape and a dtype, parts of a small GPT."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from zerotohero.course.adapters.shared import what_came
from zerotohero.course.checks.gpt.shared import expect_slowly
from zerotohero.course.exercise import NOTHING, Mistake, Wrong

WIDE = (
    "The dtype of x has changed: arrays of float64, and NumPy scalars such as `np.sqrt(2)`, win "
    "over float32; Python's numbers don't, and `.astype(x.dtype)` turns back."
)

NARROW = (
    "float64 doesn't stay float64: turn to another dtype only where x asks for it, and back to "
    "`x.dtype`, not to one by name."
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

    dtype: what the array's has to be, if that is asked; `wide` is the hint for float64.
    """
    if not isinstance(got, np.ndarray):
        hint = NOTHING if got is None else None
        raise Wrong(f"{what}: expected one array, got {what_came(got)}", hint)
    if dtype == "float64" and got.dtype in (np.float32, np.float16):
        raise Wrong(f"{what}: expected {dtype}, got {got.dtype}", NARROW)
    expect_slowly(what, got, want, mistakes, **options)
    if dtype and got.dtype != dtype:
        hint = wide if got.dtype == np.float64 else ""
        raise Wrong(f"{what}: expected {dtype}, got {got.dtype}", hint or None)


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def normed(x: np.ndarray, g: np.ndarray, b: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * g + b


def small_gpt(rng: np.random.Generator, V: int, n_ctx: int, n_layer: int, C: int) -> dict:
    """Return random parameters, large enough that positions and the past make a difference."""

    def linear(n: int, m: int) -> dict:
        return {"w": 1.5 / math.sqrt(n) * rng.normal(size=(n, m)), "b": 0.1 * rng.normal(size=m)}

    def norm() -> dict:
        return {"g": 1 + 0.1 * rng.normal(size=C), "b": 0.1 * rng.normal(size=C)}

    def block() -> dict:
        return {
            "ln_1": norm(),
            "attn": {"c_attn": linear(C, 3 * C), "c_proj": linear(C, C)},
            "ln_2": norm(),
            "mlp": {"c_fc": linear(C, 4 * C), "c_proj": linear(4 * C, C)},
        }

    return {
        "wte": rng.normal(size=(V, C)),
        "wpe": rng.normal(size=(n_ctx, C)),
        "blocks": [block() for _ in range(n_layer)],
        "ln_f": norm(),
    }
