"""11.1 · Softmax and layer norm: the last axis, large numbers, and small formats."""

import numpy as np

from zerotohero.course.checks.numerics import softmax as right_softmax
from zerotohero.course.checks.numpy_gpt._e11_1_wrong import (
    narrowed,
    overflowing_softmaxes,
    wrong_halves,
    wrong_norms,
    wrong_softmaxes,
)
from zerotohero.course.checks.numpy_gpt.shared import WIDE, expect_array, normed
from zerotohero.course.exercise import Exercise, Mistake, expect_that, show

softmax = Exercise(
    number="11.1",
    title="Softmax and layer norm that don't break",
    difficulty=2,
    minutes=30,
    practises="formulas that hold for large numbers, for every shape and in every format",
    answers=("softmax", "layer_norm"),
    summary=(
        "Write the two functions that a GPT normalises with, in NumPy. They work for arrays of any "
        "shape, for logits in the thousands, and in float16."
    ),
    statement="""
`softmax(x: ndarray) -> ndarray`

`layer_norm(x: ndarray, g: ndarray, b: ndarray, eps: float = 1e-5) -> ndarray`

Both work along the **last axis** of x, of n numbers, and treat whatever axes stand in front of it,
none, one or several, as rows of their own. What comes back has the shape of x.

`softmax` gives $e^{x_i} / \\sum_j e^{x_j}$, rows that add up to 1. Logits may be in the thousands,
below zero or above it, and different from row to row; float32 is right to 1 in 100,000 there, too.
−∞ gives 0, as a mask needs it, however low the others are, and no row holds −∞ alone.

`layer_norm` gives $g_i (x_i - m) / \\sqrt{v + \\mathrm{eps}} + b_i$, where m is the mean of the n
numbers and v the mean of $(x_j - m)^2$. g and b have the shape (n,). A row of equal numbers gives
b, where eps is above 0. A row may lie far from zero: for float32 numbers of 4000 that differ by
less than 1, and for float64 numbers of 80 million that do, the result is right to 1 %.

What comes back has the dtype of x: float16, float32 or float64; g and b have the same. float16
holds nothing above 65504, and differences, squares, products with g and sums of a long row are soon
beyond that: calculate in float32 then, and round the result. float64 keeps its sixteen digits.

```python
softmax(np.array([[0.0, 1.0], [5000.0, 5001.0]]))      # [[0.2689, 0.7311], [0.2689, 0.7311]]
layer_norm(np.array([1.0, 3.0]), np.ones(2), np.zeros(2), eps=0.0)   # [-1, 1]
layer_norm(np.array([400, 0], "float16"), np.ones(2, "float16"), np.zeros(2, "float16"))  # [1, -1]
```
""",
    hints=(
        "Which axis has each sum, each mean and each maximum to go along, and what shape do they "
        "need to fit x again? Which numbers are too large before the division makes them small?",
        "`axis=-1, keepdims=True` everywhere. A softmax doesn't change when the same number is "
        "taken from a whole row: take its largest. In layer norm take the mean away first, and "
        "square what is left.",
        "`y = x.astype(np.float32) if x.dtype == np.float16 else x`; `e = np.exp(y - y.max(-1, "
        "keepdims=True))`; `(e / e.sum(-1, keepdims=True)).astype(x.dtype)`. And `d = y - "
        "y.mean(-1, keepdims=True)`, `(d / np.sqrt((d * d).mean(-1, keepdims=True) + eps) * g + "
        "b).astype(x.dtype)`.",
    ),
)
KEEP = {
    "could not be broadcast": "A sum or a mean along the last axis has lost that axis: with "
    "`keepdims=True` it stays, with length 1, and fits x again.",
    "axis . is out of bounds": "An axis that only some arrays have: the last one is −1, whatever "
    "stands in front of it.",
}


def _softmaxes(rng) -> dict:
    n = [int(i) for i in rng.permutation([3, 4, 5, 6])]
    shapes = [(n[0],), (n[1], n[2]), (n[1], n[2], n[3])]
    return {"xs": [rng.normal(0, 2, shape) for shape in shapes]}


@softmax.case(
    "softmax of one, two and three axes", adapter="softmaxes", inputs=_softmaxes, crashes=KEEP
)
def rows_of_any_shape(given, got):
    for x, y in zip(given["xs"], got["ys"], strict=True):
        expect_array(
            f"softmax of shape {x.shape}",
            y,
            right_softmax(x),
            tol=1e-9,
            mistakes=lambda x=x: wrong_softmaxes(x),
            hint=narrowed(y),
        )


