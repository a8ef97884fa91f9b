"""How the grader and a worker talk: in frames, through a pipe or a socket.

A frame is its length (4 bytes), one letter for what it is, and its content. This enters the
sandbox, and the grader reads with it what a stranger may have forged.
"""

from typing import BinaryIO

from zerotohero.course.plain import MAX_REPLY

SETUP, EXERCISE, GIVEN = b"s", b"e", b"g"  # to the worker
READY, REPLY, DONE, FAILED = b"y", b"r", b"d", b"f"  # from it
STARTED = b"+"  # no frame: this byte comes with a descriptor of the worker's process


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


def expect(requests: BinaryIO, kind: bytes) -> bytes:
    """Read one frame's content. Raises ValueError for a frame of another kind, or none."""
    frame = receive(requests)
    if frame is None or frame[0] != kind:
        raise ValueError(f"expected a frame {kind!r}")
    return frame[1]
