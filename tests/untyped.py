"""Calls without the shape checks of tests/conftest.py, which stop some bad input before we do."""

from contextlib import contextmanager

import jaxtyping


@contextmanager
def jaxtyping_off():
    """Within it, annotations are comments again, as they are for a learner."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
