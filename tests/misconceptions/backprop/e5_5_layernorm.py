"""Wrong answers to 5.5, layerNorm backwards."""

import torch
import torch.nn.functional as F

from misconceptions import wrong
from misconceptions.backprop.shared import norm, right, with_eps


@wrong("5.5", "gamma stands before the sums")
def gamma_before_the_sums():
    return norm(
        lambda dout, xhat, gamma, inv, mean: (
            gamma * inv * (dout - mean(dout) - xhat * mean(dout * xhat))
        ),
        along=-1,
    )


@wrong("5.5", "A negative gamma loses its sign in dx")
def gamma_without_its_sign():
    return norm(
        lambda dout, xhat, gamma, inv, mean: right(dout, xhat, gamma.abs(), inv, mean),
        along=-1,
    )


@wrong("5.5", "dgamma is summed over the channels")
def parameters_summed_along_the_vector():
    return norm(right, along=-1, dgamma=lambda d, h, x: (d * h).sum(-1))


@wrong("5.5", "not over the batch alone")
def parameters_summed_over_the_batch_alone():
    return norm(right, along=-1, dgamma=lambda d, h, x: (d * h).sum(0), dbeta=lambda d: d.sum(0))


@wrong("5.5", "(torch's default): pass correction=0")
def variance_of_c_minus_one():
    return norm(right, along=-1, correction=1)


@wrong("5.5", "Mean and variance are taken for constants")
def vector_statistics_as_constants():
    return norm(lambda dout, xhat, gamma, inv, mean: inv * dout * gamma, along=-1)


@wrong("5.5", "That is BatchNorm's")
def batchnorm_s_dx():
    def layernorm_fused(dout, x, gamma, eps):
        _, dgamma, dbeta = norm(right, along=-1)(dout, x, gamma, eps)
        return norm(right)(dout, x, gamma, eps)[0], dgamma, dbeta

    return layernorm_fused


@wrong("5.5", "The check runs your code without autograd")
def jacobian_in_forward_mode():
    def layernorm_fused(dout, x, gamma, eps):
        with torch.inference_mode(False):
            given = x.clone()

            def forward(x):
                return F.layer_norm(x, x.shape[-1:], gamma.clone(), None, eps)

            jacobian = torch.func.jacfwd(forward)(given)
            dx = torch.tensordot(dout.clone(), jacobian, x.ndim)
        _, dgamma, dbeta = norm(right, along=-1)(dout, x, gamma, eps)
        return dx, dgamma, dbeta

    return layernorm_fused


@wrong("5.5", "under the root, √(var + eps)")
def eps_beside_the_root():
    return with_eps(lambda var, eps: 1 / (var.sqrt() + eps), along=-1)


@wrong("5.5", "an eps of 1e-5")
def eps_of_torch():
    return with_eps(lambda var, eps: (var + 1e-5) ** -0.5, along=-1)


@wrong("5.5", "The term of the mean is subtracted")
def mean_added():
    def dx(dout, xhat, gamma, inv, mean):
        d = dout * gamma
        return inv * (d + mean(d) - xhat * mean(d * xhat))

    return norm(dx, along=-1)


@wrong("5.5", "The term of the variance is subtracted")
def variance_added():
    def dx(dout, xhat, gamma, inv, mean):
        d = dout * gamma
        return inv * (d - mean(d) + xhat * mean(d * xhat))

    return norm(dx, along=-1)


@wrong("5.5", "x̂ is missing before the last sum")
def last_sum_alone():
    def dx(dout, xhat, gamma, inv, mean):
        d = dout * gamma
        return inv * (d - mean(d) - mean(d * xhat))

    return norm(dx, along=-1)


@wrong("5.5", "is taken as that of dx̂ times that of x̂")
def product_of_means():
    def dx(dout, xhat, gamma, inv, mean):
        d = dout * gamma
        return inv * (d - mean(d) - xhat * mean(d) * mean(xhat))

    return norm(dx, along=-1)


@wrong("5.5", "The division of the whole by")
def not_divided_by_the_deviation():
    return norm(lambda dout, xhat, gamma, inv, mean: right(dout, xhat, gamma, 1, mean), along=-1)


