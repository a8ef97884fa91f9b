"""Wrong answers to 1.5, a loop that learns nothing."""

import copy

from misconceptions import wrong


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


@wrong("1.5", "the update comes after backward()")
def update_before_backward():
    def train(model, points, labels, steps, rate):
        losses = []
        for _ in range(steps):
            margins = [y * model(x) for x, y in zip(points, labels, strict=True)]
            loss = sum((1 - m).relu() for m in margins) / len(margins)
            model.zero_grad()
            downhill(model, rate)
            loss.backward()
            losses.append(loss.data)
        return losses

    return train


@wrong("1.5", "go back from the mean")
def gradient_of_the_sum():
    def report(loss, losses):
        losses.append(loss.data / 8)

    return steps_of(downhill, report=report, scale=8.0)


@wrong("1.5", "is backward() called twice?")
def twice_as_far():
    return steps_of(lambda model, rate: downhill(model, 2 * rate))


@wrong("1.5", "You return the lowest loss so far")
def lowest_so_far():
    def report(loss, losses):
        losses.append(min([*losses, loss.data]))

    return steps_of(downhill, report=report)


@wrong("1.5", "No gradient is too large for a step")
def clipped():
    def update(model, rate):
        for p in model.parameters():
            p.data -= rate * max(-1.0, min(1.0, p.grad))

    return steps_of(update)


@wrong("1.5", "gives the name p another value")
def name_rebound():
    def update(model, rate):
        for p in model.parameters():
            p = p - rate * p.grad

    return steps_of(update)


@wrong("1.5", "You don't use the rate")
def rate_left_out():
    return steps_of(lambda model, rate: downhill(model, 0.1))


@wrong("1.5", "no copy of it")
def a_copy_learns():
    train = steps_of(downhill)
    return lambda model, *given: train(copy.deepcopy(model), *given)


@wrong("1.5", "You train on the sum")
def loss_not_divided():
    return steps_of(downhill, scale=18.0)  # the check asks for so many points


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


def stopping(done):
    """An answer that ends with the first loss of which `done` says so."""
    one_step = steps_of(downhill)

    def train(model, points, labels, steps, rate):
        losses = []
        while len(losses) < steps and not (losses and done(losses)):
            losses += one_step(model, points, labels, 1, rate)
        return losses

    return train


@wrong("1.5", "You stop when the loss is 0")
def stopped_at_a_loss_of_zero():
    return stopping(lambda losses: losses[-1] == 0)


@wrong("1.5", "Your rate falls")
def rate_falls():
    def train(model, points, labels, steps, rate):
        one_step, losses = steps_of(downhill), []
        for k in range(steps):
            losses += one_step(model, points, labels, 1, rate * (1 - 0.9 * k / steps))
        return losses

    return train


@wrong("1.5", "A part of the earlier steps' moves")
def momentum():
    moves = {}

    def update(model, rate):
        for p in model.parameters():
            moves[id(p)] = 0.9 * moves.get(id(p), 0.0) + p.grad
            p.data -= rate * moves[id(p)]

    def train(*given):
        moves.clear()
        return steps_of(update)(*given)

    return train


@wrong("1.5", "not in some of them")
def zeroed_every_second_step():
    def train(model, points, labels, steps, rate):
        losses = []
        for k in range(steps):
            margins = [y * model(x) for x, y in zip(points, labels, strict=True)]
            loss = sum((1 - m).relu() for m in margins) / len(margins)
            if k % 2 == 0:
                model.zero_grad()
            loss.backward()
            downhill(model, rate)
            losses.append(loss.data)
        return losses

    return train


@wrong("1.5", "These are rounded")
def losses_rounded():
    return steps_of(downhill, report=lambda loss, losses: losses.append(round(loss.data, 4)))


@wrong("1.5", "those before the last step's update")
def last_update_missing():
    def train(model, points, labels, steps, rate):
        losses = steps_of(downhill)(model, points, labels, steps - 1, rate)
        return losses + steps_of(downhill)(model, points, labels, 1, 0.0)

    return train


@wrong("1.5", "There is one update too many")
def one_update_more():
    train = steps_of(downhill)
    return lambda model, points, labels, steps, rate: train(model, points, labels, steps + 1, rate)[
        :-1
    ]


@wrong("1.5", "it is the mean over all points of")
def minibatch_of_sixteen():
    def train(model, points, labels, steps, rate):
        return loop(before=True)(model, points[:16], labels[:16], steps, rate)

    return train
