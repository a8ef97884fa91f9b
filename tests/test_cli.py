"""The command line as a user types it: what it prints, and that no mistake shows a traceback."""

import json
import shutil
import subprocess
import sys

import pytest

from patience import patience
from zerotohero.course import checks, marking, progress


def zerotohero(*arguments: str, cwd) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from zerotohero.course.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=patience(30))


@pytest.fixture
def class_room(tmp_path, root):
    """A folder with the exercise notebooks, 1.1 answered wrongly and 1.3 rightly."""
    shutil.copytree(root / "exercises", tmp_path / "exercises")
    path = tmp_path / "exercises" / "01_micrograd.ipynb"
    notebook = json.loads(path.read_text())
    solutions = json.loads((root / "solutions" / "01_micrograd.ipynb").read_text())
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if "def numerical_gradient(" in text:
            cell["source"] = "def numerical_gradient(*anything, **else_):\n    return 1, 2, 3"
        for solved in solutions["cells"]:
            name = checks.find("1.3").answers[0]
            if f"def {name}(" in text and f"def {name}(" in "".join(solved["source"]):
                cell["source"] = solved["source"]
    path.write_text(json.dumps(notebook))
    return tmp_path


def test_help_names_the_commands(tmp_path):
    said = zerotohero("--help", cwd=tmp_path)
    assert said.returncode == 0
    for command in ("doctor", "check", "submit", "grade", "data"):
        assert command in said.stdout


def test_check_shows_progress_over_all_exercises(class_room):
    said = zerotohero("check", cwd=class_room)
    assert said.returncode == 0, said.stderr
    lines = {line.split()[1]: line for line in said.stdout.splitlines() if line[:1] in set("✓·✗")}
    assert set(lines) == {e.number for e in checks.handed_in()}
    assert lines["1.1"][0] == "✗" and lines["1.3"][0] == "✓" and lines["1.4"][0] == "·"
    assert "exercises done" in said.stdout


def test_check_makes_no_questions_for_what_is_not_answered(class_room, monkeypatch, capsys):
    """All questions together take ten times as long to make as the answers of a beginner."""
    asked, ask = [], marking.Asked
    monkeypatch.setattr(marking, "Asked", lambda e, seed: asked.append(e.number) or ask(e, seed))
    progress.show(class_room / "exercises", ["1.1", "1.3", "1.4", "8.10"])
    assert asked == ["1.1", "1.3"]
    assert capsys.readouterr().out.count("not yet: ") == 2


def test_check_of_one_exercise_says_what_is_wrong(class_room):
    said = zerotohero("check", "1.1", cwd=class_room)
    assert "✗ 0/" in said.stdout and "expected" in said.stdout and "Traceback" not in said.stdout


def test_submit_writes_one_file_that_grade_marks(class_room):
    said = zerotohero("submit", "--name", "Ada", "--out", "ada.json", cwd=class_room)
    assert said.returncode == 0, said.stderr
    assert "✗ 1.1" in said.stdout and "✓ 1.3" in said.stdout, "what is handed in is tried"
    handed_in = said.stdout.splitlines()[-1]
    assert "1.1" in handed_in and "1.3" in handed_in and "1.4" not in handed_in
    handed_in = class_room / "handed-in"
    handed_in.mkdir()
    (class_room / "ada.json").rename(handed_in / "ada.json")
    said = zerotohero(
        "grade", "handed-in", "--only", "1.1,1.3", "--seed", "5", "--no-sandbox", cwd=class_room
    )
    assert said.returncode == 0, said.stderr
    results = json.loads((class_room / "grades" / "ada" / "results.json").read_text())
    right = checks.find("1.3").points
    assert results["score"] == right
    assert "Ada" in (class_room / "grades" / "grades.csv").read_text(encoding="utf-8-sig")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("check",), "no exercise notebooks"),
        (("check", "9.99"), "no exercise 9.99"),
        (("check", "6.4"), "6.4 is checked only in its notebook"),
        (("submit",), "no exercise notebooks"),
        (("grade", "nowhere"), "not a folder"),
        (("grade", ".", "--only", "x"), "no exercise x"),
        (("grade", ".", "--only", ","), "No exercise is named; say --only 1.1,1.2"),
        (("grade", ".", "--only", ""), "No exercise is named; say --only 1.1,1.2"),
        (("grade", ".", "--only", "6.4"), "its answer is a trained model"),
        (("grade", ".", "--out", "."), "The marks can't go among the submissions"),
        (("grade", "."), "There is nothing to grade in ."),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, arguments, sentence):
    said = zerotohero(*arguments, cwd=tmp_path)
    assert said.returncode == 1
    assert sentence in said.stderr
    assert len(said.stderr.strip().splitlines()) == 1, said.stderr


def test_submit_can_write_without_a_trial(class_room):
    said = zerotohero("submit", "--no-run", cwd=class_room)
    assert said.returncode == 0 and "✓" not in said.stdout, said.stdout
    assert (class_room / "zerotohero-submission.json").exists()


def test_nothing_answered_is_said_and_nothing_written(tmp_path):
    source = "def numerical_gradient(f, a, b, c):\n    raise NotImplementedError"
    notebook = {"cells": [{"cell_type": "code", "source": source}]}
    (tmp_path / "exercises").mkdir()
    (tmp_path / "exercises" / "01_micrograd.ipynb").write_text(json.dumps(notebook))
    said = zerotohero("submit", "--out", "mine.json", cwd=tmp_path)
    assert said.returncode == 1 and "Nothing is answered yet" in said.stderr
    assert not (tmp_path / "mine.json").exists()


def test_data_prints_where_the_files_are(tmp_path):
    said = zerotohero("data", cwd=tmp_path)
    assert said.returncode == 0 and "names.txt" in said.stdout, said.stderr


def test_doctor_answers(tmp_path):
    said = zerotohero("doctor", cwd=tmp_path)
    assert said.returncode in (0, 1) and "OK" in said.stdout and "Traceback" not in said.stderr
