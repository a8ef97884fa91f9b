"""Wrong answers to 4.1, all zeros."""

import torch
import torch.nn.functional as F

from misconceptions import wrong

NAMES = ["wte", "W1", "b1", "W2", "b2"]


def move(
    parameters,
    X,
    Y,
    steps,
    rate,
    update=True,
    late=False,
    clone=True,
    by="grad",
    rows=slice(None),
    total=False,
    keep=False,
    bend=torch.tanh,
    decay=1.0,
    names=NAMES,
):
    ps = {n: (p.clone() if clone else p).requires_grad_() for n, p in parameters.items()}
    moved = []
    for step in range(steps + late):
        h = bend(ps["wte"][X[rows]].flatten(1) @ ps["W1"] + ps["b1"])
        logits = h @ ps["W2"] + ps["b2"]
        loss = F.cross_entropy(logits, Y[rows], reduction="sum" if total else "mean")
        for p in ps.values():
            p.grad = p.grad if keep else None
        loss.backward()
        shown = {
            "grad": lambda p: p.grad.any(),
            "value": lambda p: p.any(),
            "there": lambda p: p.grad is not None,
            "all": lambda p: p.grad.all(),
            "close": lambda p: not torch.allclose(p.grad, torch.zeros_like(p)),
        }[by]
        if step >= late:
            moved.append([n for n in names if shown(ps[n])])
        for p in (ps[n] for n in names):
            p.data -= rate * decay**step * update * p.grad
    return moved


def blame(zero, h_alone=False, slope=False, x=True, both=True, nearest=False):
    x_zero = "wte" in zero
    h_zero = (x_zero or "W1" in zero) and ("b1" in zero or h_alone)
    back = ["W2"] * ("W2" in zero) + ["h"] * (h_zero and slope)
    found = {
        "wte": ["W1"] * ("W1" in zero) + back * both,
        "W1": back + ["x"] * (x_zero and x),
        "b1": back,
        "W2": ["h"] * h_zero,
    }
    return {n: factors[:1] if nearest else factors for n, factors in found.items() if factors}


@wrong("4.1", "Not all gradients are zero")
def nothing_moves():
    return lambda parameters, X, Y, steps, rate: [[]] * steps, blame


@wrong("4.1", "not every bias moves")
def all_biases_move():
    return lambda *given: [sorted({*step, "b1", "b2"}) for step in move(*given)], blame


@wrong("4.1", "Every step gives the answer of the first")
def never_updated():
    return lambda *given: move(*given, update=False), blame


@wrong("4.1", "You are one step late")
def looked_after_the_update():
    return lambda *given: move(*given, late=True), blame


@wrong("4.1", "whose *values* aren't zero")
def values_for_gradients():
    return lambda *given: move(*given, by="value"), blame


@wrong("4.1", "`grad is not None`")
def a_gradient_that_is_there():
    return lambda *given: move(*given, by="there"), blame


@wrong("4.1", "`grad.all()` of every number")
def every_number_of_a_gradient():
    return lambda *given: move(*given, by="all"), blame


@wrong("4.1", "with no threshold")
def close_to_zero():
    return lambda *given: move(*given, by="close"), blame


@wrong("4.1", "there is a tanh")
def without_tanh():
    return lambda *given: move(*given, bend=lambda z: z), blame


@wrong("4.1", "`parameters = copy.deepcopy(parameters)`")
def given_tensors_trained():
    return lambda *given: move(*given, clone=False), blame


@wrong("4.1", "a part of it won't do")
def a_minibatch():
    return lambda *given: move(*given, rows=slice(32)), blame


@wrong("4.1", "are the gradients set to zero before")
def gradients_added_up():
    return lambda *given: move(*given, keep=True), blame


@wrong("4.1", "is the list of names begun anew")
def names_added_up():
    def which_move(*given):
        names, moved = set(), []
        for step in move(*given):
            names |= set(step)
            moved.append(sorted(names))
        return moved

    return which_move, blame


