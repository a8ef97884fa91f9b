"""What 7.4 puts into the layers: RMSNorm, SwiGLU, QK-norm, ReLU² and grouped-query attention.

Each with two verdicts, on its values and on its property, and with what wrong ones give.
"""

import math

import numpy as np

from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import Mistake, Wrong, array, expect, expect_that


def _rms(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis, keepdims=True))


def norm_values(calls: list, got: list) -> None:
    (x,) = calls[0]
    centred = x - x.mean(-1, keepdims=True)
    size = np.sqrt((x**2).sum(-1, keepdims=True))
    wrong = [
        (_rms(centred), "The mean is subtracted: that is LayerNorm. RMSNorm only divides."),
        (
            x / x.std(-1, keepdims=True),
            "You divide by the standard deviation, which measures from the mean: take the root of "
            "the mean of the squares themselves.",
        ),
        (
            x / x.std(-1, keepdims=True, ddof=1),
            "You divide by the standard deviation, which measures from the mean: take the root of "
            "the mean of the squares.",
        ),
        (
            x / size,
            "You divide by the length, the root of the *sum* of squares: with the mean, the "
            "numbers are about 1 in size.",
        ),
        (x / size**2, "You divide by the sum of squares: it is the root of their mean."),
        (x / (x**2).mean(-1, keepdims=True), "The root is missing."),
        (x / np.abs(x).mean(-1, keepdims=True), "You divide by the mean of the absolute values."),
        (
            _rms(x, 1),
            "You normalise over time: each position's vector by itself, over the last axis.",
        ),
        (_rms(x, 0), "You normalise over the batch: each vector by itself, over the last axis."),
        (x / np.sqrt((x**2).mean()), "One number for the whole tensor: each vector has its own."),
        (x, "x came back as it was."),
    ]
    expect("rms_norm(x)", got[0], _rms(x), tol=1e-3, mistakes=[Mistake(*w) for w in wrong])
    expect(f"rms_norm(x) for x of shape {x[0].shape}", got[3], _rms(x[0]), tol=1e-3)


def norm_property(calls: list, got: list) -> None:
    x, longer, moved = (call[0] for call in calls[:3])
    y, same, other = (array("rms_norm(x)", z, x.shape) for z in got[:3])
    expect("the root mean square", np.sqrt((y**2).mean(-1)), np.ones(x.shape[:-1]), tol=1e-3)
    expect(
        f"rms_norm({longer.flat[0] / x.flat[0]:.0f} * x)",
        same,
        y,
        tol=1e-3,
        hint="It has to be the same for x of any length: what is added under the root must be "
        "tiny.",
    )
    expect("rms_norm(x + 3)", other, _rms(moved), tol=1e-3, hint="The mean is not taken away.")


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def swiglu_values(calls: list, got: list) -> None:
    x, W_gate, W_up, W_down = calls[0]
    g, u = x @ W_gate, x @ W_up
    wrong = [
        (g * _silu(u), "SiLU is around the wrong product: it bends x W_gate, and x W_up passes."),
        (
            1 / (1 + np.exp(-g)) * u,
            "The gate is a plain sigmoid, which is GLU: SwiGLU has SiLU, x · σ(x).",
        ),
        (_gelu(g) * u, "The gate is GELU, which is GEGLU: SwiGLU has SiLU, x · σ(x)."),
        (np.maximum(g, 0) * u, "The gate is ReLU, which is ReGLU: SwiGLU has SiLU, x · σ(x)."),
        (g * u, "The SiLU around x W_gate is missing."),
        (_silu(g) + u, "The two are added: a gate multiplies."),
        (_silu(g), "x W_up is missing: the gate has nothing to let pass."),
        (_silu(g) * _silu(u), "SiLU is around both: x W_up passes as it is."),
        (_silu(g * u), "SiLU is around the product of both: it bends x W_gate alone."),
        (np.tanh(g) * u, "The gate is tanh: SwiGLU has SiLU, x · σ(x)."),
    ]
    expect(
        "swiglu(x, …)",
        got[0],
        (_silu(g) * u) @ W_down,
        tol=1e-4,
        mistakes=[Mistake(h @ W_down, hint) for h, hint in wrong],
    )


def swiglu_property(calls: list, got: list) -> None:
    x = calls[0][0]
    y, doubled, shut = (array("swiglu(x, …)", z, x.shape) for z in got[:3])
    _something("swiglu(x, …)", y)
    expect(
        "with W_up twice as large",
        doubled,
        2 * y,
        tol=1e-4,
        hint="x W_up passes the gate unbent, so the result doubles with it.",
    )
    expect(
        "with the gate shut (x W_gate far below 0)",
        shut,
        0 * x,
        tol=1e-4,
        hint="SiLU of a large negative number is about 0, and what is multiplied by it too.",
    )


def qk_values(calls: list, got: list) -> None:
    if not isinstance(got[0], list) or len(got[0]) != 2:
        raise Wrong("qk_norm(q, k): expected two tensors", "End it with `return q, k`.")
    for name, x, y in zip("qk", calls[0], got[0], strict=True):
        size = np.sqrt((x**2).sum(-1, keepdims=True))
        B, H, T, S = x.shape
        whole = _rms(x.swapaxes(1, 2).reshape(B, T, H * S)).reshape(B, T, H, S).swapaxes(1, 2)
        wrong = [
            (x, f"{name} came back as it was: both are normalised."),
            (
                x / size,
                "Unit length is too short: scores would then lie between −1 and 1 before they are "
                "divided by √S, and softmax could hardly choose. The root *mean* square is 1.",
            ),
            (
                _rms(x - x.mean(-1, keepdims=True)),
                "A mean is subtracted, as LayerNorm does: only divide.",
            ),
            (
                _rms(x, 1),
                "You normalise across the heads: each head's vector by itself, over the last axis.",
            ),
            (_rms(x, 2), "You normalise across time: each vector by itself, over the last axis."),
            (
                whole,
                "All heads of a position are normalised together: each head's vector has the root "
                "mean square 1.",
            ),
            (
                x / math.sqrt(S),
                "Dividing by √S is the usual scale of the scores; the vectors' own lengths still "
                "matter.",
            ),
        ]
        expect(name, y, _rms(x), tol=1e-3, mistakes=[Mistake(*w) for w in wrong])


