"""9.6 · Special tokens: found before anything else, and only where they are allowed."""

import re

from zerotohero.course.exercise import Exercise, Mistake, expect

special = Exercise(
    number="9.6",
    title="Special tokens",
    difficulty=3,
    minutes=30,
    practises="keeping what a user typed apart from what a program means",
    answers=("encode_special",),
    summary=(
        "Encode a text with special tokens in it, where they are allowed. Where one is not, refuse "
        "it, so that nobody can slip one in."
    ),
    statement="""
`encode_special(text: str, special: dict[str, int], allowed: set[str],
encode: Callable[[str], list[int]]) -> list[int]`

`special` maps the texts of special tokens to their ids, and `allowed` holds some of these texts.
First, if a text of `special` that is **not** in `allowed` occurs anywhere in `text`, even inside a
longer one, raise `ValueError` with that text in the message. Then cut `text` at the special tokens
that are allowed, from left to right; where several begin at the same place, the longest. Each
becomes its id. Each stretch between them goes to `encode` whole, in one call, and its ids take its
place. The characters of special texts have no meaning of their own, `|` and `.` included.

```python
special = {"<|end|>": 300, "<|end|>!": 301}
encode = lambda text: list(text.encode())
encode_special("a<|end|>b", special, {"<|end|>"}, encode)   # [97, 300, 98]
encode_special("a<|end|>b", special, set(), encode)         # ValueError with <|end|> in it
```
""",
    hints=(
        "Which special texts are not allowed? Look for them first. Then, how does one cut a text "
        "and keep what it is cut at?",
        "`regex.split` with a group around the pattern keeps the separators. The pattern is the "
        "allowed texts, each through `regex.escape`, joined by `|`, the longest first.",
        "`pattern = '(' + '|'.join(map(regex.escape, sorted(allowed, key=len, reverse=True))) + "
        "')'`. If nothing is allowed, the pattern is empty: return `encode(text)`.",
    ),
)
START = 1000  # the tests' `encode` puts 1000 + length before the bytes of each stretch


def stretch(text: str) -> list[int]:
    """Return what the tests' `encode` gives for a stretch: its length, marked, and its bytes."""
    return [START + len(text), *text.encode()] if text else []


def _encoded(text: str, special: dict[str, int], allowed, longest=True, escape=True, keep=True):
    """The ids, or the text that is refused; the switches are what learners get wrong."""
    escaped = re.escape if escape else str
    ordered = sorted(allowed, key=lambda t: (-len(t) if longest else len(t), t))
    if not ordered:
        return stretch(text)
    ids: list[int] = []
    for i, part in enumerate(re.split("(" + "|".join(map(escaped, ordered)) + ")", text)):
        if i % 2 == 0:
            ids += stretch(part)
        elif keep:
            ids.append(special.get(part, -1))
    return ids


def _names(rng) -> list[str]:
    words = ["".join(rng.choice([*"abcdefghijk"], size=5)) for _ in range(4)]
    return [f"<|{words[0]}|>", f"<|{words[1]}|>", f"<|{words[0]}|>{words[2]}", f"[{words[3]}.]"]


def _texts(rng) -> dict:
    one, two, longer, dotted = names = _names(rng)
    ids = [int(i) for i in rng.permutation(range(50_000, 50_099))[: len(names)]]
    half, like = one[:-1], dotted.replace(".", "x")
    texts = [
        f"Hello{one}wörld{two}",
        f"{longer} and {one} and {one}{one}",
        f"a {dotted} b {like} c",
        f"{half} |> {like}",
        one,
        "plain text",
        "",
    ]
    return {"special": dict(zip(names, ids, strict=True)), "allowed": names, "texts": texts}


@special.case("all special tokens allowed", points=3, adapter="specially", inputs=_texts)
def cut_where_allowed(given, got):
    special, allowed = given["special"], given["allowed"]
    texts = given["texts"]

    def variant(**switches):
        return [_encoded(text, special, allowed, **switches) for text in texts]

    want = variant()
    known = [
        (
            variant(escape=False),
            "The special texts were read as a pattern, in which `|` and `.` "
            "mean something else: `regex.escape` them.",
        ),
        (
            variant(longest=False),
            "Where two special texts begin at the same place, the longest is "
            "meant: sort them by length, the longest first.",
        ),
        (
            variant(keep=False),
            "The special tokens are gone from the text: a group in the pattern "
            "makes `split` keep them.",
        ),
        (
            [stretch(text) for text in texts],
            "No special token was found: they went to `encode` as ordinary text.",
        ),
        (
            [[i for c in text for i in stretch(c)] for text in texts],
            "`encode` was called for each character: it gets each stretch whole.",
        ),
    ]
    hints = [hint for value, hint in known if value == got["ids"] and value != want]
    for text, ids, right in zip(texts, got["ids"], want, strict=True):
        expect(f"encode_special({text!r}, …)", ids, right, hint=hints[0] if hints else None)


def _some_allowed(rng) -> dict:
    one, two, _, dotted = names = _names(rng)
    ids = [int(i) for i in rng.permutation(range(50_000, 50_099))[: len(names)]]
    texts = [
        f"safe {one} text",
        f"{two[:-1]}",
        f"x{one}{one}{dotted[:-1]}",
    ]
    bad = [f"typed {two} by a user", f"{one} then {dotted}", two]
    return {
        "special": dict(zip(names, ids, strict=True)),
        "allowed": [one],
        "texts": [*texts, *bad],
        "_refused": [None, None, None, two, dotted, two],
    }


def _expect_refusals(given: dict, got: dict) -> None:
    special, allowed = given["special"], given["allowed"]
    for text, refused, ids in zip(given["texts"], given["_refused"], got["ids"], strict=True):
        what = f"encode_special({text!r}, special, {allowed})"
        if refused is None:
            hint = None
            if isinstance(ids, str):
                hint = "A text without a forbidden token was refused."
            expect(what, ids, _encoded(text, special, allowed), hint=hint)
            continue
        mistakes = [
            Mistake(
                _encoded(text, special, list(special)),
                "A special token that isn't allowed got its id: whoever types it speaks with the "
                "program's voice. Only those in `allowed` may.",
            ),
            Mistake(
                _encoded(text, special, allowed),
                "A special token that isn't allowed was encoded as ordinary text: it has to be "
                "refused, with ValueError.",
            ),
        ]
        if isinstance(ids, str) and refused not in ids:
            mistakes.append(Mistake(ids, "The message lacks the text that was refused."))
        expect(
            what,
            "refused" if isinstance(ids, str) and refused in ids else ids,
            "refused",
            mistakes=mistakes,
        )


@special.case("one of four allowed", points=3, adapter="specially", inputs=_some_allowed)
def refused_where_not_allowed(given, got):
    _expect_refusals(given, got)


def _inside(rng) -> dict:
    one, two, longer, _ = names = _names(rng)
    ids = [int(i) for i in rng.permutation(range(50_000, 50_099))[: len(names)]]
    return {
        "special": dict(zip(names, ids, strict=True)),
        "allowed": [two, longer],
        "texts": [f"{two}ok", f"a {longer} b", f"a {two} {one}"],
        "_refused": [None, one, one],
    }


@special.case("a forbidden one inside a longer one", adapter="specially", inputs=_inside)
def refused_inside_another(given, got):
    ids = got["ids"][1]
    expect(
        f"encode_special({given['texts'][1]!r}, …)",
        "refused" if isinstance(ids, str) else ids,
        "refused",
        hint="A forbidden text inside a longer one that is allowed counts too: look for it in the "
        "whole text before you cut.",
    )
    _expect_refusals(given, got)
