"""10.2 · GPT-2's initialisation: a residual path whose variance doesn't grow with the depth."""

import math

import numpy as np

from zerotohero.course.checks.gpt2._e10_2_deviations import (
    SIGMAS,
    alike,
    known,
    pooled,
    unlike_normal,
)
from zerotohero.course.exercise import Exercise, Wrong, expect_that

start = Exercise(
    number="10.2",
    title="Initialise",
    difficulty=3,
    minutes=30,
    practises="telling weights apart by what they do, and not by their shape",
    answers=("initialise",),
    changes=("model",),
    summary=(
        "Draw a GPT-2's first weights such that the variance of its residual path doesn't grow "
        "with the number of blocks. What is tied is drawn once, and LayerNorms stay as they are."
    ),
    statement="""
`initialise(model: nn.Module, generator: Generator) -> None`

`model` has the names of lecture 07's GPT: `model.transformer.wte` and `.wpe`, the blocks in
`model.transformer.h`, in each of them `ln_1`, `attn.c_attn`, `attn.c_proj`, `ln_2`, `mlp.c_fc` and
`mlp.c_proj`, then `model.transformer.ln_f`, and `model.lm_head`. Write its first weights into its
parameters, which stay the same objects, of the same shape and dtype, and go on to be trained:

1. The matrices and tables are drawn from a normal distribution of mean 0 and standard deviation
   0.02, the two tables and a head of its own among them.
2. Two matrices of each block **write to the residual path**, which N blocks add to 2N times:
   `attn.c_proj` and `mlp.c_proj`. Their standard deviation is 0.02 / √(2N), with the N of this
   model.
3. The biases of the linear layers are 0. In some models there are none: `bias` is None.
4. The LayerNorms stay **as they are**, weight and bias.
5. In some models `model.lm_head.weight` *is* `model.transformer.wte.weight`, and stays it. It is
   one table and is drawn **once**.
6. All numbers come from `generator`, and no two of the drawn tensors hold the same numbers.

```python
model = GPT(GPTConfig(vocab_size=65, block_size=16, n_layer=8, n_head=4, n_embd=32))
initialise(model, torch.Generator().manual_seed(1))
model.transformer.h[0].mlp.c_fc.weight.std()     # about 0.02
model.transformer.h[0].mlp.c_proj.weight.std()   # about 0.005, which is 0.02 / √16
```
""",
    hints=(
        "The sum of 2N independent numbers of variance v has the variance 2N·v. How small must v "
        "be, and the standard deviation, so that the sum doesn't depend on N?",
        "Go through `model.named_parameters()`: a tied table comes up once in it, under its first "
        "name. The names say what a parameter is: `ln_` is in all of those that stay as they are.",
        "`with torch.no_grad():`, because the parameters require a gradient. For each name and p: "
        "nothing if `'.ln_' in name`; `p.zero_()` if it ends in `bias`; else `p.normal_(0.0, "
        "deviation, generator=generator)`, where `deviation = 0.02 / math.sqrt(2 * "
        "len(model.transformer.h)) if name.endswith('c_proj.weight') else 0.02`.",
    ),
)

CRASHES = {
    "leaf Variable": "A parameter requires a gradient, and is written into under "
    "`with torch.no_grad():` only.",
    "'NoneType' object": "Some models have no biases: there `layer.bias` is None.",
    "not enough values|has no attribute 'attn'": "The model has the names of the card.",
}


def _shapes(V: int, T: int, N: int, C: int, bias: bool, tied: bool) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter but the LayerNorms', by its first name."""
    shapes: dict[str, tuple[int, ...]] = {"transformer.wte.weight": (V, C)}
    shapes["transformer.wpe.weight"] = (T, C)
    layers = {"attn.c_attn": (3 * C, C), "attn.c_proj": (C, C)}
    layers |= {"mlp.c_fc": (4 * C, C), "mlp.c_proj": (C, 4 * C)}
    for i in range(N):
        for name, shape in layers.items():
            shapes[f"transformer.h.{i}.{name}.weight"] = shape
            if bias:
                shapes[f"transformer.h.{i}.{name}.bias"] = shape[:1]
    return shapes if tied else shapes | {"lm_head.weight": (V, C)}


