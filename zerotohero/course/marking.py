"""Mark one submission: its source runs in a worker, and the verdicts are made here.

    for exercise, outcomes in mark(submission):
        ...

Submitted code runs in a worker (`sandbox.py`), which replies with plain values; the verdicts are
made here, by the exercise's own `verify`, with reference answers that the worker never sees. A
forged reply is worth something only if it holds the right answer, and the inputs are drawn anew
for each grading run. `grading.py` does this for a whole class.
"""

import ast
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import zerotohero
from zerotohero.course import checks
from zerotohero.course.checking import NOTEBOOK_SEED, Outcome, judge
from zerotohero.course.exercise import Case, Exercise
from zerotohero.course.sandbox import (
    ALL_MEMORY,
    Answered,
    Unavailable,
    Worker,
    available,
    packages_above,
)
from zerotohero.course.submission import Submission
from zerotohero.course.worker import pack, unpack

MAX_SOURCE = 50_000  # bytes for one exercise: ten times a long answer, half of a zipped data set
VERDICT_MEMORY = 4 * 2**30  # bytes that one verdict may take, on whatever values came back
_KILLED = -9  # the exit code; Windows has no signal.SIGKILL
_LIBRARY = Path(zerotohero.__file__).parent


@dataclass(frozen=True)
class Marked:
    """An exercise of one submission, marked."""

    number: str
    outcomes: list[Outcome]  # one a case, in order
    disturbed: bool = False  # killed from outside of it, perhaps for lack of memory

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

    Raises sandbox.Unavailable if the sandbox cannot run here.
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
        }

    def __reduce__(self):  # a case holds functions, which do not travel to another process
        return _asked_again, (self.exercise.number, self.seed)


def _asked_again(number: str, seed: int) -> Asked:
    return Asked(checks.find(number), seed)


def _sources(adapters: str, uses: Sequence[str]) -> dict[str, str]:
    """The modules that an answer may import: the adapters, what it `uses`, and what that imports.

    Of a package its `__init__` comes along, and what that imports; the course's own are empty.
    """
    names, sources = [adapters, *(f"zerotohero.{name}" for name in uses)], {}
    while names:
        name = names.pop()
        if name not in sources:
            above = packages_above([name])
            course = {package for package in above if package.startswith("zerotohero.course")}
            sources |= dict.fromkeys(course, "") | {name: _source(name)}
            names += [*(above - course), *_imported(sources[name])]
    return sources


def _file(name: str) -> Path:
    """Where the source of a module or a package of ours is. Nothing is imported to find it."""
    path = _LIBRARY.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _source(module: str) -> str:
    return _file(module).read_text("utf-8")


def _imported(source: str) -> Iterator[str]:
    """The modules of ours that a source imports at its top level."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            package = statement.module
            names = [package, *(f"{package}.{alias.name}" for alias in statement.names)]
        else:
            continue
        yield from (n for n in names if n.startswith("zerotohero.") and _file(n).is_file())


def marked(
    submission: Submission, asked: Sequence[Asked], sandboxed: bool, slot: int = 0
) -> Iterator[Marked]:
    sources = {a.exercise.number: submission.exercises.get(a.exercise.number) for a in asked}
    texts = [t for a in asked for t in a.request["sources"].values() if sources[a.exercise.number]]
    torch = any("torch" in text for text in (*texts, *filter(None, sources.values())))
    with Worker(sandboxed=sandboxed, torch=torch, slot=slot) as worker:
        for a in asked:
            source = sources[a.exercise.number]
            if source and source.strip():
                yield _mark_one(a, source, worker)
            else:
                absent = [Outcome(c, "not yet", "not handed in") for c in a.exercise.cases]
                yield Marked(a.exercise.number, absent)


def _mark_one(asked: Asked, source: str, worker: Worker) -> Marked:
    exercise, outcomes = asked.exercise, []
    if len(source.encode(errors="replace")) > MAX_SOURCE:
        why = f"more than {MAX_SOURCE // 1000} kB of source: hand in the code, not data"
        return Marked(exercise.number, [Outcome(c, "crashed", why) for c in exercise.cases])
    try:
        answered = worker.ask(asked.request | {"source": source}, asked.questions)
    except Unavailable:  # though it was there before: something has taken its room
        answered = Answered()
    for i, case in enumerate(exercise.cases):
        if i < len(answered.replies):
            outcome = _verdict(case, asked.givens[i], answered.replies[i], exercise.time_limit)
        else:
            outcome = Outcome(case, "crashed", _why_no_answer(answered, exercise.time_limit))
        outcomes.append(outcome)
    killed = answered.ended == "exited" and answered.code == _KILLED
    return Marked(exercise.number, outcomes, disturbed=killed or answered.ended == "lost")


def _verdict(case: Case, given: bytes, reply: bytes, seconds: float) -> Outcome:
    try:
        with _bounded(seconds):
            return judge(case, unpack(given), unpack(reply))
    except Exception as error:  # by a reply that is made to break what reads it
        return Outcome(case, "wrong", f"the answer is not of the kind asked for ({error!r:.80})")


@contextlib.contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Raise TimeoutError or MemoryError in the block if it takes too much, where that is known."""
    if os.name != "posix" or threading.current_thread() is not threading.main_thread():
        yield
        return
    import resource

    def stop(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    if sys.platform == "linux":
        hard = limits[1]
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + VERDICT_MEMORY
        unlimited = hard == resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_AS, (limit if unlimited else min(limit, hard), hard))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if sys.platform == "linux":
            resource.setrlimit(resource.RLIMIT_AS, limits)


def _why_no_answer(answered: Answered, seconds: float) -> str:
    code = answered.code
    if answered.ended == "timeout":
        return f"no answer within the {seconds:g} seconds that this exercise has"
    if answered.ended == "exited" and code is not None and code >= 0:
        return f"your code ended the whole program (exit code {code}) before it answered"
    if answered.ended == "exited" and code not in (None, _KILLED):
        return f"your code crashed Python (signal {-code}) before it answered"
    if answered.ended == "memory":
        return f"your code took more than {ALL_MEMORY // 2**30} GB of memory"
    if answered.ended == "garbage":
        return "your code wrote to where the answers go, so no answer came back"
    return "your code was ended before it answered; perhaps it took too much memory"
