"""4.6 · LayerNorm and RMSNorm: normalising over the right axis, and measuring what depends
on what.
"""

import numpy as np

from zerotohero.course.checks.batchnorm._e4_6_relatives import (
    dependence_wrongly,
    gradients_of_both,
    rows_to_measure,
    wanted,
)
from zerotohero.course.checks.batchnorm.shared import normalised, usual
from zerotohero.course.exercise import Exercise, Mistake, Wrong, expect, expect_that, show

relatives = Exercise(
    number="4.6",
    title="LayerNorm and RMSNorm",
    difficulty=3,
    minutes=35,
    practises="normalising over the right axis, and measuring what depends on what",
    answers=("layer_norm", "rms_norm", "depends"),
    summary=(
        "Write the two relatives of BatchNorm that language models use, equal to torch's. Then "
        "measure, for any normalisation, which examples of a batch depend on which."
    ),
    statement="""
`layer_norm(x, gamma, beta, eps: float) -> Tensor`, x of any shape (..., C), (C,) included, gamma
and beta (C,). It leaves x as it is, and so does `rms_norm`.

For each vector of C numbers by itself: subtract its mean, divide by √(variance + eps), with the
biased variance (÷ C), multiply by gamma, add beta (Ba et al. 2016).

`rms_norm(x, gamma, eps: float) -> Tensor`, x of any shape (..., C), gamma (C,)

For each vector by itself: divide by √(mean of the squares + eps), multiply by gamma. No mean is
subtracted, nothing is added (Zhang & Sennrich 2019).

Both results have the dtype of x, and are as precise, also far from 0. Gradients come back to x,
gamma and beta.

`depends(norm, x: Tensor) -> Tensor`, x (B, C), result (B, B) of booleans

`norm` is any function from (B, C) to (B, C). Entry [i, j] says whether the output for example i
can change, however little, when the input of example j does, from numbers to other numbers:
infinity and NaN are none. Measure it, on copies of x alone, since `norm` may work in place: x stays
as it is.

```python
one, zero = torch.ones(2), torch.zeros(2)
layer_norm(torch.tensor([[3.0, 5.0]]), one, zero, eps=0.0)        # [[-1.0, 1.0]]
rms_norm(torch.tensor([[1.0, 7.0]]), one, eps=0.0)                # [[0.2, 1.4]]
depends(lambda x: x - x[0], torch.randn(3, 2))
# [[False, False, False], [True, True, False], [True, False, True]]
```
""",
    hints=(
        "BatchNorm compares the examples of a channel; LayerNorm compares the channels of an "
        "example. Along which axis is that, whatever the number of axes?",
        "Use axis -1 with keepdim=True. For depends, change example j in a copy and see which "
        "outputs are no longer the same; but choose a change that a normalisation can't undo.",
        "`x.var(-1, keepdim=True, correction=0)`, `(x * x).mean(-1, keepdim=True)`. In depends: "
        "`changed = x.clone(); changed[j] = torch.randn(C)`, then `(norm(changed) != "
        "norm(x.clone())).any(1)` is column j.",
    ),
)


def _vectors(rng: np.random.Generator, *shape: int) -> dict:
    C = shape[-1]
    return {
        "x": rng.normal(rng.normal(0, 1, C), rng.uniform(0.5, 2, C), shape),
        "gamma": rng.uniform(0.5, 2, C),
        "eps": float(rng.uniform(0.1, 0.3)),
    }


def _with_beta(rng: np.random.Generator, *shape: int) -> dict:
    return {**_vectors(rng, *shape), "beta": rng.normal(size=shape[-1])}


AXIS_CRASHES = {
    r"Dimension out of range": "x has any number of axes, one included: the last is -1.",
    r"must match the size|broadcast": "The statistics must keep their axis to fit x again: "
    "`mean(-1, keepdim=True)`.",
}
ONE_AXIS = "Only the channels of one vector are compared, the last axis: use `-1`, not the axis "


