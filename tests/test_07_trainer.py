"""Lecture 07: the trainer, its plan, its batches, its checkpoints, and its live curve."""

import dataclasses
import functools
import itertools
import json
import math
import multiprocessing
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from untyped import jaxtyping_off
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.training import (
    CheckpointError,
    TrainConfig,
    Trainer,
    batches,
    evaluate,
    load_checkpoint,
    machine,
    update,
)
from zerotohero.training import trainer as trainer_module
from zerotohero.training.checkpoint import save_checkpoint
from zerotohero.training.config import configure_optimizers

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
    return [(row["step"], row["loss"], row["lr"], row["val_loss"]) for row in rows]


def read_log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def environment(root: Path) -> dict[str, str]:
    """For a process that imports from the repository and from this file."""
    path = os.pathsep.join([str(root), str(root / "tests")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def sgd(model, config):
    """In place of AdamW, whose steps hide the gradient's length."""
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr)
    for group in optimizer.param_groups:
        group["initial_lr"] = config.lr
    return [optimizer]


# --- the plan -------------------------------------------------------------------------------------


def test_cosine_rises_and_falls():
    config = TrainConfig(110, warmup=10, lr=1.0, min_lr=0.2)
    factors = [config.lr_factor(step) for step in range(110)]
    assert factors[:11] == pytest.approx([i / 10 for i in range(1, 11)] + [1.0])
    assert factors[60] == pytest.approx(0.6)  # half-way down
    assert factors[109] == pytest.approx(0.2, abs=1e-3)
    assert sorted(factors[10:], reverse=True) == factors[10:]


def test_a_trapezoid_is_constant_and_then_a_line():
    config = TrainConfig(
        100, warmup=10, lr=0.5, min_lr=0.0, schedule="trapezoid", cooldown=0.2, muon_lr=0.1
    )
    factors = [config.lr_factor(step) for step in range(100)]
    assert factors[:10] == pytest.approx([i / 10 for i in range(1, 11)])
    assert factors[10:81] == [1.0] * 71
    assert factors[80:] == pytest.approx([i / 20 for i in range(20, 0, -1)])
    higher = dataclasses.replace(config, min_lr=0.25)
    assert higher.lr_factor(90) == pytest.approx(0.5 + 0.5 * 0.5)


def test_without_warmup_a_constant_rate_is_constant():
    config = TrainConfig(5, warmup=0, schedule="constant")
    assert [config.lr_factor(step) for step in range(5)] == [1.0] * 5


def test_a_warm_up_that_nobody_asked_for_fits():
    assert [TrainConfig(n).warmup_steps for n in (1, 9, 50, 999, 1000, 5000)] == [
        *(0, 0, 5, 99, 100, 100)
    ]
    short = TrainConfig(50, schedule="constant")
    assert [short.lr_factor(step) for step in range(7)] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, *[1.0] * 3]
    )
    # It is worked out anew for other steps, as in a recipe that is made short.
    assert dataclasses.replace(TrainConfig(5000), steps=50).warmup_steps == 5
    falling = TrainConfig(100, schedule="trapezoid", cooldown=0.95)
    assert falling.warmup_steps == 5 and falling.lr_factor(5) == 1.0
    assert TrainConfig(100, schedule="trapezoid", cooldown=1.0).warmup_steps == 0


def test_a_lowest_rate_that_nobody_asked_for_is_a_tenth():
    for lr in (1e-6, 1e-3, 5.0):
        config = TrainConfig(200, lr=lr)
        assert config.lr_factor(200) == pytest.approx(0.1)
    assert TrainConfig(200, lr=1e-3, min_lr=0.0).lr_factor(200) == pytest.approx(0.0)


@given(
    steps=st.integers(1, 3000),
    lr=st.floats(1e-12, 1e3),
    schedule=st.sampled_from(["cosine", "trapezoid", "constant"]),
    cooldown=st.floats(0, 1),
)
def test_steps_and_a_rate_are_enough_for_a_plan(steps, lr, schedule, cooldown):
    config = TrainConfig(steps, lr=lr, schedule=schedule, cooldown=cooldown)
    factors = [config.lr_factor(step) for step in {0, steps // 20, steps // 2, steps - 1}]
    assert all(0 < factor <= 1 for factor in factors)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2.5}, "whole number"),
        ({"batch_size": True}, "batch_size is True"),
        ({"lr": 0.0, "min_lr": 0.0}, "lr is 0.0"),
        ({"lr": "1e-3"}, "positive number"),
        ({"lr": math.nan}, "lr is nan"),
        ({"min_lr": 0.1}, "at most lr"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"grad_clip": math.inf}, "grad_clip is inf"),
        ({"betas": (0.9, 1.0)}, "below 1"),
        ({"betas": (0.9,)}, "two numbers"),
        ({"muon_momentum": 1.0}, "muon_momentum is 1.0"),
        ({"schedule": "linear"}, "cosine, trapezoid, constant"),
        ({"optimizer": "sgd"}, "adamw, muon"),
        ({"precision": "int8"}, "auto, fp32, bf16, fp16"),
        ({"cooldown": 1.5}, "share"),
        ({"accumulate": 5, "batch_size": 12}, "multiple of accumulate, 5"),
        ({"steps": 50, "warmup": 51}, "fits into 50 steps"),
        (
            {"warmup": 500, "schedule": "trapezoid", "cooldown": 0.6},
            "600 of which are the cooldown",
        ),
    ],
)
def test_a_plan_that_cannot_work_is_refused(changes, words):
    with jaxtyping_off(), pytest.raises(ValueError, match=words) as error:
        TrainConfig(**{"steps": 1000, **changes})
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_betas_may_come_from_a_file():
    with jaxtyping_off():
        assert TrainConfig(200, betas=[0.9, 0.95]).betas == (0.9, 0.95)


# --- the optimisers -------------------------------------------------------------------------------


