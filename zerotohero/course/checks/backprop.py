"""The exercises of lecture 05: every gradient by hand, then fused, then a training loop of them.

The reference answers are plain NumPy in float64. No answer can call autograd: see `_by_hand` in
the adapters. Exercise 5.1 judges each node by the gradients that the answer itself has for the
nodes after it, so that one mistake is named once, where it was made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from zerotohero.course.checks.names import STOI, V, some_names
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import Exercise, Mistake, Wrong, array, expect, expect_that

TOL = 1e-8  # absolute and relative, in float64
BY_HAND = {
    "autograd is switched off": "The check runs your code without autograd: no `backward()`, no "
    "`torch.autograd.grad`, no `torch.func`. Derive the formula, and let autograd confirm it in "
    "a cell of your own.",
    "zerotohero": "This one is written with PyTorch alone: the library stays outside.",
}


def _one_hot(targets: np.ndarray, width: int) -> np.ndarray:
    return np.eye(width)[targets]


# --- 5.1 ----------------------------------------------------------------------------------------

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
    """What goes wrong where `full` is to be summed over an axis."""
    right, other = f"d.{name}: sum over axis {axis}", 1 - axis
    wrong_axis = f"{right}, not {other}: {why}"
    return [
        (full, f"d.{name}: the sum is missing. {why} Sum over axis {axis}."),
        (full.sum(other), wrong_axis),
        (full.sum(other, keepdims=True), wrong_axis),
        (full.mean(axis, keepdims=keep), f"{right} instead of taking the mean: each use adds its "
         "share in full. The loss's 1/B is in there since d.logprobs."),
        (full.sum(axis, keepdims=not keep), f"{right}, " + ("with keepdim=True" if keep else
         "without keepdim") + f": d.{name} has the shape of c.{name}."),
    ]  # fmt: skip


@_node("logprobs")
def _(c, d):
    B, V = c.logprobs.shape
    picked = _one_hot(c.Y, V)
    return -picked / B, lambda: [
        (picked / B, "d.logprobs has its sign turned: the loss is *minus* the mean."),
        (-picked, "d.logprobs lacks the mean's 1/B."),
        (-picked / (B * V), "d.logprobs: the mean is over the B numbers picked, not over all."),
        (np.full((B, V), -1 / B), "d.logprobs: only the number picked in each row has a share in "
         "the loss; the others get 0."),
        (-(picked.max(0) * np.ones((B, 1))) / B, "d.logprobs: `[:, Y]` takes whole columns; "
         "`[range(B), Y]` takes one number a row."),
    ]  # fmt: skip


@_node("probs", "logprobs")
def _(c, d):
    return d.logprobs / c.probs, lambda: [
        (d.logprobs * c.probs, "d.probs: the slope of log(p) is 1/p, so divide by c.probs."),
        (1 / c.probs, "d.probs: 1/p is the slope of this step alone; multiply by d.logprobs, what "
         "came from behind it."),
    ]  # fmt: skip


@_node("share", "probs")
def _(c, d):
    why = "Each share was broadcast over its row, so its row's gradients add up."
    return (d.probs * c.counts).sum(1, keepdims=True), lambda: [
        *_sums("share", d.probs * c.counts, 1, True, why),
        (d.probs.sum(1, keepdims=True), "d.share: in `counts * share`, the slope by share is "
         "c.counts: multiply before you sum."),
    ]  # fmt: skip


@_node("total", "share")
def _(c, d):
    return -d.share * c.share**2, lambda: [
        (d.share * c.share**2, "d.total: the slope of 1/n is *minus* 1/n²."),
        (-d.share * c.share, "d.total: the slope of 1/n is −1/n², with the square."),
        (-d.share * c.total**2, "d.total: the slope of n⁻¹ is −n⁻²; you multiplied by n²."),
        (-d.share, "d.total: the slope of 1/n is −1/n²; only its sign is there."),
    ]


@_node("counts", "probs", "total")
def _(c, d):
    both = d.probs * c.share + d.total
    return both, lambda: [
        (d.probs * c.share, "d.counts: counts are used twice, in probs and in total; the branch "
         "through total is missing."),
        (d.total + 0 * both, "d.counts: counts are used twice, in probs and in total; the branch "
         "through probs is missing."),
        (d.total, "d.counts: counts are used twice, in probs and in total; the branch "
         "through probs is missing."),
        (d.probs * c.share + d.total / both.shape[1], "d.counts: a sum gives each of its terms the "
         "whole of d.total, not a part of it."),
        (d.probs * c.share * d.total, "d.counts: the shares of the two uses are added, not "
         "multiplied."),
    ]  # fmt: skip


@_node("shifted", "counts")
def _(c, d):
    return d.counts * c.counts, lambda: [
        (d.counts, "d.shifted: the slope of exp is exp itself, c.counts; it is missing."),
        (d.counts * c.shifted, "d.shifted: the slope of exp(s) is exp(s), which is c.counts, "
         "not s."),
    ]  # fmt: skip


@_node("top", "shifted")
def _(c, d):
    why = "Each maximum was broadcast over its row, so its row's gradients add up."
    return -d.shifted.sum(1, keepdims=True), lambda: [
        *_sums("top", -d.shifted, 1, True, why),
        (d.shifted, f"d.top: the sum is missing. {why} Sum over axis 1, and mind the minus."),
    ]


@_node("logits", "shifted", "top")
def _(c, d):
    picked = _one_hot(c.logits.argmax(1), c.logits.shape[1])
    return d.shifted + picked * d.top, lambda: [
        (picked * d.top, "d.logits: logits are used twice, in shifted and in top; the branch "
         "through shifted is missing."),
        (d.shifted - picked, "d.logits: the maximum's gradient is d.top at its place, not 1."),
    ]  # fmt: skip


@_node("h", "logits")
def _(c, d):
    return d.logits @ c.W2.T, lambda: [
        ((d.logits @ c.W2.T).T, "d.h is transposed: d.logits (B, V) times W2 transposed (V, H) is "
         "(B, H)."),
    ]  # fmt: skip


@_node("W2", "logits")
def _(c, d):
    return c.h.T @ d.logits, lambda: [
        (d.logits.T @ c.h, "d.W2 is transposed: c.h transposed (H, B) times d.logits (B, V) is "
         "(H, V), the shape of W2."),
        (c.h.T @ d.logits / len(c.h), "d.W2 is divided by B once more; the loss's 1/B is in there "
         "since d.logprobs."),
    ]  # fmt: skip


@_node("b2", "logits")
def _(c, d):
    return d.logits.sum(0), lambda: _sums(
        "b2", d.logits, 0, False, "The bias was broadcast over the batch."
    )


@_node("act", "h")
def _(c, d):
    return d.h * (1 - c.h**2), lambda: [
        (d.h * (1 - c.act**2), "d.act: the slope of tanh is 1 − tanh², and tanh(act) is c.h; you "
         "squared its input."),
        (d.h * (1 - np.tanh(c.h) ** 2), "d.act: c.h has been through tanh already; the slope is "
         "1 − c.h², without another tanh."),
        (d.h * c.h * (1 - c.h), "d.act: h (1 − h) is the slope of the sigmoid; tanh's is 1 − h²."),
        (d.h * (1 - c.h), "d.act: the slope of tanh is 1 − h², with the square."),
        (1 - c.h**2, "d.act: 1 − h² is the slope of this step alone; multiply by d.h."),
    ]  # fmt: skip


@_node("normed", "act")
def _(c, d):
    return d.act * c.gamma, lambda: [
        (d.act, "d.normed: normed was multiplied by gamma on its way; the factor is missing."),
        (d.act / c.gamma, "d.normed: the slope of normed · gamma is gamma; multiply by it."),
    ]


@_node("gamma", "act")
def _(c, d):
    return (d.act * c.normed).sum(0), lambda: [
        *_sums("gamma", d.act * c.normed, 0, False, "Gamma was broadcast over the batch."),
        (d.act.sum(0), "d.gamma: the slope of normed · gamma by gamma is normed; this is beta's."),
        ((d.act * c.act).sum(0), "d.gamma: gamma multiplies c.normed, not c.act."),
        ((d.act * c.diff).sum(0), "d.gamma: gamma multiplies c.normed, not c.diff."),
    ]


@_node("beta", "act")
def _(c, d):
    return d.act.sum(0), lambda: [
        *_sums("beta", d.act, 0, False, "Beta was broadcast over the batch."),
        ((d.act * c.normed).sum(0), "d.beta: beta is added, so its slope is 1; this is gamma's."),
    ]


@_node("inv", "normed")
def _(c, d):
    why = "Inv was broadcast over the batch."
    return (d.normed * c.diff).sum(0), lambda: [
        *_sums("inv", d.normed * c.diff, 0, False, why),
        (d.normed.sum(0), "d.inv: in `diff * inv`, the slope by inv is c.diff: multiply before "
         "you sum."),
        ((d.normed * c.normed).sum(0), "d.inv: inv multiplies c.diff, not c.normed."),
    ]  # fmt: skip


@_node("var", "inv")
def _(c, d):
    return -0.5 * c.inv**3 * d.inv, lambda: [
        (0.5 * c.inv**3 * d.inv, "d.var: a greater variance makes inv smaller; the minus of the "
         "exponent −½ is missing."),
        (-(c.inv**3) * d.inv, "d.var: the ½ of the exponent −½ is missing."),
        (-0.5 * c.var**-1.5 * d.inv, "d.var: it is var + eps that is raised to the power; eps is "
         "missing."),
        (-0.5 * (c.var + 1e-5) ** -1.5 * d.inv, "d.var: eps is c.eps, not the lecture's 1e-5."),
        (-0.5 * c.inv * d.inv, "d.var: the exponent goes down by one, from −½ to −1½."),
        (-0.5 * (c.var + c.eps) ** 0.5 * d.inv, "d.var: the exponent goes down by one, from −½ "
         "to −1½; yours went up."),
    ]  # fmt: skip


@_node("square", "var")
def _(c, d):
    B, H = c.square.shape
    wide = np.ones((B, 1)) * d.var
    return wide / B, lambda: [
        (wide, "d.square: var is the sum divided by B, and so is its slope: 1/B is missing."),
        (wide / (B - 1), "d.square: c.var divides by B, not by B − 1 (no Bessel correction here)."),
        (wide / H, "d.square: the mean is over the batch: divide by B, not by H."),
        (d.var / B, "d.square: what was summed forwards is broadcast backwards; d.square has a row "
         "for each of the B examples."),
        (d.var, "d.square: what was summed forwards is broadcast backwards; d.square has a row "
         "for each of the B examples."),
    ]  # fmt: skip


@_node("diff", "normed", "square")
def _(c, d):
    first, second = d.normed * c.inv, 2 * c.diff * d.square
    mistakes = [
        (first, "d.diff: diff is used twice, in normed and in square; the branch through square "
         "is missing."),
        (second, "d.diff: diff is used twice, in normed and in square; the branch through normed "
         "is missing."),
        (first + second / 2, "d.diff: the slope of diff² is 2 · diff; the 2 is missing."),
        (first + 2 * d.square, "d.diff: the slope of diff² is 2 · diff; diff itself is missing."),
    ]  # fmt: skip
    if hasattr(d, "pre"):
        mistakes.append((d.pre, "d.diff and d.pre are one and the same tensor, and `+=` on the "
                         "one changed both: make a new one, `d.pre = d.diff + …`."))  # fmt: skip
    return first + second, lambda: mistakes


@_node("mean", "diff")
def _(c, d):
    why = "The mean was broadcast over the batch."
    return -d.diff.sum(0), lambda: [
        *_sums("mean", -d.diff, 0, False, why),
        (d.diff.sum(0), "d.mean: the mean is *subtracted*; the minus is missing."),
        (d.diff, f"d.mean: the sum is missing. {why} Sum over axis 0, and mind the minus."),
    ]


@_node("pre", "diff", "mean")
def _(c, d):
    B = len(c.pre)
    return d.diff + d.mean / B, lambda: [
        (d.diff, "d.pre: pre is used twice, in diff and in mean; the branch through mean is "
         "missing."),
        (np.ones((B, 1)) * d.mean / B, "d.pre: pre is used twice, in diff and in mean; the branch "
         "through diff is missing."),
        (d.diff + d.mean, "d.pre: the mean is the sum divided by B, and so is its slope: 1/B is "
         "missing."),
        (d.diff - d.mean / B, "d.pre: the minus is in d.mean already; add the two branches."),
    ]  # fmt: skip


@_node("x", "pre")
def _(c, d):
    return d.pre @ c.W1.T, lambda: [
        ((d.pre @ c.W1.T).T, "d.x is transposed: d.pre (B, H) times W1 transposed (H, T · C) is "
         "(B, T · C)."),
    ]  # fmt: skip


@_node("W1", "pre")
def _(c, d):
    return c.x.T @ d.pre, lambda: [
        (d.pre.T @ c.x, "d.W1 is transposed: c.x transposed (T · C, B) times d.pre (B, H) is "
         "(T · C, H), the shape of W1."),
        (c.x.T @ d.pre / len(c.x), "d.W1 is divided by B once more; the loss's 1/B is in there "
         "since d.logprobs."),
    ]  # fmt: skip


@_node("b1", "pre")
def _(c, d):
    return d.pre.sum(0), lambda: _sums(
        "b1", d.pre, 0, False, "The bias was broadcast over the batch."
    )


@_node("emb", "x")
def _(c, d):
    B, T, C = c.emb.shape
    return d.x.reshape(B, T, C), lambda: [
        (d.x, "d.emb: `view` only regroups the numbers; regroup them back to (B, T, C)."),
        (d.x.reshape(B, C, T).transpose(0, 2, 1), "d.emb: the numbers are in the wrong order; "
         "`view(B, T * C)` is undone by a view to (B, T, C), with no transposition."),
    ]  # fmt: skip


@_node("wte", "emb")
def _(c, d):
    table, last, uses = np.zeros_like(c.wte), np.zeros_like(c.wte), np.zeros((len(c.wte), 1))
    np.add.at(table, c.X, d.emb)
    np.add.at(uses, c.X.ravel(), 1)
    last[c.X] = d.emb
    return table, lambda: [
        (last, "d.wte: a token that occurs more than once gets only its last gradient, since `[X]` "
         "with `=` or `+=` writes over the others: add up with `index_add_`, or "
         "`index_put_((c.X,), d.emb, accumulate=True)`."),
        (table / np.maximum(uses, 1), "d.wte: each use of a row adds its share; don't take the "
         "mean over them."),
    ]  # fmt: skip


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


def _near(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.allclose(a, b, rtol=TOL, atol=TOL)


def _verdict(name: str, given: dict, got: dict) -> None:
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
            if not _near(theirs, getattr(true, after)):
                off.append(after)
        elif theirs is not None or name in ZERO:
            off.append(after)
    right = _near(value, want)
    if right and not (name in ZERO and off):
        return
    first = " and ".join(f"d.{after}" for after in off)
    if off and right:
        raise Wrong(f"counts once {first} is right, which it follows from")
    if off and _near(value, node.rule(c, upstream)):
        yet = "which isn't right yet" if len(off) == 1 else "not all of which are right yet"
        raise Wrong(f"right by your {first}, {yet}")
    for wrong, hint in node.mistakes(c, upstream):
        if _near(value, wrong):
            raise Wrong(_unlike(name, value, want), hint)
    if got["changed"]:
        names = ", ".join(f"c.{n}" for n in got["changed"])
        raise Wrong(
            _unlike(name, value, want),
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
    elif _near(value, want.T) and value.ndim == 2:
        hint = f"d.{name} is transposed: it has the shape of c.{name}."
    elif _near(value, -want):
        hint = f"d.{name} has its sign turned."
    elif value.shape != want.shape:
        hint = f"d.{name} must have the shape of c.{name}, {want.shape}."
    else:
        hint = None
    raise Wrong(_unlike(name, value, want), hint)


def _unlike(name: str, value: np.ndarray, want: np.ndarray) -> str:
    try:
        expect(f"d.{name}", value, want, tol=TOL)
    except Wrong as wrong:
        return wrong.message.partition(": ")[2]
    return "right, but not by what it follows from"


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
    )(lambda given, got, name=_name: _verdict(name, given, got))


# --- 5.2 ----------------------------------------------------------------------------------------

cross_entropy = Exercise(
    number="5.2",
    title="Cross-entropy in one expression",
    difficulty=3,
    minutes=25,
    practises="deriving on paper what a chain of steps comes to, and computing it safely",
    answers=("cross_entropy_fused",),
    summary=(
        "Derive the gradient of the mean cross-entropy by the logits in one expression. "
        "Return it with the loss, for logits of any size."
    ),
    statement="""