def layer_normed(given, got) -> None:
    x = given["x"]

    def norm(**switches):
        return normalised(given, x, **{"axis": -1} | switches)

    # Without keepdim they fit as well, to the wrong numbers, since x is as long as it is wide.
    flat = (x - x.mean(-1)) / np.sqrt(x.var(-1) + given["eps"]) * given["gamma"] + given["beta"]
    mistakes = [
        *usual(norm, x),
        Mistake(norm(axis=0), ONE_AXIS + "of the batch: over axis 0 it is BatchNorm."),
        Mistake(
            norm(correction=1),
            "`x.var(-1)` divides by C − 1; LayerNorm divides by C: `correction=0`.",
        ),
        Mistake(
            normalised(given | {"eps": 1e-5}, x, -1),
            "You take an eps of 1e-5, whatever is handed in.",
        ),
        Mistake(
            flat,
            "The mean and the variance of one vector went to another: keep their axis, `mean(-1, "
            "keepdim=True)`.",
        ),
        Mistake(norm(subtracted=False), "The mean isn't subtracted; that is nearly RMSNorm."),
        Mistake(
            norm(subtracted=False, centred=False, beta=False),
            "That is RMSNorm: LayerNorm subtracts the mean, and adds beta.",
        ),
        Mistake(
            norm(subtracted=False, centred=False),
            "The mean isn't subtracted; that is RMSNorm with a beta.",
        ),
    ]
    if x.ndim == 3:
        mistakes += [
            Mistake(
                norm(axis=1),
                ONE_AXIS + "of the positions. Of three axes, the channels are axis 2; -1 is the "
                "last of any number.",
            ),
            Mistake(
                norm(axis=(1, 2)),
                "The positions of an example are mixed: each of its vectors has a mean and a "
                "variance of its own.",
            ),
            Mistake(
                norm(axis=(0, 1)), ONE_AXIS + "of the batch: over axes 0 and 1 it is BatchNorm."
            ),
        ]
    else:
        mistakes.append(
            Mistake(
                norm(axis=(0, 1)),
                "One mean and one variance for the whole batch: each vector has its own, along "
                "axis -1.",
            )
        )
    expect("layer_norm", got["y"], norm(), mistakes=mistakes)


relatives.case(
    "layer_norm of a batch",
    adapter="layer_normed",
    inputs=lambda rng: _with_beta(rng, 5, 5),
    crashes=AXIS_CRASHES,
)(layer_normed)


relatives.case(
    "layer_norm of (B, T, C)",
    adapter="layer_normed",
    inputs=lambda rng: _with_beta(rng, 4, 4, 4),
    crashes=AXIS_CRASHES,
)(layer_normed)


RMS = {"beta": False, "centred": False, "subtracted": False}


@relatives.case(
    "rms_norm of (B, T, C)",
    points=2,
    adapter="rms_normed",
    inputs=lambda rng: _vectors(rng, 4, 4, 4),
    crashes=AXIS_CRASHES,
)
def root_mean_square(given, got):
    x = given["x"]

    def norm(**switches):
        return normalised(given, x, **{"axis": -1} | RMS | switches)

    length = np.sqrt((x**2).sum(-1, keepdims=True) + given["eps"])
    expect(
        "rms_norm",
        got["y"],
        norm(),
        mistakes=[
            Mistake(x, "x came back as it was."),
            Mistake(
                norm(centred=True, subtracted=True),
                "That is LayerNorm without beta: RMSNorm subtracts no mean.",
            ),
            Mistake(
                norm(centred=True),
                "You divide by the standard deviation, which takes the mean out: take the root of "
                "the mean of x².",
            ),
            Mistake(
                norm(eps=None),
                "eps is missing in rms_norm: it is added to the mean of the squares.",
            ),
            Mistake(
                norm(eps="outside"),
                "eps is added to the root in rms_norm; it belongs under it, beside the mean of the "
                "squares.",
            ),
            Mistake(norm(root=False), "The root is missing in rms_norm."),
            Mistake(norm(gamma=False), "gamma is missing in rms_norm."),
            Mistake(norm(axis=0), "rms_norm runs over the batch: use axis -1."),
            Mistake(norm(axis=1), "rms_norm runs over the positions: use axis -1."),
            Mistake(
                norm(axis=(1, 2)), "rms_norm mixes the positions of an example: use axis -1 alone."
            ),
            Mistake(
                x / length * given["gamma"],
                "You divide by the length of the vector, the root of the *sum* of squares; RMS "
                "takes their mean.",
            ),
        ],
    )


