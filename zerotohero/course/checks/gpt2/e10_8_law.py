"""10.8 · Fit a scaling law: a curve through small runs, a large one predicted, and how surely."""

from functools import partial

import numpy as np

from zerotohero.course.checks.gpt2._e10_8_fits import (
    at,
    best_fit,
    is_best_for_its_exponent,
    jackknife,
    left_out,
    line_through_excess,
    misfit,
    points_on_laws,
    points_to_fit,
    points_to_predict,
    power_law,
    without_one,
)
from zerotohero.course.exercise import Exercise, Mistake, Wrong, array, expect_that, number

law = Exercise(
    number="10.8",
    title="Fit a scaling law",
    difficulty=4,
    minutes=50,
    practises="a fit with a floor, and an honest error for what lies beyond the points",
    answers=("fit_law", "predict"),
    adapters="gpt2_runs",
    summary=(
        "Fit a law with a floor to the losses of small runs. Predict the loss of a run with twenty "
        "times the compute to 2 %, and say how far the points let you trust that."
    ),
    statement="""
`fit_law(compute: ndarray, loss: ndarray) -> tuple[float, float, float]`

Run i of n took compute[i] operations, 10¹⁵ to 10²¹, and ended with loss[i]; the runs, nine or more,
come in any order. Return E, A and b of the law

$$L(C) = E + A \\cdot C^{-b}$$

for which the sum S of the squared **relative** errors, $(L(C_i) / L_i - 1)^2$, is smallest. E, the
loss that no compute undercuts, and A are above zero, and b lies between 0.05 and 0.5. NumPy and
torch are there when it is graded, SciPy is not.

`predict(compute: ndarray, loss: ndarray, at: float) -> tuple[float, float]`

Return what the law fitted to these runs says of a run with `at` operations, and the **standard
error** of that, by the jackknife: leave out each run in turn, fit the law to the n − 1 others and
predict with it. Of these n predictions $p_i$ with the mean $p$, the error is
$\\sqrt{\\frac{n-1}{n} \\sum_i (p_i - p)^2}$.

How it is judged:

- With points that lie **on** a law, E and b have to be right to 1 %, and the law at the points to
  1 in 1,000.
- With losses that are off by some 0.3 %, S may be 1 % above the smallest there is.
- The prediction has to be within **2 %** of the loss that the law behind the points has at `at`,
  twenty times the largest compute. Points are drawn such that the best fit comes within 1 %, so
  chance doesn't decide.
- The error has to be within 3 % of the one that exact fits give. Around the prediction of all runs
  it is nearly the same as around p, with these points.
- The whole check has 10 seconds of the processor, for about thirty fits.

```python
compute = np.array([1e17, 1e18, 1e19, 1e20])
fit_law(compute, 1.7 + 5000 * compute**-0.2)           # (1.7, 5000, 0.2), with nine runs or more
predict(compute, 1.7 + 5000 * compute**-0.2, 2e21)     # (1.9735, 0.0), with nine runs or more
```
""",
    hints=(
        "If b were known, how would E and A be found? And why is no straight line to be drawn "
        "through the logarithms, where there is a floor?",
        "For a given b the law is E · 1 + A · x with x = C^(−b): linear least squares with two "
        "columns. Divide both columns and the target by the losses, and errors are relative. Then "
        "look for the b with the smallest S: on a grid, then on finer ones around the best.",
        "`x = (compute / compute.min()) ** -b`, which keeps the columns of a size; `M = "
        "np.stack([1 / loss, x / loss], 1)`; `(E, a), *_ = np.linalg.lstsq(M, np.ones(n))`; `S = "
        "((M @ [E, a] - 1) ** 2).sum()`, and A = a · compute.min() ** b. Grids of 40 exponents, "
        "four times, each between the neighbours of the best before. For the error: "
        "`np.delete(compute, i)`.",
    ),
)


def _law(what: str, came) -> tuple[float, float, float]:
    """Return E, A and b as they came. Wrong unless they are three finite numbers."""
    if isinstance(came, list) and len(came) != 3:
        raise Wrong(f"{what}: expected E, A and b, got {len(came)} values")
    E, A, b = array(what, came, (3,))
    return E, A, b


def _near(law, other, compute: np.ndarray, tol: float) -> bool:
    """Return whether two laws say the same at these points, and far beyond them."""
    where = [*compute, compute.max() * 1e3]
    with np.errstate(all="ignore"):
        return bool(np.allclose(at(law, where), at(other, where), rtol=tol, atol=0))


