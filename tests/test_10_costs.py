"""What a model costs: each figure against one that was counted, and against published runs."""

import dataclasses
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from zerotohero import costs, gpt
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.gpt_config import PRESETS
from zerotohero.training import TrainConfig
from zerotohero.training.config import configure_optimizers
from zerotohero.training.losses import SummedLoss
from zerotohero.training.recipes import MODERN

SMALL = GPTConfig(300, 64, n_layer=4, n_head=4, n_embd=128)
LLAMA = {
    "norm": "rmsnorm",
    "norm_gain": True,
    "position": "rotary",
    "activation": "swiglu",
    "n_hidden": 320,
    "n_kv_head": 2,
    "bias": False,
}
PARTS = [
    {},
    {"bias": False},
    {"tied": False},
    {"norm": "rmsnorm"},
    {"position": "rotary"},
    {"position": "none", "bias": False, "norm": "rmsnorm"},
    MODERN,
    LLAMA,
    {"n_hidden": 100, "activation": "swiglu", "n_kv_head": 1},
]


def on_paper(config: GPTConfig) -> GPT:
    """A model without memory for its weights."""
    with torch.device("meta"):
        return GPT(config)


def bytes_of(tensors) -> int:
    return sum(t.untyped_storage().nbytes() for t in tensors)


# --- parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", PARTS)
def test_every_part_has_as_many_parameters_as_the_model(changes):
    config = dataclasses.replace(SMALL, **changes)
    model, its = GPT(config), costs.parameters(config)
    count = dict.fromkeys(its, 0)
    for name, parameter in model.named_parameters():
        table = {"transformer.wte.weight": "tokens", "transformer.wpe.weight": "positions"}
        kind = "vectors" if parameter.ndim == 1 else "matrices"
        part = "head" if name == "lm_head.weight" else table.get(name, kind)
        count[part] += parameter.numel()
    assert its == count
    assert costs.num_params(config) == model.num_params(non_embedding=False)


@pytest.mark.parametrize(
    ("name", "millions"),
    [("gpt2", 124.44), ("gpt2-medium", 354.82), ("gpt2-large", 774.03), ("gpt2-xl", 1557.61)],
)
def test_gpt2s_sizes(name, millions):
    assert costs.num_params(PRESETS[name]) / 1e6 == pytest.approx(millions, abs=0.01)


# --- operations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        PRESETS["gpt2"],
        GPTConfig(50_304, 512, 6, 8, 512, **MODERN),
        GPTConfig(50_304, 512, 6, 4, 512, **LLAMA),
    ],
)
def test_operations_are_those_that_torch_counts(config):
    """Within 1 %: torch counts products alone, and 6 N has the biases and gains too."""
    model, T = on_paper(config), config.block_size
    for block in model.transformer.h:
        block.attn.plain = True  # as products, which can be counted
    row = torch.zeros(1, T, dtype=torch.long, device="meta")
    with FlopCounterMode(display=False) as counter:
        SummedLoss(model)(row, row).backward()
    counted, its = counter.get_total_flops() / T, costs.flops_per_token(config)
    assert counted <= its.total <= 1.01 * counted
    vectors = 6 * costs.parameters(config)["vectors"]
    assert its.total - vectors == pytest.approx(counted)
    assert model.flops_per_token() == its.total


def test_attentions_share_grows_with_the_context():
    """12 C T L of GPT-2's 855 million: 113 million, an eighth."""
    its = costs.flops_per_token(PRESETS["gpt2"])
    assert its.attention == 12 * 12 * 768 * 1024
    assert its.attention_share == pytest.approx(0.1324, abs=1e-4)
    longer = costs.flops_per_token(dataclasses.replace(PRESETS["gpt2"], block_size=8192))
    assert longer.weights == its.weights and longer.attention == 8 * its.attention
    assert longer.attention_share == pytest.approx(0.5498, abs=1e-4)


# --- memory --------------------------------------------------------------------------------------