def _large(rng) -> dict:
    x = rng.normal(0, 2, (5, 6)) + np.array([[0.0], [4000], [-20_000], [1000], [-9000]])
    x += rng.integers(-300, 500, (5, 1))
    for row in (2, 3):
        x[row, rng.permutation(6)[:3]] = -np.inf
    return {"xs": [x, x[1], x.astype(np.float32)]}


@softmax.case(
    "logits in the thousands, and −∞", points=2, adapter="softmaxes", inputs=_large, crashes=KEEP
)
def large_logits(given, got):
    for x, y in zip(given["xs"], got["ys"], strict=True):
        want = right_softmax(x.astype(np.float64))
        tol = 1e-9 if x.dtype == np.float64 else 1e-5
        what = f"softmax of {x.dtype} logits in the thousands"
        expect_array(
            what,
            y,
            want,
            tol=tol,
            dtype=str(x.dtype),
            wide=WIDE,
            mistakes=lambda x=x: overflowing_softmaxes(x),
        )
        expect_that(
            not y[np.isneginf(x)].any(),
            f"{what}: expected 0 for −∞, got {show(y[np.isneginf(x)].max(initial=0))}",
            "−∞ gives 0 and no small number: what is taken from logits isn't held above a limit.",
        )


def _norms(rng) -> dict:
    n = [int(i) for i in rng.permutation([3, 4, 5, 6])]
    asked = []
    for shape, eps in (((n[0],), 0.3), ((n[1], n[2]), 0.7), ((n[3], n[1], n[2]), 1e-5)):
        spread = 0.02 if len(shape) == 1 else 2  # where any eps makes a difference
        g, b = rng.normal(1, 0.3, shape[-1]), rng.normal(size=shape[-1])
        asked.append({"x": rng.normal(1, spread, shape), "g": g, "b": b, "eps": eps})
    asked.append(asked[0] | {"eps": 0.0})
    return {"asked": asked}


@softmax.case(
    "layer norm of one, two and three axes",
    points=2,
    adapter="layer_norms",
    inputs=_norms,
    crashes=KEEP,
)
def norms_of_any_shape(given, got):
    for one, y in zip(given["asked"], got["ys"], strict=True):
        what = f"layer_norm of shape {one['x'].shape}, eps={one['eps']:g}"
        expect_array(
            what,
            y,
            normed(**one),
            tol=1e-9,
            dtype="float64",
            mistakes=lambda one=one: wrong_norms(**one),
            hint=narrowed(y),
        )


FAR = {"float32": (3800, 4200), "float64": (75_000_000, 90_000_000)}
NEAR = {"float32": "4000", "float64": "80 million"}
CANCELLED = {
    "float32": "mean(x²) − mean(x)² takes numbers of millions from each other, and float32 has "
    "seven digits: nothing true is left. Take the mean away first, and square then.",
    "float64": "mean(x²) − mean(x)² takes numbers of 16 digits from each other, and float64 has no "
    "more: nothing true is left. Take the mean away first, and square then.",
}


def _far_away(rng) -> dict:
    n = int(rng.integers(24, 40))
    flat = np.full((2, n), float(rng.integers(2, 9)))
    asked = [{"x": flat, "g": rng.normal(1, 0.2, n), "b": rng.normal(1, 0.2, n), "eps": 1e-5}]
    for dtype, (low, high) in FAR.items():  # squares of these are whole numbers in their dtype
        x = rng.uniform(-0.5, 0.5, (6, n)) + rng.integers(low, high, (6, 1))
        far = {"x": x, "g": rng.normal(1, 0.2, n), "b": rng.normal(1, 0.2, n)}
        asked.append({name: value.astype(dtype) for name, value in far.items()} | {"eps": 1e-5})
    return {"asked": asked}


@softmax.case(
    "rows of equal numbers, and far from zero",
    points=2,
    adapter="layer_norms",
    inputs=_far_away,
    crashes=KEEP,
)
def rows_without_spread_and_far_away(given, got):
    (flat, *rows), (level, *ys) = given["asked"], got["ys"]
    lost = Mistake(
        np.full(flat["x"].shape, np.nan),
        "0/0: eps keeps the root of a row without any variance from 0.",
    )
    expect_array("layer_norm of equal numbers", level, normed(**flat), mistakes=lambda: [lost])
    for far, y in zip(rows, ys, strict=True):
        dtype = str(far["x"].dtype)
        want = normed(**{k: v if k == "eps" else v.astype(np.float64) for k, v in far.items()})
        hint = narrowed(y) if dtype == "float64" else None
        if isinstance(y, np.ndarray) and y.shape == want.shape and _is_cancelled(y, want, far):
            hint = CANCELLED[dtype]
        expect_array(
            f"layer_norm of {dtype} numbers near {NEAR[dtype]}",
            y,
            want,
            tol=1e-2,
            hint=hint,
            dtype=dtype,
            wide=WIDE,
        )


