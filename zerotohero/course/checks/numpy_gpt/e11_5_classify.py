"""11.5 · A classification head on the right token: lengths, padding, loss and gradients."""

import math
from functools import partial

import numpy as np

from zerotohero.course.checks.numerics import mean_loss, softmax
from zerotohero.course.checks.numpy_gpt._e11_5_wrong import (
    gradients_of,
    logits_of,
    read_at,
    wrong_gradients,
    wrong_logits,
    wrong_losses,
)
from zerotohero.course.checks.numpy_gpt.shared import expect_array
from zerotohero.course.exercise import Exercise, expect, expect_that

classify = Exercise(
    number="11.5",
    title="A head on the right token",
    difficulty=3,
    minutes=40,
    practises="indexing each row at a place of its own, and a gradient that goes back there",
    answers=("classify", "classify_loss"),
    summary=(
        "Classify texts of different lengths by the hidden state of their last own token. Find it "
        "under either padding, and send the gradient back to it."
    ),
    statement="""
A batch of B texts has been padded to T positions, and a GPT has made hidden states of them, h, (B,
T, C). Only at a text's **last own token** has it seen the whole text, and nothing of the padding.

`classify(h: ndarray, lengths: ndarray, side: str, w: ndarray, b: ndarray) -> ndarray`

`lengths`, (B,), says how many tokens of each text are its own, from 1 to T; `side` is `"right"` or
`"left"`, where the padding stands: behind the text or in front of it. Return the logits, (B, K):
the hidden state of each text's last own token, times w, (C, K), plus b, (K,). What stands elsewhere
in h changes nothing, not even NaN.

`classify_loss(h: ndarray, lengths: ndarray, side: str, w: ndarray, b: ndarray, labels: ndarray)`
`-> tuple[float, dict]`

Return the loss, the mean over the B texts of −log of the softmax of the logits at the text's label
(0 to K − 1), and the gradients of this loss with respect to h, w and b, as a dict with the keys
`"h"`, `"w"` and `"b"`, each of the shape of what it belongs to: that of h is 0 wherever h changes
nothing. Logits in the thousands have to work, too.

```python
h = np.arange(12.0).reshape(2, 3, 2)             # two texts, three positions, two channels
w, b, lengths = np.eye(2), np.zeros(2), np.array([2, 3])
classify(h, lengths, "right", w, b)              # [[2, 3], [10, 11]]
classify(h, lengths, "left", w, b)               # [[4, 5], [10, 11]]
classify_loss(h, lengths, "left", w, b, np.array([1, 1]))[0]   # 0.3133, log(1 + 1/e)
```
""",
    hints=(
        "At which position does a text of 3 tokens end, if 5 positions are there and the padding "
        "is on the right? And on the left? One index for each row is needed.",
        "`at = lengths - 1` or T − 1, and `h[np.arange(B), at]` takes one position of each row, "
        "(B, C). The gradient of the logits is (softmax − one-hot) / B, as in lecture 05.",
        "`d = softmax(logits); d[np.arange(B), labels] -= 1; d /= B`. Then `last.T @ d` for w, "
        "`d.sum(0)` for b, and for h an array of zeros with `dh[np.arange(B), at] = d @ w.T`. The "
        "log of softmax is logits − max − log(sum of exp(logits − max)).",
    ),
)


CRASHES = {
    "out of bounds for axis": "An index beyond the last position, or the last label: a text of "
    "length n ends at position n − 1.",
    "mismatch in its core dimension": "w is (C, K): `last @ w` makes (B, K) of (B, C), and "
    "`d @ w.T` goes back.",
}
ALL_PAIRS = (
    "`h[:, at]` reads all of these positions of every text, (B, B, C): `h[np.arange(B), at]` pairs "
    "each row with its own."
)
AXIS_LOST = "A batch of one text is a batch as well, (1, K): `squeeze` takes its axis away."
OF_NAN = (
    "NaN stands wherever h changes nothing, and has come into this: another position was read, or "
    "NaN was multiplied by 0, which is NaN. Take the one position out by an index."
)


def _drawn(rng, side: str, large: float = 1.0) -> dict:
    C, K = (int(n) for n in rng.permutation([3, 4]))
    B, T = (int(n) for n in rng.permutation([5, 6, 7, 8])[:2])
    lengths = rng.integers(2, T - 1, B)
    # On the left all are shorter than T, so that the longest says nothing about the last column.
    lengths[rng.permutation(B)[:2]] = 1, T if side == "right" else 2
    h = 30 * rng.normal(size=(B, T, C))  # padding is large, whatever it is
    at = lengths - 1 if side == "right" else np.full(B, T - 1)
    h[np.arange(B), at] = large * rng.normal(size=(B, C))
    return {
        "h": h,
        "lengths": lengths,
        "side": side,
        "w": rng.normal(size=(C, K)) / math.sqrt(C),
        "b": rng.normal(size=K),
        "_labels": rng.integers(0, K, B),
    }


