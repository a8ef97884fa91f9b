"""What wrong convolutions and stacks of 6.3 give, and the hint for each."""

import numpy as np

from zerotohero.course.checks.wavenet.shared import FUTURE, advanced, delayed
from zerotohero.course.exercise import Mistake


def conv(x, weight, bias, d, pad="first") -> np.ndarray:
    return np.concatenate([delayed(x, d, pad), x], 2) @ weight + bias


def _squeezed(function: str, want: np.ndarray) -> list[Mistake]:
    """What `squeeze` leaves of a right result where an axis has the length 1."""
    hint = (
        f"An axis of length 1 is gone from what {function} returns: it has three, (B, T, H), also "
        "for one example, and for one position."
    )
    values = [want.squeeze(axis) for axis in (0, 1) if want.shape[axis] == 1]
    return [Mistake(value, hint) for value in (*values, want.squeeze())]


def conv_mistakes(x, w, b, d) -> list[Mistake]:
    T = x.shape[1]
    want = conv(x, w, b, d)
    past = delayed(x, d)

    def both(old, new) -> np.ndarray:
        return np.concatenate([old, new], 2) @ w + b

    zeros = conv(x, w, b, d, "zeros")
    without = np.where(np.arange(T)[:, None] < d, 0.0, want)
    return [
        *_squeezed("causal_dilated", want),
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
            conv(x, w, b, d, "wrap"),
            "The end of the sequence comes round to its beginning, as `torch.roll` has it: the "
            "first rows have seen the future.",
        ),
        Mistake(want - b, "The bias is missing."),
        Mistake(without, "The first rows are zeros: they have a past too, copies of x[0]."),
        Mistake(
            conv(x, w, b, 1),
            "The two vectors are neighbours here: they lie `dilation` apart.",
        ),
        Mistake(conv(x, w, b, d + 1), "The older vector lies dilation + 1 back: one too far."),
        Mistake(
            conv(x, w, b, d - 1),
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
            "The first row is missing, and zeros stand in front: pad by `dilation` copies of x[0].",
        ),
        Mistake(np.tanh(want), "tanh belongs to `tree_everywhere`; here the sum is plain."),
    ]


def tree_mistakes(x, layers, want) -> list[Mistake]:
    depth, T = len(layers), x.shape[1]
    size = 2**depth

    def stacked(dilations, pad="first", conv=conv, bend=(1,) * depth) -> np.ndarray:
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
        early = conv(np.tanh(early), weight, bias, 2**i)
    right = [2**i for i in range(depth)]

    def dilated(dilations: list[int], why: str) -> Mistake:
        listed = ", ".join(map(str, dilations))
        return Mistake(stacked(dilations), f"The dilations are {listed}: {why}")

    return [
        *_squeezed("tree_everywhere", want),
        Mistake(
            stacked([1] * depth),
            "All dilations are 1: the second layer of the tree fuses results of pairs, and two "
            "pairs that don't overlap lie 2 apart.",
        ),
        dilated(
            [i + 1 for i in range(depth)],
            "the groups double in length from layer to layer, and the dilation with them.",
        ),
        Mistake(
            stacked([2 * d for d in right]),
            "The dilations begin at 2: the first layer fuses neighbours, 1 apart.",
        ),
        dilated(
            right[::-1],
            "the first layer of the tree fuses neighbours, the last one halves, so they grow.",
        ),
        dilated(
            [max(1, 2 * i) for i in range(depth)],
            "from layer to layer they double, so the fourth is 8, and the fifth 16.",
        ),
        *(
            Mistake(
                stacked([min(d, cap) for d in right]),
                f"The dilations stop growing at {cap}: each layer doubles them, however many "
                "there are.",
            )
            for cap in (4, 8, 16)
        ),
        *(
            Mistake(
                stacked(right[:n]),
                f"Only {word} layers were run, and there are {depth}: take as many dilations as "
                "there are layers.",
            )
            for n, word in ((3, "three"), (4, "four"), (5, "five"))
        ),
        Mistake(
            stacked([min(d, max(1, T // 2)) for d in right]),
            "The dilations are kept within half of T: they double, however short the sequence is, "
            "and x[0] stands for all that lies before it.",
        ),
        Mistake(stacked([2] * depth), "All dilations are 2: they double from layer to layer."),
        Mistake(early, "tanh comes after each convolution, not before it."),
        Mistake(stacked(right, bend=[0] * depth), "The tanh after each layer is missing."),
        Mistake(
            stacked(right, bend=[1] * (depth - 1) + [0]),
            "The tanh after the last layer is missing.",
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
    ]
