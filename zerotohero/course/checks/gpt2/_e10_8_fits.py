"""Points on a scaling law, the best fit to them, and fits that are not the best."""

import numpy as np

Law = tuple[float, float, float]  # E, A, b
NOISE = 0.003  # of the loss
BEYOND = 20  # times the largest compute
APART = 1.02  # by how much other fits are worse, at least
FIRST, LAST, STEPS = 0.01, 1.0, 41  # exponents that are tried


def at(law: Law, compute) -> np.ndarray:
    """Return the loss that a law has at these amounts of compute."""
    E, A, b = law
    return E + A * np.asarray(compute) ** -b


def misfit(law: Law, compute: np.ndarray, loss: np.ndarray) -> float:
    """Return the sum of the squared relative errors."""
    return float(((at(law, compute) / loss - 1) ** 2).sum())


def best_fit(compute: np.ndarray, loss: np.ndarray, weights: np.ndarray | None = None) -> Law:
    """Return the law with the least sum of squared errors, times the weights: 1 / loss by default.

    For one exponent the best E and A are the solution of two linear equations. Exponents are tried
    on a grid, and then on finer ones around the best.
    """
    w = 1 / loss if weights is None else weights
    x = np.log(compute)
    x, middle = x - x.mean(), x.mean()
    low, high = FIRST, LAST
    for _ in range(5):
        b = np.linspace(low, high, STEPS)
        u = np.exp(-b[:, None] * x) * w
        uu, uw, ww = (u * u).sum(1), (u * w).sum(1), (w * w).sum()
        ut, wt = (u * w * loss).sum(1), (w * w * loss).sum()
        det = uu * ww - uw**2
        a, E = (ut * ww - uw * wt) / det, (uu * wt - uw * ut) / det
        best = int(((E[:, None] * w + a[:, None] * u - w * loss) ** 2).sum(1).argmin())
        step = b[1] - b[0]
        low, high = max(FIRST / 10, b[best] - step), b[best] + step
    return float(E[best]), float(a[best] * np.exp(b[best] * middle)), float(b[best])


def power_law(compute: np.ndarray, loss: np.ndarray) -> Law:
    """Return the straight line through the logarithms: E = 0."""
    slope, start = np.polyfit(np.log(compute), np.log(loss), 1)
    return 0.0, float(np.exp(start)), float(-slope)


def line_through_excess(compute: np.ndarray, loss: np.ndarray, steps: int = 401) -> Law:
    """Return the best straight line through log(loss − E), with the E for which that is best."""
    x, E = np.log(compute), np.linspace(0, loss.min(), steps)[:-1]
    y = np.log(loss - E[:, None])
    d = x - x.mean()
    slope = (y * d).sum(1) / (d * d).sum()
    start = y.mean(1) - slope * x.mean()
    best = int(((y - start[:, None] - slope[:, None] * x) ** 2).sum(1).argmin())
    return float(E[best]), float(np.exp(start[best])), float(-slope[best])


def left_out(compute: np.ndarray, loss: np.ndarray, where: float) -> np.ndarray:
    """Return what the laws predict that are fitted without one of the points each."""
    some = [np.arange(len(compute)) != i for i in range(len(compute))]
    return np.array([at(best_fit(compute[k], loss[k]), where) for k in some])


def jackknife(predictions: np.ndarray, middle: float | None = None) -> float:
    """Return the standard error; `middle` is the mean of the predictions unless it is given."""
    n, middle = len(predictions), predictions.mean() if middle is None else middle
    return float(np.sqrt((n - 1) / n * ((predictions - middle) ** 2).sum()))


def points(rng, noise: float) -> dict:
    """Return a run's points, in any order, and the loss that is held out, which is not shown."""
    n = int(rng.integers(9, 12))
    E, excess, b = rng.uniform(1.5, 2), rng.uniform(3, 5), rng.uniform(0.15, 0.3)
    first = 10 ** rng.uniform(15, 18)
    compute = rng.permutation(first * np.logspace(0, rng.uniform(2.5, 3), n))
    law = (float(E), float(excess * first**b), float(b))
    loss = at(law, compute) * np.exp(noise * rng.normal(size=n))
    where = float(compute.max() * BEYOND)
    return {
        "compute": compute,
        "loss": loss,
        "at": where,
        "_law": law,
        "_held_out": float(at(law, where)),
    }


def points_to_fit(rng) -> dict:
    """Return points with noise to which the other known fits are worse by 2 %."""
    while True:
        run = points(rng, NOISE)
        compute, loss = run["compute"], run["loss"]
        best = best_fit(compute, loss)
        ends = [compute > compute.min(), compute < compute.max()]
        others = (
            best_fit(compute, loss, np.ones(len(loss))),
            best_fit(compute, loss, loss**-2),
            line_through_excess(compute, loss),
            *(best_fit(compute[k], loss[k]) for k in ends),
        )
        least = APART * misfit(best, compute, loss)
        if best[0] > 0.5 and all(misfit(law, compute, loss) > least for law in others):
            return run


def points_to_predict(rng) -> dict:
    """Return points with noise of which the best fit predicts the held-out loss to 1 %.

    So chance doesn't decide, and neither does it in the error, which is the same around the
    prediction of all points.
    """
    while True:
        run = points(rng, NOISE)
        best = best_fit(run["compute"], run["loss"])
        predicted = float(at(best, run["at"]))
        if best[0] < 0.5 or abs(predicted / run["_held_out"] - 1) > 0.01:
            continue
        some = left_out(run["compute"], run["loss"], run["at"])
        if jackknife(some, predicted) < 1.02 * jackknife(some):
            return run
