"""9.8 · The same merges from a megabyte, in a twentieth of the operations. No clock judges."""

from zerotohero.course.checks.tokenizer.shared import (
    FIRST_NEW,
    at_a_tie,
    explained_by,
    learn,
    learn_fast,
    some_chunks,
    went_on,
    without_end,
)
from zerotohero.course.exercise import Exercise, Wrong, expect, expect_that
from zerotohero.course.to_look_at import THREADS

fast = Exercise(
    number="9.8",
    title="Make it fast",
    difficulty=5,
    minutes=60,
    practises="doing again only what has changed",
    answers=("train_fast",),
    summary=(
        "Learn the merges of 9.3 from a megabyte, without going through all of it in each round. "
        "Operations are counted, so a slow computer is no worse than a quick one."
    ),
    statement="""
`train_fast(chunks: list[str], n_merges: int) -> list[tuple[int, int]]`

Return exactly what `train` of 9.3 returns, ties and texts that run out of pairs included.

In each round the program of 9.3 meets every token twice, to count and to merge. On 150,000 words of
about a megabyte, yours may take **at most 1/20** of these steps in 200 rounds. Counted is what
Python does while your function runs:

- each line that is executed, again in each turn of a loop or a comprehension, and each call;
- for a method of an object with a length, that length, except where its time doesn't depend on it
  (`append`, `get`, `add`, `pop`, …); `sorted`, `min`, `max`, `sum`, `zip`, `map` and `Counter`
  count what they go through; a compiled regular expression counts the whole text.

One process and one thread, in plain Python: to begin another is an error. At the limit the count
ends your function. What a program does without being counted can't all be known; the rule is on
trust.
""",
    hints=(
        "Most words occur many times, and most words don't hold the pair of a round. What of the "
        "counts stays as it was?",
        "Keep each distinct word once, with how often it occurs. Keep, for each pair, its count "
        "and the words in which it stands. In a round, take the old pairs of these words out of "
        "the counts, merge, and put the new pairs in.",
        "`for i in where.pop(pair): for p in pairwise(words[i]): counts[p] -= times[i]`, merge, "
        "then the same with `+=` and `where[p].add(i)`. The best of a few thousand counts by "
        "`min` is cheap enough.",
    ),
    takes=8.0,
    adapters="tokenizer_counted",
    without=("threads",),
    look_for=(*THREADS, "monitoring", "subprocess", "multiprocessing", "fork", "numpy", "torch"),
)
ROUNDS, SHARE = 200, 20


CRASHES = {
    r"RuntimeError: one process and one thread": "Neither a thread nor a process of its own: what "
    "is counted is the work, and others would do as much of it.",
    r"^KeyError: \(\d+, \d+\)": "A pair was looked up that the dict lacks. If it stands in no word "
    "any more, its count is 0, and the rounds end where the best is 0; if it is new, note its "
    "count and its words.",
    r"TypeError: (the list holds pairs|pairs in a list)": "Return a list of pairs, `(left, right)` "
    "each, as in 9.3.",
}


WRONG = [  # what is learned by mistake, and the hint for it
    (
        lambda octets, n: learn_fast(octets, n, often=False)[0],
        "Each distinct chunk was counted once: its pairs count as often as it occurs.",
    ),
    (
        lambda octets, n: learn_fast(octets, n, fresh=False)[0],
        "The pairs that a merge makes were not counted: put the new pairs of each changed word in.",
    ),
    (
        lambda octets, n: learn_fast(octets, n, stale=True)[0],
        "The pairs that a merge breaks were still counted: take the old pairs of each changed word "
        "out.",
    ),
    (
        lambda octets, n: learn(octets, n, choose=lambda c: max(c, key=lambda p: (c[p], p))),
        "Of several pairs that are equally frequent, the highest was taken, not the lowest: a heap "
        "of (-count, pair) gives the lowest.",
    ),
    (
        lambda octets, n: learn(octets, n, choose=lambda c: max(c, key=c.get)),
        "Of several pairs that are equally frequent, the one met first was taken, not the lowest.",
    ),
    (
        lambda octets, n: learn(octets, n, least=2),
        "The rounds ended when no pair occurred twice: a pair that occurs once is merged too.",
    ),
    (
        lambda octets, n: learn([b"".join(octets)], n),
        "A pair reaches from one chunk into the next: count and merge each chunk for itself.",
    ),
    (
        lambda octets, n: learn_fast(octets, n, weighed=False)[0],
        "In a round, a word's pairs were counted once: they change by as often as the word occurs.",
    ),
    *(
        (
            lambda octets, n, first=first: learn(octets, n, first_new=first),
            hint,
        )
        for first, hint in FIRST_NEW.items()
    ),
    (
        lambda octets, n: learn([[ord(c) for c in chunk.decode()] for chunk in octets], n),
        "Those are merges of characters: a chunk becomes its UTF-8 bytes, of which é has two.",
    ),
    (
        lambda octets, n: learn(octets, n - 1),
        "One merge is missing: `n_merges` of them are asked for.",
    ),
    (
        lambda octets, n: learn(octets, n + 1),
        "One merge too many: `n_merges` of them are asked for.",
    ),
]


