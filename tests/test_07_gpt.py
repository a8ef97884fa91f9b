"""The GPT of lecture 07: its attention, its initialisation, its sizes and its methods."""

import dataclasses
import functools
import itertools
import math
import random
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from untyped import jaxtyping_off
from zerotohero.generation import KVCache
from zerotohero.gpt import (
    GPT,
    MLP,
    Block,
    CausalSelfAttention,
    GPTConfig,
    norm,
    plain_attention,
)
from zerotohero.gpt_config import PRESETS
from zerotohero.rotary import rotary_angles, rotate

TINY = GPTConfig(vocab_size=11, block_size=8, n_layer=2, n_head=2, n_embd=8)
MODERN = dataclasses.replace(
    TINY, norm="rmsnorm", position="rotary", activation="relu2", qk_norm=True, bias=False
)
LLAMA = dataclasses.replace(
    TINY,
    norm="rmsnorm",
    norm_gain=True,
    norm_eps=1e-3,
    position="rotary",
    rope_theta=100.0,
    activation="swiglu",
    n_hidden=20,
    n_kv_head=1,
    bias=False,
)
ALL = pytest.mark.parametrize("config", [TINY, MODERN, LLAMA], ids=["gpt2", "modern", "llama"])


def randomised(config: GPTConfig, seed: int = 0) -> GPT:
    """A GPT whose every number matters: none is 0 or 1 by initialisation, and logits are large."""
    g = torch.Generator().manual_seed(seed)
    model = GPT(config, g)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.5, generator=g)
    return model.eval()


def tokens(*shape: int, seed: int = 1, vocab_size: int = 11) -> torch.Tensor:
    return torch.randint(vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def test_heads_as_a_batch_equal_heads_one_by_one():
    torch.manual_seed(0)
    config = dataclasses.replace(TINY, n_head=4, n_embd=12)
    attention = CausalSelfAttention(config)
    x = torch.randn(3, 7, 12)
    wq, wk, wv = attention.c_attn.weight.split(12)  # (C, C) each: (out, in)
    bq, bk, bv = attention.c_attn.bias.split(12)
    outs = []
    for h in range(4):
        rows = slice(3 * h, 3 * h + 3)
        q, k, v = (x @ w[rows].T + b[rows] for w, b in ((wq, bq), (wk, bk), (wv, bv)))
        scores = q @ k.transpose(1, 2) / math.sqrt(3)
        scores = scores.masked_fill(torch.ones(7, 7).triu(1).bool(), -torch.inf)
        outs.append(F.softmax(scores, -1) @ v)
    expected = attention.c_proj(torch.cat(outs, -1))
    torch.testing.assert_close(attention(x), expected, atol=1e-6, rtol=1e-5)


@ALL
def test_the_plain_path_gives_the_same(config):
    model, idx = randomised(config), tokens(3, 8)
    fused = model(idx)
    for block in model.transformer.h:
        block.attn.plain = True
    torch.testing.assert_close(model(idx), fused, atol=1e-5, rtol=1e-5)


def test_the_plain_path_takes_the_queries_for_the_last_positions():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 6, 4) for _ in range(3))
    y, weights = plain_attention(q, k, v)
    last, _ = plain_attention(q[:, :, 4:], k, v)
    torch.testing.assert_close(last, y[:, :, 4:])
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 6))


@ALL
def test_the_future_does_not_leak(config):
    model, idx = randomised(config), tokens(2, 8)
    before = model(idx)
    for t in range(1, 8):
        changed = idx.clone()
        changed[:, t:] = (changed[:, t:] + 1 + tokens(2, 8 - t, vocab_size=9)) % 11
        after = model(changed)
        torch.testing.assert_close(after[:, :t], before[:, :t], atol=1e-6, rtol=1e-6)
        assert (after[:, t] - before[:, t]).abs().max() > 1e-3, "a position must see itself"


