"""The figures of lecture 08: four stages, a chat as tokens, what learning from rewards does."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf

import matplotlib.pyplot as plt
from jaxtyping import Float
from torch import Tensor

from zerotohero.course.drawing import Drawing, draw
from zerotohero.course.plots import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY, describe
from zerotohero.course.plots.diagram import diagram
from zerotohero.course.plots.tokenizer import sign

LOOKS = ((BLUE, "o", "-"), (RED, "s", "--"), (GREEN, "^", "-."), (PURPLE, "D", ":"))
History = Sequence[Mapping[str, float]]
LEARNED, GIVEN = "#f3c27a", "#f1f1f1"  # tokens, by whether the loss counts

# --- diagrams -------------------------------------------------------------------------------------


def stages() -> Drawing:
    """Return the four stages, what each learns from and what it makes."""
    return diagram(
        """
        plays -> pretraining
        pretraining -> fine-tuning :  base model
        questions, answers -> fine-tuning
        fine-tuning -> reward model :  tuned model
        comparisons -> reward model
        fine-tuning -> reinforcement :  tuned model
        reward model -> reinforcement :  rewards
        reinforcement -> assistant
        """,
        parameters={
            "pretraining": "the next token",
            "fine-tuning": "answers",
            "reward model": "which is better",
            "reinforcement": "more reward",
        },
        alt="The four stages. Pretraining makes a base model from plays; fine-tuning, from "
        "questions and answers, a tuned model; comparisons of its answers make a reward model; "
        "reinforcement learning makes the assistant from the tuned and the reward model.",
        down=True,
    )


def loop() -> Drawing:
    """Return the loop of reinforcement learning: who hands what to whom."""
    return diagram(
        """
        prompts -> policy
        policy -> answers : K each
        answers -> reward model
        answers -> tuned model
        reward model -> − : reward
        tuned model -> − : β · divergence
        − -> baseline : earned
        baseline -> policy : advantage (P, K)
        """,
        parameters={"policy": "learns"},
        alt="The loop: the policy writes K answers to each prompt; the reward model rates them; "
        "beta times their divergence from the tuned model is taken away; what is above the "
        "group's mean goes back to the policy as an advantage.",
    )


def masked(pieces: Sequence[bytes], mask: Sequence[bool], shown: int = 9) -> Drawing:
    """Return a conversation's tokens as boxes, filled where the loss counts; rows hold `shown`."""
    lines = [
        "digraph { bgcolor=white; nodesep=0.08; ranksep=0.12; edge [style=invis];",
        'node [shape=box, style="filled", fontname="Helvetica,Arial,sans-serif", '
        'fontsize=12, fontcolor="#111111", color="#666666", height=0.36, margin="0.18,0.05"];',
    ]
    for i, (piece, counts) in enumerate(zip(pieces, mask, strict=True)):
        text = sign(piece).replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f't{i} [label="{text}", fillcolor="{LEARNED if counts else GIVEN}"];')
    rows = [range(i, min(i + shown, len(pieces))) for i in range(0, len(pieces), shown)]
    for row in rows:
        lines.append(f"{{ rank=same; {' -> '.join(f't{i}' for i in row)} }}")
    lines += [f"t{row[0]} -> t{below[0]};" for row, below in pairwise(rows)]
    return draw(
        "\n".join([*lines, "}"]),
        alt=f"A conversation as {len(pieces)} tokens in boxes, of which {sum(mask)} are filled: "
        "the answers and the ends of the assistant's turns, on which alone the loss counts.",
    )


# --- plots ----------------------------------------------------------------------------------------


def rewards(
    rewards: Float[Tensor, " N"], scores: Float[Tensor, " N"], edges: Sequence[float]
) -> None:
    """Draw the rewards of answers in groups by their true score, cut at the edges."""
    _, ax = plt.subplots()
    groups, names = [], []
    for low, high in pairwise([-inf, *edges, inf]):
        its = rewards[(scores >= low) & (scores < high)]
        if len(its):
            groups.append(its.tolist())
            name = f"{low:g} to {high:g}" if high < inf else f"{low:g} and more"
            names.append(f"{name if low > -inf else f'below {high:g}'}\n{len(its)}")
    parts = ax.boxplot(groups, tick_labels=names, whis=(5, 95), showfliers=False, patch_artist=True)
    for box, line in zip(parts["boxes"], parts["medians"], strict=True):
        box.set(facecolor=SKY, edgecolor=BLACK)
        line.set(color=BLACK, linewidth=2)
    ax.set(xlabel="true score, and number of answers", ylabel="reward")
    medians = [float(line.get_ydata()[0]) for line in parts["medians"]]
    groups = [f"{name.split(chr(10))[0]}: {m:.1f}" for name, m in zip(names, medians, strict=True)]
    describe(
        "Boxes of the rewards of answers, grouped by their true score, with whiskers that overlap "
        f"from group to group. Median rewards by true score: {'; '.join(groups)}."
    )


