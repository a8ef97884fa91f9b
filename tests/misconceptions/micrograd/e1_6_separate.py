"""Wrong answers to 1.6, tell the moons apart."""

import random

from misconceptions import wrong
from zerotohero.micrograd import MLP


def trained(sizes, steps=150, zero=True, sign=1.0, step=1.0):
    def train_on_moons(points, labels):
        model = MLP(2, sizes, rng=random.Random(1))
        for _ in range(steps):
            margins = [sign * y * model(x) for x, y in zip(points, labels, strict=True)]
            if min(m.data for m in margins) > 0.1:
                break
            loss = sum((1 - m).relu() for m in margins) / len(margins)
            if zero:
                model.zero_grad()
            loss.backward()
            for p in model.parameters():
                p.data -= step * p.grad
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
    return trained([4, 1], steps=40, zero=False)


@wrong("1.6", "The scores have run away")
def uphill():
    return trained([16, 1], steps=25, step=-1.0)


@wrong("1.6", "the generator is passed by its name")
def generator_without_its_name():
    return lambda points, labels: MLP(2, [16, 1], random.Random(1))


@wrong("1.6", "The score has to be a number")
def label_as_text():
    return lambda points, labels: lambda point: "1" if point[1] > 0.25 else "-1"


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


@wrong("1.6", "trained towards 0 and 1")
def zero_for_the_label_below_0():
    def train_on_moons(points, labels):
        model, targets = MLP(2, [8, 1], rng=random.Random(1)), [max(y, 0) for y in labels]
        for _ in range(200):
            off = [model(x) - t for x, t in zip(points, targets, strict=True)]
            model.zero_grad()
            sum(d * d for d in off).backward()
            for p in model.parameters():
                p.data -= 0.003 * p.grad
        return model

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


@wrong("1.6", "Better than luck, and not there yet")
def a_line_drawn_by_hand():
    return lambda points, labels: lambda point: -1.0 if point[1] > 0.25 else 1.0
