"""A GPT: a Transformer decoder that predicts the next token at every position of its context.

The idea: each position asks a question (its query), every earlier position offers a label (its
key) and a content (its value), and attention hands each position a mixture of the contents whose
labels answer its question. A block is that, and then a small network that thinks about what was
gathered; both add to what was there instead of replacing it, so many blocks can be stacked and
still be trained.

The papers: Vaswani et al. (2017), "Attention Is All You Need"; Radford et al. (2019), "Language
Models are Unsupervised Multitask Learners" (GPT-2), whose sizes, initialisation and weight names
these are. What came later is the same model, switched on field by field in the configuration
(`gpt_config.py`).

New against `wavenet`: which earlier positions are read is decided by the text, not by the wiring;
every position of a context is trained at once. Left out: training (`training/`), sampling
(`generation.py`), Hugging Face's files (`huggingface.py`), encoders, tokenizers (lecture 09).
"""

import dataclasses
import math
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor, nn

from zerotohero import costs, generation, huggingface
from zerotohero.bigram import as_tokens, check_tokens
from zerotohero.generation import KVCache
from zerotohero.gpt_config import GPTConfig
from zerotohero.rotary import rotary_angles, rotate
from zerotohero.tied import TiedHead


def norm(config: GPTConfig) -> nn.Module:
    """Return the normalisation that the configuration asks for.

    RMSNorm divides by the root of the mean square (Zhang & Sennrich 2019), and may learn a gain;
    LayerNorm subtracts the mean first, and learns a gain and a bias.
    """
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.n_embd, config.norm_eps, elementwise_affine=config.norm_gain)
    return nn.LayerNorm(config.n_embd, config.norm_eps or 1e-5, bias=config.bias)


def future(T: int, T_all: int, like: Tensor) -> Float[Tensor, "T T_all"]:
    """Return what is added to the scores of the last T of T_all positions: −∞ at later ones."""
    return like.new_full((T, T_all), -torch.inf).triu(1 + T_all - T)


def plain_attention(
    q: Float[Tensor, "B H T S"],
    k: Float[Tensor, "B H_kv T_all S"],
    v: Float[Tensor, "B H_kv T_all S"],
    dropout: float = 0.0,
) -> tuple[Float[Tensor, "B H T S"], Float[Tensor, "B H T T_all"]]:
    """Return softmax(q kᵀ / √S) v, with the future masked, and the weights of that mixture.

    The queries are those of the last T positions of T_all; each head of keys and values serves
    H / H_kv neighbouring heads of queries. This is the formula, for reading and for looking at
    the weights; `attention` gives the same y, faster.
    """
    if k.shape[1] < q.shape[1]:
        k, v = (part.repeat_interleave(q.shape[1] // k.shape[1], 1) for part in (k, v))
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)  # (B, H, T, T_all)
    weights = F.softmax(scores + future(*scores.shape[-2:], scores), dim=-1)
    return F.dropout(weights, dropout) @ v, weights


def attention(
    q: Float[Tensor, "B H T S"],
    k: Float[Tensor, "B H_kv T_all S"],
    v: Float[Tensor, "B H_kv T_all S"],
    dropout: float = 0.0,
) -> Float[Tensor, "B H T S"]:
    """Return plain_attention's y by torch's kernels."""
    (B, H, T, S), (H_kv, T_all) = q.shape, k.shape[1:3]
    attend = partial(F.scaled_dot_product_attention, dropout_p=dropout)
    if T == 1:  # nothing to mask; so heads that share keys are as many queries of one head
        return attend(q.reshape(B, H_kv, -1, S), k, v).reshape(q.shape)
    if T_all == T:
        return attend(q, k, v, is_causal=True, enable_gqa=H_kv != H)
    # is_causal would take the queries for the first T positions, not the last.
    return attend(q, k, v, future(T, T_all, q), enable_gqa=H_kv != H)


class CausalSelfAttention(nn.Module):
    """All heads of attention in one product: the heads are a batch dimension."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.c_attn = nn.Linear(config.n_embd, sum(config.qkv_sizes), bias=config.bias)
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
        H, H_kv, S = self.config.n_head, self.config.kv_heads, self.config.head_size
        heads = self.c_attn(x).view(B, T, -1, S).transpose(1, 2)  # (B, H + 2 H_kv, T, S)
        qk, v = heads.split([H + H_kv, H_kv], dim=1)
        if self.config.qk_norm:
            qk = F.rms_norm(qk, (S,)).type_as(v)
        if angles is not None:
            qk = rotate(qk, angles)
        q, k = qk.split([H, H_kv], dim=1)
        if cache is not None:
            k, v = cache.append(layer, k, v)  # (B, H, T_all, S)

        dropout = self.config.dropout if self.training else 0.0
        # On a CPU in bfloat16 torch's kernel is slower than the formula: benchmarks/attention.py.
        if self.plain or (q.dtype == torch.bfloat16 and not q.is_cuda):
            y, weights = plain_attention(q, k, v, dropout)
            self.weights = weights if self.plain else None
        else:
            y = attention(q, k, v, dropout)
        y = y.transpose(1, 2).reshape(B, T, C)  # the heads side by side again
        return self.resid_dropout(self.c_proj(y))


class MLP(nn.Module):
    """What each position makes of what it has gathered: out to more numbers, a bend, and back."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.activation = config.activation
        # SwiGLU's two products are one, as those of attention are: the gate's rows come first.
        self.c_fc = nn.Linear(config.n_embd, config.widened, bias=config.bias)
        self.c_proj = nn.Linear(config.hidden, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        x = self.c_fc(x)  # (B, T, hidden), or twice that
        if self.activation == "swiglu":
            gate, x = x.chunk(2, dim=-1)
            x = F.silu(gate) * x
        elif self.activation == "relu2":
            x = F.relu(x).square()
        else:
            x = F.gelu(x, approximate="tanh")
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
        self, idx: Integer[Tensor, "B T"], cache: KVCache | None = None, last: bool = False
    ) -> Float[Tensor, "B T_out V"]:
        """Return the logits of the token that follows each position, or, for `last`, the last one.

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
            size, theta = self.config.head_size, self.config.rope_theta
            angles = rotary_angles(stop, size, theta, idx.device)[start:]
        x = self.transformer.drop(x)
        for layer, block in enumerate(self.transformer.h):
            x = block(x, angles, cache, layer)
        x = x[:, -1:] if last else x  # most of a small model's work can be the output layer's
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
