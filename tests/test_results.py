"""The table of results: figures under one another, what is new is marked, a slip is named."""

import re

import pytest

from zerotohero.course import Results


@pytest.fixture
def results():
    return Results("what", train_loss=".3f", seconds=".1f").add("counting", train_loss=2.45444)


def test_figures_stand_under_one_another(results):
    results.add("a network", train_loss=12.5, seconds=3)
    head, first, second = repr(results).splitlines()
    assert head.split() == ["what", "train", "loss", "seconds"]
    assert first.index("2.454") + 5 == second.index("12.500") + 6 == head.index("loss") + 4
    assert "text-align:right" in results._repr_mimebundle_()["text/html"]


def test_rows_are_marked_until_they_were_shown(results):
    def marked():
        bundle = results._repr_mimebundle_()
        rows = re.findall(r"<tr>.*?</tr>", bundle["text/html"])[1:]
        plain = [line.startswith("> ") for line in bundle["text/plain"].splitlines()[1:]]
        assert ["border-left" in row for row in rows] == plain
        return plain

    assert marked() == [True]
    results.add("a network", train_loss=2.3)
    results.add("another", train_loss=2.2)
    assert marked() == [False, True, True]
    assert marked() == [False, False, False]


def test_a_row_gives_its_figures_back_unrounded(results):
    assert results[-1].train_loss == 2.45444
    assert results[0].seconds is None
    assert len(results) == 1


def test_a_figure_without_a_column_is_named(results):
    with pytest.raises(ValueError, match="no column dev_loss; the columns are train_loss, seconds"):
        results.add("x", dev_loss=1.0)
    assert len(results) == 1


def test_a_name_is_text_and_no_markup(results):
    results.add("<b>bold</b>")
    assert "&lt;b&gt;" in results._repr_mimebundle_()["text/html"]


def test_what_is_rounded_to_zero_has_no_sign():
    table = Results("what", score=".2f", share=".0%", count=",")
    table.add("a", score=-0.001, share=-0.004, count=0).add("b", score=-0.01, share=-0.01, count=-1)
    table.add("c", score=float("-inf"))
    assert [row.split() for row in repr(table).splitlines()[1:]] == [
        [">", "a", "0.00", "0%", "0"],
        [">", "b", "-0.01", "-1%", "-1"],
        [">", "c", "-inf"],
    ]
