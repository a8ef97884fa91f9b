"""The exercises of lecture 04: zeros, folding, gains, BatchNorm, a diagnosis, its relatives.

The reference answers are plain NumPy in float64. Each hint belongs to a value that the wrong
implementation gives; `_batch_norm` and `_folded` give most of them by their switches.
"""

import math
from itertools import combinations

import numpy as np

from zerotohero.course.exercise import (
    NOTHING,
    Exercise,
    Mistake,
    Wrong,
    array,
    expect,
    expect_that,
    show,
)

NAMES = ("wte", "W1", "b1", "W2", "b2")
NONE = {r"(gave|returned) a NoneType": NOTHING}

# --- 4.1 ----------------------------------------------------------------------------------------

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
b1)`, `logits = h @ W2 + b2`, and the loss is the mean cross-entropy.

`which_move(parameters: dict[str, Tensor], X, Y, steps: int, rate: float) -> list[list[str]]`

`parameters` has the keys `wte` (V, C), `W1` (T · C, H), `b1` (H,), `W2` (H, V), `b2` (V,). Train on
contexts `X` (N, T) and targets `Y` (N,), all of them in each step, by plain gradient descent at
that rate. Return, for each step, the names of the parameters whose gradient in that step is not all
zeros, in any order. Leave the tensors that you were given as they were.

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


ALL_ZERO_SETS = [list(zero) for n in range(1, 5) for zero in combinations(NAMES, n)]
# Sets with which the first step isn't like the next.
SLOW = [zero for zero in ALL_ZERO_SETS if len({str(step) for step in _steps(zero, 4)}) > 1]


def _networks(rng: np.random.Generator, zero_sets) -> dict:
    T, C, H, V, N = 3, int(rng.integers(2, 5)), int(rng.integers(4, 8)), 7, 40
    shapes = {"wte": (V, C), "W1": (T * C, H), "b1": (H,), "W2": (H, V), "b2": (V,)}
    networks = [
        {n: (n not in zero) * 0.5 * rng.normal(size=shape) for n, shape in shapes.items()}
        for zero in zero_sets
    ]
    X, Y = rng.integers(0, V, (N, T)), rng.integers(0, V, N)
    return {"networks": networks, "X": X, "Y": Y, "steps": 4, "rate": 0.3, "_zeros": zero_sets}


def _some(rng: np.random.Generator, sets, n: int):
    return [sets[i] for i in rng.choice(len(sets), n, replace=False)]


def _expect_moves(given, got) -> None:
    steps, everything = given["steps"], sorted(NAMES)
    for zero, found in zip(given["_zeros"], got["moved"], strict=True):
        want = _steps(zero, steps)
        values = [sorted(set(NAMES) - set(zero))]  # what is not zero when each step begins
        for step in want[:-1]:
            values.append(sorted({*values[-1], *step}))
        wrong = [
            ([[]] * steps, "Not all gradients are zero: b2 is added to the logits as it is, and "
             "its gradient, probs minus target, doesn't ask what the others are."),
            ([sorted({*step, "b1", "b2"}) for step in want], "You list b1 even where nothing "
             "reaches it: what comes back to b1 has been through W2, so that not every bias "
             "moves. Measure its gradient."),
            ([want[0]] * steps, "Every step gives the answer of the first: after each step, "
             "change the parameters by -rate times their gradients."),
            (_steps(zero, steps + 1)[1:], "You are one step late: look at the gradients before "
             "the update, beginning with the untouched parameters."),
            (values, "You list the parameters whose *values* aren't zero; it is their gradients "
             "that are asked for."),
            ([values[0]] * steps, "You list the parameters that don't start at zero; it is those "
             "with a gradient that are asked for."),
            ([everything] * steps, "You list all parameters. `grad is not None` says that there "
             "is a gradient; `grad.any()` says that it isn't all zeros."),
            ([sorted(set(NAMES) - set(step)) for step in want], "You list the parameters that "
             "stand still: it is those that move that are asked for."),
        ]  # fmt: skip
        hint = next((text for value, text in wrong if value == found), None)
        what = "everything" if len(zero) == len(NAMES) else " and ".join(zero)
        expect(f"the number of steps, with {what} at zero", len(found), steps,
               hint="Return one list of names for each of the `steps` steps.")  # fmt: skip
        for i, (step, moved) in enumerate(zip(want, found, strict=True), 1):
            expect(f"step {i}, with {what} at zero", moved, step, hint=hint)
    expect_that(
        got["kept"],
        "the tensors in `parameters` have changed",
        "Train on copies: `p.clone().requires_grad_()` for each of the parameters.",
    )


zeros.case(
    "everything starts at zero",
    adapter="moving",
    inputs=lambda rng: _networks(rng, [list(NAMES)]),
    crashes=NONE,
)(_expect_moves)


zeros.case(
    "some start at zero, four steps",
    points=2,
    adapter="moving",
    inputs=lambda rng: _networks(rng, _some(rng, SLOW, 5)),
    crashes=NONE,
)(_expect_moves)


def _zero_sets(rng: np.random.Generator) -> dict:
    # Two sets in which h is zero and one in which b1 saves it, whatever is drawn beside them.
    sets = [["W1", "b1"], ["wte", "b1"], ["wte", "W1", "W2"], *_some(rng, ALL_ZERO_SETS, 6)]
    return {"zeros": [sets[i] for i in rng.permutation(len(sets))]}


PRODUCTS = {
    "wte": "wte's gradient has come back through W2, the hidden layer and W1.",
    "W1": "W1's gradient is x, turned, times what has come back through W2.",
    "b1": "b1's gradient is the sum of what has come back through W2, and nothing else.",
    "W2": "W2's gradient is h, turned, times the gradient of the logits, which is never zero.",
    "b2": "b2's gradient is the sum of the gradient of the logits, which is never zero.",
}


@zeros.case("why they stand still", points=3, adapter="reasons", inputs=_zero_sets, crashes=NONE)
def _(given, got):
    wrong_everywhere = [
        (lambda z: _blame(z, h_needs_b1=False), "h is not zero as long as b1 isn't: tanh(0 + b1) "
         "is the same for every context, but W2 has something to multiply."),
        (lambda z: _blame(z, through_tanh=True), "A hidden value of zero doesn't hold back what "
         "comes from behind: tanh is steepest there, its slope 1 - h² is 1. h = 0 stops W2 only."),
        (lambda z: {n: [n] for n in NAMES if n in z}, "A parameter that is zero can have a "
         "gradient: it says how the loss would change if the parameter did. Ask what it is "
         "multiplied with."),
        (lambda z: {n: [f for f in factors if f != "x"] for n, factors in _blame(z).items()
                    if factors != ["x"]}, "The gradient of W1 is x times what comes back: where "
         "the embeddings are zero, x is."),
        (lambda z: {n: [f for f in factors if (n, f) != ("wte", "W2")]
                    for n, factors in _blame(z).items() if (n, factors) != ("wte", ["W2"])},
         "What comes back to wte has been through W2 before it goes through W1: each of the two "
         "can stop it."),
        (lambda z: {n: factors[:1] for n, factors in _blame(z).items()}, "You stop at the first "
         "factor that is zero; list every one that would be enough by itself."),
        (lambda z: {n: factors[-1:] for n, factors in _blame(z).items()}, "You stop at the first "
         "factor that is zero; list every one that would be enough by itself."),
        (lambda z: {n: _blame(z).get(n, []) for n in NAMES}, "Leave out the parameters that "
         "move, instead of giving them an empty list."),
        (lambda z: {n: [f for f in ("W1", "W2", "h", "x") if f in z or (f == "x" and "wte" in z)]
                    for n in _blame(z)}, "The same factors stand under every name: each gradient "
         "is a product of its own."),
    ]  # fmt: skip
    sets = given["zeros"]
    known = [hint for answer, hint in wrong_everywhere if [answer(z) for z in sets] == got["why"]]
    for zero, found in zip(sets, got["why"], strict=True):
        want = _blame(zero)
        off = [name for name in NAMES if found.get(name) != want.get(name)]
        hints = known or [PRODUCTS[name] for name in off] or ["Its keys are names of parameters."]
        expect(f"why_still({zero})".replace("'", '"'), found, want, hint=hints[0])


# --- 4.2 ----------------------------------------------------------------------------------------

folding = Exercise(
    number="4.2",
    title="Fold BatchNorm away",
    difficulty=2,
    minutes=25,
    practises="seeing a layer as the formula it is, and simplifying it",
    answers=("fold",),
    summary=(
        "In eval mode BatchNorm multiplies and adds constants, which the Linear before it can do "
        "as well. Make one Linear of the two, with outputs that are equal to 1e-6."
    ),
    statement="""
`fold(linear: Linear, norm: BatchNorm1d) -> Linear`

Both are layers of `zerotohero.batchnorm`, which is imported here as `layers`, and in eval mode.
`linear.weight` has the shape (I, O),
`linear.bias` (O,), or it is None; `norm.gamma`, `norm.beta`, `norm.running_mean` and
`norm.running_var` have the shape (O,), and `norm.eps` is a number. Return a **new** Linear with a
bias, such that `fold(linear, norm)(x)` equals `norm(linear(x))` for every x. The two layers stay as
they are.

```python
linear, norm = layers.Linear(1, 1), layers.BatchNorm1d(1, eps=1.0).eval()
with torch.no_grad():
    linear.weight.fill_(6), linear.bias.fill_(5)
    norm.running_mean.fill_(2), norm.running_var.fill_(8)
