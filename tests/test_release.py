"""What is published: a wheel that works outside the repository, and one version everywhere."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import nbformat
import pytest
import yaml

import zerotohero
from patience import patience

ROOT = Path(__file__).parents[1]


def run(*command, **options) -> str:
    """What a command prints; the test fails with it if the command does."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=patience(120), check=False, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """Wheel and sdist, as `make dist` builds them."""
    out = tmp_path_factory.mktemp("dist")
    # Under `make test` this make is one within another, and would say where it is.
    make = ("make", "--no-print-directory", "-n", "-o", ".venv/installed")
    recipe = run(*make, "dist", f"DIST={out}", cwd=ROOT)
    run("bash", "-ec", recipe, cwd=ROOT)
    return out


@pytest.fixture(scope="module")
def installed(dist, tmp_path_factory) -> Path:
    """An environment with the wheel in it; what the wheel depends on is lent by this one.

    A path that a .pth file names is searched, but its own .pth files are not read, so the
    repository, which is installed here by one, isn't found.
    """
    home = tmp_path_factory.mktemp("clean")
    venv.create(home / "env", with_pip=False)
    (wheel,) = dist.glob("*.whl")
    python = home / "env" / "bin" / "python"
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    run(uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel)
    lent = home / "env" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages" / "lent.pth"
    lent.write_text(sysconfig.get_path("purelib"))
    return home


def test_the_wheel_works_outside_the_repository(installed):
    """What a newcomer does first: doctor, data, a training, an exercise and its check."""
    course = installed / "work"
    course.mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ZEROTOHERO"))}
    env["JUPYTER_PATH"] = str(Path(sysconfig.get_path("data")) / "share" / "jupyter")  # lent, too
    here = {"cwd": course, "env": env}
    bin = installed / "env" / "bin"
    where = run(bin / "python", "-c", "import zerotohero; print(zerotohero.__file__)", **here)
    assert Path(where.strip()).is_relative_to(installed)

    assert f"{zerotohero.__version__} in {installed}" in run(bin / "zerotohero", "doctor", **here)
    names, shakespeare = run(bin / "zerotohero", "data", **here).split()
    assert Path(names).is_relative_to(installed) and Path(shakespeare).is_file()

    small = ["n_layer=1", "n_embd=16", "n_head=2", "block_size=16", "batch_size=4"]
    report = run(
        bin / "zerotohero", "train", "speedrun-cpu", *small, "steps=20", "warmup=2", **here
    )
    assert (course / "runs" / "speedrun-cpu" / "last.pt").is_file(), report

    book = nbformat.read(ROOT / "exercises" / "01_micrograd.ipynb", 4)
    code = [cell.source for cell in book.cells if cell.cell_type == "code"]
    (stub,) = (source for source in code if "1.1 is yours to write" in source)
    answer = stub.replace(
        'raise NotImplementedError("1.1 is yours to write")',
        "d = lambda g: (g(h) - g(-h)) / (2 * h)\n"
        "    return (d(lambda h: f(a + h, b, c)), d(lambda h: f(a, b + h, c)),"
        " d(lambda h: f(a, b, c + h)))",
    )
    program = "\n\n".join([code[1], answer, 'check("1.1", numerical_gradient)'])
    assert "All 3 points." in run(bin / "python", "-c", program, **here)


def test_the_version_is_the_same_everywhere():
    version = zerotohero.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"] == version
    newest = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)[1]
    assert newest == version
    for path in (ROOT / "exercises").glob("*.ipynb"):
        assert json.loads(path.read_text("utf-8"))["metadata"]["zerotohero"]["version"] == version


def test_issues_ask_for_what_doctor_prints():
    forms = [
        yaml.safe_load(path.read_text("utf-8"))
        for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")
        if path.name != "config.yml"
    ]
    assert len(forms) == 3
    for form in forms:
        asked = {field["attributes"]["label"]: field["validations"] for field in form["body"][-1:]}
        assert asked == {"What `zerotohero doctor` prints": {"required": True}}, form["name"]
