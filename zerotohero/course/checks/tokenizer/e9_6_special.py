"""9.6 · Special tokens: found before anything else, and only where they are allowed."""

import re

from zerotohero.course.checks.tokenizer._e9_6_cuts import (
    LONGEST,
    WRONG,
    encoded,
    seen,
    shorter,
    stretch,
)
from zerotohero.course.checks.tokenizer.shared import explained
from zerotohero.course.exercise import NOTHING, Exercise, Wrong, expect, show

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
word or a longer one, raise `ValueError` with that text in the message.

Then cut `text` at the special tokens that are allowed, from left to right: of two that overlap, the
one that begins first is meant; where several begin at the same place, the longest. Each becomes its
id. Each stretch between them, were it a single blank, goes to `encode` whole, in one call, and its
ids take its place. If nothing is allowed, that is all of `text`. The characters of special texts
have no meaning of their own, `|` and `.` included.

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
EMPTY = (
    "Nothing is allowed, and the empty pattern that is left fits everywhere: return `encode(text)` "
    "then."
)
CRASHES = {
    r"^KeyError: ''": EMPTY,
    r"^(KeyError: '.+'|error:)": "What was cut out is no special text. Read as a pattern, "
    "`<|end|>` is `<`, `end` or `>`: put each text through `regex.escape`.",
    r"^TypeError: .* an? \w*Error was returned": "The error came back as a value: `raise` it.",
    r"^TypeError: the list that was returned holds a list": "`append` puts the ids of a stretch "
    "into the list as one list: `extend` or `+=` puts in each of them.",
}

# Where something is refused. What is cut out by texts that aren't escaped is never a whole one.
ANOTHER = {
    r"^(Assertion|Key|Runtime|Type|Permission|Lookup)?(Error|Exception): .*<\|\w+\|>": "The text "
    "was refused, but not with `ValueError`: `raise ValueError(…)`.",
}


def _names(rng) -> list[str]:
    w = ["".join(rng.choice([*"abcdefghijk"], size=5)) for _ in range(4)]
    overlapping = [f"<{w[2]}.x.", f".x.{w[3]}+z>", f"x.{w[1][:3]}"]
    return [f"<|{w[0]}|>", f"<|{w[1]}|>", f"<|{w[0]}|>{w[2]}", f"[{w[3]}.]", *overlapping]


def _special(rng) -> dict[str, int]:
    names = _names(rng)
    ids = (int(i) for i in rng.permutation(range(50_000, 50_099))[: len(names)])
    return dict(zip(names, ids, strict=True))


def _texts(rng) -> dict:
    special = _special(rng)
    one, two, longer, dotted, left, long_right, short_right = list(special)
    half, like = one[:-1], dotted.replace(".", "x")
    # Eight that begin alike: a set in no order has hardly ever the longest first.
    long = f"#{one[2:-2]}{two[2:5]}"
    chain = [long[: int(n)] for n in rng.permutation(range(2, len(long) + 1))]
    special |= {name: 50_100 + i for i, name in enumerate(chain)}
    texts = [
        f"Hello{one}wörld{two}",
        f"{longer} and {one} and {one}{one}",
        f"a {dotted} b {like} c",
        f"{half} |> {like}",
        f"{one} {two}\n{one}",
        f"loud {one.upper()}",
        f"a {left}{long_right[3:]} b",  # where both fit
        f"a {left}{short_right[2:]} b",
        " ".join(chain),
        one,
        "plain text",
        "",
    ]
    return {"special": special, "allowed": list(special), "texts": texts}


@special.case(
    "all special tokens allowed", points=3, adapter="specially", inputs=_texts, crashes=CRASHES
)
def cut_where_allowed(given, got):
    texts, calls = given["texts"], (given["special"], given["allowed"])
    want = [encoded(text, *calls) for text in texts]
    variants = [([wrong(text, *calls) for text in texts], hint) for wrong, hint in WRONG]
    hint = explained(got["ids"], want, variants)
    for text, ids, right in zip(texts, got["ids"], want, strict=True):
        mine = hint
        if isinstance(ids, list) and not hint and shorter(text, given["special"], ids, right):
            mine = LONGEST
        if isinstance(ids, str) and not hint:
            mine = "A text without a forbidden token was refused."
        expect(f"encode_special({text!r}, …)", ids, right, hint=mine)


def _some_allowed(rng) -> dict:
    special = _special(rng)
    one, two, _, dotted, *_ = special
    texts = [
        f"safe {one} text",
        f"{two[:-1]}",
        f"x{one}{one}{dotted[:-1]}",
        f"{two.upper()}",
    ]
    bad = [
        f"typed {two} by a user",
        f"{one} then {dotted}",
        two,
        f"a{two}b",
        f"{dotted}b",
        f"b{two}",
    ]
    return {
        "special": special,
        "allowed": [one],
        "texts": [*texts, *bad],
        "_refused": [None, None, None, None, two, dotted, two, two, dotted, two],
    }


