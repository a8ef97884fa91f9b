"""How answers to the exercises of lecture 09 are called. This enters the sandbox.

What came is turned into plain lists here. Where it can't be, a TypeError says in one sentence what
came instead; a case's `crashes` may know more.
"""

from collections.abc import Iterable, Mapping
from operator import index

from zerotohero.course.adapters.shared import kind_of


def pairs(count_pairs, merge, lists):
    mine = [list(ids) for ids in lists]
    return {"counts": [_listed(count_pairs(ids)) for ids in mine], "after": mine}


def merged_lists(count_pairs, merge, asked):
    found, after = [], []
    for one in asked:
        ids = list(one["ids"])
        found.append(_ids(merge(ids, tuple(one["pair"]), one["new"])))
        after.append(ids)
    return {"merged": found, "after": after}


def _ids(returned):
    """Whole numbers as a list of them, or None if nothing came."""
    if returned is None:
        return None
    if isinstance(returned, str | Mapping) or not isinstance(returned, Iterable):
        raise TypeError(f"whole numbers in a list are needed, and {_a(returned)} was returned")
    numbers = list(returned)
    for i, number in enumerate(numbers):
        if not hasattr(number, "__index__"):
            raise TypeError(
                f"the list that was returned holds {_a(number)} at [{i}]: {number!r:.60}"
            )
    return [index(number) for number in numbers]


def _pair(value, what):
    """Two whole numbers as a list."""
    whole = isinstance(value, tuple | list) and all(hasattr(n, "__index__") for n in value)
    if whole and len(value) == 2:
        return [index(number) for number in value]
    raise TypeError(f"{what}, and not {_a(value)}, {value!r:.60}")


def _listed(counts):
    """A dict of pairs as a sorted list of [left, right, value], or None if nothing came."""
    if counts is None:
        return None
    if not isinstance(counts, Mapping):
        raise TypeError(f"a dict is needed, and {_a(counts)} was returned")
    found = []
    for pair, number in counts.items():
        left, right = _pair(pair, "the keys of the dict are pairs of two whole numbers")
        if not hasattr(number, "__index__"):
            raise TypeError(f"the values of the dict are whole numbers, and not {number!r:.60}")
        found.append([left, right, index(number)])
    return sorted(found)


def _a(value):
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def encoded(utf8_encode, utf8_decode, points):
    return {"octets": [_encoded(utf8_encode, point) for point in points]}


def _encoded(utf8_encode, point):
    """The bytes of a sound code point as a list of numbers, or ValueError where it was refused."""
    try:
        returned = utf8_encode(point)
    except ValueError as error:
        if "in range(0, 256)" in str(error):  # `bytes` says so: a crash, and no refusal
            raise
        return kind_of(error)
    return _octets(returned)


def encoded_or_not(utf8_encode, utf8_decode, points):
    return {"octets": [_or_error(utf8_encode, point, _octets) for point in points]}


def decoded(utf8_encode, utf8_decode, datas):
    return {"points": [_or_error(utf8_decode, bytes(data), _ids) for data in datas]}


def _octets(returned):
    """Bytes as a list of numbers, or None if nothing came."""
    if returned is not None and not isinstance(returned, bytes):
        raise TypeError(f"bytes are needed, and {_a(returned)} was returned")
    return None if returned is None else list(returned)


def _or_error(answer, given, plain):
    """What came, made plain, or the name of the error that was raised."""
    try:
        returned = answer(given)
        if hasattr(returned, "__next__"):  # a generator raises as it is gone through
            returned = list(returned)
    except NotImplementedError:
        raise
    except (ValueError, IndexError, KeyError, UnboundLocalError) as error:
        return kind_of(error)
    return plain(returned)


def trained(train, asked):
    return {"merges": [_pairs(train(list(a["chunks"]), a["n_merges"])) for a in asked]}


def coded(encode, decode, merges, texts, ids):
    found = [_ids(encode(text, _tuples(merges))) for text in texts]
    return {"ids": found, "texts": [decode(list(i), _tuples(merges)) for i in ids]}


def _tuples(merges):
    return [tuple(pair) for pair in merges]


def _pairs(returned):
    """Merges as a list of [left, right], or None if nothing came."""
    if returned is None:
        return None
    if isinstance(returned, str | Mapping) or not isinstance(returned, Iterable):
        raise TypeError(f"pairs in a list are needed, and {_a(returned)} was returned")
    return [_pair(pair, "the list holds pairs of two whole numbers") for pair in returned]


def cut(split, texts):
    return {"chunks": [None if (c := split(text)) is None else list(c) for text in texts]}


def specially(encode_special, special, allowed, texts):
    def encode(text):
        return [1000 + len(text), *text.encode()] if text else []

    def ask(text):
        try:
            returned = encode_special(text, dict(special), set(allowed), encode)
        except NotImplementedError:
            raise
        except ValueError as error:
            return f"ValueError: {error}"
        return _ids(returned)

    return {"ids": [ask(text) for text in texts]}


def recovered(recover_merges, encode_ranks, tokens, order, texts, other):
    first = _listed(recover_merges(_ranks(other, range(len(other)))))
    return {"merges": _listed(recover_merges(_ranks(tokens, order))), "first": first}


def by_ranks(recover_merges, encode_ranks, tokens, order, texts, other):
    first = [_ids(encode_ranks(text, _ranks(other, range(len(other))))) for text in texts[:2]]
    return {
        "ids": [_ids(encode_ranks(text, _ranks(tokens, order))) for text in texts],
        "first": first,
    }


def by_pieces(encode_pieces, decode_pieces, pieces, scores, texts, ids, other):
    asked = texts[:2]
    first = [
        _ids(encode_pieces(t, list(other), [-float(i) for i in range(len(other))])) for t in asked
    ]
    mine = {"pieces": list(pieces), "scores": list(scores)}
    found = [_ids(encode_pieces(text, mine["pieces"], mine["scores"])) for text in texts]
    decoded = [decode_pieces(list(i), mine["pieces"]) for i in ids]
    changed = [name for name, was in (("pieces", pieces), ("scores", scores)) if mine[name] != was]
    changed = changed[0] if changed else ""
    return {"ids": found, "texts": decoded, "changed": changed, "first": first}


def _ranks(tokens, order):
    """The rank of each token, in a dict of that order."""
    return {bytes(tokens[rank]): rank for rank in order}
