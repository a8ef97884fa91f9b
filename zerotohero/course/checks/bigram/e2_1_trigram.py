"""2.1 · A trigram, counted and learned: carrying an idea to one more dimension, in both of
its forms.
"""

import numpy as np

from zerotohero.course.checks.bigram._e2_1_counts import COUNT_CRASHES, expect_counts
from zerotohero.course.checks.bigram.shared import ORDER, count_grams
from zerotohero.course.checks.names import STOI, V, some_names
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    array,
    expect,
    expect_that,
)

FIVE = "Here there are five characters, and not 27: W has the shape of N."
LOGARITHMS = "These are logarithms of probabilities: return `softmax`, not `log_softmax`."
LOGITS = "These are the logits; return their softmax along the last dimension."


trigram = Exercise(
    number="2.1",
    title="A trigram, counted and learned",
    difficulty=3,
    minutes=40,
    practises="carrying an idea to one more dimension, in both of its forms",
    answers=("trigram_counts", "trigram_network"),
    summary=(
        "Count which character follows each pair of characters. Then let a one-layer network find "
        "the same probabilities by gradient descent."
    ),
    statement="""
`trigram_counts(words: list[str], stoi: dict[str, int]) -> Tensor`, shape `(V, V, V)` with V =
`len(stoi)`: entry (i, j, k) says how often character k followed the pair i, j, as an integer or as
a float. Two boundaries `.` stand before each word and one after it, so that a word of L letters
gives L + 1 trigrams. `stoi` has a number from 0 to V − 1 for each character, the boundary too.

`trigram_network(N: Tensor, steps: int, lr: float) -> Tensor` takes such counts, as integers, and
returns probabilities of shape `(V, V, V)`. It starts from logits that are **all zero**, does
`steps` steps of gradient descent with the learning rate `lr` on the mean negative log-likelihood of
all the trigrams in N, and returns the softmax of the logits.

```python
N = trigram_counts(["ab"], {".": 0, "a": 1, "b": 2})
N.sum(), N[0, 0, 1], N[0, 1, 2], N[1, 2, 0]  # 3, 1, 1, 1
trigram_network(N, steps=0, lr=1.0)[0, 0]  # 0.3333, 0.3333, 0.3333
trigram_network(N, steps=1, lr=1.0)[0, 0]  # 0.2945, 0.4110, 0.2945
```

Afterwards, measure both on all the names: counting gives a loss of about 2.186 on the names that
were counted, against the bigram's 2.454. How many steps does the network need to come near, with a
learning rate of 100?
""",
    hints=(
        "`'..' + word + '.'` has every trigram of a word in it; `zip(s, s[1:], s[2:])` reads them "
        "off. For the network, the lecture's loss from 729 cells works with 19,683 as well.",
        "The logits have the shape of N, and each row along the *last* dimension is one "
        "distribution. Weight each cell's log-probability with its share of all counts.",
        "In each step: `loss = -(N / N.sum() * F.log_softmax(W, dim=-1)).sum()`, then `(grad,) = "
        "torch.autograd.grad(loss, W)` and, under `torch.no_grad()`, `W -= lr * grad`.",
    ),
)


def _two_words(rng):
    """Return a word of two letters, and one of a single letter; no number is the letter's place."""
    word = "ab" + "".join(rng.permutation([*"aabbb"])) + "ab"
    numbers = [(1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)][rng.integers(4)]
    return {"words": [word, "b"], "stoi": dict(zip(".ab", numbers, strict=True))}


@trigram.case(
    "the counts of two words of a's and b's, numbered anew",
    adapter="counts",
    points=1,
    crashes=COUNT_CRASHES,
    inputs=_two_words,
)
def counts_of_two_words(given, got):
    hint = None
    if isinstance(got["N"], dict):
        hint = "Return a tensor of shape (V, V, V): `stoi` turns each character into an index."
    elif isinstance(got["N"], np.ndarray) and got["N"].shape == (V, V, V):
        hint = "Here there are three characters: take V from `len(stoi)`, not 27."
    elif isinstance(got["N"], np.ndarray) and got["N"].ndim == 2:
        hint = "The table needs three dimensions, one for each character of a trigram."
    expect_counts(given, got, hint)


def _one_name_often(rng):
    """Return names of which one gives counts above 255."""
    names = some_names(rng, 100)
    return {"words": names + 260 * names[50:51], "stoi": STOI}


