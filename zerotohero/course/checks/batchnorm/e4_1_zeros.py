"""4.1 · All zeros: reading a gradient as a product, and finding the factor that is zero."""

import numpy as np

from zerotohero.course.checks.batchnorm._e4_1_networks import (
    ALL_ZERO_SETS,
    NAMES,
    blame,
    particular,
    simple,
    some_of,
    steps_of,
)
from zerotohero.course.checks.batchnorm.shared import NONE
from zerotohero.course.exercise import Exercise, expect

zeros = Exercise(
    number="4.1",
    title="All zeros",
    difficulty=3,
    minutes=35,
    practises="reading a gradient as a product, and finding the factor that is zero",
    answers=("which_move", "why_still"),
    summary=(
        "Find out which parameters of the lecture-03 network get a gradient when some or all of "
        "them start at zero. Then say for each that stands still which factor of its gradient is "
        "to blame."
    ),
    statement="""
The network is lecture 03's: `x` holds the embeddings of a context side by side, `h = tanh(x @ W1 +
b1)`, `logits = h @ W2 + b2`, and the loss is `F.cross_entropy(logits, Y)`.

`which_move(parameters: dict[str, Tensor], X, Y, steps: int, rate: float) -> list[list[str]]`

`parameters` has the keys `wte` (V, C), `W1` (T · C, H), `b1` (H,), `W2` (H, V), `b2` (V,). Train on
contexts `X` (N, T) and targets `Y` (N,), all of them in each step, by plain gradient descent: a
step subtracts `rate` times its gradient from each parameter. Return, for each of the `steps` steps,
the names of the parameters whose gradient in that step is not all zeros, in any order. The tensors
that you were given keep their values.

`why_still(zero: list[str]) -> dict[str, list[str]]`

`zero` names the parameters that start at zero; the others are random. For each parameter that gets
no gradient in the **first** step, and for no other, list every factor that makes its gradient zero
by itself: `"x"`, `"h"`, `"W1"` or `"W2"`.

```python
# with W2 at zero and the other four random:
which_move(parameters, X, Y, 2, 0.1)    # [["W2", "b2"], ["wte", "W1", "b1", "W2", "b2"]]
why_still(["W1", "W2"])    # {"wte": ["W1", "W2"], "W1": ["W2"], "b1": ["W2"]}
why_still([])              # {}
```

In the second example `W2` does move: `b1` is random, so `h` is not zero. Which parameters ever move
if everything starts at zero, and what can such a network learn?
""",
    hints=(
        "A parameter that is zero may well have a gradient. Write each of the five gradients as a "
        "product, going back from the logits: what is multiplied with what?",
        "The gradient of W2 is h.T @ dlogits. What goes back to the hidden layer is dh = dlogits @ "
        "W2.T; the gradients of W1 and b1 come from it, and wte's from W1 as well. When is h zero?",
        "Blame: for W2, h; for W1, x and W2; for b1, W2; for wte, W1 and W2; for b2 never any. x "
        "is zero if wte is; h is zero if b1 is, and x or W1 too. For the steps: `grads = "
        "torch.autograd.grad(loss, ps)`, note the names where `grad.any()`, then `p -= rate * "
        "grad` under `torch.no_grad()`, on clones.",
    ),
)


def moves_predicted(given, got) -> None:
    steps = given["steps"]
    runs = list(zip(given["runs"], given["_about"], got["moved"], strict=True))
    # Where every character is in X, all of wte has a gradient.
    left_out = "wte" not in str(got["moved"]) and any(
        (run["X"] == 6).any() and "wte" in str(about["want"]) for run, about, _ in runs
    )
    for _, about, found in runs:
        want, what = about["want"], about["what"]
        hints = {str(value): text for value, text in _known(about["zero"], want, steps)}
        if any(len({str(step) for step in run}) > 1 for run in got["moved"]):
            hints.pop(str([want[0]] * steps), None)  # elsewhere something has changed
        lacking = [(run["X"] < 6).all() for run in given["runs"]]  # the last character
        if left_out or any(
            less and "wte" in str(run) for less, run in zip(lacking, got["moved"], strict=True)
        ):
            hints.pop(str(_without_wte(want)), None)
        hints |= {str(value): text for value, text in about["known"]}
        expect(
            f"the number of steps, with {what}",
            len(found),
            steps,
            hint="Return one list of names for each of the `steps` steps.",
        )
        for i, (step, moved) in enumerate(zip(want, found, strict=True), 1):
            hint = hints.get(str(found), about.get("later") if i > 1 else None)
            if left_out and not hint and "wte" in str(want):
                hint = LEFT_OUT
            if len(set(moved)) < len(moved):
                hint = "A name stands there more than once: begin each step's list of names anew."
            expect(f"step {i}, with {what}", moved, step, hint=hint)


LEFT_OUT = (
    "wte is in none of your steps, not even where X holds every character: it is one of the five "
    "parameters, and learns as the others do."
)


def _without_wte(steps: list[list[str]]) -> list[list[str]]:
    return [sorted({*step} - {"wte"}) for step in steps]


