"""The marks of a class as files: a `results.json` for each, as Gradescope reads them, `grades.csv`.

    marks.write(Path("grades"), grades, graded)      # one more is marked
    marks.earlier(Path("grades"))                    # what a run has left there, to go on with

Both files are whole at any time. What strangers wrote, names and files' names, is made harmless for
a terminal, for a page, and for whatever takes a line of CSV apart.
"""

import csv
import io
import json
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zerotohero.course.checking import Outcome
from zerotohero.course.exercise import Exercise
from zerotohero.course.files import read_unfollowed, write_whole
from zerotohero.course.marking import Marked

TABLE, RESULTS = "grades.csv", "results.json"
MAX_BYTES = 2**24  # of a file of results: a whole course is a hundredth of it


@dataclass
class Graded:
    """What one person has handed in, and what it is worth."""

    folder: Path  # the class's
    entry: str  # the name in it, of a file or of the person's folder
    id: str = ""  # the name of its folder in the results: from the entry, as names are claims
    path: Path | None = None  # the file that is marked; None if there is none
    file: str = ""  # its name below the class's folder, or else the entry, as it can be printed
    digest: str = ""  # of what is in it
    name: str = ""  # as written in the submission
    note: str = ""  # for the teacher: why nothing was marked, or which of several files was
    to_look_at: str = ""
    version: str = ""  # what to say if another version of the course wrote the submission
    marked: dict[str, Marked] = field(default_factory=dict)  # by the exercise's number
    seconds: float = 0.0
    complete: bool = False  # every exercise is marked

    @property
    def score(self) -> int:
        return sum(marked.score for marked in self.marked.values())

    @property
    def done(self) -> bool:
        """Whether it has its marks, for good."""
        return self.complete and not any(m.disturbed for m in self.marked.values())


@dataclass(frozen=True)
class Grades:
    """A folder, graded."""

    exercises: list[Exercise]
    seed: int  # of the inputs, with which the run can be repeated
    submissions: list[Graded]

    @property
    def points(self) -> int:
        return sum(exercise.points for exercise in self.exercises)


def write(out: Path, grades: Grades, graded: Graded) -> None:
    """Write one submission's results, and the table of all that are marked so far."""
    text = json.dumps(_results(graded, grades), indent=1, ensure_ascii=False)
    _write(out / graded.id / RESULTS, f"{text}\n")
    write_table(out, grades)


def write_table(out: Path, grades: Grades) -> None:
    """Write `grades.csv`: a row for each that has marks, a column an exercise."""
    numbers = [exercise.number for exercise in grades.exercises]
    # "1.1" alone would be a date or a number to a spreadsheet, and 1.10 the same number.
    columns = [f"exercise {number}" for number in numbers]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    header = ["id", "file", "name", "score", "max_score", *columns, "to look at", "note"]
    table.writerow(header)
    for graded in grades.submissions:
        if graded.complete:
            scores = [graded.marked[number].score for number in numbers]
            who = [_cell(text) for text in (graded.id, graded.file, graded.name)]
            note = " ".join(filter(None, [graded.note, graded.version]))
            notes = [_cell(text) for text in (graded.to_look_at, note)]
            table.writerow([*who, graded.score, grades.points, *scores, *notes])
    _write(out / TABLE, text.getvalue())


def _results(graded: Graded, grades: Grades) -> dict[str, Any]:
    """Return one submission's results, as Gradescope reads them; extra_data is for the teacher."""
    tests = []
    for exercise in grades.exercises:
        for outcome in graded.marked[exercise.number].outcomes:
            tests.append(
                {
                    "number": exercise.number,
                    "name": _test_name(exercise, outcome),
                    "score": outcome.points,
                    "max_score": outcome.case.points,
                    "status": "passed" if outcome.status == "passed" else "failed",
                    "output": _explained(outcome),
                }
            )
    score = f"{graded.score} of {grades.points} points. {graded.version}".strip()
    return {
        "score": graded.score,
        "output": _clean(graded.note if graded.path is None else score),
        "execution_time": round(graded.seconds, 1),
        "tests": tests,
        "extra_data": {
            "name": _clean(graded.name),
            "max_score": grades.points,
            "seed": grades.seed,
            "file": graded.file,
            "digest": graded.digest if graded.done else "",
            "to look at": graded.to_look_at,
            "version": graded.version,
        },
    }


def _test_name(exercise: Exercise, outcome: Outcome) -> str:
    return f"{exercise.number} {exercise.title}: {outcome.case.name}"


def _explained(outcome: Outcome) -> str:
    lines = [outcome.message]
    lines += [f"where: {outcome.where}"] if outcome.where else []
    lines += [f"hint: {outcome.hint}"] if outcome.hint else []
    return "\n".join(_clean(line) for line in lines)


def _clean(text: str) -> str:
    """Return a stranger's text without what a terminal, a page or an encoding would trip over."""
    return "".join(c if c.isprintable() else " " for c in text[:1000])


_SEPARATORS = str.maketrans({";": ",", "|": "/", '"': "'"})
_FORMULA = re.compile(r"(^|,)\s*(?=[=+\-@＝＋－＠])")


