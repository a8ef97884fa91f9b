"""11.7 · Eight-bit weights: one scale a row, a known error, and never a whole matrix of floats."""

import numpy as np

from zerotohero.course.checks.numpy_gpt.shared import expect_array
from zerotohero.course.exercise import Exercise, Mistake, Wrong, expect, expect_that

bits = Exercise(
    number="11.7",
    title="Eight-bit weights",
    difficulty=3,
    minutes=40,
    practises="a format of one's own, its error, and the memory that a product takes",
    answers=("quantise", "product"),
    summary=(
        "Store a matrix as whole numbers of eight bits, with one scale a row, in half the memory "
        "of float16. Multiply by it without ever turning all of it into floats."
    ),
    statement="""
`quantise(w: ndarray) -> tuple[ndarray, ndarray]`

From w, (n, m), of float32, to q and scale. `scale`, (n,), of float32, has one number for each row:
the largest absolute number of the row, divided by 127. `q`, (n, m), of int8, has the whole number
**nearest** to w / scale, from −127 to 127, so that q · scale is wrong by half a scale at most. A
row of zeros has the scale 1; rows of other numbers, however small, have their own.

q and scale take n·m + 4n bytes, half of what float16 takes and four bytes a row.

`product(x: ndarray, q: ndarray, scale: ndarray) -> ndarray`

From x, (T, n), of float32, to x @ W, (T, m), of float32, where row i of W is q[i] · scale[i]; no
number of it is wrong by more than 1/100,000 of the largest. But W as a whole is never made, nor q
as a whole in floats: what `product` takes in memory stays below **a quarter** of what W would take
in float32. Turn 128 rows into floats at a time, for example; n need not be a multiple of it. x
stays as it is.

```python
w = np.array([[0.5, -1.27], [200, 127]], dtype=np.float32)
quantise(w)          # q: [[50, -127], [127, 81]], scale: [0.01, 1.5748]
product(np.array([[1, 0]], dtype=np.float32), *quantise(w))     # [[0.5, -1.27]]
```
""",
    hints=(
        "What does `astype(np.int8)` do with 2.9, and with 130? And to which numbers of x or of "
        "the result does the scale of row i belong?",
        "`np.abs(w).max(1)` finds the scales, `np.rint` the nearest whole numbers. In the product, "
        "a row's scale can be multiplied with one number of each row of x: (x · scale) @ q.",
        "`scale = np.abs(w).max(1) / np.float32(127)`; `scale[scale == 0] = 1`; `q = np.rint(w / "
        "scale[:, None]).astype(np.int8)`. And `for i in range(0, n, 128): y += x[:, i : i + 128] "
        "@ (q[i : i + 128] * scale[i : i + 128, None])`, with y of float32.",
    ),
)


def _scales(w: np.ndarray) -> np.ndarray:
    scale = np.abs(w).max(1) / np.float32(127)
    scale[scale == 0] = 1
    return scale


def _rounded(w: np.ndarray) -> np.ndarray:
    return np.rint(w / _scales(w)[:, None]).astype(np.int8)


def _matrix(rng, n: int, m: int) -> np.ndarray:
    """Return a matrix whose rows differ ten thousandfold; one is 0, some have a negative top."""
    w = rng.normal(size=(n, m)) * 10.0 ** rng.uniform(-4, 0, (n, 1))
    at = np.abs(w).argmax(1)[:, None]
    sign = np.where(np.arange(n)[:, None] % 2, 1, -1)
    np.put_along_axis(w, at, 1.3 * sign * np.abs(np.take_along_axis(w, at, 1)), 1)
    w[int(rng.integers(0, n))] = 0
    return w.astype(np.float32)


def _wrong_scales(w: np.ndarray) -> list[Mistake]:
    top, want = np.abs(w).max(1), _scales(w)
    with np.errstate(all="ignore"):
        found = [
            (np.full(len(w), top.max() / 127), "One scale for the whole matrix: each row has one."),
            (top / 128, "Divided by 128: the largest would become 128, which int8 doesn't hold."),
            (top / 255, "Divided by 255: int8 goes from −128 to 127."),
            (w.max(1) / 127, "The largest number of the row, and not the largest absolute one."),
            (
                np.ptp(w, 1) / 255,
                "From the smallest to the largest number: here zero stays zero, and the absolute "
                "numbers count.",
            ),
            (127 / top, "The other way round: scale is what q is multiplied by."),
            (top, "Not divided by 127: q · scale has to give w again."),
        ]
        return [Mistake((value / want)[w.any(1)], hint) for value, hint in found]


