"""3.2 · An honest start: predicting a loss before the first step, and initialising to meet
it."""

import math
from functools import cache

import numpy as np

from zerotohero.course.checks.mlp.shared import NAMES, examples, hidden_layer, parameter
from zerotohero.course.checks.names import V, all_names
from zerotohero.course.checks.numerics import mean_loss
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    Wrong,
    expect,
    expect_that,
)

start = Exercise(
    number="3.2",
    title="An honest start",
    difficulty=2,
    minutes=25,
    practises="predicting a loss before the first step, and initialising to meet it",
    answers=("loss_knowing_nothing", "calm_init"),
    summary=(
        "Say what loss a model has that knows nothing. "
        "Then initialise the lecture's network so that it starts there, and can still learn."
    ),
    statement="""
`loss_knowing_nothing(V: int) -> float` returns the mean negative log-likelihood, in nats, of a
model that gives each of V characters the same probability, whatever the data are.

`calm_init(block_size: int, n_embd: int, n_hidden: int, V: int, generator) -> tuple`
returns the five parameters `wte` (V, n_embd), `W1` (block_size · n_embd, n_hidden), `b1`
(n_hidden,), `W2` (n_hidden, V) and `b2` (V,), float tensors. Each is filled with one number or
with random ones, and all random numbers are drawn from `generator` itself. The network
`tanh(x @ W1 + b1) @ W2 + b2`, x being the embeddings side by side, must start with a loss within
0.1 of knowing nothing, in the mean over several seeds. In most contexts the hidden units must
differ from each other, and most units from context to context, both by a standard deviation above
0.01, and no two units may be copies: a network of zeros starts there too, and stays. At least a
quarter of all their values must lie between −0.9999 and 0.9999, since at the ends of tanh there is
no slope to learn by.

```python
loss_knowing_nothing(4)                                            # 1.3862943611198906
wte, W1, b1, W2, b2 = calm_init(3, 10, 200, 27, torch.Generator().manual_seed(1))
```
""",
    hints=(
        "The softmax of equal logits is uniform. Which of the five parameters decide how far apart "
        "the logits are?",
        "Logits near zero need a small W2 and a b2 of zero. The other three may stay random: they "
        "make the units differ.",
        "`W2 = 0.01 * torch.randn(n_hidden, V, generator=generator)`, `b2 = torch.zeros(V)`, and "
        "for the other three `torch.randn(..., generator=generator)`. The loss is -log(1/V).",
    ),
)


@start.case(
    "the loss of knowing nothing",
    adapter="knowing_nothing",
    inputs=lambda rng: {"V": int(rng.choice([*range(3, 10), *range(30, 200)]))},
)
def loss_of_knowing_nothing(given, got):
    want = math.log(given["V"])
    expect(
        "loss_knowing_nothing",
        got["loss"],
        want,
        mistakes=[
            Mistake(
                math.log2(given["V"]),
                "That is in bits, with the logarithm to base 2; nats take the natural logarithm, "
                "`math.log`.",
            ),
            Mistake(
                math.log10(given["V"]),
                "That is the logarithm to base 10; nats take the natural logarithm, `math.log`.",
            ),
            Mistake(
                1 / given["V"],
                "1/V is the probability; the loss is its logarithm with the sign turned.",
            ),
            Mistake(
                math.log(27), "That is the loss for 27 characters: their number is the argument V."
            ),
            Mistake(-want, "The logarithm of a probability is negative; the loss is *minus* it."),
        ],
    )


NOT_FLOAT = {
    "must be a float tensor": "A parameter is a float tensor, or no gradient can change it: "
    "`torch.zeros(V)`, `torch.randn(…)`. `torch.full` with a whole number makes whole numbers.",
}
NO_CONTEXT = "The hidden layer doesn't see its context: wte and W1 must be random, and not tiny."


def _sizes(rng: np.random.Generator) -> dict:
    return {
        # None of the lecture's sizes, 3, 10, 200 and 27.
        "block_size": int(rng.choice([2, 4, 5])),
        "n_embd": int(rng.choice([8, 9, 11, 12])),
        "n_hidden": int(rng.choice([*range(120, 200), *range(201, 250)])),
        "V": int(rng.integers(V + 1, 41)),  # some characters never occur in the names
        "seed": int(rng.integers(1e6)),
    }


# An honest W2 of 0.01 · randn misses ln 27 by up to 0.05, by luck; randn / √200 by 0.2 or more.
CALM = 0.1


@cache
def _some_rows(block_size: int) -> tuple[np.ndarray, np.ndarray]:
    return examples(all_names()[::400], block_size)[:2]


