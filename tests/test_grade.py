"""A teacher's evening with `grade`: what is asked, what is there already, what comes between."""

import csv
import errno
import json
import multiprocessing
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

import zerotohero
from grading.class_room import exercises_of_the_tests, hand_in
from grading.hostile import HONEST
from zerotohero.course import checks, files, grading, handed_in, marks
from zerotohero.course.checking import Outcome
from zerotohero.course.marking import Marked
from zerotohero.course.submission import read

RIGHT = {"1.2": HONEST["1.2"]}
WRONG = {"1.2": "def shout(word):\n    return word\n"}


def by_the_source(submission, asked, sandboxed, slot):
    """Mark in no time, in place of the workers: what is said of an answer stands in its source."""
    for exercise in (a.exercise for a in asked):
        source = submission.exercises.get(exercise.number, "")
        if "while True" in source:
            time.sleep(600)
        status = "passed" if "upper()" in source else "wrong"
        outcomes = [Outcome(case, status) for case in exercise.cases]
        yield Marked(exercise.number, outcomes, disturbed="os.kill" in source)


@pytest.fixture(autouse=True)
def trial(request):
    with exercises_of_the_tests() as patch:
        if "in_workers" not in request.fixturenames:
            patch.setattr(grading, "_START", "fork")
            patch.setattr(grading, "marked", by_the_source)
        yield patch


@pytest.fixture
def in_workers():
    """For a test in which answers really run."""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "handed-in"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "grades"


def grade(folder, out, only=("1.2",), **options):
    return grading.grade(folder, out, only, sandbox=False, **options)


