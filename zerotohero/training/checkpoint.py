"""Checkpoints: what a training run leaves on disk, written whole or not at all, read without trust.

The idea: a run may be killed at any moment, also while it writes. So a file is written under
another name in the same folder, forced onto the disk, and then renamed, which the operating
system does at once or not at all: `last.pt` is always a whole checkpoint, the old or the new one.

A checkpoint of torch is a pickle, and a pickle may run any program when it is read. These are read
with `weights_only=True`, which admits tensors, numbers, strings and containers of them, and
refuses all else before it runs.

Weights are named as the bare model names them, whatever was compiled or distributed on the way.

Left out: checkpoints in pieces, one for each device, as models need that don't fit into one.
"""

import io
import json
import os
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

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
    good = good and all(isinstance(content.get(key), kind) for key, kind in KEYS.items())
    if not good or not all(isinstance(name, str) for name in content["model"]):
        raise CheckpointError(
            f"{path} is a file of torch, but not a checkpoint of this course. Take the best.pt or "
            "last.pt of a run."
        )
    own = content.pop("own_names", [])
    stripped = {name if name in own else _stripped(name): w for name, w in content["model"].items()}
    return content | {"model": stripped}


# --- the names of weights -------------------------------------------------------------------------


def _wrapped(module: nn.Module | None) -> str | None:
    """Return the attribute in which a wrapper holds what it wraps; None for what wraps nothing."""
    if isinstance(module, DataParallel | DistributedDataParallel):
        return "module"
    compiled = module is not None and "_orig_mod" in module._modules
    return "_orig_mod" if compiled else None


def bare(model: nn.Module) -> nn.Module:
    """Return the model without what compiling or distributing has put around it."""
    while name := _wrapped(model):
        model = model._modules[name]
    return model


def _bare_name(model: nn.Module, name: str) -> str:
    """Return the name of a weight in the same model without wrappers, at any depth."""
    module, parts = model, []
    for part in name.split("."):
        if part != _wrapped(module):
            parts.append(part)
        module = module._modules.get(part) if module is not None else None
    return ".".join(parts)


def _stripped(name: str) -> str:
    """Return a weight's name without what looks like a wrapper's part, the model being unknown."""
    return ".".join(part for part in name.split(".") if part not in ("_orig_mod", "module"))


def weights(model: nn.Module) -> dict[str, Any]:
    """Return what a checkpoint keeps of a model: "model", its weights by the bare model's names.

    "own_names" are those that look like a wrapper's and aren't.
    """
    state = {_bare_name(model, name): w for name, w in model.state_dict().items()}
    return {"model": state, "own_names": [name for name in state if _stripped(name) != name]}


def load_weights(model: nn.Module, state: dict[str, Any]) -> None:
    """Put a checkpoint's weights into a model, wrapped or not. RuntimeError if they don't fit."""
    names = {_bare_name(model, name): name for name in model.state_dict()}
    model.load_state_dict({names.get(name, name): w for name, w in state.items()})


# --- what a run keeps -----------------------------------------------------------------------------


def plain(extra: dict[str, Any]) -> dict[str, Any]:
    """Return the dict as it comes back from a checkpoint; ValueError if it wouldn't."""
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


@contextmanager
def log_file(folder: Path | None, rows: list[dict[str, Any]]) -> Iterator[io.TextIOBase]:
    """The folder's open log.jsonl, in which only these rows are left; None: nothing is written.

    The rows are in the checkpoint: what a killed run wrote after it, half lines included, goes.
    """
    if folder is None:
        yield io.StringIO()
        return
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "log.jsonl.tmp"
    temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.replace(temporary, folder / "log.jsonl")
    with open(folder / "log.jsonl", "a") as file:
        yield file
