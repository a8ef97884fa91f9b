"""How many numbers adapters of each size add to a model, and what is wrongly counted in 11.6."""

import numpy as np


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


def largest(model: dict, whole: float = 0, layers=2, biases=(1, 1), head=True, more=0) -> int:
    """Return the largest r; the other arguments are what learners get wrong."""
    C, V, n = model["C"], model["V"], layers * model["n_layer"]
    of_down, of_up = biases
    budget, r = model["share"] * (whole or model["total"]) - more, 0
    while (
        n * (2 * C * (r + 1) + of_down * (r + 1) + of_up * C) + head * (r + 1) * (C + V) <= budget
    ):
        r += 1
    return r


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
        (largest(model, head=False), "What the head gets isn't counted."),
        (
            largest(model, more=model["V"]),
            "V biases are counted that nobody adds: the new part of the head has none.",
        ),
        (largest(model, layers=1), "Each block has two adapters."),
        (largest(model, total - head), "The head's own numbers are part of the whole."),
        (largest(model, embedded), "The embeddings are numbers of `params`, too."),
        (largest(model, model["matrices"]), "Biases and gains are numbers of `params`, too."),
    ]
