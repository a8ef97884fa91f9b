"""7.6 · Top-p sampling: sorting, deciding in sorted order, and finding the way back."""

from collections.abc import Callable

import numpy as np

from zerotohero.course.checks.gpt.shared import expect_slowly, one_tensor
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    Wrong,
    array,
    expect,
    expect_that,
)

nucleus = Exercise(
    number="7.6",
    title="Top-p sampling",
    difficulty=3,
    minutes=30,
    practises="sorting, deciding in sorted order, and finding the way back",
    answers=("top_p",),
    summary=(
        "Top-k keeps as many tokens when the model is sure as when it is not. Write the filter "
        "that keeps the likeliest tokens until together they have the probability p."
    ),
    statement="""
`top_p(logits: Tensor, p: float, temperature: float = 1.0) -> Tensor`

`logits` has the shape (B, V). Return probabilities of the same shape, one distribution a row, in
the vocabulary's order:

1. the logits are divided by `temperature` and become probabilities;
2. each row keeps its **nucleus**: the likeliest tokens, in falling order, as few as are needed for
   their probabilities to add up to at least p. The token with which the sum reaches p belongs to
   it, so at least one token is kept; of equally likely ones, no more than are needed;
3. all other tokens get 0, and what is left is divided by its sum.

p is above 0 and at most 1. With p = 1 every token is kept, however unlikely. `logits` is not
changed. (Holtzman and others, 2020, *The Curious Case of Neural Text Degeneration*.)

```python
logits = torch.tensor([[0.1, 0.5, 0.1, 0.3], [0.96, 0.01, 0.01, 0.02]]).log()
top_p(logits, 0.7)   # [[0, 0.625, 0, 0.375], [1, 0, 0, 0]]: 0.5 + 0.3 reaches 0.7, 0.96 alone too
top_p(logits, 0.97)  # [[0.1, 0.5, 0.1, 0.3], [0.9796, 0, 0, 0.0204]]
```
""",
    hints=(
        "Sort each row in falling order and add up as you go. Which tokens are kept can be seen "
        "from the sum *before* a token; where it stood before sorting, `torch.sort` returns too.",
        "`sorted_probs, order = probs.sort(dim=-1, descending=True)`. A token is kept if the sum "
        "of those in front of it, `sorted_probs.cumsum(-1) - sorted_probs`, is below p. The answer "
        "is in sorted order; `scatter` with `order` puts it back.",
        "`kept = torch.where(before < p, sorted_probs, 0.0)`; `probs = "
        "torch.zeros_like(probs).scatter(-1, order, kept)`; divide by `probs.sum(-1, "
        "keepdim=True)`. And for `p >= 1` return the probabilities before all this, since a "
        "rounded sum may reach 1 too early.",
    ),
)


def _nucleus(probs: np.ndarray, p: float, shift: int = 0, rising: bool = False) -> np.ndarray:
    """Return which tokens are kept: `shift` more or fewer than right, or from the unlikely end."""
    order = np.argsort(probs if rising else -probs, 1, kind="stable")
    ranked = np.take_along_axis(probs, order, 1)
    count = (ranked.cumsum(1) - ranked < p).sum(1, keepdims=True) + shift
    keep = np.zeros(probs.shape, bool)
    np.put_along_axis(keep, order, np.arange(probs.shape[1]) < count, 1)
    return keep


