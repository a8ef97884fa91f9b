"""The sizes and the parts of a GPT: GPT-2's by default, and what later models changed.

The idea: what came after GPT-2 is the same model with a part exchanged here and there. Each such
part is a field; a GPT-2 leaves them all alone, and a Llama sets five of them:

    GPTConfig(norm="rmsnorm", norm_gain=True, position="rotary", activation="swiglu", bias=False)

The papers: Radford et al. (2019) for GPT-2; Zhang & Sennrich (2019), "Root Mean Square Layer
Normalization"; Su et al. (2021), "RoFormer", for rotary positions; So et al. (2021), "Primer", for
ReLU²; Shazeer (2020), "GLU Variants Improve Transformer", for SwiGLU; Ainslie et al. (2023),
"GQA", for heads that share keys; Touvron et al. (2023), "LLaMA", for what they are together.

What is computed with them stands in `gpt`. Left out: experts, attention to a window, and rotary
positions that are stretched after training.
"""

import dataclasses
from dataclasses import dataclass

from zerotohero.configs import at_least_one, make_plain, one_of, positive, share

CHOICES = {
    "norm": ("layernorm", "rmsnorm"),
    "position": ("learned", "rotary", "none"),
    "activation": ("gelu", "relu2", "swiglu"),
}


@dataclass(frozen=True)
class GPTConfig:
    """The sizes and the parts of a GPT. Raises ValueError for what cannot work."""

    vocab_size: int = 50_257  # V: how many tokens there are
    block_size: int = 1024  # longest context, in tokens
    n_layer: int = 12  # blocks
    n_head: int = 12  # attention heads of a block
    n_embd: int = 768  # C: numbers that describe one position
    dropout: float = 0.0  # share of numbers that training sets to zero
    bias: bool = True  # whether linear layers and LayerNorms add a bias
    # What came after GPT-2; the defaults are GPT-2.
    norm: str = "layernorm"  # or "rmsnorm": no mean is subtracted
    norm_gain: bool = False  # whether RMSNorm learns a gain for each channel, as LayerNorm does
    norm_eps: float | None = None  # keeps a norm from dividing by 0; None: torch's own value
    position: str = "learned"  # a table; or "rotary": queries and keys are turned; or "none"
    rope_theta: float = 10_000.0  # rotary: the larger, the slower the slow pairs turn
    activation: str = "gelu"  # by tanh; or "relu2": a ReLU's square; or "swiglu": with a gate
    n_hidden: int | None = None  # numbers between the two layers of an MLP; None: 4 · n_embd
    n_kv_head: int | None = None  # heads of keys and values, shared evenly; None: n_head
    qk_norm: bool = False  # whether queries and keys are brought to one length
    zero_init: bool = False  # whether what adds to the residual path starts as zero
    tied: bool = True  # whether the output layer's weights are the token embeddings

    def __post_init__(self):
        make_plain(self)
        at_least_one(self, "vocab_size", "block_size", "n_layer", "n_head", "n_embd")
        at_least_one(self, "n_hidden", "n_kv_head")
        if self.n_embd % self.n_head:
            raise ValueError(
                f"n_embd is {self.n_embd} and n_head is {self.n_head}: the channels are shared "
                "out evenly among the heads, so make n_embd a multiple of n_head."
            )
        if self.n_head % self.kv_heads:
            raise ValueError(
                f"n_head is {self.n_head} and n_kv_head is {self.n_kv_head}: each head of keys "
                "and values serves equally many queries, so make n_head a multiple of n_kv_head."
            )
        share(self, "dropout")
        positive(self, "norm_eps", "rope_theta")
        one_of(self, **CHOICES)
        if self.position == "rotary" and self.head_size % 2:
            raise ValueError(
                f"Rotary positions turn pairs of numbers, and a head has {self.head_size}: make "
                "n_embd / n_head even."
            )

    @property
    def head_size(self) -> int:
        """Numbers in one head's query, key or value."""
        return self.n_embd // self.n_head

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values: `n_kv_head`, or as many as there are of queries."""
        return self.n_kv_head or self.n_head

    @property
    def qkv_sizes(self) -> tuple[int, int, int]:
        """Numbers in a position's queries, keys and values, all heads together."""
        kv = self.kv_heads * self.head_size
        return self.n_embd, kv, kv

    @property
    def hidden(self) -> int:
        """Numbers between the two layers of an MLP."""
        return self.n_hidden or 4 * self.n_embd

    @property
    def widened(self) -> int:
        """Numbers that an MLP's first layer makes: SwiGLU's has a gate for each of `hidden`."""
        return self.hidden * (2 if self.activation == "swiglu" else 1)

    @classmethod
    def preset(cls, name: str, **changes) -> "GPTConfig":
        """Return PRESETS[name], with `changes` of single fields. ValueError for another name."""
        if name not in PRESETS:
            raise ValueError(f"No GPT is called {name!r}; there are {', '.join(PRESETS)}.")
        return dataclasses.replace(PRESETS[name], **changes)


PRESETS = {
    "gpt-nano": GPTConfig(n_layer=3, n_head=3, n_embd=48),
    "gpt-micro": GPTConfig(n_layer=4, n_head=4, n_embd=128),
    "gpt-mini": GPTConfig(n_layer=6, n_head=6, n_embd=192),
    "shakespeare-char": GPTConfig(
        65, 256, n_layer=6, n_head=6, n_embd=384, dropout=0.2, bias=False
    ),
    "gpt2": GPTConfig(),  # 124 million parameters
    "gpt2-medium": GPTConfig(n_layer=24, n_head=16, n_embd=1024),  # 350 million
    "gpt2-large": GPTConfig(n_layer=36, n_head=20, n_embd=1280),  # 774 million
    "gpt2-xl": GPTConfig(n_layer=48, n_head=25, n_embd=1600),  # 1,558 million
}
