"""Other orders and rules of 9.4 than those of the card: what they give, and the hint for each."""

from itertools import pairwise
from unicodedata import normalize

from zerotohero.course.checks.tokenizer.shared import (
    apply,
    merged,
    pair_counts,
    token_bytes,
)


def _greedy(octets: bytes, merges) -> list[int]:
    """The longest token at each place, from the left."""
    number = {token: i for i, token in enumerate(token_bytes(merges))}
    longest = max(map(len, number))
    ids, i = [], 0
    while i < len(octets):
        size = next(n for n in range(longest, 0, -1) if octets[i : i + n] in number)
        ids.append(number[octets[i : i + size]])
        i += size
    return ids


def _leftmost(octets: bytes, merges) -> list[int]:
    """The leftmost pair that can be merged, again and again."""
    rank = {tuple(pair): 256 + i for i, pair in enumerate(merges)}
    ids = list(octets)
    while found := [i for i, pair in enumerate(pairwise(ids)) if pair in rank]:
        i = found[0]
        ids[i : i + 2] = [rank[ids[i], ids[i + 1]]]
    return ids


def _frequent(octets: bytes, merges, by_place: bool = True) -> list[int]:
    """The pair that is most frequent in this text, as training does; of equals by place or rank."""
    rank = {tuple(pair): 256 + i for i, pair in enumerate(merges)}
    ids = list(octets)
    while known := {p: n for p, n in pair_counts(ids).items() if p in rank}:
        pair = max(known, key=lambda p: (known[p], 0 if by_place else -rank[p]))
        ids = merged(ids, pair, rank[pair])
    return ids


def _by_bytes(octets: bytes, merges) -> list[int]:
    """Neighbours whose bytes together are a token's are merged, whatever pair made the token."""
    number: dict[bytes, int] = {}
    for i, token in enumerate(token_bytes(merges)):
        number.setdefault(token, i)
    parts = [bytes([b]) for b in octets]
    while known := [
        (number[a + b], -i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in number
    ]:
        lowest = min(n for n, _ in known)
        i = next(i for i, (a, b) in enumerate(pairwise(parts)) if number.get(a + b) == lowest)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return [number[part] for part in parts]


def _unknown_as_last(octets: bytes, merges) -> list[int]:
    """A pair that is in no merge has the place of the last one, and ends it if it stands first."""
    rank = {tuple(pair): i for i, pair in enumerate(merges)}
    ids = list(octets)
    while len(ids) > 1:
        pair = min(pairwise(ids), key=lambda p: rank.get(p, len(merges) - 1))
        if pair not in rank:
            break
        ids = merged(ids, pair, 256 + rank[pair])
    return ids


def _last_place(octets: bytes, merges) -> list[int]:
    """One place at a time, the last one first."""
    rank = {tuple(pair): i for i, pair in enumerate(merges)}
    ids = list(octets)
    while known := [(rank[p], -i) for i, p in enumerate(pairwise(ids)) if p in rank]:
        best, i = min(known)
        ids[-i : 2 - i] = [256 + best]
    return ids


def _latest(octets: bytes, merges) -> list[int]:
    rank = {tuple(pair): 256 + i for i, pair in enumerate(merges)}
    ids = list(octets)
    while known := [p for p in pairwise(ids) if p in rank]:
        pair = max(known, key=rank.get)
        ids = merged(ids, pair, rank[pair])
    return ids


def _until_absent(octets: bytes, merges) -> list[int]:
    ids = list(octets)
    for i, pair in enumerate(merges):
        if tuple(pair) not in pair_counts(ids):
            break
        ids = merged(ids, tuple(pair), 256 + i)
    return ids


def _one_pass(octets: bytes, merges) -> list[int]:
    """All merges once over the bytes, with no merge of what a merge has made."""
    rank = {tuple(pair): 256 + i for i, pair in enumerate(merges)}
    ids, i = [], 0
    while i < len(octets):
        pair = tuple(octets[i : i + 2])
        ids.append(rank.get(pair, octets[i]))
        i += 2 if pair in rank else 1
    return ids


UNCHANGED = (
    "Characters were changed into others that look the same: e and an accent behind it stay two "
    "code points, so don't normalise."
)
WRONG = [  # what is made of a text by mistake, and the hint for it
    *(
        (lambda text, merges, wrong=wrong: wrong(text.encode(), merges), hint)
        for wrong, hint in [
            (
                _greedy,
                "The longest token that fits was taken at each place: merges are applied in the "
                "order of training, which often gives others.",
            ),
            (
                _leftmost,
                "The pairs were merged in the order of the text: of all that stand there, the one "
                "learned first comes first, wherever it stands.",
            ),
            (
                _latest,
                "Of the pairs in the text, the one learned last was merged first: take the "
                "smallest place in `merges`.",
            ),
            (
                _frequent,
                "The pair that is most frequent in this text was merged first: frequency counts in "
                "training only.",
            ),
            (
                lambda octets, merges: _frequent(octets, merges, by_place=False),
                "The pair that is most frequent in this text was merged first: frequency counts in "
                "training only.",
            ),
            (
                _until_absent,
                "The first merge whose pair the text lacks ended it: go on with the next.",
            ),
            (
                _one_pass,
                "Only bytes were merged: what a merge has made can be merged again.",
            ),
            (
                _by_bytes,
                "Two tokens were merged since their bytes together are a token's: only pairs that "
                "are in `merges` are.",
            ),
            (
                _unknown_as_last,
                "A pair that isn't in `merges` was taken for the last one there, and ended it: "
                "`len(merges) - 1` is a place in the list, `len(merges)` is behind it.",
            ),
            (
                _last_place,
                "Of several places with the same pair, the last was merged first: go from the left "
                "to the right.",
            ),
            (
                lambda octets, merges: list(octets),
                "Nothing was merged: those are the bytes of the text.",
            ),
            (
                lambda octets, merges: [i - 256 if i > 255 else i for i in apply(octets, merges)],
                "Token 256 + i is what merge number i makes, and i alone is a byte.",
            ),
        ]
    ),
    (
        lambda text, merges: apply([ord(c) for c in text], merges),
        "The merges were applied to code points: begin with the UTF-8 bytes.",
    ),
    (
        lambda text, merges: apply(text.lower().encode(), merges),
        "Capitals were made small: a text is taken as it is.",
    ),
    *(
        (lambda text, merges, form=form: apply(normalize(form, text).encode(), merges), UNCHANGED)
        for form in ("NFC", "NFD", "NFKC", "NFKD")
    ),
    (
        lambda text, merges: apply(text.strip().encode(), merges),
        "Blanks at an end of the text were left out: a text is taken as it is, without `strip`.",
    ),
]
