"""7.2 · A GPT that adds: writing a task as tokens, and deciding which the loss is about."""

import numpy as np

from zerotohero import IGNORED
from zerotohero.course.checks.gpt._e7_2_adder import (
    EQUALS,
    PLUS,
    carries_of,
    digits_of,
    longest_run,
    rows_of,
    targets_of,
    wrong_chains,
    wrong_inputs,
    wrong_sums,
    wrong_targets,
)
from zerotohero.course.checks.gpt.shared import (
    GPT_AND_TRAINER,
    TRAINED_CRASHES,
    gpt_of,
    same_type,
)
from zerotohero.course.exercise import (
    Exercise,
    Wrong,
    array,
    expect,
    expect_that,
)
from zerotohero.course.to_look_at import HOOKS, THREADS

SHARE = 0.99
MOST_NUMBERS = 500_000


adder = Exercise(
    number="7.2",
    title="A GPT that adds",
    difficulty=3,
    minutes=60,
    practises="writing a task as tokens, and deciding which of them the loss is about",
    answers=("encode_sums", "add", "carry_chain", "train_adder"),
    look_for=(*HOOKS, *THREADS),
    adapters="gpt_training",
    uses=GPT_AND_TRAINER,
    takes=10,
    summary=(
        "Train a small GPT on sums of three-digit numbers until 99 in 100 unseen ones are exactly "
        "right. The answer is written backwards, and the question is no part of the loss."
    ),
    statement=f"""
`encode_sums(a: Tensor, b: Tensor, reverse: bool = True) -> tuple[Tensor, Tensor]`

`a` and `b` are (N,) int64, numbers from 0 to 999. A sum is a row of twelve tokens: the three digits
of a, {PLUS} for "+", the three digits of b, {EQUALS} for "=", the four digits of a + b. Digits are
their own tokens, and leading zeros are written. With `reverse`, the **answer** (and only it) has
its units first, which is the order in which one adds. Return inputs `X` and targets `Y`, both
(N, 11) int64: X is the row without its last token, Y the row without its first. Targets that
belong to the question are {IGNORED}, so that the loss, which ignores these, is about the four
digits of the answer alone.

`add(model, a: Tensor, b: Tensor, reverse: bool = True) -> Tensor`

What the model says a + b is, (N,) int64: give it the questions, eight tokens each, let it write
four more, always the likeliest, and read them as a number. `model` maps (N, T) tokens to
(N, T, 12) logits; the check hands in one that can't add.

`carry_chain(a: Tensor, b: Tensor) -> Tensor`

For each sum, (N,) int64, the length of the longest run of neighbouring columns that carry, from 0
to 3. A column carries if its two digits and what the column to its right carried make 10 or more.

`train_adder(a: Tensor, b: Tensor, reverse: bool = True) -> GPT`

Train a `zerotohero.gpt.GPT` of 12 tokens and at most {MOST_NUMBERS:,} parameters on the sums of
these pairs and of no others, the question being no part of its loss, and return it. `Trainer` takes
the pair (X, Y) as data.

```python
X, Y = encode_sums(torch.tensor([123]), torch.tensor([48]))
X.tolist()    # [[1, 2, 3, 10, 0, 4, 8, 11, 1, 7, 1]]
Y.tolist()    # [[-100, -100, -100, -100, -100, -100, -100, 1, 7, 1, 0]]
carry_chain(torch.tensor([905, 955]), torch.tensor([905, 45])).tolist()    # [1, 3]
```

The check trains on all pairs but those of 1,000 sums, which it then asks: {SHARE:.0%} must be
exactly right. It takes as long as `train_adder` does: ten seconds can do, stay under a minute.
Afterwards, train one on answers that aren't reversed, with the same budget, and compare its errors
by carry chain.
""",
    hints=(
        "To write the first digit of a sum, what has to be known of the other columns? And to "
        "write the last? For the mask: Y[t] is what follows X[t], so the first target that belongs "
        "to the answer is the one at the position of the equals sign.",
        "`a // 100 % 10` and its like are digits; `torch.stack(columns, 1)` makes rows. Two small "
        "layers are enough. AdamW alone takes about a thousand steps of 128; with "
        '`optimizer="muon"`, a few hundred do.',
        "`GPTConfig(12, 11, n_layer=2, n_head=4, n_embd=64, bias=False, norm='rmsnorm', "
        "activation='relu2', qk_norm=True, tied=False)`, and `TrainConfig(steps=400, "
        "batch_size=64, lr=0.01, min_lr=0.0, warmup=20, schedule='trapezoid', weight_decay=0.0, "
        "betas=(0.9, 0.98), grad_clip=1.0, optimizer='muon', muon_lr=0.05, precision='fp32')`, "
        "with the data as a pair (X, Y).",
    ),
)


def _pairs(rng: np.random.Generator, n: int, reverse: bool) -> dict:
    a, b = rng.integers(0, 1000, (2, n))
    a[0], b[0], a[1], b[1] = 999, rng.integers(500, 1000), rng.integers(10), rng.integers(10, 90)
    return {"a": a, "b": b, "reverse": reverse}


