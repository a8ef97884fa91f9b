"""11.8 · A transformer block on Value: scalars alone, the same numbers, the same gradients."""

import math
from functools import partial

import numpy as np

from zerotohero.course.checks.numpy_gpt._e11_8_numpy import (
    SHAPES,
    C,
    attention,
    gelu,
    gradients,
    mlp,
    norm,
    weights_of,
    whole,
)
from zerotohero.course.exercise import Exercise, Mistake, Wrong, expect, expect_that

block = Exercise(
    number="11.8",
    title="A transformer block on Value",
    difficulty=4,
    minutes=60,
    practises="a whole layer from single numbers, with gradients that come by themselves",
    answers=("block",),
    uses=("micrograd",),
    summary=(
        "Write a block of GPT-2 on lecture 01's Value, with lists in place of arrays. Its numbers "
        "and its gradients are those of the block in NumPy."
    ),
    statement="""
`block(x: list[list[Value]], params: dict, n_head: int) -> list[list[Value]]`

x holds T positions of C Values each, and so does what comes back. `params` are those of a block in
11.3, where a vector is a list of Values and a matrix (in, out) a list of `in` rows with `out`
Values each:

```python
{"ln_1": {"g": [...], "b": [...]}, "ln_2": {"g": [...], "b": [...]},
 "attn": {"c_attn": {"w": [[...], ...], "b": [...]}, "c_proj": {"w": [[...], ...], "b": [...]}},
 "mlp": {"c_fc": {"w": [[...], ...], "b": [...]}, "c_proj": {"w": [[...], ...], "b": [...]}}}
```

1. `a = x + attention(layer_norm(x, ln_1))`, then `a + mlp(layer_norm(a, ln_2))`.
2. The layer norm takes each position for itself: less its mean, divided by the root of its variance
   (the mean of the squares, by C) plus 0.00001, times g, plus b.
3. Attention: c_attn takes C channels to 3C, first the queries of all heads, then the keys, then the
   values; head h has the channels hS to (h + 1)S − 1 of each, S = C / n_head. Position t looks at
   0 to t: dot products divided by √S, softmax, the sum of the values with these weights. The
   heads side by side go through c_proj.
4. The MLP: c_fc takes C to 4C, then GELU, $x / 2 \\cdot (1 + \\tanh(\\sqrt{2/\\pi}\\,(x +
   0.044715\\, x^3)))$, then c_proj takes 4C to C.

After `backward()` of what was made of the result, the gradients are in all of x and of `params`.
The dot products may be in the thousands, and differ by thousands. x and `params` keep their
numbers, and the gradients that they have.

```python
out = block(x, params, 2)
sum(v for row in out for v in row).backward()
params["mlp"]["c_fc"]["w"][0][0].grad
```
""",
    hints=(
        "Begin with three small functions: one position through a linear layer, one position "
        "through a layer norm, a list of Values through softmax. Test each against NumPy.",
        "`Value.dot(row, x, bias)` is a whole dot product in one node, and `zip(*w)` gives the "
        "columns of a matrix. Take the largest score's `.data` away before `exp`: that is a "
        "constant, and softmax doesn't change.",
        "`def linear(x, w, b): return [Value.dot(column, x, bias) for column, bias in zip(zip(*w), "
        "b)]`. For each t and head: `scores = [Value.dot(q[t][s], k[i][s]) * S**-0.5 for i in "
        "range(t + 1)]` with the slice s of the head, and `Value.dot(weights, [v[i][c] for i in "
        "range(t + 1)])` for each channel c of it.",
    ),
)


