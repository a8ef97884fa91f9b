"""8.7 · LoRA: a layer that stays, two thin matrices beside it, and a model made of such layers."""

from functools import partial

import numpy as np

from zerotohero.course.checks.assistant._e8_7_lora import (
    CRASHES,
    counts,
    expect_layers,
    expect_scale,
    expect_shapes,
    some_layer,
    some_model,
    through,
)
from zerotohero.course.exercise import Exercise, Mistake, array, expect, expect_that, number

MOST = 0.01

lora = Exercise(
    number="8.7",
    title="LoRA",
    difficulty=3,
    minutes=40,
    practises="changing layers of a model that is there, and knowing what learns",
    answers=("LoRALinear", "add_lora", "merge_lora"),
    adapters="assistant_models",
    changes=("model",),
    summary=(
        "Fine-tune a model by less than a hundredth of its numbers. Beside a linear layer that "
        "stays, a product of two thin matrices learns, and is added to the layer in the end."
    ),
    statement=r"""
`LoRALinear(linear: Linear, rank: int, alpha: float)`, a `nn.Module`

It keeps `linear`, a `nn.Linear` of i inputs and o outputs, whose weight W and bias (there may be
none) learn no longer: `requires_grad` is False. Beside these it has two parameters that do, in
`linear`'s data type: `A`, (rank, i), random numbers, and `B`, (o, rank), zeros.

- `forward(x)` takes (…, i) to (…, o): what `linear` gives, plus $\frac{alpha}{rank}\, B A x$.
  Gradients go on to x through both.
- `merged()` returns a new `nn.Linear` that computes the same: the product is added to W, and it has
  a bias if `linear` has one. The `LoRALinear` stays as it was, and the two share no numbers.

`add_lora(model: Module, names: list[str], rank: int, alpha: float) -> float`

Put a `LoRALinear` in place of each `nn.Linear` in the model, at whatever depth, whose own name, the
last part of its full name, is one of `names`: with `["value"]` that is `blocks.0.value`, and
neither `blocks.0.value_out` nor a LayerNorm called `value`. All else stays where it is, and
nothing but the A and B learns. Return the **share that learns**: the numbers in parameters that do,
divided by all numbers in the model's parameters. A and B are in both counts, and a table that two
layers share counts once. `model` is changed.

`merge_lora(model: Module) -> None`

Put the merged layer in place of each `LoRALinear`, at whatever depth. The model then computes the
same as before, and its parameters have the names that they had before `add_lora`.

The next cell holds the model of the check, for you to try. There, at rank 2, at most 1 % may learn.

```python
model = Small(V=80, C=76, n_layer=2, seed=1)
before = model(idx)
add_lora(model, ["query", "value"], rank=2, alpha=8)    # 0.0090…
model(idx) - before                                     # zeros: nothing has changed yet
```
""",
    hints=(
        "With B at zero the product is zero, whatever A is; were A zero too, neither would ever "
        "get a gradient. What of a layer decides whether it learns?",
        "`linear.requires_grad_(False)` freezes a layer, `model.requires_grad_(False)` a model, "
        "before the new layers are put in. `for parent in model.modules(): for name, child in "
        "parent.named_children()` finds each layer with the one that it hangs in; make a list of "
        "these before you change any.",
        "`self.linear(x) + self.scale * (x @ self.A.T @ self.B.T)`; `setattr(parent, name, "
        "LoRALinear(child, rank, alpha))`. For `merged`: `copy.deepcopy(self.linear)`, and with "
        "`torch.no_grad()`, `+=` to its weight. `model.parameters()` yields a shared table once.",
    ),
)

OUT_OF_THE_SUM = "The layer that is kept is left out of the sum."
BIAS_LOST = "The bias of the layer that is kept is lost."


def _expect_frozen(learn: list) -> None:
    more = set(learn) - {"A", "B"}
    hint = None
    if more and all(name.endswith(("weight", "bias")) for name in more):
        hint = "The layer that is kept learns on: `linear.requires_grad_(False)`."
    elif more:
        hint = "A and B are all that learns: the layer has a parameter too many."
    expect("the layer's parameters that learn", learn, ["A", "B"], hint=hint)


