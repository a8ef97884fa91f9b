"""What the exercises of lecture 04 share: a normalisation, and what usually goes wrong in one."""

from collections.abc import Callable

import numpy as np

from zerotohero.course.exercise import NOTHING, Mistake

EPS = "eps, as it was given, has no part in it: it is added to the variance, under the root."
IN_PLACE = "`x -= …` changes the tensor that was given: write `x - …`, which makes a new one."
NONE = {r"(gave|returned) nothing": NOTHING}


def normalised(
    given,
    x: np.ndarray,
    axis=0,
    correction=0,
    eps="inside",
    root=True,
    gamma=True,
    beta=True,
    centred=True,
    subtracted=True,
    stats=None,
) -> np.ndarray:
    """Return x normalised along the axis, scaled and shifted; the switches are what goes wrong.

    given: eps, and gamma and beta where there are any; stats: a mean and a variance for x's own.
    """
    m = x.mean(axis, keepdims=True)
    v = x.var(axis, ddof=correction, keepdims=True) if centred else (x**2).mean(axis, keepdims=True)
    m, v = stats or (m, v)
    v = v + given["eps"] * (eps == "inside")
    y = (x - m * subtracted) / ((np.sqrt(v) if root else v) + given["eps"] * (eps == "outside"))
    return y * (given.get("gamma", 1) if gamma else 1) + (given.get("beta", 0) if beta else 0)


def usual(norm: Callable[..., np.ndarray], x: np.ndarray) -> list[Mistake]:
    """Return what goes wrong in BatchNorm as in LayerNorm.

    norm: what `normalised` gives with these switches.
    """
    return [
        Mistake(x, "x came back as it was: normalise it."),
        Mistake(norm(eps=None), EPS),
        Mistake(
            norm(eps="outside"),
            "eps is added to the standard deviation; it belongs under the root: sqrt(var + eps).",
        ),
        Mistake(norm(root=False), "You divide by the variance: divide by its root."),
        Mistake(
            norm(gamma=False, beta=False),
            "gamma and beta are missing: after the normalisation, scale by one and shift by the "
            "other.",
        ),
        Mistake(norm(beta=False), "beta is missing."),
        Mistake(norm(gamma=False), "gamma is missing."),
    ]
