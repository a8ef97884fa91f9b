"""Lecture 11's widget: the KV cache, step by step, with the numbers that each step needs."""

import html
from collections.abc import Sequence

import ipywidgets as widgets

CARD = "background:white;color:#222;padding:10px;font:13px/1.6 sans-serif"
BOX = "display:inline-block;min-width:2.2em;margin:1px;padding:2px;text-align:center;color:#111"
NEW, KEPT = "#f5c26b", "#cfe3f3"


def cache_stepper(pieces: Sequence[str], prompt: int) -> widgets.VBox:
    """Return a widget that replays writing: what each step computes, and what it finds kept.

    `pieces` are all tokens as text, the first `prompt` of them given at once. ValueError if none
    are given, or there are no others.
    """
    if not 0 < prompt < len(pieces):
        raise ValueError(f"prompt is {prompt}; it must be from 1 to {len(pieces) - 1}.")
    slider = widgets.IntSlider(min=1, max=len(pieces) - prompt, value=1, description="token")
    box = widgets.Checkbox(value=True, description="keep keys and values", indent=False)
    page = widgets.HTML()

    def show(_=None) -> None:
        page.value = step_html(pieces, prompt, slider.value, box.value)

    for control in (slider, box):
        control.observe(show, "value")
    show()
    return widgets.VBox([widgets.HBox([slider, box]), page])


def step_html(pieces: Sequence[str], prompt: int, step: int, cached: bool) -> str:
    """Return what is computed for the token number `step`, and for all tokens up to it."""
    length = prompt + step - 1
    start = length - 1 if cached and step > 1 else 0
    boxes = "".join(
        f'<span style="{BOX};background:{KEPT if i < start else NEW}">{html.escape(piece)}</span>'
        for i, piece in enumerate(pieces[:length])
    )
    total = length if cached else sum(range(prompt, length + 1))
    kept = f"{start} kept, " if start else ""
    written = html.escape(pieces[length])
    return (
        f'<div style="{CARD}">{boxes} → <b>{written}</b><br>{kept}{length - start} '
        f"computed in this step; {total} in all steps so far</div>"
    )
