"""What several benchmarks share: `transformers` as a peer, and the end of a report."""

import os
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zerotohero.gpt import GPT


def in_transformers(model: "GPT", architecture: str):
    """Return the model as that class of `transformers`; None if it isn't installed."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import transformers
    except ImportError:
        return None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return getattr(transformers, architecture).from_pretrained(folder).eval()


def report(targets: Mapping[str, bool]) -> int:
    """Print which targets are met; return the exit status, 1 if one is missed."""
    print()
    for target, met in targets.items():
        print(f"{target:62} {'met' if met else 'MISSED'}")
    return 0 if all(targets.values()) else 1
