"""What 8.9 asks, and what comes of counting and comparing wrongly."""

import math
from collections import Counter
from collections.abc import Callable

import numpy as np

from zerotohero.course.exercise import NOTHING, Mistake


def winner(sample: list) -> str | None:
    found = Counter(answer for answer in sample if answer is not None)
    return found.most_common(1)[0][0] if found else None


def wrong_winners() -> list[tuple[Callable, str]]:
    def voted(sample: list) -> list:
        return [answer for answer in sample if answer is not None]

    def tied(sample: list) -> list:
        found = Counter(voted(sample))
        return [a for a, n in found.items() if n == max(found.values())] or [None]

    def number(sample: list):
        found = Counter(answer.strip().lstrip("0") for answer in voted(sample))
        return found.most_common(1)[0][0] if found else None

    return [
        (
            lambda s: Counter(s or [None]).most_common(1)[0][0],
            "None has a vote here: leave it out before you count.",
        ),
        (
            lambda s: Counter([a or "" for a in s] or [None]).most_common(1)[0][0],
            "What is None is counted as an empty text: leave it out before you count.",
        ),
        (lambda s: tied(s)[-1], "Of equally frequent answers the last to appear wins: the first."),
        (
            lambda s: next((a for a in s[::-1] if a in tied(s)), None),
            "Of equally frequent answers the one that came last in the list wins: the first.",
        ),
        (
            lambda s: min(tied(s)) if voted(s) else None,
            "Of equally frequent answers the smallest text wins: the one that came first.",
        ),
        (
            lambda s: max(tied(s)) if voted(s) else None,
            "Of equally frequent answers the largest text wins: the one that came first.",
        ),
        (
            lambda s: _first_to_reach(voted(s)),
            "Of equally frequent answers the one wins that got its last vote first: the one that "
            "came first in the list.",
        ),
        (
            lambda s: tied(s)[0] if 2 * s.count(tied(s)[0]) > len(s) else None,
            "Half of the votes aren't needed: the most frequent answer wins.",
        ),
        (lambda s: (voted(s) or [None])[0], "The first answer is taken, whatever the others are."),
        (lambda s: (voted(s) or [None])[-1], "The last answer is taken, whatever the others are."),
        (
            number,
            "Texts are made alike before they are counted: they are compared as they are.",
        ),
        (
            lambda s: winner([a and a.lower() for a in s]),
            "Capitals are made small before texts are counted: they are compared as they are.",
        ),
        (
            lambda s: winner([a and a.strip() for a in s]),
            "Blanks are taken off before texts are counted: they are compared as they are.",
        ),
        (
            lambda s: winner([a or None for a in s]),
            "An empty text has no vote here: it is an answer, and only None is none.",
        ),
        (
            lambda s: winner([None if a == "None" else a for a in s]),
            "The text 'None' has no vote here: it is an answer, and only None is none.",
        ),
        (
            lambda s: max(tied(s), key=len) if voted(s) else None,
            "Of equally frequent answers the longest wins: the one that came first.",
        ),
        (
            lambda s: min(tied(s), key=len) if voted(s) else None,
            "Of equally frequent answers the shortest wins: the one that came first.",
        ),
    ]


def of_the_votes(samples: list, won: list, came, want: str | None) -> str | None:
    """Return a hint for what came in place of `want`, where no way of voting explains it."""
    if all(its is None for its in won):
        return NOTHING
    if came is None:
        return "None was returned, although there are answers: it is for no answer at all."
    if isinstance(came, list) and len(came) == 2:
        return "`most_common(1)[0]` is a pair, of a text and its number: return the text."
    if want is None:
        return (
            "Where there is no answer at all, None is returned, which is neither 'None' nor an "
            "empty text."
        )
    wrong = [(its, s) for its, s in zip(won, samples, strict=True) if its != winner(s)]
    if all(its in s and s.count(its) == s.count(winner(s)) for its, s in wrong):
        return "It is one of the most frequent answers, and not the one that came first."
    return None


def _first_to_reach(votes: list) -> str | None:
    counts, most = Counter(), max(Counter(votes).values(), default=0)
    for answer in votes:
        counts[answer] += 1
        if counts[answer] == most:
            return answer
    return None


def some_samples(rng: np.random.Generator) -> dict:
    a, b, c, d = (str(n) for n in sorted(rng.choice(np.arange(10, 99), 4, replace=False)))
    samples = [
        [b, a, None, a, c, None, a, b],  # the majority isn't the first
        [c, None, a, d, a, c, None, None],  # a tie, in which the first is neither extreme
        [b, c, a, c, a, b, d],
        [d, None, a, None, b],  # all once
        [None, None, None, a],
        [None, None],
        [],
        [c, a, b, b, a, c, None],
        [a, d, "0" + d, "0" + d, d, "0" + d, b],
        [b, f" {b}", c, c, f"{b} "],
        ["no", "Yes", "yes", "no", "yes", "no", "Yes"],
        ["", b, None, "", a],
        [a + c, b, a + c, d, b, None, d],
        [c, b + a, c, b + a, None, d],
        ["None", None, a, "None", b],
    ]
    return {"samples": [samples[i] for i in rng.permutation(len(samples))]}


