"""A GPT: a Transformer decoder that predicts the next token at every position of its context.

The idea: each position asks a question (its query), every earlier position offers a label (its
key) and a content (its value), and attention hands each position a mixture of the contents whose
labels answer its question. A block is that, and then a small network that thinks about what was
gathered; both add to what was there instead of replacing it, so many blocks can be stacked and
still be trained.

The papers: Vaswani et al. (2017), "Attention Is All You Need"; Radford et al. (2019), "Language
Models are Unsupervised Multitask Learners" (GPT-2), whose sizes, initialisation and weight names
these are. What came later is the same model, switched on field by field in the configuration.

New against `wavenet`: which earlier positions are read is decided by the text, not by the wiring;
every position of a context is trained at once. Left out: training (`training/`), sampling
(`generation.py`), Hugging Face's files (`huggingface.py`), encoders, tokenizers (lecture 09).
"""

import dataclasses
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor, nn

from zerotohero import costs, generation, huggingface
from zerotohero.bigram import as_tokens, check_tokens
from zerotohero.configs import at_least_one, make_plain, one_of, share
from zerotohero.generation import KVCache
from zerotohero.rotary import rotary_angles, rotate
from zerotohero.tied import TiedHead

CHOICES = {
    "norm": ("layernorm", "rmsnorm"),
    "position": ("learned", "rotary", "none"),
    "activation": ("gelu", "relu2"),
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
    norm: str = "layernorm"  # or "rmsnorm": no mean is subtracted, nothing is learned
    position: str = "learned"  # a table; or "rotary": queries and keys are turned; or "none"
    activation: str = "gelu"  # GPT-2's approximation by tanh; or "relu2": the square of a ReLU
    qk_norm: bool = False  # whether queries and keys are brought to one length
    zero_init: bool = False  # whether what adds to the residual path starts as zero
    tied: bool = True  # whether the output layer's weights are the token embeddings

    def __post_init__(self):
        make_plain(self)
        at_least_one(self, "vocab_size", "block_size", "n_layer", "n_head", "n_embd")
        if self.n_embd % self.n_head:
            raise ValueError(
                f"n_embd is {self.n_embd} and n_head is {self.n_head}: the channels are shared "
                "out evenly among the heads, so make n_embd a multiple of n_head."
            )
        share(self, "dropout")
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


def norm(config: GPTConfig) -> nn.Module:
    """Return the normalisation that the configuration asks for.

    RMSNorm divides by the root of the mean square (Zhang & Sennrich 2019); LayerNorm subtracts
    the mean first, and learns a gain and a bias.
    """
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.n_embd, elementwise_affine=False)
    return nn.LayerNorm(config.n_embd, bias=config.bias)


def future(T: int, T_all: int, like: Tensor) -> Float[Tensor, "T T_all"]:
    """Return what is added to the scores of the last T of T_all positions: −∞ at later ones."""
    return like.new_full((T, T_all), -torch.inf).triu(1 + T_all - T)


def plain_attention(
    q: Float[Tensor, "B H T S"],
    k: Float[Tensor, "B H T_all S"],
    v: Float[Tensor, "B H T_all S"],
    dropout: float = 0.0,
) -> tuple[Float[Tensor, "B H T S"], Float[Tensor, "B H T T_all"]]:
    """Return softmax(q kᵀ / √S) v, with the future masked, and the weights of that mixture.

    The queries are those of the last T positions of T_all. This is the formula, for reading and
    for looking at the weights; `F.scaled_dot_product_attention` gives the same y, faster.
    """
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)  # (B, H, T, T_all)
    weights = F.softmax(scores + future(*scores.shape[-2:], scores), dim=-1)
    return F.dropout(weights, dropout) @ v, weights


class CausalSelfAttention(nn.Module):
    """All heads of attention in one product: the heads are a batch dimension."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)
        self.plain = False  # True: by plain_attention, and its weights are kept
        self.weights: Tensor | None = None  # (B, H, T, T_all) of the last plain pass

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        angles: Float[Tensor, "T D"] | None = None,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Float[Tensor, "B T C"]:
        """Mix the values of the positions so far.

        `angles` are those of the T positions where rotary positions are used. With a cache, the
        keys and values of the positions before these T come from there, as layer number `layer`.
        """
        B, T, C = x.shape
        heads = (B, T, self.config.n_head, self.config.head_size)
        q, k, v = self.c_attn(x).split(C, dim=-1)  # (B, T, C) each
        q, k, v = (part.view(heads).transpose(1, 2) for part in (q, k, v))  # (B, H, T, S)
        if self.config.qk_norm:
            q, k = (F.rms_norm(part, part.shape[-1:]).type_as(v) for part in (q, k))
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        if cache is not None:
            k, v = cache.append(layer, k, v)  # (B, H, T_all, S)

        dropout = self.config.dropout if self.training else 0.0
        # On a CPU in bfloat16 torch's kernel is slower than the formula: benchmarks/attention.py.
        if self.plain or (q.dtype == torch.bfloat16 and not q.is_cuda):
            y, weights = plain_attention(q, k, v, dropout)
            self.weights = weights if self.plain else None
        elif k.shape[2] == T:
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        else:  # is_causal would take the queries for the first T positions, not the last
            y = F.scaled_dot_product_attention(q, k, v, future(T, k.shape[2], q), dropout)
        y = y.transpose(1, 2).reshape(B, T, C)  # the heads side by side again
        return self.resid_dropout(self.c_proj(y))


class MLP(nn.Module):
    """What each position makes of what it has gathered: out to 4C numbers, a bend, and back."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.activation = config.activation
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        x = self.c_fc(x)  # (B, T, 4C)
        # ReLU²: So et al. (2021), "Primer: Searching for Efficient Transformers".
        x = F.relu(x).square() if self.activation == "relu2" else F.gelu(x, approximate="tanh")
        return self.dropout(self.c_proj(x))


