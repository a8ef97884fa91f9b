"""A deep network that reads its context slowly: neighbours are fused, two at a time, in a tree.

The idea: a hidden layer that is fed the whole context at once has to make sense of eight
characters in one step. Fuse pairs of characters first, then pairs of pairs, then pairs of those:
each layer sees twice as far as the one below. And since all windows of a name share most of their
pairs, the same network can run over a whole name at once and fuse each pair a single time: the
layers of the tree are causal convolutions with dilations 1, 2, 4, ...

The paper: van den Oord et al. (2016), "WaveNet: A Generative Model for Raw Audio",
arXiv:1609.03499, sections 2 and 2.1.

New against `batchnorm`: layers on three axes, (B, T, C); depth that follows from the context;
one network in two forms, with the same parameters.

Left out: the paper's gated units, residual and skip connections (exercise 6.6), its conditioning,
and a cache that keeps the columns of a convolution while sampling.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Integer, Shaped
from torch import Tensor

from zerotohero import IGNORED
from zerotohero.batchnorm import BatchNorm1d, Embedding, Layer, Linear, Sequential, Tanh
from zerotohero.bigram import Vocabulary, check_words
from zerotohero.configs import at_least_one, make_plain, share
from zerotohero.mlp import Plan

# --- the tree -----------------------------------------------------------------------------------


class FlattenConsecutive(Layer):
    """Put every `n` neighbouring vectors side by side: (B, T, C) → (B, T/n, C·n).

    If one vector is left, its axis of length 1 goes too: (B, C·n). Raises ValueError if `n` is
    below 1, if the input hasn't three axes, or if its T positions don't split into groups of `n`.
    """

    def __init__(self, n: int):
        if n < 1:
            raise ValueError(f"FlattenConsecutive({n}): a group needs at least 1 position.")
        self.n = n

    def forward(self, x: Shaped[Tensor, "*B_T_C"]) -> Shaped[Tensor, "*B_G"]:
        if x.ndim != 3:
            raise ValueError(
                f"{self!r} needs vectors at positions, (B, T, C), but its input has the shape "
                f"{tuple(x.shape)}."
            )
        B, T, C = x.shape
        if T == 0 or T % self.n:
            raise ValueError(
                f"{self!r} can't split {T} positions (shape {tuple(x.shape)}) into groups of "
                f"{self.n}: use a context whose length is a multiple of {self.n} here."
            )
        x = x.reshape(B, T // self.n, C * self.n)  # the numbers of a group lie side by side
        return x.squeeze(1) if x.shape[1] == 1 else x

    def __repr__(self) -> str:
        return f"FlattenConsecutive({self.n})"


class Dropout(Layer):
    """In train mode, set each number to 0 with probability `p` and divide the others by 1 − p.

    No unit can rely on another one then, which keeps a large network from learning the names by
    heart (Srivastava et al. 2014, JMLR 15, 1929-1958). The expected value stays; in eval mode
    nothing is done. The generator lives on the CPU. Raises ValueError unless 0 ≤ p < 1.
    """

    def __init__(self, p: float, generator: torch.Generator | None = None):
        if not 0 <= p < 1:
            raise ValueError(f"Dropout({p}): the probability must be at least 0 and below 1.")
        self.p, self.generator = p, generator

    def forward(self, x: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        if not self.training or self.p == 0:
            return x
        kept = torch.rand(x.shape, generator=self.generator).to(x.device) >= self.p
        return x * kept / (1 - self.p)

    def __repr__(self) -> str:
        return f"Dropout({self.p})"


@dataclass(frozen=True)
class WaveNetConfig:
    """Sizes of the network. Raises ValueError for a size that cannot work."""

    vocab_size: int = 27  # V: the letters and the boundary
    block_size: int = 8  # T: characters of context, a power of two
    n_embd: int = 24  # C: numbers that describe one character
    n_hidden: int = 128  # H: numbers that describe a group of 2, 4, 8, ... characters
    dropout: float = 0.0  # share of a group's numbers that training leaves out

    def __post_init__(self):
        make_plain(self)
        at_least_one(self, "vocab_size", "block_size", "n_embd", "n_hidden")
        if self.block_size < 2 or self.block_size & (self.block_size - 1):
            raise ValueError(
                f"block_size is {self.block_size}, which pairs of pairs can't add up to: it must "
                "be a power of two, such as 2, 4, 8 or 16."
            )
        share(self, "dropout")

    @property
    def n_layer(self) -> int:
        """How often pairs are fused until one vector is left: log2(block_size)."""
        return self.block_size.bit_length() - 1


class WaveNet(Sequential):
    """The tree: an embedding, then one fusion after another, then the logits.

    A fusion is FlattenConsecutive(2), Linear, BatchNorm1d, Tanh, and Dropout if there is any.
    The generator draws the parameters, and later what dropout leaves out. (B, T) tokens → (B, V)
    logits of the next character. Raises ValueError if the contexts are not `block_size` long.
    """

    def __init__(self, config: WaveNetConfig, generator: torch.Generator | None = None):
        self.config = config
        C, H = config.n_embd, config.n_hidden
        layers = [Embedding(config.vocab_size, C, generator)]
        for fan_in in [2 * C] + [2 * H] * (config.n_layer - 1):
            # No bias: BatchNorm would take it away with the mean, and has its own, beta.
            linear = Linear(fan_in, H, bias=False, generator=generator)
            layers += [FlattenConsecutive(2), linear, BatchNorm1d(H), Tanh()]
            if config.dropout:
                layers.append(Dropout(config.dropout, generator))
        # A small gain, so that the first loss is near ln V.
        layers.append(Linear(H, config.vocab_size, gain=0.1, generator=generator))
        super().__init__(*layers)

    def forward(self, xb: Integer[Tensor, "*B_T"]) -> Float[Tensor, "B V"]:
        if xb.ndim != 2 or xb.shape[1] != self.config.block_size:
            raise ValueError(
                f"The contexts have the shape {tuple(xb.shape)}, but the network was made for "
                f"(B, {self.config.block_size}): build the data set with the same block_size."
            )
        return super().forward(xb)


# --- the same network as convolutions -------------------------------------------------------------


class CausalConv(Layer):
    """A convolution over the present and the position `dilation` back: (B, T, C) → (B, T, H).

    It is the tree's Linear, not a copy: row t of the output is linear([x[t − dilation], x[t]]),
    so that no output depends on the future. Before the first position the input is taken to have
    been what it is there: a name starts on the boundary, and before it come boundaries only.
    (Zeros, the usual padding, would be a vector that the tree never sees.)

    Raises ValueError for a dilation below 1, a Linear that can't take a pair, or an input that
    isn't (B, T, C) with at least one position.
    """

    def __init__(self, linear: Linear, dilation: int):
        if dilation < 1:
            raise ValueError(f"dilation is {dilation}; it must be at least 1.")
        if linear.weight.shape[0] % 2:
            raise ValueError(f"{linear!r} can't take a pair: its fan_in must be even.")
        self.linear, self.dilation = linear, dilation

    def forward(self, x: Float[Tensor, "*B_T_C"]) -> Float[Tensor, "*B_T_H"]:
        if x.ndim != 3 or x.shape[1] == 0:
            raise ValueError(
                f"{self!r} needs vectors at positions, (B, T, C), but its input has the shape "
                f"{tuple(x.shape)}."
            )
        T = x.shape[1]
        before = x[:, :1].expand(-1, min(self.dilation, T), -1)
        past = torch.cat([before, x[:, : -self.dilation]], 1)  # past[t] = x[t − dilation]
        return self.linear(torch.cat([past, x], 2))

    def children(self) -> list[Layer]:
        return [self.linear]

    def __repr__(self) -> str:
        fan_in, fan_out = self.linear.weight.shape
        return f"CausalConv({fan_in // 2}, {fan_out}, dilation={self.dilation})"


def as_convolutions(tree: Iterable[Layer]) -> Sequential:
    """Return the same network for whole names: (B, T) tokens → (B, T, V) logits, for any T.

    Each FlattenConsecutive(2) with its Linear becomes a CausalConv with twice the dilation of the
    one before; all other layers are used as they are. Nothing is copied: parameters, running
    statistics and modes belong to both forms. A row of tokens has to start on the boundary; then
    the logits at position t are the tree's for the window that ends at t. This holds in eval
    mode. In train mode BatchNorm normalises by the numbers it is given, and those differ: a tree
    sees a pair once for each window it lies in (the boundaries before a name most often), the
    convolutions see it once.

    Raises ValueError if a group isn't a pair, or isn't followed by a Linear.
    """
    layers, rest, dilation = [], iter(tree), 1
    for layer in rest:
        if isinstance(layer, FlattenConsecutive):
            linear = next(rest, None)
            if layer.n != 2 or not isinstance(linear, Linear):
                raise ValueError(
                    f"{layer!r} is followed by {linear!r}: only FlattenConsecutive(2) with a "
                    "Linear after it is a convolution over two positions."
                )
            layer, dilation = CausalConv(linear, dilation), 2 * dilation
        layers.append(layer)
    return Sequential(*layers)


def build_names(
    words: Sequence[str], vocabulary: Vocabulary
) -> tuple[Int[Tensor, "N T"], Int[Tensor, "N T"]]:
    """Return whole names, one a row, and the character that follows each position.

    A row is the boundary and the name; its targets are the name and the boundary. T is that of
    the longest name. Behind shorter ones stand boundaries, and as targets `IGNORED`.

    Raises ValueError if there are no words or a character is not in the vocabulary; TypeError for
    words that aren't strings.
    """
    check_words(words)
    T = max(len(word) for word in words) + 1
    X = torch.zeros(len(words), T, dtype=torch.long)
    Y = torch.full((len(words), T), IGNORED)
    for i, word in enumerate(words):
        tokens = torch.tensor(vocabulary.encode(word))
        X[i, 1 : len(word) + 1] = tokens
        Y[i, : len(word)] = tokens
        Y[i, len(word)] = 0
    return X, Y


class Operations(NamedTuple):
    """Multiplications, each with its addition, that the two forms need."""

    windows: int  # one pass of the tree for each position
    convolutions: int  # one pass of the convolutions over all positions


def multiply_adds(config: WaveNetConfig, positions: int) -> Operations:
    """Count the multiply-adds of all matrix products for one name with so many predictions.

    A tree of k layers holds 2**k − 1 fusions, and does all of them for each position. The
    convolutions do k for each position, one a layer. Raises ValueError for less than 1 position.
    """
    if positions < 1:
        raise ValueError(f"positions is {positions}; a name has at least 1.")
    C, H, k = config.n_embd, config.n_hidden, config.n_layer
    costs = [2 * C * H] + [2 * H * H] * (k - 1)  # of one fusion in each layer, the lowest first
    logits = H * config.vocab_size
    tree = sum(cost * 2 ** (k - 1 - layer) for layer, cost in enumerate(costs))
    return Operations(positions * (tree + logits), positions * (sum(costs) + logits))


# --- training and writing -------------------------------------------------------------------------

# For mlp.train on the contexts of mlp.build_dataset: QUICK for WaveNetConfig(), FULL for LARGE,
# which without dropout would know the training names by heart and the others worse.
LARGE = WaveNetConfig(n_hidden=200, dropout=0.1)
QUICK = Plan(1_000, batch_size=512, lr=0.01, weight_decay=0.05)
FULL = Plan(16_000, batch_size=512, lr=0.01, weight_decay=0.05)


@torch.no_grad()
def sample(
    model: WaveNet, vocabulary: Vocabulary, generator: torch.Generator, n: int, max_length: int = 50
) -> list[str]:
    """Return `n` names, all drawn at once: a step adds a character to each that hasn't ended.

    The model writes in eval mode, in which no name depends on the others, and is left in the mode
    that it was in. The generator lives on the CPU. Raises ValueError for less than 1 name.
    """
    if n < 1:
        raise ValueError(f"n is {n}; ask for at least 1 name.")
    layers, device = [model], model.parameters()[0].device
    for layer in layers:
        layers += layer.children()
    modes = [layer.training for layer in layers]
    context = torch.zeros(n, model.config.block_size, dtype=torch.long, device=device)
    columns = []
    model.eval()
    for _ in range(max_length):
        probs = F.softmax(model(context), 1).cpu()
        token = torch.multinomial(probs, 1, generator=generator)  # (n, 1)
        columns.append(token)
        context = torch.cat([context[:, 1:], token.to(device)], 1)
        if (torch.cat(columns, 1) == 0).any(1).all():
            break
    for layer, training in zip(layers, modes, strict=True):
        layer.training = training
    rows = torch.cat([*columns, torch.zeros(n, 1, dtype=torch.long)], 1).tolist()
    return [vocabulary.decode(row[: row.index(0)]) for row in rows]