new = fold(linear, norm)
new.weight.item(), new.bias.item()    # (2.0, 1.0): (6 x + 5 - 2) / 3 = 2 x + 1
```
""",
    hints=(
        "Write norm(x @ weight + bias) as one formula. What is multiplied with x, and what is left "
        "over when x is zero?",
        "scale = gamma / sqrt(running_var + eps), one number a channel. The new weight is the old "
        "one times scale, the new bias is (bias - running_mean) times scale, plus beta.",
        "`new = layers.Linear(*linear.weight.shape)`; `new.weight = (linear.weight * "
        "scale).detach().requires_grad_()`, and the same for the bias. For `linear.bias is None`, "
        "take 0.",
    ),
    uses=("batchnorm",),
)


def _folded(given, eps="inside", root=True, gamma=True, beta=True, mean=1, scale_bias=True,
            scale_shift=True, fresh=True, axis=1, bias=True):  # fmt: skip
    """Weight and bias of the two in one; the switches are what learners get wrong."""
    var = given["var"] if fresh else np.ones_like(given["var"])
    inside = var + given["eps"] * (eps == "inside")
    below = (np.sqrt(inside) if root else inside) + given["eps"] * (eps == "outside")
    below = 1 / below if root == "times" else below
    scale = (given["gamma"] if gamma else 1) / below
    b = given["bias"] if given["bias"] is not None and bias else 0 * scale
    m = mean * (given["mean"] if fresh else 0 * scale)
    new_bias = (b * scale if scale_bias else b) - (m * scale if scale_shift else m)
    weight = given["weight"] * (scale if axis == 1 else scale[:, None])
    shift = given["beta"] * scale if beta == "scaled" else given["beta"]
    return weight, new_bias + (shift if beta else 0)


def _pair(rng: np.random.Generator, I: int, O: int, bias=True, small=False) -> dict:
    return {
        "weight": rng.normal(size=(I, O)),
        "bias": rng.normal(size=O) if bias else None,
        "gamma": rng.uniform(0.5, 2, O) * rng.choice([-1, 1], O),
        "beta": rng.normal(size=O),
        "mean": rng.normal(size=O),
        "var": rng.uniform(0.001, 0.01, O) if small else rng.uniform(2, 5, O),
        "eps": float(rng.uniform(0.01, 0.02) if small else 1e-5),
    }


def _expect_folded(given, got) -> None:
    I, O = given["weight"].shape
    if got["bias"] is None:
        raise Wrong(
            "the new Linear has no bias",
            "It needs a bias even where the old Linear has none: beta and the running mean have to "
            "go somewhere. `Linear(I, O)` makes one.",
        )
    weight, bias = array("weight", got["weight"], (I, O)), array("bias", got["bias"], (O,))
    x = np.concatenate([np.zeros((1, I)), np.eye(I), np.linspace(-2, 2, 3 * I).reshape(3, I)])

    def outputs(pair):
        return x @ pair[0] + pair[1]

    variants = [
        (dict(fresh=False), "The running statistics aren't used: in eval mode BatchNorm subtracts "
         "running_mean and divides by the root of running_var."),
        (dict(eps=None), "eps is missing: it stands under the root, beside running_var. Where the "
         "variance is small it matters."),
        (dict(eps="outside"), "eps is added to the root; it stands under it: sqrt(running_var + "
         "eps)."),
        (dict(root=False), "You divide by the variance: divide by its root."),
        (dict(root="times"), "You multiply by the root of the variance: divide by it."),
        (dict(gamma=False), "gamma is missing: it belongs to the scale."),
        (dict(beta="scaled"), "beta is scaled; BatchNorm adds it last, as it is."),
        (dict(beta=False), "beta is missing: it is added at the end, to the bias."),
        (dict(mean=0), "The running mean is missing: it is subtracted before the scaling, so that "
         "the bias loses running_mean times scale."),
        (dict(mean=-1), "The running mean is added; BatchNorm subtracts it."),
        (dict(bias=False), "The old bias is lost: it goes through BatchNorm like the rest, as "
         "bias times scale."),
        (dict(scale_bias=False), "The old bias isn't scaled: it comes out of the Linear, so "
         "BatchNorm scales it together with x @ weight."),
        (dict(scale_shift=False), "The running mean isn't scaled: BatchNorm subtracts it first and "
         "scales afterwards."),
        (dict(scale_bias=False, scale_shift=False), "Only the weight is scaled: the scale "
         "multiplies (bias - running_mean) too."),
    ]  # fmt: skip
    if I == O:
        variants.append((dict(axis=0), "The scale runs down the inputs: it has one number an "
                         "output, and outputs are the columns of weight (I, O)."))  # fmt: skip
    mistakes = [Mistake(outputs(_folded(given, **wrong)), hint) for wrong, hint in variants]
    plain = (given["weight"], 0 * bias if given["bias"] is None else given["bias"])
    mistakes.insert(
        0, Mistake(outputs(plain), "That is the old Linear: nothing of BatchNorm is in it.")
    )
    only_weight = (_folded(given)[0], plain[1])
    mistakes.append(
        Mistake(outputs(only_weight), "The bias is still the old one: it must take in "
                "running_mean, scale and beta.")
    )  # fmt: skip
    expect("fold(linear, norm)(x)", outputs((weight, bias)), outputs(_folded(given)),
           mistakes=mistakes)  # fmt: skip
    expect_that(
        got["kept"],
        "the layers that were given have changed",
        "Make a new Linear and leave the two old ones as they are: somebody may want to go on "
        "training them.",
    )


