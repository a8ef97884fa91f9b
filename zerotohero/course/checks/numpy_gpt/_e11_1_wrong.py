"""What wrong answers to 11.1 give, each with its hint."""

import numpy as np

from zerotohero.course.checks.numerics import softmax as right_softmax
from zerotohero.course.checks.numpy_gpt.shared import normed
from zerotohero.course.exercise import Mistake

ONE = "Axis 1 is the last only where there are two: of three it is the middle one. Use −1."
DEFAULT = "Where no eps is passed, it is 0.00001, as the signature has it."
NARROWED = (
    "float64 was calculated in float32, and half of its digits are lost: only float16 needs "
    "another dtype."
)
EARLY = (
    "What is multiplied by g has been rounded to float16, and the product is beyond 65504: round "
    "at the end, after g and b."
)
ZERO = "eps is 0.0 here, and 0.00001 stands in its place, as `eps or 1e-5` has it: 0 counts, too."
APART = (
    "What is left of x without its mean has been rounded to float16, which holds nothing above "
    "65504: round at the end."
)
NO_ROOT = "The root is missing: divide by the standard deviation."
FIRST = "Along the first axis, columns are normalised: use the last axis, −1."


def wrong_softmaxes(x: np.ndarray) -> list[Mistake]:
    e, low = np.exp(x), np.exp(x - x.max(-1, keepdims=True))
    whole = "The whole array adds up to 1: each row has a sum of its own, `sum(-1, keepdims=True)`."
    found = [
        (right_softmax(x, 0), FIRST),
        (e / e.sum(), whole),
        (low / low.sum(), whole),
        (x / x.sum(-1, keepdims=True), "The numbers themselves are divided: take exp of each."),
        (x - np.log(e.sum(-1, keepdims=True)), "That is log-softmax: exp of it is asked for."),
    ]
    if x.ndim == 3:
        found.insert(0, (right_softmax(x, 1), ONE))
    return [Mistake(value, hint) for value, hint in found]


def overflowing_softmaxes(x: np.ndarray) -> list[Mistake]:
    with np.errstate(all="ignore"):
        clipped, mean = np.exp(np.clip(x, -700, 700)), np.exp(x - x.mean(-1, keepdims=True))
        e, far = np.exp(x), np.exp(x - x.max())
        small = e / (e.sum(-1, keepdims=True) + 1e-9)
        top, sized = x.max(-1, keepdims=True), np.exp(x - np.abs(x).max(-1, keepdims=True))
        rounded = np.exp(x - (top + np.log(np.exp(x - top).sum(-1, keepdims=True))))
        mistakes = [
            Mistake(
                e / e.sum(-1, keepdims=True),
                "exp of thousands is ∞, and of −thousands 0, and what is divided is NaN: take the "
                "row's largest logit away first.",
            ),
            Mistake(
                far / far.sum(-1, keepdims=True),
                "The largest logit of all rows was taken away, and a row far below it becomes 0/0: "
                "each row has a maximum of its own.",
            ),
            Mistake(
                clipped / clipped.sum(-1, keepdims=True),
                "Logits that are cut off at a limit become equal: take the largest away instead.",
            ),
            Mistake(
                mean / mean.sum(-1, keepdims=True),
                "The mean of a row with −∞ is −∞, as its smallest is: take the largest away.",
            ),
            Mistake(
                sized / sized.sum(-1, keepdims=True),
                "The largest absolute value was taken away, which is ∞ in a row with −∞, and far "
                "from any logit in one below zero: take the largest logit itself.",
            ),
            Mistake(small, "A small number below the fraction doesn't help against ∞/∞."),
            Mistake(np.nan_to_num(e / e.sum(-1, keepdims=True)), "NaN made 0 is no probability."),
            Mistake(
                rounded,
                "The log of the sum is added to thousands, of which float32 has few digits behind "
                "the point: take the largest from the logits first, and then the log.",
            ),
        ]
    finite = (
        "A number stands in place of −∞, and other logits are lower than that: −∞ itself gives 0."
    )
    for low in (-1e2, -1e3, -1e4):
        mistakes += [
            Mistake(right_softmax(values), finite)
            for values in (np.where(np.isneginf(x), low, x), np.maximum(x, low))
        ]
    if x.ndim == 2:
        with np.errstate(all="ignore"):
            column = np.exp(x - x.max(0))
            mistakes.append(
                Mistake(
                    column / column.sum(-1, keepdims=True),
                    "The largest of each column was taken away, which isn't the same for a whole "
                    "row.",
                )
            )
    return mistakes


