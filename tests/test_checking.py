"""`check`, `hint`, verdicts and what they print, on exercises made for the test."""

import re

import numpy as np
import pytest
import torch

from zerotohero.course import checking, checks
from zerotohero.course.answering import COURSE
from zerotohero.course.checking import Outcome, check, examine, hint, judge, report
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    Wrong,
    array,
    expect,
    expect_that,
    number,
    show,
)


@pytest.fixture
def double(monkeypatch):
    """An exercise 1.1 of the test's own, in the place of lecture 01's."""
    exercise = Exercise(
        number="1.1",
        title="Twice",
        difficulty=1,
        minutes=2,
        practises="calling a function",
        answers=("double",),
        summary="Double a list. Leave the input alone.",
        statement="`double(x)`",
        hints=("one", "two", "three"),
    )

    @exercise.case(
        "three numbers",
        points=2,
        adapter="doubled",
        inputs=lambda rng: {"x": rng.normal(size=3)},
        crashes={"RecursionError": "It calls itself for ever."},
    )
    def _(given, got):
        square = Mistake(given["x"] ** 2, "You squared x.")
        expect("double(x)", got["y"], 2 * given["x"], mistakes=[square])

    @exercise.case("the input is unchanged", adapter="doubled", inputs={"x": np.arange(3.0)})
    def _(given, got):
        expect("x after the call", got["x"], given["x"], tol=0, hint="You wrote into x.")

    def doubled(double, x):
        x = torch.tensor(x)
        return {"y": double(x), "x": x}

    # An adapter is the course's, and no line of the learner's.
    doubled.__code__ = doubled.__code__.replace(co_filename=f"{COURSE}/adapters/demo.py")

    import zerotohero.course.adapters as package

    class Adapters:
        pass

    Adapters.doubled = staticmethod(doubled)
    monkeypatch.setattr(checks, "find", lambda n: exercise)
    monkeypatch.setattr(checks, "lecture_of", lambda e: "demo")
    monkeypatch.setitem(__import__("sys").modules, f"{package.__name__}.demo", Adapters)
    monkeypatch.setattr(checking, "_hints_shown", {})
    return exercise


def said(capsys) -> str:
    return capsys.readouterr().out


def test_a_right_answer_gets_all_points(double, capsys):
    check("1.1", lambda x: 2 * x)
    out = said(capsys)
    assert "✓ 2/2  three numbers" in out and "All 3 points." in out


def test_the_points_of_the_last_check_are_kept_for_submit(double, monkeypatch):
    monkeypatch.setattr(checking, "accepted", {})
    check("1.1", lambda x: 2 * x)
    assert checking.accepted == {"1.1": 3}
    check("1.1", lambda x: x + 0)
    assert checking.accepted == {"1.1": 1}
    check("1.1")  # which checks nothing
    assert checking.accepted == {"1.1": 1}


def test_a_recognised_mistake_is_named_with_what_was_expected_and_what_came(double, capsys):
    check("1.1", lambda x: x**2)
    out = said(capsys)
    assert "✗ 0/2  three numbers — double(x): expected [" in out and "got [" in out
    assert "hint: You squared x." in out and "1 of 3 points" in out


def test_an_unknown_mistake_gets_no_hint_that_does_not_fit(double, capsys):
    check("1.1", lambda x: x)
    assert "hint: " not in said(capsys)


def test_a_learners_code_that_writes_into_its_input_cannot_change_the_question(double, capsys):
    check("1.1", lambda x: x.mul_(2))
    out = said(capsys)
    assert "three numbers — double changed its argument x, " in out, "not that 2 x isn't 4 x"
    assert "hint: You wrote into x." in out, "the exercise's own"


def test_a_crash_shows_the_line_of_the_learners_code_and_no_traceback(double, capsys):
    def mine(x):
        y = x + 1
        return y[5]

    check("1.1", mine)
    out = said(capsys)
    assert "IndexError" in out and "`return y[5]`" in out
    assert "Traceback" not in out and "answering.py" not in out and "hint: " not in out


