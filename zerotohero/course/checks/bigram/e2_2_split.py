"""2.2 · Names that were held back: honest measurement: counting on one part of the data and
judging on another.
"""

import math

import numpy as np

from zerotohero.course.checks.bigram._e2_2_split import (
    loss_on_held_out_words,
    loss_unsmoothed,
    unsmoothed,
)
from zerotohero.course.checks.bigram.shared import ORDER, WHOLE
from zerotohero.course.checks.names import STOI, V, some_names
from zerotohero.course.exercise import (
    NOTHING,
    Exercise,
    Mistake,
    expect,
    expect_that,
)

split = Exercise(
    number="2.2",
    title="Names that were held back",
    difficulty=3,
    minutes=35,
    practises="honest measurement: counting on one part of the data and judging on another",
    answers=("split_words", "ngram_loss"),
    summary=(
        "Split the names 80/10/10 into train, dev and test after shuffling a copy. Then compare "
        "bigram and trigram by their loss on names that they were not counted on."
    ),
    statement="""
`split_words(words: list[str], generator: torch.Generator)`
`-> tuple[list[str], list[str], list[str]]` shuffles a **copy** of the words with the generator and
cuts it into three lists, train, dev and test: the first `int(0.8 * n)` words, those up to
`int(0.9 * n)`, and the rest.

`ngram_loss(train: list[str], held_out: list[str], n: int, k: float, stoi: dict[str, int]) -> float`
counts the n-grams of `train` (n is 2 or 3, with n − 1 boundaries before each word and one after),
adds k to every count, and returns the mean negative log-likelihood, in nats, of all the n-grams of
`held_out`: infinite if one of them has probability 0. With k = 0, that is the probability of all
that follows a context which `train` never has. A word that stands twice in a list counts twice.

```python
g = torch.Generator().manual_seed(1)
train, dev, test = split_words(list("abcdefghij"), g)
len(train), len(dev), len(test)  # 8, 1, 1
ngram_loss(["ab"], ["a"], 2, 1.0, {".": 0, "a": 1, "b": 2})  # 1.0397
```

Afterwards, measure both models on the dev names of the whole list, with k = 0.1 for instance. The
usual figures are 2.45 for the bigram and 2.22 for the trigram, which scored 2.19 on its own
training names: where does the difference come from, and why has the bigram hardly any?
""",
    hints=(
        "`torch.randperm(len(words), generator=generator)` gives the numbers of the words in a "
        "random order. Counting is 2.1 once more, for pairs or triples, on `train` alone.",
        "Each row of counts plus k is divided by *its own* sum, along the last dimension. Then "
        "look up the probability of each n-gram of `held_out`, one at a time or all at once.",
        "`P = ((N + k) / (N + k).sum(-1, keepdim=True)).nan_to_num()`, where 0 / 0 becomes 0; and "
        "for each n-gram add `-P[ids].log().item()` with `ids` a tuple of n numbers; divide by how "
        "many there were.",
    ),
)


