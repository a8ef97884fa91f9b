"""2.5 · Cross-entropy by hand: the loss of every later lecture, and why it is not written as
it is derived.
"""

import numpy as np

from zerotohero.course.checks.bigram.shared import NO_NUMPY, as_number
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import (
    NOTHING,
    Exercise,
    Mistake,
    Wrong,
    expect,
)
from zerotohero.course.to_look_at import THREADS, TORCH

entropy = Exercise(
    number="2.5",
    title="Cross-entropy by hand",
    difficulty=3,
    minutes=25,
    practises="the loss of every later lecture, and why it is not written as it is derived",
    answers=("cross_entropy",),
    without=(
        "threads",
        "jit",
    ),
    look_for=(
        "cross_entropy",
        "CrossEntropyLoss",
        "nll_loss",
        "NLLLoss",
        "softmax",
        "Softmax",
        "log_softmax",
        "LogSoftmax",
        "logsumexp",
        "logaddexp",
        "kl_div",
        "special",
        "scipy",
        *THREADS,
        *TORCH,
    ),
    summary=(
        "Write the mean negative log-likelihood from logits, equal to torch's own. It must hold "
        "for logits of a thousand, where the formula as derived breaks."
    ),
    statement="""
`cross_entropy(logits: Tensor, targets: Tensor) -> Tensor`, shapes `(N, V)` and `(N,)` to a tensor
with one number: the mean over the rows of −ln softmax(logits)[target]. Gradients flow through it
back to the logits. Use `exp`, `log`, sums and the like; not torch's `cross_entropy`, `nll_loss`,
`softmax`, `log_softmax`, `logsumexp` or `logaddexp`.

```python
logits = torch.tensor([[0.0, 3.0, -2.0, 1.0]])
cross_entropy(logits, torch.tensor([3]))  # tensor(2.1755)
cross_entropy(torch.tensor([[1000.0, 0.0]]), torch.tensor([1]))  # tensor(1000.)
```

Try the plain formula first and look at what `torch.tensor(1000.0).exp()` is. Adding the same number
to all logits of a row changes nothing in its softmax: which number would you add?
""",
    hints=(
        "Float32 ends at about e^88. Softmax only depends on differences of logits, so subtract "
        "from each row a number that makes all exponents harmless.",
        "Subtract the row's maximum. Then don't take the logarithm of a softmax that may have "
        "become 0: ln(e^x / s) is x − ln s.",
        "`x = logits - logits.max(1, keepdim=True).values`, `logprobs = x - x.exp().sum(1, "
        "keepdim=True).log()`, and from each row the target's.",
    ),
)


ENTROPY_CRASHES = {
    "return_types": "`max` along a dimension gives two tensors, the values and their places: take "
    "`.values`.",
    # 3 and 32 are how many rows the cases have; no row of logits or one-hot row is as long.
    r"size of tensor.*\((3|32)\)": "Two shapes don't fit: what is taken from each row, its "
    "largest logit or its sum, must keep its dimension, `keepdim=True`.",
    "size of tensor": "Two shapes don't fit. One-hot rows need V columns, whatever the targets "
    "are: `F.one_hot(targets, logits.shape[1])`.",
    "too many indices|out of bounds|shape mismatch": "One target a row: `logprobs[rows, targets]` "
    "with `rows = torch.arange(N)`.",
    "math range error": "e^1000 is too large for a float: subtract each row's largest logit before "
    "exp, which changes nothing in the softmax.",
}


LOG_OF_MEAN = "This is the logarithm of a mean; the loss is the mean of logarithms."

# Parts of the names of torch's functions that do the exercise, or half of it.
FORBIDDEN = ("entropy", "nll_loss", "softmax", "softmin", "logsumexp", "logaddexp", "logcumsumexp")


def _entropies(logits, targets) -> np.ndarray:
    x = logits.astype(np.float64)
    x = x - x.max(1, keepdims=True)
    logprobs = x - np.log(np.exp(x).sum(1, keepdims=True))
    return -logprobs[np.arange(len(targets)), targets]