def table(out):
    with (out / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def scores(out):
    return {id: int(row["score"]) for id, row in table(out).items()}


def watch(monkeypatch) -> list[str]:
    """The ids of those that are marked from now on, in order."""
    seen, mark = [], grading._all_graded

    def watched(todo, *rest):
        seen.extend(graded.id for graded in todo)
        yield from mark(todo, *rest)

    monkeypatch.setattr(grading, "_all_graded", watched)
    return seen


def stop_after(monkeypatch, n: int, error: BaseException) -> None:
    """Raise the error when so many are marked and written."""
    write = marks.write

    def writing(out, grades, graded):
        if sum(g.complete for g in grades.submissions) > n:
            raise error
        write(out, grades, graded)

    monkeypatch.setattr(grading.marks, "write", writing)


# --- what is asked ------------------------------------------------------------------------------


def test_an_exercise_that_is_named_twice_counts_once(folder, out):
    hand_in(folder, "ada", RIGHT)
    grades = grade(folder, out, ["1.2", "1.4", "1.2"])
    assert (grades.points, grades.submissions[0].score) == (6, 2)
    assert list(table(out)["ada"])[5:7] == ["exercise 1.2", "exercise 1.4"]


def test_no_exercise_is_an_error_and_not_all_of_them(folder, out):
    hand_in(folder, "ada", RIGHT)
    with pytest.raises(ValueError, match="No exercise is named"):
        grade(folder, out, [])
    assert not out.exists()


@pytest.mark.parametrize(
    "what", ["nothing", "other files", "a folder of folders", "only litter", "marks"]
)
def test_without_a_submission_nothing_is_written(folder, out, what):
    if what == "other files":
        (folder / "notes.txt").write_text("Hello")
        (folder / "ada").mkdir()
        (folder / "ada" / "01_micrograd.ipynb").write_text("{}")
    elif what == "a folder of folders":
        hand_in(folder / "export" / "deep", "ada", RIGHT)
    elif what == "only litter":
        (folder / "Thumbs.db").write_text("")
    elif what == "marks":
        (folder / "monday").mkdir()
        (folder / "monday" / "grades.csv").write_text("id,file,name\n")
    says = {
        "marks": f"There is nothing to grade in {folder} but marks of an earlier run: monday.",
        "nothing": f"There is nothing to grade in {folder}.",
        "only litter": f"There is nothing to grade in {folder}.",
        "other files": f"None of the 2 files and folders in {folder} is a submission, or holds one "
        "directly in it. The first, ada: 01_micrograd.ipynb: This is a notebook; hand in the file "
        "that submit() writes.",
        "a folder of folders": f"None of the 1 files and folders in {folder} is a submission, or "
        "holds one directly in it. The first, export: deep: This is not a file but a folder.",
    }[what]
    with pytest.raises(ValueError, match=re.escape(says)):
        grade(folder, out)
    assert not out.exists()


# --- where the marks go -------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["below a file", "full", "a file"])
def test_where_nothing_can_be_written_is_found_before_the_first_file(folder, out, what, trial):
    hand_in(folder, "ada", RIGHT)
    marked = watch(trial)
    if what == "full":

        def full(path, content):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

        trial.setattr(marks, "write_whole", full)
    else:
        out.write_text("not a folder")
        out = out / "below" if what == "below a file" else out
    with pytest.raises(ValueError, match=r"can't be written to .*Name another folder with --out"):
        grade(folder, out)
    assert marked == []


@pytest.mark.parametrize("name", ["grades", "week 1/grades"])
def test_marks_inside_the_folder_of_submissions_are_never_marked(folder, name, capsys):
    hand_in(folder, "ada", RIGHT)
    grade(folder, folder / name)
    grade(folder, folder / "second")
    grade(folder, folder / name, resume=True)
    assert scores(folder / name) == scores(folder / "second") == {"ada": 2}
    assert (
        f"Passed over, as marks of an earlier run: {name.split('/')[0]}." in capsys.readouterr().out
    )


def test_marks_that_are_there_are_not_overwritten(folder, out):
    hand_in(folder, "ada", RIGHT)
    grade(folder, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    hand_in(folder, "ada", WRONG)
    with pytest.raises(
        ValueError, match=r"holds the marks of 1 already; .* --resume .*, or .* --out"
    ):
        grade(folder, out)
    (out / "ada" / "results.json").unlink()
    with pytest.raises(ValueError, match="the results that were beside it are gone"):
        grade(folder, out)
    assert (out / "grades.csv").read_bytes() == before[out / "grades.csv"]


@pytest.mark.parametrize("theirs", ["grades.csv", "ada", "ada/results.json"])
def test_what_is_not_ours_is_not_overwritten(folder, out, theirs):
    hand_in(folder, "ada", RIGHT)
    (out / theirs).parent.mkdir(parents=True)
    (out / theirs).write_text("mine, not yours\n")
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"with --out"):
            grade(folder, out, resume=resume)
    assert [path for path in out.rglob("*") if path.is_file()] == [out / theirs]
    assert (out / theirs).read_text() == "mine, not yours\n"


def test_other_things_beside_the_marks_stay(folder, out):
    hand_in(folder, "ada", RIGHT)
    (out / "notes").mkdir(parents=True)
    (out / "notes" / "monday.txt").write_text("Rain")
    (out / "ada").mkdir()  # left by a run that was stopped between folder and file
    grade(folder, out)
    assert (out / "notes" / "monday.txt").read_text() == "Rain" and scores(out) == {"ada": 2}


# --- what comes between -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (KeyboardInterrupt(), "Stopped. 3 of 7 are marked, in "),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "The marks of s3 can't be written to .*: No space left on device. 3 of 7 are marked, ",
        ),
    ],
)
def test_what_is_done_when_it_stops_is_whole_and_the_rest_can_be_added(
    folder, out, error, says, trial, capsys
):
    for i in range(7):
        hand_in(folder, f"s{i}", WRONG if i % 2 else RIGHT)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 3, error)
        with pytest.raises((KeyboardInterrupt, ValueError)) as raised:
            grade(folder, out, jobs=1, seed=77)
    said = capsys.readouterr().out + str(raised.value)
    assert re.search(says, said) and "run the same command with --resume" in said
    assert scores(out) == {"s0": 2, "s1": 0, "s2": 2}
    marked = watch(trial)
    grades = grade(folder, out, None, resume=True)
    assert marked == ["s3", "s4", "s5", "s6"]
    assert grades.seed == 77 and [e.number for e in grades.exercises] == ["1.2"]
    assert scores(out) == {f"s{i}": 0 if i % 2 else 2 for i in range(7)}
    assert "Grading 4 files with seed 77; 3 have their marks already." in capsys.readouterr().out


