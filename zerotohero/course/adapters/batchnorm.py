"""How answers to the exercises of lecture 04 are called. This enters the sandbox."""

import copy

import torch
from torch._C._functorch import is_functorch_wrapped_tensor

from zerotohero.course.adapters.shared import kind_of, what_came

# --- 4.1 ----------------------------------------------------------------------------------------


def moving(which_move, why_still, runs, steps):
    found = []
    for run in runs:
        parameters = {name: torch.tensor(p) for name, p in run["parameters"].items()}
        X, Y = torch.tensor(run["X"]), torch.tensor(run["Y"])
        moved = which_move(parameters, X, Y, steps, run["rate"])
        found.append([_names(step) for step in _listed("which_move", moved)])
    return {"moved": found}


def reasons(which_move, why_still, zeros):
    found = []
    for zero in zeros:
        why = why_still(list(zero))
        if not isinstance(why, dict):
            raise TypeError(f"why_still returned {what_came(why)}, where a dict is needed")
        found.append({name: _names(factors) for name, factors in why.items()})
    return {"why": found}


def _names(names):
    """Return names in the order of the alphabet, whatever holds them."""
    return sorted([names] if isinstance(names, str) else _listed("a step", names))


def _listed(what, values):
    if not isinstance(values, (list, tuple, set, frozenset)):
        raise TypeError(f"{what} gave {what_came(values)}, where a list is needed")
    return list(values)


# --- 4.2 ----------------------------------------------------------------------------------------


def folded(fold, weight, bias, gamma, beta, mean, var, eps):
    # The library is imported where it is used: 4.4 is graded without it.
    from zerotohero.batchnorm import BatchNorm1d, Linear

    linear = Linear(*weight.shape, bias=bias is not None)
    norm = BatchNorm1d(len(gamma), eps=eps)
    linear.weight = torch.tensor(weight, requires_grad=True)
    linear.bias = None if bias is None else torch.tensor(bias, requires_grad=True)
    norm.gamma = torch.tensor(gamma, requires_grad=True)
    norm.beta = torch.tensor(beta, requires_grad=True)
    norm.running_mean, norm.running_var = torch.tensor(mean), torch.tensor(var)
    copies = copy.deepcopy((linear.eval(), norm.eval()))
    old = _parameters(linear, norm)
    new = fold(linear, norm)
    if not isinstance(new, Linear):
        kind = type(new).__name__
        if (home := type(new).__module__).startswith(("torch.nn", "zerotohero")):
            kind = f"{home}.{kind}"
        raise TypeError(f"fold returned a {kind}, where a layers.Linear is needed")
    # Those whose values are others now are the watch's business, and not learning's.
    same = [p for p in _parameters(linear, norm) if any(torch.equal(p, q) for q in old)]
    return {
        "weight": new.weight,
        "bias": new.bias,
        "learn": all(p.requires_grad for p in (*old, *same)),
        "graded": any(p.is_leaf and p.grad is not None for p in old),
        "fresh": fold(*copies) is not new,
    }


def _parameters(linear, norm):
    """Return the parameters of the two layers: a Linear may have no bias."""
    every = (linear.weight, linear.bias, norm.gamma, norm.beta)
    return [p for p in every if isinstance(p, torch.Tensor)]


# --- 4.3 ----------------------------------------------------------------------------------------


def _function(kind, scale):
    return {
        "tanh": lambda z: torch.tanh(scale * z),
        "relu": lambda z: scale * torch.relu(z),
        "softplus": lambda z: scale * torch.nn.functional.softplus(z),
    }[kind]


def gain_measured(measured_gain, leaky_relu_gain, sizes_by_layer, functions, z):
    return {"gains": [measured_gain(_function(*f), torch.tensor(z)) for f in functions]}


def gain_derived(measured_gain, leaky_relu_gain, sizes_by_layer, slopes):
    return {"gains": [leaky_relu_gain(slope) for slope in slopes]}


def stacked(measured_gain, leaky_relu_gain, sizes_by_layer, kind, scale, gain, z, depth):
    return {"sizes": sizes_by_layer(_function(kind, scale), gain, torch.tensor(z), depth)}


# --- 4.4 ----------------------------------------------------------------------------------------


def _norm(BatchNorm1d, eps, momentum, gamma, beta):
    """Return the learner's layer, with that gamma and beta in place of ones and zeros."""
    norm = BatchNorm1d(len(gamma), eps=eps, momentum=momentum)
    for name, p in (("gamma", norm.gamma), ("beta", norm.beta)):
        if p.shape != gamma.shape:
            raise TypeError(f"{name} has the shape {tuple(p.shape)}, where {gamma.shape} is needed")
        if not p.is_leaf:
            raise TypeError(f"{name} is computed from another tensor")
    with torch.no_grad():
        norm.gamma.copy_(torch.tensor(gamma))
        norm.beta.copy_(torch.tensor(beta))
    return norm


def _running(norm):
    return {"mean": norm.running_mean.clone(), "var": norm.running_var.clone()}


