"""Where a learner's code is called: in the kernel by `check`, in a worker process by `grade`.

    (f,) = define("def f(x): return 2 * x", ["f"])
    run_case(adapter, [f], pack({"x": 3}))      # packed: {"got": …} or {"error": …}

It holds no reference answers and makes no verdicts: it turns inputs into plain values, or into a
description of the error. This enters the sandbox.
"""

import __future__

import ast
import linecache
import os
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from zerotohero.course.plain import NotPlain, pack, unpack

ANSWER_FILE = "your answer"  # the file name that submitted code is compiled under
COURSE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # the package


def run_case(adapter: Callable, answers: Sequence[Any], given: bytes) -> bytes:
    """Call the adapter on a learner's answers; return the packed `{"got": …}` or `{"error": …}`.

    given: packed inputs; they are unpacked here, so that no case can change another's.
    """
    try:
        return pack({"got": adapter(*answers, **unpack(given))})
    except NotPlain as error:
        return pack({"error": {"type": "TypeError", "message": f"your code returned {error}"}})
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: an answer that exits has failed its case
        return pack({"error": describe(error)})


def describe(error: BaseException) -> dict[str, Any]:
    """Return an error in the learner's terms: its type, its message, the line of *their* code."""
    described: dict[str, Any] = {"type": type(error).__name__, "message": _message(error)}
    trace, not_theirs = error.__traceback__, _not_theirs()
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(not_theirs):
            described["line"] = trace.tb_lineno
            described["code"] = linecache.getline(file, trace.tb_lineno).strip()[:200]
            described["function"] = trace.tb_frame.f_code.co_name
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == ANSWER_FILE:
        described |= {"line": error.lineno or 0, "code": (error.text or "").strip()[:200]}
    return described


def _message(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())[:300]
    except Exception:  # an exception class of the learner's own whose __str__ fails
        return ""


def _not_theirs() -> tuple[str, ...]:
    """Where files begin that are the course's, Python's or an installed package's."""
    folders = [COURSE, os.path.dirname(os.__file__)]
    folders += [p for p in sys.path if isinstance(p, str) and p.endswith("-packages")]
    return (*(os.path.join(f, "") for f in folders), "<frozen", "<__array_function__")


def define(source: str, names: Sequence[str]) -> list[Any]:
    """Run submitted source and return what it defines under `names`.

    A statement that fails is passed over, so that a broken plot does not cost the marks of a
    sound function; if a name is then missing, the first failure is raised, or NameError.
    """
    module = types.ModuleType("__answer__")
    sys.modules["__answer__"] = module  # dataclasses and typing look their module up
    linecache.cache[ANSWER_FILE] = (len(source), None, source.splitlines(True), ANSWER_FILE)
    first_failure: BaseException | None = None
    flags = 0  # of `from __future__ import annotations`, which holds for what follows
    for statement in ast.parse(source, ANSWER_FILE).body:
        code = compile(ast.Module([statement], []), ANSWER_FILE, "exec", flags, dont_inherit=True)
        flags |= code.co_flags & __future__.annotations.compiler_flag
        try:
            exec(code, module.__dict__)
        except BaseException as error:
            first_failure = first_failure or error
    missing = [name for name in names if name not in module.__dict__]
    if missing:
        raise first_failure or NameError(f"{' and '.join(missing)} is not defined")
    return [module.__dict__[name] for name in names]
