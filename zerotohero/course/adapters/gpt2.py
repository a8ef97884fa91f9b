"""How answers to 10.1 to 10.4 are called. This enters the sandbox."""

from types import SimpleNamespace

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from zerotohero.course.adapters.shared import kind_of, what_came

# --- 10.1 ---------------------------------------------------------------------------------------


def loaded(from_gpt2, files):
    return {"files": [_load(from_gpt2, **file) for file in files]}


def refused(from_gpt2, files, faults):
    (file,), raised = files, []
    whole, stored, n_layer = _load(from_gpt2, **file), _tensors(file["stored"]), file["n_layer"]
    for fault, name in faults:
        faulty, n = dict(stored), n_layer
        if fault == "missing":
            del faulty[name]
        elif name:
            faulty[name] = stored["ln_f.bias"]
        else:
            n += 1 if fault == "one block too few" else -1
        try:
            from_gpt2(faulty, n)
            raised.append("nothing")
        except NotImplementedError:
            raise
        except Exception as error:
            raised.append(kind_of(error))
    return {"files": [whole], "raised": raised}


def _load(from_gpt2, stored, n_layer):
    """Return the tensors that came, and what can be seen of them only here."""
    file = _tensors(stored)
    new = from_gpt2(dict(file), n_layer)
    tensors = new if isinstance(new, dict) else {}
    tensors = {name: w for name, w in tensors.items() if isinstance(w, torch.Tensor)}
    tied = "head.weight" in tensors and tensors["head.weight"] is tensors.get("tokens.weight")
    places = {w.untyped_storage().data_ptr(): f"{name} of the file" for name, w in file.items()}
    shared, pair = {}, {"head.weight", "tokens.weight"}
    for name, w in tensors.items():
        owner = places.setdefault(w.untyped_storage().data_ptr(), name)
        if owner != name and not (tied and {owner, name} == pair):
            shared[name] = owner
    return {
        "tensors": new,
        "tied": tied,
        "shared": shared,
        "strided": [name for name, w in tensors.items() if not w.is_contiguous()],
    }


def _tensors(arrays):
    return {name: torch.tensor(w) for name, w in arrays.items()}


# --- 10.2 ---------------------------------------------------------------------------------------


def started(initialise, models):
    return {"models": [_started(initialise, **model) for model in models]}


def repeated(initialise, models):
    """Do what `started` does, and again with the same seed and with another."""
    replies = []
    for model in models:
        seed = model["seed"]
        reply = _started(initialise, **model)
        again, other = (_started(initialise, **model | {"seed": s}) for s in (seed, seed + 1))
        mine, name = reply["parameters"], "transformer.h.0.mlp.c_fc.weight"
        reply["again"] = all(torch.equal(p, again["parameters"][n]) for n, p in mine.items())
        reply["other"] = not torch.equal(mine[name], other["parameters"][name])
        replies.append(reply)
    return {"models": replies}


def _started(initialise, sizes, norms, seed):
    model, generator = _blank(norms, **sizes), torch.Generator().manual_seed(seed)
    before = {name: id(p) for name, p in model.named_parameters(remove_duplicate=False)}
    with _Draws() as draws:
        returned = initialise(model, generator)
    after = {name: id(p) for name, p in model.named_parameters(remove_duplicate=False)}
    table, parameters = model.transformer.wte.weight, dict(model.named_parameters())
    untouched = torch.Generator().manual_seed(seed)
    return {
        "parameters": parameters,
        "returned": returned is None or returned is model,
        "tied": model.lm_head.weight is table,
        "same": before == after,
        "trained": all(p.requires_grad for p in parameters.values()),
        "draws": [draws.sizes.count(sizes[rows] * sizes["C"]) for rows in ("V", "T")],
        "used": not torch.equal(generator.get_state(), untouched.get_state()),
    }


class _Draws(TorchDispatchMode):
    """Notes how many numbers each draw makes, whatever it is drawn for."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in func.tags and isinstance(out, torch.Tensor):
            self.sizes.append(out.numel())
        return out


def _blank(norms, V, T, N, C, bias, tied):
    """Return a model with GPT-2's names; all is 7 in it, but for the LayerNorms."""

    def block():
        attn = {"c_attn": nn.Linear(C, 3 * C, bias), "c_proj": nn.Linear(C, C, bias)}
        mlp = {"c_fc": nn.Linear(C, 4 * C, bias), "c_proj": nn.Linear(4 * C, C, bias)}
        parts = {"ln_1": norm(), "attn": nn.ModuleDict(attn)}
        return nn.ModuleDict(parts | {"ln_2": norm(), "mlp": nn.ModuleDict(mlp)})

    def norm():
        return nn.LayerNorm(C, bias=bias)

    model = nn.Module()
    parts = {"wte": nn.Embedding(V, C), "wpe": nn.Embedding(T, C)}
    parts |= {"h": nn.ModuleList(block() for _ in range(N)), "ln_f": norm()}
    model.transformer = nn.ModuleDict(parts)
    model.lm_head = nn.Linear(C, V, bias=False)
    if tied:
        model.lm_head.weight = model.transformer.wte.weight
    model.config = SimpleNamespace(n_layer=N)
    model.to(torch.tensor(norms["transformer.ln_f.weight"]).dtype)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.tensor(norms[name])) if name in norms else p.fill_(7)
    return model


