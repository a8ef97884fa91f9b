"""How answers to the exercises of lecture 06 are called. This enters the sandbox."""

import contextlib
import copy

import numpy as np
import torch


def fused(flatten_consecutive, x, n):
    return {"y": flatten_consecutive(torch.tensor(x), n)}


def fused_twice(flatten_consecutive, x, few, all):
    x = torch.tensor(x)
    return {"few": flatten_consecutive(x, few), "all": flatten_consecutive(x, all)}


def refused(flatten_consecutive, x, n):
    """Of as many vectors as n divides, and then of all."""
    whole = flatten_consecutive(torch.tensor(x[:, : x.shape[1] // n * n]), n)
    try:
        y = flatten_consecutive(torch.tensor(x), n)
    except NotImplementedError:
        raise
    except Exception as error:
        return {"whole": whole, "error": type(error).__name__, "message": str(error), "y": None}
    return {"whole": whole, "error": None, "message": "", "y": y}


def fused_gradient(flatten_consecutive, x, n, upstream):
    x = torch.tensor(x, requires_grad=True)
    y = flatten_consecutive(x, n)
    (upstream * y**2).sum().backward()
    return {"shape": list(y.shape), "grad": x.grad}


def searched(find_bug, networks):
    return {"found": [find_bug([_record(r) for r in records]) for records in networks]}


def _record(record):
    return {
        "shape": tuple(record["shape"]),
        "running_mean": tuple(record["running_mean"]),
        "mean": torch.tensor(record["mean"]),
        "var": torch.tensor(record["var"]),
    }


def convolved(causal_dilated, tree_everywhere, x, weight, bias, dilation):
    return {"y": causal_dilated(*map(torch.tensor, (x, weight, bias)), dilation)}


def everywhere(causal_dilated, tree_everywhere, x, layers):
    layers = [tuple(map(torch.tensor, layer)) for layer in layers]
    return {"y": tree_everywhere(torch.tensor(x), layers)}


CHUNK = 4096  # windows at a time, to bound the memory


@torch.no_grad()
def model_in_two_batches(model, windows):
    model, xb = _ready(model, windows)
    count = None
    if hasattr(model, "parameters"):
        count = sum(p.numel() for p in model.parameters())
    return {
        "logits": model(xb[:64])[:32],
        "again": model(torch.cat([xb[:32], xb[64:]]))[:32],
        "parameters": count,
    }


@torch.no_grad()
def model_on_windows(model, windows):
    model, xb = _ready(model, windows)
    parts = []
    for chunk in xb.split(CHUNK):
        parts.append(model(chunk).float().cpu())
        if parts[-1].ndim != 2:  # the verdict will say so; not 17,000 times
            break
    return {"logits": torch.cat(parts)}


def _ready(model, windows):
    """Return a copy of the model, whose running statistics a call may move, and its inputs."""
    if model is None:
        raise NotImplementedError(
            "`model` is still None: train a network and give it this name. 6.4 is yours to write"
        )
    if isinstance(model, type) or not callable(model):
        raise TypeError("`model` has to be the trained model itself, which can be called on xb.")
    with contextlib.suppress(Exception):  # a model that can't be copied is taken as it is
        model = copy.deepcopy(model)
    device = "cpu"
    if hasattr(model, "parameters"):
        device = next((p.device for p in model.parameters()), device)
    return model, torch.tensor(windows.astype(np.int64), device=device)


def sized(receptive_field, stacks):
    return {"sizes": [receptive_field([tuple(layer) for layer in stack]) for stack in stacks]}


def gated(gated_residual, sum_of_skips, x, block):
    x = torch.tensor(x)
    out, skip = _pair(gated_residual(x, *_block(block)))
    return {"out": out, "skip": skip, "x": x}


def skips(gated_residual, sum_of_skips, x, blocks):
    return {"y": sum_of_skips(torch.tensor(x), [_block(block) for block in blocks])}


def _block(block):
    *weights, dilation = block
    return (*map(torch.tensor, weights), dilation)


def _pair(returned):
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        raise TypeError("gated_residual: end it with `return out, skip`, two tensors.")
    return returned
