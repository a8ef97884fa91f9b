"""6.3 · The tree as convolutions: seeing one computation in another, and proving it by
equality.
"""

import math
from itertools import pairwise

import numpy as np

from zerotohero.course.checks.wavenet.shared import FUTURE, advanced, delayed, expect_gradients
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

the older vector first, as in the tree. Before the first position the input is taken to have been
what it is there: `x[t − dilation]` means `x[0]` where t < dilation. (A name starts on the boundary,
and before it come boundaries only.) Gradients flow back to `x`, `weight` and `bias`.

`tree_everywhere(x: Tensor, layers: list[tuple[Tensor, Tensor]]) -> Tensor`

Run one such convolution for each (weight, bias) in `layers`, each followed by tanh, with the
dilations that make row t of the result, (B, T, H), equal to the **tree** of these layers on the
window that ends at t. The tree fuses pairs, puts them through the first layer and tanh, fuses pairs
of the results, and so on; with L layers its windows have 2**L vectors.

```python
x = torch.tensor([[[1.0], [2.0], [4.0], [8.0]]])                      # (1, 4, 1)
w, b = torch.tensor([[10.0], [1.0]]), torch.tensor([0.5])
causal_dilated(x, w, b, 1).flatten().tolist()   # [11.5, 12.5, 24.5, 48.5]
causal_dilated(x, w, b, 2).flatten().tolist()   # [11.5, 12.5, 14.5, 28.5]
```
""",
    hints=(
        "Make a second tensor, `past`, whose row t is x[t − dilation]. How far are the two vectors "
        "apart that the tree's second layer fuses?",
        "`past` is x moved to the right by `dilation`, with copies of the first vector in front, "
        "cut to T positions. Then `torch.cat([past, x], 2) @ weight + bias` is all rows at once.",
        "`front = x[:, :1].expand(-1, dilation, -1)`, `past = torch.cat([front, x], 1)[:, : "
        "x.shape[1]]`. In the stack, layer i has the dilation 2**i: 1, 2, 4, …",
    ),
)


def _conv(x, weight, bias, d, pad="first") -> np.ndarray:
    return np.concatenate([delayed(x, d, pad), x], 2) @ weight + bias


def _conv_inputs(rng: np.random.Generator, dilation: int, T: int) -> dict:
    B, C, H = (
        2,
        int(rng.choice([3, 5])),
        int(rng.choice([7, 8])),
    )  # no two alike
    return {
        "x": rng.normal(size=(B, T, C)),
        "weight": rng.normal(size=(2 * C, H)),
        "bias": rng.normal(size=H),
        "dilation": dilation,
    }


CONV_CRASHES = {
    "Sizes of tensors must match|must match the size": "`past` has another number of positions "
    "than x: `dilation` vectors in front, and cut to T. Where dilation is larger than T, `x[:, "
    ":-dilation]` is empty, and too much stands in front.",
    "cannot be multiplied": "The two vectors have to stand side by side, (B, T, 2 · C), before "
    "they meet the weight: `torch.cat([past, x], 2)`.",
}


def neighbours_convolved(given: dict, got: dict) -> None:
    x, w, b, d = (given[key] for key in ("x", "weight", "bias", "dilation"))
    T = x.shape[1]
    want = _conv(x, w, b, d)
    past = delayed(x, d)

    def both(old, new) -> np.ndarray:
        return np.concatenate([old, new], 2) @ w + b

    zeros = _conv(x, w, b, d, "zeros")
    without = np.where(np.arange(T)[:, None] < d, 0.0, want)
    expect(
        "causal_dilated",
        got["y"],
        want,
        mistakes=[
            Mistake(
                both(x, past),
                "The two vectors are exchanged: the older one, x[t − dilation], comes first: "
                "the upper half of the weight belongs to it.",
            ),
            Mistake(
                zeros,
                "Zeros stand in front, a vector that the tree never sees: before the first "
                "position, x[0] is repeated.",
            ),
            *(
                Mistake(both(*pair), FUTURE)
                for pad in ("last", "zeros")
                for pair in ((x, advanced(x, d, pad)), (advanced(x, d, pad), x))
            ),
            Mistake(
                past @ w[0::2] + x @ w[1::2] + b,
                "The rows of the weight are dealt out in turn: the upper half, rows 0 to C − 1, "
                "belongs to the older vector, the lower half to the newer. `weight.view(2, C, H)` "
                "separates them.",
            ),
            Mistake(zeros - b, "The bias is missing, and zeros stand in front."),
            Mistake(
                _conv(x, w, b, d, "wrap"),
                "The end of the sequence comes round to its beginning, as `torch.roll` has it: the "
                "first rows have seen the future.",
            ),
            Mistake(want - b, "The bias is missing."),
            Mistake(without, "The first rows are zeros: they have a past too, copies of x[0]."),
            Mistake(
                _conv(x, w, b, 1),
                "The two vectors are always neighbours: they lie `dilation` apart.",
            ),
            Mistake(_conv(x, w, b, d + 1), "The older vector lies dilation + 1 back: one too far."),
            Mistake(
                _conv(x, w, b, d - 1),
                "The older vector lies dilation − 1 back: the front is `dilation` vectors long, "
                "not one less.",
            ),
            *(
                Mistake(
                    rows[:, 1:],
                    "A row is missing at the beginning: with dilation 1, one copy of x[0] stands "
                    "in front.",
                )
                for rows in (want, zeros)
                if d == 1
            ),
            Mistake(
                want[:, d:],
                "Rows are missing at the beginning, as many as `dilation`: put copies of x[0] in "
                "front, so that every position has an output.",
            ),
            Mistake(
                want[:, 1:],
                "The first row is missing: the front is padded by dilation − 1, and has to be "
                "padded by dilation, or the last output falls short.",
            ),
            Mistake(
                zeros[:, 1:],
                "The first row is missing, and zeros stand in front: pad by `dilation` copies of "
                "x[0].",
            ),
            Mistake(np.tanh(want), "tanh belongs to `tree_everywhere`; here the sum is plain."),
        ],
    )
    expect_gradients(
        "causal_dilated",
        got["slopes"],
        {"x": x, "weight": w, "bias": b},
        lambda at: _conv(at["x"], at["weight"], at["bias"], d).sum(),
    )


convolve.case(
    "neighbours: dilation 1",
    adapter="convolved",
    inputs=lambda rng: _conv_inputs(rng, 1, int(rng.integers(9, 14))),
    crashes=CONV_CRASHES,
)(neighbours_convolved)


convolve.case(
    "vectors further apart",
    points=2,
    adapter="convolved",
    inputs=lambda rng: _conv_inputs(rng, int(rng.integers(3, 6)), int(rng.integers(11, 16))),
    crashes=CONV_CRASHES,
)(neighbours_convolved)


convolve.case(
    "a sequence shorter than the dilation",
    adapter="convolved",
    inputs=lambda rng: _conv_inputs(rng, 7, 4),
    crashes=CONV_CRASHES,
)(neighbours_convolved)


def _tree_inputs(rng: np.random.Generator) -> dict:
    # More layers than the lecture has, and a sequence longer than a window of theirs.
    T, sizes = int(rng.integers(37, 42)), [int(rng.integers(3, 6)), 6, 8, 7, 9, 5]  # C, and each H
    layers = [
        [rng.normal(size=(2 * a, b)) / math.sqrt(2 * a), rng.normal(size=b)]
        for a, b in pairwise(sizes)
    ]
    return {"x": rng.normal(size=(2, T, sizes[0])), "layers": layers}


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
    crashes=CONV_CRASHES,
)
def equal_to_the_tree(given, got):
    x, layers = given["x"], given["layers"]
    T, size = x.shape[1], 2 ** len(layers)
    padded = np.concatenate([np.repeat(x[:, :1], size - 1, 1), x], 1)
    want = np.stack([_tree(padded[:, t : t + size], layers) for t in range(T)], 1)

    def stacked(dilations, pad="first", conv=_conv, bend=(1, 1, 1, 1, 1)) -> np.ndarray:
        y = x
        for (weight, bias), d, bent in zip(layers, dilations, bend, strict=False):
            y = conv(y, weight, bias, d, pad)
            y = np.tanh(y) if bent else y
        return y

    def swapped(x, w, b, d, pad) -> np.ndarray:
        return np.concatenate([x, delayed(x, d)], 2) @ w + b

    def ahead(x, w, b, d, pad) -> np.ndarray:
        return np.concatenate([x, advanced(x, d, pad)], 2) @ w + b

    early = x
    for i, (weight, bias) in enumerate(layers):
        early = _conv(np.tanh(early), weight, bias, 2**i)
    right = (1, 2, 4, 8, 16)
    expect(
        "tree_everywhere",
        got["y"],
        want,
        mistakes=[
            Mistake(
                stacked((1, 1, 1, 1, 1)),
                "All dilations are 1: the second layer of the tree fuses results of pairs, and two "
                "pairs that don't overlap lie 2 apart.",
            ),
            Mistake(
                stacked((1, 2, 3, 4, 5)),
                "The dilations are 1, 2, 3, 4, 5: the groups double in length from layer to layer, "
                "and the dilation with them.",
            ),
            Mistake(
                stacked((2, 4, 8, 16, 32)),
                "The dilations begin at 2: the first layer fuses neighbours, 1 apart.",
            ),
            Mistake(
                stacked((16, 8, 4, 2, 1)),
                "The dilations are 16, 8, 4, 2, 1: the first layer of the tree fuses neighbours, "
                "the last one halves, so they grow.",
            ),
            Mistake(
                stacked((1, 2, 4, 6, 8)),
                "The dilations are 1, 2, 4, 6, 8: from layer to layer they double, so the fourth "
                "is 8, and the fifth 16.",
            ),
            Mistake(
                stacked((1, 2, 4, 8, 8)),
                "The last two dilations are both 8: each layer doubles it, however many there are.",
            ),
            *(
                Mistake(
                    stacked(right[:n]),
                    f"Only {word} layers were run, and there are five: take as many dilations as "
                    "there are layers.",
                )
                for n, word in ((3, "three"), (4, "four"))
            ),
            Mistake(
                stacked((2, 2, 2, 2, 2)), "All dilations are 2: they double from layer to layer."
            ),
            Mistake(early, "tanh comes after each convolution, not before it."),
            Mistake(stacked(right, bend=(0, 0, 0, 0, 0)), "The tanh after each layer is missing."),
            Mistake(
                stacked(right, bend=(1, 1, 1, 1, 0)), "The tanh after the last layer is missing."
            ),
            Mistake(
                stacked(right, pad="zeros"),
                f"Right from row {size - 1} on; the rows before it have seen zeros, in place of "
                "copies of the first vector.",
            ),
            Mistake(stacked(right, conv=swapped), "In each pair the older vector comes first."),
            *(Mistake(stacked(right, pad, ahead), FUTURE) for pad in ("last", "zeros")),
            Mistake(want[:, -1], "Only the last window came back: every position has one."),
            Mistake(
                want[:, size - 1 :],
                "The first rows are missing: their windows reach back before the beginning, where "
                "x[0] is repeated.",
            ),
            Mistake(
                stacked(right, pad="wrap"),
                "The end of the sequence comes round to its beginning, as `torch.roll` has it.",
            ),
        ],
    )
    inputs = {"x": x}
    for i, (weight, bias) in enumerate(layers):
        inputs |= {f"weight {i}": weight, f"bias {i}": bias}

    def sum_of(at: dict) -> float:
        y = at["x"]
        for i in range(len(layers)):
            y = np.tanh(_conv(y, at[f"weight {i}"], at[f"bias {i}"], 2**i))
        return y.sum()

    expect_gradients("tree_everywhere", got["slopes"], inputs, sum_of)
