"""The plan of a training run: how many updates, how large, and which optimiser for which weight.

The idea: the rate rises from almost nothing, because AdamW's averages and the network's first
gradients are bad guides, and falls towards the end, because a large step can't settle. Weights
are pulled towards zero only where that simplifies what is computed, in the matrices: a bias or a
gain near zero is no simpler than another.

The papers: AdamW, Loshchilov & Hutter (2019), arXiv:1711.05101; the cosine schedule, the same
(2017), arXiv:1608.03983; the trapezoid, Hägele et al. (2024), arXiv:2405.18392.

New against `mlp.Plan`: warm-up, clipping, accumulation, and two kinds of optimiser at once.
Left out: separate rates for single layers.
"""

import dataclasses
import math
from collections.abc import Iterable

import torch
from torch import nn

from zerotohero.configs import make_plain
from zerotohero.training.checkpoint import bare
from zerotohero.training.machine import DTYPES
from zerotohero.training.muon import Muon

# What may differ between a run and its continuation. More steps stretch the schedule, and a
# compiler and sums among shards round in their own way; the others change nothing that is computed.
FREE = {"steps", "eval_every", "log_every", "measure_every", "compile", "shard"}


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How to train. Raises ValueError for a value that cannot work."""

    steps: int  # updates of the weights
    batch_size: int = 12  # B: rows of one update, over all micro-batches and processes
    accumulate: int = 1  # micro-batches that an update is cut into, to save memory
    lr: float = 1e-3  # learning rate after the warm-up
    min_lr: float | None = None  # where cosine and trapezoid end; None: at a tenth of lr
    warmup: int | None = None  # steps in which the rate rises to lr; None: a tenth, at most 100
    schedule: str = "cosine"  # or "trapezoid" (constant, then linear to min_lr), or "constant"
    cooldown: float = 0.4  # share of the steps in which a trapezoid falls
    weight_decay: float = 0.1  # pull towards 0, on matrices and embeddings only
    betas: tuple[float, float] = (0.9, 0.99)  # AdamW's memory of gradients and of their squares
    grad_clip: float = 1.0  # longest gradient, all weights together; 0: no limit
    optimizer: str = "adamw"  # or "muon": Muon on the blocks' matrices, AdamW on the rest
    muon_lr: float = 0.02  # Muon's learning rate; it follows the same schedule
    muon_momentum: float = 0.95  # share of Muon's memory of gradients that a step keeps
    precision: str = "auto"  # "fp32", "bf16", "fp16", or what choose_precision finds
    compile: bool = False  # torch.compile: faster steps after a slow first one
    shard: bool = False  # a model too large for a device: each of several processes keeps a part
    eval_every: int = 250  # steps between evaluations and checkpoints; 0: at the end only
    eval_batches: int = 20  # batches of validation data in an evaluation, always the same
    measure_every: int = 1  # evaluations from one in which the Trainer's measures are taken, on
    log_every: int = 10  # steps between two readings of the loss
    seed: int = 1337  # of the batches and of dropout

    def __post_init__(self):
        if isinstance(self.betas, list):  # as files of settings have them
            object.__setattr__(self, "betas", tuple(self.betas))
        make_plain(self)
        counts = ("steps", "batch_size", "accumulate", "eval_batches", "measure_every", "log_every")
        least = dict.fromkeys(counts, 1)
        for name, low in {**least, "warmup": 0, "eval_every": 0, "seed": 0}.items():
            value = getattr(self, name)
            fine = type(value) is int and value >= low
            if not (name == "warmup" and value is None):
                self._demand(name, fine, f"a whole number ≥ {low}")
        for name in ("lr", "muon_lr"):
            self._demand(name, _finite(getattr(self, name), above=True), "a positive number")
        for name in ("weight_decay", "grad_clip", "cooldown"):
            self._demand(name, _finite(getattr(self, name)), "0 or a positive number")
        if self.min_lr is not None:
            self._demand("min_lr", _finite(self.min_lr), "0 or a positive number")
            self._demand("min_lr", self.min_lr <= self.lr, f"at most lr, which is {self.lr}")
        self._demand("cooldown", self.cooldown <= 1, "a share of the steps, at most 1")
        pair = isinstance(self.betas, tuple) and len(self.betas) == 2
        fine = pair and all(_finite(beta) and beta < 1 for beta in self.betas)
        self._demand("betas", fine, "two numbers from 0 to below 1")
        fine = _finite(self.muon_momentum) and self.muon_momentum < 1
        self._demand("muon_momentum", fine, "a number from 0 to below 1")
        for name, allowed in (
            ("schedule", ("cosine", "trapezoid", "constant")),
            ("optimizer", ("adamw", "muon")),
            ("precision", ("auto", *DTYPES)),
            ("compile", (True, False)),
            ("shard", (True, False)),
        ):
            one_of = f"one of {', '.join(map(str, allowed))}"
            self._demand(name, getattr(self, name) in allowed, one_of)
        self._demand(
            "batch_size",
            self.batch_size % self.accumulate == 0,
            f"a multiple of accumulate, {self.accumulate}, so that all micro-batches are equal",
        )
        self._demand(
            "warmup",
            (self.warmup or 0) + self._falling <= self.steps,
            f"so short that it fits into {self.steps} steps"
            + (f", {self._falling:.0f} of which are the cooldown" if self._falling else ""),
        )

    @property
    def _falling(self) -> float:
        """How many steps a trapezoid's cooldown takes."""
        return self.cooldown * self.steps if self.schedule == "trapezoid" else 0.0

    @property
    def warmup_steps(self) -> int:
        """How many steps the warm-up takes: as many as asked for, or what fits."""
        if self.warmup is not None:
            return self.warmup
        return min(100, self.steps // 10, int(self.steps - self._falling))

    def _demand(self, name: str, fine: bool, what: str) -> None:
        if not fine:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {what}.")

    def rows_at_a_time(self, n: int, what: str) -> int:
        """Return how many rows of a batch each of n processes or devices takes at a time.

        ValueError if they can't share it, in which they are called `what`.
        """
        if self.batch_size % (self.accumulate * n):
            raise ValueError(
                f"batch_size {self.batch_size} can't be cut into {self.accumulate} micro-batches "
                f"for each of {n} {what}: make it a multiple of {self.accumulate * n}."
            )
        return self.batch_size // (self.accumulate * n)

    def lr_factor(self, step: int) -> float:
        """Return what lr and muon_lr are multiplied by in update `step`, counted from 0."""
        warmup = self.warmup_steps
        if step < warmup:
            return (step + 1) / warmup
        low = 0.1 if self.min_lr is None else self.min_lr / self.lr
        if self.schedule == "cosine":
            done = (step - warmup) / (self.steps - warmup)
            return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * done))
        if self._falling:
            return low + (1 - low) * min(1.0, (self.steps - step) / self._falling)
        return 1.0