def _is_cancelled(y: np.ndarray, want: np.ndarray, far: dict) -> bool:
    """Whether only the rows' variances are wrong: whole numbers, as squares of these are."""
    eps = far["eps"]
    with np.errstate(all="ignore"):
        mine, right = (y - far["b"]) / far["g"], (want - far["b"]) / far["g"]
        at = np.abs(right).argmax(-1)[:, None]
        factor = np.take_along_axis(mine, at, -1) / np.take_along_axis(right, at, -1)
        variance = (far["x"].astype(np.float64).var(-1) + eps) / factor[:, 0] ** 2
        gone = ~np.isfinite(factor[:, 0])
        same = np.isclose(mine / factor, right, rtol=0.02, atol=0.02).all(-1)
        whole = np.isclose(variance, np.rint(variance) + eps, rtol=0.03, atol=0)
    return bool((same & whole | gone).all())


def _halves(rng) -> dict:
    n, many = int(rng.integers(5, 9)), int(rng.integers(67_000, 72_000))
    x = rng.uniform(-3000, 3000, (3, n)).astype(np.float16)
    asked = []
    for dtype, large in (("float16", 900), ("float32", 2)):
        g, b = (rng.normal(1, 0.2, n).astype(dtype) for _ in range(2))
        values = rng.uniform(-large, large, (4, n)).astype(dtype)
        asked.append({"x": values, "g": g, "b": b, "eps": 1e-5})
    # Between 1024 and 2048 float16 has whole numbers alone, and the mean of these is none.
    near = rng.integers(1400, 1600, (4, 1)) + rng.permuted(np.tile([0, 1, 1, 3, 7], (4, 1)), axis=1)
    g, b = (rng.normal(1, 0.2, 5).astype(np.float16) for _ in range(2))
    asked.append({"x": near.astype(np.float16), "g": g, "b": b, "eps": 1e-5})
    # Times g, these two are beyond 65504, and plus b they are not.
    tall = {"x": np.array([[0, 0, 0, 0, rng.integers(2, 9)]], np.float16), "eps": 1e-5}
    tall["g"], tall["b"] = (np.array([*rng.normal(1, 0.2, 4), n], np.float16) for n in (4e4, -5e4))
    asked.append(tall)
    # What differs from their mean by more than 65504 is no number of float16.
    wide = rng.integers(60_000, 65_000) * np.array([[1, -1, -1, -1, -1], [1, -1, 1, 1, 1]])
    asked.append({"x": wide.astype(np.float16), "g": g, "b": b, "eps": 1e-5})
    flat = np.full(many, float(rng.integers(2, 9)), np.float16)
    return {"xs": [rng.normal(0, 2, (3, n)).astype(np.float16), x, flat], "asked": asked}


@softmax.case("float16 stays float16", points=2, adapter="halves", inputs=_halves, crashes=KEEP)
def small_formats(given, got):
    for x, y in zip(given["xs"], got["soft"], strict=True):
        zero = Mistake(
            np.zeros(x.shape),
            "All has become 0: a sum beyond 65504 is ∞ in float16. Calculate in float32.",
        )
        expect_array(
            f"softmax of float16, shape {x.shape}",
            y,
            right_softmax(x.astype(np.float64)),
            tol=3e-3 if x.size < 100 else 1e-7,
            dtype="float16",
            wide=WIDE,
            mistakes=lambda zero=zero: [zero],
        )
    for one, y in zip(given["asked"], got["norms"], strict=True):
        dtype = str(one["x"].dtype)
        want = normed(**{k: v if k == "eps" else v.astype(np.float64) for k, v in one.items()})
        expect_array(
            f"layer_norm of {dtype}",
            y,
            want,
            tol=6e-3 if dtype == "float16" else 1e-5,
            dtype=dtype,
            wide=WIDE,
            mistakes=lambda one=one, y=y: wrong_halves(one, y),
        )
