"""1.2 · An operation of your own: local derivatives, and numbers that are too large."""

import math

import numpy as np

from zerotohero.course.checks.micrograd.shared import call_hint
from zerotohero.course.exercise import (
    NOTHING,
    Exercise,
    Mistake,
    array,
    expect,
    expect_that,
)

operation = Exercise(
    number="1.2",
    title="An operation of your own",
    difficulty=2,
    minutes=25,
    practises="local derivatives, and numbers that are too large",
    answers=("softplus",),
    uses=("micrograd",),
    summary=(
        "Give the library an operation that it lacks, softplus, which is a ReLU without the kink. "
        "It is one node with its own backward rule, and it must not overflow."
    ),
    statement="""
`softplus(x: Value) -> Value`, where $\\mathrm{softplus}(x) = \\log(1 + e^x)$.

Return **one** new `Value`, for every x, with `x` as its only operand and with its local derivative.
The docstring of `Value` (`help(Value)`) shows how an operation is added. For large x the result is
as large as x, though $e^x$ is too large for a float: rewrite the formula so that nothing overflows.
Number and gradient are right to 1e-9 for every x.

```python
x = Value(0.5)
y = softplus(x)
y.backward()
y.data, x.grad                  # about (0.974077, 0.622459)
softplus(Value(1000.0)).data    # 1000.0
```
""",
    hints=(
        "What is the derivative of log(1 + eˣ)? Use the chain rule: 1/(1 + eˣ) times something.",
        "The derivative is eˣ/(1 + eˣ), called the sigmoid. For large x use log(1 + eˣ) = x + "
        "log(1 + e⁻ˣ), in which nothing overflows.",
        "e = math.exp(-abs(x.data)); the result is max(x.data, 0) + math.log1p(e); the sigmoid is "
        "x.sigmoid().data; return Value(result, (x,), 'softplus', local=(sigmoid,)).",
    ),
)


_NOT_A_VALUE = {
    **call_hint('"1.2"', "softplus"),
    r"\(0\.0\)\) returned None": "At x = 0 nothing comes back: `x > 0` and `x < 0` are both false "
    "there.",
    "returned None": NOTHING,
    "returned an? (float|int)": "You return a plain number; return a Value, or the graph ends "
    "here.",
    "'(float|int|ndarray|float64)' object has no attribute 'operands'": "The operands are Values: "
    "(x,), and not (x.data,).",
    r"local derivative\(s\)": "Your node has no rule: pass local=(…) by name, one derivative for "
    "each operand.",
    "must be real number, not Value|not supported between|bad operand type": "Compute with x.data, "
    "the float inside; math, max and abs know no Value.",
    "'float' object is not iterable": "local is a tuple: local=(slope,), with the comma.",
    "'Value' object is not iterable": "The operands are a tuple: (x,), with the comma.",
    "'str' object has no attribute": "The operands (x,) come second, the name third.",
    "has become a Value": "The local derivative must be a float; you passed a Value, so take its "
    ".data.",
}
_OVERFLOW = (
    "e¹⁰⁰⁰ is too large for a float: use log(1 + eˣ) = x + log(1 + e⁻ˣ) when x is large, and only "
    "then. In the slope, too, no exponent may be large."
)


def _ordinary(rng: np.random.Generator) -> dict[str, list[float]]:
    """Return numbers of which the last four are where softplus is nearly, and not yet, x or 0."""
    lows, highs = [-3] * 5 + [0, 5, 19.6, -9, -19.9], [3] * 5 + [0, 9, 19.9, -5, -19.6]
    return {"xs": rng.uniform(lows, highs).round(3).tolist()}


