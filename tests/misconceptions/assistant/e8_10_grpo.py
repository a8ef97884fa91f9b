"""Wrong answers to 8.10, GRPO within a budget."""

import copy
from functools import partial

import torch

from misconceptions import wrong
from misconceptions.gpt.shared import untrained


def groups(rewards, ddof=1, plus=1e-4):
    away = rewards - rewards.mean(1, keepdim=True)
    return away / (rewards.std(1, keepdim=True, correction=ddof) + plus)


def differing(rewards):
    return (rewards != rewards[:, :1]).any(1)


def loss_of(
    logp,
    rewards,
    mask,
    advantages=groups,
    total=lambda logp, mask: (logp * mask).sum(-1),
    keep=differing,
    count=lambda rewards, mask, keep: (keep.sum() * rewards.shape[1]).clamp(min=1),
    sign=-1,
):
    kept = keep(rewards)
    gains = advantages(rewards).detach() * total(logp, mask)
    return sign * (gains * kept[:, None]).sum() / count(rewards, mask, kept)


def unchanged(model, prompts, judge):
    return model


def loss(**wrongly):
    return partial(loss_of, **wrongly), unchanged


@wrong("8.10", "The rewards themselves weigh the answers")
def no_advantage():
    return loss(advantages=lambda rewards: rewards)


@wrong("8.10", "The mean of the group isn't subtracted")
def not_centred():
    return loss(advantages=lambda rewards: rewards / (rewards.std(1, keepdim=True) + 1e-4))


@wrong("8.10", "That is the reward less the mean of the others")
def leave_one_out():
    def others(rewards):
        K = rewards.shape[1]
        return rewards - (rewards.sum(1, keepdim=True) - rewards) / (K - 1)

    return loss(advantages=others)


@wrong("8.10", "nothing is divided by the deviation")
def not_scaled():
    return loss(advantages=lambda rewards: rewards - rewards.mean(1, keepdim=True))


@wrong("8.10", "the deviation is its root")
def by_the_variance():
    def scaled(rewards):
        away = rewards - rewards.mean(1, keepdim=True)
        return away / (rewards.var(1, keepdim=True) + 1e-4)

    return loss(advantages=scaled)


@wrong("8.10", "0.0001 is missing")
def nothing_added():
    return loss(advantages=partial(groups, plus=0))


@wrong("8.10", "Answers below their group's mean were left out")
def only_the_good():
    return loss(advantages=lambda rewards: groups(rewards).clamp(min=0))


@wrong("8.10", "One mean and deviation of the whole batch")
def over_the_batch():
    return loss(advantages=lambda rewards: (rewards - rewards.mean()) / (rewards.std() + 1e-4))


@wrong("8.10", "The wrong axis")
def over_the_prompts():
    return loss(advantages=lambda rewards: groups(rewards.T).T)


@wrong("8.10", "K − 1 is asked for")
def deviation_by_k():
    return loss(advantages=partial(groups, ddof=0))


@wrong("8.10", "A mean over each answer's tokens")
def mean_of_each_answer():
    return loss(total=lambda logp, mask: (logp * mask).sum(-1) / mask.sum(-1))


@wrong("8.10", "The mask wasn't used")
def prompts_too():
    return loss(total=lambda logp, mask: logp.sum(-1))


@wrong("8.10", "of groups that are left out aren't counted")
def mean_of_all_answers():
    return loss(count=lambda rewards, mask, keep: rewards.numel())


@wrong("8.10", "Divided by the number of groups")
def mean_of_groups():
    return loss(count=lambda rewards, mask, keep: keep.sum().clamp(min=1))


@wrong("8.10", "The sum over the answers")
def summed():
    return loss(count=lambda rewards, mask, keep: 1)


@wrong("8.10", "Divided by the number of tokens")
def mean_of_tokens():
    return loss(count=lambda rewards, mask, keep: (mask & keep[:, None, None]).sum().clamp(min=1))


@wrong("8.10", "Divided by all the tokens of the mask")
def mean_of_all_tokens():
    return loss(count=lambda rewards, mask, keep: mask.sum())


@wrong("8.10", "the mean of equal numbers may be rounded")
def equal_by_the_advantage():
    return loss(keep=lambda rewards: (groups(rewards) != 0).any(1))


@wrong("8.10", "a mean over no answers is 0/0")
def mean_over_none():
    return loss(count=lambda rewards, mask, keep: keep.sum() * rewards.shape[1])


@wrong("8.10", "The sign is turned")
def sign_turned():
    return loss(sign=1)


