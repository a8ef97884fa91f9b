"""Shards: a text as tokens on the disk, read a row at a time, however long it is.

The idea. Tokens of a vocabulary of at most 65,536 fit into two bytes each, and a file of nothing
but tokens needs no reading: the operating system maps it into memory, and fetches the few pages
that a row touches when it is touched. So ten billion tokens cost a training run as little memory
as ten thousand. They lie in several files, shards, because one of 20 GB is awkward to move; for
whoever draws rows they are one sequence, and a row that begins at one's end goes on in the next.

A shard is a header of 1,024 bytes and the tokens, all of it little-endian on every machine:

    bytes 0–3    20240520, which says that it is one     16–47  SHA-256 of the tokens' bytes
    bytes 4–7    1, the version                          48–79  SHA-256 of the vocabulary
    bytes 8–11   how many tokens there are               and zeros
    bytes 12–15  the size of the vocabulary

The first three are those of the shards of A. Karpathy's llm.c, which can so train on these. Before
each document stands `<|endoftext|>`. New against `text`: nothing is held in memory. Left out: how
shards are made, which is in `sharding`.
"""

import hashlib
import json
import mmap
import struct
from collections import OrderedDict
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from zerotohero.tokenizer import Tokenizer

SPLITS = "train", "val"
MAGIC, VERSION = 20240520, 1
LAYOUT = struct.Struct("<IIII32s32s")
HEADER = 1024  # bytes
TOKEN = np.dtype("<u2")
PLAN, FORMAT = "shards.json", "zerotohero shards 1"  # what a folder of them is, and how far
MOST = 2**16  # tokens that two bytes can tell apart
PIECE = 2**24  # bytes that are looked at at a time
MAPPED = 64  # shards that are mapped at a time: each holds a file open
KEPT_ROWS = 16  # after which the pages are given back: a row may bring half a megabyte of them


def vocabulary_hash(tokenizer: Tokenizer) -> bytes:
    """Return the SHA-256 of what makes two tokenizers equal: pieces, cut, special tokens."""
    digest = hashlib.sha256()
    special = sorted(tokenizer.special.items(), key=lambda item: item[1])
    for part in (*tokenizer.vocab, tokenizer.pattern, *(f"{i} {text}" for text, i in special)):
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(4, "little") + content)
    return digest.digest()


def shard_name(split: str, number: int) -> str:
    """Return a shard's name in its folder: "train-00012.bin"."""
    return f"{split}-{number:05}.bin"


def read_plan(folder: Path) -> dict[str, Any]:
    """Return what a folder's shards.json says. ValueError or FileNotFoundError if there is none."""
    path = folder / PLAN
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        fine = said["format"] == FORMAT and isinstance(said["plan"], dict)
        fine = fine and all(type(said[name]) is int for name in ("tokens", "documents"))
        fine = fine and type(said["finished"]) is bool and "position" in said
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder} holds no shards: there is no {path.name}.") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        fine = False
    if not fine:
        raise ValueError(f"{path} is damaged, or of another program.")
    return said


@dataclass(frozen=True)
class Header:
    """What a shard says of itself."""

    count: int
    vocab_size: int
    sha256: bytes
    vocabulary: bytes  # a SHA-256, too

    def packed(self) -> bytes:
        said = LAYOUT.pack(
            MAGIC, VERSION, self.count, self.vocab_size, self.sha256, self.vocabulary
        )
        return said.ljust(HEADER, b"\0")

    @classmethod
    def read(cls, path: Path) -> "Header":
        """Return a shard's header. ValueError or FileNotFoundError if it isn't a whole shard."""
        try:
            with open(path, "rb") as file:
                start = file.read(HEADER)
                size = file.seek(0, 2)
        except FileNotFoundError:
            raise FileNotFoundError(f"There is no shard {path}.") from None
        if len(start) < HEADER or struct.unpack_from("<I", start)[0] != MAGIC:
            raise ValueError(f"{path} is no shard: it doesn't begin as one.")
        _, version, count, vocab_size, sha256, vocabulary = LAYOUT.unpack_from(start)
        if version != VERSION:
            raise ValueError(f"{path} is a shard of version {version}; {VERSION} is read here.")
        if size != HEADER + count * TOKEN.itemsize:
            raise ValueError(
                f"{path} is cut off or damaged: it says that it holds {count:,} tokens, but has "
                f"room for {max(0, size - HEADER) // TOKEN.itemsize:,}. Copy it again."
            )
        if not 0 < vocab_size <= MOST or not count or not any(sha256):
            raise ValueError(
                f"{path} doesn't say which vocabulary its tokens are of, as shards do that "
                "`zerotohero data shards` has made."
            )
        return cls(count, vocab_size, sha256, vocabulary)


