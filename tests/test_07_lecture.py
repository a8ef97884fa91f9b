"""Lecture 07's figures and widgets: what they show, and that they move."""

import re
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
import torch

from zerotohero.course.plots import gpt as figures
from zerotohero.course.widgets.gpt import (
    attention_explorer,
    bars_html,
    heads_html,
    sampling_playground,
)
from zerotohero.course.widgets.training import LiveCurve
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.text import Characters

TEXT = "to be, or\nnot"
VOCABULARY = Characters.of(TEXT + "<&>")


@pytest.fixture
def model():
    config = GPTConfig(len(VOCABULARY), 16, n_layer=2, n_head=3, n_embd=12)
    return GPT(config, torch.Generator().manual_seed(0)).eval()


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


def weights(H: int, T: int):
    """Weights of H heads in which head h reads the character h + 1 back, or the first."""
    w = torch.zeros(H, T, T)
    for h in range(H):
        for t in range(T):
            w[h, t, max(0, t - h - 1)] = 1.0
    return w


def shown(page: str) -> list[tuple[int, int]]:
    """(column, head) of the marks in the columns that are visible without a pointer."""
    column = re.search(r'<g class="at chosen">.*?</g></g>', page).group()
    marks = re.findall(r'<rect x="(\d+)" y="(\d+)" [^>]*opacity="1.00"', column)
    return [((int(x) - 62) // 14, int(y) // 30) for x, y in marks]


# --- the heads ----------------------------------------------------------------------------------


def test_a_chosen_character_shows_what_each_head_reads():
    assert shown(heads_html(weights(3, 6), TEXT[:6], 4)) == [(3, 0), (2, 1), (1, 2)]


def test_every_character_answers_the_pointer_and_only_one_is_chosen():
    page = heads_html(weights(2, 6), TEXT[:6], 2)
    assert len(re.findall(r'class="at[ "]', page)) == 6
    assert page.count("at chosen") == 1
    assert ".at:hover .row" in page


def test_its_words_say_what_the_colours_say():
    page = heads_html(weights(2, 4), "to b", 3)
    assert "from b: head 1 reads 100% of ·, head 2 reads 100% of o" in page


def test_characters_without_ink_get_a_sign_and_others_are_escaped():
    page = heads_html(weights(1, 5), "<&>\n ", 0)
    for sign in ("&lt;", "&amp;", "&gt;", "↵", "·"):
        assert f">{sign}</text>" in page
    assert "<&>" not in page


def test_weights_that_cannot_be_seen_are_not_drawn():
    w = torch.full((1, 40, 40), 0.001)
    w[0, :, 0] = 0.9
    assert heads_html(w, "a" * 40, 3).count('opacity="') == 40


def test_the_explorer_moves_with_its_controls(model):
    explorer = attention_explorer(model, VOCABULARY, TEXT)
    layer, position, page = explorer.children
    assert [label for label, _ in layer.options] == ["layer 1", "layer 2"]
    pages = {page.value}
    layer.value = 1
    pages.add(page.value)
    position.value = 2
    pages.add(page.value)
    assert len(pages) == 3
    assert "position 2" in page.value
    assert "head 3" in page.value


def test_the_explorer_shows_the_model_s_own_maps(model):
    idx = VOCABULARY.encode(TEXT)[None]
    explorer = attention_explorer(model, VOCABULARY, TEXT)
    page = explorer.children[-1].value
    assert page == heads_html(model.attention_maps(idx)[0][0], TEXT, len(TEXT) - 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "0 characters"), ("to be or " * 2, "context, 16"), ("tö", "'ö'")],
)
def test_texts_that_cannot_be_shown_are_refused(model, text, message):
    with pytest.raises(ValueError, match=message):
        attention_explorer(model, VOCABULARY, text)


# --- the playground -----------------------------------------------------------------------------


def bars(playground) -> str:
    return playground.children[4].value


def test_the_bars_are_the_model_s_probabilities(model):
    playground = sampling_playground(model, VOCABULARY, "to b")
    with torch.no_grad():
        probs = model(VOCABULARY.encode("to b")[None])[0, -1].softmax(-1)
    assert bars(playground) == bars_html(probs, probs, VOCABULARY.chars)


def test_the_settings_change_what_can_be_drawn(model):
    playground = sampling_playground(model, VOCABULARY, "to b")
    prompt, temperature, top_k, top_p = playground.children[:4]
    V = len(VOCABULARY)
    assert f"{V} of {V} characters" in bars(playground)
    top_k.value = 3
    assert f"3 of {V}" in bars(playground)
    temperature.value = 0.0
    assert f"1 of {V}" in bars(playground)
    top_k.value, temperature.value, top_p.value = 0, 1.0, 0.5
    kept = int(re.search(r"(\d+) of", bars(playground)).group(1))
    assert 1 <= kept < V
    before = bars(playground)
    prompt.value = "not"
    assert bars(playground) != before


