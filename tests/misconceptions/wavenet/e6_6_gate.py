"""Wrong answers to 6.6, gated units, residual and skip."""

import torch

from misconceptions import wrong
from misconceptions.wavenet.shared import conv


def gated(
    x,
    W_f,
    W_g,
    W_1,
    d,
    what=torch.tanh,
    much=torch.sigmoid,
    join=torch.mul,
    out=lambda x, z, s: x + s,
    skip=lambda x, z, s: s,
    front="first",
    swap=False,
    ahead=False,
):
    def pairs(W):
        return conv(x, W, 0.0, d, front, swap, ahead)

    z = join(what(pairs(W_f)), much(pairs(W_g)))
    s = z @ W_1
    return out(x, z, s), skip(x, z, s)


def skips(x, blocks, next_input=lambda out, skip: out, result=sum):
    found = []
    for block in blocks:
        out, skip = gated(x, *block)
        found.append(skip)
        x = next_input(out, skip)
    return result(found) if result else x


def block(**switches):
    return lambda *given: gated(*given, **switches), skips


@wrong("6.6", "The gate is a tanh")
def gate_of_tanh():
    return block(much=torch.tanh)


@wrong("6.6", "have exchanged their parts")
def parts_exchanged():
    return block(what=torch.sigmoid, much=torch.tanh)


@wrong("6.6", "The two halves are added")
def halves_added():
    return block(join=torch.add)


@wrong("6.6", "The tanh around W_f ∗ x is missing")
def linear_unit():
    return block(what=lambda a: a)


@wrong("6.6", "The gated z is added instead of the input")
def residual_of_the_gated():
    return block(out=lambda x, z, s: z + s)


@wrong("6.6", "The input is not added")
def no_residual():
    return block(out=lambda x, z, s: s)


@wrong("6.6", "The skip is taken before the input is added")
def skip_after_the_residual():
    return block(skip=lambda x, z, s: x + s)


@wrong("6.6", "The skip is taken before the 1×1")
def skip_before_the_matrix():
    return block(skip=lambda x, z, s: z)


@wrong("6.6", "The 1×1 is missing on the residual way")
def residual_without_the_matrix():
    return block(out=lambda x, z, s: x + z)


@wrong("6.6", "the residual way stays free")
def tanh_over_the_residual():
    return block(out=lambda x, z, s: torch.tanh(x + s))


@wrong("6.6", "Zeros stand in front")
def zeros_before_the_sequence():
    return block(front="zeros")


@wrong("6.6", "which is the future")
def block_that_looks_ahead():
    return block(ahead=True)


@wrong("6.6", "In each pair the older vector comes first")
def pair_exchanged():
    return block(swap=True)


@wrong("6.6", "One weight is used in both halves")
def one_weight_for_both():
    return lambda x, W_f, W_g, W_1, d: gated(x, W_f, W_f, W_1, d), skips


@wrong("6.6", "Each block was fed the skip")
def skips_chained():
    return gated, lambda x, blocks: skips(x, blocks, next_input=lambda out, skip: skip)


@wrong("6.6", "what the last block hands on")
def last_output():
    return gated, lambda x, blocks: skips(x, blocks, result=None)


@wrong("6.6", "Only the last block's skip")
def last_skip():
    return gated, lambda x, blocks: skips(x, blocks, result=lambda found: found[-1])


@wrong("6.6", "The last block's skip is missing")
def three_blocks_by_heart():
    return gated, lambda x, blocks: skips(x, blocks[:3])


@wrong("6.6", "Every block was fed the same x")
def blocks_side_by_side():
    return gated, lambda x, blocks: sum(gated(x, *block)[1] for block in blocks)


@wrong("6.6", "overwrite the caller's x")
def x_overwritten():
    def gated_residual(x, *weights):
        _, skip = gated(x, *weights)
        x += skip
        return x, skip

    return gated_residual, skips


@wrong("6.6", "You add up what goes to the next block")
def next_inputs_added():
    def sum_of_skips(x, blocks):
        total = 0
        for block in blocks:
            x, _ = gated(x, *block)
            total = total + x
        return total

    return gated, sum_of_skips


@wrong("6.6", "each brings its own along")
def dilations_that_double():
    def sum_of_skips(x, blocks):
        return skips(x, [(*block[:3], 2**i) for i, block in enumerate(blocks)])

    return gated, sum_of_skips


@wrong("6.6", "cut off from what it was made of")
def block_without_gradients():
    def gated_residual(*given):
        out, skip = gated(*given)
        return out, skip.detach()

    return gated_residual, skips


@wrong("6.6", "Only a part of the gradient arrives")
def residual_way_detached():
    return gated, lambda x, blocks: skips(x, blocks, lambda out, skip: out.detach())
