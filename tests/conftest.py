"""For all tests: shapes in signatures are checked at run time, and figures need no screen."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "agg")
# The tests' tensors are small, and two test processes share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parent.parent

from jaxtyping import install_import_hook  # noqa: E402

# Annotations such as Float[Tensor, "B T"] are comments until something checks them.
install_import_hook(["zerotohero.bigram", "zerotohero.mlp"], "beartype.beartype")


@pytest.fixture
def root() -> Path:
    """The repository's folder."""
    return ROOT
