"""The figures of lecture 09: coloured tokens, merges as rows and as a tree, and counts."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch, Rectangle

from zerotohero.course.drawing import Drawing
from zerotohero.course.plots import BLACK, BLUE, GREEN, ORANGE, RED, SKY, describe
from zerotohero.course.plots.diagram import diagram
from zerotohero.course.plots.gpt import visible
from zerotohero.tokenizer import BytePairs

# Light, so that black letters can be read on them; neighbours never have the same.
SHADES = ("#cfe3f3", "#fbe3b0", "#c5e8dc", "#f6cfb5", "#e8d3e2")
LOOKS = ((RED, "o", ":"), (BLUE, "s", "-"), (GREEN, "^", "--"))


def sign(piece: bytes) -> str:
    """Return a token's text with signs for blanks, or its bytes if it is no whole characters."""
    try:
        return "".join(c if c.isprintable() else f"⟨{ord(c):02X}⟩" for c in visible(piece.decode()))
    except UnicodeDecodeError:
        return f"⟨{piece.hex(' ').upper()}⟩"


# --- diagrams -------------------------------------------------------------------------------------


def way() -> Drawing:
    """Return the way of a text into a model, with what each step makes of it."""
    return diagram(
        """
        text -> special tokens : characters
        special tokens -> cut : the rest
        cut -> UTF-8 : chunks
        UTF-8 -> merge : bytes
        merge -> model : ids
        """,
        parameters={"merge": "ranks, learned"},
        alt="The way of a text into a model: special tokens are taken out, a pattern cuts the rest "
        "into chunks, each becomes bytes, and learned merges turn the bytes into numbers.",
    )


def one_merge(before: Sequence[str], pair: tuple[str, str], name: str) -> Drawing:
    """Return one merge: the tokens before it, and those after it with the pair as `name`."""
    arrows, made, i = [], 0, 0
    while i < len(before):
        taken = 2 if tuple(before[i : i + 2]) == pair else 1
        new = name if taken == 2 else before[i]
        arrows += [f"{before[j]}#old{j} -> {new}#new{i}" for j in range(i, i + taken)]
        made += taken == 2
        i += taken
    return diagram(
        "\n".join(arrows),
        alt=f"{len(before)} tokens in a row. At {made} places {pair[0]} and {pair[1]} stand "
        f"together, and both together become one token, {name}; all others stay.",
        down=True,
    )


def merge_tree(tokenizer: BytePairs, token: int) -> Drawing:
    """Return the tree of merges behind a token: at its top the token, at its leaves bytes."""
    arrows, inner = [], {}

    def grow(piece: bytes, place: str) -> str:
        name = f"{sign(piece)}#{place}"
        if piece in tokenizer.merges:
            inner[name] = str(tokenizer.ranks[piece])
            for half, side in zip(tokenizer.merges[piece], "lr", strict=True):
                arrows.append(f"{name} -> {grow(half, place + side)}")
        return name

    piece = tokenizer.piece(token)
    grow(piece, "t")
    return diagram(
        "\n".join(arrows),
        parameters=inner,
        alt=f"The tree of merges behind {sign(piece)}. Each box is split into the two tokens that "
        "were merged to make it, down to single bytes; the number is that of the token.",
        down=True,
    )


# --- plots ----------------------------------------------------------------------------------------


def _row(ax, pieces: Sequence[bytes], x: float, y: float, width: float) -> float:
    """Draw tokens from (x, y) on, a new line where `width` is full; return the last line's y."""
    at = x
    for i, piece in enumerate(pieces):
        text = sign(piece)
        if at + len(text) > x + width:
            at, y = x, y - 1
        ax.add_patch(
            Rectangle(
                (at, y), len(text), 0.86, facecolor=SHADES[i % len(SHADES)], edgecolor="white"
            )
        )
        for j, letter in enumerate(text):
            ax.text(
                at + j + 0.5, y + 0.4, letter, ha="center", va="center", family="monospace", size=9
            )
        at += len(text)
    return y


def coloured(tokenizers: Mapping[str, BytePairs], text: str) -> None:
    """Draw the tokens of a text in several vocabularies, one under the other."""
    _, ax = plt.subplots(figsize=(10, 4.6))
    y, counts = 0.0, []
    for name, tokenizer in tokenizers.items():
        pieces = tokenizer.pieces(tokenizer.encode(text))
        counts.append(f"{name} makes {len(pieces)} of it")
        ax.text(0, y, f"{name}: {len(pieces)} tokens", va="bottom", weight="bold", size=10)
        y = _row(ax, pieces, 0, y - 1, 84) - 1.3
    ax.set(xlim=(-0.5, 84.5), ylim=(y + 1, 1.1))
    ax.axis("off")
    describe(
        f"A text of {len(text)} characters, cut into tokens by each vocabulary in turn, with a box "
        f"around every token: {', '.join(counts)}."
    )


def replay(stages: Sequence[tuple[str, Sequence[bytes]]]) -> None:
    """Draw a text after one merge after another: each stage is what was merged, and the tokens."""
    _, ax = plt.subplots(figsize=(10, 0.3 + 0.27 * len(stages)))
    for i, (merged, pieces) in enumerate(stages):
        ax.text(0, -i + 0.4, merged, va="center", size=9)
        _row(ax, pieces, 16, -i, 70)
        ax.text(85, -i + 0.4, f"{len(pieces)} tokens", va="center", ha="right", size=9)
    ax.set(xlim=(0, 85.5), ylim=(1 - len(stages) - 0.1, 1.1))
    ax.axis("off")
    _, last = stages[-1]
    describe(
        f"The same text in {len(stages)} rows, a box around every token, one merge more in each "
        f"row: {'; '.join(f'{merged}, {len(pieces)} tokens' for merged, pieces in stages)}. In the "
        f"last row the tokens are, with · for a blank, {' | '.join(map(sign, last))}."
    )


