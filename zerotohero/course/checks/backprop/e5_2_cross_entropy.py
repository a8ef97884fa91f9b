"""5.2 · Cross-entropy in one expression: deriving on paper what a chain of steps comes to,
and computing it safely.
"""

import numpy as np

from zerotohero.course.checks.backprop.shared import (
    BY_HAND,
    TOL,
    UNCHANGED,
    loss_and_force,
    near,
    one_hot,
)
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import Exercise, Mistake, array, expect, expect_that
from zerotohero.course.to_look_at import AUTOGRAD

cross_entropy = Exercise(
    number="5.2",
    title="Cross-entropy in one expression",
    difficulty=3,
    minutes=25,
    practises="deriving on paper what a chain of steps comes to, and computing it safely",
    answers=("cross_entropy_fused",),
    without=("autograd",),
    look_for=AUTOGRAD,
    summary=(
        "Derive the gradient of the mean cross-entropy by the logits in one expression. "
        "Return it with the loss, for logits of any size."
    ),
    statement="""
`cross_entropy_fused(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]`

`logits` (B, V) are floats, `targets` (B,) whole numbers from 0 to V − 1. Return the loss, the mean
over the batch of −log softmax(logits) at the target, and `dlogits` (B, V), its gradient. Both must
hold for logits in the thousands as well, and the arguments must come out unchanged.

```python
loss, dlogits = cross_entropy_fused(
    torch.tensor([[0.0, 0.0], [0.0, math.log(3)]]), torch.tensor([0, 1])
)
loss       # tensor(0.4904)
dlogits    # tensor([[-0.2500,  0.2500], [ 0.1250, -0.1250]])
```
""",
    hints=(
        "The loss of one example is log(Σ exp(logitₖ)) − logit at the target. What is its slope by "
        "one of the logits that isn't the target's? And by the target's?",
        "The slope of log Σ exp is softmax; the target's own term adds −1. Then comes the mean.",
        "`dlogits = torch.softmax(logits, 1)`, a new tensor; `dlogits[range(B), targets] -= 1`; "
        "divide by B. For the loss, `torch.logsumexp(logits, 1)` is safe for large logits.",
    ),
)


def _logits(rng: np.random.Generator, scale: float = 1.5) -> dict:
    B, V = int(rng.integers(5, 8)), int(rng.integers(9, 13))
    return {"logits": rng.normal(0, scale, (B, V)), "targets": rng.integers(0, V, B)}


@cross_entropy.case("the loss", adapter="cross_entropy", inputs=_logits, crashes=BY_HAND)
def value_of_the_loss(given, got):
    logits, targets = given["logits"], given["targets"]
    losses, _ = loss_and_force(logits, targets)
    expect(
        "the loss",
        got["loss"],
        losses.mean(),
        tol=TOL,
        mistakes=[
            Mistake(losses.sum(), "That is the sum over the batch; the loss is its mean."),
            Mistake(-losses.mean(), "The sign is turned: the loss is *minus* the log-likelihood."),
            Mistake(losses, "That is one loss an example; take their mean."),
            Mistake(
                losses.sum() / logits.size,
                "The mean is over the B examples, not over all B · V numbers.",
            ),
        ],
    )


@cross_entropy.case(
    "its gradient", points=2, adapter="cross_entropy", inputs=_logits, crashes=BY_HAND
)
def gradient_of_the_loss(given, got):
    logits, targets = given["logits"], given["targets"]
    B, V = logits.shape
    _, force = loss_and_force(logits, targets)
    p, hot = softmax(logits), one_hot(targets, V)
    columns = p - hot.max(0)
    twice = softmax(p) - hot
    expect(
        "dlogits",
        got["dlogits"],
        force / B,
        tol=TOL,
        mistakes=[
            Mistake(force, "The loss is a mean, so its gradient has a 1/B, which is missing."),
            Mistake(
                -force / B,
                "The sign is turned: the gradient is softmax − one-hot, so that a step against it "
                "pulls the target's logit up.",
            ),
            Mistake(p / B, "The −1 at the targets is missing."),
            Mistake(
                columns / B,
                "`[:, targets]` takes whole columns; `[range(B), targets]` takes one number a row.",
            ),
            Mistake(
                columns,
                "`[:, targets]` takes whole columns; `[range(B), targets]` takes one number a row.",
            ),
            Mistake(
                (softmax(logits.T).T - hot) / B,
                "The softmax runs down the columns: its numbers must add to 1 in each row, over "
                "axis 1.",
            ),
            Mistake(force / V, "You divided by V; the mean is over the B examples."),
            Mistake(force / (B * V), "You divided by B · V; the mean is over the B examples."),
            Mistake(
                p - hot / B,
                "Softmax is not divided by B, only the one-hot is: divide the difference.",
            ),
            Mistake(
                p / B - hot,
                "The −1 came after the division: subtract it first, then divide both by B.",
            ),
            Mistake(twice / B, "Softmax was taken twice."),
            Mistake(
                p * (1 - p) / B,
                "p (1 − p) is only the slope of a probability by its own logit. Each logit moves "
                "all probabilities of its row: begin from log Σ exp(logitₖ) − logit at the target.",
            ),
            Mistake(
                (np.log(p) - hot) / B,
                "These are log-probabilities: the gradient has the probabilities themselves.",
            ),
            Mistake(
                -hot / (B * p),
                "That is the probabilities' gradient; go on through softmax to the logits.",
            ),
        ],
    )


@cross_entropy.case(
    "logits in the thousands",
    adapter="cross_entropy",
    inputs=lambda rng: _logits(rng, 3000),
    crashes=BY_HAND,
)
def large_logits(given, got):
    losses, force = loss_and_force(given["logits"], given["targets"])
    hint = (
        "`exp` of a thousand is infinite, and a quotient of infinities isn't a number; a softmax "
        "that underflows to 0 has an infinite log. Subtract each row's maximum first, and take the "
        "log of the sum, not of the quotient: `torch.logsumexp` does."
    )
    for name in ("loss", "dlogits"):
        value = np.asarray(got[name])
        expect_that(
            value.dtype.kind != "f" or bool(np.isfinite(value).all()),
            f"{name} holds numbers that are infinite or NaN",
            hint,
        )
    expect("the loss", got["loss"], losses.mean(), tol=TOL)
    expect("dlogits", got["dlogits"], force / len(losses), tol=TOL)


@cross_entropy.case(
    "the arguments stay as they were", adapter="cross_entropy", inputs=_logits, crashes=BY_HAND
)
def arguments_unchanged(given, got):
    array("dlogits", got["dlogits"], given["logits"].shape)
    expect_that(got["same"], "the arguments have changed", UNCHANGED)
    _, force = loss_and_force(given["logits"], given["targets"])
    expect_that(
        near(got["dlogits"], force / len(force)), "nothing was changed, but dlogits isn't right"
    )
