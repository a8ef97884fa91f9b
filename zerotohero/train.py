"""Training a language model: fast, on one device or many, and able to go on after any interruption.

The idea: what a step does is a function of the weights, the optimiser's state and the step's
number. The rows of a batch and the seeds of dropout are derived from (seed, step), not drawn from
a state that would have to travel along; so a run that was killed goes on from its last checkpoint
with the same losses, to the bit, and no device has to tell another which rows it took.

The rest is what makes it fast: numbers of half the size where the device multiplies them faster
(mixed precision: Micikevicius et al. 2018, arXiv:1710.03740), data that lives on the device, and
no reading of a loss in a step that nobody looks at, for it would make the host wait.

Papers: AdamW, Loshchilov & Hutter (2019), arXiv:1711.05101; the cosine schedule, the same (2017),
arXiv:1608.03983; the trapezoid, Hägele et al. (2024), arXiv:2405.18392; MFU, Chowdhery et al.
(2022), arXiv:2204.02311, appendix B.

New against `mlp.train`: schedules with warm-up, clipping, accumulation, precision, checkpoints,
several processes. Left out: models that don't fit on one device. To the bit holds for one device
and one number of threads; on CUDA it also needs `torch.use_deterministic_algorithms(True)`.
"""

import dataclasses
import hashlib
import io
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from zerotohero.batches import IGNORED, Data, Split, check_data, fingerprint
from zerotohero.checkpoint import CheckpointError, load_checkpoint, plain, save_checkpoint
from zerotohero.machine import (
    DTYPES,
    autocast,
    best_device,
    choose_precision,
    ctrl_c_waits,
    on_device,
    peak_flops,
    process_group,
    seed_device,
    try_compile,
)

__all__ = [
    "CheckpointError",
    "TrainConfig",
    "Trainer",
    "configure_optimizers",
    "evaluate",
    "load_checkpoint",
    "save_checkpoint",
]


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How to train. Raises ValueError for a value that cannot work."""

    steps: int  # updates of the weights
    batch_size: int = 12  # B: rows of one update, over all micro-batches and processes
    accumulate: int = 1  # micro-batches that an update is cut into, to save memory
    lr: float = 1e-3  # learning rate after the warm-up
    min_lr: float = 1e-4  # where cosine and trapezoid end
    warmup: int = 100  # steps in which the rate rises to lr
    schedule: str = "cosine"  # or "trapezoid" (constant, then linear to min_lr), or "constant"
    cooldown: float = 0.4  # share of the steps in which a trapezoid falls
    weight_decay: float = 0.1  # pull towards 0, on matrices and embeddings only
    betas: tuple[float, float] = (0.9, 0.99)  # AdamW's memory of gradients and of their squares
    grad_clip: float = 1.0  # longest gradient, all weights together; 0: no limit
    optimizer: str = "adamw"  # or "muon": Muon on the blocks' matrices, AdamW on the rest
    muon_lr: float = 0.02  # Muon's learning rate; it follows the same schedule
    precision: str = "auto"  # "fp32", "bf16", "fp16", or what choose_precision finds
    compile: bool = False  # torch.compile: faster steps after a slow first one
    eval_every: int = 250  # steps between evaluations and checkpoints; 0: at the end only
    eval_batches: int = 20  # batches of validation data in an evaluation, always the same
    log_every: int = 10  # steps between two readings of the loss
    seed: int = 1337  # of the batches and of dropout

    def __post_init__(self):
        object.__setattr__(self, "betas", tuple(self.betas))  # a list, if from a file
        least = {"steps": 1, "batch_size": 1, "accumulate": 1, "eval_batches": 1, "log_every": 1}
        for name, low in {**least, "warmup": 0, "eval_every": 0, "seed": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < low:
                raise ValueError(f"{name} is {value!r}; it must be a whole number from {low} on.")
        for name in ("lr", "muon_lr"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a positive number.")
        for name in ("weight_decay", "grad_clip"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or positive.")
        if not 0 <= self.min_lr <= self.lr:
            raise ValueError(f"min_lr is {self.min_lr}; it must lie between 0 and lr, {self.lr}.")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are {self.betas}; AdamW needs two numbers from 0 to below 1.")
        if not 0 <= self.cooldown <= 1:
            raise ValueError(f"cooldown is {self.cooldown}; it is a share of the steps, 0 to 1.")
        for name, allowed in (
            ("schedule", ("cosine", "trapezoid", "constant")),
            ("optimizer", ("adamw", "muon")),
            ("precision", ("auto", *DTYPES)),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(allowed)}."
                )
        falling = self.cooldown * self.steps if self.schedule == "trapezoid" else 0
        if self.warmup and self.warmup + falling > self.steps:
            raise ValueError(
                f"A warm-up of {self.warmup} steps and a cooldown of {falling:.0f} don't fit into "
                f"{self.steps} steps; lower warmup or cooldown."
            )
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size {self.batch_size} can't be cut into {self.accumulate} equal "
                "micro-batches; make it a multiple of accumulate."
            )

    def lr_factor(self, step: int) -> float:
        """Return what lr and muon_lr are multiplied by in update `step`, counted from 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        low = self.min_lr / self.lr
        if self.schedule == "cosine":
            done = (step - self.warmup) / (self.steps - self.warmup)
            return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * done))
        if self.schedule == "trapezoid" and self.cooldown:
            return low + (1 - low) * min(1.0, (self.steps - step) / (self.cooldown * self.steps))
        return 1.0


