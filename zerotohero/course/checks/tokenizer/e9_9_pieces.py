"""9.9 · A sentencepiece model with byte fallback, as Llama 2 has it."""

import re
from itertools import groupby

from zerotohero.course.checks.tokenizer._e9_9_joining import (
    CONTROL,
    ENCODED_WRONG,
    FIRST,
    encoded,
    model,
)
from zerotohero.course.checks.tokenizer.shared import WORDS, explained, explained_by
from zerotohero.course.exercise import Exercise, Wrong, expect

pieces = Exercise(
    number="9.9",
    title="Sentencepiece",
    difficulty=4,
    minutes=45,
    practises="the same idea on another alphabet, and what it leaves over",
    answers=("encode_pieces", "decode_pieces"),
    summary=(
        "Encode and decode as Llama 2's tokenizer does. It merges code points by score, and falls "
        "back to bytes."
    ),
    statement="""
`encode_pieces(text: str, pieces: list[str], scores: list[float]) -> list[int]`

`decode_pieces(ids: list[int], pieces: list[str]) -> str`

The place of a piece in `pieces` is its id. First come `<unk>`, `<s>` and `</s>`, then the bytes
from `<0x00>` to `<0xFF>`, ids 3 to 258, then the pieces of text, all different, and the higher its
score, the sooner a piece is made.

To encode, put one blank before the text, unless it is empty, and replace every blank, and no other
whitespace, by `▁` (U+2581). Begin with the single characters. As long as two neighbours together
are a piece of text, join the two whose piece has the highest score, at **one** place; of several
that are equal, at the leftmost. Then each part that is a piece of text becomes its id, and every
other part the ids of the bytes of its UTF-8. The first 259 pieces are never made by joining: `<s>`
or `<0x41>` in a text is ordinary text.

To decode, ids 3 to 258 are the bytes that they name. Bytes that stand together are read as UTF-8,
and each byte that belongs to no character becomes one U+FFFD, as the library sentencepiece has it;
`errors="replace"` puts one for all the bytes of a begun character. All other ids are pieces, and
`▁` in them is a blank. If the first id is a piece that begins with `▁`, this **one** blank falls
away. A blank or `▁` that comes as bytes stays as it is. Ids 0 to 2 don't occur.

```python
pieces = [..., "▁", "a", "b", "ab", "▁ab"]   # ids 259 to 263
encode_pieces("ab é", pieces, scores)        # [263, 259, 198, 172]: C3 and A9, 3 + 195 and 3 + 169
decode_pieces([263, 259, 198, 172], pieces)  # "ab é"
```
""",
    hints=(
        "It is 9.4 with characters instead of bytes and scores instead of places, and only one "
        "place is joined at a time. What is done with a character that is no piece, and when?",
        "`number = {piece: i for i, piece in enumerate(pieces) if i > 258}`; join in a loop while "
        "any two neighbours are in it; fall back to bytes only at the end.",
        "`max` of `(scores[number[a + b]], -i)` over the neighbours is the highest score, and the "
        "leftmost of equals. `[3 + b for b in part.encode()]` is the fallback. For decoding, "
        "collect bytes: `bytes([i - 3])` or a piece's. `UnicodeDecodeError` has a `start`: put "
        "U+FFFD there, and go on behind this byte.",
    ),
)


def _texts(rng) -> dict:
    pieces, scores = model(rng)
    words = [WORDS[i] for i in rng.integers(len(WORDS), size=12)]
    mixed = ["".join(rng.choice([*"abenov  "], size=16)) for _ in range(6)]
    texts = [*mixed, " ".join(words), " blank first", "end ", "東京 🙂", "x<s>ab<s>", ""]
    texts += ["kqk zzz", "jyjy", "gp huf ufk", "5 6", "<0x41>", "<0xFF>a<0x00>"]
    texts += [f"a\tb\n{words[0]}\u00a0n", "e\u0301t\u00e9 ﬁ", "Anne OVER", "qü ü", "MNOP"]
    other = [*CONTROL, *rng.permutation([*"abenov▁", "▁a", "en", "ov"]).tolist()]
    return {"pieces": pieces, "scores": scores, "texts": texts, "ids": [], "other": other}


def _unchanged(got: dict) -> None:
    if name := got["changed"]:
        raise Wrong(
            f"an argument, {name}, was changed, which the caller goes on using: arguments stay as "
            "they are",
            f"`sort`, `append`, `pop` and `x[i] = …` change the list itself: begin with "
            f"`{name} = list({name})`, or use `sorted`.",
        )


