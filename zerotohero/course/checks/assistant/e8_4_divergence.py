"""8.4 · Three estimates of a divergence, and what each is wrong by on average."""

from functools import partial

import numpy as np

from zerotohero.course.checks.assistant.variants import expect_all
from zerotohero.course.exercise import Exercise, expect_that

divergence = Exercise(
    number="8.4",
    title="How far it has moved",
    difficulty=3,
    minutes=35,
    practises="estimates: what one sample says of a mean, and whether it is right on average",
    answers=("estimates", "biases"),
    summary=(
        "Estimate the divergence of a policy from its reference in three ways, from samples. Then "
        "compute how far each is wrong on average, which depends on what may be drawn."
    ),
    statement="""
`estimates(logp: Tensor, ref_logp: Tensor) -> tuple[Tensor, Tensor, Tensor]`

Samples were drawn from the policy. `logp` holds their log-probabilities under it and `ref_logp`
those under the reference, of any shape; all are finite. With r = ref_logp − logp, return three
estimates of KL(policy ‖ reference), **for each sample**, in this order and in the shape of `logp`:

1. k1 = −r,
2. k2 = r² / 2,
3. k3 = eʳ − 1 − r.

`biases(p: Tensor, q: Tensor) -> Tensor`

`p` and `q`, (V,), are the probabilities of V outcomes, under the policy and under the reference.
Return, for k1, k2 and k3, how far each is wrong **on average over samples of the policy**, (3,):

4. its expected value under p less KL(p ‖ q) = Σ p log(p/q); negative where it is too small;
5. where p is 0, an outcome is never drawn: it counts for nothing in any of these sums, but q may be
   above 0 there (so it is with top-k sampling). Where p is above 0, so is q.

```python
estimates(torch.tensor([-1.0]), torch.tensor([-1.5]))              # 0.5, 0.125, 0.1065
biases(torch.tensor([0.5, 0.5]), torch.tensor([0.9, 0.1]))         # 0, 0.2231, 0
```
""",
    hints=(
        "An expected value is a sum over all outcomes, each with the probability with which it is "
        "drawn. Whose samples are they? And what is Σ p · q/p, if p is 0 somewhere?",
        "`kept = p > 0`, and go on with `p[kept]` and `q[kept]`, as they are: to scale q so that "
        "it adds up to 1 again would be another question. `estimates` takes their logarithms.",
        "`p, q = p[p > 0], q[p > 0]`; `ks = torch.stack(estimates(p.log(), q.log()))`; then "
        "`(p * ks).sum(-1) - (p * (p / q).log()).sum()`.",
    ),
)


def three(logp, ref_logp, kind: str | float = "") -> list:
    """Return the three estimates; `kind` is a mistake, or where r is cut off."""
    r = ref_logp - logp
    if kind == "turned":
        r = -r
    if isinstance(kind, float):
        r = np.clip(r, -kind, kind)
    k1, k2, k3 = -r, r**2 / 2, np.exp(r) - 1 - r
    found = {
        "k1": [r, k2, k3],
        "k1 cut": [np.maximum(k1, 0), k2, k3],
        "k1 size": [np.abs(k1), k2, k3],
        "k2 half": [k1, r**2, k3],
        "k2 size": [k1, np.abs(r) / 2, k3],
        "k3 one": [k1, k2, np.exp(r) - r],
        "k3 r": [k1, k2, np.exp(r) - 1],
        "k3 sign": [k1, k2, np.exp(r) - 1 + r],
        "k3 turned": [k1, k2, np.exp(-r) - 1 + r],
        "k3 minus": [k1, k2, 1 + r - np.exp(r)],
        "order": [k3, k2, k1],
        "means": [k1.mean(), k2.mean(), k3.mean()],
        "sums": [k1.sum(), k2.sum(), k3.sum()],
        "rows": [k1.mean(-1), k2.mean(-1), k3.mean(-1)],
        "weighed": [np.exp(logp) * k for k in (k1, k2, k3)],
    }
    return found.get(kind, [k1, k2, k3])


KINDS = {
    "turned": "r is turned around: the reference's logarithm comes first, r = ref_logp − logp.",
    "k1": "k1 is −r: it has the wrong sign.",
    "k1 cut": "k1 was cut off at 0: a single estimate may be negative, and has to be, so that the "
    "mean is right.",
    "k1 size": "k1 without its sign: its mean is too large then.",
    "k2 half": "k2 is **half** of r².",
    "k2 size": "k2 holds |r| where the square of r is asked for.",
    "k3 one": "k3 lacks the − 1: for equal models it must be 0.",
    "k3 r": "k3 lacks the − r.",
    "k3 sign": "k3 has + r where − r is asked for.",
    "k3 turned": "k3 has r turned around, e⁻ʳ − 1 + r: on average that is another number.",
    "k3 minus": "k3 has the wrong sign: it is never negative.",
    "order": "k1 and k3 have changed places.",
    "means": "The mean over all samples was taken: one number for each sample is asked for.",
    "sums": "The sum over all samples was taken: one number for each sample is asked for.",
    "rows": "The mean over the last axis was taken: one number for each sample is asked for.",
    "weighed": "Each sample was weighed by its probability, and it was drawn with it already.",
}
CUT = "r was cut off where it is large: however far apart the two are, each estimate is exact."
WRONG_ESTIMATES = [
    (partial(three, kind=kind), hint)
    for kind, hint in [*KINDS.items(), *((at, CUT) for at in (1.0, 2.0, 5.0, 10.0, 20.0))]
]


