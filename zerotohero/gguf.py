"""GGUF: a model in one file, its weights in about four bits each, as `llama.cpp` reads it.

The idea: a weight needs few bits if it shares its scale with its neighbours. Each run of 32 numbers
is stored as 32 small whole numbers and a scale in half precision; with four bits a number and an
offset (Q4_1) that is 20 bytes in place of 128. The file begins with all else that one has to know:
settings under names, the vocabulary among them, and of each tensor its name, shape and place.

The source: the format's description in https://github.com/ggml-org/ggml, docs/gguf.md.

The file is memory-mapped: what isn't asked for is never read. It isn't trusted either: whatever it
says of its own lengths is held against what there is. Left out: the kinds whose blocks consist of
blocks (Q4_K and so on), big-endian files, and writing.
"""

import math
import struct
from functools import partial
from os import PathLike
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zerotohero.formats import Llama, Stored, demand
from zerotohero.gpt import GPT
from zerotohero.huggingface import assembled

# The types of metadata: numbers as the package struct calls them, texts, and lists.
NUMBERS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9


class Kind(NamedTuple):
    """How numbers are stored: so many together in so many bytes."""

    name: str
    numbers: int
    bytes: int


KINDS = {
    0: Kind("F32", 1, 4),
    1: Kind("F16", 1, 2),
    2: Kind("Q4_0", 32, 18),
    3: Kind("Q4_1", 32, 20),
    8: Kind("Q8_0", 32, 34),
}


class Place(NamedTuple):
    """Where a tensor is, and how it is stored."""

    shape: tuple[int, ...]
    kind: Kind
    start: int  # its first byte in the file

    @property
    def stop(self) -> int:
        return self.start + math.prod(self.shape) // self.kind.numbers * self.kind.bytes


class GGUF:
    """A file: its `metadata`, the `places` of its tensors by name, and `file[name]`, a tensor."""

    def __init__(self, path: str | PathLike):
        """Read everything but the tensors.

        FileNotFoundError if there is no such file; ValueError, with one sentence, if it isn't a
        whole GGUF file.
        """
        self.path = path
        try:
            self._bytes = np.memmap(path, mode="r")
        except FileNotFoundError:
            raise FileNotFoundError(f"There is no file {path}.") from None
        except ValueError:  # what is empty can't be mapped
            raise ValueError(f"{path} is no whole GGUF file: it is empty.") from None
        try:
            self.metadata, self.places = _read(Cursor(memoryview(self._bytes)))
        except ValueError as error:
            raise ValueError(f"{path} is no whole GGUF file: {error}.") from None

    def __getitem__(self, name: str) -> Tensor:
        """Return a tensor in float32.

        KeyError if there is none of that name; ValueError if its kind is none of KINDS.
        """
        place = self.places[name]
        if not place.kind.bytes:
            raise ValueError(
                f"{self.path} stores {name} as kind {place.kind.name}, which is not read here; the "
                f"kinds that are: {', '.join(kind.name for kind in KINDS.values())}."
            )
        numbers = unpacked(self._bytes[place.start : place.stop], place.kind)
        return torch.from_numpy(numbers.reshape(place.shape))


class Cursor:
    """Reads one thing after the other. ValueError where the file ends before it does."""

    def __init__(self, data: memoryview):
        self.data, self.at = data, 0

    def bytes(self, n: int) -> bytes:
        if n > len(self.data) - self.at:
            raise ValueError("it is cut off, or says that it is longer than it is")
        self.at += n
        return bytes(self.data[self.at - n : self.at])

    def numbers(self, code: str, n: int) -> tuple:
        return struct.unpack(f"<{n}{code}", self.bytes(n * struct.calcsize(f"<{code}")))

    def number(self, code: str) -> int:
        return self.numbers(code, 1)[0]

    def text(self) -> str:
        try:
            return self.bytes(self.number("Q")).decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("one of its texts is not UTF-8") from None

    def value(self) -> int | float | bool | str | list:
        """Return a value of the metadata, which begins with its type."""
        kind, n = self.number("I"), None
        if kind == LIST:
            kind, n = self.number("I"), self.number("Q")
        if kind == TEXT:
            return self.text() if n is None else [self.text() for _ in range(n)]
        if kind not in NUMBERS:
            raise ValueError(f"it holds a value of the type {kind}, which is not known here")
        return self.number(NUMBERS[kind]) if n is None else list(self.numbers(NUMBERS[kind], n))


