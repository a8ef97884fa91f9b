"""4.4 · BatchNorm1d: writing a layer that behaves differently in training and in use."""

import numpy as np

from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    array,
    expect,
    expect_that,
    show,
)

batch_norm = Exercise(
    number="4.4",
    title="BatchNorm1d",
    difficulty=4,
    minutes=50,
    practises="writing a layer that behaves differently in training and in use",
    answers=("BatchNorm1d",),
    summary=(
        "Write the layer from memory, with running statistics and both modes. Its numbers must be "
        "those of torch.nn in train and in eval mode, gradients included."
    ),
    statement="""
`BatchNorm1d(channels: int, eps: float = 1e-5, momentum: float = 0.1)`

- `gamma`, `beta` (C,): parameters with gradients, ones and zeros at the start;
  `parameters()` returns the list of these two.
- `running_mean`, `running_var` (C,): zeros and ones at the start. They take part in no gradient.
- `training`: True at the start. Setting it to False is eval mode.
- Calling the layer on `x` (B, C) returns (B, C). In train mode it normalises each channel by the
  mean and the **biased** variance (÷ B) of the batch, and moves the running statistics a share
  `momentum` of the way towards the batch's mean and **unbiased** variance (÷ (B − 1)). In eval
  mode it normalises by the running statistics and moves nothing. Then gamma scales and beta shifts.
- A batch of one in train mode raises ValueError, with a message that says so, and moves nothing.

```python
norm = BatchNorm1d(1, eps=0.0, momentum=0.5)
norm(torch.tensor([[1.0], [5.0]])).tolist()          # [[-1.0], [1.0]]
norm.running_mean.item(), norm.running_var.item()    # (1.5, 4.5)
norm.training = False
norm(torch.tensor([[6.0]])).item()                   # 2.12..., (6 - 1.5) / √4.5
```
""",
    hints=(
        "One function body, two ways to come by a mean and a variance. What is the same in both "
        "modes, and what happens in train mode only?",
        "x.mean(0) and x.var(0, correction=0) normalise; x.var(0) is the unbiased variance for the "
        "running one. Move it by (1 - momentum) * old + momentum * new, under torch.no_grad().",
        "Choose `mean, var` in an if, return `self.gamma * (x - mean) / torch.sqrt(var + self.eps) "
        "+ self.beta` after it. Test `len(x) < 2` before anything is moved. `gamma` and `beta` are "
        "made with `requires_grad=True`.",
    ),
)


def _batch_norm(
    given,
    x,
    axis=0,
    correction=0,
    eps="inside",
    root=True,
    gamma=True,
    beta=True,
    mean=True,
    stats=None,
):
    """BatchNorm's output; the switches are what learners get wrong."""
    m, v = stats or (x.mean(axis, keepdims=True), x.var(axis, ddof=correction, keepdims=True))
    v = v + given["eps"] * (eps == "inside")
    y = (x - m * mean) / ((np.sqrt(v) if root else v) + given["eps"] * (eps == "outside"))
    return y * (given["gamma"] if gamma else 1) + (given["beta"] if beta else 0)


def _moved(given, momentum=None, correction=1, root=False, plain=False, from_zero=False):
    """Running mean and variance after the batches."""
    a = given["momentum"] if momentum is None else momentum
    mean, var = 0.0, 0.0 if from_zero else 1.0
    for x in given["batches"]:
        v = x.var(0, ddof=correction)
        v = np.sqrt(v) if root else v
        mean = (0 if plain else (1 - a) * mean) + a * x.mean(0)
        var = (0 if plain else (1 - a) * var) + a * v
    return mean, var


def _layer(rng: np.random.Generator, C: int, eps: float | None = None) -> dict:
    return {
        "eps": float(rng.uniform(0.2, 0.5)) if eps is None else eps,
        "momentum": float(rng.uniform(0.15, 0.4)),
        "gamma": rng.uniform(0.5, 2, C).astype(np.float32),
        "beta": rng.normal(size=C).astype(np.float32),
    }


def _batch(rng: np.random.Generator, B: int, C: int) -> np.ndarray:
    return rng.normal(rng.normal(0, 2, C), rng.uniform(0.5, 2, C), (B, C)).astype(np.float32)


FLOAT = 2e-5  # float32's rounding, through a mean, a variance and a root


