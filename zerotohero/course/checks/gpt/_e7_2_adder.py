"""The rows and carries of 7.2 as they should be; what wrong answers give, and the hint for each."""

from functools import partial

import numpy as np

from zerotohero import IGNORED
from zerotohero.course.exercise import Mistake

PLUS, EQUALS = 10, 11


def digits_of(n: np.ndarray, width: int) -> np.ndarray:
    """Return (N, width): the digits, the units last."""
    return n[:, None] // 10 ** np.arange(width)[::-1] % 10


def rows_of(a, b, reverse, turn=(0, 0, 0), signs=(PLUS, EQUALS)) -> np.ndarray:
    """Return (N, 12); `turn` says which of a, b and the answer are turned round once more."""
    answer = digits_of(a + b, 4)
    answer = answer[:, ::-1] if reverse else answer
    parts = (digits_of(a, 3), digits_of(b, 3), answer)
    parts = [p[:, ::-1] if t else p for p, t in zip(parts, turn, strict=True)]
    sign = [np.full((len(a), 1), s) for s in signs]
    return np.hstack([parts[0], sign[0], parts[1], sign[1], parts[2]])


def targets_of(rows: np.ndarray, masked: int = 7) -> np.ndarray:
    Y = rows[:, 1:].copy()
    Y[:, :masked] = IGNORED
    return Y


def wrong_inputs(a: np.ndarray, b: np.ndarray, reverse: bool) -> list[Mistake]:
    rows = partial(rows_of, a, b, reverse)
    right = rows()
    shared = right.copy()
    shared[:, 1:8] = IGNORED
    turned = (
        "The answer stands with its largest digit first: with `reverse`, its units come first."
        if reverse
        else "The answer is reversed although `reverse` is False."
    )
    wrong = [
        (
            right,
            "X is the whole row, the last digit of the answer included: nothing follows it, so X "
            "is `row[:, :-1]`.",
        ),
        (
            right[:, 1:],
            "X is shifted: it is the row without its *last* token, and Y the one without its "
            "first.",
        ),
        (rows(turn=(0, 0, 1))[:, :-1], turned),
        (
            rows(turn=(1, 1, 0))[:, :-1],
            "The digits of a and b are turned round too: `reverse` is about the answer alone, the "
            "question stands as we write it.",
        ),
        (rows(turn=(1, 1, 1))[:, :-1], "The question is reversed instead of the answer."),
        (
            right[:, ::-1][:, :-1],
            "The whole row is turned round: only the four digits of the answer are.",
        ),
        (
            rows(signs=(EQUALS, PLUS))[:, :-1],
            f"{PLUS} is the plus sign and {EQUALS} the equals sign; yours are exchanged.",
        ),
        (rows_of(b, a, reverse)[:, :-1], "b stands before a."),
        (
            np.where(np.arange(11) < 7, IGNORED, right[:, :-1]),
            f"{IGNORED} stands in X: the model has to read the question. Only its *targets* are "
            "masked, in Y.",
        ),
        (
            shared[:, :-1],
            "X and Y share their memory, as slices of one row do: what is masked in Y is gone from "
            "X. Mask a copy, `row[:, 1:].clone()`.",
        ),
        (
            np.hstack([right[:, :8], right[:, 8:11] * 0]),
            "X holds nothing of the answer: while it learns, the model reads the right digits "
            "before the one that it has to write.",
        ),
    ]
    return [Mistake(*w) for w in wrong]


def wrong_targets(right: np.ndarray) -> list[Mistake]:
    plain, want = right[:, 1:], targets_of(right)
    head = np.arange(11)
    wrong = [
        (
            plain,
            "The question is not masked: the loss would also ask to guess the digits of a and b, "
            f"which nobody can. Their targets are {IGNORED}.",
        ),
        (
            targets_of(right, 8),
            "One target too many is masked: the first digit of the answer, whose target stands at "
            "the position of the equals sign, has to be learned too.",
        ),
        (
            targets_of(right, 6),
            "One target too few is masked: the equals sign is part of the question, and its target "
            "stands at position 6.",
        ),
        (
            np.where(head < 7, 0, plain),
            "The masked targets are 0, which is a digit that would be learned: `F.cross_entropy` "
            f"ignores {IGNORED}.",
        ),
        (
            np.where(head < 7, -1, plain),
            "The masked targets are −1, which `F.cross_entropy` does not ignore by itself: it is "
            f"{IGNORED}.",
        ),
        (
            np.where(head < 7, plain, IGNORED),
            "The mask lies over the answer: the question's targets are those to be ignored.",
        ),
        (
            np.where(head < 7, IGNORED, right[:, :-1]),
            "Y is not shifted: Y[t] is the token that *follows* X[t].",
        ),
        (
            np.where(head < 8, IGNORED, right[:, :-1]),
            "Y is not shifted: Y[t] is the token that *follows* X[t].",
        ),
        (
            want[:, 7:],
            f"Y holds the four digits alone: it is as long as X, with {IGNORED} where nothing is "
            "asked.",
        ),
    ]
    return [Mistake(*w) for w in wrong]


