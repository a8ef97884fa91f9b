"""6.1 · Fuse neighbours: reshaping without mixing what belongs to different examples."""

import re

import numpy as np

from zerotohero.course.exercise import Exercise, Mistake, Wrong, expect, expect_that

fuse = Exercise(
    number="6.1",
    title="Fuse neighbours",
    difficulty=2,
    minutes=20,
    practises="reshaping without mixing what belongs to different examples",
    answers=("flatten_consecutive",),
    summary=(
        "Put each n neighbouring vectors of a context side by side, as the tree does. "
        "Refuse a length that n doesn't divide, with a sentence that helps."
    ),
    statement="""
`flatten_consecutive(x: Tensor, n: int) -> Tensor`

`x` has the shape (B, T, C): B examples, each with T vectors of C numbers, of any data type; it may
have been transposed. Return a tensor of x's data type and of the shape (B, T/n, n · C), in which
vectors 0 to n − 1 of an example stand side by side in the first row, the next n in the second, and
so on, each group in the order in which it came. If only **one** row is left (T = n), its axis goes
too: return (B, n · C). Whatever B is, the batch axis stays.

If T is not a multiple of n, raise `ValueError` with one sentence for the person who reads it, from
which the values of T and n can be learned. Gradients flow through the result back to `x`.

```python
x = torch.arange(8).view(1, 4, 2)    # the vectors [0, 1], [2, 3], [4, 5], [6, 7]
flatten_consecutive(x, 2).tolist()   # [[[0, 1, 2, 3], [4, 5, 6, 7]]], of shape (1, 2, 4)
flatten_consecutive(x, 4).tolist()   # [[0, 1, 2, 3, 4, 5, 6, 7]], of shape (1, 8)
flatten_consecutive(x, 3)            # ValueError
```
""",
    hints=(
        "In memory, the numbers of an example already lie in reading order. What has to change is "
        "only where one row ends and the next begins.",
        "`reshape` to (B, T // n, n * C) never crosses from one example into another. (`view` "
        "doesn't either, but refuses an x that was transposed.) The axis of length 1 to "
        "remove is axis 1, and only that one.",
        "`B, T, C = x.shape`; `if T % n: raise ValueError(f'{T} positions …')`; `x = x.reshape(B, "
        "T // n, n * C)`; `return x.squeeze(1) if x.shape[1] == 1 else x`.",
    ),
)


