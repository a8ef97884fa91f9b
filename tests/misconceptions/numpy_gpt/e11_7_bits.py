"""Wrong answers to 11.7, eight-bit weights."""

import numpy as np

from misconceptions import wrong


def scales(w):
    scale = np.abs(w).max(1) / np.float32(127)
    scale[scale == 0] = 1
    return scale


def quantising(find=scales, make=np.rint, kind=np.int8):
    """Return quantise with one thing wrong."""

    def quantise(w):
        scale = find(w)
        with np.errstate(all="ignore"):
            rows = scale[:, None] if scale.shape == (len(w),) else scale
            return make(w / rows).astype(kind), scale

    return quantise


def product(x, q, scale, last=True, kind=np.float32, power=1):
    n = len(q) if last else len(q) // 128 * 128
    y = np.zeros((len(x), q.shape[1]), kind)
    for i in range(0, n, 128):
        rows = slice(i, min(i + 128, n))
        y += x[:, rows] @ (q[rows] * scale[rows, None] ** power)
    return y


right = quantising()


@wrong("11.7", "One scale for the whole matrix")
def one_scale():
    def find(w):
        return np.full(len(w), np.abs(w).max() / np.float32(127))

    return quantising(find), product


@wrong("11.7", "One scale for each column")
def scale_of_columns():
    return quantising(lambda w: np.abs(w).max(0) / np.float32(127)), product


@wrong("11.7", "has an axis too many")
def axis_kept():
    return quantising(lambda w: scales(w)[:, None]), product


@wrong("11.7", "the largest would become 128")
def up_to_128():
    def find(w):
        scale = np.abs(w).max(1) / np.float32(128)
        return np.where(scale == 0, np.float32(1), scale)

    return quantising(find), product


@wrong("11.7", "and not the largest absolute one")
def largest_without_sign():
    def find(w):
        scale = w.max(1) / np.float32(127)
        return np.where(scale == 0, np.float32(1), scale)

    return quantising(find), product


@wrong("11.7", "From the smallest to the largest")
def from_end_to_end():
    def find(w):
        scale = np.ptp(w, 1) / np.float32(255)
        return np.where(scale == 0, np.float32(1), scale)

    return quantising(find), product


@wrong("11.7", "The scale of a row of zeros")
def zero_over_zero():
    return quantising(lambda w: np.abs(w).max(1) / np.float32(127)), product


@wrong("11.7", "The other way round: scale")
def turned_round():
    def quantise(w):
        scale = 1 / scales(w)
        return np.rint(w * scale[:, None]).astype(np.int8), scale

    return quantise, product


@wrong("11.7", "cuts off what follows the point")
def cut_off():
    return quantising(make=lambda z: z), product


@wrong("11.7", "Rounded down")
def rounded_down():
    return quantising(make=np.floor), product


@wrong("11.7", "float64 takes 8 bytes")
def wide_scales():
    def quantise(w):
        q, scale = right(w)
        return q, scale.astype(np.float64)

    return quantise, product


@wrong("11.7", "int16 takes 2 bytes")
def sixteen_bits():
    return quantising(kind=np.int16), product


@wrong("11.7", "float32 takes 4 bytes")
def still_floats():
    return quantising(kind=np.float32), product


@wrong("11.7", "`return q, scale`")
def numbers_alone():
    return (lambda w: right(w)[0]), product


@wrong("11.7", "The scales are missing")
def no_scales():
    return right, lambda x, q, scale: product(x, q, np.ones_like(scale))


@wrong("11.7", "Divided by the scales")
def divided():
    return right, lambda x, q, scale: product(x, q, scale, power=-1)


@wrong("11.7", "The scales are there twice")
def scales_twice():
    return right, lambda x, q, scale: product(x * scale, q, scale)


@wrong("11.7", "behind the last whole block")
def last_block_lost():
    return right, lambda x, q, scale: product(x, q, scale, last=False)


@wrong("11.7", "All of q is turned into floats")
def whole_matrix():
    return right, lambda x, q, scale: (x * scale) @ q


@wrong("11.7", "there at the same time: take smaller blocks")
def large_blocks():
    def by_512(x, q, scale):
        y = np.zeros((len(x), q.shape[1]), np.float32)
        for i in range(0, len(q), 512):
            y += x[:, i : i + 512] @ (q[i : i + 512] * scale[i : i + 512, None])
        return y

    return right, by_512


@wrong("11.7", "Only the last block is left")
def blocks_overwritten():
    def overwriting(x, q, scale):
        for i in range(0, len(q), 128):
            y = x[:, i : i + 128] @ (q[i : i + 128] * scale[i : i + 128, None])
        return y

    return right, overwriting


@wrong("11.7", "begin with `np.zeros((T, m), np.float32)`")
def float64():
    return right, lambda x, q, scale: product(x, q, scale, kind=np.float64)


@wrong("11.7", "it stays float32")
def x_made_whole():
    def both_whole(x, q, scale):
        most = np.float32(np.abs(x).max() / 127)
        return most * product(np.rint(x / most), q, scale)

    return right, both_whole


@wrong("11.7", "in the product it belongs to x's numbers")
def scales_of_the_result():
    def behind(x, q, scale):
        return product(x, q, np.ones_like(scale)) * scale

    return right, behind


@wrong("11.7", "which `x @ q` does too")
def kept_from_the_first_call():
    kept = {}

    def remembering(x, q, scale):
        key = q.shape, float(scale.sum())
        if key not in kept:
            kept[key] = q * scale[:, None]
        return x @ kept[key]

    return right, remembering


@wrong("11.7", "A row of small numbers has been given a larger scale")
def smallest_scale():
    def find(w):
        scale = np.abs(w).max(1) / np.float32(127)
        return np.where(scale == 0, np.float32(1), np.maximum(scale, np.float32(1e-9)))

    return quantising(find), product


@wrong("11.7", "Rounded twice, to float16 first")
def rounded_twice():
    return quantising(make=lambda z: np.rint(z.astype(np.float16))), product


@wrong("11.7", "The last row is missing")
def last_row_lost():
    def short(x, q, scale):
        y = np.zeros((len(x), q.shape[1]), np.float32)
        for i in range(0, len(q) - 1, 128):
            y += x[:, i : i + 128] @ (q[i : i + 128] * scale[i : i + 128, None])
        return y

    return right, short


@wrong("11.7", "uint8 has no numbers below 0")
def without_a_sign():
    def quantise(w):
        q, scale = right(w)
        return q.view(np.uint8), scale

    return quantise, product


@wrong("11.7", "Times the scale: q is w divided by it")
def times_the_scale():
    def quantise(w):
        scale = scales(w)
        return np.rint(w * scale[:, None]).astype(np.int8), scale

    return quantise, product


@wrong("11.7", "q comes first, then scale")
def scale_first():
    return lambda w: right(w)[::-1], product


@wrong("11.7", "float16 has some three digits")
def scales_of_float16():
    return quantising(lambda w: scales(w).astype(np.float16)), product


@wrong("11.7", "float32 is needed")
def rows_of_float16():
    def product(x, q, scale):
        y = np.zeros((len(x), q.shape[1]), np.float32)
        for i in range(0, len(q), 128):
            rows = (q[i : i + 128] * scale[i : i + 128, None]).astype(np.float16)
            y += x[:, i : i + 128] @ rows
        return y

    return right, product
