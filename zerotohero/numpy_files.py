"""A GPT-2 read from its files with NumPy alone: safetensors, config.json, and its vocabulary.

The idea: a .safetensors file is eight bytes (how long the header is), a header in JSON (the name,
type, shape and place of each array) and then the numbers, as they lie in memory. So NumPy can map
it, and nothing is read before it is used. What is read is checked first: a file from a stranger
can be cut off or wrong, but it can't make this module do anything but say so.

The source: the description of the format at github.com/huggingface/safetensors.

New against `huggingface`: no torch, and no library for the format. Left out: writing.
"""

import json
import math
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path

import numpy as np

from zerotohero.formats import GPT2
from zerotohero.model_files import find, read_config

SIZES = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")  # OpenAI's, on the hub
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
THEIRS = {"wte": "wte.weight", "wpe": "wpe.weight", "blocks": "h"}
THEIRS |= {"w": "weight", "g": "weight", "b": "bias"}  # what parameters are called in the file


def shapes(V: int, block_size: int, n_layer: int, C: int) -> dict:
    """Return the parameters of a GPT-2, as `numpy_gpt` takes them, with a shape for each array."""

    def linear(n: int, m: int) -> dict:
        return {"w": (n, m), "b": (m,)}

    norm = {"g": (C,), "b": (C,)}
    block = {
        "ln_1": norm,
        "attn": {"c_attn": linear(C, 3 * C), "c_proj": linear(C, C)},
        "ln_2": norm,
        "mlp": {"c_fc": linear(C, 4 * C), "c_proj": linear(4 * C, C)},
    }
    return {"wte": (V, C), "wpe": (block_size, C), "blocks": [block] * n_layer, "ln_f": norm}


def build(tree, make, name: str = ""):
    """Return a nested dict of `make(name, leaf)`; a name is such as "blocks.0.attn.c_attn.w"."""
    if isinstance(tree, dict):
        return {key: build(inner, make, f"{name}.{key}".lstrip(".")) for key, inner in tree.items()}
    if isinstance(tree, list):
        return [build(inner, make, f"{name}.{i}") for i, inner in enumerate(tree)]
    return make(name, tree)


