"""What the exercises of lecture 03 share: the data set, the hidden layer and the parameters."""

from typing import Any

import numpy as np

from zerotohero.course.checks.names import STOI
from zerotohero.course.exercise import Wrong, array

NAMES = ("wte", "W1", "b1", "W2", "b2")


def examples(
    words, block_size, stoi=STOI, end=True, reset=True, pad_right=False, newest=False, leak=False
):
    """Return contexts, targets and word numbers; the switches are what learners get wrong."""
    X, Y, source = [], [], []
    context = [0] * block_size
    for n, word in enumerate(words):
        past: list[int] = []
        if reset:
            context = [0] * block_size
        for s in word + "." * end:
            target = stoi[s]
            after = [*context[1:], target]
            row = after if leak else context
            if pad_right:
                row = (past[-block_size:] + [0] * block_size)[:block_size]
            X.append(row[::-1] if newest else row)
            Y.append(target)
            source.append(n)
            context = after
            past.append(target)
    return np.array(X), np.array(Y), np.array(source)


def hidden_layer(
    X: np.ndarray, wte: np.ndarray, W1: np.ndarray, b1: np.ndarray, activation=np.tanh
) -> np.ndarray:
    return activation(wte[X].reshape(len(X), -1) @ W1 + b1)


def parameter(name: str, got: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return one of the five as an array of finite numbers, or raise `Wrong`."""
    if got is None:
        raise Wrong(f"{name}: expected a tensor, got None", f"{name} is None: return a tensor.")
    return array(name, got, shape)
