"""Lecture 07: what the course trained, transformers loads, and the other way round.

Nothing is downloaded: all models are small, random, and made here.
"""

import copy
import dataclasses
import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported

import huggingface_hub
import pytest
import torch
import transformers
from huggingface_hub import errors
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

from small import randomise
from zerotohero import model_files
from zerotohero.gpt import GPT, GPTConfig

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SIZES = [  # vocab_size, block_size, n_layer, n_head, n_embd: none of them equal to another
    (17, 8, 1, 1, 4),
    (23, 16, 3, 2, 12),
    (65, 32, 4, 5, 40),
]
SMALL = GPTConfig(23, 16, 3, 2, 12)


def theirs(vocab_size, block_size, n_layer, n_head, n_embd, **changes) -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=block_size,
        n_layer=n_layer,
        n_head=n_head,
        n_embd=n_embd,
        **({"bos_token_id": None, "eos_token_id": None} | changes),
    )
    return randomise(GPT2LMHeadModel(config))


def tokens(vocab_size: int, block_size: int) -> torch.Tensor:
    return torch.randint(vocab_size, (3, block_size), generator=torch.Generator().manual_seed(9))


@torch.no_grad()
def assert_same_logits(ours: GPT, other: GPT2LMHeadModel) -> None:
    idx = tokens(ours.config.vocab_size, ours.config.block_size)
    expected = other(idx).logits
    assert expected.std() > 0.1, "logits that hardly differ would hide mistakes"
    torch.testing.assert_close(ours(idx), expected, atol=1e-5, rtol=1e-5)
    # In float64, to show that what remains is float32's rounding.
    torch.testing.assert_close(ours.double()(idx), other.double()(idx).logits, atol=1e-10, rtol=0)


@pytest.fixture
def saved(tmp_path) -> Path:
    """A folder with a small model of ours."""
    randomise(GPT(SMALL)).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def edit_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder: Path, edit) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights = edit(weights) or weights
    save_file({n: w.clone().contiguous() for n, w in weights.items()}, path, {"format": "pt"})


# --- what is imported -----------------------------------------------------------------------------


