"""Wrong answers to 11.2, attention of all heads."""

import math

import numpy as np

from misconceptions import wrong


def softmax(scores, axis=-1):
    e = np.exp(scores - scores.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def masked(scores, k=0):
    return softmax(np.where(np.tri(scores.shape[-1], k=k, dtype=bool), scores, -np.inf))


def attending(
    weigh=masked, scale=math.sqrt, reshape=None, join=None, order=(0, 1, 2), project=None, bias=True
):
    """Return attention with one thing wrong."""

    def attention(x, c_attn, c_proj, n_head):
        B, T, C = x.shape
        S = C // n_head
        qkv = x @ c_attn["w"] + (c_attn["b"] if bias else 0)
        parts = np.split(qkv, 3, -1)
        split = reshape or (lambda z: z.reshape(B, T, n_head, S).swapaxes(1, 2))
        q, k, v = (split(parts[i]) for i in order)
        with np.errstate(all="ignore"):
            weights = weigh(q @ k.swapaxes(-1, -2) / scale(S))
        y = weights @ v
        y = y.reshape(B, T, C) if join == "reshape" else y.swapaxes(1, 2).reshape(B, T, C)
        return project(x, y, c_proj) if project else y @ c_proj["w"] + c_proj["b"]

    return attention


@wrong("11.2", "a mask is missing")
def no_mask():
    return attending(softmax)


@wrong("11.2", "the wrong way round")
def mask_of_the_wrong_sign():
    return attending(lambda s: softmax(np.where(np.tri(s.shape[-1], dtype=bool), -np.inf, s)))


@wrong("11.2", "A position doesn't see itself")
def strictly_earlier():
    return attending(lambda s: masked(s, -1))


@wrong("11.2", "one too far to the right")
def one_ahead():
    return attending(lambda s: masked(s, 1))


@wrong("11.2", "The mask comes after softmax")
def mask_after_softmax():
    return attending(lambda s: softmax(s) * np.tri(s.shape[-1]))


@wrong("11.2", "Hidden scores are 0")
def scores_of_zero():
    return attending(lambda s: softmax(s * np.tri(s.shape[-1])))


@wrong("11.2", "softmax goes along the queries")
def softmax_over_queries():
    def weigh(s):
        return softmax(np.where(np.tri(s.shape[-1], dtype=bool), s, -np.inf), -2)

    return attending(weigh)


@wrong("11.2", "Divided by √C")
def root_of_all_channels():
    def attention(x, c_attn, c_proj, n_head):
        return attending(scale=lambda S: math.sqrt(S * n_head))(x, c_attn, c_proj, n_head)

    return attention


@wrong("11.2", "Divided by √T")
def root_of_positions():
    def attention(x, c_attn, c_proj, n_head):
        return attending(scale=lambda S: math.sqrt(x.shape[1]))(x, c_attn, c_proj, n_head)

    return attention


@wrong("11.2", "by turns, 0, n_head")
def by_turns():
    def attention(x, c_attn, c_proj, n_head):
        B, T, C = x.shape

        def split(z):
            return z.reshape(B, T, C // n_head, n_head).transpose(0, 3, 1, 2)

        return attending(reshape=split)(x, c_attn, c_proj, n_head)

    return attention


@wrong("11.2", "not to one by name")
def always_float32():
    def attention(x, c_attn, c_proj, n_head):
        return attending()(x, c_attn, c_proj, n_head).astype(np.float32)

    return attention


@wrong("11.2", "Later positions are seen: of scores")
def weak_mask_for_large_numbers():
    def weigh(s):
        return softmax(s + (1 - np.tri(s.shape[-1])).astype(s.dtype) * -1e9)

    return attending(weigh)


@wrong("11.2", "Divided by S: its root")
def no_root():
    return attending(scale=float)


@wrong("11.2", "aren't divided by √S")
def not_scaled():
    return attending(scale=lambda S: 1.0)


@wrong("11.2", "multiplied by √S")
def scaled_up():
    return attending(scale=lambda S: 1 / math.sqrt(S))


@wrong("11.2", "mixes positions and heads")
def reshape_without_transpose():
    def attention(x, c_attn, c_proj, n_head):
        B, T, C = x.shape
        cut = attending(reshape=lambda z: z.reshape(B, n_head, T, C // n_head), join="reshape")
        return cut(x, c_attn, c_proj, n_head)

    return attention


@wrong("11.2", "joined without swapping the axes back")
def joined_as_they_are():
    return attending(join="reshape")


@wrong("11.2", "split by heads first")
def heads_first():
    def attention(x, c_attn, c_proj, n_head):
        B, T, C = x.shape
        qkv = (x @ c_attn["w"] + c_attn["b"]).reshape(B, T, n_head, 3, C // n_head)
        q, k, v = np.moveaxis(qkv, (3, 2), (0, 2))
        y = masked(q @ k.swapaxes(-1, -2) / math.sqrt(C // n_head)) @ v
        return y.swapaxes(1, 2).reshape(B, T, C) @ c_proj["w"] + c_proj["b"]

    return attention


@wrong("11.2", "Queries and keys have changed places")
def keys_first():
    return attending(order=(1, 0, 2))


@wrong("11.2", "Keys and values have changed places")
def values_before_keys():
    return attending(order=(0, 2, 1))


@wrong("11.2", "All channels are one head")
def one_head():
    def attention(x, c_attn, c_proj, n_head):
        return attending()(x, c_attn, c_proj, 1)

    return attention


@wrong("11.2", "c_proj is missing at the end")
def no_projection():
    return attending(project=lambda x, y, c_proj: y)


@wrong("11.2", 'The "b" of c_proj is missing')
def no_bias_at_the_end():
    return attending(project=lambda x, y, c_proj: y @ c_proj["w"])


@wrong("11.2", 'The "b" of c_attn is missing')
def no_bias_at_the_start():
    return attending(bias=False)


@wrong("11.2", "so it isn't transposed")
def transposed():
    return attending(project=lambda x, y, c_proj: y @ c_proj["w"].T + c_proj["b"])


@wrong("11.2", "the sum around attention is the block's")
def with_the_residual():
    return attending(project=lambda x, y, c_proj: x + y @ c_proj["w"] + c_proj["b"])


@wrong("11.2", "The dtype of x has changed")
def root_of_numpy():
    return attending(scale=np.sqrt)


@wrong("11.2", "−∞ alone hides each")
def weak_mask():
    def weigh(s):
        return softmax(s + (1 - np.tri(s.shape[-1])).astype(s.dtype) * -1e4)

    return attending(weigh)


@wrong("11.2", "take each row's largest score away")
def no_maximum():
    def weigh(s):
        e = np.exp(np.where(np.tri(s.shape[-1], dtype=bool), s, -np.inf))
        return e / e.sum(-1, keepdims=True)

    return attending(weigh)


@wrong("11.2", "keys are (…, S, T)")
def transposed_by_T():
    def attention(x, c_attn, c_proj, n_head):
        B, T, C = x.shape
        parts = np.split(x @ c_attn["w"] + c_attn["b"], 3, -1)
        q, k, v = (z.reshape(B, T, n_head, C // n_head).swapaxes(1, 2) for z in parts)
        y = masked(q @ k.T / math.sqrt(C // n_head)) @ v
        return y.swapaxes(1, 2).reshape(B, T, C) @ c_proj["w"] + c_proj["b"]

    return attention


@wrong("11.2", "The texts are joined to one")
def one_text():
    def attention(x, c_attn, c_proj, n_head):
        whole = x.reshape(1, -1, x.shape[-1])
        return attending()(whole, c_attn, c_proj, n_head).reshape(x.shape)

    return attention


@wrong("11.2", "where the largest score of all was taken away")
def one_maximum():
    def weigh(s):
        e = np.exp(np.where(np.tri(s.shape[-1], dtype=bool), s - s.max(), -np.inf))
        return e / e.sum(-1, keepdims=True)

    return attending(weigh)


@wrong("11.2", "An axis of length 1 is lost")
def one_text_squeezed():
    right = attending()

    def attention(x, *given):
        y = right(x, *given)
        return y[0] if len(y) == 1 else y

    return attention
