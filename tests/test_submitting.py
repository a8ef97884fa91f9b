"""`submit` tries what it hands in, says what it finds, and writes the file whatever it is."""

import os

import pytest

from zerotohero.course import checks, marking, submission, submitting
from zerotohero.course.collecting import History
from zerotohero.course.submission import Submission

RIGHT = """
def numerical_gradient(f, a, b, c, h=1e-5):
    return (
        (f(a + h, b, c) - f(a - h, b, c)) / (2 * h),
        (f(a, b + h, c) - f(a, b - h, c)) / (2 * h),
        (f(a, b, c + h) - f(a, b, c - h)) / (2 * h),
    )
"""
LOST = "def numerical_gradient(*_, **__): return lost(3)"
STUB = "def softmax(logits): return logits\ndef nll(logits, label):\n    raise NotImplementedError"


@pytest.fixture
def hand_in(tmp_path, capsys):
    """A function that hands a submission in, and returns what was printed and written."""

    def hand_in(exercises: dict[str, str], **options) -> tuple[str, dict[str, str]]:
        path = tmp_path / "s.json"
        submitting.hand_in(Submission("Ada", exercises), path, **options)
        return capsys.readouterr().out, submission.read(path).exercises

    return hand_in


def test_what_is_right_is_said_to_be(hand_in):
    said, written = hand_in({"1.1": RIGHT})
    assert "✓ 1.1" in said and "3/3" in said and "no longer" not in said
    assert "with your answers to 1.1. Hand in this one file." in said
    assert written == {"1.1": RIGHT}


def test_what_fails_is_said_with_the_reason_and_still_written(hand_in):
    said, written = hand_in({"1.1": LOST})
    assert "✗ 1.1" in said and "0/3" in said
    assert "name 'lost' is not defined" in said and "`def numerical_gradient" in said
    assert "no longer" not in said, "no check has given it points"
    assert written == {"1.1": LOST}


def test_what_check_had_accepted_is_said_to_have_lost_its_points(hand_in):
    said, written = hand_in({"1.1": LOST}, accepted={"1.1": 3})
    assert "check gave 3 in this notebook" in said
    assert "1.1 no longer gives the points that check gave" in said
    assert written == {"1.1": LOST}


def test_points_that_check_had_not_given_either_are_not_lost(hand_in):
    said, _ = hand_in({"1.1": LOST}, accepted={"1.1": 0})
    assert "no longer" not in said and "check gave" not in said


def test_all_that_ran_is_handed_in_where_that_brings_the_points_back(hand_in):
    said, written = hand_in({"1.1": LOST}, accepted={"1.1": 3}, everything=RIGHT)
    assert "✓ 1.1" in said and "no longer" not in said
    assert written == {"1.1": RIGHT}


def test_all_that_ran_is_not_handed_in_where_it_brings_nothing(hand_in):
    said, written = hand_in({"1.1": LOST}, accepted={"1.1": 3}, everything=LOST + "\n")
    assert "1.1 no longer gives" in said and written == {"1.1": LOST}
    _, written = hand_in({"1.1": LOST}, everything=RIGHT)
    assert written == {"1.1": LOST}, "what is wrong is handed in as it is"


def test_the_part_that_is_missing_is_named(hand_in):
    said, written = hand_in({"1.4": STUB})
    assert "still to be written: nll" in said and "1.4" in written


def test_how_long_training_takes_is_said_before(hand_in):
    source = "def train_on_moons(points, labels): return lambda point: 0.0"
    said, _ = hand_in({"1.6": source})
    assert said.index("1.6 trains, for about 6 s") < said.index("✗ 1.6")


def test_without_a_trial_it_is_written_at_once(hand_in, monkeypatch):
    monkeypatch.setattr(marking, "mark", None)
    said, written = hand_in({"1.1": RIGHT}, run=False)
    assert "✓" not in said and "Wrote" in said and written == {"1.1": RIGHT}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("no process can be started")])
def test_a_trial_that_ends_early_costs_no_submission(hand_in, monkeypatch, error):
    def stopped(mine, exercises, sandboxed):
        real = marking.marked(mine, [marking.Asked(e, 1) for e in exercises], sandboxed)
        yield exercises[0], next(real).outcomes
        raise error

    monkeypatch.setattr(marking, "mark", stopped)
    said, written = hand_in({"1.1": RIGHT, "1.3": LOST})
    assert "✓ 1.1" in said and "✗" not in said
    assert "Interrupted; not tried: 1.3." in said or "no process can be started" in said
    assert list(written) == ["1.1", "1.3"]


def test_nothing_answered_is_said_and_nothing_written(hand_in, tmp_path):
    with pytest.raises(ValueError, match="Nothing is answered"):
        hand_in({"1.1": "def numerical_gradient(*_):\n    raise NotImplementedError"})
    assert os.listdir(tmp_path) == []


def test_submit_outside_a_notebook_says_what_to_use(capsys):
    submitting.submit()
    assert "zerotohero submit" in capsys.readouterr().out


def test_the_exercises_of_a_notebook_are_those_of_its_checks():
    numbers = [e.number for e in submitting._checked_in(["check('2.1', f)", "check(2.3, g)"])]
    assert numbers == [e.number for e in checks.exercises("bigram")]
    assert len(submitting._checked_in(["f()"])) == len(checks.all_exercises())


def test_everything_is_a_program_without_its_checks():
    cells = ["K = 3", "check('1.1', f)\nsubmit()", "def f(): return K", "def broken(:"]
    assert History(cells).everything() == "K = 3\n\ndef f(): return K"
