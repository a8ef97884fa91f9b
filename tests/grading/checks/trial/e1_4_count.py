"""1.4 of the trial lecture."""

from zerotohero.course.checks.trial.shared import trial

from zerotohero.course.exercise import expect

count = trial("1.4", "Counter")


@count.case(
    "counting", points=4, adapter="count", inputs=lambda rng: {"n": int(rng.integers(9, 99))}
)
def counts(given, got):
    steps = list(range(got["n"]))  # a forged n makes this endless
    expect("the counts", got["counts"], [i + 1 for i in steps])
