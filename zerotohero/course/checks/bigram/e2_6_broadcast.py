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
    "`keepdim=True` keeps it with length 1.",
    r"range of \[-1, 0\]": "A single row has one dimension: count from the end, -1 is the last of "
    "however many.",
    "Dimension out of range": "This table has fewer dimensions: count from the end, -1 is the last "
    "of however many.",
}


def _normalise_case(name, tables, ks):
    @broadcast.case(
        name,
        adapter="normalised",
        inputs=lambda rng: {"tables": tables(rng), "ks": ks},
        crashes=ORDER | WHOLE | SIZES,
    )
    def rows_normalised(given, got):
        for counts, k, found in zip(given["tables"], given["ks"], got["found"], strict=True):
            _expect_normalised(counts, k, found["P"], found["N_after"])


@np.errstate(all="ignore")  # an empty row makes 0 / 0 in what comes of mistakes
def _expect_normalised(counts, k, P, after) -> None:
    N, shape = counts + k, counts.shape
    wrong = [
        Mistake(
            N / N.sum(0),
            "Each *column* sums to 1; the next character runs along the last dimension.",
        ),
        Mistake(N / N.sum(), "The whole table sums to 1; each row must."),
        Mistake(
            (counts + 1) / (counts + 1).sum(-1, keepdims=True),
            f"1 was added to every count; here k is {k}.",
        ),
        Mistake(
            N / np.maximum(N.sum(-1, keepdims=True), 1),
            "A row whose counts and k add up to less than 1 was divided by 1: divide each by its "
            "own sum.",
        ),
        Mistake(counts / counts.sum(-1, keepdims=True), "The k is not added."),
        Mistake(N / counts.sum(-1, keepdims=True), "The sums were taken before k was added."),
        Mistake(
            counts / counts.sum(-1, keepdims=True) + k,
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
        second = "That is the sum along dimension 1, the last one of two; of any number it is -1."
        wrong.append(Mistake(N / N.sum(1, keepdims=True), second))
        matrix = "Each matrix sums to 1; each row along the last dimension must."
        wrong.append(Mistake(N / N.sum((1, 2), keepdims=True), matrix))
    if len(set(shape)) == 1 < N.ndim:
        row_j = "Entry (i, j) was divided by the sum of row j: without `keepdim=True` the sums "
        row_j += "are laid down as a row."
        wrong += [Mistake(N / N.sum(-1), row_j), Mistake(N / N.sum(1), row_j)]
    expect(
        f"normalise_rows, shape {shape}", P, N / N.sum(-1, keepdims=True), tol=1e-5, mistakes=wrong
    )
    in_place = "The caller's counts have changed: `+=` and `/=` work in place, `N + k` doesn't."
    if counts.dtype.kind == "f":
        in_place += " Of a table of floats, `N.float()` is N itself."
    expect("N after the call", after, counts, tol=0, hint=in_place)


def _with_an_empty_row(rng) -> list[np.ndarray]:
    """Return two tables, one of floats, in which a row holds nothing but zeros."""
    tables = [rng.integers(0, 9, (5, 5, 5)), rng.integers(0, 9, (2, 3, 4, 5)).astype(np.float32)]
    for table in tables:
        table.reshape(-1, 5)[rng.integers(len(table))] = 0
    return tables


_normalise_case("a table of 27 × 27", lambda rng: [rng.integers(0, 9, (27, 27))], [2.0])
_normalise_case(
    "a table of 4 × 6, with k = 0, and a single row",
    lambda rng: [rng.integers(1, 9, (4, 6)), rng.integers(0, 9, 6)],
    [0.0, 0.25],
)
_normalise_case("tables with three and four dimensions", _with_an_empty_row, [3.0, 0.01])


COLUMNS = (
    "The test looks at columns, which is what the bug leaves in order: sum along the last "
    "dimension."
)
ROUNDING = (
    "A probability may be 0, and sums may be off by a rounding error, 0.00001 as the card says."
)
EXACTLY = "That is more than a rounding error: allow 0.00001 as the card says."
TWICE = EXACTLY + " (`torch.allclose` and `isclose` allow `rtol` and `atol` together.)"


def _tables(rng):
    right = rng.random((6, 6)) + 0.1
    right[rng.permutation(6), range(6)] = 0  # a probability may be 0, but need not be
    right /= right.sum(1, keepdims=True)
    overall = np.full((4, 4), 0.25)
    overall[0] += 0.1
    overall[1] -= 0.1

    def off(by):
        table = np.full((4, 4), 0.25)
        table[2, 3] += by
        return table

    tables = {
        "right": right,
        "cube": np.stack([right, right, right]),
        "one row": right[2],
        "a little above": off(8e-6),
        "a little below": off(-8e-6),
        "all a little": np.full((3, 2), 0.500004),
        # Columns and the whole are as they should be, rows along the last dimension are not.
        "columns": right.T.copy(),
        "overall": overall,
        "above": off(1.6e-5),
        "below": off(-1.6e-5),
        "all above": np.full((3, 2), 0.500008),
        "far above": off(0.001),
        "negative": np.array([[0.75, 0.5, -0.25], [0.5, 0.25, 0.25]]),
        "hardly negative": np.array([[0.5, 0.5], [1.0, -1e-7]]),
        "unseen": np.array([[0.5, 0.5], [np.nan, np.nan]]),
        "beside": np.array([[0.5, 0.5], [1.0, np.nan]]),
        "last matrix": np.stack([right, right, right.T]),
        "zeros": np.array([[0.5, 0.5], [0.0, 0.0]]),
        "above one": np.array([[0.5, 0.5], [1.000008, 0.0]]),
    }
    names = rng.permutation([*tables]).tolist()
    return {"tables": [tables[name].astype(np.float32) for name in names], "_names": names}


# What each table is, whether it is a distribution, and what is wrong where the answer differs.
SAID = {
    "right": ("a table whose rows sum to 1", True, ROUNDING),
    "cube": (
        "a table (3, 6, 6) whose rows sum to 1",
        True,
        "With three dimensions, the rows run along the last: `P.sum(-1)`.",
    ),
    "one row": ("a single row (6,) that sums to 1", True, None),
    "a little above": ("a table with a row that sums to 1.000008", True, ROUNDING),
    "a little below": ("a table with a row that sums to 0.999992", True, ROUNDING),
    "all a little": (
        "a table whose three rows each sum to 1.000008",
        True,
        "Each row may be off by 0.00001: what they are off by is not added up.",
    ),
    "columns": ("a table whose columns sum to 1, and whose rows don't", False, None),
    "overall": (
        "a table that sums to V, but not row by row",
        False,
        "The whole table may have the right sum; every single row must: `.all()`.",
    ),
    "far above": ("a table with a row that sums to 1.001", False, EXACTLY),
    "above": ("a table with a row that sums to 1.000016", False, TWICE),
    "below": ("a table with a row that sums to 0.999984", False, TWICE),
    "all above": ("a table whose three rows each sum to 1.000016", False, TWICE),
    "negative": (
        "a table with an entry below 0",
        False,
        "The sums are 1, but a probability can't be negative: look at the entries too.",
    ),
    "hardly negative": (
        "a table with an entry of -0.0000001",
        False,
        "The sums may be off by a rounding error; an entry below 0 is none, however near.",
    ),
    "unseen": (
        "a table with NaN",
        False,
        "A NaN passes any test that asks whether something is *wrong*, since every comparison "
        "with it is false: ask whether all is right.",
    ),
    "beside": (
        "a table with a NaN beside a 1",
        False,
        "The NaN was left out of the sum: a row with one in it is no distribution, whatever the "
        "rest adds up to.",
    ),
    "last matrix": (
        "a table (3, 6, 6) whose first two matrices are right, and not the last",
        False,
        "Every matrix counts, the last as well as the first.",
    ),
    "zeros": (
        "a table with a row of zeros",
        False,
        "A row of zeros sums to 0: no distribution.",
    ),
    "above one": (
        "a table with an entry of 1.000008 and a 0 beside it",
        True,
        "An entry may be as much above 1 as the sum of its row, 0.00001: the card forbids those "
        "below 0.",
    ),
}


@broadcast.case(
    f"{len(SAID)} tables for your test",
    adapter="judged",
    points=3,
    inputs=_tables,
    crashes=ORDER
    | {
        "size of tensor|not broadcast": "The sums of a table with three dimensions have two: "
        "compare them with the number 1, which fits any shape.",
        "AssertionError": "Return False for a table that is none, instead of raising an error: "
        "whoever calls it writes `assert is_distribution(P)`.",
        "Dimension out of range.*got -2": COLUMNS,
        "Dimension out of range": "Rows run along the last dimension, however many there are: -1.",
        "ambiguous": "There is an answer for each row or entry; `.all()` makes one of them.",
    },
)
def tables_told_apart(given, got):
    answers = got["answers"]
    expect_that(
        isinstance(answers, list) and len(answers) == len(SAID), "is_distribution: no answers"
    )
    answers = dict(zip(given["_names"], answers, strict=True))
    yes = {
        name: bool(a)
        for name, a in answers.items()
        if isinstance(a, bool | int | np.ndarray) and np.size(a) == 1
    }
    hint_for_all, first = None, []  # first: the tables that show it
    if len(yes) < len(SAID):
        hint_for_all = (
            NOTHING
            if all(a is None for a in answers.values())
            else "One answer for the whole table, True or False: `.all()` makes one of many, and "
            "`bool(…)` a plain one."
        )
    elif all(yes[name] != want for name, (_, want, _) in SAID.items()):
        hint_for_all = "Your test says the opposite: True is for a table that is a distribution."
    elif not any(yes.values()):
        hint_for_all = (
            "Your test says False of every table. Are sums compared with `==`? A sum of floats is "
            "seldom exactly 1. And a probability may be 0."
        )
    elif all(yes.values()):
        hint_for_all = "Your test says True of every table."
    elif yes["columns"] and not yes["right"]:
        hint_for_all = COLUMNS
    elif yes["zeros"] and yes["far above"] and not yes["columns"]:
        hint_for_all, first = "Not every row is looked at: each must sum to 1.", ["zeros"]
    elif yes["above"] != yes["below"]:
        hint_for_all = (
            "On one side of 1 any sum passes: ask how far from it, `(P.sum(-1) - 1).abs()`."
        )
        first = ["above", "below"]
    elif yes["overall"] and yes["right"] and not yes["far above"] and not yes["zeros"]:
        first = ["overall"]
        if yes["cube"]:  # whose sum isn't its length
            hint_for_all = (
                "The rows are right on average only; every single one must sum to 1: `.all()`."
            )
    elif yes["above"] and yes["right"] and not yes["all above"]:
        hint_for_all = (
            "What the rows are off by is averaged; every single one must sum to 1, within 0.00001."
        )
        first = ["above"]
    for name in [*first, *SAID]:
        what, want, hint = SAID[name]
        expect(
            f"is_distribution of {what}",
            as_number(answers[name]),
            want,
            tol=0,
            hint=hint_for_all or hint,
        )
