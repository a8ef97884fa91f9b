"""What wrong answers to 7.6 give or raise, and the hint for each; and which tokens are kept."""

import numpy as np

from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import Mistake


def keeps(probs: np.ndarray, p: float, shift: int = 0, rising: bool = False) -> np.ndarray:
    """Return which tokens are kept: `shift` more or fewer than right, or from the unlikely end."""
    order = np.argsort(probs if rising else -probs, 1, kind="stable")
    ranked = np.take_along_axis(probs, order, 1)
    count = (ranked.cumsum(1) - ranked < p).sum(1, keepdims=True) + shift
    keep = np.zeros(probs.shape, bool)
    np.put_along_axis(keep, order, np.arange(probs.shape[1]) < count, 1)
    return keep


def _likeliest(probs: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(np.argsort(-probs, 1, kind="stable"), 1) < count


def renormalised(weights: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return weights / weights.sum(1, keepdims=True)


def _kept_wrongly(logits: np.ndarray, probs: np.ndarray, p: float) -> list[tuple]:
    """Return wrong choices of tokens, each with its hint."""
    V, keep, fewer = probs.shape[1], keeps(probs, p), keeps(probs, p, -1)
    order = np.argsort(-probs, 1, kind="stable")
    top, sizes = probs.max(1, keepdims=True), keep.sum(1)

    def falling(x: np.ndarray) -> np.ndarray:
        return np.take_along_axis(x, order, 1)

    def put_back(in_order: np.ndarray) -> np.ndarray:
        x = np.empty_like(in_order)
        np.put_along_axis(x, order, in_order, 1)
        return x

    def before(x: np.ndarray, axis: int = 1) -> np.ndarray:
        return x.cumsum(axis) - x

    crossing = (
        "The token with which the sum reaches p is dropped: it belongs to the nucleus. Ask for the "
        "sum of the tokens before it: is that still below p?"
    )
    back = (
        "The decision was made in sorted order and used in the vocabulary's: other tokens are kept "
        "than those you meant. Put it back with the indices that `sort` returned, by `scatter`."
    )
    unsorted = (
        "The probabilities are added up in the vocabulary's order: sort each row first, the "
        "likeliest in front."
    )
    rising = (
        "Sorted in rising order, the sum begins with the unlikeliest tokens: `descending=True`. "
        "(Or drop, from that end, what adds up to no more than 1 − p.)"
    )
    along = (
        "Each row is a distribution of its own: sort, add up and divide along the last axis, V, "
        "not along the batch."
    )
    flat = probs.reshape(1, -1) / len(probs)
    down = np.argsort(-probs, 0, kind="stable")
    by_column = np.zeros_like(keep)
    np.put_along_axis(by_column, down, before(np.take_along_axis(probs, down, 0), 0) < p, 0)
    wrong = [
        (fewer, crossing),
        (falling(keep), back),
        (falling(fewer), back),
        (before(probs) < p, unsorted),
        (probs.cumsum(1) <= p, unsorted),
        (put_back(before(probs) < p), unsorted),
        (keeps(probs, p, 0, rising=True), rising),
        (keeps(probs, p, -1, rising=True), rising),
        (~keeps(probs, p, 0, rising=True), rising),
        (~keeps(probs, p, -1, rising=True), rising),
        (
            keeps(probs, p, 1),
            "One token too many is kept: as soon as the sum reaches p, the nucleus is complete.",
        ),
        (
            ~keep,
            "The nucleus is dropped, and the rest of the row is kept: it is the other way round.",
        ),
        (
            probs >= p,
            "You keep tokens whose own probability is at least p: it is the sum of the likeliest "
            "that has to reach p.",
        ),
        (
            probs >= 1 - p,
            "You keep tokens whose own probability is at least 1 − p: it is the sum of the "
            "likeliest that has to reach p.",
        ),
        (
            probs >= p * top,
            "You compare each token with p times the likeliest (that is min-p): here the sum of "
            "the likeliest has to reach p.",
        ),
        (
            put_back(before(falling(logits)) < p),
            "You add up logits. Only probabilities add up to 1: softmax comes before the sum.",
        ),
        (by_column, along),
        (put_back(before(falling(probs), 0) < p), along),
        (
            keeps(flat, p).reshape(probs.shape),
            "One nucleus is taken of the whole batch: each row is a distribution of its own, and "
            "keeps its own.",
        ),
    ]
    reasons = {
        max(1, round(p * V)): ", which is p · V",
        int(sizes.max()): ", as many as the row that needs most",
        int(sizes[0]): ", as many as the first row needs",
    }
    for k in range(1, V):
        same = f"Each row keeps the same number of tokens, {k}{reasons.get(k, '')}: how many are "
        same += "needed differs from row to row."
        wrong.append((_likeliest(probs, k), same))
    return wrong


def top_p_wrongly(logits: np.ndarray, p: float, temperature: float) -> list[Mistake]:
    plain, probs = softmax(logits), softmax(logits / temperature)
    keep = keeps(probs, p)
    right = renormalised(probs * keep)
    order = np.argsort(-probs, 1, kind="stable")
    in_order = np.take_along_axis(right, order, 1)
    hot, divided = softmax(logits * temperature), softmax(plain / temperature)
    twice = softmax(logits / temperature**2)
    batch = softmax(logits / temperature, 0)
    sorted_still = (
        "The result is in sorted order, the likeliest first: column i has to be token i again. "
        "`scatter` with the indices of `sort`."
    )
    not_rows = "Each row is a distribution of its own: softmax and sums go along the last axis, V."
    filtered = "These are filtered logits: return probabilities."
    zeroed = (
        "The logits of the dropped tokens are set to 0, and softmax gives them exp(0): hide them "
        "with −∞, or set probabilities to 0 and divide by the sum."
    )
    again = "softmax is taken a second time, of probabilities: divide by the sum instead."
    with np.errstate(divide="ignore"):
        wrong = [
            (probs * keep, "What is left doesn't add up to 1: divide each row by its sum."),
            (
                probs,
                "Nothing is filtered: these are the probabilities of all tokens. (If you shift a "
                "mask by one, `m[:, 1:] = m[:, :-1]`, the right side needs `.clone()`: it is "
                "overwritten while it is read.)",
            ),
            (in_order, sorted_still),
            (in_order * renormalised(probs * keep).max(), sorted_still),
            (
                np.take_along_axis(in_order, order, 1),
                "The result is sorted once more instead of put back. The way back is `scatter` "
                "with the indices of `sort`, or `gather` with their `argsort(-1)`, not one with "
                "the other's.",
            ),
            (renormalised(batch * keeps(batch, p)), not_rows),
            (renormalised((probs * keep).T).T, not_rows),
            *(
                (
                    v,
                    "The whole batch adds up to 1: divide each row by its own sum, `sum(-1, "
                    "keepdim=True)`.",
                )
                for v in (right / len(right), probs * keep / probs[keep].sum())
            ),
            (np.log(right), "These are logarithms: return the probabilities."),
            (np.where(keep, logits, -np.inf), filtered),
            (np.where(keep, logits / temperature, -np.inf), filtered),
            (softmax(np.where(keep, logits / temperature, 0.0)), zeroed),
            (softmax(probs * keep), again),
            (softmax(np.where(keep, probs, -np.inf)), again),
        ]
    if temperature != 1:
        wrong += [
            (
                renormalised(probs * keeps(plain, p)),
                "The temperature comes after the filter: the nucleus is of the probabilities at "
                "this temperature, so divide the logits first.",
            ),
            (renormalised(plain * keeps(plain, p)), "The temperature isn't used."),
            (
                renormalised(plain * keep),
                "The temperature decides which tokens are kept, but their probabilities are those "
                "without it.",
            ),
            (renormalised(twice * keeps(twice, p)), "The temperature is used twice."),
            (
                renormalised(hot * keeps(hot, p)),
                "The logits are multiplied by the temperature: divide by it, so that a high one "
                "makes rows flatter.",
            ),
            *(
                (
                    renormalised(v),
                    "The temperature divides probabilities: it belongs to the logits, before "
                    "softmax.",
                )
                for v in (
                    divided * keeps(divided, p),
                    plain * keeps(plain, p * temperature),
                )
            ),
        ]
    flat = (probs / len(probs)).reshape(1, -1)
    whole = renormalised(flat * keeps(flat, p)).reshape(probs.shape)
    wrong.append((whole, "The whole batch is treated as one distribution: each row is one."))
    for kept, hint in _kept_wrongly(logits / temperature, probs, p):
        values = renormalised(probs * kept)
        # Renormalised or not, and with zeros or NaN where nothing is left.
        wrong += [(v, hint) for v in (values, np.nan_to_num(values), probs * kept)]
    return [Mistake(value, hint) for value, hint in wrong]


def nucleus_at(logits: np.ndarray, p: float, temperature: float) -> np.ndarray:
    probs = softmax(logits.astype(np.float64) / temperature)
    return renormalised(probs * keeps(probs, p))


def temperatures_of(logits: np.ndarray, probs) -> list[float]:
    """Return the temperature that the flattest row tells, if what came are such probabilities."""
    if not isinstance(probs, np.ndarray) or probs.shape != logits.shape or probs.dtype.kind != "f":
        return []
    row = softmax(logits.astype(np.float64)).max(1).argmin()
    kept = probs[row] > 0
    with np.errstate(all="ignore"):
        told = np.ptp(logits[row][kept]) / np.ptp(np.log(probs[row][kept])) if kept.any() else 0.0
    return [float(told)] if 0 < told < np.inf else []


def at_another(told: float, passed: float) -> str:
    """Return the hint for what is right at another temperature than the one that was passed."""
    hint = f"These are the probabilities at temperature {told:.4g}"
    if passed == 1:
        return f"{hint}: where none is passed, it is 1, `temperature: float = 1.0`."
    hint += f", where {passed:g} was passed: the logits are divided by it as it is, however small "
    return hint + "or large."


TOP_P_CRASHES = {
    "must match the size|is broadcastable|expanded size": "The sum of each row needs an axis to be "
    "divided by: `keepdim=True` leaves (B, 1).",
    "requires.*int64|Expected dtype int64|indices must be long": "`scatter` and indexing need the "
    "*indices* that `sort` returns second.",
    "single memory location": "A slice is copied onto a part of itself: the right side needs "
    "`.clone()`.",
    "out of bounds|out of range": "An index beyond the row: if all tokens are kept, is there one "
    "with which the sum reaches p?",
}
