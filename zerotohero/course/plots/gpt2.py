"""The figures of lecture 10: the block, several devices, memory, schedules, recipes and scaling."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np

from zerotohero.course.drawing import Drawing
from zerotohero.course.plots import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY, describe
from zerotohero.course.plots.diagram import diagram
from zerotohero.scaling import Chinchilla, Point

CLEAR = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # behind letters that a line crosses
PARTS = {  # of the memory, from the bottom up
    "weights": BLUE,
    "optimiser": SKY,
    "gradients": GREEN,
    "activations": ORANGE,
    "logits": RED,
}
LOOKS = tuple(zip((BLUE, ORANGE, GREEN, RED, PURPLE, BLACK), "os^Dv*", strict=True))

# --- diagrams -------------------------------------------------------------------------------------


def block() -> Drawing:
    """Return a block of GPT-2 with the names and shapes of Hugging Face's files."""
    return diagram(
        """
        x -> ln_1 : (B, T, C)
        ln_1 -> attn.c_attn
        attn.c_attn -> attention : q, k, v
        attention -> attn.c_proj
        attn.c_proj -> +
        x -> +
        + -> ln_2 : (B, T, C)
        ln_2 -> mlp.c_fc
        mlp.c_fc -> gelu : (B, T, 4C)
        gelu -> mlp.c_proj
        mlp.c_proj -> +#2
        + -> +#2
        +#2 -> next block : (B, T, C)
        """,
        parameters={
            "ln_1": "(C,)",
            "attn.c_attn": "(C, 3C)",
            "attn.c_proj": "(C, C)",
            "ln_2": "(C,)",
            "mlp.c_fc": "(C, 4C)",
            "mlp.c_proj": "(4C, C)",
        },
        down=True,
        alt="A block of GPT-2. x is normalised by ln_1, made into queries, keys and values by "
        "c_attn, mixed by attention, and added to x through c_proj. The sum is normalised by ln_2, "
        "widened to four times the channels by c_fc, bent by gelu, and added through c_proj.",
    )


def data_parallel() -> Drawing:
    """Return an update of two processes that hold the same weights."""
    return diagram(
        """
        batch -> process 0 : rows 0, 2, …
        batch -> process 1 : rows 1, 3, …
        process 0 -> all-reduce : gradients
        process 1 -> all-reduce : gradients
        all-reduce -> update : their mean
        all-reduce -> update#1 : their mean
        """,
        parameters={"process 0": "all weights", "process 1": "all weights"},
        alt="Data-parallel training. Each of two processes holds all weights and takes half of the "
        "batch's rows. Their gradients are averaged by an all-reduce, and each process makes the "
        "same update, so that the weights stay equal.",
    )


def sharded() -> Drawing:
    """Return a layer's way through an update of two processes that hold half of it each."""
    return diagram(
        """
        process 0 -> all-gather
        process 1 -> all-gather
        all-gather -> forward, backward : all of it
        all-gather -> forward, backward#1 : all of it
        forward, backward -> reduce-scatter : gradients
        forward, backward#1 -> reduce-scatter : gradients
        reduce-scatter -> update : of half 0
        reduce-scatter -> update#1 : of half 1
        """,
        parameters={"process 0": "half 0", "process 1": "half 1"},
        alt="Sharded training. Each of two processes keeps half of a layer's weights. Before the "
        "layer is needed, it is gathered from both; afterwards it is dropped, and each process "
        "gets the summed gradients of its half alone, and updates that.",
    )


# --- plots ----------------------------------------------------------------------------------------


