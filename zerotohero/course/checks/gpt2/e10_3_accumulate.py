"""10.3 · A batch in micro-batches, with the gradient of one piece, however few targets each has."""

from functools import partial

import numpy as np

from zerotohero import IGNORED
from zerotohero.course.checks.gpt.shared import expect_slowly
from zerotohero.course.checks.gpt2._e10_3_pieces import PARAMETERS, Pieces, wrongly
from zerotohero.course.exercise import Exercise, Wrong, expect_that

accumulate = Exercise(
    number="10.3",
    title="Accumulate",
    difficulty=3,
    minutes=35,
    practises="sums that can be cut anywhere, where means can't",
    answers=("accumulate",),
    summary=(
        "Compute the gradient of a batch that doesn't fit into memory, a few rows at a time. It "
        "equals that of the whole batch, though the rows have different numbers of targets."
    ),
    statement="""
`accumulate(model: nn.Module, x: Tensor, y: Tensor, rows: int) -> float`

`x`, (B, T), holds the tokens of a batch and `y`, (B, T), their targets, from 0 on; −100 stands
where there is none. `model(x)` gives the logits, (B, T, V), of as many rows as it gets.

1. Return the mean cross-entropy over **all targets of the batch**, and leave its gradient in each
   parameter's `.grad`: both are what one pass over the whole batch would give. Places without a
   target count for nothing, and all others count the same, in whichever row they stand. The batch
   has at least one target; a row, or a micro-batch, may have none.
2. The model gets each row that has a target **once**, and at most `rows` rows at a time, in no more
   micro-batches than all B rows take. `rows` needn't divide B, and may be larger than B.
3. The backward pass of a micro-batch comes **before** the forward pass of the next, so that
   memory holds one at a time.
4. What was in `.grad` before is not in it afterwards.
5. The parameters themselves stay as they are: an optimiser would come next.

```python
model = nn.Sequential(nn.Embedding(65, 8), nn.Linear(8, 65))
x, y = torch.randint(65, (5, 7)), torch.randint(65, (5, 7))
y[0, 2:] = -100                       # the first row has two targets, the others seven
accumulate(model, x, y, rows=2)       # near log(65), after micro-batches of 2, 2 and 1 rows
```
""",
    hints=(
        "Micro-batches of 2 and of 14 targets have a mean loss each. What is the mean over all 16? "
        "`backward()` adds to `.grad`; which number must each loss be divided by, so that the sum "
        "of the gradients is right?",
        "`F.cross_entropy(…, reduction='sum')` adds up the losses of a micro-batch, over its "
        "targets; −100 is what it ignores. The number of all targets is known before the first "
        "forward pass: `(y != -100).sum()`.",
        "`for p in model.parameters(): p.grad = None`; then, `for i in range(0, len(x), rows):`, "
        "`logits = model(x[i : i + rows])` and `loss = F.cross_entropy(logits.flatten(0, 1), "
        "y[i : i + rows].flatten(), reduction='sum') / count`, `loss.backward()` at once, and add "
        "up `loss.item()`.",
    ),
)

CRASHES = {
    "element 0 of tensors does not require grad": "Nothing with a gradient is left: was the loss "
    "made under `torch.no_grad()`, or by `.item()`?",
    "out of bounds|out of range": "−100 is no class: `F.cross_entropy` leaves it out by itself, "
    "and by hand it has to be masked.",
    "input batch_size|Expected target": "Logits and targets are flattened alike: (rows · T, V) and "
    "(rows · T,).",
}


def _batch(rng, rows: int, empty: int = -1) -> dict:
    """Return a model and a batch with few targets in some rows; `empty` is a piece with none."""
    B, T, V, C = 7, *(int(n) for n in rng.permutation([4, 5, 6]))
    x = rng.integers(0, V, (B, T))
    y = rng.integers(0, V, (B, T))
    y[:, 0], y[:, 1] = 0, rng.integers(1, V, B)  # class 0 is a class, and no row lacks a target
    for i, n in enumerate(rng.permutation([2, 2, 3, 3, T, T, T])):
        y[i, n:] = IGNORED
    if empty >= 0:
        y[empty * rows : (empty + 1) * rows] = IGNORED
    model = {"wte": rng.normal(size=(V, C)), "w": rng.normal(size=(V, C)), "b": rng.normal(size=V)}
    before = {name: rng.normal(size=p.shape) for name, p in model.items()}
    return {"model": model, "x": x, "y": y, "rows": rows, "before": before}


def _about(batch: dict) -> str:
    pieces = Pieces(**batch)
    return f"{len(batch['x'])} rows, {batch['rows']} at a time, with {pieces.counts} targets"


def _numbers(batch: dict, reply: dict, hint: str | None = None) -> None:
    """Expect loss and gradients of the whole batch."""
    what, pieces = _about(batch), Pieces(**batch)
    loss = reply["loss"]
    finite = [loss] if isinstance(loss, float) else []
    finite += [g for g in reply["grads"].values() if g is not None]
    if 0 in pieces.counts and any(np.isnan(v).any() for v in finite):
        raise Wrong(f"{what}: expected numbers, got NaN", OF_NONE)
    expect_slowly(
        f"{what}: the loss", loss, pieces.loss, partial(wrongly, pieces, "loss"), tol=1e-6
    )
    for name in PARAMETERS:
        grad = reply["grads"][name]
        expect_that(
            grad is not None,
            f"{what}: a parameter's grad is None",
            NO_GRADIENT,
        )
        expect_slowly(
            f"{what}: the gradient of {name}",
            grad,
            pieces.grads[name],
            partial(wrongly, pieces, name),
            tol=1e-7,
            hint=hint,
        )


