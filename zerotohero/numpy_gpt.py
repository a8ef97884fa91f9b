"""GPT-2 in NumPy: the whole network as ten pure functions, and everything one needs to use it.

The idea. Inference needs no framework. A GPT-2 is a nested dict of arrays and a few functions of
arrays; J. Mody showed in "GPT in 60 Lines of NumPy" (2023) that they fit on a screen. The names of
parameters and functions here are that article's:

    params, n_head = load_gpt2(folder)
    logits = gpt2(np.array([464, 2068]), **params, n_head=n_head)  # (2, V)

The first part, down to `generate`, is the network and its use. What the article left for later
comes after it: sampling, prompts of different lengths, weights of eight bits, files, a command:

    python -m zerotohero.numpy_gpt FOLDER "Alan Turing theorized that" --n-tokens 8

Only NumPy is imported. With `with_numpy(jax.numpy)` the same functions run on JAX.

Shapes: T tokens, C channels, V tokens in the vocabulary, S = C / n_head; "…" stands for any axes in
front, such as the B rows of a batch, or none.

The papers: A. Radford and others, Language Models are Unsupervised Multitask Learners (2019), and
for the eight bits T. Dettmers and others, LLM.int8() (2022), section 2.

New against `gpt`: no torch, no gradients (those are in `numpy_training`). Left out: dropout, and
models whose parts came after GPT-2.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

# --- the network --------------------------------------------------------------------------------


def gelu(x):  # (…) -> (…)
    # Not x**3, which NumPy computes by `pow`, and no NumPy scalars, which are float64 and win.
    return 0.5 * x * (1 + np.tanh(0.7978845608028654 * x * (1 + 0.044715 * x * x)))


def softmax(x):  # (…, n) -> (…, n), rows that add up to 1
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def layer_norm(x, g, b, eps=1e-5):  # (…, C), (C,), (C,) -> (…, C)
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * g + b


def linear(x, w, b):  # (…, in), (in, out), (out,) -> (…, out)
    return (x.reshape(-1, x.shape[-1]) @ w).reshape(*x.shape[:-1], -1) + b


def ffn(x, c_fc, c_proj):  # (…, T, C) -> (…, T, C), with 4C inside
    return linear(gelu(linear(x, **c_fc)), **c_proj)


def attention(q, k, v, mask):  # (…, T, S), (…, P, S), (…, P, S), (…, T, P) -> (…, T, S)
    return softmax(q @ k.swapaxes(-1, -2) / float(q.shape[-1]) ** 0.5 + mask) @ v


def mha(x, c_attn, c_proj, n_head, mask, past=None):  # (…, T, C) -> (…, T, C)
    *rows, T, C = x.shape
    qkv = linear(x, **c_attn).reshape(*rows, T, 3, n_head, C // n_head)
    q, k, v = np.moveaxis(qkv, (-3, -2), (0, -3))  # (…, n_head, T, S) each
    if past is not None:
        k, v = past.append(k, v)  # (…, n_head, P, S): those of all positions so far
    heads = attention(q, k, v, mask).swapaxes(-2, -3)  # (…, T, n_head, S)
    return linear(heads.reshape(*rows, T, C), **c_proj)


def transformer_block(x, mlp, attn, ln_1, ln_2, n_head, mask, past=None):  # (…, T, C) -> (…, T, C)
    x = x + mha(layer_norm(x, **ln_1), **attn, n_head=n_head, mask=mask, past=past)
    return x + ffn(layer_norm(x, **ln_2), **mlp)


def hidden(inputs, wte, wpe, blocks, ln_f, n_head, cache=None, padding=0):  # (…, T) -> (…, T, C)
    past = cache[0].length if cache else 0
    if past + inputs.shape[-1] > len(wpe):
        total = past + inputs.shape[-1]
        raise ValueError(f"{total} tokens are too many: the model's context is {len(wpe)}.")
    at = past + np.arange(inputs.shape[-1])  # (T,)
    first = np.asarray(padding)[..., None]  # (…, 1): where each row's own tokens begin
    x = wte[inputs] + wpe[np.maximum(at - first, 0)]
    mask = causal_mask(at, past + inputs.shape[-1], first, x.dtype)
    for i, block in enumerate(blocks):
        x = transformer_block(x, **block, n_head=n_head, mask=mask, past=cache and cache[i])
    return layer_norm(x, **ln_f)


def gpt2(inputs, wte, wpe, blocks, ln_f, n_head, **more):  # (…, T) -> (…, T, V), the logits
    return hidden(inputs, wte, wpe, blocks, ln_f, n_head, **more) @ wte.T


def causal_mask(at, P, first, dtype):  # (T,), (…, 1) -> (…, 1, T, P): 0 is read, −∞ isn't
    key = np.arange(P)
    # A place in the padding reads itself, or its softmax would have nothing to share out.
    read = (key <= at[:, None]) & ((key >= first[..., None]) | (key == at[:, None]))
    return np.where(read, 0.0, -np.inf).astype(dtype)[..., None, :, :]


class Past:
    """The KV cache of one layer: keys and values of the positions so far, written in place."""

    def __init__(self, rows: int, n_head: int, size: int, S: int, dtype=np.float32):
        self.k, self.v = np.empty((2, rows, n_head, size, S), dtype)
        self.length = 0

    def append(self, k, v):  # (B, n_head, T, S) each -> (B, n_head, P, S) each
        start, self.length = self.length, self.length + k.shape[-2]
        self.k[:, :, start : self.length], self.v[:, :, start : self.length] = k, v
        return self.k[:, :, : self.length], self.v[:, :, : self.length]


def generate(
    prompts: Sequence[Sequence[int]],
    params: dict,
    n_head: int,
    n_tokens: int,
    pick: Callable = lambda logits: logits.argmax(-1),
    stop: int | None = None,
    cached: bool = True,
) -> Iterator[np.ndarray]:
    """Yield the next token of each prompt, (B,), until there are `n_tokens` or all rows stopped.

    `pick` turns logits (B, V) into tokens (B,): the likeliest ones, or `sampler(…)`. A row stops
    when it has written `stop` itself (in a prompt it means nothing), and goes on yielding it.
    ValueError for no prompt, an empty one, a token that isn't in the vocabulary, or too many.
    """
    inputs, padding = pad(prompts)
    (V, C), size = params["wte"].shape, inputs.shape[1] + n_tokens - 1
    if inputs.max() >= V or inputs.min() < 0:
        wrong = next(t for prompt in prompts for t in prompt if not 0 <= t < V)
        raise ValueError(f"{wrong} is no token: the vocabulary goes from 0 to {V - 1}.")
    if size > len(params["wpe"]):
        raise ValueError(
            f"{inputs.shape[1]} tokens and {n_tokens} new ones don't fit into the model's context "
            f"of {len(params['wpe'])}."
        )
    layers = [Past(len(inputs), n_head, size, C // n_head) for _ in params["blocks"]]
    cache = layers if cached else None
    stopped = np.zeros(len(inputs), bool)
    for _ in range(n_tokens):
        x = hidden(inputs, **params, n_head=n_head, cache=cache, padding=padding)
        new = np.where(stopped, stop or 0, pick(x[:, -1] @ params["wte"].T))  # (B,)
        yield new
        if stop is not None and (stopped := stopped | (new == stop)).all():
            return
        inputs = new[:, None] if cached else np.append(inputs, new[:, None], 1)


def pad(prompts: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return prompts of any lengths as one array (B, T), filled up on the left, and how far (B,).

    Padded on the left, all of them end, and go on, in the same column.
    """
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise ValueError("There is nothing to go on from: each prompt needs a token or more.")
    lengths = np.array([len(prompt) for prompt in prompts])
    inputs = np.zeros((len(prompts), lengths.max()), np.int64)
    for row, prompt in zip(inputs, prompts, strict=True):
        row[len(row) - len(prompt) :] = prompt
    return inputs, lengths.max() - lengths


