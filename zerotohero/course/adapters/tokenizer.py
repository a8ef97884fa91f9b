"""How answers to the exercises of lecture 09 are called. This enters the sandbox."""


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


def _listed(counts):
    """A dict of pairs as a sorted list of [left, right, value]."""
    if counts is None:
        return None
    return [[int(a), int(b), int(n)] for (a, b), n in sorted(counts.items())]


def _ids(returned):
    """Tokens as a list of numbers, or None if nothing came."""
    return None if returned is None else [int(i) for i in returned]


def encoded(utf8_encode, utf8_decode, points):
    return {"octets": [_octets(utf8_encode(point)) for point in points]}


def encoded_or_not(utf8_encode, utf8_decode, points):
    return {"octets": [_refusing(lambda p: _octets(utf8_encode(p)), point) for point in points]}


def decoded(utf8_encode, utf8_decode, datas):
    return {"points": [_refusing(lambda d: _ids(utf8_decode(bytes(d))), data) for data in datas]}


def _octets(returned):
    """Bytes as a list of numbers, or None if nothing came."""
    if returned is not None and not isinstance(returned, bytes | bytearray):
        raise TypeError(f"bytes are needed, and a {type(returned).__name__} was returned")
    return None if returned is None else list(returned)


def _refusing(ask, given):
    """What came, or the name of the error that was raised."""
    try:
        return ask(given)
    except NotImplementedError:
        raise
    except ValueError:
        return "ValueError"
    except (IndexError, KeyError, UnboundLocalError) as error:
        return type(error).__name__


def trained(train, asked):
    return {"merges": [_pairs(train(list(a["chunks"]), a["n_merges"])) for a in asked]}


def coded(encode, decode, merges, texts, ids):
    found = [_ids(encode(text, _tuples(merges))) for text in texts]
    return {"ids": found, "texts": [decode(list(i), _tuples(merges)) for i in ids]}


def _tuples(merges):
    return [tuple(pair) for pair in merges]


def _pairs(returned):
    """Merges as a list of [left, right], or None if nothing came."""
    return None if returned is None else [[int(a), int(b)] for a, b in returned]


def cut(split, texts):
    return {"chunks": [None if (c := split(text)) is None else list(c) for text in texts]}


def specially(encode_special, special, allowed, texts):
    def encode(text):
        return [1000 + len(text), *text.encode()] if text else []

    def ask(text):
        try:
            return _ids(encode_special(text, dict(special), set(allowed), encode))
        except NotImplementedError:
            raise
        except ValueError as error:
            return f"ValueError: {error}"

    return {"ids": [ask(text) for text in texts]}


def recovered(recover_merges, encode_ranks, tokens, texts):
    return {"merges": _listed(recover_merges(_ranks(tokens)))}


def by_ranks(recover_merges, encode_ranks, tokens, texts):
    return {"ids": [_ids(encode_ranks(text, _ranks(tokens))) for text in texts]}


def by_pieces(encode_pieces, decode_pieces, pieces, scores, texts, ids):
    found = [_ids(encode_pieces(text, list(pieces), list(scores))) for text in texts]
    return {"ids": found, "texts": [decode_pieces(list(i), list(pieces)) for i in ids]}


def _ranks(tokens):
    return {bytes(token): rank for rank, token in enumerate(tokens)}
