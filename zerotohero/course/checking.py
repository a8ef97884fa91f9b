"""`check` and `hint`: what a learner calls in a notebook, and the verdicts they share with `grade`.

check("1.1", numerical_gradient)   # a line for each case: right, or what was expected and what came
hint("1.1")                        # the next of three hints
"""

import importlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from zerotohero.course import checks
from zerotohero.course.answering import describe, run_case
from zerotohero.course.exercise import NO_LINE, Case, Exercise, Wrong
from zerotohero.course.plain import pack, unpack
from zerotohero.course.signatures import complaint

NOTEBOOK_SEED = 1  # the notebook asks everyone the same; the grader draws its own seed
_hints_shown: dict[str, int] = {}
accepted: dict[str, int] = {}  # the points of each exercise's last check in this kernel


@dataclass(frozen=True)
class Outcome:
    """What came of one case."""

    case: Case
    status: str  # "passed", "wrong", "crashed" or "not yet"
    message: str = ""  # what was expected and what came
    where: str = ""  # the line of the learner's code that failed, if one did
    hint: str = ""  # for the mistake that was recognised, if one was

    @property
    def points(self) -> int:
        return self.case.points if self.status == "passed" else 0


def check(number: str = "", *answers: Any) -> None:
    """Check your answers to an exercise and print one line for each case.

    number: the exercise's number, such as "1.1".
    answers: what you wrote, in the order that the exercise names it.

    A mistake in the call itself (an unknown number, a missing answer) is printed too, since
    an exception would stop a notebook that is run from top to bottom.
    """
    try:
        exercise = checks.find(number)
    except ValueError as error:
        print(error)
        return
    if slip := _slip(exercise, answers):
        print(slip)
        return
    if exercise.takes:
        print(f"This check trains: about {exercise.takes:.0f} s on two CPU cores.")
    try:
        outcomes = examine(exercise, answers)
    except KeyboardInterrupt as interrupt:
        place = describe(interrupt)
        where = (
            f" in line {place['line']} of your code, `{place['code']}`" if "code" in place else ""
        )
        print(f"Stopped{where}.")
        return
    accepted[exercise.number] = sum(outcome.points for outcome in outcomes)
    print(report(exercise, outcomes))


def _slip(exercise: Exercise, answers: Sequence[Any]) -> str:
    """What is wrong with the call of check, before any answer is asked; "" if nothing is."""
    call = f'check("{exercise.number}", {", ".join(exercise.answers)})'
    if len(answers) != len(exercise.answers):
        return f"Exercise {exercise.number} takes {_count(len(exercise.answers), 'answer')}: {call}"
    for name, answer in zip(exercise.answers, answers, strict=True):
        if answer is None:  # the starter's, or what a function that prints gives when it is called
            return f"{name} is None here. Give check {name} itself, once it is made: {call}"
        if not callable(answer):
            return (
                f"{name} is of type {type(answer).__name__} here; check takes {name} itself, "
                f"without calling it: {call}"
            )
    names = [getattr(answer, "__name__", "") for answer in answers]
    if names != list(exercise.answers) and sorted(names) == sorted(exercise.answers):
        return f"The answers are in a different order from the card's: {call}"
    return ""


def hint(number: str = "") -> None:
    """Print the next hint of an exercise: a nudge, then more, then nearly the answer."""
    try:
        exercise = checks.find(number)
    except ValueError as error:
        print(error)
        return
    shown = min(_hints_shown.get(exercise.number, 0), 2)
    _hints_shown[exercise.number] = shown + 1
    print(f"Hint {shown + 1} of 3 for {exercise.number}: {exercise.hints[shown]}")


def examine(exercise: Exercise, answers: Sequence[Any], seed: int = NOTEBOOK_SEED) -> list[Outcome]:
    """Put every case of an exercise to the answers, in this process."""
    adapters = importlib.import_module(checks.adapters_of(exercise))
    outcomes: list[Outcome] = []
    for case in exercise.cases:
        given = case.given(np.random.default_rng(seed))
        reply = run_case(getattr(adapters, case.adapter), answers, pack(case.asked(given)))
        outcomes.append(judge(case, unpack(pack(given)), unpack(reply)))
    return outcomes


