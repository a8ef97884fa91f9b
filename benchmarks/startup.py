"""How fast the course answers: import, `zerotohero --help`, lecture 04's widget, and every check
that doesn't train.

    python benchmarks/startup.py

Prints the median of several runs beside the promise, in milliseconds of processor time, so that
other work on the machine changes little; exits with 1 if a promise is not kept. The first two
start a fresh interpreter each time, and stand beside one that does nothing.
"""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from zerotohero.bigram import Vocabulary
from zerotohero.course import checks, data
from zerotohero.course.answering import define
from zerotohero.course.cells import code_cells
from zerotohero.course.checking import examine
from zerotohero.course.collecting import collect
from zerotohero.course.widgets.batchnorm import layer_explorer
from zerotohero.mlp import build_dataset

STARTUP, WIDGET, CHECK = 0.3, 0.1, 0.05  # seconds
NETWORK = 0.5  # 6.4 asks the learner's network for all held-out names, three times
RUNS = 9


def median_seconds(action: Callable[[], object]) -> float:
    action()  # the first run reads files and compiles
    seconds = []
    for _ in range(RUNS):
        start = processor_seconds()
        action()
        seconds.append(processor_seconds() - start)
    return statistics.median(seconds)


def processor_seconds() -> float:
    """Return what this process has used, and those that it has started and waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def process(*arguments: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def main() -> int:
    kept = True
    print(f"{'what':<40} {'median':>9}  promise")
    print(f"{'python -c pass':<40} {median_seconds(process('-c', 'pass')) * 1e3:7.0f} ms")
    command = "from zerotohero.course.cli import main; main()"
    for name, arguments in (
        ("python -c 'import zerotohero'", ("-c", "import zerotohero")),
        ("zerotohero --help", ("-c", command, "--help")),
    ):
        seconds = median_seconds(process(*arguments))
        kept &= seconds <= STARTUP
        print(f"{name:<40} {seconds * 1e3:7.0f} ms  {STARTUP * 1e3:.0f} ms")
    words = data.words()[:500]
    explorer = layer_explorer(*build_dataset(words, 3, Vocabulary(words)))
    *_, box, _ = explorer.children

    def click() -> None:
        box.value = not box.value

    seconds = median_seconds(click)
    kept &= seconds <= WIDGET
    name = "lecture 04's widget answers a click"
    print(f"{name:<40} {seconds * 1e3:7.0f} ms  {WIDGET * 1e3:.0f} ms")
    solutions = Path(__file__).parent.parent / "solutions"
    for exercise in checks.all_exercises():
        if exercise.takes:
            continue
        path = solutions / f"{checks.file_name(checks.lecture_of(exercise))}.ipynb"
        source = collect(code_cells(path), exercise.answers)
        answers = define(source, exercise.answers)
        seconds = median_seconds(lambda e=exercise, a=answers: examine(e, a))
        promise = CHECK if exercise.handed_in else NETWORK
        kept &= seconds <= promise
        name = f"check {exercise.number} {exercise.title}"[:40]
        print(f"{name:<40} {seconds * 1e3:7.1f} ms  {promise * 1e3:.0f} ms")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