FOLD_CRASHES = {
    **NONE,
    r"must match the size|size mismatch|not broadcastable|is invalid for input": "The scale has "
    "one number an output channel: multiply weight (I, O) by it as it is, along its last axis.",
    r"'NoneType'": "linear.bias may be None: take 0 for it then.",
    r"leaf Variable": "That changes a parameter in place: make a new tensor, `linear.weight * "
    "scale`, for a new Linear.",
    r"where a Linear is needed": "Return a layer, not its tensors: make a Linear and set its "
    "weight and bias.",
    r"same dtype": "The given layers are float64: set `new.weight = …` to the tensor that you "
    "computed.",
}


folding.case(
    "a Linear with a bias",
    points=2,
    adapter="folded",
    inputs=lambda rng: _pair(rng, int(rng.integers(3, 6)), int(rng.integers(6, 9))),
    crashes=FOLD_CRASHES,
)(_expect_folded)


folding.case(
    "a Linear without a bias, as wide as its input",
    adapter="folded",
    inputs=lambda rng: _pair(rng, 4, 4, bias=False),
    crashes=FOLD_CRASHES,
)(_expect_folded)


folding.case(
    "variances as small as eps",
    adapter="folded",
    inputs=lambda rng: _pair(rng, 5, 3, small=True),
    crashes=FOLD_CRASHES,
)(_expect_folded)


# --- 4.3 ----------------------------------------------------------------------------------------

gains = Exercise(
    number="4.3",
    title="The gain, measured and derived",
    difficulty=3,
    minutes=40,
    practises="following a variance through a layer, by experiment and on paper",
    answers=("measured_gain", "leaky_relu_gain", "sizes_by_layer"),
    summary=(
        "Measure the gain that keeps the size of the numbers in a stack of layers, for any "
        "activation function. Derive it on paper for ReLU, and watch where tanh settles with 5/3."
    ),
    statement="""
A layer computes the n numbers `f(z)`, the next one multiplies them with weights of mean 0 and
standard deviation gain / √n, and adds up. Its sums then have mean 0 and the standard deviation
gain · √(mean of f(z)²).

`measured_gain(f, z: Tensor) -> float` returns the gain with which the next layer's sums have the
standard deviation 1, if this layer's sums `z` (n,) have mean 0 and standard deviation 1.

`leaky_relu_gain(slope: float) -> float` returns the same exactly, **derived on paper**, for
standard normal z and leaky ReLU, which is z where z > 0 and slope · z elsewhere. A slope of 0 is
ReLU.

`sizes_by_layer(f, gain: float, z: Tensor, depth: int) -> list[float]` follows the sums through a
deep stack. They start out as `z`, with the standard deviation s = 1; in every layer they are again
shaped like z, s times as large, and s changes to that of the next layer's sums. Return the s
after each of the layers, `depth` numbers.

```python
z = torch.tensor([-1.0, 1.0])             # stands in for many numbers
measured_gain(lambda z: 4 * z, z)         # 0.25
leaky_relu_gain(1.0)                      # 1.0, for nothing is bent
sizes_by_layer(lambda z: z, 0.5, z, 3)    # [0.5, 0.25, 0.125]
```

Then measure: which gain has ReLU, which has tanh? With gain 5/3, which `torch.nn.init` recommends
for tanh, where does s settle?
""",
    hints=(
        "Which average of f(z) decides how large a sum of many terms weight · f(z) becomes? It is "
        "not the standard deviation: f(z) may have a mean, and the weights spread that as well.",
        "gain² · mean(f(z)²) = 1. For leaky ReLU, half of the z are positive: the mean of z² over "
        "all is 1, so each half contributes a part of it; the negative half times slope².",
        "`1 / (f(z) ** 2).mean().sqrt().item()`; the mean of f² is (1 + slope²) / 2. In the stack, "
        "`s = gain * (f(s * z) ** 2).mean().sqrt().item()`, `depth` times.",
    ),
)


def _curve(kind: str, scale: float, z: np.ndarray) -> np.ndarray:
    if kind == "tanh":
        return np.tanh(scale * z)
    return scale * (np.maximum(z, 0) if kind == "relu" else np.logaddexp(0, z))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


def _normal(rng: np.random.Generator) -> np.ndarray:
    """Normal numbers of mean 0 and mean square 1, exactly."""
    z = rng.normal(size=4000)
    z -= z.mean()
    return z / _rms(z)


def _or_none(values):
    """None instead of nothing but None, which has a hint of its own."""
    return None if values == [None] * len(values) else values


def _functions(rng: np.random.Generator) -> dict:
    kinds = ["relu", "softplus", "tanh"]
    return {
        "functions": [[kind, float(rng.uniform(0.5, 3))] for kind in kinds],
        "z": _normal(rng),
    }


@gains.case("gains, measured", points=2, adapter="gain_measured", inputs=_functions)
def _(given, got):
    z = given["z"]
    ys = [_curve(kind, scale, z) for kind, scale in given["functions"]]

    def each(rule):
        return np.array([rule(y) for y in ys])

    expect(
        "measured_gain of scaled ReLU, softplus and tanh",
        _or_none(got["gains"]),
        each(lambda y: 1 / _rms(y)),
        tol=1e-3,
        mistakes=[
            Mistake(each(lambda y: 1 / y.std()), "You took the standard deviation of f(z), which "
                    "takes its mean out first. A sum of weight · f(z) has no such subtraction: it "
                    "is the mean of f(z)² that counts."),
            Mistake(each(lambda y: 1 / _rms(y) ** 2), "gain² · mean(f(z)²) is 1, so the gain is "
                    "the root: yours is its square."),
            Mistake(each(lambda y: 1 / y.var()), "gain² times the mean of f(z)² is 1: the gain is "
                    "a root, and f(z) keeps its mean."),
            Mistake(each(_rms), "That is how large f(z) is; the gain has to make up for it: one "
                    "divided by it."),
            Mistake(each(np.std), "That is the standard deviation of f(z); the gain has to make "
                    "up for the size of f(z), so it is one divided by the root of the mean "
                    "square."),
            Mistake(each(lambda y: 1 / np.abs(y).mean()), "You took the mean of |f(z)|; the "
                    "variance of a sum goes with the mean of f(z)²."),
            Mistake(each(lambda y: math.sqrt(2)), "That is ReLU's gain, whatever f is: measure "
                    "f(z)."),
        ],
    )  # fmt: skip


@gains.case(
    "the gain of leaky ReLU, derived",
    points=2,
    adapter="gain_derived",
    inputs=lambda rng: {"slopes": [0.0, *np.sort(rng.uniform(0.05, 0.9, 4)).tolist()]},
)
def _(given, got):
    a = np.array(given["slopes"])
    want = np.sqrt(2 / (1 + a**2))
    wrong = [
        (np.sqrt(2) + 0 * a, "That is ReLU's gain: with a slope, the negative half counts too."),
        (2 / (1 + a**2), "The root is missing: gain² is one over the mean of f(z)²."),
        (np.sqrt(2 / (1 + a)), "The negative half is slope · z, and it is *squared* in the mean: "
         "slope² counts."),
        (np.sqrt(1 / (1 + a**2)), "Each half of z holds half of the mean square: the mean of f(z)² "
         "is (1 + slope²) / 2, and the 2 is missing."),
        (np.sqrt((1 + a**2) / 2), "That is the size of f(z): the gain is one divided by it."),
        (np.sqrt(2) / (1 + a**2), "The root goes over the whole fraction, 1 + slope² included."),
        (1 / np.sqrt((1 + a**2) / 2 - (1 - a) ** 2 / (2 * math.pi)), "That is one over the "
         "standard deviation of f(z), which takes its mean out; a sum of weight · f(z) doesn't."),
    ]  # fmt: skip
    hint = None
    found = _or_none(got["gains"])
    if isinstance(found, list) and all(isinstance(x, (int, float)) for x in found):
        off = np.abs(np.array(found, dtype=float) - want).max()
        if off < 0.1:
            hint = (
                f"That is close, {off:.2g} off at most, so it was measured: on paper it comes out "
                "exactly. Half of all z are positive, and they hold half of the mean of z²."
            )
    expect(
        "leaky_relu_gain",
        found,
        want,
        tol=1e-9,
        mistakes=[Mistake(values, text) for values, text in wrong],
        hint=hint,
    )


