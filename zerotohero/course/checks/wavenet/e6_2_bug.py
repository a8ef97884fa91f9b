"""6.2 · A BatchNorm that is too good: finding a bug in recorded numbers, when no error is
raised and nothing looks wrong.
"""

import numpy as np

from zerotohero.course.exercise import (
    Exercise,
    Wrong,
)

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
CLEAR = 0.0105  # what is wrong is wrong by more than this somewhere; the card promises 0.01
EPS = 1e-5
SHORT = 0.0009  # by which variances are below 1 at most, where x is small; the card promises 0.001


def _inputs(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """A batch whose positions differ as the kind of network wants it."""
    x = rng.normal(size=shape[1:]) + rng.uniform(0.5, 2.0, shape[1:]) * rng.normal(size=shape)
    if kind in ("even", "close"):
        x -= x.mean(0)
    if kind == "close":  # every position has nearly mean 0 and variance 1
        x /= x.std(0)
        x += (0.013 + rng.uniform(-0.001, 0.001, shape[1:])) * (-1) ** np.arange(shape[1])[:, None]
    return x


def _record(
    rng: np.random.Generator, shape: tuple[int, ...], axes: tuple[int, ...], kind: str, small: bool
) -> dict:
    """One batch through a layer that reduces over `axes`; its running mean as the code keeps it.

    small: whether x is so small that `eps` takes away as much as the card allows.
    """
    kept = [n for i, n in enumerate(shape) if i not in axes]
    while True:
        x = _inputs(rng, shape, kind if len(shape) == 3 else "")
        if small:
            x *= np.sqrt(EPS / SHORT / x.var(axes).min())
        y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + EPS)
        record = {"shape": [*shape], "running_mean": kept, "mean": y.mean(0), "var": y.var(0)}
        others = [a for a in _sets(record) if not set(axes) <= set(a)]
        if all(_off(record, a) > CLEAR for a in others):
            return record


def _networks(rng: np.random.Generator, plant: int, telling: bool) -> dict:
    """Networks of every kind, shuffled: sound; even (sound, and every position has mean 0); close
    (sound, and every position has nearly mean 0 and variance 1); and each kind of broken layer.

    plant: how many of each broken kind. telling: whether the running means have honest shapes.
    """
    bugs = [(ndim, axes) for ndim in BROKEN for axes in BROKEN[ndim]]
    planted = [(kind, 0) for kind in ("", "even", "close")]
    planted += [(kind, i) for kind in bugs for i in range(plant)]
    networks, answers = [], []
    for k in rng.permutation(len(planted)):
        kind, copy = planted[k]
        # No C is a power of two, as the lengths are: a running mean's shape is then unmistakable.
        C, levels = int(rng.integers(5, 8)), int(rng.integers(2, 4))
        B = int(rng.integers(17, 32))
        shapes = [(B, 2**level, C) for level in range(levels, 0, -1)] + [(B, C)]
        bug = None
        if isinstance(kind, tuple):
            ndim, axes = kind
            possible = [i for i, shape in enumerate(shapes) if len(shape) == ndim]
            bug = (possible[copy % len(possible)], axes)  # the first layer is among them
        records = []
        for i, shape in enumerate(shapes):
            axes = bug[1] if bug and bug[0] == i else SOUND[len(shape)]
            small = (i + copy) % 2 == 0  # every other layer, a broken one or not
            record = _record(rng, shape, axes, "" if bug else kind, small)
            records.append(record if telling else record | {"running_mean": [C]})
        networks.append(records)
        answers.append(bug)
    return {"networks": networks, "_answers": answers}


def _sets(record: dict) -> list[tuple[int, ...]]:
    """All sets of axes that a layer may reduce over, the smallest first."""
    return [(0,), (0, 1), (0, 2), (0, 1, 2)] if len(record["shape"]) == 3 else [(0,), (0, 1)]


