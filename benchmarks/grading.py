"""What grading costs: a class that hands in twelve exercises, in its sandboxes.

    python benchmarks/grading.py

The answers are the course's own, of twelve exercises that don't train, from all lectures. Prints
the processor seconds that a file takes (of the grader, the sandboxes and everything in them), and
how much of all cores was in use meanwhile; exits with 1 when a file takes more than 1.5 processor
seconds, when more than a fifth of the cores was idle, or when an answer lost a mark.
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
SECONDS, IN_USE = 1.5, 0.8


def processor_seconds() -> float:
    """Return the seconds of this process and all that it has waited for."""
    usage = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in usage)


def idle_seconds() -> float:
    """Return the seconds of all cores together, waiting for a disk included."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return sum(map(int, fields[4:6])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    solved = from_notebooks(Path(__file__).parent.parent / "solutions", "").exercises
    quick = [e.number for e in checks.handed_in() if not e.takes]
    chosen = quick[:: max(1, len(quick) // EXERCISES)][:EXERCISES]
    with tempfile.TemporaryDirectory() as folder:
        (files := Path(folder, "class")).mkdir()
        for i in range(FILES):
            Submission(f"Student {i}", {n: solved[n] for n in chosen}).write(files / f"{i}.json")
        began, used, idle = time.perf_counter(), processor_seconds(), idle_seconds()
        grades = grading.grade(files, Path(folder, "grades"), chosen)
        wall, used = time.perf_counter() - began, processor_seconds() - used
        in_use = 1 - (idle_seconds() - idle) / wall / os.cpu_count()
    marks = {graded.score for graded in grades.submissions}
    print(f"exercises     {', '.join(chosen)}")
    print(f"marks         {sorted(marks)} of {grades.points} points")
    print(f"a file      {used / FILES:6.2f} s of processor time  (at most {SECONDS:.1f})")
    print(f"            {wall / FILES:6.2f} s of wall-clock time")
    print(f"cores in use  {in_use:4.0%} of {os.cpu_count()}  (at least {IN_USE:.0%})")
    return 0 if marks == {grades.points} and used / FILES <= SECONDS and in_use >= IN_USE else 1


if __name__ == "__main__":
    sys.exit(main())