def _sizes(curve, gain, z, depth, size=_rms, square=False, grows=True, keep=True):
    s, sizes = 1.0, []
    for _ in range(depth):
        s = (gain**2 if square else gain) * size(curve(s * z if grows else z))
        s, shown = (s, s) if keep else (1.0, s)
        sizes.append(shown)
    return np.array(sizes)


def _expect_sizes(given, got) -> None:
    gain, z, depth = (given[key] for key in ("gain", "z", "depth"))

    def curve(values):
        return _curve(given["kind"], given["scale"], values)

    def sizes(**switches):
        return _sizes(curve, gain, z, depth, **switches)

    want, found, hint = sizes(), got["sizes"], None
    numbers = isinstance(found, list) and all(isinstance(s, (int, float)) for s in found)
    if numbers and len(found) == depth and np.allclose(found, want, rtol=0.1):
        hint = "That is close: use the numbers z themselves, s times as large, and no others."
    expect(
        "sizes_by_layer",
        found,
        want,
        tol=1e-3,
        hint=hint,
        mistakes=[
            Mistake(np.concatenate([[1.0], want[:-1]]), "The first number is the s that the stack "
                    "starts from; return the s *after* each layer."),
            Mistake(np.concatenate([[1.0], want]), "The first number is the s that the stack "
                    "starts from; return the s *after* each layer."),
            Mistake(sizes(grows=False), "Every layer is given z itself: from the second on its "
                    "sums are s · z."),
            Mistake(sizes(size=np.std), "You took the standard deviation of f(s · z), which takes "
                    "its mean out: the next sums grow with the mean of f(s · z)²."),
            Mistake(sizes(square=True), "The gain counts once in a standard deviation; its square "
                    "belongs to a variance."),
            Mistake(want**2, "These are variances: return standard deviations, their roots."),
            Mistake(want / gain, "These are the sizes of f(s · z); the sums behind it are gain "
                    "times as large."),
            Mistake(sizes(size=lambda y: _rms(y) ** 2), "The root is missing: s is gain times the "
                    "root of the mean of f(s · z)²."),
        ],
    )  # fmt: skip


gains.case(
    "ReLU, 20 layers",
    adapter="stacked",
    inputs=lambda rng: {
        "kind": "relu",
        "scale": 1.0,
        "gain": float(rng.uniform(1.2, 1.6)),
        "z": _normal(rng),
        "depth": 20,
    },
)(_expect_sizes)


gains.case(
    "tanh, 30 layers",
    adapter="stacked",
    inputs=lambda rng: {
        "kind": "tanh",
        "scale": float(rng.uniform(0.8, 1.2)),
        "gain": float(rng.uniform(1.5, 3)),
        "z": _normal(rng),
        "depth": 30,
    },
)(_expect_sizes)


# --- 4.4 ----------------------------------------------------------------------------------------

batch_norm = Exercise(
    number="4.4",
    title="BatchNorm1d",
    difficulty=4,
    minutes=50,
    practises="writing a layer that behaves differently in training and in use",
    answers=("BatchNorm1d",),
    summary=(
        "Write the layer from memory, with running statistics and both modes. Its numbers must be "
        "those of torch.nn in train and in eval mode, gradients included."
    ),
    statement="""
`BatchNorm1d(channels: int, eps: float = 1e-5, momentum: float = 0.1)`

- `gamma`, `beta` (C,): parameters with gradients, ones and zeros at the start;
  `parameters()` returns the list of these two.
- `running_mean`, `running_var` (C,): zeros and ones at the start. They take part in no gradient.
- `training`: True at the start. Setting it to False is eval mode.
- Calling the layer on `x` (B, C) returns (B, C). In train mode it normalises each channel by the
  mean and the **biased** variance (÷ B) of the batch, and moves the running statistics a share
  `momentum` of the way towards the batch's mean and **unbiased** variance (÷ (B − 1)). In eval
  mode it normalises by the running statistics and moves nothing. Then gamma scales and beta shifts.
- A batch of one in train mode raises ValueError, with a message that says so, and moves nothing.

```python
norm = BatchNorm1d(1, eps=0.0, momentum=0.5)
norm(torch.tensor([[1.0], [5.0]])).tolist()          # [[-1.0], [1.0]]
norm.running_mean.item(), norm.running_var.item()    # (1.5, 4.5)
norm.training = False
norm(torch.tensor([[6.0]])).item()                   # 2.12..., (6 - 1.5) / √4.5
```
""",
    hints=(
        "One function body, two ways to come by a mean and a variance. What is the same in both "
        "modes, and what happens in train mode only?",
        "x.mean(0) and x.var(0, correction=0) normalise; x.var(0) is the unbiased variance for "
        "the running one. Move it by (1 - momentum) * old + momentum * new, under torch.no_grad().",
        "Choose `mean, var` in an if, return `self.gamma * (x - mean) / torch.sqrt(var + self.eps) "
        "+ self.beta` after it. Test `len(x) < 2` before anything is moved. `gamma` and `beta` "
        "are made with `requires_grad=True`.",
    ),
)


def _batch_norm(given, x, axis=0, correction=0, eps="inside", root=True, gamma=True, beta=True,
                mean=True, stats=None):  # fmt: skip
    """BatchNorm's output; the switches are what learners get wrong."""
    m, v = stats or (x.mean(axis, keepdims=True), x.var(axis, ddof=correction, keepdims=True))
    v = v + given["eps"] * (eps == "inside")
    y = (x - m * mean) / ((np.sqrt(v) if root else v) + given["eps"] * (eps == "outside"))
    return y * (given["gamma"] if gamma else 1) + (given["beta"] if beta else 0)


def _moved(given, momentum=None, correction=1, root=False, plain=False, from_zero=False):
    """Running mean and variance after the batches."""
    a = given["momentum"] if momentum is None else momentum
    mean, var = 0.0, 0.0 if from_zero else 1.0
    for x in given["batches"]:
        v = x.var(0, ddof=correction)
        v = np.sqrt(v) if root else v
        mean = (0 if plain else (1 - a) * mean) + a * x.mean(0)
        var = (0 if plain else (1 - a) * var) + a * v
    return mean, var


def _layer(rng: np.random.Generator, C: int, eps: float | None = None) -> dict:
    return {
        "eps": float(rng.uniform(0.2, 0.5)) if eps is None else eps,
        "momentum": float(rng.uniform(0.15, 0.4)),
        "gamma": rng.uniform(0.5, 2, C).astype(np.float32),
        "beta": rng.normal(size=C).astype(np.float32),
    }


