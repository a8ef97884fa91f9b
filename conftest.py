"""For every run of pytest: no verdict by the clock, each notebook in its kernel, the longest first,
and at the end where the time went."""

import os
import warnings
from collections import Counter
from contextlib import contextmanager

import hypothesis
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from patience import patience

# On a quiet machine.
CELL, KERNEL = 60, 12  # seconds: the longest cell takes half of it
SHOWN = 25  # files in the table at the end

# A busy machine is no bug, however long an example took, or its data were in the making.
hypothesis.settings.register_profile(
    "course", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("course")


def pytest_configure(config):
    """Give the notebooks limits that fit this machine.

    This is also what measures it: the test processes take the figure over.
    """
    config.option.nbval_cell_timeout = patience(CELL)
    config.option.nbval_kernel_startup_timeout = patience(KERNEL)


# --- the order: what takes long mustn't come last, or one process ends up waiting for the other ---


def pytest_collection_modifyitems(items):
    """Put notebooks first, the last lecture's before all, since lectures grow; then the other
    files, those with the most tests first."""
    tests = Counter(item.path for item in items)

    def place(item):
        notebook = item.path.suffix == ".ipynb"
        name = item.path.name
        return (0, -int(name[:2]), item.path) if notebook else (1, -tests[item.path], item.path)

    items.sort(key=place)


# --- notebooks ----------------------------------------------------------------------------------

_rerun = pytest.StashKey[bool]()


@contextmanager
def kernel(notebook: IPyNbFile):
    """While a notebook's kernel starts: Colab's for lectures and exercises, where it is installed.

    Solutions have the current one, and so has the browser test. To run each notebook in both
    would double the time. Colab's finds more: what was written in JupyterLab ran in the current one
    already (its outputs are stored, and a test looks at them), and it is the old versions that
    lack things. `make test` installs Colab's and names the folder in ZEROTOHERO_COLAB.
    """
    colab = os.environ.get("ZEROTOHERO_COLAB")
    with pytest.MonkeyPatch.context() as patch:
        if colab and notebook.path.parent.name in ("lectures", "exercises"):
            patch.setenv("PYTHONPATH", colab, prepend=os.pathsep)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Start a notebook's kernel, before its first cell."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    item.output_timeout = patience(5)
    with kernel(item.parent):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Once a notebook, a cell that timed out is tried again in a fresh kernel.

    Kernel and client are known to fall idle both, in mid-notebook, about once in thirty runs. A
    cell that really takes too long times out again, and then fails.
    """
    try:
        return (yield)
    except Exception:
        notebook = item.parent
        if not isinstance(item, IPyNbCell) or not notebook.timed_out or _rerun in notebook.stash:
            raise
    notebook.stash[_rerun] = True
    seconds = item.config.option.nbval_cell_timeout
    warnings.warn(
        f"{item.nodeid} gave no answer within {seconds:g} s; its notebook is run once more.",
        stacklevel=1,
    )
    notebook.teardown()
    notebook.timed_out = False
    with kernel(notebook):
        notebook.setup()
    for cell in notebook.collect():
        if cell.cell_num <= item.cell_num:
            cell.runtest()


# --- where the time went ------------------------------------------------------------------------

_seconds: Counter[str] = Counter()


def pytest_runtest_logreport(report):
    _seconds[report.nodeid.partition("::")[0]] += report.duration


def pytest_terminal_summary(terminalreporter, config):
    """Print the seconds of each file, the longest first, where durations are asked for."""
    if not config.option.durations:
        return
    total = sum(_seconds.values())
    terminalreporter.section("where the time went")
    for name, seconds in _seconds.most_common(SHOWN):
        terminalreporter.line(f"{seconds:7.1f} s  {seconds / total:4.0%}  {name}")
    rest = _seconds.most_common()[SHOWN:]
    if rest:
        terminalreporter.line(f"{sum(s for _, s in rest):7.1f} s        {len(rest)} other files")
    terminalreporter.line(f"{total:7.1f} s        in all processes together")
