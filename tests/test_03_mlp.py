"""Lecture 03: `zerotohero.mlp` against torch.nn, finite differences, and its own claims."""

import math
import re
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from untyped import jaxtyping_off
from zerotohero.bigram import Vocabulary
from zerotohero.course.plots import mlp as figures
from zerotohero.course.widgets.mlp import embedding_explorer
from zerotohero.mlp import (
    CLASSIC,
    FULL,
    MLP,
    QUICK,
    MLPConfig,
    Plan,
    build_dataset,
    evaluate,
    find_learning_rate,
    sample,
    split_words,
    train,
)

ALPHABET = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = Vocabulary([ALPHABET])
WORDS = ["emma", "olivia", "ava", "isabella", "sophia", "mia", "liam", "noah"]
names = st.lists(st.text(ALPHABET, min_size=1, max_size=9), min_size=10, max_size=60)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(**sizes) -> MLP:
    return MLP(MLPConfig(**{"n_embd": 4, "n_hidden": 16, **sizes}), seeded())


# --- data ---------------------------------------------------------------------------------------


def test_dataset_of_one_word_by_hand():
    X, Y = build_dataset(["emma"], 3, VOCABULARY)
    contexts = ["".join(VOCABULARY.itos[i] for i in row) for row in X.tolist()]
    assert contexts == ["...", "..e", ".em", "emm", "mma"]
    assert [VOCABULARY.itos[i] for i in Y.tolist()] == ["e", "m", "m", "a", "."]
    assert X.is_contiguous() and Y.is_contiguous()


@given(words=names, block_size=st.integers(1, 9))
@settings(max_examples=40)
def test_every_character_is_predicted_once_from_what_precedes_it(words, block_size):
    X, Y = build_dataset(words, block_size, VOCABULARY)
    expected = []
    for word in words:
        padded = "." * block_size + word + "."
        for i in range(block_size, len(padded)):
            expected.append((padded[i - block_size : i], padded[i]))
    found = [
        ("".join(VOCABULARY.itos[i] for i in row), VOCABULARY.itos[y])
        for row, y in zip(X.tolist(), Y.tolist(), strict=True)
    ]
    assert found == expected


@given(words=names, seed=st.integers(0, 2**32))
@settings(max_examples=60)
def test_splits_are_a_shuffle_of_a_copy(words, seed):
    before = list(words)
    splits = split_words(words, seed)
    assert words == before, "the caller's list must stay as it is"
    joined = splits.train + splits.dev + splits.test
    assert sorted(joined) == sorted(words), "no word may be lost or doubled"
    for part, share in ((splits.train, 0.8), (splits.dev, 0.1), (splits.test, 0.1)):
        assert abs(len(part) - share * len(words)) <= 1
    assert splits == split_words(words, seed), "one seed, one split"


def test_another_seed_gives_another_split_and_the_order_is_not_the_list_s():
    words = [a + b for a in ALPHABET for b in ALPHABET]
    assert split_words(words, 1) != split_words(words, 2)
    assert split_words(words).train != words[: round(0.8 * len(words))]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: build_dataset([], 3, VOCABULARY), "empty"),
        (lambda: build_dataset(["emma"], 0, VOCABULARY), "at least 1"),
        (lambda: build_dataset(["emma", "zoé"], 3, VOCABULARY), "'é'"),
        (lambda: split_words([]), "empty"),
        (lambda: split_words(WORDS, fractions=(0.8, 0.1, 0.2)), "add up to 1"),
        (lambda: split_words(WORDS, fractions=(1.0, 0.1, -0.1)), "positive"),
        (lambda: split_words(["a", "b", "c"]), "too few"),
    ],
)
def test_bad_data_gets_one_clear_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_one_string_is_not_a_list_of_words():
    with pytest.raises(TypeError, match="list of words"):
        split_words("emma olivia ava")


# --- the network --------------------------------------------------------------------------------


