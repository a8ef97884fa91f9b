"""A GPT as the files that the rest of the world reads: config.json and model.safetensors.

The idea: weights outlive the code that trained them if their names and shapes are agreed on. Two
agreements are spoken here, GPT-2's and Llama's (`formats.py`); which of them a model is written
in, its parts decide.

The sources: Hugging Face's `transformers`, which loads what is saved here and whose files are read
here; and the safetensors format, which unlike a pickle can only hold numbers, never code.

Weights that are split over several files are read, too; they are written into one. So is OpenAI's
own release, whose files `openai_release` reads. Left out: models that neither format has words for
(ReLU², queries of one length, ...), and the older pytorch_model.bin, which is a pickle.
"""

import json
import os
from contextlib import ExitStack
from functools import partial
from os import PathLike
from pathlib import Path

import torch
from torch import nn

from zerotohero import openai_release
from zerotohero.formats import FORMATS, Format, Stored, nearest
from zerotohero.gpt_config import GPTConfig
from zerotohero.model_files import CONFIG, WEIGHTS, find, read_config
from zerotohero.tied import HEAD, TABLE

# safetensors and urllib are imported where they are used: most GPTs never leave their Trainer.


def no_words_for(config: GPTConfig) -> list[str]:
    """Return the fields of a configuration that no format has words for: the nearest one's."""
    return list(nearest(config).lacks(config))


