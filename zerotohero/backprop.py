"""Backpropagation by hand, at the level of tensors: a network trained without autograd.

The idea: lecture 01's chain rule holds for whole tensors. Each layer needs one function that takes
the gradient of the layer's output and returns the gradients of its input and of its parameters.
Worked out on paper, most of its intermediate steps cancel, and what is left (the *fused* backward
pass) is shorter, faster and more exact than the steps one by one.

One rule goes through all of it: what a broadcast copies forwards is summed backwards
(`unbroadcast`), since each copy had its own share in the loss.

The papers: Rumelhart, Hinton & Williams (1986), "Learning representations by back-propagating
errors", Nature 323, 533-536; Ioffe & Szegedy (2015), "Batch Normalization", arXiv:1502.03167,
whose section 3 gives BatchNorm's gradients step by step.

New against `batchnorm`: the backward pass of each of its layers and of the loss, and a training
loop of plain SGD that needs nothing else. In the names, `dx` is x's gradient, the derivative of
the loss with respect to `x`, and has x's shape.

Left out: the step-by-step backward pass (the lecture's notebook has it), BatchNorm in eval mode,
LayerNorm and attention (exercises 5.5 and 5.6), optimisers other than SGD.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from zerotohero.batchnorm import BatchNorm1d, Embedding, Flatten, Layer, Linear, Sequential, Tanh
from zerotohero.bigram import as_tokens, check_tokens
from zerotohero.mlp import Plan, check_rows

# --- the backward pass of each operation --------------------------------------------------------


def unbroadcast(grad: Float[Tensor, "*S"], shape: Sequence[int]) -> Tensor:
    """Sum `grad` down to `shape`: the backward pass of a broadcast from `shape` to grad's shape.

    Summed are the axes that broadcasting added on the left, and those that it stretched from 1.
    Raises ValueError if `shape` doesn't broadcast to grad's shape.
    """
    shape = tuple(shape)
    added = grad.ndim - len(shape)
    pairs = zip(shape, grad.shape[max(added, 0) :], strict=False)
    if added < 0 or any(size not in (1, wide) for size, wide in pairs):
        raise ValueError(
            f"A tensor of shape {shape} doesn't broadcast to {tuple(grad.shape)}, so a gradient of "
            "that shape can't be summed back to it. Aligned from the right, each size must be "
            "equal or 1."
        )
    stretched = [added + i for i, size in enumerate(shape) if size != grad.shape[added + i]]
    axes = [*range(added), *stretched]
    return grad.sum(axes).reshape(shape) if axes else grad


def linear_backward(
    dout: Float[Tensor, "*B O"], x: Float[Tensor, "*B I"], weight: Float[Tensor, "I O"]
) -> tuple[Float[Tensor, "*B I"], Float[Tensor, "I O"], Float[Tensor, " O"]]:
    """Return dx, dweight, dbias of `x @ weight + bias`.

    The shapes leave one way to multiply: dx (…, I) can only be dout (…, O) · weightᵀ (O, I), and
    dweight (I, O) only xᵀ (I, n) · dout (n, O). Raises ValueError where the shapes don't fit.
    """
    I, O = weight.shape
    if x.shape[-1] != I or dout.shape != (*x.shape[:-1], O):
        raise ValueError(
            f"x {tuple(x.shape)} times weight {tuple(weight.shape)} doesn't give an output with "
            f"the shape of dout, {tuple(dout.shape)}: pass the x of the forward pass, and the "
            "weight as (fan_in, fan_out)."
        )
    rows = dout.reshape(-1, O)
    return dout @ weight.T, x.reshape(-1, I).T @ rows, unbroadcast(rows, (O,))


def tanh_backward(dout: Float[Tensor, "*S"], out: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """Return dx of `out = tanh(x)`, whose slope is 1 − out².

    It takes the output, which the forward pass has anyway. Raises ValueError for two shapes, or
    for an `out` that no tanh gives.
    """
    _same_shape("out", out, dout)
    if out.numel() and out.abs().max() > 1:
        raise ValueError(
            f"out holds a number of size {out.abs().max().item():.3g}, but tanh stays within "
            "−1 and 1: pass the output of tanh, not its input."
        )
    return dout * (1 - out * out)


def embedding_backward(
    dout: Float[Tensor, "*B C"], tokens: Integer[Tensor, "*B"], vocab_size: int
) -> Float[Tensor, "V C"]:
    """Return the table's gradient of `out = wte[tokens]`.

    A lookup copies rows, so each row collects the sum over all places where its token stood; a
    token that didn't occur has gradient 0. Raises ValueError for a token outside the table or a
    dout without one vector a token, TypeError for tokens that aren't whole numbers.
    """
    if dout.shape[:-1] != tokens.shape or dout.ndim == 0:
        raise ValueError(
            f"dout has the shape {tuple(dout.shape)}; for tokens of shape {tuple(tokens.shape)} it "
            f"must be {(*tokens.shape, 'C')}: one vector a token."
        )
    tokens = as_tokens(tokens, "tokens")
    check_tokens(tokens, vocab_size, "tokens")
    C = dout.shape[-1]
    dwte = dout.new_zeros(vocab_size, C)
    return dwte.index_put_((tokens,), dout, accumulate=True)


def cross_entropy_backward(
    logits: Float[Tensor, "B V"], targets: Integer[Tensor, " B"]
) -> Float[Tensor, "B V"]:
    """Return dlogits of `F.cross_entropy(logits, targets)`, the mean over the batch.

    (softmax(logits) − one_hot(targets)) / B: each logit is pushed down by its probability, and
    the target's is pulled up by 1. Every row sums to 0.

    Raises ValueError for an empty batch, a target outside the vocabulary or another number of
    targets, TypeError for logits that are whole numbers or targets that aren't.
    """
    _needs_floats("logits", logits)
    if logits.ndim != 2 or len(logits) == 0 or targets.shape != logits.shape[:1]:
        raise ValueError(
            f"logits have the shape {tuple(logits.shape)} and targets {tuple(targets.shape)}; pass "
            "(B, V) and (B,) with the same B, at least 1."
        )
    B, V = logits.shape
    targets = as_tokens(targets, "targets")
    check_tokens(targets, V, "targets")
    dlogits = F.softmax(logits, 1)
    dlogits[torch.arange(B, device=logits.device), targets] -= 1
    return dlogits / B


def batchnorm_backward(
    dout: Float[Tensor, "*B C"],
    x: Float[Tensor, "*B C"],
    gamma: Float[Tensor, " C"],
    eps: float = 1e-5,
    correction: int = 0,
) -> tuple[Float[Tensor, "*B C"], Float[Tensor, " C"], Float[Tensor, " C"]]:
    """Return dx, dgamma, dbeta of BatchNorm in train mode, over all axes but the last.

    With n values a channel, x̂ = (x − mean) / √(var + eps) and dx̂ = dout · gamma,

        dx = (dx̂ − Σdx̂ / n − x̂ · Σ(dx̂ · x̂) / (n − correction)) / √(var + eps).

    The two sums are there because each x moves the mean and the variance of all the others.
    `correction` says which variance normalised the batch: 0 for the biased one (÷ n), as in
    `BatchNorm1d` and torch; 1 for Bessel's (÷ (n − 1)). It changes only the last term, because
    only the variance is divided by it.

    Raises ValueError for a batch of one, another `correction` or shapes that don't fit, TypeError
    for whole numbers.
    """
    _needs_floats("x", x)
    _same_shape("x", x, dout)
    if correction not in (0, 1):
        raise ValueError(f"correction is {correction}; it must be 0 (÷ n) or 1 (÷ (n − 1)).")
    if x.ndim == 0 or gamma.shape != x.shape[-1:]:
        raise ValueError(
            f"gamma has the shape {tuple(gamma.shape)}, but x {tuple(x.shape)} has its channels "
            "on the last axis."
        )
    axes = tuple(range(x.ndim - 1))
    n = x.numel() // max(1, len(gamma))
    if n < 2:
        raise ValueError(
            f"x has the shape {tuple(x.shape)}, which is {n} value a channel: normalised, a single "
            "value is 0 whatever it was. Pass at least 2."
        )
    # Not torch.var_mean, which takes several times as long over the first axis.
    diff = x - x.mean(axes)
    var = (diff * diff).sum(axes) / (n - correction)
    inv = (var + eps).rsqrt()
    xhat = diff * inv
    dbeta = unbroadcast(dout, gamma.shape)
    dgamma = unbroadcast(dout * xhat, gamma.shape)
    # dx̂ = dout · gamma, and gamma is the same for a whole column: both sums are known already.
    dx = (gamma * inv) * (dout - dbeta / n - xhat * (dgamma / (n - correction)))
    return dx, dgamma, dbeta


# --- a whole network ----------------------------------------------------------------------------


def layer_backward(
    layer: Layer, dout: Tensor, x: Tensor, out: Tensor
) -> tuple[Tensor | None, list[Tensor]]:
    """Return dx and the gradients of the layer's parameters, in their order.

    `x` and `out` are what went into the layer and came out. dx is None for an Embedding, whose
    input are whole numbers. Raises ValueError for a BatchNorm1d in eval mode, TypeError for a
    layer that has no backward pass here.
    """
    match layer:
        case Embedding():
            return None, [embedding_backward(dout, x, len(layer.wte))]
        case Flatten():
            return dout.reshape(x.shape), []
        case Tanh():
            return tanh_backward(dout, out), []
        case Linear():
            dx, dweight, dbias = linear_backward(dout, x, layer.weight)
            return dx, [dweight] if layer.bias is None else [dweight, dbias]
        case BatchNorm1d(training=False):
            raise ValueError(
                f"{layer!r} is in eval mode, where the running statistics take the batch's place "
                "and the gradient is another: call model.train() before training."
            )
        case BatchNorm1d():
            dx, dgamma, dbeta = batchnorm_backward(dout, x, layer.gamma, layer.eps)
            return dx, [dgamma, dbeta]
    raise TypeError(
        f"{layer!r} has no backward pass in zerotohero.backprop; it knows Embedding, Flatten, "
        "Linear, BatchNorm1d and Tanh."
    )


@torch.no_grad()
def loss_and_gradients(
    model: Sequential, xb: Integer[Tensor, "B T"], yb: Integer[Tensor, " B"]
) -> tuple[float, list[Tensor]]:
    """Return the mean cross-entropy of a batch, and the gradient of each of model.parameters().

    Forwards, each layer's output is kept; backwards, each layer turns its output's gradient
    into its input's. Autograd is off throughout. In train mode the running
    statistics of BatchNorm move, as in any forward pass.

    Raises what `layer_backward` and `cross_entropy_backward` raise.
    """
    outs = [xb]
    for layer in model:
        outs.append(layer(outs[-1]))
    dout, grads = cross_entropy_backward(outs[-1], yb), []
    for layer, x, out in zip(reversed(model.layers), outs[-2::-1], outs[:0:-1], strict=True):
        dout, mine = layer_backward(layer, dout, x, out)
        grads = mine + grads
    return F.cross_entropy(outs[-1], yb.long()).item(), grads


# --- training without autograd ------------------------------------------------------------------

QUICK = Plan(4_000, batch_size=64, lr=0.5, optimizer="sgd")
FULL = Plan(40_000, batch_size=256, lr=0.5, optimizer="sgd")


@torch.no_grad()
def train(
    model: Sequential,
    X: Integer[Tensor, "N T"],
    Y: Integer[Tensor, " N"],
    config: Plan,
    generator: torch.Generator,
    on_step: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Do what `mlp.train` does, with gradients made by hand: same minibatches, same steps.

    Trains `model` in place by plain SGD and returns the loss of every minibatch.

    Raises ValueError for another optimiser or if X and Y don't have the same number of rows, at
    least one; FloatingPointError as soon as the loss is not a finite number.
    """
    if config.optimizer != "sgd":
        raise ValueError(
            f"optimizer is {config.optimizer!r}, and this loop takes plain steps: use "
            'dataclasses.replace(config, optimizer="sgd", lr=...), with a rate for SGD.'
        )
    check_rows(X, Y)
    losses = []
    for step in range(config.steps):
        rows = torch.randint(len(X), (config.batch_size,), generator=generator).to(X.device)
        loss, grads = loss_and_gradients(model, X[rows], Y[rows])
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The loss is {loss} at step {step}, with learning rate "
                f"{config.lr_at(step):.3g}: start again from a new model with a tenth of it."
            )
        lr = config.lr_at(step)
        for p, grad in zip(model.parameters(), grads, strict=True):
            p -= lr * grad
        losses.append(loss)
        if on_step is not None:
            on_step(step, loss)
    return losses


# --- checks of what comes in --------------------------------------------------------------------


def _needs_floats(name: str, x: Tensor) -> None:
    if not x.is_floating_point():
        raise TypeError(
            f"{name} holds whole numbers ({x.dtype}), which have no gradient: convert it with "
            f"{name}.double()."
        )


def _same_shape(name: str, x: Tensor, dout: Tensor) -> None:
    if x.shape != dout.shape:
        raise ValueError(
            f"{name} has the shape {tuple(x.shape)} and dout {tuple(dout.shape)}; a gradient has "
            "the shape of what it is the gradient of, so the two must be equal."
        )