@trigram.case(
    "the counts of 360 names, one of them 261 times",
    adapter="counts",
    points=1,
    crashes=COUNT_CRASHES,
    inputs=_one_name_often,
)
def counts_of_many_names(given, got):
    expect_counts(given, got)


def _network(N, steps, lr, axis=-1, scale=1.0, weights=None, pull=0.0) -> np.ndarray:
    """Return the logits after gradient descent by the formula of the lecture: share × (p − P)."""
    share = (N / N.sum() if weights is None else weights) * scale
    W = np.zeros(N.shape)
    for _ in range(steps):
        W -= lr * (share.sum(axis, keepdims=True) * softmax(W, axis) - share + pull * W)
    return W


def _of_five_characters(rng) -> np.ndarray:
    """Return counts, with two contexts that were never seen."""
    N = rng.integers(0, 3, (5, 5, 5))
    N[..., 0] += 3
    N.reshape(25, 5)[rng.permutation(25)[:2]] = 0
    return N


def _rate(rng) -> float:
    return float(rng.uniform(10, 30))


NETWORK_CRASHES = ORDER | {
    "softmax.*Long": "The counts are whole numbers; softmax belongs to the logits W, a float "
    "tensor of zeros in the shape of N.",
    "can require gradients": "`zeros_like(N)` makes whole numbers as N has; `torch.zeros(N.shape, "
    "requires_grad=True)` makes floats.",
    "does not require grad": "W must be created with `requires_grad=True`, and the loss must be "
    "computed from it.",
    "leaf Variable that requires grad": "Change W inside `with torch.no_grad():`, since the step "
    "is not part of what is differentiated.",
    "NoneType": "`W.grad` is None: after `W = W - …`, W is another tensor, the result of a "
    "computation, and those keep no gradient. Change it in place under `torch.no_grad()`.",
}


@trigram.case(
    "the network before its first step, and after",
    adapter="network_before_and_after",
    inputs=lambda rng: {"N": _of_five_characters(rng), "lr": _rate(rng)},
    crashes=NETWORK_CRASHES | {r"\b(27|729|19683)\b": FIVE},
)
def network_before_training(given, got):
    N, probs = given["N"], got["before"]
    shape, V, hint = N.shape, len(N), FIVE if np.shape(probs) == (27, 27, 27) else None
    if isinstance(probs, np.ndarray) and probs.shape == shape:
        if not np.allclose(probs.sum(-1), 1, atol=1e-4):
            hint = "The rows along the last dimension don't sum to 1: is softmax the last step?"
        elif (probs > 0).all():
            hint = "With no step, nothing is learned yet: W begins at zero, `torch.zeros`, without "
            hint += "random numbers, and `range(steps)` is empty."
    with np.errstate(invalid="ignore"):
        counted = N / N.sum(-1, keepdims=True)
    none = "These are the counted shares, and before its first step a network knows nothing."
    expect(
        "trigram_network, steps=0",
        probs,
        np.full(shape, 1 / V),
        mistakes=[
            Mistake(np.zeros(shape), LOGITS),
            Mistake(np.full(shape, -np.log(V)), LOGARITHMS),
            Mistake(
                np.full(shape, 1 / V**3),
                "The whole table sums to 1; each row along the last dimension must: `dim=-1`.",
            ),
            Mistake(np.nan_to_num(counted), none),
            Mistake(counted, none),
        ],
        hint=hint,
    )
    # What is right before the first step is right of any constant; so it has to move, too.
    after = array("trigram_network, steps=1", got["after"], shape)
    moved = np.ptp(after, -1) > 1e-7
    expect_that(moved.any(), "trigram_network, steps=1: all probabilities are still equal", _STILL)
    expect_that(
        np.array_equal(moved, N.sum(-1) > 0),
        "trigram_network, steps=1: the rows that have moved are not those of the contexts in N",
    )


HELD_BACK = "The logits are held back: the loss is the negative log-likelihood, nothing is added."
_STILL = (
    "These are still the probabilities of all-zero logits: the step has not changed W, or they "
    "were computed before it. (`W = W - …` under `torch.no_grad()` makes another tensor; `W -= …` "
    "changes it.)"
)


