"""Wrong answers to 2.4, rows instead of one-hot."""

import torch
import torch.nn.functional as F

from misconceptions import wrong


@wrong("2.4", "This is still a product")
def one_hot_after_all():
    def row_logits(W, xs):
        return F.one_hot(xs, W.shape[0]).to(W.dtype) @ W

    return row_logits


@wrong("2.4", "These are columns of W; a one-hot row")
def takes_columns():
    return lambda W, xs: W[:, xs]


@wrong("2.4", "index W and not its transpose")
def takes_columns_as_rows():
    return lambda W, xs: W.T[xs]


@wrong("2.4", "have lost their connection to W")
def cuts_the_gradient():
    return lambda W, xs: W.data[xs]


@wrong("2.4", "The shape of xs is lost")
def flattens():
    return lambda W, xs: W[xs.flatten()]


@wrong("2.4", "expect `xs` to have one dimension")
def index_select():
    return lambda W, xs: torch.index_select(W, 0, xs)


@wrong("2.4", "This is a loop")
def row_by_row():
    return lambda W, xs: torch.stack([W[i] for i in xs.flatten()]).view(*xs.shape, -1)


@wrong("2.4", "NumPy knows nothing of gradients")
def numpy_rows():
    return lambda W, xs: W.numpy()[xs.numpy()]


@wrong("2.4", "Nothing came back")
def rows_without_return():
    return lambda W, xs: None


@wrong("2.4", "make a leaf of their own")
def new_leaf():
    return lambda W, xs: W[xs].detach().requires_grad_()


@wrong("2.4", "No one-hot vector is needed: xs itself")
def one_hot_and_back():
    return lambda W, xs: W[F.one_hot(xs, len(W)).argmax(-1)]


@wrong("2.4", "Of an empty xs")
def last_axis_left_open():
    return lambda W, xs: W[xs.view(-1)].view(*xs.shape, -1)


@wrong("2.4", "These are probabilities")
def softmax_of_rows():
    return lambda W, xs: W[xs].softmax(-1)


@wrong("2.4", "takes single entries")
def row_and_column():
    return lambda W, xs: W[xs, xs]


@wrong("2.4", "takes away every axis of length 1")
def squeezes():
    return lambda W, xs: W[xs].squeeze()


@wrong("2.4", "`squeeze(0)` takes it away")
def first_axis_squeezed():
    return lambda W, xs: W[xs].squeeze(0)
