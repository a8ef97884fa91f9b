"""The right cuts of 9.6, and those of wrong answers, with the hint for each."""

import re

START = 1000  # the tests' `encode` puts 1000 + length before the bytes of each stretch


def stretch(text: str) -> list[int]:
    """Return what the tests' `encode` gives for a stretch: its length, marked, and its bytes."""
    return [START + len(text), *text.encode()] if text else []


def _any_of(allowed) -> str:
    """Return the pattern that fits any of these texts, the longest first."""
    return "|".join(map(re.escape, sorted(allowed, key=len, reverse=True)))


def encoded(
    text: str,
    special: dict[str, int],
    allowed,
    longest=True,
    escape=True,
    keep=True,
    else_text=False,
):
    """Return the ids of a text; the switches are what learners get wrong.

    else_text: what was cut out and is no special text goes to `encode`, and doesn't become -1.
    """
    escaped = re.escape if escape else str
    ordered = sorted(allowed, key=lambda t: (-len(t) if longest else len(t), t))
    if not ordered:
        return stretch(text)
    ids: list[int] = []
    for i, part in enumerate(re.split("(" + "|".join(map(escaped, ordered)) + ")", text)):
        if i % 2 == 0:
            ids += stretch(part)
        elif keep:
            ids += stretch(part) if else_text and part not in special else [special.get(part, -1)]
    return ids


def _stretches(change):
    """Return the ids where each stretch is changed before it is encoded."""

    def encode(text: str, special: dict[str, int], allowed) -> list[int]:
        ids: list[int] = []
        pattern = _any_of(allowed)
        for i, part in enumerate(re.split(f"({pattern})", text)):
            ids += [special[part]] if i % 2 else change(part)
        return ids

    return encode


def _longest_anywhere(text: str, special: dict[str, int], allowed) -> list[int]:
    """Cut at the longest token wherever it stands, then at the next."""
    if not allowed:
        return stretch(text)
    first, *rest = sorted(allowed, key=len, reverse=True)
    parts = [_longest_anywhere(part, special, rest) for part in text.split(first)]
    return [i for k, part in enumerate(parts) for i in ([special[first]] if k else []) + part]


def _from_the_right(text: str, special: dict[str, int], allowed) -> list[int]:
    found = [(text.rfind(name), len(name), name) for name in allowed if name in text]
    if not found:
        return stretch(text)
    i, n, name = max(found)
    rest = stretch(text[i + n :])
    return [*_from_the_right(text[:i], special, allowed), special[name], *rest]


def _any_case(text: str, special: dict[str, int], allowed) -> list[int]:
    small = {name.lower(): special[name] for name in allowed}
    pattern = _any_of(allowed)
    parts = re.split(f"({pattern})", text, flags=re.IGNORECASE)
    return [i for k, p in enumerate(parts) for i in ([small[p.lower()]] if k % 2 else stretch(p))]


def _no_end(text: str, special: dict[str, int], allowed, whole=False) -> list[int]:
    """The ids up to the last special token; whole: all of a text that has none."""
    pattern = _any_of(allowed)
    parts = re.split(f"({pattern})", text)
    if whole and len(parts) == 1:
        return stretch(text)
    return [i for k, p in enumerate(parts[:-1]) for i in ([special[p]] if k % 2 else stretch(p))]


def shorter(text: str, special: dict[str, int], ids, right: list[int]) -> bool:
    """Tell whether a special text was the first mistake, taken where a longer one begins."""
    name = {number: text for text, number in special.items()}
    two = next(((a, b) for a, b in zip(ids or [], right, strict=False) if a != b), (None, None))
    mine, wanted = map(name.get, two)
    return bool(mine and wanted) and wanted.startswith(mine)


def seen(name: str, text: str, allowed) -> bool:
    """Tell whether a text is still there once the allowed tokens are cut out."""
    pattern = _any_of(allowed)
    return name in ("\0".join(re.split(pattern, text)) if allowed else text)


def _once(text: str, special: dict[str, int], allowed) -> list[int]:
    pattern = _any_of(allowed)
    parts = re.split(f"({pattern})", text, maxsplit=1)
    return [i for k, p in enumerate(parts) for i in ([special[p]] if k % 2 else stretch(p))]


LONGEST = (
    "Where two special texts begin at the same place, the longest is meant: sort them by length, "
    "the longest first."
)
WRONG = [
    *(
        (
            lambda *given, else_text=else_text: encoded(*given, escape=False, else_text=else_text),
            "The special texts were read as a pattern, in which `|` and `.` mean something else: "
            "`regex.escape` them.",
        )
        for else_text in (False, True)
    ),
    (
        lambda *given: encoded(*given, longest=False),
        LONGEST,
    ),
    (
        lambda *given: encoded(*given, keep=False),
        "The special tokens are gone from the text: a group in the pattern makes `split` keep "
        "them.",
    ),
    (
        lambda text, special, allowed: stretch(text),
        "No special token was found: they went to `encode` as ordinary text.",
    ),
    (
        lambda text, special, allowed: [i for c in text for i in stretch(c)],
        "`encode` was called for each character: it gets each stretch whole.",
    ),
    (
        _longest_anywhere,
        "The text was cut at the longest special text first, wherever it stands: where two "
        "overlap, the one that begins first is meant.",
    ),
    (
        _from_the_right,
        "The text was cut from the right: where two overlap, the left one is meant.",
    ),
    (
        _stretches(lambda part: [i for c in part for i in stretch(c)]),
        "`encode` was called for each character: it gets each stretch whole.",
    ),
    (
        _any_case,
        "A special text in capitals is another text: `(?i)` has no place in the pattern.",
    ),
    *(
        (
            lambda *given, whole=whole: _no_end(*given, whole=whole),
            "What stands behind the last special token is missing: it is a stretch, too.",
        )
        for whole in (False, True)
    ),
    (
        _stretches(lambda part: list(part.encode())),
        "The stretches were encoded, but not by `encode`: call the function that is given.",
    ),
    (_once, "Only the first special token was cut out: go on behind it."),
    (
        _stretches(lambda part: stretch(part) if part.strip() else []),
        "A stretch that is only a blank was left out: it is text like any other.",
    ),
    (
        _stretches(lambda part: stretch(part.strip())),
        "The stretches have lost the blanks at their ends: they go to `encode` as they are.",
    ),
    (
        _stretches(
            lambda part: [i for word in re.findall(r"\s*\S+|\s+", part) for i in stretch(word)]
        ),
        "`encode` was called for each word: it gets each stretch whole.",
    ),
]
