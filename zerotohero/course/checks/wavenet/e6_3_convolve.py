"""6.3 · The tree as convolutions: seeing one computation in another, and proving it by
equality.
"""

import math
from functools import partial
from itertools import pairwise

import numpy as np

from zerotohero.course.checks.wavenet._e6_3_mistakes import conv, conv_mistakes, tree_mistakes
from zerotohero.course.checks.wavenet.shared import expect_gradients
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    expect,
)

convolve = Exercise(
    number="6.3",
    title="The tree as convolutions",
    difficulty=4,
    minutes=45,
    practises="seeing one computation in another, and proving it by equality",
    answers=("causal_dilated", "tree_everywhere"),
    summary=(
        "Write a causal convolution with a dilation, and stack it. "
        "At every position, the stack must equal the tree on the window that ends there."
    ),
    statement="""
`causal_dilated(x: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor`

`x` is (B, T, C), `weight` (2 · C, H), `bias` (H,). Return (B, T, H), in which row t is

&nbsp;&nbsp;&nbsp;&nbsp;`[x[t − dilation], x[t]] @ weight + bias`,

the older vector first, as in the tree. Before the first position, `x[0]` is repeated:
`x[t − dilation]` means `x[0]` where t < dilation. (A name starts on the boundary, and before it
come boundaries only.) Gradients flow back to `x`, `weight` and `bias`.

`tree_everywhere(x: Tensor, layers: list[tuple[Tensor, Tensor]]) -> Tensor`

Run one such convolution for each (weight, bias) in `layers`, each followed by tanh, with the
dilations that make row t of the result, (B, T, H), equal to the **tree** of these layers on the
window that ends at t. The tree fuses pairs, puts them through the first layer and tanh, fuses pairs
of the results, and so on; with L layers its windows have 2**L vectors, which may be more than T.
Both functions return tensors of `x`'s dtype.

```python
x = torch.tensor([[[1.0], [2.0], [4.0], [8.0]]])                      # (1, 4, 1)
w, b = torch.tensor([[10.0], [1.0]]), torch.tensor([0.5])
causal_dilated(x, w, b, 1).flatten().tolist()   # [11.5, 12.5, 24.5, 48.5]
causal_dilated(x, w, b, 2).flatten().tolist()   # [11.5, 12.5, 14.5, 28.5]
```
""",
    hints=(
        "Make a second tensor, `past`, whose row t is x[t − dilation]. How far apart are the two "
        "vectors that the tree's second layer fuses?",
        "`past` is x moved to the right by `dilation`, with copies of the first vector in front, "
        "cut to T positions. Then `torch.cat([past, x], 2) @ weight + bias` is all rows at once.",
        "`front = x[:, :1].expand(-1, dilation, -1)`, `past = torch.cat([front, x], 1)[:, : "
        "x.shape[1]]`. In the stack, layer i has the dilation 2**i: 1, 2, 4, …",
    ),
)


def _conv_inputs(rng: np.random.Generator, dilation: int, *sizes: tuple[int, int]) -> dict:
    """Inputs for runs with these (B, T), which are alike in all other sizes, and in no number."""
    C, H = int(rng.choice([3, 5])), int(rng.choice([7, 8]))  # no two alike
    runs = [
        {
            "x": rng.normal(size=(B, T, C)),
            "weight": rng.normal(size=(2 * C, H)),
            "bias": rng.normal(size=H),
            "dilation": dilation,
        }
        for B, T in sizes
    ]
    return {"runs": runs}


CRASHES = {
    "Sizes of tensors must match|must match the size": "`past` has another number of positions "
    "than x: `dilation` vectors in front, and cut to T. Where dilation is larger than T, `x[:, "
    ":-dilation]` is empty, and too much stands in front.",
    "cannot be multiplied": "The two vectors have to stand side by side, (B, T, 2 · C), before "
    "they meet the weight: `torch.cat([past, x], 2)`.",
    "where a tensor is needed": "Return the tensor by itself: a comma behind it makes a tuple, and "
    "`tolist` a list.",
}
FLOAT32 = "It agrees to about seven digits, as far as float32 goes: keep x's dtype."


