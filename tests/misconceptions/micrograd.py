"""Wrong answers to the exercises of lecture 01."""

import math
import random
import sys

import numpy as np

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


def differences(slope):
    """An answer to 1.1 that makes a slope of f at x + h, f at x − h, and h."""

    def numerical_gradient(f, a, b, c, h=1e-5):
        return (
            slope(f(a + h, b, c), f(a - h, b, c), h),
            slope(f(a, b + h, c), f(a, b - h, c), h),
            slope(f(a, b, c + h), f(a, b, c - h), h),
        )

    return numerical_gradient


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


@wrong("1.1", "Wrong only to c")
def copied_line():
    def numerical_gradient(f, a, b, c, h=1e-5):
        da = (f(a + h, b, c) - f(a - h, b, c)) / (2 * h)
        db = (f(a, b + h, c) - f(a, b - h, c)) / (2 * h)
        dc = (f(a, b, c + h) - f(a, b, c + h)) / (2 * h)
        return da, db, dc

    return numerical_gradient


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


@wrong("1.1", "Return three slopes")
def one_number():
    return lambda f, a, b, c, h=1e-5: (f(a + h, b, c) - f(a - h, b, c)) / (2 * h)


@wrong("1.1", "Nothing came back")
def gradient_printed():
    return lambda f, a, b, c, h=1e-5: print((f(a + h, b, c) - f(a - h, b, c)) / (2 * h))


@wrong("1.1", "without calling it")
def called():
    return [1.0, 2.0, 3.0]


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


@wrong("1.3", "a higher limit only moves the end")
def recursive_with_a_higher_limit():
    def operands_first(operands, root):
        order, seen, limit = [], set(), sys.getrecursionlimit()

        def visit(name):
            if name not in seen:
                seen.add(name)
                for operand in operands[name]:
                    visit(operand)
                order.append(name)

        try:
            sys.setrecursionlimit(100_000)
            visit(root)
        finally:
            sys.setrecursionlimit(limit)
        return order

    return operands_first


@wrong("1.3", "not when you first meet it")
def when_first_met():
    def operands_first(operands, root):
        order, stack = [], [root]
        while stack:
            name = stack.pop()
            if name not in order:
                order.append(name)
                stack += operands[name]
        return order[::-1]

    return operands_first


@wrong("1.3", "Your loop has no end")
def never_popped():
    def operands_first(operands, root):
        order, stack = [], [root]
        while stack:
            name = stack[-1]
            if all(operand in order for operand in operands[name]):
                order.append(name)
            else:
                stack += operands[name]
        return order

    return operands_first


@wrong("1.3", "You go over the graph again and again")
def round_after_round():
    def operands_first(operands, root):
        reached, todo = [], [root]
        while todo:
            name = todo.pop()
            if name not in reached:
                reached.append(name)
                todo += operands[name]
        order, listed = [], set()
        while len(order) < len(reached):
            for name in reached:
                if name not in listed and all(o in listed for o in operands[name]):
                    order.append(name)
                    listed.add(name)
        return order

    return operands_first


@wrong("1.3", "is listed twice")
def listed_twice():
    def operands_first(operands, root):
        order, seen, stack = [], set(), [root]
        while stack:
            if stack[-1] in seen:
                order.append(stack.pop())
            else:
                seen.add(stack[-1])
                stack += operands[stack[-1]]
        return order

    return operands_first


@wrong("1.3", "A set has no order")
def as_a_set():
    return lambda operands, root: set(operands)


@wrong("1.3", "A name is text")
def attribute_of_a_name():
    return lambda operands, root: [*root.operands, root]


@wrong("1.3", "Nothing came back")
def order_not_returned():
    return lambda operands, root: None


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


@wrong("1.5", "Two faults")
def never_zeroed_and_uphill():
    return loop(sign=1.0)


def steps_of(update, report=lambda loss, losses: losses.append(loss.data), scale=1.0):
    """An answer to 1.5 that zeroes and goes back as it should, and updates with `update`."""

    def train(model, points, labels, steps, rate):
        losses = []
        for _ in range(steps):
            margins = [y * model(x) for x, y in zip(points, labels, strict=True)]
            loss = scale * sum((1 - m).relu() for m in margins) / len(margins)
            model.zero_grad()
            loss.backward()
            update(model, rate)
            report(loss, losses)
        return losses

    return train


def downhill(model, rate):
    for p in model.parameters():
        p.data -= rate * p.grad


@wrong("1.5", "gives the name p another value")
def name_rebound():
    def update(model, rate):
        for p in model.parameters():
            p = p - rate * p.grad

    return steps_of(update)


@wrong("1.5", "You don't use the rate")
def rate_left_out():
    return steps_of(lambda model, rate: downhill(model, 1.0))


@wrong("1.5", "You train on the sum")
def loss_not_divided():
    return steps_of(downhill, scale=8.0)  # the check asks for eight points


@wrong("1.5", "Return a list of plain numbers")
def losses_are_values():
    return steps_of(downhill, report=lambda loss, losses: losses.append(loss))


@wrong("1.5", "compute it inside the loop")
def loss_before_the_loop():
    def train(model, points, labels, steps, rate):
        margins = [y * model(x) for x, y in zip(points, labels, strict=True)]
        loss, losses = sum((1 - m).relu() for m in margins) / len(margins), []
        for _ in range(steps):
            model.zero_grad()
            loss.backward()
            downhill(model, rate)
            losses.append(loss.data)
        return losses

    return train


@wrong("1.5", "is the return inside the loop")
def one_step():
    train = steps_of(downhill)
    return lambda model, points, labels, steps, rate: train(model, points, labels, 1, rate)


@wrong("1.5", "You measure after the update")
def measured_late():
    train = steps_of(downhill)
    return lambda model, points, labels, steps, rate: train(model, points, labels, steps + 1, rate)[
        1:
    ]


@wrong("1.5", "Nothing came back")
def losses_not_returned():
    train = steps_of(downhill)

    def nothing(*given):
        train(*given)

    return nothing


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


@wrong("1.6", "like a probability")
def probabilities_of_the_moons():
    train = trained([16, 1])

    def train_on_moons(points, labels):
        model = train(points, labels)
        return lambda point: model(point).sigmoid()

    return train_on_moons


@wrong("1.6", "were learned by heart")
def learned_by_heart():
    def train_on_moons(points, labels):
        known = {tuple(p): y for p, y in zip(points, labels, strict=True)}
        return lambda point: known.get(tuple(point), 0)

    return train_on_moons


@wrong("1.6", "let the network end in one neuron")
def two_scores():
    return lambda points, labels: MLP(2, [4, 2], rng=random.Random(1))
