"""Lecture 05: `zerotohero.backprop` against autograd, finite differences, and its own claims."""

import math
import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from untyped import jaxtyping_off
from zerotohero import mlp
from zerotohero.backprop import (
    FULL,
    QUICK,
    batchnorm_backward,
    cross_entropy_backward,
    embedding_backward,
    layer_backward,
    linear_backward,
    loss_and_gradients,
    tanh_backward,
    train,
    unbroadcast,
)
from zerotohero.batchnorm import (
    BatchNorm1d,
    Embedding,
    Flatten,
    Layer,
    Linear,
    NetworkConfig,
    Sequential,
    Tanh,
    network,
)
from zerotohero.course.plots import backprop as figures
from zerotohero.course.widgets.backprop import force_explorer, pulled

ITOS = [".", *"abcdefghijklmnopqrstuvwxyz"]
seeds, sizes = st.integers(0, 2**31), st.integers(1, 5)
lots = settings(max_examples=40)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def small(seed: int = 0, **sizes: int) -> Sequential:
    return network(NetworkConfig(**sizes), seeded(seed))


def agree(forward, inputs, mine, dout=None) -> None:
    """Hold gradients made by hand against autograd, and against central differences.

    The loss is the sum of forward(*inputs) times `dout`.
    """
    leaves = [x.clone().requires_grad_() for x in inputs]
    out = forward(*leaves)
    dout = torch.ones_like(out) if dout is None else dout
    theirs = torch.autograd.grad(out, leaves, grad_outputs=dout)
    step = 1e-5
    for k, (x, ours, reference) in enumerate(zip(inputs, mine, theirs, strict=True)):
        torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-12)
        nudged = torch.zeros_like(x)
        for i in range(x.numel()):
            ends = []
            for sign in (1, -1):
                moved = [y.clone() for y in inputs]
                moved[k].view(-1)[i] += sign * step
                ends.append((forward(*moved) * dout).sum())
            nudged.view(-1)[i] = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close(ours, nudged, rtol=1e-6, atol=1e-6)


# --- the backward pass of each operation --------------------------------------------------------


@given(data=st.data(), wide=st.lists(sizes, max_size=4), seed=seeds)
@lots
def test_a_broadcast_forwards_is_a_sum_backwards(data, wide, seed):
    shape = [size if data.draw(st.booleans()) else 1 for size in wide]
    shape = shape[data.draw(st.integers(0, len(shape))) :]
    dout = normal(*wide, seed=seed)
    agree(
        lambda x: x.expand(wide), [normal(*shape, seed=seed + 1)], [unbroadcast(dout, shape)], dout
    )


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 4, 1), (1, 4, 2, 3)])
def test_what_does_not_broadcast_is_refused(shape):
    with pytest.raises(ValueError, match="doesn't broadcast"):
        unbroadcast(torch.ones(4, 2), shape)


@given(lead=st.lists(sizes, max_size=2), I=sizes, O=sizes, seed=seeds)
@lots
def test_linear(lead, I, O, seed):
    inputs = [normal(*lead, I, seed=seed), normal(I, O, seed=seed + 1), normal(O, seed=seed + 2)]
    dout = normal(*lead, O, seed=seed + 3)
    agree(lambda x, w, b: x @ w + b, inputs, linear_backward(dout, *inputs[:2]), dout)


@given(shape=st.lists(sizes, max_size=3), seed=seeds)
@lots
def test_tanh(shape, seed):
    x, dout = normal(*shape, seed=seed), normal(*shape, seed=seed + 1)
    agree(torch.tanh, [x], [tanh_backward(dout, x.tanh())], dout)


@given(shape=st.lists(sizes, max_size=2), V=sizes, C=sizes, seed=seeds)
@lots
def test_embedding_sums_over_the_places_of_a_token(shape, V, C, seed):
    tokens = torch.randint(V, shape, generator=seeded(seed))
    dout = normal(*shape, C, seed=seed)
    mine = [embedding_backward(dout, tokens, V)]
    agree(lambda wte: wte[tokens], [normal(V, C, seed=seed)], mine, dout)


