"""1.4 · Softmax and negative log-likelihood: building a loss from Values, which the next
lectures use all the time.
"""

import math
from typing import Any

import numpy as np

from zerotohero.course.checks.micrograd._e1_4_hints import (
    ABOVE_0,
    ADDED,
    BY_NUMBER,
    CUT,
    EMPTY,
    ONE_OF_EQUALS,
    PARTLY_CUT,
    RAISED,
    SORTED,
)
from zerotohero.course.checks.micrograd.shared import call_hint
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import (
    NOTHING,
    Exercise,
    Mistake,
    array,
    expect,
    expect_that,
)

likelihood = Exercise(
    number="1.4",
    title="Softmax and negative log-likelihood",
    difficulty=2,
    minutes=25,
    practises="building a loss from Values, which the next lectures use all the time",
    answers=("softmax", "nll"),
    uses=("micrograd",),
    summary=(
        "Turn scores into probabilities, and probabilities into a loss. The gradients come by "
        "themselves, if the graph holds together."
    ),
    statement="""
A network that chooses among several answers gives each a score, its *logit*: any number, larger
for an answer that it finds more likely. Write two functions:

`softmax(logits: list[Value]) -> list[Value]`: the probabilities
$p_i = e^{z_i} / \\sum_k e^{z_k}$ that are made of the logits z. They are positive and add up to 1.

`nll(logits: list[Value], label: int) -> Value`: the **n**egative **l**og-**l**ikelihood of the
right answer, whose place in the list is `label`: $-\\log p_{label}$. It is 0 when the right answer
has probability 1, and grows without end as that goes to 0.

Both must work for logits of about 1000 and −1000, too, softmax for both in one list, and for any
number of logits, one included, of which some may be equal. The list and its logits stay as they
are, with what they have in `.grad`. Gradients must reach the logits through both functions.

```python
logits = [Value(0.0), Value(3.0), Value(-2.0), Value(1.0)]
loss = nll(logits, 3)
loss.backward()
loss.data                       # about 2.175515
[z.grad for z in logits]        # 0.04177257, 0.83902451, 0.00565330, -0.88645038
```
""",
    hints=(
        "Values have exp() and log(), and Python's sum() adds them.",
        "softmax doesn't change when the same number is taken from all logits; take away the "
        "largest, so that no exponential is above 1.",
        "top = max(z.data for z in logits); e = [(z - top).exp() for z in logits]; total = sum(e); "
        "return [x / total for x in e]; and nll is -softmax(logits)[label].log().",
    ),
)
_SHIFT = "e¹⁰⁰⁰ is too large for a float: take the largest logit away from all of them first."
_GRAPH_BROKEN = {
    **call_hint('"1.4"', "softmax", "nll"),
    "returned None": NOTHING,
    "softmax returned a Value": "softmax returns a list: one probability for each logit.",
    "nll returned a (list|tuple)": "A loss is one Value: −log of the label's probability alone.",
    "nothing in its list": EMPTY,
    "returned an? (float|int)|'float' object has no attribute": "You return plain numbers; compute "
    "with the Values themselves, not with their .data.",
    r"exp\((99|100)\d\b": _SHIFT,
    r"OverflowError: exp\(": ABOVE_0,
    "OverflowError": _SHIFT,
    "ZeroDivisionError": "Every exponential has become 0: take away the largest logit, not a fixed "
    "number.",
    "not supported between": "Values don't compare: max(z.data for z in logits) is the largest.",
    "missing 1 required positional|takes 1 positional argument": "softmax takes logits, nll takes "
    'logits and a label, and check takes them in this order: check("1.4", softmax, nll).',
    "unsupported operand|must be real number, not Value": "math.exp and math.log take floats; a "
    "Value has methods, z.exp() and p.log().",
}


def expect_kept(what: str, got: dict[str, Any]) -> None:
    """Raise `Wrong` unless the list still holds its logits in their order."""
    expect_that(
        got["kept"],
        f"{what} changed the list of logits that it was given",
        "`logits.sort()`, `pop` and the like work in place: leave the list and its order alone.",
    )


def zeroed(right: np.ndarray, given: dict[str, Any]) -> Mistake:
    """Return what comes of zeroing gradients that the logits had before."""
    return Mistake(
        right - given["before"],
        "The logits had gradients before the call, and you set those to zero: that is for whoever "
        "trains, between two steps.",
    )


