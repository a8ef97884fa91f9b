"""Lecture 11's training: gradients equal to torch's, steps to the Trainer's, and little models.

Whatever trains a lot is in the lecture; here a few steps show that they are the right ones.
"""

import inspect
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zerotohero import numpy_gpt, scalar_gpt
from zerotohero.bigram import Vocabulary
from zerotohero.course import data
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.micrograd import Value
from zerotohero.numpy_files import build, load_gpt2, shapes
from zerotohero.numpy_training import (
    AdamW,
    binary_cross_entropy,
    class_value_and_grad,
    cross_entropy,
    leaves,
    lm_value_and_grad,
    lora,
    lora_grads,
    merge,
    random_params,
    with_adapters,
)
from zerotohero.training import TrainConfig, Trainer
from zerotohero.training.batches import Split
from zerotohero.wavenet import build_names

V, T, C, HEADS = 23, 16, 12, 2
IGNORED = numpy_gpt.IGNORED


def drawn(rng: np.random.Generator, n_layer: int = 2, dtype=np.float64) -> dict:
    """Parameters that are all random: at their initial 0 and 1, much would not show."""
    return build(shapes(V, T, n_layer, C), lambda name, s: rng.normal(0.1, 0.4, s).astype(dtype))


def torchs_names(params: dict) -> dict[str, np.ndarray]:
    """Arrays by the names of lecture 07's parameters, and the matrices transposed as its are."""
    found = {}
    for name, array in leaves(params).items():
        name = name.replace("blocks.", "h.").replace("wte", "wte.w").replace("wpe", "wpe.w")
        name, _, last = f"transformer.{name}".rpartition(".")
        found[f"{name}.{'bias' if last == 'b' else 'weight'}"] = (
            array.T if array.ndim == 2 and ".h." in name else array
        )
    return found


def torchs_gpt(params: dict) -> GPT:
    """Lecture 07's GPT with these parameters, in float64."""
    n_layer = len(params["blocks"])
    model = GPT(GPTConfig(V, T, n_layer, HEADS, C)).double().eval()
    state = {name: torch.tensor(array) for name, array in torchs_names(params).items()}
    assert model.load_state_dict(state, strict=False).missing_keys == ["lm_head.weight"]
    return model


def assert_gradients(grads: dict, model: GPT) -> None:
    ours, theirs = torchs_names(grads), dict(model.named_parameters())
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        expected = theirs[name].grad
        assert expected.abs().max() > 1e-4, f"{name}: zeros would show nothing"
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-10, err_msg=name)


def numeric(loss, array: np.ndarray, at: tuple, step: float = 1e-6) -> float:
    """The derivative of loss() with respect to one number of the array."""
    kept, sides = array[at], []
    for side in (step, -step):
        array[at] = kept + side
        sides.append(loss())
    array[at] = kept
    return (sides[0] - sides[1]) / (2 * step)


# --- gradients ------------------------------------------------------------------------------------


def test_the_gradients_of_the_language_model_are_torch_s():
    rng = np.random.default_rng(0)
    params = drawn(rng)
    inputs, targets = rng.integers(V, size=(2, 3, T))
    targets[0, 4:] = IGNORED
    model = torchs_gpt(params)
    logits = model(torch.from_numpy(inputs))
    expected = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten())
    expected.backward()
    loss, grads = lm_value_and_grad(params, inputs, targets, HEADS)
    assert loss == pytest.approx(expected.item(), abs=1e-12)
    assert loss == pytest.approx(numpy_gpt.lm_loss(params, inputs, targets, HEADS), abs=1e-12)
    assert_gradients(grads, model)


def class_model(rng: np.random.Generator, n: int) -> dict:
    head = {"w": rng.normal(0, 1, (C, n)), "b": rng.normal(0, 1, n)}
    return {"gpt": drawn(rng), "head": head}


TEXTS = [[1, 2, 3, 4], [5], list(range(T)), [6, 7]]


