"""11.6 · Adapters and a low-rank head: the same model at the start, merged at the end."""

from functools import partial

import numpy as np

from zerotohero.course.checks.numpy_gpt._e11_6_wrong import (
    SLIPS,
    adapted,
    almost_enough,
    flat,
    known_sizes,
    largest,
    sizes_of,
    wrong_heads,
    wrongly_adapted,
)
from zerotohero.course.checks.numpy_gpt.shared import expect_array, small_gpt
from zerotohero.course.exercise import Exercise, Wrong, expect, expect_that

adapters = Exercise(
    number="11.6",
    title="Adapters, and a head that is merged",
    difficulty=4,
    minutes=50,
    practises="adding to a network what changes nothing yet, and counting what is trained",
    answers=("adapter", "add_adapters", "adapter_size", "merge_head"),
    summary=(
        "Give a trained GPT small adapters and a low-rank change of its head, of at most 4 % of "
        "its numbers. At the start it is the same model, and at the end the head is a plain one."
    ),
    statement="""
`adapter(x: ndarray, down: dict, up: dict) -> ndarray`

x plus what two linear layers with a GELU in between make of it: `down` takes C channels to r, `up`
takes r back to C; each holds `"w"`, (in, out), and `"b"`, (out,). Axes in front of C, as many as
there are, or none, stay as they are. GELU is GPT-2's,
$x / 2 \\cdot (1 + \\tanh(\\sqrt{2/\\pi}\\,(x + 0.044715\\, x^3)))$.

`add_adapters(params: dict, r: int, rng: Generator) -> dict`

`params` are those of 11.3, and `params["head"]`, an output layer of its own: `"w"`, (C, V), and
`"b"`. Return new ones, with all that was there, unchanged, and

- in each block two dicts of `"down"` and `"up"`, as above: `"adapter_1"` takes what attention
  gives, and `"adapter_2"` what the MLP gives, before it is added to x;
- in the head the matrices `"down"`, (C, r), and `"up"`, (r, V); the logits are then
  `n @ w + b + (alpha / r) * (n @ down @ up)`.

The model that comes out must give **the same logits** as before, and yet be able to learn: a
product of two matrices that are both zero has no gradient in either. So every `down` matrix holds
numbers of its own, drawn from rng, normal with the standard deviation 0.02, and all that is in an
`up`, and each bias, is 0. No two of the new arrays are the same one. `params` stays as it is.

`adapter_size(params: dict, share: float) -> int`

The largest r for which the numbers that `add_adapters` adds are at most `share` of the numbers in
`params`, 0.04 for 4 %; 0 if there is none.

`merge_head(head: dict, alpha: float) -> dict`

After training: a head of `"w"` and `"b"` alone, which gives the logits of the head with its `down`
and `up`. `head` stays as it is.

```python
adapter(np.zeros((2, 3)), {"w": np.ones((3, 1)), "b": np.zeros(1)},
        {"w": np.ones((1, 3)), "b": np.arange(3.0)})      # [[0, 1, 2], [0, 1, 2]]
head = {"w": np.eye(2), "b": np.zeros(2), "down": np.ones((2, 1)), "up": np.ones((1, 2))}
merge_head(head, 3.0)["w"]                                # [[4, 3], [3, 4]]
```
""",
    hints=(
        "For which `up` does an adapter return its x, whatever x is? Which numbers does one "
        "adapter hold, biases included, and how many adapters are there?",
        "`copy.deepcopy(params)` is a copy of all of it; write into that. An adapter has 2·C·r + r "
        "+ C numbers, a block two adapters, and the head gets r·(C + V) more.",
        '`params["head"] | {"down": rng.normal(0, 0.02, (C, r)), "up": np.zeros((r, V))}`. Count '
        "the numbers of a nested dict by a function that calls itself, and try r = 1, 2, … until "
        "`added > share * total`. Merged: `w + alpha / r * (down @ up)` with `r = "
        'head["down"].shape[1]`.',
    ),
)