WHERE = [  # forbidden texts that are overlooked
    (
        r"(?<!\S){}",
        "A forbidden text was overlooked inside a word: anywhere means behind a letter, too.",
    ),
    (
        r"{}(?!\S)",
        "A forbidden text was overlooked with a letter behind it: anywhere is inside a word, too.",
    ),
    (
        r"(?<!\S){}(?!\S)",
        "A forbidden text was seen only as a word of its own, between blanks: anywhere is inside a "
        "word, too.",
    ),
    (r"^{}", "A forbidden text was seen only at the beginning: it may stand anywhere."),
]


ORDINARY = (
    "A special token that isn't allowed was encoded as ordinary text: it has to be refused, with "
    "ValueError."
)


def refused_where_not_allowed(given, got):
    special, allowed = given["special"], given["allowed"]
    every = list(zip(given["texts"], given["_refused"], got["ids"], strict=True))

    def answers(refuses):
        """Return what comes where only some of the forbidden texts are seen."""
        return [
            "refused" if name and refuses(name, text) else encoded(text, special, allowed)
            for text, name, _ in every
        ]

    want = answers(lambda name, text: True)
    plain = [
        "refused" if name and isinstance(ids, str) and name in ids else ids
        for _, name, ids in every
    ]
    variants = [
        (
            [encoded(text, special, list(special)) for text, _, _ in every],
            "A special token that isn't allowed got its id: whoever types it speaks with the "
            "program's voice. Only those in `allowed` may.",
        ),
        (
            answers(lambda name, text: False),
            ORDINARY,
        ),
        (
            [
                [special[text]] if text == name else ids
                for (text, name, _), ids in zip(every, answers(lambda *_: False), strict=True)
            ],
            ORDINARY,  # but where it stands alone: `if part in special`
        ),
        *(
            (
                answers(lambda name, text, at=at: re.search(at.format(re.escape(name)), text)),
                hint,
            )
            for at, hint in WHERE
        ),
        (
            answers(lambda name, text: seen(name, text, allowed)),
            "A forbidden text inside a longer one that is allowed counts too: look for it in the "
            "whole text before you cut.",
        ),
        (
            [
                mine if mine == "refused" else [i for c in text for i in stretch(c)]
                for (text, _, _), mine in zip(every, want, strict=True)
            ]
            if not allowed
            else None,
            "Nothing is allowed, and the text went to `encode` character by character: an empty "
            "pattern fits between any two, so return `encode(text)` then.",
        ),
    ]
    known = explained(plain, want, variants)
    for (text, name, _), mine, right in zip(every, plain, want, strict=True):
        hint = known
        if not hint and isinstance(mine, str):
            hint = "A text without a forbidden token was refused."
            if mine != "refused" and name:
                hint = "The message lacks the text that was refused."
            elif not name and not allowed:
                hint = "Nothing is allowed, and nothing forbidden stands in this text: it goes to "
                hint += "`encode` whole."
        what = f"encode_special({text!r}, special, {allowed})"
        if right == "refused" != mine:
            came = mine if isinstance(mine, str) else show(mine)
            hint = NOTHING if mine is None else hint
            raise Wrong(f"{what}: expected ValueError with {name} in its message, got {came}", hint)
        expect(what, mine, right, hint=hint)


special.case(
    "one of seven allowed",
    points=3,
    adapter="specially",
    inputs=_some_allowed,
    crashes=ANOTHER | CRASHES,
)(refused_where_not_allowed)


def _none_allowed(rng) -> dict:
    special = _special(rng)
    one, two, *_ = special
    word = "".join(rng.choice([*"abcdefghijk"], size=5))
    return {
        "special": special,
        "allowed": [],
        "texts": [f"plain {word}", f" {one[:-1]} ", "", f"a{one}b", two, f"{one}b", f"b{two}"],
        "_refused": [None, None, None, one, two, one, two],
    }


special.case(
    "nothing allowed", adapter="specially", inputs=_none_allowed, crashes=ANOTHER | CRASHES
)(refused_where_not_allowed)


def _inside(rng) -> dict:
    special = _special(rng)
    one, two, longer, *_ = special
    return {
        "special": special,
        "allowed": [two, longer],
        "texts": [f"{two}ok", f"a {longer} b", f"a {two} {one}", f"a{one}b"],
        "_refused": [None, one, one, one],
    }


special.case(
    "a forbidden one inside a longer one",
    adapter="specially",
    inputs=_inside,
    crashes=ANOTHER | CRASHES,
)(refused_where_not_allowed)
