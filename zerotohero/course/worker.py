"""Where a learner's code is called: in the kernel by `check`, in the sandbox by `grade`.

This file and the lecture's adapters are all of the course's machinery that the sandbox can see.
It holds no reference answers and makes no verdicts: it turns inputs into plain values, or into a
description of the error. It imports only the standard library and NumPy.

Plain values travel as `npz` without pickles: one JSON text in which each array is a reference.
"""

import io
import json
import linecache
import os
import sys
import types
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

MAX_REPLY = 32 * 2**20  # bytes of one packed value; an honest answer is far below
ANSWER_FILE = "your answer"  # the file name that submitted code is compiled under


# --- plain values -------------------------------------------------------------------------------


class NotPlain(TypeError):
    """A value that is not numbers, text, arrays, or lists and dicts of them."""


def pack(value: Any) -> bytes:
    """Turn a plain value into bytes. Tensors become arrays, tuples lists. Raises NotPlain."""
    arrays: dict[str, np.ndarray] = {}

    def refer(array: np.ndarray) -> dict[str, str]:
        if array.dtype.kind not in "biufcU":
            raise NotPlain(f"an array of {array.dtype}, where numbers are needed")
        key = f"a{len(arrays)}"
        arrays[key] = array
        return {"array": key}

    def lower(v: Any, depth: int = 0) -> Any:
        if depth > 20:
            raise NotPlain("lists nested more than 20 deep")
        kind = type(v)
        if v is None or kind in (bool, int, float, str):
            return v
        if kind in (list, tuple):
            return [lower(x, depth + 1) for x in v]
        if kind is dict:
            return {"dict": {str(k): lower(x, depth + 1) for k, x in v.items()}}
        if isinstance(v, np.ndarray):
            return refer(np.asarray(v))
        if isinstance(v, np.generic):
            return lower(v.item(), depth + 1)
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(v, torch.Tensor):
            v = v.detach().cpu()
            return refer((v.float() if v.dtype == torch.bfloat16 else v).numpy())
        raise NotPlain(f"a {kind.__name__}, where a number, a string, an array or a list is needed")

    text = json.dumps(lower(value))
    buffer = io.BytesIO()
    np.savez(buffer, json=np.array(text), **arrays)
    return buffer.getvalue()


def unpack(data: bytes) -> Any:
    """The plain value in bytes made by `pack`, or by a stranger who wants to harm us.

    Raises ValueError for anything that is not such a value, or that would need more memory than
    MAX_REPLY.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # A small archive may claim to unpack to anything, and so may an array's header:
            # both are held to the limit before any memory is taken.
            if sum(info.file_size for info in archive.infolist()) > MAX_REPLY:
                raise ValueError("the reply is too large")
            arrays = {}
            for info in archive.infolist():
                with archive.open(info) as member:
                    arrays[info.filename.removesuffix(".npy")] = _read_array(member, info.file_size)
        text = arrays.pop("json")
        if text.dtype.kind != "U" or text.shape != ():
            raise ValueError("the reply has no text")

        def raise_up(v: Any) -> Any:
            if isinstance(v, list):
                return [raise_up(x) for x in v]
            if isinstance(v, dict):
                if v.keys() == {"array"}:
                    return arrays[v["array"]]
                return {k: raise_up(x) for k, x in v["dict"].items()}
            return v

        return raise_up(json.loads(str(text)))
    except ValueError:
        raise
    except Exception as error:  # whatever a forged archive can provoke in zipfile, NumPy or json
        raise ValueError(f"not a reply: {type(error).__name__}") from None


def _read_array(member: Any, size: int) -> np.ndarray:
    version = np.lib.format.read_magic(member)
    if version != (1, 0):
        raise ValueError("the reply has an array of another version")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
    if dtype.kind not in "biufcU" or dtype.hasobject:
        raise ValueError("the reply has an array that is not numbers or text")
    count = 1
    for n in shape:
        count *= n
    if not all(n >= 0 for n in shape) or count * dtype.itemsize > size:
        raise ValueError("the reply has an array larger than its data")
    flat = np.frombuffer(member.read(count * dtype.itemsize), dtype=dtype, count=count)
    return flat.reshape(shape, order="F" if fortran else "C").copy()


# --- calling an answer --------------------------------------------------------------------------


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
    """An error in the learner's terms: its type and message, and the line of *their* code."""
    described: dict[str, Any] = {"type": type(error).__name__, "message": _message(error)}
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(_NOT_THEIRS):
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


# Frames of the course, of Python and of installed packages are not the learner's code.
_NOT_THEIRS = (
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep,
    os.path.dirname(os.__file__) + os.sep,
    *(os.path.join(p, "") for p in sys.path if p.endswith("-packages")),
    "<frozen",
    "<__array_function__",
)


def define(source: str, names: Sequence[str]) -> list[Any]:
    """Run submitted source and return what it defines under `names`.

    A statement that fails is passed over, so that a broken plot does not cost the marks of a
    sound function; if a name is then missing, the first failure is raised, or NameError.
    """
    import ast

    module = types.ModuleType("__answer__")
    sys.modules["__answer__"] = module  # dataclasses and typing look their module up
    linecache.cache[ANSWER_FILE] = (len(source), None, source.splitlines(True), ANSWER_FILE)
    first_failure: BaseException | None = None
    for statement in ast.parse(source, ANSWER_FILE).body:
        code = compile(ast.Module([statement], []), ANSWER_FILE, "exec")
        try:
            exec(code, module.__dict__)
        except BaseException as error:
            first_failure = first_failure or error
    missing = [name for name in names if name not in module.__dict__]
    if missing:
        raise first_failure or NameError(f"{' and '.join(missing)} is not defined")
    return [module.__dict__[name] for name in names]
