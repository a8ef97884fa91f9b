"""7.7 · A test of causality: writing a test that fails when it should, and only then."""

import numpy as np

from zerotohero.course.checks.gpt._e7_7_models import (
    CALLS,
    PLACES,
    SEEN,
    SHOUTS,
    WHISPER,
    WHISPERS,
    N,
    missed_places,
    models_of,
    told,
    tried,
    unseen_leaks,
)
from zerotohero.course.exercise import (
    Exercise,
    Wrong,
    expect_that,
)

causality = Exercise(
    number="7.7",
    title="A test of causality",
    difficulty=4,
    minutes=45,
    practises="writing a test that fails when it should, and only then",
    answers=("is_causal",),
    adapters="gpt_causality",
    summary=(
        "A model that can see the future trains beautifully and generates nonsense. Write the test "
        "that finds such leaks from outside, whatever their cause."
    ),
    statement="""
`is_causal(model: nn.Module, vocab_size: int, block_size: int) -> bool`

`model(idx)` takes tokens from 0 to vocab_size − 1 of shape (B, T), for any B and any T up to
block_size, to logits (B, T, V). Return `True` if at every length T, for every position t, no token
after t has any influence on the logits at t; else `False`. You see nothing of the model but what it
returns.

- Judge the model as it is in **eval mode**: dropout differs from call to call, and BatchNorm in
  train mode mixes everything with everything. Leave it in the mode in which it came.
- float32 rounds: a model without a leak may still differ by up to 1e-5 where the future differs.
  The leaks of the check change some logit by more than 0.001.
- Some of these models have two tokens only.

The next cell plants three leaks that people really build: a mask that is one diagonal too large,
softmax over the queries, and a mean taken over all of time. The check has these, others, and models
without any.

```python
is_causal(Planted(), 27, 8)           # True
is_causal(Planted("mask"), 27, 8)     # False
is_causal(Planted("softmax"), 27, 8)  # False
is_causal(Planted("mean"), 27, 8)     # False
```
""",
    hints=(
        "Take any text and change its future: which logits must stay the same? Then ask what a "
        "test misses that changes the last token only, or that tries one length only.",
        "For every T and every cut between 1 and T − 1: exchange *all* tokens from the cut on for "
        "others, `(idx + 1) % vocab_size`, and compare the logits before the cut, `atol=1e-4`. All "
        "cuts of one length fit into one batch.",
        "`was = model.training`, `model.eval()`, and in `torch.no_grad()`: `t = torch.arange(T)`; "
        "`batch = torch.where(t < t[:, None] + 1, idx, (idx + 1) % vocab_size)`, whose row i keeps "
        "the tokens 0 to i. Its last row is the unchanged text; `(logits - "
        "logits[-1]).abs().amax(2).tril()` may nowhere be above 1e-4. At the end "
        "`model.train(was)`.",
    ),
)


def _expect_judged(given: dict, got: dict, rejected: str, missed: str) -> None:
    """Raise unless exactly the leaks are found. The hints are for a sound model that is called
    leaky, and for a leak that is missed."""
    leaks, found = given["_leaks"], []
    for i, mine in enumerate(got["causal"]):
        if isinstance(mine, np.ndarray) and mine.size == 1:
            mine = mine.item()
        if not isinstance(mine, bool):
            raise Wrong(
                f"model {i + 1}: expected True or False, got {mine!r:.60}",
                "Nothing came back: end with `return True` or `return False`."
                if mine is None
                else "Return True or False, one for the model as a whole.",
            )
        found.append(not mine)
    wrong = [i for i, leak in enumerate(leaks) if found[i] != (leak is not None)]
    if not wrong:
        return
    if len(wrong) == len(leaks):
        rejected = "Each answer is turned round: True means that nothing leaks."
    # A sound model that is called leaky comes first: such a test "finds" every leak.
    i = next((i for i in wrong if leaks[i] is None), wrong[0])
    leak, model = leaks[i], f"model {i + 1} of {len(leaks)}"
    if leak is None:
        raise Wrong(f"{model}, without a leak: expected True, got False", rejected)
    message = f"{model}, {told(leak)}: expected False, got True; "
    message += f"{sum(found)} of {len(leaks) - leaks.count(None)} leaks found"
    longest = max(max(lengths, default=0) for lengths in got["lengths"])
    if longest == 0:
        missed = "The model is never called: feed it tokens, `model(idx)`."
    elif max(got["texts"]) < 2:
        missed = "The model only ever met one and the same text. `changed = idx` is no copy: what "
        missed += "you change in the one changes in the other. Take `idx.clone()`."
    elif longest < N:
        missed = f"You test texts of up to {longest} tokens, and the model takes block_size = {N}: "
        missed += "what leaks further back stays unseen. (`return True` comes after all loops.)"
    raise Wrong(message, missed)