`cross_entropy_fused(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]`

`logits` (B, V) are floats, `targets` (B,) whole numbers from 0 to V − 1. Return the loss, the mean
over the batch of −log softmax(logits) at the target, and `dlogits` (B, V), its gradient. Both must
hold for logits in the thousands as well, and the arguments must come out unchanged.

```python
loss, dlogits = cross_entropy_fused(
    torch.tensor([[0.0, 0.0], [0.0, math.log(3)]]), torch.tensor([0, 1])
)
loss       # tensor(0.4904)
dlogits    # tensor([[-0.2500,  0.2500], [ 0.1250, -0.1250]])
```
""",
    hints=(
        "The loss of one example is log(Σ exp(logitₖ)) − logit at the target. What is its slope by "
        "one of the logits that isn't the target's? And by the target's?",
        "The slope of log Σ exp is softmax; the target's own term adds −1. Then comes the mean.",
        "`dlogits = torch.softmax(logits, 1)`, a new tensor; `dlogits[range(B), targets] -= 1`; "
        "divide by B. For the loss, `torch.logsumexp(logits, 1)` is safe for large logits.",
    ),
)


def _logits(rng: np.random.Generator, scale: float = 1.5) -> dict:
    B, V = int(rng.integers(5, 8)), int(rng.integers(9, 13))
    return {"logits": rng.normal(0, scale, (B, V)), "targets": rng.integers(0, V, B)}


def _loss_and_force(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each example, and softmax minus one-hot."""
    top = logits.max(1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(1))
    rows = np.arange(len(targets))
    return log_sum - logits[rows, targets], softmax(logits) - _one_hot(targets, logits.shape[1])


