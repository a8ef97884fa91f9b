"""The exercises of lecture 03: a data set, an honest start, a learning rate, 2.17, an idea.

The reference answers are plain NumPy in float64. Exercise 3.4 never sends a held-out name to the
answer: the answer returns its logits for every context, and the verdict looks them up.
"""

import math
import string

import numpy as np

from zerotohero.course.checks.names import STOI, V, all_names, some_names
from zerotohero.course.checks.numerics import mean_loss, softmax
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    Wrong,
    array,
    expect,
    expect_that,
)


def _examples(words, block_size, stoi=STOI, end=True, reset=True, pad_right=False, newest=False,
              leak=False):  # fmt: skip
    """Contexts, targets and word numbers; the switches are what learners get wrong."""
    X, Y, source = [], [], []
    context = [0] * block_size
    for n, word in enumerate(words):
        past: list[int] = []
        if reset:
            context = [0] * block_size
        for s in word + "." * end:
            target = stoi[s]
            after = [*context[1:], target]
            row = after if leak else context
            if pad_right:
                row = (past[-block_size:] + [0] * block_size)[:block_size]
            X.append(row[::-1] if newest else row)
            Y.append(target)
            source.append(n)
            context = after
            past.append(target)
    return np.array(X), np.array(Y), np.array(source)


# --- 3.1 ----------------------------------------------------------------------------------------

dataset = Exercise(
    number="3.1",
    title="Contexts and targets",
    difficulty=2,
    minutes=25,
    practises="turning text into training examples without losing or leaking a character",
    answers=("build_dataset",),
    summary=(
        "Build contexts and targets from a list of words, for any context length. "
        "Keep track of the word that each example comes from, so that losses can be read by word."
    ),
    statement="""
`build_dataset(words: list[str], block_size: int, stoi: dict[str, int]) -> tuple`

Return `X` of shape `(N, block_size)`, `Y` of shape `(N,)` and `source` of shape `(N,)`, all
int64. Row n of `X` holds the numbers of the `block_size` characters before the one to predict, the
oldest first; `Y[n]` is the number of that character; `source[n]` is the position in `words` of the
word that the example comes from. Each word starts from boundaries only (number 0) and ends by
predicting the boundary, so a word of L letters gives L + 1 examples, in reading order.

```python
X, Y, source = build_dataset(["ab", "c"], 2, {".": 0, "a": 1, "b": 2, "c": 3})
X.tolist()         # [[0, 0], [0, 1], [1, 2], [0, 0], [0, 3]]
Y.tolist()         # [1, 2, 0, 3, 0]
source.tolist()    # [0, 0, 0, 1, 1]
```
""",
    hints=(
        "Keep one list, the context. What has to happen to it after each character, and what "
        "before each word?",
        "For each word: context = block_size zeros. For each character of word + '.': note the "
        "context, the character's number and the word's position, then move the context on.",
        "`context = context[1:] + [ix]` makes a new list, so that the one that was noted stays as "
        "it was. Loop with `for n, word in enumerate(words)`; wrap in `torch.tensor` at the end.",
    ),
)


def _expect_examples(words: list[str], block_size: int, stoi: dict, got: dict) -> None:
    def variant(**switches) -> np.ndarray:
        return _examples(words, block_size, stoi, **switches)[0]

    X, Y, source = _examples(words, block_size, stoi)
    carried, leaking = variant(reset=False), variant(leak=True)
    # One list that is changed in place and noted again and again shows its last state everywhere.
    alias = [
        np.repeat(rows[-1:], len(rows), 0) for rows in (leaking, variant(leak=True, reset=False))
    ]
    per_word = np.concatenate(
        [np.repeat(leaking[source == n][-1:], (source == n).sum(), 0) for n in range(len(words))]
    )  # fmt: skip
    in_place = (
        "All rows are one and the same list, which was changed after it was noted: make a new "
        "list for each context, such as `context[1:] + [ix]`."
    )
    expect(
        "X",
        got["X"],
        X,
        mistakes=[
            Mistake(variant(end=False), "The end of each word is missing: the last example of a "
                    "word predicts the boundary, or the model never learns to stop."),
            Mistake(leaking, "Each context already holds the character that it is to "
                    "predict: note the context first and move it on afterwards."),
            Mistake(carried, "The context is carried from one word into the next: start each word "
                    "with a context of zeros."),
            *(Mistake(rows, in_place) for rows in (*alias, per_word)),
            Mistake(variant(pad_right=True), "The boundaries stand behind the letters: they fill "
                    "the context from the left, so that the newest character is always last."),
            Mistake(variant(newest=True), "The newest character stands first: contexts are in "
                    "reading order, the oldest character first."),
            Mistake(_examples(["." + word for word in words], block_size, stoi)[0], "Each word has "
                    "an example too many: the boundaries before it are context, not a target."),
            Mistake(_examples(words, 3, stoi)[0], "The context is always three characters long: "
                    "its length is the argument `block_size`."),
        ],
    )  # fmt: skip
    expect(
        "Y",
        got["Y"],
        Y,
        mistakes=[
            Mistake(X[:, -1], "That is the newest character of the context; the target is the "
                    "character after it."),
        ],
    )  # fmt: skip
    expect(
        "source",
        got["source"],
        source,
        mistakes=[
            Mistake(np.arange(len(Y)), "`source` numbers the examples; it is to hold the position "
                    "of the word in `words`."),
            Mistake(source + 1, "`source` counts from 1; positions in a list count from 0."),
            Mistake(np.concatenate([np.arange(len(word) + 1) for word in words]), "`source` holds "
                    "the position of the character in its word; it is to hold the position of the "
                    "word in `words`."),
            Mistake(np.array([words.index(words[n]) for n in source]), "A name may stand in "
                    "`words` twice, and `words.index` finds the first only: count with "
                    "`enumerate`."),
        ],
    )  # fmt: skip
    expect(
        "the data types of X, Y and source",
        got["kinds"],
        ["torch.int64"] * 3,
        hint="Numbers that are used as indices must be int64 tensors: `torch.tensor` of whole "
        "numbers makes one. A list, a NumPy array or a tensor of floats won't do.",
    )