def _drawn(rng, bias: bool, tied: bool, N: int, dtype: str = "float32") -> dict:
    """Return a model's sizes, and what its LayerNorms hold, in the dtype of all parameters."""
    sizes = {
        "V": int(rng.choice([48, 80, 112, 144])),  # V · C is the size of no other tensor
        "T": int(rng.choice([32, 64, 128])),
        "N": N,
        "C": 24,
        "bias": bias,
        "tied": tied,
    }
    places = [f"transformer.h.{i}.{name}" for i in range(sizes["N"]) for name in ("ln_1", "ln_2")]
    norms = {}
    for place in (*places, "transformer.ln_f"):
        norms[f"{place}.weight"] = rng.normal(1, 0.1, sizes["C"]).astype(dtype)
        if bias:
            norms[f"{place}.bias"] = rng.normal(0, 0.1, sizes["C"]).astype(dtype)
    return {"sizes": sizes, "norms": norms, "seed": int(rng.integers(0, 2**31))}


def _models(rng) -> dict:
    one, other = (int(n) for n in rng.permutation([3, 4]))
    return {"models": [_drawn(rng, True, True, one), _drawn(rng, False, False, other)]}


def _about(sizes: dict) -> str:
    head = "a tied head" if sizes["tied"] else "a head of its own"
    return f"N = {sizes['N']}, {head}, {'with' if sizes['bias'] else 'without'} biases"


def _parameters(model: dict, reply: dict) -> tuple[str, dict[str, np.ndarray]]:
    """Return what it is about, and the parameters: all of them, in their shapes, and finite."""
    sizes, what = model["sizes"], _about(model["sizes"])
    expect_that(
        reply["returned"],
        f"{what}: initialise returned something, and the card says None",
        "It writes into the parameters of `model`, and returns nothing.",
    )
    mine, dtype = reply["parameters"], model["norms"]["transformer.ln_f.weight"].dtype
    want = _shapes(**sizes) | {name: value.shape for name, value in model["norms"].items()}
    for name, shape in want.items():
        same_shape = name in mine and mine[name].shape == shape
        expect_that(
            same_shape and mine[name].dtype == dtype,
            f"{what}: {name} is no longer a parameter of shape {shape} and dtype {dtype}",
            OTHER_DTYPE if same_shape else OWN_HEAD if name == "lm_head.weight" else None,
        )
        expect_that(np.isfinite(mine[name]).all(), f"{what}: {name} isn't finite")
    return what, mine


OTHER_DTYPE = (
    "Its numbers have a dtype of their own: `normal_`, `zero_` and `copy_` write into a parameter "
    "and keep its dtype, which may be another than float32."
)
OWN_HEAD = "This head is a parameter of its own, and stays it."


def _untouched(values: np.ndarray) -> bool:
    """Return whether they are what the adapter left there."""
    return bool((values == 7).all())


def _unlike(what: str, mine: dict, names: list[str]) -> None:
    """Expect that no two of the drawn tensors begin with the same numbers, whatever their scale."""
    heads = {name: mine[name].ravel()[:16] / max(mine[name].std(), 1e-9) for name in names}
    for i, name in enumerate(names):
        alike = [n for n in names[:i] if np.allclose(heads[n], heads[name], atol=0.2)]
        expect_that(
            not alike,
            f"{what}: {name} begins with the same numbers as {', '.join(alike[:1])}",
            "Several hold the same numbers: draw on from the generator for each, without a new "
            "seed.",
        )