def residual_paths(plain: Mapping[int, Sequence[float]], scaled: Mapping[int, Sequence[float]]):
    """Draw the deviation along the residual path, for models of several depths, started both ways.

    The keys are numbers of layers.
    """
    _, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True)
    panels = {"all matrices alike": plain, "what adds, divided by √(2 n_layer)": scaled}
    for ax, (title, runs) in zip(axes, panels.items(), strict=True):
        for (layers, path), (colour, marker) in zip(runs.items(), LOOKS, strict=False):
            ax.plot(path, color=colour, label=f"{layers} layers")
            ax.plot(len(path) - 1, path[-1], marker, color=colour)
        ax.set(title=title, xlabel="additions to the path so far", xlim=(0, None))
    axes[0].set(ylabel="standard deviation of x", ylim=(0, None))
    axes[0].legend()
    ends = [
        ", ".join(f"{path[-1]:.2f} with {layers} layers" for layers, path in runs.items())
        for runs in panels.values()
    ]
    describe(
        "Two panels of curves: the standard deviation of x against the additions to the residual "
        f"path. With all matrices alike it ends at {ends[0]}; with what adds divided by the root "
        f"of 2 n_layer, at {ends[1]}."
    )


def one_batch(curves: Mapping[str, Sequence[float]], nothing: float) -> None:
    """Draw the losses of runs on a single batch, and the loss of knowing nothing."""
    _, ax = plt.subplots()
    dashes = ("-", "--", ":")
    for (name, losses), (colour, _), dash in zip(curves.items(), LOOKS, dashes, strict=False):
        ax.plot(losses, dash, color=colour, linewidth=2, label=name)
    ax.axhline(nothing, color=BLACK, linewidth=1)
    ax.text(len(losses) * 0.99, nothing, "ln V", ha="right", va="bottom", size=9)
    ax.set(xlabel="step", ylabel="loss of the batch", ylim=(0, 1.15 * nothing))
    ax.legend(loc="upper right", bbox_to_anchor=(1, 0.88))
    ways = [f"{name}: {losses[0]:.1f} to {losses[-1]:.3f}" for name, losses in curves.items()]
    describe(
        f"Curves of the loss on one batch over {len(losses)} steps, with a level line at ln V = "
        f"{nothing:.2f}, which is to know nothing. First and last losses: {'; '.join(ways)}."
    )


def schedules(rates: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> None:
    """Draw each plan's learning rate against its tokens, as a share of the highest rate."""
    _, ax = plt.subplots()
    for (name, (tokens, rate)), (colour, _), dash in zip(
        rates.items(), LOOKS, ("-", "--"), strict=False
    ):
        highest = max(rate)
        ax.plot(
            np.asarray(tokens) / 1e9, np.asarray(rate) / highest, dash, color=colour, label=name
        )
    ax.set(xlabel="billions of tokens read", ylabel="rate, share of its highest", ylim=(0, 1.05))
    ax.legend()
    ends = [
        f"{name} reads {tokens[-1] / 1e9:.1f} billion and ends at {rate[-1] / max(rate):.2f}"
        for name, (tokens, rate) in rates.items()
    ]
    describe(
        "Learning rates against tokens read, each as a share of its highest, after a short rise "
        f"from zero. {'; '.join(ends)}."
    )


def memory(parts: Mapping[str, int], sharing: Mapping[str, Sequence[Mapping[str, int]]]) -> None:
    """Draw what fills a device during an update, and how that shrinks with more devices.

    parts: bytes at the most, of one device. sharing: for each way to share, the parts with 1, 2,
    4, … devices.
    """
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), width_ratios=(3, 2))
    # The phases, by the share of each part that is there at their ends.
    times = [0, 1, 1.25, 2.75, 3, 3.001, 3.4]
    filled = {
        "weights": [1, 1, 1, 1, 1, 1, 1],
        "optimiser": [1, 1, 1, 1, 1, 1, 1],
        "gradients": [0, 0, 0.1, 0.9, 1, 1, 0],
        "activations": [0, 1, 1, 0.1, 0, 0, 0],
        "logits": [0, 0.34, 1, 0, 0, 0, 0],
    }
    heights = [np.array(filled[name]) * parts[name] / 1e9 for name in PARTS]
    left.stackplot(times, heights, colors=PARTS.values(), labels=PARTS, edgecolor="white")
    top = 1.32 * np.sum(heights, 0).max()
    for x, text in ((0.5, "forward"), (2, "backward"), (3.2, "update")):
        left.text(x, 0.93 * top, text, ha="center", size=10)
    for x in (1, 3):
        left.axvline(x, color=BLACK, linewidth=0.8, linestyle=":")
    left.set(xlim=(0, 3.4), ylim=(0, top), xticks=[], xlabel="time →", ylabel="GB on one device")
    left.set_title("During an update (drawn, not measured)")
    width = 0.8 / len(sharing)
    for i, (name, rows) in enumerate(sharing.items()):
        at, bottom = np.arange(len(rows)) + (i - (len(sharing) - 1) / 2) * width, 0
        for part, colour in PARTS.items():
            tall = np.array([row[part] for row in rows]) / 1e9
            right.bar(at, tall, width * 0.94, bottom, color=colour, edgecolor="white")
            bottom = bottom + tall
        for x, y in zip(at, bottom, strict=True):
            right.text(x, y, name[0], ha="center", va="bottom", size=9)
    right.set_xticks(range(len(rows)), [2**i for i in range(len(rows))])
    right.set(xlabel="devices", title=", ".join(f"{name[0]}: {name}" for name in sharing))
    right.grid(axis="x", visible=False)
    right.margins(y=0.08)  # room for the letters on the bars
    left.figure.legend(loc="outside lower center", ncols=len(PARTS))
    shares = ", ".join(f"{name} {parts[name] / 1e9:.1f}" for name in PARTS)
    fewest = [
        f"{name} {sum(rows[0].values()) / 1e9:.1f} to {sum(rows[-1].values()) / 1e9:.1f} GB"
        for name, rows in sharing.items()
    ]
    describe(
        f"Two panels. A stack of areas over one update, at the most in GB: {shares}; activations "
        "and logits grow in the forward pass and go in the backward pass, gradients stay until the "
        f"update. Stacked bars for 1 to {2 ** (len(rows) - 1)} devices: {'; '.join(fewest)}."
    )