def wrong_norms(x, g, b, eps) -> list[Mistake]:
    n = x.shape[-1]

    def along(axis):
        d = x - x.mean(axis, keepdims=True)
        return d / np.sqrt((d * d).mean(axis, keepdims=True) + eps) * g + b

    d = x - x.mean(-1, keepdims=True)
    v = (d * d).mean(-1, keepdims=True)
    right = d / np.sqrt(v + eps)
    found = [
        (
            d / np.sqrt(v * n / (n - 1) + eps) * g + b,
            "The variance is divided by n − 1, as `ddof=1` does: here it is the mean, by n.",
        ),
        (along(0), FIRST),
        (along(None), "One mean and one variance of the whole array: each row has its own."),
        (
            d / (np.sqrt(v) + eps) * g + b,
            "eps stands outside of the root: it is added to the variance.",
        ),
        (
            d / np.sqrt(np.maximum(v, eps)) * g + b,
            "The larger of the variance and eps stands under the root: their sum is asked for.",
        ),
        (d / np.sqrt(v) * g + b, "eps is missing: it is added to the variance."),
        (d / np.sqrt(v + 1e-5) * g + b, "The eps that is passed isn't used."),
        (d / np.sqrt(v + eps * eps) * g + b, "eps is squared: it is added as it is."),
        (d / (v + eps) * g + b, NO_ROOT),
        (
            d / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * g + b,
            "The squares are of x, and not of x less its mean.",
        ),
        (
            x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * g + b,
            "No mean is taken away, which is RMSNorm.",
        ),
        (
            x / np.sqrt(v + eps) * g + b,
            "Above the fraction stands x: take the mean away there too.",
        ),
        ((right + b) * g, "b is added before g multiplies: first g, then b."),
        (right, "g and b aren't used."),
        (right * g, "b isn't added."),
        (right + b, "g doesn't multiply."),
    ]
    if x.ndim == 3:
        found.insert(0, (along(1), ONE))
    if eps == 0:  # another eps has been used well before
        found.insert(0, (d / np.sqrt(v + 1e-5) * g + b, ZERO))
    if eps == 1e-5:  # it isn't passed, and where it is, all is right
        others = (0, 1e-12, 1e-8, 1e-7, 1e-6, 1e-4, 1e-3)
        found = [(d / np.sqrt(v + other) * g + b, DEFAULT) for other in others] + found
    return [Mistake(value, hint) for value, hint in found]


def narrowed(y) -> str | None:
    """Return the hint for numbers of float64 of which each is one of float32."""
    if not isinstance(y, np.ndarray) or y.dtype != np.float64 or len(np.unique(y)) < 3:
        return None
    return NARROWED if np.array_equal(y, y.astype(np.float32)) else None


def wrong_halves(one: dict, y: np.ndarray) -> list[Mistake]:
    """Return layer norms of float16 with something that isn't calculated in float32.

    y: what came. Divided by the variance, numbers are nearly 0, and by an infinite one just 0.
    """
    x, g, b = one["x"], one["g"], one["b"]
    with np.errstate(all="ignore"):
        d = x - x.mean(-1, keepdims=True)
        squares = d * d
        narrow = d / np.sqrt(squares.mean(-1, keepdims=True) + np.float16(1e-5)) * g + b
        near = x.astype(np.float32) - x.mean(-1, keepdims=True).astype(np.float16)
        rounded = near / np.sqrt((near * near).mean(-1, keepdims=True) + 1e-5) * g + b
    overflow = "A square beyond 65504 is ∞ in float16, and what is divided by it 0. Calculate in "
    mean = "The mean is rounded to float16, which has whole numbers alone between 1024 and 2048: "
    if len(x) == 1:
        with np.errstate(all="ignore"):
            early = normed(x.astype(np.float32), 1, 0, one["eps"]).astype(np.float16) * g + b
        return [Mistake(early, EARLY)]
    if np.abs(x).max() > 60_000:
        with np.errstate(all="ignore"):
            left = d.astype(np.float32)
            cut = left / np.sqrt((left * left).mean(-1, keepdims=True) + 1e-5) * g + b
        return [Mistake(cut, APART)]
    if not np.isfinite(squares).all():
        gone = (narrow == b).all(-1)
        if np.shape(y) == narrow.shape and not np.array_equal(y[gone], narrow[gone]):
            left = near / ((near * near).mean(-1, keepdims=True) + 1e-5)
            return [Mistake(left * g + b, NO_ROOT)]
        return [Mistake(narrow, overflow + "float32.")]
    return [Mistake(rounded, mean + "turn x to float32 before it is taken.")]