def twin(model: MLP) -> torch.nn.Sequential:
    """The same network from torch.nn's parts, with the same numbers in it."""
    c = model.config
    net = torch.nn.Sequential(
        torch.nn.Embedding(c.vocab_size, c.n_embd),
        torch.nn.Flatten(),
        torch.nn.Linear(c.block_size * c.n_embd, c.n_hidden),
        torch.nn.Tanh(),
        torch.nn.Linear(c.n_hidden, c.vocab_size),
    ).to(model.wte.dtype)
    ours = [model.wte, model.W1.T, model.b1, model.W2.T, model.b2]
    with torch.no_grad():
        for theirs, value in zip(net.parameters(), ours, strict=True):
            theirs.copy_(value)
    return net


def test_logits_loss_and_gradients_equal_torch_nn():
    model = small().double()
    X, Y = build_dataset(WORDS, 3, VOCABULARY)
    net = twin(model)
    torch.testing.assert_close(model(X), net(X), rtol=0, atol=1e-12)

    F.cross_entropy(model(X), Y).backward()
    F.cross_entropy(net(X), Y).backward()
    theirs = [p.grad for p in net.parameters()]
    ours = [model.wte.grad, model.W1.grad.T, model.b1.grad, model.W2.grad.T, model.b2.grad]
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference, rtol=0, atol=1e-12)


def test_gradients_equal_finite_differences():
    model = small(n_embd=2, n_hidden=5, vocab_size=6).double()
    X = torch.tensor([[0, 0, 1], [0, 1, 5], [2, 2, 2]])
    Y = torch.tensor([1, 5, 0])
    names = [name for name, _ in model.named_parameters()]

    def loss(*values):
        params = dict(zip(names, values, strict=True))
        return F.cross_entropy(torch.func.functional_call(model, params, (X,)), Y)

    assert torch.autograd.gradcheck(loss, tuple(model.parameters()))


@pytest.mark.parametrize("seed", range(3))
def test_the_naive_start_is_sure_of_the_wrong_character(seed):
    X, Y = build_dataset(WORDS, 3, VOCABULARY)
    loss = evaluate(MLP(MLPConfig(), seeded(seed)), X, Y)
    assert 18 < loss < 34, "the naive initialisation starts near 26, not near ln 27"


def test_an_output_layer_of_zeros_starts_at_ln_27():
    X, Y = build_dataset(WORDS, 3, VOCABULARY)
    model = MLP(MLPConfig(output_scale=0.0), seeded())
    assert evaluate(model, X, Y) == pytest.approx(math.log(27), abs=1e-6)


def test_the_generator_decides_the_parameters():
    one, same, other = (MLP(MLPConfig(), seeded(s)) for s in (1, 1, 2))
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.wte, other.wte)


def test_contexts_of_another_length_are_refused():
    X, _ = build_dataset(WORDS, 2, VOCABULARY)
    with pytest.raises(ValueError, match="block_size 3"):
        small()(X)


@pytest.mark.parametrize(
    "field", ["vocab_size", "block_size", "n_embd", "n_hidden", "hidden_scale", "output_scale"]
)
def test_model_config_refuses_what_cannot_work(field):
    with pytest.raises(ValueError, match=field):
        MLPConfig(**{field: -1.0 if "scale" in field else -1})


def test_configs_are_frozen():
    with pytest.raises(FrozenInstanceError):
        QUICK.steps = 1


# --- training -----------------------------------------------------------------------------------


def test_a_batch_overfits_to_what_its_repeated_contexts_allow():
    X, Y = build_dataset(WORDS, 3, VOCABULARY)
    # The best a function of the context can do: the shares of what followed it.
    best = 0.0
    for context in X.unique(dim=0):
        shares = torch.bincount(Y[(context == X).all(1)]).double()
        shares = shares[shares > 0]
        best -= (shares * (shares / shares.sum()).log()).sum().item() / len(X)
    assert best > 0.1, "eight names begin with seven letters, so zero cannot be reached"
    model = small(n_hidden=100)
    train(model, X, Y, Plan(800, batch_size=128, weight_decay=0.0), seeded())
    assert best - 1e-6 <= evaluate(model, X, Y) < best + 0.02


