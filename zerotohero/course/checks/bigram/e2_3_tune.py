"""2.3 · Tune on dev, report test once: choosing a setting without spoiling the number that
is reported.
"""

import numpy as np

from zerotohero.course.checks.bigram.shared import ORDER
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    expect,
    expect_that,
    show,
)

tune = Exercise(
    number="2.3",
    title="Tune on dev, report test once",
    difficulty=2,
    minutes=20,
    practises="choosing a setting without spoiling the number that is reported",
    answers=("tune_smoothing",),
    summary=(
        "Find the smoothing that the dev names like best. Then look at the test names a single "
        "time, with that one."
    ),
    statement="""
`tune_smoothing(loss: Callable[[str, float], float], ks: list[float]) -> tuple[float, float]`.
`loss(split, k)` gives the loss of a model with smoothing k on the split `"train"`, `"dev"` or
`"test"`. Return the best k of the list and the loss on test with it. Every look at test is
recorded, and only one is allowed.

```python
def loss(split, k):
    dip = (k - 1) ** 2
    return {"train": k, "dev": dip + 2, "test": dip + 2.5}[split]

tune_smoothing(loss, [0.0, 1.0, 10.0])  # (1.0, 2.5)
```

Afterwards, tune the trigram: give it a `loss` that calls your `ngram_loss` of 2.2. Which k is best,
and by how much does it beat k = 1? Why would tuning on train always choose the smallest k?
""",
    hints=(
        "Three jobs, three splits: train is for counting, dev for choosing, test for reporting.",
        "`min` takes a `key`: the function by which it compares.",
        '`best = min(ks, key=lambda k: loss("dev", k))`, and one call of `loss("test", best)`.',
    ),
)
TOO_LOW = (
    "Is the loss to be beaten at the start one that none of these can beat? Begin with infinity."
)
PAIR = "Return two numbers, the best k and its loss on test: `return best, …`."


def _losses(ks, rng, on_dev, on_test):
    """Return losses of three splits for each k, as they are: train rises with k, dev and test dip.

    on_dev, on_test: the places of the best k among the sorted. That of dev is in the lower half,
    so that its worst is not also the best of train.
    """
    place = np.argsort(np.argsort(ks))  # train rises faster than dev falls: their sum misleads
    noise = rng.random((2, len(ks))) / 1000
    return {
        "train": (2.1 + 0.03 * place).tolist(),
        "dev": (2.2 + 0.02 * abs(place - on_dev) + noise[0]).tolist(),
        "test": (2.21 + 0.02 * abs(place - on_test) + noise[1]).tolist(),
    }


def _runner_up(ks, losses):
    """Return the second best k on dev, if its loss is within a thousandth of the best."""
    (best, _), (second, k) = sorted(zip(losses["dev"], ks, strict=True))[:2]
    return k if second - best < 0.001 else None


