"""The figures of lecture 04, each drawn from numbers that the notebook has measured.

Beside the plots stands a diagram, `inside_batchnorm`: the layer taken apart.
"""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float
from matplotlib.patches import Rectangle
from torch import Tensor

from zerotohero.course.drawing import Drawing
from zerotohero.course.plots import BLACK, BLUE, COLOURS, ORANGE, RED, describe
from zerotohero.course.plots.diagram import diagram
from zerotohero.course.plots.mlp import from_to, smooth
from zerotohero.diagnostics import Diagnosis, LayerReading, UpdateRecorder

HEALTHY = -3  # log10 of the update:data ratio to aim at


def sheets(hpre: Float[Tensor, "B C"]) -> None:
    """Draw the (B, C) sheet twice, with its numbers: BatchNorm's column and LayerNorm's row.

    What is averaged over is framed; the means stand under the columns, and beside the rows.
    """
    B, C = hpre.shape
    _, axes = plt.subplots(1, 2, figsize=(10, 3.4))
    frames = {
        "BatchNorm: a column, over the batch": ((-0.5, -0.5), 1, B, RED),
        "LayerNorm: a row, over the units": ((-0.5, -0.5), C, 1, BLUE),
    }
    for ax, (title, (corner, width, height, colour)) in zip(axes, frames.items(), strict=True):
        ax.imshow(hpre.tolist(), aspect="auto", cmap="Greys", alpha=0.25)
        for i, row in enumerate(hpre.tolist()):
            for j, number in enumerate(row):
                ax.text(j, i, f"{number:.2f}", ha="center", va="center")
        ax.add_patch(
            Rectangle(corner, width, height, fill=False, linewidth=3, color=colour, clip_on=False)
        )
        ax.set(title=title, xlim=(-0.5, C - 0.5), ylim=(B - 0.5, -0.5))
        ax.grid(visible=False)
        ax.tick_params(length=0)
    left, right = axes
    means = [f"unit {j}\nmean {mean:.2f}" for j, mean in enumerate(hpre.mean(0).tolist())]
    left.set_xticks(range(C), means)
    left.set_yticks(range(B), [f"example {i}" for i in range(B)])
    right.set_xticks(range(C), [f"unit {j}" for j in range(C)])
    means = [f"example {i}: mean {mean:.2f}" for i, mean in enumerate(hpre.mean(1).tolist())]
    right.set_yticks(range(B), means)
    columns, rows = (
        ", ".join(f"{mean:.2f}" for mean in hpre.mean(axis).tolist()).replace("-", "−")
        for axis in (0, 1)
    )
    describe(
        f"Two copies of one table of {B} examples (rows) by {C} units (columns). In the left one a "
        f"column is framed, and the means of the columns are {columns}. In the right one a row is "
        f"framed, and the means of the rows are {rows}."
    )


def inside_batchnorm(C: int) -> Drawing:
    """Return the diagram of a BatchNorm layer in train mode, with C units.

    Mean and variance of the batch go into each example, and move the running estimates.
    """
    return diagram(
        f"""
        x -> − : (B, {C})
        x -> mean
        x -> var
        mean -> −
        − -> ÷ : (B, {C})
        var -> ÷ : √(var + ε)
        ÷ -> × : (B, {C})
        gamma -> ×
        × -> + : (B, {C})
        beta -> +
        + -> out : (B, {C})
        mean -> running_mean : 10 % of the way
        var -> running_var : 10 % of the way
        """,
        parameters={"gamma": f"({C},)", "beta": f"({C},)"},
        frames={"batch": ["mean", "var"]},
        alt="BatchNorm in train mode: each unit's mean over the batch is subtracted from x, the "
        "root of its variance divides it; then gamma multiplies and beta is added. Mean and "
        "variance also move the running estimates a tenth of the way.",
    )


def starts(runs: Mapping[str, Sequence[float]], V: int, steps: int = 400) -> None:
    """Draw the first minibatch losses of some runs, smoothed, and the loss of knowing nothing."""
    _, ax = plt.subplots()
    for (name, losses), colour, dash in zip(
        runs.items(), (RED, BLUE, ORANGE), ("--", "-", ":"), strict=False
    ):
        ax.plot(smooth(losses[:steps], 5), dash, color=colour, label=name)
    ax.axhline(math.log(V), color=BLACK, linewidth=1, label=f"ln {V}: knowing nothing")
    ax.set(xlabel="step", ylabel="loss, nats a character", ylim=(0, None))
    ax.set_title("The first steps: minibatch loss, mean of the last 5")
    ax.legend()
    curves = {name: smooth(losses[:steps], 5) for name, losses in runs.items()}
    describe(
        f"Line chart of the smoothed loss over {max(map(len, curves.values()))} steps: "
        f"{from_to(curves)}. A horizontal line marks what knowing nothing costs, {math.log(V):.2f}."
    )