def _by_hand(got) -> None:
    if used := [name for name in got["called"] if any(part in name for part in FORBIDDEN)]:
        raise Wrong(
            f"cross_entropy: it calls torch's {used[0].removeprefix('special_')}",
            "Write the loss out here, with exp, log and sums, to see what torch does.",
        )


@entropy.case(
    "32 rows of 27 logits",
    adapter="entropy",
    points=2,
    inputs=lambda rng: {
        "logits": (3 * rng.normal(size=(32, 27))).astype(np.float32),
        "targets": rng.integers(0, 27, 32),
    },
    crashes=ENTROPY_CRASHES,
)
def mean_loss_of_rows(given, got):
    logits, targets = given["logits"].astype(np.float64), given["targets"]
    losses = _entropies(logits, targets)
    columns = softmax(logits, 0)[np.arange(len(targets)), targets]
    wrong = [
        Mistake(
            losses.sum(),
            "This is the sum over the rows; the loss is their mean, so that it doesn't depend on "
            "how many there are.",
        ),
        Mistake(-losses.mean(), "This is the mean log-likelihood; the loss is its negative."),
        Mistake(
            -np.log(columns).mean(),
            "Softmax runs down the columns, over the examples; each *row* is a distribution, so "
            "sum along dim 1.",
        ),
        Mistake(losses.mean() / np.log(2), "This is in bits; take the natural logarithm."),
        Mistake(
            -logits[np.arange(len(targets)), targets].mean(),
            "The logits are not yet log-probabilities: subtract the logarithm of the sum of their "
            "exponentials.",
        ),
        Mistake(
            np.exp(-losses).mean(),
            "This is the mean probability of the targets; take the negative logarithm of each "
            "before the mean.",
        ),
        Mistake(-np.log(np.exp(-losses).mean()), LOG_OF_MEAN),
        Mistake(
            -np.log(softmax(logits)[:, targets]).mean(),
            "`probs[:, targets]` takes every target from every row, N × N numbers; one a row is "
            "`probs[torch.arange(N), targets]`.",
        ),
        Mistake(
            _entropies(logits, logits.argmax(1)).mean(),
            "This is the loss of each row's likeliest character; that of its target is asked for.",
        ),
        Mistake(losses, "There is a loss for each row; return their mean."),
        Mistake(losses.mean() / np.log(10), "This is with base 10; take the natural logarithm."),
        Mistake(
            -np.log(softmax(logits)).mean(),
            "This is a mean over all characters; only the target's log-probability counts in each "
            "row.",
        ),
        Mistake(
            -np.log(softmax(logits))[targets].mean(),
            "`logprobs[targets]` takes whole rows; one number from each row is "
            "`logprobs[torch.arange(N), targets]`.",
        ),
        Mistake(
            -np.log(softmax(logits.reshape(-1)))
            .reshape(logits.shape)[np.arange(len(targets)), targets]
            .mean(),
            "Softmax runs over the whole table; each *row* is a distribution, so sum along dim 1.",
        ),
        Mistake(
            (losses - logits.max(1)).mean(),
            "The largest logit was subtracted in the sum but not from the target's logit: subtract "
            "it in both.",
        ),
    ]
    expect("cross_entropy", as_number(got["loss"]), losses.mean(), tol=1e-5, mistakes=wrong)
    _by_hand(got)


EXP = "e^1000 is infinite in a float: subtract each row's largest logit before exp, which changes "
EXP += "nothing in the softmax."
ZERO = "Here one logit is 900 below the others: its probability becomes 0, the logarithm of that "
ZERO += "−∞, and 0 · −∞, as in one-hot rows times logarithms, is NaN. Keep to logarithms, "
ZERO += "ln(e^x / s) = x − ln s."
CUT = "Logits are cut off, by `clamp` or the like: subtract each row's largest instead."
LOG = "The loss is infinite. Where each row's largest logit is subtracted, the target's "
LOG += "probability has become 0 and its logarithm −∞: keep to logarithms, ln(e^x / s) = x − ln s, "
LOG += "and never take the log of a softmax. Where something else is, e^1000 is infinite."
NOTHING_LEFT = "Of a row, every e^x has become 0, and the logarithm of their sum is −∞. What you "
NOTHING_LEFT += "subtract is far above the row's largest logit, as the largest of the whole table, "
NOTHING_LEFT += "or a row's largest absolute value, may be."