def _cell(text: str) -> str:
    """Return a cell of text that is one cell to every reader, and that no spreadsheet computes.

    Those that take lines apart at `;`, a tab or `|`, and those that know no quotes, find nothing
    there that begins like a formula.
    """
    text = _clean(text).translate(_SEPARATORS).strip()
    return _FORMULA.sub(r"\1'", text)


def _write(path: Path, text: str) -> None:
    # Excel knows a file in UTF-8 by its mark.
    write_whole(path, text.encode("utf-8-sig" if path.suffix == ".csv" else "utf-8"))


# --- what is there already ----------------------------------------------------------------------


def are_marks(path: Path, depth: int = 2) -> bool:
    """Return whether a file or a folder is what a run has made, under whatever name it was."""
    try:
        if stat.S_ISREG(os.lstat(path).st_mode):
            return path.suffix == ".csv" and _is_table(path)
        if _is_table(path / TABLE) or _read_results(path / RESULTS) is not None:
            return True
        inside = [path / name for name in os.listdir(path)]
    except OSError:
        return False
    return depth > 0 and bool(inside) and all(are_marks(below, depth - 1) for below in inside)


def _is_table(path: Path) -> bool:
    return re.match(r"id[,;\t]", _text(path)) is not None


def _text(path: Path) -> str:
    try:
        data = read_unfollowed(path, path.parent, MAX_BYTES)
    except OSError:
        return ""
    return data.decode("utf-8-sig", errors="replace")


def _read_results(path: Path) -> dict[str, Any] | None:
    """Return a file of results, or None if there is none or it isn't ours."""
    try:
        results = json.loads(read_unfollowed(path, path.parent, MAX_BYTES))
        tests, extra = results["tests"], results["extra_data"]
        whole = isinstance(extra["seed"], int) and isinstance(extra["max_score"], int)
        whole = whole and all(isinstance(test["output"], str) for test in tests)
        return results if whole else None
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Earlier:
    """What runs have left in a folder."""

    results: dict[str, dict[str, Any]]  # by id
    seed: int
    numbers: list[str]  # of the exercises

    def ids(self) -> dict[str, str]:
        """Return the ids that were given, by the printable entry of the class's folder."""
        files = {id: r["extra_data"].get("file", "") for id, r in self.results.items()}
        return {file.split("/")[0]: id for id, file in files.items() if file}

    def restore(self, graded: Graded, exercises: Sequence[Exercise]) -> None:
        """Give a submission the marks that it has there, if it is what was marked.

        Raises ValueError if the exercises have changed since.
        """
        results = self.results.get(graded.id)
        extra = results["extra_data"] if results else {}
        if graded.path is None or extra.get("digest") != graded.digest:
            return
        tests, marked = iter(results["tests"]), {}
        for exercise in exercises:
            outcomes = []
            for case in exercise.cases:
                test = next(tests, {})
                passed = test.get("status") == "passed"
                outcome = Outcome(case, "passed" if passed else "wrong", test.get("output", ""))
                asked = (test.get("name"), test.get("max_score"))
                if asked != (_test_name(exercise, outcome), case.points):
                    raise ValueError(
                        f"{exercise.number} is not what it was when {graded.id} was marked; mark "
                        "them all again, and name another folder with --out."
                    )
                outcomes.append(outcome)
            marked[exercise.number] = Marked(exercise.number, outcomes)
        graded.marked, graded.complete, graded.name = marked, True, extra["name"]
        graded.to_look_at = extra.get("to look at", "")
        graded.version = extra.get("version", "")
        graded.seconds = results.get("execution_time", 0.0)


def earlier(out: Path) -> Earlier | None:
    """Return what runs have left in `out`; None if there are no marks.

    Raises ValueError if there is something that must not be overwritten, or the marks of two runs.
    """
    try:
        names = sorted(os.listdir(out))
    except OSError:  # it isn't there, or isn't a folder, which is found when it is written to
        return None
    if TABLE in names and not _is_table(out / TABLE):
        raise ValueError(
            f"{out / TABLE} is not a table of marks that grade has written, or can't be read; "
            "name another folder with --out."
        )
    found = {name: _read_results(out / name / RESULTS) for name in names}
    results = {name: its for name, its in found.items() if its is not None}
    seeds = {its["extra_data"]["seed"] for its in results.values()}
    asked = {tuple(dict.fromkeys(t["number"] for t in its["tests"])) for its in results.values()}
    if len(seeds) > 1 or len(asked) > 1:
        raise ValueError(
            f"{out} holds marks of several runs, with other inputs or exercises; name another "
            "folder with --out."
        )
    if not results and _text(out / TABLE).count("\n") > 1:
        raise ValueError(
            f"{out / TABLE} holds marks, but the results that were beside it are gone; name "
            "another folder with --out."
        )
    return Earlier(results, seeds.pop(), list(asked.pop())) if results else None


def is_in_the_way(place: Path) -> bool:
    """Return whether something stands where the folder of one submission's results must go."""
    if not os.path.lexists(place):
        return False
    return not stat.S_ISDIR(os.lstat(place).st_mode) or os.path.lexists(place / RESULTS)
