"""Where a model's files are, in a folder or on Hugging Face's hub, and what its config.json says.

The idea: everything that can be wrong with such files is found, and said in a sentence, before a
single weight is read. No torch is needed for it, so lecture 11's NumPy reads the same files.
"""

import json
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from zerotohero.formats import Format

CONFIG, WEIGHTS = "config.json", "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"  # where weights are split: which tensor is in which file
PICKLE = "pytorch_model.bin"


def read_config(path: Path, formats: Sequence[Format]) -> tuple[Format, dict[str, object]]:
    """Return which of the formats a config.json is in, and the fields of the GPTConfig.

    ValueError, with one sentence, if it describes something else.
    """
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}).") from None
    kind = theirs.get("model_type") if isinstance(theirs, dict) else None
    for form in formats:
        if form.kind == kind:
            try:
                return form, form.fields(theirs)
            except ValueError as error:
                raise ValueError(f"{path} {error}") from None
    kinds = " or ".join(repr(form.kind) for form in formats)
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
            "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder)."
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


def find(name_or_folder: str | PathLike) -> tuple[Path, list[Path]]:
    """Return where config.json and the weights are, fetched if the name is the hub's.

    FileNotFoundError if there are no such files; ImportError or ConnectionError if they can't be
    fetched.
    """
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
