"""9.3 · A vocabulary of byte pairs, merge for merge right."""

from collections import Counter
from unicodedata import normalize

from zerotohero.course.checks.tokenizer.shared import (
    FIRST_NEW,
    apart_counts,
    at_a_tie,
    explained_by,
    learn,
    lowest,
    merged,
    pair_counts,
    some_chunks,
    went_on,
    without_end,
)
from zerotohero.course.exercise import Exercise, expect

train = Exercise(
    number="9.3",
    title="Train a vocabulary",
    difficulty=2,
    minutes=30,
    practises="a loop in which every round builds on the last, and ties that need a rule",
    answers=("train",),
    summary=(
        "Learn merges from texts, byte pair by byte pair. With a rule for ties, anyone who trains "
        "on the same texts gets the same vocabulary."
    ),
    statement="""
`train(chunks: list[str], n_merges: int) -> list[tuple[int, int]]`

Each chunk, as it is, becomes the list of its UTF-8 bytes, and tokens 0 to 255 are the bytes. Each
round counts all pairs of neighbours in all chunks, as `count_pairs` of 9.2 does; a chunk that
occurs twice counts twice, and no pair reaches from one chunk into the next. The most frequent pair
is merged in every chunk; **of several that are equally frequent, the lowest**, as tuples compare in
Python. The first merge makes token 256, the next 257, and so on. Return the pairs in the order of
merging.

Where no pair is left, stop: fewer merges than `n_merges` come back, perhaps none. A pair that
occurs once is a pair.

```python
train(["aab", "aab", "é"], 2)   # [(97, 97), (256, 98)]: (97, 98) is as frequent as (97, 97)
train(["é", "e"], 9)            # [(195, 169)]
```

But for ties, where minbpe takes the pair that it met first, `train([text], n)` is what minbpe's
BasicTokenizer does, and `train` of the chunks of a split its RegexTokenizer.
""",
    hints=(
        "Which lists change in a round, and what is counted in the next one? Write one round with "
        "the two functions of 9.2.",
        "`list(chunk.encode('utf-8'))` gives the bytes. Sum the counts of all chunks in one "
        "Counter, choose, and merge in every chunk.",
        "`min(counts, key=lambda pair: (-counts[pair], pair))` is the most frequent pair, and the "
        "lowest of several. If `counts` is empty, `break`.",
    ),
)
CRASHES = {
    r"(ValueError: (max|min)\(\)|IndexError)": "No pair was left: stop there, and return the "
    "merges made so far.",
    r"TypeError: the list holds pairs .* not None": "No pair was left, and None was put into the "
    "list: stop there, and return the merges made so far.",
    r"TypeError: (the list holds pairs|pairs in a list)": "Return a list of pairs, `(left, right)` "
    "each: the id of what a merge makes is known by its place.",
}


def _first(counts):
    return max(counts, key=counts.get)


def _last(counts):
    return max(reversed(list(counts)), key=counts.get)


def _largest(counts):
    return max(counts, key=lambda pair: (counts[pair], pair))


def _rarest(counts):
    return min(counts, key=lambda pair: (counts[pair], pair))


def _first_of_the_rarest(counts):
    return min(counts, key=counts.get)


def _as_text(counts):
    return min(counts, key=lambda pair: (-counts[pair], str(pair)))


def _by_the_right(counts):
    return min(counts, key=lambda pair: (-counts[pair], pair[::-1]))


def _learned(chunks, n: int, octets=str.encode, **switches) -> list[list[int]]:
    return learn([octets(chunk) for chunk in chunks], n, **switches)


def _normalised(form: str):
    return lambda chunks, n: _learned(chunks, n, lambda chunk: normalize(form, chunk).encode())


def _frozen(chunks, n: int) -> list[list[int]]:
    """The n most frequent pairs of the bytes as they are, with no round after the first."""
    counts = Counter()
    for chunk in chunks:
        counts.update(pair_counts(chunk.encode()))
    return [list(p) for p in sorted(counts, key=lambda pair: (-counts[pair], pair))[:n]]


def _miscounted(chunks, n: int, anew: bool = True, add: bool = True) -> list[list[int]]:
    """Counts that go on from round to round, or in which a chunk overwrites those before it."""
    parts, counts, merges = [list(chunk.encode()) for chunk in chunks], Counter(), []
    while len(merges) < n:
        counts = Counter() if anew else counts
        for part in parts:
            for pair, times in pair_counts(part).items():
                counts[pair] = counts[pair] * add + times
        if not counts:
            break
        pair = lowest(counts)
        parts = [merged(part, pair, 256 + len(merges)) for part in parts]
        merges.append(list(pair))
    return merges


