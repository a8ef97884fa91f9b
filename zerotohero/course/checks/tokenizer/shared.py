"""What the exercises of lecture 09 share: pairs counted and merged, vocabularies, texts."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

Pair = tuple[int, int]

# Words in which runs, ties and characters of one to four bytes are frequent.
WORDS = (
    *("banana", "ananas", "aaaa", "aaa", "abab", "tete", "été", "naïve", "löwe", "東京", "京都"),
    *("🙂🙂", "over", "lower", "cover", "clover", "ooo", "noon", "moon", "mama"),
)


def some_chunks(rng, n: int) -> list[str]:
    """Return n words, some twice, each with a blank before it, as a split gives them."""
    return [" " + WORDS[i] for i in rng.integers(len(WORDS), size=n)]


Variants = Iterable[tuple[Any, str]]  # what mistakes give to all that a case asks, and their hints


def explained(got: Any, want: Any, variants: Variants) -> str | None:
    """Return the hint of the mistake that explains all that came; None if none or several do."""
    hints = {hint for value, hint in variants if value == got} if got != want else set()
    return hints.pop() if len(hints) == 1 else None


def explained_by(
    calls: Sequence[tuple], got: Sequence[Any], want: Any, wrong: Iterable[tuple[Callable, str]]
) -> str | None:
    """Return the same for functions that make a mistake, called until one differs."""
    if got == want:
        return None

    def explains(function: Callable) -> bool:
        pairs = zip(calls, got, strict=True)
        return all(function(*call) == came for call, came in pairs)

    hints = {hint for function, hint in wrong if explains(function)}
    return hints.pop() if len(hints) == 1 else None


def pair_counts(ids: Sequence[int]) -> Counter:
    return Counter(pairwise(ids))


def apart_counts(ids: Sequence[int]) -> Counter:
    """Count pairs that share no element, as a text search counts: what learners count for "aaa"."""
    counts: Counter = Counter()
    last: dict[Pair, int] = {}
    for i, pair in enumerate(pairwise(ids)):
        if last.get(pair, -2) < i - 1:
            counts[pair] += 1
            last[pair] = i
    return counts


def merged(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    out, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == tuple(pair):
            out.append(new)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out


def lowest(counts: Counter) -> Pair:
    """Return the most frequent pair; of several the lowest."""
    return min(counts, key=lambda pair: (-counts[pair], pair))


def learn(
    chunks: Iterable[Sequence[int]],
    n_merges: int,
    choose: Callable[[Counter], Pair] = lowest,
    count: Callable[[Sequence[int]], Counter] = pair_counts,
    first_new: int = 256,
    least: int = 1,
    join: Callable[[Sequence[int], Pair, int], list[int]] = merged,
) -> list[list[int]]:
    """Return a small text's merges, round by round; the switches are what learners get wrong."""
    parts = [list(chunk) for chunk in chunks]
    merges: list[list[int]] = []
    while len(merges) < n_merges:
        counts: Counter = Counter()
        for part in parts:
            counts.update(count(part))
        if not counts or max(counts.values()) < least:
            break
        pair = choose(counts)
        parts = [join(part, pair, first_new + len(merges)) for part in parts]
        merges.append(list(pair))
    return merges


FIRST_NEW = {
    first: f"The first new token is {first} here: the bytes end at 255, so it is 256."
    for first in (0, 1, 255, 257)
}
KEPT = (
    "What an earlier call returned stands before what this one found: something is kept from call "
    "to call, such as a list outside the function, or `out=[]`. Make it inside."
)


def went_on(want: Sequence[list], got: Sequence[Any]) -> str | None:
    """Return a hint where each list that came begins with the one before it, and grows; or None."""
    if got == want or not all(isinstance(merges, list) and merges for merges in got):
        return None
    two = list(pairwise(got))
    grown = all(len(a) < len(b) and b[: len(a)] == a for a, b in two)
    return KEPT if grown and two else None


