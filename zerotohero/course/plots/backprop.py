"""The figures of lecture 05, each drawn from numbers that the notebook has computed."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from jaxtyping import Float, Int
from torch import Tensor

from zerotohero.course.drawing import Drawing
from zerotohero.course.plots import BLACK, BLUE, GREEN, ORANGE, RED, SKY, YELLOW, describe
from zerotohero.course.plots.diagram import diagram
from zerotohero.course.plots.mlp import from_to, smooth

# --- diagrams -----------------------------------------------------------------------------------


def network(B: int, T: int, C: int, H: int, V: int) -> Drawing:
    """Return the network's diagram: its parameters as boxes, on the arrows what flows forwards."""
    return diagram(
        f"""
        xb -> wte : ({B}, {T})
        wte -> W1, b1 : x\\n({B}, {T * C})
        W1, b1 -> normalise : pre\\n({B}, {H})
        normalise -> gamma, beta : normed
        gamma, beta -> tanh : act\\n({B}, {H})
        tanh -> W2, b2 : h\\n({B}, {H})
        W2, b2 -> loss : logits\\n({B}, {V})
        """,
        parameters={
            "wte": f"({V}, {C})",
            "W1, b1": f"({T * C}, {H})\n({H},)",
            "gamma, beta": f"({H},)\n({H},)",
            "W2, b2": f"({H}, {V})\n({V},)",
        },
        frames={"BatchNorm": ["normalise", "gamma, beta"]},
        alt="A chain from the tokens xb through the embedding table, a linear layer, BatchNorm, "
        "tanh and a second linear layer to the loss, with the shapes on the arrows.",
    )


def ways_to_dlogits(B: int, V: int) -> Drawing:
    """Return three ways back from the loss to dlogits: in small steps, and by two fused formulas.

    dtop is left out, because it is zero.
    """
    return diagram(
        f"""
        loss -> dlogprobs -> dprobs -> dshare -> dtotal -> dcounts -> dshifted -> dlogits
        dprobs -> dcounts
        dprobs -> softmax in one
        softmax in one -> dlogits : ({B}, {V})
        loss -> cross-entropy in one
        cross-entropy in one -> dlogits : ({B}, {V})
        """,
        alt="From the loss to dlogits: a chain of small steps, a way that replaces the steps of "
        "softmax by one, and a way that replaces all of them by one.",
    )


def ways_of_a_value() -> Drawing:
    """Return the three ways on which one value of a channel reaches the loss through BatchNorm."""
    return diagram(
        """
        xᵢ -> xᵢ − μ
        xᵢ -> μ : through the mean
        μ -> all xⱼ − μ
        xᵢ − μ -> x̂ᵢ : directly
        xᵢ − μ -> σ² : through the variance
        σ² -> s
        s -> all x̂ⱼ
        all xⱼ − μ -> all x̂ⱼ
        x̂ᵢ -> loss : yᵢ
        all x̂ⱼ -> loss : all yⱼ
        """,
        frames={"  of the whole channel": ["μ", "σ²", "s", "all xⱼ − μ", "all x̂ⱼ"]},
        alt="One value leads to the loss directly, through the variance and through the mean; the "
        "last two reach the normalised values of the whole channel.",
    )


def backward_pass(B: int, T: int, C: int, H: int, V: int) -> Drawing:
    """Return the network's backward pass: a chain of fused functions, and what each yields."""
    return diagram(
        f"""
        loss -> cross-entropy
        cross-entropy -> linear : dlogits\\n({B}, {V})
        linear -> tanh : dh\\n({B}, {H})
        tanh -> BatchNorm : dact\\n({B}, {H})
        BatchNorm -> linear#2 : dpre\\n({B}, {H})
        linear#2 -> embedding : dx\\n({B}, {T * C})
        linear -> dW2, db2
        BatchNorm -> dgamma, dbeta
        linear#2 -> dW1
        embedding -> dwte
        """,
        parameters={
            "dW2, db2": f"({H}, {V})\n({V},)",
            "dgamma, dbeta": f"({H},)\n({H},)",
            "dW1": f"({T * C}, {H})",
            "dwte": f"({V}, {C})",
        },
        alt="The functions cross-entropy, linear, tanh, BatchNorm, linear and embedding, one after "
        "another from the loss; each hands a gradient on and yields its parameters' gradients.",
    )


