"""Wrong answers to 8.6, DPO."""

import torch
import torch.nn.functional as F

from misconceptions import wrong


def each(model, tokens, axis=-1):
    logits = model(tokens)[:, :-1].log_softmax(axis)
    return logits.gather(-1, tokens[:, 1:, None])[..., 0]


def answer_logprobs(model, tokens, mask):
    return (each(model, tokens) * mask[:, 1:]).sum(1)


def dpo_loss(policy, reference, chosen, rejected, beta):
    margin, _ = margins(policy, reference, chosen, rejected)
    return -F.logsigmoid(beta * margin).mean()


def margins(policy, reference, chosen, rejected, of=answer_logprobs):
    pairs = [of(policy, *its) for its in (chosen, rejected)]
    with torch.no_grad():
        pairs += [of(reference, *its) for its in (chosen, rejected)]
    pc, pr, rc, rr = pairs
    return pc - rc - pr + rr, pairs


def summing(turn):
    """Return answers of which the first sums wrongly: `turn(its, tokens, mask)`."""
    return lambda model, tokens, mask: turn(each(model, tokens), tokens, mask), dpo_loss


def comparing(loss):
    """Return answers of which the second compares wrongly: `loss(margin, pairs, beta)`."""

    def compared(policy, reference, chosen, rejected, beta):
        return loss(*margins(policy, reference, chosen, rejected), beta)

    return answer_logprobs, compared


@wrong("8.6", "The mean over the answer's tokens")
def mean_of_tokens():
    return summing(lambda its, tokens, mask: (its * mask[:, 1:]).sum(1) / mask.sum(1))


@wrong("8.6", "Question and padding count too")
def whole_rows():
    return summing(lambda its, tokens, mask: its.sum(1))


@wrong("8.6", "All that stands behind the answer's first token counts")
def padding_too():
    return summing(lambda its, tokens, mask: (its * (mask.cumsum(1) > 0)[:, 1:]).sum(1))


@wrong("8.6", "The questions count as well as the answers")
def questions_too():
    def turn(its, tokens, mask):
        until = mask.flip(1).cumsum(1).flip(1) > 0
        return (its * until[:, 1:]).sum(1)

    return summing(turn)


@wrong("8.6", "What stands between two answers counts")
def one_stretch():
    def turn(its, tokens, mask):
        until = (mask.flip(1).cumsum(1).flip(1) > 0) & (mask.cumsum(1) > 0)
        return (its * until[:, 1:]).sum(1)

    return summing(turn)


@wrong("8.6", "Each token is judged by its own position's logits")
def not_shifted():
    def own(model, tokens, mask):
        its = model(tokens).log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
        return (its * mask).sum(1)

    return own, dpo_loss


@wrong("8.6", "Shifted the wrong way")
def shifted_backwards():
    def backwards(model, tokens, mask):
        its = model(tokens).log_softmax(-1)[:, 1:].gather(-1, tokens[:, :-1, None])[..., 0]
        return (its * mask[:, :-1]).sum(1)

    return backwards, dpo_loss


@wrong("8.6", "The mask isn't shifted with the tokens")
def mask_left_behind():
    return summing(lambda its, tokens, mask: (its * mask[:, :-1]).sum(1))


@wrong("8.6", "The mask is shifted twice")
def mask_moved_twice():
    return summing(lambda its, tokens, mask: (its[:, :-1] * mask[:, 2:]).sum(1))


@wrong("8.6", "The first token of each answer is lost")
def first_token_lost():
    return summing(lambda its, tokens, mask: (its * (mask[:, 1:] & mask[:, :-1])).sum(1))


@wrong("8.6", "The last column is lost")
def last_column_lost():
    return summing(lambda its, tokens, mask: (its * mask[:, 1:])[:, :-1].sum(1))


@wrong("8.6", "The last token of each answer is lost")
def end_of_turn_lost():
    def turn(its, tokens, mask):
        goes_on = F.pad(mask[:, 1:], (0, 1))
        return (its * (mask & goes_on)[:, 1:]).sum(1)

    return summing(turn)


@wrong("8.6", "a probability is below 0")
def losses():
    return summing(lambda its, tokens, mask: -(its * mask[:, 1:]).sum(1))


def negative(model, tokens, mask):
    return -answer_logprobs(model, tokens, mask)


def loss_of_negatives(policy, reference, chosen, rejected, beta):
    margin, _ = margins(policy, reference, chosen, rejected, negative)
    return -F.logsigmoid(beta * margin).mean()


@wrong("8.6", "The other sign: the logarithm")
def negative_in_both():
    return negative, loss_of_negatives


@wrong("8.6", "or if each log-probability has the other sign")
def negative_in_the_loss():
    return answer_logprobs, loss_of_negatives


@wrong("8.6", "Logarithms to the base 2")
def in_bits():
    return summing(lambda its, tokens, mask: (its * mask[:, 1:]).sum(1) / 0.6931471805599453)


@wrong("8.6", "Probabilities are added")
def probabilities():
    return summing(lambda its, tokens, mask: (its.exp() * mask[:, 1:]).sum(1))


@wrong("8.6", "The probability itself")
def multiplied():
    return summing(lambda its, tokens, mask: (its * mask[:, 1:]).sum(1).exp())