@dataset.case(
    "two short words",
    adapter="dataset",
    inputs={"words": ["ab", "bca"], "block_size": 2, "stoi": {".": 0, "a": 1, "b": 2, "c": 3}},
)
def _(given, got):
    _expect_examples(given["words"], given["block_size"], given["stoi"], got)


@dataset.case(
    "100 names with a context of three",
    points=2,
    adapter="dataset",
    inputs=lambda rng: {"words": 2 * some_names(rng, 50), "block_size": 3, "stoi": STOI},
)
def _(given, got):
    _expect_examples(given["words"], given["block_size"], given["stoi"], got)


@dataset.case(
    "a context longer than the words, and one of a single character",
    adapter="dataset",
    inputs=lambda rng: {
        "words": some_names(rng, 20),
        "block_size": int(rng.choice([1, 16])),
        "stoi": STOI,
    },
)
def _(given, got):
    _expect_examples(given["words"], given["block_size"], given["stoi"], got)


# --- 3.2 ----------------------------------------------------------------------------------------

start = Exercise(
    number="3.2",
    title="An honest start",
    difficulty=2,
    minutes=25,
    practises="predicting a loss before the first step, and initialising to meet it",
    answers=("loss_knowing_nothing", "calm_init"),
    summary=(
        "Say what loss a model has that knows nothing. "
        "Then initialise the lecture's network so that it starts there, and can still learn."
    ),
    statement="""
`loss_knowing_nothing(V: int) -> float` returns the mean negative log-likelihood, in nats, of a
model that gives each of V characters the same probability, whatever the data are.

`calm_init(block_size: int, n_embd: int, n_hidden: int, V: int, generator) -> tuple`
returns the five parameters `wte` (V, n_embd), `W1` (block_size · n_embd, n_hidden), `b1`
(n_hidden,), `W2` (n_hidden, V) and `b2` (V,). All random numbers come from `generator`. The network
`tanh(x @ W1 + b1) @ W2 + b2`, x being the embeddings side by side, must start with a loss within
0.1 of knowing nothing. Its hidden units must differ from each other, and their values from context
to context: a network of zeros starts there too, and stays.

```python
loss_knowing_nothing(4)                                            # 1.3862943611198906
wte, W1, b1, W2, b2 = calm_init(3, 10, 200, 27, torch.Generator().manual_seed(1))
```
""",
    hints=(
        "The softmax of equal logits is uniform. Which of the five parameters decide how far apart "
        "the logits are?",
        "Logits near zero need a small W2 and a b2 of zero. The other three may stay random: they "
        "make the units differ.",
        "`W2 = 0.01 * torch.randn(n_hidden, V, generator=generator)`, `b2 = torch.zeros(V)`, and "
        "for the other three `torch.randn(..., generator=generator)`. The loss is -log(1/V).",
    ),
)


@start.case(
    "the loss of knowing nothing",
    adapter="knowing_nothing",
    inputs=lambda rng: {"V": int(rng.integers(3, 200))},
)
def _(given, got):
    want = math.log(given["V"])
    expect(
        "loss_knowing_nothing",
        got["loss"],
        want,
        mistakes=[
            Mistake(math.log2(given["V"]), "That is in bits, with the logarithm to base 2; nats "
                    "take the natural logarithm, `math.log`."),
            Mistake(math.log10(given["V"]), "That is the logarithm to base 10; nats take the "
                    "natural logarithm, `math.log`."),
            Mistake(1 / given["V"], "1/V is the probability; the loss is its logarithm with the "
                    "sign turned."),
            Mistake(math.log(27), "That is the loss for 27 characters: their number is the "
                    "argument V."),
            Mistake(-want, "The logarithm of a probability is negative; the loss is *minus* it."),
        ],
    )  # fmt: skip


