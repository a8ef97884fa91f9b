"""Where a learner's code is called: in the kernel by `check`, in a worker process by `grade`.

    (f,) = define("def f(x): return 2 * x", ["f"])
    run_case(adapter, [f], pack({"x": 3}))      # packed: {"got": …, "calls": …} or {"error": …}

It holds no reference answers and makes no verdicts: it turns inputs into plain values, or into a
description of the error. Beside these it notes which arguments each call of an answer changed, and
what kind of value it returned; `signatures.py` compares that with the card. What is noted can only
cost an answer its points, so an answer that forges it gains nothing. This enters the sandbox.
"""

import __future__

import ast
import contextlib
import functools
import gc
import linecache
import operator
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from zerotohero.course.plain import NotPlain, pack, unpack

ANSWER_FILE = "your answer"  # the file name that submitted code is compiled under
COURSE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # the package


def run_case(adapter: Callable, answers: Sequence[Any], given: bytes) -> bytes:
    """Call the adapter on a learner's answers; return what came of it, packed.

    given: packed inputs; they are unpacked here, so that no case can change another's.
    Returns `{"error": …}`, or `{"got": …, "calls": [[answer, method, changed, returned], …]}`: its
    place among the answers, the method's name or "", the changed arguments, each as its place or
    name, the kind of what has changed, and whether that is only a part of it; and the kind of what
    it returned.
    """
    calls: list[Any] = []
    try:
        with _watched(answers, calls) as watched:
            got = adapter(*watched, **unpack(given))
        return pack({"got": got, "calls": calls})
    except NotPlain as error:
        return pack({"error": {"type": "TypeError", "message": f"your code returned {error}"}})
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: an answer that exits has failed its case
        return pack({"error": describe(error)})


# --- what a call does to its arguments, and what it returns ---------------------------------------

# What is looked at, at most: calls of a case, containers and numbers in the arguments of a call,
# values in what it returns, how deep, and how many kinds in one list.
CALLS, HOLDERS, VALUES, DEEP, KINDS = 50, 20_000, 500, 4, 10
PLAIN = (bool, int, float, complex, str, bytes, type(None))
LEAVES = set(PLAIN)
METHODS = ("forward", "__call__")  # of an answer that is a class


@contextlib.contextmanager
def _watched(answers: Sequence[Any], calls: list[Any]) -> Iterator[list[Any]]:
    """The answers, such that their calls are noted; a class has its methods back afterwards."""
    watched, methods = [], []
    try:
        for i, answer in enumerate(answers):
            if isinstance(answer, type):
                for name in METHODS:
                    if isinstance(method := vars(answer).get(name), types.FunctionType):
                        methods.append((answer, name, method))
                        setattr(answer, name, _noting(method, calls, i, name))
            # What has parameters is a trained model, which adapters treat as one.
            elif callable(answer) and not hasattr(answer, "parameters"):
                answer = _noting(answer, calls, i)
            watched.append(answer)
        yield watched
    finally:
        for answer, name, method in methods:
            setattr(answer, name, method)


def _noting(function: Callable, calls: list[Any], answer: int, method: str = "") -> Callable:
    @functools.wraps(function)
    def noted(*args: Any, **named: Any) -> Any:
        arguments = [*enumerate(args[1:] if method else args), *named.items()]
        before = _unseen(_copies, arguments)
        returned = function(*args, **named)
        changed = _unseen(_changed, before or [])
        note = [answer, method, changed or [], _unseen(_kind, returned)]
        if len(calls) < CALLS and note not in calls:
            calls.append(note)
        return returned

    return noted


def _unseen(look: Callable, at: Any) -> Any:
    """`look(at)`, unseen by what watches an answer (profilers, torch's modes); None if it fails."""
    profile, trace, torch = sys.getprofile(), sys.gettrace(), sys.modules.get("torch")
    collects = gc.isenabled()
    sys.settrace(None)
    if callable(profile):  # not cProfile, which can't be put back
        sys.setprofile(None)
    gc.disable()  # ten thousand copies would make it go through all that there is
    try:
        if torch is None:
            return look(at)
        with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
            return look(at)
    except Exception:  # a sparse tensor, or a class of the learner's own
        return None
    finally:
        if collects:
            gc.enable()
        if callable(profile):
            sys.setprofile(profile)
        sys.settrace(trace)


def _is_numbers(value: Any) -> bool:
    """Whether it is a tensor or an array."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    return (torch is not None and isinstance(value, torch.Tensor)) or (
        numpy is not None and isinstance(value, numpy.ndarray)
    )


def _state(value: Any) -> dict[str, Any] | None:
    """What a `Value` or a model holds, by names, a model's modes too; None for anything else."""
    micrograd = sys.modules.get("zerotohero.micrograd")
    if micrograd is not None and isinstance(value, micrograd.Value):
        return {"data": value.data, "grad": value.grad}
    if isinstance(value, type) or not (hasattr(value, "parameters") and hasattr(value, "training")):
        return None
    if hasattr(value, "state_dict"):  # torch's
        modes = {f"{name}.training": model.training for name, model in value.named_modules()}
        return {**value.state_dict(), **modes}
    found = {k: v for k, v in vars(value).items() if type(v) in LEAVES or _is_numbers(v)}
    found["training"] = value.training
    for i, child in enumerate(value.children()):
        found |= {f"{i}.{name}": v for name, v in _state(child).items()}
    return found


