"""Rotary positions: queries and keys are turned by an angle that grows with their position.

The idea: a table of positions tells a vector where it stands; but what attention needs is how far
apart two of them stand. Turn each pair of a query's numbers by an angle proportional to its
position, and a key's likewise: their product then depends on the positions only through the
difference of the angles, the distance.

The paper: Su et al. (2021), "RoFormer: Enhanced Transformer with Rotary Position Embedding".
"""

import torch
from jaxtyping import Float
from torch import Tensor


def rotary_angles(
    T: int, head_size: int, theta: float = 10_000.0, device=None
) -> Float[Tensor, "T D"]:
    """Return by which angle, in radians, each pair of numbers is turned at each position.

    Pair i turns by position · theta^(−2i / head_size): the first ones fast, as a clock's second
    hand, the last ones slowly. D is half of head_size.
    """
    speeds = theta ** (-torch.arange(0, head_size, 2, device=device) / head_size)
    return torch.arange(T, device=device)[:, None] * speeds


def rotate(x: Float[Tensor, "B H T S"], angles: Float[Tensor, "T D"]) -> Float[Tensor, "B H T S"]:
    """Turn the pairs (x[i], x[i + S/2]) of every head by their position's angles.

    The paper has pairs of neighbours; halves, as in Llama, are the same up to the order of a
    head's channels, and quicker.
    """
    cos, sin = angles.cos().type_as(x), angles.sin().type_as(x)
    a, b = x.chunk(2, dim=-1)  # (B, H, T, S/2) each
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
