"""Lecture 07's live loss curve: what a training run has reached, while it runs."""

import base64
import math
import time

import ipywidgets as widgets
from IPython.display import display

from zerotohero.course import curve
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
        self._figure = curve.new_figure()

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
            _show(self.png, curve.caption(trainer))
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
        return curve.picture(trainer, self._figure)


def _show(png: bytes, caption: str) -> None:
    """Display a picture with its words, for who can't see it.

    Not by IPython's Image, which takes no such words in Colab's version, 7.34.
    """
    data = {"image/png": base64.b64encode(png).decode(), "text/plain": caption}
    display(data, metadata={"image/png": {"alt": caption}}, raw=True)
