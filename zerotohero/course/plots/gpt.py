"""The figures of lecture 07: diagrams of what is built, and plots of what the notebook measures."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.patches import FancyArrowPatch, Rectangle
from torch import Tensor

from zerotohero.course.drawing import Drawing
from zerotohero.course.plots import BLACK, BLUE, ORANGE, RED, SKY, describe
from zerotohero.course.plots.diagram import diagram
from zerotohero.course.plots.mlp import smooth
from zerotohero.course.plots.wavenet import first_to_last

# --- diagrams: S is head_size ---------------------------------------------------------------------


def head() -> Drawing:
    """Return one head: queries meet keys, the future is masked, and the values are mixed."""
    return diagram(
        """
        x -> query : (B, T, C)
        x -> key : (B, T, C)
        x -> value : (B, T, C)
        query -> q kᵀ / √S : q (B, T, S)
        key -> q kᵀ / √S : k (B, T, S)
        q kᵀ / √S -> mask : (B, T, T)
        mask -> softmax
        softmax -> @ : weights (B, T, T)
        value -> @ : v (B, T, S)
        @ -> mixture : (B, T, S)
        """,
        parameters=dict.fromkeys(("query", "key", "value"), "(S, C)"),
        alt="A head of attention. Queries and keys, two linear functions of x, give the scores; "
        "mask and softmax turn these into weights, which mix the values, a third function of x.",
    )


def many_heads(n_head: int) -> Drawing:
    """Return the heads of `MultiHead`, and the projection that lets their findings mix."""
    size = f"C/{n_head}"
    heads = [f"heads.{i}" for i in range(n_head)]
    first, *others = heads
    return diagram(
        "\n".join(
            [
                f"x -> {first} : (B, T, C)",
                f"{first} -> side by side : (B, T, {size})",
                *(f"x -> {name} -> side by side" for name in others),
                "side by side -> proj : (B, T, C)",
                "proj -> mixed : (B, T, C)",
            ]
        ),
        parameters={**dict.fromkeys(heads, f"3 × ({size}, C)"), "proj": "(C, C)"},
        alt=f"{n_head} heads read the same x, each with a part of the channels; what they found "
        "stands side by side again, and a linear layer mixes it.",
    )


def block() -> Drawing:
    """Return a block: attention and feed-forward read normed copies and add to the path."""
    return diagram(
        """
        x -> + : residual path
        x -> norm1 -> attention -> +
        + -> +#2 : (B, T, C)
        + -> norm2 -> feed -> +#2
        +#2 -> out : (B, T, C)
        """,
        parameters={
            "norm1": "(C,)",
            "attention": "heads, proj",
            "norm2": "(C,)",
            "feed": "C → 4C → C",
        },
        alt="A block. The residual path leads straight from x to the output; attention and the "
        "feed-forward network each read a normalised copy of it and add their result to it.",
    )


def network() -> Drawing:
    """Return the library's GPT, with the names of its state dict."""
    blocks = ("h.0", "h.1", "h. …")
    return diagram(
        """
        idx -> wte : (B, T)
        wte -> + : (B, T, C)
        wpe -> + : (T, C)
        + -> h.0 -> h.1 -> h. … -> ln_f
        ln_f -> lm_head : (B, T, C)
        lm_head -> logits : (B, T, V)
        """,
        parameters={
            "wte": "(V, C)",
            "wpe": "(block_size, C)",
            **dict.fromkeys(blocks, "a block"),
            "ln_f": "(C,)",
            "lm_head": "(V, C)",
        },
        frames={"transformer": ["wte", "wpe", "+", *blocks, "ln_f"]},
        alt="A GPT. Token and position embeddings are added, pass through the blocks and a last "
        "norm, which together are called transformer, and lm_head turns them into logits.",
    )


# --- plots ----------------------------------------------------------------------------------------


def visible(text: str) -> list[str]:
    """Return the characters of `text`, with signs for those that leave no ink."""
    return [{"\n": "↵", " ": "·", "\t": "→"}.get(character, character) for character in text]


