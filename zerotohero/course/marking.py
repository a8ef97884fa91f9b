"""Mark one submission: its source runs in a worker, and the verdicts are made here.

    for exercise, outcomes in mark(submission):
        ...

Submitted code runs in a worker (`sandbox.py`), which replies with plain values; the verdicts are
made here, by the exercise's own `verify`, with reference answers that the worker never sees. A
forged reply is worth something only if it holds the right answer, and the inputs are drawn anew
for each grading run. `grading.py` does this for a whole class.

Limits are seconds of the processor, so that a busy machine costs no one marks; see `Budget` for
how many a file has. What the wall clock ended though its seconds were not used up is `disturbed`,
and is marked once more, alone.
"""

import ast
import contextlib
import importlib.util
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import zerotohero
from zerotohero.course import checks
from zerotohero.course.checking import NOTEBOOK_SEED, Outcome, judge
from zerotohero.course.exercise import Case, Exercise
from zerotohero.course.jail import ALL_MEMORY
from zerotohero.course.nursery import START_TIME, Unavailable
from zerotohero.course.plain import pack, unpack
from zerotohero.course.sandbox import WALL, Answered, Worker, available
from zerotohero.course.submission import Submission

MAX_SOURCE = 50_000  # bytes for one exercise: ten times a long answer, half of a zipped data set
VERDICT_MEMORY = 4 * 2**30  # bytes that one verdict may take, on whatever values came back
# Of one exercise that doesn't train, and of one that does. The largest that the course's own
# answers give are 0.16 and 3.2 MB; as lists of numbers they would be twice as large.
REPLY, TRAINED_REPLY = 2**20, 12 * 2**20
_KILLED = -9  # the exit code; Windows has no signal.SIGKILL
_LIBRARY = Path(zerotohero.__file__).parent


@dataclass(frozen=True)
class Marked:
    """An exercise of one submission, marked."""

    number: str
    outcomes: list[Outcome]  # one a case, in order
    disturbed: bool = False  # ended from outside: killed, or kept from the processor

    @property
    def score(self) -> int:
        return sum(outcome.points for outcome in self.outcomes)


def mark(
    submission: Submission,
    exercises: Sequence[Exercise] | None = None,
    *,
    sandboxed: bool = True,
    seed: int = NOTEBOOK_SEED,
) -> Iterator[tuple[Exercise, list[Outcome]]]:
    """Mark one submission: each exercise (all that are handed in by default) with its outcomes.

    sandboxed: False runs the code with the rights of this process, which is for one's own work.
    seed: of the inputs; by default those of the notebook's `check`.

    Raises nursery.Unavailable if the sandbox cannot run here.
    """
    exercises = checks.handed_in() if exercises is None else exercises
    if sandboxed and (why_not := available()):
        raise Unavailable(why_not)
    asked = [Asked(e, seed) for e in exercises]
    for exercise, done in zip(exercises, marked(submission, asked, sandboxed), strict=True):
        yield exercise, done.outcomes


class Asked:
    """What a worker is asked for one exercise, but for the answer. The same for all submissions."""

    def __init__(self, exercise: Exercise, seed: int):
        adapters = checks.adapters_of(exercise)
        self.exercise, self.seed = exercise, seed
        givens = [case.given(np.random.default_rng(seed)) for case in exercise.cases]
        self.givens = [pack(given) for given in givens]  # for the verdicts
        self.questions = [pack(Case.asked(given)) for given in givens]  # for the answers
        self.request = {
            "adapters": adapters,
            "sources": _sources(adapters, exercise.uses),
            "answers": list(exercise.answers),
            "cases": [case.adapter for case in exercise.cases],
            "seconds": exercise.time_limit,
            "reply": REPLY if exercise.takes is None else TRAINED_REPLY,
            "without": list(exercise.without),
        }
        if set(exercise.without) - {"threads"}:
            self.request["sources"][_WITHOUT] = _source(_WITHOUT)

    def __reduce__(self):  # a case holds functions, which do not travel to another process
        return _asked_again, (self.exercise.number, self.seed)


_WITHOUT = "zerotohero.course.without"


def _asked_again(number: str, seed: int) -> Asked:
    return Asked(checks.find(number), seed)


