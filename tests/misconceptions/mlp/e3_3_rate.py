"""Wrong answers to 3.3, a learning rate, found."""

import math
from itertools import pairwise

import torch

from misconceptions import wrong


def search(step, low, high, n, rates=None, keep=False, ends=lambda loss: not math.isfinite(loss)):
    tried, losses = [], []
    for rate in rates or torch.logspace(math.log10(low), math.log10(high), n).tolist():
        loss = step(rate)
        if ends(loss):
            losses += [loss] if keep else []
            break
        tried.append(rate)
        losses.append(loss)
    return tried, losses


def choose(rates, losses, window):
    means = [sum(losses[i : i + window]) for i in range(len(losses) - window + 1)]
    return rates[means.index(min(means)) + window - 1] / 2


@wrong("3.3", "space the exponents evenly")
def linear_spacing():
    def sweep(step, low, high, n):
        return search(step, low, high, n, torch.linspace(low, high, n).tolist())

    return sweep, choose


@wrong("3.3", "The rates fall")
def from_large_to_small():
    return lambda step, low, high, n: search(step, high, low, n), choose


@wrong("3.3", "`high` is left out")
def without_the_last():
    def sweep(step, low, high, n):
        return search(step, low, high, n, [low * (high / low) ** (i / n) for i in range(n)])

    return sweep, choose


@wrong("3.3", "These are the exponents")
def exponents_for_rates():
    def sweep(step, low, high, n):
        rates, losses = search(step, low, high, n)
        return [math.log10(rate) for rate in rates], losses

    return sweep, choose


@wrong("3.3", "step is called twice")
def two_steps_a_rate():
    def sweep(step, low, high, n):
        rates = torch.logspace(math.log10(low), math.log10(high), n).tolist()
        return rates, [step(rate) for rate in rates if math.isfinite(step(rate))]

    return sweep, choose


@wrong("3.3", "break off")
def stepping_on_after_infinity():
    return lambda *given: search(*given, ends=lambda loss: False), choose


@wrong("3.3", "is still in the list")
def infinity_kept():
    return lambda *given: search(*given, keep=True), choose


@wrong("3.3", "one lucky minibatch")
def lowest_single_loss():
    return search, lambda rates, losses, window: rates[losses.index(min(losses))] / 2


@wrong("3.3", "take half of it")
def not_halved():
    return search, lambda *given: 2 * choose(*given)


@wrong("3.3", "the rate at its beginning")
def beginning_of_the_window():
    def choose_rate(rates, losses, window):
        means = [sum(losses[i : i + window]) for i in range(len(losses) - window + 1)]
        return rates[means.index(min(means))] / 2

    return search, choose_rate


@wrong("3.3", "before there are `window` losses")
def windows_that_are_not_full():
    def choose_rate(rates, losses, window):
        windows = [losses[max(0, i - window + 1) : i + 1] for i in range(len(losses))]
        means = [sum(w) / len(w) for w in windows]
        return rates[means.index(min(means))] / 2

    return search, choose_rate


@wrong("3.3", "That is a place in the list")
def index_for_rate():
    return search, lambda rates, *given: rates.index(2 * choose(rates, *given))


@wrong("3.3", "`logspace` takes exponents")
def logspace_of_rates():
    def sweep(step, low, high, n):
        return search(step, low, high, n, torch.logspace(low, high, n).tolist())

    return sweep, choose


@wrong("3.3", "`low` is left out")
def without_the_first():
    def sweep(step, low, high, n):
        rates = [low * (high / low) ** (i / n) for i in range(1, n + 1)]
        return search(step, low, high, n, rates)

    return sweep, choose


@wrong("3.3", "ten times the one before")
def ten_times_each():
    def sweep(step, low, high, n):
        return search(step, low, high, n, [low * 10**i for i in range(n)])

    return sweep, choose


@wrong("3.3", "return the rates first")
def losses_first():
    return lambda *given: search(*given)[::-1], choose


@wrong("3.3", "The last window is left out")
def last_window_left_out():
    return search, lambda rates, losses, window: choose(rates, losses[:-1], window)


@wrong("3.3", "That is the place after the right one")
def window_without_its_last_loss():
    def choose_rate(rates, losses, window):
        means = [sum(losses[i - window : i]) for i in range(window, len(losses))]
        return rates[means.index(min(means)) + window] / 2

    return search, choose_rate


