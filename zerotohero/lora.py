"""LoRA: teaching a large model something small, with a hundredth of its weights.

The idea: what fine-tuning adds to a matrix is simple, however large the matrix is. So the matrix
stays as it is, and beside it a product of two thin ones is learned, out of few numbers and back:
W x + s B A x. B starts at zero, so at first nothing is changed. What is saved is most of the
optimiser's memory and nearly all of the file: A and B are all that differs between two tasks. In
the end s B A is added to W, and the model is as fast as before.

The paper: Hu et al. (2021), "LoRA: Low-Rank Adaptation of Large Language Models".

New against `assistant`: most weights don't learn. Left out: dropout on the way, quantised weights
under it (QLoRA), and keeping several adapters at hand.
"""

from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LoRALinear(nn.Module):
    """A linear layer that is kept, and beside it a product of two thin matrices that learns."""

    def __init__(
        self,
        linear: nn.Linear,
        rank: int = 8,
        alpha: float | int = 16,
        generator: torch.Generator | None = None,
    ):
        """Wrap `linear`, which learns no longer. ValueError for a rank below 1.

        What is added is divided by the rank and multiplied by `alpha`, so that the rate which
        suits one rank is about right for another.
        """
        super().__init__()
        if rank < 1:
            raise ValueError(f"rank is {rank}; at least 1 number has to be left in the middle.")
        self.linear, self.scale = linear.requires_grad_(False), alpha / rank
        like = {"device": linear.weight.device, "dtype": linear.weight.dtype}
        # As torch starts a linear layer: uniform, with a variance of 1 / (3 · inputs).
        bound = linear.in_features**-0.5
        A = torch.empty(rank, linear.in_features).uniform_(-bound, bound, generator=generator)
        self.A = nn.Parameter(A.to(**like))
        self.B = nn.Parameter(torch.zeros(linear.out_features, rank, **like))

    def forward(self, x: Float[Tensor, "*B inputs"]) -> Float[Tensor, "*B outputs"]:
        """Return W x + s B A x, and the bias if there is one."""
        return self.linear(x) + self.scale * (x @ self.A.T @ self.B.T)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """Return the linear layer with the product added to its weights; it learns again."""
        self.linear.weight += self.scale * self.B @ self.A
        return self.linear.requires_grad_(True)


def add_lora(
    model: nn.Module,
    rank: int = 8,
    alpha: float | int = 16,
    names: Collection[str] = ("c_attn", "c_proj"),
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Put LoRA on the linear layers with these names, in place; nothing else learns any more.

    Return the model. ValueError if no layer has such a name.
    """
    model.requires_grad_(False)
    found = _linears(model, nn.Linear, names)
    if not found:
        raise ValueError(f"The model has no linear layer called {' or '.join(names)}.")
    for parent, name, linear in found:
        setattr(parent, name, LoRALinear(linear, rank, alpha, generator))
    return model


def merge_lora(model: nn.Module) -> nn.Module:
    """Add what LoRA has learned to the weights beside it, in place, and return the model.

    It is an ordinary model again, with the names that it had, and all of it can learn.
    """
    for parent, name, lora in _linears(model, LoRALinear):
        setattr(parent, name, lora.merged())
    return model.requires_grad_(True)


def _linears(
    model: nn.Module, kind: type[nn.Module], names: Collection[str] | None = None
) -> list[tuple[nn.Module, str, nn.Module]]:
    """Return (where it hangs, its name there, itself) of each layer of that kind."""
    return [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, kind) and (names is None or name in names)
    ]
