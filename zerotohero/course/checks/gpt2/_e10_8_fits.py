"""Points on a scaling law, the best fit to them, and fits that are not the best."""

from collections.abc import Iterator

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


def is_best_for_its_exponent(law: Law, compute: np.ndarray, loss: np.ndarray) -> bool:
    """Return whether E and A are the best for this b, though another b may be better."""
    M = np.stack([1 / loss, (compute / compute.min()) ** -law[2] / loss], 1)
    E, a = np.linalg.lstsq(M, np.ones(len(loss)))[0]
    return bool(np.allclose([E, a * compute.min() ** law[2]], law[:2], rtol=1e-4, atol=0))


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


def without_one(predictions: np.ndarray, n: int) -> list[float]:
    """Return what comes where one of n was never made, and n or n − 1 taken for their number."""
    squares = ((predictions - predictions.mean()) ** 2).sum()
    return [float(np.sqrt((k - 1) / k * squares)) for k in (n, n - 1)]


def points(rng, noise: float, exponents: tuple[float, float] = (0.15, 0.3)) -> dict:
    """Return a run's points, in any order, and the loss that is held out, which is not shown."""
    n = int(rng.integers(9, 12))
    E, excess, b = rng.uniform(1.5, 2), rng.uniform(3, 5), rng.uniform(*exponents)
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


def points_on_laws(rng) -> list[dict]:
    """Return points on two laws, one with a small exponent and one with a large one."""
    runs = [points(rng, 0.0, exponents) for exponents in ((0.06, 0.09), (0.36, 0.48))]
    return [runs[i] for i in rng.permutation(2)]


def points_to_fit(rng) -> dict:
    """Return points with noise to which the other known fits are worse by 2 %."""
    while True:
        run = points(rng, NOISE)
        compute, loss = run["compute"], run["loss"]
        best = best_fit(compute, loss)
        least = APART * misfit(best, compute, loss)
        if best[0] > 0.5 and all(misfit(o, compute, loss) > least for o in _others(compute, loss)):
            return run


def _others(compute: np.ndarray, loss: np.ndarray) -> Iterator[Law]:
    """Yield fits that are known and not the best, first the one that is nearest most often."""
    for weights in (np.ones(len(loss)), loss**-2):
        yield best_fit(compute, loss, weights)
    for kept in (compute > compute.min(), compute < compute.max()):
        yield best_fit(compute[kept], loss[kept])
    yield line_through_excess(compute, loss)


def points_to_predict(rng) -> dict:
    """Return points with noise of which the best fit predicts the held-out loss to 1 %.

    So chance doesn't decide, and neither does it in the error: it is the same around the prediction
    of all points, and another where the first or the last run is never left out.
    """
    while True:
        run = points(rng, NOISE)
        best = best_fit(run["compute"], run["loss"])
        predicted = float(at(best, run["at"]))
        if best[0] < 0.5 or abs(predicted / run["_held_out"] - 1) > 0.01:
            continue
        some = left_out(run["compute"], run["loss"], run["at"])
        order = np.argsort(np.abs(some - some.mean()))
        order = np.concatenate([order[-1:], order[:-2], order[-2:-1]])  # these two move it most
        for name in ("compute", "loss"):
            run[name] = run[name][order]
        some, error = some[order], jackknife(some)
        few = [without_one(p, len(some))[0] for p in (some[1:], some[:-1])]
        if jackknife(some, predicted) < 1.02 * error and max(few) < 0.93 * error:
            return run
