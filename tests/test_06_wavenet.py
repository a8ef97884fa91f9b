"""Lecture 06: the tree that fuses pairs, and the same network as causal convolutions."""

import copy
import inspect
import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from zerotohero import IGNORED, mlp
from zerotohero.batchnorm import BatchNorm1d, Linear, Sequential, Tanh
from zerotohero.bigram import Vocabulary
from zerotohero.course.plots import wavenet as figures
from zerotohero.course.widgets.wavenet import receptive_field
from zerotohero.mlp import Plan, build_dataset, split_words
from zerotohero.wavenet import (
    FULL,
    QUICK,
    CausalConv,
    Dropout,
    FlattenConsecutive,
    WaveNet,
    WaveNetConfig,
    as_convolutions,
    build_names,
    multiply_adds,
    sample,
)

# mlp asks for an nn.Module when types are checked, and our layers are none.
train, evaluate = inspect.unwrap(mlp.train), inspect.unwrap(mlp.evaluate)
names = st.lists(st.text("abcde", min_size=1, max_size=12), min_size=1, max_size=6)
vocabulary = Vocabulary(["abcde"])


@pytest.fixture(autouse=True)
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def windows(words: list[str], block_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All contexts and targets by hand: build_dataset refuses contexts longer than the names."""
    X, Y = [], []
    for word in words:
        tokens = [0] * block_size + vocabulary.encode(word) + [0]
        for i in range(block_size, len(tokens)):
            X.append(tokens[i - block_size : i])
            Y.append(tokens[i])
    return torch.tensor(X), torch.tensor(Y)


def lived_in(block_size: int, C: int = 3, H: int = 5, seed: int = 0) -> WaveNet:
    """A tree in eval mode whose BatchNorms all have statistics, scales and shifts of their own."""
    config = WaveNetConfig(len(vocabulary), block_size, C, H)
    tree = WaveNet(config, gen(seed))
    for layer in tree:
        if isinstance(layer, BatchNorm1d):
            with torch.no_grad():
                layer.gamma.uniform_(0.5, 2, generator=gen(seed))
                layer.beta.normal_(generator=gen(seed + 1))
            layer.running_mean.normal_(generator=gen(seed + 2))
            layer.running_var.uniform_(0.3, 3, generator=gen(seed + 3))
    return tree.eval()


# --- FlattenConsecutive ---------------------------------------------------------------------------


@given(B=st.integers(1, 4), G=st.integers(1, 5), C=st.integers(1, 4), n=st.integers(1, 4))
def test_neighbours_are_put_side_by_side(B, G, C, n):
    x = torch.arange(B * G * n * C).view(B, G * n, C)
    out = FlattenConsecutive(n)(x)
    assert out.shape == ((B, n * C) if G == 1 else (B, G, n * C))
    out = out.view(B, G, n * C)
    for b in range(B):
        for group in range(G):
            by_hand = torch.cat([x[b, group * n + i] for i in range(n)])
            assert torch.equal(out[b, group], by_hand)


def test_pairs_are_the_even_positions_beside_the_odd_ones():
    x = torch.randn(2, 8, 3, generator=gen())
    assert torch.equal(FlattenConsecutive(2)(x), torch.cat([x[:, ::2], x[:, 1::2]], 2))


def test_an_input_whose_numbers_are_not_in_order_is_taken_too():
    x = torch.randn(2, 3, 8, generator=gen()).transpose(1, 2)
    assert torch.equal(FlattenConsecutive(2)(x), FlattenConsecutive(2)(x.contiguous()))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 7, 3), r"can't split 7 positions .*groups of 2.*multiple of 2"),
        ((4, 0, 3), "can't split 0 positions"),
        ((4, 6), r"needs vectors at positions.*\(4, 6\)"),
        ((1, 4, 6, 2), "needs vectors at positions"),
    ],
)
def test_what_cannot_be_split_is_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        FlattenConsecutive(2)(torch.zeros(shape))


def test_a_group_of_none_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        FlattenConsecutive(0)


# --- the tree -------------------------------------------------------------------------------------


def test_the_default_tree_has_the_76_thousand_parameters_of_the_published_figure():
    tree = WaveNet(WaveNetConfig(), gen())
    by_hand = 27 * 24 + 48 * 128 + 2 * 256 * 128 + 3 * 2 * 128 + 128 * 27 + 27
    assert sum(p.numel() for p in tree.parameters()) == by_hand == 76_579
    assert tree(torch.zeros(2, 8, dtype=torch.long)).shape == (2, 27)


@pytest.mark.parametrize("block_size", [2, 4, 8, 16, 32])
def test_depth_follows_from_the_context(block_size):
    tree = lived_in(block_size)
    assert sum(isinstance(layer, Tanh) for layer in tree) == tree.config.n_layer
    assert 2**tree.config.n_layer == block_size
    assert tree(torch.zeros(3, block_size, dtype=torch.long)).shape == (3, 6)


def test_the_first_loss_is_that_of_knowing_nothing():
    tree, (X, Y) = WaveNet(WaveNetConfig(), gen(1)), windows(["abcde", "bad", "ace"] * 20, 8)
    assert abs(F.cross_entropy(tree(X), Y) - torch.tensor(27.0).log()) < 0.1


def test_the_tree_fuses_like_a_network_of_torch_nn():
    tree, (X, _) = lived_in(8), windows(["abcde", "deed"], 8)
    x = tree[0].wte[X]
    for linear, norm in ((tree[2], tree[3]), (tree[6], tree[7]), (tree[10], tree[11])):
        x = F.linear(x.reshape(len(X), -1, linear.weight.shape[0]), linear.weight.T)
        x = F.batch_norm(
            x.transpose(1, 2), norm.running_mean, norm.running_var, norm.gamma, norm.beta
        )
        x = x.transpose(1, 2).tanh()
    torch.testing.assert_close(tree(X), F.linear(x[:, 0], tree[13].weight.T, tree[13].bias))


def test_it_learns_what_can_only_be_known_from_the_far_end_of_the_context():
    X = torch.randint(1, 6, (512, 8), generator=gen())
    tree = WaveNet(WaveNetConfig(len(vocabulary), 8, 4, 16), gen())
    train(tree, X, X[:, 0], Plan(300, 64), gen())
    assert evaluate(tree.eval(), X, X[:, 0]) < 0.05


def test_the_same_generators_give_the_same_network():
    X, Y = windows(["abcde", "bed", "dab"], 4)
    runs = []
    for _ in range(2):
        tree = WaveNet(WaveNetConfig(6, 4, 3, 5), gen(3))
        runs.append(train(tree, X, Y, Plan(5, 4), gen(4)))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("block_size", [0, 1, 3, 6, 12])
def test_a_context_that_pairs_cannot_make_is_refused(block_size):
    message = "at least 1" if block_size == 0 else "must be a power of two, such as 2, 4, 8 or 16"
    with pytest.raises(ValueError, match=message):
        WaveNetConfig(block_size=block_size)


@pytest.mark.parametrize("size", ["vocab_size", "n_embd", "n_hidden"])
def test_sizes_below_one_are_refused(size):
    with pytest.raises(ValueError, match=f"{size} is 0"):
        WaveNetConfig(**{size: 0})


@pytest.mark.parametrize("shape", [(4, 7), (8,), (2, 16), (2, 8, 1)])
def test_contexts_of_another_length_are_refused(shape):
    with pytest.raises(ValueError, match=r"made for \(B, 8\)"):
        lived_in(8)(torch.zeros(shape, dtype=torch.long))


def test_a_batch_of_one_in_train_mode_is_refused_once_a_single_pair_is_left():
    with pytest.raises(ValueError, match=r"model\.eval\(\)"):
        lived_in(8).train()(torch.zeros(1, 8, dtype=torch.long))


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_dropping_everything_is_refused(p):
    with pytest.raises(ValueError, match="below 1"):
        Dropout(p)
    with pytest.raises(ValueError, match="dropout is"):
        WaveNetConfig(dropout=p)


def test_dropout_keeps_the_mean_in_train_mode_and_everything_in_eval_mode():
    layer, x = Dropout(0.25, gen()), torch.ones(200, 100)
    out = layer(x)
    assert (out == 0).double().mean().item() == pytest.approx(0.25, abs=0.02)
    assert set(out.unique().tolist()) == {0.0, 1 / 0.75}
    assert torch.equal(Dropout(0.25, gen())(x), out), "the generator decides"
    assert layer.eval()(x) is x


def test_a_tree_with_dropout_has_it_after_every_fusion_and_gives_both_forms():
    tree = WaveNet(WaveNetConfig(6, 8, 3, 5, dropout=0.5), gen())
    assert sum(isinstance(layer, Dropout) for layer in tree) == 3
    X, _ = windows(["abcde", "deed"], 8)
    assert not torch.equal(tree(X), tree(X))
    tree.eval()
    rows, Y = build_names(["abcde", "deed"], vocabulary)
    torch.testing.assert_close(as_convolutions(tree)(rows)[Y != IGNORED], tree(X))


# --- the bug: statistics over axis 0 only ---------------------------------------------------------


class OneAxis(BatchNorm1d):
    """Lecture 06's bug: the mean and variance over axis 0, also when there are three axes."""

    def forward(self, x):
        var, mean = torch.var_mean(x, 0, correction=0)
        self.running_mean = 0.9 * self.running_mean + 0.1 * mean.detach()
        self.running_var = 0.9 * self.running_var + 0.1 * var.detach()
        return (x - mean) / torch.sqrt(var + self.eps) * self.gamma + self.beta


def channels_are_shared(layer) -> bool:
    """True if (B, T, C) leaves C statistics, and moving the positions about doesn't matter."""
    x = torch.randn(16, 4, 5, generator=gen()) + torch.arange(4.0)[:, None]
    out = layer(x)
    order = torch.tensor([2, 0, 3, 1])
    return layer.running_mean.shape == (5,) and torch.allclose(layer(x[:, order]), out[:, order])


def test_statistics_are_those_of_a_channel_over_batch_and_positions():
    assert channels_are_shared(BatchNorm1d(5))
    x = torch.randn(16, 4, 5, generator=gen()) + torch.arange(4.0)[:, None]
    out = BatchNorm1d(5)(x)
    assert out.mean((0, 1)).abs().max() < 1e-9
    assert (out[:, 0].mean(0) < -0.5).all(), "positions may differ; the network can use that"


def test_the_planted_bug_is_caught_by_its_shape():
    broken = OneAxis(5)
    assert not channels_are_shared(broken)
    assert broken.running_mean.shape == (4, 5)


def test_a_tree_with_the_bug_still_trains_but_is_no_convolution():
    X, Y = windows(["abcde", "bed", "dab", "cab"], 8)
    tree = lived_in(8).train()
    tree.layers = [OneAxis(5) if isinstance(la, BatchNorm1d) else la for la in tree]
    losses = train(tree, X, Y, Plan(20, 16), gen())
    assert losses[-1] < losses[0]
    with pytest.raises(RuntimeError):  # four, two and one positions; a name has another number
        as_convolutions(tree)(build_names(["abcde"], vocabulary)[0])


# --- CausalConv -----------------------------------------------------------------------------------


@given(
    B=st.integers(1, 3),
    T=st.integers(1, 9),
    C=st.integers(1, 4),
    dilation=st.integers(1, 10),
    bias=st.booleans(),
)
def test_it_is_torch_s_dilated_convolution_with_the_first_column_repeated_on_the_left(
    B, T, C, dilation, bias
):
    linear = Linear(2 * C, 3, bias=bias, generator=gen(1))
    if bias:
        linear.bias.data.normal_(generator=gen(2))
    x = torch.randn(B, T, C, generator=gen())
    # torch has channels before positions, and a kernel of (out, in, 2).
    kernel = linear.weight.view(2, C, 3).permute(2, 1, 0)
    padded = F.pad(x.transpose(1, 2), (dilation, 0), mode="replicate")
    expected = F.conv1d(padded, kernel, linear.bias, dilation=dilation).transpose(1, 2)
    torch.testing.assert_close(CausalConv(linear, dilation)(x), expected)


def test_with_zeros_in_the_first_column_the_padding_is_that_of_zeros():
    linear = Linear(6, 4, generator=gen())
    x = torch.randn(2, 7, 3, generator=gen(1))
    x[:, 0] = 0
    kernel = linear.weight.view(2, 3, 4).permute(2, 1, 0)
    expected = F.conv1d(F.pad(x.transpose(1, 2), (2, 0)), kernel, linear.bias, dilation=2)
    torch.testing.assert_close(CausalConv(linear, 2)(x), expected.transpose(1, 2))


def test_a_convolution_holds_the_tree_s_linear_itself():
    linear = Linear(4, 3)
    conv = CausalConv(linear, 1)
    assert conv.linear is linear
    assert all(a is b for a, b in zip(conv.parameters(), linear.parameters(), strict=True))


@pytest.mark.parametrize("dilation", [0, -1])
def test_a_dilation_below_one_is_refused(dilation):
    with pytest.raises(ValueError, match="at least 1"):
        CausalConv(Linear(4, 3), dilation)


def test_an_odd_fan_in_is_refused():
    with pytest.raises(ValueError, match="must be even"):
        CausalConv(Linear(5, 3), 1)


@pytest.mark.parametrize("shape", [(4, 3), (1, 0, 3)])
def test_an_input_without_positions_is_refused(shape):
    with pytest.raises(ValueError, match="vectors at positions"):
        CausalConv(Linear(6, 3), 1)(torch.zeros(shape))


# --- one network, two forms -----------------------------------------------------------------------


@given(
    words=names,
    layers=st.integers(1, 4),
    C=st.integers(1, 5),
    H=st.integers(1, 7),
    seed=st.integers(0, 9),
)
def test_both_forms_give_the_same_logits_on_every_window(words, layers, C, H, seed):
    tree = lived_in(2**layers, C, H, seed)
    X, Y = build_names(words, vocabulary)
    logits = as_convolutions(tree)(X)
    contexts, targets = windows(words, 2**layers)
    kept = Y != IGNORED
    assert torch.equal(Y[kept], targets)
    assert (logits[kept] - tree(contexts)).abs().max() <= 1e-10


def test_both_forms_agree_after_training_on_real_names(tmp_path):
    from zerotohero.course import data

    words = data.words("names")
    real, splits = Vocabulary(words), split_words(words)
    tree = WaveNet(WaveNetConfig(), gen())
    rows = build_dataset(splits.train[:2000], 8, real)
    train(tree, *rows, replace(QUICK, steps=20), gen())
    tree.eval()
    X, Y = build_names(splits.dev, real)
    contexts, targets = build_dataset(splits.dev, 8, real)
    logits = as_convolutions(tree)(X)[Y != IGNORED]
    assert torch.equal(Y[Y != IGNORED], targets)
    assert (logits - tree(contexts)).abs().max() <= 1e-10


def test_gradients_are_the_same_in_both_forms():
    tree, words = lived_in(8), ["abcde", "deed", "a", "cabbadee"]
    contexts, targets = windows(words, 8)
    X, Y = build_names(words, vocabulary)
    losses = (
        F.cross_entropy(tree(contexts), targets),
        F.cross_entropy(as_convolutions(tree)(X).flatten(0, 1), Y.flatten(), ignore_index=IGNORED),
    )
    both = [torch.autograd.grad(loss, tree.parameters()) for loss in losses]
    for p, windowed, convolved in zip(tree.parameters(), *both, strict=True):
        assert windowed.shape == p.shape
        assert (windowed - convolved).abs().max() <= 1e-10


@given(T=st.integers(2, 20), data=st.data())
def test_no_output_depends_on_the_future_or_on_more_than_the_context(T, data):
    cut = data.draw(st.integers(1, T - 1))
    net = as_convolutions(lived_in(8))
    x = torch.randint(1, 6, (1, T), generator=gen(T))
    x[:, 0] = 0
    other = x.clone()
    other[:, cut] = x[:, cut] % 5 + 1  # another letter at `cut`
    changed = (net(x) != net(other)).any(2)[0]
    assert not changed[:cut].any(), "the past saw the future"
    assert changed[cut], "the present does not count"
    assert not changed[cut + 8 :].any(), "an output looked further back than its context"


def test_the_oldest_character_of_the_context_counts():
    net = as_convolutions(lived_in(8))
    x = torch.ones(1, 12, dtype=torch.long)
    x[:, 0] = 0
    other = x.clone()
    other[:, 2] = 2
    assert (net(x) != net(other)).any(2)[0].tolist() == [False] * 2 + [True] * 8 + [False] * 2


def test_what_stands_behind_a_name_does_not_change_it():
    net = as_convolutions(lived_in(8))
    alone = net(build_names(["bad"], vocabulary)[0])
    beside = net(build_names(["bad", "abcdeabcde"], vocabulary)[0])
    torch.testing.assert_close(beside[:1, :4], alone)


def test_parameters_statistics_and_modes_belong_to_both_forms():
    tree = lived_in(4)
    net = as_convolutions(tree)
    pairs = zip(net.parameters(), tree.parameters(), strict=True)
    assert all(a is b for a, b in pairs)
    X, _ = build_names(["abcde", "bead"], vocabulary)
    before = net(X)
    tree.train()
    assert all(layer.training for layer in net if isinstance(layer, BatchNorm1d))
    contexts, targets = windows(["abcde", "bead", "cab"], 4)
    train(tree, contexts, targets, Plan(3, 8), gen())
    assert (net.eval()(X) - before).abs().max() > 1e-3, "training the tree trains both"
    assert not tree[3].training


def test_in_train_mode_the_statistics_are_over_other_numbers():
    words = ["abcde", "deed"]
    tree = lived_in(8).train()
    twin = copy.deepcopy(tree)
    tree(windows(words, 8)[0])
    as_convolutions(twin)(build_names(words, vocabulary)[0])
    assert not torch.allclose(tree[3].running_mean, twin[3].running_mean)


def test_groups_that_are_no_pairs_are_refused():
    for layers in ([FlattenConsecutive(4), Linear(8, 3)], [FlattenConsecutive(2), Tanh()]):
        with pytest.raises(ValueError, match="convolution over two positions"):
            as_convolutions(Sequential(*layers))
    with pytest.raises(ValueError, match="followed by None"):
        as_convolutions([FlattenConsecutive(2)])


# --- whole names, counting, writing ---------------------------------------------------------------


def test_rows_hold_names_and_targets_are_what_follows():
    X, Y = build_names(["bad", "a"], vocabulary)
    assert X.tolist() == [[0, 2, 1, 4], [0, 1, 0, 0]]
    assert Y.tolist() == [[2, 1, 4, 0], [1, 0, IGNORED, IGNORED]]


@pytest.mark.parametrize("words", [[], ["bad", "xyz"], [""]])
def test_words_that_cannot_be_rows_are_refused(words):
    with pytest.raises(ValueError):
        build_names(words, vocabulary)
    with pytest.raises(TypeError):
        build_names("bad", vocabulary)


def counted(net, x, monkeypatch) -> int:
    """The multiply-adds of every Linear that ran."""
    total = 0
    forward = Linear.forward

    def counting(self, x):
        nonlocal total
        out = forward(self, x)
        total += out.numel() * self.weight.shape[0]
        return out

    with monkeypatch.context() as patch:
        patch.setattr(Linear, "forward", counting)
        net(x)
    return total


@pytest.mark.parametrize("block_size", [2, 8, 16])
@pytest.mark.parametrize("word", ["a", "bad", "abcdeabcde"])
def test_the_count_is_what_the_layers_really_do(block_size, word, monkeypatch):
    tree = lived_in(block_size)
    operations = multiply_adds(tree.config, len(word) + 1)
    assert operations.windows == counted(tree, windows([word], block_size)[0], monkeypatch)
    X, _ = build_names([word], vocabulary)
    assert operations.convolutions == counted(as_convolutions(tree), X, monkeypatch)


def test_deep_trees_gain_the_most_from_sharing():
    ratios = []
    for k in range(1, 11):
        operations = multiply_adds(WaveNetConfig(1, 2**k, 64, 64), 10)
        ratios.append(operations.windows / operations.convolutions)
    assert ratios == sorted(ratios)
    assert ratios[0] == 1, "with one layer there is nothing to share"
    assert ratios[-1] == pytest.approx(1023 / 10, rel=0.01)


def test_no_positions_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        multiply_adds(WaveNetConfig(), 0)


def test_names_are_drawn_from_the_model_s_probabilities():
    tree = lived_in(2)
    drawn = sample(tree, vocabulary, gen(5), 4000)
    probs = tree(torch.zeros(1, 2, dtype=torch.long)).softmax(1)[0]
    shares = [sum(name[:1] == c for name in drawn) / 4000 for c in ("", "a", "b", "c", "d", "e")]
    torch.testing.assert_close(torch.tensor(shares), probs.detach(), atol=0.03, rtol=0)


def test_a_name_that_was_learned_by_heart_is_written():
    tree = WaveNet(WaveNetConfig(6, 8, 4, 16), gen())
    X, Y = windows(["deadbeecab"], 8)
    train(tree, X, Y, Plan(150, 16), gen())
    assert tree.training
    drawn = sample(tree, vocabulary, gen(1), 50)
    assert tree.training, "sampling leaves the mode as it was"
    modes = [i % 2 == 0 for i in range(len(tree.layers))]  # and that of each layer
    for layer, mode in zip(tree.layers, modes, strict=True):
        layer.train(mode)
    sample(tree, vocabulary, gen(1), 1)
    assert tree.training and [layer.training for layer in tree.layers] == modes
    assert drawn.count("deadbeecab") > 40


def test_sampling_repeats_with_the_seed_stops_and_leaves_statistics_alone():
    tree = lived_in(4).train()
    before = tree[3].running_mean.clone()
    drawn = sample(tree, vocabulary, gen(7), 20, max_length=3)
    assert drawn == sample(tree, vocabulary, gen(7), 20, max_length=3)
    assert max(map(len, drawn)) <= 3
    assert torch.equal(tree[3].running_mean, before)
    with pytest.raises(ValueError, match="at least 1 name"):
        sample(tree, vocabulary, gen(), 0)


def test_presets_are_training_configurations():
    assert QUICK.steps < FULL.steps
    assert {QUICK.optimizer, FULL.optimizer} == {"adamw"}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32])
