"""What 8.7 asks: a layer, and a model of which the numbers are counted."""

import numpy as np


def some_layer(rng: np.random.Generator, bias: bool, shape: tuple, taught: bool = True) -> dict:
    i, o, rank = 7, 5, 3
    given = {
        "weight": rng.normal(size=(o, i)),
        "bias": rng.normal(size=o) if bias else None,
        "x": rng.normal(size=(*shape, i)),
        "rank": rank,
        "alpha": float(rng.choice([4.5, 5.5, 7.0])),
        "seed": int(rng.integers(2**31)),
    }
    learned = {"A": rng.normal(size=(rank, i)), "B": rng.normal(size=(o, rank))}
    return given | (learned if taught else {})


def through(given: dict, scale: float | None = None, own: float = 1, bias: bool = True):
    """Return what the layer gives; its parts differently for what comes of mistakes."""
    s = given["alpha"] / given["rank"] if scale is None else scale
    y = given["x"] @ (own * given["weight"] + s * given["B"] @ given["A"]).T
    return y + given["bias"] if bias and given["bias"] is not None else y


LINEAR = {"query": (1, 1), "value": (1, 1), "value_out": (1, 1), "mlp.0": (1, 4), "mlp.2": (4, 1)}


def some_model(rng: np.random.Generator, of: list[str], n: int = 2, steps: int = 0) -> dict:
    C, V = int(rng.choice([74, 76, 80])), int(rng.integers(70, 90))
    return {
        "sizes": {"V": V, "C": C, "n_layer": n},
        "names": [str(name) for name in rng.permutation(of)[:2]],
        "rank": 2,
        "steps": steps,
        "alpha": 8.0,
        "idx": rng.integers(0, V, (2, 3)),
        "seed": int(rng.integers(2**31)),
    }


def counts(given: dict) -> dict:
    """Return how many numbers there are and learn, and the names of both."""
    sizes, rank = given["sizes"], given["rank"]
    V, C, L = sizes["V"], sizes["C"], sizes["n_layer"]
    names = ["embed.weight", "value.weight", "value.bias"]
    total, learn, layers = V * C + 2 * C, 0, []
    for block in range(L):
        total += 2 * C  # a LayerNorm
        names += [f"blocks.{block}.norm.{part}" for part in ("weight", "bias")]
        for name, (i, o) in LINEAR.items():
            total += (i * C + 1) * o * C
            names += [f"blocks.{block}.{name}.{part}" for part in ("weight", "bias")]
            if name.rpartition(".")[2] in given["names"]:
                layers.append(f"blocks.{block}.{name}")
                learn += rank * (i + o) * C
    return {"total": total, "learn": learn, "layers": sorted(layers), "names": sorted(names)}