def _last_lost(ids, pair, new):
    return merged(ids if tuple(ids[-2:]) == pair else ids[:-1], pair, new)


def _first_place(ids, pair, new):
    i = next((i for i in range(len(ids)) if tuple(ids[i : i + 2]) == pair), len(ids))
    return [*ids[:i], *[new][: len(ids) - i], *ids[i + 2 :]]


def _from_the_right(ids, pair, new):
    return merged(ids[::-1], pair[::-1], new)[::-1]


def _same_again(chunks, n: int) -> list[list[int]]:
    want = _learned(chunks, n)
    return want[:1] * len(want)


WRONG = [  # what is learned by mistake, and the hint for it
    (
        lambda chunks, n: _learned(chunks, n, choose=_first),
        "Of several pairs that are equally frequent, the first that was met was taken: "
        "`max(counts, key=counts.get)` knows no other rule. The lowest pair is asked for.",
    ),
    (
        lambda chunks, n: _learned(chunks, n, choose=_last),
        "Of several pairs that are equally frequent, the last that was met was taken, as `>=` "
        "in place of `>` does. The lowest pair is asked for.",
    ),
    (
        lambda chunks, n: _learned(chunks, n, choose=_largest),
        "Of several pairs that are equally frequent, the highest was taken: "
        "`max` of (count, pair) looks for the largest pair too.",
    ),
    (
        lambda chunks, n: _learned(chunks, n, choose=_as_text),
        "Of several pairs that are equally frequent, the lowest as text was taken, in which "
        "(100, 9) comes before (99, 9): compare the tuples.",
    ),
    (
        lambda chunks, n: _learned(chunks, n, choose=_by_the_right),
        "Of several pairs that are equally frequent, the one with the lowest right token was "
        "taken: tuples are compared from the left.",
    ),
    (
        lambda chunks, n: _learned(chunks, n, lambda chunk: [ord(c) for c in chunk]),
        "Those are merges of characters: a chunk becomes its UTF-8 bytes, of which é has two.",
    ),
    (
        lambda chunks, n: _learned(chunks, n, lambda chunk: chunk.lower().encode()),
        "Capitals were made small: a chunk is taken as it is.",
    ),
    *(
        (
            _normalised(form),
            "Characters were changed into others that look the same: e and an accent behind "
            "it stay two code points, so don't normalise.",
        )
        for form in ("NFC", "NFD", "NFKC", "NFKD")
    ),
    (
        lambda chunks, n: _learned(chunks, n, lambda chunk: chunk.strip().encode()),
        "The blanks before the words are gone: a chunk is taken as it is, without `strip`.",
    ),
    (
        lambda chunks, n: _learned(["".join(chunks)], n),
        "A pair reaches from one chunk into the next: count and merge each chunk for itself.",
    ),
    (
        lambda chunks, n: _learned(dict.fromkeys(chunks), n),
        "A chunk that occurs twice was counted once: its pairs count as often as it occurs.",
    ),
    (
        lambda chunks, n: _learned(chunks, n, count=lambda ids: Counter(set(pair_counts(ids)))),
        "A pair that stands twice in one chunk was counted once there: add its count, not 1.",
    ),
    *(
        (
            lambda chunks, n, first=first: _learned(chunks, n, first_new=first),
            hint,
        )
        for first, hint in FIRST_NEW.items()
    ),
    *(
        (
            lambda chunks, n, rarest=rarest: _learned(chunks, n, choose=rarest),
            "The rarest pair was merged: of (count, pair) `min` takes the lowest count, so that "
            "the key begins with the count's negative.",
        )
        for rarest in (_rarest, _first_of_the_rarest)
    ),
    (
        lambda chunks, n: _miscounted(chunks, n, anew=False),
        "The counts of earlier rounds were kept: each round begins with an empty Counter.",
    ),
    (
        lambda chunks, n: _miscounted(chunks, n, add=False),
        "A chunk's counts took the place of those of earlier chunks, as `update` of a dict has it: "
        "add them, as a Counter's does.",
    ),
    (
        lambda chunks, n: _learned(chunks, n, join=_last_lost),
        "The merge lost the last token of a chunk that doesn't end in the pair.",
    ),
    (
        lambda chunks, n: _learned(chunks, n, join=_first_place),
        "Only the first place in a chunk was merged: go on behind it, to the end of the chunk.",
    ),
    (
        lambda chunks, n: _learned(chunks, n, join=_from_the_right),
        "Of three equal tokens the last two were merged: go from the left to the right.",
    ),
    (
        lambda chunks, n: _learned(chunks, min(n, 1)),
        "One round and no more: does `return` stand inside the loop?",
    ),
    (
        lambda chunks, n: _learned(chunks, n, count=apart_counts),
        "Pairs that overlap were counted once: `aaa` holds (a, a) twice, as in 9.2.",
    ),
    (
        lambda chunks, n: _learned(chunks, n, least=2),
        "The rounds ended when no pair occurred twice: a pair that occurs once is merged too.",
    ),
    (
        lambda chunks, n: _learned(chunks, n - 256),
        "Not one merge came back. Did you take 256 off? `n_merges` is the number of merges, not "
        "the size of the vocabulary, bytes included.",
    ),
    (
        lambda chunks, n: _learned(chunks, n - 1),
        "One merge is missing: `n_merges` of them are asked for, as `range(n_merges)` counts.",
    ),
    (
        lambda chunks, n: _learned(chunks, n + 1),
        "One merge too many: `n_merges` of them are asked for.",
    ),
    (
        _frozen,
        "All merges are pairs of bytes: count anew in every round, in the lists as they are "
        "after the merge.",
    ),
    (
        _same_again,
        "The same pair was chosen in every round: merge it before you count again.",
    ),
    (
        lambda chunks, n: sorted(_learned(chunks, n)),
        "The right pairs in another order: return them in the order of merging, unsorted.",
    ),
]


