"""Exercises of a lecture that exists for the tests of the grader alone."""

import numpy as np

from zerotohero.course.exercise import Exercise, Mistake, expect


class Trial(Exercise):
    time_limit = 2.0  # so that an endless loop does not hold the tests up


def trial(number, *answers):
    hints = ("one", "two", "three")
    return Trial(number, "Trial", 1, 1, "grading", answers, "Two. Sentences.", "A card.", hints)


mean = trial("1.1", "mean")
shout = trial("1.2", "shout")
softmax = trial("1.3", "softmax")
count = trial("1.4", "Counter")
EXERCISES = (mean, shout, softmax, count)


@mean.case("four numbers", adapter="mean", inputs=lambda rng: {"x": rng.normal(size=4)})
def _(given, got):
    total = Mistake(given["x"].sum(), "A mean is the sum divided by how many there are.")
    expect("mean(x)", got["y"], given["x"].mean(), mistakes=[total])


@mean.case("a thousand", points=2, adapter="mean", inputs=lambda rng: {"x": rng.normal(size=1000)})
def _(given, got):
    expect("mean(x)", got["y"], given["x"].mean())


@shout.case("a word", points=2, adapter="shout", inputs={"word": "emma", "_loud": "EMMA"})
def _(given, got):
    expect("shout(word)", got["word"], given["_loud"])


@softmax.case(
    "three logits", points=3, adapter="softmax", inputs=lambda rng: {"x": rng.normal(size=3)}
)
def _(given, got):
    e = np.exp(given["x"])
    expect("softmax(x)", got["p"], e / e.sum(), tol=1e-5)


@count.case(
    "counting", points=4, adapter="count", inputs=lambda rng: {"n": int(rng.integers(9, 99))}
)
def _(given, got):
    steps = list(range(got["n"]))  # a forged n makes this endless
    expect("the counts", got["counts"], [i + 1 for i in steps])
