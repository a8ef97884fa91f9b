"""Where 10.5 cuts a text, and what comes of cutting it wrongly."""

from functools import partial


def _encode(pieces: list[str], text: str) -> list[int]:
    """Return the tokens of a text: from the left, the longest piece that fits."""
    ids = []
    while text:
        length = next(n for n in range(len(text), 0, -1) if text[:n] in pieces)
        ids.append(pieces.index(text[:length]))
        text = text[length:]
    return ids


def cut(pieces: list[str], context: str, ending: str) -> list[list[int]]:
    whole, alone = _encode(pieces, f"{context} {ending}"), _encode(pieces, context)
    n = _common(whole, alone)
    return [whole[:n], whole[n:]]


def _common(whole: list[int], alone: list[int]) -> int:
    pairs = zip(whole, alone, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(whole), len(alone)))


def texts(rng, joined: bool) -> dict:
    """Return pieces and texts. If joined, pieces reach over the blank, and differ from letters."""
    a, b, c, d, e, f, g = rng.permutation([*"abcdefghijkm"])[:7]
    words = [a + b, f" {c}", f"{c}{d}", f" {e}{f}", f" {e}", f + a, f" {g}", b + g]
    over = [f"{d} {e}", f"{c}{g} {f}", f"{a}{d} ", f"{b} {a}{g}"] if joined else []
    pieces = [*" abcdefghijkm", *words, *over]
    pieces = [pieces[i] for i in rng.permutation(len(pieces))]
    if not joined:
        texts = [
            [f"{a}{b} {c}{d}", f"{e}{f}"],
            [f"{g}{a}{b}", f"{c}{d}{e}{f}{a} {g}"],
            [f"{d}{b}", f"{g}{a}"],
            [f"{c}{d} {e}{f}", f"{a}{b}"],
        ]
    else:
        texts = [
            [f"{a}{b} {c}{d}{d}", f"{e}{f}{a}"],  # the last token changes
            [f"{e}{d} {a}{b}{c}{g}", f"{f}{g}{b}"],  # two become one, and then they agree again
            [f"{f}{a}{a}{d}", f"{g}{b}{d}"],  # two and the blank become one
            [f"{d}{c} {a}{a}{b}", f"{a}{g}"],  # nothing is left behind the seam
            [f"{d} {e}{b}{d}", f"{e}{b}{a}"],  # the token at the seam stands in the context, too
        ]
    lead = [g + d, d + f, f + c + a, e + g, f + g]
    return {"pieces": pieces, "texts": [[x + c, y] for x, (c, y) in zip(lead, texts, strict=False)]}


def explained(pieces: list[str], texts: list[list[str]], came: list) -> str | None:
    """Return the hint for the one mistake that explains what came of all texts."""
    ways = zip(*(_wrong_cuts(pieces, *text) for text in texts), strict=True)
    return next((way[0][1] for way in ways if [cut for cut, _ in way] == came), None)


OF_THE_ENDING = (
    "Cut by the number of tokens that the ending has by itself: in the whole it may have others."
)
ANYWHERE = (
    "A token of the whole is looked for anywhere in the context: compare place by place, up to the "
    "first that differs."
)


def _wrong_cuts(pieces: list[str], context: str, ending: str) -> list[tuple[list, str]]:
    encode = partial(_encode, pieces)
    whole, alone, n = encode(f"{context} {ending}"), encode(context), len(encode(context))
    common = _common(whole, alone)
    right = [whole[:common], whole[common:]]
    blank, glued = encode(f"{context} "), encode(context + ending)
    own = [len(encode(f" {ending}")), len(encode(ending))]
    known = next((i for i, token in enumerate(whole) if token not in alone), len(whole))
    same = sum(a == b for a, b in zip(whole, alone, strict=False))
    found = [
        (
            [whole[:n], whole[n:]],
            "Cut behind as many tokens as the context has alone: where a token reaches over the "
            "seam, it is lost. Cut where the two begin to differ.",
        ),
        (
            [alone, whole[common:]],
            "The first list is the context alone: where it ends in other tokens than the whole "
            "has there, these are read, and then read again. It is what both have in common.",
        ),
        (
            [alone, whole[n:]],
            "The context's own tokens, and the whole from as many on: where a token reaches over "
            "the seam, these aren't the tokens of the whole.",
        ),
        *([[whole[:-m], whole[-m:]], OF_THE_ENDING] for m in own),
        (
            [[t for t in whole if t in alone], [t for t in whole if t not in alone]],
            ANYWHERE,
        ),
        *([[whole[:k], whole[k:]], ANYWHERE] for k in (known, min(known, n))),
        (
            [alone, encode(f" {ending}")],
            "Context and ending are encoded apart: the tokens at the seam are others than in the "
            "whole text, which is what the model has learned from.",
        ),
        (
            [blank, encode(ending)],
            "Encoded apart, with the blank behind the context: models have learned blanks as the "
            "beginning of what follows. Encode the whole.",
        ),
        ([glued[:n], glued[n:]], "There is no blank between context and ending."),
        ([alone, encode(ending)], "Encoded apart, and the blank between the two is lost."),
        (
            [glued[: _common(glued, alone)], glued[_common(glued, alone) :]],
            "There is no blank between context and ending.",
        ),
        (
            [whole[: _common(whole, blank)], whole[_common(whole, blank) :]],
            "Compared with the context and a blank: the context alone is asked for.",
        ),
        (
            [whole[:same], whole[same:]],
            "All places that agree are counted, those behind the first difference too: stop there.",
        ),
        (right[::-1], "The other way round: first what both have in common."),
        (
            [whole[:common], whole[common + 1 :]],
            "The first token of the second list is lost, the one that differs.",
        ),
        (
            [whole[: common + 1], whole[common + 1 :]],
            "One token too many in the first list: the first that differs belongs to the second.",
        ),
        (
            [whole[: common - 1], whole[common - 1 :]],
            "One token too few in the first list: the last one that both have belongs to it.",
        ),
        ([whole, whole[common:]], "The first list is the whole text: it ends where they differ."),
    ]
    return found
