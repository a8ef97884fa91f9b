"""A small GPT, a short plan and runs of them: what the tests of training share."""

import dataclasses
import json
import multiprocessing
import os
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch
from torch import nn

from zerotohero.generation import generate
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.training import (
    TrainConfig,
    Trainer,
)

V, T = 11, 8
SMALL = GPTConfig(V, T, n_layer=2, n_head=2, n_embd=16)
TEXT = torch.randint(V, (300,), generator=torch.Generator().manual_seed(5))
PLAN = TrainConfig(
    30, batch_size=4, warmup=5, log_every=3, eval_every=8, eval_batches=2, precision="fp32"
)


def gpt(seed: int = 0, **changes) -> GPT:
    config = dataclasses.replace(SMALL, **changes)
    return GPT(config, torch.Generator().manual_seed(seed))


def plan(**changes) -> TrainConfig:
    return dataclasses.replace(PLAN, **changes)


def trainer(
    config: TrainConfig = PLAN, model=None, data=TEXT, val=TEXT[:100], **options
) -> Trainer:
    options = {"device": "cpu", "progress": False, **options}
    return Trainer(config, gpt() if model is None else model, data, val, **options)


def masked_rows(n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows with 1 to T targets each, so that micro-batches hold different numbers of targets."""
    g = torch.Generator().manual_seed(1)
    X, Y = torch.randint(V, (2, n, T), generator=g)
    first = torch.randint(T, (n, 1), generator=g)
    return X, Y.masked_fill(torch.arange(T) < first, -100)


def same_each_time(rows: list[dict]) -> list[tuple]:
    """What of the log depends on the seed alone."""
    clock = ("tokens_per_s", "mfu", "seconds")
    return [tuple((key, row[key]) for key in row if key not in clock) for row in rows]


def measures() -> dict:
    """A number and a text that a model is asked for, the latter with random numbers."""

    def written(model):
        generator = torch.Generator().manual_seed(3)
        return repr(generate(model, [[1, 2], [3]], 9, generator=generator))

    return {"size": lambda model: model(TEXT[None, :T]).square().mean().item(), "text": written}


def read_log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def environment(root: Path) -> dict[str, str]:
    """For a process that imports from the repository and from this file."""
    path = os.pathsep.join([str(root), str(root / "tests")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def forks(root: Path, module: str):
    """A context of processes that are forked from one which has imported the module and torch.

    Unlike the tests' process, it imports without the checks of `conftest.py`.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module, "torch._dynamo"])  # slow to import
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", environment(root)["PYTHONPATH"])  # or it finds no module of ours
        forkserver.ensure_running()
    return context


def sgd(model, config):
    """In place of AdamW, whose steps hide the gradient's length."""
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr)
    for group in optimizer.param_groups:
        group["initial_lr"] = config.lr
    return [optimizer]


def randomise(model: nn.Module, seed: int = 0, deviation: float = 0.3) -> nn.Module:
    """Make all parameters random: at their initial 0 and 1, swapped biases would not show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.1, deviation, generator=generator)
    return model.eval()


class Plain(nn.Module):
    """A model that knows nothing but its sizes."""

    def __init__(self, vocab_size: int = V):
        super().__init__()
        self.config = dataclasses.replace(SMALL, vocab_size=vocab_size)
        self.table = nn.Embedding(V, V)

    def forward(self, idx):
        return self.table(idx)


class Stop(Exception):
    pass


def stopped_at(step: int, config: TrainConfig, folder: Path, **options) -> None:
    """Start a run that fails after so many steps."""

    def stop(t):
        if t.step == step:
            raise Stop

    run = trainer(config, folder=folder, **options)
    run.on("step", stop)
    with pytest.raises(Stop):
        run.run()
