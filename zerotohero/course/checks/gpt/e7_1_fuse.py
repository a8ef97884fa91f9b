"""7.1 · All heads at once: moving axes, so that one batched product does the work of many
small ones.
"""

import math
from functools import partial

import numpy as np

from zerotohero.course.checks.gpt.shared import expect_slowly, one_tensor
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    Wrong,
    array,
    expect,
    expect_that,
)
from zerotohero.course.to_look_at import THREADS, TORCH

fuse = Exercise(
    number="7.1",
    title="All heads at once",
    difficulty=3,
    minutes=40,
    practises="moving axes, so that one batched product does the work of many small ones",
    answers=("FusedAttention",),
    without=(
        "threads",
        "jit",
    ),
    look_for=("MultiheadAttention", "vmap", *THREADS, *TORCH),
    summary=(
        "Turn `Head` and `MultiHeadAttention` into one class, in which heads are a batch axis "
        "instead of a loop. With the same weights it must give the same, for any n_head."
    ),
    statement="""
The next cell holds attention as the lecture first builds it: `MultiHeadAttention` runs its `Head`s
one after another, and each makes its own small products. Write

`FusedAttention(n_embd: int, n_head: int, block_size: int, dropout: float = 0.0)`

an `nn.Module` whose `forward(x)` takes (B, T, C) to (B, T, C) for every T ≤ block_size and equals
`MultiHeadAttention` to 1e-5 when it has the same weights. Queries, keys and values have the shape
(B, n_head, T, head_size) inside, and there is no loop over heads, examples or positions. Use
products and softmax, or `F.scaled_dot_product_attention`; both can pass.

Its parameters are those of two linear layers with GPT-2's names, and `copy_heads` in the next cell
shows which row goes where:

- `c_attn`, from C to 3 · C, no bias. The rows of its weight are the queries of head 0, of head 1,
  and so on; then the keys of all heads; then the values of all heads.
- `c_proj`, from C to C, with a bias: the projection of the joined heads.

Dropout as there: on the attention weights after softmax, and on the projected output, both in train
mode only. It learns as that does: the input and every weight get the same gradients.

```python
fused = FusedAttention(n_embd=12, n_head=3, block_size=8)
copy_heads(MultiHeadAttention(12, 3, 8), fused)   # now both compute the same
fused(torch.randn(2, 5, 12)).shape                # torch.Size([2, 5, 12])
```
""",
    hints=(
        "A batched product treats all axes but the last two as a batch. So the heads have to stand "
        "in front of T, and what belongs to one head, its head_size channels, behind it.",
        "`self.c_attn(x).split(C, dim=2)` gives q, k and v. Each goes from (B, T, C) to (B, T, "
        "n_head, head_size) by `view`, which cuts the channels up, and then to (B, n_head, T, "
        "head_size) by `transpose(1, 2)`. At the end the same way back, in the opposite order.",
        "`q, k, v = (z.view(B, T, n_head, C // n_head).transpose(1, 2) for z in …)`; `y = "
        "F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=self.p if self.training "
        "else 0.0)`; `y = y.transpose(1, 2).reshape(B, T, C)`; then c_proj and dropout.",
    ),
)


