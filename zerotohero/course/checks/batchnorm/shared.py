"""What the exercises of lecture 04 share: a normalisation, and the hint for an answer of None."""

import numpy as np

from zerotohero.course.exercise import NOTHING

NONE = {r"(gave|returned) a NoneType": NOTHING}


def normalised(
    given,
    x: np.ndarray,
    axis,
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