def configure_optimizers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Return AdamW, in two groups: matrices with weight decay, biases and gains without.

    With "muon", the matrices of the blocks (`model.transformer.h`) go to Muon, which comes first
    in the list. Each group's "initial_lr" is the rate that the schedule multiplies. Raises
    ValueError if Muon is wanted for a model without blocks.
    """
    params = [p for p in model.parameters() if p.requires_grad]
    optimizers, muon = [], set()
    if config.optimizer == "muon":
        from zerotohero.muon import Muon

        blocks = getattr(getattr(model, "transformer", None), "h", None)
        matrices = [p for p in blocks.parameters() if p.ndim == 2] if blocks is not None else []
        if not matrices:
            raise ValueError(
                "Muon is for the matrices in model.transformer.h, and this model has none; "
                'use optimizer="adamw".'
            )
        muon = set(matrices)
        optimizers = [Muon(matrices, lr=config.muon_lr, weight_decay=config.weight_decay)]
    rest = [p for p in params if p not in muon]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    # One kernel for all weights of a group, where there is one.
    fused = all(p.device.type in ("cpu", "cuda") for p in params)
    optimizers.append(torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=fused))
    for group in _groups(optimizers):
        group["initial_lr"] = group["lr"]
    return optimizers


def _groups(optimizers: Iterable[torch.optim.Optimizer]) -> list[dict]:
    return [group for optimizer in optimizers for group in optimizer.param_groups]


def _seed(*what: str | int) -> int:
    """A seed that is a function of what it is for: 63 bits of a hash."""
    digest = hashlib.blake2b(repr(what).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


# --- losses ---------------------------------------------------------------------------------------


class _SummedLoss(nn.Module):
    """The model with its loss, summed over the targets: one function to compile and distribute."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        logits = self.model(x)  # (B, T, V)
        if logits.element_size() == 2:
            logits = logits.float()  # half the digits are too few for a sum of exponentials
        return F.cross_entropy(
            logits.flatten(0, 1), y.flatten(), ignore_index=IGNORED, reduction="sum"
        )


@torch.no_grad()
def _loss_and_count(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device, precision: str
) -> Tensor:
    """Return the summed loss and the number of targets as two float64 on the CPU."""
    training, loss = model.training, _SummedLoss(model)
    sums = []
    model.eval()
    try:
        for x, y in batches:
            with autocast(device, precision):
                sums.append(torch.stack([loss(x, y), (y != IGNORED).sum()]))
    finally:
        model.train(training)
    return torch.stack(sums).cpu().double().sum(0) if sums else torch.zeros(2).double()


