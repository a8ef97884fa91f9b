"""9.1 · UTF-8 by hand: code points to bytes and back, and what is no UTF-8."""

from zerotohero.course.exercise import Exercise, Mistake, expect

utf8 = Exercise(
    number="9.1",
    title="UTF-8 by hand",
    difficulty=2,
    minutes=40,
    practises="reading a format from its bits, and refusing what it forbids",
    answers=("utf8_encode", "utf8_decode"),
    summary=(
        "Write code points as UTF-8 and read them back, with shifts and masks alone. Refuse what "
        "is no UTF-8."
    ),
    statement="""
`utf8_encode(code_point: int) -> bytes`

`utf8_decode(data: bytes) -> list[int]`

| code points | bytes, with x for the bits of the code point, the highest first |
| --- | --- |
| 0 to 0x7F | `0xxxxxxx` |
| 0x80 to 0x7FF | `110xxxxx 10xxxxxx` |
| 0x800 to 0xFFFF | `1110xxxx 10xxxxxx 10xxxxxx` |
| 0x10000 to 0x10FFFF | `11110xxx 10xxxxxx 10xxxxxx 10xxxxxx` |

`utf8_encode` raises `ValueError` for a number below 0 or above 0x10FFFF, and for a surrogate,
0xD800 to 0xDFFF. `utf8_decode` returns all code points of the bytes, in order, and raises
`ValueError` where any of them is no UTF-8: a byte `10xxxxxx` where a character should begin, a
first byte that the table lacks, a character that ends early (at the end of the data, or where
another begins), more bytes than the code point needs, a surrogate, a code point above 0x10FFFF.

```python
utf8_encode(0xE9)                            # b"\\xc3\\xa9", é
utf8_decode(b"h\\xc3\\xa9")                    # [104, 233]
utf8_decode(b"\\xc0\\xaf")                     # ValueError: 0x2F in two bytes instead of one
```

Python's own `encode` and `decode` are left out; here they are yours to write.
""",
    hints=(
        "How many bytes does the code point need? Each byte behind the first takes six bits: "
        "`0x80 | bits & 0x3F`.",
        "To decode, the first byte says the length and gives its low bits. Shift what you have by "
        "six for each byte that follows, and check that it begins with the bits 10.",
        "When the number is complete, compare it with the smallest number of its length, "
        "(0, 0x80, 0x800, 0x10000), and with the surrogates and 0x10FFFF: one of these checks "
        "finds every overlong character.",
    ),
    look_for=("encode", "decode", "chr", "codecs"),
)
LOWEST = (0, 0x80, 0x800, 0x10000)
STR = {
    r"TypeError: bytes are needed": "Return bytes: `bytes([…])` makes them from a list of "
    "numbers. A `str` is what they stand for.",
}


def _octets(point: int, length: int | None = None) -> list[int]:
    """The bytes of a code point, with more of them than it needs if `length` says so."""
    length = length or sum(point >= low for low in LOWEST)
    if length == 1:
        return [point]
    rest = [0x80 | point >> 6 * i & 0x3F for i in reversed(range(length - 1))]
    return [(0xF00 >> length & 0xFF) | point >> 6 * (length - 1), *rest]


def _points(rng) -> dict:
    ranges = ((0x21, 0x7F), (0x80, 0x800), (0x800, 0xD800), (0x10000, 0x110000))
    drawn = [int(rng.integers(low, high)) for low, high in ranges]
    edges = [0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF]
    return {"points": [*drawn, *edges]}


@utf8.case(
    "code points of one to four bytes", points=2, adapter="encoded", inputs=_points, crashes=STR
)
def right_bytes(given, got):
    for point, octets in zip(given["points"], got["octets"], strict=True):
        want = _octets(point)
        little = [want[0], *want[:0:-1]]
        mistakes = [
            Mistake([point & 0xFF], "That is the low byte of the code point, as Latin-1 has it."),
            Mistake(little, "The bytes behind the first are reversed: the highest bits first."),
            Mistake(
                [want[0], *(b & 0x3F for b in want[1:])],
                "Each byte behind the first begins with the bits 10: `0x80 | bits`.",
            ),
            Mistake(
                [point >> 8 & 0xFF, point & 0xFF],
                "Two bytes hold the number as it is, which is UTF-16: UTF-8 puts marks before the "
                "bits.",
            ),
        ]
        bounds = [low for low in LOWEST[1:] if point == low - 1 or point == low]
        length = len(want) + (1 if point in (0x7F, 0x7FF, 0xFFFF) else -1)
        if bounds and 0 < length <= 4:
            mistakes.append(
                Mistake(
                    _octets(point, length) if length > 1 else [point],
                    "The number of bytes changes one code point too early or too late: 0x7F, "
                    "0x7FF and 0xFFFF are the last of their length.",
                )
            )
        mistakes = [m for m in mistakes if m.value != want]
        expect(f"utf8_encode({point:#x})", octets, want, mistakes=mistakes)


