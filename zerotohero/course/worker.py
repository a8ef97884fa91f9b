"""Where a learner's code is called: in the kernel by `check`, in a worker process by `grade`.

This file is all of the course's machinery that the sandbox can see; a lecture's adapters and the
modules that an exercise `uses` are sent to it with the exercise. It holds no reference answers
and makes no verdicts: it turns inputs into plain values, or into a description of the error. It
imports only the standard library and NumPy.

Run as a program it is the worker: it reads exercises, answers each in a forked child that it stops
in time (without fork, one exercise in itself), and writes the replies. In a sandbox it is the
nursery first, which imports torch once and never meets a stranger: each worker is forked from it
into namespaces of its own, with nothing in them of those before. `sandbox.py` starts all this, and
`marking.py` judges what comes back.
"""

import __future__

import ast
import base64
import contextlib
import gc
import importlib
import importlib.abc
import importlib.util
import json
import linecache
import os
import random
import select
import signal
import socket
import stat
import struct
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, BinaryIO, NoReturn

# --- plain values -------------------------------------------------------------------------------

MAX_REPLY = 32 * 2**20  # bytes of one packed value; an honest answer is far below
MAX_TEXT = 8 * 2**20  # bytes of its JSON part, which takes more memory when it is parsed
ANSWER_FILE = "your answer"  # the file name that submitted code is compiled under

# What an array may hold when it travels: booleans, integers, floats and complex numbers.
_INTEGERS = ("|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8")
_DTYPES = ("|b1", *_INTEGERS, "<f2", "<f4", "<f8", "<c8", "<c16")


class NotPlain(TypeError):
    """A value that is not numbers, text, arrays, or lists and dicts of them."""


def pack(value: Any) -> bytes:
    """Turn a plain value into bytes. Tensors become arrays, tuples lists. Raises NotPlain.

    The bytes are the length of a JSON text, the text, and the raw data of the arrays that it
    refers to, one after the other. Not `npz`: the directory of a zip archive and the headers in
    it are parsers that a stranger could attack, and this needs none but JSON's.
    """
    import numpy as np

    arrays: list[bytes] = []

    def refer(array: np.ndarray) -> dict[str, Any]:
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        dtype = array.dtype.newbyteorder("<")
        if dtype.str not in _DTYPES:
            raise NotPlain(f"an array of {array.dtype}, where numbers are needed")
        if array.nbytes > MAX_REPLY:
            raise NotPlain(f"an array of {array.nbytes / 2**20:.0f} MB, far more than is needed")
        arrays.append(array.astype(dtype, copy=False).tobytes())
        return {"array": [dtype.str, *array.shape]}

    def lower(v: Any, depth: int = 0) -> Any:
        if depth > 20:
            raise NotPlain("lists nested more than 20 deep")
        if v is None or isinstance(v, (bool, int, float, str)):
            # Subclasses too, np.float64 among them: JSON writes them as what they are.
            return v
        if isinstance(v, (list, tuple)):
            return [lower(x, depth + 1) for x in v]
        if isinstance(v, dict):
            return {"dict": {str(k): lower(x, depth + 1) for k, x in v.items()}}
        if isinstance(v, np.ndarray):
            return lower(v.tolist(), depth + 1) if v.dtype.kind == "U" else refer(np.asarray(v))
        if isinstance(v, np.generic):
            return lower(v.item(), depth + 1)
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(v, torch.Tensor):
            v = v.detach().cpu().resolve_conj().resolve_neg()
            return refer((v.float() if v.dtype == torch.bfloat16 else v).numpy())
        name = type(v).__name__
        raise NotPlain(f"a {name}, where a number, a string, an array or a list is needed")

    text = json.dumps(lower(value), separators=(",", ":")).encode()
    size = 4 + len(text) + sum(map(len, arrays))
    if len(text) > MAX_TEXT or size > MAX_REPLY:
        raise NotPlain(f"{size / 2**20:.0f} MB of values, far more than is needed")
    return b"".join((len(text).to_bytes(4, "big"), text, *arrays))


