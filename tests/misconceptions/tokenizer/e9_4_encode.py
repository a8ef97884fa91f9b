"""Wrong answers to 9.4, encoding and decoding."""

import re
from itertools import pairwise
from unicodedata import normalize

from misconceptions import wrong
from misconceptions.tokenizer.e9_2_pair import count_pairs, merge


def vocabulary(merges):
    tokens = [bytes([i]) for i in range(256)]
    for a, b in merges:
        tokens.append(tokens[a] + tokens[b])
    return tokens


def encode(text, merges, octets=lambda text: text.encode(), choose=min):
    rank = {tuple(pair): i for i, pair in enumerate(merges)}
    ids = list(octets(text))
    while known := [pair for pair in pairwise(ids) if pair in rank]:
        pair = choose(known, key=rank.get)
        ids = merge(ids, pair, 256 + rank[pair])
    return ids


def decode(ids, merges, errors="replace", encoding="utf-8"):
    tokens = vocabulary(merges)
    return b"".join(tokens[i] for i in ids).decode(encoding, errors=errors)


@wrong("9.4", "The longest token that fits")
def greedy():
    def longest_match(text, merges):
        number = {token: i for i, token in enumerate(vocabulary(merges))}
        data, ids = text.encode(), []
        while data:
            n = next(n for n in range(len(data), 0, -1) if data[:n] in number)
            ids.append(number[data[:n]])
            data = data[n:]
        return ids

    return longest_match, decode


@wrong("9.4", "merged in the order of the text")
def in_text_order():
    def leftmost(text, merges):
        rank = {tuple(pair): 256 + i for i, pair in enumerate(merges)}
        ids, i = list(text.encode()), 0
        while i < len(ids) - 1:
            if (ids[i], ids[i + 1]) in rank:
                ids[i : i + 2] = [rank[ids[i], ids[i + 1]]]
                i = 0
            else:
                i += 1
        return ids

    return leftmost, decode


@wrong("9.4", "the one learned last was merged first")
def last_learned_first():
    return (lambda text, merges: encode(text, merges, choose=max)), decode


@wrong("9.4", "frequency counts in training only")
def by_frequency():
    def frequent(text, merges):
        rank = {tuple(pair): 256 + i for i, pair in enumerate(merges)}
        ids = list(text.encode())
        while known := {p: n for p, n in count_pairs(ids).items() if p in rank}:
            pair = max(known, key=lambda p: (known[p], -rank[p]))
            ids = merge(ids, pair, rank[pair])
        return ids

    return frequent, decode


@wrong("9.4", "whose pair the text lacks ended it")
def stops_at_the_first_absent():
    def stop(text, merges):
        ids = list(text.encode())
        for i, pair in enumerate(merges):
            if tuple(pair) not in count_pairs(ids):
                break
            ids = merge(ids, tuple(pair), 256 + i)
        return ids

    return stop, decode


@wrong("9.4", "Only bytes were merged")
def one_pass():
    def once(text, merges):
        rank = {tuple(pair): 256 + i for i, pair in enumerate(merges)}
        data, ids, i = text.encode(), [], 0
        while i < len(data):
            pair = tuple(data[i : i + 2])
            ids.append(rank.get(pair, data[i]))
            i += 2 if pair in rank else 1
        return ids

    return once, decode


@wrong("9.4", "applied to code points")
def code_points():
    return (lambda text, merges: encode(text, merges, octets=lambda t: map(ord, t))), decode


@wrong("9.4", "i alone is a byte")
def ids_from_zero():
    return (lambda *given: [i - 256 if i > 255 else i for i in encode(*given)]), decode


@wrong("9.4", "Each token was decoded for itself")
def token_by_token():
    return encode, lambda ids, merges: "".join(decode([i], merges) for i in ids)


@wrong("9.4", "a model may write half a character")
def strict():
    return encode, lambda ids, merges: decode(ids, merges, errors="strict")


@wrong("9.4", "was left out")
def ignored():
    return encode, lambda ids, merges: decode(ids, merges, errors="ignore")


@wrong("9.4", "Each byte became a character")
def latin():
    return encode, lambda ids, merges: decode(ids, merges, encoding="latin-1")


@wrong("9.4", "only pairs that are in `merges` are")
def bytes_for_pairs():
    def by_bytes(text, merges):
        number = {}
        for i, token in enumerate(vocabulary(merges)):
            number.setdefault(token, i)
        parts = [bytes([b]) for b in text.encode()]
        while known := [
            (number[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in number
        ]:
            i = min(known)[1]
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        return [number[part] for part in parts]

    return by_bytes, decode


@wrong("9.4", "`len(merges)` is behind it")
def unknown_pairs_as_the_last():
    def as_the_last(text, merges):
        rank = {tuple(pair): i for i, pair in enumerate(merges)}
        ids = list(text.encode())
        while len(ids) > 1:
            pair = min(pairwise(ids), key=lambda p: rank.get(p, len(merges) - 1))
            if pair not in rank:
                break
            ids = merge(ids, pair, 256 + rank[pair])
        return ids

    return as_the_last, decode


@wrong("9.4", "the last was merged first: go from the left")
def last_place_first():
    def from_behind(text, merges):
        rank = {tuple(pair): i for i, pair in enumerate(merges)}
        ids = list(text.encode())
        while known := [(rank[p], -i) for i, p in enumerate(pairwise(ids)) if p in rank]:
            best, i = min(known)
            ids[-i : 2 - i] = [256 + best]
        return ids

    return from_behind, decode


@wrong("9.4", "Capitals were made small")
def small_letters():
    return (lambda text, merges: encode(text.lower(), merges)), decode


@wrong("9.4", "don't normalise")
def normalised():
    return (lambda text, merges: encode(normalize("NFC", text), merges)), decode


@wrong("9.4", "Blanks at an end of the text")
def text_stripped():
    return (lambda text, merges: encode(text.strip(), merges)), decode


@wrong("9.4", "Whitespace at the ends is gone")
def decoded_text_stripped():
    return encode, lambda ids, merges: decode(ids, merges).strip()


@wrong("9.4", "Several U+FFFD became one")
def one_for_a_run():
    return encode, lambda ids, merges: re.sub("\ufffd+", "\ufffd", decode(ids, merges))


@wrong("9.4", "A question mark stands")
def question_marks():
    return encode, lambda ids, merges: decode(ids, merges).replace("\ufffd", "?")


@wrong("9.4", "`utf-8` keeps it")
def byte_order_mark_left_out():
    return encode, lambda ids, merges: decode(ids, merges, encoding="utf-8-sig")
