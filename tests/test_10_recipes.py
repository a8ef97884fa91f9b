"""Lecture 10's recipes, vocabularies that are filled up, and what `--dry-run` says."""

import dataclasses
import json
import re

import pytest
import torch

from commands import call
from zerotohero import costs
from zerotohero.course import train
from zerotohero.course.run import Run, load
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.training import load_checkpoint
from zerotohero.training.recipes import RECIPES

MODEL = ["n_layer=1", "n_head=2", "n_embd=16", "block_size=16", "precision=fp32", "compile=false"]
TINY = [*MODEL, "steps=4", "batch_size=4", "accumulate=1", "eval_every=2", "eval_batches=2"]
TEXT = "the fox runs.\nthe dog sleeps.\n" * 40


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.txt").write_text(TEXT)
    return tmp_path


# --- the recipes ---------------------------------------------------------------------------------


def test_gpt2_124m_is_the_published_training():
    """GPT-3, table 2.1 (125M) and appendix B; GPT-2's sizes."""
    recipe = RECIPES["gpt2-124m"]
    model, plan = recipe.model, recipe.train
    assert (model.n_layer, model.n_head, model.n_embd, model.block_size) == (12, 12, 768, 1024)
    assert (model.norm, model.position, model.activation) == ("layernorm", "learned", "gelu")
    assert model.bias and model.tied and not model.qk_norm and not model.zero_init
    assert model.vocab_size == 50_304 and 50_257 <= 393 * recipe.pad == 50_304
    assert plan.batch_size * model.block_size == 524_288
    assert costs.tokens(model, plan) == pytest.approx(10e9, rel=1e-4)
    assert plan.warmup_steps * 524_288 == pytest.approx(375e6, rel=1e-3)
    assert plan.lr * plan.lr_factor(plan.warmup_steps) == pytest.approx(6e-4)
    assert plan.lr * plan.lr_factor(plan.steps) == pytest.approx(6e-5)
    half = plan.warmup_steps + (plan.steps - plan.warmup_steps) // 2
    assert plan.lr * plan.lr_factor(half) == pytest.approx(3.3e-4, rel=1e-3)
    assert (plan.betas, plan.grad_clip, plan.weight_decay) == ((0.9, 0.95), 1.0, 0.1)
    assert plan.optimizer == "adamw"


def test_the_fast_recipe_reads_a_quarter_of_the_tokens_in_the_same_batches():
    slow, fast = RECIPES["gpt2-124m"], RECIPES["gpt2-124m-fast"]
    assert fast.train.batch_size == slow.train.batch_size
    assert costs.tokens(fast.model, fast.train) < 0.27 * costs.tokens(slow.model, slow.train)
    its = costs.parameters(fast.model)
    assert its["matrices"] == costs.parameters(slow.model)["matrices"]


@pytest.mark.parametrize("name", ["gpt2-124m", "gpt2-124m-fast"])
def test_without_data_they_say_how_to_make_some(here, name):
    said = call("train", name)
    assert said.exit_code == 1 and "zerotohero data shards fineweb-edu FOLDER" in said.stderr
    assert [path.name for path in here.iterdir()] == ["my.txt"]


def test_processes_have_a_share_of_the_micro_batches():
    """The rows that a device has at a time are what fits, however many there are."""
    asked = {"recipe": "gpt2-124m"}
    for processes, accumulate in ((1, 32), (8, 4), (32, 1), (3, 32)):
        assert train.plan(asked, {}, processes).accumulate == accumulate
    assert train.plan(asked, {"accumulate": 8}, 4).accumulate == 8
    assert train.plan({"recipe": "nanogpt-cpu"}, {}, 2) == RECIPES["nanogpt-cpu"].train


# --- padding -------------------------------------------------------------------------------------


def test_a_vocabulary_is_filled_up_to_the_recipes_multiple():
    assert train.vocabulary(50_257, "gpt2-124m", {}) == 50_304
    assert train.vocabulary(1000, "gpt2-124m", {}) == 1024
    assert train.vocabulary(1024, "gpt2-124m", {}) == 1024
    assert train.vocabulary(65, "nanogpt-cpu", {}) == 65
    assert train.vocabulary(50_257, None, {"vocab_size": 50_304}) == 50_304


@pytest.fixture
def padded(here, monkeypatch):
    """A run whose model has 128 rows for the few characters of its text."""
    recipe = dataclasses.replace(RECIPES["gpt2-124m"], name="padded")
    monkeypatch.setitem(RECIPES, "padded", recipe)
    said = call("train", "padded", *TINY, "--data", "my.txt", "--out", "run")
    assert said.exit_code == 0, said.output
    return here / "run"


def test_filled_up_rows_are_trained_with_and_left_out_after(padded):
    run, model = load(padded)
    V = len(set(TEXT))
    assert (run.model.vocab_size, run.padding, model.config.vocab_size) == (128, 128 - V, V)
    state = load_checkpoint(padded / "best.pt")["model"]
    assert state["lm_head.weight"].shape == (128, 16)
    assert torch.equal(model.transformer.wte.weight, state["lm_head.weight"][:V])
    assert model.lm_head.weight is model.transformer.wte.weight


def test_what_is_drawn_from_a_padded_model_is_always_text(padded):
    """Untrained rows are as likely as others at such a heat: most would be no token."""
    said = call("sample", padded, "--temperature", 100, "--tokens", 60, "--seed", 1)
    assert said.exit_code == 0, said.output
    assert len(said.stdout.rstrip("\n")) > 50


