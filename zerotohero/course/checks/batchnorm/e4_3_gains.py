"""4.3 · The gain, measured and derived: following a variance through a layer, by experiment
and on paper.
"""

import math
from statistics import NormalDist

import numpy as np

from zerotohero.course.exercise import Exercise, Mistake, expect

gains = Exercise(
    number="4.3",
    title="The gain, measured and derived",
    difficulty=3,
    minutes=40,
    practises="following a variance through a layer, by experiment and on paper",
    answers=("measured_gain", "leaky_relu_gain", "sizes_by_layer"),
    look_for=("calculate_gain",),
    summary=(
        "Measure the gain that keeps the size of the numbers in a stack of layers, for any "
        "activation function. Derive it on paper for ReLU, and watch where tanh settles with 5/3."
    ),
    statement="""
A layer computes the n numbers `f(z)`, the next one multiplies them with weights of mean 0 and
standard deviation gain / √n, and adds up. Its sums then have mean 0 and the standard deviation
gain · √(mean of f(z)²).

`measured_gain(f, z: Tensor) -> float` returns the gain with which the next layer's sums have the
standard deviation 1, where this layer's sums are the numbers `z` (n,), which have mean 0 and
standard deviation 1 but need not be normal.

`leaky_relu_gain(slope: float) -> float` returns the same exactly, **derived on paper**, for
standard normal z and leaky ReLU, which is z where z > 0 and slope · z elsewhere. A slope of 0 is
ReLU; any number can be one.

`sizes_by_layer(f, gain: float, z: Tensor, depth: int) -> list[float]` follows the sums through a
deep stack. They start out as `z`, with the standard deviation s = 1; in every layer they are again
shaped like z, s times as large, and s changes to that of the next layer's sums. Return the s
after each of the layers, `depth` numbers.

```python
z = torch.tensor([-1.0, 1.0])             # stands in for many numbers
measured_gain(lambda z: 4 * z, z)         # 0.25
leaky_relu_gain(1.0)                      # 1.0: nothing is bent
sizes_by_layer(lambda z: z, 0.5, z, 3)    # [0.5, 0.25, 0.125]
```

Then measure: which gain does ReLU need, and which does tanh? With the gain of 5/3 that
`torch.nn.init` recommends for tanh, where does s settle?
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
    with np.errstate(over="ignore"):
        return float(np.sqrt((values**2).mean()))


def _skewed(rng: np.random.Generator) -> np.ndarray:
    """Numbers of mean 0 and mean square 1, exactly, that no normal numbers can stand in for."""
    z = rng.exponential(size=1000)
    z -= z.mean()
    return z / _rms(z)


NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 1000) for i in range(1000)])
NOT_NORMAL = "These are the numbers that a normal z would give: use the z that is handed in."
TOL = 1e-5  # apart from float32's rounding, everything is exact
CORRECTED = (
    "You divide by n - 1, as `std` does; a mean divides by n, and that z has the standard "
    "deviation 1 is given."
)


def _or_none(values):
    """None instead of nothing but None, which has a hint of its own."""
    return None if values == [None] * len(values) else values


def _close(found, want, rtol: float) -> bool:
    numbers = isinstance(found, list) and all(isinstance(x, (int, float)) for x in found)
    return numbers and len(found) == len(want) and np.allclose(found, want, rtol)


def _functions(rng: np.random.Generator) -> dict:
    kinds = ["relu", "softplus", "tanh"]
    return {
        "functions": [[kind, float(rng.uniform(0.5, 3))] for kind in kinds],
        "z": _skewed(rng),
    }


@gains.case("gains, measured", points=2, adapter="gain_measured", inputs=_functions)
def gains_measured(given, got):
    z = given["z"]
    ys = [_curve(kind, scale, z) for kind, scale in given["functions"]]

    def each(rule):
        return np.array([rule(y) for y in ys])

    normal = [1 / _rms(_curve(kind, scale, NORMAL)) for kind, scale in given["functions"]]
    hint = NOT_NORMAL if _close(got["gains"], normal, 0.03) else None
    n = len(z)
    expect(
        "measured_gain of scaled ReLU, softplus and tanh",
        _or_none(got["gains"]),
        each(lambda y: 1 / _rms(y)),
        tol=TOL,
        hint=hint,
        mistakes=[
            *(
                Mistake(
                    each(lambda y, ddof=ddof: 1 / y.std(ddof=ddof)),
                    "You took the standard deviation of f(z), which takes its mean out first. A "
                    "sum of weight · f(z) has no such subtraction: it is the mean of f(z)² that "
                    "counts.",
                )
                for ddof in (0, 1)
            ),
            Mistake(
                each(lambda y: 1 / _rms(y) ** 2),
                "gain² · mean(f(z)²) is 1, so the gain is the root: yours is its square.",
            ),
            *(
                Mistake(
                    each(lambda y, ddof=ddof: 1 / y.var(ddof=ddof)),
                    "gain² times the mean of f(z)² is 1: the gain is a root, and f(z) keeps its "
                    "mean.",
                )
                for ddof in (0, 1)
            ),
            Mistake(
                each(_rms),
                "That is how large f(z) is; the gain has to make up for it: one divided by it.",
            ),
            *(
                Mistake(
                    each(lambda y, ddof=ddof: y.std(ddof=ddof)),
                    "That is the standard deviation of f(z); the gain has to make up for the size "
                    "of f(z), so it is one divided by the root of the mean square.",
                )
                for ddof in (0, 1)
            ),
            Mistake(
                each(lambda y: 1 / np.abs(y).mean()),
                "You took the mean of |f(z)|; the variance of a sum goes with the mean of f(z)².",
            ),
            *(
                Mistake(each(lambda y, by=by: by / _rms(y)), CORRECTED)
                for by in (math.sqrt((n - 1) / n), math.sqrt(n / (n - 1)))
            ),
            Mistake(
                each(lambda y: math.sqrt(2)), "That is ReLU's gain, whatever f is: measure f(z)."
            ),
        ],
    )


@gains.case(
    "the gain of leaky ReLU, derived",
    points=2,
    adapter="gain_derived",
    inputs=lambda rng: {
        "slopes": [0.0, 1.0, *rng.uniform((-0.8, 0.1, 0.6, 2), (-0.2, 0.3, 0.9, 3))]
    },
)
def gain_of_leaky_relu(given, got):
    a = np.array(given["slopes"])
    want = np.sqrt(2 / (1 + a**2))
    wrong = [
        (np.sqrt(2) + 0 * a, "That is ReLU's gain: with a slope, the negative half counts too."),
        (2 / (1 + a**2), "The root is missing: gain² is one over the mean of f(z)²."),
        (
            np.sqrt(2 / (1 + a)),
            "The negative half is slope · z, and it is *squared* in the mean: slope² counts.",
        ),
        (
            np.sqrt(1 / (1 + a**2)),
            "Each half of z holds half of the mean square: the mean of f(z)² is (1 + slope²) / 2, "
            "and the 2 is missing.",
        ),
        (np.sqrt((1 + a**2) / 2), "That is the size of f(z): the gain is one divided by it."),
        (np.sqrt(2) / (1 + a**2), "The root goes over the whole fraction, 1 + slope² included."),
        (
            1 / np.sqrt((1 + a**2) / 2 - (1 - a) ** 2 / (2 * math.pi)),
            "That is one over the standard deviation of f(z), which takes its mean out; a sum of "
            "weight · f(z) doesn't.",
        ),
    ]
    hint, found = None, _or_none(got["gains"])
    if _close(found, want, 0.02):
        off = np.abs(np.array(found, dtype=float) - want).max()
        hint = (
            f"That is close, {off:.2g} off at most: if it was measured, derive it; on paper it "
            "comes out exactly. Half of all z are positive, and they hold half of the mean of z²."
        )
    expect(
        "leaky_relu_gain",
        found,
        want,
        tol=1e-6,
        mistakes=[Mistake(values, text) for values, text in wrong],
        hint=hint,
    )


def _sizes(curve, gain, z, depth, size=_rms, square=False, grows=True, inside=False):
    s, sizes = 1.0, []
    for _ in range(depth):
        values = curve((gain if inside else 1) * s * z if grows else z)
        s = (1 if inside else gain**2 if square else gain) * size(values)
        sizes.append(s)
    return np.array(sizes)


def sizes_followed(given, got) -> None:
    gain, z, depth = (given[key] for key in ("gain", "z", "depth"))

    def curve(values):
        return _curve(given["kind"], given["scale"], values)

    def sizes(**switches):
        return _sizes(curve, gain, z, depth, **switches)

    want, found, hint = sizes(), got["sizes"], None
    if _close(found, want, 0.1):
        hint = (
            "That is close, but nothing is rounded or left to chance here: s is 1 at the start, "
            "and it is the same z in every layer."
        )
    elif isinstance(found, list) and len(found) != depth:
        hint = f"Return one number for each layer: `depth` of them, which is {depth} here."
    elif _close(found, _sizes(curve, gain, NORMAL, depth), 0.06):
        hint = NOT_NORMAL
    same, chain = sizes(grows=False), [z]
    for _ in range(depth):
        chain.append(gain * curve(chain[-1]))
    expect(
        "sizes_by_layer",
        found,
        want,
        tol=TOL,
        hint=hint,
        mistakes=[
            Mistake(
                np.concatenate([[1.0], want[:-1]]),
                "The first number is the s that the stack starts from; return the s *after* each "
                "layer.",
            ),
            Mistake(
                np.concatenate([[1.0], want]),
                "The first number is the s that the stack starts from; return the s *after* each "
                "layer.",
            ),
            Mistake(
                same,
                "Every layer is given z itself: from the second on its sums are s · z.",
            ),
            *(
                Mistake(
                    sizes(size=lambda y, ddof=ddof: y.std(ddof=ddof)),
                    "You took the standard deviation of f(s · z), which takes its mean out: the "
                    "next sums grow with the mean of f(s · z)².",
                )
                for ddof in (0, 1)
            ),
            Mistake(
                same[0] ** np.arange(1, depth + 1),
                "Every layer multiplies by what the first one did: f(s · z) is not s · f(z), but "
                "for ReLU.",
            ),
            Mistake(
                [_rms(x) for x in chain[1:]],
                "The numbers f(z) are handed on as they are: the next layer's sums are shaped like "
                "z again, and s times as large.",
            ),
            Mistake(
                sizes(inside=True),
                "The gain is applied before f: it multiplies what comes out of f, on the way to "
                "the next sums.",
            ),
            Mistake(sizes(size=lambda y: _rms(y) * math.sqrt(len(z) / (len(z) - 1))), CORRECTED),
            Mistake(
                sizes(square=True),
                "The gain counts once in a standard deviation; its square belongs to a variance.",
            ),
            Mistake(want**2, "These are variances: return standard deviations, their roots."),
            Mistake(
                want / gain,
                "These are the sizes of f(s · z); the sums behind it are gain times as large.",
            ),
            Mistake(
                sizes(size=lambda y: _rms(y) ** 2),
                "The root is missing: s is gain times the root of the mean of f(s · z)².",
            ),
        ],
    )


gains.case(
    "ReLU, 20 layers",
    adapter="stacked",
    inputs=lambda rng: {
        "kind": "relu",
        "scale": 1.0,
        "gain": float(rng.uniform(1.2, 1.6)),
        "z": _skewed(rng),
        "depth": 20,
    },
)(sizes_followed)


gains.case(
    "tanh, 30 layers",
    adapter="stacked",
    inputs=lambda rng: {
        "kind": "tanh",
        "scale": float(rng.uniform(0.8, 1.2)),
        "gain": float(rng.uniform(1.5, 3)),
        "z": _skewed(rng),
        "depth": 30,
    },
)(sizes_followed)
