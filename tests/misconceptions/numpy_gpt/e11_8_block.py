"""Wrong answers to 11.8, a transformer block on Value."""

import math

import numpy as np

from misconceptions import wrong
from zerotohero.micrograd import Value


def linear(x, w, b):
    return [
        Value.dot(column, x, bias) for column, bias in zip(zip(*w, strict=True), b, strict=True)
    ]


def layer_norm(x, g, b, n=None, eps=1e-5, mean=lambda v: v, root=lambda v: v):
    middle = mean(sum(x) / len(x))
    d = [v - middle for v in x]
    size = root((sum(v * v for v in d) / (n or len(x)) + eps) ** 0.5)
    return [v / size * gain + bias for v, gain, bias in zip(d, g, b, strict=True)]


def softmax(scores, total=lambda v: v, top=max):
    largest = top(s.data for s in scores)
    e = [(s - largest).exp() for s in scores]
    whole = total(sum(e))
    return [v / whole for v in e]


def gelu(x, tanh=lambda v: v.tanh()):
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def attention(
    x,
    c_attn,
    c_proj,
    n_head,
    weigh=softmax,
    ahead=False,
    scale=math.sqrt,
    order=(0, 1, 2),
    turn=0,
    bare=False,
):
    C = len(x[0])
    S = C // n_head
    qkv = [linear(row, **c_attn) for row in x]
    q, k, v = ([row[C * i : C * i + C] for row in qkv] for i in order)
    out = []
    for t in range(len(x)):
        y, seen = [], range(len(x) if ahead else t + 1)
        for h in range(n_head):
            s = slice(h * S, h * S + S)
            weights = weigh([Value.dot(q[t][s], k[i][s]) / scale(S) for i in seen])
            y += [Value.dot(weights, [v[i][c] for i in seen]) for c in range(h * S, h * S + S)]
        w = [*zip(*c_proj["w"], strict=True)] if turn else c_proj["w"]
        out.append(y if bare else linear(y, w, c_proj["b"]))
    return out


def mlp(x, c_fc, c_proj, act=gelu):
    return linear([act(v) for v in linear(x, **c_fc)], **c_proj)


def add(x, y):
    return [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(x, y, strict=True)]


def blocking(norm=layer_norm, attend=attention, act=gelu, first=add, second=add, parts="right"):
    """Return block with one thing wrong."""

    def block(x, params, n_head):
        def normed(x, name):
            return [norm(row, **params[name]) for row in x]

        def through(x):
            return [mlp(row, **params["mlp"], act=act) for row in x]

        if parts == "behind":
            a = normed(add(x, attend(x, **params["attn"], n_head=n_head)), "ln_1")
            return normed(add(a, through(a)), "ln_2")
        h = x if parts == "bare" else normed(x, "ln_1")
        a = first(x, attend(h, **params["attn"], n_head=n_head))
        z = through(
            normed(x if parts == "beside" else a, "ln_1" if parts == "one norm" else "ln_2")
        )
        return second(x if parts == "sum of x" else a, z)

    return block


def attending(**how):
    return blocking(attend=lambda *given, **named: attention(*given, **named, **how))


def number(v):
    return v.data


@wrong("11.8", "Every position looks at the later ones")
def no_mask():
    return attending(ahead=True)


@wrong("11.8", "Divided by √C")
def root_of_all_channels():
    return attending(scale=lambda S: math.sqrt(6))


@wrong("11.8", "aren't divided by √S")
def not_scaled():
    return attending(scale=lambda S: 1.0)


@wrong("11.8", "Divided by S: its root")
def no_root():
    return attending(scale=float)


@wrong("11.8", "All channels are one head")
def one_head():
    def attend(x, c_attn, c_proj, n_head):
        return attention(x, c_attn, c_proj, 1)

    return blocking(attend=attend)


@wrong("11.8", "Queries and keys have changed places")
def keys_first():
    return attending(order=(1, 0, 2))


@wrong("11.8", "There are always two heads")
def two_heads():
    def attend(x, c_attn, c_proj, n_head):
        return attention(x, c_attn, c_proj, 2)

    return blocking(attend=attend)


@wrong("11.8", "Keys and values have changed places")
def values_first():
    return attending(order=(0, 2, 1))


@wrong("11.8", "c_proj of attention is missing")
def no_projection():
    return attending(bare=True)


@wrong("11.8", "g of the layer norms")
def no_gain():
    return blocking(norm=lambda x, g, b: layer_norm(x, [1.0] * len(x), b))