def sampler(
    rng: np.random.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a `pick` for `generate`, which draws from the softmax of logits / temperature.

    `top_k` keeps the k likeliest tokens; `top_p` as few of the likeliest as have a share of p
    together, the one that crosses p included. ValueError for a number out of its range.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; it must be at least 1.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; it must be above 0 and at most 1.")

    def pick(logits):  # (B, V) -> (B,)
        order = np.argsort(-logits, -1, kind="stable")[:, :top_k]  # likeliest first
        probs = softmax(np.take_along_axis(logits, order, -1).astype(np.float64) / temperature)
        before = np.cumsum(probs, -1) - probs  # the share of all likelier ones
        if top_p is not None:
            probs = np.where(before < top_p, probs, 0)
        drawn = rng.random((len(probs), 1)) * probs.sum(-1, keepdims=True)
        at = (np.cumsum(probs, -1) <= drawn).sum(-1, keepdims=True)
        return np.take_along_axis(order, np.minimum(at, order.shape[-1] - 1), -1)[:, 0]

    return pick


# --- eight bits ---------------------------------------------------------------------------------


class EightBit:
    """A matrix (n, m) of whole numbers from −127 to 127, with one scale a row.

    It stands where an array stood: `x @ w`, `x @ w.T` and `w[rows]` give floats. A quarter of the
    memory of float32, and so a quarter of the bytes to be read for each token. What NumPy can't
    do is multiply whole numbers by floats fast; so rows are made floats again a block at a time,
    in a buffer that stays in the processor's cache.
    """

    __array_ufunc__ = None  # so that `array @ w` asks us
    BLOCK = 128  # rows

    def __init__(self, w: np.ndarray):
        self.scale = np.abs(w).max(-1, keepdims=True).astype(np.float32) / 127
        self.scale[self.scale == 0] = 1
        self.q = np.rint(w / self.scale).astype(np.int8, order="C")
        self.shape, self.dtype, self.turned = w.shape, np.dtype(np.float32), False

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows):
        return self.q[rows] * self.scale[rows, 0][..., None]

    @property
    def T(self) -> "EightBit":
        turned = object.__new__(EightBit)
        turned.__dict__ |= self.__dict__ | {
            "shape": self.shape[::-1],
            "turned": not self.turned,
        }
        return turned

    @property
    def nbytes(self) -> int:
        return self.q.nbytes + self.scale.nbytes

    def __rmatmul__(self, x):  # (…, n) -> (…, m); turned: (…, m) -> (…, n)
        y = np.zeros((*x.shape[:-1], self.shape[-1]), x.dtype)
        x = x if self.turned else x * self.scale[:, 0]
        buffer = np.empty((self.BLOCK, self.q.shape[1]), np.float32)
        for start in range(0, len(self.q), self.BLOCK):
            rows = slice(start, start + self.BLOCK)
            block = buffer[: len(self.q[rows])]
            block[:] = self.q[rows]
            if self.turned:
                y[..., rows] = x @ block.T
            else:
                y += x[..., rows] @ block
        return y * self.scale[:, 0] if self.turned else y


