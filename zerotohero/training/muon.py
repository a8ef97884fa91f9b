"""Muon: an optimiser for the matrices inside a network, which makes every direction count.

The idea: a gradient matrix is dominated by a few directions, so a step along it learns those few
and starves the rest. Muon takes the momentum's matrix and replaces it by the nearest orthogonal
one: the same directions, every one with the same length. The exact way is a singular value
decomposition; five rounds of a polynomial in matrix products come near enough, and are quick.

The paper: Jordan et al. (2024), "Muon: An optimizer for hidden layers in neural networks".

Only for matrices that map vectors to vectors. Embeddings, the output layer and vectors are left
to AdamW (`config.configure_optimizers` shares them out).
"""

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor


def orthogonalise(
    G: Float[Tensor, "*B rows columns"], rounds: int = 5, dtype: torch.dtype | None = None
) -> Float[Tensor, "*B rows columns"]:
    """Return each matrix with its singular values brought near 1 (0.7 to 1.2), close to U Vᵀ.

    Each round is the odd polynomial a x + b x³ + c x⁵ of the singular values, as matrix products:
    its coefficients are the paper's, steep at 0 so that small values rise within five rounds. In
    `dtype`: bfloat16 is precise enough, and the default on a GPU; many a CPU has to emulate it,
    which takes several times as long as float32.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    X = G.to(dtype or (torch.bfloat16 if G.is_cuda else torch.float32))
    tall = X.shape[-2] > X.shape[-1]
    if tall:  # the smaller of the two squares, X Xᵀ
        X = X.mT
    # No singular value is larger than the root of the sum of squares.
    X = X / (X.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(rounds):
        A = X @ X.mT
        X = a * X + (b * A + c * A @ A) @ X
    return (X.mT if tall else X).type_as(G)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised. `lr` is the length of a step in every direction.

    A tall matrix's step is longer by √(rows / columns), so that every output changes as much.
    `weight_decay` pulls the weights towards 0 by lr · weight_decay a step.

    Raises ValueError for parameters that aren't matrices.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(
                        f"Muon is for matrices, and a parameter has shape {tuple(p.shape)}: give "
                        "embeddings, vectors and the output layer to AdamW."
                    )

    @torch.no_grad()
    def step(self) -> None:
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            alike: dict[tuple, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    alike[p.shape].append(p)
            # Matrices of one shape are orthogonalised as a batch, in one product a round.
            for (rows, columns), matrices in alike.items():
                grads = [p.grad for p in matrices]
                buffers = []
                for p in matrices:
                    if "momentum" not in self.state[p]:
                        self.state[p]["momentum"] = torch.zeros_like(p)
                    buffers.append(self.state[p]["momentum"])
                m = group["momentum"]
                torch._foreach_lerp_(buffers, grads, 1 - m)
                ahead = torch._foreach_lerp(grads, buffers, m)  # Nesterov: where momentum leads
                # Of matrices in parts (`sharded`) the whole, since all of it decides a direction.
                whole = [a.full_tensor() if hasattr(a, "full_tensor") else a for a in ahead]
                steps = orthogonalise(torch.stack(whole)).unbind()
                if whole[0] is not ahead[0]:
                    from zerotohero.training.sharded import cut

                    steps = [cut(s, a, travels=False) for s, a in zip(steps, ahead, strict=True)]
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                scale = group["lr"] * math.sqrt(max(1.0, rows / columns))
                torch._foreach_add_(matrices, list(steps), alpha=-scale)
