"""9.5 · The split: a regular expression that cuts a text before pairs are merged."""

import regex

from zerotohero.course.checks.tokenizer.shared import WORDS, explained
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

1. an apostrophe `'` and behind it s, d, m, t, ll, ve or re, each letter small or capital, whatever
   stands before and behind;
2. letters, one or more; before them there may be **one** character that is no letter, no number
   and neither `\r` nor `\n`;
3. numbers, one to three;
4. characters, one or more, that are no whitespace, no letters and no numbers; before them there may
   be one blank, and behind them any number of `\r` and `\n`;
5. any whitespace that ends in `\r` or `\n`, up to the last of these;
6. whitespace up to the end of the text. Where the text goes on behind the whitespace, its last
   character doesn't belong to this kind: of three blanks before a word, two are a chunk, and the
   third is left to the word. A single one is then none of this kind;
7. whitespace, one or more: what the sixth kind has left, if nothing else takes it.

Letters, numbers and whitespace are those of Unicode: `\p{L}`, `\p{N}` and `\s`. The package `regex`
knows the first two, and Python's `re` doesn't.

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


def _in_order(*places: int) -> str:
    """The pattern with its alternatives in another order."""
    return "|".join(PARTS[place] for place in places)


PATTERN = "|".join(PARTS)
# Whitespace of ASCII alone, in the last two kinds, in the last three, in all.
ASCII = [
    "|".join(
        part.replace(r"[^\s", r"[^ \t\r\n")
        .replace(r"\s", r"[ \t\r\n]")
        .replace(r"\S", r"[^ \t\r\n]")
        if place >= first
        else part
        for place, part in enumerate(PARTS)
    )
    for first in (5, 4, 3)
]
ENDINGS = ("s", "d", "m", "t", "ll", "ve", "re")
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
MISTAKES = {
    _with(0, r"'(?:[sdmt]|ll|ve|re)"): "'S and 'LL are cut off too: the first kind is without "
    "regard to case, `(?i:…)`.",
    **{
        _with(0, f"'(?i:{'|'.join(e for e in ENDINGS if e != left)})"): f"`'{left}` is a chunk of "
        f"its own, too, as in `a'{left}x`: the first kind lacks it."
        for left in ENDINGS
    },
    _with(0, r"'(?:[sdmtSDMT]|ll|LL|ve|VE|re|RE)"): "`'Ll` and `'vE` are cut off too: each letter "
    "may be small or capital, `(?i:…)`.",
    _with(0, r"(?<=\p{L})" + CONTRACTION): "The first kind is cut off behind anything, not only "
    "behind a letter: `1's`.",
    _with(0, CONTRACTION.replace("'", "['’]", 1)): "The apostrophe is `'` alone: `’` is another "
    "character, which the second kind takes.",
    _with(
        1, r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+"
    ): "Marks, `\\p{M}`, are no letters, though Hindi is "
    "cut inside its words: the pattern knows `\\p{L}` only.",
    _with(
        3, r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
    ): "Behind the fourth kind come `\\r` and `\\n` only: the `/` is of GPT-4o's pattern.",
    **dict.fromkeys(
        ASCII,
        "Whitespace is that of Unicode, U+00A0 and U+3000 too: `\\s` has it.",
    ),
    **dict.fromkeys(  # these two give the same, whatever the text
        (_with(0, None), _with(0, CONTRACTION + r"\b")),
        "The first kind is missing, comes too late, or has `\\b` behind it: an apostrophe and s, "
        "d, m, t, ll, ve or re are a chunk of their own, inside a word too.",
    ),
    _with(1, r" ?\p{L}+"): "Any one character that is no letter, number or line end may stand "
    "before letters, not only a blank: `(word`, `_name`, a tab.",
    **dict.fromkeys(
        (
            _with(1, r"[^\r\n\p{L}\p{N}]?[A-Za-z]+"),
            _with(1, r"[^\r\na-zA-Z0-9]?[a-zA-Z]+"),
            PATTERN.replace(r"\p{L}+", "[a-zA-Z]+").replace(r"\p{L}", "a-zA-Z"),
            PATTERN.replace(r"\p{L}+", "[a-zA-Z]+")
            .replace(r"\p{L}", "a-zA-Z")
            .replace(r"\p{N}{", "[0-9]{")
            .replace(r"\p{N}", "0-9"),
        ),
        "Letters are those of Unicode: `\\p{L}` instead of `[A-Za-z]`.",
    ),
    **dict.fromkeys(
        (_with(1, r"[^\p{L}\p{N}]?\p{L}+"), _with(1, r"[^\n\p{L}\p{N}]?\p{L}+")),
        "A line end was taken along by the letters behind it: `\\r` and `\\n` are excepted.",
    ),
    _with(1, r"[^\s\p{L}\p{N}]?\p{L}+"): "A blank or a tab before letters belongs to them: of "
    "whitespace, only `\\r` and `\\n` are excepted, so not `\\s`.",
    **dict.fromkeys(
        (_with(1, r"[^\r\n\p{L}]?\p{L}+"), _with(1, r".?\p{L}+")),
        "A number was taken along by the letters behind it: the one character before them is no "
        "number.",
    ),
    **dict.fromkeys(
        (_with(1, r"[^\r\n\w]?\w+"), _with(1, r"[^\r\n\p{L}\p{N}]?\w+")),
        "`\\w` is more than letters: it takes numbers and `_`, too.",
    ),
    **dict.fromkeys(
        (_in_order(3, 0, 1, 2, 4, 5, 6), _in_order(0, 3, 1, 2, 4, 5, 6)),
        "The fourth kind came before its turn: of the kinds that fit, the first is taken, so that "
        "`(word` and `'ll` are none of the fourth.",
    ),
    _with(1, r"[^\r\n\p{L}\p{N}]*\p{L}+"): "Several characters were taken along before the "
    "letters: at most one, `?`, not `*`.",
    _with(2, r"\p{N}+"): "Numbers are cut after three: `{1,3}`, not `+`.",
    _with(2, r" ?\p{N}{1,3}"): "A blank before a number was taken along: it stays alone.",
    _with(2, r"\p{N}"): "Numbers come up to three at a time: `{1,3}`.",
    **dict.fromkeys(
        (_with(2, r"\d{1,3}"), PATTERN.replace(r"\p{N}", r"\d")),
        "½ is a number, too: `\\p{N}`. `\\d` and `isdigit` don't know it.",
    ),
    _with(
        2, r"[\p{N}三百]{1,3}"
    ): "三 and 百 are letters, `\\p{L}`, though `isnumeric` says that they are numbers, too.",
    **dict.fromkeys(
        (_with(3, r" ?[^\s\p{L}\p{N}]+" + end) for end in ("", r"\n*", r"[\r\n]?", r"(?:\r?\n)?")),
        "Line ends behind the fourth kind belong to it: `[\\r\\n]*`.",
    ),
    _with(
        3, r" *[^\s\p{L}\p{N}]+[\r\n]*"
    ): "Several blanks were taken along by the fourth kind: one at most, ` ?`.",
    _with(3, r"\s?[^\s\p{L}\p{N}]+[\r\n]*"): "Other whitespace than a blank was taken along by the "
    "fourth kind behind it: ` ?`, not `\\s?`.",
    _with(3, r" ?[^\s\p{L}\p{N}]+\s*"): "Blanks behind the fourth kind were taken along: `\\r` and "
    "`\\n` alone belong to it.",
    _with(3, r" ?[^\s\p{L}\p{N}][\r\n]*"): "Characters of the fourth kind that stand together are "
    "one chunk: one or more, `+`.",
    _with(3, r"[^\s\p{L}\p{N}]+[\r\n]*"): "One blank before the fourth kind belongs to it: ` ?`.",
    _with(4, None): "The fifth kind is missing, or comes too late: whitespace up to its last line "
    "end is one chunk.",
    **dict.fromkeys(
        (
            *(_with(4, before + r"[\r\n]") for before in ("", r"\s*?", " *", r"[ \t]*")),
            *(_with(4, before + r"[\r\n]+") for before in ("", " *", r"[ \t]*")),
        ),
        "The fifth kind is all whitespace up to the last line end, what stands before and between "
        "included: `\\s*[\\r\\n]`.",
    ),
    _with(4, r"\s+[\r\n]"): "A line end alone is of the fifth kind, too: `\\s*`, not `\\s+`.",
    _with(4, r"\s*\n"): "`\\r` ends the fifth kind, too: `[\\r\\n]`.",
    _with(5, r"\s(?!\S)"): "The sixth kind is as much whitespace as there is: `\\s+`.",
    _with(5, None): "The last of several blanks is left to the word behind it: `\\s+(?!\\S)`.",
    GPT2: "Those are GPT-2's chunks: GPT-4's pattern takes capitals after an apostrophe, cuts "
    "numbers after three, and keeps line ends.",
}


