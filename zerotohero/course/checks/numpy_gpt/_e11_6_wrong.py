"""What is wrongly counted and wrongly merged in 11.6, and how many numbers adapters add."""

import math

import numpy as np

from zerotohero.course.checks.numpy_gpt.shared import gelu
from zerotohero.course.exercise import Mistake


def adapted(x: np.ndarray, down: dict, up: dict) -> np.ndarray:
    return x + gelu(x @ down["w"] + down["b"]) @ up["w"] + up["b"]


def wrongly_adapted(x: np.ndarray, down: dict, up: dict) -> list[Mistake]:
    h, w, b = x @ down["w"] + down["b"], up["w"], up["b"]
    found = [
        (gelu(h) @ w + b, "x isn't added: an adapter that gives 0 has to leave x as it is."),
        (x + h @ w + b, "The GELU in between is missing."),
        (x + np.maximum(h, 0) @ w + b, "ReLU stands where the GELU belongs."),
        (x + gelu(gelu(h) @ w + b), "A GELU follows `up`, too: it stands only in between."),
        (x + gelu(h @ w + b), "The GELU stands behind `up`: it stands in between."),
        (x + (gelu(x) @ down["w"] + down["b"]) @ w + b, "The GELU stands in front of `down`."),
        (
            x + (gelu(x @ down["w"]) + down["b"]) @ w + b,
            "The bias of `down` comes behind the GELU: it is part of the linear layer.",
        ),
        (x + np.tanh(h) @ w + b, "A tanh stands where the GELU belongs, of which it is a part."),
        (
            x + h / 2 * (1 + np.vectorize(math.erf)(h / math.sqrt(2))) @ w + b,
            "That is the GELU with an error function: the card's has a tanh.",
        ),
        (x + gelu(x @ down["w"]) @ w + b, "The bias of `down` is missing."),
        (x + gelu(h) @ w, "The bias of `up` is missing."),
        (
            x + h / (1 + np.exp(-1.702 * h)) @ w + b,
            "That is the GELU with a sigmoid: the card's has a tanh.",
        ),
    ]
    return [Mistake(value, hint) for value, hint in found]


def flat(params, path: str = "") -> dict[str, np.ndarray]:
    """Return the arrays of nested dicts and lists, by their path."""
    if isinstance(params, list):
        params = {str(i): value for i, value in enumerate(params)}
    if not isinstance(params, dict):
        return {path: params}
    found = {}
    for name, value in params.items():
        found |= flat(value, f"{path}.{name}" if path else name)
    return found


def _added(model: dict, r: int, layers=2, biases=(1, 1), head=True) -> int:
    C, V, (of_down, of_up) = model["C"], model["V"], biases
    adapter = 2 * C * r + of_down * r + of_up * C
    return layers * model["n_layer"] * adapter + head * r * (C + V)


def largest(model: dict, whole: float = 0, more=0, rounded=False, **wrongly) -> int:
    """Return the largest r; the other arguments are what learners get wrong."""
    budget = model["share"] * (whole or model["total"]) - more
    none, one = (_added(model, r, **wrongly) for r in (0, 1))
    return max(0, int(((round(budget) if rounded else budget) - none) // (one - none)))


def almost_enough(params: dict, share: float) -> float:
    """Return a share that the next r exceeds by less than half a number."""
    model = sizes_of(params, share)
    return (_added(model, largest(model) + 1) - 0.4) / model["total"]


def _nearest(model: dict) -> int:
    C, V, n = model["C"], model["V"], 2 * model["n_layer"]
    return round((model["share"] * model["total"] - n * C) / (n * (2 * C + 1) + C + V))


def sizes_of(params: dict, share: float) -> dict:
    """Return what the size depends on, and parts of the whole that may be forgotten."""
    (C, V), values = params["head"]["w"].shape, flat(params).values()
    return {
        "share": share,
        "C": C,
        "V": V,
        "n_layer": len(params["blocks"]),
        "total": sum(value.size for value in values),
        "matrices": sum(value.size for value in values if value.ndim == 2),
        "tables": params["wte"].size + params["wpe"].size,
    }


def known_sizes(models: list[dict]) -> dict[tuple[int, ...], str]:
    variants = zip(*map(wrong_sizes, models), strict=True)
    return {tuple(size for size, _ in v): v[0][1] for v in variants}


SLIPS = 13  # as many as there are below


def wrong_sizes(model: dict) -> list[tuple[int, str]]:
    total, head = model["total"], (model["C"] + 1) * model["V"]
    embedded = total - model["tables"]
    return [
        (largest(model, biases=(0, 0)), "The biases of the adapters aren't counted."),
        (largest(model, biases=(0, 1)), "The biases of `down` aren't counted: r in each."),
        (largest(model, biases=(1, 0)), "The biases of `up` aren't counted: C in each."),
        (
            _nearest(model),
            "Rounded to the nearest: r has to fit, so what is behind the point goes.",
        ),
        (
            largest(model, rounded=True),
            "share times the numbers was rounded, and with it more than the share is allowed.",
        ),
        (largest(model, head=False), "What the head gets isn't counted."),
        (
            largest(model, more=model["V"]),
            "V biases are counted that nobody adds: the new part of the head has none.",
        ),
        (largest(model, layers=1), "Each block has two adapters."),
        (
            largest(model, total / (1 - model["share"])),
            "The share is one of the numbers in `params`, and not of all that are there then.",
        ),
        (
            int(model["share"] * total // _added(model, 1)),
            "r times what r = 1 adds: the C biases of each `up` don't become more with r.",
        ),
        (largest(model, total - head), "The head's own numbers are part of the whole."),
        (largest(model, embedded), "The embeddings are numbers of `params`, too."),
        (largest(model, model["matrices"]), "Biases and gains are numbers of `params`, too."),
    ]


def wrong_heads(head: dict[str, np.ndarray], alpha: float) -> list[Mistake]:
    """Return the matrices of heads that are merged wrongly."""
    w, update, r = head["w"], head["down"] @ head["up"], head["down"].shape[1]
    found = [
        (w + update, "alpha / r is missing: `down @ up` is added as it is."),
        (w + alpha * update, "Times alpha, and not divided by r."),
        (w + update / r, "Divided by r, and not times alpha."),
        (w + alpha * r * update, "Times r: it is alpha / r."),
        (alpha / r * update, "w itself is missing: the product is added to it."),
        (w - alpha / r * update, "It is taken away: add it."),
        (w, "The head is as it was before training: nothing is merged."),
        (w + 2 * alpha / r * update, "It is added twice."),
        (w + alpha / r**0.5 * update, "Divided by the root of r: it is alpha / r."),
        (w + r / alpha * update, "Times r / alpha: it is alpha / r."),
        (w + alpha // r * update, "alpha // r has lost what stands behind the point: alpha / r."),
        (w + int(alpha) / r * update, "alpha was cut to a whole number: it is a float."),
        (w + alpha / len(w) * update, "Divided by C: r is the length that `down` and `up` share."),
        (w + alpha / w.shape[1] * update, "Divided by V: it is alpha / r."),
    ]
    return [Mistake(value, hint) for value, hint in found]
