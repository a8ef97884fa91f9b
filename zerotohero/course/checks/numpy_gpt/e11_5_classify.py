"""11.5 · A classification head on the right token: lengths, padding, loss and gradients."""

import math
from functools import partial

import numpy as np

from zerotohero.course.checks.numerics import mean_loss, softmax
from zerotohero.course.checks.numpy_gpt.shared import expect_array
from zerotohero.course.exercise import Exercise, Mistake, expect, expect_that

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


def _at(given: dict) -> np.ndarray:
    B, T, _ = given["h"].shape
    return given["lengths"] - 1 if given["side"] == "right" else np.full(B, T - 1)


def _logits(given: dict, at=None, last=None) -> np.ndarray:
    h = given["h"]
    last = h[np.arange(len(h)), _at(given) if at is None else at] if last is None else last
    return last @ given["w"] + given["b"]


def _wrong_logits(given: dict) -> list[Mistake]:
    h, lengths, side = given["h"], given["lengths"], given["side"]
    B, T, _ = h.shape
    right = side == "right"
    first = np.zeros(B, int) if right else T - lengths
    own = (np.arange(T) >= first[:, None]) & (np.arange(T) < first[:, None] + lengths[:, None])
    column = "The last column is read: with the padding on the right, most texts end before it."
    length = "Position lengths − 1 is read: with the padding on the left, all texts end in the last"
    mean = (own[..., None] * h).sum(1) / lengths[:, None]
    found = [
        (
            {"at": np.full(B, T - 1)} if right else {"at": lengths - 1},
            column if right else f"{length} column.",
        ),
        (
            {"at": lengths % T if right else np.full(B, T - 2)},
            "One position beside the last token: counting begins at 0.",
        ),
        (
            {"at": np.minimum(lengths, T - 1)},
            "One position beside the last token: counting begins at 0.",
        ),
        ({"at": np.maximum(_at(given) - 1, 0)}, "The token before the last is read."),
        (
            {"at": np.full(B, lengths.max() - 1)},
            "Column max(lengths) − 1 is read: with the padding on the left, all texts end in "
            "column T − 1, even where none is T long.",
        ),
        ({"at": first}, "The first token is read, which has seen nothing but itself."),
        ({"at": T - lengths}, "Position T − lengths is read, where a padded text would begin."),
        ({"last": h.mean(1)}, "The mean of all positions is used: the padding is in it."),
        ({"last": mean}, "The mean of the text's own tokens is used: the last alone is asked for."),
    ]
    values = [(_logits(given, **what), hint) for what, hint in found]
    logits = _logits(given)
    values += [
        (logits - given["b"], "b is missing."),
        (softmax(logits), "Those are probabilities: return the logits."),
    ]
    return [Mistake(value, hint) for value, hint in values]


