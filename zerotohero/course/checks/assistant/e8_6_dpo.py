"""8.6 · DPO: log-probabilities of whole answers, and a loss that compares them."""

from functools import partial

import numpy as np

from zerotohero.course.checks.assistant._e8_6_dpo import (
    each_logprob,
    its_gradient,
    logprob,
    margin_of_each,
    some_model,
    some_rows,
    the_loss,
    wrong_logprobs,
    wrong_losses,
)
from zerotohero.course.checks.gpt.shared import expect_slowly, one_tensor
from zerotohero.course.exercise import Exercise, expect, expect_that

dpo = Exercise(
    number="8.6",
    title="DPO",
    difficulty=3,
    minutes=35,
    practises="the probability of an answer, and a loss that compares two models' opinions of it",
    answers=("answer_logprobs", "dpo_loss"),
    adapters="assistant_models",
    summary=(
        "Preferences can train a model without a reward model between them. Write the loss of "
        "direct preference optimisation, from the log-probabilities of whole answers."
    ),
    statement=r"""
`answer_logprobs(model: Callable, tokens: Tensor, mask: Tensor) -> Tensor`

`tokens`, (N, T) int64, are conversations, filled up on the right; `mask`, (N, T) bool, is True
where a token belongs to an answer of the assistant. That may be several stretches of a row, with
questions between them; it is never the row's first token. `model(tokens)` returns logits,
(N, T, V) in float64: those at position t say what comes **behind** token t. Return, (N,), for each
row the **sum**, over the answers' tokens alone, of the natural logarithm of each one's
probability. Logits may lie in the hundreds, and the data type stays.

`dpo_loss(policy: Callable, reference: Callable, chosen: tuple, rejected: tuple, beta: float)`
`-> Tensor`

`chosen` and `rejected` are each a pair (tokens, mask) as above, of N rows; the two may differ in T.
Row i of one was preferred to row i of the other. With $\pi$ for the policy's log-probability of a
row's answers, $\rho$ for the reference's, c for chosen and r for rejected, return the **mean** over
the N pairs of

$$-\log\sigma\big(\beta\,[(\pi_c - \rho_c) - (\pi_r - \rho_r)]\big)$$

as a tensor of no dimensions. Its `backward()` gives the policy a gradient, and the reference none.
What stands in σ may lie in the thousands, of either sign; the loss then is finite, too. All is
right to 1 in 1,000,000.

```python
answer_logprobs(model, torch.tensor([[5, 3, 2, 0]]), torch.tensor([[False, False, True, False]]))
# of 2, behind 5 3
dpo_loss(policy, policy, chosen, rejected, 0.1)    # log 2 = 0.6931…: no margin yet
```
""",
    hints=(
        "Which position's logits judge token t? The mask is about tokens, so it moves along with "
        "them.",
        "`log_softmax` along the last axis, and `gather` for the tokens that came: positions 0 to "
        "T − 2 against tokens 1 to T − 1, times `mask[:, 1:]`. For the loss, torch has a function "
        "that computes log σ and never the logarithm of 0; `torch.no_grad()` asks the reference.",
        "`logp = model(tokens)[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]` "
        "and `(logp * mask[:, 1:]).sum(1)`. Then `margin = (pc - rc) - (pr - rr)`, and `return "
        "-F.logsigmoid(beta * margin).mean()`.",
    ),
)
ROUNDED = "Right to some digits only: stay in float64, as the logits are."
UNDERFLOW = "Some probability has become 0: `log_softmax` never leaves the logarithms."
INFINITE = "σ has become 0, or e to the margin infinite: `F.logsigmoid` goes through neither."
ASKED = {
    "the model takes a tensor": "Give the model `tokens` as they are, (N, T).",
    "Index tensor must have the same number of dimensions": "`gather` needs an index with as many "
    "axes as the logits: `tokens[:, 1:, None]`, and `[..., 0]` afterwards.",
    "must match the size of tensor|Size does not match": "Logits, tokens and mask have to be cut "
    "alike: `[:, :-1]` of the logits goes with `[:, 1:]` of tokens and mask.",
}


