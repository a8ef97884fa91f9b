"""Scaling laws: what a larger model, more tokens or more compute are worth, in loss.

The idea: the loss of a well-trained model falls smoothly with its parameters N and its tokens D,
over many powers of ten. Whoever knows the curve from small runs can say what a large one will
reach, and how to share out a budget of C = 6 N D operations between N and D, before it is paid.

The papers: Kaplan et al. (2020), "Scaling Laws for Neural Language Models", arXiv:2001.08361, whose
form is `Kaplan`; Hoffmann et al. (2022), "Training Compute-Optimal Large Language Models"
(Chinchilla), arXiv:2203.15556, whose third approach is `Chinchilla`; Besiroglu et al. (2024),
"Chinchilla Scaling: A replication attempt", arXiv:2404.10102, who fitted the same points again and
found other constants: a fit says little without its uncertainty, hence `resampled`.

How it is fitted: with both exponents given, either law is a straight sum of known columns, so the
best coefficients are one least-squares solution. Only the two exponents have to be searched for,
on a grid that is made finer around its best point; there is nowhere to get stuck.

Left out: repeated data, the learning rate and the batch, which the laws suppose well chosen.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

Span = tuple[float, float]


@dataclass(frozen=True)
class Point:
    """One model, trained to the end of its schedule."""

    parameters: int  # N
    tokens: int  # D
    flops: float  # C: what it took
    loss: float  # nats a token, on text that it hasn't seen


class Best(NamedTuple):
    """How a budget is shared out best."""

    parameters: float
    tokens: float


def read_points(path: str | PathLike) -> list[Point]:
    """Return the points of a file of JSON rows; what else a row holds is left aside.

    ValueError with one sentence if it holds no such rows.
    """
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
        points = [
            Point(int(r["parameters"]), int(r["tokens"]), float(r["flops"]), float(r["loss"]))
            for r in rows
        ]
    except (ValueError, KeyError, TypeError):
        points = []
    if not points:
        raise ValueError(f"{path} must be a list of rows with parameters, tokens, flops and loss.")
    return points


# --- the laws -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chinchilla:
    """L(N, D) = E + A / N^α + B / D^β: what no model can know, plus two shortages that add up."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def loss(self, parameters, tokens):
        """Return the loss; numbers or arrays."""
        N, D = np.asarray(parameters, float), np.asarray(tokens, float)
        return self.E + self.A / N**self.alpha + self.B / D**self.beta

    @property
    def share(self) -> float:
        """The a of N ∝ C^a: how much of a larger budget goes into the model."""
        return self.beta / (self.alpha + self.beta)

    def best(self, flops: float) -> Best:
        """Return the N and D with 6 N D = flops whose loss is lowest.

        There, a little more of either lowers the loss equally: α A / N^α = β B / D^β.
        """
        ratio = self.alpha * self.A / (self.beta * self.B)
        N = ratio ** (1 / (self.alpha + self.beta)) * (flops / 6) ** self.share
        return Best(N, flops / 6 / N)

    def tokens_for(self, loss: float, parameters: float) -> float:
        """Return the D at which a model of that size has that loss; infinity if it never has."""
        short = loss - self.E - self.A / parameters**self.alpha
        return (self.B / short) ** (1 / self.beta) if short > 0 else np.inf


@dataclass(frozen=True)
class Kaplan:
    """L(N, D) = ((N_c / N)^(α_N / α_D) + D_c / D)^α_D: nothing is left over that can't be known."""

    N_c: float
    alpha_N: float
    D_c: float
    alpha_D: float

    def loss(self, parameters, tokens):
        """Return the loss; numbers or arrays."""
        N, D = np.asarray(parameters, float), np.asarray(tokens, float)
        return ((self.N_c / N) ** (self.alpha_N / self.alpha_D) + self.D_c / D) ** self.alpha_D


# As published, for text in tokens like GPT-2's: Hoffmann et al., equation 10; the same points
# fitted again, Besiroglu et al., table 1; Kaplan et al., table 2, whose N counts no embeddings.
HOFFMANN = Chinchilla(E=1.69, A=406.4, alpha=0.34, B=410.7, beta=0.28)
BESIROGLU = Chinchilla(E=1.8172, A=482.01, alpha=0.3478, B=2085.43, beta=0.3658)
KAPLAN = Kaplan(N_c=6.4e13, alpha_N=0.076, D_c=1.8e13, alpha_D=0.103)

# Kaplan et al., table 6: of ten times the compute, the model gets 10^0.73, the tokens 10^0.27.
KAPLANS_SHARE = 0.73


# --- fitting ------------------------------------------------------------------------------------


def fit(points: Sequence[Point]) -> Chinchilla:
    """Return the law of Hoffmann et al. whose relative errors have the least squares.

    ValueError for fewer than six points, or those of fewer than three sizes and three lengths.
    """
    N, D, L = _columns(points)

    def system(alpha, beta):
        columns = np.ones_like(L), N**-alpha, D**-beta
        return [column / L for column in columns], np.ones_like(L)

    alpha, beta, (E, A, B) = _search(system, (0.02, 2.0), (0.02, 2.0))
    return Chinchilla(E, A, alpha, B, beta)


