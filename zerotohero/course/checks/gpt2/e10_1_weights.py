"""10.1 · GPT-2's weights under other names and in other shapes: renamed, turned, split and tied."""

from functools import partial

import numpy as np

from zerotohero.course.adapters.shared import what_came
from zerotohero.course.checks.gpt.shared import expect_slowly
from zerotohero.course.checks.gpt2._e10_1_files import (
    HEAD,
    MATRICES,
    TABLE,
    drawn,
    right,
    text_order,
    wrong_values,
)
from zerotohero.course.exercise import NOTHING, Exercise, Wrong, expect_that

weights = Exercise(
    number="10.1",
    title="Load weights",
    difficulty=3,
    minutes=40,
    practises="moving weights between two models, where most mistakes have the right shape",
    answers=("from_gpt2",),
    summary=(
        "Rename, transpose, split and tie GPT-2's weights, so that a model with other names and "
        "shapes gives the same logits. Whatever is missing or unknown is refused."
    ),
    statement="""
`from_gpt2(stored: dict[str, Tensor], n_layer: int) -> dict[str, Tensor]`

`stored` is what stands in a file of GPT-2, as Hugging Face writes it. `SeparateGPT` in the next
cell computes the same as GPT-2, with matrices of its own for queries, keys and values. Return its
weights, each under its name; i counts the blocks, from 0 to n_layer − 1:

| in the file | shape there | in SeparateGPT | shape there |
| --- | --- | --- | --- |
| `wte.weight`, `wpe.weight` | (V, C), (T, C) | `tokens.weight`, `positions.weight` | the same |
| `h.i.ln_1.weight`, `.bias` | (C,) | `blocks.i.norm_1.weight`, `.bias` | the same |
| `h.i.attn.c_attn.weight` | (C, 3C) | `blocks.i.query.weight`, `key`, `value` too | (C, C) each |
| `h.i.attn.c_attn.bias` | (3C,) | `blocks.i.query.bias`, `key`, `value` too | (C,) each |
| `h.i.attn.c_proj.weight`, `.bias` | (C, C), (C,) | `blocks.i.mix.weight`, `.bias` | the same |
| `h.i.ln_2.weight`, `.bias` | (C,) | `blocks.i.norm_2.weight`, `.bias` | the same |
| `h.i.mlp.c_fc.weight` | (C, 4C) | `blocks.i.up.weight` | (4C, C) |
| `h.i.mlp.c_fc.bias` | (4C,) | `blocks.i.up.bias` | the same |
| `h.i.mlp.c_proj.weight` | (4C, C) | `blocks.i.down.weight` | (C, 4C) |
| `h.i.mlp.c_proj.bias` | (C,) | `blocks.i.down.bias` | the same |
| `ln_f.weight`, `.bias` | (C,) | `norm.weight`, `.bias` | the same |
| `lm_head.weight`, if it is there | (V, C) | `head.weight` | the same |

1. GPT-2's matrices in the blocks, `c_attn`, `c_proj` and `c_fc`, are `Conv1D`: they compute x @ w,
   with w of shape **(in, out)**. `nn.Linear` computes x @ wᵀ, with w of shape **(out, in)**. This
   holds for square ones, too. Tables and `lm_head` are no `Conv1D`.
2. The 3C columns of `c_attn` are first those of all queries, then of all keys, then of all values.
3. In some files every name but `lm_head.weight` begins with `transformer.`; in others none does.
4. Some files hold causal masks, `h.i.attn.bias` and `h.i.attn.masked_bias`. They are no weights:
   leave them out.
5. Without a `lm_head.weight` in the file the head is **tied**: `head.weight` is then the same
   tensor as `tokens.weight`, not a copy. Where the file has one, it is the head, a tensor of its
   own, even if it holds the table's numbers.
6. If another name is missing or one is unknown, a block that n_layer doesn't count among them,
   `ValueError` is raised. Half a model looks as sound as a whole one.
7. Each tensor has the dtype that it has in the file, is contiguous, and has memory of its own: it
   shares none with the file, nor with another one, but for the tied table.

```python
new = from_gpt2(stored, n_layer=12)
new["blocks.11.up.weight"].shape            # (4C, C), where the file has (C, 4C)
new["head.weight"] is new["tokens.weight"]  # True: the file had no lm_head.weight
```
""",
    hints=(
        "Which of the file's tensors have the shape (in, out)? Their names say it, and their "
        "shapes don't: `c_proj` of attention is square. And how does `c_attn` look once it is "
        "transposed, and where are the keys then?",
        "First clean the names: no prefix, no masks (`c_attn.bias` isn't one). Then take out what "
        "you need by name with `pop`, from a copy of the dict: a KeyError is something missing, "
        "and what is left in the end is unknown. `w.T` and the parts of `chunk` are views of the "
        "same memory: `w.T.contiguous()` makes a tensor of its own, and so does `b.clone()`.",
        "`files = {k.removeprefix('transformer.'): v for k, v in stored.items()}`, without those "
        "whose name ends in `.attn.bias` or `.attn.masked_bias`. For a matrix "
        "`w.T.contiguous()`; for `c_attn` "
        "`[part.contiguous() for part in w.T.chunk(3)]` and `[part.clone() for part in "
        "b.chunk(3)]`. In the end `new['head.weight'] = "
        "files.pop('lm_head.weight').clone() if 'lm_head.weight' in files else "
        "new['tokens.weight']`, and `if files: raise ValueError(…)`.",
    ),
)

