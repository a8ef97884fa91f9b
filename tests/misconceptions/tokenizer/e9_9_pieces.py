"""Wrong answers to 9.9, sentencepiece."""

import re
from itertools import pairwise
from unicodedata import normalize

from misconceptions import wrong
from misconceptions.tokenizer.e9_2_pair import merge


def encode(
    text,
    pieces,
    scores,
    lowest=False,
    side=-1,
    above=float("-inf"),
    first=259,
    offset=3,
    unknown=False,
    blank="▁",
    prefix=" ",
):
    number = {piece: i for i, piece in enumerate(pieces) if i >= first}
    parts = list(((prefix if text else "") + text).replace(" ", blank))
    sign = -1 if lowest else 1
    while known := [
        (sign * scores[number[a + b]], side * i)
        for i, (a, b) in enumerate(pairwise(parts))
        if a + b in number and scores[number[a + b]] > above
    ]:
        i = side * max(known)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    ids = []
    for part in parts:
        if part in number:
            ids.append(number[part])
        else:
            ids += [0] if unknown else [offset + b for b in part.encode()]
    return ids


def each_byte(data):
    text = ""
    while True:
        try:
            return text + data.decode()
        except UnicodeDecodeError as error:
            text += data[: error.start].decode() + "\ufffd"
            data = data[error.start + 1 :]


def joined(ids, pieces, read=each_byte):
    """All but the blank in front, which is still there."""
    parts = [bytes([i - 3]) if i < 259 else pieces[i].replace("▁", " ").encode() for i in ids]
    return read(b"".join(parts))


def decode(ids, pieces, read=each_byte):
    text = joined(ids, pieces, read)
    return text[1:] if ids and ids[0] > 258 and pieces[ids[0]][0] == "▁" else text


@wrong("9.9", "The blank before the text is missing")
def no_prefix():
    return (lambda *given: encode(*given, prefix="")), decode


@wrong("9.9", "An empty text has no blank before it")
def prefix_of_nothing():
    return (lambda text, p, s: encode(text, p, s) or [p.index("▁")]), decode


@wrong("9.9", "The blanks were left as they are")
def plain_blanks():
    return (lambda *given: encode(*given, blank=" ")), decode


@wrong("9.9", "the highest comes first")
def lowest_score_first():
    return (lambda *given: encode(*given, lowest=True)), decode


@wrong("9.9", "it falls back to its bytes")
def unknown_pieces():
    return (lambda *given: encode(*given, unknown=True)), decode


@wrong("9.9", "three pieces come before the bytes")
def bytes_from_zero():
    return (lambda *given: encode(*given, offset=0)), decode


@wrong("9.9", "it is made by no joining")
def control_pieces_made():
    return (lambda *given: encode(*given, first=0)), decode


@wrong("9.9", "The longest piece was taken")
def greedy():
    def longest(text, pieces, scores):
        number = {piece: i for i, piece in enumerate(pieces) if i > 258}
        text, ids = ("▁" + text.replace(" ", "▁") if text else ""), []
        while text:
            n = next((n for n in range(len(text), 0, -1) if text[:n] in number), 0)
            ids += [number[text[:n]]] if n else [3 + b for b in text[0].encode()]
            text = text[n or 1 :]
        return ids

    return longest, decode


@wrong("9.9", "that encoding put before the text")
def first_blank_kept():
    return encode, joined


@wrong("9.9", "All blanks at the beginning")
def all_blanks_taken():
    return encode, lambda ids, pieces: joined(ids, pieces).lstrip()


@wrong("9.9", "whatever it is: only a blank goes")
def first_character_taken():
    return encode, lambda ids, pieces: joined(ids, pieces)[1:]


@wrong("9.9", "▁ stands for a blank")
def blanks_not_replaced():
    return encode, lambda ids, pieces: decode(ids, pieces).replace(" ", "▁")


@wrong("9.9", "Each byte was decoded for itself")
def byte_by_byte():
    def single(data):
        return "".join(bytes([b]).decode(errors="replace") for b in data)

    def by_bytes(ids, pieces):
        text = "".join(
            single(bytes([i - 3])) if i < 259 else pieces[i].replace("▁", " ") for i in ids
        )
        return text[1:] if ids and ids[0] > 258 and pieces[ids[0]][0] == "▁" else text

    return encode, by_bytes


