"""1.5 · A loop that learns nothing: reading a training loop line by line."""

import json
import math
import random
from functools import lru_cache
from typing import Any

import numpy as np

from zerotohero.course.checks.micrograd.shared import call_hint
from zerotohero.course.exercise import (
    NOTHING,
    Exercise,
    Mistake,
    Wrong,
    expect,
    expect_that,
)
from zerotohero.micrograd import MLP, moons

debugging = Exercise(
    number="1.5",
    title="A loop that learns nothing",
    difficulty=2,
    minutes=20,
    practises="reading a training loop line by line",
    answers=("train",),
    uses=("micrograd",),
    summary=(
        "A training loop runs without an error, and its loss never moves. Find out why, and when "
        "it moves, find out why it moves the wrong way."
    ),
    statement="""
`train(model: MLP, points: list[list[float]], labels: list[int], steps: int, rate: float)`
`-> list[float]`

It should train `model` in place by `steps` steps of gradient descent on the mean hinge loss, each
of them at this `rate`, and return the loss of each step, measured before the step's update. The
model may come with gradients that somebody else has left in it; they must not matter.

```python
points, labels = moons(20, random.Random(1))
train(MLP(2, [4, 1], rng=random.Random(1)), points, labels, steps=20, rate=0.1)
# twenty numbers that fall, not twenty equal ones
```
""",
    hints=(
        "Print p.grad of one parameter on the line before the update. What is it, and why?",
        "The order of a step is: loss, zero_grad, backward, update. And which way is downhill?",
        "Move model.zero_grad() in front of loss.backward(), and update with p.data -= rate * "
        "p.grad.",
    ),
)


def _reference(given: dict[str, Any], *how: Any, **named: Any) -> tuple[list[float], list[float]]:
    """Return what `_run` does, which every wrong answer to the same inputs is compared with."""
    return _run(json.dumps(given), *how, **named)


@lru_cache(maxsize=100)
def _run(
    inputs: str,
    zero: str = "before",
    sign: float = -1.0,
    factor: float = 1.0,
    fall: float = 0.0,
    momentum: float = 0.0,
    clip: float = math.inf,
) -> tuple[list[float], list[float]]:
    """Return losses and weights of the right loop, or of one that zeroes elsewhere or goes uphill.

    factor: by how much its loss is larger than the mean; fall: by what share its rate falls;
    momentum: what share of a step's move is added to the next; clip: the largest gradient.
    """
    given = json.loads(inputs)
    model = MLP(2, given["sizes"], rng=random.Random(0))
    for p, w in zip(model.parameters(), given["weights"], strict=True):
        p.data, p.grad = w, given["left_over"]
    losses, moves = [], [0.0] * len(given["weights"])
    for step in range(given["steps"]):
        rate = given["rate"] * (1 - fall * step / given["steps"])
        pairs = zip(given["points"], given["labels"], strict=True)
        loss = factor * sum((1 - y * model(x)).relu() for x, y in pairs) / len(given["labels"])
        if zero == "once" and step == 0:
            model.zero_grad()
        if zero == "before" or (zero == "every second" and step % 2 == 0):
            model.zero_grad()
        loss.backward()
        if zero == "after backward":
            model.zero_grad()
        moves = [
            momentum * m + max(-clip, min(clip, p.grad))
            for m, p in zip(moves, model.parameters(), strict=True)
        ]
        for p, move in zip(model.parameters(), moves, strict=True):
            p.data += sign * rate * move
        if zero == "at the end":
            model.zero_grad()
        losses.append(loss.data)
    return losses, [p.data for p in model.parameters()]


def _training_inputs(
    rng: np.random.Generator, left_over: float = 0.0, n: int = 8
) -> dict[str, Any]:
    points, labels = moons(n, random.Random(int(rng.integers(2**31))))
    return {
        "sizes": [4, 1],
        "weights": rng.uniform(-1, 1, 17).round(4).tolist(),
        "left_over": left_over,
        "points": points,
        "labels": labels,
        "steps": 4,
        "rate": float(rng.choice([0.07, 0.15, 0.23])),
    }


