"""Wrong answers to 8.5, advantages and the losses of a policy."""

import torch

from misconceptions import wrong


def less_the_others(rewards):
    K = rewards.shape[1]
    return rewards - (rewards.sum(1, keepdim=True) - rewards) / (K - 1)


def in_its_group(rewards):
    away = rewards - rewards.mean(1, keepdim=True)
    return away / (rewards.std(1, keepdim=True) + 1e-4)


def mean(x, mask):
    return (x * mask).sum() / mask.sum()


def policy_loss(logp, advantages, mask):
    return -mean(advantages[:, None] * logp, mask)


def clipped_loss(logp, old_logp, advantages, mask, clip):
    return clipping()(logp, old_logp, advantages, mask, clip)


def clipping(
    ratio_of=lambda new, old: (new - old).exp(),
    cut=lambda ratio, clip: ratio.clamp(1 - clip, 1 + clip),
    choose=torch.minimum,
    mean=mean,
    sign=-1,
):
    """Return clipped_loss with one thing wrong."""

    def clipped_loss(logp, old_logp, advantages, mask, clip):
        a, ratio = advantages[:, None], ratio_of(logp, old_logp)
        return sign * mean(choose(ratio * a, cut(ratio, clip) * a), mask)

    return clipped_loss


def others(function):
    return function, in_its_group, policy_loss, clipped_loss


def group(function):
    return less_the_others, function, policy_loss, clipped_loss


def plain(function):
    return less_the_others, in_its_group, function, clipped_loss


def clipped(**wrongly):
    return less_the_others, in_its_group, policy_loss, clipping(**wrongly)


def averaged(mean):
    """Return both losses with another mean."""
    return (
        less_the_others,
        in_its_group,
        lambda logp, advantages, mask: -mean(advantages[:, None] * logp, mask),
        clipping(mean=mean),
    )


@wrong("8.5", "The answer's own reward is in the mean")
def own_reward_too():
    return others(lambda rewards: rewards - rewards.mean(1, keepdim=True))


@wrong("8.5", "they are K − 1")
def others_by_k():
    def of(rewards):
        return rewards - (rewards.sum(1, keepdim=True) - rewards) / rewards.shape[1]

    return others(of)


@wrong("8.5", "is taken out of it first")
def all_by_k_less_1():
    def of(rewards):
        return rewards - rewards.sum(1, keepdim=True) / (rewards.shape[1] - 1)

    return others(of)


@wrong("8.5", "that is GRPO's way")
def others_divided():
    return others(lambda rewards: less_the_others(rewards) / (rewards.std(1, keepdim=True) + 1e-4))


@wrong("8.5", "A row's mean has to stand beside")
def axis_lost():
    return others(lambda rewards: rewards - (rewards.sum(1) - rewards) / (rewards.shape[1] - 1))


@wrong("8.5", "The others of all prompts")
def others_of_all():
    return others(lambda rewards: rewards - (rewards.sum() - rewards) / (rewards.numel() - 1))


@wrong("8.5", "The mean of the whole batch is subtracted")
def less_the_mean_of_all():
    return others(lambda rewards: rewards - rewards.mean())


@wrong("8.5", "the other answers to a prompt stand in its row")
def others_of_the_column():
    return others(lambda rewards: less_the_others(rewards.T).T)


@wrong("8.5", "the baseline is subtracted")
def baseline_less_reward():
    return others(lambda rewards: -less_the_others(rewards))


@wrong("8.5", "That is the baseline, not the reward")
def baseline():
    return others(lambda rewards: rewards - less_the_others(rewards))


@wrong("8.5", "The deviation has K below")
def deviation_of_all():
    def of(rewards):
        away = rewards - rewards.mean(1, keepdim=True)
        return away / (rewards.std(1, keepdim=True, correction=0) + 1e-4)

    return group(of)


@wrong("8.5", "One mean and deviation of the whole batch")
def one_group():
    return group(lambda rewards: (rewards - rewards.mean()) / (rewards.std() + 1e-4))


@wrong("8.5", "the answers to a prompt stand in its row")
def group_of_the_column():
    return group(lambda rewards: in_its_group(rewards.T).T)


@wrong("8.5", "0.0001 is missing in the deviation")
def nothing_added():
    def of(rewards):
        return (rewards - rewards.mean(1, keepdim=True)) / rewards.std(1, keepdim=True)

    return group(of)


@wrong("8.5", "to those that aren't 0 as well")
def less_added():
    def of(rewards):
        return (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-8)

    return group(of)


@wrong("8.5", "nothing is divided by the deviation")
def not_divided():
    return group(lambda rewards: rewards - rewards.mean(1, keepdim=True))


@wrong("8.5", "added under the root")
def added_to_the_variance():
    def of(rewards):
        below = (rewards.var(1, keepdim=True) + 1e-4).sqrt()
        return (rewards - rewards.mean(1, keepdim=True)) / below

    return group(of)