@cross_entropy.case("the loss", adapter="cross_entropy", inputs=_logits, crashes=BY_HAND)
def _(given, got):
    logits, targets = given["logits"], given["targets"]
    losses, _ = _loss_and_force(logits, targets)
    expect(
        "the loss",
        got["loss"],
        losses.mean(),
        tol=TOL,
        mistakes=[
            Mistake(losses.sum(), "That is the sum over the batch; the loss is its mean."),
            Mistake(-losses.mean(), "The sign is turned: the loss is *minus* the log-likelihood."),
            Mistake(losses, "That is one loss an example; take their mean."),
            Mistake(losses.sum() / logits.size, "The mean is over the B examples, not over all "
                    "B · V numbers."),
        ],
    )  # fmt: skip


@cross_entropy.case(
    "its gradient", points=2, adapter="cross_entropy", inputs=_logits, crashes=BY_HAND
)
def _(given, got):
    logits, targets = given["logits"], given["targets"]
    B, V = logits.shape
    _, force = _loss_and_force(logits, targets)
    p, hot = softmax(logits), _one_hot(targets, V)
    columns = p - hot.max(0)
    twice = softmax(p) - hot
    expect(
        "dlogits",
        got["dlogits"],
        force / B,
        tol=TOL,
        mistakes=[
            Mistake(force, "The loss is a mean, so its gradient has a 1/B, which is missing."),
            Mistake(-force / B, "The sign is turned: the gradient is softmax − one-hot, so that a "
                    "step against it pulls the target's logit up."),
            Mistake(p / B, "The −1 at the targets is missing."),
            Mistake(columns / B, "`[:, targets]` takes whole columns; `[range(B), targets]` takes "
                    "one number a row."),
            Mistake(columns, "`[:, targets]` takes whole columns; `[range(B), targets]` takes "
                    "one number a row."),
            Mistake((softmax(logits.T).T - hot) / B, "The softmax runs down the columns: its "
                    "numbers must add to 1 in each row, over axis 1."),
            Mistake(force / V, "You divided by V; the mean is over the B examples."),
            Mistake(force / (B * V), "You divided by B · V; the mean is over the B examples."),
            Mistake(p - hot / B, "Softmax is not divided by B, only the one-hot is: divide the "
                    "difference."),
            Mistake(p / B - hot, "The −1 came after the division: subtract it first, then divide "
                    "both by B."),
            Mistake(twice / B, "Softmax was taken twice."),
            Mistake(p * (1 - p) / B, "p (1 − p) is only the slope of a probability by its own "
                    "logit. Each logit moves all probabilities of its row: begin from "
                    "log Σ exp(logitₖ) − logit at the target."),
            Mistake((np.log(p) - hot) / B, "These are log-probabilities: the gradient has the "
                    "probabilities themselves."),
            Mistake(-hot / (B * p), "That is the gradient by the probabilities; go on through "
                    "softmax to the logits."),
        ],
    )  # fmt: skip