def _batch(rng: np.random.Generator, B: int, C: int) -> np.ndarray:
    return rng.normal(rng.normal(0, 2, C), rng.uniform(0.5, 2, C), (B, C)).astype(np.float32)


FLOAT = 2e-5  # float32's rounding, through a mean, a variance and a root

NORM_CRASHES = {
    r"unexpected keyword|positional argument": "The layer is made by `BatchNorm1d(channels, eps=…, "
    "momentum=…)` and called on x alone.",
    r"has no attribute '(gamma|beta|running_mean|running_var|parameters|training)'": "The card "
    "names what the layer must have: gamma, beta, running_mean, running_var, training and "
    "parameters().",
    r"not callable": "The layer is called like a function: name its method `__call__`.",
    r"backward through the graph a second time": "The running statistics remember the graph of "
    "the batch before: update them under `torch.no_grad()`.",
    r"does not require grad": "gamma and beta are made with `requires_grad=True`, and the output "
    "is computed outside `torch.no_grad()`.",
    r"leaf Variable that requires grad": "An update in place met a tensor with a gradient: only "
    "running_mean and running_var are updated, under `torch.no_grad()`.",
    r"modified by an inplace operation": "Something that the backward pass needs was changed in "
    "place: in eval and train mode, compute new tensors from x.",
    r"must match the size": "The statistics have one number a channel, and the channels are the "
    "last axis of (B, C): take them over axis 0.",
    r"least 2|batch of (one|1)|more than (one|1)": "In eval mode a batch of one is welcome, for "
    "the running statistics are known: raise only in train mode.",
}


@batch_norm.case(
    "the output in train mode",
    points=2,
    adapter="normed_in_train_mode",
    inputs=lambda rng: {"x": _batch(rng, 6, 4), **_layer(rng, 4)},
    crashes=NORM_CRASHES,
)
def _(given, got):
    given = given | {key: given[key].astype(float) for key in ("x", "gamma", "beta")}
    x = given["x"]
    expect(
        "norm(x)",
        got["y"],
        _batch_norm(given, x),
        tol=FLOAT,
        mistakes=[
            Mistake(x, "x came back as it was: normalise it."),
            Mistake(_batch_norm(given, x, correction=1), "You normalise by the unbiased variance, "
                    "which is `x.var(0)` without more: the batch is normalised by its biased one, "
                    "`correction=0`."),
            Mistake(_batch_norm(given, x, eps=None), "eps is missing: it is added to the variance, "
                    "under the root."),
            Mistake(_batch_norm(given, x, eps="outside"), "eps is added to the standard deviation; "
                    "it belongs under the root: sqrt(var + eps)."),
            Mistake(_batch_norm(given, x, root=False), "You divide by the variance: divide by its "
                    "root."),
            Mistake(_batch_norm(given, x, stats=(x.mean(0), x.std(0))), "Two roots are taken: "
                    "`std` is one already. Use the variance."),
            Mistake(_batch_norm(given, x, gamma=False, beta=False), "gamma and beta are missing: "
                    "after the normalisation, scale by one and shift by the other."),
            Mistake(_batch_norm(given, x, beta=False), "beta is missing."),
            Mistake(_batch_norm(given, x, gamma=False), "gamma is missing."),
            Mistake(_batch_norm(given, x, mean=False), "The mean isn't subtracted."),
            Mistake(_batch_norm(given, x, axis=1), "Each example is normalised over its channels, "
                    "which is LayerNorm: BatchNorm takes each channel over the batch, axis 0."),
            Mistake(_batch_norm(given, x, axis=(0, 1)), "One mean and one variance for all "
                    "channels: take them along axis 0 only, so that each channel has its own."),
            Mistake(_batch_norm(given, x, stats=(0.0, 1.0)), "The running statistics are used in "
                    "train mode: there it is the batch's own that normalise."),
            Mistake(_batch_norm(given, x, stats=_moved(given | {"batches": [x]})), "The running "
                    "statistics are used in train mode: there it is the batch's own that "
                    "normalise."),
        ],
    )  # fmt: skip
    expect_that(
        got["kept"],
        "norm(x) changed x",
        "`x -= …` changes the tensor that was given: write `x - …`, which makes a new one.",
    )


def _batches(rng: np.random.Generator) -> dict:
    # Short batches, of different lengths: there biased and unbiased differ.
    return {"batches": [_batch(rng, B, 3) for B in (3, 5, 4)], **_layer(rng, 3)}


def _expect_moved(given, found, when="") -> None:
    given = given | {"batches": [x.astype(float) for x in given["batches"]]}
    a = given["momentum"]
    last = given["batches"][-1]
    mean, var = _moved(given)
    turned = _moved(given, momentum=1 - a)
    swapped = (
        "The momentum is the wrong way round: the new value gets the share `momentum`, the old "
        "one 1 - momentum."
    )
    replaced = (
        "The statistics of the last batch have replaced the running ones: they only move a share "
        "of the way towards it."
    )
    still = "It hasn't moved: in train mode every call moves the running statistics."
    forgetful = "The old value is lost: keep (1 - momentum) of it."
    ten = "The share is always 0.1: take the `momentum` that the layer was made with."
    expect(
        f"running_mean{when}",
        found["mean"],
        mean,
        tol=FLOAT,
        mistakes=[
            Mistake(0 * mean, still),
            Mistake(turned[0], swapped),
            Mistake(last.mean(0), replaced),
            Mistake(_moved(given, plain=True)[0], forgetful),
            Mistake(_moved(given, momentum=0.1)[0], ten),
            Mistake(
                np.mean([x.mean(0) for x in given["batches"]], 0),
                "That is the average of all batches, with the same weight each: the running "
                "statistics move by `momentum`, and forget what is long ago.",
            ),
        ],
    )
    expect(
        f"running_var{when}",
        found["var"],
        var,
        tol=FLOAT,
        mistakes=[
            Mistake(1 + 0 * var, still),
            Mistake(_moved(given, correction=0)[1], "The running variance collects the biased "
                    "variance (÷ B): it stands for data not seen, so it takes the unbiased one "
                    "(÷ (B − 1))."),
            Mistake(_moved(given, root=True)[1], "The running *variance* collects standard "
                    "deviations: leave out the root."),
            Mistake(_moved(given, root=True, correction=0)[1], "The running *variance* collects "
                    "standard deviations: leave out the root."),
            Mistake(_moved(given | {"eps": 0}, from_zero=True)[1], "running_var starts at zeros; "
                    "it starts at ones."),
            Mistake(var + given["eps"] * (1 - (1 - a) ** len(given["batches"])), "eps got into the "
                    "running variance: it is added only where the root is taken."),
            Mistake(turned[1], swapped),
            Mistake(last.var(0, ddof=1), replaced),
            Mistake(_moved(given, plain=True)[1], forgetful),
        ],
    )  # fmt: skip


@batch_norm.case(
    "running statistics after three batches",
    points=2,
    adapter="running",
    inputs=_batches,
    crashes=NORM_CRASHES,
)
def _(given, got):
    start = got["start"]
    expect("running_mean at the start", start["mean"], np.zeros(3))
    expect("running_var at the start", start["var"], np.ones(3), hint="running_var starts at ones: "
           "a layer that has seen nothing changes nothing in eval mode.")  # fmt: skip
    _expect_moved(given, got)


