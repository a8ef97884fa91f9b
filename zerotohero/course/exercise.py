"""What an exercise is: a card, three hints, and cases of `inputs → adapter → verify`.

The learner's code only ever meets the *adapter*, which calls it on the inputs and returns plain
values. The *verdict* is made by `verify`, which sees those plain values and never the learner's
objects. In a notebook both run in the kernel; when a stranger's work is graded, the adapter runs
in the sandbox and the verdict outside it (`marking.py`), so a verdict cannot be forged.

An exercise is a module of its own, named after its number and the variable that it defines. In
`checks/demo/e0_1_double.py`:

    from zerotohero.course.exercise import Exercise, Mistake, expect

    double = Exercise(
        number="0.1",
        title="Twice",
        difficulty=1,
        minutes=2,
        practises="writing a function",
        answers=("double",),
        summary="Write a function that doubles a list of numbers. It must not change its input.",
        statement="`double(x: Tensor) -> Tensor`, shapes `(n,)` to `(n,)`.",
        hints=("What is x + x?", "Operators work on whole tensors.", "return 2 * x"),
    )

    @double.case("three numbers", points=2, adapter="doubled", inputs={"x": np.arange(3.0)})
    def every_number_doubled(given, got):
        square = Mistake(given["x"] ** 2, "You squared x: 2 * x doubles, x ** 2 squares.")
        expect("double(x)", got["y"], 2 * given["x"], mistakes=[square])

and in `adapters/demo.py`, which is all that enters the sandbox (no reference answers there):

    def doubled(double, x):
        return {"y": double(torch.tensor(x))}

A misconception is recognised by its effect: `Mistake` holds the value that the wrong
implementation gives, and the hint that names it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Verify = Callable[[dict[str, Any], dict[str, Any]], None]
Inputs = Mapping[str, Any] | Callable[[np.random.Generator], Mapping[str, Any]]

NO_LINE = ", in no line of the answer"  # what ends the text of an error in the check's own call
NOTHING = (
    "Nothing came back: end the function with `return …`. `print` shows a value and returns None."
)


class Wrong(Exception):
    """A verdict against an answer: what was expected and what came, and a hint or None."""

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True)
class Mistake:
    """A wrong value that a known misconception leads to, and the hint that names it."""

    value: Any
    hint: str


@dataclass(frozen=True)
class Case:
    """One question put to an answer. Made by `Exercise.case`, which explains the fields."""

    name: str
    points: int
    adapter: str
    inputs: Inputs
    verify: Verify
    crashes: Mapping[str, str]
    exercise: "Exercise | None" = field(default=None, repr=False, compare=False)  # that it is of

    def given(self, rng: np.random.Generator) -> dict[str, Any]:
        """Return the inputs of this run. The notebook's seed is fixed, the grader's is not."""
        return dict(self.inputs(rng) if callable(self.inputs) else self.inputs)

    @staticmethod
    def asked(given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the answer may see of the inputs."""
        return {name: value for name, value in given.items() if not name.startswith("_")}


