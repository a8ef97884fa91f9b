"""Wrong answers to 8.3, a reward model's loss and where its reward is read."""

import torch
from torch.nn import functional as F

from misconceptions import wrong


def preference_loss(chosen, rejected):
    return -F.logsigmoid(chosen - rejected).mean()


def last_reward(rewards, lengths):
    return rewards[torch.arange(len(rewards)), lengths - 1]


def real(rewards, lengths):
    return torch.arange(rewards.shape[1]) < lengths[:, None]


@wrong("8.3", "The sign of d is turned")
def turned():
    return lambda chosen, rejected: preference_loss(rejected, chosen), last_reward


@wrong("8.3", "σ(d) is rounded to 0 before its logarithm")
def log_of_a_sigmoid():
    return lambda chosen, rejected: -(chosen - rejected).sigmoid().log().mean(), last_reward


@wrong("8.3", "That is 1 − σ(d)")
def share_of_wrong_ones():
    return lambda chosen, rejected: (rejected - chosen).sigmoid().mean(), last_reward


@wrong("8.3", "That is −σ(d), without the logarithm")
def without_the_logarithm():
    return lambda chosen, rejected: -(chosen - rejected).sigmoid().mean(), last_reward


@wrong("8.3", "The minus in front of the logarithm")
def without_the_minus():
    return lambda chosen, rejected: -preference_loss(chosen, rejected), last_reward


@wrong("8.3", "A hinge: it asks for a margin")
def hinge():
    return lambda chosen, rejected: (1 - chosen + rejected).relu().mean(), last_reward


@wrong("8.3", "The differences themselves")
def differences():
    return lambda chosen, rejected: (rejected - chosen).mean(), last_reward


@wrong("8.3", "The squared distance of d from 1")
def squares():
    return lambda chosen, rejected: F.mse_loss(chosen, rejected + 1), last_reward


@wrong("8.3", "A hinge at 0")
def hinge_at_zero():
    return lambda chosen, rejected: (rejected - chosen).relu().mean(), last_reward


@wrong("8.3", "is for strengths")
def of_strengths():
    return lambda chosen, rejected: -(chosen / (chosen + rejected)).log().mean(), last_reward


@wrong("8.3", "Each reward is compared with 0")
def each_alone():
    def way(chosen, rejected):
        return preference_loss(chosen, 0 * chosen) + preference_loss(0 * rejected, rejected)

    return way, last_reward


@wrong("8.3", "have a corner there")
def corner_of_clamp():
    def way(chosen, rejected):
        d = chosen - rejected
        return ((-d).clamp(min=0) + (-d.abs()).exp().log1p()).mean()

    return way, last_reward


@wrong("8.3", "both branches of `torch.where`")
def both_branches():
    def way(chosen, rejected):
        d = chosen - rejected
        return torch.where(d < -30, -d, (-d).exp().log1p()).mean()

    return way, last_reward


@wrong("8.3", "was kept from its end")
def small_number_added():
    return lambda chosen, rejected: -((chosen - rejected).sigmoid() + 1e-8).log().mean(), (
        last_reward
    )


@wrong("8.3", "NaN may come of ∞ / ∞")
def softmax_by_hand():
    def way(chosen, rejected):
        return -(chosen.exp() / (chosen.exp() + rejected.exp())).log().mean()

    return way, last_reward


@wrong("8.3", "Divided by 2N")
def divided_by_all():
    def way(chosen, rejected):
        return preference_loss(chosen, rejected) / 2

    return way, last_reward


@wrong("8.3", "a tensor that was made anew")
def made_anew():
    def way(chosen, rejected):
        return torch.tensor(preference_loss(chosen, rejected).item(), requires_grad=True)

    return way, last_reward


@wrong("8.3", "has left an axis to it")
def axis_kept():
    return lambda chosen, rejected: -F.logsigmoid(chosen - rejected).mean(0, keepdim=True), (
        last_reward
    )


@wrong("8.3", "write into the tensor that was handed over")
def in_place():
    def way(chosen, rejected):
        chosen -= rejected
        return -F.logsigmoid(chosen).mean()

    return way, last_reward


@wrong("8.3", "makes one tensor of several")
def as_a_list():
    return preference_loss, lambda rewards, lengths: list(last_reward(rewards, lengths))


