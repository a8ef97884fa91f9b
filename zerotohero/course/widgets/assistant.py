"""Lecture 08's widgets: a chat, an answer token by token, and a slider for the penalty.

An answer is written in a thread of its own, or the kernel could not hear the button that stops it.
"""

import html
import json
import threading
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import ipywidgets as widgets
import torch

from zerotohero.course.chat.conversation import Conversation
from zerotohero.course.chat.partner import Partner, load
from zerotohero.course.plots import BLUE, GREEN
from zerotohero.course.plots.tokenizer import sign

CARD = "background:white;color:#222;padding:10px;font:14px/1.5 sans-serif;max-width:720px"
# What is longer is scrolled, and stays at its end while it grows, without any script.
SCROLL = "max-height:420px;overflow-y:auto;display:flex;flex-direction:column-reverse"
TURN = "margin:6px 0;padding:6px 10px;white-space:pre-wrap;overflow-wrap:anywhere"
WHO = {"user": "You", "assistant": "Model"}
WRITES = "zerotohero chat"  # the name of the thread that writes an answer
WIDE = {"layout": {"width": "95%"}, "style": {"description_width": "110px"}}
# A token's ground, by how probable it was: from this share on. Each carries #111 with 8 to 1.
SHADES = ((0.9, "#dcebf7"), (0.5, "#a9cde8"), (0.2, "#f6e6b4"), (0.05, "#f3c27a"), (0.0, "#ef9f7d"))
SHOWN = 8  # alternatives


def chat(partner: Partner | None = None) -> widgets.VBox:
    """Return a chat with a partner, or with SmolLM2: a field, and buttons to send, stop, forget.

    The answer appears as it is written. What was written before a stop stays, and is read with the
    next question. Raises what `partner.load` does.
    """
    talk = Conversation(partner or load())
    partner, stopped = talk.partner, threading.Event()
    page = widgets.HTML()
    field = widgets.Textarea(placeholder="Your turn", rows=2, **WIDE)
    told = widgets.Text(description="told beforehand", **WIDE)
    heat = widgets.FloatSlider(
        talk.temperature, min=0, max=2, step=0.05, description="temperature", **WIDE
    )
    send = widgets.Button(description="send", button_style="primary")
    stop = widgets.Button(description="stop", disabled=True)
    forget = widgets.Button(description="forget all")

    def show(note: str = "") -> None:
        turns = transcript_html(talk.turns, note or partner.says)
        page.value = f'<div style="{SCROLL}">{turns}</div>'

    def write(text: str) -> None:
        note = ""
        try:
            with closing(talk.answer(text)) as answer:
                for said in answer:
                    note = said.note or note
                    if said.text or said.note:
                        show(note)
                    if stopped.is_set():
                        note = "Stopped."
                        break
        except ValueError as error:
            note = str(error)
        finally:
            show(note)
            send.disabled, stop.disabled, forget.disabled = False, True, False

    def ask(_) -> None:
        text = field.value
        if not (text.strip() or not partner.answers):
            return
        field.value, talk.temperature = "", heat.value
        talk.system = told.value.strip() or None
        stopped.clear()
        send.disabled, stop.disabled, forget.disabled = True, False, True
        threading.Thread(target=write, args=(text,), name=WRITES, daemon=True).start()

    def reset(_) -> None:
        talk.reset()
        show()

    send.on_click(ask)
    stop.on_click(lambda _: stopped.set())
    forget.on_click(reset)
    show()
    controls = [field, widgets.HBox([send, stop, forget]), *[told] * partner.system, heat]
    return widgets.VBox([page, *controls])


def transcript_html(turns: Iterable[Mapping[str, str]], note: str = "") -> str:
    """Return turns, each with role and content, as HTML, for readers without a kernel, too."""
    parts = []
    for turn in turns:
        ground = "#eef3f8" if turn["role"] == "user" else "white"
        who = WHO.get(turn["role"], turn["role"])
        parts.append(
            f'<div style="{TURN};background:{ground}"><b>{html.escape(who)}</b>\n'
            f"{html.escape(turn['content'])}</div>"
        )
    if note:
        parts.append(f'<div style="color:#555">{html.escape(note)}</div>')
    return f'<div style="{CARD}">{"".join(parts)}</div>'


# --- token by token -----------------------------------------------------------------------------


