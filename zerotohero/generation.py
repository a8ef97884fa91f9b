"""Writing with a GPT: the next token's probabilities, drawn from again and again.

The idea: a GPT gives the probabilities of one token, the next. Draw a token, put it behind the
text, and ask again. Sharpening the probabilities first (temperature) or leaving out the unlikely
tokens (top-k, top-p) trades variety for care. And since a position's keys and values depend on
the past alone, they never change once they are computed: a cache keeps them, and a step costs one
position instead of the whole text.

The papers: Fan et al. (2018), "Hierarchical Neural Story Generation", for top-k; Holtzman et al.
(2020), "The Curious Case of Neural Text Degeneration", section 3.1, for top-p. The cache has no
paper of its own; Shazeer (2019), "Fast Transformer Decoding", weighs what it saves and costs.

New against `gpt`, which calls these functions its own: nothing is learned here. Left out: beam
search, penalties for repetition, and speculative decoding.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from math import inf
from operator import index

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn


class KVCache:
    """The keys and values of all positions so far, for each layer of one batch.

    A model that is given a cache reads only the tokens that it does not hold yet, and each layer
    appends theirs: `k, v = cache.append(layer, k, v)`.
    """

    ROOM = 256  # positions beyond those that are needed, so that few appends have to move the rest

    def __init__(self, n_layer: int):
        self._layers: list[list[Tensor]] = [[] for _ in range(n_layer)]
        self.length = 0  # positions held by every layer, so also the next token's position

    def append(
        self, layer: int, k: Float[Tensor, "B H T S"], v: Float[Tensor, "B H T S"]
    ) -> tuple[Float[Tensor, "B H T_all S"], Float[Tensor, "B H T_all S"]]:
        """Put the new positions behind the old ones; return all keys and all values of the layer.

        `length` grows when the last layer has appended, so that all layers of one pass see the
        same. What a single row has read serves as many as come after it.
        """
        B, H, T, S = k.shape
        start, stop = self.length, self.length + T
        held = self._layers[layer]
        if not held or held[0].shape[2] < stop or len(held[0]) < B:
            larger = [part.new_empty(B, H, stop + self.ROOM, S) for part in (k, v)]
            for new, old in zip(larger, held, strict=False):  # none the first time
                new[:, :, :start] = old[:, :, :start]
            held[:] = larger
        for all_of_them, part in zip(held, (k, v), strict=True):
            all_of_them[:, :, start:stop] = part
        if layer == len(self._layers) - 1:
            self.length = stop
        return held[0][:, :, :stop], held[1][:, :, :stop]

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all rows of the batch but these."""
        self._layers = [[part[rows] for part in held] for held in self._layers]


def next_token_probs(
    logits: Float[Tensor, "*B V"],
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
) -> Float[Tensor, "*B V"]:
    """Return the probabilities to draw the next token from.

    The logits are divided by the temperature; at 0 all probability is the likeliest token's.
    `top_k` keeps the k likeliest tokens. Of those, `top_p` keeps the smallest set whose
    probability reaches p, and at least one. What is kept is scaled to sum to 1.

    Raises ValueError for a temperature below 0, a top_k below 1, a top_p outside (0, 1], and
    logits whose largest is not finite.
    """
    if not 0 <= temperature < inf:
        raise ValueError(f"temperature is {temperature}; it must be 0 or a positive number.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; keep at least 1 token, or leave it out for all.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; it must be above 0 and at most 1.")
    # Whatever the model was computed in, sums over a vocabulary take at least float32.
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    V, largest = logits.shape[-1], logits.amax(-1, keepdim=True)
    if not largest.isfinite().all():
        raise ValueError("The model's logits are NaN or infinite: its training has diverged.")
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), V).type_as(logits)
    # The largest becomes 0 first: divided by a tiny temperature, the others go to −∞, not it to ∞.
    logits = (logits - largest) / temperature
    if top_k is not None and top_k < V:
        kept, where = logits.topk(top_k)
        logits = torch.full_like(logits, -inf).scatter(-1, where, kept)
    probs = logits.softmax(-1)
    if top_p is not None and top_p < 1:
        ordered, where = probs.sort(dim=-1, descending=True, stable=True)
        # A token stays if those before it do not reach p yet: the one that crosses p is the last.
        before = ordered.cumsum(-1).roll(1, -1)
        before[..., 0] = 0
        ordered = ordered.masked_fill(before >= top_p, 0)
        probs = torch.zeros_like(probs).scatter(-1, where, ordered / ordered.sum(-1, keepdim=True))
    return probs


def generate(
    model: nn.Module,
    prompts: Integer[Tensor, "B T"] | Iterable,
    max_new_tokens: int,
    *,
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
    stop: Iterable = (),
    generator: torch.Generator | None = None,
    use_cache: bool = True,
    share: bool = False,
) -> list[list[int]]:
    """Continue a batch of prompts; return each with its new tokens behind it.

    Prompts are a (B, T) tensor, or a list of lists or 1-D tensors that may differ in length: each
    row is continued as if it were alone. A row ends with the first of the `stop` tokens, which it
    keeps, or after `max_new_tokens`. `temperature`, `top_k` and `top_p` are `next_token_probs`'s.
    The generator draws, on the device that it lives on, which need not be the model's. Without
    the cache the tokens are the same, and take longer. To `share` saves work where one row is to
    the model as good as another: what all prompts begin with is read once, into the cache, and a
    row that has ended is read no more. A text longer than `block_size` is continued from its last
    `block_size` tokens.

    Raises ValueError for an empty prompt, tokens outside the vocabulary, a setting that can't be,
    or a model that has diverged; TypeError for prompts that aren't rows of whole numbers.
    """
    probs = partial(next_token_probs, temperature=temperature, top_k=top_k, top_p=top_p)
    rows, stop = _check(model, prompts, max_new_tokens, probs, stop)
    cache = None
    if use_cache:
        cache = read_shared(model, rows) if share else KVCache(model.config.n_layer)
    for step in _steps(model, rows, max_new_tokens, probs, stop, generator, cache, share):
        for i, token in step.items():
            rows[i].append(token)
    return rows