AGAIN = (
    "A pair was chosen twice: once merged, it stands nowhere any more, and its count has to be 0. "
    "And where the words of a new pair aren't noted, nothing is merged."
)


def _small(rng) -> dict:
    runs = [" " + "a" * int(n) + "b" * int(n % 3) for n in rng.integers(1, 9, size=12)]
    texts = ["".join(rng.choice([*"abc"], size=int(n))) for n in rng.integers(1, 30, size=12)]
    word, other = ("".join(rng.permutation([*"ghijkl"])) for _ in range(2))
    return {
        "asked": [
            {"chunks": [word, word, word[:2]], "n_merges": 20},
            {"chunks": [other, word], "n_merges": 20},  # each pair occurs once
            {"chunks": [*some_chunks(rng, 40), *runs], "n_merges": 30},
            {"chunks": [*texts, *texts[:4]], "n_merges": 25},
            {"chunks": [], "n_merges": 5},
        ]
    }


@fast.case(
    "small texts, with runs and ties",
    points=4,
    adapter="fast_small",
    inputs=_small,
    crashes=CRASHES,
)
def merges_as_before(given, got):
    calls = [([c.encode() for c in a["chunks"]], a["n_merges"]) for a in given["asked"]]
    want = [learn(*call) for call in calls]
    known = explained_by(calls, got["merges"], want, WRONG) or went_on(
        want[:-1], got["merges"][:-1]
    )
    for asked, call, merges, right in zip(given["asked"], calls, got["merges"], want, strict=True):
        hint = known or at_a_tie(call[0], right, merges)
        if not hint and len(right) < asked["n_merges"]:
            hint = without_end(right, merges)
        if not hint and merges and len(set(map(tuple, merges))) < len(merges):
            hint = AGAIN
        what = f"train_fast({asked['chunks'][:3]!r}…, {asked['n_merges']})"
        expect(what, merges, right, hint=hint)


def _megabyte(rng) -> dict:
    """150,000 words of some 10,000 different ones, frequent and rare as words are."""
    syllables = [
        "".join(rng.choice([*"bcdfghklmnprstv"], 1)) + v for v in "aeiou" for _ in range(9)
    ]
    parts = rng.integers(len(syllables), size=(15_000, 4))
    lengths = rng.integers(2, 5, size=len(parts))
    words = [
        " " + "".join(syllables[k] for k in row[:n]) for row, n in zip(parts, lengths, strict=True)
    ]
    rank = (len(words) ** rng.random(150_000)).astype(int)
    chunks = [words[i] for i in rank % len(words)]
    merges, met = learn_fast([chunk.encode() for chunk in chunks], ROUNDS)
    return {
        "text": "\n".join(chunks),
        "n_merges": ROUNDS,
        "limit": 2 * met // SHARE,
        "_merges": merges,
    }


@fast.case(
    "a megabyte, counted", points=6, adapter="fast_counted", inputs=_megabyte, crashes=CRASHES
)
def few_operations(given, got):
    limit = given["limit"]
    expect_that(
        got["watched"] is True,
        "the count was switched off while your function ran",
        "`sys.settrace` and `sys.setprofile` are the check's while it counts.",
    )
    if got["operations"] > limit:
        raise Wrong(
            f"train_fast: more than {limit:,} operations, 1/{SHARE} of the program of 9.3",
            "Each round goes through the whole text or through all distinct words: touch only "
            "the words in which the round's pair stands.",
        )
    expect(f"train_fast of a megabyte, {ROUNDS} rounds", got["merges"], given["_merges"])