def _wrong_numbers(T: int) -> list[tuple[dict, str]]:
    def attending(**how):
        return {"attend": partial(attention, **how)}

    def weighing(**how):
        return attending(weigh=partial(weights_of, **how))

    def rectified(x):
        return np.where(x.real > 0, x, 0)

    return [
        (
            weighing(seen=True),
            "Every position looks at the later ones, too: position t looks at 0 to t.",
        ),
        (weighing(hidden=0.0), "Hidden scores are 0, and softmax gives them exp(0)."),
        (
            attending(scale=lambda S: math.sqrt(C)),
            "Divided by √C: the dot products are of S numbers.",
        ),
        (attending(scale=lambda S: 1.0), "The dot products aren't divided by √S."),
        (attending(scale=float), "Divided by S: its root is asked for."),
        (
            attending(scale=lambda S: 1 / math.sqrt(S)),
            "Times √S: the dot products are divided by it.",
        ),
        (
            attending(scale=lambda S: math.sqrt(T)),
            "Divided by √T: what is added up in a dot product are S numbers.",
        ),
        (attending(n_head=1), "All channels are one head: n_head isn't used."),
        (attending(n_head=2), "There are always two heads: n_head says how many."),
        (attending(order=(1, 0, 2)), "Queries and keys have changed places."),
        (attending(order=(0, 2, 1)), "Keys and values have changed places."),
        (attending(bare=True), "c_proj of attention is missing."),
        ({"norm": partial(norm, uses="b")}, "g of the layer norms isn't used."),
        ({"norm": partial(norm, uses="g")}, "b of the layer norms isn't used."),
        (
            attending(turned=True),
            "c_proj of attention is read the wrong way round, which nobody "
            "notices, because it is square: w[i][j] leads from channel i to channel j.",
        ),
        (
            {"norm": partial(norm, n=C - 1)},
            "The variance is divided by C − 1: it is the mean, by C.",
        ),
        ({"norm": partial(norm, eps=0.0)}, "The 0.00001 under the root is missing."),
        ({"mlp": partial(mlp, act=rectified)}, "ReLU stands where the GELU belongs."),
        ({"mlp": partial(mlp, act=lambda x: x)}, "The GELU is missing."),
        ({"parts": "no first sum"}, "x isn't added to what attention gives."),
        ({"parts": "no second sum"}, "Nothing is added to what the MLP gives."),
        (
            {"parts": "sum of x"},
            "The MLP's result is added to x, and not to what came of attention.",
        ),
        (
            {"parts": "behind"},
            "The norms come behind the sums: here they stand in front of the parts.",
        ),
        ({"parts": "bare"}, "Attention gets x itself: ln_1 comes before it."),
        ({"parts": "beside"}, "The MLP gets the norm of x: it comes behind attention, and gets a."),
        ({"parts": "one norm"}, "ln_1 is used twice: the second norm has its own g and b."),
    ]


def _cut() -> list[tuple[dict, str]]:
    def weighing(**how):
        return {"attend": partial(attention, weigh=partial(weights_of, **how))}

    return [
        (
            weighing(cut_sum=True),
            "The sum below softmax's fraction is made of `.data`: gradients go through it, too.",
        ),
        (
            weighing(cut=True),
            "The weights of attention are plain numbers: no gradient reaches queries and keys.",
        ),
        ({"norm": partial(norm, cut_mean=True)}, "The mean in the layer norm is made of `.data`."),
        (
            {"norm": partial(norm, cut_root=True)},
            "The variance in the layer norm is made of `.data`.",
        ),
        (
            {"norm": partial(norm, cut_root=True, cut_mean=True)},
            "Mean and variance in the layer norm are made of `.data`: both depend on x.",
        ),
        (
            {"mlp": partial(mlp, act=partial(gelu, cut=True))},
            "The tanh in the GELU is made of `.data`.",
        ),
        (
            {"parts": "cut sum"},
            "In the first sum, x is there as a number: its gradient goes there, too.",
        ),
    ]


# --- cases --------------------------------------------------------------------------------------


def _drawn(rng, n: int = 5, n_head: int = 3, large: float = 1.0) -> dict:
    params = {}
    for name, shape in SHAPES.items():
        values = rng.normal(size=shape)
        params[name] = values / math.sqrt(shape[0]) if len(shape) == 2 else 0.5 * values
        if name.endswith(".g"):
            params[name] = 1 + 0.3 * values
    params["attn.c_attn.w"] *= large
    return {
        "x": 0.1 * rng.normal(size=(n, C)),  # small, so that 0.00001 makes a difference
        "params": params,
        "n_head": n_head,
        "weights": rng.uniform(1, 2, (n, C)),
    }


