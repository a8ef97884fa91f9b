"""The exercises of lecture 06: fusing, a bug in the statistics, convolutions, 1.993, the paper.

The reference answers are plain NumPy in float64. Exercise 6.4 takes a trained model: its adapter
runs the model on windows, and the verdict holds the characters that follow them.
"""

import math
from functools import cache
from itertools import pairwise

import numpy as np

from zerotohero.course.checks.names import STOI, V, all_names
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    Wrong,
    array,
    expect,
    expect_that,
)

# --- 6.1 ----------------------------------------------------------------------------------------

fuse = Exercise(
    number="6.1",
    title="Fuse neighbours",
    difficulty=2,
    minutes=20,
    practises="reshaping without mixing what belongs to different examples",
    answers=("flatten_consecutive",),
    summary=(
        "Put each n neighbouring vectors of a context side by side, as the tree does. "
        "Refuse a length that n doesn't divide, with a sentence that helps."
    ),
    statement="""
`flatten_consecutive(x: Tensor, n: int) -> Tensor`

`x` has the shape (B, T, C): B examples, each with T vectors of C numbers. Return a tensor of shape
(B, T/n, n · C), in which vectors 0 to n − 1 of an example stand side by side in the first row, the
next n in the second, and so on, each group in the order in which it came. If only **one** row is
left (T = n), its axis goes too: return (B, n · C). Whatever B is, the batch axis stays.

If T is not a multiple of n, raise `ValueError` with one sentence for the person who reads it, and
with T and n in it.

```python
x = torch.arange(8).view(1, 4, 2)    # the vectors [0, 1], [2, 3], [4, 5], [6, 7]
flatten_consecutive(x, 2).tolist()   # [[[0, 1, 2, 3], [4, 5, 6, 7]]], of shape (1, 2, 4)
flatten_consecutive(x, 4).tolist()   # [[0, 1, 2, 3, 4, 5, 6, 7]], of shape (1, 8)
flatten_consecutive(x, 3)            # ValueError
```
""",
    hints=(
        "In memory, the numbers of an example already lie in reading order. What has to change "
        "is only where one row ends and the next begins.",
        "`view` or `reshape` to (B, T // n, n * C) never crosses from one example into another. "
        "The axis of length 1 to remove is axis 1, and only that one.",
        "`B, T, C = x.shape`; `if T % n: raise ValueError(f'{T} positions …')`; "
        "`x = x.reshape(B, T // n, n * C)`; `return x.squeeze(1) if x.shape[1] == 1 else x`.",
    ),
)


