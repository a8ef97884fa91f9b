"""Reproducing GPT-2: the start, one batch, accumulation, speed, recipes, several processes."""

import math

import pytest
import torch
import torch.nn.functional as F

from zerotohero import gpt2
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.training import TrainConfig
from zerotohero.training.config import configure_optimizers

SIZES = GPTConfig(vocab_size=50, block_size=16, n_layer=3, n_head=2, n_embd=16)


def model(sizes=SIZES, seed=0):
    return GPT(sizes, torch.Generator().manual_seed(seed))


@pytest.fixture
def batch():
    rows = torch.randint(50, (4, 17), generator=torch.Generator().manual_seed(1))
    return rows[:, :-1], rows[:, 1:]


# --- the start ------------------------------------------------------------------------------------


def test_a_plain_start_gives_all_matrices_one_deviation():
    sizes = GPTConfig(vocab_size=50, block_size=16, n_layer=8, n_head=4, n_embd=128)
    new = model(sizes)
    adds = [w for name, w in new.named_parameters() if name.endswith("c_proj.weight")]
    others = [w for name, w in new.named_parameters() if name.endswith("c_fc.weight")]
    assert [w.std().item() for w in adds] == pytest.approx([0.02 / 4] * 16, rel=0.05)
    assert gpt2.start_plainly(new) is new
    assert [w.std().item() for w in adds] == pytest.approx([0.02] * 16, rel=0.05)
    assert [w.std().item() for w in others] == pytest.approx([0.02] * 8, rel=0.05)


def test_the_residual_path_is_x_after_each_addition(batch):
    xb, _ = batch
    new = model()
    path = gpt2.residual_path(new, xb)
    assert len(path) == 2 * 3 + 1
    t = new.transformer
    with torch.no_grad():
        x = t.wte(xb) + t.wpe.weight[:16]
        expected = [x]
        for block in t.h:
            x = x + block.attn(block.ln_1(x))
            expected.append(x)
            x = x + block.mlp(block.ln_2(x))
            expected.append(x)
    assert path == pytest.approx([x.std().item() for x in expected], rel=1e-5)


def test_looking_at_the_path_leaves_no_hook_and_no_change(batch):
    new = model().train()
    gpt2.residual_path(new, batch[0])
    assert new.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in new.modules())


# --- one batch and one update ---------------------------------------------------------------------


def test_one_batch_is_learned_by_heart(batch):
    losses = gpt2.overfit(model(), *batch, steps=120, lr=1e-2)
    assert len(losses) == 120
    assert losses[0] == pytest.approx(math.log(50), abs=0.1)
    assert losses[-1] < 0.1


def test_a_gradient_is_one_vector_and_none_counts_as_zeros(batch):
    new = model()
    assert not gpt2.gradient(new).any()
    xb, yb = batch
    F.cross_entropy(new(xb).mT, yb).backward()
    assert len(gpt2.gradient(new)) == sum(p.numel() for p in new.parameters())
    assert gpt2.gradient(new)[:16].tolist() == new.transformer.wte.weight.grad[0].tolist()


@pytest.mark.parametrize("pieces", [(4,), (1, 1, 1, 1), (1, 3)])
def test_pieces_of_any_size_and_number_of_targets_are_one_batch(batch, pieces):
    xb, yb = batch
    yb = yb.clone()
    yb[0, 3:] = -100
    yb[2] = -100  # a row without any target
    new = model()
    loss = F.cross_entropy(new(xb).mT, yb, ignore_index=-100)
    loss.backward()
    expected = gpt2.gradient(new)
    got = gpt2.accumulate(new, zip(xb.split(pieces), yb.split(pieces), strict=True))
    assert got == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(gpt2.gradient(new), expected, rtol=1e-4, atol=1e-7)


def test_batches_without_a_target_are_refused(batch):
    xb, yb = batch
    with pytest.raises(ValueError, match="no target"):
        gpt2.accumulate(model(), [(xb, torch.full_like(yb, -100))])


def test_the_groups_are_those_of_the_trainer():
    new = model()
    groups = gpt2.decay_groups(new)
    (adamw,) = configure_optimizers(new, TrainConfig(steps=1))
    by_name = dict(new.named_parameters())
    for names, group in zip(groups.values(), adamw.param_groups, strict=True):
        assert {id(by_name[name]) for name in names} == {id(p) for p in group["params"]}
    assert "transformer.wpe.weight" in groups["decayed"]
    assert "transformer.ln_f.weight" in groups["left alone"]


def test_a_schedule_is_the_plan_s_rate_in_each_step():
    plan = TrainConfig(steps=100, lr=1.0, min_lr=0.1, warmup=10)
    assert gpt2.schedule(plan, [0, 9, 10, 55]) == pytest.approx([0.1, 1.0, 1.0, 0.55])


# --- speed and recipes ----------------------------------------------------------------------------


def test_a_rung_changes_how_and_not_what_is_computed(batch):
    xb, _ = batch
    new = model().eval()
    with torch.no_grad():
        expected = new(xb)
        for block in new.transformer.h:
            block.attn.plain = True
        torch.testing.assert_close(new(xb), expected, rtol=1e-4, atol=1e-5)


def test_every_rung_gives_a_rate():
    for rung in gpt2.LADDER:
        assert gpt2.tokens_per_second(SIZES, rung, rows=2, steps=1) > 0


def test_each_rung_has_one_change_more_than_the_one_before():
    fields = "precision", "formula", "fused"
    for before, after in zip(gpt2.LADDER, gpt2.LADDER[1:], strict=False):
        assert sum(getattr(before, f) != getattr(after, f) for f in fields) == 1


def test_the_small_recipes_read_the_same_tokens_with_other_parts():
    old, new = gpt2.small_recipes(SIZES, steps=40, rows=8)
    assert old.model == SIZES
    assert (new.model.norm, new.model.activation, new.model.tied) == ("rmsnorm", "relu2", False)
    for field in ("steps", "batch_size", "eval_batches", "seed", "eval_every"):
        assert getattr(old.train, field) == getattr(new.train, field)
    assert (old.train.optimizer, new.train.optimizer) == ("adamw", "muon")
    assert old.train.betas == (0.9, 0.95)


# --- several processes ----------------------------------------------------------------------------


def test_processes_know_of_each_other_and_get_their_arguments():
    script = """
import os, sys
if os.environ["RANK"] == "1":
    print(os.environ["WORLD_SIZE"], *sys.argv[1:])
"""
    assert gpt2.torchrun(script, 2, "a", "b c").strip() == "2 a b c"


def test_what_a_failing_process_says_is_passed_on():
    with pytest.raises(RuntimeError, match="no such luck"):
        gpt2.torchrun("raise SystemExit('no such luck')", 1)
