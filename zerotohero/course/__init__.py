"""The machinery around the lectures: data, exercises and their checks, grading, plots, widgets.

What a notebook needs is here by name, and loaded when it is first used:

    from zerotohero.course import Results, budget, check, data, draw, hint, plots, submit
"""

import importlib

_HOME = {
    "budget": "knob",
    "check": "checking",
    "hint": "checking",
    "submit": "submitting",
    "draw": "drawing",
    "Results": "results",
}
__all__ = [*_HOME, "data", "plots", "widgets"]


def __getattr__(name: str):
    if name in _HOME:
        module = importlib.import_module(f"{__name__}.{_HOME[name]}")
        globals()[name] = getattr(module, name)
        return globals()[name]
    if name in ("data", "plots", "widgets"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