def test_what_each_position_learns_from_reaches_back_to_the_first():
    model, idx = randomised(TINY), tokens(1, 8)
    x = model.transformer.wte(idx).detach().requires_grad_()
    y = x
    for block in model.transformer.h:
        y = block(y)
    y[0, -1].sum().backward()
    assert (x.grad[0].abs().sum(-1) > 0).all()


def test_without_positions_one_layer_does_not_know_the_order():
    config = dataclasses.replace(TINY, n_layer=1, position="none")
    idx = tokens(1, 8)
    shuffled = torch.cat([idx[:, [3, 0, 6, 2, 5, 1, 4]], idx[:, 7:]], 1)
    model = randomised(config)
    torch.testing.assert_close(model(idx)[:, -1], model(shuffled)[:, -1])
    for position in ("learned", "rotary"):
        model = randomised(dataclasses.replace(config, position=position))
        assert (model(idx)[:, -1] - model(shuffled)[:, -1]).abs().max() > 1e-3


def test_rotary_keeps_lengths_and_knows_only_the_distance():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 6)
    angles = rotary_angles(20, 6)
    assert angles.shape == (20, 3)
    at = lambda x, t: rotate(x, angles[t : t + 1])  # noqa: E731
    for t in (0, 5, 19):
        torch.testing.assert_close(at(q, t).norm(), q.norm())
    score = lambda t, s: (at(q, t) * at(k, s)).sum()  # noqa: E731
    torch.testing.assert_close(score(7, 4), score(18, 15))
    assert (score(7, 4) - score(7, 5)).abs() > 1e-3
    torch.testing.assert_close(at(q, 0), q)


def test_a_rotary_model_gives_the_same_wherever_the_text_stands():
    """With a cache that begins later, every angle is larger and every distance the same."""
    model = randomised(dataclasses.replace(MODERN, n_layer=1, block_size=64))
    angles = rotary_angles(64, model.config.head_size)
    x = torch.randn(1, 5, 8, generator=torch.Generator().manual_seed(3))
    block = model.transformer.h[0]
    torch.testing.assert_close(block(x, angles[:5]), block(x, angles[40:45]), atol=1e-5, rtol=1e-5)


def test_rms_norm_is_its_formula():
    x = torch.randn(4, 5, 16, generator=torch.Generator().manual_seed(0)) * 7 + 3
    y = norm(dataclasses.replace(MODERN, n_embd=16))(x)
    torch.testing.assert_close(y, x / x.square().mean(-1, keepdim=True).sqrt())
    assert (y.mean(-1).abs() > 0.1).any(), "no mean is subtracted"


def test_rms_norm_may_learn_a_gain_and_has_its_epsilon():
    config = dataclasses.replace(LLAMA, n_embd=16)
    x = torch.randn(4, 5, 16, generator=torch.Generator().manual_seed(0)) * 0.1
    learned = norm(config)
    assert torch.equal(learned.weight, torch.ones(16))
    learned.weight.data.uniform_(generator=torch.Generator().manual_seed(1))
    expected = learned.weight * x / (x.square().mean(-1, keepdim=True) + 1e-3).sqrt()
    torch.testing.assert_close(learned(x), expected)
    assert norm(dataclasses.replace(config, norm_gain=False)).weight is None


def test_layer_norm_has_its_epsilon_and_without_one_gpt2s():
    x = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(0)) * 0.1
    for eps, used in ((None, 1e-5), (1e-2, 1e-2)):
        y = norm(dataclasses.replace(TINY, norm_eps=eps))(x)
        torch.testing.assert_close(y, F.layer_norm(x, (8,), eps=used))


def test_the_pairs_turn_at_the_speeds_of_their_theta():
    angles = rotary_angles(5, 6, theta=64.0)
    torch.testing.assert_close(angles[1], torch.tensor([1.0, 1 / 4, 1 / 16]))
    torch.testing.assert_close(angles, torch.arange(5.0)[:, None] * angles[1])
    here, idx = randomised(LLAMA), tokens(1, 8)
    there = GPT(dataclasses.replace(LLAMA, rope_theta=2.0)).eval()
    there.load_state_dict(here.state_dict())
    assert (here(idx) - there(idx)).abs().max() > 1e-3


