"""9.5 · The split: a regular expression that cuts a text before pairs are merged."""

import regex

from zerotohero.course.checks.tokenizer.shared import WORDS
from zerotohero.course.exercise import Exercise, expect

split = Exercise(
    number="9.5",
    title="The split",
    difficulty=3,
    minutes=35,
    practises="reading a regular expression alternative by alternative",
    answers=("split",),
    summary=(
        "Write GPT-4's pattern from its description. It cuts a text into chunks, and no token "
        "reaches from one into the next."
    ),
    statement=r"""
`split(text: str) -> list[str]`

Return the chunks of `text`, from left to right, nothing lost and nothing twice:
`"".join(split(text)) == text`. At each place the **first** of these kinds that fits is taken, and
as much of it as there is:

1. an apostrophe `'` and behind it s, d, m, t, ll, ve or re, in small letters or capitals;
2. letters, one or more; before them there may be **one** character that is no letter, no number
   and neither `\r` nor `\n`;
3. numbers, one to three;
4. characters, one or more, that are no whitespace, no letters and no numbers; before them there may
   be one blank, and behind them any number of `\r` and `\n`;
5. any whitespace that ends in `\r` or `\n`, up to the last of these;
6. whitespace, one or more, that isn't followed by something else than whitespace: of several
   blanks before a word, the last is left to the word;
7. whitespace, one or more.

Letters and numbers are those of Unicode, `\p{L}` and `\p{N}`, which the package `regex` knows and
Python's `re` doesn't.

```python
split("I'll see: 12345 cafés  today\n")
# ['I', "'ll", ' see', ':', ' ', '123', '45', ' cafés', ' ', ' today', '\n']
```
""",
    hints=(
        "One alternative for each kind, in this order, joined by `|`. Which of them need a group "
        "that isn't captured, and why does `findall` mind?",
        r"`'(?i:[sdmt]|ll|ve|re)`, `[^\r\n\p{L}\p{N}]?\p{L}+`, `\p{N}{1,3}`: the first three.",
        r"The others: ` ?[^\s\p{L}\p{N}]+[\r\n]*`, `\s*[\r\n]`, `\s+(?!\S)`, `\s+`. "
        "`regex.findall(pattern, text)` gives the chunks.",
    ),
)
CONTRACTION, LETTERS, NUMBERS = r"'(?i:[sdmt]|ll|ve|re)", r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\p{N}{1,3}"
OTHERS, LINES, BEFORE, BLANKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s*[\r\n]", r"\s+(?!\S)", r"\s+"
PARTS = (CONTRACTION, LETTERS, NUMBERS, OTHERS, LINES, BEFORE, BLANKS)


def _with(place: int, part: str | None) -> str:
    """The pattern with one alternative replaced, or left out."""
    parts = [part if i == place else p for i, p in enumerate(PARTS)]
    return "|".join(p for p in parts if p is not None)


PATTERN = "|".join(PARTS)
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
MISTAKES = {
    _with(0, r"'(?:[sdmt]|ll|ve|re)"): "'S and 'LL are cut off too: the first kind is without "
    "regard to case, `(?i:…)`.",
    _with(0, None): "The first kind is missing, or comes too late: an apostrophe and s, d, m, "
    "t, ll, ve or re are a chunk of their own.",
    _with(1, r" ?\p{L}+"): "Any one character that is no letter, number or line end may stand "
    "before letters, not only a blank: `(word`, `_name`, a tab.",
    _with(1, r"[^\r\n\p{L}\p{N}]?[A-Za-z]+"): "Letters are those of Unicode: `\\p{L}` instead of "
    "`[A-Za-z]`.",
    _with(1, r"[^\p{L}\p{N}]?\p{L}+"): "A line end was taken along by the letters behind it: "
    "`\\r` and `\\n` are excepted.",
    _with(1, r"[^\r\n\p{L}\p{N}]*\p{L}+"): "Several characters were taken along before the "
    "letters: at most one, `?`, not `*`.",
    _with(2, r"\p{N}+"): "Numbers are cut after three: `{1,3}`, not `+`.",
    _with(2, r" ?\p{N}{1,3}"): "A blank before a number was taken along: it stays alone.",
    _with(2, r"\p{N}"): "Numbers come up to three at a time: `{1,3}`.",
    _with(3, r" ?[^\s\p{L}\p{N}]+"): "Line ends behind the fourth kind belong to it: `[\\r\\n]*`.",
    _with(3, r"[^\s\p{L}\p{N}]+[\r\n]*"): "One blank before the fourth kind belongs to it: ` ?`.",
    _with(4, None): "The fifth kind is missing: whitespace up to its last line end is one chunk.",
    _with(5, None): "The last of several blanks is left to the word behind it: `\\s+(?!\\S)`.",
    GPT2: "Those are GPT-2's chunks: GPT-4's pattern takes capitals after an apostrophe, cuts "
    "numbers after three, and keeps line ends.",
}