def who_reads_whom(maps: Mapping[str, Float[Tensor, "T T"]], text: str) -> None:
    """Draw a square for each map: row t holds the weights with which position t reads."""
    _, axes = plt.subplots(1, len(maps), figsize=(10, 5), squeeze=False)
    signs = visible(text)
    for ax, (title, weights) in zip(axes[0], maps.items(), strict=True):
        ax.imshow(weights.tolist(), vmin=0, vmax=1)
        ax.set_xticks(range(len(signs)), signs, fontsize=9, family="monospace")
        ax.set_yticks(range(len(signs)), signs, fontsize=9, family="monospace")
        ax.set(title=title, xlabel="is read", ylabel="reads")
        ax.grid(visible=False)
    found = []
    for title, weights in maps.items():
        itself = weights.diagonal().mean().item()
        found.append(
            f"in {title} {itself:.2f} goes to the character itself on average, and the last "
            f"one's largest weight is {weights[-1].max().item():.2f}"
        )
    describe(
        f"A heat map for each of {len(maps)} ways to read {''.join(signs)}, with a row for each "
        f"character that reads and a column for each that is read: {'; '.join(found)}. "
        f"An even share of the last one's is {1 / len(signs):.2f}."
    )


def sharpness(rows: Mapping[str, Float[Tensor, " T"]]) -> None:
    """Draw one softmax for each scale: the weights of a query, as bars, on one axis of weights."""
    _, axes = plt.subplots(1, len(rows), figsize=(10, 2.9), sharey=True, squeeze=False)
    for ax, (title, row), colour in zip(axes[0], rows.items(), (RED, BLUE, ORANGE), strict=False):
        ax.bar(range(len(row)), row.tolist(), color=colour, width=0.8)
        ax.axhline(1 / len(row), color=BLACK, linewidth=1, linestyle="--")
        ax.set(title=title, xlabel="key", ylim=(0, 1), xticks=range(0, len(row), 5))
        ax.set_axisbelow(True)
    axes[0, 0].set_ylabel("weight (dashed: all alike)")
    highest = ", ".join(f"{title} {row.max().item():.2f}" for title, row in rows.items())
    n = len(next(iter(rows.values())))
    describe(
        f"A bar chart for each scale of the scores: the weights that one query gives to {n} keys. "
        f"The largest weight is: {highest}; if all were alike, each would be {1 / n:.2f}."
    )