def stream(
    model: nn.Module,
    prompt: Integer[Tensor, " T"] | Iterable,
    max_new_tokens: int,
    *,
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
    stop: Iterable = (),
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> Iterator[int]:
    """Yield the new tokens of one prompt, each as soon as it is drawn.

    The tokens, the settings and the errors are those of `generate`.
    """
    probs = partial(next_token_probs, temperature=temperature, top_k=top_k, top_p=top_p)
    rows, stop = _check(model, [prompt], max_new_tokens, probs, stop)  # at the call
    cache = KVCache(model.config.n_layer) if use_cache else None
    steps = _steps(model, rows, max_new_tokens, probs, stop, generator, cache)
    return (step[0] for step in steps)


def read_shared(model: nn.Module, prompts: Sequence[Sequence[int]]) -> KVCache:
    """Return a cache of the tokens that all prompts begin with, read once for all of them.

    At least the last token of each is left to be read.
    """
    cache = KVCache(model.config.n_layer)
    columns = zip(*(prompt[:-1] for prompt in prompts), strict=False)  # as long as the shortest
    shared = [column[0] for column in takewhile(lambda column: len({*column}) == 1, columns)]
    if shared := shared[: model.config.block_size]:
        _read(model, torch.tensor([shared], device=model.device), cache)
    return cache


def _tokens(model: nn.Module, given: object, name: str) -> list[int]:
    """Return what was given as a list of tokens that the model knows."""
    try:
        tokens = [index(token) for token in given]
    except TypeError:
        raise TypeError(
            f"{name} has to be a list or a 1-D tensor of tokens, which are whole numbers, not "
            f"{given!r}. Text is encoded first; and generate takes a list of prompts, even of one."
        ) from None
    V = model.config.vocab_size
    for token in tokens:
        if not 0 <= token < V:
            raise ValueError(
                f"{name} holds the token {token}, but the model knows 0 to {V - 1}: encode with "
                "the vocabulary that it was trained with."
            )
    return tokens


def _check(
    model: nn.Module,
    prompts: Iterable,
    max_new_tokens: int,
    probs: Callable[[Tensor], Tensor],
    stop: Iterable,
) -> tuple[list[list[int]], list[int]]:
    """Return the prompts and the stop tokens as lists, or raise what is wrong with a setting."""
    rows = [_tokens(model, prompt, "A prompt") for prompt in prompts]
    if not all(rows):
        raise ValueError("A prompt is empty: give at least one token to continue.")
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens is {max_new_tokens}; it must be 0 or more.")
    probs(torch.zeros(1))
    return rows, _tokens(model, stop, "stop")


def _steps(
    model: nn.Module,
    rows: list[list[int]],
    max_new_tokens: int,
    probs: Callable[[Tensor], Tensor],
    stop: list[int],
    generator: torch.Generator | None,
    cache: KVCache | None,
    drop: bool = False,
) -> Iterator[dict[int, int]]:
    """Yield the new tokens of a step, {row: token}, going over the columns from left to right.

    Every row starts at position 0, as it would alone, and nothing is padded: while some prompts
    have ended and others have not, a column holds drawn tokens and given ones. To `drop` is to
    read rows that have ended no more, once they are a quarter of the batch.
    """
    lengths = [len(row) for row in rows]
    ends = [length + max_new_tokens for length in lengths]
    text = torch.zeros(len(rows), max(ends, default=0), dtype=torch.long)
    for i, row in enumerate(rows):
        text[i, : len(row)] = torch.tensor(row)

    column, writing = 0, [i for i in range(len(rows)) if max_new_tokens]
    place = {i: i for i in writing}  # in the batch
    while writing:
        if drop and 4 * len(writing) <= 3 * len(text):
            stay = [place[i] for i in writing]
            text, place = text[stay], {i: p for p, i in enumerate(writing)}
            if cache is not None:
                cache.keep(stay)
        # All tokens up to the first that has to be drawn are known: they are read in one pass.
        column = max(column, min(lengths[i] for i in writing))
        if column > model.config.block_size:
            # The context slides: all tokens move to earlier positions, and what the dropped one
            # told them must be forgotten. No key or value stays what it was, so from here on
            # every step reads the whole context.
            cache = None
        start = cache.length if cache is not None else max(0, column - model.config.block_size)
        logits = _read(model, text[:, start:column].to(model.device), cache)  # (B, V)

        drawing = [i for i in writing if lengths[i] <= column]
        places = [place[i] for i in drawing]
        chances = probs(logits[places])
        chances = chances.to(generator.device if generator is not None else "cpu")
        tokens = torch.multinomial(chances, 1, generator=generator)[:, 0].cpu()
        text[places, column] = tokens
        step = dict(zip(drawing, tokens.tolist(), strict=True))
        yield step
        column += 1
        writing = [i for i in writing if column < ends[i] and step.get(i) not in stop]


@torch.no_grad()
def _read(model, idx: Int[Tensor, "B T"], cache: KVCache | None) -> Float[Tensor, "B V"]:
    """Return the logits behind the last column; the model is back in its mode between tokens."""
    if not model.training:
        return model(idx, cache, last=True)[:, -1]
    with modes_kept(model):
        return model.eval()(idx, cache, last=True)[:, -1]


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Put every module back at the end into the mode that it was in, training or not."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
