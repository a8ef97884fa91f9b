"""A GPT as the files that the rest of the world reads: config.json and model.safetensors.

The idea: weights outlive the code that trained them if their names and shapes are agreed on. Two
agreements are spoken here, GPT-2's and Llama's (`formats.py`); which of them a model is written
in, its parts decide.

The sources: Hugging Face's `transformers`, which loads what is saved here and whose files are read
here; and the safetensors format, which unlike a pickle can only hold numbers, never code.

Weights that are split over several files are read, too; they are written into one. Left out:
models that neither format has words for (ReLU², queries of one length, ...), and the older
pytorch_model.bin, which is a pickle.
"""

import json
import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zerotohero.formats import FORMATS, Format, nearest
from zerotohero.gpt_config import GPTConfig
from zerotohero.tied import HEAD, TABLE

# safetensors and urllib are imported where they are used: most GPTs never leave their Trainer.

CONFIG, WEIGHTS = "config.json", "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"  # where weights are split: which tensor is in which file
PICKLE = "pytorch_model.bin"


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

    "gpt2", "gpt2-medium", "gpt2-large" and "gpt2-xl" are OpenAI's weights on the hub; they, and
    those of any Llama there, need `huggingface_hub` and, the first time, a network. What `changes`
    may change: `dropout`, a shorter `block_size`, and `bias=False` where all biases are zero. The
    weights are float32, and the model is in eval mode.

    Raises ValueError if the files hold no GPT-2 or Llama, or other tensors than their config asks
    for; FileNotFoundError if there are no such files; ImportError or ConnectionError if they can't
    be fetched.
    """
    from safetensors import SafetensorError, safe_open

    config_file, weights_files = _find(name_or_folder)
    form, fields = _read_config(config_file)
    for field in changes:
        if field not in ("dropout", "block_size", "bias"):
            raise ValueError(
                f"from_pretrained can change dropout, block_size and bias, but not {field}: the "
                "weights were trained with what their config.json says."
            )
    block_size = changes.pop("block_size", fields["block_size"])
    with ExitStack() as opened:
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
        model = assembled(cls, fields | changes, form, stored)
    if block_size != model.config.block_size:
        model.crop_block_size(block_size)
    return model


class Stored(NamedTuple):
    """A tensor in a file."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


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
    with torch.device("meta"):  # no time for random numbers that would be overwritten
        model = cls(config)
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


def _read_config(path: Path) -> tuple[Format, dict[str, object]]:
    """Return the format that a config.json is in, and the fields of the GPTConfig."""
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}).") from None
    kind = theirs.get("model_type") if isinstance(theirs, dict) else None
    for form in FORMATS:
        if form.kind == kind:
            try:
                return form, form.fields(theirs)
            except ValueError as error:
                raise ValueError(f"{path} {error}") from None
    kinds = " or ".join(repr(form.kind) for form in FORMATS)
    raise ValueError(f"{path} describes a model of the type {kind!r}, not a {kinds}.")


def _in_folder(folder: Path) -> tuple[Path, list[Path]]:
    """Return where config.json and the weights are in a folder."""
    needed = [folder / CONFIG, folder / WEIGHTS]
    if not needed[1].is_file() and (folder / INDEX).is_file():
        needed[1:] = [folder / shard for shard in _shards(folder / INDEX)]
    elif not needed[1].is_file() and list(folder.glob(f"{PICKLE}*")):
        raise FileNotFoundError(
            f"{folder} holds its weights as {PICKLE}, a pickle, which may run any program when it "
            f"is read; only {WEIGHTS} is read here. transformers writes it: "
            "GPT2LMHeadModel.from_pretrained(folder).save_pretrained(folder)."
        )
    for path in needed:
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} holds no {path.name}: give the folder that save_pretrained wrote."
            )
    return needed[0], needed[1:]


def _shards(index: Path) -> list[str]:
    """Return the names of the files that weights are split over; all lie beside the index."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        fine = all(re.fullmatch(r"[\w.-]+\.safetensors", name) for name in names)
    except (ValueError, KeyError, TypeError, AttributeError):
        fine = False
    if not fine:
        raise ValueError(f"{index} doesn't say which tensor is in which file beside it.")
    return names


def _find(name_or_folder: str | PathLike) -> tuple[Path, list[Path]]:
    """Return where config.json and the weights are, fetched if the name is the hub's."""
    folder = Path(name_or_folder)
    if folder.is_dir():
        return _in_folder(folder)
    name = str(name_or_folder)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise FileNotFoundError(f"There is no folder {name}.")
    try:
        from huggingface_hub import constants, errors, hf_hub_download
    except ImportError:
        raise ImportError(
            f"There is no folder {name}, and to fetch it from the Hugging Face hub the package "
            "is missing: pip install huggingface_hub."
        ) from None
    cached = not _answers(constants.ENDPOINT)

    def fetch(file: str) -> Path:
        return Path(hf_hub_download(name, file, local_files_only=cached))

    try:
        config = fetch(CONFIG)
        try:
            return config, [fetch(WEIGHTS)]
        except errors.EntryNotFoundError:
            return config, [fetch(shard) for shard in _shards(fetch(INDEX))]
    except Exception as error:  # the hub's own, and those of whatever carries its bytes
        missing = errors.RepositoryNotFoundError, errors.EntryNotFoundError
        if isinstance(error, missing) and not isinstance(error, errors.LocalEntryNotFoundError):
            raise FileNotFoundError(
                f"Neither a folder nor the Hugging Face hub has a {name} with {CONFIG} and "
                f"{WEIGHTS}."
            ) from None
        why = f"{constants.ENDPOINT} doesn't answer" if cached else type(error).__name__
        raise ConnectionError(
            f"There is no folder {name}, and it could not be fetched from the Hugging Face hub "
            f"({why}): try again with a network, or give a folder."
        ) from error


def _answers(address: str) -> bool:
    """Return whether a server is there; the hub's library would try for half a minute."""
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    url = urlsplit(address)
    if getproxies().keys() & {url.scheme, "all"}:
        return True  # the proxy may reach it where this machine can't
    try:
        port = url.port or {"https": 443, "http": 80}[url.scheme]
        with socket.create_connection((url.hostname, port), timeout=3):
            return True
    except OSError:
        return False
