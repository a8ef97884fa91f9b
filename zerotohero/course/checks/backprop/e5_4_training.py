"""5.4 · Training without autograd: a whole training step, with nothing in it that you
haven't written.
"""

import numpy as np

from zerotohero.course.checks.backprop.shared import (
    BY_HAND,
    FLOAT32,
    REPEATED,
    TOL,
    loss_and_force,
    near,
    norm_gradients,
    overwritten,
    rounded,
    unlike,
)
from zerotohero.course.checks.names import STOI, V, some_names
from zerotohero.course.checks.numerics import both_signs
from zerotohero.course.exercise import Exercise, Wrong, array
from zerotohero.course.to_look_at import AUTOGRAD

CRASHES = BY_HAND | {
    "is invalid for input of size": "Take the sizes from the tensors that are passed: they differ "
    "from case to case."
}
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
plain step `p -= lr * gradient` on each parameter, **in place**, so that the tensors that were
passed are the trained ones. Return the S losses, each from before its step.

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
    early=(),
    slope=lambda h, act: 1 - h * h,
    variance=0,
    overwrite=None,
    constant=False,
    summed=False,
    skip=(),
    accumulate=False,
    first_batch=False,
    late=False,
    left_out=0,
    cut_off=np.inf,
):
    """Losses and parameters after plain steps; the switches are what learners get wrong."""
    wte, W1, gamma, beta, W2, b2 = p = [q.copy() for q in parameters]
    losses, kept = [], [np.zeros_like(q) for q in p]
    for i in range(len(X)):
        rate = lr if i < len(X) - left_out else 0
        xb, yb = (X[0], Y[0]) if first_batch else (X[i], Y[i])
        B = len(xb)
        x = wte[xb].reshape(B, -1)
        pre = x @ W1
        normed = (pre - pre.mean(0)) / np.sqrt(pre.var(0, ddof=variance) + eps)
        act = gamma * normed + beta
        h = np.tanh(act)
        loss, force = loss_and_force(h @ W2 + b2, yb)
        losses.append(loss.mean())
        dlogits = force if summed else force / B
        dW2, db2 = h.T @ dlogits, dlogits.sum(0)
        used = W2 - lr * dW2 if "W2" in early else W2
        dact = (dlogits @ used.T) * slope(h, act)
        without = {"mean": 0, "var": 0} if constant else {}
        dpre, dgamma, dbeta = norm_gradients(dact, pre, gamma, eps, (0,), **without)
        dW1 = x.T @ dpre
        dx = (dpre @ (W1 - lr * dW1 if "W1" in early else W1).T).reshape(*xb.shape, -1)
        if overwrite:
            dwte = overwritten(wte, xb, dx, overwrite)
        else:
            dwte = np.zeros_like(wte)
            np.add.at(dwte, xb, dx)
        grads = [g.clip(-cut_off, cut_off) for g in (dwte, dW1, dgamma, dbeta, dW2, db2)]
        for name, q, grad, old in zip(FIT, p, grads, kept, strict=True):
            old[...] = old + grad if accumulate else grad
            if name not in skip:
                q -= sign * rate * old
        if late:
            pre = wte[xb].reshape(B, -1) @ W1
            h = np.tanh(gamma * (pre - pre.mean(0)) / np.sqrt(pre.var(0) + eps) + beta)
            losses[-1] = loss_and_force(h @ W2 + b2, yb)[0].mean()
    return np.array(losses), p


SLIPS = (
    ({"sign": -1}, "The steps go up the hill: subtract lr times the gradient."),
    *(
        (
            {"overwrite": parts},
            f"In dwte, a token that occurs more than once{where} gets only its last gradient"
            f"{where and ' there'}: add them up, `index_put_(…, accumulate=True)`.",
        )
        for where, parts in REPEATED.items()
    ),
    (
        {"early": ("W2", "W1")},
        "W2 and W1 were changed before the gradients that need them were made: first all six "
        "gradients, then all six steps.",
    ),
    (
        {"early": ("W2",)},
        "W2 was changed before dh was made from it: first all six gradients, then all six steps.",
    ),
    (
        {"early": ("W1",)},
        "W1 was changed before dx was made from it: first all six gradients, then all six steps.",
    ),
    (
        {"slope": lambda h, act: h * (1 - h)},
        "h (1 − h) is the sigmoid's derivative: tanh's is 1 − h².",
    ),
    ({"slope": lambda h, act: 1 - act * act}, "tanh's derivative is 1 − h², not 1 − act²."),
    ({"slope": lambda h, act: 1}, "tanh's derivative 1 − h² is missing."),
    (
        {"constant": True},
        "BatchNorm's mean and variance are taken for constants in the backward pass: each number "
        "of the batch moves them.",
    ),
    ({"summed": True}, "The gradient lacks the mean's 1/B, so each step is B times too long."),
    (
        {"accumulate": True},
        "The gradients of earlier steps are still in the later ones: make them anew in each step.",
    ),
    ({"late": True}, "Each loss is from after its step: note it before the parameters move."),
    (
        {"cut_off": 1.0},
        "Gradients are cut off at −1 and 1: a plain step takes them as they are, however large.",
    ),
    ({"left_out": 1}, "The last step is missing: S minibatches make S steps."),
    ({"first_batch": True}, "Every step takes the first minibatch: step i takes X[i] and Y[i]."),
)