def _expect(what: str, got, want: np.ndarray, mistakes: list[Mistake]) -> None:
    """`expect`, to the digits of float64."""
    rounded = np.shape(got) == want.shape and isinstance(got, np.ndarray)
    rounded = rounded and np.allclose(got, want, rtol=1e-5, atol=1e-5)
    expect(what, got, want, tol=1e-9, mistakes=mistakes, hint=FLOAT32 if rounded else None)


def neighbours_convolved(given: dict, got: dict) -> None:
    for run, its in zip(given["runs"], got["runs"], strict=True):
        x, w, b, d = (run[key] for key in ("x", "weight", "bias", "dilation"))
        what = f"causal_dilated, x of shape {x.shape}, dilation {d}"
        _expect(what, its["y"], conv(x, w, b, d), conv_mistakes(x, w, b, d))
        expect_gradients(
            what,
            its["slopes"],
            {"x": x, "weight": w, "bias": b},
            lambda at, d=d: conv(at["x"], at["weight"], at["bias"], d).sum(),
        )


convolve.case(
    "neighbours: dilation 1",
    adapter="convolved",
    inputs=lambda rng: _conv_inputs(rng, 1, (2, int(rng.integers(9, 14)))),
    crashes=CRASHES,
)(neighbours_convolved)


convolve.case(
    "vectors further apart",
    points=2,
    adapter="convolved",
    inputs=lambda rng: _conv_inputs(rng, int(rng.integers(3, 6)), (3, int(rng.integers(11, 16)))),
    crashes=CRASHES,
)(neighbours_convolved)


convolve.case(
    "sequences no longer than the dilation",
    adapter="convolved",
    inputs=lambda rng: _conv_inputs(rng, 7, (1, 4), (2, 1), (3, 7)),
    crashes=CRASHES,
)(neighbours_convolved)


def _tree_inputs(rng: np.random.Generator) -> dict:
    """Six layers, more than the lecture has, on a sequence longer than a window of theirs; three
    on one that is shorter than their window; one layer on one position.
    """
    widths = [int(rng.integers(3, 6)), 6, 8, 7, 9, 5, 4]  # C, and the H of each layer
    runs = []
    for depth, B, T in ((6, 2, int(rng.integers(67, 72))), (3, 1, 5), (1, 2, 1)):
        layers = [
            [rng.normal(size=(2 * a, b)) / math.sqrt(2 * a), rng.normal(size=b)]
            for a, b in pairwise(widths[: depth + 1])
        ]
        runs.append({"x": rng.normal(size=(B, T, widths[0])), "layers": layers})
    return {"runs": runs}


def _tree(window: np.ndarray, layers: list) -> np.ndarray:
    for weight, bias in layers:
        B, T, C = window.shape
        window = np.tanh(window.reshape(B, T // 2, 2 * C) @ weight + bias)
    return window[:, 0]


@convolve.case(
    "equal to the tree on every window",
    points=3,
    adapter="everywhere",
    inputs=_tree_inputs,
    crashes=CRASHES,
)
def equal_to_the_tree(given, got):
    for run, its in zip(given["runs"], got["runs"], strict=True):
        x, layers = run["x"], run["layers"]
        T, size = x.shape[1], 2 ** len(layers)
        padded = np.concatenate([np.repeat(x[:, :1], size - 1, 1), x], 1)
        want = np.stack([_tree(padded[:, t : t + size], layers) for t in range(T)], 1)
        number = f"{len(layers)} layers" if len(layers) > 1 else "1 layer"
        what = f"tree_everywhere, x of shape {x.shape}, {number}"
        _expect(what, its["y"], want, tree_mistakes(x, layers, want))
        inputs = {"x": x}
        for i, (weight, bias) in enumerate(layers):
            inputs |= {f"weight {i}": weight, f"bias {i}": bias}
        expect_gradients(what, its["slopes"], inputs, partial(_sum_of_stack, len(layers)))


def _sum_of_stack(depth: int, at: dict) -> float:
    y = at["x"]
    for i in range(depth):
        y = np.tanh(conv(y, at[f"weight {i}"], at[f"bias {i}"], 2**i))
    return y.sum()