def _statistics(record: dict, axes, correction: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The means and variances of y over these axes."""
    mean, var = record["mean"], record["var"]
    over = tuple(a - 1 for a in axes if a > 0)  # the batch axis is gone already
    if not over:
        return mean, var
    return mean.mean(over), var.mean(over) + mean.var(over, ddof=correction)


def _off(record: dict, axes, variances: bool = True, correction: int = 0) -> float:
    """How far the means over these axes are from 0, or the variances from 1, at most."""
    m, v = _statistics(record, axes, correction)
    return max(np.abs(m).max(), np.abs(v - 1).max() if variances else 0.0)


def _axes_by_statistics(
    record: dict, order=None, close: float = 0.005, **switches
) -> tuple[int, ...] | None:
    sets = _sets(record)
    fitting = (
        a for a in sorted(sets, key=order or sets.index) if _off(record, a, **switches) < close
    )
    return next(fitting, None)


TIGHT = (
    "You leave too little room: `eps` takes up to 0.001 from a variance where the inputs are small."
)
LOOSE = "You leave too much room: the means of some sound layers are 0.012, which is not 0."


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


def _wrong_searches(networks: list, answers: list) -> list[tuple[list, str]]:
    """What typical wrong searches find, with the hint for each."""
    ndims = [len(net[a[0]]["shape"]) if a else 0 for net, a in zip(networks, answers, strict=True)]

    def changed(change) -> list:
        return [a and change(a, n) for a, n in zip(answers, ndims, strict=True)]

    too_good = [None if a and a[1] == [0] else a for a in answers]
    return [
        (
            _search(networks, _axes_by_shape),
            "The shapes of these running means look right everywhere, and yet there are broken "
            "layers: look at `mean` and `var`, and leave room for `eps`.",
        ),
        (
            too_good,
            "You miss the layers that reduce over axis 0 alone. Over all positions together they "
            "look sound; what gives them away is that they are too good: mean 0 and variance 1 at "
            "every single position.",
        ),
        (
            _search(networks, lambda r: _axes_by_statistics(r, order=lambda a: -len(a))),
            "You take the largest set of axes that fits. Over all axes together a sound layer has "
            "mean 0 and variance 1, too: take the smallest set that fits.",
        ),
        (
            _search(networks, _axes_by_statistics, sound=lambda ndim: (0, 1)),
            "A layer whose input has two axes, (B, C), is sound when it reduces over (0,): look at "
            "the length of `shape` before you judge.",
        ),
        (
            _search(networks, lambda r: _axes_by_statistics(r, variances=False)),
            "You look at the means alone: they can be 0 at every position of a sound layer. Only "
            "together with variances of 1 do they tell that each position was normalised by "
            "itself.",
        ),
        (
            _search(networks, lambda r: _axes_by_statistics(r, correction=1)),
            "The variance of the means is the one that divides by n: `mean.var(…, correction=0)`. "
            "torch's `var` divides by n − 1 unless it is told otherwise.",
        ),
        *(
            (_search(networks, lambda r, c=close: _axes_by_statistics(r, close=c)), TIGHT)
            for close in (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 7e-4)
        ),
        *(
            (_search(networks, lambda r, c=close: _axes_by_statistics(r, close=c)), LOOSE)
            for close in (0.015, 0.02, 0.03, 0.05, 0.1, 0.2)
        ),
        (changed(lambda a, n: [a[0] + 1, a[1]]), "You count layers from 1; the first is number 0."),
        (
            changed(lambda a, n: [a[0], [i for i in range(n) if i not in a[1]]]),
            "These are the axes that are kept; return those that the layer reduces over, the ones "
            "that disappear.",
        ),
        (
            changed(lambda a, n: [a[0], list(SOUND[n])]),
            "The layer is the right one, but these are the axes that it should reduce over; return "
            "those that it does reduce over.",
        ),
        (
            changed(lambda a, n: [a[0], [i - 1 for i in a[1] if i]]),
            "You give the axes of the record's `mean`, where the batch is gone already: axis 0 of "
            "`mean` is axis 1 of y, and y's axis 0 is always among the reduced ones.",
        ),
    ]


def bugs_found(given: dict, got: dict) -> None:
    networks, found = given["networks"], got["found"]
    answers = [None if a is None else [a[0], list(a[1])] for a in given["_answers"]]
    for i, (mine, right) in enumerate(zip(found, answers, strict=True)):
        if mine == right:
            continue

        def told(bug) -> str:
            pair = isinstance(bug, list) and len(bug) == 2 and isinstance(bug[1], list)
            return f"({bug[0]}, {_axes(bug[1])})" if pair else f"{bug!r:.60}"

        message = f"network {i} of {len(found)}: expected {told(right)}, got {told(mine)}"
        for wrong, hint in _wrong_searches(networks, answers):
            if found == wrong:
                raise Wrong(message, hint)
        raise Wrong(message, _what_differs(networks[i], mine, right))


def _axes(axes: list) -> str:
    return repr(tuple(axes))[:60]


def _what_differs(records: list, mine, right) -> str:
    """What the records say about one wrong answer."""
    if mine is None:
        means, variances = _statistics(records[right[0]], right[1])
        return (
            f"Over {_axes(right[1])}, the means of layer {right[0]} are 0 (at most "
            f"{np.abs(means).max():.0e}), and its variances lie between {variances.min():.5f} and "
            f"{variances.max():.5f}: `eps` leaves them a little below 1."
        )
    if not (isinstance(mine, list) and len(mine) == 2):
        return "Return the layer's number and a tuple of axes, or None."
    number, axes = mine
    if isinstance(number, list):
        return "The number of the layer comes first, then its axes."
    if number is None:
        return "Where all layers are sound, return None itself, not a tuple."
    if axes is None:
        return f"Layer {number} is named without its axes: return a tuple of them."
    if not isinstance(axes, list):
        return "The axes are a tuple, also when there is one: `(0,)`."
    if number not in range(len(records)):
        return f"The layers of this network are those from 0 to {len(records) - 1}."
    record = records[int(number)]
    ndim = len(record["shape"])
    if tuple(axes) not in _sets(record):
        if right == [number, sorted(a % ndim if isinstance(a, int) else a for a in axes)]:
            return "The axes are the right ones; give them in rising order, counted from 0."
        possible = ", ".join(map(_axes, _sets(record)))
        return f"An input with {ndim} axes is reduced over one of {possible}."
    means, variances = _statistics(record, axes)
    reach = f"means up to {np.abs(means).max():.3f} and variances from {variances.min():.3f} to "
    reach += f"{variances.max():.3f}"
    if right is not None and number == right[0]:
        if set(axes) > set(right[1]):
            return (
                f"Over {_axes(axes)}, this layer has means of 0 and variances of 1 because it has "
                f"them over {_axes(right[1])} already: the smaller set is what it reduces over."
            )
        return f"The layer is the right one; over {_axes(axes)}, though, it has {reach}."
    return (
        f"Layer {number} is sound: over {SOUND[ndim]}, its means are 0, and its variances (the "
        "mean of the variances plus the variance of the means) are 1"
        + ("." if set(axes) >= set(SOUND[ndim]) else f"; over {_axes(axes)} it has {reach}.")
    )


bug.case(
    "networks whose running means tell",
    points=2,
    adapter="searched",
    inputs=lambda rng: _networks(rng, 2, telling=True),
)(bugs_found)


bug.case(
    "networks whose running means all have the right shape",
    points=3,
    adapter="searched",
    inputs=lambda rng: _networks(rng, 3, telling=False),
)(bugs_found)
