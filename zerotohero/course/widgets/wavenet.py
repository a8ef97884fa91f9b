"""Lecture 06's widget: what an output looks at, as a tree and as dilated convolutions."""

import ipywidgets as widgets

from zerotohero.course.plots.wavenet import fusions


def receptive_field(word: str = "penelope", block_size: int = 8) -> widgets.VBox:
    """Light up all that an output depends on, in the layers over a name.

    The slider picks the position whose next character is predicted. "one window" shows the tree
    that is computed for it; "all positions" shows how few fusions are added for it once those of
    the positions before have been computed.

    Raises ValueError for an empty word or a `block_size` that isn't a power of two.
    """
    slider = widgets.IntSlider(
        value=len(word), min=0, max=len(word), description="position", continuous_update=True
    )
    form = widgets.ToggleButtons(
        options=[("tree: one window", False), ("convolutions: all positions", True)], value=False
    )
    page = widgets.HTML()

    def show(_=None) -> None:
        drawing = fusions(word, slider.value, shared=form.value, block_size=block_size)
        page.value = drawing._repr_html_()

    slider.observe(show, "value")
    form.observe(show, "value")
    show()
    return widgets.VBox([slider, form, page])
