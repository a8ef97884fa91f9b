"""Lecture 09's widgets: a text in several vocabularies, and merges replayed one by one."""

import html
import warnings
from collections.abc import Mapping, Sequence

import ipywidgets as widgets

from zerotohero.course.plots.tokenizer import SHADES, sign
from zerotohero.tokenizer import BytePairs

CARD = "background:white;color:#222;padding:10px;font:13px/1.5 sans-serif"
LONGEST = 2000  # characters that are shown; more would make a page slow
TOKEN = "padding:1px 0;border-radius:3px;white-space:pre-wrap;font:14px/1.9 monospace;color:#111"


def tokenizer_playground(tokenizers: Mapping[str, BytePairs], text: str) -> widgets.VBox:
    """Return a widget: what is typed, coloured token by token, in each vocabulary side by side.

    Rest the pointer on a token: it says the token's number, its bytes, and how often it stands in
    the text. What is typed is ordinary text, special tokens included. The first 2,000 characters
    are shown.
    """
    box = widgets.Textarea(value=text, layout=widgets.Layout(width="95%", height="90px"))
    page = widgets.HTML()

    def show(_=None) -> None:
        columns = (column_html(n, t, box.value[:LONGEST]) for n, t in tokenizers.items())
        page.value = (
            f'<div style="{CARD};display:flex;flex-wrap:wrap;gap:16px">{"".join(columns)}</div>'
        )

    box.observe(show, "value")
    show()
    return widgets.VBox([box, page])


def column_html(name: str, tokenizer: BytePairs, text: str) -> str:
    """Return one vocabulary's view of a text: how many tokens, the tokens, and their numbers."""
    ordinary = getattr(tokenizer, "encode_ordinary", tokenizer.encode)
    ids = ordinary(text)
    n_bytes = sum(map(len, tokenizer.pieces(ids)))
    said = f"{len(ids)} tokens, {n_bytes} bytes"
    if ids:
        said += f", {n_bytes / len(ids):.2f} bytes per token"
    numbers = " ".join(map(str, ids))
    return (
        f'<div style="flex:1 1 240px"><b>{html.escape(name)}</b>: {said}'
        f"<div>{tokens_html(tokenizer.pieces(ids), ids)}</div>"
        f'<div style="color:#555;font:11px monospace">{numbers}</div></div>'
    )


def tokens_html(pieces: Sequence[bytes], ids: Sequence[int]) -> str:
    """Return tokens as coloured words; each says its number, bytes and count on the pointer."""
    parts = []
    for i, (piece, token) in enumerate(zip(pieces, ids, strict=True)):
        said = f"token {token}: bytes {piece.hex(' ')}, {ids.count(token)} × in this text"
        shade = SHADES[i % len(SHADES)]
        parts.append(
            f'<span style="{TOKEN};background:{shade}" title="{said}">'
            f"{html.escape(sign(piece))}</span>"
        )
        if piece.endswith(b"\n"):
            parts.append("<br>")
    return "".join(parts) or "<i>no text</i>"


def merge_replay(text: str, merges: int = 30) -> widgets.VBox:
    """Return a widget that replays how byte pairs are learned from a short text.

    The slider goes from bytes to the last merge; the page shows the tokens after each, and which
    pair was merged. There are fewer merges where no pair is left. ValueError for an empty text.
    """
    with warnings.catch_warnings(action="ignore"):  # fewer merges: the slider shows it
        learned = BytePairs.learn(text, 256 + merges)
    slider = widgets.IntSlider(min=0, max=len(learned) - 256, description="merges")
    page = widgets.HTML()

    def show(_=None) -> None:
        page.value = f'<div style="{CARD}">{stage_html(learned, text, slider.value)}</div>'

    slider.observe(show, "value")
    show()
    return widgets.VBox([slider, page])


def stage_html(learned: BytePairs, text: str, merges: int) -> str:
    """Return the text as tokens after so many merges, and what the last of them was."""
    now = BytePairs(learned.vocab[: 256 + merges])
    ids = now.encode(text)
    said = "no merge yet: every byte is a token"
    if merges:
        piece = learned.vocab[255 + merges]
        left, right = (html.escape(sign(half)) for half in learned.merges[piece])
        said = f"merge {merges}: <b>{left}</b> and <b>{right}</b> become token {255 + merges}"
    return f"{said}; {len(ids)} tokens<div>{tokens_html(now.pieces(ids), ids)}</div>"
