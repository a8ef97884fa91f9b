"""The settings of a training run: a recipe, over it a TOML file, over that `key=value` words.

A key is a field of GPTConfig or of TrainConfig; no name is in both. Values are read as the type
of the field and never executed.
"""

import difflib
import tomllib
import types
import typing
from collections.abc import Iterable
from pathlib import Path

from zerotohero.gpt import GPTConfig
from zerotohero.text import read_text
from zerotohero.training import TrainConfig

MODEL = typing.get_type_hints(GPTConfig)
TRAIN = typing.get_type_hints(TrainConfig)
# What a TOML file may say besides; what is in it of PATHS is relative to its folder.
OPTIONS = ("recipe", "data", "init_from", "tokenizer", "hellaswag", "prompt")
PATHS = ("data", "init_from", "hellaswag")
NEEDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    tuple: "numbers with commas between them",
}


def nearest(name: str, names: Iterable[str]) -> str:
    """Say what may have been meant by a name that isn't among `names`, or else all of them."""
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)}."


def typed(key: str, value: object) -> object:
    """Return a setting's value, a word or one from a TOML file, as the type of its field.

    ValueError for a key that is no field, with the names that are near, and for a value that
    isn't of its type.
    """
    fields = MODEL | TRAIN
    if key not in fields:
        raise ValueError(f"There is no setting {key!r}; {nearest(key, fields)}")
    kind = fields[key]
    if isinstance(kind, types.UnionType):  # with None, which is to leave it out
        kind = typing.get_args(kind)[0]
    kind = typing.get_origin(kind) or kind
    try:
        if kind is bool:
            return {"true": True, "false": False}[str(value).lower()]
        if kind is tuple:
            parts = value.strip("()[] ").split(",") if isinstance(value, str) else value
            return tuple(float(part) for part in parts)
        # int(8.5) would be 8, and True counts as 1.
        if isinstance(value, bool) or (kind is int and isinstance(value, float)):
            raise ValueError
        if kind is str and not isinstance(value, str):
            raise ValueError
        return kind(value)
    except (ValueError, TypeError, KeyError, OverflowError):
        raise ValueError(f"{key}={value} doesn't fit: {key} is {NEEDS[kind]}.") from None


def from_words(words: Iterable[str]) -> tuple[str | None, dict[str, object]]:
    """Return the recipe's name, if one is among the words, and the settings `key=value`."""
    names = [word for word in words if "=" not in word]
    for name in names[1:]:
        meant = f"--data {name}" if Path(name).exists() else "a setting, such as n_layer=8"
        raise ValueError(f"{name!r} is a second name; did you mean {meant}?")
    settings = [word.partition("=") for word in words if "=" in word]
    return (names or [None])[0], {key: typed(key, value) for key, _, value in settings}


def from_file(path: Path) -> tuple[dict[str, str], dict[str, object]]:
    """Return the options and the settings of a TOML file.

    Options: those of OPTIONS; a path is relative to the file's folder.
    Settings: the tables `[model]` and `[train]`. ValueError for anything else.
    """
    try:
        content = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not TOML: {error}.") from None
    options, settings = {}, {}
    for key, value in content.items():
        if key in OPTIONS and isinstance(value, str):
            place = path.parent / value
            options[key] = str(place) if key in PATHS and place.exists() else value
        elif key in ("model", "train") and isinstance(value, dict):
            fields = MODEL if key == "model" else TRAIN
            for field, its in value.items():
                if field not in fields:
                    where = "it belongs in the other table." if field in MODEL | TRAIN else None
                    raise ValueError(
                        f"{path}: [{key}] has no {field!r}; {where or nearest(field, fields)}"
                    )
                try:
                    settings[field] = typed(field, its)
                except ValueError as error:
                    raise ValueError(f"{path}: {error}") from None
        elif key in OPTIONS:
            raise ValueError(f"{path}: {key} is {value!r}; it must be a word in quotes.")
        else:
            raise ValueError(
                f"{path}: {key!r} is not known there; it may hold the words "
                f"{', '.join(OPTIONS)}, and the tables [model] and [train]."
            )
    return options, settings
