"""11.4 · Top-p and an end: sampling from a nucleus, and texts that stop by themselves."""

from functools import partial

import numpy as np

from zerotohero.course.checks.gpt.shared import expect_slowly
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.checks.numpy_gpt._e11_4_texts import (
    kept_of,
    nucleus,
    shared_out,
    to_write,
    written,
    wrong_texts,
)
from zerotohero.course.checks.numpy_gpt.shared import expect_array
from zerotohero.course.exercise import Exercise, Mistake, Wrong, array, expect, expect_that

sampling = Exercise(
    number="11.4",
    title="Top-p, and an end",
    difficulty=3,
    minutes=45,
    practises="a choice in sorted order, and a loop in which every row has an end of its own",
    answers=("top_p", "generate"),
    summary=(
        "Sample from the likeliest tokens that have the probability p together. Write the loop in "
        "which each text of a batch stops at its own end-of-text token."
    ),
    statement="""
`top_p(probs: ndarray, p: float) -> ndarray`

probs has the shape (B, V); each row adds up to 1. A row keeps its likeliest tokens, as few as are
needed for their probabilities to add up to **at least p**: the token with which the sum reaches p
is kept, and of equally likely ones no more than are needed. The others get 0, and what is left is
divided by its sum. p is above 0 and at most 1; with p = 1 every token is kept, however unlikely.

`generate(model: Callable, draw: Callable, prompts: list, eos: int, n_tokens: int, p: float)`
`-> list[list[int]]`

`model(texts)` takes the B texts so far, as lists of tokens, and returns the probabilities of what
comes next, (B, V). `draw(probs)` takes (B, V) probabilities and returns one token for each row. In
each round, ask the model once, with **all** B texts; draw once, from `top_p` of its probabilities;
and put each token behind its text.

A text ends when **it writes** the token `eos`, and gets nothing more; the others go on. Whether
this one `eos` is put behind its text is up to you; behind it the model sees nothing. Each text gets
at most n_tokens tokens, which may be 0. When all have ended, the model isn't asked again. A prompt
may hold `eos`, end with it or be `[eos]`, which is how GPT-2 writes from nothing: that ends no
text.

Return the new tokens of each text, without its prompt and without the `eos` that it wrote.

```python
probs = np.array([[0.1, 0.5, 0.1, 0.3], [0.0, 0.96, 0.04, 0.0]])
top_p(probs, 0.7)   # [[0, 0.625, 0, 0.375], [0, 1, 0, 0]]
generate(model, draw, [[0], [7, 0]], 0, 20, 0.9)
# [[4, 4], []], if draw gives [4, 0] in the first round, [4, 3] in the second, [0, 5] in the third
```
""",
    hints=(
        "Which sum decides whether a token is kept: the one with it or the one without it? And who "
        "has to remember which texts have ended, if a prompt may hold `eos` too?",
        "`order = np.argsort(-probs, -1)`, `np.take_along_axis` sorts by it, and "
        "`np.put_along_axis` puts back. In the loop keep two lists for each text: what the model "
        "gets, and what is new; and a list of B booleans.",
        "`before = ranked.cumsum(-1) - ranked`; keep where `before < p`. For p = 1 return the "
        "probabilities, since a rounded sum may reach 1 too early. In the loop: `if token == eos: "
        "ended[i] = True`, else append it; `if all(ended): break`.",
    ),
)


def _wrong_nuclei(probs: np.ndarray, p: float) -> list[Mistake]:
    keep = kept_of(probs, p)
    right = shared_out(probs * keep)
    order = np.argsort(-probs, 1, kind="stable")
    flat = probs.reshape(1, -1) / len(probs)
    found = [
        (
            kept_of(probs, p, -1),
            "The token with which the sum reaches p is dropped: look at the sum of those before "
            "it, which is still below p.",
        ),
        (kept_of(probs, p, 1), "One token too many: once the sum has reached p, it is enough."),
        (
            kept_of(probs, p, 0, rising=True),
            "The sum begins with the unlikeliest tokens: `np.argsort` rises, so sort −probs.",
        ),
        (
            probs.cumsum(1) - probs < p,
            "Added up in the vocabulary's order: sort each row first, the likeliest in front.",
        ),
        (
            np.take_along_axis(keep, order, 1),
            "Decided in sorted order, and used in the vocabulary's: put it back by "
            "`np.put_along_axis`.",
        ),
        (probs >= p, "Tokens whose own probability is at least p: their sum has to reach it."),
        (~keep, "The nucleus is dropped and the rest kept: the other way round."),
        (
            kept_of(flat, p).reshape(probs.shape),
            "One nucleus of the whole batch: each row is a distribution of its own.",
        ),
    ]
    mistakes = []
    for kept, hint in found:
        values = shared_out(probs * kept)
        mistakes += [Mistake(v, hint) for v in (values, np.nan_to_num(values), probs * kept)]
    mistakes += [
        Mistake(
            np.take_along_axis(right, order, 1),
            "In sorted order still: column i has to be token i again.",
        ),
        Mistake(probs * keep, "What is left doesn't add up to 1: divide each row by its sum."),
        Mistake(
            probs * keep / probs[keep].sum(),
            "The batch adds up to 1, and not each row: `sum(-1, keepdims=True)`.",
        ),
        Mistake(keep.astype(float), "That says which tokens are kept: give their probabilities."),
        Mistake(probs, "Nothing is dropped."),
    ]
    return mistakes