NO_CONTEXT = "The hidden layer doesn't see its context: wte and W1 must be random, and not tiny."


def _hidden(X: np.ndarray, wte: np.ndarray, W1: np.ndarray, b1: np.ndarray) -> np.ndarray:
    return np.tanh(wte[X].reshape(len(X), -1) @ W1 + b1)


def _sizes(rng: np.random.Generator) -> dict:
    return {
        "block_size": 3,
        "n_embd": int(rng.integers(8, 13)),
        "n_hidden": int(rng.integers(150, 251)),
        "V": V,
        "seed": int(rng.integers(1e6)),
    }


# An honest W2 of 0.01 · randn misses ln 27 by up to 0.05, by luck; randn / √200 by 0.2 or more.
CALM = 0.1


@start.case("the loss at the start", points=2, adapter="initialised", inputs=_sizes)
def _(given, got):
    wte, W1, b1, W2, b2 = _parameters(given, got["first"])
    X, Y, _ = _examples(all_names()[::200], given["block_size"])
    h = _hidden(X, wte, W1, b1)
    loss, want = mean_loss(h @ W2 + b2, Y), math.log(V)
    hint = (
        f"The logits are still too far apart: W2 has a standard deviation of {W2.std():.2g}. "
        "Dividing by the root of the number of units brings the logits near 1, and they must be "
        "near 0: make it smaller still."
    )
    if np.median(h.std(0)) <= 0.01 and h.any():
        hint = NO_CONTEXT
    elif W2.std() > 0.5:
        hint = "W2 is as large as at the naive start: make it small, so that all logits are near 0."
    elif abs(mean_loss(h @ W2, Y) - want) < CALM:
        hint = "Only b2 is in the way: without it the loss would be right, so start it at zero."
    expect_that(
        abs(loss - want) < CALM, f"the first loss: expected {want:.4f}, got {loss:.4f}", hint
    )


@start.case("it can still learn", adapter="initialised", inputs=_sizes)
def _(given, got):
    wte, W1, b1, _, _ = _parameters(given, got["first"])
    X, _, _ = _examples(all_names()[::200], given["block_size"])
    h = _hidden(X, wte, W1, b1)
    alike = (
        "Units that start alike get the same gradient and stay alike: with W1 all zeros or all "
        "equal, all units do the work of one. Make W1 random."
    )
    if W1.std() > 0 and np.median(np.abs(h)) > 0.99:
        alike = (
            "All are at one end of tanh, where its slope is zero: `torch.rand` draws from 0 to 1, "
            "so that nothing cancels in the sums. `torch.randn` draws around 0."
        )
    expect_that(
        np.median(h.std(1)) > 0.01, "all hidden units of a context have the same value", alike
    )
    expect_that(
        np.median(h.std(0)) > 0.01,
        "the hidden units have the same value for every context",
        NO_CONTEXT,
    )


@start.case("the generator decides", adapter="initialised", inputs=_sizes)
def _(given, got):
    first, again, other = (_parameters(given, got[key]) for key in ("first", "again", "other"))
    same = all(np.array_equal(p, q) for p, q in zip(first, again, strict=True))
    hint = (
        "Pass the generator to every random call: `torch.randn(..., generator=generator)`. "
        "Without it the numbers come from a hidden global state."
    )
    expect_that(same, "the same seed twice gave different parameters", hint)
    # Constant parameters, such as biases of zero, are another case's matter.
    fixed = [p.std() > 0 and np.array_equal(p, q) for p, q in zip(first, other, strict=True)]
    expect_that(
        not any(fixed),
        "two seeds gave the same random numbers",
        "The numbers don't depend on the generator you were given: don't make a new one inside, "
        "and don't seed it again.",
    )


def _parameters(given: dict, got) -> list[np.ndarray]:
    T, C, H, V = (given[key] for key in ("block_size", "n_embd", "n_hidden", "V"))
    if not isinstance(got, list) or len(got) != 5:
        raise Wrong("calm_init: expected five parameters: wte, W1, b1, W2, b2")
    shapes = {"wte": (V, C), "W1": (T * C, H), "b1": (H,), "W2": (H, V), "b2": (V,)}
    return [array(name, p, shape) for (name, shape), p in zip(shapes.items(), got, strict=True)]


# --- 3.3 ----------------------------------------------------------------------------------------

