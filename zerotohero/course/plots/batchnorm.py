"""The figures of lecture 04, each drawn from numbers that the notebook has measured."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float
from torch import Tensor

from zerotohero.course.plots import BLACK, BLUE, COLOURS, ORANGE, RED
from zerotohero.course.plots.mlp import smooth
from zerotohero.diagnostics import Diagnosis, LayerReading, UpdateRecorder

HEALTHY = -3  # log10 of the update:data ratio to aim at


def starts(runs: Mapping[str, Sequence[float]], V: int, steps: int = 400) -> None:
    """The first minibatch losses of several runs, smoothed, and the loss of knowing nothing."""
    _, ax = plt.subplots()
    for (name, losses), colour, dash in zip(
        runs.items(), (RED, BLUE, ORANGE), ("--", "-", ":"), strict=False
    ):
        ax.plot(smooth(losses[:steps], 5), dash, color=colour, label=name)
    ax.axhline(math.log(V), color=BLACK, linewidth=1, label=f"ln {V}: knowing nothing")
    ax.set(xlabel="step", ylabel="loss, nats a character", ylim=(0, None))
    ax.set_title("The first steps: minibatch loss, mean of the last 5")
    ax.legend()


def saturation(hidden: Mapping[str, Float[Tensor, "B H"]]) -> None:
    """For each network the histogram of its tanh outputs, and a map of where |tanh| > 0.97."""
    _, axes = plt.subplots(
        2, len(hidden), figsize=(9.5, 5.2), squeeze=False, height_ratios=[1, 1.2], sharey="row"
    )
    for (top, bottom), (title, h) in zip(axes.T, hidden.items(), strict=True):
        flat = h.abs() > 0.97
        top.hist(h.flatten().tolist(), bins=50, range=(-1, 1), color=BLUE)
        top.set(title=f"{title}: {flat.float().mean():.0%} saturated", xlabel="output of tanh")
        bottom.imshow(
            flat.numpy(), cmap="gray_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest"
        )
        bottom.set(xlabel="hidden unit")
        bottom.grid(visible=False)
    axes[0, 0].set_ylabel("how many")
    axes[1, 0].set_ylabel("example (black: |tanh| > 0.97)")


def coupling(train: Sequence[float], eval_: float, name: str) -> None:
    """One example's probability in many batches: a histogram; and in eval mode: a line."""
    _, ax = plt.subplots(figsize=(7, 3))
    ax.hist(train, bins=30, color=BLUE, label="train mode, with other mates each time")
    ax.axvline(eval_, color=RED, linestyle="--", label="eval mode: the same in any company")
    ax.set(xlabel=f"probability of {name}", ylabel="batches", title="One example, 500 batches")
    ax.set_axisbelow(True)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))


def activations(diagnosis: Diagnosis) -> list[LayerReading]:
    """The readings of the activation layers (tanh, ReLU, sigmoid), in order."""
    return [reading for reading in diagnosis.layers if reading.flat is not None]


def layers(diagnoses: Mapping[str, Diagnosis]) -> None:
    """For each network a column: what its activations put out, and the gradients that came back.

    A line a layer, light for the first and dark for the last. All gradients have one scale.
    """
    n = len(diagnoses)
    _, axes = plt.subplots(2, n, figsize=(2.75 * n, 5.4), squeeze=False, sharey="row")
    readings = {title: activations(d) for title, d in diagnoses.items()}
    reach = 4 * max(r.grad.std().item() for row in readings.values() for r in row[-1:])
    for (top, bottom), (title, row) in zip(axes.T, readings.items(), strict=True):
        for i, reading in enumerate(row):
            shade = plt.get_cmap("viridis_r")(0.12 + 0.85 * i / max(1, len(row) - 1))
            label = f"{i + 1}: {reading.saturated:.0%}"
            _outline(top, reading.out, 1.0, color=shade, label=label)
            _outline(bottom, reading.grad, reach, color=shade, label=f"{reading.grad.std():.0e}")
        top.set(title=title, xlabel="output of tanh")
        bottom.set(xlabel="gradient by it")
        bottom.ticklabel_format(axis="x", style="sci", scilimits=(0, 0))
        top.legend(title="layer: saturated", fontsize=8, title_fontsize=8, loc="upper center")
        bottom.legend(title="std", fontsize=8, title_fontsize=8, loc="upper right")
        for ax in (top, bottom):
            ax.set_yscale("symlog", linthresh=0.01)
            ax.set_yticks([0, 0.01, 0.1, 1], ["0", "1 %", "10 %", "100 %"])
            ax.set_yticks([], minor=True)
            ax.set_ylim(0, 400 if ax is top else 3)  # room for the legend
    axes[0, 0].set_ylabel("share of outputs (bins of 1/30)")
    axes[1, 0].set_ylabel("share of gradients")


def gradient_ratios(diagnoses: Mapping[str, Diagnosis]) -> None:
    """The gradient:data ratio of every weight tensor, one line a network, logarithmic."""
    _, ax = plt.subplots(figsize=(9, 3.6))
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


def updates(recorders: Mapping[str, UpdateRecorder]) -> None:
    """Update:data ratios over the training: a panel a run, a line a weight tensor, −3 dashed."""
    _, axes = plt.subplots(1, len(recorders), figsize=(10, 3.6), squeeze=False, sharey=True)
    for ax, (title, recorder) in zip(axes[0], recorders.items(), strict=True):
        last = len(recorder.ratios) - 1
        for i, ratios in enumerate(recorder.ratios.values()):
            shade = plt.get_cmap("viridis_r")(0.12 + 0.85 * i / max(1, last))
            kind = {0: ("embedding", ":"), last: ("output", "--")}.get(i, (f"hidden {i}", "-"))
            ax.plot(recorder.steps, smooth(ratios, 5), kind[1], color=shade, label=kind[0])
        ax.axhline(HEALTHY, color=BLACK, linewidth=1.2, linestyle=(0, (5, 3)))
        ax.set(title=title, xlabel="step")
    axes[0, 0].set_ylabel("log10 of update:data")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)


def _outline(ax, values: Tensor, reach: float, **style) -> None:
    """The outline of a histogram of 60 bins over ±reach, as shares of all values."""
    values = values.detach().float().flatten()
    counts = torch.histc(values.clamp(-reach, reach), 60, -reach, reach) / len(values)
    centres = (torch.arange(60) + 0.5) / 30 * reach - reach
    ax.plot(centres.tolist(), counts.tolist(), linewidth=1.3, **style)