@given(B=sizes, V=sizes, seed=seeds)
@lots
def test_cross_entropy(B, V, seed):
    logits, targets = 3 * normal(B, V, seed=seed), torch.randint(V, (B,), generator=seeded(seed))
    mine = cross_entropy_backward(logits, targets)
    agree(lambda z: F.cross_entropy(z, targets), [logits], [mine])
    assert mine.sum(1).abs().max() < 1e-15, "the forces of a row add up to zero"


def test_cross_entropy_of_a_sure_and_wrong_network_is_finite():
    mine = cross_entropy_backward(torch.tensor([[0.0, 1000.0]]), torch.tensor([0]))
    assert mine.tolist() == [[-1.0, 1.0]]


@given(
    lead=st.lists(st.integers(2, 5), min_size=1, max_size=2),
    C=sizes,
    correction=st.sampled_from([0, 1]),
    seed=seeds,
)
@lots
def test_batchnorm_with_either_variance(lead, C, correction, seed):
    eps = 0.1  # two values that happen to be close would make central differences coarse

    def forward(x, gamma, beta):
        axes = tuple(range(len(lead)))
        var, mean = torch.var_mean(x, axes, correction=correction)
        return (x - mean) / (var + eps).sqrt() * gamma + beta

    inputs = [normal(*lead, C, seed=seed), normal(C, seed=seed + 1), normal(C, seed=seed + 2)]
    dout = normal(*lead, C, seed=seed + 3)
    agree(forward, inputs, batchnorm_backward(dout, *inputs[:2], eps, correction), dout)


def test_batchnorm_is_torch_s_and_bessel_s_is_another():
    x, dout, gamma = normal(8, 3), normal(8, 3, seed=1), normal(3, seed=2)
    leaf = x.clone().requires_grad_()
    out = F.batch_norm(leaf, None, None, gamma, torch.zeros(3).double(), training=True)
    (theirs,) = torch.autograd.grad(out, leaf, grad_outputs=dout)
    torch.testing.assert_close(batchnorm_backward(dout, x, gamma)[0], theirs, rtol=0, atol=1e-12)
    other = batchnorm_backward(dout, x, gamma, correction=1)[0]
    assert 1e-3 < (other - theirs).abs().max() < 0.5


def test_batchnorm_takes_the_best_line_off():
    x, dout = normal(40, 3), normal(40, 3, seed=1)
    dx = batchnorm_backward(dout, x, torch.ones(3).double(), eps=0.0)[0]
    xhat = (x - x.mean(0)) / x.std(0, correction=0)
    assert dx.mean(0).abs().max() < 1e-14 and (dx * xhat).mean(0).abs().max() < 1e-14


ones = torch.ones


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: linear_backward(ones(4, 2), ones(4, 3), ones(2, 3)), ValueError, "fan_in"),
        (lambda: linear_backward(ones(5, 2), ones(4, 3), ones(3, 2)), ValueError, "fan_in"),
        (lambda: tanh_backward(ones(2), ones(3)), ValueError, "must be equal"),
        (lambda: tanh_backward(ones(2), 3 * ones(2)), ValueError, "not its input"),
        (lambda: embedding_backward(ones(2, 3), ones(3).long(), 5), ValueError, "one vector"),
        (lambda: embedding_backward(ones(2, 3), torch.tensor([0, 5]), 5), ValueError, "0 to 4"),
        (lambda: embedding_backward(ones(2, 3), ones(2), 5), TypeError, "whole numbers"),
        (lambda: cross_entropy_backward(ones(2, 3), torch.tensor([0, 3])), ValueError, "0 to 2"),
        (lambda: cross_entropy_backward(ones(2, 3), torch.tensor([0, -1])), ValueError, "from -1"),
        (lambda: cross_entropy_backward(ones(2, 3), torch.tensor([0])), ValueError, "same B"),
        (lambda: cross_entropy_backward(ones(0, 3), ones(0).long()), ValueError, "at least 1"),
        (lambda: cross_entropy_backward(ones(2, 3), ones(2)), TypeError, "whole numbers"),
        (lambda: cross_entropy_backward(ones(2, 3).long(), ones(2).long()), TypeError, "double"),
        (lambda: batchnorm_backward(ones(1, 3), ones(1, 3), ones(3)), ValueError, "at least 2"),
        (lambda: batchnorm_backward(ones(4, 3), ones(4, 3), ones(4)), ValueError, "last axis"),
        (lambda: batchnorm_backward(ones(4, 3), ones(4, 2), ones(2)), ValueError, "be equal"),
        (lambda: batchnorm_backward(ones(2, 3), ones(2, 3), ones(3), 0.1, 2), ValueError, "0 .÷ n"),
        (lambda: batchnorm_backward(ones(2, 3), ones(2, 3).int(), ones(3)), TypeError, "double"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call, error, words):
    with jaxtyping_off(), pytest.raises(error, match=words):
        call()