@lora.case(
    "at the start the same function",
    points=2,
    adapter="layer",
    inputs=lambda rng: some_layer(rng, True, (2, 4), taught=False),
    crashes=CRASHES,
)
def same_at_the_start(given, got):
    A, B = got["begin"]["A"], got["begin"]["B"]
    expect_shapes(given, A, B)
    expect_that(
        bool((A != 0).any()),
        "A: expected random numbers, got zeros alone",
        "With A and B both zero, the gradient of each is zero, and they stay so: A is random.",
    )
    expect_that(
        not (B != 0).any(),
        "B: expected zeros, got others",
        "B is random, so that the layer computes something else from the first step on."
        if len(np.unique(B)) > 2
        else "B isn't zero, so that the layer computes something else from the first step on.",
    )
    expect_that(
        len(np.unique(A)) == A.size,
        f"A: expected random numbers, got {len(np.unique(A))} different ones among {A.size}",
        "Equal rows of A learn the same, and are as good as one: draw them at random.",
    )
    _expect_frozen(got["learn"])
    of = partial(through, given | {"A": A, "B": B})
    kept = [Mistake(of(1, 0, bias), OUT_OF_THE_SUM) for bias in (True, False)]
    bias_lost = Mistake(of(bias=False), BIAS_LOST)
    expect("forward", got["y"], of(), mistakes=[*kept, bias_lost])