@cross_entropy.case(
    "logits in the thousands",
    adapter="cross_entropy",
    inputs=lambda rng: _logits(rng, 3000),
    crashes=BY_HAND,
)
def _(given, got):
    losses, force = _loss_and_force(given["logits"], given["targets"])
    hint = (
        "`exp` of a thousand is infinite, and a quotient of infinities isn't a number; a softmax "
        "that underflows to 0 has an infinite log. Subtract each row's maximum first, and take "
        "the log of the sum, not of the quotient: `torch.logsumexp` does."
    )
    for name in ("loss", "dlogits"):
        value = np.asarray(got[name])
        expect_that(
            value.dtype.kind != "f" or bool(np.isfinite(value).all()),
            f"{name} holds numbers that are infinite or NaN",
            hint,
        )
    expect("the loss", got["loss"], losses.mean(), tol=TOL)
    expect("dlogits", got["dlogits"], force / len(losses), tol=TOL)


UNCHANGED = "Your code changed its arguments in place: work on a new tensor, or on a `.clone()`."


@cross_entropy.case(
    "the arguments stay as they were", adapter="cross_entropy", inputs=_logits, crashes=BY_HAND
)
def _(given, got):
    array("dlogits", got["dlogits"], given["logits"].shape)
    expect_that(got["same"], "the arguments have changed", UNCHANGED)
    _, force = _loss_and_force(given["logits"], given["targets"])
    expect_that(
        _near(got["dlogits"], force / len(force)), "nothing was changed, but dlogits isn't right"
    )


# --- 5.3 and 5.5 --------------------------------------------------------------------------------


def _norm_gradients(dout, x, gamma, eps, axes, *, correction=0, mean=True, var=True,
        eps_in=True, inside=True, count=None, divide=True, scaled=True,
        variance=0):  # fmt: skip
    """dx, dgamma, dbeta of normalising over `axes`; the switches are what learners get wrong."""
    n = count or np.prod([x.shape[a] for a in axes])
    spread = x.var(axes, keepdims=True, ddof=variance)
    inv = (spread + (eps if eps_in else 0)) ** -0.5
    normed = (x - x.mean(axes, keepdims=True)) * inv
    d = dout * gamma if inside and scaled else dout
    part = (1 / n, 1 / (n - correction)) if divide else (1, 1)
    first = d.sum(axes, keepdims=True) * part[0] if mean else 0
    second = normed * (d * normed).sum(axes, keepdims=True) * part[1] if var else 0
    dx = (d - first - second) * inv
    others = tuple(range(x.ndim - 1))
    dx = dx if inside or not scaled else dx * gamma
    return dx, (dout * normed).sum(others), dout.sum(others)


batchnorm = Exercise(
    number="5.3",
    title="BatchNorm in one expression",
    difficulty=4,
    minutes=45,
    practises="a gradient in which every number of a column depends on every other",
    answers=("batchnorm_fused",),
    summary=(
        "Derive the backward pass of BatchNorm in one expression for the input. "
        "Gamma and beta get theirs too, for batches of two axes and of three."
    ),
    statement="""
`batchnorm_fused(dout, x, gamma, eps) -> tuple[Tensor, Tensor, Tensor]`

Forwards, each channel (the last axis) is normalised over all the other axes:
out = gamma · x̂ + beta, x̂ = (x − mean) / √(var + eps), var being the mean of (x − mean)², divided by
n and not by n − 1. `dout` is the gradient of the loss by `out`, shaped like `x`: (B, C) or
(B, T, C); `gamma` is (C,). Return `dx`, shaped like `x`, `dgamma` (C,) and `dbeta` (C,).

```python
dout, x = torch.tensor([[1.0], [0.0], [0.0]]), torch.tensor([[-1.0], [0.0], [1.0]])
batchnorm_fused(dout, x, torch.tensor([1.0]), eps=0.0)
# dx      tensor([[ 0.2041], [-0.4082], [ 0.2041]])
# dgamma  tensor([-1.2247])     dbeta  tensor([1.])
```
""",
    hints=(
        "An x moves its own x̂ directly, and all x̂ of its channel through the mean and through the "
        "variance: three terms. Move all x of a channel by the same amount: what must Σ dx be?",
        "With dx̂ = dout · gamma, the three terms are dx̂, minus its mean, minus x̂ times the mean of "
        "dx̂ · x̂; all of it divided by √(var + eps).",
        "`axes = tuple(range(x.ndim - 1))`; `xhat` from `x.mean(axes)` and "
        "`x.var(axes, correction=0)`; `dbeta = dout.sum(axes)`; `dgamma = (dout * xhat).sum(axes)`;"
        " `dx = gamma / (var + eps).sqrt() * (dout - dbeta / n - xhat * dgamma / n)`.",
    ),
)


def _norm_inputs(rng: np.random.Generator, *sizes: int, spread: float = 1.5) -> dict:
    C = sizes[-1]
    x = rng.normal(rng.normal(size=C), spread, sizes)
    eps = float(rng.uniform(0.01, 0.05))
    return {"dout": rng.normal(size=sizes), "x": x, "gamma": rng.uniform(0.3, 2, C), "eps": eps}