@wrong("11.8", "b of the layer norms")
def no_bias():
    return blocking(norm=lambda x, g, b: layer_norm(x, g, [0.0] * len(x)))


@wrong("11.8", "take its largest score's `.data` away")
def less_the_first():
    return attending(weigh=lambda scores: softmax(scores, top=lambda data: next(iter(data))))


@wrong("11.8", "for each position, take its largest")
def less_the_last():
    return attending(weigh=lambda scores: softmax(scores, top=lambda data: [*data][-1]))


@wrong("11.8", "is too large for a float")
def less_the_mean():
    return attending(weigh=lambda scores: softmax(scores, top=lambda data: np.mean([*data])))


@wrong("11.8", "write to no `.grad`")
def gradients_zeroed():
    def block(x, params, n_head):
        for row in x:
            for v in row:
                v.grad = 0.0
        return blocking()(x, params, n_head)

    return block


@wrong("11.8", "because it is square")
def transposed():
    return attending(turn=1)


@wrong("11.8", "The variance is divided by C − 1")
def sample_variance():
    return blocking(norm=lambda x, g, b: layer_norm(x, g, b, n=len(x) - 1))


@wrong("11.8", "The 0.00001 under the root")
def no_eps():
    return blocking(norm=lambda x, g, b: layer_norm(x, g, b, eps=0.0))


@wrong("11.8", "ReLU stands")
def relu():
    return blocking(act=lambda v: v.relu())


@wrong("11.8", "The GELU is missing")
def linear_alone():
    return blocking(act=lambda v: v)


@wrong("11.8", "x isn't added to what attention gives")
def no_first_sum():
    return blocking(first=lambda x, y: y)


@wrong("11.8", "Nothing is added to what the MLP gives")
def no_second_sum():
    return blocking(second=lambda x, y: y)


@wrong("11.8", "and not to what came of attention")
def adds_x_again():
    return blocking(parts="sum of x")


@wrong("11.8", "The norms come behind the sums")
def norms_behind():
    return blocking(parts="behind")


@wrong("11.8", "Attention gets x itself")
def no_first_norm():
    return blocking(parts="bare")


@wrong("11.8", "The MLP gets the norm of x")
def side_by_side():
    return blocking(parts="beside")


@wrong("11.8", "ln_1 is used twice")
def one_norm_for_both():
    return blocking(parts="one norm")


@wrong("11.8", "exp of a large score is too large")
def no_maximum():
    return attending(weigh=lambda scores: softmax(scores, top=lambda data: 0.0))


@wrong("11.8", "The sum below softmax's fraction")
def sum_cut():
    return attending(weigh=lambda scores: softmax(scores, total=number))


@wrong("11.8", "no gradient reaches queries and keys")
def weights_cut():
    return attending(weigh=lambda scores: [Value(p.data) for p in softmax(scores)])


@wrong("11.8", "The mean in the layer norm")
def mean_cut():
    return blocking(norm=lambda x, g, b: layer_norm(x, g, b, mean=number))


@wrong("11.8", "The variance in the layer norm")
def variance_cut():
    return blocking(norm=lambda x, g, b: layer_norm(x, g, b, root=number))


@wrong("11.8", "Mean and variance in the layer norm")
def norm_cut():
    return blocking(norm=lambda x, g, b: layer_norm(x, g, b, mean=number, root=number))


@wrong("11.8", "The tanh in the GELU")
def tanh_cut():
    return blocking(act=lambda v: gelu(v, tanh=lambda v: math.tanh(v.data)))


@wrong("11.8", "x is there as a number")
def sum_with_numbers():
    return blocking(first=lambda x, y: add([[v.data for v in row] for row in x], y))


@wrong("11.8", "No gradient reaches anything")
def new_values():
    def block(x, params, n_head):
        return [[Value(v.data) for v in row] for row in blocking()(x, params, n_head)]

    return block


@wrong("11.8", "You return plain numbers")
def plain_numbers():
    def block(x, params, n_head):
        return [[v.data for v in row] for row in blocking()(x, params, n_head)]

    return block


@wrong("11.8", "assign to no `.data`")
def in_place():
    def block(x, params, n_head):
        out = blocking()(x, params, n_head)
        for row in x:
            for v in row:
                v.data += 1.0
        return out

    return block


@wrong("11.8", "Times √S")
def multiplied_by_the_root():
    return attending(scale=lambda S: S**-0.5)


@wrong("11.8", "Divided by √T")
def root_of_positions():
    def block(x, params, n_head):
        return attending(scale=lambda S: math.sqrt(len(x)))(x, params, n_head)

    return block