def qk_property(calls: list, got: list) -> None:
    q, k = (array(name, y, calls[1][0].shape) for name, y in zip("qk", got[1], strict=True))
    for name, vectors in (("q", q), ("k", k)):
        sizes = np.sqrt((vectors**2).mean(-1))
        expect(f"the root mean square of {name}", sizes, np.ones_like(sizes), tol=1e-3)
    S = q.shape[-1]
    most = np.abs(q @ k.swapaxes(-1, -2)).max()
    expect_that(
        most <= S * 1.01,
        f"q · k: expected at most S = {S}, got {most:.1f}",
        "However large queries and keys become, a score is at most S (√S after the scale).",
    )
    for name, first, second in zip("qk", got[0], got[1], strict=True):
        expect(
            f"{name}, of longer vectors",
            second,
            first,
            tol=1e-3,
            hint="Only the direction of a vector may count, not its length.",
        )


def _something(what: str, y: np.ndarray) -> None:
    """Refuse zeros, which have every property: twice zero is zero."""
    expect_that(
        np.abs(y).max() > 0.01,
        f"{what}: expected numbers, got zeros",
        "Whatever comes in, nothing comes out, and of nothing no property is shown.",
    )


def relu2_values(calls: list, got: list) -> None:
    (x,) = calls[0]
    r = np.maximum(x, 0)
    wrong = [
        (x**2, "Negative numbers are squared too: ReLU comes first, then the square."),
        (r, "That is ReLU; its square is missing."),
        (x * np.abs(x), "Negative numbers become negative squares: ReLU makes them 0 first."),
        (r**3, "That is the third power."),
        (r * 2, "That is twice ReLU: square it."),
        (np.sqrt(r), "That is the root of ReLU: square it."),
        (_gelu(x) ** 2, "That is the square of GELU."),
        (x, "x came back as it was."),
    ]
    expect("relu2(x)", got[0], r**2, mistakes=[Mistake(*w) for w in wrong])
    expect("relu2(x) for x of one axis", got[3], r[0, 0] ** 2)


def relu2_property(calls: list, got: list) -> None:
    (x,), y = calls[0], array("relu2(x)", got[0], calls[0][0].shape)
    _something("relu2(x)", y)
    expect("relu2(3 x)", got[1], 9 * y, hint="Three times x, nine times the square.")
    expect("relu2 of negative numbers", got[2], np.zeros_like(x))


def _attend(q, k, v, causal=True, scale=None) -> np.ndarray:
    scores = q @ k.swapaxes(-1, -2) / (scale or math.sqrt(q.shape[-1]))
    if causal:
        scores = np.where(np.tri(q.shape[2], dtype=bool), scores, -np.inf)
    return softmax(scores) @ v


def grouped_values(calls: list, got: list) -> None:
    q, k, v = calls[0]
    n = q.shape[1] // k.shape[1]

    def grouped(share=lambda z: np.repeat(z, n, 1), **options) -> np.ndarray:
        return _attend(q, share(k), share(v), **options)

    S, H, G = q.shape[-1], q.shape[1], k.shape[1]
    wrong = [
        (
            grouped(lambda z: np.tile(z, (1, n, 1, 1))),
            "The heads are dealt out in turns: query head h reads key head h // (n_head / n_kv), "
            "so neighbours share. `repeat_interleave`, not `repeat`.",
        ),
        (
            grouped(causal=False),
            "The future is visible: it is causal attention, with a mask or `is_causal=True`.",
        ),
        (grouped(scale=1.0), "The scores are not divided by √S."),
        (
            grouped(scale=math.sqrt(S * H)),
            "The scores are divided by the root of all channels: √S, S being the size of a head.",
        ),
        (
            grouped(lambda z: z[:, :1].repeat(H, 1)),
            "All query heads read key head 0: that is multi-query attention. Each group has a head "
            "of its own.",
        ),
        (
            grouped(lambda z: z.mean(1, keepdims=True).repeat(H, 1)),
            "The key heads are averaged: each group has a head of its own.",
        ),
        (
            _attend(q.reshape(*q.shape[:1], G, n, *q.shape[2:]).mean(2), k, v),
            "The *queries* of a group are averaged, so heads are lost: n_head of them come out.",
        ),
    ]
    expect(
        "grouped_query(q, k, v)", got[0], grouped(), tol=1e-4, mistakes=[Mistake(*w) for w in wrong]
    )


def grouped_property(calls: list, got: list) -> None:
    shape = calls[0][0].shape
    few, many, future = (array("grouped_query(q, k, v)", y, shape) for y in got[:3])
    expect(
        "with each key head repeated for its group",
        many,
        few,
        tol=1e-4,
        hint="Where n_kv = n_head it is plain multi-head attention: the same as before if the "
        "heads of a group are equal.",
    )
    expect(
        "the first positions, when the last key and value change",
        future[:, :, :-1],
        few[:, :, :-1],
        tol=1e-4,
        hint="A position reads its own future.",
    )
    lone = array("grouped_query(q, k, v) with one key head", got[3], shape)
    expect("with a single key head", lone, _attend(*calls[3]), tol=1e-4)
