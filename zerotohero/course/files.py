"""Writing a file whole or not at all, and reading one that a stranger has put there."""

import errno
import os
import stat
import tempfile
from pathlib import Path

KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def write_whole(path: Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, then rename it; the folder is made if need be.

    Whatever interrupts it, `path` holds the old content or the new, whole. Raises OSError if it
    cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)  # tempfile makes it 0600, but a class may share the folder
        try:
            os.replace(temporary, path)
        except PermissionError:
            # Windows: another process reads the file that it has put there a moment ago.
            if not path.is_file() or path.read_bytes() != content:
                raise
    finally:
        temporary.unlink(missing_ok=True)  # after the rename it is gone already


_FROM_A_FOLDER = os.open in os.supports_dir_fd  # not on Windows


def kind(mode: int) -> str:
    """Return what has this `st_mode`, if it is not a file: "a link", "a device"."""
    return next((name for test, name in KINDS if test(mode)), "a device")


def read_unfollowed(path: Path, folder: Path, limit: int) -> bytes:
    """Return the first `limit` bytes of a file below `folder`, which itself may be a link.

    Whatever else is there, or is put there meanwhile, is not followed, not waited for and not
    read: OSError, whose strerror says what it is.
    """
    # Windows has none of these flags, but its links and pipes are not as dangerous.
    no_follow, no_wait, directory = (
        getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY")
    )
    flags = os.O_RDONLY | no_follow | no_wait | getattr(os, "O_BINARY", 0)
    *parents, name = path.relative_to(folder).parts
    mode = os.lstat(path).st_mode
    if not stat.S_ISREG(mode):  # not even opened, which a device may take as a command
        raise OSError(errno.EINVAL, f"not a file but {kind(mode)}", str(path))
    if not _FROM_A_FOLDER:
        opened = os.open(path, flags)
    else:
        above = os.open(folder, os.O_RDONLY | directory)
        try:
            for part in parents:
                below = os.open(part, flags | directory, dir_fd=above)
                os.close(above)
                above = below
            opened = os.open(name, flags, dir_fd=above)
        finally:
            os.close(above)
    mode = os.fstat(opened).st_mode
    if not stat.S_ISREG(mode):
        os.close(opened)
        raise OSError(errno.EINVAL, f"not a file but {kind(mode)}", str(path))
    with open(opened, "rb") as file:
        return file.read(limit)