# --- adapter ------------------------------------------------------------------------------------


def _layers(rng, C: int, r: int) -> dict:
    return {
        "down": {"w": rng.normal(size=(C, r)), "b": rng.normal(size=r)},
        "up": {"w": rng.normal(size=(r, C)), "b": rng.normal(size=C)},
    }


def _to_adapt(rng) -> dict:
    C, r, T, B = (int(n) for n in rng.permutation([3, 4, 5, 6]))
    shapes = ((T, C), (B, T, C), (C,))
    return {"xs": [rng.normal(size=shape) for shape in shapes]} | _layers(rng, C, r)


ONE_AXIS = "x may be C numbers alone, and then no axis stands in front of them."
ANY_AXES = "Any number of axes may stand in front of C: `@` takes them as they are."


@adapters.case(
    "an adapter",
    points=2,
    adapter="adapted",
    inputs=_to_adapt,
    crashes={
        "tuple index out of range|axes don't match|not enough values": ONE_AXIS,
        "too many values to unpack|could not be broadcast": ANY_AXES,
    },
)
def one_adapter(given, got):
    layers = {"down": given["down"], "up": given["up"]}
    for x, y in zip(given["xs"], got["ys"], strict=True):
        what = f"adapter(x, …), x of shape {x.shape}"
        expect_array(what, y, adapted(x, **layers), mistakes=partial(wrongly_adapted, x, **layers))


# --- add_adapters -------------------------------------------------------------------------------


def _with_head(rng, V: int, n_ctx: int, n_layer: int, C: int) -> dict:
    head = {"w": rng.normal(size=(C, V)), "b": rng.normal(size=V)}
    return small_gpt(rng, V, n_ctx, n_layer, C) | {"head": head}


def _to_start(rng) -> dict:
    V, r = int(rng.integers(13, 20)), int(rng.integers(9, 12))
    return {
        "params": _with_head(rng, V, 8, 2, 24),
        "r": r,
        "n_head": 2,
        "tokens": rng.integers(0, V, 7),
        "seed": int(rng.integers(0, 2**31)),
    }


def _shapes_added(params: dict, r: int) -> dict[str, tuple[int, ...]]:
    C, V = params["head"]["w"].shape
    shapes: dict[str, tuple[int, ...]] = {"head.down": (C, r), "head.up": (r, V)}
    layers = {"down.w": (C, r), "down.b": (r,), "up.w": (r, C), "up.b": (C,)}
    for i in range(len(params["blocks"])):
        for name in ("adapter_1", "adapter_2"):
            shapes |= {f"blocks.{i}.{name}.{layer}": s for layer, s in layers.items()}
    return shapes


BOTH_ZERO = (
    "All of `down` is 0, and `up` too: the gradient of each is made of the other, so nothing would "
    "ever be learned. Draw `down`."
)


UP_DRAWN = (
    "`up` is drawn: then the model is another one from the start. Draw `down`, and leave `up` at 0."
)
TURNED = "`up` is drawn, and `down` is 0: the card has them the other way round."
OF_BLOCK = "Each block has two adapters, and each linear layer `w`, (in, out), and `b`, (out,)."
OF_HEAD = "The head gets two matrices, `down`, (C, r), and `up`, (r, V), which have no biases."
CONSTANT = "Nothing is drawn with a standard deviation of 0: `rng.normal(mean, deviation, shape)`."
STAYS = "All that was there stays, under its name, with its numbers."