class Step(NamedTuple):
    """A token of an answer, and what the model thought of all tokens before it was there."""

    token: int
    text: str
    probs: torch.Tensor  # (V,)

    @property
    def p(self) -> float:
        return self.probs[self.token].item()


def tokens(partner: Partner, question: str, answer: str | None = None) -> widgets.VBox:
    """Return an answer token by token: coloured by probability, with the alternatives in bars.

    Without an answer, the model writes one, always its likeliest token. Type another answer, and
    see what the model thinks of it; the slider steps through it. What can't be read is said in the
    widget.
    """
    asked = widgets.Text(question, description="question", **WIDE)
    said = widgets.Textarea(answer or "", description="answer", rows=2, **WIDE)
    write = widgets.Button(description="let it answer")
    slider = widgets.IntSlider(min=1, max=1, description="token", **WIDE)
    page = widgets.HTML()
    found: list[Step] = []

    def show(_=None) -> None:
        if found:
            page.value = steps_html(found, min(slider.value, len(found)) - 1, partner)

    def read(_=None) -> None:
        try:
            found[:] = steps(partner, asked.value, said.value)
        except ValueError as error:
            found.clear()
            page.value = f'<div style="{CARD}">{html.escape(str(error))}</div>'
            return
        slider.max = len(found)
        show()

    def let_it(_=None) -> None:
        try:
            said.value = written(partner, asked.value)
        except ValueError as error:
            page.value = f'<div style="{CARD}">{html.escape(str(error))}</div>'
            return
        read()

    said.observe(read, "value")
    slider.observe(show, "value")
    write.on_click(let_it)
    read() if answer else let_it()
    return widgets.VBox([asked, said, widgets.HBox([write]), slider, page])


def written(partner: Partner, question: str, longest: int = 60) -> str:
    """Return what the model answers, always its likeliest token.

    ValueError where so many tokens have no room behind the question.
    """
    prompt = _prompt(partner, question, longest)
    ids = partner.model.generate([prompt], longest, temperature=0, stop=partner.stop)[0]
    return partner.decode([token for token in ids[len(prompt) :] if token not in partner.stop])


@torch.no_grad()
def steps(partner: Partner, question: str, answer: str) -> list[Step]:
    """Return the tokens of an answer with their probabilities, and of an assistant's also its end.

    ValueError for no answer, and where both together have no room in the context.
    """
    ids = [*partner.encode(answer), *sorted(partner.stop)[: partner.answers]]
    if not answer:
        raise ValueError("Type an answer, or let the model write one.")
    prompt = _prompt(partner, question, len(ids))
    idx = torch.tensor([[*prompt, *ids[:-1]]], device=partner.model.device)
    probs = partner.model(idx)[0, len(prompt) - 1 :].float().softmax(-1).cpu()
    return [Step(i, _sign(partner, i), p) for i, p in zip(ids, probs, strict=True)]


def _prompt(partner: Partner, question: str, more: int) -> list[int]:
    prompt = partner.prompt([{"role": "user", "content": question}])
    if len(prompt) + more > partner.block_size:
        raise ValueError(
            f"Question and answer are {len(prompt) + more:,} tokens, and the context has room for "
            f"{partner.block_size:,}: shorten them."
        )
    return prompt


def _sign(partner: Partner, token: int) -> str:
    return "end of answer" if token in partner.stop else sign(partner.decode([token]).encode())


def steps_html(found: list[Step], at: int, partner: Partner) -> str:
    """Return the tokens as coloured words, that number `at` framed, with its alternatives below."""
    words = []
    for i, step in enumerate(found):
        shade = next(colour for share, colour in SHADES if step.p >= share)
        frame = "outline:2px solid #111;" if i == at else ""
        words.append(
            f'<span style="{frame}background:{shade};color:#111;padding:1px 2px;margin:1px;'
            f'border-radius:3px;white-space:pre-wrap" title="{step.p:.1%}">'
            f"{html.escape(step.text)}</span>" + "<br>" * step.text.endswith("↵")
        )
    legend = " ".join(
        f'<span style="background:{colour};color:#111;padding:0 6px">'
        f"{f'{share:.0%} and more' if share else 'less'}</span>"
        for share, colour in SHADES
    )
    return (
        f'<div style="{CARD}"><div style="font:14px/1.9 monospace">{"".join(words)}</div>'
        f'<div style="font-size:12px;margin:8px 0">{legend}</div>{_bars(found[at], partner)}</div>'
    )


