"""1.6 · Tell the moons apart: a whole training run, from the data to a model that works."""

import math
import random
from typing import Any

import numpy as np

from zerotohero.course.exercise import (
    Exercise,
    array,
    expect_that,
)
from zerotohero.micrograd import moons

separate = Exercise(
    number="1.6",
    title="Tell the moons apart",
    difficulty=3,
    minutes=40,
    practises="a whole training run, from the data to a model that works",
    answers=("train_on_moons",),
    uses=("micrograd",),
    takes=6,
    summary=(
        "Train a network of your own on two moons until every point is on its side. Then it meets "
        "points that it has not seen."
    ),
    statement="""
`train_on_moons(points: list[list[float]], labels: list[int])`
`-> Callable[[list[float]], Value | float]`

`points` are 100 pairs of numbers, `labels` are −1 or 1. Return a trained model, such as an `MLP`:
called with one point it returns a score, positive for label 1 and negative for label −1. Size,
loss, steps and learning rate are yours. Make the `MLP` with a seed, `rng=random.Random(1)`, so that
a good run stays good. The check turns its moons by an angle of its own, and takes two runs; stay
under ten seconds each.

```python
points, labels = moons(100, random.Random(7), noise=0.05)
model = train_on_moons(points, labels)
sum((model(p).data > 0) == (y > 0) for p, y in zip(points, labels))     # 100
```
""",
    hints=(
        "The lecture's last pages hold every part that you need. Print the loss while it trains.",
        "One hidden layer of 16 neurons is enough. With the mean hinge loss, a learning rate "
        "between 0.5 and 1 and some hundred steps, all points find their side.",
        "Loop at most 400 times: margins = [y * model(p) for p, y in zip(points, labels)]; stop "
        "when the smallest is above 0.5; loss = sum((1 - m).relu() for m in margins) / "
        "len(margins); zero_grad, backward, p.data -= 1.0 * p.grad.",
    ),
)


def _moon_inputs(rng: np.random.Generator) -> dict[str, Any]:
    shared, angle = random.Random(int(rng.integers(2**31))), float(rng.uniform(0.5, 5.8))
    points, labels = _moons(100, shared, angle)
    fresh, sides = _moons(200, shared, angle)
    return {"points": points, "labels": labels, "fresh": fresh, "_sides": sides}


def _moons(n: int, rng: random.Random, angle: float) -> tuple[list[list[float]], list[int]]:
    """Return turned moons in a random order: in turn, the places would tell the labels."""
    points, labels = moons(n, rng, noise=0.05)
    order = rng.sample(range(n), n)
    return _turned([points[i] for i in order], angle), [labels[i] for i in order]


def _turned(points: list[list[float]], angle: float) -> list[list[float]]:
    """Return the points, turned round the middle: no weights known beforehand are right."""
    c, s = math.cos(angle), math.sin(angle)
    moved = [(x - 0.5, y - 0.25) for x, y in points]
    return [[0.5 + c * x - s * y, 0.25 + s * x + c * y] for x, y in moved]


def _right(scores: np.ndarray, labels: list[int]) -> float:
    return float(np.mean(np.sign(scores) == np.array(labels)))


HUGE = 1000.0  # a score that no training for margins of 1 leads to
GREW = (
    "The scores have run away: the loss grows instead of falling. Step downhill, `p.data -= rate * "
    "p.grad`; if you do, the rate is too large, or gradients pile up."
)


def _moon_hint(given: dict[str, Any], got: dict[str, Any], right: float) -> str:
    points = array("the scores", got["points"], (len(given["points"]),))
    fresh = array("the scores", got["fresh"], (len(given["fresh"]),))[: len(points)]
    middles = array("the scores", got["middles"], points.shape)
    if np.abs(points).max() > HUGE:
        return GREW
    if np.ptp(points) < 1e-9:
        return (
            "The score is the same everywhere: is the network dead or untrained? A learning rate "
            "that is too large kills every ReLU."
        )
    if np.allclose(middles, (points + fresh) / 2, atol=1e-6):
        return (
            "Your score is a straight line's, and no straight line separates the moons; the "
            "network needs a hidden layer with ReLU or tanh."
        )
    if points.min() >= 0 and points.max() <= 1:
        return (
            "Every score is between 0 and 1, like a probability; the side is told by the sign, so "
            "return the score before the sigmoid, or take 0.5 off."
        )
    if right == 1.0:
        return (
            "All points that it was trained on are right and new ones are not, so they were "
            "learned by heart: return a model that computes its score from any point."
        )
    if right < 0.2:
        return (
            "The sides are swapped: the score has to be positive for label 1. Does the loss fall "
            "with y·s, and does each step go downhill?"
        )
    if right >= 0.95:
        return "Nearly: train for more steps, or with a larger hidden layer."
    if _right(points - 0.5, given["labels"]) > max(0.9, right + 0.02):
        return (
            "The scores lie on both sides of 0.5, as if the network was trained towards 0 and 1: "
            "the labels are −1 and 1, and the side is told by the sign."
        )
    how = "No better than luck." if right < 0.65 else "Better than luck, and not there yet."
    return (
        f"{how} Does the loss fall? Zero the gradients before each backward pass, step downhill, "
        "and give it a few hundred steps."
    )


def _check_moons(given: dict[str, Any], got: dict[str, Any], on: str, enough: float) -> None:
    labels = given["labels" if on == "points" else "_sides"]
    numbers = np.array(got[on], dtype=float)
    expect_that(bool(np.isfinite(numbers).all()), "a score is infinite or NaN", GREW)
    scores = array("the scores", got[on], (len(labels),))
    right = _right(scores, labels)
    expect_that(
        right >= enough,
        f"{right:.1%} of the points are on their side, expected {enough:.0%}",
        _moon_hint(given, got, _right(np.array(got["points"]), given["labels"])),
    )


_NO_MODEL = {
    "'NoneType' object is not callable": "Your function returns nothing; return the model.",
    "object is not callable": "Return something that can be called with a point, such as the MLP.",
    "model returned None": "Your model returns nothing for a point; return the score.",
    "model returned a (list|tuple)|'list' object has no attribute 'data'": "One score for each "
    "point: let the network end in one neuron, as MLP(2, [16, 1]) does.",
    "model returned a str": "The score has to be a number.",
    r"MLP.__init__\(\) takes": "The sizes of all layers are one list, and the generator is passed "
    "by its name: `MLP(2, [16, 1], rng=random.Random(1))`.",
    "KeyError": "Your model knows only points it was trained on; compute a score from any point.",
}


@separate.case(
    "every one of the 100 points",
    points=3,
    adapter="scores_on_moons",
    inputs=_moon_inputs,
    crashes=_NO_MODEL,
)
def all_points_separated(given, got):
    _check_moons(given, got, "points", 1.0)


@separate.case(
    "200 points that it has not seen",
    points=1,
    adapter="scores_on_moons",
    inputs=_moon_inputs,
    crashes=_NO_MODEL,
)
def unseen_points_separated(given, got):
    _check_moons(given, got, "fresh", 0.9)
