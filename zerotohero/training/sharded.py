"""A model cut into shards: each device keeps a part of every weight, and what belongs to it.

The idea: of a large model the weights are the least. Beside each stand its gradient and AdamW's two
averages, and copies of all that on every device are waste: a device needs the whole of a weight
only while its layer computes. So each keeps one part of N. Before a layer computes, the devices
hand each other its parts; after it the others' are forgotten, and its gradients are summed so that
each gets those of its own part. What is computed stays the same.

The paper: Rajbhandari et al. (2020), "ZeRO", arXiv:1910.02054, stage 3; PyTorch's `fully_shard`
does the work. Here is what a Trainer needs around it: into parts, and whole again, since whatever
leaves the run (a checkpoint, the model at its end) is as if one device had trained it.

Left out: a model too large for a computer's main memory, where each process has it whole at the
start and again at each checkpoint; and copies of it, sharded within a machine alone.
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from zerotohero.training.checkpoint import bare


def in_parts(model: nn.Module, device: torch.device, world: int) -> nn.Module:
    """Return a copy of the model in parts, with the first process's weights.

    What travels at a time is one of the blocks in `model.transformer.h`, or all that is outside
    them; a model without blocks travels as a whole. All processes have to make each pass through
    it, and each call of a function here, together.
    """
    mesh = init_device_mesh(device.type, (world,))
    parts = copy.deepcopy(bare(model))
    for block in getattr(getattr(parts, "transformer", None), "h", ()):
        fully_shard(block, mesh=mesh)
    fully_shard(parts, mesh=mesh)
    with torch.no_grad():
        for part, whole in _pairs(parts, model):
            part.copy_(cut(whole.detach(), part))
    return parts


def _pairs(parts: nn.Module, model: nn.Module) -> Iterator[tuple[DTensor, Tensor]]:
    """Yield the parameters of both in the same order, tied ones once."""
    return zip(parts.parameters(), bare(model).parameters(), strict=True)


def cut(whole: Tensor, like: DTensor, travels: bool = True) -> DTensor:
    """Return a tensor in parts as `like` is: the first process's, or if all have it, the own."""
    whole = whole.to(like.device)
    source = 0 if travels else None
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=source)


@torch.no_grad()
def gather(parts: nn.Module, model: nn.Module) -> None:
    """Put the weights together, in the memory of the model that was cut, in each process."""
    parts.reshard()  # after a pass without gradients, what is outside the blocks is still whole
    for part, whole in _pairs(parts, model):
        whole.copy_(part.full_tensor())


def gathered(state: Any) -> Any:
    """Return an optimiser's state with whole tensors on the CPU; in the first process alone."""
    if isinstance(state, DTensor):
        whole = state.full_tensor()
        return whole.cpu() if dist.get_rank() == 0 else None
    if isinstance(state, dict):
        return {key: gathered(value) for key, value in state.items()}
    return state


def hand_over(whole: torch.optim.Optimizer, parts: torch.optim.Optimizer) -> None:
    """Give an optimiser of weights in parts the state of one of the same weights, whole."""
    content = whole.state_dict()
    weights = [p for group in parts.param_groups for p in group["params"]]
    for i, state in content["state"].items():
        for name, value in state.items():
            if value.shape == weights[i].shape:  # not the count of the steps
                state[name] = cut(value, weights[i])
    parts.load_state_dict(content)
