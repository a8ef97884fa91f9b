"""Lecture 03's widget: the embedding table as a map that moves while the network learns."""

import html
from collections.abc import Sequence

import ipywidgets as widgets
import torch
from jaxtyping import Float
from torch import Tensor

from zerotohero.course.plots import BLUE

SIZE, MARGIN = 520, 30  # pixels of the map
TRAIL = 4  # snapshots that the faint lines reach back
VOWELS = "aeiouy"


def embedding_explorer(
    steps: Sequence[int],
    tables: Sequence[Float[Tensor, "V 2"]],
    losses: Sequence[float],
    itos: Sequence[str],
) -> widgets.VBox:
    """Show where each character stands in the plane, snapshot by snapshot of the training.

    The slider (or the play button) picks a snapshot: `tables[i]` was taken after `steps[i]`
    updates, with the dev loss `losses[i]`. Each is scaled to fill the map. A faint line is the way
    that a character has come; the pointer on a character shows its three nearest neighbours.

    Raises ValueError if there are no snapshots, if the three lists differ in length, or if the
    tables don't give two numbers to each character.
    """
    if not tables or not len(steps) == len(tables) == len(losses):
        raise ValueError(
            f"There are {len(steps)} steps, {len(tables)} tables and {len(losses)} losses; pass "
            "one of each for every snapshot, and at least one."
        )
    for table in tables:
        if table.shape != (len(itos), 2):
            raise ValueError(
                f"A table has shape {tuple(table.shape)}; a map of {len(itos)} characters needs "
                f"({len(itos)}, 2): train with n_embd=2."
            )
    points = torch.stack([_pixels(table) for table in tables])
    last = len(tables) - 1
    slider = widgets.IntSlider(value=last, min=0, max=last, description="snapshot", readout=False)
    play = widgets.Play(value=last, min=0, max=last, interval=250)
    widgets.jslink((play, "value"), (slider, "value"))
    page = widgets.HTML()

    def show(_=None) -> None:
        i = slider.value
        caption = f"after {steps[i]:,} steps · dev loss {losses[i]:.2f}"
        page.value = _page(points[max(0, i - TRAIL) : i + 1], tables[i], itos, caption)

    slider.observe(show, "value")
    show()
    return widgets.VBox([widgets.HBox([play, slider]), page])


def _pixels(table: Float[Tensor, "V 2"]) -> Float[Tensor, "V 2"]:
    """Return the places of a table's rows on the map: centred, filling it, y pointing up.

    Each snapshot has its own scale: all numbers shrink while the network trains, and on one scale
    for all, the last snapshots would be a heap in the middle.
    """
    low, high = table.amin(0), table.amax(0)
    scale = (SIZE - 2 * MARGIN) / (high - low).max().clamp(min=1e-9)
    return SIZE / 2 + (table - (low + high) / 2) * scale * torch.tensor([1.0, -1.0])


def _page(
    trail: Float[Tensor, "S V 2"], table: Float[Tensor, "V 2"], itos: Sequence[str], caption: str
) -> str:
    shapes = []
    for way in trail.transpose(0, 1).tolist():
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in way)
        shapes.append(f'<polyline points="{line}" fill="none" stroke="#cccccc"/>')
    nearest = torch.cdist(table, table).argsort(1)
    for i, (x, y) in enumerate(trail[-1].tolist()):
        vowel = itos[i] in VOWELS
        fill, ink, edge = (BLUE, "white", BLUE) if vowel else ("white", "#222", "#555")
        others = [itos[j] for j in nearest[i].tolist() if j != i][:3]
        shapes.append(
            f'<g transform="translate({x:.1f} {y:.1f})">'
            f"<title>{html.escape(itos[i])}: nearest {html.escape(', '.join(others))}</title>"
            f'<rect x="-8" y="-8" width="16" height="16" rx="{8 if vowel else 2}" '
            f'fill="{fill}" stroke="{edge}"/>'
            f'<text y="4" text-anchor="middle" font-size="12" fill="{ink}">'
            f"{html.escape(itos[i])}</text></g>"
        )
    return (
        f'<div style="background:white;color:#222;padding:8px;width:{SIZE}px;'
        f'font:13px sans-serif">{html.escape(caption)}'
        f'<svg role="img" aria-label="{html.escape(caption)}" width="{SIZE}" height="{SIZE}" '
        f'style="display:block;background:white">{"".join(shapes)}</svg>'
        "Round and blue: vowels. Square: consonants and the boundary.</div>"
    )
