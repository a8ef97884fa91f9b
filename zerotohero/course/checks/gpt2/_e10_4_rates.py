"""The learning rates of 10.4: the right ones, and those of schedules that are nearly right."""

import math
from collections.abc import Callable

Schedule = Callable[..., float]


def _schedule(
    rising: Schedule = lambda step, warmup, **run: (step + 1) / warmup,
    done: Schedule = lambda step, steps, warmup, **run: (step - warmup) / (steps - warmup),
    factor: Callable[[float], float] = lambda done: (1 + math.cos(math.pi * done)) / 2,
    low: Schedule = lambda lr, min_lr, **run: min_lr,
    high: Schedule = lambda lr, min_lr, **run: lr - min_lr,
    after: Schedule = lambda lr, min_lr, **run: min_lr,
    warms: Schedule = lambda step, warmup, **run: step < warmup,
    ends: Schedule = lambda step, steps, **run: step >= steps,
) -> Schedule:
    """Return `rate`; what can be passed is what learners get wrong."""

    def rate(**run: float) -> float:
        if warms(**run):
            return run["lr"] * rising(**run)
        if ends(**run):
            return after(**run)
        return low(**run) + high(**run) * factor(done(**run))

    return rate


def _cut_off(**run: float) -> float:
    """Return what a cosine that falls to 0 gives, or min_lr where that is more."""
    to_zero = _schedule(after=lambda **run: 0.0)(**run | {"min_lr": 0.0})
    return max(run["min_lr"], to_zero)


def _never_below(**run: float) -> float:
    """Return what comes where min_lr holds in the warm-up, too."""
    return max(run["min_lr"], _schedule()(**run))


FROM_ZERO = "The first step has a rate of 0: it is lr / warmup, so the warm-up counts from 1."
WRONG = [
    (_schedule(rising=lambda step, warmup, **run: step / warmup), FROM_ZERO),
    (
        _schedule(rising=lambda step, warmup, **run: step / max(1, warmup - 1)),
        FROM_ZERO,
    ),
    (
        _schedule(rising=lambda step, warmup, **run: (step + 1) / (warmup + 1)),
        "The last step of the warm-up falls short of lr: divided by warmup + 1.",
    ),
    (
        _schedule(
            rising=lambda step, warmup, lr, min_lr, **run: (
                (min_lr + (lr - min_lr) * (step + 1) / warmup) / lr
            )
        ),
        "The warm-up begins at min_lr: it rises from nothing, by lr / warmup a step.",
    ),
    (
        _never_below,
        "`max(min_lr, …)` cuts the warm-up off: it begins at lr / warmup, though that is less.",
    ),
    (
        _schedule(rising=lambda **run: 1.0),
        "There is no warm-up: the rate is lr from the beginning.",
    ),
    (
        _schedule(warms=lambda step, warmup, **run: step <= warmup),
        "Step warmup belongs to the cosine, and has lr: the warm-up ends with step warmup − 1.",
    ),
    (
        _schedule(done=lambda step, steps, **run: step / steps),
        "The cosine begins with the run, and not behind the warm-up: the rate jumps there.",
    ),
    (
        _schedule(done=lambda step, steps, warmup, **run: (step - warmup) / steps),
        "The cosine is stretched over as many steps as the whole run has, and ends above min_lr.",
    ),
    (
        _schedule(
            done=lambda step, steps, warmup, **run: (step - warmup) / max(1, steps - warmup - 1)
        ),
        "The last update has min_lr: the cosine reaches it one step later, at step `steps`.",
    ),
    (
        _schedule(done=lambda step, steps, warmup, **run: (step - warmup + 1) / (steps - warmup)),
        "The cosine is one step ahead: at step warmup it is lr.",
    ),
    (
        _schedule(low=lambda **run: 0.0, high=lambda lr, **run: lr),
        "The cosine falls to 0: it falls to min_lr.",
    ),
    (
        _cut_off,
        "`max(min_lr, …)` cuts the cosine off: it falls from lr to min_lr along all of the way.",
    ),
    (
        _schedule(high=lambda lr, **run: lr),
        "min_lr is added to the whole of lr: what falls is lr − min_lr.",
    ),
    (
        _schedule(factor=lambda done: 1 - done),
        "It falls along a straight line: half a cosine wave is asked for.",
    ),
    (
        _schedule(factor=lambda done: math.cos(math.pi * done / 2)),
        "That is a quarter of a cosine wave, cos(π/2 · done), which ends steeply: half a wave is "
        "(1 + cos(π · done)) / 2.",
    ),
    (
        _schedule(factor=lambda done: (1 + math.cos(2 * math.pi * done)) / 2),
        "A whole wave, 2π: the rate rises again in the second half.",
    ),
    (
        _schedule(factor=lambda done: (1 + math.cos(done)) / 2),
        "π is missing in the cosine.",
    ),
    (
        _schedule(factor=lambda done: 1 + math.cos(math.pi * done)),
        "Half of 1 + cos is missing: the factor falls from 1 to 0.",
    ),
    (
        _schedule(factor=lambda done: math.cos(math.pi * done)),
        "cos falls to −1: (1 + cos) / 2 falls to 0.",
    ),
    (
        _schedule(factor=lambda done: (1 - math.cos(math.pi * done)) / 2),
        "The cosine rises: 1 + cos, where 1 − cos stands.",
    ),
    (
        _schedule(ends=lambda **run: False),
        "Behind the end the cosine goes on and rises again: from step `steps` on it is min_lr.",
    ),
    (
        _schedule(after=lambda **run: 0.0),
        "Behind the end it is 0: it is min_lr.",
    ),
    (
        _schedule(after=lambda lr, **run: lr),
        "Behind the end it is lr: it is min_lr.",
    ),
    (
        _schedule(ends=lambda step, steps, **run: step >= steps - 1),
        "The last update, step steps − 1, has min_lr already: the end is step `steps`.",
    ),
]


def rates(asked: list[dict], rate: Schedule = _schedule()) -> list[float]:  # noqa: B008
    """Return the rate of each run and step."""
    return [rate(**one) for one in asked]


def known_rates(asked: list[dict], mine: list[float]) -> str | None:
    """Return the hint for a schedule that gives just these rates, or None."""
    for schedule, hint in WRONG:
        try:
            found = rates(asked, schedule)
        except ZeroDivisionError:
            continue
        if all(
            math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(found, mine, strict=True)
        ):
            return hint
    return None
