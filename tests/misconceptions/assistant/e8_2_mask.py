"""Wrong answers to 8.2, the loss mask of fine-tuning."""

import torch
from torch.nn import functional as F

from misconceptions import wrong


def speakers(tokens, roles):
    """Return who speaks at each place, as the role's token, and where role tokens stand."""
    is_role = torch.isin(tokens, torch.tensor(list(roles.values())))
    place = torch.where(is_role, torch.arange(tokens.shape[1]), 0).cummax(1).values
    return tokens.gather(1, place), is_role


def real(tokens, lengths):
    return torch.arange(tokens.shape[1]) < lengths[:, None]


def right_mask(tokens, lengths, roles, end):
    speaker, is_role = speakers(tokens, roles)
    return (speaker == roles["assistant"]) & ~is_role & real(tokens, lengths)


def shifted(tokens, mask, nothing=-100):
    return tokens[:, 1:].masked_fill(~mask[:, 1:], nothing)


def targets_of(tokens, lengths, roles, end):
    return shifted(tokens, right_mask(tokens, lengths, roles, end))


def masked_loss(logits, targets):
    total = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    return total / (targets != -100).sum().clamp(min=1)


def masking(mask_of, nothing=-100):
    """Return the answers with another mask."""

    def targets_of(tokens, lengths, roles, end):
        return shifted(tokens, mask_of(tokens, lengths, roles, end), nothing)

    return targets_of, masked_loss


@wrong("8.2", "The questions are learnt, too")
def questions_too():
    def mask(tokens, lengths, roles, end):
        return real(tokens, lengths) & ~speakers(tokens, roles)[1]

    return masking(mask)


@wrong("8.2", "Every token is a target, questions and padding")
def everything():
    return masking(lambda tokens, lengths, roles, end: ~speakers(tokens, roles)[1])


@wrong("8.2", "The other way round: the others' words")
def the_others():
    def mask(tokens, lengths, roles, end):
        speaker, is_role = speakers(tokens, roles)
        return (speaker != roles["assistant"]) & ~is_role & real(tokens, lengths)

    return masking(mask)


@wrong("8.2", "An empty turn of the assistant is its `end` alone")
def empty_turns_left_out():
    def mask(tokens, lengths, roles, end):
        is_role = speakers(tokens, roles)[1]
        empty = (tokens == end) & is_role.roll(1, 1)
        return right_mask(tokens, lengths, roles, end) & ~empty

    return masking(mask)


@wrong("8.2", "A turn that was cut is left out")
def cut_turns_left_out():
    def mask(tokens, lengths, roles, end):
        place = torch.arange(tokens.shape[1])
        ends = torch.where((tokens == end) & real(tokens, lengths), place, -1).amax(1)
        return right_mask(tokens, lengths, roles, end) & (place <= ends[:, None])

    return masking(mask)


@wrong("8.2", "from the first answer on")
def from_the_first_answer():
    def mask(tokens, lengths, roles, end):
        begun = (tokens == roles["assistant"]).cumsum(1) > 0
        return begun & ~speakers(tokens, roles)[1] & real(tokens, lengths)

    return masking(mask)


def until_the_user(tokens, lengths, roles, end):
    speaker, _ = speakers(tokens, {name: roles[name] for name in ("user", "assistant")})
    return (speaker == roles["assistant"]) & (tokens != roles["assistant"]) & real(tokens, lengths)


@wrong("8.2", "every role's token begins another turn")
def system_learnt_with_the_answer():
    return masking(until_the_user)


@wrong("8.2", "A system's turn behind an answer")
def text_of_the_system_learnt():
    def mask(tokens, *given):
        roles = given[1]
        return until_the_user(tokens, *given) & (tokens != roles["system"])

    return masking(mask)


@wrong("8.2", "Only the last answer of a row")
def last_answer():
    def mask(tokens, lengths, roles, end):
        n = (tokens == roles["assistant"]).cumsum(1)
        return right_mask(tokens, lengths, roles, end) & (n == n[:, -1:])

    return masking(mask)


@wrong("8.2", "Only the first answer of a row")
def first_answer():
    def mask(tokens, lengths, roles, end):
        n = (tokens == roles["assistant"]).cumsum(1)
        return right_mask(tokens, lengths, roles, end) & (n == 1)

    return masking(mask)


@wrong("8.2", "The assistant's role token is a target")
def role_tokens_too():
    def mask(tokens, lengths, roles, end):
        return right_mask(tokens, lengths, roles, end) | (tokens == roles["assistant"])

    return masking(mask)


@wrong("8.2", "the model never learns to stop")
def padding_by_its_token():
    def mask(tokens, lengths, roles, end):
        return right_mask(tokens, lengths, roles, end) & (tokens != end)

    return masking(mask)


