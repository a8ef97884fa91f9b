"""9.7 · GPT-4's merges from its ranks, and its byte shuffle."""

from zerotohero.course.checks.tokenizer._e9_7_ways import (
    GUESSED,
    IN_NO_ORDER,
    cuts,
    greedy,
    joined,
    leftmost,
    one_round,
)
from zerotohero.course.checks.tokenizer.shared import (
    WORDS,
    apply,
    explained,
    learn,
    some_chunks,
    token_bytes,
)
from zerotohero.course.exercise import Exercise, expect

ranks = Exercise(
    number="9.7",
    title="GPT-4's merges",
    difficulty=4,
    minutes=45,
    practises="getting back what a file doesn't say",
    answers=("recover_merges", "encode_ranks"),
    summary=(
        "The file of GPT-4's vocabulary holds tokens and their ranks, and no merges. Recover the "
        "merges, and encode as tiktoken does."
    ),
    statement="""
`recover_merges(ranks: dict[bytes, int]) -> dict[tuple[int, int], int]`

`encode_ranks(chunk: str, ranks: dict[bytes, int]) -> list[int]`

`ranks` maps the bytes of every token to its rank, which is also its id. The 256 single bytes have
ranks 0 to 255 **in an order of their own**: the byte 97 may have the rank 64. All other tokens have
the ranks from 256 on, in the order in which they were learned. The dict itself is in no order.

Every token of two bytes or more was made of two tokens that are older. Which two: what
byte-pair encoding makes of its bytes when it may use the tokens of lower rank only. Return the ids
of both parts, left and right, and the id of the token, for every token but the single bytes.

`encode_ranks` returns the ids of one chunk of a split, as tiktoken does: the pair that
was learned first is merged first, from left to right. An empty chunk has none.

```python
ranks = {b"b": 0, b"a": 1, ..., b"ab": 256, b"abb": 257}   # all other bytes in between
recover_merges(ranks)          # {(1, 0): 256, (256, 0): 257}
encode_ranks("abba", ranks)    # [257, 1]
```
""",
    hints=(
        "Take one token apart into bytes. Which merges had been learned when this token was? "
        "What is left just before the last of them?",
        "Start with single bytes; merge the neighbours whose bytes together have the lowest rank, "
        "as long as that is below the token's own. Two parts remain.",
        "`bpe(ranks, token, max_rank)` with `parts = [bytes([b]) for b in token]` does both: with "
        "`max_rank=ranks[token]` it gives the two parts, without a limit the tokens of a chunk. "
        "The shuffle comes by itself if ids are looked up as `ranks[part]`.",
    ),
)


def _planted(rng) -> list[list[int]]:
    """Merges of letters that no word has, whose tokens have several cuts that one could guess.

    Of a, b, c, d: bcd is bc and d, and abcd a and bcd, though ab and cd are older. Of e, f, g, h:
    efgh is ef and gh, though the ranks of e and fgh have the smaller sum. Of i, j, k, l: who joins
    the leftmost two gets ij, k and l of ijkl.
    """
    a, b, c, d, e, f, g, h, i, j, k, l = (ord(c) for c in rng.permutation([*"fghjkpquxyz1"]))
    first = [[b, c], [a, b], [c, d], [256, d], [a, 259]]
    second = [[e, f], [g, h], [f, 262], [261, 262]]
    return [*first, *second, [j, k], [265, l], [i, 266], [i, j]]


def _vocabulary(rng, n: int) -> tuple[list[list[int]], list[int], list[list[int]]]:
    """Merges, the rank of each byte, and the tokens as bytes in the order of their ranks."""
    letters = rng.permutation([*"aabbbcdeo"])
    texts = ["".join(rng.choice(letters, size=12)) for _ in range(12)]
    chunks = [chunk.encode() for chunk in (*some_chunks(rng, 20), *texts)]
    planted = _planted(rng)
    merges = planted + learn(chunks, n, first_new=256 + len(planted))
    shuffle = [int(i) for i in rng.permutation(256)]
    e = planted[5][0]  # the sum of its rank and fgh's has to be small
    low = shuffle.index(int(rng.integers(200)))
    shuffle[e], shuffle[low] = shuffle[low], shuffle[e]
    # Of RST, cut behind R, the sum of the ranks is not the smallest. QZ is the youngest.
    r, t = sorted(b"RT", key=shuffle.__getitem__, reverse=True)
    merges += [[r, ord("S")], [ord("S"), t], [256 + len(merges), t], [ord("Q"), ord("Z")]]
    tokens = token_bytes(merges)
    in_order = sorted(range(256), key=shuffle.__getitem__)
    return merges, shuffle, [[i] for i in in_order] + [list(t) for t in tokens[256:]]