@wrong("8.3", "An index is beyond the last row")
def columns_first():
    return preference_loss, lambda rewards, lengths: rewards[lengths - 1, range(len(lengths))]


@wrong("8.3", "The mean of the rows' last rewards")
def mean_of_all_rows():
    return preference_loss, lambda rewards, lengths: last_reward(rewards, lengths).mean()


@wrong("8.3", "The logarithm has the base 2")
def in_bits():
    return lambda chosen, rejected: preference_loss(chosen, rejected) / 0.6931471805599453, (
        last_reward
    )


@wrong("8.3", "The mean was taken of the differences")
def mean_first():
    return lambda chosen, rejected: -F.logsigmoid((chosen - rejected).mean()), last_reward


@wrong("8.3", "made (N, N) of the pairs")
def every_pair():
    return lambda chosen, rejected: preference_loss(chosen[:, None], rejected), last_reward


@wrong("8.3", "The sum over the pairs")
def summed():
    return lambda chosen, rejected: -F.logsigmoid(chosen - rejected).sum(), last_reward


@wrong("8.3", "these are several")
def one_for_each():
    return lambda chosen, rejected: -F.logsigmoid(chosen - rejected), last_reward


@wrong("8.3", "No gradient reaches the rejected rewards")
def rejected_detached():
    return lambda chosen, rejected: preference_loss(chosen, rejected.detach()), last_reward


@wrong("8.3", "No gradient reaches the chosen rewards")
def chosen_detached():
    return lambda chosen, rejected: preference_loss(chosen.detach(), rejected), last_reward


@wrong("8.3", "The loss has no gradient left")
def both_detached():
    return lambda chosen, rejected: preference_loss(chosen, rejected).detach(), last_reward


@wrong("8.3", "That is the last column")
def last_column():
    return preference_loss, lambda rewards, lengths: rewards[:, -1]


@wrong("8.3", "One place too far")
def at_the_length():
    def read(rewards, lengths):
        return rewards[torch.arange(len(rewards)), lengths]

    return preference_loss, read


@wrong("8.3", "One place too early")
def two_less():
    def read(rewards, lengths):
        return rewards[torch.arange(len(rewards)), lengths - 2]

    return preference_loss, read


@wrong("8.3", "The mean over the real tokens")
def mean_of_a_row():
    def read(rewards, lengths):
        return (rewards * real(rewards, lengths)).sum(1) / lengths

    return preference_loss, read


@wrong("8.3", "The sum over the real tokens")
def sum_of_a_row():
    return preference_loss, lambda rewards, lengths: (rewards * real(rewards, lengths)).sum(1)


@wrong("8.3", "The mean over all places")
def mean_with_padding():
    return preference_loss, lambda rewards, lengths: rewards.mean(1)


@wrong("8.3", "The largest reward of a row")
def largest():
    def read(rewards, lengths):
        return rewards.masked_fill(~real(rewards, lengths), -torch.inf).max(1).values

    return preference_loss, read


@wrong("8.3", "That is the first token")
def first():
    return preference_loss, lambda rewards, lengths: rewards[:, 0]


@wrong("8.3", "The length of the first row")
def length_of_the_first():
    return preference_loss, lambda rewards, lengths: rewards[:, lengths[0] - 1]


@wrong("8.3", "The length of the longest row")
def longest():
    return preference_loss, lambda rewards, lengths: rewards[:, lengths.max() - 1]


@wrong("8.3", "`gather` keeps the axis")
def gathered():
    return preference_loss, lambda rewards, lengths: rewards.gather(1, lengths[:, None] - 1)


@wrong("8.3", "at the last places of all rows")
def columns():
    return preference_loss, lambda rewards, lengths: rewards[:, lengths - 1]


@wrong("8.3", "The last reward that isn't 0")
def last_that_is_not_zero():
    def read(rewards, lengths):
        places = torch.where(rewards != 0, torch.arange(rewards.shape[1]), 0).max(1).values
        return rewards[torch.arange(len(rewards)), places]

    return preference_loss, read


@wrong("8.3", "No gradient leads from what was returned to the rewards")
def reward_detached():
    return preference_loss, lambda rewards, lengths: last_reward(rewards, lengths).detach()
