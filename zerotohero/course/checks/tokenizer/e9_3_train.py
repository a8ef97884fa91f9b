"""9.3 · A vocabulary of byte pairs, merge for merge right."""

from collections import Counter

from zerotohero.course.checks.tokenizer.shared import apart_counts, learn, pair_counts, some_chunks
from zerotohero.course.exercise import Exercise, Mistake, Wrong, expect

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

Each chunk becomes the list of its UTF-8 bytes, and tokens 0 to 255 are the bytes. Each round counts
all pairs of neighbours in all chunks, as `count_pairs` of 9.2 does; a chunk that occurs twice
counts twice, and no pair reaches from one chunk into the next. The most frequent pair is merged in
every chunk; **of several that are equally frequent, the lowest**, as tuples compare in Python. The
first merge makes token 256, the next 257, and so on. Return the pairs in the order of merging.

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
EMPTY = {
    r"(ValueError: (max|min)\(\)|IndexError)": "No pair was left: stop there, and return the "
    "merges made so far.",
}


def _first(counts):
    return max(counts, key=counts.get)


def _largest(counts):
    return max(counts, key=lambda pair: (counts[pair], pair))


def _frozen(octets, n: int) -> list[list[int]]:
    """The n most frequent pairs of the bytes as they are, with no round after the first."""
    counts = Counter()
    for chunk in octets:
        counts.update(pair_counts(chunk))
    return [list(p) for p in sorted(counts, key=lambda pair: (-counts[pair], pair))[:n]]


def _expect_merges(chunks: list[str], n: int, got) -> None:
    octets = [chunk.encode() for chunk in chunks]
    want = learn(octets, n)
    if got == want:
        return
    variants = [
        (
            learn(octets, n, choose=_first),
            "Of several pairs that are equally frequent, the first that was met was taken: "
            "`max(counts, key=counts.get)` knows no other rule. The lowest pair is asked for.",
        ),
        (
            learn(octets, n, choose=_largest),
            "Of several pairs that are equally frequent, the highest was taken: "
            "`max` of (count, pair) looks for the largest pair too.",
        ),
        (
            learn([[ord(c) for c in chunk] for chunk in chunks], n),
            "Those are merges of characters: a chunk becomes its UTF-8 bytes, of which é has two.",
        ),
        (
            learn([b"".join(octets)], n),
            "A pair reaches from one chunk into the next: count and merge each chunk for itself.",
        ),
        (
            learn(list(dict.fromkeys(octets)), n),
            "A chunk that occurs twice was counted once: its pairs count as often as it occurs.",
        ),
        (
            learn(octets, n, first_new=257),
            "The first new token is 257 here: the bytes end at 255, so it is 256.",
        ),
        (
            learn(octets, n, count=apart_counts),
            "Pairs that overlap were counted once: `aaa` holds (a, a) twice, as in 9.2.",
        ),
        (
            learn(octets, n, least=2),
            "The rounds ended when no pair occurred twice: a pair that occurs once is merged too.",
        ),
        (
            want[: max(0, n - 256)],
            "`n_merges` is the number of merges, not the size of the vocabulary, bytes included.",
        ),
        (
            _frozen(octets, n),
            "All merges are pairs of bytes: count anew in every round, in the lists as they are "
            "after the merge.",
        ),
        (
            want[:1] * len(want),
            "The same pair was chosen in every round: merge it before you count again.",
        ),
    ]
    mistakes = [Mistake(value, hint) for value, hint in variants if value != want]
    expect(f"train({chunks[:4]!r}…, {n})", got, want, mistakes=mistakes)
    raise Wrong(f"train: expected pairs, got {got!r:.60}")


def _small(rng) -> dict:
    chunks = [*some_chunks(rng, 5), *some_chunks(rng, 25), " aaaa", " aaa", " été", " naïve"]
    return {"asked": [{"chunks": chunks, "n_merges": n} for n in (1, 12)]}


@train.case("the first merges of 34 words", points=2, adapter="trained", inputs=_small)
def first_merges(given, got):
    for asked, merges in zip(given["asked"], got["merges"], strict=True):
        _expect_merges(asked["chunks"], asked["n_merges"], merges)


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


@train.case("ties, and a text in one piece", points=2, adapter="trained", inputs=_ties)
def ties_by_the_rule(given, got):
    first_merges(given, got)


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


@train.case("a text that runs out of pairs", adapter="trained", inputs=_exhausted, crashes=EMPTY)
def stops_without_pairs(given, got):
    first_merges(given, got)


def _many(rng) -> dict:
    return {"asked": [{"chunks": some_chunks(rng, 80), "n_merges": 30}]}


@train.case("thirty merges of 80 words", points=2, adapter="trained", inputs=_many, crashes=EMPTY)
def thirty_merges(given, got):
    first_merges(given, got)
