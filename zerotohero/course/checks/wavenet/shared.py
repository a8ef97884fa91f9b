"""What the exercises of lecture 06 share: sequences moved along in time."""

from collections.abc import Callable

import numpy as np

from zerotohero.course.exercise import array, expect, expect_that


def delayed(x: np.ndarray, d: int, pad: str = "first") -> np.ndarray:
    """Row t is x[t − d]; before the first position the first vector, zeros, or the end of x."""
    B, T, C = x.shape
    if pad == "wrap":
        return np.roll(x, d, 1)
    front = np.repeat(x[:, :1], d, 1) if pad == "first" else np.zeros((B, d, C))
    return np.concatenate([front, x], 1)[:, :T]


def advanced(x: np.ndarray, d: int, pad: str = "zeros") -> np.ndarray:
    """Row t is x[t + d]; behind the last position the last vector, or zeros."""
    back = np.repeat(x[:, -1:], d, 1) if pad == "last" else np.zeros_like(x[:, :1].repeat(d, 1))
    return np.concatenate([x, back], 1)[:, d:]


FUTURE = (
    "Row t has seen x[t + dilation], which is the future: the padding belongs in front, and the "
    "older of the two vectors lies at t − dilation."
)


def expect_gradients(
    what: str, slopes: dict, inputs: dict[str, np.ndarray], sum_of: Callable[[dict], float]
) -> None:
    """Raise `Wrong` if a gradient doesn't reach one of the inputs, or only a part of it does.

    slopes: the gradients of the answer's sum, by the inputs' names.
    sum_of: what that sum is, of a dict of such inputs.
    """
    cut = [name for name in inputs if slopes[name] is None]
    expect_that(
        not cut,
        f"{what}: expected gradients for every input, got none for {', '.join(cut)}",
        "The result is cut off from what it was made of: `.detach()`, `.data`, `torch.tensor`, "
        "`no_grad` and NumPy make values that no gradient passes.",
    )
    for name, value in inputs.items():
        way = NUDGE * np.cos(1 + np.arange(value.size)).reshape(value.shape)
        rise = sum_of(inputs | {name: value + way}) - sum_of(inputs | {name: value - way})
        got = array(f"the gradient of {name}", slopes[name], value.shape)
        expect(
            f"{what}: the derivative with respect to {name}, in one direction",
            float((got * way).sum() / NUDGE),
            float(rise / (2 * NUDGE)),
            tol=1e-5,
            hint="Only a part of the gradient arrives: on one of the ways from it to the result it "
            "is cut off, by `.detach()`, `.data` or `no_grad`.",
        )


NUDGE = 1e-5