def quantise(params: dict, matrix: Callable = EightBit):
    """Return the parameters with every matrix but `wpe` (its rows are read once) in eight bits."""
    if isinstance(params, list):
        return [quantise(p, matrix) for p in params]
    if isinstance(params, dict):
        return {name: p if name == "wpe" else quantise(p, matrix) for name, p in params.items()}
    return matrix(params) if params.ndim == 2 else params


# --- files --------------------------------------------------------------------------------------

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
LAYER = {  # the names of a block's parameters here, and in the file without "h.0."
    "attn": {"c_attn": ("w", "b"), "c_proj": ("w", "b")},
    "mlp": {"c_fc": ("w", "b"), "c_proj": ("w", "b")},
    "ln_1": ("g", "b"),
    "ln_2": ("g", "b"),
}
THEIRS = {"w": "weight", "g": "weight", "b": "bias"}


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a .safetensors file: eight bytes, a JSON header, then the numbers.

    They are views of the file, read when they are used; bfloat16 becomes float32. ValueError if
    the file isn't whole, or holds something else.
    """
    data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    size = int.from_bytes(data[:8].tobytes(), "little")
    try:
        header = json.loads(data[8 : 8 + size].tobytes())
        header.pop("__metadata__", None)
        tensors = {}
        for name, entry in header.items():
            start, stop = (8 + size + offset for offset in entry["data_offsets"])
            part = data[start:stop].view(DTYPES[entry["dtype"]])
            if start < 8 + size or len(data) < stop:
                raise ValueError("it is cut off")
            if entry["dtype"] == "BF16":  # the upper half of a float32
                part = (part.astype(np.uint32) << 16).view(np.float32)
            tensors[name] = part.reshape(entry["shape"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error}).") from None
    return tensors


def load_gpt2(folder: str | Path) -> tuple[dict, int]:
    """Return the parameters of a GPT-2, float32, and its number of heads.

    `folder` holds config.json and model.safetensors, as Hugging Face's `save_pretrained` writes
    them, and lecture 07's too. FileNotFoundError or ValueError, with one sentence, if there is no
    such model in it.
    """
    folder = Path(folder)
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no GPT-2: there is no {name} in it.")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = config["model_type"]
        n_layer, n_head, tied = (
            config["n_layer"],
            config["n_head"],
            config.get("tie_word_embeddings", True),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'config.json'} doesn't describe a GPT-2 ({error}).") from None
    if kind != "gpt2" or not tied:
        what = f"a model of the type {kind!r}" if tied else "an output layer of its own"
        raise ValueError(f"{folder / 'config.json'} describes {what}; this is for GPT-2.")
    tensors = read_safetensors(folder / "model.safetensors")
    tensors = {name.removeprefix("transformer."): t for name, t in tensors.items()}

    def read(names, prefix: str):
        if isinstance(names, dict):
            return {name: read(inner, f"{prefix}{name}.") for name, inner in names.items()}
        return {name: array(f"{prefix}{THEIRS[name]}") for name in names}

    def array(name: str) -> np.ndarray:
        if name not in tensors:
            raise ValueError(f"{folder / 'model.safetensors'} lacks {name}.")
        return np.array(tensors[name], np.float32)

    return {
        # By columns, so that the product with wte.T, the largest of all, reads it in order.
        "wte": np.asfortranarray(array("wte.weight")),
        "wpe": array("wpe.weight"),
        "blocks": [read(LAYER, f"h.{i}.") for i in range(n_layer)],
        "ln_f": read(("g", "b"), "ln_f."),
    }, n_head
