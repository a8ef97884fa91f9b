"""The block of 11.8 in NumPy, with a switch for each slip, and its gradients."""

import math
from collections.abc import Callable

import numpy as np

C = 6
SHAPES = {
    "ln_1.g": (C,),
    "ln_1.b": (C,),
    "attn.c_attn.w": (C, 3 * C),
    "attn.c_attn.b": (3 * C,),
    "attn.c_proj.w": (C, C),
    "attn.c_proj.b": (C,),
    "ln_2.g": (C,),
    "ln_2.b": (C,),
    "mlp.c_fc.w": (C, 4 * C),
    "mlp.c_fc.b": (4 * C,),
    "mlp.c_proj.w": (4 * C, C),
    "mlp.c_proj.b": (C,),
}

# The gradient is taken by complex steps: f(x + ih) has f'(x)h as its imaginary part, to the last
# digit, and the real part of a number is that number without its gradient, as `.data` is.


def norm(x, g, b, eps=1e-5, n=C, cut_mean=False, cut_root=False, uses="gb"):
    mean = x.mean(-1, keepdims=True)
    d = x - (mean.real if cut_mean else mean)
    root = np.sqrt((d * d).sum(-1, keepdims=True) / n + eps)
    y = d / (root.real if cut_root else root) * (g[..., None, :] if "g" in uses else 1)
    return y + b[..., None, :] if "b" in uses else y


def gelu(x, cut=False):
    t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + (t.real if cut else t))


def weights_of(scores, seen=None, hidden=-np.inf, axis=-1, cut_sum=False, cut=False):
    seen = np.tri(scores.shape[-1], dtype=bool) if seen is None else seen
    shown = np.where(seen, scores, hidden)
    e = np.where(seen | (hidden == 0), np.exp(shown - shown.real.max(axis, keepdims=True)), 0)
    total = e.sum(axis, keepdims=True)
    weights = e / (total.real if cut_sum else total)
    return weights.real if cut else weights


def attention(
    x, w, weigh=weights_of, n_head=0, scale=math.sqrt, order=(0, 1, 2), turned=False, bare=False
):
    qkv = x @ w["attn.c_attn.w"] + w["attn.c_attn.b"][..., None, :]
    parts = [qkv[..., C * i : C * i + C] for i in order]
    n = n_head or w["n_head"]
    q, k, v = (z.reshape(*z.shape[:-1], n, -1).swapaxes(-2, -3) for z in parts)
    scores = q @ k.swapaxes(-1, -2) / scale(q.shape[-1])
    y = (weigh(scores) @ v).swapaxes(-2, -3).reshape(x.shape)
    proj = w["attn.c_proj.w"]
    if bare:
        return y
    return y @ (proj.swapaxes(-1, -2) if turned else proj) + w["attn.c_proj.b"][..., None, :]


def mlp(x, w, act=gelu):
    h = act(x @ w["mlp.c_fc.w"] + w["mlp.c_fc.b"][..., None, :])
    return h @ w["mlp.c_proj.w"] + w["mlp.c_proj.b"][..., None, :]


def whole(w: dict, norm: Callable = norm, attend: Callable = attention, mlp=mlp, parts="right"):
    """Return what the block gives; what can be passed is what learners get wrong."""
    x = w["x"]
    one, two = (w["ln_1.g"], w["ln_1.b"]), (w["ln_2.g"], w["ln_2.b"])
    if parts == "behind":
        a = norm(x + attend(x, w), *one)
        return norm(a + mlp(a, w), *two)
    y = attend(x if parts == "bare" else norm(x, *one), w)
    a = y if parts == "no first sum" else x.real + y if parts == "cut sum" else x + y
    if parts == "beside":
        return a + mlp(norm(x, *two), w)
    if parts == "one norm":
        two = one
    z = mlp(norm(a, *two), w)
    return z if parts == "no second sum" else x + z if parts == "sum of x" else a + z


def gradients(given: dict, **how) -> np.ndarray:
    """Return the gradients of the weighted sum with respect to x and all parameters, in a row."""
    arrays = {"x": given["x"], **given["params"]}
    flat = np.concatenate([value.ravel() for value in arrays.values()])
    steps, start, w = flat + 1e-30j * np.eye(len(flat)), 0, {"n_head": given["n_head"]}
    for name, value in arrays.items():
        w[name] = steps[:, start : start + value.size].reshape(-1, *value.shape)
        start += value.size
    return (whole(w, **how) * given["weights"]).sum((1, 2)).imag / 1e-30