def _file(rng) -> dict:
    merges, shuffle, tokens = _vocabulary(rng, 60)
    mixed = ["".join(rng.choice([*"abcdeo n"], size=20)) for _ in range(10)]
    planted = [bytes(tokens[i]).decode() for i in (260, 264, 267)]
    planted += [
        "".join(rng.permutation([*planted[0], *planted[1]])),
        planted[0][:3],
        planted[1][1:],
    ]
    # Another vocabulary: the bytes in another order, and three tokens with the ids of the first.
    other = [[int(i)] for i in rng.permutation(256)] + [[195, 169], [98, 195, 169], [99, 100]]
    texts = [*mixed, *(" " + WORDS[i] for i in rng.integers(len(WORDS), size=8)), "aaaaa", "é", ""]
    texts += [*planted, f" {mixed[0]}\n", "É e\u0301", "QZ"]
    return {
        "tokens": tokens,
        "order": [int(i) for i in rng.permutation(len(tokens))],
        "texts": texts,
        "other": other,
        "_merges": merges,
        "_shuffle": shuffle,
    }


ONE_PART = (
    "Only one part was left: a token's own rank is the limit, and merges of that rank or above are "
    "not made."
)
KEPT = (
    "Something of an earlier call is still used, with another vocabulary: a dict outside the "
    "function, say. Make it inside."
)
ALONE = {
    r"not enough values to unpack \(expected 2, got 1\)": ONE_PART,
    r"(too many values to unpack \(expected 2\)|keys of the dict .* not a tuple, \(\d+, \d+, \d)": (
        "More than two parts were left: all merges of a lower rank are made, the lowest first, "
        "from left to right, whatever their place in the dict."
    ),
    r"^(ValueError: (min|max)\(\)|IndexError)": "No two neighbours were left, or none was there: "
    "one part alone has no pair, and an empty chunk has no part.",
    r"TypeError: the keys of the dict .* not a tuple, \((25[6-9]|2[6-9]\d|[3-9]\d\d),\)": ONE_PART,
    r"KeyError": "A part was looked up that `ranks` lacks: its keys are bytes, such as "
    "`bytes([97])`, and not every two tokens make a token.",
    r"TypeError: the keys of the dict .* not a tuple, \(\d+,\)": "Single bytes were made of "
    "nothing: only tokens of two bytes or more have two parts.",
    r"TypeError: the keys of the dict .* not an int": "The dict is the wrong way round: the "
    "pair of ids is the key, and the id of the token the value.",
    r"TypeError: the keys of the dict .* bytes": "The parts stand there as bytes: their ids are "
    "asked for, `ranks[left]` and `ranks[right]`.",
    r"TypeError: the keys of the dict .* not a tuple, \(b": "The parts stand there as bytes: their "
    "ids are asked for, `ranks[left]` and `ranks[right]`.",
    r"TypeError: a dict is needed": "The card says which dict: `merges[left, right] = new`.",
}


@ranks.case("merges recovered", points=5, adapter="recovered", inputs=_file, crashes=ALONE)
def merges_recovered(given, got):
    shuffle, merges, order = given["_shuffle"], given["_merges"], given["order"]
    known = {bytes(token): i for i, token in enumerate(given["tokens"])}

    def rank(i):
        return shuffle[i] if i < 256 else i

    want = sorted([rank(a), rank(b), 256 + i] for i, (a, b) in enumerate(merges))
    place = {token[0]: i for i, token in enumerate(given["other"][:256])}
    first = sorted(
        [[place[195], place[169], 256], [place[98], 256, 257], [place[99], place[100], 258]]
    )
    if got["merges"] != want:
        missing = sorted({m[2] for m in want} - {m[2] for m in got["merges"] or []})
        variants = [
            (
                sorted([a, b, 256 + i] for i, (a, b) in enumerate(merges)),
                "The single bytes stand for themselves here: their ids are their ranks, which are "
                "shuffled.",
            ),
            *((cuts(known, best), hint) for best, hint in GUESSED),
            (leftmost(known), GUESSED[0][1]),
            (sorted([b, a, new] for a, b, new in want), "The two parts are in the wrong order."),
            (
                sorted([a, b, new - 256] for a, b, new in want),
                "A merge makes the token of that rank: counting starts at 256, behind the bytes.",
            ),
            (
                sorted([a, b, order.index(new)] for a, b, new in want),
                "A token's place in the dict was taken for its rank: the dict is in no order, and "
                "the rank is its value.",
            ),
            (
                [m for m in want if max(m[:2]) > 255],
                "Merges of two single bytes are missing: a token of two bytes has two parts, too.",
            ),
        ]
        hint = explained(got["merges"], want, variants)
        if not hint and got["merges"] and all(m in want for m in got["merges"]):
            hint = (
                f"Tokens are missing, {len(missing)} of {len(want)}, such as the one with the id "
                f"{missing[0]}: every token of two bytes or more has two parts."
            )
        if not hint and all(m in (got["merges"] or []) for m in first):
            hint = KEPT
        expect("the merges, each as left, right and new", got["merges"], want, hint=hint)
    expect("those of a vocabulary of 259 tokens", got["first"], first)


