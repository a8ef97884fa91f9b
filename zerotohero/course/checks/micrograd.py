"""The exercises of lecture 01: nudging, an operation, an order, softmax, a broken loop, moons.

Reference answers are plain floats and NumPy; only 1.5 is held against the library itself.
"""

import math
import random
from collections import Counter, deque
from typing import Any

import numpy as np

from zerotohero.course.checks.numerics import softmax
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
from zerotohero.micrograd import MLP, moons


def _call(*names: str) -> dict[str, str]:
    """The hint for whoever gives check what a function returned, not the function."""
    call = ", ".join(names)
    return {
        "'(NoneType|tuple|list|Value)' object is not callable": f"Give check the function itself, "
        f"without calling it: check({call})."
    }


# --- 1.1 ----------------------------------------------------------------------------------------

numerical = Exercise(
    number="1.1",
    title="A gradient by nudging",
    difficulty=1,
    minutes=15,
    practises="what a derivative of several variables is",
    answers=("numerical_gradient",),
    summary=(
        "Measure the gradient of any function of three numbers with symmetric differences. "
        "With it you can check every gradient that you will ever write."
    ),
    statement="""
`numerical_gradient(f, a: float, b: float, c: float, h: float = 1e-5) -> tuple[float, float, float]`

`f` takes three floats and returns one. Return its derivatives to `a`, to `b` and to `c` at that
place, each as a **symmetric** difference: nudge one number by `h` up and down, hold the other two.

```python
def f(a, b, c):
    return -(a**3) + math.sin(3 * b) - 1.0 / c + b**2.5 - a**0.5

f(2, 3, 4)                          # 6.336362190988558
numerical_gradient(f, 2, 3, 4)      # about (-12.353553, 10.256990, 0.0625)
```
""",
    hints=(
        "How far does f move when only a goes from a − h to a + h?",
        "The derivative to a is (f(a + h, b, c) − f(a − h, b, c)) divided by how far a went.",
        "da = (f(a + h, b, c) - f(a - h, b, c)) / (2 * h), then the same for b and for c; "
        "return da, db, dc.",
    ),
)


def _f_of_the_lecture(a: float, b: float, c: float) -> float:
    return -(a**3) + math.sin(3 * b) - 1.0 / c + b**2.5 - a**0.5


def _expect_gradient(f: Any, at: list[float], h: float, got: Any, want: list[float]) -> None:
    expect_that(got is not None, "expected three slopes, got None", NOTHING)
    three = "Return three slopes, to a, to b and to c: a tuple of three numbers."
    expect_that(isinstance(got, list | float | np.ndarray), f"got {show(got)}", three)
    got = array("the gradient", got)
    expect_that(got.shape == (3,), f"expected three slopes, got shape {got.shape}", three)
    hint = _gradient_hint(f, at, h, got, np.array(want))
    expect("the gradient", got, np.array(want), tol=1e-7, hint=hint)


def _gradient_hint(f: Any, at: list[float], h: float, got: np.ndarray, want: np.ndarray) -> str:
    def value(up: float, i: int, f: Any = f) -> float:
        return f(*(x + up * h * (i == k) for k, x in enumerate(at)))

    def slopes(up: float, down: float, width: float, f: Any = f) -> list[float]:
        return [(value(up, i, f) - value(-down, i, f)) / (width * h) for i in range(3)]

    together = (f(*(x + h for x in at)) - f(*(x - h for x in at))) / (2 * h)
    left_behind = [  # each number stays at x − h when the next one is nudged
        (
            f(*(x + h * ((k == i) - (k < i)) for k, x in enumerate(at)))
            - f(*(x - h * (k <= i) for k, x in enumerate(at)))
        )
        / (2 * h)
        for i in range(3)
    ]
    mistakes = [
        Mistake(slopes(1, 0, 1), "You nudge upwards only; go h up and h down as well."),
        Mistake(slopes(0, 1, 1), "You nudge downwards only; go h down and h up as well."),
        Mistake(
            slopes(1, 1, 1),
            "Each slope is twice too steep: from x − h to x + h it is 2h, not h.",
        ),
        Mistake(slopes(0.5, 0.5, 1), "You go h/2 up and h/2 down; go h each way."),
        Mistake(
            [together] * 3,
            "You nudge all three numbers at once; nudge one and hold the other two.",
        ),
        Mistake(slopes(1, 0, 2), "One side only, yet divided by 2h: subtract f at x − h."),
        Mistake(-want, "The sign is turned: f above minus f below, not below first."),
        Mistake(slopes(1, 1, 1 / h), "You don't divide: a slope is the difference over 2h."),
        Mistake(
            slopes(1, 1, 2 / h**2),
            "`/ 2 * h` divides by 2 and then multiplies by h; write `/ (2 * h)`.",
        ),
        Mistake(
            [value(1, i) - value(-1, i) / (2 * h) for i in range(3)],
            "Only the second f is divided; put the difference in parentheses.",
        ),
        Mistake(
            left_behind,
            "A number that was nudged is not put back before the next one's turn.",
        ),
        Mistake(
            slopes(1, 1, 2, _f_of_the_lecture),
            "You call the function above; call the f that you are given.",
        ),
        Mistake(np.zeros(3), "No slope at all: f above minus f below, and both nudged."),
    ]
    for mistake in mistakes:
        if np.allclose(got, mistake.value, rtol=2e-7, atol=1e-12):
            return mistake.hint
    if np.allclose(got, want, rtol=1e-3):
        return "Near, and not the symmetric slope for this h: go h up and h down, round nothing."
    if np.allclose(np.sort(got), np.sort(want), rtol=1e-6):
        return "The slopes are right and their order is not: to a, to b, to c."
    right = np.isclose(got, want, rtol=1e-7, atol=1e-7)
    if right.any():
        wrong = " and ".join(f"to {name}" for name, ok in zip("abc", right, strict=True) if not ok)
        return f"Wrong only {wrong}: when you copied the line, did you change every letter?"
    return "For each number: (f with it raised by h − f with it lowered by h) / (2 * h)."


