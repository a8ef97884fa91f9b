"""Plain values survive the journey, and hostile bytes do not."""

import contextlib
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zerotohero.course.plain import MAX_REPLY, MAX_TEXT, NotPlain, pack, unpack

numbers = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**300), 10**300),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    hnp.arrays(
        st.sampled_from([np.bool_, np.int64, np.uint8, np.float32, np.float64, np.complex128]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
)
plain = st.recursive(
    numbers,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        kept = isinstance(b, np.ndarray) and (a.dtype, a.shape) == (b.dtype, b.shape)
        return kept and a.tobytes() == b.tobytes()
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


@given(plain)
def test_a_plain_value_comes_back_as_it_was(value):
    assert same(value, unpack(pack(value)))


def test_what_is_nearly_plain_is_made_so():
    value = {
        "tuple": (1, 2.5),
        "tensor": torch.arange(6, dtype=torch.bfloat16).view(2, 3).T.requires_grad_(),
        "scalar": np.float32(0.5),
        "number": np.float64(0.1),
        "size": torch.zeros(2, 3).shape,
        "strings": np.array([["a", "b"]]),
        "big-endian": np.arange(3, dtype=">i4"),
        "long": np.ones(2, dtype=np.longdouble),
        7: math.inf,
    }
    back = unpack(pack(value))
    assert back["tuple"] == [1, 2.5]
    assert back["tensor"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert back["scalar"] == 0.5 and back["number"] == 0.1
    assert back["size"] == [2, 3]
    assert back["strings"] == [["a", "b"]]
    assert back["big-endian"].tolist() == [0, 1, 2]
    assert back["long"].dtype == np.float64
    assert back["7"] == math.inf


def test_arrays_that_come_back_can_be_changed():
    back = unpack(pack({"x": np.arange(3.0), "flags": np.array([True])}))
    back["x"] += 1
    back["flags"][0] = False


class Endless(list):
    """A list that contains itself."""


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({1, 2}, "a set"),
        (object(), "a object"),
        (np.array([object()]), "an array of object"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "an array of datetime64"),
        (np.zeros(3, dtype=[("a", int)]), "an array of"),
        (1j, "a complex"),
        (b"bytes", "a bytes"),
        (np.zeros(MAX_REPLY // 8 + 1), "far more than is needed"),
        ([np.zeros(MAX_REPLY // 16)] * 2, "far more than is needed"),
        ("x" * (MAX_TEXT + 1), "far more than is needed"),
    ],
)
def test_what_is_not_plain_is_named(value, says):
    with pytest.raises(NotPlain, match=says):
        pack({"got": value})


def test_a_list_in_itself_is_refused():
    value = Endless()
    value.append(value)
    with pytest.raises(NotPlain, match="20 deep"):
        pack(value)


def packed(text: str | bytes, data: bytes = b"") -> bytes:
    text = text.encode() if isinstance(text, str) else text
    return len(text).to_bytes(4, "big") + text + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0",
        b"\xff" * 100,
        packed("[" * 10**6),
        packed("[" * 25 + "]" * 25),
        packed('{"dict":' * 25 + "1" + "}" * 25),
        packed("{}"),
        packed('{"dict": 5}'),
        packed('{"array": 5}'),
        packed('{"array": []}'),
        packed('{"array": ["<f8", 2]}', bytes(8)),
        packed('{"array": ["<f8", -1]}', bytes(8)),
        packed('{"array": ["<f8", 99999999999, 0]}'),
        packed('{"array": ["<f8", true]}', bytes(8)),
        packed('{"array": ["<f8", "1"]}', bytes(8)),
        packed('{"array": ["O", 1]}', bytes(8)),
        packed('{"array": ["<U4", 1]}', bytes(16)),
        packed('{"array": ["f8,f8", 1]}', bytes(16)),
        packed('{"array": [["<f8"], 1]}', bytes(8)),
        packed(json.dumps({"array": ["|b1", *[1] * 40]}), b"\1"),
        packed('[{"array": ["|u1", 8]}, {"array": ["|u1", 8]}]', bytes(8)),
        packed("1" * 5000),
        packed(b'"\xff"'),
        packed("5", bytes(MAX_REPLY)),
        packed(" " * (MAX_TEXT + 1)),
    ],
)
def test_forged_bytes_are_a_value_error(data):
    with pytest.raises(ValueError):
        unpack(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_value_error(data):
    for forged in (data, packed(data)):
        with contextlib.suppress(ValueError):
            unpack(forged)


def test_a_forged_boolean_is_a_boolean():
    flags = unpack(packed('{"array": ["|b1", 3]}', b"\0\1\7"))
    assert flags.view(np.uint8).tolist() == [0, 1, 1]