def _bars(step: Step, partner: Partner) -> str:
    """Return the likeliest tokens as bars, and the one that stands there, whatever its rank."""
    ranked = step.probs.argsort(descending=True).tolist()
    top = ranked[:SHOWN]
    rank = ranked.index(step.token)
    shown = top if step.token in top else [*top, step.token]
    rows = []
    for i, token in enumerate(shown):
        p, y = step.probs[token].item(), 20 * i
        colour = GREEN if token == step.token else BLUE
        place = f"{rank + 1}. " if token == step.token else f"{i + 1}. "
        name = html.escape(_sign(partner, token))
        rows.append(
            f'<text x="150" y="{y + 14}" text-anchor="end" font-family="monospace" font-size="13" '
            f'fill="#222">{place}{name}</text>'
            f'<rect x="158" y="{y + 3}" width="{max(1, 380 * p):.1f}" height="14" fill="{colour}"/>'
            f'<text x="{164 + 380 * p:.1f}" y="{y + 14}" font-size="12" fill="#222">{p:.1%}</text>'
        )
    label = f"“{html.escape(step.text)}” had {step.p:.1%}, as number {rank + 1} of all tokens"
    return (
        f'<svg role="img" aria-label="{label}" width="600" height="{20 * len(shown) + 4}" '
        f'style="display:block;background:white;max-width:100%">{"".join(rows)}</svg>{label}.'
    )


# --- the penalty ----------------------------------------------------------------------------------


def penalty_runs() -> dict[float, dict]:
    """Return runs of the policy gradient that were made beforehand, by their penalty.

    Each has a "history", of each step its reward, divergence and true score, and "answers", pairs
    of a question and what the run's model said to it in the end. `benchmarks/penalties.py` makes
    them.
    """
    text = Path(__file__).with_name("penalties.json").read_text(encoding="utf-8")
    return {float(beta): run for beta, run in json.loads(text).items()}


def penalty_ends(steps: int = 6) -> dict[float, dict[str, float]]:
    """Return the means of each run's last steps, by its penalty."""
    ends = {}
    for beta, run in penalty_runs().items():
        last = run["history"][-steps:]
        ends[beta] = {key: sum(step[key] for step in last) / len(last) for key in last[0]}
    return ends


def penalty_slider() -> widgets.VBox:
    """Return the runs under a slider for the penalty: where each ended, and what it says."""
    found, ends = penalty_runs(), penalty_ends()
    slider = widgets.SelectionSlider(
        options=[(f"{beta:g}", beta) for beta in found], value=0.2, description="penalty β", **WIDE
    )
    page = widgets.HTML()

    def show(_=None) -> None:
        page.value = penalty_html(ends, slider.value, found[slider.value]["answers"])

    slider.observe(show, "value")
    show()
    return widgets.VBox([slider, page])


def penalty_html(
    ends: Mapping[float, Mapping[str, float]], beta: float, answers: Iterable[tuple[str, str]]
) -> str:
    """Return bars of where a run ended, on the scale of all runs, and its answers."""
    rows = []
    for i, (key, title) in enumerate(
        {"reward": "reward", "score": "true score", "divergence": "divergence"}.items()
    ):
        values = [end[key] for end in ends.values()]
        low, high = min(0, *values), max(0, *values)
        scale = 340 / ((high - low) or 1)
        value, zero = ends[beta][key], 110 - low * scale
        start, width = min(zero, zero + value * scale), max(1, abs(value) * scale)
        y = 26 * i
        rows.append(
            f'<text x="100" y="{y + 17}" text-anchor="end" font-size="13" fill="#222">{title}'
            f'</text><rect x="{start:.1f}" y="{y + 4}" width="{width:.1f}" height="18" '
            f'fill="{BLUE}"/><text x="470" y="{y + 17}" font-size="13" fill="#222">{value:.2f}'
            "</text>"
        )
    said = "".join(
        f"<tr><td style='padding:2px 12px 2px 0'>{html.escape(question)}</td>"
        f"<td>{html.escape(text)}</td></tr>"
        for question, text in answers
    )
    label = ", ".join(f"{key} {value:.2f}" for key, value in ends[beta].items())
    return (
        f'<div style="{CARD}"><svg role="img" aria-label="penalty {beta:g}: {label}" width="530" '
        f'height="80" style="display:block;background:white;max-width:100%">{"".join(rows)}</svg>'
        f'<table style="color:#222;background:white">{said}</table></div>'
    )
