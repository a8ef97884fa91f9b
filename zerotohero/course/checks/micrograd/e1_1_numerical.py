"""1.1 · A gradient by nudging: what a derivative of several variables is."""

import math
from typing import Any

import numpy as np

from zerotohero.course.checks.micrograd.shared import call_hint
from zerotohero.course.exercise import (
    NOTHING,
    Exercise,
    Mistake,
    Wrong,
    array,
    expect,
    expect_that,
    show,
)

numerical = Exercise(
    number="1.1",
    title="A gradient by nudging",
    difficulty=1,
    minutes=15,
    practises="what a derivative of several variables is",
    answers=("numerical_gradient",),
    summary=(
        "Measure the gradient of any function of three numbers with symmetric differences. "
        "With it you can check every gradient that you will ever write."
    ),
    statement="""
`numerical_gradient(f, a: float, b: float, c: float, h: float = 1e-5) -> tuple[float, float, float]`

`f` takes three floats and returns one. Return its derivatives with respect to `a`, `b` and `c` at
that place, in this order, each as a **symmetric** difference: nudge one number by `h` up and down,
hold the other two.

```python
def f(a, b, c):
    return -(a**3) + math.sin(3 * b) - 1.0 / c + b**2.5 - a**0.5

f(2, 3, 4)                          # 6.336362190988558
numerical_gradient(f, 2, 3, 4)      # about (-12.353553, 10.256990, 0.0625)
```
""",
    hints=(
        "How far does f move when only a goes from a − h to a + h?",
        "With respect to a, it is (f(a + h, b, c) − f(a − h, b, c)) divided by how far a went.",
        "da = (f(a + h, b, c) - f(a - h, b, c)) / (2 * h), then the same for b and for c; return "
        "da, db, dc.",
    ),
)


WHOLE = (
    "An array or a tensor made of 2, 3 and 4 holds whole numbers only, and the nudge is cut off: "
    "make it of floats, as in `np.array([a, b, c], dtype=float)`."
)
HALF = "You go h/2 up and h/2 down; go h each way."


def _f_of_the_lecture(a: float, b: float, c: float) -> float:
    return -(a**3) + math.sin(3 * b) - 1.0 / c + b**2.5 - a**0.5


def _expect_gradient(
    f: Any, at: list[float], h: float, got: Any, want: list[float], tol: float
) -> None:
    expect_that(got is not None, "expected three slopes, got None", NOTHING)
    three = "Return three slopes, with respect to a, b and c: a tuple of three numbers."
    expect_that(isinstance(got, list | float | np.ndarray), f"got {show(got)}", three)
    got = array("the gradient", got)
    expect_that(got.shape == (3,), f"expected three slopes, got shape {got.shape}", three)
    hint = _gradient_hint(f, at, h, got, np.array(want))
    expect(f"the gradient at {tuple(at)}", got, np.array(want), tol=tol, hint=hint)


def _gradient_hint(f: Any, at: list[float], h: float, got: np.ndarray, want: np.ndarray) -> str:
    def value(up: float, i: int, f: Any = f) -> float:
        return f(*(x + up * h * (i == k) for k, x in enumerate(at)))

    def slopes(up: float, down: float, width: float, f: Any = f) -> list[float]:
        return [(value(up, i, f) - value(-down, i, f)) / (width * h) for i in range(3)]

    together = (f(*(x + h for x in at)) - f(*(x - h for x in at))) / (2 * h)
    left_behind = [  # each number stays at x − h when the next one is nudged
        (
            f(*(x + h * ((k == i) - (k < i)) for k, x in enumerate(at)))
            - f(*(x - h * (k <= i) for k, x in enumerate(at)))
        )
        / (2 * h)
        for i in range(3)
    ]

    def cut_off(*numbers: float) -> float:  # put where only whole ones have room
        return f(*map(int, numbers))

    mistakes = [
        *([Mistake(slopes(1, 1, 2, cut_off), WHOLE)] if all(type(x) is int for x in at) else []),
        Mistake(slopes(1, 0, 1), "You nudge upwards only; go h up and h down as well."),
        Mistake(slopes(0, 1, 1), "You nudge downwards only; go h down and h up as well."),
        Mistake(
            slopes(1, 1, 1),
            "Each slope is twice too steep: from x − h to x + h it is 2h, not h.",
        ),
        Mistake(slopes(0.5, 0.5, 1), HALF),
        Mistake(
            [together] * 3,
            "You nudge all three numbers at once; nudge one and hold the other two.",
        ),
        Mistake(slopes(1, 0, 2), "One side only, yet divided by 2h: subtract f at x − h."),
        Mistake(-want, "The sign is turned: f above minus f below, not below first."),
        Mistake(slopes(1, 1, 1 / h), "You don't divide: a slope is the difference over 2h."),
        Mistake(
            slopes(1, 1, 2 / h**2),
            "`/ 2 * h` divides by 2 and then multiplies by h; write `/ (2 * h)`.",
        ),
        Mistake(
            [value(1, i) - value(-1, i) / (2 * h) for i in range(3)],
            "Only the second f is divided; put the difference in parentheses.",
        ),
        Mistake(
            left_behind,
            "A number that was nudged is not put back before the next one's turn.",
        ),
        Mistake(
            slopes(1, 1, 2, _f_of_the_lecture),
            "You call the function above; call the f that you are given.",
        ),
        Mistake(np.zeros(3), "No slope at all: f above minus f below, and both nudged."),
    ]
    for mistake in mistakes:
        if np.allclose(got, mistake.value, rtol=2e-7, atol=1e-12):
            return mistake.hint
    if any(_is_rounded(got, want, digits) for digits in range(10)):
        return "The slopes are rounded: round nothing."
    right = np.isclose(got, want, rtol=1e-7, atol=1e-7)
    if right.all() and np.array_equal(got, got.astype(np.float32)):
        return "These have the seven digits of float32: calculate with Python's floats."
    near = [np.allclose(x, np.sort(want), rtol=1e-6) for x in (np.sort(got), got[want.argsort()])]
    if near == [True, False]:
        return "The slopes are right and their order is not: a, b, c."
    if right.any() and not right.all():
        off = [name for name, ok in zip("abc", right, strict=True) if not ok]
        slopes = "slope" if len(off) == 1 else "slopes"
        wrong = f"Only the {slopes} with respect to {' and '.join(off)} "
        wrong += "is wrong" if len(off) == 1 else "are wrong"
        # Up and down the same, or the line of another number.
        copied = [x == 0 or np.isclose(x, np.delete(want, i)).any() for i, x in enumerate(got)]
        if all(copied[i] for i in np.flatnonzero(~right)):
            return wrong + ": when you copied the line, did you change every letter?"
        return wrong + "."
    return "For each number: (f with it raised by h − f with it lowered by h) / (2 * h)."


