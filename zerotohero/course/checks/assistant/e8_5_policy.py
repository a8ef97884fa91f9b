"""8.5 · A policy gradient with a baseline, PPO's clip, and GRPO's advantage."""

from functools import partial

import numpy as np

from zerotohero.course.checks.assistant.variants import LOSS_CRASHES, expect_all, expect_loss
from zerotohero.course.exercise import Exercise

policy = Exercise(
    number="8.5",
    title="Better than usual",
    difficulty=4,
    minutes=45,
    practises="learning from rewards of one's own samples, and what keeps it from going too far",
    answers=("less_the_others", "in_its_group", "policy_loss", "clipped_loss"),
    summary=(
        "Turn rewards into advantages in two ways, by leaving one out and as GRPO does. Then write "
        "the losses of the policy gradient and of PPO."
    ),
    statement="""
A policy wrote K ≥ 2 answers to each of P prompts; `rewards` has the shape (P, K).

1. `less_the_others(rewards: Tensor) -> Tensor` returns each reward less the mean of the **other**
   K − 1 answers to the same prompt, (P, K).
2. `in_its_group(rewards: Tensor) -> Tensor` returns GRPO's advantages, (P, K): each reward less the
   mean of all K of its prompt, divided by their standard deviation plus 0.0001. The deviation is
   that with K − 1 below the sum of squares. Where all K are equal, the advantages are 0.

`policy_loss(logp: Tensor, advantages: Tensor, mask: Tensor) -> Tensor`

`logp`, (N, T), holds the log-probabilities of the tokens of N answers, `advantages`, (N,), those of
the answers, and `mask`, (N, T), booleans: True for the tokens that the policy wrote.

3. Return −advantage · logp as a mean over **all tokens of the batch** whose mask is True. Each of
   them counts the same, in an answer of any length; the others count for nothing.

`clipped_loss(logp: Tensor, old_logp: Tensor, advantages: Tensor, mask: Tensor, clip: float)`
`-> Tensor`

4. `old_logp`, (N, T), are those of the policy that drew the answers. With the ratio
   ρ = exp(logp − old_logp) of each token, return the mean, as in 3, of the negative of
   **the smaller** of ρ · advantage and ρ′ · advantage, where ρ′ is ρ cut off at 1 − clip and
   1 + clip.

The gradient of both losses reaches `logp`.

```python
less_the_others(torch.tensor([[1.0, 0.0, 0.5]]))     # [[0.75, -0.75, 0]]
in_its_group(torch.tensor([[1.0, 0.0, 0.5]]))        # [[0.9998, -0.9998, 0]]
logp, old = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-2.0, -2.0]])
A, mask = torch.tensor([3.0]), torch.tensor([[True, True]])
policy_loss(logp, A, mask)                           # 4.5, the mean of 3 and 6
clipped_loss(logp, old, A, mask, 0.2)                # -3.3, the mean of -3.6 and -3
```
""",
    hints=(
        "The others' mean is (sum − own) / (K − 1). When is a token's gain cut off: if the ratio "
        "is large, or if it is large in the direction that the advantage asks for?",
        "`keepdim=True` keeps each prompt's mean beside its own answers, and `advantages[:, None]` "
        "gives each token its answer's. `torch.minimum` compares the two gains token by token.",
        "`others = (rewards.sum(1, keepdim=True) - rewards) / (K - 1)`. `gains = "
        "torch.minimum(ratio * a, ratio.clamp(1 - clip, 1 + clip) * a)` with `a = "
        "advantages[:, None]`, and `-(gains * mask).sum() / mask.sum()`.",
    ),
)

CRASHES = LOSS_CRASHES | {
    "must match the size": "An advantage belongs to a whole answer: `advantages[:, None]`, (N, 1), "
    "goes with all of its tokens.",
}


def _others(rewards):
    return (rewards - rewards.mean(1, keepdims=True)) * rewards.shape[1] / (rewards.shape[1] - 1)


def _away(rewards):
    return rewards - rewards.mean(1, keepdims=True)


