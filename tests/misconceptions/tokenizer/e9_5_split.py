"""Wrong answers to 9.5, the split."""

import regex

from misconceptions import wrong

PARTS = (
    r"'(?i:[sdmt]|ll|ve|re)",
    r"[^\r\n\p{L}\p{N}]?\p{L}+",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"\s*[\r\n]",
    r"\s+(?!\S)",
    r"\s+",
)


def by(place, part):
    parts = [part if i == place else p for i, p in enumerate(PARTS)]
    pattern = "|".join(p for p in parts if p is not None)
    return lambda text: regex.findall(pattern, text)


@wrong("9.5", "without regard to case")
def small_letters_only():
    return by(0, r"'(?:[sdmt]|ll|ve|re)")


@wrong("9.5", "The first kind is missing")
def no_contractions():
    return by(0, None)


@wrong("9.5", "not only a blank")
def blank_before_letters():
    return by(1, r" ?\p{L}+")


@wrong("9.5", "Letters are those of Unicode")
def ascii_letters():
    return by(1, r"[^\r\n\p{L}\p{N}]?[A-Za-z]+")


@wrong("9.5", "A line end was taken along")
def line_end_before_letters():
    return by(1, r"[^\p{L}\p{N}]?\p{L}+")


@wrong("9.5", "Several characters were taken along")
def several_before_letters():
    return by(1, r"[^\r\n\p{L}\p{N}]*\p{L}+")


@wrong("9.5", "Numbers are cut after three")
def whole_numbers():
    return by(2, r"\p{N}+")


@wrong("9.5", "A blank before a number was taken along")
def blank_before_numbers():
    return by(2, r" ?\p{N}{1,3}")


@wrong("9.5", "up to three at a time")
def digit_by_digit():
    return by(2, r"\p{N}")


@wrong("9.5", "Line ends behind the fourth kind")
def no_line_ends_behind_signs():
    return by(3, r" ?[^\s\p{L}\p{N}]+")


@wrong("9.5", "One blank before the fourth kind")
def no_blank_before_signs():
    return by(3, r"[^\s\p{L}\p{N}]+[\r\n]*")


@wrong("9.5", "The fifth kind is missing")
def no_line_ends():
    return by(4, None)


@wrong("9.5", "is left to the word behind it")
def blanks_together():
    return by(5, None)


@wrong("9.5", "Those are GPT-2's chunks")
def gpt2():
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    return lambda text: regex.findall(pattern, text)


@wrong("9.5", "A group that is captured")
def captured_group():
    pattern = "|".join((r"'((?i)[sdmt]|ll|ve|re)", *PARTS[1:]))
    return lambda text: regex.findall(pattern, text)


@wrong("9.5", "`str.split` loses the blanks")
def split_at_blanks():
    return lambda text: text.split(" ")


@wrong("9.5", "so no `strip`")
def stripped():
    return lambda text: [chunk.strip() for chunk in regex.findall("|".join(PARTS), text)]


def without(ending):
    endings = [e for e in ("s", "d", "m", "t", "ll", "ve", "re") if e != ending]
    return by(0, f"'(?i:{'|'.join(endings)})")


@wrong("9.5", "as in `a'sx`: the first kind lacks it")
def without_s():
    return without("s")


@wrong("9.5", "as in `a'dx`: the first kind lacks it")
def without_d():
    return without("d")


@wrong("9.5", "as in `a'mx`: the first kind lacks it")
def without_m():
    return without("m")


@wrong("9.5", "as in `a'tx`: the first kind lacks it")
def without_t():
    return without("t")


@wrong("9.5", "as in `a'llx`: the first kind lacks it")
def without_ll():
    return without("ll")


@wrong("9.5", "as in `a'vex`: the first kind lacks it")
def without_ve():
    return without("ve")


@wrong("9.5", "as in `a'rex`: the first kind lacks it")
def without_re():
    return without("re")


@wrong("9.5", "`'Ll` and `'vE` are cut off too")
def all_small_or_all_capitals():
    return by(0, r"'(?:[sdmtSDMT]|ll|LL|ve|VE|re|RE)")


@wrong("9.5", "not only behind a letter")
def endings_behind_letters_only():
    return by(0, r"(?<=\p{L})" + PARTS[0])


@wrong("9.5", "`’` is another character")
def typographic_apostrophe():
    return by(0, r"['’](?i:[sdmt]|ll|ve|re)")


@wrong("9.5", "are no letters, though Hindi")
def marks_as_letters():
    return by(1, r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+")


@wrong("9.5", "is of GPT-4o's pattern")
def slashes_behind_signs():
    return by(3, r" ?[^\s\p{L}\p{N}]+[\r\n/]*")


@wrong("9.5", "U+00A0 and U+3000 too")
def whitespace_of_ascii():
    pattern = "|".join((*PARTS[:5], r"[ \t\r\n]+(?![^ \t\r\n])", r"[ \t\r\n]+"))
    return lambda text: regex.findall(pattern, text)


@wrong("9.5", "only `\\r` and `\\n` are excepted, so not")
def no_blank_before_letters():
    return by(1, r"[^\s\p{L}\p{N}]?\p{L}+")


@wrong("9.5", "A number was taken along")
def number_before_letters():
    return by(1, r"[^\r\n\p{L}]?\p{L}+")


@wrong("9.5", "it takes numbers and `_`, too")
def word_characters():
    return by(1, r"[^\r\n\w]?\w+")


@wrong("9.5", "The fourth kind came before its turn")
def signs_before_letters():
    pattern = "|".join(PARTS[i] for i in (0, 3, 1, 2, 4, 5, 6))
    return lambda text: regex.findall(pattern, text)


@wrong("9.5", "`isdigit` don't know it")
def decimal_digits():
    pattern = "|".join(PARTS).replace(r"\p{N}", r"\d")
    return lambda text: regex.findall(pattern, text)


@wrong("9.5", "though `isnumeric` says")
def numbers_in_chinese():
    return by(2, r"[\p{N}一二三四五六七八九十百千]{1,3}")


@wrong("9.5", "Several blanks were taken along")
def blanks_before_signs():
    return by(3, r" *[^\s\p{L}\p{N}]+[\r\n]*")


@wrong("9.5", "Other whitespace than a blank")
def whitespace_before_signs():
    return by(3, r"\s?[^\s\p{L}\p{N}]+[\r\n]*")


@wrong("9.5", "Blanks behind the fourth kind")
def whitespace_behind_signs():
    return by(3, r" ?[^\s\p{L}\p{N}]+\s*")


@wrong("9.5", "that stand together are one chunk")
def signs_one_by_one():
    return by(3, r" ?[^\s\p{L}\p{N}][\r\n]*")


@wrong("9.5", "what stands before and between included")
def line_ends_alone():
    return by(4, r"[\r\n]+")


@wrong("9.5", "A line end alone is of the fifth kind")
def whitespace_before_line_ends():
    return by(4, r"\s+[\r\n]")


@wrong("9.5", "`\\r` ends the fifth kind")
def newlines_only():
    return by(4, r"\s*\n")


@wrong("9.5", "The sixth kind is as much whitespace")
def blanks_one_by_one():
    return by(5, r"\s(?!\S)")


@wrong("9.5", "A chunk is empty")
def perhaps_no_whitespace():
    return by(5, r"\s*(?!\S)")


@wrong("9.5", "A match is no chunk")
def matches():
    return lambda text: list(regex.finditer("|".join(PARTS), text))
