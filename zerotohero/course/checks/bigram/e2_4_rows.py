"""2.4 · Rows instead of one-hot: indexing with a tensor, which every embedding in this
course is.
"""

import numpy as np

from zerotohero.course.checks.bigram.shared import NO_NUMPY
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import (
    NOTHING,
    Exercise,
    Mistake,
    Wrong,
    expect,
    expect_that,
)
from zerotohero.course.to_look_at import THREADS, TORCH

rows = Exercise(
    number="2.4",
    title="Rows instead of one-hot",
    difficulty=2,
    minutes=15,
    practises="indexing with a tensor, which every embedding in this course is",
    answers=("row_logits",),
    without=(
        "threads",
        "jit",
    ),
    look_for=("one_hot", "matmul", "mm", "bmm", "einsum", "numpy", *THREADS, *TORCH),
    summary=(
        "Replace the product of one-hot rows and W by indexing. The logits must be equal to the "
        "bit and the gradient must still reach W."
    ),
    statement="""
`row_logits(W: Tensor, xs: Tensor) -> Tensor` returns what `F.one_hot(xs, V).float() @ W` returns,
for W of shape `(V, C)` and whole numbers `xs` of **any** shape: `(N,)` gives `(N, C)`, also where N
is 0, and `(B, T)` gives `(B, T, C)`. Without a one-hot vector, a product or a loop.

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
PRODUCTS |= {"addmm", "_sparse_mm"}
ONE_HOT = {"one_hot", "eye"}


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
def rows_looked_up(given, got):
    W, xs = given["W"], given["xs"]
    wrong = [
        Mistake(
            W[:, xs],
            "These are columns of W; a one-hot row times W is a row: index the first dimension.",
        ),
        Mistake(W.T[xs], "These are columns of W, one a row; index W and not its transpose."),
        Mistake(W[xs].T, "The rows are right but stand upright: the result has shape (N, C)."),
        Mistake(W[xs - 1], "Each row is the one before: both numbers begin at 0."),
        Mistake(
            W[xs, xs], "`W[xs, xs]` takes single entries, row and column; leave the column out."
        ),
    ]
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
    expect_that(
        not ONE_HOT & set(got["called"]),
        "row_logits: it makes one-hot vectors",
        "No one-hot vector is needed: xs itself can stand in the square brackets.",
    )


SHAPES = ((4, 3), (2, 3, 4), (5, 1), (1, 6), (1,), (), (0,))


@rows.case(
    "xs of the shape (4, 3), as lecture 03 will have, and of six others",
    adapter="looked_up_at",
    inputs=lambda rng: {
        "W": rng.normal(size=(27, 10)).astype(np.float32),
        "places": [rng.integers(0, 27, shape) for shape in SHAPES],
    },
    crashes={
        "cannot reshape tensor of 0 elements": "Of an empty xs, −1 can't be told: write the number "
        "of columns instead, `W.shape[1]`.",
        "supposed to be a vector|too many indices|converted to": "Does a loop, a list or "
        "`index_select` expect `xs` to have one dimension? A tensor in square brackets may have "
        "any shape.",
    },
)
def rows_for_any_axes(given, got):
    for xs, logits in zip(given["places"], got["logits"], strict=True):
        want = given["W"][xs]
        flat = Mistake(want.reshape(-1, 10), "The shape of xs is lost: index with xs as it is.")
        thin = Mistake(np.squeeze(want), "`squeeze()` takes away every axis of length 1.")
        mistakes = [thin, flat]
        if len(np.shape(xs)) > 1 and len(xs) == 1:
            first = "A first axis of length 1 is an axis of xs, too: `squeeze(0)` takes it away."
            mistakes.insert(0, Mistake(want[0], first))
        what = f"row_logits, xs of shape {np.shape(xs)}"
        expect(what, logits, want, tol=0, mistakes=mistakes)


@rows.case(
    "a row that nobody asked for is infinite",
    adapter="looked_up",
    inputs=lambda rng: {
        "W": np.vstack([rng.normal(size=(4, 3)), [[-np.inf, np.inf, 1]]]).astype(np.float32),
        "xs": rng.integers(0, 4, 6),
    },
)
def infinite_row_left_alone(given, got):
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
        "`.detach()`, `.item()`, `.tolist()`, `torch.tensor(…)`, `torch.no_grad()` and "
        "`nn.Embedding.from_pretrained(…)` cut it.",
        "Can't call numpy|not numpy": NO_NUMPY,
        "not NoneType": NOTHING,
        "not list": "Return one tensor, not a list of them.",
        "mat1 and mat2": "`F.one_hot` without V makes no more columns than it has to. But no "
        "one-hot row is needed at all.",
    },
)
def gradient_reaches_the_table(given, got):
    W, xs, ys = (given[k] for k in ("W", "xs", "ys"))
    slope = softmax(W[xs].astype(np.float64))
    slope[np.arange(len(ys)), ys] -= 1
    want = np.zeros(W.shape)
    np.add.at(want, xs, slope / len(ys))
    if got["grad"] is None:
        raise Wrong(
            "the gradient of W: expected numbers, got None",
            "The logits have lost their connection to W: `requires_grad_()` and `nn.Parameter(…)` "
            "make a leaf of their own, and the gradient stays there.",
        )
    expect("the gradient of W", got["grad"], want, tol=1e-6)
