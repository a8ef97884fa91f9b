"""Wrong answers to 5.4, training without autograd."""

import torch
import torch.nn.functional as F

from misconceptions import wrong
from misconceptions.backprop.shared import norm, overwriting, right


def gradients(
    parameters,
    xb,
    yb,
    eps,
    mean=True,
    parts=None,
    back=None,
    slope=lambda h: 1 - h**2,
    correction=0,
):
    wte, W1, gamma, beta, W2, b2 = parameters
    x = wte[xb].flatten(1)
    pre = x @ W1
    var, mu = torch.var_mean(pre, 0, correction=correction)
    inv = (var + eps) ** -0.5
    h = (gamma * (pre - mu) * inv + beta).tanh()
    logits = h @ W2 + b2
    dlogits = F.softmax(logits, 1) - F.one_hot(yb, len(b2))
    dlogits = dlogits / len(yb) if mean else dlogits
    dact = (dlogits @ (W2 if back is None else back).T) * slope(h)
    dpre, dgamma, dbeta = norm(right)(dact, pre, gamma, eps)
    dx = (dpre @ W1.T).view(*xb.shape, -1)
    if parts is None:
        dwte = torch.zeros_like(wte).index_put_((xb,), dx, accumulate=True)
    else:
        dwte = overwriting(wte, xb, dx, parts)
    loss = F.cross_entropy(logits, yb)
    return loss.item(), [dwte, x.T @ dpre, dgamma, dbeta, h.T @ dlogits, dlogits.sum(0)]


def trainer(step, made=gradients):
    def train_by_hand(parameters, X, Y, lr, eps):
        losses = []
        for xb, yb in zip(X, Y, strict=True):
            loss, grads = made(parameters, xb, yb, eps)
            losses.append(loss)
            step(parameters, grads, lr)
        return losses

    return train_by_hand


def descend(parameters, grads, lr):
    for p, grad in zip(parameters, grads, strict=True):
        p -= lr * grad


@wrong("5.4", "The steps were taken on copies")
def rebound():
    def train_by_hand(parameters, *rest):
        return trainer(descend)([p.clone() for p in parameters], *rest)

    return train_by_hand


@wrong("5.4", "The steps go up the hill")
def uphill():
    return trainer(lambda parameters, grads, lr: descend(parameters, grads, -lr))


@wrong("5.4", "occurs more than once gets only its last")
def embedding_rows_overwritten():
    return trainer(descend, lambda *given: gradients(*given, parts=lambda a: a[None]))


@wrong("5.4", "occurs more than once in one context")
def embedding_rows_overwritten_within_a_context():
    return trainer(descend, lambda *given: gradients(*given, parts=lambda a: a))


@wrong("5.4", "occurs more than once at one position")
def embedding_rows_overwritten_within_a_position():
    return trainer(descend, lambda *given: gradients(*given, parts=lambda a: a.transpose(0, 1)))


@wrong("5.4", "before the gradients that need them")
def updated_too_early():
    """W2 and W1 are stepped as soon as their own gradients are there."""

    def train_by_hand(parameters, X, Y, lr, eps):
        wte, W1, gamma, beta, W2, b2 = parameters
        losses = []
        for xb, yb in zip(X, Y, strict=True):
            x = wte[xb].flatten(1)
            pre = x @ W1
            var, mu = torch.var_mean(pre, 0, correction=0)
            h = (gamma * (pre - mu) * (var + eps) ** -0.5 + beta).tanh()
            logits = h @ W2 + b2
            losses.append(F.cross_entropy(logits, yb).item())
            dlogits = (F.softmax(logits, 1) - F.one_hot(yb, len(b2))) / len(yb)
            W2 -= lr * h.T @ dlogits
            b2 -= lr * dlogits.sum(0)
            dact = (dlogits @ W2.T) * (1 - h**2)
            dpre, dgamma, dbeta = norm(right)(dact, pre, gamma, eps)
            gamma -= lr * dgamma
            beta -= lr * dbeta
            W1 -= lr * x.T @ dpre
            demb = (dpre @ W1.T).view(*xb.shape, -1)
            wte.index_put_((xb,), -lr * demb, accumulate=True)
        return losses

    return train_by_hand


@wrong("5.4", "W2 was changed before dh was made from it")
def w2_stepped_before_dh():
    def made(parameters, xb, yb, eps):
        stepped = parameters[4] - rate[0] * gradients(parameters, xb, yb, eps)[1][4]
        return gradients(parameters, xb, yb, eps, back=stepped)

    def train_by_hand(parameters, X, Y, lr, eps):
        rate[:] = [lr]
        return trainer(descend, made)(parameters, X, Y, lr, eps)

    rate = []
    return train_by_hand


@wrong("5.4", "is the sigmoid's derivative")
def sigmoid_s_derivative_in_training():
    return trainer(descend, lambda *given: gradients(*given, slope=lambda h: h * (1 - h)))