def unpack(data: bytes) -> Any:
    """The plain value in bytes made by `pack`, or by a stranger who wants to harm us.

    Raises ValueError for anything that is not such a value, or that is larger than `pack` makes.
    """
    import numpy as np

    size = int.from_bytes(data[:4], "big")
    if len(data) > MAX_REPLY or size > MAX_TEXT:
        raise ValueError("the value is too large")
    start = 4 + size  # of the next array

    def array(dtype: str, *shape: int) -> np.ndarray:
        nonlocal start
        if dtype not in _DTYPES or len(shape) > 16:
            raise ValueError("not numbers")
        count = 1
        for n in shape:
            if type(n) is not int or not 0 <= n <= MAX_REPLY:
                raise ValueError("not a shape")
            count *= n
        # Every array has bytes of its own: many references to the same would multiply.
        stop = start + count * np.dtype(dtype).itemsize
        if stop > len(data):
            raise ValueError("an array larger than its data")
        flat = np.frombuffer(data[start:stop], dtype="|u1" if dtype == "|b1" else dtype)
        start = stop
        return (flat != 0 if dtype == "|b1" else flat.copy()).reshape(shape)

    def lift(v: Any, depth: int = 0) -> Any:
        if depth > 20:
            raise ValueError("too deep")
        if isinstance(v, list):
            return [lift(x, depth + 1) for x in v]
        if isinstance(v, dict):
            if v.keys() == {"array"}:
                return array(*v["array"])
            return {k: lift(x, depth + 1) for k, x in v["dict"].items()}
        return v

    # A million new lists would make the collector go through all that there is again and again.
    collects = gc.isenabled()
    gc.disable()
    try:
        return lift(json.loads(data[4:start].decode("utf-8")))
    except Exception as error:  # whatever forged bytes can provoke in json or NumPy
        raise ValueError(f"not a plain value: {type(error).__name__}") from None
    finally:
        if collects:
            gc.enable()


# --- calling an answer --------------------------------------------------------------------------


def run_case(adapter: Callable, answers: Sequence[Any], given: bytes) -> bytes:
    """Call the adapter on a learner's answers; return the packed `{"got": …}` or `{"error": …}`.

    given: packed inputs; they are unpacked here, so that no case can change another's.
    """
    try:
        return pack({"got": adapter(*answers, **unpack(given))})
    except NotPlain as error:
        return pack({"error": {"type": "TypeError", "message": f"your code returned {error}"}})
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: an answer that exits has failed its case
        return pack({"error": describe(error)})


def describe(error: BaseException) -> dict[str, Any]:
    """An error in the learner's terms: its type and message, and the line of *their* code."""
    described: dict[str, Any] = {"type": type(error).__name__, "message": _message(error)}
    trace, not_theirs = error.__traceback__, _not_theirs()
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(not_theirs):
            described["line"] = trace.tb_lineno
            described["code"] = linecache.getline(file, trace.tb_lineno).strip()[:200]
            described["function"] = trace.tb_frame.f_code.co_name
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == ANSWER_FILE:
        described |= {"line": error.lineno or 0, "code": (error.text or "").strip()[:200]}
    return described


def _message(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())[:300]
    except Exception:  # an exception class of the learner's own whose __str__ fails
        return ""


_COURSE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _not_theirs() -> tuple[str, ...]:
    """Where files begin that are the course's, Python's or an installed package's."""
    folders = [_COURSE, os.path.dirname(os.__file__)]
    folders += [p for p in sys.path if isinstance(p, str) and p.endswith("-packages")]
    return (*(os.path.join(f, "") for f in folders), "<frozen", "<__array_function__")


def define(source: str, names: Sequence[str]) -> list[Any]:
    """Run submitted source and return what it defines under `names`.

    A statement that fails is passed over, so that a broken plot does not cost the marks of a
    sound function; if a name is then missing, the first failure is raised, or NameError.
    """
    module = types.ModuleType("__answer__")
    sys.modules["__answer__"] = module  # dataclasses and typing look their module up
    linecache.cache[ANSWER_FILE] = (len(source), None, source.splitlines(True), ANSWER_FILE)
    first_failure: BaseException | None = None
    flags = 0  # of `from __future__ import annotations`, which holds for what follows
    for statement in ast.parse(source, ANSWER_FILE).body:
        code = compile(ast.Module([statement], []), ANSWER_FILE, "exec", flags, dont_inherit=True)
        flags |= code.co_flags & __future__.annotations.compiler_flag
        try:
            exec(code, module.__dict__)
        except BaseException as error:
            first_failure = first_failure or error
    missing = [name for name in names if name not in module.__dict__]
    if missing:
        raise first_failure or NameError(f"{' and '.join(missing)} is not defined")
    return [module.__dict__[name] for name in names]


