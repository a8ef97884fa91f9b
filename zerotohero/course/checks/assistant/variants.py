"""What lecture 08's first exercises share: calls of an answer, and the mistake that explains all.

A mistake is a function that makes it. Its hint is given only where this function, and none with
another hint, gives everything that came.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from zerotohero.course.exercise import Wrong, expect, show

LOSS_CRASHES = {
    "does not require grad": "The loss has no gradient left: no `.item()`, `.detach()` or new "
    "tensor on the way.",
    "leaf Variable": "`-=`, `x[i] = …` and methods that end in `_` write into the tensor that was "
    "handed over: `x = x - …` makes a new one.",
}

Wrongly = Iterable[tuple[Callable[..., Any], str]]


def expect_all(
    what: str,
    calls: Sequence[dict[str, Any]],
    got: Sequence[Any],
    right: Callable[..., Any],
    wrongly: Wrongly,
    *,
    tol: float = 1e-6,
    hint: str | None = None,
) -> None:
    """Expect that each of the calls got what `right` gives; else raise `Wrong`.

    what: the call in words; `{name}` in it stands for an argument.
    wrongly: functions of the same arguments, each with the hint for its mistake.
    """
    for call, came in zip(calls, got, strict=True):
        try:
            expect(what.format(**_in_a_line(call)), came, right(**call), tol=tol)
        except Wrong as error:
            known = None if error.hint else explained(calls, got, wrongly, tol)
            raise Wrong(error.message, error.hint or known or hint) from None


def _in_a_line(call: dict[str, Any]) -> dict[str, Any]:
    return {k: show(v, 400) if isinstance(v, np.ndarray) else v for k, v in call.items()}


def expect_loss(
    what: str,
    calls: Sequence[dict[str, Any]],
    got: Sequence[dict[str, Any]],
    right: Callable[..., dict[str, Any]],
    wrongly: Wrongly,
    *,
    tol: float = 1e-6,
) -> None:
    """Expect a loss and its gradients, which `right` and the mistakes return as a dict.

    Its key "loss" is the value, the others name arguments. `explained` looks at all of it.
    """
    wrongly = list(wrongly)
    for call, came in zip(calls, got, strict=True):
        for part, want in right(**call).items():
            of = what if part == "loss" else f"the gradient of {what} with respect to {part}"
            if came[part] is None and part != "loss":
                raise Wrong(
                    f"{of}: none arrived",
                    "No gradient is left: no `.item()`, `.detach()` or new tensor on the way.",
                )
            if part == "loss" and isinstance(came[part], np.ndarray) and came[part].ndim:
                raise Wrong(
                    f"{of}: expected a single number, got shape {came[part].shape}",
                    "It is one number, and `keepdim=True` or `[:, None]` has left an axis to it."
                    if came[part].size == 1
                    else "A loss is one number: these are several, and their mean is asked for.",
                )
            try:
                expect(of, came[part], want, tol=tol)
            except Wrong as error:
                known = error.hint or explained(calls, got, wrongly, tol)
                raise Wrong(error.message, known) from None


def explained(calls: Sequence[dict], got: Sequence[Any], wrongly: Wrongly, tol: float) -> str:
    """Return the hint of the one mistake that explains all that came, or ""."""
    pairs = list(zip(calls, got, strict=True))
    with np.errstate(all="ignore"):
        hints = {
            hint
            for function, hint in wrongly
            if all(_is(came, function(**call), tol) for call, came in pairs)
        }
    return hints.pop() if len(hints) == 1 else ""


def _is(got: Any, want: Any, tol: float) -> bool:
    try:
        expect("", got, want, tol=tol)
    except Wrong:
        return False
    return True
