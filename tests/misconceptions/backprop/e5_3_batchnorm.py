"""Wrong answers to 5.3, BatchNorm in one expression."""

import torch
import torch.nn.functional as F

from misconceptions import wrong
from misconceptions.backprop.shared import norm, right, with_eps


@wrong("5.3", "Mean and variance are taken for constants")
def statistics_as_constants():
    return norm(lambda dout, xhat, gamma, inv, mean: inv * dout * gamma)


@wrong("5.3", "The way through the mean is missing")
def without_the_mean():
    return norm(
        lambda dout, xhat, gamma, inv, mean: inv * gamma * (dout - xhat * mean(dout * xhat))
    )


@wrong("5.3", "is missing or 0")
def without_the_variance():
    return norm(lambda dout, xhat, gamma, inv, mean: inv * gamma * (dout - mean(dout)))


@wrong("5.3", "gamma is missing in dx")
def gamma_left_out():
    return norm(lambda dout, xhat, gamma, inv, mean: right(dout, xhat, 1, inv, mean))


@wrong("5.3", "A negative gamma loses its sign in dx")
def gamma_without_its_sign():
    return norm(
        lambda dout, xhat, gamma, inv, mean: right(dout, xhat, gamma.abs(), inv, mean),
    )


@wrong("5.3", "The sums in dx lack their 1/n")
def sums_for_means():
    def dx(dout, xhat, gamma, inv, mean):
        return right(dout, xhat, gamma, inv, lambda a: mean(a) * dout.numel() / len(gamma))

    return norm(dx)


@wrong("5.3", "(torch's default): pass correction=0")
def variance_by_default():
    return norm(right, correction=1)


@wrong("5.3", "eps is missing under the root when you make x̂")
def without_eps():
    return norm(right, eps=False)


@wrong("5.3", "Gamma multiplies x̂, not x")
def gamma_times_x():
    return norm(right, dgamma=lambda d, h, x: (d * x).sum(tuple(range(x.ndim - 1))))


@wrong("5.3", "dgamma lacks x̂")
def dgamma_as_dbeta():
    return norm(right, dgamma=lambda d, h, x: d.sum(tuple(range(d.ndim - 1))))


@wrong("5.3", "That is the mean for dbeta")
def mean_of_dbeta():
    return norm(right, dbeta=lambda d: d.mean(tuple(range(d.ndim - 1))))


@wrong("5.3", "not over the batch alone")
def three_axes_as_two():
    def batchnorm_fused(dout, x, gamma, eps):
        var, mean = torch.var_mean(x, 0, correction=0)
        inv = (var + eps) ** -0.5
        xhat = (x - mean) * inv
        dx = right(dout, xhat, gamma, inv, lambda a: a.mean(0))
        return dx, (dout * xhat).sum(0), dout.sum(0)

    return batchnorm_fused


@wrong("5.3", "as LayerNorm does it")
def examples_normalised():
    return norm(right, along=-1)


@wrong("5.3", "no `torch.func`")
def vjp():
    def batchnorm_fused(dout, x, gamma, eps):
        def forward(x, gamma, beta):
            return F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)

        return torch.func.vjp(forward, x, gamma, torch.zeros_like(gamma))[1](dout)

    return batchnorm_fused


@wrong("5.3", "under the root, √(var + eps)")
def eps_beside_the_root():
    return with_eps(lambda var, eps: 1 / (var.sqrt() + eps))


@wrong("5.3", "an eps of 1e-5: take the one that is passed.")
def eps_of_torch():
    return with_eps(lambda var, eps: (var + 1e-5) ** -0.5)


@wrong("5.3", "The term of the mean is subtracted")
def mean_added():
    def dx(dout, xhat, gamma, inv, mean):
        d = dout * gamma
        return inv * (d + mean(d) - xhat * mean(d * xhat))

    return norm(dx)


