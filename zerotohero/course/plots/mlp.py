"""The figures of lecture 03, each drawn from numbers that the notebook has measured.

Beside the plots stand two diagrams: `network`, which lecture 04 shows again, and `adamw`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from zerotohero.course.drawing import Drawing
from zerotohero.course.plots import BLACK, BLUE, ORANGE, RED, describe
from zerotohero.course.plots.diagram import diagram

VOWELS = "aeiouy"


def network(context: str, C: int, H: int, V: int) -> Drawing:
    """Return the diagram of Bengio's network on one context, with C, H and V as in `MLPConfig`.

    Each character goes through the same table, the rows stand side by side, and two layers follow.
    """
    T = len(context)
    characters = [f"{character}#{i}" for i, character in enumerate(context)]
    arrows = [f"{character} -> wte" for character in characters]
    arrows += [f"wte -> side by side : ({C},)"] * T
    arrows += [
        f"side by side -> W1, b1 : ({T * C},)",
        f"W1, b1 -> tanh : ({H},)",
        f"tanh -> W2, b2 : ({H},)",
        f"W2, b2 -> logits : ({V},)",
    ]
    return diagram(
        "\n".join(arrows),
        parameters={
            "wte": f"({V}, {C})",
            "W1, b1": f"({T * C}, {H}), ({H},)",
            "W2, b2": f"({H}, {V}), ({V},)",
        },
        alt=f"The {T} characters of {context!r} are each looked up in one table wte; their {T} "
        f"vectors of {C} numbers, side by side, go through W1 and b1, tanh, W2 and b2, and give "
        f"{V} logits.",
    )


def adamw(lr: float = 0.02) -> Drawing:
    """Return the diagram of one AdamW step: from a parameter's gradient to its new value."""
    return diagram(
        f"""
        grad -> m : 10 %
        grad -> v : 0.1 % of grad²
        m -> ÷ : ÷ (1 − 0.9ᵗ)
        v -> ÷ : ÷ (1 − 0.999ᵗ), √
        ÷ -> × lr : about ±1
        × lr -> − : at most about {lr:g}
        p -> − : p · (1 − lr · decay)
        − -> new p
        """,
        parameters={"p": "the parameter"},
        frames={"running": ["m", "v"]},
        alt="A step of AdamW: the gradient moves a running mean m and a running mean of squares v; "
        "m divided by the root of v, times the learning rate, is subtracted from the parameter, "
        "which has been pulled a little towards zero.",
    )


def counting_by_context(
    lengths: Sequence[int],
    train: Sequence[float],
    dev: Sequence[float],
    unseen: Sequence[float],
) -> None:
    """Draw losses of counted tables by context length, and the share of unknown contexts."""
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
    _train_and_dev(left, lengths, train, dev)
    left.set(xlabel="characters of context", ylabel="loss, nats a character", xticks=lengths)
    left.set_title("Counting: longer contexts, then worse guesses")
    right.bar(lengths, [100 * share for share in unseen], color=BLUE, width=0.6)
    for x, share in zip(lengths, unseen, strict=True):
        right.annotate(f"{100 * share:.2g} %", (x, 100 * share), ha="center", va="bottom")
    right.set(xlabel="characters of context", ylabel="dev contexts, %", xticks=lengths)
    right.set_title("Contexts that were never counted")
    right.grid(axis="x", visible=False)
    right.set_axisbelow(True)
    losses = ", ".join(
        f"{a:.2f} and {b:.2f} with {n}" for n, a, b in zip(lengths, train, dev, strict=True)
    )
    describe(
        f"Left, two lines: the loss on train and on dev against the characters of context, "
        f"{losses}. Right, bars: the share of dev contexts without a count goes from "
        f"{unseen[0]:.2%} to {unseen[-1]:.2%}."
    )