def _telling_rows(rng) -> dict:
    """Return rows of different certainty, in which every known mistake has a result of its own."""
    p, B, V = float(rng.choice([0.7, 0.75, 0.8])), 4, int(rng.integers(9, 13))
    while True:
        probs = softmax(
            rng.permutation(np.linspace(0.5, 2.5, B))[:, None] * rng.normal(size=(B, V))
        )
        sums, sizes = np.sort(probs)[:, ::-1].cumsum(1), kept_of(probs, p).sum(1)
        if np.abs(sums - p).min() < 0.01 or sizes.min() < 2 or sizes.max() > V - 2:
            continue
        hints: dict[bytes, str] = {np.round(nucleus(probs, p), 9).tobytes(): ""}
        mistakes = [(np.round(m.value, 9).tobytes(), m.hint) for m in _wrong_nuclei(probs, p)]
        if all(hints.setdefault(result, hint) == hint for result, hint in mistakes):
            return {"asked": [{"probs": probs, "p": p}]}


@sampling.case(
    "the nucleus of each row", points=2, adapter="nuclei_of", inputs=lambda rng: _telling_rows(rng)
)
def nucleus_of_each_row(given, got):
    ((one,), (y,)) = given["asked"], got["ys"]
    mistakes = partial(_wrong_nuclei, **one)
    expect_array(f"top_p(probs, {one['p']:g})", y, nucleus(**one), mistakes=mistakes)


def _edges(rng) -> dict:
    V = int(rng.choice([8, 16]))
    sure = rng.uniform(0, 0.02, (3, V))
    sure[np.arange(3), rng.integers(0, V, 3)] += 1
    tail = rng.uniform(-42, -38, (2, 20))
    tail[:, rng.permutation(20)[:4]] = 0  # four times a quarter is 1 to the bit
    return {
        "asked": [
            {"probs": shared_out(sure), "p": float(rng.uniform(0.3, 0.6))},
            {"probs": np.full((3, V), 1 / V), "p": 0.5},
            {"probs": np.full((2, V), 1 / V), "p": 0.75 + 0.5 / V},
            {"probs": softmax(tail), "p": 1.0},
            {"probs": _with_first(rng, [0.5, 0.3 - 1e-5]), "p": 0.8},
            {"probs": _with_first(rng, [0.6, 0.39, 0.0098])[:1], "p": 0.9995},
        ]
    }


def _with_first(rng, likely: list[float]) -> np.ndarray:
    """Return rows of these and of eight unlikelier ones, each in another order."""
    rest = np.linspace(0.7, 1.3, 8) * (1 - sum(likely)) / 8
    return np.array([rng.permutation([*likely, *rest]) for _ in range(3)])


NOTHING_LEFT = "Nothing is left of a row whose likeliest token has more than p: it is kept, too."
TIES = (
    "Of equally likely tokens more are kept than are needed: where the sum is p exactly, it has "
    "reached p; and a threshold keeps all of them or none."
)
ROUNDED = (
    "Unlikely tokens are lost to rounding: a sum reaches 1 before they come. With p = 1 there is "
    "nothing to drop."
)
ALMOST = "A sum that is a little below p hasn't reached it: the next token is kept as well."
ONE_ROW = "One row is a batch, too: what comes back has the shape (1, V)."
ALMOST_ONE = "Nothing is dropped, though p is below 1: only p = 1 keeps every token."


