"""9.2 · Count pairs, merge one: the two halves of a round of byte-pair encoding."""

from collections import Counter
from itertools import accumulate

from zerotohero.course.checks.tokenizer.shared import apart_counts, explained, merged, pair_counts
from zerotohero.course.exercise import Exercise, expect

pair = Exercise(
    number="9.2",
    title="Count pairs, merge one",
    difficulty=1,
    minutes=20,
    practises="going through a list two at a time, to its last element",
    answers=("count_pairs", "merge"),
    summary=(
        "Count how often each pair of neighbours stands in a list of tokens. Replace one pair by "
        "a new token, from left to right."
    ),
    statement="""
`count_pairs(ids: list[int]) -> dict[tuple[int, int], int]`

`merge(ids: list[int], pair: tuple[int, int], new: int) -> list[int]`

Any two neighbours are a pair, so n tokens have n − 1 pairs, and three equal tokens hold their pair
twice. Fewer than two tokens have no pair: the dict is empty. It holds no pair that doesn't occur.

`merge` goes through the list from left to right. Where it meets `pair`, it writes `new` and goes on
behind both of them, since a token can be merged only once; a token that it has just written is not
merged again. `ids` itself must stay as it was.

```python
count_pairs([1, 1, 1, 2])        # {(1, 1): 2, (1, 2): 1}
merge([1, 1, 1, 2], (1, 1), 9)   # [9, 1, 2]
merge([5, 1, 2], (1, 2), 9)      # [5, 9]
```
""",
    hints=(
        "Where does a pair begin, and which position is the last at which one can? In `merge`, how "
        "far do you move on after a pair, and how far otherwise?",
        "`zip(ids, ids[1:])` gives the pairs. For `merge`, a `while` loop with an index of your "
        "own, which moves on by 2 or by 1, and a new list.",
        "`if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair: out.append(new); i += 2`, "
        "`else: out.append(ids[i]); i += 1`.",
    ),
)


OTHER_KINDS = {
    r"TypeError: (the keys of the dict are|a dict is needed)": "A dict is asked for that has a "
    "tuple of two tokens as its key, `(a, b)`, and their count as its value.",
}


def _listed(counts) -> list[list[int]]:
    return [[*pair, n] for pair, n in sorted(counts.items())]


def _unordered(ids: list[int]) -> dict:
    counts: dict = {}
    for (a, b), n in pair_counts(ids).items():
        both = min(a, b), max(a, b)
        counts[both] = counts.get(both, 0) + n
    return counts


def _two_on(ids: list[int]) -> dict:
    """Move on by two after two equal tokens, whatever stands behind them."""
    counts: dict = {}
    i = 0
    while i + 1 < len(ids):
        two = ids[i], ids[i + 1]
        counts[two] = counts.get(two, 0) + 1
        i += 2 if two[0] == two[1] else 1
    return counts


OVERLAP = (
    "Three equal tokens hold their pair twice, at two places that overlap: when counting, move on "
    "by one after every pair."
)
COUNTED_WRONG = [
    (apart_counts, OVERLAP),
    (_two_on, OVERLAP),
    (
        lambda ids: Counter(zip(ids[::2], ids[1::2], strict=False)),
        "Only every second pair was counted: a token is the left one of a pair and the right one "
        "of another.",
    ),
    (
        lambda ids: pair_counts(ids[:-1]),
        "The last pair is missing: n tokens have n − 1 pairs.",
    ),
    (
        lambda ids: pair_counts([*ids, *ids[:1]]),
        "The last token has no right neighbour: `ids[i - 1]` at i = 0 is the end of the list, "
        "which goes round.",
    ),
    (
        lambda ids: dict.fromkeys(pair_counts(ids), 1),
        "Each pair is noted, but always with a count of 1: add to what is there.",
    ),
    (_unordered, "(a, b) and (b, a) are two pairs: don't sort a pair before counting it."),
    (
        lambda ids: {p: n for p, n in pair_counts(ids).items() if n > 1},
        "Only pairs that occur twice are there: one that occurs once counts too.",
    ),
    (
        lambda ids: {p: n for p, n in pair_counts(ids).items() if p[0] != p[1]},
        "A pair of two equal tokens is a pair: (a, a) is missing.",
    ),
]


def _tokens(rng) -> dict:
    ids = [int(i) for i in rng.integers(60, 64, size=14)]
    a, b, c = (int(i) for i in rng.permutation(range(70, 90))[:3])
    return {"lists": [[a, b, a, b, a, a, a, c], [*ids, a, a, a, a, a], [b, c], [c], []]}


@pair.case(
    "pairs, with runs of equal tokens",
    points=2,
    adapter="pairs",
    inputs=_tokens,
    crashes=OTHER_KINDS,
)
def every_pair_counted(given, got):
    lists = given["lists"]
    want = [_listed(pair_counts(ids)) for ids in lists]
    variants = [([_listed(count(ids)) for ids in lists], hint) for count, hint in COUNTED_WRONG]
    so_far = accumulate((pair_counts(ids) for ids in lists), lambda a, b: a + b)
    variants.append(
        (
            [_listed(counts) for counts in so_far],
            "What was counted in an earlier call is still there: begin each call with a new dict.",
        )
    )
    hint = explained(got["counts"], want, variants)
    for ids, counts, right in zip(lists, got["counts"], want, strict=True):
        expect(f"the pairs of {ids}, each with its count", counts, right, hint=hint)
    expect(
        "ids, after counting",
        got["after"],
        lists,
        hint="`count_pairs` changed the list that it was given: go through it without `pop`.",
    )