def _far_apart(rng) -> dict:
    """Return a block of one head in which the largest score of a row is far above its others.

    Its first, its last and its mean are each more than 710 below, and exp of that is no float.
    """
    seen = []

    def noting(scores):
        seen[:] = [row[: t + 1] for t, row in enumerate(scores[0])]
        return weights_of(scores)

    while True:
        given = _drawn(rng, 4, 1, 60.0)
        w = {"x": given["x"], "n_head": 1, **given["params"]}
        whole(w, attend=partial(attention, weigh=noting))
        if any(row.max() - max(row[0], row[-1], row.mean()) > 750 for row in seen):
            return given


CRASHES = {
    "OverflowError|ZeroDivisionError": "exp of a large score is too large for a float, and of a "
    "low one 0: for each position, take its largest score's `.data` away.",
    "'float' object has no attribute|a (float|int), where a Value": "You return plain numbers: "
    "calculate with the Values themselves, and not with their `.data`.",
    "returned None": "Nothing came back: end the function with `return …`.",
    "math domain|must be real number, not Value": "math's functions take floats: a Value has "
    "`exp()`, `tanh()` and `** 0.5`.",
    "positions? of": "What comes back has the shape of x: a list of T lists of C Values.",
}


def _expect_numbers(given: dict, got: dict) -> None:
    w = {"x": given["x"], "n_head": given["n_head"], **given["params"]}
    what = f"block(x, params, {given['n_head']})"
    want, out = whole(w), np.array(got["out"])
    expect_that(got["kept"], "the numbers of x and params: they have changed", KEEP)
    expect_that(
        got["grads_kept"],
        "the gradients that x and params had before: block has changed them",
        "Gradients are `backward`'s, which is called later: write to no `.grad`.",
    )
    try:
        expect(what, out, want, tol=1e-9)
    except Wrong:
        with np.errstate(all="ignore"):
            mistakes = [Mistake(whole(w, **how), hint) for how, hint in _wrong_numbers(len(out))]
        expect(what, out, want, tol=1e-9, mistakes=mistakes)


KEEP = "x and params are the caller's: make new Values, and assign to no `.data`."


@block.case("the numbers", points=4, adapter="block_of_values", inputs=_drawn, crashes=CRASHES)
def numbers_of_the_block(given, got):
    _expect_numbers(given, got)


@block.case(
    "dot products in the thousands",
    adapter="block_of_values",
    inputs=lambda rng: _far_apart(rng),
    crashes=CRASHES,
)
def large_scores(given, got):
    _expect_numbers(given, got)


@block.case(
    "the gradients",
    points=4,
    adapter="block_of_values",
    inputs=lambda rng: _drawn(rng, n_head=2),
    crashes=CRASHES,
)
def gradients_of_the_block(given, got):
    _expect_numbers(given, got)
    want, mine = gradients(given), np.array(got["grads"])
    if np.allclose(mine, want, rtol=1e-8, atol=1e-8):
        return
    hint = None
    if not mine.any():
        hint = "No gradient reaches anything: the result is made of new Values, `Value(….data)`, "
        hint += "and these know nothing of x."
    for how, text in _cut():
        if hint is None and np.allclose(mine, gradients(given, **how), rtol=1e-8, atol=1e-8):
            hint = text
    start = 0
    for name, value in {"x": given["x"], **given["params"]}.items():
        stop = start + value.size
        right = want[start:stop].reshape(value.shape)
        part = mine[start:stop].reshape(value.shape)
        expect(f"the gradient of {name}", part, right, tol=1e-8, hint=hint)
        start = stop


@block.case(
    "one position alone",
    adapter="block_of_values",
    inputs=lambda rng: _drawn(rng, 1),
    crashes=CRASHES,
)
def one_position(given, got):
    _expect_numbers(given, got)
