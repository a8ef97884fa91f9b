"""The table of marks: one cell to every reader, and no formula, whatever a name holds."""

import csv
import io
import itertools
import json
from pathlib import Path

import pytest

from grading.class_room import exercises_of_the_tests
from zerotohero.course import checks, marks
from zerotohero.course.checking import Outcome
from zerotohero.course.marking import Marked
from zerotohero.course.marks import Graded, Grades

FORMULAS = ("=1+1", "+1", "-1", "@SUM(1)", "＝1+1", "＋1", "－1", "＠SUM(1)", "=cmd|' /C calc'!A0")
NAMES = [
    *FORMULAS,
    *(
        f"{before}{formula}"
        for before in ("\t", "\r", "\n", " ", "\u00a0", "\u200b", "\ufeff", "\0")
        for formula in ("=1+1", "@x")
    ),
    "Ada;=1+1",
    "Ada; =1+1",
    "Ada\t=1+1",
    "Ada|=1+1",
    "Ada,=1+1",
    "Ada, @x",
    'Ada",=1+1',
    'Ada",""=1+1',
    '"=1+1"',
    '";=1+1;"',
    "Ada\r\n=1+1",
    'Ada\n"\n=1+1,99',
    "Lovelace, Ada",
    "O'Neill",
    "'=1+1",
    "=" * 1000,
    ",=" * 500,
]


@pytest.fixture
def write(tmp_path):
    """Write the table of people with these names, all right in exercise 1.2."""
    with exercises_of_the_tests():
        exercise = checks.find("1.2")

        def table(names: list[str]) -> str:
            people = []
            for i, name in enumerate(names):
                outcomes = [Outcome(case, "passed") for case in exercise.cases]
                graded = Graded(Path("in"), f"{i}.json", f"s{i}", Path(f"in/{i}.json"), f"{i}.json")
                graded.name, graded.note, graded.file = name, name, f"{name}.json"
                graded.marked = {"1.2": Marked("1.2", outcomes)}
                graded.complete = True
                people.append(graded)
            marks.write_table(tmp_path, Grades([exercise], 1, people))
            return (tmp_path / "grades.csv").read_text(encoding="utf-8-sig")

        yield table


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_NONE])
def test_no_reader_of_any_dialect_finds_a_formula(write, name, delimiter, quoting):
    text = write([name, "Bob"])
    assert len(text.splitlines()) == 3 and "\t" not in text
    rows = list(csv.reader(io.StringIO(text), delimiter=delimiter, quoting=quoting))
    assert len(rows) == 3
    for cell in itertools.chain(*rows):
        assert cell.strip(' "')[:1] not in set("=+-@＝＋－＠"), cell
    if delimiter != ",":
        assert all(len(row) == 1 for row in rows)  # no name makes a second cell
    elif quoting == csv.QUOTE_MINIMAL:
        assert [len(row) for row in rows] == [8] * 3
        assert [row[3:6] for row in rows[1:]] == [["2", "2", "2"]] * 2


def test_what_is_harmless_stays_as_it_is(write):
    names = ["Ada", "王小明", "Zoë Strauß", "Lovelace, Ada", "O'Neill", "a-b+c=d@e", "Ñandú №5"]
    rows = list(csv.DictReader(io.StringIO(write(names))))
    assert [row["name"] for row in rows] == names
    assert [row["file"] for row in rows] == [f"{name}.json" for name in names]


def test_the_columns_are_text_to_a_spreadsheet(write):
    """A column called 1.1 is the first of January there, and 1.10 is 1.1."""
    header = write(["Ada"]).splitlines()[0].split(",")
    assert header == [
        *("id", "file", "name", "score", "max_score", "exercise 1.2", "to look at", "note")
    ]


def test_results_are_text_that_a_page_and_a_terminal_bear(tmp_path):
    with exercises_of_the_tests():
        exercise = checks.find("1.2")
        bad = Outcome(exercise.cases[0], "wrong", "\x1b[31m\u202egot \ud800", "line\n1", "hint\0")
        graded = Graded(Path("in"), "a", "a", Path("in/a"), "a", "", "\x1b]0;\ud800")
        graded.marked, graded.complete = {"1.2": Marked("1.2", [bad])}, True
        marks.write(tmp_path, Grades([exercise], 1, [graded]), graded)
    results = json.loads((tmp_path / "a" / "results.json").read_text(encoding="utf-8"))
    assert results["tests"][0]["output"] == " [31m got  \nwhere: line 1\nhint: hint "
    assert results["extra_data"]["name"] == " ]0; "
