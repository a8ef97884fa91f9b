"""Wrong answers to 1.2, an operation of your own."""

import math

import numpy as np

from misconceptions import wrong
from zerotohero.micrograd import Value


@wrong("1.2", "e¹⁰⁰⁰ is too large for a float: use")
def overflow():
    def softplus(x):
        e = math.exp(x.data)
        return Value(math.log(1 + e), (x,), "softplus", local=(e / (1 + e),))

    return softplus


@wrong("1.2", "the log's factor")
def inner_derivative_only():
    def softplus(x):
        e = math.exp(-abs(x.data))
        data = max(x.data, 0.0) + math.log1p(e)
        return Value(data, (x,), "softplus", local=(math.exp(min(x.data, 700.0)),))

    return softplus


@wrong("1.2", "No gradient arrives")
def not_connected():
    def softplus(x):
        return Value(max(x.data, 0.0) + math.log1p(math.exp(-abs(x.data))))

    return softplus


@wrong("1.2", "a factor of the local derivative?")
def gradient_in_the_local_derivative():
    def softplus(x):
        return Value(stable(x.data), (x,), "softplus", local=(x.sigmoid().data * x.grad,))

    return softplus


@wrong("1.2", "only the last one's share is left")
def overwrites():
    def softplus(x):
        out = Value(max(x.data, 0.0) + math.log1p(math.exp(-abs(x.data))), (x,), "softplus")

        def _backward():
            x.grad = x.sigmoid().data * out.grad

        out._backward = _backward
        return out

    return softplus


@wrong("1.2", "Your node has no rule")
def no_rule():
    def softplus(x):
        return Value(max(x.data, 0.0) + math.log1p(math.exp(-abs(x.data))), (x,), "softplus")

    return softplus


@wrong("1.2", "You put softplus together from other operations")
def composed():
    def softplus(x):
        if x.data > 0:
            return x + ((-x).exp() + 1).log()
        return (x.exp() + 1).log()

    return softplus