def test_swiglu_is_a_product_with_a_gate():
    torch.manual_seed(0)
    for bias in (False, True):
        mlp = MLP(dataclasses.replace(LLAMA, n_hidden=20, bias=bias))
        x = torch.randn(2, 3, 8)
        gate, up = mlp.c_fc.weight.split(20)
        gate, up = x @ gate.T, x @ up.T
        if bias:
            gate, up = gate + mlp.c_fc.bias[:20], up + mlp.c_fc.bias[20:]
        torch.testing.assert_close(mlp(x), mlp.c_proj(gate * gate.sigmoid() * up))


@pytest.mark.parametrize("activation", ["gelu", "relu2", "swiglu"])
def test_an_mlp_has_the_size_that_was_asked_for_or_four_times_the_channels(activation):
    for n_hidden, size in ((None, 32), (20, 20)):
        mlp = MLP(dataclasses.replace(TINY, activation=activation, n_hidden=n_hidden))
        assert mlp.c_proj.weight.shape == (8, size)
        assert mlp.c_fc.weight.shape == ((2 * size if activation == "swiglu" else size), 8)


@pytest.mark.parametrize("n_kv_head", [1, 2, 4])
def test_heads_that_share_keys_and_values_equal_heads_with_copies_of_them(n_kv_head):
    """Neighbouring heads of queries share; those of another order would give something else."""
    config = dataclasses.replace(TINY, n_head=4, n_embd=16, position="rotary", tied=False)
    shared = randomised(dataclasses.replace(config, n_kv_head=n_kv_head))
    state = shared.state_dict()
    assert state["transformer.h.0.attn.c_attn.weight"].shape == (16 + 2 * 4 * n_kv_head, 16)
    for name in [name for name in state if "c_attn" in name]:
        q, *kv = state[name].split([16, 4 * n_kv_head, 4 * n_kv_head])
        heads = (part.unflatten(0, (n_kv_head, 4)) for part in kv)
        copied = (part.repeat_interleave(4 // n_kv_head, 0).flatten(0, 1) for part in heads)
        state[name] = torch.cat([q, *copied])
    alone = GPT(config).eval()
    alone.load_state_dict(state)
    idx = tokens(3, 8)
    torch.testing.assert_close(shared(idx), alone(idx), atol=1e-5, rtol=1e-5)


def combinations() -> list[GPTConfig]:
    """Every part with every other, sizes that could be confused different."""
    parts = itertools.product(
        [("layernorm", False), ("rmsnorm", False), ("rmsnorm", True)],
        ["learned", "rotary", "none"],
        ["gelu", "relu2", "swiglu"],
        [None, 1, 2],
    )
    draw = random.Random(0)
    return [
        GPTConfig(
            11,
            8,
            n_layer=2,
            n_head=4,
            n_embd=24,
            norm=kind,
            norm_gain=gain,
            position=position,
            activation=activation,
            n_kv_head=n_kv_head,
            norm_eps=draw.choice([None, 1e-2]),
            rope_theta=draw.choice([10_000.0, 50.0]),
            n_hidden=draw.choice([None, 28]),
            qk_norm=draw.random() < 0.5,
            bias=draw.random() < 0.5,
            tied=draw.random() < 0.5,
            zero_init=draw.random() < 0.5,
        )
        for (kind, gain), position, activation, n_kv_head in parts
    ]


@torch.no_grad()
@pytest.mark.parametrize("kind", ["layernorm", "rmsnorm"])
def test_whatever_the_parts_every_way_to_the_logits_gives_the_same(kind, tmp_path):
    """The plain path, the cache in pieces and one by one, the last alone, writing, cropping, and
    a file."""
    idx = tokens(2, 8)
    for config in combinations():
        if config.norm != kind:
            continue
        model = randomised(config).double()
        expected = model(idx)
        assert expected.std() > 0.1
        same = functools.partial(torch.testing.assert_close, atol=1e-9, rtol=0, msg=str(config))
        maps = model.attention_maps(idx)
        assert maps[0].shape == (2, 4, 8, 8)
        for block in model.transformer.h:
            block.attn.plain = True
        same(model(idx), expected)
        for block in model.transformer.h:
            block.attn.plain = False
        for cut in ([1, 4, 3], [1] * 8):
            cache = KVCache(2)
            same(torch.cat([model(piece, cache) for piece in idx.split(cut, 1)], 1), expected)
        same(model(idx, last=True), expected[:, -1:])
        written = model.generate(idx[:, :3], 9, temperature=0)  # longer than the block
        assert written == model.generate(idx[:, :3], 9, temperature=0, use_cache=False)
        torch.save(model.state_dict(), tmp_path / "model.pt")
        again = GPT(GPTConfig(**dataclasses.asdict(config))).double().eval()
        again.load_state_dict(torch.load(tmp_path / "model.pt"))
        assert torch.equal(again(idx), expected)
        again.crop_block_size(5)
        same(again(idx[:, :5]), expected[:, :5])


def test_a_checkpoint_from_before_a_part_came_still_loads():
    """Its configuration has lecture 07's fields alone; what the norms add was torch's."""
    new = {"norm_gain", "norm_eps", "rope_theta", "n_hidden", "n_kv_head"}
    for config in (TINY, MODERN):
        fields = dataclasses.asdict(config)
        assert new < fields.keys()
        assert GPTConfig(**{n: value for n, value in fields.items() if n not in new}) == config
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)) * 1e-3
    assert torch.equal(norm(MODERN)(x), F.rms_norm(x, (8,)))
    assert torch.equal(norm(TINY)(x), F.layer_norm(x, (8,)))


