"""The curve of a training run: its losses and what else it measured, step by step, as a picture."""

import io
import math
import time
from pathlib import Path

from matplotlib.figure import Figure

from zerotohero.course.files import write_whole
from zerotohero.course.plots import BLUE, GREEN, ORANGE
from zerotohero.training import Trainer
from zerotohero.training.trainer import ROW

EVERY = 5.0  # seconds between two pictures in a run's folder, at least


class Curve:
    """A file that shows the curve up to now: a function of the trainer, for "eval" and "end"."""

    def __init__(self, path: Path):
        self.path, self._next = path, -math.inf

    def __call__(self, trainer: Trainer) -> None:
        if not trainer.running or time.perf_counter() >= self._next:
            write_whole(self.path, picture(trainer))
            self._next = time.perf_counter() + EVERY


def new_figure() -> Figure:
    """Return a figure to draw on again and again.

    Not pyplot's, which would show it once more and may want a screen; and without a layout that is
    worked out anew, which would double the time of drawing.
    """
    figure = Figure(figsize=(7.0, 3.6), dpi=100, layout="none", facecolor="white")
    figure.subplots_adjust(left=0.09, right=0.91, bottom=0.17, top=0.91)
    return figure


def picture(trainer: Trainer, figure: Figure | None = None) -> bytes:
    """Return the losses up to now as a PNG; shares, such as HellaSwag's, on an axis of their own.

    A measure that isn't a number has no place in it.
    """
    figure = figure or new_figure()
    figure.clear()
    axes = figure.subplots()
    steps = [row["step"] for row in trainer.log]
    axes.plot(steps, trainer.losses, color=BLUE, linewidth=1, label="one training batch")
    dots = {"marker": "o", "markersize": 4, "linewidth": 2}
    if trainer.val_losses:
        axes.plot(*zip(*trainer.val_losses, strict=True), color=ORANGE, label="validation", **dots)
    axes.set_xlim(0, 1.02 * trainer.config.steps)  # room for the last dot
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats a token)")
    axes.set_title(caption(trainer))
    lines = list(axes.lines) if steps else []
    if found := measures(trainer):
        right = axes.twinx()
        right.set_ylabel(", ".join(found))
        for number, (name, points) in enumerate(found.items()):
            style = ("-", "--", ":", "-.")[number % 4]
            where = zip(*points, strict=True)
            lines += right.plot(*where, style, color=GREEN, label=name, **dots)
    if lines:
        axes.legend(handles=lines)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def measures(trainer: Trainer) -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) of each measure that is a number, by its name."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in trainer.log:
        for name in row.keys() - set(ROW):
            if not isinstance(row[name], str):
                found.setdefault(name, []).append((row["step"], row[name]))
    return dict(sorted(found.items()))


def caption(trainer: Trainer) -> str:
    said = [f"step {trainer.step:,} of {trainer.config.steps:,}"]
    if trainer.losses:
        said.append(f"training loss {trainer.losses[-1]:.3f}")
    if trainer.val_losses:
        said.append(f"validation loss {trainer.val_losses[-1][1]:.3f}")
    said += [f"{name} {points[-1][1]:.3f}" for name, points in measures(trainer).items()]
    return " · ".join(said)
