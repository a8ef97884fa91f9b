"""Files of GPT-2 for 10.1, what has to come of them, and what mistakes make of them."""

import re

import numpy as np

from zerotohero.course.exercise import Mistake

TABLE, HEAD = "tokens.weight", "head.weight"
QKV = ("query", "key", "value")
MATRICES = (*QKV, "mix", "up", "down")
OF_BLOCK = {
    "ln_1": "norm_1",
    "ln_2": "norm_2",
    "mlp.c_fc": "up",
    "mlp.c_proj": "down",
    "attn.c_proj": "mix",  # last, because a square one says less of what went wrong
}
OUTSIDE = {
    "wte.weight": TABLE,
    "wpe.weight": "positions.weight",
    "ln_f.weight": "norm.weight",
    "ln_f.bias": "norm.bias",
}


def drawn(
    rng: np.random.Generator,
    n_layer: int,
    prefix: str = "",
    masks: bool = False,
    head: bool = False,
) -> dict:
    """Return a file, as `stored` and `n_layer`, in the order in which safetensors writes it."""
    C, V, T = (int(n) for n in np.add(rng.permutation([0, 1, 2]), [3, 7, 10]))

    def some(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    file = {"wte.weight": some(V, C), "wpe.weight": some(T, C)}
    file |= {"ln_f.weight": some(C), "ln_f.bias": some(C)}
    sizes = {"attn.c_attn": (C, 3 * C), "attn.c_proj": (C, C)}
    sizes |= {"mlp.c_fc": (C, 4 * C), "mlp.c_proj": (4 * C, C)}
    for i in range(n_layer):
        for name, shape in sizes.items():
            file |= {f"h.{i}.{name}.weight": some(*shape), f"h.{i}.{name}.bias": some(shape[1])}
        for name in ("ln_1", "ln_2"):
            file |= {f"h.{i}.{name}.weight": some(C), f"h.{i}.{name}.bias": some(C)}
        if masks:
            file[f"h.{i}.attn.bias"] = np.tri(T, dtype=np.float32)[None, None]
            file[f"h.{i}.attn.masked_bias"] = np.array(-1e4, np.float32)
    file = {prefix + name: value for name, value in file.items()}
    if head:
        file["lm_head.weight"] = some(V, C)
    return {"stored": {name: file[name] for name in sorted(file)}, "n_layer": n_layer}


def _bare(stored: dict) -> dict[str, np.ndarray]:
    return {name.removeprefix("transformer."): value for name, value in stored.items()}


def right(stored: dict, n_layer: int) -> dict[str, np.ndarray]:
    """Return the weights of SeparateGPT."""
    file = _bare(stored)
    new = {theirs: file[ours] for ours, theirs in OUTSIDE.items()}
    for i in range(n_layer):
        for ours, theirs in OF_BLOCK.items():
            for kind in ("weight", "bias"):
                new[f"blocks.{i}.{theirs}.{kind}"] = file[f"h.{i}.{ours}.{kind}"].T
        for kind in ("weight", "bias"):
            parts = np.split(file[f"h.{i}.attn.c_attn.{kind}"].T, 3)
            new |= {f"blocks.{i}.{n}.{kind}": p for n, p in zip(QKV, parts, strict=True)}
    new[HEAD] = file.get("lm_head.weight", new[TABLE])
    return new


def text_order(file: dict, mine: dict, names: list[str]) -> str:
    """Say which blocks stand where they do when names are sorted as text; "" if none do."""
    want, n = right(**file), file["n_layer"]
    order = sorted(range(n), key=str)
    if order == list(range(n)):
        return ""
    moved = [i for i in range(n) if order[i] != i]
    for i in moved:
        for name in (n for n in names if n.startswith(f"blocks.{i}.")):
            other = want[re.sub(r"\d+", str(order[i]), name, count=1)]
            if not np.array_equal(mine.get(name), other):
                return ""
    return f"block {moved[0]} holds the weights of h.{order[moved[0]]}"


SQUARE = (
    "It is as in the file, (in, out), and has to be transposed; being square it has the right "
    "shape all the same."
)
SWAPPED = (
    "Queries, keys and values have changed places: in the file the queries come first, then the "
    "keys, then the values."
)


def wrong_values(file: dict, name: str) -> list[Mistake]:
    """Return what mistakes make of one tensor."""
    want, stored = right(**file), _bare(file["stored"])
    value, (*place, part, kind) = want[name], name.split(".")
    found = []
    if name in (TABLE, "positions.weight", HEAD):
        no_conv = "Tables, and lm_head, are no Conv1D: they stay as they are."
        found.append((value.T, no_conv))
    if name == HEAD and "lm_head.weight" in stored:
        found.append(
            (want[TABLE], "This file has a head of its own, lm_head.weight: it is no tied one.")
        )
    if part in ("norm_1", "norm_2"):
        other = ".".join([*place, "norm_2" if part == "norm_1" else "norm_1", kind])
        found.append((want[other], "ln_1 and ln_2 have changed places."))
    if part.startswith("norm"):
        other = ".".join([*place, part, "bias" if kind == "weight" else "weight"])
        found.append((want[other], "weight and bias have changed places."))
    if part in MATRICES and kind == "weight":
        found += [
            (value.T, SQUARE if value.shape[0] == value.shape[1] else "It isn't transposed."),
            (
                value.T.reshape(value.shape),
                "`reshape` and `view` keep the numbers in their order in memory: transpose, `.T`.",
            ),
        ]
    if part in QKV:
        i, w = QKV.index(part), stored[f"h.{place[1]}.attn.c_attn.{kind}"]
        third = w[..., i::3]
        pieces = [want[".".join([*place, other, kind])] for other in QKV if other != part]
        found += [(piece, SWAPPED) for piece in pieces] + [(piece.T, SWAPPED) for piece in pieces]
        by_turns = "Every third column was taken: the queries' stand side by side, and so on."
        found += [(third.T, by_turns), (third, by_turns)]
        if kind == "weight":
            cut = w.reshape(3, *value.shape)[i]
            memory = "`reshape(3, C, C)` of (C, 3C) cuts the rows up: split the columns."
            found += [(cut, memory), (cut.T, memory)]
            rows = np.split(w.reshape(w.shape[::-1]), 3)[i]
            found.append(
                (
                    rows,
                    "`reshape` and `view` keep the numbers in their order in memory: "
                    "transpose, `.T`.",
                )
            )
    if place[:1] == ["blocks"]:
        for j in range(file["n_layer"]):
            if str(j) != place[1]:
                hint = f"These are the weights of h.{j}. If blocks are found by the beginning of a "
                hint += "name: `h.1` is also that of `h.10`, and `h.1.` is not."
                found.append((want[".".join(["blocks", str(j), part, kind])], hint))
    return [Mistake(value, hint) for value, hint in found]
