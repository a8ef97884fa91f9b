"""5.4 · Training without autograd: a whole training step, with nothing in it that you
haven't written.
"""

import numpy as np

from zerotohero.course.checks.backprop.shared import (
    BY_HAND,
    TOL,
    loss_and_force,
    near,
    norm_gradients,
    unlike,
)
from zerotohero.course.checks.names import STOI, V, some_names
from zerotohero.course.exercise import Exercise, Wrong, array
from zerotohero.course.to_look_at import AUTOGRAD

FIT = ("wte", "W1", "gamma", "beta", "W2", "b2")


training = Exercise(
    number="5.4",
    title="Training without autograd",
    difficulty=3,
    minutes=40,
    practises="a whole training step, with nothing in it that you haven't written",
    answers=("train_by_hand",),
    changes=("parameters",),
    without=("autograd",),
    look_for=AUTOGRAD,
    summary=(
        "Train the lecture's network with gradients of your own and no autograd. "
        "The losses must be those that autograd would have led to, step by step."
    ),
    statement="""
`train_by_hand(parameters: list[Tensor], X, Y, lr: float, eps: float) -> list[float]`

`parameters` are `wte` (V, C), `W1` (T · C, H), `gamma` (H,), `beta` (H,), `W2` (H, V), `b2` (V,) of
the network logits = tanh(gamma · n + beta) W2 + b2, where n is x W1 normalised over the batch as in
5.3, and x is the embeddings of a context side by side. `X` (S, B, T) and `Y` (S, B) hold S
minibatches. For each in turn: forward pass, note the mean cross-entropy, all six gradients, one
plain step `p -= lr * gradient` on each parameter, **in place**, so that the list that was passed
holds the trained ones. Return the S losses, each from before its step.

Your `cross_entropy_fused` and `batchnorm_fused` go along with the answer if you call them. Autograd
is off while the check runs, and `zerotohero.backprop` isn't there when it is graded.

```python
zeros = [torch.zeros(*s) for s in ((4, 2), (6, 5), (5,), (5,), (5, 4), (4,))]
X, Y = torch.zeros(2, 2, 3, dtype=torch.int64), torch.tensor([[1, 2], [1, 2]])
train_by_hand(zeros, X, Y, lr=1.0, eps=1e-5)    # rounded: [1.3863, 1.1672]
zeros[-1]                                       # tensor([-0.4388,  0.4388,  0.4388, -0.4388])
```
""",
    hints=(
        "Each step is three blocks: forwards, keeping what backwards will need; backwards, from "
        "dlogits to dwte; then all six updates together, at the end.",
        "dW2 = hᵀ dlogits, db2 = Σ dlogits over the batch, dh = dlogits W2ᵀ, dact = dh (1 − h²), "
        "then batchnorm_fused, dW1 = xᵀ dpre, dx = dpre W1ᵀ, and a row of dwte adds up over its "
        "uses.",
        "`dwte = torch.zeros_like(wte).index_put_((xb,), dx.view(*xb.shape, -1), accumulate=True)`."
        " After all gradients: `for p, grad in zip(parameters, grads): p -= lr * grad`. "
        "`p = p - lr * grad` would make a new tensor, and leave the list's as it was.",
    ),
)


def _train(
    parameters,
    X,
    Y,
    lr,
    eps,
    *,
    sign=1,
    early=False,
    overwrite=False,
    constant=False,
    summed=False,
    skip=(),
    accumulate=False,
    first_batch=False,
    late=False,
):
    """Losses and parameters after plain steps; the switches are what learners get wrong."""
    wte, W1, gamma, beta, W2, b2 = p = [q.copy() for q in parameters]
    losses, kept = [], [np.zeros_like(q) for q in p]
    for i in range(len(X)):
        xb, yb = (X[0], Y[0]) if first_batch else (X[i], Y[i])
        B = len(xb)
        x = wte[xb].reshape(B, -1)
        pre = x @ W1
        normed = (pre - pre.mean(0)) / np.sqrt(pre.var(0) + eps)
        h = np.tanh(gamma * normed + beta)
        loss, force = loss_and_force(h @ W2 + b2, yb)
        losses.append(loss.mean())
        dlogits = force if summed else force / B
        dW2, db2 = h.T @ dlogits, dlogits.sum(0)
        used = W2 - lr * dW2 if early else W2
        dact = (dlogits @ used.T) * (1 - h * h)
        without = {"mean": False, "var": False} if constant else {}
        dpre, dgamma, dbeta = norm_gradients(dact, pre, gamma, eps, (0,), **without)
        dW1 = x.T @ dpre
        dx = (dpre @ (W1 - lr * dW1 if early else W1).T).reshape(*xb.shape, -1)
        dwte = np.zeros_like(wte)
        if overwrite:
            dwte[xb] = dx
        else:
            np.add.at(dwte, xb, dx)
        grads = [dwte, dW1, dgamma, dbeta, dW2, db2]
        for name, q, grad, old in zip(FIT, p, grads, kept, strict=True):
            old[...] = old + grad if accumulate else grad
            if name not in skip:
                q -= sign * lr * old
        if late:
            pre = wte[xb].reshape(B, -1) @ W1
            h = np.tanh(gamma * (pre - pre.mean(0)) / np.sqrt(pre.var(0) + eps) + beta)
            losses[-1] = loss_and_force(h @ W2 + b2, yb)[0].mean()
    return np.array(losses), p


