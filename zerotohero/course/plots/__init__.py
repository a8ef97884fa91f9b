"""The look of the course's figures: `use_style()` once a notebook; one module a lecture beside it.

Every figure is an opaque light card, so that it reads the same in JupyterLab's light and dark
themes, and its colours are those of Okabe and Ito (2008), which colour-blind readers can tell
apart. A line that matters also differs by dash or marker, never by colour alone. What a figure
shows is said in words, too, for those who can't see it: each function that draws one calls
`describe`, and the notebook stores the words beside the picture.
"""

# Okabe, M. & Ito, K. (2008), Color Universal Design; black last, since axes are black already.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#000000",
)


def use_style() -> None:
    """Set matplotlib's defaults for the notebook: size, colours, labels, an opaque background."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update(
        {
            "figure.figsize": (7.0, 3.6),
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "axes.facecolor": "white",
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "axes.labelsize": 10,
            "grid.color": "#dddddd",
            "grid.linewidth": 0.6,
            "font.size": 10,
            "legend.frameon": False,
            "image.cmap": "Blues",
        }
    )


def describe(alt: str) -> None:
    """Give the current figure its text alternative: what it shows, not how it looks.

    JupyterLab, Colab's exports and the course's site read it to those who can't see the figure.
    """
    import matplotlib.pyplot as plt
    from IPython import get_ipython
    from matplotlib.figure import Figure

    plt.gcf().alternative = " ".join(alt.split())
    if (shell := get_ipython()) is not None:
        png = shell.display_formatter.formatters["image/png"]
        printed = png.for_type(Figure)  # what the notebook's backend has put there, if it has
        if printed is not None and not isinstance(printed, _Described):
            png.for_type(Figure, _Described(printed))


class _Described:
    """A formatter that hands a figure's text alternative on with the picture."""

    def __init__(self, printed):
        self.printed = printed

    def __call__(self, figure):
        picture = self.printed(figure)
        if picture is None or not hasattr(figure, "alternative"):
            return picture
        picture, metadata = picture if isinstance(picture, tuple) else (picture, {})
        return picture, metadata | {"alt": figure.alternative}
