"""What comes of sharing out and reading the rows of 10.6 wrongly."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from zerotohero.course.exercise import Mistake


def order_hint(table: list[list[list[int]]], R: int) -> str | None:
    """Return the hint for a stream that skips or repeats rows, if one mistake explains it.

    table: the numbers, by step and rank. R: how many rows there are.
    """
    W, B = len(table[0]), len(table[0][0])
    if W > 1 and all(numbers == ranks[0] for ranks in table for numbers in ranks):
        return "All processes take the same rows: the rank has to shift where they begin."
    if B * W < R and all(ranks == table[0] for ranks in table):
        return "Every step takes the same rows: the step has to shift where they begin."
    steps = list(pairwise(table))
    if W > 1 and all(ranks[1:] == then[:-1] for ranks, then in steps):
        return (
            "A process takes in the next step what its neighbour takes in this one: a step moves "
            "all on by world · B."
        )
    stream = [n for ranks in table for numbers in ranks for n in numbers]
    if R > 1 and R - 1 not in stream and {*range(R - 1)} <= {*stream}:
        return "Row R − 1 never comes: with R · T + 1 tokens there are R rows, and no rest."
    if len(stream) > 2 * R and {*stream} == {*range(max(stream) + 1)}:
        if max(stream) < R - 1:
            return "The last rows never come: R is (n_tokens − 1) // T."
        turns = [numbers[i] for ranks in table for i in range(B) for numbers in ranks]
        if turns != stream and each_once(turns, R):
            return (
                "In a step the processes take turns, row by row: first come the B rows of rank 0, "
                "then the B of rank 1."
            )
    whole, up = R // (W * B) * W * B, -(-R // (W * B)) * W * B
    if whole != R:
        if 0 < whole < len(stream) / 1.5 and each_once(stream, whole):
            return (
                "The rest of an epoch, which doesn't fill a step, is left out: the step takes it, "
                "and goes on with the next epoch."
            )
        if len(stream) >= up and len({*stream[:R]}) == R and {*stream[R:up]} <= {*stream[:R]}:
            again = stream[R:up]
            if again == stream[: up - R] or again == [stream[R - 1]] * (up - R):
                return (
                    "The last step of an epoch is filled up with rows that it had already: go on "
                    "with the next epoch's."
                )
    own = [[n for ranks in table for n in ranks[rank]] for rank in range(W)]
    for sizes in ([len(range(rank, R, W)) for rank in range(W)], [R // W] * W):
        epochs = min(len(mine) // max(1, n) for mine, n in zip(own, sizes, strict=True))
        parts = [
            [n for mine, k in zip(own, sizes, strict=True) for n in mine[e * k : (e + 1) * k]]
            for e in range(epochs)
        ]
        if W > 1 and parts and all(len({*part}) == len(part) == sum(sizes) for part in parts):
            return (
                "Each process goes through a part of its own, and these end at different times: "
                "all of them share one stream."
            )
    behind = stream[R : -(-R // B) * B]
    if behind and len({*stream[:R]}) == R and behind == stream[: len(behind)]:
        return (
            "The batch in which an epoch ends begins this epoch again: it goes on with the next "
            "one, whose order is another."
        )
    if len({*stream[:R]}) > 0.85 * R:  # something at an epoch's edge
        return None
    taken: dict[tuple[int, int], list[int]] = {}  # by epoch and rank
    for p, n in enumerate(stream):
        taken.setdefault((p // R, p // B % W), []).append(n)
    if all(any(each_once(mine[at:], R, mine[:at]) for at in range(R)) for mine in own):
        return (
            "Each process goes through an order of its own, or is at another place of it: there is "
            "one stream for all, and step and rank say where in it."
            if W > 1
            else None
        )
    if any(len({*numbers}) < len(numbers) for numbers in taken.values()):
        return (
            "Some rows come again before others have come at all, as if they were drawn with "
            "replacement: mix all R of them once an epoch, and take one after another."
        )
    return (
        "Each process has an order of its own, so that some rows come twice and others not at all: "
        "the order is one for all, and the rank says where in it."
    )


def each_once(stream: list[int], size: int, before: Sequence[int] = ()) -> bool:
    """Return whether no number comes twice in one of the parts of that size, or before them."""
    parts = [before, *(stream[at : at + size] for at in range(0, len(stream), size))]
    return all(len({*part}) == len(part) for part in parts)


def share_of_neighbours(order: list[int], other: list[int]) -> float:
    """Return how many of the pairs that stand side by side in one order do so in the other."""
    pairs = [{frozenset(pair) for pair in pairwise([*o, o[0]])} for o in (order, other)]
    return len(pairs[0] & pairs[1]) / len(order)


TWICE = "A row whose number stands twice in `numbers` comes once: each number has a row of its own."


def wrong_rows(shards: list[np.ndarray], T: int, numbers: list[int], which: int) -> list[Mistake]:
    """Return wrong inputs (which = 0) or targets (1), each with its hint."""
    flat = np.concatenate(shards).astype(np.int64)
    ends = np.cumsum([len(shard) for shard in shards])
    starts = np.array(numbers) * T
    whole = np.concatenate([flat, np.zeros(T + len(numbers) + flat.size, np.int64)])

    def at(starts: np.ndarray) -> np.ndarray:
        return whole[np.array(starts)[:, None] + np.arange(T + 1)]

    def first_part(start: int) -> tuple[int, list[int]]:
        """Return the shard in which a row begins, and what of the row lies there."""
        k = int(np.searchsorted(ends, start, "right"))
        return k, flat[start : min(start + T + 1, ends[k])].tolist()

    def filled(row: list[int]) -> list[int]:
        return (row + [0] * (T + 1))[: T + 1]

    def at_the_end(go_on: Callable[[int, list[int]], np.ndarray]) -> np.ndarray:
        """Return rows that go on, behind the end of a shard, with something else, and then 0."""
        parts = map(first_part, starts.tolist())
        return np.array([filled(row + go_on(k, row).tolist()) for k, row in parts])

    def seams(skipped: int, again: int) -> np.ndarray:
        """Return rows that skip tokens at each seam, or have them again."""
        rows = []
        for start in starts.tolist():
            k, row = first_part(start)
            while len(row) < T + 1 and k + 1 < len(shards):
                k, kept = k + 1, row[len(row) - again :]
                row = row + kept + of(k)[skipped:].tolist()
            rows.append(filled(row))
        return np.array(rows)

    def where_it_began() -> np.ndarray:
        """Return rows that go on in the next shard where they began in the first."""
        rows = []
        for start in starts.tolist():
            k = int(np.searchsorted(ends, start, "right"))
            row, place = [], start - int(ends[k - 1] if k else 0)
            while len(row) < T + 1 and k < len(shards):
                row += of(k)[place : place + T + 1 - len(row)].tolist()
                k += 1
            rows.append(filled(row))
        return np.array(rows)

    def of(k: int) -> np.ndarray:
        return flat[ends[k - 1] if k else 0 : ends[k]] if k < len(ends) else flat[:0]

    per_shard = [max(0, (len(shard) - 1) // T) for shard in shards]
    firsts = np.concatenate([[0], ends[:-1]])
    apart = [first + i * T for first, n in zip(firsts, per_shard, strict=True) for i in range(n)]
    kept = [min(s, ends[np.searchsorted(ends, s, "right")] - T - 1) for s in starts]
    moved = [
        s if s + T + 1 <= (end := ends[np.searchsorted(ends, s, "right")]) else end for s in starts
    ]
    right = at(starts)
    found = [
        (at(np.array(numbers)), "Row r begins at token r: at r · T it has to."),
        (
            at(np.array(numbers) * (T + 1)),
            "Row r begins at r · (T + 1): rows overlap by one token, which is the last target of "
            "one and the first input of the next.",
        ),
        (
            at_the_end(lambda k, row: np.zeros(0, int)),
            "What lies behind the end of a shard is filled with zeros: it is in the next shard.",
        ),
        (
            at_the_end(lambda k, row: np.resize(of(k), T + 1)),
            "At the end of a shard the row goes on at its start: it goes on in the next one.",
        ),
        (
            seams(1, 0),
            "At the seam a token is lost: the next shard begins at 0.",
        ),
        (
            seams(0, 1),
            "At the seam a token comes twice.",
        ),
        (
            at_the_end(lambda k, row: of(k + 1)),
            "A row goes on in the next shard, but where that one is short, in the one behind it, "
            "too.",
        ),
        (
            where_it_began(),
            "In the next shard a row goes on at the place where it began in the first: it goes on "
            "at 0.",
        ),
        (at([*dict.fromkeys(starts.tolist())]), TWICE),
        (at(np.unique(starts)), TWICE),
        (at(moved), "A row that goes over the end begins in the next shard: tokens are skipped."),
        (
            at(np.maximum(kept, 0)),
            "A row that goes over the end is moved back until it fits: tokens are read twice.",
        ),
        (
            np.concatenate([flat, np.zeros(10**5, np.int64)])
            .astype(np.uint16)
            .astype(np.int16)[starts[:, None] + np.arange(T + 1)],
            "Tokens above 32,767 have become negative: int16 doesn't hold them.",
        ),
    ]
    if max(numbers) < len(apart):
        found.append(
            (
                at([apart[n] for n in numbers]),
                "Rows are counted in each shard by itself: the shards are one sequence, and row r "
                "begins at r · T of that.",
            )
        )
    found.append(
        (
            at(np.sort(starts)),
            "The rows come in the order of the text: that of `numbers` is asked for.",
        )
    )
    order = np.concatenate(shards[::-1]).astype(np.int64)
    found.append((order[starts[:, None] + np.arange(T + 1)], "The shards come in reverse order."))
    slices = slice(0, T) if which == 0 else slice(1, T + 1)
    mistakes = [Mistake(rows[:, slices], hint) for rows, hint in found]
    if which == 1:
        rolled = np.roll(right[:, :-1], -1, 1)
        mistakes += [
            Mistake(right[:, :-1], "The targets are the inputs: they begin one token further."),
            Mistake(
                rolled,
                "The last target is the row's own first token: it is the token behind the inputs.",
            ),
            Mistake(
                np.roll(right[:, :-1], 1, 1), "Shifted the wrong way: targets lie one further."
            ),
        ]
    else:
        mistakes.append(Mistake(right[:, 1:], "Targets stand where the inputs are asked for."))
    return mistakes
