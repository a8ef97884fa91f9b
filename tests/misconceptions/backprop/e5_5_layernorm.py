"""Wrong answers to 5.5, layerNorm backwards."""

import torch
import torch.nn.functional as F

from misconceptions import wrong
from misconceptions.backprop.shared import norm, right


@wrong("5.5", "gamma stands before the sums")
def gamma_before_the_sums():
    return norm(
        lambda dout, xhat, gamma, inv, mean: (
            gamma * inv * (dout - mean(dout) - xhat * mean(dout * xhat))
        ),
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
