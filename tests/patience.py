"""How long a test waits before it calls something hung; no other test reads the clock.

No verdict depends on how busy the machine is. What waits for a process, a page or a kernel says
how long that takes on a quiet machine of today, and asks `patience` for the limit.
"""

import os
import time

REFERENCE = 0.31  # seconds that `_work` takes on one quiet core of the machine that CI has
MARGIN = 5
_NAME = "ZEROTOHERO_SLOWNESS"  # test processes and what they start inherit it


def patience(seconds: float) -> float:
    """Return the limit for something that takes so many seconds on a quiet machine.

    Five times that at least, and more where this machine was slower than the reference, or busy,
    when the run of the tests began.
    """
    return MARGIN * seconds * slowness()


def slowness() -> float:
    """Return how many times longer than on the reference a fixed piece of work took, at least 1.

    Measured once in a run, by the process that comes first.
    """
    if _NAME not in os.environ:
        start = time.perf_counter()
        _work()
        os.environ[_NAME] = str(max(1.0, (time.perf_counter() - start) / REFERENCE))
    return float(os.environ[_NAME])


def _work() -> int:
    return sum(i * i % 7 for i in range(4_000_000))
