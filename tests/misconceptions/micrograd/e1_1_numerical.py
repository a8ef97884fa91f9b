"""Wrong answers to 1.1, a gradient by nudging."""

import copy
import math

import numpy as np
import torch

from misconceptions import wrong


@wrong("1.1", "You nudge upwards only")
def one_sided():
    def numerical_gradient(f, a, b, c, h=1e-5):
        here = f(a, b, c)
        return (f(a + h, b, c) - here) / h, (f(a, b + h, c) - here) / h, (f(a, b, c + h) - here) / h

    return numerical_gradient


@wrong("1.1", "from x − h to x + h it is 2h")
def divided_by_h():
    def numerical_gradient(f, a, b, c, h=1e-5):
        da = (f(a + h, b, c) - f(a - h, b, c)) / h
        db = (f(a, b + h, c) - f(a, b - h, c)) / h
        dc = (f(a, b, c + h) - f(a, b, c - h)) / h
        return da, db, dc

    return numerical_gradient


@wrong("1.1", "You nudge all three numbers at once")
def all_at_once():
    def numerical_gradient(f, a, b, c, h=1e-5):
        slope = (f(a + h, b + h, c + h) - f(a - h, b - h, c - h)) / (2 * h)
        return slope, slope, slope

    return numerical_gradient


@wrong("1.1", "You don't use the h that you are given")
def fixed_nudge():
    def numerical_gradient(f, a, b, c, h=1e-5):
        h = 1e-5
        da = (f(a + h, b, c) - f(a - h, b, c)) / (2 * h)
        db = (f(a, b + h, c) - f(a, b - h, c)) / (2 * h)
        dc = (f(a, b, c + h) - f(a, b, c - h)) / (2 * h)
        return da, db, dc

    return numerical_gradient


def differences(slope):
    """An answer to 1.1 that makes a slope of f at x + h, f at x − h, and h."""

    def numerical_gradient(f, a, b, c, h=1e-5):
        return (
            slope(f(a + h, b, c), f(a - h, b, c), h),
            slope(f(a, b + h, c), f(a, b - h, c), h),
            slope(f(a, b, c + h), f(a, b, c - h), h),
        )

    return numerical_gradient


symmetric = differences(lambda up, down, h: (up - down) / (2 * h))


@wrong("1.1", "`/ 2 * h` divides by 2 and then")
def without_parentheses_below():
    return differences(lambda up, down, h: (up - down) / 2 * h)


@wrong("1.1", "Only the second f is divided")
def without_parentheses_above():
    return differences(lambda up, down, h: up - down / (2 * h))


@wrong("1.1", "You don't divide")
def not_divided():
    return differences(lambda up, down, h: up - down)


@wrong("1.1", "The sign is turned")
def turned_round():
    return differences(lambda up, down, h: (down - up) / (2 * h))


@wrong("1.1", "round nothing")
def rounded():
    return differences(lambda up, down, h: round((up - down) / (2 * h), 4))


@wrong("1.1", "Only the slope with respect to c is wrong: when")
def copied_line():
    def numerical_gradient(f, a, b, c, h=1e-5):
        da = (f(a + h, b, c) - f(a - h, b, c)) / (2 * h)
        db = (f(a, b + h, c) - f(a, b - h, c)) / (2 * h)
        dc = (f(a, b, c + h) - f(a, b, c + h)) / (2 * h)
        return da, db, dc

    return numerical_gradient


@wrong("1.1", "and no others")
def five_points():
    def numerical_gradient(f, a, b, c, h=1e-5):
        near = symmetric(f, a, b, c, h)
        far = symmetric(f, a, b, c, 2 * h)
        return tuple((4 * x - y) / 3 for x, y in zip(near, far, strict=True))

    return numerical_gradient


@wrong("1.1", "You go h/2 up")
def half_a_nudge():
    def numerical_gradient(f, a, b, c, h=1e-5):
        return symmetric(f, a, b, c, h / 2)

    return numerical_gradient


@wrong("1.1", "the seven digits of float32")
def in_float32():
    def numerical_gradient(f, a, b, c, h=1e-5):
        return tuple(float(np.float32(slope)) for slope in symmetric(f, a, b, c, h))

    return numerical_gradient


@wrong("1.1", "it is 1e-5: write")
def large_nudge_by_default():
    def numerical_gradient(f, a, b, c, h=1e-3):
        return symmetric(f, a, b, c, h)

    return numerical_gradient


@wrong("1.1", "Where h is left out")
def another_default():
    def numerical_gradient(f, a, b, c, h=1e-4):
        return symmetric(f, a, b, c, h)

    return numerical_gradient


@wrong("1.1", "The slopes are right and their order is not")
def from_c_to_a():
    return lambda *given, **more: differences(lambda up, down, h: (up - down) / (2 * h))(
        *given, **more
    )[::-1]


@wrong("1.1", "is not put back")
def left_behind():
    def numerical_gradient(f, a, b, c, h=1e-5):
        at, slopes = [a, b, c], []
        for i in range(3):
            at[i] += h
            up = f(*at)
            at[i] -= 2 * h
            slopes.append((up - f(*at)) / (2 * h))
        return slopes

    return numerical_gradient


@wrong("1.1", "call the f that you are given")
def another_f():
    def numerical_gradient(f, a, b, c, h=1e-5):
        def above(a, b, c):
            return -(a**3) + math.sin(3 * b) - 1.0 / c + b**2.5 - a**0.5

        return differences(lambda up, down, h: (up - down) / (2 * h))(above, a, b, c, h)

    return numerical_gradient


def whole_numbers(make):
    def numerical_gradient(f, a, b, c, h=1e-5):
        x, slopes = make([a, b, c]), []
        for i in range(3):
            up, down = copy.deepcopy(x), copy.deepcopy(x)
            up[i] += h
            down[i] -= h
            slopes.append((f(*up.tolist()) - f(*down.tolist())) / (2 * h))
        return tuple(slopes)

    return numerical_gradient


@wrong("1.1", "the nudge is cut off")
def array_of_whole_numbers():
    return whole_numbers(np.array)


@wrong("1.1", "made of 2, 3 and 4")
def tensor_of_whole_numbers():
    return whole_numbers(torch.tensor)


@wrong("1.1", "Return three slopes")
def one_number():
    return lambda f, a, b, c, h=1e-5: (f(a + h, b, c) - f(a - h, b, c)) / (2 * h)


@wrong("1.1", "Nothing came back")
def gradient_printed():
    return lambda f, a, b, c, h=1e-5: print((f(a + h, b, c) - f(a - h, b, c)) / (2 * h))


@wrong("1.1", "without calling it")
def called():
    return [1.0, 2.0, 3.0]