@likelihood.case(
    "probabilities",
    adapter="probabilities",
    inputs=lambda rng: {
        "logits": rng.normal(0, 2, 5).round(3).tolist(),
        "weights": rng.uniform(1, 2, 5).round(3).tolist(),
        "before": float(rng.uniform(1, 2)),
    },
    crashes=_GRAPH_BROKEN,
)
def probabilities(given, got):
    z, weights = np.array(given["logits"]), np.array(given["weights"])
    expect_kept("softmax", got)
    sums = "The numbers don't add up to 1: divide each by the sum of all."
    probs, p = array("softmax(logits)", got["probs"]), softmax(z)
    if 0 < 1 - probs.sum() < 0.01:
        sums = (
            "They nearly add up to 1: is a small number added below the fraction? With the largest "
            "logit taken away, nothing can be 0 there."
        )
    expect(
        "softmax(logits)",
        probs,
        p,
        mistakes=[
            Mistake(z / z.sum(), "You divide the logits themselves; take exp of each first."),
            Mistake(
                1 / (1 + np.exp(-z)),
                "That is a sigmoid of each score alone; in a softmax all scores share one sum.",
            ),
            Mistake(
                softmax(-z),
                "The sign of the logits is turned round: the exponents are `z - top`.",
            ),
            Mistake(
                np.log(p),
                "Those are the logarithms of the probabilities: softmax returns the probabilities, "
                "and nll takes the logarithm.",
            ),
            Mistake(np.exp2(z) / np.exp2(z).sum(), "Those are powers of 2; take z.exp()."),
            *(
                Mistake(order, "The probabilities are sorted: leave them in the logits' order.")
                for order in (np.sort(p), np.sort(p)[::-1])
            ),
        ],
        hint=sums if probs.shape == p.shape and abs(probs.sum() - 1) > 1e-6 else None,
    )
    right = p * (weights - weights @ p)
    expect(
        "the gradients of the logits, for a weighted sum of the probabilities",
        got["grads"],
        right,
        mistakes=[
            Mistake(0 * p, f"In softmax, {CUT}"),
            Mistake(p * weights, PARTLY_CUT),
            zeroed(right, given),
        ],
    )


def _large_logits(rng: np.random.Generator) -> dict[str, Any]:
    """Return sets in which the label's is the smallest, the largest another's; in the last, both
    of 1000 and of −1000, of which a loss would be infinite.
    """
    sets = [np.sort(rng.normal(0, 1.5, 3)) + place for place in (1000, -1000)]
    sets.append(np.array([-1000, 1000, 998]) + rng.normal(0, 1, 3))
    return {"sets": [logits.round(3).tolist() for logits in sets], "label": 0}


@likelihood.case(
    "logits of 1000 and of −1000",
    adapter="large_logits",
    inputs=_large_logits,
    crashes=_GRAPH_BROKEN,
)
def large_logits(given, got):
    wants = [softmax(np.array(logits)) for logits in given["sets"]]
    for want, probs in zip(wants, got["probs"], strict=True):
        bad = [np.full(3, 1 / 3), np.full(3, math.nan)]
        expect("softmax(logits)", probs, want, mistakes=[Mistake(b, _SHIFT) for b in bad])
    losses = np.array([-np.log(want[given["label"]]) for want in wants[:-1]])
    expect("nll(logits, label)", got["losses"], losses)


@likelihood.case(
    "two logits of 1000 among three of −1000",
    adapter="large_logits",
    inputs=lambda rng: {
        "sets": [(np.array([-1010, 1000, -1010, 1000, -1010]) + rng.normal(0, 1, 5)).tolist()],
        "label": 0,
    },
    crashes=_GRAPH_BROKEN,
)
def two_large_logits(given, got):
    expect("softmax(logits)", got["probs"][0], softmax(np.array(given["sets"][0])))


def _few_logits(rng: np.random.Generator) -> dict[str, Any]:
    """Return two logits far apart, one, and five of which three are equal; and a label for each."""
    a, b, c, d = rng.uniform([1.5, -1.5, -0.5, 38], [2.5, -0.5, 0.5, 42]).round(3).tolist()
    return {"sets": [[0.0, d], [a], [a, a, a, b, c]], "labels": [0, 0, 1]}


