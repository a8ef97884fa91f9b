"""Lecture 04: the layers against torch.nn, the instruments against networks made to be sick."""

import itertools
import math
import re
from dataclasses import FrozenInstanceError, replace

import matplotlib.pyplot as plt
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from untyped import jaxtyping_off
from zerotohero.batchnorm import (
    FULL,
    QUICK,
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
from zerotohero.course.plots import batchnorm as figures
from zerotohero.course.widgets.batchnorm import health, layer_explorer
from zerotohero.diagnostics import UpdateRecorder, diagnose
from zerotohero.mlp import Plan, evaluate, train

sizes = st.integers(1, 7)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def double(layer: Layer) -> Layer:
    """The layer with all its numbers in float64, for comparisons to the last bits."""
    for inner in layer.children():
        double(inner)
    for name, value in vars(layer).items():
        if isinstance(value, torch.Tensor):
            value = value.detach().double()
            setattr(layer, name, value.requires_grad_(not name.startswith("running")))
    return layer


def close(ours, theirs, atol=1e-12):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


def same_backward(ours, theirs, x, y):
    """Send one random gradient through both outputs, and compare what arrives at both inputs."""
    grad = normal(*ours.shape, seed=9)
    ours.backward(grad)
    theirs.backward(grad.reshape(theirs.shape) if theirs.shape != ours.shape else grad)
    close(x.grad, y.grad)


# --- the layers against torch.nn ----------------------------------------------------------------


@given(
    lead=st.lists(sizes, min_size=1, max_size=3), fan_in=sizes, fan_out=sizes, bias=st.booleans()
)
@settings(max_examples=40)
def test_linear_equals_torch(lead, fan_in, fan_out, bias):
    ours = double(Linear(fan_in, fan_out, bias=bias, generator=seeded()))
    theirs = nn.Linear(fan_in, fan_out, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(ours.weight.T)
        if bias:
            ours.bias.copy_(normal(fan_out, seed=2))
            theirs.bias.copy_(ours.bias)
    x, y = (normal(*lead, fan_in).requires_grad_() for _ in range(2))
    close(ours(x), theirs(y))
    same_backward(ours(x), theirs(y), x, y)
    close(ours.weight.grad, theirs.weight.grad.T)
    assert len(ours.parameters()) == 1 + bias
    if bias:
        close(ours.bias.grad, theirs.bias.grad)


@given(shape=st.lists(sizes, min_size=1, max_size=3), V=sizes, C=sizes)
@settings(max_examples=30)
def test_embedding_flatten_and_tanh_equal_torch(shape, V, C):
    tokens = torch.randint(V, shape, generator=seeded())
    ours, theirs = double(Embedding(V, C, seeded())), nn.Embedding(V, C, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(ours.wte)
    mine = Tanh()(Flatten()(ours(tokens)))
    reference = nn.Tanh()(nn.Flatten()(theirs(tokens)))
    close(mine, reference)
    grad = normal(*mine.shape, seed=3)
    mine.backward(grad)
    reference.backward(grad)
    close(ours.wte.grad, theirs.weight.grad)


def norms(C, eps, momentum):
    """Our BatchNorm1d and torch's, with the same gamma and beta, both far from 1 and 0."""
    ours = double(BatchNorm1d(C, eps=eps, momentum=momentum))
    theirs = nn.BatchNorm1d(C, eps=eps, momentum=momentum, dtype=torch.float64)
    with torch.no_grad():
        for mine, other, seed in ((ours.gamma, theirs.weight, 5), (ours.beta, theirs.bias, 6)):
            mine.copy_(normal(C, seed=seed) + 0.5)
            other.copy_(mine)
    return ours, theirs


@given(
    B=st.integers(2, 9),
    T=st.integers(0, 4),  # 0: no such axis
    C=sizes,
    eps=st.sampled_from([1e-5, 1e-3, 0.5]),
    momentum=st.sampled_from([0.1, 0.001, 0.9, 1.0]),
)
@settings(max_examples=60)
def test_batchnorm_equals_torch_over_several_batches_and_in_both_modes(B, T, C, eps, momentum):
    ours, theirs = norms(C, eps, momentum)
    shape = (B, T, C) if T else (B, C)

    def swap(x):  # torch has the channels on axis 1 of three
        return x.transpose(1, 2) if T else x

    for step in range(6):
        if step == 4:
            ours.eval(), theirs.eval()
        x, y = ((3 * normal(*shape, seed=step) + 2).requires_grad_() for _ in range(2))
        out, reference = ours(x), swap(theirs(swap(y)))
        close(out, reference, 1e-9)
        grad = normal(*shape, seed=20 + step)
        out.backward(grad)
        reference.backward(grad)
        close(x.grad, y.grad, 1e-7 if B * max(T, 1) == 2 else 1e-8)
        close(ours.running_mean, theirs.running_mean)
        close(ours.running_var, theirs.running_var, 1e-11)
    close(ours.gamma.grad, theirs.weight.grad, 1e-8)
    close(ours.beta.grad, theirs.bias.grad, 1e-10)


def test_the_batch_is_normalised_by_the_biased_variance_and_the_estimate_is_unbiased():
    layer = double(BatchNorm1d(1, eps=0.0, momentum=1.0))
    out = layer(torch.tensor([[0.0], [2.0]], dtype=torch.float64))
    assert out.flatten().tolist() == [-1.0, 1.0], "÷ n: the variance of 0 and 2 is 1"
    assert layer.running_var.item() == 2.0, "÷ (n − 1): the estimate is 2"
    assert layer.running_mean.item() == 1.0


def test_the_running_estimates_are_unbiased_on_average_and_the_batch_s_are_not():
    draws = normal(20_000, 3)
    biased, unbiased = (draws.var(1, correction=c).mean().item() for c in (0, 1))
    assert biased == pytest.approx(2 / 3, abs=0.02) and unbiased == pytest.approx(1, abs=0.03)


def test_three_axes_share_one_mean_a_channel():
    out = double(BatchNorm1d(4))(normal(8, 5, 4) * 3 + 1)
    close(out.mean((0, 1)), torch.zeros(4, dtype=torch.float64), 1e-12)
    assert out.mean(0).abs().max() > 0.1, "not one mean a position: that is lecture 06's bug"


def test_eval_mode_answers_for_one_example_and_moves_nothing():
    layer = double(BatchNorm1d(4))
    layer(normal(16, 4))
    before = layer.running_mean.clone(), layer.running_var.clone()
    layer.eval()
    x = normal(5, 4, seed=1)
    close(torch.cat([layer(x[i : i + 1]) for i in range(5)]), layer(x))
    close(layer.running_mean, before[0], 0.0)
    close(layer.running_var, before[1], 0.0)


def test_the_bias_before_batchnorm_has_no_gradient():
    net = double(Sequential(Linear(5, 4, generator=seeded()), BatchNorm1d(4), Tanh()))
    (net(normal(32, 5)) ** 3).sum().backward()
    assert net[0].bias.grad.abs().max() < 1e-12 < 1e-3 < net[0].weight.grad.abs().max()


def test_linear_keeps_the_variance_times_the_gain_squared():
    for gain in (0.5, 1.0, 5 / 3, 3.0):
        out = Linear(400, 300, gain=gain, generator=seeded())(normal(500, 400).float())
        assert out.std().item() == pytest.approx(gain, rel=0.03)


def test_modes_reach_layers_inside_and_parameters_keep_their_order():
    inner = Sequential(Linear(3, 3), BatchNorm1d(3))
    net = Sequential(inner, Tanh())
    assert net.eval() is net and not inner[1].training
    assert net.train() is net and inner[1].training
    expected = [inner[0].weight, inner[0].bias, inner[1].gamma, inner[1].beta]
    assert all(p is q for p, q in zip(net.parameters(), expected, strict=True))
    assert len(net) == 2 and list(net) == [net[0], net[1]]
    assert repr(net) == "Sequential(Sequential(Linear(3, 3), BatchNorm1d(3)), Tanh())"


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: BatchNorm1d(3)(torch.zeros(1, 3)), ValueError, r"batch of 1.*model\.eval"),
        (lambda: BatchNorm1d(3)(torch.zeros(1, 1, 3)), ValueError, "at least 2 examples"),
        (lambda: BatchNorm1d(3)(torch.zeros(4, 2)), ValueError, r"3 numbers.*\(4, 2\)"),
        (lambda: BatchNorm1d(0), ValueError, "at least 1 channel"),
        (lambda: BatchNorm1d(3)(torch.ones(4, 3).long()), TypeError, r"BatchNorm1d\(3\).*whole"),
        (lambda: Linear(3, 2)(torch.ones(4, 3).long()), TypeError, "whole.*Embedding"),
        (lambda: Linear(3, 2)(torch.ones(4, 5)), ValueError, r"3 numbers.*\(4, 5\)"),
        (lambda: Linear(0, 2), ValueError, "at least 1"),
        (lambda: Tanh()(torch.ones(2).long()), TypeError, "whole"),
        (lambda: Embedding(5, 2)(torch.ones(3)), TypeError, "needs tokens"),
        (lambda: Embedding(5, 2)(torch.tensor([0, 5])), ValueError, "rows 0 to 4.*from 0 to 5"),
        (lambda: Embedding(0, 2), ValueError, "at least 1"),
        (lambda: Layer()(torch.ones(2)), NotImplementedError, "no forward"),
        (lambda: NetworkConfig(n_layer=0), ValueError, "n_layer is 0"),
        (lambda: NetworkConfig(gain=-1.0), ValueError, r"gain is -1\.0"),
        (lambda: NetworkConfig(output_gain=math.inf), ValueError, "output_gain is inf"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call, error, words):
    with jaxtyping_off(), pytest.raises(error, match=words):
        call()


def test_a_batch_of_one_is_fine_where_positions_give_more_values():
    assert BatchNorm1d(3)(torch.randn(1, 4, 3, generator=seeded())).shape == (1, 4, 3)


@pytest.mark.parametrize("sick", [2, 4])
def test_nan_is_traced_to_the_first_layer(sick):
    model = network(NetworkConfig(n_hidden=5, n_layer=2, batchnorm=False), seeded())
    X = torch.zeros(4, 3).long()
    with torch.no_grad():
        model[sick].weight[0, 0] = math.nan
    for look in (lambda: model(X), lambda: diagnose(model, X, X[:, 0])):
        with pytest.raises(FloatingPointError, match=rf"first came out of layer {sick}, Linear"):
            look()


def test_nan_in_the_input_is_not_blamed_on_a_layer():
    with pytest.raises(FloatingPointError, match="came in with the input"):
        Sequential(Tanh())(torch.tensor([math.nan]))


# --- networks -----------------------------------------------------------------------------------


def test_the_network_is_built_as_configured():
    model = network(NetworkConfig(n_hidden=7, n_layer=2), seeded())
    names = [type(layer).__name__ for layer in model]
    assert names == ["Embedding", "Flatten", *["Linear", "BatchNorm1d", "Tanh"] * 2, "Linear"]
    assert model[2].bias is None and model[8].bias is not None
    bare = network(NetworkConfig(n_hidden=7, n_layer=2, batchnorm=False), seeded())
    assert [type(x).__name__ for x in bare].count("BatchNorm1d") == 0
    assert bare[2].bias is not None
    assert torch.equal(bare[2].weight, model[2].weight), "one seed, one start, with and without"
    assert model(torch.zeros(4, 3).long()).shape == (4, 27)
    with pytest.raises(FrozenInstanceError):
        NetworkConfig().gain = 2


@pytest.mark.parametrize("batchnorm", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_new_network_knows_nothing_and_says_so(batchnorm, seed):
    X = torch.randint(27, (500, 3), generator=seeded(seed))
    Y = torch.randint(27, (500,), generator=seeded(seed + 50))
    model = network(NetworkConfig(n_layer=5, n_hidden=60, batchnorm=batchnorm), seeded(seed))
    assert evaluate(model, X, Y) == pytest.approx(math.log(27), abs=0.06)


def test_a_batch_overfits():
    X = torch.randint(27, (40, 3), generator=seeded())
    X = X.unique(dim=0)
    Y = torch.randint(27, (len(X),), generator=seeded(1))
    model = network(NetworkConfig(n_hidden=60), seeded())
    train(model, X, Y, Plan(300, 32, lr=0.01), seeded())
    model.eval()
    assert evaluate(model, X, Y) < 0.1


def test_the_recipes_differ_in_length_only():
    assert replace(FULL, steps=QUICK.steps) == QUICK and FULL.steps > QUICK.steps


# --- the instruments ----------------------------------------------------------------------------


def batch(n: int = 64):
    X = torch.randint(27, (n, 3), generator=seeded(7))
    return X, torch.randint(27, (n,), generator=seeded(8))


def torch_twin(model: Sequential) -> nn.Sequential:
    """A network of torch.nn with the same numbers."""
    layers = []
    for layer in model:
        if isinstance(layer, Embedding):
            layers.append(nn.Embedding.from_pretrained(layer.wte.detach().clone(), freeze=False))
        elif isinstance(layer, Linear):
            layers.append(nn.Linear(*layer.weight.shape, bias=layer.bias is not None))
            with torch.no_grad():
                layers[-1].weight.copy_(layer.weight.T)
                if layer.bias is not None:
                    layers[-1].bias.copy_(layer.bias)
        elif isinstance(layer, BatchNorm1d):
            layers.append(nn.BatchNorm1d(len(layer.gamma)))
        else:
            layers.append(nn.Flatten() if isinstance(layer, Flatten) else nn.Tanh())
    return nn.Sequential(*layers)


@pytest.mark.parametrize("batchnorm", [True, False])
def test_the_diagnosis_reads_torch_s_networks_like_ours(batchnorm):
    model = network(NetworkConfig(n_hidden=20, n_layer=3, gain=2.0, batchnorm=batchnorm), seeded())
    ours, theirs = (diagnose(net, *batch()) for net in (model, torch_twin(model)))
    assert ours.loss == pytest.approx(theirs.loss, abs=1e-5)
    for mine, other in zip(ours.layers, theirs.layers, strict=True):
        assert mine.name == other.name
        close(mine.out, other.out, 1e-4)
        close(mine.grad, other.grad, 1e-6)
        assert mine.saturated == pytest.approx(other.saturated, abs=1e-3)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        assert mine.name.replace("wte", "weight") == other.name
        assert mine.ratio == pytest.approx(other.ratio, rel=1e-3)


def test_the_gradients_are_autograd_s():
    model, (X, Y) = network(NetworkConfig(n_hidden=9), seeded()), batch()
    found = diagnose(model, X, Y)
    F.cross_entropy(model(X), Y).backward()
    for name, p in {"0.wte": model[0].wte, "2.weight": model[2].weight}.items():
        reading = next(w for w in found.weights if w.name == name)
        close(reading.grad, p.grad, 1e-7)
    assert [w.name for w in found.weights] == ["0.wte", "2.weight", "5.weight"]
    logits = found.layers[-1]
    probs = F.softmax(logits.out, 1)
    close(logits.grad, (probs - F.one_hot(Y, 27)) / len(Y), 1e-7)


@pytest.mark.parametrize("twin", [False, True])
def test_looking_changes_nothing(twin):
    model = network(NetworkConfig(n_hidden=9, n_layer=2), seeded())
    model = torch_twin(model) if twin else model
    norm = model[3]
    before = norm.running_mean.clone(), norm.running_var.clone()
    with torch.no_grad():
        diagnose(model, *batch())
    close(norm.running_mean, before[0], 0.0)
    close(norm.running_var, before[1], 0.0)
    assert all(p.grad is None for p in model.parameters()) and norm.training


def test_the_diagnosis_is_made_in_the_mode_that_the_model_is_in():
    model, (X, Y) = network(NetworkConfig(n_hidden=9), seeded()), batch()
    in_train = diagnose(model, X, Y)
    in_eval = diagnose(model.eval(), X, Y)
    assert in_train.layers[3].out.std() == pytest.approx(1, abs=0.01)
    assert abs(in_eval.layers[3].out.std() - 1) > 0.05, "the running estimates are still 0 and 1"


def planted(activation) -> nn.Sequential:
    """Three units: one healthy, one that its bias pins far to the left, one far to the right."""
    net = nn.Sequential(nn.Linear(2, 3), activation, nn.Linear(3, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[0.5, 0.1]] * 3))
        net[0].bias.copy_(torch.tensor([0.0, -100.0, 100.0]))
    return net


@pytest.mark.parametrize(
    ("activation", "dead", "flat"),
    [(nn.Tanh(), [1, 2], 2 / 3), (nn.Sigmoid(), [1, 2], 2 / 3), (nn.ReLU(), [1], None)],
)
def test_a_unit_with_a_bias_of_100_is_dead(activation, dead, flat):
    X, Y = normal(30, 2).float(), torch.randint(2, (30,), generator=seeded())
    found = diagnose(planted(activation), X, Y)
    assert found.layers[1].dead == dead
    assert found.layers[0].dead == [] and found.layers[0].saturated == 0, "no activation"
    if flat is not None:
        assert found.layers[1].saturated == pytest.approx(flat)
    assert found.layers[0].grad[:, 1].abs().max() == 0, "what dead means: no gradient at all"
    assert found.layers[0].grad[:, 0].abs().max() > 0


def test_saturation_counts_what_lies_beyond_97_hundredths():
    net = Sequential(Tanh(), Linear(4, 2, generator=seeded()))
    x = torch.atanh(torch.tensor([[0.969, 0.971, -0.971, -0.5], [0.1, 0.99, 0.2, -0.999]]))
    reading = diagnose(net, x, torch.tensor([0, 1])).layers[0]
    assert reading.saturated == 4 / 8
    assert reading.dead == [1], "beyond it for each example; unit 3 only for one"
    assert reading.flat.tolist() == [[False, True, True, False], [False, True, False, True]]


def test_dead_units_on_three_axes_are_channels():
    net = Sequential(Linear(2, 3, generator=seeded()), Tanh())
    with torch.no_grad():
        net[0].bias[2] = 50.0
    found = diagnose(net, normal(4, 5, 2).float(), normal(4, 5, 3).float(), F.mse_loss)
    assert found.layers[1].dead == [2]


def test_the_gradient_to_data_ratio_by_hand():
    net = Sequential(Linear(1, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 3.0]]))  # standard deviation 1
    # The loss is 0·w₁ + 4·w₂ for x = 1: the gradient is (0, 4), with standard deviation 2.
    found = diagnose(net, torch.ones(1, 1), torch.zeros(1), lambda out, _: 4 * out[:, 1].sum())
    assert found.weights[0].name == "0.weight" and found.weights[0].ratio == 2.0
    with torch.no_grad():
        net[0].weight.zero_()
    found = diagnose(net, torch.ones(1, 1), torch.zeros(1), lambda out, _: 4 * out[:, 1].sum())
    assert found.weights[0].ratio == math.inf