def test_initialisation_is_gpt2s():
    config = dataclasses.replace(TINY, n_embd=256, n_layer=8, vocab_size=500, block_size=64)
    model = GPT(config, torch.Generator().manual_seed(0))
    deviations = {n: p.std().item() for n, p in model.named_parameters() if p.ndim == 2}
    for name, deviation in deviations.items():
        expected = 0.02 / 4 if name.endswith("c_proj.weight") else 0.02
        assert deviation == pytest.approx(expected, rel=0.03), name
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif parameter.ndim == 1:
            assert (parameter == 1).all(), name


@ALL
def test_the_first_loss_is_that_of_knowing_nothing(config):
    idx = tokens(16, 9)
    for zero_init in (False, True):
        model = GPT(dataclasses.replace(config, zero_init=zero_init, n_embd=64))
        loss = F.cross_entropy(model(idx[:, :-1]).flatten(0, 1), idx[:, 1:].flatten())
        assert loss.item() == pytest.approx(math.log(11), abs=0.1)


def test_a_zero_start_adds_nothing_to_the_residual_path():
    block = GPT(dataclasses.replace(MODERN, zero_init=True)).transformer.h[0]
    x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x, rotary_angles(5, 4)), x)
    untied = GPT(dataclasses.replace(MODERN, zero_init=True, tied=False))
    assert not untied(tokens(1, 4)).any()


def test_the_same_generator_gives_the_same_model_and_leaves_torchs_alone():
    state = torch.get_rng_state()
    one = GPT(TINY, torch.Generator().manual_seed(5)).state_dict()
    two = GPT(TINY, torch.Generator().manual_seed(5)).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(state, torch.get_rng_state())


