"""What the exercises of lecture 06 share: sequences moved along in time."""

import numpy as np

from zerotohero.course.exercise import expect_that


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


def expect_gradients(what: str, cut: list[str]) -> None:
    """Raise `Wrong` if no gradient reaches the inputs of these names."""
    expect_that(
        not cut,
        f"{what}: expected gradients for every input, got none for {', '.join(cut)}",
        "The result is cut off from what it was made of: `.detach()`, `.data`, `torch.tensor`, "
        "`no_grad` and NumPy make values that no gradient passes.",
    )
