"""Right answers to lecture 08's exercises in other styles pass, and no wrong one is told of a
mistake that it doesn't make."""

import pytest
import torch

from misconceptions.assistant import (
    e8_8_constrained,
    e8_9_votes,
)
from zerotohero.course import checks
from zerotohero.course.checking import examine, report


def filled_one_by_one(probs, rewards, n):
    """Into a tensor of zeros, which has float32."""
    taken = torch.zeros(len(probs))
    for i, (p, r) in enumerate(zip(probs.tolist(), rewards.tolist(), strict=True)):
        below, at_most = probs[rewards < r].sum().item(), probs[rewards <= r].sum().item()
        taken[i] = sum(below**k * p * at_most ** (n - 1 - k) for k in range(n))
    return taken


OTHER_STYLES = {
    "8.9": e8_9_votes.best(filled_one_by_one),
}


@pytest.mark.parametrize("number", OTHER_STYLES)
def test_a_right_answer_in_another_style_passes(number):
    exercise = checks.find(number)
    for seed in range(3):
        outcomes = examine(exercise, OTHER_STYLES[number], seed)
        assert all(o.status == "passed" for o in outcomes), report(exercise, outcomes)


# A wrong answer and the words of a hint that doesn't explain it.
NOT_MADE = (("8.9", e8_9_votes.silent_majority, "None has no vote"),)


@pytest.mark.parametrize(("number", "wrong", "words"), NOT_MADE)
def test_no_hint_names_a_mistake_that_was_not_made(number, wrong, words):
    exercise = checks.find(number)
    outcomes = examine(exercise, wrong())
    assert sum(outcome.points for outcome in outcomes) < exercise.points
    assert not any(words in outcome.hint for outcome in outcomes), report(exercise, outcomes)
