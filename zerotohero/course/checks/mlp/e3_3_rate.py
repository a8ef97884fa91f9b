"""3.3 · A learning rate, found: searching over scales, and reading a noisy curve by a rule."""

import numpy as np

from zerotohero.course.checks.mlp._e3_3_curves import (
    choose,
    even_exponents,
    noisy_curve,
    slopes,
    tells,
)
from zerotohero.course.checks.mlp._e3_3_edges import over_the_edge, sweeps_over_the_edge
from zerotohero.course.exercise import Exercise, Mistake, expect

rate = Exercise(
    number="3.3",
    title="A learning rate, found",
    difficulty=3,
    minutes=30,
    practises="searching over scales, and reading a noisy curve by a rule",
    answers=("sweep", "choose_rate"),
    summary=(
        "Try learning rates over several powers of ten, one step at each. "
        "Then choose one from the losses by a rule that noise doesn't fool."
    ),
    statement="""
`sweep(step, low: float, high: float, n: int) -> tuple[list[float], list[float]]`

`step(rate)` does one step of training at that rate and returns the loss. Call it once at each of
`n` rates from `low` to `high`, both included, in rising order and **evenly spaced on a logarithmic
scale**; `n` is at least 2. Return the rates and their losses. If a loss is not finite, stop there,
and return neither it nor its rate.

`choose_rate(rates: list[float], losses: list[float], window: int) -> float`

For each place that has at least `window` losses up to and including its own, take the mean of the
last `window` of them. Return **half** the rate at the place where this mean is lowest (at the first
such place, if there are several): the lowest point itself is already on the edge.

```python
sweep(lambda rate: 1 / rate, 0.01, 1.0, 3)                # ([0.01, 0.1, 1.0], [100.0, 10.0, 1.0])
choose_rate([1, 2, 4, 8, 16], [5, 4, 0, 9, 9], window=2)  # 2.0: (4 + 0) / 2 is the lowest mean
```

Afterwards, use them on the lecture's network, and plot what you find.
""",
    hints=(
        "From 0.001 to 1000 by even steps of the *exponent*: −3, −2, …, 3. A place of the curve is "
        "judged by what led up to it, not by its own value alone.",
        "The rate number i is low · (high / low) ** (i / (n − 1)). The windows are losses[i − "
        "window + 1 : i + 1], the first of them at i = window − 1.",
        "`means = [sum(losses[i - window + 1 : i + 1]) / window for i in range(window - 1, "
        "len(losses))]`; the lowest is at `means.index(min(means)) + window - 1` in rates. In the "
        "sweep, `if not math.isfinite(loss): break` before anything is appended.",
    ),
)


def _five_rates(rng: np.random.Generator) -> dict:
    """Return limits where rounding takes the last rate above `high`, if factors are multiplied."""
    while True:
        low, high = float(rng.uniform(0.001, 0.002)), float(rng.uniform(5, 20))
        factor, last = (high / low) ** (1 / 4), low
        for _ in range(4):
            last *= factor
        if last > high:
            return {"losses": rng.uniform(1, 4, 5).tolist(), "low": low, "high": high, "n": 5}


@rate.case("a sweep of five rates", adapter="swept", inputs=_five_rates)
def sweep_of_rates(given, got):
    low, high, n = given["low"], given["high"], given["n"]
    rates = even_exponents(low, high, n)
    lin, without = np.linspace(low, high, n), even_exponents(low, high, n + 1)[:-1]
    hints = [
        (
            lin,
            "These rates are evenly spaced on the plain scale, so nearly all are large: space the "
            "exponents evenly instead.",
        ),
        (
            rates[:-1],
            "The last rate is missing. A product of factors may end a little above `high`, by "
            "rounding: count n rates, instead of asking whether one is above it.",
        ),
        (np.log10(rates), "These are the exponents; the rates are 10 to their power."),
        (
            rates[::-1],
            "The rates fall: start at `low`, or the first steps already throw the parameters away.",
        ),
        (without, "`high` is left out: n rates with both ends included are n − 1 factors apart."),
        (even_exponents(low, high, n + 1)[1:], "`low` is left out: the first rate is number 0."),
        (
            np.logspace(low, high, n),
            "`logspace` takes exponents, not rates: give it the logarithms to base 10 of `low` and "
            "`high`.",
        ),
        (
            [low * 10**i for i in range(n)],
            "Each rate is ten times the one before: find the factor that leads from `low` to "
            "`high` in n − 1 steps.",
        ),
        (given["losses"], "These are the losses: return the rates first, then the losses."),
    ]
    for what, found in (("the rates given to step", got["asked"]), ("rates", got["rates"])):
        expect(
            what,
            found,
            np.array(rates),
            mistakes=[Mistake(np.array(wrong), hint) for wrong, hint in hints]
            + [
                Mistake(
                    np.repeat(rates, 2),
                    "step is called twice at each rate, and so takes two steps: keep the loss that "
                    "it returns.",
                )
            ],
        )
    expect("the losses", got["losses"], np.array(given["losses"]))


