"""The verdict on dropout in 7.1, made from two calls in train mode and one in eval mode.

The first layer is given one position a text, which can look at itself alone, and values and a bias
of 1. So each number that comes back tells which of the two dropouts it has passed, and by what each
of them multiplied it: `output` · (`weight` + 1). The second is given several positions with scores
of 0, and channel s of each head is 1 at position s alone: so number s of a head tells of query t
what became of the weight of key s. From what comes, the gradients follow too, of the bias and, as
keys of 0 meet queries that aren't, of the rows of keys. The third has this input, and no dropout.
"""

import numpy as np

from zerotohero.course.checks.gpt._e7_1_fuse import CUT_OFF, INTERLEAVED
from zerotohero.course.checks.gpt.shared import one_tensor
from zerotohero.course.exercise import Wrong, array, expect, expect_that

TEXTS, TIMES, HEADS, HEAD_SIZE = 250, 5, 4, 6


def to_drop(rng: np.random.Generator) -> dict:
    """Return the layers; p isn't near a half, because there 1 − p would be the same."""
    C, block_size = HEADS * HEAD_SIZE, TIMES + 2
    identity = np.eye(C)
    p = int(rng.integers(15, 43)) / 100

    def layer(x: np.ndarray, look: np.ndarray) -> dict:
        heads = [[*look, values] for values in np.split(identity, HEADS)]
        shared = {"proj": identity, "bias": np.ones(C), "block_size": block_size, "dropout": p}
        return {"x": np.repeat(x[None], TEXTS, 0), "heads": heads} | shared

    asking = [rng.normal(size=(HEAD_SIZE, C)), np.zeros((HEAD_SIZE, C))]
    longer = layer(np.tile(np.eye(TIMES, HEAD_SIZE), HEADS), asking)
    return {
        "layer": layer(np.ones((1, C)), rng.normal(size=(2, HEAD_SIZE, C))),
        "longer": longer,
        "plain": {k: v for k, v in longer.items() if k != "dropout"} | {"x": longer["x"][:20]},
    }


LEFT_ON = (
    "Dropout is left on in eval mode. `F.dropout(y, p)` and `dropout_p=p` of "
    "`F.scaled_dot_product_attention` know nothing of `eval()`: pass `self.training` on to the "
    "one, `p if self.training else 0.0` to the other; an `nn.Dropout` layer knows by itself."
)
TWO_DROPOUTS = (
    "(It is needed in two places: on the weights after softmax, and on what c_proj returns.)"
)


def dropout_in_both_modes(given: dict, got: dict) -> None:
    x, p = given["layer"]["x"], given["layer"]["dropout"]
    one_tensor("forward(x)", got["eval"])
    evaluated = array("forward(x) in eval mode", got["eval"], x.shape)
    differ = np.ptp(evaluated, 0).max() > 1e-4  # the texts are all the same
    what = f"forward(x) in eval mode with dropout = {p}"
    expect(what, evaluated, 2 * x, tol=1e-5, hint=LEFT_ON if differ else None)
    y = array("forward(x) in train mode", got["train"], x.shape)
    what = f"forward(x) in train mode with dropout = {p}"
    y, s = y.reshape(len(x), HEADS, HEAD_SIZE), 1 / (1 - p)
    if not np.isclose(y[..., None], [0, s, s * (1 + s)], atol=1e-4).any(-1).all():
        _refuse_numbers(what, y, p)
    _expect_whole_weights(what, y, p)
    _expect_nothing_dropped(given["plain"]["x"], got["plain"])
    shape = given["longer"]["x"].shape
    longer, again = (
        array("forward(x) in train mode", got[name], shape).reshape(TEXTS, TIMES, HEADS, HEAD_SIZE)
        for name in ("longer", "again")
    )
    _expect_masks(what, longer, p)
    _expect_another_call(what, longer, again, p)
    _expect_gradients(given["longer"], got, longer, p)