def _large(rng, logits):
    """Return the logits, each a little off."""
    return (np.array(logits) + rng.uniform(-0.4, 0.4, np.shape(logits))).astype(np.float32)


@entropy.case(
    "logits of 1,000 and of 100",
    adapter="entropies",
    points=2,
    crashes=ENTROPY_CRASHES,
    inputs=lambda rng: {
        "far": _large(rng, [[0, 0, -900, 0, 0], [0, 0, 0, 0, -900], [0, -900, 0, 0, 0]]),
        "logits": _large(rng, [[1000, 0, 1, 999, 2], [100, -100, 0, 99, 1], [0, 1, 2, 1000, 3]]),
        "targets": np.array([0, 3, 3]),
    },
)
def loss_of_large_logits(given, got):
    _stable(given | {"logits": given["far"]}, got | {"loss": got["far"]}, None, ZERO)
    _stable(given, got, EXP, EXP)


@entropy.case(
    "a target that is 1,000 below the largest",
    adapter="entropy",
    points=1,
    crashes=ENTROPY_CRASHES,
    inputs=lambda rng: {
        "logits": _large(rng, [[1000, 0], [0, -1000], [-1000, -1000]]),
        "targets": np.array([1, 1, 0]),
    },
)
def loss_of_an_unlikely_target(given, got):
    _stable(given, got, LOG, EXP)


def _stable(given, got, infinite, nan) -> None:
    logits, targets = given["logits"], given["targets"]
    losses = _entropies(logits, targets)
    want, broken = float(losses.mean()), None
    loss = as_number(got["loss"])
    N, V = logits.shape
    if isinstance(loss, float | np.ndarray) and np.ndim(loss) == 0:
        if not np.isfinite(loss):
            broken = {np.inf: infinite, -np.inf: NOTHING_LEFT}.get(float(loss), nan)
        elif (
            want > 100 and 1 < loss < 0.12 * want and not np.isclose(loss / want, N / V)
        ):  # ln of the smallest float is −104
            broken = "Where the target lies 1,000 below the largest logit, its loss is 1,000, and "
            broken += "yours is far less: is something added to a probability, or a least value "
            broken += "set for it? x − ln s needs neither."
    cut = [
        np.clip(logits, low, high)
        for high in (*range(10, 101, 5), 88, 700)
        for low in (-high, -np.inf)
    ]
    mistakes = [Mistake(_entropies(x, targets).mean(), CUT) for x in cut if (x != logits).any()]
    mistakes.append(Mistake(-np.log(np.exp(-losses).mean()), LOG_OF_MEAN))
    expect("cross_entropy", loss, want, tol=1e-5, mistakes=mistakes, hint=broken)
    _by_hand(got)


@entropy.case(
    "its gradient, for eight rows and for one",
    adapter="gradient_of_entropy",
    points=1,
    inputs=lambda rng: {
        "logits": rng.normal(size=(8, 5)).astype(np.float32),
        "targets": rng.integers(0, 5, 8),
    },
    crashes={
        "does not require grad|'float.*backward": "The loss has lost its connection to the logits: "
        "`.data`, `.detach()`, `.item()` and NumPy cut it. Return a tensor.",
        "Can't call numpy": NO_NUMPY,
        "'NoneType' object has no attribute 'backward'": NOTHING,
        "only for scalar outputs": "There is a loss for each row; return their mean.",
    },
)
def gradient_of_the_loss(given, got):
    want = softmax(given["logits"].astype(np.float64))
    want[np.arange(8), given["targets"]] -= 1
    if got["grad"] is None:
        raise Wrong(
            "the gradient of the logits: expected numbers, got None",
            "The loss has lost its connection to the logits, and `requires_grad` starts a new one "
            "that doesn't lead there.",
        )
    expect("the gradient of the logits", got["grad"], want / 8, tol=1e-5)
    expect("the gradient of the logits, N = 1", got["grad of one row"], want[:1], tol=1e-5)
