"""The curves of 3.3: losses at rising rates, drawn so that wrong rules choose other rates."""

import numpy as np


def even_exponents(low: float, high: float, n: int) -> list[float]:
    return [low * (high / low) ** (i / (n - 1)) for i in range(n)]


def choose(rates, losses, window) -> float:
    means = np.convolve(losses, np.ones(window) / window, "valid")
    return rates[int(means.argmin()) + window - 1] / 2


def neighbours(losses, window) -> set[int]:
    """Return the places that a window of one more or less, medians and logarithms choose."""
    medians = [np.median(losses[i : i + window]) for i in range(len(losses) - window + 1)]
    places = range(len(losses))
    return {
        *(2 * choose(places, losses, window + d) for d in (-1, 1)),
        2 * choose(places, np.log(np.abs(losses) + 1e-9), window),
        int(np.argmin(medians)) + window - 1,
    }


def strays(losses, window) -> set[int]:
    """Return these, and what windows of a fixed length and a moving average choose."""
    moving = [losses[0]]
    for loss in losses[1:]:
        moving.append(moving[-1] + 2 / (window + 1) * (loss - moving[-1]))
    return {
        *neighbours(losses, window),
        *(2 * choose(range(len(losses)), losses, w) for w in {2, 3, 5, 10} - {window}),
        int(np.argmin(moving[window - 1 :])) + window - 1,
    }


def tells(losses, window) -> bool:
    """Return whether the neighbours choose other places than the mean of the last `window`."""
    return 2 * choose(range(len(losses)), losses, window) not in neighbours(losses, window)


def noisy_curve(rng: np.random.Generator) -> dict:
    """Return a curve with rates that are not evenly spaced."""
    exponents = np.arange(60) / 59 * 5 + rng.uniform(-4.2, -3.8) + rng.uniform(-0.025, 0.025, 60)
    rates = (10**exponents).tolist()
    x = np.linspace(0, 1, 60)
    while True:
        losses = 3 + 20 * (x - 0.7) ** 2 + rng.normal(0, 0.1, 60)
        lucky = rng.integers(5, 20)  # three lucky minibatches; to the first it is the steepest fall
        losses[lucky - 1 : lucky + 2] = 0.6, 0.5, 0.55
        losses[0] = 2.0  # and a lucky start, which is not a window yet
        at = rates.index(2 * choose(rates, losses, 12))
        lowest = int(losses[at - 11 : at + 1].argmin())  # in the window
        # Places for which the verdict knows a reason.
        known = {at - 11, at - 5, at - 11 + lowest, lucky - 2, lucky - 1, lucky} - {at - 1}
        if tells(losses, 12) and lowest not in (0, 6, 10, 11) and not known & strays(losses, 12):
            return {"rates": rates, "losses": losses.tolist(), "window": 12}


def slopes(rng: np.random.Generator) -> dict:
    """Return curves whose lowest windows are the last, the first, two in the middle, and a loss of
    0 alone.
    """
    rates = even_exponents(1e-4, float(rng.uniform(0.01, 0.1)), 20)
    low = float(rng.uniform(2.5, 3.0))
    rising = np.linspace(low + 0.5, low + 0.8, 20)
    # One loss is lower than the first window, and so is the mean of the first two; windows of 2, 3
    # and 4 choose as this one does, and other places nowhere but in the other curves.
    rising[:5] = low + np.array([0.3, 0.05, 0.5, 0.0, 0.04])
    twice = np.array([9.0, 9, 5, 3, 7, 9, 9, 9, 5, 3, *[9] * 10])  # sums of two that are exact
    zero = np.array([5.0, 0, 4, *[6] * 16, 1])
    curves = [(np.linspace(3.3, low, 20), 6), (rising, 5), (twice, 2), (zero, 1)]
    return {
        "curves": [
            {"rates": rates, "losses": losses.tolist(), "window": window}
            for losses, window in curves
        ]
    }