@batch_norm.case(
    "eval mode, and a batch of one in it",
    points=2,
    adapter="normed_in_eval_mode",
    inputs=lambda rng: {"x": _batch(rng, 5, 3), **_batches(rng)},
    crashes=NORM_CRASHES,
)
def _(given, got):
    given = given | {key: given[key].astype(float) for key in ("x", "gamma", "beta")}
    x, before = given["x"], got["before"]
    mean, var = array("running_mean", before["mean"], (3,)), array("running_var", before["var"])
    _expect_moved(given, before, " before eval mode")
    batch_stats = "In eval mode the batch's own statistics are used: look at self.training."
    biased = x.mean(0), x.var(0)
    want = _batch_norm(given, x, stats=(mean, var))
    expect(
        "norm(x) in eval mode",
        got["y"],
        want,
        tol=FLOAT,
        mistakes=[
            Mistake(_batch_norm(given, x), batch_stats),
            Mistake(_batch_norm(given, x, correction=1), batch_stats),
            Mistake(_batch_norm(given, x, stats=(mean, biased[1])), "The variance is still the "
                    "batch's in eval mode."),
            Mistake(_batch_norm(given, x, stats=(biased[0], var)), "The mean is still the batch's "
                    "in eval mode."),
            Mistake(_batch_norm(given, x, stats=(mean, var), eps=None), "eps is missing in eval "
                    "mode."),
            Mistake(_batch_norm(given, x, stats=(mean, var), gamma=False, beta=False), "gamma and "
                    "beta are missing in eval mode: they scale and shift in both modes."),
        ],
    )  # fmt: skip
    moved = "the running statistics moved in eval mode"
    expect_that(
        np.array_equal(before["mean"], got["after"]["mean"])
        and np.array_equal(before["var"], got["after"]["var"]),
        moved,
        "Eval mode only looks: move the running statistics in train mode only, or every "
        "evaluation changes the model.",
    )
    expect("norm(x[:1]) in eval mode", got["alone"], want[:1], tol=FLOAT,
           hint="A batch of one has the same output as in company: in eval mode nothing depends "
           "on the others.")  # fmt: skip


@batch_norm.case(
    "gradients, twice in a row",
    points=2,
    adapter="normed_backwards",
    inputs=lambda rng: {
        "x": _batch(rng, 5, 3),
        "dy": rng.normal(size=(5, 3)).astype(np.float32),
        **_layer(rng, 3),
    },
    crashes=NORM_CRASHES,
)
def _(given, got):
    given = {k: v.astype(float) if isinstance(v, np.ndarray) else v for k, v in given.items()}
    x, dy, gamma = given["x"], given["dy"], given["gamma"]
    inverse = 1 / np.sqrt(x.var(0) + given["eps"])
    normal = (x - x.mean(0)) * inverse
    dn = dy * gamma
    want = inverse * (dn - dn.mean(0) - normal * (dn * normal).mean(0))
    expect_that(
        not got["linked"],
        "running_mean or running_var has a gradient",
        "The running statistics are part of the graph: update them under `torch.no_grad()`.",
    )
    for name, right in (("beta", dy.sum(0)), ("gamma", (dy * normal).sum(0))):
        lost = f"{name} gets no gradient: make it with `requires_grad=True`, and use it as it is."
        expect(f"the gradient of {name}", got[name], right, tol=1e-4,
               mistakes=[Mistake(0 * right, lost)])  # fmt: skip
    expect(
        "the gradient of x",
        got["x"],
        want,
        tol=1e-4,
        mistakes=[
            Mistake(dn * inverse, "Mean and variance count as constants in your graph, but both "
                    "depend on x: compute them outside `torch.no_grad()`, without detach or "
                    "`.data`."),
            Mistake(inverse * (dn - dn.mean(0)), "The variance counts as a constant in your "
                    "graph, but it depends on x: no detach, no `.data`, no `no_grad` for it."),
            Mistake(inverse * (dn - normal * (dn * normal).mean(0)), "The mean counts as a "
                    "constant in your graph, but it depends on x."),
            Mistake(0 * x, "Nothing comes back to x: it was detached, or its data copied."),
        ],
    )  # fmt: skip
    expect(
        "parameters()",
        got["listed"],
        ["gamma", "beta"],
        hint="parameters() lists what training moves: gamma and beta, in this order. The running "
        "statistics are no parameters.",
    )


@batch_norm.case(
    "a batch of one in train mode",
    adapter="batch_of_one",
    inputs=lambda rng: {"x": _batch(rng, 1, 3), **_layer(rng, 3)},
    crashes=NORM_CRASHES,
)
def _(given, got):
    expect(
        "the error",
        got["raised"],
        "ValueError",
        mistakes=[
            Mistake("", "No error came: a single value has variance 0, so every output would be "
                    "beta, and the unbiased variance NaN. Raise ValueError."),
            Mistake("AssertionError", "`assert` is for mistakes of one's own and can be switched "
                    "off: use `raise ValueError(...)`."),
        ],
        hint=f"It should be a ValueError; yours says: {got['message']}",
    )  # fmt: skip
    expect_that(bool(got["message"]), "the error says nothing", "Say what is wrong and what to do.")
    expect_that(
        np.array_equal(got["mean"], np.zeros(3)) and np.array_equal(got["var"], np.ones(3)),
        f"running_var after the error: {show(got['var'])}",
        "The running statistics have moved before the error, and NaN never leaves them: test the "
        "batch first.",
    )


# --- 4.5 ----------------------------------------------------------------------------------------

# Each cause with what it would have looked like.
CAUSES = {
    "gain too small": "With a gain too small, the outputs of the tanh layers are narrower from "
    "layer to layer before the first step.",
    "gain too large": "With a gain too large, the tanh outputs already pile up at -1 and 1 before "
    "the first step.",
    "output layer too large": "With an output layer too large, the first loss is far above ln 27 "
    "= 3.3.",
    "learning rate too small": "With a learning rate too small, the updates stay below 10⁻⁴ of "
    "the weights, and the loss hardly falls.",
    "learning rate too large": "With a learning rate too large, the updates stay above 10⁻² of "
    "the weights to the end, and the loss rises from where it started.",
}
EVIDENCE = (
    "narrowing outputs",
    "saturated at the start",
    "saturated by training",
    "high first loss",
    "small updates",
    "large updates",
)
# The notebook trains the patients from this list; its solution asserts that they are these.
PATIENTS = {
    "A": ("learning rate too large", "large updates"),
    "B": ("gain too large", "saturated at the start"),
    "C": ("output layer too large", "high first loss"),
}
SEEN = {
    "A": "Look at A again: its first loss is 3.3 and its tanh layers are in order at the start. "
    "What goes on in every single step?",
    "B": "Look at B again: its first loss is 3.3 and the sizes of its updates are in order. What "
    "is wrong before any of them?",
    "C": "Look at C again: its tanh layers are in order at the start, and its updates become "
    "smaller. What is wrong with its first prediction?",
}

