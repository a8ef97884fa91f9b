"""The seven functions of exercise 7.4: what they are called with, and the verdicts on what came.

Each has two verdicts: its values on small inputs, and the property that defines it.
"""

import math
from collections.abc import Callable

import numpy as np

from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import (
    Mistake,
    Wrong,
    array,
    expect,
    expect_that,
)

Verify = Callable[[list[list], list], None]  # the arguments of some calls, and what came back


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


def _rotary_values(calls: list, got: list) -> None:
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


def _rotary_property(calls: list, got: list) -> None:
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


def _rms(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis, keepdims=True))


def _norm_values(calls: list, got: list) -> None:
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


def _norm_property(calls: list, got: list) -> None:
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


def _swiglu_values(calls: list, got: list) -> None:
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


def _swiglu_property(calls: list, got: list) -> None:
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


def _qk_values(calls: list, got: list) -> None:
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


def _qk_property(calls: list, got: list) -> None:
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


def _relu2_values(calls: list, got: list) -> None:
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


def _relu2_property(calls: list, got: list) -> None:
    (x,), y = calls[0], array("relu2(x)", got[0], calls[0][0].shape)
    _something("relu2(x)", y)
    expect("relu2(3 x)", got[1], 9 * y, hint="Three times x, nine times the square.")
    expect("relu2 of negative numbers", got[2], np.zeros_like(x))


def _attend(q, k, v, causal=True, scale=None) -> np.ndarray:
    scores = q @ k.swapaxes(-1, -2) / (scale or math.sqrt(q.shape[-1]))
    if causal:
        scores = np.where(np.tri(q.shape[2], dtype=bool), scores, -np.inf)
    return softmax(scores) @ v


def _grouped_values(calls: list, got: list) -> None:
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


def _grouped_property(calls: list, got: list) -> None:
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


def _muon_pair(call: list, got) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(got, list) or len(got) != 2:
        raise Wrong(
            "muon(gradient, buffer, momentum): expected two matrices",
            "End it with `return update, buffer`.",
        )
    shape = call[0].shape
    return array("the update", got[0], shape), array("the new buffer", got[1], shape)


def _muon_values(calls: list, got: list) -> None:
    gradient, buffer, momentum = calls[0]
    update, new = _muon_pair(calls[0], got[0])
    want = momentum * buffer + gradient
    wrong = [
        (buffer, "The buffer came back as it was: the new one is momentum · buffer + gradient."),
        (gradient, "The buffer is the gradient alone: the past is forgotten."),
        (buffer + gradient, "The old buffer isn't multiplied by the momentum."),
        (
            momentum * buffer + (1 - momentum) * gradient,
            "That is an average, (1 − momentum) times the gradient: here the gradient is added "
            "whole.",
        ),
        (
            update,
            "The orthogonalised matrix came back as the buffer: keep the momentum itself, or the "
            "lengths that it sums up are lost.",
        ),
        (
            gradient + momentum * want,
            "That is Nesterov's look ahead; the buffer is momentum · buffer + gradient.",
        ),
    ]
    expect("the new buffer", new, want, tol=1e-4, mistakes=[Mistake(*w) for w in wrong])
    _expect_orthogonal(
        "the update",
        update,
        want,
        others=[
            (
                gradient,
                "The update is made of the gradient alone: it is the *buffer* that is "
                "orthogonalised.",
            ),
            (buffer, "The update is made of the old buffer: add the gradient first."),
            (
                gradient + momentum * want,
                "That looks ahead as Nesterov does; here the buffer itself is orthogonalised.",
            ),
        ],
    )