def _wrong_numbers(w: np.ndarray, q) -> list[Mistake]:
    """Return what wrong rounding gives: for almost whole numbers, what q has there."""
    exact = w / _scales(w)[:, None]
    if isinstance(q, np.ndarray) and q.shape == w.shape:
        whole = np.isclose(exact, np.rint(exact), rtol=0, atol=1e-4)
    else:
        q, whole = 0, False
    one = np.abs(w).max() / 127
    found = [
        (exact.astype(np.int8), "`astype` cuts off what follows the point: round first."),
        (np.floor(exact), "Rounded down: the nearest whole number is asked for."),
        (np.ceil(exact), "Rounded up: the nearest whole number is asked for."),
        (np.rint(w / one), "Divided by one scale of the whole matrix: each row has its own."),
        (np.abs(np.rint(exact)), "The signs are lost."),
        (np.rint(exact) % 256, "uint8 has no numbers below 0: int8 has."),
        (np.rint(w * _scales(w)[:, None]), "Times the scale: q is w divided by it."),
        (
            np.rint(exact.astype(np.float16)),
            "Rounded twice, to float16 first, which from 64 on has sixteenths alone.",
        ),
    ]
    return [Mistake(np.where(whole, q, value), hint) for value, hint in found]


def _with_small_rows(rng) -> np.ndarray:
    w = _matrix(rng, int(rng.integers(30, 41)), int(rng.integers(60, 71)))
    for row, small in zip(rng.permutation(np.flatnonzero(w.any(1))), (1e-5, 1e-11), strict=False):
        w[row] *= np.float32(small)
    return w


FLOOR = "A row of small numbers has been given a larger scale: its own is as small as they are."
HALF = "float16 has some three digits, and nothing below 0.00000006: float32 is needed."
ZERO = "The scale of a row of zeros is 0, and 0/0 no number: it is 1."
TWO = "Return both: `return q, scale`."
CRASHES = {
    "could not be broadcast": "One scale for each row of n: `scale[:, None]` is (n, 1), and fits "
    "(n, m); in the product it belongs to x's numbers, or to the rows of q.",
    "mismatch in its core dimension": "x is (T, n) and q is (n, m): blocks are columns of x and "
    "rows of q.",
    "a q and a scale": TWO,
}


@bits.case(
    "rows of different size, of zeros, and with the largest below 0",
    points=3,
    adapter="quantised",
    inputs=lambda rng: {"w": _with_small_rows(rng)},
    crashes=CRASHES,
)
def whole_numbers_and_scales(given, got):
    w, q, scale = given["w"], got["q"], got["scale"]
    want = _scales(w)
    relative, rows = scale, w.any(1)
    if isinstance(scale, np.ndarray):
        hint = None
        if scale.shape == (w.shape[1],):
            hint = "One scale for each column: each row has one."
        elif scale.shape == (len(w), 1):
            hint = "(n, 1) has an axis too many: `max(1)` without `keepdims`, or `scale[:, 0]`."
        elif scale.size == 1:
            hint = "One scale for the whole matrix: each row has one."
        elif scale.shape == w.shape:
            hint = "The other way round: q comes first, then scale."
        expect_that(
            scale.shape == want.shape,
            f"scale: expected shape {want.shape}, got {scale.shape}",
            hint,
        )
        relative = (scale / want)[rows]
    expect_array(
        "scale, divided by what it should be",
        relative,
        np.ones(int(rows.sum())),
        tol=1e-5,
        mistakes=lambda: _wrong_scales(w),
        hint=_of_scales(scale, relative, want[rows]),
    )
    of_zeros = float(scale[~rows][0])
    expect_that(
        of_zeros == 1,
        f"scale of a row of zeros: expected 1, got {of_zeros:g}",
        ZERO if of_zeros == 0 else None,
    )
    _of_dtype("scale", scale, "float32", "scale.astype(np.float32)")
    near = isinstance(q, np.ndarray) and q.shape == w.shape and q.dtype.kind in "iuf"
    exact = w / want[:, None]
    if not (near and (np.abs(q - exact) <= 0.5 + 1e-4).all()):
        expect_array("q", q, np.rint(exact), tol=0, mistakes=lambda: _wrong_numbers(w, q))
    _of_dtype("q", q, "int8", "np.rint(…).astype(np.int8)")


def _of_scales(scale, relative, want: np.ndarray) -> str | None:
    if isinstance(scale, np.ndarray) and scale.dtype == np.float16:
        return HALF
    return FLOOR if _has_a_floor(relative, want) else None


def _has_a_floor(relative, want: np.ndarray) -> bool:
    """Whether the smallest scales are too large, and the others right."""
    if not isinstance(relative, np.ndarray):
        return False
    off = ~np.isclose(relative, 1, rtol=1e-5, atol=0)
    some = off.any() and not off.all()
    return bool(some and want[off].max() < want[~off].min() and (relative[off] > 1).all())


def _of_dtype(name: str, got: np.ndarray, dtype: str, how: str) -> None:
    hint = f"{got.dtype} takes {got.itemsize} bytes a number: `{how}`."
    expect_that(got.dtype == dtype, f"{name}: expected {dtype}, got {got.dtype}", hint)