def _up_and_down(rng: np.random.Generator) -> dict[str, Any]:
    """Return a run whose loss rises at some step, and which starts with a gradient above 1."""
    while True:
        given = {**_training_inputs(rng, left_over=1.0), "rate": float(rng.choice([0.6, 0.8]))}
        given["weights"] = [3 * w for w in given["weights"]]
        moved = np.subtract(_reference({**given, "steps": 1})[1], given["weights"])
        if max(abs(moved)) > 1.1 * given["rate"] and max(np.diff(_reference(given)[0])) > 0.01:
            return given


def _soon_done(rng: np.random.Generator) -> dict[str, Any]:
    """Return a run whose loss falls in its first two steps and is exactly 0 from then on."""
    while True:
        given = {**_training_inputs(rng), "steps": 5}
        model = MLP(2, given["sizes"], rng=random.Random(0))
        for p, w in zip(model.parameters(), given["weights"], strict=True):
            p.data = w
        scores = [model(point).data for point in given["points"]]
        given["labels"] = [1 if s > 0 else -1 for s in scores]
        # The last neuron is linear: with its weights, all margins grow alike.
        factor = float(rng.uniform(0.7, 0.9)) / max(1e-3, min(map(abs, scores)))
        given["weights"] = given["weights"][:-5] + [w * factor for w in given["weights"][-5:]]
        losses = _reference(given)[0]
        if losses[0] > losses[1] > 1e-3 and not any(losses[2:]):
            return given


def training_repaired(given: dict[str, Any], got: dict[str, Any]) -> None:
    expect_that(got["losses"] is not None, "expected a list of losses, got None", NOTHING)
    losses, weights = _reference(given)
    try:
        expect("the losses", got["losses"], np.array(losses), tol=1e-9)
        return expect("the weights after training", got["weights"], np.array(weights), tol=1e-9)
    except Wrong:  # the runs of wrong loops take long, and a right answer doesn't need them
        pass
    uphill = "The weights move uphill: the gradient points to a higher loss, so subtract it."
    every_step = (
        "Gradients add up over the steps: zero them in every step, before backward(), not once "
        "before the loop. (And zero_grad needs its parentheses.)"
    )
    wrong = {
        ("before", 1.0): uphill,
        ("never", -1.0): every_step,
        ("once", -1.0): every_step,
        ("never", 1.0): "Two faults: gradients add up over the steps, and the weights move uphill.",
        ("at the end", 1.0): uphill,
        ("at the end", -1.0): "You zero at the end of each step, so the first step uses what "
        "others left in the gradients; zero before backward().",
    }
    wrong["every second", -1.0] = (
        "Gradients add up where they aren't zeroed: do it in every step, not in some of them."
    )
    if given["left_over"] == 0.0:  # where nothing was left over, zeroing at the end is right
        del wrong["at the end", -1.0]
    runs = [(_reference(given, *how), hint) for how, hint in wrong.items()]
    falls = "Your rate falls, as the lecture's does: here it is the same in every step."
    runs.append((_reference(given, fall=0.9), falls))
    runs += [
        (
            _reference(given, momentum=momentum),
            "A part of the earlier steps' moves is in each move: a step moves each parameter by "
            "rate times its gradient.",
        )
        for momentum in (0.5, 0.9)
    ]
    large = (
        "No gradient is too large for a step: it moves each parameter by rate times its gradient."
    )
    runs.append((_reference(given, clip=1.0), large))
    points = len(given["labels"])
    ending = (
        ": is the return inside the loop?" if losses[-1] else ", of the `steps` that are asked for."
    )
    longer = _reference({**given, "steps": given["steps"] + 1})[0]
    expect(
        "the losses",
        got["losses"],
        np.array(losses),
        tol=1e-9,
        mistakes=[
            Mistake([losses[0]] * len(losses), _standstill(given, got, losses)),
            *(Mistake(run[0], why) for run, why in runs),
            *(
                Mistake([round(x, digits) for x in losses], "These are rounded: no `round`.")
                for digits in range(3, 9)
            ),
            Mistake([x * points for x in losses], "You return sums over points; take the mean."),
            Mistake(
                _reference(given, factor=points)[0],
                "You train on the sum over the points; divide by how many they are.",
            ),
            Mistake(
                _reference({**given, "rate": points * given["rate"]})[0],
                "The losses are means, and the weights follow the gradient of the sum, which is "
                f"{points} times as large here: go back from the mean.",
            ),
            Mistake(
                _reference({**given, "rate": 2 * given["rate"]})[0],
                "Each step goes twice as far as it should: is backward() called twice?",
            ),
            Mistake(
                np.minimum.accumulate(losses),
                "You return the lowest loss so far: a loss may rise, so return that of each step.",
            ),
            *(
                Mistake(
                    _reference({**given, "rate": r})[0],
                    "You don't use the rate that you are given.",
                )
                for r in (0.1, 1.0)
            ),
            Mistake(longer[1:], "You measure after the update; note the loss before it."),
            Mistake(losses[1:], "The first loss is missing; note it before the update."),
            *(Mistake(losses[:stop], EARLY) for stop in _ends(losses)),
            Mistake(losses[:-1], "A step is missing: train for as many as `steps` says."),
            Mistake(longer, "A step too many: train for as many as `steps` says."),
            Mistake([losses[0]], "Only one step is done" + ending),
            Mistake([losses[-1]], "Only the last loss came back; return one for each step."),
            Mistake(losses[-1], "Only the last loss came back; return one for each step."),
        ],
        hint=_training_hint(got["losses"], losses),
    )
    unmoved = got["weights"] == given["weights"]
    expect(
        "the weights after training",
        got["weights"],
        np.array(weights),
        tol=1e-9,
        mistakes=[
            *(Mistake(run[1], why) for run, why in runs),
            Mistake(
                _reference({**given, "steps": given["steps"] - 1})[1],
                "The weights are those before the last step's update: every loss is followed by "
                "one, and its outcome is kept.",
            ),
            Mistake(
                _reference({**given, "steps": given["steps"] + 1})[1],
                "There is one update too many: end with that of the last step.",
            ),
        ],
        hint="The losses are those of a model that learns, but it isn't the one that was given: "
        "change that, and no copy of it."
        if unmoved
        else "The losses are right and the weights are not: a step moves each of them by rate "
        "times its gradient, and nothing else does.",
    )


