"""Wrong answers to 7.6, top-p sampling."""

import torch
from torch.nn import functional as F

from misconceptions import wrong


def nucleus(
    logits,
    p,
    temperature=1.0,
    keep=lambda falling, p: falling.cumsum(-1) - falling < p,
    back=True,
    divide=True,
):
    """The right answer with switches."""
    probs = F.softmax(logits / temperature, -1)
    if p >= 1:
        return probs
    falling, order = probs.sort(dim=-1, descending=True)
    kept = torch.where(keep(falling, p), falling, 0.0)
    if back:
        kept = torch.zeros_like(probs).scatter(-1, order, kept)
    return kept / kept.sum(-1, keepdim=True) if divide else kept


def filtered(keep):
    """An answer that decides on unsorted probabilities."""

    def top_p(logits, p, temperature=1.0):
        probs = F.softmax(logits / temperature, -1)
        kept = torch.where(keep(probs, p), probs, 0.0)
        return kept / kept.sum(-1, keepdim=True)

    return top_p


@wrong("7.6", "The decision was made in sorted order and used in the vocabulary's")
def mask_not_put_back():
    def keep(probs, p):
        falling = probs.sort(dim=-1, descending=True).values
        return falling.cumsum(-1) - falling < p

    return filtered(keep)


@wrong("7.6", "The result is in sorted order")
def left_sorted():
    return lambda *given: nucleus(*given, back=False)


@wrong("7.6", "sorted once more instead of put back")
def gathered_back():
    def top_p(logits, p, temperature=1.0):
        order = logits.sort(dim=-1, descending=True).indices
        return nucleus(logits, p, temperature, back=False).gather(-1, order)

    return top_p


@wrong("7.6", "and draw none")
def a_token_drawn():
    return lambda *given: torch.multinomial(nucleus(*given), 1)


@wrong("7.6", "the right side needs `.clone()`")
def shifted_onto_itself():
    def keep(falling, p):
        drop = falling.cumsum(-1) > p
        drop[..., 1:] = drop[..., :-1]
        drop[..., 0] = False
        return ~drop

    return lambda *given: nucleus(*given, keep=keep)


@wrong("7.6", "The token with which the sum reaches p is dropped")
def crossing_token_dropped():
    return lambda *given: nucleus(*given, keep=lambda falling, p: falling.cumsum(-1) <= p)


@wrong("7.6", "Nothing is left, hence the zeros or NaN")
def nothing_left_when_sure():
    def keep(falling, p):
        sums = falling.cumsum(-1)
        first = sums < p
        crossing = (~first).int().cumsum(-1) == 1
        return first | (crossing & (sums[:, :1] < p))

    return lambda *given: nucleus(*given, keep=keep)


@wrong("7.6", "One token too many is kept")
def one_too_many():
    def keep(falling, p):
        before = (falling.cumsum(-1) - falling).roll(1, -1)
        before[:, 0] = 0
        return before < p

    return lambda *given: nucleus(*given, keep=keep)


@wrong("7.6", "What is left doesn't add up to 1")
def not_renormalised():
    return lambda *given: nucleus(*given, divide=False)


@wrong("7.6", "The temperature comes after the filter")
def temperature_after_the_filter():
    def top_p(logits, p, temperature=1.0):
        keep = nucleus(logits, p) > 0
        return F.softmax((logits / temperature).masked_fill(~keep, float("-inf")), -1)

    return top_p


@wrong("7.6", "The temperature isn't used")
def temperature_ignored():
    return lambda logits, p, temperature=1.0: nucleus(logits, p)


@wrong("7.6", "The logits are multiplied by the temperature")
def multiplied_by_the_temperature():
    return lambda logits, p, temperature=1.0: nucleus(logits, p, 1 / temperature)


@wrong("7.6", "not along the batch")
def summed_down_the_batch():
    return lambda *given: nucleus(*given, keep=lambda f, p: f.cumsum(0) - f < p)


@wrong("7.6", "as many as the first row needs")
def first_row_for_all():
    def keep(falling, p):
        count = (falling.cumsum(-1) - falling < p)[0].sum()
        return torch.arange(falling.shape[1]).expand(falling.shape) < count

    return lambda *given: nucleus(*given, keep=keep)