def _linked(norm):
    return norm.running_mean.requires_grad or norm.running_var.requires_grad


def new_layers(BatchNorm1d, small, x, eps, momentum):
    C = x.shape[1]
    norm, told = BatchNorm1d(C), BatchNorm1d(C, eps, momentum)
    start = {"gamma": norm.gamma, "beta": norm.beta, "training": norm.training}
    start = {name: getattr(value, "tolist", lambda v=value: v)() for name, value in start.items()}
    return {
        **start,
        "untold": {"y": norm(torch.tensor(small)), "var": norm.running_var},
        "told": {"y": told(torch.tensor(x)), "var": told.running_var},
    }


def normed_in_train_mode(BatchNorm1d, x, far, eps, momentum, gamma, beta):
    x = torch.tensor(x)
    before = x.clone()
    y = _norm(BatchNorm1d, eps, momentum, gamma, beta)(x)
    seen = _norm(BatchNorm1d, eps, momentum, gamma, beta)(torch.tensor(far))
    return {"y": y, "kept": torch.equal(x, before), "far": seen}


def running(BatchNorm1d, batches, far, eps, momentum, gamma, beta):
    norm = _norm(BatchNorm1d, eps, momentum, gamma, beta)
    start = _running(norm) | {"linked": _linked(norm)}
    for x in batches:
        norm(torch.tensor(x))
    got = {"start": start, **_running(norm)}
    norm = _norm(BatchNorm1d, eps, momentum, gamma, beta)
    norm(torch.tensor(far))
    return got | {"far": norm.running_var}


def normed_in_eval_mode(BatchNorm1d, batches, x, eps, momentum, gamma, beta):
    norm = _norm(BatchNorm1d, eps, momentum, gamma, beta)
    for batch in batches:
        norm(torch.tensor(batch))
    before = _running(norm)
    norm.training = False
    shown = torch.tensor(x)
    y = norm(shown)
    kept = torch.equal(shown, torch.tensor(x))
    after = _running(norm)
    alone, refused = None, ""
    try:
        alone = norm(torch.tensor(x[:1]))
    except ValueError as error:
        refused = str(error)[:200] or "without a message"
    norm.training = True
    with torch.no_grad():  # the mode is a matter of `training` alone
        again = norm(torch.tensor(x))
    norm.training = False
    last = {"y": norm(torch.tensor(x)), **_running(norm)}
    got = {"y": y, "kept": kept, "alone": alone, "refused": refused, "again": again, "last": last}
    return got | {"before": before, "after": after}


def normed_backwards(BatchNorm1d, x, dy, eps, momentum, gamma, beta):
    norm = _norm(BatchNorm1d, eps, momentum, gamma, beta)

    def grads():
        leaf = torch.tensor(x, requires_grad=True)
        norm.gamma.grad = norm.beta.grad = None
        if (y := norm(leaf)).requires_grad or norm.training:
            (y * torch.tensor(dy)).sum().backward()
        leaves = {"x": leaf, "gamma": norm.gamma, "beta": norm.beta}
        return {
            name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for name, p in leaves.items()
        }

    grads()  # the second pass must not reach into the graph of the first
    got = grads() | {key: value.detach() for key, value in _running(norm).items()}
    names = ("gamma", "beta", "running_mean", "running_var")
    listed = [
        next((name for name in names if getattr(norm, name) is p), "another")
        for p in norm.parameters()
    ]
    holder, linked = type(norm.parameters()).__name__, _linked(norm)
    norm.training = False
    if not linked:  # which has a verdict of its own
        grads()
    return got | {"listed": listed, "holder": holder, "linked": linked, "in_eval": grads()}


def batch_of_one(BatchNorm1d, x, eps, momentum, gamma, beta):
    """Return a batch that is long enough, and then its first example alone."""
    norm = _norm(BatchNorm1d, eps, momentum, gamma, beta)
    y = norm(torch.tensor(x))
    before = _running(norm)
    raised, message = "", ""
    try:
        norm(torch.tensor(x[:1]))
    except NotImplementedError:
        raise
    except Exception as error:
        raised, message = kind_of(error), str(error)[:200]
    return {"y": y, "raised": raised, "message": message, "before": before, "after": _running(norm)}


# --- 4.5 ----------------------------------------------------------------------------------------


def diagnosed(diagnosis, patient):
    found = diagnosis()
    if not isinstance(found, dict):
        raise TypeError(f"diagnosis returned {what_came(found)}, where a dict is needed")
    others = [said for name, said in found.items() if name != patient]
    return {"said": found.get(patient), "others": others}


# --- 4.6 ----------------------------------------------------------------------------------------


def layer_normed(layer_norm, rms_norm, depends, x, gamma, beta, eps):
    return {"y": layer_norm(torch.tensor(x), torch.tensor(gamma), torch.tensor(beta), eps)}


def rms_normed(layer_norm, rms_norm, depends, x, gamma, eps):
    return {"y": rms_norm(torch.tensor(x), torch.tensor(gamma), eps)}


