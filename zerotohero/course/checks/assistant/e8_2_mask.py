"""8.2 · The loss of fine-tuning counts what the assistant has to write, and nothing else."""

from functools import partial

import numpy as np

from zerotohero import IGNORED
from zerotohero.course.checks.assistant.variants import expect_all, expect_loss
from zerotohero.course.checks.gpt.shared import one_tensor, same_type
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import Exercise, expect_that

mask = Exercise(
    number="8.2",
    title="Only the answers",
    difficulty=3,
    minutes=35,
    practises="masks: which tokens of a batch a model has to learn to write",
    answers=("targets_of", "masked_loss"),
    summary=(
        "Find the tokens that an assistant has to write itself, in conversations of several turns "
        "with padding behind them. The loss is the mean over these, and over nothing else."
    ),
    statement="""
`targets_of(tokens: Tensor, lengths: Tensor, roles: dict[str, int], end: int) -> Tensor`

`tokens`, (N, T), holds N conversations: each turn is the token of its role, its text, and the
token `end`. `roles` maps the roles' names to these tokens; one of them is `"assistant"`. Texts hold
neither these nor `end`. The first `lengths[i]` tokens of row i are real, and behind them stands
padding, which is **the same token as `end`**. A row may have been cut: its last turn then lacks its
end.

The model will get `tokens[:, :-1]`. Return its targets, (N, T − 1), int64: at each place the token
that **follows**, if the assistant has to write that one, and −100 anywhere else.

1. The assistant has to write the text and the `end` of **each** of its turns, also of an empty one.
2. It writes no role's token, not even its own, and nothing of the others' turns, their ends
   included.
3. Padding is never a target, even though it looks like an end.

`masked_loss(logits: Tensor, targets: Tensor) -> Tensor`

`logits`, (N, T, V), and `targets`, (N, T), as above. Return the mean cross-entropy over all places
of the batch whose target isn't −100; each counts the same, in whichever row it stands. If there is
none, the loss is 0, and so is its gradient.

```python
roles = {"user": 7, "assistant": 8}
tokens = torch.tensor([[7, 1, 9, 8, 2, 3, 9], [7, 1, 2, 9, 8, 4, 9]])
targets_of(tokens, torch.tensor([7, 6]), roles, end=9)
# [[-100, -100, -100, 2, 3, 9], [-100, -100, -100, -100, 4, -100]]
```
""",
    hints=(
        "Go through a row from left to right and remember who speaks. Which tokens change that? "
        "And by what can one tell an end from padding, if not by the token?",
        "First a mask of `tokens`, (N, T): True where the assistant speaks, the token is no "
        "role's, and the place is below the row's length. Then shift both: `tokens[:, 1:]` and "
        "`mask[:, 1:]`. In the loss, `F.cross_entropy` leaves −100 out; its mean over nothing is "
        "NaN, but its sum is 0.",
        "`for t in range(T): token = tokens[:, t]`; where it is a role's, `speaks = token == "
        "roles['assistant']`, else the mask's column is `speaks & (t < lengths)`. The loss: "
        "`F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction='sum')` divided by "
        "`(targets != -100).sum().clamp(min=1)`.",
    ),
)

CRASHES = {
    "does not require grad": "The loss has no gradient left: no `.item()`, `.detach()` or new "
    "tensor; a sum over no target is 0 and has one.",
    "out of bounds|out of range": "−100 is no class: `F.cross_entropy` leaves it out by itself, "
    "and by hand it has to be masked.",
    "input batch_size|Expected target": "Logits and targets are flattened alike: (N · T, V) and "
    "(N · T,).",
}


def targets(
    tokens,
    lengths,
    roles,
    end,
    *,
    whose="assistant",
    turns="all",
    role_tokens=(),
    ends: str = "own",
    padding: str = "none",
    real: int = 0,
    shift: str = "next",
    nothing: int = IGNORED,
    zero: bool = True,
    cut_off: bool = False,
) -> np.ndarray:
    """Return the targets of conversations; the switches are what learners get wrong."""
    N, T = tokens.shape
    known = list(roles.values())
    learnt = np.zeros((N, T), bool)
    for i in range(N):
        speaker, begun, n_turns = "", False, 0
        count = int((tokens[i, : lengths[i]] == roles["assistant"]).sum())
        for t, token in enumerate(tokens[i]):
            name = next((name for name, role in roles.items() if role == token), "")
            is_padding, is_end = t >= lengths[i] + real, token == end
            if name and not is_padding:
                if name != "system" or whose != "until the user":
                    speaker, begun = name, begun or name == "assistant"
                n_turns += name == "assistant"
                learnt[i, t] = name in role_tokens and speaker == "assistant"
                continue
            is_own = speaker == "assistant"
            own = {"all": True, "others": not is_own, "from the first": begun}.get(whose, is_own)
            if turns != "all":
                own = own and n_turns == (1 if turns == "first" else count)
            if is_end and not is_padding and ends != "own":
                own = ends == "all" or (
                    ends == "of texts" and own and tokens[i, t - 1] not in known
                )
            if is_padding:
                first = t == lengths[i] and tokens[i, t - 1] != end
                own = padding == "all" or (padding == "as an end" and first and own)
            learnt[i, t] = own
        if cut_off and tokens[i, lengths[i] - 1] != end:
            learnt[i, np.flatnonzero(np.isin(tokens[i, : lengths[i]], known))[-1] :] = False
    if not zero:
        learnt &= tokens != 0
    if shift == "same":
        return np.where(learnt, tokens, nothing)[:, :-1]
    if shift == "mask behind":
        return np.where(learnt[:, :-1], tokens[:, 1:], nothing)
    if shift == "none":
        return np.where(learnt, tokens, nothing)
    return np.where(learnt[:, 1:], tokens[:, 1:], nothing)


