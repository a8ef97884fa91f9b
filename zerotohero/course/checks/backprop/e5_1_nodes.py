"""5.1 · Every node backwards: the chain rule on tensors, one step at a time, with shapes as
the guide.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import numpy as np

from zerotohero.course.checks.backprop.shared import BY_HAND, near, one_hot, unlike
from zerotohero.course.exercise import Exercise, Wrong, array
from zerotohero.course.to_look_at import AUTOGRAD

FORWARD = """
| `c.` | made by | shape |
| --- | --- | --- |
| `emb` | `wte[X]` | (B, T, C) |
| `x` | `emb.view(B, T * C)` | (B, T · C) |
| `pre` | `x @ W1 + b1` | (B, H) |
| `mean` | `pre.sum(0) / B` | (H,) |
| `diff` | `pre - mean` | (B, H) |
| `square` | `diff ** 2` | (B, H) |
| `var` | `square.sum(0) / B` | (H,) |
| `inv` | `(var + eps) ** -0.5` | (H,) |
| `normed` | `diff * inv` | (B, H) |
| `act` | `normed * gamma + beta` | (B, H) |
| `h` | `act.tanh()` | (B, H) |
| `logits` | `h @ W2 + b2` | (B, V) |
| `top` | `logits.amax(1, keepdim=True)` | (B, 1) |
| `shifted` | `logits - top` | (B, V) |
| `counts` | `shifted.exp()` | (B, V) |
| `total` | `counts.sum(1, keepdim=True)` | (B, 1) |
| `share` | `total ** -1` | (B, 1) |
| `probs` | `counts * share` | (B, V) |
| `logprobs` | `probs.log()` | (B, V) |
| the loss | `-logprobs[range(B), Y].mean()` | |
"""


nodes = Exercise(
    number="5.1",
    title="Every node backwards",
    difficulty=4,
    minutes=90,
    practises="the chain rule on tensors, one step at a time, with shapes as the guide",
    answers=("all_gradients",),
    without=("autograd",),
    look_for=AUTOGRAD,
    summary=(
        "Write the gradient of the loss by every value in the lecture's network, one line each. "
        "The check judges each line by itself, so that you can go step by step."
    ),
    statement=f"""
`all_gradients(c, d) -> None`

`c` holds every value of one forward pass, `d` is empty. For each value `c.name`, put the gradient
of the loss by it into `d.name`, which has the same shape. Begin at the loss, with `d.logprobs`, and
go backwards to `d.wte`. Beside the values below, `c` has the parameters `wte` (V, C), `W1`
(T · C, H), `b1` (H,), `gamma` (H,), `beta` (H,), `W2` (H, V), `b2` (V,), whose gradients are wanted
too, and `X` (B, T), `Y` (B,) and the number `eps`. All floats are float64.
{FORWARD}
Change nothing in `c`. Write your lines above the `raise`, run the check after each, and take the
`raise` out at the end. What isn't there yet is "yours to write"; what is there must be right to
1e-8. If a line is right but builds on a wrong earlier one, the check says so.

