"""The worker: a program that calls learners' code for the grader.

It reads exercises, answers each in a forked child that it stops in time (without fork, one
exercise in itself), and writes the replies. In a sandbox it is the nursery first, which imports
torch once and never meets a stranger: each worker is forked from it into namespaces of its own,
with nothing in them of those before. `nursery.py` starts all this, and `marking.py` judges what
comes back.

This file and the five that it imports are all of the course's machinery that the sandbox can see;
a lecture's adapters and the modules that an exercise `uses` are sent to it with the exercise. They
import only the standard library and NumPy.
"""

import contextlib
import gc
import importlib
import importlib.abc
import importlib.util
import json
import os
import random
import select
import socket
import stat
import sys
import threading
import time
import types
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, NoReturn

if not __package__:  # run by its path, which leads nowhere: the other five are found from here
    sys.path.append(os.path.abspath(os.path.join(__file__, *[".."] * 3)))

from zerotohero.course import confining
from zerotohero.course.answering import COURSE, define, describe, run_case
from zerotohero.course.frames import (
    DONE,
    FAILED,
    GIVEN,
    READY,
    REPLY,
    SETUP,
    STARTED,
    expect,
    receive,
    send,
)
from zerotohero.course.plain import pack
from zerotohero.course.processes import Watch, exit_code, sweep

if not __package__:
    # They stay with what uses them here. Whoever imports `zerotohero` from now on is a stranger,
    # for whom it is what was sent with the exercise.
    sys.path.pop()
    for ours in [name for name in sys.modules if name.partition(".")[0] == "zerotohero"]:
        del sys.modules[ours]