def test_the_button_writes_behind_the_prompt_and_anew_each_time(model):
    playground = sampling_playground(model, VOCABULARY, "<to>", length=30)
    button, written = playground.children[5:]
    assert written.value == ""
    texts = set()
    for _ in range(3):
        button.click()
        texts.add(written.value)
        assert ">&lt;to&gt;" in written.value
    assert len(texts) == 3


def test_a_cold_model_writes_the_same_each_time(model):
    playground = sampling_playground(model, VOCABULARY, "to", length=30)
    playground.children[1].value = 0.0
    button, written = playground.children[5:]
    button.click()
    first = written.value
    button.click()
    assert written.value == first != ""


def test_a_prompt_longer_than_the_context_is_read_from_its_end(model):
    long = sampling_playground(model, VOCABULARY, "no" * 20 + TEXT)
    short = sampling_playground(model, VOCABULARY, ("no" * 20 + TEXT)[-16:])
    assert bars(long) == bars(short)


@pytest.mark.parametrize(("prompt", "message"), [("", "is empty"), ("tö", "&#x27;ö&#x27;")])
def test_a_prompt_that_cannot_be_read_is_answered_with_a_sentence(model, prompt, message):
    playground = sampling_playground(model, VOCABULARY, "to")
    playground.children[0].value = prompt
    assert message in bars(playground)
    assert "<svg" not in bars(playground)
    playground.children[5].click()  # nothing is written, and nothing breaks
    assert playground.children[6].value == ""
    playground.children[0].value = "to"
    assert "<svg" in bars(playground)


def test_bars_are_sorted_and_as_tall_as_their_probabilities():
    before = torch.tensor([0.1, 0.6, 0.3])
    after = torch.tensor([0.0, 1.0, 0.0])
    page = bars_html(before, after, "ab\n")
    assert re.findall(r">(.)</text>", page) == ["b", "↵", "a"]
    heights = [float(h) for h in re.findall(r'height="([\d.]+)" fill="none"', page)]
    assert heights == pytest.approx([78, 39, 13])
    assert re.findall(r">(\d*%?)</text><text", page) == ["100%", "", ""]
    assert "1 of 3 characters" in page
    assert "a: 10.0% before, 0.0% after" in page


def test_a_flat_distribution_fills_the_height_too():
    flat = torch.tensor([0.02, 0.01, *[0.01] * 97])
    heights = re.findall(r'height="([\d.]+)" fill="none"', bars_html(flat, flat, "a" * 99))
    assert [float(h) for h in heights[:2]] == pytest.approx([130, 65])


def test_a_prompt_may_hold_a_newline(model):
    playground = sampling_playground(model, VOCABULARY, "to")
    before = bars(playground)
    playground.children[0].value = "to\n"
    assert "<svg" in bars(playground) != before


# --- the figures --------------------------------------------------------------------------------


def test_maps_are_squares_with_the_text_on_both_sides():
    maps = {"one": weights(1, 5)[0], "two": weights(2, 5)[1]}
    figures.who_reads_whom(maps, "a\nb c")
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["one", "two"]
    for ax, w in zip(axes, maps.values(), strict=True):
        assert ax.images[0].get_array().tolist() == w.tolist()
        for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
            assert [label.get_text() for label in labels] == ["a", "↵", "b", "·", "c"]


def test_each_scale_has_a_panel_of_weights():
    rows = {"sharp": torch.tensor([0.9, 0.1]), "flat": torch.tensor([0.5, 0.5])}
    figures.sharpness(rows)
    for ax, row in zip(plt.gcf().axes, rows.values(), strict=True):
        assert [bar.get_height() for bar in ax.patches] == pytest.approx(row.tolist())
        assert ax.get_ylim() == (0, 1)


def test_runs_are_told_apart_by_dash_and_smoothed():
    runs = {"a": [1.0, 3.0] * 30, "b": [2.0] * 60, "c": [3.0] * 60, "d": [4.0] * 60}
    figures.rungs(runs, {})
    lines = plt.gcf().axes[0].lines
    assert len({line.get_linestyle() for line in lines}) == 4
    assert lines[0].get_ydata() == pytest.approx([2.0] * len(lines[0].get_ydata()))
    assert max(lines[0].get_xdata()) == 60


def test_a_run_that_diverged_leaves_the_others_readable():
    figures.rungs({"fine": [3.0, 2.0] * 20, "diverged": [3.0, 30_000.0] * 20}, {})
    low, high = plt.gcf().axes[0].get_ylim()
    assert low < 2.5 < high < 5