def _finite(value: object, above: bool = False) -> bool:
    number = isinstance(value, int | float) and math.isfinite(value)
    return number and (value > 0 if above else value >= 0)


def configure_optimizers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Return AdamW, in two groups: matrices with weight decay, biases and gains without.

    With "muon", the matrices of the blocks (`model.transformer.h`) go to Muon, which comes first
    in the list. Each group's "initial_lr" is the rate that the schedule multiplies. Raises
    ValueError if Muon is wanted for a model without blocks.
    """
    params = [p for p in model.parameters() if p.requires_grad]
    optimizers, muon = [], set()
    if config.optimizer == "muon":
        blocks = getattr(getattr(bare(model), "transformer", None), "h", None)
        inner = set(blocks.parameters()) if blocks is not None else set()
        matrices = [p for p in params if p in inner and p.ndim == 2]
        if not matrices:
            raise ValueError(
                "Muon is for the matrices in model.transformer.h, and this model has none to "
                'train; use optimizer="adamw".'
            )
        muon = set(matrices)
        muon_options = {"lr": config.muon_lr, "momentum": config.muon_momentum}
        optimizers = [Muon(matrices, **muon_options, weight_decay=config.weight_decay)]
    rest = [p for p in params if p not in muon]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    # One kernel for all weights of a group, where there is one.
    fused = all(p.device.type in ("cpu", "cuda") for p in params) or None
    optimizers.append(torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=fused))
    for group in param_groups(optimizers):
        group["initial_lr"] = group["lr"]
    return optimizers


def set_rates(optimizers: Iterable[torch.optim.Optimizer], plan: TrainConfig, step: int) -> None:
    """Give all groups the rates of update `step`, counted from 0."""
    factor = plan.lr_factor(step)
    for group in param_groups(optimizers):
        group["lr"] = group["initial_lr"] * factor


def param_groups(optimizers: Iterable[torch.optim.Optimizer]) -> list[dict]:
    return [group for optimizer in optimizers for group in optimizer.param_groups]