@split.case(
    "a split of 216 words",
    adapter="split",
    points=3,
    inputs=lambda rng: {"words": [*some_names(rng, 196), *["ava"] * 20], "seed": 5},
    crashes={
        "can be converted to an? (scalar )?index|list indices must be": "A list can't be indexed "
        "by a tensor; `[words[i] for i in order]` takes the words one by one.",
        "shuffle.. takes|shuffle.*argument": "`random.shuffle` can't draw from a torch generator; "
        "`torch.randperm(n, generator=generator)` can.",
        "NoneType": "`random.shuffle` and `list.sort` change their list and return None: don't "
        "assign what they return.",
        "slice indices": "0.8 * n is a float, and slices need whole numbers: `int(0.8 * n)`.",
    }
    | ORDER,
)
def words_split(given, got):
    words, parts = given["words"], got["parts"]
    numbers = "These are the places of words; return the words that stand there."
    lists = isinstance(parts, list) and all(isinstance(p, list) for p in parts)
    tensors = isinstance(parts, list) and any(isinstance(p, np.ndarray) for p in parts)
    expect_that(
        lists and len(parts) == 3,
        "split_words: expected three lists of words, train, dev and test"
        + (f"; got {len(parts)}" if lists else ""),
        NOTHING if parts is None else numbers if tensors else None,
    )
    train, dev, test = parts
    expect_that(
        all(isinstance(word, str) for part in parts for word in part),
        "split_words: expected lists of words, got lists of other things",
        numbers,
    )
    expect_that(
        got["words_after"] == words,
        "split_words: the list that was passed in has changed",
        "You shuffled the caller's own list; `random.shuffle` and `list.sort` work in place. "
        "Shuffle a copy.",
    )
    sizes, cuts = [len(p) for p in parts], (int(0.8 * len(words)), int(0.9 * len(words)))
    joined = train + dev + test
    lost = (
        "Some words are lost: a random order takes each word exactly once (`torch.randperm`); "
        "draws with replacement (`torch.randint`) don't."
    )
    if sorted(joined) == sorted(set(words)):
        lost = "Repeated words are lost: a set keeps one of each. Shuffle the list as it is."
    elif len(joined) < len(words):
        lost = "Some words are in no part: dev must begin where train ends, and test must go to "
        lost += "the end, `words[b:]`."
    overlap = (
        "Some words are in two parts, and a model would be judged on what it was counted on: each "
        "part must begin where the one before ends, `words[a:b]`, `words[b:]`."
    )
    expect(
        "sizes of train, dev and test",
        sizes,
        [cuts[0], cuts[1] - cuts[0], len(words) - cuts[1]],
        tol=0,
        mistakes=[
            Mistake(
                [len(words) - cuts[1], cuts[1] - cuts[0], cuts[0]],
                "Train comes first and is the largest.",
            ),
            *(
                Mistake(
                    [a, b - a, len(words) - b],
                    "`int` rounds down, to the whole number below: `round` and `math.ceil` may "
                    "give the one above.",
                )
                for a, b in (
                    (round(0.8 * len(words)), round(0.9 * len(words))),
                    (math.ceil(0.8 * len(words)), math.ceil(0.9 * len(words))),
                )
            ),
        ],
        hint={1: overlap, 0: None, -1: lost}[int(np.sign(sum(sizes) - len(words)))],
    )
    expect(
        "sizes of train, dev and test of 215 words",
        got["sizes of 215"],
        [172, 21, 22],
        tol=0,
        mistakes=[Mistake([172, 22, 21], "Dev is cut off before test: the two are swapped.")],
        hint="Count from the words that are handed in: `int(0.8 * n)`, `int(0.9 * n)`.",
    )
    expect_that(
        set(joined) <= set(words),
        "split_words: some words in the three parts are not among those that were passed in",
        "Words are moved and none is changed: it is their order that is random, not their letters.",
    )
    expect_that(
        joined != words,
        "split_words: the words are in their old order",
        "Nothing was shuffled. The list is sorted by popularity, so train would hold the common "
        "names and test the rare ones.",
    )
    expect_that(
        sorted(map(str, joined)) == sorted(words),
        "split_words: the three parts together are not the words that were passed in",
        lost,
    )
    expect_that(
        sorted(train) != sorted(words[: cuts[0]]),
        "split_words: train holds the first words of the list, whatever the generator",
        "The words were shuffled within a part. Cut *after* shuffling all of them, or test holds "
        "the rare names, which stand at the end of the list.",
    )
    ordered = (
        "What is moved, turned round or sorted isn't shuffled: cut the words in their random order."
    )
    for order in (words, sorted(words)):
        place = {word: i for i, word in enumerate(order)}
        rising = np.mean(np.diff([place[word] for word in train]) > 0)
        expect_that(0.25 < rising < 0.75, "split_words: the words of train stand in order", ordered)
    expect_that(
        parts == got["same_seed"],
        "split_words: two generators with the same seed gave two splits",
        "The generator that is passed in was not used, so nobody can repeat your split: pass "
        "`generator=generator` to `torch.randperm`.",
    )
    expect_that(
        parts != got["other_seed"],
        "split_words: two generators with different seeds gave the same split",
        "You use a seed of your own; draw from the generator that is passed in.",
    )
    expect_that(
        parts != got["next"],
        "split_words: a generator that was asked twice gave the same split again",
        "You start another generator with this one's seed: draw from the generator itself, which "
        "moves on with each draw.",
    )


LOSS_CRASHES = (
    ORDER
    | WHOLE
    | {
        "math domain error|expected a positive input": "`math.log(0)` raises an error where the "
        "loss is infinite; `torch.log` gives −∞.",
        "ZeroDivisionError": "A context that `train` never has was counted 0 times: with k = 0, "
        "what follows it has probability 0 and an infinite loss.",
        "too many indices": "The table needs n dimensions: `torch.zeros((len(stoi),) * n)`.",
    }
)


def _loss_case(name, n, k, stoi=STOI, points=1):
    split.case(
        name,
        adapter="held_out_loss",
        points=points,
        # Some names stand twice in each part, and some in both.
        inputs=lambda rng: {
            "train": (names := some_names(rng, 180))[:150] + names[:20],
            "held_out": names[150:] + names[140:156],
            "n": n,
            "k": k,
            "stoi": stoi,
        },
        crashes=LOSS_CRASHES,
    )(loss_on_held_out_words)


# One character more than the names have, and the boundary not in front, so that a 27 or a 0 for
# the boundary in the code shows.
MORE = dict(zip("abcdefghijklmnopqrstuvwxyz.'", range(V + 1), strict=True))
_loss_case("the loss of a bigram, k = 1, of 28 characters", 2, 1.0, MORE)
_loss_case("the loss of a trigram, k = 0.1", 3, 0.1, points=2)


split.case(
    "k = 0, for names that train has, for a pair and for a letter that it has not",
    adapter="held_out_losses",
    inputs=unsmoothed,
    crashes=LOSS_CRASHES,
)(loss_unsmoothed)
