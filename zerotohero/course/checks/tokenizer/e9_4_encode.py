"""9.4 · Encode in the order of training, and decode whatever comes."""

from itertools import pairwise

from zerotohero.course.checks.tokenizer.shared import (
    WORDS,
    apply,
    learn,
    merged,
    pair_counts,
    some_chunks,
    token_bytes,
)
from zerotohero.course.exercise import Exercise, Mistake, expect

encode = Exercise(
    number="9.4",
    title="Encode and decode",
    difficulty=2,
    minutes=30,
    practises="applying rules in the order in which they were learned",
    answers=("encode", "decode"),
    summary=(
        "Turn text into tokens by the merges of 9.3, in the order of training. Turn any tokens "
        "back into text, half characters included."
    ),
    statement="""
`encode(text: str, merges: list[tuple[int, int]]) -> list[int]`

`decode(ids: list[int], merges: list[tuple[int, int]]) -> str`

Merge number i makes token 256 + i. `encode` begins with the UTF-8 bytes of `text`. While any pair
of neighbours is in `merges`, it takes the one that was learned first and merges it wherever it
stands, from left to right. An empty text has no tokens.

`decode` puts the bytes of all tokens together and reads them as UTF-8. Models can write tokens
whose bytes are no UTF-8; they become U+FFFD, as `errors="replace"` has it.

```python
merges = [(98, 99), (97, 98), (97, 256)]   # bc, ab, a + bc
encode("abc", merges)                      # [258]: bc was learned first, then a + bc
encode("abab", merges)                     # [257, 257]
decode([195], [])                          # "�", half of é
```
""",
    hints=(
        "Of the pairs that stand in the text now, which may be merged first? It is not the "
        "leftmost one, and not the one that gives the longest token.",
        "Look at the pairs of neighbours, choose the one with the smallest place in `merges`, "
        "merge it, and look again: new pairs have come up.",
        "`rank = {pair: i for i, pair in enumerate(merges)}`, then `min(pairs, key=lambda p: "
        "rank.get(p, len(merges)))`. For `decode`, `tokens[a] + tokens[b]` for each merge, and "
        "one `b''.join(…).decode('utf-8', errors='replace')`.",
    ),
)


def _greedy(octets: bytes, merges) -> list[int]:
    """The longest token at each place, from the left."""
    number = {token: i for i, token in enumerate(token_bytes(merges))}
    longest = max(map(len, number))
    ids, i = [], 0
    while i < len(octets):
        size = next(n for n in range(longest, 0, -1) if octets[i : i + n] in number)
        ids.append(number[octets[i : i + size]])
        i += size
    return ids


def _leftmost(octets: bytes, merges) -> list[int]:
    """The leftmost pair that can be merged, again and again."""
    rank = {tuple(pair): 256 + i for i, pair in enumerate(merges)}
    ids = list(octets)
    while found := [i for i, pair in enumerate(pairwise(ids)) if pair in rank]:
        i = found[0]
        ids[i : i + 2] = [rank[ids[i], ids[i + 1]]]
    return ids


def _frequent(octets: bytes, merges) -> list[int]:
    """The pair that is most frequent in this text, as training does."""
    rank = {tuple(pair): 256 + i for i, pair in enumerate(merges)}
    ids = list(octets)
    while known := {p: n for p, n in pair_counts(ids).items() if p in rank}:
        pair = max(known, key=lambda p: (known[p], -rank[p]))
        ids = merged(ids, pair, rank[pair])
    return ids


def _latest(octets: bytes, merges) -> list[int]:
    rank = {tuple(pair): 256 + i for i, pair in enumerate(merges)}
    ids = list(octets)
    while known := [p for p in pairwise(ids) if p in rank]:
        pair = max(known, key=rank.get)
        ids = merged(ids, pair, rank[pair])
    return ids


def _until_absent(octets: bytes, merges) -> list[int]:
    ids = list(octets)
    for i, pair in enumerate(merges):
        if tuple(pair) not in pair_counts(ids):
            break
        ids = merged(ids, tuple(pair), 256 + i)
    return ids


def _one_pass(octets: bytes, merges) -> list[int]:
    """All merges once over the bytes, with no merge of what a merge has made."""
    rank = {tuple(pair): 256 + i for i, pair in enumerate(merges)}
    ids, i = [], 0
    while i < len(octets):
        pair = tuple(octets[i : i + 2])
        ids.append(rank.get(pair, octets[i]))
        i += 2 if pair in rank else 1
    return ids


