"""The figures of lecture 06, each drawn from numbers that the notebook has measured."""

import html
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt

from zerotohero.course.drawing import Drawing
from zerotohero.course.plots import BLUE, GREEN, ORANGE, RED, describe
from zerotohero.course.plots.diagram import diagram
from zerotohero.course.plots.mlp import smoothed_losses

STEP, ROW, LEFT, TOP, WIDE = 44, 62, 150, 62, 560  # pixels of the picture of the fusions
INK, QUIET, PALE = "#222222", "#5f5f5f", "#dddddd"

# --- diagrams -----------------------------------------------------------------------------------


def flat(T: int, C: int, H: int, V: int) -> Drawing:
    """Return the network that reads its context in one step, with the shapes of what flows."""
    return diagram(
        f"""
        xb -> wte : (B, {T})
        wte -> Flatten : (B, {T}, {C})
        Flatten -> weight#1 : (B, {T * C})
        weight#1 -> gamma, beta : (B, {H})
        gamma, beta -> Tanh : (B, {H})
        Tanh -> weight, bias : (B, {H})
        weight, bias -> logits : (B, {V})
        """,
        parameters={
            "wte": f"({V}, {C})",
            "weight#1": f"({T * C}, {H})",
            "gamma, beta": f"({H},)\n({H},)",
            "weight, bias": f"({H}, {V})\n({V},)",
        },
        alt="A chain from the tokens xb through the embedding table, Flatten, a linear layer, "
        "BatchNorm, Tanh and a second linear layer to the logits, with the shapes on the arrows.",
    )


def tree(word: str, C: int, H: int, V: int) -> Drawing:
    """Return the tree over the letters of a word: each fusion joins two neighbours.

    Raises ValueError for a length that isn't a power of two.
    """
    T = len(word)
    if T < 2 or T & (T - 1):
        raise ValueError(f"{word!r} has {T} letters; pairs of pairs need 2, 4, 8, 16, …")
    layer = [f"{letter}#{i}" for i, letter in enumerate(word)]
    frames = {f"xb (B, {T})\n  wte ({V}, {C})  \n(B, {T}, {C})": layer}
    arrows, width = [], C
    while len(layer) > 1:
        pairs = list(zip(layer[::2], layer[1::2], strict=True))
        fused = [a.partition("#")[0] + b.replace("#", f"#{a.partition('#')[2]}–") for a, b in pairs]
        for pair, name in zip(pairs, fused, strict=True):
            arrows += [f"{part} -> {name} : ({width},)" for part in pair]
        groups = f"{len(fused)}, " if len(fused) > 1 else ""
        title = f"fusion {len(frames)}\n  weight ({2 * width}, {H})  \n(B, {groups}{H})"
        frames[title] = layer = fused
        width = H
    arrows += [f"{layer[0]} -> weight, bias : ({H},)", f"weight, bias -> logits : ({V},)"]
    return diagram(
        "\n".join(arrows),
        parameters={"weight, bias": f"({H}, {V})\n({V},)"},
        frames=frames,
        alt=f"A tree over the letters of {word}: neighbours are fused two at a time, in "
        f"{len(frames) - 1} layers, until one vector is left, which gives the logits.",
    )


def causal_convolution(C: int, H: int) -> Drawing:
    """Return one layer of the other form: each position beside the one `dilation` places back."""
    return diagram(
        f"""
        x -> move right : (B, T, {C})
        move right -> [past, x] : past (B, T, {C})
        x -> [past, x] : (B, T, {C})
        [past, x] -> weight : (B, T, {2 * C})
        weight -> gamma, beta : (B, T, {H})
        gamma, beta -> Tanh : (B, T, {H})
        """,
        parameters={"weight": f"({2 * C}, {H})", "gamma, beta": f"({H},)\n({H},)"},
        alt="The input and a copy of it, moved to the right by the dilation, are put side by side "
        "and go through a linear layer, BatchNorm and Tanh.",
    )


