"""The exercises of lecture 02: n-grams, splits, smoothing, cross-entropy, broadcasting, a leak.

The reference answers are plain NumPy in float64, written another way than the lecture's.
"""

from itertools import permutations

import numpy as np

from zerotohero.course.checks.names import STOI, V, some_names
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import (
    NOTHING,
    Exercise,
    Mistake,
    Wrong,
    expect,
    expect_that,
    show,
)


def _grams(word: str, n: int, front: int | None = None, end: bool = True) -> list[tuple[int, ...]]:
    """A word's n-grams as numbers, with `front` boundaries before it: n − 1, if right."""
    ids = [STOI[s] for s in "." * (n - 1 if front is None else front) + word + "." * end]
    return [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]


def _count(words: list[str], n: int, V: int = V, **boundaries) -> np.ndarray:
    N = np.zeros((V,) * n, dtype=np.int64)
    for word in words:
        for gram in _grams(word, n, **boundaries):
            N[gram] += 1
    return N


ORDER = {
    "positional argument": "Does the function take the arguments that the card names, and do the "
    "answers stand in the card's order in the call of `check`?"
}
WHOLE = {
    "can't be cast": "`+=` writes into the table itself, which holds whole numbers and no "
    "fractions: `N + k` makes a new one."
}
NO_NUMPY = "NumPy knows nothing of gradients: stay with torch's functions."
LOGITS = "These are the logits; return their softmax along the last dimension."


# --- 2.1 ----------------------------------------------------------------------------------------

trigram = Exercise(
    number="2.1",
    title="A trigram, counted and learned",
    difficulty=3,
    minutes=40,
    practises="carrying an idea to one dimension more, in both of its forms",
    answers=("trigram_counts", "trigram_network"),
    summary=(
        "Count which character follows each pair of characters. Then let a one-layer network find "
        "the same probabilities by gradient descent."
    ),
    statement="""
`trigram_counts(words: list[str], stoi: dict[str, int]) -> Tensor` of whole numbers, shape
`(V, V, V)` with V = `len(stoi)`: entry (i, j, k) says how often character k followed the pair i, j.
Two boundaries `.` stand before each word and one after it, so that a word of L letters gives
L + 1 trigrams.

`trigram_network(N: Tensor, steps: int, lr: float) -> Tensor` takes such counts and returns
probabilities of shape `(V, V, V)`. It starts from logits that are **all zero**, does `steps` steps
of gradient descent with the learning rate `lr` on the mean negative log-likelihood of all the
trigrams in N, and returns the softmax of the logits.

```python
N = trigram_counts(["ab"], {".": 0, "a": 1, "b": 2})
N.sum(), N[0, 0, 1], N[0, 1, 2], N[1, 2, 0]  # 3, 1, 1, 1
trigram_network(N, steps=0, lr=1.0)[0, 0]  # 0.3333, 0.3333, 0.3333
trigram_network(N, steps=1, lr=1.0)[0, 0]  # 0.2945, 0.4110, 0.2945
```

Afterwards, measure both on all the names: counting gives a loss of about 2.186 on the names that
were counted, against the bigram's 2.454. How many steps does the network need to come near, with a
learning rate of 100?
""",
    hints=(
        "`'..' + word + '.'` has every trigram of a word in it; `zip(s, s[1:], s[2:])` reads them "
        "off. For the network, the lecture's loss from 729 cells works with 19,683 as well.",
        "The logits have the shape of N, and each row along the *last* dimension is one "
        "distribution. Weight each cell's log-probability with its share of all counts.",
        "In each step: `loss = -(N / N.sum() * F.log_softmax(W, dim=-1)).sum()`, then "
        "`(grad,) = torch.autograd.grad(loss, W)` and, under `torch.no_grad()`, `W -= lr * grad`.",
    ),
)


COUNT_CRASHES = ORDER | {
    "invalid data type 'str'|indices must be integers": "Characters can't be indices: look each "
    "one up in `stoi`."
}


@trigram.case(
    "the counts of one word, ada",
    adapter="counts",
    points=1,
    crashes=COUNT_CRASHES,
    inputs={"words": ["ada"], "stoi": {".": 0, "a": 1, "d": 2}},
)
def _(given, got):
    want = np.zeros((3, 3, 3), dtype=np.int64)
    for cell in [(0, 0, 1), (0, 1, 2), (1, 2, 1), (2, 1, 0)]:
        want[cell] = 1
    one_boundary = want.copy()
    one_boundary[0, 0, 1] = 0
    no_end = want.copy()
    no_end[2, 1, 0] = 0
    bare = np.zeros_like(want)
    bare[1, 2, 1] = 1
    two_ends = want.copy()
    two_ends[1, 0, 0] = 1
    hint = None
    if isinstance(got["N"], dict):
        hint = "Return a tensor of shape (V, V, V): `stoi` turns each character into an index."
    elif isinstance(got["N"], np.ndarray) and got["N"].shape == (V, V, V):
        hint = "Here there are three characters: take V from `len(stoi)`, not 27."
    elif isinstance(got["N"], np.ndarray) and got["N"].ndim == 2:
        hint = "The table needs three dimensions, one for each character of a trigram."
    wrong = _count_mistakes(want, one_boundary, no_end, bare, two_ends)
    expect("trigram_counts", got["N"], want, mistakes=wrong, hint=hint)


@trigram.case(
    "the counts of 200 names",
    adapter="counts",
    points=1,
    crashes=COUNT_CRASHES,
    inputs=lambda rng: {"words": some_names(rng, 200), "stoi": STOI},
)
def _(given, got):
    words = given["words"]
    right = _count(words, 3)
    one_boundary, no_end = _count(words, 3, front=1), _count(words, 3, end=False)
    bare = _count(words, 3, front=0, end=False)
    two_ends = right + _count([word + "." for word in words], 3) - _count(words, 3)
    wrong = _count_mistakes(right, one_boundary, no_end, bare, two_ends)
    expect("trigram_counts", got["N"], right, mistakes=wrong)


def _count_mistakes(right, one_boundary, no_end, bare, two_ends):
    return [
        Mistake(bare, "Only the letters are counted: two boundaries must stand before each word "
                "and one after it."),
        Mistake(two_ends, "One boundary after the word is enough: the second one is never "
                "predicted, since the name has ended."),
        Mistake(one_boundary, "The first letter of each word is missing: with two characters of "
                "context, two boundaries must stand before the word."),
        Mistake(no_end, "The end is missing: one boundary must follow each word, or the model "
                "never learns to stop."),
        Mistake((right > 0).astype(np.int64), "Each trigram is counted once at most: add 1 to its "
                "cell instead of setting it to 1. (`N[i, j, k] += 1` with whole tensors as indices "
                "also adds only once; a loop or `torch.bincount` adds each time.)"),
        Mistake(right.transpose(2, 1, 0), "The dimensions are in reverse order: the character to "
                "predict is the last index, the two before it come first."),
        *(Mistake(right.transpose(axes), "The dimensions are not in the order of the characters: "
                  "`N[i, j, k]` says how often k followed i and j.")
          for axes in permutations(range(3))),
    ]  # fmt: skip