def _expect_chunks(given: dict, got: dict) -> None:
    texts = given["texts"]
    want = [regex.findall(PATTERN, text) for text in texts]
    known = [
        ([regex.findall(pattern, text) for text in texts], hint)
        for pattern, hint in MISTAKES.items()
    ]
    captured = [regex.findall(PATTERN.replace("(?i:", "((?i)", 1), text) for text in texts]
    known += [
        (captured, "A group that is captured changes what `findall` returns: `(?:…)`, `(?i:…)`."),
        ([text.split(" ") for text in texts], "`str.split` loses the blanks."),
        (
            [[c.strip() for c in chunks] for chunks in want],
            "The chunks have lost their whitespace: nothing may be lost, so no `strip`.",
        ),
    ]
    hints = [hint for value, hint in known if value == got["chunks"] and value != want]
    hint = hints[0] if hints else None
    for text, chunks, right in zip(texts, got["chunks"], want, strict=True):
        lost = isinstance(chunks, list) and "".join(map(str, chunks)) != text
        if lost and not hint:
            hint = "Joined, the chunks don't give the text: something is lost, or there twice."
        expect(f"split({text!r})", chunks, right, hint=hint)


def _word(rng) -> str:
    return "".join(rng.choice([*"abcdeghijklmnoprstuvwxyzéß東"], size=int(rng.integers(4, 8))))


def _words_and_numbers(rng) -> dict:
    w = [_word(rng) for _ in range(8)]
    n = [str(int(i)) for i in rng.integers(1000, 10**7, size=3)]
    return {
        "texts": [
            f"{w[0]} {w[1]} ({w[2]}) _{w[3]}\t{w[4]}",
            f"{n[0]} {n[1]}{w[5]} {n[2][:2]}",
            f"{w[6]}'s {w[7].upper()}'S I'll I'LL we'Ve 'tis {w[0]}'dx",
            f"naïve Ελλάδα {w[1]} ½٣ {WORDS[int(rng.integers(len(WORDS)))]}",
            w[2],
            "",
        ]
    }


def _blanks_and_signs(rng) -> dict:
    w, n = [_word(rng) for _ in range(8)], int(rng.integers(2, 5))
    return {
        "texts": [
            f"{w[0]}{' ' * n}{w[1]}  {w[2]}   ",
            f"{w[3]}\n\n{w[4]} \n  {w[5]}\r\n{w[6]}",
            f"{w[0]} != {w[1]};\n\n{w[2]}...\n  // {w[3]}!!",
            f"{' ' * n}\n\t{w[7]} {{\n{' ' * 2 * n}return 10;",
            f"--  {w[1]}  ?  5",
            " " * n + w[2],
        ]
    }


@split.case("words, numbers, apostrophes", points=3, adapter="cut", inputs=_words_and_numbers)
def words_and_numbers(given, got):
    _expect_chunks(given, got)


@split.case("blanks, line ends and signs", points=3, adapter="cut", inputs=_blanks_and_signs)
def blanks_and_signs(given, got):
    _expect_chunks(given, got)


def _all_kinds(rng) -> dict:
    pool = [*"aZé東1٣ \t\n\r'(_.!", "'s", "'LL", "  ", "\r\n", "12345", "...", " x"]
    drawn = ["".join(rng.choice(pool, size=40)) for _ in range(12)]
    return {"texts": ["a's b'LL", *drawn]}


@split.case("characters drawn at random", points=2, adapter="cut", inputs=_all_kinds)
def random_characters(given, got):
    _expect_chunks(given, got)