# --- the worker process -------------------------------------------------------------------------

# A frame is its length (4 bytes), one letter for what it is, and its content.
SETUP, EXERCISE, GIVEN = b"s", b"e", b"g"  # to the worker
READY, REPLY, DONE, FAILED = b"y", b"r", b"d", b"f"  # from it
STARTED = b"+"  # no frame: this byte comes with a descriptor of the worker's process

WRITABLE = ("/tmp", "/dev/shm")  # the folders of a sandbox that can be written to


def send(pipe: BinaryIO, kind: bytes, content: bytes = b"") -> None:
    """Write one frame."""
    pipe.write((1 + len(content)).to_bytes(4, "big") + kind + content)
    pipe.flush()


def receive(pipe: BinaryIO) -> tuple[bytes, bytes] | None:
    """Read one frame: its kind and content, or None at the end. Raises ValueError for garbage."""
    head = pipe.read(5)
    if not head:
        return None
    size = int.from_bytes(head[:4], "big") - 1
    if len(head) < 5 or not 0 <= size <= MAX_REPLY:
        raise ValueError("a frame that is too long")
    content = pipe.read(size)
    if len(content) < size:
        raise ValueError("a frame that is cut off")
    return head[4:], content


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
        """Where it would be, for `describe` to know it by."""
        return os.path.join(os.path.dirname(_COURSE), *name.split(".")) + ".py"

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

    Returns how it ended: "answered", "timeout", "asleep", "wall" (see `_Watch`), "memory",
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
            os.setsid()  # so that `_sweep` finds what it starts
            _limit("CPU", int(exercise["seconds"]) + 2)  # of each process that it may start
            if setup["sandboxed"]:
                _dumpable(True)  # so that its memory can be counted
                if "threads" in exercise["without"]:
                    _filter(setup["single"])
            with os.fdopen(write_end, "wb") as pipe:
                _answer(exercise, givens, pipe)
        finally:
            os._exit(1)  # at once: no thread or exit handler of an answer may hold it up
    os.close(write_end)
    watch = _Watch(child, exercise, setup["all_memory"])
    ended, left, buffer = "answered", len(givens), bytearray()
    while left and ended == "answered":
        if over := watch.over():
            ended = over
        elif requests in (ready := select.select([read_end, requests], [], [], 0.02)[0]):
            ended = "abandoned"  # the grader is gone, for it asks nothing before this is answered
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
        elif _exit_code(child, 0) is not None:
            ended = "exited"
    os.close(read_end)
    code = _exit_code(child, 0.5) if ended == "exited" else None
    watch.look()
    seconds = {"used": watch.used, "asleep": watch.asleep}
    return {"ended": ended, "code": code, "clean": _sweep(child)} | seconds


class _Watch:
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
        """What it has too much of: "timeout", "asleep", "memory" or "wall"; or None."""
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
    """Processor seconds of all processes that this one has waited for."""
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _activity(pid: int) -> tuple[float, bool]:
    """Processor seconds of a process and those it has waited for, and whether it wants more."""
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
    """The fields after the name, which may hold anything: the third of `man proc_pid_stat` on."""
    with open(path, encoding="latin-1") as file:
        return file.read().rpartition(")")[2].split()


def _exit_code(child: int, patience: float) -> int | None:
    """The exit code of a child that has ended, or ends within so many seconds, not yet reaped."""
    until = time.monotonic() + patience
    while True:
        if gone := os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return gone.si_status if gone.si_code == os.CLD_EXITED else -gone.si_status
        if time.monotonic() >= until:
            return None
        time.sleep(0.005)