def _network(N, steps, lr, axis=-1, scale=1.0, weights=None) -> np.ndarray:
    """The logits after gradient descent by the formula of the lecture: share × (p − P)."""
    share = (N / N.sum() if weights is None else weights) * scale
    W = np.zeros(N.shape)
    for _ in range(steps):
        W -= lr * (share.sum(axis, keepdims=True) * softmax(W, axis) - share)
    return W


NETWORK_CRASHES = ORDER | {
    "softmax.*Long": "The counts are whole numbers; softmax belongs to the logits W, a float "
    "tensor of zeros in the shape of N.",
    "can require gradients": "`zeros_like(N)` makes whole numbers as N has; "
    "`torch.zeros(N.shape, requires_grad=True)` makes floats.",
    "does not require grad": "W must be created with `requires_grad=True`, and the loss must be "
    "computed from it.",
    "leaf Variable that requires grad": "Change W inside `with torch.no_grad():`, since the step "
    "is not part of what is differentiated.",
    "NoneType": "`W.grad` is None: after `W = W - …`, W is another tensor, the result of a "
    "computation, and those keep no gradient. Change it in place under `torch.no_grad()`.",
}


@trigram.case(
    "the network before its first step",
    adapter="network",
    inputs=lambda rng: {"N": _count(some_names(rng, 50), 3), "steps": 0, "lr": 20.0},
    crashes=NETWORK_CRASHES,
)
def _(given, got):
    N, probs = given["N"], got["probs"]
    shape, hint = N.shape, None
    if isinstance(probs, np.ndarray) and probs.shape == shape:
        if not np.allclose(probs.sum(-1), 1, atol=1e-4):
            hint = "The rows along the last dimension don't sum to 1: is softmax the last step?"
        elif (probs > 0).all():
            hint = "With no step, nothing is learned yet: W begins at zero, `torch.zeros`, without "
            hint += "random numbers, and `range(steps)` is empty."
    counted = N / np.maximum(N.sum(-1, keepdims=True), 1)
    expect(
        "trigram_network",
        probs,
        np.full(shape, 1 / V),
        mistakes=[
            Mistake(np.zeros(shape), LOGITS),
            Mistake(np.full(shape, -np.log(V)), "These are logarithms of probabilities: return "
                    "`softmax`, not `log_softmax`."),
            Mistake(np.full(shape, 1 / V**3), "The whole table sums to 1; each row along the last "
                    "dimension must: `dim=-1`."),
            Mistake(counted, "These are the counted shares; here a network is to find them, and "
                    "before its first step it knows nothing."),
            Mistake(np.where(N.sum(-1, keepdims=True) > 0, counted, np.nan), "These are the "
                    "counted shares; here a network is to find them, and before its first step it "
                    "knows nothing."),
        ],
        hint=hint,
    )  # fmt: skip


@trigram.case(
    "one step of the network",
    adapter="network",
    points=2,
    inputs=lambda rng: {"N": _count(some_names(rng, 200), 3), "steps": 1, "lr": 20.0},
    crashes=NETWORK_CRASHES,
)
def _(given, got):
    N, lr = given["N"], given["lr"]
    W = _network(N, 1, lr)
    once = (N > 0) / (N > 0).sum()
    P = N / np.maximum(N.sum(-1, keepdims=True), 1)
    cells = "This loss is a mean over the cells of the table, most of them empty; the mean is over "
    cells += "the trigrams, so divide the sum by `N.sum()`."
    contexts = "Every context weighs the same here, however rare: weight each trigram with "
    contexts += "`N / N.sum()`, its share of all, not with its share of its row."
    wrong = [
        Mistake(softmax(_network(N, 1, lr, scale=N.sum())), "The step is as many times too large "
                "as there are trigrams: the loss is the mean, so divide by `N.sum()`."),
        Mistake(softmax(_network(N, 1, lr, axis=0), 0), "Softmax runs along dimension 0, the "
                "first character of the context; the distribution is along the last, `dim=-1`."),
        Mistake(softmax(_network(N, 1, lr, axis=1), 1), "Softmax runs along dimension 1, the "
                "second character of the context; the distribution is along the last, `dim=-1`."),
        Mistake(softmax(_network(N, 1, -lr)), "The loss goes up: subtract the gradient times the "
                "learning rate, and mind the minus sign of the negative log-likelihood."),
        Mistake(softmax(_network(N, 1, lr, weights=once)), "Every different trigram counts "
                "once here; the mean is over all of them, so weight each with its count."),
        Mistake(W, LOGITS),
        Mistake(np.log(softmax(W)), "These are logarithms of probabilities: return `softmax`, "
                "not `log_softmax`."),
        Mistake(softmax(_network(N, 2, lr)), "This is one step too many."),
        Mistake(softmax(_network(N, 1, lr, scale=N.sum() / N.size)), cells),
        Mistake(softmax(_network(N, 1, lr, weights=P)), contexts),
    ]  # fmt: skip
    probs = got["probs"]
    still = "These are still the probabilities of all-zero logits: the step has not changed W, or "
    still += "they were computed before it. (`W = W - …` under `torch.no_grad()` makes another "
    still += "tensor; `W -= …` changes it.)"
    uniform = isinstance(probs, np.ndarray) and probs.size > 0 and np.ptp(probs) < 1e-9
    hint = still if uniform else None
    if isinstance(probs, np.ndarray) and probs.shape == N.shape and not uniform:
        for small in (P / N.size, P / (N.sum(-1) > 0).sum(), P / V**2):
            if np.allclose(probs, softmax(_network(N, 1, lr, weights=small)), rtol=1e-6, atol=0):
                hint = contexts
    expect("trigram_network", got["probs"], softmax(W), tol=1e-4, mistakes=wrong, hint=hint)