@wrong("4.1", "A name stands there more than once")
def names_listed_again():
    def which_move(*given):
        names, moved = [], []
        for step in move(*given):
            names += step
            moved.append(list(names))
        return moved

    return which_move, blame


@wrong("4.1", "wte is in none of your steps")
def embeddings_not_trained():
    return lambda *given: move(*given, names=NAMES[1:]), blame


@wrong("4.1", "whatever the rate")
def a_rate_of_ones_own():
    return lambda *given: move(*given[:4], 0.1), blame


@wrong("4.1", "*subtract* rate times the gradient")
def uphill():
    return lambda *given: move(*given[:4], -given[4]), blame


@wrong("4.1", "of the *mean* over all contexts")
def the_sum_of_the_losses():
    return lambda *given: move(*given, total=True), blame


def move_by(optimizer, **options):
    """Return a `which_move` that leaves the steps to an optimizer of torch."""

    def which_move(parameters, X, Y, steps, rate):
        ps = {n: p.clone().requires_grad_() for n, p in parameters.items()}
        steps_of_torch, moved = optimizer(ps.values(), lr=rate, **options), []
        for _ in range(steps):
            h = torch.tanh(ps["wte"][X].flatten(1) @ ps["W1"] + ps["b1"])
            steps_of_torch.zero_grad()
            F.cross_entropy(h @ ps["W2"] + ps["b2"], Y).backward()
            moved.append([n for n, p in ps.items() if p.grad.any()])
            steps_of_torch.step()
        return moved

    return which_move


@wrong("4.1", "get there earlier")
def steps_with_momentum():
    return move_by(torch.optim.SGD, momentum=0.9), blame


@wrong("4.1", "the last as the first")
def a_rate_that_falls():
    return lambda *given: move(*given, decay=0.5), blame


@wrong("4.1", "Adam and its like")
def steps_of_adam():
    return move_by(torch.optim.Adam), blame


@wrong("4.1", "for each of the `steps` steps")
def four_steps_whatever_is_asked():
    return lambda *given: move(*given[:3], 4, given[4]), blame


@wrong("4.1", "h is not zero as long as b1 isn't")
def hidden_zero_in_spite_of_the_bias():
    return move, lambda zero: blame(zero, h_alone=True)


@wrong("4.1", "tanh is steepest there")
def slope_of_zero_at_zero():
    return move, lambda zero: blame(zero, slope=True)


@wrong("4.1", "beside it, x or W1")
def hidden_never_zero():
    return move, lambda zero: {n: why for n, why in blame(zero).items() if n != "W2"}


@wrong("4.1", "A parameter that is zero can have a gradient")
def zero_means_still():
    return move, lambda zero: {n: [n] for n in zero}


@wrong("4.1", "where the embeddings are zero, x is")
def input_forgotten():
    return move, lambda zero: blame(zero, x=False)


@wrong("4.1", "each of the two can stop it")
def embeddings_behind_one_matrix():
    return move, lambda zero: blame(zero, both=False)


@wrong("4.1", "You stop at the first factor")
def one_factor_each():
    return move, lambda zero: blame(zero, nearest=True)


@wrong("4.1", "instead of giving them an empty list")
def movers_listed_too():
    return move, lambda zero: {n: blame(zero).get(n, []) for n in NAMES}


@wrong("4.1", "the parameters are the keys")
def parameters_for_factors():
    names = {"x": "wte", "h": "b1"}
    return move, lambda zero: {n: [names.get(f, f) for f in v] for n, v in blame(zero).items()}


@wrong("4.1", "b1's gradient is the sum of what has come back")
def bias_behind_its_matrix():
    def why_still(zero):
        found = blame(zero)
        return found | ({"b1": [*found.get("b1", []), "W1"]} if "W1" in zero else {})

    return move, why_still