def runs(histories: Mapping[str, History]) -> None:
    """Draw reward, true score and divergence of each step, a line for each run."""
    _, axes = plt.subplots(1, 3, figsize=(10, 3.4))
    titles = {"reward": "reward", "score": "true score", "divergence": "divergence, nats"}
    for ax, (key, title) in zip(axes, titles.items(), strict=True):
        for (name, history), (colour, marker, dash) in zip(histories.items(), LOOKS, strict=False):
            values = [step[key] for step in history]
            every = max(1, len(values) // 6)
            ax.plot(
                values, color=colour, linestyle=dash, marker=marker, markevery=every, label=name
            )
        ax.set(title=title, xlabel="step")
    axes[0].legend()
    ends = [
        f"{name}: " + ", ".join(f"{titles[key]} {history[-1][key]:.2f}" for key in titles)
        for name, history in histories.items()
    ]
    describe(
        "Three panels of curves against the step: reward, true score and divergence of each run. "
        f"Last steps: {'; '.join(ends)}."
    )


def frontier(
    curve: Sequence[tuple[str, float, float]], points: Mapping[str, tuple[float, float]]
) -> None:
    """Draw true scores against divergences: best of n as a line, other models as marks.

    curve: of each n its name, divergence and score; points: divergence and score by name.
    """
    _, ax = plt.subplots(figsize=(7, 4))
    _, x, y = zip(*curve, strict=True)
    ax.plot(x, y, color=BLACK, marker=".", label="best of n")
    for name, a, b in curve:
        ax.annotate(name, (a, b), (4, -12), textcoords="offset points", fontsize=9)
    for (name, (a, b)), (colour, marker, _) in zip(points.items(), LOOKS, strict=False):
        ax.plot([a], [b], color=colour, marker=marker, markersize=9, linestyle="", label=name)
    ax.set(xlabel="divergence from the fine-tuned model, nats an answer", ylabel="true score")
    ax.margins(0.1)
    ax.legend(loc="best")
    marks = [f"{name} at {a:.1f} nats scores {b:z.2f}" for name, (a, b) in points.items()]
    describe(
        "True score against divergence from the fine-tuned model. Best of n is a curve that ends "
        f"at {x[-1]:.1f} nats with {y[-1]:z.2f}; single marks: {'; '.join(marks)}."
    )


def passes(curves: Mapping[str, Mapping[int, float]]) -> None:
    """Draw the share of sums that one of k answers has right, a line for each model."""
    _, ax = plt.subplots()
    for (name, curve), (colour, marker, dash) in zip(curves.items(), LOOKS, strict=False):
        ax.plot(
            curve.keys(), curve.values(), color=colour, marker=marker, linestyle=dash, label=name
        )
    ks = list(next(iter(curves.values())))
    ax.set_xscale("log", base=2)
    ax.set_xticks(ks, [str(k) for k in ks])
    ax.minorticks_off()
    ax.set(xlabel="answers k", ylabel="share with one right: pass@k", ylim=(0, 1.02))
    ax.legend(loc="lower right")
    ends = [
        f"{name} from {curve[ks[0]]:.2f} to {curve[ks[-1]]:.2f}" for name, curve in curves.items()
    ]
    describe(
        f"Rising curves: the share of sums that one of k answers has right, for k from {ks[0]} to "
        f"{ks[-1]} on a log axis. {'; '.join(ends)}."
    )


def penalties(ends: Mapping[float, Mapping[str, float]]) -> None:
    """Draw where runs with different penalties end: reward, true score, divergence by penalty."""
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    places, names = range(len(ends)), [f"{beta:g}" for beta in ends]
    for key, title, (colour, marker, dash) in zip(
        ("reward", "score"), ("reward", "true score"), LOOKS, strict=False
    ):
        values = [end[key] for end in ends.values()]
        left.plot(places, values, color=colour, marker=marker, linestyle=dash, label=title)
    left.legend(loc="best")
    divergences = [end["divergence"] for end in ends.values()]
    right.plot(places, divergences, color=GREEN, marker="^")
    left.set(title="what it earns")
    right.set(title="how far it goes, nats", ylim=(0, None))
    for ax in (left, right):
        ax.set_xticks(places, names)
        ax.set_xlabel("penalty β")
    best = max(ends, key=lambda beta: ends[beta]["score"])
    describe(
        f"Two panels by penalty, for β of {', '.join(names)}. The true score is highest, "
        f"{ends[best]['score']:.2f}, at {best:g}; the divergence goes from {divergences[0]:.1f} at "
        f"the first to {divergences[-1]:.1f} nats at the last."
    )


def shares(bars: Mapping[str, float], chance: float | None = None, title: str = "right") -> None:
    """Draw a bar for each share, its value beside it, and a line at what chance would give."""
    _, ax = plt.subplots(figsize=(7, 0.9 + 0.36 * len(bars)))
    names = list(bars)[::-1]
    ax.barh(names, [bars[name] for name in names], color=SKY, edgecolor=BLACK, linewidth=0.5)
    for i, name in enumerate(names):
        ax.text(bars[name] + 0.01, i, f"{bars[name]:.0%}", va="center")
    if chance is not None:
        ax.axvline(chance, color=ORANGE, linestyle="--")
    ax.set(xlim=(0, 1.1), xlabel=f"share {title}")
    ax.grid(axis="y", visible=False)
    values = ", ".join(f"{name} {share:.0%}" for name, share in bars.items())
    guessed = "" if chance is None else f" A line marks {chance:.0%}, which is chance."
    describe(f"Horizontal bars of the share {title}: {values}.{guessed}")
