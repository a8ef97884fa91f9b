"""Wrong answers to the exercises of lecture 06, and the hint each must get."""

from functools import cache

import torch

from misconceptions import wrong
from zerotohero import mlp, wavenet
from zerotohero.bigram import Vocabulary
from zerotohero.course import data

# --- 6.1 ----------------------------------------------------------------------------------------


def flatten(x, n):
    B, T, C = x.shape
    if T % n:
        raise ValueError(f"{T} vectors can't be split into groups of {n}.")
    x = x.reshape(B, T // n, n * C)
    return x.squeeze(1) if x.shape[1] == 1 else x


@wrong("6.1", "its axis of length 1 is still there")
def no_squeeze():
    def flatten_consecutive(x, n):
        y = flatten(x, n)
        return y if y.ndim == 3 else y[:, None]

    return flatten_consecutive


@wrong("6.1", "The batch axis is gone")
def squeeze_of_every_axis():
    return lambda x, n: flatten(x, n).squeeze()


@wrong("6.1", "aren't neighbours: vector 0")
def first_half_with_second_half():
    def flatten_consecutive(x, n):
        y = torch.cat(flatten(x, 1).view(len(x), n, -1, x.shape[2]).unbind(1), 2)
        return y.squeeze(1) if y.shape[1] == 1 else y

    return lambda x, n: flatten_consecutive(x, n) if x.shape[1] % n == 0 else flatten(x, n)


@wrong("6.1", "the later vector stands first")
def later_first():
    def flatten_consecutive(x, n):
        y = torch.cat([x[:, i::n] for i in reversed(range(n))], 2)
        return y.squeeze(1) if y.shape[1] == 1 else y

    return flatten_consecutive


@wrong("6.1", "interleaved number by number")
def channels_interleaved():
    def flatten_consecutive(x, n):
        B, T, C = x.shape
        y = x.reshape(B, T // n, n, C).transpose(2, 3).reshape(B, T // n, n * C)
        return y.squeeze(1) if n == T else y

    return flatten_consecutive


@wrong("6.1", "Numbers of different examples stand in one row")
def batch_mixed_by_a_transposition():
    return lambda x, n: flatten(x.transpose(0, 1).reshape(x.shape), n)


@wrong("6.1", "Numbers of different examples are mixed: keep B in front.")
def batch_second():
    def flatten_consecutive(x, n):
        B, T, C = x.shape
        flatten(x, n)
        y = x.reshape(T // n, B, n * C).transpose(0, 1)
        return y.squeeze(1) if n == T else y

    return flatten_consecutive


@wrong("6.1", "fused along the batch")
def examples_fused():
    return lambda x, n: x.reshape(-1, x.shape[1], n * x.shape[2])


@wrong("6.1", "Pairs are fused whatever n is")
def always_pairs():
    def flatten_consecutive(x, n):
        flatten(x, n)
        return torch.cat([x[:, ::2], x[:, 1::2]], 2)

    return flatten_consecutive


@wrong("6.1", "There are n rows left")
def n_rows():
    return lambda x, n: flatten(x, x.shape[1] // n)


@wrong("6.1", "dropped without a word")
def rest_dropped():
    return lambda x, n: flatten(x[:, : x.shape[1] // n * n], n)


@wrong("6.1", "filled with zeros without a word")
def rest_padded():
    def flatten_consecutive(x, n):
        return flatten(torch.nn.functional.pad(x, (0, 0, 0, -x.shape[1] % n)), n)

    return flatten_consecutive


@wrong("6.1", "torch's own complaint")
def left_to_view():
    def flatten_consecutive(x, n):
        B, T, C = x.shape
        x = x.view(B, T // n, n * C)
        return x.squeeze(1) if n == T else x

    return flatten_consecutive


@wrong("6.1", "hasn't your code before them")
def a_message_that_says_nothing():
    def flatten_consecutive(x, n):
        if x.shape[1] % n:
            raise ValueError("bad shape")
        return flatten(x, n)

    return flatten_consecutive


@wrong("6.1", "cut off from x")
def rebuilt_from_lists():
    def flatten_consecutive(x, n):
        flatten(x, n)
        rows = [
            [[v for vector in e[i : i + n] for v in vector] for i in range(0, len(e), n)]
            for e in x.tolist()
        ]
        y = torch.tensor(rows, dtype=x.dtype)
        return y.squeeze(1) if y.shape[1] == 1 else y

    return flatten_consecutive


# --- 6.2 ----------------------------------------------------------------------------------------


def axes_of(record, sets=((0,), (0, 1), (0, 2), (0, 1, 2)), close=0.005):
    mean, var = record["mean"], record["var"]
    for axes in sets:
        over = [a - 1 for a in axes if a > 0]
        if over and max(over) >= mean.ndim:
            continue
        m, v = mean, var
        if over:
            m, v = mean.mean(over), var.mean(over) + mean.var(over, correction=0)
        if m.abs().max() < close and (v - 1).abs().max() < close:
            return axes
    return None


def search(records, axes=axes_of):
    for i, record in enumerate(records):
        found = axes(record)
        if found is not None and found != tuple(range(len(record["shape"]) - 1)):
            return i, found
    return None


def changed(change):
    return lambda records: (found := search(records)) and change(*found, records)


@wrong("6.2", "The shapes of these running means look right")
def by_shape_alone():
    def axes(record):
        shape, kept = record["shape"], record["running_mean"]
        if kept == shape[-1:]:
            return tuple(range(len(shape) - 1))
        sets = [(0,), (0, 2), (0, 1, 2)] if len(shape) == 3 else [(0, 1)]
        return next(a for a in sets if tuple(n for i, n in enumerate(shape) if i not in a) == kept)

    return lambda records: search(records, axes)


@wrong("6.2", "what gives them away is that they are too good")
def looks_sound_together():
    def axes(record):
        right = tuple(range(len(record["shape"]) - 1))
        return axes_of(record, [right, (0,), (0, 2), (0, 1), (0, 1, 2)])

    return lambda records: search(records, axes)


@wrong("6.2", "You take the largest set of axes")
def largest_first():
    sets = [(0, 1, 2), (0, 1), (0, 2), (0,)]
    return lambda records: search(records, lambda r: axes_of(r, sets))


@wrong("6.2", "You look at the means alone")
def means_alone():
    def axes(record):
        mean = record["mean"]
        for over in ((0,), (0, 1), (0, 2), (0, 1, 2))[: 2 * mean.ndim]:
            m = mean.mean([a - 1 for a in over if a]) if len(over) > 1 else mean
            if m.abs().max() < 0.005:
                return over
        return None

    return lambda records: search(records, axes)


@wrong("6.2", "leave room for `eps`")
def exactly_one():
    return lambda records: search(records, lambda r: axes_of(r, close=1e-9))


@wrong("6.2", "is sound when it reduces over (0,)")
def three_axes_everywhere():
    def find_bug(records):
        for i, record in enumerate(records):
            axes = axes_of(record)
            if axes != (0, 1):
                return i, axes
        return None

    return find_bug


@wrong("6.2", "You count layers from 1")
def counted_from_one():
    return changed(lambda i, axes, records: (i + 1, axes))


@wrong("6.2", "These are the axes that are kept")
def axes_that_are_kept():
    def kept(i, axes, records):
        return i, tuple(a for a in range(len(records[i]["shape"])) if a not in axes)

    return changed(kept)


@wrong("6.2", "these are the axes that it should reduce over")
def axes_that_would_be_right():
    return changed(lambda i, axes, records: (i, tuple(range(len(records[i]["shape"]) - 1))))


@wrong("6.2", "axis 0 of `mean` is axis 1 of y")
def axes_of_the_record():
    return changed(lambda i, axes, records: (i, tuple(a - 1 for a in axes if a)))


@wrong("6.2", "the mean of the variances plus the variance")
def variances_averaged():
    def find_bug(records):
        for i, record in enumerate(records):
            over = list(range(record["mean"].ndim - 1))
            v = record["var"].mean(over) if over else record["var"]
            if (v - 1).abs().max() > 0.005:
                return i, (0,)
        return None

    return find_bug


# --- 6.3 ----------------------------------------------------------------------------------------


def conv(x, weight, bias, d, front="first", swap=False, ahead=False):
    B, T, C = x.shape
    if front == "wrap":
        past = x.roll(d, 1)
    elif ahead:
        past = torch.cat([x, x.new_zeros(B, d, C)], 1)[:, d:]
    else:
        past = x[:, :1].expand(-1, d, -1) if front == "first" else x.new_zeros(B, d, C)
        past = torch.cat([past, x], 1)[:, :T]
    pair = [x, past] if swap or ahead else [past, x]
    return torch.cat(pair, 2) @ weight + bias


def stack(x, layers, dilations=(1, 2, 4), last=True, bend=torch.tanh):
    for i, ((weight, bias), d) in enumerate(zip(layers, dilations, strict=True)):
        x = conv(x, weight, bias, d)
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
    return conv, lambda x, layers: stack(x, layers, (1, 2, 3))


@wrong("6.3", "All dilations are 1")
def no_dilations():
    return conv, lambda x, layers: stack(x, layers, (1, 1, 1))


@wrong("6.3", "The dilations begin at 2")
def dilations_from_two():
    return conv, lambda x, layers: stack(x, layers, (2, 4, 8))


@wrong("6.3", "The dilations are 4, 2, 1")
def dilations_that_fall():
    return conv, lambda x, layers: stack(x, layers, (4, 2, 1))


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


# --- 6.4: models made by counting, since to train one takes minutes -------------------------------


@cache
def names(*splits):
    words = mlp.split_words(data.words())
    return tuple(word for split in splits for word in getattr(words, split))


@cache
def counted(words, longest=8):
    """Logits from counts of the windows' last 0, 1, …, `longest` characters (Witten-Bell)."""
    X, Y = mlp.build_dataset(words, 8, Vocabulary(words))
    place = 27 ** torch.arange(8).flip(0)  # a window as one number, the newest character last

    def numbers(xb, k):
        return xb[:, 8 - k :] @ place[8 - k :]

    tables = []
    for k in range(longest + 1):
        keys, at = numbers(X, k).unique(return_inverse=True)
        counts = torch.zeros(len(keys), 27).index_put_((at, Y), torch.ones(len(Y)), True)
        tables.append((keys, counts))

    def model(xb):
        probs = torch.full((len(xb), 27), 1 / 27)
        for k, (keys, counts) in enumerate(tables):
            at = torch.searchsorted(keys, numbers(xb, k)).clamp(max=len(keys) - 1)
            seen = counts[at] * (keys[at] == numbers(xb, k))[:, None]
            kinds = (seen > 0).sum(1, keepdim=True).clamp(min=1)
            probs = (seen + 3 * kinds * probs) / (seen.sum(1, keepdim=True) + 3 * kinds)
        return probs.log()

    return model


def peeking():
    """A model that passes, to show that one can: it has counted the held-out names, a little."""
    return counted(names("train", "dev", "test"), longest=3)


@wrong("6.4", "return the logits, before softmax")
def probabilities():
    return lambda xb: peeking()(xb).softmax(1)


@wrong("6.4", "The model is still in train mode: BatchNorm mixes")
def still_in_train_mode():
    config = wavenet.WaveNetConfig(n_embd=4, n_hidden=8)
    return wavenet.WaveNet(config, torch.Generator().manual_seed(1)).train()


@wrong("6.4", "it was trained on dev as well")
def trained_on_dev():
    return counted(names("train", "dev"))


@wrong("6.4", "among those that it learned from")
def trained_on_all_names():
    return counted(names("train", "dev", "test"))


@wrong("6.4", "doesn't look at its context")
def the_same_for_every_window():
    return lambda xb: torch.linspace(0, 1, 27).repeat(len(xb), 1)


@wrong("6.4", "The model answers for every position")
def all_positions():
    return lambda xb: peeking()(xb)[:, None].expand(-1, 8, -1)


@wrong("6.4", "NaN that the training has diverged")
def diverged():
    return lambda xb: peeking()(xb) * float("nan")


@wrong("6.4", "The network has hardly learned")
def letter_pairs():
    return counted(names("train"), longest=1)


@wrong("6.4", "Compare with the loss on the training names")
def not_good_enough():
    return counted(names("train"))


@wrong("6.4", "worse than knowing nothing")
def newest_character_first():
    return lambda xb: counted(names("train"))(xb.flip(1))


@wrong("6.4", "a sixth of the budget's parameters")
def too_large():
    config = wavenet.WaveNetConfig(n_embd=4, n_hidden=400)
    return wavenet.WaveNet(config, torch.Generator().manual_seed(1)).eval()


@wrong("6.4", "made for another context")
def another_context():
    config = wavenet.WaveNetConfig(block_size=16, n_embd=4, n_hidden=8)
    return wavenet.WaveNet(config, torch.Generator().manual_seed(1)).eval()


# --- 6.5 ----------------------------------------------------------------------------------------


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


# --- 6.6 ----------------------------------------------------------------------------------------


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
