"""Writing with a GPT: the next token's probabilities, drawn from again and again.

The idea: a GPT gives the probabilities of one token, the next. Draw a token, put it behind the
text, and ask again. Sharpening the probabilities first (temperature) or leaving out the unlikely
tokens (top-k, top-p) trades variety for care. And since a position's keys and values depend on
the past alone, they never change once they are computed: a cache keeps them, and a step costs one
position instead of the whole text.

The papers: Fan et al. (2018), arXiv:1805.04833, section 5.4, for top-k; Holtzman et al. (2020),
arXiv:1904.09751, section 3.1, for top-p. The cache has no paper of its own; Shazeer (2019),
arXiv:1911.02150, section 2.4, shows what it saves and what it costs in memory.

New against `gpt`, which calls these functions its own: nothing is learned here. Left out: beam
search, penalties for repetition, and speculative decoding.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class KVCache:
    """The keys and values of all positions so far, for each layer of one batch.

    A model that is given a cache reads only the tokens that it does not hold yet, and each layer
    appends theirs: `k, v = cache.append(layer, k, v)`.
    """

    def __init__(self, n_layer: int):
        self._layers: list[tuple[Tensor, Tensor] | None] = [None] * n_layer
        self.length = 0  # positions held by every layer, so also the next token's position

    def append(
        self, layer: int, k: Float[Tensor, "B H T S"], v: Float[Tensor, "B H T S"]
    ) -> tuple[Float[Tensor, "B H T_all S"], Float[Tensor, "B H T_all S"]]:
        """Put the new positions behind the old ones; return all keys and all values of the layer.

        `length` grows when the last layer has appended, so that all layers of one pass see the
        same.
        """
        held = self._layers[layer]
        if held is not None:
            k, v = torch.cat([held[0], k], 2), torch.cat([held[1], v], 2)
        self._layers[layer] = k, v
        if layer == len(self._layers) - 1:
            self.length = k.shape[2]
        return k, v


def next_token_probs(
    logits: Float[Tensor, "*B V"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, "*B V"]:
    """Return the probabilities to draw the next token from.

    The logits are divided by the temperature; at 0 all probability is the likeliest token's.
    `top_k` keeps the k likeliest tokens. Of those, `top_p` keeps the smallest set whose
    probability reaches p, and at least one. What is kept is scaled to sum to 1.

    Raises ValueError for a temperature below 0, a top_k below 1, a top_p outside (0, 1], and
    logits that are not numbers.
    """
    if not 0 <= temperature < inf:
        raise ValueError(f"temperature is {temperature}; it must be 0 or a positive number.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; keep at least 1 token, or None for all.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; it must be above 0 and at most 1, or None for all.")
    logits = logits.float()
    if logits.isnan().any():
        raise ValueError("The model's logits are not numbers (NaN): its training has diverged.")
    V = logits.shape[-1]
    if temperature == 0:
        top_k, temperature = 1, 1.0
    # The largest becomes 0 first: divided by a tiny temperature, the others go to −∞, not it to ∞.
    logits = (logits - logits.amax(-1, keepdim=True)) / temperature
    if top_k is not None and top_k < V:
        kept, where = logits.topk(top_k)
        logits = torch.full_like(logits, -inf).scatter(-1, where, kept)
    probs = logits.softmax(-1)
    if top_p is not None and top_p < 1:
        ordered, where = probs.sort(-1, descending=True, stable=True)
        # A token stays if those before it do not reach p yet: the one that crosses p is the last.
        before = ordered.cumsum(-1).roll(1, -1)
        before[..., 0] = 0
        ordered = ordered.masked_fill(before >= top_p, 0)
        probs = torch.zeros_like(probs).scatter(-1, where, ordered / ordered.sum(-1, keepdim=True))
    return probs


def generate(
    model: nn.Module,
    prompts: Int[Tensor, "B T"] | Sequence,
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: Iterable[int] = (),
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> list[list[int]]:
    """Continue a batch of prompts; return each with its new tokens behind it.

    Prompts are a (B, T) tensor, or a list of lists or 1-D tensors that may differ in length: each
    row is continued as if it were alone. A row ends with the first of the `stop` tokens, which it
    keeps, or after `max_new_tokens`. `temperature`, `top_k` and `top_p` are `next_token_probs`'s.
    The generator draws, on the device that it lives on, which need not be the model's. Without
    the cache the tokens are the same, and take longer. A text longer than `block_size` is
    continued from its last `block_size` tokens.

    Raises ValueError for an empty prompt, tokens outside the vocabulary, or a setting that can't
    be; TypeError for prompts that aren't rows of whole numbers.
    """
    rows = [_row(model, prompt) for prompt in prompts]
    steps = _steps(
        model, rows, max_new_tokens, (temperature, top_k, top_p), stop, generator, use_cache
    )
    for step in steps:
        for i, token in step.items():
            rows[i].append(token)
    return rows


def stream(
    model: nn.Module,
    prompt: Int[Tensor, " T"] | Sequence[int],
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: Iterable[int] = (),
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> Iterator[int]:
    """Yield the new tokens of one prompt, each as soon as it is drawn.

    They are those that `generate` returns, and so are the settings and the errors, which come at
    the call.
    """
    rows = [_row(model, prompt)]
    steps = _steps(
        model, rows, max_new_tokens, (temperature, top_k, top_p), stop, generator, use_cache
    )
    return (step[0] for step in steps)


def _row(model: nn.Module, prompt: Int[Tensor, " T"] | Sequence[int]) -> list[int]:
    """Return a prompt as a list of tokens that the model knows."""
    row = prompt.tolist() if isinstance(prompt, Tensor) else prompt
    if isinstance(row, (int, str)) or not all(type(token) is int for token in row):
        raise TypeError(
            f"A prompt is a list or 1-D tensor of whole numbers, not {prompt!r}: encode text first, "
            "and give generate a list of prompts, even of one."
        )
    if not row:
        raise ValueError("A prompt is empty: give at least one token to continue.")
    V = model.config.vocab_size
    for token in row:
        if not 0 <= token < V:
            raise ValueError(
                f"The prompt holds token {token}, but the model knows 0 … {V - 1}: encode it with "
                "the vocabulary that the model was trained with."
            )
    return list(row)


def _steps(model, rows, max_new_tokens, settings, stop, generator, use_cache):
    """Check the settings at once; then return what yields each step's new tokens, {row: token}."""
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens is {max_new_tokens}; it must be 0 or more.")
    next_token_probs(torch.zeros(1), *settings)
    return _write(model, rows, max_new_tokens, settings, frozenset(stop), generator, use_cache)