@dataclass
class Exercise:
    """The card of an exercise and its cases, in the order in which they were added."""

    number: str  # "1.1": the lecture's number and the exercise's
    title: str
    difficulty: int  # 1 to 5
    minutes: int  # that a learner needs
    practises: str  # what it trains, in half a sentence
    answers: tuple[str, ...]  # the names that the learner defines, in the order check takes them
    summary: str  # two sentences, for the lecture's last page and the top of the card
    statement: str  # Markdown: signatures, to which signatures.py holds an answer, and an example
    hints: tuple[str, str, str]  # from a nudge to nearly the answer
    uses: tuple[str, ...] = ()  # modules of zerotohero that an answer may import when graded
    takes: float | None = None  # seconds on two cores, if the check trains; else None
    changes: tuple[str, ...] = ()  # arguments that an answer changes by right: signatures.py
    adapters: str = ""  # the module of adapters/, where it is not the one named after the lecture
    look_for: tuple[str, ...] = ()  # words that may get round a rule: to_look_at.py
    without: tuple[str, ...] = ()  # taken away when graded: "autograd", "jit", "threads"
    handed_in: bool = True  # False: the answer is a trained model, and a submission holds source
    cases: list[Case] = field(default_factory=list)

    def __post_init__(self):
        if not re.fullmatch(r"\d+\.\d+", self.number):
            raise ValueError(f"An exercise's number is like 1.1, not {self.number!r}.")
        if self.difficulty not in range(1, 6):
            raise ValueError(f"{self.number}: difficulty is 1 to 5, not {self.difficulty!r}.")
        if len(self.hints) != 3:
            raise ValueError(f"{self.number}: three hints, not {len(self.hints)}.")

    @property
    def order(self) -> tuple[int, int]:
        """The number as numbers, by which 7.10 comes after 7.9."""
        lecture, place = self.number.split(".")
        return int(lecture), int(place)

    @property
    def points(self) -> int:
        return sum(case.points for case in self.cases)

    @property
    def time_limit(self) -> float:
        """Seconds that the grader gives to all the cases together, on a slow machine.

        They are seconds of the processor, of the answer and of all that it starts, and those in
        which it sleeps. What else the machine is busy with doesn't count.
        """
        return 10.0 if self.takes is None else max(10.0, 5 * self.takes)

    def case(
        self,
        name: str,
        *,
        adapter: str,
        points: int = 1,
        inputs: Inputs = {},  # noqa: B006 (never changed: `Case.given` copies it)
        crashes: Mapping[str, str] | None = None,
    ) -> Callable[[Verify], Verify]:
        """Decorate `verify(given, got)` to add a case, or call it with one that serves several.

        name: what is asked, in the learner's words, for the line that is printed.
        adapter: the function of `adapters/<lecture>.py` that is called as
            `adapter(*answers, **given)` and returns a dict of plain values: `got`.
        inputs: a dict of plain values (numbers, strings, arrays, lists and dicts of them), or a
            function of a NumPy generator that makes one. Those whose names begin with "_" are for
            the verdict alone: no adapter gets them, and no answer can look them up.
        crashes: regular expressions for "ErrorType: message", each with the hint for it. A crash
            that none explains gets no hint. One of the check's own call ends in `NO_LINE`.
        verify: returns if the answer is right, else raises `Wrong`, usually through `expect`.
        """

        def add(verify: Verify) -> Verify:
            self.cases.append(Case(name, points, adapter, inputs, verify, crashes or {}, self))
            return verify

        return add


def expect(
    what: str,
    got: Any,
    want: Any,
    *,
    tol: float = 1e-6,
    mistakes: Sequence[Mistake] = (),
    hint: str | None = None,
) -> None:
    """Raise `Wrong` unless `got` equals `want`: same kind, same shape, numbers within `tol`.

    The tolerance is absolute and relative; `tol=0` asks for equality to the bit. If `got` equals
    the value of one of the `mistakes`, the hint is that mistake's, else it is `hint`; for None, it
    is that nothing came back.
    """
    problem = _difference(got, want, tol)
    if problem is None:
        return
    hint = NOTHING if got is None else hint
    for mistake in mistakes:
        if _difference(got, mistake.value, tol) is None:
            hint = mistake.hint
            break
    raise Wrong(f"{what}: {problem}", hint)


def expect_that(condition: bool, message: str, hint: str | None = None) -> None:
    """Raise `Wrong` with the message unless the condition holds, for what is not an equality."""
    if not condition:
        raise Wrong(message, hint)


def number(what: str, got: Any) -> float:
    """`got` as a finite float, for verdicts such as `loss < 2.2`; else raise `Wrong`."""
    array = _as_numbers(got)
    if array is None or array.size != 1 or np.iscomplexobj(array):
        hint = NOTHING if got is None else None
        raise Wrong(f"{what}: expected one number, got {show(got)}", hint)
    value = float(array.reshape(()))
    if not np.isfinite(value):
        raise Wrong(f"{what}: expected a finite number, got {value}")
    return value