def race(runs: Mapping[str, Sequence[Sequence[tuple[int, float]]]], unit: float) -> None:
    """Draw bits a byte on unseen text against updates: a line a seed, a colour a recipe.

    unit: how many nats a token one bit a byte is.
    """
    _, ax = plt.subplots()
    looks = zip(runs.items(), LOOKS, ("-", "--"), strict=False)
    for (name, seeds), (colour, marker), dash in looks:
        for i, curve in enumerate(seeds):
            steps, losses = zip(*curve, strict=True)
            bits = np.asarray(losses) / unit
            how = {"color": colour, "marker": marker, "markersize": 4}
            ax.plot(steps, bits, dash, **how, label=None if i else name)
    ax.axhline(
        min(loss for curve in runs[next(iter(runs))] for _, loss in curve) / unit, color=BLACK
    )
    ax.set(xlabel="updates", ylabel="bits a byte, unseen text")
    ax.legend()
    ends = [
        f"{name} ends at " + " and ".join(f"{curve[-1][1] / unit:.2f}" for curve in seeds)
        for name, seeds in runs.items()
    ]
    describe(
        "Curves of bits a byte on unseen text against updates, a curve a seed; a level line is the "
        f"first recipe's best. {'; '.join(ends)}."
    )


def falling(
    curves: Mapping[int, Sequence[tuple[float, float]]], best: Sequence[tuple[float, float, int]]
) -> None:
    """Draw loss against operations, a curve for each size, and their envelope."""
    _, ax = plt.subplots(figsize=(7, 4))
    for (size, curve), (colour, marker) in zip(curves.items(), LOOKS, strict=False):
        flops, losses = zip(*curve, strict=True)
        how = {"color": colour, "marker": marker, "markersize": 4, "linewidth": 1.2}
        ax.plot(flops, losses, **how, label=f"{size:,}")
    flops, losses, _ = zip(*best, strict=True)
    ax.plot(flops, losses, color="#999999", linewidth=7, alpha=0.4, zorder=0, label="envelope")
    _losses_over_flops(ax)
    ax.legend(title="parameters")
    ends = [f"{size:,} parameters end at {curve[-1][1]:.2f}" for size, curve in curves.items()]
    describe(
        "Falling curves of loss against operations on log axes, one for each size of model: larger "
        f"ones start later and higher. {'; '.join(ends)}. A broad band, the envelope, follows the "
        f"lowest curve, from {losses[0]:.2f} to {losses[-1]:.2f}."
    )


