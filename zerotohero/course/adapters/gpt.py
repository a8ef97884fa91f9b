"""How answers to the exercises of lecture 07 are called. This enters the sandbox."""

import copy

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from zerotohero.course.adapters.shared import what_came

# --- 7.1 ----------------------------------------------------------------------------------------


def attended(FusedAttention, layers, lengths=(None,)):
    """Return what each layer makes of its text, or of so many first positions, call after call."""
    made = [(_layer(FusedAttention, **layer), _float(layer["x"])) for layer in layers]
    return {"y": [_run(module, x[:, :T]) for module, x in made for T in lengths]}


def learning(FusedAttention, layer, weights):
    """Return what comes out, and the gradients of a weighted sum of it; 0 where none arrives."""
    module, x = _layer(FusedAttention, **layer), _float(layer["x"]).requires_grad_()
    y = _run(module, x)
    if isinstance(y, torch.Tensor):
        (y * _float(weights)).sum().backward()
    return {"y": y, "x": _gradient(x)} | _gradients(module)


def _gradients(module):
    return {name: _gradient(p) for name, p in module.named_parameters()}


def _gradient(leaf):
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def dropped(FusedAttention, layer, longer, plain):
    module, x = _layer(FusedAttention, **longer), _float(longer["x"])
    spread = _run(module.train(), x)
    got = {"longer": spread}
    if isinstance(spread, torch.Tensor) and spread.requires_grad:
        spread.sum().backward()
        got |= _gradients(module)
    got["again"] = _run(module, x)
    module, x = _layer(FusedAttention, **layer), _float(layer["x"])
    got |= {"train": _run(module.train(), x), "eval": _run(module.eval(), x)}
    return got | {"plain": _run(_layer(FusedAttention, **plain).train(), _float(plain["x"]))}


def counted(FusedAttention, layers):
    outputs, calls = [], []
    for layer in layers:
        module, x = _layer(FusedAttention, **layer), _float(layer["x"])
        _run(module, x)  # a mask that is made once for each T is there after this
        with _Counter() as counter:
            outputs.append(_run(module, x))
        calls.append(counter.calls)
    return {"y": outputs, "calls": calls}


def _run(module, x):
    y = module(x)
    if not isinstance(y, (torch.Tensor, tuple, list, type(None))):  # these have verdicts
        raise TypeError(f"forward has to return a tensor, and it returned {what_came(y)}")
    return y


def _layer(FusedAttention, x, heads, proj, bias, block_size, **dropout):
    """Return the learner's layer in eval mode, with the weights of separate heads."""
    _expect_class(FusedAttention, "FusedAttention")
    module = FusedAttention(x.shape[2], len(heads), block_size, **dropout)
    weights = {
        "c_attn.weight": _float([head[i] for i in range(3) for head in heads]).flatten(0, 1),
        "c_proj.weight": _float(proj),
        "c_proj.bias": _float(bias),
    }
    return _load(module, "FusedAttention", weights)


def _load(module, name, weights):
    """Copy the weights into the module, if they are its parameters; buffers are its own affair."""
    mine = {f"{key} {tuple(p.shape)}" for key, p in module.named_parameters()}
    want = {f"{key} {tuple(w.shape)}" for key, w in weights.items()}
    if mine != want:
        few, many = (", ".join(sorted(s))[:110] or "none" for s in (want - mine, mine - want))
        raise TypeError(f"{name} needs other parameters. Missing: {few}. Not needed: {many}.")
    module.load_state_dict(weights, strict=False)
    return module.eval()


def _expect_class(answer, name):
    if isinstance(answer, nn.Module):
        raise TypeError(f"hand over the class itself, {name}, and not a module that it has made")
    if not (isinstance(answer, type) and issubclass(answer, nn.Module)):
        raise TypeError(f"{name} has to be a class derived from nn.Module, the class itself.")


class _Counter(TorchFunctionMode):
    """Counts the calls of torch's functions and tensors' methods."""

    calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return func(*args, **(kwargs or {}))


def _float(value):
    if isinstance(value, list):
        return torch.stack([_float(v) for v in value])
    return torch.tensor(value, dtype=torch.float32)


# --- 7.5 ----------------------------------------------------------------------------------------


@torch.no_grad()
def whole(CachedGPT, generate_cached, sizes, weights, idx):
    model, idx = _gpt(CachedGPT, sizes, weights), torch.tensor(idx)
    plain, again, cache = model(idx), model(idx), _cache(model, sizes)
    got = {"plain": plain, "again": again, "cached": model(idx, cache)}
    return got | {"kept": [bool(layer) for layer in cache], "dead": _dead(model, idx)}