# --- plots --------------------------------------------------------------------------------------


def broadcast_and_sum(bias: Float[Tensor, " C"], grad: Float[Tensor, "B C"]) -> None:
    """Draw a row that is copied to every row, and beside it the gradients of the copies, summed."""
    _, (left, right) = plt.subplots(1, 2, figsize=(7, 3.2))
    B, C = grad.shape
    copies = bias.expand(B, C)
    for ax, top, rows, bottom in (
        (left, bias, copies, None),
        (right, None, grad, grad.sum(0)),
    ):
        for i, row in enumerate(rows.tolist()):
            _boxes(ax, row, y=-i, colour=BLUE)
        ends = ((top, 1.9, "b (the only one)"), (bottom, -B - 0.9, "db"))
        for values, y, name in ends:
            if values is not None:
                _boxes(ax, values.tolist(), y, colour=ORANGE)
                ax.text(-0.75, y, name, ha="right", va="center")
        ax.text(-0.75, -(B - 1) / 2, "its copies" if top is not None else "dout", ha="right")
        start, end = (1.4, 0.6) if top is not None else (-B + 0.4, -B - 0.4)
        for j in range(C):
            arrow = {"arrowstyle": "->", "color": BLACK, "linewidth": 1.4}
            ax.annotate("", (j, end), (j, start), arrowprops=arrow)
        ax.text(C - 0.3, (start + end) / 2, "copy" if top is not None else "sum", va="center")
        ax.set(xlim=(-2.6, C + 0.2), ylim=(-B - 1.6, 2.6), aspect="equal")
        ax.axis("off")
    left.set_title("Forwards: one row, copied")
    right.set_title("Backwards: the copies' gradients, summed")
    row, sums = (", ".join(map(_number, values.tolist())) for values in (bias, grad.sum(0)))
    describe(
        f"Two tables of {B} rows and {C} columns. On the left arrows lead from the row b = ({row}) "
        "down to the rows, which are equal to it. On the right the rows are the gradients dout, "
        f"and arrows lead down to the sums of the columns, db = ({sums})."
    )


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _boxes(ax, values: Sequence[float], y: float, colour: str) -> None:
    for x, value in enumerate(values):
        box = plt.Rectangle((x - 0.48, y - 0.45), 0.96, 0.9, facecolor="white", edgecolor=colour)
        box.set_linewidth(1.6)
        ax.add_patch(box)
        ax.text(x, y, _number(value), ha="center", va="center")


# Where each node of the network stands on the map (column, row), and what it is made of.
_PLACES = {
    "wte": (0, 0),
    "emb": (1, 0),
    "x": (2, 0),
    "pre": (3, 0),
    "W1": (2, 1),
    "b1": (3, 1),
    "mean": (4, -1),
    "diff": (4, 0),
    "square": (5, 1),
    "var": (6, 1),
    "inv": (7, 1),
    "normed": (7, 0),
    "gamma": (8, 1),
    "beta": (9, 1),
    "act": (8, 0),
    "h": (9, 0),
    "W2": (0, -3),
    "b2": (1, -4),
    "logits": (1, -3),
    "top": (2, -4),
    "shifted": (3, -3),
    "counts": (4, -3),
    "total": (5, -4),
    "share": (6, -4),
    "probs": (6, -3),
    "logprobs": (7, -3),
    "loss": (8, -3),
}
_EDGES = (
    "wte emb, emb x, x pre, W1 pre, b1 pre, pre mean, pre diff, mean diff, diff square, "
    "square var, var inv, inv normed, diff normed, normed act, gamma act, beta act, act h, "
    "h logits, W2 logits, b2 logits, logits top, logits shifted, top shifted, shifted counts, "
    "counts total, total share, share probs, counts probs, probs logprobs, logprobs loss"
)
PARAMETERS = ("wte", "W1", "b1", "gamma", "beta", "W2", "b2")


