"""Instruments for looking inside a network while it learns; ours and torch.nn's alike.

The idea: a loss says that something is wrong, not what. So record, for one batch, what came out of
every layer and the gradient that came back to it: are they of similar size from the first layer to
the last, does tanh saturate, are there units that no example can move? And while training: how far
does each weight move in an update, next to its own size?

The papers: Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward
neural networks", AISTATS, whose figures are these plots; Ioffe & Szegedy (2015),
arXiv:1502.03167, for what BatchNorm changes in them.

New against `batchnorm`, whose lecture they belong to: nothing in the network. Left out: layers
that aren't in a row (a network with branches needs torch's forward hooks).
"""

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from zerotohero.batchnorm import Sequential, check_numbers

# Where an activation is flat, so that (next to) no gradient gets through, by the class's name.
FLAT: dict[str, Callable[[Tensor], Tensor]] = {
    "Tanh": lambda out: out.abs() > 0.97,
    "Sigmoid": lambda out: (out - 0.5).abs() > 0.485,  # σ(2x) = (1 + tanh x) / 2
    "ReLU": lambda out: out == 0,
}


@dataclass(frozen=True)
class LayerReading:
    """What came out of a layer for one batch, and this output's gradient."""

    name: str  # "4 Tanh": the index in the network, and the class
    out: Float[Tensor, "B *S"]
    grad: Float[Tensor, "B *S"]
    flat: Bool[Tensor, "B *S"] | None  # where the activation is saturated; None: no activation

    @property
    def saturated(self) -> float:
        """The share of outputs on a flat part: for tanh those beyond ±0.97. 0 elsewhere."""
        return 0.0 if self.flat is None else self.flat.float().mean().item()

    @property
    def dead(self) -> list[int]:
        """The units (of the last axis) that are flat for every example, and so can't learn."""
        if self.flat is None:
            return []
        return self.flat.flatten(0, -2).all(0).nonzero().flatten().tolist()


@dataclass(frozen=True)
class WeightReading:
    """A parameter and its gradient, for one batch."""

    name: str  # "3.weight": the index of the layer, and the attribute
    data: Tensor
    grad: Tensor

    @property
    def ratio(self) -> float:
        """std(gradient) / std(data), the gradient:data ratio; infinite for data all alike."""
        data = self.data.std(correction=0).item()
        return self.grad.std(correction=0).item() / data if data else math.inf


@dataclass(frozen=True)
class Diagnosis:
    loss: float
    layers: list[LayerReading]
    weights: list[WeightReading]  # parameters with two axes or more, as in `UpdateRecorder`


def _named_parameters(layer) -> dict[str, Tensor]:
    if isinstance(layer, torch.nn.Module):
        return dict(layer.named_parameters())
    held = {k: v for k, v in vars(layer).items() if isinstance(v, Tensor) and v.requires_grad}
    for i, child in enumerate(getattr(layer, "children", list)()):
        held.update({f"{i}.{name}": p for name, p in _named_parameters(child).items()})
    return held


def _named_weights(layers: Iterable) -> dict[str, Tensor]:
    """Return the parameters with at least two axes: biases and BatchNorm's have their own scale."""
    return {
        f"{i}.{name}": p
        for i, layer in enumerate(layers)
        for name, p in _named_parameters(layer).items()
        if p.ndim > 1
    }


def diagnose(
    model: Sequential | torch.nn.Sequential,
    X: Tensor,
    Y: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> Diagnosis:
    """Take one batch forwards and backwards, and return what each layer put out and got back.

    The measurement is made on a copy, in the mode that the model is in: neither the gradients nor
    BatchNorm's running statistics of `model` change. Raises TypeError for a model whose layers
    can't be gone through, FloatingPointError (with the layer) for NaN.
    """
    if not isinstance(model, Iterable):
        raise TypeError(
            f"{type(model).__name__} doesn't show its layers: pass a Sequential, ours or torch's."
        )
    layers = list(copy.deepcopy(model))
    with torch.enable_grad():
        outputs = [X.clone().requires_grad_() if X.is_floating_point() else X]
        for layer in layers:
            outputs.append(layer(outputs[-1]))
        check_numbers(outputs, layers)
        value = loss(outputs[-1], Y if Y.is_floating_point() else Y.long())
        weights = _named_weights(layers)
        wanted = [*outputs[1:], *weights.values()]
        grads = torch.autograd.grad(value, wanted, materialize_grads=True)
    readings = []
    for i, (layer, out, grad) in enumerate(zip(layers, outputs[1:], grads, strict=False)):
        kinds = [kind.__name__ for kind in type(layer).__mro__]
        flat = next((FLAT[kind](out.detach()) for kind in kinds if kind in FLAT), None)
        readings.append(LayerReading(f"{i} {kinds[0]}", out.detach(), grad, flat))
    rows = zip(weights.items(), grads[len(layers) :], strict=True)
    named = [WeightReading(name, p.detach(), grad) for (name, p), grad in rows]
    return Diagnosis(value.item(), readings, named)


class UpdateRecorder:
    """How far each weight tensor moves in an update, against its size; for `train`'s `on_step`.

    `ratios[name]` collects log10(std(change) / std(data before it)) at every `every`-th update,
    and `steps` their numbers. It compares values before and after, so it is right for every
    optimiser. About −3 is healthy. Make it directly before the training that it records. Raises
    ValueError for `every` below 1 or a model without weights.
    """

    def __init__(self, model: Sequential | torch.nn.Sequential, every: int = 1):
        self._weights = _named_weights(model)
        if every < 1 or not self._weights:
            raise ValueError(
                f"every is {every} and the weights {list(self._weights)}: "
                "the first must be at least 1, and there must be a weight."
            )
        self.every, self.steps = every, []
        self.ratios: dict[str, list[float]] = {name: [] for name in self._weights}
        self._remember()

    def _remember(self) -> None:
        self._before = {name: p.detach().clone() for name, p in self._weights.items()}

    def __call__(self, step: int, loss: float) -> None:
        if step % self.every == 0:
            self.steps.append(step)
            for name, p in self._weights.items():
                before = self._before[name]
                ratio = (p.detach() - before).std(correction=0) / before.std(correction=0)
                self.ratios[name].append(ratio.log10().item())
        if (step + 1) % self.every == 0:  # the next one will be recorded
            self._remember()