def _read(cursor: Cursor) -> tuple[dict[str, object], dict[str, Place]]:
    """Return the metadata and the places of a file."""
    if cursor.bytes(4) != b"GGUF":
        raise ValueError("it doesn't begin with GGUF")
    if (version := cursor.number("I")) not in (2, 3):
        raise ValueError(f"its version is {version:#x}, and those read here are 2 and 3")
    n_tensors, n_values = cursor.numbers("Q", 2)
    metadata = {}
    for _ in range(n_values):
        if (name := cursor.text()) in metadata:
            raise ValueError(f"{name!r} stands there twice")
        metadata[name] = cursor.value()
    align = metadata.get("general.alignment", 32)
    if type(align) is not int or align < 1:
        raise ValueError(f"its alignment is {align!r}, which is no number of bytes")
    places = {}
    for _ in range(n_tensors):
        if (name := cursor.text()) in places:
            raise ValueError(f"{name!r} stands there twice")
        if (dimensions := cursor.number("I")) > 4:
            raise ValueError(f"{name!r} has {dimensions} dimensions, and 4 is the most")
        shape = cursor.numbers("Q", dimensions)[::-1]  # the file begins with the innermost
        number, start = cursor.number("I"), cursor.number("Q")
        kind = KINDS.get(number, Kind(str(number), 1, 0))
        if (shape or (1,))[-1] % kind.numbers:
            raise ValueError(f"the rows of {name!r} can't be cut into blocks of {kind.numbers}")
        places[name] = Place(shape, kind, start)
    first = -(-cursor.at // align) * align
    for name, place in places.items():
        places[name] = place = place._replace(start=first + place.start)
        if place.stop > len(cursor.data):
            raise ValueError(f"it is cut off before the end of {name!r}")
    return metadata, places


def unpacked(raw: np.ndarray, kind: Kind) -> np.ndarray:
    """Return the numbers that the bytes of a tensor stand for, in float32, in a row.

    A block begins with its scale, and in Q4_1 an offset. 32 numbers follow: in Q8_0 from −128 to
    127, in the others two in a byte, the first 16 in the lower halves, the last 16 in the upper;
    they go from 0 to 15, where Q4_0 takes 8 for nothing.
    """
    if kind.numbers == 1:
        return raw.view("<f4" if kind.name == "F32" else "<f2").astype(np.float32)
    blocks = raw.reshape(-1, kind.bytes)
    scale, offset = (blocks[:, i : i + 2].copy().view("<f2").astype("f4") for i in (0, 2))
    numbers = np.empty((len(blocks), kind.numbers), np.float32)
    if kind.name == "Q8_0":
        numbers[:] = blocks[:, 2:].view(np.int8)
    else:
        pairs = blocks[:, -16:]
        numbers[:, :16], numbers[:, 16:] = pairs & 15, pairs >> 4
    if kind.name == "Q4_0":
        numbers -= 8
    numbers *= scale
    if kind.name == "Q4_1":
        numbers += offset
    return numbers


# --- as a GPT -------------------------------------------------------------------------------------


class GGUFLlama(Llama):
    """A Llama's words in a GGUF file, whose metadata take the place of config.json."""

    settings = "metadata"
    sizes = {  # noqa: RUF012
        "block_size": "llama.context_length",
        "n_layer": "llama.block_count",
        "n_head": "llama.attention.head_count",
        "n_embd": "llama.embedding_length",
        "n_hidden": "llama.feed_forward_length",
    }
    fixed = {  # noqa: RUF012
        "general.architecture": "llama",
        "llama.rope.scaling.type": "none",
        "llama.expert_count": 0,
    }
    layer = "blk"
    table = {  # noqa: RUF012
        "transformer.wte": ["token_embd"],
        "transformer.ln_f": ["output_norm"],
        "lm_head": ["output"],
        "ln_1": ["attn_norm"],
        "attn.c_attn": ["attn_q", "attn_k", "attn_v"],
        "attn.c_proj": ["attn_output"],
        "ln_2": ["ffn_norm"],
        "mlp.c_fc": ["ffn_gate", "ffn_up"],
        "mlp.c_proj": ["ffn_down"],
    }

    def read(self, theirs: dict, sizes: dict[str, int]) -> dict[str, object]:
        """Return the fields of a GPTConfig besides the sizes."""
        size = sizes["n_embd"] // max(1, sizes["n_head"])
        for key in ("rope.dimension_count", "attention.key_length", "attention.value_length"):
            fine = theirs.get(f"llama.{key}", size) == size
            demand(fine, theirs, f"llama.{key}", f"a GPT has {size}, the size of a head")
        heads = theirs.get("llama.attention.head_count_kv")
        return self.parts(None) | {
            "n_kv_head": None if heads == sizes["n_head"] else heads,
            "norm_eps": theirs.get("llama.attention.layer_norm_rms_epsilon"),
            "rope_theta": theirs.get("llama.rope.freq_base", 10_000.0),
            "bias": False,
        }


def as_gpt(file: GGUF) -> GPT:
    """Return the GPT of a file that holds a Llama, in float32 and in eval mode.

    ValueError, with one sentence, if it holds another model, or weights of a kind that isn't read
    here.
    """
    form = GGUFLlama()
    try:
        fields = form.fields(file.metadata)
    except ValueError as error:
        raise ValueError(f"{file.path} {error}") from None
    shape = file.places["token_embd.weight"].shape if "token_embd.weight" in file.places else ()
    fields |= {"vocab_size": (*shape, 0)[0], "tied": "output.weight" not in file.places}

    def read(name: str) -> Tensor:
        """Return a weight of ours, whose pairs that turn are halves; the file's are neighbours."""
        weight = file[name]
        if not name.endswith((".attn_q.weight", ".attn_k.weight")):
            return weight
        pairs = fields["n_embd"] // fields["n_head"] // 2
        return weight.unflatten(0, (-1, pairs, 2)).transpose(1, 2).flatten(0, 2)

    stored = {name: Stored(place.shape, partial(read, name)) for name, place in file.places.items()}
    return assembled(GPT, fields, form, stored)