ENCODE_CRASHES = {
    "Nothing came back": "End encode_sums with `return X, Y`.",
    "equal size|same size|must match": "Every row has twelve tokens: write leading zeros, three "
    "digits for a and b, and four for the sum.",
}


ONE = "For several sums it is right: one sum is a batch too, and keeps its axis."
DEFAULT = "With `reverse` it is right. If it isn't given, it is True: `reverse: bool = True`."


def _expect_X(given: dict, got: dict) -> np.ndarray:
    a, b, reverse = (given[name] for name in ("a", "b", "reverse"))
    right = rows_of(a, b, reverse)
    expect("X", got["X"], right[:, :-1], tol=0, mistakes=wrong_inputs(a, b, reverse))
    expect("X for N = 1", got["one"][0], right[:1, :-1], tol=0, hint=ONE)
    return right


def question_masked(given: dict, got: dict) -> None:
    right = rows_of(given["a"], given["b"], given["reverse"])
    expect("Y", got["Y"], targets_of(right), tol=0, mistakes=wrong_targets(right))
    expect("Y for N = 1", got["one"][1], targets_of(right[:1]), tol=0, hint=ONE)


@adder.case(
    "rows of tokens, the answer reversed",
    points=2,
    adapter="encoded",
    inputs=lambda rng: _pairs(rng, 20, True),
    crashes=ENCODE_CRASHES,
)
def answer_reversed(given, got):
    right = _expect_X(given, got)
    expect("X of encode_sums(a, b)", got["default"], right[:, :-1], tol=0, hint=DEFAULT)
    tensors = all(kind.startswith("torch.") for kind in got["kinds"])
    expect(
        "the data types of X and Y",
        got["kinds"],
        ["torch.int64"] * 2,
        hint="Tokens index a table: make X and Y int64, `.long()`."
        if tensors
        else "X and Y have to be tensors of torch, not arrays of NumPy or lists.",
    )


adder.case(
    "the question masked out of the targets",
    points=2,
    adapter="encoded",
    inputs=lambda rng: _pairs(rng, 20, True),
    crashes=ENCODE_CRASHES,
)(question_masked)


@adder.case(
    "the same, not reversed",
    adapter="encoded",
    inputs=lambda rng: _pairs(rng, 20, False),
    crashes=ENCODE_CRASHES,
)
def answer_not_reversed(given, got):
    _expect_X(given, got)
    question_masked(given, got)


ADD_CRASHES = {
    "do not begin with a question": "A question is eight tokens, as `encode_sums` begins its rows: "
    "`X[:, :8]`, with the equals sign as the last.",
    "has no attribute": "`model` is any function of tokens, `model(idx)` with idx (N, T) gives "
    "logits (N, T, 12): write the four tokens in a loop.",
}


def sums_read_from_the_model(given: dict, got: dict) -> None:
    a, b, shift, reverse = (given[name] for name in ("a", "b", "shift", "reverse"))
    said = (7 * a + 3 * b + shift) % 10_000  # what the stand-in takes for the sum
    expect_that(
        np.array_equal(got["sums"], got["again"]),
        "add: expected the same sums when asked twice, got others",
        "The digits were drawn at random: take the likeliest, `logits[:, -1].argmax(-1)`, or "
        "`temperature=0`.",
    )
    wrong = wrong_sums(a, b, said, reverse)
    expect("add", got["sums"], said, tol=0, mistakes=wrong)
    expect("add for N = 1", got["one"], said[:1], tol=0, hint=ONE)
    if reverse:
        expect("add(model, a, b)", got["default"], said, tol=0, hint=DEFAULT)
    same_type("add", got["sums"], "int64")


def _questions(rng: np.random.Generator, reverse: bool) -> dict:
    return {**_pairs(rng, 40, reverse), "shift": int(rng.integers(10_000))}


adder.case(
    "what a model says",
    points=2,
    adapter="asked_for_sums",
    inputs=lambda rng: _questions(rng, True),
    crashes=ADD_CRASHES,
)(sums_read_from_the_model)


adder.case(
    "what a model says that writes from left to right",
    adapter="asked_for_sums",
    inputs=lambda rng: _questions(rng, False),
    crashes=ADD_CRASHES,
)(sums_read_from_the_model)


def _with_chains(rng: np.random.Generator) -> dict:
    a, b = rng.integers(0, 1000, (2, 60))
    # Carries that only an incoming one causes, gaps between carries, and no carry at all.
    a[:6] = [955, 999, 905, 444, 0, 195]
    b[:6] = [45, 1, 905, 555, 0, 905]
    order = rng.permutation(60)
    return {"a": a[order], "b": b[order]}


@adder.case("carry chains", points=2, adapter="chained", inputs=_with_chains)
def carries_counted(given, got):
    a, b = given["a"], given["b"]
    wrong = wrong_chains(a, b)
    expect("carry_chain", got["chain"], longest_run(carries_of(a, b)), tol=0, mistakes=wrong)
    expect("carry_chain for N = 1", got["one"], longest_run(carries_of(a, b))[:1], tol=0, hint=ONE)
    same_type("carry_chain", got["chain"], "int64")