def _write(model, rows, max_new_tokens, settings, stop, generator, use_cache):
    """Go over the columns of all rows from left to right, and draw where a prompt has ended.

    All rows start at position 0, as each would alone; no padding takes part. While some prompts
    are over and others aren't, a column holds drawn tokens and given ones.
    """
    lengths = [len(row) for row in rows]
    ends = [length + max_new_tokens for length in lengths]
    device, block_size = model.transformer.wte.weight.device, model.config.block_size
    text = torch.zeros(len(rows), max(ends, default=0), dtype=torch.long)
    for i, row in enumerate(rows):
        text[i, : len(row)] = torch.tensor(row)
    cache = KVCache(model.config.n_layer) if use_cache else None
    column = 0
    writing = [i for i in range(len(rows)) if max_new_tokens]
    while writing:
        # Up to the first column that has to be drawn, all tokens are known: they are one pass.
        column = max(column, min(lengths[i] for i in writing))
        if column > block_size:
            # The context slides: every token moves to an earlier position, and what the first one
            # told the others is to be forgotten. No key or value stays what it was.
            cache = None
        start = max(0, column - block_size) if cache is None else cache.length
        logits = _last_logits(model, text[:, start:column].to(device), cache)
        drawing = [i for i in writing if lengths[i] <= column]
        probs = next_token_probs(logits[drawing], *settings)
        if generator is not None:
            probs = probs.to(generator.device)
        tokens = torch.multinomial(probs, 1, generator=generator)[:, 0].cpu()
        text[drawing, column] = tokens
        column += 1
        step = dict(zip(drawing, tokens.tolist(), strict=True))
        yield step
        writing = [i for i in writing if column < ends[i] and step.get(i) not in stop]


@torch.no_grad()
def _last_logits(model, idx, cache):
    """Return the logits behind the last column, in eval mode, and leave the mode as it was."""
    training = model.training
    model.eval()
    try:
        return model(idx, cache)[:, -1]
    finally:
        model.train(training)