@numerical.case(
    "the function above at (2, 3, 4)",
    points=1,
    adapter="gradient_of_the_lecture",
    inputs={"at": [2.0, 3.0, 4.0], "h": None},
    crashes=_call('"1.1"', "numerical_gradient"),
)
def _(given, got):
    a, b, c = given["at"]
    want = [
        -3 * a**2 - 0.5 * a**-0.5,
        3 * math.cos(3 * b) + 2.5 * b**1.5,
        1 / c**2,
    ]
    _expect_gradient(_f_of_the_lecture, given["at"], 1e-5, got["gradient"], want)


@numerical.case(
    "another function and a large nudge h",
    points=2,
    adapter="gradient_of_a_cubic",
    inputs=lambda rng: {
        "at": rng.uniform(1, 2, 3).round(3).tolist(),
        "k": rng.uniform(1, 3, 4).round(3).tolist(),
        "h": 0.125,
    },
    crashes={
        **_call('"1.1"', "numerical_gradient"),
        "unexpected keyword argument 'h'": "The size of the nudge is an argument: write h=1e-5 in "
        "the signature.",
    },
)
def _(given, got):
    k, h = given["k"], given["h"]

    def f(a, b, c):
        return k[0] * a**3 + k[1] * a * b**2 + k[2] * b * c + k[3] * c**3

    a, b, c = given["at"]
    true = [3 * k[0] * a**2 + k[1] * b**2, 2 * k[1] * a * b + k[2] * c, k[2] * b + 3 * k[3] * c**2]
    # The symmetric difference of x³ is 3x² + h², and that of x² has no error at all.
    want = [true[0] + k[0] * h**2, true[1], true[2] + k[3] * h**2]
    try:
        expect("the gradient", got["gradient"], true, tol=1e-4)
    except Wrong:
        _expect_gradient(f, given["at"], h, got["gradient"], want)
    else:
        raise Wrong(
            f"with h = {h} the answer should be rough, and it is exact",
            "You don't use the h that you are given; nudge by h.",
        )


# --- 1.2 ----------------------------------------------------------------------------------------

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

Return **one** new `Value` with `x` as its only operand and with its local derivative. The
docstring of `Value` (`help(Value)`) shows how an operation is added. For large x the result is x
itself, though $e^x$ is too large for a float: rewrite the formula so that nothing overflows.

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
        "The derivative is eˣ/(1 + eˣ), called the sigmoid. For large x use "
        "log(1 + eˣ) = x + log(1 + e⁻ˣ), in which nothing overflows.",
        "e = math.exp(-abs(x.data)); the result is max(x.data, 0) + math.log1p(e); the sigmoid is "
        "x.sigmoid().data; return Value(result, (x,), 'softplus', local=(sigmoid,)).",
    ),
)
_NOT_A_VALUE = {
    **_call('"1.2"', "softplus"),
    "returned None": NOTHING,
    "returned a (float|int)": "You return a plain number; return a Value, or the graph ends here.",
    r"local derivative\(s\)": "Your node has no rule: pass local=(…) by name, one derivative for "
    "each operand.",
    "must be real number, not Value|not supported between|bad operand type": "Compute with "
    "x.data, the float inside; math, max and abs know no Value.",
    "'float' object is not iterable": "local is a tuple: local=(slope,), with the comma.",
    "'Value' object is not iterable": "The operands are a tuple: (x,), with the comma.",
    "'str' object has no attribute": "The operands (x,) come second, the name third.",
    "has become a Value": "The local derivative must be a float; you passed a Value, so take "
    "its .data.",
}
_OVERFLOW = "e¹⁰⁰⁰ is too large for a float: use log(1 + eˣ) = x + log(1 + e⁻ˣ) when x is large."


