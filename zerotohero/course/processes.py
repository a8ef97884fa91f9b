"""The processes of an exercise: what they use of processor and memory, and their end.

    watch = Watch(child, exercise, memory)
    while not watch.over():     # "timeout", "asleep", "memory" or "wall", when it has had its share
        ...
    sweep(child)                # ends all that is left

It counts all that an answer has started. In a sandbox that is every process but the first, which
is the one that counts; outside, it is the answer's own. This enters the sandbox.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping
from typing import Any

from zerotohero.course.confining import WRITABLE


class Watch:
    """Whether an exercise has had its share: of the processor, of memory, and of time.

    Its seconds are those of the processor, of the child and all that it starts, and those in which
    none of them wants one: a machine that is busy elsewhere costs an answer nothing, and one that
    sleeps gains nothing. The wall clock is a guard far beyond both.
    """

    EVERY = 0.1  # seconds between two looks

    def __init__(self, child: int, exercise: Mapping[str, Any], memory: int | None):
        self.child, self.seconds, self.memory = child, exercise["seconds"], memory
        self.used = self.asleep = 0.0
        self.last = time.monotonic()
        self.wall = self.last + exercise["wall"]
        self.reaped = _reaped_seconds()

    def over(self) -> str | None:
        """Return what it has had too much of: "timeout", "asleep", "memory" or "wall"; or None."""
        now = time.monotonic()
        if now - self.last >= self.EVERY:
            self.look()
            if self.used + self.asleep > self.seconds:
                return "timeout" if self.used > self.asleep else "asleep"
            if self.memory is not None and _memory(self.memory) > self.memory:
                return "memory"
        return "wall" if now > self.wall else None

    def look(self) -> None:
        """Count the seconds since the last look."""
        now = time.monotonic()
        found = [_activity(pid) for pid in self._processes()]
        # One that ends meanwhile is counted in its parent's seconds, or in those of the reaped.
        seconds = sum(seconds for seconds, _ in found) + _reaped_seconds() - self.reaped
        used = max(self.used, seconds)
        if not any(wants for _, wants in found):
            # A look may come late, and then this moment says little of the time before it.
            idle = min(now - self.last, 2 * self.EVERY) - (used - self.used)
            self.asleep += max(0.0, idle)
        self.last, self.used = now, used

    def _processes(self) -> Iterable[int]:
        if not _is_init():
            return [self.child]
        pids = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if pid != 1]
        for orphan in pids:
            if orphan != self.child:
                with contextlib.suppress(ChildProcessError):  # it has a parent
                    os.waitpid(orphan, os.WNOHANG)
        return pids


def _reaped_seconds() -> float:
    """Return the processor seconds of all processes that this one has waited for."""
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _activity(pid: int) -> tuple[float, bool]:
    """Return processor seconds of a process and those it waited for, and whether it wants more."""
    try:
        fields = _stat(f"/proc/{pid}/stat")
        seconds = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        wants = fields[0] in "RD"
        if not wants and int(fields[17]) > 1:  # one of its threads may
            threads = (f"/proc/{pid}/task/{name}/stat" for name in os.listdir(f"/proc/{pid}/task"))
            wants = any(_stat(thread)[0] in "RD" for thread in threads)
        return seconds, wants
    except OSError:  # it has ended
        return 0.0, True


def _stat(path: str) -> list[str]:
    """Return the fields after the name, which may hold anything (`man proc_pid_stat`)."""
    with open(path, encoding="latin-1") as file:
        return file.read().rpartition(")")[2].split()


def exit_code(child: int, patience: float) -> int | None:
    """Return the exit code of a child, not yet reaped, that ends within that many seconds."""
    until = time.monotonic() + patience
    while True:
        if gone := os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return gone.si_status if gone.si_code == os.CLD_EXITED else -gone.si_status
        if time.monotonic() >= until:
            return None
        time.sleep(0.005)


def sweep(child: int) -> bool:
    """End all that an exercise has left running; return whether it has left no files either."""
    if _is_init():
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)  # everything in this sandbox but this process
    else:
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                kill(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    try:
        return not (_is_init() and any(map(os.listdir, WRITABLE)))
    except OSError:  # it has closed the folder
        return False


SOCKET_MEMORY = 2**19  # bytes that the kernel may hold for one local socket, roughly


def _memory(limit: int) -> int:
    """Return the bytes that the processes of this sandbox have of their own, beside its first.

    Pages that a fork shares are counted for each at first, which costs little, and once where that
    would be more than the limit. What is in sockets belongs to no process.
    """
    with open("/proc/net/unix") as file:
        sockets = SOCKET_MEMORY * max(0, sum(1 for _ in file) - 1)
    pids = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
    if (all_of_each := sum(map(_own_memory, pids)) + sockets) <= limit:
        return all_of_each
    return sum(map(_share_of_memory, pids)) + sockets


def _own_memory(pid: str) -> int:
    return _kilobytes(f"/proc/{pid}/status", (b"RssAnon:", b"RssShmem:")) * 1024


def _share_of_memory(pid: str) -> int:
    """Return its pages, each divided by how many processes have it."""
    try:
        return _kilobytes(f"/proc/{pid}/smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:")) * 1024
    except PermissionError:  # it has closed itself to be read
        return _own_memory(pid)


def _kilobytes(path: str, names: tuple[bytes, ...]) -> int:
    try:
        with open(path, "rb") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(names))
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0


def _is_init() -> bool:
    """Return whether this is the first process of a sandbox, which the sandbox dies with."""
    return os.getpid() == 1
