"""What the exercises of lecture 05 share: normalisation backward, and when a gradient is right."""

import numpy as np

from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import Mistake, Wrong, expect

TOL = 1e-8  # absolute and relative, in float64


BY_HAND = {
    "autograd is switched off": "The check runs your code without autograd: no `backward()`, no "
    "`torch.autograd.grad`, no `torch.func`. Derive the formula, and let autograd confirm it in a "
    "cell of your own.",
    "zerotohero": "This one is written with PyTorch alone: the library stays outside.",
}


def one_hot(targets: np.ndarray, width: int) -> np.ndarray:
    return np.eye(width)[targets]


def near(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.allclose(a, b, rtol=TOL, atol=TOL)


def unlike(name: str, value: np.ndarray, want: np.ndarray) -> str:
    try:
        expect(f"d.{name}", value, want, tol=TOL)
    except Wrong as wrong:
        return wrong.message.partition(": ")[2]
    return "right, but not by what it follows from"


def loss_and_force(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss of each example, and softmax minus one-hot."""
    top = logits.max(1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(1))
    rows = np.arange(len(targets))
    return log_sum - logits[rows, targets], softmax(logits) - one_hot(targets, logits.shape[1])


UNCHANGED = "Your code changed its arguments in place: work on a new tensor, or on a `.clone()`."


def norm_gradients(
    dout,
    x,
    gamma,
    eps,
    axes,
    *,
    correction=0,
    mean=True,
    var=True,
    eps_in=True,
    inside=True,
    count=None,
    divide=True,
    scaled=True,
    variance=0,
):
    """dx, dgamma, dbeta of normalising over `axes`; the switches are what learners get wrong."""
    n = count or np.prod([x.shape[a] for a in axes])
    spread = x.var(axes, keepdims=True, ddof=variance)
    inv = (spread + (eps if eps_in else 0)) ** -0.5
    normed = (x - x.mean(axes, keepdims=True)) * inv
    d = dout * gamma if inside and scaled else dout
    part = (1 / n, 1 / (n - correction)) if divide else (1, 1)
    first = d.sum(axes, keepdims=True) * part[0] if mean else 0
    second = normed * (d * normed).sum(axes, keepdims=True) * part[1] if var else 0
    dx = (d - first - second) * inv
    others = tuple(range(x.ndim - 1))
    dx = dx if inside or not scaled else dx * gamma
    return dx, (dout * normed).sum(others), dout.sum(others)


def norm_inputs(rng: np.random.Generator, *sizes: int, spread: float = 1.5) -> dict:
    C = sizes[-1]
    x = rng.normal(rng.normal(size=C), spread, sizes)
    eps = float(rng.uniform(0.01, 0.05))
    return {"dout": rng.normal(size=sizes), "x": x, "gamma": rng.uniform(0.3, 2, C), "eps": eps}


def expect_gamma_and_beta(given: dict, got: dict) -> None:
    dout, x = given["dout"], given["x"]
    C, others = x.shape[-1], tuple(range(x.ndim - 1))
    axes = given["axes"]
    _, dgamma, dbeta = norm_gradients(**given)
    normed = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + given["eps"])
    n = dout.size // C
    turned = others if axes != others else (x.ndim - 1,)
    expect(
        "dbeta",
        got["dbeta"],
        dbeta,
        tol=TOL,
        mistakes=[
            Mistake(dout, "Beta was broadcast over every axis but the last: sum over them."),
            Mistake(
                dbeta / n,
                "That is the mean for dbeta; each use of beta adds its share in full, so sum.",
            ),
            Mistake(dgamma, "That is dgamma: the order is dx, dgamma, dbeta."),
            Mistake(dout.sum(-1), "dbeta is summed over the channels; it has a number for each."),
            Mistake(
                dout.sum(0),
                "dbeta must be summed over all axes but the last, not over the batch alone.",
            ),
            Mistake(dout.sum(others, keepdims=True), "dbeta has the shape (C,), without keepdim."),
            Mistake(
                (dout * given["gamma"]).sum(others),
                "dbeta: beta is added after gamma, so gamma has no part in it.",
            ),
        ],
    )
    expect(
        "dgamma",
        got["dgamma"],
        dgamma,
        tol=TOL,
        mistakes=[
            Mistake(
                (dout * x).sum(others), "Gamma multiplies x̂, not x: dgamma is the sum of dout · x̂."
            ),
            Mistake(
                dout * normed, "Gamma was broadcast over every axis but the last: sum over them."
            ),
            Mistake(
                dgamma / n,
                "That is the mean for dgamma; each use of gamma adds its share in full, so sum.",
            ),
            Mistake(
                (dout * normed).sum(0),
                "dgamma must be summed over all axes but the last, not over the batch alone.",
            ),
            Mistake(
                (dout * normed).sum(-1),
                "dgamma is summed over the channels; it has a number for each.",
            ),
            Mistake(dbeta, "dgamma lacks x̂: it is the sum of dout · x̂, and you have that of dout."),
            Mistake(
                norm_gradients(**given, variance=1)[1],
                "x̂ is made with the variance divided by n − 1 (torch's default): pass "
                "correction=0.",
            ),
            Mistake(
                norm_gradients(**given, eps_in=False)[1],
                "eps is missing under the root when you make x̂.",
            ),
            Mistake(
                norm_gradients(**given | {"axes": turned})[1],
                "x̂ is normalised over the wrong axes: BatchNorm's statistics are over all axes "
                "but the last, LayerNorm's along the last.",
            ),
        ],
    )


def dx_mistakes(given: dict) -> list[Mistake]:
    def dx(**switches) -> np.ndarray:
        return norm_gradients(**given, **switches)[0]

    return [
        Mistake(
            dx(mean=False, var=False),
            "Mean and variance are taken for constants in dx: each x moves them, and through them "
            "all the others. Two terms are missing.",
        ),
        Mistake(dx(mean=False), "The way through the mean is missing in dx: −Σdx̂ / n."),
        Mistake(
            dx(var=False), "The way through the variance is missing in dx: −x̂ · Σ(dx̂ · x̂) / n."
        ),
        Mistake(dx(scaled=False), "gamma is missing in dx: dx̂ = dout · gamma."),
        Mistake(dx(divide=False), "The sums in dx lack their 1/n: both are means."),
        Mistake(
            dx(variance=1, correction=1),
            "dx is that of the variance divided by n − 1 (Bessel's, torch's default); this one is "
            "divided by n: correction=0.",
        ),
        Mistake(
            dx(variance=1),
            "The variance in dx is divided by n − 1 (torch's default): pass correction=0.",
        ),
        Mistake(
            dx(correction=1),
            "The last sum in dx is divided by n − 1; this variance divides by n, so divide by n.",
        ),
        Mistake(dx(eps_in=False), "eps is missing under the root in dx."),
    ]


def over_the_batch(given: dict) -> dict:
    return given | {"axes": tuple(range(given["x"].ndim - 1))}
