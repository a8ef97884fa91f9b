"""How much a notebook may compute: the one knob, `ZEROTOHERO_BUDGET=quick|full`.

Quick is for two CPU cores: every lecture ends within 90 seconds. Full is the real size. Without
the variable, a machine with a GPU gets full and any other gets quick.
"""

import os


def budget() -> str:
    """Return "quick" or "full".

    Raises ValueError if `ZEROTOHERO_BUDGET` is set to anything else.
    """
    wish = os.environ.get("ZEROTOHERO_BUDGET", "").strip().lower()
    if wish in ("quick", "full"):
        return wish
    if wish:
        raise ValueError(f"ZEROTOHERO_BUDGET is {wish!r}; set it to quick or full, or unset it.")
    import torch

    return "full" if torch.cuda.is_available() else "quick"
