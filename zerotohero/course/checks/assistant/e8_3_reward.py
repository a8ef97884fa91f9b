"""8.3 · A reward model: one number at the last real token, and a loss that needs only an order."""

from functools import partial

import numpy as np

from zerotohero.course.checks.assistant.variants import expect_all, expect_loss
from zerotohero.course.exercise import Exercise, expect_that

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

CRASHES = {
    "does not require grad": "The loss has no gradient left: no `.item()`, `.detach()` or new "
    "tensor on the way.",
    "out of bounds|out of range": "Some index is T: the last of n tokens stands at n − 1.",
}


def _sigmoid(d):
    return np.exp(-np.logaddexp(0, -d))


def loss_of(chosen, rejected, kind: str = "") -> dict:
    """Return loss and gradients; `kind` is a mistake."""
    N, d = len(chosen), chosen - rejected
    if kind == "turned":
        d = -d
    p = _sigmoid(d)
    each, slope = np.logaddexp(0, -d), p - 1
    if kind == "log of sigmoid":
        p = 1 / (1 + np.exp(-d))
        each, slope = -np.log(p), np.where(p > 0, p - 1, np.nan)
    elif kind == "without log":
        each, slope = 1 - p, -p * (1 - p)
    elif kind == "minus":
        each, slope = -each, -slope
    elif kind == "hinge":
        each, slope = np.maximum(0, 1 - d), -1.0 * (d < 1)
    elif kind == "difference":
        each, slope = -d, -np.ones(N)
    elif kind == "square":
        each, slope = (d - 1) ** 2, 2 * (d - 1)
    elif kind == "probability":
        each, slope = -p, -p * (1 - p)
    elif kind == "log2":
        each, slope = each / np.log(2), slope / np.log(2)
    elif kind == "mean first":
        each, slope = np.full(N, np.logaddexp(0, -d.mean())), np.full(N, _sigmoid(d.mean()) - 1)
    elif kind == "all pairs":
        every = chosen[:, None] - rejected
        g = _sigmoid(every) - 1
        loss = np.logaddexp(0, -every).mean()
        return {"loss": loss, "chosen": g.sum(1) / N**2, "rejected": -g.sum(0) / N**2}
    share = 1 if kind == "sum" else 1 / N
    slope = slope * share * (-1 if kind == "turned" else 1)
    rejected_slope = 0 * slope if kind == "one side" else -slope
    chosen_slope = 0 * slope if kind == "other side" else slope
    return {"loss": each.sum() * share, "chosen": chosen_slope, "rejected": rejected_slope}


KINDS = {
    "turned": "The sign of d is turned: the loss falls as the rejected answer's reward rises.",
    "log of sigmoid": "σ(d) is rounded to 0 before its logarithm is taken: `F.logsigmoid` does "
    "both in one step.",
    "without log": "That is 1 − σ(d), the probability of being wrong: −log σ(d) is asked for.",
    "probability": "That is −σ(d), without the logarithm.",
    "minus": "The minus in front of the logarithm is missing: the loss must be above 0.",
    "hinge": "A hinge: it asks for a margin of 1, and Bradley and Terry's model knows none.",
    "difference": "The differences themselves: without −log σ there is no end to their growth.",
    "square": "The squared distance of d from 1: nobody said how much better an answer is.",
    "log2": "The logarithm has the base 2: the natural one is asked for.",
    "mean first": "The mean was taken of the differences, before −log σ: each pair has a loss.",
    "all pairs": "Each chosen answer is compared with every rejected one: `keepdim` or `[:, None]` "
    "made (N, N) of the pairs.",
    "sum": "The sum over the pairs: the mean is asked for.",
    "one side": "No gradient reaches the rejected rewards: both are learnt.",
    "other side": "No gradient reaches the chosen rewards: both are learnt.",
}
WRONG_LOSSES = [(partial(loss_of, kind=kind), hint) for kind, hint in KINDS.items()]


def preference_right(given, got):
    """Expect loss and gradients of each batch of pairs."""
    for came in got["losses"]:
        loss = came["loss"]
        expect_that(
            not isinstance(loss, np.ndarray) or loss.ndim == 0,
            f"preference_loss(…): expected a single number, got shape {np.shape(loss)}",
            "One loss a pair: their mean is asked for.",
        )
    what = "preference_loss(chosen, rejected)"
    expect_loss(what, given["calls"], got["losses"], loss_of, WRONG_LOSSES, tol=1e-7)


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


def _at(rewards, places):
    return rewards[np.arange(len(rewards)), places]


def _real(rewards, lengths):
    return np.arange(rewards.shape[1]) < lengths[:, None]


def last(rewards, lengths):
    return _at(rewards, lengths - 1)


WRONG_PLACES = [
    (
        lambda rewards, lengths: rewards[:, -1],
        "That is the last column: in a shorter row, padding stands there.",
    ),
    (
        lambda rewards, lengths: _at(rewards, np.minimum(lengths, rewards.shape[1] - 1)),
        "One place too far: the last of n tokens stands at n − 1.",
    ),
    (
        lambda rewards, lengths: _at(rewards, np.maximum(lengths - 2, 0)),
        "One place too early: the last of n tokens stands at n − 1.",
    ),
    (
        lambda rewards, lengths: _at(rewards, lengths - 2),
        "One place too early: the last of n tokens stands at n − 1.",
    ),
    (
        lambda rewards, lengths: (rewards * _real(rewards, lengths)).sum(1) / lengths,
        "The mean over the real tokens: only the last one has read the whole answer.",
    ),
    (
        lambda rewards, lengths: (rewards * _real(rewards, lengths)).sum(1),
        "The sum over the real tokens: only the last one has read the whole answer.",
    ),
    (lambda rewards, lengths: rewards.mean(1), "The mean over all places, padding among them."),
    (
        lambda rewards, lengths: np.where(_real(rewards, lengths), rewards, -np.inf).max(1),
        "The largest reward of a row: its last is asked for.",
    ),
    (lambda rewards, lengths: rewards[:, 0], "That is the first token: it has read nothing yet."),
    (
        lambda rewards, lengths: rewards[:, int(lengths[0]) - 1],
        "The length of the first row was taken for all rows.",
    ),
    (
        lambda rewards, lengths: rewards[:, int(lengths.max()) - 1],
        "The length of the longest row was taken for all rows.",
    ),
    (
        lambda rewards, lengths: last(rewards, lengths)[:, None],
        "The shape is (N, 1): `gather` keeps the axis; take its column 0.",
    ),
    (
        lambda rewards, lengths: rewards[:, lengths - 1],
        "Each row was read at the last places of all rows: `rewards[:, i]` takes columns, "
        "`rewards[torch.arange(N), i]` one place a row.",
    ),
    (
        lambda rewards, lengths: _at(
            rewards, [np.flatnonzero(row)[-1] if row.any() else 0 for row in rewards]
        ),
        "The last reward that isn't 0: what stands in the padding may be any number, and the last "
        "real reward may be 0.",
    ),
]


def reward_right(given, got):
    """Expect the last reward of each row, and a gradient there alone."""
    what = "last_reward(…) with lengths {lengths}"
    came = [one["last"] for one in got["found"]]
    expect_all(what, given["calls"], came, last, WRONG_PLACES)
    for call, one in zip(given["calls"], got["found"], strict=True):
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