SLIPS = (
    ({"sign": -1}, "The steps go up the hill: subtract lr times the gradient."),
    (
        {"overwrite": True},
        "In dwte, a token that occurs more than once gets only its last gradient: add them up, "
        "`index_put_(…, accumulate=True)`.",
    ),
    (
        {"early": True},
        "W2 or W1 was changed before the gradients that need it were made: first all six "
        "gradients, then all six steps.",
    ),
    (
        {"constant": True},
        "BatchNorm's mean and variance are taken for constants in the backward pass: each number "
        "of the batch moves them.",
    ),
    ({"summed": True}, "The gradient lacks the mean's 1/B, so each step is B times too long."),
    ({"skip": ("gamma", "beta")}, "gamma and beta stay as they were: they learn too."),
    ({"skip": ("wte",)}, "wte stays as it was: the embeddings learn too."),
    ({"skip": ("W1",)}, "W1 stays as it was."),
    ({"skip": ("b2",)}, "b2 stays as it was: the bias learns too."),
    (
        {"accumulate": True},
        "The gradients of earlier steps are still in the later ones: make them anew in each step.",
    ),
    ({"late": True}, "Each loss is from after its step: note it before the parameters move."),
    ({"first_batch": True}, "Every step takes the first minibatch: step i takes X[i] and Y[i]."),
)


def _fit_inputs(rng: np.random.Generator, steps: int) -> dict:
    """Minibatches of real names, and a small network."""
    T, C, H, B = 3, 4, 14, 16
    text = ["." * T + name + "." for name in some_names(rng, 200)]
    rows = [[STOI[s] for s in w[i : i + T + 1]] for w in text for i in range(len(w) - T)]
    picked = np.array(rows)[rng.integers(0, len(rows), (steps, B))]
    shapes = {"wte": (V, C), "W1": (T * C, H), "W2": (H, V), "b2": (V,)}
    p = {name: rng.normal(0, 0.4, shape) for name, shape in shapes.items()}
    p |= {"gamma": rng.uniform(0.5, 1.5, H), "beta": rng.normal(0, 0.2, H)}
    given = {"X": picked[:, :, :T], "Y": picked[:, :, T], "lr": float(rng.uniform(0.2, 0.4))}
    return given | {"parameters": [p[name] for name in FIT], "eps": float(rng.uniform(1e-3, 0.01))}


def trained_by_hand(given: dict, got: dict) -> None:
    losses, parameters = _train(**given)
    mine = [
        array(n, p, q.shape) for n, p, q in zip(FIT, got["parameters"], parameters, strict=True)
    ]
    values = array("the losses", got["losses"])
    wrong = [n for n, p, q in zip(FIT, mine, parameters, strict=True) if not near(p, q)]
    if near(values, losses) and not wrong:
        return
    message = f"not what they should be: {', '.join(wrong)}"
    if not near(values, losses):
        message = f"the losses: {unlike('losses', values, losses)}"
    if all(map(np.array_equal, mine, given["parameters"])):
        hint = (
            "The parameters in the list haven't changed: `p = p - …` makes a new tensor. Change "
            "them in place, `p -= lr * gradient`."
        )
    elif found := [text for slip, text in SLIPS if _slipped(given, slip, values, mine)]:
        hint = found[0]
    elif not wrong and _rounded(values, losses):
        hint = "Return Python floats, `loss.item()`: `torch.tensor` rounds them to 32 bits."
    elif not wrong:
        hint = (
            "The parameters are right, and the losses alone aren't: each is the mean cross-entropy "
            "of its minibatch, from before its step."
        )
    elif not len(values) or not near(values[:1], losses[:1]):
        hint = (
            "The first loss, before any step, is another already: look at the forward pass, at x̂ "
            "(variance divided by n, eps under the root) and at tanh."
        )
    elif len(losses) == 1 and _longer(given["parameters"], mine, parameters):
        hint = "The direction is right, the length isn't: a step is lr times the gradient."
    elif len(losses) == 1:
        hint = f"After one step these are wrong: {', '.join(wrong)}. Look at their gradients."
        if tuple(wrong) == FIT[:4]:
            hint += (
                " All four come through dh: is W2 still the old one there? And is tanh's slope 1 − "
                "h²?"
            )
    else:
        hint = None
    raise Wrong(message, hint)


def _slipped(given: dict, slip: dict, values: np.ndarray, mine: list[np.ndarray]) -> bool:
    losses, parameters = _train(**given, **slip)
    return near(values, losses) and all(map(near, mine, parameters))


def _rounded(values: np.ndarray, losses: np.ndarray) -> bool:
    """Whether the losses are right but for having been float32 on the way."""
    exact = np.array_equal(values, values.astype(np.float32))
    return exact and values.shape == losses.shape and np.allclose(values, losses, 1e-6, 1e-6)


def _longer(start: list[np.ndarray], mine: list[np.ndarray], right: list[np.ndarray]) -> bool:
    """Whether the steps taken are the right ones but for one common factor."""
    taken, wanted = (
        np.concatenate([(p - q).ravel() for p, q in zip(ends, start, strict=True)])
        for ends in (mine, right)
    )
    factor = (taken @ wanted) / (wanted @ wanted)
    return factor > 0 and np.allclose(taken, factor * wanted, rtol=0, atol=TOL)


training.case(
    "one step",
    points=2,
    adapter="trained",
    inputs=lambda rng: _fit_inputs(rng, 1),
    crashes=BY_HAND,
)(trained_by_hand)


training.case(
    "twenty steps on names",
    points=3,
    adapter="trained",
    inputs=lambda rng: _fit_inputs(rng, 20),
    crashes=BY_HAND,
)(trained_by_hand)