# --- a whole network ----------------------------------------------------------------------------


def doubled(model: Sequential) -> Sequential:
    """The same model in 64 bits, its gammas and betas moved off 1 and 0, where mistakes hide."""
    for i, layer in enumerate(model):
        for name, value in list(vars(layer).items()):
            if isinstance(value, torch.Tensor):
                value = value.detach().double()
                if name in ("gamma", "beta"):
                    value += 0.3 * normal(len(value), seed=i)
                setattr(layer, name, value.requires_grad_(not name.startswith("running")))
    return model


@given(B=st.integers(2, 9), T=sizes, C=sizes, H=sizes, V=st.integers(2, 6), seed=seeds)
@lots
def test_gradients_of_the_network_equal_autograd_s(B, T, C, H, V, seed):
    model, twin = (
        doubled(small(seed, vocab_size=V, block_size=T, n_embd=C, n_hidden=H)) for _ in range(2)
    )
    # Values that nearly agree are blown up by 1/sqrt(eps), and rounding with them.
    model[3].eps = twin[3].eps = 0.01
    xb = torch.randint(V, (B, T), generator=seeded(seed))
    yb = torch.randint(V, (B,), generator=seeded(seed + 1))
    loss, grads = loss_and_gradients(model, xb, yb)
    reference = F.cross_entropy(twin(xb), yb)
    assert loss == pytest.approx(reference.item(), abs=1e-12)
    theirs = torch.autograd.grad(reference, twin.parameters())
    for ours, other in zip(grads, theirs, strict=True):
        torch.testing.assert_close(ours, other, rtol=0, atol=1e-12)
    for a, b in (
        (model[3].running_mean, twin[3].running_mean),
        (model[3].running_var, twin[3].running_var),
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14)


def test_a_deep_network_and_biases_before_batchnorm():
    g = seeded(1)
    first = [Embedding(27, 4, g), Flatten()]
    deep = []
    for _ in range(5):
        deep += [Linear(8, 8, generator=g), BatchNorm1d(8), Tanh()]
    model = doubled(Sequential(*first, *deep, Linear(8, 27, generator=g)))
    xb, yb = torch.randint(27, (16, 2), generator=g), torch.randint(27, (16,), generator=g)
    _, grads = loss_and_gradients(model, xb, yb)
    theirs = torch.autograd.grad(F.cross_entropy(model(xb), yb), model.parameters())
    for ours, other in zip(grads, theirs, strict=True):
        torch.testing.assert_close(ours, other, rtol=0, atol=1e-12)
    assert grads[2].abs().max() < 1e-12, "BatchNorm subtracts the bias before it"
    assert grads[1].abs().max() > 1e-4, "but not the weights"


def test_the_lecture_s_network_starts_near_ln_27_and_no_graph_is_recorded():
    model = small()
    xb, yb = torch.randint(27, (32, 3), generator=seeded()), torch.arange(32) % 27
    loss, grads = loss_and_gradients(model, xb, yb)
    assert abs(loss - math.log(27)) < 0.15
    assert [g.shape for g in grads] == [p.shape for p in model.parameters()]
    assert not any(g.requires_grad for g in grads)
    assert all(p.grad is None for p in model.parameters())