def _expect_gamma_and_beta(given: dict, got: dict) -> None:
    dout, x = given["dout"], given["x"]
    C, others = x.shape[-1], tuple(range(x.ndim - 1))
    axes = given["axes"]
    _, dgamma, dbeta = _norm_gradients(**given)
    normed = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + given["eps"])
    n = dout.size // C
    turned = others if axes != others else (x.ndim - 1,)
    expect(
        "dbeta",
        got["dbeta"],
        dbeta,
        tol=TOL,
        mistakes=[
            Mistake(dout, "Beta was broadcast over every axis but the last: sum over them."),
            Mistake(dbeta / n, "That is the mean for dbeta; each use of beta adds its share in "
                    "full, so sum."),
            Mistake(dgamma, "That is dgamma: the order is dx, dgamma, dbeta."),
            Mistake(dout.sum(-1), "dbeta is summed over the channels; it has a number for each."),
            Mistake(dout.sum(0), "dbeta must be summed over all axes but the last, not over the "
                    "batch alone."),
            Mistake(dout.sum(others, keepdims=True), "dbeta has the shape (C,), without keepdim."),
            Mistake((dout * given["gamma"]).sum(others), "dbeta: beta is added after gamma, so "
                    "gamma has no part in it."),
        ],
    )  # fmt: skip
    expect(
        "dgamma",
        got["dgamma"],
        dgamma,
        tol=TOL,
        mistakes=[
            Mistake((dout * x).sum(others), "Gamma multiplies x̂, not x: dgamma is the sum of "
                    "dout · x̂."),
            Mistake(dout * normed, "Gamma was broadcast over every axis but the last: sum over "
                    "them."),
            Mistake(dgamma / n, "That is the mean for dgamma; each use of gamma adds its share in "
                    "full, so sum."),
            Mistake((dout * normed).sum(0), "dgamma must be summed over all axes but the last, "
                    "not over the batch alone."),
            Mistake((dout * normed).sum(-1), "dgamma is summed over the channels; it has a number "
                    "for each."),
            Mistake(dbeta, "dgamma lacks x̂: it is the sum of dout · x̂, and you have that of dout."),
            Mistake(_norm_gradients(**given, variance=1)[1], "x̂ is made with the variance divided "
                    "by n − 1 (torch's default): pass correction=0."),
            Mistake(_norm_gradients(**given, eps_in=False)[1], "eps is missing under the root "
                    "when you make x̂."),
            Mistake(_norm_gradients(**given | {"axes": turned})[1], "x̂ is normalised over the "
                    "wrong axes: BatchNorm's statistics are over all axes but the last, "
                    "LayerNorm's along the last."),
        ],
    )  # fmt: skip


def _dx_mistakes(given: dict) -> list[Mistake]:
    def dx(**switches) -> np.ndarray:
        return _norm_gradients(**given, **switches)[0]

    return [
        Mistake(dx(mean=False, var=False), "Mean and variance are taken for constants in dx: each "
                "x moves them, and through them all the others. Two terms are missing."),
        Mistake(dx(mean=False), "The way through the mean is missing in dx: −Σdx̂ / n."),
        Mistake(dx(var=False), "The way through the variance is missing in dx: "
                "−x̂ · Σ(dx̂ · x̂) / n."),
        Mistake(dx(scaled=False), "gamma is missing in dx: dx̂ = dout · gamma."),
        Mistake(dx(divide=False), "The sums in dx lack their 1/n: both are means."),
        Mistake(dx(variance=1, correction=1), "dx is that of the variance divided by n − 1 "
                "(Bessel's, torch's default); this one is divided by n: correction=0."),
        Mistake(dx(variance=1), "The variance in dx is divided by n − 1 (torch's default): pass "
                "correction=0."),
        Mistake(dx(correction=1), "The last sum in dx is divided by n − 1; this variance divides "
                "by n, so divide by n."),
        Mistake(dx(eps_in=False), "eps is missing under the root in dx."),
    ]  # fmt: skip


def _batchnorm(given: dict) -> dict:
    return given | {"axes": tuple(range(given["x"].ndim - 1))}


@batchnorm.case(
    "gamma and beta", adapter="norm", inputs=lambda rng: _norm_inputs(rng, 7, 5), crashes=BY_HAND
)
def _(given, got):
    _expect_gamma_and_beta(_batchnorm(given), got)


def _expect_batchnorm_dx(given: dict, got: dict) -> None:
    given = _batchnorm(given)
    mistakes = _dx_mistakes(given)
    if given["x"].ndim == 3:
        alone = given | {"axes": (0,)}
        mistakes.append(
            Mistake(
                _norm_gradients(**alone)[0],
                "With three axes, the statistics of a channel are "
                "taken over batch and time together, not over the batch alone.",
            )
        )
        mistakes.append(
            Mistake(
                _norm_gradients(**given, count=len(given["x"]))[0],
                "n is the number of values a channel has, B · T here, not the batch alone.",
            )
        )
    expect("dx", got["dx"], _norm_gradients(**given)[0], tol=TOL, mistakes=mistakes)


batchnorm.case(
    "the input",
    points=2,
    adapter="norm",
    inputs=lambda rng: _norm_inputs(rng, 7, 5),
    crashes=BY_HAND,
)(_expect_batchnorm_dx)


@batchnorm.case(
    "a batch of three axes",
    points=2,
    adapter="norm",
    inputs=lambda rng: _norm_inputs(rng, 4, 3, 5),
    crashes=BY_HAND,
)
def _(given, got):
    _expect_gamma_and_beta(_batchnorm(given), got)
    _expect_batchnorm_dx(given, got)


@batchnorm.case(
    "channels that hardly vary",
    adapter="norm",
    inputs=lambda rng: _norm_inputs(rng, 6, 5, spread=0.1),
    crashes=BY_HAND,
)
def _(given, got):
    _expect_batchnorm_dx(given, got)
    expect_that(got["same"], "the arguments have changed", UNCHANGED)


# --- 5.4 ----------------------------------------------------------------------------------------

FIT = ("wte", "W1", "gamma", "beta", "W2", "b2")

