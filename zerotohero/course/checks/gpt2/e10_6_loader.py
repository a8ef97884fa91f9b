"""10.6 · Shard the loader: which rows a process takes, and how a row is read over shards' ends."""

from itertools import pairwise

import numpy as np

from zerotohero.course.checks.gpt.shared import expect_slowly
from zerotohero.course.checks.gpt2._e10_6_wrong import order_hint, share_of_neighbours, wrong_rows
from zerotohero.course.exercise import NOTHING, Exercise, Wrong, expect, expect_that

loader = Exercise(
    number="10.6",
    title="Shard the loader",
    difficulty=4,
    minutes=50,
    practises="work that is shared out by arithmetic, with nothing skipped and nothing read twice",
    answers=("row_numbers", "read_rows"),
    adapters="gpt2_runs",
    summary=(
        "Several processes train on one text that lies in several files. Each finds out by itself "
        "which rows are its own, and reads these alone, over the ends of the files."
    ),
    statement="""
The tokens of all shards, one shard after another, are **one sequence** of n_tokens tokens. Row r
begins at token r·T: its inputs are T tokens from there on, its targets the T tokens that begin one
further. The rows are 0 to R − 1, as many as there are whole ones with all their targets; a rest
that is shorter is in no row. There is at least one row.

`row_numbers(n_tokens: int, T: int, B: int, step: int, rank: int, world: int, seed: int)`
`-> list[int]`

Return the numbers of the B rows that process `rank`, one of `world`, takes in this step; both begin
at 0. All processes' numbers make one stream: those of step 0, then those of step 1, and in a step
first the B of rank 0, then the B of rank 1, and so on.

- The first R numbers of the stream are **each row once**, mixed at random. So are the next R, in
  **another** order, and so on. No number is left out or put in between: a batch in which an epoch
  ends goes on with the next epoch, and a step, or a batch alone, may be longer than an epoch.
- The stream depends on R and the seed alone: not on how many processes share it and how large
  their batches are, and not on which steps were asked for before. Another seed mixes otherwise.
  Which random numbers you take is up to you.

`read_rows(shards: list, T: int, numbers: list[int]) -> tuple[Tensor, Tensor]`

Return the inputs and the targets of the rows with these numbers, (len(numbers), T) each, of int64.
Each shard is like a memory map of uint16: `len(shard)`, and `shard[a:b]`, an array. It is not
empty, but may be shorter than a row. All that is sliced comes from the disk: take the T + 1 tokens
of each row, **once**, and no more.

```python
row_numbers(10, 3, 2, step=0, rank=0, world=2, seed=1)  # [2, 0]: of R = 3 rows, mixed as 2, 0, 1
row_numbers(10, 3, 2, step=0, rank=1, world=2, seed=1)  # [1, …]: … is the next epoch's first
read_rows([[5, 6], [7], [8, 9, 4, 2]], 3, [0, 1])   # [[5, 6, 7], [8, 9, 4]], [[6, 7, 8], [9, 4, 2]]
```
""",
    hints=(
        "At which place p of the stream does the i-th row of this process stand? Which epoch is "
        "that, and which place in it?",
        "p = (step · world + rank) · B + i; `divmod(p, R)` gives both. A generator with a seed "
        "made of seed and epoch mixes the R rows the same in all processes. For a row, find the "
        "shard in which it begins, take what is there, and go on in the next until it is whole.",
        "`np.random.default_rng((seed, epoch)).permutation(R)[place]`, with R = (n_tokens − 1) // "
        "T. `k = bisect.bisect_right(ends, start)` is the shard, where `ends` are the sums of the "
        "lengths; `while len(row) < T + 1:` take `shards[k][at : at + T + 1 - len(row)]`, then "
        "k += 1 and at = 0.",
    ),
)


# --- whose rows ---------------------------------------------------------------------------------