NO_GRADIENT = (
    "No gradient was left: call `backward()` for each micro-batch, and clear `.grad` before the "
    "first one only."
)
OF_NONE = (
    "A micro-batch without targets has a sum, which is 0, and no mean: 0/0 is NaN, and NaN times 0 "
    "is NaN as well."
)


def whole_batch(given: dict, got: dict) -> None:
    for batch, reply in zip(given["batches"], got["batches"], strict=True):
        _numbers(batch, reply)


def _fresh(batch: dict) -> dict:
    return batch | {"before": {}}


def _unlike(rng, rows: int) -> dict:
    """Return a batch in which no two numbers that one may divide by are the same."""
    while True:
        batch = _fresh(_batch(rng, rows))
        pieces = Pieces(**batch)
        n, B = pieces.counts, len(batch["x"])
        others = {sum(n), len(n), B, pieces.places, pieces.places // B * rows, pieces.positive}
        if len({*n, *others}) == len(n) + 6:
            return batch


def _unequal(rng) -> dict:
    return {"batches": [_unlike(rng, 3), _unlike(rng, 5)]}


accumulate.case(
    "unequal numbers of targets", points=4, adapter="accumulated", inputs=_unequal, crashes=CRASHES
)(whole_batch)


def _without(rng) -> dict:
    batches = [_fresh(_batch(rng, 2, empty=int(k))) for k in rng.permutation([0, 1, 3])]
    batches.append(_fresh(_batch(rng, 2)))
    first, second = (int(k) for k in rng.permutation(3)[:2])
    batches[-1]["y"][[2 * first, 2 * second + 1]] = IGNORED  # beside rows that have targets
    return {"batches": batches}


accumulate.case(
    "a micro-batch without targets",
    points=2,
    adapter="accumulated",
    inputs=_without,
    crashes=CRASHES,
)(whole_batch)


def _few_enough(batch: dict, reply: dict) -> None:
    most = max(map(len, reply["passes"]), default=0)
    expect_that(
        most <= batch["rows"],
        f"{_about(batch)}: the model got {most} rows at a time",
        "That many don't fit into memory: it gets `x[i : i + rows]`.",
    )


def _any_rows(rng) -> dict:
    return {"batches": [_fresh(_batch(rng, rows)) for rows in (1, 4, 7, 9)]}


@accumulate.case(
    "each row once, in micro-batches",
    points=2,
    adapter="accumulated",
    inputs=_any_rows,
    crashes=CRASHES,
)
def in_pieces(given, got):
    for batch, reply in zip(given["batches"], got["batches"], strict=True):
        what, rows, B = _about(batch), batch["rows"], len(batch["x"])
        passes, least = reply["passes"], -(-B // rows)
        _few_enough(batch, reply)
        seen = sorted(row for rows_of_pass in passes for row in rows_of_pass)
        twice = [row for row in range(B) if seen.count(row) > 1]
        missing = [row for row in range(B) if row not in seen]
        expect_that(
            not twice,
            f"{what}: row {twice[:1]} went through the model {seen.count(twice[0]) if twice else 0}"
            " times",
            "One forward pass a row is enough: loss and gradient come from the same.",
        )
        expect_that(
            not missing,
            f"{what}: row {missing[:1]} didn't go through the model",
            "The last rows are missing: where `rows` doesn't divide B, the last micro-batch is "
            "smaller."
            if 0 < len(missing) < B and missing == list(range(missing[0], B))
            else None,
        )
        expect_that(
            len(passes) == least,
            f"{what}: expected {least} forward passes, got {len(passes)}",
            "Smaller micro-batches than `rows` take longer: fill all but the last.",
        )
        _numbers(batch, reply)


def _two_rows(rng) -> dict:
    return {"batches": [_fresh(_batch(rng, 2))]}


@accumulate.case(
    "forward and backward by turns",
    points=2,
    adapter="accumulated",
    inputs=_unequal,
    crashes=CRASHES,
)
def one_at_a_time(given, got):
    for batch, reply in zip(given["batches"], got["batches"], strict=True):
        what, turns = _about(batch), "".join(reply["turns"])
        expect_that(
            "ff" not in turns,
            f"{what}: expected forward, backward, forward, backward, …, got "
            f"{turns.replace('f', 'forward, ').replace('b', 'backward, ')}and no more",
            "Each micro-batch's graph stays in memory until its backward pass: call `backward()` "
            "within the loop, and not once on the sum of the losses."
            if "b" in turns
            else NO_GRADIENT,
        )
        _few_enough(batch, reply)
        _numbers(batch, reply)


def _second(rng) -> dict:
    return {"batches": [_batch(rng, 3)]}


@accumulate.case("what was in grad before", adapter="accumulated", inputs=_second, crashes=CRASHES)
def nothing_left(given, got):
    for batch, reply in zip(given["batches"], got["batches"], strict=True):
        _numbers(batch, reply)
