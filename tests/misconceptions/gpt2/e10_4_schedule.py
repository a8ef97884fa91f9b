"""Wrong answers to 10.4, decay groups and the learning rate."""

import math

from torch import nn

from misconceptions import wrong


def grouping(
    decays=lambda name, p: p.ndim >= 2,
    taken=lambda p: p.requires_grad,
    rest=lambda params: {"params": params, "weight_decay": 0.0},
    twice=False,
    handed=lambda p: p,
    whole=lambda groups: groups,
):
    """Return decay_groups with one thing wrong."""

    def decay_groups(model, weight_decay):
        named = model.named_parameters(remove_duplicate=not twice)
        trained = [(name, p) for name, p in named if taken(p)]
        first = [handed(p) for name, p in trained if decays(name, p)]
        second = [handed(p) for name, p in trained if not decays(name, p)]
        return whole([{"params": first, "weight_decay": weight_decay}, rest(second)])

    return decay_groups


def scheduling(
    rising=lambda step, warmup, lr, min_lr: lr * (step + 1) / warmup,
    done=lambda step, steps, warmup: (step - warmup) / (steps - warmup),
    factor=lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    fall=lambda lr, min_lr, factor: min_lr + (lr - min_lr) * factor,
    warms=lambda step, warmup: step < warmup,
    ends=lambda step, steps, warmup: step >= steps,
    after=lambda lr, min_lr: min_lr,
):
    """Return rate with one thing wrong."""

    def rate(step, steps, warmup, lr, min_lr):
        if warms(step, warmup):
            return rising(step, warmup, lr, min_lr)
        if ends(step, steps, warmup):
            return after(lr, min_lr)
        return fall(lr, min_lr, factor(done(step, steps, warmup)))

    return rate


def with_groups(decay_groups):
    return decay_groups, scheduling()


def with_rate(rate):
    return grouping(), rate


@wrong("10.4", "A LayerNorm's weight is no matrix")
def by_the_name_bias():
    return with_groups(grouping(lambda name, p: not name.endswith("bias")))


@wrong("10.4", "A bias has one axis")
def norms_alone_do_not():
    return with_groups(grouping(lambda name, p: "ln_" not in name))


@wrong("10.4", "A table has two axes")
def linear_layers_alone():
    def decay_groups(model, weight_decay):
        linear = {
            id(m.weight)
            for m in model.modules()
            if not isinstance(m, nn.Embedding)
            if getattr(m, "weight", None) is not None
        }
        return grouping(lambda name, p: p.ndim >= 2 and (id(p) in linear or "bias" in name))(
            model, weight_decay
        )

    return with_groups(decay_groups)


@wrong("10.4", "makes a list of what can be gone through")
def generators():
    def rest(params):
        return {"params": (p for p in params), "weight_decay": 0.0}

    return with_groups(grouping(rest=rest))


@wrong("10.4", "A single number has no axis")
def one_axis_alone_does_not():
    return with_groups(grouping(lambda name, p: p.ndim != 1))


@wrong("10.4", "Three axes are more than one")
def two_axes_alone():
    return with_groups(grouping(lambda name, p: p.ndim == 2))


@wrong("10.4", "whatever the parameter is called")
def name_and_axes():
    return with_groups(grouping(lambda name, p: p.ndim >= 2 and "bias" not in name))


@wrong("10.4", "A frozen parameter has no gradient")
def frozen_too():
    return with_groups(grouping(taken=lambda p: True))


@wrong("10.4", "`model.parameters()` has it once")
def tied_twice():
    return with_groups(grouping(twice=True))


@wrong("10.4", "AdamW would never change it")
def scalars_forgotten():
    return with_groups(grouping(taken=lambda p: p.requires_grad and p.ndim > 0))


@wrong("10.4", "Both groups are there")
def empty_ones_left_out():
    return with_groups(grouping(whole=lambda groups: [g for g in groups if g["params"]]))


@wrong("10.4", "First the group that decays")
def other_order():
    return with_groups(grouping(whole=lambda groups: groups[::-1]))


def rest_by(weight_decay):
    """Return decay_groups whose second group decays by what is given."""

    def decay_groups(model, passed):
        first, second = grouping()(model, passed)
        return [first, second | {"weight_decay": weight_decay(passed)}]

    return with_groups(decay_groups)


@wrong("10.4", "The second group doesn't decay")
def default_of_adamw():
    return rest_by(lambda passed: 0.01)


@wrong("10.4", "its weight_decay is 0, whatever is passed")
def both_decay():
    return rest_by(lambda passed: passed)


@wrong("10.4", "without one AdamW takes its own, 0.01")
def without_decay():
    return with_groups(grouping(rest=lambda params: {"params": params}))


@wrong("10.4", 'a dict with "params" and "weight_decay"')
def another_key():
    def rest(params):
        return {"parameters": params, "weight_decay": 0.0}

    return with_groups(grouping(rest=rest))


def handing(what):
    """Return decay_groups that hand over something made of each name and parameter."""

    def decay_groups(model, weight_decay):
        own = {id(p): what(name, p) for name, p in model.named_parameters()}
        return grouping(handed=lambda p: own[id(p)])(model, weight_decay)

    return with_groups(decay_groups)