def _misread(law, right, compute: np.ndarray) -> str | None:
    """Return the hint for a right law in another form."""
    E, A, b = law
    found = [
        ((A, E, b), "In the order A, E, b: E comes first."),
        ((A, b, E), "In the order b, E, A or the like: E, A and b are asked for."),
        ((b, A, E), "In the order b, A, E: E comes first, and b last."),
        ((b, E, A), "In the order A, b, E: E comes first."),
        ((E, b, A), "In the order E, b, A: A comes before b."),
        ((E, A, -b), "b has the wrong sign: the law has C to the power of −b."),
    ]
    with np.errstate(all="ignore"):
        found += [
            ((E, np.exp(A), b), "A is a logarithm: return the number itself."),
            ((E, np.power(10.0, A), b), "A is a logarithm: return the number itself."),
            ((np.exp(E), A, b), "E is a logarithm: return the number itself."),
        ]
        for unit in (compute.min(), compute.max(), compute.mean(), np.exp(np.log(compute).mean())):
            hint = "A belongs to a compute that was divided by something: A · that ** b goes with C"
            found.append(((E, A * unit**b, b), f"{hint}."))
        return next((h for other, h in found if _near(other, right, compute, 1e-3)), None)


WITHOUT_FLOOR = (
    "A straight line through the logarithms has no floor: E is 0, and far beyond the points the "
    "loss comes out too low."
)


ANOTHER_B = (
    "E and A are the best for this b, and another b is better: try more of them, all the way from "
    "0.05 to 0.5, and finer ones around the best."
)


def laws_found(given, got):
    for run, came in zip(given["runs"], got["laws"], strict=True):
        compute, right = run["compute"], run["_law"]
        what = f"fit_law({len(compute)} runs on a law with E = {right[0]:.4f}, b = {right[2]:.4f})"
        law = _law(what, came)
        hint = _misread(law, right, compute)
        if _near(law, power_law(compute, run["loss"]), compute, 1e-3):
            hint = WITHOUT_FLOOR
        elif np.isclose(law[0], run["loss"].min(), rtol=2e-3):
            hint = "E is the smallest loss that came: it lies below all of them, and is fitted."
        elif not hint and is_best_for_its_exponent(law, compute, run["loss"]):
            hint = ANOTHER_B
        close = abs(law[0] / right[0] - 1) < 0.01 and abs(law[2] / right[2] - 1) < 0.01
        came = "E = {:.5g}, A = {:.5g}, b = {:.5g}".format(*law)
        expect_that(close, f"{what}: got {came}", hint)
        with np.errstate(all="ignore"):
            off = float(np.abs(at(law, compute) / at(right, compute) - 1).max())
        expect_that(off < 1e-3, f"{what}: off by {off:.2g} at one of the runs, with {came}", hint)


law.case(
    "runs on a law",
    points=2,
    adapter="laws",
    inputs=lambda rng: {"runs": points_on_laws(rng)},
)(laws_found)


def _other_fit(law, compute: np.ndarray, loss: np.ndarray) -> str | None:
    """Return the hint for a fit that is not the best, and known."""
    absolute = best_fit(compute, loss, np.ones(len(loss)))
    ends = np.argsort(compute)
    known = [
        (
            absolute,
            "The sum of the squared errors as they are: relative ones are asked for, so divide "
            "each by its loss.",
        ),
        (
            best_fit(compute, loss, loss**-2),
            "Errors divided by the square of the loss: divide by the loss, then square.",
        ),
    ]
    if abs(law[0]) < 0.02 * loss.min():
        known.append((power_law(compute, loss), WITHOUT_FLOOR))
    line = (
        "A straight line through log(L − E): that makes the errors of the last runs large, which "
        "are near to E. The errors of the loss itself have to be small."
    )
    known.append((line_through_excess(compute, loss, 4001), line))
    for k, hint in (
        (ends[1:], "The smallest run plays no part: all runs count."),
        (ends[:-1], "The largest run plays no part: all runs count."),
    ):
        known.append((best_fit(compute[k], loss[k]), hint))

    def apart(one, other) -> float:
        with np.errstate(all="ignore"):
            return float(np.sqrt(((at(one, compute) / at(other, compute) - 1) ** 2).mean()))

    best = best_fit(compute, loss)
    near, hint = min((apart(law, other) / apart(best, other), hint) for other, hint in known)
    if near < 0.15:
        return hint
    return ANOTHER_B if is_best_for_its_exponent(law, compute, loss) else None


@law.case(
    "losses with noise: S at most 1 % above the smallest",
    points=3,
    adapter="laws",
    inputs=lambda rng: {"runs": [points_to_fit(rng) for _ in range(2)]},
)
def smallest_sum_of_squares(given, got):
    for run, came in zip(given["runs"], got["laws"], strict=True):
        compute, loss = run["compute"], run["loss"]
        what, best = f"fit_law({len(loss)} runs with noise)", best_fit(compute, loss)
        law = _law(what, came)
        with np.errstate(all="ignore"):
            ratio = misfit(law, compute, loss) / misfit(best, compute, loss)
        expect_that(
            ratio <= 1.01,
            f"{what}: S is {ratio:.4g} times the smallest, with E = {law[0]:.5g}, A = {law[1]:.5g},"
            f" b = {law[2]:.5g}, and E = {best[0]:.5g}, A = {best[1]:.5g}, b = {best[2]:.5g} have "
            "less",
            _misread(law, best, compute) or _other_fit(law, compute, loss),
        )


