"""The figures of lecture 11: the network by its article's names, the cache, padding, and speed."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from zerotohero.course.drawing import Drawing
from zerotohero.course.plots import BLACK, BLUE, GREEN, ORANGE, RED, describe
from zerotohero.course.plots.diagram import diagram

CLEAR = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # behind letters that a line crosses
NEW, KEPT, NEVER = "#f5c26b", "#cfe3f3", "#f2f2f2"

# --- diagrams -------------------------------------------------------------------------------------


def network() -> Drawing:
    """Return GPT-2 with the functions and the parameters as this lecture names them."""
    return diagram(
        """
        inputs -> wte : (T,)
        wte -> + : (T, C)
        wpe -> + : (T, C)
        + -> x : (T, C)
        x -> ln_1
        ln_1 -> mha
        mha -> +#2 : (T, C)
        x -> +#2
        +#2 -> ln_2
        ln_2 -> ffn
        ffn -> +#3 : (T, C)
        +#2 -> +#3
        +#3 -> ln_f : (T, C)
        ln_f -> wteᵀ : (T, C)
        wteᵀ -> logits : (T, V)
        """,
        parameters={
            "wte": "(V, C)",
            "wpe": "(context, C)",
            "ln_1": "g, b",
            "mha": "c_attn (C, 3C)\nc_proj (C, C)",
            "ln_2": "g, b",
            "ffn": "c_fc (C, 4C)\nc_proj (4C, C)",
            "ln_f": "g, b",
            "wteᵀ": "(C, V)",
        },
        frames={"transformer_block": ["x", "ln_1", "mha", "+#2", "ln_2", "ffn", "+#3"]},
        down=True,
        alt="GPT-2 as functions. Tokens are looked up in wte and positions in wpe, and added. Each "
        "block adds attention of the normalised x, then a feed-forward network of it. After the "
        "last block x is normalised and multiplied by wte transposed, which gives the logits.",
    )


def adapter() -> Drawing:
    """Return an adapter behind a frozen matrix, and LoRA beside one."""
    return diagram(
        """
        GELU -> c_proj : (T, 4C)
        c_proj -> down : (T, C)
        down -> GELU#2 : (T, r)
        GELU#2 -> up : (T, r)
        up -> + : 0 at first
        c_proj -> + -> x
        h -> w : (T, C)
        h -> a : (T, C)
        a -> b : (T, r)
        b -> +#2 : 0 at first
        w -> +#2 -> q, k, v
        """,
        parameters={"down": "(C, r)", "up": "(r, C)", "a": "(C, r)", "b": "(r, 3C)"},
        frames={"adapter": ["down", "GELU#2", "up"], "LoRA": ["a", "b"]},
        alt="Two ways to train little. An adapter is a small network behind c_proj, two matrices "
        "with a GELU between them, whose output is added to c_proj's. LoRA is a product of two "
        "thin matrices beside a frozen matrix w; their outputs are added. Both add zero at first.",
    )


# --- plots ----------------------------------------------------------------------------------------


def costs(ratios: Mapping[str, float]) -> None:
    """Draw how many times as long each careless way takes as the careful one, on a log axis."""
    _, ax = plt.subplots(figsize=(7, 0.5 * len(ratios) + 1))
    names = list(ratios)[::-1]
    ax.barh(names, [ratios[name] for name in names], color=BLUE, height=0.6)
    for i, name in enumerate(names):
        ax.text(ratios[name] * 1.05, i, f"{ratios[name]:.1f}", va="center")
    ax.axvline(1, color=BLACK, linewidth=1)
    ax.set(xscale="log", xlim=(0.5, 2.2 * max(ratios.values())), xlabel="times as long")
    ax.grid(axis="y", visible=False)
    describe(
        "A bar chart, on a logarithmic axis, of how many times as long a careless way takes as the "
        f"careful one: {'; '.join(f'{name}: {ratio:.1f}' for name, ratio in ratios.items())}."
    )


def cache_steps(prompt: int, steps: int) -> None:
    """Draw which positions a step computes, without a cache and with one."""
    _, axes = plt.subplots(1, 2, figsize=(10, 3.2), sharey=True)
    n, totals = prompt + steps - 1, []
    for ax, cached in zip(axes, (False, True), strict=True):
        computed = 0
        for step in range(steps):
            for position in range(prompt + step):
                new = not cached or step == 0 or position == prompt + step - 1
                computed += new
                ax.add_patch(
                    Rectangle((position, step), 0.92, 0.92, facecolor=NEW if new else KEPT)
                )
                if not new:
                    ax.text(position + 0.46, step + 0.5, "k v", ha="center", va="center", size=8)
        totals.append(computed)
        title = "with a cache" if cached else "the whole context anew"
        ax.set(xlim=(-0.2, n + 0.2), ylim=(steps, -0.2), xlabel="position")
        ax.set_title(f"{title}: {computed} positions computed")
        ax.set_xticks(np.arange(n) + 0.46, range(n))
        ax.set_yticks(np.arange(steps) + 0.46, range(1, steps + 1))
        ax.grid(visible=False)
    axes[0].set_ylabel("token written")
    describe(
        f"Two grids with a row for each of {steps} tokens that are written after a prompt of "
        f"{prompt}, and a column for each position. Without a cache every row computes all of its "
        f"positions, {totals[0]} in all; with one, the first row computes the prompt and each "
        f"other row a single position, {totals[1]} in all, since keys and values are kept."
    )


def seconds_a_token(curves: Mapping[str, Sequence[float]], first: int) -> None:
    """Draw milliseconds for each token against its position, a line for each way of writing."""
    _, ax = plt.subplots()
    looks = zip((RED, BLUE), (":", "-"), strict=True)
    for (name, seconds), (colour, dash) in zip(curves.items(), looks, strict=True):
        at = np.arange(first, first + len(seconds))
        ax.plot(at, 1e3 * np.asarray(seconds), dash, color=colour, linewidth=2, label=name)
    ax.set(xlabel="positions so far", ylabel="ms for one token", ylim=(0, None))
    ax.legend()
    ends = [f"{name}, {1e3 * s[0]:.2f} to {1e3 * s[-1]:.2f}" for name, s in curves.items()]
    describe(
        "A line chart of the milliseconds that a token takes against the positions before it, "
        f"with a line for each way of writing. From the left end to the right: {'; '.join(ends)}."
    )


def padded(rows: Sequence[str], padding: Sequence[int]) -> None:
    """Draw prompts as a batch padded on the left, each token with the position that it gets."""
    _, ax = plt.subplots(figsize=(7, 0.7 * len(rows) + 0.6))
    for i, (row, n) in enumerate(zip(rows, padding, strict=True)):
        for j in range(n + len(row)):
            real = j >= n
            box = Rectangle((j, i), 0.92, 0.9, facecolor=KEPT if real else NEVER)
            ax.add_patch(box)
            if real:
                ax.text(j + 0.46, i + 0.35, row[j - n], ha="center", va="center", size=12)
                ax.text(j + 0.46, i + 0.72, j - n, ha="center", va="center", size=8, color="#444")
            else:
                ax.text(j + 0.46, i + 0.45, "pad", ha="center", va="center", size=8, color="#555")
    width = max(n + len(row) for row, n in zip(rows, padding, strict=True))
    ax.set(xlim=(-0.1, width), ylim=(len(rows), -0.1))
    ax.axis("off")
    filled = [f"{row} after {n} of padding" for row, n in zip(rows, padding, strict=True)]
    describe(
        f"A grid of {width} columns with a row for each of {len(rows)} prompts: "
        f"{', '.join(filled)}. In every row the positions count from 0 at the first real token."
    )


def two_runs(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> None:
    """Draw training losses against steps; the second run is dots on the first one's line."""
    _, ax = plt.subplots()
    (one, (steps, losses)), (two, (steps2, losses2)) = curves.items()
    ax.plot(steps, losses, color=ORANGE, linewidth=5, alpha=0.6, label=one)
    ax.plot(steps2, losses2, color=BLUE, linewidth=1.2, label=two)
    ax.set(xlabel="updates", ylabel="loss of the batch")
    ax.legend()
    first, second = dict(zip(steps, losses, strict=True)), dict(zip(steps2, losses2, strict=True))
    gaps = [abs(first[step] - second[step]) for step in first if step in second]
    describe(
        f"A line chart of the batches' losses against updates, for two runs: {one}, which goes "
        f"from {losses[0]:.3f} to {losses[-1]:.3f}, and {two}, from {losses2[0]:.3f} to "
        f"{losses2[-1]:.3f}. At the {len(gaps)} updates that both have, the losses differ by at "
        f"most {max(gaps, default=0.0):.1g}."
    )


