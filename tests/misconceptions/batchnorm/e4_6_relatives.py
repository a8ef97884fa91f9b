"""Wrong answers to 4.6, layerNorm and RMSNorm."""

import torch

from misconceptions import wrong


def layer(x, gamma, beta, eps, axis=-1, correction=0, outside=False):
    mean = x.mean(axis, keepdim=True)
    var = x.var(axis, keepdim=True, correction=correction)
    return gamma * (x - mean) / (var.sqrt() + eps if outside else (var + eps).sqrt()) + beta


def rms(x, gamma, eps, axis=-1):
    return gamma * x / ((x * x).mean(axis, keepdim=True) + eps).sqrt()


def dependence(norm, x, change=None, keep=False):
    g = torch.Generator().manual_seed(1)
    before, columns, changed = norm(x), [], x.clone()
    for j in range(len(x)):
        changed = changed if keep else x.clone()
        changed[j] = change(x[j]) if change else torch.randn(x.shape[1], generator=g)
        # A shift of one's own row is undone but for rounding, as a learner's allclose sees it.
        columns.append(~torch.isclose(norm(changed), before).all(1))
    return torch.stack(columns, 1)


@wrong("4.6", "over axis 0 it is BatchNorm")
def layer_norm_over_the_batch():
    return lambda *given: layer(*given, axis=0), rms, dependence


@wrong("4.6", "`x.var(-1)` divides by C − 1")
def layer_norm_unbiased():
    return lambda *given: layer(*given, correction=1), rms, dependence


@wrong("4.6", "eps is added to the standard deviation")
def layer_norm_with_eps_outside():
    return lambda *given: layer(*given, outside=True), rms, dependence


@wrong("4.6", "the channels are axis 2")
def layer_norm_over_axis_1():
    return lambda *given: layer(*given, axis=1), rms, dependence


@wrong("4.6", "The positions of an example are mixed")
def layer_norm_over_the_example():
    def layer_norm(x, gamma, beta, eps):
        return layer(x, gamma, beta, eps, axis=tuple(range(1, x.ndim)))

    return layer_norm, rms, dependence


@wrong("4.6", "write into the tensor that was handed over")
def layer_norm_in_place():
    def layer_norm(x, gamma, beta, eps):
        y = layer(x, gamma, beta, eps)
        x -= x.mean(-1, keepdim=True)
        return y

    return layer_norm, rms, dependence


@wrong("4.6", "went to another: keep their axis")
def axis_not_kept():
    def layer_norm(x, gamma, beta, eps):
        return gamma * (x - x.mean(-1)) / (x.var(-1, correction=0) + eps).sqrt() + beta

    return layer_norm, rms, dependence


@wrong("4.6", "That is LayerNorm without beta")
def rms_norm_centred():
    return layer, lambda x, gamma, eps: layer(x, gamma, 0, eps), dependence


@wrong("4.6", "You divide by the standard deviation, which takes the mean out")
def rms_norm_by_standard_deviation():
    def rms_norm(x, gamma, eps):
        return gamma * x / (x.var(-1, keepdim=True, correction=0) + eps).sqrt()

    return layer, rms_norm, dependence


@wrong("4.6", "You divide by the length of the vector")
def rms_norm_by_length():
    def rms_norm(x, gamma, eps):
        return gamma * x / ((x * x).sum(-1, keepdim=True) + eps).sqrt()

    return layer, rms_norm, dependence


@wrong("4.6", "eps is missing in rms_norm")
def rms_norm_without_eps():
    return layer, lambda x, gamma, eps: rms(x, gamma, 0), dependence


@wrong("4.6", "Rows and columns are swapped: [i, j]")
def dependence_transposed():
    return layer, rms, lambda norm, x: dependence(norm, x).T


@wrong("4.6", "or the sum of its outputs, is what")
def all_channels_shifted():
    return layer, rms, lambda norm, x: dependence(norm, x, change=lambda row: row + 1)


@wrong("4.6", "the diagonal is left out")
def itself_left_out():
    def depends(norm, x):
        return dependence(norm, x) & ~torch.eye(len(x), dtype=torch.bool)

    return layer, rms, depends


@wrong("4.6", "is so for LayerNorm; `norm` may be anything")
def identity_by_heart():
    return layer, rms, lambda norm, x: torch.eye(len(x), dtype=torch.bool)


@wrong("4.6", "is so for BatchNorm; `norm` may be anything")
def everything_by_heart():
    return layer, rms, lambda norm, x: torch.ones(len(x), len(x), dtype=torch.bool)


@wrong("4.6", "begin each time with a fresh copy")
def changes_kept():
    return layer, rms, lambda norm, x: dependence(norm, x, keep=True)


@wrong("4.6", "Each entry is True or False")
def differences_for_booleans():
    return layer, rms, lambda norm, x: dependence(norm, x).float()


@wrong("4.6", "of any number of axes")
def axis_by_its_number():
    def layer_norm(x, *given):
        return layer(x, *given, axis=x.ndim - 1 if x.ndim < 4 else 2)

    return layer_norm, rms, dependence


@wrong("4.6", "An example need not depend on itself")
def itself_always():
    def depends(norm, x):
        return dependence(norm, x) | torch.eye(len(x), dtype=torch.bool)

    return layer, rms, depends


@wrong("4.6", "You miss a dependence on one channel alone")
def first_channel_changed():
    def change(row):
        return torch.cat((row[:1] + 1, row[1:]))

    return layer, rms, lambda norm, x: dependence(norm, x, change=change)


@wrong("4.6", "Change a copy")
def x_changed():
    def depends(norm, x):
        found = dependence(norm, x)
        x[0] = 0
        return found

    return layer, rms, depends


@wrong("4.6", "[i, j] and [j, i] are two questions")
def dependence_on_each_other():
    def depends(norm, x):
        found = dependence(norm, x)
        return found & found.T

    return layer, rms, depends


@wrong("4.6", "it has changed: `.any(1)`")
def all_channels_must_change():
    def depends(norm, x):
        columns = []
        for j in range(len(x)):
            changed = x.clone()
            changed[j] = torch.randn(x.shape[1], generator=torch.Generator().manual_seed(j))
            columns.append((norm(changed) != norm(x)).all(1))
        return torch.stack(columns, 1)

    return layer, rms, depends


@wrong("4.6", "the last is -1")
def third_axis():
    return layer, lambda *given: rms(*given, axis=2), dependence


@wrong("4.6", "a change of sign leaves it as it is")
def sign_changed():
    return layer, rms, lambda norm, x: dependence(norm, x, change=lambda row: -row)


@wrong("4.6", "eps is 1e-5 here")
def eps_of_ones_own():
    return lambda x, gamma, beta, eps: layer(x, gamma, beta, 1e-5), rms, dependence


@wrong("4.6", "numbers whatever their order")
def channels_turned_round():
    return layer, rms, lambda norm, x: dependence(norm, x, change=lambda row: row.flip(0))


@wrong("4.6", "Where there is no other example, its numbers are no change")
def rows_exchanged():
    def depends(norm, x):
        before, columns = norm(x), []
        for j in range(len(x)):
            changed = x.clone()
            changed[j] = 1.5 * x[(j + 1) % len(x)] - 0.5 * x[j]
            columns.append(~torch.isclose(norm(changed), before).all(1))
        return torch.stack(columns, 1)

    return layer, rms, depends


@wrong("4.6", "`squeeze()` takes axes of length 1 away")
def squeezed():
    return layer, rms, lambda norm, x: dependence(norm, x).squeeze()
