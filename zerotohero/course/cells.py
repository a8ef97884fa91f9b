"""The Python in a notebook's cells: what ran in its namespace, statement by statement.

A cell is not all Python. IPython turns `%`, `!` and `?` into calls of `get_ipython()`; what such a
call runs in the user's own namespace (`%%time`, `%%capture`, `%time f = …`) counts as if it stood
there bare, and what it runs elsewhere (`%%bash`, `%%writefile`, `%%timeit`) doesn't count.

In a kernel, a cell may have failed half-way, and what stands behind the failure was never done.
`watch` notes where.
"""

import ast
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What runs Python in the user's namespace, as a cell magic or as a line magic.
_RUNS_PYTHON = {"time", "capture", "prun", "snakeviz", "debug"}
COMPOUND = (ast.For, ast.AsyncFor, ast.While, ast.If, ast.With, ast.AsyncWith, ast.Try, ast.Match)
COMPOUND += (getattr(ast, "TryStar", ast.Try),)


def statements(cell: str, stopped: Sequence[int] = ()) -> list[tuple[ast.stmt, str]]:
    """Return the statements of a cell, each with its lines as they were written, comments included.

    stopped: the line at which the cell failed, and the one in the cell magic that it holds, if any.
    A statement that fails has bound nothing, except loops and others that hold statements.

    A cell that isn't Python has none.
    """
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        text = TransformerManager().transform_cell(cell)
        tree = ast.parse(text)
        compile(tree, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return []
    found, last, lines = [], 0, text.splitlines()
    for statement in tree.body:
        first = min(n.lineno for n in (statement, *getattr(statement, "decorator_list", ())))
        whole = first > last  # else two statements share a line
        last = statement.end_lineno
        if stopped and first > stopped[0]:
            break
        failed = bool(stopped) and last >= stopped[0]
        inner = _run_by_magic(statement.value) if isinstance(statement, ast.Expr) else None
        if inner is not None:
            found += statements(inner, stopped[1:] if failed else ())
            continue
        if failed and whole and not isinstance(statement, COMPOUND):
            break
        source = "\n".join(lines[first - 1 : last]) if whole else ast.unparse(statement)
        found += _plain(statement, source)
    return found


def _run_by_magic(node: ast.expr) -> str | None:
    """Return the Python that a call such as `get_ipython().run_cell_magic("time", …)` runs."""
    match node:
        case ast.Call(
            func=ast.Attribute(
                value=ast.Call(func=ast.Name(id="get_ipython")),
                attr="run_cell_magic" | "run_line_magic",
            ),
            args=[ast.Constant(value=name), *_, ast.Constant(value=str(code))],
        ) if name in _RUNS_PYTHON:
            return code
        case ast.Call(func=ast.Name(id="exec"), args=[ast.Constant(value=str(code))], keywords=[]):
            return code
    return None


def _plain(statement: ast.stmt, source: str) -> list[tuple[ast.stmt, str]]:
    """Return the statement with the Python that magics inside of it run, in their place."""
    if "get_ipython" not in source:
        return [(statement, source)]
    before = ast.unparse(statement)
    after = ast.unparse(_Unwrapped().visit(statement))
    return [(s, source if after == before else ast.unparse(s)) for s in ast.parse(after).body]


class _Unwrapped(ast.NodeTransformer):
    """Puts the Python that a line magic runs in the magic's place."""

    def visit_Expr(self, node: ast.Expr) -> Any:
        code = _run_by_magic(node.value)
        inside = [s for s, _ in statements(code)] if code is not None else []
        return inside or self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        code = _run_by_magic(node)
        try:
            return ast.parse(code, mode="eval").body if code else self.generic_visit(node)
        except SyntaxError:
            return node


def code_cells(path: Path) -> list[str]:
    """Return the code cells of a notebook file. Raises ValueError if it is not one."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        code = [c["source"] for c in notebook["cells"] if c["cell_type"] == "code"]
        return ["".join(source) for source in code]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is not a notebook that can be read; save it again.") from None


# --- in a kernel --------------------------------------------------------------------------------

_stopped: dict[int, tuple[int, ...]] = {}
_last: BaseException | None = None


def shell() -> Any:
    """Return IPython's shell, or None outside of a notebook."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def ran() -> tuple[list[str], Mapping[int, tuple[int, ...]]]:
    """Return the kernel's cells in the order in which they ran, and where the failed ones stopped.

    A cell's place in the list is its number. The cells are as IPython parsed them, with the
    magics turned into calls.
    """
    cells = shell().user_ns.get("In", [])
    return [cell if isinstance(cell, str) else "" for cell in cells], _stopped


def watch() -> None:
    """Note from now on at which lines the kernel's cells fail; nothing outside of a kernel."""
    if (here := shell()) is not None and _note not in here.events.callbacks["post_run_cell"]:
        here.events.register("post_run_cell", _note)


def _note(result: Any) -> None:
    global _last
    if not result.info.store_history:  # a cell inside of another's magic
        return
    error, prefix, before = result.error_in_exec, (), _last
    _last = getattr(sys, "last_value", None)  # the last error that was shown
    count = result.execution_count
    magic = shell().user_ns["In"][count].startswith("get_ipython().run_cell_magic(")
    if error is None and magic and _last is not before:
        # `%%capture`, and `%%time` in IPython 7, show an error and don't fail with it.
        error, prefix = _last, (1,)
    trace, lines = getattr(error, "__traceback__", None), list(prefix)
    while trace is not None:
        code = trace.tb_frame.f_code  # "<module>", or "<cell line: 1>" in IPython 8
        if trace.tb_frame.f_globals is shell().user_ns and code.co_name[:5] in ("<modu", "<cell"):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    if lines:
        _stopped[count] = tuple(lines)
