"""Lecture 08's widgets: the chat in a notebook, and an answer token by token."""

import re
import threading

import pytest
import torch

from chatting import briefly, partner
from zerotohero.course.widgets.assistant import (
    SHADES,
    WRITES,
    chat,
    steps,
    tokens,
    transcript_html,
    written,
)

ABC = "abcdefghijklmnopqrstuvwxyz"


def ended() -> None:
    """Wait until no answer is being written."""
    for thread in threading.enumerate():
        if thread.name == WRITES:
            thread.join()


def parts(box):
    """The page, the field, the three buttons and the rest of a chat."""
    page, field, buttons, *rest = box.children
    return page, field, *buttons.children, *rest


# --- the chat -----------------------------------------------------------------------------------


def test_an_answer_appears_as_it_is_written():
    page, field, send, stop, forget, *_ = parts(chat(partner()))
    pages = []
    page.observe(lambda change: pages.append(change["new"]), "value")
    field.value = "hello <b>"
    send.click()
    ended()
    assert "hello &lt;b&gt;" in page.value and f"</b>\n{ABC}</div>" in page.value
    assert f"</b>\n{ABC[:5]}</div>" in pages[4] and len(pages) >= 26, "letter by letter"
    assert field.value == "" and (send.disabled, stop.disabled, forget.disabled) == (0, 1, 0)


def test_a_stop_keeps_what_was_written_and_the_next_question_reads_it():
    endless = partner(last=None)
    page, field, send, stop, forget, *_ = parts(chat(endless))
    page.observe(lambda change: "abc" in change["new"] and stop.click(), "value")
    field.value = "hello"
    send.click()
    ended()
    assert "</b>\nabc</div>" in page.value and "Stopped." in page.value
    field.value = "again"
    send.click()
    ended()
    assert page.value.count("</b>\nabc") == 1 and page.value.count("<b>Model</b>") == 2
    forget.click()
    assert "hello" not in page.value and "This is the alphabet." in page.value


def test_while_it_writes_only_stop_can_be_pressed():
    page, field, send, stop, forget, *_ = parts(chat(partner()))
    seen = set()
    page.observe(lambda _: seen.add((send.disabled, stop.disabled, forget.disabled)), "value")
    field.value = "hello"
    send.click()
    ended()
    assert (True, False, True) in seen and len(seen) == 1


def test_temperature_and_what_it_is_told_are_the_next_answers():
    page, field, send, *_, told, heat = parts(chat(partner(block_size=120)))
    assert heat.value == 0.0
    field.value, told.value = "hello", "x" * 200
    send.click()
    ended()
    assert "this model reads at most 119: shorten it." in page.value and ABC not in page.value
    field.value, told.value = "hello", "Be brief."
    send.click()
    ended()
    assert ABC in page.value
    field.value = "  "
    send.click()
    ended()
    assert page.value.count("<b>Model</b>") == 1, "an empty turn is none"


def test_a_transcript_is_html_for_readers_without_a_kernel():
    turns = [{"role": "user", "content": "a<b"}, {"role": "assistant", "content": "c"}]
    page = transcript_html(turns, "n&m")
    assert "a&lt;b" in page and "n&amp;m" in page and page.count("<b>") == 2
    assert "<script" not in page and "background:white;color:#222" in page


# --- token by token -----------------------------------------------------------------------------


def test_steps_are_the_model_s_probabilities_of_each_token_of_an_answer():
    mine = partner()
    found = steps(mine, "hello", "abx")
    assert [step.text for step in found] == ["a", "b", "x", "end of answer"]
    prompt = mine.prompt([{"role": "user", "content": "hello"}])
    for n, step in enumerate(found):
        idx = torch.tensor([[*prompt, *mine.encode("abx")[:n]]])
        with torch.no_grad():
            expected = mine.model(idx)[0, -1].softmax(-1)
        torch.testing.assert_close(step.probs, expected)
    assert found[1].p > 0.9 and found[2].p < 0.05
    assert found[-1].token in mine.stop


def test_without_an_answer_the_model_writes_one():
    assert written(partner(), "hello") == ABC
    assert written(partner(last=None), "hello", longest=30) == ABC + "abcd"
    box = tokens(partner(), "hello")
    _, said, _, slider, page = box.children
    assert said.value == ABC and slider.max == len(ABC) + 1
    assert page.value.count("<span") == slider.max + len(SHADES)


def test_the_slider_steps_and_the_bars_show_what_else_could_stand_there():
    _, said, _, slider, page = tokens(partner(), "hello", "abx").children
    slider.value = 2
    assert re.search(r"outline:2px[^>]*>b</span>", page.value)
    assert re.search(r"“b” had [\d.]+%, as number 1 of all tokens", page.value)
    assert page.value.count("<rect") == 8
    slider.value = 3
    assert re.search(r"“x” had [\d.]+%, as number \d+ of all tokens", page.value)
    assert page.value.count("<rect") in (8, 9) and ">1. c</text>" in page.value
    slider.value = 4
    said.value = "a"  # two tokens with the end: the slider stays where there is one
    assert slider.max == 2 and "“end of answer” had" in page.value


def test_what_is_surprising_has_another_colour_than_what_is_not():
    page = tokens(partner(), "hello", "abx").children[-1].value
    found = re.findall(r"background:(#\w+);color:#111;padding:1px[^>]*>(\w)</span>", page)
    colours = {letter: colour for colour, letter in found}
    assert colours["b"] == SHADES[0][1] and colours["x"] == SHADES[-1][1]


def test_what_has_no_room_or_no_answer_is_said_and_can_be_mended():
    box = tokens(briefly(partner(block_size=130), 9), "hello", "abc")
    _, said, _, _, page = box.children
    said.value = "a" * 99
    assert "the context has room for 130: shorten them." in page.value
    said.value = ""
    assert "Type an answer, or let the model write one." in page.value
    said.value = "ab"
    assert "” had" in page.value


@pytest.mark.parametrize("shade", [colour for _, colour in SHADES])
def test_tokens_can_be_read_on_their_ground(shade):
    parts = [int(shade[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    light = sum(
        w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
        for w, c in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
    )
    assert (light + 0.05) / (0.0056 + 0.05) >= 7  # #111's own luminance
