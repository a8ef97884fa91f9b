"""11.8 · A transformer block on Value: scalars alone, the same numbers, the same gradients."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

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
The dot products may be in the thousands. x and `params` keep their numbers.

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
T, C, N_HEAD = 4, 6, 2
S = C // N_HEAD
SHAPES = {
    "ln_1.g": (C,),
    "ln_1.b": (C,),
    "attn.c_attn.w": (C, 3 * C),
    "attn.c_attn.b": (3 * C,),
    "attn.c_proj.w": (C, C),
    "attn.c_proj.b": (C,),
    "ln_2.g": (C,),
    "ln_2.b": (C,),
    "mlp.c_fc.w": (C, 4 * C),
    "mlp.c_fc.b": (4 * C,),
    "mlp.c_proj.w": (4 * C, C),
    "mlp.c_proj.b": (C,),
}


# --- the same in NumPy --------------------------------------------------------------------------
# The gradient is taken by complex steps: f(x + ih) has f'(x)h as its imaginary part, to the last
# digit, and the real part of a number is that number without its gradient, as `.data` is.


def _norm(x, g, b, eps=1e-5, n=C, cut_mean=False, cut_root=False):
    mean = x.mean(-1, keepdims=True)
    d = x - (mean.real if cut_mean else mean)
    root = np.sqrt((d * d).sum(-1, keepdims=True) / n + eps)
    return d / (root.real if cut_root else root) * g[..., None, :] + b[..., None, :]


def _gelu(x, cut=False):
    t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + (t.real if cut else t))


def _weights(scores, seen=None, hidden=-np.inf, axis=-1, cut_sum=False, cut=False):
    seen = np.tri(scores.shape[-1], dtype=bool) if seen is None else seen
    shown = np.where(seen, scores, hidden)
    e = np.where(seen | (hidden == 0), np.exp(shown - shown.real.max(axis, keepdims=True)), 0)
    total = e.sum(axis, keepdims=True)
    weights = e / (total.real if cut_sum else total)
    return weights.real if cut else weights


def _attention(x, w, weigh=_weights, n_head=N_HEAD, scale=None, order=(0, 1, 2), turned=False):
    qkv = x @ w["attn.c_attn.w"] + w["attn.c_attn.b"][..., None, :]
    parts = [qkv[..., C * i : C * i + C] for i in order]
    q, k, v = (z.reshape(*z.shape[:-1], n_head, -1).swapaxes(-2, -3) for z in parts)
    scores = q @ k.swapaxes(-1, -2) / (scale or math.sqrt(q.shape[-1]))
    y = (weigh(scores) @ v).swapaxes(-2, -3).reshape(x.shape)
    proj = w["attn.c_proj.w"]
    return y @ (proj.swapaxes(-1, -2) if turned else proj) + w["attn.c_proj.b"][..., None, :]


def _mlp(x, w, act=_gelu):
    h = act(x @ w["mlp.c_fc.w"] + w["mlp.c_fc.b"][..., None, :])
    return h @ w["mlp.c_proj.w"] + w["mlp.c_proj.b"][..., None, :]


def _block(w: dict, norm: Callable = _norm, attend: Callable = _attention, mlp=_mlp, parts="right"):
    """The block; what can be passed is what learners get wrong."""
    x = w["x"]
    one, two = (w["ln_1.g"], w["ln_1.b"]), (w["ln_2.g"], w["ln_2.b"])
    if parts == "behind":
        a = norm(x + attend(x, w), *one)
        return norm(a + mlp(a, w), *two)
    y = attend(x if parts == "bare" else norm(x, *one), w)
    a = y if parts == "no first sum" else x.real + y if parts == "cut sum" else x + y
    if parts == "beside":
        return a + mlp(norm(x, *two), w)
    if parts == "one norm":
        two = one
    z = mlp(norm(a, *two), w)
    return z if parts == "no second sum" else x + z if parts == "sum of x" else a + z


def _wrong_numbers() -> list[tuple[dict, str]]:
    def attending(**how):
        return {"attend": partial(_attention, **how)}

    def weighing(**how):
        return attending(weigh=partial(_weights, **how))

    def rectified(x):
        return np.where(x.real > 0, x, 0)

    return [
        (
            weighing(seen=True),
            "Every position looks at the later ones, too: position t looks at 0 to t.",
        ),
        (weighing(hidden=0.0), "Hidden scores are 0, and softmax gives them exp(0)."),
        (attending(scale=math.sqrt(C)), "Divided by √C: the dot products are of S numbers."),
        (attending(scale=1.0), "The dot products aren't divided by √S."),
        (attending(scale=float(S)), "Divided by S: its root is asked for."),
        (attending(n_head=1), "All channels are one head: n_head isn't used."),
        (attending(order=(1, 0, 2)), "Queries and keys have changed places."),
        (
            attending(turned=True),
            "c_proj of attention is read the wrong way round, which nobody "
            "notices, because it is square: w[i][j] leads from channel i to channel j.",
        ),
        (
            {"norm": partial(_norm, n=C - 1)},
            "The variance is divided by C − 1: it is the mean, by C.",
        ),
        ({"norm": partial(_norm, eps=0.0)}, "The 0.00001 under the root is missing."),
        ({"mlp": partial(_mlp, act=rectified)}, "ReLU stands where the GELU belongs."),
        ({"mlp": partial(_mlp, act=lambda x: x)}, "The GELU is missing."),
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
        return {"attend": partial(_attention, weigh=partial(_weights, **how))}

    return [
        (
            weighing(cut_sum=True),
            "The sum below softmax's fraction is made of `.data`: gradients go through it, too.",
        ),
        (
            weighing(cut=True),
            "The weights of attention are plain numbers: no gradient reaches queries and keys.",
        ),
        ({"norm": partial(_norm, cut_mean=True)}, "The mean in the layer norm is made of `.data`."),
        (
            {"norm": partial(_norm, cut_root=True)},
            "The variance in the layer norm is made of `.data`.",
        ),
        (
            {"norm": partial(_norm, cut_root=True, cut_mean=True)},
            "Mean and variance in the layer norm are made of `.data`: both depend on x.",
        ),
        (
            {"mlp": partial(_mlp, act=partial(_gelu, cut=True))},
            "The tanh in the GELU is made of `.data`.",
        ),
        (
            {"parts": "cut sum"},
            "In the first sum, x is there as a number: its gradient goes there, too.",
        ),
    ]


def _gradients(given: dict, **how) -> np.ndarray:
    """Return the gradients of the weighted sum with respect to x and all parameters, in a row."""
    arrays = {"x": given["x"], **given["params"]}
    flat = np.concatenate([value.ravel() for value in arrays.values()])
    steps, start, w = flat + 1e-30j * np.eye(len(flat)), 0, {}
    for name, value in arrays.items():
        w[name] = steps[:, start : start + value.size].reshape(-1, *value.shape)
        start += value.size
    return (_block(w, **how) * given["weights"]).sum((1, 2)).imag / 1e-30


# --- cases --------------------------------------------------------------------------------------


def _drawn(rng, n: int = T, large: float = 1.0) -> dict:
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
        "n_head": N_HEAD,
        "weights": rng.uniform(1, 2, (n, C)),
    }


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
    w = {"x": given["x"], **given["params"]}
    want, out = _block(w), np.array(got["out"])
    expect_that(got["kept"], "the numbers of x and params: they have changed", KEEP)
    try:
        expect("block(x, params, 2)", out, want, tol=1e-9)
    except Wrong:
        with np.errstate(all="ignore"):
            mistakes = [Mistake(_block(w, **how), hint) for how, hint in _wrong_numbers()]
        expect("block(x, params, 2)", out, want, tol=1e-9, mistakes=mistakes)


KEEP = "x and params are the caller's: make new Values, and assign to no `.data`."


@block.case("the numbers", points=4, adapter="block_of_values", inputs=_drawn, crashes=CRASHES)
def numbers_of_the_block(given, got):
    _expect_numbers(given, got)


@block.case(
    "dot products in the thousands",
    adapter="block_of_values",
    inputs=lambda rng: _drawn(rng, 3, 40.0),
    crashes=CRASHES,
)
def large_scores(given, got):
    _expect_numbers(given, got)


@block.case("the gradients", points=4, adapter="block_of_values", inputs=_drawn, crashes=CRASHES)
def gradients_of_the_block(given, got):
    _expect_numbers(given, got)
    want, mine = _gradients(given), np.array(got["grads"])
    if np.allclose(mine, want, rtol=1e-8, atol=1e-8):
        return
    hint = None
    if not mine.any():
        hint = "No gradient reaches anything: the result is made of new Values, `Value(….data)`, "
        hint += "and these know nothing of x."
    for how, text in _cut():
        if hint is None and np.allclose(mine, _gradients(given, **how), rtol=1e-8, atol=1e-8):
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
