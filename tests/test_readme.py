"""The README says what is there: counts, minutes, and a line for each file and folder."""

import re
import subprocess
from pathlib import Path

import nbformat
import pytest

from zerotohero.course import checks, notebooks

TIMES = {
    "½ min": "half a minute",
    "1 min": "about a minute",
    "1¼ min": "a minute and a quarter",
    "1½ min": "a minute and a half",
    "3 min": "three minutes",
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


def in_the_tree(readme: str) -> dict[str, str]:
    """Paths of the tree under "How it is built", each with its remark."""
    block = re.search(r"## How it is built\n\n```\n(.*?)```", readme, re.S)[1]
    paths, folder = {}, ""
    for line in block.splitlines():
        indent, name, remark = re.fullmatch(r"( *)(\S+) +(\S.*)", line).groups()
        if not indent:
            folder = name
        paths[name if not indent else folder + name] = remark
    return paths


def test_the_tree_has_a_line_and_a_remark_for_each_file_and_folder(root, readme):
    tree = in_the_tree(readme)
    for path in tree:
        assert (root / path).exists(), f"{path} is gone"
        assert (root / path).is_dir() == path.endswith("/"), path
    tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True).stdout
    files = [Path(line) for line in tracked.splitlines()]
    if not files:
        pytest.skip("this is no git checkout")
    for folder in ("zerotohero", "zerotohero/training", "zerotohero/course"):
        here = {f for f in files if f.is_relative_to(folder)}
        names = {f.relative_to(folder).parts[0] for f in here}
        for name in names - {"__init__.py", "shakespeare_delta.json"}:
            path = f"{folder}/{name}" + ("/" if (root / folder / name).is_dir() else "")
            assert path in tree, f"the tree lacks {path}"
    for name in {f.parts[0] for f in files if len(f.parts) > 1 and not f.parts[0].startswith(".")}:
        assert f"{name}/" in tree, f"the tree lacks {name}/"
