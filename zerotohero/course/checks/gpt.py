"""The exercises of lecture 07: all heads at once, the KV cache, top-p, a test of causality.

Those that train (7.2, 7.3, 7.4 and 7.8) are in `gpt_training.py`. The reference answers are plain
NumPy in float64.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from zerotohero.course.checks import gpt_training
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import Exercise, Mistake, Wrong, array, expect, expect_that


def _expect(what: str, got, want, mistakes: Callable[[], list[Mistake]], **options) -> None:
    """`expect` with mistakes that take a while, and are made only where the answer is wrong."""
    try:
        expect(what, got, want, **options)
    except Wrong:
        expect(what, got, want, mistakes=mistakes(), **options)


def _one_tensor(what: str, got, hint: str = "Return the tensor alone.") -> None:
    expect_that(not isinstance(got, list), f"{what}: expected a tensor, got several values", hint)


# --- 7.1 ----------------------------------------------------------------------------------------

fuse = Exercise(
    number="7.1",
    title="All heads at once",
    difficulty=3,
    minutes=40,
    practises="moving axes, so that one batched product does the work of many small ones",
    answers=("FusedAttention",),
    summary=(
        "Turn `Head` and `MultiHeadAttention` into one class, in which heads are a batch axis "
        "instead of a loop. With the same weights it must give the same, for any n_head."
    ),
    statement="""
The next cell holds attention as the lecture first builds it: `MultiHeadAttention` runs its `Head`s
one after another, and each makes its own small products. Write

`FusedAttention(n_embd: int, n_head: int, block_size: int, dropout: float = 0.0)`

an `nn.Module` whose `forward(x)` takes (B, T, C) to (B, T, C) for every T ≤ block_size and equals
`MultiHeadAttention` to 1e-5 when it has the same weights. Queries, keys and values have the shape
(B, n_head, T, head_size) inside, and there is no loop over heads, examples or positions. Use
products and softmax, or `F.scaled_dot_product_attention`; both can pass.

Its parameters are those of two linear layers with GPT-2's names, and `copy_heads` in the next cell
shows which row goes where:

- `c_attn`, from C to 3 · C, no bias. The rows of its weight are the queries of head 0, of head 1,
  and so on; then the keys of all heads; then the values of all heads.
- `c_proj`, from C to C, with a bias: the projection of the joined heads.

Dropout as there: on the attention weights after softmax, and on the projected output, both in train
mode only.

