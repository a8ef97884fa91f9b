"""Diagrams of networks, in one style for all lectures: boxes, arrows, and shapes on the arrows.

    diagram(
        '''
        xb -> wte : (B, T)
        wte -> logits : (B, T, V)
        ''',
        parameters={"wte": "(V, V)"},
        alt="A table of logits, looked up for every token.",
    )

What is learned is a filled box with the name that it has in the state dict and its shape; what is
computed is a plain one; a sign such as + is a circle. Graphviz does the layout (`drawing.py`).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from zerotohero.course.drawing import Drawing, draw
from zerotohero.course.plots import BLUE

INK, QUIET, FILL, FRAME = "#111111", "#444444", "#dcebf7", "#f6f6f6"
FONT = 'fontname="Helvetica,Arial,sans-serif"'
BOXED = (
    f'{FONT}; fontsize=12; labeljust=l; style="rounded,filled"; color="{QUIET}"; '
    f'fillcolor="{FRAME}";'
)


def diagram(
    arrows: str,
    *,
    alt: str,
    parameters: Mapping[str, str] = {},
    frames: Mapping[str, Sequence[str]] = {},
    down: bool = False,
) -> Drawing:
    """Return the drawing of a network, for a notebook to show.

    arrows: a line an arrow, `from -> to : what flows`, or several in a chain, `a -> b -> c`. A
        box is named by its text; what follows a # tells boxes of the same text apart: `+#2`.
    alt: what the picture shows, in a sentence, for those who can't see it.
    parameters: the boxes that are learned, each with its shape.
    frames: boxes that belong together, by the title of the frame around them.
    down: from top to bottom instead of from left to right.

    Raises ValueError for a line that isn't an arrow, and for a parameter or a framed box that no
    arrow touches.
    """
    edges = []
    for line in filter(None, map(str.strip, arrows.splitlines())):
        ends, _, label = line.partition(" : ")
        names = [name.strip() for name in ends.split("->")]
        if len(names) < 2 or not all(names):
            raise ValueError(f"{line!r} is no arrow: write `from -> to : what flows`.")
        edges += [(a, b, label.strip()) for a, b in pairwise(names)]
    nodes = list(dict.fromkeys(name for a, b, _ in edges for name in (a, b)))
    framed = [name for names in frames.values() for name in names]
    if stray := [name for name in (*parameters, *framed) if name not in nodes]:
        raise ValueError(f"No arrow leads to or from {stray[0]!r}.")
    lines = [
        "digraph {",
        f"rankdir={'TB' if down else 'LR'}; nodesep=0.3; ranksep=0.4; bgcolor=white;",
        f'node [{FONT}, fontsize=12, fontcolor="{INK}", color="{QUIET}", shape=box, height=0.4,'
        ' margin="0.2,0.07"];',
        f'edge [{FONT}, fontsize=11, fontcolor="{QUIET}", color="{QUIET}", arrowsize=0.7];',
    ]
    lines += [_node(name, parameters.get(name)) for name in nodes if name not in framed]
    for i, (title, names) in enumerate(frames.items()):
        lines += [f"subgraph cluster_{i} {{ label={_quoted(f'  {title}')}; {BOXED}"]
        lines += [_node(name, parameters.get(name)) for name in names]
        lines.append("}")
    lines += [
        f"{_quoted(a)} -> {_quoted(b)} [label={_quoted(f' {flow} ')}];" for a, b, flow in edges
    ]
    return draw("\n".join([*lines, "}"]), alt=alt)


def _node(name: str, shape: str | None) -> str:
    text = name.partition("#")[0]
    if shape is not None:
        text += f"\n{shape}"
        look = f'style="rounded,filled", fillcolor="{FILL}", color="{BLUE}", penwidth=1.5'
    elif len(text) == 1 and not text.isalnum():
        look = 'shape=circle, width=0.3, height=0.3, margin=0, style=filled, fillcolor="white"'
    else:
        look = 'style="rounded,filled", fillcolor="white"'
    return f"{_quoted(name)} [label={_quoted(text)}, {look}];"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"').replace("\n", "\\n") + '"'