def rungs(runs: Mapping[str, Sequence[float]], by_seed: Mapping[str, Sequence[float]]) -> None:
    """Draw a stack of blocks in up to four versions: how it learns, and what three seeds say.

    runs: the minibatches' losses, smoothed over a fifteenth. by_seed: validation losses of the
    versions that are too close to be told apart there.
    """
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), width_ratios=(3, 2))
    looks = dict(zip(runs, ((RED, ":"), (ORANGE, "-."), (SKY, "--"), (BLUE, "-")), strict=False))
    for name, losses in runs.items():
        colour, dash = looks[name]
        window = max(1, len(losses) // 15)
        steps = range(window, len(losses) + 1)  # full windows only
        left.plot(steps, smooth(losses, window)[window - 1 :], dash, color=colour, label=name)
    left.set(xlabel="step", ylabel="loss, nats a character")
    left.set_ylim(top=min(left.get_ylim()[1], 4.0))  # a run that diverged must not squash the rest
    left.set_title("Loss of the minibatches, smoothed")
    left.legend()
    for i, (name, losses) in enumerate(by_seed.items()):
        right.plot([i] * len(losses), losses, "o", color=looks[name][0], markeredgecolor=BLACK)
    right.set_xticks(range(len(by_seed)), [fill(name, 14) for name in by_seed])
    right.set(xlim=(-0.5, len(by_seed) - 0.5), title="Validation loss, a dot a seed")
    right.grid(axis="x", visible=False)
    found = [f"{name} {min(row):.2f} to {max(row):.2f}" for name, row in by_seed.items()]
    describe(
        "Left, a line chart of the minibatches' loss in nats a character against the step, "
        f"smoothed: {first_to_last(runs)}. Right, a dot a seed for the validation loss: "
        f"{'; '.join(found)}."
    )


def rotary(
    turned: Float[Tensor, "N 2"], distances: Sequence[int], scores: Mapping[str, Sequence[float]]
) -> None:
    """Draw a vector turned at positions 0, 1, 2, …; beside it, scores against the distance.

    scores: for each place of the query, its scores with keys at these distances before it.
    """
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), width_ratios=(2, 3))
    for position, (a, b) in enumerate(turned.tolist()):
        left.annotate("", (a, b), (0, 0), arrowprops={"arrowstyle": "->", "color": BLUE})
        left.annotate(str(position), (1.13 * a, 1.13 * b), ha="center", va="center")
    reach = 1.3 * turned.norm(dim=1).max().item()
    left.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    left.set_title("A pair of numbers at positions 0, 1, 2, …")
    looks = ((BLUE, "-", ""), (ORANGE, "", "o"), (BLACK, "", "x"))
    for (name, row), (colour, dash, marker) in zip(scores.items(), looks, strict=False):
        right.plot(
            distances, row, color=colour, linestyle=dash, marker=marker, markersize=4, label=name
        )
    right.set(xlabel="distance from query to key", ylabel="score q · k")
    right.set_title("Scores of the same query and key, elsewhere")
    right.legend()
    angles = turned[:, 1].atan2(turned[:, 0]).rad2deg()
    turn = abs((angles[1] - angles[0] + 180).remainder(360).item() - 180)
    apart = max(max(column) - min(column) for column in zip(*scores.values(), strict=True))
    row = next(iter(scores.values()))
    describe(
        f"Left, arrows from one point: a pair of numbers at positions 0 to {len(turned) - 1}, "
        f"turned by {turn:.0f} degrees at each step. Right, a line chart of the score against the "
        f"distance from query to key: {row[0]:.1f} at a distance of {distances[0]}, {row[-1]:.1f} "
        f"at {distances[-1]}. At equal distance, {', '.join(scores)} differ by at most "
        f"{apart:.1g}."
    )


def what_heads_read(maps: Sequence[Float[Tensor, "H T T"]], text: str, position: int) -> None:
    """Draw one strip a head: how much it reads of each character, asked from `position` of `text`.

    `maps` holds a tensor for each layer. The characters up to `position` are shown.
    """
    rows = [head[position, : position + 1].tolist() for layer in maps for head in layer]
    names = [f"{i + 1}.{j + 1}" for i, layer in enumerate(maps) for j in range(len(layer))]
    _, ax = plt.subplots(figsize=(10, 0.9 + 0.27 * len(rows)))
    image = ax.imshow(rows, vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(position + 1), visible(text[: position + 1]), family="monospace")
    ax.set_yticks(range(len(rows)), names, fontsize=8)
    line = 0
    for layer in maps[:-1]:  # a line between two layers
        line += len(layer)
        ax.axhline(line - 0.5, color=BLACK, linewidth=0.8)
    ax.set(ylabel="layer.head", xlabel="the text so far; the last character asks")
    ax.set_title("What each head reads, from the last character")
    ax.grid(visible=False)
    plt.colorbar(image, ax=ax, label="weight", pad=0.01)
    back = [position - max(range(position + 1), key=row.__getitem__) for row in rows]
    favourites = ", ".join(
        f"{name} {f'{n} back' if n else 'itself'} ({row[position - n]:.2f})"
        for name, row, n in zip(names, rows, back, strict=True)
    )
    describe(
        f"A heat map with a row for each of {len(rows)} heads, named layer.head, and a column for "
        f"each of the {position + 1} characters so far, of which the last asks. The character "
        f"that each head reads most, and its weight: {favourites}."
    )


