"""4.4 · BatchNorm1d: writing a layer that behaves differently in training and in use."""

import re

import numpy as np

from zerotohero.course.checks.batchnorm._e4_4_eval_mode import output_in_eval_mode
from zerotohero.course.checks.batchnorm._e4_4_gradients import gradients_twice
from zerotohero.course.checks.batchnorm.running import FAR, FLOAT, expect_moved, expect_start, moved
from zerotohero.course.checks.batchnorm.shared import IN_PLACE, normalised, usual
from zerotohero.course.checks.numerics import both_signs
from zerotohero.course.exercise import NO_LINE, Exercise, Mistake, array, expect, expect_that, show

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
- `training`: True at the start. Setting it to False is eval mode, and to True train mode again.
- Calling the layer on `x` (B, C) returns (B, C) and leaves x as it is. In train mode it normalises
  each channel by the mean and the **biased** variance (÷ B) of the batch, and moves the running
  statistics a share `momentum` of the way towards the batch's mean and **unbiased** variance
  (÷ (B − 1)). In eval mode it normalises by the running statistics and moves nothing. Then gamma
  scales and beta shifts. In both modes gradients come back to x, gamma and beta. The numbers are
  those of `torch.nn.BatchNorm1d`, and as precise where x is far from 0.
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


def _layer(rng: np.random.Generator, C: int, eps: float | None = None) -> dict:
    return {
        "eps": float(rng.uniform(0.2, 0.5)) if eps is None else eps,
        "momentum": float(rng.uniform(0.15, 0.4)),
        "gamma": (rng.uniform(0.5, 2, C) * both_signs(rng, C)).astype("f4"),
        "beta": rng.normal(size=C).astype(np.float32),
    }


def _batch(rng: np.random.Generator, B: int, C: int) -> np.ndarray:
    return rng.normal(rng.normal(0, 2, C), rng.uniform(0.5, 2, C), (B, C)).astype(np.float32)


NORM_CRASHES = {
    f"(unexpected keyword|positional argument).*{NO_LINE}": "The layer is made by "
    "`BatchNorm1d(channels, eps=…, momentum=…)` and called on x alone.",
    r"has no attribute '(gamma|beta|running_mean|running_var|parameters|training)'": "The card "
    "names what the layer must have: gamma, beta, running_mean, running_var, training and "
    "parameters().",
    r"'(list|tuple)' object is not callable": "parameters is a method, and no property: it is "
    "called, `norm.parameters()`.",
    r"not callable": "The layer is called like a function: name its method `__call__`.",
    r"backward through the graph a second time": "Something that an earlier call computed is still "
    "in use, and its graph with it: update the running statistics under `torch.no_grad()`, and "
    "compute all else anew in each call.",
    r"is computed from another tensor": "Only a tensor that training can move keeps its gradient: "
    "`torch.ones(channels, requires_grad=True)` as it is, without a further step.",
    r"where \(\d+,\) is needed": "gamma and beta have one number a channel: "
    "`torch.ones(channels)`.",
    r"does not require grad": "gamma and beta are made with `requires_grad=True`, and the output "
    "is computed outside `torch.no_grad()`.",
    r"leaf Variable that requires grad": "An update in place met a tensor with a gradient: only "
    "running_mean and running_var are updated, under `torch.no_grad()`.",
    r"modified by an inplace operation": "Something that the backward pass needs was changed in "
    "place: in eval and train mode, compute new tensors from x.",
    r"must match the size": "The statistics have one number a channel, and the channels are the "
    "last axis of (B, C): take them over axis 0. (If they are, do two layers share them? What "
    "stands in the class, and not in `__init__`, belongs to all.)",
}


LOST = (
    "Near 0 it is right, and far from it digits are lost: take the mean of (x − mean)², and not a "
    "mean of squares less the square of the mean, for "
)


@batch_norm.case(
    "the output in train mode",
    points=2,
    adapter="normed_in_train_mode",
    inputs=lambda rng: {
        "x": _batch(rng, 6, 4),
        "far": np.float32(1000) + _batch(rng, 5, 4),
        **_layer(rng, 4),
    },
    crashes=NORM_CRASHES,
)
def output_in_train_mode(given, got):
    given = given | {key: given[key].astype(float) for key in ("x", "far", "gamma", "beta")}
    x = given["x"]
    expect(
        "norm(x)",
        got["y"],
        normalised(given, x),
        tol=FLOAT,
        mistakes=[
            *usual(lambda **switches: normalised(given, x, **switches), x),
            Mistake(
                normalised(given, x, correction=1),
                "You normalise by the unbiased variance, which is `x.var(0)` without more: the "
                "batch is normalised by its biased one, `correction=0`.",
            ),
            Mistake(
                normalised(given, x, stats=(x.mean(0), x.std(0))),
                "Two roots are taken: `std` is one already. Use the variance.",
            ),
            Mistake(normalised(given, x, subtracted=False), "The mean isn't subtracted."),
            Mistake(
                normalised(given, x, axis=1),
                "Each example is normalised over its channels, which is LayerNorm: BatchNorm takes "
                "each channel over the batch, axis 0.",
            ),
            Mistake(
                normalised(given, x, axis=(0, 1)),
                "One mean and one variance for all channels: take them along axis 0 only, so that "
                "each channel has its own.",
            ),
            *(
                Mistake(
                    normalised(given, x, stats=stats),
                    "The running statistics are used in train mode: there it is the batch's own "
                    "that normalise.",
                )
                for stats in ((0.0, 1.0), moved(given | {"batches": [x]}))
            ),
        ],
    )
    expect_that(got["kept"], "norm(x) changed x", IN_PLACE)
    want = normalised(given, given["far"])
    expect("norm(x) for x about 1000", got["far"], want, tol=FAR, hint=LOST + "the output.")


