"""A partner for the tests of the chat: a real GPT, small, whose weights know the alphabet alone."""

import dataclasses
import time

import torch

from zerotohero.course.chat.partner import Partner
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.smollm import SmolTokenizer

WORDS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def tokenizer() -> SmolTokenizer:
    """SmolLM2's kind of tokenizer, with a token a byte behind the special ones."""
    pieces = [*(word.encode() for word in WORDS), *(bytes([byte]) for byte in range(256))]
    return SmolTokenizer(pieces, {word: i for i, word in enumerate(WORDS)})


@torch.no_grad()
def alphabet(block_size: int = 512, last: str | None = "z") -> GPT:
    """A GPT that says the alphabet: after each letter the next, and after the `last` it ends.

    "a" comes after a line's end, and, where `last` is None, after "z". The blocks add nothing, so
    the next token depends on the last one alone.
    """
    config = GPTConfig(
        259, block_size, n_layer=2, n_head=2, n_embd=64, position="rotary", zero_init=True,
        tied=False,
    )  # fmt: skip
    model = GPT(config, torch.Generator().manual_seed(0)).eval()
    table = torch.randn(259, 64, generator=torch.Generator().manual_seed(1))
    model.transformer.wte.weight.copy_(table)
    said = [ord(letter) for letter in "\nabcdefghijklmnopqrstuvwxyz"]
    said = [3 + byte for byte in said[: 1 + said.index(ord(last or "z"))]]
    after = [*said[1:], said[1] if last is None else 2]
    for before, token in zip(said, after, strict=True):
        model.lm_head.weight[token] += 5 * model.transformer.ln_f(table[before])
    return model


def partner(seconds: float = 0.0, block_size: int = 512, last: str | None = "z") -> Partner:
    """Return one that answers with the alphabet, and takes so many `seconds` for a letter."""
    tok = tokenizer()

    def decode(ids: list[int]) -> str:
        time.sleep(seconds)
        return tok.decode(ids)

    stop = frozenset([tok.end])
    model = alphabet(block_size, last)
    return Partner("the alphabet", model, tok.chat, decode, stop, temperature=0.0)


def answered(conversation, text: str) -> tuple[str, list[str]]:
    """The whole answer to a text, and the notes about it."""
    said = list(conversation.answer(text))
    return "".join(s.text for s in said), [s.note for s in said if s.note]


def briefly(partner: Partner, longest: int) -> Partner:
    return dataclasses.replace(partner, longest=longest)