def kept(config: GPTConfig, rows: int, half: bool) -> int:
    """The bytes that autograd keeps between forward and backward, without the weights' copies."""
    model, stored = GPT(config), {}
    known = {p.untyped_storage().data_ptr() for p in model.parameters()}
    shapes = {shape for p in model.parameters() for shape in (p.shape, p.shape[::-1])}

    def keep(tensor):
        storage = tensor.untyped_storage()
        weight = tensor.shape in shapes and tensor.dtype != torch.float32  # cast for products
        if storage.data_ptr() not in known and not weight:
            stored[storage.data_ptr()] = storage  # kept, lest another gets its address
        return tensor

    x = torch.zeros(rows, config.block_size, dtype=torch.long)
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = SummedLoss(model)(x, x)
    assert loss.requires_grad
    return sum(storage.nbytes() for storage in stored.values())


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    ("changes", "share"),
    [
        ({}, 0.02),
        ({"n_layer": 2, "n_embd": 256}, 0.02),
        ({"bias": False}, 0.02),
        ({"activation": "swiglu", "n_hidden": 200}, 0.02),
        (MODERN, 0.08),
        # On a CPU, RMSNorm with a gain is several kernels, which keep two more copies.
        (LLAMA | {"norm_gain": False}, 0.08),
    ],
)
def test_activations_are_what_autograd_keeps(monkeypatch, changes, share, half):
    def as_on_a_gpu(q, k, v, dropout=0.0):  # whose kernel keeps no weights of attention
        shares = q.shape[1] != k.shape[1]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=shares)
        return y, None

    monkeypatch.setattr(gpt, "plain_attention", as_on_a_gpu)
    config, rows = dataclasses.replace(SMALL, **changes), 9
    positions = rows * config.block_size
    measured = kept(config, rows, half) - 4 * config.vocab_size * positions
    assert positions * costs.activation_bytes(config, half) == pytest.approx(measured, rel=share)


def test_a_step_takes_the_memory_that_was_said():
    """A real step on the CPU: what is allocated at its highest, within 3 %."""
    config = dataclasses.replace(SMALL, vocab_size=3000)
    plan = TrainConfig(1, batch_size=16, accumulate=2, precision="fp32")
    model, x = GPT(config), torch.zeros(8, config.block_size, dtype=torch.long)
    loss = SummedLoss(model)
    its = costs.memory(config, plan, half=False)
    loss(x, x).backward()  # the gradients are there when the second micro-batch comes
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        loss(x, x).backward()
    events = record.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    highest = max(itertools.accumulate(change for _, change in changes))
    assert its["activations"] + its["logits"] == pytest.approx(highest, rel=0.03)
    assert its["weights"] == bytes_of(model.parameters())
    assert its["gradients"] == bytes_of(p.grad for p in model.parameters())


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_optimisers_averages_are_counted(optimizer):
    plan = TrainConfig(1, optimizer=optimizer)
    model = GPT(SMALL)
    optimizers = configure_optimizers(model, plan)
    x = torch.zeros(1, 4, dtype=torch.long)
    SummedLoss(model)(x, x).backward()
    for one in optimizers:
        one.step()
    states = [state for one in optimizers for state in one.state.values()]
    averages = [t for state in states for t in state.values() if t.ndim]  # no step counters
    assert costs.memory(SMALL, plan)["optimiser"] == bytes_of(averages)


def test_what_devices_share_and_what_each_has():
    plan = TrainConfig(1, batch_size=64, accumulate=4)
    one, four, cut = (
        costs.memory(SMALL, plan, n, half=False, shard=shard)
        for n, shard in ((1, False), (4, False), (4, True))
    )
    assert (four["weights"], four["optimiser"]) == (one["weights"], one["optimiser"])
    assert four["gradients"] == 2 * one["gradients"]  # and their copies on the way
    for part in ("weights", "gradients", "optimiser"):
        assert cut[part] == one[part] // 4
    for part in ("activations", "logits"):
        assert four[part] == cut[part] == one[part] // 4  # 4 rows instead of 16
    halves = costs.memory(SMALL, plan)["weights"] - one["weights"]
    its = costs.parameters(SMALL)
    assert halves == 2 * (its["matrices"] + its["tokens"])


# --- time and money ------------------------------------------------------------------------------


def test_hours_and_money_by_hand():
    # 3.6e18 operations at half of 1e15 a second: 7,200 s.
    assert costs.hours(3.6e18, 1e15, 0.5) == 2
    assert costs.price(2, devices=8, rate=2.5) == 40
    assert costs.mfu(1000, 5e8, 1e12) == 0.5


def test_palms_utilisation_is_the_one_in_its_paper():
    """Appendix B: 238.3 thousand tokens a second on 6,144 TPU v4 of 275e12: 46.2 %, 45.7 without
    attention. 118 layers, 48 heads of 256."""
    its = costs.decoder_flops(540_350_000_000, 118, 48 * 256, 2048)
    peak = 6144 * 275e12
    assert costs.mfu(238_300, its.total, peak) == pytest.approx(0.462, abs=5e-4)
    assert costs.mfu(238_300, its.weights, peak) == pytest.approx(0.457, abs=5e-4)


@pytest.mark.parametrize(
    ("N", "flops"), [(125e6, 2.25e20), (1.3e9, 2.38e21), (13e9, 2.31e22), (174.6e9, 3.14e23)]
)
def test_gpt3s_operations_are_those_of_its_table(N, flops):
    """Appendix D: 300 billion tokens, attention left out; the table's N are rounded."""
    assert costs.decoder_flops(int(N), 0, 0, 0).total * 300e9 == pytest.approx(flops, rel=0.03)
