"""1.3 · A topological order without recursion: keeping your own stack."""

from collections import Counter, deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from zerotohero.course.checks.micrograd.shared import call_hint
from zerotohero.course.exercise import (
    NOTHING,
    Exercise,
    Wrong,
    expect_that,
    show,
)
from zerotohero.course.to_look_at import THREADS

order = Exercise(
    number="1.3",
    title="A topological order without recursion",
    difficulty=3,
    minutes=40,
    practises="keeping your own stack",
    answers=("operands_first",),
    without=("threads",),
    look_for=(*THREADS, "greenlet", "sys.monitoring", "setrecursionlimit"),
    summary=(
        "List the numbers of a graph so that operands come before what is made from them. Your "
        "function must not call itself, since Python's stack ends at about a thousand calls."
    ),
    statement="""
`operands_first(operands: dict[str, list[str]], root: str) -> list[str]`

`operands` says for each number, by name, from which numbers it was made; for a leaf the list is
empty. Return the names of `root` and of everything it was made from, **each once, and each after
all of its operands**. The root comes last. Several orders may be right. The function must not call
itself (raising Python's limit doesn't count), as a graph may be many thousand operations deep;
for the same reason it looks up each name a few times at most, and not once for each level.

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


DEEP = 5000  # operations, one on top of the other


def _order_crashes(too_many: str) -> dict[str, str]:
    return {
        **call_hint('"1.3"', "operands_first"),
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
    "You go over the graph again and again, for each level once, or whenever a longer way leads to "
    "a name. Look at each name a few times in all: list its operands, then the name."
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
    hint: str | None = "A name may be listed when all of its operands are."
    if order in _when_met(operands, root):
        hint = None  # a sorting by the distance to the root may give the same
        if not _nears_the_root(order, operands, root):
            hint = "List a name when all of its operands are listed, not when you first meet it."
    elif order[0] == root and _is_sorted(order[::-1], operands):
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


_KEPT = (
    "The first call was right, and a later one isn't: something is kept from call to call, such as "
    "a default argument (`seen=set()` is made once, with the function). Make it inside."
)


_THE_ROOT = "The list of the first call came again: begin at the `root` that you are given."


def _is_sorted(order: list[str], operands: dict[str, list[str]]) -> bool:
    place = {name: i for i, name in enumerate(order)}
    return all(place[u] < place[v] for v in order for u in operands[v])


def _by_level(operands: dict[str, list[str]], root: str) -> list[str]:
    """Return the names breadth first from the root, turned round: what many write first."""
    seen, queue, order = {root}, deque([root]), []
    while queue:
        name = queue.popleft()
        order.append(name)
        for operand in operands[name]:
            if operand not in seen:
                seen.add(operand)
                queue.append(operand)
    return order[::-1]


def _nears_the_root(order: list[str], operands: dict[str, list[str]], root: str) -> bool:
    """Return whether no name is followed by one that is further from the root."""
    away = {root: 0}
    for name in _by_level(operands, root)[::-1]:
        away |= {o: away[name] + 1 for o in operands[name] if o not in away}
    return all(away[u] >= away[v] for u, v in pairwise(order))


def _when_met(operands: dict[str, list[str]], root: str) -> list[list[str]]:
    """Return the orders in which a walk into the depth meets the names, turned round."""
    orders = []
    for turn in (1, -1):
        met, stack = {}, [root]
        while stack:
            name = stack.pop()
            if name not in met:
                met[name] = True
                stack += operands[name][::turn]
        orders.append([*met][::-1])
    return orders


def _misleads(operands: dict[str, list[str]], root: str) -> bool:
    """Return whether no order that needs no thought is right by luck."""
    names = [*_when_met(operands, root), _by_level(operands, root)]
    names += [[n for n in some if n in names[0]] for some in (operands, sorted(operands))]
    parts = (
        _by_level({name: made[part] for name, made in operands.items()}, root)
        for part in (slice(1), slice(2), slice(-2, None))
    )
    reached = names[0]
    return (
        all(len(part) < len(reached) for part in parts)
        and len(reached) < len(operands)
        and any(len(set(operands[name])) < len(operands[name]) for name in reached)
        and not any(_is_sorted(order[::turn], operands) for order in names for turn in (1, -1))
    )


def _random_graph(rng: np.random.Generator) -> dict[str, Any]:
    """Return a graph that misleads."""
    while not _misleads(**(graph := _any_graph(rng))):
        pass
    return graph


def _any_graph(rng: np.random.Generator) -> dict[str, Any]:
    """Return eleven randomly named numbers, each made from one to three; some are unused."""
    names = [f"n{i}" for i in rng.permutation(11)]
    operands: dict[str, list[str]] = {names[0]: [], names[1]: []}
    for i, name in enumerate(names[2:], 2):
        operands[name] = [names[k] for k in rng.integers(0, i, int(rng.integers(1, 4)))]
    shuffled = {name: operands[name] for name in rng.permutation(names).tolist()}
    return {"operands": shuffled, "root": names[10]}


def _graph_above(rng: np.random.Generator) -> dict[str, Any]:
    # The order of the alphabet must not be right by luck.
    b, c, a, other = sorted(rng.permutation([*"pqrstuvwxyz"])[:4].tolist())
    graph = {a: [], b: [a, a], c: [b, a], other: []}
    order = [b, *rng.permutation([a, other]).tolist(), c]
    return {"operands": {name: graph[name] for name in order}, "roots": [c, other, c]}


@order.case(
    "the graph above, by other names, and a leaf alone",
    adapter="orders_of_a_graph",
    inputs=_graph_above,
    crashes=_ENDLESS,
)
def orders_in_the_graph_above(given, got):
    for i, (root, listed) in enumerate(zip(given["roots"], got["orders"], strict=True)):
        try:
            _check_order(listed, given["operands"], root)
        except Wrong as wrong:
            earlier = [name for order in got["orders"][:i] for name in order]
            if i == 1 and listed == earlier:
                raise Wrong(f"asked for {root} next: {wrong.message}", _THE_ROOT) from None
            if i == 2:
                raise Wrong(f"asked the same once more: {wrong.message}", _KEPT) from None
            if earlier and isinstance(listed, list) and listed[: len(earlier)] == earlier:
                raise Wrong(f"asked for {root} next: {wrong.message}", _KEPT) from None
            raise


def _near_and_deep(rng: np.random.Generator) -> dict[str, Any]:
    u, w, x, y, z = rng.permutation([*"pqrstuvwxyz"])[:5].tolist()
    # x on both sides of y, so that neither first nor last come first goes well by luck.
    # The order of the dict goes neither up nor down.
    return {"operands": {x: [u], z: [x, y, x], u: [], y: [w], w: [x]}, "root": z}


def order_of_a_given_graph(given: dict[str, Any], got: dict[str, Any]) -> None:
    _check_order(got["order"], given["operands"], given["root"])


order.case(
    "an operand near the root and deep below",
    adapter="order_of_a_graph",
    inputs=_near_and_deep,
    crashes=_ENDLESS,
)(order_of_a_given_graph)


order.case(
    "a random graph",
    points=2,
    adapter="order_of_a_graph",
    inputs=_random_graph,
    crashes=_ENDLESS,
)(order_of_a_given_graph)


def _chain(
    rng: np.random.Generator, depth: int, made_from: Callable[[int], list[int]]
) -> dict[str, Any]:
    """Return numbers in a chain, whose names stand in the dict in an order that says nothing.

    made_from: from the place in the chain to those of the operands.
    """
    names = [f"v{i}" for i in rng.permutation(depth + 1)]
    made = {name: [names[k] for k in made_from(i)] for i, name in enumerate(names)}
    return {"operands": {f"v{i}": made[f"v{i}"] for i in range(len(names))}, "root": names[-1]}


def _doubled(i: int) -> list[int]:
    return [i - 1, i - 1][: 2 * i]


def _with_a_way_round(i: int) -> list[int]:
    """From the two before it. They change places above one from which all ways go on: whether a
    walk finds long ways after short ones is a matter of their order.
    """
    half = DEEP // 2
    before = [k for k in (i - 2, i - 1) if k >= (half if i > half else 0)]
    return before[::-1] if i > half else before


order.case(
    "30 doublings, one after the other",
    adapter="order_of_a_graph",
    inputs=lambda rng: _chain(rng, 30, _doubled),
    crashes=_EVERY_PATH,
)(order_of_a_given_graph)


order.case(
    "5,000 operations deep",
    adapter="order_of_a_graph",
    inputs=lambda rng: _chain(rng, DEEP, _with_a_way_round),
    crashes=_EVERY_TIME,
)(order_of_a_given_graph)
