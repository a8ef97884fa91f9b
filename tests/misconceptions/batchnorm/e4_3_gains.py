"""Wrong answers to 4.3, the gain, measured and derived."""

import math

import torch
import torch.nn.functional as F

from misconceptions import wrong


def measure(f, z):
    return 1 / (f(z) ** 2).mean().sqrt().item()


def derive(slope):
    return math.sqrt(2 / (1 + slope**2))


def follow(f, gain, z, depth, size=lambda y: (y**2).mean().sqrt().item(), grow=True, first=False):
    s, sizes = 1.0, []
    for _ in range(depth):
        before, s = s, gain * size(f(s * z if grow else z))
        sizes.append(before if first else s)
    return sizes


@wrong("4.3", "A sum of weight · f(z) has no such subtraction")
def standard_deviation_measured():
    return lambda f, z: 1 / f(z).std().item(), derive, follow


@wrong("4.3", "yours is its square")
def gain_squared():
    return lambda f, z: 1 / (f(z) ** 2).mean().item(), derive, follow


@wrong("4.3", "That is how large f(z) is; the gain has to make up for it")
def size_for_gain():
    return lambda f, z: 1 / measure(f, z), derive, follow


@wrong("4.3", "ReLU's gain, whatever f is")
def always_root_two():
    return lambda f, z: math.sqrt(2), derive, follow


@wrong("4.3", "You took the mean of |f(z)|")
def mean_of_absolutes():
    return lambda f, z: 1 / f(z).abs().mean().item(), derive, follow


@wrong("4.3", "use the z that is handed in")
def numbers_of_ones_own():
    z = torch.randn(100_000, generator=torch.Generator().manual_seed(1))
    return (
        lambda f, _: measure(f, z),
        derive,
        lambda f, gain, _, depth: follow(f, gain, z, depth),
    )


@wrong("4.3", "You divide by n - 1")
def corrected_for_a_mean():
    def size(y):
        return ((y**2).sum() / (len(y) - 1)).sqrt().item()

    return lambda f, z: 1 / size(f(z)), derive, lambda *given: follow(*given, size=size)


@wrong("4.3", "the negative half counts too")
def slope_ignored():
    return measure, lambda slope: math.sqrt(2), follow


@wrong("4.3", "it is *squared* in the mean")
def slope_not_squared():
    return measure, lambda slope: math.sqrt(2 / (1 + slope)), follow


@wrong("4.3", "The root is missing: gain² is")
def root_forgotten():
    return measure, lambda slope: 2 / (1 + slope**2), follow


@wrong("4.3", "and the 2 is missing")
def half_forgotten():
    return measure, lambda slope: math.sqrt(1 / (1 + slope**2)), follow


@wrong("4.3", "The root goes over the whole fraction")
def root_of_the_two_alone():
    return measure, lambda slope: math.sqrt(2) / (1 + slope**2), follow


@wrong("4.3", "if it was measured")
def measured_instead_of_derived():
    z = torch.randn(100_000, generator=torch.Generator().manual_seed(1))
    return measure, lambda slope: measure(lambda z: F.leaky_relu(z, slope), z), follow


@wrong("4.3", "return the s *after* each layer")
def starts_with_one():
    return measure, derive, lambda *given: follow(*given, first=True)


@wrong("4.3", "Every layer is given z itself")
def size_not_carried_on():
    return measure, derive, lambda *given: follow(*given, grow=False)


@wrong("4.3", "the next sums grow with the mean of f(s · z)²")
def standard_deviation_followed():
    return measure, derive, lambda *given: follow(*given, size=lambda y: y.std().item())


@wrong("4.3", "These are variances")
def variances_returned():
    return measure, derive, lambda *given: [s**2 for s in follow(*given)]


@wrong("4.3", "The gain counts once")
def gain_counted_twice():
    return measure, derive, lambda f, gain, *given: follow(f, gain**2, *given)


@wrong("4.3", "Every layer multiplies by what the first one did")
def one_factor_for_all_layers():
    def sizes_by_layer(f, gain, z, depth):
        return [(gain / measure(f, z)) ** (i + 1) for i in range(depth)]

    return measure, derive, sizes_by_layer


@wrong("4.3", "The numbers f(z) are handed on as they are")
def numbers_handed_on():
    def sizes_by_layer(f, gain, z, depth):
        sizes = []
        for _ in range(depth):
            z = gain * f(z)
            sizes.append((z**2).mean().sqrt().item())
        return sizes

    return measure, derive, sizes_by_layer


@wrong("4.3", "The gain is applied before f")
def gain_inside():
    return measure, derive, lambda f, gain, *given: follow(lambda z: f(gain * z), 1, *given)


@wrong("4.3", "`depth` of them")
def one_layer_too_many():
    return measure, derive, lambda f, gain, z, depth: follow(f, gain, z, depth + 1)


@wrong("4.3", "nothing is rounded or left to chance here")
def sizes_rounded():
    return measure, derive, lambda *given: [round(s, 3) for s in follow(*given)]
