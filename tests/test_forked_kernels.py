"""A notebook's kernel that was forked is as one that was started: apart from all others."""

import os
import sys
import time
from functools import partial

import pytest
from jupyter_client.manager import start_new_kernel

import forked_kernels
from cells import run_cell
from patience import patience

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere kernels are started")


def said(client, code: str) -> str:
    return run_cell(client, code).strip()


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two kernels in two folders; each with what runs a cell in it and returns what it printed."""
    forked_kernels.replace_launch(monkeypatch)
    kernels = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        env = {**os.environ, "NAME": name}
        manager, client = start_new_kernel(
            kernel_name="python3", cwd=str(tmp_path / name), env=env, startup_timeout=patience(12)
        )

        kernels.append((manager, client, partial(said, client)))
    yield kernels
    for manager, client, _ in kernels:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_each_has_its_own_folder_names_chance_and_environment(two, tmp_path):
    (_, _, one), (_, _, other) = two
    for name, run in (("one", one), ("other", other)):
        assert run("import os; print(os.getcwd())") == str(tmp_path / name)
        assert run("print(os.environ['NAME'], 'MPLBACKEND' in os.environ)") == f"{name} True"
        assert run("print(torch)") == "ERROR name 'torch' is not defined", (
            "what was imported before has no name yet"
        )
        assert run("import matplotlib as m; print(m.get_backend())").endswith("inline")
        # The folder of the program that forks isn't where a notebook's imports are looked for.
        assert run("import patience") == "ERROR No module named 'patience'"
    chance = "import random; print(random.random())"
    assert one(chance) != other(chance)
    seed = "import torch; print(torch.initial_seed())"
    assert one(seed) == other(seed), "as in any new kernel"


def test_to_interrupt_or_to_end_one_leaves_the_other_and_us_alone(two):
    (manager, client, one), (_, _, other) = two
    assert one("x = 1; print(x)") == other("x = 1; print(x)") == "1"
    endless = "import time\nwhile True: time.sleep(0.01)"
    client.execute(endless, stop_on_error=False)
    time.sleep(0.5)  # or it may be interrupted before it runs
    manager.interrupt_kernel()
    assert one("print(x)") == "1" == other("print(x)")
    before, pid = forked_kernels.spent, manager.provisioner.pid
    manager.shutdown_kernel(now=True)
    assert not manager.is_alive() and not os.path.exists(f"/proc/{pid}")
    assert forked_kernels.spent > before, "its seconds of the processor are counted"
    assert other("print(x)") == "1"
