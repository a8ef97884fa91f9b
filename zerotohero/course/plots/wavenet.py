"""The figures of lecture 06, each drawn from numbers that the notebook has measured."""

import html
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt

from zerotohero.course.plots import BLUE, GREEN, ORANGE, RED
from zerotohero.course.plots.mlp import smoothed_losses

STEP, ROW, LEFT, TOP = 44, 62, 150, 34  # pixels of the network's picture


def loss_curves(runs: Mapping[str, Sequence[float]]) -> None:
    """Minibatch losses of several runs against the step, smoothed."""
    ax = smoothed_losses(runs, ((ORANGE, "--"), (BLUE, "-"), (RED, ":"), (GREEN, "-.")))
    ax.set_title("Loss of the minibatches, smoothed over a fifteenth of the run")
    ax.legend()


def statistics_by_position(means: Sequence[Sequence[float]], shared: Sequence[float]) -> None:
    """The means of some channels: one for each position, beside the one of all.

    `means[t][c]` belongs to position t and channel c, `shared[c]` to channel c.
    """
    _, ax = plt.subplots()
    channels = range(len(shared))
    for t, (row, marker) in enumerate(zip(means, "osD^", strict=False)):
        ax.scatter(channels, row, s=34, marker=marker, label=f"pair {t}", zorder=3)
    for c, mean in enumerate(shared):
        ax.hlines(mean, c - 0.35, c + 0.35, color="black", label="one for all" if c == 0 else None)
    ax.set(xlabel="channel", ylabel="mean", xticks=list(channels))
    ax.set_title("Statistics of axis 0 alone: every position has its own")
    ax.legend(ncols=5, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2))


def pairs_of_runs(broken: Sequence[float], fixed: Sequence[float]) -> None:
    """Dev losses of two variants, one line for each seed, and the means."""
    _, ax = plt.subplots(figsize=(5.5, 3.6))
    pairs = list(zip(broken, fixed, strict=True))
    for i, (pair, marker) in enumerate(zip(pairs, "osD^v", strict=False)):
        ax.plot([0, 1], pair, marker=marker, color=BLUE, alpha=0.7, label=f"seed {i + 1}")
    means = [sum(side) / len(side) for side in (broken, fixed)]
    ax.plot([0, 1], means, "--", color=RED, linewidth=2.5, label="mean")
    ax.set_xticks([0, 1], ["axis 0 only", "axes 0 and 1"])
    ax.set(xlim=(-0.3, 1.3), ylabel="dev loss, nats a character")
    ax.set_title("The same trees with the bug and without")
    ax.legend()


def costs(depths: Sequence[int], by_depth: Sequence[float], forms: Mapping[str, float]) -> None:
    """Left: microseconds a position of each form. Right: times fewer operations by context."""
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
    names = list(forms)[::-1]
    bars = left.barh(names, [forms[name] for name in names], color=BLUE)
    left.bar_label(bars, fmt="%.0f", padding=3)
    left.set(xlabel="microseconds a position", title="Dev names, measured")
    left.margins(x=0.15)
    left.grid(axis="y", visible=False)
    right.plot(depths, by_depth, "o-", color=ORANGE)
    for x, y in zip(depths, by_depth, strict=True):
        right.annotate(f"{y:.1f}", (x, y), xytext=(-4, 6), textcoords="offset points", ha="right")
    right.set(xscale="log", yscale="log", xlabel="characters of context (logarithmic)")
    right.set(ylabel="times fewer", title="Multiply-adds saved by sharing")
    right.set_xticks(depths, [str(depth) for depth in depths])
    right.set_yticks([1, 3, 10, 30], ["1", "3", "10", "30"])
    right.minorticks_off()
    for ax in (left, right):
        ax.set_axisbelow(True)


def ladder(names: Sequence[str], train: Sequence[float], dev: Sequence[float]) -> None:
    """Train and dev loss of the rows of the experiment log, from the first to the last."""
    _, ax = plt.subplots(figsize=(8, 0.5 * len(names) + 1.2))
    rows = range(len(names))
    ax.hlines(rows, train, dev, color="#999999")
    ax.scatter(train, rows, marker="o", color=BLUE, label="train", zorder=3)
    ax.scatter(dev, rows, marker="s", color=ORANGE, label="dev", zorder=3)
    ax.set_yticks(rows, names)
    ax.invert_yaxis()
    ax.set(xlabel="loss, nats a character", title="The experiment log as a picture")
    ax.legend()


