"""Wrong answers to 6.2, a BatchNorm that is too good."""

from misconceptions import wrong


def sound(record):
    """The axes over which a layer that isn't broken takes its statistics."""
    return tuple(range(len(record["shape"]) - 1))


def near(means, variances=None, close=0.005):
    fits = (means.abs() < close).all()
    return fits and (variances is None or near(variances - 1, close=close))


def over_axes(record, *over):
    mean, var = record["mean"], record["var"]
    return mean.mean(over), var.mean(over) + mean.var(over, correction=0)


def axes_of(record, sets=((0,), (0, 1), (0, 2), (0, 1, 2)), close=0.005):
    mean, var = record["mean"], record["var"]
    for axes in sets:
        over = [a - 1 for a in axes if a > 0]
        if over and max(over) >= mean.ndim:
            continue
        if near(*(over_axes(record, *over) if over else (mean, var)), close):
            return axes
    return None


def search(records, axes=axes_of):
    for i, record in enumerate(records):
        found = axes(record)
        if found is not None and found != sound(record):
            return i, found
    return None


def changed(change):
    return lambda records: (found := search(records)) and change(*found, records)


@wrong("6.2", "The shapes of these running means look right")
def by_shape_alone():
    def axes(record):
        shape, kept = record["shape"], record["running_mean"]
        if kept == shape[-1:]:
            return sound(record)
        sets = [(0,), (0, 2), (0, 1, 2)] if len(shape) == 3 else [(0, 1)]
        return next(a for a in sets if tuple(n for i, n in enumerate(shape) if i not in a) == kept)

    return lambda records: search(records, axes)


@wrong("6.2", "tells nothing where T = C")
def shape_before_statistics():
    def axes(record):
        shape, kept = record["shape"], record["running_mean"]
        sets = [(0, 2), (0, 1, 2), (0,)] if len(shape) == 3 else []
        given_away = [
            a for a in sets if tuple(n for i, n in enumerate(shape) if i not in a) == kept
        ]
        return given_away[0] if given_away else axes_of(record)

    return lambda records: search(records, axes)


@wrong("6.2", "what gives them away is that they are too good")
def looks_sound_together():
    def axes(record):
        right = sound(record)
        return axes_of(record, [right, (0,), (0, 2), (0, 1), (0, 1, 2)])

    return lambda records: search(records, axes)


@wrong("6.2", "You take the largest set of axes")
def largest_first():
    sets = [(0, 1, 2), (0, 1), (0, 2), (0,)]
    return lambda records: search(records, lambda r: axes_of(r, sets))


@wrong("6.2", "You look at the means alone")
def means_alone():
    def axes(record):
        mean = record["mean"]
        for over in ((0,), (0, 1), (0, 2), (0, 1, 2))[: 2 * mean.ndim]:
            m = mean.mean([a - 1 for a in over if a]) if len(over) > 1 else mean
            if m.abs().max() < 0.005:
                return over
        return None

    return lambda records: search(records, axes)


@wrong("6.2", "`eps` leaves variances a little below 1")
def exactly_one():
    return lambda records: search(records, lambda r: axes_of(r, close=1e-9))


@wrong("6.2", "is sound when it reduces over (0,)")
def three_axes_everywhere():
    def find_bug(records):
        for i, record in enumerate(records):
            axes = axes_of(record)
            if axes != (0, 1):
                return i, axes
        return None

    return find_bug


@wrong("6.2", "You count layers from 1")
def counted_from_one():
    return changed(lambda i, axes, records: (i + 1, axes))


@wrong("6.2", "These are the axes that are kept")
def axes_that_are_kept():
    def kept(i, axes, records):
        return i, tuple(a for a in range(len(records[i]["shape"])) if a not in axes)

    return changed(kept)


@wrong("6.2", "these are the axes that it should reduce over")
def axes_that_would_be_right():
    return changed(lambda i, axes, records: (i, sound(records[i])))


@wrong("6.2", "axis 0 of `mean` is axis 1 of y")
def axes_of_the_record():
    return changed(lambda i, axes, records: (i, tuple(a - 1 for a in axes if a)))


@wrong("6.2", "over (0,) it has means up to")
def variances_averaged():
    def find_bug(records):
        for i, record in enumerate(records):
            over = list(range(record["mean"].ndim - 1))
            v = record["var"].mean(over) if over else record["var"]
            if (v - 1).abs().max() > 0.005:
                return i, (0,)
        return None

    return find_bug


@wrong("6.2", "unless it is told otherwise")
def unbiased_variance_of_the_means():
    def axes(record):
        for over in ((), (0,), (1,), (0, 1)):
            m, v = record["mean"], record["var"]
            if over and max(over) < m.ndim:
                m, v = m.mean(over), v.mean(over) + m.var(over)
            if m.abs().max() < 0.005 and (v - 1).abs().max() < 0.005:
                return (0, *(a + 1 for a in over))
        return None

    return lambda records: search(records, axes)


@wrong("6.2", "in rising order, counted from 0")
def axes_from_behind():
    def from_behind(i, axes, records):
        return i, tuple(a - len(records[i]["shape"]) for a in axes)

    return changed(from_behind)


@wrong("6.2", "The layers of this network are those from 0 to")
def layers_from_behind():
    return changed(lambda i, axes, records: (i - len(records), axes))


@wrong("6.2", "return None itself")
def a_pair_of_nones():
    return lambda records: search(records) or (None, None)


@wrong("6.2", "You leave too much room")
def nearly_is_enough():
    return lambda records: search(records, lambda r: axes_of(r, close=0.02))


@wrong("6.2", "You leave too little room")
def hardly_any_room_for_eps():
    return lambda records: search(records, lambda r: axes_of(r, close=1e-4))


