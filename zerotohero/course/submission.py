"""From notebook cells to the one small file that is handed in, and back.

    submit()                         # in a notebook: from what was run in this kernel
    zerotohero submit --name Ada     # at the command line: from all of exercises/*.ipynb

Both take, for each exercise, the source of its answers and of everything that they need, and of
nothing else, so that a broken plot or an hour of training beside them is not handed in. Nothing
is run. The file is JSON: {"format", "version", "name", "exercises": {number: source}}.
"""

import ast
import json
import re
import symtable
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerotohero.course import checks
from zerotohero.course.exercise import Exercise
from zerotohero.course.files import read_unfollowed, write_whole

FORMAT, VERSION = "zerotohero submission", 1
FILE_NAME = "zerotohero-submission.json"
MAX_BYTES = 2 * 2**20  # a whole course of answers is a tenth of it


class NotASubmission(ValueError):
    """A file that `submit` did not write. The message says why, for the teacher."""


@dataclass(frozen=True)
class Submission:
    """What one person hands in: the name they gave, and the source for each exercise's number."""

    name: str
    exercises: dict[str, str]

    def write(self, path: Path) -> None:
        """Write the file whole or not at all."""
        body = {"format": FORMAT, "version": VERSION, "name": self.name}
        text = json.dumps(body | {"exercises": self.exercises}, indent=1, ensure_ascii=False)
        write_whole(path, f"{text}\n".encode())


def read(path: Path, folder: Path | None = None) -> Submission:
    """Read a stranger's file, in whatever encoding a system has saved it again.

    folder: one above the file; nothing below it is followed if it is a link, and nothing but a
        file is waited for. The file's own if None.

    Raises NotASubmission with the reason if it is not a submission, OSError if it can't be read.
    """
    if path.suffix == ".ipynb":
        raise NotASubmission("This is a notebook; hand in the file that submit() writes.")
    data = read_unfollowed(path, folder or path.parent, MAX_BYTES + 1)
    if not data.strip():
        raise NotASubmission("The file is empty; run submit() again and hand in what it writes.")
    if len(data) > MAX_BYTES:
        raise NotASubmission(f"The file is larger than {MAX_BYTES // 2**20} MB.")
    try:
        body = json.loads(_text(data))
    except (ValueError, RecursionError):
        raise NotASubmission(
            "The file is broken or is not a submission; run submit() again and hand it in whole."
        ) from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise NotASubmission("This is not the file that submit() writes.")
    version = body.get("version")
    if version != VERSION:
        named = f"{version!r:.20}" if isinstance(version, (int, str)) else "of no known kind"
        raise NotASubmission(f"The submission has version {named}, this course reads {VERSION}.")
    exercises, name = body.get("exercises"), body.get("name")
    if not isinstance(exercises, dict) or not all(isinstance(s, str) for s in exercises.values()):
        raise NotASubmission("The submission's exercises are not numbers with their source.")
    return Submission(name[:200] if isinstance(name, str) else "", exercises)


def _text(data: bytes) -> str:
    """What was saved as UTF-8, UTF-16 or UTF-32, with a mark or without, or as Windows' ANSI.

    Raises ValueError if it is none of them.
    """
    try:
        return data.decode(json.detect_encoding(data))
    except UnicodeDecodeError:
        return data.decode("cp1252")


# --- collecting answers -------------------------------------------------------------------------


def collect(cells: Iterable[str], names: Sequence[str]) -> str | None:
    """The statements of notebook cells that define `names` and all that these need, in order.

    Cells are in the order in which they ran; a later definition replaces an earlier one, and a
    cell that is not Python is passed over. None if one of the names is not defined.
    """
    statements, sources = [], []
    for cell in cells:
        for statement, source in _parse(cell):
            statements.append(statement)
            sources.append(source)
    effects = [_effects(s) for s in statements]
    taken: set[int] = set()
    wanted, done = list(names), set()
    while wanted:
        name = wanted.pop()
        if name in done:
            continue
        done.add(name)
        for i in reversed(range(len(statements))):
            effect = effects[i]
            if name not in effect.binds | effect.changes:
                continue
            if i not in taken:
                taken.add(i)
                wanted += effect.uses
            if name in effect.binds and effect.replaces:
                break
    defined = set().union(*(effects[i].binds for i in taken))
    if not set(names) <= defined:
        return None
    return "\n\n".join(sources[i] for i in sorted(taken)) + "\n"


def _parse(cell: str) -> list[tuple[ast.stmt, str]]:
    """The statements of a cell, each with its lines as they were written, comments included."""
    # IPython turns its own syntax (%, !, ?) into calls, and leaves Python as it is.
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        text = TransformerManager().transform_cell(cell)
        body, lines = ast.parse(text).body, text.splitlines()
    except (SyntaxError, ValueError, RecursionError):
        return []
    parsed, last = [], 0
    for statement in body:
        first = min(n.lineno for n in (statement, *getattr(statement, "decorator_list", ())))
        whole = first > last  # else two statements share a line
        source = "\n".join(lines[first - 1 : statement.end_lineno])
        parsed.append((statement, source if whole else ast.unparse(statement)))
        last = statement.end_lineno
    return parsed


