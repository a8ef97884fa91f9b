"""Training a language model: fast, on one device or many, and able to go on after any interruption.

The idea: a run is its plan, its data and the number of the step; nothing else decides what comes
next. So a run that was killed goes on from its last checkpoint with the same losses, to the bit,
and no device has to tell another which rows it took.

The rest is what makes it fast: numbers of half the size, data that lives on the device, and no loss
that is read in a step that nobody looks at, because the host would have to wait.

New against `mlp.train`: precision, accumulation, checkpoints, several processes.

"To the bit" holds on one kind of device with the same number of threads and processes; on CUDA it
also needs `torch.use_deterministic_algorithms(True)`.
"""

import dataclasses
import io
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from tqdm.auto import tqdm

from zerotohero.generation import modes_kept
from zerotohero.training.batches import Data, Split, check_data, fingerprint
from zerotohero.training.checkpoint import (
    CheckpointError,
    bare,
    check_same,
    load_checkpoint,
    load_weights,
    log_file,
    plain,
    save_checkpoint,
    weights,
)
from zerotohero.training.config import FREE, TrainConfig
from zerotohero.training.losses import Measure, loss_and_count, measured
from zerotohero.training.machine import (
    ctrl_c_waits,
    on_device,
    peak_flops,
    place,
    process_group,
    take_device,
)
from zerotohero.training.update import Update

EVENTS = ("step", "log", "eval", "end")
ROW = ("step", "loss", "lr", "tokens_per_s", "mfu", "val_loss", "seconds")  # of the log


