"""Reproducing GPT-2: what stands between a model that is right and a run that is worth its money.

The idea: GPT-2 is lecture 07's `GPT` at its published size. What is new is care. Each part of a
long run can be wrong and still train, a little worse; so each is looked at alone, where its effect
is large and costs nothing: the start, one batch, one update, a few steps at each speed, two
processes on one machine.

The papers: Radford et al. (2019), "Language Models are Unsupervised Multitask Learners" (GPT-2);
Brown et al. (2020), "Language Models are Few-Shot Learners" (GPT-3), arXiv:2005.14165, whose
appendix B has the settings that GPT-2's authors left out.

New against `gpt`: nothing in the model. The settings of the real runs are `training.recipes`, what
they cost is `costs`, what more of anything buys is `scaling`. Left out: data and evaluation, which
are `sharding`, `shards` and `scoring`.
"""

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from zerotohero import IGNORED
from zerotohero.generation import modes_kept
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.training import TrainConfig
from zerotohero.training.machine import autocast
from zerotohero.training.recipes import FAST, GPT2, MODERN, Recipe

# --- the start ----------------------------------------------------------------------------------


@torch.no_grad()
def start_plainly(model: GPT) -> GPT:
    """Undo what GPT-2's start does for deep models, in place: every matrix gets deviation 0.02.

    A new `GPT` has divided what adds to the residual path by √(2 n_layer).
    """
    for name, weight in model.named_parameters():
        if name.endswith("c_proj.weight"):
            weight.mul_(math.sqrt(2 * model.config.n_layer))
    return model


@torch.no_grad()
def residual_path(model: GPT, idx: Int[Tensor, "B T"]) -> list[float]:
    """Return the standard deviation of x on its way: embedded, and after each addition.

    Each block adds twice, so there are 2 n_layer + 1 numbers.
    """
    path, hooks = [], []

    def embedded(module, inputs):
        path.append(inputs[0])

    def added(module, inputs, output):
        path.append(path[-1] + output)

    blocks = model.transformer.h
    hooks.append(blocks[0].register_forward_pre_hook(embedded))
    hooks += [part.register_forward_hook(added) for b in blocks for part in (b.attn, b.mlp)]
    try:
        with modes_kept(model):
            model.eval()(idx)
    finally:
        for hook in hooks:
            hook.remove()
    return [x.float().std().item() for x in path]


# --- one batch ----------------------------------------------------------------------------------


