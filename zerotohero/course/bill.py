"""`zerotohero train … --dry-run`: what a run takes, before anything starts or is rented."""

import math
from dataclasses import dataclass

from zerotohero import costs
from zerotohero.course.run import say
from zerotohero.gpt import GPTConfig
from zerotohero.training import TrainConfig
from zerotohero.training.machine import PEAKS, place

GB = 1e9  # bytes, as the makers of GPUs and disks count them


@dataclass(frozen=True)
class Bill:
    """Where a run would be made, and for what. Raises ValueError for what can't be."""

    gpu: str = "A100"  # a name in PEAKS
    devices: int | None = None  # how many; None: as many as torchrun's processes
    mfu: float = 0.4  # the share of the peak that is reached
    euros: float = 2.0  # for one device and hour

    def __post_init__(self):
        if self.gpu not in PEAKS:
            raise ValueError(f"The peak of {self.gpu!r} isn't known; --gpu is one of {NAMES}.")
        if self.devices is None:
            object.__setattr__(self, "devices", place()[1])  # the dataclass is frozen
        if self.devices < 1:
            raise ValueError(f"--devices is {self.devices}; it must be at least 1.")
        if not 0 < self.mfu <= 1:
            raise ValueError(f"--mfu is {self.mfu:g}; it is a share of the peak, as 0.4.")
        if not 0 <= self.euros < math.inf:
            raise ValueError(f"--euros is {self.euros:g}; it must be 0 or a positive number.")

    def show(self, model: GPTConfig, plan: TrainConfig) -> None:
        """Print parameters, tokens, operations, memory a device, hours and euros.

        ValueError if the batch can't be shared out among the devices.
        """
        rows = plan.rows_at_a_time(self.devices, "devices")
        tokens, a_token = costs.tokens(model, plan), costs.flops_per_token(model)
        flops, peak = tokens * a_token.total, self.devices * PEAKS[self.gpu]
        hours = costs.hours(flops, peak, self.mfu)
        half = plan.precision != "fp32"
        parts = costs.memory(model, plan, self.devices, half=half, shard=plan.shard)
        say(
            f"Parameters  {costs.num_params(model):,}, for {model.vocab_size:,} tokens and "
            f"contexts of {model.block_size:,}"
        )
        say(
            f"Tokens      {tokens:,}: {plan.steps:,} steps, each with {plan.batch_size:,} rows of "
            f"{model.block_size:,}"
        )
        say(
            f"Operations  {flops:.3g}: {a_token.total:.4g} a token, {a_token.attention_share:.0%} "
            "of them attention's"
        )
        say(f"Memory      {sum(parts.values()) / GB:.1f} GB a device at most, without dropout:")
        for part, its in parts.items():
            say(f"            {its / GB:8.2f} GB  {part}")
        say(
            f"            for {rows} rows at a time; a larger accumulate "
            "makes them fewer, and a compiler keeps less"
        )
        say(
            f"Time        {hours:,.1f} hours, at {self.mfu:.0%} of the {PEAKS[self.gpu] / 1e12:g} "
            f"TFLOP/s of {self.devices} × {self.gpu}"
        )
        price = costs.price(hours, self.devices, self.euros)
        say(f"Price       {price:,.2f} €, at {self.euros:.2f} € an hour for one")


NAMES = ", ".join(PEAKS)
