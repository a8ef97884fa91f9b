"""Where GPT-2, GPT-4 and GPT-4o cut a text before they merge: three patterns, piece by piece.

`\\p{L}` is a letter of any script, `\\p{N}` a digit, `\\s` a blank or the end of a line. They
find what tiktoken's find; tiktoken writes `++` for `+` in places, which only saves it time.
A letter that is younger than the tables of one of the two libraries, `regex` and tiktoken, is a
letter for the other alone, and may be cut otherwise.
Below, what is done to a text before that: it is made whole, and cut at special tokens.
"""

import re
from functools import lru_cache

import regex

GPT2_SPLIT = (
    r"'(?:[sdmt]|ll|ve|re)"  # the endings of I'm, it's, we'll, small letters only
    r"| ?\p{L}+"  # a word, with the blank before it
    r"| ?\p{N}+"  # digits, however many
    r"| ?[^\s\p{L}\p{N}]+"  # other signs
    r"|\s+(?!\S)"  # blanks but the last, which belongs to the next word; at the end all of them
    r"|\s+"
)
GPT4_SPLIT = (
    r"'(?i:[sdmt]|ll|ve|re)"  # these endings in capitals too
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"  # a word with any one sign before it, as in (word or _word
    r"|\p{N}{1,3}"  # at most three digits at once
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"  # other signs, and the line's end after them
    r"|\s*[\r\n]"  # blanks up to the end of the line
    r"|\s+(?!\S)"
    r"|\s+"
)
SMOLLM_SPLIT = (  # GPT-2's, for SmolLM2
    r"'(?:[sdmt]|ll|ve|re)"
    r"| ?\p{L}+"
    r"|\p{N}"  # but each digit for itself
    r"| ?[^\s\p{L}\p{N}]+"
    r"|\s+(?=\p{N})"  # and before a digit all blanks, for the digits were cut out first
    r"|\s+(?!\S)"
    r"|\s+"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K_SPLIT = (  # GPT-4o's
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_ENDINGS}"  # a word: capitals first, then small
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_ENDINGS}"  # so that camelCase is cut in two
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)


def _in_ascii(pattern: str) -> re.Pattern:
    """What finds the same in a text of ASCII alone, by the standard library and twice as fast."""
    for unicode, ascii in (
        (_UPPER, "[A-Z]"),
        (_LOWER, "[a-z]"),
        (r"\p{L}\p{N}]", "A-Za-z0-9]"),
        (r"\p{L}", "[A-Za-z]"),
        (r"\p{N}", "[0-9]"),
    ):
        pattern = pattern.replace(unicode, ascii)
    return re.compile(pattern, re.ASCII)


IN_ASCII = {
    pattern: _in_ascii(pattern) for pattern in (GPT2_SPLIT, GPT4_SPLIT, O200K_SPLIT, SMOLLM_SPLIT)
}


class Cut:
    """Cuts texts by a pattern: `cut(text)` returns the chunks, which together are the text."""

    def __init__(self, pattern: str):
        """ValueError if the pattern is no regular expression or has groups to capture."""
        try:
            self.pattern = regex.compile(pattern)
        except regex.error as error:
            raise ValueError(f"The pattern is no regular expression: {error}.") from None
        if self.pattern.groups:
            raise ValueError(f"The pattern {pattern!r} captures a group; write (?:…) for (…).")
        self.in_ascii = IN_ASCII.get(pattern, self.pattern)

    def __call__(self, text: str) -> list[str]:
        """Return the chunks. ValueError if the pattern leaves something out: it would be lost."""
        chunks = (self.in_ascii if text.isascii() else self.pattern).findall(text)
        if sum(map(len, chunks)) != len(text):
            lost = self.pattern.sub("", text)
            raise ValueError(
                f"The pattern leaves out {lost[:20]!r}, which would be lost; end it in "
                r"|[\s\S], so that it finds every character."
            )
        return chunks


def whole(text: str) -> str:
    """Return the text as UTF-8 can write it: surrogates in pairs joined, single ones "\ufffd"."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


@lru_cache
def any_of(texts: frozenset[str]) -> regex.Pattern:
    """Return a pattern that finds each of the texts, and of two that begin alike the longer."""
    longest_first = sorted(texts, key=len, reverse=True)
    return regex.compile(f"({'|'.join(map(regex.escape, longest_first))})")