def _known(zero, want, steps: int) -> list[tuple[list[list[str]], str]]:
    """What learners get wrong in any network, the likeliest last."""
    values = [sorted(set(NAMES) - set(zero))]  # what is not zero when each step begins
    for step in want[:-1]:
        values.append(sorted({*values[-1], *step}))
    return [
        (
            [sorted(NAMES)] * steps,
            "You list every parameter in every step, those too whose gradient is all zeros: "
            "`grad is not None` is true of them, `grad.any()` is not.",
        ),
        (
            [values[0]] * steps,
            "You list the parameters that don't start at zero; it is those with a gradient that "
            "are asked for.",
        ),
        (
            values,
            "You list the parameters whose *values* aren't zero; it is their gradients that are "
            "asked for.",
        ),
        (
            steps_of(zero, steps + 1)[1:],
            "You are one step late: look at the gradients before the update, beginning with the "
            "untouched parameters.",
        ),
        (
            [want[0]] * steps,
            "Every step gives the answer of the first: after each step, change the parameters by "
            "-rate times their gradients.",
        ),
        (
            [sorted({*step, "b1", "b2"}) for step in want],
            "You list b1 even where nothing reaches it: what comes back to b1 has been through W2, "
            "so that not every bias moves. Measure its gradient.",
        ),
        (
            _without_wte(want),
            "The embeddings of characters that X lacks get no gradient, and the others do: "
            "`grad.any()` is true of some, `grad.all()` of every number.",
        ),
        (
            [[]] * steps,
            "Not all gradients are zero: b2 is added to the logits as it is, and its gradient, "
            "probs minus target, doesn't ask what the others are.",
        ),
    ]


zeros.case(
    "everything starts at zero, and in a second network only some",
    adapter="moving",
    inputs=simple,
    crashes=NONE,
)(moves_predicted)


zeros.case(
    "some start at zero, six steps, and networks in which all of X and the rate count",
    points=2,
    adapter="moving",
    inputs=particular,
    crashes=NONE,
)(moves_predicted)


def _zero_sets(rng: np.random.Generator) -> dict:
    """Try all of them, in any order, and the names of each in any order too."""
    shuffled = [[str(name) for name in rng.permutation(zero)] for zero in ALL_ZERO_SETS]
    return {"zeros": some_of(rng, shuffled, len(shuffled))}


PRODUCTS = {
    "wte": "wte's gradient has come back through W2, the hidden layer and W1.",
    "W1": "W1's gradient is x, transposed, times what has come back through W2.",
    "b1": "b1's gradient is the sum of what has come back through W2, and nothing else.",
    "W2": "W2's gradient is h, transposed, times the logits' gradient, and that one isn't zero. h "
    "is zero where b1 is and, beside it, x or W1.",
    "b2": "b2's gradient, the sum of the logits' gradient, is not zero.",
}


@zeros.case("why they stand still", points=3, adapter="reasons", inputs=_zero_sets, crashes=NONE)
def reasons_they_stand_still(given, got):
    wrong_everywhere = [
        (
            lambda z: blame(z, h_needs_b1=False),
            "h is not zero as long as b1 isn't: tanh(0 + b1) is the same for every context, but W2 "
            "has something to multiply.",
        ),
        (
            lambda z: blame(z, through_tanh=True),
            "A hidden value of zero doesn't hold back what comes from behind: tanh is steepest "
            "there, its derivative 1 - h² is 1. h = 0 stops W2 only.",
        ),
        (
            lambda z: {n: [n] for n in NAMES if n in z},
            "A parameter that is zero can have a gradient: it says how the loss would change if "
            "the parameter did. Ask what it is multiplied with.",
        ),
        (
            lambda z: {
                n: [f for f in factors if f != "x"]
                for n, factors in blame(z).items()
                if factors != ["x"]
            },
            "The gradient of W1 is x times what comes back: where the embeddings are zero, x is.",
        ),
        (
            lambda z: {
                n: [f for f in factors if (n, f) != ("wte", "W2")]
                for n, factors in blame(z).items()
                if (n, factors) != ("wte", ["W2"])
            },
            "What comes back to wte has been through W2 before it goes through W1: each of the two "
            "can stop it.",
        ),
        *(
            (
                lambda z, one=one: {n: factors[one] for n, factors in blame(z).items()},
                "You stop at the first factor that is zero; list every one that would be enough by "
                "itself.",
            )
            for one in (slice(1), slice(-1, None))
        ),
        (
            lambda z: {
                n: [f for f in ("W1", "W2", "h", "x") if f in z or (f == "x" and "wte" in z)]
                for n in blame(z)
            },
            "The same factors stand under every name: each gradient is a product of its own.",
        ),
    ]
    sets = given["zeros"]
    known = [hint for answer, hint in wrong_everywhere if [answer(z) for z in sets] == got["why"]]
    without_empty = [{n: why for n, why in found.items() if why} for found in got["why"]]
    if without_empty == [blame(zero) for zero in sets] != got["why"]:
        known = ["Leave out the parameters that move, instead of giving them an empty list."]
    for zero, found in zip(sets, got["why"], strict=True):
        want = blame(zero)
        off = [name for name in NAMES if found.get(name) != want.get(name)]
        factors = {factor for factors in found.values() for factor in factors}
        if not known and factors - {"x", "h", "W1", "W2"}:
            known = ['The factors are "x", "h", "W1" and "W2"; the parameters are the keys.']
        hints = known or [PRODUCTS[name] for name in off] or ["Its keys are names of parameters."]
        expect(_call(zero), found, want, hint=hints[0])


def _call(zero: list[str]) -> str:
    return f"why_still({zero})".replace("'", '"')