def _deviation(rewards):
    return rewards.std(1, keepdims=True, ddof=1) + 1e-4


def _standard(rewards, axis=1, ddof=1, plus=1e-4):
    away = rewards - rewards.mean(axis, keepdims=True)
    return away / (rewards.std(axis, keepdims=True, ddof=ddof) + plus)


WRONG_OTHERS = [
    (
        lambda rewards: rewards - rewards.mean(1, keepdims=True),
        "The answer's own reward is in the mean: that of the others is asked for.",
    ),
    (
        lambda rewards: rewards - (rewards.sum(1, keepdims=True) - rewards) / rewards.shape[1],
        "The sum of the others is divided by K: they are K − 1.",
    ),
    (
        lambda rewards: rewards - (rewards.sum() - rewards) / (rewards.size - 1),
        "The others of all prompts are in the mean: a prompt's own are asked for.",
    ),
    (
        lambda rewards: rewards - rewards.mean(),
        "The mean of the whole batch is subtracted: that of the prompt's others is asked for.",
    ),
    (
        lambda rewards: rewards - rewards.sum(1, keepdims=True) / (rewards.shape[1] - 1),
        "The sum of all K is divided by K − 1: the answer's own reward is taken out of it first.",
    ),
    (
        lambda rewards: _others(rewards) / (rewards.std(1, keepdims=True, ddof=1) + 1e-4),
        "It is divided by the deviation: that is GRPO's way, and not this one.",
    ),
    (
        lambda rewards: _others(rewards.T).T,
        "The wrong axis: the other answers to a prompt stand in its row.",
    ),
    (lambda rewards: -_others(rewards), "The sign is turned: the baseline is subtracted."),
    (lambda rewards: rewards - _others(rewards), "That is the baseline, not the reward less it."),
]
NOT_ADDED = (
    "0.0001 is missing in the deviation: it is added to each, to those that aren't 0 as well. "
    "Where all rewards are equal, nothing else is left there."
)
WRONG_GROUPS = [
    (
        partial(_standard, ddof=0),
        "The deviation has K below the sum of squares: K − 1 is asked for.",
    ),
    (
        partial(_standard, axis=None),
        "One mean and deviation of the whole batch: each prompt has its own.",
    ),
    (partial(_standard, axis=0), "The wrong axis: the answers to a prompt stand in its row."),
    (partial(_standard, plus=0), NOT_ADDED),
    (partial(_standard, plus=1e-8), NOT_ADDED),
    (
        lambda rewards: _away(rewards) / np.sqrt(rewards.var(1, keepdims=True, ddof=1) + 1e-4),
        "0.0001 is added under the root, to the variance: it is added to the deviation.",
    ),
    (
        lambda rewards: _standard(rewards, plus=0) + 1e-4,
        "Without brackets, 0.0001 is added to the quotient: it belongs to the deviation below.",
    ),
    (
        lambda rewards: rewards - rewards.mean(1, keepdims=True) / _deviation(rewards),
        "Without brackets, the mean alone is divided: take it from the reward first.",
    ),
    (
        lambda rewards: _others(rewards) / _deviation(rewards),
        "It is the mean of the others that is subtracted: GRPO takes that of all K.",
    ),
    (
        lambda rewards: _away(rewards) / (rewards.std(ddof=1) + 1e-4),
        "The deviation is that of the whole batch: each prompt has its own.",
    ),
    (
        lambda rewards: rewards - rewards.mean(1, keepdims=True),
        "The mean is subtracted, and nothing is divided by the deviation.",
    ),
    (
        lambda rewards: _away(rewards) / (rewards.var(1, keepdims=True, ddof=1) + 1e-4),
        "Divided by the variance: the deviation is its root.",
    ),
    (
        lambda rewards: rewards / _deviation(rewards),
        "The mean isn't subtracted.",
    ),
]


