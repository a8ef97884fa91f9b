"""Wrong answers to 10.8, fit a scaling law."""

import math

import numpy as np

from misconceptions import wrong


def best(compute, loss, weigh=lambda loss: 1 / loss, rounds=4, low=0.01, high=0.5, steps=41):
    x, w = compute / compute.min(), weigh(loss)
    y = loss * w
    for _ in range(rounds):
        tried = np.linspace(low, high, steps)
        powers = x ** -tried[:, None] * w
        columns = np.stack([np.broadcast_to(w, powers.shape), powers], 2)
        Q, R = np.linalg.qr(columns)
        fitted = np.linalg.solve(R, Q.transpose(0, 2, 1) @ y[:, None])  # for all exponents at once
        i = (((columns @ fitted)[..., 0] - y) ** 2).sum(1).argmin()
        (E, a), b = fitted[i, :, 0].tolist(), float(tried[i])
        step = (high - low) / (steps - 1)
        low, high = b - step, b + step
    return E, float(a * compute.min() ** b), b


def power_law(compute, loss):
    slope, start = np.polyfit(np.log(compute), np.log(loss), 1)
    return 0.0, math.exp(start), -float(slope)


def value(law, at):
    E, A, b = law
    return float(E + A * at**-b)


def leaving_out(compute, loss, at, fit=best):
    some = [np.arange(len(loss)) != i for i in range(len(loss))]
    return np.array([value(fit(compute[k], loss[k]), at) for k in some])


def jackknife(p):
    return math.sqrt((len(p) - 1) / len(p) * ((p - p.mean()) ** 2).sum())


def predicting(fit=best, say=value, error=lambda p, compute, loss, at: jackknife(p)):
    """Return predict with one thing wrong."""

    def predict(compute, loss, at):
        p = leaving_out(compute, loss, at, fit)
        return float(say(fit(compute, loss), at)), float(error(p, compute, loss, at))

    return predict


predict = predicting()


def fitting(change):
    """Return fit_law whose right law comes back in another form, and the right predict."""
    return lambda compute, loss: tuple(change(*best(compute, loss), compute)), predict


@wrong("10.8", "A straight line through the logarithms has no floor")
def without_a_floor():
    return power_law, predicting(power_law)


@wrong("10.8", "E is the smallest loss that came")
def floor_at_the_smallest():
    def fit_law(compute, loss):
        E = loss.min() * 0.9999
        k = loss > loss.min()
        slope, start = np.polyfit(np.log(compute[k]), np.log(loss[k] - E), 1)
        return float(E), math.exp(start), -float(slope)

    return fit_law, predict


@wrong("10.8", "In the order A, E, b")
def a_first():
    return fitting(lambda E, A, b, c: (A, E, b))


@wrong("10.8", "In the order E, b, A")
def a_last():
    return fitting(lambda E, A, b, c: (E, b, A))


@wrong("10.8", "In the order A, b, E")
def e_last():
    return fitting(lambda E, A, b, c: (A, b, E))


@wrong("10.8", "In the order b, A, E")
def backwards():
    return fitting(lambda E, A, b, c: (b, A, E))


@wrong("10.8", "In the order b, E, A")
def b_first():
    return fitting(lambda E, A, b, c: (b, E, A))


@wrong("10.8", "b has the wrong sign")
def slope_of_the_line():
    return fitting(lambda E, A, b, c: (E, A, -b))


@wrong("10.8", "A is a logarithm")
def log_of_a():
    return fitting(lambda E, A, b, c: (E, math.log(A), b))


@wrong("10.8", "E is a logarithm")
def log_of_e():
    return fitting(lambda E, A, b, c: (math.log(E), A, b))


@wrong("10.8", "A belongs to a compute that was divided")
def a_of_another_unit():
    return fitting(lambda E, A, b, c: (E, A * c.min() ** -b, b))


@wrong("10.8", "The sum of the squared errors as they are")
def absolute_errors():
    return (lambda compute, loss: best(compute, loss, lambda loss: loss**0)), predict


