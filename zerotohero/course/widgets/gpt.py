"""Lecture 07's widgets: what trained heads look at, and a playground for sampling."""

import html

import ipywidgets as widgets
import torch
from jaxtyping import Float
from torch import Tensor

from zerotohero.course.plots import BLACK, BLUE
from zerotohero.course.plots.gpt import visible
from zerotohero.generation import next_token_probs
from zerotohero.gpt import GPT
from zerotohero.text import Characters

CELL, LINE, LEFT = 14, 30, 62  # pixels of a character, of a head's line, of the labels
FAINT = 0.02  # weights below this are not drawn
CARD = "background:white;color:#222;padding:8px;font:13px sans-serif"

# What is under the pointer shows its weights; with the pointer elsewhere, the chosen one does.
# No script is needed, so it works wherever HTML is shown.
HOVER = """<style>
.zth-heads .at .row {display: none; pointer-events: none}
.zth-heads .at:hover .row, .zth-heads .chosen .row {display: inline}
.zth-heads:hover .chosen:not(:hover) .row {display: none}
.zth-heads text {pointer-events: none}
</style>"""


def attention_explorer(model: GPT, vocabulary: Characters, text: str) -> widgets.VBox:
    """Show what each head of a trained model looks at, from any character of `text`.

    Each line is a head of the chosen layer. Rest the pointer on a character, in any line: the
    darker another one is, the more the head reads of it from there. The slider chooses the
    character that is shown while the pointer is elsewhere.

    Raises ValueError if the text is empty, longer than the model's context, or has characters
    that are not in the vocabulary.
    """
    idx = vocabulary.encode(text)
    if not 1 <= len(idx) <= model.config.block_size:
        raise ValueError(
            f"The text has {len(idx)} characters; show at least 1 and at most the model's "
            f"context, {model.config.block_size}."
        )
    maps = [layer[0].cpu() for layer in model.attention_maps(idx[None].to(model.device))]
    layer = widgets.ToggleButtons(
        options=[(f"layer {i + 1}", i) for i in range(len(maps))],
        style={"button_width": "70px"},
    )
    position = widgets.IntSlider(
        value=len(text) - 1, min=0, max=len(text) - 1, description="position", readout=False
    )
    page = widgets.HTML()

    def show(_=None) -> None:
        page.value = heads_html(maps[layer.value], text, position.value)

    layer.observe(show, "value")
    position.observe(show, "value")
    show()
    return widgets.VBox([layer, position, page])


def heads_html(weights: Float[Tensor, "H T T"], text: str, position: int) -> str:
    """Draw the text once for each head, as HTML; the column under the pointer asks."""
    signs = [html.escape(sign) for sign in visible(text)]
    H, height = len(weights), LINE * len(weights) + 4
    columns = []
    for t, sign in enumerate(signs):
        marks = "".join(
            f'<rect x="{LEFT + CELL * s}" y="{LINE * h + 3}" width="{CELL}" height="{LINE - 6}" '
            f'fill="{BLUE}" opacity="{weight:.2f}"/>'
            for h in range(H)
            for s, weight in enumerate(weights[h, t, : t + 1].tolist())
            if weight >= FAINT
        )
        x = LEFT + CELL * t
        columns.append(
            f'<g class="at{" chosen" if t == position else ""}">'
            f"<title>from {sign}: {_favourites(weights[:, t, : t + 1], signs)}</title>"
            f'<rect x="{x}" y="0" width="{CELL}" height="{height}" fill="white"/>'
            f'<g class="row">{marks}<rect x="{x + 1}" y="1" width="{CELL - 2}" '
            f'height="{height - 2}" fill="none" stroke="{BLACK}"/></g></g>'
        )
    lines = []
    for h in range(H):
        y = LINE * h + LINE / 2 + 6
        lines.append(f'<text x="0" y="{y}" font-size="12" fill="#222">head {h + 1}</text>')
        for s, sign in enumerate(signs):
            lines.append(
                f'<text x="{LEFT + CELL * (s + 0.5)}" y="{y}" text-anchor="middle" '
                f'font-family="monospace" font-size="14" fill="#222">{sign}</text>'
            )
    width = LEFT + CELL * len(text)
    return (
        f'{HOVER}<div style="{CARD};width:{width}px"><svg class="zth-heads" role="img" '
        f'aria-label="what {H} heads read from position {position}" width="{width}" '
        f'height="{height}" style="display:block;background:white">'
        f"{''.join(columns)}{''.join(lines)}</svg>"
        "The framed character asks; the darker another one, the more the head reads of it.</div>"
    )


def _favourites(weights: Float[Tensor, "H T"], signs: list[str]) -> str:
    most = weights.max(1)
    return ", ".join(
        f"head {h + 1} reads {weight:.0%} of {signs[s]}"
        for h, (weight, s) in enumerate(zip(most.values.tolist(), most.indices, strict=True))
    )


