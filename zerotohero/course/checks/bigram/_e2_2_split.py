"""The loss on held-out words as 2.2 asks for it, with a switch for every slip in its sums, and the
verdicts on it.
"""

import numpy as np

from zerotohero.course.checks.bigram.shared import KEPT, count_grams, grams
from zerotohero.course.checks.names import STOI, V
from zerotohero.course.exercise import Mistake, Wrong, expect


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


def loss_on_held_out_words(given: dict, got: dict) -> None:
    a, b, n, k, stoi = (given[key] for key in ("train", "held_out", "n", "k", "stoi"))
    size = len(stoi)
    total = sum(len(word) + 1 for word in b)

    def loss(a, b, n, k, **slip):
        return ngram_loss(a, b, n, k, **{"stoi": stoi} | slip)

    right = loss(a, b, n, k)
    try:
        expect("ngram_loss", got["loss"], right, tol=2e-6)
    except Wrong:  # what wrong answers give takes long, and a right one doesn't need it
        pass
    else:
        return expect(
            "ngram_loss with the first 20 words of train, asked next",
            got["next"],
            loss(a[:20], b, n, k),
            tol=2e-6,
            mistakes=[Mistake(loss(a + a[:20], b, n, k), KEPT), Mistake(right, KEPT)],
        )
    counts = count_grams(a, n, stoi) + k
    probs = counts / counts.sum(-1, keepdims=True)
    mean = np.mean([probs[gram] for word in b for gram in grams(word, n, stoi)])
    wrong = [
        Mistake(
            loss(b, b, n, k),
            "This is the loss of a model that was counted on the held-out words themselves: "
            "count on `train`, judge on `held_out`.",
        ),
        Mistake(
            loss(a, a, n, k),
            "This is the loss on `train`, the words that the model has seen: judge it on "
            "`held_out`.",
        ),
        Mistake(
            loss(a + b, b, n, k), "The held-out words were counted too: count on `train` alone."
        ),
        Mistake(
            loss(a, list(dict.fromkeys(b)), n, k),
            "A name that stands twice in `held_out` counts twice: no set of names.",
        ),
        Mistake(
            loss(a, [name for name in b if name not in a], n, k),
            "Names of `held_out` that `train` has, too, were left out: the mean is over all.",
        ),
        Mistake(
            loss(list(dict.fromkeys(a)), b, n, k),
            "A name that stands twice in `train` counts twice: no set of names.",
        ),
        Mistake(
            loss(a, b, n, k, words=True),
            "This is a mean over words of means over their n-grams; the mean is over all "
            "n-grams, so long words weigh more.",
        ),
        Mistake(right / np.log(2), "This is in bits; take the natural logarithm for nats."),
        Mistake(
            loss(a, b, n, k, in_sums=0),
            "The k is added to the counts but not to their sums, so the rows don't sum to 1: "
            "sum after adding k.",
        ),
        Mistake(
            loss(a, b, n, k, in_sums=k / size),
            "The k is added once to the sum of a row; but each of its V counts gains k, so the "
            "sum gains V times k.",
        ),
        Mistake(
            loss(a, b, n, k, axis=None),
            "These are the shares of the n-grams among all n-grams; the model needs the "
            "probability of the last character *given* those before it, so divide each row by "
            "its own sum.",
        ),
        Mistake(
            loss(a, b, n, k, end=False),
            "The end is missing: one boundary must follow each word.",
        ),
        Mistake(
            loss(a, b, n, k, front=0, end=False),
            "Only the letters are counted: n − 1 boundaries must stand before each word and "
            "one after it.",
        ),
        *(
            Mistake(
                loss(*lists, n, k, front=front),
                "There is a boundary too many at each word: n − 1 of them stand before it, 1 for "
                "a bigram, and one after it.",
            )
            for lists, front in (((a, b), n), (([w + "." for w in a], [w + "." for w in b]), n - 1))
        ),
        Mistake(right * total, "This is the sum over all n-grams; divide by their number."),
        Mistake(-right, "This is the log-likelihood; the loss is its negative."),
        Mistake(
            np.exp(right),
            "This is e to the power of the loss, the number of equally likely choices; return "
            "the loss itself.",
        ),
        Mistake(
            -np.log(mean),
            "This is the logarithm of a mean probability; the loss is the mean of logarithms.",
        ),
    ]
    if size != V:
        wrong += [
            Mistake(
                loss(a, b, n, k, in_sums=k * V / size),
                "Here there are 28 characters: take V from `len(stoi)`, not 27.",
            ),
            Mistake(
                loss(a, b, n, k, stoi={**stoi, ".": 0}),
                "The boundary's number is taken to be 0: look it up, `stoi['.']`.",
            ),
        ]
    if k != 1:
        wrong.append(Mistake(loss(a, b, n, 1), f"This is the loss for k = 1; here it is {k}."))
    if n == 3:  # for n = 2 the loss is the same, since each character is left and entered
        wrong += [
            Mistake(
                loss(a, b, n, k, keepdims=False),
                "Each row was divided by another row's sum: the sum needs `keepdim=True`. (The "
                "bigram's loss comes out right all the same, as in the lecture.)",
            ),
            Mistake(loss(a, b, 2, k), "This is the loss of a bigram, and n is 3."),
            Mistake(
                loss(a, b, n, k, front=1),
                "With two characters of context, two boundaries must stand before each word: n "
                "− 1 of them.",
            ),
            Mistake(
                loss(a, b, n, k, axis=1),
                "Dimension 1 is the last one only for a bigram; sum along the last, `-1`.",
            ),
            Mistake(
                loss(a, b, n, k, axis=0),
                "`sum(0)` adds over the first character; the sum of a row runs along the last "
                "dimension, `-1`. (The bigram's loss comes out right all the same.)",
            ),
        ]
    hint = None
    if isinstance(got["loss"], float | np.ndarray) and not np.isfinite(got["loss"]).all():
        hint = "Some n-gram has probability 0, or its row divides 0 by 0: is k added to every "
        hint += "count?"
    elif isinstance(got["loss"], float) and got["loss"] in [round(right, d) for d in range(6)]:
        hint = "This is rounded; return the loss as it is."
    expect("ngram_loss", got["loss"], right, tol=2e-6, mistakes=wrong, hint=hint)