def test_what_torch_does_not_implement_is_no_stub(double, capsys):
    check("1.1", lambda x: torch.softmax(x.long(), 0))
    out = said(capsys)
    assert "✗ 0/2" in out and "not implemented for 'Long'" in out and "not yet" not in out


def test_a_forgotten_return_is_named(double, capsys):
    check("1.1", lambda x: None)
    assert "Nothing came back" in said(capsys)


def test_of_a_table_the_first_wrong_number_is_shown():
    wanted = np.arange(20.0).reshape(4, 5)
    wrong = wanted.copy()
    wrong[2, 1] = 7
    with pytest.raises(Wrong, match=r"expected 11 at \[2, 1\], got 7; 1 of 20 numbers differ"):
        expect("it", wrong, wanted)


def test_a_check_without_a_number_says_what_it_needs(capsys):
    check()
    hint()
    assert said(capsys).count("There is no exercise without a number") == 2


def test_a_crash_that_is_explained_gets_its_hint(double, capsys):
    def mine(x):
        return mine(x)

    check("1.1", mine)
    assert "It calls itself for ever." in said(capsys)


def test_the_stub_says_not_yet(double, capsys):
    def stub(x):
        raise NotImplementedError("1.1 is yours to write")

    check("1.1", stub)
    assert "not yet" in said(capsys)


@pytest.mark.parametrize("answer", [lambda: 0, lambda x: None, lambda x: int, len, type])
def test_whatever_is_given_for_an_answer_fails_in_words(double, capsys, answer):
    check("1.1", answer)
    out = said(capsys)
    assert "✗ 0/2" in out and "Traceback" not in out


@pytest.mark.parametrize("answer", [3, "text", [], torch.zeros(2)])
def test_a_function_that_was_called_instead_of_handed_over_is_named(double, capsys, answer):
    check("1.1", answer)
    out = said(capsys)
    kind = type(answer).__name__
    assert f"double is of type {kind} here" in out
    assert 'without calling it: check("1.1", double)' in out
    assert "✗" not in out, "no answer was asked"


def test_an_answer_that_is_not_made_yet_is_not_said_to_have_been_called(double, capsys):
    check("1.1", None)
    out = said(capsys)
    assert 'double is None here. Give check double itself, once it is made: check("1.1"' in out
    assert "calling" not in out and "✗" not in out


def test_functions_in_another_order_are_named(double, capsys):
    def first(x): ...
    def second(x): ...

    object.__setattr__(double, "answers", ("first", "second"))
    check("1.1", second, first)
    assert "a different order from the card's" in said(capsys)
    check("1.1", first, second)
    assert "another order" not in said(capsys)


def test_another_signature_is_named(double, capsys):
    def mine(x, factor):
        return factor * x

    check("1.1", mine)
    assert "keep the signature as it is there" in said(capsys)


def test_a_call_of_the_learners_own_is_no_fault_of_the_signature(double, capsys):
    def helper(x): ...
    def mine(x):
        return helper(x, 2)

    check("1.1", mine)
    out = said(capsys)
    assert "takes 1 positional argument but 2 were given" in out and "return helper(x, 2)" in out
    assert "hint:" not in out


def test_the_same_mistake_is_told_once(double, capsys):
    check("1.1", lambda x: x[99])
    out = said(capsys)
    assert out.count("IndexError") == 1 and out.count("where:") == 1
    assert "✗ 0/1" in out and "— the same" in out


def test_a_case_that_fails_alike_shows_a_hint_of_its_own(double):
    case = double.cases[0]
    outcomes = [
        Outcome(case, "wrong", "2, not 4", hint=hint) for hint in ("first", "second", "first")
    ]
    lines = report(double, outcomes).splitlines()
    assert [line.split(": ")[1] for line in lines if "hint:" in line] == ["first", "second"]
    assert sum("— the same" in line for line in lines) == 2


