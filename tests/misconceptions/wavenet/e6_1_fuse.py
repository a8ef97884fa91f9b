"""Wrong answers to 6.1, fuse neighbours."""

import torch

from misconceptions import wrong


def flatten(x, n):
    B, T, C = x.shape
    if T % n:
        raise ValueError(f"{T} vectors can't be split into groups of {n}.")
    x = x.reshape(B, T // n, n * C)
    return x.squeeze(1) if x.shape[1] == 1 else x


@wrong("6.1", "its axis of length 1 is still there")
def no_squeeze():
    def flatten_consecutive(x, n):
        y = flatten(x, n)
        return y if y.ndim == 3 else y[:, None]

    return flatten_consecutive


@wrong("6.1", "The batch axis is gone")
def squeeze_of_every_axis():
    return lambda x, n: flatten(x, n).squeeze()


@wrong("6.1", "aren't neighbours: vector 0")
def first_half_with_second_half():
    def flatten_consecutive(x, n):
        y = torch.cat(flatten(x, 1).view(len(x), n, -1, x.shape[2]).unbind(1), 2)
        return y.squeeze(1) if y.shape[1] == 1 else y

    return lambda x, n: flatten_consecutive(x, n) if x.shape[1] % n == 0 else flatten(x, n)


@wrong("6.1", "the later vector stands first")
def later_first():
    def flatten_consecutive(x, n):
        y = torch.cat([x[:, i::n] for i in reversed(range(n))], 2)
        return y.squeeze(1) if y.shape[1] == 1 else y

    return flatten_consecutive


@wrong("6.1", "interleaved number by number")
def channels_interleaved():
    def flatten_consecutive(x, n):
        B, T, C = x.shape
        y = x.reshape(B, T // n, n, C).transpose(2, 3).reshape(B, T // n, n * C)
        return y.squeeze(1) if n == T else y

    return flatten_consecutive


@wrong("6.1", "Numbers of different examples stand in one row")
def batch_mixed_by_a_transposition():
    return lambda x, n: flatten(x.transpose(0, 1).reshape(x.shape), n)


@wrong("6.1", "Numbers of different examples are mixed: keep B in front.")
def batch_second():
    def flatten_consecutive(x, n):
        B, T, C = x.shape
        flatten(x, n)
        y = x.reshape(T // n, B, n * C).transpose(0, 1)
        return y.squeeze(1) if n == T else y

    return flatten_consecutive


@wrong("6.1", "fused along the batch")
def examples_fused():
    return lambda x, n: x.reshape(-1, x.shape[1], n * x.shape[2])


@wrong("6.1", "Pairs are fused whatever n is")
def always_pairs():
    def flatten_consecutive(x, n):
        flatten(x, n)
        return torch.cat([x[:, ::2], x[:, 1::2]], 2)

    return flatten_consecutive


@wrong("6.1", "There are n rows left")
def n_rows():
    return lambda x, n: flatten(x, x.shape[1] // n)


@wrong("6.1", "dropped without a word")
def rest_dropped():
    return lambda x, n: flatten(x[:, : x.shape[1] // n * n], n)


@wrong("6.1", "the newest characters are lost")
def one_too_many_dropped():
    def flatten_consecutive(x, n):
        T = x.shape[1]
        return flatten(x[:, : T - (T % n == 1)], n)

    return flatten_consecutive


@wrong("6.1", "test `T % n`")
def odd_lengths_refused():
    def flatten_consecutive(x, n):
        if x.shape[1] % 2 and n > 1:
            raise ValueError(f"{x.shape[1]} vectors can't be split into groups of {n}.")
        return flatten(x[:, : x.shape[1] // n * n], n)

    return flatten_consecutive


@wrong("6.1", "where T is `x.shape[1]`, the middle axis")
def axes_as_in_a_convolution():
    def flatten_consecutive(x, n):
        _B, _C, T = x.shape
        if T % n:
            raise ValueError(f"{T} vectors can't be split into groups of {n}.")
        return flatten(x, n)

    return flatten_consecutive


@wrong("6.1", "filled with zeros without a word")
def rest_padded():
    def flatten_consecutive(x, n):
        return flatten(torch.nn.functional.pad(x, (0, 0, 0, -x.shape[1] % n)), n)

    return flatten_consecutive


@wrong("6.1", "torch's own complaint")
def left_to_view():
    def flatten_consecutive(x, n):
        B, T, C = x.shape
        x = x.reshape(B, T // n, n * C)
        return x.squeeze(1) if n == T else x

    return flatten_consecutive


@wrong("6.1", "can't see your code")
def a_message_that_says_nothing():
    def flatten_consecutive(x, n):
        if x.shape[1] % n:
            raise ValueError("bad shape")
        return flatten(x, n)

    return flatten_consecutive


@wrong("6.1", "cut off from x")
def rebuilt_from_lists():
    def flatten_consecutive(x, n):
        flatten(x, n)
        rows = [
            [[v for vector in e[i : i + n] for v in vector] for i in range(0, len(e), n)]
            for e in x.tolist()
        ]
        y = torch.tensor(rows, dtype=x.dtype)
        return y.squeeze(1) if y.shape[1] == 1 else y

    return flatten_consecutive


@wrong("6.1", "You refuse a length that n does divide")
def refuses_all():
    def flatten_consecutive(x, n):
        raise ValueError(f"{x.shape[1]} vectors can't be divided into groups of {n}")

    return flatten_consecutive


@wrong("6.1", "A single vector, n = 1, is one row, too")
def one_vector_as_it_is():
    return lambda x, n: x if n == 1 else flatten(x, n)


@wrong("6.1", "Fewer vectors than n are no multiple of n either.")
def fewer_than_n_pass():
    return lambda x, n: x.flatten(1) if x.shape[1] < n else flatten(x, n)


@wrong("6.1", "You return the error as a value")
def error_returned():
    def flatten_consecutive(x, n):
        if x.shape[1] % n:
            return ValueError(f"{x.shape[1]} vectors can't be split into groups of {n}.")
        return flatten(x, n)

    return flatten_consecutive


@wrong("6.1", "x itself may have been transposed")
def view_of_x():
    def flatten_consecutive(x, n):
        B, T, C = x.shape
        if T % n:
            raise ValueError(f"{T} vectors can't be split into groups of {n}.")
        x = x.view(B, T // n, n * C)
        return x.squeeze(1) if n == T else x

    return flatten_consecutive


@wrong("6.1", "of another data type than x")
def cast_to_float32():
    return lambda x, n: flatten(x.float(), n)


@wrong("6.1", "`float`, `double` or a new tensor")
def cast_to_float64():
    return lambda x, n: flatten(x.double(), n)


@wrong("6.1", "`double` or a new tensor has changed it")
def filled_into_float32():
    def flatten_consecutive(x, n):
        y = flatten(x, n)
        return torch.zeros(y.shape) + y

    return flatten_consecutive


@wrong("6.1", "T and n have changed places in the message")
def message_with_exchanged_names():
    def flatten_consecutive(x, n):
        if x.shape[1] % n:
            raise ValueError(f"n = {x.shape[1]} is no divisor of the length T = {n}")
        return flatten(x, n)

    return flatten_consecutive


@wrong("6.1", "T is how many vectors came, n how many belong")
def message_with_exchanged_words():
    def flatten_consecutive(x, n):
        if x.shape[1] % n:
            raise ValueError(f"{n} vectors can't be split into groups of {x.shape[1]}.")
        return flatten(x, n)

    return flatten_consecutive


@wrong("6.1", "The last axis stays")
def last_axis_of_one_dropped():
    return lambda x, n: flatten(x, n).squeeze(-1)


@wrong("6.1", "An exception isn't `print`")
def message_in_pieces():
    def flatten_consecutive(x, n):
        if x.shape[1] % n:
            raise ValueError("the number of vectors is no multiple of n:", x.shape[1], n)
        return flatten(x, n)

    return flatten_consecutive


@wrong("6.1", "write into the tensor that was handed over")
def twice_in_place():
    def flatten_consecutive(x, n):
        y = flatten(x.clone(), n)
        x *= 2
        return y

    return flatten_consecutive