def _refused(rng) -> dict:
    ranges = ((0xD800, 0xE000), (0x110000, 0x200000), (-99, 0))
    bad = [int(rng.integers(low, high)) for low, high in ranges]
    sound = [int(rng.integers(low, low + 0x700)) for low in (0x80, 0x900, 0xE000)]
    return {"points": [*sound, 0xD800, 0xDFFF, 0x110000, -1, *bad]}


@utf8.case("what no code point is", adapter="encoded_or_not", inputs=_refused, crashes=STR)
def wrong_points_refused(given, got):
    for point, octets in zip(given["points"], got["octets"], strict=True):
        surrogate = 0xD800 <= point < 0xE000
        bad = surrogate or not 0 <= point <= 0x10FFFF
        want = "ValueError" if bad else _octets(point)
        hint = None
        if surrogate and octets == _octets(point):
            hint = "0xD800 to 0xDFFF are halves of UTF-16's pairs and no characters: refuse them."
        elif bad and not surrogate and octets != "ValueError":
            hint = "A code point is at least 0 and at most 0x10FFFF: refuse the others."
        expect(f"utf8_encode({point:#x})", octets, want, hint=hint)


def _texts(rng) -> dict:
    drawn = _points(rng)["points"]
    texts = [[], *([p] for p in drawn[:4])]
    texts += [[int(p) for p in rng.permutation(drawn)] for _ in range(3)]
    return {"datas": [[b for p in text for b in _octets(p)] for text in texts], "_texts": texts}


@utf8.case("bytes read back", points=2, adapter="decoded", inputs=_texts)
def points_read_back(given, got):
    for data, points, want in zip(given["datas"], got["points"], given["_texts"], strict=True):
        mistakes = [
            Mistake(data, "Those are the bytes: put the bits of a character together.")
            if data != want
            else Mistake("", ""),
            Mistake(
                "ValueError", "A sound text was refused: check the limits of each length again."
            ),
            Mistake(
                want[:-1], "The last character is missing: the loop ends before it is complete."
            ),
            Mistake(want[:1], "Only the first character was read: go on until the data ends."),
        ]
        expect(f"utf8_decode({bytes(data)!r})", points, want, mistakes=mistakes)


FORBIDDEN = {
    "stray": "A byte 10xxxxxx can't begin a character: refuse it.",
    "early end": "The data ends inside a character: refuse it, with ValueError.",
    "interrupted": "Every byte behind the first must begin with the bits 10: another character "
    "begins there.",
    "overlong": "The code point would fit into fewer bytes: refuse this overlong form, behind "
    "which a forbidden character can hide.",
    "surrogate": "The three bytes give a surrogate, 0xD800 to 0xDFFF: refuse it.",
    "too large": "The four bytes give a number above 0x10FFFF: refuse it.",
    "first byte": "No character begins with 0xF8 or more: the table has no such row.",
}


def _broken(rng) -> dict:
    def draw(low, high):
        return int(rng.integers(low, high))

    three, four = _octets(draw(0x800, 0xD800)), _octets(draw(0x10000, 0x110000))
    made = [
        ("stray", [97, draw(0x80, 0xC0)]),
        ("early end", three[:2]),
        ("early end", [98, *four[: draw(1, 4)]]),
        ("interrupted", [*four[:2], draw(0x61, 0x7B), *four[3:]]),
        ("interrupted", [0xC3, draw(0xC3, 0xE0), 0xA9]),
        ("overlong", _octets(draw(0, 0x80), 2)),
        ("overlong", _octets(draw(0x80, 0x800), 3)),
        ("overlong", _octets(draw(0x800, 0xD800), 4)),
        ("surrogate", _octets(draw(0xD800, 0xE000), 3)),
        ("too large", _octets(draw(0x110000, 0x140000), 4)),
        ("too large", _octets(0x110000, 4)),
        ("first byte", [draw(0xF8, 0xFC), 0x90, 0x80, 0x80]),
        ("first byte", [draw(0xF8, 0x100), 0x88, 0x80, 0x80, 0x80]),
    ]
    sound = [_octets(draw(low, low + 0x70)) for low in (0x80, 0x800, 0x10000)]
    kinds = ["", "", "", *(kind for kind, _ in made)]
    return {"datas": [*sound, *(data for _, data in made)], "_kinds": kinds}


@utf8.case("what is no UTF-8", points=4, adapter="decoded", inputs=_broken)
def wrong_bytes_refused(given, got):
    for data, kind, points in zip(given["datas"], given["_kinds"], got["points"], strict=True):
        want = "ValueError" if kind else [ord(bytes(data).decode())]
        what = f"utf8_decode({bytes(data)!r})"
        expect(what, points, want, hint=FORBIDDEN[kind] if kind else None)
