"""Lecture 02: the n-gram model, counted and learned, against plain Python and known figures."""

import itertools
import math
import os
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from zerotohero.bigram import (
    Ngram,
    Vocabulary,
    check_words,
    count,
    count_model,
    network_model,
    ngrams,
)
from zerotohero.course import data
from zerotohero.course.plots import bigram as figures
from zerotohero.course.plots import use_style
from zerotohero.course.widgets.bigram import bigram_explorer

FEW = ["emma", "olivia", "ava", "emil", "mia"]
a_word = st.text(st.characters(exclude_characters="."), min_size=1, max_size=8)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """On a busy machine, two threads on tables this small spend their time waiting."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def names() -> list[str]:
    return data.words("names")


def makemore_names() -> list[str]:
    folder = os.environ.get("ZEROTOHERO_DATA") or Path(__file__).parents[2] / "shared" / "data"
    path = Path(folder) / "makemore_names.txt"
    if not path.exists():
        pytest.skip(f"{path} isn't there; it is never committed")
    return path.read_text().split()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slow_ngrams(words: list[str], n: int) -> list[str]:
    """What `ngrams` must find, one word after the other."""
    padded = ["." * (n - 1) + word + "." for word in words]
    return [text[i : i + n] for text in padded for i in range(len(text) - n + 1)]


# --- The figures that the lecture must reproduce ---


def test_the_reference_figures_of_names(names):
    assert len(ngrams(names, Vocabulary(names))) == 229_804
    assert count_model(names).loss(names) == pytest.approx(2.4544, abs=5e-5)
    assert count_model(names, smoothing=1.0).loss(names) == pytest.approx(2.4550, abs=5e-5)


def test_the_reference_figures_of_the_original_list():
    words = makemore_names()
    assert len(ngrams(words, Vocabulary(words))) == 228_146
    assert count_model(words).loss(words) == pytest.approx(2.4540, abs=5e-5)
    assert count_model(words, smoothing=1.0).loss(words) == pytest.approx(2.4546, abs=5e-5)


def test_the_network_reaches_the_count_and_never_beats_it(names):
    counted = count_model(names).loss(names)
    learned = network_model(names, seeded()).loss(names)
    assert counted - 1e-4 < learned < counted + 0.01


def test_every_further_character_of_context_lowers_the_training_loss(names):
    losses = [count_model(names, n).loss(names) for n in (1, 2, 3, 4)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] < math.log(27)


# --- Counting, against loops ---


@given(st.lists(a_word, min_size=1, max_size=6), st.integers(1, 4))
def test_ngrams_are_those_of_a_loop(words, n):
    vocabulary = Vocabulary(words)
    found = [vocabulary.decode(gram) for gram in ngrams(words, vocabulary, n).tolist()]
    assert found == slow_ngrams(words, n)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("smoothing", [0.0, 0.5, 3.0])
def test_probabilities_and_loss_are_those_of_dictionaries(n, smoothing):
    model, vocabulary = count_model(FEW, n, smoothing), Vocabulary(FEW)
    grams = slow_ngrams(FEW, n)
    V = len(vocabulary)

    def probability(gram: str) -> float:
        same = [g for g in grams if g[:-1] == gram[:-1]]
        return (same.count(gram) + smoothing) / (len(same) + smoothing * V)

    expected = [-math.log(probability(gram)) for gram in grams]
    assert model.losses(FEW).tolist() == pytest.approx(expected, abs=1e-5)
    assert model.loss(FEW) == pytest.approx(sum(expected) / len(expected), abs=1e-5)
    for gram in grams:
        *context, last = [vocabulary.stoi[s] for s in gram]
        row = sum(i * V**k for k, i in enumerate(reversed(context)))
        assert model.probs()[row, last].item() == pytest.approx(probability(gram), abs=1e-6)


def test_every_row_that_was_counted_sums_to_one():
    total = count_model(FEW, n=3).probs().sum(1)
    assert set(total.round(decimals=6).tolist()) == {0.0, 1.0}
    smoothed = count_model(FEW, n=3, smoothing=1.0).probs().sum(1)
    torch.testing.assert_close(smoothed, torch.ones_like(smoothed))


def test_smoothing_without_end_gives_the_uniform_model():
    assert count_model(FEW, smoothing=1e9).loss(FEW) == pytest.approx(math.log(8), abs=1e-5)


def test_a_pair_that_was_never_seen_has_an_infinite_loss_until_smoothed():
    assert count_model(FEW).loss(["ovi"]) == math.inf
    assert count_model(FEW, smoothing=1.0).loss(["ovi"]) < 5


# --- The network ---


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_step_of_the_network_is_one_of_autograd_on_one_hot_rows(n):
    vocabulary = Vocabulary(FEW)
    V = len(vocabulary)
    W = torch.randn(V ** (n - 1), V, generator=seeded(3)).requires_grad_()
    grams = ngrams(FEW, vocabulary, n)
    rows = torch.tensor(
        [sum(i * V**k for k, i in enumerate(reversed(context))) for *context, _ in grams.tolist()]
    )
    logits = F.one_hot(rows, V ** (n - 1)).float() @ W
    (F.cross_entropy(logits, grams[:, -1]) + 0.1 * W.square().mean()).backward()
    by_hand = (W - 7 * W.grad).detach()
    model = network_model(FEW, seeded(3), n, steps=1, lr=7.0, decay=0.1)
    torch.testing.assert_close(model.logits, by_hand)


def test_without_a_step_the_network_is_its_initialisation():
    V = len(Vocabulary(FEW))
    assert network_model(FEW, seeded(5), steps=0).logits.equal(
        torch.randn(V, V, generator=seeded(5))
    )


def test_decay_pulls_the_network_to_the_uniform_model():
    ln_v = math.log(len(Vocabulary(FEW)))
    losses = [
        network_model(FEW, seeded(), decay=d, lr=0.5).loss(FEW)
        for d in (0.0, 0.1, 1.0, 10.0, 100.0)
    ]
    assert losses == sorted(losses)
    assert losses[-1] == pytest.approx(ln_v, abs=0.02) and losses[-1] < ln_v


# --- Sampling ---


def test_the_same_generator_state_gives_the_same_words():
    model = count_model(FEW)
    one, two = seeded(4), seeded(4)
    assert [model.sample(one) for _ in range(20)] == [model.sample(two) for _ in range(20)]


def test_sampling_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    network = network_model(FEW, seeded(), steps=3)
    network.sample(seeded())
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_samples_follow_the_probabilities(temperature):
    """Pearson's chi-square over the first character of 3,000 words stays in its usual range."""
    model, draws, g = count_model(FEW, smoothing=1.0), 3000, seeded(11)
    observed = torch.zeros(len(model.vocabulary))
    for _ in range(draws):
        first = model.sample(g, temperature, max_length=1) or "."
        observed[model.vocabulary.stoi[first]] += 1
    expected = model.probs(temperature)[0] * draws
    chi_square = ((observed - expected) ** 2 / expected).sum().item()
    assert chi_square < 24.3, "7 degrees of freedom exceed 24.3 once in a thousand"