# What the first loss shows, whatever the steps are.
FORWARD = (
    (
        {"variance": 1},
        "x̂ is made with the variance divided by B − 1 (torch's default): pass correction=0.",
    ),
    ({"eps": 1e-5}, "x̂ is made with an eps of 1e-5: take the one that is passed."),
    ({"eps": 0}, "x̂ is made without eps, which belongs under the root."),
)


def _one_step(rng: np.random.Generator) -> dict:
    """One minibatch, of other sizes than the names have, and some gradients above 1."""
    given = _small_network(rng, rng.integers(0, 11, (1, 12, 3)), vocabulary=11, C=5, H=9)
    given["parameters"][FIT.index("W2")] *= 8
    return given


def _steps_on_names(rng: np.random.Generator) -> dict:
    text = ["..." + name + "." for name in some_names(rng, 200)]
    rows = np.array([[STOI[s] for s in w[i : i + 4]] for w in text for i in range(len(w) - 3)])
    return _small_network(rng, rows[rng.integers(0, len(rows), (20, 16))], vocabulary=V, C=4, H=14)


def _small_network(rng, rows: np.ndarray, vocabulary: int, C: int, H: int) -> dict:
    """The inputs for minibatches (S, B, T + 1), contexts and what follows each."""
    T = rows.shape[2] - 1
    shapes = {"wte": (vocabulary, C), "W1": (T * C, H), "W2": (H, vocabulary), "b2": (vocabulary,)}
    p = {name: rng.normal(0, 0.4, shape) for name, shape in shapes.items()}
    p |= {"gamma": rng.uniform(0.5, 1.5, H) * both_signs(rng, H), "beta": rng.normal(0, 0.2, H)}
    given = {"X": rows[:, :, :T], "Y": rows[:, :, T], "lr": float(rng.uniform(0.2, 0.4))}
    return given | {"parameters": [p[name] for name in FIT], "eps": float(rng.uniform(1e-3, 0.01))}


def trained_by_hand(given: dict, got: dict) -> None:
    losses, parameters = _train(**given)
    mine = [
        array(n, p, q.shape) for n, p, q in zip(FIT, got["parameters"], parameters, strict=True)
    ]
    values = array("the losses", got["losses"])
    wrong = [n for n, p, q in zip(FIT, mine, parameters, strict=True) if not near(p, q)]
    if got["replaced"]:
        raise Wrong(
            "the list holds other tensors than those that were passed",
            "`parameters[i] = …` puts a new tensor into the list, and whoever has the old one sees "
            "no step. Change each in place: `p -= lr * gradient`.",
        )
    if near(values, losses) and not wrong:
        return
    message = f"not what they should be: {', '.join(wrong)}"
    if not near(values, losses):
        message = f"the losses: {unlike('losses', values, losses)}"
    raise Wrong(message, _hint(given, values, mine, losses, parameters, wrong))


def _hint(given, values, mine, losses, parameters, wrong) -> str | None:
    """What explains losses and parameters that are wrong; else only where they differ."""
    start = given["parameters"]
    stay = [n for n, p, q in zip(FIT, mine, start, strict=True) if np.array_equal(p, q)]
    if stay == list(FIT):
        hint = "The parameters in the list are as they were. "
        if len(losses) > 1 and near(values, losses):
            return hint + "The steps were taken on copies: `p -= lr * gradient` changes p itself."
        return hint + (
            "If steps were taken, then on copies: `p -= lr * gradient` changes p itself, `p = p - "
            "…` makes a new tensor."
        )
    if stay and _slipped(given, {"skip": stay}, values, mine):
        one = len(stay) == 1
        verb = "stays as it was: it learns" if one else "stay as they were: they learn"
        return f"{', '.join(stay)} {verb} too."
    for slip, text in SLIPS:
        if _slipped(given, slip, values, mine):
            return text
    if rounded(values, losses) and all(map(rounded, mine, parameters)):
        if not wrong:
            return "Return Python floats, `loss.item()`: `torch.tensor` rounds them to 32 bits."
        return FLOAT32
    if not wrong:
        return "The parameters are right, the losses are not."
    if values.shape == losses.shape and not near(values[:1], losses[:1]):
        for slip, text in FORWARD:
            if near(values[:1], _train(**given | slip)[0][:1]):
                return text
        return "The first loss differs already, which comes before any step."
    if len(losses) > 1:
        return None
    if _longer(start, mine, parameters):
        return "The direction is right, the length isn't: a step is lr times the gradient."
    right = [name for name in FIT if name not in wrong]
    hint = f"After one step these are wrong: {', '.join(wrong)}."
    return f"{hint} These are right: {', '.join(right)}." if right else hint


def _slipped(given: dict, slip: dict, values: np.ndarray, mine: list[np.ndarray]) -> bool:
    with np.errstate(all="ignore"):  # some mistakes lead far away
        losses, parameters = _train(**given | slip)
    return near(values, losses) and all(map(near, mine, parameters))


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
    inputs=_one_step,
    crashes=CRASHES,
)(trained_by_hand)


training.case(
    "twenty steps on names",
    points=3,
    adapter="trained",
    inputs=_steps_on_names,
    crashes=CRASHES,
)(trained_by_hand)
