"""Lecture 01's figures: the error of a nudge, the moons, a loss curve, a decision boundary."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from zerotohero.course.plots import BLUE, COLOURS, ORANGE


def nudge_errors(steps: Sequence[float], errors: Mapping[str, Sequence[float]]) -> Figure:
    """The error of numerical derivatives against the size of the nudge, both on log axes."""
    fig, ax = plt.subplots()
    for (name, error), marker in zip(errors.items(), "os^d", strict=False):
        ax.loglog(steps, error, marker=marker, markersize=4, label=name)
    ax.set(xlabel="size of the nudge h", ylabel="error of the slope", title="Too far, too near")
    ax.legend()
    plt.close(fig)
    return fig


def scatter(points: Sequence[Sequence[float]], labels: Sequence[int], ax: Axes) -> None:
    """Points in the plane: blue circles are labelled −1, orange squares 1."""
    xy, y = np.asarray(points), np.asarray(labels)
    for label, colour, marker in ((-1, BLUE, "o"), (1, ORANGE, "s")):
        ax.scatter(
            *xy[y == label].T,
            c=colour,
            marker=marker,
            s=28,
            edgecolors="black",
            linewidths=0.5,
            label=f"label {label}".replace("-", "−"),
        )
    ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    ax.set_axisbelow(True)
    ax.legend(loc="upper right", frameon=True)


def moons_figure(points: Sequence[Sequence[float]], labels: Sequence[int]) -> Figure:
    """The data alone."""
    fig, ax = plt.subplots(figsize=(6, 3.6))
    scatter(points, labels, ax)
    ax.set_title("Two moons")
    plt.close(fig)
    return fig


def loss_curves(losses: Mapping[str, Sequence[float]], ignorance: float) -> Figure:
    """Losses by training step, one line a run, and the loss of a model that knows nothing."""
    fig, ax = plt.subplots()
    for (name, values), style, colour in zip(
        losses.items(), ("-", "--", "-.", ":"), COLOURS, strict=False
    ):
        ax.semilogy(values, style, color=colour, label=name)
    ax.axhline(ignorance, color="#777777", linewidth=1)
    last = max(map(len, losses.values())) - 1
    ax.annotate(
        "knows nothing",
        (last, ignorance),
        (0, 3),
        textcoords="offset points",
        ha="right",
        color="#555555",
    )
    ax.set(xlabel="training step", ylabel="loss", title="Loss while training")
    ax.legend()
    plt.close(fig)
    return fig


def decision_boundary(
    score: Callable[[list[float]], float],
    points: Sequence[Sequence[float]],
    labels: Sequence[int],
    resolution: int = 50,
) -> Figure:
    """Where `score([x1, x2])` changes its sign, over the data, and how far from zero it is."""
    xy = np.asarray(points)
    low, high = xy.min(axis=0) - 0.4, xy.max(axis=0) + 0.4
    x1 = np.linspace(low[0], high[0], resolution)
    x2 = np.linspace(low[1], high[1], resolution)
    z = np.array([[score([float(a), float(b)]) for a in x1] for b in x2])
    fig, ax = plt.subplots(figsize=(6.6, 4.0))
    shades = LinearSegmentedColormap.from_list("moons", [BLUE, "white", ORANGE])
    reach = min(5.0, float(np.abs(z).max()))
    shade = ax.contourf(
        x1, x2, z, levels=np.linspace(-reach, reach, 21), cmap=shades, alpha=0.6, extend="both"
    )
    if z.min() < 0 < z.max():
        ax.contour(x1, x2, z, levels=[0], colors="black", linewidths=2)
    fig.colorbar(shade, label="score", ticks=np.linspace(-reach, reach, 5).round(1))
    scatter(points, labels, ax)
    ax.set_title("Decision boundary: the black line, where the score is 0")
    plt.close(fig)
    return fig