@adapters.case("the same model at the start", points=3, adapter="started", inputs=_to_start)
def same_at_the_start(given, got):
    what = f"add_adapters(params, {given['r']}, rng)"
    if not isinstance(got["params"], dict):
        raise Wrong(f"{what}: expected a dict", "Return the new parameters.")
    old, new = flat(given["params"]), flat(got["params"])
    shapes = _shapes_added(given["params"], given["r"])
    for name, value in old.items():
        mine = new.get(name)
        same = isinstance(mine, np.ndarray) and np.array_equal(mine, value)
        came = "is missing" if mine is None else "is another one"
        expect_that(same, f"{what}: {name} {came}", STAYS)
    for name, shape in shapes.items():
        mine = new.get(name)
        came = "is missing" if mine is None else f"has the shape {np.shape(mine)}"
        expect_that(
            isinstance(mine, np.ndarray) and mine.shape == shape,
            f"{what}: expected {name} of shape {shape}, and it {came}",
            (OF_HEAD if name.startswith("head") else OF_BLOCK) if mine is None else None,
        )
    strangers = sorted(new.keys() - old.keys() - shapes.keys())
    expect_that(not strangers, f"{what}: {', '.join(strangers[:3])} isn't on the card")
    drawn = {name: new[name] for name in shapes if name.endswith(("down.w", "head.down"))}
    rest = {name: new[name] for name in shapes if name not in drawn}
    expect_that(
        any(value.any() for value in drawn.values()) or any(value.any() for value in rest.values()),
        f"{what}: expected `down` matrices that aren't 0",
        BOTH_ZERO,
    )
    for name, value in rest.items():
        hint = "A bias isn't 0 at the start."
        if not name.endswith(".b"):
            hint = UP_DRAWN if drawn[name.replace("up", "down")].any() else TURNED
        expect(f"{what}: {name}", value, np.zeros(shapes[name]), tol=0, hint=hint)
    for name, value in drawn.items():
        expect_that(value.any(), f"{what}: {name} is 0", BOTH_ZERO)
    for name, value in drawn.items():
        expect_that(np.ptp(value) > 0, f"{what}: all numbers of {name} are the same", CONSTANT)
    unlike = {value.tobytes() for value in drawn.values()}
    expect_that(
        len(unlike) == len(drawn),
        f"{what}: expected {len(drawn)} different `down` matrices, got {len(unlike)}",
        "Several hold the same numbers: draw anew for each.",
    )
    last = drawn.pop("head.down")
    _expect_normal(what, "of the adapters' `down`", np.array([*drawn.values()]), 0.004)
    _expect_normal(what, "of the head's `down`", last, 0.006)
    expect_that(
        got["again"],
        f"{what}, with a generator of the same seed: expected the same numbers, got others",
        "The numbers come from elsewhere than from rng.",
    )
    expect_that(
        not got["same"],
        f"{what}, with a generator of another seed: expected other numbers, got the same",
        "Each generator gives the same numbers: draw from the one that is passed.",
    )
    expect_that(
        got["apart"],
        f"{what}: one array stands at several places",
        "What trains the one would change the others: make a new array for each.",
    )
    expect_that(got["logits"] is not None, "the logits at the start: adapter fails in the model")
    expect_array(
        "the logits at the start", got["logits"], got["plain"], tol=1e-12, hint="Is x added?"
    )


def _expect_normal(what: str, of: str, numbers: np.ndarray, slack: float) -> None:
    sd, mean = float(numbers.std()), float(numbers.mean())
    expect_that(
        abs(sd - 0.02) < slack and abs(mean) < 1.25 * slack,
        f"{what}: the numbers {of}: expected mean 0 and standard deviation 0.02, got {mean:.3f} "
        f"and {sd:.3f}",
        "The standard deviation is another: `rng.normal(0, 0.02, shape)`."
        if abs(mean) < 0.2 * sd
        else "Their mean isn't 0.",
    )
    most = float(np.abs(numbers).max())  # of even numbers with this deviation at most 0.0346
    expect_that(
        most > 0.0355,
        f"{what}: expected some of the {numbers.size} numbers {of} beyond 0.04, got {most:.4f} at "
        "most",
        f"The numbers {of} aren't drawn from a normal distribution.",
    )


# --- adapter_size -------------------------------------------------------------------------------

# Of these models an r adds an exact share: V, n_ctx, n_layer, C and the share.
EXACT = (
    *((V, n_ctx, 1, 8, 0.25) for V, n_ctx in ((16, 8), (24, 11), (32, 14))),
    *((V, n_ctx, 3, 24, 0.0625) for V, n_ctx in ((16, 49), (24, 54), (32, 59))),
)
SHARES = {0.25, 0.0625}


