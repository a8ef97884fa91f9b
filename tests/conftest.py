"""For all tests: shapes in signatures are checked at run time, and figures need no screen."""

import os
import signal
import sys
from pathlib import Path

# The tests' tensors are small, and there is a test process for each core, and one more.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell's background job ignores Ctrl-C, and what it starts inherits that: some tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import matplotlib
import pytest
from jaxtyping import install_import_hook

# Not by MPLBACKEND, which the kernels of the notebooks would inherit.
matplotlib.use("agg")
if os.environ.get("ZEROTOHERO_BOUNDS"):
    # It wants a newer NumPy than ours to allow, and jaxtyping imports it where it finds it.
    sys.modules["jax"] = None
# Annotations such as Float[Tensor, "B T"] are comments until something checks them.
TYPED = (
    "bigram",
    "mlp",
    "batchnorm",
    "diagnostics",
    "backprop",
    "wavenet",
    "gpt",
    "generation",
    "rotary",
    "shards",
    "assistant",
    "preferences",
    "policy",
    "lora",
    "sums",
    "text",
    "training",  # the package with all its modules
)
install_import_hook([f"zerotohero.{name}" for name in TYPED], "beartype.beartype")


@pytest.fixture
def root() -> Path:
    """The repository's folder."""
    return Path(__file__).parent.parent
