"""What wrong answers to lecture 06 share: a convolution with switches."""

import torch


def conv(x, weight, bias, d, front="first", swap=False, ahead=False):
    B, T, C = x.shape
    if front == "wrap":
        past = x.roll(d, 1)
    elif ahead:
        past = torch.cat([x, x.new_zeros(B, d, C)], 1)[:, d:]
    else:
        past = x[:, :1].expand(-1, d, -1) if front == "first" else x.new_zeros(B, d, C)
        past = torch.cat([past, x], 1)[:, :T]
    pair = [x, past] if swap or ahead else [past, x]
    return torch.cat(pair, 2) @ weight + bias