@likelihood.case(
    "one logit, two far apart, and three that are equal",
    adapter="few_logits",
    inputs=_few_logits,
    crashes=_GRAPH_BROKEN,
)
def few_logits(given, got):
    found = (got[what] for what in ("probs", "losses", "grads", "mixed"))
    for logits, label, probs, loss, grads, mixed in zip(
        given["sets"], given["labels"], *found, strict=True
    ):
        z, n = np.array(logits), len(logits)
        which = f"of {n} logits" if n > 1 else "of one logit"
        p, once = softmax(z), np.exp(z) / np.exp(np.unique(z)).sum()
        equal = "Equal logits are counted once in the sum below the fraction: each of them counts."
        alone = "A logit that is alone has probability 1 and loss 0, as the formula has it."
        mistakes = [Mistake(z, alone)] if len(z) == 1 else [Mistake(once, equal)]
        exactly, added = (1e-12, ADDED) if len(z) == 1 else (1e-6, None)
        expect(f"softmax {which}", probs, p, tol=exactly, mistakes=mistakes, hint=added)
        tenths = [-np.log(10.0**-n) for n in range(3, 17)]  # what is added or cut off at
        raised = len(z) == 2 and isinstance(loss, float) and np.isclose(tenths, loss, 1e-6).any()
        expect(
            f"nll {which}",
            loss,
            -np.log(p[label]),
            tol=exactly,
            mistakes=[
                Mistake(-np.log(once[label]), equal),
                Mistake(-np.log(np.sort(p)[label]), SORTED),
            ]
            if n == 5
            else [],
            hint=RAISED if raised else added,
        )
        places = np.arange(len(z))
        equals = [Mistake(p - (places == end), BY_NUMBER) for end in (0, 2)] if n == 5 else []
        expect(f"the gradients {which}", grads, p - (places == label), mistakes=equals)
        weights = np.arange(1.0, len(z) + 1)
        ends = [[6.0, 0, 0, 4, 5], [0.0, 0, 6, 4, 5]] if n == 5 else []
        expect(
            f"the gradients {which}, for a weighted sum of the probabilities",
            mixed,
            p * (weights - weights @ p),
            mistakes=[Mistake(p * (w - w @ p), ONE_OF_EQUALS) for w in map(np.array, ends)],
        )


def loss_and_gradients(given: dict[str, Any], got: dict[str, Any]) -> None:
    z, label = np.array(given["logits"]), given["label"]
    p = softmax(z)
    right = np.arange(len(z)) == label
    expect_kept("nll", got)
    ordered, largest = SORTED, "You take the largest probability; the loss looks at the label's."
    if label == len(z) - 1:
        largest = "You take the largest probability, or the last of the sorted ones; the loss "
        ordered = largest = largest + "looks at the label's place among the logits."
    expect(
        "nll(logits, label)",
        got["loss"],
        -np.log(p[label]),
        mistakes=[
            Mistake(np.log(p[label]), "The sign: a loss is the negative log-likelihood, −log p."),
            Mistake(1 - p[label], "That is 1 − p; the loss is −log p."),
            Mistake(-p[label], "The log is missing: the loss is −log p."),
            Mistake(
                -np.log(p).mean(),
                "You average over all answers; only the probability of the label counts.",
            ),
            Mistake(
                -np.log(p).sum(),
                "You add over all answers; only the probability of the label counts.",
            ),
            Mistake(-np.log(p.max()), largest),
            Mistake(-np.log(np.sort(p)[label]), ordered),
            Mistake(-z[label], "That is the logit itself; make probabilities of the logits first."),
            Mistake(
                -np.log(abs(z[label])),
                "That is the log of the logit; make probabilities of the logits first.",
            ),
            Mistake(
                -np.log(softmax(p)[label]),
                "softmax is applied twice; nll is given logits and applies it once.",
            ),
            Mistake(
                -np.log(p[label - 1]), "Labels count from 0: the label's is softmax(…)[label]."
            ),
            Mistake(-np.log2(p[label]), "Take the natural logarithm, p.log(), not base 2."),
            Mistake((1 - p[label]) ** 2, "That is a squared error; the loss is −log p."),
        ],
    )
    expect(
        "the gradients of the logits",
        got["grads"],
        p - right,
        mistakes=[
            Mistake(np.zeros_like(p), f"In nll, {CUT}"),
            Mistake(-1.0 * right, PARTLY_CUT),
            Mistake(2 * (p - right), "Twice too large: nll must not call backward() itself."),
            zeroed(p - right, given),
        ],
    )


likelihood.case(
    "the loss of four logits like those above, and its gradients",
    adapter="loss_and_gradients",
    inputs=lambda rng: {
        "logits": (np.array([0, 3, -2, 1]) + rng.uniform(-0.4, 0.4, 4)).round(3).tolist(),
        "label": 3,
        "before": float(rng.uniform(1, 2)),
    },
    crashes=_GRAPH_BROKEN,
)(loss_and_gradients)


def _six_logits(rng: np.random.Generator) -> dict[str, Any]:
    """Return six; the largest is not the label's, nor next to it, nor as far from the other end."""
    label, top = [(1, 3), (1, 5), (2, 0), (2, 5), (4, 0), (4, 2)][rng.integers(6)]
    logits = rng.uniform(-2, 2, 6)
    logits[top] = rng.uniform(2.5, 4)
    before = float(rng.uniform(1, 2))
    return {"logits": logits.round(3).tolist(), "label": label, "before": before}


likelihood.case(
    "six logits",
    points=2,
    adapter="loss_and_gradients",
    inputs=_six_logits,
    crashes=_GRAPH_BROKEN,
)(loss_and_gradients)
