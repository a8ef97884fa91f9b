"""The verdict on dropout in 7.1, made from one call in train mode and one in eval mode.

The layer is given one position a text, which can look at itself alone, and values and a bias of 1.
So each number that comes back tells which of the two dropouts it has passed, and by what each of
them multiplied it: `output` · (`weight` + 1).
"""

import numpy as np

from zerotohero.course.checks.gpt.shared import one_tensor
from zerotohero.course.exercise import Wrong, array, expect, expect_that

TEXTS, HEADS, HEAD_SIZE = 250, 4, 4


def to_drop(rng: np.random.Generator) -> dict:
    """Return the layer; p isn't near a half, because there 1 − p would be the same."""
    C = HEADS * HEAD_SIZE
    identity = np.eye(C)
    p = int(rng.integers(15, 43)) / 100
    layer = {
        "x": np.ones((TEXTS, 1, C)),
        "heads": [
            [*rng.normal(size=(2, HEAD_SIZE, C)), values] for values in np.split(identity, HEADS)
        ],
        "proj": identity,
        "bias": np.ones(C),
        "block_size": 1,
        "dropout": p,
    }
    return {"layer": layer}


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
    _expect_masks(what, y, p)


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


def _expect_masks(what: str, y: np.ndarray, p: float) -> None:
    """Expect that each weight and each number of the output is dropped by a chance of its own."""
    alive, s = y != 0, 1 / (1 - p)
    gone = np.isclose(y, s, atol=1e-4)  # the weight was dropped
    mixed = gone.any(2) & (alive & ~gone).any(2)
    expect_that(
        not mixed.any(),
        f"{what}: expected that a dropped weight takes all channels of its head with it, got heads "
        "with some of them",
        "Single channels are dropped inside the heads, not weights: the first dropout belongs on "
        "what softmax gives, before the product with v.",
    )
    seen, none_left = alive.any(2), gone.any(2)  # (B, n_head): the head's weight can be told
    by_head = none_left.sum(0) / np.maximum(seen.sum(0), 1)
    for name, shares in (("weights", by_head), ("output", 1 - alive.mean(0).ravel())):
        expect_that(
            not np.isin(shares, (0, 1)).all(),
            f"{what}: expected that each text has a dropout of its own on the {name}, got the same "
            "for all",
            f"All texts drop the same {name}: the mask's first axis is B.",
        )
    whole = ~alive.any((1, 2))
    expect_that(
        whole.mean() < p / 2,
        f"{what}: expected that single numbers of the output become 0, got whole positions",
        "The output's dropout takes all channels of a position together: each number of the output "
        "is dropped by a chance of its own.",
    )
    told = seen.all(1)
    expect_that(
        none_left[told].all(1).mean() < p / 2,
        f"{what}: expected that each head drops weights of its own, got all heads at once",
        "All heads drop the same weights: the mask of the first dropout has the shape of the "
        "weights, (B, n_head, T, T).",
    )
    for name, shares in (("weights", by_head), ("output", 1 - alive.mean((0, 2)))):
        expect_that(
            bool((np.abs(shares - p) < 0.15).all()),
            f"{what}: expected that {p:.0%} of the {name} become 0, got {shares.mean():.0%}",
        )