def _ask(
    rng, R: int, rest: int, B: int, world: int, steps: int, seed: int | None = None, T: int = 0
) -> dict:
    """Return a stream to ask for, in calls of any order; `rest` tokens are in no row."""
    T = T or int(rng.integers(4, 8))
    calls = [[step, rank] for step in range(steps) for rank in range(world)]
    return {
        "n_tokens": R * T + 1 + (T - 1 if rest else 0),
        "T": T,
        "B": B,
        "world": world,
        "steps": steps,
        "seed": int(rng.integers(0, 1000)) if seed is None else seed,
        "calls": [calls[i] for i in rng.permutation(len(calls))],
    }


def _stream(one: dict, found: dict) -> list[int]:
    """Return the stream as one list. Wrong unless each call gave B numbers of rows."""
    B, W, R = one["B"], one["world"], (one["n_tokens"] - 1) // one["T"]
    for step, ranks in enumerate(found["table"]):
        for rank, numbers in enumerate(ranks):
            what = _call(one, step, rank)
            if not isinstance(numbers, list) or any(type(n) is not int for n in numbers):
                hint = NOTHING if numbers is None else "`.tolist()` makes plain numbers."
                raise Wrong(f"{what}: expected a list of whole numbers, got {numbers!r:.60}", hint)
            hint = None
            if len(numbers) == B * W > B:
                hint = "These are the rows of all processes: each takes B of them."
            elif len(numbers) < B and B > R:
                hint = (
                    "A batch may be longer than an epoch, and longer than two: go on until it is "
                )
                hint += "full."
            elif len(numbers) < B:
                hint = "A batch in which an epoch ends goes on with the next epoch's first rows."
            expect_that(
                len(numbers) == B, f"{what}: expected {B} numbers, got {len(numbers)}", hint
            )
            outside = [n for n in numbers if not 0 <= n < R]
            if outside:
                hint = None
                if max(outside) > 2 * R:
                    hint = (
                        "Far more rows than there are: one begins at every T-th token, so R is "
                        "(n_tokens − 1) // T."
                    )
                elif _from_one(found["table"], R):
                    hint = "Rows are counted from 0: they are 0 to R − 1."
                elif outside == [R] and one["n_tokens"] <= (R + 1) * one["T"]:
                    hint = (
                        "One row too many: the last target of a row is the token behind its "
                        "inputs, so R rows take R · T + 1 tokens."
                    )
                raise Wrong(f"{what}: row {outside[0]}, and the rows are 0 to {R - 1}", hint)
    return [n for ranks in found["table"] for numbers in ranks for n in numbers]


def _from_one(table: list, R: int) -> bool:
    """Return whether row R comes, and row 0 never."""
    came = [n for ranks in table for numbers in ranks if isinstance(numbers, list) for n in numbers]
    return R in came and 0 not in came and len(came) >= 2 * R


def _call(one: dict, step: int, rank: int) -> str:
    sizes = ", ".join(str(one[name]) for name in ("n_tokens", "T", "B"))
    return f"row_numbers({sizes}, {step}, {rank}, {one['world']}, {one['seed']})"


