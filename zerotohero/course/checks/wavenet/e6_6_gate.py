"""6.6 · Gated units, residual and skip: building a block from the formula and the figure of
a paper.
"""

import math

import numpy as np

from zerotohero.course.checks.wavenet.shared import FUTURE, advanced, delayed, expect_gradients
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    expect,
)

gate = Exercise(
    number="6.6",
    title="Gated units, residual and skip",
    difficulty=4,
    minutes=40,
    practises="building a block from the formula and the figure of a paper",
    answers=("gated_residual", "sum_of_skips"),
    summary=(
        "Build the block that the WaveNet paper stacks, a gated convolution with two ways out. "
        "Then stack it, and collect what every block has to say."
    ),
    statement="""
Van den Oord and colleagues (2016, equation 2 and figure 4) compute z = tanh(W_f ∗ x) ⊙ σ(W_g ∗ x),
where ∗ is a causal dilated convolution, ⊙ the product number by number and σ the sigmoid: one half
says what, the other how much of it. A 1×1 convolution, which is a matrix for each position alone,
follows. Its result leaves the block twice: added to the block's **input**, the residual way, it
goes to the next block; as it is, the skip way, it goes straight to the output of the network.

`gated_residual(x, W_f, W_g, W_1, dilation: int) -> tuple[Tensor, Tensor]`

`x` is (B, T, C), `W_f` and `W_g` are (2 · C, H), `W_1` is (H, C). The convolutions are those of 6.3
without a bias: row t reads [x[t − dilation], x[t]], and x[0] is repeated in front. Return the input
of the next block and the skip, both (B, T, C). Neither function changes `x`,
and gradients flow back to `x` and the weights.

`sum_of_skips(x, blocks: list[tuple]) -> Tensor`

Run `x` through blocks (W_f, W_g, W_1, dilation), one after another, and return the sum of all their
skips, (B, T, C).

```python
x, one = torch.tensor([[[1.0], [2.0]]]), torch.ones(2, 1)
out, skip = gated_residual(x, one, one, torch.ones(1, 1), 1)
skip.flatten().tolist()   # tanh(2)·σ(2), tanh(3)·σ(3): [0.8491, 0.9479]
out.flatten().tolist()    # [1.8491, 2.9479]
```
""",
    hints=(
        "Draw figure 4 with shapes: x enters at the bottom (B, T, C), two convolutions make (B, T, "
        "H), their product is (B, T, H). Where do you get (B, T, C) again, so that x can be added?",
        "With pairs = [past, x] as in 6.3, z = tanh(pairs @ W_f) * sigmoid(pairs @ W_g) and skip = "
        "z @ W_1; the residual way is x + skip. The next block gets the residual way, the sum gets "
        "the skip.",
        "`x, skip = gated_residual(x, *block)` in a loop over the blocks, `total = total + skip`, "
        "starting from zero. Return `x + skip, skip` from the block.",
    ),
)


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def _gated(x, W_f, W_g, W_1, d, what=np.tanh, much=_sigmoid, join=np.multiply, pairs=None):
    """z, before the 1×1, and the skip; the switches are what learners get wrong."""
    pairs = np.concatenate([delayed(x, d), x], 2) if pairs is None else pairs
    z = join(what(pairs @ W_f), much(pairs @ W_g))
    return z, z @ W_1


def _block(rng: np.random.Generator, C: int, H: int, dilation: int) -> list:
    shapes = [(2 * C, H), (2 * C, H), (H, C)]
    return [*(rng.normal(size=s) * 1.5 / math.sqrt(s[0]) for s in shapes), dilation]


def _one_block(rng: np.random.Generator, square: bool) -> dict:
    C = int(rng.integers(4, 7))
    H = C if square else C + int(rng.integers(1, 4))
    x = rng.normal(size=(int(rng.integers(2, 4)), int(rng.integers(8, 12)), C))
    return {"x": x, "block": _block(rng, C, H, int(rng.integers(2, 5)))}