rate.case(
    "sweeps that go over the edge",
    adapter="swept_over_edges",
    inputs=over_the_edge,
)(sweeps_over_the_edge)


NOT_HALVED = "That is the rate of the lowest mean itself: take half of it, for safety."


ONE_LOSS = (
    "You take the lowest single loss, which one lucky minibatch decides: compare the means of the "
    "last `window` losses."
)


EARLY = (
    "You start before there are `window` losses: a mean of one or two is noise, so begin at place "
    "window − 1."
)


ENDS_AT = "the `window` losses whose mean belongs to place i are losses[i − window + 1 : i + 1]."


def _two_curves(rng: np.random.Generator) -> dict:
    """Return a curve, and the same with losses 10¹² times as large, and below 0 by little."""
    curve = noisy_curve(rng)
    large = [1e12 * loss for loss in curve["losses"]]
    below = [1e-4 * (loss - 30) for loss in curve["losses"]]
    return {"curves": [curve, {**curve, "losses": large}, {**curve, "losses": below}]}


@rate.case("a choice from a noisy curve", adapter="chosen", inputs=_two_curves)
def choice_from_a_noisy_curve(given, got):
    curve, (found, of_large, of_negative) = given["curves"][0], got["rates"]
    rates, losses, window = curve["rates"], curve["losses"], curve["window"]
    want = choose(rates, losses, window)
    at = rates.index(want * 2)
    lowest = at - window + 1 + int(np.argmin(losses[at - window + 1 : at + 1]))
    means = np.convolve(losses, np.ones(window) / window, "valid")
    fall = int(np.argmin(np.diff(losses)))
    steepest = "That is where the loss falls most steeply; the rule asks where its mean is lowest."
    growing = [sum(losses[max(0, i - window + 1) : i + 1]) / min(i + 1, window) for i in range(60)]
    expect(
        "choose_rate",
        found,
        want,
        mistakes=[
            Mistake(rates[int(np.argmin(losses))] / 2, ONE_LOSS),
            Mistake(rates[int(np.argmin(losses))], ONE_LOSS),
            *(Mistake(rates[place] / 2, steepest) for place in (fall, fall + 1)),
            Mistake(
                rates[lowest] / 2,
                "That is the place of the lowest loss inside of the lowest window: the place of a "
                "mean is that of its last loss.",
            ),
            Mistake(
                rates[0] * (rates[-1] / rates[0]) ** (at / 59) / 2,
                "You calculate a rate from the ends of the list, as if all were evenly spaced: "
                "take the one that stands at the place, `rates[i]`.",
            ),
            Mistake(2 * want, NOT_HALVED),
            Mistake(rates[at - 1] / 2, f"That is the place before the right one: {ENDS_AT}"),
            Mistake(at, "That is a place in the list; return the rate that stands there, halved."),
            Mistake(
                rates[at - window + 1] / 2,
                "The lowest window is the right one, but you take the rate at its beginning: the "
                "place of a mean is that of its last loss.",
            ),
            Mistake(rates[int(np.argmin(growing))] / 2, EARLY),
            Mistake(
                rates[min(at + 1, 59)] / 2,
                f"That is the place after the right one: {ENDS_AT}",
            ),
            Mistake(
                rates[at - window + 1 + window // 2] / 2,
                "The lowest window is the right one, but you take the rate in its middle: the "
                "place of a mean is that of its last loss.",
            ),
            Mistake(
                min(means), "That is the lowest mean, a loss; return half the rate at its place."
            ),
            Mistake(
                rates[at // 2],
                "That is the rate at half the place; take the rate at the place, and half of it.",
            ),
        ],
    )
    expect(
        "choose_rate, where each loss is 10¹² times as large",
        of_large,
        want,
        mistakes=[
            Mistake(
                rates[place] / 2,
                "No mean was below the number that you begin with: begin with `math.inf`, or take "
                "the `min` of all.",
            )
            for place in (0, window - 1, -1)
        ],
    )
    highest = int(np.argmax(means)) + window - 1
    expect(
        "choose_rate, where 30 is taken from each loss, and the rest divided by 10⁴",
        of_negative,
        want,
        mistakes=[
            Mistake(
                rates[highest] / 2, "That is where the mean is highest, as if all were above 0."
            ),
            Mistake(
                rates[window - 1] / 2,
                "That is the place of the first mean, as if all were equal: they differ by little "
                "here, so don't round them.",
            ),
        ],
    )


@rate.case(
    "choices from curves that are lowest at an end, at two places, or at a loss of 0",
    adapter="chosen",
    inputs=slopes,
)
def choices_at_the_ends(given, got):
    places = ("that falls to its end", "that rises from its start", "with two lowest means")
    places += ("whose lowest mean is 0",)
    for curve, found, which in zip(given["curves"], got["rates"], places, strict=True):
        rates, window = curve["rates"], curve["window"]
        want = choose(rates, curve["losses"], window)
        mistakes = [Mistake(2 * want, NOT_HALVED)]
        if which == places[3]:
            none = "The lowest mean is 0 here, and `not best` takes it for none: compare with None."
            mistakes.append(Mistake(rates[-1] / 2, none))
        elif which == places[0]:
            mistakes.append(
                Mistake(
                    rates[-2] / 2,
                    "The last window is left out, or its place is one too low: it ends at the last "
                    "loss, and `range` stops one before its end.",
                )
            )
        elif which == places[2]:
            mistakes.append(
                Mistake(
                    rates[9] / 2,
                    "Two means are the lowest, and equal, if each is the mean of the last two "
                    "losses. The first of them counts: `<` and not `<=`.",
                )
            )
        elif which == places[1]:
            mistakes += [
                Mistake(
                    rates[window] / 2,
                    "The first full window ends at place window − 1: it is left out here, or "
                    "longer, or its place is taken one too far.",
                ),
                Mistake(rates[1] / 2, EARLY),
                Mistake(rates[3] / 2, ONE_LOSS),
            ]
        expect(f"choose_rate, a curve {which}", found, want, mistakes=mistakes)


def _bowl(rng: np.random.Generator) -> dict:
    while True:
        given = {
            "curvatures": rng.uniform(1.0, 20.0, 6).tolist(),
            "noise": rng.normal(0, 0.3, (200, 6)),
            "low": 1e-3,
            "high": 10.0,
            "n": 200,
            "window": 10,
        }
        if tells(_searched(given)[1], given["window"]):
            return given


def _searched(given: dict) -> tuple[list[float], list[float]]:
    """Return the rates and losses of a sweep on the bowl."""
    c, x, losses = np.array(given["curvatures"]), np.full(6, 3.0), []
    rates = even_exponents(given["low"], given["high"], given["n"])
    for r, noise in zip(rates, given["noise"], strict=True):
        losses.append(0.5 * (c * (x - noise) ** 2).sum())
        x = x - r * c * (x - noise)
    return rates, losses


@rate.case("a search on a real slope", points=2, adapter="bowl", inputs=_bowl)
def search_on_a_real_slope(given, got):
    want = choose(*_searched(given), given["window"])
    expect(
        "the rate that was chosen",
        got["rate"],
        want,
        tol=1e-4,
        mistakes=[Mistake(2 * want, NOT_HALVED)],
    )
