"""1.1 of the trial lecture."""

from zerotohero.course.checks.trial.shared import trial

from zerotohero.course.exercise import Mistake, expect

mean = trial("1.1", "mean")


@mean.case("four numbers", adapter="mean", inputs=lambda rng: {"x": rng.normal(size=4) + 1})
def four_numbers(given, got):
    total = Mistake(given["x"].sum(), "A mean is the sum divided by how many there are.")
    expect("mean(x)", got["y"], given["x"].mean(), mistakes=[total])


@mean.case(
    "a thousand", points=2, adapter="mean", inputs=lambda rng: {"x": rng.normal(size=1000) + 1}
)
def a_thousand(given, got):
    expect("mean(x)", got["y"], given["x"].mean())
