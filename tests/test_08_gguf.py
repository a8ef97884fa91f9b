"""Lecture 08: GGUF files, small ones made here, byte by byte.

What a file means is said a second time, by `written` and `by_hand`; the package `gguf` says it a
third time, where it is installed.
"""

import dataclasses
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from zerotohero.gguf import GGUF, KINDS, as_gpt
from zerotohero.gpt import GPT, GPTConfig

NUMBERS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 8}
CODES = {int: (4, "I"), float: (6, "f"), bool: (7, "?")}


def text(words: str | bytes) -> bytes:
    raw = words.encode() if isinstance(words, str) else words
    return struct.pack("<Q", len(raw)) + raw


def value(its) -> bytes:
    if isinstance(its, bytes):  # as it is
        return its
    if isinstance(its, str):
        return struct.pack("<I", 8) + text(its)
    if isinstance(its, list):
        kind = value(its[0])[:4]
        return (
            struct.pack("<I", 9)
            + kind
            + struct.pack("<Q", len(its))
            + b"".join(value(part)[4:] for part in its)
        )
    number, code = CODES[type(its)]
    return struct.pack(f"<I{code}", number, its)


def written(path: Path, metadata: dict, tensors: dict, align: int = 32, version: int = 3) -> Path:
    """Write a file; `tensors` holds name: (shape, kind's number, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for name, its in metadata.items():
        head += text(name) + value(its)
    data = b""
    for name, (shape, kind, raw) in tensors.items():
        data += bytes(-len(data) % align)
        head += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        head += struct.pack("<IQ", kind, len(data))
        data += raw
    path.write_bytes(head + bytes(-len(head) % align) + data)
    return path


def half(raw: bytes) -> np.float32:
    return np.float32(struct.unpack("<e", raw)[0])


def by_hand(kind: str, raw: bytes) -> list[np.float32]:
    """The numbers that bytes stand for, a block and a number at a time."""
    if kind in ("F32", "F16"):
        code = "f" if kind == "F32" else "e"
        return [
            np.float32(x) for x in struct.unpack(f"<{len(raw) // struct.calcsize(code)}{code}", raw)
        ]
    numbers, size = [], {"Q4_0": 18, "Q4_1": 20, "Q8_0": 34}[kind]
    for at in range(0, len(raw), size):
        block = raw[at : at + size]
        scale = half(block[:2])
        if kind == "Q8_0":
            numbers += [scale * np.float32(n) for n in struct.unpack("<32b", block[2:])]
            continue
        offset = half(block[2:4]) if kind == "Q4_1" else np.float32(0)
        nothing = 8 if kind == "Q4_0" else 0
        for part in (0, 1):
            for byte in block[-16:]:
                four = byte >> 4 if part else byte & 15
                numbers.append(scale * np.float32(four - nothing) + offset)
    return numbers


def random_raw(kind: str, n: int, seed: int = 0) -> bytes:
    """Bytes of n numbers of a kind, whose scales are ordinary."""
    draw = random.Random(seed)
    if kind in ("F32", "F16"):
        return struct.pack(
            f"<{n}{'f' if kind == 'F32' else 'e'}", *(draw.gauss(0, 1) for _ in range(n))
        )
    raw = b""
    for _ in range(n // 32):
        raw += struct.pack("<e", draw.gauss(0, 0.1))
        raw += struct.pack("<e", draw.gauss(0, 0.1)) if kind == "Q4_1" else b""
        raw += draw.randbytes(32 if kind == "Q8_0" else 16)
    return raw


@pytest.fixture
def small(tmp_path) -> Path:
    """A file with a tensor of each kind and each type of metadata."""
    tensors = {kind: ((2, 3, 64), NUMBERS[kind], random_raw(kind, 384)) for kind in NUMBERS}
    metadata = {
        "a.number": 7,
        "a.share": 0.5,
        "a.truth": True,
        "a.text": "Zürich 🙂",
        "numbers": [3, 1, 2],
        "words": ["", "one", "zwei"],
        "a.byte": struct.pack("<IB", 0, 200),
        "a.long": struct.pack("<Iq", 11, -(2**40)),
        "a.double": struct.pack("<Id", 12, 1e300),
    }
    return written(tmp_path / "small.gguf", metadata, tensors)


# --- what is read -------------------------------------------------------------------------------


def test_metadata_are_what_was_written(small):
    assert GGUF(small).metadata == {
        "a.number": 7,
        "a.share": 0.5,
        "a.truth": True,
        "a.text": "Zürich 🙂",
        "numbers": [3, 1, 2],
        "words": ["", "one", "zwei"],
        "a.byte": 200,
        "a.long": -(2**40),
        "a.double": 1e300,
    }


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_tensor_is_what_its_bytes_say(kind, small):
    tensor = GGUF(small)[kind]
    assert tensor.shape == (2, 3, 64) and tensor.dtype == torch.float32
    expected = np.array(by_hand(kind, random_raw(kind, 384)), np.float32)
    assert np.array_equal(tensor.flatten().numpy(), expected)
    tensor += 1  # what is returned is the caller's


@pytest.mark.parametrize("align", [8, 32, 256])
def test_tensors_begin_where_the_alignment_says(align, tmp_path):
    raw = random_raw("Q4_0", 32)
    tensors = {"a": ((32,), 2, raw), "b": ((3,), 0, struct.pack("<3f", 1, 2, 3))}
    metadata = {"general.alignment": align} if align != 32 else {}
    file = GGUF(written(tmp_path / "a.gguf", metadata, tensors, align))
    assert file["b"].tolist() == [1, 2, 3]
    assert np.array_equal(file["a"].numpy(), np.array(by_hand("Q4_0", raw)))


def test_both_versions_are_read(tmp_path):
    for version in (2, 3):
        path = written(tmp_path / "v.gguf", {"a": 1}, {}, version=version)
        assert GGUF(path).metadata == {"a": 1}


def test_the_package_reads_the_same(small):
    package = pytest.importorskip("gguf", reason="the package gguf is not installed")
    reader, file = package.GGUFReader(small), GGUF(small)
    assert [tensor.name for tensor in reader.tensors] == list(file.places)
    for tensor in reader.tensors:
        expected = package.dequantize(tensor.data, tensor.tensor_type)
        expected = expected.reshape(tuple(reversed(tensor.shape.tolist())))
        assert np.array_equal(file[tensor.name].numpy(), expected), tensor.name
    for name, its in file.metadata.items():
        assert reader.get_field(name).contents() == its, name


@pytest.mark.parametrize("number", [6, 12, 30, 99])
def test_another_kind_is_named_when_it_is_asked_for(number, tmp_path):
    path = written(tmp_path / "k.gguf", {"a": 1}, {"w": ((256,), number, bytes(144))})
    file = GGUF(path)
    assert file.metadata == {"a": 1}
    with pytest.raises(ValueError, match=rf"w as kind {number}, which is not read .* F32, F16"):
        file["w"]
    with pytest.raises(KeyError):
        file["v"]


# --- what is refused ----------------------------------------------------------------------------


def refused(path: Path, says: str = "") -> None:
    with pytest.raises(ValueError, match=f"is no whole GGUF file: .*{says}") as caught:
        GGUF(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message


def test_a_file_that_ends_anywhere_is_refused(small):
    whole = small.read_bytes()
    GGUF(small)
    for end in [*range(0, 700), *range(700, len(whole) - 1, 97), len(whole) - 1]:
        small.write_bytes(whole[:end])
        refused(small, "is empty" if not end else "it")


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"There is no file /no/such\.gguf\."):
        GGUF("/no/such.gguf")


HUGE = 2**63 + 5


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"GGML" + bytes(40), "begin with GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "its version is 0x1, and"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "its version is 0x3000000"),  # big-endian
        (b"GGUF" + struct.pack("<IQQ", 3, 0, HUGE), "longer than it is"),
        (b"GGUF" + struct.pack("<IQQ", 3, HUGE, 0), "longer than it is"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, HUGE), "longer than it is"),
    ],
)
def test_a_head_that_lies_is_refused(raw, says, tmp_path):
    path = tmp_path / "a.gguf"
    path.write_bytes(raw)
    refused(path, says)


@pytest.mark.parametrize(
    ("its", "says"),
    [
        (struct.pack("<I", 5000), "a value of the type 5000"),
        (struct.pack("<IIQ", 9, 9, 1), "a value of the type 9"),  # lists of lists
        (struct.pack("<IIQ", 9, 4, HUGE), "longer than it is"),
        (struct.pack("<IIQ", 9, 8, HUGE), "longer than it is"),
        (struct.pack("<IQ", 8, 2) + b"\xff\xff", "not UTF-8"),
    ],
)
def test_a_value_that_lies_is_refused(its, says, tmp_path):
    refused(written(tmp_path / "a.gguf", {"a": its}, {}), says)


@pytest.mark.parametrize(
    ("shape", "kind", "says"),
    [
        ((1,) * 5, 0, "'w' has 5 dimensions, and 4 is the most"),
        ((HUGE, HUGE, HUGE, HUGE), 0, "cut off before the end of 'w'"),
        ((2, 33), 3, "the rows of 'w' can't be cut into blocks of 32"),
        ((), 8, "the rows of 'w' can't be cut"),
        ((3, 32), 3, "cut off before the end of 'w'"),
    ],
)
def test_a_tensor_that_lies_is_refused(shape, kind, says, tmp_path):
    refused(written(tmp_path / "a.gguf", {}, {"w": (shape, kind, bytes(40))}), says)


def test_what_stands_there_twice_is_refused(tmp_path):
    path = written(tmp_path / "a.gguf", {"aa": 1, "ab": 2}, {})
    path.write_bytes(path.read_bytes().replace(b"ab", b"aa"))
    refused(path, "'aa' stands there twice")
    one = ((1,), 0, bytes(4))
    path = written(tmp_path / "b.gguf", {}, {"wa": one, "wb": one})
    path.write_bytes(path.read_bytes().replace(b"wb", b"wa"))
    refused(path, "'wa' stands there twice")


@pytest.mark.parametrize("align", [0, 1.5, "32", True])
def test_an_alignment_that_is_no_number_of_bytes_is_refused(align, tmp_path):
    refused(written(tmp_path / "a.gguf", {"general.alignment": align}, {}), "its alignment is")


# --- a Llama in it ------------------------------------------------------------------------------

CONFIG = GPTConfig(
    23,
    16,
    n_layer=2,
    n_head=4,
    n_embd=32,
    norm="rmsnorm",
    norm_gain=True,
    norm_eps=0.0625,
    position="rotary",
    rope_theta=500.0,
    activation="swiglu",
    n_hidden=64,
    n_kv_head=2,
    bias=False,
)
METADATA = {
    "general.architecture": "llama",
    "llama.context_length": 16,
    "llama.block_count": 2,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.embedding_length": 32,
    "llama.feed_forward_length": 64,
    "llama.attention.layer_norm_rms_epsilon": 0.0625,
    "llama.rope.freq_base": 500.0,
    "llama.rope.dimension_count": 8,
}
NAMES = {
    "ln_1": ["attn_norm"],
    "attn.c_attn": ["attn_q", "attn_k", "attn_v"],
    "attn.c_proj": ["attn_output"],
    "ln_2": ["ffn_norm"],
    "mlp.c_fc": ["ffn_gate", "ffn_up"],
    "mlp.c_proj": ["ffn_down"],
}
SIZES = {"attn_q": 32, "attn_k": 16, "attn_v": 16, "ffn_gate": 64, "ffn_up": 64}


def as_neighbours(weight: torch.Tensor) -> torch.Tensor:
    """Rows in llama.cpp's order: of a head's 8, the first, the fifth, the second, the sixth, …"""
    order = [8 * head + row for head in range(len(weight) // 8) for row in (0, 4, 1, 5, 2, 6, 3, 7)]
    return weight[order]


def tensors_of(model: GPT) -> dict:
    state = model.state_dict()
    named = {"token_embd": state["transformer.wte.weight"]}
    named["output_norm"] = state["transformer.ln_f.weight"]
    if not model.config.tied:
        named["output"] = state["lm_head.weight"]
    for layer in range(2):
        for ours, theirs in NAMES.items():
            weight = state[f"transformer.h.{layer}.{ours}.weight"]
            parts = weight.split([SIZES[name] for name in theirs]) if theirs[1:] else [weight]
            for name, part in zip(theirs, parts, strict=True):
                turns = name in ("attn_q", "attn_k")
                named[f"blk.{layer}.{name}"] = as_neighbours(part) if turns else part
    return {
        f"{name}.weight": (tuple(w.shape), 0, w.contiguous().numpy().tobytes())
        for name, w in named.items()
    }


def randomised(**changes) -> GPT:
    model = GPT(dataclasses.replace(CONFIG, **changes))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.1, 0.3, generator=generator)
    return model.eval()


@pytest.mark.parametrize("tied", [True, False])
def test_a_llama_in_a_file_is_the_gpt_that_it_was(tied, tmp_path):
    model = randomised(tied=tied)
    loaded = as_gpt(GGUF(written(tmp_path / "a.gguf", METADATA, tensors_of(model))))
    assert loaded.config == model.config and not loaded.training
    idx = torch.randint(23, (2, 16), generator=torch.Generator().manual_seed(1))
    assert model(idx).std() > 0.1
    assert torch.equal(loaded(idx), model(idx))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"general.architecture": "phi3"}, "says general.architecture='phi3'; a GPT has only"),
        ({"llama.rope.scaling.type": "yarn"}, "says llama.rope.scaling.type='yarn'"),
        ({"llama.expert_count": 8}, "says llama.expert_count=8; a GPT has only 0"),
        ({"llama.block_count": None}, "says llama.block_count=None; it must be a whole number"),
        ({"llama.block_count": 2**31}, "2147483648 layers can't be in a file of 20 tensors"),
        ({"llama.block_count": 3}, r"lacks blk\.2\.attn_k\.weight, .* 6 more"),
        ({"llama.attention.head_count": 0}, "dimension_count=8; a GPT has 32"),
        (
            {"llama.attention.head_count": 0, "llama.rope.dimension_count": None},
            "n_head is 0; it must be at least 1",
        ),
        ({"llama.attention.head_count_kv": 3}, "make n_head a multiple of n_kv_head"),
        (
            {"llama.attention.head_count_kv": 1},
            r"attn_k\.weight has .* but its metadata asks for \(8, 32\)",
        ),
        ({"llama.rope.dimension_count": 4}, "dimension_count=4; a GPT has 8, the size of a head"),
        ({"llama.embedding_length": 2**30}, r"has the shape|a GPT has"),
        ({"llama.feed_forward_length": 2**30}, r"has the shape \(64, 32\)"),
        ({"llama.attention.layer_norm_rms_epsilon": -1.0}, "norm_eps is -1.0"),
        ({"llama.rope.freq_base": "x"}, "rope_theta is 'x'; it must be a number"),
    ],
)
def test_a_file_of_another_model_is_refused(changes, says, tmp_path):
    metadata = {name: its for name, its in (METADATA | changes).items() if its is not None}
    path = written(tmp_path / "a.gguf", metadata, tensors_of(randomised()))
    with pytest.raises(ValueError, match=says) as caught:
        as_gpt(GGUF(path))
    assert "\n" not in str(caught.value)


def test_a_file_without_a_table_or_with_something_else_is_refused(tmp_path):
    tensors = tensors_of(randomised())
    more = tensors | {"rope_freqs.weight": ((4,), 0, bytes(16))}
    with pytest.raises(ValueError, match=r"has no place for: rope_freqs\.weight"):
        as_gpt(GGUF(written(tmp_path / "a.gguf", METADATA, more)))
    del tensors["token_embd.weight"]
    with pytest.raises(ValueError, match="vocab_size is 0"):
        as_gpt(GGUF(written(tmp_path / "a.gguf", METADATA, tensors)))


def test_whatever_is_done_to_a_file_it_is_read_or_refused_in_a_sentence(tmp_path):
    path = written(tmp_path / "a.gguf", METADATA, tensors_of(randomised()))
    whole, draw = path.read_bytes(), random.Random(0)
    head = whole.rindex(b"ffn_down.weight") + 60  # before the weights, where any byte is fine
    outcomes = {"read": 0, "refused": 0}
    for _ in range(600):
        raw = bytearray(whole)
        for _ in range(draw.choice([1, 1, 2, 8])):
            at = draw.randrange(head)
            new = draw.choice([0, 1, 255, draw.randrange(256), raw[at] ^ (1 << draw.randrange(8))])
            raw[at] = new
        if draw.random() < 0.2:
            cut = draw.randrange(head)
            del raw[cut : cut + draw.choice([1, 4, 8, 100])]
        path.write_bytes(raw)
        try:
            as_gpt(GGUF(path))
            outcomes["read"] += 1
        except ValueError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
    assert outcomes["refused"] > 200 and outcomes["read"] > 10, outcomes


def test_the_kinds_are_those_that_the_module_promises():
    assert [kind.name for kind in KINDS.values()] == ["F32", "F16", "Q4_0", "Q4_1", "Q8_0"]