def test_a_gpt_loads_neither_safetensors_nor_urllib_until_they_are_used():
    """Beyond what torch itself loads; in a process of its own, which imports it once."""
    code = """if True:
        import sys, torch
        torchs = set(sys.modules)
        import zerotohero.huggingface
        assert "zerotohero.gpt" not in sys.modules, "a circle"
        import zerotohero.gpt
        print(*sys.modules.keys() - torchs)
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    more = done.stdout.split()
    assert "zerotohero.huggingface" in more
    assert not [m for m in more if m.split(".")[0] in ("safetensors", "urllib", "http")]


# --- the tie ------------------------------------------------------------------------------------


def separated(model: GPT) -> GPT:
    """The model with an output layer that is equal to the table, but another parameter."""
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    return model


def assigned(model: GPT) -> GPT:
    model.load_state_dict({n: w.clone() for n, w in model.state_dict().items()}, assign=True)
    return model


def emptied(model: GPT) -> GPT:
    empty = copy.deepcopy(model).to("meta").to_empty(device="cpu")
    empty.load_state_dict(model.state_dict())
    return empty


WAYS = {
    "assign": assigned,
    "assign in a copy": lambda model: assigned(copy.deepcopy(model)),
    "assign within another": lambda model: assigned(torch.nn.Sequential(model))[0],
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "to": lambda model: model.double().to("cpu").float(),
    "to_empty": emptied,
}


def step(model: GPT) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(tokens(23, 16)).square().mean().backward()
    optimizer.step()


@torch.no_grad()
def assert_nothing_is_lost(model: GPT, folder: Path) -> None:
    model.eval().save_pretrained(folder)
    idx = tokens(23, 16)
    torch.testing.assert_close(GPT.from_pretrained(folder)(idx), model(idx), atol=1e-6, rtol=1e-6)
    other = GPT2LMHeadModel.from_pretrained(folder).eval()
    torch.testing.assert_close(other(idx).logits, model(idx), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_a_tied_gpt_stays_tied_whatever_moves_its_weights(way, tmp_path):
    model = WAYS[way](randomise(GPT(SMALL)))
    assert model.lm_head.weight is model.transformer.wte.weight
    step(model)
    assert_nothing_is_lost(model, tmp_path)


def test_moving_to_another_type_with_new_parameters_keeps_the_tie():
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        model = GPT(SMALL).double()
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
    assert model.lm_head.weight is model.transformer.wte.weight
    untied = GPT(dataclasses.replace(SMALL, tied=False)).double()
    assert untied.lm_head.weight is not untied.transformer.wte.weight


def test_an_output_layer_of_its_own_is_written_whatever_the_configuration_says(tmp_path):
    model = separated(randomise(GPT(SMALL)))
    assert_nothing_is_lost(model, tmp_path / "equal")
    assert GPT.from_pretrained(tmp_path / "equal").config.tied, "equal tables are one"
    step(model)
    assert not torch.equal(model.lm_head.weight, model.transformer.wte.weight)
    assert_nothing_is_lost(model, tmp_path / "apart")
    assert not GPT.from_pretrained(tmp_path / "apart").config.tied


@pytest.mark.parametrize("assign", [True, False])
def test_two_tables_do_not_go_into_one(assign):
    model = separated(randomise(GPT(SMALL)))
    step(model)
    tied = GPT(SMALL)
    before = copy.deepcopy(tied.state_dict())
    with pytest.raises(ValueError, match="one table for both: make it with tied=False"):
        tied.load_state_dict(model.state_dict(), assign=assign)
    assert all(torch.equal(w, before[n]) for n, w in tied.state_dict().items()), "half loaded"
    untied = GPT(dataclasses.replace(SMALL, tied=False)).eval()
    untied.load_state_dict(model.state_dict())
    torch.testing.assert_close(untied(tokens(23, 16)), model(tokens(23, 16)))


# --- weights in several files, or in another format ---------------------------------------------


def test_weights_split_over_several_files_are_read(tmp_path):
    other = theirs(*SIZES[1])
    other.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert_same_logits(GPT.from_pretrained(tmp_path), other)


def test_a_missing_part_is_named(tmp_path):
    theirs(*SIZES[1]).save_pretrained(tmp_path, max_shard_size="4KB")
    part = sorted(tmp_path.glob("*.safetensors"))[1]
    part.unlink()
    with pytest.raises(FileNotFoundError, match=f"holds no {part.name}"):
        GPT.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"weight_map": 3}',
        '{"weight_map": {"a": "../secret.safetensors"}}',
        '{"weight_map": {"a": "/etc/x.safetensors"}}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": {"a": "weights.bin"}}',
    ],
)
def test_an_index_that_leads_elsewhere_is_refused(text, tmp_path):
    theirs(*SIZES[1]).save_pretrained(tmp_path, max_shard_size="4KB")
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ValueError, match="doesn't say which tensor is in which file beside it"):
        GPT.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_a_folder_with_a_pickle_is_told_what_it_is(name, saved):
    (saved / "model.safetensors").rename(saved / name)
    with pytest.raises(FileNotFoundError, match="a pickle, which may run any program") as caught:
        GPT.from_pretrained(saved)
    assert "holds no" not in str(caught.value)


def test_split_weights_are_fetched_from_the_hub(tmp_path, monkeypatch):
    other = theirs(*SIZES[1])
    other.save_pretrained(tmp_path, max_shard_size="4KB")

    def download(name, file, local_files_only):
        if not (tmp_path / file).exists():
            raise errors.EntryNotFoundError(file)
        return str(tmp_path / file)

    monkeypatch.setattr(model_files, "_answers", lambda address: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert_same_logits(GPT.from_pretrained("somebody/split"), other)


# --- parity -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", SIZES)
def test_transformers_loads_what_the_course_saves(sizes, bias, tied, tmp_path):
    ours = randomise(GPT(GPTConfig(*sizes, bias=bias, tied=tied)))
    ours.save_pretrained(tmp_path / "deep" / "folder")  # made if it isn't there
    other, report = GPT2LMHeadModel.from_pretrained(
        tmp_path / "deep" / "folder", output_loading_info=True
    )
    assert not any(report.values()), f"transformers has complaints: {report}"
    assert (other.lm_head.weight is other.transformer.wte.weight) == tied
    assert_same_logits(ours, other.eval())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("sizes", SIZES)
def test_the_course_loads_what_transformers_saves(sizes, tied, tmp_path):
    other = theirs(*sizes, tie_word_embeddings=tied)
    other.save_pretrained(tmp_path)
    ours = GPT.from_pretrained(tmp_path)
    assert ours.config == GPTConfig(*sizes, tied=tied, dropout=0.1)
    assert (ours.lm_head.weight is ours.transformer.wte.weight) == tied
    assert not ours.training
    assert_same_logits(ours, other)


def test_there_and_back_nothing_is_lost(tmp_path):
    for changes in (
        {},
        {"dropout": 0.2, "bias": False, "tied": False},
        {"norm_eps": 1e-3, "n_hidden": 20},
    ):
        config = dataclasses.replace(SMALL, **changes)
        ours = randomise(GPT(config))
        ours.save_pretrained(tmp_path / "ours")
        GPT2LMHeadModel.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
        for folder in ("ours", "theirs"):
            back = GPT.from_pretrained(tmp_path / folder)
            assert back.config == config
            for (name, a), (_, b) in zip(
                ours.state_dict().items(), back.state_dict().items(), strict=True
            ):
                assert torch.equal(a, b), f"{name} is not what it was"


def test_what_is_loaded_can_be_trained(saved):
    model = GPT.from_pretrained(saved).train()
    before = model.transformer.wte.weight.clone()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model(tokens(23, 16)).square().mean().backward()
    optimizer.step()
    assert not torch.equal(before, model.transformer.wte.weight)
    assert model.lm_head.weight is model.transformer.wte.weight


@torch.no_grad()
def test_the_likeliest_text_is_that_of_transformers(tmp_path):
    # Large biases, and a head that repeats its input, would write one token only.
    other = theirs(*SIZES[2], tie_word_embeddings=False)
    for name, parameter in other.named_parameters():
        parameter.sub_(0.1).mul_(0.1 if "bias" in name else 2)
    other.save_pretrained(tmp_path)
    ours, other = GPT.from_pretrained(tmp_path).double(), other.double()
    prompts = [[5], [1, 2, 3, 4], [60, 50, 40, 30, 20, 10]]
    # transformers pads on the left, and is told which tokens count.
    longest = max(map(len, prompts))
    padded = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    settings = {"max_new_tokens": 20, "do_sample": False, "pad_token_id": 0}
    rows = other.generate(padded, attention_mask=mask, **settings)[:, longest:].tolist()
    assert all(len(set(row)) > 3 for row in rows), "a text that repeats itself hides mistakes"
    written = ours.generate(prompts, 20, temperature=0)
    assert written == [p + row for p, row in zip(prompts, rows, strict=True)]


def test_a_model_in_half_precision_is_saved_so_and_loaded_in_single(tmp_path):
    ours = randomise(GPT(SMALL)).bfloat16()
    ours.save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors")["transformer.wte.weight"].dtype == (
        torch.bfloat16
    )
    assert GPT2LMHeadModel.from_pretrained(tmp_path).dtype == torch.bfloat16
    back = GPT.from_pretrained(tmp_path)
    assert back.lm_head.weight.dtype == torch.float32
    assert torch.equal(back.lm_head.weight, ours.lm_head.weight.float())


# --- the files of the hub, as they are ----------------------------------------------------------


def test_names_without_prefix_and_stored_masks_as_in_the_hubs_gpt2(tmp_path):
    other = theirs(23, 16, 3, 2, 12)
    other.save_pretrained(tmp_path)

    def old(weights):
        bare = {name.removeprefix("transformer."): w for name, w in weights.items()}
        for layer in range(3):
            bare[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 16, 16).tril()
            bare[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
        return bare

    edit_weights(tmp_path, old)
    assert_same_logits(GPT.from_pretrained(tmp_path), other)


def test_a_tied_head_may_be_stored_as_well(saved):
    plain = GPT.from_pretrained(saved)
    edit_weights(saved, lambda w: w.update({"lm_head.weight": w["transformer.wte.weight"]}))
    idx = tokens(23, 16)
    assert torch.equal(GPT.from_pretrained(saved)(idx), plain(idx))


def test_a_head_that_is_called_tied_but_differs_is_refused(saved):
    # transformers unties it with a warning; which of the two is meant is not ours to guess.
    edit_weights(saved, lambda w: w.update({"lm_head.weight": torch.randn(23, 12)}))
    with pytest.raises(ValueError, match=r"differ, but config\.json says that they are one"):
        GPT.from_pretrained(saved)


def test_a_name_is_fetched_from_the_hub(saved, monkeypatch):
    asked = []

    def download(name, file, local_files_only):
        assert not local_files_only
        asked.append((name, file))
        return str(saved / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(model_files, "_answers", lambda address: True)
    model = GPT.from_pretrained("openai-community/gpt2", dropout=0.1)
    assert model.config.n_layer == 3
    assert asked == [
        ("openai-community/gpt2", "config.json"),
        ("openai-community/gpt2", "model.safetensors"),
    ]


def test_without_a_network_one_sentence_says_so(monkeypatch, tmp_path):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with socket.socket() as taken:  # bound, but nobody listens: every connection is refused
        taken.bind(("127.0.0.1", 0))
        nowhere = f"https://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", nowhere)
        says = rf"no folder nobodys-gpt, and it could not .*\({nowhere} doesn't answer\)"
        with pytest.raises(ConnectionError, match=says):
            GPT.from_pretrained("nobodys-gpt")


def test_without_a_network_what_was_fetched_before_is_there(saved, monkeypatch):
    def download(name, file, local_files_only):
        assert local_files_only
        return str(saved / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(model_files, "_answers", lambda address: False)
    assert GPT.from_pretrained("gpt2").config.n_layer == 3


def test_a_server_answers_or_a_proxy_is_trusted_to(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert model_files._answers(address)
    assert not model_files._answers(address)
    assert not model_files._answers("https://nowhere.invalid")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert model_files._answers("https://nowhere.invalid") and not model_files._answers(address)


def test_others_may_read_what_was_saved(saved):
    modes = {path.name: path.stat().st_mode & 0o777 for path in saved.iterdir()}
    assert modes["model.safetensors"] == modes["config.json"]


def test_a_name_that_the_hub_does_not_know(monkeypatch):
    def download(name, file, **options):
        raise errors.EntryNotFoundError("404")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(FileNotFoundError, match="Neither a folder nor the Hugging Face hub has a"):
        GPT.from_pretrained("nobodys-gpt")


def test_without_the_hubs_package_one_sentence_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub"):
        GPT.from_pretrained("gpt2")


@pytest.mark.network
@pytest.mark.slow
def test_gpt2_itself():
    model = GPT.from_pretrained("gpt2")
    assert model.num_params() == 123_653_376
    other = GPT2LMHeadModel.from_pretrained("gpt2").eval()
    idx = torch.tensor([[15496, 11, 314, 1101, 257, 3303, 2746, 11]])
    torch.testing.assert_close(model(idx), other(idx).logits, atol=1e-4, rtol=1e-5)


# --- changes ------------------------------------------------------------------------------------


def test_dropout_and_a_shorter_block_can_be_asked_for(saved):
    model = GPT.from_pretrained(saved, dropout=0.3, block_size=5)
    assert (model.config.dropout, model.config.block_size) == (0.3, 5)
    assert model.transformer.wpe.weight.shape == (5, 12)
    idx = tokens(23, 5)
    torch.testing.assert_close(model(idx), GPT.from_pretrained(saved)(idx))


def test_a_longer_block_is_refused(saved):
    with pytest.raises(ValueError, match=r"block_size can be cropped to 1 … 16, not 17"):
        GPT.from_pretrained(saved, block_size=17)


@pytest.mark.parametrize("field", ["n_head", "activation", "vocab_size", "layers"])
def test_what_the_weights_were_not_trained_for_cannot_be_changed(saved, field):
    with pytest.raises(ValueError, match=f"dropout, block_size and bias, but not {field}: the"):
        GPT.from_pretrained(saved, **{field: 4})


def test_biases_that_are_zero_can_be_left_out_and_no_others(saved, tmp_path):
    with pytest.raises(ValueError, match=r"bias in the file is not zero.*load it with bias=True"):
        GPT.from_pretrained(saved, bias=False)
    ours = randomise(GPT(GPTConfig(23, 16, 3, 2, 12, bias=False)))
    ours.save_pretrained(tmp_path)
    idx = tokens(23, 16)
    for bias in (True, False):
        model = GPT.from_pretrained(tmp_path, bias=bias)
        assert (model.transformer.ln_f.bias is not None) is bias
        assert torch.equal(model(idx), ours(idx))


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("norm", "rmsnorm"),
        ("position", "rotary"),
        ("position", "none"),
        ("activation", "relu2"),
        ("qk_norm", True),
        ("n_kv_head", 1),
    ],
)
def test_a_model_that_gpt2_has_no_words_for_is_not_saved(field, value, tmp_path):
    model = GPT(GPTConfig(23, 16, 3, 2, 12, **{field: value}))
    named = {"n_kv_head": "kv_heads"}.get(field, field)
    with pytest.raises(ValueError, match=f"GPT-2's format has no {named}={value!r}, only"):
        model.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "mamba"}, "a model of the type 'mamba', not a 'gpt2' or 'llama'"),
        ({"model_type": None}, "describes a model of the type None, not a 'gpt2' or 'llama'"),
        ({"model_type": "llama"}, "max_position_embeddings=None; it must be a whole number"),
        ({"activation_function": "relu"}, "activation_function='relu'; a GPT has only"),
        ({"layer_norm_epsilon": 0}, "norm_eps is 0; it must be a positive number"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ({"scale_attn_weights": False}, "scale_attn_weights=False"),
        ({"add_cross_attention": True}, "add_cross_attention=True"),
        ({"n_inner": 50}, r"c_fc\.weight has the shape \(12, 48\) .* asks for \(12, 50\)"),
        ({"n_inner": "50"}, "n_hidden is '50'; it must be a whole number"),
        ({"n_layer": "3"}, "n_layer='3'; it must be a whole number"),
        ({"n_positions": None}, "n_positions=None; it must be a whole number"),
        ({"n_head": 5}, "make n_embd a multiple of n_head"),
        ({"n_embd": 12 * 10**9}, r"config\.json describes a model so large that its size can't"),
        ({"n_layer": 10**9}, "1000000000 layers can't be in a file of 40 tensors"),
        ({"n_layer": 4}, r"lacks transformer\.h\.3\.attn\.c_attn\.bias, .* and 9 more\."),
        ({"n_layer": 2}, r"has no place for: transformer\.h\.2\.attn\.c_attn\.bias, "),
        (
            {"vocab_size": 24},
            r"transformer\.wte\.weight has the shape \(23, 12\) in the file, but its config\.json "
            r"asks for \(24, 12\)",
        ),
    ],
)
def test_a_config_of_another_model_is_named(saved, changes, says):
    edit_config(saved, **changes)
    with pytest.raises(ValueError, match=says):
        GPT.from_pretrained(saved)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"model_type": "gpt2", ', "is not JSON"),
        ("", "is not JSON"),
        ("\xff", "is not JSON"),
        ("[1, 2]", "describes a model of the type None"),
    ],
)
def test_a_broken_config_is_named(saved, text, says):
    (saved / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=rf"config\.json {says}"):
        GPT.from_pretrained(saved)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_of_weights_is_named(saved, keep):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        GPT.from_pretrained(saved)


def test_a_pickle_in_place_of_the_weights_is_refused(saved):
    torch.save({}, saved / "model.safetensors")
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        GPT.from_pretrained(saved)


def test_matrices_stored_the_other_way_round_are_named(saved):
    # The square ones can't be told from right ones; the first that can is named.
    edit_weights(
        saved, lambda w: {n: x.t() if n.endswith("c_attn.weight") else x for n, x in w.items()}
    )
    with pytest.raises(ValueError, match=r"c_attn\.weight has the shape \(36, 12\) in the file"):
        GPT.from_pretrained(saved)


@pytest.mark.parametrize("name", ["transformer.ln_f.weight", "transformer.h.1.mlp.c_fc.bias"])
def test_a_missing_tensor_is_named(saved, name):
    edit_weights(saved, lambda w: {n: x for n, x in w.items() if n != name})
    with pytest.raises(ValueError, match=f"The file of weights lacks {name}."):
        GPT.from_pretrained(saved)


def test_an_unknown_tensor_is_named(saved):
    edit_weights(saved, lambda w: w.update({"score.weight": torch.zeros(2, 12)}))
    with pytest.raises(ValueError, match=r"no place for: transformer\.score\.weight\."):
        GPT.from_pretrained(saved)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_without_the_files_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"holds no {name}: give the folder that"):
        GPT.from_pretrained(saved)


@pytest.mark.parametrize("name", ["runs/of/mine", "./mine", "/no/such/folder", "~/mine"])
def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(name):
    with pytest.raises(FileNotFoundError, match=f"There is no folder {name}"):
        GPT.from_pretrained(name)


# --- a save that fails --------------------------------------------------------------------------


def test_a_save_that_fails_leaves_what_was_there(saved, monkeypatch):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}

    def full(tensors, path, metadata):
        path.write_bytes(b"half of")
        raise OSError("No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        randomise(GPT(SMALL), seed=1).save_pretrained(saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_a_full_disk_is_the_disks_error_whatever_safetensors_calls_it(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match=r"new can't be written .*No space left on device"):
        GPT(SMALL).save_pretrained(tmp_path / "new")


def test_a_save_replaces_its_files_and_leaves_others(saved):
    (saved / "vocabulary.txt").write_text("abc")
    other = randomise(GPT(SMALL), seed=1)
    other.save_pretrained(saved)
    names = sorted(path.name for path in saved.iterdir())
    assert names == ["config.json", "model.safetensors", "vocabulary.txt"]
    idx = tokens(23, 16)
    assert torch.equal(GPT.from_pretrained(saved)(idx), other(idx))