training = Exercise(
    number="5.4",
    title="Training without autograd",
    difficulty=3,
    minutes=40,
    practises="a whole training step, with nothing in it that you haven't written",
    answers=("train_by_hand",),
    summary=(
        "Train the lecture's network with gradients of your own and no autograd. "
        "The losses must be those that autograd would have led to, step by step."
    ),
    statement="""
`train_by_hand(parameters: list[Tensor], X, Y, lr: float, eps: float) -> list[float]`

`parameters` are `wte` (V, C), `W1` (T · C, H), `gamma` (H,), `beta` (H,), `W2` (H, V), `b2` (V,) of
the network logits = tanh(gamma · n + beta) W2 + b2, where n is x W1 normalised over the batch as in
5.3, and x is the embeddings of a context side by side. `X` (S, B, T) and `Y` (S, B) hold S
minibatches. For each in turn: forward pass, note the mean cross-entropy, all six gradients, one
plain step `p -= lr * gradient` on each parameter, **in place**, so that the list that was passed
holds the trained ones. Return the S losses, each from before its step.

Your `cross_entropy_fused` and `batchnorm_fused` go along with the answer if you call them. Autograd
is off while the check runs, and `zerotohero.backprop` isn't there when it is graded.

```python
zeros = [torch.zeros(*s) for s in ((4, 2), (6, 5), (5,), (5,), (5, 4), (4,))]
X, Y = torch.zeros(2, 2, 3, dtype=torch.int64), torch.tensor([[1, 2], [1, 2]])
train_by_hand(zeros, X, Y, lr=1.0, eps=1e-5)    # rounded: [1.3863, 1.1672]
zeros[-1]                                       # tensor([-0.4388,  0.4388,  0.4388, -0.4388])
```
""",
    hints=(
        "Each step is three blocks: forwards, keeping what backwards will need; backwards, from "
        "dlogits to dwte; then all six updates together, at the end.",
        "dW2 = hᵀ dlogits, db2 = Σ dlogits over the batch, dh = dlogits W2ᵀ, dact = dh (1 − h²), "
        "then batchnorm_fused, dW1 = xᵀ dpre, dx = dpre W1ᵀ, and a row of dwte adds up over its "
        "uses.",
        "`dwte = torch.zeros_like(wte).index_put_((xb,), dx.view(*xb.shape, -1), accumulate=True)`."
        " After all gradients: `for p, grad in zip(parameters, grads): p -= lr * grad`. "
        "`p = p - lr * grad` would make a new tensor, and leave the list's as it was.",
    ),
)


def _train(parameters, X, Y, lr, eps, *, sign=1, early=False, overwrite=False, constant=False,
        summed=False, skip=(), accumulate=False, first_batch=False, late=False):  # fmt: skip
    """Losses and parameters after plain steps; the switches are what learners get wrong."""
    wte, W1, gamma, beta, W2, b2 = p = [q.copy() for q in parameters]
    losses, kept = [], [np.zeros_like(q) for q in p]
    for i in range(len(X)):
        xb, yb = (X[0], Y[0]) if first_batch else (X[i], Y[i])
        B = len(xb)
        x = wte[xb].reshape(B, -1)
        pre = x @ W1
        normed = (pre - pre.mean(0)) / np.sqrt(pre.var(0) + eps)
        h = np.tanh(gamma * normed + beta)
        loss, force = _loss_and_force(h @ W2 + b2, yb)
        losses.append(loss.mean())
        dlogits = force if summed else force / B
        dW2, db2 = h.T @ dlogits, dlogits.sum(0)
        used = W2 - lr * dW2 if early else W2
        dact = (dlogits @ used.T) * (1 - h * h)
        without = {"mean": False, "var": False} if constant else {}
        dpre, dgamma, dbeta = _norm_gradients(dact, pre, gamma, eps, (0,), **without)
        dW1 = x.T @ dpre
        dx = (dpre @ (W1 - lr * dW1 if early else W1).T).reshape(*xb.shape, -1)
        dwte = np.zeros_like(wte)
        if overwrite:
            dwte[xb] = dx
        else:
            np.add.at(dwte, xb, dx)
        grads = [dwte, dW1, dgamma, dbeta, dW2, db2]
        for name, q, grad, old in zip(FIT, p, grads, kept, strict=True):
            old[...] = old + grad if accumulate else grad
            if name not in skip:
                q -= sign * lr * old
        if late:
            pre = wte[xb].reshape(B, -1) @ W1
            h = np.tanh(gamma * (pre - pre.mean(0)) / np.sqrt(pre.var(0) + eps) + beta)
            losses[-1] = _loss_and_force(h @ W2 + b2, yb)[0].mean()
    return np.array(losses), p


SLIPS = (
    ({"sign": -1}, "The steps go up the hill: subtract lr times the gradient."),
    ({"overwrite": True}, "In dwte, a token that occurs more than once gets only its last "
     "gradient: add them up, `index_put_(…, accumulate=True)`."),
    ({"early": True}, "W2 or W1 was changed before the gradients that need it were made: first all "
     "six gradients, then all six steps."),
    ({"constant": True}, "BatchNorm's mean and variance are taken for constants in the backward "
     "pass: each number of the batch moves them."),
    ({"summed": True}, "The gradient lacks the mean's 1/B, so each step is B times too long."),
    ({"skip": ("gamma", "beta")}, "gamma and beta stay as they were: they learn too."),
    ({"skip": ("wte",)}, "wte stays as it was: the embeddings learn too."),
    ({"skip": ("W1",)}, "W1 stays as it was."),
    ({"skip": ("b2",)}, "b2 stays as it was: the bias learns too."),
    ({"accumulate": True}, "The gradients of earlier steps are still in the later ones: make them "
     "anew in each step."),
    ({"late": True}, "Each loss is from after its step: note it before the parameters move."),
    ({"first_batch": True}, "Every step takes the first minibatch: step i takes X[i] and Y[i]."),
)  # fmt: skip


def _fit_inputs(rng: np.random.Generator, steps: int) -> dict:
    """Minibatches of real names, and a small network."""
    T, C, H, B = 3, 4, 14, 16
    text = ["." * T + name + "." for name in some_names(rng, 200)]
    rows = [[STOI[s] for s in w[i : i + T + 1]] for w in text for i in range(len(w) - T)]
    picked = np.array(rows)[rng.integers(0, len(rows), (steps, B))]
    shapes = {"wte": (V, C), "W1": (T * C, H), "W2": (H, V), "b2": (V,)}
    p = {name: rng.normal(0, 0.4, shape) for name, shape in shapes.items()}
    p |= {"gamma": rng.uniform(0.5, 1.5, H), "beta": rng.normal(0, 0.2, H)}
    given = {"X": picked[:, :, :T], "Y": picked[:, :, T], "lr": float(rng.uniform(0.2, 0.4))}
    return given | {"parameters": [p[name] for name in FIT], "eps": float(rng.uniform(1e-3, 0.01))}


def _expect_trained(given: dict, got: dict) -> None:
    losses, parameters = _train(**given)
    mine = [
        array(n, p, q.shape) for n, p, q in zip(FIT, got["parameters"], parameters, strict=True)
    ]
    values = array("the losses", got["losses"])
    wrong = [n for n, p, q in zip(FIT, mine, parameters, strict=True) if not _near(p, q)]
    if _near(values, losses) and not wrong:
        return
    message = f"not what they should be: {', '.join(wrong)}"
    if not _near(values, losses):
        message = f"the losses: {_unlike('losses', values, losses)}"
    if all(map(np.array_equal, mine, given["parameters"])):
        hint = (
            "The parameters in the list haven't changed: `p = p - …` makes a new tensor. Change "
            "them in place, `p -= lr * gradient`."
        )
    elif found := [text for slip, text in SLIPS if _slipped(given, slip, values, mine)]:
        hint = found[0]
    elif not wrong and _rounded(values, losses):
        hint = "Return Python floats, `loss.item()`: `torch.tensor` rounds them to 32 bits."
    elif not wrong:
        hint = (
            "The parameters are right, and the losses alone aren't: each is the mean cross-entropy "
            "of its minibatch, from before its step."
        )
    elif not len(values) or not _near(values[:1], losses[:1]):
        hint = (
            "The first loss, before any step, is another already: look at the forward pass, at x̂ "
            "(variance divided by n, eps under the root) and at tanh."
        )
    elif len(losses) == 1 and _longer(given["parameters"], mine, parameters):
        hint = "The direction is right, the length isn't: a step is lr times the gradient."
    elif len(losses) == 1:
        hint = f"After one step these are wrong: {', '.join(wrong)}. Look at their gradients."
        if tuple(wrong) == FIT[:4]:
            hint += (
                " All four come through dh: is W2 still the old one there? And is tanh's slope "
                "1 − h²?"
            )
    else:
        hint = None
    raise Wrong(message, hint)


