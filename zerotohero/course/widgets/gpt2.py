"""Lecture 10's widget: a model's size, its tokens and the devices; the loss, and the bill."""

import ipywidgets as widgets

from zerotohero import costs
from zerotohero.scaling import HOFFMANN
from zerotohero.training.machine import PEAKS

CARD = "background:white;color:#222;padding:10px;font:13px/1.7 sans-serif"
CELL = "padding:1px 14px 1px 0;text-align:left;color:#222;background:white"
GPU, MFU, EUROS = "H100", 0.4, 2.0  # what a device is, how busy it is, and what an hour costs
A_WEIGHT = 18  # bytes: itself, its gradient and two averages in 4 each, and a copy of half the size


def planner() -> widgets.VBox:
    """Return sliders for parameters, tokens and devices, over the predicted loss and the bill."""
    options = {"readout": False, "step": 0.05, "layout": widgets.Layout(width="420px")}
    size = widgets.FloatSlider(min=7, max=12, value=8.1, description="parameters", **options)
    tokens = widgets.FloatSlider(min=9, max=13, value=10, description="tokens", **options)
    devices = widgets.IntSlider(min=0, max=13, value=3, description="devices", readout=False)
    page = widgets.HTML()

    def show(_=None) -> None:
        page.value = bill_html(10**size.value, 10**tokens.value, 2**devices.value)

    for slider in (size, tokens, devices):
        slider.observe(show, "value")
    show()
    return widgets.VBox([size, tokens, devices, page])


def bill_html(parameters: float, tokens: float, devices: int) -> str:
    """Return the loss that Hoffmann et al.'s law predicts, what the run costs, and a better split.

    The memory is that of weights, gradients and optimiser alone, cut among the devices.
    """
    flops = 6 * parameters * tokens
    hours = costs.hours(flops, devices * PEAKS[GPU], MFU)
    best = HOFFMANN.best(flops)
    rows = {
        "model": f"{said(parameters)} parameters, {said(tokens)} tokens, "
        f"{tokens / parameters:,.0f} tokens a parameter",
        "predicted loss": f"<b>{HOFFMANN.loss(parameters, tokens):.2f}</b> nats a token",
        "operations": f"{flops:.1e}",
        "time": f"{time_said(hours)} on {devices:,} × {GPU}, at {MFU:.0%} of their peak",
        "price": f"{costs.price(hours, devices, EUROS):,.0f} €, at {EUROS:.0f} € an hour for one",
        "memory": f"{A_WEIGHT * parameters / devices / 1e9:,.1f} GB a device, cut among them, "
        "besides activations",
        "the same budget, best split": f"{said(best.parameters)} parameters, {said(best.tokens)} "
        f"tokens: {HOFFMANN.loss(*best):.2f}",
    }
    lines = "".join(
        f'<tr><th style="{CELL};font-weight:normal;color:#555">{name}</th>'
        f'<td style="{CELL}">{text}</td></tr>'
        for name, text in rows.items()
    )
    return f'<div style="{CARD}"><table>{lines}</table></div>'


def said(number: float) -> str:
    """Return a large number in words: "124 million"."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.3g} {word}"
    return f"{number:,.0f}"


def time_said(hours: float) -> str:
    """Return a time in the unit that suits it."""
    for size, unit in ((24 * 365, "years"), (24, "days"), (1, "hours")):
        if hours >= size:
            return f"{hours / size:,.1f} {unit}"
    return f"{60 * hours:,.0f} minutes"