def test_a_small_temperature_always_takes_the_likeliest():
    model = count_model(FEW)
    for temperature in (1e-3, 1e-30):
        assert {model.sample(seeded(s), temperature) for s in range(5)} == {"emia"}


def test_a_word_that_never_ends_is_cut():
    logits = torch.tensor([[0.0, 1.0], [-math.inf, 0.0]])
    model = Ngram(Vocabulary(["a"]), 2, logits)
    assert "a" * 17 in {model.sample(seeded(s), max_length=17) for s in range(9)}


def test_the_boundary_is_no_part_of_a_word():
    model = count_model(FEW, n=3)
    assert all("." not in model.sample(seeded(s)) for s in range(30))
    assert set("".join(model.sample(seeded(s)) for s in range(30))) <= set("".join(FEW))


# --- The vocabulary ---


@given(st.lists(a_word, min_size=1, max_size=6))
def test_a_word_survives_encoding_and_decoding(words):
    vocabulary = Vocabulary(words)
    assert vocabulary.itos[0] == "." and vocabulary.itos[1:] == sorted(vocabulary.itos[1:])
    for word in words:
        ids = vocabulary.encode(word)
        assert vocabulary.decode(ids) == word
        assert 0 not in ids and max(ids) < len(vocabulary)


# --- Mistakes, each with its sentence ---


@pytest.mark.parametrize(
    ("words", "kind", "sentence"),
    [
        ([], ValueError, "word list is empty"),
        ("emma", TypeError, "one string; pass a list"),
        (["emma", ""], ValueError, r"words\[1\] is an empty string"),
        (["emma", "a.va"], ValueError, r"words\[1\] is 'a.va' and holds '.'"),
    ],
)
@pytest.mark.parametrize(
    "use",
    [
        Vocabulary,
        count_model,
        lambda words: network_model(words, seeded()),
        lambda words: count_model(FEW).loss(words),
        lambda words: ngrams(words, Vocabulary(FEW)),
    ],
)
def test_bad_words(use, words, kind, sentence):
    with pytest.raises(kind, match=sentence):
        use(words)