def _ids(text: str, merges) -> tuple[list[int], list[tuple[list[int], str]]]:
    """The tokens of a text, and those that known mistakes give, each with its hint."""
    octets = text.encode()
    want = apply(octets, merges)
    variants = [
        (
            _greedy(octets, merges),
            "The longest token that fits was taken at each place: merges are applied in the order "
            "of training, which often gives others.",
        ),
        (
            _leftmost(octets, merges),
            "The pairs were merged in the order of the text: of all that stand there, the one "
            "learned first comes first, wherever it stands.",
        ),
        (
            _latest(octets, merges),
            "Of the pairs in the text, the one learned last was merged first: take the smallest "
            "place in `merges`.",
        ),
        (
            _frequent(octets, merges),
            "The pair that is most frequent in this text was merged first: frequency counts in "
            "training only.",
        ),
        (
            _until_absent(octets, merges),
            "The first merge whose pair the text lacks ended it: go on with the next.",
        ),
        (
            _one_pass(octets, merges),
            "Only bytes were merged: what a merge has made can be merged again.",
        ),
        (list(octets), "Nothing was merged: those are the bytes of the text."),
        (
            apply([ord(c) for c in text], merges),
            "The merges were applied to code points: begin with the UTF-8 bytes.",
        ),
        (
            [i - 256 if i > 255 else i for i in want],
            "Token 256 + i is what merge number i makes, and i alone is a byte.",
        ),
    ]
    return want, variants


def _vocabulary(rng, n: int = 24) -> list[list[int]]:
    return learn([chunk.encode() for chunk in some_chunks(rng, 60)], n)


def _by_hand(rng) -> dict:
    a, b, c, d = (int(i) for i in rng.permutation(range(97, 123))[:4])
    merges = [[b, c], [a, b], [c, d], [256, 258], [a, 256], [d, d], [260, d]]
    word = bytes([a, b, c, d]).decode()
    texts: list[str] = [
        word,
        2 * word,
        word[:3] + 2 * word[:2],
        word[1:3] + word[2:] + word[3],
        word * 3,
    ]
    texts += [word[:3] + word[2:], word[0] * 3, word[0], "", word[2:] + "é"]
    return {"merges": merges, "texts": texts, "ids": []}


@encode.case("seven merges by hand", points=2, adapter="coded", inputs=_by_hand)
def tokens_by_hand(given, got):
    known = [_ids(text, given["merges"]) for text in given["texts"]]
    # A mistake is one that explains the tokens of all texts; one text alone leaves it open.
    hints = [
        variants[0][1]
        for variants in zip(*(found for _, found in known), strict=True)
        if [value for value, _ in variants] == got["ids"]
    ]
    hint = hints[0] if hints else None
    for text, ids, (want, _) in zip(given["texts"], got["ids"], known, strict=True):
        expect(f"encode({text!r}, merges)", ids, want, hint=hint)


def _words(rng) -> dict:
    chosen = [WORDS[i] for i in rng.integers(len(WORDS), size=12)]
    mixed = ["".join(rng.choice([*"anovertmb"], size=30)) for _ in range(6)]
    texts = [
        *mixed,
        *chosen,
        " ".join(chosen),
        " aaaaaaa aaaaa",
        "été 🙂🙂 東京都",
        "over" + chosen[0],
    ]
    return {"merges": _vocabulary(rng), "texts": texts, "ids": []}


@encode.case("words by a vocabulary", points=3, adapter="coded", inputs=_words)
def tokens_of_words(given, got):
    tokens_by_hand(given, got)


def _tokens(rng) -> dict:
    merges = _vocabulary(rng)
    tokens = [i for i, token in enumerate(token_bytes(merges)) if i > 255 or 96 < i < 123]
    texts = [" ".join(WORDS[i] for i in rng.integers(len(WORDS), size=4)) for _ in range(3)]
    ids = [apply(text.encode(), merges) for text in texts]
    ids += [[int(i) for i in rng.choice(tokens, 5)], [*"é🙂".encode()], []]
    return {"merges": merges, "texts": [], "ids": ids}


STRICT = {
    r"UnicodeDecodeError": "Those bytes are no UTF-8: a model may write half a character. "
    '`errors="replace"` puts U+FFFD in its place.',
}


def _expect_texts(given: dict, got: dict) -> None:
    tokens = token_bytes(given["merges"])
    for ids, text in zip(given["ids"], got["texts"], strict=True):
        parts = [tokens[i] for i in ids]
        want = b"".join(parts).decode(errors="replace")
        variants = [
            (
                "".join(part.decode(errors="replace") for part in parts),
                "Each token was decoded for itself, which breaks a character that is spread over "
                "two: put the bytes together first.",
            ),
            (
                b"".join(parts).decode(errors="ignore"),
                "What is no UTF-8 was left out: U+FFFD has to stand in its place.",
            ),
            (
                b"".join(parts).decode("latin-1"),
                "Each byte became a character: read the bytes as UTF-8.",
            ),
        ]
        mistakes = [Mistake(value, hint) for value, hint in variants if value != want]
        expect(f"decode({ids}, merges)", text, want, mistakes=mistakes)


@encode.case("tokens read back", points=2, adapter="coded", inputs=_tokens, crashes=STRICT)
def text_read_back(given, got):
    _expect_texts(given, got)


def _broken(rng) -> dict:
    half = [0xF0 + int(rng.integers(5)), 0x9F, int(rng.integers(97, 123)), 0xC3, 0xA9]
    return {"merges": [[0xC3, 0xA9]], "texts": [], "ids": [half, [256, 0xC3], [0xA9, 256]]}


@encode.case("tokens that are no UTF-8", adapter="coded", inputs=_broken, crashes=STRICT)
def halves_replaced(given, got):
    _expect_texts(given, got)
