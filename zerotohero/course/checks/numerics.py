"""What the checks of several lectures need in NumPy: softmax and its loss, and random signs."""

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


def both_signs(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return as many of 1 as of −1, or one more, in any order."""
    return rng.permutation((-1.0) ** np.arange(n))