def save_pretrained(model: nn.Module, folder: str | PathLike) -> None:
    """Write config.json and model.safetensors into `folder`, which is made if it isn't there.

    `transformers.AutoModelForCausalLM.from_pretrained(folder)` loads them, as a GPT-2 or a Llama,
    whichever the model is. Both files are written under other names first and then put in place,
    so that a crash leaves the old ones. An output layer that isn't the token embeddings any more,
    whatever the configuration says, is written as a layer of its own.

    Raises ValueError, naming the field, if the model has a part that neither of them has.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    config, folder = model.config, Path(folder)
    form = nearest(config)
    for field, has in form.lacks(config).items():
        raise ValueError(
            f"{form.name}'s format has no {field}={getattr(config, field)!r}, only {has!r}: "
            "keep this model as a checkpoint of the Trainer instead."
        )
    head, table = model.lm_head.weight, model.transformer.wte.weight
    tied = config.tied and (head is table or torch.equal(head, table))
    tensors = {}
    for name, weight in model.state_dict().items():
        if name == HEAD and tied:
            continue  # it is the table, which the reader ties again
        for theirs, part in form.cut(name, weight, config).items():
            tensors[theirs] = part.contiguous()
    for name, module in model.transformer.named_modules() if form.zero_biases else ():
        if isinstance(module, nn.Linear | nn.LayerNorm) and module.bias is None:
            weight = module.weight
            tensors[f"transformer.{name}.bias"] = weight.new_zeros(weight.shape[0])
    described = {
        "architectures": [form.architecture],
        "model_type": form.kind,
        **{theirs: getattr(config, ours) for ours, theirs in form.sizes.items()},
        **form.fixed,
        **form.described(config),
        "initializer_range": 0.02,
        "tie_word_embeddings": tied,
        "dtype": str(head.dtype).removeprefix("torch."),
    }
    folder.mkdir(parents=True, exist_ok=True)
    new = {name: folder / f".{name}.{os.getpid()}" for name in (CONFIG, WEIGHTS)}
    try:
        save_file(tensors, new[WEIGHTS], metadata={"format": "pt"})  # transformers asks for it
        new[CONFIG].write_text(json.dumps(described, indent=2) + "\n")
        new[WEIGHTS].chmod(new[CONFIG].stat().st_mode)  # safetensors lets nobody else read it
        for name, path in new.items():
            os.replace(path, folder / name)
    except SafetensorError as error:
        raise OSError(f"{folder} can't be written ({error}).") from None
    finally:
        for path in new.values():
            path.unlink(missing_ok=True)


def from_pretrained(cls, name_or_folder: str | PathLike, **changes):
    """Return the model, a `cls`, of a folder with config.json and model.safetensors, or of a name.

    A folder with OpenAI's own files, hparams.json and model.ckpt, will do as well. "gpt2",
    "gpt2-medium", "gpt2-large" and "gpt2-xl" are OpenAI's weights on the hub; they, and those of
    any Llama there, need `huggingface_hub` and, the first time, a network. What `changes` may
    change: `dropout`, a shorter `block_size`, and `bias=False` where all biases are zero. The
    weights are float32, and the model is in eval mode.

    Raises ValueError if the files hold no GPT-2 or Llama, or other tensors than their config asks
    for; FileNotFoundError if there are no such files; ImportError or ConnectionError if they can't
    be fetched.
    """
    for field in changes:
        if field not in ("dropout", "block_size", "bias"):
            raise ValueError(
                f"from_pretrained can change dropout, block_size and bias, but not {field}: the "
                "weights were trained with what their config.json says."
            )
    with ExitStack() as opened:
        form, fields, stored = _opened(name_or_folder, opened)
        block_size = changes.pop("block_size", fields["block_size"])
        model = assembled(cls, fields | changes, form, stored)
    if block_size != model.config.block_size:
        model.crop_block_size(block_size)
    return model


def _opened(
    name_or_folder: str | PathLike, opened: ExitStack
) -> tuple[Format, dict[str, object], dict[str, Stored]]:
    """Return the format, the fields of the GPTConfig, and the tensors by their names."""
    folder = Path(name_or_folder)
    if openai_release.is_in(folder) and not (folder / CONFIG).is_file():
        return openai_release.read(folder)
    from safetensors import SafetensorError, safe_open

    config_file, weights_files = find(name_or_folder)
    form, fields = read_config(config_file, FORMATS)
    stored = {}
    for path in weights_files:
        try:
            file = opened.enter_context(safe_open(path, "pt"))
        except SafetensorError as error:
            raise ValueError(
                f"{path} is not a whole safetensors file ({error}): fetch or save it again."
            ) from None
        for name in file.keys():  # noqa: SIM118 (no dict)
            shape = tuple(file.get_slice(name).get_shape())
            stored[name] = Stored(shape, partial(file.get_tensor, name))
    return form, fields, stored


@torch.no_grad()
def assembled(cls, fields: dict[str, object], form: Format, stored: dict[str, Stored]):
    """Return the `cls` of these fields with the weights of a file, in eval mode.

    Each tensor is read once, and copied to where it belongs before the next. ValueError if there
    are others than the fields ask for, before anything of their size is made.
    """
    config = cls.Config(**fields)
    if config.n_layer > len(stored):
        raise ValueError(
            f"{config.n_layer} layers can't be in a file of {len(stored)} tensors: fetch it again."
        )
    try:
        with torch.device("meta"):  # no time or memory for numbers that would be overwritten
            model = cls(config)
    except (RuntimeError, OverflowError):
        raise ValueError(
            f"Its {form.settings} describes a model so large that its size can't be computed."
        ) from None
    full = {form.full_name(name): name for name in stored}
    stored = {name: (theirs, stored[theirs]) for name, theirs in full.items() if name}
    _check(model, form, stored)
    model.to_empty(device="cpu")
    for ours, parameter in model.named_parameters():
        for name, place in form.cut(ours, parameter, config).items():
            place.copy_(stored[name][1].read())
    return model.eval()


def _check(model: nn.Module, form: Format, stored: dict[str, tuple[str, Stored]]) -> None:
    """Raise ValueError unless what is stored is what the model has room for.

    What the model shares or does without, and the file has nevertheless, is taken out of it.
    """
    config = model.config
    head, table = (form.cut(ours, model.lm_head.weight, config) for ours in (HEAD, TABLE))
    (head,), (table,) = head, table  # their names
    if config.tied and head in stored:
        (theirs, its), (name, other) = stored.pop(head), stored.get(table, (table, None))
        if other and not torch.equal(its.read(), other.read()):
            raise ValueError(
                f"{theirs} and {name} differ, but config.json says that they are one: set "
                "tie_word_embeddings to false in it."
            )
    if not config.bias:
        for name in [name for name in stored if name.endswith(".bias")]:
            if stored.pop(name)[1].read().any():
                raise ValueError(
                    f"{name} in the file is not zero, so the model needs its biases: load it with "
                    "bias=True."
                )
    places = {}
    for ours, parameter in model.named_parameters():
        places |= form.cut(ours, parameter, config)
    for what, wrong in (
        ("lacks", places.keys() - stored.keys()),
        (f"holds what a {form.name} has no place for:", stored.keys() - places.keys()),
    ):
        if wrong:
            first = ", ".join(sorted(wrong)[:3])
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise ValueError(f"The file of weights {what} {first}{more}.")
    for name, place in places.items():
        theirs, its = stored[name]
        if its.shape != tuple(place.shape):
            raise ValueError(
                f"{theirs} has the shape {its.shape} in the file, but its {form.settings} asks "
                f"for {tuple(place.shape)}."
            )