@pytest.mark.parametrize("config", [replace(QUICK, steps=30), replace(CLASSIC, steps=30)])
def test_one_seed_gives_one_training_run_and_calls_back(config):
    X, Y = build_dataset(WORDS, 3, VOCABULARY)
    seen = []
    first = train(small(), X, Y, config, seeded(5), lambda step, loss: seen.append((step, loss)))
    assert first == train(small(), X, Y, config, seeded(5))
    assert first != train(small(), X, Y, config, seeded(6))
    assert seen == list(enumerate(first))


def test_one_sgd_step_is_minus_lr_times_the_gradient():
    X, Y = build_dataset(WORDS, 3, VOCABULARY)
    model, by_hand = small().double(), small().double()
    config = Plan(1, batch_size=7, lr=0.1, optimizer="sgd", schedule="constant")
    train(model, X, Y, config, seeded(3))
    rows = torch.randint(len(X), (7,), generator=seeded(3))
    F.cross_entropy(by_hand(X[rows]), Y[rows]).backward()
    for p, q in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(p.detach(), q.detach() - 0.1 * q.grad, rtol=0, atol=1e-12)


def test_schedules():
    assert [CLASSIC.lr_at(s) for s in (0, 99_999)] == [0.1, 0.1]
    assert [CLASSIC.lr_at(s) for s in (100_000, 199_999)] == pytest.approx([0.01, 0.01])
    assert FULL.lr_at(0) == FULL.lr and FULL.lr_at(FULL.steps // 2) == pytest.approx(FULL.lr / 2)
    assert 0 < FULL.lr_at(FULL.steps - 1) < 1e-6 * FULL.lr


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"lr": 0.0},
        {"lr": math.nan},
        {"weight_decay": -0.1},
        {"optimizer": "adam"},
        {"schedule": "linear"},
    ],
)
def test_train_config_refuses_what_cannot_work(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(QUICK, **change)


def test_a_loss_that_is_no_number_stops_the_training_and_says_where():
    X, Y = build_dataset(WORDS, 3, VOCABULARY)
    model = small()
    config = Plan(50, batch_size=8, lr=1e38, optimizer="sgd", schedule="constant")
    with pytest.raises(FloatingPointError, match=r"at step \d+, with learning rate 1e\+38"):
        train(model, X, Y, config, seeded())


def test_rows_and_targets_must_match():
    X, Y = build_dataset(WORDS, 3, VOCABULARY)
    for contexts, targets in ((X[:0], Y[:0]), (X, Y[:-1])):
        # The shape checks of the tests (tests/conftest.py) would stop the second before we do.
        with jaxtyping_off(), pytest.raises(ValueError, match="contexts and"):
            evaluate(small(), contexts, targets)
        with jaxtyping_off(), pytest.raises(ValueError, match="contexts and"):
            train(small(), contexts, targets, QUICK, seeded())


def test_find_learning_rate_leaves_the_model_alone_and_sees_the_fall_and_the_noise():
    X, Y = build_dataset(WORDS, 3, VOCABULARY)
    model = small()
    before = [p.clone() for p in model.parameters()]
    rates, losses = find_learning_rate(model, X, Y, seeded(), low=1e-4, high=10.0, steps=400)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert rates[0] == pytest.approx(1e-4) and rates[-1] == pytest.approx(10)
    assert len(rates) == len(losses) == 400
    ratios = torch.tensor(rates[1:]) / torch.tensor(rates[:-1])
    assert ratios.std() < 1e-4, "evenly spaced on a logarithmic scale"
    mean = [sum(losses[i : i + 40]) / 40 for i in range(0, 400, 40)]
    assert min(mean) < mean[0] / 2, "somewhere in the middle the model learns"
    assert mean[-1] > 2 * min(mean), "a rate of 10 throws it out again"


def test_find_learning_rate_ends_where_the_loss_does():
    X, Y = build_dataset(WORDS, 3, VOCABULARY)
    rates, losses = find_learning_rate(small(), X, Y, seeded(), low=1.0, high=1e38, steps=60)
    assert len(rates) == len(losses) < 60 and all(map(math.isfinite, losses))


@pytest.mark.parametrize("bad", [{"low": 0.0}, {"low": 2.0}, {"steps": 1}])
def test_find_learning_rate_refuses_what_cannot_work(bad):
    X, Y = build_dataset(WORDS, 3, VOCABULARY)
    with pytest.raises(ValueError, match=next(iter(bad))):
        find_learning_rate(small(), X, Y, seeded(), **bad)


def test_evaluation_in_chunks_is_evaluation_at_once():
    X, Y = build_dataset(WORDS, 3, VOCABULARY)
    model = small().double()
    whole = F.cross_entropy(model(X), Y).item()
    for chunk in (1, 7, len(X), 10_000):
        assert evaluate(model, X, Y, chunk) == pytest.approx(whole, abs=1e-12)


# --- sampling -----------------------------------------------------------------------------------


def test_sampling_follows_the_model():
    X, Y = build_dataset(["ab"] * 4, 2, VOCABULARY)
    model = small(block_size=2)
    train(model, X, Y, Plan(200, batch_size=16), seeded())
    words = [sample(model, VOCABULARY, seeded(s)) for s in range(20)]
    assert words.count("ab") >= 18, "a model that has seen one word says that word"


def test_sampling_is_seeded_and_stops():
    model = small()
    draws = [sample(model, VOCABULARY, seeded(4), max_length=12) for _ in range(2)]
    assert draws[0] == draws[1]
    with torch.no_grad():
        model.b2[0] = -1e9  # the boundary never comes
    assert len(sample(model, VOCABULARY, seeded(), max_length=12)) == 12
    assert {sample(model, VOCABULARY, seeded(s)) for s in range(5)} - {""}


# --- the lecture's widget and figures -----------------------------------------------------------


def tables(n: int) -> list[torch.Tensor]:
    return [torch.randn(27, 2, generator=seeded(s)) for s in range(n)]


def test_the_explorer_shows_the_snapshot_that_the_slider_is_on():
    explorer = embedding_explorer([0, 10, 200], tables(3), [25.0, 3.5, 2.4], VOCABULARY.itos)
    (_, slider), page = explorer.children[0].children, explorer.children[1]
    assert "after 200 steps · dev loss 2.40" in page.value
    last = page.value
    slider.value = 0
    assert "after 0 steps · dev loss 25.00" in page.value
    assert re.findall(r"translate\([^)]*\)", page.value) != re.findall(r"translate\([^)]*\)", last)
    assert page.value.count("<title>") == 27


def test_the_explorer_keeps_distances_and_names_the_nearest():
    itos, table = [".", "a", "b"], torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 3.0]])
    page = embedding_explorer([0], [table], [1.0], itos).children[1].value
    places = [[float(x) for x in pair] for pair in re.findall(r"translate\((\S+) (\S+)\)", page)]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert y0 == y1 and x1 == x2, "an embedding's numbers are its coordinates"
    assert x1 > x0 and y2 < y1, "up is up, although y grows downwards on the screen"
    assert (y1 - y2) == pytest.approx(3 * (x1 - x0), abs=0.3), "one scale for both directions"
    assert "<title>.: nearest a, b</title>" in page