@operation.case(
    "data and gradient for ordinary numbers",
    points=2,
    adapter="softplus_alone",
    inputs=_ordinary,
    crashes={
        **_NOT_A_VALUE,
        "ZeroDivisionError": "At x = 0 something is divided by 0: the slope there is 1/2.",
    },
)
def data_and_gradient(given, got):
    x = np.array(given["xs"])
    sigmoid, right = 1 / (1 + np.exp(-x)), np.log1p(np.exp(x))
    data, hint = array("softplus(x).data", got["data"], x.shape), None
    if np.allclose(data[:-4], right[:-4], 1e-9, 1e-9):
        hint = (
            "Right for x between −3 and 3. Where the formula changes to x, or to 0, it has to "
            "be so far out that the two are equal: log(1 + e⁹) is 9.0001."
        )
    elif np.allclose(data, right, 1e-6, 1e-6):
        hint = "Nearly right, and 1e-9 is asked for: calculate with Python's floats, round nothing."
    expect(
        "softplus(x).data",
        got["data"],
        right,
        tol=1e-9,
        mistakes=[
            Mistake(np.log2(1 + np.exp(x)), "Take the natural logarithm, math.log(…), not base 2."),
            Mistake(np.log10(1 + np.exp(x)), "Take the natural logarithm, math.log, not base 10."),
            Mistake(1 + np.exp(x), "The logarithm is missing: log(1 + eˣ)."),
            Mistake(np.maximum(x, 0), "That is ReLU, with its kink; softplus is log(1 + eˣ)."),
            Mistake(sigmoid, "That is softplus's derivative; its value is log(1 + eˣ)."),
        ],
        hint=hint,
    )
    # Where x is large, 1e-9 of it is much more than 1e-9.
    more = "softplus(x).data − max(x, 0)"
    expect(more, data - np.maximum(x, 0), np.log1p(np.exp(-abs(x))), tol=1e-9, hint=hint)
    slopes = array("x.grad", got["grad"], x.shape)
    far = "The slope is right for x between −3 and 3; farther out it is not yet 1, or 0."
    expect(
        "x.grad",
        got["grad"],
        sigmoid,
        tol=1e-9,
        mistakes=[
            Mistake(
                2 * sigmoid,
                "x gets its gradient twice: it is named as an operand twice, or the slope is added "
                "to x.grad besides. local=(…) does all of it, for one operand (x,).",
            ),
            Mistake(
                np.zeros_like(x),
                "x is the operand, and its gradient stays 0: is x.grad, which is 0 until "
                "backward() has run, a factor of the local derivative? That is the slope alone."
                if got["linked"]
                else "No gradient arrives: name x itself as the operand, no new Value made of it, "
                "and give a local derivative.",
            ),
            Mistake(
                np.exp(x),
                "Half of the chain rule: eˣ is the inner derivative, and the log's factor 1/(1 + "
                "eˣ) is missing.",
            ),
            Mistake(
                1 / (1 + np.exp(x)),
                "You have 1/(1 + eˣ): half of the chain rule (the inner derivative eˣ is missing), "
                "or a sigmoid of −x.",
            ),
            Mistake(
                np.log1p(np.exp(x)),
                "The local derivative is the slope of softplus, not its value.",
            ),
            Mistake(np.ones_like(x), "A slope of 1 everywhere is that of x itself, not softplus."),
            Mistake(-sigmoid, "The sign is turned: softplus rises with x."),
            Mistake(
                sigmoid * (1 - sigmoid),
                "That is the sigmoid's derivative; the sigmoid itself is that of softplus.",
            ),
        ],
        hint=far
        if np.allclose(slopes[:-4], sigmoid[:-4], 1e-9, 1e-9)
        else "Work out the derivative of log(1 + eˣ) once more, with the chain rule.",
    )