class _Given(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports `zerotohero` from the sources that came with the exercise, and from nowhere else."""

    def __init__(self, sources: Mapping[str, str]):
        self.sources = sources

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.sources:
            if name.partition(".")[0] != "zerotohero":
                return None
            raise ModuleNotFoundError(f"this exercise is graded without {name}", name=name)
        spec = importlib.util.spec_from_loader(name, self, is_package=self.is_package(name))
        spec.origin, spec.has_location = self.path(name), True
        return spec

    def path(self, name: str) -> str:
        """Return where it would be, for `describe` to know it by."""
        return os.path.join(os.path.dirname(COURSE), *name.split(".")) + ".py"

    def is_package(self, name: str) -> bool:
        return any(other.startswith(name + ".") for other in self.sources)

    def get_source(self, name: str) -> str:
        return self.sources[name]

    def get_code(self, name: str) -> types.CodeType:
        return compile(self.sources[name], self.path(name), "exec", dont_inherit=True)


def _answer(exercise: dict[str, Any], givens: Sequence[bytes], replies: BinaryIO) -> None:
    """Answer one exercise: a REPLY frame a case. This process is the stranger's from here on."""
    sys.meta_path.insert(0, _Given(exercise["sources"]))
    _seed()
    failure = None
    try:
        adapters = importlib.import_module(exercise["adapters"])
        if without := [what for what in exercise["without"] if what != "threads"]:
            importlib.import_module("zerotohero.course.without").take_away(without)
        answers = define(exercise["source"], exercise["answers"])
    except BaseException as error:
        failure = pack({"error": describe(error)})
    for case, given in zip(exercise["cases"], givens, strict=True):
        reply = failure or run_case(getattr(adapters, case), answers, given)
        if len(reply) > exercise["reply"]:
            what = f"{len(reply) / 2**20:.1f} MB of values, far more than is needed"
            error = {"type": "TypeError", "message": f"your code returned {what}"}
            reply = pack({"error": error})
        send(replies, REPLY, reply)


def _seed() -> None:
    """Seed the global generators, so that the same inputs give the same marks.

    Not with the seed of the inputs: an answer could draw what is asked of it next.
    """
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def _supervise(
    exercise: dict[str, Any],
    givens: Sequence[bytes],
    requests: BinaryIO,
    replies: BinaryIO,
    setup: Mapping[str, Any],
) -> dict[str, Any]:
    """Answer one exercise in a child; pass on its replies until it is done or its time is up.

    Returns how it ended: "answered", "timeout", "asleep", "wall" (see `Watch`), "memory",
    "garbage", "abandoned" by the grader, or "exited", then with its exit code (negative for a
    signal, None if it lives on without its pipe); and the seconds that it used.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            # The child has a pipe of its own, and none of the grader's.
            for descriptor in (read_end, *{requests.fileno(), replies.fileno()}):
                os.close(descriptor)
            os.setsid()  # so that `sweep` finds what it starts
            # Of each process that it may start.
            confining.limit("CPU", int(exercise["seconds"]) + 2)
            if setup["sandboxed"]:
                confining.dumpable(True)  # so that its memory can be counted
                if "threads" in exercise["without"]:
                    confining.install(setup["single"])
            with os.fdopen(write_end, "wb") as pipe:
                _answer(exercise, givens, pipe)
        finally:
            os._exit(1)  # at once: no thread or exit handler of an answer may hold it up
    os.close(write_end)
    watch = Watch(child, exercise, setup["all_memory"])
    ended, left, buffer = "answered", len(givens), bytearray()
    while left and ended == "answered":
        gone = exit_code(child, 0) is not None  # before the look at what it wrote, or that is lost
        if over := watch.over():
            ended = over
        elif requests in (ready := select.select([read_end, requests], [], [], 0.02)[0]):
            ended = "abandoned"  # the grader is gone: it asks nothing before this is answered
        elif ready:
            if chunk := os.read(read_end, 2**18):
                buffer += chunk
            else:
                ended = "exited"
            while left and len(buffer) >= 5:
                size = int.from_bytes(buffer[:4], "big")
                if buffer[4:5] != REPLY or not 1 <= size <= exercise["reply"] + 1:
                    ended = "garbage"
                    break
                if len(buffer) < 4 + size:
                    break
                send(replies, REPLY, bytes(buffer[5 : 4 + size]))
                del buffer[: 4 + size]
                left -= 1
        # What the child has left behind may hold the pipe open, so its end is looked for too.
        elif gone:
            ended = "exited"
    os.close(read_end)
    code = exit_code(child, 0.5) if ended == "exited" else None
    watch.look()
    seconds = {"used": watch.used, "asleep": watch.asleep}
    return {"ended": ended, "code": code, "clean": sweep(child)} | seconds


def _nurse(grader: socket.socket, setup: Mapping[str, Any]) -> None:
    """Fork a worker whenever the grader sends a socket for it, until it closes this one."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # out of memory, the kernel ends this and no other
    gc.collect()
    gc.freeze()  # so that no worker has to copy what it only looks through
    while True:
        message, descriptors, _, _ = socket.recv_fds(grader, 1, 1)
        if not message:
            break
        if (helper := os.fork()) == 0:
            grader.close()
            _deliver(socket.socket(fileno=descriptors[0]), setup)
        os.close(descriptors[0])
        os.waitpid(helper, 0)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # the workers that have ended
                pass
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _deliver(grader: socket.socket, setup: Mapping[str, Any]) -> NoReturn:
    """Make namespaces and start a worker as the first process in them; tell the grader which."""
    try:
        confining.new_namespaces()
        if (child := os.fork()) == 0:
            _run(grader.makefile("rb"), grader.makefile("wb"), setup)
        socket.send_fds(grader, [STARTED], [os.pidfd_open(child)])
    except BaseException as error:
        grader.sendall(f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(0)


# --- as a program -------------------------------------------------------------------------------


def _import(setup: Mapping[str, Any]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # OpenMP's threads do not survive a fork
    sys.path += setup["paths"]
    environment = dict(os.environ)
    for name in setup["preload"]:
        importlib.import_module(name)
    for name in os.environ.keys() - environment.keys():  # torch leaves the user's in it
        del os.environ[name]
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _run(requests: BinaryIO, replies: BinaryIO, setup: Mapping[str, Any]) -> NoReturn:
    try:
        if setup["sandboxed"]:
            expect(requests, SETUP)  # not before the grader knows of this process
            confining.confine(setup)
        _serve(requests, replies, setup)
    except BaseException as error:
        send(replies, FAILED, f"{type(error).__name__}: {error}"[:500].encode(errors="replace"))
        os._exit(1)
    os._exit(0)


def _serve(requests: BinaryIO, replies: BinaryIO, setup: Mapping[str, Any]) -> None:
    """Answer what the grader asks until it closes the pipe."""
    send(replies, READY)
    while (frame := receive(requests)) is not None:
        exercise = json.loads(frame[1])
        givens = [expect(requests, GIVEN) for _ in exercise["cases"]]
        if setup["fork"]:
            done = _supervise(exercise, givens, requests, replies, setup)
        else:  # this process is for one exercise only
            threading.Thread(target=_end_after, args=(exercise["seconds"],), daemon=True).start()
            _answer(exercise, givens, replies)
            done = {"ended": "answered", "code": None, "clean": False, "used": 0.0, "asleep": 0.0}
        send(replies, DONE, json.dumps(done).encode())


TIME_UP = 77  # the exit code of a worker that ends itself


def _end_after(seconds: float) -> None:
    """End this process once it has used that many seconds of the processor."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        time.sleep(0.1)
    os._exit(TIME_UP)


def main() -> None:
    # The way to the grader moves where no code looks for it; the usual three lead nowhere.
    way_in, way_out = os.dup(0), os.dup(1)
    _lead_nowhere(0, 1)
    if stat.S_ISSOCK(os.fstat(way_in).st_mode):  # a nursery is told by messages, not by a stream
        os.close(way_out)
        grader = socket.socket(fileno=way_in)
        setup = json.loads(grader.recv(2**16))
        _import(setup)
        _lead_nowhere(2)
        _nurse(grader, setup)
    else:
        requests, replies = os.fdopen(way_in, "rb"), os.fdopen(way_out, "wb")
        setup = json.loads(expect(requests, SETUP))
        _import(setup)
        _lead_nowhere(2)
        _run(requests, replies, setup)
    os._exit(0)


def _lead_nowhere(*descriptors: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


if __name__ == "__main__":
    main()
