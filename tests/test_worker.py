"""Plain values survive the journey, hostile bytes do not, and errors are the learner's own."""

import contextlib
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zerotohero.course import marking, worker
from zerotohero.course.worker import NotPlain, define, describe, pack, run_case, unpack

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
        (np.zeros(worker.MAX_REPLY // 8 + 1), "far more than is needed"),
        ([np.zeros(worker.MAX_REPLY // 16)] * 2, "far more than is needed"),
        ("x" * (worker.MAX_TEXT + 1), "far more than is needed"),
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
        packed("5", bytes(worker.MAX_REPLY)),
        packed(" " * (worker.MAX_TEXT + 1)),
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


# --- calling an answer --------------------------------------------------------------------------


def test_a_case_cannot_change_anothers_inputs():
    def spoil(x):
        x[:] = 0
        return x

    inputs = pack({"x": np.ones(3)})
    run_case(lambda answer, x: {"y": answer(x)}, [spoil], inputs)
    assert unpack(inputs)["x"].tolist() == [1, 1, 1]


def test_what_cannot_be_returned_is_a_crash_in_the_learners_terms():
    reply = unpack(run_case(lambda answer: {"y": answer()}, [lambda: {1}], pack({})))
    assert reply["error"]["type"] == "TypeError"
    assert reply["error"]["message"].startswith("your code returned a set")


def test_an_error_names_the_line_of_the_answer_and_not_of_a_library():
    source = "import json\n\ndef parse(text):\n    return json.loads(text)  # here\n"
    (parse,) = define(source, ["parse"])
    reply = unpack(run_case(lambda parse: {"y": parse("{")}, [parse], pack({})))
    assert reply["error"]["line"] == 4
    assert reply["error"]["code"] == "return json.loads(text)  # here"
    assert reply["error"]["function"] == "parse"
    assert reply["error"]["type"] == "JSONDecodeError"


class Mute(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize("error", [SystemExit(3), Mute(), RecursionError(), GeneratorExit()])
def test_every_error_is_described(error):
    def fail():
        raise error

    reply = unpack(run_case(lambda answer: answer(), [fail], pack({})))
    assert reply["error"]["type"] == type(error).__name__


def test_a_statement_that_fails_does_not_cost_a_sound_function():
    source = "import no_such_thing\nplot(1)\ndef f(): return 1\n1 / 0\nexit()\n"
    (f,) = define(source, ["f"])
    assert f() == 1


def test_a_name_that_is_missing_is_explained_by_the_first_failure():
    with pytest.raises(ZeroDivisionError):
        define("x = 1 / 0\ny = x\n", ["x"])
    with pytest.raises(NameError, match="f and g is not defined"):
        define("h = 1", ["f", "g"])
    with pytest.raises(SyntaxError) as caught:
        define("def f(:\n", ["f"])
    assert describe(caught.value)["line"] == 1


def test_a_dataclass_can_be_defined():
    source = "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: 'float' = 1.0\n"
    (P,) = define(source, ["P"])
    assert P(2.0).x == 2.0


# --- the protocol -------------------------------------------------------------------------------


def test_frames_come_through_and_cut_ones_are_refused():
    pipe = io.BytesIO()
    worker.send(pipe, worker.REPLY, b"content")
    worker.send(pipe, worker.DONE)
    whole = pipe.getvalue()
    pipe.seek(0)
    assert worker.receive(pipe) == (worker.REPLY, b"content")
    assert worker.receive(pipe) == (worker.DONE, b"")
    assert worker.receive(pipe) is None
    for forged in (whole[:3], whole[:8], b"\0\0\0\0r", b"\xff\xff\xff\xffr"):
        with pytest.raises(ValueError):
            worker.receive(io.BytesIO(forged))


def test_an_answer_imports_the_course_only_from_what_was_sent():
    # In a process of its own, since the finder stays.
    code = f"""
import sys
sys.path.insert(0, {str(Path(worker.__file__).parents[2])!r})
from zerotohero.course import marking, worker
for name in [n for n in sys.modules if n.startswith("zerotohero")]:
    del sys.modules[name]
sources = dict.fromkeys(["zerotohero", "zerotohero.course"], "")
sources |= {{"zerotohero.a": "x = 5", "zerotohero.course.adapters": ""}}
sys.meta_path.insert(0, worker._Given(sources))
import zerotohero.a, json, wave
assert zerotohero.a.x == 5
for name in ("zerotohero.course.checks", "zerotohero.micrograd", "zerotohero.course.worker"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        assert f"without {{name}}" in str(error), error
    else:
        raise AssertionError(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("used", ["training", "training.trainer", "training.config"])
def test_an_answer_may_import_the_package_that_its_exercise_uses(used):
    """With all that it imports itself, and nothing of it besides."""
    adapters = "zerotohero.course.adapters.gpt"
    sources = marking._sources(adapters, ["gpt", used])
    for name in ("zerotohero.course", "zerotohero.course.adapters"):
        assert sources[name] == "", "the machinery's packages are empty there"
    code = f"""
import importlib, sys
sys.path.insert(0, {str(Path(worker.__file__).parents[2])!r})
from zerotohero.course import marking, worker
for name in [n for n in sys.modules if n.startswith("zerotohero")]:
    del sys.modules[name]
sources = {sources!r}
sys.meta_path.insert(0, worker._Given(sources))
for name in sources:
    importlib.import_module(name)
import torch
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.training import TrainConfig, Trainer, evaluate
from zerotohero.training.muon import Muon
model = GPT(GPTConfig(5, 4, n_layer=1, n_head=1, n_embd=8))
tokens = torch.arange(50) % 5
config = TrainConfig(3, optimizer="muon", precision="fp32")
run = Trainer(config, model, tokens, device="cpu", progress=False).run()
assert run.step == 3 and evaluate(model, tokens) > 0
for name in ("zerotohero.training.recipes", "zerotohero.micrograd", "zerotohero.course.adder"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        assert f"without {{name}}" in str(error), error
    else:
        raise AssertionError(name)
"""
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_the_first_process_of_a_sandbox_ends_all_others():
    """Outside of one, `kill(-1)` would end every process of the user."""
    assert os.getpid() != 1 and not worker._is_init()
