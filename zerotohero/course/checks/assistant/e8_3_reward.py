"""8.3 · A reward model: one number at the last real token, and a loss that needs only an order."""

import numpy as np

from zerotohero.course.checks.assistant._e8_3_reward import (
    WRONG_LOSSES,
    WRONG_PLACES,
    held_back,
    last,
    loss_of,
)
from zerotohero.course.checks.assistant.variants import LOSS_CRASHES, expect_all, expect_loss
from zerotohero.course.exercise import Exercise, Wrong, expect_that

reward = Exercise(
    number="8.3",
    title="Which is better",
    difficulty=2,
    minutes=25,
    practises="learning a number from comparisons, where nobody knows the number",
    answers=("preference_loss", "last_reward"),
    summary=(
        "Write the loss with which a reward model learns from pairs of answers, after Bradley and "
        "Terry. Then read its reward at each answer's last real token."
    ),
    statement="""
`preference_loss(chosen: Tensor, rejected: Tensor) -> Tensor`

`chosen` and `rejected`, (N,), are the rewards of N pairs of answers; people found the first of each
pair better. Bradley and Terry's model says: the first wins with the probability σ(d), where d is
its reward less that of the second, and σ(d) = 1 / (1 + e⁻ᵈ).

1. Return the **mean** over the pairs of −log σ(d), a single number.
2. The gradient reaches both rewards of each pair.
3. It is right for large differences, too: for d = −1000 a pair's loss is 1000 and its gradient with
   respect to d is −1; for d = 1000 both are 0.

`last_reward(rewards: Tensor, lengths: Tensor) -> Tensor`

A model gives a reward at each place of N answers: `rewards`, (N, T). Only the first `lengths[i]`
tokens of row i are real, at least one; whatever stands behind them is padding.

4. Return the reward at the **last real token** of each row, (N,).
5. The gradient goes there, and to no other place.

```python
preference_loss(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0]))   # (0.3133 + 0.6931) / 2
last_reward(torch.tensor([[1.0, 5.0, 9.0], [2.0, 4.0, 8.0]]), torch.tensor([2, 3]))   # [5, 8]
```
""",
    hints=(
        "What is the logarithm of σ(−1000), if σ(−1000) is first rounded to 0? And at which index "
        "does the last of n tokens stand?",
        "`F.logsigmoid` never makes the small number whose logarithm it is. For the reward, an "
        "index a row is needed: `rewards[row, lengths[row] - 1]`, for all rows at once.",
        "`-F.logsigmoid(chosen - rejected).mean()`, and `rewards[torch.arange(len(rewards)), "
        "lengths - 1]`, or `rewards.gather(1, lengths[:, None] - 1)[:, 0]`.",
    ),
)

ROWS = (3, 4, 5)  # of the cases, which all have more columns

CRASHES = LOSS_CRASHES | {
    f"dimension 0 with size [{min(ROWS)}-{max(ROWS)}]$": "An index is beyond the last row: rows "
    "come first, as in `rewards[row, place]`, and `gather` goes along axis 1.",
    "out of bounds|out of range": "Some index is T: the last of n tokens stands at n − 1.",
}


def preference_right(given, got):
    """Expect loss and gradients of each batch of pairs."""
    what = "preference_loss(chosen, rejected)"
    try:
        expect_loss(what, given["calls"], got["losses"], loss_of, WRONG_LOSSES, tol=1e-7)
    except Wrong as error:
        raise Wrong(error.message, error.hint or held_back(given["calls"], got["losses"])) from None


def _pairs(rng) -> dict:
    def pair(n):
        return {"chosen": 1.5 * rng.normal(size=n) + 0.3, "rejected": 1.5 * rng.normal(size=n)}

    return {"calls": [pair(5), pair(int(rng.integers(6, 9)))]}


reward.case("pairs of answers", points=3, adapter="preferred", inputs=_pairs, crashes=CRASHES)(
    preference_right
)


def _far(rng) -> dict:
    near = np.round(3 * rng.normal(size=6), 3)
    far = near + rng.permutation([1000.0, -1000.0, 0.0, 1.0, -2.0, 0.5])
    return {"calls": [{"chosen": far, "rejected": near}]}


reward.case("large differences", points=2, adapter="preferred", inputs=_far, crashes=CRASHES)(
    preference_right
)


# --- the last real token --------------------------------------------------------------------------


def reward_right(given, got):
    """Expect the last reward of each row, and a gradient there alone."""
    what = "last_reward(…) with lengths {lengths}"
    came = [one["last"] for one in got["found"]]
    expect_all(what, given["calls"], came, last, WRONG_PLACES)
    for call, one in zip(given["calls"], got["found"], strict=True):
        expect_that(
            isinstance(one["last"], np.ndarray),
            "last_reward: expected a tensor, got a list",
            "The rewards are right: `torch.stack(…)` makes one tensor of several, and their "
            "gradients go on.",
        )
        expect_that(
            one["grad"] is not None,
            "last_reward: no gradient arrives at the rewards",
            "No gradient leads from what was returned to the rewards: no `.detach()`, no list of "
            "`.item()` on the way.",
        )
        N = len(call["rewards"])
        want = np.zeros(call["rewards"].shape)
        want[np.arange(N), call["lengths"] - 1] = np.arange(N) + 1
        expect_that(
            np.allclose(one["grad"], want),
            "last_reward: the gradient isn't where the reward was read",
        )


def _lengths(rng) -> dict:
    def batch(n, T, lengths):
        rewards = rng.normal(size=(n, T)) + 0.1
        lengths = np.array(lengths)
        rewards[int(rng.integers(1, n)), -1] = 0
        return {"rewards": rewards, "lengths": lengths}

    longer = [int(n) for n in rng.permutation([2, 3, 4, 6])]
    return {"calls": [batch(5, 8, [5, *longer]), batch(3, 6, [4, 3, 5])]}


reward.case("the last real token", points=3, adapter="rewarded", inputs=_lengths, crashes=CRASHES)(
    reward_right
)


def _ends(rng) -> dict:
    lengths = np.array([int(n) for n in rng.permutation([1, 4, 7, 2])])
    rewards = rng.normal(size=(4, 7))
    rewards[np.arange(4), lengths - 1] *= rng.permutation([0.0, 1.0, 1.0, 1.0])
    return {"calls": [{"rewards": rewards, "lengths": lengths}]}


reward.case(
    "a row of one token, and a full one",
    points=2,
    adapter="rewarded",
    inputs=_ends,
    crashes=CRASHES,
)(reward_right)