NORM_CRASHES = {
    r"unexpected keyword|positional argument": "The layer is made by `BatchNorm1d(channels, eps=…, "
    "momentum=…)` and called on x alone.",
    r"has no attribute '(gamma|beta|running_mean|running_var|parameters|training)'": "The card "
    "names what the layer must have: gamma, beta, running_mean, running_var, training and "
    "parameters().",
    r"not callable": "The layer is called like a function: name its method `__call__`.",
    r"backward through the graph a second time": "The running statistics remember the graph of the "
    "batch before: update them under `torch.no_grad()`.",
    r"does not require grad": "gamma and beta are made with `requires_grad=True`, and the output "
    "is computed outside `torch.no_grad()`.",
    r"leaf Variable that requires grad": "An update in place met a tensor with a gradient: only "
    "running_mean and running_var are updated, under `torch.no_grad()`.",
    r"modified by an inplace operation": "Something that the backward pass needs was changed in "
    "place: in eval and train mode, compute new tensors from x.",
    r"must match the size": "The statistics have one number a channel, and the channels are the "
    "last axis of (B, C): take them over axis 0.",
    r"least 2|batch of (one|1)|more than (one|1)": "In eval mode a batch of one is welcome, for "
    "the running statistics are known: raise only in train mode.",
}


@batch_norm.case(
    "the output in train mode",
    points=2,
    adapter="normed_in_train_mode",
    inputs=lambda rng: {"x": _batch(rng, 6, 4), **_layer(rng, 4)},
    crashes=NORM_CRASHES,
)
def output_in_train_mode(given, got):
    given = given | {key: given[key].astype(float) for key in ("x", "gamma", "beta")}
    x = given["x"]
    expect(
        "norm(x)",
        got["y"],
        _batch_norm(given, x),
        tol=FLOAT,
        mistakes=[
            Mistake(x, "x came back as it was: normalise it."),
            Mistake(
                _batch_norm(given, x, correction=1),
                "You normalise by the unbiased variance, which is `x.var(0)` without more: the "
                "batch is normalised by its biased one, `correction=0`.",
            ),
            Mistake(
                _batch_norm(given, x, eps=None),
                "eps is missing: it is added to the variance, under the root.",
            ),
            Mistake(
                _batch_norm(given, x, eps="outside"),
                "eps is added to the standard deviation; it belongs under the root: sqrt(var + "
                "eps).",
            ),
            Mistake(
                _batch_norm(given, x, root=False), "You divide by the variance: divide by its root."
            ),
            Mistake(
                _batch_norm(given, x, stats=(x.mean(0), x.std(0))),
                "Two roots are taken: `std` is one already. Use the variance.",
            ),
            Mistake(
                _batch_norm(given, x, gamma=False, beta=False),
                "gamma and beta are missing: after the normalisation, scale by one and shift by "
                "the other.",
            ),
            Mistake(_batch_norm(given, x, beta=False), "beta is missing."),
            Mistake(_batch_norm(given, x, gamma=False), "gamma is missing."),
            Mistake(_batch_norm(given, x, mean=False), "The mean isn't subtracted."),
            Mistake(
                _batch_norm(given, x, axis=1),
                "Each example is normalised over its channels, which is LayerNorm: BatchNorm takes "
                "each channel over the batch, axis 0.",
            ),
            Mistake(
                _batch_norm(given, x, axis=(0, 1)),
                "One mean and one variance for all channels: take them along axis 0 only, so that "
                "each channel has its own.",
            ),
            Mistake(
                _batch_norm(given, x, stats=(0.0, 1.0)),
                "The running statistics are used in train mode: there it is the batch's own that "
                "normalise.",
            ),
            Mistake(
                _batch_norm(given, x, stats=_moved(given | {"batches": [x]})),
                "The running statistics are used in train mode: there it is the batch's own that "
                "normalise.",
            ),
        ],
    )
    expect_that(
        got["kept"],
        "norm(x) changed x",
        "`x -= …` changes the tensor that was given: write `x - …`, which makes a new one.",
    )


def _batches(rng: np.random.Generator) -> dict:
    # Short batches, of different lengths: there biased and unbiased differ.
    return {"batches": [_batch(rng, B, 3) for B in (3, 5, 4)], **_layer(rng, 3)}


