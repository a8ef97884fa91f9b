"""Wrong answers to 10.1, GPT-2's weights under other names and in other shapes."""

import re

import torch

from misconceptions import wrong

QKV = ("query", "key", "value")
TURNED = {"attn.c_proj": "mix", "mlp.c_fc": "up", "mlp.c_proj": "down"}
NORMS = {"ln_1": "norm_1", "ln_2": "norm_2"}


def copied(w):
    return w.clone(memory_format=torch.contiguous_format)


def is_mask(name):
    return name.endswith((".attn.bias", ".attn.masked_bias"))


def loading(
    mask=is_mask,
    prefix=lambda name: name.removeprefix("transformer."),
    turn=lambda w, name: w.T,
    three=lambda w: w.T.chunk(3),
    order=QKV,
    norms=NORMS,
    kinds=("weight", "bias"),
    table=lambda w: w,
    head=lambda file, new: (
        file.pop("lm_head.weight").clone() if "lm_head.weight" in file else new["tokens.weight"]
    ),
    place=lambda i, n: i,
    blocks=range,
    left=lambda file: bool(file),
    missing=ValueError,
    copy=copied,
):
    """Return from_gpt2 with one thing wrong."""

    def from_gpt2(stored, n_layer):
        file = {prefix(name): w for name, w in stored.items() if not mask(name)}
        new = {}
        try:
            new["tokens.weight"] = copy(table(file.pop("wte.weight")))
            new["positions.weight"] = copy(file.pop("wpe.weight"))
            for i in blocks(n_layer):
                for kind, other in zip(("weight", "bias"), kinds, strict=True):
                    for theirs, ours in norms.items():
                        name = f"blocks.{i}.{ours}.{other}"
                        new[name] = copy(file.pop(f"h.{place(i, n_layer)}.{theirs}.{kind}"))
                    for theirs, ours in TURNED.items():
                        w = file.pop(f"h.{place(i, n_layer)}.{theirs}.{kind}")
                        new[f"blocks.{i}.{ours}.{kind}"] = copy(turn(w, ours) if w.ndim > 1 else w)
                    w = file.pop(f"h.{place(i, n_layer)}.attn.c_attn.{kind}")
                    parts = three(w) if w.ndim > 1 else w.chunk(3)
                    for ours, part in zip(order, parts, strict=True):
                        new[f"blocks.{i}.{ours}.{kind}"] = copy(part)
            for kind in ("weight", "bias"):
                new[f"norm.{kind}"] = copy(file.pop(f"ln_f.{kind}"))
        except KeyError as error:
            raise missing(f"{error} is missing") from None
        new["head.weight"] = head(file, new)
        if left(file):
            raise ValueError(f"{', '.join(file)} is unknown")
        return new

    return from_gpt2


@wrong("10.1", "being square it has the right shape")
def square_one_as_it_is():
    return loading(turn=lambda w, name: w if name == "mix" else w.T)


@wrong("10.1", "`reshape` and `view` keep the numbers in their order")
def reshaped():
    return loading(turn=lambda w, name: w.reshape(w.shape[::-1]))


@wrong("10.1", "Queries, keys and values have changed places")
def keys_first():
    return loading(order=("key", "query", "value"))


@wrong("10.1", "Every third column was taken")
def by_turns():
    return loading(three=lambda w: [w[:, i::3].T for i in range(3)])


@wrong("10.1", "cuts the rows up: split the columns")
def rows_cut():
    return loading(three=lambda w: [p.T for p in w.reshape(3, len(w), len(w))])


@wrong("10.1", "ln_1 and ln_2 have changed places")
def norms_swapped():
    return loading(norms={"ln_1": "norm_2", "ln_2": "norm_1"})


@wrong("10.1", "weight and bias have changed places")
def gain_for_bias():
    def from_gpt2(stored, n_layer):
        new = loading()(stored, n_layer)
        new["norm.weight"], new["norm.bias"] = new["norm.bias"], new["norm.weight"]
        return new

    return from_gpt2


@wrong("10.1", "h.10 comes before h.2")
def sorted_as_text():
    return loading(place=lambda i, n: sorted(range(n), key=str)[i])


@wrong("10.1", "Tables, and lm_head, are no Conv1D")
def every_matrix_turned():
    def head(file, new):
        w = file.pop("lm_head.weight", None)
        return new["tokens.weight"] if w is None else copied(w.T)

    return loading(head=head, table=lambda w: w.T)


@wrong("10.1", "Causal masks were taken for weights")
def masks_kept():
    def from_gpt2(stored, n_layer):
        masks = {n: w.clone() for n, w in stored.items() if n.endswith(".attn.bias")}
        names = {n: re.sub(r".*h\.(\d+)", r"blocks.\1", n) for n in masks}
        return loading()(stored, n_layer) | {names[n]: w for n, w in masks.items()}

    return from_gpt2


