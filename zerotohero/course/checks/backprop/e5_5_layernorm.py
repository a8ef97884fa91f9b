"""5.5 · LayerNorm backwards: seeing what changes in a derivation when an axis does."""

import numpy as np

from zerotohero.course.checks.backprop.shared import (
    BY_HAND,
    dx_mistakes,
    expect_gamma_and_beta,
    expect_gradient,
    norm_gradients,
    norm_inputs,
    over_the_batch,
)
from zerotohero.course.exercise import Exercise, Mistake
from zerotohero.course.to_look_at import AUTOGRAD

layernorm = Exercise(
    number="5.5",
    title="LayerNorm backwards",
    difficulty=4,
    minutes=35,
    practises="seeing what changes in a derivation when an axis does",
    answers=("layernorm_fused",),
    without=("autograd",),
    look_for=AUTOGRAD,
    summary=(
        "Derive the backward pass of LayerNorm, which normalises each position by itself. "
        "Only one thing of BatchNorm's derivation no longer holds."
    ),
    statement="""
`layernorm_fused(dout, x, gamma, eps) -> tuple[Tensor, Tensor, Tensor]`

Forwards, each vector of C numbers (along the **last** axis) is normalised by its own mean and
variance (divided by C): out = gamma · x̂ + beta, x̂ = (x − mean) / √(var + eps). `dout`, the gradient
of `out`, and `x` are (B, T, C) or (B, C), `gamma` is (C,). Return the gradients `dx`, shaped like
`x`, `dgamma` (C,) and `dbeta` (C,). The arguments must come out unchanged.

```python
dout, x = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[-1.0, 0.0, 1.0]])
layernorm_fused(dout, x, torch.tensor([2.0, 1.0, 1.0]), eps=0.0)
# dx      tensor([[ 0.4082, -0.8165,  0.4082]])
# dgamma  tensor([-1.2247,  0.0000,  0.0000])     dbeta  tensor([1., 0., 0.])
```
""",
    hints=(
        "Statistics run along the last axis now, and gamma still runs along it. Which sums go over "
        "the batch, and which along the vector?",
        "In BatchNorm, gamma is one number for all that is averaged, and can stand before the "
        "sums. Here it differs from place to place: put it into dx̂ = dout · gamma first.",
        "`d = dout * gamma`; `dx = inv * (d - d.mean(-1, keepdim=True) - xhat * (d * xhat)."
        "mean(-1, keepdim=True))`; dgamma and dbeta are sums over all axes but the last.",
    ),
)


def _layernorm(given: dict) -> dict:
    return given | {"axes": (given["x"].ndim - 1,)}


def gradient_of_the_input(given: dict, got: dict) -> None:
    as_batch = norm_gradients(**over_the_batch(given))[0]
    given = _layernorm(given)
    everything = given | {"axes": tuple(range(1, given["x"].ndim))}
    expect_gradient(
        "dx",
        got["dx"],
        norm_gradients(**given)[0],
        [
            Mistake(
                norm_gradients(**given, inside=False)[0],
                "gamma stands before the sums in dx, as it may in BatchNorm. Here it differs along "
                "the axis that is averaged: multiply dout by it first.",
            ),
            Mistake(
                as_batch,
                "That is BatchNorm's: LayerNorm normalises along the last axis, each position by "
                "itself.",
            ),
            Mistake(
                norm_gradients(**everything)[0],
                "That normalises over time and channels together; each position has its own mean "
                "and variance, along the last axis alone.",
            ),
            *_counts(given),
            *dx_mistakes(given),
        ],
    )


def _counts(given: dict) -> list[Mistake]:
    """Return what comes of an n that isn't C."""
    *others, C = given["x"].shape
    wrong = [
        (others[0], f"the sums in dx by len(x), {others[0]} here"),
        (np.prod(others), "the sums in dx by the number of vectors, as in BatchNorm"),
        (given["x"].size, "the sums in dx by the number of all numbers"),
    ]
    if others == [1]:  # in which the first two are 1, as if nothing was divided
        wrong = [(1, "the sums in dx by 1, or by nothing")]
    return [
        Mistake(
            norm_gradients(**given, count=count)[0],
            f"You divide {what}: they are means over the C = {C} numbers of a vector.",
        )
        for count, what in wrong
    ]


@layernorm.case(
    "gamma and beta", adapter="norm", inputs=lambda rng: norm_inputs(rng, 4, 3, 6), crashes=BY_HAND
)
def gradients_of_gamma_and_beta(given, got):
    expect_gamma_and_beta(_layernorm(given), got)


layernorm.case(
    "the input",
    points=3,
    adapter="norm",
    inputs=lambda rng: norm_inputs(rng, 4, 3, 6),
    crashes=BY_HAND,
)(gradient_of_the_input)


@layernorm.case(
    "two axes, and a batch of one",
    adapter="norm",
    inputs=lambda rng: norm_inputs(rng, 1, 7, spread=0.2),
    crashes=BY_HAND,
)
def two_axes_and_a_batch_of_one(given, got):
    gradient_of_the_input(given, got)
    expect_gamma_and_beta(_layernorm(given), got)