def evaluate(
    model: nn.Module, data: Data, *, batch_size: int = 64, precision: str = "fp32"
) -> float:
    """Return the mean loss a token over a whole split, where the model is and in the mode it's in.

    A 1-D tensor is cut into windows of block_size that don't overlap, the last one shorter; of a
    pair (X, Y), targets of -100 don't count. Raises ValueError for data that the model can't be
    fed, or fewer than 2 tokens.
    """
    check_data(data, "data", model, 2)
    device, T = next(model.parameters()).device, model.config.block_size
    if precision == "auto":
        precision = choose_precision(device)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        pairs = [data]
        if isinstance(data, Tensor):
            whole = (len(data) - 1) // T * T
            pairs = [
                (data[:whole].view(-1, T), data[1 : whole + 1].view(-1, T)),
                (data[None, whole:-1], data[None, whole + 1 :]),
            ]
        for X, Y in pairs:
            for i in range(0, len(X) if X.shape[1] else 0, batch_size):
                rows = slice(i, i + batch_size)
                yield X[rows].to(device).long(), Y[rows].to(device).long()

    total, count = _loss_and_count(model, batches(), device, precision)
    return float(total / count)


# --- the trainer ----------------------------------------------------------------------------------

EVENTS = ("step", "log", "eval", "end")
# What may differ between a run and its continuation: none of it changes what a step does,
# except that more steps stretch the schedule.
FREE = {"steps", "eval_every", "log_every", "compile"}


