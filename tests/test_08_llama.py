"""Lecture 08: a GPT with Llama's parts, in Llama's files, out and in.

Nothing is downloaded: all models are small, random, and made here.
"""

import dataclasses
import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from small import randomise
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.huggingface import no_words_for

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

LLAMA = GPTConfig(
    23,
    16,
    n_layer=3,
    n_head=4,
    n_embd=24,
    norm="rmsnorm",
    norm_gain=True,
    norm_eps=1e-4,
    position="rotary",
    rope_theta=500.0,
    activation="swiglu",
    n_hidden=28,
    n_kv_head=2,
    bias=False,
)
KINDS = {
    "as SmolLM2": {},
    "a head of its own for each": {"n_kv_head": None},
    "one head for all": {"n_kv_head": 1},
    "with biases": {"bias": True},
    "with an output layer of its own": {"tied": False},
    "with GPT-2's hidden size": {"n_hidden": None},
    "without an epsilon": {"norm_eps": None},
}
EACH = pytest.mark.parametrize("kind", KINDS)


def ours(kind: str = "as SmolLM2", **changes) -> GPT:
    return randomise(GPT(dataclasses.replace(LLAMA, **KINDS[kind], **changes)))


def theirs(**changes) -> LlamaForCausalLM:
    fields = {
        "vocab_size": 23,
        "max_position_embeddings": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_size": 24,
        "intermediate_size": 28,
        "rms_norm_eps": 1e-4,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    return randomise(LlamaForCausalLM(LlamaConfig(**(fields | changes))))


def tokens() -> torch.Tensor:
    return torch.randint(23, (3, 16), generator=torch.Generator().manual_seed(9))


@torch.no_grad()
def assert_same_logits(model: GPT, other: LlamaForCausalLM) -> None:
    expected = other(tokens()).logits
    assert expected.std() > 0.1, "logits that hardly differ would hide mistakes"
    torch.testing.assert_close(model(tokens()), expected, atol=2e-5, rtol=1e-5)


def edit_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def saved(tmp_path) -> Path:
    ours().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


# --- parity -------------------------------------------------------------------------------------


@EACH
def test_transformers_loads_what_the_course_saves(kind, tmp_path):
    model = ours(kind)
    assert not no_words_for(model.config)
    model.save_pretrained(tmp_path)
    other, report = LlamaForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), f"transformers has complaints: {report}"
    assert (other.lm_head.weight is other.model.embed_tokens.weight) == model.config.tied
    assert_same_logits(model, other.eval())
    assert type(AutoModelForCausalLM.from_pretrained(tmp_path)) is LlamaForCausalLM


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": False},
        {"num_key_value_heads": 4, "intermediate_size": 96},
        {"num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True},
    ],
)
def test_the_course_loads_what_transformers_saves(changes, tmp_path):
    other = theirs(**changes)
    other.save_pretrained(tmp_path)
    model = GPT.from_pretrained(tmp_path)
    assert not model.training
    assert_same_logits(model, other)


def test_parts_and_sizes_are_read_as_they_are_meant(tmp_path):
    theirs(attention_dropout=0.2).save_pretrained(tmp_path)
    assert GPT.from_pretrained(tmp_path).config == dataclasses.replace(LLAMA, dropout=0.2)


@EACH
def test_there_and_back_nothing_is_lost(kind, tmp_path):
    model = ours(kind)
    model.save_pretrained(tmp_path / "ours")
    LlamaForCausalLM.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    for folder in ("ours", "theirs"):
        back = GPT.from_pretrained(tmp_path / folder)
        eps = model.config.norm_eps or torch.finfo(torch.float32).eps
        assert back.config == dataclasses.replace(model.config, norm_eps=eps)
        for (name, a), (_, b) in zip(
            model.state_dict().items(), back.state_dict().items(), strict=True
        ):
            assert torch.equal(a, b), f"{name} is not what it was"


def test_what_the_course_trained_transformers_continues(tmp_path):
    """A text learned by heart comes out of either."""
    text = torch.randint(23, (1, 17), generator=torch.Generator().manual_seed(3))
    model = GPT(LLAMA, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(100):
        logits = model(text[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits[0], text[0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().save_pretrained(tmp_path)
    assert_same_logits(model, LlamaForCausalLM.from_pretrained(tmp_path).eval())
    other = LlamaForCausalLM.from_pretrained(tmp_path)
    written = other.generate(text[:, :2], max_new_tokens=14, do_sample=False, pad_token_id=0)
    assert written.tolist() == model.generate(text[:, :2], 14, temperature=0)
    assert written.tolist() == text[:, :16].tolist()


def test_files_of_older_releases_are_read(saved):
    """transformers 4 had theta beside the others, and the speeds of the turns among the weights."""
    config = json.loads((saved / "config.json").read_text())
    del config["rope_parameters"], config["head_dim"]
    (saved / "config.json").write_text(json.dumps(config | {"rope_scaling": None}))
    weights = load_file(saved / "model.safetensors")
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(3)
    save_file(weights, saved / "model.safetensors", {"format": "pt"})
    assert GPT.from_pretrained(saved).config == LLAMA


def test_a_shorter_block_can_be_asked_for(saved):
    model = GPT.from_pretrained(saved, block_size=5, dropout=0.1)
    assert model.config.block_size == 5 and model.config.dropout == 0.1
    assert torch.equal(model(tokens()[:, :5]), ours()(tokens()[:, :5]))


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"qk_norm": True}, "Llama's format has no qk_norm=True, only False"),
        ({"activation": "relu2"}, "no activation='relu2', only 'swiglu'"),
        ({"norm_gain": False}, "no norm_gain=False, only True"),
    ],
)
def test_a_model_that_neither_has_words_for_is_not_saved(changes, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        ours(**changes).save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"hidden_act": "gelu"}, r"config\.json says hidden_act='gelu'; a GPT has only 'silu'\."),
        ({"head_dim": 8}, "head_dim=8; a GPT has hidden_size / num_attention_heads"),
        ({"mlp_bias": True}, "mlp_bias=True; a GPT has biases everywhere or nowhere"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1.0}}, "aren't stretched"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear"}}, "rope_scaling={'type'"),
        ({"hidden_size": 24.0}, "hidden_size=24.0; it must be a whole number"),
        ({"num_key_value_heads": 3}, "make n_head a multiple of n_kv_head"),
        ({"num_key_value_heads": 1}, r"k_proj\.weight has the shape \(12, 24\) .* for \(6, 24\)"),
        ({"intermediate_size": 30}, r"gate_proj\.weight has the shape \(28, 24\)"),
        ({"num_hidden_layers": 4}, r"lacks model\.layers\.3\.input_layernorm\.weight, .* 6 more"),
        ({"num_hidden_layers": 2}, r"a Llama has no place for: model\.layers\.2\.input"),
        ({"tie_word_embeddings": False}, r"The file of weights lacks lm_head\.weight\."),
    ],
)
def test_a_config_of_another_model_is_named(saved, changes, says):
    edit_config(saved, **changes)
    with pytest.raises(ValueError, match=says) as caught:
        GPT.from_pretrained(saved)
    assert "\n" not in str(caught.value)


def test_two_tables_for_one_are_named(saved):
    weights = load_file(saved / "model.safetensors")
    weights["lm_head.weight"] = torch.randn(23, 24)
    save_file(weights, saved / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"lm_head\.weight and model\.embed_tokens\.weight differ"):
        GPT.from_pretrained(saved)
