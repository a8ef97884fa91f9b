"""2.7 · The leak between the splits: asking whether held-out data are really unseen, and
what it costs if not.
"""

from collections import Counter

from zerotohero.course.checks.bigram.shared import KEPT, ORDER
from zerotohero.course.checks.names import some_names
from zerotohero.course.exercise import (
    NOTHING,
    Exercise,
    Mistake,
    expect,
    expect_that,
    show,
)

leak = Exercise(
    number="2.7",
    title="The leak between the splits",
    difficulty=2,
    minutes=25,
    practises="asking whether held-out data are really unseen, and what it costs if not",
    answers=("leak_share", "without_leak"),
    summary=(
        "Some of the dev names are also among the training names, since boys and girls share them. "
        "Measure how many, take them out, and see what that does to the loss."
    ),
    statement="""
`leak_share(train: list[str], dev: list[str]) -> float` is the share of the entries of `dev` that
are also in `train`, between 0 and 1.

`without_leak(train: list[str], dev: list[str]) -> list[str]` returns the entries of `dev` that
are not in `train`, in their order, and leaves both lists as they are.

```python
train, dev = ["ava", "mia", "zoe"], ["ava", "kim", "ava", "lee"]
leak_share(train, dev)  # 0.5
without_leak(train, dev)  # ['kim', 'lee']
```

Afterwards, split all the names as in 2.2 and measure: 12 to 13 % of the dev names leak. Compare the
loss of the bigram and of the trigram on all of dev, on the leaked names and on the rest. Which
model gains by the leak, and what would you expect of one that looks back ten characters?
""",
    hints=(
        "`name in train` walks through 25,000 names each time. What finds a name at once?",
        "Make a set of the training names; go through `dev` itself, so that order and repetitions "
        "stay.",
        "`seen = set(train)`, then `[name for name in dev if name not in seen]`; the share is "
        "`sum(name in seen for name in dev) / len(dev)`.",
    ),
)


PART = "A name that is only a part of a longer one was found too: look among the names, not in one "
PART += "long text."
COUNTERS = (
    "With `&` or `-` of two Counters, a name leaks at most as often as train has it, and a name "
    "that dev repeats may leak more often: go through `dev`."
)


def _share(train: list[str], dev: list[str]) -> float:
    known = set(train)
    return sum(name in known for name in dev) / len(dev)


def _wrong_shares(train: list[str], dev: list[str]) -> list[Mistake]:
    a, b = set(train), set(dev)
    share = _share(train, dev)
    return [
        Mistake(
            sum(name in b for name in train) / len(train),
            "This is the share of *train* that is in dev; the question is how much of dev is "
            "not new.",
        ),
        Mistake(
            len(a & b) / len(b),
            "Repeated dev names count once here, but each adds to the loss: go through the entries "
            "of `dev`, not through a set of them.",
        ),
        Mistake(
            len(a & b) / len(dev),
            "Distinct names are divided by all entries: go through `dev` itself, where a repeated "
            "name counts each time.",
        ),
        Mistake(
            len(a & b) / len(train),
            "The shared names are divided by the length of train; divide by that of dev.",
        ),
        Mistake(
            len(a & b) / len(a | b),
            "This is the overlap of two sets, divided by all names; divide by the entries of dev.",
        ),
        Mistake(1 - share, "This is the share that is *not* in train."),
        Mistake(100 * share, "This is in per cent; a share is between 0 and 1."),
        Mistake(sum(name in a for name in dev), "This is a number of names; divide by all."),
        Mistake(
            sum(name in b for name in train) / len(dev),
            "The entries of *train* were counted; go through those of dev.",
        ),
        Mistake(
            sum(name in a for name in dev) / len(train),
            "Divide by the length of dev, not by that of train.",
        ),
        Mistake(
            sum(name in a for name in dev) / (len(train) + len(dev)),
            "Divide by the length of dev alone.",
        ),
        Mistake(
            sum(map(train.count, dev)) / len(dev),
            "A dev name that is in train twice counts twice here; ask only whether it is there.",
        ),
        Mistake(
            sum((Counter(train) & Counter(dev)).values()) / len(dev),
            COUNTERS,
        ),
        Mistake(sum(name in " ".join(train) for name in dev) / len(dev), PART),
        Mistake(
            1 - len(b - a) / len(dev),
            "The names that don't leak were counted once each, as in a set, and taken from all "
            "entries: a repeated name counts each time there, too.",
        ),
        Mistake(
            share - 1 / len(dev),
            "One leaked name too few was counted: does the loop reach both the first entry of "
            "`dev` and the last? Both leak here.",
        ),
        Mistake(
            0,
            "No leak at all? `//` and `int` round down to 0, and `zip` compares only names that "
            "are at the same place.",
        ),
        Mistake(round(share, 2), "This is rounded; return the share as it is."),
    ]