def unsmoothed(rng: np.random.Generator) -> dict:
    """Return names that train has, over 256 times, and with a pair or a letter that it lacks."""
    first, second = int(rng.integers(257, 384)), int(rng.integers(1, 6))
    return {
        "train": ["ab"] * first + ["b"] * second,
        "held_outs": [["ab", "b"], ["aa", "b"], ["b", "cb"]],
        "n": 2,
        "k": 0.0,
        "stoi": {".": 0, "a": 1, "b": 2, "c": 3},
    }


def loss_unsmoothed(given: dict, got: dict) -> None:
    train, known = given["train"], given["held_outs"][0]

    def loss(held_out, k, train=train):
        return ngram_loss(train, held_out, 2, k, stoi=given["stoi"])

    wrapped = (
        "A count above 255 doesn't fit into 8 bits, and begins again at 0: count in floats, or "
    )
    wrapped += "in 64 bits."
    one = "This is the loss for k = 1, and k is 0."
    expect(
        "ngram_loss, every pair seen",
        got["losses"][0],
        loss(known, 0),
        mistakes=[Mistake(loss(known, 1), one), Mistake(loss(known, 0, train[256:]), wrapped)],
    )
    for what, found in zip(("a pair", "a letter"), got["losses"][1:], strict=True):
        hint = None
        if isinstance(found, float | np.ndarray) and np.isnan(found).any():
            hint = "The row of a context that train never has divides 0 by 0: what follows it has "
            hint += "probability 0; `.nan_to_num()` makes zeros of NaNs."
        elif isinstance(found, float | np.ndarray) and np.isfinite(found).all():
            hint = (
                "What was never seen and is not smoothed has probability 0 and an infinite loss; "
                "leaving such a pair out, or adding a little something, hides it."
            )
        expect(f"ngram_loss, {what} unseen", found, np.inf, hint=hint)