@pytest.mark.parametrize("several", [False, True])
def test_the_gradients_of_a_head_on_the_last_token_are_torch_s_each_text_alone(several):
    rng = np.random.default_rng(0)
    params = class_model(rng, 3)
    inputs, padding = numpy_gpt.pad(TEXTS)
    labels = rng.integers(2, size=(4, 3)) if several else np.array([0, 2, 2, 1])
    model, (w, b) = (
        torchs_gpt(params["gpt"]),
        (torch.tensor(p, requires_grad=True) for p in params["head"].values()),
    )
    last = []
    model.lm_head = torch.nn.Identity()
    for text in TEXTS:
        last.append(model(torch.tensor([text]))[0, -1])
    logits, theirs = torch.stack(last) @ w + b, torch.from_numpy(labels)
    if several:
        expected = F.binary_cross_entropy_with_logits(logits, theirs.double())
    else:
        expected = F.cross_entropy(logits, theirs)
    expected.backward()
    how = binary_cross_entropy if several else cross_entropy
    loss, grads = class_value_and_grad(params, inputs, padding, labels, HEADS, how)
    assert loss == pytest.approx(expected.item(), abs=1e-12)
    assert_gradients(grads["gpt"], model)
    np.testing.assert_allclose(grads["head"]["w"], w.grad, atol=1e-12)
    np.testing.assert_allclose(grads["head"]["b"], b.grad, atol=1e-12)
    head = class_value_and_grad(params, inputs, padding, labels, HEADS, how, head_only=True)
    np.testing.assert_array_equal(head[1]["head"]["w"], grads["head"]["w"])
    assert head[0] == loss and head[1].keys() == {"head"}


def test_losses_are_right_where_probabilities_round_to_0_and_1():
    logits = np.array([[1000.0, 0.0], [-1000.0, 0.0]], np.float32)
    loss, slope = cross_entropy(logits, np.array([1, 0]))
    assert loss == 1000
    np.testing.assert_array_equal(slope, [[0.5, -0.5], [-0.5, 0.5]])
    loss, slope = binary_cross_entropy(logits, np.array([[0, 1], [1, 0]]))
    assert loss == pytest.approx((1000 + 1000 + 2 * np.log(2)) / 4)
    np.testing.assert_allclose(slope, np.array([[1, -0.5], [-1, 0.5]]) / 4)


def test_single_precision_stays_single():
    rng = np.random.default_rng(0)
    params = random_params(V, T, 2, C, rng)
    inputs = rng.integers(V, size=(2, 5))
    _, grads = lm_value_and_grad(params, inputs, inputs, HEADS)
    optimizer = AdamW(params)
    optimizer.step(grads, 0.5)
    for tree in (params, grads, optimizer.moments):
        assert {array.dtype for array in leaves(tree).values()} == {np.dtype(np.float32)}


# --- steps ----------------------------------------------------------------------------------------


def test_the_random_start_is_gpt_2s():
    params = leaves(random_params(300, 200, 4, 64, np.random.default_rng(0)))
    for name, p in params.items():
        if name.endswith((".b", ".g")):
            np.testing.assert_array_equal(p, float(name.endswith(".g")))
        else:
            expected = 0.02 / 8**0.5 if "c_proj" in name else 0.02
            assert p.std() == pytest.approx(expected, rel=0.05), name


@pytest.mark.parametrize("clip", [0, 0.05, 1e9])
def test_the_steps_are_torch_s_adamw(clip):
    rng = np.random.default_rng(0)
    params = {"w": rng.normal(0, 1, (3, 4)), "b": rng.normal(0, 1, 4), "left": np.ones((2, 2))}
    ours = AdamW(params, lambda name: name != "left", 0.1, (0.8, 0.9), 0.3, clip)
    assert ours.size == 16
    w, b = (torch.tensor(params[name].copy(), requires_grad=True) for name in "wb")
    groups = [{"params": [w]}, {"params": [b], "weight_decay": 0.0}]
    theirs = torch.optim.AdamW(groups, lr=0.1, betas=(0.8, 0.9), weight_decay=0.3)
    for step in range(5):
        grads = {
            "w": rng.normal(0, 1, (3, 4)),
            "b": rng.normal(0, 1, 4),
            "left": np.full((2, 2), 9.0),
        }
        w.grad, b.grad = torch.tensor(grads["w"]), torch.tensor(grads["b"])
        if clip:
            torch.nn.utils.clip_grad_norm_([w, b], clip)
        for group in theirs.param_groups:
            group["lr"] = 0.1 / (step + 1)
        theirs.step()
        ours.step(grads, 1 / (step + 1))
    np.testing.assert_allclose(params["w"], w.detach(), atol=1e-7)
    np.testing.assert_allclose(params["b"], b.detach(), atol=1e-7)
    np.testing.assert_array_equal(params["left"], 1)