def _expect_nothing_dropped(x: np.ndarray, y) -> None:
    """Expect of a layer that was made without a word on dropout what separate heads give."""
    what = "forward(x) in train mode of FusedAttention(n_embd, n_head, block_size), for "
    what += f"{TIMES} positions"
    y = array(what, y, x.shape)
    t = np.arange(TIMES)[:, None, None]
    past = np.tile((t >= np.arange(HEAD_SIZE)) / (t + 1), (1, HEADS, 1)).reshape(x.shape[1:])
    hint = (
        "Without dropout, train mode gives what eval mode gives, for several positions, too: does "
    )
    hint += "the mask depend on the mode? (If the cases above fail as well, begin there.)"
    if np.ptp(y, 0).max() > 1e-4:  # the texts are all the same
        hint = "It was made without a word on dropout, which is 0.0 then: `dropout: float = 0.0`."
    expect(what, y, np.repeat(1 + past[None], len(x), 0), tol=1e-5, hint=hint)


def _refuse_numbers(what: str, y: np.ndarray, p: float) -> None:
    """Raise Wrong for numbers that the two dropouts can't make together."""
    s, levels = 1 / (1 - p), np.unique(y.round(4))

    def only(*those: float) -> bool:
        return levels.shape == (len(those),) and np.allclose(levels, those, atol=1e-3)

    in_one = f"{what}: expected dropout in two places, on the weights and on the output, got it in "
    if only(2):
        raise Wrong(
            f"{what}: expected zeros in it, got none",
            "There is no dropout in train mode. It belongs in two places, on the attention weights "
            "after softmax and on the projected output.",
        )
    if only(1, 1 + s):
        raise Wrong(in_one + "one", f"Dropout on the projected output is missing. {TWO_DROPOUTS}")
    if only(0, 2 * s):
        raise Wrong(
            in_one + "one",
            f"Dropout on the attention weights is missing. {TWO_DROPOUTS} Before softmax it drops "
            "no weight: a score of 0 is a score like others.",
        )
    if only(1, 1 + s * s):
        raise Wrong(
            f"{what}: expected zeros in it, got none: c_proj's bias is in every number",
            "The second dropout comes before c_proj: it belongs behind it, on the projected "
            "output.",
        )
    if len(levels) == 3 and levels[0] == 0:
        low, high = levels[1:]
        weights = np.isclose(y, low, atol=1e-3).sum() / (y != 0).sum(), high / low - 1
        for name, (dropped, factor) in (("weights", weights), ("output", ((y == 0).mean(), low))):
            expect_that(
                abs(factor - s) < 0.01,
                f"{what}: expected that of the {name} {p:.0%} become 0 and the others are "
                f"multiplied by {s:.4g}, got {dropped:.0%} and {factor:.4g}",
                _what_is_wrong(name, p, dropped, factor),
            )
    told = ", ".join(f"{v:.4g}" for v in levels[:4]) + ", …" * (len(levels) > 4)
    raise Wrong(
        f"{what}: expected 0, {s:.4g} and {s * (1 + s):.4g}, which two dropouts make of values and "
        f"a bias of 1, got {told}",
        "Each of the two dropouts sets a share p to 0 and divides the rest by 1 − p: once on the "
        "weights, once on the output.",
    )


def _what_is_wrong(name: str, p: float, dropped: float, factor: float) -> str | None:
    s = 1 / (1 - p)
    if abs(factor - 1) < 0.01:
        return (
            f"What is kept of the {name} has to be divided by 1 − p, so that the mean stays what "
            "it is in eval mode."
        )
    if abs(factor - 1 / p) < 0.01:
        return f"p is the share of the {name} that is dropped, not the one that is kept."
    if abs(factor - s * s) < 0.01:
        return f"Dropout comes twice on the {name}."
    if abs(factor * (1 - dropped) - 1) < 0.1:
        return f"On the {name}, dropout has another p than `dropout`, which the class was given."
    return None