def without_end(right: list, got: Any) -> str | None:
    """Return a hint where merges go on though no pair is left; else None."""
    if isinstance(got, list) and len(got) > len(right) and got[: len(right)] == right:
        return (
            "Rounds went on where no pair was left: one that has been merged occurs no more, "
            "though a dict may still hold it, with 0. Stop there."
        )
    return None


def at_a_tie(octets: Iterable[bytes], want: list[list[int]], got: Any) -> str | None:
    """Return a hint where each merge is of a most frequent pair, but not always the lowest."""
    if not isinstance(got, list):
        return None
    n = next((i for i, (a, b) in enumerate(zip(want, got, strict=False)) if a != b), None)
    if n is None:
        return None
    parts = [list(chunk) for chunk in octets]
    for i, pair in enumerate(map(tuple, got)):
        counts: Counter = Counter()
        for part in parts:
            counts.update(pair_counts(part))
        if not counts or counts[pair] < max(counts.values()):
            return None  # then more is wrong than the choice among equals
        if i == n:
            occurs = counts[pair]
        parts = [merged(part, pair, 256 + i) for part in parts]
    if len(got) < len(want) and any(len(part) > 1 for part in parts):
        return None
    right, mine = tuple(want[n]), tuple(got[n])
    times = "once" if occurs == 1 else f"{occurs} times"
    return (
        f"In round {n + 1}, {mine} and {right} both occur {times}: of several that are equally "
        "frequent, the lowest is asked for."
    )


def apply(ids: Sequence[int], merges: Sequence[Sequence[int]]) -> list[int]:
    """Return the tokens of one chunk, by all merges in the order of training."""
    ids = list(ids)
    for i, pair in enumerate(merges):
        ids = merged(ids, tuple(pair), 256 + i)
    return ids


def token_bytes(merges: Sequence[Sequence[int]]) -> list[bytes]:
    """Return the bytes of every token: the 256 bytes, and one for each merge."""
    tokens = [bytes([i]) for i in range(256)]
    for a, b in merges:
        tokens.append(tokens[a] + tokens[b])
    return tokens


def learn_fast(
    chunks: Iterable[bytes],
    n_merges: int,
    often: bool = True,
    fresh: bool = True,
    stale: bool = False,
    weighed: bool = True,
) -> tuple[list[list[int]], int]:
    """Return the merges of a large text, and how many tokens a naive program meets in its rounds.

    Words that lack a round's pair are left alone. The switches are what learners get wrong: each
    word counted once, pairs that a merge makes not counted, pairs that it breaks still counted,
    changes counted once a word.
    """
    weight = Counter(chunks)
    words = [list(word) for word in weight]
    times = list(weight.values()) if often else [1] * len(words)
    counts: Counter = Counter()
    where: dict[Pair, set[int]] = {}
    for i, word in enumerate(words):
        for pair in pairwise(word):
            counts[pair] += times[i]
            where.setdefault(pair, set()).add(i)
    merges: list[list[int]] = []
    length, met = sum(len(w) * n for w, n in zip(words, times, strict=True)), 0
    while len(merges) < n_merges and counts:
        pair = lowest(counts)
        if counts[pair] < 1:
            break
        met += length
        for i in where.pop(pair):
            old, n = words[i], times[i]
            new = words[i] = merged(old, pair, 256 + len(merges))
            length -= (len(old) - len(new)) * n
            before, after = pair_counts(old), pair_counts(new)
            for p in before.keys() | after.keys():
                change = after[p] - before[p]
                if (change > 0 and not fresh) or (change < 0 and stale and p != pair):
                    continue
                counts[p] += change * (n if weighed else 1)
                if after[p]:
                    where.setdefault(p, set()).add(i)
                elif p in where:
                    where[p].discard(i)
        counts.pop(pair)
        for p in [p for p in (counts if len(counts) < 5000 else ()) if not counts[p]]:
            del counts[p]
        merges.append(list(pair))
    return merges, met