EMPTY = (
    "A chunk is empty, and each has one character at least: no kind may fit where nothing stands, "
    "as with `*` or `{0,3}`."
)
CRASHES = {r"TypeError: .*\bMatch\b": "A match is no chunk: `match[0]` is its text."}


def _expect_chunks(given: dict, got: dict) -> None:
    texts = given["texts"]
    want = [regex.findall(PATTERN, text) for text in texts]
    captured = PATTERN.replace("(?i:", "((?i)", 1)
    known = [
        *(
            ([regex.findall(pattern, text) for text in texts], hint)
            for pattern, hint in MISTAKES.items()
        ),
        (
            [regex.findall(captured, text) for text in texts],
            "A group that is captured changes what `findall` returns: `(?:…)`, `(?i:…)`.",
        ),
        ([text.split(" ") for text in texts], "`str.split` loses the blanks."),
        (
            [[c.strip() for c in chunks] for chunks in want],
            "The chunks have lost their whitespace: nothing may be lost, so no `strip`.",
        ),
    ]
    hint = explained(got["chunks"], want, known) if got["chunks"] != want else None
    for text, chunks, right in zip(texts, got["chunks"], want, strict=True):
        empty = isinstance(chunks, list) and "" in chunks and "".join(map(str, chunks)) == text
        if empty and not hint:
            hint = EMPTY
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
            f"{w[6]}'s {w[7].upper()}'S I'll I'LL we'Ve 'tis {w[0]}'dx {n[0]}'sx {w[1]}’sx",
            " ".join(f"{w[2]}'{e}{w[3]}" for e in rng.permutation([*ENDINGS])),
            " ".join(
                f"{w[4]}'{e}{w[5]}" for e in ("LL", "Ll", "lL", "vE", "Re", "S", "D", "M", "T")
            ),
            f"naïve Ελλάδα {w[1]} ½٣ {WORDS[int(rng.integers(len(WORDS)))]} हिन्दी",
            f"{n[1][:2]}三百 {w[3]}",
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
            f"{w[4]}\n  {w[3]}\r \t{w[0]}",
            f"{w[0]} != {w[1]};\n\n{w[2]}...\n  // {w[3]}!!",
            f"{' ' * n}\n\t{w[7]} {{\n{' ' * 2 * n}return 10;",
            f"{w[0]}\r{w[1]}\n{w[2]}!\r\n {w[3]} \r {w[4]}?\n\r{w[5]}\n",
            f"--  {w[1]}  ?  5 {w[2]}?\n/{w[3]} !//{w[4]}",
            f"1\u00a02 {w[5]}\u3000\u3000{w[6]}\u2003\n\u00a0!\u00a0",
            " " * n + w[2],
        ]
    }


@split.case(
    "words, numbers, apostrophes",
    points=3,
    adapter="cut",
    inputs=_words_and_numbers,
    crashes=CRASHES,
)
def words_and_numbers(given, got):
    _expect_chunks(given, got)


@split.case(
    "blanks, line ends and signs",
    points=3,
    adapter="cut",
    inputs=_blanks_and_signs,
    crashes=CRASHES,
)
def blanks_and_signs(given, got):
    _expect_chunks(given, got)


def _all_kinds(rng) -> dict:
    pool = [*"aZé東1٣ \t\n\r'(_.!", "'s", "'LL", "  ", "\r\n", "12345", "...", " x"]
    drawn = ["".join(rng.choice(pool, size=40)) for _ in range(12)]
    return {"texts": ["a's b'LL", *drawn]}


@split.case(
    "characters drawn at random", points=2, adapter="cut", inputs=_all_kinds, crashes=CRASHES
)
def random_characters(given, got):
    _expect_chunks(given, got)