def _sources(adapters: str, uses: Sequence[str]) -> dict[str, str]:
    """Return the modules that an answer may import: adapters, what it `uses`, what that imports.

    A package's `__init__` comes along, and what that imports; the course's own are empty.
    """
    names, sources = [adapters, *(f"zerotohero.{name}" for name in uses)], {}
    while names:
        name = names.pop()
        if name not in sources:
            above = _packages_above(name)
            course = {package for package in above if package.startswith("zerotohero.course")}
            sources |= dict.fromkeys(course, "") | {name: _source(name)}
            names += [*(above - course), *_imported(sources[name])]
    return sources


def _file(name: str) -> Path:
    """Return where the source of a module or package of ours is. Nothing is imported to find it."""
    path = _LIBRARY.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _packages_above(module: str) -> set[str]:
    """Return the packages that a module is in."""
    return {module.rsplit(".", n)[0] for n in range(1, module.count(".") + 1)}


def _source(module: str) -> str:
    if module.startswith("zerotohero.course."):  # the tests add a folder of adapters
        return importlib.util.find_spec(module).loader.get_source(module)
    return _file(module).read_text("utf-8")


def _imported(source: str) -> Iterator[str]:
    """Yield the modules of ours that a source imports at its top level."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            package = statement.module
            names = [package, *(f"{package}.{alias.name}" for alias in statement.names)]
        else:
            continue
        yield from (n for n in names if n.startswith("zerotohero.") and _file(n).is_file())


def libraries(asked: Sequence[Asked]) -> list[str]:
    """Return what the workers that are asked this had better import once, for a whole class."""
    names = ["numpy"]
    if any("torch" in text for a in asked for text in a.request["sources"].values()):
        names.append("torch")
        # It imports its compiler when the first optimizer is made, which takes as long again.
        if any(a.exercise.takes for a in asked):
            names.append("torch._dynamo")
    return names


class Budget:
    """The seconds that one file has, for all its exercises: what it asks for beyond its share.

    An exercise's limit is far more than an honest answer needs, for the slowest machine and the
    slowest answer. A file in which every exercise uses all of that would hold the grader for an
    hour. So each has a share, which is what one needs, and what it takes beyond comes out of a
    surplus that the file has once. No answer that needs no more than its share loses it by what
    others have taken.
    """

    def __init__(self, asked: Sequence[Asked]):
        self.surplus = 2 * max((a.exercise.time_limit for a in asked), default=0.0)

    def limit(self, limit: float, share: float) -> float:
        """Return the seconds for something that may take `limit` and needs only its share."""
        return min(limit, share + self.surplus)

    def spend(self, seconds: float, share: float) -> None:
        self.surplus = max(0.0, self.surplus - max(0.0, seconds - share))


def _shares(exercise: Exercise) -> tuple[float, float]:
    """Return the seconds that an answer and a verdict need at most: ten times the course's."""
    return (1.0, 0.2) if exercise.takes is None else (2 * exercise.takes, exercise.takes)


def _verdict_limit(exercise: Exercise) -> float:
    return 2.0 if exercise.takes is None else exercise.takes


def patience(asked: Sequence[Asked]) -> float:
    """Return seconds of the wall clock after which a file's marking must have ended by itself."""
    seconds = Budget(asked).surplus
    for a in asked:
        answer, verdict = _shares(a.exercise)
        seconds += answer + verdict * len(a.exercise.cases)
    return START_TIME + WALL * seconds + 30.0 * len(asked)


def marked(
    submission: Submission, asked: Sequence[Asked], sandboxed: bool, slot: int = 0
) -> Iterator[Marked]:
    sources = {a.exercise.number: submission.exercises.get(a.exercise.number) for a in asked}
    texts = [t for a in asked for t in a.request["sources"].values() if sources[a.exercise.number]]
    torch = any("torch" in text for text in (*texts, *filter(None, sources.values())))
    budget = Budget(asked)
    with Worker(sandboxed=sandboxed, torch=torch, slot=slot) as worker:
        for a in asked:
            source = sources[a.exercise.number]
            if source and source.strip():
                yield _mark_one(a, source, worker, budget)
            else:
                absent = [Outcome(c, "not yet", "not handed in") for c in a.exercise.cases]
                yield Marked(a.exercise.number, absent)