def test_a_word_that_is_no_string():
    with pytest.raises(TypeError, match=r"words\[1\] is 3, a int; a str is needed"):
        check_words(["emma", 3])


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (
            lambda: Vocabulary(FEW).encode("éva"),
            r"'é' in 'éva' is not in the vocabulary \(\.aeilmov",
        ),
        (
            lambda: Vocabulary(FEW).decode([1, 8]),
            "8 is no character's number; they run from 0 to 7",
        ),
        (lambda: Vocabulary(FEW).decode([-1]), "-1 is no character's number"),
        (lambda: count_model(FEW).loss(["ava", "eva", "eve", "xi"]), "'x' in 'xi'"),
        (lambda: count_model(FEW, vocabulary=Vocabulary(["ab"])), "in 'emma' is not in the voc"),
        (lambda: ngrams(FEW, Vocabulary(FEW), 0), "n is 0"),
        (lambda: count_model(FEW, n=20), r"8\*\*20"),
        (lambda: count_model(FEW, smoothing=-1.0), "smoothing is -1.0"),
        (lambda: count_model(FEW, smoothing=math.nan), "smoothing is nan"),
        (lambda: count_model(FEW, smoothing=math.inf), "smoothing is inf"),
        (lambda: count_model(FEW).sample(seeded(), 0.0), "temperature is 0"),
        (lambda: count_model(FEW).probs(-1.0), "temperature is -1"),
        (lambda: count_model(FEW).probs(math.inf), "temperature is inf"),
        (lambda: count_model(FEW).probs(math.nan), "temperature is nan"),
        (lambda: network_model(FEW, seeded(), lr=0.0), "lr=0.0"),
        (lambda: network_model(FEW, seeded(), steps=-1), "steps=-1"),
        (lambda: network_model(FEW, seeded(), decay=-0.1), "decay=-0.1"),
        (lambda: Ngram(Vocabulary(FEW), 2, torch.zeros(8, 9)), r"shape \(8, 9\); .*\(8\*\*1, 8\)"),
        # A row of zeros: says after what, and what to do.
        (lambda: count_model(FEW, n=3).loss(["ove"]), "after 'ov'.*smoothing > 0"),
        (
            lambda: Ngram(Vocabulary(["a"]), 2, torch.full((2, 2), -math.inf)).sample(seeded()),
            "after '.'.*row of probabilities is all zeros",
        ),
    ],
)
def test_bad_arguments(use, sentence):
    with pytest.raises(ValueError, match=sentence):
        use()


def test_a_learning_rate_that_explodes_is_named():
    with pytest.raises(ArithmeticError, match="lower lr=1e"):
        network_model(FEW, seeded(), lr=1e38, decay=1.0)


def test_counts_are_whole_numbers_one_a_gram():
    vocabulary = Vocabulary(FEW)
    grams = ngrams(FEW, vocabulary, 3)
    counts = count(grams, len(vocabulary))
    assert counts.dtype == torch.int64 and counts.sum() == len(grams)


# --- The lecture's widget and figures ---


def parts(explorer):
    """The widget's temperature, row, button and page."""
    controls, page = explorer.children
    return *controls.children, page


def test_the_explorer_follows_temperature_row_and_button():
    model = count_model(FEW, smoothing=1.0)
    temperature, after, another, page = parts(bigram_explorer(model))
    seen = [page.value]
    temperature.value = 0.3
    seen.append(page.value)
    after.value = model.vocabulary.stoi["m"]
    seen.append(page.value)
    another.click()
    seen.append(page.value)
    assert len(set(seen)) == 4, "each control must change the page"
    assert "Likeliest after m" in seen[-1] and "Likeliest after ." in seen[0]


def test_the_explorer_shows_what_the_model_says():
    model = count_model(FEW, smoothing=1.0)
    *_, page = parts(bigram_explorer(model, names=3, seed=5))
    g = seeded(5)
    for name in [model.sample(g) for _ in range(3)]:
        assert f">{name}</td>" in page.value
        assert f"<td>{model.loss([name]):.2f}</td>" in page.value
    e, m = (model.vocabulary.stoi[s] for s in "em")
    assert f"<title>e then m: {model.probs()[e, m]:.4f}</title>" in page.value


def test_the_explorer_shows_characters_as_text_and_not_as_markup():
    *_, page = parts(bigram_explorer(count_model(["<b>", "a&b"], smoothing=1.0)))
    assert "<title>&lt; then" in page.value and ">&amp;</text>" in page.value


