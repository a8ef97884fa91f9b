"""Where workers come from: an ordinary process each, or a sandbox in which they are forked.

A sandbox (`jail.py`) has a nursery as its first process, which imports torch once; every worker is
forked from it into namespaces and a /tmp of its own, as the first process in them: what runs in it
cannot kill it, everything ends with it, and nothing is left for the next.

Limits on memory, processes, files and time hold for each process in a sandbox, and each sandbox of
a run has a core and a user id of its own, so that none starves another.
"""

import base64
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zerotohero.course import jail, syscalls, worker

START_TIME = 120.0  # seconds to start and import torch on a busy machine
_FORKS = sys.platform == "linux"  # elsewhere it is not there, or not safe with torch
# What an ordinary process needs to start; nothing that may hold a secret.
_ENVIRONMENT = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH")


class Unavailable(RuntimeError):
    """The sandbox cannot run here; the message says why and what to do."""


class Plain:
    """A worker as an ordinary process, with the libraries in `preload` imported.

    `setup` is the first frame to send, `requests` and `replies` are its pipes.
    """

    def __init__(self, preload: Sequence[str]):
        self.setup = json.dumps(
            {
                "sandboxed": False,
                "fork": _FORKS,
                "paths": [p for p in sys.path if p.endswith("-packages") and os.path.isdir(p)],
                "preload": preload,
                "all_memory": None,
            }
        ).encode()
        environment = {k: os.environ[k] for k in _ENVIRONMENT if k in os.environ}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `stop`)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            start_new_session=os.name == "posix",
        )
        self.requests, self.replies = self._process.stdin, self._process.stdout

    def said(self) -> str:
        return _said(self._errors)

    def kill(self) -> None:
        with contextlib.suppress(OSError):  # it may be gone
            if os.name == "posix":
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def stop(self) -> int:
        for pipe in (self.requests, self.replies):
            with contextlib.suppress(OSError):  # what was still to be written
                pipe.close()
        try:
            self._process.wait(1.0)  # so that it ends what it has started, and then itself
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._errors.close()
        return self._process.returncode


class Born:
    """A worker from a nursery: `requests` and `replies` are one socket."""

    setup = b""  # which it has from the nursery

    def __init__(self, line: socket.socket, process: int):
        self._line, self._process = line, process
        self.requests, self.replies = line.makefile("wb"), line.makefile("rb")

    def said(self) -> str:
        return ""

    def kill(self) -> None:
        with contextlib.suppress(OSError):  # it may be gone
            signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def stop(self) -> None:
        for pipe in (self.requests, self.replies, self._line):
            with contextlib.suppress(OSError):  # what was still to be written
                pipe.close()
        # A closed line asks it to end what it has started, and then itself.
        if not select.select([self._process], [], [], 1.0)[0]:
            self.kill()
            select.select([self._process], [], [])
        os.close(self._process)


class Nursery:
    """A sandbox with the libraries imported, in which workers are forked, one after the other.

    No stranger's code and no submission ever is in its memory. Processes that are forked from the
    one that made it may use it too, but only one at a time.
    """

    def __init__(self, preload: Sequence[str], slot: int):
        packages = jail.packages()
        setup = {
            "sandboxed": True,
            "fork": True,
            "paths": [jail.inside(i) for i in range(len(packages))],
            "preload": preload,
            "filter": base64.b64encode(syscalls.confined()).decode(),
            "single": base64.b64encode(syscalls.single()).decode(),
            "uid": _unprivileged_uid(slot) if os.geteuid() == 0 else None,
            "memory": jail.MEMORY,
            "all_memory": jail.ALL_MEMORY,
            "processes": jail.PROCESSES,
            "file_size": jail.TMP_SIZE,
            "inodes": jail.INODES,
            "files": jail.FILES,
        }
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `stop`)
        self._line, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A child inherits the cores of the thread that starts it; the filter keeps it there.
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[slot % len(cores)]})
        try:
            with its_end:
                self._process = subprocess.Popen(
                    jail.bubblewrap(packages),
                    stdin=its_end,
                    stdout=subprocess.DEVNULL,
                    stderr=self._errors,
                    env={},
                    start_new_session=True,
                )
        finally:
            os.sched_setaffinity(0, cores)
        with contextlib.suppress(OSError):  # it has ended at once, which its first worker tells
            self._line.send(json.dumps(setup).encode())

    def worker(self) -> Born:
        """Fork a worker. Raises Unavailable if that can't be done."""
        ours, its = socket.socketpair()
        ours.settimeout(START_TIME)
        problem = "the sandbox ended at once"
        with contextlib.suppress(OSError), its:
            socket.send_fds(self._line, [b"w"], [its.fileno()])
            its.close()
            said, processes, _, _ = socket.recv_fds(ours, 500, 1)
            if processes:
                ours.settimeout(None)
                return Born(ours, processes[0])
            problem = said.decode(errors="replace") or problem
        ours.close()
        raise Unavailable(_said(self._errors) or problem)

    def stop(self) -> None:
        """End it and all that is in it."""
        self._line.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            # bwrap waits for its one child, the sandbox's first process. That may belong to
            # another user, so to kill bwrap is not enough.
            pid = self._process.pid
            with contextlib.suppress(OSError):  # it may be gone
                for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                    os.kill(int(child), signal.SIGKILL)
            self._process.kill()
            self._process.wait()
        self._errors.close()


shared: dict[int, Nursery] = {}  # by slot


@contextlib.contextmanager
def nurseries(slots: int, preload: Sequence[str]) -> Iterator[None]:
    """Keep a nursery in each of that many slots, for the block and what it forks.

    preload: the libraries to import there, once for all workers. What else an answer imports, its
        own worker has to.

    Without this, every Worker has a nursery of its own.
    """
    try:
        shared.update({slot: Nursery(preload, slot) for slot in range(slots)})
        yield
    finally:
        for slot in list(shared):
            shared.pop(slot).stop()


def _said(errors: Any) -> str:
    """Return what a process wrote to its standard error, in short."""
    return os.pread(errors.fileno(), 500, 0).decode(errors="replace").strip()


def _unprivileged_uid(slot: int) -> int:
    """Return a user id for one slot, so that the process limit of one sandbox is not another's."""
    return 64000 + os.getpid() % 16 * 64 + slot % 64