PREFIX = (
    "In some files names begin with `transformer.`, and in others they don't: "
    "`name.removeprefix('transformer.')` serves both."
)
CRASHES = {
    r"(Key|Value)Error: .*attn\.c_attn\.bias": "`c_attn.bias` has gone with the masks: a name that "
    "ends in `attn.bias` may be `h.0.attn.bias` or `h.0.attn.c_attn.bias`.",
    "(Key|Value)Error: .*(wte|wpe)": PREFIX,
    "(Key|Value)Error: .*lm_head": "A file without lm_head.weight is tied: the head is the table.",
}


def _tensors(what: str, got) -> dict:
    if not isinstance(got, dict):
        hint = NOTHING if not got else None
        raise Wrong(f"{what}: expected a dict of tensors, got {what_came(got)}", hint)
    return got


def _about(file: dict) -> str:
    prefix = "with" if any(n.startswith("transformer.") for n in file["stored"]) else "without"
    n = file["n_layer"]
    return f'from_gpt2 of {n} block{"s" * (n > 1)}, names {prefix} "transformer."'


NO_HEAD = "The head is missing: a model with a tied head has it under both names."


def _named(file: dict, mine: dict) -> None:
    """Expect the names of SeparateGPT, all of them and no others."""
    what, want = _about(file), right(**file)
    missing = [name for name in want if name not in mine]
    if missing:
        hint = None
        if any(f"transformer.{name}" in mine for name in missing) or not mine:
            hint = PREFIX
        elif all(name.endswith(("query.bias", "key.bias", "value.bias")) for name in missing):
            hint = "`c_attn.bias` has gone with the masks: its name, too, ends in `attn.bias`. "
            hint += "The masks' ends in `.attn.bias`."
        elif missing == [HEAD]:
            hint = NO_HEAD
        elif all("." + str(file["n_layer"] - 1) + "." in name for name in missing):
            hint = "The last block is missing: blocks count from 0 to n_layer − 1."
        raise Wrong(f"{what}: {missing[0]} is missing, one of {len(missing)}", hint)
    more = sorted(mine.keys() - want.keys())
    masks = any("bias" in name and ("attn" in name or "mask" in name) for name in more)
    expect_that(
        not more,
        f"{what}: {', '.join(more[:3])} is no weight of SeparateGPT",
        "Causal masks were taken for weights: `.attn.bias` and `.attn.masked_bias` are left out."
        if masks
        else None,
    )


def _equal(file: dict, mine: dict, names: list[str]) -> None:
    what, want = _about(file), right(**file)
    for name in names:
        expect_slowly(
            f"{what}: {name}",
            mine.get(name),
            want[name],
            partial(wrong_values, file, name),
            tol=1e-7,
        )


def _files(rng) -> dict:
    """Return a file with masks and without the prefix, and one the other way round."""
    n = int(rng.integers(2, 4))
    return {
        "files": [drawn(rng, n, masks=True), drawn(rng, 5 - n, prefix="transformer.")],
    }


def _deep(rng) -> dict:
    """Return a file of more than ten blocks."""
    return {"files": [drawn(rng, int(rng.integers(11, 13)))]}


@weights.case("tables and norms", points=2, adapter="loaded", inputs=_files, crashes=CRASHES)
def renamed(given, got):
    for file, reply in zip(given["files"], got["files"], strict=True):
        mine = _tensors(_about(file), reply["tensors"])
        _named(file, mine)
        _equal(
            file, mine, [n for n in right(**file) if n.split(".")[-2] not in (*MATRICES, "head")]
        )


@weights.case(
    "matrices and their biases", points=4, adapter="loaded", inputs=_deep, crashes=CRASHES
)
def turned_and_split(given, got):
    for file, reply in zip(given["files"], got["files"], strict=True):
        mine = _tensors(_about(file), reply["tensors"])
        names = [n for n in right(**file) if n.split(".")[-2] in MATRICES]
        moved = text_order(file, mine, names)
        expect_that(
            not moved,
            f"{_about(file)}: {moved}",
            "The blocks are in the order of text, in which h.10 comes before h.2: read the number.",
        )
        _equal(file, mine, names)


def _heads(rng) -> dict:
    files = [
        drawn(rng, n_layer=1, prefix="transformer.", head=True),
        drawn(rng, n_layer=1, head=True),
        drawn(rng, n_layer=1, masks=True),
    ]
    same = drawn(rng, n_layer=1, head=True)
    same["stored"]["lm_head.weight"] = same["stored"]["wte.weight"].copy()
    return {"files": [*(files[i] for i in rng.permutation(3)), same]}


