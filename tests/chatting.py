"""What the tests of the chat share: a partner, and a terminal.

The partner is a real GPT, small, whose weights know the alphabet alone.
"""

import contextlib
import dataclasses
import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import torch

from patience import patience
from small import environment
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
        259,
        block_size,
        n_layer=2,
        n_head=2,
        n_embd=64,
        position="rotary",
        zero_init=True,
        tied=False,
    )
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
    encode = tok.encode_ordinary
    return Partner("the alphabet", model, tok.chat, encode, decode, stop, temperature=0.0)


def answered(conversation, text: str) -> tuple[str, list[str]]:
    """The whole answer to a text, and the notes about it."""
    said = list(conversation.answer(text))
    return "".join(s.text for s in said), [s.note for s in said if s.note]


def briefly(partner: Partner, longest: int) -> Partner:
    return dataclasses.replace(partner, longest=longest)


# --- the command, in a process of its own -------------------------------------------------------

COMMAND = """
import sys
import chatting
from zerotohero.course import cli
from zerotohero.course.chat import partner
partner.small_assistant = lambda: chatting.partner({partner})
cli.main()
"""


def command(partner: str, *arguments: str) -> list[str]:
    """`zerotohero` with a partner of ours, its arguments as text, in SmolLM2's place."""
    return [sys.executable, "-c", COMMAND.format(partner=partner), *map(str, arguments)]


class Terminal:
    """A program in a terminal: what is typed, and what has come."""

    def __init__(self, command: list[str], root: Path):
        ours, theirs = pty.openpty()
        env = environment(root) | {"TERM": "dumb"}
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self.end, self.text, self.seen = ours, "", 0

    def type(self, keys: str) -> None:
        os.write(self.end, keys.encode())

    def wait_for(self, words: str, seconds: float = 20) -> str:
        """Wait until the words come, after what was waited for before; return all up to them."""
        deadline = time.monotonic() + patience(seconds)
        while (at := self.text.find(words, self.seen)) < 0:
            ready, _, _ = select.select([self.end], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"no {words!r} in {self.text[self.seen :]!r}")
            try:
                self.text += os.read(self.end, 4096).decode(errors="replace").replace("\r", "")
            except OSError:  # how Linux says that the other end is closed
                raise AssertionError(f"it ended: {self.text[self.seen :]!r}") from None
        came, self.seen = self.text[self.seen : at + len(words)], at + len(words)
        return came

    def interrupt(self, words: str) -> str:
        """Press Ctrl-C, and again, until the words come.

        Where the prompt stands there already and isn't read yet, Python keeps one for the next key.
        """
        for seconds in (1, 1, 20):
            self.type("\x03")
            with contextlib.suppress(TimeoutError):
                return self.wait_for(words, seconds)
        raise AssertionError(f"no {words!r} in {self.text[self.seen :]!r}")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.end)