@trigram.case(
    "fifteen steps of the network",
    adapter="network",
    points=2,
    inputs=lambda rng: {"N": _count(some_names(rng, 200), 3), "steps": 15, "lr": 20.0},
    crashes=NETWORK_CRASHES,
)
def _(given, got):
    N, lr = given["N"], given["lr"]
    accumulated = "After the first step the gradients add up: set `W.grad = None` before each."
    W, velocity = np.zeros(N.shape), np.zeros(N.shape)
    for _ in range(given["steps"]):
        velocity += N.sum(-1, keepdims=True) / N.sum() * softmax(W) - N / N.sum()
        W -= lr * velocity
    expect(
        "trigram_network",
        got["probs"],
        softmax(_network(N, given["steps"], lr)),
        tol=1e-3,
        mistakes=[
            Mistake(softmax(W), accumulated),
            Mistake(softmax(_network(N, given["steps"] - 1, lr)), "This is one step short: are "
                    "the probabilities computed before the last step changes W?"),
        ],
    )  # fmt: skip


# --- 2.2 ----------------------------------------------------------------------------------------

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
`split_words(words: list[str], generator: torch.Generator) -> tuple` shuffles a **copy** of the
words with the generator and cuts it into three lists, train, dev and test: the first
`int(0.8 * n)` words, those up to `int(0.9 * n)`, and the rest.

`ngram_loss(train: list[str], held_out: list[str], n: int, k: float, stoi: dict[str, int]) -> float`
counts the n-grams of `train` (n is 2 or 3, with n − 1 boundaries before each word and one after),
adds k to every count, and returns the mean negative log-likelihood, in nats, of all the n-grams of
`held_out`.

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
        "`P = (N + k) / (N + k).sum(-1, keepdim=True)`, and for each n-gram add "
        "`-math.log(P[ids])` with `ids` a tuple of n numbers; divide by how many there were.",
    ),
)


@split.case(
    "a split of 203 words",
    adapter="split",
    points=3,
    inputs=lambda rng: {"words": [*some_names(rng, 200), "ava", "ava", "ava"], "seed": 5},
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
def _(given, got):
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
            Mistake([len(words) - cuts[1], cuts[1] - cuts[0], cuts[0]], "Train comes first and is "
                    "the largest."),
        ],
        hint={1: overlap, 0: None, -1: lost}[int(np.sign(sum(sizes) - len(words)))],
    )  # fmt: skip
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


def _ngram_loss(
    train, held_out, n, k, *, V=V, in_sums=None, axis=-1, keepdims=True, words=False, **boundaries
):
    """The loss, or what comes of a slip in the sums, in the mean or in the boundaries.

    in_sums: what the sums are taken of beside the counts, if not k; axis: the sums' own.
    """
    N = _count(train, n, V, **boundaries)
    with np.errstate(all="ignore"):
        sums = (N + (k if in_sums is None else in_sums)).sum(axis, keepdims=keepdims)
        losses = -np.log((N + k) / sums)
    terms = [[losses[gram] for gram in _grams(word, n, **boundaries)] for word in held_out]
    means = [np.mean(t) for t in terms if t]
    return float(
        np.mean(means) if words else np.average(means, weights=[len(t) for t in terms if t])
    )


LOSS_CRASHES = (
    ORDER
    | WHOLE
    | {
        "math domain error|expected a positive input": "`math.log(0)` raises an error where the "
        "loss is infinite; `torch.log` gives −∞.",
        "too many indices": "The table needs n dimensions: `torch.zeros((len(stoi),) * n)`.",
    }
)


def _loss_case(name, n, k, stoi=STOI, points=1):
    @split.case(
        name,
        adapter="held_out_loss",
        points=points,
        inputs=lambda rng: {
            "train": (names := some_names(rng, 180))[:150],
            "held_out": names[150:],
            "n": n,
            "k": k,
            "stoi": stoi,
        },
        crashes=LOSS_CRASHES,
    )
    def _(given, got):
        a, b, size = given["train"], given["held_out"], len(given["stoi"])
        grams = sum(len(word) + 1 for word in b)

        def loss(a, b, n, k, **slip):
            return _ngram_loss(a, b, n, k, **{"V": size} | slip)

        right = loss(a, b, n, k)
        probs = (_count(a, n, size) + k) / (_count(a, n, size) + k).sum(-1, keepdims=True)
        mean = np.mean([probs[gram] for word in b for gram in _grams(word, n)])
        wrong = [
            Mistake(loss(b, b, n, k), "This is the loss of a model that was counted on the "
                    "held-out words themselves: count on `train`, judge on `held_out`."),
            Mistake(loss(a, a, n, k), "This is the loss on `train`, the words that the "
                    "model has seen: judge it on `held_out`."),
            Mistake(loss(a + b, b, n, k), "The held-out words were counted too: count on "
                    "`train` alone."),
            Mistake(loss(a, b, n, k, words=True), "This is a mean over words of means "
                    "over their n-grams; the mean is over all n-grams, so long words weigh more."),
            Mistake(right / np.log(2), "This is in bits; take the natural logarithm for nats."),
            Mistake(loss(a, b, n, k, in_sums=0), "The k is added to the counts but not to their "
                    "sums, so the rows don't sum to 1: sum after adding k."),
            Mistake(loss(a, b, n, k, in_sums=k / size), "The k is added once to the sum of a row; "
                    "but each of its V counts gains k, so the sum gains V times k."),
            Mistake(loss(a, b, n, k, axis=None), "These are the shares of the n-grams among all "
                    "n-grams; the model needs the probability of the last character *given* those "
                    "before it, so divide each row by its own sum."),
            Mistake(loss(a, b, n, k, end=False), "The end is missing: one boundary must follow "
                    "each word."),
            Mistake(loss(a, b, n, k, front=0, end=False), "Only the letters are counted: n − 1 "
                    "boundaries must stand before each word and one after it."),
            Mistake(loss(a, b, n, k, front=n), "There is one boundary too many before each word: "
                    "n − 1 of them, 1 for a bigram."),
            Mistake(right * grams, "This is the sum over all n-grams; divide by their number."),
            Mistake(-right, "This is the log-likelihood; the loss is its negative."),
            Mistake(np.exp(right), "This is e to the power of the loss, the number of equally "
                    "likely choices; return the loss itself."),
            Mistake(-np.log(mean), "This is the logarithm of a mean probability; the loss is the "
                    "mean of logarithms."),
        ]  # fmt: skip
        if size != V:
            wrong.append(Mistake(loss(a, b, n, k, in_sums=k * V / size), "Here there are 28 "
                                 "characters: take V from `len(stoi)`, not 27."))  # fmt: skip
        if k != 1:
            wrong.append(Mistake(loss(a, b, n, 1), f"This is the loss for k = 1; here it is {k}."))
        if n == 3:  # for n = 2 the loss is the same, since each character is left and entered
            wrong += [
                Mistake(loss(a, b, n, k, keepdims=False), "Each row was divided by another "
                        "row's sum: the sum needs `keepdim=True`. (The bigram's loss comes out "
                        "right all the same, as in the lecture.)"),
                Mistake(loss(a, b, 2, k), "This is the loss of a bigram, and n is 3."),
                Mistake(loss(a, b, n, k, front=1), "With two characters of context, two "
                        "boundaries must stand before each word: n − 1 of them."),
                Mistake(loss(a, b, n, k, axis=1), "Dimension 1 is the last one only for a bigram; "
                        "sum along the last, `-1`."),
            ]  # fmt: skip
        hint = None
        if isinstance(got["loss"], float | np.ndarray) and not np.isfinite(got["loss"]).all():
            hint = "Some n-gram has probability 0, or its row divides 0 by 0: is k added to every "
            hint += "count?"
        expect("ngram_loss", got["loss"], right, tol=1e-4, mistakes=wrong, hint=hint)


