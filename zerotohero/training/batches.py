"""Batches by number: which rows an update is made of, cut from a text or taken from a table.

The idea: a batch is a list of numbers. Whoever knows the numbers can make it, so processes needn't
tell each other which rows they took, and a run that goes on after an interruption makes the same
ones. The tokens are moved to the device once, as small as they came, and a batch of any size is one
indexing operation.

New against `mlp.train`: targets that don't count (-100), as instruction data and sums need them;
and `shards`, of which a batch's rows are read from the disk when it is their turn.
"""

import hashlib
import warnings
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.utils.data import Dataset

from zerotohero import IGNORED
from zerotohero.shards import Shards
from zerotohero.training.checkpoint import bare
from zerotohero.training.datasets import rows_of

# A 1-D tensor of tokens, or shards of them, or inputs and targets, (N, T) each, or a Dataset of
# such rows; a tensor may be an array of NumPy's.
Data = Tensor | np.ndarray | Shards | Dataset | Sequence[Tensor | np.ndarray]
PIECE = 2**24  # tokens that are looked at at a time, so that what is memory-mapped stays on disk
# torch 2.6 can't index with these kinds of numbers; the same bits as these it can.
SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


def check_data(data: Data, name: str, model: nn.Module, least: int = 0) -> Tensor | tuple | Shards:
    """Return the data as a tensor, a pair of tensors or shards, in the memory where they are.

    Raises ValueError or TypeError with one sentence for data that the model can't be fed. A text
    needs `least` tokens, or if that is 0 a whole context and one more.
    """
    sizes = getattr(bare(model), "config", None)
    if not (hasattr(sizes, "vocab_size") and hasattr(sizes, "block_size")):
        raise TypeError(
            f"A {type(bare(model)).__name__} can't be fed: it needs a config with vocab_size and "
            "block_size, as a GPT has."
        )
    V, T = sizes.vocab_size, sizes.block_size
    least = least or T + 1
    if isinstance(data, Shards):  # whose tokens nobody wants to read at each start
        if data.vocab_size > V:
            raise ValueError(
                f"{name} has tokens of a vocabulary of {data.vocab_size}, but the model knows 0 to "
                f"{V - 1}: raise vocab_size."
            )
        _check_length(data, name, least, T)
        return data
    if isinstance(data, Dataset):
        data = rows_of(data, name)
    pair = isinstance(data, tuple | list) and len(data) == 2
    tensors = tuple(_tensor(t) for t in (data if pair else (data,)))
    if not all(isinstance(t, Tensor) for t in tensors):
        raise TypeError(f"{name} must be a 1-D tensor of tokens, or a pair of (N, T) tensors.")
    data = tensors if pair else tensors[0]
    for t in tensors:
        if t.is_floating_point() or t.is_complex() or t.dtype == torch.bool:
            raise ValueError(f"{name} is of {t.dtype}; tokens are whole numbers: use .long().")
    if not pair:
        if data.ndim != 1:
            raise ValueError(
                f"{name} has the shape {tuple(data.shape)}; a text is a 1-D tensor of tokens, and "
                "rows come as a pair of inputs and targets."
            )
        _check_length(data, name, least, T)
    elif data[0].ndim != 2 or data[0].shape != data[1].shape or not len(data[0]):
        raise ValueError(
            f"{name} has inputs of the shape {tuple(data[0].shape)} and targets of "
            f"{tuple(data[1].shape)}; both must be (N, T), with at least one row."
        )
    elif not 1 <= data[0].shape[1] <= T:
        raise ValueError(
            f"{name} has rows of {data[0].shape[1]} tokens, but the model's context holds {T}: "
            "cut the rows or raise block_size."
        )
    targets = 0
    for i, t in enumerate(tensors):
        for piece in _pieces(t):
            if i == 1:
                piece = piece[piece != IGNORED]
                targets += len(piece)
            if len(piece) and (int(piece.min()) < 0 or int(piece.max()) >= V):
                raise ValueError(
                    f"{name} holds tokens from {int(piece.min())} to {int(piece.max())}, but the "
                    f"model knows 0 to {V - 1}: encode with its vocabulary, or raise vocab_size."
                )
    if pair and not targets:
        raise ValueError(f"{name} has no target: all are {IGNORED}, so there is nothing to learn.")
    return data


def _check_length(data: Tensor | Shards, name: str, least: int, T: int) -> None:
    if len(data) < least:
        raise ValueError(
            f"{name} has {len(data)} tokens, but {least} are needed with a context of {T}: take a "
            "longer text or a smaller block_size."
        )


def _tensor(t: object) -> object:
    if not isinstance(t, np.ndarray):
        return t
    with warnings.catch_warnings(action="ignore"):  # that one could write to a read-only array
        return torch.from_numpy(t)


def _pieces(t: Tensor) -> Iterator[Int[Tensor, " n"]]:
    return (piece.long() for piece in t.flatten().split(PIECE))