sick = Exercise(
    number="4.5",
    title="Three sick networks",
    difficulty=3,
    minutes=20,
    practises="telling causes apart that have the same symptom",
    answers=("diagnosis",),
    summary=(
        "Three networks end with saturated tanh layers, each from another cause. Say for each what "
        "is wrong, and which plot shows that it is this and nothing else."
    ),
    statement="""
The cell below trains three networks with five tanh layers for 300 steps and draws, for each, what
an examination would: the outputs of the tanh layers before the first step and after the last,
the size of the updates relative to the weights, and the loss.

`diagnosis() -> dict[str, tuple[str, str]]` returns, for each of `"A"`, `"B"` and `"C"`, a cause and
the evidence for it, word for word from these lists. Points need both.

| cause | what it means |
| --- | --- |
| `"gain too small"` | the weights of the hidden layers start too small |
| `"gain too large"` | the weights of the hidden layers start too large |
| `"output layer too large"` | the weights of the last layer start too large |
| `"learning rate too small"` | each step is too small |
| `"learning rate too large"` | each step is too large |

| evidence | what the plots show |
| --- | --- |
| `"narrowing outputs"` | before the first step, each tanh layer's outputs are narrower |
| `"saturated at the start"` | before the first step, tanh outputs already pile up at −1 and 1 |
| `"saturated by training"` | tanh outputs pile up at −1 and 1 after the last step, not before |
| `"high first loss"` | the first loss is far above ln 27 |
| `"small updates"` | the updates of all layers stay below 10⁻⁴ of the weights |
| `"large updates"` | the updates of all layers stay above 10⁻² of the weights, to the end |

Evidence must be true of the network, and it must **decide**: what two of them show decides nothing.

```python
{"A": ("gain too small", "narrowing outputs"), ...}    # what an answer looks like
```
""",
    hints=(
        "All three are saturated at the end, so that is no help. In which column do they differ?",
        "Begin before the first step: one of the three is ill there already. Then read the first "
        "loss: what should a network say that knows nothing? Then the updates: 10⁻³ of the "
        "weights is healthy.",
        "One has tanh outputs at -1 and 1 from the start. One starts with a loss near 20. One "
        "never makes an update below a hundredth of its weights. Each of these is one line of both "
        "lists.",
    ),
)


def _add_patient(patient: str, cause: str, evidence: str) -> None:
    @sick.case(
        f"network {patient}",
        points=2,
        adapter="diagnosed",
        inputs={"patient": patient},
        crashes=NONE,
    )
    def _(given, got):
        said = got["said"]
        if not (isinstance(said, list) and len(said) == 2 and all(type(s) is str for s in said)):
            raise Wrong(
                f"{patient}: expected a cause and its evidence, got {show(said)}",
                f'Write `"{patient}": ("the cause", "the evidence")`, two strings from the lists.',
            )
        said_cause, said_evidence = (" ".join(s.lower().split()) for s in said)
        if said_cause in EVIDENCE and said_evidence in CAUSES:
            raise Wrong(f"{patient}: {show(said)}", "The cause comes first, then the evidence.")
        for what, name, names in (
            ("cause", said_cause, CAUSES),
            ("evidence", said_evidence, EVIDENCE),
        ):
            if name not in names:
                raise Wrong(
                    f"{patient}: {show(name)} is no {what} from the list",
                    f"The list of {what}s: " + ", ".join(names) + ".",
                )
        if said_cause != cause:
            raise Wrong(
                f"{patient}: the cause isn't {show(said_cause)}",
                f"{CAUSES[said_cause]} {SEEN[patient]}",
            )
        if said_evidence != evidence:
            if said_evidence == "saturated by training" and patient != "B":
                hint = (
                    "It is true of this network, but A and C both show it, from different causes: "
                    "name what only this one shows."
                )
            elif said_evidence == "large updates" and patient == "C":
                hint = (
                    "C's updates are large at first and fall below 10⁻²: the large ones come from "
                    "what it got wrong. Where do you see that?"
                )
            else:
                hint = (
                    f"That is not what the plots of {patient} show; which of them made you name "
                    "this cause?"
                )
            raise Wrong(f"{patient}: the cause is right, the evidence isn't", hint)


for _patient, (_cause, _evidence) in PATIENTS.items():
    _add_patient(_patient, _cause, _evidence)


# --- 4.6 ----------------------------------------------------------------------------------------

relatives = Exercise(
    number="4.6",
    title="LayerNorm and RMSNorm",
    difficulty=3,
    minutes=35,
    practises="normalising over the right axis, and measuring what depends on what",
    answers=("layer_norm", "rms_norm", "depends"),
    summary=(
        "Write the two relatives of BatchNorm that language models use, equal to torch's. Then "
        "measure, for any normalisation, which examples of a batch depend on which."
    ),
    statement="""
`layer_norm(x, gamma, beta, eps: float) -> Tensor`, x of any shape (..., C), gamma and beta (C,)

For each vector of C numbers by itself: subtract its mean, divide by √(variance + eps), with the
biased variance (÷ C), multiply by gamma, add beta (Ba et al. 2016).

`rms_norm(x, gamma, eps: float) -> Tensor`, x of any shape (..., C), gamma (C,)

For each vector by itself: divide by √(mean of the squares + eps), multiply by gamma. No mean is
subtracted, nothing is added (Zhang & Sennrich 2019).

`depends(norm, x: Tensor) -> Tensor`, x (B, C), result (B, B) of booleans

`norm` is any function from (B, C) to (B, C). Entry [i, j] says whether the output for example i
changes when the input of example j does. Measure it, on copies of x.

```python
one, zero = torch.ones(2), torch.zeros(2)
layer_norm(torch.tensor([[3.0, 5.0]]), one, zero, eps=0.0)        # [[-1.0, 1.0]]
rms_norm(torch.tensor([[1.0, 7.0]]), one, eps=0.0)                # [[0.2, 1.4]]
depends(lambda x: x - x[0], torch.randn(3, 2))
# [[False, False, False], [True, True, False], [True, False, True]]
```
""",
    hints=(
        "BatchNorm compares the examples of a channel; LayerNorm compares the channels of an "
        "example. Along which axis is that, whatever the number of axes?",
        "Use axis -1 with keepdim=True. For depends, change example j in a copy and see which "
        "outputs are no longer the same; but choose a change that a normalisation can't undo.",
        "`x.var(-1, keepdim=True, correction=0)`, `(x * x).mean(-1, keepdim=True)`. In depends: "
        "`changed = x.clone(); changed[j] = torch.randn(C)`, then `(norm(changed) != "
        "norm(x)).any(1)` is column j.",
    ),
)


def _layer_norm(given, x, axis=-1, correction=0, eps="inside", gamma=True, beta=True, mean=True,
                shift=True, root=True):  # fmt: skip
    """LayerNorm's output; the switches are what learners get wrong."""
    m = x.mean(axis, keepdims=True)
    v = (x - m * mean).var(axis, ddof=correction, keepdims=True) if mean else (
        (x**2).mean(axis, keepdims=True))  # fmt: skip
    v = v + given["eps"] * (eps == "inside")
    y = (x - m * shift) / ((np.sqrt(v) if root else v) + given["eps"] * (eps == "outside"))
    return y * (given["gamma"] if gamma else 1) + (given["beta"] if beta else 0)


def _vectors(rng: np.random.Generator, *shape: int) -> dict:
    C = shape[-1]
    return {
        "x": rng.normal(rng.normal(0, 1, C), rng.uniform(0.5, 2, C), shape),
        "gamma": rng.uniform(0.5, 2, C),
        "eps": float(rng.uniform(0.1, 0.3)),
    }


def _with_beta(rng: np.random.Generator, *shape: int) -> dict:
    return {**_vectors(rng, *shape), "beta": rng.normal(size=shape[-1])}


AXIS_CRASHES = {
    r"must match the size|broadcast": "The statistics must keep their axis to fit x again: "
    "`mean(-1, keepdim=True)`.",
}
MUTATED = "`x -= …` changes the tensor that was given: write `x - …`, which makes a new one."
ONE_AXIS = "Only the channels of one vector are compared, the last axis: use `-1`, not the axis "