def _fused(x: np.ndarray, n: int) -> np.ndarray:
    B, T, C = x.shape
    rows = x.reshape(B, T // n, n * C)
    return rows[:, 0] if rows.shape[1] == 1 else rows


def _fused_wrongly(x: np.ndarray, n: int) -> list[Mistake]:
    B, T, C = x.shape
    m = T // n
    groups, shape = x.reshape(B, m, n, C), (B, m, n * C)
    wrong = [
        (x, "x came back as it was: nothing has been fused yet."),
        (
            x.reshape(B, n, m, C).swapaxes(1, 2).reshape(shape),
            "The vectors that stand side by side aren't neighbours: vector 0 belongs with vector "
            "1, not with one half-way on.",
        ),
        (
            groups[:, :, ::-1].reshape(shape),
            "Within a group the later vector stands first: keep the order in which they came.",
        ),
        (
            groups.swapaxes(2, 3).reshape(shape),
            "The vectors of a group are interleaved number by number: put one whole vector after "
            "the other.",
        ),
        (
            x.swapaxes(0, 1).reshape(shape),
            "Numbers of different examples stand in one row: the batch axis must stay where it is, "
            "so don't transpose before you reshape.",
        ),
        (
            x.reshape(m, B, n * C).swapaxes(0, 1),
            "Numbers of different examples are mixed: keep B in front.",
        ),
        (
            x.reshape(m, B, n * C),
            "The first two axes are exchanged, so that rows hold other examples' numbers: the "
            "shape is (B, T // n, n * C), the batch first.",
        ),
        (
            x.reshape(B, -1),
            "Everything of an example stands in one row: that is `Flatten`, which fuses the whole "
            "context at once. Only n vectors at a time belong together.",
        ),
        (
            groups.sum(2),
            "The vectors of a group are added up: side by side, none of their numbers is lost.",
        ),
        (
            groups.mean(2),
            "The vectors of a group are averaged: side by side, none of their numbers is lost.",
        ),
        (
            np.stack([x[:, i : i + n].reshape(B, -1) for i in range(T - n + 1)], 1),
            "The groups overlap: each vector belongs to one group, so the next begins n further "
            "on.",
        ),
    ]
    if B % n == 0:
        fewer = "Vectors were fused along the batch: there are fewer examples than before. Divide "
        wrong.append((x.reshape(B // n, T, n * C), fewer + "T by n, not B."))
    if T % 2 == 0 and n != 2:
        pairs = "Pairs are fused whatever n is: n vectors belong in a row."
        wrong.append((x.reshape(B, T // 2, 2 * C), pairs))
    if 1 < m != n:
        rows = "There are n rows left: n is how many vectors go into a row, not how many rows come "
        wrong.append((x.reshape(B, n, m * C), rows + "out."))
    return [Mistake(value, hint) for value, hint in wrong]


SHAPE_CRASHES = {
    "^RuntimeError: shape '.*' is invalid": "The number of entries changes: B · T · C "
    "must be the same before and after, as it is in (B, T // n, n * C).",
    "not compatible|use .reshape": "`view` needs numbers that lie in order in memory; after a "
    "transposition they don't. x itself may have been transposed: `reshape` takes it as it is. "
    "(If you transpose it yourself: is that needed?)",
    # Python's and NumPy's own are no refusals.
    "^ValueError(?!: (too many|not enough|cannot reshape))": "You refuse a length that n does "
    "divide: test `T % n`, where T is `x.shape[1]`, the middle axis.",
    "returned a ValueError": "You return the error as a value: `raise ValueError(…)`.",
}


def _vectors(rng: np.random.Generator, B: int, T: int, C: tuple[int, ...]) -> np.ndarray:
    """An input whose C is one of those given: sizes that could be confused differ."""
    return rng.normal(size=(B, T, int(rng.choice(C))))


def _whole(x: np.ndarray) -> np.ndarray:
    return (1e6 * x).astype(np.int64)


def _expect_kind(what: str, y: np.ndarray, x: np.ndarray) -> None:
    kind = np.asarray(y).dtype
    expect_that(
        kind == x.dtype,
        f"{what} for x of {x.dtype}: expected {x.dtype}, got {kind}",
        "The numbers are the right ones, of another data type than x: `float`, `double` or a new "
        "tensor has changed it. Nothing but the shape has to change.",
    )


@fuse.case(
    "eight vectors, two at a time",
    points=2,
    adapter="fused",
    inputs=lambda rng: {"x": _vectors(rng, 12, 8, (3, 5, 7)), "n": 2},
    crashes=SHAPE_CRASHES,
)
def pairs_fused(given, got):
    x, n = given["x"], given["n"]
    expect("flatten_consecutive(x, 2)", got["y"], _fused(x, n), mistakes=_fused_wrongly(x, n))
    _expect_kind("flatten_consecutive(x, 2)", got["y"], x)


@fuse.case(
    "three or five at a time, of an x that was transposed",
    adapter="fused_transposed",
    inputs=lambda rng: {
        "x": _vectors(rng, 4, 30, (7, 8, 9)).astype(np.float32),
        "n": int(rng.choice([3, 5])),
    },
    crashes=SHAPE_CRASHES,
)
def threes_and_fives_fused(given, got):
    x, n = given["x"], given["n"]
    what = f"flatten_consecutive(x, {n})"
    expect(what, got["y"], _fused(x, n), mistakes=_fused_wrongly(x, n))
    _expect_kind(what, got["y"], x)


@fuse.case(
    "one row is left",
    adapter="fused",
    inputs=lambda rng: {"x": _vectors(rng, int(rng.choice([3, 7])), n := 4, (5, 6)), "n": n},
    crashes=SHAPE_CRASHES,
)
def axis_of_time_dropped(given, got):
    x, n = given["x"], given["n"]
    want = _fused(x, n)
    kept = (
        "One row is left, and its axis of length 1 is still there: take it away with `squeeze(1)`, "
        "or the layers above meet three axes where they expect two."
    )
    expect(
        "flatten_consecutive(x, 4)",
        got["y"],
        want,
        mistakes=[Mistake(want[:, None], kept), *_fused_wrongly(x, n)],
    )


@fuse.case(
    "a batch of one example",
    adapter="fused_each",
    inputs=lambda rng: {"x": _whole(_vectors(rng, 1, 4, (5, 6, 7))), "few": 2, "all": 4},
    crashes=SHAPE_CRASHES,
)
def batch_of_one(given, got):
    x = given["x"]
    gone = (
        "The batch axis is gone. `squeeze()` takes away every axis of length 1, the batch's too; "
        "the one to take away is axis 1, and only where a single row is left."
    )
    kept = "The axis of length 1 is still there: where T = n, return (B, n · C)."
    thin = "The last axis stays, also where vectors of one number stand alone: only axis 1 goes."
    single = "A single vector, n = 1, is one row, too: its axis goes, and (B, C) is left."
    for name, some, n in (
        ("few", x, given["few"]),
        ("all", x, given["all"]),
        ("alone", x[:, :1], 1),
        ("thin", x[:, :, :1], 1),
    ):
        want = _fused(some, n)
        expect(
            f"flatten_consecutive(x, {n}) for x of shape {some.shape}",
            got[name],
            want,
            mistakes=[
                Mistake(want[0], gone),
                Mistake(want[:, None], single if name == "alone" else kept),
                Mistake(want[..., 0], thin),
            ],
        )
        _expect_kind(f"flatten_consecutive(x, {n})", got[name], x)


def _no_multiple(rng: np.random.Generator) -> dict:
    n = int(rng.choice([3, 5, 7]))  # so that an even length is refused, and odd ones are not
    return {"x": _vectors(rng, 11, 7 * n + 1, (6, 8)), "n": n}


@fuse.case(
    "a length that n divides, and two that it doesn't",
    adapter="refused",
    inputs=_no_multiple,
    crashes=SHAPE_CRASHES,
)
def odd_length_refused(given, got):
    x, n = given["x"], given["n"]
    T = x.shape[1]
    whole = x[:, : T // n * n]
    what = f"flatten_consecutive(x, {n}) for {whole.shape[1]} vectors"
    expect(what, got["whole"], _fused(whole, n), mistakes=_fused_wrongly(whole, n))
    _expect_refusal(x, n, got["long"])
    _expect_refusal(x[:, : n - 1], n, got["short"])
    message = str(got["long"]["message"])
    expect_that(
        got["long"]["parts"] == 1 or not message.startswith("("),
        f"the message: expected a sentence, got a tuple, {message!r:.100}",
        AS_PRINT,
    )
    numbers = {str(T), str(n)} <= set(re.findall(r"\d+", message))
    expect_that(
        len(message.split()) >= 4 and numbers,
        f"the message: expected a sentence with {T} and {n} in it, got {message!r:.100}",
        "Whoever reads the message can't see your code: say how many vectors came, and into "
        "groups of how many they can't be divided.",
    )
    expect_that(
        not (_said(T_SAID, message) == {n} and _said(N_SAID, message) == {T}),
        f"the message: {T} vectors came, and n is {n}; got {message!r:.100}",
        "T and n have changed places in the message: T is how many vectors came, n how many belong "
        "into a group.",
    )


AS_PRINT = (
    "An exception isn't `print`: several arguments stay a tuple, with its brackets and quotes. Put "
    "the numbers into the text, with an f-string."
)

# How a sentence tells what T is, and what n is: by name, or else in words.
T_SAID = (r"\bT *(?:=|is|\() *(\d+)", r"(?:length|context) (?:of |is )?(\d+)|(\d+) (?:vec|pos|can)")
N_SAID = (r"\bn *(?:=|is|\() *(\d+)", r"(?:groups of|multiple of|divisible by|divided by) (\d+)")


def _said(patterns: tuple[str, str], message: str) -> set[int]:
    for pattern in patterns:
        if parts := [part.group() for part in re.finditer(pattern, message)]:
            return {int(number) for part in parts for number in re.findall(r"\d+", part)}
    return set()


def _expect_refusal(x: np.ndarray, n: int, got: dict) -> None:
    B, T, C = x.shape
    want = f"flatten_consecutive(x, {n}) for {T} vectors: expected a ValueError"
    if got["error"] is None:
        padded = np.zeros((B, -(-T // n) * n, C))
        padded[:, :T] = x
        silent = [
            (
                _fused(x[:, : T // n * n], n),
                "The vectors at the end that make no whole group were dropped without a word: the "
                "newest characters are lost.",
            ),
            (
                _fused(padded, n),
                "The last group was filled with zeros without a word: to the layer above they look "
                "like data.",
            ),
        ]
        for value, hint in silent:
            if np.shape(got["y"]) == value.shape and np.allclose(got["y"], value):
                raise Wrong(f"{want}, got a result", hint)
        few = "Fewer vectors than n are no multiple of n either." if n > T else None
        raise Wrong(f"{want}, got a result", few or "Test `T % n` first, and raise.")
    if got["error"] != "ValueError":
        raise Wrong(
            f"{want}, got {got['error']}: {str(got['message'])[:80]}",
            "Test `T % n` yourself and raise ValueError: torch's own complaint about an invalid "
            "shape comes later and doesn't say what to do, and an assertion can be switched off.",
        )


@fuse.case(
    "gradients flow back to x",
    adapter="fused_gradient",
    inputs=lambda rng: {
        "x": _vectors(rng, 4, 10, (3, 6, 7)),
        "n": 2,
        "upstream": float(rng.uniform(1, 9)),
    },
    crashes={
        "require.? grad": "The result is cut off from x: stay with torch's operations; "
        "`torch.tensor`, `.data`, `.detach()` and NumPy make copies that know nothing of it.",
        **SHAPE_CRASHES,
    },
)
def gradient_reaches_x(given, got):
    expect("the shape", got["shape"], [*_fused(given["x"], given["n"]).shape])
    # The sum of c · y² has the gradient 2 · c · x, wherever the numbers stand.
    expect("x's gradient", got["grad"], 2 * given["upstream"] * given["x"])