@wrong("10.8", "Errors divided by the square of the loss")
def divided_twice():
    return (lambda compute, loss: best(compute, loss, lambda loss: loss**-2.0)), predict


@wrong("10.8", "A straight line through log(L − E)")
def line_through_the_excess():
    def fit_law(compute, loss):
        x, tried = np.log(compute), []
        for E in np.linspace(0, loss.min(), 2001)[:-1]:
            y = np.log(loss - E)
            slope, start = np.polyfit(x, y, 1)
            S = ((y - start - slope * x) ** 2).sum()
            tried.append((S, float(E), math.exp(start), -float(slope)))
        return min(tried)[1:]

    return fit_law, predict


@wrong("10.8", "The largest run plays no part")
def without_the_largest():
    def fit_law(compute, loss):
        k = compute < compute.max()
        return best(compute[k], loss[k])

    return fit_law, predict


@wrong("10.8", "The smallest run plays no part")
def without_the_smallest():
    def fit_law(compute, loss):
        k = compute > compute.min()
        return best(compute[k], loss[k])

    return fit_law, predict


@wrong("10.8", "another b is better: try more of them")
def exponents_of_a_tenth_and_more():
    return (lambda compute, loss: best(compute, loss, low=0.1, rounds=1, steps=401)), predict


@wrong("10.8", "That is the law at the largest run given")
def at_the_largest_run():
    def say_at_the_end(compute, loss, at):
        _, error = predict(compute, loss, at)
        return value(best(compute, loss), compute.max()), error

    return best, say_at_the_end


@wrong("10.8", "That is E, the floor")
def the_floor():
    return best, predicting(say=lambda law, at: law[0])


@wrong("10.8", "E is missing: that is A")
def floor_forgotten():
    return best, predicting(say=lambda law, at: law[1] * at ** -law[2])


@wrong("10.8", "A logarithm: return the loss")
def log_of_the_loss():
    return best, predicting(say=lambda law, at: math.log(value(law, at)))


@wrong("10.8", "The root is missing")
def variance():
    return best, predicting(error=lambda p, *given: jackknife(p) ** 2)


@wrong("10.8", "The standard deviation of the predictions")
def standard_deviation():
    return best, predicting(error=lambda p, *given: p.std())


@wrong("10.8", "The factor (n − 1) / n is missing")
def without_the_factor():
    return best, predicting(error=lambda p, *given: ((p - p.mean()) ** 2).sum() ** 0.5)


@wrong("10.8", "The first or the last run is never left out")
def last_run_never_left_out():
    return best, predicting(error=lambda p, *given: jackknife(p[:-1]))


@wrong("10.8", "The standard error of a mean")
def error_of_a_mean():
    return best, predicting(error=lambda p, *given: p.std() / len(p) ** 0.5)


@wrong("10.8", "From the smallest to the largest prediction")
def whole_range():
    return best, predicting(error=lambda p, *given: np.ptp(p))


@wrong("10.8", "Half the range")
def half_the_range():
    return best, predicting(error=lambda p, *given: np.ptp(p) / 2)


@wrong("10.8", "The largest difference")
def largest_difference():
    return best, predicting(error=lambda p, *given: np.abs(p - p.mean()).max())


@wrong("10.8", "How far the points lie from the law: the")
def residuals():
    def error(p, compute, loss, at):
        E, A, b = best(compute, loss)
        return (E + A * compute**-b - loss).std()

    return best, predicting(error=error)


@wrong("10.8", "A share of the prediction")
def relative_error():
    def error(p, compute, loss, at):
        return jackknife(p) / value(best(compute, loss), at)

    return best, predicting(error=error)


@wrong("10.8", "b stays as it was when points are left out")
def exponent_kept():
    def kept(compute, loss, at):
        b = best(compute, loss)[2]
        p = leaving_out(
            compute, loss, at, lambda c, y: best(c, y, rounds=1, low=b, high=b, steps=2)
        )
        return value(best(compute, loss), at), jackknife(p)

    return best, kept


@wrong("10.8", "Return both: `return loss, error`")
def loss_alone():
    return best, lambda *given: predict(*given)[0]