def test_names_are_learned_step_for_step_as_by_lecture_07s_trainer(tmp_path):
    """The same start, batches and schedule: each loss to 2e-4, over forty steps."""
    words = data.words()
    X, Y = build_names(words[:2000], Vocabulary(words))
    plan = TrainConfig(40, batch_size=32, lr=3e-3, log_every=1, eval_every=0, precision="fp32")
    model = GPT(GPTConfig(27, X.shape[1], 2, 4, 32), torch.Generator().manual_seed(0))
    model.save_pretrained(tmp_path)
    params, n_head = load_gpt2(tmp_path)
    trainer = Trainer(plan, model, (X, Y), device="cpu", progress=False).run()

    split, losses = Split((X, Y), X.shape[1], torch.device("cpu")), []
    optimizer = AdamW(params, lr=plan.lr, betas=plan.betas, weight_decay=plan.weight_decay)
    for step in range(plan.steps):
        rows = split.rows(split.draw(plan.batch_size, plan.seed, "batch", step))
        loss, grads = lm_value_and_grad(params, *(t.numpy() for t in rows), n_head)
        optimizer.step(grads, plan.lr_factor(step))
        losses.append(loss)
    np.testing.assert_allclose(losses, trainer.losses, rtol=0, atol=2e-4)
    assert losses[-1] < losses[0] - 0.7


# --- training a little ----------------------------------------------------------------------------


def test_adapters_change_nothing_at_first_and_are_few():
    rng = np.random.default_rng(0)
    params = random_params(27, 17, 3, 64, rng)
    adapted = with_adapters(params, 4, rng)
    inputs = rng.integers(27, size=(3, 9))
    np.testing.assert_array_equal(
        numpy_gpt.gpt2(inputs, **adapted, n_head=4), numpy_gpt.gpt2(inputs, **params, n_head=4)
    )
    before = {name: p.copy() for name, p in leaves(params).items()}
    optimizer = AdamW(adapted, lambda name: "adapter" in name, lr=0.01)
    whole = sum(p.size for p in before.values())
    assert optimizer.size == 3 * 2 * (64 * 4 + 4 + 4 * 64 + 64) and optimizer.size < 0.04 * whole
    first = lm_value_and_grad(adapted, inputs, inputs, 4)[0]
    for _ in range(20):
        optimizer.step(lm_value_and_grad(adapted, inputs, inputs, 4)[1])
    assert lm_value_and_grad(adapted, inputs, inputs, 4)[0] < first - 0.1
    for name, p in leaves(adapted).items():
        if name in before:
            np.testing.assert_array_equal(p, before[name])
        else:
            assert "adapter" in name
    assert all(p.any() for name, p in leaves(adapted).items() if name.endswith("c_proj.w"))


def test_the_gradients_of_adapters_are_the_slopes_of_the_loss():
    rng = np.random.default_rng(0)
    params = with_adapters(drawn(rng), 3, rng)
    for name, p in leaves(params).items():
        if "adapter" in name:
            p[...] = rng.normal(0, 0.5, p.shape)
    inputs, targets = rng.integers(V, size=(2, 3, 5))
    loss, grads = lm_value_and_grad(params, inputs, targets, HEADS)
    assert loss == pytest.approx(numpy_gpt.lm_loss(params, inputs, targets, HEADS), abs=1e-12)
    slopes = leaves(grads)
    assert slopes.keys() == leaves(params).keys()
    for name, p in leaves(params).items():
        if name in ("wte", "wpe"):
            continue
        at = tuple(rng.integers(n) for n in p.shape)
        slope = numeric(lambda: numpy_gpt.lm_loss(params, inputs, targets, HEADS), p, at)
        assert slopes[name][at] == pytest.approx(slope, abs=1e-7), name