def filters(
    before: Float[Tensor, " V"], after: Mapping[str, Float[Tensor, " V"]], chars: str, shown: int
) -> None:
    """Draw the likeliest next tokens before filtering (outlined) and after it, a panel each."""
    _, axes = plt.subplots(1, len(after), figsize=(10, 3), sharey=True, squeeze=False)
    top = before.argsort(descending=True)[:shown].tolist()
    signs = visible("".join(chars[i] for i in top))
    for ax, (title, probs) in zip(axes[0], after.items(), strict=True):
        ax.bar(range(len(top)), probs[top].tolist(), color=BLUE, label="after")
        unchanged = before[top].tolist()
        ax.bar(range(len(top)), unchanged, fill=False, edgecolor=BLACK, label="before")
        ax.set_xticks(range(len(top)), signs, family="monospace")
        ax.set(title=title, xlabel="next character")
        ax.set_axisbelow(True)
        ax.grid(axis="x", visible=False)
    axes[0, 0].set_ylabel("probability")
    axes[0, 0].legend()
    found = [
        f"with {title} {probs[top[0]].item():.2f}, and {(probs > 0).sum().item()} of "
        f"{len(before)} characters are left"
        for title, probs in after.items()
    ]
    describe(
        f"A bar chart for each filter: the probabilities of the {len(top)} likeliest next "
        f"characters before it and after it. The likeliest, {signs[0]}, has "
        f"{before[top[0]].item():.2f} before; {'; '.join(found)}."
    )


# --- encoder, decoder, cross-attention, and what comes after -------------------------------------

STAGES = (
    (
        "pretraining",
        "predict the next token\nof the internet",
        "a base model:\ncompletes documents",
    ),
    ("fine-tuning", "the same loss, on\nconversations", "an assistant:\nanswers"),
    ("reward model", "people rank answers;\na model learns to rank", "a judge:\nscores answers"),
    ("reinforcement", "raise the probability\nof answers with high scores", "ChatGPT"),
)


def family() -> None:
    """Draw who may read whom in encoder, decoder and cross-attention; below, the way to ChatGPT."""
    figure = plt.figure(figsize=(10, 5.9))
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.5, 1])
    source, target = ["le", "chat", "dort"], ["<s>", "the", "cat", "sleeps"]
    boards = (
        ("Encoder: every position reads all", source, source, lambda t, s: True),
        ("Decoder: itself and the past", target, target, lambda t, s: s <= t),
        ("Cross-attention: the other text", target, source, lambda t, s: True),
    )
    for ax, (title, readers, are_read, allowed) in zip(top.subplots(1, 3), boards, strict=True):
        for t in range(len(readers)):
            for s in range(len(are_read)):
                colour = BLUE if allowed(t, s) else "white"
                ax.add_patch(Rectangle((s, t), 0.9, 0.9, facecolor=colour, edgecolor="#999999"))
        ax.set_xticks([s + 0.45 for s in range(len(are_read))], are_read)
        ax.set_yticks([t + 0.45 for t in range(len(readers))], readers)
        ax.set(xlim=(-0.1, 4), ylim=(len(readers), -0.1), aspect="equal", anchor="N")
        ax.set_title(title)
        ax.set_xlabel("keys and values from", x=len(are_read) / 2 / 4.1)  # under the squares
        ax.set_ylabel("queries from")
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    ax = bottom.subplots()
    ax.set(
        xlim=(0, 4), ylim=(0, 1), title="From a GPT to ChatGPT: what is trained, and what comes out"
    )
    ax.axis("off")
    for i, (name, what, result) in enumerate(STAGES):
        ax.add_patch(Rectangle((i + 0.04, 0.42), 0.8, 0.5, facecolor="#e8f2fa", edgecolor=BLUE))
        ax.text(i + 0.44, 0.8, f"{i + 1}. {name}", ha="center", weight="bold", fontsize=10)
        ax.text(i + 0.44, 0.57, what, ha="center", va="center", fontsize=8.5)
        ax.text(i + 0.44, 0.2, result, ha="center", va="center", fontsize=9.5)
        if i < len(STAGES) - 1:
            arrow = FancyArrowPatch((i + 0.85, 0.67), (i + 1.03, 0.67), arrowstyle="->")
            arrow.set(mutation_scale=14, color=BLACK)
            ax.add_patch(arrow)
    stages = "; ".join(f"{name}, which gives {result}" for name, _, result in STAGES)
    describe(
        "Three grids of who may read whom: in the encoder every word of le chat dort reads all "
        "three; in the decoder each of <s> the cat sleeps reads itself and those before it; in "
        "cross-attention each of these reads all words of the French sentence. Below them, four "
        f"steps in a row: {stages}."
    )