@wrong("8.2", "The ends of the others' turns are targets")
def all_ends():
    def mask(tokens, lengths, roles, end):
        ends = (tokens == end) & real(tokens, lengths)
        return right_mask(tokens, lengths, roles, end) | ends

    return masking(mask)


@wrong("8.2", "Padding is a target")
def padding_too():
    def mask(tokens, lengths, roles, end):
        return right_mask(tokens, lengths, roles, end) | ~real(tokens, lengths)

    return masking(mask)


@wrong("8.2", "the padding behind it was taken for its end")
def until_the_first_end():
    def mask(tokens, lengths, roles, end):
        speaker, is_role = speakers(tokens, roles)
        behind_an_end = torch.zeros_like(is_role)
        behind_an_end[:, 1:] = tokens[:, :-1] == end
        return (speaker == roles["assistant"]) & ~is_role & ~behind_an_end

    return masking(mask)


@wrong("8.2", "The last real token of a row counts")
def lengths_less_one():
    def mask(tokens, lengths, roles, end):
        return right_mask(tokens, lengths - 1, roles, end)

    return masking(mask)


@wrong("8.2", "a model that repeats its input would be perfect")
def not_shifted():
    def same(tokens, lengths, roles, end):
        mask = right_mask(tokens, lengths, roles, end)
        return tokens.masked_fill(~mask, -100)[:, :-1]

    return same, masked_loss


@wrong("8.2", "The tokens are shifted, and the mask isn't")
def mask_not_shifted():
    def behind(tokens, lengths, roles, end):
        mask = right_mask(tokens, lengths, roles, end)
        return tokens[:, 1:].masked_fill(~mask[:, :-1], -100)

    return behind, masked_loss


@wrong("8.2", "T columns, where the model gets T − 1")
def all_columns():
    def whole(tokens, lengths, roles, end):
        return tokens.masked_fill(~right_mask(tokens, lengths, roles, end), -100)

    return whole, masked_loss


@wrong("8.2", "−1 stands where −100 is asked for")
def minus_one():
    return masking(right_mask, -1)


@wrong("8.2", "0 stands where −100 is asked for")
def zero():
    return masking(right_mask, 0)


@wrong("8.2", "The token 0 was left out: it is one")
def zero_is_nothing():
    def mask(tokens, lengths, roles, end):
        return right_mask(tokens, lengths, roles, end) & (tokens != 0)

    return masking(mask)


@wrong("8.2", "their data type isn't that of what came in, int64")
def narrow():
    return lambda *given: targets_of(*given).int(), masked_loss


@wrong("8.2", "A mean of the rows' means: a target")
def mean_of_means():
    def loss(logits, targets):
        rows = zip(logits, targets, strict=True)
        means = [F.cross_entropy(x, y) for x, y in rows if (y != -100).any()]
        return torch.stack(means).mean() if means else logits.sum() * 0

    return targets_of, loss


@wrong("8.2", "rows without a target included")
def mean_of_all_rows():
    def loss(logits, targets):
        means = [masked_loss(x[None], y[None]) for x, y in zip(logits, targets, strict=True)]
        return torch.stack(means).mean()

    return targets_of, loss


@wrong("8.2", "it isn't divided by their number")
def summed():
    def loss(logits, targets):
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")

    return targets_of, loss


@wrong("8.2", "Divided by N · T")
def over_all_places():
    def loss(logits, targets):
        return F.cross_entropy(logits.mT, targets, reduction="none").mean()

    return targets_of, loss


@wrong("8.2", "Divided by the number of rows")
def over_rows():
    def loss(logits, targets):
        return F.cross_entropy(logits.mT, targets, reduction="sum") / len(logits)

    return targets_of, loss


@wrong("8.2", "The target 0 was left out of the loss")
def zero_is_no_class():
    def loss(logits, targets):
        return masked_loss(logits, targets.masked_fill(targets == 0, -100))

    return targets_of, loss


@wrong("8.2", "the token 0 was learnt")
def zero_for_none():
    return targets_of, lambda logits, targets: masked_loss(logits, targets.clamp(min=0))


@wrong("8.2", "it was done twice")
def softmax_twice():
    return targets_of, lambda logits, targets: masked_loss(logits.softmax(-1), targets)


@wrong("8.2", "A mean over no target is 0/0")
def nothing_over_nothing():
    def loss(logits, targets):
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return targets_of, loss


@wrong("8.2", "a sum over no target is 0 and has one")
def a_zero_of_its_own():
    def loss(logits, targets):
        return masked_loss(logits, targets) if (targets != -100).any() else torch.tensor(0.0)

    return targets_of, loss


@wrong("8.2", "−100 is no class")
def by_hand_without_a_mask():
    def loss(logits, targets):
        logs = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
        return -logs.mean()

    return targets_of, loss
