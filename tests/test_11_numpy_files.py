"""Lecture 11's files: read as the safetensors library reads them, or refused in a sentence."""

import json
import os
import tracemalloc
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

from zerotohero.gpt import GPT, GPTConfig
from zerotohero.numpy_files import load_gpt2, read_safetensors
from zerotohero.numpy_gpt import gpt2

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SMALL = GPTConfig(23, 16, 3, 2, 12)


@pytest.fixture
def saved(tmp_path) -> Path:
    GPT(SMALL, torch.Generator().manual_seed(0)).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def edit_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder: Path, edit) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    edit(weights)
    save_file({n: w.contiguous() for n, w in weights.items()}, path, {"format": "pt"})


def write(path: Path, header: object, numbers: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
    return path


# --- safetensors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_arrays_are_those_that_were_saved(dtype, tmp_path):
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (3, 4), "empty": (0, 2), "number": (), "odd": (7,)}
    tensors = {n: torch.randn(s, generator=generator).to(dtype) for n, s in shapes.items()}
    save_file(tensors, tmp_path / "x.safetensors", {"format": "pt"})
    arrays = read_safetensors(tmp_path / "x.safetensors")
    assert arrays.keys() == tensors.keys()
    for name, tensor in tensors.items():
        kind = torch.float32 if dtype == torch.bfloat16 else dtype
        assert torch.equal(torch.from_numpy(np.array(arrays[name])), tensor.to(kind))


def test_nothing_is_read_before_it_is_used(tmp_path):
    save_file({"a": torch.zeros(1 << 22)}, tmp_path / "x.safetensors")
    tracemalloc.start()
    array = read_safetensors(tmp_path / "x.safetensors")["a"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert array.nbytes == 1 << 24 and peak < 1 << 20 and not array.flags.writeable


def test_a_file_that_is_cut_off_anywhere_is_said(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(5), "b": torch.ones(2, 3)}, path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"is not a whole safetensors file \(.*\): fetch"):
            read_safetensors(path)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        [],
        "text",
        None,
        {"a": 5},
        {"a": {}},
        {"a": ENTRY | {"more": 1}},
        {"a": ENTRY | {"dtype": "I64", "data_offsets": [0, 16]}},
        {"a": ENTRY | {"dtype": ["F32"]}},
        {"a": ENTRY | {"shape": [-2, -1]}},
        {"a": ENTRY | {"shape": [2.0]}},
        {"a": ENTRY | {"shape": [True, 2]}},
        {"a": ENTRY | {"shape": 2}},
        {"a": ENTRY | {"shape": [3]}},
        {"a": ENTRY | {"shape": [2**62, 4]}},
        {"a": ENTRY | {"shape": [0, 2**80], "data_offsets": [8, 8]}},
        {"a": ENTRY | {"data_offsets": [-8, 0]}},
        {"a": ENTRY | {"data_offsets": [8, 0]}},
        {"a": ENTRY | {"data_offsets": [8, 16]}},
        {"a": ENTRY | {"data_offsets": [0, 8, 16]}},
        {"a": ENTRY | {"data_offsets": [0.0, 8.0]}},
        {"a": ENTRY | {"data_offsets": "08"}},
        {"a": ENTRY | {"data_offsets": [2**70, 2**70 + 8]}},
    ],
    ids=lambda header: str(header)[:40],
)
def test_a_header_that_lies_is_said(header, tmp_path):
    path = write(tmp_path / "x.safetensors", header, b"\0" * 8)
    with pytest.raises(ValueError, match="is not a whole safetensors file") as caught:
        read_safetensors(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    fine = write(tmp_path / "x.safetensors", {"a": ENTRY, "__metadata__": {"a": "b"}}, b"\0" * 8)
    assert read_safetensors(fine)["a"].tolist() == [0, 0]


def test_a_header_longer_than_any_memory_is_said(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="it is cut off"):
        read_safetensors(path)


# --- a GPT-2 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", [False, True])
def test_weights_in_parts_and_halves_are_read(half, tmp_path):
    sizes = {"vocab_size": 23, "n_positions": 16, "n_layer": 3, "n_head": 2, "n_embd": 12}
    other = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=None, eos_token_id=None)).eval()
    other = other.bfloat16() if half else other
    other.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    params, n_head = load_gpt2(tmp_path)
    with torch.no_grad():
        expected = other.float()(torch.arange(16)[None]).logits
    np.testing.assert_allclose(gpt2([range(16)], **params, n_head=n_head), expected, atol=1e-5)


def test_names_without_their_prefix_and_with_old_masks_are_read(saved):
    params, _ = load_gpt2(saved)

    def rename(weights):
        for name in list(weights):
            weights[name.removeprefix("transformer.")] = weights.pop(name)
        weights["h.0.attn.bias"] = torch.ones(1, 1, 16, 16)
        weights["lm_head.weight"] = weights["wte.weight"].clone()

    edit_weights(saved, rename)
    again, _ = load_gpt2(saved)
    np.testing.assert_array_equal(again["wte"], params["wte"])
    for key in ("blocks", 2, "mlp", "c_proj", "w"):
        params, again = params[key], again[key]
    np.testing.assert_array_equal(params, again)


def test_the_arrays_are_floats_of_their_own_and_the_table_is_read_by_columns(saved):
    params, _ = load_gpt2(saved)
    assert params["wte"].T.flags.c_contiguous and params["wpe"].flags.c_contiguous
    params["wte"] += 1
    params["blocks"][0]["attn"]["c_attn"]["w"] *= 2
    again, _ = load_gpt2(saved)
    assert not np.allclose(params["wte"], again["wte"])
    assert again["wte"].dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tie_word_embeddings": False}, "an output layer of its own; here it is the table"),
        ({"n_head": 5}, "5 heads can't share 12 channels"),
        ({"n_head": 0}, "0 heads can't share"),
        ({"n_layer": -1}, "describes no GPT-2"),
        ({"n_layer": 4}, "lacks h.3."),
        ({"n_layer": 10**12}, "lacks h.999999999999."),
        ({"n_layer": 2}, "holds what a GPT-2 has no place for: h.2."),
        ({"n_layer": "3"}, "n_layer='3'; it must be a whole number"),
        ({"vocab_size": 24}, r"wte.weight has the shape \(23, 12\) in the file, .* \(24, 12\)"),
        ({"activation_function": "relu"}, "activation_function='relu'"),
        ({"layer_norm_epsilon": 1e-6}, "with norm_eps=1e-06; here"),
        ({"n_inner": 50}, "with n_hidden=50; here"),
        ({"model_type": "llama"}, "of the type 'llama'"),
    ],
)
def test_a_config_that_doesnt_fit_is_said(changes, says, saved):
    edit_config(saved, **changes)
    with pytest.raises(ValueError, match=says):
        load_gpt2(saved)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"null"])
def test_a_config_that_is_none_is_said(content, saved):
    (saved / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json (is not JSON|describes)"):
        load_gpt2(saved)


def test_weights_that_are_not_the_config_s_are_said(saved):
    edit_weights(saved, lambda w: w.update({"lm_head.weight": torch.zeros(23, 12)}))
    with pytest.raises(ValueError, match="holds an output layer of its own"):
        load_gpt2(saved)
    edit_weights(saved, lambda w: w.pop("lm_head.weight"))
    edit_weights(saved, lambda w: w.pop("transformer.h.1.ln_2.bias"))
    with pytest.raises(ValueError, match=r"lacks h\.1\.ln_2\.bias"):
        load_gpt2(saved)


def test_a_pickle_is_not_opened(saved):
    (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="a pickle, which may run any program"):
        load_gpt2(saved)
