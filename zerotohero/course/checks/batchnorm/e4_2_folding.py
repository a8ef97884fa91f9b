"""4.2 · Fold BatchNorm away: seeing a layer as the formula it is, and simplifying it."""

import numpy as np

from zerotohero.course.checks.batchnorm.shared import NONE
from zerotohero.course.checks.numerics import both_signs
from zerotohero.course.exercise import Exercise, Mistake, Wrong, array, expect, expect_that

folding = Exercise(
    number="4.2",
    title="Fold BatchNorm away",
    difficulty=2,
    minutes=25,
    practises="seeing a layer as the formula it is, and simplifying it",
    answers=("fold",),
    summary=(
        "In eval mode BatchNorm multiplies and adds constants, which the Linear before it can do "
        "as well. Make one Linear of the two, with outputs that are equal to 1e-6."
    ),
    statement="""
`fold(linear: Linear, norm: BatchNorm1d) -> Linear`

Both are layers of `zerotohero.batchnorm`, which is imported here as `layers`, and are in eval mode.
`linear.weight` has the shape (I, O); `linear.bias` has the shape (O,) or is None. `norm.gamma`,
`norm.beta`, `norm.running_mean` and `norm.running_var` have the shape (O,), and `norm.eps` is a
number; the tensors of the check are float64. Return a **new** Linear with a bias such that
`fold(linear, norm)(x)` equals `norm(linear(x))` for every x, to 1e-6. The two layers stay as they
are, in eval mode.

```python
linear, norm = layers.Linear(1, 1), layers.BatchNorm1d(1, eps=1.0).eval()
with torch.no_grad():
    linear.weight.fill_(6), linear.bias.fill_(5)
    norm.running_mean.fill_(2), norm.running_var.fill_(8)
new = fold(linear, norm)
new.weight.item(), new.bias.item()    # (2.0, 1.0): (6 x + 5 - 2) / 3 = 2 x + 1
```
""",
    hints=(
        "Write norm(x @ weight + bias) as one formula. What is multiplied with x, and what is left "
        "over when x is zero?",
        "scale = gamma / sqrt(running_var + eps), one number a channel. The new weight is the old "
        "one times scale, the new bias is (bias - running_mean) times scale, plus beta.",
        "`new = layers.Linear(*linear.weight.shape)`; `new.weight = (linear.weight * "
        "scale).detach().requires_grad_()`, and the same for the bias. For `linear.bias is None`, "
        "take 0.",
    ),
    uses=("batchnorm",),
)


def _folded(
    given,
    eps="inside",
    root=True,
    gamma=True,
    beta=True,
    mean=1,
    scale_bias=True,
    scale_shift=True,
    fresh=True,
    axis=1,
    bias=True,
):
    """Weight and bias of the two in one; the switches are what learners get wrong."""
    var = given["var"] if fresh else np.ones_like(given["var"])
    inside = var + {"inside": given["eps"], "default": 1e-5}.get(eps, 0)
    below = (np.sqrt(inside) if root else inside) + given["eps"] * (eps == "outside")
    below = 1 / below if root == "times" else below
    scale = (given["gamma"] if gamma else 1) / below
    b = given["bias"] if given["bias"] is not None and bias else 0 * scale
    m = mean * (given["mean"] if fresh else 0 * scale)
    new_bias = (b * scale if scale_bias else b) - (m * scale if scale_shift else m)
    weight = given["weight"] * (scale if axis == 1 else scale[:, None])
    shift = given["beta"] * scale if beta == "scaled" else given["beta"]
    return weight, new_bias + (shift if beta else 0)


def _pair(rng: np.random.Generator, I: int, O: int, bias=True, small=False) -> dict:
    return {
        "weight": rng.normal(size=(I, O)),
        "bias": rng.normal(size=O) if bias else None,
        "gamma": rng.uniform(0.5, 2, O) * both_signs(rng, O),
        "beta": rng.normal(size=O),
        "mean": rng.normal(size=O),
        "var": rng.uniform(0.001, 0.01, O) if small else rng.uniform(2, 5, O),
        "eps": float(rng.uniform(0.01, 0.02) if small else 1e-5),
    }