def fusions(word: str, *positions: int, shared: bool = False, block_size: int = 8) -> Drawing:
    """Return the fusions over a name, with all that the output at a position depends on lit.

    One picture for each of `positions`, one under the other. `shared` False: the window's tree,
    every fusion of which is computed for this output. True: the fusions that the positions before
    have left behind are green, and only the new ones blue.

    Raises ValueError for an empty word, a position that isn't one of the word's, or a `block_size`
    that isn't a power of two.
    """
    if block_size < 2 or block_size & (block_size - 1):
        raise ValueError(f"block_size is {block_size}; it must be a power of two, such as 8.")
    for position in positions:
        if not word or not 0 <= position <= len(word):
            raise ValueError(
                f"position is {position}; {word!r} needs at least one letter, and has the "
                f"positions 0 to {len(word)}."
            )
    depth = block_size.bit_length() - 1
    width = max(WIDE, LEFT + STEP * (len(word) + block_size) + 20)
    height = TOP + ROW * depth + 26
    captions, pictures = [], []
    for i, position in enumerate(positions):
        caption, shapes = _fusions(word, position, shared, block_size)
        captions.append(f"Position {position}: {caption}.")
        pictures.append(
            f'<g transform="translate(0 {i * height})"><text x="6" y="16">{captions[-1]}</text>'
            f"{shapes}</g>"
        )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
        f'height="{height * len(positions)}" viewBox="0 0 {width} {height * len(positions)}" '
        f'font-family="Helvetica,Arial,sans-serif" font-size="14" fill="{INK}">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(pictures)}</svg>'
    )
    return Drawing("", svg, alt=f"The fusions over the name {word}. {' '.join(captions)}")


def _fusions(word: str, position: int, shared: bool, block_size: int) -> tuple[str, str]:
    """Return the caption of one picture, and its shapes."""
    depth = block_size.bit_length() - 1
    first = 1 - block_size  # boundaries stand to the left of position 0

    def place(t: int, layer: int) -> tuple[int, int]:
        return LEFT + 20 + STEP * (t - first), TOP + ROW * (depth - layer)

    lit = {depth: {position}}
    for layer in range(depth, 0, -1):
        lit[layer - 1] = lit[layer] | {t - 2 ** (layer - 1) for t in lit[layer]}
    lines, nodes = [], []
    for layer in range(depth + 1):
        name = "characters" if layer == 0 else f"layer {layer}, dilation {2 ** (layer - 1)}"
        nodes.append(f'<text x="6" y="{place(first, layer)[1] + 4}">{name}</text>')
        for t in range(first, len(word) + 1):
            on, (x, y) = t in lit[layer], place(t, layer)
            old = shared and on and layer and t != position
            colour = PALE if not on else GREEN if old else BLUE
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
            fill, ink = (BLUE, "white") if on else ("white", QUIET)
            nodes.append(f'{box} fill="{fill}" stroke="#999999"/>')
            nodes.append(f'<text x="{x}" y="{y + 4}" text-anchor="middle" fill="{ink}">')
            nodes.append(f"{letter}</text>")
    x, y = place(position, depth)
    target = "the end" if position == len(word) else word[position]
    nodes.append(f'<text x="{x}" y="{y - 18}" text-anchor="middle">→ {html.escape(target)}</text>')
    count = sum(len(lit[layer]) for layer in range(1, depth + 1))
    caption = (
        f"{depth} new fusions (blue); the other {count - depth} (green, dashed) are there already"
        if shared
        else f"{count} fusions for this window, and as many again for the next"
    )
    return caption, "".join(lines + nodes)


# --- plots --------------------------------------------------------------------------------------


def loss_curves(runs: Mapping[str, Sequence[float]]) -> None:
    """Draw minibatch losses of several runs against the step, smoothed."""
    ax = smoothed_losses(runs, ((ORANGE, "--"), (BLUE, "-"), (RED, ":"), (GREEN, "-.")))
    ax.set_title("Loss of the minibatches, smoothed over a fifteenth of the run")
    ax.legend()
    describe(
        "A line chart of the minibatches' loss in nats a character against the step, with a "
        f"smoothed line for each run: {first_to_last(runs)}."
    )