def _slipped(given: dict, slip: dict, values: np.ndarray, mine: list[np.ndarray]) -> bool:
    losses, parameters = _train(**given, **slip)
    return _near(values, losses) and all(map(_near, mine, parameters))


def _rounded(values: np.ndarray, losses: np.ndarray) -> bool:
    """Whether the losses are right but for having been float32 on the way."""
    exact = np.array_equal(values, values.astype(np.float32))
    return exact and values.shape == losses.shape and np.allclose(values, losses, 1e-6, 1e-6)


def _longer(start: list[np.ndarray], mine: list[np.ndarray], right: list[np.ndarray]) -> bool:
    """Whether the steps taken are the right ones but for one common factor."""
    taken, wanted = (
        np.concatenate([(p - q).ravel() for p, q in zip(ends, start, strict=True)])
        for ends in (mine, right)
    )
    factor = (taken @ wanted) / (wanted @ wanted)
    return factor > 0 and np.allclose(taken, factor * wanted, rtol=0, atol=TOL)


training.case(
    "one step",
    points=2,
    adapter="trained",
    inputs=lambda rng: _fit_inputs(rng, 1),
    crashes=BY_HAND,
)(_expect_trained)


training.case(
    "twenty steps on names",
    points=3,
    adapter="trained",
    inputs=lambda rng: _fit_inputs(rng, 20),
    crashes=BY_HAND,
)(_expect_trained)


# --- 5.5 ----------------------------------------------------------------------------------------

layernorm = Exercise(
    number="5.5",
    title="LayerNorm backwards",
    difficulty=4,
    minutes=35,
    practises="seeing what changes in a derivation when an axis does",
    answers=("layernorm_fused",),
    summary=(
        "Derive the backward pass of LayerNorm, which normalises each position by itself. "
        "Only one thing of BatchNorm's derivation no longer holds."
    ),
    statement="""
`layernorm_fused(dout, x, gamma, eps) -> tuple[Tensor, Tensor, Tensor]`

Forwards, each vector of C numbers (along the **last** axis) is normalised by its own mean and
variance (divided by C): out = gamma · x̂ + beta, x̂ = (x − mean) / √(var + eps). `dout` and `x` are
(B, T, C) or (B, C), `gamma` is (C,). Return `dx`, shaped like `x`, `dgamma` (C,) and `dbeta` (C,).

```python
dout, x = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[-1.0, 0.0, 1.0]])
layernorm_fused(dout, x, torch.tensor([2.0, 1.0, 1.0]), eps=0.0)
# dx      tensor([[ 0.4082, -0.8165,  0.4082]])
# dgamma  tensor([-1.2247,  0.0000,  0.0000])     dbeta  tensor([1., 0., 0.])
```
""",
    hints=(
        "Statistics run along the last axis now, and gamma still runs along it. Which sums go over "
        "the batch, and which along the vector?",
        "In BatchNorm, gamma is one number for all that is averaged, and can stand before the "
        "sums. Here it differs from place to place: put it into dx̂ = dout · gamma first.",
        "`d = dout * gamma`; `dx = inv * (d - d.mean(-1, keepdim=True) - xhat * (d * xhat)."
        "mean(-1, keepdim=True))`; dgamma and dbeta are sums over all axes but the last.",
    ),
)


def _layernorm(given: dict) -> dict:
    return given | {"axes": (given["x"].ndim - 1,)}


def _expect_layernorm_dx(given: dict, got: dict) -> None:
    as_batch = _norm_gradients(**_batchnorm(given))[0]
    given = _layernorm(given)
    expect(
        "dx",
        got["dx"],
        _norm_gradients(**given)[0],
        tol=TOL,
        mistakes=[
            Mistake(_norm_gradients(**given, inside=False)[0], "gamma stands before the sums in "
                    "dx, as it may in BatchNorm. Here it differs along the axis that is averaged: "
                    "multiply dout by it first."),
            Mistake(as_batch, "That is BatchNorm's: LayerNorm normalises along the last axis, each "
                    "position by itself."),
            *_dx_mistakes(given),
        ],
    )  # fmt: skip


@layernorm.case(
    "gamma and beta", adapter="norm", inputs=lambda rng: _norm_inputs(rng, 4, 3, 6), crashes=BY_HAND
)
def _(given, got):
    _expect_gamma_and_beta(_layernorm(given), got)


layernorm.case(
    "the input",
    points=3,
    adapter="norm",
    inputs=lambda rng: _norm_inputs(rng, 4, 3, 6),
    crashes=BY_HAND,
)(_expect_layernorm_dx)


@layernorm.case(
    "two axes, and a batch of one",
    adapter="norm",
    inputs=lambda rng: _norm_inputs(rng, 1, 7, spread=0.2),
    crashes=BY_HAND,
)
def _(given, got):
    _expect_layernorm_dx(given, got)
    _expect_gamma_and_beta(_layernorm(given), got)
    expect_that(got["same"], "the arguments have changed", UNCHANGED)


# --- 5.6 ----------------------------------------------------------------------------------------

