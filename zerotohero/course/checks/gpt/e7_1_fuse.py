"""7.1 · All heads at once: moving axes, so that one batched product does the work of many
small ones.
"""

import math
from functools import partial

import numpy as np

from zerotohero.course.checks.gpt._e7_1_dropout import TIMES, dropout_in_both_modes, to_drop
from zerotohero.course.checks.gpt._e7_1_fuse import (
    CUT_OFF,
    FIRST_CALL,
    FUSED_CRASHES,
    SCORES,
    SHORT,
    SMALL,
    block_size_for_T,
    fused_wrongly,
    separate,
)
from zerotohero.course.checks.gpt.shared import expect_slowly, one_tensor, same_type
from zerotohero.course.exercise import Exercise, Wrong, array, expect, expect_that
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

an `nn.Module` whose `forward(x)` takes (B, T, C) to (B, T, C), both float32, for every T ≤
block_size and every B, in any order of calls. It equals `MultiHeadAttention` to 1e-5 when it has
the same weights, also where scores are in the hundreds. Queries, keys and values have the shape (B,
n_head, T, head_size) inside, and there is no loop over heads, examples or positions. Use products
and softmax, or `F.scaled_dot_product_attention`; both can pass.

Its parameters are those of two linear layers with GPT-2's names, and `copy_heads` in the next cell
shows which row goes where:

- `c_attn`, from C to 3 · C, no bias. The rows of its weight are the queries of head 0, of head 1,
  and so on; then the keys of all heads; then the values of all heads.
- `c_proj`, from C to C, with a bias: the projection of the joined heads.

`dropout` is below 1, and acts where `MultiHeadAttention` has it: on the attention weights after
softmax, (B, n_head, T, T), and on the projected output, (B, T, C), each number independently and
anew in every call, and both in train mode only. The gradients of the input and of every weight are
the same, too.

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


def _large(rng: np.random.Generator) -> dict:
    """Return one text, with scores in the hundreds, of either sign, that are exact in float32."""
    x = rng.choice([-3.0, -2.0, 2.0, 3.0], (1, 5, 3))
    x[0, 0] = 3  # so head 1, where q is −k, sees nothing above −900 at first
    rows = 10 * np.eye(3)[:, None]
    heads = [
        [row, sign * row, rng.normal(size=(1, 3))]
        for row, sign in zip(rows, (1, -1, 1), strict=True)
    ]
    return _heads(rng, 3, 1, 1, 5, 5) | {"x": x, "heads": heads}


QKV = ("c_attn's rows of queries", "c_attn's rows of keys", "c_attn's rows of values")


def equal_to_separate_heads(given: dict, got: dict) -> None:
    lengths = given.get("lengths", [None])
    asked = [(layer, layer["x"][:, :T]) for layer in given["layers"] for T in lengths]
    for (layer, x), y in zip(asked, got["y"], strict=True):
        heads, proj, bias = (layer[key] for key in ("heads", "proj", "bias"))
        B, T, C = x.shape
        one_tensor("forward(x)", y)
        expect_slowly(
            f"forward(x) for B = {B}, T = {T}, C = {C}, n_head = {len(heads)}",
            y,
            separate(x, heads, proj, bias),
            partial(fused_wrongly, x, heads, proj, bias),
            tol=1e-5,
        )
        same_type("forward(x)", y, "float32")


fuse.case(
    "equal to the separate heads",
    points=3,
    adapter="attended",
    inputs=lambda rng: {"layers": [_heads(rng, 3, 5, 2, 7, 7)]},  # 4 heads don't go into it
    crashes=SMALL | FUSED_CRASHES | SCORES,
)(equal_to_separate_heads)


@fuse.case(
    "any number of heads, one text, and large scores",
    points=1,
    adapter="attended",
    inputs=lambda rng: {
        "layers": [
            _heads(rng, n, hs, 3, 6, 6)
            for n, hs in ((2, int(rng.integers(7, 10))), (1, 5), (5, 2), (4, 1))
        ]
        + [_heads(rng, 2, 5, 1, 7, 7), _large(rng)]
    },
    crashes=FUSED_CRASHES | SCORES,
)
def any_number_of_heads(given, got):
    *layers, large = given["layers"]
    *outputs, y = got["y"]
    equal_to_separate_heads({"layers": layers}, {"y": outputs})
    if np.shape(y) == large["x"].shape and not np.isfinite(y).all():
        raise Wrong(
            "forward(x) with scores from −900 to 900: expected numbers, got NaN or infinite ones",
            "exp of a score of 100 is infinite in float32, and exp of −200 is 0: `softmax` takes "
            "care of that, or subtract the largest score of each row before `exp`.",
        )
    try:
        equal_to_separate_heads({"layers": [large]}, {"y": [y]})
    except Wrong as wrong:
        raise Wrong(
            f"with scores from −900 to 900, {wrong.message}",
            "With small scores it is right. Large ones must count as they are, and what hides the "
            "future must be smaller than any of them: −∞.",
        ) from None


fuse.case(
    "texts shorter than block_size",
    points=2,
    adapter="attended",
    inputs=lambda rng: {"layers": [_heads(rng, 3, 5, 2, 11, 12)], "lengths": [6, 11, 1]},
    crashes=FIRST_CALL | block_size_for_T(12) | FUSED_CRASHES | SHORT,
)(equal_to_separate_heads)


def _to_learn(rng: np.random.Generator) -> dict:
    layer = _heads(rng, 3, 5, 2, 6, 7)
    return {"layer": layer, "weights": rng.normal(size=layer["x"].shape)}


@fuse.case(
    "it learns: the gradients of the input and of all weights",
    adapter="learning",
    inputs=_to_learn,
    crashes={"does not require grad": CUT_OFF} | block_size_for_T(7) | FUSED_CRASHES | SHORT,
)
def gradients_of_all_weights(given, got):
    equal_to_separate_heads({"layers": [given["layer"]]}, {"y": [got["y"]]})
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
        y = separate(
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
            hint="Here the values are right and the gradient isn't: is a part of the computation "
            "cut off from it, by `.detach()` or `.data`?",
        )


fuse.case(
    "dropout, in train mode and in eval mode",
    points=2,
    adapter="dropped",
    inputs=to_drop,
    crashes=block_size_for_T(TIMES + 2) | FUSED_CRASHES | SHORT,
)(dropout_in_both_modes)


@fuse.case(
    "no loop: the same calls for more heads, examples and positions",
    points=2,
    adapter="counted",
    inputs=lambda rng: {
        "layers": [
            _heads(rng, n, 16 // n, B, T, block_size)
            for n, B, T, block_size in ((2, 3, 5, 9), (8, 3, 5, 9), (2, 6, 5, 9), (2, 3, 7, 12))
        ]
    },
    crashes=block_size_for_T(9, 12) | FUSED_CRASHES | SHORT,
)
def calls_independent_of_sizes(given, got):
    equal_to_separate_heads(given, got)
    base, *more = (int(n) for n in array("the calls", got["calls"], (4,)))
    expect_that(base >= 5, f"{base} calls of torch: too few for attention", "Use torch throughout.")
    for calls, what, hint in zip(
        more,
        (
            "8 heads instead of 2",
            "6 examples instead of 3",
            "7 positions instead of 5, with block_size 12 instead of 9",
        ),
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