def _sums_to_learn(rng: np.random.Generator) -> dict:
    """Return all pairs but those of 1,000 sums, in either order of the two numbers."""
    held_out = rng.choice(10**6, 1000, replace=False)
    a, b = held_out // 1000, held_out % 1000
    learn = np.ones(10**6, bool)
    learn[held_out] = learn[b * 1000 + a] = False
    learn = np.flatnonzero(learn)
    return {
        "a": (learn // 1000).astype(np.int16),
        "b": (learn % 1000).astype(np.int16),
        "_a": a,
        "_b": b,
    }


@adder.case(
    "1,000 sums that it has not seen",
    points=4,
    adapter="trained_adder",
    inputs=_sums_to_learn,
    crashes=TRAINED_CRASHES,
)
def unseen_sums_right(given, got):
    import torch

    model = gpt_of("train_adder", got, MOST_NUMBERS)
    a, b = given["_a"], given["_b"]
    strangers = array("the other sums", got["strangers"]).astype(int)
    expect_that(
        not strangers.size,
        "train_adder: expected that the model reads the sums of the given pairs alone, got "
        f"{strangers.size:,} others, {' + '.join(map(str, divmod(int(strangers[0]), 1000)))} among "
        "them"
        if strangers.size
        else "",
        "Sums that it has learned from say nothing about unseen ones: train on `a` and `b` as they "
        "are handed in, and draw no pairs of your own.",
    )
    expect_that(
        model.config.vocab_size == 12 and model.config.block_size >= 11,
        f"train_adder: a GPT of {model.config.vocab_size} tokens and a context of "
        f"{model.config.block_size}",
        "The tokens are 0 to 11, so `vocab_size` is 12."
        if model.config.vocab_size != 12
        else "A context of eleven is needed: `GPTConfig(12, 11, …)`.",
    )
    idx = torch.tensor(rows_of(a, b, True)[:, :8])
    with torch.no_grad():
        for _ in range(4):
            idx = torch.cat([idx, model(idx)[:, -1].argmax(-1, keepdim=True)], 1)
    wrote = idx[:, 8:].numpy()
    right = rows_of(a, b, True)[:, 8:]
    exact = (wrote == right).all(1)
    with torch.no_grad():
        guesses = model(torch.tensor(rows_of(a, b, True)[:, :7])).log_softmax(-1)
    signs = [-float(guesses[:, t, sign].mean()) for t, sign in ((2, PLUS), (6, EQUALS))]
    expect_that(
        signs[0] > 0.1,
        "train_adder: expected that the question is no part of the loss, got a model that has "
        f"learned where + and = stand (with losses of {signs[0]:.3f} and {signs[1]:.3f})",
        "The model was trained on targets in which the question isn't masked: train it on the X "
        "and Y of `encode_sums`.",
    )
    expect_that(
        signs[1] > 0.1,
        "train_adder: expected that the question is no part of the loss, got a model that has "
        f"learned where = stands (with a loss of {signs[1]:.3f})",
        "The equals sign is part of the question, too, and was among the targets: train it on the "
        "X and Y of `encode_sums`.",
    )
    expect_that(
        got["forwards"] > 0.99,
        "train_adder(a, b, reverse=False): expected rows whose answers begin with the thousands, "
        f"got {got['forwards']:.0%} of them",
        "It trains on reversed answers whatever `reverse` is: hand it on to `encode_sums`.",
    )
    if exact.mean() >= SHARE:
        return
    chain = longest_run(carries_of(a, b))
    shares = ", ".join(f"{exact[chain == n].mean():.0%} of chain {n}" for n in range(4))
    no_carry = (digits_of(a, 3) + digits_of(b, 3))[:, ::-1] % 10
    if (wrote == right[:, ::-1]).all(1).mean() > 0.5:
        hint = (
            "It writes the largest digit first: `train_adder` has to train on reversed answers "
            "unless it is told otherwise."
        )
    elif (wrote == right)[:, 0].mean() < 0.5:
        hint = (
            "Not even the units are learned, which need no carry. Are X and Y right, by the cases "
            "above, and has it been trained on them, and long enough? A rate that is too high, and "
            "rotary positions on so short a row, also end here."
        )
    elif (wrote[:, :3] == no_carry).all(1).mean() > 0.5:
        hint = "It adds column by column and hasn't learned to carry yet: train longer."
    else:
        places = zip(
            ("units", "tens", "hundreds", "thousands"), (wrote == right).mean(0), strict=True
        )
        told = ", ".join(f"the {name} in {share:.0%}" for name, share in places)
        hint = (
            f"Right are {told}. More steps, or a rate that falls to zero over the last four tenths "
            "of them, can do the rest."
        )
    raise Wrong(
        f"exactly right: expected at least {SHARE:.0%}, got {exact.mean():.1%} ({shares})", hint
    )
