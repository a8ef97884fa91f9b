"""The recipes of lecture 07: each trains, and the speedrun learns faster than its peer."""

import dataclasses

import pytest
import torch

from zerotohero.course import data
from zerotohero.gpt import GPT
from zerotohero.text import Characters, split_text
from zerotohero.training import Trainer, evaluate
from zerotohero.training.recipes import RECIPES

GPT2 = ("layernorm", "learned")


@pytest.fixture(scope="module")
def shakespeare():
    text = data.text("tinyshakespeare")
    return split_text(Characters.of(text).encode(text), 64)


def trained(name: str, steps: int, splits) -> float:
    recipe = RECIPES[name]
    model = GPT(recipe.model, torch.Generator().manual_seed(1))
    # fp32: where bfloat16 is emulated, it would take minutes.
    config = dataclasses.replace(recipe.train, steps=steps, warmup=6, precision="fp32")
    Trainer(config, model, splits[0], device="cpu", progress=False).run()
    return evaluate(model, splits[1][:5000])


def test_the_names_are_the_recipes_own():
    assert all(name == recipe.name and recipe.says for name, recipe in RECIPES.items())


def test_the_peer_is_nanogpts_published_recipe():
    """config/train_shakespeare_char.py and the readme's flags for a CPU."""
    cpu, gpu = RECIPES["nanogpt-cpu"], RECIPES["nanogpt-gpu"]
    for recipe, steps, rows in ((cpu, 2000, 12), (gpu, 5000, 64)):
        train = recipe.train
        assert (train.steps, train.batch_size, train.warmup_steps) == (steps, rows, 100)
        assert (train.lr, train.betas) == (1e-3, (0.9, 0.99))
        assert train.lr * train.lr_factor(steps) == pytest.approx(1e-4)
        assert (train.weight_decay, train.grad_clip) == (0.1, 1.0)
        assert (train.optimizer, train.schedule) == ("adamw", "cosine")
    sizes = ("n_layer", "n_head", "n_embd", "block_size", "dropout", "bias", "norm", "position")
    assert [getattr(cpu.model, s) for s in sizes] == [4, 4, 128, 64, 0, False, *GPT2]
    assert [getattr(gpu.model, s) for s in sizes] == [6, 6, 384, 256, 0.2, False, *GPT2]


def test_the_speedruns_first_steps_are_worth_several_of_the_peers(shakespeare):
    """The benchmark measures the whole of both; this is what holds in a few seconds."""
    assert trained("speedrun-cpu", 24, shakespeare) < trained("nanogpt-cpu", 48, shakespeare) - 0.1


@pytest.mark.parametrize("name", [name for name, r in RECIPES.items() if r.model.n_embd < 200])
def test_every_recipe_for_a_cpu_trains(name, shakespeare):
    recipe = RECIPES[name]
    model = GPT(recipe.model, torch.Generator().manual_seed(1))
    tokens = shakespeare[0][:2000] % recipe.model.vocab_size
    before = evaluate(model, tokens)
    rows = 8 if recipe.model.vocab_size < 10_000 else 1  # GPT-2's vocabulary takes long enough
    steps = 20 if recipe.model.block_size < 20 else 12  # short rows teach less
    short = {"steps": steps, "warmup": steps // 4, "batch_size": rows, "precision": "fp32"}
    config = dataclasses.replace(recipe.train, **short)
    Trainer(config, model, tokens, device="cpu", progress=False).run()
    assert evaluate(model, tokens) < before - 0.2