def advantages_right(given, got):
    """Expect both kinds of advantages."""
    calls = given["calls"]
    expect_all("less_the_others({rewards})", calls, got["others"], _others, WRONG_OTHERS)
    expect_all("in_its_group({rewards})", calls, got["groups"], _standard, WRONG_GROUPS, tol=1e-7)


NO_AXIS = {
    "must match the size": "A row's mean has to stand beside its own answers: `keepdim=True` or "
    "`[:, None]` keeps it there."
}


def _rewards(rng) -> dict:
    sizes = [(4, 3), (2, int(rng.integers(5, 8))), (3, 2)]
    return {"calls": [{"rewards": rng.normal(size=size) + 1} for size in sizes]}


policy.case("advantages", points=3, adapter="compared", inputs=_rewards, crashes=NO_AXIS)(
    advantages_right
)


def _equal(rng) -> dict:
    rewards = rng.integers(0, 2, (5, 6)) * rng.integers(32, 128) / 64  # of which no sum is rounded
    rewards[int(rng.integers(5))] = rng.integers(-64, 64) / 64
    return {"calls": [{"rewards": rewards}]}


policy.case("a prompt whose answers are equal", adapter="compared", inputs=_equal, crashes=NO_AXIS)(
    advantages_right
)


# --- the losses -----------------------------------------------------------------------------------


def _mean(x, slope, mask, over: str) -> dict:
    """Return the mean of x over the mask and its gradient; `over` is how a mistake weighs it."""
    counts, N = mask.sum(1, keepdims=True), len(mask)
    weights = {
        "answers": mask / counts / N,
        "places": mask / mask.size,
        "sum": mask * 1.0,
        "sums": mask / N,
        "twice": mask / mask.sum() / N,
        "all": np.ones(mask.shape) / mask.size,
    }.get(over, mask / mask.sum())
    return {"loss": (x * weights).sum(), "logp": slope * weights}


def plain(logp, advantages, mask, over: str = "", sign: int = -1) -> dict:
    """Return the policy gradient's loss and gradient."""
    a = sign * advantages[:, None] * np.ones(logp.shape)
    return _mean(a * logp, a, mask, over)


def clipped(logp, old_logp, advantages, mask, clip, kind: str = "", over: str = "") -> dict:
    """Return PPO's loss and gradient; `kind` is a mistake."""
    a, ratio = advantages[:, None], np.exp(logp - old_logp)
    slope = ratio
    if kind == "turned":
        ratio, slope = 1 / ratio, -1 / ratio
    elif kind == "same":
        ratio, slope = np.ones(logp.shape), np.ones(logp.shape)
    elif kind == "no exp":
        ratio, slope = logp - old_logp, np.ones(logp.shape)
    clip = 0.2 if kind == "fixed" else clip
    low, high = {"one": clip, "inverse": 1 / (1 + clip)}.get(kind, 1 - clip), 1 + clip
    low, high = (-np.inf if kind == "above" else low), (np.inf if kind == "below" else high)
    cut = np.clip(ratio, low, high)
    cut_slope = slope * ((ratio >= low) & (ratio <= high))
    first = ratio * a <= cut * a
    if kind == "larger":
        first = ratio * a >= cut * a
    if kind == "ratio":
        first = ratio <= cut
    first = {"never": ratio == ratio, "always": ratio != ratio}.get(kind, first)
    sign = 1 if kind == "sign" else -1
    gain, gain_slope = np.where(first, ratio, cut) * a, np.where(first, slope, cut_slope) * a
    return _mean(sign * gain, sign * gain_slope, mask, over)


