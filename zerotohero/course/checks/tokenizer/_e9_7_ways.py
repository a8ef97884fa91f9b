"""Wrong ways of cutting and joining tokens in 9.7, with the hint for each cut."""

from itertools import pairwise
from math import inf


def cuts(known: dict[bytes, int], best) -> list[list[int]]:
    """Cut each token into two older ones, of several cuts the best, whatever was learned.

    best: the key of a cut by its ranks, left and right, and its place.
    """
    found = []
    for token, rank in known.items():
        cuts = [
            (best(known[token[:i]], known[token[i:]], i), i)
            for i in range(1, len(token))
            if known.get(token[:i], rank) < rank and known.get(token[i:], rank) < rank
        ]
        if len(token) > 1:
            i = min(cuts)[1] if cuts else 0
            found.append([known.get(token[:i], -1), known.get(token[i:], -1), rank])
    return sorted(found)


def leftmost(known: dict[bytes, int]) -> list[list[int]]:
    """Return the parts of each token, the leftmost two that make an older one joined first."""
    found = []
    for token, rank in known.items():
        parts = joined(token, known, lambda rank, i: i, limit=rank)
        if len(parts) == 2:
            found.append([*parts, rank])
    return sorted(found)


GUESSED = [
    (
        lambda a, b, i: -i,
        "The tokens were cut after the longest older token, or their leftmost two were joined "
        "first: byte-pair encoding makes the merge of the lowest rank first, and often cuts "
        "elsewhere.",
    ),
    (
        lambda a, b, i: i,
        "The tokens were cut at the first place where both parts are tokens: byte-pair encoding "
        "often cuts elsewhere.",
    ),
    (
        lambda a, b, i: max(a, b),
        "Of all cuts into two older tokens, the one whose younger part is oldest was guessed: "
        "byte-pair encoding of the token's bytes says which it was.",
    ),
    (
        lambda a, b, i: a + b,
        "Of all cuts into two older tokens, the one with the smallest sum of ranks was guessed: "
        "byte-pair encoding of the token's bytes says which it was.",
    ),
    (
        lambda a, b, i: -max(a, b),
        "Of all cuts into two older tokens, the one with the youngest part was guessed, or the "
        "highest rank was merged first: byte-pair encoding of the token's bytes says which it was.",
    ),
]


def greedy(octets: bytes, known: dict[bytes, int]) -> list[int]:
    ids = []
    while octets:
        n = next(n for n in range(len(octets), 0, -1) if octets[:n] in known)
        ids.append(known[octets[:n]])
        octets = octets[n:]
    return ids


IN_NO_ORDER = (
    "The order of the dict was taken for that of learning: the dict is in no order, and the ranks "
    "are its values."
)


def one_round(octets: bytes, known: dict[bytes, int], order: list[int]) -> list[int]:
    """Go through the tokens once, in an order, and join the neighbours that make each."""
    parts, token_of = [bytes([b]) for b in octets], {rank: token for token, rank in known.items()}
    for token in map(token_of.get, order):
        i = 0
        while i < len(parts) - 1:
            if parts[i] + parts[i + 1] == token:
                parts[i : i + 2] = [token]
            i += 1
    return [known[part] for part in parts]


def joined(octets: bytes, known: dict[bytes, int], best, limit: float = inf) -> list[int]:
    """Join two neighbours that make a token, again and again, the best of them by rank and place.

    best: the key by rank and place; the smallest is joined. limit: no rank as high as this is made.
    """
    parts = [bytes([b]) for b in octets]
    while found := [
        (best(known[a + b], i), i)
        for i, (a, b) in enumerate(pairwise(parts))
        if known.get(a + b, inf) < limit
    ]:
        i = min(found)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return [known[part] for part in parts]