@wrong("9.9", "The names of the bytes stand in the text")
def names_of_bytes():
    def names(ids, pieces):
        return "".join(pieces[i] for i in ids).removeprefix("▁").replace("▁", " ")

    return encode, names


@wrong("9.9", "A model may write bytes that are no UTF-8")
def strict():
    return encode, lambda ids, pieces: decode(ids, pieces, read=bytes.decode)


@wrong("9.9", '`errors="replace"` has it')
def one_for_a_begun_character():
    return encode, lambda ids, pieces: decode(
        ids, pieces, read=lambda data: data.decode(errors="replace")
    )


@wrong("9.9", "Several U+FFFD became one")
def one_for_a_run():
    return encode, lambda ids, pieces: re.sub("\ufffd+", "\ufffd", decode(ids, pieces))


@wrong("9.9", "Bytes that are no UTF-8 were left out")
def ignored():
    return encode, lambda ids, pieces: decode(
        ids, pieces, read=lambda data: data.decode(errors="ignore")
    )


@wrong("9.9", "it is one only in pieces")
def signs_of_bytes():
    return encode, lambda ids, pieces: decode(
        ids, pieces, read=lambda data: each_byte(data).replace("▁", " ")
    )


@wrong("9.9", "only a piece's blank is")
def blank_of_a_byte_taken():
    return encode, lambda ids, pieces: joined(ids, pieces).removeprefix(" ")


@wrong("9.9", "U+FEFF is gone")
def byte_order_mark_left_out():
    return encode, lambda ids, pieces: decode(ids, pieces).replace("\ufeff", "")


@wrong("9.9", "its name stands in the text")
def last_byte_by_name():
    def named(ids, pieces):
        text, run = "", []
        for place, i in enumerate([*ids, None]):
            if i is not None and i < 258:
                run.append(i - 3)
                continue
            text, run = text + each_byte(bytes(run)), []
            if i is not None:
                piece = pieces[i] if place else pieces[i].removeprefix("▁")
                text += piece.replace("▁", " ")
        return text

    return encode, named


@wrong("9.9", "`>` in place of `>=`")
def rightmost_of_equals():
    return (lambda *given: encode(*given, side=1)), decode


@wrong("9.9", "at all places at once")
def all_places_at_once():
    def at_once(text, pieces, scores):
        number = {piece: i for i, piece in enumerate(pieces) if i > 258}
        parts = list(((" " if text else "") + text).replace(" ", "▁"))
        while known := [
            (scores[number[a + b]], -i)
            for i, (a, b) in enumerate(pairwise(parts))
            if a + b in number
        ]:
            i = -max(known)[1]
            parts = merge(parts, (parts[i], parts[i + 1]), parts[i] + parts[i + 1])
        ids = []
        for part in parts:
            ids += [number[part]] if part in number else [3 + b for b in part.encode()]
        return ids

    return at_once, decode


@wrong("9.9", "begin with `-inf`")
def scores_above_minus_99():
    return (lambda *given: encode(*given, above=-99)), decode


@wrong("9.9", "became the byte of that name")
def bytes_made():
    return (lambda *given: encode(*given, first=3)), decode


@wrong("9.9", "pieces of text begin at 259")
def last_byte_made():
    return (lambda *given: encode(*given, first=258)), decode


@wrong("9.9", "The first piece of text was left out")
def first_piece_left_out():
    return (lambda *given: encode(*given, first=260)), decode


@wrong("9.9", "only a blank, U+0020, does")
def all_whitespace():
    return (lambda text, *given: encode(re.sub(r"\s", " ", text), *given)), decode


@wrong("9.9", "Whitespace was lost by `split`")
def whitespace_lost():
    return (lambda text, *given: encode(" ".join(text.split()), *given)), decode


@wrong("9.9", "Capitals were made small")
def small_letters():
    return (lambda text, *given: encode(text.lower(), *given)), decode


@wrong("9.9", "don't normalise it")
def normalised():
    return (lambda text, *given: encode(normalize("NFKC", text), *given)), decode


@wrong("9.9", "begin with `scores = list(scores)`")
def scores_sorted():
    def sort(text, pieces, scores):
        scores.sort()
        return encode(text, pieces, scores)

    return sort, decode