def test_lora_changes_nothing_at_first_and_is_merged_into_what_it_was_beside():
    rng = np.random.default_rng(0)
    params = drawn(rng)
    thin = lora(params, 2, rng)
    ends = ("attn.c_attn.w", "mlp.c_fc.w")
    assert {name.split(".", 2)[2] for name in thin} == set(ends) and len(thin) == 4
    inputs, targets = rng.integers(V, size=(2, 3, 5))
    start = numpy_gpt.gpt2(inputs, **params, n_head=HEADS)
    same = merge(params, thin, 3.0)
    np.testing.assert_array_equal(numpy_gpt.gpt2(inputs, **same, n_head=HEADS), start)
    for pair in thin.values():
        pair["b"][...] = rng.normal(0, 0.3, pair["b"].shape)
    merged = merge(params, thin, 3.0)
    for name, w in leaves(merged).items():
        expected = leaves(params)[name]
        if name in thin:
            expected = expected + 3 * thin[name]["a"] @ thin[name]["b"]
        np.testing.assert_allclose(w, expected, atol=1e-12)

    def loss():
        return numpy_gpt.lm_loss(merge(params, thin, 3.0), inputs, targets, HEADS)

    grads = lora_grads(lm_value_and_grad(merged, inputs, targets, HEADS)[1], thin, 3.0)
    assert leaves(grads).keys() == leaves(thin).keys()
    for name, slope in leaves(grads).items():
        at = tuple(rng.integers(n) for n in slope.shape)
        assert slope[at] == pytest.approx(numeric(loss, leaves(thin)[name], at), abs=1e-6), name


def test_lora_trains_two_thin_matrices_and_nothing_else():
    rng = np.random.default_rng(0)
    params = random_params(27, 17, 2, 32, rng)
    before = {name: p.copy() for name, p in leaves(params).items()}
    thin = lora(params, 2, rng)
    optimizer = AdamW(thin, lr=0.02, weight_decay=0.0)
    assert optimizer.size == 2 * 2 * (32 + 96 + 32 + 128)
    inputs = rng.integers(27, size=(3, 9))
    losses = []
    for _ in range(30):
        loss, grads = lm_value_and_grad(merge(params, thin), inputs, inputs, 4)
        optimizer.step(lora_grads(grads, thin))
        losses.append(loss)
    assert losses[-1] < losses[0] - 0.05
    for name, p in leaves(params).items():
        np.testing.assert_array_equal(p, before[name])


# --- on Values ------------------------------------------------------------------------------------


@pytest.fixture
def scalar():
    """NumPy's parameters, the same as Values, and six tokens with those that follow."""
    params = drawn(np.random.default_rng(0), n_layer=2)
    values = scalar_gpt.each(Value, build(params, lambda name, array: array.tolist()))
    return params, values, [0, 3, 7, 3, 1, 22], [3, 7, 3, 1, 22, 0]


def arrays(tree, like):
    """A nested dict of nested lists as one of arrays, as deep as `like` is."""
    if isinstance(like, dict):
        return {name: arrays(tree[name], like[name]) for name in like}
    if isinstance(like, list):
        return [arrays(t, l) for t, l in zip(tree, like, strict=True)]
    return np.array(tree)


def test_the_gpt_on_values_has_numpy_s_loss_and_gradients(scalar):
    params, values, tokens, targets = scalar
    loss = scalar_gpt.loss(tokens, targets, values, HEADS)
    loss.backward()
    expected, grads = lm_value_and_grad(params, [tokens], [targets], HEADS)
    assert loss.data == pytest.approx(expected, abs=1e-9)
    ours = leaves(arrays(scalar_gpt.each(lambda v: v.grad, values), params))
    for name, gradient in leaves(grads).items():
        np.testing.assert_allclose(ours[name], gradient, rtol=0, atol=1e-9, err_msg=name)
        assert np.abs(gradient).max() > 1e-4, name


def test_the_gpt_on_values_takes_numpy_s_steps(scalar):
    params, values, tokens, targets = scalar
    optimizer = AdamW(params, lr=0.02, betas=(0.9, 0.99), weight_decay=0.0, clip=0)
    found, moments = [], {}
    scalar_gpt.each(found.append, values)
    assert len(found) == optimizer.size
    for step in range(1, 4):
        optimizer.step(lm_value_and_grad(params, [tokens], [targets], HEADS)[1])
        scalar_gpt.loss(tokens, targets, values, HEADS).backward()
        scalar_gpt.adamw(found, moments, step, lr=0.02)
        assert not any(v.grad for v in found)
    ours = leaves(arrays(scalar_gpt.each(lambda v: v.data, values), params))
    for name, p in leaves(params).items():
        np.testing.assert_allclose(ours[name], p, rtol=0, atol=1e-6, err_msg=name)