```python
fused = FusedAttention(n_embd=12, n_head=3, block_size=8)
copy_heads(MultiHeadAttention(12, 3, 8), fused)   # now both compute the same
fused(torch.randn(2, 5, 12)).shape                # torch.Size([2, 5, 12])
```
""",
    hints=(
        "A batched product treats all axes but the last two as a batch. So the heads have to "
        "stand in front of T, and what belongs to one head, its head_size channels, behind it.",
        "`self.c_attn(x).split(C, dim=2)` gives q, k and v. Each goes from (B, T, C) to "
        "(B, T, n_head, head_size) by `view`, which cuts the channels up, and then to "
        "(B, n_head, T, head_size) by `transpose(1, 2)`. At the end the same way back, in the "
        "opposite order.",
        "`q, k, v = (z.view(B, T, n_head, C // n_head).transpose(1, 2) for z in …)`; "
        "`y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=self.p if "
        "self.training else 0.0)`; `y = y.transpose(1, 2).reshape(B, T, C)`; then c_proj and "
        "dropout.",
    ),
)


def _separate(x: np.ndarray, heads: list, proj: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """One head after another, as in the notebook: the reference."""
    future = np.triu(np.ones((x.shape[1],) * 2, bool), 1)
    outs = []
    for query, key, value in heads:
        scores = (x @ query.T) @ (x @ key.T).swapaxes(1, 2) / math.sqrt(len(query))
        outs.append(softmax(np.where(future, -np.inf, scores)) @ (x @ value.T))
    return np.concatenate(outs, 2) @ proj.T + bias


def _fused(
    x, heads, proj, bias,
    order="qkv", cut="right", among="positions", scale=None, mask="before", axis=-1, empty=np.nan,
    merge="right", project="right",
):  # fmt: skip
    """The fused computation with switches for what learners get wrong."""
    B, T, C = x.shape
    n, hs = len(heads), C // len(heads)
    both = x @ np.concatenate([head[i] for i in range(3) for head in heads]).T
    cuts = {
        "right": lambda z: z.reshape(B, T, n, hs).swapaxes(1, 2),
        "no transpose": lambda z: z.reshape(B, n, T, hs),
        "sizes exchanged": lambda z: z.reshape(B, T, hs, n).transpose(0, 3, 1, 2),
    }
    if order == "by head":  # c_attn's rows taken as head 0's q, k, v, head 1's q, k, v, …
        q, k, v = both.reshape(B, T, n, 3, hs).transpose(3, 0, 2, 1, 4)
    elif order == "strided":  # … or as q, k, v of channel 0, of channel 1, …
        q, k, v = (cuts[cut](both[..., i::3]) for i in range(3))
    else:
        parts = dict(zip("qkv", np.split(both, 3, 2), strict=True))
        q, k, v = (cuts[cut](parts[name]) for name in order)
    if among == "heads":  # (B, T, n_head, head_size) goes into attention
        q, k, v, T = *(z.swapaxes(1, 2) for z in (q, k, v)), n
    scores = q @ k.swapaxes(2, 3) * (hs**-0.5 if scale is None else scale)
    above = {"before": 1, "after": 1, "zero": 1, "next": 2, "not itself": 0, "none": T}
    hidden = np.triu(np.ones((T, T), bool), above.get(mask, 1))
    if mask in ("turned round", "the future alone"):
        hidden = np.tri(T, k=-1 if mask == "turned round" else 0, dtype=bool)
    if mask == "zero":
        scores = np.where(hidden, 0.0, scores)
    elif mask != "after":
        scores = np.where(hidden, -np.inf, scores)
    weights = np.nan_to_num(softmax(scores, axis), nan=empty)  # of rows that see nothing
    if mask == "after":
        weights = np.where(hidden, 0.0, weights)
    y = weights @ v
    if among == "heads":
        y, T = y.swapaxes(1, 2), x.shape[1]
    merges = {
        "right": lambda: y.swapaxes(1, 2).reshape(B, T, C),
        "no transpose": lambda: y.reshape(B, T, C),
        "sizes exchanged": lambda: y.transpose(0, 2, 3, 1).reshape(B, T, C),
    }
    y = merges[merge]()
    projected = {"right": y @ proj.T + bias, "none": y, "turned": y @ proj + bias}
    return projected[project]


BEHIND = (
    "At each position, heads attend to heads: they stand behind T, and attention goes along the "
    "axis before the last. `transpose(1, 2)` makes (B, n_head, T, head_size)."
)


def _fused_wrongly(x, heads, proj, bias) -> list[Mistake]:
    T, C = x.shape[1:]
    n, hs = len(heads), C // len(heads)
    no_transpose = (
        "The channels were cut up by `view(B, n_head, T, head_size)` at once. `view` deals "
        'numbers out in reading order, so one "head" gets the channels of a few positions. '
        "First `view(B, T, n_head, head_size)`, then `transpose(1, 2)`."
    )
    exchanged = (
        "Each head takes every n_head-th channel: the last axis of the view is head_size, "
        "`view(B, T, n_head, head_size)`, so that a head's channels lie side by side."
    )
    sees_all = (
        "Every position sees the whole text, its future too: the causal mask is missing, or the "
        "wrong part of a larger one is used. It is the first T rows and columns, `[:T, :T]`."
    )
    turned_round = (
        "The mask is the wrong way round: positions see their future instead of their past. (In "
        "`scaled_dot_product_attention`, True marks what may be seen.)"
    )
    variants = [
        ({"cut": "no transpose"}, no_transpose),
        ({"cut": "no transpose", "merge": "no transpose"}, no_transpose),
        ({"merge": "no transpose"}, "Heads are mixed with time on the way back: y is (B, n_head, "
         "T, head_size), and a reshape to (B, T, C) puts several positions of one head into one "
         "row. `transpose(1, 2)` first, then reshape."),
        ({"cut": "sizes exchanged"}, exchanged),
        ({"cut": "sizes exchanged", "merge": "sizes exchanged"}, exchanged),
        ({"merge": "sizes exchanged"}, "The heads' channels are interleaved on the way back: the "
         "joined row holds all of head 0, then all of head 1."),
        ({"scale": C**-0.5}, "The scores are divided by √C. Each is a sum over head_size products, "
         "so it is √head_size that brings their variance back to 1."),
        ({"scale": 1.0}, "The scores aren't scaled: divide them by √head_size."),
        ({"scale": 1 / hs}, "The scores are divided by head_size: it is its square root. "
         "(`F.scaled_dot_product_attention` divides by that already.)"),
        ({"scale": 1 / C}, "The scores are divided by C: it is the square root of head_size."),
        ({"scale": hs**0.5}, "The scores are multiplied by √head_size: divide by it."),
        ({"scale": n**-0.5}, "The scores are divided by √n_head: it is √head_size."),
        ({"scale": T**-0.5}, "The scores are divided by √T: it is √head_size."),
        ({"mask": "none"}, sees_all),
        ({"mask": "after"}, "The mask comes after softmax: the future has already taken its share "
         "of the 1, and what is left doesn't add up to 1. Put −∞ into the scores before softmax."),
        ({"mask": "zero"}, "The scores of the future are 0, and exp(0) is 1, not 0: hide them with "
         "−∞, `float('-inf')`."),
        ({"mask": "next"}, "Each position sees the next one as well: the mask's triangle is one "
         "diagonal too large. Position t sees 0 to t."),
        ({"mask": "not itself"}, "No position sees itself, and the first sees nothing at all, "
         "hence its NaN: the diagonal belongs to what is seen."),
        ({"mask": "turned round"}, turned_round),
        ({"mask": "the future alone"}, turned_round),
        ({"mask": "the future alone", "empty": 0.0}, turned_round),
        ({"axis": -2}, "softmax goes over the queries: each row of the scores belongs to one "
         "query, and has to add up to 1 over the keys, `dim=-1`."),
        ({"axis": 1}, "softmax goes over the heads, axis 1: the weights of one query have to add "
         "up to 1 over the keys, `dim=-1`."),
        ({"axis": 0}, "softmax goes over the batch, axis 0: `dim=-1`."),
        ({"order": "kqv"}, "Queries and keys have changed places: the first C rows of c_attn are "
         "the queries, then come the keys, then the values."),
        ({"order": "vkq"}, "Queries and values have changed places: c_attn's rows are queries, "
         "keys, values, in this order."),
        ({"order": "qvk"}, "Keys and values have changed places: c_attn's rows are queries, keys, "
         "values, in this order."),
        ({"order": "by head"}, "c_attn's output is cut into heads first and into q, k, v then: its "
         "rows are the queries of all heads, then all keys, then all values. Split into three "
         "parts of C first."),
        ({"order": "strided"}, "q, k and v are taken as every third channel: they lie one after "
         "the other, C channels each, as `split(C, dim=2)` cuts them."),
        ({"project": "none"}, "The joined heads come back as they are: the projection `c_proj` "
         "is missing at the end."),
        ({"among": "heads"}, BEHIND),
        ({"among": "heads", "mask": "none"}, BEHIND),
        ({"project": "turned"}, "The weight of c_proj is used untransposed: call the layer, "
         "`self.c_proj(y)`."),
    ]  # fmt: skip
    given = (x, heads, proj, bias)
    wrong = [(_fused(*given, **switches), hint) for switches, hint in variants]
    whole = [np.concatenate(parts) for parts in zip(*heads, strict=True)]
    regrouped = list(zip(*(np.split(part, hs) for part in whole), strict=True))
    wrong += [
        (_fused(x, [whole], proj, bias), "All channels are one head: the channels of each position "
         "have to be cut into n_head parts, `view(B, T, n_head, head_size)`."),
        *((_fused(x, regrouped, proj, bias, scale=scale), "n_head and head_size have changed "
           "places: there are head_size heads of n_head channels. `view(B, T, n_head, head_size)`, "
           "then `transpose(1, 2)`.") for scale in (None, hs**-0.5)),
    ]  # fmt: skip
    right = _fused(*given)
    wrong.append((right + x, "x is added: the residual path belongs to the block around this one."))
    return [Mistake(value, hint) for value, hint in wrong]


def _heads(rng: np.random.Generator, n: int, hs: int, B: int, T: int, block_size: int) -> dict:
    """An input, and the weights of n separate heads; all sizes are different where they can be."""
    C = n * hs
    return {
        "x": 1.5 * rng.normal(size=(B, T, C)),
        "heads": [[rng.normal(size=(hs, C)) / math.sqrt(C) for _ in range(3)] for _ in range(n)],
        "proj": rng.normal(size=(C, C)) / math.sqrt(C),
        "bias": rng.normal(size=C),
        "block_size": block_size,
    }


FUSED_CRASHES = {
    "before Module.__init__|_parameters'": "`super().__init__()` has to come first in `__init__`.",
    'required "forward"': "The class has no method `forward`: is it spelled so, and indented?",
    "has the parameters": "The check copies weights by name: `self.c_attn = nn.Linear(C, 3 * C, "
    "bias=False)` and `self.c_proj = nn.Linear(C, C)`, and nothing else that is learned. A mask is "
    "a buffer, not a parameter.",
    "Expected size for first two dimensions|cannot be multiplied|Expected size for the first": "In "
    "the scores, the last two axes of k are exchanged: (T, head_size) times (head_size, T), "
    "`q @ k.transpose(-2, -1)`.",
    "view size is not compatible|use .reshape": "`view` refuses where the numbers don't lie in "
    "order. On the way in, only the last axis of q, k and v can be cut up, `view(B, T, n_head, "
    "head_size)`, and is transposed then; a view with T in another place would mix positions. On "
    "the way back, after the transposition, `reshape` or `.contiguous().view(…)`.",
    "invalid for input of size|is invalid": "The sizes of the view don't multiply to what is "
    "there: C = n_head · head_size, so head_size is `C // n_head`.",
}
SCORES = {
    "must match the size": "Two tensors of different shapes meet. The scores have the shape (B, "
    "n_head, T, T), and so fit a mask of (T, T); scores of (B, T, n_head, n_head) come from heads "
    "behind T: the heads have to stand in front of it, `transpose(1, 2)`. And if the product of q "
    "and k fails itself, it is the last two axes of k that are exchanged, `k.transpose(-2, -1)`."
}
SHORT = {
    "must match the size|expanded size": "The mask has the wrong size: it was made for block_size "
    "positions, and only T of them came. Cut it, `self.mask[:T, :T]`. (If the cases above crash "
    "too, begin there.)"
}


def _expect_fused(given: dict, got: dict) -> None:
    for layer, y in zip(given["layers"], got["y"], strict=True):
        x, heads, proj, bias = (layer[key] for key in ("x", "heads", "proj", "bias"))
        B, T, C = x.shape
        _one_tensor("forward(x)", y)
        _expect(
            f"forward(x) for B = {B}, T = {T}, C = {C}, n_head = {len(heads)}",
            y,
            _separate(x, heads, proj, bias),
            partial(_fused_wrongly, x, heads, proj, bias),
            tol=1e-5,
        )


fuse.case(
    "equal to the separate heads",
    points=3,
    adapter="attended",
    inputs=lambda rng: {"layers": [_heads(rng, 3, 4, 2, 7, 7)]},
    crashes=FUSED_CRASHES | SCORES,
)(_expect_fused)


@fuse.case(
    "any number of heads",
    points=1,
    adapter="attended",
    inputs=lambda rng: {"layers": [_heads(rng, n, hs, 2, 6, 6) for n, hs in
                                   ((1, 5), (5, 2), (4, 1), (2, int(rng.integers(7, 10))))]},
    crashes=FUSED_CRASHES | SCORES,
)  # fmt: skip
def _(given, got):
    _expect_fused(given, got)


fuse.case(
    "texts shorter than block_size",
    points=2,
    adapter="attended",
    inputs=lambda rng: {"layers": [_heads(rng, 3, 4, 2, T, 9) for T in (5, 1, 8)]},
    crashes=FUSED_CRASHES | SHORT,
)(_expect_fused)


def _to_drop(rng: np.random.Generator) -> dict:
    """One position, which can look at itself alone, values and a bias of 1: the number that comes
    back tells which dropouts it has passed. p isn't a half, for there 1 − p is the same."""
    n, hs = 4, 4
    layer = _heads(rng, n, hs, 250, 1, 1)
    layer["x"] = np.ones((250, 1, n * hs))
    identity = np.eye(n * hs)
    for i, head in enumerate(layer["heads"]):
        head[2] = identity[i * hs : (i + 1) * hs]
    p = float(rng.choice([0.2, 0.25, 0.4]))
    layer |= {"proj": identity, "bias": np.ones(n * hs), "dropout": p}
    return {"layer": layer}


TWO_DROPOUTS = "(It is needed in two places: on the weights after softmax, and on what c_proj "
TWO_DROPOUTS += "returns.)"


@fuse.case("dropout, in train mode and in eval mode", points=2, adapter="dropped",
           inputs=_to_drop, crashes=FUSED_CRASHES | SCORES)  # fmt: skip