SYSTEM = (
    "A system's turn behind an answer is learnt with it: every role's token begins another turn."
)
SWITCHES = [
    (
        {"whose": "all"},
        "The questions are learnt, too: only what the assistant writes is a target.",
    ),
    (
        {"whose": "all", "padding": "all"},
        "Every token is a target, questions and padding among them.",
    ),
    ({"whose": "others"}, "The other way round: the others' words are learnt, not the answers."),
    (
        {"whose": "from the first"},
        "All is learnt from the first answer on, the questions behind it included.",
    ),
    ({"whose": "until the user"}, SYSTEM),
    ({"whose": "until the user", "role_tokens": ("system",)}, SYSTEM),
    ({"turns": "last"}, "Only the last answer of a row counts: there are several."),
    ({"turns": "first"}, "Only the first answer of a row counts: there are several."),
    (
        {"role_tokens": ("assistant",)},
        "The assistant's role token is a target: whoever wants an answer puts it there, and the "
        "model never writes it.",
    ),
    (
        {"ends": "none"},
        "The ends of the answers are missing: without them the model never learns to stop. They "
        "look like padding, but `lengths` tells them apart.",
    ),
    ({"ends": "all"}, "The ends of the others' turns are targets: others write those."),
    (
        {"ends": "of texts"},
        "An empty turn of the assistant is its `end` alone, and that is a target.",
    ),
    (
        {"cut_off": True},
        "A turn that was cut is left out: what is left of it the assistant has written.",
    ),
    ({"padding": "all"}, "Padding is a target: only the first `lengths[i]` tokens are real."),
    (
        {"padding": "as an end"},
        "Where a row was cut within an answer, the padding behind it was taken for its end.",
    ),
    ({"real": -1}, "The last real token of a row counts, too: `t < lengths`."),
    (
        {"shift": "same"},
        "The target at a place is the token that follows, and here it is the one that stands "
        "there: a model that repeats its input would be perfect.",
    ),
    (
        {"shift": "mask behind"},
        "The tokens are shifted, and the mask isn't: it has to say of the token that follows "
        "whether it is learnt.",
    ),
    (
        {"shift": "none"},
        "T columns, where the model gets T − 1 tokens: the first has nobody before it.",
    ),
    ({"nothing": -1}, "−1 stands where −100 is asked for: `F.cross_entropy` leaves out −100."),
    ({"nothing": 0}, "0 stands where −100 is asked for: it is a token like any other."),
    ({"zero": False}, "The token 0 was left out: it is one like any other."),
]
WRONG_TARGETS = [(partial(targets, **switches), hint) for switches, hint in SWITCHES]


def _rows(rng, plans: list[str], spare: int) -> dict:
    """Return conversations. In a plan, u, s and a are turns, capitals empty ones, "-" is a cut."""
    V = int(rng.integers(20, 30))
    special = [int(i) for i in rng.permutation(range(1, V))[:4]]
    end, roles = special[0], dict(zip(("user", "system", "assistant"), special[1:], strict=True))
    words = [w for w in range(V) if w not in special]
    rows = []
    for plan in plans:
        row = []
        for letter in plan.rstrip("-"):
            name = next(name for name in roles if name[0] == letter.lower())
            n = 0 if letter.isupper() else int(rng.integers(2, 5))
            text = [int(w) for w in rng.choice(words, n)]
            if n:
                text[int(rng.integers(n))] = 0
            row += [roles[name], *text, end]
        rows.append(row[: len(row) - plan.count("-")])
    tokens = np.full((len(rows), max(map(len, rows)) + spare), end)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
    lengths = np.array([len(row) for row in rows])
    return {"tokens": tokens, "lengths": lengths, "roles": roles, "end": end}


def targets_right(given, got):
    """Expect the targets of each batch, and int64."""
    for call, came in zip(given["calls"], got["targets"], strict=True):
        if not np.array_equal(came, targets(**call)):
            one_tensor("targets_of(…)", came)
    what = "targets_of(…) with lengths {lengths}, roles {roles}, end {end}"
    expect_all(what, given["calls"], got["targets"], targets, WRONG_TARGETS)
    for came in got["targets"]:
        same_type("targets_of(…)", came, "int64")