class Block(nn.Module):
    """Gather, then think; each adds to the residual path, and reads a normalised copy of it."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.ln_1 = norm(config)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = norm(config)
        self.mlp = MLP(config)

    def forward(self, x: Float[Tensor, "B T C"], *where) -> Float[Tensor, "B T C"]:
        """Return the new x; `where` is what attention needs besides x: angles, cache and layer."""
        x = x + self.attn(self.ln_1(x), *where)
        return x + self.mlp(self.ln_2(x))


class GPT(TiedHead):
    """Token and position embeddings, `n_layer` blocks, a last normalisation, and the logits."""

    Config = GPTConfig  # what from_pretrained makes of a config.json

    def __init__(self, config: GPTConfig, generator: torch.Generator | None = None):
        """Make a GPT with random weights; `generator` lives on the CPU."""
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):  # torch's layers draw numbers we don't keep
            parts = {"wte": nn.Embedding(config.vocab_size, config.n_embd)}
            if config.position == "learned":
                parts["wpe"] = nn.Embedding(config.block_size, config.n_embd)
            parts["drop"] = nn.Dropout(config.dropout)
            parts["h"] = nn.ModuleList(Block(config) for _ in range(config.n_layer))
            parts["ln_f"] = norm(config)
            self.transformer = nn.ModuleDict(parts)
            self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.initialise(generator)
        if config.tied:
            self.tie()

    @torch.no_grad()
    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights as GPT-2 does: normal with deviation 0.02, biases zero.

        Each block adds twice to the residual path; what adds is divided by √(2 · n_layer), which
        keeps the path's variance, or is zero if `zero_init`, as is an output layer of its own.
        """
        zero = self.config.zero_init
        for name, parameter in self.named_parameters():
            adds = name.endswith("c_proj.weight")
            if "ln_" in name and name.endswith("weight"):
                parameter.fill_(1.0)
            elif name.endswith("bias") or (zero and (adds or name == "lm_head.weight")):
                parameter.zero_()
            else:
                deviation = 0.02 / math.sqrt(2 * self.config.n_layer) if adds else 0.02
                parameter.normal_(0.0, deviation, generator=generator)

    def forward(
        self, idx: Integer[Tensor, "B T"], cache: KVCache | None = None
    ) -> Float[Tensor, "B T V"]:
        """Return the logits of the token that follows each position.

        With a cache, `idx` are the T tokens that follow those that the cache holds.

        Raises ValueError if the context would be longer than `block_size`, or for a token beyond
        the vocabulary (on a GPU that is an assertion of its own); TypeError for no whole numbers.
        """
        start = cache.length if cache is not None else 0
        stop = start + idx.shape[1]
        if stop > self.config.block_size:
            raise ValueError(
                f"The context has {stop} tokens, but block_size is {self.config.block_size}: "
                "pass the last block_size tokens, or make a GPT with a larger one."
            )
        idx = as_tokens(idx)
        try:
            x = self.transformer.wte(idx)  # (B, T, C)
        except IndexError:
            check_tokens(idx, self.config.vocab_size)
            raise
        angles = None
        if self.config.position == "learned":
            x = x + self.transformer.wpe.weight[start:stop]  # (T, C) for every row
        elif self.config.position == "rotary":
            angles = rotary_angles(stop, self.config.head_size, idx.device)[start:]
        x = self.transformer.drop(x)
        for layer, block in enumerate(self.transformer.h):
            x = block(x, angles, cache, layer)
        return self.lm_head(self.transformer.ln_f(x))

    # These have modules of their own; as methods they read better.
    generate = generation.generate
    stream = generation.stream
    save_pretrained = huggingface.save_pretrained
    from_pretrained = classmethod(huggingface.from_pretrained)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.transformer.wte.weight.device

    def num_params(self, non_embedding: bool = True) -> int:
        """Return how many parameters there are, tied ones counted once.

        `non_embedding` leaves out the table of positions, which takes no part in a product.
        """
        n = sum(parameter.numel() for parameter in self.parameters())
        if non_embedding and self.config.position == "learned":
            n -= self.transformer.wpe.weight.numel()
        return n

    def flops_per_token(self) -> int:
        """Return the floating-point operations that training spends on one token.

        That is 6 a parameter, and attention's: `costs.flops_per_token` says why.
        """
        return costs.flops_per_token(self.config).total

    def crop_block_size(self, block_size: int) -> None:
        """Shorten the longest context, in place. ValueError below 1 or beyond what it was."""
        if not 1 <= block_size <= self.config.block_size:
            raise ValueError(
                f"block_size can be cropped to 1 … {self.config.block_size}, not {block_size}."
            )
        self.config = dataclasses.replace(self.config, block_size=block_size)
        for block in self.transformer.h:
            block.attn.config = self.config
        if self.config.position == "learned":
            wpe = self.transformer.wpe
            wpe.weight = nn.Parameter(wpe.weight[:block_size].detach().clone())
            wpe.num_embeddings = block_size

    @torch.no_grad()
    def attention_maps(self, idx: Integer[Tensor, "B T"]) -> list[Float[Tensor, "B H T T"]]:
        """Return, for each layer, how much each position reads of each position, head by head.

        Dropout is off; rows add up to 1, and what lies in the future is 0.
        """
        attentions = [block.attn for block in self.transformer.h]
        for attention in attentions:
            attention.plain = True
        with generation.modes_kept(self):
            self.eval()(idx)
        maps = [attention.weights for attention in attentions]
        for attention in attentions:
            attention.plain, attention.weights = False, None
        return maps
