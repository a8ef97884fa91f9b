"""For notebooks run by pytest (nbval): one that hangs is run once more, and the log says so."""

import warnings

import pytest
from nbval.plugin import IPyNbCell

_rerun = pytest.StashKey[bool]()


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
    notebook.setup()
    for cell in notebook.collect():
        if cell.cell_num <= item.cell_num:
            cell.runtest()