def _leaky(rng):
    """Return lists for which no wrong share is right, or another's, by luck.

    The first and the last name of dev leak.
    """
    while True:
        names = some_names(rng, 42)
        start, times = int(rng.integers(15, 21)), int(rng.integers(1, 7))
        # Repetitions on both sides, so that sets of dev, of train and of both give other shares,
        # and a name that longer ones begin and end with.
        train = [*names[:25], *names[14:22], "anabelle", "marianabel"]
        dev = [*names[start : start + 22], *[names[30]] * times, *["anabel"] * 2, *names[20:24]]
        shares = [_share(train, dev), *(wrong.value for wrong in _wrong_shares(train, dev))]
        if len({round(share, 6) for share in shares}) == len(shares):
            return {"train": train, "dev": dev}


def _new_at_both_ends(rng):
    """Return lists of which the first and the last name of dev don't leak."""
    given = _leaky(rng)
    return given | {"dev": ["anabel", *given["dev"], "anabel"]}


@leak.case(
    "the share of about 30 dev names", adapter="share", points=2, inputs=_leaky, crashes=ORDER
)
def share_of_dev_names(given, got):
    train, dev = given["train"], given["dev"]
    hint = "Return a number, not a text." if isinstance(got["share"], str) else None
    expect(
        "leak_share",
        got["share"],
        _share(train, dev),
        mistakes=_wrong_shares(train, dev),
        hint=hint,
    )
    expect(
        "leak_share of the two lists swapped",
        got["swapped"],
        _share(dev, train),
        mistakes=[Mistake(1.0, KEPT)],  # every name was seen in one of the calls
    )


def _removed_on_the_way(train: list[str], dev: list[str]) -> list[str]:
    """Return what is left of dev, if names are removed from the list that is gone through."""
    left = list(dev)
    for name in left:
        if name in train:
            left.remove(name)
    return left


@leak.case(
    "dev without the leak",
    adapter="cleaned",
    points=2,
    inputs=_new_at_both_ends,
    crashes=ORDER
    | {
        "returned a set": "A set has no order and no repetitions: return a list, made by going "
        "through `dev` in its order.",
        "returned a (filter|generator)": "Make a list of it: `list(…)`.",
    },
)
def dev_without_the_leak(given, got):
    train, dev = given["train"], given["dev"]
    clean = [name for name in dev if name not in set(train)]
    come = got["dev"]
    expect_that(
        isinstance(come, list) and all(isinstance(name, str) for name in come),
        f"without_leak: expected a list of names, got {show(come)}",
        NOTHING if come is None else "Return the list alone: `[name for name in dev if …]`.",
    )
    hint = None
    if come == [name for name in train if name not in set(dev)]:
        hint = "You cleaned *train* of dev; the loss is measured on dev, so clean that."
    elif sorted(come) == sorted(clean):
        hint = "The order is lost: go through `dev` as it stands."
    elif come == list(dict.fromkeys(clean)):
        hint = "Repetitions are lost: keep a name as often as it is in `dev`."
    elif sorted(come) == sorted(set(clean)):
        hint = "Order and repetitions are lost: a set has neither. Go through `dev` in its order."
    elif come == [name for name in dev if name in set(train)]:
        hint = "These are the names that leak; keep the others."
    elif come == [name for name in dev if name not in " ".join(train)]:
        hint = PART
    elif sorted(come) == sorted((Counter(dev) - Counter(train)).elements()):
        hint = COUNTERS
    elif come in (clean[1:], clean[:-1]):
        which = "first" if come == clean[1:] else "last"
        hint = f"The {which} entry of `dev` is missing: `for name in dev` reaches all of them."
    elif come == _removed_on_the_way(train, dev) or (got["dev_after"] != dev and come != clean):
        hint = "Removing from a list while walking through it skips the name after each removed."
    expect("without_leak", come, clean, hint=hint)
    expect_that(
        got["dev_after"] == dev,
        "without_leak: the list that was passed in has changed",
        "The caller's own list was changed; build a new one.",
    )
    expect_that(
        got["train_after"] == train,
        "without_leak: the list `train` has changed",
        "The caller's own list was changed; work on a copy, or on a set made from it.",
    )
    swapped = [name for name in train if name not in set(dev)]
    expect(
        "without_leak of the two lists swapped",
        got["swapped"],
        swapped,
        mistakes=[Mistake(kept, KEPT) for kept in (clean + swapped, [])],
    )
    nothing = "Where every name leaks, none is left: return a list without names."
    expect(
        "without_leak where every name leaks",
        got["all leak"],
        [],
        mistakes=[Mistake(None, nothing), Mistake(train, nothing)],
    )
