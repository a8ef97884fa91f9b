"""6.4 · Beat 1.993: a development process: one change at a time, each measured, each written
down.
"""

import math
from functools import cache

import numpy as np

from zerotohero.course.checks.names import STOI, V, all_names
from zerotohero.course.exercise import (
    Exercise,
    Wrong,
    array,
    expect_that,
)

TARGET = 1.993
MOST_NUMBERS = 500_000
WINDOW = 8  # characters


# No honest network has come near it on these names; one that has learned the held-out names has.
TOO_GOOD = 1.85
WEAK = 2.3  # above it, a network has hardly learned


beat = Exercise(
    number="6.4",
    title=f"Beat {TARGET}",
    difficulty=5,
    minutes=90,
    practises="a development process: one change at a time, each measured, each written down",
    answers=("model",),
    handed_in=False,
    summary=(
        f"Train a network whose loss on dev is at most {TARGET}, within a budget. "
        "It needs a GPU or the patience of the full budget, and the check takes the trained model."
    ),
    statement=f"""
`model(xb: Tensor) -> Tensor`, shapes `(N, {WINDOW})` to `(N, {V})`

Train a network on the lecture's training names and name it `model`. The check calls it on windows
of {WINDOW} characters: `xb` holds int64 numbers (0 is the boundary, 1 to 26 are a to z), the oldest
character first, as `build_dataset(words, {WINDOW}, vocabulary)` makes them. The model returns
logits for the character that follows. It may be the lecture's `WaveNet`, a `torch.nn.Module`, or
any function; `xb` comes on the device of its parameters. A model with another context can be
wrapped in a function that cuts or pads `xb`.

```python
model.eval()                                       # running statistics, no dropout
model(torch.zeros(5, {WINDOW}, dtype=torch.long)).shape   # torch.Size([5, {V}])
```

The budget: at most {MOST_NUMBERS:,} parameters, trained on `split_words(words).train` (seed 42, the
lecture's split) and on nothing else, in 20 minutes on a GPU or two hours on two CPU cores. Make
your choices on dev; the check looks at test only to see whether either was learned by heart.
{TARGET} was the figure of the original lecture after its last scaling up. Points come in stages,
at 2.06,
2.02 and {TARGET}.

This exercise is checked here and not handed in: a submission holds source, not trained networks.
""",
    hints=(
        "What does the experiment log of the lecture say has helped most? Is train loss far below "
        "dev loss (too large, or too long) or close to it (too small, or too short)?",
        "Start from `wavenet.LARGE` and the `wavenet.FULL` recipe. Then change one thing at a "
        "time: width, weight decay, batch size, the learning rate at the start, dropout.",
        "Set ZEROTOHERO_BUDGET=full and run the solution notebook: 200 hidden units, dropout 0.1, "
        "16,000 steps, a learning rate that falls to zero along a cosine, and `model.eval()` "
        "before the check.",
    ),
)