def _hint(got, want, infinite: str) -> str | None:
    """Return the hint for a value that is infinite, or that float32 explains."""
    if got is None:
        return None
    got, want = np.asarray(got, float), np.asarray(want, float)
    if not np.isfinite(got).all():
        return infinite
    near = got.shape == want.shape and np.allclose(got, want, rtol=1e-4, atol=1e-4)
    return ROUNDED if near and np.array_equal(got, got.astype(np.float32)) else None


def _expect_float64(what: str, got) -> None:
    kind = np.asarray(got).dtype
    expect_that(kind == np.float64, f"{what}: expected float64, got {kind}", ROUNDED)


def answers_summed(given, got):
    tokens, mask, its = given["tokens"], given["mask"], got["logp"]
    one_tensor("answer_logprobs", its)
    want = logprob(given["model"], tokens, mask)
    expect_slowly(
        "answer_logprobs",
        its,
        want,
        lambda: wrong_logprobs(given["model"], tokens, mask),
        hint=_hint(its, want, UNDERFLOW),
    )
    _expect_float64("answer_logprobs", its)


ROWS = [[3, 6], [1, 2, 4, 9], [5, 8], [2, 5]]  # where answers begin and end, of 9 tokens


def _answers(rng: np.random.Generator, sure: float) -> dict:
    """Return a model and rows; if it is very sure, then so that a probability is 0 in float64."""
    while True:
        given = {"model": some_model(rng, sure), **some_rows(rng, 9, ROWS)}
        least = (each_logprob(given["model"], given["tokens"]) * given["mask"][:, 1:]).min()
        if sure == 1 or least < -760:
            return given


for name, sure in (("the answers' tokens alone, summed", 1.0), ("a model that is very sure", 150)):
    dpo.case(
        name,
        points=3 if sure == 1 else 1,
        adapter="logprobs",
        inputs=partial(_answers, sure=sure),
        crashes=ASKED,
    )(answers_summed)


def _some_pairs(rng: np.random.Generator, sure: float = 1.0) -> dict:
    """Return pairs of which the policy prefers some answers that were chosen, and not all."""
    while True:
        given = {
            "policy": some_model(rng, sure),
            "reference": some_model(rng),
            "chosen": some_rows(rng, 9, ROWS[:3]),
            "rejected": some_rows(rng, 7, [[2, 6], [1, 3, 4, 5], [3, 7]]),
            "beta": float(rng.uniform(0.2, 0.5)),
        }
        margin = margin_of_each(given)
        if margin.min() < 0 < margin.max():
            return given


LOSS = {
    **ASKED,
    "the loss has no gradient": "The loss hangs on nothing that learns: ask the policy outside of "
    "`torch.no_grad()`, and take neither `.detach()` nor `.item()`.",
}


@dpo.case("the loss of three pairs", points=3, adapter="losses", inputs=_some_pairs, crashes=LOSS)
def loss_of_pairs(given, got):
    want = the_loss(given)
    expect_slowly(
        "dpo_loss",
        got["loss"],
        np.array(want),
        lambda: wrong_losses(given),
        hint=_hint(got["loss"], want, INFINITE),
    )
    _expect_float64("dpo_loss", got["loss"])


@dpo.case("its gradient", points=2, adapter="losses", inputs=_some_pairs, crashes=LOSS)
def gradient_for_the_policy_alone(given, got):
    loss_of_pairs(given, got)
    expect_that(
        not got["of_reference"],
        "dpo_loss: expected that no gradient reaches the reference, and one does",
        "The reference stays as it is: ask it within `with torch.no_grad():`.",
    )
    expect(
        "the policy's gradient",
        got["grad"],
        its_gradient(given),
        hint="The loss is right and its gradient isn't: a part of it was detached, so that only "
        "the rest can learn.",
    )


def _far_apart(rng: np.random.Generator) -> dict:
    """Return pairs of which the policy is very sure, one of them of the wrong answer."""
    while True:
        given = _some_pairs(rng, 2000.0)
        pairs = {p: given[p] for p in ("chosen", "rejected")}
        pc, pr = (logprob(given["policy"], **rows) for rows in pairs.values())
        margin = given["beta"] * (pc - pr)
        if margin.min() < -1500 and margin.max() > 1500:
            return given


@dpo.case("margins in the thousands", adapter="losses", inputs=_far_apart, crashes=LOSS)
def loss_stays_finite(given, got):
    loss_of_pairs(given, got)