def folded_layer_equal(given, got) -> None:
    I, O = given["weight"].shape
    if got["bias"] is None:
        raise Wrong(
            "the new Linear has no bias",
            "It needs a bias even where the old Linear has none: beta and the running mean have to "
            "go somewhere. `Linear(I, O)` makes one.",
        )
    expect_that(
        np.shape(got["weight"]) != (O, I) or I == O,
        f"weight: expected shape {(I, O)}, got shape {(O, I)}",
        "Linear of this library has its weight as (inputs, outputs), which is torch's transposed.",
    )
    for name in ("weight", "bias"):
        kind = np.asarray(got[name]).dtype
        expect_that(
            kind == np.float64,
            f"{name}: expected float64, which the given layers are, got {kind}",
            "A new Linear is float32, and `copy_` or `fill_` leave it so: it can't be called on "
            "what the old one is called on. Set `new.weight = …` to what you computed.",
        )
    weight, bias = array("weight", got["weight"], (I, O)), array("bias", got["bias"], (O,))
    x = np.concatenate([np.zeros((1, I)), np.eye(I), np.linspace(-2, 2, 3 * I).reshape(3, I)])

    def outputs(pair):
        return x @ pair[0] + pair[1]

    variants = [
        (
            dict(fresh=False),
            "The running statistics aren't used: in eval mode BatchNorm subtracts running_mean and "
            "divides by the root of running_var.",
        ),
        (
            dict(eps=None),
            "eps has no part in your scale: it is added to running_var, under the root. Where the "
            "variance is small it matters.",
        ),
        (
            dict(eps="outside"),
            "eps is added to the root; it stands under it: sqrt(running_var + eps).",
        ),
        (dict(eps="default"), "You take an eps of 1e-5: the layer's own is `norm.eps`."),
        (dict(root=False), "You divide by the variance: divide by its root."),
        (dict(root="times"), "You multiply by the root of the variance: divide by it."),
        (dict(gamma=False), "gamma is missing: it belongs to the scale."),
        (dict(beta="scaled"), "beta is scaled; BatchNorm adds it last, as it is."),
        (dict(beta=False), "beta is missing: it is added at the end, to the bias."),
        (
            dict(mean=0),
            "The running mean is missing: it is subtracted before the scaling, so that the bias "
            "loses running_mean times scale.",
        ),
        (dict(mean=-1), "The running mean is added; BatchNorm subtracts it."),
        (
            dict(bias=False),
            "The old bias is lost: it goes through BatchNorm like the rest, as bias times scale.",
        ),
        (
            dict(scale_bias=False),
            "The old bias isn't scaled: it comes out of the Linear, so BatchNorm scales it "
            "together with x @ weight.",
        ),
        (
            dict(scale_shift=False),
            "The running mean isn't scaled: BatchNorm subtracts it first and scales afterwards.",
        ),
        (
            dict(scale_bias=False, scale_shift=False),
            "Only the weight is scaled: the scale multiplies (bias - running_mean) too.",
        ),
    ]
    if I == O:
        variants.append(
            (
                dict(axis=0),
                "The scale runs down the inputs: it has one number an output, and outputs are the "
                "columns of weight (I, O).",
            )
        )
    mistakes = [Mistake(outputs(_folded(given, **wrong)), hint) for wrong, hint in variants]
    plain = (given["weight"], 0 * bias if given["bias"] is None else given["bias"])
    mistakes.insert(
        0, Mistake(outputs(plain), "That is the old Linear: nothing of BatchNorm is in it.")
    )
    only_weight = (_folded(given)[0], plain[1])
    mistakes.append(
        Mistake(
            outputs(only_weight),
            "The bias is still the old one: it must take in running_mean, scale and beta.",
        )
    )
    expect(
        "fold(linear, norm)(x)", outputs((weight, bias)), outputs(_folded(given)), mistakes=mistakes
    )
    expect_that(
        got["learn"],
        "a parameter of the two given layers no longer requires gradients",
        "The two layers stay as they are, and may learn on: `detach()` makes a new tensor for you, "
        "where `detach_()` and `requires_grad_(False)` change theirs.",
    )
    expect_that(
        not got["graded"],
        "a parameter of the two given layers has a gradient, which it had not before",
        "The two layers stay as they are: nothing needs a backward pass here.",
    )
    expect_that(
        got["fresh"],
        "a second fold returned the same Linear as the first",
        "Each call makes a new Linear: one that is kept outside of the function is no new one.",
    )


FOLD_CRASHES = {
    **NONE,
    r"must match the size|size mismatch|not broadcastable|is invalid for input": "Two shapes don't "
    "fit: weight is (I, O), in a new `Linear(I, O)` too, and the scale has one number an output "
    "channel: weight is multiplied by it as it is, along the last axis.",
    r"ambiguous": "Ask `linear.bias is None`: several numbers are neither true nor false.",
    r"'NoneType'": "linear.bias may be None: take 0 for it then.",
    r"leaf Variable": "That changes a parameter in place: make a new tensor, `linear.weight * "
    "scale`, for a new Linear.",
    r"returned a (torch\.nn|zerotohero)": "The layer to return is a `layers.Linear`.",
    r"returned a function": "A function of x is no layer: return a `layers.Linear` whose weight "
    "and bias do the work of both.",
    r"where a layers.Linear is needed": "Return a layer, not its tensors: make a Linear and set "
    "its weight and bias.",
    r"same dtype": "The given layers are float64, and something of yours is float32, the default: "
    "make it with `dtype=linear.weight.dtype`, or set `new.weight = …` to what you computed.",
}


folding.case(
    "a Linear with a bias",
    points=2,
    adapter="folded",
    inputs=lambda rng: _pair(rng, int(rng.integers(3, 6)), int(rng.integers(6, 9))),
    crashes=FOLD_CRASHES,
)(folded_layer_equal)


folding.case(
    "a Linear without a bias, as wide as its input",
    adapter="folded",
    inputs=lambda rng: _pair(rng, 4, 4, bias=False),
    crashes=FOLD_CRASHES,
)(folded_layer_equal)


folding.case(
    "variances as small as eps",
    adapter="folded",
    inputs=lambda rng: _pair(rng, 5, 3, small=True),
    crashes=FOLD_CRASHES,
)(folded_layer_equal)