def _(given, got):
    x, p = given["layer"]["x"], given["layer"]["dropout"]
    n, s = len(given["layer"]["heads"]), 1 / (1 - p)
    right = [0, s, s * (1 + s)]
    placed = {
        "weights": [1, 1 + s],
        "output": [0, 2 * s],
        "both": right,
        "before c_proj": [1, 1 + s * s],
    }

    def only(levels: list[float], y: np.ndarray) -> bool:
        """Whether all of these numbers occur, and no others."""
        near = np.isclose(y.reshape(-1, 1), levels, atol=1e-4)
        return near.any(1).all() and near.any(0).all()

    _one_tensor("forward(x)", got["eval"])
    evaluated = array("forward(x) in eval mode", got["eval"], x.shape)
    left_on = (
        "Dropout is left on in eval mode. `F.dropout(y, p)` and `dropout_p=p` of "
        "`F.scaled_dot_product_attention` know nothing of `eval()`: pass `self.training` on to the "
        "one, `p if self.training else 0.0` to the other; an `nn.Dropout` layer knows by itself."
    )
    on = any(only(levels, evaluated) for levels in placed.values())
    expect(f"forward(x) in eval mode with dropout = {p}", evaluated, 2 * x, tol=1e-5,
           hint=left_on if on else None)  # fmt: skip
    y = array("forward(x) in train mode", got["train"], x.shape)
    what = f"forward(x) in train mode with dropout = {p}"
    if only([2], y):
        raise Wrong(
            f"{what}: expected zeros in it, got none",
            "There is no dropout in train mode. It belongs in two places, on the attention weights "
            "after softmax and on the projected output.",
        )
    for place, hint in {
        "weights": f"Dropout on the projected output is missing. {TWO_DROPOUTS}",
        "output": f"Dropout on the attention weights is missing. {TWO_DROPOUTS} Before softmax it "
        "drops no weight: a score of 0 is a score like others.",
        "before c_proj": "The second dropout comes before c_proj: it belongs behind it, on the "
        "projected output.",
    }.items():
        expect_that(
            not only(placed[place], y),
            f"{what}: expected dropout in two places, on the weights and on the output, got "
            + ("it in one" if place != "before c_proj" else "numbers that c_proj's bias is in"),
            hint,
        )
    alive = (y != 0).reshape(len(x), n, -1)
    gone = np.isclose(y, s, atol=1e-4).reshape(alive.shape)  # the weight was dropped
    zeros, without = 1 - alive.mean(), gone.sum() / max(alive.sum(), 1)
    expect_that(
        only(right, y) and abs(zeros - p) < 0.1 and abs(without - p) < 0.1,
        f"{what}: expected {p:.0%} zeros in the output and {right[2]:.4g} as its largest number, "
        f"got {zeros:.0%} and {y.max():.4g}",
        "Each of the two dropouts sets a share p to 0 and divides the rest by 1 − p: once on the "
        "weights, once on the output, with the p that the class was given. (p is the share that is "
        "dropped, not the one that is kept.)",
    )
    expect_that(
        not (gone.any(2) & (alive & ~gone).any(2)).any(),
        f"{what}: expected that a dropped weight takes all channels of its head with it, got heads "
        "with some of them",
        "Single channels are dropped inside the heads, not weights: the first dropout belongs on "
        "what softmax gives, before the product with v.",
    )
    expect_that(
        (gone | ~alive).all((1, 2)).mean() < p / 2,
        f"{what}: expected that each head drops weights of its own, got all heads at once",
        "All heads drop the same weights: the mask of the first dropout has the shape of the "
        "weights, (B, n_head, T, T).",
    )