@start.case(
    "the loss at the start", points=2, adapter="initialised_often", inputs=_sizes, crashes=NOT_FLOAT
)
def loss_at_the_start(given, got):
    X, Y = _some_rows(given["block_size"])
    want, losses, without = math.log(given["V"]), [], []
    for parameters in got["started"]:
        wte, W1, b1, W2, b2 = _parameters(given, parameters)
        h = hidden_layer(X, wte, W1, b1)
        _expect_difference(X, wte, W1, b1)
        losses.append(mean_loss(h @ W2 + b2, Y))
        without.append(mean_loss(h @ W2, Y))
    loss = float(np.mean(losses))
    hint = (
        f"The logits are still too far apart: W2 has a standard deviation of {W2.std():.2g}. "
        "Dividing by the root of the number of units brings the logits near 1, and they must be "
        "near 0: make it smaller still."
    )
    if W2.std() > 0.5:
        hint = "W2 is as large as at the naive start: make it small, so that all logits are near 0."
    elif abs(np.mean(without) - want) < CALM:
        hint = "Only b2 is in the way: without it the loss would be right, so start it at zero."
    what = f"the first loss, a mean over {len(losses)} seeds"
    expect_that(abs(loss - want) < CALM, f"{what}: expected {want:.4f}, got {loss:.4f}", hint)


@start.case("it can still learn", adapter="initialised", inputs=_sizes, crashes=NOT_FLOAT)
def can_still_learn(given, got):
    wte, W1, b1, _, _ = _parameters(given, got["first"])
    X, _ = _some_rows(given["block_size"])
    _expect_difference(X, wte, W1, b1)
    inside = np.mean(np.abs(hidden_layer(X, wte, W1, b1)) < 0.9999)
    expect_that(
        inside >= 0.25,
        f"{inside:.1%} of the hidden values are between −0.9999 and 0.9999, expected a quarter",
        "What tanh is given, `x @ W1 + b1`, is too large, and so its slope is zero nearly "
        "everywhere: make it smaller.",
    )


def _expect_difference(X: np.ndarray, wte: np.ndarray, W1: np.ndarray, b1: np.ndarray) -> None:
    """Expect hidden units that differ, and from context to context."""
    h, unbiased = hidden_layer(X, wte, W1, b1), hidden_layer(X, wte, W1, 0 * b1)
    drowned = np.median(unbiased.std(0)) > 0.01
    large = "b1 is so large that tanh is at one of its ends, whatever the context: start it near 0."
    between = np.median(h.std(1))
    if W1.std(1).max() == 0:
        alike = (
            "Units that start alike get the same gradient and stay alike: with W1 all zeros or all "
            "equal, all units do the work of one. Make W1 random."
        )
    elif np.median(unbiased.std(1)) > 0.01:
        alike = large
    elif np.median(np.abs(h)) > 0.99:
        alike = (
            "All are at one end of tanh, where its slope is zero: `torch.rand` draws from 0 to 1, "
            "so that nothing cancels in the sums. `torch.randn` draws around 0."
        )
    else:
        alike = NO_CONTEXT
    expect_that(between > 0.01, f"the hidden units of a context {_same(between)}", alike)
    within = np.median(h.std(0))
    if within <= 0.01:
        raise Wrong(
            f"from context to context, the hidden units {_same(within)}",
            large if drowned else NO_CONTEXT,
        )
    units = len({unit.tobytes() for unit in np.concatenate([W1, b1[None]]).T + 0.0})
    expect_that(
        units == len(b1),
        f"{len(b1)} hidden units, and only {units} that differ",
        "Some units are copies of others, with the same weights and bias: draw weights for each.",
    )


def _same(spread: float) -> str:
    if spread < 1e-6:
        return "have the same value"
    return f"hardly differ: expected a standard deviation above 0.01, got {spread:.4g}"


@start.case("the generator decides", adapter="initialised", inputs=_sizes, crashes=NOT_FLOAT)
def generator_decides(given, got):
    first, again, other = (_parameters(given, got[key]) for key in ("first", "again", "other"))
    same = all(np.array_equal(p, q) for p, q in zip(first, again, strict=True))
    hint = (
        "Pass the generator to every random call: `torch.randn(..., generator=generator)`. "
        "Without it the numbers come from a hidden global state."
    )
    expect_that(same, "the same seed twice gave different parameters", hint)
    # Parameters of one number, such as biases of zero, are another case's matter.
    random = [not np.array_equal(p, q) for p, q in zip(first, other, strict=True)]
    fixed = [
        name
        for name, p, drawn in zip(NAMES, first, random, strict=True)
        if p.std() > 0 and not drawn
    ]
    expect_that(any(random) or bool(fixed), "nothing in the parameters is random", NO_CONTEXT)
    expect_that(
        not fixed,
        f"two seeds gave the same {' and '.join(fixed)}",
        "What is not one number throughout has to come from the generator you were given: don't "
        "make a new one inside, and don't seed it again.",
    )
    more = _parameters(given, got["more"])
    expect_that(
        not all(np.array_equal(p, q) for p, q in zip(first, more, strict=True)),
        "one generator, asked twice, gave the same parameters",
        "A generator goes on from where it is: draw from it, and not from a new one that begins "
        "with its seed.",
    )


def _parameters(given: dict, got) -> list[np.ndarray]:
    T, C, H, V = (given[key] for key in ("block_size", "n_embd", "n_hidden", "V"))
    if not isinstance(got, list) or len(got) != 5:
        raise Wrong("calm_init: expected five parameters: wte, W1, b1, W2, b2")
    shapes = ((V, C), (T * C, H), (H,), (H, V), (V,))
    return [parameter(*found) for found in zip(NAMES, got, shapes, strict=True)]