rate = Exercise(
    number="3.3",
    title="A learning rate, found",
    difficulty=3,
    minutes=30,
    practises="searching over scales, and reading a noisy curve by a rule",
    answers=("sweep", "choose_rate"),
    summary=(
        "Try learning rates over several powers of ten, one step at each. "
        "Then choose one from the losses by a rule that noise doesn't fool."
    ),
    statement="""
`sweep(step, low: float, high: float, n: int) -> tuple[list[float], list[float]]`

`step(rate)` does one step of training at that rate and returns the loss. Call it once at each of
`n` rates from `low` to `high`, both included, in rising order and **evenly spaced on a logarithmic
scale**. Return the rates and their losses. If a loss is not finite, stop there, and return neither
it nor its rate.

`choose_rate(rates: list[float], losses: list[float], window: int) -> float`

For each place that has at least `window` losses up to and including its own, take the mean of the
last `window` of them. Return **half** the rate at the place where this mean is lowest: the lowest
point itself is already on the edge.

```python
sweep(lambda rate: 1 / rate, 0.01, 1.0, 3)                # ([0.01, 0.1, 1.0], [100.0, 10.0, 1.0])
choose_rate([1, 2, 4, 8, 16], [5, 4, 0, 9, 9], window=2)  # 2.0: (4 + 0) / 2 is the lowest mean
```

Afterwards, use them on the lecture's network, and plot what you find.
""",
    hints=(
        "From 0.001 to 1000 by even steps of the *exponent*: −3, −2, …, 3. A place of the curve is "
        "judged by what led up to it, not by its own value alone.",
        "The rate number i is low · (high / low) ** (i / (n − 1)). The windows are "
        "losses[i − window + 1 : i + 1], the first of them at i = window − 1.",
        "`means = [sum(losses[i - window + 1 : i + 1]) / window for i in range(window - 1, "
        "len(losses))]`; the lowest is at `means.index(min(means)) + window - 1` in rates. In the "
        "sweep, `if not math.isfinite(loss): break` before anything is appended.",
    ),
)


def _even_exponents(low: float, high: float, n: int) -> list[float]:
    return [low * (high / low) ** (i / (n - 1)) for i in range(n)]


@rate.case(
    "a sweep of five rates",
    adapter="swept",
    inputs=lambda rng: {
        "losses": rng.uniform(1, 4, 5).tolist(),
        "low": float(rng.uniform(0.001, 0.002)),
        "high": float(rng.uniform(5, 20)),
        "n": 5,
    },
)
def _(given, got):
    low, high, n = given["low"], given["high"], given["n"]
    rates = _even_exponents(low, high, n)
    lin, without = np.linspace(low, high, n), _even_exponents(low, high, n + 1)[:-1]
    hints = [
        (lin, "These rates are evenly spaced on the plain scale, so nearly all are large: space "
         "the exponents evenly instead."),
        (np.log10(rates), "These are the exponents; the rates are 10 to their power."),
        (rates[::-1], "The rates fall: start at `low`, or the first steps already throw the "
         "parameters away."),
        (without, "`high` is left out: n rates with both ends included are n − 1 factors apart."),
        (_even_exponents(low, high, n + 1)[1:], "`low` is left out: the first rate is number 0."),
        (np.logspace(low, high, n), "`logspace` takes exponents, not rates: give it the "
         "logarithms to base 10 of `low` and `high`."),
        ([low * 10**i for i in range(n)], "Each rate is ten times the one before: find the factor "
         "that leads from `low` to `high` in n − 1 steps."),
        (given["losses"], "These are the losses: return the rates first, then the losses."),
    ]  # fmt: skip
    for what, found in (("the rates given to step", got["asked"]), ("rates", got["rates"])):
        expect(
            what,
            found,
            np.array(rates),
            mistakes=[Mistake(np.array(wrong), hint) for wrong, hint in hints]
            + [Mistake(np.repeat(rates, 2), "step is called twice at each rate, and so takes two "
                       "steps: keep the loss that it returns.")],
        )  # fmt: skip
    expect("the losses", got["losses"], np.array(given["losses"]))


def _over_the_edge(rng: np.random.Generator) -> dict:
    losses = rng.uniform(1, 4, 7)
    losses[rng.integers(2, 5)] = np.inf
    return {"losses": losses.tolist(), "low": 0.01, "high": float(rng.uniform(50, 200)), "n": 7}


@rate.case(
    "a sweep that goes over the edge",
    adapter="swept",
    inputs=_over_the_edge,
)
def _(given, got):
    rates = _even_exponents(given["low"], given["high"], given["n"])
    edge = given["losses"].index(math.inf)
    expect(
        "the number of steps",
        len(got["asked"]),
        edge + 1,
        hint="After a loss that is infinite or not a number the parameters are lost: break off "
        "there instead of stepping on.",
    )
    kept = Mistake(
        np.array(given["losses"][: edge + 1]),
        "The loss that is not finite is still in the list: test it before you append it.",
    )
    expect("the losses", got["losses"], np.array(given["losses"][:edge]), mistakes=[kept])
    expect("the rates", got["rates"], np.array(rates[:edge]), hint="As many rates as losses.")


NOT_HALVED = "That is the rate of the lowest mean itself: take half of it, for safety."


def _choose(rates, losses, window) -> float:
    means = np.convolve(losses, np.ones(window) / window, "valid")
    return rates[int(means.argmin()) + window - 1] / 2