@pytest.mark.parametrize(
    "given",
    [
        ([], [], [], ["a"]),
        ([0, 1], [torch.zeros(1, 2)], [1.0], ["a"]),
        ([0], [torch.zeros(1, 10)], [1.0], ["a"]),
    ],
)
def test_the_explorer_refuses_what_is_no_map(given):
    with pytest.raises(ValueError, match=r"snapshot|n_embd=2"):
        embedding_explorer(*given)


def test_figures_show_the_numbers_they_are_given():
    import matplotlib.pyplot as plt

    figures.counting_by_context([1, 2], [2.4, 2.2], [2.5, 2.3], [0.0, 0.1])
    left, right = plt.gcf().axes
    assert list(left.lines[0].get_ydata()) == [2.4, 2.2]
    assert [bar.get_height() for bar in right.patches] == [0.0, 10.0]
    figures.certainty(torch.tensor([[0.99, 0.01], [0.5, 0.5]]), 2)
    assert sum(bar.get_height() for bar in plt.gca().patches) == 2, "each context counts once"
    figures.learning_rates([0.1, 1.0, 10.0, 100.0], [4.0, 3.0, 2.0, 900.0], chosen=1.0)
    assert plt.gca().get_ylim()[1] < 10, "a loss that exploded must not squash the rest"
    figures.loss_curves({"a": [4.0, 2.0]}, 27)
    assert list(plt.gca().lines[0].get_ydata()) == [4.0, 3.0]
    figures.fitting([2, 8], [(2.5, 2.6), (2.2, 2.3)], [10, 100], [(1.0, 5.0), (2.0, 3.0)])
    assert list(plt.gcf().axes[1].lines[1].get_ydata()) == [5.0, 3.0]
    figures.schedules({"flat": [1.0, 1.0], "drop": [1.0, 0.1]})
    assert [list(line.get_ydata()) for line in plt.gca().lines] == [[1.0, 1.0], [1.0, 0.1]]
    figures.embedding({"x": tables(1)[0], "y": tables(1)[0]}, VOCABULARY.itos)
    assert [t.get_text() for t in plt.gcf().axes[0].texts] == VOCABULARY.itos
    plt.close("all")


