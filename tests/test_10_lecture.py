"""Lecture 10's figures and its widget: what they show, and that they move."""

import re

import matplotlib.pyplot as plt
import pytest

from zerotohero import costs
from zerotohero.course.plots import gpt2 as figures
from zerotohero.course.widgets.gpt2 import bill_html, planner, said, time_said
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.scaling import HOFFMANN, Point
from zerotohero.training.machine import PEAKS


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


# --- diagrams -------------------------------------------------------------------------------------


def test_the_block_s_names_and_shapes_are_those_of_the_files(tmp_path):
    from safetensors.torch import load_file

    C = 8
    GPT(GPTConfig(20, 4, n_layer=1, n_head=2, n_embd=C)).save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    shown = re.findall(r'^"([\w.]+)" \[label="[^"]*\\n\(([^)]*)\)"', figures.block().dot, re.M)
    assert len(shown) == 6
    for name, shape in shown:
        sizes = {"C": C, "3C": 3 * C, "4C": 4 * C}
        expected = tuple(sizes[part.strip()] for part in shape.split(",") if part.strip())
        assert tuple(stored[f"transformer.h.0.{name}.weight"].shape) == expected, name


@pytest.mark.parametrize("picture", [figures.data_parallel(), figures.sharded()])
def test_two_processes_stand_side_by_side_and_alike(picture):
    for i in (0, 1):
        assert f'"process {i}" [label=' in picture.dot
        assert len(re.findall(rf'^"process {i}" -> "all-', picture.dot, re.M)) == 1
    assert len(re.findall(r'-> "update', picture.dot)) == 2
    assert len(picture.alt.split()) > 20


# --- plots ----------------------------------------------------------------------------------------


def test_each_depth_has_a_line_on_both_sides():
    figures.residual_paths({2: [0.1] * 5, 4: [0.2] * 9}, {2: [0.1] * 5, 4: [0.1] * 9})
    left, right = plt.gcf().axes
    assert [len(line.get_xdata()) for line in left.lines] == [5, 1, 9, 1]
    assert left.get_ylim() == right.get_ylim()


def test_runs_on_one_batch_are_drawn_under_the_loss_of_knowing_nothing():
    figures.one_batch({"a": [3.0, 1.0], "b": [3.0, 2.0]}, 3.0)
    a, b, nothing = plt.gca().lines
    assert (list(a.get_ydata()), list(b.get_ydata())) == ([3.0, 1.0], [3.0, 2.0])
    assert a.get_linestyle() != b.get_linestyle()
    assert list(nothing.get_ydata()) == [3.0, 3.0]


def test_rates_are_shares_of_their_highest():
    figures.schedules({"a": ([0, 10**9], [0.0, 4.0]), "b": ([0, 10**9], [2.0, 1.0])})
    a, b = plt.gca().lines
    assert list(a.get_ydata()) == [0.0, 1.0]
    assert list(b.get_ydata()) == [1.0, 0.5]
    assert list(b.get_xdata()) == [0.0, 1.0]


def test_the_bars_of_memory_are_as_tall_as_its_parts():
    parts = {"weights": 1, "optimiser": 2, "gradients": 3, "activations": 4, "logits": 5}
    parts = {name: n * 10**9 for name, n in parts.items()}
    half = {name: n // 2 for name, n in parts.items()}
    figures.memory(parts, {"DDP": [parts, parts], "sharded": [parts, half]})
    right = plt.gcf().axes[1]
    tops = {}
    for bar in right.patches:
        x = round(bar.get_x(), 3)
        tops[x] = max(tops.get(x, 0), bar.get_y() + bar.get_height())
    assert sorted(tops.values()) == pytest.approx([7.5, 15, 15, 15])
    assert [text.get_text() for text in right.texts] == ["D", "D", "s", "s"]


def test_every_seed_of_a_recipe_is_a_line_and_the_oldest_s_best_is_marked():
    figures.race({"old": [[(1, 4.0), (2, 3.0)], [(1, 4.0), (2, 3.5)]], "new": [[(1, 2.0)]]}, 2.0)
    *lines, best = plt.gca().lines
    assert [list(line.get_ydata()) for line in lines] == [[2.0, 1.5], [2.0, 1.75], [1.0]]
    assert best.get_ydata()[0] == 1.5


def test_curves_and_their_envelope_share_the_axes():
    curves = {5: [(1.0, 3.0), (10.0, 2.0)], 50: [(5.0, 3.0), (100.0, 1.5)]}
    figures.falling(curves, [(1.0, 3.0, 5), (100.0, 1.5, 50)])
    *drawn, best = plt.gca().lines
    assert [list(line.get_ydata()) for line in drawn] == [[3.0, 2.0], [3.0, 1.5]]
    assert list(best.get_ydata()) == [3.0, 1.5]


def test_points_that_the_law_has_not_seen_are_hollow():
    seen = [Point(10**4, 10**6, 1.0, 2.0), Point(10**5, 10**6, 1.0, 1.8)]
    figures.law(seen, HOFFMANN, [Point(10**5, 4 * 10**6, 1.0, 1.7)])
    dots = [line for line in plt.gca().lines if len(line.get_xdata()) == 1]
    assert [list(line.get_ydata()) for line in dots] == [[2.0], [1.8], [1.7]]
    assert [line.get_markerfacecolor() == "white" for line in dots] == [False, False, True]


def test_the_best_of_a_budget_is_the_lowest_point_of_its_line():
    figures.budgets(HOFFMANN, {"a": 1e21}, {"m": (1e9, 1e11)})
    line, best, model = plt.gca().lines
    assert best.get_ydata()[0] <= min(line.get_ydata())
    assert best.get_ydata()[0] == pytest.approx(min(line.get_ydata()), abs=1e-3)
    assert model.get_ydata()[0] == pytest.approx(HOFFMANN.loss(1e9, 1e11))


# --- the widget -----------------------------------------------------------------------------------


def test_the_bill_is_that_of_the_library():
    page = bill_html(1e9, 2e10, 8)
    hours = costs.hours(1.2e20, 8 * PEAKS["H100"], 0.4)
    assert "1.2e+20" in page
    assert time_said(hours) in page
    assert f"{HOFFMANN.loss(1e9, 2e10):.2f}" in page
    assert "20 tokens a parameter" in page
    assert f"{18 / 8:,.1f} GB" in page


def test_more_devices_cost_the_same_and_take_less_time():
    one, eight = bill_html(1e9, 2e10, 1), bill_html(1e9, 2e10, 8)
    price = re.compile(r"[\d,]+ €, at")
    assert price.search(one).group() == price.search(eight).group()
    assert one != eight


def test_every_slider_moves_the_page():
    plan = planner()
    *sliders, page = plan.children
    pages = {page.value}
    for slider in sliders:
        slider.value += 1
        pages.add(page.value)
    assert len(pages) == 4


def test_the_planner_begins_with_gpt_2():
    assert "126 million parameters, 10 billion tokens" in planner().children[-1].value


@pytest.mark.parametrize(
    ("number", "words"),
    [(1.24e8, "124 million"), (1.4e12, "1.4 trillion"), (65e9, "65 billion"), (2e3, "2,000")],
)
def test_numbers_are_said_in_words(number, words):
    assert said(number) == words


@pytest.mark.parametrize(
    ("hours", "words"),
    [(0.5, "30 minutes"), (3, "3.0 hours"), (48, "2.0 days"), (24 * 730, "2.0 years")],
)
def test_times_are_said_in_the_unit_that_suits_them(hours, words):
    assert time_said(hours) == words
