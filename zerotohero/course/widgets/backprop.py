"""Lecture 05's widget: the gradient of cross-entropy as a force on each logit."""

import html
from collections.abc import Sequence

import ipywidgets as widgets
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zerotohero.backprop import cross_entropy_backward
from zerotohero.course.plots import BLUE, GREEN

CELL = 22  # pixels a character
TALL = 120  # pixels of a probability, or a force, of 1
WHOLE = {"description_width": "initial"}  # or the descriptions are cut off


def force_explorer(
    logits: Float[Tensor, "N V"],
    contexts: Sequence[str],
    itos: Sequence[str],
    target: int = 1,
    rate: float = 1.0,
    updates: int = 40,
) -> widgets.VBox:
    """Show one example's probabilities and the force on each of its logits, update by update.

    Choose the context (a row of `logits`) and the character that should come next. The slider, or
    the play button, lets the logits follow their own gradient for so many steps of size `rate`.

    Raises ValueError if contexts or characters are not as many as the rows and columns of logits,
    or for a target outside the vocabulary.
    """
    if logits.shape != (len(contexts), len(itos)) or not contexts:
        raise ValueError(
            f"logits have the shape {tuple(logits.shape)}, but there are {len(contexts)} contexts "
            f"and {len(itos)} characters: pass one row a context, one column a character."
        )
    if not 0 <= target < len(itos):
        raise ValueError(f"target is {target}; the characters are numbered 0 to {len(itos) - 1}.")
    context = widgets.Dropdown(
        options=[(c, i) for i, c in enumerate(contexts)], description="context", style=WHOLE
    )
    wanted = widgets.SelectionSlider(
        options=[(c, i) for i, c in enumerate(itos)],
        value=target,
        description="target",
        style=WHOLE,
    )
    slider = widgets.IntSlider(min=0, max=updates, description="updates", style=WHOLE)
    play = widgets.Play(min=0, max=updates, interval=250)
    widgets.jslink((play, "value"), (slider, "value"))
    page = widgets.HTML()

    def show(*_) -> None:
        row = pulled(logits[context.value], wanted.value, rate, slider.value)
        page.value = _page(row, wanted.value, itos)

    for control in (context, wanted, slider):
        control.observe(show, "value")
    show()
    return widgets.VBox(
        [widgets.HBox([context, wanted]), widgets.HBox([play, slider]), page],
    )


def pulled(row: Float[Tensor, " V"], target: int, rate: float, updates: int) -> Float[Tensor, " V"]:
    """Return the logits after so many gradient steps on them alone."""
    row, targets = row.detach().clone(), torch.tensor([target], device=row.device)
    for _ in range(updates):
        row -= rate * cross_entropy_backward(row[None], targets)[0]
    return row


def _page(row: Float[Tensor, " V"], target: int, itos: Sequence[str]) -> str:
    probs = F.softmax(row, 0)
    force = -cross_entropy_backward(row[None], torch.tensor([target], device=row.device))[0]
    caption = (
        f"loss {-probs[target].log().item():.2f} · probability of {itos[target]}: "
        f"{probs[target].item():.3f} · force up {force[target].item():.3f}, "
        f"all forces together {abs(force.sum().item()):.3f}"
    )
    shapes = []
    floor, zero = TALL + 10, 2 * TALL + 50  # where the bars stand, and where the arrows start
    for i, (p, f) in enumerate(zip(probs.tolist(), force.tolist(), strict=True)):
        x, colour = CELL * i + CELL / 2, GREEN if i == target else BLUE
        name = html.escape(itos[i])
        tip = zero - TALL * f
        head = min(6.0, TALL * abs(f)) * (1 if f > 0 else -1)
        shapes.append(
            f"<g><title>{name}: probability {p:.4f}, force {f:+.4f}</title>"
            f'<rect x="{x - 7:.1f}" y="{floor - TALL * p:.1f}" width="14" '
            f'height="{TALL * p:.1f}" fill="{colour}"/>'
            f'<text x="{x:.1f}" y="{floor + 14}" text-anchor="middle" font-size="12" '
            f'fill="#222">{name}</text>'
            f'<line x1="{x:.1f}" y1="{zero}" x2="{x:.1f}" y2="{tip + head:.1f}" '
            f'stroke="{colour}" stroke-width="4"/>'
            f'<polygon points="{x - 6:.1f},{tip + head:.1f} {x + 6:.1f},{tip + head:.1f} '
            f'{x:.1f},{tip:.1f}" fill="{colour}"/></g>'
        )
    width, height = CELL * len(itos), zero + TALL + 10
    return (
        '<div style="background:white;color:#222;padding:10px;font:13px/1.6 sans-serif">'
        f"{html.escape(caption)}<br>"
        f'<svg role="img" aria-label="{html.escape(caption)}" width="{width}" height="{height}" '
        'style="display:block;background:white">'
        f'<line x1="0" y1="{floor}" x2="{width}" y2="{floor}" stroke="#999"/>'
        f'<line x1="0" y1="{zero}" x2="{width}" y2="{zero}" stroke="#999"/>'
        f"{''.join(shapes)}</svg>"
        "Bars: probabilities. Arrows: the force on each logit, minus its gradient. "
        "Green: the target.</div>"
    )
