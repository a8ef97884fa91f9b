"""1.3 of the trial lecture."""

import numpy as np
from zerotohero.course.checks.trial.shared import trial

from zerotohero.course.exercise import expect

softmax = trial("1.3", "softmax", adapters="trial_torch")


@softmax.case(
    "three logits", points=3, adapter="softmax", inputs=lambda rng: {"x": rng.normal(size=3)}
)
def probabilities(given, got):
    e = np.exp(given["x"])
    expect("softmax(x)", got["p"], e / e.sum(), tol=1e-5)