def test_a_padded_run_goes_on_is_exported_and_fine_tuned(here, padded):
    said = call("train", "--resume", "--out", padded, "steps=6")
    assert said.exit_code == 0, said.output
    assert json.loads((padded / "log.jsonl").read_text().splitlines()[-1])["step"] == 6
    assert call("export", padded, "out").exit_code == 0
    assert json.loads((here / "out" / "config.json").read_text())["vocab_size"] == len(set(TEXT))
    for source in ("out", "run"):
        said = call(
            *("train", "--init-from", source, "--data", "my.txt", "--out", f"more-{source}"),
            *("steps=1", "batch_size=2", "eval_batches=1"),
        )
        assert said.exit_code == 0, said.output
        assert Run.read(here / f"more-{source}").padding == 0


def test_a_padded_model_from_elsewhere_can_be_fine_tuned_and_used(here):
    """nanoGPT's and build-nanogpt's have 50,304 rows for GPT-2's 50,257 tokens."""
    GPT(GPTConfig(50_304, 16, 1, 2, 8)).save_pretrained(here / "theirs")
    tiny = ("steps=1", "batch_size=2", "eval_batches=1", "--out", "run")
    said = call("train", "--init-from", "theirs", "--data", "my.txt", *tiny)
    assert said.exit_code == 0, said.output
    run, model = load(here / "run")
    assert (run.padding, model.config.vocab_size) == (47, 50_257)


def test_a_run_of_before_has_no_padding(padded):
    content = json.loads((padded / "run.json").read_text())
    assert content.pop("padding") == 128 - len(set(TEXT))
    (padded / "run.json").write_text(json.dumps(content))
    assert Run.read(padded).padding == 0


# --- --dry-run -----------------------------------------------------------------------------------


def figures(text: str) -> dict[str, float]:
    """The first number of each line, by its first word, or by what it is of in the memory's."""
    found = {}
    for line in text.splitlines():
        if part := re.fullmatch(r"\s+([\d.]+) GB  (\w+)", line):
            found[part[2]] = float(part[1])
        elif part := re.match(r"(\w+)\s+([\d.,e+]*\d)", line):
            found[part[1]] = float(part[2].replace(",", ""))
    return found


def test_a_dry_run_says_what_the_functions_say_and_writes_nothing(here):
    said = call(
        *("train", "gpt2-124m", "--dry-run", "--gpu", "H100", "--devices", 8),
        *("--mfu", 0.5, "--euros", 3),
    )
    assert said.exit_code == 0, said.output
    recipe, its = RECIPES["gpt2-124m"], figures(said.stdout)
    plan = dataclasses.replace(recipe.train, accumulate=4)
    assert its["Parameters"] == costs.num_params(recipe.model) == 124_475_904
    assert its["Tokens"] == 9_999_745_024 == costs.tokens(recipe.model, plan)
    flops = costs.flops_per_token(recipe.model).total * 9_999_745_024
    assert its["Operations"] == pytest.approx(flops, rel=1e-2)
    hours = flops / (8 * 989e12 * 0.5) / 3600
    assert its["Time"] == pytest.approx(hours, abs=0.05)
    assert its["Price"] == pytest.approx(hours * 8 * 3, abs=0.01)
    parts = costs.memory(recipe.model, plan, 8)
    for part, size in parts.items():
        assert its[part] == pytest.approx(size / 1e9, abs=0.006)
    assert its["Memory"] == pytest.approx(sum(parts.values()) / 1e9, abs=0.06)
    assert "16 rows at a time" in said.stdout
    assert [path.name for path in here.iterdir()] == ["my.txt"]


def test_a_dry_run_heeds_changes_and_data(here):
    words = ("train", "gpt2-124m", "--dry-run")
    base, smaller = figures(call(*words).stdout), figures(call(*words, "n_layer=6").stdout)
    assert smaller["Parameters"] == base["Parameters"] - 6 * (12 * 768**2 + 13 * 768)
    said = call(*words, *TINY, "--data", "my.txt")
    assert "for 128 tokens and contexts of 16" in said.stdout, said.output
    twice = figures(call(*words, f"steps={2 * 19_073}").stdout)
    assert twice["Price"] == pytest.approx(2 * base["Price"], abs=0.01)
    precise = figures(call(*words, "precision=fp32").stdout)
    assert precise["activations"] > 1.7 * base["activations"]
    parts = figures(call(*words, "--devices", 8, "shard=true").stdout)
    assert parts["optimiser"] == pytest.approx(base["optimiser"] / 8, abs=0.006)
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--gpu A1000", "The peak of 'A1000' isn't known; --gpu is one of A100,"),
        ("--devices 0", "--devices is 0"),
        ("--devices 3", "batch_size 512 can't be cut into 32 micro-batches for each of 3"),
        ("--mfu 40", "--mfu is 40"),
        ("--mfu nan", "--mfu is nan"),
        ("--euros -1", "--euros is -1"),
        ("--resume", "leave --resume out"),
        ("--data none.txt", "There is no file"),
    ],
)
def test_what_a_dry_run_cannot_say_is_one_sentence(here, words, says):
    said = call("train", "gpt2-124m", "--dry-run", *words.split())
    assert said.exit_code == 1 and says in said.stderr and said.stderr.count("\n") == 1
