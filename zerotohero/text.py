"""Text: from the characters of a file to the numbers that a language model learns, and back.

The idea. A model knows no letters, only rows of an embedding table, so a text becomes a sequence
of row numbers, its tokens. There are two kinds of vocabulary here, with the same methods
(`encode`, `decode`, `len`):

- `Characters` numbers the distinct characters of one text: 65 for Tiny Shakespeare. Nothing can
  be split further and nothing is lost, but a model reads one letter a step;
- `BytePairTokens` numbers pieces of frequent text. GPT-2 was trained with 50,257 of them, about
  four characters each. Any text can be written in them, because every single byte is a piece too.

The paper: A. Radford and others, Language Models are Unsupervised Multitask Learners (2019), whose
section 2.2 argues for pieces of bytes.

New against `bigram`: no boundary around words, because the text is one long sequence; whole files.
Left out: how pieces are learned from text (lecture 09's `tokenizer`), and texts larger than memory.
"""

from collections.abc import Sequence
from operator import index
from pathlib import Path

import torch
from jaxtyping import Int64, Integer
from torch import Tensor

from zerotohero.tokenizer import END, Tokenizer


class Characters:
    """The characters of a text, numbered in sorted order; `chars[i]` is token i, `len()` is V."""

    def __init__(self, chars: str):
        """Number `chars` as they stand. ValueError if there are none or one stands twice."""
        if not chars or len(set(chars)) < len(chars):
            raise ValueError("A vocabulary needs one character or more, and each of them once.")
        self.chars = chars
        self.stoi = {c: i for i, c in enumerate(chars)}

    @classmethod
    def of(cls, text: str) -> "Characters":
        """Collect and sort the distinct characters of `text`. ValueError if it is empty."""
        return cls("".join(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.chars)

    def encode(self, text: str) -> Int64[Tensor, "T"]:
        """Return the number of each character. ValueError names those that are unknown."""
        if unknown := sorted(set(text) - self.stoi.keys()):
            others = len(unknown) - 1
            more = f" and {others} more character{'s' * (others > 1)}" if others else ""
            are = "which are" if others else "which is"
            raise ValueError(
                f"The text holds {unknown[0]!r}{more}, {are} not in the vocabulary of {len(self)}."
            )
        return torch.tensor([self.stoi[c] for c in text], dtype=torch.int64)

    def decode(self, tokens: Sequence[int] | Integer[Tensor, "T"]) -> str:
        """Return the text that `tokens` stand for. ValueError for a number that isn't a token."""
        return "".join(self.chars[token] for token in _checked(tokens, len(self)))

    def keep_known(self, text: str) -> str:
        """Return `text` without the characters that are not in the vocabulary."""
        return "".join(c for c in text if c in self.stoi)


class BytePairTokens:
    """The tokens of a `tokenizer.Tokenizer`, as tensors: GPT-2's, or a vocabulary of one's own."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        # Between two documents, and so before each; None in a vocabulary without it.
        self.end_of_text = tokenizer.special.get(END)

    def __len__(self) -> int:
        return len(self.tokenizer)

    def encode(self, text: str) -> Int64[Tensor, "T"]:
        """Return the tokens of `text`; `<|endoftext|>` in it is read as any other characters."""
        return torch.tensor(self.tokenizer.encode_ordinary(text), dtype=torch.int64)

    def decode(self, tokens: Sequence[int] | Integer[Tensor, "T"]) -> str:
        """Return the text. A character that the last token cuts in two is shown as "\\ufffd".

        ValueError for a number that isn't a token.
        """
        return self.tokenizer.decode(tokens.tolist() if isinstance(tokens, Tensor) else tokens)


def gpt2_tokenizer() -> BytePairTokens:
    """Return GPT-2's tokens. RuntimeError if they are neither installed nor to be downloaded."""
    return BytePairTokens(Tokenizer.named("gpt2"))


def _checked(tokens: Sequence[int] | Integer[Tensor, "T"], V: int) -> list[int]:
    """Return the tokens as a list; ValueError for one that is not below V."""
    numbers = tokens.tolist() if isinstance(tokens, Tensor) else list(map(index, tokens))
    for number in numbers:
        if not 0 <= number < V:
            raise ValueError(f"{number} is no token; the vocabulary goes from 0 to {V - 1}.")
    return numbers


def read_text(path: str | Path) -> str:
    """Return the text of a UTF-8 file, without what only says how it was stored.

    That is a byte-order mark at its start, and the "\\r" of Windows' line ends: a model would learn
    to write them, and one that was trained without them could not read the file.

    ValueError or OSError with one sentence if it is missing, a folder, empty or not UTF-8.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a text file in it.")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {path}.") from None
    except OSError as error:
        raise OSError(f"{path} cannot be read: {error.strerror}.") from None
    if not content:
        raise ValueError(f"{path} is empty; name a file that holds text.")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text: the byte at position {error.start} is "
            f"0x{content[error.start]:02x}; save the file as UTF-8 first."
        ) from None


def split_text(
    tokens: Integer[Tensor, "T"], block_size: int, val_fraction: float = 0.1
) -> tuple[Integer[Tensor, "train"], Integer[Tensor, "val"]]:
    """Cut the end off as the validation part: a shuffled one would repeat what was learned.

    ValueError if a part is too short for one row: a context of `block_size` and what follows it.
    """
    if not 0 < val_fraction < 1:
        raise ValueError(f"val_fraction is {val_fraction}; it must be between 0 and 1.")
    cut = int(len(tokens) * (1 - val_fraction))
    train, val = tokens[:cut], tokens[cut:]
    if min(len(train), len(val)) < block_size + 1:
        has = f"{len(tokens):,} token{'s' * (len(tokens) != 1)}"
        raise ValueError(
            f"The text has {has}, {len(train):,} to train on and {len(val):,} to "
            f"validate, but a context of {block_size} needs {block_size + 1} in each part; take a "
            "longer text or a smaller block_size."
        )
    return train, val