@wrong("5.4", "`torch.tensor` rounds them to 32 bits")
def losses_as_float32():
    train = trainer(descend)
    return lambda *given: torch.tensor(train(*given))


@wrong("5.4", "lacks the mean's 1/B")
def batch_sum():
    return trainer(descend, lambda *given: gradients(*given, mean=False))


@wrong("5.4", "The direction is right, the length isn't")
def rate_of_its_own():
    return trainer(lambda parameters, grads, lr: descend(parameters, grads, 0.1))


@wrong("5.4", "gamma, beta stay as they were")
def norm_not_trained():
    def step(parameters, grads, lr):
        for i in (0, 1, 4, 5):
            parameters[i] -= lr * grads[i]

    return trainer(step)


@wrong("5.4", "The gradients of earlier steps")
def gradients_pile_up():
    def train_by_hand(parameters, *rest):
        kept = [torch.zeros_like(p) for p in parameters]

        def step(parameters, grads, lr):
            for p, old, grad in zip(parameters, kept, grads, strict=True):
                old += grad
                p -= lr * old

        return trainer(step)(parameters, *rest)

    return train_by_hand


@wrong("5.4", "Each loss is from after its step")
def loss_after_the_step():
    def train_by_hand(parameters, X, Y, lr, eps):
        losses = []
        for xb, yb in zip(X, Y, strict=True):
            descend(parameters, gradients(parameters, xb, yb, eps)[1], lr)
            losses.append(gradients(parameters, xb, yb, eps)[0])
        return losses

    return train_by_hand


@wrong("5.4", "The check runs your code without autograd")
def autograd_after_all():
    def train_by_hand(parameters, X, Y, lr, eps):
        losses = []
        with torch.inference_mode(False), torch.enable_grad():
            leaves = [p.clone().requires_grad_() for p in parameters]
            wte, W1, gamma, beta, W2, b2 = leaves
            for xb, yb in zip(X.clone(), Y.clone(), strict=True):
                act = F.batch_norm(wte[xb].flatten(1) @ W1, None, None, gamma, beta, True, eps=eps)
                loss = F.cross_entropy(act.tanh() @ W2 + b2, yb)
                losses.append(loss.item())
                loss.backward()
        return losses

    return train_by_hand


@wrong("5.4", "puts a new tensor into the list")
def list_refilled():
    def step(parameters, grads, lr):
        for i, grad in enumerate(grads):
            parameters[i] = parameters[i] - lr * grad

    return trainer(step)


@wrong("5.4", "wte stays as it was")
def embeddings_not_trained():
    def step(parameters, grads, lr):
        descend(parameters[1:], grads[1:], lr)

    return trainer(step)


@wrong("5.4", "tanh's derivative 1 − h² is missing")
def tanh_forgotten():
    return trainer(descend, lambda *given: gradients(*given, slope=lambda h: 1))


@wrong("5.4", "The first loss differs already")
def context_turned_round():
    def made(parameters, xb, yb, eps):
        return gradients(parameters, xb.flip(1), yb, eps)

    return trainer(descend, made)


@wrong("5.4", "an eps of 1e-5")
def eps_of_torch_in_training():
    return lambda parameters, X, Y, lr, eps: trainer(descend)(parameters, X, Y, lr, 1e-5)


@wrong("5.4", "the variance divided by B − 1")
def unbiased_in_training():
    return trainer(descend, lambda *given: gradients(*given, correction=1))


@wrong("5.4", "The parameters are right, the losses are not")
def losses_of_the_sum():
    def train_by_hand(parameters, X, *rest):
        return [X.shape[1] * loss for loss in trainer(descend)(parameters, X, *rest)]

    return train_by_hand


@wrong("5.4", "The last step is missing")
def last_step_left_out():
    def train_by_hand(parameters, X, Y, lr, eps):
        losses = trainer(descend)(parameters, X[:-1], Y[:-1], lr, eps)
        return [*losses, gradients(parameters, X[-1], Y[-1], eps)[0]]

    return train_by_hand


@wrong("5.4", "After one step these are wrong: gamma, beta")
def gamma_and_beta_exchanged():
    def step(parameters, grads, lr):
        descend(parameters, [*grads[:2], grads[3], grads[2], *grads[4:]], lr)

    return trainer(step)


@wrong("5.4", "Every step takes the first minibatch")
def first_minibatch_again_and_again():
    def train_by_hand(parameters, X, Y, lr, eps):
        return trainer(descend)(parameters, X[:1].expand_as(X), Y[:1].expand_as(Y), lr, eps)

    return train_by_hand


@wrong("5.4", "Take the sizes from the tensors that are passed")
def batches_of_sixteen():
    return lambda parameters, X, *rest: trainer(descend)(parameters, X.view(-1, 16, 3), *rest)


@wrong("5.4", "Gradients are cut off at −1 and 1")
def gradients_cut_off():
    def step(parameters, grads, lr):
        descend(parameters, [grad.clamp(-1, 1) for grad in grads], lr)

    return trainer(step)
