"""The video's ladder: what each means of making GPT-2's training faster brings on this machine.

    python benchmarks/gpt2_speed.py     # on a CPU about a minute, on a GPU some minutes

A row a rung, each with one thing more than the row before: products in TF32, in bfloat16, attention
by a kernel that never writes its T × T weights, a vocabulary that is filled up to 50,304, AdamW as
one kernel, a compiler. The tokens a second are those of the median step, and MFU is the share of
the machine's peak by the operations of the model that was asked for: what padding adds is no gain.
A rung that this machine lacks is named, and why. On a GPU the model is GPT-2 with 124 million
parameters. On a CPU it is a small one with as many tokens, on one thread, and seconds are the
processor's, so that a busy machine changes them little; and the compiler comes last, since each row
after it would have to be compiled anew.

On a GPU two more rows are whole updates of 524,288 tokens as the Trainer makes them: the settings
of karpathy/build-nanogpt, which `gpt2-124m` has, and `gpt2-124m-fast`. There it exits with 1 unless
the latter makes at least half of the peak and 1.3 times the tokens of the former.
"""

import contextlib
import dataclasses
import os
import statistics
import sys
import time
import warnings
from collections.abc import Iterator
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from zerotohero import costs, gpt
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.training import TrainConfig, Trainer
from zerotohero.training import update as updates
from zerotohero.training.batches import Split
from zerotohero.training.machine import best_device, choose_precision, peak_flops
from zerotohero.training.recipes import RECIPES

SHARE, TIMES = 0.5, 1.3  # of the peak, and of build-nanogpt's tokens: on a GPU
V, PADDED = 50_257, 50_304
WARM, LEAST, SECONDS = 2, 3, 3.0  # steps before the clock, steps on it, and for how long at least


@dataclasses.dataclass(frozen=True)
class Rung:
    """How a step is made."""

    name: str
    tf32: bool = False  # products of float32 with ten bits behind the point
    precision: str = "fp32"
    flash: bool = False  # attention by torch's kernel, not by the formula
    padded: bool = False  # a vocabulary that tiles divide
    fused: bool = False  # AdamW as one kernel
    compile: bool = False


def lacking(change: str, device: torch.device) -> str | None:
    """Return why a rung can't be had on the device, in some words; None if it can."""
    cpu = device.type != "cuda"
    if change == "tf32":
        if cpu:
            return "a number format of GPUs since 2020"
        ok = torch.cuda.get_device_capability(device)[0] >= 8
        return None if ok else "this GPU is from before 2020"
    if change == "precision" and choose_precision(device) != "bf16":
        return "this device isn't faster in bfloat16"
    if change == "flash" and cpu and choose_precision(device) == "bf16":
        return "in bfloat16 the formula is the faster on a CPU (benchmarks/attention.py)"
    return None


def ladder(device: torch.device) -> tuple[list[Rung], list[tuple[str, str]]]:
    """Return the rungs of the device, each with all before it, and what is left out and why."""
    steps = {
        "tf32": ("TF32", True),
        "precision": ("bfloat16", "bf16"),
        "compile": ("torch.compile", True),
        "flash": ("flash attention", True),
        "padded": (f"{PADDED:,} tokens", True),
        "fused": ("fused AdamW", True),
    }
    if device.type != "cuda":
        steps["compile"] = steps.pop("compile")  # at the end
    rungs, without = [Rung("float32")], []
    for change, (name, value) in steps.items():
        if why := lacking(change, device):
            without.append((name, why))
        else:
            rungs.append(dataclasses.replace(rungs[-1], name=f"+ {name}", **{change: value}))
    return rungs, without


def sizes(device: torch.device) -> tuple[GPTConfig, int]:
    """Return a GPT with GPT-2's parts and vocabulary for the device, and the rows of a step."""
    if device.type != "cuda":
        return GPTConfig(V, 128, n_layer=4, n_head=4, n_embd=128), 4
    memory = torch.cuda.get_device_properties(device).total_memory
    return GPTConfig.preset("gpt2", vocab_size=V), 16 if memory > 38e9 else 4


@contextlib.contextmanager
def made_so(rung: Rung) -> Iterator[None]:
    """Let torch and the model compute as the rung says, for a while."""
    configure, before = updates.configure_optimizers, torch.get_float32_matmul_precision()

    def separate(model, config):
        optimizers = configure(model, config)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["fused"] = False  # as torch does it unless it is asked
        return optimizers

    def formula(q, k, v, dropout=0.0):
        return gpt.plain_attention(q, k, v, dropout)[0]

    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_float32_matmul_precision, before)
        torch.set_float32_matmul_precision("high" if rung.tf32 else "highest")
        if not rung.fused:
            stack.enter_context(mock.patch.object(updates, "configure_optimizers", separate))
        if not rung.flash:
            stack.enter_context(mock.patch.object(gpt, "attention", formula))
        yield