# One character more than the names have, so that a 27 in the code shows.
_loss_case("the loss of a bigram, k = 1, of 28 characters", 2, 1.0, STOI | {"'": V})
_loss_case("the loss of a trigram, k = 0.1", 3, 0.1, points=2)


@split.case(
    "a pair that train has not, k = 0",
    adapter="held_out_loss",
    inputs={
        "train": ["ab"],
        "held_out": ["aa"],
        "n": 2,
        "k": 0.0,
        "stoi": {".": 0, "a": 1, "b": 2},
    },
    crashes=LOSS_CRASHES,
)
def _(given, got):
    hint = None
    if isinstance(got["loss"], float | np.ndarray) and np.isnan(got["loss"]).any():
        hint = "A row that train never entered divides 0 by 0."
    elif isinstance(got["loss"], float | np.ndarray) and np.isfinite(got["loss"]).all():
        hint = (
            "What was never seen and is not smoothed has probability 0 and an infinite loss; "
            "leaving such a pair out, or adding a little something, hides it."
        )
    one = _ngram_loss(given["train"], given["held_out"], 2, 1, V=3)
    wrong = [
        Mistake(one, "This is the loss for k = 1, and k is 0."),
        Mistake(np.log(3), "This is the logarithm of a mean probability; the loss is the mean of "
                "logarithms, and one of them is infinite."),
    ]  # fmt: skip
    expect("ngram_loss", got["loss"], np.inf, mistakes=wrong, hint=hint)


# --- 2.3 ----------------------------------------------------------------------------------------

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

PAIR = "Return two numbers, the best k and its loss on test: `return best, …`."


def _losses(ks, rng):
    """Losses of three splits for each k, as they are: train rises with k, dev and test dip."""
    place = np.argsort(np.argsort(ks))
    # The best of dev is in the lower half, so that its worst is not also the best of train, and
    # train rises faster than dev falls, so that their sum misleads.
    on_dev = rng.integers(1, len(ks) // 2)
    on_test = rng.choice([i for i in range(1, len(ks) - 1) if i != on_dev])
    noise = rng.random((2, len(ks))) / 1000
    return {
        "train": (2.1 + 0.03 * place).tolist(),
        "dev": (2.2 + 0.02 * abs(place - on_dev) + noise[0]).tolist(),
        "test": (2.21 + 0.02 * abs(place - on_test) + noise[1]).tolist(),
    }


def _tune_case(name, inputs, points=1):
    @tune.case(
        name,
        adapter="tuned",
        points=points,
        inputs=inputs,
        crashes={
            "was asked for [0-9]": 'The split comes first, then k: `loss("dev", k)`.',
            "loss.. missing": 'The loss takes two arguments, the split and k: `loss("dev", k)`.',
        }
        | ORDER,
    )
    def _(given, got):
        ks, losses, pair = given["ks"], given["losses"], got["pair"]
        expect_that(
            isinstance(pair, list | np.ndarray) and np.shape(pair)[:1] == (2,),
            f"tune_smoothing: expected two numbers, got {show(pair)}",
            PAIR,
        )
        k, test_loss = list(pair)
        best = int(np.argmin(losses["dev"]))
        wrong = [
            Mistake(ks[int(np.argmin(losses["train"]))], "This k is the best on train, where the "
                    "model was counted: there, less smoothing always looks better."),
            Mistake(ks[int(np.argmin(losses["test"]))], "This k is the best on test. Chosen there, "
                    "the loss on test is no longer that of unseen names: choose on dev."),
            Mistake(ks[int(np.argmax(losses["dev"]))], "This k has the highest loss on dev; the "
                    "lowest is the best."),
            Mistake(best, "This is the place of the best k in the list; return the k itself."),
            Mistake(losses["dev"][best], "This is the best loss; return the k that gave it."),
            Mistake(losses["test"][best], "This is the loss on test: the k comes first, then it."),
        ]  # fmt: skip
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
            Mistake(losses["dev"][best], "This is the loss on dev, which was used to choose and is "
                    "therefore too good: report test."),
            Mistake(losses["train"][best], "This is the loss on train: report test."),
            Mistake(min(losses["test"]), "This is the lowest loss on test, of another k."),
            Mistake(None, PAIR),
        ]  # fmt: skip
        expect("the loss on test", test_loss, losses["test"][best], mistakes=wrong)


def _disagreeing(rng):
    ks = [0.03125, 0.0625, 0.25, 0.5, 2.5, 7.5]  # the same numbers as float32
    return {"ks": ks, "losses": _losses(ks, rng)}


def _infinite_at_zero(rng):
    ks = rng.permutation([0.0, 0.125, 0.375, 1.5, 9.0, 30.0]).tolist()
    losses = _losses(ks, rng)
    losses["dev"][ks.index(0.0)] = losses["test"][ks.index(0.0)] = float("inf")
    return {"ks": ks, "losses": losses}


_tune_case("dev and test disagree", _disagreeing, points=2)
_tune_case("an infinite loss at k = 0, in no order", _infinite_at_zero)


# --- 2.4 ----------------------------------------------------------------------------------------

rows = Exercise(
    number="2.4",
    title="Rows instead of one-hot",
    difficulty=2,
    minutes=15,
    practises="indexing with a tensor, which every embedding in this course is",
    answers=("row_logits",),
    summary=(
        "Replace the product of one-hot rows and W by indexing. The logits must be equal to the "
        "bit and the gradient must still reach W."
    ),
    statement="""
`row_logits(W: Tensor, xs: Tensor) -> Tensor` returns what `F.one_hot(xs, V).float() @ W` returns,
for W of shape `(V, C)` and whole numbers `xs` of **any** shape: `(N,)` gives `(N, C)`, and `(B, T)`
gives `(B, T, C)`. Without a one-hot vector, a product or a loop.

```python
W = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
row_logits(W, torch.tensor([2, 0, 2]))  # rows [5, 6], [1, 2], [5, 6]
```

Afterwards, time both with V = 27 and the 229,804 characters of the names (`%timeit`). What does the
one-hot way cost in memory, and what would it cost with GPT-2's vocabulary of 50,257?
""",
    hints=(
        "What does multiplying by a row with a single 1 do to W?",
        "A tensor of whole numbers can stand in the square brackets where a number could.",
        "`W[xs]`: indexing the first dimension takes rows, and xs may have any shape.",
    ),
)


