"""TensorFlow's checkpoints, written for tests: whole ones, and such as no program writes."""

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from zerotohero.crc32c import crc32c
from zerotohero.tf_checkpoint import KINDS, MAGIC

NUMBERS = {np.dtype(kind): number for number, kind in KINDS.items()}


def masked(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def number(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(tag: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return number(tag << 3) + number(value)
    return number(tag << 3 | 2) + number(len(value)) + value


def described(kind: int, shape: Iterable[int], offset: int, size: int, checksum: bytes) -> bytes:
    dims = b"".join(field(2, field(1, n)) for n in shape)
    place = field(4, offset) + field(5, size)
    return field(1, kind) + field(2, dims) + place + number(6 << 3 | 5) + checksum


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A block with its trailer; keys share what they can with the one before."""
    out, before = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        out += number(shared) + number(len(key) - shared) + number(len(value))
        out += key[shared:] + value
        before = key
    out += struct.pack("<II", 0, 1)
    return out + b"\0" + masked(out + b"\0")


def table(entries: list[tuple[bytes, bytes]], per_block: int = 4) -> bytes:
    """A whole index."""
    out, places = b"", []
    for i in range(0, len(entries), per_block):
        these = block(entries[i : i + per_block])
        last = entries[i : i + per_block][-1][0]
        places.append((last, number(len(out)) + number(len(these) - 5)))
        out += these
    handles = b""
    for these in (block([]), block(places)):
        handles += number(len(out)) + number(len(these) - 5)
        out += these
    return out + handles.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def header(n_shards: int = 1, endianness: int = 0) -> tuple[bytes, bytes]:
    return b"", field(1, n_shards) + field(2, endianness) + field(3, field(1, 1))


def write(prefix: Path, tensors: dict[str, np.ndarray]) -> None:
    entries, content = [header()], b""
    for name in sorted(tensors):
        its = np.ascontiguousarray(tensors[name])
        data = its.tobytes()
        kind = NUMBERS[its.dtype]
        says = described(kind, tensors[name].shape, len(content), len(data), masked(data))
        entries.append((name.encode(), says))
        content += data
    Path(f"{prefix}.index").write_bytes(table(entries))
    Path(f"{prefix}.data-00000-of-00001").write_bytes(content)