# --- the best of n --------------------------------------------------------------------------------


def best_probs(p: np.ndarray, r: np.ndarray, n: int) -> np.ndarray:
    at_most = (p * (r <= r[:, None])).sum(1)
    below = (p * (r < r[:, None])).sum(1)
    return (at_most**n - below**n) * p / (at_most - below)


def wrong_best(p: np.ndarray, r: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """Return what comes of mistakes, by their hints."""
    at_most = (p * (r <= r[:, None])).sum(1)
    below = (p * (r < r[:, None])).sum(1)
    equal = at_most - below
    right = best_probs(p, r, n)
    order = np.argsort(r, kind="stable")
    sums = np.zeros(len(p))
    sums[order] = p[order].cumsum()
    one_by_one = sums**n - (sums - p) ** n
    reverse = np.argsort(-r, kind="stable")[::-1]  # of equals, the first is the last
    upwards = np.zeros(len(p))
    upwards[reverse] = p[reverse].cumsum()
    earlier = upwards**n - (upwards - p) ** n
    softmax = p * np.exp(r) / (p * np.exp(r)).sum()
    count = np.array([(r <= x).mean() for x in r])
    fewer = np.array([(r < x).mean() for x in r])
    return {
        "The probability that the best is no better than each: take from it that of a worse one.": (
            at_most**n
        ),
        "That is the worst of n: the higher reward is taken.": best_probs(p, -r, n),
        "Equally good answers get all of what they share, each: they share it.": (
            at_most**n - below**n
        ),
        "Equally good answers share alike: as their probabilities are.": (
            (at_most**n - below**n) / (r == r[:, None]).sum(1)
        ),
        "Of equally good answers the later in the table wins: the one that was drawn first.": (
            one_by_one
        ),
        "The probability to be drawn at all, 1 − (1 − p)ⁿ: a better one may have come too.": (
            1 - (1 - p) ** n
        ),
        "Of equally good answers the earlier in the table wins: the one that was drawn first.": (
            earlier
        ),
        "These stand in the order of the rewards: return them in the order of `probs`.": (
            one_by_one[order]
        ),
        "n · p · F(r)ⁿ⁻¹ is a density, for answers of which none is likely: take F(r)ⁿ less "
        "F(below r)ⁿ.": n * p * at_most ** (n - 1),
        "All answers are taken for equally likely: `probs` says how likely they are.": (
            count**n - fewer**n
        ),
        "These are the model's own probabilities.": p,
        "One answer too few is drawn: n, and not n − 1.": best_probs(p, r, n - 1),
        "One answer too many is drawn: n, and not n + 1.": best_probs(p, r, n + 1),
        "Rewards that differ by little are taken for equal: only the same number is as good.": (
            best_probs(p, r.round(6), n)
        ),
        "The best answer has all of it: it may not be among the n.": np.eye(len(p))[r.argmax()],
        "Probabilities times e to the reward are another policy than the best of n.": softmax,
        "Only the chance of n answers that are equally good counts: one of them is enough.": (
            equal**n * p / equal
        ),
        "It doesn't add up to 1.": 2 * right,
    }


def some_answers(rng: np.random.Generator, equal: bool) -> dict:
    M = 9
    p = rng.dirichlet(np.full(M, 2.0))
    r = rng.permutation([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 3.5 + 1e-7])
    if equal:
        r = rng.permutation([0.0, 0.5, 0.5, 1.0, 1.0, 1.0, 2.0, 3.5, 3.5])
    return {"probs": p, "rewards": r, "ns": [int(rng.integers(3, 7)), 1, int(rng.integers(20, 40))]}


def wrong_bounds(ns: list[int]) -> list[Mistake]:
    found = [
        (
            lambda n: math.log(n),
            "log n alone is more than it is: (n − 1) / n is taken away, and `//` makes 0 of that.",
        ),
        (lambda n: math.log2(n) - (n - 1) / n, "In bits: the natural logarithm is asked for."),
        (lambda n: math.log10(n) - (n - 1) / n, "Logarithm to the base 10: the natural one."),
        (lambda n: math.log(n) + (n - 1) / n, "(n − 1) / n is added: it is taken away."),
        (lambda n: (n - 1) / n - math.log(n), "The other sign: a divergence is never below 0."),
        (
            lambda n: (math.log(n) - (n - 1)) / n,
            "log n is divided by n, too: (n − 1) / n is taken away from it whole.",
        ),
        (
            lambda n: math.log(n) - n - 1 / n,
            "Without brackets, n - 1 / n is n less 1 / n: `(n - 1) / n`.",
        ),
        (lambda n: math.log(n) - n / (n + 1), "(n − 1) / n is taken away, and not n / (n + 1)."),
        (lambda n: math.log(n) - 1 / n, "(n − 1) / n is taken away, and not 1 / n."),
        (lambda n: math.log(n) - 1, "That is what it comes to for large n: (n − 1) / n."),
    ]
    return [Mistake([way(n) for n in ns], hint) for way, hint in found]
