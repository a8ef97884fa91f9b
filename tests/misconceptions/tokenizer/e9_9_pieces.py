"""Wrong answers to 9.9, sentencepiece."""

from misconceptions import wrong


def encode(
    text, pieces, scores, best=max, first=259, offset=3, unknown=False, blank="▁", prefix=" "
):
    number = {piece: i for i, piece in enumerate(pieces) if i >= first}
    parts = list(((prefix if text else "") + text).replace(" ", blank))
    while True:
        known = []
        for i in range(len(parts) - 1):
            if parts[i] + parts[i + 1] in number:
                score = scores[number[parts[i] + parts[i + 1]]]
                known.append((score, -i if best is max else i))
        if not known:
            break
        i = abs(best(known)[1])
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    ids = []
    for part in parts:
        if part in number:
            ids.append(number[part])
        else:
            ids += [0] if unknown else [offset + b for b in part.encode()]
    return ids


def joined(ids, pieces, errors="replace"):
    data = b"".join(bytes([i - 3]) if i < 259 else pieces[i].encode() for i in ids)
    return data.decode(errors=errors)


def decode(ids, pieces, errors="replace"):
    return joined(ids, pieces, errors).replace("▁", " ").removeprefix(" ")


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
    return (lambda *given: encode(*given, best=min)), decode


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
    return encode, lambda ids, pieces: joined(ids, pieces).replace("▁", " ")


@wrong("9.9", "All blanks at the beginning")
def all_blanks_taken():
    return encode, lambda ids, pieces: joined(ids, pieces).replace("▁", " ").lstrip()


@wrong("9.9", "whatever it is: only a blank goes")
def first_character_taken():
    return encode, lambda ids, pieces: joined(ids, pieces).replace("▁", " ")[1:]


@wrong("9.9", "▁ stands for a blank")
def blanks_not_replaced():
    return encode, lambda ids, pieces: joined(ids, pieces).removeprefix("▁")


@wrong("9.9", "Each byte was decoded for itself")
def byte_by_byte():
    def single(ids, pieces):
        return "".join(joined([i], pieces) for i in ids).replace("▁", " ").removeprefix(" ")

    return encode, single


@wrong("9.9", "The names of the bytes stand in the text")
def names_of_bytes():
    def names(ids, pieces):
        return "".join(pieces[i] for i in ids).replace("▁", " ").removeprefix(" ")

    return encode, names


@wrong("9.9", "A model may write bytes that are no UTF-8")
def strict():
    return encode, lambda ids, pieces: decode(ids, pieces, errors="strict")