def wrong_sums(a: np.ndarray, b: np.ndarray, said: np.ndarray, reverse: bool) -> list[Mistake]:
    """Return what else can be read from a model that says these sums."""
    digits = digits_of(said, 4)
    order = digits[:, ::-1] if reverse else digits
    # What the stand-in writes when it is fed with the true sum's digits instead of its own.
    true = digits_of(a + b, 4)
    true = true[:, ::-1] if reverse else true
    off = np.cumsum(np.hstack([0 * true[:, :1], (true != order)[:, :3]]), 1)
    fed = (order + off) % 10
    read = np.array([1, 10, 100, 1000]) if reverse else np.array([1000, 100, 10, 1])
    wrong = [
        (
            a + b,
            "You add the numbers yourself. This model can't add, and what is asked for is what "
            "the *model* writes.",
        ),
        (
            a + b + (said - a - b)[0],
            "One error of the model is added to the sums that you make yourself: read every sum "
            "from what the model writes.",
        ),
        (
            (fed * read).sum(1),
            "The model was fed with the digits of the true sum: it has to read the digits that it "
            "has written itself: at an exam the sum isn't known.",
        ),
        (
            (order * read[::-1]).sum(1),
            "The four digits are read in the wrong order: "
            + (
                "the first that the model writes is the units."
                if reverse
                else "without `reverse`, the first that the model writes is the thousands."
            ),
        ),
        (
            order,
            "These are the four digits; return the number that they make, `digits @ "
            "torch.tensor([1, 10, 100, 1000])` where the units come first.",
        ),
        (
            order[:, 0] * read[3],
            "All four digits were taken from one call: the model writes one token, reads it, and "
            "writes the next.",
        ),
        (
            (order[:, :3] * (read[:3] if reverse else read[1:])).sum(1),
            "Three digits were read; a sum has four.",
        ),
    ]
    return [Mistake(*w) for w in wrong]


def carries_of(a: np.ndarray, b: np.ndarray, incoming: bool = True, least: int = 10) -> np.ndarray:
    """Return (N, 3) of 0 and 1: which columns carry, the units first."""
    columns = (digits_of(a, 3) + digits_of(b, 3))[:, ::-1]
    carries, carry = [], np.zeros(len(a), int)
    for column in columns.T:
        carry = (column + incoming * carry >= least).astype(int)
        carries.append(carry)
    return np.stack(carries, 1)


def longest_run(carries: np.ndarray) -> np.ndarray:
    run = best = np.zeros(len(carries), int)
    for column in carries.T:
        run = (run + 1) * column
        best = np.maximum(best, run)
    return best


def wrong_chains(a: np.ndarray, b: np.ndarray) -> list[Mistake]:
    carries = carries_of(a, b)
    wrong = [
        (
            carries.sum(1),
            "You count all columns that carry: a *chain* is broken by a column that doesn't, so "
            "905 + 905 has 1, not 2.",
        ),
        (
            longest_run(carries_of(a, b, incoming=False)),
            "What a column gets from its right neighbour is left out: in 955 + 45 the tens make 9, "
            "and carry because the units do.",
        ),
        (
            carries_of(a, b, incoming=False).sum(1),
            "What a column gets from its right neighbour is left out, and all that carry are "
            "counted: the longest *run* is asked for.",
        ),
        (
            carries.cumprod(1).sum(1),
            "Only a run that begins at the units is counted: it may begin in any column.",
        ),
        (longest_run(carries_of(a, b, least=11)), "A column carries from 10 on, not from 11."),
        (longest_run(carries_of(a, b, least=9)), "A column that makes 9 does not carry."),
        (carries.max(1), "That says whether anything carries; how long is the longest run?"),
        (longest_run(carries[:, :2]), "The hundreds carry too, into the thousands."),
    ]
    return [Mistake(*w) for w in wrong]
