"""GPT-2's and Llama's words for a GPT: the names of its weights, and what config.json says of it.

The idea: weights in a file are a table of names and matrices beside a list of sizes and parts. To
read or write another family of models is to know its words for them. The names of our weights are
GPT-2's already, but its file keeps a matrix as (in, out), our nn.Linear as (out, in); and a GPT-2
always has biases: where the model has none, the file holds zeros. A Llama keeps apart what we
compute in one product: queries, keys and values, and the two halves of SwiGLU. In ours they lie
below each other.

The source: `transformers` (GPT2LMHeadModel and LlamaForCausalLM), which reads and writes both.

What our blocks don't compute is refused: other activations, rotary positions that are stretched,
heads whose size isn't n_embd / n_head. No torch is loaded for all this, so lecture 11's NumPy reads
with the same words.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from zerotohero.gpt_config import GPTConfig

if TYPE_CHECKING:
    from torch import Tensor

LAYER = re.compile(r"transformer\.h\.(\d+)\.(.+)")


class Stored(NamedTuple):
    """A tensor in a file."""

    shape: tuple[int, ...]
    read: Callable[[], "Tensor"]


class Format:
    """What both have in common. A format says the rest, and how it writes and reads its fields."""

    name: str  # as in "GPT-2"
    kind: str  # model_type in config.json
    architecture: str  # its class in transformers
    sizes: dict[str, str]  # our names of sizes, and theirs
    fixed: dict[str, object]  # what our blocks compute, in its words
    settings = "config.json"  # where they are
    zero_biases = False  # whether biases stand in the file even where the model has none

    def lacks(self, config: GPTConfig) -> dict[str, object]:
        """Return the fields that can't be said in this format, with what it has instead."""
        parts = self.parts(config)
        return {field: has for field, has in parts.items() if getattr(config, field) != has}

    def fields(self, theirs: dict) -> dict[str, object]:
        """Return the fields of the GPTConfig that a config.json describes.

        ValueError, which begins with "says", if no GPT can be that.
        """
        for field, value in self.fixed.items():
            demand(theirs.get(field, value) == value, theirs, field, f"a GPT has only {value!r}")
        sizes = {ours: theirs.get(name) for ours, name in self.sizes.items()}
        for ours, size in sizes.items():
            demand(type(size) is int, theirs, self.sizes[ours], "it must be a whole number")
        return sizes | self.read(theirs, sizes)

    def cut(self, ours: str, weight: "Tensor", config: GPTConfig) -> dict[str, "Tensor"]:
        """Return the tensors of the file that a weight of ours is, as views of it."""
        names = self.names(ours)
        three = len(names) == 3  # queries, keys and values
        parts = weight.split(config.qkv_sizes) if three else weight.chunk(len(names))
        return dict(zip(names, parts, strict=True))


def demand(fine: bool, theirs: dict, field: str, wanted: str) -> None:
    if not fine:
        raise ValueError(f"says {field}={theirs.get(field)!r}; {wanted}.")


class GPT2(Format):
    name, kind, architecture = "GPT-2", "gpt2", "GPT2LMHeadModel"
    sizes = {  # noqa: RUF012
        "vocab_size": "vocab_size",
        "block_size": "n_positions",
        "n_layer": "n_layer",
        "n_head": "n_head",
        "n_embd": "n_embd",
    }
    fixed = {  # noqa: RUF012
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    }
    zero_biases = True
    gelus = ("gelu_new", "gelu_pytorch_tanh")  # one function under two names

    def parts(self, config: GPTConfig) -> dict[str, object]:
        """Return what a GPTConfig must say to be a GPT-2."""
        parts = {"norm": "layernorm", "position": "learned", "activation": "gelu"}
        return parts | {"qk_norm": False, "kv_heads": config.n_head}

    def described(self, config: GPTConfig) -> dict[str, object]:
        """Return what config.json says of the parts."""
        ends = 50_256 if config.vocab_size > 50_256 else None  # <|endoftext|>, if there is one
        return {
            "activation_function": self.gelus[0],
            "layer_norm_epsilon": config.norm_eps or 1e-5,
            "n_inner": config.n_hidden,
            "embd_pdrop": config.dropout,
            "attn_pdrop": config.dropout,
            "resid_pdrop": config.dropout,
            "bos_token_id": ends,
            "eos_token_id": ends,
            "bias": config.bias,  # ours; transformers passes over it
        }

    def read(self, theirs: dict, sizes: dict[str, int]) -> dict[str, object]:
        """Return the fields of a GPTConfig besides the sizes."""
        activation = theirs.get("activation_function", self.gelus[0])
        only = "a GPT has only GELU by tanh, 'gelu_new'"
        demand(activation in self.gelus, theirs, "activation_function", only)
        inner, eps = theirs.get("n_inner"), theirs.get("layer_norm_epsilon", 1e-5)
        return {
            "n_hidden": None if inner == 4 * sizes["n_embd"] else inner,
            "norm_eps": None if eps == 1e-5 else eps,
            "dropout": theirs.get("resid_pdrop", 0.1),  # GPT-2 has three rates, all of them 0.1
            "bias": theirs.get("bias", True),
            "tied": theirs.get("tie_word_embeddings", True),
        }

    def full_name(self, theirs: str) -> str | None:
        """Return a tensor's name, where the hub's is shortened; None for a causal mask."""
        if re.search(r"\.attn\.(masked_)?bias$", theirs):  # which old files carry along
            return None
        return (
            theirs if theirs.startswith(("transformer.", "lm_head.")) else f"transformer.{theirs}"
        )

    def names(self, ours: str) -> list[str]:
        """Return what the file calls a weight of ours."""
        return [ours]

    def cut(self, ours: str, weight: "Tensor", config: GPTConfig) -> dict[str, "Tensor"]:
        """Return the tensor of the file, as a view: a matrix the other way round."""
        turned = re.search(r"(c_attn|c_proj|c_fc)\.weight$", ours)
        return {ours: weight.t() if turned else weight}