@operation.case(
    "data and gradient for ordinary numbers",
    points=2,
    adapter="softplus_alone",
    inputs=lambda rng: {"xs": [0.5, *rng.uniform(-3, 3, 5).round(3).tolist()]},
    crashes=_NOT_A_VALUE,
)
def _(given, got):
    x = np.array(given["xs"])
    sigmoid = 1 / (1 + np.exp(-x))
    expect(
        "softplus(x).data",
        got["data"],
        np.log1p(np.exp(x)),
        mistakes=[
            Mistake(np.log2(1 + np.exp(x)), "Take the natural logarithm, math.log(…), not base 2."),
            Mistake(np.log10(1 + np.exp(x)), "Take the natural logarithm, math.log, not base 10."),
            Mistake(1 + np.exp(x), "The logarithm is missing: log(1 + eˣ)."),
            Mistake(np.maximum(x, 0), "That is ReLU, with its kink; softplus is log(1 + eˣ)."),
            Mistake(sigmoid, "That is softplus's derivative; its value is log(1 + eˣ)."),
        ],
    )
    expect(
        "x.grad",
        got["grad"],
        sigmoid,
        mistakes=[
            Mistake(
                np.zeros_like(x),
                "No gradient arrives: name x itself as the operand, no new Value made of it, and "
                "give a local derivative.",
            ),
            Mistake(
                np.exp(x),
                "Half of the chain rule: eˣ is the inner derivative, and the log's factor "
                "1/(1 + eˣ) is missing.",
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
        hint="Work out the derivative of log(1 + eˣ) once more, with the chain rule.",
    )


@operation.case(
    "softplus(x) * softplus(x) + x",
    points=1,
    adapter="softplus_in_a_formula",
    inputs=lambda rng: {"x": round(float(rng.uniform(0.5, 2)), 3)},
    crashes=_NOT_A_VALUE,
)
def _(given, got):
    x = given["x"]
    value, slope = math.log1p(math.exp(x)), 1 / (1 + math.exp(-x))
    expect("data", got["data"], value**2 + x)
    expect(
        "x.grad",
        got["grad"],
        2 * value * slope + 1,
        mistakes=[
            Mistake(
                value * slope,
                "Here x has three paths, and only the last one's share is left: add to x.grad "
                "with +=, or leave it to local=(…).",
            ),
            Mistake(
                2 * slope + 1,
                "Your rule leaves out the gradient of the result (slope * out.grad), or adds to "
                "x.grad before that is known. local=(…) does both.",
            ),
            Mistake(
                slope + 1,
                "You write to x.grad while the result is computed. Give local=(…), and backward() "
                "will do it.",
            ),
        ],
    )


@operation.case(
    "numbers about ±1000, without overflow",
    points=1,
    adapter="softplus_alone",
    inputs=lambda rng: {"xs": (rng.uniform(800, 2000, 2).round(1) * [1, -1]).tolist()},
    crashes={**_NOT_A_VALUE, "OverflowError": _OVERFLOW},
)
def _(given, got):
    expect(
        "softplus(x).data",
        got["data"],
        np.array([given["xs"][0], 0.0]),
        mistakes=[Mistake([bad, 0.0], _OVERFLOW) for bad in (math.inf, math.nan)],
    )
    expect(
        "x.grad",
        got["grad"],
        np.array([1.0, 0.0]),
        mistakes=[
            Mistake(
                [math.nan, 0.0],
                "∞/∞ in the derivative: for large x, write eˣ/(1 + eˣ) as 1/(1 + e⁻ˣ).",
            ),
            Mistake([0.0, 0.0], "At 1000 the slope is 1: there softplus is x itself."),
        ],
    )


@operation.case(
    "one node",
    points=1,
    adapter="softplus_graph",
    inputs=lambda rng: {"x": round(float(rng.uniform(-2, 2)), 3)},
    crashes=_NOT_A_VALUE,
)
def _(given, got):
    hint = (
        "You put softplus together from other operations; compute the number with math and make "
        "one Value of it."
    )
    if got["operands"] == 0:
        hint = "Your node has no operands: give (x,) after the number."
    elif got["leaves"] and got["is x"]:
        hint = "The operands should be x alone: (x,)."
    elif got["leaves"]:
        hint = "The operand is a new Value; it must be x itself, for there the gradient goes."
    expect_that(
        got["operands"] == 1 and got["is x"] is True,
        "expected a node whose only operand is x",
        hint,
    )
    expect("its data", got["data"], math.log1p(math.exp(given["x"])))


# --- 1.3 ----------------------------------------------------------------------------------------

order = Exercise(
    number="1.3",
    title="A topological order without recursion",
    difficulty=3,
    minutes=40,
    practises="keeping your own stack",
    answers=("operands_first",),
    summary=(
        "List the numbers of a graph so that operands come before what is made from them. Your "
        "function must not call itself, since Python's stack ends at about a thousand calls."
    ),
    statement="""
`operands_first(operands: dict[str, list[str]], root: str) -> list[str]`

`operands` says for each number, by name, from which numbers it was made; for a leaf the list is
empty. Return the names of `root` and of everything it was made from, **each once, and each after
all of its operands**. The root comes last. Several orders may be right. The function must not call
itself (raising Python's limit doesn't count), for a graph may be many thousand operations deep.

```python
graph = {"a": [], "b": ["a", "a"], "c": ["b", "a"], "other": []}
operands_first(graph, "c")      # ['a', 'b', 'c']
```
""",
    hints=(
        "Keep a list of names still to be done, and look at its last one. When may it be listed?",
        "A name is met twice: the first time, put its operands on top of it; when it is on top "
        "again, they are all listed, and so may it be.",
        "While the stack isn't empty, look at its last name. If it is new, note it as seen and "
        "push those of its operands that are not seen yet. Otherwise take it off, and list it if "
        "it isn't listed.",
    ),
)


def _order_crashes(too_many: str) -> dict[str, str]:
    return {
        **_call('"1.3"', "operands_first"),
        "RecursionError": "Your function calls itself once for each level, and a higher limit only "
        "moves the end. Keep a list as your own stack instead.",
        "looked up over a hundred times": too_many,
        "'str' object has no attribute 'operands'": "A name is text; its operands are "
        "operands[name].",
        "returned a set": "A set has no order; return a list.",
    }


_ENDLESS = _order_crashes(
    "Your loop has no end, or nearly none: take a name off the stack once it is listed."
)
_EVERY_PATH = _order_crashes(
    "You walk every path, and their number doubles with each level. Remember what you have seen."
)
_EVERY_TIME = _order_crashes(
    "You go over the graph again and again, for each level once. Look at each name a few times "
    "in all: list its operands, then the name."
)


def _check_order(order: Any, operands: dict[str, list[str]], root: str) -> None:
    reached, todo = {root}, [root]
    while todo:
        for name in operands[todo.pop()]:
            if name not in reached:
                reached.add(name)
                todo.append(name)
    expect_that(order is not None, "expected a list of names, got None", NOTHING)
    expect_that(
        isinstance(order, list) and all(isinstance(name, str) for name in order),
        f"expected a list of names, got {show(order)}",
    )
    listed = set(order)
    missing, alien = sorted(reached - listed), sorted(listed - reached)
    expect_that(not missing, f"missing: {_some(missing)}", _MISSING)
    expect_that(
        not alien,
        f"not asked for: {_some(alien)}",
        "You list all that is in the dict; start at the root and follow operands.",
    )
    twice = sorted({name for name, count in Counter(order).items() if count > 1})
    expect_that(
        not twice,
        f"listed more than once: {_some(twice)}",
        "A number that is used twice is listed twice; check whether it is listed already.",
    )
    if _is_sorted(order, operands):
        return
    hint = "List a name when all of its operands are listed, not when you first meet it."
    if _is_sorted(order[::-1], operands):
        hint = "Your order begins with the root; turn it round: operands come first."
    elif order == _by_level(operands, root):
        hint = (
            "You list level by level from the root. A number may be an operand of something near "
            "the root and of something deep below, so levels are no order."
        )
    place = {name: i for i, name in enumerate(order)}
    late = next((v, u) for v in order for u in operands[v] if place[u] > place[v])
    raise Wrong(f"{late[0]} is listed before its operand {late[1]}", hint)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


_MISSING = "Follow the operands of every name that you meet, down to the leaves; list the root too."


def _is_sorted(order: list[str], operands: dict[str, list[str]]) -> bool:
    place = {name: i for i, name in enumerate(order)}
    return all(place[u] < place[v] for v in order for u in operands[v])


def _by_level(operands: dict[str, list[str]], root: str) -> list[str]:
    """Breadth first from the root, turned round: what many write first."""
    seen, queue, order = {root}, deque([root]), []
    while queue:
        name = queue.popleft()
        order.append(name)
        for operand in operands[name]:
            if operand not in seen:
                seen.add(operand)
                queue.append(operand)
    return order[::-1]


def _random_graph(rng: np.random.Generator) -> dict[str, Any]:
    """Eleven numbers under random names, made from one to three earlier ones; not all are used."""
    names = [f"n{i}" for i in rng.permutation(11)]
    operands: dict[str, list[str]] = {names[0]: [], names[1]: []}
    for i, name in enumerate(names[2:], 2):
        operands[name] = [names[k] for k in rng.integers(0, i, int(rng.integers(1, 4)))]
    shuffled = {name: operands[name] for name in rng.permutation(names).tolist()}
    return {"operands": shuffled, "root": names[10]}


@order.case(
    "the graph above",
    adapter="order_of_a_graph",
    inputs={
        "operands": {"a": [], "b": ["a", "a"], "c": ["b", "a"], "other": []},
        "root": "c",
    },
    crashes=_ENDLESS,
)
def _(given, got):
    _check_order(got["order"], given["operands"], given["root"])


def _near_and_deep(rng: np.random.Generator) -> dict[str, Any]:
    u, w, x, y, z = rng.permutation([*"pqrstuvwxyz"])[:5].tolist()
    # x on both sides of y, so that neither first nor last come first goes well by luck.
    return {"operands": {z: [x, y, x], y: [w], w: [x], x: [u], u: []}, "root": z}


@order.case(
    "an operand near the root and deep below",
    adapter="order_of_a_graph",
    inputs=_near_and_deep,
    crashes=_ENDLESS,
)
def _(given, got):
    _check_order(got["order"], given["operands"], given["root"])


@order.case(
    "a random graph",
    points=2,
    adapter="order_of_a_graph",
    inputs=_random_graph,
    crashes=_ENDLESS,
)
def _(given, got):
    _check_order(got["order"], given["operands"], given["root"])


def _check_chain(given: dict[str, Any], got: dict[str, Any]) -> None:
    names = [f"v{i}" for i in given["links"]]
    made_from = [[], *([name] * (2 if given["twice"] else 1) for name in names)]
    _check_order(got["order"], dict(zip(names, made_from, strict=False)), names[-1])


order.case(
    "30 doublings, one after the other",
    adapter="order_of_a_chain",
    inputs=lambda rng: {"links": rng.permutation(31), "twice": True},
    crashes=_EVERY_PATH,
)(_check_chain)


order.case(
    "5,000 operations deep",
    adapter="order_of_a_chain",
    inputs=lambda rng: {"links": rng.permutation(5001), "twice": False},
    crashes=_EVERY_TIME,
)(_check_chain)


# --- 1.4 ----------------------------------------------------------------------------------------

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
It must work for logits such as 1000, too.

`nll(logits: list[Value], label: int) -> Value`: the **n**egative **l**og-**l**ikelihood of the
right answer, whose place in the list is `label`: $-\\log p_{label}$. It is 0 when the right answer
has probability 1, and grows without end as that goes to 0.

```python
logits = [Value(0.0), Value(3.0), Value(-2.0), Value(1.0)]
loss = nll(logits, 3)
loss.backward()
loss.data                       # about 2.175502
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
    **_call('"1.4"', "softmax", "nll"),
    "returned None": NOTHING,
    "softmax returned a Value": "softmax returns a list: one probability for each logit.",
    "nll returned a (list|tuple)": "A loss is one Value: −log of the label's probability alone.",
    "returned a (float|int)|'float' object has no attribute": "You return plain numbers; compute "
    "with the Values themselves, not with their .data.",
    "OverflowError": _SHIFT,
    "ZeroDivisionError": "Every exponential has become 0: take away the largest logit, not a "
    "fixed number.",
    "not supported between": "Values don't compare: max(z.data for z in logits) is the largest.",
    "missing 1 required positional|takes 1 positional argument": "softmax takes logits, nll takes "
    'logits and a label, and check takes them in this order: check("1.4", softmax, nll).',
    "unsupported operand|must be real number, not Value": "math.exp and math.log take floats; a "
    "Value has methods, z.exp() and p.log().",
}


@likelihood.case(
    "probabilities",
    adapter="probabilities",
    inputs=lambda rng: {"logits": rng.normal(0, 2, 5).round(3).tolist()},
    crashes=_GRAPH_BROKEN,
)
def _(given, got):
    z = np.array(given["logits"])
    sums = "The numbers don't add up to 1: divide each by the sum of all."
    probs = array("softmax(logits)", got["probs"])
    expect(
        "softmax(logits)",
        probs,
        softmax(z),
        mistakes=[
            Mistake(z / z.sum(), "You divide the logits themselves; take exp of each first."),
            Mistake(
                1 / (1 + np.exp(-z)),
                "That is a sigmoid of each score alone; in a softmax all scores share one sum.",
            ),
            Mistake(np.exp2(z) / np.exp2(z).sum(), "Those are powers of 2; take z.exp()."),
        ],
        hint=sums if abs(probs.sum() - 1) > 1e-6 else None,
    )


@likelihood.case(
    "logits of 1000",
    adapter="probabilities",
    inputs=lambda rng: {"logits": (1000 + rng.normal(0, 1.5, 3)).round(3).tolist()},
    crashes=_GRAPH_BROKEN,
)
def _(given, got):
    want = softmax(np.array(given["logits"]))
    bad = [np.full(3, 1 / 3), np.full(3, math.nan)]
    expect("softmax(logits)", got["probs"], want, mistakes=[Mistake(b, _SHIFT) for b in bad])


def _check_loss(given: dict[str, Any], got: dict[str, Any]) -> None:
    z, label = np.array(given["logits"]), given["label"]
    p = softmax(z)
    right = np.arange(len(z)) == label
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
            Mistake(
                -np.log(p.max()),
                "You take the largest probability; the loss looks at the label's.",
            ),
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
            Mistake(
                np.zeros_like(p),
                "No gradient reaches the logits: a .data or a new Value(…) has cut the graph.",
            ),
            Mistake(
                -1.0 * right,
                "Only the label's logit gets a gradient: the sum below the fraction is made of "
                ".data, and so it is missing from the graph.",
            ),
            Mistake(2 * (p - right), "Twice too large: nll must not call backward() itself."),
        ],
    )


likelihood.case(
    "the loss above and its gradients",
    adapter="loss_and_gradients",
    inputs={"logits": [0.0, 3.0, -2.0, 1.0], "label": 3},
    crashes=_GRAPH_BROKEN,
)(_check_loss)


likelihood.case(
    "other logits",
    points=2,
    adapter="loss_and_gradients",
    inputs=lambda rng: {
        "logits": rng.normal(0, 2, 6).round(3).tolist(),
        "label": int(rng.integers(6)),
    },
    crashes=_GRAPH_BROKEN,
)(_check_loss)


# --- 1.5 ----------------------------------------------------------------------------------------

debugging = Exercise(
    number="1.5",
    title="A loop that learns nothing",
    difficulty=2,
    minutes=20,
    practises="reading a training loop line by line",
    answers=("train",),
    uses=("micrograd",),
    summary=(
        "A training loop runs without an error, and its loss never moves. Find out why, "
        "and when it moves, find out why it moves the wrong way."
    ),
    statement="""
`train(model: MLP, points: list[list[float]], labels: list[int], steps: int, rate: float)`
`-> list[float]`

It should train `model` in place by `steps` steps of gradient descent on the mean hinge loss, and
return the loss of each step, measured before the step's update. The model may come with gradients
that somebody else has left in it; they must not matter.

```python
points, labels = moons(20, random.Random(1))
train(MLP(2, [4, 1], rng=random.Random(1)), points, labels, steps=20, rate=0.1)
# twenty numbers that fall, not twenty equal ones
```
""",
    hints=(
        "Print p.grad of one parameter on the line before the update. What is it, and why?",
        "The order of a step is: loss, zero_grad, backward, update. And which way is downhill?",
        "Move model.zero_grad() in front of loss.backward(), and update with "
        "p.data -= rate * p.grad.",
    ),
)


def _reference(
    given: dict[str, Any], zero: str = "before", sign: float = -1.0, factor: float = 1.0
) -> tuple[list[float], list[float]]:
    """Losses and weights of the right loop, or of one that zeroes elsewhere or goes uphill.

    factor: by how much its loss is larger than the mean.
    """
    model = MLP(2, given["sizes"], rng=random.Random(0))
    for p, w in zip(model.parameters(), given["weights"], strict=True):
        p.data, p.grad = w, given["left_over"]
    losses = []
    for step in range(given["steps"]):
        pairs = zip(given["points"], given["labels"], strict=True)
        loss = factor * sum((1 - y * model(x)).relu() for x, y in pairs) / len(given["labels"])
        if zero == "once" and step == 0:
            model.zero_grad()
        if zero == "before":
            model.zero_grad()
        loss.backward()
        if zero == "after backward":
            model.zero_grad()
        for p in model.parameters():
            p.data += sign * given["rate"] * p.grad
        if zero == "at the end":
            model.zero_grad()
        losses.append(loss.data)
    return losses, [p.data for p in model.parameters()]


def _training_inputs(rng: np.random.Generator, left_over: float = 0.0) -> dict[str, Any]:
    points, labels = moons(8, random.Random(int(rng.integers(2**31))))
    return {
        "sizes": [4, 1],
        "weights": rng.uniform(-1, 1, 17).round(4).tolist(),
        "left_over": left_over,
        "points": points,
        "labels": labels,
        "steps": 4,
        "rate": 0.1,
    }


def _check_training(given: dict[str, Any], got: dict[str, Any]) -> None:
    expect_that(got["losses"] is not None, "expected a list of losses, got None", NOTHING)
    losses, weights = _reference(given)
    uphill = "The weights move uphill: the gradient points to a higher loss, so subtract it."
    every_step = (
        "Gradients add up over the steps: zero them in every step, before backward(), not once "
        "before the loop. (And zero_grad needs its parentheses.)"
    )
    wrong = {
        ("before", 1.0): uphill,
        ("never", -1.0): every_step,
        ("once", -1.0): every_step,
        ("never", 1.0): "Two faults: gradients add up over the steps, and the weights move uphill.",
        ("at the end", 1.0): uphill,
        ("at the end", -1.0): "You zero at the end of each step, so the first step uses what "
        "others left in the gradients; zero before backward().",
    }
    if given["left_over"] == 0.0:  # where nothing was left over, zeroing at the end is right
        del wrong["at the end", -1.0]
    runs = {how: _reference(given, *how) for how in wrong}
    points, one = len(given["labels"]), {**given, "rate": 1.0}
    longer = _reference({**given, "steps": given["steps"] + 1})[0]
    expect(
        "the losses",
        got["losses"],
        np.array(losses),
        tol=1e-9,
        mistakes=[
            Mistake([losses[0]] * len(losses), _standstill(given, got)),
            *(Mistake(run[0], wrong[how]) for how, run in runs.items()),
            Mistake([x * points for x in losses], "You return sums over points; take the mean."),
            Mistake(
                _reference(given, factor=points)[0],
                "You train on the sum over the points; divide by how many they are.",
            ),
            Mistake(_reference(one)[0], "You don't use the rate that you are given."),
            Mistake(longer[1:], "You measure after the update; note the loss before it."),
            Mistake(losses[1:], "The first loss is missing; note it before the update."),
            Mistake(losses[:-1], "A step is missing: train for as many as `steps` says."),
            Mistake(longer, "A step too many: train for as many as `steps` says."),
            Mistake([losses[0]], "Only one step is done: is the return inside the loop?"),
            Mistake([losses[-1]], "Only the last loss came back; return one for each step."),
            Mistake(losses[-1], "Only the last loss came back; return one for each step."),
        ],
        hint=_training_hint(got["losses"], losses),
    )
    expect(
        "the weights after training",
        got["weights"],
        np.array(weights),
        tol=1e-9,
        mistakes=[Mistake(run[1], wrong[how]) for how, run in runs.items()],
        hint="The losses are right and the weights are not: what happens in the last step?",
    )


def _standstill(given: dict[str, Any], got: dict[str, Any]) -> str:
    """Why the losses stay equal."""
    if got["weights"] != given["weights"]:
        return "The weights move and the loss does not: compute it inside the loop, in every step."
    if any(got["gradients"]):
        return (
            "The gradients are there and the weights don't move: change p.data. (`p = p − …` gives "
            "the name p another value, and the model keeps the old one.)"
        )
    return (
        "The weights don't move, for their gradients are zero: zero_grad() wipes the gradients "
        "after backward() has made them and before they are used, or backward() is missing."
    )


def _training_hint(got: Any, losses: list[float]) -> str:
    first = np.ravel(got)[:1]
    if isinstance(got, (list, np.ndarray)) and first.dtype.kind == "f" and first.size:
        if len(got) != len(losses):
            return "Return a list with one loss for each step."
        if abs(first[0] - losses[0]) > 1e-9:
            return (
                "The first loss is wrong already, before any update: it is the mean over all "
                "points of max(0, 1 − y·s), of the model that you are given, with nothing added."
            )
    return "Compare your loop line by line with a step: loss, zero_grad, backward, update."


_NO_NUMBERS = {
    **_call('"1.5"', "train"),
    "returned a (Value|MLP)": "Return a list of plain numbers: loss.data of each step.",
}


debugging.case(
    "a few steps of a small network",
    points=2,
    adapter="training",
    inputs=_training_inputs,
    crashes=_NO_NUMBERS,
)(_check_training)


debugging.case(
    "a model with gradients left in it",
    points=1,
    adapter="training",
    inputs=lambda rng: _training_inputs(rng, left_over=1.0),
    crashes=_NO_NUMBERS,
)(_check_training)


# --- 1.6 ----------------------------------------------------------------------------------------

separate = Exercise(
    number="1.6",
    title="Tell the moons apart",
    difficulty=3,
    minutes=40,
    practises="a whole training run, from the data to a model that works",
    answers=("train_on_moons",),
    uses=("micrograd",),
    takes=6,
    summary=(
        "Train a network of your own on two moons until every point is on its side. Then it meets "
        "points that it has not seen."
    ),
    statement="""
`train_on_moons(points: list[list[float]], labels: list[int]) -> Callable[[list[float]], Value]`

`points` are 100 pairs of numbers, `labels` are −1 or 1. Return a trained model, such as an `MLP`:
called with one point it returns a score, positive for label 1 and negative for label −1. Size,
loss, steps and learning rate are yours. Pass a `random.Random` with a seed to the `MLP`, so that a
good run stays good. The check takes two runs; stay under ten seconds each.

```python
points, labels = moons(100, random.Random(7), noise=0.05)
model = train_on_moons(points, labels)
sum((model(p).data > 0) == (y > 0) for p, y in zip(points, labels))     # 100
```
""",
    hints=(
        "The lecture's last pages hold every part that you need. Print the loss while it trains.",
        "One hidden layer of 16 neurons is enough. With the mean hinge loss, a learning rate "
        "between 0.5 and 1 and some hundred steps, all points find their side.",
        "Loop at most 400 times: margins = [y * model(p) for p, y in zip(points, labels)]; stop "
        "when the smallest is above 0.5; loss = sum((1 - m).relu() for m in margins) / "
        "len(margins); zero_grad, backward, p.data -= 1.0 * p.grad.",
    ),
)


def _moon_inputs(rng: np.random.Generator) -> dict[str, Any]:
    shared = random.Random(int(rng.integers(2**31)))
    points, labels = moons(100, shared, noise=0.05)
    fresh, _ = moons(200, shared, noise=0.05)
    shared.shuffle(fresh)  # in turn, the places would tell the labels
    return {"points": points, "labels": labels, "fresh": fresh}


def _label(point: list[float]) -> int:
    """The moon that a point with little noise belongs to. The answer never sees these labels."""
    x, y = point
    upper = math.hypot(x - math.cos(a := math.atan2(max(y, 0.0), x)), y - math.sin(a))
    x, y = 1.0 - x, 0.5 - y
    lower = math.hypot(x - math.cos(a := math.atan2(max(y, 0.0), x)), y - math.sin(a))
    return -1 if upper < lower else 1


def _right(scores: np.ndarray, labels: list[int]) -> float:
    return float(np.mean((scores > 0) == (np.array(labels) > 0)))


def _moon_hint(given: dict[str, Any], got: dict[str, Any], right: float) -> str:
    points = array("the scores", got["points"], (len(given["points"]),))
    fresh = array("the scores", got["fresh"], (len(given["fresh"]),))[: len(points)]
    middles = array("the scores", got["middles"], points.shape)
    if np.ptp(points) < 1e-9:
        return (
            "The score is the same everywhere: is the network dead or untrained? A learning rate "
            "that is too large kills every ReLU."
        )
    if np.allclose(middles, (points + fresh) / 2, atol=1e-6):
        return (
            "Your score is a straight line's, and no straight line separates the moons; the "
            "network needs a hidden layer with ReLU or tanh."
        )
    if points.min() >= 0 and points.max() <= 1:
        return (
            "Every score is between 0 and 1, like a probability; the side is told by the sign, so "
            "return the score before the sigmoid, or take 0.5 off."
        )
    if right == 1.0:
        return (
            "All points that it was trained on are right and new ones are not, so they were "
            "learned by heart: return a model that computes its score from any point."
        )
    if right < 0.2:
        return "The sides are swapped: the score has to be positive for label 1, so y·s is good."
    if right >= 0.95:
        return "Nearly: train for more steps, or with a larger hidden layer."
    how = "No better than luck." if right < 0.65 else "Better than luck, and not there yet."
    return (
        f"{how} Does the loss fall? Zero the gradients before each backward "
        "pass, step downhill, and give it a few hundred steps."
    )


def _check_moons(given: dict[str, Any], got: dict[str, Any], on: str, enough: float) -> None:
    labels = given["labels"] if on == "points" else [_label(p) for p in given["fresh"]]
    scores = array("the scores", got[on], (len(labels),))
    right = _right(scores, labels)
    expect_that(
        right >= enough,
        f"{right:.1%} of the points are on their side, expected {enough:.0%}",
        _moon_hint(given, got, _right(np.array(got["points"]), given["labels"])),
    )


_NO_MODEL = {
    "'NoneType' object is not callable": "Your function returns nothing; return the model.",
    "object is not callable": "Return something that can be called with a point, such as the MLP.",
    "model returned None": "Your model returns nothing for a point; return the score.",
    "model returned a (list|tuple)|'list' object has no attribute 'data'": "One score for each "
    "point: let the network end in one neuron, as MLP(2, [16, 1]) does.",
    "KeyError": "Your model knows only points it was trained on; compute a score from any point.",
}


@separate.case(
    "every one of the 100 points",
    points=3,
    adapter="scores_on_moons",
    inputs=_moon_inputs,
    crashes=_NO_MODEL,
)
def _(given, got):
    _check_moons(given, got, "points", 1.0)


@separate.case(
    "200 points that it has not seen",
    points=1,
    adapter="scores_on_moons",
    inputs=_moon_inputs,
    crashes=_NO_MODEL,
)
def _(given, got):
    _check_moons(given, got, "fresh", 0.9)


EXERCISES = (numerical, operation, order, likelihood, debugging, separate)