def _likeliest(probs: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(np.argsort(-probs, 1, kind="stable"), 1) < count


def _renormalised(weights: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return weights / weights.sum(1, keepdims=True)


def _kept_wrongly(logits: np.ndarray, probs: np.ndarray, p: float) -> list[tuple]:
    """Return wrong choices of tokens, each with its hint."""
    V, keep, fewer = probs.shape[1], _nucleus(probs, p), _nucleus(probs, p, -1)
    order = np.argsort(-probs, 1, kind="stable")
    top, sizes = probs.max(1, keepdims=True), keep.sum(1)

    def falling(x: np.ndarray) -> np.ndarray:
        return np.take_along_axis(x, order, 1)

    def put_back(in_order: np.ndarray) -> np.ndarray:
        x = np.empty_like(in_order)
        np.put_along_axis(x, order, in_order, 1)
        return x

    def before(x: np.ndarray, axis: int = 1) -> np.ndarray:
        return x.cumsum(axis) - x

    crossing = (
        "The token with which the sum reaches p is dropped: it belongs to the nucleus. Ask for the "
        "sum of the tokens before it: is that still below p?"
    )
    back = (
        "The decision was made in sorted order and used in the vocabulary's: other tokens are kept "
        "than those you meant. Put it back with the indices that `sort` returned, by `scatter`."
    )
    unsorted = (
        "The probabilities are added up in the vocabulary's order: sort each row first, the "
        "likeliest in front."
    )
    rising = (
        "Sorted in rising order, the sum begins with the unlikeliest tokens: `descending=True`. "
        "(Or drop, from that end, what adds up to no more than 1 − p.)"
    )
    along = (
        "Each row is a distribution of its own: sort, add up and divide along the last axis, V, "
        "not along the batch."
    )
    flat = probs.reshape(1, -1) / len(probs)
    down = np.argsort(-probs, 0, kind="stable")
    by_column = np.zeros_like(keep)
    np.put_along_axis(by_column, down, before(np.take_along_axis(probs, down, 0), 0) < p, 0)
    wrong = [
        (fewer, crossing),
        (falling(keep), back),
        (falling(fewer), back),
        (before(probs) < p, unsorted),
        (probs.cumsum(1) <= p, unsorted),
        (put_back(before(probs) < p), unsorted),
        (_nucleus(probs, p, 0, rising=True), rising),
        (_nucleus(probs, p, -1, rising=True), rising),
        (~_nucleus(probs, p, 0, rising=True), rising),
        (~_nucleus(probs, p, -1, rising=True), rising),
        (
            _nucleus(probs, p, 1),
            "One token too many is kept: as soon as the sum reaches p, the nucleus is complete.",
        ),
        (
            ~keep,
            "The nucleus is dropped, and the rest of the row is kept: it is the other way round.",
        ),
        (
            probs >= p,
            "You keep tokens whose own probability is at least p: it is the sum of the likeliest "
            "that has to reach p.",
        ),
        (
            probs >= 1 - p,
            "You keep tokens whose own probability is at least 1 − p: it is the sum of the "
            "likeliest that has to reach p.",
        ),
        (
            probs >= p * top,
            "You compare each token with p times the likeliest (that is min-p): here the sum of "
            "the likeliest has to reach p.",
        ),
        (
            put_back(before(falling(logits)) < p),
            "You add up logits. Only probabilities add up to 1: softmax comes before the sum.",
        ),
        (by_column, along),
        (put_back(before(falling(probs), 0) < p), along),
        (
            _nucleus(flat, p).reshape(probs.shape),
            "One nucleus is taken of the whole batch: each row is a distribution of its own, and "
            "keeps its own.",
        ),
    ]
    reasons = {
        max(1, round(p * V)): ", which is p · V",
        int(sizes.max()): ", as many as the row that needs most",
        int(sizes[0]): ", as many as the first row needs",
    }
    for k in range(1, V):
        same = f"Each row keeps the same number of tokens, {k}{reasons.get(k, '')}: how many are "
        same += "needed differs from row to row."
        wrong.append((_likeliest(probs, k), same))
    return wrong


def _top_p_wrongly(logits: np.ndarray, p: float, temperature: float) -> list[Mistake]:
    plain, probs = softmax(logits), softmax(logits / temperature)
    keep = _nucleus(probs, p)
    right = _renormalised(probs * keep)
    order = np.argsort(-probs, 1, kind="stable")
    in_order = np.take_along_axis(right, order, 1)
    hot, divided = softmax(logits * temperature), softmax(plain / temperature)
    twice = softmax(logits / temperature**2)
    batch = softmax(logits / temperature, 0)
    sorted_still = (
        "The result is in sorted order, the likeliest first: column i has to be token i again. "
        "`scatter` with the indices of `sort`."
    )
    not_rows = "Each row is a distribution of its own: softmax and sums go along the last axis, V."
    filtered = "These are filtered logits: return probabilities."
    zeroed = (
        "The logits of the dropped tokens are set to 0, and softmax gives them exp(0): hide them "
        "with −∞, or set probabilities to 0 and divide by the sum."
    )
    again = "softmax is taken a second time, of probabilities: divide by the sum instead."
    with np.errstate(divide="ignore"):
        wrong = [
            (probs * keep, "What is left doesn't add up to 1: divide each row by its sum."),
            (
                probs,
                "Nothing is filtered: these are the probabilities of all tokens. (If you shift a "
                "mask by one, `m[:, 1:] = m[:, :-1]`, the right side needs `.clone()`: it is "
                "overwritten while it is read.)",
            ),
            (in_order, sorted_still),
            (in_order * _renormalised(probs * keep).max(), sorted_still),
            (
                np.take_along_axis(in_order, order, 1),
                "`gather` with the indices of `sort` isn't the way back, it sorts once more: use "
                "`scatter`, or gather with `order.argsort(-1)`.",
            ),
            (_renormalised(batch * _nucleus(batch, p)), not_rows),
            (_renormalised((probs * keep).T).T, not_rows),
            *(
                (
                    v,
                    "The whole batch adds up to 1: divide each row by its own sum, `sum(-1, "
                    "keepdim=True)`.",
                )
                for v in (right / len(right), probs * keep / probs[keep].sum())
            ),
            (np.log(right), "These are logarithms: return the probabilities."),
            (np.where(keep, logits, -np.inf), filtered),
            (np.where(keep, logits / temperature, -np.inf), filtered),
            (softmax(np.where(keep, logits / temperature, 0.0)), zeroed),
            (softmax(probs * keep), again),
            (softmax(np.where(keep, probs, -np.inf)), again),
        ]
    if temperature != 1:
        wrong += [
            (
                _renormalised(probs * _nucleus(plain, p)),
                "The temperature comes after the filter: the nucleus is of the probabilities at "
                "this temperature, so divide the logits first.",
            ),
            (_renormalised(plain * _nucleus(plain, p)), "The temperature isn't used."),
            (
                _renormalised(plain * keep),
                "The temperature decides which tokens are kept, but their probabilities are those "
                "without it.",
            ),
            (_renormalised(twice * _nucleus(twice, p)), "The temperature is used twice."),
            (
                _renormalised(hot * _nucleus(hot, p)),
                "The logits are multiplied by the temperature: divide by it, so that a high one "
                "makes rows flatter.",
            ),
            *(
                (
                    _renormalised(v),
                    "The temperature divides probabilities: it belongs to the logits, before "
                    "softmax.",
                )
                for v in (divided * _nucleus(divided, p), plain * _nucleus(plain, p * temperature))
            ),
        ]
    flat = (probs / len(probs)).reshape(1, -1)
    whole = _renormalised(flat * _nucleus(flat, p)).reshape(probs.shape)
    wrong.append((whole, "The whole batch is treated as one distribution: each row is one."))
    for kept, hint in _kept_wrongly(logits / temperature, probs, p):
        values = _renormalised(probs * kept)
        # Renormalised or not, and with zeros or NaN where nothing is left.
        wrong += [(v, hint) for v in (values, np.nan_to_num(values), probs * kept)]
    return [Mistake(value, hint) for value, hint in wrong]


TOP_P_CRASHES = {
    "must match the size|is broadcastable|expanded size": "The sum of each row needs an axis to be "
    "divided by: `keepdim=True` leaves (B, 1).",
    "requires.*int64|Expected dtype int64|indices must be long": "`scatter` and indexing need the "
    "*indices* that `sort` returns second.",
    "single memory location": "A slice is copied onto a part of itself: the right side needs "
    "`.clone()`.",
    "out of bounds|out of range": "An index beyond the row: if all tokens are kept, is there one "
    "with which the sum reaches p?",
}


def _telling_rows(rng: np.random.Generator, temperature: float = 1.0) -> dict:
    """Return rows of different certainty, in which every known mistake has a result of its own."""
    p, B, V = float(rng.choice([0.7, 0.75, 0.8])), 5, int(rng.integers(9, 13))
    spread = temperature * np.linspace(0.5, 2.5, B)[:, None]  # from an unsure row to a sure one
    while True:
        logits = rng.permutation(spread) * rng.normal(size=(B, V)) + rng.normal(size=(B, 1))
        probs = softmax(logits / temperature)
        sums = np.sort(probs)[:, ::-1].cumsum(1)
        sizes = _nucleus(probs, p).sum(1)
        # No sum so close to p that rounding decides; a nucleus of several tokens, not of all.
        if np.abs(sums - p).min() < 0.01 or sizes.min() < 2 or sizes.max() > V - 2:
            continue
        given = {"logits": logits, "p": p, "temperature": temperature}
        hints: dict[bytes, str] = {}
        for mistake in _top_p_wrongly(**given):
            result = np.round(mistake.value, 9).tobytes()
            if hints.setdefault(result, mistake.hint) != mistake.hint:
                break
        else:
            return given


def _expect_nucleus(given: dict, got: dict, mistakes: Callable, hint: str) -> None:
    logits, p, temperature = given["logits"], given["p"], given["temperature"]
    probs = softmax(logits / temperature)
    warmth = f", temperature={temperature:g}" if temperature != 1 else ""
    what = f"top_p(logits, {p:g}{warmth})"
    mine = got["probs"]
    one_tensor(what, mine)
    if np.shape(mine) != probs.shape:
        hint = "Return a probability for every token of every row, (B, V), and draw none."
    expect_slowly(what, mine, _renormalised(probs * _nucleus(probs, p)), mistakes, hint=hint)
    overwritten = "You overwrite the caller's logits: `logits /= …` and `logits[…] = …` change "
    overwritten += "them in place. Make new tensors."
    expect("logits after the call", got["logits"], logits, hint=overwritten)


def nucleus_kept(given: dict, got: dict) -> None:
    _expect_nucleus(
        given,
        got,
        lambda: _top_p_wrongly(given["logits"], given["p"], given["temperature"]),
        "Print `probs.sort(dim=-1, descending=True)` for a row, its sums from the left, and what "
        "your code keeps of it: as few tokens as add up to p.",
    )


nucleus.case(
    "rows of different certainty",
    points=2,
    adapter="nucleus",
    inputs=lambda rng: _telling_rows(rng),
    crashes=TOP_P_CRASHES,
)(nucleus_kept)


nucleus.case(
    "with a temperature",
    points=2,
    adapter="nucleus",
    inputs=lambda rng: _telling_rows(rng, float(rng.choice([0.5, 1.75]))),
    crashes=TOP_P_CRASHES,
)(nucleus_kept)


def _sure(rng: np.random.Generator) -> dict:
    logits = 1 + rng.normal(size=(3, 10))
    logits[np.arange(3), rng.permutation(10)[:3]] += 6
    return {"logits": logits, "p": float(rng.choice([0.3, 0.5])), "temperature": 1.0}


@nucleus.case(
    "one token alone is likelier than p",
    adapter="nucleus",
    inputs=_sure,
    crashes=TOP_P_CRASHES,
)
def one_token_likelier_than_p(given, got):
    kept_none = (
        "Nothing is left, hence the zeros or NaN: the first token takes the sum past p at once, "
        "and is part of the nucleus. Ask for the sum *before* a token, which is 0 for the first."
    )
    shape = given["logits"].shape
    nothing = [Mistake(np.full(shape, v), kept_none) for v in (0.0, np.nan, 1 / shape[1])]
    more = "The likeliest token alone reaches p here, and is all that is kept: if the cases above "
    more += "pass, look at what your code does with the first of a row."
    _expect_nucleus(given, got, lambda: nothing, more)


def _long_tail(rng: np.random.Generator) -> dict:
    """Return logits of which exp overflows, and whose sum in float32 reaches 1 too early.

    In the first row that is certain, because four times a quarter is 1 to the bit.
    """
    logits = np.sort(rng.uniform(-34, -28, size=(2, 40)), 1)
    logits[0, rng.permutation(40)[:4]] = 0
    logits[1, rng.permutation(40)[:5]] = rng.uniform(0, 1, 5)
    logits += 100
    return {"logits": (1.25 * logits).astype(np.float32), "p": 1.0, "temperature": 1.25}


@nucleus.case("p = 1", adapter="nucleus", inputs=_long_tail, crashes=TOP_P_CRASHES)
def everything_kept_for_p_of_1(given, got):
    logits = given["logits"].astype(np.float64)
    want = softmax(logits / given["temperature"])
    what = f"top_p(logits, 1.0, {given['temperature']})"
    one_tensor(what, got["probs"])
    if np.shape(got["probs"]) == want.shape and np.isnan(got["probs"]).any():
        raise Wrong(
            f"{what}, with logits of about 125: expected probabilities, got NaN",
            "exp of a large logit is infinite, and a quotient of two of these is NaN: `softmax` "
            "takes care of that, or subtract the largest logit of each row before `exp`.",
        )
    probs = array(what, got["probs"], want.shape)
    lost = int((probs == 0).sum())
    expect_that(
        lost == 0,
        f"{what}: expected all {probs.size} tokens, got zeros for {lost}",
        "Unlikely tokens are lost. If the cases above pass, it is rounding: in float32 the sum "
        "reaches 1 before the last tokens come. For p ≥ 1 there is nothing to filter.",
    )
    logits_back = Mistake(logits, "These are the logits: p = 1 asks for probabilities, too.")
    cold = Mistake(
        softmax(logits), "With p = 1, too, the logits are divided by the temperature first."
    )
    expect(what, probs, want, mistakes=[logits_back, cold])


ALL_TIES = (
    "Of equally likely tokens, all or none are kept. A threshold for the probability can't tell "
    "them apart: decide by the place in sorted order."
)
BEYOND = "Where the sum is p exactly, it has reached p, and the nucleus is complete."


def _ties(rng: np.random.Generator) -> dict:
    """Return rows in which several tokens are equally likely; 1/V and its sums are exact."""
    V = int(rng.choice([8, 16]))
    flat = np.full((3, V), float(rng.integers(-3, 4)))
    levels = np.repeat([2.0, 1.0, 0.0], [2, 4, 5])
    steps = np.stack([rng.permutation(levels) for _ in range(5)])
    sums = np.sort(softmax(steps)[0])[::-1].cumsum()
    return {
        "questions": [
            [flat, 0.5],  # V/2 tokens reach p, to the bit
            [flat, 1 / V],
            [flat, 0.75 + 0.5 / V],
            [steps, float(sums[3] + sums[4]) / 2],  # some of the four in the middle
            [rng.normal(size=(2, 1)), 0.4],
        ]
    }


@nucleus.case(
    "equally likely tokens, and a vocabulary of one",
    adapter="nuclei",
    inputs=_ties,
    crashes=TOP_P_CRASHES,
)
def no_more_than_are_needed(given, got):
    kept, wanted, hints = [], [], {}
    for (logits, p), mine in zip(given["questions"], got["probs"], strict=True):
        probs, what = softmax(logits), f"top_p(logits, {p:g}) for V = {logits.shape[1]}"
        one_tensor(what, mine)
        mine = array(what, mine, probs.shape)
        kept.append((mine > 0).sum(1).tolist())
        keep = _nucleus(probs, p)
        wanted.append(keep.sum(1).tolist())
        ranked = np.sort(probs)[:, ::-1]
        last = np.take_along_axis(ranked, keep.sum(1, keepdims=True) - 1, 1)
        for hint, also in (
            (ALL_TIES, keep | np.isclose(probs, last)),
            (BEYOND, ranked.cumsum(1) - ranked <= p),
        ):
            hints.setdefault(hint, []).append(also.sum(1).tolist())
        if kept[-1] == wanted[-1]:  # which of equal ones are kept is free
            expect(f"{what}, sorted", np.sort(mine), np.sort(_renormalised(probs * keep)))
            least = np.where(mine > 0, probs, np.inf).min(1)
            expect_that(
                (np.where(mine > 0, 0, probs).max(1) <= least + 1e-9).all(),
                f"{what}: expected the likeliest tokens, got others",
            )
    for (logits, p), mine, right in zip(given["questions"], kept, wanted, strict=True):
        expect_that(
            mine == right,
            f"top_p(logits, {p:g}), with equally likely tokens among V = {logits.shape[1]}: "
            f"expected {right} tokens that are kept of the rows, got {mine}",
            next((hint for hint, counts in hints.items() if counts == kept), None),
        )
