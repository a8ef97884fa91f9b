"""Wrong answers to 1.4, softmax and negative log-likelihood."""

import math

import numpy as np

from misconceptions import wrong
from zerotohero.micrograd import Value


def exponentials(logits):
    top = max(z.data for z in logits)
    return [(z - top).exp() for z in logits]


def divided(e):
    total = sum(e)
    return [x / total for x in e]


def right_softmax(logits):
    return divided(exponentials(logits))


@wrong("1.4", "A small number is added, to the sum or to the probability")
def never_divided_by_zero():
    def softmax(logits):
        e = exponentials(logits)
        return [x / (sum(e) + 1e-8) for x in e]

    return softmax, lambda logits, label: -softmax(logits)[label].log()


@wrong("1.4", "take the largest logit away from all")
def softmax_overflow():
    def softmax(logits):
        e = [z.exp() for z in logits]
        return [x / sum(e) for x in e]

    return softmax, lambda logits, label: -softmax(logits)[label].log()


@wrong("1.4", "the largest absolute value")
def largest_absolute_value():
    def softmax(logits):
        top = max(logits, key=lambda z: abs(z.data)).data
        return divided([(z - top).exp() for z in logits])

    return softmax, lambda logits, label: -softmax(logits)[label].log()


@wrong("1.4", "They nearly add up to 1")
def a_small_number_in_the_sum():
    def softmax(logits):
        e = exponentials(logits)
        return [x / (sum(e) + 1e-5) for x in e]

    return softmax, lambda logits, label: -right_softmax(logits)[label].log()


@wrong("1.4", "go by the place in the list, and not by the number")
def looked_up_by_number():
    def softmax(logits):
        numbers, probs = [z.data for z in logits], right_softmax(logits)
        return [probs[numbers.index(x)] for x in numbers]

    return softmax, lambda logits, label: -right_softmax(logits)[label].log()


@wrong("1.4", "The sign: a loss is")
def log_likelihood():
    return right_softmax, lambda logits, label: right_softmax(logits)[label].log()


@wrong("1.4", "is made of .data")
def constant_sum():
    def softmax(logits):
        e = exponentials(logits)
        return [x / sum(x.data for x in e) for x in e]

    return softmax, lambda logits, label: -softmax(logits)[label].log()


@wrong("1.4", "In nll, no gradient reaches")
def graph_cut():
    def nll(logits, label):
        return Value(-math.log(right_softmax(logits)[label].data))

    return right_softmax, nll


@wrong("1.4", "In softmax, no gradient reaches")
def softmax_cut():
    def softmax(logits):
        return [Value(p.data) for p in right_softmax(logits)]

    return softmax, lambda logits, label: -right_softmax(logits)[label].log()


@wrong("1.4", "You take the largest probability")
def most_likely():
    def nll(logits, label):
        return -max(right_softmax(logits), key=lambda p: p.data).log()

    return right_softmax, nll


@wrong("1.4", "You divide the logits themselves")
def no_exponential():
    def softmax(logits):
        return [z / sum(logits) for z in logits]

    return softmax, lambda logits, label: -right_softmax(logits)[label].log()


@wrong("1.4", "a Value has methods")
def floats_of_math():
    def softmax(logits):
        e = [math.exp(z) for z in logits]
        return [x / sum(e) for x in e]

    return softmax, lambda logits, label: -math.log(softmax(logits)[label])


@wrong("1.4", "You return plain numbers")
def numpy_probabilities():
    def softmax(logits):
        e = np.exp([z.data - max(z.data for z in logits) for z in logits])
        return e / e.sum()

    return softmax, lambda logits, label: -np.log(softmax(logits)[label])


@wrong("1.4", "Nothing came back")
def loss_printed():
    return right_softmax, lambda logits, label: print(-right_softmax(logits)[label].log())


@wrong("1.4", "Values don't compare")
def largest_value():
    def softmax(logits):
        e = [(z - max(logits)).exp() for z in logits]
        return [x / sum(e) for x in e]

    return softmax, lambda logits, label: -softmax(logits)[label].log()


@wrong("1.4", "not a fixed number")
def shifted_by_a_constant():
    def softmax(logits):
        e = [(z - 1000).exp() for z in logits]
        return [x / sum(e) for x in e]

    return softmax, lambda logits, label: -right_softmax(logits)[label].log()


@wrong("1.4", "A loss is one Value")
def every_loss():
    return right_softmax, lambda logits, label: [-p.log() for p in right_softmax(logits)]


@wrong("1.4", "softmax is applied twice")
def softmax_twice():
    def nll(logits, label):
        return -right_softmax(right_softmax(logits))[label].log()

    return right_softmax, nll


