"""8.10 · GRPO: right now and then, a model learns to be right more often, within a budget."""

import numpy as np

from zerotohero.course.checks.assistant._e8_10_grpo import (
    ANSWER,
    PROMPTS,
    QUESTION,
    UNSEEN,
    WRONGLY,
    all_equal,
    dealt_out,
    equal_groups,
    likeliest,
    loss_of,
    unequal_groups,
)
from zerotohero.course.checks.assistant.variants import expect_loss
from zerotohero.course.checks.gpt.shared import TRAINED_CRASHES, gpt_of
from zerotohero.course.exercise import Exercise, Wrong, expect_that
from zerotohero.course.to_look_at import HOOKS, THREADS

BUDGET = 16_000  # answers that are judged
PART = 0.6  # what may be left of the share of wrong answers
LARGEST = 100_000

grpo = Exercise(
    number="8.10",
    title="More often right",
    difficulty=4,
    minutes=60,
    practises="learning from what can be checked, with a limit to how much is checked",
    answers=("grpo_loss", "improve"),
    adapters="assistant_training",
    look_for=(*HOOKS, *THREADS),
    uses=("gpt", "generation"),
    changes=("model",),
    takes=10,
    summary=(
        "A model that has begun to learn sums is right now and then, and told so. Write GRPO's "
        "loss, and let it learn from its own answers to be right more often, within a budget."
    ),
    statement=f"""
`grpo_loss(logp: Tensor, rewards: Tensor, mask: Tensor) -> Tensor`

A policy wrote K ≥ 2 answers to each of P prompts, which are P groups. `logp`, (P, K, T), holds the
log-probabilities of the answers' tokens; `mask`, (P, K, T), booleans, is True for the tokens that
the policy wrote, at least one an answer; `rewards`, (P, K), may be any numbers.

1. An answer's advantage is its reward less the mean of its group, divided by the group's standard
   deviation (with K − 1 below the sum of squares) plus 0.0001. It is a constant: no gradient goes
   on into `rewards`.
2. An answer's gain is its advantage times the **sum** of `logp` over the tokens whose mask is True.
3. A group whose K rewards are all **equal** says nothing and is left out. Return the negative of
   the **mean** gain of the answers in the other groups, a tensor of no dimensions. If there are
   none, it is 0, and so is the gradient that its `backward()` gives to `logp`.

`improve(model: GPT, prompts: Tensor, judge: Callable) -> GPT`

`model` is a `zerotohero.gpt.GPT` that has begun to learn sums, such as `47+85=` with the answer
`231`: 132, its units first. `prompts`, ({PROMPTS:,}, {QUESTION}) int64, are questions, and an
answer is the {ANSWER} tokens behind one. Which token stands for which digit isn't told, and changes
each time: only `judge` knows what is right. `judge(rows)` takes (N, {QUESTION + ANSWER}) int64,
prompts with an answer behind each, and returns (N,) rewards: 1.0 for a right answer, 0.0 for any
other.

4. At most **{BUDGET:,}** rows may be judged, all calls together, and a row twice counts as two.
5. The model learns from rows that were judged, and from nothing else.
6. Return the model that was handed in, or a copy, trained, with its configuration as it was.
7. The check asks {UNSEEN:,} sums that aren't among the prompts and takes the likeliest answers.
   About a fifth of them is wrong at first. This share must fall by two fifths at least.

```python
logp = torch.log(torch.tensor([[[0.5, 0.5], [0.5, 0.2]], [[0.1, 0.1], [0.1, 0.1]]]))
mask = torch.tensor([[[True, True], [True, False]], [[True, True], [True, True]]])
grpo_loss(logp, torch.tensor([[1.0, 0.0], [1.0, 1.0]]), mask)  # 0.245: gains -0.980 and 0.490
```

The check needs five seconds to make the model, and then as long as `improve` does: five more can
do, stay under half a minute.
""",
    hints=(
        "What does a group tell in which all are right, or none? To have some of both, the answers "
        "must differ: they are drawn, `model.generate(rows, 3)`, and not the likeliest.",
        "`keep = (rewards != rewards[:, :1]).any(1)` says which groups count. In a step of "
        "`improve`, draw 8 answers to each of 32 prompts, `prompts[i].repeat_interleave(8, 0)`, "
        "judge them, and take one step of AdamW on their log-probabilities: row[1:] under the "
        "logits of row[:-1].",
        "`gains = advantages.detach() * (logp * mask).sum(-1)` and `-gains[keep].sum() / "
        "max(1, gains[keep].numel())`. Sixty steps of 32 · 8 answers at a rate of 0.001 that falls "
        "to 0, betas (0.9, 0.95), no weight decay, the gradient's norm clipped to 1; of the eight "
        "log-probabilities of a row, the answer's are `logp[:, 5:]`.",
    ),
)

