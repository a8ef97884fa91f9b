"""Lecture 01's widget: the backward pass over a graph, one node at a time."""

import html
from dataclasses import dataclass

import ipywidgets as widgets

from zerotohero.course.drawing import draw
from zerotohero.micrograd import Value, topological_order

CARD = "background:white;color:#222;padding:10px;font:14px/1.5 sans-serif;overflow-x:auto"
RULES = {
    "+": "a sum hands its gradient to both operands unchanged",
    "-": "a difference hands its gradient on, to the second operand with the sign turned",
    "neg": "a negation turns the sign",
    "*": "in a product, each operand's local derivative is the other operand",
    "/": "in x / y, the local derivatives are 1/y and −x/y²",
    "**": "in x ** n, the local derivative is n · x ** (n − 1)",
    "tanh": "the local derivative of tanh is 1 − tanh²",
    "sigmoid": "the local derivative of the sigmoid s is s · (1 − s)",
    "exp": "eˣ is its own derivative",
    "log": "the local derivative of log x is 1/x",
    "ReLU": "ReLU lets the gradient through where its input was positive, and stops it elsewhere",
    "dot": "in w·x + b, a weight's local derivative is its input, and an input's is its weight",
}


@dataclass(frozen=True)
class Step:
    """One moment of a backward pass: what happens, the node it happens at, the gradients after."""

    title: str
    lines: tuple[str, ...]
    node: Value | None
    grads: dict[Value, float]


def backward_steps(root: Value) -> list[Step]:
    """Return the backward pass from `root`, step by step, without touching any stored gradient.

    The first step is before the pass, the second sets the root's gradient to 1, and each further
    one lets one node hand its gradient on. Raises ValueError for an operation that has no local
    derivatives to show.
    """
    grads: dict[Value, float] = {}
    steps = [
        Step(
            "Before the backward pass",
            ("Every number is known from the forward pass, and no gradient yet.",),
            None,
            {},
        )
    ]
    grads[root] = 1.0
    text = f"The gradient of {_name(root)}, the end, is 1. From here it flows backwards."
    steps.append(Step("The start", (text,), root, dict(grads)))
    for node in reversed(topological_order(root)):
        if not node.operands:
            continue
        if len(node.local) != len(node.operands):
            raise ValueError(f"the operation {node.op!r} has no local derivatives to show")
        lines = []
        for operand, derivative in zip(node.operands, node.local, strict=True):
            share = derivative * grads[node]
            sum_ = f"{share:.4g}"
            if operand in grads:
                sum_ = f"{grads[operand]:.4g} + {share:.4g} = {grads[operand] + share:.4g}"
            grads[operand] = grads.get(operand, 0.0) + share
            lines.append(
                f"{_name(operand)}: local derivative {derivative:.4g} × gradient "
                f"{grads[node]:.4g} = {share:.4g}, so its gradient is {sum_}"
            )
        rule = RULES.get("**" if node.op.startswith("**") else node.op, "local × gradient")
        steps.append(Step(f"{_name(node)} hands on: {rule}", tuple(lines), node, dict(grads)))
    return steps


def graph_explorer(root: Value) -> widgets.VBox:
    """Return a widget that steps through the backward pass from `root`: graph, rule, slider.

    A dash in the graph is a gradient that nothing has reached yet; the thick border marks the
    node whose turn it is.
    """
    steps = backward_steps(root)
    slider = widgets.IntSlider(value=0, min=0, max=len(steps) - 1, description="step")
    back = widgets.Button(description="previous", icon="arrow-left")
    forth = widgets.Button(description="next", icon="arrow-right")
    page = widgets.HTML()

    def show(*_) -> None:
        page.value = _page(root, steps[slider.value])
        back.disabled, forth.disabled = slider.value == 0, slider.value == slider.max

    def move(by: int):
        def moved(_) -> None:
            # The slider holds itself to its own ends.
            slider.value += by

        return moved

    slider.observe(show, "value")
    back.on_click(move(-1))
    forth.on_click(move(1))
    show()
    return widgets.VBox([widgets.HBox([back, slider, forth]), page])


def _page(root: Value, step: Step) -> str:
    picture = draw(root, grads=step.grads, highlight=step.node)
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in step.lines)
    return (
        f'<div style="{CARD}"><div style="min-height:6.5em"><b>{html.escape(step.title)}.</b>'
        f"<ul>{lines}</ul></div>{picture.svg or picture._repr_html_()}</div>"
    )


def _name(node: Value) -> str:
    return node.label or (f"the {node.op} node" if node.op else f"the number {node.data:.4g}")