def test_what_has_no_layers_is_refused():
    with jaxtyping_off(), pytest.raises(TypeError, match="Bilinear doesn't show its layers"):
        diagnose(nn.Bilinear(2, 2, 2), *batch())


def test_update_ratio_of_sgd_is_lr_times_gradient_to_data():
    model, (X, Y) = network(NetworkConfig(n_hidden=9), seeded()), batch(32)
    rows = torch.randint(len(X), (16,), generator=seeded(3))
    found = diagnose(model, X[rows], Y[rows])
    recorder = UpdateRecorder(model)
    recipe = Plan(1, 16, lr=0.1, optimizer="sgd", schedule="constant")
    train(model, X, Y, recipe, seeded(3), recorder)
    for weight in found.weights:
        expected = math.log10(0.1 * weight.ratio)
        assert recorder.ratios[weight.name] == [pytest.approx(expected, abs=1e-3)]


def test_update_ratio_is_the_true_change_for_any_optimiser():
    def run(every):
        model = torch_twin(network(NetworkConfig(n_hidden=9), seeded()))
        values, recorder = [model[2].weight.detach().clone()], UpdateRecorder(model, every)

        def on_step(step, loss):
            values.append(model[2].weight.detach().clone())
            recorder(step, loss)

        train(model, *batch(), Plan(7, 16, lr=0.01), seeded(), on_step)
        return values, recorder

    values, recorder = run(1)
    expected = [
        math.log10((b - a).std(correction=0) / a.std(correction=0))
        for a, b in itertools.pairwise(values)
    ]
    assert recorder.ratios["2.weight"] == pytest.approx(expected, abs=1e-5)
    assert recorder.steps == list(range(7))
    _, sparse = run(3)
    assert sparse.steps == [0, 3, 6]
    assert sparse.ratios["2.weight"] == pytest.approx(expected[::3], abs=1e-5)