def read_safetensors(path: str | PathLike) -> dict[str, np.ndarray]:
    """Return the arrays of a .safetensors file, by name.

    They are views of the file, read when they are used, and can't be written to; bfloat16 becomes
    float32. ValueError if the file isn't whole, or holds something else than floats.
    """
    path = Path(path)
    content = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    try:
        length = int.from_bytes(content[:8].tobytes(), "little")
        if not 8 <= 8 + length <= len(content):
            raise ValueError("it is cut off")
        header = json.loads(content[8 : 8 + length].tobytes())
        header.pop("__metadata__", None)
        numbers = content[8 + length :]
        return {name: _array(numbers, **entry) for name, entry in header.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        why = str(error).rstrip(".") if type(error) is ValueError else "its header makes no sense"
        raise ValueError(
            f"{path} is not a whole safetensors file ({why}): fetch or save it again."
        ) from None


def _array(numbers: np.ndarray, dtype: str, shape: list[int], data_offsets: list[int]):
    start, stop = data_offsets
    if dtype not in DTYPES:
        raise ValueError(f"it holds numbers of the type {dtype!r}, not one of {', '.join(DTYPES)}")
    if not all(type(n) is int and n >= 0 for n in (start, stop, *shape)):
        raise ValueError("its header makes no sense")
    if stop - start != math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize:
        raise ValueError("a shape and its place don't fit")
    if stop > len(numbers):
        raise ValueError("it is cut off")
    array = np.frombuffer(numbers, DTYPES[dtype], math.prod(shape), start).reshape(shape)
    if dtype == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def load_gpt2(name_or_folder: str | PathLike) -> tuple[dict, int]:
    """Return the parameters of a GPT-2 for `numpy_gpt`, in float32, and its number of heads.

    From a folder with config.json and model.safetensors, as `transformers` and lecture 07 write
    them; or "gpt2", "gpt2-medium", "gpt2-large" or "gpt2-xl": OpenAI's weights on the hub.

    FileNotFoundError, ImportError or ConnectionError if there are no such files, or they can't be
    fetched; ValueError if they hold no whole GPT-2, or one with an output layer of its own.
    """
    name = str(name_or_folder)
    if not Path(name).exists() and "/" not in name and name not in SIZES:
        raise FileNotFoundError(
            f"{name} is neither a folder nor a size of GPT-2; those are {', '.join(SIZES)}."
        )
    config_file, weights_files = find(name_or_folder)
    form, config = read_config(config_file, [GPT2()])
    sizes = V, block_size, n_layer, n_head, C = [
        config[size] for size in ("vocab_size", "block_size", "n_layer", "n_head", "n_embd")
    ]
    if min(sizes) < 1 or C % n_head:
        raise ValueError(
            f"{config_file} describes no GPT-2: {n_head} heads can't share {C} channels."
        )
    for part in ("n_hidden", "norm_eps"):
        if config[part] is not None:
            raise ValueError(
                f"{config_file} describes a GPT with {part}={config[part]!r}; here it has "
                "GPT-2's own."
            )
    if not config["tied"]:
        raise ValueError(
            f"{config_file} describes an output layer of its own; here it is the table of tokens."
        )
    tensors = {}
    for path in weights_files:
        tensors |= read_safetensors(path)
    names = {name: form.full_name(name) for name in tensors}
    tensors = {
        full.removeprefix("transformer."): tensors[name] for name, full in names.items() if full
    }
    file = weights_files[0]
    if "lm_head.weight" in tensors:
        head = tensors.pop("lm_head.weight")
        if not np.array_equal(head, tensors.get("wte.weight")):
            raise ValueError(
                f"{file} holds an output layer of its own: here it is the table of tokens."
            )

    def array(name: str, shape: tuple) -> np.ndarray:
        theirs = ".".join(THEIRS.get(part, part) for part in name.split("."))
        if theirs not in tensors:
            raise ValueError(f"{file} lacks {theirs}.")
        found = tensors.pop(theirs)
        if found.shape != shape:
            raise ValueError(
                f"{theirs} has the shape {found.shape} in the file, but its config.json asks for "
                f"{shape}."
            )
        # Columns first, so that the product with wte.T, the largest of all, reads it in order.
        return np.array(found, np.float32, order="F" if name == "wte" else "C")

    if (last := f"h.{n_layer - 1}.ln_1.weight") not in tensors:  # before so many are asked for
        raise ValueError(f"{file} lacks {last}.")
    params = build(shapes(V, block_size, n_layer, C), array)
    if tensors:
        raise ValueError(f"{file} holds what a GPT-2 has no place for: {min(tensors)}.")
    return params, n_head


class Letters:
    """The vocabulary of a model of characters, as `zerotohero export` writes it."""

    def __init__(self, numbers: dict[str, int]):
        self.numbers, self.special = numbers, {}
        self.letters = {number: letter for letter, number in numbers.items()}

    def encode_ordinary(self, text: str) -> list[int]:
        """Return the number of each character. ValueError names one that is unknown."""
        if unknown := sorted(set(text) - self.numbers.keys()):
            raise ValueError(f"The model knows no {unknown[0]!r}; it was trained without it.")
        return [self.numbers[c] for c in text]

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yield the character of each token."""
        return (self.letters[token] for token in ids)


def load_tokenizer(name_or_folder: str | PathLike, V: int):
    """Return the vocabulary of a model with V tokens: `encode_ordinary`, `stream` and `special`.

    It is the tokenizer.json that the course wrote into the folder; or GPT-2's, if V is 50,257.
    FileNotFoundError, ValueError, ImportError or RuntimeError if there is none.
    """
    path = Path(name_or_folder) / "tokenizer.json"
    try:
        model = json.loads(path.read_bytes())["model"]
        if model["type"] == "WordLevel" and set(map(len, model["vocab"])) == {1}:
            return Letters(model["vocab"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # and the reader of lecture 09 says what is wrong
    try:
        from zerotohero import tokenizer_files, vocabularies
    except ImportError as error:
        raise ImportError(
            f"Text is cut into tokens with the package {error.name}: pip install {error.name}."
        ) from None
    try:
        return tokenizer_files.load(path)
    except (FileNotFoundError, ValueError) as error:
        if V == 50_257:  # the hub's own tokenizer.json is written in another way
            return vocabularies.load("gpt2")
        raise error
