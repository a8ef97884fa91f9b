"""Wrong answers to 6.3, the tree as convolutions."""

import torch

from misconceptions import wrong
from misconceptions.wavenet.shared import conv


def stack(x, layers, dilation=lambda i: 2**i, last=True, bend=torch.tanh):
    for i, (weight, bias) in enumerate(layers):
        x = conv(x, weight, bias, dilation(i))
        x = bend(x) if last or i < len(layers) - 1 else x
    return x


@wrong("6.3", "which is the future")
def padded_on_the_right():
    return lambda *given: conv(*given, ahead=True), stack


@wrong("6.3", "The two vectors are exchanged")
def taps_swapped():
    return lambda *given: conv(*given, swap=True), stack


@wrong("6.3", "a vector that the tree never sees")
def zeros_in_front():
    return lambda *given: conv(*given, front="zeros"), stack


@wrong("6.3", "comes round to its beginning, as `torch.roll` has it: the first rows")
def rolled():
    return lambda *given: conv(*given, front="wrap"), stack


@wrong("6.3", "The first row is missing: the front is padded by dilation − 1")
def padded_by_one_less():
    def causal_dilated(x, weight, bias, dilation):
        padded = torch.cat([x[:, :1].expand(-1, dilation - 1, -1), x], 1)
        return torch.cat([padded[:, :-dilation], padded[:, dilation:]], 2) @ weight + bias

    return causal_dilated, stack


@wrong("6.3", "Rows are missing at the beginning")
def not_padded():
    return lambda x, w, b, d: conv(x, w, b, d)[:, d:], stack


@wrong("6.3", "they lie `dilation` apart")
def dilation_ignored():
    return lambda x, w, b, d: conv(x, w, b, 1), stack


@wrong("6.3", "too much stands in front")
def cut_by_a_negative_index():
    def causal_dilated(x, weight, bias, d):
        past = torch.cat([x[:, :1].expand(-1, d, -1), x[:, :-d]], 1)
        return torch.cat([past, x], 2) @ weight + bias

    return causal_dilated, stack


@wrong("6.3", "The dilations are 1, 2, 3")
def dilations_that_count():
    return conv, lambda x, layers: stack(x, layers, lambda i: i + 1)


@wrong("6.3", "All dilations are 1")
def no_dilations():
    return conv, lambda x, layers: stack(x, layers, lambda i: 1)


@wrong("6.3", "The dilations begin at 2")
def dilations_from_two():
    return conv, lambda x, layers: stack(x, layers, lambda i: 2 ** (i + 1))


@wrong("6.3", "16, 8, 4, 2, 1: the first layer")
def dilations_that_fall():
    return conv, lambda x, layers: stack(x, layers, lambda i: 2 ** (len(layers) - 1 - i))


@wrong("6.3", "The tanh after the last layer is missing")
def last_layer_straight():
    return conv, lambda x, layers: stack(x, layers, last=False)


@wrong("6.3", "The tanh after each layer is missing")
def all_layers_straight():
    return conv, lambda x, layers: stack(x, layers, bend=lambda x: x)


@wrong("6.3", "tanh comes after each convolution, not before it.")
def tanh_before():
    def tree_everywhere(x, layers):
        for i, (weight, bias) in enumerate(layers):
            x = conv(torch.tanh(x), weight, bias, 2**i)
        return x

    return conv, tree_everywhere


@wrong("6.3", "Only the last window came back")
def last_window_only():
    return conv, lambda x, layers: stack(x, layers)[:, -1]


@wrong("6.3", "Only three layers were run")
def three_layers_by_heart():
    return conv, lambda x, layers: stack(x, layers[:3])


@wrong("6.3", "Only four layers were run")
def four_layers_by_heart():
    return conv, lambda x, layers: stack(x, layers[:4])


@wrong("6.3", "The dilations stop growing at 8")
def dilations_that_stop_growing():
    return conv, lambda x, layers: stack(x, layers, lambda i: min(2**i, 8))


@wrong("6.3", "The dilations are 1, 2, 4, 6")
def dilations_of_twice_i():
    return conv, lambda x, layers: stack(x, layers, lambda i: max(1, 2 * i))


@wrong("6.3", "cut off from what it was made of")
def detached():
    return lambda *given: conv(*given).detach(), stack


@wrong("6.3", "Only a part of the gradient arrives")
def front_detached():
    def causal_dilated(x, weight, bias, dilation):
        front = x[:, :1].detach().expand(-1, dilation, -1)
        past = torch.cat([front, x], 1)[:, : x.shape[1]]
        return torch.cat([past, x], 2) @ weight + bias

    return causal_dilated, stack


@wrong("6.3", "Only five layers were run")
def five_layers_by_heart():
    return conv, lambda x, layers: stack(x, layers[:5])


@wrong("6.3", "The dilations are kept within half of T")
def dilations_within_half_of_the_sequence():
    def tree_everywhere(x, layers):
        return stack(x, layers, lambda i: min(2**i, max(1, x.shape[1] // 2)))

    return conv, tree_everywhere


@wrong("6.3", "gone from what causal_dilated returns")
def rows_squeezed():
    return lambda *given: conv(*given).squeeze(), stack


@wrong("6.3", "gone from what tree_everywhere returns")
def tree_squeezed():
    return conv, lambda x, layers: stack(x, layers).squeeze(0)


@wrong("6.3", "a comma behind it makes a tuple")
def tree_in_a_tuple():
    return conv, lambda x, layers: (stack(x, layers),)


@wrong("6.3", "as far as float32 goes")
def rounded_to_float32():
    return lambda *given: conv(*given).float(), stack
