"""Lecture 02's widget: the bigram table, a sampler and a temperature."""

import html

import ipywidgets as widgets
import torch

from zerotohero.bigram import Ngram

CELL = 15  # pixels of one cell of the table
CARD = (
    "display:flex;flex-wrap:wrap;gap:24px;background:white;color:#222;padding:10px;"
    "font:13px/1.5 sans-serif"
)


def bigram_explorer(model: Ngram, names: int = 10, seed: int = 2) -> widgets.VBox:
    """Return a widget: a bigram model's table, one of its rows, names drawn at a temperature.

    The slider divides the logits by a temperature, and table, row and names follow at once. The
    names are drawn with the same seed each time, so that what changes in them is the temperature's
    doing; the button takes the next seed. The loss beside a name is its mean in nats a character,
    always at temperature 1, as it is measured on data.

    Raises ValueError for a model that isn't a bigram.
    """
    if model.n != 2:
        raise ValueError(f"bigram_explorer shows models with n = 2; this one has n = {model.n}.")
    whole = {"description_width": "initial"}  # or "temperature" is cut off
    temperature = widgets.FloatLogSlider(
        value=1.0, base=10, min=-1, max=1, step=0.05, description="temperature", style=whole
    )
    after = widgets.SelectionSlider(
        options=[(c, i) for i, c in enumerate(model.vocabulary.itos)],
        description="row",
        style=whole,
    )
    another = widgets.Button(description="other names")
    page = widgets.HTML()

    def show(*_) -> None:
        page.value = _page(model, temperature.value, after.value, names, seed)

    def next_seed(_) -> None:
        nonlocal seed
        seed += 1
        show()

    temperature.observe(show, "value")
    after.observe(show, "value")
    another.on_click(next_seed)
    show()
    return widgets.VBox([widgets.HBox([temperature, after, another]), page])


def _page(model: Ngram, temperature: float, row: int, names: int, seed: int) -> str:
    probs, itos = model.probs(temperature), model.vocabulary.itos
    generator = torch.Generator(device=model.logits.device).manual_seed(seed)
    drawn = [model.sample(generator, temperature) for _ in range(names)]
    return (
        f'<div style="{CARD}"><div>{_table(probs.tolist(), itos, row)}</div>'
        f"<div>{_bars(probs[row].tolist(), itos, row)}{_names(model, drawn)}</div></div>"
    )


def _table(probs: list[list[float]], itos: list[str], chosen: int) -> str:
    """Return the heat map as SVG, the chosen row framed; a cell says its numbers when hovered."""
    size = CELL * (len(itos) + 1)
    parts = [
        "<b>Row: this character. Column: the next.</b><br>",
        _svg(size + 2, size + 2, "The probability of each next character"),
    ]
    for i, row in enumerate(probs):
        place = CELL * (i + 1)
        for x, y in ((place, 0), (0, place)):
            parts.append(_text(x + CELL / 2, y + 11, itos[i], "middle"))
        for j, p in enumerate(row):
            # The square root lets small probabilities be seen at all.
            shade = round(255 * (1 - p**0.5))
            parts.append(
                f'<rect x="{CELL * (j + 1)}" y="{place}" width="{CELL}" height="{CELL}" '
                f'fill="rgb({shade},{114 + shade * 141 // 255},{178 + shade * 77 // 255})">'
                f"<title>{html.escape(itos[i])} then {html.escape(itos[j])}: {p:.4f}</title></rect>"
            )
    parts.append(
        f'<rect x="{CELL}" y="{CELL * (chosen + 1)}" width="{CELL * len(itos)}" height="{CELL}" '
        'fill="none" stroke="#D55E00" stroke-width="2"/></svg>'
    )
    return "".join(parts)


def _bars(row: list[float], itos: list[str], chosen: int) -> str:
    """Return the six likeliest characters of the chosen row."""
    likeliest = sorted(range(len(row)), key=lambda j: -row[j])[:6]
    parts = [
        f"<b>Likeliest after {html.escape(itos[chosen])}</b><br>",
        _svg(230, 16 * len(likeliest) + 4, "The likeliest next characters"),
    ]
    for k, j in enumerate(likeliest):
        y = 16 * k
        parts.append(_text(6, y + 12, itos[j], "middle"))
        parts.append(
            f'<rect x="16" y="{y + 2}" width="{150 * row[j]:.1f}" height="12" fill="#D55E00"/>'
        )
        parts.append(_text(150 * row[j] + 22, y + 12, f"{row[j]:.3f}", "start"))
    return "".join(parts) + "</svg>"


def _names(model: Ngram, drawn: list[str]) -> str:
    rows = []
    for name in drawn:
        # The empty name is one n-gram, boundary to boundary, which `loss` doesn't take.
        loss = f"{model.loss([name]):.2f}" if name else "–"
        shown = html.escape(name if len(name) <= 24 else name[:23] + "…")
        rows.append(f'<tr><td style="padding-right:16px">{shown}</td><td>{loss}</td></tr>')
    head = '<tr><th style="text-align:left">name</th><th>loss</th></tr>'
    return f'<table style="margin-top:12px;color:#222;font-size:13px">{head}{"".join(rows)}</table>'


def _svg(width: float, height: float, label: str) -> str:
    return f'<svg width="{width}" height="{height}" role="img" aria-label="{label}">'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" fill="#222">'
        f"{html.escape(text)}</text>"
    )