def map_of_nodes(shapes: Mapping[str, Sequence[int]]) -> None:
    """Draw every node of the network with its shape; orange arrows carry a broadcast.

    `shapes` has the shape of each node by its name; "loss" may be left out.
    """
    _, ax = plt.subplots(figsize=(10, 5.2))
    broadcast = {"b1 pre", "mean diff", "inv normed", "gamma act", "beta act", "b2 logits"}
    broadcast |= {"top shifted", "share probs", "wte emb"}
    for edge in _EDGES.split(", "):
        source, target = edge.split()
        (x0, y0), (x1, y1) = _PLACES[source], _PLACES[target]
        gap = 15 if x0 == x1 else 21  # boxes are wider than they are high
        style = {"arrowstyle": "-|>", "shrinkA": gap, "shrinkB": gap, "color": "#777777"}
        if edge in broadcast:
            style |= {"color": RED, "linewidth": 2.2}
        if edge == "h logits":  # from the end of the first line to the start of the second
            ax.plot([x0, x0, x1], [y0 - 0.3, -2, -2], color="#777777", linewidth=1)
            ax.annotate(
                "", (x1, y1 + 0.3), (x1, -2), arrowprops={"arrowstyle": "-|>", "color": "#777777"}
            )
            continue
        ax.annotate("", (x1, y1), (x0, y0), arrowprops=style)
    for name, (x, y) in _PLACES.items():
        shape = "×".join(map(str, shapes.get(name, ()))) or "1"
        parameter = name in PARAMETERS
        box = {"boxstyle": "round,pad=0.3", "facecolor": "#E3F1FA" if parameter else "white"}
        box |= {"edgecolor": BLUE if parameter else "#555555"}
        ax.text(x, y, f"{name}\n{shape}", ha="center", va="center", fontsize=9, bbox=box)
    ax.set(xlim=(-0.6, 9.6), ylim=(-4.6, 1.6))
    ax.axis("off")
    ax.set_title("Forwards along the arrows, backwards against them")
    marked = ", ".join(edge.replace(" ", " to ") for edge in sorted(broadcast))
    describe(
        f"Graph of the network's {len(_PLACES)} nodes, each with its shape, in two lines: from the "
        "table wte through a linear layer and BatchNorm to h, and from h through W2 and softmax to "
        f"the loss. The arrows that carry a broadcast or a lookup are marked, {len(broadcast)} of "
        f"{len(_EDGES.split(', '))}: {marked}."
    )