def _copies(arguments: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any, Any]]:
    """Each list, dict, set, array, tensor, `Value`, model in the arguments: where, itself, a copy.

    Where: the argument's place or name, and whether it is only a part of it.
    """
    found, waiting = [], [((place, False), value) for place, value in arguments]
    while waiting and len(found) < HOLDERS:
        where, value = waiting.pop()
        if isinstance(value, (list, tuple)):
            copy = inside = list(value)
        elif isinstance(value, dict):
            copy = dict(dict.items(value))  # not by the dict's own ways: a verdict may count them
            inside = copy.values()
        elif isinstance(value, set):
            copy, inside = set(value), ()
        elif _is_numbers(value):
            copy, inside = _copy(value), ()
        elif (state := _state(value)) is not None:
            copy = {k: _copy(v) if _is_numbers(v) else v for k, v in state.items()}
            inside = ()
        else:
            continue
        found.append((where, value, copy))
        waiting += [((where[0], True), v) for v in inside if not isinstance(v, PLAIN)]
    return found


def _copy(numbers: Any) -> Any:
    return numbers.detach().clone() if hasattr(numbers, "detach") else numbers.copy()


def _changed(copies: Sequence[tuple[Any, Any, Any]]) -> list[list[Any]]:
    """The arguments that are no longer what they were, as `run_case` returns them."""
    found: dict[Any, list[Any]] = {}
    for (place, is_part), value, copy in copies:
        if place not in found and (kind := _what_changed(value, copy)):
            found[place] = [place, kind, is_part]
    return list(found.values())


def _what_changed(value: Any, copy: Any) -> str:
    """The kind of what has changed, and of a model's mode or a `Value`'s grad; "" for nothing."""
    if isinstance(value, (list, tuple, dict, set)) or _is_numbers(value):
        kind = "Tensor" if hasattr(value, "detach") else type(value).__name__
        return "" if _is_as_before(value, copy) else kind
    now = _state(value)
    off = [name for name in now.keys() | copy.keys() if not _agree(now.get(name), copy.get(name))]
    if not off or not hasattr(value, "parameters"):
        return "Value" if "data" in off else "".join(off)
    return "mode" if all(name.endswith("training") for name in off) else "model"


def _agree(now: Any, before: Any) -> bool:
    """Whether something in a state is as it was."""
    both = _is_numbers(now) and _is_numbers(before)
    return _is_as_before(now, before) if both else _is_same(now, before)


def _is_as_before(value: Any, copy: Any) -> bool:
    if isinstance(value, (list, tuple)):
        if len(value) != len(copy):
            return False
        return all(map(operator.is_, value, copy)) or all(map(_is_same, value, copy))
    if isinstance(value, dict):
        return dict.keys(value) == copy.keys() and all(
            _is_same(v, copy[name]) for name, v in dict.items(value)
        )
    if isinstance(value, set):
        return value == copy
    if value.shape != copy.shape or value.dtype != copy.dtype:
        return False
    if (same := value == copy).all():
        return True
    return bool((same | ((value != value) & (copy != copy))).all())  # NaN stays NaN


def _is_same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    return type(a) is type(b) and type(a) in LEAVES and (a == b or (a != a and b != b))


def _kind(value: Any) -> dict[str, Any]:
    """What a value is: `is`, the names of its classes, and of what it holds the same.

    ndim: of a tensor or an array. keys: of a dict. items: of a tuple in their order, of a list or a
    dict each kind once.
    """
    left = VALUES

    def look(value: Any, depth: int) -> dict[str, Any]:
        nonlocal left
        left -= 1
        names = [kind.__name__[:40] for kind in type(value).__mro__[:8]]
        found: dict[str, Any] = {"is": [*names, "Callable"] if callable(value) else names}
        if _is_numbers(value):
            found["ndim"] = value.ndim
        elif isinstance(value, (list, tuple)):
            found["items"] = every(value, depth, isinstance(value, tuple))
        elif isinstance(value, dict):
            found["keys"] = every(dict.keys(value), depth)
            found["items"] = every(dict.values(value), depth)
        return found

    def every(values: Iterable[Any], depth: int, in_order: bool = False) -> list[Any]:
        kinds: list[Any] = []
        for value in values:
            if left <= 0 or depth >= DEEP or len(kinds) >= KINDS:
                break
            kind = look(value, depth + 1)
            if in_order or kind not in kinds:
                kinds.append(kind)
        return kinds

    return look(value, 0)


# --- errors ---------------------------------------------------------------------------------------


def describe(error: BaseException) -> dict[str, Any]:
    """Return an error in the learner's terms: its type, its message, the line of *their* code."""
    described: dict[str, Any] = {"type": type(error).__name__, "message": _message(error)}
    trace, not_theirs = error.__traceback__, _not_theirs()
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(not_theirs):
            # Where Ctrl-C falls between two lines, Python knows none.
            line = trace.tb_lineno or trace.tb_frame.f_code.co_firstlineno
            described["line"] = line
            described["code"] = linecache.getline(file, line).strip()[:200]
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


# --- the answer's own code ------------------------------------------------------------------------


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
