"""A small sentencepiece model for 9.9, and what wrong ways of joining its pieces give."""

import re
from itertools import pairwise
from unicodedata import normalize

from zerotohero.course.checks.tokenizer.shared import WORDS, learn, merged

FIRST = 259
CONTROL = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]


# Ties (kq and qk, zz with itself), a piece that is better than the one it is made of, one with a
# score below any that is thought of, two of which the right one is better, two blanks, one with a
# character that is no piece, one that who joins the leftmost two doesn't reach, and the way to the
# names of three bytes.
PLANTED = {"kq": -1.5, "qk": -1.5, "zz": -1.5, "jy": -2.0, "jyj": -1.7, "gp": -1e30}
PLANTED |= {"hu": -1.9, "uf": 0.0, "fk": -3.0, "▁▁": -4000.0, "qü": -1.4}
PLANTED |= {"NO": -0.1, "NOP": -0.2, "MNOP": -0.3, "MN": -0.4}
PLANTED |= {"<0": -0.5, "<0x": -0.6, "<0x4": -0.7, "<0x41": -0.8, "<0xF": -0.9, "<0xFF": -1.1}
PLANTED |= {"<0x0": -1.2, "<0x00": -1.3}


def model(rng) -> tuple[list[str], list[float]]:
    """Pieces learned from words, in no order but for the first and the last, and their scores."""
    chosen = [WORDS[i] for i in rng.integers(len(WORDS), size=50)]
    texts = [*(f"▁{word}" for word in chosen if word[0] not in "東京🙂"), "▁ab<s", "▁ab<s", "▁<s"]
    texts += ["▁" + "".join(rng.choice([*"abeno"], size=9)) for _ in range(12)]
    codes = [[ord(c) for c in text] for text in texts]
    names = {ord(c): c for text in texts for c in text}
    for i, (a, b) in enumerate(learn(codes, 40, first_new=0x200000)):
        names[0x200000 + i] = names[a] + names[b]
    found = list(dict.fromkeys([*names.values(), *">kqzjygphuf<0x41FMNOP", "b>"]))
    score = {p: -1000.0 - i if len(p) == 1 else -(float(i) ** 3) for i, p in enumerate(found)}
    two = [p for p in found if len(p) > 1]
    score |= {two[0]: 3.0, two[1]: 0.0} | PLANTED
    found = [*found, *PLANTED]
    found = ["5", *(found[i] for i in rng.permutation(len(found))), "6"]
    return CONTROL + found, [0.0] * FIRST + [score.get(p, -5000.0) for p in found]


def joined(parts, scores, number, lowest=False, last=False, everywhere=False, above=None, by=None):
    """Join parts while any two make a piece; the switches are what learners get wrong.

    by: the key by id and piece that stands in place of the score.
    """
    parts, sign, side = list(parts), -1 if lowest else 1, 1 if last else -1
    while known := [
        (by(number[a + b], a + b) if by else sign * scores[number[a + b]], side * i)
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


BYTE = "\U000f0000"  # and those behind it stand for bytes that join nothing


def as_bytes(text: str) -> str:
    return "".join(chr(ord(BYTE) + b) for b in text.encode())


def encoded(
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
    early=False,
    **switches,
) -> list[int]:
    number = {piece: i for i, piece in enumerate(pieces) if is_text(i)}
    text = before(text)
    if prefix and (text or empty):
        text = " " + text
    ids: list[int] = []
    text = re.sub(blank, "▁", text)
    if early:  # bytes in place of what is no piece, before anything is joined: they join nothing
        text = "".join(c if c in number else as_bytes(c) for c in text)
    for part in joined(text, scores, number, **switches):
        if early and part >= BYTE:
            ids.append(ord(part) - ord(BYTE) + offset)
            continue
        fallback = [0] if unknown else [offset + b for b in part.encode()]
        ids += [number[part]] if part in number else fallback
    return ids


def _zero_is_none(text, pieces, scores) -> list[int]:
    """A best score of 0 is taken for none, so that the next one takes its place."""
    number = {piece: i for i, piece in enumerate(pieces) if i >= FIRST}
    parts = list(("▁" + text if text else "").replace(" ", "▁"))
    while True:
        best, at = 0.0, -1
        for i, (a, b) in enumerate(pairwise(parts)):
            if a + b in number and (not best or scores[number[a + b]] > best):
                best, at = scores[number[a + b]], i
        if at < 0:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return [i for p in parts for i in ([number[p]] if p in number else [3 + b for b in p.encode()])]


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
    *(
        ({"offset": o}, "The byte b has the id 3 + b: three pieces come before the bytes.")
        for o in (0, 1, 2, 4)
    ),
    (
        {"early": True},
        "A character that is no piece fell back to its bytes before it was joined: with its "
        "neighbour it may be one. The bytes come at the end.",
    ),
    (
        {"before": lambda text: text.removeprefix(" ")},
        "A text that begins with a blank gets another one before it, too.",
    ),
    (
        {"by": lambda i, piece: 0},
        "The leftmost two that make a piece, or the longest piece, were joined first: those with "
        "the highest score are.",
    ),
    *(
        (
            {"by": lambda i, piece, sign=sign: sign * i},
            f"The piece with the {which} id was made first: the scores decide.",
        )
        for sign, which in ((1, "highest"), (-1, "lowest"))
    ),
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
    (lambda *call, switches=switches: encoded(*call, **switches), hint) for switches, hint in WRONG
]
ENCODED_WRONG += [
    (_greedy, "The longest piece was taken at each place: the scores decide."),
    (
        _zero_is_none,
        "A score of 0 was taken for none: ask whether there is a best so far with `is None`.",
    ),
]