@sampling.case(
    "a sure row, equally likely tokens, and p = 1", points=2, adapter="nuclei_of", inputs=_edges
)
def edges_of_the_nucleus(given, got):
    sure, *equal, whole, below, nearly = zip(given["asked"], got["ys"], strict=True)
    one, y = sure
    lost = [Mistake(np.full(one["probs"].shape, v), NOTHING_LEFT) for v in (0.0, np.nan)]
    what = f"top_p(probs, {one['p']:g}), one token of each row likelier than that"
    expect_array(what, y, nucleus(**one), mistakes=lambda: lost)
    for one, y in equal:
        probs, what = one["probs"], f"top_p(probs, {one['p']:g}), {len(one['probs'][0])} equal ones"
        n = int(kept_of(**one)[0].sum())
        values = array(what, y, probs.shape)
        kept = (values > 0).sum(1)
        expect_that(
            (kept == n).all(),
            f"{what}: expected {n} tokens that are kept of each row, got {kept.tolist()}",
            TIES if (kept > n).any() else None,
        )
        expect(f"{what}, those kept", values[values > 0], np.full(n * len(values), 1 / n))
    one, y = whole
    expect_array("top_p(probs, 1.0)", y, one["probs"], tol=1e-9)
    expect_that((y > 0).all(), f"top_p(probs, 1.0): {int((y == 0).sum())} tokens got 0", ROUNDED)
    for (one, y), mistaken, hint in (
        (below, kept_of(below[0]["probs"], 0.8 - 1e-4), ALMOST),
        (nearly, np.ones(nearly[0]["probs"].shape, bool), ALMOST_ONE),
    ):
        want = nucleus(**one)
        known = [Mistake(shared_out(one["probs"] * mistaken), hint), Mistake(want[0], ONE_ROW)]
        expect_array(f"top_p(probs, {one['p']:g})", y, want, mistakes=lambda known=known: known)


def _expect_seen(what: str, given: dict, got: dict, want: list[list[int]]) -> None:
    """Wrong unless the model gets the texts so far, and of one that has ended nothing behind it."""
    wrong, behind, eos = [], set(), given["eos"]
    for asked, texts in enumerate(got["seen"]):
        for prompt, new, text in zip(given["prompts"], want, texts, strict=True):
            right = prompt + new[:asked]
            ended = len(new) < min(asked, given["n_tokens"])
            if text == right or (ended and text == [*right, eos]):
                continue
            wrong.append(f"call {asked + 1} of the model: expected the text {right}, got {text}")
            grown = ended and text[: len(right)] == right
            behind |= set(text[len(right) :]) if grown else {None}
    hint = None if None in behind else PADDED if behind == {eos} else GROWS
    expect_that(not wrong, f"{what}: {'; '.join(wrong[:1])}", hint)


GROWS = (
    "A text that has ended still grows, and what is too much is cut off at the end: it gets "
    "nothing more."
)
PADDED = "An `eos` goes behind an ended text in each round: after its own it gets nothing more."
CRASHES = {
    "draw is called": "Draw once in each round, from the probabilities of all rows, (B, V).",
}


def texts_that_end(given: dict, got: dict) -> None:
    want, calls = written(**given)
    what = f"generate(model, draw, prompts, {given['eos']}, {given['n_tokens']}, {given['p']})"
    B = len(given["prompts"])
    one_by_one = "Each round is one of all texts: the model gets the B of them at once, and not "
    one_by_one += "one after the other."
    rows = got["rows"]
    expect_that(
        all(n == B for n in rows),
        f"{what}: expected all {B} texts in each call of the model, got {rows}",
        "Texts that have ended stay in the batch, so that rows keep their places."
        if rows[:1] == [B]
        else one_by_one
        if set(rows) == {1}
        else None,
    )
    expect_slowly(what, got["texts"], want, partial(wrong_texts, given), tol=0)
    _expect_seen(what, given, got, want)
    expect_that(
        len(got["rows"]) <= calls,
        f"{what}: expected {calls} calls of the model, got {len(got['rows'])}",
        "The model is asked once more, after the last round: nothing is drawn from that."
        if len(got["rows"]) == given["n_tokens"] + 1
        else "The model is asked although all texts have ended."
        if len(got["rows"]) in (calls + 1, given["n_tokens"])
        else None,
    )
    _expect_nothing(f"generate(model, draw, prompts, {given['eos']}, 0, {given['p']})", got, B)


def _expect_nothing(what: str, got: dict, B: int) -> None:
    none, came = [[] for _ in range(B)], got["none"]
    if isinstance(came, list) and all(isinstance(new, list) for new in came) and came != none:
        hint = (
            "Not one token may be written: look at n_tokens before the first round, too."
            if any(came)
            else "Each text has a list of its own, an empty one where nothing is new."
        )
        raise Wrong(f"{what}: expected {none}, got {came!s:.100}", hint)
    expect(what, came, none)


for name, points, all_end in (
    ("texts with ends of their own", 3, False),
    ("all have ended before n_tokens", 2, True),
):
    sampling.case(
        name,
        points=points,
        adapter="written",
        inputs=lambda rng, all_end=all_end: to_write(rng, all_end),
        crashes=CRASHES,
    )(texts_that_end)