class Trainer:
    """Trains a model: `Trainer(config, model, train_data, val_data).run()`.

    model: any nn.Module that maps (B, T) tokens to (B, T, V) logits, with a dataclass `config`
    that has `vocab_size` and `block_size`, such as gpt.GPT; it is moved to the device.
    Data: a 1-D tensor of tokens, of which chunks are drawn, or a pair (X, Y) of (N, T) tensors of
    inputs and targets, of which rows are drawn; targets of -100 are no part of the loss.
    folder: where last.pt, best.pt (lowest validation loss) and log.jsonl go; None: nothing is
    written. resume: go on from the folder's last.pt, or from the beginning if there is none yet.
    extra: a dict of plain values that the checkpoints keep, such as the vocabulary.
    callbacks: functions of the trainer, called with each new row of the log and at the end.

    Started by `torchrun`, each process takes its share of every batch, and the first one writes.

    Attributes: step (updates done), log (the rows of log.jsonl), losses, val_losses, best_val,
    seconds (of training, without evaluations and checkpoints), model, optimizers, precision.

    Raises ValueError (data, batch size or checkpoint don't fit), TypeError (not tensors),
    FileExistsError (the folder holds a run, and `resume` is False).
    """

    def __init__(
        self,
        config: TrainConfig,
        model: nn.Module,
        train_data: Data,
        val_data: Data | None = None,
        *,
        folder: str | Path | None = None,
        device: str | torch.device | None = None,
        callbacks: Iterable[Callable[["Trainer"], object]] = (),
        resume: bool = False,
        extra: dict[str, Any] | None = None,
        progress: bool = True,
    ):
        launched = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"} <= os.environ.keys()
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        self.rank, self.world, local = (
            (int(os.environ[n]) for n in names) if launched else (0, 1, 0)
        )
        if config.batch_size % (config.accumulate * self.world):
            raise ValueError(
                f"batch_size {config.batch_size} can't be cut into {config.accumulate} "
                f"micro-batches for each of {self.world} processes; make it a multiple of "
                f"{config.accumulate * self.world}."
            )
        T = model.config.block_size
        check_data(train_data, "train_data", model, T + 1)
        if val_data is not None:
            check_data(val_data, "val_data", model, T + 1)
        self.device = torch.device(device) if device is not None else best_device(local)
        self.config, self.model = config, model.to(self.device)
        self.folder = Path(folder) if folder is not None else None
        self.extra, self.progress = plain(extra or {}), progress
        self.optimizers = configure_optimizers(self.model, config)
        self.precision, self.step, self.seconds = config.precision, 0, 0.0
        self.log: list[dict[str, Any]] = []
        self._scaler_state: dict[str, Any] = {}
        self._train = Split(train_data, T, self.device)
        self._val = Split(val_data, T, self.device) if val_data is not None else None
        self._params = [p for group in _groups(self.optimizers) for p in group["params"]]
        self._generator = torch.Generator()
        self._listeners: dict[str, list[Callable]] = {event: [] for event in EVENTS}
        for callback in callbacks:
            for event in ("log", "end"):
                self.on(event, callback)
        self._data = fingerprint(train_data) if self.folder else []
        if resume and self.folder is None:
            raise ValueError("resume=True needs the folder of the run that is to go on.")
        if self.folder is not None and (self.folder / "last.pt").exists():
            saved = load_checkpoint(self.folder / "last.pt")
            if not resume:
                raise FileExistsError(
                    f"{self.folder} holds a run already, at step {saved['step']}: resume it "
                    "(resume=True), or choose another folder."
                )
            self._restore(saved)

    def on(self, event: str, function: Callable[["Trainer"], object]) -> None:
        """Call `function(trainer)` at every "step", new row of the "log", "eval", or the "end".

        A function of "step" that reads the loss or a weight makes the host wait for the device.
        """
        if event not in EVENTS:
            raise ValueError(f"There is no event {event!r}; it is one of {', '.join(EVENTS)}.")
        self._listeners[event].append(function)

    @property
    def losses(self) -> list[float]:
        """The loss of the batch of each logged step."""
        return [row["loss"] for row in self.log]

    @property
    def val_losses(self) -> list[tuple[int, float]]:
        """(step, validation loss) of each evaluation."""
        return [(r["step"], r["val_loss"]) for r in self.log if r["val_loss"] is not None]

    @property
    def best_val(self) -> float:
        """The lowest validation loss so far; infinity before the first."""
        return min((loss for _, loss in self.val_losses), default=math.inf)

    def run(self) -> "Trainer":
        """Train until `config.steps` updates are done; what is done already isn't done again.

        torch's global random state is put back as it was. Ctrl-C ends the run after the step in
        hand, saves last.pt, and raises KeyboardInterrupt. Raises FloatingPointError if the loss
        or a weight is no longer a finite number; last.pt is the last good one then.
        """
        config, training = self.config, self.model.training
        with ExitStack() as stack:
            stack.enter_context(on_device(self.device))
            stack.enter_context(process_group(self.device, self.world))
            stopped = stack.enter_context(ctrl_c_waits(self.world == 1))
            stack.callback(self.model.train, training)
            forward = self._prepare()
            file = stack.enter_context(self._log_file())
            bar = stack.enter_context(
                tqdm(
                    total=config.steps,
                    initial=self.step,
                    disable=not self.progress or self.rank > 0,
                    leave=False,
                    unit="step",
                )
            )
            self.model.train()
            start, logged = time.perf_counter(), self.step
            while self.step < config.steps and not stopped:
                loss = self._update(forward)
                self.step += 1
                bar.update()
                self._emit("step")
                last = self.step == config.steps
                due = last or (config.eval_every and self.step % config.eval_every == 0)
                if not due and self.step > 1 and self.step % config.log_every:
                    continue
                value = self._read(loss)  # waits for the device, so that the time is right
                seconds = time.perf_counter() - start
                self.seconds += seconds
                rate = (self.step - logged) * config.batch_size * self._train.width / seconds
                best = self.best_val
                row = {
                    "step": self.step,
                    "loss": value,
                    "lr": config.lr * config.lr_factor(self.step - 1),
                    "tokens_per_s": rate,
                    "mfu": rate * self._flops / self._peak if self._flops else None,
                    "val_loss": self._evaluate() if due and self._val else None,
                    "seconds": self.seconds,
                }
                self.log.append(row)
                file.write(json.dumps(row) + "\n")
                file.flush()
                bar.set_postfix_str(_summary(row, self.val_losses), refresh=False)
                if due:
                    # best.pt first: killed between the two, the resumed run writes it again.
                    if self.best_val < best:
                        self._save("best.pt")
                    self._save("last.pt")
                    self._emit("eval")
                self._emit("log")
                start, logged = time.perf_counter(), self.step
            if stopped:
                self.seconds += time.perf_counter() - start
                self._save("last.pt")
            self._emit("end")
        if stopped:
            where = f"{self.folder / 'last.pt'} holds it: resume=True" if self.folder else "run()"
            raise KeyboardInterrupt(f"Stopped after step {self.step}; {where} goes on from there.")
        return self

    def _emit(self, event: str) -> None:
        if self.rank == 0:
            for function in self._listeners[event]:
                function(self)

    def _prepare(self) -> nn.Module:
        """Settle precision and peak, and return the summed loss as the module to train through."""
        config = self.config
        if self.precision == "auto":
            chosen = [choose_precision(self.device)]
            if self.world > 1:  # a measurement, on which all must agree
                dist.broadcast_object_list(chosen, src=0)
            self.precision = chosen[0]
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self._scaler.load_state_dict(self._scaler_state)
        count = getattr(self.model, "flops_per_token", None)
        self._flops = count() if count else 0
        self._peak = peak_flops(self.device, self.precision) * self.world if self._flops else 0
        module: nn.Module = _SummedLoss(self.model)
        if config.compile:
            rows = config.batch_size // (config.accumulate * self.world)
            x, y = self._train.rows(torch.zeros(rows, dtype=torch.long))
            module = try_compile(module, x, y, self.precision)
        if self.world > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            module = DistributedDataParallel(module, device_ids=ids, broadcast_buffers=False)
        return module

    def _update(self, forward: nn.Module) -> Tensor:
        """One step. Returns this process's share of the batch's loss, still on the device."""
        config, device = self.config, self.device
        self._generator.manual_seed(_seed("batch", config.seed, self.step))
        numbers = torch.randint(
            self._train.n_rows, (config.batch_size,), generator=self._generator
        ).view(config.accumulate, self.world, -1)
        xs, ys = self._train.rows(numbers[:, self.rank])  # (micro-batches, rows, T)
        # The mean over all targets, wherever they are computed; DDP divides by the processes.
        scale = self.world / self._train.targets(numbers)
        factor = config.lr_factor(self.step)
        for group in _groups(self.optimizers):
            group["lr"] = group["initial_lr"] * factor
        total = None
        for micro in range(config.accumulate):
            seed_device(device, _seed("dropout", config.seed, self.step, micro, self.rank))
            waits = self.world > 1 and micro < config.accumulate - 1
            with forward.no_sync() if waits else nullcontext():
                with autocast(device, self.precision):
                    loss = forward(xs[micro], ys[micro]) * scale
                self._scaler.scale(loss).backward()
            total = loss.detach() if total is None else total + loss.detach()
        if config.grad_clip:
            for optimizer in self.optimizers:
                self._scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(self._params, config.grad_clip)
        for optimizer in self.optimizers:
            self._scaler.step(optimizer)
        self._scaler.update()
        for p in self._params:
            p.grad = None
        return total

    def _read(self, loss: Tensor) -> float:
        if self.world > 1:
            dist.all_reduce(loss)
        value = loss.item() / self.world
        self._check_finite(math.isfinite(value), f"The loss is {value}")
        return value

    def _check_finite(self, fine: bool, what: str) -> None:
        if not fine:
            kept = self.folder and (self.folder / "last.pt").exists()
            raise FloatingPointError(
                f"{what} at step {self.step}: lower lr, lengthen warmup, or set grad_clip to 1"
                + (f"; {self.folder / 'last.pt'} is of the last good step." if kept else ".")
            )

    def _evaluate(self) -> float:
        """The mean loss over batches that are drawn anew each time, by the same seed."""
        config = self.config
        self._generator.manual_seed(_seed("eval", config.seed))
        batches = config.eval_batches * config.accumulate * self.world
        numbers = torch.randint(
            self._val.n_rows, (config.eval_batches * config.batch_size,), generator=self._generator
        ).view(batches, -1)
        mine = (self._val.rows(n) for n in numbers[self.rank :: self.world])
        sums = _loss_and_count(self.model, mine, self.device, self.precision)
        if self.world > 1:
            sums = sums.to(self.device)
            dist.all_reduce(sums)
        value = float(sums[0] / sums[1].clamp(min=1))
        self._check_finite(math.isfinite(value), f"The validation loss is {value}")
        return value

    # --- checkpoints and log

    def _save(self, name: str) -> None:
        fine = all(bool(p.isfinite().all()) for p in self._params)
        self._check_finite(fine, "A weight is no longer a finite number")
        if self.folder is None or self.rank > 0:
            return
        content = {
            "model": self.model.state_dict(),
            "model_config": dataclasses.asdict(self.model.config),
            "train_config": dataclasses.asdict(self.config),
            "extra": self.extra,
            "step": self.step,
            "log": self.log,
        }
        if name == "last.pt":
            content |= {
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "scaler": self._scaler.state_dict(),
                "precision": self.precision,
                "seconds": self.seconds,
                "data": self._data,
            }
        save_checkpoint(self.folder / name, content)

    def _restore(self, saved: dict[str, Any]) -> None:
        where = f"{self.folder / 'last.pt'} doesn't fit"
        for what, old, new in (
            ("model", saved["model_config"], dataclasses.asdict(self.model.config)),
            ("training", saved.get("train_config", {}), dataclasses.asdict(self.config)),
        ):
            free = FREE if what == "training" else ()
            other = [k for k in new if k not in free and old.get(k) != new[k]]
            if other:
                raise CheckpointError(
                    f"{where} the {what} configuration: "
                    + ", ".join(f"{k} was {old.get(k)!r} and is {new[k]!r}" for k in other)
                    + ". Resume with the old values, or train into another folder."
                )
        if saved.get("data") != self._data:
            raise CheckpointError(
                f"{where} the training data, which are others than those it was trained on. "
                "Resume with the same data, or train into another folder."
            )
        try:
            self.model.load_state_dict(saved["model"])
            for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(state)
            self.step, self.seconds, self.log = saved["step"], saved["seconds"], saved["log"]
            self.precision, self._scaler_state = saved["precision"], saved["scaler"]
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{where} this model and its optimiser. Resume with the code that wrote it, or "
                "train into another folder."
            ) from error

    @contextmanager
    def _log_file(self) -> Iterator[Any]:
        """The open log.jsonl, in which only the rows up to the current step are left."""
        if self.folder is None or self.rank > 0:
            yield io.StringIO()
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        # The rows are in the checkpoint: what a killed run wrote after it, half lines
        # included, goes.
        temporary = self.folder / "log.jsonl.tmp"
        temporary.write_text("".join(json.dumps(row) + "\n" for row in self.log))
        os.replace(temporary, self.folder / "log.jsonl")
        with open(self.folder / "log.jsonl", "a") as file:
            yield file


def _summary(row: dict[str, Any], val_losses: list[tuple[int, float]]) -> str:
    val = f", val {val_losses[-1][1]:.3f}" if val_losses else ""
    mfu = f"{row['mfu']:.0%}" if row["mfu"] is not None else "—"
    return f"loss {row['loss']:.3f}{val}, {row['tokens_per_s']:,.0f} tokens/s, MFU {mfu}"