@trigram.case(
    "one step of the network",
    adapter="network",
    points=2,
    inputs=lambda rng: {"N": count_grams(some_names(rng, 200), 3), "steps": 1, "lr": _rate(rng)},
    crashes=NETWORK_CRASHES,
)
def one_step_of_descent(given, got):
    N, lr = given["N"], given["lr"]
    W = _network(N, 1, lr)
    once = (N > 0) / (N > 0).sum()
    P = N / np.maximum(N.sum(-1, keepdims=True), 1)
    cells = "This loss is a mean over the cells of the table, most of them empty; the mean is over "
    cells += "the trigrams, so divide the sum by `N.sum()`."
    contexts = "Every context weighs the same here, however rare: weight each trigram with "
    contexts += "`N / N.sum()`, its share of all, not with its share of its row."
    wrong = [
        Mistake(
            softmax(_network(N, 1, lr, scale=N.sum())),
            "The step is as many times too large as there are trigrams: the loss is the mean, so "
            "divide by `N.sum()`.",
        ),
        *(
            Mistake(
                softmax(_network(N, 1, lr, axis=axis), axis),
                f"Softmax runs along dimension {axis}, the {which} character of the context; the "
                "distribution is along the last, `dim=-1`.",
            )
            for axis, which in enumerate(("first", "second"))
        ),
        Mistake(
            softmax(_network(N, 1, -lr)),
            "The loss goes up: subtract the gradient times the learning rate, and mind the minus "
            "sign of the negative log-likelihood.",
        ),
        Mistake(
            softmax(_network(N, 1, lr, weights=once)),
            "Every different trigram counts once here; the mean is over all of them, so weight "
            "each with its count.",
        ),
        Mistake(W, LOGITS),
        Mistake(np.log(softmax(W)), LOGARITHMS),
        Mistake(softmax(_network(N, 2, lr)), "This is one step too many."),
        Mistake(softmax(_network(N, 1, lr, weights=P)), contexts),
    ]
    probs = got["probs"]
    uniform = isinstance(probs, np.ndarray) and probs.size > 0 and np.ptp(probs) < 1e-9
    hint = _STILL if uniform else None
    right, comparable = softmax(W), isinstance(probs, np.ndarray) and probs.shape == N.shape
    if comparable and not uniform and not np.allclose(probs, right, rtol=1e-6, atol=0):
        smoothed = "Something is added to the counts here: this network's probabilities are not "
        smoothed += "smoothed, so weight each trigram with `N / N.sum()`."
        fixed = "The step is not taken at the learning rate `lr` that is given."
        slips = [(lr, P / size, contexts) for size in (N.size, (N.sum(-1) > 0).sum(), V**2)]
        slips.append((lr, N / N.size, cells))
        slips += [(lr, (N + k) / (N + k).sum(), smoothed) for k in (0.1, 1)]
        slips += [(rate, None, fixed) for rate in (0.1, 1, 10, 50, 100)]
        for rate, weights, why in slips:
            step = softmax(_network(N, 1, rate, weights=weights))
            if np.allclose(probs, step, rtol=1e-6, atol=0):
                hint = why
    expect("trigram_network", got["probs"], right, tol=1e-4, mistakes=wrong, hint=hint)


@trigram.case(
    "fifteen steps of the network",
    adapter="network",
    points=2,
    inputs=lambda rng: {"N": _of_five_characters(rng), "steps": 15, "lr": _rate(rng)},
    crashes=NETWORK_CRASHES,
)
def fifteen_steps_of_descent(given, got):
    N, lr = given["N"], given["lr"]
    W, velocity = np.zeros(N.shape), np.zeros(N.shape)
    for _ in range(given["steps"]):
        velocity += N.sum(-1, keepdims=True) / N.sum() * softmax(W) - N / N.sum()
        W -= lr * velocity
    expect(
        "trigram_network",
        got["probs"],
        softmax(_network(N, given["steps"], lr)),
        tol=2e-5,
        mistakes=[
            Mistake(softmax(W), "After the first step the gradients add up: zero them in each."),
            *(
                Mistake(softmax(_network(N, given["steps"], lr, pull=2 * share / n)), HELD_BACK)
                for share in (0.1, 0.01, 0.001)
                for n in (1, N.size)
            ),
            Mistake(
                softmax(_network(N, given["steps"] - 1, lr)),
                "This is one step short: are the probabilities computed before the last step "
                "changes W?",
            ),
        ],
    )