def test_weight_names_are_gpt2s():
    layer = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
    names = [f"transformer.h.{i}.{part}" for i in range(2) for part in layer]
    expected = {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
    expected |= {"transformer.wte.weight", "transformer.wpe.weight", "lm_head.weight"}
    expected |= {"transformer.ln_f.weight", "transformer.ln_f.bias"}
    assert set(GPT(TINY).state_dict()) == expected


def test_embeddings_are_tied_unless_asked_not_to():
    model = GPT(TINY)
    assert model.lm_head.weight is model.transformer.wte.weight
    untied = GPT(dataclasses.replace(TINY, tied=False))
    assert untied.num_params() - model.num_params() == 11 * 8


def test_presets_have_the_published_sizes():
    """OpenAI's and nanoGPT's figures, by the shapes alone: nothing is allocated."""
    with torch.device("meta"):
        sizes = {
            name: GPT(config).num_params(non_embedding=False)
            for name, config in PRESETS.items()
            if name.startswith("gpt2") or name == "shakespeare-char"
        }
    assert sizes == {
        "gpt2": 124_439_808,
        "gpt2-medium": 354_823_168,
        "gpt2-large": 774_030_080,
        "gpt2-xl": 1_557_611_200,
        "shakespeare-char": 10_745_088,
    }


def test_flops_are_counted_product_by_product():
    """6 for every weight of a product, and the two products of attention, forward and back."""
    for config in (TINY, dataclasses.replace(TINY, tied=False), MODERN, LLAMA):
        model = GPT(config)
        products = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
        vectors = sum(p.numel() for p in model.parameters() if p.ndim == 1)
        attention = 2 * config.n_layer * (2 * config.n_embd * config.block_size) * 3
        assert model.flops_per_token() == 6 * (products + vectors) + attention


def test_a_batch_is_learned_by_heart():
    for config in (TINY, LLAMA, dataclasses.replace(MODERN, zero_init=True)):
        config = dataclasses.replace(config, n_embd=32)
        model = GPT(config, torch.Generator().manual_seed(0))
        data = tokens(4, 9)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(75):
            logits = model(data[:, :-1]).flatten(0, 1)
            loss = F.cross_entropy(logits, data[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss.item() < 0.3  # the first token of a row can't tell which row it is


def test_dropout_is_on_in_training_only():
    model = randomised(dataclasses.replace(TINY, dropout=0.5))
    idx = tokens(1, 8)
    assert torch.equal(model(idx), model(idx))
    model.train()
    assert not torch.equal(model(idx), model(idx))
    attention = model.transformer.h[0].attn
    attention.resid_dropout.p = 0.0
    x = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))
    for attention.plain in (False, True):
        assert not torch.equal(attention(x), attention(x)), "the weights drop out as well"


def test_crop_block_size_keeps_what_remains():
    for config in (TINY, MODERN, LLAMA):
        model, idx = randomised(config), tokens(2, 5)
        before = model(idx)
        model.crop_block_size(5)
        assert torch.equal(model(idx), before)
        assert model.config.block_size == 5
        with pytest.raises(ValueError, match="block_size is 5"):
            model(tokens(1, 6))
        for wrong in (0, 6):
            with pytest.raises(ValueError, match="can be cropped to 1 … 5"):
                model.crop_block_size(wrong)
    GPT(dataclasses.replace(TINY, block_size=5)).load_state_dict(
        (lambda m: (m.crop_block_size(5), m.state_dict())[1])(randomised(TINY))
    )


def test_attention_maps_are_the_weights_that_were_used():
    model, idx = randomised(dataclasses.replace(TINY, dropout=0.3)).train(), tokens(2, 6)
    maps = model.attention_maps(idx)
    assert len(maps) == 2 and maps[0].shape == (2, 2, 6, 6)
    for weights in maps:
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 6))
        assert not weights.triu(1).any()
    assert model.training and not model.transformer.h[0].attn.plain
    model.eval()
    first = model.transformer.h[0]
    x = first.ln_1(model.transformer.wte(idx) + model.transformer.wpe.weight[:6])
    v = first.attn.c_attn(x)[..., 16:].view(2, 6, 2, 4).transpose(1, 2)
    y = (maps[0] @ v).transpose(1, 2).reshape(2, 6, 8)
    torch.testing.assert_close(first.attn.c_proj(y), first.attn(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n_layer": 0}, "n_layer is 0"),
        ({"n_head": 3}, "multiple of n_head"),
        ({"dropout": 1.0}, "below 1"),
        ({"norm": "batchnorm"}, "layernorm, rmsnorm"),
        ({"position": "sine"}, "learned, rotary, none"),
        ({"activation": "tanh"}, "gelu, relu2"),
        ({"n_embd": 6, "position": "rotary"}, "n_embd / n_head even"),
        ({"n_embd": 16, "n_head": 4, "n_kv_head": 3}, "make n_head a multiple of n_kv_head"),
        ({"n_kv_head": 4}, "n_head is 2 and n_kv_head is 4"),
        ({"n_kv_head": 0}, "n_kv_head is 0; it must be at least 1"),
        ({"n_hidden": 0}, "n_hidden is 0; it must be at least 1"),
        ({"n_hidden": 2.5}, "n_hidden is 2.5; it must be a whole number"),
        ({"norm_eps": 0.0}, "norm_eps is 0.0; it must be a positive number"),
        ({"norm_eps": "1e-5"}, "norm_eps is '1e-5'; it must be a number"),
        ({"rope_theta": math.inf}, "rope_theta is inf; it must be a positive number"),
    ],
)
def test_a_configuration_that_cannot_work_says_what_to_change(changes, says):
    with jaxtyping_off(), pytest.raises(ValueError, match=says):
        dataclasses.replace(TINY, **changes)