def logits_of_the_last_token(given: dict, got: dict) -> None:
    want, y = logits_of(given), got["y"]
    shape = y.shape if isinstance(y, np.ndarray) else None
    hint = {(len(want), *want.shape): ALL_PAIRS, want.shape[1:]: AXIS_LOST}.get(shape)
    if shape == want.shape and np.isnan(y).any():
        hint = OF_NAN
    what = f'classify(…, "{given["side"]}", …)'
    mistakes = list if hint == OF_NAN else partial(wrong_logits, given)
    expect_array(what, y, want, mistakes=mistakes, hint=hint)


for side in ("right", "left"):
    classify.case(
        f"logits, with the padding on the {side}",
        points=2,
        adapter="classified",
        inputs=lambda rng, side=side: _drawn(rng, side),
        crashes=CRASHES,
    )(logits_of_the_last_token)


def _with_labels(rng, side: str, large: float = 1.0) -> dict:
    while True:
        given = _drawn(rng, side, large)
        labels, logits = given.pop("_labels"), logits_of(given)
        labels[:3] = logits[0].argmax(), logits[1].argmin(), logits.shape[1] - 1
        # Where logits are large, exp of one is ∞ and the softmax of another 0, at their labels.
        if large == 1 or (logits[0].max() > 800 and np.ptp(logits[1]) > 800):
            return given | {"labels": labels}


def loss_and_gradients(given: dict, got: dict) -> None:
    logits, labels = logits_of(given), given["labels"]
    loss, B = mean_loss(logits, labels), len(logits)
    what = f'classify_loss(…, "{given["side"]}", …)'
    lost = np.isnan(given["h"]).any() and isinstance(got["loss"], float) and np.isnan(got["loss"])
    expect(
        f"{what}: the loss",
        got["loss"],
        loss,
        mistakes=() if lost else wrong_losses(given, loss),
        hint=OF_NAN if lost else None,
    )
    d = softmax(logits)
    d[np.arange(B), labels] -= 1
    for name, want in gradients_of(given, d / B).items():
        expect_that(
            name in got["gradients"],
            f'{what}: the gradients have no "{name}"',
            'Three are asked for, under the keys "h", "w" and "b".',
        )
        mine = got["gradients"][name]
        lost = isinstance(mine, np.ndarray) and np.isnan(mine).any()
        expect_array(
            f"{what}: the gradient of {name}",
            mine,
            want,
            hint=OF_NAN if lost and np.isnan(given["h"]).any() else None,
            mistakes=partial(wrong_gradients, given, d / B, name),
        )


for name, points, side, large in (
    ("loss and gradients, with the padding on the right", 3, "right", 1.0),
    ("loss and gradients, with the padding on the left", 1, "left", 1.0),
    ("logits in the thousands", 1, "left", 3000.0),
):
    classify.case(
        name,
        points=points,
        adapter="losses",
        inputs=lambda rng, side=side, large=large: _with_labels(rng, side, large),
        crashes=CRASHES,
    )(loss_and_gradients)


def _alone(rng, side: str) -> dict:
    """Return one text; NaN stands wherever h changes nothing."""
    given = _with_labels(rng, side)
    row = int(rng.choice(np.flatnonzero(given["lengths"] > 1)))
    at = read_at(given)[row]
    given |= {name: given[name][row : row + 1] for name in ("h", "lengths", "labels")}
    own = given["h"][0, at].copy()
    given["h"] = np.full(given["h"].shape, np.nan)
    given["h"][0, at] = own
    given["labels"][0] = 1  # so that the labels don't say how many classes there are
    return given


@classify.case(
    "one text alone, beside NaN",
    adapter="classified",
    inputs=lambda rng: {k: v for k, v in _alone(rng, "left").items() if k != "labels"},
    crashes=CRASHES,
)
def logits_of_one_text(given, got):
    logits_of_the_last_token(given, got)


classify.case(
    "the loss of one text alone, beside NaN",
    adapter="losses",
    inputs=lambda rng: _alone(rng, "right"),
    crashes=CRASHES,
)(loss_and_gradients)