def now(device: torch.device) -> float:
    """Return the seconds of a clock, when the device has done what it was given."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_of(device: torch.device) -> float:
    """Return the operations a second that MFU is a share of: on a CPU a large product's, tried."""
    if device.type == "cuda":
        return peak_flops(device, "bf16")
    rates, n = [], 1024
    for dtype in (torch.float32, torch.bfloat16)[: 2 if choose_precision(device) == "bf16" else 1]:
        a = torch.ones(n, n, dtype=dtype)
        for _ in range(10):
            start = now(device)
            a @ a
            rates.append(2 * n**3 / (now(device) - start))
    return max(rates)


def rate(rung: Rung, sizes: GPTConfig, rows: int, device: torch.device) -> float:
    """Return the tokens a second of training steps that are made so."""
    sizes = dataclasses.replace(sizes, vocab_size=PADDED if rung.padded else sizes.vocab_size)
    plan = TrainConfig(
        1000, batch_size=rows, precision=rung.precision, compile=rung.compile, betas=(0.9, 0.95)
    )
    model = GPT(sizes, torch.Generator().manual_seed(0)).to(device).train()
    text = torch.randint(V, (100_000,), generator=torch.Generator().manual_seed(0))
    split = Split(text, sizes.block_size, device)
    with made_so(rung):
        update = updates.Update(plan, model, split, 0, 1)
        forward, times = update.prepare(), []
        for step in range(plan.steps):
            start = now(device)
            update(forward, step)
            if step >= WARM:
                times.append(now(device) - start)
            if len(times) >= LEAST and sum(times) > SECONDS:
                break
    return rows * sizes.block_size / statistics.median(times)


def recipe_rate(name: str, device: torch.device) -> float:
    """Return the tokens a second of a recipe's updates, on one GPU, in micro-batches that fit."""
    recipe = RECIPES[name]
    memory = torch.cuda.get_device_properties(device).total_memory
    rows = 64 if memory > 76e9 else 16 if memory > 38e9 else 4  # 64 are build-nanogpt's
    plan = dataclasses.replace(
        recipe.train,
        accumulate=recipe.train.batch_size // rows,
        steps=WARM + 8,
        warmup=1,
        log_every=1,
        eval_every=0,
    )
    model = GPT(recipe.model, torch.Generator().manual_seed(0))
    text = torch.randint(V, (10_000_000,), generator=torch.Generator().manual_seed(0))
    torch.set_float32_matmul_precision("high")
    trainer = Trainer(plan, model, text.to(torch.uint16), device=device, progress=False).run()
    return statistics.median(row["tokens_per_s"] for row in trainer.log[WARM:])


def show(name: str, found: float, flops: float, peak: float, first: float) -> None:
    share = costs.mfu(found, flops, peak)
    print(f"| {name} | {found:,.0f} | {share:.1%} | {found / first:.2f} |", flush=True)


def main() -> int:
    torch.set_num_threads(1)
    device = best_device()
    if device.type == "mps":
        device = torch.device("cpu")
    (rungs, without), (model, rows) = ladder(device), sizes(device)
    flops = costs.flops_per_token(model).total
    peak = peak_of(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "one core of a CPU"
    print(
        f"{costs.num_params(model):,} parameters, {rows} rows of {model.block_size} tokens a step, "
        f"on {name} with {peak / 1e12:.3g} TFLOP/s\n"
    )
    print("| | tokens a second | MFU | times the first |\n| :-- | --: | --: | --: |", flush=True)
    first, start = None, time.perf_counter()
    for rung in rungs:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message="torch.compile doesn't work")
                found = rate(rung, model, rows, device)
        except UserWarning as error:
            without.append((rung.name.removeprefix("+ "), str(error).split(";")[0]))
            continue
        except torch.cuda.OutOfMemoryError:
            without.append((rung.name.removeprefix("+ "), "its memory is too small"))
            continue
        first = first or found
        show(rung.name, found, flops, peak, first)
    good = True
    if device.type == "cuda":
        theirs, ours = (recipe_rate(name, device) for name in ("gpt2-124m", "gpt2-124m-fast"))
        show("build-nanogpt's settings (gpt2-124m)", theirs, flops, peak, first)
        fast = costs.flops_per_token(RECIPES["gpt2-124m-fast"].model).total
        show("gpt2-124m-fast", ours, fast, peak, first)
        share = costs.mfu(ours, fast, peak)
        good = share >= SHARE and ours / theirs >= TIMES
        print(f"\ngpt2-124m-fast: {share:.1%} of the peak (target: {SHARE:.0%}), ", end="")
        print(f"{ours / theirs:.2f} times the tokens (target: {TIMES}){'' if good else '  MISSED'}")
    else:
        without.append(("gpt2-124m, gpt2-124m-fast", "124 million parameters are for a GPU"))
    print("\nLeft out here:")
    for name, why in without:
        print(f"- {name}: {why}")
    print(f"\n{time.perf_counter() - start:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