def _tune_case(name, inputs, points=1):
    @tune.case(
        name,
        adapter="tuned",
        points=points,
        inputs=inputs,
        crashes={
            "was asked for [0-9]": 'The split comes first, then k: `loss("dev", k)`.',
            "k = None": f"k is None here, so no k was chosen. {TOO_LOW}",
            "loss.. missing": 'The loss takes two arguments, the split and k: `loss("dev", k)`.',
        }
        | ORDER,
    )
    def k_tuned_on_dev(given, got):
        ks, losses, pair = given["ks"], given["losses"], got["pair"]
        expect_that(
            isinstance(pair, list | np.ndarray) and np.shape(pair)[:1] == (2,),
            f"tune_smoothing: expected two numbers, got {show(pair)}",
            PAIR,
        )
        k, test_loss = np.asarray(pair).tolist() if isinstance(pair, np.ndarray) else pair
        best = int(np.argmin(losses["dev"]))
        seen = {split: {k for where, k in got["asked"] if where == split} for split in losses}
        by_split = {
            "train": "This k is the best on train, where the model was counted: there, less "
            "smoothing always looks better.",
            "test": "This k is the best on test. Chosen there, the loss on test is no longer that "
            "of unseen names: choose on dev.",
        }
        # A place or a k that an answer never asked for is what it has left out.
        wrong = [
            *(
                Mistake(ks[int(np.argmin(losses[split]))], hint)
                for split, hint in by_split.items()
                if len(seen[split]) > 1
            ),
            *(
                Mistake(
                    min(set(ks) - {left}, key=lambda k: losses["dev"][ks.index(k)]),
                    f"The {which} k of the list is left out, and it is the best.",
                )
                for which, left in (("first", ks[0]), ("last", ks[-1]))
                if seen["dev"] == set(ks) - {left}
            ),
            Mistake(
                None if len(seen["train"] | seen["test"]) > 1 else _runner_up(ks, losses),
                "The two best losses are near each other here: compare them as they are, not "
                "rounded."
                if seen["dev"] == set(ks)
                else "The loss on dev falls, rises and falls again here: try every k of the list.",
            ),
            Mistake(
                ks[2] if ks[1] == 0.0 == ks[best] else None,
                "The best k is 0 here and so is its loss, and `if not …` takes a 0 for none, or "
                "this k is left out: compare with None, and try every k.",
            ),
            *(
                Mistake(start, f"This k isn't the best, only the {which}. {TOO_LOW}")
                for which, start in (("first", ks[0]), ("smallest", 0.0))
                if min(losses["dev"]) > 1000 and seen["dev"] == set(ks)
            ),
            Mistake(
                ks[int(np.argmax(losses["dev"]))],
                "This k has the highest loss on dev; the lowest is the best.",
            ),
            Mistake(best, "This is the place of the best k in the list; return the k itself."),
            Mistake(losses["dev"][best], "This is the best loss; return the k that gave it."),
            Mistake(losses["test"][best], "This is the loss on test: the k comes first, then it."),
        ]
        expect("the best k", k, ks[best], mistakes=wrong)
        looks = [float(k) for split, k in got["asked"] if split == "test"]
        once = "Test was looked at twice with the same k: keep what the first call returned."
        several = "Test was looked at for several k. Whoever sees all of them will choose by them "
        several += 'one day: call `loss("test", …)` once, after the choice.'
        expect_that(
            len(looks) <= 1,
            f"the looks at test: expected 1, got {len(looks)}",
            once if len(set(looks)) == 1 else several,
        )
        wrong = [
            Mistake(
                losses["dev"][best],
                "This is the loss on dev, which was used to choose and is therefore too good: "
                "report test.",
            ),
            Mistake(losses["train"][best], "This is the loss on train: report test."),
            Mistake(min(losses["test"]), "This is the lowest loss on test, of another k."),
            Mistake(None, PAIR),
        ]
        expect("the loss on test", test_loss, losses["test"][best], mistakes=wrong)


def _disagreeing(rng):
    ks = [0.03125, 0.0625, 0.25, 0.5, 2.5, 7.5]  # the same numbers as float32
    losses = _losses(ks, rng, on_dev=1, on_test=3)
    return _reordered(ks, losses, first=np.argmin(losses["dev"]))


def _large(rng):
    """Return losses as large as those of whole texts may be, with two dips on dev."""
    ks = [9.0, *rng.permutation([0.0, 0.125, 0.375, 1.5, 30.0]).tolist()]
    losses = _losses(ks, rng, on_dev=3, on_test=4)
    losses["dev"][ks.index(0.0)] = 2.23  # not the highest, so that it is told from that
    losses["dev"][ks.index(1.5)] = 2.2
    # A second dip at a smaller k, whose loss rounded to three digits is the same.
    losses["dev"][ks.index(0.125)] = 2.2003
    more = dict(zip(losses, [1000, 1020, 1040] + 10 * rng.random(3).round(3), strict=True))
    losses = {split: [more[split] + loss for loss in row] for split, row in losses.items()}
    return _reordered(ks, losses, last=np.argmin(losses["dev"]))


def _reordered(ks, losses, first=None, last=None):
    """Return the same with one k moved to the front or to the end, where a loop may miss it."""
    order = [i for i in range(len(ks)) if i not in (first, last)]
    order = [first, *order] if last is None else [*order, last]
    rows = {split: [row[i] for i in order] for split, row in losses.items()}
    return {"ks": [ks[i] for i in order], "losses": rows}


def _zero_is_best(rng):
    """Return losses of which the lowest on dev is 0, at k = 0, and one is infinite."""
    noise, inf = rng.random((3, 4)).round(3) / 20, float("inf")
    return {
        "ks": [8.0, 0.0, 2.0, 32.0],
        "losses": {
            "train": (noise[0] + [2.3, 2.2, 2.1, 2.4]).tolist(),
            "dev": (noise[1] * [1, 0, 1, 1] + [inf, 0, 2.2, 2.3]).tolist(),
            "test": (noise[2] + [inf, 2.3, 2.4, 2.2]).tolist(),
        },
    }


_tune_case("dev and test disagree, the best k in front", _disagreeing)
_tune_case("large losses in no order, the best k at the end", _large)
_tune_case("the best k is 0, and so is its loss on dev", _zero_is_best)
