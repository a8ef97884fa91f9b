"""5.1 · Every node backwards: the chain rule on tensors, one step at a time, with shapes as
the guide.
"""

from functools import partial
from types import SimpleNamespace

import numpy as np

from zerotohero.course.checks.backprop.rules import NODES
from zerotohero.course.checks.backprop.shared import BY_HAND, FLOAT32, near, rounded, unlike
from zerotohero.course.checks.numerics import both_signs
from zerotohero.course.exercise import Exercise, Wrong, array, expect_that
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
        "Write the gradient of every value in the lecture's network, one line each. "
        "The check judges each line by itself, so that you can go step by step."
    ),
    statement=f"""
`all_gradients(c, d) -> None`

`c` holds every value of one forward pass, `d` is empty. For each value `c.name`, put its gradient
into `d.name`: the derivative of the loss with respect to `c.name`, a tensor of its shape. Begin at
the loss, with `d.logprobs`, and go backwards to `d.wte`. Beside the values below, `c` has the
parameters `wte` (V, C), `W1` (T · C, H), `b1` (H,), `gamma` (H,), `beta` (H,), `W2` (H, V), `b2`
(V,), whose gradients are wanted too, and `X` (B, T), `Y` (B,) and the number `eps`. All floats are
float64. The check has other sizes and another `eps` than the cells below.
{FORWARD}
Change nothing in `c`. Write your lines above the `raise`, run the check after each, and take the
`raise` out at the end. What isn't there yet is "yours to write"; what is there must be right to
1e-10. If a line is right but builds on a wrong earlier one, the check says so.

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


# Their true gradient is 0, as that of a shift that the next step takes out again. A zero that
# comes from nowhere is worth nothing, so these count only where what they follow from is right.
ZERO = ("top", "b1")
# B, T, C, H, V. All differ, so that what is transposed shows, and none is the notebook's. B is no
# power of two, by which float32 would divide exactly.
SIZES = ((6, 2, 4, 9, 14), (7, 4, 3, 10, 15), (6, 2, 7, 10, 15), (7, 2, 3, 9, 14))


def _network(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One forward pass."""
    B, T, C, H, V = SIZES[rng.integers(len(SIZES))]
    wte, W1, b1 = rng.normal(size=(V, C)), rng.normal(size=(T * C, H)) / 4, rng.normal(size=H)
    gamma, beta = rng.uniform(0.5, 1.5, H) * both_signs(rng, H), rng.normal(size=H) / 4
    W2, b2 = rng.normal(size=(H, V)) / 3, rng.normal(size=V) / 3
    X, Y, eps = rng.integers(0, V, (B, T)), rng.integers(0, V, B), float(rng.uniform(0.002, 0.01))
    X[-1] = X[0]  # some tokens occur twice, in several contexts and in one
    X[1, :2] = X[1, 0]
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
    return {k: v for k, v in values.items() if k not in ("rng", *"BTCHV")}


def _asked(rng: np.random.Generator, name: str) -> dict:
    """The inputs of one node's case. All floats travel as one array, which is several times as
    fast as an array each."""
    values = _network(rng)
    rest = {k: values.pop(k) for k in ("X", "Y", "eps")}
    return rest | {
        "numbers": np.concatenate([v.ravel() for v in values.values()]),
        "shapes": {k: list(v.shape) for k, v in values.items()},
        "nodes": list(NODES),
        "node": name,
        "wanted": [name, *NODES[name].after],
    }


def _values(given: dict) -> SimpleNamespace:
    c, start = SimpleNamespace(X=given["X"], Y=given["Y"], eps=given["eps"]), 0
    for name, shape in given["shapes"].items():
        stop = start + int(np.prod(shape))
        setattr(c, name, given["numbers"][start:stop].reshape(shape))
        start = stop
    return c


def _true_gradients(c: SimpleNamespace, last: str) -> SimpleNamespace:
    """The right gradients, from the loss back to that of one node."""
    true = SimpleNamespace()
    for name, node in NODES.items():
        setattr(true, name, node.rule(c, true))
        if name == last:
            return true


def gradient_of_node(name: str, given: dict, got: dict) -> None:
    """Judge one node, by the answer's own gradients of the nodes after it."""
    c, node, mine = _values(given), NODES[name], got["d"]
    true = _true_gradients(c, name)
    want = getattr(true, name) + 0.0  # no −0 in a message
    want = np.zeros_like(want) if name in ZERO else want
    if mine[name] is None:
        raise Wrong(f"d.{name} is None", f"d.{name} is None: which operation gave nothing back?")
    value = array(f"d.{name}", mine[name])
    upstream = SimpleNamespace(**vars(true))
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
    raise Wrong(unlike(name, value, want), _hint(name, value, want, c, upstream, got, first))