@operation.case(
    "softplus(x) * softplus(x) + x",
    points=1,
    adapter="softplus_in_a_formula",
    inputs=lambda rng: dict(
        zip(("x", "before"), rng.uniform([0.5, 3], [2, 4]).tolist(), strict=True)
    ),
    crashes=_NOT_A_VALUE,
)
def gradient_accumulated(given, got):
    x, before = given["x"], given["before"]
    value, slope = math.log1p(math.exp(x)), 1 / (1 + math.exp(-x))
    expect("data", got["data"], value**2 + x)
    expect(
        f"x.grad, which was {before:.6g} before",
        got["grad"],
        2 * value * slope + 1 + before,
        mistakes=[
            Mistake(
                2 * value * slope + 1,
                "x had a gradient before the call, which is lost: x.grad is not yours to set.",
            ),
            Mistake(
                value * slope,
                "Here x has three paths, and only the last one's share is left: add to x.grad with "
                "+=, or leave it to local=(…).",
            ),
            Mistake(
                2 * slope + 1 + before,
                "Your rule leaves out the gradient of the result (slope * out.grad), or adds to "
                "x.grad before that is known. local=(…) does both.",
            ),
            Mistake(
                2 * value * slope * before + 1 + before,
                "The local derivative is the slope alone: the gradient that x had before has no "
                "part in it.",
            ),
            Mistake(
                slope + 1,
                "You write to x.grad while the result is computed. Give local=(…), and backward() "
                "will do it.",
            ),
        ],
    )


@operation.case(
    "numbers of 711 to 2000, and below −711, without overflow",
    points=1,
    adapter="softplus_alone",
    # e⁷¹⁰ is the first that is too large.
    inputs=lambda rng: {
        "xs": (
            rng.uniform([711] * 2 + [1000] * 2, [760] * 2 + [2000] * 2) * [1, -1, 1, -1]
        ).tolist()
    },
    crashes={**_NOT_A_VALUE, "OverflowError": _OVERFLOW},
)
def no_overflow(given, got):
    x = np.array(given["xs"])
    expect(
        "softplus(x).data",
        got["data"],
        np.maximum(x, 0),
        mistakes=[Mistake(np.where(x > 0, bad, 0), _OVERFLOW) for bad in (math.inf, math.nan)],
    )
    expect(
        "x.grad",
        got["grad"],
        1.0 * (x > 0),
        mistakes=[
            Mistake(
                np.where(x > 0, math.nan, 0),
                "∞/∞ in the derivative: for large x, write eˣ/(1 + eˣ) as 1/(1 + e⁻ˣ).",
            ),
            Mistake(
                0 * x, "No gradient arrives where x is large, and softplus's slope is 1 there."
            ),
        ],
    )


@operation.case(
    "one node",
    points=1,
    adapter="softplus_graphs",
    inputs=lambda rng: {
        "xs": [*(rng.uniform(0.5, 2, 2) * [1, -1]).round(3).tolist(), 1000.0, -1000.0]
    },
    crashes={**_NOT_A_VALUE, "OverflowError": _OVERFLOW},
)
def one_node(given, got):
    for x, node in zip(given["xs"], got["nodes"], strict=True):
        hint = (
            "You put softplus together from other operations, or name one as an operand; compute "
            "the number with math and make one Value of it, with the operands (x,)."
        )
        if node["itself"]:
            hint = "What you return is x itself: make a new Value."
            if x > 500:
                hint = "For large x you return x itself: make a new Value, whose number is x's."
        elif node["operands"] == 0 and x < -500:
            hint = "Far below 0, too, the new Value needs its operand (x,), though its number is 0."
        elif node["operands"] == 0:
            hint = "Your node has no operands: give (x,) after the number."
        elif node["leaves"] and node["is x"]:
            hint = "The operands should be x alone: (x,)."
        elif not node["values"]:
            hint = "The operand is a plain number: name x itself, (x,), and not its data."
        elif node["leaves"]:
            hint = "The operand is a new Value; it must be x itself, where the gradient goes."
        expect_that(
            not node["itself"] and node["operands"] == 1 and node["is x"] is True,
            f"at {x}: expected a node whose only operand is x",
            hint,
        )
        expect(f"its data at {x}", node["data"], float(np.logaddexp(0, x)))