def logit_gradients(
    dlogits: Float[Tensor, "B V"], targets: Int[Tensor, " B"], itos: Sequence[str]
) -> None:
    """Draw the logits' gradient as a heat map, one row an example; a dot marks each target."""
    _, ax = plt.subplots(figsize=(7, 4.8))
    pull = -dlogits * len(dlogits)
    image = ax.imshow(pull.numpy(), cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    dots = {"s": 22, "color": YELLOW, "edgecolor": BLACK, "linewidth": 0.6}
    ax.scatter(targets.tolist(), range(len(targets)), label="the character that came", **dots)
    ax.set_xticks(range(len(itos)), itos)
    ax.set(xlabel="logit of this character", ylabel="example of the batch")
    ax.set_title("Force on each logit: −B · dlogits")
    ax.grid(False)
    ax.legend(loc="lower right", bbox_to_anchor=(1.03, 0.99))
    plt.colorbar(image, label="down ← force → up", pad=0.02)
    at = pull[range(len(pull)), targets.long()]
    others = (at - pull.sum(1)) / (len(itos) - 1)
    describe(
        f"Heat map of {len(pull)} examples by {len(itos)} logits. The force on the logit of the "
        f"character that came is {at.min():.2f} to {at.max():.2f}, with a mean of {at.mean():.2f}; "
        f"the others are pushed down, each by {others.mean():.3f} on average."
    )


def force_on_a_row(
    probs: Float[Tensor, " V"], target: int, itos: Sequence[str], title: str
) -> None:
    """Draw one example: its probabilities as bars, and the force on each logit as an arrow."""
    _, (upper, lower) = plt.subplots(2, 1, figsize=(7, 4.4), sharex=True)
    force = -probs.clone()
    force[target] += 1
    places = range(len(itos))
    colours = [GREEN if i == target else BLUE for i in places]
    upper.bar(places, probs.tolist(), color=colours)
    upper.set(ylabel="probability", title=f"{title} (the two scales differ)")
    low, high = min(-0.05, force.min().item()), max(0.05, force.max().item())
    for i, (strength, colour) in enumerate(zip(force.tolist(), colours, strict=True)):
        head = 0.08 * (high - low) * (1 if strength > 0 else -1)
        if abs(strength) < abs(head):  # too short to be an arrow
            lower.bar(i, strength, color=colour, width=0.16)
            continue
        lower.bar(i, strength - head, color=colour, width=0.16)
        tip = [strength - head, strength, strength - head]  # exactly at the value
        lower.fill([i - 0.28, i, i + 0.28], tip, color=colour, linewidth=0)
    lower.axhline(0, color=BLACK, linewidth=0.8)
    lower.set(ylabel="force on the logit", xlabel="character", xlim=(-0.7, len(itos) - 0.3))
    room = 0.08 * (high - low)
    lower.set_ylim(low - room, high + room)
    lower.set_xticks(places, itos)
    for ax in (upper, lower):
        ax.grid(axis="x", visible=False)
        ax.set_axisbelow(True)
    wrong = min((i for i in places if i != target), key=lambda i: force[i].item())
    describe(
        f"Two charts over {len(itos)} characters: bars for the probabilities, arrows for the "
        f"forces. The target, {itos[target]}, has the probability {probs[target]:.2f} and is "
        f"pulled up with {force[target]:.2f}; every other character is pushed down by its own "
        f"probability, the most {itos[wrong]}, by {probs[wrong]:.2f}."
    )


def what_batchnorm_removes(
    xhat: Float[Tensor, " B"], dxhat: Float[Tensor, " B"], left_over: Float[Tensor, " B"]
) -> None:
    """Draw one channel: its output's gradient against x̂, and what reaches its input."""
    _, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharex=True, sharey=True)
    titles = ("What arrives, and the best straight line (dashed)", "What goes on: the rest")
    line = dxhat.mean() + xhat * (dxhat * xhat).mean() / (xhat**2).mean()
    pairs = ((dxhat, line), (left_over, 0 * xhat))
    for ax, title, (points, fit) in zip(axes, titles, pairs, strict=True):
        order = xhat.argsort()
        ax.plot(xhat[order].tolist(), fit[order].tolist(), "--", color=RED)
        ax.vlines(xhat.tolist(), fit.tolist(), points.tolist(), color="#999999", linewidth=0.9)
        ax.scatter(xhat.tolist(), points.tolist(), s=26, color=BLUE, zorder=3)
        ax.set(title=title, xlabel="x̂, the normalised value")
        ax.yaxis.set_major_formatter(lambda y, _: f"{1000 * y:.0f}".replace("-", "−"))
    axes[0].set_ylabel("gradient, thousandths")
    said = []
    for points in (dxhat, left_over):
        line = points.mean(), (points * xhat).mean() / (xhat**2).mean()
        # Adding zero makes −0.0 a 0.0.
        level, slope = (round(1000 * value.item(), 1) + 0.0 for value in line)
        said += [f"level {level} and slope {slope}".replace("-", "−")]
    describe(
        f"Two scatter plots of {len(xhat)} gradients against the normalised value, in thousandths. "
        f"The best straight line through them has {said[0]} on the left, {said[1]} on the right."
    )


def training_curves(runs: Mapping[str, Sequence[float]], window: int = 100) -> None:
    """Draw minibatch losses of two runs, smoothed: the first broad, the second dashed on it."""
    _, ax = plt.subplots()
    styles = ((SKY, "-", 5.0), (RED, "--", 1.4))
    for (name, losses), (colour, dash, width) in zip(runs.items(), styles, strict=True):
        curve = smooth(losses, window)
        ax.plot(range(1, len(curve) + 1), curve, dash, color=colour, linewidth=width, label=name)
    ax.set(xlabel="step", ylabel="loss, nats a character")
    ax.set_title(f"Loss of the minibatches, mean of the last {window}")
    ax.legend()
    one, other = curves = {name: smooth(losses, window) for name, losses in runs.items()}
    apart = max(abs(a - b) for a, b in zip(curves[one], curves[other], strict=True))
    describe(
        f"Line chart of the smoothed loss against the step, two lines: {from_to(curves)}. They are "
        f"at most {apart:.1g} apart."
    )