attention = Exercise(
    number="5.6",
    title="One attention head backwards",
    difficulty=5,
    minutes=60,
    practises="softmax's own backward pass, between two products of matrices",
    answers=("attention_fused",),
    summary=(
        "Derive the backward pass of a causal attention head, the heart of a GPT. "
        "You need nothing but what this lecture had, two products of matrices and a softmax."
    ),
    statement="""
`attention_fused(dout, q, k, v) -> tuple[Tensor, Tensor, Tensor]`

q, k and v are three tensors that are given; lecture 07 says what they mean. All arguments are
(B, T, head_size). Forwards, scores = q kᵀ / √head_size, of shape (B, T, T); where a column
is later than its row the score becomes −∞; att = softmax(scores) along the last axis; out = att v.
So each position takes a mean of the values up to its own. `dout` is the gradient of the loss by
`out`. Return `dq`, `dk` and `dv`.

```python
q = k = torch.zeros(1, 2, 1)
v, dout = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.0], [1.0]]])
attention_fused(dout, q, k, v)[2]                       # dv: tensor([[[0.5000], [0.5000]]])
attention_fused(dout, q + 1, k, v)[1]                   # dk: tensor([[[-0.5000], [0.5000]]])
```
""",
    hints=(
        "Make att again, as forwards. Then there are four steps back: through att v, through the "
        "softmax, through the scale, through q kᵀ. Only the second is new.",
        "A score moves all the numbers of its row of att. With datt = dout vᵀ: dscores = "
        "att · (datt − Σ att · datt), the sum along the row. The mask needs nothing more, since "
        "att is 0 there.",
        "`dv = att.mT @ dout`; `datt = dout @ v.mT`; `ds = att * (datt - (att * datt).sum(-1, "
        "keepdim=True))`; `dq = ds @ k / head_size**0.5`; `dk = ds.mT @ q / head_size**0.5`. "
        "`.mT` swaps the last two axes.",
    ),
)


NO_MASK = (
    "The mask is missing: where a column is later than its row, the score is −∞ before softmax, "
    "when you make att again as well."
)
DV_TURNED = (
    "dv: att must be transposed. The values of position s were used by all later rows t, so "
    "dv[s] = Σ att[t, s] · dout[t]."
)


def _attend(dout, q, k, v, *, mask="causal", scale=None, back=None, jacobian="whole", axis=-1,
            after=False, dk_turned=False, dv_turned=False, softmax_axis=-1):  # fmt: skip
    """dq, dk, dv; the switches are what learners get wrong."""
    T, size = q.shape[1:]
    scale = size**-0.5 if scale is None else scale
    back = scale if back is None else back

    def turned(a):
        return a.swapaxes(1, 2)

    scores = q @ turned(k) * scale
    allowed = {"causal": np.tri(T), "turned": np.tri(T).T}
    if mask != "none" and not after:
        scores = np.where(allowed[mask] > 0, scores, -np.inf)
    att = turned(softmax(turned(scores))) if softmax_axis == 1 else softmax(scores)
    if after:
        att = att * np.tri(T)
    datt = dout @ turned(v)
    if jacobian == "whole":
        ds = att * (datt - (att * datt).sum(axis, keepdims=True))
    else:
        ds = {"own": att * (1 - att), "product": att, "skipped": np.ones_like(att)}[jacobian] * datt
        ds = ds * np.tri(T) if mask == "causal" else ds
    dk = (ds if dk_turned else turned(ds)) @ q * back
    return ds @ k * back, dk, (att if dv_turned else turned(att)) @ dout


def _head(rng: np.random.Generator, B: int = 3, T: int = 5, size: int = 4) -> dict:
    return {name: rng.normal(size=(B, T, size)) for name in ("dout", "q", "k", "v")}


def _expect_attention(given: dict, got: dict, names: tuple[str, ...]) -> None:
    T, size = given["q"].shape[1:]
    slips = (
        ({"mask": "none"}, NO_MASK),
        ({"mask": "turned"}, "The mask is the wrong way round: position t sees the positions up to "
         "t, which is `torch.tril`."),
        ({"after": True}, "The mask came after the softmax, so the rows of att don't add to 1: set "
         "the scores to −∞ before it."),
        ({"softmax_axis": 1}, "The softmax runs down the columns; each row of att adds to 1."),
        ({"dv_turned": True}, DV_TURNED),
        ({"scale": 1.0}, "The scale 1/√head_size is missing, forwards and backwards."),
        ({"back": 1.0}, "The scale is missing backwards: scores were divided by √head_size, so "
         "dq and dk are too."),
        ({"back": 1 / size}, "Backwards, dq and dk are divided by √head_size once, not twice."),
        ({"scale": T**-0.5}, "The scale is 1/√head_size, not 1/√T."),
        ({"scale": 1 / size}, "The scale is 1/√head_size; the root is missing."),
        ({"scale": size**0.5}, "The scores are divided by √head_size, not multiplied."),
        ({"jacobian": "own"}, "att (1 − att) is only the slope of a number of att by its own "
         "score. Each score moves its whole row: att · (datt − Σ att · datt)."),
        ({"jacobian": "product"}, "The sum is missing in softmax's backward pass: att · (datt − "
         "Σ att · datt), since the numbers of a row share out a total of 1."),
        ({"jacobian": "skipped"}, "Softmax's backward pass is missing: datt is the gradient by "
         "att, and the scores come before the softmax."),
        ({"axis": -2}, "The sum in softmax's backward pass runs down the columns; it runs along "
         "the row that adds to 1, the last axis."),
        ({"dk_turned": True}, "dk: dscores must be transposed. The key of position s was used by "
         "all later rows t, so dk[s] = Σ dscores[t, s] · q[t]."),
    )  # fmt: skip
    order = ("dq", "dk", "dv")
    want = dict(zip(order, _attend(**given), strict=True))
    for name in names:
        value = array(name, got[name], want[name].shape)
        if _near(value, want[name]):
            continue
        hint = None
        for slip, text in slips:
            wrong = dict(zip(order, _attend(**given, **slip), strict=True))[name]
            if _near(value, wrong):
                hint = text
                break
        else:
            other = [n for n in order if n != name and _near(value, want[n])]
            if other:
                hint = f"That is {other[0]}: the order is dq, dk, dv."
        raise Wrong(f"{name}: {_unlike(name, value, want[name])}", hint)


@attention.case("the values", adapter="attention", inputs=_head, crashes=BY_HAND)
def _(given, got):
    _expect_attention(given, got, ("dv",))


@attention.case(
    "the queries and the keys", points=3, adapter="attention", inputs=_head, crashes=BY_HAND
)
def _(given, got):
    _expect_attention(given, got, ("dq", "dk"))


def _first_only(rng: np.random.Generator) -> dict:
    """A loss that looks at an early position only, in contexts longer than the head is wide."""
    given = _head(rng, 2, 6, 3)
    given["dout"][:, 3:] = 0
    return given


@attention.case(
    "nothing reaches what comes later",
    adapter="attention",
    inputs=_first_only,
    crashes=BY_HAND,
)
def _(given, got):
    mine = [array(name, got[name], given["q"].shape) for name in ("dq", "dk", "dv")]
    masked = all(map(_near, mine[:2], _attend(**given)))  # a mask that is missing shows in dq, dk
    for name, value in zip(("dk", "dv"), mine[1:], strict=True):
        expect_that(
            not value[:, 3:].any(),
            f"{name}: the loss looks at positions 0 to 2, and position 3 or later has a gradient",
            DV_TURNED if masked else NO_MASK,
        )
    _expect_attention(given, got, ("dq", "dk", "dv"))


EXERCISES = (nodes, cross_entropy, batchnorm, training, layernorm, attention)