def sizes(curves: Mapping[str, Sequence[float]], vocab_sizes: Sequence[int]) -> None:
    """Draw bytes per token against the vocabulary's size, a line for each text."""
    _, ax = plt.subplots()
    for (name, curve), (colour, marker, dash) in zip(curves.items(), LOOKS, strict=False):
        ax.plot(vocab_sizes, curve, color=colour, marker=marker, linestyle=dash, label=name)
    ax.set_xscale("log", base=2)
    ax.set_xticks(vocab_sizes, [f"{n:,}" for n in vocab_sizes])
    ax.minorticks_off()
    ax.set(xlabel="tokens in the vocabulary", ylabel="bytes per token", ylim=(0.8, None))
    ax.legend(loc="upper left")
    ends = [f"{name}, {curve[0]:.2f} to {curve[-1]:.2f}" for name, curve in curves.items()]
    describe(
        f"A line chart of bytes per token for vocabularies of {vocab_sizes[0]:,} to "
        f"{vocab_sizes[-1]:,} tokens, on a logarithmic axis, with a line for each text: "
        f"{'; '.join(ends)}."
    )


def bits(curves: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Draw bits per byte against processor seconds, a line for each vocabulary."""
    _, ax = plt.subplots()
    looks = (*LOOKS, (ORANGE, "D", "-."))
    for (name, curve), (colour, marker, dash) in zip(curves.items(), looks, strict=False):
        seconds, values = zip(*curve, strict=True)
        ax.plot(seconds, values, color=colour, marker=marker, linestyle=dash, label=name)
    ax.set(xlabel="seconds of training", ylabel="bits per byte, held-out text")
    ax.legend()
    ends = [
        f"with {name} from {curve[0][1]:.2f} bits after {curve[0][0]:.1f} seconds to "
        f"{curve[-1][1]:.2f} after {curve[-1][0]:.1f}"
        for name, curve in curves.items()
    ]
    describe(
        "A line chart of the bits per byte of held-out text against seconds of training, with a "
        f"line for each vocabulary: {'; '.join(ends)}."
    )


def languages(counts: Mapping[str, Mapping[str, int]]) -> None:
    """Draw how many tokens a text costs in each language: a group of bars for each of them.

    counts: by language, by vocabulary. The first language's are the measure, drawn as lines.
    """
    _, ax = plt.subplots(figsize=(10, 4.4))
    names = list(next(iter(counts.values())))
    width = 0.8 / len(names)
    for k, (name, colour, hatch) in enumerate(
        zip(names, (ORANGE, SKY, BLUE), ("", "//", ""), strict=False)
    ):
        places = [i + (k - (len(names) - 1) / 2) * width for i in range(len(counts))]
        values = [row[name] for row in counts.values()]
        ax.bar(
            places, values, width, color=colour, label=name, hatch=hatch, edgecolor=BLACK, lw=0.4
        )
    ax.axhline(next(iter(counts.values()))[names[0]], color=BLACK, linewidth=1, linestyle="--")
    ax.set_xticks(range(len(counts)), list(counts))
    ax.set(ylabel="tokens (dashed: English)", title="The same article in several languages")
    ax.set_axisbelow(True)
    ax.grid(axis="x", visible=False)
    ax.legend(ncols=len(names), loc="upper left")
    ax.set_ylim(top=1.15 * max(max(row.values()) for row in counts.values()))
    first, dearest = next(iter(counts)), []
    for name in names:
        most = max(counts, key=lambda language: counts[language][name])
        dearest.append(f"{name} {counts[first][name]} in {first}, {counts[most][name]} in {most}")
    describe(
        f"A bar chart of the tokens that one article makes in {len(counts)} languages, with a bar "
        f"for each vocabulary. {first} and the language that costs most: {'; '.join(dearest)}."
    )


def integers(cuts: Mapping[str, Sequence[Sequence[int]]]) -> None:
    """Draw how each number from 0 to 9999 is cut, a square of 100 × 100 for each vocabulary.

    cuts: for each number, how many digits its tokens have, as (2, 2) of 20|24.
    """
    kinds = {
        "one token": lambda cut: len(cut) == 1,
        "2 + 2": lambda cut: tuple(cut) == (2, 2),
        "1 + 3": lambda cut: tuple(cut) == (1, 3),
        "3 + 1": lambda cut: tuple(cut) == (3, 1),
        "otherwise": lambda cut: True,
    }
    colours = (BLACK, SKY, ORANGE, BLUE, RED)
    figure, axes = plt.subplots(1, len(cuts), figsize=(10, 4.9), squeeze=False)
    shares = []
    for ax, (name, rows) in zip(axes[0], cuts.items(), strict=True):
        which = [next(i for i, fits in enumerate(kinds.values()) if fits(cut)) for cut in rows]
        grid = [which[i : i + 100] for i in range(0, len(which), 100)]
        ax.imshow(grid, cmap=ListedColormap(colours), vmin=0, vmax=4, interpolation="nearest")
        ax.set(title=name, xlabel="last two digits", ylabel="the digits before them")
        ax.grid(visible=False)
        parts = [f"{kind} {which.count(i) / len(which):.1%}" for i, kind in enumerate(kinds)]
        shares.append(f"{name} {', '.join(parts)}")
    handles = [Patch(color=c, label=kind) for c, kind in zip(colours, kinds, strict=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(kinds))
    describe(
        "A square of 100 by 100 cells for each vocabulary, a cell for each whole number, which "
        "shows into how many digits its tokens cut it. The share of each kind of cut: "
        f"{'; '.join(shares)}."
    )