GATE_CRASHES = {
    "must match the size|must match, except|is broadcastable": "Two tensors of different shapes "
    "meet: x is (B, T, C) and z is (B, T, H). The 1×1, W_1, leads back to C before x is added.",
    "cannot be multiplied": "Write the shapes down: pairs (B, T, 2·C) meet W_f and W_g, and the "
    "gated z (B, T, H) meets W_1.",
    "Sizes of tensors must match": "`past` has another number of positions than x.",
}


def _gate_variants(x, W_f, W_g, W_1, d) -> list[tuple[np.ndarray, str]]:
    """Skips of blocks with something wrong inside, each with its hint."""
    args = (x, W_f, W_g, W_1, d)
    past, ahead = delayed(x, d), advanced(x, d)
    zeros = np.concatenate([delayed(x, d, "zeros"), x], 2)
    variants = [
        (
            {"much": np.tanh},
            "The gate is a tanh: it has to be a sigmoid, which goes from 0 (shut) to 1 (open); "
            "tanh would turn signs round.",
        ),
        (
            {"what": _sigmoid},
            "Both halves are sigmoids: what passes the gate is tanh(W_f ∗ x), which can be "
            "negative.",
        ),
        (
            {"what": _sigmoid, "much": np.tanh},
            "W_f and W_g have exchanged their parts: W_f goes with tanh, W_g with the sigmoid.",
        ),
        ({"join": np.add}, "The two halves are added: a gate multiplies, so that 0 shuts it."),
        ({"what": lambda a: a}, "The tanh around W_f ∗ x is missing."),
        (
            {"much": lambda a: a},
            "The sigmoid around W_g ∗ x is missing: what multiplies is then not between 0 and 1.",
        ),
        ({"join": lambda a, b: a}, "The gate is missing: only tanh(W_f ∗ x) is there."),
        ({"pairs": np.concatenate([x, past], 2)}, "In each pair the older vector comes first."),
        ({"pairs": np.concatenate([x, ahead], 2)}, FUTURE),
        (
            {"pairs": zeros},
            "Zeros stand in front of the sequence; x[0] is repeated there, as in 6.3.",
        ),
        (
            {"pairs": np.concatenate([delayed(x, 1), x], 2)},
            "The dilation isn't used: the two vectors of a pair lie `dilation` apart.",
        ),
    ]
    wrong = [(_gated(*args, **switches)[1], hint) for switches, hint in variants]
    same = "One weight is used in both halves: tanh goes with W_f, the sigmoid with W_g."
    wrong += [(_gated(x, W_f, W_f, W_1, d)[1], same), (_gated(x, W_g, W_g, W_1, d)[1], same)]
    return wrong


OVERWRITTEN = (
    "You overwrite the caller's x: `x += …` changes it in place. Make a new tensor, `x + skip`."
)


def block_gated(given: dict, got: dict) -> None:
    x, (W_f, W_g, W_1, d) = given["x"], given["block"]
    z, skip = _gated(x, W_f, W_g, W_1, d)
    variants = _gate_variants(x, W_f, W_g, W_1, d)
    expect(
        "the skip",
        got["skip"],
        skip,
        mistakes=[
            Mistake(
                x + skip,
                "This is what goes to the next block, the input added to it. The skip is taken "
                "before the input is added; and the order of the two results is (next input, "
                "skip).",
            ),
            Mistake(
                z,
                "The skip is taken before the 1×1: in the paper's figure it leaves the block after "
                "it.",
            ),
            *(Mistake(value, hint) for value, hint in variants),
            *(Mistake(x + value, hint) for value, hint in variants),
        ],
    )
    mistakes = [
        Mistake(skip, "The input is not added: the residual way is x plus the result of the 1×1."),
        Mistake(x + np.tanh(skip), "What is added went through tanh once more."),
        Mistake(
            np.tanh(x + skip),
            "The sum went through tanh: the residual way stays free, so that gradients pass it "
            "unchanged.",
        ),
        Mistake((x + skip) / 2, "The mean of both was taken; the paper adds."),
    ]
    if z.shape == x.shape:
        mistakes += [
            Mistake(
                z + skip,
                "The gated z is added instead of the input: residual means that the block's "
                "*input* x goes past it.",
            ),
            Mistake(
                x + z,
                "The 1×1 is missing on the residual way: it gets the same result as the skip, plus "
                "x.",
            ),
        ]
    expect("the input of the next block", got["out"], x + skip, mistakes=mistakes)
    expect("x after the call", got["x"], x, hint=OVERWRITTEN)
    inputs = {"x": x, "W_f": W_f, "W_g": W_g, "W_1": W_1}

    def sum_of_skip(at: dict) -> float:
        return _gated(*at.values(), d)[1].sum()

    def sum_of_out(at: dict) -> float:
        return at["x"].sum() + sum_of_skip(at)

    slopes = got["slopes"]
    expect_gradients("the skip", slopes["skip"], inputs, sum_of_skip)
    expect_gradients("the input of the next block", slopes["out"], inputs, sum_of_out)


