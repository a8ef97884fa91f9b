"""9.7 · GPT-4's merges from its ranks, and its byte shuffle."""

from zerotohero.course.checks.tokenizer.shared import (
    WORDS,
    apply,
    learn,
    some_chunks,
    token_bytes,
)
from zerotohero.course.exercise import Exercise, Mistake, expect

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
the ranks from 256 on, in the order in which they were learned.

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


def _prefix(token: bytes, known: dict[bytes, int], longest: bool) -> list[int]:
    """Cut a token after the longest or the shortest older token, whatever was learned."""
    places = range(len(token) - 1, 0, -1) if longest else range(1, len(token))
    for i in places:
        a, b = known.get(token[:i]), known.get(token[i:])
        if a is not None and b is not None and max(a, b) < known[token]:
            return [a, b, known[token]]
    return [-1, -1, known[token]]


def _vocabulary(rng, n: int) -> tuple[list[list[int]], list[int], list[list[int]]]:
    """Merges, the rank of each byte, and the tokens as bytes in the order of their ranks."""
    letters = rng.permutation([*"aabbbcdeo"])
    texts = ["".join(rng.choice(letters, size=12)) for _ in range(12)]
    chunks = [chunk.encode() for chunk in (*some_chunks(rng, 20), *texts)]
    merges = learn(chunks, n)
    shuffle = [int(i) for i in rng.permutation(256)]
    tokens = token_bytes(merges)
    in_order = sorted(range(256), key=shuffle.__getitem__)
    return merges, shuffle, [[i] for i in in_order] + [list(t) for t in tokens[256:]]


def _file(rng) -> dict:
    merges, shuffle, tokens = _vocabulary(rng, 60)
    mixed = ["".join(rng.choice([*"abcdeo n"], size=20)) for _ in range(6)]
    texts = [*mixed, *(" " + WORDS[i] for i in rng.integers(len(WORDS), size=8)), "aaaaa", "é", ""]
    return {"tokens": tokens, "texts": texts, "_merges": merges, "_shuffle": shuffle}


ALONE = {
    r"not enough values to unpack|IndexError": "Only one part was left: a token's own rank is the "
    "limit, and merges of that rank or above are not made.",
    r"KeyError": "A part was looked up that `ranks` lacks: its keys are bytes, such as "
    "`bytes([97])`, and not every two tokens make a token.",
}


@ranks.case("merges recovered", points=5, adapter="recovered", inputs=_file, crashes=ALONE)
def merges_recovered(given, got):
    shuffle, merges = given["_shuffle"], given["_merges"]
    known = {bytes(token): i for i, token in enumerate(given["tokens"])}

    def rank(i):
        return shuffle[i] if i < 256 else i

    want = sorted([rank(a), rank(b), 256 + i] for i, (a, b) in enumerate(merges))
    longer = [token for token in known if len(token) > 1]
    variants = [
        (
            sorted([a, b, 256 + i] for i, (a, b) in enumerate(merges)),
            "The single bytes stand for themselves here: their ids are their ranks, which are "
            "shuffled.",
        ),
        (
            sorted(_prefix(token, known, True) for token in longer),
            "The tokens were cut after the longest older token: byte-pair encoding often cuts "
            "elsewhere.",
        ),
        (
            sorted(_prefix(token, known, False) for token in longer),
            "The tokens were cut at the first place where both parts are tokens: byte-pair "
            "encoding often cuts elsewhere.",
        ),
        (sorted([b, a, new] for a, b, new in want), "The two parts are in the wrong order."),
        (
            sorted([a, b, new - 256] for a, b, new in want),
            "A merge makes the token of that rank: counting starts at 256, behind the bytes.",
        ),
    ]
    mistakes = [Mistake(value, hint) for value, hint in variants if value != want]
    expect("the merges, each as left, right and new", got["merges"], want, mistakes=mistakes)


def _greedy(octets: bytes, known: dict[bytes, int]) -> list[int]:
    ids = []
    while octets:
        n = next(n for n in range(len(octets), 0, -1) if octets[:n] in known)
        ids.append(known[octets[:n]])
        octets = octets[n:]
    return ids


@ranks.case("chunks encoded", points=5, adapter="by_ranks", inputs=_file, crashes=ALONE)
def chunks_encoded(given, got):
    shuffle, merges, texts = given["_shuffle"], given["_merges"], given["texts"]
    known = {bytes(token): i for i, token in enumerate(given["tokens"])}
    plain = [apply(text.encode(), merges) for text in texts]

    def renamed(name):
        return [[name(i) if i < 256 else i for i in ids] for ids in plain]

    want = renamed(lambda i: shuffle[i])
    variants = [
        (
            plain,
            "The bytes that are left stand for themselves here: their ids are their ranks, which "
            "are shuffled.",
        ),
        (renamed(shuffle.index), "The shuffle was applied backwards: byte b has the id ranks[b]."),
        (renamed(lambda i: shuffle[shuffle[i]]), "The bytes were shuffled twice."),
        (
            [_greedy(text.encode(), known) for text in texts],
            "The longest token was taken at each place: the pair that was learned first is "
            "merged first.",
        ),
        (
            [[shuffle[b] for b in text.encode()] for text in texts],
            "Nothing was merged: those are the ranks of the bytes.",
        ),
    ]
    hints = [hint for value, hint in variants if value == got["ids"] and value != want]
    for text, ids, right in zip(texts, got["ids"], want, strict=True):
        expect(f"encode_ranks({text!r}, ranks)", ids, right, hint=hints[0] if hints else None)
