"""What an ending is worth in 10.5, and what comes of scoring it wrongly."""

import math

import numpy as np

from zerotohero.course.exercise import Mistake


def some_scores(rng, lengths: tuple[tuple[int, int], ...], sure: float = 1.0) -> dict:
    """Return pairs of such lengths and a model. If it is sure, no ending is likely in any way."""
    V, H, T = 11, 6, 64  # a context that has room for rows filled up to a round number
    while True:
        # First no token comes twice, so that every mistake has a result of its own.
        mixed = [rng.choice(V, V, replace=sure > 1).tolist() for _ in lengths]
        pairs = [[row[:n], row[n : n + m]] for row, (n, m) in zip(mixed, lengths, strict=True)]
        sizes = {"emb": (V, H), "pos": (T, H), "out": (H, V)}
        given = {"pairs": pairs} | {name: rng.normal(size=size) for name, size in sizes.items()}
        given["out"] *= 1.5 * sure
        if len(pairs) > 2 and not any(0 in after for _, after in pairs):
            continue  # what takes 0 for filling must have something to lose
        if len(pairs) == 1 and 0 in (pairs[0][1][0], pairs[0][1][-1]):
            continue  # and must not lose just the first token, or the last
        if sure == 1 or max(map(max, _near(given))) < -10:
            return given


def _near(given: dict) -> list[np.ndarray]:
    """Return the logarithms that belong to an ending, and the one in front of them."""
    logs = _judged(given, rows_of(given, []))
    both = zip(logs, given["pairs"], strict=True)
    return [row[max(0, len(b) - 2) : len(b) + len(a) - 1] for row, (b, a) in both]


def _logits(given: dict, idx: np.ndarray) -> np.ndarray:
    x = given["emb"][idx] + given["pos"][: idx.shape[1]]
    past = x.cumsum(1) / np.arange(1, 1 + idx.shape[1])[:, None]
    return np.tanh(x + past) @ given["out"]


