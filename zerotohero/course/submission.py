"""The one small file that is handed in: what is in it, written and read.

For each exercise it holds the source of the answers and of everything that they need
(`collecting.py`). The file is JSON:
{"format", "version", "course", "name", "exercises": {number: source}}, where "version" is the
file's own and "course" that of the course which wrote it.
"""

import ast
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zerotohero import __version__
from zerotohero.course import checks
from zerotohero.course.cells import code_cells
from zerotohero.course.collecting import History
from zerotohero.course.effects import FUNCTIONS, effects
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
    course: str = __version__  # the version of the course that wrote it; "" if it doesn't say

    def write(self, path: Path) -> None:
        """Write the file whole or not at all."""
        body = {"format": FORMAT, "version": VERSION, "course": self.course, "name": self.name}
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
    name, course = (x if isinstance(x, str) else "" for x in (name, body.get("course")))
    return Submission(name[:200], exercises, course[:20])


def _text(data: bytes) -> str:
    """Return text saved as UTF-8, UTF-16 or UTF-32, with a mark or without, or as Windows' ANSI.

    Raises ValueError if it is none of them.
    """
    try:
        return data.decode(json.detect_encoding(data))
    except UnicodeDecodeError:
        return data.decode("cp1252")


# --- from what was run --------------------------------------------------------------------------


def from_history(history: History, name: str, of: Iterable[Exercise]) -> Submission:
    """Return a submission of what was run: every exercise to which it defines an answer."""
    found = {e.number: _source(history, e) for e in of if e.handed_in}
    return Submission(name, {number: source for number, source in found.items() if source})


def from_notebooks(folder: Path, name: str) -> Submission:
    """Return a submission from a folder's exercise notebooks, each with its lecture's exercises.

    Raises FileNotFoundError if the folder holds none of them, and ValueError for a file that is
    not a notebook.
    """
    exercises: dict[str, str] = {}
    found = False
    for lecture in checks.LECTURES:
        path = folder / f"{checks.file_name(lecture)}.ipynb"
        if path.exists():
            found = True
            history = History(code_cells(path))
            exercises |= from_history(history, name, checks.exercises(lecture)).exercises
    if not found:
        raise FileNotFoundError(
            f"There are no exercise notebooks in {folder.resolve()}; run this in the course's"
            " folder, or name the folder that holds 01_micrograd.ipynb."
        )
    return Submission(name, exercises)


def _source(history: History, exercise: Exercise) -> str | None:
    """Return the source of an exercise's answers, a stub for a missing one; None if all are."""
    instead = _checked_instead(history, exercise)
    there = [n for n in exercise.answers if n in instead or history.defines(n)]
    if not there:
        return None
    absent = [n for n in exercise.answers if n not in there]
    stubs = [f"\n\ndef {n}(*_, **__):\n    raise NotImplementedError\n" for n in absent]
    return "".join([history.source(there, instead) or "", *stubs])


def _checked_instead(history: History, exercise: Exercise) -> dict[str, ast.expr]:
    """Return what was last checked under another name than the answer's: `check("1.1", mine)`."""
    for i in reversed(range(len(history.nodes))):
        match history.nodes[i]:
            case ast.Expr(
                value=ast.Call(
                    func=ast.Name(id="check") | ast.Attribute(attr="check"),
                    args=[ast.Constant(value=number), *given],
                )
            ) if str(number).strip() == exercise.number and len(given) == len(exercise.answers):
                return {
                    name: argument
                    for name, argument in zip(exercise.answers, given, strict=True)
                    if not (isinstance(argument, ast.Name) and argument.id == name)
                    and not history.defines(name, after=i)
                }
    return {}


# --- what is still to be written ----------------------------------------------------------------


def answered_in(submission: Submission) -> list[str]:
    """Return the numbers of the exercises of which at least one answer is more than the stub."""
    return [
        number
        for number, source in submission.exercises.items()
        if (names := checks.find(number).answers) and set(names) - set(unwritten(source, names))
    ]


def unwritten(source: str, names: Sequence[str]) -> list[str]:
    """Return the names that are stubs, and stubs in classes: "nll", "BatchNorm1d.parameters".

    A stub is a function whose body is nothing but a docstring and `raise NotImplementedError`, or
    a class that has no other methods.
    """
    bound: dict[str, ast.stmt | None] = {}
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                bound[node.name] = node
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=other)):
                bound[name] = bound.get(other)
            case _:
                bound |= dict.fromkeys(effects(node).binds)
    found: list[str] = []
    for name in names:
        node = bound.get(name)
        parts = node.body if isinstance(node, ast.ClassDef) else []
        methods = [part for part in parts if isinstance(part, FUNCTIONS)]
        stubs = [method for method in methods if _is_stub(method)]
        if _is_stub(node) or (stubs and len(stubs) == len(methods)):
            found.append(name)
        else:
            found += [f"{name}.{stub.name}" for stub in stubs]
    return found


def _is_stub(node: ast.stmt | None) -> bool:
    if not isinstance(node, FUNCTIONS):
        return False
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    if body and ast.unparse(body[0]).startswith("super().__init__("):  # which some starters hold
        body = body[1:]
    match body:
        case [ast.Raise(exc=ast.Name() | ast.Call(func=ast.Name()) as raised)]:
            named = raised.func if isinstance(raised, ast.Call) else raised
            return named.id == "NotImplementedError"
    return False