@wrong("3.3", "the rate in its middle")
def middle_of_the_window():
    def choose_rate(rates, losses, window):
        means = [sum(losses[i : i + window]) for i in range(len(losses) - window + 1)]
        return rates[means.index(min(means)) + window // 2] / 2

    return search, choose_rate


@wrong("3.3", "the lowest mean, a loss")
def mean_for_rate():
    def choose_rate(rates, losses, window):
        return min(sum(losses[i : i + window]) / window for i in range(len(losses) - window + 1))

    return search, choose_rate


@wrong("3.3", "the rate at half the place")
def place_halved():
    return search, lambda rates, *given: rates[rates.index(2 * choose(rates, *given)) // 2]


@wrong("3.3", "NaN isn't finite either")
def only_infinity_ends_it():
    def sweep(step, low, high, n):
        return search(step, low, high, n, ends=lambda loss: loss == math.inf)

    return sweep, choose


@wrong("3.3", "The rate of the loss that is not finite is in the list")
def its_rate_kept():
    def sweep(step, low, high, n):
        rates, losses = [], []
        for rate in torch.logspace(math.log10(low), math.log10(high), n).tolist():
            rates.append(rate)
            loss = step(rate)
            if not math.isfinite(loss):
                break
            losses.append(loss)
        return rates, losses

    return sweep, choose


@wrong("3.3", "it is left out here")
def first_window_left_out():
    return search, lambda rates, losses, window: choose(rates[1:], losses[1:], window)


@wrong("3.3", "count n rates, instead of asking")
def multiplied_up_to_high():
    """Which rounding ends one rate early."""

    def sweep(step, low, high, n):
        rates = [low]
        while rates[-1] * (high / low) ** (1 / (n - 1)) <= high:
            rates.append(rates[-1] * (high / low) ** (1 / (n - 1)))
        return search(step, low, high, n, rates)

    return sweep, choose


@wrong("3.3", "−∞ isn't finite either")
def minus_infinity_goes_on():
    def sweep(step, low, high, n):
        return search(step, low, high, n, ends=lambda loss: not loss < math.inf)

    return sweep, choose


@wrong("3.3", "A large loss is finite")
def stops_where_it_is_large():
    def sweep(step, low, high, n):
        return search(step, low, high, n, ends=lambda loss: not abs(loss) <= 1e6)

    return sweep, choose


@wrong("3.3", "That is the place before the right one")
def one_place_early():
    def choose_rate(rates, losses, window):
        means = [sum(losses[i : i + window]) for i in range(len(losses) - window + 1)]
        return rates[means.index(min(means)) + window - 2] / 2

    return search, choose_rate


def lowest_window(losses, window):
    means = [sum(losses[i : i + window]) for i in range(len(losses) - window + 1)]
    return means.index(min(means))


@wrong("3.3", "begin with `math.inf`")
def ten_to_begin_with():
    def choose_rate(rates, losses, window):
        best, at = 10.0, 0
        for i in range(window - 1, len(losses)):
            mean = sum(losses[i - window + 1 : i + 1]) / window
            if mean < best:
                best, at = mean, i
        return rates[at] / 2

    return search, choose_rate


@wrong("3.3", "You calculate a rate from the ends")
def rate_from_the_ends():
    def choose_rate(rates, losses, window):
        place = lowest_window(losses, window) + window - 1
        return rates[0] * (rates[-1] / rates[0]) ** (place / (len(rates) - 1)) / 2

    return search, choose_rate


@wrong("3.3", "falls most steeply")
def steepest_fall():
    def choose_rate(rates, losses, window):
        falls = [b - a for a, b in pairwise(losses)]
        return rates[falls.index(min(falls)) + 1] / 2

    return search, choose_rate


@wrong("3.3", "the lowest loss inside of the lowest window")
def lowest_loss_of_the_lowest_window():
    def choose_rate(rates, losses, window):
        first = lowest_window(losses, window)
        window_losses = losses[first : first + window]
        return rates[first + window_losses.index(min(window_losses))] / 2

    return search, choose_rate


@wrong("3.3", "The first of them counts")
def last_of_equal_means():
    def last(rates, losses, window):
        means = [sum(losses[i : i + window]) for i in range(len(losses) - window + 1)]
        place = max(i for i, mean in enumerate(means) if mean == min(means))
        return rates[place + window - 1] / 2

    return search, last


@wrong("3.3", "`not best` takes it for none")
def zero_taken_for_none():
    def choose_rate(rates, losses, window):
        best, place = None, None
        for i in range(window - 1, len(losses)):
            mean = sum(losses[i - window + 1 : i + 1]) / window
            if not best or mean < best:
                best, place = mean, i
        return rates[place] / 2

    return search, choose_rate


@wrong("3.3", "A loss of 0 is finite")
def ends_at_a_loss_of_0():
    def sweep(step, low, high, n):
        return search(step, low, high, n, ends=lambda loss: not loss or not math.isfinite(loss))

    return sweep, choose


@wrong("3.3", "A loss below 0 is finite")
def ends_at_a_loss_below_0():
    def sweep(step, low, high, n):
        return search(step, low, high, n, ends=lambda loss: not 0 <= loss < math.inf)

    return sweep, choose


@wrong("3.3", "two rates may give the same loss")
def rates_by_loss():
    def sweep(step, low, high, n):
        rates, losses = search(step, low, high, n)
        by_loss = dict(zip(losses, rates, strict=True))
        return [*by_loss.values()], [*by_loss]

    return sweep, choose


@wrong("3.3", "so don't round them")
def means_of_two_decimals():
    def choose_rate(rates, losses, window):
        means = [sum(losses[i : i + window]) / window for i in range(len(losses) - window + 1)]
        rounded = [round(mean, 2) for mean in means]
        return rates[rounded.index(min(rounded)) + window - 1] / 2

    return search, choose_rate


@wrong("3.3", "as if all were above 0")
def sizes_of_the_losses():
    def choose_rate(rates, losses, window):
        return choose(rates, [abs(loss) for loss in losses], window)

    return search, choose_rate
