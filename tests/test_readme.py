"""The README says what is there: counts, minutes, and a line for each file and folder."""

import re

import nbformat
import pytest

from zerotohero.course import checks, notebooks

TIMES = {
    "½ min": "half a minute",
    "1 min": "about a minute",
    "1¼ min": "a minute and a quarter",
    "1½ min": "a minute and a half",
    "1 h": "an hour",
    "1½ h": "an hour and a half",
    "2 h": "two hours",
    "2½ h": "two and a half hours",
}


@pytest.fixture
def readme(root) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


def row(readme: str, lecture: str) -> list[str]:
    """The cells of a lecture's row in the curriculum."""
    line = next(line for line in readme.splitlines() if f"](lectures/{lecture}.ipynb)" in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_counts_and_minutes_of_exercises_are_generated(readme):
    assert notebooks.fill_readme(readme) == readme, "run make exercises"
    stale = re.sub(r"\[\w+\](\(exercises/.*) \d+ min \|", r"[no]\1 1 min |", readme)
    assert stale != readme
    assert notebooks.fill_readme(stale) == readme


@pytest.mark.parametrize("lecture", checks.LECTURES)
def test_a_lecture_takes_as_long_in_the_readme_as_on_its_first_page(root, readme, lecture):
    name = checks.file_name(lecture)
    *_, runs, reading, _ = row(readme, name)
    first = nbformat.read(root / "lectures" / f"{name}.ipynb", 4).cells[0].source
    time = " ".join(re.search(r"\*\*Time:\*\*(.*?)\*\*You need", first, re.S)[1].split())
    assert f"about {TIMES[reading]}" in time
    assert re.search(rf"run in .*?{TIMES[runs]}.* on two CPU cores", time), time
