"""Writing a file whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, then rename it; the folder is made if need be.

    Whatever interrupts it, `path` is what it was or what it shall be. Raises OSError if it cannot
    be written.
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
