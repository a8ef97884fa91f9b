"""A checkpoint of TensorFlow, read without TensorFlow: names and arrays, their checksums verified.

The idea. OpenAI released GPT-2 as TensorFlow writes its variables, in two files. `.index` is a
sorted table (SSTable): blocks of keys and values, in which a key says how many bytes it shares with
the key before it, and one more block that says where the blocks are. A key is a variable's name and
its value a short message of Protocol Buffers: kind of number, shape, and place in the other file,
`.data-00000-of-00001`, which holds nothing but the numbers. Blocks and variables end in, or come
with, a CRC-32C.

    checkpoint = TensorFlowCheckpoint("124M/model.ckpt")
    checkpoint["model/wte"]        # (50257, 768) float32, read when it is asked for

The sources: `tensor_bundle.proto` and `lib/io/format.h` of TensorFlow (version 2 of the format,
since 2016). Nothing in a file is executed or believed: what it says is checked against the size of
the files before memory is taken for it.

Left out: what GPT-2's release has none of: compressed blocks, big-endian numbers, strings, and
variables in slices.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from zerotohero.crc32c import crc32c

MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # bytes: where two blocks are, zeros, and MAGIC
TRAILER = 5  # bytes after a block: how it is compressed, and its checksum
KINDS = {  # of numbers, as types.proto numbers them
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "|u1",
    5: "<i2",
    6: "|i1",
    9: "<i8",
    10: "|b1",
    17: "<u2",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}
# GPT-2 XL's index has 580 names in 24 kB. Keys that share bytes could blow a small file up.
MOST_BYTES, MOST_NAMES, MOST_LETTERS = 2**24, 2**17, 2**9  # the last also of a value's bytes


class _Damaged(Exception):
    """What is wrong with a file, to be told together with its name."""


@dataclass(frozen=True)
class Variable:
    """What the index says of a variable."""

    kind: int
    shape: tuple[int, ...]
    shard: int  # the number of the data file
    offset: int
    size: int  # in bytes
    checksum: int | None
    sliced: bool


class TensorFlowCheckpoint(Mapping[str, np.ndarray]):
    """The variables of a checkpoint by their names; each is read, and verified, when asked for.

    The arrays are read-only maps of the file, so they take no memory until they are copied.
    """

    def __init__(self, prefix: str | PathLike):
        """Read the index of `prefix`, which is a path without ".index".

        FileNotFoundError if there is none; ValueError with one sentence if it isn't whole, or is
        of a kind that isn't read here. Getting a variable raises the same for its data file.
        """
        self.path = Path(f"{prefix}.index")
        self._prefix = prefix
        self._maps: dict[int, np.ndarray] = {}
        try:
            size = self.path.stat().st_size
            if size > MOST_BYTES:
                raise _Damaged(f"it has {size:,} bytes")
            self.n_shards, self.variables = _read_index(self.path.read_bytes())
        except FileNotFoundError:
            raise FileNotFoundError(f"There is no file {self.path}.") from None
        # An index too far, a number in too few bytes, a name that is no UTF-8.
        except (_Damaged, IndexError, struct.error, UnicodeDecodeError) as error:
            why = error if isinstance(error, _Damaged) else "its parts don't fit together"
            raise ValueError(
                f"{self.path} is not a whole index of a TensorFlow checkpoint ({why}): fetch it "
                "again."
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.variables)

    def __len__(self) -> int:
        return len(self.variables)

    def __getitem__(self, name: str) -> np.ndarray:
        its = self.variables[name]
        if its.kind not in KINDS or its.sliced:
            what = "is in slices" if its.sliced else f"holds numbers of the kind {its.kind}"
            raise ValueError(f"{name} in {self.path} {what}, which is not read here.")
        kind = np.dtype(KINDS[its.kind])
        try:
            if math.prod(its.shape) * kind.itemsize != its.size:
                raise _Damaged(f"a shape of {its.shape} doesn't make {its.size:,} bytes")
            content = self._map(its.shard)[its.offset : its.offset + its.size]
            if len(content) < its.size:
                raise _Damaged("it ends before the variable does")
            if its.checksum != _masked(crc32c(content)):
                raise _Damaged("its checksum is wrong")
            return content.view(kind).reshape(its.shape)
        except (_Damaged, ValueError, OverflowError) as error:
            why = error if isinstance(error, _Damaged) else f"there is no shape {its.shape}"
            raise ValueError(
                f"{self._data_path(its.shard)} doesn't hold {name} as {self.path.name} describes "
                f"it ({why}): fetch both again."
            ) from None

    def _data_path(self, shard: int) -> Path:
        return Path(f"{self._prefix}.data-{shard:05}-of-{self.n_shards:05}")

    def _map(self, shard: int) -> np.ndarray:
        if shard not in self._maps:
            path = self._data_path(shard)
            if not path.is_file():
                raise FileNotFoundError(f"There is no file {path}, which {self.path.name} names.")
            empty = not path.stat().st_size  # of which there are no maps
            self._maps[shard] = np.empty(0, "u1") if empty else np.memmap(path, "u1", "r")
        return self._maps[shard]


def _read_index(content: bytes) -> tuple[int, dict[str, Variable]]:
    """Return the number of data files and what there is in them, by name."""
    footer = content[-FOOTER:]
    if len(footer) < FOOTER or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise _Damaged("it doesn't end as one")
    places, at = [], 0
    for _ in range(4):
        number, at = _number(footer, at)
        places.append(number)
    if footer[at:-8].strip(b"\0"):
        raise _Damaged("it doesn't end as one")
    list(_entries(_block(content, *places[:2])))  # of other uses; only its checksum matters
    found, n_shards, before, free = {}, 0, None, 0
    for _, handle in _entries(_block(content, *places[2:])):
        start, at = _number(handle, 0)
        size, _ = _number(handle, at)
        if start < free:
            raise _Damaged("two of its blocks are in one place")
        free = start + size + TRAILER
        for key, value in _entries(_block(content, start, size)):
            if before is not None and key <= before:
                raise _Damaged("its names are not in order")
            before = key
            fields = _message(value)
            if key:
                found[key.decode()] = _variable(fields)
            else:
                n_shards = _whole(fields, 1)
                if _whole(fields, 2):
                    raise _Damaged("it is of a machine that writes numbers from the other end")
            if len(found) > MOST_NAMES:
                raise _Damaged(f"it has more than {MOST_NAMES:,} names")
    if not n_shards:
        raise _Damaged("it doesn't say how many data files there are")
    if stray := [name for name, its in found.items() if its.shard >= n_shards]:
        raise _Damaged(f"{stray[0]} is said to be in a file that there isn't")
    return n_shards, found


def _block(content: bytes, start: int, size: int) -> bytes:
    end = start + size
    if end + TRAILER > len(content):
        raise _Damaged("a block is beyond its end")
    checksum = struct.unpack("<I", content[end + 1 : end + TRAILER])[0]
    if checksum != _masked(crc32c(content[start : end + 1])):
        raise _Damaged("a checksum is wrong")
    if content[end]:
        raise _Damaged("its blocks are compressed")
    return content[start:end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a block. Its end is a list of the keys that share nothing."""
    restarts = struct.unpack("<I", block[-4:])[0]
    end = len(block) - 4 * (restarts + 1)
    at, key = 0, b""
    while at < end:
        shared, at = _number(block, at)
        own, at = _number(block, at)
        size, at = _number(block, at)
        if shared > len(key) or max(shared + own, size) > MOST_LETTERS or at + own + size > end:
            raise _Damaged("an entry is longer than it can be")
        key = key[:shared] + block[at : at + own]
        at += own
        yield key, block[at : at + size]
        at += size
    if at != end:
        raise _Damaged("a block's parts are longer than the block")