@wrong("7.6", "One nucleus is taken of the whole batch")
def flattened():
    def top_p(logits, p, temperature=1.0):
        probs = F.softmax(logits / temperature, -1)
        kept = nucleus((probs / len(probs)).flatten()[None].log(), p).view(logits.shape) > 0
        return probs * kept / (probs * kept).sum(-1, keepdim=True)

    return top_p


@wrong("7.6", "You add up logits")
def logits_added_up():
    def top_p(logits, p, temperature=1.0):
        falling, order = (logits / temperature).sort(dim=-1, descending=True)
        drop = falling.cumsum(-1) - falling >= p
        drop = torch.zeros_like(drop).scatter(-1, order, drop)
        return F.softmax((logits / temperature).masked_fill(drop, float("-inf")), -1)

    return top_p


@wrong("7.6", "the logits are divided by it as it is, however small or large")
def temperature_kept_below_a_limit():
    return lambda logits, p, temperature=1.0: nucleus(logits, p, min(temperature, 2.0))


@wrong("7.6", "at temperature 0.9, where")
def temperature_below_one_kept_above_a_limit():
    def top_p(logits, p, temperature=1.0):
        return nucleus(logits, p, temperature if p == 1 else max(temperature, 0.9))

    return top_p


@wrong("7.6", "at temperature 0.8: where none is passed")
def temperature_with_another_default():
    return lambda logits, p, temperature=0.8: nucleus(logits, p, temperature)


@wrong("7.6", "With p = 1, too, the temperature is used as it is")
def temperature_kept_above_a_limit():
    return lambda logits, p, temperature=1.0: nucleus(logits, p, max(temperature, 0.1))


@wrong("7.6", "The temperature is used twice")
def temperature_twice():
    return lambda logits, p, temperature=1.0: nucleus(logits / temperature, p, temperature)


@wrong("7.6", "Unlikely tokens are lost")
def tail_lost_at_one():
    def top_p(logits, p, temperature=1.0):
        return nucleus(logits.double(), min(p, 1 - 1e-16), temperature).float()

    return top_p


@wrong("7.6", "whose own probability is at least p:")
def at_least_p_each():
    return filtered(lambda probs, p: probs >= p)


@wrong("7.6", "whose own probability is at least 1 − p")
def at_least_one_minus_p_each():
    return filtered(lambda probs, p: probs >= 1 - p)


@wrong("7.6", "(that is min-p)")
def min_p():
    return filtered(lambda probs, p: probs >= p * probs.amax(-1, keepdim=True))


@wrong("7.6", "which is p · V")
def share_of_the_vocabulary():
    def keep(falling, p):
        V = falling.shape[1]
        return torch.arange(V).expand(falling.shape) < max(1, round(p * V))

    return lambda *given: nucleus(*given, keep=keep)


@wrong("7.6", "in the vocabulary's order: sort each row first")
def not_sorted():
    return filtered(lambda probs, p: probs.cumsum(-1) - probs < p)


@wrong("7.6", "Sorted in rising order")
def rising():
    def top_p(logits, p, temperature=1.0):
        probs = F.softmax(logits / temperature, -1)
        rising, order = probs.sort(dim=-1)
        kept = torch.where(rising.cumsum(-1) - rising < p, rising, 0.0)
        probs = torch.zeros_like(probs).scatter(-1, order, kept)
        return probs / probs.sum(-1, keepdim=True)

    return top_p


@wrong("7.6", "These are filtered logits")
def logits_come_back():
    def top_p(logits, p, temperature=1.0):
        return logits.masked_fill(nucleus(logits, p, temperature) == 0, float("-inf"))

    return top_p


@wrong("7.6", "are set to 0, and softmax gives them exp(0)")
def logits_set_to_zero():
    def top_p(logits, p, temperature=1.0):
        return F.softmax((logits / temperature) * (nucleus(logits, p, temperature) > 0), -1)

    return top_p


@wrong("7.6", "You overwrite the caller's logits")
def overwrites_the_logits():
    def top_p(logits, p, temperature=1.0):
        logits /= temperature
        logits[nucleus(logits, p) == 0] = float("-inf")
        return F.softmax(logits, -1)

    return top_p