def _sweep(child: int) -> bool:
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
    """Bytes that the processes of this sandbox have of their own, beside its first.

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
    """Its pages, each divided by how many processes have it."""
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
    """Whether this is the first process of a sandbox, which the sandbox dies with."""
    return os.getpid() == 1


# --- in a sandbox -------------------------------------------------------------------------------


def _nurse(grader: socket.socket, setup: Mapping[str, Any]) -> None:
    """Fork a worker whenever the grader sends a socket for it, until it closes this one."""
    _write("/proc/self/oom_score_adj", "1000")  # out of memory, the kernel ends this and no other
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
        _call("unshare", _NAMESPACES)
        if (child := os.fork()) == 0:
            _run(grader.makefile("rb"), grader.makefile("wb"), setup)
        socket.send_fds(grader, [STARTED], [os.pidfd_open(child)])
    except BaseException as error:
        grader.sendall(f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(0)


# New ones of mounts, of System V's objects and message queues, of processes, and of networks.
_NAMESPACES = 0x00020000 | 0x08000000 | 0x20000000 | 0x40000000
_NOSUID, _NODEV, _NOEXEC, _READ_ONLY = 2, 4, 8, 1
_RECURSIVELY, _PRIVATE = 0x4000, 0x40000


def _confine(setup: Mapping[str, Any]) -> None:
    """Give up what a stranger's code must not have. Only in a sandbox, before anything else."""
    _mount("none", "/", None, _RECURSIVELY | _PRIVATE, None)
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC | _READ_ONLY, None)
    size = f"mode=1777,size={setup['file_size']},nr_inodes={setup['inodes']}"
    for folder in WRITABLE:
        _mount("tmpfs", folder, "tmpfs", _NOSUID | _NODEV, size)
    os.chdir("/tmp")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # for a first process: to be deaf to it
    if (uid := setup["uid"]) is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    version_3, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    _call("capset", version_3, none)
    _dumpable(False)  # children cannot change this process
    _limit("CORE", 1)  # a pipe to a crash handler outside ignores 0, but not 1
    _limit("FSIZE", setup["file_size"])
    _limit("NOFILE", setup["files"])
    _limit("NPROC", setup["processes"])
    _limit("SIGPENDING", setup["files"])
    # So many bytes more than this process has with its libraries, for each.
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    _limit("AS", pages * os.sysconf("SC_PAGESIZE") + setup["memory"])
    NO_NEW_PRIVILEGES = 38
    _call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _filter(setup["filter"])


def _filter(program: str) -> None:
    """Install a system-call filter of `syscalls.py`, for this process and all that it starts."""
    import ctypes

    code = ctypes.create_string_buffer(base64.b64decode(program))
    packed = struct.pack("@HP", (len(code) - 1) // 8, ctypes.addressof(code))
    SECCOMP, BY_PROGRAM = 22, 2
    _call("prctl", SECCOMP, BY_PROGRAM, ctypes.create_string_buffer(packed), 0, 0)


def _dumpable(allowed: bool) -> None:
    """Whether processes of the same user may look into this one."""
    DUMPABLE = 4
    _call("prctl", DUMPABLE, int(allowed), 0, 0, 0)


def _mount(source: str, folder: str, kind: str | None, flags: int, options: str | None) -> None:
    source, folder, kind, options = (s and s.encode() for s in (source, folder, kind, options))
    _call("mount", source, folder, kind, flags, options)


def _call(name: str, *arguments: Any) -> None:
    """Call a function of the C library. Raises OSError if it fails."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _limit(what: str, value: int) -> None:
    import resource  # which Windows has not

    which = getattr(resource, f"RLIMIT_{what}")
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


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
            _expect(requests, SETUP)  # not before the grader knows of this process
            _confine(setup)
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
        givens = [_expect(requests, GIVEN) for _ in exercise["cases"]]
        if setup["fork"]:
            done = _supervise(exercise, givens, requests, replies, setup)
        else:  # this process is for one exercise only
            threading.Thread(target=_end_after, args=(exercise["seconds"],), daemon=True).start()
            _answer(exercise, givens, replies)
            done = {"ended": "answered", "code": None, "clean": False, "used": 0.0, "asleep": 0.0}
        send(replies, DONE, json.dumps(done).encode())


TIME_UP = 77  # the exit code of a worker that ends itself


def _end_after(seconds: float) -> None:
    """End this process once it has used so many seconds of the processor."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        time.sleep(0.1)
    os._exit(TIME_UP)


def _expect(requests: BinaryIO, kind: bytes) -> bytes:
    frame = receive(requests)
    if frame is None or frame[0] != kind:
        raise ValueError(f"expected a frame {kind!r}")
    return frame[1]


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
        setup = json.loads(_expect(requests, SETUP))
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
