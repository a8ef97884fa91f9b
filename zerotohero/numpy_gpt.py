"""GPT-2 in NumPy: the whole network as a dozen pure functions, and what it takes to use it.

The idea. Inference needs no framework. A GPT-2 is a nested dict of arrays and a few functions of
arrays; J. Mody showed in "GPT in 60 Lines of NumPy" (2023) that they fit on a screen. The names of
parameters and functions here are that article's:

    params, n_head = load_gpt2(folder)  # of numpy_files
    logits = gpt2([464, 2068], **params, n_head=n_head)  # (2, V)

The first part, down to `generate`, is the network and its use. What the article left for later
comes after it: a cache, prompts of different lengths, sampling, weights of eight bits, a command:

    python -m zerotohero.numpy_gpt FOLDER "Alan Turing theorized that" --n-tokens 8

Only NumPy is imported; with `with_numpy(jax.numpy)` the same functions run on JAX.

Shapes, above each function: T tokens, C channels, V tokens in the vocabulary, S = C / n_head, P
positions so far; "…" stands for any axes in front, such as the B rows of a batch, or none.

The papers: A. Radford and others, Language Models are Unsupervised Multitask Learners (2019); for
`linear`'s adapter N. Houlsby and others (2019), Parameter-Efficient Transfer Learning for NLP; for
the eight bits T. Dettmers and others, LLM.int8() (2022), section 2.

New against `gpt`: no torch. Left out: gradients (`numpy_training`), files (`numpy_files`), dropout,
and models whose parts came after GPT-2.
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np

from zerotohero import IGNORED

# --- the network, and writing with it: sixty lines ------------------------------------------------


# (…) -> (…)
def gelu(x):
    # Not x**3, for which NumPy calls `pow`; and no scalars of NumPy, which are float64 and win.
    return 0.5 * x * (1 + np.tanh(0.7978845608028654 * x * (1 + 0.044715 * x * x)))


# (…, n) -> (…, n), rows that add up to 1
def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# (…, C), (C,), (C,) -> (…, C)
def layer_norm(x, g, b, eps=1e-5):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * g + b


# (…, n), (n, m), (m,) -> (…, m); as one product of matrices, however many axes there are
def linear(x, w, b, adapter=None):
    y = (x.reshape(-1, x.shape[-1]) @ w).reshape(*x.shape[:-1], -1) + b
    return y if adapter is None else y + ffn(y, **adapter)


# (…, T, C) -> (…, T, C), with 4C in between
def ffn(x, c_fc, c_proj):
    return linear(gelu(linear(x, **c_fc)), **c_proj)


# (…, T, S), (…, P, S), (…, P, S), (…, T, P) -> (…, T, S)
def attention(q, k, v, mask):
    return softmax(q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5 + mask) @ v


# (…, T, C), (…, 1, T, P) -> (…, T, C); with a past, the T positions are the last of P
def mha(x, c_attn, c_proj, n_head, mask, past=None):
    *rows, T, C = x.shape
    qkv = linear(x, **c_attn).reshape(*rows, T, 3, n_head, C // n_head)
    qkv = qkv.swapaxes(-2, -4)  # (…, n_head, 3, T, S)
    q, k, v = (qkv[..., i, :, :] for i in range(3))  # (…, n_head, T, S) each
    if past is not None:
        k, v = past.append(k, v)  # (…, n_head, P, S)
    heads = attention(q, k, v, mask).swapaxes(-2, -3)  # (…, T, n_head, S)
    return linear(heads.reshape(*rows, T, C), **c_proj)


# (…, T, C) -> (…, T, C)
def transformer_block(x, mlp, attn, ln_1, ln_2, n_head, mask, past=None):
    x = x + mha(layer_norm(x, **ln_1), **attn, n_head=n_head, mask=mask, past=past)
    return x + ffn(layer_norm(x, **ln_2), **mlp)


# () or (B,) -> (1, T, P) or (B, 1, T, P): 0 where a position reads another, −∞ where it doesn't
def causal_mask(T, P, padding=0, dtype=np.float32):
    at, of = np.arange(P - T, P)[:, None], np.arange(P)
    # A place in the padding reads itself, or its softmax would have nothing to share out.
    read = (of <= at) & (of >= np.asarray(padding)[..., None, None]) | (of == at)
    return np.where(read, 0.0, -np.inf).astype(dtype)[..., None, :, :]


# (…, T) -> (…, T, C): what the network makes of its tokens, before the logits
def hidden(inputs, wte, wpe, blocks, ln_f, n_head, cache=None, padding=0):
    inputs, past = np.asarray(inputs), cache[0].length if cache else 0
    T, P = inputs.shape[-1], past + inputs.shape[-1]
    if len(wpe) < P:
        raise ValueError(f"{P} tokens are too many: the model's context is {len(wpe)}.")
    at = np.arange(past, P) - np.asarray(padding)[..., None]  # counted from each row's first token
    x = wte[inputs] + wpe[np.maximum(at, 0)]
    mask = causal_mask(T, P, padding, x.dtype)
    for i, block in enumerate(blocks):
        x = transformer_block(x, **block, n_head=n_head, mask=mask, past=cache and cache[i])
    return layer_norm(x, **ln_f)


# (…, T) -> (…, T, V): the logits of the token that follows each
def gpt2(inputs, wte, wpe, blocks, ln_f, n_head, cache=None, padding=0):
    return hidden(inputs, wte, wpe, blocks, ln_f, n_head, cache, padding) @ wte.T


# B prompts of any lengths -> (B,) tokens, step by step; ends when all rows have written `stop`
def generate(prompts, params, n_head, n_tokens, pick=None, stop=None, cached=True):
    check(prompts, params, n_tokens)
    pick, (inputs, padding) = pick or greedy, pad(prompts)
    size = inputs.shape[1] + n_tokens
    cache = new_cache(params, n_head, len(inputs), size) if cached else None
    stopped = np.zeros(len(inputs), bool)
    for _ in range(n_tokens):
        x = hidden(inputs, **params, n_head=n_head, cache=cache, padding=padding)  # (B, T, C)
        new = np.where(stopped, stop or 0, pick(x[:, -1] @ params["wte"].T))
        yield new
        stopped = stopped | (new == stop)  # in a prompt it means nothing: GPT-2's texts begin so
        if stopped.all():
            return
        inputs = new[:, None] if cached else np.append(inputs, new[:, None], 1)


# --- what the article left for later --------------------------------------------------------------


class Past:
    """The KV cache of a layer: keys and values of the positions so far, written in place."""

    def __init__(self, rows: int, n_head: int, size: int, S: int, dtype=np.float32):
        self.k, self.v = np.empty((2, rows, n_head, size, S), dtype)
        self.length = 0  # P

    def append(self, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Put those of T new positions, (B, n_head, T, S), behind the others; return all P."""
        start, self.length = self.length, self.length + k.shape[-2]
        self.k[:, :, start : self.length], self.v[:, :, start : self.length] = k, v
        return self.k[:, :, : self.length], self.v[:, :, : self.length]


