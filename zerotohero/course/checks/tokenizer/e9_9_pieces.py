"""9.9 · A sentencepiece model with byte fallback, as Llama 2 has it."""

from zerotohero.course.checks.tokenizer.shared import WORDS, learn
from zerotohero.course.exercise import Exercise, Mistake, expect

pieces = Exercise(
    number="9.9",
    title="Sentencepiece",
    difficulty=4,
    minutes=40,
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

To encode, put one blank before the text, unless it is empty, and replace every blank by `▁`
(U+2581). Begin with the single characters. As long as two neighbours together are a piece of text,
join those whose piece has the highest score; of several that are equal, the leftmost. Then each
part that is a piece of text becomes its id, and every other part the ids of the bytes of its UTF-8.
The first 259 pieces are never made by joining: `<s>` in a text is ordinary text.

To decode, put all together, ids 3 to 258 as the bytes that they name; read the bytes as UTF-8 with
U+FFFD for what is none; replace `▁` by a blank; and take away **one** blank at the beginning, if
there is one. Ids 0 to 2 don't occur.

```python
pieces = [..., "▁", "a", "b", "ab", "▁ab"]   # ids 259 to 263
encode_pieces("ab é", pieces, scores)        # [263, 259, 198, 172]: C3 and A9, 3 + 195 and 3 + 169
decode_pieces([263, 259, 198, 172], pieces)  # "ab é"
```
""",
    hints=(
        "It is 9.4 with characters instead of bytes and scores instead of places. What is done "
        "with a character that is no piece, and when?",
        "`number = {piece: i for i, piece in enumerate(pieces) if i > 258}`; join in a loop while "
        "any two neighbours are in it; fall back to bytes only at the end.",
        "`max` of `(scores[number[a + b]], -i)` over the neighbours is the highest score, and the "
        "leftmost of equals. `[3 + b for b in part.encode()]` is the fallback. For decoding, "
        "collect bytes: `bytes([i - 3])` or `pieces[i].encode()`.",
    ),
)
FIRST = 259
CONTROL = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]


def _model(rng) -> tuple[list[str], list[float]]:
    """Pieces learned from words, in no order, and their scores."""
    chosen = [WORDS[i] for i in rng.integers(len(WORDS), size=50)]
    texts = [*(f"▁{word}" for word in chosen if word[0] not in "東京🙂"), "▁ab<s", "▁ab<s", "▁<s"]
    texts += ["▁" + "".join(rng.choice([*"abeno"], size=9)) for _ in range(12)]
    codes = [[ord(c) for c in text] for text in texts]
    names = {ord(c): c for text in texts for c in text}
    for i, (a, b) in enumerate(learn(codes, 40, first_new=0x200000)):
        names[0x200000 + i] = names[a] + names[b]
    found = list(dict.fromkeys([*names.values(), ">", "b>"]))
    score = {p: -1000.0 - i if len(p) == 1 else -float(i) for i, p in enumerate(found)}
    found = [found[i] for i in rng.permutation(len(found))]
    return CONTROL + found, [0.0] * FIRST + [score[p] for p in found]


def _joined(text, pieces, scores, prefix=True, blank="▁", lowest=False, control=False, empty=False):
    """The parts of a text; the switches are what learners get wrong."""
    start = 0 if control else FIRST
    number = {piece: i for i, piece in enumerate(pieces) if i >= start}
    if prefix and (text or empty):
        text = " " + text
    parts = list(text.replace(" ", blank))
    sign = -1 if lowest else 1
    while known := [
        (sign * scores[number[parts[i] + parts[i + 1]]], -i)
        for i in range(len(parts) - 1)
        if parts[i] + parts[i + 1] in number
    ]:
        i = -max(known)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts, number


def _encoded(text, pieces, scores, offset=3, unknown=False, **switches) -> list[int]:
    parts, number = _joined(text, pieces, scores, **switches)
    ids: list[int] = []
    for part in parts:
        fallback = [0] if unknown else [offset + b for b in part.encode()]
        ids += [number[part]] if part in number else fallback
    return ids


def _greedy(text, pieces) -> list[int]:
    number = {piece: i for i, piece in enumerate(pieces) if i >= FIRST}
    text = ("▁" + text.replace(" ", "▁")) if text else ""
    ids: list[int] = []
    while text:
        n = next((n for n in range(len(text), 0, -1) if text[:n] in number), 0)
        ids += [number[text[:n]]] if n else [3 + b for b in text[0].encode()]
        text = text[n or 1 :]
    return ids


def _texts(rng) -> dict:
    pieces, scores = _model(rng)
    words = [WORDS[i] for i in rng.integers(len(WORDS), size=12)]
    mixed = ["".join(rng.choice([*"abenov  "], size=16)) for _ in range(6)]
    texts = [*mixed, " ".join(words), " blank first", "end ", "東京 🙂", "x<s>ab<s>", ""]
    return {"pieces": pieces, "scores": scores, "texts": texts, "ids": []}


@pieces.case("texts encoded", points=5, adapter="by_pieces", inputs=_texts)
def pieces_of_texts(given, got):
    pieces, scores, texts = given["pieces"], given["scores"], given["texts"]

    def variant(**switches):
        return [_encoded(text, pieces, scores, **switches) for text in texts]

    want = variant()
    known = [
        (
            variant(prefix=False),
            "The blank before the text is missing: a word at the beginning "
            "gets the same piece as elsewhere.",
        ),
        (variant(empty=True), "An empty text has no blank before it: it has no ids."),
        (variant(blank=" "), "The blanks were left as they are: in pieces they are written ▁."),
        (
            variant(lowest=True),
            "The piece with the lowest score was made first: the highest comes first.",
        ),
        (
            variant(unknown=True),
            "A part that is no piece became `<unk>`: it falls back to its bytes.",
        ),
        (variant(offset=0), "The byte b has the id 3 + b: three pieces come before the bytes."),
        (
            variant(control=True),
            "`<s>` in the text became the control token: it is made by no joining.",
        ),
        (
            [_greedy(text, pieces) for text in texts],
            "The longest piece was taken at each place: the scores decide.",
        ),
    ]
    hints = [hint for value, hint in known if value == got["ids"] and value != want]
    for text, ids, right in zip(texts, got["ids"], want, strict=True):
        expect(f"encode_pieces({text!r}, …)", ids, right, hint=hints[0] if hints else None)


def _ids(rng) -> dict:
    given = _texts(rng)
    drawn = [int(i) for i in rng.integers(FIRST, len(given["pieces"]), size=8)]
    ids = [_encoded(text, given["pieces"], given["scores"]) for text in given["texts"]]
    place = given["pieces"].index("▁")
    ids += [[3 + 0xC3, *drawn], [place, place, *drawn], [*drawn, 3 + 0xE6, 3 + 0x9D]]
    return given | {"texts": [], "ids": ids}


STRICT = {
    r"UnicodeDecodeError": "A model may write bytes that are no UTF-8: U+FFFD stands for them, "
    '`errors="replace"`.',
}


@pieces.case("ids decoded", points=3, adapter="by_pieces", inputs=_ids, crashes=STRICT)
def text_of_pieces(given, got):
    pieces = given["pieces"]

    def raw(i):
        return bytes([i - 3]) if i < FIRST else pieces[i].encode()

    for ids, text in zip(given["ids"], got["texts"], strict=True):
        whole = b"".join(map(raw, ids)).decode(errors="replace").replace("▁", " ")
        want = whole.removeprefix(" ")
        single = "".join(raw(i).decode(errors="replace") for i in ids).replace("▁", " ")
        variants = [
            (whole, "The blank that encoding put before the text is still there."),
            (whole.lstrip(), "All blanks at the beginning were taken away: one was put there."),
            (whole[1:], "The first character was taken away, whatever it is: only a blank goes."),
            (want.replace(" ", "▁"), "▁ stands for a blank: replace it."),
            (
                single.removeprefix(" "),
                "Each byte was decoded for itself: put all together first.",
            ),
            (
                "".join(pieces[i] for i in ids).replace("▁", " ").removeprefix(" "),
                "The names of the bytes stand in the text: `<0xC3>` is the byte 0xC3.",
            ),
        ]
        mistakes = [Mistake(value, hint) for value, hint in variants if value != want]
        expect(f"decode_pieces({ids[:6]}…, pieces)", text, want, mistakes=mistakes)
