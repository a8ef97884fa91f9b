"""9.2 · Count pairs, merge one: the two halves of a round of byte-pair encoding."""

from zerotohero.course.checks.tokenizer.shared import apart_counts, merged, pair_counts
from zerotohero.course.exercise import Exercise, Mistake, expect

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


def _listed(counts) -> list[list[int]]:
    return [[*pair, n] for pair, n in sorted(counts.items())]


def _expect_counts(ids: list[int], got) -> None:
    counts = pair_counts(ids)
    unordered: dict = {}
    for (a, b), n in counts.items():
        unordered[min(a, b), max(a, b)] = unordered.get((min(a, b), max(a, b)), 0) + n
    expect(
        f"the pairs of {ids}, each with its count",
        got,
        _listed(counts),
        mistakes=[
            Mistake(
                _listed(apart_counts(ids)),
                "Three equal tokens hold their pair twice, at two places that overlap: when "
                "counting, move on by one after every pair.",
            ),
            Mistake(
                _listed(pair_counts(ids[:-1])),
                "The last pair is missing: n tokens have n − 1 pairs.",
            ),
            Mistake(
                _listed(pair_counts([*ids, *ids[:1]])),
                "The last token has no right neighbour: `ids[i - 1]` at i = 0 is the end of the "
                "list, which goes round.",
            ),
            Mistake(
                _listed(dict.fromkeys(counts, 1)),
                "Each pair is noted, but always with a count of 1: add to what is there.",
            ),
            Mistake(
                _listed(unordered),
                "(a, b) and (b, a) are two pairs: don't sort a pair before counting it.",
            ),
        ],
    )


def _tokens(rng) -> dict:
    ids = [int(i) for i in rng.integers(60, 64, size=14)]
    a, b, c = (int(i) for i in rng.permutation(range(70, 90))[:3])
    return {"lists": [[a, b, a, b, a, a, a, c], [*ids, a, a, a, a, a], [b, c], [c], []]}


@pair.case("pairs, with runs of equal tokens", points=2, adapter="pairs", inputs=_tokens)
def every_pair_counted(given, got):
    for ids, counts in zip(given["lists"], got["counts"], strict=True):
        _expect_counts(ids, counts)
    expect("ids, after counting", got["after"], given["lists"])


def _merge_variants(ids: list[int], pair: tuple[int, int], new: int) -> list[Mistake]:
    a, b = pair
    right = merged(ids[::-1], (b, a), new)[::-1]
    one = next((i for i in range(len(ids) - 1) if tuple(ids[i : i + 2]) == pair), None)
    run: list[int] = []
    i = 0
    while i < len(ids):
        j = i
        while a == b == ids[i] and j < len(ids) and ids[j] == a:
            j += 1
        if j - i >= 2:
            run.append(new)
            i = j
        elif tuple(ids[i : i + 2]) == pair:
            run.append(new)
            i += 2
        else:
            run.append(ids[i])
            i += 1
    first_only, i = [], 0
    while i < len(ids):
        hit = ids[i] == a and i + 1 < len(ids)
        first_only.append(new if hit else ids[i])
        i += 2 if hit else 1
    inserted: list[int] = []
    for i, token in enumerate(ids):
        inserted += [new] if tuple(ids[i : i + 2]) == pair else [token]
    return [
        Mistake(
            merged(ids[:-1], pair, new) if tuple(ids[-2:]) != pair else merged(ids, pair, new),
            "The last token is lost where it isn't part of the pair: the loop ends one token "
            "early.",
        ),
        Mistake(
            [*merged(ids[:-2], pair, new), *ids[-2:]],
            "A pair at the very end of the list is not merged: the last place at which one can "
            "begin is `len(ids) - 2`.",
        ),
        Mistake(
            run,
            "A run of equal tokens became one new token: a pair is two tokens, so four of them "
            "give two new ones.",
        ),
        Mistake(
            right, "Of three equal tokens the last two were merged: go from the left to the right."
        ),
        Mistake(
            ids if one is None else [*ids[:one], new, *ids[one + 2 :]],
            "Only the first place was merged: go on behind it, to the end of the list.",
        ),
        Mistake(
            first_only,
            "Only the first token of the pair was compared: the one behind it must fit too.",
        ),
        Mistake(
            inserted,
            "The second token of the pair is still there: move on by two after a merge, not by "
            "one.",
        ),
        Mistake(ids, "Nothing was merged: return the new list, and compare both tokens."),
    ]


def _lists_to_merge(rng) -> dict:
    a, b, c, new = (int(i) for i in rng.permutation(range(70, 256))[:4])
    return {
        "asked": [
            {"ids": [c, a, b, c, a, c, a, b, a, b, c, b], "pair": [a, b], "new": new},
            {"ids": [b, a, a, a, c, a, a, a, a, a, b], "pair": [a, a], "new": new},
            {"ids": [c, b, c, a, b], "pair": [a, b], "new": new},
            {"ids": [a, b], "pair": [a, b], "new": new},
            {"ids": [a, b, b, a], "pair": [a, b], "new": a},
            {"ids": [a], "pair": [a, a], "new": new},
            {"ids": [], "pair": [a, b], "new": new},
        ]
    }


@pair.case("one pair merged", points=3, adapter="merged_lists", inputs=_lists_to_merge)
def one_pair_merged(given, got):
    for asked, out, after in zip(given["asked"], got["merged"], got["after"], strict=True):
        ids, pair_ = asked["ids"], tuple(asked["pair"])
        want = merged(ids, pair_, asked["new"])
        mistakes = [m for m in _merge_variants(ids, pair_, asked["new"]) if m.value != want]
        expect(f"merge({ids}, {pair_}, {asked['new']})", out, want, mistakes=mistakes)
        expect(
            "ids, after merging",
            after,
            ids,
            hint="`merge` changed the list that it was given: append to a new list instead.",
        )