def each_sample(given, got):
    """Expect three estimates of each sample."""
    for came in got["ks"]:
        expect_that(
            isinstance(came, list) and len(came) == 3,
            "estimates(…): expected three tensors, and something else came",
            "`return k1, k2, k3` returns a tuple of three.",
        )
    expect_all("estimates(…)", given["calls"], got["ks"], three, WRONG_ESTIMATES)


def _samples(rng) -> dict:
    def some(*shape):
        logp = -np.abs(rng.normal(size=shape)) - 0.1
        return {"logp": logp, "ref_logp": logp + rng.normal(size=shape) * 0.8}

    far = {name: -rng.uniform(0.1, 4, 6) for name in ("logp", "ref_logp")}
    far["logp"][0] -= 30
    far["ref_logp"][1] -= 40
    return {"calls": [some(7), some(2, 4), some(3, 2, 5), far]}


divergence.case("three estimates of each sample", points=3, adapter="estimated", inputs=_samples)(
    each_sample
)


# --- what they are wrong by -----------------------------------------------------------------------


def wrong_by(p, q, kind: str = "") -> np.ndarray:
    """Return the bias of each; `kind` is a mistake."""
    drawn = p > (1e-6 if kind == "seldom" else 0)
    if kind == "all":
        drawn = np.ones_like(drawn)
    p, q = p[drawn], q[drawn]
    if kind == "scaled":
        q = q / q.sum()
    ks = np.array(three(np.log(p), np.log(q), "turned" if kind == "r turned" else ""))
    kl = (p * np.log(p / q)).sum()
    weights = {"under q": q, "evenly": np.full(len(p), 1 / len(p)), "sum": np.ones(len(p))}
    mean = (weights.get(kind, p) * ks).sum(1)
    if kind == "values":
        return mean
    if kind == "other KL":
        return mean - (q * np.log(q / p)).sum()
    if kind == "minus":
        return kl - mean
    if kind == "size":
        return np.abs(mean - kl)
    if kind == "relative":
        return (mean - kl) / kl
    if kind == "by heart":
        return (mean - kl) * np.array([0, 1, 0])
    return mean - kl


BIASES = {
    "all": "Where p is 0 its logarithm is −∞, and 0 · ∞ is NaN: leave these outcomes out.",
    "seldom": "What is drawn seldom is drawn: only where p is exactly 0 does an outcome count for "
    "nothing.",
    "scaled": "q was scaled so that it adds up to 1 where p is above 0: the reference stays what "
    "it is.",
    "r turned": "The estimates were given q's logarithms first, and p's second.",
    "under q": "The mean is over samples of the reference, q: the policy draws them.",
    "evenly": "Every outcome counts the same: each counts by its probability under p.",
    "sum": "The estimates were added up without their probabilities.",
    "values": "Those are the expected values: KL(p ‖ q) has to be subtracted.",
    "other KL": "KL(q ‖ p) was subtracted: the divergence isn't the same both ways.",
    "minus": "The sign is turned: the expected value comes first, KL is subtracted.",
    "size": "The size of the error was returned, without its sign.",
    "relative": "The error was divided by KL.",
    "by heart": "k3 is right on average only where Σ q is 1 over what may be drawn: compute it.",
}
WRONG_BIASES = [(partial(wrong_by, kind=kind), hint) for kind, hint in BIASES.items()]
CRASHES = {
    "must match the size": "Where outcomes are left out, p and q both lose them.",
}


def biases_right(given, got):
    """Expect the three biases of each pair of distributions."""
    what = "biases({p}, {q})"
    expect_all(what, given["calls"], got["biases"], wrong_by, WRONG_BIASES, tol=1e-7)


def _distribution(rng, V: int) -> np.ndarray:
    p = np.exp(rng.normal(size=V))
    return np.round(p / p.sum(), 12)


def _of_both_signs(draw, rng) -> dict:
    """Draw until k2 is too small for one of the pairs and too large for another."""
    while True:
        calls = draw(rng)
        signs = {bool(wrong_by(**call)[1] > 0) for call in calls}
        if len(signs) == 2:
            return {"calls": calls}


def _everywhere(rng) -> list[dict]:
    sizes = [3, int(rng.integers(5, 9)), 4]
    return [{"p": _distribution(rng, V), "q": _distribution(rng, V)} for V in sizes]


divergence.case(
    "which is right on average",
    points=3,
    adapter="biased",
    inputs=partial(_of_both_signs, _everywhere),
    crashes=CRASHES,
)(biases_right)


def _some_never(rng) -> list[dict]:
    calls = []
    for V, n in ((5, 1), (8, 3)):
        p, q = _distribution(rng, V), _distribution(rng, V)
        never = rng.permutation(V)
        p[never[:n]] = 0
        p[never[n]] = 1e-9
        calls.append({"p": p / p.sum(), "q": q})
    q[np.flatnonzero(p == 0)[0]] = 0
    return [*calls, {"p": p / p.sum(), "q": q / q.sum()}]


divergence.case(
    "outcomes that are never drawn",
    points=3,
    adapter="biased",
    inputs=partial(_of_both_signs, _some_never),
    crashes=CRASHES,
)(biases_right)