def sampling_playground(
    model: GPT, vocabulary: Characters, prompt: str = "ROMEO:", length: int = 200
) -> widgets.VBox:
    """Set prompt, temperature, top-k and top-p; see the next character's probabilities change.

    The outlined bars are what the model says, the filled ones what is drawn from after the
    settings were applied. The button lets the model write `length` characters with them; each
    press draws anew. top-k 0 and top-p 1 leave everything in.

    A prompt that is empty or has unknown characters is answered with a sentence in the widget.
    """
    V = len(vocabulary)
    controls = {
        "prompt": widgets.Textarea(value=prompt, rows=2),  # with room for a speaker's line
        "temperature": widgets.FloatSlider(value=1.0, min=0.0, max=2.0, step=0.05),
        "top_k": widgets.IntSlider(value=0, min=0, max=V),
        "top_p": widgets.FloatSlider(value=1.0, min=0.05, max=1.0, step=0.05),
    }
    for name, control in controls.items():
        control.description, control.style = name.replace("_", "-"), {"description_width": "90px"}
    button = widgets.Button(description=f"write {length} characters", layout={"width": "200px"})
    bars, written = widgets.HTML(), widgets.HTML()
    generator = torch.Generator(model.device).manual_seed(0)

    def settings() -> dict:
        return {
            "temperature": controls["temperature"].value,
            "top_k": controls["top_k"].value or None,
            "top_p": controls["top_p"].value,
        }

    def tokens() -> Tensor:
        if not controls["prompt"].value:
            raise ValueError("The prompt is empty; write at least one character.")
        return vocabulary.encode(controls["prompt"].value).to(model.device)

    def show(_=None) -> None:
        try:
            idx = tokens()[None, -model.config.block_size :]
        except ValueError as error:
            bars.value = f'<div style="{CARD}">{html.escape(str(error))}</div>'
            return
        with torch.no_grad():
            logits = model.eval()(idx)[0, -1]
        before, after = logits.softmax(-1), next_token_probs(logits, **settings())
        bars.value = bars_html(before, after, vocabulary.chars)

    def write(_=None) -> None:
        try:
            start = tokens()[None]
        except ValueError:
            return  # the sentence stands where the bars were
        row = model.generate(start, length, generator=generator, **settings())[0]
        text = html.escape(vocabulary.decode(row))
        written.value = f'<pre style="{CARD};white-space:pre-wrap;max-width:640px">{text}</pre>'

    for control in controls.values():
        control.observe(show, "value")
    button.on_click(write)
    show()
    return widgets.VBox([*controls.values(), bars, button, written])


def bars_html(
    before: Float[Tensor, " V"], after: Float[Tensor, " V"], chars: str, shown: int = 20
) -> str:
    """Draw the likeliest tokens as bars, as HTML: outlined before the filters, filled after.

    The tallest bar fills the height, or a flat distribution could not be read; what is drawn with
    half a per cent or more has its number.
    """
    top = before.argsort(descending=True)[:shown].tolist()
    signs = [html.escape(sign) for sign in visible("".join(chars[i] for i in top))]
    step, floor = 30, 150
    tall = 130 / max(before.max().item(), after.max().item())  # pixels of probability 1
    shapes = []
    for n, (i, sign) in enumerate(zip(top, signs, strict=True)):
        x, p, q = 10 + step * n, before[i].item(), after[i].item()
        number = f"{q:.0%}" if q >= 0.005 else ""
        shapes.append(
            f"<g><title>{sign}: {p:.1%} before, {q:.1%} after</title>"
            f'<rect x="{x}" y="{floor - tall * q:.1f}" width="22" height="{tall * q:.1f}" '
            f'fill="{BLUE}"/>'
            f'<rect x="{x}" y="{floor - tall * p:.1f}" width="22" height="{tall * p:.1f}" '
            f'fill="none" stroke="{BLACK}"/>'
            f'<text x="{x + 11}" y="{floor - 4 - tall * max(p, q):.1f}" text-anchor="middle" '
            f'font-size="11" fill="#222">{number}</text>'
            f'<text x="{x + 11}" y="{floor + 18}" text-anchor="middle" font-family="monospace" '
            f'font-size="14" fill="#222">{sign}</text></g>'
        )
    width, kept = 20 + step * len(top), int((after > 0).sum())
    label = f"{kept} of {len(after)} characters can be drawn"
    return (
        f'<div style="{CARD};width:{width}px"><svg role="img" aria-label="{label}" '
        f'width="{width}" height="{floor + 26}" style="display:block;background:white">'
        f"{''.join(shapes)}</svg>{label}. Outlined: what the model says; filled: what is drawn "
        "from.</div>"
    )