class Shards:
    """The tokens of some shards, one after another, on the disk.

    `len()` is how many there are; a slice, with step 1, is an array of int64. Attributes:
    paths, vocab_size, vocabulary and sha256 (of all, in order), which are digests as bytes.
    """

    def __init__(self, paths: list[Path]):
        """Read the headers alone. ValueError or FileNotFoundError if they are no shards of one set.

        ValueError if there are none.
        """
        if not paths:
            raise ValueError("There are no shards.")
        self.paths = list(paths)
        headers = [Header.read(path) for path in self.paths]
        self.vocab_size, self.vocabulary = headers[0].vocab_size, headers[0].vocabulary
        for path, header in zip(self.paths, headers, strict=True):
            if (header.vocab_size, header.vocabulary) != (self.vocab_size, self.vocabulary):
                raise ValueError(f"{path} is of another vocabulary than {self.paths[0]}.")
        self._headers = headers
        self.sha256 = hashlib.sha256(b"".join(header.sha256 for header in headers)).digest()
        self._counts = [header.count for header in headers]
        self._ends = np.cumsum(self._counts, dtype=np.int64)
        self._maps: OrderedDict[int, tuple[np.ndarray, mmap.mmap]] = OrderedDict()
        self._read: list[int] = []  # the shards of the rows since pages were given back

    @classmethod
    def of(cls, folder: str | PathLike, split: str) -> "Shards":
        """Return the shards of a folder that are for "train", or for "val".

        ValueError or FileNotFoundError, with one sentence, unless they are all there and whole.
        """
        folder = Path(folder)
        said = read_plan(folder)
        if not said["finished"]:
            raise ValueError(
                f"{folder} is not finished: go on by the command that began it, "
                "`zerotohero data shards`."
            )
        n_val, size = (said["plan"][name] for name in ("val_shards", "shard_tokens"))
        n = n_val if split == "val" else -(-said["tokens"] // size) - n_val
        shards = cls([folder / shard_name(split, number) for number in range(n)])
        if len(shards) != (n_val * size if split == "val" else said["tokens"] - n_val * size):
            raise ValueError(f"{folder} holds other shards than its {PLAN} says: make them again.")
        return shards

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __repr__(self) -> str:
        return f"{len(self):,} tokens in {len(self.paths)} shards"

    def __getitem__(self, which: slice) -> Int64[np.ndarray, "T"]:
        start, stop, step = which.indices(len(self))
        if step != 1:
            raise ValueError("Shards are read in order: take a slice with step 1.")
        if stop <= start:
            return np.empty(0, np.int64)
        return self.rows(np.array([start]), stop - start)[0]

    def rows(self, starts: Int64[np.ndarray, "B"], width: int) -> Int64[np.ndarray, "B T"]:
        """Return, for each place, the `width` tokens from there on; all must be inside."""
        out = np.empty((len(starts), width), np.int64)
        numbers = np.searchsorted(self._ends, starts, "right").tolist()
        for row, start, k in zip(out, starts.tolist(), numbers, strict=True):
            first = start - int(self._ends[k]) + self._counts[k]
            part = self._tokens(k)[first : first + width]
            if len(part) == width:
                row[:] = part
                continue
            at = 0
            while True:  # over the ends of as many shards as it takes
                row[at : at + len(part)] = part
                at += len(part)
                if at == width:
                    break
                k += 1
                part = self._tokens(k)[: width - at]
        return out

    def _tokens(self, k: int) -> np.ndarray:
        if len(self._read) >= KEPT_ROWS:
            self._give_back()
        self._read.append(k)
        if k not in self._maps:
            while len(self._maps) >= MAPPED:
                self._maps.popitem(last=False)
            with open(self.paths[k], "rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._maps[k] = np.frombuffer(mapped, TOKEN, offset=HEADER), mapped
        return self._maps[k][0]

    def _give_back(self) -> None:
        """Let go of the pages that were read, which the system would count as this process's."""
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows, which counts otherwise
            for k in self._maps.keys() & self._read:
                self._maps[k][1].madvise(mmap.MADV_DONTNEED)
        self._read.clear()

    def verify(self, progress=None) -> None:
        """Read everything; ValueError names a shard whose tokens aren't those that were written.

        `progress` is called with the number of bytes after each piece.
        """
        for path, header in zip(self.paths, self._headers, strict=True):
            digest, highest = hashlib.sha256(), 0
            with open(path, "rb") as file:
                file.seek(HEADER)
                while piece := file.read(PIECE):
                    digest.update(piece)
                    highest = max(highest, int(np.frombuffer(piece, TOKEN).max()))
                    if progress:
                        progress(len(piece))
            if digest.digest() != header.sha256 or highest >= header.vocab_size:
                raise ValueError(f"{path} is damaged: its SHA-256 is wrong. Copy or make it again.")
