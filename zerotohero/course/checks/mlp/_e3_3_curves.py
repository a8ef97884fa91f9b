"""The curves of 3.3: losses at rising rates, drawn so that wrong rules choose other rates."""

import numpy as np


def even_exponents(low: float, high: float, n: int) -> list[float]:
    return [low * (high / low) ** (i / (n - 1)) for i in range(n)]


def choose(rates, losses, window) -> float:
    means = np.convolve(losses, np.ones(window) / window, "valid")
    return rates[int(means.argmin()) + window - 1] / 2


def tells(rates, losses, window) -> bool:
    """Return whether a window of another length, or its median, would choose another rate."""
    want = choose(rates, losses, window)
    medians = [np.median(losses[i : i + window]) for i in range(len(losses) - window + 1)]
    others = [choose(rates, losses, window + d) for d in (-1, 1)]
    return want not in [*others, rates[int(np.argmin(medians)) + window - 1] / 2]


def noisy_curve(rng: np.random.Generator) -> dict:
    """Return a curve with rates that are not evenly spaced."""
    exponents = np.arange(60) / 59 * 5 + rng.uniform(-4.2, -3.8) + rng.uniform(-0.025, 0.025, 60)
    rates = (10**exponents).tolist()
    x = np.linspace(0, 1, 60)
    while True:
        losses = 3 + 20 * (x - 0.7) ** 2 + rng.normal(0, 0.1, 60)
        lucky = rng.integers(5, 20)  # two lucky minibatches; to the first it is the steepest fall
        losses[lucky - 1], losses[lucky] = 0.6, 0.5
        losses[0] = 2.0  # and a lucky start, which is not a window yet
        at = rates.index(2 * choose(rates, losses, 12))
        lowest = int(losses[at - 11 : at + 1].argmin())  # in the window
        if tells(rates, losses, 12) and lowest not in (0, 6, 10, 11):
            return {"rates": rates, "losses": losses.tolist(), "window": 12}


def slopes(rng: np.random.Generator) -> dict:
    """Return curves whose lowest windows are the last, the first, and two in the middle."""
    rates = even_exponents(1e-4, float(rng.uniform(0.01, 0.1)), 20)
    low = float(rng.uniform(2.5, 3.0))
    rising = np.linspace(low + 0.5, low + 0.8, 20)
    rising[:5] = low + np.array([0.25, 0.05, 0.45, 0.0, 0.45])  # the mean of two is lower, and one
    twice = np.array([9.0, 9, 5, 3, 7, 5, 3, *[9] * 13])  # sums of two that are exact
    curves = [(np.linspace(3.3, low, 20), 6), (rising, 5), (twice, 2)]
    return {
        "curves": [
            {"rates": rates, "losses": losses.tolist(), "window": window}
            for losses, window in curves
        ]
    }