def _batches(rng: np.random.Generator) -> dict:
    # Short batches, of different lengths: there biased and unbiased differ.
    return {"batches": [_batch(rng, B, 3) for B in (4, 6, 5)], **_layer(rng, 3)}


@batch_norm.case(
    "running statistics after three batches",
    points=2,
    adapter="running",
    inputs=lambda rng: {"far": np.float32(1000) + _batch(rng, 5, 3), **_batches(rng)},
    crashes=NORM_CRASHES,
)
def running_statistics(given, got):
    expect_start(got["start"])
    expect_moved(given, got)
    var = moved(given | {"batches": [given["far"].astype(float)]})[1]
    hint = LOST + "running_var."
    expect("running_var after x about 1000", got["far"], var, tol=FAR, hint=hint)


batch_norm.case(
    "eval mode, a batch of one in it, and train mode again",
    points=2,
    adapter="normed_in_eval_mode",
    inputs=lambda rng: {"x": _batch(rng, 5, 3), **_batches(rng)},
    crashes=NORM_CRASHES,
)(output_in_eval_mode)


batch_norm.case(
    "gradients, twice in a row, and in eval mode",
    points=2,
    adapter="normed_backwards",
    inputs=lambda rng: {
        "x": _batch(rng, 5, 3),
        "dy": rng.normal(size=(5, 3)).astype(np.float32),
        **_layer(rng, 3),
    },
    crashes=NORM_CRASHES,
)(gradients_twice)


SAYS_SO = r"\b(one|1|single|singletons?|lone|small|two|2|variance|examples?)\b"


def _two_examples(rng: np.random.Generator) -> dict:
    """Return two examples of one channel, so close together that a small eps would be seen."""
    near = np.float32(0.003) * both_signs(rng, 1).astype("f4")
    return {"x": np.stack([near, -near]), **_layer(rng, 1, eps=0.0)}


@batch_norm.case(
    "a batch of two, and one of one, in train mode",
    adapter="batch_of_one",
    inputs=_two_examples,
    crashes=NORM_CRASHES
    | {r"^ValueError(?!: (too many|not enough))": "Two examples are a batch: raise only for one."},
)
def batch_of_one_refused(given, got):
    given = given | {key: given[key].astype(float) for key in ("x", "gamma", "beta")}
    expect(
        "norm(x) of two examples, where eps is 0",
        got["y"],
        normalised(given, given["x"]),
        tol=FLOAT,
        mistakes=[
            Mistake(
                normalised(given | {"eps": 1e-5}, given["x"]),
                "eps is 0 here, and you take 1e-5: use the one that is passed. (`eps or …` takes 0 "
                "for none given.)",
            )
        ],
    )
    for name, statistic in got["before"].items():
        array(f"running_{name} of one channel", statistic, (1,))
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
    expect_that(
        bool(re.search(SAYS_SO, got["message"].lower())),
        f"the error's message is {show(got['message'])}",
        "The message is to say what is wrong: the batch has one example.",
    )
    for name, before in got["before"].items():
        expect_that(
            np.array_equal(before, got["after"][name]),
            f"running_{name} after the error: {show(got['after'][name])}, before: {show(before)}",
            "The running statistics have moved before the error, and NaN never leaves them: test "
            "the batch first.",
        )


def _new(rng: np.random.Generator) -> dict:
    x = _batch(rng, 6, 4)
    # `small` varies by about the root of the eps that a layer has without being told.
    return {"small": (x - x.mean(0)) * np.float32(0.003), "x": x, "eps": 0.3, "momentum": 0.6}


@batch_norm.case("a new layer", adapter="new_layers", inputs=_new, crashes=NORM_CRASHES)
def new_layer_as_on_the_card(given, got):
    small, x = given["small"].astype(float), given["x"].astype(float)
    C, eps, momentum = x.shape[1], given["eps"], given["momentum"]
    expect("gamma of a new layer", got["gamma"], np.ones(C), hint="gamma is C ones.")
    expect("beta of a new layer", got["beta"], np.zeros(C), hint="beta is C zeros.")
    expect("training of a new layer", got["training"], True, hint="It starts in train mode.")

    def output(x, eps):
        return normalised({"eps": eps}, x)

    def running_var(x, momentum):
        return 1 + momentum * (x.var(0, ddof=1) - 1)

    told, untold = f"BatchNorm1d({C}, {eps}, {momentum})", f"BatchNorm1d({C})"
    for what, name, function, of, other in (
        (f"{told}(x)", "y", output, eps, momentum),
        (f"running_var of {told} after one batch", "var", running_var, momentum, eps),
    ):
        swapped = Mistake(function(x, other), "The card's order is channels, eps, momentum.")
        expect(what, got["told"][name], function(x, of), tol=FLOAT, mistakes=[swapped])
    expect(
        f"{untold}(x)",
        got["untold"]["y"],
        output(small, 1e-5),
        tol=1e-4,
        hint=f"With its eps given, as in {told}, the output is right: the default is to be 1e-5.",
    )
    expect(
        f"running_var of {untold} after one batch",
        got["untold"]["var"],
        running_var(small, 0.1),
        tol=FLOAT,
        hint=f"With momentum given, as in {told}, it moves right: the default is to be 0.1.",
    )