def test_update_recorder_refuses_what_cannot_work():
    with pytest.raises(ValueError, match="every is 0"):
        UpdateRecorder(Sequential(Linear(2, 2)), every=0)
    with pytest.raises(ValueError, match=r"weights \[\]"):
        UpdateRecorder(Sequential(Tanh()))


def test_weights_inside_inner_containers_are_found():
    ours = Sequential(Sequential(Linear(3, 2), Tanh()), Linear(2, 2))
    theirs = nn.Sequential(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), nn.Linear(2, 2))
    assert list(UpdateRecorder(ours).ratios) == list(UpdateRecorder(theirs).ratios)


# --- the lecture's claims, small ----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_without_batchnorm_the_gain_decides_and_with_it_it_does_not(seed):
    X, Y = batch(500)

    def last(gain, on):
        config = NetworkConfig(n_hidden=80, n_layer=5, gain=gain, batchnorm=on)
        found = diagnose(network(config, seeded(seed)), X, Y)
        return figures.activations(found)[-1]

    assert last(0.5, False).out.std() < 0.05 and last(3.0, False).saturated > 0.3
    assert 0.55 < last(5 / 3, False).out.std() < 0.75
    for gain in (0.5, 5 / 3, 3.0):
        assert last(gain, True).out.std() == pytest.approx(0.63, abs=0.02)
        assert last(gain, True).saturated < 0.06


