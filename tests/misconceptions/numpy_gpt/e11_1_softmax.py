"""Wrong answers to 11.1, softmax and layer norm."""

import numpy as np

from misconceptions import wrong


def wide(x):
    return x.astype(np.float32) if x.dtype == np.float16 else x


def softmax(x, axis=-1, top=lambda x: x.max(-1, keepdims=True)):
    y = wide(x)
    with np.errstate(all="ignore"):
        e = np.exp(y - top(y))
        return (e / e.sum(axis, keepdims=True)).astype(x.dtype)


def layer_norm(x, g, b, eps=1e-5, axis=-1):
    y = wide(x)
    d = y - y.mean(axis, keepdims=True)
    return (d / np.sqrt((d * d).mean(axis, keepdims=True) + eps) * g + b).astype(x.dtype)


def moments(x):
    y = wide(x)
    d = y - y.mean(-1, keepdims=True)
    return y, d, (d * d).mean(-1, keepdims=True)


@wrong("11.1", "float64 doesn't stay float64")
def always_in_float32():
    def norm(x, g, b, eps=1e-5):
        y = layer_norm(*(array.astype(np.float32) for array in (x, g, b)), eps)
        return y if x.dtype != np.float16 else y.astype(np.float16)

    return softmax, norm


@wrong("11.1", "The mean is rounded to float16")
def mean_in_float16():
    def norm(x, g, b, eps=1e-5):
        d = wide(x) - x.mean(-1, keepdims=True)
        return (d / np.sqrt((d * d).mean(-1, keepdims=True) + eps) * g + b).astype(x.dtype)

    return softmax, norm


@wrong("11.1", "Along the first axis")
def first_axis():
    return (lambda x: softmax(x, 0, lambda y: y.max(0, keepdims=True))), layer_norm


@wrong("11.1", "of three it is the middle one")
def axis_one():
    def softmax_of_rows(x):
        axis = min(1, x.ndim - 1)
        return softmax(x, axis, lambda y: y.max(axis, keepdims=True))

    return softmax_of_rows, layer_norm


@wrong("11.1", "has lost that axis")
def lost_axis():
    def softmax_of_rows(x):
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1)

    return softmax_of_rows, layer_norm


@wrong("11.1", "An axis that only some arrays have")
def axis_of_matrices():
    return (lambda x: softmax(x, 1)), layer_norm


@wrong("11.1", "The whole array adds up to 1")
def whole_array():
    return (lambda x: softmax(x, None)), layer_norm


@wrong("11.1", "That is log-softmax")
def logarithm():
    return (lambda x: np.log(softmax(x))), layer_norm


@wrong("11.1", "exp of thousands is ∞")
def no_maximum():
    return (lambda x: softmax(x, top=lambda y: 0)), layer_norm


@wrong("11.1", "The largest logit of all rows")
def global_maximum():
    return (lambda x: softmax(x, top=lambda y: y.max())), layer_norm


@wrong("11.1", "The largest of each column")
def maximum_of_columns():
    return (lambda x: softmax(x, top=lambda y: y.max(0) if x.ndim == 2 else y.max())), layer_norm


@wrong("11.1", "cut off at a limit")
def clipped():
    def cut(x):
        e = np.exp(np.clip(x, -700, 700))
        return (e / e.sum(-1, keepdims=True)).astype(x.dtype)

    return cut, layer_norm


@wrong("11.1", "The mean of a row with −∞")
def mean_taken_away():
    return (lambda x: softmax(x, top=lambda y: y.mean(-1, keepdims=True))), layer_norm


@wrong("11.1", "The largest absolute value was taken away")
def largest_absolute_value():
    return (lambda x: softmax(x, top=lambda y: np.abs(y).max(-1, keepdims=True))), layer_norm


@wrong("11.1", "NaN made 0")
def nan_to_zero():
    return (lambda x: np.nan_to_num(softmax(x, top=lambda y: 0))), layer_norm


@wrong("11.1", "The dtype of x has changed")
def float64_scalar():
    def warm(x):
        return softmax(x) * np.float64(1.0)

    return warm, layer_norm


@wrong("11.1", "a sum beyond 65504")
def sum_in_halves():
    def narrow(x):
        e = np.exp(x - x.max(-1, keepdims=True))
        with np.errstate(all="ignore"):
            return e / e.sum(-1, keepdims=True)

    return narrow, layer_norm


@wrong("11.1", "A square beyond 65504")
def squares_in_halves():
    def narrow(x, g, b, eps=1e-5):
        d = x - x.mean(-1, keepdims=True)
        with np.errstate(all="ignore"):
            return d / np.sqrt((d * d).mean(-1, keepdims=True) + eps) * g + b

    return softmax, narrow


@wrong("11.1", "divided by n − 1")
def sample_variance():
    def unbiased(x, g, b, eps=1e-5):
        y = wide(x)
        d = y - y.mean(-1, keepdims=True)
        v = y.var(-1, keepdims=True, ddof=1)
        return (d / np.sqrt(v + eps) * g + b).astype(x.dtype)

    return softmax, unbiased


@wrong("11.1", "One mean and one variance of the whole array")
def norm_of_all():
    return softmax, lambda x, g, b, eps=1e-5: layer_norm(x, g, b, eps, axis=None)


@wrong("11.1", "eps stands outside of the root")
def eps_outside():
    def outside(x, g, b, eps=1e-5):
        _, d, v = moments(x)
        return (d / (np.sqrt(v) + eps) * g + b).astype(x.dtype)

    return softmax, outside