PRODUCTS = {"matmul", "__matmul__", "mm", "bmm", "einsum", "dot", "mv", "linear", "tensordot"}
ONE_NUMBER = {
    "one element tensors": "xs holds many numbers: put it in the square brackets as it is.",
}


@rows.case(
    "rows of W, to the bit",
    adapter="looked_up",
    points=1,
    crashes=ONE_NUMBER,
    inputs=lambda rng: {
        "W": rng.normal(size=(27, 27)).astype(np.float32),
        "xs": rng.integers(0, 27, 50),
    },
)
def _(given, got):
    W, xs = given["W"], given["xs"]
    wrong = [
        Mistake(W[:, xs], "These are columns of W; a one-hot row times W is a row: index the first "
                "dimension."),
        Mistake(W.T[xs], "These are columns of W, one a row; index W and not its transpose."),
        Mistake(W[xs].T, "The rows are right but stand upright: the result has shape (N, C)."),
        Mistake(W[xs - 1], "Each row is the one before: both numbers begin at 0."),
        Mistake(W[xs, xs], "`W[xs, xs]` takes single entries, row and column; leave the column "
                "out."),
    ]  # fmt: skip
    hint = None
    shape = np.shape(got["logits"])
    if shape == (50, 27) and np.allclose(got["logits"], softmax(W[xs]), atol=1e-4):
        hint = "These are probabilities; the logits are the rows as they are."
    expect("row_logits", got["logits"], W[xs], tol=0, mistakes=wrong, hint=hint)
    expect_that(
        got["calls"] < len(xs),
        f"row_logits: {got['calls']} calls of torch for {len(xs)} rows",
        "This is a loop; one indexing with the whole of xs does the same in one call.",
    )
    expect_that(
        not PRODUCTS & set(got["called"]),
        "row_logits: it multiplies",
        "This is still a product: the point is that no number of W has to be multiplied.",
    )


@rows.case(
    "xs of shape (4, 3), as lecture 03 will have",
    adapter="looked_up",
    inputs=lambda rng: {
        "W": rng.normal(size=(27, 10)).astype(np.float32),
        "xs": rng.integers(0, 27, (4, 3)),
    },
    crashes={
        "supposed to be a vector|too many indices|converted to": "Does a loop, a list or "
        "`index_select` expect `xs` to have one dimension? A tensor in square brackets may have "
        "any shape."
    },
)
def _(given, got):
    want = given["W"][given["xs"]]
    flat = Mistake(want.reshape(-1, 10), "The shape of xs is lost: index with xs as it is.")
    expect("row_logits", got["logits"], want, tol=0, mistakes=[flat])


@rows.case(
    "a row that nobody asked for is infinite",
    adapter="looked_up",
    inputs={
        "W": np.array([[1, 2], [-np.inf, np.inf], [5, 6]], dtype=np.float32),
        "xs": np.array([2, 0, 2]),
    },
)
def _(given, got):
    want = given["W"][given["xs"]]
    logits = got["logits"]
    expect(
        "row_logits",
        logits,
        want,
        tol=0,
        hint="This is still a product: a one-hot row multiplies *every* row of W, and 0 × ∞ is no "
        "number. Indexing never touches the others, and that is also why it is fast."
        if isinstance(logits, np.ndarray) and np.isnan(logits).any()
        else None,
    )


@rows.case(
    "the gradient reaches W",
    adapter="gradient_of_rows",
    points=2,
    inputs=lambda rng: {
        "W": rng.normal(size=(27, 27)).astype(np.float32),
        "xs": rng.integers(0, 5, 60),
        "ys": rng.integers(0, 27, 60),
    },
    crashes={
        "does not require grad": "The logits have lost their connection to W: `.data`, "
        "`.detach()`, `.item()`, `.tolist()` and `torch.tensor(…)` cut it.",
        "Can't call numpy|not numpy": NO_NUMPY,
        "not NoneType": NOTHING,
        "not list": "Return one tensor, not a list of them.",
        "mat1 and mat2": "`F.one_hot` without V makes no more columns than it has to. But no "
        "one-hot row is needed at all.",
    },
)
def _(given, got):
    W, xs, ys = (given[k] for k in ("W", "xs", "ys"))
    slope = softmax(W[xs].astype(np.float64))
    slope[np.arange(len(ys)), ys] -= 1
    want = np.zeros(W.shape)
    np.add.at(want, xs, slope / len(ys))
    if got["grad"] is None:
        raise Wrong(
            "the gradient of W: expected numbers, got None",
            "The logits have lost their connection to W, and `requires_grad_()` starts a new one "
            "that doesn't lead there.",
        )
    expect("the gradient of W", got["grad"], want, tol=1e-6)


# --- 2.5 ----------------------------------------------------------------------------------------

entropy = Exercise(
    number="2.5",
    title="Cross-entropy by hand",
    difficulty=3,
    minutes=25,
    practises="the loss of every later lecture, and why it is not written as it is derived",
    answers=("cross_entropy",),
    summary=(
        "Write the mean negative log-likelihood from logits, equal to torch's own. It must hold "
        "for logits of a thousand, where the formula as derived breaks."
    ),
    statement="""
`cross_entropy(logits: Tensor, targets: Tensor) -> Tensor`, shapes `(N, V)` and `(N,)` to a tensor
with one number: the mean over the rows of −ln softmax(logits)[target]. Use `exp`, `log`, sums and
the like; not torch's `cross_entropy`, `nll_loss`, `softmax`, `log_softmax` or `logsumexp`.

```python
logits = torch.tensor([[0.0, 3.0, -2.0, 1.0]])
cross_entropy(logits, torch.tensor([3]))  # tensor(2.1755)
cross_entropy(torch.tensor([[1000.0, 0.0]]), torch.tensor([1]))  # tensor(1000.)
```

Try the plain formula first and look at what `torch.tensor(1000.0).exp()` is. Adding the same number
to all logits of a row changes nothing in its softmax: which number would you add?
""",
    hints=(
        "Float32 ends at about e^88. Softmax only depends on differences of logits, so subtract "
        "from each row a number that makes all exponents harmless.",
        "Subtract the row's maximum. Then don't take the logarithm of a softmax that may have "
        "become 0: ln(e^x / s) is x − ln s.",
        "`x = logits - logits.max(1, keepdim=True).values`, "
        "`logprobs = x - x.exp().sum(1, keepdim=True).log()`, and from each row the target's.",
    ),
)