def stable(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@wrong("1.2", "You return a plain number")
def numpy_number():
    return lambda x: np.logaddexp(0.0, x.data)


@wrong("1.2", "Nothing came back")
def value_not_returned():
    def softplus(x):
        Value(stable(x.data), (x,), "softplus", local=(x.sigmoid().data,))

    return softplus


@wrong("1.2", "Compute with x.data")
def math_of_a_value():
    return lambda x: Value(math.log(1 + math.exp(x)), (x,), "softplus", local=(1.0,))


@wrong("1.2", "local is a tuple")
def local_without_comma():
    return lambda x: Value(stable(x.data), (x,), "softplus", local=(x.sigmoid().data))


@wrong("1.2", "The operands are a tuple")
def operands_without_comma():
    return lambda x: Value(stable(x.data), (x), "softplus", local=(x.sigmoid().data,))


@wrong("1.2", "you passed a Value")
def local_is_a_value():
    return lambda x: Value(stable(x.data), (x,), "softplus", local=(x.sigmoid(),))


@wrong("1.2", "not base 2")
def base_two():
    return lambda x: Value(
        math.log2(1 + math.exp(min(x.data, 700))), (x,), "softplus", local=(x.sigmoid().data,)
    )


@wrong("1.2", "That is the sigmoid's derivative")
def one_derivative_too_many():
    def softplus(x):
        s = x.sigmoid().data
        return Value(stable(x.data), (x,), "softplus", local=(s * (1 - s),))

    return softplus


@wrong("1.2", "leaves out the gradient of the result")
def rule_without_its_result():
    def softplus(x):
        out = Value(stable(x.data), (x,), "softplus")

        def _backward():
            x.grad += x.sigmoid().data

        out._backward = _backward
        return out

    return softplus


@wrong("1.2", "while the result is computed")
def gradient_too_early():
    def softplus(x):
        x.grad = x.sigmoid().data
        return Value(stable(x.data), (x,), "softplus", local=(0.0,))

    return softplus


@wrong("1.2", "∞/∞ in the derivative")
def not_a_number():
    def softplus(x):
        with np.errstate(all="ignore"):
            e = np.exp(x.data)
            return Value(stable(x.data), (x,), "softplus", local=(e / (1 + e),))

    return softplus


@wrong("1.2", "you return x itself")
def large_x_handed_back():
    def softplus(x):
        if x.data > 30:
            return x
        return Value(stable(x.data), (x,), "softplus", local=(x.sigmoid().data,))

    return softplus


@wrong("1.2", "so far out that the two are equal")
def too_early_a_straight_line():
    def softplus(x):
        data = x.data if x.data > 4 else stable(x.data)
        return Value(data, (x,), "softplus", local=(x.sigmoid().data,))

    return softplus


@wrong("1.2", "The operands should be x alone")
def x_twice():
    def softplus(x):
        slope = x.sigmoid().data / 2
        return Value(stable(x.data), (x, x), "softplus", local=(slope, slope))

    return softplus


@wrong("1.2", "Far below 0, too, the new Value needs its operand")
def bare_zero_far_below():
    def softplus(x):
        if x.data < -500:
            return Value(0.0)
        e = math.exp(-abs(x.data))
        return Value(max(x.data, 0.0) + math.log1p(e), (x,), "softplus", local=(x.sigmoid().data,))

    return softplus


def straight_beyond(limit):
    def softplus(x):
        far = x.data > limit
        data, slope = (x.data, 1.0) if far else (stable(x.data), x.sigmoid().data)
        return Value(data, (x,), "softplus", local=(slope,))

    return softplus


@wrong("1.2", "Where the formula changes to x, or to 0")
def a_straight_line_beyond_ten():
    return straight_beyond(10)


@wrong("1.2", "x gets its gradient twice")
def slope_added_besides():
    def softplus(x):
        x.grad += x.sigmoid().data
        return Value(stable(x.data), (x,), "softplus", local=(x.sigmoid().data,))

    return softplus


@wrong("1.2", "(x,), and not (x.data,)")
def operand_is_a_number():
    return lambda x: Value(stable(x.data), (x.data,), "softplus", local=(x.sigmoid().data,))


@wrong("1.2", "or name one as an operand")
def slope_named_as_an_operand():
    def softplus(x):
        s = x.sigmoid()
        return Value(stable(x.data), (x, s), "softplus", local=(s.data, 0.0))

    return softplus


@wrong("1.2", "At x = 0 nothing comes back")
def nothing_at_zero():
    def softplus(x):
        d = x.data
        if d > 0:
            return Value(d + math.log1p(math.exp(-d)), (x,), local=(1 / (1 + math.exp(-d)),))
        if d < 0:
            e = math.exp(d)
            return Value(math.log1p(e), (x,), local=(e / (1 + e),))

    return softplus


@wrong("1.2", "At x = 0 something is divided by 0")
def sign_by_division():
    def softplus(x):
        e = math.exp(-abs(x.data))
        slope = 1 / (1 + e) if x.data / abs(x.data) > 0 else e / (1 + e)
        return Value(stable(x.data), (x,), "softplus", local=(slope,))

    return softplus


@wrong("1.2", "In the slope, too, no exponent may be large")
def overflow_up_to_a_thousand():
    def softplus(x):
        d = x.data
        if d >= 1000:
            return Value(d, (x,), "softplus", local=(1.0,))
        if d <= -1000:
            return Value(0.0, (x,), "softplus", local=(0.0,))
        return Value(math.log(1 + math.exp(d)), (x,), "softplus", local=(1 / (1 + math.exp(-d)),))

    return softplus


@wrong("1.2", "log(1 + e⁹) is 9.0001")
def a_straight_line_beyond_nineteen():
    return straight_beyond(19.5)


@wrong("1.2", "farther out it is not yet 1, or 0")
def slopes_of_one_and_zero_too_early():
    def softplus(x):
        slope = 1.0 if x.data > 18 else 0.0 if x.data < -18 else x.sigmoid().data
        return Value(stable(x.data), (x,), "softplus", local=(slope,))

    return softplus


@wrong("1.2", "x had a gradient before the call")
def gradient_set_to_zero():
    def softplus(x):
        x.grad = 0.0
        return Value(stable(x.data), (x,), "softplus", local=(x.sigmoid().data,))

    return softplus


@wrong("1.2", "Nearly right, and 1e-9 is asked for")
def rounded_to_eight_places():
    def softplus(x):
        data = round(stable(x.data), 8)
        return Value(data, (x,), "softplus", local=(x.sigmoid().data,))

    return softplus