@wrong("6.2", "is sound: over (0, 1), its means are 0, and its variances (the mean of")
def every_first_layer():
    return lambda records: search(records) or (0, (0,))


def lost(variance, close=0.005):
    """An answer that calls a layer broken, without axes, when no set of axes fits.

    variance: what it takes for the variance, from the means, the variances and the axes.
    """

    def axes(record):
        mean, var = record["mean"], record["var"]
        for over in ((), (0,), (1,), (0, 1)):
            m, v = mean, var
            if over and max(over) < m.ndim:
                m, v = m.mean(over), variance(m, v, over)
            if m.abs().max() < close and (v - 1).abs().max() < close:
                return (0, *(a + 1 for a in over))
        return None

    def find_bug(records):
        for i, record in enumerate(records):
            found = axes(record)
            if found != sound(record):
                return i, found
        return None

    return find_bug


@wrong("6.2", "`var` divides by n − 1 unless")
def lost_by_the_unbiased_variance():
    return lost(lambda m, v, over: v.mean(over) + m.var(over))


@wrong("6.2", "lacks what lies between them")
def lost_without_the_variance_of_the_means():
    return lost(lambda m, v, over: v.mean(over))


@wrong("6.2", "you add their standard deviation")
def lost_by_the_deviation_of_the_means():
    return lost(lambda m, v, over: v.mean(over) + m.std(over, correction=0))


@wrong("6.2", "`eps` takes up to 0.001 from a variance")
def lost_without_room_for_eps():
    return lost(lambda m, v, over: v.mean(over) + m.var(over, correction=0), 1e-5)


@wrong("6.2", "You look at the variances alone")
def variances_alone():
    def axes(record):
        mean, var = record["mean"], record["var"]
        for over in ((), (0,), (1,), (0, 1)):
            v = var
            if over and max(over) < var.ndim:
                v = var.mean(over) + mean.var(over, correction=0)
            if (v - 1).abs().max() < 0.005:
                return (0, *(a + 1 for a in over))
        return None

    return lambda records: search(records, axes)


@wrong("6.2", "`.all()` and not `.any()`")
def any_mean_is_zero():
    def axes(record):
        mean, var = record["mean"], record["var"]
        for over in ((), (0,), (1,), (0, 1))[: 2 * mean.ndim]:
            m = mean.mean(over) if over else mean
            v = var.mean(over) + mean.var(over, correction=0) if over else var
            if (m.abs() < 0.005).any() and ((v - 1).abs() < 0.005).all():
                return (0, *(a + 1 for a in over))
        return None

    return lambda records: search(records, axes)


@wrong("6.2", "You count the layers whose input has three axes")
def two_axes_uncounted():
    def number(i, axes, records):
        return sum(len(record["shape"]) == 3 for record in records[:i]), axes

    return changed(number)


@wrong("6.2", "by their place")
def two_axes_at_the_end():
    def find_bug(records):
        for i, record in enumerate(records):
            last = i == len(records) - 1
            found = axes_of(record, [(0,), (0, 1)] if last else [(0,), (0, 1), (0, 2), (0, 1, 2)])
            if found != ((0,) if last else (0, 1)):
                return i, found
        return None

    return find_bug


@wrong("6.2", "none in a later layer")
def ends_at_the_first_sound_layer():
    def find_bug(records):
        for i, record in enumerate(records):
            axes = axes_of(record)
            if axes != sound(record):
                return i, axes
            else:
                return None

    return find_bug


@wrong("6.2", "must not take back what was found")
def taken_back_by_the_next_layer():
    def find_bug(records):
        for i, record in enumerate(records):
            axes = axes_of(record)
            result = None if axes == sound(record) else (i, axes)
        return result

    return find_bug


@wrong("6.2", "no broken layer with two axes")
def two_axes_skipped():
    return lambda records: search(records, lambda r: axes_of(r) if len(r["shape"]) == 3 else None)


def shortcut(two, rows, columns):
    """An answer that asks for means and variances, but where a test is given in their place.

    two: of a layer with two axes; rows: over (0, 1); columns: over (0, 2).
    """

    def find_bug(records):
        for i, record in enumerate(records):
            if record["mean"].ndim == 1:
                if not two(record["mean"], record["var"]):
                    return i, (0, 1)
            elif near(record["mean"], record["var"]):
                return i, (0,)
            elif not rows(*over_axes(record, 0)):
                return i, ((0, 2) if columns(*over_axes(record, 1)) else (0, 1, 2))
        return None

    return find_bug


def means_only(mean, var):
    return near(mean)


def variances_only(mean, var):
    return near(var - 1)


@wrong("6.2", "isn't sound: over (0, 1) it has means up to 0.000 and variances from")
def rows_judged_by_their_means():
    return shortcut(near, means_only, near)


@wrong("6.2", "isn't sound: over (0,) it has means up to 0.000 and variances from")
def two_axes_judged_by_their_means():
    return shortcut(means_only, near, near)


@wrong("6.2", "over (0, 2), though, it has means up to 0.000 and variances from")
def columns_judged_by_their_means():
    return shortcut(near, near, means_only)


@wrong("6.2", "isn't sound: over (0, 1) it has means up to 0.05")
def rows_judged_by_their_variances():
    return shortcut(near, variances_only, near)


@wrong("6.2", "isn't sound: over (0,) it has means up to 0.05")
def two_axes_judged_by_their_variances():
    return shortcut(variances_only, near, near)


@wrong("6.2", "over (0, 2), though, it has means up to 0.05")
def columns_judged_by_their_variances():
    return shortcut(near, near, variances_only)