@wrong("9.9", "A score of 0 was taken for none")
def zero_for_none():
    def truthy(text, pieces, scores):
        number = {piece: i for i, piece in enumerate(pieces) if i > 258}
        parts = list(((" " if text else "") + text).replace(" ", "▁"))
        while True:
            best = at = None
            for i, (a, b) in enumerate(pairwise(parts)):
                if a + b in number and (not best or scores[number[a + b]] > best):
                    best, at = scores[number[a + b]], i
            if at is None:
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        ids = []
        for part in parts:
            ids += [number[part]] if part in number else [3 + b for b in part.encode()]
        return ids

    return truthy, decode


def by(key):
    """Encode, and join the two for which the key by id and piece is the highest."""

    def join(text, pieces, scores):
        scores = [float(key(i, piece)) for i, piece in enumerate(pieces)]
        return encode(text, pieces, scores)

    return join, decode


@wrong("9.9", "The leftmost two that make a piece")
def leftmost_first():
    return by(lambda i, piece: 0)


@wrong("9.9", "The piece with the lowest id")
def lowest_id_first():
    return by(lambda i, piece: -i)


@wrong("9.9", "or the longest piece, were joined first")
def longest_first():
    return by(lambda i, piece: len(piece))


@wrong("9.9", "The bytes come at the end")
def bytes_before_joining():
    def early(text, pieces, scores):
        number = {piece: i for i, piece in enumerate(pieces) if i > 258}
        parts = []
        for c in list((" " + text if text else "").replace(" ", "▁")):
            parts += [c] if c in number else [f"<0x{b:02X}>" for b in c.encode()]
        while known := [
            (scores[number[a + b]], -i)
            for i, (a, b) in enumerate(pairwise(parts))
            if a + b in number
        ]:
            i = -max(known)[1]
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        return [number.get(part) or pieces.index(part) for part in parts]

    return early, decode


@wrong("9.9", "gets another one before it, too")
def no_second_blank():
    return (lambda text, *given: encode(text.removeprefix(" "), *given)), decode


@wrong("9.9", "A part that is no piece was looked up")
def no_bytes():
    def pieces_only(text, pieces, scores):
        ids = encode(text, pieces, scores, unknown=True)
        if 0 in ids:
            raise KeyError("🙂")
        return ids

    return pieces_only, decode


@wrong("9.9", "The pieces of an earlier call")
def pieces_kept():
    kept = []

    def keep(text, pieces, scores):
        if not kept:
            kept.extend([pieces, scores])
        return encode(text, *kept)

    return keep, decode


@wrong("9.9", "the first three are no bytes")
def bytes_by_their_id():
    def shifted(ids, pieces):
        parts = [bytes([i]) if i < 259 else pieces[i].replace("▁", " ").encode() for i in ids]
        return each_byte(b"".join(parts)).removeprefix(" ")

    return encode, shifted


@wrong("9.9", "An empty list has no `ids[0]`")
def first_id_of_nothing():
    return encode, lambda ids, pieces: decode(ids, pieces) if ids[0] else ""


@wrong("9.9", "though bytes come before it")
def blank_of_the_first_piece():
    def first(ids, pieces):
        at = next((at for at, i in enumerate(ids) if i > 258), len(ids))
        return decode(ids[:at], pieces) + decode(ids[at:], pieces)

    return encode, first


@wrong("9.9", "Bytes at the end were left out")
def bytes_at_the_end_lost():
    def lost(ids, pieces):
        while ids and ids[-1] < 259:
            ids = ids[:-1]
        return decode(ids, pieces)

    return encode, lost


@wrong("9.9", "one was put there")
def blanks_of_the_first_piece():
    def strip(ids, pieces):
        if ids and ids[0] > 258:
            return pieces[ids[0]].replace("▁", " ").lstrip() + joined(ids[1:], pieces)
        return joined(ids, pieces)

    return encode, strip


@wrong("9.9", "was taken away, whatever it is")
def first_character_of_a_piece():
    def take(ids, pieces):
        text = joined(ids, pieces)
        return text[1:] if ids and ids[0] > 258 else text

    return encode, take


@wrong("9.9", "Id 3 is a byte")
def first_byte_by_name():
    def named(ids, pieces):
        text, run = "", []
        for place, i in enumerate(ids):
            if 3 < i < 259:
                run.append(i - 3)
            else:
                piece = pieces[i] if place else pieces[i].removeprefix("▁")
                text, run = text + each_byte(bytes(run)) + piece.replace("▁", " "), []
        return text + each_byte(bytes(run))

    return encode, named
