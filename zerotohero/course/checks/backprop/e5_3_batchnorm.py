"""5.3 · BatchNorm in one expression: a gradient in which every number of a column depends on
every other.
"""

import numpy as np

from zerotohero.course.checks.backprop.shared import (
    BY_HAND,
    dx_mistakes,
    expect_gamma_and_beta,
    expect_gradient,
    near,
    norm_gradients,
    norm_inputs,
    over_the_batch,
    rounded,
)
from zerotohero.course.checks.numerics import both_signs
from zerotohero.course.exercise import Exercise, Mistake, Wrong
from zerotohero.course.to_look_at import AUTOGRAD

batchnorm = Exercise(
    number="5.3",
    title="BatchNorm in one expression",
    difficulty=4,
    minutes=45,
    practises="a gradient in which every number of a column depends on every other",
    answers=("batchnorm_fused",),
    without=("autograd",),
    look_for=AUTOGRAD,
    summary=(
        "Derive the backward pass of BatchNorm in one expression for the input. "
        "Gamma and beta get theirs too, for batches of two axes and of three."
    ),
    statement="""
`batchnorm_fused(dout, x, gamma, eps) -> tuple[Tensor, Tensor, Tensor]`

Forwards, each channel (the last axis) is normalised over all the other axes:
out = gamma · x̂ + beta, x̂ = (x − mean) / √(var + eps), var being the mean of (x − mean)², divided by
n and not by n − 1. `dout` is `out`'s gradient, the derivative of the loss with respect to `out`,
shaped like `x`: (B, C) or (B, T, C); `gamma` is (C,). Return the gradients `dx`, shaped like `x`,
`dgamma` (C,) and `dbeta` (C,), right to 1e-10, also where `eps` or a `gamma` is 0 and where a mean
is 10,000. The check's tensors are float64 (the example's are not), and the arguments must come out
unchanged. Write it with PyTorch alone: `zerotohero.backprop` isn't there when it is graded.

```python
dout, x = torch.tensor([[1.0], [0.0], [0.0]]), torch.tensor([[-1.0], [0.0], [1.0]])
batchnorm_fused(dout, x, torch.tensor([1.0]), eps=0.0)
# dx      tensor([[ 0.2041], [-0.4082], [ 0.2041]])
# dgamma  tensor([-1.2247])     dbeta  tensor([1.])
```
""",
    hints=(
        "An x moves its own x̂ directly, and all x̂ of its channel through the mean and through "
        "the variance: three terms. Move all x of a channel by the same amount: what must Σ dx be?",
        "With dx̂ = dout · gamma, the three terms are dx̂, minus its mean, minus x̂ times the mean "
        "of dx̂ · x̂; all of it divided by √(var + eps).",
        "`axes = tuple(range(x.ndim - 1))`; `xhat` from `x.mean(axes)` and `x.var(axes, "
        "correction=0)`; `dbeta = dout.sum(axes)`; `dgamma = (dout * xhat).sum(axes)`; `dx = gamma "
        "/ (var + eps).sqrt() * (dout - dbeta / n - xhat * dgamma / n)`.",
    ),
)


def _with_a_gamma_of_zero(rng: np.random.Generator) -> dict:
    given = norm_inputs(rng, 7, 5)
    given["gamma"][rng.integers(5)] = 0
    return given


@batchnorm.case("gamma and beta", adapter="norm", inputs=_with_a_gamma_of_zero, crashes=BY_HAND)
def gradients_of_gamma_and_beta(given, got):
    expect_gamma_and_beta(over_the_batch(given), got)


def gradient_of_the_input(given: dict, got: dict) -> None:
    given = over_the_batch(given)
    mistakes = dx_mistakes(given)
    want = norm_gradients(**given)[0]
    if given["x"].ndim == 3:
        alone = given | {"axes": (0,)}
        mistakes.append(
            Mistake(
                norm_gradients(**alone)[0],
                "With three axes, the statistics of a channel are taken over batch and time "
                "together, not over the batch alone.",
            )
        )
        mistakes.append(
            Mistake(
                norm_gradients(**given, count=len(given["x"]))[0],
                "n is the number of values a channel has, B · T here, not the batch alone.",
            )
        )
    if given["x"].shape[-1] == 1:
        mistakes.append(
            Mistake(want[..., 0], "dx is shaped like x, also where C is 1: the last axis is gone.")
        )
    expect_gradient("dx", got["dx"], want, mistakes)


def _far_from_zero(rng: np.random.Generator) -> dict:
    """Return inputs of the shape of the first case, but other numbers, and means of ±10,000."""
    norm_inputs(rng, 7, 5)
    given = norm_inputs(rng, 7, 5)
    given["x"] += 1e4 * both_signs(rng, 5)
    return given


@batchnorm.case("the input", points=2, adapter="norm", inputs=_far_from_zero, crashes=BY_HAND)
def gradient_far_from_zero(given, got):
    if _digits_of_the_variance_lost(given, got):
        raise Wrong(
            "dx: right, but for digits of the variance that are lost",
            "The means are 10,000 or −10,000 here: the mean of x² minus the square of the mean is "
            "the difference of two large numbers. Take the mean of (x − mean)².",
        )
    gradient_of_the_input(given, got)


def _digits_of_the_variance_lost(given: dict, got: dict) -> bool:
    """Return whether dx and dgamma are exactly those of a variance that is nearly right."""
    given = over_the_batch(given)
    dx, dgamma, _ = norm_gradients(**given)
    if not all(isinstance(got[name], np.ndarray) for name in ("dx", "dgamma")):
        return False
    if near(got["dx"], dx) or not rounded(got["dgamma"], dgamma):
        return False
    spread = given["x"].var(0) + given["eps"]
    shifted = spread * (dgamma / got["dgamma"]) ** 2 - given["x"].var(0)
    return near(got["dx"], norm_gradients(**given | {"eps": shifted})[0])


@batchnorm.case(
    "a batch of three axes, without an eps",
    points=2,
    adapter="norm",
    inputs=lambda rng: norm_inputs(rng, 4, 3, 5) | {"eps": 0.0},
    crashes=BY_HAND,
)
def batch_of_three_axes(given, got):
    expect_gamma_and_beta(over_the_batch(given), got)
    gradient_of_the_input(given, got)


@batchnorm.case(
    "one channel that hardly varies",
    adapter="norm",
    inputs=lambda rng: norm_inputs(rng, 6, 1, spread=0.1),
    crashes=BY_HAND,
)
def channel_that_hardly_varies(given, got):
    expect_gamma_and_beta(over_the_batch(given), got)
    gradient_of_the_input(given, got)
