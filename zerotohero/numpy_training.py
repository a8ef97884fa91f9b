"""Training a GPT in NumPy: its gradient by hand, AdamW, and ways to train only a little of it.

The idea: lecture 05 took the derivative of each layer by hand. Here each function of `numpy_gpt`
has a twin of the same name that returns its result and a function, which turns the derivative of
the loss with respect to the result into those with respect to the input and to the parameters:

    y, backward = linear(x, w, b)
    dx, grads = backward(dy)  # grads is {"w": …, "b": …}, shaped as the parameters are

A layer calls its parts' functions in the opposite order, and that is all of backpropagation.

A model that is fine-tuned needn't be trained whole. An adapter is a small network behind a large
one, which starts as zero and so changes nothing; LoRA adds a product of two thin matrices to a
large one, and can be merged into it afterwards; or only the new head is trained.

The papers: N. Houlsby and others (2019), Parameter-Efficient Transfer Learning for NLP; E. Hu and
others (2021), LoRA; for AdamW, I. Loshchilov and F. Hutter (2019).

New against `backprop`: attention, and a whole Transformer. Left out: dropout, and gradients with
respect to a cache.
"""

from collections.abc import Callable

import numpy as np

from zerotohero import numpy_gpt
from zerotohero.numpy_files import build, shapes
from zerotohero.numpy_gpt import IGNORED

# --- forward, and back ----------------------------------------------------------------------------


def linear(x, w, b, adapter=None):  # (…, n) -> (…, m)
    y, adapter_back = numpy_gpt.linear(x, w, b), None
    if adapter is not None:
        z, adapter_back = ffn(y, **adapter)
        y = y + z

    def backward(dy):
        grads = {}
        if adapter_back is not None:
            dz, grads["adapter"] = adapter_back(dy)
            dy = dy + dz
        rows, dys = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
        return (dys @ w.T).reshape(x.shape), {"w": rows.T @ dys, "b": dys.sum(0)} | grads

    return y, backward


def gelu(x):
    t = np.tanh(0.7978845608028654 * x * (1 + 0.044715 * x * x))

    def backward(dy):
        slope = (1 - t * t) * 0.7978845608028654 * (1 + 0.134145 * x * x)
        return dy * 0.5 * (1 + t + x * slope)

    return 0.5 * x * (1 + t), backward


def layer_norm(x, g, b, eps=1e-5):
    x = x - x.mean(-1, keepdims=True)
    scale = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
    h = x * scale

    def backward(dy):
        rows = tuple(range(dy.ndim - 1))
        grads = {"g": (dy * h).sum(rows), "b": dy.sum(rows)}
        dh = dy * g
        dh = dh - dh.mean(-1, keepdims=True) - h * (dh * h).mean(-1, keepdims=True)
        return dh * scale, grads

    return h * g + b, backward


def ffn(x, c_fc, c_proj):
    h, fc_back = linear(x, **c_fc)
    h, gelu_back = gelu(h)
    y, proj_back = linear(h, **c_proj)

    def backward(dy):
        dh, to_proj = proj_back(dy)
        dx, to_fc = fc_back(gelu_back(dh))
        return dx, {"c_fc": to_fc, "c_proj": to_proj}

    return y, backward


def attention(q, k, v, mask):
    scale = q.shape[-1] ** -0.5
    weights = numpy_gpt.softmax(q @ k.swapaxes(-1, -2) * scale + mask)  # (…, T, T)

    def backward(dy):
        dv, dweights = weights.swapaxes(-1, -2) @ dy, dy @ v.swapaxes(-1, -2)
        dscores = weights * (dweights - (dweights * weights).sum(-1, keepdims=True)) * scale
        return dscores @ k, dscores.swapaxes(-1, -2) @ q, dv

    return weights @ v, backward


