"""How answers to the exercises of lecture 03 are called. This enters the sandbox."""

import numpy as np
import torch
import torch.nn.functional as F

from zerotohero.course.adapters.shared import what_came

FIVE = "wte, W1, b1, W2, b2"


def dataset(build_dataset, words, block_size, stoi):
    X, Y, source = _several(build_dataset(list(words), block_size, dict(stoi)), "X, Y, source")
    kinds = [str(getattr(part, "dtype", type(part).__name__)) for part in (X, Y, source)]
    return {"X": X, "Y": Y, "source": source, "kinds": kinds}


def datasets(build_dataset, words, block_sizes, stoi):
    return {"datasets": [dataset(build_dataset, words, size, stoi) for size in block_sizes]}


def knowing_nothing(loss_knowing_nothing, calm_init, V):
    return {"loss": loss_knowing_nothing(V)}


def initialised(loss_knowing_nothing, calm_init, block_size, n_embd, n_hidden, V, seed):
    sizes, one = (block_size, n_embd, n_hidden, V), _seeded(seed)
    generators = {"first": one, "again": _seeded(seed), "other": _seeded(seed + 1), "more": one}
    return {key: _started(calm_init, sizes, g) for key, g in generators.items()}


def _started(calm_init, sizes, generator):
    five = _several(calm_init(*sizes, generator), FIVE)
    for name, p in zip(FIVE.split(", "), five, strict=True):
        if p is not None and not (isinstance(p, torch.Tensor) and p.is_floating_point()):
            came = f"{p.dtype}" if isinstance(p, torch.Tensor) else what_came(p)
            raise TypeError(f"{name} must be a float tensor, and is {came}")
    return five


def initialised_often(loss_knowing_nothing, calm_init, block_size, n_embd, n_hidden, V, seed):
    sizes = (block_size, n_embd, n_hidden, V)
    seeds = range(seed, seed + 4)
    return {"started": [_started(calm_init, sizes, _seeded(s)) for s in seeds]}


def swept(sweep, choose_rate, losses, low, high, n):
    asked = []

    def step(rate):
        asked.append(float(rate))
        return losses[min(len(asked), len(losses)) - 1]

    rates, found = _several(sweep(step, low, high, n), "rates, losses")
    return {"rates": list(rates), "losses": list(found), "asked": asked}


def swept_over_edges(sweep, choose_rate, curves, low, high, n):
    return {"sweeps": [swept(sweep, choose_rate, losses, low, high, n) for losses in curves]}


def chosen(sweep, choose_rate, curves):
    return {"rates": [choose_rate(c["rates"], c["losses"], c["window"]) for c in curves]}


def bowl(sweep, choose_rate, curvatures, noise, low, high, n, window):
    """Search on the bowl 0.5 · Σ c x².

    Each step sees the bowl moved a little, as a minibatch moves a loss.
    """
    c, x, taken = np.array(curvatures), np.full(len(curvatures), 3.0), 0

    def step(rate):
        nonlocal x, taken
        away = x - noise[min(taken, n - 1)]
        x, taken = x - float(rate) * c * away, taken + 1
        return float(0.5 * (c * away**2).sum())

    with np.errstate(over="ignore", invalid="ignore"):
        rates, losses = _several(sweep(step, low, high, n), "rates, losses")
        return {"rate": choose_rate(list(rates), list(losses), window)}


def trained(train_mlp, words, stoi):
    return {"parameters": _several(train_mlp(list(words), dict(stoi)), FIVE)}


def direct(direct_logits, count_parameters, X, parameters):
    found = [
        direct_logits(torch.tensor(rows), *map(torch.tensor, parameters)) for rows in (X, X[:1])
    ]
    return {"logits": found[0], "alone": found[1]}


def direct_gradients(direct_logits, count_parameters, X, Y, parameters):
    leaves = [torch.tensor(p, requires_grad=True) for p in parameters]
    F.cross_entropy(direct_logits(torch.tensor(X), *leaves), torch.tensor(Y)).backward()
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in leaves]
    return dict(zip(("wte", "W1", "b1", "W2", "b2", "W3"), grads, strict=True))


def counted(direct_logits, count_parameters, block_size, n_embd, n_hidden, V):
    sizes = (block_size, n_embd, n_hidden, V)
    plain, direct = count_parameters(*sizes, False), count_parameters(*sizes, direct=True)
    return {"plain": plain, "direct": direct}


def _seeded(seed):
    return torch.Generator().manual_seed(seed)


def _several(returned, names):
    """Return the values that were returned, as a list, if there are as many as names."""
    if returned is None:
        raise TypeError(f"Nothing came back: end the function with `return {names}`.")
    values = [] if isinstance(returned, dict) else list(returned)
    if len(values) != len(names.split(", ")):
        got = "a dict" if isinstance(returned, dict) else f"{len(values)} values"
        raise ValueError(f"The function returned {got}: end it with `return {names}`.")
    return values