def _expect_whole_weights(what: str, y: np.ndarray, p: float) -> None:
    """Expect that a weight which is dropped takes all channels of its head with it."""
    alive = y != 0
    gone = np.isclose(y, 1 / (1 - p), atol=1e-4)  # the weight was dropped

    def mixed(cut: tuple[int, ...], axis: int) -> bool:
        dropped, kept = (a.reshape(cut).any(axis) for a in (gone, alive & ~gone))
        return bool((dropped & kept).any())

    if mixed((TEXTS, HEADS, HEAD_SIZE), 2):
        raise Wrong(
            f"{what}: expected that a dropped weight takes all channels of its head with it, got "
            "heads with some of them",
            "Single channels are dropped inside the heads, not weights: the first dropout belongs "
            "on what softmax gives, before the product with v. (If the cases above fail as well, "
            "begin there: there may be another number of heads.)"
            if mixed((TEXTS, HEAD_SIZE, HEADS), 1)
            else INTERLEAVED,
        )


def _alike(dropped: np.ndarray, seen: np.ndarray, axis: int) -> bool:
    """Return whether neighbours along an axis are dropped together, where both can be told.

    By chance, at most three in four are alike.
    """
    both = seen & np.roll(seen, 1, axis)
    return bool((dropped == np.roll(dropped, 1, axis))[both].mean() > 0.95)


def _expect_masks(what: str, y: np.ndarray, p: float) -> None:
    """Expect that each weight and each number of the output is dropped by a chance of its own."""
    s, t = 1 / (1 - p), np.arange(TIMES)[:, None, None]
    past = t >= np.arange(HEAD_SIZE)
    alive, gone = y != 0, np.isclose(y, s, atol=1e-4)
    kept = np.isclose(y, s * (1 + s / (t + 1)), atol=1e-4) & past
    untouched = np.isclose(y, s * (1 + 1 / (t + 1)), atol=1e-4) & past
    _expect_these(what, y, ~alive | gone | kept | untouched, s)
    everywhere, seen = np.ones_like(alive), alive & past
    for name, dropped, told in (("weights", gone, seen), ("output", ~alive, everywhere)):
        expect_that(
            not _alike(dropped, told, 0),
            f"{what}: expected that each text has a dropout of its own on the {name}, got the same "
            "for all",
            f"All texts drop the same {name}: the mask's first axis is B.",
        )
    positions, channels = (_alike(~alive, everywhere, axis) for axis in (1, 3))
    queries, keys = (_alike(gone, seen, axis) for axis in (1, 3))
    number = "each number of the output is dropped by a chance of its own"
    weight = "the mask of the first dropout has the shape of the weights, (B, n_head, T, T)"
    expect_that(
        not channels,
        f"{what}: expected that single numbers of the output become 0, got whole positions",
        f"The output's dropout takes all channels of a position together: {number}.",
    )
    expect_that(
        not positions,
        f"{what}: expected that each position has a dropout of its own on the output, got the same "
        "for all",
        f"The output's dropout takes a channel away at all positions: {number}.",
    )
    expect_that(
        not _alike(gone, seen, 2),
        f"{what}: expected that each head drops weights of its own, got all heads at once",
        f"All heads drop the same weights: {weight}. (If the cases above fail as well, begin "
        "there: there may be but one head.)",
    )
    share = (gone & seen).sum((0, 2)) / seen.sum((0, 2)).clip(1)  # of each query and key
    off = np.where(past[:, 0], np.abs(share - p), 0)
    expect_that(
        off.max() < 0.15 or off[past[:, 0]].min() >= 0.15,
        f"{what}: expected that {p:.0%} of each of the weights become 0, got "
        f"{share[past[:, 0]].min():.0%} of some and {share[past[:, 0]].max():.0%} of others",
        "Some weights are dropped more often than others, by their place: dropout goes over all of "
        "(T, T), with one p.",
    )
    expect_that(
        not (queries and keys),
        f"{what}: expected that single weights become 0, got all of a head at once",
        f"Whole heads are dropped, as `nn.Dropout2d` does it: {weight}.",
    )
    expect_that(
        not keys,
        f"{what}: expected that single weights become 0, got all keys of a query at once",
        f"Whole rows of weights are dropped, so that a query sees nothing: {weight}.",
    )
    expect_that(
        not queries,
        f"{what}: expected that single weights become 0, got a key for all queries at once",
        f"Whole columns of weights are dropped, so that no query sees this key: {weight}.",
    )
    for name, shares in (("weights", share[past[:, 0]]), ("output", 1 - alive.mean((0, 1)))):
        expect_that(
            bool((np.abs(shares - p) < 0.15).all()),
            f"{what}: expected that {p:.0%} of the {name} become 0, got {shares.mean():.0%}",
        )
    _expect_these(what, y, ~alive | gone | kept, s)