@wrong("11.1", "eps is missing")
def no_eps():
    def without(x, g, b, eps=1e-5):
        _, d, v = moments(x)
        with np.errstate(all="ignore"):
            return (d / np.sqrt(v) * g + b).astype(x.dtype)

    return softmax, without


@wrong("11.1", "0/0: eps keeps the root")
def eps_only_if_passed():
    def sometimes(x, g, b, eps=0.0):
        _, d, v = moments(x)
        with np.errstate(all="ignore"):
            return (d / np.sqrt(v + (1e-5 if x.ndim > 2 else eps)) * g + b).astype(x.dtype)

    return softmax, sometimes


@wrong("11.1", "The eps that is passed isn't used")
def own_eps():
    return softmax, lambda x, g, b, eps=1e-5: layer_norm(x, g, b)


@wrong("11.1", "The root is missing")
def no_root():
    def variance(x, g, b, eps=1e-5):
        _, d, v = moments(x)
        return (d / (v + eps) * g + b).astype(x.dtype)

    return softmax, variance


@wrong("11.1", "which is RMSNorm")
def rms():
    def root_mean_square(x, g, b, eps=1e-5):
        y = wide(x)
        return (y / np.sqrt((y * y).mean(-1, keepdims=True) + eps) * g + b).astype(x.dtype)

    return softmax, root_mean_square


@wrong("11.1", "The squares are of x")
def squares_of_x():
    def uncentred(x, g, b, eps=1e-5):
        y, d, _ = moments(x)
        return (d / np.sqrt((y * y).mean(-1, keepdims=True) + eps) * g + b).astype(x.dtype)

    return softmax, uncentred


@wrong("11.1", "b is added before g multiplies")
def shift_then_scale():
    def turned(x, g, b, eps=1e-5):
        _, d, v = moments(x)
        return ((d / np.sqrt(v + eps) + b) * g).astype(x.dtype)

    return softmax, turned


@wrong("11.1", "g and b aren't used")
def neither():
    return softmax, lambda x, g, b, eps=1e-5: layer_norm(x, 1, 0, eps)


def one_pass_of(wide):
    def difference(x, g, b, eps=1e-5):
        y = wide(x)
        m = y.mean(-1, keepdims=True)
        with np.errstate(all="ignore"):
            v = (y * y).mean(-1, keepdims=True) - m * m
            return ((y - m) / np.sqrt(v + eps) * g + b).astype(x.dtype)

    return softmax, difference


@wrong("11.1", "takes numbers of millions from each other")
def one_pass():
    return one_pass_of(wide)


@wrong("11.1", "takes numbers of 16 digits from each other")
def one_pass_in_float64():
    return one_pass_of(lambda x: x.astype(np.float64))


@wrong("11.1", "half of its digits are lost")
def float64_by_way_of_float32():
    def norm(x, g, b, eps=1e-5):
        return layer_norm(*(array.astype(np.float32) for array in (x, g, b)), eps).astype(x.dtype)

    return softmax, norm


@wrong("11.1", "What is multiplied by g has been rounded")
def rounded_before_g():
    def norm(x, g, b, eps=1e-5):
        _, d, v = moments(x)
        with np.errstate(all="ignore"):
            return (d / np.sqrt(v + eps)).astype(x.dtype) * g + b

    return softmax, norm


@wrong("11.1", "The larger of the variance and eps")
def larger_of_the_two():
    def norm(x, g, b, eps=1e-5):
        _, d, v = moments(x)
        return (d / np.sqrt(np.maximum(v, eps)) * g + b).astype(x.dtype)

    return softmax, norm


@wrong("11.1", "eps is squared")
def square_of_eps():
    def norm(x, g, b, eps=1e-5):
        _, d, v = moments(x)
        return (d / np.sqrt(v + eps * eps) * g + b).astype(x.dtype)

    return softmax, norm


@wrong("11.1", "Where no eps is passed")
def another_default():
    def norm(x, g, b, eps=1e-6):
        return layer_norm(x, g, b, eps)

    return softmax, norm


@wrong("11.1", "as its smallest is")
def smallest_taken_away():
    return (lambda x: softmax(x, top=lambda y: y.min(-1, keepdims=True))), layer_norm


@wrong("11.1", "A number stands in place of −∞")
def finite_mask():
    return (lambda x: softmax(np.where(np.isneginf(x), x.dtype.type(-100), x))), layer_norm


@wrong("11.1", "no small number")
def held_above_a_limit():
    def held(x):
        y = wide(x)
        e = np.exp(np.maximum(y - y.max(-1, keepdims=True), -30))
        return (e / e.sum(-1, keepdims=True)).astype(x.dtype)

    return held, layer_norm


@wrong("11.1", "The log of the sum is added to thousands")
def log_of_the_sum_added():
    def of_logs(x):
        y = wide(x)
        top = y.max(-1, keepdims=True)
        log = top + np.log(np.exp(y - top).sum(-1, keepdims=True))
        return np.exp(y - log).astype(x.dtype)

    return of_logs, layer_norm


@wrong("11.1", "as `eps or 1e-5` has it")
def zero_is_no_eps():
    return softmax, lambda x, g, b, eps=1e-5: layer_norm(x, g, b, eps or 1e-5)


@wrong("11.1", "without its mean has been rounded")
def differences_in_halves():
    def norm(x, g, b, eps=1e-5):
        d = moments(x)[1]
        with np.errstate(all="ignore"):
            d = wide(d.astype(x.dtype))
            return (d / np.sqrt((d * d).mean(-1, keepdims=True) + eps) * g + b).astype(x.dtype)

    return softmax, norm