OVER = {
    "answers": "A mean of the answers' means: a token of a short answer counts more than one of a "
    "long one.",
    "places": "Divided by N · T: what isn't in the mask counts for nothing.",
    "sum": "The sum over the tokens: it isn't divided by their number.",
    "twice": "The mean is taken twice: over the tokens, and then over the answers.",
    "sums": "Divided by the number of answers: the mean is over their tokens.",
    "all": "The mask wasn't used: tokens that the policy didn't write are in the mean.",
}
KINDS = {
    "turned": "The ratio is turned around: the new policy stands above, the old one below.",
    "no exp": "That is the logarithm of the ratio: `exp` is missing.",
    "one": "Cut off below at clip: the limits are 1 − clip and 1 + clip.",
    "inverse": "Cut off below at 1 / (1 + clip): it is 1 − clip.",
    "fixed": "Cut off at 0.2, whatever `clip` is.",
    "same": "Every ratio is 1: it is `old_logp` that stands below.",
    "ratio": "The smaller of the two ratios was taken: it is the smaller of the two gains, which "
    "is another where the advantage is negative.",
    "above": "Cut off above only: 1 − clip is a limit, too.",
    "below": "Cut off below only: 1 + clip is a limit, too.",
    "larger": "The larger of the two gains was taken: the smaller is the careful one.",
    "never": "Nothing is cut off.",
    "always": "The cut ratio alone was taken: where it would be for the worse, the uncut one "
    "counts, so that a mistake can be mended.",
    "sign": "The sign is turned: a loss is made small, so it is the negative of the gain.",
}
WRONG_PLAIN = [(partial(plain, over=over), hint) for over, hint in OVER.items()]
WRONG_PLAIN += [
    (partial(plain, sign=1), "The sign is turned: better answers got less likely."),
    (
        lambda logp, advantages, mask: plain(logp, advantages, ~mask),
        "The mask is the wrong way round: True stands where the policy wrote.",
    ),
    (
        lambda logp, advantages, mask: plain(logp, np.ones(len(logp)), mask),
        "The advantages are missing: every answer gets likelier.",
    ),
]
WRONG_CLIPPED = [(partial(clipped, over=over), hint) for over, hint in OVER.items()]
WRONG_CLIPPED += [(partial(clipped, kind=kind), hint) for kind, hint in KINDS.items()]


def _batch(rng, N: int, T: int) -> dict:
    mask = np.zeros((N, T), bool)
    for i, n in enumerate(rng.permutation([1, 3, T - 1, T - 2, 2])[:N]):
        start = int(rng.integers(0, T - n + 1))
        mask[i, start : start + n] = True
    advantages = rng.permutation([1.0, -1.0, 1.0, -1.0, 1.0][:N]) * rng.uniform(0.5, 2, N)
    return {"logp": -rng.uniform(0.2, 3, (N, T)), "advantages": advantages, "mask": mask}


def _answers(rng) -> dict:
    return {"calls": [_batch(rng, 4, 7), _batch(rng, 5, 6)]}


@policy.case("the policy gradient", points=3, adapter="improved", inputs=_answers, crashes=CRASHES)
def policy_gradient(given, got):
    expect_loss("policy_loss(…)", given["calls"], got["losses"], plain, WRONG_PLAIN)


def _ratios(rng) -> dict:
    calls = []
    for batch, clip in zip(_answers(rng)["calls"], rng.permutation([0.1, 0.3]), strict=True):
        N, T = batch["mask"].shape
        batch["mask"][:2] = True  # with every kind of ratio, for better and for worse
        batch["advantages"][:2] = rng.permutation([1.5, -0.7])
        steps = [0.6, -0.6, 0.05, -0.05, 0.9, -1.6, 0.02]
        moved = np.array([rng.permutation(steps[:T]) for _ in range(N)])
        calls.append(batch | {"old_logp": batch["logp"] - moved, "clip": float(clip)})
    return {"calls": calls}


@policy.case("PPO's clip", points=4, adapter="clipped", inputs=_ratios, crashes=CRASHES)
def clip_of_the_ratio(given, got):
    expect_loss("clipped_loss(…)", given["calls"], got["losses"], clipped, WRONG_CLIPPED)


def _first(rng) -> dict:
    batches = _answers(rng)["calls"]
    return {"calls": [b | {"old_logp": b["logp"].copy(), "clip": 0.2} for b in batches]}


policy.case(
    "the first update, where all ratios are 1", adapter="clipped", inputs=_first, crashes=CRASHES
)(clip_of_the_ratio)
