"""OpenAI's own release of GPT-2: a folder with hparams.json and a TensorFlow checkpoint.

The idea: the weights of Hugging Face's format, under the names that OpenAI's program gave them.
`model/h0/attn/c_attn/w` is `transformer.h.0.attn.c_attn.weight`; the matrices are (in, out) in both
formats, here with a first axis of one more, because the program wrote them as convolutions of width
one. The output layer is in neither: it is the token embeddings.

The source: github.com/openai/gpt-2, `model.py` and `download_model.py`. What a checkpoint holds
outside of `model/`, such as an optimiser's averages, is not looked at. Left out: the download.
"""

import json
from functools import partial
from pathlib import Path

import torch

from zerotohero.formats import GPT2, Format, Stored
from zerotohero.tf_checkpoint import TensorFlowCheckpoint

CHECKPOINT = "model.ckpt"
LAST = {"w": ["weight"], "g": ["weight"], "b": ["bias"]}


class Release(GPT2):
    """OpenAI's words for a GPT-2, whose sizes take the place of config.json."""

    settings = "hparams.json"
    sizes = {  # noqa: RUF012
        "vocab_size": "n_vocab",
        "block_size": "n_ctx",
        "n_layer": "n_layer",
        "n_head": "n_head",
        "n_embd": "n_embd",
    }

    def full_name(self, theirs: str) -> str | None:
        """Return Hugging Face's name for OpenAI's; None for what isn't the model's."""
        first, *parts = theirs.split("/")
        if first != "model" or not parts:
            return None
        if parts[0][:1] == "h" and parts[0][1:].isdecimal():
            parts[:1] = "h", parts[0][1:]
        parts[-1:] = LAST.get(parts[-1], [parts[-1], "weight"])
        return ".".join(["transformer", *parts])


def is_in(folder: Path) -> bool:
    """Return whether a folder holds OpenAI's files."""
    return (folder / f"{CHECKPOINT}.index").is_file()


def read(folder: Path) -> tuple[Format, dict[str, object], dict[str, Stored]]:
    """Return the format, the fields of the GPTConfig, and the tensors by OpenAI's names.

    FileNotFoundError or ValueError with one sentence if a file is missing or damaged. All is
    verified before the first tensor is copied; until then they take no memory.
    """
    form = Release()
    path = folder / form.settings
    try:
        fields = form.fields(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder} holds no {path.name}: fetch it again; it tells the model's sizes."
        ) from None
    except (ValueError, AttributeError, RecursionError):
        names = ", ".join(form.sizes.values())
        raise ValueError(f"{path} doesn't give {names} as whole numbers: fetch it again.") from None
    checkpoint = TensorFlowCheckpoint(folder / CHECKPOINT)
    names = {name: full for name in checkpoint if (full := form.full_name(name))}
    layers = {full.split(".")[2] for full in names.values() if full.startswith("transformer.h.")}
    if len(layers) != fields["n_layer"]:
        raise ValueError(
            f"{path} says n_layer={fields['n_layer']}, but {CHECKPOINT} beside it has "
            f"{len(layers)} layers: fetch both again."
        )
    stored = {}
    for name in names:
        array = checkpoint[name]
        array = array[0] if array.ndim == 3 and len(array) == 1 else array
        stored[name] = Stored(array.shape, partial(torch.tensor, array))
    return form, fields, stored
