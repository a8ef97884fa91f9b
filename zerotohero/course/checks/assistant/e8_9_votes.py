"""8.9 · Several answers: a vote among them, the best of them, and how far that moves."""

import math

import numpy as np

from zerotohero.course.checks.assistant._e8_9_votes import (
    best_probs,
    of_the_votes,
    some_answers,
    some_samples,
    winner,
    wrong_best,
    wrong_bounds,
    wrong_winners,
)
from zerotohero.course.exercise import Exercise, Mistake, Wrong, expect, show

votes = Exercise(
    number="8.9",
    title="A vote, and the best of n",
    difficulty=2,
    minutes=30,
    practises="what can be had from several answers, and how far it moves from one",
    answers=("majority", "best_of_n_probs", "best_of_n_divergence"),
    adapters="assistant_models",
    summary=(
        "A model may answer several times before anyone reads it. Take the majority's answer, or "
        "the best of n, and compute how far the best of n is from the model itself."
    ),
    statement=r"""
`majority(answers: list) -> str | None`

Several attempts at one question ended in these answers: texts, and None where no answer was found.
Return the one that was given most often. None has no vote; of equally frequent answers the one
that came **first** in the list wins; where there is no answer at all, return None. Texts are
compared as they are, and an empty one is an answer like any other.

`best_of_n_probs(probs: Tensor, rewards: Tensor, n: int) -> Tensor`

A model has M possible answers, with probabilities `probs`, (M,), above 0, and rewards, (M,), both
in float64. It answers n times, independently, and the answer with the highest reward is taken; of
equally good ones, whose rewards are the same number, the one that came first. Return the
probability of each answer to be **taken**, (M,), computed and not drawn. M is at most 1,000, and n
at most 100.

`best_of_n_divergence(n: int) -> float`

Return the divergence of the best of n from the model in nats, $\log n - \frac{n-1}{n}$, which holds
where no two answers are equally good and none is likely. n is at least 1.

```python
majority(["7", "12", None, "12", "7", None, None])    # "7": twice, as "12", and it came first
p, r = torch.tensor([0.5, 0.3, 0.2]).double(), torch.tensor([1.0, 3.0, 2.0])
best_of_n_probs(p, r, 2)        # [0.25, 0.51, 0.24]: 0.5 · 0.5, 1 − 0.7 · 0.7, 0.7 · 0.7 − 0.25
best_of_n_divergence(2)         # 0.1931…
```
""",
    hints=(
        "When is the best of n answers no better than some reward r? What is the probability of "
        "that, if one answer is no better with the probability F(r)?",
        "The best has the reward r with the probability F(r)ⁿ − F(below r)ⁿ, F being sums of "
        "`probs`. Answers that are equally good share this as their probabilities are. A "
        "`Counter` remembers in which order its keys came.",
        "`at_most = (probs * (rewards <= rewards[:, None])).sum(1)`, `below` likewise with `<`, "
        "and `equal = at_most - below`; return `(at_most**n - below**n) * probs / equal`.",
    ),
)


@votes.case(
    "the majority",
    points=3,
    adapter="votes",
    inputs=some_samples,
    crashes={
        r"^IndexError|^StopIteration|^ValueError: (max|min)\(\)|^statistics": "Some of the lists "
        "hold no answer, and one holds nothing at all: None is returned there."
    },
)
def majority_wins(given, got):
    samples = given["samples"]
    ways = wrong_winners()
    won = got["won"]
    hint = next((h for way, h in ways if [way(s) for s in samples] == won), None)
    for sample, came in zip(samples, won, strict=True):
        if came != winner(sample) or type(came) is not type(winner(sample)):
            said = f"majority({sample}): expected {show(winner(sample))}, got {show(came)}"
            raise Wrong(said, hint or of_the_votes(samples, won, came, winner(sample)))


def share_of_each(given, got):
    want = [best_probs(given["probs"], given["rewards"], n) for n in given["ns"]]
    names = wrong_best(given["probs"], given["rewards"], given["ns"][0])
    for i, n in enumerate(given["ns"]):
        wrong = wrong_best(given["probs"], given["rewards"], n)
        mistakes = [Mistake(wrong[hint], hint) for hint in names]
        expect(f"best_of_n_probs, n = {n}", got["probs"][i], want[i], mistakes=mistakes, tol=1e-5)


for name, equal in (("the best of n", False), ("the best of n, some equally good", True)):
    votes.case(
        name,
        points=3 if not equal else 2,
        adapter="best",
        inputs=lambda rng, equal=equal: some_answers(rng, equal),
        crashes={
            "step must be greater than zero|same device|must match the size": "`probs` and "
            "`rewards` are (M,): compare each reward with each, `rewards <= rewards[:, None]`."
        },
    )(share_of_each)


@votes.case(
    "how far the best of n is from one",
    points=1,
    adapter="bounds",
    inputs=lambda rng: {"ns": [int(n) for n in rng.choice(np.arange(2, 100), 5)] + [1]},
    crashes={
        "^ZeroDivisionError|math domain error": "n may be 1, and n − 1 is 0 then: it is n that "
        "the logarithm is taken of, and n that n − 1 is divided by."
    },
)
def divergence_in_nats(given, got):
    ns = given["ns"]
    want = [math.log(n) - (n - 1) / n for n in ns]
    expect("best_of_n_divergence", got["bounds"], want, mistakes=wrong_bounds(ns))