def _deviations(given: dict, got: dict, kinds: tuple[str, ...], writes: bool) -> None:
    for model, reply in zip(given["models"], got["models"], strict=True):
        what, mine = _parameters(model, reply)
        N, C = model["sizes"]["N"], model["sizes"]["C"]
        want = 0.02 / math.sqrt(2 * N) if writes else 0.02
        drawn = {name: mine[name] for name in _shapes(**model["sizes"])}
        for name, values in drawn.items():
            expect_that(
                not (any(f"{kind}.weight" in name for kind in kinds) and _untouched(values)),
                f"{what}: {name} is as it was before",
                "Nothing was drawn there.",
            )
        ours = [n for n in drawn if any(f"{kind}.weight" in n for kind in kinds)]
        _unlike(what, drawn, ours)
        if all(drawn[name].any() for name in ours):
            shape = unlike_normal([drawn[name] for name in ours])
            expect_that(shape is None, f"{what}: {', '.join(kinds)}: {shape}", NOT_NORMAL)
        for kind in kinds:
            if not (numbers := pooled(drawn, kind)).size:
                continue
            deviation, mean = float(np.sqrt((numbers**2).mean())), float(numbers.mean())
            expect_that(
                abs(mean) < SIGMAS * max(want, numbers.std()) / math.sqrt(numbers.size),
                f"{what}: {kind}: expected the mean 0, got {mean:.5f}",
                "Their mean is another: `normal_(0.0, deviation)`, and nothing is added.",
            )
            near = abs(deviation / want - 1) < SIGMAS / math.sqrt(2 * numbers.size)
            expect_that(
                near,
                f"{what}: {kind}: expected the standard deviation {want:.5f}, got {deviation:.5f}",
                known(deviation, numbers.size, kind, N, C, writes)
                if alike([w for name, w in drawn.items() if name.endswith(f"{kind}.weight")])
                else BLOCKS_DIFFER,
            )
        for name in ours:
            values = drawn[name]
            deviation = float(np.sqrt((values**2).mean()))
            expect_that(
                abs(deviation / want - 1) < SIGMAS / math.sqrt(2 * values.size),
                f"{what}: {name}: expected the standard deviation {want:.5f}, got {deviation:.5f}",
                BLOCKS_DIFFER,
            )


BLOCKS_DIFFER = "In some blocks it is another: N is the number of all blocks, for each of them."


NOT_NORMAL = (
    "These aren't drawn from the normal distribution: `normal_`, not `uniform_` or one that is cut "
    "off."
)


@start.case("what is read", points=2, adapter="started", inputs=_models, crashes=CRASHES)
def deviation_of_the_rest(given, got):
    _deviations(given, got, ("wte", "wpe", "attn.c_attn", "mlp.c_fc", "lm_head"), False)


@start.case(
    "what writes to the residual path", points=3, adapter="started", inputs=_models, crashes=CRASHES
)
def deviation_of_what_writes(given, got):
    _deviations(given, got, ("attn.c_proj", "mlp.c_proj"), True)
    for model, reply in zip(given["models"], got["models"], strict=True):
        what, mine = _parameters(model, reply)
        N = model["sizes"]["N"]
        both = np.concatenate([pooled(mine, kind) for kind in ("attn.c_proj", "mlp.c_proj")])
        deviation, want = float(both.std()), 0.02 / math.sqrt(2 * N)
        expect_that(
            abs(deviation / want - 1) < SIGMAS / math.sqrt(2 * both.size),
            f"{what}: c_proj: expected the standard deviation {want:.5f}, got {deviation:.5f}",
            known(deviation, both.size, "c_proj", N, model["sizes"]["C"], True),
        )