def test_the_diagram_has_the_parameters_of_the_network_with_their_shapes():
    config = MLPConfig(vocab_size=5, block_size=4, n_embd=3, n_hidden=7)
    dot = figures.network("abba", C=3, H=7, V=5).dot
    for name, p in MLP(config).state_dict().items():
        assert re.search(rf"\b{name}\b", dot) and str(tuple(p.shape)) in dot, name
    assert dot.count('-> "wte"') == 4, "one table for all four characters"
    assert dot.count('"wte" ->') == 4 and dot.count("(3,)") == 4, "a vector for each"


def test_the_diagram_of_adamw_pulls_the_parameter_itself_towards_zero():
    dot = figures.adamw(lr=0.5).dot
    assert re.search(r'"p" -> "−" .*decay', dot), "decoupled: the decay does not go through m"
    assert "about 0.5" in dot


def test_smoothing_is_the_mean_of_what_came_before():
    assert figures.smooth([4.0, 2.0, 0.0, 6.0], 2) == [4.0, 3.0, 1.0, 3.0]


# Tokens ------------------------------------------------------------------------------------------

NARROW = [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32]


@pytest.mark.parametrize("dtype", NARROW)
def test_contexts_and_targets_may_be_of_any_whole_number_type(dtype):
    X, Y = build_dataset(["emma", "mia"], 3, VOCABULARY)
    plan = Plan(3, batch_size=4)

    def losses(kind):
        model = MLP(MLPConfig(), torch.Generator().manual_seed(0))
        curve = train(model, X.to(kind), Y.to(kind), plan, torch.Generator().manual_seed(1))
        return [*curve, evaluate(model, X.to(kind), Y.to(kind))]

    assert losses(dtype) == losses(torch.int64)


@pytest.mark.parametrize("bad", [27, -1])
def test_a_token_beyond_the_vocabulary_is_named_with_its_size(bad):
    with pytest.raises(ValueError, match=f"{bad}.*vocabulary of 27 has the tokens 0 to 26"):
        MLP(MLPConfig())(torch.tensor([[0, 1, bad]]))


def test_a_context_longer_than_every_word_is_mostly_boundary():
    """As in the original: five rows for "emma", whatever the block size."""
    X, Y = build_dataset(["emma"], 8, VOCABULARY)
    assert X.shape == (5, 8) and Y.shape == (5,)
    assert VOCABULARY.decode(Y.tolist()) == "emma."
    assert [VOCABULARY.decode(row) for row in X.tolist()] == [
        "........",
        ".......e",
        "......em",
        ".....emm",
        "....emma",
    ]
