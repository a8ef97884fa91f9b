"""11.4 · Top-p and an end: sampling from a nucleus, and texts that stop by themselves."""

from functools import partial

import numpy as np

from zerotohero.course.checks.gpt.shared import expect_slowly
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.checks.numpy_gpt.shared import expect_array
from zerotohero.course.exercise import Exercise, Mistake, array, expect, expect_that

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

A text ends when **it writes** the token `eos`, and gets nothing more; the others go on. Each text
gets at most n_tokens tokens. When all have ended, the model isn't asked again. A prompt may hold
`eos`, end with it or be `[eos]`, which is how GPT-2 writes from nothing: that ends no text.

Return the new tokens of each text, without its prompt and without the `eos` that it wrote.

```python
probs = np.array([[0.1, 0.5, 0.1, 0.3], [0.0, 0.96, 0.04, 0.0]])
top_p(probs, 0.7)   # [[0, 0.625, 0, 0.375], [0, 1, 0, 0]]
generate(model, draw, [[0], [7, 0]], 0, 20, 0.9)   # [[4, 4], []] if 4, 4, 0 and 0 are drawn
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


def _kept(probs: np.ndarray, p: float, shift: int = 0, rising: bool = False) -> np.ndarray:
    """Return which tokens are kept: `shift` more or fewer than right, or from the unlikely end."""
    order = np.argsort(probs if rising else -probs, 1, kind="stable")
    ranked = np.take_along_axis(probs, order, 1)
    count = (ranked.cumsum(1) - ranked < p).sum(1, keepdims=True) + shift
    keep = np.zeros(probs.shape, bool)
    np.put_along_axis(keep, order, np.arange(probs.shape[1]) < count, 1)
    return keep


def _shared_out(weights: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return weights / weights.sum(1, keepdims=True)


def _nucleus(probs: np.ndarray, p: float) -> np.ndarray:
    return probs if p >= 1 else _shared_out(probs * _kept(probs, p))


def _wrong_nuclei(probs: np.ndarray, p: float) -> list[Mistake]:
    keep = _kept(probs, p)
    right = _shared_out(probs * keep)
    order = np.argsort(-probs, 1, kind="stable")
    flat = probs.reshape(1, -1) / len(probs)
    found = [
        (
            _kept(probs, p, -1),
            "The token with which the sum reaches p is dropped: look at the sum of those before "
            "it, which is still below p.",
        ),
        (_kept(probs, p, 1), "One token too many: once the sum has reached p, it is enough."),
        (
            _kept(probs, p, 0, rising=True),
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
            _kept(flat, p).reshape(probs.shape),
            "One nucleus of the whole batch: each row is a distribution of its own.",
        ),
    ]
    mistakes = []
    for kept, hint in found:
        values = _shared_out(probs * kept)
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
        sums, sizes = np.sort(probs)[:, ::-1].cumsum(1), _kept(probs, p).sum(1)
        if np.abs(sums - p).min() < 0.01 or sizes.min() < 2 or sizes.max() > V - 2:
            continue
        hints: dict[bytes, str] = {np.round(_nucleus(probs, p), 9).tobytes(): ""}
        mistakes = [(np.round(m.value, 9).tobytes(), m.hint) for m in _wrong_nuclei(probs, p)]
        if all(hints.setdefault(result, hint) == hint for result, hint in mistakes):
            return {"asked": [{"probs": probs, "p": p}]}


@sampling.case(
    "the nucleus of each row", points=2, adapter="nuclei_of", inputs=lambda rng: _telling_rows(rng)
)
def nucleus_of_each_row(given, got):
    ((one,), (y,)) = given["asked"], got["ys"]
    mistakes = partial(_wrong_nuclei, **one)
    expect_array(f"top_p(probs, {one['p']:g})", y, _nucleus(**one), mistakes=mistakes)


def _edges(rng) -> dict:
    V = int(rng.choice([8, 16]))
    sure = rng.uniform(0, 0.02, (3, V))
    sure[np.arange(3), rng.integers(0, V, 3)] += 1
    tail = rng.uniform(-42, -38, (2, 20))
    tail[:, rng.permutation(20)[:4]] = 0  # four times a quarter is 1 to the bit
    return {
        "asked": [
            {"probs": _shared_out(sure), "p": float(rng.uniform(0.3, 0.6))},
            {"probs": np.full((3, V), 1 / V), "p": 0.5},
            {"probs": np.full((2, V), 1 / V), "p": 0.75 + 0.5 / V},
            {"probs": softmax(tail), "p": 1.0},
        ]
    }


NOTHING_LEFT = "Nothing is left of a row whose likeliest token has more than p: it is kept, too."
TIES = (
    "Of equally likely tokens more are kept than are needed: where the sum is p exactly, it has "
    "reached p; and a threshold keeps all of them or none."
)
ROUNDED = (
    "Unlikely tokens are lost to rounding: a sum reaches 1 before they come. With p = 1 there is "
    "nothing to drop."
)


@sampling.case(
    "a sure row, equally likely tokens, and p = 1", points=2, adapter="nuclei_of", inputs=_edges
)
def edges_of_the_nucleus(given, got):
    sure, *equal, whole = zip(given["asked"], got["ys"], strict=True)
    one, y = sure
    lost = [Mistake(np.full(one["probs"].shape, v), NOTHING_LEFT) for v in (0.0, np.nan)]
    what = f"top_p(probs, {one['p']:g}), one token of each row likelier than that"
    expect_array(what, y, _nucleus(**one), mistakes=lambda: lost)
    for one, y in equal:
        probs, what = one["probs"], f"top_p(probs, {one['p']:g}), {len(one['probs'][0])} equal ones"
        n = int(_kept(**one)[0].sum())
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


def _drawn(weights: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return the token of each row at which the running sum passes u."""
    at = (weights.cumsum(1) <= u[:, None]).sum(1)
    return np.minimum(at, weights.shape[1] - 1)


def _written(
    table, u, prompts, eos, n_tokens, p, ends="own", seen="new", kept=False, more=0, of_all=False
) -> tuple[list[list[int]], int]:
    """Return the new tokens of each text and how often the model was asked.

    ends: "own" text, or "all" texts, when one writes eos, or "none". seen: where eos is looked
    for, in what is "new", in the "last" token of the text or in "any" of it. kept: eos stays.
    of_all: n_tokens counts the prompt's, too.
    """
    texts = [list(prompt) for prompt in prompts]
    start = [len(text) for text in texts]
    ended = [
        (seen == "last" and text[-1] == eos) or (seen == "any" and eos in text) for text in texts
    ]
    for asked in range(n_tokens + more):
        if (all(ended) and ends != "none") or (any(ended) and ends == "all"):
            break
        probs = np.array([table[len(text) % len(table), text[-1]] for text in texts])
        for i, token in enumerate(_drawn(_nucleus(probs, p), u[asked])):
            if (ended[i] and ends != "none") or (of_all and len(texts[i]) >= n_tokens):
                continue
            if token == eos:
                ended[i] = True
            texts[i].append(int(token))
    else:
        asked = n_tokens + more
    new = [text[n:] for text, n in zip(texts, start, strict=True)]
    if not kept:
        new = [row[:-1] if row and row[-1] == eos and ends != "none" else row for row in new]
    return new, asked


def _wrong_texts(asked: dict) -> list[Mistake]:
    right, _ = _written(**asked)
    in_front = [p + row for p, row in zip(asked["prompts"], right, strict=True)]

    def variant(**switches):
        return _written(**{**asked, **switches})[0]

    at_once = (
        "A text has ended at once, because its prompt holds `eos`: only what it writes counts."
    )
    both = "The `eos` that was written is left in what comes back."
    found = [
        (variant(ends="all"), "The first text that ended has ended all of them."),
        (variant(ends="all", kept=True), "The first text that ended has ended all of them."),
        (variant(kept=True), both),
        (variant(ends="none"), "A text goes on behind its own `eos`."),
        (variant(seen="last"), at_once),
        (variant(seen="any"), at_once),
        (in_front, "The prompts stand in front: return what is new."),
        (variant(p=1.0), "Drawn from all tokens: `top_p` of the probabilities isn't used."),
        (variant(more=1), "There is one token too many: n_tokens at most."),
        (variant(more=-1), "There is one token too few: n_tokens, where no `eos` comes."),
        (variant(of_all=True), "n_tokens counts what is new, without the prompt."),
    ]
    return [Mistake(value, hint) for value, hint in found]


def _to_write(rng, all_end: bool) -> dict:
    """Return what makes texts of which some end early, and of which all do or one doesn't."""
    V, eos, B = 9, int(rng.integers(0, 9)), 4
    while True:
        logits = 1.5 * rng.normal(size=(5, V, V))
        logits[:, :, eos] = rng.normal(0.5 if all_end else -0.5, 1, (5, V))
        prompts = [rng.integers(0, V, n).tolist() for n in rng.permutation([1, 2, 3, 5])]
        prompts[0] = [eos]
        prompts[1][-1] = eos
        prompts[2] = [int(rng.integers(0, V)), eos, (eos + 1) % V]
        asked = {
            "table": softmax(logits),
            "u": rng.random((30, B)),
            "prompts": prompts,
            "eos": eos,
            "n_tokens": 25 if all_end else int(rng.integers(8, 12)),
            "p": 0.8,
        }
        right, calls = _written(**asked)
        lengths = [len(row) for row in right]
        short = calls < asked["n_tokens"] - 1 if all_end else max(lengths) == asked["n_tokens"]
        if not short or len(set(lengths)) < B or min(lengths) > 2:
            continue
        if all_end:
            return asked
        hints = {repr(right): ""}
        if all(hints.setdefault(repr(m.value), m.hint) == m.hint for m in _wrong_texts(asked)):
            return asked


def texts_that_end(given: dict, got: dict) -> None:
    want, calls = _written(**given)
    what = f"generate(model, draw, prompts, {given['eos']}, {given['n_tokens']}, {given['p']})"
    B = len(given["prompts"])
    expect_that(
        all(n == B for n in got["rows"]),
        f"{what}: expected all {B} texts in each call of the model, got {got['rows']}",
        "Texts that have ended stay in the batch, so that rows keep their places.",
    )
    expect_slowly(what, got["texts"], want, partial(_wrong_texts, given), tol=0)
    expect_that(
        len(got["rows"]) <= calls,
        f"{what}: expected {calls} calls of the model, got {len(got['rows'])}",
        "The model is asked although all texts have ended."
        if len(got["rows"]) in (calls + 1, given["n_tokens"])
        else None,
    )


for name, points, all_end in (
    ("texts with ends of their own", 3, False),
    ("all have ended before n_tokens", 2, True),
):
    sampling.case(
        name,
        points=points,
        adapter="written",
        inputs=lambda rng, all_end=all_end: _to_write(rng, all_end),
    )(texts_that_end)