def _shapes(rng: np.random.Generator) -> dict:
    given = _with_beta(rng, 3)
    del given["x"]
    return given | {
        "xs": [rng.normal(1, 2, shape) for shape in ((3,), (5, 3), (1, 3), (2, 4, 5, 3))]
        + [1e5 + rng.normal(1, 2, (6, 3))]
    }


def _other_axes(ndim: int) -> list[int | tuple[int, ...]]:
    """Return the axes that may be taken for the last: one before it, all, all but the first."""
    return [*range(ndim - 1), *(tuple(range(i, ndim)) for i in (0, 1) if i < ndim - 1)]


ROUNDED = "x is float64 here, and these numbers are rounded to fewer digits: no `.float()`."
FAR = "A mean of squares less the square of the mean loses digits: take the mean of (x − mean)²."


@relatives.case(
    "vectors alone, in rows, in a batch of one, and with four axes",
    adapter="any_shape",
    inputs=_shapes,
    crashes=AXIS_CRASHES,
)
def any_shape_normalised(given, got):
    for name, switches in (("layer_norm", {}), ("rms_norm", RMS)):
        for x, y in zip(given["xs"], got[name], strict=True):
            want = normalised(given, x, -1, **switches)
            near = np.shape(y) == x.shape and np.allclose(y, want, 1e-5, 1e-5)
            far = bool(x.max() > 1e4)
            expect(
                f"{name} of {x.shape}{' far from 0' * far}",
                y,
                want,
                tol=1e-9,
                hint=(FAR if far else ROUNDED) if near else None,
                mistakes=[
                    Mistake(
                        normalised(given, x, axis, **switches),
                        "The channels are the last axis of any number of axes: -1.",
                    )
                    for axis in _other_axes(x.ndim)
                ],
            )
        expect(
            f"the dtypes of {name} for x of float32 and of float64",
            got["dtypes"][name],
            ["float32", "float64"],
            hint="The result has the dtype of x: what you make yourself or convert must have it, "
            "too.",
        )


def _with_dy(rng: np.random.Generator) -> dict:
    return {**_with_beta(rng, 2, 3, 5), "dy": rng.normal(size=(2, 3, 5))}


relatives.case(
    "the gradients of both",
    adapter="relatives_backwards",
    inputs=_with_dy,
    crashes=AXIS_CRASHES,
)(gradients_of_both)


@relatives.case(
    "what depends on what",
    points=2,
    adapter="dependence",
    inputs=rows_to_measure,
    crashes={
        r"does not require grad": "x has no gradient here: use `x.clone().requires_grad_()`, or "
        "change an example and compare.",
        r"ambiguous": "A whole row is compared: `.any()` makes one truth value of it.",
    },
)
def dependence_named(given, got):
    found, want = got["depends"], wanted(given["rows"])
    if isinstance(found, np.ndarray) and found.dtype != bool:
        raise Wrong(
            f"depends: expected booleans, got {show(found)}",
            "Each entry is True or False: compare the outputs, `(a != b).any(1)`.",
        )
    expect(
        "depends",
        found,
        want,
        tol=0,
        mistakes=dependence_wrongly(given["rows"], want),
    )
    expect_that(got["kept"], "depends changed x", "Change a copy: `changed = x.clone()`.")
    expect(
        "depends, with examples of zeros, of ones, of -1 and of 0, 1, 2, 3",
        got["plain"],
        wanted(given["plain"]),
        tol=0,
        hint="An example may already hold what you change it to, and then nothing changes: draw "
        "new numbers, or change it by something.",
    )
    for kind, one in zip(given["alone"], got["alone"], strict=True):
        want, hint = np.array([[kind != "none"]]), None
        if np.shape(one) in ((), (1,)):
            hint = "(B, B) is (1, 1) for a batch of one: `squeeze()` takes axes of length 1 away."
        elif np.array_equal(one, ~want) and kind != "none":
            hint = "Where there is no other example, its numbers are no change: draw new ones."
        expect("depends of a batch of one", one, want, tol=0, hint=hint)
    what = "where norm works in place"
    copies = "`norm` may write into what it is given: hand it copies alone, `norm(x.clone())`."
    expect_that(got["kept_in_place"], f"depends changed x, {what}", copies)
    expect(f"depends, {what}", got["in_place"], wanted(given["in_place"]), tol=0, hint=copies)
