"""For every run of pytest: no verdict by the clock, each notebook in its kernel, the longest first,
and at the end where the time went."""

import gc
import os
import re
import time
import warnings
from collections import Counter
from contextlib import contextmanager

import hypothesis
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

import forked_kernels
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

# Half a minute or more each, by the table at the end. The marking of a class comes long before the
# other sandboxes: without a class, all have the first core.
FIRST = "test_grading.py"
LONG = (
    "test_exercises.py",
    "test_07_checkpoint.py",  # it waits for most of it, so it can't come late
    "test_browser.py",
    "test_site.py",
    "test_sandbox.py",
    "test_07_commands.py",
    "test_kernel.py",
    "test_07_recipes.py",
    "test_10_shards.py",
    "test_release.py",
    "test_marking.py",
    "test_cli.py",
)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep the collector off what is imported, which stays: now, and for each test that makes many
    objects."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items):
    """Put lectures and solutions first, the last lecture's before the others', since lectures
    grow; then the files that are known to be long, and then those with the most tests."""
    tests = Counter(item.path for item in items)

    def place(item):
        path = item.path
        if path.name == FIRST:
            return (-1,)
        if path.parent.name in ("lectures", "solutions"):
            return (0, -int(path.name[:2]), path)
        if path.name in LONG:
            return (1, LONG.index(path.name), path)
        return (2, -tests[path], path)

    items.sort(key=place)
    for item in items:
        if isinstance(item, IPyNbCell):
            _check_once(item)


# --- notebooks ----------------------------------------------------------------------------------

_rerun = pytest.StashKey[bool]()


@contextmanager
def kernel(notebook: IPyNbFile):
    """While a notebook's kernel starts: Colab's for lectures and exercises, where it is installed.

    Solutions have the current one, and so has the browser test. To run each notebook in both
    would double the time. Colab's finds more: what was written in JupyterLab ran in the current one
    already (its outputs are stored, and a test looks at them), and it is the old versions that
    lack things. `make test` installs Colab's and names the folder in ZEROTOHERO_COLAB.
    On Linux either is forked from a process that has imported torch already.
    """
    colab = os.environ.get("ZEROTOHERO_COLAB")
    with pytest.MonkeyPatch.context() as patch:
        if colab and notebook.path.parent.name in ("lectures", "exercises"):
            patch.setenv("PYTHONPATH", colab, prepend=os.pathsep)
        forked_kernels.replace_launch(patch)
        yield


_CHECK = re.compile(r'check\("([\d.]+)", (.+)\)')


def _checked(cell: IPyNbCell):
    """Return the exercise that a cell of a solution calls `check` for, and the call's answers."""
    from zerotohero.course import checks

    if cell.path.parent.name == "solutions" and (call := _CHECK.fullmatch(cell.cell.source)):
        exercise = checks.find(call[1])
        if exercise.handed_in:  # a model that isn't has its points only with the full budget
            return exercise, call[2]
    return None


def _check_once(cell: IPyNbCell):
    """Have a check that trains made in one place: test_grading.py, in the sandbox.

    It puts the same cases to the same functions there. Here the cell still says whether they are
    there and stand in the order in which the check takes them, and test_notebooks.py that they had
    all points when the notebook was stored. Everything is here where there is no sandbox.
    """
    from zerotohero.course import sandbox

    found = _checked(cell)
    if found and found[0].takes and sandbox.available() is None:
        cell.cell.source = (
            "from zerotohero.course import checking, checks\n"
            f'assert not checking._slip(checks.find("{found[0].number}"), [{found[1]}])'
        )


def _assert_accepted(cell: IPyNbCell):
    """Fail if a cell of a solution calls `check` and doesn't get all points."""
    if _checked(cell):
        said = "".join(out.text for out in cell.test_outputs if out.output_type == "stream")
        assert re.search(r"^  All \d+ points?\.$", said, re.M), said


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
        done = yield
        if isinstance(item, IPyNbCell):
            _assert_accepted(item)
        return done
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

COLLECTING = "collecting, and importing what the tests import"
_seconds: Counter[str] = Counter()  # of each file, by the clock
_processor: Counter[str] = Counter()  # and of the processor, with what its tests have started
_ended: dict[str, float] = {}  # when each process had its last report
_spent, _told = 0.0, 0.0  # of the processor, by this process and what it has started: so far


def _since_the_last() -> float:
    """Return the seconds of the processor since the last call, or since this process began."""
    global _spent
    before, _spent = _spent, sum(os.times()[:4]) + forked_kernels.spent
    return _spent - before


def pytest_collection_finish():
    global _told
    _told = _since_the_last()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Note the seconds of the processor since the last report, and once those before the first.

    A process that lives on, such as a notebook's kernel, is counted with the test that ends it;
    what a sandbox kills is not counted.
    """
    global _told
    report = yield
    report.processor, report.collecting, _told = _since_the_last(), _told, 0.0
    return report


def pytest_runtest_logreport(report):
    file = report.nodeid.partition("::")[0]
    _seconds[file] += report.duration
    _processor[file] += getattr(report, "processor", 0.0)  # a process that crashed has told none
    _processor[COLLECTING] += getattr(report, "collecting", 0.0)
    if hasattr(report, "node"):  # one of several processes has sent it
        _ended[report.node.gateway.id] = time.monotonic()


def pytest_terminal_summary(terminalreporter, config):
    """Print the seconds of each file, the dearest first, where durations are asked for.

    By the clock, and of the processor: on a busy machine only these can be compared. If one
    process was busy long after the others, what it had last should begin earlier.
    """
    if not config.option.durations:
        return
    terminalreporter.section("where the time went: seconds, and those of the processor")
    dearest = [name for name, _ in _processor.most_common()]
    total, processor = sum(_seconds.values()), sum(_processor.values())
    for name in dearest[:SHOWN]:
        share = _processor[name] / processor if processor else 0.0
        terminalreporter.line(
            f"{_seconds[name]:7.1f} {_processor[name]:7.1f}  {share:4.0%}  {name}"
        )
    if rest := dearest[SHOWN:]:
        sums = (sum(counted[name] for name in rest) for counted in (_seconds, _processor))
        terminalreporter.line("{:7.1f} {:7.1f}        {} other files".format(*sums, len(rest)))
    terminalreporter.line(f"{total:7.1f} {processor:7.1f}        in all processes together")
    if _ended:
        idle = sorted(max(_ended.values()) - end for end in _ended.values())
        before = ", ".join(f"{seconds:.0f}" for seconds in idle[1:])
        terminalreporter.line(f"the processes ended {before} s before the last one")
