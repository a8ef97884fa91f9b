"""5.2 · Cross-entropy in one expression: deriving on paper what a chain of steps comes to,
and computing it safely.
"""

import numpy as np

from zerotohero.course.checks.backprop.shared import (
    BY_HAND,
    expect_gradient,
    holds_nan,
    loss_and_force,
    one_hot,
)
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import Exercise, Mistake, expect_that
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
        "Derive the gradient of the mean cross-entropy with respect to the logits in one "
        "expression. Return it with the loss, for logits of any size."
    ),
    statement="""
`cross_entropy_fused(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]`

`logits` (B, V) are floats, `targets` (B,) whole numbers from 0 to V − 1. Return the loss, the mean
over the batch of −log softmax(logits) at the target, and `dlogits` (B, V), the derivative of the
loss with respect to the logits. Both must hold for logits in the thousands as well, positive and
negative, and the arguments must come out unchanged. Write it with PyTorch alone:
`zerotohero.backprop` isn't there when it is graded.

```python
loss, dlogits = cross_entropy_fused(
    torch.tensor([[0.0, 0.0], [0.0, math.log(3)]]), torch.tensor([0, 1])
)
loss       # tensor(0.4904)
dlogits    # tensor([[-0.2500,  0.2500], [ 0.1250, -0.1250]])
```
""",
    hints=(
        "The loss of one example is log(Σ exp(logitₖ)) − logit at the target. What is its "
        "derivative with respect to one logit, if that isn't the target's? And if it is?",
        "The derivative of log Σ exp is softmax; the target's own term adds −1. Then comes the "
        "mean.",
        "`dlogits = torch.softmax(logits, 1)`, a new tensor; `dlogits[range(B), targets] -= 1`; "
        "divide by B. For the loss, `torch.logsumexp(logits, 1)` is safe for large logits.",
    ),
)


CRASHES = BY_HAND | {
    "must match the size": "logits is (B, V). One-hot rows need V columns too, also "
    "where no target is V − 1: `F.one_hot(targets, V)`."
}


def _logits(rng: np.random.Generator) -> dict:
    """Both the first and the last token are among the targets."""
    B, V = int(rng.integers(5, 8)), int(rng.integers(9, 13))
    targets = rng.integers(1, V - 1, B)
    targets[0], targets[-1] = V - 1, 0
    return {"logits": rng.uniform(-1, 1, (B, V)), "targets": targets}


def _without_the_last(rng: np.random.Generator) -> dict:
    """No target is V − 1, so that it shows who counts the tokens by the targets."""
    given = _logits(rng)
    return given | {"targets": np.minimum(given["targets"], given["logits"].shape[1] - 2)}


def _large_logits(rng: np.random.Generator) -> dict:
    """Rows far below zero and far above: no number serves all of them as a maximum.

    `far`: each row has one logit that is far below the others, and isn't the target's.
    """
    given = _logits(rng)
    near, targets = given["logits"], given["targets"]
    rows = 4000.0 * (-1) ** np.arange(len(near))
    far = near - 900.0 * one_hot((targets + 1) % near.shape[1], near.shape[1])
    large = 1600 * near + rows[:, None]
    return {"logits": {"near": near, "far": far, "large": large}, "targets": targets}


@cross_entropy.case("the loss", adapter="cross_entropy", inputs=_without_the_last, crashes=CRASHES)
def value_of_the_loss(given, got):
    logits, targets = given["logits"], given["targets"]
    _expect_a_logarithm(got["loss"])
    losses, force = loss_and_force(logits, targets)
    log_p = np.log(softmax(logits))
    expect_gradient(
        "the loss",
        got["loss"],
        losses.mean(),
        [
            Mistake(losses.sum(), "That is the sum over the batch; the loss is its mean."),
            Mistake(-losses.mean(), "The sign is turned: the loss is *minus* the log-likelihood."),
            Mistake(losses, "That is one loss an example; take their mean."),
            Mistake(
                losses.sum() / logits.size,
                "The mean is over the B examples, not over all B · V numbers.",
            ),
            Mistake(force / len(losses), "That is dlogits: the order is loss, dlogits."),
            Mistake(
                -log_p.mean(),
                "That is the mean over all tokens; only the target of each row has a share.",
            ),
            Mistake(
                -log_p[:, targets].mean(),
                "`[:, targets]` takes whole columns for the loss; `[range(B), targets]` takes one "
                "number a row.",
            ),
            Mistake(
                -np.log(softmax(logits, 0))[np.arange(len(losses)), targets].mean(),
                "The loss's softmax runs down the columns: its numbers must add to 1 in each row.",
            ),
            *_padded(logits, targets),
        ],
    )


def _expect_a_logarithm(loss) -> None:
    """Raise `Wrong` where the loss of small logits is NaN."""
    expect_that(
        not holds_nan(loss),
        "the loss is NaN for logits from −1 to 1",
        "That is the logarithm of a negative number. Is it taken of probabilities, before 1 is "
        "subtracted at the targets? `dlogits = probs` is no copy: what changes one changes both.",
    )


def _padded(logits: np.ndarray, targets: np.ndarray) -> list[Mistake]:
    """What comes of −log(p + a small number)."""
    p = softmax(logits)[np.arange(len(targets)), targets]
    return [
        Mistake(
            -np.log(padded).mean(),
            "A small number was added to the probability, or is its least value: for a probability "
            "that underflows to 0, the loss is then that of the small number. "
            "`torch.logsumexp(logits, 1)` needs none.",
        )
        for small in 10.0 ** -np.arange(5, 31)
        for padded in (p + small, np.maximum(p, small))
    ]


@cross_entropy.case(
    "its gradient", points=2, adapter="cross_entropy", inputs=_logits, crashes=CRASHES
)
def gradient_of_the_loss(given, got):
    logits, targets = given["logits"], given["targets"]
    B, V = logits.shape
    _, force = loss_and_force(logits, targets)
    p, hot = softmax(logits), one_hot(targets, V)
    columns = p - hot.max(0)
    twice = softmax(p) - hot
    expect_gradient(
        "dlogits",
        got["dlogits"],
        force / B,
        [
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
                "p (1 − p) is only how a probability changes with its own logit. Each logit moves "
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
    points=2,
    adapter="cross_entropies",
    inputs=_large_logits,
    crashes=CRASHES,
)
def large_logits(given, got):
    _expect_a_logarithm(got["near"]["loss"])
    far, got = got["far"], got["large"]
    expect_that(
        not holds_nan(far["loss"]) or holds_nan(far["dlogits"]),
        "the loss is NaN where one logit is 900 below the others",
        "Its probability is 0 and the logarithm of that −∞; and 0 · −∞, as in one-hot rows times "
        "logarithms, is NaN. Take each target's number by its place, and `torch.logsumexp`.",
    )
    logits = given["logits"]["large"]
    losses, force = loss_and_force(logits, given["targets"])
    for name in ("dlogits", "loss"):
        expect_that(
            not holds_nan(got[name]),
            f"{name} holds NaN",
            "`exp` of a thousand is infinite and that of minus a thousand 0; neither ∞/∞ nor 0/0 "
            "is a number. Subtract from each row its own maximum first.",
        )
    expect_that(
        not np.isinf(got["loss"]).any(),
        "the loss is infinite",
        "`exp` of a logit overflows, or a probability underflows to 0 and has an infinite log. "
        "`torch.logsumexp(logits, 1)` meets neither.",
    )
    mistakes = _padded(logits, given["targets"])
    expect_gradient("the loss", got["loss"], losses.mean(), mistakes)
    expect_gradient("dlogits", got["dlogits"], force / len(losses), [])