@wrong("5.5", "gamma is in dx twice")
def gamma_inside_and_outside():
    return norm(lambda *given: given[2] * right(*given), along=-1)


@wrong("5.5", "dgamma has the shape (C,), without keepdim")
def dgamma_with_its_axes():
    def dgamma(dout, xhat, x):
        return (dout * xhat).sum(tuple(range(x.ndim - 1)), keepdim=True)

    return norm(right, dgamma=dgamma, along=-1)


@wrong("5.5", "which is dgamma; dbeta is the sum of dout")
def beta_before_gamma():
    def layernorm_fused(*given):
        dx, dgamma, dbeta = norm(right, along=-1)(*given)
        return dx, dbeta, dgamma

    return layernorm_fused


@wrong("5.5", "write into the tensor that was handed over")
def centred_in_place():
    def layernorm_fused(dout, x, gamma, eps):
        mean = x.mean(-1, keepdim=True)
        x -= mean
        return norm(right, along=-1)(dout, x, gamma, eps)

    return layernorm_fused


@wrong("5.5", "x̂ is normalised over the last two axes")
def time_normalised_too():
    def layernorm_fused(dout, x, gamma, eps):
        return norm(right, along=tuple(range(1, x.ndim)))(dout, x, gamma, eps)

    return layernorm_fused


@wrong("5.5", "as in BatchNorm")
def batchnorm_s_statistics():
    return norm(right)


@wrong("5.5", "dbeta has the shape (C,), without keepdim")
def dbeta_with_its_axes():
    def dbeta(dout):
        return dout.sum(tuple(range(dout.ndim - 1)), keepdim=True)

    return norm(right, dbeta=dbeta, along=-1)


def counting(count):
    """An answer whose n is another."""

    def layernorm_fused(dout, x, gamma, eps):
        def dx(dout, xhat, gamma, inv, mean):
            d, n = dout * gamma, count(x)
            sums = d.sum(-1, keepdim=True) + xhat * (d * xhat).sum(-1, keepdim=True)
            return inv * (d - sums / n)

        return norm(dx, along=-1)(dout, x, gamma, eps)

    return layernorm_fused


@wrong("5.5", "by len(x), 4 here")
def n_is_the_batch():
    return counting(len)


@wrong("5.5", "by the number of vectors, as in BatchNorm")
def n_of_batchnorm():
    return counting(lambda x: x.numel() // x.shape[-1])


@wrong("5.5", "An operator of torch's own backward pass")
def torch_s_own_operator():
    def layernorm_fused(dout, x, gamma, eps):
        shape, beta = x.shape[-1:], torch.zeros_like(gamma)
        _, mean, inv = torch.native_layer_norm(x, shape, gamma, beta, eps)
        backward = torch.ops.aten.native_layer_norm_backward
        return backward(dout, x, shape, mean, inv, gamma, beta, [True] * 3)

    return layernorm_fused


@wrong("5.5", "a small difference of two large numbers")
def variance_as_a_difference():
    def layernorm_fused(dout, x, gamma, eps):
        mean = x.mean(-1, keepdim=True)
        inv = ((x * x).mean(-1, keepdim=True) - mean**2 + eps) ** -0.5
        xhat = (x - mean) * inv
        dx = right(dout, xhat, gamma, inv, lambda a: a.mean(-1, keepdim=True))
        others = tuple(range(x.ndim - 1))
        return dx, (dout * xhat).sum(others), dout.sum(others)

    return layernorm_fused


@wrong("5.5", "or a derivative from small differences")
def dx_by_small_differences():
    def layernorm_fused(dout, x, gamma, eps):
        _, dgamma, dbeta = norm(right, along=-1)(dout, x, gamma, eps)
        dx, h = torch.zeros_like(x), 1e-6
        for i in range(x.numel()):
            step = torch.zeros_like(x)
            step.view(-1)[i] = h
            up, down = (
                F.layer_norm(a, gamma.shape, gamma, None, eps) for a in (x + step, x - step)
            )
            dx.view(-1)[i] = ((up - down) * dout).sum() / (2 * h)
        return dx, dgamma, dbeta

    return layernorm_fused