def certainty(probs: Float[Tensor, "B V"], V: int) -> None:
    """Draw how sure a network is: a histogram of the largest probability of each row."""
    _, ax = plt.subplots()
    ax.hist(probs.amax(1).tolist(), bins=25, range=(0, 1), color=BLUE)
    ax.set_axisbelow(True)
    ax.axvline(1 / V, color=RED, linestyle="--", label=f"1/{V}: what knowing nothing looks like")
    ax.set(xlabel="probability of the network's favourite", ylabel="contexts")
    ax.set_title("An untrained network is sure of itself")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.legend()
    best = probs.amax(1)
    describe(
        f"Histogram of the largest probability of each of {len(best):,} contexts. It is above 0.9 "
        f"in {(best > 0.9).float().mean():.0%} of them, with a median of {best.median():.2f}; a "
        f"line marks 1/{V}, which is {1 / V:.2f}."
    )


def learning_rates(rates: Sequence[float], losses: Sequence[float], chosen: float) -> None:
    """Draw the loss of one step at each rate, raw and smoothed, with the rate that was chosen."""
    _, ax = plt.subplots()
    ax.plot(rates, losses, color=BLUE, alpha=0.25, linewidth=0.8, label="one minibatch")
    ax.plot(rates, smooth(losses, 50), color=BLUE, linewidth=2, label="mean of 50")
    ax.axvline(chosen, color=RED, linestyle="--", label=f"chosen: {chosen:g}")
    ax.set(xscale="log", xlabel="learning rate (logarithmic)", ylabel="loss, nats a character")
    # A step that is far too long can throw the loss anywhere; it must not squash the rest.
    ax.set_ylim(0, 1.1 * max(losses[: len(losses) // 4]))
    ax.set_title("One step at each learning rate, from small to large")
    ax.legend()
    mean = smooth(losses, 50)
    least = min(range(len(mean)), key=mean.__getitem__)
    describe(
        f"Line chart of the loss against a logarithmic learning rate. The mean of 50 steps is "
        f"{mean[0]:.1f} at {rates[0]:.2g}, at its lowest {mean[least]:.1f} with "
        f"{rates[least]:.2g}, and {mean[-1]:.1f} at {rates[-1]:.2g}; a vertical line marks "
        f"{chosen:g}."
    )


def schedules(rates: Mapping[str, Sequence[float]]) -> None:
    """Draw the learning rate of every step, a line a schedule."""
    _, ax = plt.subplots()
    styles = zip(rates.items(), (RED, ORANGE, BLUE), (":", "--", "-"), strict=False)
    for (name, values), colour, dash in styles:
        ax.plot(values, dash, color=colour, linewidth=2, label=name)
    ax.set(xlabel="step", ylabel="learning rate", title="Three schedules", ylim=(0, None))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    plans = [
        f"{name} is {v[0]:.3g} at first, {v[len(v) // 2]:.3g} half-way and {v[-1]:.1g} at last"
        for name, v in rates.items()
    ]
    describe(f"Line chart of the learning rate against the step: {'; '.join(plans)}.")


def loss_curves(runs: Mapping[str, Sequence[float]], V: int) -> None:
    """Draw minibatch losses of several runs against the step, smoothed, on logarithmic axes."""
    _, ax = plt.subplots()
    styles = zip(runs.items(), (BLUE, ORANGE, RED), ("-", "--", ":"), strict=False)
    for (name, losses), colour, dash in styles:
        ax.plot(range(1, len(losses) + 1), smooth(losses, 100), dash, color=colour, label=name)
    ax.axhline(math.log(V), color=BLACK, linewidth=1, label=f"ln {V}: knowing nothing")
    ax.set(xscale="log", yscale="log", xlabel="step (logarithmic)")
    ax.set_yticks([2, 3, 5, 10, 20], ["2", "3", "5", "10", "20"])
    ax.set_yticks([], minor=True)
    ax.set(ylabel="loss, nats a character", title="Loss of the minibatches, mean of the last 100")
    ax.legend()
    curves = {name: smooth(losses, 100) for name, losses in runs.items()}
    describe(
        f"Line chart of the smoothed loss against the step, both logarithmic: {from_to(curves)}. "
        f"A horizontal line marks what knowing nothing costs, {math.log(V):.2f}."
    )


def fitting(
    sizes: Sequence[int],
    by_size: Sequence[tuple[float, float]],
    counts: Sequence[int],
    by_count: Sequence[tuple[float, float]],
) -> None:
    """Train and dev loss: left against the hidden units, right against the training names."""
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    for ax, x, losses in ((left, sizes, by_size), (right, counts, by_count)):
        train, dev = zip(*losses, strict=True)
        _train_and_dev(ax, x, train, dev)
        ax.set(xscale="log", ylabel="loss, nats a character")
        ax.set_xticks(x, [f"{n:,}" for n in x])
        ax.set_xticks([], minor=True)
    left.set(xlabel="hidden units", title="Too small a network: both are high")
    right.set(xlabel="training names", title="Too few names: the two part")
    left_said, right_said = (
        ", ".join(f"{a:.2f} and {b:.2f} with {n:,}" for n, (a, b) in zip(x, losses, strict=True))
        for x, losses in ((sizes, by_size), (counts, by_count))
    )
    describe(
        "Two line charts of the loss on train and on dev. Left, against the hidden units: "
        f"{left_said}. Right, against the training names: {right_said}."
    )


def embedding(tables: Mapping[str, Float[Tensor, "V 2"]], itos: Sequence[str]) -> None:
    """Draw two-dimensional embedding tables side by side: each character at its two numbers."""
    _, axes = plt.subplots(1, len(tables), figsize=(10, 5.2))
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        for character, (x, y) in zip(itos, table.tolist(), strict=True):
            vowel = character in VOWELS
            ax.scatter(
                x,
                y,
                s=130,
                marker="o" if vowel else "s",
                color=BLUE if vowel else "white",
                edgecolor=BLUE if vowel else "#555555",
            )
            ink = "white" if vowel else "#222222"
            ax.text(x, y, character, ha="center", va="center", color=ink, fontsize=9)
        ax.set(title=title, xlabel="first number", aspect="equal")
    axes[0].set_ylabel("second number")
    vowels = [i for i, character in enumerate(itos) if character in "aeiou"]
    said = []
    for title, table in tables.items():
        apart = torch.pdist(table[vowels]).mean() / torch.pdist(table).mean()
        said += [f"{title}, {apart:.0%}"]
    describe(
        f"{len(tables)} scatter plots of {len(itos)} characters, each at the two numbers of its "
        "embedding. The mean distance between two of a, e, i, o, u, as a share of that between any "
        f"two characters: {'; '.join(said)}."
    )


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Return the mean of each value and the (up to) `window − 1` before it."""
    means, total = [], 0.0
    for i, value in enumerate(values):
        total += value - (values[i - window] if i >= window else 0.0)
        means.append(total / min(i + 1, window))
    return means


def from_to(curves: Mapping[str, Sequence[float]]) -> str:
    """Return in words from where to where each curve goes."""
    return "; ".join(f"{name} from {v[0]:.2f} to {v[-1]:.2f}" for name, v in curves.items())


def smoothed_losses(runs: Mapping[str, Sequence[float]], looks: Iterable[tuple[str, str]]) -> Axes:
    """Draw minibatch losses against the step, each run smoothed over a fifteenth; return the axes.

    `looks` are the runs' colours and dashes.
    """
    _, ax = plt.subplots()
    for (name, losses), (colour, dash) in zip(runs.items(), looks, strict=False):
        window = max(1, len(losses) // 15)
        steps = range(window, len(losses) + 1)  # full windows only
        ax.plot(steps, smooth(losses, window)[window - 1 :], dash, color=colour, label=name)
    ax.set(xlabel="step", ylabel="loss, nats a character")
    drawn = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    describe(f"Line chart of the smoothed loss against the step: {from_to(drawn)}.")
    return ax


def _train_and_dev(ax, x: Sequence[int], train: Sequence[float], dev: Sequence[float]) -> None:
    ax.plot(x, train, "o-", color=BLUE, label="train")
    ax.plot(x, dev, "s--", color=ORANGE, label="dev")
    ax.legend()
