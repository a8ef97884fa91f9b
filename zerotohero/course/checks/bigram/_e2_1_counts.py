"""The counts that 2.1 asks for, and the verdict on them."""

from itertools import permutations
from typing import Any

import numpy as np

from zerotohero.course.checks.bigram.shared import KEPT, ORDER, count_grams
from zerotohero.course.exercise import Mistake, expect

COUNT_CRASHES = ORDER | {
    "invalid data type 'str'|indices must be integers": "Characters can't be indices: look each "
    "one up in `stoi`."
}


def expect_counts(given: dict[str, Any], got: dict[str, Any], hint: str | None = None) -> None:
    """Raise `Wrong` unless the words are counted, and after them the first of them alone."""
    words, stoi = given["words"], given["stoi"]

    def count(words=words, stoi=stoi, **boundaries):
        return count_grams(words, 3, stoi, **boundaries)

    right = count()
    wrong = [
        Mistake(
            count([*set(words)]),
            "Every different word counts once here: count it as often as it is in the list.",
        ),
        Mistake(right % 256, "Counts above 255 begin at 0 again in eight bits: take int64."),
        Mistake(
            count(front=0, end=False),
            "Only the letters are counted: two boundaries must stand before each word and one "
            "after it.",
        ),
        Mistake(
            count([word + "." for word in words]),
            "One boundary after the word is enough: the second one is never predicted, since the "
            "name has ended.",
        ),
        Mistake(
            count(front=1),
            "The first letter of each word is missing: with two characters of context, two "
            "boundaries must stand before the word.",
        ),
        Mistake(
            count(end=False),
            "The end is missing: one boundary must follow each word, or the model never learns to "
            "stop.",
        ),
        Mistake(
            (right > 0).astype(np.int64),
            "Each trigram is counted once at most: add 1 to its cell instead of setting it to 1. "
            "(`N[i, j, k] += 1` with whole tensors as indices also adds only once; a loop or "
            "`torch.bincount` adds each time.)",
        ),
        Mistake(
            right.transpose(2, 1, 0),
            "The dimensions are in reverse order: the character to predict is the last index, the "
            "two before it come first.",
        ),
        *(
            Mistake(
                right.transpose(axes),
                "The dimensions are not in the order of the characters: `N[i, j, k]` says how "
                "often k followed i and j.",
            )
            for axes in permutations(range(3))
        ),
    ]
    if stoi["."] != 0:
        not_looked_up = "The boundary's number is taken to be 0: look it up, `stoi['.']`."
        wrong.append(Mistake(count(stoi={**stoi, ".": 0}), not_looked_up))
    expect("trigram_counts", got["N"], right, tol=0, mistakes=wrong, hint=hint)
    first, alone = words[:1], count(words[:1])
    expect(
        f"trigram_counts({first}, stoi), asked next",
        got["next"],
        alone,
        tol=0,
        mistakes=[Mistake(kept, KEPT) for kept in (right + alone, right)],
    )