```python
# for B = 2, V = 3 and Y = [2, 0]
d.logprobs      # tensor([[ 0.0, 0.0, -0.5], [-0.5, 0.0,  0.0]])
```
""",
    hints=(
        "One question a line: if this number grows a little, which numbers made from it grow, and "
        "by how much? Where several are made from it, their shares add up.",
        "What was broadcast forwards is summed backwards, what was summed is broadcast. A value "
        "used twice has a sum of two terms: `counts`, `logits`, `diff` and `pre`. For a product of "
        "matrices, only one arrangement with a transpose has the right shape.",
        "`d.logprobs = torch.zeros_like(c.logprobs)`, then −1/B at `[range(B), Y]`. "
        "`d.probs = d.logprobs / c.probs`; `d.share = (d.probs * c.counts).sum(1, keepdim=True)`; "
        "`d.total = -d.share * c.share**2`; `d.counts = d.probs * c.share + d.total`. The rest is "
        "of the same kinds; `d.wte` adds up by `index_add_` or `index_put_(…, accumulate=True)`.",
    ),
)


@dataclass(frozen=True)
class Node:
    """How the gradient of one value follows from those of the values made from it (`after`)."""

    after: tuple[str, ...]
    rule: Callable[[SimpleNamespace, SimpleNamespace], np.ndarray]
    mistakes: Callable[[SimpleNamespace, SimpleNamespace], list[tuple[np.ndarray, str]]]


NODES: dict[str, Node] = {}


def _node(name: str, *after: str):
    """Add a node: `f(c, d)` returns its gradient and a function that lists likely mistakes."""

    def add(f):
        NODES[name] = Node(after, lambda c, d: f(c, d)[0], lambda c, d: f(c, d)[1]())

    return add


def _sums(name: str, full: np.ndarray, axis: int, keep: bool, why: str) -> list:
    """Return what goes wrong where `full` must be summed over an axis."""
    right, other = f"d.{name}: sum over axis {axis}", 1 - axis
    wrong_axis = f"{right}, not {other}: {why}"
    return [
        (full, f"d.{name}: the sum is missing. {why} Sum over axis {axis}."),
        (full.sum(other), wrong_axis),
        (full.sum(other, keepdims=True), wrong_axis),
        (
            full.mean(axis, keepdims=keep),
            f"{right} instead of taking the mean: each use adds its share in full. The loss's 1/B "
            "is in there since d.logprobs.",
        ),
        (
            full.sum(axis, keepdims=not keep),
            f"{right}, "
            + ("with keepdim=True" if keep else "without keepdim")
            + f": d.{name} has the shape of c.{name}.",
        ),
    ]


@_node("logprobs")
def rule_of_logprobs(c, d):
    B, V = c.logprobs.shape
    picked = one_hot(c.Y, V)
    return -picked / B, lambda: [
        (picked / B, "d.logprobs has its sign turned: the loss is *minus* the mean."),
        (-picked, "d.logprobs lacks the mean's 1/B."),
        (-picked / (B * V), "d.logprobs: the mean is over the B numbers picked, not over all."),
        (
            np.full((B, V), -1 / B),
            "d.logprobs: only the number picked in each row has a share in the loss; the others "
            "get 0.",
        ),
        (
            -(picked.max(0) * np.ones((B, 1))) / B,
            "d.logprobs: `[:, Y]` takes whole columns; `[range(B), Y]` takes one number a row.",
        ),
    ]


@_node("probs", "logprobs")
def rule_of_probs(c, d):
    return d.logprobs / c.probs, lambda: [
        (d.logprobs * c.probs, "d.probs: the slope of log(p) is 1/p, so divide by c.probs."),
        (
            1 / c.probs,
            "d.probs: 1/p is the slope of this step alone; multiply by d.logprobs, what came from "
            "behind it.",
        ),
    ]


@_node("share", "probs")
def rule_of_share(c, d):
    why = "Each share was broadcast over its row, so its row's gradients add up."
    return (d.probs * c.counts).sum(1, keepdims=True), lambda: [
        *_sums("share", d.probs * c.counts, 1, True, why),
        (
            d.probs.sum(1, keepdims=True),
            "d.share: in `counts * share`, the slope by share is c.counts: multiply before you "
            "sum.",
        ),
    ]


@_node("total", "share")
def rule_of_total(c, d):
    return -d.share * c.share**2, lambda: [
        (d.share * c.share**2, "d.total: the slope of 1/n is *minus* 1/n²."),
        (-d.share * c.share, "d.total: the slope of 1/n is −1/n², with the square."),
        (-d.share * c.total**2, "d.total: the slope of n⁻¹ is −n⁻²; you multiplied by n²."),
        (-d.share, "d.total: the slope of 1/n is −1/n²; only its sign is there."),
    ]


@_node("counts", "probs", "total")
def rule_of_counts(c, d):
    both = d.probs * c.share + d.total
    return both, lambda: [
        (
            d.probs * c.share,
            "d.counts: counts are used twice, in probs and in total; the branch through total is "
            "missing.",
        ),
        (
            d.total + 0 * both,
            "d.counts: counts are used twice, in probs and in total; the branch through probs is "
            "missing.",
        ),
        (
            d.total,
            "d.counts: counts are used twice, in probs and in total; the branch through probs is "
            "missing.",
        ),
        (
            d.probs * c.share + d.total / both.shape[1],
            "d.counts: a sum gives each of its terms the whole of d.total, not a part of it.",
        ),
        (
            d.probs * c.share * d.total,
            "d.counts: the shares of the two uses are added, not multiplied.",
        ),
    ]


@_node("shifted", "counts")
def rule_of_shifted(c, d):
    return d.counts * c.counts, lambda: [
        (d.counts, "d.shifted: the slope of exp is exp itself, c.counts; it is missing."),
        (
            d.counts * c.shifted,
            "d.shifted: the slope of exp(s) is exp(s), which is c.counts, not s.",
        ),
    ]


@_node("top", "shifted")
def rule_of_top(c, d):
    why = "Each maximum was broadcast over its row, so its row's gradients add up."
    return -d.shifted.sum(1, keepdims=True), lambda: [
        *_sums("top", -d.shifted, 1, True, why),
        (d.shifted, f"d.top: the sum is missing. {why} Sum over axis 1, and mind the minus."),
    ]


@_node("logits", "shifted", "top")
def rule_of_logits(c, d):
    picked = one_hot(c.logits.argmax(1), c.logits.shape[1])
    return d.shifted + picked * d.top, lambda: [
        (
            picked * d.top,
            "d.logits: logits are used twice, in shifted and in top; the branch through shifted is "
            "missing.",
        ),
        (d.shifted - picked, "d.logits: the maximum's gradient is d.top at its place, not 1."),
    ]


@_node("h", "logits")
def rule_of_h(c, d):
    return d.logits @ c.W2.T, lambda: [
        (
            (d.logits @ c.W2.T).T,
            "d.h is transposed: d.logits (B, V) times W2 transposed (V, H) is (B, H).",
        ),
    ]


@_node("W2", "logits")
def rule_of_W2(c, d):
    return c.h.T @ d.logits, lambda: [
        (
            d.logits.T @ c.h,
            "d.W2 is transposed: c.h transposed (H, B) times d.logits (B, V) is (H, V), the shape "
            "of W2.",
        ),
        (
            c.h.T @ d.logits / len(c.h),
            "d.W2 is divided by B once more; the loss's 1/B is in there since d.logprobs.",
        ),
    ]


@_node("b2", "logits")
def rule_of_b2(c, d):
    return d.logits.sum(0), lambda: _sums(
        "b2", d.logits, 0, False, "The bias was broadcast over the batch."
    )


@_node("act", "h")
def rule_of_act(c, d):
    return d.h * (1 - c.h**2), lambda: [
        (
            d.h * (1 - c.act**2),
            "d.act: the slope of tanh is 1 − tanh², and tanh(act) is c.h; you squared its input.",
        ),
        (
            d.h * (1 - np.tanh(c.h) ** 2),
            "d.act: c.h has been through tanh already; the slope is 1 − c.h², without another "
            "tanh.",
        ),
        (d.h * c.h * (1 - c.h), "d.act: h (1 − h) is the slope of the sigmoid; tanh's is 1 − h²."),
        (d.h * (1 - c.h), "d.act: the slope of tanh is 1 − h², with the square."),
        (1 - c.h**2, "d.act: 1 − h² is the slope of this step alone; multiply by d.h."),
    ]


@_node("normed", "act")
def rule_of_normed(c, d):
    return d.act * c.gamma, lambda: [
        (d.act, "d.normed: normed was multiplied by gamma on its way; the factor is missing."),
        (d.act / c.gamma, "d.normed: the slope of normed · gamma is gamma; multiply by it."),
    ]


@_node("gamma", "act")
def rule_of_gamma(c, d):
    return (d.act * c.normed).sum(0), lambda: [
        *_sums("gamma", d.act * c.normed, 0, False, "Gamma was broadcast over the batch."),
        (d.act.sum(0), "d.gamma: the slope of normed · gamma by gamma is normed; this is beta's."),
        ((d.act * c.act).sum(0), "d.gamma: gamma multiplies c.normed, not c.act."),
        ((d.act * c.diff).sum(0), "d.gamma: gamma multiplies c.normed, not c.diff."),
    ]


@_node("beta", "act")
def rule_of_beta(c, d):
    return d.act.sum(0), lambda: [
        *_sums("beta", d.act, 0, False, "Beta was broadcast over the batch."),
        ((d.act * c.normed).sum(0), "d.beta: beta is added, so its slope is 1; this is gamma's."),
    ]


@_node("inv", "normed")
def rule_of_inv(c, d):
    why = "Inv was broadcast over the batch."
    return (d.normed * c.diff).sum(0), lambda: [
        *_sums("inv", d.normed * c.diff, 0, False, why),
        (
            d.normed.sum(0),
            "d.inv: in `diff * inv`, the slope by inv is c.diff: multiply before you sum.",
        ),
        ((d.normed * c.normed).sum(0), "d.inv: inv multiplies c.diff, not c.normed."),
    ]


@_node("var", "inv")
def rule_of_var(c, d):
    return -0.5 * c.inv**3 * d.inv, lambda: [
        (
            0.5 * c.inv**3 * d.inv,
            "d.var: a greater variance makes inv smaller; the minus of the exponent −½ is missing.",
        ),
        (-(c.inv**3) * d.inv, "d.var: the ½ of the exponent −½ is missing."),
        (
            -0.5 * c.var**-1.5 * d.inv,
            "d.var: it is var + eps that is raised to the power; eps is missing.",
        ),
        (-0.5 * (c.var + 1e-5) ** -1.5 * d.inv, "d.var: eps is c.eps, not the lecture's 1e-5."),
        (-0.5 * c.inv * d.inv, "d.var: the exponent goes down by one, from −½ to −1½."),
        (
            -0.5 * (c.var + c.eps) ** 0.5 * d.inv,
            "d.var: the exponent goes down by one, from −½ to −1½; yours went up.",
        ),
    ]


@_node("square", "var")
def rule_of_square(c, d):
    B, H = c.square.shape
    wide = np.ones((B, 1)) * d.var
    return wide / B, lambda: [
        (wide, "d.square: var is the sum divided by B, and so is its slope: 1/B is missing."),
        (wide / (B - 1), "d.square: c.var divides by B, not by B − 1 (no Bessel correction here)."),
        (wide / H, "d.square: the mean is over the batch: divide by B, not by H."),
        (
            d.var / B,
            "d.square: what was summed forwards is broadcast backwards; d.square has a row for "
            "each of the B examples.",
        ),
        (
            d.var,
            "d.square: what was summed forwards is broadcast backwards; d.square has a row for "
            "each of the B examples.",
        ),
    ]


@_node("diff", "normed", "square")
def rule_of_diff(c, d):
    first, second = d.normed * c.inv, 2 * c.diff * d.square
    mistakes = [
        (
            first,
            "d.diff: diff is used twice, in normed and in square; the branch through square is "
            "missing.",
        ),
        (
            second,
            "d.diff: diff is used twice, in normed and in square; the branch through normed is "
            "missing.",
        ),
        (first + second / 2, "d.diff: the slope of diff² is 2 · diff; the 2 is missing."),
        (first + 2 * d.square, "d.diff: the slope of diff² is 2 · diff; diff itself is missing."),
    ]
    if hasattr(d, "pre"):
        mistakes.append(
            (
                d.pre,
                "d.diff and d.pre are one and the same tensor, and `+=` on the one changed both: "
                "make a new one, `d.pre = d.diff + …`.",
            )
        )
    return first + second, lambda: mistakes


@_node("mean", "diff")
def rule_of_mean(c, d):
    why = "The mean was broadcast over the batch."
    return -d.diff.sum(0), lambda: [
        *_sums("mean", -d.diff, 0, False, why),
        (d.diff.sum(0), "d.mean: the mean is *subtracted*; the minus is missing."),
        (d.diff, f"d.mean: the sum is missing. {why} Sum over axis 0, and mind the minus."),
    ]


@_node("pre", "diff", "mean")
def rule_of_pre(c, d):
    B = len(c.pre)
    return d.diff + d.mean / B, lambda: [
        (
            d.diff,
            "d.pre: pre is used twice, in diff and in mean; the branch through mean is missing.",
        ),
        (
            np.ones((B, 1)) * d.mean / B,
            "d.pre: pre is used twice, in diff and in mean; the branch through diff is missing.",
        ),
        (
            d.diff + d.mean,
            "d.pre: the mean is the sum divided by B, and so is its slope: 1/B is missing.",
        ),
        (d.diff - d.mean / B, "d.pre: the minus is in d.mean already; add the two branches."),
    ]


@_node("x", "pre")
def rule_of_x(c, d):
    return d.pre @ c.W1.T, lambda: [
        (
            (d.pre @ c.W1.T).T,
            "d.x is transposed: d.pre (B, H) times W1 transposed (H, T · C) is (B, T · C).",
        ),
    ]


@_node("W1", "pre")
def rule_of_W1(c, d):
    return c.x.T @ d.pre, lambda: [
        (
            d.pre.T @ c.x,
            "d.W1 is transposed: c.x transposed (T · C, B) times d.pre (B, H) is (T · C, H), the "
            "shape of W1.",
        ),
        (
            c.x.T @ d.pre / len(c.x),
            "d.W1 is divided by B once more; the loss's 1/B is in there since d.logprobs.",
        ),
    ]


@_node("b1", "pre")
def rule_of_b1(c, d):
    return d.pre.sum(0), lambda: _sums(
        "b1", d.pre, 0, False, "The bias was broadcast over the batch."
    )


@_node("emb", "x")
def rule_of_emb(c, d):
    B, T, C = c.emb.shape
    return d.x.reshape(B, T, C), lambda: [
        (d.x, "d.emb: `view` only regroups the numbers; regroup them back to (B, T, C)."),
        (
            d.x.reshape(B, C, T).transpose(0, 2, 1),
            "d.emb: the numbers are in the wrong order; `view(B, T * C)` is undone by a view to "
            "(B, T, C), with no transposition.",
        ),
    ]


@_node("wte", "emb")
def rule_of_wte(c, d):
    table, last, uses = np.zeros_like(c.wte), np.zeros_like(c.wte), np.zeros((len(c.wte), 1))
    np.add.at(table, c.X, d.emb)
    np.add.at(uses, c.X.ravel(), 1)
    last[c.X] = d.emb
    return table, lambda: [
        (
            last,
            "d.wte: a token that occurs more than once gets only its last gradient, since `[X]` "
            "with `=` or `+=` writes over the others: add up with `index_add_`, or "
            "`index_put_((c.X,), d.emb, accumulate=True)`.",
        ),
        (
            table / np.maximum(uses, 1),
            "d.wte: each use of a row adds its share; don't take the mean over them.",
        ),
    ]


# Their true gradient is 0, as that of a shift that the next step takes out again. A zero that
# comes from nowhere is worth nothing, so these count only where what they follow from is right.
ZERO = ("top", "b1")


def _network(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One forward pass; all sizes differ, so that what is transposed shows."""
    B, T, C, H, V = 8, 3, 5, 11, 13
    wte, W1, b1 = rng.normal(size=(V, C)), rng.normal(size=(T * C, H)) / 4, rng.normal(size=H)
    gamma, beta = rng.uniform(0.5, 1.5, H), rng.normal(size=H) / 4
    W2, b2 = rng.normal(size=(H, V)) / 3, rng.normal(size=V) / 3
    X, Y, eps = rng.integers(0, V, (B, T)), rng.integers(0, V, B), 1e-3
    emb = wte[X]
    x = emb.reshape(B, T * C)
    pre = x @ W1 + b1
    mean = pre.sum(0) / B
    diff = pre - mean
    square = diff**2
    var = square.sum(0) / B
    inv = (var + eps) ** -0.5
    normed = diff * inv
    act = normed * gamma + beta
    h = np.tanh(act)
    logits = h @ W2 + b2
    top = logits.max(1, keepdims=True)
    shifted = logits - top
    counts = np.exp(shifted)
    total = counts.sum(1, keepdims=True)
    share = total**-1
    probs = counts * share
    logprobs = np.log(probs)
    values = dict(locals())
    return {k: np.asarray(v) for k, v in values.items() if k not in ("rng", *"BTCHV")}