def _message(content: bytes) -> dict[int, list[int | bytes]]:
    """Return the fields of a message of Protocol Buffers, each with its values in order."""
    fields: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(content):
        tag, at = _number(content, at)
        kind = tag & 7
        if kind == 0:
            value, at = _number(content, at)
        elif kind in (1, 2, 5):
            size, at = _number(content, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value = content[at : at + size]
            if len(value) < size:
                raise _Damaged("a message is cut off")
            at += size
        else:
            raise _Damaged("a message is of another kind")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _variable(fields: dict[int, list[int | bytes]]) -> Variable:
    """Return what a BundleEntryProto says."""
    shape = _message(_bytes(fields, 2))
    sizes = [_message(_bytes({2: [its]}, 2)) for its in shape.get(2, [])]
    checksum = _bytes(fields, 6)
    return Variable(
        kind=_whole(fields, 1),
        shape=tuple(_whole(size, 1) for size in sizes),
        shard=_whole(fields, 3),
        offset=_whole(fields, 4),
        size=_whole(fields, 5),
        checksum=struct.unpack("<I", checksum)[0] if checksum else None,
        sliced=7 in fields,
    )


def _whole(fields: dict[int, list[int | bytes]], number: int) -> int:
    value = fields.get(number, [0])[-1]  # 0 isn't written down
    if not isinstance(value, int):
        raise _Damaged("a message has bytes where a number belongs")
    return value


def _bytes(fields: dict[int, list[int | bytes]], number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    if not isinstance(value, bytes):
        raise _Damaged("a message has a number where bytes belong")
    return value


def _number(content: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins there, seven bits a byte, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128 and (byte or not shift):  # no program writes a zero behind a number
            return number, at
    raise _Damaged("a number has no end")


def _masked(checksum: int) -> int:
    """Return what is stored of a checksum, which shall not be that of bytes that hold checksums."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