class Llama(Format):
    name, kind, architecture = "Llama", "llama", "LlamaForCausalLM"
    sizes = {  # noqa: RUF012
        "vocab_size": "vocab_size",
        "block_size": "max_position_embeddings",
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
        "n_embd": "hidden_size",
        "n_hidden": "intermediate_size",
    }
    fixed = {"hidden_act": "silu"}  # noqa: RUF012
    layer = "model.layers"
    table = {  # noqa: RUF012
        "transformer.wte": ["model.embed_tokens"],
        "transformer.ln_f": ["model.norm"],
        "lm_head": ["lm_head"],
        "ln_1": ["input_layernorm"],
        "attn.c_attn": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        "attn.c_proj": ["self_attn.o_proj"],
        "ln_2": ["post_attention_layernorm"],
        "mlp.c_fc": ["mlp.gate_proj", "mlp.up_proj"],
        "mlp.c_proj": ["mlp.down_proj"],
    }

    def parts(self, config: GPTConfig) -> dict[str, object]:
        """Return what a GPTConfig must say to be a Llama."""
        parts = {"norm": "rmsnorm", "norm_gain": True, "position": "rotary"}
        return parts | {"activation": "swiglu", "qk_norm": False}

    def described(self, config: GPTConfig) -> dict[str, object]:
        """Return what config.json says of the parts."""
        return {
            **self.fixed,
            "intermediate_size": config.hidden,
            "num_key_value_heads": config.kv_heads,
            "head_dim": config.head_size,
            "rms_norm_eps": config.norm_eps or 2**-23,  # torch's own, the eps of float32
            "rope_theta": config.rope_theta,  # here for transformers 4, below for 5
            "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
            "attention_bias": config.bias,
            "mlp_bias": config.bias,
            "attention_dropout": config.dropout,
            "bos_token_id": None,
            "eos_token_id": None,
        }

    def read(self, theirs: dict, sizes: dict[str, int]) -> dict[str, object]:
        """Return the fields of a GPTConfig besides the sizes."""
        n_embd, n_head, n_hidden = (sizes[name] for name in ("n_embd", "n_head", "n_hidden"))
        heads = theirs.get("num_key_value_heads")
        size = theirs.get("head_dim")
        fine = size is None or size * n_head == n_embd
        demand(fine, theirs, "head_dim", "a GPT has hidden_size / num_attention_heads")
        bias = theirs.get("attention_bias", False)
        fine = theirs.get("mlp_bias", False) == bias
        demand(fine, theirs, "mlp_bias", "a GPT has biases everywhere or nowhere")
        turns = theirs.get("rope_parameters") or theirs.get("rope_scaling") or {}
        fine = turns.get("rope_type", turns.get("type", "default")) == "default"
        said = "rope_parameters" if theirs.get("rope_parameters") else "rope_scaling"
        demand(fine, theirs, said, "a GPT has only rotary positions that aren't stretched")
        return self.parts(None) | {
            "n_kv_head": None if heads == n_head else heads,
            "n_hidden": None if n_hidden == 4 * n_embd else n_hidden,
            "norm_eps": theirs.get("rms_norm_eps", 1e-6),
            "rope_theta": turns.get("rope_theta", theirs.get("rope_theta", 10_000.0)),
            "dropout": theirs.get("attention_dropout", 0.0),
            "bias": bias,
            "tied": theirs.get("tie_word_embeddings", False),
        }

    def full_name(self, theirs: str) -> str | None:
        """Return a tensor's name; None for the speeds of the turns, which old files carry along."""
        return None if theirs.endswith(".rotary_emb.inv_freq") else theirs

    def names(self, ours: str) -> list[str]:
        """Return the tensors that a weight of ours is in the file, from its first rows on."""
        place, _, kind = ours.rpartition(".")  # weight or bias
        layer = LAYER.fullmatch(place)
        before = f"{self.layer}.{layer[1]}." if layer else ""
        return [f"{before}{name}.{kind}" for name in self.table[layer[2] if layer else place]]


FORMATS = (GPT2(), Llama())


def nearest(config: GPTConfig) -> Format:
    """Return the format that lacks the fewest words for a configuration."""
    return min(FORMATS, key=lambda form: len(form.lacks(config)))
