"""Answers are defined and called, and errors are the learner's own."""

import numpy as np
import pytest

from zerotohero.course.answering import define, describe, run_case
from zerotohero.course.plain import pack, unpack


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


def test_an_error_where_python_knows_no_line_is_described():
    def fail():
        raise KeyboardInterrupt

    fail.__code__ = fail.__code__.replace(co_linetable=b"", co_filename="answer")
    with pytest.raises(KeyboardInterrupt) as caught:
        fail()
    assert caught.value.__traceback__.tb_next.tb_lineno is None
    assert describe(caught.value)["line"] == fail.__code__.co_firstlineno
