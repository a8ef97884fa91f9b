"""What a worker in a sandbox gives up before it meets a stranger: `confine`.

A nursery has the sandbox's mounts and one capability, to make namespaces for its workers. Each
worker makes a /proc and a /tmp of its own in them, becomes nobody, and takes on limits and a
system-call filter, which hold for all that it starts. This enters the sandbox; it calls the C
library where Python has no function.
"""

import base64
import os
import signal
import struct
from collections.abc import Mapping
from typing import Any

WRITABLE = ("/tmp", "/dev/shm")  # the folders of a sandbox that can be written to
# New ones of mounts, of System V's objects and message queues, of processes, and of networks.
_NAMESPACES = 0x00020000 | 0x08000000 | 0x20000000 | 0x40000000
_NOSUID, _NODEV, _NOEXEC, _READ_ONLY = 2, 4, 8, 1
_RECURSIVELY, _PRIVATE = 0x4000, 0x40000


def new_namespaces() -> None:
    """Leave the nursery's namespaces; the next child is the first process in the new ones."""
    _call("unshare", _NAMESPACES)


def confine(setup: Mapping[str, Any]) -> None:
    """Give up what a stranger's code must not have. Only in a sandbox, before anything else."""
    _mount("none", "/", None, _RECURSIVELY | _PRIVATE, None)
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC | _READ_ONLY, None)
    size = f"mode=1777,size={setup['file_size']},nr_inodes={setup['inodes']}"
    for folder in WRITABLE:
        _mount("tmpfs", folder, "tmpfs", _NOSUID | _NODEV, size)
    os.chdir("/tmp")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a first process doesn't hear
    if (uid := setup["uid"]) is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    version_3, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    _call("capset", version_3, none)
    dumpable(False)  # children cannot change this process
    limit("CORE", 1)  # a pipe to a crash handler outside ignores 0, but not 1
    limit("FSIZE", setup["file_size"])
    limit("NOFILE", setup["files"])
    limit("NPROC", setup["processes"])
    limit("SIGPENDING", setup["files"])
    # So many bytes more than this process has with its libraries, for each.
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    limit("AS", pages * os.sysconf("SC_PAGESIZE") + setup["memory"])
    NO_NEW_PRIVILEGES = 38
    _call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    install(setup["filter"])


def install(program: str) -> None:
    """Install a system-call filter of `syscalls.py`, for this process and all that it starts."""
    import ctypes

    code = ctypes.create_string_buffer(base64.b64decode(program))
    packed = struct.pack("@HP", (len(code) - 1) // 8, ctypes.addressof(code))
    SECCOMP, BY_PROGRAM = 22, 2
    _call("prctl", SECCOMP, BY_PROGRAM, ctypes.create_string_buffer(packed), 0, 0)


def dumpable(allowed: bool) -> None:
    """Set whether processes of the same user may look into this one."""
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


def limit(what: str, value: int) -> None:
    """Set a resource limit, such as "CPU", for this process and all that it starts."""
    import resource  # which Windows lacks

    which = getattr(resource, f"RLIMIT_{what}")
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))