EARLY = "You stop when the loss is 0: do all the `steps` that are asked for, with a loss for each."


def _ends(losses: list[float]) -> list[int]:
    """Return how many losses come of whoever stops at the first that is 0, noting it or not."""
    done = losses.index(0.0) if 0.0 in losses else len(losses)
    return [n for n in (done, done + 1) if n < len(losses)]


def _standstill(given: dict[str, Any], got: dict[str, Any], losses: list[float]) -> str:
    """Return why the losses stay equal, where there are gradients enough to know."""
    if 0.0 in losses:
        return "The losses stay as they are: do the weights move?"
    if got["weights"] != given["weights"]:
        return "The weights move and the loss does not: compute it inside the loop, in every step."
    if any(got["gradients"]):
        return (
            "The gradients are there at the end, and the weights don't move: the update comes "
            "after backward(), and changes p.data. (`p = p − …` gives the name p another value, "
            "and the model keeps the old one.)"
        )
    return (
        "The weights don't move, since their gradients are zero: zero_grad() wipes the gradients "
        "after backward() has made them and before they are used, or backward() is missing."
    )


def _training_hint(got: Any, losses: list[float]) -> str:
    first = np.ravel(got)[:1]
    if isinstance(got, (list, np.ndarray)) and first.dtype.kind == "f" and first.size:
        if len(got) != len(losses):
            return "Return a list with one loss for each step."
        if abs(first[0] - losses[0]) > 1e-9:
            return (
                "The first loss is wrong already, before any update: it is the mean over all "
                "points of max(0, 1 − y·s), of the model that you are given, with nothing added."
            )
    return "Compare your loop line by line with a step: loss, zero_grad, backward, update."


_NO_NUMBERS = {
    **call_hint('"1.5"', "train"),
    "returned a (Value|MLP)": "Return a list of plain numbers: loss.data of each step.",
}


debugging.case(
    "a few steps of a small network",
    points=2,
    adapter="training",
    inputs=lambda rng: _training_inputs(rng, n=18),  # more than a small minibatch
    crashes=_NO_NUMBERS,
)(training_repaired)


debugging.case(
    "a model with gradients left in it",
    points=1,
    adapter="training",
    inputs=_up_and_down,
    crashes=_NO_NUMBERS,
)(training_repaired)


debugging.case(
    "a loss that is 0 before the last step",
    points=1,
    adapter="training",
    inputs=_soon_done,
    crashes=_NO_NUMBERS,
)(training_repaired)
