"""Wrong answers to 5.4, training without autograd."""

import torch
import torch.nn.functional as F

from misconceptions import wrong
from misconceptions.backprop.shared import norm, right


def gradients(parameters, xb, yb, eps, mean=True, add=True, back=None, slope=lambda h: 1 - h**2):
    wte, W1, gamma, beta, W2, b2 = parameters
    x = wte[xb].flatten(1)
    pre = x @ W1
    var, mu = torch.var_mean(pre, 0, correction=0)
    inv = (var + eps) ** -0.5
    h = (gamma * (pre - mu) * inv + beta).tanh()
    logits = h @ W2 + b2
    dlogits = F.softmax(logits, 1) - F.one_hot(yb, len(b2))
    dlogits = dlogits / len(yb) if mean else dlogits
    dact = (dlogits @ (W2 if back is None else back).T) * slope(h)
    dpre, dgamma, dbeta = norm(right)(dact, pre, gamma, eps)
    dwte = torch.zeros_like(wte)
    dwte.index_put_((xb,), (dpre @ W1.T).view(*xb.shape, -1), accumulate=add)
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


@wrong("5.4", "`p = p - …` makes a new tensor")
def rebound():
    def train_by_hand(parameters, *rest):
        return trainer(descend)([p.clone() for p in parameters], *rest)

    return train_by_hand


@wrong("5.4", "The steps go up the hill")
def uphill():
    return trainer(lambda parameters, grads, lr: descend(parameters, grads, -lr))


@wrong("5.4", "gets only its last")
def embedding_rows_overwritten():
    return trainer(descend, lambda *given: gradients(*given, add=False))


@wrong("5.4", "before the gradients that need it")
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


@wrong("5.4", "is W2 still the old one there?")
def w2_stepped_before_dh():
    def made(parameters, xb, yb, eps):
        stepped = parameters[4] - 0.3 * gradients(parameters, xb, yb, eps)[1][4]
        return gradients(parameters, xb, yb, eps, back=stepped)

    return trainer(descend, made)


@wrong("5.4", "is tanh's slope 1 − h²?")
def sigmoid_s_slope_in_training():
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


@wrong("5.4", "gamma and beta stay as they were")
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