KEPT = (
    "The pieces of an earlier call are still used: a dict outside the function, say, that is made "
    "once. Make it inside."
)
ENCODING = {
    r"^KeyError: '(.|\\[ux]\w+)'$": "A part that is no piece was looked up: it falls back to "
    "its bytes.",
    r"^KeyError: '..": "Two neighbours that make no piece together were looked up: ask with `in` "
    "or `get`.",
    r"^(ValueError: (min|max)\(\)|IndexError)": "No two neighbours make a piece, or none is there: "
    "then nothing more is joined.",
}


@pieces.case("texts encoded", points=5, adapter="by_pieces", inputs=_texts, crashes=ENCODING)
def pieces_of_texts(given, got):
    _unchanged(got)
    pieces, scores, texts = given["pieces"], given["scores"], given["texts"]
    want = [encoded(text, pieces, scores) for text in texts]
    calls = [(text, pieces, scores) for text in texts]
    other = given["other"], [-float(i) for i in range(len(given["other"]))]
    hint = explained_by(calls, got["ids"], want, ENCODED_WRONG)
    if not hint and got["ids"] == [encoded(text, *other) for text in texts]:
        hint = KEPT
    for text, ids, right in zip(texts, got["ids"], want, strict=True):
        expect(f"encode_pieces({text!r}, …)", ids, right, hint=hint)
    first = [encoded(text, *other) for text in texts[:2]]
    expect(f"encode_pieces of {texts[:2]}, with other pieces", got["first"], first)


def _ids(rng) -> dict:
    given = _texts(rng)
    drawn = [int(i) for i in rng.integers(FIRST, len(given["pieces"]), size=8)]
    ids = [encoded(text, given["pieces"], given["scores"]) for text in given["texts"]]
    place, sign, blank = given["pieces"].index("▁"), [3 + b for b in "▁".encode()], 3 + 0x20
    ids += [[3 + 0xC3, *drawn], [place, place, *drawn], [*drawn, 3 + 0xE6, 3 + 0x9D]]
    ids += [[blank, *drawn], [*sign, *drawn], [*drawn, place, blank, *sign, *drawn[:3]]]
    ids += [
        [place, blank, *drawn[:4]],
        [*drawn[:4], 258, 3, 257],
        [258],
        [3 + b for b in b"\xc3\xc3"],
    ]
    ids += [
        [*drawn[:2], 3 + 0xF0, 3 + 0x9F, 3 + 0x99, drawn[2]],
        [3 + b for b in "\ufeffé".encode()],
    ]
    index = given["pieces"].index
    ids += [[index("kq"), *drawn[:3]], [index("▁▁"), *drawn[:3]], [3 + 0x41, place, *drawn[:3]]]
    return given | {"texts": [], "ids": ids}


STRICT = {
    r"ValueError: (bytes must be|byte must be)": "The id i is the byte i − 3: the first three are "
    "no bytes.",
    r"^IndexError": "An empty list has no `ids[0]`, and no list has a place behind its last.",
    r"UnicodeDecodeError": "A model may write bytes that are no UTF-8: U+FFFD stands for each of "
    "them.",
}


def _each_byte(data: bytes) -> str:
    """Bytes as text, with U+FFFD for each that belongs to no character."""
    text = ""
    while True:
        try:
            return text + data.decode()
        except UnicodeDecodeError as error:
            text += data[: error.start].decode() + "\ufffd"
            data = data[error.start + 1 :]


def _replaced(data: bytes) -> str:
    return data.decode(errors="replace")


def _decoded(
    ids,
    pieces,
    read=_each_byte,
    bytes_from=3,
    bytes_until=FIRST,
    first=True,
    signs=False,
    blank=" ",
) -> str:
    """The text of ids; the switches are what learners get wrong."""
    text = ""
    for place, (are_bytes, run) in enumerate(groupby(ids, lambda i: bytes_from <= i < bytes_until)):
        if are_bytes:
            part = read(bytes(i - 3 for i in run))
            text += part.replace("▁", " ") if signs else part
        else:
            part = "".join(pieces[i] for i in run)
            text += (part if place or not first else part.removeprefix("▁")).replace("▁", blank)
    return text


ALL_BLANKS = "All blanks at the beginning were taken away: one was put there."
ANY_FIRST = "The first character was taken away, whatever it is: only a blank goes."