def _windows(words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    rows, targets = [], []
    for word in words:
        tokens = [0] * WINDOW + [STOI[s] for s in word] + [0]
        for t in range(WINDOW, len(tokens)):
            rows.append(tokens[t - WINDOW : t])
            targets.append(tokens[t])
    return np.array(rows, np.uint8), np.array(targets)


@cache
def _held_out() -> dict:
    """The different windows of dev and test, and how often each character follows them in each."""
    from zerotohero.mlp import split_words  # here, because it imports torch

    splits = split_words(all_names())
    (X_dev, Y_dev), (X_test, Y_test) = _windows(splits.dev), _windows(splits.test)
    windows, at = np.unique(np.concatenate([X_dev, X_test]), axis=0, return_inverse=True)
    counts = np.zeros((2, len(windows), V), np.uint16)
    np.add.at(counts[0], (at[: len(X_dev)].ravel(), Y_dev), 1)
    np.add.at(counts[1], (at[len(X_dev) :].ravel(), Y_test), 1)
    return {"windows": windows, "_counts": counts}


def _some_windows(rng: np.random.Generator) -> dict:
    held_out = _held_out()
    rows = rng.choice(len(held_out["windows"]), 96, replace=False)
    return {"windows": held_out["windows"][rows], "_counts": held_out["_counts"][:, rows[:32]]}


MODEL_CRASHES = {
    "FloatingPointError|NaN": "The network computes something that is not a number: its training "
    "has diverged. Train again from the start with a tenth of the learning rate.",
    "in train mode": "The model is still in train mode, where an answer depends on the rest of the "
    "batch: call `model.eval()` before the check.",
    "ha(s|ve) the shape|sizes? of tensor|shapes cannot be multiplied|size mismatch": (
        f"The model was made for another context than {WINDOW} characters: wrap it in a function "
        "that cuts or pads its input."
    ),
}


def _logits(got: dict, rows: int) -> np.ndarray:
    """The logits of so many windows; raises Wrong for what is not logits."""
    values = got["logits"]
    shape = values.shape if isinstance(values, np.ndarray) else None
    if shape is not None and len(shape) == 2 and shape != (rows, V):
        turned = "Rows and columns are exchanged: each window has a row of its own."
        raise Wrong(
            f"the logits: expected shape (N, {V}) for N windows, got shape {shape}",
            turned if shape[0] == V else None,
        )
    if shape is not None and len(shape) == 3 and shape[-1] == V:
        raise Wrong(
            f"the logits: expected shape {(rows, V)}, got {len(shape)} axes, {shape[1:]} a window",
            "The model answers for every position: the check asks for the character after the "
            "window, so return the last position, `logits[:, -1]`.",
        )
    if shape is not None and values.dtype.kind == "f" and not np.isfinite(values).all():
        raise Wrong(
            "the logits: expected finite numbers, got some that are infinite or NaN",
            "NaN comes from weights that are NaN, of a training that has diverged, or from 0/0 or "
            "∞ − ∞ in the model; a logit of −∞ says that a character is impossible, which none is.",
        )
    return array("the logits", values, (rows, V))


@beat.case(
    "logits for each window, whatever else is in the batch",
    adapter="model_in_two_batches",
    inputs=_some_windows,
    crashes=MODEL_CRASHES,
)
def windows_independent(given, got):
    logits = _logits(got, 64)[:32]
    again = array("the logits in another batch", got["again"], (32, V))
    expect_that(
        np.allclose(logits, again, atol=1e-3, rtol=1e-3),
        "a window's logits: expected the same whatever else is in the batch, got others",
        "The model is still in train mode: BatchNorm mixes the examples of a batch, or dropout "
        "draws anew. Call `model.eval()` before the check.",
    )
    expect_that(
        not np.allclose(logits, logits[:1], atol=1e-5),
        "the logits: expected others for other windows, got the same for all",
        "The model doesn't look at its context: has it been trained, and does xb reach it?",
    )
    sums = logits.sum(1)
    expect_that(
        not (np.allclose(sums, 1, atol=1e-3) and logits.min() >= 0),
        "the logits: got numbers that are never negative and add up to 1",
        "These are probabilities: return the logits, before softmax. Taken for logits, "
        "probabilities are nearly equal, and the loss can't fall below 2.3.",
    )
    most = got["parameters"]
    expect_that(
        not isinstance(most, int) or most <= MOST_NUMBERS,
        f"the budget: expected at most {MOST_NUMBERS:,} parameters, got {most}",
        "The lecture's network has a sixth of the budget's parameters; a larger one learns the "
        "training names by heart before it gets better on others.",
    )
    loss = _mean_loss(logits, given["_counts"].sum(0))
    expect_that(
        loss < math.log(V) - 0.2,
        f"the loss on these windows: expected less than that of knowing nothing, got {loss:.2f}",
    )


def _mean_loss(logits: np.ndarray, counts: np.ndarray) -> float:
    top = logits.max(-1, keepdims=True)
    log_sum = top + np.log(np.exp(logits - top).sum(-1, keepdims=True))
    return float((counts * (log_sum - logits)).sum() / counts.sum())


def _expect_loss(given: dict, got: dict, most: float) -> None:
    logits = _logits(got, len(given["windows"]))
    dev, test = (_mean_loss(logits, counts) for counts in given["_counts"])
    learned = min(dev, test) <= WEAK  # before that, a difference says nothing of the names
    if learned and dev < test - 0.06:
        raise Wrong(
            f"the loss on dev is {dev:.3f}, and on test {test:.3f}",
            "Dev is much easier for the model than test: it was trained on dev as well. Train on "
            "`splits.train` alone, and use dev only to choose.",
        )
    if learned and test < dev - 0.06:
        raise Wrong(
            f"the loss on dev is {dev:.3f}, and on test {test:.3f}",
            "Test is much easier for the model than dev: it was trained on test as well. Train on "
            "`splits.train` alone.",
        )
    if dev < TOO_GOOD:
        raise Wrong(
            f"the loss on dev is {dev:.3f}, and on test {test:.3f}",
            f"No network of this size gets below {TOO_GOOD} on names that it hasn't seen: these "
            "were among those that it learned from. Split first, then train on `splits.train`.",
        )
    if dev <= most:
        return
    far = dev - most
    if dev > math.log(V) + 0.05:
        hint = (
            f"That is worse than knowing nothing ({math.log(V):.2f}). Is xb read in the order in "
            "which it comes, the oldest character first? Are the numbers of the characters the "
            "lecture's? Did `F.cross_entropy` get the logits, and were the gradients set to zero "
            "before each `backward()`? Is this the model that was trained?"
        )
    elif dev > WEAK:
        hint = (
            "The network has hardly learned: letter pairs alone, lecture 02's table, get about "
            "2.45. Is this the model that was trained, and long enough?"
        )
    elif far > 0.02:
        hint = (
            "Compare with the loss on the training names. If they are close, train longer or make "
            "the network wider; if training is far ahead, the network is too large or needs weight "
            "decay or dropout."
        )
        if dev < 2.1:
            hint += " The quick budget ends about here: set ZEROTOHERO_BUDGET=full for more."
    else:
        hint = (
            "Nearly there: more steps at a learning rate that falls to zero, or a little more "
            "weight decay, are worth a hundredth."
        )
    raise Wrong(f"the loss on dev: expected at most {most}, got {dev:.3f}", hint)


def _stage(most: float, points: int) -> None:
    @beat.case(
        f"a dev loss of at most {most}",
        points=points,
        adapter="model_on_windows",
        inputs=lambda rng: _held_out(),
        crashes=MODEL_CRASHES,
    )
    def loss_on_dev(given, got):
        _expect_loss(given, got, most)


for most, points in ((2.06, 2), (2.02, 2), (TARGET, 3)):
    _stage(most, points)
