"""7.6 · Top-p sampling: sorting, deciding in sorted order, and finding the way back."""

from collections.abc import Callable

import numpy as np

from zerotohero.course.checks.gpt._e7_6_nucleus import (
    TOP_P_CRASHES,
    at_another,
    keeps,
    nucleus_at,
    renormalised,
    temperatures_of,
    top_p_wrongly,
)
from zerotohero.course.checks.gpt.shared import expect_slowly, one_tensor, same_type
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

`logits` has the shape (B, V), float32. Return probabilities of the same shape and data type, one
distribution a row, in the vocabulary's order:

1. the logits are divided by `temperature` and become probabilities;
2. each row keeps its **nucleus**: the likeliest tokens, in falling order, as few as are needed for
   their probabilities to add up to at least p. The token with which the sum reaches p belongs to
   it, so at least one token is kept; of equally likely ones, no more than are needed;
3. all other tokens get 0, and what is left is divided by its sum.

p is above 0 and at most 1, and B may be 1. With p = 1, every token is kept, however unlikely.
`logits` is not changed. (Holtzman and others, 2020, *The Curious Case of Neural Text
Degeneration*.)

```python
logits = torch.tensor([[0.1, 0.5, 0.1, 0.3], [0.96, 0.01, 0.01, 0.02]]).log()
top_p(logits, 0.7)   # [[0, 0.625, 0, 0.375], [1, 0, 0, 0]]: 0.5 + 0.3 reaches 0.7, 0.96 alone too
top_p(logits, 0.97)  # [[0.1, 0.5, 0.1, 0.3], [0.9796, 0, 0, 0.0204]]
```
""",
    hints=(
        "Sort each row in falling order and add up as you go. Which tokens are kept can be seen "
        "from the sum *before* a token. `torch.sort` also returns where each stood before.",
        "`sorted_probs, order = probs.sort(dim=-1, descending=True)`. A token is kept if the sum "
        "of those in front of it, `sorted_probs.cumsum(-1) - sorted_probs`, is below p. The answer "
        "is in sorted order; `scatter` with `order` puts it back.",
        "`kept = torch.where(before < p, sorted_probs, 0.0)`; `probs = "
        "torch.zeros_like(probs).scatter(-1, order, kept)`; divide by `probs.sum(-1, "
        "keepdim=True)`. And for `p >= 1` return the probabilities before all this, since a "
        "rounded sum may reach 1 too early.",
    ),
)


def _telling_rows(rng: np.random.Generator, temperature: float = 1.0) -> dict:
    """Return rows of different certainty, in which every known mistake has a result of its own."""
    p, B, V = float(rng.choice([0.7, 0.75, 0.8])), 5, int(rng.integers(9, 13))
    spread = temperature * np.linspace(0.5, 2.5, B)[:, None]  # from an unsure row to a sure one
    while True:
        logits = rng.permutation(spread) * rng.normal(size=(B, V)) + rng.normal(size=(B, 1))
        logits = logits.astype(np.float32).astype(np.float64)
        probs = softmax(logits / temperature)
        sums = np.sort(probs)[:, ::-1].cumsum(1)
        sizes = keeps(probs, p).sum(1)
        # No sum so close to p that rounding decides; a nucleus of several tokens, not of all.
        if np.abs(sums - p).min() < 0.01 or sizes.min() < 2 or sizes.max() > V - 2:
            continue
        if len({round(p * V), sizes.max(), sizes[0]}) < 3:  # each of which is taken for all rows
            continue
        given = {"logits": logits, "p": p, "temperature": temperature}
        hints: dict[bytes, str] = {}
        for mistake in top_p_wrongly(**given):
            result = np.round(mistake.value, 9).tobytes()
            if hints.setdefault(result, mistake.hint) != mistake.hint:
                break
        else:
            return given | {"logits": logits.astype(np.float32)}


def _expect_nucleus(given: dict, got: dict, mistakes: Callable, hint: str) -> None:
    logits = given["logits"].astype(np.float64)
    p, temperature = given["p"], given["temperature"]
    warmth = f", temperature={temperature:g}" if temperature != 1 else ""
    what = f"top_p(logits, {p:g}{warmth})"
    mine = got["probs"]
    one_tensor(what, mine)
    if np.shape(mine) != logits.shape:
        hint = "Return a probability for every token of every row, (B, V), and draw none."
    expect_slowly(what, mine, nucleus_at(logits, p, temperature), mistakes, hint=hint)
    same_type(what, mine, "float32")
    overwritten = "You overwrite the caller's logits: `logits /= …` and `logits[…] = …` change "
    overwritten += "them in place. Make new tensors."
    expect("logits after the call", got["logits"], logits, hint=overwritten)


def nucleus_kept(given: dict, got: dict) -> None:
    hint = (
        "Print `probs.sort(dim=-1, descending=True)` for a row, its sums from the left, and what "
        "your code keeps of it: as few tokens as add up to p."
    )
    if given["temperature"] != 1:
        hint = (
            "If the case above passes, it is the temperature: the logits are divided by it as it "
            "is, however small or large."
        )

    logits, p, temperature = (given[key] for key in ("logits", "p", "temperature"))

    def mistakes() -> list[Mistake]:
        return top_p_wrongly(logits.astype(np.float64), p, temperature) + [
            Mistake(nucleus_at(logits, p, other), at_another(other, temperature))
            for other in temperatures_of(logits, got["probs"])
        ]

    _expect_nucleus(given, got, mistakes, hint)


nucleus.case(
    "rows of different certainty",
    points=2,
    adapter="nucleus",
    inputs=lambda rng: _telling_rows(rng),
    crashes=TOP_P_CRASHES,
)(nucleus_kept)


nucleus.case(
    "with a temperature above 1",
    adapter="nucleus",
    inputs=lambda rng: _telling_rows(rng, float(rng.choice([2.7, 3.4]))),
    crashes=TOP_P_CRASHES,
)(nucleus_kept)


nucleus.case(
    "with a temperature below 1",
    adapter="nucleus",
    inputs=lambda rng: _telling_rows(rng, float(rng.choice([0.6, 0.7]))),
    crashes=TOP_P_CRASHES,
)(nucleus_kept)


def _sure(rng: np.random.Generator) -> dict:
    logits = 1 + rng.normal(size=(3, 10))
    logits[np.arange(3), rng.permutation(10)[:3]] = logits.max(1) + 5
    p = float(rng.choice([0.3, 0.5]))
    return {"logits": logits.astype(np.float32), "p": p, "temperature": 1.0}


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
    """Return logits of which exp overflows, and whose sum reaches 1 too early, in float64 too.

    In the first row that is certain, because four times a quarter is 1 to the bit.
    """
    logits = np.sort(rng.uniform(-69, -46, size=(2, 40)), 1)  # 1e-30 to 1e-20
    logits[0, rng.permutation(40)[:4]] = 0
    logits[1, rng.permutation(40)[:5]] = rng.uniform(0, 1, 5)
    logits += 100
    return {"logits": (0.05 * logits).astype(np.float32), "p": 1.0, "temperature": 0.05}


@nucleus.case("p = 1", adapter="nucleus", inputs=_long_tail, crashes=TOP_P_CRASHES)
def everything_kept_for_p_of_1(given, got):
    logits = given["logits"].astype(np.float64)
    want = softmax(logits / given["temperature"])
    what = f"top_p(logits, 1.0, {given['temperature']})"
    one_tensor(what, got["probs"])
    if np.shape(got["probs"]) == want.shape and np.isnan(got["probs"]).any():
        raise Wrong(
            f"{what}, where logits divided by it are about 100: expected probabilities, got NaN",
            "exp of a large logit is infinite, and a quotient of two of these is NaN: `softmax` "
            "takes care of that, or subtract the largest logit of each row before `exp`.",
        )
    probs = array(what, got["probs"], want.shape)
    lost = int((probs == 0).sum())
    expect_that(
        lost == 0,
        f"{what}: expected all {probs.size} tokens, got zeros for {lost}",
        "Unlikely tokens are lost. If the cases above pass, it is rounding: the sum reaches 1 "
        "before the last tokens come, in float64 too. For p ≥ 1 there is nothing to filter.",
    )
    logits_back = Mistake(logits, "These are the logits: p = 1 asks for probabilities, too.")
    cold = Mistake(
        softmax(logits), "With p = 1, too, the logits are divided by the temperature first."
    )
    hint = "With p = 1, too, the temperature is used as it is, and nothing is filtered."
    expect(what, probs, want, mistakes=[logits_back, cold], hint=hint)
    same_type(what, got["probs"], "float32")


ALL_TIES = (
    "Your code keeps all of several equally likely tokens, or none, and some of them are enough. A "
    "threshold for the probability can't tell them apart: decide by the place in sorted order."
)
BEYOND = "Where the sum is p exactly, it has reached p, and the nucleus is complete."
EVERYTHING = (
    "For a p below 1, too, there is a nucleus: with 0.97 as with 0.7, tokens that aren't "
    "needed to reach it are dropped."
)
NO_ROW = "The axis of the batch is gone: one row comes back as (1, V)."
NEAR = 3e-5  # float32 rounds sums by less than a hundredth of it
SHORT = (
    f"A sum that falls short of p, by {NEAR:.0e} even, has not reached it: compare with p itself, "
    "not with a little less."
)
OVER = (
    f"A sum that exceeds p, by {NEAR:.0e} even, has reached it: compare with p itself, not with a "
    "little more."
)


def _ties(rng: np.random.Generator) -> dict:
    """Return rows in which several tokens are equally likely, or a sum lies close to p.

    1/V and its sums are exact.
    """
    V = int(rng.choice([128, 256]))  # so that of the first 50 none sees the half
    flat = np.full((3, V), float(rng.integers(-3, 4)))
    levels = np.repeat([2.0, 1.0, 0.0], [2, 4, 5])
    steps = np.stack([rng.permutation(levels) for _ in range(5)])
    sums = np.sort(softmax(steps)[0])[::-1].cumsum()
    uneven = rng.permutation(np.log(np.arange(3.0, 12.0)))
    near = np.stack([rng.permutation(uneven) for _ in range(2)])
    reached = np.sort(softmax(uneven[None])[0])[::-1].cumsum()[:7].tolist()
    sure = np.log([[0.6, 0.3, 0.09, 0.004, 0.003, 0.003]])  # one row
    surer = np.log([[0.7, 0.2, 0.099995, 3e-6, 1e-6, 1e-6]])
    questions = [
        [flat, 0.5],  # V/2 tokens reach p, to the bit
        [flat, 1 / V],
        [flat, 0.75 + 0.5 / V],
        [steps, float(sums[3] + sums[4]) / 2],  # some of the four in the middle
        [rng.normal(size=(2, 1)), 0.4],
        *([near, p + step] for p in reached for step in (NEAR, -NEAR)),
        *([rng.permutation(sure, 1), p] for p in (0.97, 0.992)),
        *([rng.permutation(surer, 1), p] for p in (0.9999, 0.99999)),
    ]
    return {"questions": [[logits.astype(np.float32), p] for logits, p in questions]}


@nucleus.case(
    "equally likely tokens, p close to a sum or to 1, one row and one token",
    adapter="nuclei",
    inputs=_ties,
    crashes=TOP_P_CRASHES,
)
def no_more_than_are_needed(given, got):
    kept, wanted, hints = [], [], {}
    for (logits, p), mine in zip(given["questions"], got["probs"], strict=True):
        probs, what = (
            softmax(logits.astype(np.float64)),
            f"top_p(logits, {p:.8g}) for V = {logits.shape[1]}",
        )
        one_tensor(what, mine)
        if len(probs) == 1 and np.shape(mine) == probs.shape[1:]:
            raise Wrong(f"{what}: expected shape {probs.shape}, got {np.shape(mine)}", NO_ROW)
        mine = array(what, mine, probs.shape)
        kept.append((mine > 0).sum(1).tolist())
        keep = keeps(probs, p)
        wanted.append(keep.sum(1).tolist())
        ranked = np.sort(probs)[:, ::-1]
        before = ranked.cumsum(1) - ranked
        last = np.take_along_axis(ranked, keep.sum(1, keepdims=True) - 1, 1)
        ways = (
            (ALL_TIES, keep | np.isclose(probs, last)),
            (BEYOND, before <= p),
            *((EVERYTHING, keep | (p > most)) for most in (0.95, 0.98, 0.995, 0.99995)),
            (SHORT, before < p - 10 * NEAR),
            (OVER, before < p + 10 * NEAR),
        )
        for i, (hint, also) in enumerate(ways):
            hints.setdefault((hint, i), []).append(also.sum(1).tolist())
        if kept[-1] == wanted[-1]:  # which of equal ones are kept is free
            expect(f"{what}, sorted", np.sort(mine), np.sort(renormalised(probs * keep)))
            least = np.where(mine > 0, probs, np.inf).min(1)
            expect_that(
                (np.where(mine > 0, 0, probs).max(1) <= least + 1e-9).all(),
                f"{what}: expected the likeliest tokens, got others",
            )
    most = max(n for counts in kept for n in counts)
    capped = f"No row keeps more than {most} tokens here, as if top-k came first: as many are kept "
    capped += "as are needed to reach p."
    hints[capped, -1] = [[min(n, most) for n in counts] for counts in wanted]
    for (logits, p), mine, right in zip(given["questions"], kept, wanted, strict=True):
        expect_that(
            mine == right,
            f"top_p(logits, {p:.8g}) for V = {logits.shape[1]}: expected {right} tokens that are "
            f"kept of the rows, got {mine}",
            next((hint for (hint, _), counts in hints.items() if counts == kept), None),
        )
