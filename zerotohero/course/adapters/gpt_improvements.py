"""How answers to 7.4 are called: functions of a paper, and two models trained alike."""

import contextlib
import functools
import sys

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from zerotohero.course.adapters.gpt_watch import Stopped, Watch
from zerotohero.course.adapters.shared import what_came


def improved(improvements, train_model, **given):
    """Call each of the functions that were returned on its own inputs.

    Beside what came, return what the machinery notes of the calls of answers: the places of the
    arguments that a function changed, and the kinds of values that are no tensors.
    """
    functions = _functions(improvements)
    if strangers := functions.keys() - given.keys():
        raise KeyError(f"{sorted(map(str, strangers))} is none of {', '.join(given)}")
    got = {"changed": {}, "kinds": {}, "types": {}, "slopes": {}}
    for name, function in functions.items():
        got[name], changed, kinds, types = [], set(), set(), set()
        for inputs in given[name]:
            leaves, before = ([_double(x) for x in inputs] for _ in range(2))
            y = _called(name, function, leaves)
            pairs = enumerate(zip(leaves, before, strict=True))
            changed |= {i for i, (x, was) in pairs if hasattr(x, "shape") and not x.equal(was)}
            several = isinstance(y, (tuple, list))
            parts = y if several else [y]
            kinds |= {type(part).__name__ for part in parts if not isinstance(part, torch.Tensor)}
            types |= {str(part.dtype) for part in parts if isinstance(part, torch.Tensor)}
            got[name].append(list(y) if several else y)
        got["changed"][name], got["kinds"][name] = sorted(changed), sorted(kinds)
        got["types"][name] = sorted(types)
        if name != "muon" and not kinds and not changed:  # no gradient goes through an update
            got["slopes"][name] = _slopes(function, [_double(x) for x in given[name][0]])
    return got


def _called(name, function, inputs):
    """Call a function; an error of torch's, such as that shapes don't fit, begins with its name."""
    try:
        return function(*inputs)
    except RuntimeError as error:
        if type(error) is RuntimeError:
            error.args = (f"{name}: {error}",)
        raise


def _slopes(function, inputs):
    """Return how a weighted sum of what comes changes along a line: by gradients, and measured."""
    g = torch.Generator().manual_seed(1)
    lines = [torch.randn(x.shape, generator=g, dtype=x.dtype) for x in inputs]

    def total(step):
        leaves = [(x + step * line).requires_grad_() for x, line in zip(inputs, lines, strict=True)]
        y = function(*leaves)
        parts = y if isinstance(y, (tuple, list)) else [y]
        weighted = (part * torch.linspace(-1, 2, part.numel()).view(part.shape) for part in parts)
        return sum(part.sum() for part in weighted), leaves

    middle, leaves = total(0.0)
    slope = 0.0
    if middle.requires_grad:
        gradients = torch.autograd.grad(middle, leaves, allow_unused=True)
        pairs = zip(gradients, lines, strict=True)
        slope = sum(float((grad * line).sum()) for grad, line in pairs if grad is not None)
    step = 1e-3
    ahead, behind = (total(s)[0].item() for s in (step, -step))
    return [slope, (ahead - behind) / (2 * step)]


def _functions(improvements):
    functions = improvements()
    if not isinstance(functions, dict) or not functions:
        raise TypeError('improvements has to return a dict such as {"rotary": rotary}.')
    for name, function in functions.items():
        if not callable(function):
            raise TypeError(f"{name!r} has to stand for a function, not a {type(function)}")
    return functions


def _double(x):
    return torch.tensor(x, dtype=torch.float64) if hasattr(x, "shape") else x


def compared(improvements, train_model, runs=(), windows=None, V=0, missing=""):
    if missing:
        raise FileNotFoundError(missing)
    windows = torch.tensor(windows.astype("int64"))
    functions = _functions(improvements)
    got = {"plain": [], "improved": []}
    for run in runs:
        for name in ("plain", "improved"):
            batches, seed = _Batches(run["tokens"]), run["seed"]
            with Watch() as watch, _Calls(functions.values()) as calls:
                model = train_model(batches, V, name == "improved", seed)
            if not isinstance(model, nn.Module):
                raise TypeError(
                    "train_model has to return the trained model, an nn.Module; it returned "
                    f"{what_came(model)}."
                )
            with Watch(stop=0) as again, contextlib.suppress(Stopped):
                train_model(_Batches(run["tokens"]), V, name == "improved", seed)
            told = {
                "taken": batches.taken,
                "tokens": sum(rows.numel() for rows in watch.rows),
                "steps": max(watch.steps.values(), default=0),
                "called": calls.count,
                "began": [watch.began, again.began],
            }
            got[name].append(told | _last_logits(model, windows))
    got["used"] = _are_used(functions, train_model, V, **runs[0])
    return got


def _are_used(functions, train_model, V, tokens, seed):
    """Return whether the improved model learns anything else if the functions return others."""
    ended = []
    for spoil in (False, True):
        calls = _Calls(functions.values(), spoil)
        with Watch(stop=3) as watch, calls, contextlib.suppress(Stopped):
            train_model(_Batches(tokens), V, True, seed)
        ended.append(watch.ended)
    return ended[0] != ended[1]


class _Calls:
    """Counts the calls of functions that were written in Python, whoever calls them.

    spoil: whether each number that they return is made larger or smaller, by its place.
    """

    def __init__(self, functions, spoil=False):
        self.codes, self.count, self.spoil = set(), 0, spoil
        for function in functions:
            while isinstance(function, functools.partial):
                function = function.func
            if not hasattr(function, "__code__"):  # a module, or another object that is called
                function = getattr(function, "forward", type(function).__call__)
            self.codes.add(getattr(function, "__code__", None))

    def __enter__(self):
        self.before = sys.getprofile()
        sys.setprofile(self._event)
        return self

    def __exit__(self, *error):
        sys.setprofile(self.before)

    def _event(self, frame, event, argument):
        if frame.f_code not in self.codes:
            return
        self.count += event == "call"
        if event == "return" and self.spoil:
            for y in argument if isinstance(argument, (tuple, list)) else [argument]:
                if isinstance(y, torch.Tensor) and y.is_floating_point() and y.ndim:
                    y.data.mul_(torch.linspace(0.5, 1.5, y.shape[-1]).to(y))


class _Batches:
    """(xb, yb) of shape (B, T) each; they can be gone through once."""

    def __init__(self, tokens):
        self.tokens, self.taken = torch.tensor(tokens.astype("int64")), 0

    def __len__(self):
        return len(self.tokens)

    def __iter__(self):
        if self.taken:
            raise RuntimeError("the batches can be gone through once: that is the compute")
        for rows in self.tokens:
            self.taken += 1
            yield rows[:, :-1], rows[:, 1:]


@torch.no_grad()
def _last_logits(model, windows):
    """Return the logits after each window, and the operations that one window takes."""
    if isinstance(model, nn.Module):
        model.eval()
    with FlopCounterMode(display=False) as counter:
        first = model(windows[:1])
    if first.ndim != 3 or first.shape[:2] != windows[:1].shape:
        raise TypeError(
            f"the model takes {tuple(windows[:1].shape)} tokens to logits of the shape "
            f"{tuple(first.shape)}: (B, T) goes to (B, T, V)"
        )
    logits = torch.cat([model(part)[:, -1] for part in windows.split(512)])
    other = windows[:8].clone()
    other[:, -1] = (other[:, -1] + 1) % first.shape[2]
    ahead = (model(other) - model(windows[:8]))[:, :-1].abs().max()
    return {"logits": logits.float(), "flops": counter.get_total_flops(), "ahead": ahead}