gate.case(
    "one block",
    points=2,
    adapter="gated",
    inputs=lambda rng: _one_block(rng, square=True),
    crashes=GATE_CRASHES,
)(block_gated)


gate.case(
    "one block with more channels inside than outside",
    points=1,
    adapter="gated",
    inputs=lambda rng: _one_block(rng, square=False),
    crashes=GATE_CRASHES,
)(block_gated)


def _stack_of_blocks(rng: np.random.Generator) -> dict:
    C, T = int(rng.integers(4, 7)), int(rng.integers(10, 14))
    # Dilations in no order, one of them longer than the sequence; each block has an H of its own.
    blocks = [_block(rng, C, H, d) for H, d in ((7, 3), (9, 1), (8, T + 2), (10, 2))]
    return {"x": rng.normal(size=(2, T, C)), "blocks": blocks}


@gate.case(
    "the sum of the skips of all blocks",
    points=2,
    adapter="skips",
    inputs=_stack_of_blocks,
    crashes=GATE_CRASHES,
)
def sum_of_skips(given, got):
    x, skips, outs, chained, alone = given["x"], [], [], [], []
    last = x
    for block in given["blocks"]:
        skips.append(_gated(last, *block)[1])
        last = last + skips[-1]
        outs.append(last)
        chained.append(_gated(chained[-1] if chained else x, *block)[1])
        alone.append(_gated(x, *block)[1])
    counted, now = [], x
    for i, (*weights, _) in enumerate(given["blocks"]):
        counted.append(_gated(now, *weights, 2**i)[1])
        now = now + counted[-1]
    expect(
        "sum_of_skips",
        got["y"],
        sum(skips),
        mistakes=[
            Mistake(
                last,
                "That is what the last block hands on, the sum with x in it: add up the skips "
                "alone.",
            ),
            Mistake(
                sum(outs), "You add up what goes to the next block: add up the skips, without x."
            ),
            Mistake(skips[-1], "Only the last block's skip came back: each block's is added up."),
            Mistake(
                sum(chained),
                "Each block was fed the skip of the one before: it gets the residual way, with x "
                "in it.",
            ),
            Mistake(
                sum(alone),
                "Every block was fed the same x: the next one gets what the block before hands on.",
            ),
            Mistake(
                sum(counted),
                "The blocks were run with the dilations 1, 2, 4, 8: each brings its own along.",
            ),
            Mistake(sum(skips[:-1]), "The last block's skip is missing from the sum."),
            Mistake(sum(skips[1:]), "The first block's skip is missing from the sum."),
            Mistake(sum(skips) / len(skips), "The skips were averaged; the paper adds them."),
            Mistake(np.concatenate(skips, 2), "The skips stand side by side; add them up."),
        ],
        hint="If the cases above pass, the block is right: look at what you feed it and what you "
        "add up.",
    )
    expect("x after the call", got["x"], x, hint=OVERWRITTEN)
    weights = {
        f"{name} of block {i}": w
        for i, block in enumerate(given["blocks"])
        for name, w in zip(("W_f", "W_g", "W_1"), block[:3], strict=True)
    }

    def sum_of(at: dict) -> float:
        total, now, rest = 0.0, at["x"], list(at.values())[1:]
        for i, block in enumerate(given["blocks"]):
            skip = _gated(now, *rest[3 * i : 3 * i + 3], block[3])[1]
            total, now = total + skip.sum(), now + skip
        return total

    expect_gradients("sum_of_skips", got["slopes"], {"x": x, **weights}, sum_of)
