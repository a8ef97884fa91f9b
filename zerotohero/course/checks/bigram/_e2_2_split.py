"""The loss on held-out words as 2.2 asks for it, with a switch for every slip in its sums; and the
verdict on it where nothing is smoothed.
"""

import numpy as np

from zerotohero.course.checks.bigram.shared import count_grams, grams
from zerotohero.course.checks.names import STOI
from zerotohero.course.exercise import Mistake, expect


def ngram_loss(
    train,
    held_out,
    n,
    k,
    *,
    stoi=STOI,
    in_sums=None,
    axis=-1,
    keepdims=True,
    words=False,
    **boundaries,
):
    """Return the loss, or what comes of a slip in the sums, in the mean or in the boundaries.

    in_sums: what the sums are taken of beside the counts, if not k; axis: the sums' own.
    """
    N = count_grams(train, n, stoi, **boundaries)
    with np.errstate(all="ignore"):
        sums = (N + (k if in_sums is None else in_sums)).sum(axis, keepdims=keepdims)
        losses = -np.log((N + k) / sums)
    terms = [[losses[gram] for gram in grams(word, n, stoi, **boundaries)] for word in held_out]
    means = [np.mean(t) for t in terms if t]
    return float(
        np.mean(means) if words else np.average(means, weights=[len(t) for t in terms if t])
    )


def unsmoothed(rng: np.random.Generator) -> dict:
    """Return names that train has, and one with a pair that it lacks."""
    first, second = rng.choice(range(1, 6), 2, replace=False).tolist()
    return {
        "train": ["ab"] * first + ["b"] * second,
        "held_outs": [["ab", "b"], ["aa", "b"]],
        "n": 2,
        "k": 0.0,
        "stoi": {".": 0, "a": 1, "b": 2},
    }


def loss_unsmoothed(given: dict, got: dict) -> None:
    train, known = given["train"], given["held_outs"][0]
    seen, unseen = got["losses"]

    def loss(held_out, k):
        return ngram_loss(train, held_out, 2, k, stoi=given["stoi"])

    one = "This is the loss for k = 1, and k is 0."
    what = "ngram_loss, every pair seen"
    expect(what, seen, loss(known, 0), mistakes=[Mistake(loss(known, 1), one)])
    hint = None
    if isinstance(unseen, float | np.ndarray) and np.isnan(unseen).any():
        hint = "A row that train never entered divides 0 by 0."
    elif isinstance(unseen, float | np.ndarray) and np.isfinite(unseen).all():
        hint = (
            "What was never seen and is not smoothed has probability 0 and an infinite loss; "
            "leaving such a pair out, or adding a little something, hides it."
        )
    expect("ngram_loss, a pair unseen", unseen, np.inf, hint=hint)
