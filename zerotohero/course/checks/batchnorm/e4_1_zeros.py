"""4.1 · All zeros: reading a gradient as a product, and finding the factor that is zero."""

from itertools import combinations

import numpy as np

from zerotohero.course.checks.batchnorm.shared import NONE
from zerotohero.course.exercise import Exercise, expect

NAMES = ("wte", "W1", "b1", "W2", "b2")

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


def _blame(zero, h_needs_b1=True, through_tanh=False) -> dict[str, list[str]]:
    """The factors that are zero in each gradient; the switches are what learners get wrong."""
    x = "wte" in zero
    h = (x or "W1" in zero) and ("b1" in zero or not h_needs_b1)
    blame = {
        "wte": [w for w in ("W1", "W2") if w in zero],
        "W1": ["W2"] * ("W2" in zero) + ["x"] * x,
        "b1": ["W2"] * ("W2" in zero),
        "W2": ["h"] * h,
    }
    if through_tanh and h:
        for name in ("wte", "W1", "b1"):
            blame[name] = sorted([*blame[name], "h"])
    return {name: factors for name, factors in blame.items() if factors}


def _steps(zero, steps: int) -> list[list[str]]:
    """Which parameters get a gradient in each step: what has moved once is zero no more."""
    moved, zero = [], set(zero)
    for _ in range(steps):
        moved.append(sorted(set(NAMES) - _blame(zero).keys()))
        zero -= set(moved[-1])
    return moved


ALL_ZERO_SETS = [list(zero) for n in range(6) for zero in combinations(NAMES, n)]
# Sets with which the first step isn't like the next.
SLOW = [zero for zero in ALL_ZERO_SETS if len({str(step) for step in _steps(zero, 4)}) > 1]


def _network(rng: np.random.Generator, zero, N: int = 40) -> dict:
    """A network whose parameters in `zero` are zero, and what to train it on."""
    T, C, H, V = 3, int(rng.integers(4, 6)), int(rng.integers(8, 12)), 7
    shapes = {"wte": (V, C), "W1": (T * C, H), "b1": (H,), "W2": (H, V), "b2": (V,)}
    parameters = {n: (n not in zero) * 0.5 * rng.normal(size=shape) for n, shape in shapes.items()}
    X, Y = rng.integers(0, V, (N, T)), rng.integers(0, V, N)
    return {"parameters": parameters, "X": X, "Y": Y, "rate": 0.3}


def _plain(rng: np.random.Generator, zero_sets, steps: int) -> dict:
    about = [
        _about("everything at zero" if len(z) == 5 else " and ".join(z) + " at zero", z, steps)
        for z in zero_sets
    ]
    return {"runs": [_network(rng, z) for z in zero_sets], "steps": steps, "_about": about}


def _about(what: str, zero, steps: int, want=None, known=()) -> dict:
    return {"what": what, "zero": zero, "want": want or _steps(zero, steps), "known": list(known)}


def _some(rng: np.random.Generator, sets, n: int):
    return [sets[i] for i in rng.choice(len(sets), n, replace=False)]


def _particular(rng: np.random.Generator) -> dict:
    """Some networks, and then those in which each context, the rate and the mean loss count."""
    steps = 6
    asked = _plain(rng, _some(rng, SLOW, 5), steps)
    runs, about = asked["runs"], asked["_about"]
    all_move = [sorted(NAMES)] * steps
    skipped = (
        [["b1", "b2", "wte"], *all_move[1:]],
        "With all of X in each step this network moves at once: a part of it won't do.",
    )
    for which, place in (("first", 0), ("last", -1), ("some one", int(rng.integers(1, 999)))):
        run = _network(rng, ["b1"], N=1000)
        run["rate"] = 0.01
        run["X"] %= 6
        run["X"][place] = 6
        run["parameters"]["wte"][:6] = 0
        runs.append(run)
        what = f"embeddings of zero but in the {which} of 1,000 contexts"
        about.append(_about(what, ["b1"], steps, all_move, [skipped]))

    # With one target and a large rate, step 1 makes its probability 1 in every digit.
    sure, zero = _network(rng, ["W1", "b1", "b2"]), ["W1", "b1"]
    sure["Y"][:] = target = int(sure["Y"][0])
    sure["parameters"]["wte"] *= 0.2
    sure["parameters"]["W2"][:] = 0
    sure["parameters"]["W2"][:, target] = rng.choice([-0.3, 0.3], len(sure["parameters"]["W2"]))
    sure["rate"] = 800.0
    first, later = _steps(zero, 2)
    rest = steps - 1
    known = [
        (
            [first] * steps,
            "The gradients of step 1 are still there in step 2: set them to zero before each "
            "backward pass, or they add up.",
        ),
        (
            [first] + [later] * rest,
            "Step 1 is to take the loss to exactly 0, at which no parameter has a gradient; yours "
            "was shorter: move by `rate` times the gradient, whatever the rate.",
        ),
        ([first] + [["W2", "b2"]] * rest, "Your loss grows: *subtract* rate times the gradient."),
    ]
    runs.append(sure)
    about.append(_about("one target and a rate of 800", zero, steps, [first] + [[]] * rest, known))

    # With one target that is nearly certain, gradients are small, and so are the steps.
    calm = _network(rng, [], N=1500)
    calm["Y"][:] = target
    one = np.arange(7) == target
    sign = np.sign(calm["parameters"]["b1"])
    for name in ("wte", "W1"):
        calm["parameters"][name] *= 0.1
    calm["parameters"]["b1"] = 0.5 * sign
    calm["parameters"]["W2"] = 0.05 * sign[:, None] * one
    calm["parameters"]["b2"] = 11.0 * one
    calm["rate"] = 6000.0
    far = "This step is far too long: the gradient is that of the *mean* over all contexts."
    known = [([all_move[0]] + [[]] * rest, far)]
    runs.append(calm)
    about.append(_about("a target of 99.99 % and a rate of 6000", [], steps, known=known))
    return asked