def first_to_last(runs: Mapping[str, Sequence[float]]) -> str:
    """Return in words where the smoothed line of each run begins and ends."""
    ends = []
    for name, losses in runs.items():
        window = max(1, len(losses) // 15)
        first, last = (sum(part) / window for part in (losses[:window], losses[-window:]))
        ends.append(f"{name} from {first:.2f} to {last:.2f} in {len(losses):,} steps")
    return "; ".join(ends)


def statistics_by_position(means: Sequence[Sequence[float]], shared: Sequence[float]) -> None:
    """Draw the means of some channels: one for each position, beside the one of all.

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
    gaps = [max(column) - min(column) for column in zip(*means, strict=True)]
    widest = max(range(len(gaps)), key=gaps.__getitem__)
    describe(
        f"A dot plot of the means of {len(shared)} channels, for each of which the means at "
        f"{len(means)} places stand beside the one over all of them. From the lowest place to the "
        f"highest it is {sum(gaps) / len(gaps):.2f} on average, and {gaps[widest]:.2f} in channel "
        f"{widest}, whose mean over all is {shared[widest]:.2f}."
    )


def pairs_of_runs(broken: Sequence[float], fixed: Sequence[float]) -> None:
    """Draw dev losses of two variants, one line for each seed, and the means."""
    _, ax = plt.subplots()
    pairs = list(zip(broken, fixed, strict=True))
    for i, (pair, marker) in enumerate(zip(pairs, "osD^v", strict=False)):
        ax.plot([0, 1], pair, marker=marker, color=BLUE, alpha=0.7, label=f"seed {i + 1}")
    means = [sum(side) / len(side) for side in (broken, fixed)]
    ax.plot([0, 1], means, "--", color=RED, linewidth=2.5, label="mean")
    ax.set_xticks([0, 1], ["axis 0 only", "axes 0 and 1"])
    ax.set(xlim=(-0.3, 1.3), ylabel="dev loss, nats a character")
    ax.set_title("The same trees with the bug and without")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    seeds = ", ".join(f"{a:.4f} and {b:.4f}" for a, b in pairs)
    describe(
        f"A line for each of {len(pairs)} seeds joins two dev losses, that with statistics of axis "
        f"0 only and that with axes 0 and 1: {seeds}. The means are {means[0]:.4f} and "
        f"{means[1]:.4f}; {sum(b < a for a, b in pairs)} of the {len(pairs)} lines fall."
    )


def costs(depths: Sequence[int], by_depth: Sequence[float], forms: Mapping[str, float]) -> None:
    """Draw microseconds a position of each form, and how many times fewer operations by context."""
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
    right.margins(x=0.1, y=0.12)
    for ax in (left, right):
        ax.set_axisbelow(True)
    describe(
        "Left, a bar chart of the microseconds that a position takes in each form: "
        f"{'; '.join(f'{name} {time:.0f}' for name, time in forms.items())}. Right, a line chart, "
        "both axes logarithmic, of how many times fewer multiply-adds sharing needs: "
        f"{by_depth[0]:.1f} at {depths[0]} characters of context, {by_depth[-1]:.1f} at "
        f"{depths[-1]}."
    )


def ladder(names: Sequence[str], train: Sequence[float], dev: Sequence[float]) -> None:
    """Draw train and dev loss of the rows of the experiment log, from the first to the last."""
    _, ax = plt.subplots()
    rows = range(len(names))
    ax.hlines(rows, train, dev, color="#999999")
    ax.scatter(train, rows, marker="o", color=BLUE, label="train", zorder=3)
    ax.scatter(dev, rows, marker="s", color=ORANGE, label="dev", zorder=3)
    ax.set_yticks(rows, names)
    ax.invert_yaxis()
    ax.set(xlabel="loss, nats a character", title="The experiment log as a picture")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2)
    rows = zip(names, train, dev, strict=True)
    describe(
        f"A dot plot with a row for each of {len(names)} experiments, in which a line joins its "
        "train loss and its dev loss, in nats a character: "
        f"{'; '.join(f'{name} {low:.3f} and {high:.3f}' for name, low, high in rows)}."
    )