class Trainer:
    """Trains a model: `Trainer(config, model, train_data, val_data).run()`.

    model: any nn.Module that maps (B, T) tokens to (B, T, V) logits, with a dataclass `config`
    that has `vocab_size` and `block_size`, such as gpt.GPT; it is moved to the device. If it is in
    eval mode it is switched to train; if not, modules in it that are in eval mode stay so.
    Data: a 1-D tensor or array of tokens, of any kind of integer, or `shards.Shards`, of which
    chunks are drawn; or a pair (X, Y) of (N, T) inputs and targets, or a torch Dataset of (x, y),
    of which rows are drawn that have a target. Targets of -100 are no part of the loss.
    folder: where last.pt, best.pt (lowest validation loss) and log.jsonl go; None: nothing is
    written. resume: go on from the folder's last.pt, or from the beginning if there is none yet.
    extra: a dict of plain values that the checkpoints keep, such as the vocabulary.
    callbacks: functions of the trainer, called with each new row of the log and at the end.
    measures: functions of the model, by name: what they return, a number or a text, stands in the
    log's rows of every `config.measure_every`-th evaluation. All processes call them, alike.

    Started as `torchrun --standalone --nproc-per-node 2 script.py`, each of the two processes takes
    its half of every batch, on its own GPU where there are GPUs; the first one writes and prints.
    With `config.shard` each has only its part of the model meanwhile; the model itself stays where
    it is, and has the run's weights at each "eval" and at the "end".

    Attributes: step (updates done), log (the rows of log.jsonl), losses, val_losses, best_val,
    seconds (of the steps alone: no compiling, evaluating, saving), running (between the first
    step and the "end"), model, optimizers, precision.

    Raises ValueError (data, batch size, device or checkpoint don't fit), TypeError (not tensors),
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
        callbacks: Sequence[Callable[["Trainer"], object]] = (),
        measures: Mapping[str, Measure] | None = None,
        resume: bool = False,
        extra: dict[str, Any] | None = None,
        progress: bool = True,
    ):
        if not isinstance(config, TrainConfig) or not isinstance(model, nn.Module):
            raise TypeError(
                "A Trainer takes a TrainConfig, the model, and the data, in this order, not a "
                f"{type(config).__name__} and a {type(model).__name__} first."
            )
        if wrong := [c for c in callbacks if not callable(c)]:
            raise TypeError(f"{wrong[0]!r} can't be a callback: give functions of the trainer.")
        self.measures = dict(measures or {})
        if wrong := [name for name in ROW if name in self.measures]:
            raise ValueError(f"A measure can't be called {wrong[0]!r}, as a field of the log is.")
        self.rank, self.world, local = place()
        config.rows_at_a_time(self.world, "processes")  # or they can't share the batch
        train_data = check_data(train_data, "train_data", model)
        if val_data is not None:
            val_data = check_data(val_data, "val_data", model)
        self.device = take_device(device, local)
        shards = config.shard and self.world > 1
        self.config, self.model = config, model if shards else model.to(self.device)
        self.folder = Path(folder) if folder is not None else None
        self.extra, self.progress = plain(extra or {}), progress
        self.step, self.seconds, self.running = 0, 0.0, False
        self.log: list[dict[str, Any]] = []
        T = bare(model).config.block_size
        self._train = Split(train_data, T, self.device)
        self._val = Split(val_data, T, self.device) if val_data is not None else None
        self._update = Update(config, self.model, self._train, self.rank, self.world)
        self._listeners: dict[str, list[Callable]] = {event: [] for event in EVENTS}
        for callback in callbacks:
            for event in ("log", "end"):
                self.on(event, callback)
        self._data = {  # what tells other data from these
            "training": fingerprint(train_data) if self.folder else [],
            "validation": fingerprint(val_data) if self.folder and self._val else [],
        }
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
    def optimizers(self) -> list[torch.optim.Optimizer]:
        return self._update.optimizers

    @property
    def precision(self) -> str:
        """One of "fp32", "bf16" and "fp16"; "auto" until the first step."""
        return self._update.precision

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
        hand, saves last.pt, and raises KeyboardInterrupt; a second one doesn't wait. Raises
        FloatingPointError if the loss or a weight is no longer a finite number; last.pt is the
        last good one then.
        """
        with ExitStack() as stack:
            stack.enter_context(on_device(self.device))
            stack.enter_context(process_group(self.device, self.world))
            stopped = stack.enter_context(ctrl_c_waits(self.world == 1))
            stack.enter_context(modes_kept(self.model))
            stack.callback(setattr, self, "running", False)
            stack.callback(self._update.release)
            file = stack.enter_context(log_file(self.folder if self.rank == 0 else None, self.log))
            if not self.model.training:
                self.model.train()
            self.running = True
            self._loop(self._prepare(), stopped, file, stack.enter_context(self._bar()))
            self.running = False
            self._emit("end")
        if stopped:
            where = f"{self.folder / 'last.pt'} holds it: resume=True" if self.folder else "run()"
            raise KeyboardInterrupt(f"Stopped after step {self.step}; {where} goes on from there.")
        return self

    def _loop(
        self, forward: nn.Module, stopped: list[bool], file: io.TextIOBase, bar: tqdm
    ) -> None:
        start, logged = time.perf_counter(), self.step
        while self.step < self.config.steps and not stopped:
            loss = self._update(forward, self.step)
            self.step += 1
            bar.update()
            self._emit("step")
            if not (self._is_due("log_every") or self._is_due("eval_every") or self.step == 1):
                continue
            value = self._read(loss)  # waits for the device, so that the time is right
            seconds = time.perf_counter() - start
            self.seconds += seconds
            self._report(value, (self.step - logged) / seconds, file, bar)
            start, logged = time.perf_counter(), self.step
        if stopped:
            self.seconds += time.perf_counter() - start
            self._save("last.pt")

    def _is_due(self, *fields: str) -> bool:
        every = math.prod(getattr(self.config, field) for field in fields)
        return self.step == self.config.steps or (every > 0 and self.step % every == 0)

    def _emit(self, event: str) -> None:
        if self.rank == 0:
            for function in self._listeners[event]:
                function(self)

    def _bar(self) -> tqdm:
        steps = {"total": self.config.steps, "initial": self.step, "unit": "step"}
        return tqdm(**steps, leave=False, disable=not self.progress or self.rank > 0)

    def _prepare(self) -> nn.Module:
        forward = self._update.prepare()
        count = getattr(bare(self.model), "flops_per_token", None)
        self._flops = count() if count else 0
        self._peak = peak_flops(self.device, self.precision) * self.world if self._flops else 0
        return forward

    def _read(self, loss: Float[Tensor, ""]) -> float:
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
        """Return the mean loss over the same batches of validation data every time."""
        config = self.config
        numbers = self._val.draw(config.eval_batches * config.batch_size, config.seed, "eval")
        numbers = numbers.view(config.eval_batches * config.accumulate * self.world, -1)
        mine = (self._val.rows(n) for n in numbers[self.rank :: self.world])
        sums = loss_and_count(self._update.model, mine, self.device, self.precision)
        if self.world > 1:
            sums = sums.to(self.device)
            dist.all_reduce(sums)
        value = float(sums[0] / sums[1])
        self._check_finite(math.isfinite(value), f"The validation loss is {value}")
        return value

    def _report(self, loss: float, steps_per_s: float, file: io.TextIOBase, bar: tqdm) -> None:
        """Write a row of the log and, if they are due, evaluate first and save after."""
        due, best = self._is_due("eval_every"), self.best_val
        rate = steps_per_s * self.config.batch_size * self._train.width
        row = {
            "step": self.step,
            "loss": loss,
            "lr": self.config.lr * self.config.lr_factor(self.step - 1),
            "tokens_per_s": rate,
            "mfu": rate * self._flops / self._peak if self._flops else None,
            "val_loss": self._evaluate() if due and self._val else None,
            "seconds": self.seconds,
        }
        if self.measures and self._is_due("eval_every", "measure_every"):
            row |= measured(self._update.model, self.measures, self.device, self.precision)
        self.log.append(row)
        file.write(json.dumps(row) + "\n")
        file.flush()
        val = f", val {self.val_losses[-1][1]:.2f}" if self.val_losses else ""
        speed = f"{tqdm.format_sizeof(rate)} tokens/s"
        mfu = f"{row['mfu']:.0%}" if self._flops else "—"
        bar.set_postfix_str(f"loss {loss:.2f}{val}, {speed}, MFU {mfu}", refresh=False)
        if due:
            self._update.gather()
            # best.pt first: if it is killed between the two, the resumed run writes it again.
            if self.best_val < best:
                self._save("best.pt")
            self._save("last.pt")
            self._emit("eval")
        self._emit("log")

    # --- checkpoints and log

    def _save(self, name: str) -> None:
        self._check_finite(self._update.is_finite(), "A weight is no longer a finite number")
        if self.folder is None:
            return
        rest = self._update.state_dict() if name == "last.pt" else {}  # shards: of all processes
        if self.rank > 0:
            return
        content = {
            **weights(self.model),
            "model_config": dataclasses.asdict(bare(self.model).config),
            "train_config": dataclasses.asdict(self.config),
            "extra": self.extra,
            "step": self.step,
            "log": self.log,
        }
        if name == "last.pt":
            content |= rest | {"seconds": self.seconds, "data": self._data}
        save_checkpoint(self.folder / name, content)

    def _restore(self, saved: dict[str, Any]) -> None:
        path, sizes = self.folder / "last.pt", dataclasses.asdict(bare(self.model).config)
        check_same(path, "model", saved["model_config"], sizes)
        check_same(path, "plan", saved["train_config"], dataclasses.asdict(self.config), FREE)
        kept = saved["data"] if isinstance(saved.get("data"), dict) else {}
        if other := [kind for kind, its in self._data.items() if kept.get(kind) != its]:
            raise CheckpointError(
                f"{path} was written with other {' and '.join(other)} data. Resume with the same, "
                "or train into another folder."
            )
        try:
            load_weights(self.model, saved["model"])
            self._update.load_state_dict(saved)
            self.step, self.seconds, self.log = saved["step"], saved["seconds"], saved["log"]
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path} doesn't fit this model and its optimiser: resume with the code that wrote "
                "it, or train into another folder."
            ) from error