@weights.case(
    "a tied head, and one of its own", points=2, adapter="loaded", inputs=_heads, crashes=CRASHES
)
def tied_or_not(given, got):
    for file, reply in zip(given["files"], got["files"], strict=True):
        mine, own = _tensors(_about(file), reply["tensors"]), "lm_head.weight" in file["stored"]
        what = f"{_about(file)} and {'a' if own else 'no'} lm_head.weight"
        expect_that(HEAD in mine, f"{what}: {HEAD} is missing", NO_HEAD)
        _equal(file, mine, [TABLE, HEAD])
        expect_that(
            own or reply["tied"],
            f"{what}: expected that {HEAD} is {TABLE}, and it is another tensor",
            "Hand over one tensor under both names, `new['head.weight'] = new['tokens.weight']`: "
            "two with the same numbers part with the first update.",
        )
        expect_that(
            not (own and reply["tied"]),
            f"{what} of the table's numbers: expected that {HEAD} is a tensor of its own",
            "It is tied where the file has no lm_head.weight, and not where the numbers are equal.",
        )


REFUSED = {
    "missing": "It isn't noticed that a tensor is missing, and the model would go on with random "
    "numbers there.",
    "one block too few": "It isn't noticed that a whole block is missing.",
    "unknown": "What is unknown is passed over: see in the end whether all of the file was used.",
    "one block too many": "A block beyond n_layer is passed over: it is unknown as well.",
    "unknown, with a known end": "A name that only ends like a known one is unknown: compare whole "
    "names, or match them with `re.fullmatch`.",
    "unknown, with a known beginning": "A name that only begins like a known one is unknown: "
    "`re.match` and `startswith` look at the beginning alone.",
    "unknown, with a mask's ending": "It went with the masks: those are `h.i.attn.bias` and "
    "`h.i.attn.masked_bias`, and another bias that isn't known is no mask.",
}
UNKNOWN = ("h.0.attn.q_norm.weight", "score.weight", "h.1.mlp.c_gate.bias")
KNOWN_START = ("h.0.ln_1.weight_g", "wte.weight.scale", "h.1.attn.c_attn.bias.absmax")
MASK_END = ("lm_head.bias", "h.0.attn.rotary.bias", "h.1.attn.out.bias")
KNOWN_END = ("h.0.cross.ln_1.weight", "h.1.adapter.ln_2.bias", "old.wte.weight")


def _faulty(rng) -> dict:
    file = drawn(rng, n_layer=2)
    faults = [["missing", name] for name in file["stored"] if "h.0." not in name]
    faults += [["one block too few", ""]]
    faults += [["unknown", name] for name in UNKNOWN] + [["one block too many", ""]]
    faults += [["unknown, with a known end", name] for name in KNOWN_END]
    faults += [["unknown, with a known beginning", name] for name in KNOWN_START]
    faults += [["unknown, with a mask's ending", name] for name in MASK_END]
    return {"files": [file], "faults": faults}


@weights.case(
    "what is missing or unknown", points=2, adapter="refused", inputs=_faulty, crashes=CRASHES
)
def strict(given, got):
    (file,) = given["files"]
    mine = _tensors(_about(file), got["files"][0]["tensors"])
    _named(file, mine)
    _equal(file, mine, list(right(**file)))
    for (fault, name), came in zip(given["faults"], got["raised"], strict=True):
        hint = REFUSED[fault] if came == "nothing" else None
        if came == "KeyError":
            hint = "A KeyError says a name and not what is wrong: `except KeyError` and raise a "
            hint += "ValueError that does."
        expect_that(
            came == "ValueError",
            f"a file {f'in which {name} is' if name else 'with'} {fault}: expected ValueError, "
            f"{came} was raised",
            hint,
        )


def _halves(rng) -> dict:
    half, whole = drawn(rng, n_layer=1), drawn(rng, n_layer=1, head=True)
    half["stored"] = {name: w.astype(np.float16) for name, w in half["stored"].items()}
    return {"files": [half, whole]}


@weights.case("float16, and memory of its own", points=2, adapter="loaded", inputs=_halves)
def of_its_own(given, got):
    for file, reply in zip(given["files"], got["files"], strict=True):
        mine, want = _tensors(_about(file), reply["tensors"]), right(**file)
        _named(file, mine)
        _equal(file, mine, list(want))
        for name, value in want.items():
            kind = str(np.asarray(mine[name]).dtype)
            expect_that(
                kind == value.dtype,
                f"{_about(file)}: {name}: expected {value.dtype} as in the file, got {kind}",
                "The dtype has changed: rename, turn and copy, and calculate nothing.",
            )
        for name in want:
            expect_that(
                name not in reply["strided"],
                f"{_about(file)}: {name} is not contiguous",
                "`w.T` is the same memory read in another order, which `clone` keeps: "
                "`w.T.contiguous()`.",
            )
            other = reply["shared"].get(name)
            hint = "It is the file's own memory: training would write into `stored`. `clone` it."
            if {name, other} == {TABLE, HEAD}:
                hint = "These are two tensors in one memory, where the card asks for one tensor."
            elif other in want:
                hint = "Two tensors lie in one memory: after `chunk` or `split` each is `clone`d."
            expect_that(
                other is None, f"{_about(file)}: {name} shares its memory with {other}", hint
            )
