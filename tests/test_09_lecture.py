"""Lecture 09's figures and widgets, and the merges that its exercises are judged by."""

import re

import matplotlib.pyplot as plt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerotohero.byte_pairs import learn_merges
from zerotohero.course.checks.tokenizer.shared import learn, learn_fast
from zerotohero.course.plots import tokenizer as figures
from zerotohero.course.widgets.tokenizer import (
    column_html,
    merge_replay,
    stage_html,
    tokenizer_playground,
)
from zerotohero.tokenizer import BytePairs, Tokenizer

TEXT = "she sells sea shells"


@pytest.fixture
def pairs():
    return BytePairs.learn(TEXT, 256 + 6)


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


def words(ax) -> str:
    return "".join(text.get_text() for text in ax.texts)


# --- figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        (b" egg", "·egg"),
        (b"\n", "↵"),
        (b"\x00", "⟨00⟩"),
        ("é".encode(), "é"),
        ("字".encode()[:2], "⟨E5 AD⟩"),
    ],
)
def test_a_token_is_shown_as_signs_or_bytes(piece, shown):
    assert figures.sign(piece) == shown


def test_coloured_tokens_hold_all_letters_and_say_how_many(pairs):
    figures.coloured({"bytes": BytePairs(), "pairs": pairs}, TEXT)
    said = words(plt.gca())
    assert f"bytes: {len(TEXT)} tokens" in said
    assert f"pairs: {len(pairs.encode(TEXT))} tokens" in said
    assert said.count(TEXT.replace(" ", "·")) == 2


def test_a_row_of_the_replay_has_a_box_for_each_token(pairs):
    pieces = pairs.pieces(pairs.encode(TEXT))
    figures.replay([("s + e", pieces)])
    assert len(plt.gca().patches) == len(pieces)
    assert f"{len(pieces)} tokens" in words(plt.gca())


def test_one_merge_joins_each_pair_once():
    drawing = figures.one_merge("aaab", ("a", "a"), "aa")
    assert drawing.dot.count('-> "aa#new0"') == 2
    assert '"a#old2" -> "a#new2"' in drawing.dot
    assert "At 1 places" in drawing.alt


def test_the_tree_splits_a_token_down_to_its_bytes(pairs):
    token = max(range(len(pairs)), key=lambda i: len(pairs.vocab[i]))
    drawing = figures.merge_tree(pairs, token)
    piece = pairs.vocab[token]
    assert drawing.dot.count(" -> ") == 2 * (len(piece) - 1), "n leaves, n − 1 merges"
    assert f"\\n{token}" in drawing.dot


def test_numbers_are_coloured_by_how_they_are_cut():
    cuts = [(4,), (2, 2), (1, 3), (3, 1), (1, 2, 1)] * 2000
    figures.integers({"x": cuts})
    grid = plt.gcf().axes[0].images[0].get_array()
    assert grid.shape == (100, 100)
    assert grid[0, :5].tolist() == [0, 1, 2, 3, 4]


def test_bars_are_the_counts_and_the_first_language_is_the_measure():
    figures.languages({"English": {"a": 3, "b": 2}, "Hindi": {"a": 30, "b": 5}})
    ax = plt.gca()
    assert [bar.get_height() for bar in ax.patches] == [3, 30, 2, 5]
    assert ax.lines[0].get_ydata()[0] == 3


# --- widgets --------------------------------------------------------------------------------------


def test_a_token_says_its_number_bytes_and_count(pairs):
    page = column_html("mine", pairs, "she she")
    token = pairs.encode("she she")[0]
    hexed = pairs.piece(token).hex(" ")
    count = pairs.encode("she she").count(token)
    assert f"token {token}: bytes {hexed}, {count} × in this text" in page


def test_what_is_typed_is_escaped_and_never_special():
    tokenizer = Tokenizer(special=["<|end|>"])
    page = column_html("<x>", tokenizer, "<|end|>")
    assert "7 tokens, 7 bytes" in page
    assert "&lt;x&gt;" in page
    assert "<x>" not in page
    assert "token 256" not in page


def test_the_playground_follows_what_is_typed(pairs):
    playground = tokenizer_playground({"bytes": BytePairs(), "pairs": pairs}, "she")
    box, page = playground.children
    assert "3 tokens, 3 bytes" in page.value
    assert page.value.count("flex:1 1") == 2
    box.value = "字"
    assert page.value.count("3 tokens, 3 bytes") == 2
    assert "⟨E5⟩" in page.value
    box.value = ""
    assert page.value.count("no text") == 2


def test_the_replay_goes_from_bytes_to_the_last_merge():
    slider, page = merge_replay(TEXT, 5).children
    learned = BytePairs.learn(TEXT, 261)
    assert slider.max == 5
    for n in range(6):
        slider.value = n
        assert stage_html(learned, TEXT, n) in page.value
        tokens = len(BytePairs(learned.vocab[: 256 + n]).encode(TEXT))
        assert f"; {tokens} tokens" in page.value
        assert len(re.findall("<span", page.value)) == tokens


def test_the_replay_of_a_text_with_few_pairs_is_shorter():
    assert merge_replay("abab", 30).children[0].max == 2


def test_the_replay_refuses_an_empty_text():
    with pytest.raises(ValueError, match="no text"):
        merge_replay("")


# --- exercises ------------------------------------------------------------------------------------


@given(
    st.lists(st.text("abé", min_size=1, max_size=12), min_size=1, max_size=12), st.integers(0, 20)
)
def test_the_exercises_ask_for_the_librarys_merges(words, n):
    octets = [word.encode() for word in words]
    counts = {word: octets.count(word) for word in octets}
    right = [list(pair) for pair in learn_merges(counts, n, ties="lowest")]
    assert learn(octets, n) == right
    assert learn_fast(octets, n)[0] == right
