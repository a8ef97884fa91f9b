"""Marks depend on the answer alone: not on the clock, nor on what else the machine is busy with."""

import contextlib
import os
import subprocess
import sys
import time

import pytest

from grading.hostile import FULL, HONEST, SUBMISSIONS
from test_grading import exercises_of_the_tests, hand_in
from zerotohero.course import checks, grading, marking, nursery, sandbox
from zerotohero.course.exercise import Case, Exercise
from zerotohero.course.plain import pack
from zerotohero.course.submission import Submission

needs_sandbox = pytest.mark.skipif(sandbox.available() is not None, reason=str(sandbox.available()))


@pytest.fixture
def trial():
    with exercises_of_the_tests():
        yield


@pytest.fixture(scope="module")
def nursery_of_all():
    """The libraries, imported once for all tests here, as for all of a class.

    Not before a whole class is graded, which has others and ends them all.
    """
    with nursery.nurseries(1, ["numpy", "torch"]):
        yield


def outcomes(sources: dict[str, str]) -> dict[str, marking.Marked]:
    """What comes of answers to the tests' exercises, in a sandbox."""
    asked = [marking.Asked(e, 1) for e in checks.all_exercises()]
    return {m.number: m for m in marking.marked(Submission("", HONEST | sources), asked, True)}


# --- which limit it was -------------------------------------------------------------------------


@needs_sandbox
def test_an_answer_that_was_kept_from_the_processor_is_marked_again_alone(
    trial, tmp_path, monkeypatch
):
    """Once: here the wall clock is as far ahead the second time."""
    folder = tmp_path / "submissions"
    folder.mkdir()
    hand_in(folder, "starved", {"1.2": "def shout(word):\n    while True: pass\n"})
    hand_in(folder, "other", HONEST)
    asked, mark = [], grading._all_graded

    def watched(todo, exercises, sandboxed, jobs):
        asked.append(([g.id for g in todo], [a.exercise.number for a in exercises]))
        yield from mark(todo, exercises, sandboxed, jobs)

    monkeypatch.setattr(grading, "_all_graded", watched)
    monkeypatch.setattr(sandbox, "WALL", 0.3)
    monkeypatch.setattr(type(checks.find("1.2")), "time_limit", 7.0)
    grades = grading.grade(folder, tmp_path / "out", ["1.2"])
    assert asked[1:] == [(["starved"], ["1.2"])]
    message = next(g for g in grades.submissions if g.id == "starved").marked["1.2"].outcomes[0]
    assert "seconds by the clock, in which your code had" in message.message


@needs_sandbox
@pytest.mark.usefixtures("nursery_of_all")
def test_the_message_says_which_limit_ended_an_answer(trial, monkeypatch):
    monkeypatch.setattr(sandbox, "WALL", 100)
    came = outcomes(
        {
            "1.1": "def mean(x):\n    while True: pass\n",
            "1.2": "import time\ndef shout(word): time.sleep(1e6)\n",
            "1.3": "def softmax(x):\n    while True: pass\n",
        }
    )
    said = {number: marked.outcomes[-1].message for number, marked in came.items()}
    assert "within the 1.5 seconds of processor time that this exercise has" in said["1.1"]
    assert "within the 1.5 seconds that this exercise has: your code waited" in said["1.2"]
    # 1.1 and 1.2 have each taken half a second beyond their shares, of three.
    assert "seconds of processor time that this exercise has" in said["1.3"]
    assert not any(marked.disturbed for marked in came.values())
    assert came["1.4"].score == FULL["1.4"]


# --- what a file has as a whole -----------------------------------------------------------------


class Costly(Exercise):
    time_limit = 10.0


def costly(n: int) -> list[marking.Asked]:
    hints = ("one", "two", "three")
    card = ("Trial", 1, 1, "grading", ("f",), "Two. Sentences.", "A card.", hints)
    asked = [object.__new__(marking.Asked) for _ in range(n)]
    for i, a in enumerate(asked):
        a.exercise = Costly(f"1.{i + 1}", *card)
    return asked


def test_a_file_that_takes_all_it_can_get_is_done_in_a_minute():
    asked = costly(35)
    budget, spent = marking.Budget(asked), 0.0
    for a in asked:
        share, _ = marking._shares(a.exercise)
        given = budget.limit(a.exercise.time_limit, share)
        assert given >= share  # so much there is for an honest answer, whatever was before
        budget.spend(given, share)
        spent += given
    assert spent <= 60
    assert budget.surplus == 0


def test_what_an_answer_does_not_need_is_left_for_the_others():
    budget = marking.Budget(costly(3))
    for _ in range(100):
        budget.spend(0.5, 1.0)
    assert budget.limit(10.0, 1.0) == 10.0