def _expect_these(what: str, y: np.ndarray, right: np.ndarray, s: float) -> None:
    """Expect numbers that dropout makes of weights: of several positions."""
    if right.all():
        return
    i, t, head, key = (int(n) for n in np.argwhere(~right)[0])
    one = f"0 or {s:.4g}" if key > t else f"0, {s:.4g} or {s * (1 + s / (t + 1)):.4g}"
    raise Wrong(
        f"{what}, for {TIMES} positions: expected {one} at [{i}, {t}, {head * HEAD_SIZE + key}], "
        f"got {y[i, t, head, key]:.4g}",
        "Without dropout, or for one position a text, this is right. With it, for several, a "
        "weight of the past becomes 0 or is divided by 1 − p, and one that the mask hides stays 0.",
    )


def _expect_another_call(what: str, y: np.ndarray, again: np.ndarray, p: float) -> None:
    """Expect that a second call of the same module, still in train mode, draws anew."""
    expect_that(
        not again.all(),
        f"{what}, called again: expected zeros in it, as in the first call, got none",
        "After one call in train mode there is no more dropout: forward leaves the mode as it is.",
    )
    both = np.stack([y, again])
    past = np.arange(TIMES)[:, None, None] >= np.arange(HEAD_SIZE)
    alive, gone = both != 0, np.isclose(both, 1 / (1 - p), atol=1e-4)
    for name, dropped, seen in (
        ("weights", gone, alive & past),
        ("output", ~alive, np.ones_like(alive)),
    ):
        expect_that(
            not _alike(dropped, seen, 0),
            f"{what}, called again: expected other zeros on the {name}, got those of the first "
            "call",
            "Each call has to draw its dropout anew: a mask is not kept, and no generator is "
            "seeded in forward.",
        )


def _expect_gradients(layer: dict, got: dict, y: np.ndarray, p: float) -> None:
    """Expect of the sum of what came the gradients that go through both dropouts."""
    t = np.arange(TIMES)[:, None, None]
    output = (y != 0) / (1 - p)  # by what each number of the output was multiplied
    weights = (t >= np.arange(HEAD_SIZE)) / (t + 1)
    passed = ((y - output) * (t + 1) * (weights > 0)).sum(0)  # the gradient of each weight
    scores = weights * (passed - (weights * passed).sum(2, keepdims=True))  # of each score
    x, C = layer["x"][0], layer["x"].shape[2]  # all texts are the same
    queries = np.stack([x @ head[0].T for head in layer["heads"]]) / np.sqrt(HEAD_SIZE)
    keys = np.einsum("ths,htk,sc->hkc", scores[..., :TIMES], queries, x).reshape(C, C)
    expect_that(
        "c_attn.weight" in got,
        f"in train mode with dropout = {p}: expected gradients, got a result that has none",
        CUT_OFF,
    )
    told = {
        "c_proj's bias": (got["c_proj.bias"], output.sum((0, 1)).ravel()),
        "c_attn's rows of keys": (got["c_attn.weight"][C : 2 * C], keys),
    }
    for part, (gradient, want) in told.items():
        expect(
            f"in train mode with dropout = {p}, the gradient of {part}",
            gradient,
            want,
            tol=1e-2,
            hint="Gradients go through dropout as the numbers do: where it gives 0, none is passed "
            "on, and the rest is divided by 1 − p. (If the case of the gradients fails as well, "
            "begin there.)",
        )