def saturation(hidden: Mapping[str, Float[Tensor, "B H"]]) -> None:
    """Draw for each network the histogram of its tanh outputs, and a map of where |tanh| > 0.97."""
    _, axes = plt.subplots(
        2, len(hidden), figsize=(10, 5.2), squeeze=False, height_ratios=[1, 1.2], sharey="row"
    )
    for (top, bottom), (title, h) in zip(axes.T, hidden.items(), strict=True):
        flat = h.abs() > 0.97
        top.hist(h.flatten().tolist(), bins=50, range=(-1, 1), color=BLUE)
        top.set(title=f"{title}: {flat.float().mean():.0%} saturated", xlabel="output of tanh")
        top.set_xticks([-1, -0.5, 0, 0.5, 1])
        bottom.imshow(
            flat.numpy(), cmap="gray_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest"
        )
        bottom.set(xlabel="hidden unit")
        bottom.grid(visible=False)
    axes[0, 0].set_ylabel("how many")
    axes[1, 0].set_ylabel("example (black: |tanh| > 0.97)")
    said = [
        f"{title}, {(h.abs() > 0.97).float().mean():.0%} are beyond ±0.97 and "
        f"{(h.abs() < 0.5).float().mean():.0%} within ±0.5"
        for title, h in hidden.items()
    ]
    describe(
        "Above, histograms of the outputs of tanh; below, maps of which are saturated, a row for "
        f"each example and a column for each hidden unit. Of the outputs at {'; at '.join(said)}."
    )


def coupling(train: Sequence[float], eval_: float, name: str) -> None:
    """Draw one example's probability in many batches: a histogram; and in eval mode: a line."""
    fig, ax = plt.subplots()
    ax.hist(train, bins=30, color=BLUE, label="train mode, with other mates each time")
    ax.axvline(eval_, color=BLACK, linestyle="--", label="eval mode: the same in any company")
    title = f"One example in {len(train)} batches"
    ax.set(xlabel=f"probability of {name}", ylabel="batches", title=title)
    ax.set_axisbelow(True)
    fig.legend(loc="outside lower center", ncols=2)
    describe(
        f"Histogram of the probability of {name} in {len(train)} batches in train mode: it goes "
        f"from {min(train):.2f} to {max(train):.2f}, with a mean of {sum(train) / len(train):.2f}. "
        f"A vertical line marks the one value of eval mode, {eval_:.2f}."
    )


def activations(diagnosis: Diagnosis) -> list[LayerReading]:
    """Return the readings of the activation layers (tanh, ReLU, sigmoid), in order."""
    return [reading for reading in diagnosis.layers if reading.flat is not None]


def layers(diagnoses: Mapping[str, Diagnosis]) -> None:
    """Draw a column for each network: what its activations put out, and what gradients came back.

    A line a layer, the first dashed and red, the last thick and dark. All gradients have one scale.
    """
    n = len(diagnoses)
    fig, axes = plt.subplots(2, n, figsize=(10, 5.4), squeeze=False, sharey="row")
    readings = {title: activations(d) for title, d in diagnoses.items()}
    reach = 4 * max(r.grad.std().item() for row in readings.values() for r in row[-1:])
    power = math.floor(math.log10(reach)) if reach else 0  # ticks are whole numbers times 10^power
    for (top, bottom), (title, row) in zip(axes.T, readings.items(), strict=True):
        for i, reading in enumerate(row):
            look = _shade(i, len(row))
            if i in (0, len(row) - 1):
                look |= {"linestyle": "-" if i else "--", "linewidth": 2.2 if i else 1.6}
            _outline(top, reading.out, 1.0, label=f"layer {i + 1}", **look)
            _outline(bottom, reading.grad, reach, **look)
        tick = int(reach / 10**power)
        top.set(title=title, xlabel="output of tanh")
        top.set_xticks([-1, 0, 1], ["−1", "0", "1"])
        bottom.set_xlabel(rf"its gradient, $\times\,10^{{{power}}}$")
        bottom.set_xticks([-tick * 10**power, 0, tick * 10**power], [f"−{tick}", "0", f"{tick}"])
        for ax in (top, bottom):
            ax.set_yscale("symlog", linthresh=0.01)
            ax.set_yticks([0, 0.01, 0.1, 1], ["0", "1 %", "10 %", "100 %"])
            ax.set_yticks([], minor=True)
            ax.set_ylim(0, 1.3)
    axes[0, 0].set_ylabel("share of outputs")
    axes[1, 0].set_ylabel("share of gradients")
    lines = axes[0, 0].lines
    fig.legend(handles=lines, loc="outside lower center", ncols=len(lines))
    said = [
        f"{title}, outputs {row[0].out.std():.2f} and {row[-1].out.std():.2f}, gradients "
        f"{row[0].grad.std():.0e} and {row[-1].grad.std():.0e}"
        for title, row in readings.items()
    ]
    describe(
        "Outlines of histograms, a column for each network and a line for each layer: above of the "
        "outputs of tanh, below of their gradients. The standard deviations in the first and the "
        f"last layer: {'; '.join(said)}."
    )


