"""What a package offers has a name of its own: no submodule takes it, whatever else is imported."""

import importlib
import pkgutil
import subprocess
import sys
import types

import pytest

import zerotohero

PACKAGES = [
    "zerotohero",
    *(m.name for m in pkgutil.walk_packages(zerotohero.__path__, "zerotohero.") if m.ispkg),
]


def test_there_are_packages_to_look_at():
    assert {"zerotohero.course", "zerotohero.training"} <= set(PACKAGES)


def test_what_a_notebook_imports_is_there_whatever_was_imported_before():
    """In a fresh process: an import of a submodule binds its name in the package, once."""
    code = """
import importlib, inspect, pkgutil
import zerotohero.course
for module in pkgutil.iter_modules(zerotohero.course.__path__, "zerotohero.course."):
    importlib.import_module(module.name)
from zerotohero.course import budget, check, draw, hint, submit
for function in (budget, check, draw, hint, submit):
    assert inspect.isfunction(function), function
from zerotohero.course import data, plots, widgets
assert all(inspect.ismodule(module) for module in (data, plots, widgets))
import zerotohero.training.trainer, zerotohero.training.losses
from zerotohero.training import Trainer, TrainConfig, evaluate, load_checkpoint
assert all(map(callable, (Trainer, TrainConfig, evaluate, load_checkpoint)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PACKAGES)
def test_a_submodule_hides_nothing_that_its_package_offers(name):
    package = importlib.import_module(name)
    for module in pkgutil.iter_modules(package.__path__):
        if module.name == "__main__":
            continue
        its = importlib.import_module(f"{name}.{module.name}")
        offered = getattr(package, module.name)
        assert isinstance(offered, types.ModuleType) and offered is its, f"{name}.{module.name}"
    lazy = getattr(package, "_HOME", {})
    assert not lazy.keys() & {module.name for module in pkgutil.iter_modules(package.__path__)}
