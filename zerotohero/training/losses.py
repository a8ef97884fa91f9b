"""The loss of a language model: summed, to train through, and its mean over a whole split.

The idea: a sum can be cut anywhere. Micro-batches, processes and batches of an evaluation hold
different numbers of targets, and a mean of their means would be another number than the mean; so
sums are added up, and divided once by the count of all targets.
"""

from collections.abc import Callable, Iterable, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from zerotohero import IGNORED
from zerotohero.generation import modes_kept
from zerotohero.training.batches import Data, check_data, windows
from zerotohero.training.checkpoint import bare
from zerotohero.training.machine import autocast, choose_precision


class SummedLoss(nn.Module):
    """The model with its loss, summed over the targets: one function to compile and distribute."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Int[Tensor, "B T"], y: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
        logits = self.model(x)  # (B, T, V)
        if logits.element_size() == 2:
            logits = logits.float()  # half the digits are too few for a sum of exponentials
        return F.cross_entropy(
            logits.flatten(0, 1), y.flatten(), ignore_index=IGNORED, reduction="sum"
        )


@torch.no_grad()
def loss_and_count(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device, precision: str
) -> Float[Tensor, "2"]:
    """Return the summed loss and the number of targets as two float64 on the CPU."""
    loss, sums = SummedLoss(model), []
    with modes_kept(model):
        model.eval()
        for x, y in batches:
            with autocast(device, precision):
                sums.append(torch.stack([loss(x, y), (y != IGNORED).sum()]))
    return torch.stack(sums).cpu().double().sum(0) if sums else torch.zeros(2).double()


Measure = Callable[[nn.Module], float | str]


@torch.no_grad()
def measured(
    model: nn.Module, measures: Mapping[str, Measure], device: torch.device, precision: str
) -> dict[str, float | str]:
    """Return what each function makes of the model in eval mode, under its name.

    TypeError for anything but a number or a text, which alone a log can hold.
    """
    found = {}
    with modes_kept(model):
        model.eval()
        for name, measure in measures.items():
            with autocast(device, precision):
                found[name] = measure(model)
            if not isinstance(found[name], int | float | str):
                raise TypeError(
                    f"The measure {name!r} returned {found[name]!r}; it must be a number or a text."
                )
    return found


def evaluate(
    model: nn.Module, data: Data, *, batch_size: int = 64, precision: str = "fp32"
) -> float:
    """Return the mean loss a token over a whole split, in eval mode; the model is left as it was.

    A 1-D tensor or array, or shards, are cut into windows of block_size that don't overlap, the
    last one shorter; of a pair (X, Y) or a Dataset, targets of -100 don't count. Raises ValueError
    for data that the model can't be fed, or fewer than 2 tokens.
    """
    data = check_data(data, "data", model, least=2)
    device, T = next(model.parameters()).device, bare(model).config.block_size
    if precision == "auto":
        precision = choose_precision(device)
    batches = windows(data, T, batch_size, device)
    total, count = loss_and_count(model, batches, device, precision)
    return float(total / count)