def gradient_ratios(diagnoses: Mapping[str, Diagnosis]) -> None:
    """Draw the gradient:data ratio of every weight tensor, one line a network, logarithmic."""
    _, ax = plt.subplots(figsize=(10, 3.6))
    for (title, d), colour, marker in zip(diagnoses.items(), COLOURS, "os^dv", strict=False):
        ratios = [weight.ratio for weight in d.weights]
        ax.semilogy(ratios, marker=marker, color=colour, label=title)
    names = [
        "embedding",
        *[f"hidden {i + 1}" for i in range(len(ratios) - 2)],
        "output",
    ]
    ax.set_xticks(range(len(ratios)), names, fontsize=9)
    ax.set(ylabel="std(gradient) / std(data)", title="Gradient:data ratio of the weights")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    said = []
    for title, d in diagnoses.items():
        first, before, last = (d.weights[i].ratio for i in (0, -2, -1))
        said += [f"{title}, {first:.1g}, {before:.1g} and {last:.1g}"]
    describe(
        "Line chart on a logarithmic axis: each weight tensor's standard deviation of the gradient "
        "over that of the values, from the embedding to the output layer. At the embedding, the "
        f"last hidden layer and the output layer it is: {'; '.join(said)}."
    )


def updates(recorders: Mapping[str, UpdateRecorder]) -> None:
    """Draw update:data ratios over training: a panel a run, a line a weight tensor, −3 dashed."""
    _, axes = plt.subplots(1, len(recorders), figsize=(10, 3.6), squeeze=False, sharey=True)
    for ax, (title, recorder) in zip(axes[0], recorders.items(), strict=True):
        last = len(recorder.ratios) - 1
        for i, ratios in enumerate(recorder.ratios.values()):
            kind = {0: ("embedding", ":"), last: ("output", "--")}.get(i, (f"hidden {i}", "-"))
            look = _shade(i, last + 1)
            ax.plot(recorder.steps, smooth(ratios, 5), kind[1], label=kind[0], **look)
        ax.axhline(HEALTHY, color=BLACK, linewidth=1.2, linestyle=(0, (5, 3)))
        ax.set(title=title, xlabel="step")
    axes[0, 0].set_ylabel("log10 of update:data")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    said = []
    for title, recorder in recorders.items():
        at_last = [smooth(ratios, 5)[-1] for ratios in recorder.ratios.values()]
        between = f"{min(at_last):.1f} and {max(at_last):.1f}".replace("-", "−")
        said += [f"{title}, between {between}"]
    describe(
        f"{len(recorders)} line charts, a line for each weight tensor: log10 of the size of an "
        "update over that of the weights, against the step, with a line at −3. After the last step "
        f"all lie: {'; '.join(said)}."
    )


def _shade(i: int, n: int) -> dict:
    """Return the colour of line i of n, from red to dark blue: dark enough on white."""
    return {"color": plt.get_cmap("plasma")(0.6 * (1 - i / max(1, n - 1)))}


def _outline(ax, values: Tensor, reach: float, **style) -> None:
    """Draw the outline of a histogram of 60 bins over ±reach, as shares of all values."""
    values = values.detach().float().flatten()
    counts = torch.histc(values.clamp(-reach, reach), 60, -reach, reach) / len(values)
    centres = (torch.arange(60) + 0.5) / 30 * reach - reach
    ax.plot(centres.tolist(), counts.tolist(), **({"linewidth": 1.3} | style))
