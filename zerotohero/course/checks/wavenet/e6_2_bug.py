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
        (
            _search(networks, _axes_by_shape),
            "The shapes of these running means look right everywhere, and yet there are broken "
            "layers: look at `mean` and `var`.",
        ),
        (
            [None] * len(networks),
            "Nothing is found anywhere. A layer that normalises each position by itself also has "
            "mean 0 and variance 1 over all positions together: try the smallest set of axes "
            "first. And leave room for `eps`: a variance of 0.9999 counts as 1.",
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
            raise Wrong(
                message,
                "The layer is the right one, the axes aren't: over the axes of your answer its "
                "means are not all 0, or over fewer they are.",
            )
        if mine is not None:
            raise Wrong(
                message,
                f"Layer {mine[0]!r:.20} is sound: over all positions, its mean is 0, and its "
                "variance, the mean of the variances plus the variance of the means, is 1.",
            )
        raise Wrong(message, "Look at that layer's `mean`: over which axes does it vanish?")


bug.case(
    "networks whose running means tell",
    points=2,
    adapter="searched",
    inputs=lambda rng: _networks(rng, ["sound", "even", "3", "3", "2"], 2, telling=True),
)(bugs_found)


bug.case(
    "networks whose running means all have the right shape",
    points=3,
    adapter="searched",
    inputs=lambda rng: _networks(rng, ["sound", "even", "3", "3", "3", "2"], 3, telling=False),
)(bugs_found)
