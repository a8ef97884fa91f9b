"""Wrong answers to 4.6, layerNorm and RMSNorm."""

import torch

from misconceptions import wrong


def layer(x, gamma, beta, eps, axis=-1, correction=0, outside=False):
    mean = x.mean(axis, keepdim=True)
    var = x.var(axis, keepdim=True, correction=correction)
    return gamma * (x - mean) / (var.sqrt() + eps if outside else (var + eps).sqrt()) + beta


def rms(x, gamma, eps, axis=-1):
    return gamma * x / ((x * x).mean(axis, keepdim=True) + eps).sqrt()


def dependence(norm, x, change=None, keep=False, rtol=0.0, atol=0.0):
    g = torch.Generator().manual_seed(1)
    before, columns, changed = norm(x.clone()), [], x.clone()
    for j in range(len(x)):
        changed = changed if keep else x.clone()
        changed[j] = change(x[j]) if change else torch.randn(x.shape[1], generator=g)
        columns.append(~torch.isclose(norm(changed), before, rtol=rtol, atol=atol).all(1))
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


@wrong("4.6", "Of three axes, the channels are axis 2")
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


@wrong("4.6", "by the same amount or factor is what")
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
            columns.append((norm(changed) != norm(x.clone())).all(1))
        return torch.stack(columns, 1)

    return layer, rms, depends


@wrong("4.6", "the last is -1")
def third_axis():
    return layer, lambda *given: rms(*given, axis=2), dependence


@wrong("4.6", "a change of sign leaves it as it is")
def sign_changed():
    return layer, rms, lambda norm, x: dependence(norm, x, change=lambda row: -row)


@wrong("4.6", "You take an eps of 1e-5")
def eps_of_ones_own():
    return lambda x, gamma, beta, eps: layer(x, gamma, beta, 1e-5), rms, dependence


@wrong("4.6", "numbers whatever their order")
def channels_turned_round():
    return layer, rms, lambda norm, x: dependence(norm, x, change=lambda row: row.flip(0))


@wrong("4.6", "Where there is no other example, its numbers are no change")
def rows_exchanged():
    def depends(norm, x):
        before, columns = norm(x.clone()), []
        for j in range(len(x)):
            changed = x.clone()
            changed[j] = 1.5 * x[(j + 1) % len(x)] - 0.5 * x[j]
            columns.append((norm(changed) != before).any(1))
        return torch.stack(columns, 1)

    return layer, rms, depends


@wrong("4.6", "`squeeze()` takes axes of length 1 away")
def squeezed():
    return layer, rms, lambda norm, x: dependence(norm, x).squeeze()


def without_gradient(function):
    """The function with its result cut off from the graph."""
    return lambda *given: function(*given).detach()


@wrong("4.6", "Nothing comes back through layer_norm")
def layer_norm_without_gradient():
    return without_gradient(layer), rms, dependence


@wrong("4.6", "Nothing comes back through rms_norm")
def rms_norm_without_gradient():
    return layer, without_gradient(rms), dependence


@wrong("4.6", "In layer_norm, x gets no gradient")
def x_detached():
    return lambda x, *given: layer(x.detach(), *given), rms, dependence


@wrong("4.6", "In layer_norm, gamma gets no gradient")
def gamma_detached():
    return lambda x, gamma, *given: layer(x, gamma.detach(), *given), rms, dependence


@wrong("4.6", "In layer_norm, beta gets no gradient")
def beta_detached():
    return lambda x, gamma, beta, eps: layer(x, gamma, beta.detach(), eps), rms, dependence


@wrong("4.6", "In rms_norm, x gets no gradient")
def x_of_rms_norm_detached():
    return layer, lambda x, *given: rms(x.detach(), *given), dependence


@wrong("4.6", "In rms_norm, gamma gets no gradient")
def gamma_of_rms_norm_detached():
    return layer, lambda x, gamma, eps: rms(x, gamma.detach(), eps), dependence