def network_svg(word: str, position: int, shared: bool = False, block_size: int = 8) -> str:
    """HTML of the fusions over a name, with all that the output at `position` depends on lit.

    `shared` False: the window's tree, every fusion of which is computed for this output. True: the
    fusions that the positions before have left behind are green, and only the new ones blue.

    Raises ValueError for an empty word, a position that isn't one of the word's, or a `block_size`
    that isn't a power of two.
    """
    if not word or not 0 <= position <= len(word):
        raise ValueError(
            f"position is {position}; {word!r} needs at least one letter, and has the positions "
            f"0 to {len(word)}."
        )
    if block_size < 2 or block_size & (block_size - 1):
        raise ValueError(f"block_size is {block_size}; it must be a power of two, such as 8.")
    depth = block_size.bit_length() - 1
    first = 1 - block_size  # boundaries stand to the left of position 0
    T = len(word) + 1

    def place(t: int, layer: int) -> tuple[int, int]:
        return LEFT + STEP * (t - first), TOP + ROW * (depth - layer)

    lit = {depth: {position}}
    for layer in range(depth, 0, -1):
        below = {t - 2 ** (layer - 1) for t in lit[layer]}
        lit[layer - 1] = lit[layer] | below
    lines, nodes = [], []
    for layer in range(depth + 1):
        name = "characters" if layer == 0 else f"layer {layer}, dilation {2 ** (layer - 1)}"
        nodes.append(f'<text x="6" y="{place(first, layer)[1] + 4}">{name}</text>')
        for t in range(first, T):
            on, (x, y) = t in lit[layer], place(t, layer)
            old = shared and on and layer and t != position
            colour = "#dddddd" if not on else GREEN if old else BLUE
            if layer and on:
                for source in (t, t - 2 ** (layer - 1)):
                    x2, y2 = place(source, layer - 1)
                    style = f'stroke="{colour}" stroke-width="2"'
                    dash = ' stroke-dasharray="4 3"' if old else ""
                    lines.append(f'<path d="M{x} {y}L{x2} {y2}" {style}{dash}/>')
            if layer:
                fill = "white" if old else colour
                shape = f'<circle cx="{x}" cy="{y}" r="8" fill="{fill}"'
                nodes.append(f'{shape} stroke="{colour}" stroke-width="2"/>')
                continue
            letter = html.escape("." if t <= 0 else word[t - 1])
            box = f'<rect x="{x - 13}" y="{y - 13}" width="26" height="26" rx="4"'
            fill, ink = (BLUE, "white") if on else ("white", "#888888")
            nodes.append(f'{box} fill="{fill}" stroke="#999999"/>')
            nodes.append(f'<text x="{x}" y="{y + 4}" text-anchor="middle" fill="{ink}">')
            nodes.append(f"{letter}</text>")
    x, _ = place(position, depth)
    target = "the end" if position == len(word) else word[position]
    nodes.append(f'<text x="{x}" y="16" text-anchor="middle">→ {html.escape(target)}</text>')
    count = sum(len(lit[layer]) for layer in range(1, depth + 1))
    caption = (
        f"{depth} new fusions (blue); the other {count - depth} (green, dashed) were left by the "
        "positions before it, or stand for boundaries only"
        if shared
        else f"{count} fusions for this window, and as many again for the next"
    )
    width, height = LEFT + STEP * (T - first), TOP + ROW * depth + 26
    return (
        f'<div style="background:white;color:#222;padding:8px;max-width:{width}px;'
        f'font:13px sans-serif">Position {position}: {caption}.'
        f'<svg role="img" aria-label="{html.escape(caption)}" viewBox="0 0 {width} {height}" '
        f'style="display:block;background:white;width:100%" font-size="13" fill="#222">'
        f"{''.join(lines + nodes)}</svg></div>"
    )
