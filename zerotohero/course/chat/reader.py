"""A model that goes on where it has read up to.

A conversation grows at its end, so what was read for one answer is the beginning of what has to be
read for the next. The keys and values of that beginning are kept, and only the rest is computed.
"""

from collections.abc import Iterator

import torch

from zerotohero.generation import KVCache, next_token_probs
from zerotohero.gpt import GPT

CHUNK = 128  # tokens read at once: fewer are slower, more let one wait longer for a stop


class Reader:
    """A model, and the tokens whose keys and values it holds."""

    def __init__(self, model: GPT, generator: torch.Generator | None = None):
        """`generator` draws the tokens, on the CPU; without one, they differ each time."""
        self.model, self.read = model, []
        self.cache = KVCache(model.config.n_layer)
        self.generator = generator or torch.Generator()
        if generator is None:
            self.generator.seed()

    def shared(self, ids: list[int]) -> int:
        """Return how many tokens at the beginning of `ids` have been read already."""
        n = 0
        for read, token in zip(self.read, ids, strict=False):
            if read != token:
                break
            n += 1
        return n

    def tokens(self, prompt: list[int], temperature: float) -> Iterator[int | None]:
        """Yield what the model writes after the prompt, token by token, until the context is full.

        None is yielded after each part that was read, so that who listens can stop there, too.
        ValueError for a model that has diverged.
        """
        ids = list(prompt)
        at = min(self.shared(ids), len(ids) - 1)  # the last one is read anew, for its logits
        while len(ids) < self.model.config.block_size:
            while at < len(ids):
                part = ids[at : at + CHUNK]
                self.cache.length = at
                logits = self._logits(part)
                at += len(part)
                self.read = ids[:at]
                yield None
            probs = next_token_probs(logits, temperature)
            ids.append(torch.multinomial(probs, 1, generator=self.generator).item())
            yield ids[-1]

    @torch.no_grad()
    def _logits(self, part: list[int]) -> torch.Tensor:
        idx = torch.tensor([part], device=self.model.device)
        return self.model(idx, self.cache, last=True)[0, -1].cpu()
