"""Wrong answers to 5.6, one attention head backwards."""

import torch
import torch.nn.functional as F

from misconceptions import wrong


def head(
    mask="before",
    scale=None,
    back=None,
    jacobian=None,
    dq=None,
    dk=None,
    dv=None,
    last=0,
    fill=-torch.inf,
):
    def attention_fused(dout, q, k, v):
        T, size = q.shape[1:]
        by = size**-0.5 if scale is None else scale(T, size)
        seen = torch.ones(T, T, dtype=torch.bool).tril(last)
        scores = q @ k.mT * by
        if mask == "before":
            scores = scores.masked_fill(~seen, fill)
        elif mask == "turned":
            scores = scores.masked_fill(~seen.T, -torch.inf)
        att = F.softmax(scores, -1)
        if mask == "after":
            att = att * seen
        datt = dout @ v.mT
        ds = att * (datt - (att * datt).sum(-1, keepdim=True))
        if jacobian:
            ds = jacobian(att, datt) * seen
        by = by if back is None else back(size)
        return (
            ds @ (q if dq == "q" else k) * by,
            (dk or (lambda s, q, k: s.mT @ q))(ds, q, k) * by,
            (dv or (lambda att, dout: att.mT @ dout))(att, dout),
        )

    return attention_fused


@wrong("5.6", "The mask is missing")
def mask_forgotten():
    return head(mask=None)


@wrong("5.6", "The mask came after the softmax")
def mask_after_softmax():
    return head(mask="after")


@wrong("5.6", "The mask is the wrong way round")
def mask_turned():
    return head(mask="turned")


@wrong("5.6", "is missing, forwards and backwards")
def scale_forgotten():
    return head(scale=lambda T, size: 1.0)


@wrong("5.6", "the scores lack it forwards")
def scale_forgotten_forwards():
    return head(scale=lambda T, size: 1.0, back=lambda size: size**-0.5)


@wrong("5.6", "so dq and dk are too")
def scale_forgotten_backwards():
    return head(back=lambda size: 1.0)


def scaled_before(dq=1.0, dk=1.0):
    """q is divided before it meets k, so that the factor is in dk already, and not in dq."""

    def attention_fused(dout, q, k, v):
        by = q.shape[-1] ** -0.5
        gradients = head(scale=lambda T, size: 1.0)(dout, q * by, k, v)
        return gradients[0] * by**dq, gradients[1] * by**dk, gradients[2]

    return attention_fused


@wrong("5.6", "so dq is too")
def queries_scaled_and_dq_not():
    return scaled_before(dq=0, dk=0)


@wrong("5.6", "dk is divided by √head_size once")
def queries_scaled_and_both_gradients():
    return scaled_before(dq=1, dk=1)


@wrong("5.6", "dq and dk are divided by √head_size once")
def scaled_twice_backwards():
    return head(back=lambda size: 1 / size)


@wrong("5.6", "not 1/√T")
def scale_by_the_context():
    return head(scale=lambda T, size: T**-0.5)


@wrong("5.6", "the root is missing")
def scale_without_root():
    return head(scale=lambda T, size: 1 / size)


@wrong("5.6", "att (1 − att) is only how a number")
def softmax_elementwise():
    return head(jacobian=lambda att, datt: att * (1 - att) * datt)


@wrong("5.6", "The sum is missing in softmax's backward pass")
def softmax_without_its_sum():
    return head(jacobian=lambda att, datt: att * datt)


@wrong("5.6", "Softmax's backward pass is missing")
def softmax_skipped():
    return head(jacobian=lambda att, datt: datt)


@wrong("5.6", "runs down the columns; it runs along")
def softmax_sum_over_the_wrong_axis():
    return head(jacobian=lambda att, datt: att * (datt - (att * datt).sum(-2, keepdim=True)))


@wrong("5.6", "dk: dscores must be transposed")
def dk_not_transposed():
    return head(dk=lambda ds, q, k: ds @ q)


@wrong("5.6", "dv: att must be transposed")
def dv_not_transposed():
    return head(dv=lambda att, dout: att @ dout)


@wrong("5.6", "no `torch.autograd.grad`")
def grad_of_the_forward_pass():
    def attention_fused(dout, q, k, v):
        with torch.enable_grad():
            given = [t.clone().requires_grad_() for t in (q, k, v)]
            out = F.scaled_dot_product_attention(*given, is_causal=True)
            return torch.autograd.grad(out, given, dout)

    return attention_fused


@wrong("5.6", "the mask is off by one")
def one_position_too_many():
    return head(last=1)


@wrong("5.6", "Each position sees itself as well")
def itself_masked():
    return head(last=-1)


@wrong("5.6", "A score that is masked is −∞, not 0")
def masked_with_zero():
    return head(fill=0.0)


@wrong("5.6", "dq is dscores times k")
def dq_from_the_queries():
    return head(dq="q")


@wrong("5.6", "dk is dscores, transposed, times q")
def dk_from_the_keys():
    return head(dk=lambda ds, q, k: ds.mT @ k)


@wrong("5.6", "is subtracted, not added")
def softmax_s_sum_added():
    return head(jacobian=lambda att, datt: att * (datt + (att * datt).sum(-1, keepdim=True)))


@wrong("5.6", "dq has its sign turned")
def softmax_turned():
    return head(jacobian=lambda att, datt: att * ((att * datt).sum(-1, keepdim=True) - datt))


@wrong("5.6", "divided by √head_size, not multiplied")
def scale_multiplied_backwards():
    return head(back=lambda size: size**0.5)


@wrong("5.6", "the order is dq, dk, dv")
def keys_before_queries():
    def attention_fused(*given):
        dq, dk, dv = head()(*given)
        return dk, dq, dv

    return attention_fused


@wrong("5.6", "`.T` turns the batch round as well")
def all_axes_transposed():
    def attention_fused(dout, q, k, v):
        return head()(dout, q, k.T, v)

    return attention_fused


@wrong("5.6", "write into the tensor that was handed over")
def queries_scaled_in_place():
    def attention_fused(dout, q, k, v):
        gradients = head()(dout, q, k, v)
        q *= q.shape[-1] ** -0.5
        return gradients

    return attention_fused


@wrong("5.6", "An operator of torch's own backward pass")
def torch_s_own_softmax():
    def attention_fused(dout, q, k, v):
        T, size = q.shape[1:]
        later = torch.ones(T, T, dtype=torch.bool).triu(1)
        att = F.softmax((q @ k.mT * size**-0.5).masked_fill(later, -torch.inf), -1)
        ds = torch._softmax_backward_data(dout @ v.mT, att, -1, att.dtype)
        return ds @ k * size**-0.5, ds.mT @ q * size**-0.5, att.mT @ dout

    return attention_fused


@wrong("5.6", "such as −100 leaves a little")
def masked_by_a_large_negative_number():
    return head(fill=-100)