class Split:
    """A split of the data, on the device if it fits there, from which rows are taken by number.

    Shards stay on the disk.
    """

    def __init__(self, data: Tensor | tuple | Shards, block_size: int, device: torch.device):
        self.shards = data if isinstance(data, Shards) else None
        if self.shards is not None:
            self.device = device
            self.window, self.some = None, None
            self.n_rows, self.width = len(data) - block_size, block_size
            return
        tensors = (data,) if isinstance(data, Tensor) else data
        size = sum(t.nbytes for t in tensors)
        fits = device.type != "cuda" or size < torch.cuda.mem_get_info(device)[0] / 2
        self.device = device
        self.tensors = tuple(t.to(device) if fits else t for t in tensors)
        home = self.tensors[0].device
        if len(tensors) == 1:
            self.window, self.some = torch.arange(block_size + 1, device=home), None
            self.n_rows, self.width = len(data) - block_size, block_size
        else:
            self.window = None
            # Rows without a target teach nothing, and judge nothing: none of them is drawn.
            counts = torch.cat([(y.long() != IGNORED).sum(1) for y in self.tensors[1].split(4096)])
            self.some = counts.nonzero().flatten()
            self.counts = counts[self.some]
            self.n_rows, self.width = len(self.some), tensors[0].shape[1]

    def draw(self, n: int, seed: int, *what: str | int) -> Int[Tensor, " n"]:
        """Return `n` numbers of rows, which depend on the seed and on what they are for, only."""
        generator = torch.Generator().manual_seed(seed_of(seed, *what))
        return torch.randint(self.n_rows, (n,), generator=generator)

    def rows(self, numbers: Int[Tensor, "*B"]) -> tuple[Int[Tensor, "*B T"], Int[Tensor, "*B T"]]:
        """Return the inputs and the targets of the rows with these numbers."""
        if self.shards is not None:
            starts = numbers.flatten().numpy()
            chunks = torch.from_numpy(self.shards.rows(starts, self.width + 1))
            chunks = send(chunks, self.device).view(*numbers.shape, -1)  # (..., T + 1)
            return chunks[..., :-1], chunks[..., 1:]
        numbers = send(numbers, self.tensors[0].device)
        if self.window is None:
            x, y = (_taken(t, self.some[numbers]) for t in self.tensors)
        else:
            chunks = _taken(self.tensors[0], numbers[..., None] + self.window)  # (..., T + 1)
            x, y = chunks[..., :-1], chunks[..., 1:]
        return send(x, self.device).long(), send(y, self.device).long()

    def targets(self, numbers: Int[Tensor, "*B"]) -> int | Int[Tensor, ""]:
        """Return how many targets of these rows are part of the loss; never 0."""
        if self.some is None:
            return numbers.numel() * self.width
        return send(self.counts[send(numbers, self.counts.device)].sum(), self.device)


def _taken(t: Tensor, numbers: Int[Tensor, "*B"]) -> Tensor:
    """Return t[numbers] of any kind of integer."""
    return t.view(SIGNED.get(t.dtype, t.dtype))[numbers].view(t.dtype)


def send(t: Tensor, device: torch.device) -> Tensor:
    """Move to the device without waiting for it, which takes memory that stays in its place."""
    if t.device.type == "cpu" and device.type == "cuda":
        return t.pin_memory().to(device, non_blocking=True)
    return t.to(device)


def windows(
    data: Tensor | tuple | Shards, block_size: int, batch_size: int, device: torch.device
) -> Iterator[tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]]:
    """Yield a whole split in order: a text in windows that don't overlap, the last one shorter."""
    if isinstance(data, Shards):
        step = block_size * batch_size
        for i in range(0, len(data) - 1, step):
            chunk = torch.from_numpy(data[i : i + step + 1])
            yield from windows(chunk, block_size, batch_size, device)
        return
    pairs = [data]
    if isinstance(data, Tensor):
        whole = (len(data) - 1) // block_size * block_size
        pairs = [
            (data[:whole].view(-1, block_size), data[1 : whole + 1].view(-1, block_size)),
            (data[None, whole:-1], data[None, whole + 1 :]),
        ]
    for X, Y in pairs:
        for i in range(0, len(X) if X.shape[1] else 0, batch_size):
            rows = slice(i, i + batch_size)
            yield send(X[rows], device).long(), send(Y[rows], device).long()


def seed_of(*what: str | int) -> int:
    """Return a seed that is a function of what it is for: 63 bits of a hash."""
    digest = hashlib.blake2b(repr(what).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def fingerprint(data: Tensor | tuple | Shards) -> list[int]:
    """Return checksums that tell other data from these, whatever the kind of integer.

    Shards carry theirs.
    """
    if isinstance(data, Shards):
        return [int.from_bytes(data.sha256[:8], "little")]
    checksums = []
    for t in (data,) if isinstance(data, Tensor) else data:
        checksums.append(0)
        for piece in _pieces(t):
            checksums[-1] = zlib.crc32(piece.cpu().numpy(), checksums[-1])
    return checksums
