"""9.9 · A sentencepiece model with byte fallback, as Llama 2 has it."""

import re
from itertools import groupby, pairwise
from unicodedata import normalize

from zerotohero.course.checks.tokenizer.shared import WORDS, explained, explained_by, learn, merged
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
FIRST = 259
CONTROL = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]


# Ties (kq and qk, zz with itself), a piece that is better than the one it is made of, one with a
# score below any that is thought of, two of which the right one is better, and the way to the names
# of three bytes.
PLANTED = {"kq": -1.5, "qk": -1.5, "zz": -1.5, "jy": -2.0, "jyj": -1.7, "gp": -1e30}
PLANTED |= {"hu": -1.9, "uf": -1.4}
PLANTED |= {"<0": -0.5, "<0x": -0.6, "<0x4": -0.7, "<0x41": -0.8, "<0xF": -0.9, "<0xFF": -1.1}
PLANTED |= {"<0x0": -1.2, "<0x00": -1.3}


def _model(rng) -> tuple[list[str], list[float]]:
    """Pieces learned from words, in no order but for the first and the last, and their scores."""
    chosen = [WORDS[i] for i in rng.integers(len(WORDS), size=50)]
    texts = [*(f"▁{word}" for word in chosen if word[0] not in "東京🙂"), "▁ab<s", "▁ab<s", "▁<s"]
    texts += ["▁" + "".join(rng.choice([*"abeno"], size=9)) for _ in range(12)]
    codes = [[ord(c) for c in text] for text in texts]
    names = {ord(c): c for text in texts for c in text}
    for i, (a, b) in enumerate(learn(codes, 40, first_new=0x200000)):
        names[0x200000 + i] = names[a] + names[b]
    found = list(dict.fromkeys([*names.values(), *">kqzjygphuf<0x41F", "b>"]))
    score = {p: -1000.0 - i if len(p) == 1 else -(float(i) ** 3) for i, p in enumerate(found)}
    two = [p for p in found if len(p) > 1]
    score |= {two[0]: 3.0, two[1]: 0.0} | PLANTED
    found = [*found, *PLANTED]
    found = ["5", *(found[i] for i in rng.permutation(len(found))), "6"]
    return CONTROL + found, [0.0] * FIRST + [score.get(p, -5000.0) for p in found]


def _joined(parts, scores, number, lowest=False, last=False, everywhere=False, above=None):
    """Join parts while any two make a piece; the switches are what learners get wrong."""
    parts, sign, side = list(parts), -1 if lowest else 1, 1 if last else -1
    while known := [
        (sign * scores[number[a + b]], side * i)
        for i, (a, b) in enumerate(pairwise(parts))
        if a + b in number and (above is None or scores[number[a + b]] > above)
    ]:
        i = side * max(known)[1]
        two = parts[i], parts[i + 1]
        if everywhere:
            parts = merged(parts, two, "".join(two))
        else:
            parts[i : i + 2] = ["".join(two)]
    return parts


def _encoded(
    text,
    pieces,
    scores,
    offset=3,
    unknown=False,
    prefix=True,
    empty=False,
    blank=" ",
    is_text=lambda i: i >= FIRST,
    before=str,
    **switches,
) -> list[int]:
    number = {piece: i for i, piece in enumerate(pieces) if is_text(i)}
    text = before(text)
    if prefix and (text or empty):
        text = " " + text
    ids: list[int] = []
    for part in _joined(re.sub(blank, "▁", text), scores, number, **switches):
        fallback = [0] if unknown else [offset + b for b in part.encode()]
        ids += [number[part]] if part in number else fallback
    return ids


def _greedy(text, pieces, scores) -> list[int]:
    number = {piece: i for i, piece in enumerate(pieces) if i >= FIRST}
    text = ("▁" + text.replace(" ", "▁")) if text else ""
    ids: list[int] = []
    while text:
        n = next((n for n in range(len(text), 0, -1) if text[:n] in number), 0)
        ids += [number[text[:n]]] if n else [3 + b for b in text[0].encode()]
        text = text[n or 1 :]
    return ids