def fit_kaplan(points: Sequence[Point]) -> Kaplan:
    """Return the law of Kaplan et al. with the least squares of relative errors, nearly.

    It is linear in L^(1 / α_D), whose relative error is that of L over α_D. ValueError as in `fit`.
    """
    N, D, L = _columns(points)

    def system(ratio, alpha_D):
        scale = alpha_D / L ** (1 / alpha_D)
        return [N**-ratio * scale, scale / D], alpha_D * np.ones_like(L)

    ratio, alpha_D, (N_part, D_c) = _search(system, (0.05, 5.0), (0.02, 1.0))
    return Kaplan(N_part ** (1 / ratio), ratio * alpha_D, D_c, alpha_D)


def _columns(points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    N, D, L = np.array([(p.parameters, p.tokens, p.loss) for p in points], float).reshape(-1, 3).T
    if len(L) < 6 or len(set(N)) < 3 or len(set(D)) < 3:
        raise ValueError(
            f"{len(L)} points of {len(set(N))} sizes and {len(set(D))} lengths say too little: "
            "a fit needs six, of three sizes and three lengths."
        )
    return N, D, L


def _search(system, first: Span, second: Span, rounds: int = 9, steps: int = 15):
    """Return two exponents and the coefficients that leave the least squares.

    system(exponents) returns the columns, and what they should add up to. Coefficients below zero
    count as no solution. Each round looks at a grid of exponents, evenly spaced on a logarithmic
    axis, and the next at a finer one around the best.
    """
    spans = np.log([first, second])
    for _ in range(rounds):
        axes = [np.exp(np.linspace(low, high, steps)) for low, high in spans]
        a, b = (grid.reshape(-1, 1) for grid in np.meshgrid(*axes, indexing="ij"))
        columns, target = system(a, b)
        X = np.stack(np.broadcast_arrays(*columns), -1)  # (grid, points, coefficients)
        X = np.broadcast_to(X, (len(a), *X.shape[1:]))
        y = np.broadcast_to(target, X.shape[:2])[..., None]
        sizes = np.linalg.norm(X, axis=1, keepdims=True)  # columns of one length, for the digits
        X = X / sizes
        found = np.linalg.pinv(X.mT @ X, hermitian=True) @ (X.mT @ y)  # (grid, coefficients, 1)
        errors = np.square(X @ found - y).sum((1, 2))
        errors = np.where((found >= 0).all((1, 2)), errors, np.inf)
        best = int(errors.argmin())
        centre = np.log([a[best], b[best]])
        width = np.diff(spans) * 2 / (steps - 1)
        spans = np.hstack([centre - width, centre + width])
    if not np.isfinite(errors[best]):
        raise ValueError("No law with positive parts fits these points.")
    coefficients = found[best, :, 0] / sizes[best, 0]
    return float(a[best, 0]), float(b[best, 0]), coefficients.tolist()


def resampled(points: Sequence[Point], times: int = 100, seed: int = 0, law=fit) -> list:
    """Return the laws of as many sets drawn from the points with replacement (the bootstrap).

    How far they lie apart is how far the fit would have moved with other runs. Draws that are too
    poor to be fitted are drawn again.
    """
    rng, laws = np.random.default_rng(seed), []
    for _ in range(10 * times):
        chosen = [points[i] for i in rng.integers(len(points), size=len(points))]
        try:
            laws.append(law(chosen))
        except ValueError:
            continue
        if len(laws) == times:
            return laws
    raise ValueError(f"Of {10 * times} draws only {len(laws)} could be fitted: give more points.")


def interval(values: Sequence[float], share: float = 0.9) -> tuple[float, float]:
    """Return between which two numbers the middle `share` of the values lie."""
    low = (1 - share) / 2
    return tuple(np.quantile(np.asarray(values, float), [low, 1 - low]).tolist())


# --- curves -------------------------------------------------------------------------------------


def envelope(
    curves: Mapping[int, Sequence[tuple[float, float]]], budgets: Sequence[float]
) -> list[tuple[float, float, int]]:
    """Return (budget, loss, size): the lowest loss at each budget, and whose it is.

    curves: for each size, (operations so far, loss), rising in operations; between two of its
    points a curve is a straight line over the logarithm. Budgets that no curve reaches are left
    out.
    """
    found = []
    for budget in budgets:
        there = []
        for size, curve in curves.items():
            flops, losses = np.array(curve, float).T
            if flops[0] <= budget <= flops[-1] * (1 + 1e-9):
                there.append((float(np.interp(np.log(budget), np.log(flops), losses)), size))
        if there:
            loss, size = min(there)
            found.append((float(budget), loss, size))
    return found
