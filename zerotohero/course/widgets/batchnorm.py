"""Lecture 04's widget: what a gain, a depth and a learning rate do inside a network."""

import math

import ipywidgets as widgets
import torch
from jaxtyping import Int
from torch import Tensor

from zerotohero.batchnorm import NetworkConfig, network
from zerotohero.course.plots import BLUE, ORANGE, RED
from zerotohero.diagnostics import UpdateRecorder, diagnose
from zerotohero.mlp import Plan, train

STEPS, BATCH, HIDDEN, ROWS = 15, 64, 50, 256  # small enough to answer while a slider moves
WIDTH, HEIGHT = 200, 34  # pixels of one histogram
CARD = "background:white;color:#222;padding:8px;font:13px sans-serif;width:760px"


def health(
    X: Int[Tensor, "N T"],
    Y: Int[Tensor, " N"],
    gain: float = 5 / 3,
    n_layer: int = 5,
    lr: float = 0.1,
    batchnorm: bool = False,
) -> str:
    """Train a small network for 15 steps of plain SGD, and return its inside as HTML with SVG.

    A row a hidden layer: the outputs of tanh, the gradients that come back to them (one scale for
    all rows), and the update:data ratio of the layer's weights, over the last steps.
    """
    g = torch.Generator().manual_seed(1)
    config = NetworkConfig(
        block_size=X.shape[1], n_hidden=HIDDEN, n_layer=n_layer, gain=gain, batchnorm=batchnorm
    )
    model = network(config, g)
    recorder = UpdateRecorder(model)
    recipe = Plan(STEPS, BATCH, lr, optimizer="sgd", schedule="constant")
    rows = torch.randint(len(X), (ROWS,), generator=g)
    try:
        train(model, X, Y, recipe, g, recorder)
        found = diagnose(model, X[rows], Y[rows])
    except FloatingPointError as error:
        return f'<div style="{CARD}"><b>The training blew up.</b> {error}</div>'
    readings = [reading for reading in found.layers if reading.flat is not None]
    reach = 3 * max(reading.grad.std().item() for reading in readings) or 1.0
    ratios = [sum(values[-5:]) / 5 for values in recorder.ratios.values()][1:-1]
    shapes = _heads(reach)
    for i, (reading, ratio) in enumerate(zip(readings, ratios, strict=True)):
        y = 40 + i * (HEIGHT + 12)
        shapes += [
            _text(0, y + 22, f"layer {i + 1}"),
            _histogram(60, y, reading.out, 1.0, BLUE),
            _text(264, y + 14, f"std {reading.out.std():.2f}"),
            _text(264, y + 30, f"{reading.saturated:.0%} flat"),
            _histogram(340, y, reading.grad, reach, ORANGE),
            _text(544, y + 22, f"{reading.grad.std():.0e}"),
            _ratio(610, y, ratio),
        ]
    height = 46 + len(readings) * (HEIGHT + 12)
    caption = (
        f"gain {gain:.2f}, {n_layer} hidden layers, learning rate {lr:.3g}, "
        f"{'with' if batchnorm else 'without'} BatchNorm: "
        f"loss {found.loss:.2f} after {STEPS} steps"
    )
    return (
        f'<div style="{CARD}">{caption}<svg role="img" aria-label="{caption}" width="750" '
        f'height="{height}" style="display:block;background:white">{"".join(shapes)}</svg></div>'
    )


def layer_explorer(X: Int[Tensor, "N T"], Y: Int[Tensor, " N"]) -> widgets.VBox:
    """Return sliders for gain, depth and rate, a box for BatchNorm, and `health` live below."""
    wide = {"style": {"description_width": "110px"}, "layout": {"width": "420px"}}
    gain = widgets.FloatSlider(1.75, min=0.25, max=4, step=0.25, description="gain", **wide)
    depth = widgets.IntSlider(5, min=1, max=8, description="hidden layers", **wide)
    lr = widgets.FloatLogSlider(
        0.1, min=-3, max=1, step=0.25, description="learning rate", readout_format=".3g", **wide
    )
    batchnorm = widgets.Checkbox(False, description="BatchNorm", **wide)
    page = widgets.HTML()

    def show(_=None) -> None:
        page.value = health(X, Y, gain.value, depth.value, lr.value, batchnorm.value)

    for control in (gain, depth, lr, batchnorm):
        control.observe(show, "value")
    show()
    return widgets.VBox([gain, depth, lr, batchnorm, page])


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" font-size="12" fill="#222" text-anchor="{anchor}">{text}</text>'


def _heads(reach: float) -> list[str]:
    return [
        _text(60, 14, "outputs of tanh, −1 to 1"),
        _text(340, 14, f"gradients, ±{reach:.0e}"),
        _text(544, 14, "std"),
        _text(610, 14, "log10 of update:data"),
        *[_text(_place(tick), 32, f"{tick}".replace("-", "−"), "middle") for tick in (-5, -3, -1)],
    ]


def _histogram(x: float, y: float, values: Tensor, reach: float, colour: str) -> str:
    """Return the values' histogram over ±reach as a filled outline, its peak at full height."""
    counts = torch.histc(values.float().clamp(-reach, reach), 40, -reach, reach)
    heights = (HEIGHT * counts / counts.max()).tolist()
    step = WIDTH / 40
    points = [f"{x},{y + HEIGHT}"]
    for i, height in enumerate(heights):
        top = y + HEIGHT - height
        points += [f"{x + i * step:.0f},{top:.1f}", f"{x + (i + 1) * step:.0f},{top:.1f}"]
    points.append(f"{x + WIDTH},{y + HEIGHT}")
    return (
        f'<polygon points="{" ".join(points)}" fill="{colour}"/>'
        f'<line x1="{x}" x2="{x + WIDTH}" y1="{y + HEIGHT}" y2="{y + HEIGHT}" stroke="#999"/>'
    )


def _place(ratio: float) -> float:
    """Return the x of a log10 ratio on the axis from −6 to 0."""
    return 610 + 22 * (min(0.0, max(-6.0, ratio)) + 6)


def _ratio(x: float, y: float, ratio: float) -> str:
    """Return a dot at log10 of update:data; blue within one of −3, red with its number outside."""
    fine = -4 <= ratio <= -2
    middle = y + HEIGHT / 2
    left = -5 < ratio < -3  # where the number would stand on the dashed line
    label = "none" if math.isinf(ratio) else f"{ratio:.1f}".replace("-", "−")
    return (
        f'<line x1="{x}" x2="{x + 132}" y1="{middle}" y2="{middle}" stroke="#ddd"/>'
        f'<line x1="{_place(-3)}" x2="{_place(-3)}" y1="{y}" y2="{y + HEIGHT}" stroke="#777" '
        f'stroke-dasharray="3 3"/>'
        f'<circle cx="{_place(ratio):.0f}" cy="{middle}" r="5" fill="{BLUE if fine else RED}"/>'
        + _text(_place(ratio) + (-8 if left else 8), middle - 5, label, "end" if left else "start")
    )