def _expect_order(one: dict, found: dict) -> list[int]:
    """Return the stream. Wrong unless each epoch in it has each row once."""
    stream, R = _stream(one, found), (one["n_tokens"] - 1) // one["T"]
    step, rank = one["calls"][-1]
    expect_that(
        found["again"] == found["table"][step][rank],
        f"{_call(one, step, rank)}: asked twice, expected the same, got "
        f"{found['table'][step][rank]} and {found['again']}",
        "It depends on what was asked before: make the random numbers of seed and epoch, anew in "
        "each call.",
    )
    what = f"the stream of {R} rows, world = {one['world']}, B = {one['B']}"
    for epoch in range(len(stream) // R):
        part = stream[epoch * R : (epoch + 1) * R]
        twice = sorted({n for n in part if part.count(n) > 1})
        missing = sorted({*range(R)} - {*part})
        expect_that(
            not missing,
            f"{what}: in epoch {epoch} expected each row once, got {twice[:3]} more than once and "
            f"{missing[:3]} not at all",
            order_hint(found["table"], R),
        )
    epochs = [stream[at : at + R] for at in range(0, len(stream) - R + 1, R)]
    if R < 20:  # chance makes any order of a few
        return stream
    expect_that(
        share_of_neighbours(epochs[0], [*range(R)]) < 0.5,
        f"{what}: expected the rows of an epoch in random order, got {epochs[0][:5]}…",
        "The rows are read in the order of the text: neighbours are alike, so mix them.",
    )
    expect_that(
        all(a != b for a, b in pairwise(epochs)),
        f"{what}: expected another order in each epoch, got the same again",
        "Every epoch has the same order: the number of the epoch has to be part of the seed."
        if one["seed"]
        else "With the seed 0 every epoch has the same order, since a product with 0 is 0: take "
        "both numbers for the generator, as in `(seed, epoch)`.",
    )
    expect_that(
        all(share_of_neighbours(a, b) < 0.5 for a, b in pairwise(epochs)),
        f"{what}: expected each epoch mixed at random, got the same neighbours again",
        "The order of one epoch is that of the one before, shifted or backwards: mix it anew.",
    )
    return stream


def each_row_once_an_epoch(given, got):
    for one, found in zip(given["asked"], got["found"], strict=True):
        _expect_order(one, found)


NUMBERED = {
    "IndexError|StopIteration": "A place behind the end of an epoch: `divmod(p, R)` says which "
    "epoch it is, and which place in it. An order kept from an earlier call may be another text's.",
}

loader.case(
    "each row once in each epoch",
    points=3,
    adapter="numbered",
    inputs=lambda rng: {
        "asked": [_ask(rng, int(rng.choice([20, 22, 26, 28, 32, 34])), 1, 2, 3, 15)]
    },
    crashes=NUMBERED,
)(each_row_once_an_epoch)
loader.case(
    "a rest of no token, of almost a row; steps longer than an epoch",
    points=2,
    adapter="numbered",
    inputs=lambda rng: {
        "asked": [
            _ask(rng, int(rng.integers(20, 30)), 0, 3, 2, 10),
            _ask(rng, int(rng.integers(20, 30)), 1, 4, 2, 10),
            _ask(rng, 5, 1, 4, 3, 4),
            _ask(rng, 1, 0, 2, 2, 2),
            _ask(rng, 3, 1, 8, 2, 3),
        ]
    },
    crashes=NUMBERED,
)(each_row_once_an_epoch)


def _shared(rng) -> dict:
    R, seed = int(rng.integers(40, 50)), int(rng.integers(0, 1000))
    ways = enumerate(((1, 12), (2, 6), (6, 2), (4, 3)))
    asked = [_ask(rng, R, 0, B, W, 5, seed, T=4 + i) for i, (W, B) in ways]
    return {"asked": [*asked, _ask(rng, R, 0, 12, 1, 5, seed + 1), _ask(rng, R, 0, 12, 1, 10, 0)]}


MORE = "The random numbers depend on more than R, seed and epoch: on `world`, `B`, T or n_tokens."


@loader.case(
    "the same stream, whoever shares it, and another for another seed",
    points=2,
    adapter="numbered",
    inputs=_shared,
    crashes=NUMBERED,
)
def one_stream_for_all(given, got):
    asked = given["asked"]
    pairs = list(zip(asked, got["found"], strict=True))
    streams = [_expect_order(*pair) for pair in pairs[:-1]]
    for one, stream in zip(asked[1:4], streams[1:4], strict=True):
        differ = np.mean([a != b for a, b in zip(stream, streams[0], strict=True)])
        hint = MORE if differ > 0.5 else None
        what = f"the stream of {one['world']} processes with B = {one['B']}, as of one with 12"
        expect(what, stream, streams[0], tol=0, hint=hint)
    expect_that(
        streams[4] != streams[0],
        f"the streams of the seeds {asked[0]['seed']} and {asked[4]['seed']}: expected different "
        "ones, got the same",
        "The seed makes no difference: it has to be part of what the random numbers are made of.",
    )
    R = (asked[0]["n_tokens"] - 1) // asked[0]["T"]
    expect_that(
        streams[4][:R] != streams[0][:R],
        f"the first epochs of the seeds {asked[0]['seed']} and {asked[4]['seed']}: expected "
        "different orders, got the same",
        "In epoch 0 the seed makes no difference, as in seed · epoch: take both numbers for the "
        "generator, as in `(seed, epoch)`.",
    )
    _expect_order(*pairs[-1])  # the seed 0


# --- what is in them ----------------------------------------------------------------------------


def _lying(rng, lengths: list[int], numbers: list[int], T: int) -> dict:
    """Return shards of such lengths. Tokens go beyond 32,767, which int16 doesn't hold."""
    tokens = rng.choice(65_536, sum(lengths), replace=False).astype(np.uint16)
    return {
        "shards": np.split(tokens, np.cumsum(lengths)[:-1]),
        "T": T,
        "numbers": [int(n) for n in rng.permutation(numbers)],
    }


def rows_whole(given, got):
    shards, T, numbers = given["shards"], given["T"], given["numbers"]
    lengths = [len(shard) for shard in shards]
    what = f"read_rows(shards of {', '.join(map(str, lengths))} tokens, {T}, {numbers})"
    rows = np.concatenate(shards).astype(np.int64)[np.array(numbers)[:, None] * T + range(T + 1)]
    for name, want, which in (("inputs", rows[:, :-1], 0), ("targets", rows[:, 1:], 1)):
        came = got["x" if which == 0 else "y"]
        if isinstance(came, list):
            raise Wrong(f"{what}: expected a tensor of {name}, got a list")
        expect_slowly(
            f"{what}: {name}", came, want, lambda i=which: wrong_rows(shards, T, numbers, i), tol=0
        )
        kind = str(np.asarray(came).dtype)
        hint = "An embedding takes int64: `.astype(np.int64)` before the tensor is made."
        expect_that(kind == "int64", f"{what}: {name} of int64 expected, got {kind}", hint)
    most = len(numbers) * (T + 1)
    hint = None
    if got["read"] == sum(lengths):
        hint = "All shards are read whole: slice what a row needs, and nothing else."
    elif got["read"] == 2 * T * len(numbers):
        hint = (
            "Inputs and targets are read apart, which are the same tokens but for one: read T + 1 "
            "of them, and slice these."
        )
    elif got["read"] > most:
        hint = "More is read than the rows hold: each piece ends where its row is whole."
    came = f"expected at most {len(numbers)} · {T + 1} = {most}, got {got['read']}"
    expect_that(got["read"] <= most, f"{what}: tokens read: {came}", hint)


READ = {
    "two tensors are needed": "Return both: `return x, y`.",
    "expected sequence of length|stack expects each|equal size|inhomogeneous": "A row came out "
    "shorter than T + 1 tokens: it goes on in the next shard, and perhaps in the one after that.",
}


def _inside(rng) -> dict:
    """Return shards that hold their rows whole, one of which is asked for twice."""
    T = int(rng.integers(5, 8))
    return _lying(rng, [4 * T + 3, 3 * T, 5 * T - 2], [1, 5, 0, 8, 2, 5], T)


def _over_the_ends(rng) -> dict:
    """Return shards at whose ends rows end, begin and go on, one over three of them."""
    T = int(rng.integers(6, 9))
    lengths = [2 * T, 3, 2, T - 4, T + 4, T - 1, 3 * T + 1]
    R = (sum(lengths) - 1) // T
    lengths[-1] += R * T + 1 - sum(lengths)  # the last target is the last token
    return _lying(rng, lengths, [*range(1, R - 3), R - 1], T)


for name, points, inputs in (
    ("rows that lie in one shard", 2, _inside),
    ("rows over the ends of shards", 4, _over_the_ends),
):
    loader.case(name, points=points, adapter="rows_read", inputs=inputs, crashes=READ)(rows_whole)
