"""What 8.3 asks, and what comes of wrong losses and of rewards that are read elsewhere."""

from functools import partial

import numpy as np


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
    elif kind == "at 0":
        each, slope = np.maximum(0, -d), -1.0 * (d < 0)
    elif kind == "strengths":
        each = -np.log(chosen / (chosen + rejected))
        away = 1 / (chosen + rejected) / N
        return {"loss": each.mean(), "chosen": away - 1 / chosen / N, "rejected": away}
    elif kind == "alone":
        each = np.logaddexp(0, -chosen) + np.logaddexp(0, rejected)
        a, b = -_sigmoid(-chosen) / N, _sigmoid(rejected) / N
        return {"loss": each.mean(), "chosen": a, "rejected": b}
    elif kind in CORNERS:
        slope = np.where(d == 0, CORNERS[kind], slope)
    elif kind == "both branches":  # of `where`, one of which is 0 · ∞
        slope = np.where(d < -700, np.nan, slope)
    elif kind == "log2":
        each, slope = each / np.log(2), slope / np.log(2)
    elif kind == "mean first":
        each, slope = np.full(N, np.logaddexp(0, -d.mean())), np.full(N, _sigmoid(d.mean()) - 1)
    elif kind == "all pairs":
        every = chosen[:, None] - rejected
        g = _sigmoid(every) - 1
        loss = np.logaddexp(0, -every).mean()
        return {"loss": loss, "chosen": g.sum(1) / N**2, "rejected": -g.sum(0) / N**2}
    share = {"sum": 1, "twice N": 1 / (2 * N), "nobody": 0}.get(kind, 1 / N)
    slope = slope * share * (-1 if kind == "turned" else 1)
    rejected_slope = 0 * slope if kind == "one side" else -slope
    chosen_slope = 0 * slope if kind == "other side" else slope
    share = 1 / N if kind == "nobody" else share
    return {"loss": each.sum() * share, "chosen": chosen_slope, "rejected": rejected_slope}


CORNERS = {"clamp": -1.0, "relu": 0.0}  # what autograd takes for the slope at d = 0
CORNER = (
    "Where d is 0, the slope is −1/2: `abs`, `relu` and `clamp` have a corner there, and autograd "
    "takes one side of it. `F.logsigmoid` has none."
)
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
    "at 0": "A hinge at 0: it asks nothing of a pair in the right order, and −log σ(d) is above 0 "
    "for every d.",
    "strengths": "chosen / (chosen + rejected) is for strengths that are above 0, and rewards are "
    "their logarithms: take σ(d).",
    "alone": "Each reward is compared with 0: only the difference of a pair counts.",
    "clamp": CORNER,
    "relu": CORNER,
    "both branches": "The gradient is NaN: autograd goes through both branches of `torch.where`, "
    "and 0 · ∞ is NaN. `F.logsigmoid` has no branches.",
    "log2": "The logarithm has the base 2: the natural one is asked for.",
    "mean first": "The mean was taken of the differences, before −log σ: each pair has a loss.",
    "all pairs": "Each chosen answer is compared with every rejected one: `keepdim` or `[:, None]` "
    "made (N, N) of the pairs.",
    "sum": "The sum over the pairs: the mean is asked for.",
    "twice N": "Divided by 2N: there are N pairs.",
    "nobody": "No gradient reaches the rewards: the loss stands in a tensor that was made anew.",
    "one side": "No gradient reaches the rejected rewards: both are learnt.",
    "other side": "No gradient reaches the chosen rewards: both are learnt.",
}
WRONG_LOSSES = [(partial(loss_of, kind=kind), hint) for kind, hint in KINDS.items()]


def held_back(calls, losses) -> str | None:
    """Return a hint where only a pair's loss of 1000 came wrong, and everything else right."""
    (call, *more), (came, *_) = calls, losses
    d = call["chosen"] - call["rejected"]
    if more or not (d < -900).any() or not isinstance(came["loss"], float | np.ndarray):
        return None
    if np.isnan(came["loss"]):
        return "NaN may come of ∞ / ∞: e¹⁰⁰⁰ is ∞ here, so no reward goes into `exp` by itself."
    its = float(came["loss"]) * len(d) - np.logaddexp(0, -d[d > -900]).sum()
    if 1 < its < 999:
        return (
            f"For d = −1000 the loss is {its:.4g} and not 1000: d or σ(d) was kept from its end, "
            "by `clamp` or a small number that is added, or by `F.binary_cross_entropy`."
        )
    return None


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
    (
        lambda rewards, lengths: last(rewards, lengths).mean(),
        "The mean of the rows' last rewards: each row has its own.",
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
