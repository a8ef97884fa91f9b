"""8.8 · Constrained decoding: masks on logits, so that only what is allowed can be written."""

import numpy as np

from zerotohero.course.checks.assistant._e8_8_constrained import (
    END,
    followers,
    greedily,
    masked,
    some_choices,
    some_writing,
    wrong_followers,
    wrong_probs,
    wrong_writing,
)
from zerotohero.course.checks.gpt.shared import expect_slowly, one_tensor
from zerotohero.course.exercise import NOTHING, Exercise, expect, expect_that

constrained = Exercise(
    number="8.8",
    title="Constrained decoding",
    difficulty=2,
    minutes=30,
    practises="deciding what a model may write, without a word to the model",
    answers=("allowed_next", "masked_probs", "write_choice"),
    adapters="assistant_models",
    summary=(
        "A model that has to choose between yes and no may write a poem instead. Mask its logits, "
        "so that it can write one of the choices and nothing else."
    ),
    statement="""
`allowed_next(choices: list, written: list[int], end: int) -> list[int]`

Each choice is a list of one or more tokens, none of them `end`; one choice may be the beginning of
another. Return what may follow what is `written` so far: each token with which a choice goes on
that **begins** with all of `written`, and `end` if `written` **is** a choice. In rising order, each
once; nothing, `[]`, if no choice begins so.

`masked_probs(logits: Tensor, allowed: list[int], temperature: float) -> Tensor`

`logits` is (V,). Return probabilities, (V,): those of the allowed tokens at this temperature, above
0, as if there were no others, and exactly 0 for all others. That also holds where the others'
logits are higher by tens of thousands, or all lie tens of thousands below 0.

`write_choice(model: Callable, prompt: list[int], choices: list, end: int) -> list[int]`

Write one of the choices: token after token the likeliest that is allowed behind what is written,
`end` as well as any other. It is finished when `end` is written, which is not returned.
`model(idx)` takes (1, T) tokens, the prompt and what is written, to logits, (1, T, V): those at
position t say what comes **behind** token t. Ask it only where **two or more** tokens are allowed,
and once for each such place: what is the only possible token needs no model.

```python
allowed_next([[4, 7], [4, 2, 9], [4]], [4], end=0)             # [0, 2, 7]
masked_probs(torch.tensor([0.0, 5.0, 0.0]), [0, 2], 1.0)       # [0.5, 0, 0.5]
write_choice(model, [8, 1], [[4, 7, 5], [4, 2, 9]], end=0)     # one call: behind 8 1 4
```
""",
    hints=(
        "What stands in the logits of a token that must not come, so that softmax makes 0 of it, "
        "whatever the others are?",
        "A choice c goes on if `c[:len(written)] == written` and it is longer; a set holds each "
        "token once. Fill a tensor with −∞ and copy the allowed logits into it before softmax.",
        "`masked = torch.full_like(logits, float('-inf'))`, `masked[allowed] = logits[allowed]`, "
        "`(masked / temperature).softmax(-1)`. Then loop: `allowed = allowed_next(choices, "
        "written, end)`; if there is one, take it, else ask `model(torch.tensor([prompt + "
        "written]))[0, -1]`.",
    ),
)


@constrained.case(
    "what may follow",
    points=3,
    adapter="nexts",
    inputs=some_choices,
    crashes={
        "list index out of range": "A choice may be shorter than what is written, and have no such "
        "place: `c[:len(written)] == written` needs no index.",
        "returned a set": "`sorted(…)` makes a list of a set, in rising order.",
    },
)
def only_what_goes_on(given, got):
    choices, written = given["choices"], given["written"]
    want = [followers(choices, w) for w in written]
    ways = wrong_followers(choices)
    hint = next((h for way, h in ways if [way(w) for w in written] == got["found"]), None)
    if not hint and [sorted(came) for came in got["found"] if came is not None] == want:
        hint = "These are the right tokens, and not in rising order."
    for w, its, came in zip(written, want, got["found"], strict=True):
        expect(f"allowed_next({choices}, {w}, {END})", came, its, tol=0, hint=hint)


def mask_before_softmax(given, got):
    one_tensor("masked_probs", got["probs"])
    logits, allowed = given["logits"], given["allowed"]
    came = np.asarray(got["probs"], float) if got["probs"] is not None else np.zeros(0)
    lost = came.shape == logits.shape and not np.isfinite(came).all()
    expect_slowly(
        "masked_probs",
        got["probs"],
        masked(given),
        lambda: wrong_probs(given),
        hint="All that is allowed has become 0 before it was divided by its sum: mask the logits, "
        "and leave the rest to `softmax`, which takes the largest away first."
        if lost
        else None,
    )
    leak = np.setdiff1d(np.flatnonzero(came), allowed)
    expect_that(
        not leak.size,
        f"masked_probs: expected exactly 0 for what isn't allowed, got {came[leak].max():.2g}"
        if leak.size
        else "",
        "A large negative number isn't −∞: `float('-inf')` makes exactly 0.",
    )


def _logits(rng: np.random.Generator, high: float) -> dict:
    logits = rng.normal(size=9) * (1 if high == 0 else 3)
    allowed = sorted(rng.choice(9, 3, replace=False).tolist())
    others = np.setdiff1d(np.arange(9), allowed)
    logits[others] += high
    logits -= 4 / 3 * high  # all of them are far below 0
    return {"logits": logits, "allowed": allowed, "temperature": float(rng.uniform(0.4, 0.7))}


for name, high in (("what is not allowed gets 0", 0.0), ("however likely it was", 60_000.0)):
    constrained.case(
        name,
        points=2 if high == 0 else 1,
        adapter="probs",
        inputs=lambda rng, high=high: _logits(rng, high),
        crashes={
            "IndexError|has to be|indices": "`allowed` holds places in the logits: "
            "`masked[allowed] = logits[allowed]`."
        },
    )(mask_before_softmax)


@constrained.case(
    "one of the choices",
    points=4,
    adapter="choices_written",
    inputs=some_writing,
    crashes={
        "the model takes a tensor": "`torch.tensor([prompt + written])` makes a tensor of one row.",
        "list index out of range|max\\(\\)|argmax of an empty": "Nothing is allowed there any "
        "more: the end was passed by, or what was written isn't one of the allowed tokens, but its "
        "place among them, say.",
    },
)
def choice_written(given, got):
    right = [greedily(given, prompt) for prompt in given["prompts"]]
    want, asked = ([its[i] for its in right] for i in (0, 1))
    ways = wrong_writing(given) if got["written"] != want else []
    hint = next((h for way, h in ways if way == got["written"]), None)
    if not hint and all(w is None for w in got["written"]):
        hint = NOTHING
    strays = [w for w in got["written"] if w not in given["choices"]]
    if strays and not hint:
        hint = "What was written is no choice: mask at every place, and stop at `end`."
    expect("write_choice", got["written"], want, tol=0, hint=hint)
    n, came = (sum(map(len, its)) for its in (asked, got["seen"]))
    again = any(row in its[:i] for its in got["seen"] for i, row in enumerate(its))
    expect_that(
        came == n,
        f"write_choice: expected {n} calls of the model for {len(want)} prompts, got {came}",
        "Too few calls: what follows depends on what was written, so ask again."
        if came < n
        else "The model is asked twice for one place: keep what it said."
        if again
        else "The model is asked where only one token is allowed: it has no choice there.",
    )
    expect("the rows that the model was fed", got["seen"], asked, tol=0)