def array(what: str, got: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """`got` as an array of finite floats (of that shape, if given); else raise `Wrong`."""
    values = _as_numbers(got)
    if values is None or np.iscomplexobj(values):
        hint = NOTHING if got is None else None
        raise Wrong(f"{what}: expected an array of numbers, got {show(got)}", hint)
    if shape is not None and values.shape != shape:
        raise Wrong(f"{what}: expected shape {shape}, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise Wrong(f"{what}: expected finite numbers, got some that are infinite or NaN")
    return values.astype(np.float64)


def show(value: Any, limit: int = 120) -> str:
    """Return a value as a reader wants it in one line: short, with at most eight digits."""
    if isinstance(value, list) and (numbers := _as_numbers(value)) is not None:
        value = numbers
    if isinstance(value, np.ndarray):
        flat = np.array2string(value, precision=8, threshold=SHORT, edgeitems=3, separator=", ")
        text = " ".join(flat.split())
        if value.ndim > 1 or value.size > SHORT:
            text += f" of shape {value.shape}"
    elif isinstance(value, float):
        text = f"{value:.10g}"
    else:
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _as_numbers(value: Any) -> np.ndarray | None:
    """The value as a numeric array, or None if it is not numbers."""
    if isinstance(value, (bool, int, float, np.ndarray)) or (
        isinstance(value, list) and value and not any(isinstance(v, (str, dict)) for v in value)
    ):
        try:
            numbers = np.asarray(value)
        except ValueError:  # a ragged list
            return None
        if numbers.dtype.kind in "biufc":
            return numbers
    return None


def _difference(got: Any, want: Any, tol: float) -> str | None:
    """How `got` differs from `want`, in a few words; None if it does not."""

    def told() -> str:  # made for a wrong answer only: printing arrays takes long
        return f"expected {show(want)}, got {show(got)}"

    wanted = _as_numbers(want)
    if _is_empty(want) and isinstance(got, np.ndarray):
        wanted = np.zeros(0)
    if wanted is None:  # strings, None, and lists or dicts of anything
        if type(got) is type(want) and _same(got, want, tol):
            return None
        is_long = max(len(show(got)), len(show(want))) > PLACE
        return (is_long and _first_difference(got, want, tol)) or told()
    numbers = np.zeros(0) if _is_empty(got) and not wanted.size else _as_numbers(got)
    if numbers is None:
        return told()
    if numbers.shape != wanted.shape:
        if isinstance(want, list) and isinstance(got, list):
            if max(numbers.size, wanted.size) <= SHORT and show(want) != show(got):
                return told()
            if found := _first_difference(got, want, tol):
                return found
        return f"expected shape {wanted.shape}, got shape {numbers.shape}"
    if tol == 0:
        off = (numbers != wanted) & ~(_is_nan(numbers) & _is_nan(wanted))
    else:
        # Infinities and NaNs must stand where they are wanted; the rest must be close.
        with np.errstate(all="ignore"):
            off = ~np.isclose(numbers, wanted, rtol=tol, atol=tol, equal_nan=True)
    if not off.any():
        return None
    if off.size <= SHORT and show(want) != show(got):
        return told()
    # Two tables cut short would look alike; the first number that is wrong does not.
    cell = tuple(int(i) for i in np.argwhere(off)[0])
    here, there = (_digits(wanted[cell], numbers[cell]), _digits(numbers[cell], wanted[cell]))
    place = f" at {list(cell)}" if cell else ""
    share = f"; {int(off.sum())} of {off.size} numbers differ" if off.size > 1 else ""
    return f"expected {here}{place}, got {there}{share}"


def _is_empty(value: Any) -> bool:
    """Whether it is a list of nothing, which may stand for an array without numbers."""
    return isinstance(value, list) and not value


def _is_nan(numbers: np.ndarray) -> np.ndarray:
    return numbers != numbers


def _digits(number: Any, other: Any) -> str:
    """A number with as many digits as tell it from another."""
    if number.dtype.kind in "biu":
        return str(number)
    return f"{number:.8g}" if f"{number:.8g}" != f"{other:.8g}" else repr(number.item())


SHORT = 12  # numbers: lists that are no longer are shown whole
PLACE = 60  # characters: a text that is longer is not shown whole where one place differs


def _first_difference(got: Any, want: Any, tol: float) -> str | None:
    """Where two texts or two lists of the same kind begin to differ; None for other kinds."""
    if type(got) is not type(want) or not isinstance(want, (str, list)):
        return None
    same = (
        (lambda a, b: a == b)
        if isinstance(want, str)
        else (lambda a, b: _difference(a, b, tol) is None)
    )
    pairs = enumerate(zip(got, want, strict=False))
    i = next((i for i, (g, w) in pairs if not same(g, w)), min(len(got), len(want)))
    kind = "characters" if isinstance(want, str) else "items"
    if i == min(len(got), len(want)):
        return f"expected {len(want)} {kind}, got {len(got)}; the first {i} are right"
    if isinstance(want, str):
        return (
            f"from character {i} on expected {show(want[i : i + 20])}, got {show(got[i : i + 20])}"
        )
    return f"expected {show(want[i])} at [{i}], got {show(got[i])}"


def _same(got: Any, want: Any, tol: float) -> bool:
    if isinstance(want, dict):
        return got.keys() == want.keys() and all(
            _difference(got[k], want[k], tol) is None for k in want
        )
    if isinstance(want, list):
        return len(got) == len(want) and all(
            _difference(g, w, tol) is None for g, w in zip(got, want, strict=True)
        )
    return got == want