SAME_LOOK = (
    "Characters were changed into others that look the same: the text is taken as it is, so don't "
    "normalise it."
)
WRONG = [
    (
        {"prefix": False},
        "The blank before the text is missing: a word at the beginning gets the same piece as "
        "elsewhere.",
    ),
    ({"empty": True}, "An empty text has no blank before it: it has no ids."),
    ({"blank": "(?!)"}, "The blanks were left as they are: in pieces they are written ▁."),
    (
        {"blank": r"\s"},
        "Tabs, line ends and other whitespace became ▁, too: only a blank, U+0020, does.",
    ),
    (
        {"before": lambda text: " ".join(text.split())},
        "Whitespace was lost by `split`: every blank becomes a ▁, and all else stays.",
    ),
    ({"before": str.strip}, "Blanks at the ends are gone: the text is taken as it is, no `strip`."),
    ({"before": str.lower}, "Capitals were made small: the text is taken as it is."),
    *(
        ({"before": lambda text, form=form: normalize(form, text)}, SAME_LOOK)
        for form in ("NFC", "NFD", "NFKC", "NFKD")
    ),
    (
        {"lowest": True},
        "The piece with the lowest score was made first: the highest comes first.",
    ),
    (
        {"last": True},
        "Of several that are equal, the last was joined: `>` in place of `>=` keeps the leftmost.",
    ),
    (
        {"everywhere": True},
        "The two were joined at all places at once: join at the leftmost only, and look again, "
        "since a better piece may have become possible there.",
    ),
    *(
        (
            {"above": float(above)},
            "A piece with a very low score was never made: any two that make a piece are joined, "
            "so begin with `-inf`, or with no best at all.",
        )
        for above in (0, -1, *(-(10**n) for n in range(1, 30)), *(1 - 10**n for n in range(1, 8)))
    ),
    (
        {"unknown": True},
        "A part that is no piece became `<unk>`: it falls back to its bytes.",
    ),
    ({"offset": 0}, "The byte b has the id 3 + b: three pieces come before the bytes."),
    (
        {"is_text": lambda i: True},
        "`<s>` in the text became the control token: it is made by no joining.",
    ),
    (
        {"is_text": lambda i: i > 2},
        "`<0x41>` in the text became the byte of that name: it is made by no joining.",
    ),
    (
        {"is_text": lambda i: i > 257},
        "`<0xFF>` in the text became a byte: its id is 258, and pieces of text begin at 259.",
    ),
    (
        {"is_text": lambda i: i > 259},
        "The first piece of text was left out: its id is 259.",
    ),
]
ENCODED_WRONG = [
    (lambda *call, switches=switches: _encoded(*call, **switches), hint) for switches, hint in WRONG
]
ENCODED_WRONG.append((_greedy, "The longest piece was taken at each place: the scores decide."))


def _texts(rng) -> dict:
    pieces, scores = _model(rng)
    words = [WORDS[i] for i in rng.integers(len(WORDS), size=12)]
    mixed = ["".join(rng.choice([*"abenov  "], size=16)) for _ in range(6)]
    texts = [*mixed, " ".join(words), " blank first", "end ", "東京 🙂", "x<s>ab<s>", ""]
    texts += ["kqk zzz", "jyjy", "gp huf", "5 6", "<0x41>", "<0xFF>a<0x00>"]
    texts += [f"a\tb\n{words[0]}\u00a0n", "e\u0301t\u00e9 ﬁ", "Anne OVER"]
    return {"pieces": pieces, "scores": scores, "texts": texts, "ids": []}


def _unchanged(got: dict) -> None:
    if name := got["changed"]:
        raise Wrong(
            f"an argument, {name}, was changed, which the caller goes on using: arguments stay as "
            "they are",
            f"`sort`, `append`, `pop` and `x[i] = …` change the list itself: begin with "
            f"`{name} = list({name})`, or use `sorted`.",
        )


@pieces.case("texts encoded", points=5, adapter="by_pieces", inputs=_texts)
def pieces_of_texts(given, got):
    _unchanged(got)
    pieces, scores, texts = given["pieces"], given["scores"], given["texts"]
    want = [_encoded(text, pieces, scores) for text in texts]
    calls = [(text, pieces, scores) for text in texts]
    hint = explained_by(calls, got["ids"], want, ENCODED_WRONG)
    for text, ids, right in zip(texts, got["ids"], want, strict=True):
        expect(f"encode_pieces({text!r}, …)", ids, right, hint=hint)


def _ids(rng) -> dict:
    given = _texts(rng)
    drawn = [int(i) for i in rng.integers(FIRST, len(given["pieces"]), size=8)]
    ids = [_encoded(text, given["pieces"], given["scores"]) for text in given["texts"]]
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
    return given | {"texts": [], "ids": ids}


STRICT = {
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


def _decoded(ids, pieces, read=_each_byte, bytes_until=FIRST, first=True, signs=False) -> str:
    """The text of ids; the switches are what learners get wrong."""
    text = ""
    for place, (are_bytes, run) in enumerate(groupby(ids, lambda i: i < bytes_until)):
        if are_bytes:
            part = read(bytes(i - 3 for i in run))
            text += part.replace("▁", " ") if signs else part
        else:
            part = "".join(pieces[i] for i in run)
            text += (part if place or not first else part.removeprefix("▁")).replace("▁", " ")
    return text


@pieces.case("ids decoded", points=3, adapter="by_pieces", inputs=_ids, crashes=STRICT)
def text_of_pieces(given, got):
    _unchanged(got)
    pieces, every = given["pieces"], given["ids"]

    def variant(change=str, **switches):
        return [change(_decoded(ids, pieces, **switches)) for ids in every]

    def bytewise(data):
        return "".join(bytes([b]).decode(errors="replace") for b in data)

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
            "All blanks at the beginning were taken away: one was put there.",
        ),
        (
            [text.strip() for text in whole],
            "Whitespace at both ends was taken away: one blank at the beginning is.",
        ),
        (
            [text[1:] for text in whole],
            "The first character was taken away, whatever it is: only a blank goes.",
        ),
        (
            [text.replace(" ", "▁") for text in want],
            "▁ stands for a blank: replace it.",
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
