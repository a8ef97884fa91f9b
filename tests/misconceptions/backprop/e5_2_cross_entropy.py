"""Wrong answers to 5.2, Cross-entropy in one expression."""

import torch.nn.functional as F

from misconceptions import wrong


def loss_of(logits, targets):
    return F.cross_entropy(logits, targets)


def entropy(force, loss=loss_of):
    """An answer from the gradient's formula, given softmax and one-hot."""

    def cross_entropy_fused(logits, targets):
        hot = F.one_hot(targets, logits.shape[1]).to(logits)
        return loss(logits, targets), force(F.softmax(logits, 1), hot, len(logits))

    return cross_entropy_fused


@wrong("5.2", "has a 1/B, which is missing")
def gradient_of_the_sum():
    return entropy(lambda p, hot, B: p - hot)


@wrong("5.2", "a step against it pulls the target's logit up")
def force_turned_round():
    return entropy(lambda p, hot, B: (hot - p) / B)


@wrong("5.2", "The −1 at the targets is missing")
def softmax_alone():
    return entropy(lambda p, hot, B: p / B)


@wrong("5.2", "takes whole columns")
def targets_as_columns():
    def cross_entropy_fused(logits, targets):
        dlogits = F.softmax(logits, 1)
        dlogits[:, targets] -= 1
        return loss_of(logits, targets), dlogits / len(logits)

    return cross_entropy_fused


@wrong("5.2", "The softmax runs down the columns")
def softmax_over_the_batch():
    def cross_entropy_fused(logits, targets):
        hot = F.one_hot(targets, logits.shape[1])
        return loss_of(logits, targets), (F.softmax(logits, 0) - hot) / len(logits)

    return cross_entropy_fused


@wrong("5.2", "only how a probability changes with its own")
def elementwise_derivative():
    return entropy(lambda p, hot, B: p * (1 - p) / B)


@wrong("5.2", "That is the probabilities' gradient")
def stopped_at_the_probabilities():
    return entropy(lambda p, hot, B: -hot / (B * p))


@wrong("5.2", "came after the division")
def one_after_the_division():
    return entropy(lambda p, hot, B: p / B - hot)


@wrong("5.2", "the loss is its mean")
def loss_as_a_sum():
    return entropy(
        lambda p, hot, B: (p - hot) / B,
        lambda logits, targets: F.cross_entropy(logits, targets, reduction="sum"),
    )


@wrong("5.2", "`exp` of a thousand is infinite")
def softmax_without_a_maximum():
    def cross_entropy_fused(logits, targets):
        rows = range(len(logits))
        probs = logits.exp() / logits.exp().sum(1, keepdim=True)
        loss = -probs[rows, targets].log().mean()
        probs[rows, targets] -= 1
        return loss, probs / len(logits)

    return cross_entropy_fused


@wrong("5.2", "write into the tensor that was handed over")
def maximum_subtracted_in_place():
    def cross_entropy_fused(logits, targets):
        logits -= logits.amax(1, keepdim=True)
        return entropy(lambda p, hot, B: (p - hot) / B)(logits, targets)

    return cross_entropy_fused


@wrong("5.2", "no `backward()`")
def loss_backward():
    def cross_entropy_fused(logits, targets):
        logits = logits.clone().requires_grad_()
        loss = F.cross_entropy(logits, targets)
        loss.backward()
        return loss, logits.grad

    return cross_entropy_fused


def correct(p, hot, B):
    return (p - hot) / B


@wrong("5.2", "the order is loss, dlogits")
def gradient_before_the_loss():
    return lambda logits, targets: entropy(correct)(logits, targets)[::-1]


@wrong("5.2", "A small number was added to the probability")
def log_with_a_small_number():
    def loss(logits, targets):
        p = F.softmax(logits, 1)[range(len(logits)), targets]
        return -(p + 1e-12).log().mean()

    return entropy(correct, loss)


@wrong("5.2", "an infinite log")
def log_of_the_softmax():
    def loss(logits, targets):
        return -F.softmax(logits, 1)[range(len(logits)), targets].log().mean()

    return entropy(correct, loss)


@wrong("5.2", "`dlogits = probs` is no copy")
def one_tensor_with_two_names():
    def cross_entropy_fused(logits, targets):
        B = len(logits)
        dlogits = probs = F.softmax(logits, 1)
        dlogits[range(B), targets] -= 1
        dlogits /= B
        return -probs[range(B), targets].log().mean(), dlogits

    return cross_entropy_fused


@wrong("5.2", "as in one-hot rows times logarithms")
def one_hot_times_logarithms():
    def loss(logits, targets):
        hot = F.one_hot(targets, logits.shape[1])
        return -(F.softmax(logits, 1).log() * hot).sum(1).mean()

    return entropy(correct, loss)


@wrong("5.2", "`F.one_hot(targets, V)`")
def one_hot_as_wide_as_the_targets():
    def cross_entropy_fused(logits, targets):
        dlogits = (F.softmax(logits, 1) - F.one_hot(targets)) / len(logits)
        return loss_of(logits, targets), dlogits

    return cross_entropy_fused


@wrong("5.2", "only the target of each row has a share")
def loss_over_all_tokens():
    return entropy(correct, lambda logits, targets: -F.log_softmax(logits, 1).mean())


@wrong("5.2", "takes whole columns for the loss")
def loss_of_whole_columns():
    return entropy(correct, lambda logits, targets: -F.log_softmax(logits, 1)[:, targets].mean())


@wrong("5.2", "The loss's softmax runs down the columns")
def loss_down_the_columns():
    def loss(logits, targets):
        return -F.log_softmax(logits, 0)[range(len(logits)), targets].mean()

    return entropy(correct, loss)


@wrong("5.2", "The sign is turned: the loss is")
def loss_without_its_minus():
    return entropy(correct, lambda logits, targets: -loss_of(logits, targets))


@wrong("5.2", "as far as float32 goes")
def logits_as_float32():
    return lambda logits, targets: entropy(correct)(logits.float(), targets)
