"""Rows of a torch `Dataset`: pairs of inputs and targets, as minGPT and much other code has them.

The idea: a Dataset is a list of examples that somebody else wrote. It is read once, at the start,
and becomes the two tensors that a Trainer takes, so everything else holds as for these: rows by
number, the same ones again after an interruption, data that are checked before the first step. A
Dataset that draws its examples by chance is read once, too, and as many are drawn as its length
says. What a long text is cut into overlaps and would fill the memory: give the text itself.
"""

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from zerotohero import IGNORED

MINGPTS = -1  # the target that is none in minGPT


def rows_of(dataset: Dataset, name: str) -> tuple[Int[Tensor, "N T"], Int[Tensor, "N T"]]:
    """Return a Dataset's inputs and targets, filled up on the right where rows differ in length.

    An example is a pair (x, y) of T tokens each, tensors, arrays or lists. Targets of -100 or -1,
    and those behind a row's end, are IGNORED. TypeError or ValueError with one sentence, which
    names the example, for a Dataset that isn't like that; `name` says which data these are.
    """
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise TypeError(
            f"{name} is a {type(dataset).__name__}, which has no length: give a Dataset with "
            "__len__ and __getitem__."
        )
    rows = [_row(dataset[i], i, name) for i in range(len(dataset))]
    longest = max((len(x) for x, _ in rows), default=0)
    X = torch.zeros(len(rows), longest, dtype=torch.long)
    Y = torch.full_like(X, IGNORED)
    for i, (x, y) in enumerate(rows):
        X[i, : len(x)], Y[i, : len(y)] = x, y.where(y != MINGPTS, IGNORED)
    return X, Y


def _row(example: object, i: int, name: str) -> tuple[Int[Tensor, " T"], Int[Tensor, " T"]]:
    """Return an example as two tensors of whole numbers."""
    try:
        x, y = (torch.as_tensor(part) for part in example)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"Example {i} of {name} must be a pair of inputs and targets, such as (x, y)."
        ) from None
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            f"Example {i} of {name} has inputs of the shape {tuple(x.shape)} and targets of "
            f"{tuple(y.shape)}; both must be (T,)."
        )
    for t in (x, y):
        if len(t) and (t.is_floating_point() or t.is_complex() or t.dtype == torch.bool):
            raise ValueError(
                f"Example {i} of {name} is of {t.dtype}; tokens are whole numbers: use .long()."
            )
    return x.long(), y.long()
