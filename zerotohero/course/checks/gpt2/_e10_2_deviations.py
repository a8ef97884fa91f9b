"""Deviations of drawn weights for 10.2: pooled over blocks, and recognised."""

import math

import numpy as np

SIGMAS = 5  # a right answer is further off than this in one of two million draws


def pooled(parameters: dict[str, np.ndarray], kind: str) -> np.ndarray:
    """Return the numbers of a kind of matrix in all blocks, such as "attn.c_proj"."""
    found = [w.ravel() for name, w in parameters.items() if name.endswith(f"{kind}.weight")]
    return np.concatenate([np.zeros(0), *found])


def alike(tensors: list[np.ndarray]) -> bool:
    """Return whether their deviations may be one, up to chance."""
    deviations = [float(w.std()) for w in tensors]
    return max(deviations) <= min(deviations) * (1 + 2 * SIGMAS / math.sqrt(2 * tensors[0].size))


def known(deviation: float, size: int, kind: str, N: int, C: int, writes: bool) -> str | None:
    """Return the hint for a deviation that a mistake gives, or None."""
    right = 0.02 / math.sqrt(2 * N)
    ways = [
        (
            math.sqrt(0.02),
            "0.02 is the standard deviation; the variance is its square: `normal_(0.0, 0.02)`.",
        ),
        (1.0, "That is the normal distribution of deviation 1: all is 50 times as large."),
        (
            1 / math.sqrt(C),
            "That is a deviation by the width, 1/√C: the card's doesn't depend on it.",
        ),
        (1 / math.sqrt(3 * C), "That is `nn.Linear`'s own start: it is drawn anew."),
    ]
    if writes:
        ways = [
            (0.02, f"Nothing is divided: {kind} writes to the residual path, in each block."),
            (0.02 / math.sqrt(N), "Each block adds twice to the residual path: √(2N), not √N."),
            (
                0.02 / (2 * N),
                "Divided by 2N: it is the variance that 2N sums add up, so the "
                "deviation is divided by the root.",
            ),
            (
                0.02 * math.sqrt(2 * N),
                "Multiplied by √(2N): what is added 2N times has to be smaller.",
            ),
            (
                0.02 / math.sqrt(24),
                "Divided by √24, which is right for GPT-2's 12 blocks: N is "
                "that of the model at hand.",
            ),
            (0.02 / math.sqrt(2 * N + 1), "Divided by √(2N + 1): the blocks add 2N times."),
            (
                0.02 / math.sqrt(2 * N - 2),
                "Divided by √(2N − 2): N is one larger than the last block's number.",
            ),
            *ways,
        ]
    else:
        ways = [
            (right, f"{kind} was divided by √(2N), and doesn't write to the residual path."),
            *ways,
        ]
        if kind == "wpe":
            openai = "0.01 is what OpenAI's code has for positions: the card says 0.02 for both "
            ways = [(0.01, openai + "tables."), *ways]
    if deviation == 0:
        return "All of them are 0, as biases are: these are drawn."
    near = 0.8 * SIGMAS / math.sqrt(2 * size)
    return next((hint for value, hint in ways if abs(deviation / value - 1) < near), None)


def unlike_normal(tensors: list[np.ndarray]) -> str | None:
    """Return what tells numbers from normal ones, whatever their means and deviations, or None."""
    z = np.concatenate([(w - w.mean()).ravel() / max(w.std(), 1e-9) for w in tensors])
    fourth = float((z**4).mean() / (z**2).mean() ** 2)
    if abs(fourth - 3) < SIGMAS * math.sqrt(24 / z.size):
        return None
    return f"expected normal numbers, whose kurtosis is 3, got {fourth:.2f}"
