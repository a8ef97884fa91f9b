"""OpenAI's own release of GPT-2: a folder with hparams.json and a TensorFlow checkpoint.

The idea: the weights of Hugging Face's format, under the names that OpenAI's program gave them.
`model/h0/attn/c_attn/w` is `transformer.h.0.attn.c_attn.weight`; the matrices are (in, out) in both
formats, here with a first axis of one more, because the program wrote them as convolutions of width
one. The output layer is in neither: it is the token embeddings.

The source: github.com/openai/gpt-2, `model.py` and `download_model.py`. What a checkpoint holds
outside of `model/`, such as an optimiser's averages, is not looked at. Left out: the download.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from zerotohero.tf_checkpoint import TensorFlowCheckpoint

CHECKPOINT, SIZES = "model.ckpt", "hparams.json"
FIELDS = {  # our names, and OpenAI's
    "vocab_size": "n_vocab",
    "block_size": "n_ctx",
    "n_layer": "n_layer",
    "n_head": "n_head",
    "n_embd": "n_embd",
}
LAST = {"w": ["weight"], "g": ["weight"], "b": ["bias"]}


def is_in(folder: Path) -> bool:
    """Return whether a folder holds OpenAI's files."""
    return (folder / f"{CHECKPOINT}.index").is_file()


def read(folder: Path) -> tuple[dict, dict[str, Callable[[str], Tensor]]]:
    """Return the fields of the GPTConfig, and what reads each tensor by its name.

    The names and shapes are those of Hugging Face's format. FileNotFoundError or ValueError with
    one sentence if a file is missing or damaged; so do the readers.
    """
    config = _sizes(folder / SIZES)
    checkpoint = TensorFlowCheckpoint(folder / CHECKPOINT)
    names = {_renamed(name): name for name in checkpoint if name.startswith("model/")}
    layers = {name.split(".")[2] for name in names if name.startswith("transformer.h.")}
    if len(layers) != config["n_layer"]:
        raise ValueError(
            f"{folder / SIZES} says n_layer={config['n_layer']}, but {CHECKPOINT} beside it has "
            f"{len(layers)} layers: fetch both again."
        )

    def tensor(ours: str) -> Tensor:
        array = checkpoint[names[ours]]
        return torch.tensor(array[0] if array.ndim == 3 and len(array) == 1 else array)

    return config, dict.fromkeys(names, tensor)


def _renamed(name: str) -> str:
    """Return Hugging Face's name for OpenAI's."""
    _, *parts = name.split("/")
    if parts[0][:1] == "h" and parts[0][1:].isdecimal():
        parts[:1] = "h", parts[0][1:]
    parts[-1:] = LAST.get(parts[-1], [parts[-1], "weight"])
    return ".".join(["transformer", *parts])


def _sizes(path: Path) -> dict:
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
        sizes = {ours: theirs[name] for ours, name in FIELDS.items()}
        fine = all(type(size) is int for size in sizes.values())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path.parent} holds no {path.name}: fetch it again; it tells the model's sizes."
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        fine = False
    if not fine:
        names = ", ".join(FIELDS.values())
        raise ValueError(f"{path} doesn't give {names} as whole numbers: fetch it again.")
    return sizes | {"dropout": 0.1, "bias": True, "tied": True}
