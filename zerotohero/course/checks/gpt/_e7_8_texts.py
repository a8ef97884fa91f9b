"""The texts and the baseline of 7.8, and what wrong baselines give, with the hint for each."""

import math

import numpy as np

from zerotohero.course.exercise import Mistake

LETTERS = "abcdefghijklmnopqrstuvwxyzäéñøπя"


def language(rng: np.random.Generator, size: int) -> str:
    """Return a text of made-up words, of which a few stand in its last tenth alone."""
    letters = rng.choice([*LETTERS], 18, replace=False)

    def word() -> str:
        return "".join(rng.choice(letters, rng.integers(3, 9)))

    words, new = [word() for _ in range(60)], ["".join(rng.choice(letters, 7)) for _ in range(3)]
    parts, length = [], 0
    while length < size:
        late = length > 0.905 * size  # the last tenth has some words that only it has
        n = int(rng.integers(4, 9))
        strange = [late and rng.random() < 0.2 for _ in range(n)]
        sentence = " ".join(str(rng.choice(new if s else words)) for s in strange) + ".\n"
        parts.append(sentence)
        length += len(sentence)
    return "".join(parts)


def parts_of(text: str) -> tuple[str, np.ndarray, np.ndarray]:
    chars = "".join(sorted(set(text)))
    tokens = np.array([chars.index(c) for c in text])
    cut = int(0.9 * len(text))
    return chars, tokens[:cut], tokens[cut:]


def baseline_loss(train: np.ndarray, val: np.ndarray, V: int) -> float:
    """Return the mean loss on val's pairs of neighbours, by those of train and one of each."""
    counts = np.ones((V, V))
    np.add.at(counts, (train[:-1], train[1:]), 1)
    return float(-np.log((counts / counts.sum(1, keepdims=True))[val[:-1], val[1:]]).mean())


def baseline_wrongly(train: np.ndarray, val: np.ndarray, V: int) -> list[Mistake]:
    def counted(tokens: np.ndarray, extra: float = 1.0) -> np.ndarray:
        counts = np.full((V, V), extra)
        np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
        return counts

    def loss(
        counts: np.ndarray, tokens: np.ndarray = val, axis: int = 1, keepdims: bool = True
    ) -> np.ndarray:
        with np.errstate(all="ignore"):
            p = counts / counts.sum(axis, keepdims=keepdims)
            return -np.log(p[tokens[:-1], tokens[1:]])

    counts, unigram = counted(train), np.bincount(train, minlength=V) + 1
    want = baseline_loss(train, val, V)
    bridged = np.concatenate([train[-1:], val])
    once = np.ones((V, V))
    once[train[:-1], train[1:]] += 1
    none = loss(counted(train, 0))
    end = "is not counted: the pairs are `train[:-1]` with `train[1:]`."
    wrong = [
        (
            loss(counts, train).mean(),
            "That is the loss on the training part, from which the counts come: measure on `val`.",
        ),
        (
            loss(counted(val)).mean(),
            "The pairs of `val` were counted: the baseline may learn from `train` alone.",
        ),
        *(
            (
                loss(both).mean(),
                "The pairs of `val` were counted too: the baseline may learn from `train` alone, "
                "as the model does.",
            )
            for both in (counted(np.concatenate([train, val])), counts + counted(val, 0))
        ),
        (
            loss(once).mean(),
            "Each pair is counted once, however often it comes: `counts[i, j] += 1` with many "
            "places at once adds 1 to each of them one time. `counts.index_put_((i, j), ones, "
            "accumulate=True)` adds all.",
        ),
        (loss(counted(train[:-1])).mean(), f"The last pair of `train` {end}"),
        (loss(counted(train[1:])).mean(), f"The first pair of `train` {end}"),
        (want / math.log(2), "That is in bits: take the natural logarithm."),
        (loss(counts).sum(), "That is the sum: return the mean."),
        (-want, "The sign is turned round: a loss is −log p."),
        (
            loss(counts.T).mean(),
            "The table is turned round: the row is the first of a pair, the column the second.",
        ),
        (
            loss(counts, axis=0).mean(),
            "The probabilities of a *row* add up to 1: what follows a character, not what stands "
            "before it.",
        ),
        (
            loss(counts, keepdims=False).mean(),
            "Each column was divided by the sum of a row: `counts.sum(1)` needs `keepdim=True`, so "
            "that each row is divided by its own.",
        ),
        (
            -np.log((counts / counts.sum())[val[:-1], val[1:]]).mean(),
            "You divide by the sum of the whole table: each row adds up to 1.",
        ),
        (
            loss(counts, bridged).mean(),
            "The pair across the cut, from the end of `train` to the start of `val`, is counted: "
            "only neighbours in `val` are.",
        ),
        (
            -np.log(unigram / unigram.sum())[val].mean(),
            "That looks at single characters: the baseline is that of pairs.",
        ),
        (
            -np.log(unigram / unigram.sum())[val[1:]].mean(),
            "That looks at single characters: the baseline is that of pairs.",
        ),
        (np.exp(want), "That is the perplexity, e to the loss."),
        (
            np.log((counts / counts.sum(1, keepdims=True))[val[:-1], val[1:]].mean()) * -1,
            "The logarithm comes before the mean: the mean of −log p.",
        ),
        (
            none[np.isfinite(none)].mean(),
            "Pairs that never came are left out of the mean: add 1 to every count instead.",
        ),
    ]
    return [Mistake(float(value), hint) for value, hint in wrong]
