"""Lecture 08's figures, and the slider for the penalty."""

import math
import re

import matplotlib.pyplot as plt
import pytest
import torch

from zerotohero.course.plots import assistant as figures
from zerotohero.course.widgets.assistant import (
    penalty_ends,
    penalty_html,
    penalty_runs,
    penalty_slider,
)


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


def history(n, **first):
    return [{key: value + i for key, value in first.items()} for i in range(n)]


# --- figures --------------------------------------------------------------------------------------


def test_the_loss_mask_is_drawn_as_filled_boxes():
    pieces = [b"<|user|>", b' "Who', b"I", b"<|end|>"]
    drawing = figures.masked(pieces, [False, False, True, True], shown=3)
    filled = re.findall(r't(\d) \[label="(.*)", fillcolor="#f3c27a"\]', drawing.dot)
    assert filled == [("2", "I"), ("3", "<|end|>")]
    assert r'label="·\"Who"' in drawing.dot
    assert "rank=same; t0 -> t1 -> t2 }" in drawing.dot and "t0 -> t3" in drawing.dot
    assert "4 tokens in boxes, of which 2 are filled" in drawing.alt


def test_the_stages_and_the_loop_are_drawn_from_first_to_last():
    assert '"plays" -> "pretraining"' in figures.stages().dot
    assert '"reinforcement" -> "assistant"' in figures.stages().dot
    assert '"baseline" -> "policy"' in figures.loop().dot, "the loop is closed"


def test_rewards_are_grouped_by_true_score():
    rewards = torch.tensor([1.0, 2.0, 3.0, 10.0])
    figures.rewards(rewards, torch.tensor([-2.0, -2.0, 0.0, 1.0]), (-1, 1))
    ax = plt.gca()
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["below -1\n2", "-1 to 1\n1", "1 and more\n1"]
    medians = [line.get_ydata()[0] for line in ax.lines if line.get_linewidth() == 2]
    assert medians == [1.5, 3.0, 10.0]


def test_a_run_is_a_line_in_each_of_three_panels():
    runs = {
        "a": history(5, reward=0, score=1, divergence=2),
        "b": history(3, reward=9, score=9, divergence=9),
    }
    figures.runs(runs)
    axes = plt.gcf().axes
    titles = [ax.get_title() or ax.get_title(loc="left") for ax in axes]
    assert titles == ["reward", "true score", "divergence, nats"]
    assert [list(line.get_ydata()) for line in axes[1].lines] == [[1, 2, 3, 4, 5], [9, 10, 11]]


def test_best_of_n_is_a_line_and_models_are_marks():
    curve = [("1", 0.0, -0.4), ("2", math.log(2) - 0.5, 0.0)]
    figures.frontier(curve, {"policy": (3.0, 0.6), "DPO": (1.0, 0.1)})
    line, policy, dpo = plt.gca().lines
    assert list(line.get_ydata()) == [-0.4, 0.0]
    assert (policy.get_xdata()[0], policy.get_ydata()[0]) == (3.0, 0.6)
    assert dpo.get_label() == "DPO"


def test_pass_at_k_has_a_tick_for_each_k():
    figures.passes({"before": {1: 0.2, 4: 0.6}, "after": {1: 0.5, 4: 0.7}})
    ax = plt.gca()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "4"]
    assert [list(line.get_ydata()) for line in ax.lines] == [[0.2, 0.6], [0.5, 0.7]]


def test_shares_say_their_values_and_chance_is_a_line():
    figures.shares({"none": 0.5, "four": 0.875}, chance=0.5)
    ax = plt.gca()
    assert [bar.get_width() for bar in ax.patches] == [0.875, 0.5], "the first is at the top"
    assert [text.get_text() for text in ax.texts] == ["88%", "50%"]
    assert ax.lines[0].get_xdata()[0] == 0.5


# --- the penalty ----------------------------------------------------------------------------------


def test_the_runs_made_beforehand_are_whole_and_show_over_optimisation():
    runs, ends = penalty_runs(), penalty_ends()
    assert list(runs) == sorted(runs) and 0 in runs and 0.2 in runs
    assert len({len(run["history"]) for run in runs.values()}) == 1
    assert all(len(run["answers"]) == 6 for run in runs.values())
    lowest = min(step["score"] for step in runs[0]["history"])
    assert lowest < ends[0.2]["score"] - 0.4, "on the way; where it ends is chance"
    divergences = [end["divergence"] for end in ends.values()]
    assert divergences[0] == max(divergences) and divergences[-1] == min(divergences)


def test_the_end_of_a_run_is_the_mean_of_its_last_steps():
    last = penalty_runs()[0.2]["history"][-2:]
    assert penalty_ends(2)[0.2]["reward"] == pytest.approx(sum(s["reward"] for s in last) / 2)


def test_the_slider_shows_the_run_of_its_penalty():
    slider, page = penalty_slider().children
    assert slider.value == 0.2
    ends = penalty_ends()
    for beta, run in penalty_runs().items():
        slider.value = beta
        assert page.value == penalty_html(ends, beta, run["answers"])
        assert f">{ends[beta]['score']:.2f}<" in page.value


def test_bars_of_the_penalty_start_at_zero_and_answers_are_escaped():
    ends = {
        0.0: {"reward": 2.0, "score": -2.0, "divergence": 8.0},
        1.0: {"reward": 1.0, "score": 2.0, "divergence": 0.0},
    }
    page = penalty_html(ends, 0.0, [("<b>?", "No & yes")])
    bars = re.findall(r'<rect x="([\d.]+)" y="\d+" width="([\d.]+)"', page)
    assert [tuple(map(float, bar)) for bar in bars] == [(110, 340), (110, 170), (110, 340)]
    assert "&lt;b&gt;?" in page and "No &amp; yes" in page
