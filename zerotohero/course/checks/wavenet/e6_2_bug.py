"""6.2 · A BatchNorm that is too good: finding a bug in recorded numbers, when no error is
raised and nothing looks wrong.
"""

import numpy as np

from zerotohero.course.checks.wavenet._e6_2_searches import (
    BROKEN,
    SOUND,
    off,
    sets,
    statistics,
    wrong_searches,
)
from zerotohero.course.exercise import Exercise, Wrong

bug = Exercise(
    number="6.2",
    title="A BatchNorm that is too good",
    difficulty=3,
    minutes=35,
    practises="finding a bug in recorded numbers, when no error is raised and nothing looks wrong",
    answers=("find_bug",),
    summary=(
        "A network has a BatchNorm layer that reduces over the wrong axes, or it has none. "
        "Find it from the shapes and statistics that were recorded, and say what it reduces over."
    ),
    statement="""
`find_bug(records: list[dict]) -> tuple[int, tuple[int, ...]] | None`

Each record belongs to one BatchNorm layer, in the order of the network (number 0 first). It was
made by one batch in train mode, before any training: gamma is 1 and beta is 0. With `x` the layer's
input and `y` its output, it holds

- `record["shape"]`: the shape of `x`, (B, T, C) with T > 1, or (B, C), in any order, a tuple;
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
CLEAR = 0.0105  # what is wrong is wrong by more than this somewhere; the card promises 0.01
EPS = 1e-5
OFF = {"close": 0.013, "near": 0.055, "apart": 0.12}  # by which the means of positions are off
LEVEL = 0.055  # by which the means of rows and columns are off where their variances are nearly 1
SHORT = 0.0009  # by which variances are below 1 at most, where x is small; the card promises 0.001


def _inputs(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """A batch whose positions differ as the kind of network wants it."""
    T, C = shape[1:] if len(shape) == 3 else (1, shape[1])
    x = rng.normal(size=shape[1:]) + rng.uniform(0.5, 2.0, shape[1:]) * rng.normal(size=shape)
    if kind:
        x -= x.mean(0)
    if kind in OFF:  # every position has nearly mean 0 and variance 1
        x /= x.std(0)
        means = OFF[kind] + rng.uniform(-0.001, 0.001, shape[1:])
        if kind == "near":
            means[:, 0] = 0  # one channel's means are 0 at every position
        x += means * _signs(T)[:, None]
    if kind == "level":
        x /= x.std(0)
        x += LEVEL * _signs(C)
        if len(shape) == 3:
            x += LEVEL * _signs(T)[:, None]
    return x


def _signs(n: int) -> np.ndarray:
    """Factors that go together as far up as down, none of them 0."""
    signs = (-1.0) ** np.arange(n)
    if n % 2:
        signs[-3:] = 0.5, 0.5, -1
    return signs


def _record(
    rng: np.random.Generator, shape: tuple[int, ...], axes: tuple[int, ...], kind: str, small: bool
) -> dict:
    """One batch through a layer that reduces over `axes`; its running mean as the code keeps it.

    small: whether x is so small that `eps` takes away as much as the card allows.
    """
    kept = [n for i, n in enumerate(shape) if i not in axes]
    while True:
        x = _inputs(rng, shape, kind)
        if small:
            x *= np.sqrt(EPS / SHORT / x.var(axes).min())
        y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + EPS)
        record = {"shape": [*shape], "running_mean": kept, "mean": y.mean(0), "var": y.var(0)}
        others = [a for a in sets(record) if not set(axes) <= set(a)]
        if all(off(record, a) > CLEAR for a in others):
            return record


# Networks, as the number of axes of each layer's input, and in each the place of a broken layer.
PLACES = {
    3: [((2, 3), 1), ((3, 3, 2), 0), ((3, 2, 3), 2), ((3,), 0), ((2, 2, 3, 3, 3), 3)],
    2: [((2, 3, 3), 0), ((3, 2, 3, 2), 3), ((3, 2), 1)],
}


def _networks(rng: np.random.Generator, broken_kinds: tuple[str, ...], telling: bool) -> dict:
    """Networks of every kind, shuffled: sound; even (every position has mean 0); close, near and
    apart (sound, and every position has nearly mean 0 and variance 1); level (broken, and rows and
    columns have variances of nearly 1, and their means are off); each set of axes in broken layers.

    broken_kinds: those in which there are networks with each broken layer. telling: whether the
    running means have honest shapes.
    """
    planted = [(kind, None, *PLACES[3][i]) for i, kind in enumerate(("", "even", *OFF))]
    for ndim in BROKEN:
        copies = [(kind, axes) for axes in BROKEN[ndim] for kind in broken_kinds]
        places = PLACES[ndim] * len(copies)
        planted += [(*copy, *place) for copy, place in zip(copies, places, strict=False)]
    networks, answers = [], []
    for k in rng.permutation(len(planted)):
        kind, broken, ndims, place = planted[k]
        B, C = int(rng.integers(17, 32)), int(rng.integers(4, 8))
        # Where no T is C, a running mean's shape is unmistakable.
        lengths = [int(T) for T in rng.choice([T for T in range(2, 10) if T != C], len(ndims))]
        if not telling and k % 2:
            lengths[ndims.index(3)] = C
        records = []
        for i, (ndim, T) in enumerate(zip(ndims, lengths, strict=True)):
            shape = (B, T, C) if ndim == 3 else (B, C)
            bad = broken is not None and i == place
            axes = broken if bad else SOUND[ndim]
            small = (i + k) % 2 == 0  # every other layer, a broken one or not
            plain = (kind == "level" and not bad) or (kind in OFF and ndim == 2)
            record = _record(rng, shape, axes, "" if plain else kind, small)
            records.append(record if telling else record | {"running_mean": [C]})
        networks.append(records)
        answers.append((place, broken) if broken else None)
    return {"networks": networks, "_answers": answers}


def _networks_and_the_example(rng: np.random.Generator) -> dict:
    """Networks whose running means say nothing, after the two of the card."""
    sound = {
        "mean": np.array([[-0.5, 0.2], [0.5, -0.2]]),
        "var": np.array([[0.5, 0.9], [1.0, 1.02]]),
    }
    broken = {"mean": np.zeros((2, 2)), "var": np.ones((2, 2))}
    sound, broken = ({"shape": [3, 2, 2], "running_mean": [2], **r} for r in (sound, broken))
    given = _networks(rng, ("", "even", "level"), telling=False)
    return {
        "networks": [[sound, broken], [sound, sound], *given["networks"]],
        "_answers": [(1, (0,)), None, *given["_answers"]],
    }


def bugs_found(given: dict, got: dict) -> None:
    networks, found = given["networks"], got["found"]
    answers = [None if a is None else [a[0], list(a[1])] for a in given["_answers"]]
    for i, (mine, right) in enumerate(zip(found, answers, strict=True)):
        if mine == right:
            continue
        told = f"expected {_tuples(right)!r}, got {_tuples(mine)!r:.60}"
        message = f"network {i} of {len(found)}: {told}"
        if not all(it is None or (isinstance(it, list) and len(it) == 2) for it in found):
            raise Wrong(message, _what_differs(networks[i], mine, right))  # no search finds that
        for wrong, hint in wrong_searches(networks, answers):
            if found == wrong:
                raise Wrong(message, hint)
        raise Wrong(message, _what_differs(networks[i], mine, right))


def _tuples(value):
    """Return lists as the tuples that they were before they travelled."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _axes(axes: list) -> str:
    return repr(tuple(axes))[:60]


def _reach(record: dict, axes) -> str:
    """The means and variances over these axes, in a few words."""
    means, variances = statistics(record, axes)
    low, high = (f"{v:.4f}" for v in (variances.min(), variances.max()))
    spread = f"of {low}" if low == high else f"from {low} to {high}"
    return f"means up to {np.abs(means).max():.3f} and variances {spread}"


def _what_differs(records: list, mine, right) -> str:
    """What the records say about one wrong answer."""
    if mine is None:
        record = records[right[0]]
        sound = SOUND[len(record["shape"])]
        if set(right[1]) < set(sound):
            return (
                f"Layer {right[0]} is broken: not only over {sound}, but over {_axes(right[1])} "
                f"already it has {_reach(record, right[1])}."
            )
        return (
            f"Layer {right[0]} isn't sound: over {sound} it has {_reach(record, sound)}. Over "
            f"{_axes(right[1])} it has {_reach(record, right[1])}."
        )
    if not (isinstance(mine, list) and len(mine) == 2):
        return "Return the layer's number and a tuple of axes, or None."
    number, axes = mine
    if isinstance(number, list):
        return "The number of the layer comes first, then its axes."
    if number is None:
        return "Where all layers are sound, return None itself, not a tuple."
    if axes is None:
        return (
            f"Layer {number} is named without its axes: return a tuple of them. (If no set of axes "
            "fits in your code, print what each gives for this layer.)"
        )
    if not isinstance(axes, list):
        return "The axes are a tuple, also when there is one: `(0,)`."
    if number not in range(len(records)):
        return f"The layers of this network are those from 0 to {len(records) - 1}."
    record = records[int(number)]
    ndim = len(record["shape"])
    if tuple(axes) not in sets(record):
        if right == [number, sorted(a % ndim if isinstance(a, int) else a for a in axes)]:
            return "The axes are the right ones; give them in rising order, counted from 0."
        possible = ", ".join(map(_axes, sets(record)))
        return f"An input with {ndim} axes is reduced over one of {possible}."
    reach = _reach(record, axes)
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
    inputs=lambda rng: _networks(rng, ("", "even"), telling=True),
)(bugs_found)


bug.case(
    "networks whose running means all have the right shape",
    points=3,
    adapter="searched",
    inputs=_networks_and_the_example,
)(bugs_found)