def test_the_explorer_refuses_other_models():
    with pytest.raises(ValueError, match="this one has n = 3"):
        bigram_explorer(count_model(FEW, n=3))


def test_the_figures_draw_what_they_are_given():
    model = count_model(FEW, smoothing=1.0)
    N, itos = count(ngrams(FEW, model.vocabulary), 8), model.vocabulary.itos
    P, wrong = N / N.sum(1, keepdim=True), N / N.sum(1)
    figures.count_matrix(N, itos)
    numbers = [int(text.get_text()) for text in plt.gca().texts]
    assert numbers == N.flatten().tolist()
    figures.row_sums(P, wrong, itos)
    heights = [bar.get_height() for bar in plt.gcf().axes[1].patches]
    assert heights == pytest.approx(wrong.sum(1).tolist())
    figures.temperatures({0.5: model.probs(0.5), 2.0: model.probs(2.0)}, itos)
    shown = torch.tensor(plt.gcf().axes[1].images[0].get_array())
    torch.testing.assert_close(shown, model.probs(2.0), check_dtype=False)
    figures.logits_to_probs(model.logits[0], itos, after=".")
    assert sum(bar.get_height() for bar in plt.gcf().axes[2].patches) == pytest.approx(1)
    figures.training({"lr 50": [3.0, 2.6, 2.5]}, counted=2.45, blind=3.3)
    assert list(plt.gca().lines[0].get_ydata()) == [3.0, 2.6, 2.5]
    rows = {"k = 1": model.probs()[0], "k = 2": P[0]}
    figures.pull_to_uniform(rows, rows, itos, after=".", characters="ae")
    assert len(plt.gcf().axes[0].patches) == 4
    plt.close("all")


@pytest.fixture
def style():
    with plt.rc_context():
        use_style()
        yield


def test_the_numbers_of_the_table_can_be_read_on_their_shades(style):
    N = torch.cat([torch.arange(27 * 26) * 10, torch.zeros(27, dtype=torch.int64)]).view(27, 27)
    figures.count_matrix(N, [chr(97 + i) for i in range(27)])
    shades = plt.gca().images[0]
    for i, text in enumerate(plt.gca().texts):
        shade = shades.to_rgba(shades.get_array()[i // 27, i % 27])
        assert figures.contrast(text.get_color(), shade) >= 4.5, text.get_text()
    plt.close("all")


def test_the_ticks_of_the_figures_do_not_touch(style):
    itos = [".", *"abcdefghijklmnopqrstuvwxyz"]
    N = torch.randint(1, 100, (27, 27), generator=torch.Generator().manual_seed(1))
    P = N / N.sum(1, keepdim=True)
    for drawn in (
        lambda: figures.count_matrix(N, itos),
        lambda: figures.row_sums(P, P, itos),
        lambda: figures.temperatures(dict.fromkeys((0.3, 1.0, 3.0), P), itos),
        lambda: figures.logits_to_probs(P[0], itos, after="a"),
    ):
        drawn()
        plt.gcf().canvas.draw()
        for ax in plt.gcf().axes:
            for axis in (ax.xaxis, ax.yaxis):
                boxes = [t.get_window_extent() for t in axis.get_ticklabels() if t.get_visible()]
                assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes)), ax.get_title()
        plt.close("all")


def test_the_diagrams_carry_probabilities_and_shapes():
    dot = figures.steps("emma", [0.1, 0.2, 0.3, 0.4, 0.5]).dot
    assert [float(p) for p in re.findall(r'label=" (0\.\d+) "', dot)] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert '"m#2" -> "m#3"' in dot, "the same letter twice is two boxes"
    dot = figures.network(5, 27).dot
    assert "W\\n(27, 27)" in dot and "logits (5, 27)" in dot


# Tokens ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32])
def test_tokens_of_any_whole_number_type_are_counted_and_decoded(dtype):
    vocabulary = Vocabulary(["emma", "ava", "zoe"])
    grams = ngrams(["emma", "ava", "zoe"], vocabulary, 3)
    assert torch.equal(count(grams.to(dtype), len(vocabulary)), count(grams, len(vocabulary)))
    ids = torch.tensor(vocabulary.encode("emma"))
    assert vocabulary.decode(ids.to(dtype)) == "emma"


@pytest.mark.parametrize("bad", [27, -1])
def test_counting_names_a_token_beyond_the_vocabulary(bad):
    with pytest.raises(ValueError, match=f"{bad}.*vocabulary of 27 has the tokens 0 to 26"):
        count(torch.tensor([[0, 1], [2, bad]]), 27)