def right_merges(given, got):
    asked, merges = given["asked"], got["merges"]
    want = [learn([chunk.encode() for chunk in a["chunks"]], a["n_merges"]) for a in asked]
    known = explained_by([(a["chunks"], a["n_merges"]) for a in asked], merges, want, WRONG)
    known = known or went_on(want, merges)
    for a, came, right in zip(asked, merges, want, strict=True):
        hint = known or at_a_tie([c.encode() for c in a["chunks"]], right, came)
        if not hint and len(right) < a["n_merges"]:
            hint = without_end(right, came)
        expect(f"train({a['chunks'][:4]!r}…, {a['n_merges']})", came, right, hint=hint)


def _small(rng) -> dict:
    chunks = [*some_chunks(rng, 5), *some_chunks(rng, 25), " aaaa", " aaa", " été", " naïve"]
    accents = [" Tete", " TÊTE", " te\u0302te", " ete\u0301", " été", " Été"]
    accents = [accents[i] for i in rng.permutation(len(accents))] + [" e\u0301te\u0301"]
    asked = [{"chunks": chunks, "n_merges": n} for n in (1, 12)]
    return {"asked": [{"chunks": accents, "n_merges": 20}, *asked]}


train.case(
    "the first merges of 34 words", points=2, adapter="trained", inputs=_small, crashes=CRASHES
)(right_merges)


def _ties(rng) -> dict:
    letters = [chr(int(c)) for c in rng.permutation(range(97, 123))]
    pairs = ["".join(letters[i : i + 2]) for i in range(0, 12, 2)]
    texts = ["".join(letters[i] for i in rng.integers(3, size=40)) for _ in range(3)]
    return {
        "asked": [
            {"chunks": [*pairs, *pairs[:3]], "n_merges": 6},
            *({"chunks": [text], "n_merges": 8} for text in texts),
        ]
    }


train.case(
    "ties, and a text in one piece", points=2, adapter="trained", inputs=_ties, crashes=CRASHES
)(right_merges)


def _exhausted(rng) -> dict:
    word = "".join(chr(int(c)) for c in rng.integers(97, 110, size=7))
    return {
        "asked": [
            {"chunks": [word, word[0]], "n_merges": 50},
            {"chunks": [word[0], word[1], ""], "n_merges": 3},
            {"chunks": [], "n_merges": 3},
            {"chunks": [word], "n_merges": 0},
        ]
    }


train.case("a text that runs out of pairs", adapter="trained", inputs=_exhausted, crashes=CRASHES)(
    right_merges
)


def _many(rng) -> dict:
    return {"asked": [{"chunks": some_chunks(rng, 80), "n_merges": 30}]}


train.case("thirty merges of 80 words", points=2, adapter="trained", inputs=_many, crashes=CRASHES)(
    right_merges
)