@wrong("8.5", "0.0001 is added to the quotient")
def added_to_the_quotient():
    def of(rewards):
        away = rewards - rewards.mean(1, keepdim=True)
        return away / rewards.std(1, keepdim=True) + 1e-4

    return group(of)


@wrong("8.5", "the mean alone is divided")
def mean_alone_divided():
    def of(rewards):
        return rewards - rewards.mean(1, keepdim=True) / (rewards.std(1, keepdim=True) + 1e-4)

    return group(of)


@wrong("8.5", "GRPO takes that of all K")
def others_over_deviation():
    return group(lambda rewards: less_the_others(rewards) / (rewards.std(1, keepdim=True) + 1e-4))


@wrong("8.5", "The deviation is that of the whole batch")
def deviation_of_the_batch():
    return group(lambda rewards: (rewards - rewards.mean(1, keepdim=True)) / (rewards.std() + 1e-4))


@wrong("8.5", "Divided by the variance")
def by_the_variance():
    def of(rewards):
        return (rewards - rewards.mean(1, keepdim=True)) / (rewards.var(1, keepdim=True) + 1e-4)

    return group(of)


@wrong("8.5", "The mean isn't subtracted")
def mean_not_subtracted():
    return group(lambda rewards: rewards / (rewards.std(1, keepdim=True) + 1e-4))


@wrong("8.5", "A mean of the answers' means")
def mean_of_means():
    return averaged(lambda x, mask: ((x * mask).sum(1) / mask.sum(1)).mean())


@wrong("8.5", "Divided by N · T")
def over_all_places():
    return averaged(lambda x, mask: (x * mask).mean())


@wrong("8.5", "it isn't divided by their number")
def summed():
    return averaged(lambda x, mask: (x * mask).sum())


@wrong("8.5", "Divided by the number of answers")
def over_answers():
    return averaged(lambda x, mask: (x * mask).sum(1).mean())


@wrong("8.5", "The mask wasn't used")
def unmasked():
    return averaged(lambda x, mask: x.mean())


@wrong("8.5", "better answers got less likely")
def less_likely():
    return plain(lambda *given: -policy_loss(*given))


@wrong("8.5", "An advantage belongs to a whole answer")
def advantages_of_tokens():
    return plain(lambda logp, advantages, mask: -mean(advantages * logp, mask))


@wrong("8.5", "The ratio is turned around")
def ratio_turned():
    return clipped(ratio_of=lambda new, old: (old - new).exp())


@wrong("8.5", "That is the logarithm of the ratio")
def log_ratio():
    return clipped(ratio_of=lambda new, old: new - old)


@wrong("8.5", "Cut off below at clip")
def from_clip_on():
    return clipped(cut=lambda ratio, clip: ratio.clamp(clip, 1 + clip))


@wrong("8.5", "Cut off above only")
def above_only():
    return clipped(cut=lambda ratio, clip: ratio.clamp(max=1 + clip))


@wrong("8.5", "Cut off below only")
def below_only():
    return clipped(cut=lambda ratio, clip: ratio.clamp(min=1 - clip))


@wrong("8.5", "The larger of the two gains")
def larger():
    return clipped(choose=torch.maximum)


@wrong("8.5", "Nothing is cut off")
def never_cut():
    return clipped(choose=lambda whole, cut: whole)


@wrong("8.5", "The cut ratio alone was taken")
def always_cut():
    return clipped(choose=lambda whole, cut: cut)


@wrong("8.5", "it is the negative of the gain")
def gain():
    return clipped(sign=1)


@wrong("8.5", "The loss has no gradient left")
def detached():
    return clipped(ratio_of=lambda new, old: (new - old).exp().detach())


@wrong("8.5", "The mean is taken twice")
def twice():
    return averaged(lambda x, mask: mean(x, mask) / len(x))


@wrong("8.5", "True stands where the policy wrote")
def others_tokens():
    return plain(lambda logp, advantages, mask: policy_loss(logp, advantages, ~mask))


@wrong("8.5", "The advantages are missing")
def without_advantages():
    return plain(lambda logp, advantages, mask: -mean(logp, mask))


@wrong("8.5", "these are several")
def for_each_token():
    return plain(lambda logp, advantages, mask: (-advantages[:, None] * logp)[mask])


@wrong("8.5", "write into the tensor that was handed over")
def in_place():
    return plain(lambda logp, *rest: policy_loss(logp.mul_(1.0), *rest))


@wrong("8.5", "Cut off below at 1 / (1 + clip)")
def inverse_limit():
    return clipped(cut=lambda ratio, clip: ratio.clamp(1 / (1 + clip), 1 + clip))


@wrong("8.5", "Cut off at 0.2")
def always_a_fifth():
    return clipped(cut=lambda ratio, clip: ratio.clamp(0.8, 1.2))


@wrong("8.5", "Every ratio is 1")
def ratio_of_itself():
    return clipped(ratio_of=lambda new, old: (new - new.detach()).exp())


@wrong("8.5", "The smaller of the two ratios")
def smaller_ratio():
    return clipped(cut=lambda ratio, clip: ratio.clamp(max=1 + clip), choose=lambda whole, cut: cut)
