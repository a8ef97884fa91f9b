"""9.4 · Encode in the order of training, and decode whatever comes."""

import re
from unicodedata import normalize

from zerotohero.course.checks.tokenizer._e9_4_orders import UNCHANGED, WRONG
from zerotohero.course.checks.tokenizer.shared import (
    WORDS,
    apply,
    explained,
    explained_by,
    learn,
    some_chunks,
    token_bytes,
)
from zerotohero.course.exercise import Exercise, expect

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

Merge number i makes token 256 + i. `encode` begins with the UTF-8 bytes of `text` as it is. While
any pair of neighbours is in `merges`, it takes the one that was learned first and merges it
wherever it stands, from left to right. An empty text has no tokens. What counts is the pair: two
tokens that are in no merge stay apart, even if their bytes together are those of some token.

`decode` puts the bytes of all tokens together and reads them as UTF-8. Models can write tokens
whose bytes are no UTF-8; they become U+FFFD, as many as `errors="replace"` puts there. Nothing else
is changed.

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


def _vocabulary(rng, n: int = 24) -> list[list[int]]:
    return learn([chunk.encode() for chunk in some_chunks(rng, 60)], n)


def _by_hand(rng) -> dict:
    a, b, c, d, e, f, g, x = (int(i) for i in rng.permutation(range(97, 123))[:8])
    merges = [[e, f], [f, g], [e, 257]]  # e and fg, not ef and g
    merges += [[b, c], [a, b], [c, d], [259, 261], [a, 259], [d, d], [263, d]]
    word, other, one = bytes([a, b, c, d]).decode(), bytes([e, f, g]).decode(), chr(x)
    texts: list[str] = [
        word,
        2 * word,
        word[:3] + 2 * word[:2],
        word[1:3] + word[2:] + word[3],
        word * 3,
        word[:3] + word[2:],
        word[1:] + word[2:],  # the last two letters are the most frequent pair, and the latest
        *(word[0] * 3, word[3] * 5, word[0], ""),
        word[2:] + "é",
        one + word,  # the pair of the last merge behind one of none
        word.upper() + word,
        f"e\u0301 {word} É ﬁ",
        other,
        f" {word}\n",
    ]
    return {"merges": merges, "texts": texts, "ids": []}


def right_tokens(given, got):
    merges, texts = given["merges"], given["texts"]
    want = [apply(text.encode(), merges) for text in texts]
    hint = explained_by([(text, merges) for text in texts], got["ids"], want, WRONG)
    for text, ids, right in zip(texts, got["ids"], want, strict=True):
        expect(f"encode({text!r}, merges)", ids, right, hint=hint)


encode.case("ten merges by hand", points=2, adapter="coded", inputs=_by_hand)(right_tokens)


def _words(rng) -> dict:
    chosen = [WORDS[i] for i in rng.integers(len(WORDS), size=12)]
    mixed = ["".join(rng.choice([*"anovertmb"], size=30)) for _ in range(3)]
    mixed += ["".join(WORDS[i] for i in rng.integers(len(WORDS), size=6)) for _ in range(3)]
    texts = [
        *mixed,
        *chosen,
        " ".join(chosen),
        " aaaaaaa aaaaa",
        "été 🙂🙂 東京都",
        "over" + chosen[0],
    ]
    return {"merges": _vocabulary(rng), "texts": texts, "ids": []}


encode.case("words by a vocabulary", points=3, adapter="coded", inputs=_words)(right_tokens)


def _tokens(rng) -> dict:
    merges = _vocabulary(rng)
    tokens = [i for i, token in enumerate(token_bytes(merges)) if i > 255 or 96 < i < 123]
    texts = [" ".join(WORDS[i] for i in rng.integers(len(WORDS), size=4)) for _ in range(3)]
    texts += [f" {texts[0]}\n", f"\ufeff{texts[1]}", texts[2].upper(), f"e\u0301{texts[0]}"]
    ids = [apply(text.encode(), merges) for text in texts]
    ids += [[int(i) for i in rng.choice(tokens, 5)], [*"é🙂".encode()], []]
    return {"merges": merges, "texts": [], "ids": ids}


STRICT = {
    r"UnicodeDecodeError": "Those bytes are no UTF-8: a model may write half a character. "
    '`errors="replace"` puts U+FFFD in its place.',
}


def right_texts(given, got):
    tokens, every = token_bytes(given["merges"]), given["ids"]

    def texts(errors="replace", encoding="utf-8"):
        return [b"".join(tokens[i] for i in ids).decode(encoding, errors) for ids in every]

    want = texts()
    variants = [
        (
            ["".join(tokens[i].decode(errors="replace") for i in ids) for ids in every],
            "Each token was decoded for itself, which breaks a character that is spread over "
            "two: put the bytes together first.",
        ),
        (
            texts(errors="ignore"),
            "What is no UTF-8 was left out: U+FFFD has to stand in its place.",
        ),
        (
            [re.sub("\ufffd+", "\ufffd", text) for text in want],
            "Several U+FFFD became one: each stands for something else that is no UTF-8.",
        ),
        (
            [text.replace("\ufffd", "?") for text in want],
            "A question mark stands for what is no UTF-8: it is U+FFFD.",
        ),
        (texts(encoding="latin-1"), "Each byte became a character: read the bytes as UTF-8."),
        (
            [text.strip() for text in want],
            "Whitespace at the ends is gone: it is part of the text, so no `strip`.",
        ),
        (
            texts(encoding="utf-8-sig"),
            "U+FEFF at the beginning is gone: it is part of the text, and `utf-8` keeps it.",
        ),
        *(
            ([normalize(form, text) for text in want], UNCHANGED)
            for form in ("NFC", "NFD", "NFKC", "NFKD")
        ),
    ]
    hint = explained(got["texts"], want, variants)
    for ids, text, right in zip(every, got["texts"], want, strict=True):
        expect(f"decode({ids}, merges)", text, right, hint=hint)


encode.case("tokens read back", points=2, adapter="coded", inputs=_tokens, crashes=STRICT)(
    right_texts
)


def _broken(rng) -> dict:
    half = [0xF0 + int(rng.integers(5)), 0x9F, int(rng.integers(97, 123)), 0xC3, 0xA9]
    ids = [half, [256, 0xC3], [0xA9, 256], [0xC3, 0xC3, 98], [98, *half[:1], 32, 0xC3, 0xC3]]
    return {"merges": [[0xC3, 0xA9]], "texts": [], "ids": ids}


encode.case("tokens that are no UTF-8", adapter="coded", inputs=_broken, crashes=STRICT)(
    right_texts
)


def _untrained(rng) -> dict:
    words = [WORDS[i] for i in rng.integers(len(WORDS), size=3)]
    return {"merges": [], "texts": ["", *words], "ids": [[*word.encode()] for word in words]}


@encode.case("no merges at all", adapter="coded", inputs=_untrained)
def bytes_both_ways(given, got):
    right_tokens(given, got)
    right_texts(given, got)