@needs_sandbox
@pytest.mark.usefixtures("nursery_of_all")
def test_an_honest_answer_after_many_endless_ones_has_its_marks(trial, monkeypatch):
    monkeypatch.setattr(sandbox, "WALL", 100)
    endless = "while True: pass\n"
    came = outcomes(dict.fromkeys(("1.1", "1.2", "1.3"), endless))
    assert came["1.4"].score == FULL["1.4"]
    assert [came[n].score for n in ("1.1", "1.2", "1.3")] == [0, 0, 0]


# --- verdicts -----------------------------------------------------------------------------------


def verdict(verify, seconds: float = 0.3):
    case = Case("a case", 1, "adapter", {}, verify, {})
    return marking._verdict(case, pack({}), pack({"got": {}}), seconds)


def test_a_verdict_has_its_seconds_and_no_more():
    def endless(given, got):
        while True:
            with contextlib.suppress(Exception):
                sum(range(10**5))

    outcome, used, starved = verdict(endless)
    assert outcome.points == 0 and "the verdict on what came back took more" in outcome.message
    assert 0.2 < used < 0.6 and not starved


def test_a_verdict_that_is_kept_from_the_processor_is_not_held_against_the_answer(monkeypatch):
    monkeypatch.setattr(marking, "WALL", 0.5)
    outcome, used, starved = verdict(lambda given, got: time.sleep(60))
    assert starved and used < 0.3
    assert "of the wall clock" in outcome.message


def test_the_largest_reply_is_read_in_a_second_of_the_processor():
    """Of an exercise that doesn't train; empty lists cost most."""
    nested = pack({"got": {"y": [[]] * (marking.REPLY // 3 - 100)}})
    assert len(nested) > marking.REPLY * 0.99
    case = Case("a case", 1, "adapter", {}, lambda given, got: got["y"][0], {})
    outcome, used, _ = marking._verdict(case, pack({}), nested, 2.0)
    assert outcome.status == "passed" and used < 1.0


# --- on a busy machine --------------------------------------------------------------------------


@contextlib.contextmanager
def busy(loops: int):
    """So many processes beside, each of which takes all it can get."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


@needs_sandbox
@pytest.mark.slow
def test_a_busy_machine_changes_no_mark(trial, tmp_path):
    """The hostile folder, with nothing and with three busy loops beside the grader."""
    folder = tmp_path / "submissions"
    folder.mkdir()
    for name, (sources, _) in SUBMISSIONS.items():
        hand_in(folder, name, {n: s.replace("PORT", "9") for n, s in sources.items()})
    marks = []
    for loops in (0, 3):
        with busy(loops):
            began = time.monotonic()
            grades = grading.grade(folder, tmp_path / f"out-{loops}", seed=5)
            print(
                f"{loops} busy loops: {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]}"
            )
        marks.append(
            {
                g.name: {n: marked.score for n, marked in g.marked.items()}
                for g in grades.submissions
            }
        )
    assert marks[0] == marks[1] == {name: scores for name, (_, scores) in SUBMISSIONS.items()}


# --- what is imported once for a class ----------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "needed"),
    [
        (["1.1"], ["numpy"]),
        (["1.1", "2.5"], ["numpy", "torch"]),
        (["1.6"], ["numpy"]),  # it trains, with lecture 01's own engine
        (["1.1", "7.2"], ["numpy", "torch", "torch._dynamo"]),
    ],
)
def test_a_class_waits_for_no_library_that_its_exercises_do_not_need(numbers, needed):
    assert marking.libraries([marking.Asked(checks.find(n), 1) for n in numbers]) == needed


# --- what a call does beside its answer ---------------------------------------------------------


@needs_sandbox
@pytest.mark.usefixtures("nursery_of_all")
def test_a_right_answer_that_spoils_its_argument_or_returns_another_kind_is_named_when_graded():
    kept = "def without_leak(train, dev): return [w for w in dev if w not in train]\n"
    shared = "sum(w in train for w in dev) / max(1, len(dev))"
    spoilt = (
        f"def leak_share(train, dev):\n    share = {shared}\n    dev.clear()\n    return share\n"
    )
    other = f"import numpy as np\ndef leak_share(train, dev): return np.array({shared})\n"
    asked = [marking.Asked(checks.find("2.7"), 1)]

    def messages(share: str) -> list[str]:
        (marked,) = marking.marked(Submission("", {"2.7": share + kept}), asked, True)
        return [outcome.message for outcome in marked.outcomes]

    right = messages(f"def leak_share(train, dev): return {shared}\n")
    assert not any(right)
    assert any("leak_share changed its argument dev, " in m for m in messages(spoilt))
    assert any("leak_share returned a 0-dimensional NumPy array, " in m for m in messages(other))