def _mark_one(asked: Asked, source: str, worker: Worker, budget: Budget) -> Marked:
    exercise, outcomes = asked.exercise, []
    if len(source.encode(errors="replace")) > MAX_SOURCE:
        why = f"more than {MAX_SOURCE // 1000} kB of source: hand in the code, not data"
        return Marked(exercise.number, [Outcome(c, "crashed", why) for c in exercise.cases])
    share, verdict_share = _shares(exercise)
    seconds = budget.limit(exercise.time_limit, share)
    try:
        answered = worker.ask(
            asked.request | {"source": source, "seconds": seconds}, asked.questions
        )
    except Unavailable:  # though it was there before: something has taken its room
        answered = Answered()
    killed = answered.ended == "exited" and answered.code == _KILLED
    disturbed = killed or answered.ended in ("lost", "wall")
    spent = answered.used + answered.asleep
    budget.spend(seconds if disturbed and not killed else spent, share)
    for i, case in enumerate(exercise.cases):
        if i < len(answered.replies):
            limit = budget.limit(_verdict_limit(exercise), verdict_share)
            outcome, used, starved = _verdict(case, asked.givens[i], answered.replies[i], limit)
            budget.spend(used, verdict_share)
            disturbed |= starved
        else:
            why = _why_no_answer(answered, seconds, seconds < exercise.time_limit)
            outcome = Outcome(case, "crashed", why)
        outcomes.append(outcome)
    return Marked(exercise.number, outcomes, disturbed)


class _TooLong(BaseException):
    """A verdict has used up its seconds. No Exception: a verdict might catch it."""

    starved = False  # by the wall clock


def _verdict(case: Case, given: bytes, reply: bytes, seconds: float) -> tuple[Outcome, float, bool]:
    """Return the verdict, the processor seconds that it took, and whether it was kept from one."""
    began, starved = time.process_time(), False
    try:
        with _bounded(seconds):
            outcome = judge(case, unpack(given), unpack(reply))
    except _TooLong as limit:
        starved = limit.starved
        what = (
            f"{WALL * seconds:g} seconds of the wall clock" if starved else f"{seconds:g} seconds"
        )
        why = f"the verdict on what came back took more than {what}, far more than for any answer"
        outcome = Outcome(case, "wrong", why)
    except Exception as error:  # by a reply that is made to break what reads it
        why = f"the answer is not of the kind asked for ({error!r:.80})"
        outcome = Outcome(case, "wrong", why)
    return outcome, time.process_time() - began, starved


@contextlib.contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Raise _TooLong or MemoryError in the block if it takes too much, where that is known.

    seconds: of the processor; the wall clock is a guard.
    """
    if os.name != "posix" or threading.current_thread() is not threading.main_thread():
        yield
        return
    import resource

    def stop(number: int, _: Any) -> None:
        error = _TooLong()
        error.starved = number == signal.SIGALRM
        raise error

    clocks = {signal.SIGPROF: signal.ITIMER_PROF, signal.SIGALRM: signal.ITIMER_REAL}
    before = {number: signal.signal(number, stop) for number in clocks}
    limits = resource.getrlimit(resource.RLIMIT_AS)
    if sys.platform == "linux":
        hard = limits[1]
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + VERDICT_MEMORY
        unlimited = hard == resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_AS, (limit if unlimited else min(limit, hard), hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, WALL * seconds)
    try:
        yield
    finally:
        for number, clock in clocks.items():
            signal.setitimer(clock, 0)
            signal.signal(number, before[number])
        if sys.platform == "linux":
            resource.setrlimit(resource.RLIMIT_AS, limits)


def _why_no_answer(answered: Answered, seconds: float, of_the_file: bool) -> str:
    """Return which limit ended it, in the student's terms."""
    code = answered.code
    has = "that were left for this file" if of_the_file else "that this exercise has"
    if answered.ended == "timeout":
        return f"no answer within the {seconds:.3g} seconds of processor time {has}"
    if answered.ended == "asleep":
        return f"no answer within the {seconds:.3g} seconds {has}: your code waited for something"
    if answered.ended == "wall":
        return (
            f"no answer within {WALL * seconds:.3g} seconds by the clock, in which your code had "
            f"{answered.used:.1f} of the {seconds:.3g} seconds of processor time {has}"
        )
    if answered.ended == "exited" and code is not None and code >= 0:
        return f"your code ended the whole program (exit code {code}) before it answered"
    if answered.ended == "exited" and code not in (None, _KILLED):
        return f"your code crashed Python (signal {-code}) before it answered"
    if answered.ended == "memory":
        return f"your code took more than {ALL_MEMORY // 2**30} GB of memory"
    if answered.ended == "garbage":
        return "your code wrote to where the answers go, so no answer came back"
    return "your code was ended before it answered; perhaps it took too much memory"