def test_tokens_may_be_of_any_whole_number_type(dtype):
    tree = WaveNet(WaveNetConfig(n_hidden=8), torch.Generator().manual_seed(0)).eval()
    X = torch.arange(16).view(2, 8)
    assert torch.equal(tree(X.to(dtype)), tree(X))
    names = as_convolutions(tree)
    assert torch.equal(names(X.to(dtype)), names(X))
    with pytest.raises(ValueError, match="rows 0 to 26, but the tokens go from 0 to 27"):
        tree(torch.tensor([[0, 1, 2, 3, 4, 5, 6, 27]]).to(dtype))


def test_the_diagrams_have_the_shapes_of_the_networks():
    tree = WaveNet(WaveNetConfig(n_embd=10, n_hidden=68), gen())
    dot = figures.tree("penelope", 10, 68, 27).dot
    for layer in tree.layers:
        if isinstance(layer, Linear):
            assert str(tuple(layer.weight.shape)) in dot
    assert dot.count('label=" (10,) "') == 8, "each letter goes into one pair"
    assert dot.count('label=" (68,) "') == 4 + 2 + 1, "each group into the next"
    assert '"pene#0–1–2–3" [label="pene"' in dot, "neighbours are fused"
    with pytest.raises(ValueError, match="has 7 letters"):
        figures.tree("pompeii", 10, 68, 27)
    assert "(30, 200)" in figures.flat(3, 10, 200, 27).dot
    assert "(20, 68)" in figures.causal_convolution(10, 68).dot