def test_matrices_decay_and_nothing_else():
    model = gpt()
    (adamw,) = configure_optimizers(model, PLAN)
    decays, stays = adamw.param_groups
    assert (decays["weight_decay"], stays["weight_decay"]) == (0.1, 0.0)
    assert {p.ndim for p in decays["params"]} == {2} and {p.ndim for p in stays["params"]} == {1}
    # Each once, tied ones too.
    held = [id(p) for group in adamw.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    assert decays["fused"]

    # Decoupled: without a gradient a weight shrinks by lr · weight_decay, whatever Adam's averages.
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    adamw.step()
    for name, p in model.named_parameters():
        kept = 1 - PLAN.lr * 0.1 if p.ndim == 2 else 1.0
        torch.testing.assert_close(p, before[name] * kept)


def test_muon_takes_the_matrices_of_the_blocks():
    model = gpt()
    muon, adamw = configure_optimizers(model, plan(optimizer="muon", muon_lr=0.03))
    names = {id(p): name for name, p in model.named_parameters()}
    (group,) = muon.param_groups
    assert group["initial_lr"] == 0.03
    taken = {names[id(p)] for p in group["params"]}
    assert taken == {
        f"transformer.h.{i}.{part}.weight"
        for i in range(2)
        for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    rest = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert rest == set(names.values()) - taken
    with pytest.raises(ValueError, match="adamw"):
        configure_optimizers(nn.Linear(2, 2), plan(optimizer="muon"))


def test_frozen_weights_are_left_out():
    model = gpt()
    model.transformer.wte.requires_grad_(False)
    before = model.transformer.wte.weight.clone()
    run = trainer(plan(steps=5), model).run()
    assert all(p.requires_grad for p in run._update.params)
    assert torch.equal(model.transformer.wte.weight, before)


@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_the_gradient_is_clipped_as_a_whole(clip, monkeypatch):
    monkeypatch.setattr(update, "configure_optimizers", sgd)
    model = gpt()
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    trainer(plan(steps=1, lr=1.0, warmup=0, schedule="constant", grad_clip=clip), model).run()
    moved = (nn.utils.parameters_to_vector(model.parameters()) - before).norm().item()
    if clip:
        assert moved == pytest.approx(clip, rel=1e-3)
    else:
        assert moved > 0.1


# --- what a step computes -------------------------------------------------------------------------


@pytest.mark.parametrize("data", [TEXT, masked_rows()], ids=["text", "masked rows"])
def test_micro_batches_equal_one_batch(data, monkeypatch):
    """In float64 and with plain SGD, in which a wrong weight of a micro-batch would show."""
    monkeypatch.setattr(update, "configure_optimizers", sgd)
    runs = []
    for accumulate in (1, 2, 4):
        model = gpt().double()
        config = plan(batch_size=8, accumulate=accumulate, lr=0.1, log_every=1)
        run = trainer(config, model, data, data).run()
        runs.append((run.losses, nn.utils.parameters_to_vector(model.parameters())))
    for losses, weights in runs[1:]:
        assert losses == pytest.approx(runs[0][0], abs=1e-12)
        torch.testing.assert_close(weights, runs[0][1], rtol=0, atol=1e-12)


def test_the_masks_of_that_test_tell_a_mean_of_means_from_the_mean():
    X, Y = masked_rows()
    model = gpt().double()
    halves = [
        F.cross_entropy(model(X[i]).flatten(0, 1), Y[i].flatten()) for i in (slice(4), slice(4, 8))
    ]
    whole = F.cross_entropy(model(X[:8]).flatten(0, 1), Y[:8].flatten())
    assert abs(sum(halves) / 2 - whole) > 1e-6, (
        "Unequal masks should matter, or nothing was tested."
    )


def test_the_logged_loss_is_the_mean_over_the_batch(monkeypatch):
    seen = []
    rows = batches.Split.rows

    def spy(self, numbers):
        seen.append(rows(self, numbers))
        return seen[-1]

    monkeypatch.setattr(batches.Split, "rows", spy)
    model = gpt()
    run = trainer(plan(steps=1, warmup=0, batch_size=6), model, masked_rows(), None).run()
    ((x, y),) = seen
    assert x.shape == (1, 6, T)
    loss = F.cross_entropy(gpt()(x[0]).flatten(0, 1), y[0].flatten())
    assert run.losses == [pytest.approx(loss.item(), rel=1e-6)]


def test_rows_without_a_target_are_not_drawn():
    """Most rows of instruction data that was cut may have none; a mean over nothing is not 0."""
    X, Y = masked_rows()
    kept = torch.arange(len(Y)) == 17
    few = (X, Y.masked_fill(~kept[:, None], -100))
    run = trainer(plan(lr=1e-9), data=few, val=few).run()
    loss = F.cross_entropy(gpt()(X[kept]).flatten(0, 1), Y[kept].flatten()).item()
    assert run.losses == pytest.approx([loss] * len(run.losses), rel=1e-5)
    assert [v for _, v in run.val_losses] == pytest.approx([loss] * 4, rel=1e-5)
    assert evaluate(run.model, few) == pytest.approx(loss, rel=1e-5)
    # And all of those that have one can be.
    some = batches.Split(
        (X, Y.masked_fill(torch.arange(len(Y))[:, None] % 2 == 0, -100)), T, run.device
    )
    drawn = some.rows(some.draw(1000, 1))[0]
    assert {tuple(row) for row in drawn.tolist()} == {tuple(row) for row in X[1::2].tolist()}


def test_inputs_and_targets_are_neighbours():
    split = batches.Split(torch.arange(50), T, torch.device("cpu"))
    x, y = split.rows(torch.tensor([[0, 41]]))
    assert split.n_rows == 42 and x.shape == y.shape == (1, 2, T)
    assert torch.equal(y, x + 1) and y.max() == 49
    assert split.targets(torch.tensor([0, 41])) == 2 * T


MOVES = {
    *("view", "_to_copy", "slice", "split", "select", "unsqueeze", "detach", "alias", "clone"),
    *("expand", "_unsafe_view", "flatten", "reshape", "_reshape_alias", "lift_fresh"),
}


class NoUnsigned(TorchDispatchMode):
    """Refuses what torch 2.6 lacks for unsigned integers above a byte: all but to move them."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        if any(t.dtype in batches.SIGNED for t in tensors):
            name = func.overloadpacket.__name__
            assert name in MOVES, f"{name} is not implemented for {tensors[0].dtype}"
        return func(*args, **(kwargs or {}))


INTEGERS = [
    *(torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.uint64)
]


@pytest.mark.parametrize("kind", [*INTEGERS, np.uint16, np.int32, "memory-mapped"], ids=str)
def test_the_kind_of_integer_does_not_matter(kind, tmp_path):
    def converted(t):
        if isinstance(kind, torch.dtype):
            return t.to(kind)
        array = t.numpy().astype("uint16" if kind == "memory-mapped" else kind)
        if kind != "memory-mapped":
            return array
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.bin"
        array.tofile(path)
        return np.memmap(path, dtype="uint16", mode="r", shape=array.shape)

    text = torch.tensor([i * i % V for i in range(300)])
    rows = (text.view(-1, 5), text.flip(0).reshape(-1, 5))
    with NoUnsigned(), warnings.catch_warnings(action="error"):
        for data in (text, rows):
            short = converted(data) if data is text else tuple(map(converted, data))
            expected = trainer(plan(steps=8), data=data, val=data).run()
            run = trainer(plan(steps=8), data=short, val=short).run()
            assert same_each_time(run.log) == same_each_time(expected.log)
            assert evaluate(expected.model, short) == evaluate(expected.model, data)


def test_large_tokens_of_small_integers_are_themselves():
    """Tokens whose highest bit is set; and 156, which as a byte has the bits of -100."""
    model = Plain(70_000)
    model.table = nn.Embedding(70_000, 1)
    for dtype, tokens in ((torch.uint16, [65_436, 65_535, 7]), (torch.uint8, [156, 255, 7])):
        data = torch.tensor(tokens).repeat(10).to(dtype)
        pair = batches.check_data((data.view(-1, 3), data.view(-1, 3)), "data", model)
        split = batches.Split(pair, T, torch.device("cpu"))
        assert split.n_rows == 10 and split.targets(torch.tensor([0, 1])) == 6
        for t in split.rows(torch.tensor([4])):
            assert t.tolist() == [tokens] and t.dtype == torch.int64
        split = batches.Split(batches.check_data(data, "data", model), T, torch.device("cpu"))
        x, _ = split.rows(torch.tensor([3]))
        assert x[0, :3].tolist() == tokens
        batch = next(batches.windows(data, 3, 2, torch.device("cpu")))
        assert batch[0].tolist() == [tokens] * 2


def test_it_learns():
    data = torch.arange(400) * 3 % V  # each token tells the next
    config = plan(steps=150, lr=0.01, batch_size=8, eval_every=0)
    run = trainer(config, data=data, val=data).run()
    assert run.losses[0] == pytest.approx(math.log(V), abs=0.2)
    assert run.losses[-1] < 0.1 and run.best_val < 0.1
    assert evaluate(run.model, data) == pytest.approx(run.best_val, abs=0.02)


def test_batches_depend_on_seed_and_step_alone():
    torch.manual_seed(1)
    first = trainer(model=gpt(dropout=0.2)).run()
    torch.manual_seed(2)
    torch.rand(7)
    state = torch.get_rng_state()
    run = trainer(model=gpt(dropout=0.2))
    run.on("step", lambda _: torch.rand(3))  # a callback that draws numbers
    run.run()
    assert same_each_time(run.log) == same_each_time(first.log)
    assert torch.equal(torch.get_rng_state(), state), "The run has used up global random numbers."
    other = trainer(plan(seed=7), gpt(dropout=0.2)).run()
    assert other.losses != first.losses


def test_each_step_draws_other_rows_and_evaluations_the_same(monkeypatch):
    drawn = []
    draw = batches.Split.draw

    def spy(self, n, seed, *what):
        drawn.append((what, draw(self, n, seed, *what)))
        return drawn[-1][1]

    monkeypatch.setattr(batches.Split, "draw", spy)
    trainer().run()
    steps = [rows for what, rows in drawn if what[0] == "batch"]
    evals = [rows for what, rows in drawn if what[0] == "eval"]
    assert len(steps) == 30 and len({tuple(rows.tolist()) for rows in steps}) == 30
    assert len(evals) == 4 and all(torch.equal(rows, evals[0]) for rows in evals)


def test_dropout_differs_between_steps_and_micro_batches(monkeypatch):
    seeds = []
    monkeypatch.setattr(update, "seed_device", lambda device, seed: seeds.append(seed))
    trainer(plan(accumulate=2)).run()
    assert len(set(seeds)) == len(seeds) == 60


def test_the_host_waits_only_where_a_loss_is_logged():
    class Reads(TorchDispatchMode):
        n = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.n += func is torch.ops.aten._local_scalar_dense.default
            return func(*args, **(kwargs or {}))

    counts = []
    for steps in (20, 40):
        config = plan(steps=steps, log_every=1000, eval_every=0, optimizer="muon", accumulate=2)
        with Reads() as reads:
            trainer(config, data=masked_rows(), val=None).run()
        counts.append(reads.n)
    assert counts[0] == counts[1] > 0, "Twenty steps more have read numbers from the device."


# --- evaluation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, T, T + 1, T + 2, 5 * T + 4])
def test_evaluate_takes_every_target_once(n):
    model, data = gpt(), TEXT[:n]
    losses = []
    for start in range(0, n - 1, T):
        chunk = data[start : start + T + 1]
        losses += F.cross_entropy(model(chunk[None, :-1])[0], chunk[1:], reduction="none").tolist()
    assert len(losses) == n - 1
    for batch_size in (1, 3, 64):
        loss = evaluate(model, data, batch_size=batch_size)
        assert loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_evaluate_passes_over_masked_targets_and_leaves_the_mode():
    X, Y = masked_rows()
    model = gpt(dropout=0.5).train()
    loss = evaluate(model, (X, Y), batch_size=7)
    assert model.training
    model.eval()
    expected = F.cross_entropy(model(X).flatten(0, 1), Y.flatten()).item()
    assert loss == pytest.approx(expected, rel=1e-5)
    assert evaluate(model, (X, Y)) == pytest.approx(expected, rel=1e-5) and not model.training
    assert evaluate(model, (X, Y), precision="bf16") == pytest.approx(expected, abs=0.02)


# --- data that cannot work ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (torch.tensor([], dtype=torch.long), ValueError, "has 0 tokens, but 9 are needed"),
        (TEXT[:8], ValueError, "longer text or a smaller block_size"),
        (TEXT + 1, ValueError, "from 1 to 11, but the model knows 0 to 10"),
        (TEXT - 1, ValueError, "from -1"),
        (TEXT.float(), ValueError, "torch.float32"),
        (TEXT > 3, ValueError, "torch.bool"),
        (TEXT.view(30, 10), ValueError, "1-D"),
        (TEXT.tolist(), TypeError, "1-D tensor"),
        ("to be or not to be", TypeError, "1-D tensor"),
        ((TEXT, TEXT), ValueError, r"both must be \(N, T\)"),
        ((TEXT.view(-1, 6), TEXT.view(-1, 5)), ValueError, r"\(50, 6\) and targets of \(60, 5\)"),
        ((TEXT.view(-1, 10), TEXT.view(-1, 10)), ValueError, "cut the rows or raise block_size"),
        ((TEXT.view(-1, 5), TEXT.view(-1, 5) * 0 - 100), ValueError, "nothing to learn"),
        ((TEXT.view(-1, 5) * 0 - 100, TEXT.view(-1, 5)), ValueError, "from -100 to -100"),
        ((torch.empty(0, 5).long(), torch.empty(0, 5).long()), ValueError, "at least one row"),
    ],
)
def test_data_that_cannot_work_is_refused(data, error, words):
    for name in ("train_data", "val_data"):
        given = {"data": data} if name == "train_data" else {"val": data}
        with jaxtyping_off(), pytest.raises(error, match=words) as caught:
            trainer(**given)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_evaluate_refuses_what_it_cannot_evaluate():
    with pytest.raises(ValueError, match="1 tokens"):
        evaluate(gpt(), TEXT[:1])


def test_a_batch_must_be_shared_out_evenly(monkeypatch):
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "3",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "x",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=r"2 micro-batches for each of 3 processes.*multiple of 6"):
        trainer(plan(batch_size=8, accumulate=2))


# --- precision, compiler, rates -------------------------------------------------------------------


def test_precision_is_chosen_by_trying(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 0)
    for ratio, expected in ((5.0, "bf16"), (1.5, "fp32"), (0.1, "fp32")):
        rates = {torch.bfloat16: ratio, torch.float32: 1.0}
        monkeypatch.setattr(machine, "matmul_rate", lambda device, dtype, r=rates: r[dtype])
        assert machine.choose_precision(cpu) == expected
    monkeypatch.setattr(torch.cuda, "device", lambda device: warnings.catch_warnings())
    for has, expected in ((True, "bf16"), (False, "fp16")):
        # torch emulates what the hardware lacks, and says so only if asked.
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True, h=has: h or including_emulation,
        )
        assert machine.choose_precision(cuda) == expected
    assert machine.choose_precision(torch.device("mps")) == "fp32"


def test_a_rate_is_a_rate():
    # Between a slow laptop's and a large server's.
    assert 1e8 < machine.matmul_rate(torch.device("cpu"), torch.float32) < 1e14


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_as_well(precision):
    data = torch.arange(400) * 3 % V
    config = plan(steps=40, lr=0.02, batch_size=8, precision=precision, eval_every=0)
    run = trainer(config, data=data, val=data).run()
    assert run.best_val < 1.0 < run.losses[0]
    assert {p.dtype for p in run.model.parameters()} == {torch.float32}


def test_a_half_precision_run_multiplies_in_it(monkeypatch):
    seen = set()
    linear = F.linear

    def spy(x, weight, bias=None):
        y = linear(x, weight, bias)
        seen.add(y.dtype)
        return y

    monkeypatch.setattr(F, "linear", spy)
    trainer(plan(steps=1, warmup=0, precision="bf16")).run()
    assert seen == {torch.bfloat16}


def test_a_resumed_run_keeps_the_precision_that_was_measured(tmp_path, monkeypatch):
    config = plan(precision="auto")
    monkeypatch.setattr(update, "choose_precision", lambda device: "bf16")
    whole = trainer(config).run()
    assert whole.precision == "bf16"
    stopped_at(17, config, tmp_path)
    monkeypatch.setattr(update, "choose_precision", lambda device: "fp32")
    resumed = trainer(config, folder=tmp_path, resume=True).run()
    assert resumed.precision == "bf16" and resumed.losses == whole.losses


def test_a_compiled_run_leaves_the_model_as_it_is(tmp_path, root):
    """With torch's tracing, but without its C++ compiler, which takes a minute.

    In a process of its own, in which types aren't checked, for that can't be traced.
    """
    script = textwrap.dedent("""
    import functools, sys, torch
    from test_07_trainer import T, TEXT, V, gpt, load_checkpoint, plan, trainer

    traced = []

    def backend(graph, inputs):
        traced.append(graph)
        return graph.forward

    torch.compile = functools.partial(torch.compile, backend=backend)
    models = [gpt(), gpt()]
    run = trainer(plan(compile=True), models[0], folder=sys.argv[1]).run()
    assert traced, "Nothing was compiled."
    expected = trainer(model=models[1]).run().losses
    assert max(abs(a - b) for a, b in zip(run.losses, expected, strict=True)) < 1e-5
    weights = load_checkpoint(sys.argv[1] + "/last.pt")["model"]
    assert list(weights) == list(models[1].state_dict())
    assert run.model is models[0] and run.model(TEXT[None, :T]).shape == (1, T, V)
    """)
    python = [sys.executable, "-c", script, str(tmp_path)]
    subprocess.run(python, env=environment(root), check=True)


def test_without_a_compiler_the_run_goes_on(monkeypatch):
    def broken(module):
        def call(*args):
            raise RuntimeError("No working C++ compiler found\nand a long story")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(UserWarning, match="doesn't work here .No working C.. compiler found.; the"):
        run = trainer(plan(compile=True)).run()
    assert run.losses == trainer().run().losses


@pytest.mark.slow
def test_the_real_compiler(root):
    """In a process of its own, in which types aren't checked, for that can't be compiled."""
    script = textwrap.dedent("""
    import warnings
    from test_07_trainer import gpt, plan, trainer
    warnings.simplefilter("error", UserWarning)
    mine, theirs = (trainer(plan(compile=c), gpt()).run().losses for c in (True, False))
    assert max(abs(a - b) for a, b in zip(mine, theirs, strict=True)) < 1e-4, (mine, theirs)
    """)
    subprocess.run([sys.executable, "-c", script], env=environment(root), check=True)


def test_mfu_is_the_share_of_the_peak(monkeypatch):
    monkeypatch.setattr(trainer_module, "peak_flops", lambda device, precision: 1e12)
    run = trainer().run()
    for row in run.log:
        flops = row["tokens_per_s"] * run.model.flops_per_token()
        assert row["mfu"] == pytest.approx(flops / 1e12)
    assert run.log[-1]["seconds"] == run.seconds > 0
    tokens = sum(
        (b["step"] - a) * 4 * T / b["tokens_per_s"]
        for a, b in zip([0, *(row["step"] for row in run.log)], run.log, strict=False)
    )
    assert tokens * 1.0 == pytest.approx(run.seconds), "Rates and seconds contradict each other."


def test_peaks_are_found_by_the_gpus_name(monkeypatch):
    cuda = torch.device("cuda", 0)
    monkeypatch.setattr(machine, "matmul_rate", lambda device, dtype: 5.0)
    for name, peak in {
        "NVIDIA H100 80GB HBM3": 989e12,
        "NVIDIA A100-SXM4-40GB": 312e12,
        "Tesla T4": 65e12,
        "NVIDIA L4": 121e12,
        "NVIDIA L40S": 5.0,  # not the L4
        "NVIDIA GeForce RTX 4090": 165e12,
    }.items():
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, n=name: n)
        assert machine.peak_flops(cuda, "bf16") == peak


def test_the_bar_says_what_is_reached(monkeypatch, capsys):
    bars = []

    class Bar(trainer_module.tqdm):
        said = ""

        def set_postfix_str(self, s="", refresh=True):
            self.said = s

        def close(self):
            bars.append((self.n, self.total, self.disable, self.said))
            super().close()

    monkeypatch.setattr(trainer_module, "tqdm", Bar)
    monkeypatch.setattr(trainer_module, "peak_flops", lambda device, precision: 1e12)
    trainer(progress=True).run()
    (n, total, disabled, said), *_ = bars
    assert (n, total, disabled) == (30, 30, False)
    assert re.fullmatch(r"loss 2\.\d\d, val 2\.\d\d, [\d.]+k? tokens/s, MFU \d+%", said), said
    capsys.readouterr()
    trainer().run()
    assert capsys.readouterr() == ("", "")


class Plain(nn.Module):
    """A model that knows nothing but its sizes."""

    def __init__(self, vocab_size: int = V):
        super().__init__()
        self.config = dataclasses.replace(SMALL, vocab_size=vocab_size)
        self.table = nn.Embedding(V, V)

    def forward(self, idx):
        return self.table(idx)


def test_any_module_with_sizes_can_be_trained():
    run = trainer(model=Plain()).run()
    assert run.log[-1]["mfu"] is None and math.isfinite(run.best_val)
    with pytest.raises(TypeError, match="config"):
        trainer(model=nn.Linear(2, 2))


# --- events ---------------------------------------------------------------------------------------


def test_events_come_in_their_places():
    heard = []
    run = trainer(callbacks=[lambda t: heard.append(("callback", t.step, t.running))])
    for event in ("step", "log", "eval", "end"):
        run.on(event, lambda t, e=event: heard.append((e, t.step)))
    assert run.run() is run
    assert [s for e, s, *_ in heard if e == "step"] == list(range(1, 31))
    logged = [1, 3, 6, 8, 9, 12, 15, 16, 18, 21, 24, 27, 30]
    assert [s for e, s, *_ in heard if e == "log"] == logged
    assert [s for e, s, *_ in heard if e == "eval"] == [8, 16, 24, 30]
    assert [h[1:] for h in heard if h[0] == "callback"] == [
        *((s, True) for s in logged),
        (30, False),
    ]
    assert heard[-1] == ("end", 30)
    assert [step for step, _ in run.val_losses] == [8, 16, 24, 30]
    with pytest.raises(ValueError, match="step, log, eval, end"):
        run.on("batch", print)


def test_the_model_is_in_training_mode_only_while_it_trains():
    model = gpt().eval()
    modes = []
    run = trainer(model=model)
    run.on("step", lambda t: modes.append(t.model.training))
    run.run()
    assert all(modes) and not model.training


def modes(model: nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in model.named_modules()}


def test_what_was_frozen_in_eval_mode_stays_so():
    model = gpt(dropout=0.5).train()
    frozen = model.transformer.h[0].eval()
    before, heard = modes(model), []
    run = trainer(plan(steps=8), model, val=TEXT)
    run.on("step", lambda t: heard.append(modes(t.model)))
    run.run()
    assert heard == [before] * 8 and not frozen.training
    assert sorted(set(before.values())) == [False, True] and modes(model) == before
    evaluate(model, TEXT)
    model.generate(TEXT[None, :3], 2)
    model.attention_maps(TEXT[None, :3])
    assert modes(model) == before

    model.eval().transformer.drop.train()  # the other way round, as for guesses with dropout
    before = modes(model)
    evaluate(model, TEXT)
    trainer(plan(steps=8), model).run()
    assert modes(model) == before


def test_after_an_error_the_modes_are_what_they_were():
    model = gpt().train()
    model.transformer.h[1].eval()
    before = modes(model)
    run = trainer(model=model)
    run.on("step", lambda t: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.run()
    assert modes(model) == before


# --- checkpoints ----------------------------------------------------------------------------------


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


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resumed_run_goes_on_to_the_bit(optimizer, precision, tmp_path):
    config = plan(optimizer=optimizer, precision=precision, accumulate=2)
    whole = trainer(config, gpt(dropout=0.2), folder=tmp_path / "whole").run()
    part = tmp_path / "part"
    stopped_at(21, config, part, model=gpt(dropout=0.2))
    with open(part / "log.jsonl", "a") as file:
        file.write('{"step": 22, "lo')  # the line that was being written
    resumed = trainer(config, gpt(seed=9, dropout=0.2), folder=part, resume=True)
    assert resumed.step == 16
    resumed.run()
    assert same_each_time(resumed.log) == same_each_time(whole.log)
    assert read_log(part) == resumed.log and resumed.seconds > 0
    for mine, theirs in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    for name in ("best.pt", "last.pt"):
        mine, theirs = (load_checkpoint(tmp_path / run / name) for run in ("whole", "part"))
        assert mine["step"] == theirs["step"]
        assert all(torch.equal(p, theirs["model"][key]) for key, p in mine["model"].items())


def test_a_finished_run_is_not_run_again(tmp_path):
    first = trainer(folder=tmp_path).run()
    stamp = (tmp_path / "last.pt").stat().st_mtime_ns
    again = trainer(folder=tmp_path, resume=True).run()
    assert again.log == first.log and (tmp_path / "last.pt").stat().st_mtime_ns == stamp
    # More steps are a new schedule, and allowed.
    longer = trainer(plan(steps=36), folder=tmp_path, resume=True).run()
    assert longer.step == 36 and longer.log[: len(first.log)] == first.log


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path):
    stopped_at(5, PLAN, tmp_path)
    run = trainer(folder=tmp_path, resume=True).run()
    assert same_each_time(read_log(tmp_path)) == same_each_time(trainer().run().log)
    assert run.step == 30


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    trainer(folder=tmp_path).run()
    with pytest.raises(FileExistsError, match=r"at step 30: resume it"):
        trainer(folder=tmp_path)
    with pytest.raises(ValueError, match="needs the folder"):
        trainer(resume=True)


def test_best_and_last(tmp_path):
    # 12 tokens are soon known by heart, and the validation loss rises again.
    config = plan(steps=60, lr=0.01, eval_every=5)
    extra = {"chars": "abc", "sizes": [1, 2.5, None]}
    run = trainer(config, data=TEXT[:12], folder=tmp_path, extra=extra).run()
    best, last = (load_checkpoint(tmp_path / name) for name in ("best.pt", "last.pt"))
    step, loss = min(run.val_losses, key=lambda pair: pair[1])
    assert best["step"] == step < last["step"] == 60 and run.best_val == loss
    assert best["extra"] == last["extra"] == extra
    assert GPTConfig(**best["model_config"]) == SMALL
    assert TrainConfig(**best["train_config"]) == config
    model = gpt(seed=3)
    model.load_state_dict(best["model"])
    assert trainer(config, model)._val is not None
    again = trainer(config, model)
    again._prepare()
    assert again._evaluate() == loss
    assert read_log(tmp_path) == run.log


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer().run()
    assert not list(tmp_path.iterdir())


def test_extra_must_be_plain():
    with pytest.raises(ValueError, match="extra can't be kept"):
        trainer(extra={"tokenizer": object()})


@pytest.mark.parametrize("broken", ["save", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(broken, tmp_path, monkeypatch):
    content = {"model": {}, "model_config": {}, "train_config": {}, "extra": {}, "log": []}
    path = tmp_path / "last.pt"
    save_checkpoint(path, {**content, "step": 1})

    def fail(*args):
        if broken == "save":
            args[1].write(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch if broken == "save" else os, broken, fail)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, {**content, "step": 2})
    monkeypatch.undo()
    assert load_checkpoint(path)["step"] == 1
    save_checkpoint(path, {**content, "step": 3})
    assert load_checkpoint(path)["step"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


class Malicious:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("kind", ["torch", "pickle", "inside"])
def test_a_hostile_file_is_refused_and_nothing_runs(kind, tmp_path):
    target, path = tmp_path / "owned", tmp_path / "last.pt"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Malicious(target), protocol=2))
    elif kind == "torch":
        torch.save(Malicious(target), path)
    else:
        save_checkpoint(path, {"model": {"w": torch.zeros(2)}, "extra": {"x": Malicious(target)}})
    with pytest.raises(CheckpointError, match="nothing in it was run"):
        load_checkpoint(path)
    with pytest.raises(ValueError):
        trainer(folder=tmp_path, resume=True)
    assert not target.exists()
    # The trap does work: whoever reads it with trust is caught.
    torch.load(path, weights_only=False) if kind != "pickle" else pickle.loads(path.read_bytes())
    assert target.exists()


def test_a_truncated_file_is_refused(tmp_path):
    trainer(folder=tmp_path).run()
    whole = (tmp_path / "last.pt").read_bytes()
    for share in (0, 0.01, 0.3, 0.7, 0.99, 1 - 1 / len(whole)):
        (tmp_path / "cut.pt").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(CheckpointError, match="cut off"):
            load_checkpoint(tmp_path / "cut.pt")


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load_checkpoint(path)
    path.write_text("To be, or not to be")
    with pytest.raises(CheckpointError, match="can't be read"):
        load_checkpoint(path)
    good = {"model": {}, "model_config": {}, "train_config": {}, "extra": {}, "log": [], "step": 1}
    for content in (gpt().state_dict(), [1, 2], torch.zeros(3), {**good, "format": "another"}):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=r"not a checkpoint of this course"):
            load_checkpoint(path)
    save_checkpoint(path, {**good, "step": "many"})
    with pytest.raises(CheckpointError, match=r"not a checkpoint of this course"):
        load_checkpoint(path)


def test_what_does_not_fit_is_named(tmp_path):
    trainer(folder=tmp_path).run()
    options = {"folder": tmp_path, "resume": True}
    with pytest.raises(CheckpointError, match=r"another model.*n_layer was 2 and is 3"):
        trainer(model=gpt(n_layer=3), **options)
    with pytest.raises(CheckpointError, match=r"another plan.*lr was 0.001 and is 0.002"):
        trainer(plan(lr=0.002), **options)
    saved = load_checkpoint(tmp_path / "last.pt")
    del saved["model"]["transformer.wte.weight"], saved["format"]
    save_checkpoint(tmp_path / "last.pt", saved)
    with pytest.raises(CheckpointError, match="doesn't fit this model"):
        trainer(**options)


@pytest.mark.parametrize("changed", ["training", "validation", "both"])
def test_a_resumed_run_needs_the_data_that_it_had(changed, tmp_path):
    trainer(folder=tmp_path).run()
    data, val = TEXT, TEXT[:100]
    if changed != "validation":
        data = data.flip(0)
    others = [val] if changed == "training" else [val.flip(0), TEXT[:99], None]
    what = "training and validation" if changed == "both" else changed
    for other in others:
        with pytest.raises(CheckpointError, match=f"with other {what} data. Resume with the same"):
            trainer(data=data, val=other, folder=tmp_path, resume=True)
    run = trainer(data=TEXT.to(torch.uint8), val=TEXT[:100].int(), folder=tmp_path, resume=True)
    assert run.step == 30, "the same tokens as another kind of integer are the same data"


class Deep(Plain):
    """With modules in modules, so that some of them can be wrapped."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(V, V), nn.Tanh()) for _ in range(2))

    def forward(self, idx):
        x = self.table(idx)
        for layer in self.layers:
            x = layer(x)
        return x


def wrapped(kind: str) -> nn.Module:
    torch.manual_seed(3)
    model = Deep()
    compiled = functools.partial(torch.compile, backend="eager")
    if kind == "inside":
        model.layers[1][0] = compiled(model.layers[1][0])
        model.layers[0] = nn.DataParallel(model.layers[0])
        model.table = compiled(nn.DataParallel(model.table))
    if kind == "parallel":
        return nn.DataParallel(model)
    if kind == "compiled":
        return compiled(model)
    return compiled(nn.DataParallel(model)) if kind == "both" else model


KINDS = ["bare", "compiled", "parallel", "both", "inside"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrapped_models_checkpoints_are_those_of_the_model(kind, tmp_path):
    expected = trainer(model=wrapped("bare")).run()
    stopped_at(21, PLAN, tmp_path, model=wrapped(kind))
    weights = load_checkpoint(tmp_path / "last.pt")["model"]
    assert list(weights) == list(Deep().state_dict())
    raw = torch.load(tmp_path / "last.pt", weights_only=True)
    assert list(raw["model"]) == list(weights), "the file itself has the names"
    Deep().load_state_dict(weights)
    for other in ("bare", kind):  # each goes on with what the other left
        run = trainer(model=wrapped(other), folder=tmp_path, resume=True)
        assert run.step == 16
    run.run()
    assert run.losses == pytest.approx(expected.losses, abs=1e-6)
    assert evaluate(run.model, TEXT) == pytest.approx(evaluate(expected.model, TEXT), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_files_with_the_names_of_wrappers_load(kind, tmp_path):
    trainer(model=wrapped("bare"), folder=tmp_path).run()
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    names = wrapped(kind).state_dict()
    saved["model"] = dict(zip(names, saved["model"].values(), strict=True))
    assert kind == "bare" or set(names) != set(Deep().state_dict())
    torch.save(saved, tmp_path / "last.pt")
    Deep().load_state_dict(load_checkpoint(tmp_path / "last.pt")["model"])
    for other in KINDS:
        assert trainer(model=wrapped(other), folder=tmp_path, resume=True).step == 30


def test_a_module_that_is_called_module_keeps_its_name(tmp_path):
    class Own(Plain):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(V, V)

        def forward(self, idx):
            return self.module(self.table(idx))

    for model in (Own(), torch.compile(Own(), backend="eager")):
        folder = tmp_path / type(model).__name__
        trainer(model=model, folder=folder).run()
        weights = load_checkpoint(folder / "last.pt")["model"]
        assert list(weights) == ["table.weight", "module.weight", "module.bias"]
        Own().load_state_dict(weights)
        assert trainer(model=Own(), folder=folder, resume=True).step == 30


# --- what goes wrong on the way -------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_run(value, tmp_path):
    run = trainer(plan(log_every=5), folder=tmp_path)

    def spoil(t):
        if t.step == 18:
            t.model.transformer.wte.weight.data.fill_(value)

    run.on("step", spoil)
    with pytest.raises(FloatingPointError, match=r"The loss is .* at step 20: lower lr.*last.pt"):
        run.run()
    kept = load_checkpoint(tmp_path / "last.pt")
    assert kept["step"] == 16 and all(p.isfinite().all() for p in kept["model"].values())
    assert [row["step"] for row in read_log(tmp_path)] == [1, 5, 8, 10, 15, 16]


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    class Idle(Plain):
        def __init__(self):
            super().__init__()
            self.idle = nn.Parameter(torch.zeros(2))

    run = trainer(model=Idle(), folder=tmp_path)
    run.on("step", lambda t: t.step == 15 and t.model.idle.data.fill_(math.nan))
    with pytest.raises(
        FloatingPointError, match="A weight is no longer a finite number at step 16"
    ):
        run.run()
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 8


def test_ctrl_c_waits_for_the_step_and_keeps_it(tmp_path):
    whole = trainer(model=gpt(dropout=0.2)).run()
    handler = signal.getsignal(signal.SIGINT)
    for folder in (tmp_path, None):
        run = trainer(model=gpt(dropout=0.2), folder=folder)
        run.on("step", lambda t: t.step == 13 and os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt, match=r"Stopped after step 13; .* goes on"):
            run.run()
        assert signal.getsignal(signal.SIGINT) is handler
        assert not run.running
        if folder:
            run = trainer(model=gpt(seed=4, dropout=0.2), folder=folder, resume=True)
            assert run.step == 13
        run.run()
        assert same_each_time(run.log) == same_each_time(whole.log)


# --- kill -9 --------------------------------------------------------------------------------------


def _run_in_child(folder: Path, deadly: int) -> None:
    """Train, resuming; the process kills itself in its `deadly`-th operation on files."""
    torch.set_num_threads(1)
    countdown = itertools.count(1)

    def dangerous(module, name):
        real = getattr(module, name)

        def call(*args):
            if next(countdown) == deadly:
                if name == "save":  # half of the file is on the disk
                    real(*args)
                    args[1].truncate(args[1].tell() // 2)
                    args[1].flush()
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)

        setattr(module, name, call)

    for module, name in ((torch, "save"), (os, "fsync"), (os, "replace")):
        dangerous(module, name)
    trainer_module.peak_flops = lambda device, precision: (
        1e12
    )  # measuring it takes longer than the run
    config = plan(steps=120, eval_every=7, log_every=2, lr=0.01)
    trainer(config, gpt(dropout=0.3), folder=folder, resume=True).run()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a POSIX system")
def test_killed_at_any_moment_a_run_goes_on_to_the_bit(tmp_path):
    """kill -9 while files are written, between them, and whenever; the log is the same in the end.

    Children are forked from one process that has imported torch, so that many can be killed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_07_trainer", "torch._dynamo"])  # slow to import

    def start(name: str, deadly: int = 0):
        child = context.Process(target=_run_in_child, args=(tmp_path / name, deadly))
        child.start()
        return child

    whole = start("whole")
    whole.join(60)
    assert whole.exitcode == 0
    kills = 0
    for deadly in range(1, 16):  # a checkpoint takes three operations, the log one
        child = start("killed", deadly)
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
        kills += 1
        if (tmp_path / "killed" / "last.pt").exists():
            load_checkpoint(tmp_path / "killed" / "last.pt")
    moments = random.Random(7)
    for _ in range(6):
        child = start("killed")
        time.sleep(moments.uniform(0.05, 0.4))
        child.kill()
        child.join(60)
        kills += child.exitcode == -signal.SIGKILL
    last = start("killed")
    last.join(60)
    assert last.exitcode == 0 and kills >= 15
    expected, log = read_log(tmp_path / "whole"), read_log(tmp_path / "killed")
    assert same_each_time(log) == same_each_time(expected) and log[-1]["step"] == 120
    mine, theirs = (load_checkpoint(tmp_path / run / "best.pt") for run in ("whole", "killed"))
    assert mine["step"] == theirs["step"]
    assert not list((tmp_path / "killed").glob("*.tmp"))


# --- several processes ----------------------------------------------------------------------------

IN_PROCESSES = textwrap.dedent(
    """
    import json, os, sys
    from pathlib import Path
    import torch, torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel
    from test_07_trainer import TEXT, gpt, masked_rows, plan, trainer

    syncs = []
    no_sync = DistributedDataParallel.no_sync

    def spy(self):
        syncs.append(1)
        return no_sync(self)

    DistributedDataParallel.no_sync = spy
    for name, data, accumulate in (("text", TEXT, 1), ("rows", masked_rows(), 2)):
        del syncs[:]
        heard = []
        # Only the first process's weights count.
        model = gpt(seed=int(os.environ["RANK"]))
        config = plan(batch_size=8, accumulate=accumulate)
        run = trainer(config, model, data, data, folder=Path(sys.argv[1], name))
        run.on("log", lambda t: heard.append(t.step))
        run.run()
        assert run.world == 2 and len(syncs) == 30 * (accumulate - 1), syncs
        assert bool(heard) == (run.rank == 0), "Only the first process speaks."
        assert not dist.is_initialized(), "The process group is left behind."
        Path(sys.argv[1], f"{name}{run.rank}.json").write_text(json.dumps(run.log))
        weights = torch.nn.utils.parameters_to_vector(model.parameters())
        torch.save(weights.detach(), Path(sys.argv[1], f"{name}{run.rank}.weights"))

    # Each finds the loss that is no number, and none is left waiting for the other.
    model = gpt()
    model.transformer.wte.weight.data.fill_(float("nan"))
    try:
        trainer(plan(batch_size=8), model).run()
    except FloatingPointError:
        Path(sys.argv[1], f"refused{run.rank}").touch()
    assert not dist.is_initialized()
    """
)


def test_two_processes_do_what_one_does(tmp_path, root):
    (tmp_path / "script.py").write_text(IN_PROCESSES)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node=2", str(tmp_path / "script.py"), str(tmp_path)],
        env=environment(root),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name for path in tmp_path.glob("refused*")} == {"refused0", "refused1"}
    for name, data, accumulate in (("text", TEXT, 1), ("rows", masked_rows(), 2)):
        config = plan(batch_size=8, accumulate=accumulate)
        one = trainer(config, data=data, val=data).run()
        for rank in (0, 1):
            log = json.loads((tmp_path / f"{name}{rank}.json").read_text())
            assert [r["step"] for r in log] == [r["step"] for r in one.log]
            assert [r["loss"] for r in log] == pytest.approx(one.losses, abs=1e-6)
            vals = [(r["step"], r["val_loss"]) for r in log if r["val_loss"] is not None]
            assert [v for _, v in vals] == pytest.approx([v for _, v in one.val_losses], abs=1e-6)
        both = [torch.load(tmp_path / f"{name}{rank}.weights") for rank in (0, 1)]
        assert torch.equal(*both), "The processes' weights have drifted apart."
        assert read_log(tmp_path / name)[-1]["step"] == 30
        assert (tmp_path / name / "last.pt").exists()


# --- on a GPU -------------------------------------------------------------------------------------


@pytest.mark.gpu
def test_a_step_on_a_gpu_never_waits():
    run = trainer(plan(precision="auto", optimizer="muon", accumulate=2), device="cuda")
    forward = run._prepare()
    run._update(forward, 0)  # the first one allocates
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            run._update(forward, 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_training_on_a_gpu(tmp_path):
    data = torch.arange(400) * 3 % V
    config = plan(steps=150, lr=0.01, batch_size=8, precision="auto")
    run = trainer(config, data=data, val=data, device="cuda", folder=tmp_path).run()
    assert run.best_val < 0.1 and run.precision in ("bf16", "fp16")
    assert all(0 < row["mfu"] < 1 for row in run.log)


# --- the live curve -------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch):
    from zerotohero.course.widgets import training

    displayed = []
    monkeypatch.setattr(training, "display", displayed.append)
    return training, displayed


def test_the_curve_is_drawn_once_a_second_and_at_the_end(shown, monkeypatch):
    training, displayed = shown
    now = [0.0]
    monkeypatch.setattr(training.time, "perf_counter", lambda: now[0])
    curve = training.LiveCurve()
    drawn = []
    picture = curve.picture
    monkeypatch.setattr(curve, "picture", lambda t: drawn.append(t.step) or picture(t))

    class Run:
        config, running = PLAN, True
        step, log, losses, val_losses = 0, [], [], []

    run = Run()
    for run.step in range(1, 31):
        run.log = [*run.log, {"step": run.step}]
        run.losses = [*run.losses, 1 / run.step]
        now[0] += 0.3
        curve(run)
    assert drawn == [1, 5, 9, 13, 17, 21, 25, 29]
    assert len(displayed) == 1 and displayed[0].format == "png"
    assert bytes(displayed[0].value) == curve.png
    run.running, run.val_losses = False, [(30, 0.5)]
    closed = []
    monkeypatch.setattr(type(displayed[0]), "close", lambda self: closed.append(self))
    curve(run)
    assert drawn[-1] == 30 and curve.widget is None and closed == [displayed[0]]
    assert displayed[1].data == curve.png, "The picture that stays is not the last one."


def test_the_curve_of_a_real_run(shown):
    training, displayed = shown
    curve = training.LiveCurve()
    run = trainer(callbacks=[curve]).run()
    assert curve.png.startswith(b"\x89PNG") and displayed[-1].data == curve.png
    axes = curve._figure.axes[0]
    train_line, val_line = axes.lines
    assert list(train_line.get_ydata()) == run.losses
    assert list(zip(*val_line.get_data(), strict=True)) == run.val_losses
    assert "step" in axes.get_xlabel() and "loss" in axes.get_ylabel()
    assert re.search(r"step 30 of 30 · training loss \d\.\d+ · validation", axes.get_title())
    again = training.LiveCurve()
    trainer(val=None, callbacks=[again]).run()
    assert len(again._figure.axes[0].lines) == 1


def test_a_mixed_up_call_is_told_what_goes_where():
    good = trainer()
    with jaxtyping_off():
        with pytest.raises(TypeError, match=r"in this order, not a .* and a TrainConfig first"):
            Trainer(good.model, good.config, torch.zeros(100, dtype=torch.long))
        for wrong in ([3], "print"):
            with pytest.raises(TypeError, match="can't be a callback"):
                trainer(callbacks=wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_not_replaced_in_silence():
    with pytest.raises(ValueError, match="no CUDA device here"):
        trainer(device="cuda")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
def test_a_full_disk_is_the_disks_error(tmp_path):
    (tmp_path / "last.pt.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path / "last.pt", {"x": torch.zeros(100_000)})


def test_a_foreign_pickle_is_refused_without_torchs_warnings(tmp_path, recwarn):
    path = tmp_path / "last.pt"
    path.write_bytes(pickle.dumps({"x": 1}, protocol=4))
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    assert not recwarn.list
