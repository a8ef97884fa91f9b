"""Lecture 07: the plan of a training run, and its optimisers."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from small import (
    PLAN,
    gpt,
    plan,
    sgd,
    trainer,
)
from untyped import jaxtyping_off
from zerotohero.training import (
    TrainConfig,
    update,
)
from zerotohero.training.config import configure_optimizers

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
        ({"lr": "1e-3"}, "lr is '1e-3'; it must be a number"),
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
    wrapped = nn.DataParallel(model)
    wrapped.module = torch.compile(model, backend="eager")  # which changes nothing of it
    assert (
        len(configure_optimizers(wrapped, plan(optimizer="muon"))[0].param_groups[0]["params"]) == 8
    )
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
