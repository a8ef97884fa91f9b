"""A folder of strangers' work, graded: every honest function gets its marks, nothing gets out."""

import contextlib
import csv
import hashlib
import json
import multiprocessing
import os
import socket
import tempfile
import time
from pathlib import Path

import pytest

from grading.class_room import exercises_of_the_tests, hand_in
from grading.hostile import FULL, HONEST, SUBMISSIONS
from zerotohero.course import (
    checking,
    checks,
    grading,
    jail,
    marking,
    nursery,
    sandbox,
    submission,
)
from zerotohero.course.answering import define
from zerotohero.course.plain import unpack
from zerotohero.course.submission import Submission

HERE = Path(__file__).parent
SECRET = "canary-5f1c7a"  # must not be in any output

needs_sandbox = pytest.mark.skipif(sandbox.available() is not None, reason=str(sandbox.available()))


@pytest.fixture
def trial():
    with exercises_of_the_tests():
        yield


class Run:
    """A grading run of all of `SUBMISSIONS`, and of what is no submission, with its traces."""

    def __init__(self, tmp_path: Path, patch: pytest.MonkeyPatch):
        self.folder, self.out = tmp_path / "submissions", tmp_path / "grades"
        self.folder.mkdir()
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "secret").write_text(SECRET)
        patch.setenv("HOME", str(tmp_path / "home"))
        patch.setenv("ZEROTOHERO_SECRET", SECRET)
        hand_in(self.folder, "neighbour", {"1.2": HONEST["1.2"] + f"# {SECRET}\n"})
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            port = listener.getsockname()[1]
            for name, (exercises, _) in SUBMISSIONS.items():
                sources = {n: s.replace("PORT", str(port)) for n, s in exercises.items()}
                hand_in(self.folder, name, sources)
            self._no_submissions()
            # Every process of a sandbox of this run can be told from those of others.
            command, mark = jail.bubblewrap, f"run-{os.getpid()}"
            patch.setattr(jail, "bubblewrap", lambda packages: [*command(packages), mark])
            before = self._hashes()
            start = time.monotonic()
            self.grades = grading.grade(self.folder, self.out)
            self.seconds = time.monotonic() - start
            try:
                self.called = listener.accept()
            except BlockingIOError:
                self.called = None
        self.touched = before.items() ^ self._hashes().items()
        self.left = settled(lambda: running(mark))
        with (self.out / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
            self.rows = {row["id"]: row for row in csv.DictReader(file)}

    def _no_submissions(self):
        (self.folder / "nothing in it.json").write_bytes(b"")
        (self.folder / "a list.json").write_text("[1, 2, 3]")
        (self.folder / "a notebook.ipynb").write_text('{"cells": []}')
        whole = hand_in(self.folder, "cut off", HONEST).read_bytes()
        (self.folder / "cut off.json").write_bytes(whole[: len(whole) // 2])
        (self.folder / "not text.json").write_bytes(bytes(range(256)))
        (self.folder / "nested.json").write_text("[" * 10**5)
        with (self.folder / "a gigabyte.json").open("wb") as file:
            file.truncate(2**30)
        (self.folder / "a folder.json").mkdir()
        (self.folder / "a link.json").symlink_to("/etc/passwd")
        os.mkfifo(self.folder / "a pipe.json")

    def _hashes(self):
        files = [*self.folder.iterdir(), *HERE.parent.glob("zerotohero/**/*.py")]
        return {
            p: hashlib.sha256(p.read_bytes()).hexdigest()
            for p in files
            if p.is_file() and not p.is_symlink() and p.name != "a gigabyte.json"
        }

    def results(self, name: str) -> dict:
        path = self.out / name.replace(" ", "_") / "results.json"
        return json.loads(path.read_text(encoding="utf-8"))

    def said(self, name: str, number: str) -> str:
        tests = self.results(name)["tests"]
        return "\n".join(t["output"] for t in tests if t["number"] == number)


def running(mark: str) -> set[str]:
    """The processes of this machine that have a mark in their command line."""
    found = set()
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark.encode() in line.read_bytes():
                found.add(line.parent.name)
    return found


def settled(look, seconds: float = 5.0):
    """What `look` finds once it is nothing, or at the end of so many seconds."""
    until = time.monotonic() + seconds
    while (found := look()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with exercises_of_the_tests() as patch:
        done = Run(tmp_path_factory.mktemp("class"), patch)
    return done


@needs_sandbox
@pytest.mark.parametrize("name", SUBMISSIONS)
def test_each_gets_the_marks_that_its_honest_functions_deserve(run, name):
    wanted = SUBMISSIONS[name][1]
    row = run.rows[name.replace(" ", "_")]
    got = {number: int(row[f"exercise {number}"]) for number in FULL}
    assert got == wanted, json.dumps(run.results(name), indent=1)
    assert int(row["score"]) == sum(wanted.values()) == run.results(name)["score"]


@needs_sandbox
@pytest.mark.parametrize(
    ("name", "says"),
    {
        "nothing in it": "empty",
        "a list": "not the file that submit() writes",
        "a notebook.ipynb": "hand in the file that submit() writes",
        "cut off": "broken",
        "not text": "broken",
        "nested": "broken",
        "a gigabyte": "larger than 2 MB",
        "a folder": "no file in this folder",
        "a link": "not a file",
        "a pipe": "not a file",
    }.items(),
)
def test_what_is_no_submission_gets_a_row_that_says_why(run, name, says):
    row = run.rows[name.replace(" ", "_")]
    assert (row["score"], row["max_score"]) == ("0", "12")
    assert says in row["note"]
    assert says in run.results(name)["output"]


@needs_sandbox
@pytest.mark.parametrize(
    "name",
    ["reads the environment", "opens sockets", "hunts for the solutions", "overwrites files"],
)
def test_there_is_nothing_to_find_or_to_reach(run, name):
    assert run.said(name, "1.2") == "shout(word): expected 'EMMA', got 'found []'"


@needs_sandbox
def test_nothing_leaves_the_sandbox(run):
    for path in run.out.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    assert run.called is None


@needs_sandbox
def test_nothing_else_is_touched_and_nothing_is_left(run):
    assert run.touched == set()
    assert run.left == set()
    results = {path.parent.name for path in run.out.glob("*/results.json")}
    assert {path.name for path in run.out.iterdir()} == {"grades.csv", *results}
    assert results == set(run.rows)


@needs_sandbox
def test_results_are_what_gradescope_reads(run):
    results = run.results("endless loop")
    assert results["score"] == 10
    assert results["execution_time"] > 1.5
    extra = results["extra_data"]
    assert (extra["name"], extra["file"]) == ("endless loop", "endless loop.json")
    assert (extra["max_score"], extra["seed"]) == (12, run.grades.seed)
    assert results["tests"][:2] == [
        {
            "number": "1.1",
            "name": "1.1 Trial: four numbers",
            "score": 1,
            "max_score": 1,
            "status": "passed",
            "output": "",
        },
        {
            "number": "1.1",
            "name": "1.1 Trial: a thousand",
            "score": 0,
            "max_score": 2,
            "status": "failed",
            "output": "no answer within the 1.5 seconds of processor time that this exercise has",
        },
    ]


@needs_sandbox
def test_messages_are_in_the_students_terms(run):
    assert "line 3 of your code, `return sum(x / len(x)`" in run.said("syntax error", "1.1")
    assert "exit code 0" in run.said("exits", "1.3")
    assert "signal 11" in run.said("exits in every way", "1.2")
    assert "Unable to allocate 10.0 GiB" in run.said("ten gigabytes of memory", "1.1")
    said = "".join(test["output"] for name in SUBMISSIONS for test in run.results(name)["tests"])
    assert "Traceback" not in said
    assert "zerotohero/" not in said


@needs_sandbox
def test_inputs_are_drawn_anew_for_each_run_and_can_be_repeated(trial, tmp_path):
    folder = tmp_path / "submissions"
    folder.mkdir()
    asked = "def mean(x):\n    return 'first ' + str(x[0])\n"
    hand_in(folder, "one", {"1.1": asked})
    hand_in(folder, "two", {"1.1": asked})

    def said(**options):
        out = Path(tempfile.mkdtemp(dir=tmp_path))
        grades = grading.grade(folder, out, ["1.1"], **options)
        first, second = (s.marked["1.1"].outcomes[0].message for s in grades.submissions)
        assert first == second  # the same for all of the class
        return first

    assert said(seed=5) == said(seed=5, jobs=1) != said(jobs=1)


def test_the_seed_of_the_inputs_does_not_enter_the_sandbox(trial):
    """Or an answer could draw the cases that it will be asked, and all that they hide."""
    seed = 918_273_645
    for exercise in checks.all_exercises():
        asked = marking.Asked(exercise, seed)
        assert str(seed) not in json.dumps(asked.request)
        assert "seed" not in asked.request


def test_what_is_for_the_verdict_alone_does_not_enter_the_sandbox(trial):
    for exercise in checks.all_exercises():
        asked = marking.Asked(exercise, 1)
        for given, question in zip(asked.givens, asked.questions, strict=True):
            given, question = unpack(given), unpack(question)
            assert set(question) == {name for name in given if not name.startswith("_")}


def test_a_data_set_in_the_source_is_no_answer(trial):
    names = "NAMES = '" + "x" * marking.MAX_SOURCE + "'\n"
    mine = Submission("", {"1.1": names + HONEST["1.1"], "1.2": HONEST["1.2"]})
    marks = [outcomes for _, outcomes in marking.mark(mine, sandboxed=False)]
    assert sum(outcome.points for outcome in marks[0]) == 0
    assert all("of source" in outcome.message for outcome in marks[0])
    assert sum(outcome.points for outcome in marks[1]) == FULL["1.2"]


@needs_sandbox
def test_what_was_killed_is_marked_again_alone(trial, tmp_path):
    """As an innocent process is, when another submission has taken all the memory."""
    folder = tmp_path / "submissions"
    folder.mkdir()
    # It kills itself while another marking is to be seen, and answers when it is alone.
    hand_in(folder, "victim", {"1.2": "import os\ndef shout(word):\n    os.kill(os.getpid(), 9)\n"})
    asked = []
    mark = grading._all_graded

    def watched(todo, exercises, sandboxed, jobs):
        asked.append(([g.id for g in todo], [a.exercise.number for a in exercises], jobs))
        yield from mark(todo, exercises, sandboxed, jobs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grading, "_all_graded", watched)
        hand_in(folder, "other", HONEST)
        grades = grading.grade(folder, tmp_path / "out", ["1.1", "1.2"], jobs=2)
    assert asked == [(["other", "victim"], ["1.1", "1.2"], 2), (["victim"], ["1.2"], 1)]
    assert [s.score for s in grades.submissions] == [5, 0]


@needs_sandbox
def test_a_grader_that_dies_gives_a_row_and_harms_no_one_else(trial, tmp_path):
    folder = tmp_path / "submissions"
    folder.mkdir()
    for name in ("dies", "lives"):
        hand_in(folder, name, HONEST)

    def read(path, folder):
        if path.stem == "dies":
            os._exit(3)
        return submission.read(path, folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grading, "read", read)
        dies, lives = grading.grade(folder, tmp_path / "out", ["1.1", "1.2"]).submissions
    assert (dies.score, lives.score) == (0, 5)
    assert "the grader failed" in dies.marked["1.1"].outcomes[0].message


def test_one_refuses_where_the_sandbox_cannot_run(trial, tmp_path, monkeypatch):
    folder = tmp_path / "submissions"
    folder.mkdir()
    hand_in(folder, "correct", HONEST)
    for module in (grading, marking):
        monkeypatch.setattr(module, "available", lambda: "No sandbox here.")
    with pytest.raises(nursery.Unavailable, match="No sandbox here"):
        grading.grade(folder, tmp_path / "out")
    with pytest.raises(nursery.Unavailable, match="No sandbox here"):
        next(marking.mark(Submission("", HONEST)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("start", multiprocessing.get_all_start_methods())
def test_without_a_sandbox_it_grades_on_every_system(tmp_path, monkeypatch, start):
    monkeypatch.setattr(grading, "_START", start)
    monkeypatch.setattr(nursery, "_FORKS", start == "fork")
    folder = tmp_path / "submissions"
    folder.mkdir()
    right = """
def numerical_gradient(f, a, b, c, h=1e-5):
    at = [a, b, c]
    def slope(i):
        up, down = ([x + n * h * (k == i) for k, x in enumerate(at)] for n in (1, -1))
        return (f(*up) - f(*down)) / (2 * h)
    return slope(0), slope(1), slope(2)
"""
    hand_in(folder, "right", {"1.1": right})
    hand_in(folder, "wrong", {"1.1": "def numerical_gradient(f, a, b, c): return a, b, c"})
    grades = grading.grade(folder, tmp_path / "out", ["1.1"], sandbox=False)
    assert [s.score for s in grades.submissions] == [grades.points, 0]


def test_ones_own_work_is_marked_without_a_sandbox(trial):
    mine = Submission("", HONEST | {"1.2": "def shout(word):\n    import os; os._exit(0)\n"})
    marks = {
        exercise.number: sum(outcome.points for outcome in outcomes)
        for exercise, outcomes in marking.mark(mine, sandboxed=False)
    }
    assert marks == FULL | {"1.2": 0}


def test_each_exercise_has_a_process_of_its_own_where_there_is_no_fork(trial, monkeypatch):
    monkeypatch.setattr(nursery, "_FORKS", False)
    monkeypatch.setattr(sandbox, "GRACE", 0.5)
    endless = "def mean(x):\n    while True: pass\n"
    mine = Submission("", HONEST | {"1.1": endless, "1.2": "import os; os._exit(0)"})
    del mine.exercises["1.3"]  # whose torch each of the processes would have to import
    marks = [
        sum(outcome.points for outcome in outcomes)
        for _, outcomes in marking.mark(mine, sandboxed=False)
    ]
    assert marks == [0, 0, 0, 4]


def test_bad_calls_say_what_is_wrong(trial, tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        grading.grade(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(ValueError, match="nothing to grade"):
        grading.grade(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match=r"no exercise 7\.9"):
        grading.grade(tmp_path, tmp_path / "out", ["7.9"])


def test_a_trained_model_cannot_be_graded(tmp_path):
    with pytest.raises(ValueError, match=r"6\.4 cannot be graded: its answer is a trained model"):
        grading.grade(tmp_path, tmp_path / "out", ["6.4"])


@pytest.fixture(scope="module")
def nursery_of_all():
    """The libraries, imported once for all lectures, as for all of a class."""
    with nursery.nurseries(1, ["numpy", "torch", "torch._dynamo"]):
        yield


@pytest.fixture(scope="module")
def solved():
    """All solutions, as they would be handed in."""
    return submission.from_notebooks(HERE.parent / "solutions", "")


@needs_sandbox
@pytest.mark.usefixtures("nursery_of_all")
@pytest.mark.parametrize("lecture", checks.LECTURES)
def test_the_solutions_get_full_marks_in_the_sandbox(lecture, solved):
    """Which an adapter or a solution that needs more than the sandbox has would not."""
    mine = [e for e in checks.exercises(lecture) if e.handed_in]
    for exercise, outcomes in marking.mark(solved, mine):
        assert [o.status for o in outcomes] == ["passed"] * len(outcomes), (
            exercise.number,
            outcomes,
        )


@pytest.mark.parametrize("lecture", checks.LECTURES)
def test_the_solutions_pass_whatever_inputs_are_drawn(lecture, solved):
    """Or an honest answer would lose marks by bad luck when the grader draws its seed."""
    for exercise in checks.exercises(lecture):
        if exercise.takes or not exercise.handed_in:  # seconds for one seed, or no source
            continue
        answers = define(solved.exercises[exercise.number], exercise.answers)
        for seed in range(100, 120):
            for outcome in checking.examine(exercise, answers, seed):
                assert outcome.status == "passed", (exercise.number, seed, outcome)