def test_each_seed_is_a_dot_in_its_run_s_colour_on_an_axis_of_their_own():
    runs = {"a": [4.0] * 30, "b": [3.0] * 30, "c": [3.0] * 30}
    figures.rungs(runs, {"b": [2.2, 2.1], "c": [2.15]})
    left, right = plt.gcf().axes
    assert [list(line.get_ydata()) for line in right.lines] == [[2.2, 2.1], [2.15]]
    assert [line.get_color() for line in right.lines] == [line.get_color() for line in left.lines][
        1:
    ]
    low, high = right.get_ylim()
    assert high - low < 0.2, "the gap between 2.1 and 2.2 must be seen"


def test_a_turned_vector_is_an_arrow_a_position_and_scores_stand_against_the_distance():
    turned = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    figures.rotary(turned, [0, 1], {"here": [5.0, 4.0], "there": [5.0, 4.0]})
    left, right = plt.gcf().axes
    arrows = [text.xy for text in left.texts if text.arrow_patch is not None]
    assert arrows == [(1.0, 0.0), (0.0, 2.0)]
    assert [text.get_text() for text in left.texts if text.get_text()] == ["0", "1"]
    assert [list(line.get_ydata()) for line in right.lines] == [[5.0, 4.0]] * 2


@pytest.mark.parametrize(
    ("picture", "names"),
    [
        (figures.head(), ["query", "key", "value"]),
        (figures.many_heads(3), ["heads.0", "heads.1", "heads.2", "proj"]),
        (figures.block(), ["norm1", "attention", "norm2", "feed"]),
        (figures.network(), ["wte", "wpe", "h.0", "ln_f", "lm_head"]),
    ],
)
def test_a_diagram_names_what_is_learned_and_its_shape(picture, names):
    for name in names:
        assert re.search(
            rf'^"{re.escape(name)}" \[label="[^"]*\\n.+fillcolor="#dcebf7"', picture.dot, re.M
        )
    assert "(B, T, C)" in picture.dot
    assert len(picture.alt.split()) > 10


def test_the_names_in_the_network_s_diagram_are_those_of_the_state_dict(model):
    parts = {name.removeprefix("transformer.") for name in model.state_dict()}
    for name in ("wte", "wpe", "h.0", "h.1", "ln_f", "lm_head"):
        assert f'"{name}"' in figures.network().dot
        assert any(part.startswith(f"{name}.") for part in parts)


def test_strips_show_every_head_of_every_layer_from_one_position():
    maps = [weights(2, 6), weights(3, 6)]
    figures.what_heads_read(maps, "to be,", 3)
    ax = plt.gcf().axes[0]
    expected = [head[3, :4].tolist() for layer in maps for head in layer]
    assert ax.images[0].get_array().tolist() == expected
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["1.1", "1.2", "2.1", "2.2", "2.3"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["t", "o", "·", "b"]


def test_filters_show_the_likeliest_before_and_after():
    before = torch.tensor([0.1, 0.6, 0.3])
    figures.filters(before, {"top-k 1": torch.tensor([0.0, 1.0, 0.0])}, "ab\n", shown=2)
    ax = plt.gca()
    filled = [bar.get_height() for bar in ax.patches if bar.get_fill()]
    outlined = [bar.get_height() for bar in ax.patches if not bar.get_fill()]
    assert filled == pytest.approx([1.0, 0.0])
    assert outlined == pytest.approx([0.6, 0.3])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["b", "↵"]


def test_the_boards_of_the_family_show_who_may_read_whom():
    figures.family()
    encoder, decoder, cross = plt.gcf().subfigs[0].axes
    white = (1.0, 1.0, 1.0, 1.0)

    def closed(ax):
        return {
            (round(p.get_y()), round(p.get_x())) for p in ax.patches if p.get_facecolor() == white
        }

    assert not closed(encoder)
    assert not closed(cross)
    assert closed(decoder) == {(t, s) for t in range(4) for s in range(t + 1, 4)}
    assert [len(ax.patches) for ax in (encoder, decoder, cross)] == [9, 16, 12]


def test_the_live_curve_has_room_for_its_last_dot():
    trainer = SimpleNamespace(
        log=[{"step": 5}, {"step": 10}],
        losses=[3.0, 2.0],
        val_losses=[(10, 2.1)],
        step=10,
        config=SimpleNamespace(steps=10),
    )
    curve = LiveCurve()
    curve.picture(trainer)
    ax = curve._figure.axes[0]
    right_edge = ax.transData.transform((10, 2.1))[0] + curve._figure.dpi * 2 / 72  # radius 2 pt
    assert right_edge < ax.bbox.x1