ENTROPY_CRASHES = {
    "return_types": "`max` along a dimension gives two tensors, the values and their places: take "
    "`.values`.",
    "size of tensor": "Two shapes don't fit: what is taken from each row, its largest logit or "
    "its sum, must keep its dimension, `keepdim=True`.",
    "too many indices|out of bounds|shape mismatch": "One target a row: "
    "`logprobs[rows, targets]` with `rows = torch.arange(N)`.",
    "math range error": "e^1000 is too large for a float: subtract each row's largest logit before "
    "exp, which changes nothing in the softmax.",
}
# Parts of the names of torch's functions that do the exercise, or half of it.
FORBIDDEN = ("entropy", "nll_loss", "softmax", "softmin", "logsumexp", "logaddexp", "logcumsumexp")


def _entropies(logits, targets) -> np.ndarray:
    x = logits.astype(np.float64)
    x = x - x.max(1, keepdims=True)
    logprobs = x - np.log(np.exp(x).sum(1, keepdims=True))
    return -logprobs[np.arange(len(targets)), targets]


def _one(loss):
    """One number in brackets is one number too."""
    return loss.reshape(()) if isinstance(loss, np.ndarray) and loss.size == 1 else loss


def _by_hand(got) -> None:
    if used := [name for name in got["called"] if any(part in name for part in FORBIDDEN)]:
        raise Wrong(
            f"cross_entropy: it calls torch's {used[0].removeprefix('special_')}",
            "Here the loss is to be written out, with exp, log and sums, to see what torch does.",
        )


@entropy.case(
    "32 rows of 27 logits",
    adapter="entropy",
    points=2,
    inputs=lambda rng: {
        "logits": (3 * rng.normal(size=(32, 27))).astype(np.float32),
        "targets": rng.integers(0, 27, 32),
    },
    crashes=ENTROPY_CRASHES,
)
def _(given, got):
    logits, targets = given["logits"].astype(np.float64), given["targets"]
    losses = _entropies(logits, targets)
    columns = softmax(logits, 0)[np.arange(len(targets)), targets]
    wrong = [
        Mistake(losses.sum(), "This is the sum over the rows; the loss is their mean, so that it "
                "doesn't depend on how many there are."),
        Mistake(-losses.mean(), "This is the mean log-likelihood; the loss is its negative."),
        Mistake(-np.log(columns).mean(), "Softmax runs down the columns, over the examples; each "
                "*row* is a distribution, so sum along dim 1."),
        Mistake(losses.mean() / np.log(2), "This is in bits; take the natural logarithm."),
        Mistake(-logits[np.arange(len(targets)), targets].mean(), "The logits are not yet "
                "log-probabilities: subtract the logarithm of the sum of their exponentials."),
        Mistake(np.exp(-losses).mean(), "This is the mean probability of the targets; take the "
                "negative logarithm of each before the mean."),
        Mistake(-np.log(np.exp(-losses).mean()), "This is the logarithm of a mean; the loss is the "
                "mean of logarithms."),
        Mistake(-np.log(softmax(logits)[:, targets]).mean(), "`probs[:, targets]` takes every "
                "target from every row, N × N numbers; one a row is "
                "`probs[torch.arange(N), targets]`."),
        Mistake(losses, "There is a loss for each row; return their mean."),
        Mistake(losses.mean() / np.log(10), "This is with base 10; take the natural logarithm."),
        Mistake(-np.log(softmax(logits)).mean(), "This is a mean over all characters; only the "
                "target's log-probability counts in each row."),
        Mistake(-np.log(softmax(logits))[targets].mean(), "`logprobs[targets]` takes whole rows; "
                "one number from each row is `logprobs[torch.arange(N), targets]`."),
        Mistake(-np.log(softmax(logits.reshape(-1))).reshape(logits.shape)[
                np.arange(len(targets)), targets].mean(), "Softmax runs over the whole table; each "
                "*row* is a distribution, so sum along dim 1."),
        Mistake((losses - logits.max(1)).mean(), "The largest logit was subtracted in the sum but "
                "not from the target's logit: subtract it in both."),
    ]  # fmt: skip
    expect("cross_entropy", _one(got["loss"]), losses.mean(), tol=1e-5, mistakes=wrong)
    _by_hand(got)


EXP = "e^1000 is infinite in a float: subtract each row's largest logit before exp, which changes "
EXP += "nothing in the softmax."
LOG = "The target's probability has become 0 and its logarithm −∞: keep to logarithms, ln(e^x / s) "
LOG += "= x − ln s, and never take the log of a softmax."


def _large(rng, logits):
    """The logits, each a little off."""
    return (np.array(logits) + rng.uniform(-0.4, 0.4, np.shape(logits))).astype(np.float32)


@entropy.case(
    "logits of 1,000 and of 100",
    adapter="entropy",
    points=2,
    crashes=ENTROPY_CRASHES,
    inputs=lambda rng: {
        "logits": _large(rng, [[1000, 0, 999], [100, -100, 99]]),
        "targets": np.array([0, 2]),
    },
)
def _(given, got):
    _stable(given, got, EXP)


@entropy.case(
    "a target that is 1,000 below the largest",
    adapter="entropy",
    points=1,
    crashes=ENTROPY_CRASHES,
    inputs=lambda rng: {
        "logits": _large(rng, [[1000, 0], [0, -1000], [-1000, -1000]]),
        "targets": np.array([1, 1, 0]),
    },
)
def _(given, got):
    _stable(given, got, LOG)


def _stable(given, got, hint) -> None:
    want = float(_entropies(given["logits"], given["targets"]).mean())
    loss, broken = _one(got["loss"]), None
    if isinstance(loss, float | np.ndarray) and np.ndim(loss) == 0:
        if not np.isfinite(loss):
            broken = hint if loss == np.inf else EXP
        elif want > 100 and 0 < loss < 0.12 * want:  # ln of the smallest float is −104
            broken = "An addend or a clamp inside the logarithm hides the 0, and the loss is wrong "
            broken += "by a lot: subtract ln(sum) instead of dividing."
    expect("cross_entropy", loss, want, tol=1e-5, hint=broken)
    _by_hand(got)


