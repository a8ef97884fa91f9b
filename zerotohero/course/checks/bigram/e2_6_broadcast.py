"""2.6 · Repair the broadcasting bug: reading shapes, and writing the assertion that would
have found it.
"""

import numpy as np

from zerotohero.course.checks.bigram.shared import ORDER, WHOLE, as_number
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import (
    NOTHING,
    Exercise,
    Mistake,
    expect,
    expect_that,
)

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
    def rows_normalised(given, got):
        N = given["N"] + given["k"]
        wrong = [
            Mistake(
                N / N.sum(0),
                "Each *column* sums to 1; the next character runs along the last dimension.",
            ),
            Mistake(N / N.sum(), "The whole table sums to 1; each row must."),
            Mistake(given["N"] / given["N"].sum(-1, keepdims=True), "The k is not added."),
            Mistake(
                N / given["N"].sum(-1, keepdims=True), "The sums were taken before k was added."
            ),
            Mistake(
                given["N"] / given["N"].sum(-1, keepdims=True) + given["k"],
                "The k belongs to the counts: add it before dividing.",
            ),
            Mistake(
                softmax(N),
                "Softmax expects logits, which are *logarithms* of counts; these are the counts "
                "themselves, so dividing is enough.",
            ),
            Mistake(
                N // N.sum(-1, keepdims=True), "`//` rounds down to whole numbers; divide with `/`."
            ),
        ]
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
def tables_told_apart(given, got):
    columns = (
        "The test looks at columns, which is what the bug leaves in order: sum along the last "
        "dimension."
    )
    said = [
        (
            "a table whose rows sum to 1",
            True,
            "A probability may be 0, and sums may be off by a rounding error.",
        ),
        (
            "a table (3, 6, 6) whose rows sum to 1",
            True,
            "With three dimensions, the rows run along the last: `P.sum(-1)`.",
        ),
        ("a table whose columns sum to 1, and whose rows don't", False, columns),
        (
            "a table that sums to V, but not row by row",
            False,
            "The whole table may have the right sum; every single row must: `.all()`.",
        ),
        (
            "a table with a row that sums to 1.001",
            False,
            "That is more than a rounding error: allow 0.00001 as the card says.",
        ),
        (
            "a table with an entry below 0",
            False,
            "The sums are 1, but a probability can't be negative: look at the entries too.",
        ),
        (
            "a table with NaN",
            False,
            "A NaN passes any test that asks whether something is *wrong*, since every comparison "
            "with it is false: ask whether all is right.",
        ),
        ("a table with a row of zeros", False, "A row of zeros sums to 0: no distribution."),
    ]
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
        expect(
            f"is_distribution of {what}", as_number(answer), want, tol=0, hint=hint_for_all or hint
        )
