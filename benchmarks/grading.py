"""What grading costs: a class that hands in twelve exercises, in its sandboxes.

    python benchmarks/grading.py

The answers are the course's own, of twelve exercises that don't train. Prints the processor
seconds that a file takes (of the grader, the sandboxes and everything in them), and the share of
all cores that was used meanwhile; exits with 1 when a file takes more than 1.5 processor seconds,
when a core in five is idle, or when an answer loses a mark.
"""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from zerotohero.course import checks, grading
from zerotohero.course.submission import Submission, from_notebooks

FILES, EXERCISES = 40, 12
SECONDS, SHARE = 1.5, 0.8


def processor_seconds() -> float:
    usage = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in usage)


def main() -> int:
    cores = len(os.sched_getaffinity(0))
    solved = from_notebooks(Path(__file__).parent.parent / "solutions", "").exercises
    quick = [e.number for e in checks.handed_in() if not e.takes]
    chosen = quick[:: max(1, len(quick) // EXERCISES)][:EXERCISES]  # of every lecture
    with tempfile.TemporaryDirectory() as folder:
        (files := Path(folder, "class")).mkdir()
        for i in range(FILES):
            Submission(f"Student {i}", {n: solved[n] for n in chosen}).write(files / f"{i}.json")
        began, used = time.perf_counter(), processor_seconds()
        grades = grading.grade(files, Path(folder, "grades"), chosen)
        wall, used = time.perf_counter() - began, processor_seconds() - used
    marks = {graded.score for graded in grades.submissions}
    share = used / wall / cores
    print(f"exercises   {', '.join(chosen)}")
    print(f"marks       {sorted(marks)} of {grades.points} points")
    print(f"a file      {used / FILES:8.2f} s of processor time  (at most {SECONDS:.1f})")
    print(f"            {wall / FILES:8.2f} s of wall-clock time")
    print(f"cores used  {share:8.0%}    of {cores}  (at least {SHARE:.0%})")
    return 0 if marks == {grades.points} and used / FILES <= SECONDS and share >= SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
