"""Layers in the manner of torch.nn, BatchNorm, and networks that can be stacked to any depth.

The idea: a deep network learns only while the numbers inside it keep their size, forwards and
backwards. Start every layer so that its output is as large as its input (Kaiming), or measure the
outputs of each batch and bring them to mean 0 and variance 1 while training (BatchNorm); and look
inside while it learns instead of only at the loss.

The papers: He et al. (2015), "Delving Deep into Rectifiers", arXiv:1502.01852, for the
initialisation; Ioffe & Szegedy (2015), "Batch Normalization", arXiv:1502.03167.

New against `mlp`: layers that can be stacked to any depth by `Sequential`, an initialisation that
keeps variances, train and eval mode. The instruments that look inside are in `diagnostics`.

Left out: the backward passes by hand (lecture 05); LayerNorm and RMSNorm (exercise 4.6, and
lecture 07 with residual connections).
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from zerotohero.configs import at_least_one, make_plain, not_negative
from zerotohero.mlp import Plan, lookup

# --- layers -------------------------------------------------------------------------------------


class Layer:
    """What all layers have in common: a call, parameters, and a mode (`training`).

    A layer with layers inside it lists them in `children()`; the modes and the parameters of a
    whole network follow from that.
    """

    training = True

    def __call__(self, x: Tensor) -> Tensor:
        return self.forward(x)

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no forward(x) yet.")

    def children(self) -> list["Layer"]:
        return []

    def parameters(self) -> list[Tensor]:
        """Return the tensors that training moves, in the order in which the input meets them."""
        return [p for child in self.children() for p in child.parameters()]

    def train(self, mode: bool = True) -> "Layer":
        """Set train mode (False: eval mode) here and in all layers inside; return the layer."""
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> "Layer":
        return self.train(False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _needs_floats(layer: Layer, x: Tensor) -> None:
    if not x.is_floating_point():
        raise TypeError(
            f"{layer!r} got whole numbers ({x.dtype}, shape {tuple(x.shape)}): put an Embedding "
            "before it to turn tokens into vectors, or convert measurements with x.float()."
        )


def _needs_width(layer: Layer, x: Tensor, width: int) -> None:
    if x.ndim == 0 or x.shape[-1] != width:
        raise ValueError(
            f"{layer!r} needs {width} numbers along the last axis, but its input has the shape "
            f"{tuple(x.shape)}."
        )


class Linear(Layer):
    """x · weight + bias: (…, fan_in) → (…, fan_out).

    The weights start normal with standard deviation gain / √fan_in, so that inputs of variance 1
    give outputs of variance gain²; the biases start at 0. `weight` has the shape
    (fan_in, fan_out), which is torch.nn.Linear's transposed. Raises ValueError for sizes below 1
    or another width, TypeError for whole numbers.
    """

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        bias: bool = True,
        gain: float = 1.0,
        generator: torch.Generator | None = None,
    ):
        if fan_in < 1 or fan_out < 1:
            raise ValueError(f"Linear({fan_in}, {fan_out}): both sizes must be at least 1.")
        weight = torch.randn(fan_in, fan_out, generator=generator) * (gain / math.sqrt(fan_in))
        self.weight = weight.requires_grad_()
        self.bias = torch.zeros(fan_out, requires_grad=True) if bias else None

    def forward(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        _needs_floats(self, x)
        _needs_width(self, x, self.weight.shape[0])
        x = x @ self.weight
        return x if self.bias is None else x + self.bias

    def parameters(self) -> list[Tensor]:
        return [self.weight] if self.bias is None else [self.weight, self.bias]

    def __repr__(self) -> str:
        fan_in, fan_out = self.weight.shape
        return f"Linear({fan_in}, {fan_out})"


class BatchNorm1d(Layer):
    """Bring every channel to mean 0 and variance 1 over the batch, then scale and shift it.

    Input (B, C) or (B, T, C): each of the C channels has its mean and variance over all other
    axes. (torch.nn.BatchNorm1d has its channels on axis 1 of three: (B, C, T).)

    In train mode the batch's own statistics are used, and the running ones move towards them by
    `momentum`; in eval mode the running ones are used, so that an example's output depends on it
    alone. The batch is normalised by its biased variance (÷ n); the running variance, an estimate
    for data not seen, collects the unbiased one (÷ (n − 1)), as in torch. `eps` keeps the root
    away from 0 for a channel that is constant.

    Raises ValueError for a batch of one value a channel in train mode or for another shape,
    TypeError for whole numbers.
    """

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1):
        if channels < 1:
            raise ValueError(f"BatchNorm1d({channels}): at least 1 channel is needed.")
        self.eps, self.momentum = eps, momentum
        self.gamma = torch.ones(channels, requires_grad=True)
        self.beta = torch.zeros(channels, requires_grad=True)
        self.running_mean = torch.zeros(channels)
        self.running_var = torch.ones(channels)

    def forward(self, x: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        _needs_floats(self, x)
        _needs_width(self, x, len(self.gamma))
        if self.training:
            axes = tuple(range(x.ndim - 1))  # all but the channels
            n = x.numel() // x.shape[-1]
            if n < 2:
                raise ValueError(
                    f"{self!r} got a batch of {n} in train mode (shape {tuple(x.shape)}), and "
                    "the variance of a single value is 0: call model.eval() to use the model, or "
                    "train with at least 2 examples in a batch."
                )
            mean = x.mean(axes)
            var = (x - mean).square().mean(axes)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * (n / (n - 1)), self.momentum)
        else:
            mean, var = self.running_mean, self.running_var
        # One multiplication and one addition for each number: mean and beta go into the shift.
        scale = self.gamma * (var + self.eps).rsqrt()
        return x * scale + (self.beta - mean * scale)

    def parameters(self) -> list[Tensor]:
        return [self.gamma, self.beta]

    def __repr__(self) -> str:
        return f"BatchNorm1d({len(self.gamma)})"


class Tanh(Layer):
    """tanh, number by number, any shape. Raises TypeError for whole numbers."""

    def forward(self, x: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        _needs_floats(self, x)
        return torch.tanh(x)


class Embedding(Layer):
    """A row of the table for each token: (…) whole numbers → (…, C).

    Raises TypeError for inputs that aren't whole numbers, ValueError for tokens outside the table
    (on the CPU; a GPU reports an assertion of its own).
    """

    def __init__(self, vocab_size: int, n_embd: int, generator: torch.Generator | None = None):
        if vocab_size < 1 or n_embd < 1:
            raise ValueError(f"Embedding({vocab_size}, {n_embd}): both must be at least 1.")
        self.wte = torch.randn(vocab_size, n_embd, generator=generator).requires_grad_()

    def forward(self, x: Integer[Tensor, "*B"]) -> Float[Tensor, "*B C"]:
        if x.is_floating_point() or x.dtype == torch.bool:
            raise TypeError(f"{self!r} needs tokens (whole numbers), but got {x.dtype}.")
        x = x.long()
        try:
            return lookup(self.wte, x)
        except IndexError:
            raise ValueError(
                f"{self!r} has rows 0 to {len(self.wte) - 1}, but the tokens go from "
                f"{x.min().item()} to {x.max().item()}."
            ) from None

    def parameters(self) -> list[Tensor]:
        return [self.wte]

    def __repr__(self) -> str:
        V, C = self.wte.shape
        return f"Embedding({V}, {C})"


class Flatten(Layer):
    """Put the vectors of a context side by side: (B, T, C) → (B, T·C)."""

    def forward(self, x: Float[Tensor, "B *S"]) -> Float[Tensor, "B F"]:
        return x.flatten(1)


def check_numbers(outputs: Sequence[Tensor], layers: Sequence) -> None:
    """Raise FloatingPointError if the last output holds NaN, and say where the first one was.

    outputs[i] went into layers[i], and outputs[i + 1] came out.
    """
    if outputs[-1].isnan().any():
        first = next(i for i, out in enumerate(outputs) if out.isnan().any())
        where = f"first came out of layer {first - 1}, {layers[first - 1]!r}"
        raise FloatingPointError(
            f"NaN (not a number) {where if first else 'came in with the input'}: look for a "
            "learning rate that is too high, a division by 0, or a bad value in the data."
        )


class Sequential(Layer):
    """Layers one after another; iterating and indexing give the layers.

    Raises FloatingPointError if the output isn't a number, and says which layer was the first.
    """

    def __init__(self, *layers: Layer):
        self.layers = list(layers)

    def forward(self, x: Tensor) -> Tensor:
        outputs = [x]
        for layer in self.layers:
            outputs.append(layer(outputs[-1]))
        check_numbers(outputs, self.layers)
        return outputs[-1]

    def children(self) -> list[Layer]:
        return self.layers

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, i: int) -> Layer:
        return self.layers[i]

    def __repr__(self) -> str:
        return "Sequential(" + ", ".join(map(repr, self.layers)) + ")"


# --- networks and recipes -----------------------------------------------------------------------


@dataclass(frozen=True)
class NetworkConfig:
    """A network of tanh layers. Raises ValueError for a size below 1 or a negative gain."""

    vocab_size: int = 27  # V
    block_size: int = 3  # T: characters of context
    n_embd: int = 10  # C: numbers that describe one character
    n_hidden: int = 200  # H: units of each hidden layer
    n_layer: int = 1  # hidden layers; with 5 and the output layer the network has six Linear
    gain: float = 5 / 3  # of the hidden weights: their standard deviation times √fan_in
    output_gain: float = 0.1  # of the output weights: small, so that the loss starts at ln V
    batchnorm: bool = True  # a BatchNorm1d before each tanh

    def __post_init__(self):
        make_plain(self)
        at_least_one(self, "vocab_size", "block_size", "n_embd", "n_hidden", "n_layer")
        not_negative(self, "gain", "output_gain")


def network(config: NetworkConfig, generator: torch.Generator | None = None) -> Sequential:
    """Return a network (B, T) → (B, V): Embedding, Flatten, hidden layers, Linear.

    A hidden layer is Linear, BatchNorm1d (unless it is switched off) and Tanh.
    """
    c, g = config, generator
    layers: list[Layer] = [Embedding(c.vocab_size, c.n_embd, g), Flatten()]
    widths = [c.block_size * c.n_embd, *[c.n_hidden] * c.n_layer]
    for fan_in, fan_out in itertools.pairwise(widths):
        # Before BatchNorm a bias does nothing: it is subtracted again with the mean.
        layers.append(Linear(fan_in, fan_out, not c.batchnorm, c.gain, g))
        layers += [BatchNorm1d(fan_out), Tanh()] if c.batchnorm else [Tanh()]
    return Sequential(*layers, Linear(widths[-1], c.vocab_size, gain=c.output_gain, generator=g))


# For NetworkConfig(). BatchNorm adds noise from the batch mates; large batches keep it low.
QUICK = Plan(4_000, batch_size=512, lr=0.005)
FULL = Plan(40_000, batch_size=512, lr=0.005)