def test_measuring_in_train_mode_moves_the_running_statistics():
    model, (X, Y) = network(NetworkConfig(n_hidden=9), seeded()), batch()
    before = model[3].running_mean.clone()
    evaluate(model.eval(), X, Y)
    assert torch.equal(model[3].running_mean, before)
    evaluate(model.train(), X, Y)
    assert not torch.equal(model[3].running_mean, before)


# --- the widget and the figures -----------------------------------------------------------------


def test_the_explorer_answers_to_each_control():
    explorer = layer_explorer(*batch(500))
    *controls, page = explorer.children
    seen = [page.value]
    for control, value in zip(controls, (3.0, 8, 1.0, True), strict=True):
        control.value = value
        seen.append(page.value)
    assert len(set(seen)) == 5, "each control changes the picture"
    assert "gain 3.00, 8 hidden layers, learning rate 1, with BatchNorm" in page.value
    assert page.value.count("<polygon") == 16 and "background:white" in page.value


def test_the_explorer_shows_vanishing_and_saturation():
    X, Y = batch(500)
    faint, full = health(X, Y, gain=0.25), health(X, Y, gain=4.0)
    assert faint.count(">0% flat") >= 4 and ">0% flat" not in full


def test_the_explorer_says_when_the_training_blew_up(monkeypatch):
    def blow_up(*_):
        raise FloatingPointError("The loss is nan at step 3.")

    monkeypatch.setattr("zerotohero.course.widgets.batchnorm.train", blow_up)
    assert "blew up.</b> The loss is nan at step 3." in health(*batch())


