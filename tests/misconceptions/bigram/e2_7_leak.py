"""Wrong answers to 2.7, the leak between the splits."""

from collections import Counter

from misconceptions import wrong


def share(train, dev):
    return sum(name in set(train) for name in dev) / len(dev)


def clean(train, dev):
    return [name for name in dev if name not in set(train)]


@wrong("2.7", "the share of *train* that is in dev")
def share_of_train():
    return lambda train, dev: share(dev, train), clean


@wrong("2.7", "Repeated dev names count once here")
def distinct_dev_names():
    return lambda train, dev: len(set(train) & set(dev)) / len(set(dev)), clean


@wrong("2.7", "Distinct names are divided by all entries")
def distinct_over_all():
    return lambda train, dev: len(set(train) & set(dev)) / len(dev), clean


@wrong("2.7", "divided by all names")
def overlap_of_sets():
    def leak_share(train, dev):
        return len(set(train) & set(dev)) / len(set(train) | set(dev))

    return leak_share, clean


@wrong("2.7", "This is in per cent")
def per_cent():
    return lambda train, dev: 100 * share(train, dev), clean


@wrong("2.7", "Order and repetitions are lost")
def difference_of_sets():
    return share, lambda train, dev: list(set(dev) - set(train))


@wrong("2.7", "You cleaned *train*")
def cleans_train():
    return share, lambda train, dev: clean(dev, train)


@wrong("2.7", "skips the name after")
def removes_while_walking():
    def without_leak(train, dev):
        for name in dev:
            if name in train:
                dev.remove(name)
        return dev

    return share, without_leak


@wrong("2.7", "counts twice here")
def pairs_of_equal_names():
    return lambda train, dev: sum(a == b for a in train for b in dev) / len(dev), clean


@wrong("2.7", "a part of a longer one")
def parts_of_names():
    text = " ".join
    return (
        lambda train, dev: sum(name in text(train) for name in dev) / len(dev),
        lambda train, dev: [name for name in dev if name not in text(train)],
    )


@wrong("2.7", "The entries of *train* were counted")
def counts_train_entries():
    return lambda train, dev: sum(name in dev for name in train) / len(dev), clean


@wrong("2.7", "return a list, made by going")
def returns_a_set():
    return share, lambda train, dev: set(dev) - set(train)


@wrong("2.7", "work on a copy, or on a set")
def empties_train():
    def without_leak(train, dev):
        left = clean(train, dev)
        train.clear()
        return left

    return share, without_leak


@wrong("2.7", "Nothing came back")
def share_without_return():
    return lambda train, dev: None, clean


@wrong("2.7", "The order is lost")
def sorts():
    return share, lambda train, dev: sorted(clean(train, dev))


@wrong("2.7", "Repetitions are lost: keep")
def each_name_once():
    return share, lambda train, dev: list(dict.fromkeys(clean(train, dev)))


@wrong("2.7", "`out=[]` is made once")
def list_as_a_default():
    def without_leak(train, dev, out=[]):  # noqa: B006 (the mistake)
        out += clean(train, dev)
        return out

    return share, without_leak


@wrong("2.7", "something is kept from call to call")
def names_kept_from_call_to_call():
    seen = set()

    def leak_share(train, dev):
        seen.update(train)
        return sum(name in seen for name in dev) / len(dev)

    return leak_share, clean


@wrong("2.7", "Where every name leaks, none is left")
def dev_where_nothing_is_left():
    return share, lambda train, dev: clean(train, dev) or dev


@wrong("2.7", "With `&` or `-` of two Counters")
def counters_intersected():
    def leak_share(train, dev):
        return sum((Counter(train) & Counter(dev)).values()) / len(dev)

    return leak_share, clean


def left_of_counters(train, dev):
    return list((Counter(dev) - Counter(train)).elements())


@wrong("2.7", "a name leaks at most as often as train has it")
def counters_subtracted():
    return lambda train, dev: 1 - len(left_of_counters(train, dev)) / len(dev), left_of_counters


@wrong("2.7", "and a name that dev repeats may leak more often")
def counters_subtracted_to_clean():
    return share, left_of_counters


@wrong("2.7", "counted once each, as in a set, and taken from all")
def distinct_clean_names_taken_from_all():
    return lambda train, dev: 1 - len(set(dev) - set(train)) / len(dev), clean


@wrong("2.7", "does the loop reach both the first entry")
def last_not_counted():
    def leak_share(train, dev):
        return sum(dev[i] in train for i in range(len(dev) - 1)) / len(dev)

    return leak_share, clean


@wrong("2.7", "and the last? Both leak here")
def first_not_counted():
    def leak_share(train, dev):
        return sum(dev[i] in train for i in range(1, len(dev))) / len(dev)

    return leak_share, clean


@wrong("2.7", "The last entry of `dev` is missing")
def last_not_kept():
    return share, lambda train, dev: clean(train, dev[:-1])


@wrong("2.7", "The first entry of `dev` is missing")
def first_not_kept():
    return share, lambda train, dev: clean(train, dev[1:])
