"""Checkpoints: what a training run leaves on disk, written whole or not at all, read without trust.

The idea: a run may be killed at any moment, also while it writes. So a file is written under
another name in the same folder, forced onto the disk, and then renamed, which the operating
system does at once or not at all: `last.pt` is always a whole checkpoint, the old or the new one.

A checkpoint of torch is a pickle, and a pickle may run any program when it is read. These are read
with `weights_only=True`, which admits tensors, numbers, strings and containers of them, and
refuses all else before it runs.

Left out: checkpoints in pieces, one for each device, as models need that don't fit into one.
"""

import io
import os
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

FORMAT = "zerotohero checkpoint 1"
KEYS = {
    "model": dict,
    "model_config": dict,
    "train_config": dict,
    "extra": dict,
    "step": int,
    "log": list,
}


class CheckpointError(ValueError):
    """A file that isn't a checkpoint, or one that doesn't fit what it is loaded into."""


def save_checkpoint(path: str | Path, content: dict[str, Any]) -> None:
    """Write `content` (tensors, numbers, strings, containers of them) to `path`, atomically.

    Whatever interrupts it, `path` is what it was before or the new checkpoint. The temporary file
    beside it, `path` + ".tmp", is overwritten by the next attempt. Raises OSError if the disk
    does.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        try:
            torch.save({"format": FORMAT, **content}, file)
        except RuntimeError as error:  # what torch's writer makes of a disk that refuses
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
        file.flush()
        os.fsync(file.fileno())  # or a power cut could leave the new name with an empty file
    os.replace(temporary, path)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return what a run saved, its tensors on the CPU; nothing in the file is executed.

    The keys: "model", the state dict; "model_config" and "train_config", the fields of the
    configurations as dicts; "extra", the dict given to the Trainer; "step", updates done;
    "log", the rows of log.jsonl up to there; and, in last.pt, what a resumed run needs further:
    "optimizers", "scaler", "precision", "seconds", "data".

    Raises FileNotFoundError if there is no such file, and CheckpointError (a ValueError) for one
    that is cut off, isn't a checkpoint, or holds anything but data.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}; a run writes best.pt and last.pt.")
    with open(path, "rb"):
        pass  # if it can't be opened, the disk's error says why; all others are of the content
    try:
        with warnings.catch_warnings(action="ignore"):  # of a foreign pickle's protocol
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the bytes lead it to
        raise CheckpointError(
            f"{path} can't be read as a checkpoint: it is cut off, something else, or holds more "
            "than data, and nothing in it was run. Take another checkpoint, or train again."
        ) from error
    good = isinstance(content, dict) and content.get("format") == FORMAT
    if not good or not all(isinstance(content.get(key), kind) for key, kind in KEYS.items()):
        raise CheckpointError(
            f"{path} is a file of torch, but not a checkpoint of this course. Take the best.pt or "
            "last.pt of a run."
        )
    return content


def plain(extra: dict[str, Any]) -> dict[str, Any]:
    """The dict as it comes back from a checkpoint; ValueError if it wouldn't."""
    buffer = io.BytesIO()
    try:
        torch.save(extra, buffer)
        buffer.seek(0)
        return torch.load(buffer, weights_only=True)
    except Exception as error:
        raise ValueError(
            "extra can't be kept in a checkpoint: it may hold numbers, strings, tensors, and "
            "lists, tuples and dicts of these."
        ) from error


def check_same(
    path: Path, what: str, old: dict[str, Any], new: dict[str, Any], free: Collection[str] = ()
) -> None:
    """Raise CheckpointError if `old`, from the file, differs from `new` in a field not `free`."""
    differing = [k for k in new if k not in free and old.get(k) != new[k]]
    if differing:
        other = [f"{k} was {old.get(k)!r} and is {new[k]!r}" for k in differing]
        raise CheckpointError(
            f"{path} was written with another {what}: {', '.join(other)}. Resume with what it was, "
            "or train into another folder."
        )
