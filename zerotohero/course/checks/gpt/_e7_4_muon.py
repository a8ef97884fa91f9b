"""Muon's step of 7.4: the verdicts on values and property, and what wrong ones give."""

import numpy as np

from zerotohero.course.exercise import Mistake, Wrong, array, expect, expect_that

APART = 200  # by which the singular values of a buffer may differ: five rounds are needed


def _muon_pair(call: list, got) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(got, list) or len(got) != 2:
        raise Wrong(
            "muon(gradient, buffer, momentum): expected two matrices",
            "End it with `return update, buffer`.",
        )
    shape = call[0].shape
    return array("the update", got[0], shape), array("the new buffer", got[1], shape)


def _expect_order(update: np.ndarray, new: np.ndarray, want: np.ndarray) -> None:
    expect_that(
        np.allclose(new, want, rtol=1e-4) or not np.allclose(update, want, rtol=1e-4),
        "muon(gradient, buffer, momentum): the new buffer came first",
        "The update comes first, then the buffer: end it with `return update, buffer`.",
    )


def muon_values(calls: list, got: list) -> None:
    gradient, buffer, momentum = calls[0]
    update, new = _muon_pair(calls[0], got[0])
    want = momentum * buffer + gradient
    _expect_order(update, new, want)
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


UNEQUAL = (
    "The singular values are not yet equal: divide by the norm first, then five rounds of the "
    "polynomial; check its coefficients and that A is X Xᵀ of the present X."
)
FEW = (
    "Small singular values have not come up yet: a round makes them at most 3.4 times as large, so "
    f"that one of 1/{APART} takes five."
)


def _expect_orthogonal(
    what: str, update: np.ndarray, matrix: np.ndarray, others=(), unequal: str = UNEQUAL
) -> None:
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
        hint = unequal
    raise Wrong(spread, hint)


def muon_property(calls: list, got: list) -> None:
    what = (
        "a wide matrix",
        "a tall matrix",
        "a matrix 1,000 times as large",
        "a matrix ruled by one direction",
        "a matrix 10,000 times as small",
        f"a matrix with singular values from 1 to 1/{APART}",
    )
    for name, call, result in zip(what, calls[1:], got[1:], strict=True):
        gradient, buffer, momentum = call
        update, new = _muon_pair(call, result)
        _expect_order(update, new, momentum * buffer + gradient)
        small = np.linalg.svd(update, compute_uv=False).min() < 0.6
        hint = FEW if name is what[-1] and small else UNEQUAL
        want = momentum * buffer + gradient
        _expect_orthogonal(f"the update of {name}", update, want, unequal=hint)
