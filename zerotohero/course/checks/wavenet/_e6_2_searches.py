"""What wrong searches in 6.2 find, and the hint for each; and what a record tells of a layer."""

import numpy as np

SOUND = {3: (0, 1), 2: (0,)}
BROKEN = {3: [(0,), (0, 2), (0, 1, 2)], 2: [(0, 1)]}


def sets(record: dict) -> list[tuple[int, ...]]:
    """Return all sets of axes that a layer may reduce over, the smallest first."""
    return [(0,), (0, 1), (0, 2), (0, 1, 2)] if len(record["shape"]) == 3 else [(0,), (0, 1)]


def statistics(record: dict, axes, between=np.var) -> tuple[np.ndarray, np.ndarray]:
    """Return the means and variances of y over these axes.

    between: what of the means is added to the mean of the variances.
    """
    mean, var = record["mean"], record["var"]
    over = tuple(a - 1 for a in axes if a > 0)  # the batch axis is gone already
    if not over:
        return mean, var
    return mean.mean(over), var.mean(over) + between(mean, over)


def off(
    record: dict, axes, means=True, variances=True, between=np.var, of_means=np.max, of_vars=np.max
) -> float:
    """Return how far the means over these axes are from 0, or the variances from 1, at most.

    of_means, of_vars: which of the distances counts; np.min asks for one that is near.
    """
    m, v = statistics(record, axes, between)
    return max(of_means(np.abs(m)) * means, of_vars(np.abs(v - 1)) * variances)


def _axes_by_statistics(
    record: dict, order=None, close: float = 0.005, **switches
) -> tuple[int, ...] | None:
    possible = sets(record)
    fitting = (
        a
        for a in sorted(possible, key=order or possible.index)
        if off(record, a, **switches) < close
    )
    return next(fitting, None)


TIGHT = (
    "You leave too little room: `eps` takes up to 0.001 from a variance where the inputs are small."
)
LOOSE = "You leave too much room: the means of some sound layers are 0.012, which is not 0."
VARIANCES = (
    "You look at the variances alone, or leave the means more room than 0.05: the variances of a "
    "sound layer can be almost 1 at every position, and its means aren't 0 there."
)
ANY = (
    "You ask whether one of the means is 0, or one of the variances 1: a normalisation makes them "
    "all so, `.all()` and not `.any()`."
)
UNBIASED = (
    "The variance of the means is the one that divides by n: `mean.var(…, correction=0)`. torch's "
    "`var` divides by n − 1 unless it is told otherwise."
)
WITHIN = (
    "Over several positions, the mean of the variances lacks what lies between them: add the "
    "variance of the means (the one that divides by n)."
)
ALONE = (
    "You find the layers that reduce over (0,), and no others. If you try the other sets, the "
    "variance over them is wrong: `mean.var(…, correction=0)`, as torch's `var` divides by n − 1 "
    "unless it is told otherwise."
)
NOTHING_FOUND = (
    "You find no broken layer in any network. Is the comparison too exact? `eps` leaves variances "
    "a little below 1. Is every layer looked at? `return None` comes after the loop."
)
FIRST = (
    "You find the bugs in layer 0, and none in a later layer: a sound layer says nothing of the "
    "next, so `return None` comes after the loop."
)
DEVIATION = (
    "What is added to the mean of the variances is the variance of the means, and you add their "
    "standard deviation."
)
BETWEEN = [
    (lambda mean, over: mean.var(over, ddof=1), UNBIASED),
    (lambda mean, over: 0, WITHIN),
    (lambda mean, over: mean.std(over), DEVIATION),
    (lambda mean, over: mean.std(over, ddof=1), DEVIATION),
]


def _axes_by_shape(record: dict) -> tuple[int, ...] | None:
    """Return which axes of the input the running mean lacks; None if it has the right shape."""
    shape, kept = record["shape"], list(record["running_mean"])
    ndim = len(shape)
    if kept == shape[-1:]:
        return SOUND[ndim]
    fitting = [a for a in BROKEN[ndim] if [n for i, n in enumerate(shape) if i not in a] == kept]
    return fitting[0] if fitting else None


def _axes_by_shape_first(record: dict) -> tuple[int, ...] | None:
    """Return the broken axes that a running mean may come of, and look further if none."""
    shape, kept = record["shape"], list(record["running_mean"])
    if len(shape) == 3 and kept in ([], shape[1:2], shape[1:]):
        return {0: (0, 1, 2), 1: (0, 2), 2: (0,)}[len(kept)]
    return _axes_by_statistics(record)