def test_layers_without_a_backward_pass_here_and_eval_mode_are_refused():
    class Relu(Layer):
        pass

    with pytest.raises(TypeError, match=r"Relu\(\) has no backward pass"):
        layer_backward(Relu(), ones(2), ones(2), ones(2))
    model = small().eval()
    with pytest.raises(ValueError, match=r"model\.train\(\)"):
        loss_and_gradients(model, torch.zeros(4, 3).long(), torch.zeros(4).long())


# --- training -----------------------------------------------------------------------------------

CONFIG = mlp.Plan(60, batch_size=16, lr=0.5, optimizer="sgd")


def rows(n: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    X = torch.randint(27, (n, 3), generator=seeded(1))
    return X, (X[:, 1] + 1) % 27  # what can be learned: the letter after the middle one


@pytest.mark.parametrize("schedule", ["constant", "drop", "cosine"])
def test_training_by_hand_is_training_by_autograd(schedule):
    config = replace(CONFIG, schedule=schedule)
    mine, other = (doubled(small(n_hidden=20)) for _ in range(2))
    seen = []
    losses = train(mine, *rows(), config, seeded(3), lambda *step: seen.append(step))
    theirs = mlp.train(other, *rows(), config, seeded(3))
    assert losses == pytest.approx(theirs, abs=1e-10) and losses[-1] < losses[0] - 0.5
    assert seen == list(enumerate(losses))
    for p, q in zip(mine.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-10)


def test_parameters_that_ask_for_no_gradient_are_trained_all_the_same():
    model = small(n_hidden=20)
    for p in model.parameters():
        p.requires_grad_(False)
    with torch.inference_mode():
        losses = train(small(n_hidden=20), *rows(), CONFIG, seeded(3))
    assert train(model, *rows(), CONFIG, seeded(3)) == losses


def test_presets_are_plain_sgd_and_other_optimisers_are_refused():
    assert QUICK.optimizer == FULL.optimizer == "sgd"
    config = replace(CONFIG, optimizer="adamw")
    with pytest.raises(ValueError, match="plain steps"):
        train(small(), *rows(), config, seeded())


def test_rows_and_targets_must_match_and_a_loss_that_is_no_number_stops():
    model, (X, Y) = small(n_hidden=8), rows()
    for contexts, targets in ((X[:0], Y[:0]), (X, Y[:-1])):
        with jaxtyping_off(), pytest.raises(ValueError, match="contexts and"):
            train(model, contexts, targets, CONFIG, seeded())
    with pytest.raises(FloatingPointError, match=r"at step|not a number"):
        train(model, X, Y, replace(CONFIG, lr=1e38), seeded())


# --- the lecture's widget and figures -----------------------------------------------------------


def test_pulled_logits_follow_the_gradient():
    row = normal(5)
    once = pulled(row, 2, 0.5, 1)
    leaf = row.clone().requires_grad_()
    (grad,) = torch.autograd.grad(F.cross_entropy(leaf[None], torch.tensor([2])), leaf)
    torch.testing.assert_close(once, row - 0.5 * grad, rtol=0, atol=1e-12)
    assert torch.equal(pulled(row, 2, 0.5, 0), row)


def test_the_explorer_follows_its_controls():
    explorer = force_explorer(normal(2, 27), ["..e", "emm"], ITOS, target=1)
    (context, wanted), (_, slider) = explorer.children[0].children, explorer.children[1].children
    page = explorer.children[2]

    def probability():
        return float(re.search(r"probability of .: (\S+)", page.value)[1])

    first, picture = probability(), page.value
    slider.value = 40
    assert probability() > max(0.8, first), "the right logit is pulled up"
    slider.value = 0
    assert page.value == picture
    wanted.value = 5
    assert "probability of e:" in page.value
    context.value = 1
    assert page.value != picture and page.value.count("<title>") == 27
    assert "all forces together 0.000" in page.value


def test_the_explorer_refuses_what_does_not_fit():
    for args in ((["a"], ITOS), (["a", "b"], ITOS[:5]), ([], ITOS)):
        with pytest.raises(ValueError, match="one row a context"):
            force_explorer(normal(2, 27), *args)
    with pytest.raises(ValueError, match="0 to 26"):
        force_explorer(normal(1, 27), ["a"], ITOS, target=27)


def test_figures_show_the_numbers_they_are_given():
    import matplotlib.pyplot as plt

    grad = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    figures.broadcast_and_sum(torch.tensor([7.0, 8.0]), grad)
    left, right = ([t.get_text() for t in ax.texts] for ax in plt.gcf().axes)
    assert left.count("7") == 3 and "4" in right and "6" in right, "copies, and their sums"
    figures.map_of_nodes({"wte": (27, 10), "inv": (200,)})
    assert {"wte\n27×10", "inv\n200"} <= {t.get_text() for t in plt.gca().texts}
    dlogits = cross_entropy_backward(normal(3, 27), torch.tensor([0, 5, 9]))
    figures.logit_gradients(dlogits, torch.tensor([0, 5, 9]), ITOS)
    shown = plt.gcf().axes[0].images[0].get_array()
    assert (shown.argmax(1) == [0, 5, 9]).all(), "what pulls up stands under the target"
    probs = torch.tensor([0.7, 0.2, 0.1])
    figures.force_on_a_row(probs, 1, ["a", "b", "c"], "title")
    shapes = [shape.get_extents() for shape in plt.gcf().axes[1].patches]  # in pixels
    to_data = plt.gcf().axes[1].transData.inverted().transform
    corners = [to_data(box.get_points()) for box in shapes]
    for i, force in enumerate([-0.7, 0.8, -0.1]):
        ends = [y for box in corners if abs(box[:, 0].mean() - i) < 0.1 for y in box[:, 1]]
        assert max(ends, key=abs) == pytest.approx(force), "the arrow's tip is at the force"
    xhat = torch.tensor([-1.0, 0.0, 1.0])
    figures.what_batchnorm_removes(xhat, 2 * xhat + 1, 0 * xhat)
    assert list(plt.gcf().axes[0].lines[0].get_ydata()) == pytest.approx([-1.0, 1.0, 3.0])
    figures.training_curves({"by hand": [4.0, 2.0], "autograd": [4.0, 0.0]}, window=2)
    assert [list(line.get_ydata()) for line in plt.gca().lines] == [[4.0, 3.0], [4.0, 2.0]]
    plt.close("all")


def test_the_diagrams_have_the_shapes_of_a_network_and_of_its_gradients():
    of = {"B": 32, "T": 3, "C": 10, "H": 200, "V": 27}
    model = network(NetworkConfig(), torch.Generator().manual_seed(1))
    tokens = torch.zeros(of["B"], of["T"], dtype=torch.long)
    _, grads = loss_and_gradients(model, tokens, tokens[:, 0])
    forwards, backwards = figures.network(**of).dot, figures.backward_pass(**of).dot
    for p, grad in zip(model.parameters(), grads, strict=True):
        assert str(tuple(p.shape)) in forwards and str(tuple(grad.shape)) in backwards
    assert '"dprobs" -> "softmax in one"' in figures.ways_to_dlogits(32, 27).dot
    assert '"loss" -> "cross-entropy in one"' in figures.ways_to_dlogits(32, 27).dot
    ways = figures.ways_of_a_value().dot
    assert len(re.findall('^"xᵢ" -> |^"xᵢ − μ" -> ', ways, re.M)) == 4, "three ways, one split"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32])
def test_tokens_and_targets_may_be_of_any_whole_number_type(dtype):
    def gradients(kind):
        model = network(NetworkConfig(n_hidden=8), torch.Generator().manual_seed(0))
        X, Y = torch.arange(30).view(10, 3) % 27, torch.arange(10)
        loss, grads = loss_and_gradients(model, X.to(kind), Y.to(kind))
        return loss, torch.cat([g.flatten() for g in grads])

    (loss, grads), (expected, plain) = gradients(dtype), gradients(torch.int64)
    assert loss == expected and torch.equal(grads, plain)