def _is_rounded(got: np.ndarray, want: np.ndarray, digits: int) -> bool:
    return np.array_equal(got, np.round(got, digits)) and np.allclose(got, want, 0, 10.0**-digits)


def _somewhere(rng: np.random.Generator) -> dict[str, Any]:
    places = [[2, 3, 4], rng.uniform(1, 5, 3).round(3).tolist()]
    return {"places": places, "steep": 1e10}


@numerical.case(
    "the function above at (2, 3, 4) and elsewhere",
    points=1,
    adapter="gradients_of_the_lecture",
    inputs=_somewhere,
    crashes={
        **call_hint('"1.1"', "numerical_gradient"),
        "can't be cast|Cannot cast": WHOLE,
    },
)
def gradient_of_the_lectures_function(given, got):
    wants = [
        [-3 * a**2 - 0.5 * a**-0.5, 3 * math.cos(3 * b) + 2.5 * b**1.5, 1 / c**2]
        for a, b, c in given["places"]
    ]
    # The symmetric difference of x³ at 0 is h², and nothing else.
    nudges = np.zeros(3)
    if np.shape(got["at zero"]) == (3,):
        nudges = np.sqrt(np.abs(array("the gradient", got["at zero"])) / given["steep"])
    by_another_h = np.ptp(nudges) < 1e-9 and nudges.min() > 0 and abs(nudges[0] - 1e-5) > 1e-9
    if not (by_another_h and np.allclose(got["gradients"], wants, rtol=1e-4)):
        for at, gradient, want in zip(given["places"], got["gradients"], wants, strict=True):
            _expect_gradient(_f_of_the_lecture, at, 1e-5, gradient, want, tol=1e-7)
    default = "Where h is left out, it is 1e-5: write `h=1e-5` in the signature, and nudge by h."
    if abs(nudges[0] - 0.5e-5) < 1e-9:
        default = HALF
    expect(
        "the nudges where h is left out",
        nudges,
        np.full(3, 1e-5),
        tol=1e-9,
        hint=default if by_another_h else None,
    )


@numerical.case(
    "another function and a large nudge h",
    points=2,
    adapter="gradient_of_a_cubic",
    inputs=lambda rng: {
        "at": rng.uniform(1, 2, 3).round(3).tolist(),
        "k": rng.uniform(1, 3, 4).round(3).tolist(),
        "h": 0.125,
    },
    crashes={
        **call_hint('"1.1"', "numerical_gradient"),
        "unexpected keyword argument 'h'": "The size of the nudge is an argument: write h=1e-5 in "
        "the signature.",
    },
)
def gradient_with_a_large_nudge(given, got):
    k, h = given["k"], given["h"]

    def f(a, b, c):
        return k[0] * a**3 + k[1] * a * b**3 + k[2] * b * c + k[3] * c**3

    a, b, c = given["at"]
    true = [
        3 * k[0] * a**2 + k[1] * b**3,
        3 * k[1] * a * b**2 + k[2] * c,
        k[2] * b + 3 * k[3] * c**2,
    ]
    # The symmetric difference of x³ is 3x² + h².
    cubes = (k[0], k[1] * a, k[3])
    want = [slope + factor * h**2 for slope, factor in zip(true, cubes, strict=True)]
    try:
        expect("the gradient", got["gradient"], true, tol=1e-4)
    except Wrong:
        _expect_gradient(f, given["at"], h, got["gradient"], want, tol=1e-11)
    else:
        small = got["nudge"] < h / 2
        raise Wrong(
            f"with h = {h} the answer should be rough, and it is exact",
            "You don't use the h that you are given; nudge by h."
            if small
            else "Take the plain symmetric difference: f at x + h and at x − h, and no others.",
        )
