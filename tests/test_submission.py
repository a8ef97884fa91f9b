"""Collecting answers from cells, and the file that is handed in."""

import json
import os

import pytest

from zerotohero.course import checks, submission, submitting
from zerotohero.course.collecting import History
from zerotohero.course.submission import NotASubmission, Submission, read


def test_a_file_comes_back_as_it_was_written(tmp_path):
    mine = Submission("Ada Ω", {"1.1": "def f():\n    return 'é'\n"})
    mine.write(tmp_path / "s.json")
    assert read(tmp_path / "s.json") == mine
    assert os.listdir(tmp_path) == ["s.json"]


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        Submission("", {}).write(tmp_path / "file" / "s.json")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"   \n", "empty"),
        (b"{", "broken"),
        (b"\xff\xfe\x00", "broken"),
        (b"[" * 100_000, "broken"),
        (b"[]", "not the file"),
        (b'{"format": "other"}', "not the file"),
        (json.dumps({"format": submission.FORMAT, "version": 99}).encode(), "version 99"),
        (json.dumps({"format": submission.FORMAT, "version": 1}).encode(), "not numbers with"),
        (
            json.dumps(
                {"format": submission.FORMAT, "version": 1, "exercises": {"1.1": 3}}
            ).encode(),
            "not numbers with",
        ),
        (b"x" * (submission.MAX_BYTES + 1), "larger than"),
    ],
)
def test_what_is_not_a_submission_is_refused_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "s.json"
    path.write_bytes(content)
    with pytest.raises(NotASubmission, match=reason):
        read(path)


def test_a_notebook_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "s.ipynb"
    path.write_text("{}")
    with pytest.raises(NotASubmission, match="submit"):
        read(path)


def test_a_folder_without_exercise_notebooks_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"01_micrograd\.ipynb"):
        submission.from_notebooks(tmp_path, "")


def test_a_broken_notebook_is_said(tmp_path):
    (tmp_path / "01_micrograd.ipynb").write_text("{")
    with pytest.raises(ValueError, match="not a notebook"):
        submission.from_notebooks(tmp_path, "")


def test_the_untouched_notebooks_hold_no_answers(root):
    mine = submission.from_notebooks(root / "exercises", "")
    assert mine.exercises and not [
        n for n in submission.answered_in(mine) if n not in {"1.5", "2.6", "7.5"}
    ], "all but those that start from code that runs are stubs"


def test_the_solutions_answer_everything(root):
    from zerotohero.course.checks import handed_in

    mine = submission.from_notebooks(root / "solutions", "")
    assert submission.answered_in(mine) == [e.number for e in handed_in()]
    assert sum(map(len, mine.exercises.values())) < submission.MAX_BYTES / 10


def test_a_trained_model_is_not_handed_in():
    """To collect it would be to collect its training, which the grader would run again."""
    history = History(["model = object()"])
    mine = submission.from_history(history, "", [checks.find("6.4")])
    assert mine.exercises == {}


def test_submit_outside_a_notebook_says_what_to_use(capsys):
    submitting.submit()
    assert "zerotohero submit" in capsys.readouterr().out
