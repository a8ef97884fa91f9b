"""Lecture 02's pictures: two diagrams, and figures of the tensors that the notebook has made."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
from jaxtyping import Float, Int64
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from torch import Tensor

from zerotohero.course.drawing import Drawing
from zerotohero.course.plots import BLACK, BLUE, GREEN, ORANGE, RED, describe
from zerotohero.course.plots.diagram import diagram

GREY = "#666666"  # on the lightest blue of the table a contrast of 5.5


def steps(word: str, probs: Sequence[float] | Float[Tensor, " T"]) -> Drawing:
    """Return a word drawn as a walk between boundaries, with the probability of each step."""
    names = [f"{s}#{i}" for i, s in enumerate("." + word + ".")]
    arrows = [f"{a} -> {b} : {p:.3f}" for a, b, p in zip(names, names[1:], probs, strict=False)]
    return diagram(
        "\n".join(arrows),
        alt=f"The steps of {word}, from the boundary over its letters back to the boundary, "
        "each with its probability.",
    )


def network(T: int, V: int) -> Drawing:
    """Return the network for T characters, drawn: one-hot rows, W, softmax, the loss against ys."""
    return diagram(
        f"""
        xs -> one-hot : ({T},)
        one-hot -> W : ({T}, {V})
        W -> softmax : logits ({T}, {V})
        softmax -> loss : probs ({T}, {V})
        ys -> loss : ({T},)
        """,
        parameters={"W": f"({V}, {V})"},
        alt="The network: characters become one-hot rows, the matrix W turns these into logits, "
        "softmax into probabilities, and those of the characters that followed give the loss.",
    )


def count_matrix(N: Int64[Tensor, "V V"], itos: Sequence[str]) -> None:
    """Draw the counts as a heat map with their numbers: row = this character, column = next."""
    _, ax = plt.subplots(figsize=(10, 10))
    # The logarithm keeps 6,808 from making everything below 500 look empty.
    shades = ax.imshow((N + 1).log().numpy())
    for i, row in enumerate(N.tolist()):
        for j, n in enumerate(row):
            shade = shades.to_rgba(math.log(n + 1))
            ink = max("white", "black", key=lambda ink: contrast(ink, shade))
            ax.text(j, i, str(n), ha="center", va="center", fontsize=7.5, color=ink if n else GREY)
    _characters(ax, itos)
    ax.set(xlabel="next character", ylabel="this character")
    ax.set_title("How often each character follows each (the darker, the more often)")
    V, cells = len(itos), N.flatten()
    top = [divmod(place, V) for place in cells.topk(min(5, V)).indices.tolist()]
    pairs = ", ".join(f"{itos[j]} after {itos[i]} ({N[i, j]:,} times)" for i, j in top)
    describe(
        f"Table of counts with a row and a column for each of {V} characters; the dot is a name's "
        f"boundary. The most frequent pairs are {pairs}. Of {V * V} pairs, {(cells == 0).sum()} "
        "have the count 0."
    )


def row_sums(right: Float[Tensor, "V V"], wrong: Float[Tensor, "V V"], itos: Sequence[str]) -> None:
    """Draw what the rows of two tables sum to, one bar a row: with keepdim and without."""
    _, (top, bottom) = plt.subplots(2, 1, figsize=(7, 4.2), sharex=True)
    for ax, table, colour, title in [
        (top, right, BLUE, "with keepdim=True: every row sums to 1"),
        (bottom, wrong, RED, "without: the sums are anything"),
    ]:
        ax.bar(range(len(itos)), table.sum(1).tolist(), color=colour)
        ax.axhline(1, color=BLACK, linestyle="--", linewidth=1)
        ax.set(ylabel="row sum", title=title)
        ax.grid(axis="x", visible=False)
        ax.set_axisbelow(True)
    bottom.set_xticks(range(len(itos)), itos)
    bottom.set_xlabel("this character (the row)")
    off, sums = (right.sum(1) - 1).abs().max(), wrong.sum(1)
    low, high = int(sums.argmin()), int(sums.argmax())
    describe(
        f"Two bar charts, a bar for the sum of each of {len(itos)} rows, with a line at 1. In the "
        f"upper one the bars miss the line by {off:.1g} at most; in the lower one they go from "
        f"{sums[low]:.2g} ({itos[low]}) to {sums[high]:.2g} ({itos[high]})."
    )


def temperatures(tables: Mapping[float, Float[Tensor, "V V"]], itos: Sequence[str]) -> None:
    """Draw probability tables side by side, one a temperature, on one scale of colour."""
    fig, axes = plt.subplots(1, len(tables), figsize=(10, 3.8))
    for ax, (temperature, table) in zip(axes, tables.items(), strict=True):
        image = ax.imshow(table.numpy(), vmin=0, vmax=1)
        _characters(ax, itos, every=2, size=8)
        ax.set(title=f"temperature {temperature:g}", xlabel="next character")
    axes[0].set_ylabel("this character")
    fig.colorbar(image, ax=axes, label="probability", shrink=0.8)
    shares = ", ".join(f"{table.amax(1).mean():.0%} at {t:g}" for t, table in tables.items())
    describe(
        f"Heat maps of a probability table at {len(tables)} temperatures, a row for each character "
        "and a column for the next. The most probable next character of a row has on average this "
        f"share of it: {shares}."
    )


def logits_to_probs(logits: Float[Tensor, " V"], itos: Sequence[str], after: str) -> None:
    """Draw one row on its way through softmax: logits, their exponentials, the normalised row."""
    _, axes = plt.subplots(3, 1, figsize=(7, 5.4), sharex=True)
    steps = [
        (logits, "logits: any number", BLUE),
        (logits.exp(), "exp(logits): positive, like counts", ORANGE),
        (logits.softmax(0), "divided by their sum: probabilities", GREEN),
    ]
    for ax, (values, title, colour) in zip(axes, steps, strict=True):
        ax.bar(range(len(itos)), values.tolist(), color=colour)
        ax.set(title=title)
        ax.grid(axis="x", visible=False)
        ax.set_axisbelow(True)
    axes[-1].set_xticks(range(len(itos)), itos)
    axes[-1].set_xlabel(f"next character after {after!r}")
    low, high = int(logits.argmin()), int(logits.argmax())
    ends = [f"from {v[low]:.2g} to {v[high]:.2g}".replace("-", "−") for v, _, _ in steps]
    describe(
        f"Three bar charts one above another, a bar for each character after {after}: the logits "
        f"go {ends[0]}, their exponentials {ends[1]}, the probabilities {ends[2]}. In all three "
        f"{itos[low]} has the least and {itos[high]} the most."
    )


def training(runs: Mapping[str, Sequence[float]], counted: float, blind: float) -> None:
    """Draw the loss of the network against the step, between knowing nothing and counting."""
    _, ax = plt.subplots()
    for (name, losses), dash in zip(runs.items(), cycle(("-", "--", ":")), strict=False):
        ax.plot(range(1, len(losses) + 1), losses, dash, label=name)
    # Beside the axes, since every place in them is crossed by a curve.
    beside = ax.get_yaxis_transform()
    for level, text in [(blind, "knowing\nnothing: ln 27"), (counted, "counting")]:
        ax.axhline(level, color=BLACK, linewidth=1, linestyle="-.")
        ax.text(1.01, level, text, va="center", transform=beside, fontsize=9)
    ax.set(xscale="log", xlabel="step (logarithmic)", ylabel="loss, nats a character")
    ax.set_title("Gradient descent goes down to the counted loss, and no further")
    ax.set_ylim(2.25, 4.0)
    ax.figure.legend(loc="outside upper right", ncols=len(runs))
    ends = [f"{name} from {v[0]:.2f} to {v[-1]:.2f}" for name, v in runs.items()]
    describe(
        f"Line chart of the loss against the step, from the first step to the last: "
        f"{'; '.join(ends)}. Horizontal lines mark knowing nothing at {blind:.2f} and counting "
        f"at {counted:.2f}."
    )


def pull_to_uniform(
    smoothed: Mapping[str, Float[Tensor, " V"]],
    decayed: Mapping[str, Float[Tensor, " V"]],
    itos: Sequence[str],
    after: str,
    characters: str = ".aeiouwz",
) -> None:
    """Draw a few cells of one row under growing smoothing (left) and growing decay (right)."""
    _, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True)
    places = [itos.index(s) for s in characters]
    panels = [(smoothed, "counted, smoothed by k"), (decayed, "learned, with decay λ")]
    for ax, (rows, title) in zip(axes, panels, strict=True):
        for k, (name, row) in enumerate(rows.items()):
            x = [i + 0.2 * (k - (len(rows) - 1) / 2) for i in range(len(places))]
            ax.bar(x, row[places].tolist(), width=0.2, label=name)
        ax.axhline(1 / len(itos), color=BLACK, linestyle="--", linewidth=1)
        ax.set_xticks(range(len(places)), characters)
        ax.set(title=title, xlabel=f"next character after {after!r}")
        ax.grid(axis="x", visible=False)
        ax.set_axisbelow(True)
        ax.legend(loc="upper left")
    axes[0].set_ylabel("probability")
    said = []
    for rows, _ in panels:
        best = max(places, key=lambda i: next(iter(rows.values()))[i].item())
        shares = ", ".join(f"{row[best]:.2f} at {name}" for name, row in rows.items())
        said += [f"{itos[best]} has {shares}"]
    describe(
        f"Two bar charts of the probability of {len(places)} characters after {after}. On the "
        f"left, under smoothing, {said[0]}; on the right, under decay, {said[1]}. A line at "
        f"{1 / len(itos):.3f} marks where all are equal."
    )


def contrast(one: object, other: object) -> float:
    """Return the contrast of two colours as WCAG 2 defines it: 1 (none) to 21; text needs 4.5."""
    dark, light = sorted(map(_luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: object) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _characters(ax: Axes, itos: Sequence[str], every: int = 1, size: float = 9) -> None:
    ax.set_xticks(range(0, len(itos), every), itos[::every], fontsize=size)
    ax.set_yticks(range(0, len(itos), every), itos[::every], fontsize=size)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