@wrong("10.1", "`c_attn.bias` has gone with the masks")
def too_many_masks():
    return loading(mask=lambda name: name.endswith(("attn.bias", "masked_bias")), missing=KeyError)


@wrong("10.1", "`name.removeprefix('transformer.')` serves both")
def always_without_prefix():
    return loading(prefix=lambda name: name, missing=KeyError)


@wrong("10.1", "The last block is missing")
def one_block_too_few():
    return loading(blocks=lambda n: range(n - 1), left=lambda file: False)


@wrong("10.1", "it is no tied one")
def always_tied():
    def head(file, new):
        file.pop("lm_head.weight", None)
        return new["tokens.weight"]

    return loading(head=head)


@wrong("10.1", "and not where the numbers are equal")
def tied_where_equal():
    def head(file, new):
        own = file.pop("lm_head.weight", new["tokens.weight"])
        return new["tokens.weight"] if torch.equal(own, new["tokens.weight"]) else own.clone()

    return loading(head=head)


@wrong("10.1", "part with the first update")
def copy_of_the_table():
    def head(file, new):
        return file.pop("lm_head.weight", new["tokens.weight"]).clone()

    return loading(head=head)


@wrong("10.1", "A file without lm_head.weight is tied")
def never_tied():
    return loading(head=lambda file, new: file.pop("lm_head.weight").clone())


@wrong("10.1", "The head is missing")
def head_left_out():
    def from_gpt2(stored, n_layer):
        new = loading()(stored, n_layer)
        del new["head.weight"]
        return new

    return from_gpt2


@wrong("10.1", "the model would go on with random numbers")
def what_is_missing_is_passed_over():
    def from_gpt2(stored, n_layer):
        full = dict(stored)
        for _ in range(99):
            try:
                return loading()(full, n_layer)
            except ValueError as error:
                if not (found := re.match("'(.*)' is missing", str(error))):
                    raise
                full[found[1]] = torch.randn(3)

    return from_gpt2


@wrong("10.1", "It isn't noticed that a whole block is missing")
def blocks_counted_in_the_file():
    def from_gpt2(stored, n_layer):
        found = [int(m[1]) for n in stored if (m := re.search(r"\bh\.(\d+)", n))]
        return loading()(stored, min(n_layer, 1 + max(found)))

    return from_gpt2


@wrong("10.1", "see in the end whether all of the file was used")
def what_is_unknown_is_passed_over():
    return loading(left=lambda file: False)


@wrong("10.1", "A block beyond n_layer is passed over")
def further_blocks_passed_over():
    def left(file):
        return any(
            not name.startswith("h.")
            or "q_norm" in name
            or "c_gate" in name
            or "cross" in name
            or "adapter" in name
            for name in file
        )

    return loading(left=left)


@wrong("10.1", "A name that only ends like a known one")
def known_by_the_end():
    ends = ("ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias")
    return loading(left=lambda file: any(not n.endswith(ends) for n in file) or len(file) > 2)


@wrong("10.1", "It went with the masks")
def every_unknown_bias_is_a_mask():
    return loading(mask=lambda name: name.endswith("bias") and not re.search(r"(c|ln)_", name))


@wrong("10.1", "look at the beginning alone")
def known_by_the_beginning():
    starts = ("wte.weight", "h.0.ln_1.weight", "h.1.attn.c_attn.bias")
    return loading(left=lambda file: any(not n.startswith(starts) for n in file))


@wrong("10.1", "is also that of `h.10`")
def found_by_the_beginning():
    def from_gpt2(stored, n_layer):
        new = loading()(stored, n_layer)
        for i in range(n_layer):
            last = max(j for j in range(n_layer) if str(j).startswith(str(i)))
            for name in [n for n in new if n.startswith(f"blocks.{last}.")]:
                new[f"blocks.{i}." + name.split(".", 2)[2]] = new[name].clone()
        return new

    return from_gpt2


@wrong("10.1", "A KeyError says a name and not what is wrong")
def key_error():
    return loading(missing=KeyError)


@wrong("10.1", "The dtype has changed")
def always_float32():
    return loading(copy=lambda w: copied(w.float()))


@wrong("10.1", "`w.T` is the same memory read in another order")
def clone_keeps_the_order():
    return loading(copy=lambda w: w.clone())


@wrong("10.1", "It is the file's own memory")
def tables_not_copied():
    return loading(copy=lambda w: w.contiguous())


@wrong("10.1", "after `chunk` or `split` each is `clone`d")
def three_in_one_memory():
    def copy(w):
        is_third = w.is_contiguous() and w._base is not None and w._base.numel() == 3 * w.numel()
        return w if is_third else copied(w)

    return loading(three=lambda w: copied(w.T).chunk(3), copy=copy)
