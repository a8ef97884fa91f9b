"""5.3 · BatchNorm in one expression: a gradient in which every number of a column depends on
every other.
"""

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
`dgamma` (C,) and `dbeta` (C,), right to 1e-10. All tensors are float64, and the arguments must come
out unchanged. Write it with PyTorch alone: `zerotohero.backprop` isn't there when it is graded.

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


@batchnorm.case(
    "gamma and beta", adapter="norm", inputs=lambda rng: norm_inputs(rng, 7, 5), crashes=BY_HAND
)
def gradients_of_gamma_and_beta(given, got):
    expect_gamma_and_beta(over_the_batch(given), got)


def gradient_of_the_input(given: dict, got: dict) -> None:
    given = over_the_batch(given)
    mistakes = dx_mistakes(given)
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
    expect_gradient("dx", got["dx"], norm_gradients(**given)[0], mistakes)


batchnorm.case(
    "the input",
    points=2,
    adapter="norm",
    inputs=lambda rng: norm_inputs(rng, 7, 5),
    crashes=BY_HAND,
)(gradient_of_the_input)


@batchnorm.case(
    "a batch of three axes",
    points=2,
    adapter="norm",
    inputs=lambda rng: norm_inputs(rng, 4, 3, 5),
    crashes=BY_HAND,
)
def batch_of_three_axes(given, got):
    expect_gamma_and_beta(over_the_batch(given), got)
    gradient_of_the_input(given, got)


@batchnorm.case(
    "channels that hardly vary",
    adapter="norm",
    inputs=lambda rng: norm_inputs(rng, 6, 5, spread=0.1),
    crashes=BY_HAND,
)
def channels_that_hardly_vary(given, got):
    gradient_of_the_input(given, got)