@wrong("8.10", "The advantages are constants")
def gradient_into_the_rewards():
    def grpo_loss(logp, rewards, mask):
        keep = differing(rewards)
        gains = (groups(rewards) * (logp * mask).sum(-1))[keep]
        return -gains.sum() / max(1, gains.numel())

    return grpo_loss, unchanged


@wrong("8.10", "The loss has no gradient left")
def detached():
    return (lambda logp, rewards, mask: loss_of(logp.detach(), rewards, mask)), unchanged


@wrong("8.10", "A 0 that doesn't come from `logp`")
def a_constant_zero():
    def grpo_loss(logp, rewards, mask):
        if not differing(rewards).any():
            return torch.tensor(0.0)
        return loss_of(logp, rewards, mask)

    return grpo_loss, unchanged


# --- learning -------------------------------------------------------------------------------------


def drawn(model, some):
    return torch.tensor(model.generate(some, 3))


def learning(
    steps=2,
    P=64,
    K=8,
    lr=1e-3,
    draw=drawn,
    learn=lambda rows: rows,
    row=lambda rows: rows,
    loss=loss_of,
    fresh=True,
    end=lambda model, given: model,
):
    """Return improve with one thing wrong, and by default too short."""

    def improve(model, prompts, judge):
        given = copy.deepcopy(model)
        adam = torch.optim.AdamW(model.parameters(), lr, betas=(0.9, 0.95), weight_decay=0.0)
        for step in range(steps):
            if fresh or step == 0:
                some = prompts[torch.randint(len(prompts), (P,))].repeat_interleave(K, 0)
                rows = draw(model, some)
                rewards = judge(row(rows)).view(P, K)
                rows = learn(rows)
            logp = model(rows[:, :-1]).log_softmax(-1)
            logp = logp.gather(-1, rows[:, 1:, None])[:, 5:].view(P, K, -1)
            value = loss(logp, rewards, torch.ones_like(logp, dtype=torch.bool))
            adam.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
        return end(model, given)

    return loss_of, improve


@wrong("8.10", "Judged answers are steps · prompts · answers")
def more_than_the_budget():
    loss, improve = learning(steps=1)

    def asking_again_and_again(model, prompts, judge):
        return improve(model, prompts, lambda rows: [judge(rows) for _ in range(32)][-1])

    return loss, asking_again_and_again


@wrong("8.10", "Nothing is trained: no answer went")
def nothing_trained():
    return loss_of, unchanged


@wrong("8.10", "rows that nobody has judged")
def taught_sums_that_it_adds_itself():
    def right(rows):
        """Return the rows with the sums that they would be if 0 stood for 0."""
        a, b = 10 * rows[:, 0] + rows[:, 1], 10 * rows[:, 3] + rows[:, 4]
        answer = [(a + b) // 10**i % 10 for i in range(3)]
        return torch.cat([rows[:, :6], torch.stack(answer, 1)], 1)

    return learning(learn=right)


@wrong("8.10", "All answers to a prompt were the same")
def always_the_likeliest():
    return learning(draw=lambda model, some: torch.tensor(model.generate(some, 3, temperature=0)))


@wrong("8.10", "or they go the wrong way")
def made_less_likely():
    return learning(steps=4, lr=2e-3, loss=partial(loss_of, sign=1))


@wrong("8.10", "in a step in which no group is left")
def one_prompt_a_step():
    bare = partial(loss_of, count=lambda rewards, mask, keep: keep.sum() * rewards.shape[1])
    return learning(steps=20, P=1, K=2, loss=bare)


@wrong("8.10", "All answers were drawn before the first update")
def the_same_answers_again_and_again():
    return learning(steps=6, fresh=False)


@wrong("8.10", "The model came back as it was")
def the_old_model_returned():
    return learning(end=lambda model, given: given)


@wrong("8.10", "It has learned too little")
def hardly_any_steps():
    return learning(steps=3, lr=1e-4)


@wrong("8.10", "and no new one")
def another_model():
    return learning(end=lambda model, given: untrained(12, 9))


@wrong("8.10", "`judge` takes many at once, in a tensor")
def answers_without_their_prompts():
    return learning(row=lambda rows: rows[:, 6:])


@wrong("8.10", "rows begin with one of them")
def without_the_equals_sign():
    return learning(row=lambda rows: torch.cat([rows[:, :5], rows[:, 6:], rows[:, :1]], 1))


@wrong("8.10", "End the function with the GPT itself")
def nothing_returned():
    return learning(end=lambda model, given: None)
