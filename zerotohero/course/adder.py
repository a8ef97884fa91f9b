"""Addition as text, for `zerotohero train adder`: a data set whose answers are right or wrong.

A sum is a row of twelve characters, `123+456=9750`: two numbers of three digits, and the answer
with its last digit first. A GPT writes from left to right, and in this order each digit needs
only two digits of the question and the carry, which the digit before shows; the usual order would
ask for the first digit before any carry is known.

The question is masked out of the loss: its digits are drawn by chance, and there is nothing to
learn about them.
"""

import re

import torch

from zerotohero import IGNORED
from zerotohero.text import Characters

VOCABULARY = Characters("+0123456789=")
DIGITS = 3
QUESTION = 2 * DIGITS + 2  # characters, as in 123+456=
ANSWER = DIGITS + 1
CONTEXT = QUESTION + ANSWER - 1  # the last character is only a target


def question(a: int, b: int) -> str:
    """Return the characters that ask for a + b."""
    return f"{a:0{DIGITS}}+{b:0{DIGITS}}="


def answer(a: int, b: int) -> str:
    """Return the characters that are to follow: the sum, last digit first."""
    return f"{a + b:0{ANSWER}}"[::-1]


def parse(text: str) -> tuple[int, int]:
    """Return a and b of a question that a person wrote, such as "7+45" or "123+456=".

    ValueError if it isn't one, or has numbers of more than three digits.
    """
    found = re.fullmatch(rf"\s*(\d{{1,{DIGITS}}})\s*\+\s*(\d{{1,{DIGITS}}})\s*=?\s*", text)
    if not found:
        raise ValueError(
            f"{text!r} is no question for the adder; ask for a sum of two numbers of at most "
            f'{DIGITS} digits, such as "123+456=".'
        )
    return int(found[1]), int(found[2])


def draw_pairs(n_train: int = 100_000, n_val: int = 1000, seed: int = 0):
    """Draw different pairs (a, b): a list to learn from and one that is not seen in training."""
    everything = (10**DIGITS) ** 2
    drawn = torch.randperm(everything, generator=torch.Generator().manual_seed(seed))
    pairs = [divmod(n, 10**DIGITS) for n in drawn[: n_train + n_val].tolist()]
    return pairs[:n_train], pairs[n_train:]


def rows(pairs) -> tuple[torch.Tensor, torch.Tensor]:
    """Return X and Y, both (N, CONTEXT): the inputs and their targets, the question's ignored."""
    text = "".join(question(a, b) + answer(a, b) for a, b in pairs)
    tokens = VOCABULARY.encode(text).view(len(pairs), QUESTION + ANSWER)
    X, Y = tokens[:, :-1].contiguous(), tokens[:, 1:].clone()
    Y[:, : QUESTION - 1] = IGNORED
    return X, Y


def solve(model, pairs) -> list[str]:
    """Return what the model answers, digits in the usual order, always its likeliest one."""
    prompts = [VOCABULARY.encode(question(a, b)) for a, b in pairs]
    written = model.generate(prompts, ANSWER, temperature=0)
    return [VOCABULARY.decode(row[QUESTION:])[::-1] for row in written]


def share_right(model, pairs) -> float:
    """Return the share of sums whose every digit is right."""
    said = solve(model, pairs)
    return sum(s == answer(a, b)[::-1] for s, (a, b) in zip(said, pairs, strict=True)) / len(pairs)