LOST = {
    "does not require grad": "The loss has no gradient left: no `.item()`, `.detach()` of `logp` "
    "or new tensor on the way.",
}
LOST_OF_NONE = {
    "does not require grad": "A 0 that doesn't come from `logp` has no gradient, and `backward()` "
    "fails: a sum over no gains has one, and so has 0 times `logp.sum()`.",
}


def loss_right(given, got):
    to_rewards = [its.pop("rewards") for its in got["losses"]]
    expect_loss("grpo_loss(…)", given["calls"], got["losses"], loss_of, WRONGLY)
    expect_that(
        not any(np.any(gradient) for gradient in to_rewards),
        "the gradient of grpo_loss(…) with respect to rewards: expected none, got one",
        "The advantages are constants, even where the rewards come from a model that could learn: "
        "`.detach()` them.",
    )


for name, points, inputs, crashes in (
    ("the loss of several groups", 3, unequal_groups, LOST),
    ("groups whose rewards are equal", 2, equal_groups, LOST),
    ("no group left", 1, all_equal, LOST_OF_NONE),
):
    grpo.case(name, points=points, adapter="losses", inputs=inputs, crashes=crashes)(loss_right)

IMPROVE_CRASHES = TRAINED_CRASHES | {
    "judge takes a tensor": "A row is a prompt with its answer behind it, and `judge` takes many "
    "at once, in a tensor: `torch.tensor(model.generate(rows, 3))`.",
    "training has diverged": "The weights are infinite or NaN: the rate is too high, or the loss "
    "is 0/0 in a step in which no group is left.",
    "is none of the prompts": "`judge` knows the given prompts alone, each with the answer behind "
    "it: rows begin with one of them, all six tokens.",
}


@grpo.case(
    "unseen sums, after learning",
    points=6,
    adapter="improved",
    inputs=dealt_out,
    crashes=IMPROVE_CRASHES,
)
def unseen_sums_more_often_right(given, got):
    before = gpt_of("the model handed in", given, LARGEST)
    judged, learned = got["judged"], got["learned"]
    expect_that(
        judged <= BUDGET,
        f"improve: expected at most {BUDGET:,} judged answers, counted {judged:,}",
        "Judged answers are steps · prompts · answers to each: fewer of any will do.",
    )
    expect_that(
        learned > 0,
        "improve: expected rows that go through the model while it learns, counted none",
        "Nothing is trained: no answer went through a GPT whose gradients were taken.",
    )
    expect_that(
        got["strangers"] == 0,
        f"improve: expected that the model learns from judged rows, got {got['strangers']:,} others"
        f" of {learned:,}",
        "It learned from rows that nobody has judged. What is right isn't known before: draw the "
        "answers from the model, have them judged, and learn from these.",
    )
    after = gpt_of("improve", got, LARGEST)
    expect_that(
        got["config"] == given["config"],
        "improve: expected the model's configuration as it was, got another",
        "Train the model that is handed in, or `copy.deepcopy(model)`, and no new one.",
    )
    unseen = given["_unseen"]
    wrong = [(likeliest(m, unseen) != unseen).any(1).mean() for m in (before, after)]
    if wrong[1] <= PART * wrong[0]:
        return
    if got["different"] == got["groups"]:
        hint = (
            "All answers to a prompt were the same, so no group has told anything: draw several, "
            "at temperature 1."
        )
    elif all(np.array_equal(w, got["weights"][name]) for name, w in given["weights"].items()):
        hint = "The model came back as it was: return the one that has learned."
    elif got["before_the_last"] == 0 and got["updates"] > 1:
        hint = (
            "All answers were drawn before the first update. After it they are those of a model "
            "that is no more: draw new ones, or weigh the old by the ratio of the two, as in 8.5."
        )
    elif wrong[1] > wrong[0]:
        hint = (
            "It has got worse. Either the steps are too large, or they go the wrong way: what was "
            "right has to get likelier."
        )
    else:
        hint = "It has learned too little: use more of the budget, or another rate."
    raise Wrong(
        f"unseen sums: expected at most {PART * wrong[0]:.1%} wrong, got {wrong[1]:.1%} "
        f"({wrong[0]:.1%} before)",
        hint,
    )