# ASCII comes first in the texts: whoever looks up two parts that make no token falls there.
ENCODING = {
    r"^KeyError: b'(\\x[89a-f][0-9a-f]){2,4}'": "A whole character was looked up that has several "
    "bytes: begin with single bytes.",
    r"TypeError: the list that was returned holds a bytes": "The list holds the parts: their ids "
    "are asked for, `ranks[part]`.",
}


@ranks.case("chunks encoded", points=5, adapter="by_ranks", inputs=_file, crashes=ENCODING | ALONE)
def chunks_encoded(given, got):
    shuffle, merges, texts = given["_shuffle"], given["_merges"], given["texts"]
    known = {bytes(token): i for i, token in enumerate(given["tokens"])}
    plain = [apply(text.encode(), merges) for text in texts]

    def rank(i):
        return shuffle[i] if i < 256 else i

    def renamed(name):
        return [[name(i) if i < 256 else i for i in ids] for ids in plain]

    want = renamed(lambda i: shuffle[i])
    other = {bytes(token): i for i, token in enumerate(given["other"])}
    first = [joined(text.encode(), other, lambda rank, i: (rank, i)) for text in texts[:2]]
    hint = None
    if got["ids"] != want:
        place = {rank: i for i, rank in enumerate(given["order"])}
        variants = [
            (
                plain,
                "The bytes that are left stand for themselves here: their ids are their ranks, "
                "which are shuffled.",
            ),
            (
                renamed(shuffle.index),
                "The shuffle was applied backwards: byte b has the id ranks[b].",
            ),
            (renamed(lambda i: shuffle[shuffle[i]]), "The bytes were shuffled twice."),
            (
                [greedy(text.encode(), known) for text in texts],
                "The longest token was taken at each place: the pair that was learned first is "
                "merged first.",
            ),
            (
                [one_round(text.encode(), known, given["order"]) for text in texts],
                IN_NO_ORDER,
            ),
            (
                [[rank(i) for i in apply(text.encode(), merges[:-1])] for text in texts],
                "The youngest token was never made: to encode, the merges have no limit.",
            ),
            (first + want[2:], KEPT),
            (
                [[shuffle[b] for b in text.encode()] for text in texts],
                "Nothing was merged: those are the ranks of the bytes.",
            ),
            *(
                ([joined(text.encode(), known, best) for text in texts], why)
                for best, why in (
                    (
                        lambda rank, i: i,
                        "The leftmost two that make a token were merged first: the lowest rank is.",
                    ),
                    (
                        lambda rank, i: -i,
                        "The rightmost two that make a token were merged first: the lowest rank "
                        "is.",
                    ),
                    (
                        lambda rank, i: (-rank, -i),
                        "The two that were learned last were merged first: the lowest rank is.",
                    ),
                    (
                        lambda rank, i: (-rank, i),
                        "The two that were learned last were merged first: the lowest rank is.",
                    ),
                    (
                        lambda rank, i: (rank, -i),
                        "Of equal pairs the last was merged first: go from left to right.",
                    ),
                    (
                        lambda rank, i: place[rank],
                        IN_NO_ORDER,
                    ),
                )
            ),
        ]
        hint = explained(got["ids"], want, variants)
    for text, ids, right in zip(texts, got["ids"], want, strict=True):
        expect(f"encode_ranks({text!r}, ranks)", ids, right, hint=hint)
    expect(f"encode_ranks of {texts[:2]}, with 259 ranks", got["first"], first)