def layer_by(mean_of, var_of):
    """LayerNorm with a mean and a variance that were made of these."""

    def layer_norm(x, gamma, beta, eps):
        mean = mean_of(x).mean(-1, keepdim=True)
        var = var_of(x).var(-1, keepdim=True, correction=0)
        return gamma * (x - mean) / (var + eps).sqrt() + beta

    return layer_norm


@wrong("4.6", "mean and variance count as constants")
def statistics_detached():
    return layer_by(torch.detach, torch.detach), rms, dependence


@wrong("4.6", "the variance counts as a constant")
def variance_detached():
    return layer_by(torch.clone, torch.detach), rms, dependence


@wrong("4.6", "the mean counts as a constant")
def mean_detached():
    return layer_by(torch.detach, torch.clone), rms, dependence


@wrong("4.6", "the mean of the squares counts as a constant")
def mean_of_the_squares_detached():
    def rms_norm(x, gamma, eps):
        return gamma * x / ((x * x).mean(-1, keepdim=True) + eps).sqrt().detach()

    return layer, rms_norm, dependence


@wrong("4.6", "these numbers are rounded to fewer digits")
def calculated_in_float32():
    return lambda x, *given: layer(x.float(), *given), rms, dependence


@wrong("4.6", "The result has the dtype of x")
def result_in_float64():
    return lambda x, *given: layer(x.double(), *given), rms, dependence


def poisoned(with_what):
    return lambda norm, x: dependence(norm, x, change=lambda row: torch.full_like(row, with_what))


@wrong("4.6", "NaN and infinity spread")
def examples_poisoned():
    return layer, rms, poisoned(torch.nan)


def compared(by):
    """`depends` that compares what `by` makes of the outputs, one number an example."""

    def depends(norm, x):
        before, columns = norm(x.clone()), []
        for j in range(len(x)):
            changed = x.clone()
            generator = torch.Generator().manual_seed(j)
            changed[j] = torch.randn(x.shape[1], generator=generator)
            columns.append(by(norm(changed)) != by(before))
        return torch.stack(columns, 1)

    return depends


@wrong("4.6", "You compare one channel of the outputs alone")
def first_channel_compared():
    return layer, rms, compared(lambda y: y[:, 0])


@wrong("4.6", "The sum of an example's outputs, or their mean")
def sums_compared():
    return layer, rms, compared(lambda y: y.sum(1))


@wrong("4.6", "`norm` may write into what it is given")
def norm_given_x_itself():
    def depends(norm, x):
        before, columns = norm(x), []
        for j in range(len(x)):
            changed = x.clone()
            changed[j] = torch.randn(x.shape[1], generator=torch.Generator().manual_seed(j))
            columns.append((norm(changed) != before).any(1))
        return torch.stack(columns, 1)

    return layer, rms, depends


@wrong("4.6", "compare exactly, with `!=`")
def what_allclose_sees():
    return layer, rms, lambda *given: dependence(*given, rtol=1e-5, atol=1e-8)


@wrong("4.6", "You miss a slight dependence")
def what_a_threshold_lets_through():
    return layer, rms, lambda *given: dependence(*given, atol=1e-12)


@wrong("4.6", "An example may already hold what you change it to")
def changed_to_zeros():
    return layer, rms, lambda *given: dependence(*given, change=torch.zeros_like)


@wrong("4.6", "its gradient is 0")
def gradients_for_changes():
    def depends(norm, x):
        return torch.autograd.functional.jacobian(norm, x).ne(0).any(3).any(1)

    return layer, rms, depends


@wrong("4.6", "all but the one example that you change must be those of x")
def numbers_of_ones_own():
    g = torch.Generator().manual_seed(2)

    def depends(norm, x):
        return dependence(norm, torch.randn(x.shape, generator=g, dtype=x.dtype))

    return layer, rms, depends


@wrong("4.6", "less the square of the mean loses digits")
def mean_of_squares_less_squared_mean():
    def layer_norm(x, gamma, beta, eps):
        mean = x.mean(-1, keepdim=True)
        var = (x * x).mean(-1, keepdim=True) - mean**2
        return gamma * (x - mean) / (var + eps).sqrt() + beta

    return layer_norm, rms, dependence