def _sizes(rng) -> dict:
    drawn, exact = [], []
    for _ in range(5):
        V, n_ctx, n_layer = (int(rng.integers(*ends)) for ends in ((40, 90), (16, 40), (1, 3)))
        drawn.append(_with_head(rng, V, n_ctx, n_layer, 32))
    for i in (int(rng.integers(3)), int(rng.integers(3, 6))):
        *sizes, share = EXACT[i]
        exact.append({"params": _with_head(rng, *sizes), "share": share})
    exact.append({"params": drawn[0], "share": 0.001})
    while True:
        # Large shares tell small slips apart.
        shares = 0.04, *rng.uniform((0.1, 0.2, 0.6, 0.8), (0.2, 0.4, 0.8, 0.95)).round(3).tolist()
        asked = [{"params": p, "share": share} for p, share in zip(drawn, shares, strict=True)]
        asked[2]["share"] = almost_enough(**asked[2])
        asked += exact
        models = [sizes_of(**one) for one in asked]
        right = tuple(map(largest, models))
        below = tuple(r - (m["share"] in SHARES) for r, m in zip(right, models, strict=True))
        if (
            len({right, below, *known_sizes(models)}) == 2 + SLIPS
        ):  # each mistake makes a difference
            return {"asked": asked}


@adapters.case("the size for a share", points=2, adapter="sized", inputs=_sizes)
def largest_size(given, got):
    models = [sizes_of(**one) for one in given["asked"]]
    whole = all(type(n) is int for n in got["sizes"])
    hint = known_sizes(models).get(tuple(got["sizes"])) if whole else None
    for model, mine in zip(models, got["sizes"], strict=True):
        share, want = model["share"], largest(model)
        exact = share in SHARES
        if want == 0 or (exact and mine == want - 1):
            hint = hint or (EVEN_ONE if want == 0 else "Exactly the share is allowed: at most.")
        elif mine == want + 1:
            hint = hint or "One more than fits: is the share still kept with it?"
        what = f"adapter_size(params, {share}), with {model['total']} numbers in params"
        expect(what, mine, want, tol=0, hint=hint)


EVEN_ONE = "Even r = 1 is too much here: 0."


# --- merge_head ---------------------------------------------------------------------------------


def _to_merge(rng) -> dict:
    C, r, V = (int(n) for n in np.add(rng.permutation([3, 5, 6]), [4, 0, 9]))
    head = {"w": rng.normal(size=(C, V)), "b": rng.normal(size=V)}
    head |= {"down": rng.normal(size=(C, r)), "up": rng.normal(size=(r, V))}
    # alpha is no length of an axis, and not r times a whole number.
    return {"head": head, "alpha": float(rng.choice([12.5, 16.5, 21.5]))}


@adapters.case("the head merged", points=2, adapter="merged", inputs=_to_merge)
def plain_head(given, got):
    head, alpha, mine = given["head"], given["alpha"], got["head"]
    what = f"merge_head(head, {alpha:g})"
    if not isinstance(mine, dict):
        raise Wrong(f"{what}: expected a dict", "Return the plain head, a dict of w and b.")
    left = sorted(mine.keys() - {"w", "b"})
    expect_that(
        not left,
        f"{what}: expected w and b alone, got {', '.join(left)} as well",
        "What is merged and stays would be added a second time: a plain head has w and b.",
    )
    want = head["w"] + alpha / head["down"].shape[1] * (head["down"] @ head["up"])
    for name in ("w", "b"):
        expect_that(name in mine, f'{what} has no "{name}"', 'A plain head has both, "w" and "b".')
    expect_array(f'{what}["w"]', mine["w"], want, mistakes=partial(wrong_heads, head, alpha))
    expect_array(f'{what}["b"]', mine["b"], head["b"], hint="b stays as it is.")