def learned_part_added(given, got):
    W, A, B, x = (given[name] for name in ("weight", "A", "B", "x"))
    alpha, rank = given["alpha"], given["rank"]
    s, y, of = alpha / rank, through(given), partial(through, given)
    mistakes = [
        Mistake(of(1), "The product isn't scaled: alpha / rank stands in front of it."),
        Mistake(of(alpha), "The product is multiplied by alpha, and not divided by the rank."),
        Mistake(of(1 / rank), "The product is divided by the rank: alpha is left out."),
        Mistake(of(rank / alpha), "The scale is upside down: alpha / rank."),
        Mistake(of(alpha * rank), "The rank multiplies: alpha / rank is the scale."),
        Mistake(of(alpha / rank**0.5), "Divided by the root of the rank: by the rank itself."),
        Mistake(of(alpha // rank), "`//` makes a whole number of the scale: divide by `/`."),
        Mistake(of(0), "A and B have no part in what comes out: their product is added."),
        Mistake(of(s, 0), OUT_OF_THE_SUM),
        Mistake(of(s, 0, False), OUT_OF_THE_SUM),
        Mistake(of(s, bias=False), BIAS_LOST),
        Mistake(of(-s), "The product is taken away: it is added."),
    ]
    expect("forward", got["y"], y, mistakes=mistakes)
    _expect_frozen(got["learn"])
    dy = 2 * y
    full = dy @ (W + s * B @ A)
    expect(
        "the gradient of x",
        got["x_grad"],
        full,
        mistakes=[
            Mistake(
                dy @ (s * B @ A),
                "No gradient reaches x through the layer that is kept: it is "
                "its weights that don't learn, and `torch.no_grad()` stops x's gradient too.",
            ),
            Mistake(dy @ W, "No gradient reaches x through A and B: don't detach it."),
        ],
    )
    flat, rows = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    for name, want in (("A", s * B.T @ flat.T @ rows), ("B", s * flat.T @ (rows @ A.T))):
        expect(f"the gradient of {name}", got[f"{name}_grad"], want)


for name, bias, shape in (
    ("A and B beside the layer", True, (2, 4)),
    ("without a bias", False, ()),
):
    lora.case(
        name,
        points=2 if bias else 1,
        adapter="layer",
        inputs=lambda rng, bias=bias, shape=shape: some_layer(rng, bias, shape),
        crashes=CRASHES,
    )(learned_part_added)


def merged_computes_the_same(given, got):
    W, BA = given["weight"], given["B"] @ given["A"]
    s, y = given["alpha"] / given["rank"], through(given)
    expect(
        "merged().weight",
        got["merged"]["weight"],
        W + s * BA,
        mistakes=[
            Mistake(W, "The product isn't added to the weight."),
            Mistake(s * BA, "That is the product alone: the weight of the layer belongs to it."),
            Mistake(W + BA, "`merged` forgets the scale, alpha / rank."),
            Mistake(W + 2 * s * BA, "The product is in the weight twice."),
            Mistake(W - s * BA, "The product is taken away: it is added."),
        ],
    )
    came, bias = got["merged"]["bias"], given["bias"]
    expect_that(
        (came is None) == (bias is None),
        f"merged(): expected {'no bias, got one' if bias is None else 'a bias, got none'}",
        "There is no bias in `linear`: `bias=False`."
        if bias is None
        else "The bias of the layer has to come along.",
    )
    expect("merged().bias", came, bias)
    expect("merged()(x)", got["merged_y"], y)
    stays = "`merged` has written into the layer that is kept: begin with a copy of it."
    expect("forward", got["y"], y)
    expect("forward, after merged()", got["again"], y, hint=stays)
    expect_that(
        not got["changed"],
        f"merged(): expected that the LoRALinear stays as it was; changed: {got['changed']}",
        "The product was moved into the layer that is kept, and B made zero: what `merged` returns "
        "is a new layer.",
    )
    expect("merged().weight, asked again", got["twice"], W + s * BA, hint=stays)
    expect(
        "forward, after 1 was added to all numbers of the merged layer",
        got["apart"],
        y,
        hint="The merged layer shares a parameter with the layer that is kept: give it its own.",
    )


for bias in (True, False):
    lora.case(
        "merged into one layer" if bias else "merged, without a bias",
        points=1,
        adapter="layer",
        inputs=lambda rng, bias=bias: some_layer(rng, bias, (3,)),
        crashes=CRASHES,
    )(merged_computes_the_same)


# --- a model --------------------------------------------------------------------------------------


def small_share_learns(given, got):
    of = counts(given)
    expect_layers(given, got, of)
    learn = sorted(f"{name}.{part}" for name in of["layers"] for part in "AB")
    others = [name for name in got["learn"] if name not in learn]
    expect_that(
        got["learn"] == learn,
        f"what learns: expected the {len(learn)} A and B, got {len(got['learn'])} parameters"
        + (f", {others[0]} among them" if others else ""),
        "The rest of the model learns on: `model.requires_grad_(False)` before anything is put in."
        if len(got["learn"]) > len(learn)
        else "A and B don't learn: freeze the model first, and then put the layers in."
        if not got["learn"]
        else None,
    )
    share, total = of["learn"] / of["total"], of["total"]
    tied = given["sizes"]["V"] * given["sizes"]["C"]
    total += of["learn"]
    share = of["learn"] / total
    mistakes = [
        (of["learn"] / (total - of["learn"]), "A and B are missing in the number of all."),
        (of["learn"] / (total + tied), "The table that embedding and head share is counted twice."),
        (100 * share, "A share, and no percentage: between 0 and 1."),
        (float(of["learn"]), "The number itself: divide it by the number of all."),
        (1 - share, "That is the share that does not learn."),
        (
            len(learn) / (len(of["names"]) + len(learn)),
            "Tensors are counted: count the numbers in them, `p.numel()`.",
        ),
    ]
    expect(
        "the share that learns",
        number("add_lora", got["share"]),
        share,
        mistakes=[Mistake(value, hint) for value, hint in mistakes],
    )
    expect_that(share <= MOST, "")  # of the inputs: the card promises it
    expect("the model's logits at the start", got["after"], got["before"], tol=1e-5)


lora.case(
    "a model in which at most 1 % learns",
    points=3,
    adapter="lora_in_a_model",
    inputs=lambda rng: some_model(rng, ["query", "value", "mlp"]),
    crashes=CRASHES,
)(small_share_learns)


@lora.case(
    "taught, and merged",
    points=2,
    adapter="lora_in_a_model",
    inputs=lambda rng: some_model(
        rng, [str(rng.choice(["query", "value"])), "2", "out"], int(rng.integers(1, 4)), steps=2
    ),
    crashes=CRASHES,
)
def taught_and_merged(given, got):
    of = counts(given)
    expect_layers(given, got, of)
    losses = array("the losses", got["losses"])
    expect_that(
        losses[-1] < losses[0],
        f"two steps: expected a loss that falls, got {losses[0]:.6f} and then {losses[-1]:.6f}",
    )
    expect_scale(given, got, of)
    expect_that(
        not got["left"],
        f"merge_lora: expected no LoRALinear in the model, got {len(got['left'])} of them",
        "Go through all modules, and put what `merged` returns where the LoRALinear hangs.",
    )
    names = sorted(set(got["names"]) ^ set(of["names"]))
    expect_that(
        not names,
        "merge_lora: expected the names that the parameters had before"
        + (f"; {names[0]} is {'missing' if names[0] in of['names'] else 'new'}" if names else ""),
        "The merged layer hangs somewhere else: `setattr(parent, name, layer.merged())`."
        if set(names) - set(of["names"])
        else None,
    )
    expect(
        "the logits after merge_lora",
        got["merged"],
        got["taught"],
        tol=1e-4,
        mistakes=[Mistake(got["before"], "What was learned is lost: the old layers are back.")],
    )
    want = [f"{name}.weight" for name in of["layers"]]
    expect("the parameters that training has changed", got["changed"], want)