def _normal(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the logarithm of the softmax."""
    shifted = logits - logits.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


def rows_of(given: dict, seen: list) -> np.ndarray:
    """Return what the model was fed where that is right, else the rows filled up with 0."""
    joined = [before + after for before, after in given["pairs"]]
    T = max(map(len, joined))
    rows = np.array([row + [0] * (T - len(row)) for row in joined])
    fed = np.array(seen[0]) if len(seen) == 1 else rows
    right = fed.ndim == 2 and len(fed) == len(rows) and fed.shape[1] >= T
    right = right and all(f[: len(j)].tolist() == j for f, j in zip(fed, joined, strict=True))
    return fed if right else rows


def _judged(given: dict, idx: np.ndarray) -> np.ndarray:
    """Return the logarithm of the probability of each token but the first, (n, T - 1)."""
    return np.take_along_axis(_normal(_logits(given, idx))[:, :-1], idx[:, 1:, None], 2)[..., 0]


def sums_of(given: dict, idx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = _judged(given, idx)
    sums = [
        values[i, len(before) - 1 : len(before) + len(after) - 1].sum()
        for i, (before, after) in enumerate(given["pairs"])
    ]
    return np.array(sums), np.array([len(after) for _, after in given["pairs"]])


def wrong_sums(given: dict, idx: np.ndarray, came_to_nothing: bool) -> list[Mistake]:
    logits, pairs = _logits(given, idx), given["pairs"]
    logp = _normal(logits)

    def of(table: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        return np.take_along_axis(table, tokens[..., None], 2)[..., 0]

    right, itself = of(logp[:, :-1], idx[:, 1:]), of(logp, idx)

    def summed(values: np.ndarray, start: int | None = 0, stop: int | None = 0) -> list[float]:
        """Return sums from so many places behind the right start to so many behind the end."""
        out = []
        for row, (before, after) in zip(values, pairs, strict=True):
            first = 0 if start is None else max(0, len(before) - 1 + start)
            last = len(row) if stop is None else len(before) + len(after) - 1 + stop
            out.append(float(row[first:last].sum()))
        return out

    want = np.array(summed(right))
    longest = max(len(after) for _, after in pairs)
    over_rows = summed(of(_normal(logits, 0)[:, :-1], idx[:, 1:]))
    found = [
        (summed(right, None), "The context is scored too: only the tokens of `after` count."),
        (
            summed(right, 1),
            "The first token of each ending is lost: it is judged by the logits of the last token "
            "before it, at position len(before) − 1.",
        ),
        (summed(right, -1), "One token of the context is scored too: the last of `before`."),
        (summed(right, 0, -1), "The last token of each ending is lost."),
        (
            summed(right, -1, -1),
            "All is one position early: the last of `before` is scored, and that of `after` isn't.",
        ),
        (summed(np.where(idx[:, 1:] == 0, 0, right)), FILLING),
        (summed(right, 0, None), "The filling behind shorter rows is scored: stop at its start."),
        (
            summed(right, None, None),
            "Whole rows are scored, the contexts and the filling included.",
        ),
        (
            summed(itself, 1, 1),
            "Each token is judged by its own position's logits, which have seen it: those of the "
            "position before say what comes.",
        ),
        (
            summed(itself),
            "The logits at position t are read at token t, which they have seen: read them at "
            "token t + 1.",
        ),
        (
            summed(logp.max(-1)),
            "The likeliest tokens are scored: those of `after` are, however unlikely.",
        ),
        (
            [float(r[len(b) - 1]) for r, (b, _) in zip(right, pairs, strict=True)],
            "Only the first token of each ending is scored.",
        ),
        (
            [float(r[len(b) + len(a) - 2]) for r, (b, a) in zip(right, pairs, strict=True)],
            "Only the last token of each ending is scored.",
        ),
        (
            summed(of(logp[:, 1:], idx[:, :-1])),
            "Shifted the wrong way: the logits at t belong to token t + 1, not to token t − 1.",
        ),
        (
            -want,
            "The other sign: a loss is above 0, the logarithm of a probability below.",
        ),
        (want / math.log(2), "Logarithms to the base 2: the natural ones are asked for."),
        (want / math.log(10), "Logarithms to the base 10: the natural ones are asked for."),
        (summed(np.exp(right)), "Probabilities are added: take their logarithms, and add these."),
        (np.exp(want), "The probability itself, which underflows: its logarithm is asked for."),
        (
            summed(of(logits[:, :-1], idx[:, 1:])),
            "Logits are added: they become logarithms of probabilities by `log_softmax`.",
        ),
        (
            summed(of(_normal(logits, 1)[:, :-1], idx[:, 1:])),
            "`log_softmax` goes along the positions: the tokens are the last axis.",
        ),
        (
            [want.sum()] * len(pairs),
            "The sum of all rows together: each pair has one of its own.",
        ),
        (
            [float(r[-len(after) :].sum()) for r, (_, after) in zip(right, pairs, strict=True)],
            "The last places of the row are taken, which hold the filling where a row is shorter.",
        ),
        (
            [
                float(r[len(pairs[0][0]) - 1 :][: len(after)].sum())
                for r, (_, after) in zip(right, pairs, strict=True)
            ],
            "All rows are cut where the first one's context ends: each has its own.",
        ),
        (
            [
                float(r[len(b) - 1 : len(b) - 1 + longest].sum())
                for r, (b, _) in zip(right, pairs, strict=True)
            ],
            "As many tokens are scored as the longest ending has.",
        ),
    ]
    if came_to_nothing or len(pairs) > 1:  # of one row alone, that is the logarithm of 1
        hint = "`log_softmax` goes along the rows: the tokens are the last axis."
        if len(pairs) == 1:
            hint = f"Either no token is added up, or {hint}"
        found.insert(0, (over_rows, hint))
    clamped = "Improbable tokens are held above a limit: an ending may be as improbable as it is."
    for least in (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-20, 1e-30):
        found += [
            (summed(np.log(np.exp(right) + least)), clamped),
            (summed(np.log(np.maximum(np.exp(right), least))), clamped),
        ]
    return [Mistake(np.array(value), hint) for value, hint in found]


FILLING = (
    "A token of an ending is taken for filling, because it is the same token: count by the lengths "
    "of the lists."
)


def wrong_means(given: dict, idx: np.ndarray) -> list[Mistake]:
    sums, n = sums_of(given, idx)
    before = np.array([len(b) for b, _ in given["pairs"]])
    swap = "The mean is the sum itself: divide by the number of tokens in `after`."
    found = [
        (sums, swap),
        (sums / (before + n), "Divided by the length of the row: `after` alone counts."),
        (sums / (before + n - 1), "Divided by the length of the row: `after` alone counts."),
        (sums / idx.shape[1], "Divided by the length of the longest row."),
        (sums / (idx.shape[1] - 1), "Divided by the length of the longest row."),
        (sums / n.max(), "Divided by the length of the longest ending: each has its own."),
        (sums / before, "Divided by the length of the context."),
        (np.exp(-sums / n), "That is the perplexity, e to the mean loss: return the mean itself."),
        (-sums / n, "The mean has the other sign than the sum."),
        (sums / (n + 1), "Divided by one token too many."),
        (sums / np.maximum(1, [len(a) - a.count(0) for _, a in given["pairs"]]), FILLING),
        (sums / len(sums), "Divided by the number of pairs: by the tokens of each `after`."),
    ]
    with np.errstate(divide="ignore"):
        found.append((sums / (n - 1), "Divided by one token too few."))
    found.append(
        (np.full(len(sums), (sums / n).mean()), "One mean of all pairs: each has its own.")
    )
    return [Mistake(value, hint) for value, hint in found]
