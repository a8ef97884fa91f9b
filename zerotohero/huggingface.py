"""A GPT's weights as files that the rest of the world reads, and the other way round."""

from os import PathLike
from typing import Self

from torch import nn


def save_pretrained(model: nn.Module, folder: str | PathLike) -> None:
    """Write config.json and model.safetensors into `folder`, as `transformers` reads them."""
    raise NotImplementedError


def from_pretrained(cls: type[Self], name_or_folder: str | PathLike, **changes) -> Self:
    """Return the GPT whose config.json and model.safetensors are in a folder, or on the hub."""
    raise NotImplementedError