def test_figures_show_the_numbers_they_are_given():
    figures.starts({"a": [4.0] * 9, "b": [2.0] * 9}, 27)
    assert list(plt.gca().lines[1].get_ydata()) == [2.0] * 9
    h = torch.tensor([[0.99, 0.0], [-0.99, 0.5]])
    figures.saturation({"x": h, "y": h * 0})
    assert plt.gcf().axes[0].get_title() == "x: 50% saturated"
    assert plt.gcf().axes[2].images[0].get_array().tolist() == [[1, 0], [1, 0]]
    figures.sheets(torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 1.0]]))
    left, right = plt.gcf().axes
    assert [t.get_text() for t in left.texts] == ["1.00", "2.00", "3.00", "6.00", "5.00", "1.00"]
    assert [t.get_text().split()[-1] for t in left.get_xticklabels()] == ["3.00", "3.00"]
    assert [t.get_text().split()[-1] for t in right.get_yticklabels()] == ["1.50", "4.50", "3.00"]
    column, row = left.patches[0], right.patches[0]
    assert (column.get_width(), column.get_height()) == (1, 3), "over the three examples"
    assert (row.get_width(), row.get_height()) == (2, 1), "over the two units"
    figures.coupling([0.1, 0.2, 0.2], 0.15, "'a'")
    assert sum(bar.get_height() for bar in plt.gca().patches) == 3
    model, (X, Y) = network(NetworkConfig(n_hidden=9, n_layer=2), seeded()), batch()
    found = diagnose(model, X, Y)
    figures.layers({"one": found, "two": found})
    top, bottom = plt.gcf().axes[0], plt.gcf().axes[2]
    for ax in (top, bottom):
        assert len(ax.lines) == 2, "a line a tanh layer"
        assert sum(ax.lines[0].get_ydata()) == pytest.approx(1, abs=1e-5), "shares of all"
    figures.gradient_ratios({"one": found})
    assert list(plt.gca().lines[0].get_ydata()) == [w.ratio for w in found.weights]
    recorder = UpdateRecorder(model)
    train(model, X, Y, Plan(3, 16), seeded(), recorder)
    figures.updates({"one": recorder})
    assert plt.gca().lines[0].get_ydata()[0] == recorder.ratios["0.wte"][0]
    plt.close("all")