def test_the_table_is_whole_at_any_time(folder, out, trial):
    for i in range(4):
        hand_in(folder, f"s{i}", RIGHT)
    seen, write = [], files.os.replace

    def replaced(source, target):
        write(source, target)
        seen.append(
            (Path(target).name, len(table(out)) if Path(target).name == "grades.csv" else None)
        )

    trial.setattr(files.os, "replace", replaced)
    grade(folder, out, jobs=1)
    results = [("results.json", None)]
    assert seen == [("grades.csv", 0)] + [
        step for n in (1, 2, 3, 4) for step in (*results, ("grades.csv", n))
    ]


def test_a_real_interrupt_leaves_a_whole_table_and_nothing_running(folder, out, trial):
    for i in range(3):
        hand_in(folder, f"s{i}", RIGHT)
    hand_in(folder, "s3", {"1.2": "def shout(word):\n    while True: pass\n"})
    write = marks.write

    def writing(out, grades, graded):
        write(out, grades, graded)
        if sum(g.complete for g in grades.submissions) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    trial.setattr(grading.marks, "write", writing)
    with pytest.raises(KeyboardInterrupt):
        grade(folder, out, jobs=2)
    assert scores(out) == {"s0": 2, "s1": 2, "s2": 2}
    assert not multiprocessing.active_children()


# --- going on -----------------------------------------------------------------------------------


def test_only_what_is_new_or_changed_is_marked_again(folder, out, trial, capsys):
    hand_in(folder, "same", RIGHT)
    hand_in(folder, "changed", WRONG)
    hand_in(folder, "saved again", RIGHT)
    (folder / "broken.json").write_text("{")
    grade(folder, out, seed=5)
    first = (out / "same" / "results.json").read_bytes()

    hand_in(folder, "changed", RIGHT)
    hand_in(folder, "new", RIGHT)
    path = folder / "saved again.json"
    path.write_bytes(path.read_text().replace("\n", "\r\n").encode("utf-16"))
    marked = watch(trial)
    grades = grade(folder, out, resume=True)
    assert sorted(marked) == ["broken", "changed", "new"]
    assert scores(out) == {"broken": 0, "changed": 2, "new": 2, "same": 2, "saved_again": 2}
    assert [g.score for g in grades.submissions] == [0, 2, 2, 2, 2]
    assert (out / "same" / "results.json").read_bytes() == first
    assert "2 have their marks already" in capsys.readouterr().out


def test_a_resubmission_in_a_persons_folder_is_marked_under_the_same_id(folder, out):
    hand_in(folder, "ada/mine", WRONG)
    grade(folder, out)
    hand_in(folder, "ada/mine (1)", RIGHT)
    grade(folder, out, resume=True)
    row = table(out)["ada"]
    assert (row["score"], row["file"]) == ("2", "ada/mine (1).json")
    assert row["note"] == "mine (1).json was marked, the newest of several: not mine.json."
    assert len(table(out)) == 1


def test_ids_stay_when_someone_comes_who_would_have_taken_one(folder, out):
    hand_in(folder, "a ", RIGHT)
    grade(folder, out)
    hand_in(folder, "a", WRONG)
    grade(folder, out, resume=True)
    assert {row["file"]: (id, row["score"]) for id, row in table(out).items()} == {
        "a .json": ("a", "2"),
        "a.json": ("a-2", "0"),
    }


def test_who_is_no_longer_there_does_not_stay_unnoticed(folder, out, capsys):
    for name in ("ada", "bob", "eve"):
        hand_in(folder, name, RIGHT)
    grade(folder, out)
    (folder / "bob.json").unlink()
    (folder / "eve.json").unlink()
    grade(folder, out, resume=True)
    assert f"No longer in {folder}, so not in grades.csv: bob, eve." in capsys.readouterr().out
    assert list(table(out)) == ["ada"] and (out / "bob" / "results.json").exists()