def test_an_interrupt_shows_the_line_in_which_the_answer_was(double, capsys):
    def mine(x):
        raise KeyboardInterrupt

    check("1.1", mine)
    assert re.search(r"Stopped in line \d+ of your code, `raise KeyboardInterrupt`", said(capsys))


@pytest.mark.parametrize(
    "got, want, message",
    [
        (
            np.arange(40),
            np.arange(40) + (np.arange(40) == 33),
            r"expected 34 at \[33\], got 33; 1 of",
        ),
        (0.1 + 0.2, 0.3, r"expected 0\.3, got 0\.30000000000000004"),
        ("a" * 99 + "b", "a" * 100, r"from character 99 on expected 'a', got 'b'"),
        ("a" * 99, "a" * 100, r"expected 100 characters, got 99; the first 99 are right"),
        (["ab"] * 50 + ["x"], ["ab"] * 50 + ["y"], r"expected 'y' at \[50\], got 'x'"),
        (["ab"] * 51, ["ab"] * 50, r"expected 50 items, got 51; the first 50 are right"),
        (["a"], ["b"], r"expected \['b'\], got \['a'\]"),
    ],
)
def test_the_first_place_that_differs_is_named(got, want, message):
    with pytest.raises(Wrong, match=message):
        expect("it", got, want, tol=0)


def test_nan_equals_nan_to_the_bit():
    expect("it", np.array([1, np.nan]), np.array([1, np.nan]), tol=0)
    with pytest.raises(Wrong):
        expect("it", np.array([1, 2.0]), np.array([1, np.nan]), tol=0)


def test_an_answer_that_exits_fails_its_case_alone(double):
    def mine(x):
        raise SystemExit(0)

    assert [o.status for o in examine(double, (mine,))] == ["crashed", "crashed"]


def test_only_the_learner_interrupts(double):
    def mine(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examine(double, (mine,))


def test_the_wrong_number_of_answers_is_said_with_the_right_call(double, capsys):
    check("1.1")
    assert 'takes 1 answer: check("1.1", double)' in said(capsys)


@pytest.mark.parametrize("number", ["99.9", "1.99", "", "one", 1.77])
def test_an_unknown_number_is_said_and_does_not_stop_the_notebook(capsys, number):
    check(number, print)
    hint(number)
    out = said(capsys)
    assert out.count("There is no exercise") == 2


def test_hints_come_one_by_one_and_the_last_one_stays(double, capsys):
    for _ in range(4):
        hint("1.1")
    lines = said(capsys).splitlines()
    assert [line[-3:].strip() for line in lines] == ["one", "two", "ree", "ree"]


def test_all_the_seeds_ask_different_questions(double):
    a, b = (double.cases[0].given(np.random.default_rng(s))["x"] for s in (1, 2))
    assert not np.allclose(a, b)


def test_what_is_for_the_verdict_alone_is_not_sent(double):
    inputs = {"x": np.ones(3), "_factor": 3.0}

    @double.case("another factor", adapter="doubled", inputs=inputs)
    def _(given, got):
        expect("the result", got["y"], given["_factor"] * given["x"])

    # The adapter takes no `_factor`, so it would crash if it got one.
    assert examine(double, [lambda x: 3 * x])[-1].status == "passed"


@pytest.mark.parametrize(
    "reply",
    [
        None,
        3,
        {},
        {"got": None},
        {"got": {}},
        {"got": {"y": "x"}},
        {"got": {"y": np.zeros((1000, 3))}},
        {"error": 3},
        {"got": {"y": None}},
        {"got": {"y": {"a": 1}}},
        [],
    ],
)
def test_a_forged_reply_is_wrong_and_never_an_exception(double, reply):
    outcome = judge(double.cases[0], {"x": np.arange(3.0)}, reply)
    assert outcome.status in ("wrong", "crashed") and outcome.points == 0


# --- expect -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (1.0, 1.0 + 1e-9),
        (np.float32([1, 2]), np.array([1.0, 2.0])),
        ([1, 2], np.array([1, 2])),
        (np.array([np.inf, np.nan]), np.array([np.inf, np.nan])),
        ([], np.zeros(0)),
        (np.zeros(0, np.int64), []),
        ({"a": []}, {"a": np.zeros(0)}),
        ([[], ["a"]], [np.zeros(0), ["a"]]),
        ("a", "a"),
        ([["a"], None], [["a"], None]),
        ({"a": 1.0}, {"a": 1.0 + 1e-12}),
        (True, True),
    ],
)
def test_expect_accepts_what_is_equal(got, want):
    expect("it", got, want)