@wrong("8.6", "Logits are added")
def raw():
    def logits(model, tokens, mask):
        its = model(tokens)[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0]
        return (its * mask[:, 1:]).sum(1)

    return logits, dpo_loss


@wrong("8.6", "`log_softmax` goes along the positions")
def along_the_positions():
    def along(model, tokens, mask):
        its = model(tokens).log_softmax(1)[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0]
        return (its * mask[:, 1:]).sum(1)

    return along, dpo_loss


@wrong("8.6", "One sum of all rows")
def one_number():
    return summing(lambda its, tokens, mask: (its * mask[:, 1:]).sum())


@wrong("8.6", "`log_softmax` never leaves the logarithms")
def underflow():
    def logs(model, tokens, mask):
        probs = model(tokens)[:, :-1].softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
        return torch.where(mask[:, 1:], probs.log(), 0.0).sum(1)

    return logs, dpo_loss


@wrong("8.6", "stay in float64")
def in_float32():
    def single(model, tokens, mask):
        its = model(tokens).float()[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])
        return (its[..., 0] * mask[:, 1:]).sum(1)

    return single, dpo_loss


@wrong("8.6", "The sum over the pairs")
def summed_pairs():
    return comparing(lambda margin, _, beta: -F.logsigmoid(beta * margin).sum())


@wrong("8.6", "The mean of the margins, and then")
def mean_first():
    return comparing(lambda margin, _, beta: -F.logsigmoid(beta * margin.mean()))


@wrong("8.6", "The margin has the other sign")
def the_worse_one():
    return comparing(lambda margin, _, beta: -F.logsigmoid(-beta * margin).mean())


@wrong("8.6", "the loss is above 0")
def gain():
    return comparing(lambda margin, _, beta: F.logsigmoid(beta * margin).mean())


@wrong("8.6", "The reference is left out")
def no_reference():
    return comparing(lambda _, p, beta: -F.logsigmoid(beta * (p[0] - p[1])).mean())


@wrong("8.6", "The reference's log-probabilities are added")
def reference_added():
    return comparing(
        lambda _, p, beta: -F.logsigmoid(beta * (p[0] + p[2] - p[1] - p[3])).mean(),
    )


@wrong("8.6", "β is left out")
def no_beta():
    return comparing(lambda margin, _, beta: -F.logsigmoid(margin).mean())


@wrong("8.6", "β stands in front of the loss")
def beta_outside():
    return comparing(lambda margin, _, beta: -beta * F.logsigmoid(margin).mean())


@wrong("8.6", "The margin is divided by β")
def divided():
    return comparing(lambda margin, _, beta: -F.logsigmoid(margin / beta).mean())


@wrong("8.6", "β multiplies the policy's part alone")
def half_of_beta():
    return comparing(
        lambda _, p, beta: -F.logsigmoid(beta * (p[0] - p[1]) - (p[2] - p[3])).mean(),
    )


@wrong("8.6", "Each answer's log-probability is divided by its length")
def by_length():
    def mean(model, tokens, mask):
        return answer_logprobs(model, tokens, mask) / mask.sum(1)

    def loss(policy, reference, chosen, rejected, beta):
        margin, _ = margins(policy, reference, chosen, rejected, mean)
        return -F.logsigmoid(beta * margin).mean()

    return answer_logprobs, loss


@wrong("8.6", "Ratios are compared")
def ratios():
    def loss(_, p, beta):
        return -F.logsigmoid(beta * ((p[0] - p[2]).exp() - (p[1] - p[3]).exp())).mean()

    return comparing(loss)


@wrong("8.6", "That is the mean of σ itself")
def no_logarithm():
    return comparing(lambda margin, _, beta: torch.sigmoid(beta * margin).mean())


@wrong("8.6", "The margin itself, without")
def no_sigmoid():
    return comparing(lambda margin, _, beta: -(beta * margin).mean())


@wrong("8.6", "A hinge")
def hinge():
    return comparing(lambda margin, _, beta: (1 - beta * margin).clamp(min=0).mean())


@wrong("8.6", "σ is taken of each answer alone")
def each_alone():
    def loss(_, p, beta):
        better, worse = beta * (p[0] - p[2]), beta * (p[1] - p[3])
        return -(F.logsigmoid(better) + F.logsigmoid(-worse)).mean()

    return comparing(loss)


@wrong("8.6", "ask it within `with torch.no_grad():`")
def reference_learns():
    def loss(policy, reference, chosen, rejected, beta):
        policy_margin = answer_logprobs(policy, *chosen) - answer_logprobs(policy, *rejected)
        margin = answer_logprobs(reference, *chosen) - answer_logprobs(reference, *rejected)
        return -F.logsigmoid(beta * (policy_margin - margin)).mean()

    return answer_logprobs, loss


@wrong("8.6", "The loss hangs on nothing that learns")
def nothing_learns():
    return answer_logprobs, torch.no_grad()(dpo_loss)


@wrong("8.6", "a part of it was detached")
def rejected_detached():
    def loss(_, p, beta):
        return -F.logsigmoid(beta * (p[0] - p[2] - p[1].detach() + p[3])).mean()

    return comparing(loss)


@wrong("8.6", "σ has become 0, or e to the margin")
def sigmoid_and_then_log():
    return comparing(lambda margin, _, beta: -torch.sigmoid(beta * margin).log().mean())