# --- 10.3 ---------------------------------------------------------------------------------------


class _Watched(nn.Module):
    """tanh(wte[x]) @ w.T + b, with a note of the rows that pass, forward and backward."""

    def __init__(self, wte, w, b):
        super().__init__()
        self.wte, self.w, self.b = (nn.Parameter(torch.tensor(p)) for p in (wte, w, b))
        self.inputs, self.turns = [], []

    def forward(self, x):
        self.inputs.append(x.detach().clone())
        self.turns.append("f")
        logits = torch.tanh(self.wte[x]) @ self.w.T + self.b
        if logits.requires_grad:
            logits.register_hook(lambda grad: self.turns.append("b"))
        return logits


def accumulated(accumulate, batches):
    return {"batches": [_accumulated(accumulate, **batch) for batch in batches]}


def _accumulated(accumulate, model, x, y, rows, before):
    model, x = _Watched(**model), torch.tensor(x)
    for name, grad in before.items():
        getattr(model, name).grad = torch.tensor(grad)
    loss = accumulate(model, x.clone(), torch.tensor(y), rows)
    passes, left = [], list(range(len(x)))
    for rows_of_pass in model.inputs:
        found = []
        for row in rows_of_pass:  # equal rows are told apart by their order
            alike = [i for i in range(len(x)) if torch.equal(x[i], row)]
            found.append(next((i for i in alike if i in left), alike[0] if alike else -1))
            left = [i for i in left if i != found[-1]]
        passes.append(found)
    return {
        "loss": loss,
        "grads": {name: p.grad for name, p in model.named_parameters()},
        "passes": passes,
        "turns": model.turns,
    }


# --- 10.4 ---------------------------------------------------------------------------------------


def grouped(decay_groups, rate, models):
    return {"models": [_grouped(decay_groups, **model) for model in models]}


def rated(decay_groups, rate, asked):
    order = ("step", "steps", "warmup", "lr", "min_lr")
    return {"rates": [rate(*(one[name] for name in order)) for one in asked]}


def _grouped(decay_groups, parameters, ties, weight_decay):
    model = nn.Module()
    for name, shape, trained in parameters:
        holder, last = _holder(model, name, shape)
        setattr(holder, last, nn.Parameter(torch.ones(shape), requires_grad=trained))
    for name, other in ties.items():
        holder, last = _holder(model, name, model.get_parameter(other).shape)
        setattr(holder, last, model.get_parameter(other))
    names = {id(p): name for name, p in model.named_parameters()}
    groups, known = decay_groups(model, weight_decay), []
    if not isinstance(groups, list | tuple):
        came = what_came(groups)
        raise TypeError(f"a list of two dicts is needed, and {came} was returned")
    for group in groups:
        if not isinstance(group, dict):
            raise TypeError(f"each group is a dict, and one is {what_came(group)}")
        held = list(group["params"])
        if other := [p for p in held if not isinstance(p, torch.Tensor)]:
            raise TypeError(f'"params" is a list of parameters, and holds {what_came(other[0])}')
        found = [names.get(id(p), "") for p in held]
        kind = type(group["params"]).__name__
        known.append({"names": found, "kind": kind, "weight_decay": group["weight_decay"]})
    return {"groups": known}


def _holder(model, name, shape):
    """Return the module that holds a parameter, made where it isn't there, and its last name."""
    *path, last = name.split(".")
    for depth, part in enumerate(path, 1):
        if not hasattr(model, part):
            is_layer = depth == len(path) and last == "weight"
            model.add_module(part, _layer(part, shape) if is_layer else nn.Module())
        model = getattr(model, part)
    return model, last


def _layer(name, shape):
    """Return a layer of the kind that has a parameter of this shape under this name."""
    if name in ("wte", "wpe"):
        return nn.Embedding(*shape)
    if len(shape) == 2:
        return nn.Linear(*reversed(shape), bias=False)
    return nn.LayerNorm(shape, bias=False) if "ln_" in name else nn.Module()
