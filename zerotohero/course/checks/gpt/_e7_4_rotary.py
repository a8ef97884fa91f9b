"""Rotary positions of 7.4: the verdicts on values and property, and what wrong ones give."""

import numpy as np

from zerotohero.course.exercise import Mistake, array, expect, expect_that


def _rotated(x, layout="half", sign=1, first=0, base=10_000.0, power=2.0, axis=2) -> np.ndarray:
    """Return x (B, n_head, T, S), turned; the keywords are choices, and what learners get wrong."""
    S = x.shape[-1]
    angles = (np.arange(x.shape[axis]) + first)[:, None] * base ** (-power * np.arange(S // 2) / S)
    cos, sin = np.cos(angles), sign * np.sin(angles)
    if axis == 1:
        cos, sin = cos[:, None], sin[:, None]
    y = np.empty_like(x)
    if layout == "half":
        a, b = slice(0, S // 2), slice(S // 2, S)
    else:
        a, b = slice(0, S, 2), slice(1, S, 2)
    y[..., a] = x[..., a] * cos - x[..., b] * sin
    y[..., b] = x[..., a] * sin + x[..., b] * cos
    return y


LAYOUTS = [{"layout": layout, "sign": sign} for layout in ("half", "pairs") for sign in (1, -1)]


def rotary_values(calls: list, got: list) -> None:
    (x,) = calls[0]
    y = array("rotary(x)", got[0], x.shape)
    if any(np.allclose(y, _rotated(x, **layout), atol=1e-4) for layout in LAYOUTS):
        return
    hints = [
        ({"first": 1}, "Positions count from 0: the first one is not turned at all."),
        ({"power": 1.0}, "The exponent is −2i/S: yours falls half as fast."),
        ({"power": 0.0}, "All pairs turn at the same speed: pair i turns by t · 10,000^(−2i/S)."),
        ({"axis": 1}, "You turn by the number of the head: positions are axis 2."),
        ({"base": 1000.0}, "The base of the speeds is 10,000."),
        ({"power": -2.0}, "The pairs turn ever faster: the exponent −2i/S is negative."),
    ]
    wrong = [Mistake(_rotated(x, **lay, **kw), hint) for kw, hint in hints for lay in LAYOUTS]
    turns = [_rotated(np.ones_like(x), **lay) for lay in LAYOUTS]
    in_pairs = _rotated(x, layout="pairs")
    a, b = np.split(x, 2, -1)
    angles = np.arange(x.shape[2])[:, None] * 10_000.0 ** (-2 * np.arange(a.shape[-1]) / x.shape[3])
    cos, sin = np.cos(angles), np.sin(angles)
    wrong += [
        Mistake(x, "x came back as it was."),
        Mistake(
            np.concatenate([in_pairs[..., ::2], in_pairs[..., 1::2]], -1),
            "The pairs (2i, 2i + 1) are turned rightly and put down at (i, i + S/2): each number "
            "stays where it was.",
        ),
        *(
            Mistake(
                np.stack(np.split(_rotated(x, sign=sign), 2, -1), -1).reshape(x.shape),
                "The pairs (i, i + S/2) are turned rightly and put down at (2i, 2i + 1): each "
                "number stays where it was.",
            )
            for sign in (1, -1)
        ),
        *(
            Mistake(
                y,
                "One way of pairing for the numbers and another for the angles: with the "
                "pairs (2i, 2i + 1), two neighbours share an angle; with (i, i + S/2), two numbers "
                "half a vector apart.",
            )
            for y in _mixed_pairs(x, angles)
        ),
        Mistake(
            np.concatenate([a * cos - b * sin, a * sin - b * cos], -1),
            "A rotation is (a cos − b sin, a sin + b cos): one of your signs makes it a mirror.",
        ),
        Mistake(
            np.concatenate([a * cos + b * sin, a * sin + b * cos], -1),
            "A rotation is (a cos − b sin, a sin + b cos): the first sign is a minus.",
        ),
        Mistake(
            x + np.concatenate([sin, cos], -1),
            "Sines and cosines are *added*, which is the first Transformer's way. Rotary positions "
            "multiply: they turn pairs.",
        ),
        *(
            Mistake(x * t, "Each number is multiplied alone: a turned pair mixes its two.")
            for t in (*turns, np.concatenate([cos, sin], -1), np.concatenate([cos, cos], -1))
        ),
    ]
    keeps = np.allclose((y**2).sum(-1), (x**2).sum(-1), rtol=1e-3)
    hint = (
        "The vectors' lengths are kept. Compare the angle of each pair with t · 10,000^(−2i/S): "
        "which is the first that differs?"
        if keeps
        else "The lengths of the vectors have changed, so this is no rotation: turn each pair by "
        "(a cos − b sin, a sin + b cos)."
    )
    if keeps and not np.allclose(y[:, :, 0], x[:, :, 0], atol=1e-4):
        hint = "At position 0 the angles are 0, so its vectors come back as they are. Yours differ."
    expect("rotary(x)", y, _rotated(x), tol=1e-4, mistakes=wrong, hint=hint)


def _mixed_pairs(x: np.ndarray, angles: np.ndarray) -> list[np.ndarray]:
    """Return x turned in pairs of one layout, by the angles of the other."""
    a, b = np.split(x, 2, -1)
    across = np.concatenate([-b, a], -1)
    beside = np.stack([-x[..., 1::2], x[..., ::2]], -1).reshape(x.shape)
    twice, each = np.concatenate([angles, angles], -1), np.repeat(angles, 2, -1)
    return [
        x * np.cos(twice) + beside * np.sin(twice),
        x * np.cos(each) + across * np.sin(each),
    ]


def rotary_property(calls: list, got: list) -> None:
    """Check the same vector at every position: scores may depend on the distance alone."""
    T = calls[1][0].shape[2]
    q, k = (array("rotary(x)", y, calls[1][0].shape) for y in got[1:3])
    lengths = np.sqrt((q**2).sum(-1)), np.sqrt((calls[1][0] ** 2).sum(-1))
    expect("the lengths of the vectors", *lengths, tol=1e-3, hint="Turning keeps lengths.")
    scores = q @ k.swapaxes(-1, -2)  # (B, n_head, T, T)
    for d in range(-T + 1, T):
        diagonal = np.diagonal(scores, d, 2, 3)
        expect_that(
            np.allclose(diagonal, diagonal[..., :1], atol=1e-3),
            f"the scores at distance {abs(d)}: expected the same wherever they stand",
            "The product of a turned query and a turned key has to depend on their distance alone: "
            "both are turned by their own position, with the same speeds.",
        )
    flat = np.ptp(scores[..., 0, :], axis=-1) < 1e-3
    expect_that(
        not flat.any(),
        "the scores: expected others at other distances",
        "Nothing is turned: the position has no effect.",
    )
