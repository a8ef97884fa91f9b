"""What the exercises of lecture 05 share: normalisation backward, and when a gradient is right."""

import numpy as np

from zerotohero.course.checks.numerics import both_signs, softmax
from zerotohero.course.exercise import Mistake, Wrong, expect

TOL = 1e-10  # absolute and relative, in float64; float32 is told from it


BY_HAND = {
    "autograd is switched off": "The check runs your code without autograd: no `backward()`, no "
    "`torch.autograd.grad`, no `torch.func`. Derive the formula, and let autograd confirm it in a "
    "cell of your own.",
    "own backward passes are switched off": "An operator of torch's own backward pass is this "
    "gradient, derived by somebody else. Write it with sums and products.",
    "zerotohero": "This one is written with PyTorch alone: the library stays outside.",
}
FLOAT32 = (
    "It agrees to about seven digits, as far as float32 goes, or a derivative from small "
    "differences. The arguments are float64, and `torch.zeros_like(x)` is what x is."
)


def one_hot(targets: np.ndarray, width: int) -> np.ndarray:
    return np.eye(width)[targets]


def near(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.allclose(a, b, rtol=TOL, atol=TOL)


def rounded(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two arrays are as near as float32 can tell."""
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=1e-6)


def holds_nan(value) -> bool:
    numbers = np.asarray(value)
    return numbers.dtype.kind == "f" and bool(np.isnan(numbers).any())


# Where a token may occur more than once, and the parts of (B, T, …) within which `+=` at `[X]`
# then writes over it: all of it at once, a context, a position.
REPEATED = {
    "": lambda a: a[None],
    " in one context": lambda a: a,
    " at one position": lambda a: a.swapaxes(0, 1),
}


def overwritten(table: np.ndarray, tokens: np.ndarray, grads: np.ndarray, parts) -> np.ndarray:
    """Return a table's gradient that keeps, of a token's gradients within a part, the last."""
    kept = np.zeros_like(table)
    for rows, each in zip(parts(tokens), parts(grads), strict=True):
        kept[rows] += each
    return kept


def unlike(name: str, value: np.ndarray, want: np.ndarray) -> str:
    try:
        expect(f"d.{name}", value, want, tol=TOL)
    except Wrong as wrong:
        return wrong.message.partition(": ")[2]
    return "right, but not by what it follows from"


def expect_gradient(what: str, got, want, mistakes: list[Mistake]) -> None:
    """`expect`, to the digits of float64."""
    value = np.asarray(got) if isinstance(got, (float, np.ndarray)) else None
    hint = FLOAT32 if value is not None and rounded(value, np.asarray(want)) else None
    expect(what, got, want, tol=TOL, mistakes=mistakes, hint=hint)


def loss_and_force(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss of each example, and softmax minus one-hot."""
    top = logits.max(1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(1))
    rows = np.arange(len(targets))
    return log_sum - logits[rows, targets], softmax(logits) - one_hot(targets, logits.shape[1])


def norm_gradients(
    dout,
    x,
    gamma,
    eps,
    axes,
    *,
    correction=0,
    variance=0,
    outside=False,
    mean=1,
    var=1,
    xhat=True,
    inside=True,
    scaled=True,
    divide=True,
    front=True,
    count=None,
):
    """Return dx, dgamma, dbeta of normalising over `axes`; the switches make learners' mistakes."""
    n = count or np.prod([x.shape[a] for a in axes])
    spread = x.var(axes, keepdims=True, ddof=variance)
    inv = 1 / (spread**0.5 + eps) if outside else (spread + eps) ** -0.5
    normed = (x - x.mean(axes, keepdims=True)) * inv
    d = dout * gamma if inside and scaled else dout
    part = (1 / n, 1 / (n - correction)) if divide else (1, 1)
    first = mean * d.sum(axes, keepdims=True) * part[0]
    second = var * (d * normed).sum(axes, keepdims=True) * part[1]
    dx = d - first - (normed * second if xhat else second)
    dx = dx * inv if front else dx
    others = tuple(range(x.ndim - 1))
    dx = dx if inside or not scaled else dx * gamma
    return dx, (dout * normed).sum(others), dout.sum(others)


def norm_inputs(rng: np.random.Generator, *sizes: int, spread: float = 1.5) -> dict:
    C = sizes[-1]
    x = rng.normal(rng.normal(size=C), spread, sizes)
    eps = float(rng.uniform(0.01, 0.05))
    gamma = rng.uniform(0.3, 2, C) * both_signs(rng, C)
    return {"dout": rng.normal(size=sizes), "x": x, "gamma": gamma, "eps": eps}


def over_the_batch(given: dict) -> dict:
    return given | {"axes": tuple(range(given["x"].ndim - 1))}


OTHER_AXES = "x̂ is normalised over {}: {}."


def _other_axes(given: dict) -> list[tuple[tuple[int, ...], str]]:
    """Return the axes over which x̂ may be normalised by mistake, and what to say of each."""
    last = given["x"].ndim - 1
    others = tuple(range(last))
    if given["axes"] == others:
        right = "BatchNorm's statistics are taken over all axes but the last"
        found = [((last,), OTHER_AXES.format("the last axis, as LayerNorm does it", right))]
    else:
        right = "LayerNorm's statistics are taken along the last axis alone"
        found = [(others, OTHER_AXES.format("all axes but the last, as in BatchNorm", right))]
    names = {tuple(range(last + 1)): "all axes"}
    if last == 2:
        names |= {(0,): "the first axis", (1,): "the middle axis", (1, 2): "the last two axes"}
    return found + [(axes, OTHER_AXES.format(name, right)) for axes, name in names.items()]


def expect_gamma_and_beta(given: dict, got: dict) -> None:
    dout, gamma, x, axes = given["dout"], given["gamma"], given["x"], given["axes"]
    C, others = x.shape[-1], tuple(range(x.ndim - 1))
    dx, dgamma, dbeta = norm_gradients(**given)
    normed = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + given["eps"])
    n = dout.size // C

    def shared(name: str, each: np.ndarray, summed: np.ndarray) -> list[Mistake]:
        """Return what goes wrong where `each` number of dout's shape has to be summed."""
        alone = "" if n > 1 else f"d{name.lower()} has the shape (C,), also for a batch of one."
        return [
            Mistake(
                each, alone or f"{name} was broadcast over every axis but the last: sum over them."
            ),
            Mistake(
                summed / n,
                f"That is the mean for d{name.lower()}; each use of {name.lower()} adds its share "
                "in full, so sum.",
            ),
            Mistake(
                each.sum(0),
                f"d{name.lower()} must be summed over all axes but the last, not over the batch "
                "alone.",
            ),
            Mistake(
                each.sum(-1),
                f"d{name.lower()} is summed over the channels; it has a number for each.",
            ),
            Mistake(
                each.sum(others, keepdims=True),
                f"d{name.lower()} has the shape (C,), without keepdim.",
            ),
            Mistake(summed[0], f"d{name.lower()} has the shape (C,), also where C is 1."),
            Mistake(dx, f"That is dx in d{name.lower()}'s place: the order is dx, dgamma, dbeta."),
        ]

    expect_gradient(
        "dbeta",
        got["dbeta"],
        dbeta,
        [
            *shared("Beta", dout, dbeta),
            Mistake(
                dgamma,
                "That is the sum of dout · x̂, which is dgamma; dbeta is the sum of dout. The order "
                "is dx, dgamma, dbeta.",
            ),
            Mistake(
                (dout * gamma).sum(others),
                "dbeta: beta is added after gamma, so gamma has no part in it.",
            ),
        ],
    )
    made = "x̂ is made with "
    expect_gradient(
        "dgamma",
        got["dgamma"],
        dgamma,
        [
            *shared("Gamma", dout * normed, dgamma),
            Mistake(
                (dout * x).sum(others), "Gamma multiplies x̂, not x: dgamma is the sum of dout · x̂."
            ),
            Mistake(dbeta, "dgamma lacks x̂: it is the sum of dout · x̂, and you have that of dout."),
            Mistake(
                (dout * gamma * normed).sum(others),
                "dgamma: gamma itself has no part in it, only x̂, by which it is multiplied.",
            ),
            Mistake(
                norm_gradients(**given, variance=1)[1],
                f"{made}the variance divided by n − 1 (torch's default): pass correction=0.",
            ),
            Mistake(
                norm_gradients(**given | {"eps": 0})[1],
                "eps is missing under the root when you make x̂.",
            ),
            Mistake(
                norm_gradients(**given | {"eps": 1e-5})[1],
                f"{made}an eps of 1e-5: take the one that is passed"
                + (", also where it is 0 (`eps or …` doesn't)." if given["eps"] == 0 else "."),
            ),
            Mistake(
                np.where(gamma == 0, np.nan, dgamma),
                "x̂ is NaN where gamma is 0: make it from x, not by a division by gamma.",
            ),
            Mistake(
                norm_gradients(**given, outside=True)[1],
                f"{made}√var + eps: eps stands under the root, √(var + eps).",
            ),
            *(
                Mistake(norm_gradients(**given | {"axes": wrong})[1], hint)
                for wrong, hint in _other_axes(given)
            ),
        ],
    )


def dx_mistakes(given: dict) -> list[Mistake]:
    def dx(**switches) -> np.ndarray:
        return norm_gradients(**given | switches)[0]

    return [
        Mistake(
            dx(mean=0, var=0),
            "Mean and variance are taken for constants in dx: each x moves them, and through them "
            "all the others. Two terms are missing.",
        ),
        Mistake(dx(mean=0), "The way through the mean is missing in dx: −Σdx̂ / n."),
        Mistake(
            dx(var=0),
            "The term of the variance in dx, −x̂ · Σ(dx̂ · x̂) / n, is missing or 0. It is 0 where "
            "the mean of dx̂ · x̂ is taken as that of dx̂ times that of x̂.",
        ),
        Mistake(dx(mean=-1), "The term of the mean is subtracted in dx: −Σdx̂ / n."),
        Mistake(dx(var=-1), "The term of the variance is subtracted in dx: −x̂ · Σ(dx̂ · x̂) / n."),
        Mistake(dx(xhat=False), "x̂ is missing before the last sum in dx: −x̂ · Σ(dx̂ · x̂) / n."),
        Mistake(dx(front=False), "The division of the whole by √(var + eps) is missing in dx."),
        Mistake(dx(scaled=False), "gamma is missing in dx: dx̂ = dout · gamma."),
        Mistake(dx(gamma=np.abs(given["gamma"])), "A negative gamma loses its sign in dx."),
        Mistake(dx() * given["gamma"], "gamma is in dx twice: it is in dx̂ = dout · gamma, once."),
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
        Mistake(dx(eps=0), "eps is missing under the root in dx."),
        Mistake(dx(eps=1e-5), "The eps in dx is 1e-5: take the one that is passed."),
        Mistake(dx(outside=True), "In dx, eps stands under the root, √(var + eps)."),
        Mistake(given["dout"], "That is dout itself: dx has to go back through x̂."),
    ]