@start.case("biases and LayerNorms", points=2, adapter="started", inputs=_models, crashes=CRASHES)
def zeros_and_norms(given, got):
    for model, reply in zip(given["models"], got["models"], strict=True):
        what, mine = _parameters(model, reply)
        for name, want in model["norms"].items():
            if np.array_equal(mine[name], want):
                continue
            hint = "LayerNorms stay as they are."
            if (mine[name] == 0).all() and name.endswith("bias"):
                hint = "It is called bias, and belongs to a LayerNorm: those stay as they are."
            elif (mine[name] == 0).all():
                hint = "It has one axis, as biases have, and is a LayerNorm's weight: those stay "
                hint += "as they are, and 0 would let nothing through."
            elif (mine[name] == 1).all():
                hint = "1 is where torch begins; yet the card leaves LayerNorms as they are."
            elif name.endswith("weight") and np.abs(mine[name]).max() < 0.2:
                hint = "A LayerNorm's weight is no matrix: drawn close to 0, it would wipe out "
                hint += "what it passes on."
            raise Wrong(f"{what}: {name} has changed", hint)
        for name in _shapes(**model["sizes"]):
            if name.endswith("bias"):
                expect_that(
                    not mine[name].any(),
                    f"{what}: {name}: expected zeros, got others",
                    "The biases are as they were: set them to 0."
                    if _untouched(mine[name])
                    else "They were drawn: a bias begins at 0."
                    if len({*mine[name]}) > 1
                    else "They are all the same number, and it isn't 0.",
                )


def _tied(rng) -> dict:
    return {"models": [_drawn(rng, True, True, N=1), _drawn(rng, True, False, 2, "float64")]}


@start.case("one table, drawn once", points=2, adapter="started", inputs=_tied, crashes=CRASHES)
def tied_table(given, got):
    for model, reply in zip(given["models"], got["models"], strict=True):
        what, mine = _parameters(model, reply)
        tied = model["sizes"]["tied"]
        expect_that(
            reply["tied"] == tied,
            f"{what}: model.lm_head.weight {'is no longer' if tied else 'is now'} "
            "model.transformer.wte.weight",
            "A new `nn.Parameter` for one of the two names has parted them: write into the one "
            "in its place."
            if tied
            else OWN_HEAD,
        )
        expect_that(
            reply["same"],
            f"{what}: a parameter was replaced by another",
            "An optimiser made before would go on with the old ones: write into them, as "
            "`normal_` does.",
        )
        expect_that(
            reply["trained"],
            f"{what}: a parameter doesn't require a gradient any more",
            "With `requires_grad` False it would never be trained. `torch.no_grad()` lets you "
            "write into parameters and leaves them as they are.",
        )
        table = "lm_head.weight" if not tied else "transformer.wte.weight"
        deviation = float(np.sqrt((mine[table] ** 2).mean()))
        expect_that(
            abs(deviation / 0.02 - 1) < SIGMAS / math.sqrt(2 * mine[table].size),
            f"{what}: {table}: expected the standard deviation 0.02, got {deviation:.5f}",
            "A head of its own is drawn as the tables are." if not tied else None,
        )
        of_table, of_positions = reply["draws"]
        expect_that(
            not tied or of_table <= of_positions,
            f"{what}: numbers for the whole table were drawn {of_table} times",
            "Among the modules a tied table comes up twice, as wte and as lm_head, and the second "
            "draw overwrites the first: `model.parameters()` has each once.",
        )


def _small(rng) -> dict:
    return {"models": [_drawn(rng, True, True, N=1)]}


@start.case("from the generator", points=1, adapter="repeated", inputs=_small, crashes=CRASHES)
def from_the_generator(given, got):
    for model, reply in zip(given["models"], got["models"], strict=True):
        what, mine = _parameters(model, reply)
        drawn = [n for n in _shapes(**model["sizes"]) if n.endswith("weight")]
        expect_that(
            all(mine[name].any() and not _untouched(mine[name]) for name in drawn),
            f"{what}: expected numbers that are drawn",
        )
        _unlike(what, mine, drawn)
        expect_that(
            reply["again"],
            f"{what}, with a generator of the same seed: expected the same numbers, got others",
            "The numbers come from elsewhere: `normal_(…, generator=generator)`.",
        )
        expect_that(
            reply["other"],
            f"{what}, with a generator of another seed: expected other numbers, got the same",
            "Each generator gives the same: draw from the one that is handed over, as it comes.",
        )
        expect_that(
            reply["used"],
            f"{what}: the generator is as it was before, so nothing was drawn from it",
            "Only its seed was read, and another generator drew: after this the one handed over "
            "would give the same numbers again.",
        )