def _asked(rng: np.random.Generator, name: str) -> dict:
    """The inputs of one node's case. All floats travel as one array, which is several times as
    fast as an array each."""
    values = _network(rng)
    X, Y = values.pop("X"), values.pop("Y")
    return {
        "numbers": np.concatenate([v.ravel() for v in values.values()]),
        "shapes": {k: list(v.shape) for k, v in values.items()},
        "X": X,
        "Y": Y,
        "nodes": list(NODES),
        "node": name,
        "wanted": [name, *NODES[name].after, *(["pre"] if name == "diff" else [])],
    }


def _values(given: dict) -> SimpleNamespace:
    c, start = SimpleNamespace(X=given["X"], Y=given["Y"]), 0
    for name, shape in given["shapes"].items():
        stop = start + int(np.prod(shape))
        setattr(c, name, given["numbers"][start:stop].reshape(shape))
        start = stop
    return c


def gradient_of_node(name: str, given: dict, got: dict) -> None:
    """Judge one node, by the answer's own gradients of the nodes after it."""
    c, node, mine = _values(given), NODES[name], got["d"]
    true = SimpleNamespace()
    for each, other in NODES.items():
        setattr(true, each, other.rule(c, true))
        if each == name:  # what it follows from stands before it
            break
    want = getattr(true, name)
    if mine[name] is None:
        raise Wrong(f"d.{name} is None", f"d.{name} is None: which operation gave nothing back?")
    value = array(f"d.{name}", mine[name])
    upstream = SimpleNamespace(**vars(true))
    if isinstance(mine.get("pre"), np.ndarray):
        upstream.pre = mine["pre"]
    off = []  # the gradients it follows from that aren't right
    for after in node.after:
        theirs = mine.get(after)
        if isinstance(theirs, np.ndarray) and theirs.shape == getattr(true, after).shape:
            setattr(upstream, after, theirs)
            if not near(theirs, getattr(true, after)):
                off.append(after)
        elif theirs is not None or name in ZERO:
            off.append(after)
    right = near(value, want)
    if right and not (name in ZERO and off):
        return
    first = " and ".join(f"d.{after}" for after in off)
    if off and right:
        raise Wrong(f"counts once {first} is right, which it follows from")
    if off and near(value, node.rule(c, upstream)):
        yet = "which isn't right yet" if len(off) == 1 else "not all of which are right yet"
        raise Wrong(f"right by your {first}, {yet}")
    for wrong, hint in node.mistakes(c, upstream):
        if near(value, wrong):
            raise Wrong(unlike(name, value, want), hint)
    if got["changed"]:
        names = ", ".join(f"c.{n}" for n in got["changed"])
        raise Wrong(
            unlike(name, value, want),
            f"Your code has changed {names} in place, and what comes later reads it: work on a "
            "copy, made by `.clone()`.",
        )
    if got["same"]:
        other = got["same"][0]
        hint = (
            f"d.{name} and d.{other} share their numbers, so a later line changed d.{name} in "
            f"place: make a new tensor for d.{other}."
        )
    elif off:
        hint = f"It follows from {first}: put that right first."
    elif near(value, want.T) and value.ndim == 2:
        hint = f"d.{name} is transposed: it has the shape of c.{name}."
    elif near(value, -want):
        hint = f"d.{name} has its sign turned."
    elif value.shape != want.shape:
        hint = f"d.{name} must have the shape of c.{name}, {want.shape}."
    else:
        hint = None
    raise Wrong(unlike(name, value, want), hint)


for _name in NODES:
    nodes.case(
        f"d.{_name}",
        adapter="node",
        inputs=lambda rng, name=_name: _asked(rng, name),
        crashes={
            **BY_HAND,
            "shapes cannot be multiplied|size mismatch": "The shapes don't fit: write down the "
            "shape you want and those you have; one arrangement with a transpose gives it.",
            "must match the size": "The shapes don't broadcast: say for both what each axis is.",
            "no attribute": "It was used before it was put there: does its line stand above, and "
            "is it spelled as in the table?",
        },
    )(partial(gradient_of_node, _name))
