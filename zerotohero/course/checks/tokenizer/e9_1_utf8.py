"""9.1 · UTF-8 by hand: code points to bytes and back, and what is no UTF-8."""

from collections.abc import Callable

from zerotohero.course.checks.tokenizer.shared import explained
from zerotohero.course.exercise import Exercise, expect

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

Python's own ways (`encode`, `decode`, `str` and `bytes` with an encoding) are left out; here they
are yours to write. That rule is on trust.
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
    look_for=("encode", "decode", "chr", "ord", "codecs", "utf8"),
)
LOWEST = (0, 0x80, 0x800, 0x10000)
SOUND = (
    "ValueError was raised for a sound code point: all from 0 to 0x10FFFF are, both included, but "
    "for 0xD800 to 0xDFFF."
)
OTHER_KINDS = {
    r"TypeError: bytes are needed, and a bytearray": "A bytearray can be changed later, and no "
    "dict takes it as a key: `bytes(…)` makes bytes of it.",
    r"TypeError: bytes are needed": "Return bytes: `bytes([…])` makes them from a list of "
    "numbers. A `str` is what they stand for.",
    r"TypeError: .*\ba str\b": "Code points are numbers: return a list of them, without `chr` and "
    "without joining them to a text.",
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


def _by(points: list[int], rule: Callable[[int, list[int]], list[int]]) -> list[list[int]]:
    """What a rule makes of each point, from it and its bytes, where they are several."""
    return [rule(p, _octets(p)) if p > 0x7F else [p] for p in points]


@utf8.case(
    "code points of one to four bytes",
    points=2,
    adapter="encoded",
    inputs=_points,
    crashes=OTHER_KINDS,
)
def right_bytes(given, got):
    points = given["points"]
    want = [_octets(p) for p in points]
    variants = [
        (
            [[p & 0xFF] for p in points],
            "That is the low byte of the code point, as Latin-1 has it.",
        ),
        (
            _by(points, lambda p, own: [own[0], *own[:0:-1]]),
            "The bytes behind the first are reversed: the highest bits first.",
        ),
        (
            _by(points, lambda p, own: [own[0], *(b & 0x3F for b in own[1:])]),
            "Each byte behind the first begins with the bits 10: `0x80 | bits`.",
        ),
        (
            _by(points, lambda p, own: [p >> 8 & 0xFF, p & 0xFF]),
            "Two bytes hold the number as it is, which is UTF-16: UTF-8 puts marks before the "
            "bits.",
        ),
    ]
    hint = explained(got["octets"], want, variants) or _at_the_limits(points, want, got["octets"])
    for point, octets, right in zip(points, got["octets"], want, strict=True):
        refused = octets == "ValueError"
        expect(f"utf8_encode({point:#x})", octets, right, hint=SOUND if refused else hint)


def _at_the_limits(points: list[int], want: list, got: list) -> str | None:
    """A hint if lengths are wrong at the limits alone, and in one direction."""
    early = [_octets(p, len(w) + (p + 1 in LOWEST)) for p, w in zip(points, want, strict=True)]
    late = [_octets(p, len(w) - (p in LOWEST[1:])) for p, w in zip(points, want, strict=True)]
    if all(g in ways for g, *ways in zip(got, want, early, strict=True)):
        return (
            "The number of bytes grows one code point too early: 0x7F, 0x7FF and 0xFFFF are the "
            "last of their length."
        )
    if all(g in ways for g, *ways in zip(got, want, late, strict=True)):
        return (
            "The number of bytes grows one code point too late: 0x80, 0x800 and 0x10000 are the "
            "first of their length."
        )
    return None


SURROGATES = (0xD800, 0xDBFF, 0xDC00, 0xDFFF)  # first and last of both halves


def _refused(rng) -> dict:
    ranges = ((0xD800, 0xE000), (0x110000, 0x200000), (-99, 0))
    bad = [int(rng.integers(low, high)) for low, high in ranges]
    sound = [int(rng.integers(low, low + 0x700)) for low in (0x80, 0x900, 0xE000)]
    return {"points": [*sound, *SURROGATES, 0x110000, -1, *bad]}


def _only(accepted: set, every: set, kinds: list[tuple[Callable[..., bool], str]]) -> str | None:
    """The hint of the kind of which all, and nothing else, was accepted."""
    return next((h for fits, h in kinds if accepted == {e for e in every if fits(*e)}), None)


@utf8.case("what no code point is", adapter="encoded_or_not", inputs=_refused, crashes=OTHER_KINDS)
def wrong_points_refused(given, got):
    both = list(zip(given["points"], got["octets"], strict=True))
    halves = {point for point, _ in both if 0xD800 <= point < 0xE000}
    encoded = {point for point, octets in both if point in halves and octets != "ValueError"}
    for point, octets in both:
        bad = point in halves or not 0 <= point <= 0x10FFFF
        want = "ValueError" if bad else _octets(point)
        hint = None
        if point in halves and encoded < halves:
            hint = "Some of the surrogates were refused, and not all: 0xD800 and 0xDFFF belong to "
            hint += "them, and all between."
        elif point in halves and octets == _octets(point):
            hint = "0xD800 to 0xDFFF are halves of UTF-16's pairs and no characters: refuse them."
        elif not bad and octets == "ValueError":
            hint = SOUND
        elif bad and octets != "ValueError":
            hint = "A code point is at least 0 and at most 0x10FFFF: refuse the others."
        expect(f"utf8_encode({point:#x})", octets, want, hint=hint)


def _texts(rng) -> dict:
    drawn = _points(rng)["points"]
    texts = [[], *([p] for p in drawn), [0xFEFF, *drawn[:4]]]
    texts += [[int(p) for p in rng.permutation(drawn)] for _ in range(3)]
    return {"datas": [[b for p in text for b in _octets(p)] for text in texts], "_texts": texts}


@utf8.case("bytes read back", points=2, adapter="decoded", inputs=_texts, crashes=OTHER_KINDS)
def points_read_back(given, got):
    datas, texts = given["datas"], given["_texts"]
    variants = [
        (datas, "Those are the bytes: put the bits of a character together."),
        (
            [text[:-1] for text in texts],
            "The last character is missing: the loop ends before it is complete.",
        ),
        (
            [text[:1] for text in texts],
            "Only the first character was read: go on until the data ends.",
        ),
        (
            [text[text[:1] == [0xFEFF] :] for text in texts],
            "U+FEFF at the beginning is a character like any other here: it isn't left out.",
        ),
    ]
    known = explained(got["points"], texts, variants)
    for data, points, want in zip(datas, got["points"], texts, strict=True):
        hint = known
        if points == "ValueError":
            hint = "A sound text was refused: check the limits of each length again."
        expect(f"utf8_decode({bytes(data)!r})", points, want, hint=hint)


FORBIDDEN = {  # what is refused, by kind; below are parts of a kind that may be accepted alone
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
INTERRUPTED = [
    (
        lambda length, k, bits: bits == 3,
        "A byte from 0xC0 on was taken for one that goes on: to have the highest bit isn't enough, "
        "the next one must be 0, `byte & 0xC0 == 0x80`.",
    ),
    (
        lambda length, k, bits: bits == 0,
        "A byte below 0x40 was taken for one that goes on: the highest bit must be 1, too, "
        "`byte & 0xC0 == 0x80`.",
    ),
    (
        lambda length, k, bits: k == 3,
        "The fourth byte of four wasn't looked at: it must begin with the bits 10 like the others.",
    ),
    (
        lambda length, k, bits: k > 1,
        "Only the second byte was looked at: those behind it must begin with the bits 10, too.",
    ),
    (
        lambda length, k, bits: k < length - 1,
        "Only the last byte was looked at: those before it must begin with the bits 10, too.",
    ),
]
PART_OF_THE_SURROGATES = [
    (
        lambda point: point < 0xDC00,
        "Only the second half of the surrogates was refused: they begin at 0xD800.",
    ),
    (
        lambda point: point >= 0xDC00,
        "Only the first half of the surrogates was refused: they end at 0xDFFF.",
    ),
    (
        lambda point: point == 0xD800,
        "The first surrogate was read: 0xD800 itself is one.",
    ),
    (
        lambda point: point == 0xDFFF,
        "The last surrogate was read: 0xDFFF itself is one.",
    ),
]


def _interrupted(rng) -> list[tuple[str, list, list[int]]]:
    """Characters with one wrong byte: at each place, with each pair of highest bits but 10."""
    found = []
    for low, high in ((0x100, 0x800), (0x1000, 0xD000), (0x40000, 0x100000)):
        for k in range(1, len(_octets(low))):
            for bits, first, last in ((0, 0x20, 0x40), (1, 0x61, 0x7B), (3, 0xC4, 0xE0)):
                octets = _octets(int(rng.integers(low, high)))
                octets[k] = int(rng.integers(first, last))
                found.append(("interrupted", [len(octets), k, bits], octets))
    return found


OVERLONG = ((2, 0, 0x80), (3, 0x80, 0x800), (4, 0x800, 0xD800))  # length, and from where to where


def _broken(rng) -> dict:
    def draw(low, high):
        return int(rng.integers(low, high))

    whole = [_octets(draw(low, low + 0x700)) for low in (0x80, 0x1000, 0x10000)]
    surrogates = [*SURROGATES, draw(0xD801, 0xDFFF)]
    made = [
        ("stray", [], [97, draw(0x80, 0xC0)]),
        *(("stray", [], [byte]) for byte in (0x80, 0xBF)),
        *(("early end", [], [98, *o[:n]]) for o in whole for n in range(1, len(o))),
        *_interrupted(rng),
        *(("overlong", [], _octets(draw(low, high), n)) for n, low, high in OVERLONG),
        *(("overlong", [], _octets(high - 1, n)) for n, _, high in OVERLONG),
        *(("surrogate", [point], _octets(point, 3)) for point in surrogates),
        ("too large", [], _octets(draw(0x110000, 0x140000), 4)),
        ("too large", [], _octets(0x110000, 4)),
        ("first byte", [], [draw(0xF8, 0xFC), 0x90, 0x80, 0x80]),
        ("first byte", [], [draw(0xF8, 0x100), 0x88, 0x80, 0x80, 0x80]),
        ("first byte", [], [0xFF]),
    ]
    sound = [_octets(draw(low, low + 0x70)) for low in (0x80, 0x800, 0x10000)]
    made = [("", [], octets) for octets in sound] + made
    names = ("_kinds", "_parts", "datas")
    return {name: list(column) for name, column in zip(names, zip(*made, strict=True), strict=True)}


@utf8.case("what is no UTF-8", points=4, adapter="decoded", inputs=_broken, crashes=OTHER_KINDS)
def wrong_bytes_refused(given, got):
    every = list(zip(given["_kinds"], given["_parts"], given["datas"], got["points"], strict=True))
    parts = {"interrupted": INTERRUPTED, "surrogate": PART_OF_THE_SURROGATES}
    for kind, _, data, points in every:
        what = f"utf8_decode({bytes(data)!r})"
        if not kind:
            expect(what, points, [ord(bytes(data).decode())])
            continue
        asked = {tuple(part) for k, part, _, _ in every if k == kind}
        accepted = {tuple(part) for k, part, _, p in every if k == kind and p != "ValueError"}
        hint = _only(accepted, asked, parts.get(kind, [])) or FORBIDDEN[kind]
        expect(what, points, "ValueError", hint=hint)
