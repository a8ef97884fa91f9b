"""Lecture 10's ladder of speed: which rungs a machine has, and that each changes what it says."""

import importlib.util
import itertools
import sys

import pytest
import torch

from zerotohero import gpt
from zerotohero.gpt import GPTConfig
from zerotohero.training import update

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def speed(root, monkeypatch):
    path = root / "benchmarks" / "gpt2_speed.py"
    spec = importlib.util.spec_from_file_location("gpt2_speed", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpt2_speed", module)  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


def changes(speed, device) -> list[str]:
    """What each rung has more than the one before; it must be one thing."""
    rungs, _ = speed.ladder(device)
    fields = [field for field in vars(rungs[0]) if field != "name"]
    found = []
    for before, rung in itertools.pairwise(rungs):
        (field,) = (f for f in fields if getattr(rung, f) != getattr(before, f))
        found.append(field)
    return found


def test_a_machine_has_the_rungs_that_it_can_take(speed, monkeypatch):
    monkeypatch.setattr(speed, "choose_precision", lambda device: "bf16")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    whole = ["tf32", "precision", "compile", "flash", "padded", "fused"]
    assert changes(speed, CUDA) == whole and speed.ladder(CUDA)[1] == []
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(speed, "choose_precision", lambda device: "fp16")
    assert changes(speed, CUDA) == ["compile", "flash", "padded", "fused"]
    assert [name for name, _ in speed.ladder(CUDA)[1]] == ["TF32", "bfloat16"]

    monkeypatch.setattr(speed, "choose_precision", lambda device: "fp32")
    assert changes(speed, CPU) == ["flash", "padded", "fused", "compile"], "It must end there."
    monkeypatch.setattr(speed, "choose_precision", lambda device: "bf16")
    assert changes(speed, CPU) == ["precision", "padded", "fused", "compile"]
    left_out = dict(speed.ladder(CPU)[1])
    assert list(left_out) == ["TF32", "flash attention"] and all(left_out.values())


def test_a_rung_is_made_as_it_says_and_leaves_nothing_behind(speed, monkeypatch):
    seen = []
    formula, kernel, step = gpt.plain_attention, gpt.attention, update.Update.__call__
    monkeypatch.setattr(gpt, "plain_attention", lambda *a: seen.append("formula") or formula(*a))
    monkeypatch.setattr(gpt, "attention", lambda *a: seen.append("kernel") or kernel(*a))

    def noted(self, forward, number):
        group = self.optimizers[-1].param_groups[0]
        config = self.model.config
        precision = torch.get_float32_matmul_precision()
        seen.append((group["fused"], config.vocab_size, self.precision, precision))
        return step(self, forward, number)

    monkeypatch.setattr(update.Update, "__call__", noted)
    monkeypatch.setattr(speed, "SECONDS", 0.0)
    small = GPTConfig(speed.V, 8, n_layer=1, n_head=1, n_embd=8)
    for rung, expected in (
        (speed.Rung("first"), {"formula", (False, 50_257, "fp32", "highest")}),
        (
            speed.Rung("last", tf32=True, flash=True, padded=True, fused=True),
            {"kernel", (True, 50_304, "fp32", "high")},
        ),
    ):
        seen.clear()
        assert speed.rate(rung, small, 2, CPU) > 0
        assert set(seen) == expected and len(seen) == 2 * (speed.WARM + speed.LEAST)
        assert torch.get_float32_matmul_precision() == "highest"