def test_weight_decay_of_values_is_torch_s():
    values, moments = [Value(2.0), Value(-1.0)], {}
    theirs = torch.tensor([2.0, -1.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([theirs], lr=0.1, betas=(0.8, 0.9), weight_decay=0.3)
    for step in (1, 2, 3):
        for v, grad in zip(values, (0.5 * step, -2.0), strict=True):
            v.grad = grad
        theirs.grad = torch.tensor([0.5 * step, -2.0], dtype=torch.float64)
        scalar_gpt.adamw(values, moments, step, 0.1, 0.8, 0.9, 0.3)
        optimizer.step()
    assert [v.data for v in values] == pytest.approx(theirs.tolist(), abs=1e-7)


def test_the_gpt_on_values_writes_what_numpy_s_probabilities_say(scalar):
    params, values, tokens, _ = scalar

    class Noted:
        """Draws the given tokens, and keeps the weights that they were drawn by."""

        def __init__(self, tokens):
            self.tokens, self.weights = iter(tokens), []

        def choices(self, population, weights):
            self.weights.append(weights)
            return [next(self.tokens)]

    rng = Noted([*tokens[1:], 9])
    assert list(scalar_gpt.write(tokens[0], values, HEADS, rng, stop=9)) == tokens[1:]
    expected = numpy_gpt.softmax(numpy_gpt.gpt2(tokens, **params, n_head=HEADS))
    np.testing.assert_allclose(rng.weights, expected, atol=1e-12)
    endless = list(scalar_gpt.write(0, values, HEADS, random.Random(0)))
    assert len(endless) == T, "it ends with the context"


def test_the_gpt_on_values_is_sixty_lines():
    source = inspect.getsource(scalar_gpt)
    lines = source[source.index("\ndef dots") :].splitlines()
    code = [line for line in lines if line.strip() and not line.strip().startswith("#")]
    assert 30 < len(code) <= 60


# --- JAX ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jax_gpt():
    jax = pytest.importorskip("jax", reason="JAX is not installed: pip install zerotohero[jax]")
    with pytest.MonkeyPatch.context() as patch:  # it compiles for longer than it computes
        patch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
        jax.devices()  # where it is read
    return jax, numpy_gpt.with_numpy(jax.numpy)


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(V, size=(2, 3, T))
    targets[0, 4:] = IGNORED
    return drawn(rng, 1, np.float32), inputs, targets


def test_jax_computes_the_same_logits(jax_gpt, case):
    jax, jgpt = jax_gpt
    params, inputs, _ = case
    expected = numpy_gpt.gpt2(inputs, **params, n_head=HEADS)
    theirs = jax.tree.map(jax.numpy.asarray, params)
    whole = jax.jit(jgpt.gpt2, static_argnames="n_head")
    for logits in (
        jgpt.gpt2(inputs, **theirs, n_head=HEADS),
        whole(inputs, **theirs, n_head=HEADS),
    ):
        assert isinstance(logits, jax.Array)
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_jax_s_gradients_are_torch_s(jax_gpt, case):
    jax, jgpt = jax_gpt
    params, inputs, targets = case
    model = torchs_gpt(params)
    logits = model(torch.from_numpy(inputs))
    F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten()).backward()
    grads = jax.jit(jax.grad(jgpt.lm_loss), static_argnames="n_head")(
        params, inputs, targets, n_head=HEADS
    )
    ours = torchs_names(jax.tree.map(np.asarray, grads))
    for name, p in model.named_parameters():
        np.testing.assert_allclose(ours[name], p.grad, rtol=0, atol=1e-4, err_msg=name)


def test_jax_maps_the_function_of_one_text_over_many_by_the_article_s_six_axes(jax_gpt, case):
    jax, jgpt = jax_gpt
    params, inputs, _ = case
    one_by_one = [numpy_gpt.gpt2(row, **params, n_head=HEADS) for row in inputs]
    many = jax.vmap(jgpt.gpt2, in_axes=[0, None, None, None, None, None])
    theirs = jax.tree.map(jax.numpy.asarray, params)
    tables = (theirs[name] for name in ("wte", "wpe", "blocks", "ln_f"))
    np.testing.assert_allclose(many(inputs, *tables, HEADS), one_by_one, atol=1e-4)


def test_jax_writes_the_same_tokens(jax_gpt, case):
    jax, jgpt = jax_gpt
    params, *_ = case
    prompts, theirs = [[1, 2, 3], [4]], jax.tree.map(jax.numpy.asarray, params)
    pick, same = (numpy_gpt.sampler(np.random.default_rng(0), top_p=0.9) for _ in range(2))
    steps = jgpt.generate(prompts, theirs, HEADS, 2, pick, cached=False)
    ours = numpy_gpt.generate(prompts, params, HEADS, 2, same)
    np.testing.assert_array_equal(np.array(list(steps)), np.array(list(ours)))