def judge(case: Case, given: dict[str, Any], reply: Any) -> Outcome:
    """Return the verdict on one case, from plain values alone: inputs and the worker's reply.

    reply: `{"got": outputs, "calls": …}` or `{"error": {"type", "message", "line", "code"}}`,
        perhaps forged. A right answer fails if its calls broke the card's signature.
    """
    if not isinstance(reply, dict) or not (reply.keys() & {"got", "error"}):
        return Outcome(case, "crashed", "no answer came back")
    if "error" in reply:
        return _crash(case, reply["error"])
    if not isinstance(reply["got"], dict):
        return Outcome(case, "wrong", "no answer came back")
    try:
        case.verify(given, reply["got"])
        if broken := case.exercise and complaint(case.exercise, reply.get("calls", [])):
            raise Wrong(broken.message, broken.hint)
    except Wrong as wrong:
        return Outcome(case, "wrong", wrong.message, hint=wrong.hint or "")
    except Exception as error:  # at something of another kind, or at a forged reply
        with suppress(Exception):  # of notes that are forged, too
            if broken := case.exercise and complaint(case.exercise, reply.get("calls", [])):
                return Outcome(case, "wrong", broken.message, hint=broken.hint)
        return Outcome(case, "wrong", f"the answer is not of the kind asked for ({error!r:.80})")
    return Outcome(case, "passed")


def _crash(case: Case, error: Any) -> Outcome:
    if not isinstance(error, Mapping):
        return Outcome(case, "crashed", "no answer came back")
    kind, message = str(error.get("type", "Error"))[:80], str(error.get("message", ""))[:300]
    # torch raises it too, for what it cannot do with whole numbers, say.
    if kind == "NotImplementedError" and (not message or "is yours to write" in message):
        return Outcome(case, "not yet", message)
    text = f"{kind}: {message}" if message else kind
    where = ""
    if error.get("code"):
        where = f"line {str(error.get('line'))[:9]} of your code, `{str(error['code'])[:200]}`"
    hints = case.crashes | CRASHES
    # Where none of the learner's lines was reached, it is the check that called in vain.
    matched = text if "line" in error else text + NO_LINE
    found = [h for pattern, h in hints.items() if re.search(pattern, matched)]
    return Outcome(case, "crashed", text, where, found[0] if found else "")


# What any exercise may meet, where its own patterns say nothing.
CRASHES = {
    rf"^TypeError: \S+\(\) (takes|missing|got an unexpected|got multiple).*{NO_LINE}": "The check "
    "calls it with the arguments that the card names: keep the signature as it is there.",
}


def report(exercise: Exercise, outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as `check` prints them: a heading, a line for each case, the sum."""
    lines = [f"{exercise.number} · {exercise.title}"]
    if all(outcome.status == "not yet" for outcome in outcomes):
        lines.append("  not yet: the answer still raises NotImplementedError where yours goes.")
        lines.append(f'  hint("{exercise.number}") gives a nudge.')
        return "\n".join(lines)
    said: set[str] = set()
    for outcome in outcomes:
        mark = "✓" if outcome.status == "passed" else "✗"
        line = f"  {mark} {outcome.points}/{outcome.case.points}  {outcome.case.name}"
        if outcome.message and (again := f"{outcome.message} {outcome.where}") in said:
            lines.append(f"{line} — the same")
        else:
            lines.append(line + (f" — {outcome.message}" if outcome.message else ""))
            if outcome.message:
                said.add(again)
            if outcome.where:
                lines.append(f"         where: {outcome.where}")
        if outcome.hint and outcome.hint not in said:
            lines.append(f"         hint: {outcome.hint}")
            said.add(outcome.hint)
    total = sum(outcome.points for outcome in outcomes)
    if total == exercise.points:
        lines.append(f"  All {_count(total, 'point')}.")
    else:
        lines.append(
            f"  {total} of {_count(exercise.points, 'point')}."
            f' hint("{exercise.number}") shows the next hint.'
        )
    return "\n".join(lines)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
