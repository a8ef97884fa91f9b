"""How the answers of lecture 01's exercises are called."""

import math
import random
import sys
import threading
from contextlib import contextmanager

from zerotohero.course.adapters.shared import what_came


# The library is imported where it is used: an exercise that may not use it is graded without it.
def _values(numbers):
    from zerotohero.micrograd import Value

    return [Value(x) for x in numbers]


def _need(kind, name, out, good):
    """Return `out` if it is good, else raise an error that says what it is."""
    if good:
        return out
    what = "None" if out is None else what_came(out)
    raise TypeError(f"{name} returned {what}, where {kind} is needed")


def _value(name, out):
    return _need("a Value", name, out, hasattr(out, "backward"))


def _grad(x):
    if hasattr(x.grad, "backward"):
        raise TypeError("the gradient of x has become a Value, where a float is needed")
    return x.grad


# --- 1.1 ----------------------------------------------------------------------------------------


def gradients_of_the_lecture(numerical_gradient, places, steep):
    def f(a, b, c):
        return -(a**3) + math.sin(3 * b) - 1.0 / c + b**2.5 - a**0.5

    def sum_of_cubes(a, b, c):
        return steep * (a**3 + b**3 + c**3)

    return {
        "gradients": [numerical_gradient(f, *at) for at in places],
        "at zero": numerical_gradient(sum_of_cubes, 0.0, 0.0, 0.0),
    }


def gradient_of_a_cubic(numerical_gradient, at, k, h):
    nudge = 0.0  # the longest

    def f(a, b, c):
        nonlocal nudge
        nudge = max(nudge, *(abs(x - y) for x, y in zip((a, b, c), at, strict=True)))
        return k[0] * a**3 + k[1] * a * b**3 + k[2] * b * c + k[3] * c**3

    return {"gradient": numerical_gradient(f, *at, h=h), "nudge": nudge}


# --- 1.2 ----------------------------------------------------------------------------------------


def softplus_alone(softplus, xs):
    outs, inputs, linked = [], _values(xs), True
    for x in inputs:
        out = _value(f"softplus(Value({x.data}))", softplus(x))
        outs.append(out.data)
        linked = linked and any(v is x for v in out.operands)
        out.backward()
    return {"data": outs, "grad": [_grad(x) for x in inputs], "linked": linked}


def softplus_in_a_formula(softplus, x, before):
    (x,) = _values([x])
    x.grad = before
    out = _value("softplus", softplus(x)) * _value("softplus", softplus(x)) + x
    out.backward()
    return {"data": out.data, "grad": _grad(x)}


def softplus_graphs(softplus, xs):
    nodes = []
    for x in _values(xs):
        out = _value("softplus", softplus(x))
        operands = out.operands
        nodes.append(
            {
                "data": out.data,
                "itself": out is x,
                "operands": len(operands),
                "is x": any(v is x for v in operands),
                "values": all(hasattr(v, "operands") for v in operands),
                "leaves": all(not getattr(v, "operands", ()) for v in operands),
            }
        )
    return {"nodes": nodes}


# --- 1.3 ----------------------------------------------------------------------------------------


def _counted(names):
    """Return a kind of text that stops whoever looks it up for ever, in whatever they copied."""
    left = 100 * names + 100

    class Counted(str):
        __slots__ = ()

        def __hash__(self):  # what dicts and sets ask a name for
            nonlocal left
            left -= 1
            if left < 0:
                raise RuntimeError(FOR_EVER)
            return str.__hash__(self)

    Counted.__name__ = "str"  # which errors name
    return Counted


FOR_EVER = "looked up over a hundred times as often as there are numbers"


@contextmanager
def _shallow(limit):
    """Refuse calls more than `limit` deep, whatever limit of recursion the code inside sets."""
    outside, deepest = sys._getframe(2), 0

    def watch(frame, event, arg):  # of calls alone: a trace that returns None sees no lines
        nonlocal deepest
        depth = 0
        while frame is not None and frame is not outside:
            frame, depth = frame.f_back, depth + 1
        deepest = max(deepest, depth)
        if depth > limit:
            raise RecursionError(f"over {limit} calls inside each other")

    before, before_in_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(watch)
    threading.settrace(watch)
    try:
        yield
        # Python takes a watch away that has raised, so that is no sign of it when it is gone.
        if sys.gettrace() is not watch and deepest <= limit:
            raise RecursionError("the count of calls inside each other was switched off")
    finally:
        sys.settrace(before)
        threading.settrace(before_in_threads)
    if deepest > limit:  # it was caught inside, or happened in a thread
        raise RecursionError(f"over {limit} calls inside each other")