def test_a_preset_by_a_wrong_name():
    with pytest.raises(ValueError, match="'gpt-nan'; there are gpt-nano"):
        GPTConfig.preset("gpt-nan")
    assert GPTConfig.preset("gpt-nano", vocab_size=65).vocab_size == 65


NARROW = [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32]


@ALL
@pytest.mark.parametrize("dtype", NARROW)
def test_tokens_may_be_of_any_whole_number_type(config, dtype):
    model, idx = randomised(config), tokens(2, 8)
    assert torch.equal(model(idx.to(dtype)), model(idx))
    assert model.generate(idx[:, :3].to(dtype), 4, temperature=0) == model.generate(
        idx[:, :3], 4, temperature=0
    )
    maps = zip(model.attention_maps(idx.to(dtype)), model.attention_maps(idx), strict=True)
    assert all(torch.equal(mine, plain) for mine, plain in maps)


@pytest.mark.parametrize("bad", [11, -1])
def test_a_token_beyond_the_vocabulary_is_named_with_its_size(bad):
    idx = tokens(2, 8)
    idx[1, 3] = bad
    with pytest.raises(ValueError, match=f"{bad}.*vocabulary of 11 has the tokens 0 to 10"):
        GPT(TINY)(idx)


def test_what_is_no_token_is_no_whole_number():
    for idx in (tokens(2, 8).float(), tokens(2, 8).bool()):
        with jaxtyping_off(), pytest.raises(TypeError, match="must be whole numbers"):
            GPT(TINY)(idx)


def test_a_compiled_gpt_is_one_graph():
    """What says why a token is unknown must not break it; in a process without our checks."""
    code = """if True:
        import torch
        from zerotohero.gpt import GPT, GPTConfig
        model, idx = GPT(GPTConfig(11, 8, 2, 2, 8)), torch.arange(8)[None]
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        assert torch.equal(compiled(idx), model(idx))
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_context_too_long_says_so():
    with pytest.raises(ValueError, match="9 tokens, but block_size is 8"):
        GPT(TINY)(tokens(1, 9))


@ALL
def test_blocks_read_a_normalised_copy_and_add_to_the_path(config):
    """Ten times the input of a block's path makes the same additions."""
    block = Block(dataclasses.replace(config, bias=False))
    x = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(0))
    angles = rotary_angles(6, 4) if config.position == "rotary" else None
    attn, mlp = block.attn, block.mlp
    y = x + attn(block.ln_1(x), angles)
    torch.testing.assert_close(block(x, angles), y + mlp(block.ln_2(y)))
    torch.testing.assert_close(
        attn(block.ln_1(10 * x), angles), attn(block.ln_1(x), angles), atol=1e-3, rtol=1e-3
    )
