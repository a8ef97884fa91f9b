"""Lecture 07's live loss curve: what a training run has reached, while it runs."""

import base64
import io
import math
import time

import ipywidgets as widgets
from IPython.display import display
from matplotlib.figure import Figure

from zerotohero.course.plots import BLUE, ORANGE
from zerotohero.training import Trainer

EVERY = 1.0  # seconds between two pictures, at least
SHARE = 0.05  # of the run's time may go into drawing, at most


class LiveCurve:
    """The losses against the step, drawn while a Trainer runs: `callbacks=[LiveCurve()]`.

    A new picture comes once a second at most, and more rarely where drawing is slow. When the run
    ends the moving picture gives way to one that stays in the saved notebook. `widget` is the
    moving one, `png` the bytes of the last picture; `picture(trainer)` draws one at any time.
    """

    def __init__(self) -> None:
        self.widget: widgets.Image | None = None
        self.png = b""
        self._next = -math.inf  # when the next picture is due
        # Not by pyplot, which would show the figure once more and may want a screen; and without
        # a layout that is worked out anew, which would double the time of drawing.
        self._figure = Figure(figsize=(7.0, 3.6), dpi=100, layout="none", facecolor="white")
        self._figure.subplots_adjust(left=0.09, right=0.97, bottom=0.16, top=0.91)

    def __call__(self, trainer: Trainer) -> None:
        """Draw, if it is time to or the run has ended."""
        start = time.perf_counter()
        if trainer.running and start < self._next:
            return
        self.png = self.picture(trainer)
        if not trainer.running:
            if self.widget is not None:
                self.widget.close()
            self.widget, self._next = None, -math.inf
            _show(self.png, _caption(trainer))
        elif self.widget is None:
            self.widget = widgets.Image(value=self.png, format="png")
            display(self.widget)
        else:
            self.widget.value = self.png
        now = time.perf_counter()
        if trainer.running:
            self._next = now + max(EVERY, (now - start) / SHARE)

    def picture(self, trainer: Trainer) -> bytes:
        """Return the losses up to now as a PNG."""
        self._figure.clear()
        axes = self._figure.subplots()
        steps = [row["step"] for row in trainer.log]
        axes.plot(steps, trainer.losses, color=BLUE, linewidth=1, label="one training batch")
        if trainer.val_losses:
            axes.plot(
                *zip(*trainer.val_losses, strict=True),
                color=ORANGE,
                marker="o",
                markersize=4,
                linewidth=2,
                label="validation",
            )
        axes.set_xlim(0, 1.02 * trainer.config.steps)  # room for the last dot
        axes.set_xlabel("step")
        axes.set_ylabel("loss (nats a token)")
        axes.set_title(_caption(trainer))
        if steps:
            axes.legend()
        buffer = io.BytesIO()
        self._figure.savefig(buffer, format="png")
        return buffer.getvalue()


def _show(png: bytes, caption: str) -> None:
    """Display a picture with its words, for who can't see it.

    Not by IPython's Image, which takes no such words in Colab's version, 7.34.
    """
    data = {"image/png": base64.b64encode(png).decode(), "text/plain": caption}
    display(data, metadata={"image/png": {"alt": caption}}, raw=True)


def _caption(trainer: Trainer) -> str:
    said = [f"step {trainer.step:,} of {trainer.config.steps:,}"]
    if trainer.losses:
        said.append(f"training loss {trainer.losses[-1]:.3f}")
    if trainer.val_losses:
        said.append(f"validation loss {trainer.val_losses[-1][1]:.3f}")
    return " · ".join(said)