_COMPOUND = (ast.For, ast.While, ast.If, ast.With, ast.Try, ast.Match)
_NOT_PARTS = {"check", "hint", "submit", "print", "display"}


@dataclass(frozen=True)
class _Effects:
    """The global names that a statement binds, changes in place, and uses."""

    binds: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()
    replaces: bool = False  # what it binds does not build on what the names were before


def _effects(statement: ast.stmt) -> _Effects:
    if isinstance(statement, ast.Expr) and _called(statement.value) in _NOT_PARTS:
        return _Effects()
    # Python's own symbol table knows which names are local to a function or a comprehension.
    table = symtable.symtable(ast.unparse(statement), "cell", "exec")
    here = table.get_symbols()
    binds = {s.get_name() for s in here if s.is_assigned() or s.is_imported()}
    uses = {s.get_name() for s in here if s.is_referenced()} | _globals_of(table.get_children())
    changes: set[str] = set()
    if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        for node in ast.walk(statement):
            match node:
                case ast.AugAssign(target=ast.Name(id=name)):
                    uses.add(name)
                case ast.Attribute(ctx=ast.Store()) | ast.Subscript(ctx=ast.Store()):
                    changes |= _root(node)
                # A call for its effect, such as `losses.append(x)` or `model.train()`.
                case ast.Expr(value=ast.Call(func=ast.Attribute() as method)):
                    changes |= _root(method)
    # A loop or a condition may not run, and `x = f(x)` builds on what x was.
    function = isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
    replaces = not isinstance(statement, _COMPOUND) and (function or not binds & uses)
    return _Effects(frozenset(binds), frozenset(changes), frozenset(uses), replaces)


def _globals_of(tables: Iterable[symtable.SymbolTable]) -> set[str]:
    """The global names that functions, classes and comprehensions use, however deep."""
    names: set[str] = set()
    for table in tables:
        names |= {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
        names |= _globals_of(table.get_children())
    return names


def _called(node: ast.expr) -> str | None:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None


def _root(node: ast.expr) -> set[str]:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def is_stub(source: str) -> bool:
    """Whether the answer is still what the exercise notebook came with."""
    return "raise NotImplementedError" in source


def from_cells(cells: Sequence[str], name: str, of: Sequence[Exercise]) -> Submission:
    """A submission from notebook cells: each of the exercises whose answers they define."""
    found = {e.number: collect(cells, e.answers) for e in of if e.handed_in}
    return Submission(name, {number: source for number, source in found.items() if source})


def from_notebooks(folder: Path, name: str) -> Submission:
    """A submission from the exercise notebooks in a folder, each with its own lecture's exercises.

    Raises FileNotFoundError if the folder holds none of them, and ValueError for a file that is
    not a notebook.
    """
    exercises: dict[str, str] = {}
    found = False
    for lecture in checks.LECTURES:
        path = folder / f"{checks.file_name(lecture)}.ipynb"
        if path.exists():
            found = True
            exercises |= from_cells(code_cells(path), name, checks.exercises(lecture)).exercises
    if not found:
        raise FileNotFoundError(
            f"There are no exercise notebooks in {folder.resolve()}; run this in the course's"
            " folder, or name the folder that holds 01_micrograd.ipynb."
        )
    return Submission(name, exercises)


def code_cells(path: Path) -> list[str]:
    """The code cells of a notebook file. Raises ValueError if it is not one."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        code = [c["source"] for c in notebook["cells"] if c["cell_type"] == "code"]
        return ["".join(source) for source in code]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is not a notebook that can be read; save it again.") from None


# --- in a notebook ------------------------------------------------------------------------------


def submit(name: str = "") -> None:
    """Write what you have answered in this kernel to `zerotohero-submission.json`.

    name: yours, if your teacher asks for it in the file.
    """
    shell = _shell()
    if shell is None:
        print("submit() works in a notebook; at the command line use: zerotohero submit")
        return
    # The history as IPython parsed it, magics already turned into calls of get_ipython().
    cells = [cell for cell in shell.user_ns.get("In", []) if isinstance(cell, str)]
    submission = from_cells(cells, name, _checked_in(cells))
    answered = answered_in(submission)
    if not answered:
        print("Nothing to submit yet: run the cells of the exercises that you have answered.")
        return
    path = Path(FILE_NAME).resolve()
    try:
        submission.write(path)
    except OSError as error:
        print(f"Could not write {path}: {error.strerror}. Change to a folder that you may write.")
        return
    print(f"Wrote {path}\nwith your answers to {', '.join(answered)}. Hand in this one file.")


def _checked_in(cells: Sequence[str]) -> list[Exercise]:
    """The exercises of the lectures that a check was called for; of all, if none was."""
    lectures = set(re.findall(r"""\bcheck\(\s*["'](\d+)\.\d+""", "\n".join(cells)))
    everything = checks.all_exercises()
    return [e for e in everything if e.number.split(".")[0] in lectures] or everything


def answered_in(submission: Submission) -> list[str]:
    """The numbers of the exercises that hold more than the stub."""
    return [number for number, source in submission.exercises.items() if not is_stub(source)]


def _shell() -> Any:
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()