def _dead(model, idx):
    """Return the names of the weights that the logits give no gradient to."""
    weights = {name: p for name, p in model.named_parameters() if name.endswith("weight")}
    with torch.enable_grad():
        logits = model(idx)
        if not logits.requires_grad:
            return ["any weight"]
        gradients = torch.autograd.grad(logits.sum(), list(weights.values()), allow_unused=True)
    return [
        name
        for name, g in zip(weights, gradients, strict=True)
        if g is None or not all(part.any() for part in g.chunk(3 if "c_attn" in name else 1))
    ]


@torch.no_grad()
def in_parts(CachedGPT, generate_cached, sizes, weights, idx, parts):
    model, idx = _gpt(CachedGPT, sizes, weights), torch.tensor(idx)
    plain, cache = model(idx), _cache(model, sizes)
    return {"logits": [model(part, cache) for part in idx.split(parts, 1)], "plain": plain}


@torch.no_grad()
def two_texts(CachedGPT, generate_cached, sizes, weights, idx, other, parts):
    model = _gpt(CachedGPT, sizes, weights)
    caches, logits = [_cache(model, sizes), _cache(model, sizes)], []
    texts = [torch.tensor(text).split(parts, 1) for text in (idx, other)]
    for pair in zip(*texts, strict=True):
        fork = copy.deepcopy(caches[0])
        logits += [model(part, cache) for part, cache in zip(pair, caches, strict=True)]
    forked = model(texts[0][-1], fork)
    return {"logits": logits, "forked": forked, "plain": model(torch.tensor(idx))}


@torch.no_grad()
def continued(CachedGPT, generate_cached, sizes, weights, idx, new, long):
    model, idx = _gpt(CachedGPT, sizes, weights).train(), torch.tensor(idx)
    counts, calls = {"wte": 0, "c_attn": 0, "c_proj": 0}, []
    with _Queries() as queries:
        for name, module in model.named_modules():
            kind = name.split(".")[-1]
            if kind in counts:

                def count(module, inputs, kind=kind):
                    counts[kind] += inputs[0].shape[:2].numel() / len(idx)
                    calls.append(kind)
                    queries.inside = kind == "c_attn"

                module.register_forward_pre_hook(count)
        with _Products() as products:
            tokens = generate_cached(model, idx.clone(), new)
    computed, asked = (n / sizes["n_layer"] for n in (counts["c_attn"], queries.asked))
    told = {"tokens": tokens, "fed": counts["wte"], "computed": computed, "asked": asked}
    told |= {"products": products.count, "calls": calls.count("wte")}
    fresh = _gpt(CachedGPT, sizes, weights)
    _load(model, "CachedGPT", dict(fresh.named_parameters()))  # a change has its own verdict
    told |= {"second": generate_cached(model, idx.flip(0), new)}
    told |= {"long": generate_cached(fresh, torch.tensor(long), new)}
    return told | {"none": generate_cached(fresh, idx.clone(), 0)}


class _Products(TorchDispatchMode):
    """Counts the multiplications of all matrix products, whatever layer or function makes them."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.__name__.split(".")[0]
        if name in ("mm", "bmm", "addmm", "baddbmm"):
            self.count += out.numel() * args[name.count("add")].shape[-1]
        return out


class _Queries(TorchFunctionMode):
    """Counts the queries that meet keys between c_attn and c_proj, as far as softmax shows them."""

    asked, inside = 0, False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if self.inside and name in ("scaled_dot_product_attention", "softmax"):
            first = args[0] if args else next(iter(kwargs.values()))
            self.asked += first.shape[-2]
        return func(*args, **(kwargs or {}))


def _cache(model, sizes):
    """Return a new cache, if it has a dict for each layer."""
    cache, n = model.new_cache(), sizes["n_layer"]
    found = isinstance(cache, list | tuple) and sum(isinstance(layer, dict) for layer in cache)
    if found != n or len(cache) != n:
        came = what_came(cache)
        came += f" of {len(cache)}" if isinstance(cache, list | tuple) else ""
        raise TypeError(
            f"new_cache() has to return a list of {n} dicts, one for each layer; it returned {came}"
        )
    return cache


def _gpt(CachedGPT, sizes, weights):
    _expect_class(CachedGPT, "CachedGPT")
    model = CachedGPT(**sizes)
    if not hasattr(model, "new_cache"):
        raise TypeError("CachedGPT has lost `new_cache()`: the check makes caches by it.")
    return _load(model, "CachedGPT", {name: _float(w) for name, w in weights.items()})


# --- 7.6 ----------------------------------------------------------------------------------------


def nucleus(top_p, logits, p, temperature):
    logits, named = torch.tensor(logits), [] if temperature == 1 else [temperature]
    return {"probs": top_p(logits, p, *named), "logits": logits}


def nuclei(top_p, questions):
    return {"probs": [top_p(torch.tensor(logits), p) for logits, p in questions]}