def _expect_layer_norm(given, got) -> None:
    x = given["x"]

    def norm(**switches):
        return _layer_norm(given, x, **switches)

    # Without keepdim they fit as well, to the wrong numbers, since x is as long as it is wide.
    flat = (x - x.mean(-1)) / np.sqrt(x.var(-1) + given["eps"]) * given["gamma"] + given["beta"]
    mistakes = [
        Mistake(x, "x came back as it was."),
        Mistake(norm(axis=0), ONE_AXIS + "of the batch: over axis 0 it is BatchNorm."),
        Mistake(norm(correction=1), "`x.var(-1)` divides by C − 1; LayerNorm divides by C: "
                "`correction=0`."),
        Mistake(norm(eps=None), "eps is missing: it is added to the variance, under the root."),
        Mistake(norm(eps="outside"), "eps is added to the standard deviation; it belongs under "
                "the root."),
        Mistake(norm(root=False), "You divide by the variance: divide by its root."),
        Mistake(norm(gamma=False, beta=False), "gamma and beta are missing: LayerNorm has them "
                "too."),
        Mistake(norm(gamma=False), "gamma is missing."),
        Mistake(norm(beta=False), "beta is missing."),
        Mistake(flat, "The mean and the variance of one vector went to another: keep their axis, "
                "`mean(-1, keepdim=True)`."),
        Mistake(norm(shift=False), "The mean isn't subtracted; that is nearly RMSNorm."),
        Mistake(norm(shift=False, mean=False, beta=False), "That is RMSNorm: LayerNorm subtracts "
                "the mean, and adds beta."),
        Mistake(norm(shift=False, mean=False), "The mean isn't subtracted; that is RMSNorm with "
                "a beta."),
    ]  # fmt: skip
    if x.ndim == 3:
        mistakes += [
            Mistake(norm(axis=1), ONE_AXIS + "of the positions: with three axes the channels are "
                    "axis 2, and -1 means the last, however many there are."),
            Mistake(norm(axis=(1, 2)), "The positions of an example are mixed: each of its "
                    "vectors has a mean and a variance of its own."),
            Mistake(norm(axis=(0, 1)), ONE_AXIS + "of the batch: over axes 0 and 1 it is "
                    "BatchNorm."),
        ]  # fmt: skip
    else:
        mistakes.append(
            Mistake(norm(axis=(0, 1)), "One mean and one variance for the whole batch: each "
                    "vector has its own, along axis -1.")
        )  # fmt: skip
    expect("layer_norm", got["y"], norm(), mistakes=mistakes)
    expect_that(got["kept"], "layer_norm changed x", MUTATED)


relatives.case(
    "layer_norm of a batch",
    adapter="layer_normed",
    inputs=lambda rng: _with_beta(rng, 5, 5),
    crashes=AXIS_CRASHES,
)(_expect_layer_norm)


relatives.case(
    "layer_norm of (B, T, C)",
    adapter="layer_normed",
    inputs=lambda rng: _with_beta(rng, 4, 4, 4),
    crashes=AXIS_CRASHES,
)(_expect_layer_norm)


@relatives.case(
    "rms_norm of (B, T, C)",
    points=2,
    adapter="rms_normed",
    inputs=lambda rng: _vectors(rng, 4, 4, 4),
    crashes=AXIS_CRASHES,
)
def _(given, got):
    x = given["x"]

    def norm(**switches):
        return _layer_norm(given, x, **(dict(beta=False, mean=False, shift=False) | switches))

    length = np.sqrt((x**2).sum(-1, keepdims=True) + given["eps"])
    expect(
        "rms_norm",
        got["y"],
        norm(),
        mistakes=[
            Mistake(x, "x came back as it was."),
            Mistake(norm(mean=True, shift=True), "That is LayerNorm without beta: RMSNorm "
                    "subtracts no mean."),
            Mistake(norm(mean=True), "You divide by the standard deviation, which takes the mean "
                    "out: take the root of the mean of x²."),
            Mistake(norm(eps=None), "eps is missing in rms_norm: it is added to the mean of the "
                    "squares."),
            Mistake(norm(eps="outside"), "eps is added to the root in rms_norm; it belongs under "
                    "it, beside the mean of the squares."),
            Mistake(norm(root=False), "The root is missing in rms_norm."),
            Mistake(norm(gamma=False), "gamma is missing in rms_norm."),
            Mistake(norm(axis=0), "rms_norm runs over the batch: use axis -1."),
            Mistake(norm(axis=1), "rms_norm runs over the positions: use axis -1."),
            Mistake(norm(axis=(1, 2)), "rms_norm mixes the positions of an example: use axis -1 "
                    "alone."),
            Mistake(x / length * given["gamma"], "You divide by the length of the vector, the "
                    "root of the *sum* of squares; RMS takes their mean."),
        ],
    )  # fmt: skip
    expect_that(got["kept"], "rms_norm changed x", MUTATED)


def _groups(rng: np.random.Generator) -> dict:
    B = 7
    groups = []
    for i in range(B):
        others = rng.choice([j for j in range(B) if j != i], int(rng.integers(2, 5)), replace=False)
        groups.append(sorted([i, *others.tolist()]))
    for i in rng.choice(B, 2, replace=False):
        groups[i] = None  # normalised over its own channels, as by LayerNorm
    return {"groups": groups, "x": rng.normal(size=(B, 4))}


@relatives.case(
    "what depends on what",
    points=2,
    adapter="dependence",
    inputs=_groups,
    crashes={
        r"does not require grad": "x has no gradient here: use `x.clone().requires_grad_()`, or "
        "change an example and compare.",
        r"ambiguous": "A whole row is compared: `.any()` makes one truth value of it.",
    },
)
def _(given, got):
    groups, B = given["groups"], len(given["groups"])
    want = np.zeros((B, B), dtype=bool)
    for i, group in enumerate(groups):
        want[i, [i] if group is None else group] = True
    alone = np.array([group is None for group in groups])
    undone = want & ~(np.eye(B, dtype=bool) & alone[:, None])
    found = got["depends"]
    if isinstance(found, np.ndarray) and found.dtype != bool:
        raise Wrong(
            f"depends: expected booleans, got {show(found)}",
            "Each entry is True or False: compare the outputs, `(a != b).any(1)`.",
        )
    expect(
        "depends",
        found,
        want,
        tol=0,
        mistakes=[
            Mistake(want.T, "Rows and columns are swapped: [i, j] is whether output i depends on "
                    "input j."),
            Mistake(undone, "Where an example is normalised by itself, you see no dependence at "
                    "all: a change of all its channels by the same amount, or the sum of its "
                    "outputs, is what a normalisation takes out. Change them at random."),
            Mistake(undone.T, "Rows and columns are swapped, and where an example is normalised "
                    "by itself you see no dependence: change its channels at random."),
            Mistake(want & ~np.eye(B, dtype=bool), "An example depends on itself too: the "
                    "diagonal is left out."),
            Mistake(np.eye(B, dtype=bool), "That each example depends on itself alone is so for "
                    "LayerNorm; `norm` may be anything: measure it."),
            Mistake(np.ones((B, B), dtype=bool), "That everything depends on everything is so for "
                    "BatchNorm; `norm` may be anything: measure it."),
            Mistake(np.logical_or.accumulate(want, 1), "The change of one example stays in x for "
                    "the next: begin each time with a fresh copy."),
            Mistake(~want, "That is where nothing changes: turn it round."),
        ],
    )  # fmt: skip


EXERCISES = (zeros, folding, gains, batch_norm, sick, relatives)
