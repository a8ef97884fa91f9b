"""Plain values to bytes and back: what travels between the grader and a worker.

    pack({"x": np.ones(3)})     # bytes, or NotPlain
    unpack(data)                # the value, or ValueError for whatever is none

Numbers, text, arrays, and lists and dicts of them. `unpack` reads what a stranger may have forged.
This enters the sandbox, and imports only the standard library and NumPy.
"""

import gc
import json
import sys
from typing import Any

MAX_REPLY = 32 * 2**20  # bytes of one packed value; an honest answer is far below
MAX_TEXT = 8 * 2**20  # bytes of its JSON part, which takes more memory when it is parsed

# What an array may hold when it travels: booleans, integers, floats and complex numbers.
_INTEGERS = ("|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8")
_DTYPES = ("|b1", *_INTEGERS, "<f2", "<f4", "<f8", "<c8", "<c16")
_LEAVES = {type(None), bool, int, float, str}  # they travel as they are, wherever they stand


class NotPlain(TypeError):
    """A value that is not numbers, text, arrays, or lists and dicts of them."""


def pack(value: Any) -> bytes:
    """Turn a plain value into bytes. Tensors become arrays, tuples lists. Raises NotPlain.

    The bytes are the length of a JSON text, the text, and the raw data of the arrays that it
    refers to, one after the other. Not `npz`: the directory of a zip archive and the headers in
    it are parsers that a stranger could attack, and this needs none but JSON's.
    """
    import numpy as np

    arrays: list[bytes] = []

    def refer(array: np.ndarray) -> dict[str, Any]:
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        dtype = array.dtype.newbyteorder("<")
        if dtype.str not in _DTYPES:
            raise NotPlain(f"an array of {array.dtype}, where numbers are needed")
        if array.nbytes > MAX_REPLY:
            raise NotPlain(f"an array of {array.nbytes / 2**20:.0f} MB, far more than is needed")
        arrays.append(array.astype(dtype, copy=False).tobytes())
        return {"array": [dtype.str, *array.shape]}

    def lower(v: Any, depth: int = 0) -> Any:
        if depth > 20:
            raise NotPlain("lists nested more than 20 deep")
        if v is None or isinstance(v, (bool, int, float, str)):
            # Subclasses too, np.float64 among them: JSON writes them as what they are.
            return v
        if isinstance(v, (list, tuple)):
            return [x if type(x) in _LEAVES else lower(x, depth + 1) for x in v]
        if isinstance(v, dict):
            return {"dict": {str(k): lower(x, depth + 1) for k, x in v.items()}}
        if isinstance(v, np.ndarray):
            return lower(v.tolist(), depth + 1) if v.dtype.kind == "U" else refer(np.asarray(v))
        if isinstance(v, np.generic):
            return lower(v.item(), depth + 1)
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(v, torch.Tensor):
            v = v.detach().cpu().resolve_conj().resolve_neg()
            return refer((v.float() if v.dtype == torch.bfloat16 else v).numpy())
        name = type(v).__name__
        raise NotPlain(f"a {name}, where a number, a string, an array or a list is needed")

    text = json.dumps(lower(value), separators=(",", ":")).encode()
    size = 4 + len(text) + sum(map(len, arrays))
    if len(text) > MAX_TEXT or size > MAX_REPLY:
        raise NotPlain(f"{size / 2**20:.0f} MB of values, far more than is needed")
    return b"".join((len(text).to_bytes(4, "big"), text, *arrays))


def unpack(data: bytes) -> Any:
    """Return the plain value in bytes made by `pack`, or by a stranger who wants to harm us.

    Raises ValueError for anything that is not such a value, or that is larger than `pack` makes.
    """
    import numpy as np

    size = int.from_bytes(data[:4], "big")
    if len(data) > MAX_REPLY or size > MAX_TEXT:
        raise ValueError("the value is too large")
    start = 4 + size  # of the next array

    def array(dtype: str, *shape: int) -> np.ndarray:
        nonlocal start
        if dtype not in _DTYPES or len(shape) > 16:
            raise ValueError("not numbers")
        count = 1
        for n in shape:
            if type(n) is not int or not 0 <= n <= MAX_REPLY:
                raise ValueError("not a shape")
            count *= n
        # Every array has bytes of its own: many references to the same would multiply.
        stop = start + count * np.dtype(dtype).itemsize
        if stop > len(data):
            raise ValueError("an array larger than its data")
        flat = np.frombuffer(data[start:stop], dtype="|u1" if dtype == "|b1" else dtype)
        start = stop
        return (flat != 0 if dtype == "|b1" else flat.copy()).reshape(shape)

    def lift(v: Any, depth: int = 0) -> Any:
        if depth > 20:
            raise ValueError("too deep")
        if isinstance(v, list):
            return [x if type(x) in _LEAVES else lift(x, depth + 1) for x in v]
        if isinstance(v, dict):
            if v.keys() == {"array"}:
                return array(*v["array"])
            return {k: lift(x, depth + 1) for k, x in v["dict"].items()}
        return v

    # A million new lists would make the collector go through everything again and again.
    collects = gc.isenabled()
    gc.disable()
    try:
        return lift(json.loads(data[4:start].decode("utf-8")))
    except Exception as error:  # whatever forged bytes can provoke in json or NumPy
        raise ValueError(f"not a plain value: {type(error).__name__}") from None
    finally:
        if collects:
            gc.enable()