@pieces.case("ids decoded", points=3, adapter="by_pieces", inputs=_ids, crashes=STRICT)
def text_of_pieces(given, got):
    _unchanged(got)
    pieces, every = given["pieces"], given["ids"]

    def variant(change=str, **switches):
        return [change(_decoded(ids, pieces, **switches)) for ids in every]

    def bytewise(data):
        return "".join(bytes([b]).decode(errors="replace") for b in data)

    def piece_first(change):
        """Change the text of the first piece, if no bytes come before it, in some way."""
        texts = []
        for ids, text in zip(every, whole, strict=True):
            n = len(pieces[ids[0]]) if ids and ids[0] >= FIRST else 0
            texts.append(change(text[:n]) + text[n:])
        return texts

    def end_left_out(ids):
        n = next((n for n, i in enumerate(reversed(ids)) if i >= FIRST), len(ids))
        return _decoded(ids[: len(ids) - n], pieces)

    def first_of_all(ids):
        """One blank taken from the first piece, wherever it stands."""
        at = next((at for at, i in enumerate(ids) if i >= FIRST), len(ids))
        return _decoded(ids[:at], pieces) + _decoded(ids[at:], pieces)

    want = variant()
    whole = variant(first=False)
    variants = [
        (whole, "The blank that encoding put before the text is still there."),
        (
            [text.removeprefix(" ") for text in whole],
            "A blank at the beginning that came as a byte was taken away: only a piece's blank is.",
        ),
        (
            [text.lstrip() for text in whole],
            ALL_BLANKS,
        ),
        *((piece_first(strip), ALL_BLANKS) for strip in (str.strip, str.lstrip)),
        (
            [first_of_all(ids) for ids in every],
            "A blank was taken from the first piece, though bytes come before it: only where it is "
            "the first id.",
        ),
        (
            [end_left_out(ids) for ids in every],
            "Bytes at the end were left out: they wait for a piece that doesn't come. Read what is "
            "left when the ids are over.",
        ),
        (
            [text.strip() for text in whole],
            "Whitespace at both ends was taken away: one blank at the beginning is.",
        ),
        (
            [text[1:] for text in whole],
            ANY_FIRST,
        ),
        (piece_first(lambda text: text[1:]), ANY_FIRST),
        *(
            (texts, "▁ stands for a blank: replace it.")
            for texts in (
                [text.replace(" ", "▁") for text in want],
                variant(blank="▁"),
                variant(blank="▁", first=False),
            )
        ),
        *(
            (
                texts,
                "A ▁ that came as bytes became a blank, too: it is one only in pieces.",
            )
            for texts in (
                variant(signs=True),
                [text.removeprefix(" ") for text in variant(first=False, signs=True)],
            )
        ),
        (variant(read=bytewise), "Each byte was decoded for itself: put all together first."),
        *(
            (
                [change(text) for text in variant(read=_replaced, **switches)],
                'One U+FFFD stands for all bytes of a begun character, as `errors="replace"` '
                "has it: sentencepiece puts one for each byte.",
            )
            for change, switches in (
                (str, {}),
                (lambda text: text.removeprefix(" "), {"first": False}),
                (lambda text: text.removeprefix(" "), {"first": False, "signs": True}),
            )
        ),
        (
            [re.sub("\ufffd+", "\ufffd", text) for text in want],
            "Several U+FFFD became one: each byte has its own.",
        ),
        (
            variant(read=lambda data: data.decode(errors="ignore")),
            "Bytes that are no UTF-8 were left out: U+FFFD has to stand for each of them.",
        ),
        (
            variant(read=lambda data: data.decode("latin-1")),
            "Each byte became a character: read the bytes as UTF-8.",
        ),
        (
            [text.replace("\ufeff", "") for text in want],
            "U+FEFF is gone: it is a character like any other here.",
        ),
        (
            variant(bytes_from=4),
            "Id 3 is a byte, `<0x00>`: its name is in the text.",
        ),
        (
            variant(bytes_until=FIRST - 1),
            "Id 258 is a byte, `<0xFF>`: its name stands in the text.",
        ),
        (
            variant(bytes_until=0),
            "The names of the bytes stand in the text: `<0xC3>` is the byte 0xC3.",
        ),
    ]
    hint = explained(got["texts"], want, variants)
    for ids, text, right in zip(every, got["texts"], want, strict=True):
        expect(f"decode_pieces({ids[:6]}…, pieces)", text, right, hint=hint)