@pytest.mark.parametrize(
    ("got", "want"),
    [
        ([], np.zeros(2)),
        (np.zeros(2), []),
        ([], np.zeros((0, 3))),
        (np.zeros((0, 3)), []),
        ([], 0.0),
        ({}, np.zeros(0)),
        ("", np.zeros(0)),
        (1.0, 1.001),
        (np.zeros((2, 1)), np.zeros(2)),  # broadcasting must not make it right
        (np.zeros(1), 0.0),
        (np.nan, 1.0),
        (np.array([np.inf]), np.array([1e30])),
        ("1", 1),
        (None, 0.0),
        ([1, [2, 3]], np.array([1, 2])),
        (["a"], ["a", "b"]),
        ({"a": 1}, {"b": 1}),
        (np.array(["a"]), np.array([1.0])),
    ],
)
def test_expect_rejects_what_is_not(got, want):
    with pytest.raises(Wrong, match="it: expected"):
        expect("it", got, want)


def test_expect_to_the_bit():
    expect("it", np.array([0.1]), np.array([0.1]), tol=0)
    with pytest.raises(Wrong):
        expect("it", np.array([0.1]), np.array([0.1 + 1e-16 * 2]), tol=0)


@pytest.mark.parametrize("got", [None, "3", np.nan, np.inf, np.zeros(2), [], {}, 1j])
def test_a_verdict_by_a_number_wants_a_number(got):
    with pytest.raises(Wrong):
        number("the loss", got)


def test_lists_of_other_lengths_are_shown_or_the_first_place_where_they_part():
    def says(want, got):
        with pytest.raises(Wrong) as caught:
            expect("ids", got, want)
        return caught.value.message

    assert says([1, 2, 3], [1, 5]) == "ids: expected [1, 2, 3], got [1, 5]"
    long = list(range(1000, 1040))
    assert says(long, [*long[:7], 0]) == "ids: expected 1007 at [7], got 0"
    assert says(long, long[:-1]) == "ids: expected 40 items, got 39; the first 39 are right"
    assert says([[i, 0] for i in long], long) == "ids: expected [1000, 0] at [0], got 1000"
    assert "expected shape (3,), got shape (2,)" in says(np.zeros(3), np.zeros(2))


def test_a_verdict_by_an_array_wants_that_shape():
    assert array("it", [1, 2], (2,)).dtype == np.float64
    with pytest.raises(Wrong, match=r"expected shape \(2,\)"):
        array("it", np.zeros(3), (2,))


def test_expect_that_carries_its_hint():
    expect_that(True, "fine")
    with pytest.raises(Wrong) as caught:
        expect_that(False, "not fine", "because")
    assert caught.value.hint == "because"


@pytest.mark.parametrize("value", [np.zeros((100, 100)), "x" * 5000, list(range(9999)), {}])
def test_show_is_short(value):
    assert len(show(value)) <= 120


def test_the_report_names_the_sum(double):
    outcomes = examine(double, (lambda x: x + 0,))
    assert "1 of 3 points" in report(double, outcomes)


@pytest.mark.parametrize(
    ("change", "match"),
    [({"number": "x"}, "number"), ({"difficulty": 6}, "difficulty"), ({"hints": ("a",)}, "three")],
)
def test_a_card_that_is_not_whole_is_refused(double, change, match):
    fields = {k: getattr(double, k) for k in double.__dataclass_fields__ if k != "cases"}
    with pytest.raises(ValueError, match=match):
        Exercise(**fields | change)
