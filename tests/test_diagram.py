"""Diagrams: what is learned looks so, shapes stand on arrows, a slip is named."""

import re

import pytest

from zerotohero.course.plots.diagram import diagram

NETWORK = """
    xb -> wte : (B, T)
    wte -> + : (B, T, C)
    wpe -> +
    + -> +#2 -> logits
"""


def drawn(**options):
    return diagram(NETWORK, alt="A small network.", **options)


def test_arrows_carry_what_flows_and_a_chain_is_an_arrow_each():
    dot = drawn().dot
    assert re.search(r'"xb" -> "wte" \[label="\s*\(B, T\)\s*"\]', dot)
    assert len(re.findall(" -> ", dot)) == 5
    assert '"+" -> "+#2"' in dot and '"+#2" -> "logits"' in dot


def test_a_parameter_has_its_shape_and_another_look():
    boxes = dict(
        re.findall(r'^"(\S+)" (\[label=.*\]);$', drawn(parameters={"wte": "(V, C)"}).dot, re.M)
    )
    assert "wte\\n(V, C)" in boxes["wte"]
    look = {name: box.partition(",")[2] for name, box in boxes.items()}
    assert look["wpe"] == look["logits"] != look["wte"]
    assert boxes["+#2"] == boxes["+"] and "circle" in boxes["+"]


def test_the_picture_says_in_words_what_it_shows():
    assert 'alt="A small network."' in drawn()._repr_html_()


def test_a_frame_holds_its_boxes():
    dot = drawn(frames={"embedding": ["wte", "wpe", "+"]}).dot
    frame = re.search(r"subgraph cluster_0 \{(.*?)\n\}", dot, re.S)[1]
    assert "embedding" in frame and '"wpe"' in frame and '"logits"' not in frame


@pytest.mark.parametrize(
    "arrows, options, message",
    [
        ("a b : (B,)", {}, "is no arrow"),
        ("a -> : (B,)", {}, "is no arrow"),
        ("a -> b", {"parameters": {"c": "(V,)"}}, "No arrow leads to or from 'c'"),
        ("a -> b", {"frames": {"f": ["d"]}}, "No arrow leads to or from 'd'"),
    ],
)
def test_a_slip_is_named(arrows, options, message):
    with pytest.raises(ValueError, match=message):
        diagram(arrows, alt="", **options)