def accuracy(
    methods: Mapping[str, tuple[int, Sequence[float]]], total: int, baselines: Mapping[str, float]
) -> None:
    """Draw accuracy on unseen names against the share of parameters trained, a dot a seed."""
    _, ax = plt.subplots()
    looks = zip(methods.items(), (RED, GREEN, BLUE, ORANGE), "so^D", strict=False)
    for (name, (size, shares)), colour, marker in looks:
        share = 100 * size / total
        ax.plot([share] * len(shares), shares, marker, color=colour, markersize=7, label=name)
    for (name, value), dash in zip(baselines.items(), (":", "--"), strict=False):
        ax.axhline(value, color=BLACK, linestyle=dash, linewidth=1)
        ax.text(0.1, value + 0.002, name, size=9)
    ax.set(xscale="log", xlim=(0.09, 160), xlabel="trained parameters, % of the model")
    ax.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    ax.set(ylabel="accuracy on unseen names")
    ax.legend(loc="lower right")
    found = [
        f"{name}, {size / total:.1%} trained, {min(shares):.3f} to {max(shares):.3f}"
        for name, (size, shares) in methods.items()
    ]
    describe(
        "A scatter plot of the accuracy on unseen names against the share of the parameters that "
        f"are trained, on a logarithmic axis, a mark for each seed: {'; '.join(found)}. Two lines "
        "across it for what needs no network: "
        f"{', '.join(f'{name} {value:.3f}' for name, value in baselines.items())}."
    )


def speeds(rates: Mapping[str, float], limit: float) -> None:
    """Draw tokens a second, a bar for each way, and the limit that the memory sets."""
    _, ax = plt.subplots(figsize=(7, 0.5 * len(rates) + 1.2))
    names = list(rates)[::-1]
    ax.barh(names, [rates[name] for name in names], color=BLUE, height=0.6)
    for i, name in enumerate(names):
        ax.text(rates[name], i, f" {rates[name]:.1f}", va="center", bbox=CLEAR, zorder=3)
    ax.axvline(limit, color=RED, linestyle="--")
    ax.text(limit, len(names) - 0.45, "the weights read once", size=9, ha="center", bbox=CLEAR)
    ax.set(xlabel="tokens per second", xlim=(0, 1.25 * max(limit, *rates.values())))
    ax.set_ylim(-0.5, len(names) - 0.1)
    ax.grid(axis="y", visible=False)
    describe(
        "A bar chart of tokens per second: "
        f"{', '.join(f'{name} {speed:.1f}' for name, speed in rates.items())}. A line across it, "
        f"at {limit:.1f}, is the limit that reading the weights once a token sets."
    )