JUDGED_CRASHES = {
    "has to be of shape|Dimension out of range|too many indices": "The model takes a batch of "
    "texts, (B, T), and returns (B, T, V): is an axis missing? `idx[None]` makes one text a batch.",
    "scalar types: Long|must be whole numbers|requires_grad|require grad": "Tokens are whole "
    "numbers and have no gradient: exchange some for others and compare the logits.",
    "with size 0": "Something empty is indexed, a text of no tokens or logits of no position: it "
    "has no first and no last.",
    "index out of range in self|vocabulary of": "A token of vocab_size or more: "
    "`(idx + 1) % vocab_size` stays within the vocabulary.",
    "more than 1 value per channel when training": "BatchNorm refuses a single token in train "
    "mode: `model.eval()` comes before all calls of the model.",
    "are more than block_size": "block_size is the longest text that the model takes.",
    "AssertionError": "Return False where you would complain: the caller wants an answer.",
    "only one element tensors|ambiguous": "A comparison of tensors gives a tensor: `.all()`, "
    "`.any()`, or `torch.allclose`, which gives True or False.",
}
SEE_FIRST = "A model without a leak is called leaky, as it may be in the first case: begin there."


@causality.case(
    "the three planted leaks, and models without any",
    points=2,
    adapter="judged",
    inputs=lambda rng: models_of(rng, ["next", "queries", "mean", None, None]),
    crashes=JUDGED_CRASHES,
)
def planted_leaks_found(given, got):
    piled = (
        "The changes of one cut stay in the text for the next, and the logits before it change by "
        "right: begin each time with a fresh copy, `other = idx.clone()`."
    )
    _expect_judged(
        given,
        got,
        piled
        if any(got["piles_up"])
        else "A model without a leak is called leaky. Its logits change where a token changes, and "
        "after it: only those *before* the first changed token must stay. (Changing tokens t and "
        "later, compare the logits 0 to t − 1, `[:, :t]`.)",
        "Print `(a - b).abs().max()` for the logits that you compare: in these models the future "
        "moves some of them by more than 0.001. Is the tolerance too wide, or are positions left "
        "out that have changed?",
    )


@causality.case(
    "a single hole in the mask",
    points=3,
    adapter="judged",
    inputs=lambda rng: models_of(rng, [*PLACES, None, None]),
    crashes=JUDGED_CRASHES,
)
def hole_in_the_mask_found(given, got):
    _expect_judged(given, got, SEE_FIRST, missed_places(given, got))


def _in_train_mode(rng: np.random.Generator) -> dict:
    dropout = models_of(rng, [None, None, "next"], dropout=0.4, train=True)
    norm = models_of(rng, [None, "mean"], norm=True, train=True)
    evaluated = models_of(rng, [None], dropout=0.4)
    return {key: dropout[key] + norm[key] + evaluated[key] for key in dropout}


@causality.case(
    "dropout and BatchNorm, in the mode in which they come",
    points=2,
    adapter="judged",
    inputs=_in_train_mode,
    crashes=JUDGED_CRASHES,
)
def modes_respected(given, got):
    train_mode = (
        "You call the model in train mode: there, dropout draws anew at each call, and BatchNorm "
        "takes its statistics over the batch and over time. `model.eval()` comes first."
    )
    missed = "Leaks are missed here that the first case has, too: begin there."
    _expect_judged(given, got, train_mode if any(got["in_train"]) else SEE_FIRST, missed)
    expect_that(
        all(got["mode_kept"]),
        "the mode of the models after the call: expected the same as before it, got another",
        "A test must leave no trace: a model that trains on after it would do so without dropout. "
        "Keep `was = model.training`, and call `model.train(was)` at the end.",
    )


def _rounding(rng: np.random.Generator) -> dict:
    rounding = models_of(rng, [None, None, None, "soft"], total=True)
    exact = models_of(rng, [None, "soft", "soft"], shift=10.0)  # a relative tolerance sees less
    for model in rounding["models"] + exact["models"]:
        model["w_out"] -= model["w_out"].mean(1, keepdims=True)  # and the mean of logits nothing
    # A mean over positions and vocabulary loses whispers, whatever the tokens that are drawn, and
    # probabilities lose what is added to all logits.
    small = models_of(rng, [*WHISPERS, *CALLS, *SHOUTS, *SEEN], V=60)
    return {key: rounding[key] + exact[key] + small[key] for key in rounding}