def _aligned(update: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return what the update does to the matrix's singular vectors: the unit matrix at best."""
    U, _, Vt = np.linalg.svd(matrix, full_matrices=False)
    return U.T @ update @ Vt.T


def _is_orthogonal(update: np.ndarray, matrix: np.ndarray) -> bool:
    inner = _aligned(update, matrix)
    values = np.linalg.svd(update, compute_uv=False)
    off = inner - np.diag(np.diag(inner))
    return bool(
        values.min() > 0.6
        and values.max() < 1.3
        and np.abs(off).max() < 0.15
        and np.diag(inner).min() > 0.5
    )


def _expect_orthogonal(what: str, update: np.ndarray, matrix: np.ndarray, others=()) -> None:
    if _is_orthogonal(update, matrix):
        return
    values = np.linalg.svd(update, compute_uv=False)
    spread = (
        f"{what}: expected singular values near 1, got {values.min():.2g} to {values.max():.2g}"
    )
    for other, hint in others:
        if _is_orthogonal(update, other):
            raise Wrong(
                f"{what}: expected the singular vectors of the new buffer, got others", hint
            )
    scale = np.abs(matrix).max() / max(np.abs(update).max(), 1e-12)
    if _is_orthogonal(-update, matrix):
        hint = "The sign is turned round: the update points along the buffer."
    elif np.allclose(update * scale, matrix, rtol=1e-3):
        hint = (
            "The update is the buffer, at most divided by one number: its large directions still "
            "rule. Orthogonalise it."
        )
    elif np.allclose(np.abs(update), 1, atol=1e-3):
        hint = "Each number became its sign: it is the singular values that become 1."
    elif values.min() > 0 and values.max() / values.min() < 2:
        hint = (
            "All directions have about the same length, but not 1: return the orthogonalised "
            "matrix as it is, without a learning rate."
        )
    else:
        hint = (
            "The singular values are not yet equal: divide by the norm first, then five rounds of "
            "the polynomial; check its coefficients and that A is X Xᵀ of the present X."
        )
    raise Wrong(spread, hint)


def _muon_property(calls: list, got: list) -> None:
    what = (
        "a wide matrix",
        "a tall matrix",
        "a matrix 1,000 times as large",
        "a matrix ruled by one direction",
    )
    for name, call, result in zip(what, calls[1:], got[1:], strict=True):
        gradient, buffer, momentum = call
        update, _ = _muon_pair(call, result)
        _expect_orthogonal(f"the update of {name}", update, momentum * buffer + gradient)


def calls_of_each(rng: np.random.Generator) -> dict:
    """Return, for each improvement, the arguments of the calls that its verdicts need."""
    B, H, T, S = 2, 4, 6, 8
    x = rng.normal(size=(3, 5, 16)) + rng.normal(size=16)
    q, k, v = rng.normal(size=(3, B, H, T, S)) * 2
    W = [rng.normal(size=shape) / 3 for shape in ((16, 20), (16, 20), (20, 16))]
    positive = np.abs(x) + 0.5
    G = 2  # key heads
    kg, vg = k[:, :G], v[:, :G]
    changed = (kg.copy(), vg.copy())
    for z in changed:
        z[:, :, -1] += 1
    same = [np.broadcast_to(rng.normal(size=(B, H, 1, S)), (B, H, 11, S)).copy() for _ in "qk"]
    m = 0.9

    def matrix(rows: int, columns: int) -> np.ndarray:
        # Singular values of 1 to 1/5: five rounds of the polynomial are enough for these.
        U, _, Vt = np.linalg.svd(rng.normal(size=(rows, columns)), full_matrices=False)
        return U * np.linspace(1, 0.2, min(rows, columns)) @ Vt * float(rng.uniform(0.5, 5))

    wide, tall = matrix(6, 10), matrix(12, 5)
    ruled = matrix(7, 7)
    U, s, Vt = np.linalg.svd(ruled)
    ruled = U * np.array([8.0, *s[1:] / s[1]]) @ Vt
    zero = np.zeros_like
    return {
        "rotary": [[q], [same[0]], [same[1]]],
        "rms_norm": [[x], [100 * x], [x + 3]],
        "swiglu": [[x, *W], [x, W[0], 2 * W[1], W[2]], [positive, 0 * W[0] - 9, W[1], W[2]]],
        "qk_norm": [[q, k], [100 * q, 7 * k]],
        "relu2": [[x], [3 * x], [-positive]],
        "grouped_query": [
            [q, kg, vg],
            [q, *(np.repeat(z, H // G, 1) for z in (kg, vg))],
            [q, *changed],
            [q, k[:, :1], v[:, :1]],
        ],
        "muon": [
            [matrix(6, 8), matrix(6, 8), m],
            [wide, zero(wide), m],
            [tall, zero(tall), m],
            [1000 * wide, zero(wide), m],
            [ruled, zero(ruled), m],
        ],
    }


VERIFY: dict[str, tuple[Verify, Verify]] = {
    "rotary": (_rotary_values, _rotary_property),
    "rms_norm": (_norm_values, _norm_property),
    "swiglu": (_swiglu_values, _swiglu_property),
    "qk_norm": (_qk_values, _qk_property),
    "relu2": (_relu2_values, _relu2_property),
    "grouped_query": (_grouped_values, _grouped_property),
    "muon": (_muon_values, _muon_property),
}
