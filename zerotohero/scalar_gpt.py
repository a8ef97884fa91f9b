"""A GPT on lecture 01's `Value`: forward, backward, AdamW and writing, on scalars alone.

The idea: what the first lecture built was enough; everything since was speed. The network and the
names of its parameters are `numpy_gpt`'s, but a matrix is a list of rows of Values. One position is
read at a time, and what attention may look at later is kept, so that writing has its cache, too:

    params = each(Value, {"wte": [[0.1, …], …], …})
    loss(tokens, targets, params, n_head=4).backward()

Ten thousands of products would be as many nodes. So a weighted sum is one node, as in lecture 01,
and so is GELU: `Value(data, operands, op, local=derivatives)` is all that takes. Sixty lines.

New against `micrograd`: a Transformer, and AdamW. Left out: batches.
"""

from itertools import repeat
from math import tanh
from operator import add, mul, truediv

from zerotohero.micrograd import Value


# n Values, m times n Values, m Values -> m Values
def dots(x, columns, b=None):
    data, y = [v.data for v in x], []
    for column, bias in zip(columns, b or repeat(Value(0.0)), strict=b is not None):
        by = [v.data for v in column]
        total = sum(map(mul, data, by), bias.data)
        y.append(Value(total, (*column, *x, bias), "dot", local=(*data, *by, 1.0)))
    return y


# n Values, n rows of m, m -> m Values
def linear(x, w, b):
    return dots(x, zip(*w, strict=True), b)


# a Value -> a Value
def gelu(v):
    x = v.data
    t = tanh(0.7978845608028654 * x * (1 + 0.044715 * x * x))
    slope = (1 - t * t) * 0.7978845608028654 * (1 + 0.134145 * x * x)
    return Value(0.5 * x * (1 + t), (v,), "gelu", local=(0.5 * (1 + t + x * slope),))


# n Values -> n Values that add up to 1
def softmax(x):
    top = max(v.data for v in x)
    e = [(v - top).exp() for v in x]
    return list(map(truediv, e, repeat(sum(e))))


# C Values each -> C Values
def layer_norm(x, g, b, eps=1e-5):
    mean = sum(x) / len(x)
    x = [v - mean for v in x]
    scale = (Value.dot(x, x) / len(x) + eps) ** -0.5
    return [v * scale * gain + bias for v, gain, bias in zip(x, g, b, strict=True)]


# C Values -> C Values; past holds the queries, keys and values of the positions before
def mha(x, c_attn, c_proj, n_head, past):
    past.append(linear(x, **c_attn))
    C, S, heads = len(x), len(x) // n_head, []
    for i in range(0, C, S):
        q, k, v = ([row[j : j + S] for row in past] for j in (i, i + C, i + 2 * C))
        scores = [score * S**-0.5 for score in dots(q[-1], k)]
        heads += dots(softmax(scores), zip(*v, strict=True))
    return linear(heads, **c_proj)


# a token -> the V logits of the next; pasts holds a list for each layer
def gpt(token, params, n_head, pasts):
    x = map(add, params["wte"][token], params["wpe"][len(pasts[0])])
    for block, past in zip(params["blocks"], pasts, strict=True):
        h = layer_norm(x := list(x), **block["ln_1"])
        x = list(map(add, x, mha(h, **block["attn"], n_head=n_head, past=past)))
        h = map(gelu, linear(layer_norm(x, **block["ln_2"]), **block["mlp"]["c_fc"]))
        x = map(add, x, linear(list(h), **block["mlp"]["c_proj"]))
    return dots(layer_norm(list(x), **params["ln_f"]), params["wte"])


# T tokens, T that follow -> the mean of −log p
def loss(tokens, targets, params, n_head):
    pasts = [[] for _ in params["blocks"]]
    rows = [softmax(gpt(token, params, n_head, pasts)) for token in tokens]
    return -sum(p[target].log() for p, target in zip(rows, targets, strict=True)) / len(rows)


# one step, number `step`, counted from 1; moments is a dict, empty at first
def adamw(values, moments, step, lr=1e-2, b1=0.9, b2=0.99, decay=0.0):
    for p in values:
        m, v = moments.get(p, (0.0, 0.0))
        m, v = moments[p] = b1 * m + (1 - b1) * p.grad, b2 * v + (1 - b2) * p.grad**2
        slope = m / (1 - b1**step) / ((v / (1 - b2**step)) ** 0.5 + 1e-8)
        p.data, p.grad = p.data - lr * (slope + decay * p.data), 0.0


# the tokens that are drawn after `token`, until `stop` or the end of the context
def write(token, params, n_head, rng, stop=None):
    pasts = [[] for _ in params["blocks"]]
    while len(pasts[0]) < len(params["wpe"]):
        p = [v.data for v in softmax(gpt(token, params, n_head, pasts))]
        if (token := rng.choices(range(len(p)), p)[0]) == stop:
            return
        yield token


# a nested dict or list of anything -> the same of function(anything)
def each(function, tree):
    if isinstance(tree, dict):
        return {name: each(function, part) for name, part in tree.items()}
    return [each(function, part) for part in tree] if isinstance(tree, list) else function(tree)