def _answers(rng) -> dict:
    return {"calls": [_rows(rng, ["ua", "sua"], 0), _rows(rng, ["uaua", "suauasua", "au"], 0)]}


mask.case("answers of several turns", points=3, adapter="targeted", inputs=_answers)(targets_right)


def _odd(rng) -> dict:
    return {"calls": [_rows(rng, ["uA", "UaA", "su", "usaa", "aua"], 0), _rows(rng, ["Ua"], 0)]}


mask.case("empty turns, and rows without an answer", points=2, adapter="targeted", inputs=_odd)(
    targets_right
)


def _padded(rng) -> dict:
    spare = int(rng.integers(2, 4))
    plans = [str(p) for p in rng.permutation(["ua", "uaua-", "sua--", "uau", "uaUA-"])]
    return {"calls": [_rows(rng, plans, spare), _rows(rng, ["uaua-", "ua", "ua-"], 0)]}


mask.case("padding, and rows that were cut", points=3, adapter="targeted", inputs=_padded)(
    targets_right
)


# --- the loss -------------------------------------------------------------------------------------


def loss_of(logits, targets, kind: str = "mean") -> dict:
    """Return loss and gradient, as the mean over targets or as mistakes make it."""
    N, T, V = logits.shape
    kept = targets != IGNORED
    if kind == "0 ignored":
        kept &= targets != 0
    if kind == "0 for none":
        kept = np.ones_like(kept)
    counts, total = kept.sum(1), max(1, kept.sum())
    by_row = 1 / np.maximum(1, counts)
    with_any = max(1, (counts > 0).sum())
    weights = {
        "mean of means": by_row / with_any,
        "mean of all rows": by_row / N,
        "sum": np.ones(N),
        "places": np.full(N, 1 / (N * T)),
        "rows": np.full(N, 1 / N),
    }.get(kind, np.full(N, 1 / total))
    probs = softmax(softmax(logits) if kind == "twice" else logits)
    hot = np.eye(V)[np.where(targets == IGNORED, 0, targets)]
    each = -(hot * np.log(probs)).sum(-1) * kept
    gradient = (probs - hot) * kept[..., None] * weights[:, None, None]
    if kind == "twice":
        once = softmax(logits)
        gradient = once * (gradient - (gradient * once).sum(-1, keepdims=True))
    return {"loss": (each.sum(1) * weights).sum(), "logits": gradient}


KINDS = {
    "mean of means": "A mean of the rows' means: a target in a row of few counts more than one in "
    "a row of many.",
    "mean of all rows": "A mean of the rows' means, rows without a target included.",
    "sum": "The sum over all targets: it isn't divided by their number.",
    "places": "Divided by N · T: places without a target count for nothing.",
    "rows": "Divided by the number of rows: the mean is over the targets.",
    "0 ignored": "The target 0 was left out of the loss: only −100 is none.",
    "0 for none": "Where the target is −100, the token 0 was learnt.",
    "twice": "`F.cross_entropy` takes logits, and does the softmax itself: it was done twice.",
}
WRONG_LOSSES = [(partial(loss_of, kind=kind), hint) for kind, hint in KINDS.items()]


def _logits(rng, counts: list[int]) -> dict:
    N, T, V = len(counts), max(*counts, 5) + 1, int(rng.integers(8, 11))
    logits = 2 * rng.normal(size=(N, T, V))
    its = np.full((N, T), IGNORED)
    for i, n in enumerate(counts):
        places = rng.permutation(T)[:n]
        its[i, places] = rng.integers(0, V, n)
        its[i, places[:1]] = 0
    return {"logits": logits, "targets": its}


def loss_right(given, got):
    """Expect loss and gradient of each batch."""
    for call, came in zip(given["calls"], got["losses"], strict=True):
        n = int((call["targets"] != IGNORED).sum())
        for value in came.values():
            if not n and isinstance(value, np.ndarray) and np.isnan(value).any():
                expect_that(
                    False,
                    "masked_loss without a target: expected 0, got NaN",
                    "A mean over no target is 0/0: divide the sum by at least 1.",
                )
    expect_loss("masked_loss(…)", given["calls"], got["losses"], loss_of, WRONG_LOSSES)


def _unequal(rng) -> dict:
    counts = [int(n) for n in rng.permutation([1, 2, 4, 7])]
    return {"calls": [_logits(rng, counts), _logits(rng, [0, 3, 6])]}


mask.case("the mean over all targets", points=3, adapter="lost", inputs=_unequal, crashes=CRASHES)(
    loss_right
)


def _none(rng) -> dict:
    return {"calls": [_logits(rng, [2, 5]), _logits(rng, [0, 0, 0])]}


mask.case("a batch without a target", adapter="lost", inputs=_none, crashes=CRASHES)(loss_right)