def _one_a_run(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    out: list[int] = []
    i = 0
    while i < len(ids):
        j = i + 2 if tuple(ids[i : i + 2]) == pair else i
        while j > i and pair[0] == pair[1] and j < len(ids) and ids[j] == pair[0]:
            j += 1
        out.append(new if j > i else ids[i])
        i = max(j, i + 1)
    return out


def _by(fits, step: int = 2):
    """A merge that takes two neighbours for the pair by a rule, and then moves on by `step`."""

    def merge(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
        out, i = [], 0
        while i < len(ids):
            hit = i + 1 < len(ids) and fits(tuple(ids[i : i + 2]), pair)
            out.append(new if hit else ids[i])
            i += step if hit else 1
        return out

    return merge


def _first_place(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    places = [i for i in range(len(ids) - 1) if tuple(ids[i : i + 2]) == pair]
    return [*ids[: places[0]], new, *ids[places[0] + 2 :]] if places else ids


def _last_lost(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    return merged(ids if tuple(ids[-2:]) == pair else ids[:-1], pair, new)


def _as_text(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    text = " ".join(map(str, ids)).replace(f"{pair[0]} {pair[1]}", str(new))
    return [int(word) for word in text.split()]


def _again(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    """A token that was just written is merged with the next."""
    out: list[int] = []
    for token in ids:
        if out and (out[-1], token) == pair:
            out[-1] = new
        else:
            out.append(token)
    return out


MERGED_WRONG = [
    (
        _last_lost,
        "The last token is lost where it isn't part of the pair: the loop ends one token early.",
    ),
    (
        lambda ids, pair, new: [*merged(ids[:-2], pair, new), *ids[-2:]],
        "A pair at the very end of the list is not merged: the last place at which one can begin "
        "is `len(ids) - 2`.",
    ),
    (
        _one_a_run,
        "A run of equal tokens became one new token: a pair is two tokens, so four of them give "
        "two new ones.",
    ),
    (
        lambda ids, pair, new: merged(ids[::-1], pair[::-1], new)[::-1],
        "Of three equal tokens the last two were merged: go from the left to the right.",
    ),
    (
        _first_place,
        "Only the first place was merged: go on behind it, to the end of the list.",
    ),
    (
        _by(lambda two, pair: two[0] == pair[0]),
        "Only the first token of the pair was compared: the one behind it must fit too.",
    ),
    (
        _by(lambda two, pair: two == pair, step=1),
        "The second token of the pair is still there: move on by two after a merge, not by one.",
    ),
    (
        _by(lambda two, pair: two in (pair, pair[::-1])),
        "(b, a) was merged as well: it is another pair than (a, b).",
    ),
    (
        lambda ids, pair, new: merged(ids, pair[::-1], new),
        "(b, a) was merged in place of (a, b): the left token comes first.",
    ),
    (
        _again,
        "A token that had just been written was merged again: move on behind it.",
    ),
    (
        _as_text,
        "The numbers were joined to a text, in which `12 5` stands in `112 5` too: compare the "
        "tokens as numbers.",
    ),
    (lambda ids, pair, new: ids, "Nothing was merged: return the new list, compare both tokens."),
]


def _lists_to_merge(rng) -> dict:
    a, b, c, new = (int(i) for i in rng.permutation(range(70, 256))[:4])
    few, one = int(rng.integers(10, 100)), int(rng.integers(1, 10))  # of two digits and of one
    return {
        "asked": [
            {"ids": [c, a, b, c, a, c, a, b, a, b, c, b], "pair": [a, b], "new": new},
            {"ids": [b, a, a, a, c, a, a, a, a, a, b], "pair": [a, a], "new": new},
            {"ids": [c, b, c, a, b], "pair": [a, b], "new": new},
            {"ids": [a, b], "pair": [a, b], "new": new},
            {"ids": [a, b, b, a], "pair": [a, b], "new": a},
            {"ids": [100 + few, one, few, one, few, 10 * one], "pair": [few, one], "new": new},
            {"ids": [a], "pair": [a, a], "new": new},
            {"ids": [], "pair": [a, b], "new": new},
        ]
    }


@pair.case("one pair merged", points=3, adapter="merged_lists", inputs=_lists_to_merge)
def one_pair_merged(given, got):
    calls = [(one["ids"], tuple(one["pair"]), one["new"]) for one in given["asked"]]
    want = [merged(*call) for call in calls]
    variants = [([merge(*call) for call in calls], hint) for merge, hint in MERGED_WRONG]
    hint = explained(got["merged"], want, variants)
    for (ids, pair_, new), out, right in zip(calls, got["merged"], want, strict=True):
        expect(f"merge({ids}, {pair_}, {new})", out, right, hint=hint)
    expect(
        "ids, after merging",
        got["after"],
        [ids for ids, _, _ in calls],
        hint="`merge` changed the list that it was given: append to a new list instead.",
    )
