"""What 8.7 asks: a layer, and a model of which the numbers are counted."""

import numpy as np

from zerotohero.course.exercise import NO_LINE, expect, expect_that

CRASHES = {
    "is no nn.Module": "Begin with `class LoRALinear(nn.Module):` and `super().__init__()`.",
    r"no nn\.Parameter called": "What learns has to be a parameter: `self.A = "
    "nn.Parameter(torch.…)`, and `self.B` likewise.",
    "before Module.__init__|_parameters'": "`super().__init__()` has to come first in `__init__`.",
    f"(same dtype|mat1 and mat2 must have|expected m1 and m2).*{NO_LINE}": "The merged layer is in "
    "another data type than the layer: make it with `dtype=linear.weight.dtype`.",
    "(expected m1 and m2|expected scalar type|same dtype|mat1 and mat2 must have the same dtype)": (
        "A and B are in another data type than the layer: make them with "
        "`dtype=linear.weight.dtype`."
    ),
    "cannot be multiplied|size mismatch|must match the size": "A is (rank, inputs) and B (outputs, "
    "rank), as W is (outputs, inputs): `x @ A.T @ B.T` takes x through both.",
    "what forward returns has no gradient": "What `forward` returns hangs on nothing that learns: "
    "no `torch.no_grad()` and no `.detach()` belongs there.",
    "merged returned": "`merged` returns a new layer, a `nn.Linear`: neither a tensor nor what "
    "holds one.",
    "has no attribute '(in_features|out_features|weight)'|not enough values to unpack": "Only a "
    "`nn.Linear` is replaced, whatever else has such a name: `isinstance(child, nn.Linear)`.",
    "changed during iteration": "The loop goes through what it changes: make a list of it first.",
}


def some_layer(rng: np.random.Generator, bias: bool, shape: tuple, taught: bool = True) -> dict:
    i, o, rank = 7, 5, 3
    given = {
        "weight": rng.normal(size=(o, i)),
        "bias": rng.normal(size=o) if bias else None,
        "x": rng.normal(size=(*shape, i)),
        "rank": rank,
        "alpha": float(rng.choice([7.0, 8.5, 10.0])),
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


def some_model(rng: np.random.Generator, names: list[str], n: int = 2, steps: int = 0) -> dict:
    C, V = int(rng.choice([74, 76, 80])), int(rng.integers(70, 90))
    return {
        "sizes": {"V": V, "C": C, "n_layer": n},
        "names": [str(name) for name in rng.permutation(names)],
        "rank": 2,
        "steps": steps,
        "alpha": float(rng.choice([5.0, 6.0, 9.0, 11.0])),
        "idx": rng.integers(0, V, (2, 3)),
        "seed": int(rng.integers(2**31)),
    }


def counts(given: dict) -> dict:
    """Return how many numbers there are and learn, and the names of both."""
    sizes, rank = given["sizes"], given["rank"]
    V, C, L = sizes["V"], sizes["C"], sizes["n_layer"]
    names = ["embed.weight", "value.weight", "value.bias"]
    total, learn, layers, inputs = V * C + 2 * C, 0, [], {}
    for block in range(L):
        total += 2 * C  # a LayerNorm
        names += [f"blocks.{block}.norm.{part}" for part in ("weight", "bias")]
        for name, (i, o) in LINEAR.items():
            total += (i * C + 1) * o * C
            names += [f"blocks.{block}.{name}.{part}" for part in ("weight", "bias")]
            if name.rpartition(".")[2] in given["names"]:
                layers.append(f"blocks.{block}.{name}")
                inputs[layers[-1]] = i * C
                learn += rank * (i + o) * C
    return {
        "total": total,
        "learn": learn,
        "layers": sorted(layers),
        "names": sorted(names),
        "inputs": [inputs[layer] for layer in sorted(layers)],
    }


def _is_part(names: list, full: str) -> bool:
    return any(name in full.rpartition(".")[2] for name in names)


def expect_layers(given: dict, got: dict, of: dict) -> None:
    """Expect that these layers of the model were replaced and no others."""
    came, want = set(got["layers"]), set(of["layers"])
    hint, share = None, got["share"]
    if not came and isinstance(share, float) and 0 < share < 1:
        hint = (
            "The model that was handed in has none of them: they are in a copy of it, or nowhere."
        )
    elif not came:
        hint = "No layer was replaced: layers inside of blocks have to be found too."
    elif came < want and all(name.startswith("blocks.0") for name in came):
        hint = "Only the first block was changed: go through all modules."
    elif came > want and all(_is_part(given["names"], name) for name in came - want):
        hint = (
            "A name that only contains one of `names` was taken for it: compare the last part of "
            "the name, whole."
        )
    elif came > want and all({*name.split(".")[:-1]} & {*given["names"]} for name in came - want):
        hint = (
            "What stands within a module of such a name was replaced: the last part of the full "
            "name counts, and no other."
        )
    elif came > want:
        hint = "Layers were replaced that aren't in `names`."
    expect("the layers that became LoRALinear", got["layers"], of["layers"], hint=hint)


def expect_scale(given: dict, got: dict, of: dict) -> None:
    """Expect that the layers in the model have the scale that add_lora was given."""
    expect(
        "what A and B add to the first output of each new layer, they and x being all ones",
        got["added"],
        [given["alpha"] * n for n in of["inputs"]],
        tol=1e-4,
        hint="alpha / rank is the scale in the model, too: `add_lora` hands both on to each layer.",
    )


def expect_shapes(given: dict, A: np.ndarray, B: np.ndarray) -> None:
    (o, i), rank = given["weight"].shape, given["rank"]
    hint = None
    if (A.shape, B.shape) == ((i, rank), (rank, o)):
        hint = (
            "A and B lie on their side: the inputs come last in a shape, as in W's, (outputs, "
            "inputs)."
        )
    elif (A.shape, B.shape) == ((o, rank), (rank, i)):
        hint = "A and B are exchanged: A comes first, from inputs to rank."
    expect_that(
        A.shape == (rank, i) and B.shape == (o, rank),
        f"A and B: expected shapes {(rank, i)} and {(o, rank)}, got {A.shape} and {B.shape}",
        hint,
    )
