"""Logits, loss and gradients of 11.5, and what comes of them with something wrong."""

import numpy as np

from zerotohero.course.checks.numerics import mean_loss, softmax
from zerotohero.course.exercise import Mistake


def read_at(given: dict) -> np.ndarray:
    B, T, _ = given["h"].shape
    return given["lengths"] - 1 if given["side"] == "right" else np.full(B, T - 1)


def own_positions(given: dict) -> np.ndarray:
    """Return (B, T), true where a text has a token of its own."""
    T, lengths = given["h"].shape[1], given["lengths"][:, None]
    first = 0 if given["side"] == "right" else T - lengths
    return (np.arange(T) >= first) & (np.arange(T) < first + lengths)


def logits_of(given: dict, at=None, last=None) -> np.ndarray:
    h = given["h"]
    last = h[np.arange(len(h)), read_at(given) if at is None else at] if last is None else last
    return last @ given["w"] + given["b"]


def wrong_logits(given: dict) -> list[Mistake]:
    h, lengths, side = given["h"], given["lengths"], given["side"]
    B, T, _ = h.shape
    right = side == "right"
    first, own = np.zeros(B, int) if right else T - lengths, own_positions(given)
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
        ({"at": np.maximum(read_at(given) - 1, 0)}, "The token before the last is read."),
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
    values = [(logits_of(given, **what), hint) for what, hint in found]
    logits = logits_of(given)
    values += [
        (logits - given["b"], "b is missing."),
        (softmax(logits), "Those are probabilities: return the logits."),
    ]
    return [Mistake(value, hint) for value, hint in values]


def gradients_of(given: dict, d: np.ndarray) -> dict[str, np.ndarray]:
    B, at = len(given["h"]), read_at(given)
    dh = np.zeros(given["h"].shape)
    dh[np.arange(B), at] = d @ given["w"].T
    return {"h": dh, "w": given["h"][np.arange(B), at].T @ d, "b": d.sum(0)}


def wrong_gradients(given: dict, d: np.ndarray, name: str) -> list[Mistake]:
    B, T, _ = given["h"].shape
    rows, labels = np.arange(B), given["labels"]
    summed = "They are B times as large: the loss is a mean, so each text has a share of 1/B."
    unlike = "The softmax is there without the 1 that is taken from it at the label."
    probs, flat = softmax(logits_of(given)), np.zeros_like(d)
    flat[rows, labels] = -1 / B
    at_all = probs.copy()
    at_all[:, labels] -= 1
    found = [(B * d, summed), (-d, "The sign is turned."), (probs / B, unlike), (probs, unlike)]
    found += [
        (flat, "The 1 at the label is there without the softmax."),
        (
            at_all / B,
            "`d[:, labels]` takes all these labels of every text: `d[np.arange(B), labels]` pairs "
            "each text with its own.",
        ),
        (probs / B - flat, "The 1 at the label is added: it is taken from the softmax."),
        (d * B / d.shape[1], "A share of 1/K, where the mean gives each text one of 1/B."),
        (d * B / d.size, "Divided by B · K: the mean is over the B texts."),
        (d / B, "Divided by B twice: d holds the share of each text."),
    ]
    mistakes = [Mistake(gradients_of(given, wrong)[name], hint) for wrong, hint in found]
    if name == "h":
        back = d @ given["w"].T
        column, everywhere = np.zeros((B, T, back.shape[1])), np.repeat(back[:, None], T, 1)
        column[:, -1] = back
        by_length, own = np.zeros_like(column), own_positions(given)
        by_length[rows, given["lengths"] - 1] = back
        mistakes += [
            Mistake(column, "It was put at the last column: it belongs where h was read."),
            Mistake(by_length, "It was put at lengths − 1: it belongs where h was read."),
            Mistake(
                np.where(own[..., None], everywhere, 0),
                "It stands at all of a text's own positions: only the last was read.",
            ),
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


EPS = 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-20
INSIDE = (
    "A small number inside of the log changes the loss: take the log of the quotient apart, logits "
    "− max − log(sum of exp)."
)


def wrong_losses(given: dict, want: float) -> list[Mistake]:
    logits, labels = logits_of(given), given["labels"]
    B, T = given["h"].shape[:2]
    probs, rows = softmax(logits), np.arange(B)
    right = given["side"] == "right"
    at = np.full(B, T - 1) if right else given["lengths"] - 1
    with np.errstate(all="ignore"):
        e, less = np.exp(logits), logits - logits.max()
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
            *((float(-np.log(probs[rows, labels] + eps).mean()), INSIDE) for eps in EPS),
            (
                float((np.log(np.exp(less).sum(1)) - less[rows, labels]).mean()),
                "The largest logit of all texts is taken away: each text has a largest of its own.",
            ),
            (
                float(-np.log(softmax(logits.T).T[rows, labels]).mean()),
                "The softmax goes along the texts: the classes are the last axis.",
            ),
            (want / logits.shape[1], "Divided by B · K: the mean is over the B texts."),
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
                mean_loss(logits_of(given, at=at), labels),
                f"It is the loss of {'the last column' if right else 'position lengths − 1'}.",
            ),
            (want * B / logits.shape[1], "Divided by K: the mean is over the B texts."),
            (-logits[rows, labels].mean(), "The logits themselves are taken, without softmax."),
        ]
    return [Mistake(value, hint) for value, hint in found if value != want]