def test_the_diagram_of_batchnorm_has_its_parameters_and_its_running_estimates():
    layer, dot = BatchNorm1d(9), figures.inside_batchnorm(C=9).dot
    for name, held in vars(layer).items():
        if torch.is_tensor(held):
            shape = re.search(rf'"{name}" \[label="{name}(.*?)"', dot)[1]
            assert shape == (r"\n(9,)" if held.requires_grad else ""), "what is learned is marked"


# Tokens ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32])
def test_tokens_and_targets_may_be_of_any_whole_number_type(dtype):
    def results(kind):
        model = network(NetworkConfig(n_hidden=8), torch.Generator().manual_seed(0))
        X, Y = torch.arange(30).view(10, 3) % 27, torch.arange(10)
        X, Y = X.to(kind), Y.to(kind)
        plan = Plan(2, batch_size=4)
        curve = train(model, X, Y, plan, torch.Generator().manual_seed(1))
        return [*curve, evaluate(model, X, Y), diagnose(model, X, Y).loss]

    assert results(dtype) == results(torch.int64)


def test_a_token_below_zero_is_no_row_from_the_end():
    with pytest.raises(ValueError, match="rows 0 to 4, but the tokens go from -1 to 2"):
        Embedding(5, 2)(torch.tensor([2, -1]))
