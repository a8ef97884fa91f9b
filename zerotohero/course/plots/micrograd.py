"""Lecture 01's pictures: diagrams of a neuron and of the network, and figures.

The figures are the error of a nudge, the moons, the loss curves and the decision boundary.
"""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from zerotohero.course.drawing import Drawing
from zerotohero.course.plots import BLUE, COLOURS, ORANGE, describe
from zerotohero.course.plots.diagram import diagram
from zerotohero.micrograd import MLP


def neuron(x: Sequence[float], w: Sequence[float], bias: float) -> Drawing:
    """Return a neuron with tanh, drawn with its numbers: products, sum with the bias, tanh."""
    n = sum(xi * wi for xi, wi in zip(x, w, strict=True)) + bias
    arrows, parameters = [], {}
    # Graphviz draws from the bottom up, so the first input comes last.
    for i, (xi, wi) in reversed(list(enumerate(zip(x, w, strict=True), start=1))):
        arrows += [
            f"x{i} -> ×#{i} : {_number(xi)}",
            f"w{i} -> ×#{i}",
            f"×#{i} -> + : {_number(xi * wi)}",
        ]
        parameters[f"w{i}"] = _number(wi)
    arrows += ["bias -> +", f"+ -> tanh : {_number(n)}", f"tanh -> o : {_number(np.tanh(n))}"]
    return diagram(
        "\n".join(arrows),
        parameters=parameters | {"bias": _number(bias)},
        alt=f"A neuron: {len(x)} inputs, each multiplied by its weight, are added up with the "
        "bias, and tanh bends the sum into the output o.",
    )


def network(model: MLP) -> Drawing:
    """Return an MLP, drawn: each layer as neurons × (weights + bias), and how many numbers flow."""
    sizes = [len(layer.neurons) for layer in model.layers]
    inputs = [len(layer.neurons[0].w) for layer in model.layers]
    last = len(sizes) - 1
    arrows, parameters, before = [], {}, "x"
    for i, (n, m) in enumerate(zip(inputs, sizes, strict=True)):
        name = f"layers[{i}]"
        parameters[name] = f"{m} × ({n} + 1)"
        arrows.append(f"{before} -> {name} : {n}")
        before = name
        if i < last:
            before = f"ReLU#{i}"
            arrows.append(f"{name} -> {before} : {m}")
    arrows.append(f"{before} -> score : {sizes[-1]}")
    return diagram(
        "\n".join(arrows),
        parameters=parameters,
        alt=f"The network: {inputs[0]} inputs go through {len(sizes)} layers of "
        f"{', '.join(map(str, sizes))} neurons, with a ReLU after each but the last, to the score.",
    )


def _number(x: float, digits: int = 4) -> str:
    return f"{x:.{digits}g}".replace("-", "−")


def _span(values: Sequence[float]) -> str:
    return "–".join(dict.fromkeys(f"{x:.2g}" for x in (min(values), max(values))))


def nudge_errors(steps: Sequence[float], errors: Mapping[str, Sequence[float]]) -> None:
    """Draw the error of numerical derivatives against the size of the nudge, both on log axes."""
    _, ax = plt.subplots()
    for (name, error), marker in zip(errors.items(), "os^d", strict=False):
        ax.loglog(steps, error, marker=marker, markersize=4, label=name)
    ax.set(xlabel="size of the nudge h", ylabel="error of the slope", title="Too far, too near")
    ax.legend(loc="upper center")
    said = []
    for name, error in errors.items():
        least = min(range(len(steps)), key=error.__getitem__)
        said += [
            f"{name}, the error is {error[0]:.0e} with h = {steps[0]:g}, at its least "
            f"{error[least]:.0e} with h = {steps[least]:.0e}, and {error[-1]:.0e} with h = "
            f"{steps[-1]:.0e}"
        ]
    describe(f"Line chart of a numerical slope's error against the nudge h: {'; '.join(said)}.")


def scatter(points: Sequence[Sequence[float]], labels: Sequence[int], ax: Axes) -> None:
    """Draw points in the plane: blue circles are labelled −1, orange squares 1."""
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
    ax.figure.legend(loc="outside upper right", ncols=2)


def moons_figure(points: Sequence[Sequence[float]], labels: Sequence[int]) -> None:
    """Draw the data alone."""
    _, ax = plt.subplots()
    scatter(points, labels, ax)
    ax.set_title("Two moons")
    xy, y = np.asarray(points), np.asarray(labels)
    said = []
    for label in sorted(set(labels)):
        (left, bottom), (right, top) = xy[y == label].min(0), xy[y == label].max(0)
        x1, x2 = (f"{_number(a, 2)} to {_number(b, 2)}" for a, b in ((left, right), (bottom, top)))
        said += [f"{(y == label).sum()} labelled {_number(label)}, with x1 from {x1}, x2 from {x2}"]
    design = np.column_stack([xy, np.ones(len(xy))])
    fit = np.linalg.lstsq(design, y, rcond=None)[0]
    describe(
        f"Scatter plot of {len(y)} points in the plane: {'; '.join(said)}. A straight line fitted "
        f"by least squares leaves {(design @ fit * y <= 0).sum()} on the wrong side."
    )


def loss_curves(runs: Mapping[str, Sequence[Sequence[float]]], ignorance: float) -> None:
    """Draw losses by step, a dash a name and a line a run, and the loss of knowing nothing."""
    _, ax = plt.subplots()
    for (name, losses), style, colour in zip(
        runs.items(), ("-", "--", "-.", ":"), COLOURS, strict=False
    ):
        for i, values in enumerate(losses):
            ax.semilogy(values, style, color=colour, label=None if i else name)
    ax.axhline(ignorance, color="#777777", linewidth=1)
    # Beside the axes, since curves cross every place in them.
    ax.text(
        1.01,
        ignorance,
        "knows\nnothing",
        va="center",
        transform=ax.get_yaxis_transform(),
        fontsize=9,
    )
    ax.set(xlabel="training step", ylabel="loss (logarithmic)", title="Loss while training")
    ax.figure.legend(loc="outside upper right", ncols=len(runs))
    said = []
    for name, losses in runs.items():
        first, last = (_span([values[i] for values in losses]) for i in (0, -1))
        said += [f"{name} (runs: {len(losses)}) from {first} to {last}"]
    describe(
        f"Line chart of the loss against the training step: {'; '.join(said)}. "
        f"A horizontal line at {ignorance:.2g} is what knowing nothing costs."
    )


def decision_boundary(
    score: Callable[[list[float]], float],
    points: Sequence[Sequence[float]],
    labels: Sequence[int],
    resolution: int = 50,
) -> None:
    """Draw where `score([x1, x2])` changes its sign, over the data, and how far from zero it is."""
    xy = np.asarray(points)
    low, high = xy.min(axis=0) - 0.4, xy.max(axis=0) + 0.4
    x1 = np.linspace(low[0], high[0], resolution)
    x2 = np.linspace(low[1], high[1], resolution)
    z = np.array([[score([float(a), float(b)]) for a in x1] for b in x2])
    fig, ax = plt.subplots(figsize=(7, 4))
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
    right = sum(
        score([float(a), float(b)]) * label > 0 for (a, b), label in zip(xy, labels, strict=True)
    )
    describe(
        f"Map of the score over the plane, from {_number(z.min(), 2)} to {_number(z.max(), 2)}, "
        f"with the data on it: {right} of {len(xy)} points lie on the side of their label. "
        f"The score is positive on {(z > 0).mean():.0%} of the area."
    )