def _separate(x: np.ndarray, heads: list, proj: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Compute one head after another, as in the notebook: the reference."""
    future = np.triu(np.ones((x.shape[1],) * 2, bool), 1)
    outs = []
    for query, key, value in heads:
        scores = (x @ query.T) @ (x @ key.T).swapaxes(1, 2) / math.sqrt(len(query))
        outs.append(softmax(np.where(future, -np.inf, scores)) @ (x @ value.T))
    return np.concatenate(outs, 2) @ proj.T + bias


def _fused(
    x,
    heads,
    proj,
    bias,
    order="qkv",
    cut="right",
    among="positions",
    scale=None,
    mask="before",
    axis=-1,
    empty=np.nan,
    merge="right",
    project="right",
):
    """Compute all heads at once, with switches for what learners get wrong."""
    B, T, C = x.shape
    n, hs = len(heads), C // len(heads)
    both = x @ np.concatenate([head[i] for i in range(3) for head in heads]).T
    cuts = {
        "right": lambda z: z.reshape(B, T, n, hs).swapaxes(1, 2),
        "no transpose": lambda z: z.reshape(B, n, T, hs),
        "sizes exchanged": lambda z: z.reshape(B, T, hs, n).transpose(0, 3, 1, 2),
    }
    if order == "by head":  # c_attn's rows taken as head 0's q, k, v, head 1's q, k, v, …
        q, k, v = both.reshape(B, T, n, 3, hs).transpose(3, 0, 2, 1, 4)
    elif order == "strided":  # … or as q, k, v of channel 0, of channel 1, …
        q, k, v = (cuts[cut](both[..., i::3]) for i in range(3))
    else:
        parts = dict(zip("qkv", np.split(both, 3, 2), strict=True))
        q, k, v = (cuts[cut](parts[name]) for name in order)
    if among == "heads":  # (B, T, n_head, head_size) goes into attention
        q, k, v, T = *(z.swapaxes(1, 2) for z in (q, k, v)), n
    scores = q @ k.swapaxes(2, 3) * (hs**-0.5 if scale is None else scale)
    above = {"before": 1, "after": 1, "zero": 1, "next": 2, "not itself": 0, "none": T}
    hidden = np.triu(np.ones((T, T), bool), above.get(mask, 1))
    if mask in ("turned round", "the future alone"):
        hidden = np.tri(T, k=-1 if mask == "turned round" else 0, dtype=bool)
    if mask == "zero":
        scores = np.where(hidden, 0.0, scores)
    elif mask != "after":
        scores = np.where(hidden, -np.inf, scores)
    weights = np.nan_to_num(softmax(scores, axis), nan=empty)  # of rows that see nothing
    if mask == "after":
        weights = np.where(hidden, 0.0, weights)
    y = weights @ v
    if among == "heads":
        y, T = y.swapaxes(1, 2), x.shape[1]
    merges = {
        "right": lambda: y.swapaxes(1, 2).reshape(B, T, C),
        "no transpose": lambda: y.reshape(B, T, C),
        "sizes exchanged": lambda: y.transpose(0, 2, 3, 1).reshape(B, T, C),
    }
    y = merges[merge]()
    projected = {"right": y @ proj.T + bias, "none": y, "turned": y @ proj + bias}
    return projected[project]


BEHIND = (
    "At each position, heads attend to heads: they stand behind T, and attention goes along the "
    "axis before the last. `transpose(1, 2)` makes (B, n_head, T, head_size)."
)


def _fused_wrongly(x, heads, proj, bias) -> list[Mistake]:
    T, C = x.shape[1:]
    n, hs = len(heads), C // len(heads)
    no_transpose = (
        "The channels were cut up by `view(B, n_head, T, head_size)` at once. `view` deals "
        'numbers out in reading order, so one "head" gets the channels of a few positions. '
        "First `view(B, T, n_head, head_size)`, then `transpose(1, 2)`."
    )
    exchanged = (
        "Each head takes every n_head-th channel: the last axis of the view is head_size, `view(B, "
        "T, n_head, head_size)`, so that a head's channels lie side by side."
    )
    sees_all = (
        "Every position sees the whole text, its future too: the causal mask is missing, or the "
        "wrong part of a larger one is used. It is the first T rows and columns, `[:T, :T]`."
    )
    turned_round = (
        "The mask is the wrong way round: positions see their future instead of their past. (In "
        "`scaled_dot_product_attention`, True marks what may be seen.)"
    )
    variants = [
        ({"cut": "no transpose"}, no_transpose),
        ({"cut": "no transpose", "merge": "no transpose"}, no_transpose),
        (
            {"merge": "no transpose"},
            "Heads are mixed with time on the way back: y is (B, n_head, T, head_size), and a "
            "reshape to (B, T, C) puts several positions of one head into one row. `transpose(1, "
            "2)` first, then reshape.",
        ),
        ({"cut": "sizes exchanged"}, exchanged),
        ({"cut": "sizes exchanged", "merge": "sizes exchanged"}, exchanged),
        (
            {"merge": "sizes exchanged"},
            "The heads' channels are interleaved on the way back: the joined row holds all of head "
            "0, then all of head 1.",
        ),
        (
            {"scale": C**-0.5},
            "The scores are divided by √C. Each is a sum over head_size products, so it is "
            "√head_size that brings their variance back to 1.",
        ),
        ({"scale": 1.0}, "The scores aren't scaled: divide them by √head_size."),
        (
            {"scale": 1 / hs},
            "The scores are divided by head_size: it is its square root. "
            "(`F.scaled_dot_product_attention` divides by that already.)",
        ),
        ({"scale": 1 / C}, "The scores are divided by C: it is the square root of head_size."),
        ({"scale": hs**0.5}, "The scores are multiplied by √head_size: divide by it."),
        ({"scale": n**-0.5}, "The scores are divided by √n_head: it is √head_size."),
        ({"scale": T**-0.5}, "The scores are divided by √T: it is √head_size."),
        ({"mask": "none"}, sees_all),
        (
            {"mask": "after"},
            "The mask comes after softmax: the future has already taken its share of the 1, and "
            "what is left doesn't add up to 1. Put −∞ into the scores before softmax.",
        ),
        (
            {"mask": "zero"},
            "The scores of the future are 0, and exp(0) is 1, not 0: hide them with −∞, "
            "`float('-inf')`.",
        ),
        (
            {"mask": "next"},
            "Each position sees the next one as well: the mask's triangle is one diagonal too "
            "large. Position t sees 0 to t.",
        ),
        (
            {"mask": "not itself"},
            "No position sees itself, and the first sees nothing at all, hence its NaN: the "
            "diagonal belongs to what is seen.",
        ),
        ({"mask": "turned round"}, turned_round),
        ({"mask": "the future alone"}, turned_round),
        ({"mask": "the future alone", "empty": 0.0}, turned_round),
        (
            {"axis": -2},
            "softmax goes over the queries: each row of the scores belongs to one query, and has "
            "to add up to 1 over the keys, `dim=-1`.",
        ),
        (
            {"axis": 1},
            "softmax goes over the heads, axis 1: the weights of one query have to add up to 1 "
            "over the keys, `dim=-1`.",
        ),
        ({"axis": 0}, "softmax goes over the batch, axis 0: `dim=-1`."),
        (
            {"order": "kqv"},
            "Queries and keys have changed places: the first C rows of c_attn are the queries, "
            "then come the keys, then the values.",
        ),
        (
            {"order": "vkq"},
            "Queries and values have changed places: c_attn's rows are queries, keys, values, in "
            "this order.",
        ),
        (
            {"order": "qvk"},
            "Keys and values have changed places: c_attn's rows are queries, keys, values, in this "
            "order.",
        ),
        (
            {"order": "by head"},
            "c_attn's output is cut into heads first and into q, k, v then: its rows are the "
            "queries of all heads, then all keys, then all values. Split into three parts of C "
            "first.",
        ),
        (
            {"order": "strided"},
            "q, k and v are taken as every third channel: they lie one after the other, C channels "
            "each, as `split(C, dim=2)` cuts them.",
        ),
        (
            {"project": "none"},
            "The joined heads come back as they are: the projection `c_proj` is missing at the "
            "end.",
        ),
        ({"among": "heads"}, BEHIND),
        ({"among": "heads", "mask": "none"}, BEHIND),
        (
            {"project": "turned"},
            "The weight of c_proj is used untransposed: call the layer, `self.c_proj(y)`.",
        ),
    ]
    given = (x, heads, proj, bias)
    wrong = [(_fused(*given, **switches), hint) for switches, hint in variants]
    whole = [np.concatenate(parts) for parts in zip(*heads, strict=True)]
    regrouped = list(zip(*(np.split(part, hs) for part in whole), strict=True))
    wrong += [
        (
            _fused(x, [whole], proj, bias),
            "All channels are one head: the channels of each position have to be cut into n_head "
            "parts, `view(B, T, n_head, head_size)`.",
        ),
        *(
            (
                _fused(x, regrouped, proj, bias, scale=scale),
                "n_head and head_size have changed places: there are head_size heads of n_head "
                "channels. `view(B, T, n_head, head_size)`, then `transpose(1, 2)`.",
            )
            for scale in (None, hs**-0.5)
        ),
    ]
    right = _fused(*given)
    wrong.append((right + x, "x is added: the residual path belongs to the block around this one."))
    return [Mistake(value, hint) for value, hint in wrong]


def _heads(rng: np.random.Generator, n: int, hs: int, B: int, T: int, block_size: int) -> dict:
    """Return an input, and the weights of n separate heads; all sizes differ where they can."""
    C = n * hs
    return {
        "x": 1.5 * rng.normal(size=(B, T, C)),
        "heads": [[rng.normal(size=(hs, C)) / math.sqrt(C) for _ in range(3)] for _ in range(n)],
        "proj": rng.normal(size=(C, C)) / math.sqrt(C),
        "bias": rng.normal(size=C),
        "block_size": block_size,
    }


FUSED_CRASHES = {
    "before Module.__init__|_parameters'": "`super().__init__()` has to come first in `__init__`.",
    'required "forward"': "The class has no method `forward`: is it spelled so, and indented?",
    "has the parameters": "The check copies weights by name: `self.c_attn = nn.Linear(C, 3 * C, "
    "bias=False)` and `self.c_proj = nn.Linear(C, C)`, and nothing else that is learned. A mask is "
    "a buffer, not a parameter.",
    "hand over the class": "`check` makes modules of its own: give it the class, without brackets.",
    "has to return a tensor": "Stay with torch's tensors from x to the result: what passes through "
    "NumPy or lists has no gradient.",
    "numpy.*requires grad|[Nn]um[Pp]y.*grad": "NumPy knows no gradients: use torch's functions.",
    "Expected size for first two dimensions|cannot be multiplied|Expected size for the first": "In "
    "the scores, the last two axes of k are exchanged: (T, head_size) times (head_size, T), `q @ "
    "k.transpose(-2, -1)`.",
    "view size is not compatible|use .reshape": "`view` refuses where the numbers don't lie in "
    "order. On the way in, only the last axis of q, k and v can be cut up, `view(B, T, n_head, "
    "head_size)`, and is transposed then; a view with T in another place would mix positions. On "
    "the way back, after the transposition, `reshape` or `.contiguous().view(…)`.",
    "invalid for input of size|is invalid": "The sizes of the view don't multiply to what is "
    "there: C = n_head · head_size, so head_size is `C // n_head`, with the n_head that the class "
    "was given.",
}


TURNED = {
    "must match the size.*dimension [01]$|x[.]T. on tensors": "In a product, the "
    "batches of the two tensors differ. `k.T` turns all axes round, the batch too: exchange the "
    "last two of k, `k.transpose(-2, -1)`."
}


SCORES = TURNED | {
    "must match the size": "Two tensors of different shapes meet. The scores have the shape (B, "
    "n_head, T, T), and so fit a mask of (T, T); scores of (B, T, n_head, n_head) come from heads "
    "behind T: the heads have to stand in front of it, `transpose(1, 2)`. And if the product of q "
    "and k fails itself, it is the last two axes of k that are exchanged, `k.transpose(-2, -1)`."
}


SHORT = TURNED | {
    "must match the size|expanded size": "The mask has the wrong size: it was made for block_size "
    "positions, and only T of them came. Cut it, `self.mask[:T, :T]`. (If the cases above crash "
    "too, begin there.)"
}


QKV = ("c_attn's rows of queries", "c_attn's rows of keys", "c_attn's rows of values")


def equal_to_separate_heads(given: dict, got: dict) -> None:
    for layer, y in zip(given["layers"], got["y"], strict=True):
        x, heads, proj, bias = (layer[key] for key in ("x", "heads", "proj", "bias"))
        B, T, C = x.shape
        one_tensor("forward(x)", y)
        expect_slowly(
            f"forward(x) for B = {B}, T = {T}, C = {C}, n_head = {len(heads)}",
            y,
            _separate(x, heads, proj, bias),
            partial(_fused_wrongly, x, heads, proj, bias),
            tol=1e-5,
        )


fuse.case(
    "equal to the separate heads",
    points=3,
    adapter="attended",
    inputs=lambda rng: {"layers": [_heads(rng, 3, 5, 2, 7, 7)]},  # 4 heads don't go into it
    crashes=FUSED_CRASHES | SCORES,
)(equal_to_separate_heads)


@fuse.case(
    "any number of heads",
    points=1,
    adapter="attended",
    inputs=lambda rng: {
        "layers": [
            _heads(rng, n, hs, 3, 6, 6)
            for n, hs in ((1, 5), (5, 2), (4, 1), (2, int(rng.integers(7, 10))))
        ]
    },
    crashes=FUSED_CRASHES | SCORES,
)
def any_number_of_heads(given, got):
    equal_to_separate_heads(given, got)


fuse.case(
    "texts shorter than block_size",
    points=2,
    adapter="attended",
    inputs=lambda rng: {"layers": [_heads(rng, 3, 5, 2, T, 12) for T in (4, 1, 11)]},
    crashes=FUSED_CRASHES | SHORT,
)(equal_to_separate_heads)


def _to_learn(rng: np.random.Generator) -> dict:
    layer = _heads(rng, 3, 5, 2, 4, 7)
    return {"layer": layer, "weights": rng.normal(size=layer["x"].shape)}


@fuse.case(
    "it learns: the gradients of the input and of all weights",
    adapter="learning",
    inputs=_to_learn,
    crashes={
        "does not require grad": "Nothing that comes out has a gradient: `.detach()`, `.data`, "
        "`torch.no_grad()` or a new tensor cuts it off from the weights.",
    }
    | FUSED_CRASHES
    | SHORT,
)
def gradients_of_all_weights(given, got):
    x, heads, proj, bias = (given["layer"][key] for key in ("x", "heads", "proj", "bias"))
    C, h, rng = x.shape[2], 1e-5, np.random.default_rng(1)
    along = rng.normal(size=(5, C, C))  # a direction for each matrix; the bias takes a row
    step = rng.normal(size=x.shape)

    def loss(sign: int, part: str) -> float:
        def moved(name: str, value: np.ndarray, direction: np.ndarray) -> np.ndarray:
            return value + sign * h * direction if name == part else value

        rows = [np.split(a, len(heads)) for a in along[:3]]
        there = [
            [moved(name, w, rows[i][n]) for i, (name, w) in enumerate(zip(QKV, head, strict=True))]
            for n, head in enumerate(heads)
        ]
        y = _separate(
            moved("x", x, step),
            there,
            moved("c_proj's weight", proj, along[3]),
            moved("c_proj's bias", bias, along[4, 0]),
        )
        return float((y * given["weights"]).sum())

    mine = {
        "c_proj's bias": (got["c_proj.bias"], along[4, 0]),
        "c_proj's weight": (got["c_proj.weight"], along[3]),
        **{
            name: (np.asarray(got["c_attn.weight"])[i * C : (i + 1) * C], along[i])
            for i, name in enumerate(QKV)
        },
        "x": (got["x"], step),
    }
    for part, (gradient, direction) in mine.items():
        gradient = array(f"the gradient of {part}", gradient, direction.shape)
        expect_that(
            gradient.any(),
            f"the gradient of {part}: expected that it changes the result, got zeros alone",
            "On the way from it to the result something is cut off, by `.detach()`, `.data` or "
            "`torch.no_grad()`: the values are right, and nothing is learned.",
        )
        want = (loss(1, part) - loss(-1, part)) / (2 * h)
        expect(
            f"the derivative with respect to {part}, in one direction",
            float((gradient * direction).sum()),
            want,
            tol=1e-3,
            hint="If the cases above pass, the values are right and the gradient isn't: is a part "
            "of the computation cut off from it, by `.detach()` or `.data`?",
        )


def _to_drop(rng: np.random.Generator) -> dict:
    """Return one position, which can look at itself alone, values and a bias of 1.

    The number that comes back tells which dropouts it has passed. p isn't a half, because then
    1 − p would be the same.
    """
    n, hs = 4, 4
    layer = _heads(rng, n, hs, 250, 1, 1)
    layer["x"] = np.ones((250, 1, n * hs))
    identity = np.eye(n * hs)
    for i, head in enumerate(layer["heads"]):
        head[2] = identity[i * hs : (i + 1) * hs]
    p = float(rng.choice([0.2, 0.25, 0.4]))
    layer |= {"proj": identity, "bias": np.ones(n * hs), "dropout": p}
    return {"layer": layer}


TWO_DROPOUTS = "(It is needed in two places: on the weights after softmax, and on what c_proj "
TWO_DROPOUTS += "returns.)"


@fuse.case(
    "dropout, in train mode and in eval mode",
    points=2,
    adapter="dropped",
    inputs=_to_drop,
    crashes=FUSED_CRASHES | SCORES,
)
def dropout_in_both_modes(given, got):
    x, p = given["layer"]["x"], given["layer"]["dropout"]
    n, s = len(given["layer"]["heads"]), 1 / (1 - p)
    right = [0, s, s * (1 + s)]
    placed = {
        "weights": [1, 1 + s],
        "output": [0, 2 * s],
        "both": right,
        "before c_proj": [1, 1 + s * s],
    }

    def only(levels: list[float], y: np.ndarray) -> bool:
        """Return whether all of these numbers occur, and no others."""
        near = np.isclose(y.reshape(-1, 1), levels, atol=1e-4)
        return near.any(1).all() and near.any(0).all()

    one_tensor("forward(x)", got["eval"])
    evaluated = array("forward(x) in eval mode", got["eval"], x.shape)
    left_on = (
        "Dropout is left on in eval mode. `F.dropout(y, p)` and `dropout_p=p` of "
        "`F.scaled_dot_product_attention` know nothing of `eval()`: pass `self.training` on to the "
        "one, `p if self.training else 0.0` to the other; an `nn.Dropout` layer knows by itself."
    )
    on = any(only(levels, evaluated) for levels in placed.values())
    expect(
        f"forward(x) in eval mode with dropout = {p}",
        evaluated,
        2 * x,
        tol=1e-5,
        hint=left_on if on else None,
    )
    y = array("forward(x) in train mode", got["train"], x.shape)
    what = f"forward(x) in train mode with dropout = {p}"
    if only([2], y):
        raise Wrong(
            f"{what}: expected zeros in it, got none",
            "There is no dropout in train mode. It belongs in two places, on the attention weights "
            "after softmax and on the projected output.",
        )
    for place, hint in {
        "weights": f"Dropout on the projected output is missing. {TWO_DROPOUTS}",
        "output": f"Dropout on the attention weights is missing. {TWO_DROPOUTS} Before softmax it "
        "drops no weight: a score of 0 is a score like others.",
        "before c_proj": "The second dropout comes before c_proj: it belongs behind it, on the "
        "projected output.",
    }.items():
        expect_that(
            not only(placed[place], y),
            f"{what}: expected dropout in two places, on the weights and on the output, got "
            + ("it in one" if place != "before c_proj" else "numbers that c_proj's bias is in"),
            hint,
        )
    alive = (y != 0).reshape(len(x), n, -1)
    gone = np.isclose(y, s, atol=1e-4).reshape(alive.shape)  # the weight was dropped
    zeros, without = 1 - alive.mean(), gone.sum() / max(alive.sum(), 1)
    expect_that(
        only(right, y) and abs(zeros - p) < 0.1 and abs(without - p) < 0.1,
        f"{what}: expected {p:.0%} zeros in the output and {right[2]:.4g} as its largest number, "
        f"got {zeros:.0%} and {y.max():.4g}",
        "Each of the two dropouts sets a share p to 0 and divides the rest by 1 − p: once on the "
        "weights, once on the output, with the p that the class was given. (p is the share that is "
        "dropped, not the one that is kept.)",
    )
    expect_that(
        not (gone.any(2) & (alive & ~gone).any(2)).any(),
        f"{what}: expected that a dropped weight takes all channels of its head with it, got heads "
        "with some of them",
        "Single channels are dropped inside the heads, not weights: the first dropout belongs on "
        "what softmax gives, before the product with v.",
    )
    expect_that(
        (gone | ~alive).all((1, 2)).mean() < p / 2,
        f"{what}: expected that each head drops weights of its own, got all heads at once",
        "All heads drop the same weights: the mask of the first dropout has the shape of the "
        "weights, (B, n_head, T, T).",
    )


@fuse.case(
    "no loop: the same calls for more heads, examples and positions",
    points=2,
    adapter="counted",
    inputs=lambda rng: {
        "layers": [
            _heads(rng, n, 16 // n, B, T, 6)
            for n, B, T in ((2, 3, 4), (8, 3, 4), (2, 5, 4), (2, 3, 6))
        ]
    },
    crashes=FUSED_CRASHES | SHORT,
)
def calls_independent_of_sizes(given, got):
    equal_to_separate_heads(given, got)
    base, *more = (int(n) for n in array("the calls", got["calls"], (4,)))
    expect_that(base >= 5, f"{base} calls of torch: too few for attention", "Use torch throughout.")
    for calls, what, hint in zip(
        more,
        ("8 heads instead of 2", "5 examples instead of 3", "6 positions instead of 4"),
        (
            "Somewhere a loop goes over the heads. As the axis n_head of one tensor, (B, n_head, "
            "T, head_size), all of them are in the same product.",
            "Somewhere a loop goes over the examples: `@` and softmax take the whole batch.",
            "Somewhere a loop goes over the positions: the scores of all queries are one product, "
            "and the mask gives each its past.",
        ),
        strict=True,
    ):
        expect_that(
            calls <= base,
            f"calls of torch's functions for {what}: expected {base} as before, got {calls}",
            hint,
        )