def mha(x, c_attn, c_proj, n_head, mask):
    *rows, T, C = x.shape
    qkv, attn_back = linear(x, **c_attn)
    qkv = qkv.reshape(*rows, T, 3, n_head, C // n_head).swapaxes(-2, -4)
    heads, attention_back = attention(*(qkv[..., i, :, :] for i in range(3)), mask)
    y, proj_back = linear(heads.swapaxes(-2, -3).reshape(*rows, T, C), **c_proj)

    def backward(dy):
        dheads, to_proj = proj_back(dy)
        dheads = dheads.reshape(*rows, T, n_head, C // n_head).swapaxes(-2, -3)
        dqkv = np.stack(attention_back(dheads), -3)  # (…, n_head, 3, T, S)
        dx, to_attn = attn_back(dqkv.swapaxes(-2, -4).reshape(*rows, T, 3 * C))
        return dx, {"c_attn": to_attn, "c_proj": to_proj}

    return y, backward


def transformer_block(x, mlp, attn, ln_1, ln_2, n_head, mask):
    h, ln_1_back = layer_norm(x, **ln_1)
    h, attn_back = mha(h, **attn, n_head=n_head, mask=mask)
    x = x + h
    h, ln_2_back = layer_norm(x, **ln_2)
    h, mlp_back = ffn(h, **mlp)

    def backward(dy):
        dh, to_mlp = mlp_back(dy)
        dh, to_ln_2 = ln_2_back(dh)
        dx = dy + dh
        dh, to_attn = attn_back(dx)
        dh, to_ln_1 = ln_1_back(dh)
        return dx + dh, {"mlp": to_mlp, "attn": to_attn, "ln_1": to_ln_1, "ln_2": to_ln_2}

    return x + h, backward


def hidden(inputs, wte, wpe, blocks, ln_f, n_head, padding=0):  # (…, T) -> (…, T, C)
    inputs, backs = np.asarray(inputs), []
    T = inputs.shape[-1]
    at = np.maximum(np.arange(T) - np.asarray(padding)[..., None], 0)
    x = wte[inputs] + wpe[at]
    mask = numpy_gpt.causal_mask(T, T, padding, x.dtype)
    for block in blocks:
        x, back = transformer_block(x, **block, n_head=n_head, mask=mask)
        backs.append(back)
    x, ln_f_back = layer_norm(x, **ln_f)

    def backward(dy):  # returns the gradients alone: tokens have none
        dx, to_ln_f = ln_f_back(dy)
        to_blocks = []
        for back in reversed(backs):
            dx, grads = back(dx)
            to_blocks.insert(0, grads)
        to_wte, to_wpe = np.zeros_like(wte), np.zeros_like(wpe)
        np.add.at(to_wte, inputs, dx)  # a token that stands twice gets both
        np.add.at(to_wpe, np.broadcast_to(at, inputs.shape), dx)
        return {"wte": to_wte, "wpe": to_wpe, "blocks": to_blocks, "ln_f": to_ln_f}

    return x, backward


# --- losses ---------------------------------------------------------------------------------------


def cross_entropy(logits, targets):
    """Return the mean of −log p over the targets that aren't IGNORED, and its derivative.

    logits are (…, V), targets (…); the derivative is (…, V): p − 1 at the target, p elsewhere.
    """
    probs, counts = numpy_gpt.softmax(logits), np.asarray(targets) != IGNORED
    at = np.where(counts, targets, 0)[..., None]
    n = int(counts.sum())
    # From the logits, not from probs: a p of 1e-50 is 0 in float32, and has no logarithm.
    top = logits.max(-1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(-1, keepdims=True)) + top
    loss = ((total - np.take_along_axis(logits, at, -1))[..., 0] * counts).sum() / n
    np.put_along_axis(probs, at, np.take_along_axis(probs, at, -1) - 1, -1)
    return float(loss), probs * counts[..., None] / n


def binary_cross_entropy(logits, labels):
    """Return the mean loss of questions with answers 0 or 1, shaped alike, and its derivative.

    Each has a sigmoid of its own, so that several can be true at once.
    """
    loss = np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(-np.abs(logits)))
    return float(loss.mean()), (0.5 * (1 + np.tanh(logits / 2)) - labels) / logits.size


def lm_value_and_grad(params: dict, inputs, targets, n_head: int) -> tuple[float, dict]:
    """Return `numpy_gpt.lm_loss`, and its gradients shaped as the parameters."""
    x, backward = hidden(inputs, **params, n_head=n_head)
    logits, head_back = linear(x, params["wte"].T, 0)  # the table is the output layer, too
    loss, dlogits = cross_entropy(logits, targets)
    dx, to_head = head_back(dlogits)
    grads = backward(dx)
    grads["wte"] += to_head["w"].T
    return loss, grads


def class_value_and_grad(
    params: dict,
    inputs,
    padding,
    labels,
    n_head: int,
    loss: Callable = cross_entropy,
    head_only: bool = False,
) -> tuple[float, dict]:
    """Return the loss of a head on the last token, and the gradients.

    params is {"gpt": …, "head": {"w": (C, n), "b": (n,)}}. Inputs and padding are `pad`'s: padded
    on the left, all texts end in the last column. `head_only` leaves out those of the network.
    """
    x, backward = hidden(inputs, **params["gpt"], n_head=n_head, padding=padding)
    logits, head_back = linear(x[:, -1], **params["head"])  # (B, n)
    value, dlogits = loss(logits, labels)
    dlast, to_head = head_back(dlogits)
    if head_only:
        return value, {"head": to_head}
    dx = np.zeros_like(x)
    dx[:, -1] = dlast
    return value, {"gpt": backward(dx), "head": to_head}


# --- parameters, and steps ------------------------------------------------------------------------


def random_params(
    V: int, block_size: int, n_layer: int, C: int, rng: np.random.Generator, dtype=np.float32
) -> dict:
    """Return parameters as GPT-2 starts: normal with deviation 0.02, gains 1, biases 0.

    What adds to the residual path is divided by √(2 · n_layer), for the path has as many sums.
    """

    def make(name: str, shape: tuple) -> np.ndarray:
        if name.endswith((".g", ".b")):
            return np.full(shape, float(name.endswith(".g")), dtype)
        deviation = 0.02 / (2 * n_layer) ** (0.5 if "c_proj" in name else 0)
        return rng.normal(0, deviation, shape).astype(dtype)

    return build(shapes(V, block_size, n_layer, C), make)


def leaves(params) -> dict[str, np.ndarray]:
    """Return the arrays themselves by name, such as "blocks.0.attn.c_attn.w"."""
    found = {}
    build(params, found.__setitem__)
    return found


class AdamW:
    """Adam with decoupled weight decay, of matrices alone; it changes the parameters in place.

    `trained` says by name which parameters are trained; the others stay as they are. Gradients
    longer than `clip`, all trained ones together, are shortened to it first; 0: they aren't.
    """

    def __init__(
        self,
        params,
        trained: Callable[[str], bool] = lambda name: True,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.1,
        clip: float = 1.0,
    ):
        self.params = {name: p for name, p in leaves(params).items() if trained(name)}
        self.lr, self.betas, self.weight_decay, self.clip = lr, betas, weight_decay, clip
        self.moments = {name: np.zeros((2, *p.shape), p.dtype) for name, p in self.params.items()}
        self.steps = 0

    @property
    def size(self) -> int:
        """How many numbers are trained."""
        return sum(p.size for p in self.params.values())

    def step(self, grads, factor: float = 1.0) -> None:
        """Do one step, with the learning rate times `factor`."""
        grads, lr = leaves(grads), self.lr * factor
        length = sum(float((grads[name] ** 2).sum()) for name in self.params) ** 0.5
        shorter = min(1.0, self.clip / (length + 1e-6)) if self.clip else 1.0
        self.steps += 1
        for name, p in self.params.items():
            if p.ndim > 1:
                p *= 1 - lr * self.weight_decay
            g, (m, v) = grads[name] * shorter, self.moments[name]
            for moment, beta, new in ((m, self.betas[0], g), (v, self.betas[1], g * g)):
                moment *= beta
                moment += (1 - beta) * new
            unbiased = [1 - beta**self.steps for beta in self.betas]
            p -= lr / unbiased[0] * m / (np.sqrt(v / unbiased[1]) + 1e-8)


def with_adapters(params: dict, r: int, rng: np.random.Generator) -> dict:
    """Return parameters that share the arrays, with an adapter of width r behind each c_proj.

    Their second matrices are zero, so the model is the same at first.
    """
    C, dtype = params["wte"].shape[1], params["wpe"].dtype

    def adapted(c_proj: dict) -> dict:
        down = {"w": rng.normal(0, 0.02, (C, r)).astype(dtype), "b": np.zeros(r, dtype)}
        up = {"w": np.zeros((r, C), dtype), "b": np.zeros(C, dtype)}
        return c_proj | {"adapter": {"c_fc": down, "c_proj": up}}

    blocks = [
        block
        | {
            part: block[part] | {"c_proj": adapted(block[part]["c_proj"])}
            for part in ("attn", "mlp")
        }
        for block in params["blocks"]
    ]
    return params | {"blocks": blocks}


def lora(params, r: int, rng: np.random.Generator, names=("c_attn.w", "c_fc.w")) -> dict[str, dict]:
    """Return two thin matrices for each whose name ends so: a, (n, r), and b, (r, m), of zeros."""
    return {
        name: {
            "a": rng.normal(0, len(w) ** -0.5, (len(w), r)).astype(w.dtype),
            "b": np.zeros((r, w.shape[1]), w.dtype),
        }
        for name, w in leaves(params).items()
        if name.endswith(tuple(names))
    }


def merge(params, thin: dict[str, dict], scale: float = 1.0):
    """Return the parameters, with w + scale · a @ b for each w that `lora` made a and b for."""

    def sum_of(name, w):
        return w + scale * thin[name]["a"] @ thin[name]["b"] if name in thin else w

    return build(params, sum_of)


def lora_grads(grads, thin: dict[str, dict], scale: float = 1.0) -> dict[str, dict]:
    """Return the gradients of a and b from those of w + scale · a @ b, by the chain rule."""
    to = leaves(grads)
    return {
        name: {"a": scale * to[name] @ ab["b"].T, "b": scale * ab["a"].T @ to[name]}
        for name, ab in thin.items()
    }
