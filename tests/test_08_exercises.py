"""Right answers to lecture 08's exercises in other styles pass, and no wrong one is told of a
mistake that it doesn't make."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from misconceptions.assistant import (
    e8_1_template,
    e8_3_reward,
    e8_5_policy,
    e8_7_lora,
    e8_8_constrained,
    e8_9_votes,
)
from styles import assert_not_told, assert_passes


def everything_through_encode(conversation, special, encode):
    def token(name):
        return encode(f"<|{name}|>", {f"<|{name}|>"})

    if {turn["role"] for turn in conversation} - {"system", "user", "assistant"}:
        raise ValueError("no role")
    ids = []
    for turn in conversation:
        ids += token(turn["role"]) + encode(turn["content"], frozenset()) + token("end")
    return ids + token("assistant") * (conversation[-1]["role"] != "assistant")


def crossed(chosen, rejected):
    """As cross-entropy between two answers, of which the first is right."""
    return F.cross_entropy(torch.stack([chosen, rejected], 1), torch.zeros(len(chosen)).long())


def masked(rewards, lengths):
    return rewards[torch.arange(rewards.shape[1]) == lengths[:, None] - 1]


def one_left_out(rewards):
    """In float32, one by one."""
    left = torch.zeros(rewards.shape)
    for i, row in enumerate(rewards.tolist()):
        for j, reward in enumerate(row):
            left[i, j] = reward - (sum(row) - reward) / (len(row) - 1)
    return left


def token_by_token(logp, old_logp, advantages, mask, clip):
    losses = []
    for n, t in mask.nonzero().tolist():
        ratio, a = (logp[n, t] - old_logp[n, t]).exp(), advantages[n]
        losses.append(-a * (ratio.clamp(max=1 + clip) if a > 0 else ratio.clamp(min=1 - clip)))
    return torch.stack(losses).mean()


class SumOfWeights(nn.Module):
    """It adds up the weights in forward, and keeps the layer's under names of its own."""

    def __init__(self, linear, rank, alpha):
        super().__init__()
        self.weight, self.bias = linear.requires_grad_(False).weight, linear.bias
        self.alpha, self.rank = alpha, rank
        self.A = nn.Parameter(torch.empty_like(self.weight[:1]).repeat(rank, 1))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.B = nn.Parameter(torch.zeros_like(self.weight[:, :1]).repeat(1, rank))

    def forward(self, x):
        return F.linear(x, self.weight + self.alpha / self.rank * self.B @ self.A, self.bias)

    def merged(self):
        o, i = self.weight.shape
        linear = nn.Linear(i, o, bias=self.bias is not None, dtype=self.weight.dtype)
        state = {"weight": self.weight + self.alpha / self.rank * self.B @ self.A}
        state |= {"bias": self.bias} if self.bias is not None else {}
        linear.load_state_dict(state)
        return linear


def named_once(model, names, rank, alpha):
    for full, child in list(model.named_modules()):
        parent, _, name = full.rpartition(".")
        if name in names and isinstance(child, nn.Linear):
            setattr(model.get_submodule(parent), name, SumOfWeights(child, rank, alpha))
    for name, p in model.named_parameters():
        p.requires_grad_(name.rpartition(".")[2] in ("A", "B"))
    learn, every = e8_7_lora.counts(model)
    return learn / every


def branches(choices, written, end):
    """Go down a tree of all choices."""
    tree = {}
    for choice in choices:
        place = tree
        for token in [*choice, end]:
            place = place.setdefault(token, {})
    for token in written:
        tree = tree.get(token, {})
    return sorted(tree)


def of_the_allowed(logits, allowed, temperature):
    """In float32, from the allowed alone."""
    probs = torch.zeros(len(logits))
    probs[allowed] = (logits[allowed] / temperature).softmax(0).float()
    return probs


def narrowed(model, prompt, choices, end):
    left, n = [[*choice, end] for choice in choices], 0
    while True:
        its = sorted({choice[n] for choice in left})
        row = torch.tensor([prompt + left[0][:n]])
        token = its[0] if len(its) == 1 else its[model(row)[0, -1][its].argmax()]
        left = [choice for choice in left if choice[n] == token]
        if token == end:
            return left[0][:n]
        n += 1


def counted(answers):
    answers = [answer for answer in answers if answer is not None]
    return max(answers, key=answers.count, default=None)


def filled_one_by_one(probs, rewards, n):
    """Into a tensor of zeros, which has float32."""
    taken = torch.zeros(len(probs))
    for i, (p, r) in enumerate(zip(probs.tolist(), rewards.tolist(), strict=True)):
        below, at_most = probs[rewards < r].sum().item(), probs[rewards <= r].sum().item()
        taken[i] = sum(below**k * p * at_most ** (n - 1 - k) for k in range(n))
    return taken


OTHER_STYLES = {
    "8.1": (everything_through_encode,),
    "8.3": (crossed, masked),
    "8.5": (one_left_out, e8_5_policy.in_its_group, e8_5_policy.policy_loss, token_by_token),
    "8.7": (SumOfWeights, named_once, e8_7_lora.merging(SumOfWeights)),
    "8.8": (branches, of_the_allowed, narrowed),
    "8.9": (counted, filled_one_by_one, lambda n: math.log(n) - 1 + 1 / n),
}


@pytest.mark.parametrize("number", OTHER_STYLES)
def test_a_right_answer_in_another_style_passes(number):
    assert_passes(number, OTHER_STYLES[number])


def least_deviation():
    """0.0001 is what the deviation is at least, and it is added to none."""

    def of(rewards):
        away = rewards - rewards.mean(1, keepdim=True)
        return away / rewards.std(1, keepdim=True).clamp(min=1e-4)

    return e8_5_policy.group(of)


# A wrong answer and the words of a hint that doesn't explain it.
NOT_MADE = (
    ("8.1", e8_1_template.first_role_alone, "`special` knows more texts"),
    ("8.3", e8_3_reward.axis_kept, "these are several"),
    ("8.3", e8_3_reward.as_a_list, "No gradient leads"),
    ("8.3", e8_3_reward.columns_first, "Some index is T"),
    ("8.5", least_deviation, "nother number"),
    ("8.7", e8_7_lora.merged_in_float32, "A and B are in another data type"),
    ("8.7", e8_7_lora.on_their_side, "A comes first"),
    ("8.7", e8_7_lora.in_a_copy, "inside of blocks"),
    ("8.8", e8_8_constrained.printed, "mask at every place"),
    ("8.9", e8_9_votes.silent_majority, "None has no vote"),
)


@pytest.mark.parametrize(("number", "wrong", "words"), NOT_MADE)
def test_no_hint_names_a_mistake_that_was_not_made(number, wrong, words):
    assert_not_told(number, wrong(), words)