@wrong("10.4", "of each pair take the parameter alone")
def pairs():
    return handing(lambda name, p: (name, p))


@wrong("10.4", "Names stand there")
def names():
    return handing(lambda name, p: name)


@wrong("10.4", "Hand over the parameters themselves")
def copies():
    return with_groups(grouping(handed=lambda p: nn.Parameter(p.detach().clone())))


@wrong("10.4", "The first step has a rate of 0")
def from_zero():
    return with_rate(scheduling(lambda step, warmup, lr, min_lr: lr * step / warmup))


@wrong("10.4", "falls short of lr")
def one_step_longer():
    return with_rate(scheduling(lambda step, warmup, lr, min_lr: lr * (step + 1) / (warmup + 1)))


@wrong("10.4", "it rises from nothing")
def from_min_lr():
    def rising(step, warmup, lr, min_lr):
        return min_lr + (lr - min_lr) * (step + 1) / warmup

    return with_rate(scheduling(rising))


@wrong("10.4", "cuts the warm-up off")
def never_below_min_lr():
    rate = scheduling()
    return with_rate(
        lambda step, steps, warmup, lr, min_lr: max(min_lr, rate(step, steps, warmup, lr, min_lr))
    )


@wrong("10.4", "the rate is lr from the beginning")
def no_warm_up():
    return with_rate(scheduling(lambda step, warmup, lr, min_lr: lr))


@wrong("10.4", "the warm-up ends with step warmup − 1")
def warm_up_one_longer():
    return with_rate(scheduling(warms=lambda step, warmup: step <= warmup))


@wrong("10.4", "the rate jumps there")
def cosine_of_the_whole_run():
    return with_rate(scheduling(done=lambda step, steps, warmup: step / steps))


@wrong("10.4", "and ends above min_lr")
def cosine_too_long():
    return with_rate(scheduling(done=lambda step, steps, warmup: (step - warmup) / steps))


@wrong("10.4", "The last update has min_lr: the cosine reaches it")
def min_lr_in_the_last_step():
    def done(step, steps, warmup):
        return (step - warmup) / max(1, steps - warmup - 1)

    return with_rate(scheduling(done=done))


@wrong("10.4", "The cosine is one step ahead")
def one_step_ahead():
    return with_rate(
        scheduling(done=lambda step, steps, warmup: (step + 1 - warmup) / (steps - warmup))
    )


@wrong("10.4", "has min_lr already: the end is step `steps`")
def ends_one_early():
    return with_rate(scheduling(ends=lambda step, steps, warmup: step >= steps - 1))


@wrong("10.4", "The cosine falls to 0")
def to_zero():
    return with_rate(scheduling(fall=lambda lr, min_lr, factor: lr * factor))


@wrong("10.4", "cuts the cosine off")
def cut_off():
    def rate(step, steps, warmup, lr, min_lr):
        if step < warmup:
            return lr * (step + 1) / warmup
        if step >= steps:
            return min_lr
        done = (step - warmup) / (steps - warmup)
        return max(min_lr, lr * 0.5 * (1 + math.cos(math.pi * done)))

    return with_rate(rate)


@wrong("10.4", "what falls is lr − min_lr")
def lr_too_large():
    return with_rate(scheduling(fall=lambda lr, min_lr, factor: min_lr + lr * factor))


@wrong("10.4", "along a straight line")
def linear():
    return with_rate(scheduling(factor=lambda done: 1 - done))


@wrong("10.4", "a quarter of a cosine wave")
def quarter():
    return with_rate(scheduling(factor=lambda done: math.cos(math.pi / 2 * done)))


@wrong("10.4", "the rate rises again in the second half")
def whole_wave():
    return with_rate(scheduling(factor=lambda done: 0.5 * (1 + math.cos(2 * math.pi * done))))


@wrong("10.4", "π is missing")
def no_pi():
    return with_rate(scheduling(factor=lambda done: 0.5 * (1 + math.cos(done))))


@wrong("10.4", "Half of 1 + cos is missing")
def no_half():
    return with_rate(scheduling(factor=lambda done: 1 + math.cos(math.pi * done)))


@wrong("10.4", "The cosine rises")
def rising():
    return with_rate(scheduling(factor=lambda done: 0.5 * (1 - math.cos(math.pi * done))))


@wrong("10.4", "the cosine goes on and rises again")
def no_end():
    def done(step, steps, warmup):
        return (step - warmup) / max(1, steps - warmup)

    return with_rate(scheduling(ends=lambda step, steps, warmup: False, done=done))


@wrong("10.4", "Behind the end it is 0")
def zero_behind_the_end():
    return with_rate(scheduling(after=lambda lr, min_lr: 0.0))


@wrong("10.4", "Behind the end it is lr")
def lr_behind_the_end():
    return with_rate(scheduling(after=lambda lr, min_lr: lr))


@wrong("10.4", "warmup may be 0, and steps − warmup, too")
def divides_first():
    def rate(step, steps, warmup, lr, min_lr):
        rising, done = (step + 1) / warmup, (step - warmup) / (steps - warmup)
        falling = min_lr + (lr - min_lr) * 0.5 * (1 + math.cos(math.pi * min(1, done)))
        return lr * rising if step < warmup else falling

    return with_rate(rate)
