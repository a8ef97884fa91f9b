"""Writing shards so that a program may be killed at any moment, and the next one goes on.

The idea. There are two places where it stands how much is written: the shards themselves, and a
small file, shards.json. Only the latter counts. It is replaced as a whole, and only after the
tokens that it tells of have been forced onto the disk; so what it says is always true, and whatever
stands on the disk beyond it is cut off before anything is written.

A shard has the ending `.part` until all its tokens are there, and its header, which holds their
SHA-256. Left out: which tokens these are, which is for `sharding`.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zerotohero.documents import Position
from zerotohero.shards import (
    FORMAT,
    HEADER,
    PIECE,
    PLAN,
    SPLITS,
    TOKEN,
    Header,
    read_plan,
    shard_name,
)

COMMIT = 8  # batches between two records of how far it is


@dataclass(frozen=True)
class Plan:
    """How the sequence of tokens is cut. ValueError for what can't be."""

    shard_tokens: int  # tokens a shard; the last one has fewer
    val_shards: int = 1  # how many, from the first on, are for validation
    tokens: int | None = None  # after how many to stop; None: at the source's end

    def __post_init__(self):
        if not 1 <= self.shard_tokens < 2**31:
            raise ValueError(
                f"A shard can't have {self.shard_tokens:,} tokens: take 1 to {2**31 - 1:,}."
            )
        if self.val_shards < 1:
            raise ValueError("At least one shard must be for validation.")
        least = self.val_shards * self.shard_tokens + 1
        if self.tokens is not None and self.tokens < least:
            raise ValueError(
                f"{self.tokens:,} tokens would leave none to train on, after {self.val_shards} of "
                f"{self.shard_tokens:,} for validation: take more, or smaller shards."
            )

    def name(self, number: int) -> str:
        """Return the name of the shard with that number, counted from the first for validation."""
        if number < self.val_shards:
            return shard_name("val", number)
        return shard_name("train", number - self.val_shards)


class TooShort(ValueError):
    """A source that leaves nothing to train on."""


def begun(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Return what shards.json says, or what it says at the beginning."""
    if not (folder / PLAN).exists():
        said = {"tokens": 0, "documents": 0, "position": None, "finished": False}
        return {"format": FORMAT, "plan": asked, **said}
    state = read_plan(folder)
    for name, its in state["plan"].items():
        if its != asked.get(name):
            what = {"source": "another source, or the source has changed since"}.get(
                name, f"another {name.replace('_', ' ')}"
            )
            raise ValueError(f"{folder} holds shards of {what}; name a new folder.")
    return state


def record(folder: Path, state: dict[str, Any]) -> None:
    temporary = folder / f"{PLAN}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(state, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / PLAN)


class Writer:
    """Writes a sequence of tokens into shards, from where shards.json says on."""

    def __init__(self, folder: Path, vocab_size: int, plan: Plan, state: dict[str, Any]):
        """Begin, or go on, as `state` says. ValueError if the shards are not those it tells of."""
        self.folder, self.plan, self.state = folder, plan, state
        self.vocab_size = vocab_size
        self.vocabulary = bytes.fromhex(state["plan"]["vocabulary"])
        self.total, self._batches = state["tokens"], 0
        self._whole = {name: state[name] for name in ("tokens", "documents", "position")}
        self._number, self._count = divmod(self.total, plan.shard_tokens)
        self._check_others()
        self._open()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind, *_) -> None:
        if kind:
            with contextlib.suppress(OSError):
                self._record()  # what is done needn't be done again
        with contextlib.suppress(OSError):  # of a full disk, which was an error before
            self._file.close()

    def _part(self) -> Path:
        return self.folder / f"{self.plan.name(self._number)}.part"

    def _check_others(self) -> None:
        """ValueError unless the shards before this one are there; those after it are removed."""
        names = {self.plan.name(self._number), self._part().name}
        for number in range(self._number):
            path = self.folder / self.plan.name(number)
            header = Header.read(path)
            if header.count != self.plan.shard_tokens or header.vocabulary != self.vocabulary:
                raise ValueError(
                    f"{path} is not the shard that was written there: begin again in a new folder."
                )
            names.add(path.name)
        for split in SPLITS:
            for path in self.folder.glob(f"{split}-*.bin*"):
                if path.name not in names:
                    path.unlink()

    def _open(self) -> None:
        """Open a shard that has `_count` tokens so far, whatever a killed program left of it."""
        part, size = self._part(), HEADER + self._count * TOKEN.itemsize
        whole = self.folder / self.plan.name(self._number)
        if whole.exists():  # it was closed, but that was not recorded
            os.replace(whole, part)
        self._file = open(part, "r+b" if part.exists() else "w+b")  # noqa: SIM115
        self._digest = hashlib.sha256()
        self._file.seek(HEADER)
        left = self._count * TOKEN.itemsize
        while left and (piece := self._file.read(min(PIECE, left))):
            self._digest.update(piece)
            left -= len(piece)
        if left:
            self._file.close()
            raise ValueError(
                f"{part} is shorter than {PLAN} beside it says: begin again in a new folder."
            )
        self._file.truncate(size)
        self._file.seek(size)

    def add(self, tokens: np.ndarray, documents: int, position: Position) -> None:
        """Write the tokens of so many more documents, after which the source is at `position`.

        Now and then it is recorded.
        """
        while len(tokens):
            piece = tokens[: self.plan.shard_tokens - self._count]
            content = piece.tobytes()
            self._file.write(content)
            self._digest.update(content)
            self._count += len(piece)
            self.total += len(piece)
            tokens = tokens[len(piece) :]
            if self._count == self.plan.shard_tokens:
                self._close()
                self._number, self._count = self._number + 1, 0
                self._open()
        # All at once, for Ctrl-C may come between any two lines.
        self._whole = {
            "tokens": self.total,
            "documents": self._whole["documents"] + documents,
            "position": position,
        }
        self._batches += 1
        if self._batches % COMMIT == 0:
            self._record()

    def _close(self) -> None:
        """Give the shard its header and its name."""
        said = Header(self._count, self.vocab_size, self._digest.digest(), self.vocabulary)
        self._file.seek(0)
        self._file.write(said.packed())
        self._sync()
        self._file.close()
        os.replace(self._part(), self.folder / self.plan.name(self._number))

    def _sync(self) -> None:
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())

    def _record(self, **more: Any) -> dict[str, Any]:
        self._sync()
        state = self.state | self._whole | more
        record(self.folder, state)
        return state

    def finish(self) -> dict[str, Any]:
        """Close the last shard, and return what is recorded. TooShort if none is to train on."""
        val = self.plan.val_shards * self.plan.shard_tokens
        if self.total <= val:
            raise TooShort(
                f"There are only {self.total:,} tokens, and validation takes {val:,}: take smaller "
                "shards, or a longer text."
            )
        if self._count:
            self._close()
        else:
            self._file.close()
            self._part().unlink()
        # A position can tell more than where it is, such as how often reading began again.
        return self._record(finished=True, position=None)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder against a second program that would write there; ValueError if one does."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise ValueError(f"Another program is writing to {folder} now.") from None
    try:
        yield
    finally:
        os.close(held)