CRASHES = {
    "out of bounds for axis": "An index beyond the last position, or the last label: a text of "
    "length n ends at position n − 1.",
    "mismatch in its core dimension": "w is (C, K): `last @ w`, with one row of C numbers for each "
    "text.",
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
    want, y = _logits(given), got["y"]
    shape = y.shape if isinstance(y, np.ndarray) else None
    hint = {(len(want), *want.shape): ALL_PAIRS, want.shape[1:]: AXIS_LOST}.get(shape)
    if shape == want.shape and np.isnan(y).any():
        hint = OF_NAN
    what = f'classify(…, "{given["side"]}", …)'
    mistakes = list if hint == OF_NAN else partial(_wrong_logits, given)
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
        labels, logits = given.pop("_labels"), _logits(given)
        labels[:3] = logits[0].argmax(), logits[1].argmin(), logits.shape[1] - 1
        # Where logits are large, exp of one is ∞ and the softmax of another 0, at their labels.
        if large == 1 or (logits[0].max() > 800 and np.ptp(logits[1]) > 800):
            return given | {"labels": labels}


def _gradients(given: dict, d: np.ndarray) -> dict[str, np.ndarray]:
    B, at = len(given["h"]), _at(given)
    dh = np.zeros(given["h"].shape)
    dh[np.arange(B), at] = d @ given["w"].T
    return {"h": dh, "w": given["h"][np.arange(B), at].T @ d, "b": d.sum(0)}


def _wrong_gradients(given: dict, d: np.ndarray, name: str) -> list[Mistake]:
    B, T, _ = given["h"].shape
    rows, labels = np.arange(B), given["labels"]
    summed = "They are B times as large: the loss is a mean, so each text has a share of 1/B."
    unlike = "The softmax is there without the 1 that is taken from it at the label."
    probs, flat = softmax(_logits(given)), np.zeros_like(d)
    flat[rows, labels] = -1 / B
    found = [(B * d, summed), (-d, "The sign is turned."), (probs / B, unlike), (probs, unlike)]
    found += [
        (flat, "The 1 at the label is there without the softmax."),
        (d * B / d.shape[1], "A share of 1/K, where the mean gives each text one of 1/B."),
        (d * B / d.size, "Divided by B · K: the mean is over the B texts."),
        (d / B, "Divided by B twice: d holds the share of each text."),
    ]
    mistakes = [Mistake(_gradients(given, wrong)[name], hint) for wrong, hint in found]
    if name == "h":
        back = d @ given["w"].T
        column, everywhere = np.zeros((B, T, back.shape[1])), np.repeat(back[:, None], T, 1)
        column[:, -1] = back
        mistakes += [
            Mistake(column, "It was put at the last column: it belongs where h was read."),
            Mistake(everywhere, "It stands at all positions: only one of them was read."),
            Mistake(everywhere / T, "It is spread over all positions: only one of them was read."),
            Mistake(back, "(B, C) is the gradient of what was read: put it into zeros like h."),
        ]
    if name == "w" and np.isfinite(given["h"]).all():
        all_of_h = np.einsum("btc,bk->ck", given["h"], d)
        column = given["h"][:, -1].T @ d
        mistakes += [
            Mistake(all_of_h, "It is made of all positions: only the last own token was read."),
            Mistake(column, "It is made of the last column: the last own token was read."),
        ]
    return mistakes


def _loss_mistakes(given: dict, want: float) -> list[Mistake]:
    logits, labels = _logits(given), given["labels"]
    B, T = given["h"].shape[:2]
    probs, rows = softmax(logits), np.arange(B)
    right = given["side"] == "right"
    at = np.full(B, T - 1) if right else given["lengths"] - 1
    with np.errstate(all="ignore"):
        e = np.exp(logits)
        found = [
            (
                float(-np.log(e[rows, labels] / e.sum(1)).mean()),
                "exp of thousands is ∞, and the log of ∞/∞ NaN: take each row's largest logit away "
                "first.",
            ),
            (
                float(-np.log(probs[rows, labels]).mean()),
                "A softmax of 0 has the log −∞, and of large logits the sum of exp is ∞: take the "
                "log of the quotient apart, logits − max − log(sum of exp(logits − max)).",
            ),
            (
                float(-np.log(probs[rows, labels] + 1e-9).mean()),
                "A small number inside of the log changes the loss: take the log of the quotient "
                "apart, logits − max − log(sum of exp).",
            ),
            (want * B, "That is the sum over the texts: their mean is asked for."),
            (-want, "The sign is turned: a loss is −log."),
            (1 - probs[rows, labels].mean(), "No logarithm is in it."),
            (-probs[rows, labels].mean(), "No logarithm is in it."),
            (-np.log(probs[rows, labels].mean()), "The log of the mean: the mean of the logs."),
            (
                -np.log(probs[:, labels]).mean(),
                "`probs[:, labels]` takes all these labels of every text: `probs[np.arange(B), "
                "labels]` pairs each text with its own.",
            ),
            (
                mean_loss(_logits(given, at=at), labels),
                f"It is the loss of {'the last column' if right else 'position lengths − 1'}.",
            ),
            (want * B / logits.shape[1], "Divided by K: the mean is over the B texts."),
            (-logits[rows, labels].mean(), "The logits themselves are taken, without softmax."),
        ]
    return [Mistake(value, hint) for value, hint in found if value != want]


def loss_and_gradients(given: dict, got: dict) -> None:
    logits, labels = _logits(given), given["labels"]
    loss, B = mean_loss(logits, labels), len(logits)
    what = f'classify_loss(…, "{given["side"]}", …)'
    lost = np.isnan(given["h"]).any() and isinstance(got["loss"], float) and np.isnan(got["loss"])
    expect(
        f"{what}: the loss",
        got["loss"],
        loss,
        mistakes=() if lost else _loss_mistakes(given, loss),
        hint=OF_NAN if lost else None,
    )
    d = softmax(logits)
    d[np.arange(B), labels] -= 1
    for name, want in _gradients(given, d / B).items():
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
            mistakes=partial(_wrong_gradients, given, d / B, name),
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
    at = _at(given)[row]
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
