"""A batch in micro-batches for 10.3: losses and gradients of each, and what mistakes give."""

from collections.abc import Callable

import numpy as np

from zerotohero import IGNORED
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import Mistake

PARAMETERS = ("wte", "w", "b")


class Pieces:
    """Sums of losses and of gradients, and counts of targets, by micro-batch of `rows` rows.

    The model is tanh(wte[x]) @ w.T + b.
    """

    def __init__(self, model: dict, x: np.ndarray, y: np.ndarray, rows: int, before: dict):
        starts = range(0, len(x), rows)
        self.sums = [_sums(model, x[i : i + rows], y[i : i + rows]) for i in starts]
        self.counts = [int((y[i : i + rows] != IGNORED).sum()) for i in starts]
        self.sizes = [len(x[i : i + rows]) for i in starts]
        self.positive = int((y > 0).sum())
        self.bare = [(y[i : i + rows] == IGNORED).all(1).tolist() for i in starts]
        self.places, self.before, self.batch = y.size, before, (model, x, y)
        total = self.added("loss") / sum(self.counts)
        self.loss = float(total)
        self.grads = {name: self.added(name) / sum(self.counts) for name in PARAMETERS}

    def added(self, name: str, weights=None) -> np.ndarray:
        """Return the sum over the micro-batches, each times its weight."""
        weights = [1] * len(self.sums) if weights is None else weights
        return sum(weight * piece[name] for weight, piece in zip(weights, self.sums, strict=True))

    def mean_of_rows(self, name: str) -> np.ndarray:
        """Return the mean over the rows of each row's own mean."""
        model, x, y = self.batch
        counts = (y != IGNORED).sum(1)
        rows = [_sums(model, x[i : i + 1], y[i : i + 1])[name] for i in range(len(x))]
        return sum(row / max(1, n) for row, n in zip(rows, counts, strict=True)) / len(x)

    def of_whole(self, name: str, change: Callable) -> np.ndarray:
        """Return the sum over the whole batch, with x and y changed."""
        model, x, y = self.batch
        return _sums(model, *change(x, y))[name]


def _sums(model: dict, x: np.ndarray, y: np.ndarray) -> dict:
    wte, w, b = (model[name] for name in PARAMETERS)
    kept = y != IGNORED
    h, targets = np.tanh(wte[x[kept]]), y[kept]
    probs = softmax(h @ w.T + b) if len(h) else np.zeros((0, len(b)))
    rows = np.arange(len(h))
    loss = -np.log(probs[rows, targets]).sum()
    d = probs
    d[rows, targets] -= 1
    table = np.zeros(wte.shape)
    np.add.at(table, x[kept], (d @ w) * (1 - h * h))
    return {"loss": loss, "w": d.T @ h, "b": d.sum(0), "wte": table}


def wrongly(pieces: Pieces, name: str) -> list[Mistake]:
    """Return what mistakes make of the loss, or of a parameter's gradient."""
    n, K, N, B = pieces.counts, len(pieces.counts), sum(pieces.counts), sum(pieces.sizes)
    by_count = [1 / max(1, c) for c in n]
    last = [0] * (K - 1) + [1]
    not_last = [1 - one for one in last]
    add = pieces.added
    cleared = "Only the last micro-batch is in it: "
    cleared += (
        "add up the losses of all."
        if name == "loss"
        else "`.grad` was cleared within the loop, and not before it."
    )
    by_rows = [size / B * one for size, one in zip(pieces.sizes, by_count, strict=True)]
    found = [
        (
            add(name, by_count) / K,
            "A mean of means: a micro-batch with few targets counts as much as one with many. Add "
            "up sums, and divide by the number of all targets.",
        ),
        (
            pieces.mean_of_rows(name),
            "A mean of the rows' means: a row with few targets counts as much as one with many.",
        ),
        (
            add(name, by_count),
            "The means of the micro-batches are added up, and divided by nothing.",
        ),
        (add(name), "The sum over all targets: it isn't divided by their number."),
        (
            add(name) / pieces.places,
            "Divided by B · T: places without a target count for nothing.",
        ),
        (add(name) / B, "Divided by the number of rows: the mean is over the targets."),
        (
            add(name) / K,
            "Sums, divided by the number of micro-batches: divide by that of all targets.",
        ),
        (
            add(name, by_rows),
            "Each micro-batch counts by its rows: by its targets it should.",
        ),
        (
            add(name) / N / K,
            "Divided once too often: by the number of micro-batches, after that of all targets.",
        ),
        (
            add(name) / (pieces.places // B * pieces.sizes[0]),
            "Divided by the places of one micro-batch, rows · T: all targets of the batch count.",
        ),
        (add(name) / pieces.positive, "0 is a target like any other: −100 alone is none."),
        (add(name) / (n[-1] or np.nan), "Divided by the targets of the last micro-batch alone."),
        (add(name) / (n[0] or np.nan), "Divided by the targets of the first micro-batch."),
    ]
    found += _of_places(pieces, name)
    if K > 1:
        found += [
            (add(name, last) / N, cleared),
            (add(name, last) / max(1, n[-1]), cleared),
            (
                add(name, not_last) / N,
                "The last micro-batch, which is smaller, is missing.",
            ),
            (
                add(name, not_last) / max(1, N - n[-1]),
                "The last micro-batch, which is smaller, is missing.",
            ),
        ]
    if name != "loss":
        right = pieces.grads[name]
        found += [
            (
                right + pieces.before.get(name, np.nan),
                "What was in `.grad` before was added to: clear it first.",
            ),
            (
                add(name, range(K, 0, -1)) / N,
                "The losses so far are differentiated again with each micro-batch: call "
                "`backward()` on the loss of this one alone.",
            ),
            (2 * right, "Twice as large: `backward()` was called twice."),
            (-right, "The sign is turned."),
        ]
    right = pieces.loss if name == "loss" else pieces.grads[name]
    found = [(value, hint) for value, hint in found if not np.allclose(value, right, 1e-9, 1e-12)]
    kind = float if name == "loss" else np.asarray
    return [Mistake(kind(value), hint) for value, hint in found]


def _of_places(pieces: Pieces, name: str) -> list[tuple[np.ndarray, str]]:
    """Return what mistakes about the places, and about rows without a target, make of it."""
    N = sum(pieces.counts)
    as_zero = pieces.of_whole(name, lambda x, y: (x, np.where(y == IGNORED, 0, y)))
    shifted = pieces.of_whole(name, lambda x, y: (x[:, :-1], y[:, 1:]))
    left = int((pieces.batch[2][:, 1:] != IGNORED).sum())
    zero = (
        "A place without a target is counted as if its target were 0: its loss has to be left out."
    )
    shift = "Shifted once more: the logits at position t belong to the target at position t."
    bare = "A micro-batch is left out because one of its rows has no target: the others have some."
    found = [
        (as_zero / N, zero),
        (as_zero / pieces.places, zero),
        (shifted / N, shift),
        (shifted / max(1, left), shift),
    ]
    for skipped in (any, lambda rows: rows[0]):
        weights = [0 if skipped(rows) else 1 for rows in pieces.bare]
        found.append((pieces.added(name, weights) / N, bare))
    return found
