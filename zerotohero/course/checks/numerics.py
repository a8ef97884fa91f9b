"""Softmax and its loss in NumPy, as the verdicts of several lectures need them."""

import numpy as np


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return exp(x) scaled to sum to 1 along the axis; NaN where all of it is −∞, as in torch."""
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def mean_loss(logits: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean negative log-likelihood of the targets, (B,), under the logits, (B, V)."""
    shifted = logits - logits.max(-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(-1))
    return float((log_sum - shifted[np.arange(len(targets)), targets]).mean())