def _expect_moved(given, found, when="") -> None:
    given = given | {"batches": [x.astype(float) for x in given["batches"]]}
    a = given["momentum"]
    last = given["batches"][-1]
    mean, var = _moved(given)
    turned = _moved(given, momentum=1 - a)
    swapped = (
        "The momentum is the wrong way round: the new value gets the share `momentum`, the old one "
        "1 - momentum."
    )
    replaced = (
        "The statistics of the last batch have replaced the running ones: they only move a share "
        "of the way towards it."
    )
    still = "It hasn't moved: in train mode every call moves the running statistics."
    forgetful = "The old value is lost: keep (1 - momentum) of it."
    ten = "The share is always 0.1: take the `momentum` that the layer was made with."
    expect(
        f"running_mean{when}",
        found["mean"],
        mean,
        tol=FLOAT,
        mistakes=[
            Mistake(0 * mean, still),
            Mistake(turned[0], swapped),
            Mistake(last.mean(0), replaced),
            Mistake(_moved(given, plain=True)[0], forgetful),
            Mistake(_moved(given, momentum=0.1)[0], ten),
            Mistake(
                np.mean([x.mean(0) for x in given["batches"]], 0),
                "That is the average of all batches, with the same weight each: the running "
                "statistics move by `momentum`, and forget what is long ago.",
            ),
        ],
    )
    expect(
        f"running_var{when}",
        found["var"],
        var,
        tol=FLOAT,
        mistakes=[
            Mistake(1 + 0 * var, still),
            Mistake(
                _moved(given, correction=0)[1],
                "The running variance collects the biased variance (÷ B): it stands for data not "
                "seen, so it takes the unbiased one (÷ (B − 1)).",
            ),
            Mistake(
                _moved(given, root=True)[1],
                "The running *variance* collects standard deviations: leave out the root.",
            ),
            Mistake(
                _moved(given, root=True, correction=0)[1],
                "The running *variance* collects standard deviations: leave out the root.",
            ),
            Mistake(
                _moved(given | {"eps": 0}, from_zero=True)[1],
                "running_var starts at zeros; it starts at ones.",
            ),
            Mistake(
                var + given["eps"] * (1 - (1 - a) ** len(given["batches"])),
                "eps got into the running variance: it is added only where the root is taken.",
            ),
            Mistake(turned[1], swapped),
            Mistake(last.var(0, ddof=1), replaced),
            Mistake(_moved(given, plain=True)[1], forgetful),
        ],
    )


@batch_norm.case(
    "running statistics after three batches",
    points=2,
    adapter="running",
    inputs=_batches,
    crashes=NORM_CRASHES,
)
def running_statistics(given, got):
    start = got["start"]
    expect("running_mean at the start", start["mean"], np.zeros(3))
    expect(
        "running_var at the start",
        start["var"],
        np.ones(3),
        hint="running_var starts at ones: a layer that has seen nothing changes nothing in eval "
        "mode.",
    )
    _expect_moved(given, got)


@batch_norm.case(
    "eval mode, and a batch of one in it",
    points=2,
    adapter="normed_in_eval_mode",
    inputs=lambda rng: {"x": _batch(rng, 5, 3), **_batches(rng)},
    crashes=NORM_CRASHES,
)
def output_in_eval_mode(given, got):
    given = given | {key: given[key].astype(float) for key in ("x", "gamma", "beta")}
    x, before = given["x"], got["before"]
    mean, var = array("running_mean", before["mean"], (3,)), array("running_var", before["var"])
    _expect_moved(given, before, " before eval mode")
    batch_stats = "In eval mode the batch's own statistics are used: look at self.training."
    biased = x.mean(0), x.var(0)
    want = _batch_norm(given, x, stats=(mean, var))
    expect(
        "norm(x) in eval mode",
        got["y"],
        want,
        tol=FLOAT,
        mistakes=[
            Mistake(_batch_norm(given, x), batch_stats),
            Mistake(_batch_norm(given, x, correction=1), batch_stats),
            Mistake(
                _batch_norm(given, x, stats=(mean, biased[1])),
                "The variance is still the batch's in eval mode.",
            ),
            Mistake(
                _batch_norm(given, x, stats=(biased[0], var)),
                "The mean is still the batch's in eval mode.",
            ),
            Mistake(
                _batch_norm(given, x, stats=(mean, var), eps=None), "eps is missing in eval mode."
            ),
            Mistake(
                _batch_norm(given, x, stats=(mean, var), gamma=False, beta=False),
                "gamma and beta are missing in eval mode: they scale and shift in both modes.",
            ),
        ],
    )
    moved = "the running statistics moved in eval mode"
    expect_that(
        np.array_equal(before["mean"], got["after"]["mean"])
        and np.array_equal(before["var"], got["after"]["var"]),
        moved,
        "Eval mode only looks: move the running statistics in train mode only, or every evaluation "
        "changes the model.",
    )
    expect(
        "norm(x[:1]) in eval mode",
        got["alone"],
        want[:1],
        tol=FLOAT,
        hint="A batch of one has the same output as in company: in eval mode nothing depends on "
        "the others.",
    )