def test_one_goes_on_with_the_same_seed_and_exercises_alone(folder, out):
    hand_in(folder, "ada", RIGHT)
    grade(folder, out, seed=5)
    before = (out / "ada" / "results.json").read_bytes()
    with pytest.raises(ValueError, match=r"made with seed 5, .* leave out --seed"):
        grade(folder, out, seed=6, resume=True)
    with pytest.raises(ValueError, match=r"are for 1\.2, .* leave out --only"):
        grade(folder, out, ["1.2", "1.4"], resume=True)
    assert grade(folder, out, ["1.2"], seed=5, resume=True).seed == 5
    assert (out / "ada" / "results.json").read_bytes() == before


def test_one_does_not_go_on_with_exercises_that_have_changed(folder, out, trial):
    hand_in(folder, "ada", RIGHT)
    grade(folder, out)
    trial.setattr(checks.find("1.2"), "title", "Another")
    with pytest.raises(ValueError, match=r"1\.2 is not what it was when ada was marked"):
        grade(folder, out, resume=True)


def test_one_does_not_go_on_with_the_marks_of_two_runs(folder, out):
    hand_in(folder, "ada", RIGHT)
    grade(folder, out, seed=1)
    hand_in(folder, "bob", RIGHT)
    grade(folder, out.parent / "other", seed=2)
    shutil.copytree(out.parent / "other" / "bob", out / "bob")
    with pytest.raises(ValueError, match="holds marks of several runs"):
        grade(folder, out, resume=True)


def test_to_go_on_where_nothing_is_yet_is_to_begin(folder, out, capsys):
    hand_in(folder, "ada", RIGHT)
    grade(folder, out, resume=True)
    assert f"There are no marks in {out} yet" in capsys.readouterr().out
    assert scores(out) == {"ada": 2}


def test_what_was_disturbed_and_not_marked_again_is_marked_when_one_goes_on(folder, out, trial):
    """As when the run is stopped before those that were killed have had their second turn."""
    hand_in(folder, "ada", {"1.2": "os.kill(os.getpid(), 9)"})
    mark = grading._all_graded

    def once(todo, asked, sandboxed, jobs):
        if todo[0].complete:
            raise KeyboardInterrupt
        yield from mark(todo, asked, sandboxed, jobs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grading, "_all_graded", once)
        with pytest.raises(KeyboardInterrupt):
            grade(folder, out)
    marked = watch(trial)
    grade(folder, out, resume=True)
    assert marked[0] == "ada"


# --- the rows -----------------------------------------------------------------------------------


def test_what_takes_the_place_of_a_file_meanwhile_is_a_row_with_a_note(folder, out, trial):
    hand_in(folder, "ada", RIGHT)
    hand_in(folder, "bob", RIGHT)
    listed = handed_in.listed

    def then_swapped(*arguments):
        found = listed(*arguments)
        (folder / "ada.json").unlink()
        os.mkfifo(folder / "ada.json")
        return found

    trial.setattr(grading.handed_in, "listed", then_swapped)
    grade(folder, out)
    assert scores(out) == {"ada": 0, "bob": 2}
    assert "not a file but a pipe" in table(out)["ada"]["note"]
    assert (
        "not a file but a pipe" in json.loads((out / "ada" / "results.json").read_text())["output"]
    )


def test_each_row_names_its_file_and_what_to_look_at(folder, out, trial):
    trial.setattr(checks.find("1.3"), "look_for", ("threading",))
    hand_in(folder, "王小明", RIGHT)
    sly = "import threading, sys\ndef {}(x):\n    # gc\n    return sys._getframe(0)\n"
    hand_in(
        folder,
        "submission_7/zerotohero-submission",
        {
            "1.2": sly.format("shout"),
            "1.3": sly.format("softmax"),
            "1.4": "import gc" + " " * 60_000,
        },
    )
    grade(folder, out, ["1.2", "1.3", "1.4"])
    rows = table(out)
    assert rows["王小明"]["file"] == "王小明.json" and rows["王小明"]["to look at"] == ""
    mine = rows["submission_7"]
    assert mine["file"] == "submission_7/zerotohero-submission.json"
    assert mine["to look at"] == "1.2: _getframe, 1.3: threading _getframe"
    grade(folder, out, None, resume=True)
    assert table(out) == rows


