"""One update of the weights: rows by number, gradients in micro-batches, clipped, two optimisers.

The idea: what an update does is a function of the weights, the optimisers' state and the step's
number. The rows of its batch and the seeds of dropout are derived from (seed, step), not drawn
from a state that would have to travel along. Nothing in it reads a number from the device, so the
host never waits.

Mixed precision, numbers of half the size where the device multiplies them faster: Micikevicius et
al. (2018), arXiv:1710.03740.
"""

from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from zerotohero.training.batches import Split, seed_of
from zerotohero.training.config import TrainConfig, configure_optimizers, param_groups, set_rates
from zerotohero.training.losses import SummedLoss
from zerotohero.training.machine import autocast, choose_precision, seed_device, try_compile


class Update:
    """`update(forward, step)` makes the update of that number, counted from 0.

    `forward = update.prepare()` comes first. Nothing here keeps it, since it holds the connection
    between the processes.

    One process of `world` takes its share of each batch. If they shard the model, what is trained
    from `prepare` to `release` is a copy in parts, and `gather` makes the model what the copy is.

    Attributes: model (what is trained), optimizers, params, precision ("auto" until `prepare` has
    chosen), shards (whether the model is sharded).
    """

    def __init__(self, config: TrainConfig, model: nn.Module, split: Split, rank: int, world: int):
        self.config, self.split = config, split
        self.rank, self.world, self.precision = rank, world, config.precision
        self.shards = config.shard and world > 1
        self.whole, self._behind = model, False  # whether updates were made since `gather`
        self._train(model)
        self._scaler: torch.amp.GradScaler | None = None
        self._scaler_state: dict[str, Any] = {}

    def _train(self, model: nn.Module) -> None:
        self.model, self.optimizers = model, configure_optimizers(model, self.config)
        self.params = [p for group in param_groups(self.optimizers) for p in group["params"]]

    def prepare(self) -> nn.Module:
        """Settle the precision, and return the summed loss as the module to train through.

        RuntimeError if a sharded run broke off, since its parts are gone.
        """
        config, device = self.config, self.split.device
        if self.shards:
            if self._behind:
                raise RuntimeError(
                    "This run was sharded, and broke off; make a new Trainer with resume=True."
                )
            self._shard()
        if self.precision == "auto":
            chosen = [choose_precision(device)]
            if self.world > 1:  # a measurement, on which all must agree
                dist.broadcast_object_list(chosen, src=0)
            self.precision = chosen[0]
        if self._scaler is None:
            half = self.precision == "fp16"  # its small gradients would round to 0 unscaled
            self._scaler = torch.amp.GradScaler(device.type, enabled=half)
            if self._scaler_state:
                self._scaler.load_state_dict(self._scaler_state)
        forward: nn.Module = SummedLoss(self.model)
        if config.compile:
            rows = config.rows_at_a_time(self.world, "processes")
            x, y = self.split.rows(torch.zeros(rows, dtype=torch.long))
            forward = try_compile(forward, x, y, self.precision)
        if self.world > 1 and not self.shards:
            ids = [device.index] if device.type == "cuda" else None
            forward = DistributedDataParallel(forward, device_ids=ids)
        return forward

    def _shard(self) -> None:
        from zerotohero.training import sharded  # which takes a second, and few need it

        before = self.optimizers
        self._train(sharded.in_parts(self.whole, self.split.device, self.world))
        for whole, parts in zip(before, self.optimizers, strict=True):
            sharded.hand_over(whole, parts)

    def gather(self) -> None:
        """Bring the whole model up to date, where it isn't what is trained itself."""
        if self.model is not self.whole:
            from zerotohero.training import sharded

            sharded.gather(self.model, self.whole)
            self._behind = False

    def release(self) -> None:
        """Forget the copy in parts, if there is one, and with it the optimisers' state."""
        if self.model is not self.whole:
            self._train(self.whole)

    def __call__(self, forward: nn.Module, step: int) -> Float[Tensor, ""]:
        """Return this process's part of the batch's mean loss, still on the device."""
        config, scaler, device = self.config, self._scaler, self.split.device
        numbers = self.split.draw(config.batch_size, config.seed, "batch", step)
        numbers = numbers.view(config.accumulate, self.world, -1)
        xs, ys = self.split.rows(numbers[:, self.rank])  # (accumulate, rows, T) each
        # The mean over all targets, wherever they are computed; DDP divides by the processes.
        scale = self.world / self.split.targets(numbers)
        set_rates(self.optimizers, config, step)
        losses = []
        for micro in range(config.accumulate):
            seed_device(device, seed_of("dropout", config.seed, step, micro, self.rank))
            # Gradients travel once an update; of shards each time, or all would have to be kept.
            more = self.world > 1 and not self.shards and micro < config.accumulate - 1
            with forward.no_sync() if more else nullcontext():
                with autocast(device, self.precision):
                    loss = forward(xs[micro], ys[micro]) * scale
                scaler.scale(loss).backward()
            losses.append(loss.detach())
        if config.grad_clip:
            for optimizer in self.optimizers:
                scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(self.params, config.grad_clip)
        for optimizer in self.optimizers:
            scaler.step(optimizer)
        scaler.update()
        for p in self.params:
            p.grad = None
        self._behind = self.shards
        return torch.stack(losses).sum() if len(losses) > 1 else losses[0]

    def is_finite(self) -> bool:
        """Return whether all weights are, of a sharded model those that were gathered last."""
        return all(bool(p.isfinite().all()) for p in self.whole.parameters())

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs besides the weights, sharded or not."""
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        if self.model is not self.whole:
            from zerotohero.training import sharded

            states = [sharded.gathered(state) for state in states]
        return {
            "optimizers": states,
            "scaler": self._scaler.state_dict(),
            "precision": self.precision,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned. Raises an error of torch's if it doesn't fit."""
        for optimizer, its in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(its)
        self.precision, self._scaler_state = state["precision"], state["scaler"]