@entropy.case(
    "its gradient",
    adapter="gradient_of_entropy",
    points=1,
    inputs=lambda rng: {
        "logits": rng.normal(size=(8, 5)).astype(np.float32),
        "targets": rng.integers(0, 5, 8),
    },
    crashes={
        "does not require grad|'float.*backward": "The loss has lost its connection to the "
        "logits: `.data`, `.detach()`, `.item()` and NumPy cut it. Return a tensor.",
        "Can't call numpy": NO_NUMPY,
        "'NoneType' object has no attribute 'backward'": NOTHING,
        "only for scalar outputs": "There is a loss for each row; return their mean.",
    },
)
def _(given, got):
    want = softmax(given["logits"].astype(np.float64))
    want[np.arange(8), given["targets"]] -= 1
    expect("the gradient of the logits", got["grad"], want / 8, tol=1e-5)


# --- 2.6 ----------------------------------------------------------------------------------------

broadcast = Exercise(
    number="2.6",
    title="Repair the broadcasting bug",
    difficulty=2,
    minutes=15,
    practises="reading shapes, and writing the assertion that would have found it",
    answers=("normalise_rows", "is_distribution"),
    summary=(
        "Repair a function that turns counts into probabilities, for tables with any number of "
        "dimensions. Then write the test that tells right from wrong."
    ),
    statement="""
`normalise_rows(N: Tensor, k: float) -> Tensor`: counts of shape `(…, V)`, such as `(V, V)` for a
bigram and `(V, V, V)` for a trigram, to probabilities of the same shape. Add k to every count; then
each row along the **last** dimension sums to 1. N itself must stay as it was.

`is_distribution(P: Tensor) -> bool` is True if every row along the last dimension of P is a
probability distribution (no entry below 0, no NaN, sum within 0.00001 of 1), and False otherwise.

```python
normalise_rows(torch.tensor([[1, 3], [2, 0]]), 0.0)  # [0.25, 0.75], [1, 0]
is_distribution(torch.tensor([[0.5, 0.5], [0.9, 0.2]]))  # False: 0.9 + 0.2
```
""",
    hints=(
        "Write down the shapes on both sides of the division, aligned at the right.",
        "The sum must keep the dimension that it sums away, so that it is repeated along it. Which "
        "dimension is that in a table with three?",
        "`P / P.sum(-1, keepdim=True)`. For the test: compare `P.sum(-1)` with ones, and look for "
        "entries below 0; a NaN fails every comparison.",
    ),
)

SIZES = {
    "size of tensor": "Two shapes don't fit: the sum has lost its last dimension. "
    "`keepdim=True` keeps it with length 1."
}


def _normalise_case(name, shape, points=1):
    @broadcast.case(
        name,
        adapter="normalised",
        points=points,
        inputs=lambda rng: {"N": rng.integers(0, 9, shape), "k": 1.0},
        crashes=ORDER | WHOLE | SIZES,
    )
    def _(given, got):
        N = given["N"] + given["k"]
        wrong = [
            Mistake(N / N.sum(0), "Each *column* sums to 1; the next character runs along the last "
                    "dimension."),
            Mistake(N / N.sum(), "The whole table sums to 1; each row must."),
            Mistake(given["N"] / given["N"].sum(-1, keepdims=True), "The k is not added."),
            Mistake(N / given["N"].sum(-1, keepdims=True), "The sums were taken before k was "
                    "added."),
            Mistake(given["N"] / given["N"].sum(-1, keepdims=True) + given["k"], "The k belongs to "
                    "the counts: add it before dividing."),
            Mistake(softmax(N), "Softmax expects logits, which are *logarithms* of counts; these "
                    "are the counts themselves, so dividing is enough."),
            Mistake(N // N.sum(-1, keepdims=True), "`//` rounds down to whole numbers; divide with "
                    "`/`."),
        ]  # fmt: skip
        if N.ndim > 2:
            second = "Dimension 1 is the last one only in a table with two; count from the end."
            wrong.append(Mistake(N / N.sum(1, keepdims=True), second))
            matrix = "Each matrix sums to 1; each row along the last dimension must."
            wrong.append(Mistake(N / N.sum((1, 2), keepdims=True), matrix))
        if len(set(shape)) == 1:
            row_j = "Entry (i, j) was divided by the sum of row j: without `keepdim=True` the sums "
            row_j += "are laid down as a row."
            wrong += [Mistake(N / N.sum(-1), row_j), Mistake(N / N.sum(1), row_j)]
        expect("normalise_rows", got["P"], N / N.sum(-1, keepdims=True), tol=1e-5, mistakes=wrong)
        expect(
            "N after the call",
            got["N_after"],
            given["N"],
            tol=0,
            hint="The caller's counts have changed: `+=` and `/=` work in place, `N + k` doesn't.",
        )


_normalise_case("a table of 27 × 27", (27, 27))
_normalise_case("a table of 4 × 6", (4, 6))
_normalise_case("a trigram's table", (5, 5, 5))


def _tables(rng):
    right = rng.random((6, 6)) + 0.1
    right[rng.permutation(6), range(6)] = 0  # a probability may be 0, but need not be
    right /= right.sum(1, keepdims=True)
    columns = right.T.copy()
    overall = np.full((4, 4), 0.25)
    overall[0] += 0.1
    overall[1] -= 0.1
    slightly = np.full((4, 4), 0.25)
    slightly[2, 3] += 0.001
    negative = np.array([[1.5, -0.5], [0.5, 0.5]])
    unseen = np.array([[0.5, 0.5], [np.nan, np.nan]])
    zeros = np.array([[0.5, 0.5], [0.0, 0.0]])
    cube = np.stack([right, right, right])
    # Columns and the whole are as they should be, rows along the last dimension are not.
    tables = [right, cube, columns, overall, slightly, negative, unseen, zeros]
    order = rng.permutation(len(tables))
    return {"tables": [tables[i].astype(np.float32) for i in order], "_order": order}