def overfit(
    model: nn.Module,
    xb: Int[Tensor, "B T"],
    yb: Int[Tensor, "B T"],
    steps: int = 100,
    lr: float = 3e-3,
) -> list[float]:
    """Train on a single batch, and return the loss of each step.

    A model that can't learn one batch by heart has a mistake in it: it has room enough.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95), fused=True)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(model(xb).flatten(0, 1), yb.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


# --- one update ---------------------------------------------------------------------------------


def gradient(model: nn.Module) -> Float[Tensor, " N"]:
    """Return all gradients as one long vector; a weight without one counts as zeros."""
    parts = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in model.parameters()]
    return torch.cat([part.flatten() for part in parts])


def accumulate(
    model: nn.Module, batches: Iterable[tuple[Int[Tensor, "b T"], Int[Tensor, "b T"]]]
) -> float:
    """Leave the gradient of the mean loss over all the batches' targets, and return that loss.

    Each batch's loss is a sum over its targets, divided by how many there are in all: targets of
    IGNORED don't count, so batches may have different numbers of them. ValueError if there is none.
    """
    batches = list(batches)
    targets = sum(int((yb != IGNORED).sum()) for _, yb in batches)
    if not targets:
        raise ValueError(f"There is no target in these batches: all are {IGNORED}.")
    model.zero_grad()
    total = 0.0
    for xb, yb in batches:
        logits = model(xb).flatten(0, 1)
        loss = (
            F.cross_entropy(logits, yb.flatten(), ignore_index=IGNORED, reduction="sum") / targets
        )
        loss.backward()  # adds to what is there
        total += loss.item()
    return total


# --- speed --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rung:
    """One way to compute the same update."""

    name: str
    precision: str = "fp32"
    formula: bool = False  # attention by the formula, not by a fused kernel
    fused: bool = False  # AdamW as one kernel for all weights, not one for each


# From what a first program does to what a good one does, a change at a time.
LADDER = (
    Rung("attention by its formula, AdamW weight by weight", formula=True),
    Rung("attention in one kernel"),
    Rung("AdamW in one kernel", fused=True),
    Rung("products in bf16", "bf16", fused=True),
)


def tokens_per_second(config: GPTConfig, rung: Rung, rows: int = 4, steps: int = 3) -> float:
    """Return how many tokens this machine trains on in a second of processor time.

    The fastest of `steps` updates counts; the first one, which allocates memory, doesn't.
    """
    model = GPT(config, torch.Generator().manual_seed(1))
    for block in model.transformer.h:
        block.attn.plain = rung.formula
    how = {"fused": True} if rung.fused else {"foreach": False}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, **how)
    idx = torch.randint(config.vocab_size, (rows, config.block_size + 1))
    seconds = []
    for _ in range(steps + 1):
        start = process_time()
        with autocast(model.device, rung.precision):
            logits = model(idx[:, :-1])
        F.cross_entropy(logits.float().flatten(0, 1), idx[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(process_time() - start)
    return rows * config.block_size / min(seconds[1:])


# --- recipes ------------------------------------------------------------------------------------


def small_recipes(sizes: GPTConfig, steps: int, rows: int) -> tuple[Recipe, Recipe]:
    """Return two recipes for the same tokens: GPT-2's of 2019, and what was usual by 2026.

    The first is GPT-2's parts with AdamW and a cosine, as in gpt2-124m; the second modern parts
    with Muon and a trapezoid, as in gpt2-124m-fast. The rates are those of small models, one each.
    """
    same = {
        "steps": steps,
        "batch_size": rows,
        "accumulate": 1,
        "compile": False,
        "eval_every": max(1, steps // 8),
        "eval_batches": 8,
        "log_every": max(1, steps // 40),
        "precision": "fp32",
    }
    warmup = max(1, steps // 20)
    old = replace(GPT2, lr=3e-3, min_lr=3e-4, warmup=warmup, **same)
    new = replace(FAST, warmup=warmup, **same)
    return (
        Recipe("2019", "GPT-2's parts, AdamW", sizes, old),
        Recipe("2026", "modern parts, Muon", replace(sizes, **MODERN), new),
    )


def decay_groups(model: nn.Module) -> dict[str, list[str]]:
    """Return which parameters are pulled towards zero, by name, and which aren't.

    What is multiplied with the input decays, whatever is only added doesn't: matrices and tables
    have two axes, biases and gains one. `training.config.configure_optimizers` groups likewise.
    """
    groups = {"decayed": [], "left alone": []}
    for name, weight in model.named_parameters():
        groups["decayed" if weight.ndim >= 2 else "left alone"].append(name)
    return groups


def schedule(plan: TrainConfig, steps: Sequence[int]) -> list[float]:
    """Return the learning rate in each of these steps, counted from 0."""
    return [plan.lr * plan.lr_factor(step) for step in steps]


# --- several processes --------------------------------------------------------------------------


def torchrun(script: str, processes: int, *arguments: str, timeout: float = 600) -> str:
    """Run a program in several processes that know of each other, and return what it prints.

    It is what `torchrun --standalone --nproc-per-node PROCESSES script.py` does. On a machine
    without GPUs the processes talk to each other by gloo, over the loopback interface. Each
    computes on one thread. RuntimeError with the end of what they say if one fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "script.py")
        path.write_text(script, encoding="utf-8")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(processes), str(path), *arguments]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout
        )
    if done.returncode:
        raise RuntimeError(f"One of {processes} processes failed:\n{done.stderr[-2000:]}")
    return done.stdout