@fuse.case(
    "no loop: the same calls for more heads, examples and positions",
    points=2,
    adapter="counted",
    inputs=lambda rng: {"layers": [_heads(rng, n, 16 // n, B, T, 6)
                                   for n, B, T in ((2, 2, 3), (8, 2, 3), (2, 5, 3), (2, 2, 6))]},
    crashes=FUSED_CRASHES | SHORT,
)  # fmt: skip
def _(given, got):
    _expect_fused(given, got)
    base, *more = (int(n) for n in array("the calls", got["calls"], (4,)))
    expect_that(base >= 5, f"{base} calls of torch: too few for attention", "Use torch throughout.")
    for calls, what, hint in zip(
        more,
        ("8 heads instead of 2", "5 examples instead of 2", "6 positions instead of 3"),
        (
            "Somewhere a loop goes over the heads. As the axis n_head of one tensor, (B, n_head, "
            "T, head_size), all of them are in the same product.",
            "Somewhere a loop goes over the examples: `@` and softmax take the whole batch.",
            "Somewhere a loop goes over the positions: the scores of all queries are one product, "
            "and the mask gives each its past.",
        ),
        strict=True,
    ):
        expect_that(
            calls <= base,
            f"calls of torch's functions for {what}: expected {base} as before, got {calls}",
            hint,
        )


# --- 7.5 ----------------------------------------------------------------------------------------

remember = Exercise(
    number="7.5",
    title="A KV cache",
    difficulty=4,
    minutes=60,
    practises="making a computation incremental, with the same result and countably less work",
    answers=("CachedGPT", "generate_cached"),
    summary=(
        "A small GPT computes its whole text again for every token that it generates. Let it keep "
        "keys and values, so that each position is computed once and the tokens stay the same."
    ),
    statement="""
The next cell holds a small GPT that works, `CachedGPT`, and `generate_cached`, which works too but
slowly: it feeds the text so far, all of it, for every new token. Nothing in it remembers anything
yet. Change both. Leave the names of layers and weights as they are.

`CachedGPT(vocab_size: int, block_size: int, n_layer: int, n_head: int, n_embd: int)`

- `new_cache()` returns an empty cache, one dict for each layer. What you put into these is up to
  you.
- `forward(idx, cache=None)` takes (B, T) tokens to (B, T, V) logits. Without a cache it computes as
  it does now. With one, `idx` is what **follows** the tokens that this cache was fed with before:
  the logits must be those which the whole text would have at these positions, and the cache then
  holds these tokens too. `idx` can be the whole prompt, one token, or several after others.

All that is remembered lives in the cache that was passed, and one cache belongs to one batch of
texts: two texts with two caches can take turns.

`generate_cached(model, idx: Tensor, max_new_tokens: int) -> Tensor`

From (B, T) tokens to (B, T + max_new_tokens), each new token the likeliest. Feed the prompt once,
and then only what is new: for n new tokens, T + n − 1 positions of each row pass through the model.
The whole text is never longer than block_size.

```python
cache = model.new_cache()
model(idx, cache)              # the prompt, (B, T): logits (B, T, V)
model(token, cache)            # (B, 1): the logits after T + 1 tokens, (B, 1, V)
generate_cached(model, idx, 5) # as before, with T + 4 positions instead of 5 · T + 10
```
""",
    hints=(
        "Which numbers of an earlier position does a new position need? Not its query and not "
        "its output: only its key and its value, in every layer.",
        "In each layer: put the new keys behind the cached ones along the time axis, the values "
        "too, and store both. Two things then depend on how many are cached already: the positions "
        "in `wpe`, which go on counting, and the mask, for query i of the new ones may see "
        "everything cached and the new keys 0 to i.",
        "In attention: `if cache: k, v = torch.cat([cache['k'], k], 2), torch.cat([cache['v'], v], "
        "2)`, then `cache['k'], cache['v'] = k, v`; with `past = k.shape[2] - T` the mask is "
        "`torch.ones(T, past + T).tril(past)`. In the model: `past = cache[0]['k'].shape[2]` if "
        "there is one, and `wpe(torch.arange(past, past + T))`. In the loop: feed `idx` first, "
        "then `idx[:, -1:]`.",
    ),
)

CLOSE = 1e-4  # the model is in float32, the reference in float64
SIZES = {"vocab_size": 23, "block_size": 40, "n_layer": 2, "n_head": 2, "n_embd": 12}


def _small_gpt(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights, large enough that positions and the past make a difference."""
    V, n, C = (SIZES[key] for key in ("vocab_size", "block_size", "n_embd"))
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (V, C), "wpe.weight": (n, C)}
    for i in range(SIZES["n_layer"]):
        for name, shape in {
            "ln_1": (C,), "attn.c_attn": (3 * C, C), "attn.c_proj": (C, C),
            "ln_2": (C,), "mlp.0": (4 * C, C), "mlp.2": (C, 4 * C),
        }.items():  # fmt: skip
            shapes |= {f"h.{i}.{name}.weight": shape, f"h.{i}.{name}.bias": shape[:1]}
    shapes |= {"ln_f.weight": (C,), "ln_f.bias": (C,), "lm_head.weight": (V, C)}
    weights = {}
    for name, shape in shapes.items():
        values = rng.normal(size=shape)
        if len(shape) == 2 and name[:3] not in ("wte", "wpe"):
            values *= 1.5 / math.sqrt(shape[1])
        if len(shape) == 1:
            values = 0.1 * values + ("ln" in name and name.endswith("weight"))
        weights[name] = values
    return weights


def _normed(x: np.ndarray, w: dict, name: str) -> np.ndarray:
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def _linear(x: np.ndarray, w: dict, name: str) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)


def _gpt_logits(w: dict, idx: np.ndarray, sees=None, at=None, swapped=None) -> np.ndarray:
    """The small GPT on whole texts. What goes wrong with a cache can be said by three things.

    sees: (T, T), which keys a query looks at. at: (T,), the positions in wpe.
    swapped: (T, T), where a query meets a value in place of a key, and a key in place of a value.
    """
    T, n, C = idx.shape[1], SIZES["n_head"], SIZES["n_embd"]
    sees = np.tri(T, dtype=bool) if sees is None else sees
    swapped = np.zeros((T, T), bool) if swapped is None else swapped
    x = w["wte.weight"][idx] + w["wpe.weight"][np.arange(T) if at is None else at]
    for i in range(SIZES["n_layer"]):
        parts = np.split(_linear(_normed(x, w, f"h.{i}.ln_1"), w, f"h.{i}.attn.c_attn"), 3, 2)
        q, k, v = (z.reshape(*idx.shape, n, C // n).swapaxes(1, 2) for z in parts)
        scores = np.where(swapped, q @ v.swapaxes(2, 3), q @ k.swapaxes(2, 3))
        weights = softmax(np.where(sees, scores / math.sqrt(C // n), -np.inf))
        y = np.where(swapped, 0, weights) @ v + np.where(swapped, weights, 0) @ k
        x = x + _linear(y.swapaxes(1, 2).reshape(x.shape), w, f"h.{i}.attn.c_proj")
        h = _linear(_normed(x, w, f"h.{i}.ln_2"), w, f"h.{i}.mlp.0")
        h = 0.5 * h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        x = x + _linear(h, w, f"h.{i}.mlp.2")
    return _linear(_normed(x, w, "ln_f"), w, "lm_head")


ONE_PLACE = "All tokens that are fed at once get the same position: `torch.arange(past, past + T)`."


def _cached_wrongly(w: dict, idx: np.ndarray, parts: list[int]) -> list[Mistake]:
    """What caches with something wrong give for a text that is fed in parts."""
    t = np.arange(idx.shape[1])
    part = np.repeat(np.arange(len(parts)), parts)  # in which part each position came
    start = np.cumsum([0, *parts])[part]
    later = part > 0
    same, past = part[:, None] == part, part[:, None] > part
    own = same & (t[:, None] >= t)
    of_first = past & (part == 0)
    in_front = np.argsort(-part, kind="stable")  # the keys' order where new ones go in front
    turned = np.zeros_like(own)
    for row, n in enumerate(t + 1):
        keys = [s for s in in_front if part[s] <= part[row]]
        turned[row, keys[:n]] = True
    odd = past & ((part[:, None] - part) % 2 == 1)
    one_before = past & (part[:, None] == part + 1)
    of_replaced = t - start + np.where(later, np.array([0, *parts])[part], 0)
    replaced = (
        "The cache holds the newest part alone, and has lost what was older: it is replaced by the "
        "newest keys and values. Store what `torch.cat` gives, all of them so far."
    )
    first_stays = (
        "Only what was fed first stays in the cache; what came after it is used once and lost. "
        "Store the joined keys and values every time."
    )
    exchanged = (
        "Keys and values change places on their way through the cache: what was stored as a key "
        "comes back as a value."
    )
    variants = [
        ({"at": t - start}, "The new tokens get the positions 0, 1, … again. They follow what is "
         "cached, so their rows of wpe begin at the number of cached tokens."),
        ({"sees": own, "at": t - start}, "The new tokens see nothing of what was fed before, and "
         "their positions begin at 0: either the cache isn't used, or nothing stays in it. (`cache "
         "= …` only gives a local name a new value, and `cache or {}` replaces an empty dict by "
         "another; `cache['k'] = …` changes the dict that was passed.)"),
        ({"sees": own}, "The new tokens see nothing of what was fed before, only each other: put "
         "their keys and values behind the cached ones, and let the queries look at all of them."),
        ({"sees": own | one_before}, replaced),
        ({"sees": own | one_before, "at": of_replaced}, replaced),
        ({"sees": own, "at": of_replaced}, replaced),
        ({"sees": own | of_first}, first_stays),
        ({"sees": own | of_first, "at": np.where(later, parts[0] + t - start, t)}, first_stays),
        ({"sees": (t - start)[:, None] >= t}, "A new query sees the first keys alone. That is what "
         "`is_causal=True` does, or a `tril()` whose corner is on the left: where there are more "
         "keys than queries, the corner belongs on the right, `tril(past)`. A single query needs "
         "no mask at all."),
        *(({"sees": sees | past}, "The tokens that are fed at once all see each other, the later "
           "ones too: several new tokens need the causal mask among themselves.")
          for sees in (same, own | (same & later))),
        ({"sees": turned}, "The new keys stand in front of the cached ones, where the mask takes "
         "them for old: append them behind, `torch.cat([cached, new], 2)`."),
        ({"swapped": past}, exchanged),
        ({"swapped": odd}, exchanged),
        ({"at": np.where(later, t + 1, t)}, "The positions of the new tokens are one too large: "
         "counting starts at 0, so the first new one has the number of tokens cached before. Read "
         "the length of the cache before it grows."),
        ({"at": np.where(later, t - 1, t)}, "The positions of the new tokens are one too small: "
         "the first new one has the number of cached tokens."),
        ({"at": t + np.array(parts)[part] * later}, "The new tokens' positions are too large by "
         "their own number. Read the length of the cache before it grows."),
        ({"at": np.where(later, start, t)}, ONE_PLACE),
    ]  # fmt: skip
    return [Mistake(_gpt_logits(w, idx, **v), hint) for v, hint in variants]


CACHE_CRASHES = {
    "weights must keep their names": "The check loads weights by name: change what `forward` does, "
    "not what the layers are called.",
    "Sizes of tensors must match": "Cached and new keys don't fit together. Are they joined along "
    "time, which is axis 2 of (B, n_head, T, head_size)? If they are, keys of different batches "
    "meet, and something is remembered from another text: all memory belongs into the cache that "
    "is passed, and a default such as `cache=[{}]` is made once and shared by all calls. (In "
    "`generate_cached`, tokens are joined along axis 1.)",
    "must match the size|expanded size|attn_mask": "The mask doesn't fit: with a cache the scores "
    "are (T, past + T), for the queries are new and the keys are all so far. (And there are as "
    "many values as keys: both are cached.)",
    "index out of range": "A position beyond block_size: do the positions go on counting across "
    "texts, or is text fed again that the cache already holds?",
    "too many values|KeyError|list indices|NoneType": "Mind the first call, for which the cache is "
    "still empty, and the call without a cache, for which it is None.",
}


COUNTER = (
    "The positions go on counting from another text: what counts them lives in the model. How "
    "many tokens came before has to be read from the cache that is passed."
)


def _text(rng: np.random.Generator, B: int, T: int) -> np.ndarray:
    return rng.integers(0, SIZES["vocab_size"], (B, T))


def _fed(rng: np.random.Generator, parts: list[int]) -> dict:
    idx = _text(rng, 2, sum(parts))
    return {"sizes": SIZES, "weights": _small_gpt(rng), "idx": idx, "parts": parts}


@remember.case(
    "the prompt: without a cache, and with an empty one",
    adapter="whole",
    inputs=lambda rng: {"sizes": SIZES, "weights": _small_gpt(rng), "idx": _text(rng, 3, 6)},
    crashes=CACHE_CRASHES,
)
def _(given, got):
    w, idx = given["weights"], given["idx"]
    want = _gpt_logits(w, idx)
    ahead = _gpt_logits(w, idx, sees=np.ones((idx.shape[1],) * 2, bool))
    twice = _gpt_logits(w, np.concatenate([idx, idx], 1))[:, idx.shape[1] :]
    counted_on = _gpt_logits(w, idx, at=np.arange(idx.shape[1]) + idx.shape[1])
    one_place = Mistake(_gpt_logits(w, idx, at=np.zeros_like(idx[0])), ONE_PLACE)
    sees_all = Mistake(ahead, "Each token of the prompt sees the later ones too: whatever the "
                       "cache holds, several new tokens need the causal mask.")  # fmt: skip
    kept = Mistake(twice, "Something is remembered between calls that pass no cache: a default "
                   "such as `cache=[{}]` is made once and shared by all calls, and so is what is "
                   "stored in the model. Without a cache, nothing is kept.")  # fmt: skip
    counter = Mistake(counted_on, COUNTER)
    plain, again, cached = (_logits("the logits", got[name], want.shape) for name in
                            ("plain", "again", "cached"))  # fmt: skip
    expect(
        "model(idx)",
        plain,
        want,
        mistakes=[sees_all, one_place],
        tol=CLOSE,
        hint="Without a cache, the logits must be those of the cell as it was given: what have "
        "the mask and the positions become where nothing is cached, with past = 0?",
    )
    expect("model(idx), a second time", again, want, mistakes=[kept, counter], tol=CLOSE)
    expect("model(idx, model.new_cache())", cached, want, tol=CLOSE,
           mistakes=[sees_all, one_place, kept, counter],
           hint="With an empty cache nothing is different from no cache. Has each layer a dict of "
           "its own? `[{}] * n` is one dict n times.")  # fmt: skip


def _logits(what: str, got, shape: tuple[int, ...]) -> np.ndarray:
    """What `forward` returned, if it has the right shape."""
    alone = "Return the logits alone: the cache is changed where it is, and need not come back."
    _one_tensor(what, got, alone)
    expect_that(
        np.ndim(got) != 3 or got.shape[1] == shape[1],
        f"{what}: expected shape {shape}, got {np.shape(got)}",
        "`forward` returns logits for each token that it is fed, with a cache and without.",
    )
    return array(what, got, shape)


def _expect_parts(given: dict, got: dict) -> None:
    w, idx, parts = given["weights"], given["idx"], given["parts"]
    logits = [
        _logits(f"part {i + 1}, of {n} tokens", part, (len(idx), n, SIZES["vocab_size"]))
        for i, (n, part) in enumerate(zip(parts, got["logits"], strict=True))
    ]
    _expect(
        f"the logits of a text that is fed in parts of {', '.join(map(str, parts))} tokens",
        np.concatenate(logits, 1),
        _gpt_logits(w, idx),
        partial(_cached_wrongly, w, idx, parts),
        tol=CLOSE,
        hint="Compare with the logits of the whole text at once, position by position. Which is "
        "the first that differs, what does it see of what was fed before it, and at which "
        "positions did these tokens and its own stand?",
    )


remember.case(
    "a prompt of four, then one token at a time",
    points=3,
    adapter="in_parts",
    inputs=lambda rng: _fed(rng, [4, 1, 1, 1, 1]),
    crashes=CACHE_CRASHES,
)(_expect_parts)


remember.case(
    "several tokens into a cache that holds some",
    points=2,
    adapter="in_parts",
    inputs=lambda rng: _fed(rng, [*map(int, rng.permutation([2, 3, 5])), 1]),
    crashes=CACHE_CRASHES,
)(_expect_parts)


@remember.case(
    "two texts with two caches take turns",
    points=2,
    adapter="two_texts",
    inputs=lambda rng: _fed(rng, [3, 1, 1]) | {"other": _text(rng, 2, 5)},
    crashes=CACHE_CRASHES,
)
def _(given, got):
    w, texts = given["weights"], [given["idx"], given["other"]]
    stops = np.cumsum(given["parts"])[:-1]

    def in_turns(*wholes) -> list[np.ndarray]:
        """The first part of each whole, then the second of each, and so on."""
        parts = [np.split(whole, stops, 1) for whole in wholes]
        return [part for turn in zip(*parts, strict=True) for part in turn]

    plain = [_gpt_logits(w, text) for text in texts]
    turns = in_turns(*texts)
    # With one memory for both, all parts are one text, in the order in which they were fed.
    one_text = np.concatenate(turns, 1)
    at = np.cumsum([part.shape[1] for part in turns])[:-1]
    mixed = np.split(_gpt_logits(w, one_text), at, 1)
    # With one counter for both, their positions are those in that text.
    places = np.split(np.arange(one_text.shape[1]), at)
    counted = [
        _gpt_logits(w, text, at=np.concatenate(places[i::2])) for i, text in enumerate(texts)
    ]
    not_its_own = (
        "The second text goes on where the first one stopped: its cache isn't its own. Keep "
        "nothing in the model or in a default; `new_cache()` makes new dicts at each call."
    )
    for i, (mine, right, one_memory, one_counter) in enumerate(
        zip(got["logits"], in_turns(*plain), mixed, in_turns(*counted), strict=True)
    ):
        mistakes = [Mistake(one_memory, not_its_own), Mistake(one_counter, COUNTER)]
        what = f"text {i % 2 + 1}, part {i // 2 + 1}"
        expect(what, _logits(what, mine, right.shape), right, mistakes=mistakes, tol=CLOSE)
    expect("the first text without a cache, after that", got["plain"], plain[0], tol=CLOSE,
           hint="A call without a cache sees what others left behind: something is stored in the "
           "model or in a default.")  # fmt: skip


def _greedy(w: dict, idx: np.ndarray, new: int, row: int = -1, newest=False) -> np.ndarray:
    """The likeliest tokens; `newest`: from the one before alone, once the prompt was read."""
    for i in range(new):
        fed = idx[:, -1:] if newest and i else idx
        likeliest = _gpt_logits(w, fed)[:, row].argmax(-1)
        idx = np.concatenate([idx, likeliest[:, None]], 1)
    return idx


def _to_continue(rng: np.random.Generator) -> dict:
    T, new = int(rng.integers(5, 9)), int(rng.integers(6, 10))
    while True:
        w, idx = _small_gpt(rng), _text(rng, 3, T)
        best = np.sort(_gpt_logits(w, _greedy(w, idx, new)), 2)[:, T - 1 :]
        if (best[..., -1] - best[..., -2]).min() > 1e-3:  # rounding decides about no token
            return {"sizes": SIZES, "weights": w, "idx": idx, "new": new}


@remember.case(
    "the same tokens, each position computed once",
    points=3,
    adapter="continued",
    inputs=_to_continue,
    crashes=CACHE_CRASHES,
)
def _(given, got):
    w, idx, new = given["weights"], given["idx"], given["new"]
    T = idx.shape[1]
    want = _greedy(w, idx, new)
    fed = got["fed"]
    everything, right = sum(range(T, T + new)), T + new - 1
    hints = {
        everything: "The whole text is fed for each new token, to a cache that holds it already: "
        "after the prompt, feed the newest token alone, `idx[:, -1:]`.",
        new: "Only the last token is fed, from the start: the prompt has to pass through the model "
        "once, as a whole.",
        T + new: "The last token of the prompt passes twice: after the prompt, the next to feed "
        "is the token that its logits gave.",
    }
    _expect(
        f"generate_cached(model, idx, {new})",
        got["tokens"],
        want,
        lambda: [
            Mistake(want[:, T:], "Only the new tokens came back: the prompt stands in front of "
                    "them."),
            *(Mistake(_greedy(w, _greedy(w, idx, n, row=0), new - n), "You take the logits of the "
                      "first row: what follows the text is in the last, `logits[:, -1]`.")
              for n in (1, new)),
            Mistake(_greedy(w, idx, new, newest=True), "Each new token follows from the newest one "
                    "alone. If the cases above pass, the cache doesn't arrive: one that is made "
                    "before the loop goes into every call, `model(new, cache)`."),
            Mistake(want[:, :-1], "The last token is missing."),
            Mistake(_greedy(w, idx, new + 1), "There is one token too many."),
        ],
        tol=0,
        hint=hints.get(fed, "If the cases above pass, the model is right: look at what you feed, "
                       "and that you take the likeliest, `logits[:, -1].argmax(-1)`."),
    )  # fmt: skip
    if fed == everything:
        hint = "The tokens are right, but everything is computed again for each of them: pass a "
        hint += "cache, and after the prompt feed only the newest token, `idx[:, -1:]`."
    elif fed == T + new:
        hint = "One position too many: what follows the last token isn't asked for, so it needn't "
        hint += "be fed."
    elif fed < right:
        hint = "Fewer than can be: does every token pass through `wte`, as a layer that is called?"
    else:
        hint = "Feed the prompt once, and each new token once, whatever the batch."
    sum_of = f"expected {T} + {new} − 1 = {right}"
    expect_that(fed == right, f"positions of a row that are fed: {sum_of}, got {fed:g}", hint)
    expect_that(
        got["computed"] == right,
        f"positions that pass through a layer's c_attn: {sum_of}, got {got['computed']:g}",
        "The right tokens are fed, but in the layers the old ones pass through c_attn again: cache "
        "their keys and values, not what these are computed from.",
    )
    expect_that(
        got["asked"] <= right,
        f"queries of a layer that meet keys: {sum_of}, got {got['asked']:g}",
        "Old queries are kept and meet all keys again, and what comes of it is thrown away: nobody "
        "asks for it a second time. Only keys and values belong in the cache.",
    )


# --- 7.6 ----------------------------------------------------------------------------------------

sample = Exercise(
    number="7.6",
    title="Top-p sampling",
    difficulty=3,
    minutes=30,
    practises="sorting, deciding in sorted order, and finding the way back",
    answers=("top_p",),
    summary=(
        "Top-k keeps as many tokens when the model is sure as when it is not. Write the filter "
        "that keeps the likeliest tokens until together they have the probability p."
    ),
    statement="""
`top_p(logits: Tensor, p: float, temperature: float = 1.0) -> Tensor`

`logits` has the shape (B, V). Return probabilities of the same shape, one distribution a row, in
the vocabulary's order:

1. the logits are divided by `temperature` and become probabilities;
2. each row keeps its **nucleus**: the likeliest tokens, in falling order, as few as are needed for
   their probabilities to add up to at least p. The token with which the sum reaches p belongs to
   it, so at least one token is kept;
3. all other tokens get 0, and what is left is divided by its sum.

p is above 0 and at most 1. With p = 1 every token is kept, however unlikely. `logits` is not
changed. (Holtzman and others, 2020, *The Curious Case of Neural Text Degeneration*.)

```python
logits = torch.tensor([[0.1, 0.5, 0.1, 0.3], [0.96, 0.01, 0.01, 0.02]]).log()
top_p(logits, 0.7)   # [[0, 0.625, 0, 0.375], [1, 0, 0, 0]]: 0.5 + 0.3 reaches 0.7, 0.96 alone too
top_p(logits, 0.97)  # [[0.1, 0.5, 0.1, 0.3], [0.9796, 0, 0, 0.0204]]
```
""",
    hints=(
        "Sort each row in falling order and add up as you go. Which tokens are kept can be seen "
        "from the sum *before* a token; where it stood before sorting, `torch.sort` returns too.",
        "`sorted_probs, order = probs.sort(dim=-1, descending=True)`. A token is kept if the sum "
        "of those in front of it, `sorted_probs.cumsum(-1) - sorted_probs`, is below p. The "
        "answer is in sorted order; `scatter` with `order` puts it back.",
        "`kept = torch.where(before < p, sorted_probs, 0.0)`; "
        "`probs = torch.zeros_like(probs).scatter(-1, order, kept)`; divide by "
        "`probs.sum(-1, keepdim=True)`. And for `p >= 1` return the probabilities before all "
        "this, since a rounded sum may reach 1 too early.",
    ),
)


def _nucleus(probs: np.ndarray, p: float, shift: int = 0, rising: bool = False) -> np.ndarray:
    """Which tokens are kept; `shift` more or fewer than should be, or from the unlikely end."""
    order = np.argsort(probs if rising else -probs, 1, kind="stable")
    ranked = np.take_along_axis(probs, order, 1)
    count = (ranked.cumsum(1) - ranked < p).sum(1, keepdims=True) + shift
    keep = np.zeros(probs.shape, bool)
    np.put_along_axis(keep, order, np.arange(probs.shape[1]) < count, 1)
    return keep


def _likeliest(probs: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(np.argsort(-probs, 1, kind="stable"), 1) < count


def _renormalised(weights: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return weights / weights.sum(1, keepdims=True)


def _kept_wrongly(logits: np.ndarray, probs: np.ndarray, p: float) -> list[tuple]:
    """Wrong choices of tokens, each with its hint."""
    V, keep, fewer = probs.shape[1], _nucleus(probs, p), _nucleus(probs, p, -1)
    order = np.argsort(-probs, 1, kind="stable")
    top, sizes = probs.max(1, keepdims=True), keep.sum(1)

    def falling(x: np.ndarray) -> np.ndarray:
        return np.take_along_axis(x, order, 1)

    def put_back(in_order: np.ndarray) -> np.ndarray:
        x = np.empty_like(in_order)
        np.put_along_axis(x, order, in_order, 1)
        return x

    def before(x: np.ndarray, axis: int = 1) -> np.ndarray:
        return x.cumsum(axis) - x

    crossing = (
        "The token with which the sum reaches p is dropped: it belongs to the nucleus. Ask for the "
        "sum of the tokens before it: is that still below p?"
    )
    back = (
        "The decision was made in sorted order and used in the vocabulary's: other tokens are kept "
        "than those you meant. Put it back with the indices that `sort` returned, by `scatter`."
    )
    unsorted = (
        "The probabilities are added up in the vocabulary's order: sort each row first, the "
        "likeliest in front."
    )
    rising = (
        "Sorted in rising order, the sum begins with the unlikeliest tokens: `descending=True`. "
        "(Or drop, from that end, what adds up to no more than 1 − p.)"
    )
    along = (
        "Each row is a distribution of its own: sort, add up and divide along the last axis, V, "
        "not along the batch."
    )
    flat = probs.reshape(1, -1) / len(probs)
    down = np.argsort(-probs, 0, kind="stable")
    by_column = np.zeros_like(keep)
    np.put_along_axis(by_column, down, before(np.take_along_axis(probs, down, 0), 0) < p, 0)
    wrong = [
        (fewer, crossing),
        (falling(keep), back),
        (falling(fewer), back),
        (before(probs) < p, unsorted),
        (probs.cumsum(1) <= p, unsorted),
        (put_back(before(probs) < p), unsorted),
        (_nucleus(probs, p, 0, rising=True), rising),
        (_nucleus(probs, p, -1, rising=True), rising),
        (~_nucleus(probs, p, 0, rising=True), rising),
        (~_nucleus(probs, p, -1, rising=True), rising),
        (_nucleus(probs, p, 1), "One token too many is kept: as soon as the sum reaches p, the "
         "nucleus is complete."),
        (~keep, "The nucleus is dropped, and the rest of the row is kept: it is the other way "
         "round."),
        (probs >= p, "You keep tokens whose own probability is at least p: it is the sum of the "
         "likeliest that has to reach p."),
        (probs >= 1 - p, "You keep tokens whose own probability is at least 1 − p: it is the sum "
         "of the likeliest that has to reach p."),
        (probs >= p * top, "You compare each token with p times the likeliest (that is min-p): "
         "here the sum of the likeliest has to reach p."),
        (put_back(before(falling(logits)) < p), "You add up logits. Only probabilities add up to "
         "1: softmax comes before the sum."),
        (by_column, along),
        (put_back(before(falling(probs), 0) < p), along),
        (_nucleus(flat, p).reshape(probs.shape), "One nucleus is taken of the whole batch: each "
         "row is a distribution of its own, and keeps its own."),
    ]  # fmt: skip
    reasons = {
        max(1, round(p * V)): ", which is p · V",
        int(sizes.max()): ", as many as the row that needs most",
        int(sizes[0]): ", as many as the first row needs",
    }
    for k in range(1, V):
        same = f"Each row keeps the same number of tokens, {k}{reasons.get(k, '')}: how many are "
        same += "needed differs from row to row."
        wrong.append((_likeliest(probs, k), same))
    return wrong


def _top_p_wrongly(logits: np.ndarray, p: float, temperature: float) -> list[Mistake]:
    plain, probs = softmax(logits), softmax(logits / temperature)
    keep = _nucleus(probs, p)
    right = _renormalised(probs * keep)
    order = np.argsort(-probs, 1, kind="stable")
    in_order = np.take_along_axis(right, order, 1)
    hot, divided = softmax(logits * temperature), softmax(plain / temperature)
    twice = softmax(logits / temperature**2)
    batch = softmax(logits / temperature, 0)
    sorted_still = (
        "The result is in sorted order, the likeliest first: column i has to be token i again. "
        "`scatter` with the indices of `sort`."
    )
    not_rows = "Each row is a distribution of its own: softmax and sums go along the last axis, V."
    filtered = "These are filtered logits: return probabilities."
    zeroed = (
        "The logits of the dropped tokens are set to 0, and softmax gives them exp(0): hide them "
        "with −∞, or set probabilities to 0 and divide by the sum."
    )
    again = "softmax is taken a second time, of probabilities: divide by the sum instead."
    with np.errstate(divide="ignore"):
        wrong = [
            (probs * keep, "What is left doesn't add up to 1: divide each row by its sum."),
            (probs, "Nothing is filtered: these are the probabilities of all tokens. (If you shift "
             "a mask by one, `m[:, 1:] = m[:, :-1]`, the right side needs `.clone()`: it is "
             "overwritten while it is read.)"),
            (in_order, sorted_still),
            (in_order * _renormalised(probs * keep).max(), sorted_still),
            (np.take_along_axis(in_order, order, 1), "`gather` with the indices of `sort` isn't "
             "the way back, it sorts once more: use `scatter`, or gather with "
             "`order.argsort(-1)`."),
            (_renormalised(batch * _nucleus(batch, p)), not_rows),
            (_renormalised((probs * keep).T).T, not_rows),
            *((v, "The whole batch adds up to 1: divide each row by its own sum, `sum(-1, "
               "keepdim=True)`.") for v in (right / len(right), probs * keep / probs[keep].sum())),
            (np.log(right), "These are logarithms: return the probabilities."),
            (np.where(keep, logits, -np.inf), filtered),
            (np.where(keep, logits / temperature, -np.inf), filtered),
            (softmax(np.where(keep, logits / temperature, 0.0)), zeroed),
            (softmax(probs * keep), again),
            (softmax(np.where(keep, probs, -np.inf)), again),
        ]  # fmt: skip
    if temperature != 1:
        wrong += [
            (_renormalised(probs * _nucleus(plain, p)), "The temperature comes after the filter: "
             "the nucleus is of the probabilities at this temperature, so divide the logits "
             "first."),
            (_renormalised(plain * _nucleus(plain, p)), "The temperature isn't used."),
            (_renormalised(plain * keep), "The temperature decides which tokens are kept, but "
             "their probabilities are those without it."),
            (_renormalised(twice * _nucleus(twice, p)), "The temperature is used twice."),
            (_renormalised(hot * _nucleus(hot, p)), "The logits are multiplied by the temperature: "
             "divide by it, so that a high one makes rows flatter."),
            *((_renormalised(v), "The temperature divides probabilities: it belongs to the logits, "
               "before softmax.") for v in (divided * _nucleus(divided, p),
                                            plain * _nucleus(plain, p * temperature))),
        ]  # fmt: skip
    flat = (probs / len(probs)).reshape(1, -1)
    whole = _renormalised(flat * _nucleus(flat, p)).reshape(probs.shape)
    wrong.append((whole, "The whole batch is treated as one distribution: each row is one."))
    for kept, hint in _kept_wrongly(logits / temperature, probs, p):
        values = _renormalised(probs * kept)
        # Renormalised or not, and with zeros or NaN where nothing is left.
        wrong += [(v, hint) for v in (values, np.nan_to_num(values), probs * kept)]
    return [Mistake(value, hint) for value, hint in wrong]


TOP_P_CRASHES = {
    "must match the size|is broadcastable|expanded size": "The sum of each row needs an axis to be "
    "divided by: `keepdim=True` leaves (B, 1).",
    "requires.*int64|Expected dtype int64|indices must be long": "`scatter` and indexing need the "
    "*indices* that `sort` returns second.",
    "single memory location": "A slice is copied onto a part of itself: the right side needs "
    "`.clone()`.",
    "out of bounds|out of range": "An index beyond the row: if all tokens are kept, is there one "
    "with which the sum reaches p?",
}


def _telling_rows(rng: np.random.Generator, temperature: float = 1.0) -> dict:
    """Rows of different certainty, in which every known mistake has a result of its own."""
    p, B, V = float(rng.choice([0.7, 0.75, 0.8])), 5, int(rng.integers(9, 13))
    spread = temperature * np.linspace(0.5, 2.5, B)[:, None]  # from an unsure row to a sure one
    while True:
        logits = rng.permutation(spread) * rng.normal(size=(B, V)) + rng.normal(size=(B, 1))
        probs = softmax(logits / temperature)
        sums = np.sort(probs)[:, ::-1].cumsum(1)
        sizes = _nucleus(probs, p).sum(1)
        # No sum so close to p that rounding decides; a nucleus of several tokens, not of all.
        if np.abs(sums - p).min() < 0.01 or sizes.min() < 2 or sizes.max() > V - 2:
            continue
        given = {"logits": logits, "p": p, "temperature": temperature}
        hints: dict[bytes, str] = {}
        for mistake in _top_p_wrongly(**given):
            result = np.round(mistake.value, 9).tobytes()
            if hints.setdefault(result, mistake.hint) != mistake.hint:
                break
        else:
            return given


def _expect_nucleus(given: dict, got: dict, mistakes: Callable, hint: str) -> None:
    logits, p, temperature = given["logits"], given["p"], given["temperature"]
    probs = softmax(logits / temperature)
    warmth = f", temperature={temperature:g}" if temperature != 1 else ""
    what = f"top_p(logits, {p:g}{warmth})"
    mine = got["probs"]
    _one_tensor(what, mine)
    if np.shape(mine) != probs.shape:
        hint = "Return a probability for every token of every row, (B, V), and draw none."
    _expect(what, mine, _renormalised(probs * _nucleus(probs, p)), mistakes, hint=hint)
    overwritten = "You overwrite the caller's logits: `logits /= …` and `logits[…] = …` change "
    overwritten += "them in place. Make new tensors."
    expect("logits after the call", got["logits"], logits, hint=overwritten)


def _expect_telling(given: dict, got: dict) -> None:
    _expect_nucleus(
        given,
        got,
        lambda: _top_p_wrongly(given["logits"], given["p"], given["temperature"]),
        "Print `probs.sort(dim=-1, descending=True)` for a row, its sums from the left, and what "
        "your code keeps of it: as few tokens as add up to p.",
    )


sample.case(
    "rows of different certainty",
    points=2,
    adapter="nucleus",
    inputs=lambda rng: _telling_rows(rng),
    crashes=TOP_P_CRASHES,
)(_expect_telling)


sample.case(
    "with a temperature",
    points=2,
    adapter="nucleus",
    inputs=lambda rng: _telling_rows(rng, float(rng.choice([0.5, 1.75]))),
    crashes=TOP_P_CRASHES,
)(_expect_telling)


def _sure(rng: np.random.Generator) -> dict:
    logits = rng.normal(size=(3, 10))
    logits[np.arange(3), rng.permutation(10)[:3]] += 6
    return {"logits": logits, "p": float(rng.choice([0.3, 0.5])), "temperature": 1.0}


@sample.case(
    "one token alone is likelier than p",
    adapter="nucleus",
    inputs=_sure,
    crashes=TOP_P_CRASHES,
)
def _(given, got):
    kept_none = (
        "Nothing is left, hence the zeros or NaN: the first token takes the sum past p at once, "
        "and is part of the nucleus. Ask for the sum *before* a token, which is 0 for the first."
    )
    shape = given["logits"].shape
    nothing = [Mistake(np.full(shape, v), kept_none) for v in (0.0, np.nan, 1 / shape[1])]
    more = "The likeliest token alone reaches p here, and is all that is kept: if the cases above "
    more += "pass, look at what your code does with the first of a row."
    _expect_nucleus(given, got, lambda: nothing, more)


def _long_tail(rng: np.random.Generator) -> dict:
    """In float32 the sum reaches 1 before the last tokens, and exp of these logits overflows."""
    logits = np.sort(rng.uniform(-20, -14, size=(2, 40)), 1)
    logits[0, rng.permutation(40)[:3]] = rng.uniform(0, 1, 3)
    logits[1, rng.permutation(40)[:5]] = rng.uniform(0, 1, 5)
    logits += 100
    return {"logits": logits.astype(np.float32), "p": 1.0, "temperature": 1.0}


@sample.case("p = 1", adapter="nucleus", inputs=_long_tail, crashes=TOP_P_CRASHES)
def _(given, got):
    logits = given["logits"].astype(np.float64)
    want = softmax(logits)
    _one_tensor("top_p(logits, 1.0)", got["probs"])
    if np.shape(got["probs"]) == want.shape and np.isnan(got["probs"]).any():
        raise Wrong(
            "top_p(logits, 1.0), with logits of about 100: expected probabilities, got NaN",
            "exp of a large logit is infinite, and a quotient of two of these is NaN: `softmax` "
            "takes care of that, or subtract the largest logit of each row before `exp`.",
        )
    probs = array("top_p(logits, 1.0)", got["probs"], want.shape)
    lost = int((probs == 0).sum())
    expect_that(
        lost == 0,
        f"top_p(logits, 1.0): expected all {probs.size} tokens, got zeros for {lost}",
        "Unlikely tokens are lost. If the cases above pass, it is rounding: in float32 the sum "
        "reaches 1 before the last tokens come. For p ≥ 1 there is nothing to filter.",
    )
    logits_back = Mistake(logits, "These are the logits: p = 1 asks for probabilities, too.")
    expect("top_p(logits, 1.0)", probs, want, mistakes=[logits_back])


# --- 7.7 ----------------------------------------------------------------------------------------

detect = Exercise(
    number="7.7",
    title="A test of causality",
    difficulty=4,
    minutes=45,
    practises="writing a test that fails when it should, and only then",
    answers=("is_causal",),
    summary=(
        "A model that can see the future trains beautifully and generates nonsense. Write the test "
        "that finds such leaks from outside, whatever their cause."
    ),
    statement="""
`is_causal(model: nn.Module, vocab_size: int, block_size: int) -> bool`

`model(idx)` takes tokens from 0 to vocab_size − 1 of shape (B, T), for any B and any T up to
block_size, to logits (B, T, V). Return `True` if at every length T, for every position t, no token
after t has any influence on the logits at t; else `False`. You see nothing of the model but what it
returns.

- Judge the model as it is in **eval mode**, for dropout differs from call to call, and BatchNorm in
  train mode mixes everything with everything. Leave it in the mode in which it came.
- float32 rounds: a model without a leak may still differ by up to 1e-5 where the future differs.
  The leaks of the check change some logit by more than 0.001.
- Some of these models have two tokens only.

The next cell plants three leaks that people really build: a mask that is one diagonal too large,
softmax over the queries, and a mean taken over all of time. The check has these, others, and models
without any.

```python
is_causal(Planted(), 27, 8)           # True
is_causal(Planted("mask"), 27, 8)     # False
is_causal(Planted("softmax"), 27, 8)  # False
is_causal(Planted("mean"), 27, 8)     # False
```
""",
    hints=(
        "Take any text and change its future: which logits must stay the same? Then ask what a "
        "test misses that changes the last token only, or that tries one length only.",
        "For every T and every cut between 1 and T − 1: exchange *all* tokens from the cut on for "
        "others, `(idx + 1) % vocab_size`, and compare the logits before the cut, "
        "`atol=1e-4`. All cuts of one length fit into one batch.",
        "`was = model.training`, `model.eval()`, and in `torch.no_grad()`: `t = torch.arange(T)`; "
        "`batch = torch.where(t < t[:, None] + 1, idx, (idx + 1) % vocab_size)`, whose row i keeps "
        "the tokens 0 to i. Its last row is the unchanged text; "
        "`(logits - logits[-1]).abs().amax(2).tril()` may nowhere be above 1e-4. At the end "
        "`model.train(was)`.",
    ),
)

N, CHANNELS = 8, 12  # block_size and channels of the models


def _model(rng: np.random.Generator, leak: object = None, V: int = 30, **changes) -> dict:
    """A model of one layer for the adapter, without a leak or with this one."""
    C = CHANNELS
    bias = np.where(np.tri(N, dtype=bool), 0.0, -np.inf)
    if leak == "next":
        bias[np.arange(N - 1), np.arange(1, N)] = 0.0
    elif leak == "soft":
        bias[np.isinf(bias)] = -8.0
    elif isinstance(leak, tuple):
        bias[leak] = 0.0
    elif isinstance(leak, int):
        bias[0, 1] = 0.0
    spec = {
        "wte": rng.normal(size=(V, C)),
        "wpe": 0.5 * rng.normal(size=(N, C)),
        # Scores near 0, so that attention is spread out and no leak gets next to nothing.
        "w_attn": rng.normal(size=(3, C, C)) / math.sqrt(C) * np.reshape([0.4, 0.4, 1], (3, 1, 1)),
        "w_out": rng.normal(size=(C, V)) / math.sqrt(C),
        "shift": 0.0,
        "bias": bias,
        "tail": leak == "tail",
        "leaky_at": leak if isinstance(leak, int) else 0,
        "axis": -2 if leak == "queries" else -1,
        "center": leak == "mean",
        "total": False,
        "dropout": 0.0,
        "norm": False,
        "train": False,
    }
    return spec | changes


def _models(rng: np.random.Generator, kinds: list, **changes) -> dict:
    """Models in random order, and for the verdict what leaks in each."""
    order = rng.permutation(len(kinds))
    return {
        "models": [_model(rng, kinds[i], **changes) for i in order],
        "_leaks": [kinds[i] for i in order],
    }


LEAKS = {
    "next": "where every position sees the next one",
    "queries": "with softmax over the queries",
    "mean": "that subtracts the mean over time",
    "soft": "whose mask is −8, not −∞",
    "tail": "whose mask is right only for T = block_size",
}


def _expect_judged(given: dict, got: dict, rejected: str, missed: str) -> None:
    """Raise unless exactly the leaks are found. The hints are for a sound model that is called
    leaky, and for a leak that is missed."""
    leaks, found = given["_leaks"], []
    for i, mine in enumerate(got["causal"]):
        if isinstance(mine, np.ndarray) and mine.size == 1:
            mine = mine.item()
        if not isinstance(mine, bool):
            raise Wrong(
                f"model {i + 1}: expected True or False, got {mine!r:.60}",
                "Nothing came back: end with `return True` or `return False`."
                if mine is None
                else "Return True or False, one for the model as a whole.",
            )
        found.append(not mine)
    wrong = [i for i, leak in enumerate(leaks) if found[i] != (leak is not None)]
    if not wrong:
        return
    if len(wrong) == len(leaks):
        rejected = "Each answer is turned round: True means that nothing leaks."
    # A sound model that is called leaky comes first: such a test "finds" every leak.
    i = next((i for i in wrong if leaks[i] is None), wrong[0])
    leak, model = leaks[i], f"model {i + 1} of {len(leaks)}"
    if leak is None:
        raise Wrong(f"{model}, without a leak: expected True, got False", rejected)
    if isinstance(leak, str):
        told = LEAKS[leak]
    elif isinstance(leak, int):
        told = f"where 0 sees 1 in texts of {leak} tokens, and in no others"
    else:
        told = f"where {leak[0]} sees {leak[1]}"
    message = f"{model}, {told}: expected False, got True; "
    message += f"{sum(found)} of {len(leaks) - leaks.count(None)} leaks found"
    longest = max(max(lengths, default=0) for lengths in got["lengths"])
    if longest == 0:
        missed = "The model is never called: feed it tokens, `model(idx)`."
    elif max(got["texts"]) < 2:
        missed = "The model only ever met one and the same text. `changed = idx` is no copy: what "
        missed += "you change in the one changes in the other. Take `idx.clone()`."
    elif longest < N:
        missed = f"You test texts of up to {longest} tokens, and the model takes block_size = {N}: "
        missed += "what leaks further back stays unseen."
    raise Wrong(message, missed)


JUDGED_CRASHES = {
    "has to be of shape|Dimension out of range|too many indices": "The model takes a batch of "
    "texts, (B, T), and returns (B, T, V): is an axis missing? `idx[None]` makes one text a batch.",
    "scalar types: Long|requires_grad|require gradients|require grad": "Tokens are whole numbers "
    "and have no gradient: exchange some for others and compare the logits.",
    "index out of range in self|out of bounds": "A token of vocab_size or more: `(idx + 1) % "
    "vocab_size` stays within the vocabulary.",
    "are more than block_size": "block_size is the longest text that the model takes.",
    "AssertionError": "Return False where you would complain: the caller wants an answer.",
    "only one element tensors|ambiguous": "A comparison of tensors gives a tensor: `.all()`, "
    "`.any()`, or `torch.allclose`, which gives True or False.",
}
SEE_FIRST = "A model without a leak is called leaky, as it may be in the first case: begin there."


@detect.case(
    "the three planted leaks, and models without any",
    points=2,
    adapter="judged",
    inputs=lambda rng: _models(rng, ["next", "queries", "mean", None, None]),
    crashes=JUDGED_CRASHES,
)
def _(given, got):
    _expect_judged(
        given,
        got,
        "A model without a leak is called leaky. Its logits change where a token changes, and "
        "after it: only those *before* the first changed token must stay. (Changing tokens t and "
        "later, compare the logits 0 to t − 1, `[:, :t]`.)",
        "Print `(a - b).abs().max()` for the logits that you compare: in these models the future "
        "moves some of them by more than 0.001. Is the tolerance too wide, or are positions left "
        "out that have changed?",
    )


PLACES = [*((row, row + 1) for row in range(N - 1)), (0, N - 1), (1, N - 2)]


def _missed_places(given: dict, got: dict) -> str:
    """What a test leaves out that misses these leaks: the hint."""
    pairs = zip(given["_leaks"], got["causal"], strict=True)
    missed = {tuple(leak) for leak, mine in pairs if leak is not None and mine}

    def those(seen) -> bool:
        """Whether these are the leaks that a test misses which only has eyes for `seen`."""
        return missed == {(row, key) for row, key in PLACES if not seen(row, key)}

    if those(lambda row, key: key == N - 1):
        return (
            "You change or cut off the last token only. A leak between two earlier positions stays "
            "unseen, as where 0 sees 1: change the future at every cut of the text."
        )
    for cut in range(1, N - 1):
        if those(lambda row, key, cut=cut: row < cut <= key):
            return (
                f"You change or cut off the tokens from {cut} on and compare those before: leaks "
                "on one side of this cut stay unseen. Try every cut from 1 to T − 1."
            )
    if those(lambda row, key: key < N - 1) or missed == {(N - 2, N - 1)}:
        return "The last token is never changed alone: in `range(1, T)`, the last cut is T − 1."
    if missed == {(0, 1)}:
        return "The first cut is missing, where token 0 stays and all others change: it is 1."
    if those(lambda row, key: key == row + 1):
        return (
            "You compare the logits just before the changed token and none further back: a leak "
            "can reach far, so compare all positions before it."
        )
    if those(lambda row, key: row > 0):
        return "Position 0 is never compared: it has a future too, all the other tokens."
    if those(lambda row, key: row == 0):
        return "You only look at the logits of position 0: every position has a future."
    return (
        "Each of these models has one hole in its mask. Change the future at every cut of the "
        "text, and compare all positions before the cut. What is drawn at random, a cut or a "
        "token, misses some by chance."
    )


@detect.case(
    "a single hole in the mask",
    points=3,
    adapter="judged",
    inputs=lambda rng: _models(rng, [*PLACES, None, None]),
    crashes=JUDGED_CRASHES,
)
def _(given, got):
    _expect_judged(given, got, SEE_FIRST, _missed_places(given, got))


def _in_train_mode(rng: np.random.Generator) -> dict:
    dropout = _models(rng, [None, None, "next"], dropout=0.4, train=True)
    norm = _models(rng, [None, "mean"], norm=True, train=True)
    evaluated = _models(rng, [None], dropout=0.4)
    return {key: dropout[key] + norm[key] + evaluated[key] for key in dropout}


@detect.case(
    "dropout and BatchNorm, in the mode in which they come",
    points=2,
    adapter="judged",
    inputs=_in_train_mode,
    crashes=JUDGED_CRASHES,
)
def _(given, got):
    train_mode = (
        "You call the model in train mode: there, dropout draws anew at each call, and BatchNorm "
        "takes its statistics over the batch and over time. `model.eval()` comes first."
    )
    missed = "Leaks are missed here that the first case has, too: begin there."
    _expect_judged(given, got, train_mode if any(got["in_train"]) else SEE_FIRST, missed)
    expect_that(
        all(got["mode_kept"]),
        "the mode of the models after the call: expected the same as before it, got another",
        "A test must leave no trace: a model that trains on after it would do so without dropout. "
        "Keep `was = model.training`, and call `model.train(was)` at the end.",
    )


def _rounding(rng: np.random.Generator) -> dict:
    rounding = _models(rng, [None, None, None, "soft"], total=True)
    exact = _models(rng, [None, "soft", "soft"], shift=10.0)  # a relative tolerance sees less
    for model in rounding["models"] + exact["models"]:
        model["w_out"] -= model["w_out"].mean(1, keepdims=True)  # and the mean of logits nothing
    return {key: rounding[key] + exact[key] for key in rounding}


@detect.case(
    "rounding, and leaks that are small",
    points=2,
    adapter="judged",
    inputs=_rounding,
    crashes=JUDGED_CRASHES,
)
def _(given, got):
    rejected = SEE_FIRST
    exact = next(i for i in range(4, 7) if given["_leaks"][i] is None)
    if got["causal"][exact]:
        rejected = (
            "These models compute the mean of the past as the sum of all minus the sum of the "
            "future. That is right, and float32 rounds: compare with a tolerance, "
            "`torch.allclose(a, b, atol=1e-4)`, not with `==` or `torch.equal`."
        )
    missed = (
        "The tolerance is too wide: these leaks move some logit by 0.001 to 0.1, and rounding "
        "moves none by more than 1e-5. Compare the logits themselves, not their mean or their "
        "largest. (`torch.allclose` also has a relative tolerance; `atol` is the one to set.)"
    )
    _expect_judged(given, got, rejected, missed)


@detect.case(
    "a vocabulary of two tokens",
    adapter="judged",
    inputs=lambda rng: _models(rng, [None, *[(N - 2, N - 1)] * 8], V=2),
    crashes=JUDGED_CRASHES,
)
def _(given, got):
    missed = (
        "If the cases above pass, the future wasn't changed: of two tokens, one that is drawn at "
        "random is the old one half of the time, and so is a fixed one. `(idx + 1) % vocab_size` "
        "is always another."
    )
    if all(got["causal"]):  # all of them: that isn't chance
        missed = "A hole in the mask is missed, whatever the vocabulary: begin with that case."
    _expect_judged(given, got, SEE_FIRST, missed)


@detect.case(
    "leaks at some lengths only",
    adapter="judged",
    inputs=lambda rng: _models(rng, ["tail", None, None, N, N - 3]),
    crashes=JUDGED_CRASHES,
)
def _(given, got):
    unseen = set(range(2, N + 1)) - {n for lengths in got["lengths"] for n in lengths}
    missed = (
        "Texts of this length are fed, but the leak in them isn't found: for each length, every "
        "cut has to be tried and all positions before it compared. A last token that changes shows "
        "what it leaks itself, and nothing of the others."
    )
    if unseen == set(range(2, N)):
        missed = (
            f"You only test T = block_size = {N}. A mask that is cut wrongly for shorter texts "
            "leaks there, and every text that is generated begins short: test all lengths."
        )
    elif unseen:
        missed = f"No text of {min(unseen)} tokens is fed: test all lengths from 2 to block_size."
    _expect_judged(given, got, SEE_FIRST, missed)


_HERE = (fuse, remember, sample, detect)
EXERCISES = tuple(sorted((*_HERE, *gpt_training.EXERCISES), key=lambda exercise: exercise.number))