@pytest.mark.parametrize("position", [0, 3, 8])
@pytest.mark.parametrize("block_size", [2, 8])
def test_the_fusions_that_are_lit_are_those_that_an_output_needs(position, block_size):
    drawing = figures.fusions("penelope", position, block_size=block_size)
    letters = re.findall('fill="white">(.)</text>', drawing.svg)  # white on blue
    assert "".join(letters) == ("." * block_size + "penelope")[position:][:block_size]
    lit = drawing.svg.count(f'fill="{figures.BLUE}" stroke="{figures.BLUE}"')
    assert lit == block_size - 1
    shared = figures.fusions("penelope", position, shared=True, block_size=block_size).svg
    new = shared.count(f'fill="{figures.BLUE}" stroke="{figures.BLUE}"')
    old = shared.count(f'fill="white" stroke="{figures.GREEN}"')
    assert 2**new == block_size and new + old == lit


def test_fusions_of_several_positions_are_one_picture_that_says_what_it_shows():
    alt = figures.fusions("penelope", 8, 6).alt
    assert "Position 8: 7 fusions" in alt and "Position 6: 7 fusions" in alt
    for word, position, size, message in (
        ("", 0, 8, "at least one letter"),
        ("abc", 4, 8, "0 to 3"),
        ("abc", 1, 6, "a power of two"),
    ):
        with pytest.raises(ValueError, match=message):
            figures.fusions(word, position, block_size=size)


def test_the_widget_s_controls_change_its_picture():
    slider, form, page = receptive_field("penelope").children
    pictures = {page.value}
    slider.value = 4
    pictures.add(page.value)
    form.value = True
    pictures.add(page.value)
    assert len(pictures) == 3 and "Position 4: 3 new fusions" in page.value