@batch_norm.case(
    "gradients, twice in a row",
    points=2,
    adapter="normed_backwards",
    inputs=lambda rng: {
        "x": _batch(rng, 5, 3),
        "dy": rng.normal(size=(5, 3)).astype(np.float32),
        **_layer(rng, 3),
    },
    crashes=NORM_CRASHES,
)
def gradients_twice(given, got):
    given = {k: v.astype(float) if isinstance(v, np.ndarray) else v for k, v in given.items()}
    x, dy, gamma = given["x"], given["dy"], given["gamma"]
    inverse = 1 / np.sqrt(x.var(0) + given["eps"])
    normal = (x - x.mean(0)) * inverse
    dn = dy * gamma
    want = inverse * (dn - dn.mean(0) - normal * (dn * normal).mean(0))
    expect_that(
        not got["linked"],
        "running_mean or running_var has a gradient",
        "The running statistics are part of the graph: update them under `torch.no_grad()`.",
    )
    for name, right in (("beta", dy.sum(0)), ("gamma", (dy * normal).sum(0))):
        lost = f"{name} gets no gradient: make it with `requires_grad=True`, and use it as it is."
        expect(
            f"the gradient of {name}",
            got[name],
            right,
            tol=1e-4,
            mistakes=[Mistake(0 * right, lost)],
        )
    expect(
        "the gradient of x",
        got["x"],
        want,
        tol=1e-4,
        mistakes=[
            Mistake(
                dn * inverse,
                "Mean and variance count as constants in your graph, but both depend on x: compute "
                "them outside `torch.no_grad()`, without detach or `.data`.",
            ),
            Mistake(
                inverse * (dn - dn.mean(0)),
                "The variance counts as a constant in your graph, but it depends on x: no detach, "
                "no `.data`, no `no_grad` for it.",
            ),
            Mistake(
                inverse * (dn - normal * (dn * normal).mean(0)),
                "The mean counts as a constant in your graph, but it depends on x.",
            ),
            Mistake(0 * x, "Nothing comes back to x: it was detached, or its data copied."),
        ],
    )
    expect(
        "parameters()",
        got["listed"],
        ["gamma", "beta"],
        hint="parameters() lists what training moves: gamma and beta, in this order. The running "
        "statistics are no parameters.",
    )


@batch_norm.case(
    "a batch of two, and one of one, in train mode",
    adapter="batch_of_one",
    inputs=lambda rng: {"x": _batch(rng, 2, 3), **_layer(rng, 3)},
    crashes=NORM_CRASHES | {"ValueError": "Two examples are a batch: raise only for one."},
)
def batch_of_one_refused(given, got):
    given = given | {key: given[key].astype(float) for key in ("x", "gamma", "beta")}
    expect("norm(x) of two examples", got["y"], _batch_norm(given, given["x"]), tol=FLOAT)
    expect(
        "the error for one",
        got["raised"],
        "ValueError",
        mistakes=[
            Mistake(
                "",
                "No error came: a single value has variance 0, so every output would be beta, and "
                "the unbiased variance NaN. Raise ValueError.",
            ),
            Mistake(
                "AssertionError",
                "`assert` is for mistakes of one's own and can be switched off: use `raise "
                "ValueError(...)`.",
            ),
        ],
        hint=f"It should be a ValueError; yours says: {got['message']}",
    )
    expect_that(bool(got["message"]), "the error says nothing", "Say what is wrong and what to do.")
    before, after = got["before"], got["after"]
    expect_that(
        all(np.array_equal(before[name], after[name]) for name in ("mean", "var")),
        f"running_var after the error: {show(after['var'])}",
        "The running statistics have moved before the error, and NaN never leaves them: test the "
        "batch first.",
    )