@wrong("1.4", "That is the log of the logit")
def without_softmax():
    return right_softmax, lambda logits, label: -logits[label].log()


@wrong("1.4", "Labels count from 0")
def label_from_one():
    return right_softmax, lambda logits, label: -right_softmax(logits)[label - 1].log()


@wrong("1.4", "must not call backward()")
def backward_inside():
    def nll(logits, label):
        loss = -right_softmax(logits)[label].log()
        loss.backward()
        return loss

    return right_softmax, nll


@wrong("1.4", "check takes them in this order")
def the_two_swapped():
    return (lambda logits, label: -right_softmax(logits)[label].log()), right_softmax


@wrong("1.4", "writes into a Value that was handed over")
def the_logits_changed():
    def softmax(logits):
        top = max(z.data for z in logits)
        for z in logits:
            z.data -= top
        return divided([z.exp() for z in logits])

    return softmax, lambda logits, label: -softmax(logits)[label].log()


@wrong("1.4", "What you take away is not the largest logit")
def the_first_taken_away():
    def softmax(logits):
        first = logits[0].data
        return divided([(z - first).exp() for z in logits])

    return softmax, lambda logits, label: -softmax(logits)[label].log()


@wrong("1.4", "as a mean, the smallest or the first may be")
def the_mean_taken_away():
    def softmax(logits):
        mean = sum(z.data for z in logits) / len(logits)
        return divided([(z - mean).exp() for z in logits])

    return softmax, lambda logits, label: -right_softmax(logits)[label].log()


@wrong("1.4", "neither `top - z` nor `z + top`")
def largest_added():
    def softmax(logits):
        top = max(z.data for z in logits)
        return divided([(z + top).exp() for z in logits])

    return softmax, lambda logits, label: -right_softmax(logits)[label].log()


@wrong("1.4", "The sign of the logits is turned round")
def taken_from_the_largest():
    def softmax(logits):
        top = max(z.data for z in logits)
        return divided([(top - z).exp() for z in logits])

    return softmax, lambda logits, label: -right_softmax(logits)[label].log()


@wrong("1.4", "Those are the logarithms of the probabilities")
def logarithms_of_the_probabilities():
    def softmax(logits):
        return [p.log() for p in right_softmax(logits)]

    return softmax, lambda logits, label: -softmax(logits)[label]


@wrong("1.4", "is used up by what goes through it first")
def generator_used_up():
    def softmax(logits):
        top = max(z.data for z in logits)
        return divided((z - top).exp() for z in logits)

    return softmax, lambda logits, label: -softmax(logits)[label].log()


@wrong("1.4", "add nothing to p before the log")
def a_little_something():
    return right_softmax, lambda logits, label: -(right_softmax(logits)[label] + 1e-8).log()


@wrong("1.4", "you set those to zero")
def gradients_zeroed():
    def softmax(logits):
        for z in logits:
            z.grad = 0.0
        return right_softmax(logits)

    return softmax, lambda logits, label: -softmax(logits)[label].log()


@wrong("1.4", "Equal logits are counted once")
def equal_logits_counted_once():
    def softmax(logits):
        top = max(z.data for z in logits)
        e = {z.data: (z - top).exp() for z in logits}
        total = sum(e.values())
        return [e[z.data] / total for z in logits]

    return softmax, lambda logits, label: -softmax(logits)[label].log()


@wrong("1.4", "A logit that is alone")
def one_logit_by_itself():
    def softmax(logits):
        return right_softmax(logits) if len(logits) > 1 else [logits[0] * 1.0]

    return softmax, lambda logits, label: -right_softmax(logits)[label].log()


@wrong("1.4", "leave the list and its order alone")
def sorted_in_place():
    def softmax(logits):
        order = list(logits)
        logits.sort(key=lambda z: z.data)
        return right_softmax(order)

    return softmax, lambda logits, label: -right_softmax(logits)[label].log()


@wrong("1.4", "at the label's place among the sorted ones")
def label_among_the_sorted():
    def nll(logits, label):
        return -right_softmax(sorted(logits, key=lambda z: z.data))[label].log()

    return right_softmax, nll


@wrong("1.4", "The probabilities are sorted")
def probabilities_sorted():
    def softmax(logits):
        return right_softmax(sorted(logits, key=lambda z: z.data))

    return softmax, lambda logits, label: -right_softmax(logits)[label].log()


@wrong("1.4", "and not one with its number")
def label_found_by_its_number():
    def nll(logits, label):
        first = [z.data for z in logits].index(logits[label].data)
        return -right_softmax(logits)[first].log()

    return right_softmax, nll