def _to_multiply(rng) -> dict:
    n, m = 128 * 11 + int(rng.integers(20, 100)), 250
    w = _matrix(rng, n, m)
    x = rng.normal(size=(int(rng.integers(2, 6)), n)).astype(np.float32)
    return {"x": x, "q": _rounded(w), "scale": _scales(w)}


def _exactly(x: np.ndarray, q: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return x.astype(np.float64) @ (q * scale[:, None].astype(np.float64))


def _wrong_products(x: np.ndarray, q: np.ndarray, scale: np.ndarray) -> list[Mistake]:
    whole, most = x.shape[1] // 128 * 128, float(np.abs(x).max()) / 127
    lost = "The rows behind the last whole block are missing: n need not be a multiple of 128."
    if x.shape[1] == whole + 1:
        lost = "The last row is missing: it stands alone behind whole blocks of 128."
    last = (x.shape[1] - 1) // 128 * 128
    found = [
        (
            _exactly(x[:, last:], q[last:], scale[last:]),
            "Only the last block is left: each is added to those before it, `y += …`.",
        ),
        (x @ q.astype(np.float64), "The scales are missing."),
        (
            x @ (q * scale[:, None]).astype(np.float16).astype(np.float64),
            HALF,
        ),
        (_exactly(x, q, 1 / scale), "Divided by the scales: q times scale is W."),
        (_exactly(x[:, :whole], q[:whole], scale[:whole]), lost),
        (_exactly(x, q, scale**2), "The scales are there twice: once in x and once in W."),
        (
            _exactly(np.rint(x), q, scale),
            "x was made whole as well: it stays float32.",
        ),
        (
            most * np.rint(x / most) @ (q * scale[:, None].astype(np.float64)),
            "x was made whole as well: it stays float32.",
        ),
    ]
    return [Mistake(value, hint) for value, hint in found]


def _nearly(got, value: np.ndarray) -> bool:
    """Whether it is that, but for what float32 loses of sums that are far larger."""
    if not isinstance(got, np.ndarray) or got.shape != value.shape or got.dtype != np.float32:
        return False
    return bool(np.abs(got - value).max() < 1e-5 * np.abs(value).max())


def _expect_product(what: str, got, given: dict) -> None:
    want = _exactly(**given)
    with np.errstate(all="ignore"):
        size = float(np.abs(want).max())
    hint = HALF if isinstance(got, np.ndarray) and got.dtype == np.float16 else None
    expect_array(
        f"{what}, divided by {size:.3g}",
        got / size if isinstance(got, np.ndarray) else got,
        want / size,
        tol=1e-5,
        mistakes=lambda: [
            Mistake(m.value / size if not _nearly(got, m.value) else got / size, m.hint)
            for m in _wrong_products(**given)
        ],
        hint=hint,
    )
    expect_that(
        got.dtype == np.float32,
        f"{what}: expected float32, got {got.dtype}",
        "float64 doubles what has to be read and written: begin with "
        "`np.zeros((T, m), np.float32)`."
        if got.dtype == np.float64
        else None,
    )


@bits.case(
    "a product, in less memory than a quarter of W",
    points=3,
    adapter="multiplied",
    inputs=_to_multiply,
    crashes=CRASHES,
)
def product_in_blocks(given, got):
    _expect_product("product(x, q, scale)", got["y"], given)
    limit, peak = given["q"].size, got["peak"]
    expect_that(
        peak < limit,
        f"product(x, q, scale): expected less than {limit:,} bytes of memory, got {peak:,}",
        "All of q is turned into floats, which `x @ q` does too, without a word: take a block of "
        "rows at a time."
        if peak >= 4 * limit
        else "Too much of it is there at the same time: take smaller blocks.",
    )


def _smallest(rng) -> dict:
    x, w = rng.normal(size=(1, 129)).astype(np.float32), _matrix(rng, 129, 1)
    x[:, -1], w[-1] = 10, 3  # alone behind a block of 128, and most of the product
    return {"x": x, "w": w, "small": _matrix(rng, 3, 5)[:2]}


@bits.case(
    "one row, one column, and all together",
    adapter="round_trip",
    inputs=_smallest,
    crashes=CRASHES,
)
def both_together(given, got):
    x, w = given["x"], given["w"]
    parts = {"x": x, "q": _rounded(w), "scale": _scales(w)}
    _expect_product("product(x, *quantise(w)), w of one column", got["y"], parts)
    small = given["small"]
    if not isinstance(got["back"], np.ndarray):
        raise Wrong("product(the identity, *quantise(w)): expected an array", None)
    worst = _scales(small)[:, None] / 2
    error = np.abs(got["back"] - small) if got["back"].shape == small.shape else np.inf
    expect(
        "product(the identity, *quantise(w)): numbers wrong by more than half a scale",
        int(np.sum(error > worst * (1 + 1e-4))),
        0,
        tol=0,
    )