def _axes_as_taken(record: dict) -> tuple[int, ...] | None:
    """Return the axes that fit a layer whose input is taken to have `record["taken"]` axes."""
    possible = [a for a in sets({"shape": [0] * record["taken"]}) if a in sets(record)]
    return next((a for a in possible if off(record, a) < 0.005), None)


def _search(
    networks: list, axes_of, sound=lambda r: SOUND[len(r["shape"])], lost: bool = False
) -> list:
    """Return the first layer of each network whose axes aren't the sound ones, as [number, axes].

    lost: whether a layer for which no axes are found counts as broken, with None for its axes.
    """
    found = []
    for records in networks:
        bugs = [(i, axes_of(r)) for i, r in enumerate(records)]
        bugs = [
            [i, a and list(a)]
            for i, a in bugs
            if (lost or a is not None) and a != sound(records[i])
        ]
        found.append(bugs[0] if bugs else None)
    return found


def wrong_searches(networks: list, answers: list) -> list[tuple[list, str]]:
    """Return what typical wrong searches find, with the hint for each."""
    asked = list(zip(networks, answers, strict=True))
    ndims = [len(net[a[0]]["shape"]) if a else 0 for net, a in asked]

    def changed(change) -> list:
        return [a and change(a, n) for a, n in zip(answers, ndims, strict=True)]

    before = [a and [len(r["shape"]) for r in net[: a[0]]].count(3) for net, a in asked]
    placed = [[*(r | {"taken": 3} for r in net[:-1]), net[-1] | {"taken": 2}] for net in networks]
    too_good = [None if a and a[1] == [0] else a for a in answers]
    return [
        (
            _search(networks, _axes_by_shape),
            "The shapes of these running means look right everywhere, and yet there are broken "
            "layers: look at `mean` and `var`, and leave room for `eps`.",
        ),
        (
            _search(networks, _axes_by_shape_first),
            "A running mean of the shape (T,) tells nothing where T = C, as on the card: a sound "
            "layer has it, too. Look at `mean` and `var` there.",
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
            _search(networks, _axes_by_statistics, sound=lambda r: (0, 1)),
            "A layer whose input has two axes, (B, C), is sound when it reduces over (0,): look at "
            "the length of `shape` before you judge.",
        ),
        (
            _search(networks, lambda r: _axes_by_statistics(r, variances=False)),
            "You look at the means alone: they can be 0 at every position of a sound layer. Only "
            "together with variances of 1 do they tell that each position was normalised by "
            "itself.",
        ),
        *(
            (_search(networks, lambda r, s=some: _axes_by_statistics(r, **s)), ANY)
            for some in (
                {"of_means": np.min},
                {"of_vars": np.min},
                {"of_means": np.min, "of_vars": np.min},
            )
        ),
        *(
            (
                _search(networks, lambda r, c=close: _axes_by_statistics(r, means=False, close=c)),
                VARIANCES,
            )
            for close in (0.005, 0.0099)
        ),
        ([None for _ in answers], NOTHING_FOUND),
        ([a if a and a[0] == 0 else None for a in answers], FIRST),
        (
            [a if a and a[0] == len(net) - 1 else None for net, a in asked],
            "You find the bugs in the last layer, and none before it: a later sound layer must not "
            "take back what was found, so return at once.",
        ),
        (
            [None if n == 2 else a for a, n in zip(answers, ndims, strict=True)],
            "You find no broken layer with two axes, (B, C): it is sound over (0,), and one that "
            "reduces over (0, 1) is broken.",
        ),
        ([a if a and a[1] == [0] else None for a in answers], ALONE),
        *(
            (
                _search(
                    networks, lambda r, b=between: _axes_by_statistics(r, between=b), lost=lost
                ),
                hint,
            )
            for between, hint in BETWEEN
            for lost in (False, True)
        ),
        *(
            (
                _search(networks, lambda r, c=close: _axes_by_statistics(r, close=c), lost=lost),
                TIGHT,
            )
            for close in (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 7e-4)
            for lost in (False, True)
        ),
        *(
            (_search(networks, lambda r, c=close: _axes_by_statistics(r, close=c)), LOOSE)
            for close in (0.015, 0.02, 0.03, 0.05, 0.1, 0.2)
        ),
        (changed(lambda a, n: [a[0] + 1, a[1]]), "You count layers from 1; the first is number 0."),
        (
            [a and [n, a[1]] for a, n in zip(answers, before, strict=True)],
            "You count the layers whose input has three axes, and no others: number every record.",
        ),
        *(
            (
                _search(placed, _axes_as_taken, sound=lambda r: SOUND[r["taken"]], lost=lost),
                "You tell the layers with two axes, (B, C), by their place: such a layer may come "
                "anywhere, and the last may have three. Look at the length of `shape`.",
            )
            for lost in (False, True)
        ),
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