def new_cache(params: dict, n_head: int, rows: int, size: int) -> list[Past]:
    """Return the empty cache of a batch of `rows` texts, for `size` positions of each."""
    S, dtype = params["wpe"].shape[1] // n_head, params["wpe"].dtype
    return [Past(rows, n_head, size, S, dtype) for _ in params["blocks"]]


def check(prompts: Sequence[Sequence[int]], params: dict, n_tokens: int) -> None:
    """Raise ValueError, with one sentence, for what `generate` can't go on from."""
    V, context = len(params["wte"]), len(params["wpe"])
    if n_tokens < 0:
        raise ValueError(f"n_tokens is {n_tokens}; it must be 0 or more.")
    if not len(prompts) or not all(len(prompt) for prompt in prompts):
        raise ValueError("There is nothing to go on from: every prompt needs at least one token.")
    longest = max(map(len, prompts))
    if longest + n_tokens > context:
        raise ValueError(
            f"{longest} tokens and {n_tokens} new ones are too many for a context of {context}: "
            "shorten the prompt or ask for fewer."
        )
    for token in (token for prompt in prompts for token in prompt):
        if not 0 <= token < V:
            raise ValueError(f"{token} is no token: the vocabulary goes from 0 to {V - 1}.")


def pad(prompts: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return prompts as one array (B, T), filled up with 0 on the left, and how far, (B,).

    Padded on the left, all of them end, and go on, in the same column.
    """
    T = max(map(len, prompts))
    padding = [T - len(prompt) for prompt in prompts]
    rows = [[0] * n + list(prompt) for n, prompt in zip(padding, prompts, strict=True)]
    return np.array(rows), np.array(padding)


def greedy(logits: np.ndarray) -> np.ndarray:
    """Return the likeliest token of each row: (B, V) -> (B,)."""
    return logits.argmax(-1)


def sampler(
    rng: np.random.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a `pick` for `generate`, which draws from the softmax of logits / temperature.

    `top_k` keeps the k likeliest tokens. Of those `top_p` keeps the fewest that have a share of p
    together, and so the one that crosses p. Temperature 0 is `greedy`. ValueError for a number
    out of its range, and from `pick` for logits that aren't finite.
    """
    if not 0 <= temperature < np.inf:
        raise ValueError(f"temperature is {temperature}; it must be 0 or a positive number.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; it must be at least 1.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; it must be above 0 and at most 1.")

    def pick(logits):  # (B, V) -> (B,)
        x = np.asarray(logits, np.float64)
        x = x - x.max(-1, keepdims=True)
        if np.isnan(x).any():
            raise ValueError("The model's logits are NaN or infinite: its training has diverged.")
        order = None
        if top_k is not None or top_p is not None:
            order = np.argsort(-x, -1, kind="stable")[:, :top_k]  # the likeliest first
            x = np.take_along_axis(x, order, -1)
        probs = softmax(x / temperature)
        if top_p is not None:
            before = np.cumsum(probs, -1) - probs  # the share of all likelier ones
            probs = np.where(before < top_p, probs, 0)
        share = np.cumsum(probs, -1)
        drawn = (1 - rng.random((len(x), 1))) * share[:, -1:]  # above 0, up to all of it
        at = (share < drawn).sum(-1, keepdims=True)
        return (at if order is None else np.take_along_axis(order, at, -1))[:, 0]

    return pick if temperature > 0 else greedy


def lm_loss(params: dict, inputs, targets, n_head: int):
    """Return the mean of −log p over the targets, (…, T) as the inputs, that aren't IGNORED.

    The article takes the logarithm of logits, and of other positions' at that; this one is
    what lecture 07's Trainer computes. `jax.grad` differentiates it with respect to `params`.
    """
    logits, targets = gpt2(inputs, **params, n_head=n_head), np.asarray(targets)
    x = logits - logits.max(-1, keepdims=True)
    x = x - np.log(np.exp(x).sum(-1, keepdims=True))
    counts = targets != IGNORED
    of_target = np.take_along_axis(x, np.where(counts, targets, 0)[..., None], -1)[..., 0]
    return -(of_target * counts).sum() / counts.sum()


class EightBit:
    """A matrix (n, m) of whole numbers from −127 to 127, with one scale a row.

    It stands where an array stood: `x @ q`, `x @ q.T` and `q[rows]` give floats. A quarter of the
    memory of float32, and so a quarter of the bytes to be read for each token. What NumPy can't
    do is multiply whole numbers by floats fast; so rows are made floats again, as few at a time
    as stay in the processor's cache.
    """

    __array_ufunc__ = None  # so that `array @ q` asks us
    BLOCK = 96 * 1024  # numbers that are floats at a time

    def __init__(self, w: np.ndarray):
        self.scale = np.abs(w).max(-1, keepdims=True).astype(np.float32) / 127  # (n, 1)
        self.scale[self.scale == 0] = 1
        self.q = np.rint(w / self.scale).astype(np.int8, order="C")
        self.shape, self.turned = w.shape, False

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows):
        return self.q[rows] * self.scale[rows]

    @property
    def T(self) -> "EightBit":
        turned = object.__new__(EightBit)
        turned.__dict__ |= self.__dict__
        turned.shape, turned.turned = self.shape[::-1], not self.turned
        return turned

    @property
    def nbytes(self) -> int:
        return self.q.nbytes + self.scale.nbytes

    def __rmatmul__(self, x: np.ndarray) -> np.ndarray:  # (…, n) -> (…, m); turned (…, m) -> (…, n)
        y = np.zeros((*x.shape[:-1], self.shape[-1]), np.float32)
        if not self.turned:
            x = x * self.scale[:, 0]
        step = max(1, self.BLOCK // self.q.shape[1])
        for start in range(0, len(self.q), step):
            rows = slice(start, start + step)
            block = self.q[rows].astype(np.float32)
            if self.turned:
                y[..., rows] = x @ block.T
            else:
                y += x[..., rows] @ block
        return y * self.scale[:, 0] if self.turned else y


def quantise(params):
    """Return the parameters with every matrix but `wpe`, of which rows are read, in eight bits."""
    if isinstance(params, list):
        return [quantise(p) for p in params]
    if isinstance(params, dict):
        return {name: p if name == "wpe" else quantise(p) for name, p in params.items()}
    return EightBit(params) if params.ndim == 2 else params


def with_numpy(library: ModuleType) -> ModuleType:
    """Return this module once more, with `library`, such as jax.numpy, for `np`.

    JAX's arrays can't be written into: give `generate` `cached=False`, and NumPy's sampler.
    """
    spec = importlib.util.spec_from_file_location(f"{__name__}_{library.__name__}", __file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.np = library
    return module


def main(argv: Sequence[str] | None = None) -> None:
    """Write on from a prompt, as the command at the top of this file."""
    parser = argparse.ArgumentParser("python -m zerotohero.numpy_gpt", description="GPT-2 in NumPy")
    parser.add_argument("folder", help="with config.json and model.safetensors; or gpt2, …")
    parser.add_argument("prompt", help='"": from nothing')
    parser.add_argument("--n-tokens", type=int, default=40, help="how many at most (40)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0: the likeliest (0)")
    parser.add_argument("--top-p", type=float, help="the share of likely tokens to draw from")
    parser.add_argument("--seed", type=int, help="of what is drawn")
    arguments = parser.parse_args(argv)
    try:
        from zerotohero.numpy_files import load_gpt2, load_tokenizer

        rng = np.random.default_rng(arguments.seed)
        pick = sampler(rng, arguments.temperature, top_p=arguments.top_p)
        params, n_head = load_gpt2(arguments.folder)
        tokenizer = load_tokenizer(arguments.folder, len(params["wte"]))
        end = next(iter(tokenizer.special.values()), None)  # <|endoftext|>, between two texts
        prompt = tokenizer.encode_ordinary(arguments.prompt) or [end] * (end is not None)
        steps = generate([prompt], params, n_head, arguments.n_tokens, pick, end)
        tokens = (int(new) for (new,) in steps if new != end)
        for text in tokenizer.stream(tokens):
            print(text, end="", flush=True)
        print()
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("")


if __name__ == "__main__":
    main()