def law(points: Sequence[Point], fitted: Chinchilla, held_out: Sequence[Point]) -> None:
    """Draw the loss of every run against its tokens, the fitted law of each size, and the test.

    Points that the law has not been fitted to are hollow.
    """
    _, ax = plt.subplots(figsize=(7, 4))
    sizes = sorted({point.parameters for point in [*points, *held_out]})
    tokens = np.geomspace(2e5, 6e6, 50)
    for size, (colour, marker) in zip(sizes, LOOKS, strict=False):
        line = {"color": colour, "marker": marker, "markersize": 7, "linewidth": 1}
        ax.plot([], [], **line, label=f"{size:,}")
        ax.plot(tokens, fitted.loss(size, tokens), color=colour, linewidth=1)
        for some, fill in ((points, colour), (held_out, "white")):
            for point in some:
                if point.parameters == size:
                    at = point.tokens, point.loss
                    ax.plot(*at, **line, markerfacecolor=fill, linestyle="none")
    ax.set(xscale="log", yscale="log", xlabel="characters learned from, D")
    ax.set_ylabel("loss, nats a character")
    _plain_ticks(ax)
    ax.set_xticks([3e5, 1e6, 3e6], ["300,000", "1 million", "3 million"])
    ax.legend(title="parameters, N", ncols=2)
    tried = [
        f"{p.parameters:,} parameters, predicted {fitted.loss(p.parameters, p.tokens):.3f}, "
        f"measured {p.loss:.3f}"
        for p in held_out
    ]
    describe(
        f"Loss against characters learned from on log axes: {len(points)} measured runs and the "
        "fitted law as a curve for each size, larger models lower. The hollow marks are runs that "
        f"the law was not fitted to: {'; '.join(tried)}."
    )


def budgets(
    fitted: Chinchilla, flops: Mapping[str, float], models: Mapping[str, tuple[float, float]]
) -> None:
    """Draw the predicted loss of budgets against the size they are spent on, and known models.

    models: parameters and tokens, by name.
    """
    _, ax = plt.subplots(figsize=(7, 4.2))
    sizes = [N for N, _ in models.values()]
    N = np.geomspace(min(sizes) / 20, 10 * max(sizes), 200)
    highest = max(float(fitted.loss(*model)) for model in models.values())
    for (name, budget), (colour, _) in zip(flops.items(), LOOKS, strict=False):
        losses = fitted.loss(N, budget / 6 / N)
        ax.plot(N, losses, color=colour, linewidth=1.2, label=name)
        best = fitted.best(budget)
        ax.plot(best.parameters, fitted.loss(*best), "o", color=colour)
    lowest = min(float(fitted.loss(*fitted.best(budget))) for budget in flops.values())
    for name, model in models.items():
        at = model[0], float(fitted.loss(*model))
        ax.plot(*at, "*", color=BLACK, markersize=10)
        ax.annotate(name, at, (0, 9), textcoords="offset points", ha="center", bbox=CLEAR)
    ax.set(xscale="log", xlabel="parameters, N")
    ax.set_ylim(lowest - 0.02, 2 * highest - lowest)
    ax.set_ylabel("predicted loss, nats a token")
    ax.legend(title="operations", loc="upper left")
    least = [
        f"{name} at {fitted.best(budget).parameters / 1e9:.0f} billion"
        for name, budget in flops.items()
    ]
    known = [f"{name} {fitted.loss(*model):.2f}" for name, model in models.items()]
    describe(
        "U-shaped curves of the predicted loss against the number of parameters, one for each "
        f"budget of operations. The lowest points: {'; '.join(least)}. Stars are "
        f"known models: {', '.join(known)}."
    )


def _losses_over_flops(ax) -> None:
    ax.set(xscale="log", yscale="log", xlabel="operations, C", ylabel="loss, nats a character")
    _plain_ticks(ax)


def _plain_ticks(ax) -> None:
    low, high = ax.get_ylim()
    ticks = [t / 10 for t in range(10, 45) if low <= t / 10 <= high]
    ax.set_yticks(ticks if len(ticks) < 9 else ticks[::2])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter("{x:.1f}")