def _noisy_curve(rng: np.random.Generator) -> dict:
    rates = _even_exponents(float(rng.uniform(5e-5, 2e-4)), 10.0, 60)
    x = np.linspace(0, 1, 60)
    losses = 3 + 20 * (x - 0.7) ** 2 + rng.normal(0, 0.1, 60)
    losses[rng.integers(5, 20)] = 0.5  # one lucky minibatch
    losses[0] = 2.0  # and a lucky start, which is not a window yet
    return {"rates": rates, "losses": losses.tolist(), "window": 12}


@rate.case("a choice from a noisy curve", adapter="chosen", inputs=_noisy_curve)
def _(given, got):
    rates, losses, window = given["rates"], given["losses"], given["window"]
    want = _choose(rates, losses, window)
    at = rates.index(want * 2)
    one_loss = (
        "You take the lowest single loss, which one lucky minibatch decides: compare the means of "
        "the last `window` losses."
    )
    means = np.convolve(losses, np.ones(window) / window, "valid")
    growing = [sum(losses[max(0, i - window + 1) : i + 1]) / min(i + 1, window) for i in range(60)]
    expect(
        "choose_rate",
        got["rate"],
        want,
        mistakes=[
            Mistake(rates[int(np.argmin(losses))] / 2, one_loss),
            Mistake(rates[int(np.argmin(losses))], one_loss),
            Mistake(2 * want, NOT_HALVED),
            Mistake(at, "That is a place in the list; return the rate that stands there, halved."),
            Mistake(rates[at - window + 1] / 2, "The lowest window is the right one, but you take "
                    "the rate at its beginning: the place of a mean is that of its last loss."),
            Mistake(rates[int(np.argmin(growing))] / 2, "You start before there are `window` "
                    "losses: a mean of one or two is noise, so begin at place window − 1."),
            Mistake(rates[min(at + 1, 59)] / 2, "One place too far: the window that ends at place "
                    "i is losses[i − window + 1 : i + 1]."),
            Mistake(rates[at - window + 1 + window // 2] / 2, "The lowest window is the right one, "
                    "but you take the rate in its middle: the place of a mean is that of its last "
                    "loss."),
            Mistake(min(means), "That is the lowest mean, a loss; return half the rate at its "
                    "place."),
            Mistake(rates[at // 2], "That is the rate at half the place; take the rate at the "
                    "place, and half of it."),
        ],
    )  # fmt: skip


@rate.case(
    "a choice from a curve that falls to its end",
    adapter="chosen",
    inputs=lambda rng: {
        "rates": _even_exponents(1e-4, float(rng.uniform(0.01, 0.1)), 20),
        "losses": np.linspace(3.3, float(rng.uniform(2.5, 3.0)), 20).tolist(),
        "window": 6,
    },
)
def _(given, got):
    rates = given["rates"]
    expect(
        "choose_rate",
        got["rate"],
        rates[-1] / 2,
        mistakes=[
            Mistake(rates[-2] / 2, "The last window is left out: it ends at the last loss, and "
                    "`range` stops one before its end."),
            Mistake(rates[-1], NOT_HALVED),
        ],
    )  # fmt: skip


@rate.case(
    "a search on a real slope",
    points=2,
    adapter="bowl",
    inputs=lambda rng: {
        "curvatures": rng.uniform(1.0, 20.0, 6).tolist(),
        "noise": rng.normal(0, 0.3, (200, 6)),
        "low": 1e-3,
        "high": 10.0,
        "n": 200,
        "window": 10,
    },
)
def _(given, got):
    c, x, losses = np.array(given["curvatures"]), np.full(6, 3.0), []
    rates = _even_exponents(given["low"], given["high"], given["n"])
    for r, noise in zip(rates, given["noise"], strict=True):
        losses.append(0.5 * (c * (x - noise) ** 2).sum())
        x = x - r * c * (x - noise)
    want = _choose(rates, losses, given["window"])
    expect("the rate that was chosen", got["rate"], want, tol=1e-4,
           mistakes=[Mistake(2 * want, NOT_HALVED)])  # fmt: skip


# --- 3.4 ----------------------------------------------------------------------------------------

TARGET = 2.17
MOST_NUMBERS = 50_000

beat = Exercise(
    number="3.4",
    title="Beat 2.17",
    difficulty=4,
    minutes=60,
    practises="training a network of your own until the number is good, and judging it honestly",
    answers=("train_mlp",),
    takes=20,
    summary=(
        "Train the lecture's network until its loss on held-out names is below 2.17. "
        "You choose context, sizes, start, batches, optimiser and learning rates."
    ),
    statement=f"""
`train_mlp(words: list[str], stoi: dict[str, int]) -> tuple`

`words` are the training names. Build contexts and targets from them (3.1 may help), train, and
return the parameters `wte` (27, C), `W1` (T · C, H), `b1` (H,), `W2` (H, 27) and `b2` (27,) of the
network `tanh(x @ W1 + b1) @ W2 + b2`, where x holds the embeddings of a context of T characters
side by side, the oldest first. You choose T, C and H; together at most {MOST_NUMBERS:,} numbers.

```python
wte, W1, b1, W2, b2 = train_mlp(words, stoi)
[tuple(p.shape) for p in (wte, W1, b1, W2, b2)]   # [(27, 10), (30, 200), (200,), (200, 27), (27,)]
```

The check splits the names anew, and takes every name of dev out of the training names. Your
function never meets a dev name: it hands in its parameters, and the check runs the network with
them. It also swaps the letters, each for another, so that what is known of names beforehand is no
help. {TARGET} was the figure of the lecture's network after 200,000 plain steps.

The check takes as long as your function does; on one thread, which is what the grader has, ten
seconds are enough. Stay under half a minute. Write it with PyTorch alone: `zerotohero.mlp` is not
there when it is graded.
""",
    hints=(
        "The lecture's last recipe gets there: batches of 256, AdamW, a learning rate that ends at "
        "zero. An honest start (3.2) saves it the first few hundred steps.",
        "Context 3, embedding 10, hidden 200; 6,000 steps of `torch.optim.AdamW` at 0.01, with "
        "`group['lr'] = 0.01 * 0.5 * (1 + math.cos(math.pi * step / 6000))` before each.",
        "Draw `rows = torch.randint(len(X), (256,), generator=g)` and use `X[rows]` and `Y[rows]`: "
        "the same rows for both. At the start, W2 times 0.01, W1 times 0.2, and biases of zero; "
        "`requires_grad_()` on all five. Return these five after the last step.",
    ),
)


def _split(seed: int) -> tuple[list[str], list[str]]:
    """Train and dev names; no dev name stands in train, or memory would count as skill."""
    order = np.random.default_rng(seed).permutation(len(all_names()))
    held_out = len(order) // 10
    dev = [all_names()[i] for i in order[:held_out]]
    known = set(dev)
    return [w for w in (all_names()[i] for i in order[held_out:]) if w not in known], dev


def _training_names(rng: np.random.Generator) -> dict:
    train, dev = _split(int(rng.integers(2**31)))
    # With other letters, parameters or names that come with the answer are worth nothing.
    swap = str.maketrans(
        string.ascii_lowercase, "".join(rng.permutation([*string.ascii_lowercase]))
    )
    train, dev = ([word.translate(swap) for word in words] for words in (train, dev))
    return {"words": train, "stoi": STOI, "_dev": dev}


@beat.case(
    "the loss on names that were held out",
    points=6,
    adapter="trained",
    inputs=_training_names,
    crashes={"zerotohero": "This one is written with PyTorch alone: the library stays outside."},
)
def _(given, got):
    wte, W1, b1, W2, b2 = _trained_parameters(got["parameters"])
    T = W1.shape[0] // wte.shape[1]
    train, dev = (_examples(words, T)[:2] for words in (given["words"], given["_dev"]))

    def loss_of(rows: tuple, W1: np.ndarray = W1) -> float:
        return mean_loss(_hidden(rows[0], wte, W1, b1) @ W2 + b2, rows[1])

    loss = loss_of(dev)
    if loss < TARGET:
        return
    shares = np.bincount(dev[1], minlength=V) / len(dev[1])
    blind = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    train_loss = loss_of(train)
    turned = W1.reshape(T, -1, W1.shape[1])[::-1].reshape(W1.shape)
    if loss_of(dev, turned) < min(loss, blind) - 0.1:
        hint = (
            "With its context turned round, your network would be better: contexts are in reading "
            "order, the oldest character first, in training as well."
        )
    elif loss > math.log(V) + 0.05:
        hint = (
            f"That is worse than knowing nothing ({math.log(V):.2f}): it is confidently wrong. "
            "Are these the parameters that were trained, or a copy from before? Was the learning "
            "rate too high?"
        )
    elif abs(loss - blind) < 0.08:
        hint = (
            f"That is what letter frequencies alone would get ({blind:.2f}): the context isn't "
            "used. Are X and Y taken at the same rows in each minibatch?"
        )
    else:
        hint = (
            f"On the training names it is {train_loss:.3f}. If that is not far below, it "
            "underfits: more steps, larger batches, and a learning rate that falls to zero."
        )
    raise Wrong(f"the loss on dev: expected less than {TARGET}, got {loss:.3f}", hint)


def _trained_parameters(got) -> list[np.ndarray]:
    names = ("wte", "W1", "b1", "W2", "b2")
    if not isinstance(got, list) or len(got) != 5:
        raise Wrong(f"train_mlp: expected five parameters: {', '.join(names)}")
    if any(isinstance(p, np.ndarray) and not np.isfinite(p).all() for p in got):
        raise Wrong(
            "the parameters: expected finite numbers, got some that are infinite or NaN",
            "The training has diverged: try a tenth of the learning rate.",
        )
    parameters = [array(name, p) for name, p in zip(names, got, strict=True)]
    wte, W1, b1, W2, b2 = parameters
    H, C = b1.shape[0] if b1.ndim == 1 else 0, wte.shape[-1] if wte.ndim else 0
    if W1.ndim == W2.ndim == 2 and (W1.shape[0], W2.shape) == (H, (V, H)) != (W1.shape[0], (H, V)):
        raise Wrong(
            f"the shapes: W1 is {W1.shape} and W2 is {W2.shape}, b1 is {b1.shape}",
            "`torch.nn.Linear` keeps its weight the other way round, (out, in): return its "
            "transpose, `weight.T`.",
        )
    if (
        wte.shape != (V, C) or C == 0 or W1.ndim != 2 or W1.shape[0] % C or W1.shape[0] == 0
        or (W1.shape[1], W2.shape, b2.shape) != (H, (H, V), (V,))
    ):  # fmt: skip
        shapes = ", ".join(f"{n} {p.shape}" for n, p in zip(names, parameters, strict=True))
        raise Wrong(
            f"the shapes don't fit together: {shapes}",
            f"They must be wte ({V}, C), W1 (T · C, H), b1 (H,), W2 (H, {V}), b2 ({V},).",
        )
    if (total := sum(p.size for p in parameters)) > MOST_NUMBERS or W1.shape[0] > 16 * C:
        raise Wrong(
            f"the network has {total:,} numbers and a context of {W1.shape[0] // C}; at most "
            f"{MOST_NUMBERS:,} and 16 are allowed",
            "The target is within reach of 12,000 numbers and three characters.",
        )
    return parameters


# --- 3.5 ----------------------------------------------------------------------------------------

connections = Exercise(
    number="3.5",
    title="Direct connections",
    difficulty=3,
    minutes=35,
    practises="reading a formula in a paper, and counting what it costs",
    answers=("direct_logits", "count_parameters"),
    summary=(
        "Add the paper's direct connections, a second path from the embeddings to the logits, past "
        "the hidden layer. Count what they cost, and measure what they bring."
    ),
    statement="""
Bengio and colleagues (2003, equation 1) write the logits as y = b + W x + U tanh(d + H x), where x
holds the embeddings of the context side by side. U tanh(d + H x) is the hidden layer's path, which
the lecture has. W x goes **directly** from the embeddings to the logits; the lecture left it out.

`direct_logits(X, wte, W1, b1, W2, b2, W3) -> Tensor` of shape (B, V)

Here `X` (B, T) holds contexts, `wte` (V, C), `W1` (T · C, H), `b1` (H,), `W2` (H, V), `b2` (V,) are
the lecture's parameters, and `W3` (T · C, V) the direct connections (all floats but X).

`count_parameters(block_size: int, n_embd: int, n_hidden: int, V: int, direct: bool) -> int`

returns how many numbers the network learns, with the direct connections or without.

```python
count_parameters(3, 10, 200, 27, direct=False)    # 11897
```

Afterwards, train both for the same number of steps. The paper found that direct connections make
the network converge faster, but that it generalises better without. What do you find on names?
""",
    hints=(
        "Write the shapes beneath the formula: which of the six tensors can x be multiplied with?",
        "x = embeddings of the context, reshaped to (B, T · C). The lecture's logits, plus one "
        "more product of x. Count parameters by multiplying out each shape, wte included.",
        "`x = wte[X].view(len(X), -1)`, then `torch.tanh(x @ W1 + b1) @ W2 + b2 + x @ W3`; the "
        "count is V*C + T*C*H + H + H*V + V, and T*C*V more with direct connections.",
    ),
)


def _network(rng: np.random.Generator) -> dict:
    T, C, H, V = 3, 4, 7, 9
    shapes = [(V, C), (T * C, H), (H,), (H, V), (V,), (T * C, V)]
    return {
        "X": rng.integers(0, V, (6, T)),
        "parameters": [rng.normal(size=shape) for shape in shapes],
    }


@connections.case(
    "the logits",
    points=2,
    adapter="direct",
    inputs=_network,
    crashes={
        "cannot be multiplied": "x is `wte[X]` put side by side, of shape (B, T · C); W1 and W3 "
        "both take it as it is.",
        "is invalid for input of size": "The sizes here are others than the lecture's: read them "
        "off the tensors' shapes.",
        "same dtype": "The parameters are float64 here: leave the data types as they are.",
    },
)
def _(given, got):
    X, (wte, W1, b1, W2, b2, W3) = given["X"], given["parameters"]
    x = wte[X].reshape(len(X), -1)
    h = np.tanh(x @ W1 + b1)
    plain = h @ W2 + b2
    unbent, e = (x @ W1 + b1) @ W2 + b2 + x @ W3, np.exp(plain + x @ W3)
    newest = wte[X[:, ::-1]].reshape(len(X), -1)
    turned = wte[X].transpose(0, 2, 1).reshape(len(X), -1)
    mixed = np.tanh(turned @ W1 + b1) @ W2 + b2 + turned @ W3
    expect(
        "direct_logits",
        got["logits"],
        plain + x @ W3,
        mistakes=[
            Mistake(plain, "That is the network of the lecture: the path x @ W3 is missing."),
            Mistake(x @ W3 + b2, "Only the direct path is there: add the hidden layer's."),
            Mistake(np.tanh(plain + x @ W3), "The sum of both paths went through tanh; it bends "
                    "only the hidden layer. Logits may be any number."),
            Mistake(plain + np.tanh(x @ W3), "The direct path went through tanh: it is plain "
                    "multiplication."),
            Mistake(plain + x @ W3 + b2, "b2 is added twice, once with each path; there is one "
                    "bias for both."),
            Mistake(mixed, "The numbers of a context are in the wrong order: first all of the "
                    "oldest character, then all of the next. `view` or `flatten(1)` keeps them "
                    "so; a transposition before it doesn't."),
            Mistake(np.tanh(newest @ W1 + b1) @ W2 + b2 + newest @ W3, "The newest character "
                    "stands first: keep the order in which X has them."),
            Mistake(unbent, "The tanh of the hidden layer is missing."),
            Mistake(plain + x @ W3 - b2, "b2 is missing."),
            Mistake(np.tanh(x @ W1) @ W2 + b2 + x @ W3, "b1 is missing: it is added before tanh."),
            Mistake(e / e.sum(1, keepdims=True), "These are probabilities; return the logits, "
                    "before softmax."),
        ],
    )  # fmt: skip


@connections.case(
    "the gradients of both paths",
    points=2,
    adapter="direct_gradients",
    inputs=lambda rng: {**_network(rng), "Y": rng.integers(0, 9, 6)},
    crashes={
        "does not require grad": "The logits don't depend on the parameters any more: do not "
        "detach them, and stay with torch's operations.",
    },
)
def _(given, got):
    X, Y, (wte, W1, b1, W2, b2, W3) = given["X"], given["Y"], given["parameters"]
    x = wte[X].reshape(len(X), -1)
    h = np.tanh(x @ W1 + b1)
    logits = h @ W2 + b2 + x @ W3
    dlogits = (softmax(logits) - np.eye(len(b2))[Y]) / len(Y)

    def to_table(dx: np.ndarray) -> np.ndarray:
        dwte = np.zeros_like(wte)
        np.add.at(dwte, X, dx.reshape(*X.shape, -1))
        return dwte

    hidden_dx = ((dlogits @ W2.T) * (1 - h * h)) @ W1.T
    expect("the gradient of W3", got["W3"], x.T @ dlogits)
    expect(
        "the gradient of wte",
        got["wte"],
        to_table(hidden_dx + dlogits @ W3.T),
        mistakes=[
            Mistake(np.zeros_like(wte), "The embeddings learn nothing at all: x was detached, or "
                    "copied by `torch.tensor` or `.data`."),
            Mistake(to_table(hidden_dx), "The embeddings learn nothing through the direct path: x "
                    "was detached there, or its data copied."),
            Mistake(to_table(dlogits @ W3.T), "The embeddings learn nothing through the hidden "
                    "layer: x was detached there, or its data copied."),
        ],
    )  # fmt: skip


@connections.case(
    "the number of parameters",
    adapter="counted",
    inputs=lambda rng: {
        "block_size": int(rng.integers(2, 9)),
        "n_embd": int(rng.integers(2, 20)),
        "n_hidden": int(rng.integers(10, 300)),
        "V": int(rng.integers(20, 90)),
    },
)
def _(given, got):
    T, C, H, V = (given[key] for key in ("block_size", "n_embd", "n_hidden", "V"))
    plain = V * C + T * C * H + H + H * V + V
    wrong = [
        (plain - H - V, "The biases b1 and b2 are parameters too."),
        (plain - V, "The output bias b2 is missing: V numbers."),
        (plain - H, "The hidden bias b1 is missing: H numbers."),
        (plain + T * C * V, "W3 is counted even without direct connections: look at `direct`."),
        (plain - V * C, "The embedding table is learned too: V · C numbers."),
        (plain - V * C + T * V * C, "One embedding table serves all positions: V · C numbers, "
         "not one table a position."),
        (plain - T * C * H + C * H, "W1 reads the embeddings of all T positions: T · C rows."),
    ]  # fmt: skip
    expect("without direct connections", got["plain"], plain,
           mistakes=[Mistake(n, hint) for n, hint in wrong])  # fmt: skip
    expect(
        "with direct connections",
        got["direct"],
        plain + T * C * V,
        mistakes=[
            Mistake(plain, "W3 isn't counted: look at `direct`."),
            Mistake(plain + C * V, "W3 reads the embeddings of all T positions: T · C rows."),
            Mistake(plain + H * V, "W3 starts from the embeddings, T · C numbers, not from the "
                    "hidden units."),
            Mistake(plain + T * C * V + V, "The direct path has no bias of its own: b2 serves "
                    "both."),
            Mistake(plain + T * V * V, "W3 starts from the embeddings, which are T · C numbers, "
                    "not from one-hot contexts, which would be T · V."),
        ],
    )  # fmt: skip


EXERCISES = (dataset, start, rate, beat, connections)
