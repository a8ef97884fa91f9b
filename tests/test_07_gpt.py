"""The GPT of lecture 07: its attention, its initialisation, its sizes and its methods."""

import dataclasses
import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from untyped import jaxtyping_off
from zerotohero.gpt import (
    GPT,
    PRESETS,
    Block,
    CausalSelfAttention,
    GPTConfig,
    norm,
    plain_attention,
)
from zerotohero.rotary import rotary_angles, rotate

TINY = GPTConfig(vocab_size=11, block_size=8, n_layer=2, n_head=2, n_embd=8)
MODERN = dataclasses.replace(
    TINY, norm="rmsnorm", position="rotary", activation="relu2", qk_norm=True, bias=False
)
BOTH = pytest.mark.parametrize("config", [TINY, MODERN], ids=["gpt2", "modern"])


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


@BOTH
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


@BOTH
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


@BOTH
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
    for config in (TINY, dataclasses.replace(TINY, tied=False), MODERN):
        model = GPT(config)
        products = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
        vectors = sum(p.numel() for p in model.parameters() if p.ndim == 1)
        attention = 2 * config.n_layer * (2 * config.n_embd * config.block_size) * 3
        assert model.flops_per_token() == 6 * (products + vectors) + attention


def test_a_batch_is_learned_by_heart():
    for config in (TINY, dataclasses.replace(MODERN, zero_init=True)):
        config = dataclasses.replace(config, n_embd=32)
        model = GPT(config, torch.Generator().manual_seed(0))
        data = tokens(4, 9)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(150):
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
    for config in (TINY, MODERN):
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
    ],
)
def test_a_configuration_that_cannot_work_says_what_to_change(changes, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(TINY, **changes)


def test_a_preset_by_a_wrong_name():
    with pytest.raises(ValueError, match="'gpt-nan'; there are gpt-nano"):
        GPTConfig.preset("gpt-nan")
    assert GPTConfig.preset("gpt-nano", vocab_size=65).vocab_size == 65


NARROW = [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32]


@BOTH
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


@BOTH
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
