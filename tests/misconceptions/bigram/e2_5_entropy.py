"""Wrong answers to 2.5, Cross-entropy by hand."""

import torch
import torch.nn.functional as F

from misconceptions import wrong


def picked(logprobs, targets):
    return logprobs[torch.arange(len(targets)), targets]


def logarithms(x, dim=1):
    return x - x.exp().sum(dim, keepdim=True).log()


def stable(logits, dim=1):
    return logarithms(logits - logits.max(dim, keepdim=True).values, dim)


@wrong("2.5", "e^1000 is infinite in a float")
def as_derived():
    def cross_entropy(logits, targets):
        probs = logits.exp() / logits.exp().sum(1, keepdim=True)
        return -picked(probs.log(), targets).mean()

    return cross_entropy


def less(top):
    return lambda logits, targets: -picked(logarithms(logits - top(logits)), targets).mean()


@wrong("2.5", "the largest of the whole table")
def largest_of_the_table():
    return less(lambda logits: logits.max())


@wrong("2.5", "or a row's largest absolute value")
def largest_absolute_value():
    return less(lambda logits: logits.abs().amax(1, keepdim=True))


@wrong("2.5", "never take the log of a softmax")
def log_of_a_stable_softmax():
    def cross_entropy(logits, targets):
        e = (logits - logits.max(1, keepdim=True).values).exp()
        return -picked((e / e.sum(1, keepdim=True)).log(), targets).mean()

    return cross_entropy


@wrong("2.5", "as in one-hot rows times logarithms")
def one_hot_times_logarithms():
    def cross_entropy(logits, targets):
        e = (logits - logits.max(1, keepdim=True).values).exp()
        logprobs = (e / e.sum(1, keepdim=True)).log()
        return -(logprobs * F.one_hot(targets, logits.shape[1])).sum(1).mean()

    return cross_entropy


@wrong("2.5", "One-hot rows need V columns")
def one_hot_rows_of_27():
    def cross_entropy(logits, targets):
        return -(stable(logits) * F.one_hot(targets, 27)).sum(1).mean()

    return cross_entropy


@wrong("2.5", "F.one_hot(targets, logits.shape[1])")
def one_hot_rows_without_a_width():
    def cross_entropy(logits, targets):
        return -(stable(logits) * F.one_hot(targets)).sum(1).mean()

    return cross_entropy


@wrong("2.5", "must keep its dimension")
def maximum_without_its_dimension():
    def cross_entropy(logits, targets):
        x = logits - logits.max(1).values
        return -picked(x - x.exp().sum(1, keepdim=True).log(), targets).mean()

    return cross_entropy


@wrong("2.5", "Logits are cut off")
def logits_clamped():
    return lambda logits, targets: -picked(stable(logits.clamp(-80, 80)), targets).mean()


@wrong("2.5", "is something added to a probability")
def a_little_something_in_the_log():
    def cross_entropy(logits, targets):
        e = (logits - logits.max(1, keepdim=True).values).exp()
        return -picked((e / e.sum(1, keepdim=True) + 1e-12).log(), targets).mean()

    return cross_entropy


@wrong("2.5", "Write the loss out here")
def torch_does_it():
    return lambda logits, targets: F.cross_entropy(logits, targets)


@wrong("2.5", "Softmax runs down the columns")
def columns():
    return lambda logits, targets: -picked(stable(logits, 0), targets).mean()


@wrong("2.5", "likeliest character")
def loss_of_the_likeliest():
    return lambda logits, targets: -picked(stable(logits), logits.argmax(1)).mean()


@wrong("2.5", "Where something else is, e^1000 is infinite")
def targets_subtracted():
    def cross_entropy(logits, targets):
        return (logits - picked(logits, targets)[:, None]).exp().sum(1).log().mean()

    return cross_entropy


@wrong("2.5", "This is the sum over the rows")
def sum_over_rows():
    return lambda logits, targets: -picked(stable(logits), targets).sum()


@wrong("2.5", "the loss is its negative")
def no_minus():
    return lambda logits, targets: picked(stable(logits), targets).mean()


@wrong("2.5", "every target from every row")
def all_targets_of_all_rows():
    return lambda logits, targets: -stable(logits)[:, targets].mean()


@wrong("2.5", "the logarithm of a mean")
def log_of_the_mean():
    return lambda logits, targets: -picked(stable(logits), targets).exp().mean().log()


@wrong("2.5", "lost its connection to the logits")
def returns_a_number():
    return lambda logits, targets: torch.tensor(-picked(stable(logits), targets).mean().item())


@wrong("2.5", "Nothing came back")
def prints_the_loss():
    return lambda logits, targets: print(end="")


@wrong("2.5", "`logprobs[targets]` takes whole rows")
def whole_rows():
    return lambda logits, targets: -stable(logits)[targets].mean()


@wrong("2.5", "a mean over all characters")
def all_characters():
    return lambda logits, targets: -stable(logits).mean()


@wrong("2.5", "over the whole table")
def softmax_of_the_table():
    def cross_entropy(logits, targets):
        x = logits - logits.max()
        return -picked(x - x.exp().sum().log(), targets).mean()

    return cross_entropy


@wrong("2.5", "subtract it in both")
def forgets_the_maximum():
    def cross_entropy(logits, targets):
        x = logits - logits.max(1, keepdim=True).values
        return (x.exp().sum(1).log() - picked(logits, targets)).mean()

    return cross_entropy


@wrong("2.5", "take `.values`")
def maximum_with_places():
    return lambda logits, targets: logits - logits.max(1, keepdim=True)


@wrong("2.5", "NumPy knows nothing of gradients")
def numpy_logits():
    def cross_entropy(logits, targets):
        return -picked(stable(torch.tensor(logits.numpy())), targets).mean()

    return cross_entropy


@wrong("2.5", "subtract each row's largest logit before exp")
def first_logits_subtracted():
    def cross_entropy(logits, targets):
        x = logits - logits[:, :1]
        return -picked(x - x.exp().sum(1, keepdim=True).log(), targets).mean()

    return cross_entropy


@wrong("2.5", "starts a new one that doesn't lead there")
def graph_begun_anew():
    def cross_entropy(logits, targets):
        loss = -picked(stable(logits), targets).mean()
        return torch.tensor(loss.item(), requires_grad=True)

    return cross_entropy
