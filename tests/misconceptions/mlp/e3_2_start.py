"""Wrong answers to 3.2, an honest start."""

import math

import torch

from misconceptions import wrong


def init(block_size, n_embd, n_hidden, V, generator, first=1.0, W2=0.01, b2=0.0, wte=1.0):
    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    return (
        wte * normal(V, n_embd),
        first * normal(block_size * n_embd, n_hidden),
        first * normal(n_hidden),
        W2 * normal(n_hidden, V),
        b2 * normal(V),
    )


@wrong("3.2", "That is in bits")
def loss_in_bits():
    return math.log2, init


@wrong("3.2", "1/V is the probability")
def probability_for_loss():
    return lambda V: 1 / V, init


@wrong("3.2", "The logarithm of a probability is negative")
def likelihood_for_loss():
    return lambda V: math.log(1 / V), init


@wrong("3.2", "W2 is as large as at the naive start")
def naive_start():
    return math.log, lambda *given: init(*given, W2=1.0, b2=1.0)


@wrong("3.2", "Only b2 is in the way")
def random_output_bias():
    return math.log, lambda *given: init(*given, b2=1.0)


@wrong("3.2", "root of the number of units")
def root_of_the_width():
    return math.log, lambda *given: init(*given, W2=given[2] ** -0.5)


@wrong("3.2", "Units that start alike")
def all_zeros():
    return math.log, lambda *given: init(*given, first=0.0, W2=0.0, wte=0.0)


@wrong("3.2", "The hidden layer doesn't see its context")
def embeddings_of_zero():
    return math.log, lambda *given: init(*given, wte=0.0)


@wrong("3.2", "Pass the generator to every random call")
def global_generator():
    return math.log, lambda *given: init(*given[:4], None)


@wrong("3.2", "don't make a new one inside")
def generator_of_its_own():
    return math.log, lambda *given: init(*given[:4], torch.Generator().manual_seed(42))


@wrong("3.2", "All are at one end of tanh")
def all_weights_positive():
    def calm_init(block_size, n_embd, n_hidden, V, generator):
        wte = torch.rand(V, n_embd, generator=generator)
        W1 = torch.rand(block_size * n_embd, n_hidden, generator=generator)
        return wte, W1, torch.zeros(n_hidden), torch.zeros(n_hidden, V), torch.zeros(V)

    return math.log, calm_init


@wrong("3.2", "wte and W1 must be random")
def weights_of_zero_and_random_biases():
    def calm_init(*given):
        wte, W1, *rest = init(*given)
        return wte, 0 * W1, *rest

    return math.log, calm_init


@wrong("3.2", "That is the loss for 27 characters")
def always_27_characters():
    return lambda V: math.log(27), init


@wrong("3.2", "Some units are copies of others")
def units_copied():
    def copied(block_size, n_embd, n_hidden, V, generator):
        wte, W1, b1, W2, b2 = init(block_size, n_embd, n_hidden, V, generator)
        half = torch.arange(n_hidden) // 2
        return wte, W1[:, half], b1[half], W2, b2

    return math.log, copied


@wrong("3.2", "b1 is so large that tanh is at one of its ends")
def bias_drowns_the_context():
    def drowned(*given):
        wte, W1, b1, W2, b2 = init(*given)
        return wte, W1, 100 * b1, W2 / 10, b2

    return math.log, drowned


@wrong("3.2", "is too large, and so its slope is zero")
def saturated():
    return math.log, lambda *given: init(*given, first=1000.0)


@wrong("3.2", "b2 is None: return a tensor")
def no_output_bias():
    return math.log, lambda *given: (*init(*given)[:4], None)


@wrong("3.2", "wte and W1 must be random, and not tiny")
def all_of_them_tiny():
    def tiny(*given):
        wte, W1, b1, W2, b2 = init(*given)
        return 0.01 * wte, 0.01 * W1, 0.01 * b1 + 0.01, W2, b2

    return math.log, tiny


@wrong("3.2", "What is not one number throughout")
def identity_for_the_embeddings():
    def calm_init(block_size, n_embd, n_hidden, V, generator):
        return torch.eye(V, n_embd), *init(block_size, n_embd, n_hidden, V, generator)[1:]

    return math.log, calm_init


@wrong("3.2", "A generator goes on from where it is")
def new_generator_with_the_same_seed():
    def calm_init(*given):
        return init(*given[:4], torch.Generator().manual_seed(given[4].initial_seed()))

    return math.log, calm_init


@wrong("3.2", "`torch.full` with a whole number")
def biases_of_whole_numbers():
    return math.log, lambda *given: (*init(*given)[:4], torch.full((given[3],), 0))


@wrong("3.2", "A parameter is a float tensor")
def arrays_for_tensors():
    return math.log, lambda *given: tuple(p.numpy() for p in init(*given))