@causality.case(
    "rounding, and leaks that are small or in all logits alike",
    points=2,
    adapter="judged",
    inputs=_rounding,
    crashes=JUDGED_CRASHES,
)
def rounding_is_no_leak(given, got):
    rejected = SEE_FIRST
    exact = next(i for i in range(4, 7) if given["_leaks"][i] is None)
    if got["causal"][exact]:
        rejected = (
            "These models compute the mean of the past as the sum of all minus the sum of the "
            "future. That is right, and float32 rounds: compare with a tolerance, "
            "`torch.allclose(a, b, atol=1e-4)`, not with `==` or `torch.equal`."
        )
    wide = (
        "The tolerance is too wide: these leaks move some logit by 0.001 to 0.1, and rounding "
        "moves none by more than 1e-5. (`torch.allclose` also has a relative tolerance; `atol` is "
        "the one to set.)"
    )
    unseen = unseen_leaks(given, got)
    mean = (
        f"Larger leaks are found, and missed are those of {WHISPER} in two logits of one position. "
        "A mean over positions or the vocabulary loses them, and so does a tolerance of that size: "
        "take the largest difference."
    )
    probs = (
        "What is added to all logits of a position alike is in no probability: compare the logits "
        "themselves, without softmax or log_softmax."
    )
    cancel = (
        "Where one logit rises and another falls, you see nothing: they cancel in a sum or a mean, "
        "and the largest may be a third. Compare one by one, `(a - b).abs().max()`."
    )
    sign = (
        "Only differences of one sign are seen, and a leak may move all logits up, or all down: "
        "take `.abs()` before the largest."
    )
    missed = "If leaks are missed in the cases above as well, begin there."
    if unseen & set(SEEN):
        pass
    elif unseen & set(CALLS):
        missed = cancel
    elif unseen in ({SHOUTS[0]}, {SHOUTS[1]}):
        missed = sign
    elif unseen >= set(SHOUTS):
        missed = probs if unseen <= {*SHOUTS, *WHISPERS} else missed
    elif unseen == {"soft", *WHISPERS}:
        missed = wide
    elif unseen == set(WHISPERS):
        missed = mean
    _expect_judged(given, got, rejected, missed)


@causality.case(
    "a vocabulary of two tokens",
    adapter="judged",
    inputs=lambda rng: models_of(rng, [None, *[(N - 2, N - 1)] * 8], V=2),
    crashes=JUDGED_CRASHES,
)
def vocabulary_of_two(given, got):
    missed = (
        "If the cases above pass, the future wasn't changed: of two tokens, one that is drawn at "
        "random is the old one half of the time, and so is a fixed one. `(idx + 1) % vocab_size` "
        "is always another."
    )
    if all(got["causal"]):  # all of them: that isn't chance
        missed = (
            "Every hole is missed. If the cases above pass, the token that is changed stays what "
            "it was: `(idx + 2) % 2` is idx."
        )
    _expect_judged(given, got, SEE_FIRST, missed)


@causality.case(
    "leaks at some lengths only",
    adapter="judged",
    inputs=lambda rng: models_of(rng, ["tail", None, None, *range(2, N + 1)]),
    crashes=JUDGED_CRASHES,
)
def leak_at_one_length_found(given, got):
    unseen = set(range(2, N + 1)) - {n for lengths in got["lengths"] for n in lengths}
    missed = (
        "Texts of this length are fed, but the leak in them isn't found: for each length, every "
        "cut from 1 to T − 1 has to be tried, with other tokens from there on, and all positions "
        "before it compared."
    )
    if any(tried(got, T) for T in unseen_leaks(given, got) - {"tail"}):
        missed = (
            "Every cut is tried, but the leak isn't found: all positions before the cut have to be "
            "compared, and each result has to count (`ok = …` in a loop keeps the last alone)."
        )
    elif unseen_leaks(given, got) == {*range(3, N + 1)}:
        missed = "A last token that changes shows what it leaks itself, and nothing of the others: "
        missed += "for each length, change the future at every cut."
    if unseen == set(range(2, N)):
        missed = (
            f"You only test T = block_size = {N}. A mask that is cut wrongly for shorter texts "
            "leaks there, and every text that is generated begins short: test all lengths."
        )
    elif unseen:
        missed = f"No text of {min(unseen)} tokens is fed: test all lengths from 2 to block_size."
    _expect_judged(given, got, SEE_FIRST, missed)