def test_names_are_harmless_wherever_they_are_written(folder, out):
    names = {
        '=HYPERLINK("http://evil.example","marks")': "=cmd.json",
        "\ud800 \x1b[31m\r\n0,0,99": "a\nb;c|d.json",
        "Zoë Strauß": "Zoë.json",
        "Zoe": "Zoe.json",
        "grades": "grades.csv.json",
        "x" * 5000: "x" * 200 + ".json",
    }
    body = {"format": "zerotohero submission", "version": 1, "exercises": {}}
    for name, file in names.items():
        (folder / file).write_text(json.dumps(body | {"name": name}))
    os.rename(folder / "Zoe.json", os.fsencode(folder) + b"/Zo\xff.json")
    (folder / "..json").write_text("a hidden file, which is passed over")
    grade(folder, out)
    rows = {id: (row["name"], row["file"]) for id, row in table(out).items()}
    assert rows == {
        "cmd": ("'=HYPERLINK('http://evil.example','marks')", "'=cmd.json"),
        "a_b_c_d": ("[31m  0,0,99", r"a\nb,c/d.json"),
        "Zo": ("Zoe", r"Zo\xff.json"),
        "Zoë": ("Zoë Strauß", "Zoë.json"),
        "grades.csv-2": ("grades", "grades.csv.json"),
        "x" * 80: ("x" * 200, "x" * 200 + ".json"),
    }
    assert {path.name for path in out.iterdir()} == {"grades.csv", *rows}


def test_a_class_of_windows_moodle_and_macos_gets_its_marks(folder, out, in_workers):
    mine = hand_in(folder, "ada", RIGHT)
    for i, encoding in enumerate(("utf-8-sig", "utf-16", "utf-16-le")):
        (folder / f"s{i}.json").write_bytes(
            mine.read_text(encoding="utf-8").replace("\n", "\r\n").encode(encoding)
        )
    hand_in(folder, "Bob Byron_7_assignsubmission_file_/zerotohero-submission", RIGHT)
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._ada.json").write_bytes(b"\0\5\26\7")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf")
    (folder / "desktop.ini").write_text("[.ShellClassInfo]")
    grade(folder, out)
    assert scores(out) == dict.fromkeys(["Bob_Byron_7", "ada", "s0", "s1", "s2"], 2)
    assert read(folder / "s1.json").name == "ada"


def test_a_class_of_a_thousand_rows_is_written_in_no_time(out):
    """For the table is written again with each row."""
    exercise = checks.find("1.2")
    people = []
    for i in range(1000):
        graded = grading.Graded(Path("in"), f"s{i}.json", f"s{i}", Path("in"), f"s{i}.json")
        grading._fill(graded, [])
        graded.marked = {"1.2": Marked("1.2", [])}
        people.append(graded)
    began = time.process_time()
    marks.write_table(out, grading.Grades([exercise], 1, people))
    assert time.process_time() - began < 1
    assert len((out / "grades.csv").read_text(encoding="utf-8-sig").splitlines()) == 1001


def test_a_submission_of_an_older_version_is_marked_and_says_so(folder, out):
    now = zerotohero.__version__
    for name, course in {"ada": "0.0.9", "bob": now, "eve": "\n=1", "old": None}.items():
        path = hand_in(folder, name, RIGHT | ({"9.9": "x = 1"} if name == "ada" else {}))
        body = json.loads(path.read_text())
        assert body.pop("course") == now
        path.write_text(json.dumps(body | ({"course": course} if course is not None else {})))
    grade(folder, out)
    notes = {name: row["note"] for name, row in table(out).items()}
    assert notes == {
        "ada": f"Made with 0.0.9 of the course, marked with {now}. Not in it: 9.9.",
        "bob": "",
        "eve": f"Made with an older version of the course, marked with {now}.",
        "old": f"Made with an older version of the course, marked with {now}.",
    }
    assert set(scores(out).values()) == {2}
    output = json.loads((out / "ada" / "results.json").read_text())["output"]
    assert output == f"2 of 2 points. {notes['ada']}"
    hand_in(folder, "zoe", RIGHT)
    grade(folder, out, resume=True)
    assert {name: row["note"] for name, row in table(out).items()} == notes | {"zoe": ""}
