"""The verdict on sweeps that go over the edge in 3.3: losses that aren't finite end them."""

import math

import numpy as np

from zerotohero.course.checks.mlp._e3_3_curves import even_exponents
from zerotohero.course.exercise import Mistake, expect


def over_the_edge(rng: np.random.Generator) -> dict:
    """Return losses that are infinite or no number in the middle, at the last, or at the first."""
    curves, n = rng.uniform(1, 4, (5, 7)), 7
    curves[0, 1], curves[0, rng.integers(2, 5)] = 1e12, np.inf  # large is finite
    curves[1, :2], curves[1, rng.integers(2, 5)] = (0, -1.5), np.nan  # 0 and less are finite too
    curves[2, 3], curves[2, -1] = curves[2, 1], np.inf  # two losses are equal
    curves[3, rng.integers(2, 5)] = -np.inf
    curves[4, 0] = np.nan  # nothing is left
    return {"curves": curves.tolist(), "low": 0.01, "high": float(rng.uniform(50, 200)), "n": n}


def sweeps_over_the_edge(given, got):
    rates = np.array(even_exponents(given["low"], given["high"], given["n"]))
    for losses, found in zip(given["curves"], got["sweeps"], strict=True):
        edge = [math.isfinite(loss) for loss in losses].index(False)
        what = f"where loss {edge} is {losses[edge]}"
        stop = (
            "After a loss that is infinite or not a number the parameters are lost: break off "
            "there instead of stepping on."
        )
        if math.isnan(losses[edge]):
            stop = (
                "NaN isn't finite either, though it equals nothing and is no infinity: ask "
                "`math.isfinite(loss)`."
            )
        kept = Mistake(
            np.array(losses[: edge + 1]),
            "The loss that is not finite is still in the list: test it before you append it.",
        )
        if losses[edge] == -math.inf:
            stop = "−∞ isn't finite either: ask `math.isfinite(loss)`."
        steps = len(found["asked"])
        late = steps > edge + 1
        last = losses[max(steps, 1) - 1]
        which = "large loss" if last > 1e6 else "loss of 0" if last == 0 else "loss below 0"
        early = f"A {which} is finite, and the sweep goes on after it: ask `math.isfinite(loss)`."
        hint = stop if late else early if not 0 < last <= 1e6 else None
        expect(f"the number of steps {what}", steps, edge + 1, hint=hint)
        once = Mistake(
            np.array([*dict.fromkeys(losses[:edge])]),
            "A loss that came before is left out: two rates may give the same loss, so keep a list "
            "of all.",
        )
        wanted = np.array(losses[:edge])
        expect(f"the losses {what}", found["losses"], wanted, mistakes=[kept, once])
        too_many = Mistake(
            rates[: edge + 1],
            "The rate of the loss that is not finite is in the list: as many rates as losses.",
        )
        expect(f"the rates {what}", found["rates"], rates[:edge], mistakes=[too_many])
