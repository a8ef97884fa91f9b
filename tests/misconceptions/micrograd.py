"""Wrong answers to the exercises of lecture 01."""

import math
import random

from misconceptions import wrong
from zerotohero.micrograd import MLP, Value

# --- 1.1 ----------------------------------------------------------------------------------------


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
        h = 1e-6
        da = (f(a + h, b, c) - f(a - h, b, c)) / (2 * h)
        db = (f(a, b + h, c) - f(a, b - h, c)) / (2 * h)
        dc = (f(a, b, c + h) - f(a, b, c - h)) / (2 * h)
        return da, db, dc

    return numerical_gradient


# --- 1.2 ----------------------------------------------------------------------------------------


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


# --- 1.3 ----------------------------------------------------------------------------------------


@wrong("1.3", "Your function calls itself")
def recursive():
    def operands_first(operands, root):
        order = []

        def visit(name):
            if name not in order:
                for operand in operands[name]:
                    visit(operand)
                order.append(name)

        visit(root)
        return order

    return operands_first


@wrong("1.3", "turn it round")
def root_first():
    def operands_first(operands, root):
        order, seen, stack = [], set(), [root]
        while stack:
            name = stack[-1]
            if name not in seen:
                seen.add(name)
                stack += [o for o in operands[name] if o not in seen]
            else:
                stack.pop()
                if name not in order:
                    order.append(name)
        return order[::-1]

    return operands_first


@wrong("1.3", "You list level by level")
def by_level():
    def operands_first(operands, root):
        seen, queue = [root], [root]
        while queue:
            for operand in operands[queue.pop(0)]:
                if operand not in seen:
                    seen.append(operand)
                    queue.append(operand)
        return seen[::-1]

    return operands_first


@wrong("1.3", "You walk every path")
def every_path():
    def operands_first(operands, root):
        order, stack = [], [root]
        while stack:
            name = stack.pop()
            order.append(name)
            stack += operands[name]
        return list(dict.fromkeys(order[::-1]))

    return operands_first


@wrong("1.3", "You list all that is in the dict")
def whole_dict():
    def operands_first(operands, root):
        order, seen, stack = {}, set(), [root, *operands]
        while stack:
            name = stack[-1]
            if name not in seen:
                seen.add(name)
                stack += [o for o in operands[name] if o not in seen]
            else:
                order[stack.pop()] = True
        return list(order)

    return operands_first


# --- 1.4 ----------------------------------------------------------------------------------------


def exponentials(logits):
    top = max(z.data for z in logits)
    return [(z - top).exp() for z in logits]


def right_softmax(logits):
    e = exponentials(logits)
    total = sum(e)
    return [x / total for x in e]


@wrong("1.4", "take the largest logit away from all")
def softmax_overflow():
    def softmax(logits):
        e = [z.exp() for z in logits]
        return [x / sum(e) for x in e]

    return softmax, lambda logits, label: -softmax(logits)[label].log()


@wrong("1.4", "The sign: a loss is")
def log_likelihood():
    return right_softmax, lambda logits, label: right_softmax(logits)[label].log()


@wrong("1.4", "is made of .data")
def constant_sum():
    def softmax(logits):
        e = exponentials(logits)
        return [x / sum(x.data for x in e) for x in e]

    return softmax, lambda logits, label: -softmax(logits)[label].log()


@wrong("1.4", "has cut the graph")
def graph_cut():
    def nll(logits, label):
        return Value(-math.log(right_softmax(logits)[label].data))

    return right_softmax, nll


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


# --- 1.5 ----------------------------------------------------------------------------------------


def loop(before=False, after=False, end=False, sign=-1.0):
    def train(model, points, labels, steps, rate):
        losses = []
        for _ in range(steps):
            margins = [y * model(x) for x, y in zip(points, labels, strict=True)]
            loss = sum((1 - m).relu() for m in margins) / len(margins)
            if before:
                model.zero_grad()
            loss.backward()
            if after:
                model.zero_grad()
            for p in model.parameters():
                p.data += sign * rate * p.grad
            if end:
                model.zero_grad()
            losses.append(loss.data)
        return losses

    return train


@wrong("1.5", "zero_grad() wipes the gradients after")
def as_it_came():
    return loop(after=True, sign=1.0)


@wrong("1.5", "The weights move uphill")
def uphill():
    return loop(before=True, sign=1.0)


@wrong("1.5", "Gradients add up over the steps")
def never_zeroed():
    return loop()


@wrong("1.5", "You zero at the end of each step")
def zeroed_at_the_end():
    return loop(end=True)


# --- 1.6 ----------------------------------------------------------------------------------------


def trained(sizes, steps=150, zero=True, sign=1.0):
    def train_on_moons(points, labels):
        model = MLP(2, sizes, rng=random.Random(1))
        for _ in range(steps):
            margins = [sign * y * model(x) for x, y in zip(points, labels, strict=True)]
            loss = sum((1 - m).relu() for m in margins) / len(margins)
            if zero:
                model.zero_grad()
            loss.backward()
            for p in model.parameters():
                p.data -= p.grad
        return model

    return train_on_moons


@wrong("1.6", "no straight line separates the moons")
def straight_line():
    return trained([1], steps=30)


@wrong("1.6", "The sides are swapped")
def sides_swapped():
    return trained([16, 1], sign=-1.0)


@wrong("1.6", "Zero the gradients before each backward")
def gradients_pile_up():
    return trained([16, 1], steps=40, zero=False)


@wrong("1.6", "return the model")
def nothing_returned():
    def train_on_moons(points, labels):
        MLP(2, [4, 1], rng=random.Random(1))

    return train_on_moons