def _predictions(given: dict, got: dict):
    for run, (value, error) in zip(given["runs"], got["found"], strict=True):
        n = len(run["loss"])
        what = f"predict({n} runs up to {run['compute'].max():.2g}, at={run['at']:.2g})"
        yield run, what, value, error


def held_out_loss_predicted(given, got):
    for run, what, value, _ in _predictions(given, got):
        compute, loss, where = run["compute"], run["loss"], run["at"]
        value, want = number(f"{what}: the loss", value), run["_held_out"]
        best = best_fit(compute, loss)
        known = [
            Mistake(at(power_law(compute, loss), where), WITHOUT_FLOOR),
            Mistake(
                at(best, compute.max()),
                "That is the law at the largest run given: it is asked for at `at`.",
            ),
            Mistake(best[0], "That is E, the floor: A · at^(−b) comes on top of it."),
            Mistake(at(best, where) - best[0], "E is missing: that is A · at^(−b) alone."),
            Mistake(
                at(best, compute.max() * 6 * where / compute.max()),
                "At six times `at`: it is in operations already.",
            ),
            Mistake(np.log(at(best, where)), "A logarithm: return the loss itself."),
        ]
        hint = next((m.hint for m in known if np.isclose(value, m.value, rtol=2e-3)), None)
        expect_that(
            abs(value / want - 1) <= 0.02,
            f"{what}: the run ended with {want:.4f}, predicted were {value:.4f}, off by "
            f"{abs(value / want - 1):.1%}",
            hint,
        )


NEVER = "The first or the last run is never left out: each one is, in turn."


def _wrong_errors(run: dict) -> list[Mistake]:
    compute, loss, where = run["compute"], run["loss"], run["at"]
    n, best = len(loss), best_fit(compute, loss)
    some = left_out(compute, loss, where)
    off, spread = at(best, compute) - loss, jackknife(some)
    half = "the points that are left out are few each time, so it is (n − 1) / n, not 1 / n: the "
    half += "predictions lie close together, since any two share most of their points."
    kept = []
    for i in range(n):
        c, y = np.delete(compute, i), np.delete(loss, i)
        x = c ** -best[2]
        kept.append(np.polyfit(x, y, 1, w=1 / y) @ [where ** -best[2], 1])
    found = [
        (spread**2, "The root is missing: that is the variance."),
        (some.std(), f"The standard deviation of the predictions: {half}"),
        (some.std(ddof=1), f"The standard deviation of the predictions: {half}"),
        (
            some.std(ddof=1) / n**0.5,
            "The standard error of a mean: these predictions are no draws "
            "of their own, and the factor is (n − 1) / n.",
        ),
        (
            some.std() / n**0.5,
            "The standard error of a mean: these predictions are no draws of "
            "their own, and the factor is (n − 1) / n.",
        ),
        (spread * (n / (n - 1)) ** 0.5, "The factor (n − 1) / n is missing."),
        *((value, NEVER) for some_of in (some[1:], some[:-1]) for value in without_one(some_of, n)),
        (np.ptp(some), "From the smallest to the largest prediction: the formula is another."),
        (np.ptp(some) / 2, "Half the range of the predictions: the formula is another."),
        (np.abs(some - some.mean()).max(), "The largest difference: all of them count, squared."),
        (
            off.std(),
            "How far the points lie from the law: the prediction's error is greater, since "
            "it lies far beyond them.",
        ),
        (
            (off**2).mean() ** 0.5,
            "How far the points lie from the law: the prediction's error is "
            "greater, since it lies far beyond them.",
        ),
        (
            (off / loss).std(),
            "How far the points lie from the law, as a share: the prediction's error is asked for.",
        ),
        (spread / at(best, where), "A share of the prediction: the error itself is asked for."),
        (
            jackknife(np.array(kept)),
            "b stays as it was when points are left out: each law is "
            "fitted anew, with all three of its numbers.",
        ),
    ]
    return [Mistake(float(value), hint) for value, hint in found]


def error_by_the_jackknife(given, got):
    for run, what, _, error in _predictions(given, got):
        error = number(f"{what}: the error", error)
        want = jackknife(left_out(run["compute"], run["loss"], run["at"]))
        if abs(error / want - 1) > 0.03:
            known = partial(_wrong_errors, run)
            hint = next((m.hint for m in known() if np.isclose(error, m.value, rtol=2e-3)), None)
            raise Wrong(f"{what}: expected an error of {want:.5f}, got {error:.5f}", hint)


BOTH = {"two numbers are needed": "Return both: `return loss, error`."}

for name, points_, verdict in (
    ("a held-out loss, predicted to 2 %", 3, held_out_loss_predicted),
    ("the error of the prediction", 3, error_by_the_jackknife),
):
    law.case(
        name,
        points=points_,
        adapter="predictions",
        inputs=lambda rng: {"runs": [points_to_predict(rng)]},
        crashes=BOTH,
    )(verdict)
