"""The figures of lecture 08: the four stages, a chat as tokens, and what learning from rewards does."""

import html
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from jaxtyping import Float
from torch import Tensor

from zerotohero.course.drawing import Drawing, draw
from zerotohero.course.plots import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY
from zerotohero.course.plots.diagram import diagram

LOOKS = ((BLUE, "o", "-"), (RED, "s", "--"), (GREEN, "^", "-."), (PURPLE, "D", ":"))
History = Sequence[Mapping[str, float]]

# --- diagrams -------------------------------------------------------------------------------------


def stages() -> Drawing:
    """Return the four stages, what each learns from and what it makes, with the state's names."""
    return diagram(
        """
        plays -> pretraining
        pretraining -> fine-tuning : base model
        questions, answers -> fine-tuning
        fine-tuning -> reward model :  tuned model
        comparisons -> reward model
        fine-tuning -> reinforcement : tuned model
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
        prompts -> policy : (P, T)
        policy -> answers : K for each prompt
        answers -> reward model : rows
        answers -> tuned model : rows
        reward model -> − : reward (P, K)
        tuned model -> − : β · divergence (P, K)
        − -> baseline : what was earned
        baseline -> policy : advantage (P, K)
        """,
        parameters={"policy": "learns"},
        alt="The loop: the policy writes K answers to each prompt; the reward model rates them; "
        "beta times their divergence from the tuned model is taken away; what is above the "
        "group's mean goes back to the policy as an advantage.",
    )


def masked(turns: Sequence[tuple[str, bool]], shown: int = 9) -> Drawing:
    """Return a conversation's tokens in a row of boxes, filled where the loss counts.

    turns: of each token its text, and whether the assistant has to write it. Rows hold `shown`.
    """
    rows = []
    for i in range(0, len(turns), shown):
        cells = "".join(
            f'<TD BGCOLOR="{"#f3c27a" if counts else "#f1f1f1"}" CELLPADDING="6">'
            f"{html.escape(text)}</TD>"
            for text, counts in turns[i : i + shown]
        )
        rows.append(
            '<TR><TD BORDER="0"><TABLE BORDER="0" CELLBORDER="1" CELLSPACING="3">'
            f"<TR>{cells}</TR></TABLE></TD></TR>"
        )
    learned = sum(counts for _, counts in turns)
    table = f'<TABLE BORDER="0" CELLSPACING="0">{"".join(rows)}</TABLE>'
    return draw(
        'digraph { bgcolor=white; node [shape=plain, fontname="Courier,monospace", fontsize=13, '
        f'fontcolor="#111111", color="#666666"]; t [label=<{table}>]; }}',
        alt=f"A conversation as {len(turns)} tokens in boxes, of which {learned} are filled: the "
        "answers and the ends of the assistant's turns, on which alone the loss counts.",
    )


# --- plots ----------------------------------------------------------------------------------------


def rewards(rewards: Float[Tensor, " N"], scores: Float[Tensor, " N"], edges: Sequence[float]):
    """Draw the rewards of answers in groups by their true score: below the first edge, and so on."""
    _, ax = plt.subplots()
    bounds = [-float("inf"), *edges, float("inf")]
    groups, names = [], []
    for low, high in zip(bounds, bounds[1:], strict=False):
        its = rewards[(scores >= low) & (scores < high)]
        if len(its):
            groups.append(its.tolist())
            left = "" if low == bounds[0] else f"{low:g} to "
            name = f"below {high:g}" if not left else left + f"{high:g}"
            names.append(
                f"{low:g} and more\n{len(its)}" if high == bounds[-1] else f"{name}\n{len(its)}"
            )
    parts = ax.boxplot(groups, tick_labels=names, whis=(5, 95), showfliers=False, patch_artist=True)
    for box, line in zip(parts["boxes"], parts["medians"], strict=True):
        box.set(facecolor=SKY, edgecolor=BLACK)
        line.set(color=BLACK, linewidth=2)
    ax.set(xlabel="true score, and number of answers", ylabel="reward")


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
    ax.legend(loc="best")


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
