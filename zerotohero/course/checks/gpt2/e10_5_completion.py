"""10.5 · Score completions: a text cut at its seam, and how likely the part behind it is."""

import numpy as np

from zerotohero.course.checks.gpt.shared import expect_slowly
from zerotohero.course.checks.gpt2._e10_5_cuts import cut, explained, texts
from zerotohero.course.checks.gpt2._e10_5_wrong import (
    rows_of,
    some_scores,
    sums_of,
    wrong_means,
    wrong_sums,
)
from zerotohero.course.exercise import Exercise, Mistake, expect, expect_that

completion = Exercise(
    number="10.5",
    title="Score completions",
    difficulty=3,
    minutes=40,
    practises="positions and their targets, in rows of different lengths",
    answers=("cut_completion", "score_endings"),
    adapters="gpt2_runs",
    summary=(
        "HellaSwag asks which of four endings a model finds likeliest. Cut each text where its "
        "ending begins, and score all endings in one batch, their own tokens alone."
    ),
    statement="""
`cut_completion(encode: Callable, context: str, ending: str) -> tuple[list[int], list[int]]`

`encode(text)` returns the tokens of a text as a list. Models are trained on whole texts, so encode
the context, one blank and the ending **as a whole**, and encode the context alone. The first list
that you return holds the tokens with which both begin, up to the first that differs; the second
holds all other tokens of the whole, which will be scored. A token that reaches from the context
into the ending thus belongs to the second list. Neither text is empty or has a blank at either end,
and the two begin with the same token.

`score_endings(model: Callable, pairs: list) -> tuple[list[float], list[float]]`

Each of the n pairs is a tuple of two lists of tokens, `before` and `after`, neither of them empty.
`model(idx)` takes a tensor of tokens, (B, T), of int64, to logits, (B, T, V): those at position t
say what comes **behind** token t, and depend on tokens 0 to t of their row alone. Ask the model
**once**, with all n rows. Each row is `before` and `after` joined, and filled up **on the right**
with any token that the model knows; its first token stands at position 0.

Return two lists of n numbers, in the order of the pairs. The first holds the **sum**, over the
tokens of `after` alone, of the natural logarithm of each one's probability given all tokens in
front of it. The second holds the **mean** over these tokens. Logits may lie in the hundreds; what
comes back is finite, and right to 1 in 10,000.

```python
cut_completion(encode, "she goes", "home")     # whole: [she, " go", "es", " home"]
                                               # alone: [she, " go", "es"]
score_endings(model, [([5, 3], [2]), ([5], [4, 4, 1])])
# of 2, behind 5 3; of 4, 4 and 1, behind 5, behind 5 4 and behind 5 4 4
```
""",
    hints=(
        "The logits at which position judge the first token of `after`? And which of a row's "
        "positions say nothing about `after`, at its start and at its end?",
        "`log_softmax` along the last axis makes logarithms of probabilities, and `gather` takes "
        "those of the tokens that came: the logits of positions 0 to T − 2 against the tokens 1 to "
        "T − 1.",
        "`logp = F.log_softmax(model(idx), -1)[:, :-1].gather(2, idx[:, 1:, None])[..., 0]`; of "
        "row i those of `after` are `logp[i, len(before) - 1 : len(before) + len(after) - 1]`. For "
        "the cut: `while n < min(len(whole), len(alone)) and whole[n] == alone[n]: n += 1`.",
    ),
)


def texts_cut_at_the_seam(given, got):
    pieces, texts = given["pieces"], given["texts"]
    hint = explained(pieces, texts, got["cuts"])
    for text, came in zip(texts, got["cuts"], strict=True):
        what = "cut_completion(encode, {!r}, {!r})".format(*text)
        expect(what, came, cut(pieces, *text), tol=0, hint=hint)


TWO = {
    "two lists are needed": "Both functions return two lists: `return first, second`.",
}

for name, joined in (("texts cut at the seam", False), ("tokens that reach over the seam", True)):
    completion.case(
        name,
        points=2,
        adapter="cuts",
        inputs=lambda rng, joined=joined: texts(rng, joined),
        crashes={
            **TWO,
            "IndexError": "One of the two may end before they differ: compare while both last.",
        },
    )(texts_cut_at_the_seam)


LEFT = (
    "Rows are filled up on the left, so that their tokens stand at other positions than in "
    "training: fill up on the right, where nothing sees it."
)
IN_FRONT = (
    "Something stands in front of the rows, so that all positions are shifted: the first token of "
    "`before` stands at position 0."
)
UNDERFLOW = "Some probability has become 0: `log_softmax` never leaves the logarithms."


def _fed_wrongly(given: dict, seen: list) -> str | None:
    """Return the hint for rows that were filled up on the left, or begin with something else."""
    if len(seen) != 1:
        return None
    joined = [before + after for before, after in given["pairs"]]
    longest = max(map(len, joined))
    behind = [
        len(own)
        for own in joined
        if any(len(row) > len(own) and row[-len(own) :] == own for row in seen[0])
    ]
    if not behind:
        return None
    return IN_FRONT if max(behind) == longest else LEFT


def endings_scored(given, got):
    seen, n = got["seen"], len(given["pairs"])
    idx = rows_of(given, seen)
    sums, counts = sums_of(given, idx)
    expect_that(
        len(seen) == 1,
        f"score_endings with {n} pairs: expected one call of the model, got {len(seen)}",
        "One call for each pair: put all rows into one tensor, (n, T), and ask once."
        if len(seen) == n > 1 and all(len(rows) == 1 for rows in seen)
        else "",
    )
    came = got["sums"]
    low = np.asarray(came, dtype=float) if isinstance(came, list) and len(came) == n else sums
    right = np.isclose(low, sums, rtol=1e-4, atol=1e-4)
    hint = _fed_wrongly(given, seen)
    if not right.all() and not hint:
        if np.isneginf(low[~right]).all():
            hint = UNDERFLOW
        elif n > 1 and np.allclose(np.sort(low), np.sort(sums), rtol=1e-4, atol=1e-4):
            hint = "These are the right sums in another order: that of the pairs is asked for."
    means = Mistake(sums / counts, "The means stand where the sums are asked for.")
    expect_slowly(
        "the sums",
        came,
        sums,
        lambda: [means, *wrong_sums(given, idx, not low.any())],
        tol=1e-4,
        hint=hint,
    )
    expect("the means", got["means"], sums / counts, tol=1e-4, mistakes=wrong_means(given, idx))


SCORED = {
    **TWO,
    "tokens of int64 are needed": "`torch.tensor` of lists of whole numbers has int64; what begins "
    "as zeros needs `dtype=torch.int64`.",
    "(Index|Runtime)Error: index (out of range|.* is out of bounds)": "A token that the model "
    "doesn't know, such as −1 or −100, was fed: fill up with one that it knows, such as 0.",
    "expected sequence of length|same length|equal size": "Rows of different length are no tensor: "
    "fill up the shorter ones on the right.",
    "the model takes a tensor": "`torch.tensor([row, …])` makes a (B, T) tensor of rows; one row "
    "alone is one of shape (1, T).",
}

for name, points, lengths, sure in (
    ("one ending", 2, ((5, 3),), 1.0),
    ("endings of different lengths in one batch", 4, ((4, 3), (4, 6), (1, 2), (6, 1)), 1.0),
    ("a model that is very sure", 2, ((4, 2), (2, 5)), 60.0),
):
    completion.case(
        name,
        points=points,
        adapter="scores",
        inputs=lambda rng, lengths=lengths, sure=sure: some_scores(rng, lengths, sure),
        crashes=SCORED,
    )(endings_scored)