def order_of_a_graph(operands_first, operands, root):
    name = _counted(len(operands))
    names = {made: name(made) for made in operands}
    graph = {names[made]: [names[n] for n in operands[made]] for made in operands}
    with _shallow(500):
        order = operands_first(graph, name(root))
        # Generators and the like will do; a set has no order, and text is no list of names.
        if hasattr(order, "__iter__") and not isinstance(order, (str, set, frozenset)):
            order = [str(n) if isinstance(n, str) else n for n in order]
    return {"order": order}


def orders_of_a_graph(operands_first, operands, roots):
    return {"orders": [order_of_a_graph(operands_first, operands, root)["order"] for root in roots]}


# --- 1.4 ----------------------------------------------------------------------------------------


def _softmax(softmax, logits):
    found = softmax(logits)
    _need("a list of Values", "softmax", found, hasattr(found, "__iter__"))
    if not (probs := [_value("softmax", p) for p in found]):
        raise TypeError("softmax returned nothing in its list, where probabilities are needed")
    return probs


def _logits(numbers, before):
    """Return Values with that much in their gradients, and a list of them to give away."""
    zs = _values(numbers)
    for z in zs:
        z.grad = before
    return zs, list(zs)


def _kept(zs, given):
    return len(zs) == len(given) and all(a is b for a, b in zip(zs, given, strict=True))


def probabilities(softmax, nll, logits, weights, before):
    """Return the probabilities, and the gradients of their weighted sum."""
    zs, mine = _logits(logits, before)
    probs = _softmax(softmax, mine)
    mixed = sum(p * w for p, w in zip(probs, weights, strict=False))
    _value("softmax", mixed).backward()
    grads = [_grad(z) - before for z in zs]
    return {"probs": [p.data for p in probs], "grads": grads, "kept": _kept(zs, mine)}


def large_logits(softmax, nll, sets, label):
    """Return the probabilities of each set, and the losses of all but the last."""
    probs = [[p.data for p in _softmax(softmax, _values(logits))] for logits in sets]
    losses = [_value("nll", nll(_values(logits), label)).data for logits in sets[:-1]]
    return {"probs": probs, "losses": losses}


def few_logits(softmax, nll, sets, labels):
    found = {"probs": [], "losses": [], "grads": [], "mixed": []}
    for logits, label in zip(sets, labels, strict=True):
        one = loss_and_gradients(softmax, nll, logits, label, 0.0)
        all_of_them = probabilities(softmax, nll, logits, range(1, len(logits) + 1), 0.0)
        found["probs"].append(all_of_them["probs"])
        found["losses"].append(one["loss"])
        found["grads"].append(one["grads"])
        found["mixed"].append(all_of_them["grads"])
    return found


def loss_and_gradients(softmax, nll, logits, label, before):
    zs, mine = _logits(logits, before)
    loss = _value("nll", nll(mine, label))
    loss.backward()
    return {"loss": loss.data, "grads": [z.grad - before for z in zs], "kept": _kept(zs, mine)}


# --- 1.5 ----------------------------------------------------------------------------------------


def training(train, sizes, weights, left_over, points, labels, steps, rate):
    from zerotohero.micrograd import MLP

    model = MLP(2, sizes, rng=random.Random(0))
    for p, w in zip(model.parameters(), weights, strict=True):
        p.data, p.grad = w, left_over
    losses = train(model, points, labels, steps, rate)
    return {
        "losses": losses,
        "weights": [p.data for p in model.parameters()],
        "gradients": [p.grad for p in model.parameters()],
    }


# --- 1.6 ----------------------------------------------------------------------------------------


def scores_on_moons(train_on_moons, points, labels, fresh):
    # Copies: an answer that moves its points is judged by those that it was given.
    model = train_on_moons([list(p) for p in points], list(labels))

    def score(point):
        s = model(list(point))
        _need("one score", "the model", s, not isinstance(s, (list, tuple, str, type(None))))
        return float(s.data if hasattr(s, "grad") else s)  # NumPy's floats have a .data, too

    middles = [[(a + c) / 2, (b + d) / 2] for (a, b), (c, d) in zip(points, fresh, strict=False)]
    return {
        "points": [score(p) for p in points],
        "fresh": [score(p) for p in fresh],
        "middles": [score(p) for p in middles],
    }