def moves_predicted(given, got) -> None:
    steps = given["steps"]
    for about, found in zip(given["_about"], got["moved"], strict=True):
        want, what = about["want"], about["what"]
        hints = {str(value): text for value, text in _known(about["zero"], want, steps)}
        hints |= {str(value): text for value, text in about["known"]}
        expect(
            f"the number of steps, with {what}",
            len(found),
            steps,
            hint="Return one list of names for each of the `steps` steps.",
        )
        for i, (step, moved) in enumerate(zip(want, found, strict=True), 1):
            expect(f"step {i}, with {what}", moved, step, hint=hints.get(str(found)))


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
            _steps(zero, steps + 1)[1:],
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
            [[]] * steps,
            "Not all gradients are zero: b2 is added to the logits as it is, and its gradient, "
            "probs minus target, doesn't ask what the others are.",
        ),
    ]


zeros.case(
    "everything starts at zero, and in a second network only some",
    adapter="moving",
    inputs=lambda rng: _plain(rng, [list(NAMES), *_some(rng, SLOW, 1)], 4),
    crashes=NONE,
)(moves_predicted)


zeros.case(
    "some start at zero, six steps, and networks in which all of X and the rate count",
    points=2,
    adapter="moving",
    inputs=_particular,
    crashes=NONE,
)(moves_predicted)


def _zero_sets(rng: np.random.Generator) -> dict:
    """Try all of them, in any order, and the names of each in any order too."""
    shuffled = [[str(name) for name in rng.permutation(zero)] for zero in ALL_ZERO_SETS]
    return {"zeros": _some(rng, shuffled, len(shuffled))}


PRODUCTS = {
    "wte": "wte's gradient has come back through W2, the hidden layer and W1.",
    "W1": "W1's gradient is x, transposed, times what has come back through W2.",
    "b1": "b1's gradient is the sum of what has come back through W2, and nothing else.",
    "W2": "W2's gradient is h, transposed, times the logits' gradient, which is not zero.",
    "b2": "b2's gradient is the sum of the logits' gradient, which is not zero.",
}


@zeros.case("why they stand still", points=3, adapter="reasons", inputs=_zero_sets, crashes=NONE)
def reasons_they_stand_still(given, got):
    wrong_everywhere = [
        (
            lambda z: _blame(z, h_needs_b1=False),
            "h is not zero as long as b1 isn't: tanh(0 + b1) is the same for every context, but W2 "
            "has something to multiply.",
        ),
        (
            lambda z: _blame(z, through_tanh=True),
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
                for n, factors in _blame(z).items()
                if factors != ["x"]
            },
            "The gradient of W1 is x times what comes back: where the embeddings are zero, x is.",
        ),
        (
            lambda z: {
                n: [f for f in factors if (n, f) != ("wte", "W2")]
                for n, factors in _blame(z).items()
                if (n, factors) != ("wte", ["W2"])
            },
            "What comes back to wte has been through W2 before it goes through W1: each of the two "
            "can stop it.",
        ),
        *(
            (
                lambda z, one=one: {n: factors[one] for n, factors in _blame(z).items()},
                "You stop at the first factor that is zero; list every one that would be enough by "
                "itself.",
            )
            for one in (slice(1), slice(-1, None))
        ),
        (
            lambda z: {n: _blame(z).get(n, []) for n in NAMES},
            "Leave out the parameters that move, instead of giving them an empty list.",
        ),
        (
            lambda z: {
                n: [f for f in ("W1", "W2", "h", "x") if f in z or (f == "x" and "wte" in z)]
                for n in _blame(z)
            },
            "The same factors stand under every name: each gradient is a product of its own.",
        ),
    ]
    sets = given["zeros"]
    known = [hint for answer, hint in wrong_everywhere if [answer(z) for z in sets] == got["why"]]
    for zero, found in zip(sets, got["why"], strict=True):
        want = _blame(zero)
        off = [name for name in NAMES if found.get(name) != want.get(name)]
        factors = {factor for factors in found.values() for factor in factors}
        if not known and factors - {"x", "h", "W1", "W2"}:
            known = ['The factors are "x", "h", "W1" and "W2"; the parameters are the keys.']
        hints = known or [PRODUCTS[name] for name in off] or ["Its keys are names of parameters."]
        expect(_call(zero), found, want, hint=hints[0])


def _call(zero: list[str]) -> str:
    return f"why_still({zero})".replace("'", '"')