def _hint(name, value, want, c, upstream, got, first) -> str | None:
    """What explains a wrong value; else only how it differs, if that can be said."""
    node = NODES[name]
    for hint, wrong in node.mistakes(c, upstream).items():
        if any(near(value, each) for each in (wrong if isinstance(wrong, tuple) else (wrong,))):
            return f"d.{name}: {hint}"
    if got["changed"]:
        names = ", ".join(f"c.{n}" for n in got["changed"])
        as_it_is = SimpleNamespace(**vars(c) | got["changed"])
        if near(value, node.rule(as_it_is, upstream)):
            return (
                f"Your code has changed {names} in place, and this line reads it: work on a copy, "
                "made by `.clone()`."
            )
    for other in got["same"] if value.shape == want.shape else ():
        if near(value, getattr(_true_gradients(c, other), other)):
            return (
                f"d.{name} and d.{other} are one and the same tensor, and the line of d.{other} "
                f"changed it: make a new tensor for d.{other}."
            )
    if isinstance(got["first"], np.ndarray) and near(got["first"], want):
        return f"d.{name} was right when it was set, and a later line changed it: make new tensors."
    if got["stopped"]:
        return (
            f"After d.{name} was set, your code stopped with an error ({got['stopped']}): it may "
            "not be complete. The next line says where."
        )
    if first:
        return f"It follows from {first}: put that right first."
    if near(value, want.T):
        return f"d.{name} is transposed: it has the shape of c.{name}."
    if value.shape != want.shape:
        return f"d.{name} must have the shape of c.{name}, {want.shape}."
    if rounded(value, want):
        return FLOAT32
    if near(value, -want):
        return f"d.{name} has its sign turned."
    factor = 0 if name in ZERO else (value * want).sum() / (want * want).sum()
    if near(value, 0 * want):
        return f"Each number of d.{name} is 0, but for rounding."
    if factor and near(value / factor, want):
        return f"Each number of d.{name} is {factor:.6g} times what it should be."
    return None


def nothing_in_c_changed(given: dict, got: dict) -> None:
    try:
        gradient_of_node("wte", given, got)
    except Wrong:
        raise Wrong("counts once d.wte is right") from None
    names = ", ".join(f"c.{name}" for name in got["unlike"])
    expect_that(not names, f"changed: {names}", "Work on a copy, made by `.clone()`.")


OTHER_SIZES = (
    "is invalid for input of size|^IndexError: (shape mismatch: indexing|index .* out of bounds)"
)
CRASHES = {
    **BY_HAND,
    "shapes cannot be multiplied|size mismatch": "The shapes don't fit: write down the "
    "shape you want and those you have; one arrangement with a transpose gives it.",
    "must match the size": "The shapes don't broadcast: say for both what each axis is.",
    OTHER_SIZES: "Take the sizes from c's tensors, such as `c.emb.shape`: the check has others "
    "than the cell above.",
    "SimpleNamespace' object has no attribute": "Nothing has this name so far: is it spelled as "
    "in the table, and does its line stand above?",
    "supposed to be a vector": "`index_add_` takes a vector of rows: flatten `c.X`, and the first "
    "two axes of `d.emb` with it.",
    "tuple of Tensors, not Tensor": "`index_put_` takes a tuple of indices: `(c.X,)`.",
    "shape mismatch: value tensor": "The gradients don't have the shape of the places that they "
    "are put into: has each gradient the shape of its value in c?",
    "where a tensor is needed": "Calculate with torch from c's values on: what comes out is a "
    "tensor.",
    "SimpleNamespace' object (does not support item|is not subscriptable)": "c and d aren't dicts: "
    '`d.logprobs`, not `d["logprobs"]`.',
}
for _name in NODES:
    nodes.case(
        f"d.{_name}",
        adapter="node",
        inputs=lambda rng, name=_name: _asked(rng, name),
        crashes=CRASHES,
    )(partial(gradient_of_node, _name))
nodes.case(
    "nothing in c has changed",
    adapter="last_node",
    inputs=lambda rng: _asked(rng, "wte"),
    crashes=CRASHES,
)(nothing_in_c_changed)