@wrong("7.6", "exp of a large logit is infinite")
def exp_overflows():
    def top_p(logits, p, temperature=1.0):
        likely = (logits / temperature).exp()
        probs = likely / likely.sum(-1, keepdim=True)
        return nucleus(probs.log(), p)

    return top_p


@wrong("7.6", "These are the logits: p = 1")
def logits_for_everything():
    return lambda logits, p, t=1.0: logits if p >= 1 else nucleus(logits, p, t)


@wrong("7.6", "divide each row by its own sum")
def divided_by_the_sum_of_all():
    def top_p(*given):
        kept = nucleus(*given, divide=False)
        return kept / kept.sum()

    return top_p


@wrong("7.6", "The nucleus is dropped, and the rest")
def rest_kept():
    return lambda *given: nucleus(*given, keep=lambda falling, p: falling.cumsum(-1) - falling >= p)


@wrong("7.6", "The temperature divides probabilities")
def probabilities_divided():
    def top_p(logits, p, temperature=1.0):
        falling, order = (logits.softmax(-1) / temperature).sort(dim=-1, descending=True)
        kept = torch.where((falling.cumsum(-1) - falling < p) | (p >= 1), falling, 0.0)
        probs = torch.zeros_like(kept).scatter(-1, order, kept)
        return probs / probs.sum(-1, keepdim=True)

    return top_p


@wrong("7.6", "decide by the place in sorted order")
def all_ties_kept():
    def top_p(logits, p, temperature=1.0):
        probs = F.softmax(logits / temperature, -1)
        if p >= 1:
            return probs
        falling = probs.sort(dim=-1, descending=True).values
        count = (falling.cumsum(-1) - falling < p).sum(-1, keepdim=True)
        kept = torch.where(probs >= falling.gather(-1, count - 1), probs, 0.0)
        return kept / kept.sum(-1, keepdim=True)

    return top_p


@wrong("7.6", "it has reached p, and the nucleus is complete")
def more_than_p():
    return lambda *given: nucleus(*given, keep=lambda f, p: f.cumsum(-1) - f <= p)


@wrong("7.6", "With p = 1, too, the logits are divided")
def p_of_1_without_the_temperature():
    def top_p(logits, p, temperature=1.0):
        return F.softmax(logits, -1) if p >= 1 else nucleus(logits, p, temperature)

    return top_p


@wrong("7.6", "compare with p itself, not with a little less")
def a_thousandth_less():
    return lambda *given: nucleus(*given, keep=lambda f, p: f.cumsum(-1) - f < p - 1e-3)


@wrong("7.6", "compare with p itself, not with a little more")
def a_thousandth_more():
    return lambda *given: nucleus(*given, keep=lambda f, p: f.cumsum(-1) - f < p + 1e-3)


@wrong("7.6", "`gather` with their `argsort(-1)`, not one")
def scattered_by_the_argsort():
    def top_p(logits, p, temperature=1.0):
        order = logits.sort(dim=-1, descending=True).indices
        falling = nucleus(logits, p, temperature, back=False)
        return torch.zeros_like(falling).scatter(-1, order.argsort(-1), falling)

    return lambda logits, p, t=1.0: nucleus(logits, p, t) if p >= 1 else top_p(logits, p, t)


@wrong("7.6", "For a p below 1, too, there is a nucleus")
def everything_above_999_thousandths():
    return lambda logits, p, t=1.0: nucleus(logits, 1 if p > 0.999 else p, t)


@wrong("7.6", "The axis of the batch is gone")
def one_row_squeezed():
    return lambda *given: nucleus(*given).squeeze(0)


@wrong("7.6", "their data type isn't that of what came in")
def double_comes_back():
    return lambda *given: nucleus(given[0].double(), *given[1:])


@wrong("7.6", "as if top-k came first")
def the_first_fifty_alone():
    def top_p(logits, p, temperature=1.0):
        probs = F.softmax(logits / temperature, -1)
        if p >= 1:
            return probs
        falling, order = probs.topk(min(50, probs.shape[1]))
        kept = torch.where(falling.cumsum(-1) - falling < p, falling, 0.0)
        probs = torch.zeros_like(probs).scatter(-1, order, kept)
        return probs / probs.sum(-1, keepdim=True)

    return top_p