def any_shape(layer_norm, rms_norm, depends, xs, gamma, beta, eps):
    given = {"gamma": gamma, "eps": eps}
    dtypes = {"layer_norm": [], "rms_norm": []}
    for dtype in ("float32", "float64"):
        x, g, b = (torch.tensor(v).to(getattr(torch, dtype)) for v in (xs[0], gamma, beta))
        for name, y in (
            ("layer_norm", layer_norm(x, g, b, eps)),
            ("rms_norm", rms_norm(x, g, eps)),
        ):
            kind = getattr(y, "dtype", type(y).__name__)
            dtypes[name].append(str(kind).removeprefix("torch."))
    return {
        "layer_norm": [
            layer_normed(layer_norm, rms_norm, depends, x, beta=beta, **given)["y"] for x in xs
        ],
        "rms_norm": [rms_normed(layer_norm, rms_norm, depends, x, **given)["y"] for x in xs],
        "dtypes": dtypes,
    }


def relatives_backwards(layer_norm, rms_norm, depends, x, gamma, beta, eps, dy):
    found = {}
    for name in ("layer_norm", "rms_norm"):
        leaves = {"x": x, "gamma": gamma} | ({"beta": beta} if name == "layer_norm" else {})
        leaves = {k: torch.tensor(v, requires_grad=True) for k, v in leaves.items()}
        y = (layer_norm if name == "layer_norm" else rms_norm)(*leaves.values(), eps)
        if y.requires_grad:
            (y * torch.tensor(dy)).sum().backward()
        found[name] = {
            k: torch.zeros_like(v) if v.grad is None else v.grad for k, v in leaves.items()
        }
    return found


def dependence(layer_norm, rms_norm, depends, rows, x, alone, in_place, plain, likely):
    """Return what depends on what among the examples, in batches of one of these kinds, where the
    normalisation writes into what it is given, and where examples hold likely numbers.
    """
    found, kept = _measured(depends, rows, x)
    ones = [_measured(depends, [[kind, [0] * (kind != "none")]], x[:1])[0] for kind in alone]
    last, kept_last = _measured(depends, in_place, x[: len(in_place)], in_place=True)
    found = {"depends": found, "kept": kept, "alone": ones}
    found |= {"plain": _measured(depends, plain, likely)[0]}
    return found | {"in_place": last, "kept_in_place": kept_last}


def _measured(depends, rows, x, in_place=False):
    """Return what depends says, and whether x stayed as it is while it measured.

    Do to row i what rows[i] says: its kind, and the examples that it depends on.
    """

    def row(i, kind, others, x):
        own = x[others]
        if kind == "batch":  # normalised with the statistics of these examples, itself among them
            return (x[i] - own.mean(0)) / (own.var(0, correction=0) + 1e-5).sqrt()
        if kind == "layer":  # over its own channels, without an eps
            return (x[i] - x[i].mean()) / x[i].std(correction=0)
        if kind == "rms":
            return x[i] / (x[i] * x[i]).mean().sqrt()
        if kind == "rms of all":  # one number for all examples and channels
            return x[i] / (x * x).mean().sqrt()
        if kind in ("from first", "from last"):  # one channel of another example is subtracted
            return x[i] - x[others[-1], 0 if kind == "from first" else -1]
        if kind == "slight":
            return x[i] + 1e-13 * x[others[-1]]
        if kind == "steps":
            return x[i] + (32 * x[others[-1]]).floor() / 32
        if kind == "as given":  # it depends on another where its own numbers are those of x
            return x[i] + (x[i] * 64 == (x[i] * 64).round()).all() * x[others[-1]]
        if kind == "times zero":  # for numbers it depends on itself alone
            return x[i] + 0 * x[i - 1]
        if kind in ("sum", "none"):  # it depends on others alone, or on none
            return x[others].abs().sum(0)
        # A change of any channels changes this sum, unless it was made to that end.
        mixed = x[others[-1]] @ weights
        if kind == "into first":  # another example reaches one of the channels only
            return torch.cat((x[i, :1] - mixed, x[i, 1:]))
        if kind == "into last":
            return torch.cat((x[i, :-1], x[i, -1:] - mixed))
        # Depends on another alone, and adds up to 0 always.
        return torch.stack((mixed, -mixed, mixed, -mixed))

    given, before, kept = torch.tensor(x), torch.tensor(x), True
    weights = (2.0 ** torch.arange(len(x[0]))).to(given.dtype)

    def norm(x):
        nonlocal kept
        kept = kept and torch.equal(given.data, before)
        y = torch.stack([row(i, kind, others, x) for i, (kind, others) in enumerate(rows)])
        # Where gradients are followed, it can't be done in place.
        if in_place and not x.requires_grad and not is_functorch_wrapped_tensor(x):
            return x.copy_(y)
        return y

    found = depends(norm, given)
    return found, kept and torch.equal(given.data, before)