@broadcast.case(
    "eight tables for your test",
    adapter="judged",
    points=3,
    inputs=_tables,
    crashes=ORDER
    | {
        "size of tensor|not broadcast": "The sums of a table with three dimensions have two: "
        "compare them with the number 1, which fits any shape.",
        "AssertionError": "Return False for a table that is none, instead of raising an error: "
        "whoever calls it writes `assert is_distribution(P)`.",
        "ambiguous": "There is an answer for each row or entry; `.all()` makes one of them.",
    },
)
def _(given, got):
    columns = (
        "The test looks at columns, which is what the bug leaves in order: sum along the last "
        "dimension."
    )
    said = [
        ("a table whose rows sum to 1", True, "A probability may be 0, and sums may be off by a "
         "rounding error."),
        ("a table (3, 6, 6) whose rows sum to 1", True, "With three dimensions, the rows run along "
         "the last: `P.sum(-1)`."),
        ("a table whose columns sum to 1, and whose rows don't", False, columns),
        ("a table that sums to V, but not row by row", False, "The whole table may have the right "
         "sum; every single row must: `.all()`."),
        ("a table with a row that sums to 1.001", False, "That is more than a rounding error: "
         "allow 0.00001 as the card says."),
        ("a table with an entry below 0", False, "The sums are 1, but a probability can't be "
         "negative: look at the entries too."),
        ("a table with NaN", False, "A NaN passes any test that asks whether something is *wrong*, "
         "since every comparison with it is false: ask whether all is right."),
        ("a table with a row of zeros", False, "A row of zeros sums to 0: no distribution."),
    ]  # fmt: skip
    answers = got["answers"]
    expect_that(
        isinstance(answers, list) and len(answers) == len(said), "is_distribution: no answers"
    )
    answers = [answers[place] for place in np.argsort(given["_order"])]
    yes = [a for a in answers if isinstance(a, bool | int | np.ndarray) and np.size(a) == 1]
    yes = [bool(a) for a in yes]
    hint_for_all = None
    if len(yes) < len(said):
        hint_for_all = (
            NOTHING
            if None in [None if a is None else 0 for a in answers]
            else "One answer for the whole table, True or False: `.all()` makes one of many, and "
            "`bool(…)` a plain one."
        )
    elif yes == [not want for _, want, _ in said]:
        hint_for_all = "Your test says the opposite: True is for a table that is a distribution."
    elif not any(yes):
        hint_for_all = (
            "Your test says False of every table. Are sums compared with `==`? A sum of floats is "
            "seldom exactly 1. And a probability may be 0."
        )
    elif all(yes):
        hint_for_all = "Your test says True of every table."
    elif yes[:4] == [False, False, True, True]:
        hint_for_all = columns
    elif yes == [True, True, True, True, False, False, False, False]:
        hint_for_all = (
            "The rows are right on average only; every single one must sum to 1: `.all()`."
        )
    for (what, want, hint), answer in zip(said, answers, strict=True):
        expect(f"is_distribution of {what}", _one(answer), want, tol=0, hint=hint_for_all or hint)


# --- 2.7 ----------------------------------------------------------------------------------------

leak = Exercise(
    number="2.7",
    title="The leak between the splits",
    difficulty=2,
    minutes=25,
    practises="asking whether held-out data are really unseen, and what it costs if not",
    answers=("leak_share", "without_leak"),
    summary=(
        "Some of the dev names also stand in the training names, since boys and girls share them. "
        "Measure how many, take them out, and see what that does to the loss."
    ),
    statement="""
`leak_share(train: list[str], dev: list[str]) -> float` is the share of the entries of `dev` that
also stand in `train`, between 0 and 1.

`without_leak(train: list[str], dev: list[str]) -> list[str]` returns the entries of `dev` that
don't stand in `train`, in their order, and leaves both lists as they are.

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


def _leaky(rng):
    names = some_names(rng, 42)
    # Numbers for which no wrong share is right by luck.
    start, times = int(rng.choice([15, 16, 17, 18, 20])), int(rng.choice([1, 3, 4]))
    # Repetitions on both sides, so that sets of dev, of train and of both give other shares, and
    # a name that stands in a longer one.
    return {
        "train": [*names[:25], *names[14:23], "marianabelle"],
        "dev": [*names[start : start + 22], *names[20:24], *[names[30]] * times, *["anabel"] * 2],
    }


PART = "A name that is only a part of a longer one was found too: look among the names, not in one "
PART += "long text."


@leak.case(
    "the share of about 30 dev names", adapter="share", points=2, inputs=_leaky, crashes=ORDER
)
def _(given, got):
    train, dev = given["train"], given["dev"]
    a, b = set(train), set(dev)
    share = sum(name in a for name in dev) / len(dev)
    wrong = [
        Mistake(sum(name in b for name in train) / len(train), "This is the share of *train* that "
                "stands in dev; the question is how much of dev is not new."),
        Mistake(len(a & b) / len(b), "Repeated dev names count once here, but each adds to the "
                "loss: go through the entries of `dev`, not through a set of them."),
        Mistake(len(a & b) / len(dev), "Distinct names are divided by all entries: go through "
                "`dev` itself, where a repeated name counts each time."),
        Mistake(len(a & b) / len(train), "The shared names are divided by the length of train; "
                "divide by that of dev."),
        Mistake(len(a & b) / len(a | b), "This is the overlap of two sets, divided by all names; "
                "divide by the entries of dev."),
        Mistake(1 - share, "This is the share that does *not* stand in train."),
        Mistake(100 * share, "This is in per cent; a share is between 0 and 1."),
        Mistake(sum(name in a for name in dev), "This is a number of names; divide by all."),
        Mistake(sum(name in b for name in train) / len(dev), "The entries of *train* were counted; "
                "go through those of dev."),
        Mistake(sum(name in a for name in dev) / len(train), "Divide by the length of dev, not "
                "by that of train."),
        Mistake(sum(name in a for name in dev) / (len(train) + len(dev)), "Divide by the length "
                "of dev alone."),
        Mistake(sum(map(train.count, dev)) / len(dev), "A dev name that stands twice in train "
                "counts twice here; ask only whether it stands there."),
        Mistake(sum(name in " ".join(train) for name in dev) / len(dev), PART),
        Mistake(0, "No leak at all? `//` rounds down to 0, and `zip` compares only names that "
                "stand at the same place."),
        Mistake(round(share, 2), "This is rounded; return the share as it is."),
    ]  # fmt: skip
    hint = "Return a number, not a text." if isinstance(got["share"], str) else None
    expect("leak_share", got["share"], share, mistakes=wrong, hint=hint)


@leak.case(
    "dev without the leak",
    adapter="cleaned",
    points=2,
    inputs=_leaky,
    crashes=ORDER
    | {
        "returned a set": "A set has no order and no repetitions: return a list, made by going "
        "through `dev` in its order.",
        "returned a (filter|generator)": "Make a list of it: `list(…)`.",
    },
)
def _(given, got):
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
    elif come != clean and set(map(str, come)) == set(clean):
        hint = "Order and repetitions are lost: a set has neither. Go through `dev` in its order."
    elif come == [name for name in dev if name in set(train)]:
        hint = "These are the names that leak; keep the others."
    elif come == [name for name in dev if name not in " ".join(train)]:
        hint = PART
    elif got["dev_after"] != dev and come != clean:
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


EXERCISES = (trigram, split, tune, rows, entropy, broadcast, leak)