def _fused(x: np.ndarray, n: int) -> np.ndarray:
    B, T, C = x.shape
    rows = x.reshape(B, T // n, n * C)
    return rows[:, 0] if rows.shape[1] == 1 else rows


def _fused_wrongly(x: np.ndarray, n: int) -> list[Mistake]:
    B, T, C = x.shape
    m = T // n
    groups, shape = x.reshape(B, m, n, C), (B, m, n * C)
    wrong = [
        (x, "x came back as it was: nothing has been fused yet."),
        (x.reshape(B, n, m, C).swapaxes(1, 2).reshape(shape), "The vectors that stand side by "
         "side aren't neighbours: vector 0 belongs with vector 1, not with one half-way on."),
        (groups[:, :, ::-1].reshape(shape), "Within a group the later vector stands first: keep "
         "the order in which they came."),
        (groups.swapaxes(2, 3).reshape(shape), "The vectors of a group are interleaved number by "
         "number: put one whole vector after the other."),
        (x.swapaxes(0, 1).reshape(shape), "Numbers of different examples stand in one row: the "
         "batch axis must stay where it is, so don't transpose before you reshape."),
        (x.reshape(m, B, n * C).swapaxes(0, 1), "Numbers of different examples are mixed: keep B "
         "in front."),
        (x.reshape(m, B, n * C), "The first two axes are exchanged, so that rows hold other "
         "examples' numbers: the shape is (B, T // n, n * C), the batch first."),
        (x.reshape(B, -1), "Everything of an example stands in one row: that is `Flatten`, which "
         "fuses the whole context at once. Only n vectors at a time belong together."),
        (groups.sum(2), "The vectors of a group are added up: side by side, none of their numbers "
         "is lost."),
        (groups.mean(2), "The vectors of a group are averaged: side by side, none of their numbers "
         "is lost."),
        (np.stack([x[:, i : i + n].reshape(B, -1) for i in range(T - n + 1)], 1), "The groups "
         "overlap: each vector belongs to one group, so the next begins n further on."),
    ]  # fmt: skip
    if B % n == 0:
        wrong.append((x.reshape(B // n, T, n * C), "Vectors were fused along the batch: there are "
                      "fewer examples than before. Divide T by n, not B."))  # fmt: skip
    if T % 2 == 0 and n != 2:
        wrong.append((x.reshape(B, T // 2, 2 * C), "Pairs are fused whatever n is: n vectors "
                      "belong in a row."))  # fmt: skip
    if 1 < m != n:
        wrong.append((x.reshape(B, n, m * C), "There are n rows left: n is how many vectors go "
                      "into a row, not how many rows come out."))  # fmt: skip
    return [Mistake(value, hint) for value, hint in wrong]


SHAPE_CRASHES = {
    "invalid for input of size|shape '.*' is invalid": "The number of entries changes: B · T · C "
    "must be the same before and after, as it is in (B, T // n, n * C).",
    "not compatible|use .reshape": "`view` needs numbers that lie in order in memory; after a "
    "transposition they don't. Is the transposition needed?",
}


def _vectors(rng: np.random.Generator, B: int, T: int) -> np.ndarray:
    return rng.normal(size=(B, T, int(rng.integers(3, 7))))


@fuse.case(
    "eight vectors, two at a time",
    points=2,
    adapter="fused",
    inputs=lambda rng: {"x": _vectors(rng, int(rng.choice([6, 10])), 8), "n": 2},
    crashes=SHAPE_CRASHES,
)
def _(given, got):
    x, n = given["x"], given["n"]
    expect("flatten_consecutive(x, 2)", got["y"], _fused(x, n), mistakes=_fused_wrongly(x, n))


@fuse.case(
    "three or five at a time",
    adapter="fused",
    inputs=lambda rng: {"x": _vectors(rng, 4, 30), "n": int(rng.choice([3, 5]))},
    crashes=SHAPE_CRASHES,
)
def _(given, got):
    x, n = given["x"], given["n"]
    expect(f"flatten_consecutive(x, {n})", got["y"], _fused(x, n), mistakes=_fused_wrongly(x, n))


@fuse.case(
    "one row is left",
    adapter="fused",
    inputs=lambda rng: {"x": _vectors(rng, int(rng.integers(3, 9)), n := 4), "n": n},
    crashes=SHAPE_CRASHES,
)
def _(given, got):
    x, n = given["x"], given["n"]
    want = _fused(x, n)
    kept = (
        "One row is left, and its axis of length 1 is still there: take it away with `squeeze(1)`, "
        "or the layers above meet three axes where they expect two."
    )
    expect("flatten_consecutive(x, 4)", got["y"], want,
           mistakes=[Mistake(want[:, None], kept), *_fused_wrongly(x, n)])  # fmt: skip


@fuse.case(
    "a batch of one example",
    adapter="fused_twice",
    inputs=lambda rng: {"x": _vectors(rng, 1, 4), "few": 2, "all": 4},
    crashes=SHAPE_CRASHES,
)
def _(given, got):
    x = given["x"]
    gone = (
        "The batch axis is gone because it happened to have length 1: `squeeze()` takes away "
        "every axis of length 1. Say which: `squeeze(1)`."
    )
    for name in ("few", "all"):
        want = _fused(x, given[name])
        expect(
            f"flatten_consecutive(x, {given[name]}) for x of shape {x.shape}",
            got[name],
            want,
            mistakes=[
                Mistake(np.squeeze(want), gone),
                Mistake(want[0], "You take row 0 of the batch axis: the axis to remove is axis 1, "
                        "and only when a single row is left."),
                Mistake(want[:, None], "The axis of length 1 is still there: where T = n, return "
                        "(B, n · C)."),
            ],
        )  # fmt: skip


def _no_multiple(rng: np.random.Generator) -> dict:
    n = int(rng.integers(2, 5))
    T = n * int(rng.integers(2, 6)) + int(rng.integers(1, n))
    return {"x": _vectors(rng, 3, T), "n": n}


@fuse.case("a length that n doesn't divide", adapter="refused", inputs=_no_multiple)
def _(given, got):
    x, n = given["x"], given["n"]
    B, T, C = x.shape
    want = f"flatten_consecutive(x, {n}) for {T} vectors: expected a ValueError"
    if got["error"] is None:
        padded = np.zeros((B, -(-T // n) * n, C))
        padded[:, :T] = x
        silent = [
            (_fused(x[:, : T // n * n], n), "The vectors at the end that make no whole group were "
             "dropped without a word: the newest characters are lost."),
            (_fused(padded, n), "The last group was filled with zeros without a word: to the layer "
             "above they look like data."),
        ]  # fmt: skip
        for value, hint in silent:
            if np.shape(got["y"]) == value.shape and np.allclose(got["y"], value):
                raise Wrong(f"{want}, got a result", hint)
        raise Wrong(f"{want}, got a result", "Test `T % n` first, and raise.")
    if got["error"] != "ValueError":
        raise Wrong(
            f"{want}, got {got['error']}: {str(got['message'])[:80]}",
            "Test `T % n` yourself and raise ValueError: torch's own complaint about an invalid "
            "shape comes later and doesn't say what to do, and an assertion can be switched off.",
        )
    words = str(got["message"]).split()
    numbers = {str(T), str(n)} <= {w.strip(".,:;()[]'\"!?-") for w in words}
    expect_that(
        len(words) >= 5 and numbers,
        f"the message: expected a sentence with {T} and {n} in it, got {got['message']!r:.100}",
        "Whoever reads the message hasn't your code before them: say how many positions came, and "
        "what they can't be divided into.",
    )


@fuse.case(
    "gradients flow back to x",
    adapter="fused_gradient",
    inputs=lambda rng: {"x": _vectors(rng, 3, 6), "n": 2, "upstream": float(rng.uniform(1, 9))},
    crashes={
        "require.? grad": "The result is cut off from x: stay with torch's operations; "
        "`torch.tensor`, `.data`, `.detach()` and NumPy make copies that know nothing of it.",
        **SHAPE_CRASHES,
    },
)
def _(given, got):
    expect("the shape", got["shape"], [*_fused(given["x"], given["n"]).shape])
    # The sum of c · y² has the gradient 2 · c · x, wherever the numbers stand.
    expect("the gradient of x", got["grad"], 2 * given["upstream"] * given["x"])


# --- 6.2 ----------------------------------------------------------------------------------------

bug = Exercise(
    number="6.2",
    title="A BatchNorm that is too good",
    difficulty=3,
    minutes=35,
    practises="finding a bug in recorded numbers, when no error is raised and nothing looks wrong",
    answers=("find_bug",),
    summary=(
        "A network has a BatchNorm layer that reduces over the wrong axes, or none has. "
        "Find it from the shapes and statistics that were recorded, and say what it reduces over."
    ),
    statement="""
`find_bug(records: list[dict]) -> tuple[int, tuple[int, ...]] | None`

Each record belongs to one BatchNorm layer, in the order of the network (number 0 first). It was
made by one batch in train mode, before any training: gamma is 1 and beta is 0. With `x` the layer's
input and `y` its output, it holds

- `record["shape"]`: the shape of `x`, (B, T, C) or (B, C), a tuple;
- `record["running_mean"]`: the *shape* of the layer's running mean, a tuple;
- `record["mean"]` and `record["var"]`: `y.mean(0)` and `y.var(0, correction=0)`, over the batch
  alone, so of shape (T, C) or (C,).

A sound layer reduces over all axes but the last: (0, 1) of three, (0,) of two. At most one layer is
broken. It reduces over other axes, always axis 0 among them: (0,), (0, 2) or (0, 1, 2) of three,
(0, 1) of two. Return its number and **the axes that it does reduce over**, in rising order, or
`None` if all layers are sound.

The shape of a running mean often gives the bug away, but not always: some of these layers keep
running statistics of the right shape whatever they normalise by.

```python
sound = {"shape": (3, 2, 2), "running_mean": (2,),
         "mean": torch.tensor([[-0.5, 0.2], [0.5, -0.2]]),
         "var": torch.tensor([[0.5, 0.9], [1.0, 1.02]])}
broken = {"shape": (3, 2, 2), "running_mean": (2,),
          "mean": torch.zeros(2, 2), "var": torch.ones(2, 2)}
find_bug([sound, broken])   # (1, (0,))
find_bug([sound, sound])    # None: over both positions, each channel has mean 0 and variance 1,
                            # 0.75 + 0.25 and 0.96 + 0.04
```

The statistics are those of real batches: `eps` leaves variances a little below 1, by less than
0.001. All that is wrong is wrong by more than 0.01 somewhere.
""",
    hints=(
        "What is true of `y` after a normalisation over axes A: which means are 0, which variances "
        "are 1? What of that is also true over more axes than A, and what over fewer?",
        "Try the sets of axes from the smallest to the largest, and take the first over which all "
        "means are 0 and all variances 1. Over several equally large groups, the mean is the mean "
        "of the means, and the variance is the mean of the variances plus the variance of the "
        "means.",
        "For three axes, the record's `mean` has the axes (T, C): over (0, 1) of y, the mean is "
        "`mean.mean(0)` and the variance `var.mean(0) + mean.var(0, correction=0)`; over (0, 2) "
        "take axis 1 instead, over (0, 1, 2) both, over (0,) neither. The first set, in the order "
        "(0,), (0, 1), (0, 2), (0, 1, 2), with all `abs() < 0.005` of 0 and 1 is the answer for "
        "that layer.",
    ),
)

SOUND = {3: (0, 1), 2: (0,)}
BROKEN = {3: [(0,), (0, 2), (0, 1, 2)], 2: [(0, 1)]}


def _record(
    rng: np.random.Generator, shape: tuple[int, ...], axes: tuple[int, ...], even: bool = False
) -> dict:
    """One batch through a layer that reduces over `axes`; its running mean as the code keeps it."""
    x = rng.normal(size=shape[1:]) + rng.uniform(0.5, 2.0, shape[1:]) * rng.normal(size=shape)
    if even:  # every position has mean 0, and variances still differ
        x -= x.mean(0)
    y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    kept = [n for i, n in enumerate(shape) if i not in axes]
    return {"shape": [*shape], "running_mean": kept, "mean": y.mean(0), "var": y.var(0)}


def _networks(rng: np.random.Generator, kinds: list[str], plant: int, telling: bool) -> dict:
    """Networks of every kind, shuffled: "sound", "even" (sound, and every position has
    mean 0), or the axis count of the layer that is broken.

    plant: how many of each kind. telling: whether the shapes of the running means are honest.
    """
    networks, answers = [], []
    for kind in rng.permutation(plant * kinds):
        # No C is a power of two, as the lengths are: a running mean's shape is then unmistakable.
        C, levels = int(rng.integers(5, 8)), int(rng.integers(2, 5))
        shapes = [(int(rng.integers(16, 33)), 2**level, C) for level in range(levels, 0, -1)]
        shapes = [(shapes[0][0], *shape[1:]) for shape in shapes] + [(shapes[0][0], C)]
        bug = None
        if kind not in ("sound", "even"):
            ndim = int(kind)
            at = int(rng.choice([i for i, shape in enumerate(shapes) if len(shape) == ndim]))
            bug = (at, BROKEN[ndim][rng.integers(len(BROKEN[ndim]))])
        records = []
        for i, shape in enumerate(shapes):
            axes = bug[1] if bug and bug[0] == i else SOUND[len(shape)]
            record = _record(rng, shape, axes, even=kind == "even")
            records.append(record if telling else record | {"running_mean": [C]})
        networks.append(records)
        answers.append(bug)
    return {"networks": networks, "_answers": answers}


def _axes_by_statistics(
    record: dict, order=None, exact: float = 0.005, variances: bool = True
) -> tuple[int, ...] | None:
    mean, var = record["mean"], record["var"]
    sets = [(0,), (0, 1), (0, 2), (0, 1, 2)] if mean.ndim == 2 else [(0,), (0, 1)]
    for axes in sets if order is None else sorted(sets, key=order):
        over = tuple(a - 1 for a in axes if a > 0)  # the batch axis is gone already
        m, v = mean.mean(over), var.mean(over) + mean.var(over)
        if not over:
            m, v = mean, var
        if np.abs(m).max() < exact and not (variances and np.abs(v - 1).max() >= exact):
            return axes
    return None


def _axes_by_shape(record: dict) -> tuple[int, ...] | None:
    """Which axes of the input the running mean lacks; None if it has the right shape."""
    shape, kept = record["shape"], list(record["running_mean"])
    ndim = len(shape)
    if kept == shape[-1:]:
        return SOUND[ndim]
    fitting = [a for a in BROKEN[ndim] if [n for i, n in enumerate(shape) if i not in a] == kept]
    return fitting[0] if fitting else None


def _search(networks: list, axes_of, sound=lambda ndim: SOUND[ndim]) -> list:
    """The first layer of each network whose axes aren't the sound ones, as [number, axes]."""
    found = []
    for records in networks:
        bugs = [(i, axes_of(r)) for i, r in enumerate(records)]
        bugs = [
            [i, list(a)] for i, a in bugs if a is not None and a != sound(len(records[i]["shape"]))
        ]
        found.append(bugs[0] if bugs else None)
    return found


def _wrong_searches(given: dict, answers: list) -> list[tuple[list, str]]:
    """What typical wrong searches find, with the hint for each."""
    networks = given["networks"]
    ndims = [len(net[a[0]]["shape"]) if a else 0 for net, a in zip(networks, answers, strict=True)]

    def changed(change) -> list:
        return [a and change(a, n) for a, n in zip(answers, ndims, strict=True)]

    too_good = [None if a and a[1] == [0] else a for a in answers]
    return [
        (_search(networks, _axes_by_shape), "The shapes of these running means look right "
         "everywhere, and yet there are broken layers: look at `mean` and `var`."),
        ([None] * len(networks), "Nothing is found anywhere. A layer that normalises each position "
         "by itself also has mean 0 and variance 1 over all positions together: try the smallest "
         "set of axes first. And leave room for `eps`: a variance of 0.9999 counts as 1."),
        (too_good, "You miss the layers that reduce over axis 0 alone. Over all positions together "
         "they look sound; what gives them away is that they are too good: mean 0 and variance 1 "
         "at every single position."),
        (_search(networks, lambda r: _axes_by_statistics(r, order=lambda a: -len(a))), "You take "
         "the largest set of axes that fits. Over all axes together a sound layer has mean 0 and "
         "variance 1, too: take the smallest set that fits."),
        (_search(networks, _axes_by_statistics, sound=lambda ndim: (0, 1)), "A layer whose input "
         "has two axes, (B, C), is sound when it reduces over (0,): look at the length of "
         "`shape` before you judge."),
        (_search(networks, lambda r: _axes_by_statistics(r, variances=False)), "You look at the "
         "means alone: they can be 0 at every position of a sound layer. Only together with "
         "variances of 1 do they tell that each position was normalised by itself."),
        (changed(lambda a, n: [a[0] + 1, a[1]]), "You count layers from 1; the first is number 0."),
        (changed(lambda a, n: [a[0], [i for i in range(n) if i not in a[1]]]), "These are the axes "
         "that are kept; return those that the layer reduces over, the ones that disappear."),
        (changed(lambda a, n: [a[0], list(SOUND[n])]), "The layer is the right one, but these are "
         "the axes that it should reduce over; return those that it does reduce over."),
        (changed(lambda a, n: [a[0], [i - 1 for i in a[1] if i]]), "You give the axes of the "
         "record's `mean`, where the batch is gone already: axis 0 of `mean` is axis 1 of y, and "
         "y's axis 0 is always among the reduced ones."),
    ]  # fmt: skip


def _expect_bugs(given: dict, got: dict) -> None:
    found = got["found"]
    answers = [None if a is None else [a[0], list(a[1])] for a in given["_answers"]]
    for i, (mine, right) in enumerate(zip(found, answers, strict=True)):
        if mine == right:
            continue

        def told(bug) -> str:
            pair = isinstance(bug, list) and len(bug) == 2 and isinstance(bug[1], list)
            return f"({bug[0]}, {tuple(bug[1])})" if pair else f"{bug!r:.60}"

        message = f"network {i} of {len(found)}: expected {told(right)}, got {told(mine)}"
        for wrong, hint in _wrong_searches(given, answers):
            if found == wrong:
                raise Wrong(message, hint)
        if mine is not None and not (isinstance(mine, list) and len(mine) == 2):
            raise Wrong(message, "Return the layer's number and a tuple of axes, or None.")
        if isinstance(mine, list) and isinstance(mine[0], list):
            raise Wrong(message, "The number of the layer comes first, then its axes.")
        if isinstance(mine, list) and not isinstance(mine[1], list):
            raise Wrong(message, "The axes are a tuple, also when there is one: `(0,)`.")
        if right is not None and isinstance(mine, list) and mine[0] == right[0]:
            raise Wrong(message, "The layer is the right one, the axes aren't: over the axes of "
                        "your answer its means are not all 0, or over fewer they are.")  # fmt: skip
        if mine is not None:
            raise Wrong(message, f"Layer {mine[0]!r:.20} is sound: over all positions, its "
                        "mean is 0, and its variance, the mean of the variances plus the variance "
                        "of the means, is 1.")  # fmt: skip
        raise Wrong(message, "Look at that layer's `mean`: over which axes does it vanish?")


bug.case(
    "networks whose running means tell",
    points=2,
    adapter="searched",
    inputs=lambda rng: _networks(rng, ["sound", "even", "3", "3", "2"], 2, telling=True),
)(_expect_bugs)


bug.case(
    "networks whose running means all have the right shape",
    points=3,
    adapter="searched",
    inputs=lambda rng: _networks(rng, ["sound", "even", "3", "3", "3", "2"], 3, telling=False),
)(_expect_bugs)


# --- 6.3 ----------------------------------------------------------------------------------------

convolve = Exercise(
    number="6.3",
    title="The tree as convolutions",
    difficulty=4,
    minutes=45,
    practises="seeing one computation in another, and proving it by equality",
    answers=("causal_dilated", "tree_everywhere"),
    summary=(
        "Write a causal convolution with a dilation, and stack it. "
        "At every position, the stack must equal the tree on the window that ends there."
    ),
    statement="""
`causal_dilated(x: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor`

`x` is (B, T, C), `weight` (2 · C, H), `bias` (H,). Return (B, T, H), in which row t is

&nbsp;&nbsp;&nbsp;&nbsp;`[x[t − dilation], x[t]] @ weight + bias`,

the older vector first, as in the tree. Before the first position the input is taken to have been
what it is there: `x[t − dilation]` means `x[0]` where t < dilation. (A name starts on the boundary,
and before it come boundaries only.)

`tree_everywhere(x: Tensor, layers: list[tuple[Tensor, Tensor]]) -> Tensor`

Run one such convolution for each (weight, bias) in `layers`, each followed by tanh, with the
dilations that make row t of the result, (B, T, H), equal to the **tree** of these layers on the
window that ends at t. The tree fuses pairs, puts them through the first layer and tanh, fuses pairs
of the results, and so on; with L layers its windows have 2**L vectors.

```python
x = torch.tensor([[[1.0], [2.0], [4.0], [8.0]]])                      # (1, 4, 1)
w, b = torch.tensor([[10.0], [1.0]]), torch.tensor([0.5])
causal_dilated(x, w, b, 1).flatten().tolist()   # [11.5, 12.5, 24.5, 48.5]
causal_dilated(x, w, b, 2).flatten().tolist()   # [11.5, 12.5, 14.5, 28.5]
```
""",
    hints=(
        "Make a second tensor, `past`, whose row t is x[t − dilation]. How far are the two vectors "
        "apart that the tree's second layer fuses?",
        "`past` is x moved to the right by `dilation`, with copies of the first vector in front, "
        "cut to T positions. Then `torch.cat([past, x], 2) @ weight + bias` is all rows at once.",
        "`front = x[:, :1].expand(-1, dilation, -1)`, "
        "`past = torch.cat([front, x], 1)[:, : x.shape[1]]`. In the stack, layer i has the "
        "dilation 2**i: 1, 2, 4, …",
    ),
)


def _past(x: np.ndarray, d: int, pad: str = "first") -> np.ndarray:
    """Row t is x[t − d]; before the first position the first vector, zeros, or the end of x."""
    B, T, C = x.shape
    if pad == "wrap":
        return np.roll(x, d, 1)
    front = np.repeat(x[:, :1], d, 1) if pad == "first" else np.zeros((B, d, C))
    return np.concatenate([front, x], 1)[:, :T]


def _conv(x, weight, bias, d, pad="first") -> np.ndarray:
    return np.concatenate([_past(x, d, pad), x], 2) @ weight + bias


def _ahead(x: np.ndarray, d: int, pad: str = "zeros") -> np.ndarray:
    """Row t is x[t + d]; behind the last position the last vector, or zeros."""
    back = np.repeat(x[:, -1:], d, 1) if pad == "last" else np.zeros_like(x[:, :1].repeat(d, 1))
    return np.concatenate([x, back], 1)[:, d:]


FUTURE = (
    "Row t has seen x[t + dilation], which is the future: the padding belongs in front, and the "
    "older of the two vectors lies at t − dilation."
)


def _conv_inputs(rng: np.random.Generator, dilation: int, T: int) -> dict:
    B, C, H = int(rng.integers(2, 5)), int(rng.integers(3, 6)), int(rng.integers(6, 9))
    return {
        "x": rng.normal(size=(B, T, C)),
        "weight": rng.normal(size=(2 * C, H)),
        "bias": rng.normal(size=H),
        "dilation": dilation,
    }


CONV_CRASHES = {
    "Sizes of tensors must match|must match the size": "`past` has another number of positions "
    "than x: `dilation` vectors in front, and cut to T. Where dilation is larger than T, "
    "`x[:, :-dilation]` is empty, and too much stands in front.",
    "cannot be multiplied": "The two vectors have to stand side by side, (B, T, 2 · C), before "
    "they meet the weight: `torch.cat([past, x], 2)`.",
}


def _expect_conv(given: dict, got: dict) -> None:
    x, w, b, d = (given[key] for key in ("x", "weight", "bias", "dilation"))
    T = x.shape[1]
    want = _conv(x, w, b, d)
    past = _past(x, d)

    def both(old, new) -> np.ndarray:
        return np.concatenate([old, new], 2) @ w + b

    zeros = _conv(x, w, b, d, "zeros")
    without = np.where(np.arange(T)[:, None] < d, 0.0, want)
    expect(
        "causal_dilated",
        got["y"],
        want,
        mistakes=[
            Mistake(both(x, past), "The two vectors are exchanged: the older one, x[t − dilation], "
                    "comes first, for the upper half of the weight belongs to it."),
            Mistake(zeros, "Zeros stand in front, a vector that the tree never sees: before the "
                    "first position, x[0] is repeated."),
            *(Mistake(both(*pair), FUTURE) for pad in ("last", "zeros")
              for pair in ((x, _ahead(x, d, pad)), (_ahead(x, d, pad), x))),
            Mistake(past @ w[0::2] + x @ w[1::2] + b, "The rows of the weight are dealt out in "
                    "turn: the upper half, rows 0 to C − 1, belongs to the older vector, the lower "
                    "half to the newer. `weight.view(2, C, H)` separates them."),
            Mistake(zeros - b, "The bias is missing, and zeros stand in front."),
            Mistake(_conv(x, w, b, d, "wrap"), "The end of the sequence comes round to its "
                    "beginning, as `torch.roll` has it: the first rows have seen the future."),
            Mistake(want - b, "The bias is missing."),
            Mistake(without, "The first rows are zeros: they have a past too, copies of x[0]."),
            Mistake(_conv(x, w, b, 1), "The two vectors are always neighbours: they lie `dilation` "
                    "apart."),
            Mistake(_conv(x, w, b, d + 1), "The older vector lies dilation + 1 back: one too far."),
            Mistake(_conv(x, w, b, d - 1), "The older vector lies dilation − 1 back: the front is "
                    "`dilation` vectors long, not one less."),
            *(Mistake(rows[:, 1:], "A row is missing at the beginning: with dilation 1, one "
                      "copy of x[0] stands in front.") for rows in (want, zeros) if d == 1),
            Mistake(want[:, d:], "Rows are missing at the beginning, as many as `dilation`: put "
                    "copies of x[0] in front, so that every position has an output."),
            Mistake(want[:, 1:], "The first row is missing: the front is padded by dilation − 1, "
                    "and has to be padded by dilation, or the last output falls short."),
            Mistake(zeros[:, 1:], "The first row is missing, and zeros stand in front: pad by "
                    "`dilation` copies of x[0]."),
            Mistake(np.tanh(want), "tanh belongs to `tree_everywhere`; here the sum is plain."),
        ],
    )  # fmt: skip


convolve.case(
    "neighbours: dilation 1",
    adapter="convolved",
    inputs=lambda rng: _conv_inputs(rng, 1, int(rng.integers(9, 14))),
    crashes=CONV_CRASHES,
)(_expect_conv)


convolve.case(
    "vectors further apart",
    points=2,
    adapter="convolved",
    inputs=lambda rng: _conv_inputs(rng, int(rng.integers(3, 6)), int(rng.integers(11, 16))),
    crashes=CONV_CRASHES,
)(_expect_conv)


convolve.case(
    "a sequence shorter than the dilation",
    adapter="convolved",
    inputs=lambda rng: _conv_inputs(rng, 7, int(rng.integers(2, 5))),
    crashes=CONV_CRASHES,
)(_expect_conv)


def _tree_inputs(rng: np.random.Generator) -> dict:
    B, T, C, H = 2, int(rng.integers(13, 18)), int(rng.integers(3, 6)), int(rng.integers(6, 9))
    sizes = [C, H, H, H]
    layers = [
        [rng.normal(size=(2 * a, b)) / math.sqrt(2 * a), rng.normal(size=b)]
        for a, b in pairwise(sizes)
    ]
    return {"x": rng.normal(size=(B, T, C)), "layers": layers}


def _tree(window: np.ndarray, layers: list) -> np.ndarray:
    for weight, bias in layers:
        B, T, C = window.shape
        window = np.tanh(window.reshape(B, T // 2, 2 * C) @ weight + bias)
    return window[:, 0]


@convolve.case(
    "equal to the tree on every window",
    points=3,
    adapter="everywhere",
    inputs=_tree_inputs,
    crashes=CONV_CRASHES,
)
def _(given, got):
    x, layers = given["x"], given["layers"]
    T, size = x.shape[1], 2 ** len(layers)
    padded = np.concatenate([np.repeat(x[:, :1], size - 1, 1), x], 1)
    want = np.stack([_tree(padded[:, t : t + size], layers) for t in range(T)], 1)

    def stacked(dilations, pad="first", conv=_conv, bend=(True, True, True)) -> np.ndarray:
        y = x
        for (weight, bias), d, bent in zip(layers, dilations, bend, strict=True):
            y = conv(y, weight, bias, d, pad)
            y = np.tanh(y) if bent else y
        return y

    def swapped(x, w, b, d, pad) -> np.ndarray:
        return np.concatenate([x, _past(x, d)], 2) @ w + b

    def ahead(x, w, b, d, pad) -> np.ndarray:
        return np.concatenate([x, _ahead(x, d, pad)], 2) @ w + b

    early = x
    for (weight, bias), d in zip(layers, (1, 2, 4), strict=True):
        early = _conv(np.tanh(early), weight, bias, d)
    right = (1, 2, 4)
    expect(
        "tree_everywhere",
        got["y"],
        want,
        mistakes=[
            Mistake(stacked((1, 1, 1)), "All dilations are 1: the second layer of the tree fuses "
                    "results of pairs, and two pairs that don't overlap lie 2 apart."),
            Mistake(stacked((1, 2, 3)), "The dilations are 1, 2, 3: the groups double in length "
                    "from layer to layer, and the dilation with them."),
            Mistake(stacked((2, 4, 8)), "The dilations begin at 2: the first layer fuses "
                    "neighbours, 1 apart."),
            Mistake(stacked((4, 2, 1)), "The dilations are 4, 2, 1: the first layer of the tree "
                    "fuses neighbours, the last one halves, so they grow."),
            Mistake(stacked((2, 2, 2)), "All dilations are 2: they double from layer to layer."),
            Mistake(early, "tanh comes after each convolution, not before it."),
            Mistake(stacked(right, bend=(0, 0, 0)), "The tanh after each layer is missing."),
            Mistake(stacked(right, bend=(1, 1, 0)), "The tanh after the last layer is missing."),
            Mistake(stacked(right, pad="zeros"), "Right from row 7 on; the rows before it have "
                    "seen zeros, in place of copies of the first vector."),
            Mistake(stacked(right, conv=swapped), "In each pair the older vector comes first."),
            *(Mistake(stacked(right, pad, ahead), FUTURE) for pad in ("last", "zeros")),
            Mistake(want[:, -1], "Only the last window came back: every position has one."),
            Mistake(want[:, size - 1 :], "The first rows are missing: their windows reach back "
                    "before the beginning, where x[0] is repeated."),
            Mistake(stacked(right, pad="wrap"), "The end of the sequence comes round to its "
                    "beginning, as `torch.roll` has it."),
        ],
    )  # fmt: skip


# --- 6.4 ----------------------------------------------------------------------------------------

TARGET = 1.993
MOST_NUMBERS = 500_000
WINDOW = 8  # characters
# No honest network has come near it on these names; one that has learned the held-out names has.
TOO_GOOD = 1.85

beat = Exercise(
    number="6.4",
    title=f"Beat {TARGET}",
    difficulty=5,
    minutes=90,
    practises="a development process: one change at a time, each measured, each written down",
    answers=("model",),
    handed_in=False,
    summary=(
        f"Train a network whose loss on dev is at most {TARGET}, within a budget. "
        "It needs a GPU or the patience of the full budget, and the check takes the trained model."
    ),
    statement=f"""
`model(xb: Tensor) -> Tensor`, shapes `(N, {WINDOW})` to `(N, {V})`

Train a network on the lecture's training names and name it `model`. The check calls it on windows
of {WINDOW} characters: `xb` holds int64 numbers (0 is the boundary, 1 to 26 are a to z), the oldest
character first, as `build_dataset(words, {WINDOW}, vocabulary)` makes them. The model returns
logits for the character that follows. It may be the lecture's `WaveNet`, a `torch.nn.Module`, or
any function; `xb` comes on the device of its parameters. A model with another context can be
wrapped in a function that cuts or pads `xb`.

```python
model.eval()                                       # running statistics, no dropout
model(torch.zeros(5, {WINDOW}, dtype=torch.long)).shape   # torch.Size([5, {V}])
```

The budget: at most {MOST_NUMBERS:,} parameters, trained on `split_words(words).train` (seed 42, the
lecture's split) and on nothing else, in 20 minutes on a GPU or two hours on two CPU cores. Make
your choices on dev; the check looks at test only to see whether dev was learned by heart. {TARGET}
was the figure of the original lecture after its last scaling up. Points come in stages, at 2.06,
2.02 and {TARGET}.

This exercise is checked here and not handed in: a submission holds source, not trained networks.
""",
    hints=(
        "What does the experiment log of the lecture say has helped most? Is train loss far below "
        "dev loss (too large, or too long) or close to it (too small, or too short)?",
        "Start from `wavenet.LARGE` and the `wavenet.FULL` recipe. Then change one thing at a "
        "time: width, weight decay, batch size, the learning rate at the start, dropout.",
        "Set ZEROTOHERO_BUDGET=full and run the solution notebook: 200 hidden units, dropout "
        "0.1, 16,000 steps, a learning rate that falls to zero along a cosine, and `model.eval()` "
        "before the check.",
    ),
)


def _windows(words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    rows, targets = [], []
    for word in words:
        tokens = [0] * WINDOW + [STOI[s] for s in word] + [0]
        for t in range(WINDOW, len(tokens)):
            rows.append(tokens[t - WINDOW : t])
            targets.append(tokens[t])
    return np.array(rows, np.uint8), np.array(targets)


@cache
def _held_out() -> dict:
    """The different windows of dev and test, and how often each character follows them in each."""
    from zerotohero.mlp import split_words  # here, for it imports torch

    splits = split_words(all_names())
    (X_dev, Y_dev), (X_test, Y_test) = _windows(splits.dev), _windows(splits.test)
    windows, at = np.unique(np.concatenate([X_dev, X_test]), axis=0, return_inverse=True)
    counts = np.zeros((2, len(windows), V), np.uint16)
    np.add.at(counts[0], (at[: len(X_dev)].ravel(), Y_dev), 1)
    np.add.at(counts[1], (at[len(X_dev) :].ravel(), Y_test), 1)
    return {"windows": windows, "_counts": counts}


def _some_windows(rng: np.random.Generator) -> dict:
    windows = _held_out()["windows"]
    return {"windows": windows[rng.choice(len(windows), 96, replace=False)]}


MODEL_CRASHES = {
    "FloatingPointError|NaN": "The network computes something that is not a number: its training "
    "has diverged. Train again from the start with a tenth of the learning rate.",
    "in train mode": "The model is still in train mode, where an answer depends on the rest of "
    "the batch: call `model.eval()` before the check.",
    "ha(s|ve) the shape|sizes? of tensor|shapes cannot be multiplied|size mismatch": (
        f"The model was made for another context than {WINDOW} characters: wrap it in a function "
        "that cuts or pads its input."
    ),
}


def _logits(got: dict, rows: int) -> np.ndarray:
    """The logits of so many windows; raises Wrong for what is not logits."""
    values = got["logits"]
    shape = values.shape if isinstance(values, np.ndarray) else None
    if shape is not None and len(shape) == 3 and shape[-1] == V:
        raise Wrong(
            f"the logits: expected shape {(rows, V)}, got {len(shape)} axes, {shape[1:]} a window",
            "The model answers for every position: the check asks for the character after the "
            "window, so return the last position, `logits[:, -1]`.",
        )
    if shape is not None and values.dtype.kind == "f" and not np.isfinite(values).all():
        raise Wrong(
            "the logits: expected finite numbers, got some that are infinite or NaN",
            "A logit of minus infinity says that a character is impossible, and NaN that the "
            "training has diverged: train again with a tenth of the learning rate.",
        )
    return array("the logits", values, (rows, V))


@beat.case(
    "logits for each window, whatever else is in the batch",
    adapter="model_in_two_batches",
    inputs=_some_windows,
    crashes=MODEL_CRASHES,
)
def _(given, got):
    logits = _logits(got, 32)
    again = array("the logits in another batch", got["again"], (32, V))
    expect_that(
        np.allclose(logits, again, atol=1e-3, rtol=1e-3),
        "a window's logits: expected the same whatever else is in the batch, got others",
        "The model is still in train mode: BatchNorm mixes the examples of a batch, or dropout "
        "draws anew. Call `model.eval()` before the check.",
    )
    expect_that(
        not np.allclose(logits, logits[:1], atol=1e-5),
        "the logits: expected others for other windows, got the same for all",
        "The model doesn't look at its context: has it been trained, and does xb reach it?",
    )
    sums = logits.sum(1)
    expect_that(
        not (np.allclose(sums, 1, atol=1e-3) and logits.min() >= 0),
        "the logits: got numbers that are never negative and add up to 1",
        "These are probabilities: return the logits, before softmax. Taken for logits, "
        "probabilities are nearly equal, and the loss can't fall below 2.3.",
    )
    most = got["parameters"]
    expect_that(
        not isinstance(most, int) or most <= MOST_NUMBERS,
        f"the budget: expected at most {MOST_NUMBERS:,} parameters, got {most}",
        "The lecture's network has a sixth of the budget's parameters; a larger one learns the "
        "training names by heart before it gets better on others.",
    )


def _mean_loss(logits: np.ndarray, counts: np.ndarray) -> float:
    top = logits.max(-1, keepdims=True)
    log_sum = top + np.log(np.exp(logits - top).sum(-1, keepdims=True))
    return float((counts * (log_sum - logits)).sum() / counts.sum())


def _expect_loss(given: dict, got: dict, most: float) -> None:
    logits = _logits(got, len(given["windows"]))
    dev, test = (_mean_loss(logits, counts) for counts in given["_counts"])
    if dev < test - 0.06:
        raise Wrong(
            f"the loss on dev is {dev:.3f}, and on test {test:.3f}",
            "Dev is much easier for the model than test: it was trained on dev as well. Train on "
            "`splits.train` alone, and use dev only to choose.",
        )
    if dev < TOO_GOOD:
        raise Wrong(
            f"the loss on dev is {dev:.3f}, and on test {test:.3f}",
            f"No network of this size gets below {TOO_GOOD} on names that it hasn't seen: these "
            "were among those that it learned from. Split first, then train on `splits.train`.",
        )
    if dev <= most:
        return
    far = dev - most
    if dev > math.log(V) + 0.05:
        hint = (
            f"That is worse than knowing nothing ({math.log(V):.2f}). Is xb read in the order in "
            "which it comes, the oldest character first? Are the numbers of the characters the "
            "lecture's?"
        )
    elif dev > 2.3:
        hint = (
            "The network has hardly learned: letter pairs alone, lecture 02's table, get about "
            "2.45. Is this the model that was trained, and long enough?"
        )
    elif far > 0.02:
        hint = (
            "Compare with the loss on the training names. If they are close, train longer or "
            "make the network wider; if training is far ahead, the network is too large or "
            "needs weight decay or dropout."
        )
        if dev < 2.08:
            hint += " The quick budget ends about here: set ZEROTOHERO_BUDGET=full for more."
    else:
        hint = (
            "Nearly there: more steps at a learning rate that falls to zero, or a little more "
            "weight decay, are worth a hundredth."
        )
    raise Wrong(f"the loss on dev: expected at most {most}, got {dev:.3f}", hint)


def _stage(most: float, points: int) -> None:
    @beat.case(
        f"a dev loss of at most {most}",
        points=points,
        adapter="model_on_windows",
        inputs=lambda rng: _held_out(),
        crashes=MODEL_CRASHES,
    )
    def _(given, got):
        _expect_loss(given, got, most)


for most, points in ((2.06, 2), (2.02, 2), (TARGET, 3)):
    _stage(most, points)


# --- 6.5 ----------------------------------------------------------------------------------------

reach = Exercise(
    number="6.5",
    title="How far a stack sees",
    difficulty=3,
    minutes=25,
    practises="deriving a formula layer by layer, and testing it on cases that are known",
    answers=("receptive_field",),
    summary=(
        "Compute the receptive field of any stack of convolutions. "
        "That is how many positions of the input one output sees, from the oldest to the newest."
    ),
    statement="""
`receptive_field(layers: list[tuple[int, int, int]]) -> int`

Each layer is (kernel, dilation, stride), from the input upwards. A layer with kernel k and dilation
d computes each of its outputs from k of its inputs, which lie d apart; with stride s, its next
output reads s inputs further on, so that it has one output for every s inputs. Return how many
positions of the stack's input lie between the oldest and the newest that one output of the last
layer depends on, both included. A stack without layers sees one position.

```python
receptive_field([(2, 1, 1), (2, 2, 1), (2, 4, 1)])   # 8: the convolutions of the lecture
receptive_field([(2, 1, 2), (2, 1, 2), (2, 1, 2)])   # 8: the tree, which moves on by pairs
receptive_field([(3, 1, 1), (3, 1, 1)])              # 5
```

The stack that the paper gives as an example, kernel 2 with dilations 1, 2, 4, …, 512, three times
over, sees 3,070 samples. That is 0.19 seconds of sound at 16,000 samples a second.
""",
    hints=(
        "A single layer with kernel k and dilation d: how far is its oldest input from its newest? "
        "Then put a second layer on it. How far apart on the *first* layer's input do two "
        "neighbouring outputs of the first layer begin?",
        "Each layer adds (k − 1) · d steps of its own input. A step of its own input is as many "
        "steps of the stack's input as the strides of all layers *below* it multiply to.",
        "`size, jump = 1, 1`; for each layer: `size += (kernel - 1) * dilation * jump`, then "
        "`jump *= stride`; return size.",
    ),
)


def _size(layers, own=False, jumps="multiply", reach=lambda k, d: (k - 1) * d) -> int:
    """The receptive field; the switches are what learners get wrong."""
    size, jump = 1, 1
    for k, d, s in layers:
        after = {"multiply": jump * s, "last": s, "add": jump + s - 1, "none": 1}[jumps]
        size += reach(k, d) * (after if own else jump)
        jump = after
    return size


def _expect_size(given: dict, got: dict) -> None:
    for layers, size in zip(given["stacks"], got["sizes"], strict=True):
        kernels, dilations = ([layer[i] for layer in layers] for i in range(2))
        want = _size(layers)
        strides = "The strides are ignored: above a layer of stride s, neighbours lie s positions "
        strides += "of its input apart."
        strided = [
            Mistake(_size(layers, own=True), "A layer's own stride is counted too early: it "
                    "moves the outputs, so only the layers *above* it feel it."),
            Mistake(_size(layers, jumps="last"), "Only the stride of the layer just below is "
                    "counted: strides multiply from layer to layer."),
            Mistake(_size(layers[::-1]), "The layers are taken from the top downwards: they "
                    "come from the input upwards, so jumps grow along the list."),
        ] if any(s > 1 for _, _, s in layers) else []  # fmt: skip
        expect(
            f"receptive_field({[tuple(layer) for layer in layers]!r:.90})",
            size,
            want,
            tol=0,
            mistakes=[
                Mistake(want - 1, "One too few: a stack without layers already sees 1 position, "
                        "and each layer adds to that."),
                Mistake(_size(layers, jumps="none"), strides),
                *strided,
                Mistake(math.prod(kernels), "You multiply the kernels: a layer *adds* "
                        "positions to what the one below sees, for neighbouring outputs "
                        "see much of the same."),
                Mistake(1 + sum(dilations), "You add up the dilations: that is right for "
                        "kernel 2 alone; k inputs have k − 1 gaps between them, each of d."),
                Mistake(sum(dilations), "You add up the dilations: a layer adds its k − 1 "
                        "gaps of d each, and the first position counts too."),
                Mistake(_size(layers, reach=lambda k, d: k * d), "k inputs have only k − 1 gaps "
                        "between them: a layer adds (k − 1) · d."),
                Mistake(_size(layers, reach=lambda k, d: k * d) - 1, "k inputs have only k − 1 "
                        "gaps between them: a layer adds (k − 1) · d, and the stack starts at 1."),
                Mistake(sum(a * b for a, b, _ in layers), "You add up k · d: k inputs have k − 1 "
                        "gaps between them, and the first position is counted once for the "
                        "stack."),
                Mistake(_size(layers, reach=lambda k, d: k - 1), "The dilations are ignored: the k "
                        "inputs of a layer lie d apart."),
                Mistake(_size(layers, jumps="add"), "The strides are added up: a stride of 2 on "
                        "top of a stride of 2 moves on by 4, so they multiply."),
                Mistake(max([1, *((a - 1) * b + 1 for a, b, _ in layers)]), "That is the layer "
                        "that reaches furthest by itself; the layers' reaches add up."),
                Mistake(_size(layers[:-1]), "The last layer is left out."),
            ],
            hint="Take the stack apart: which lengths come from one layer, from two?",
        )  # fmt: skip


reach.case(
    "dilations that double",
    adapter="sized",
    inputs=lambda rng: {
        "stacks": [[[2, 2**i, 1] for i in range(n)] for n in rng.choice(range(2, 11), 3, False)]
    },
)(_expect_size)


def _stacks(rng: np.random.Generator, strides: list[int]) -> dict:
    """Kernels and dilations of every kind; the strides of a stack are all those given."""
    return {
        "stacks": [
            [
                [int(rng.integers(2, 8)), int(rng.integers(2, 12)), int(s)]
                for s in rng.permutation(strides)
            ]
            for _ in range(5)
        ]
    }


reach.case("any kernels and dilations", adapter="sized", inputs=lambda rng: _stacks(rng, [1] * 4))(
    _expect_size
)


reach.case(
    "strides as well", points=2, adapter="sized", inputs=lambda rng: _stacks(rng, [1, 2, 3, 2, 4])
)(_expect_size)


reach.case(
    "no layers, layers of kernel 1, and the tree",
    adapter="sized",
    inputs=lambda rng: {
        "stacks": [
            [],
            [[1, int(rng.integers(2, 9)), 1]],
            [[2, 1, 2]] * int(rng.integers(3, 9)),
            [[int(rng.integers(3, 6)), 1, 1], [1, 1, int(rng.integers(2, 5))], [3, 1, 1]],
        ]
    },
)(_expect_size)


# --- 6.6 ----------------------------------------------------------------------------------------

gate = Exercise(
    number="6.6",
    title="Gated units, residual and skip",
    difficulty=4,
    minutes=40,
    practises="building a block from the formula and the figure of a paper",
    answers=("gated_residual", "sum_of_skips"),
    summary=(
        "Build the block that the WaveNet paper stacks, a gated convolution with two ways out. "
        "Then stack it, and collect what every block has to say."
    ),
    statement="""
Van den Oord and colleagues (2016, equation 2 and figure 4) compute z = tanh(W_f ∗ x) ⊙ σ(W_g ∗ x),
where ∗ is a causal dilated convolution, ⊙ the product number by number and σ the sigmoid: one half
says what, the other how much of it. A 1×1 convolution, which is a matrix for each position alone,
follows. Its result leaves the block twice: added to the block's **input**, the residual way, it
goes to the next block; as it is, the skip way, it goes straight to the output of the network.

`gated_residual(x, W_f, W_g, W_1, dilation: int) -> tuple[Tensor, Tensor]`

`x` is (B, T, C), `W_f` and `W_g` are (2 · C, H), `W_1` is (H, C). The convolutions are those of 6.3
without a bias: row t reads [x[t − dilation], x[t]], and x[0] is repeated in front. Return the input
of the next block and the skip, both (B, T, C).

`sum_of_skips(x, blocks: list[tuple]) -> Tensor`

Run `x` through blocks (W_f, W_g, W_1, dilation), one after another, and return the sum of all their
skips, (B, T, C).

```python
x, one = torch.tensor([[[1.0], [2.0]]]), torch.ones(2, 1)
out, skip = gated_residual(x, one, one, torch.ones(1, 1), 1)
skip.flatten().tolist()   # tanh(2)·σ(2), tanh(3)·σ(3): [0.8491, 0.9479]
out.flatten().tolist()    # [1.8491, 2.9479]
```
""",
    hints=(
        "Draw figure 4 with shapes: x enters at the bottom (B, T, C), two convolutions make "
        "(B, T, H), their product is (B, T, H). Where do you get (B, T, C) again, so that x can "
        "be added?",
        "With pairs = [past, x] as in 6.3, z = tanh(pairs @ W_f) * sigmoid(pairs @ W_g) and "
        "skip = z @ W_1; the residual way is x + skip. The next block gets the residual way, the "
        "sum gets the skip.",
        "`x, skip = gated_residual(x, *block)` in a loop over the blocks, `total = total + skip`, "
        "starting from zero. Return `x + skip, skip` from the block.",
    ),
)


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def _gated(x, W_f, W_g, W_1, d, what=np.tanh, much=_sigmoid, join=np.multiply, pairs=None):
    """z, before the 1×1, and the skip; the switches are what learners get wrong."""
    pairs = np.concatenate([_past(x, d), x], 2) if pairs is None else pairs
    z = join(what(pairs @ W_f), much(pairs @ W_g))
    return z, z @ W_1


def _block(rng: np.random.Generator, C: int, H: int, dilation: int) -> list:
    shapes = [(2 * C, H), (2 * C, H), (H, C)]
    return [*(rng.normal(size=s) * 1.5 / math.sqrt(s[0]) for s in shapes), dilation]


def _one_block(rng: np.random.Generator, square: bool) -> dict:
    C = int(rng.integers(4, 7))
    H = C if square else C + int(rng.integers(1, 4))
    x = rng.normal(size=(int(rng.integers(2, 4)), int(rng.integers(8, 12)), C))
    return {"x": x, "block": _block(rng, C, H, int(rng.integers(2, 5)))}


GATE_CRASHES = {
    "must match the size|must match, except|is broadcastable": "Two tensors of different shapes "
    "meet: x is (B, T, C) and z is (B, T, H). The 1×1, W_1, leads back to C before x is added.",
    "cannot be multiplied": "Write the shapes down: pairs (B, T, 2·C) meet W_f and W_g, and the "
    "gated z (B, T, H) meets W_1.",
    "Sizes of tensors must match": "`past` has another number of positions than x.",
}


def _gate_variants(x, W_f, W_g, W_1, d) -> list[tuple[np.ndarray, str]]:
    """Skips of blocks with something wrong inside, each with its hint."""
    args = (x, W_f, W_g, W_1, d)
    past, ahead = _past(x, d), _ahead(x, d)
    zeros = np.concatenate([_past(x, d, "zeros"), x], 2)
    variants = [
        ({"much": np.tanh}, "The gate is a tanh: it has to be a sigmoid, which goes from 0 (shut) "
         "to 1 (open); tanh would turn signs round."),
        ({"what": _sigmoid}, "Both halves are sigmoids: what passes the gate is tanh(W_f ∗ x), "
         "which can be negative."),
        ({"what": _sigmoid, "much": np.tanh}, "W_f and W_g have exchanged their parts: W_f goes "
         "with tanh, W_g with the sigmoid."),
        ({"join": np.add}, "The two halves are added: a gate multiplies, so that 0 shuts it."),
        ({"what": lambda a: a}, "The tanh around W_f ∗ x is missing."),
        ({"much": lambda a: a}, "The sigmoid around W_g ∗ x is missing: what multiplies is then "
         "not between 0 and 1."),
        ({"join": lambda a, b: a}, "The gate is missing: only tanh(W_f ∗ x) is there."),
        ({"pairs": np.concatenate([x, past], 2)}, "In each pair the older vector comes first."),
        ({"pairs": np.concatenate([x, ahead], 2)}, FUTURE),
        ({"pairs": zeros}, "Zeros stand in front of the sequence; x[0] is repeated there, as in "
         "6.3."),
        ({"pairs": np.concatenate([_past(x, 1), x], 2)}, "The dilation isn't used: the two vectors "
         "of a pair lie `dilation` apart."),
    ]  # fmt: skip
    wrong = [(_gated(*args, **switches)[1], hint) for switches, hint in variants]
    same = "One weight is used in both halves: tanh goes with W_f, the sigmoid with W_g."
    wrong += [(_gated(x, W_f, W_f, W_1, d)[1], same), (_gated(x, W_g, W_g, W_1, d)[1], same)]
    return wrong


def _expect_block(given: dict, got: dict) -> None:
    x, (W_f, W_g, W_1, d) = given["x"], given["block"]
    z, skip = _gated(x, W_f, W_g, W_1, d)
    variants = _gate_variants(x, W_f, W_g, W_1, d)
    expect(
        "the skip",
        got["skip"],
        skip,
        mistakes=[
            Mistake(x + skip, "This is what goes to the next block, the input added to it. The "
                    "skip is taken before the input is added; and the order of the two results is "
                    "(next input, skip)."),
            Mistake(z, "The skip is taken before the 1×1: in the paper's figure it leaves the "
                    "block after it."),
            *(Mistake(value, hint) for value, hint in variants),
            *(Mistake(x + value, hint) for value, hint in variants),
        ],
    )  # fmt: skip
    mistakes = [
        Mistake(skip, "The input is not added: the residual way is x plus the result of the 1×1."),
        Mistake(x + np.tanh(skip), "What is added went through tanh once more."),
        Mistake(np.tanh(x + skip), "The sum went through tanh: the residual way stays free, so "
                "that gradients pass it unchanged."),
        Mistake((x + skip) / 2, "The mean of both was taken; the paper adds."),
    ]  # fmt: skip
    if z.shape == x.shape:
        mistakes += [
            Mistake(z + skip, "The gated z is added instead of the input: residual means that the "
                    "block's *input* x goes past it."),
            Mistake(x + z, "The 1×1 is missing on the residual way: it gets the same result as "
                    "the skip, plus x."),
        ]  # fmt: skip
    expect("the input of the next block", got["out"], x + skip, mistakes=mistakes)
    expect("x after the call", got["x"], x, hint="You overwrite the caller's x, for `x += …` "
           "changes it in place: make a new tensor, `x + skip`.")  # fmt: skip


gate.case(
    "one block",
    points=2,
    adapter="gated",
    inputs=lambda rng: _one_block(rng, square=True),
    crashes=GATE_CRASHES,
)(_expect_block)


gate.case(
    "one block with more channels inside than outside",
    points=1,
    adapter="gated",
    inputs=lambda rng: _one_block(rng, square=False),
    crashes=GATE_CRASHES,
)(_expect_block)


def _stack_of_blocks(rng: np.random.Generator) -> dict:
    C, H = int(rng.integers(4, 7)), int(rng.integers(7, 10))
    x = rng.normal(size=(2, int(rng.integers(10, 14)), C))
    return {"x": x, "blocks": [_block(rng, C, H, d) for d in (1, 2, 4)]}


@gate.case(
    "the sum of the skips of three blocks",
    points=2,
    adapter="skips",
    inputs=_stack_of_blocks,
    crashes=GATE_CRASHES,
)
def _(given, got):
    x, skips, outs, chained, alone = given["x"], [], [], [], []
    last = x
    for block in given["blocks"]:
        skips.append(_gated(last, *block)[1])
        last = last + skips[-1]
        outs.append(last)
        chained.append(_gated(chained[-1] if chained else x, *block)[1])
        alone.append(_gated(x, *block)[1])
    expect(
        "sum_of_skips",
        got["y"],
        sum(skips),
        mistakes=[
            Mistake(last, "That is what the last block hands on, the sum with x in it: add up the "
                    "skips alone."),
            Mistake(sum(outs), "You add up what goes to the next block: add up the skips, without "
                    "x."),
            Mistake(skips[-1], "Only the last block's skip came back: each block's is added up."),
            Mistake(sum(chained), "Each block was fed the skip of the one before: it gets the "
                    "residual way, with x in it."),
            Mistake(sum(alone), "Every block was fed the same x: the next one gets what the block "
                    "before hands on."),
            Mistake(sum(skips[:-1]), "The last block's skip is missing from the sum."),
            Mistake(sum(skips[1:]), "The first block's skip is missing from the sum."),
            Mistake(sum(skips) / 3, "The skips were averaged; the paper adds them."),
            Mistake(np.concatenate(skips, 2), "The skips stand side by side; add them up."),
        ],
        hint="If the cases above pass, the block is right: look at what you feed it and what you "
        "add up.",
    )  # fmt: skip


EXERCISES = (fuse, bug, convolve, beat, reach, gate)