@wrong("5.3", "The term of the variance is subtracted")
def variance_added():
    def dx(dout, xhat, gamma, inv, mean):
        d = dout * gamma
        return inv * (d - mean(d) + xhat * mean(d * xhat))

    return norm(dx)


@wrong("5.3", "x̂ is missing before the last sum")
def last_sum_alone():
    def dx(dout, xhat, gamma, inv, mean):
        d = dout * gamma
        return inv * (d - mean(d) - mean(d * xhat))

    return norm(dx)


@wrong("5.3", "The division of the whole by")
def not_divided_by_the_deviation():
    return norm(lambda dout, xhat, gamma, inv, mean: right(dout, xhat, gamma, 1, mean))


@wrong("5.3", "gamma is in dx twice")
def gamma_inside_and_outside():
    return norm(lambda *given: given[2] * right(*given))


@wrong("5.3", "dgamma has the shape (C,), without keepdim")
def dgamma_with_its_axes():
    def dgamma(dout, xhat, x):
        return (dout * xhat).sum(tuple(range(x.ndim - 1)), keepdim=True)

    return norm(right, dgamma=dgamma)


@wrong("5.3", "which is dgamma; dbeta is the sum of dout")
def beta_before_gamma():
    def batchnorm_fused(*given):
        dx, dgamma, dbeta = norm(right)(*given)
        return dx, dbeta, dgamma

    return batchnorm_fused


@wrong("5.3", "write into the tensor that was handed over")
def centred_in_place():
    def batchnorm_fused(dout, x, gamma, eps):
        mean = x.mean(tuple(range(x.ndim - 1)), keepdim=True)
        x -= mean
        return norm(right)(dout, x, gamma, eps)

    return batchnorm_fused


@wrong("5.3", "x̂ is normalised over the first axis")
def statistics_of_each_position():
    return norm(right, along=0)


@wrong("5.3", "An operator of torch's own backward pass")
def torch_s_own_operator():
    def batchnorm_fused(dout, x, gamma, eps):
        flat, upstream = (a.flatten(0, -2) for a in (x, dout))
        var, mean = torch.var_mean(flat, 0, correction=0)
        given = (upstream, flat, gamma, None, None, mean, (var + eps) ** -0.5)
        dx, dgamma, dbeta = torch.ops.aten.native_batch_norm_backward(*given, True, eps, [True] * 3)
        return dx.view_as(x), dgamma, dbeta

    return batchnorm_fused


@wrong("5.3", "also where it is 0")
def zero_taken_for_no_eps():
    return with_eps(lambda var, eps: (var + (eps or 1e-5)) ** -0.5)


@wrong("5.3", "not by a division by gamma")
def xhat_from_the_output():
    def batchnorm_fused(dout, x, gamma, eps):
        axes = tuple(range(x.ndim - 1))
        var, mean = torch.var_mean(x, axes, correction=0)
        inv = (var + eps) ** -0.5
        xhat = gamma * (x - mean) * inv / gamma
        dx = right(dout, xhat, gamma, inv, lambda a: a.mean(axes))
        return dx, (dout * xhat).sum(axes), dout.sum(axes)

    return batchnorm_fused


@wrong("5.3", "the difference of two large numbers")
def variance_from_the_mean_of_squares():
    def batchnorm_fused(dout, x, gamma, eps):
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(axes)
        inv = ((x**2).mean(axes) - mean**2 + eps) ** -0.5
        xhat = (x - mean) * inv
        dx = right(dout, xhat, gamma, inv, lambda a: a.mean(axes))
        return dx, (dout * xhat).sum(axes), dout.sum(axes)

    return batchnorm_fused


@wrong("5.3", "has the shape (C,), also where C is 1")
def all_squeezed():
    return lambda *given: tuple(a.squeeze() for a in norm(right)(*given))


@wrong("5.3", "dx is shaped like x, also where C is 1")
def dx_squeezed():
    def batchnorm_fused(*given):
        dx, *others = norm(right)(*given)
        return dx.squeeze(), *others

    return batchnorm_fused
