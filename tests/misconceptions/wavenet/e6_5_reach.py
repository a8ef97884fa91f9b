"""Wrong answers to 6.5, how far a stack sees."""

import torch

from misconceptions import wrong


def size(layers, start=1, own=False, gaps=lambda k, d: (k - 1) * d, jumps=lambda old, s: old * s):
    reach, jump = start, 1
    for kernel, dilation, stride in layers:
        after = jumps(jump, stride)
        reach += gaps(kernel, dilation) * (after if own else jump)
        jump = after
    return reach


@wrong("6.5", "You multiply the kernels")
def kernels_multiplied():
    return lambda layers: torch.tensor([k for k, _, _ in layers]).prod().int().item()


@wrong("6.5", "2 to the number of layers is right where")
def power_of_two():
    return lambda layers: 2 ** len(layers)


@wrong("6.5", "k inputs have only k − 1 gaps between them: a layer adds (k − 1) · d.")
def kernel_without_minus_one():
    return lambda layers: size(layers, gaps=lambda k, d: k * d)


@wrong("6.5", "that is right for kernel 2 alone")
def dilations_only():
    return lambda layers: 1 + sum(d for _, d, _ in layers)


@wrong("6.5", "The strides are ignored")
def strides_ignored():
    return lambda layers: size(layers, jumps=lambda old, s: 1)


@wrong("6.5", "One too few")
def starts_at_zero():
    return lambda layers: size(layers, start=0)


@wrong("6.5", "counted too early")
def own_stride_first():
    return lambda layers: size(layers, own=True)


@wrong("6.5", "Only the stride of the layer just below")
def last_stride_only():
    return lambda layers: size(layers, jumps=lambda old, s: s)


@wrong("6.5", "The strides are added up")
def strides_added():
    return lambda layers: size(layers, jumps=lambda old, s: old + s - 1)


@wrong("6.5", "from the top downwards")
def from_the_top():
    return lambda layers: size(layers[::-1])


@wrong("6.5", "The dilations are ignored")
def dilations_ignored():
    return lambda layers: size(layers, gaps=lambda k, d: k - 1)


@wrong("6.5", "The last layer is left out")
def without_the_last():
    return lambda layers: size(layers[:-1])


@wrong("6.5", "The first layer is left out")
def without_the_first():
    return lambda layers: size(layers[1:])
