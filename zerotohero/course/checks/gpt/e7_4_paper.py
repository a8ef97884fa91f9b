"""7.4 · An improvement from a paper: turning a paper into code, and testing a claim: equal
compute, several seeds.
"""

import numpy as np

from zerotohero.course.checks.gpt.improvements import ARGUMENTS, VERIFY, calls_of_each
from zerotohero.course.checks.gpt.shared import MISSING_CRASHES, V, shakespeare
from zerotohero.course.checks.numerics import mean_loss
from zerotohero.course.exercise import (
    NO_LINE,
    Exercise,
    array,
    expect,
    expect_that,
)
from zerotohero.course.to_look_at import HOOKS, THREADS, TORCH

LESS = 0.02  # nats by which the mean over three seeds has to be lower
BELOW = 2.47  # what the mean has to be below: the best of ten plain models, by seed, comes to it


paper = Exercise(
    number="7.4",
    title="An improvement from a paper",
    difficulty=4,
    minutes=90,
    practises="turning a paper into code, and testing a claim: equal compute, several seeds",
    answers=("improvements", "train_model"),
    adapters="gpt_improvements",
    look_for=(*HOOKS, *THREADS, *TORCH),
    takes=12,
    summary=(
        "Implement one or several of what came after GPT-2, rotary positions, RMSNorm, SwiGLU, "
        "QK-norm, ReLU², grouped-query attention and Muon. Show that they lower the loss, at equal "
        "compute, over three seeds."
    ),
    statement=f"""
`improvements() -> dict[str, Callable]`

Return the functions that you have written, one or several, under these names. The check calls them
alone, on float64, and verifies each one's defining property. They return tensors and leave their
arguments as they are, but for `muon`, which may write into its buffer.

- `"rotary"`: `(x)`, (B, n_head, T, S) to the same. Turn each of the S/2 pairs of numbers of a query
  or key by an angle of t · 10,000^(−2i/S) radians: t is the position, i the pair, both counted from
  0. Pairs are (i, i + S/2) or (2i, 2i + 1), and stay where they are. Su et al. (2021)
- `"rms_norm"`: `(x)`, (…, C) to the same. Divide each vector by the root of the mean of its
  squares. Zhang & Sennrich (2019), without a gain
- `"swiglu"`: `(x, W_gate, W_up, W_down)`, (B, T, C) to the same. (SiLU(x W_gate) ⊙ x W_up) W_down;
  the first two are (C, H), the last (H, C). Shazeer (2020)
- `"qk_norm"`: `(q, k)`, both (B, n_head, T, S), to such a pair. Give each query and each key the
  root mean square 1, each by itself. Henry et al. (2020)
- `"relu2"`: `(x)`, any shape to the same. The square of ReLU. So et al. (2021)
- `"grouped_query"`: `(q, k, v)` to (B, n_head, T, S). Causal attention in which k and v have fewer
  heads, (B, n_kv, T, S): the first n_head/n_kv query heads share key and value head 0, the next
  share head 1, and so on. Ainslie et al. (2023)
- `"muon"`: `(gradient, buffer, momentum)` to (update, buffer), matrices (n, m). The new buffer is
  momentum · buffer + gradient. The update has the buffer's singular vectors, and singular values
  near 1 (0.6 to 1.3), also where the buffer's lie 200 times apart. Jordan et al. (2024)

`train_model(batches, V: int, improved: bool, seed: int) -> model`

Train a small GPT, with your improvements or, for `improved=False`, without, and return it: an
`nn.Module` that takes (B, T) tokens to (B, T, V) logits and sees no future. Going through `batches`
once gives 100 pairs xb, yb of shape (32, 32); each goes through the model once, for one update.
Draw the weights from `seed`. In every update, the improved model calls one or more of the functions
that `improvements` returns and uses what comes back; the plain one calls none. The next cell has a
plain GPT to start from.

```python
relu2(torch.tensor([-1.0, 3.0]))         # tensor([0., 9.])
rms_norm(torch.tensor([[3.0, 4.0]]))     # tensor([[0.8485, 1.1314]]), which is [3, 4] / √12.5
```

The check trains both on the same batches of Tiny Shakespeare for three seeds. The improved model
may take at most a tenth more operations for a token. Its loss on text that neither has seen must be
lower by {LESS} in the mean over the seeds, and lower for two of the three at least. Its mean must
be below {BELOW} too, so that no gain is shown by a plain model that was held back. In a model this
small and so short a training, rotary positions and Muon do that alone, and QK-norm with some seeds.
The others don't, which is a finding too: for the last four points, use rotary positions or Muon,
alone or with others.
""",
    hints=(
        "Choose by what you want to understand. Rotary positions and Muon show the most after 100 "
        "steps, QK-norm a little; the others need more time or size. Before you train, test the "
        "property on random numbers.",
        "Rotary: x.chunk(2, -1) gives the pairs' two halves, (a cos − b sin, a sin + b cos). Muon: "
        "divide by the norm, then five rounds of X = a X + (b A + c A A) X with A = X Xᵀ. Groups: "
        "`k.repeat_interleave(n, 1)`.",
        "Rotary: `angles = torch.arange(T)[:, None] * 10_000 ** (-torch.arange(0, S, 2) / S)`. "
        "SwiGLU: `(F.silu(x @ W_gate) * (x @ W_up)) @ W_down`, with H = 8C/3 for equal compute. "
        "RMSNorm: `x / x.pow(2).mean(-1, keepdim=True).sqrt()`. Muon's a, b, c: 3.4445, −4.7750, "
        "2.0315. In the plain GPT, pass your own `attention`, `mlp` or `norm`.",
    ),
)


PAPER_CRASHES = {
    "has to return a dict": "Return a dict from names to functions, such as `{'relu2': relu2}`.",
    "is none of": "The names are those of the list.",
    "your code returned a": "Each name stands for a function that takes tensors and returns "
    "tensors, not for a class or a module.",
    f"positional argument.*{NO_LINE}": "The check calls each function with the arguments of "
    "the list: `rotary` gets one tensor, `qk_norm` two, `grouped_query` and `muon` three, `swiglu` "
    "four.",
    "has to stand for a function": "A name stands for the function itself: `{'relu2': relu2}`, "
    "without calling it.",
    "not enough values to unpack": "A tensor has fewer axes than are unpacked: `rms_norm` and "
    "`relu2` take one of any number of axes, and `x.shape[-1]` is the last.",
    "same dtype": "The functions are called on float64: make what you add to them of x's type, "
    "`.type_as(x)`, or let torch convert it.",
    "^RuntimeError: muon: .*(cannot be multiplied|must match the size)": "Two shapes don't fit: "
    "A = X @ X.T, (n, n), stands before X, and singular vectors meet as `U @ V.mT` after "
    "`torch.svd`, as `U @ Vh` after `torch.linalg.svd(…, full_matrices=False)`.",
    "^RuntimeError: rotary: .*must match the size": "Two tensors of different shapes meet: the "
    "angles are (T, S/2) and meet the pairs' halves, (B, n_head, T, S/2).",
    "^RuntimeError: grouped_query: .*must match the size": "Two tensors of different shapes meet: "
    "key and value heads are repeated first, to n_head of them.",
    "^RuntimeError: (rms_norm|qk_norm): .*must match the size": "Two tensors of different shapes "
    "meet: with `keepdim=True` a mean keeps the axis that it runs along.",
    "^RuntimeError: swiglu: .*cannot be multiplied": "Look at the shapes: x (…, C) meets W_gate "
    "and W_up (C, H), and what passes the gate meets W_down (H, C), by `@`; `F.linear` takes "
    "weights the other way round.",
}


def _verify_each(given: dict, got: dict, part: int) -> None:
    for name in VERIFY:
        if name in got:
            VERIFY[name][part](given[name], got[name])
            _expect_as_on_the_card(name, got["changed"][name], got["kinds"][name])
            if part == 0:
                _expect_type_and_gradient(name, got)


def _expect_type_and_gradient(name: str, got: dict) -> None:
    types = got["types"][name]
    expect_that(
        types == ["torch.float64"],
        f"{name} returned {' and '.join(types)}, and got torch.float64",
        "What comes out is of the type of what came in: `.type_as(x)` at the end.",
    )
    if name in got["slopes"]:
        slope, measured = got["slopes"][name]
        expect(
            f"how what {name} returns changes with its arguments, by its gradients",
            slope,
            measured,
            tol=0.01,
            hint="The values are right, and a training goes by the gradients: `.detach()`, `.data` "
            "or `torch.no_grad()` cuts a part of them off.",
        )


def _expect_as_on_the_card(name: str, changed: list[int], kinds: list[str]) -> None:
    """Hold the functions to what the machinery holds answers to: arguments kept, tensors returned.

    It sees the function that returns them alone.
    """
    for which in (ARGUMENTS[name][place] for place in changed):
        expect_that(
            (name, which) == ("muon", "buffer"),
            f"{name} changed its argument {which}, which the caller goes on using: arguments stay "
            "as they are",
            "Operations in place (`*=`, `x[…] = …`, methods that end in `_`) write into the tensor "
            f"that was handed over. Begin with `{which} = {which}.clone()`, or write `x = x * …`, "
            "which makes a new one.",
        )
    expect_that(
        not kinds,
        f"{name} returned {' and '.join(kinds)}, and the card says tensors",
        "Calculate with torch from the arguments on, and not with NumPy or lists: what comes out "
        "is a tensor.",
    )


@paper.case(
    "your functions, on small inputs",
    points=3,
    adapter="improved",
    inputs=calls_of_each,
    crashes=PAPER_CRASHES,
)
def values_of_the_functions(given, got):
    expect_that(
        any(name in got for name in VERIFY),
        "improvements(): nothing came back",
        "Return a dict with at least one of the seven.",
    )
    _verify_each(given, got, 0)


@paper.case(
    "the property that defines each",
    points=3,
    adapter="improved",
    inputs=calls_of_each,
    crashes=PAPER_CRASHES,
)
def properties_of_the_functions(given, got):
    expect_that(any(name in got for name in VERIFY), "improvements(): nothing came back")
    _verify_each(given, got, 1)


STEPS, ROWS, CONTEXT = 100, 32, 32


def _three_runs(rng: np.random.Generator) -> dict:
    plays = shakespeare()
    if "missing" in plays:
        return plays
    runs = []
    for seed in rng.choice(10_000, 3, replace=False):
        starts = rng.integers(len(plays["tokens"]) - CONTEXT, size=(STEPS, ROWS, 1))
        runs.append({"tokens": plays["tokens"][starts + np.arange(CONTEXT + 1)], "seed": int(seed)})
    val = plays["_val"][: len(plays["_val"]) // (CONTEXT + 1) * (CONTEXT + 1)]
    val = val.reshape(-1, CONTEXT + 1)
    return {"runs": runs, "windows": val[:, :-1], "V": V, "_next": val[:, -1]}


@paper.case(
    "a lower loss at equal compute, over three seeds",
    points=4,
    adapter="compared",
    inputs=_three_runs,
    crashes={
        **MISSING_CRASHES,
        "gone through once": "Each batch may be used once, by both models alike: one loop over "
        "`batches`, one update for each.",
        "not subscriptable|is not an iterator": "Go through them in a loop, `for xb, yb in "
        "batches`.",
        "has to return the trained model": "End `train_model` with `return model`: neither its "
        "loss nor its class.",
        "goes to": "The model answers for every position: logits of the shape (B, T, V).",
        "graded without": "This exercise is graded without the library, which has some of the "
        "seven: build on the plain GPT of the next cell.",
    },
)
def lower_loss_at_equal_compute(given, got):
    for name in ("plain", "improved"):
        _expect_fair(name, got[name])
    losses = {}
    for name in ("plain", "improved"):
        losses[name] = [_next_loss(f"the {name} model", run, given["_next"]) for run in got[name]]
    plain, better = losses["plain"], losses["improved"]
    told = ", ".join(f"{p:.3f} and {b:.3f}" for p, b in zip(plain, better, strict=True))
    told = f"the losses without and with, seed by seed: {told}"
    flops = [sum(run["flops"] for run in got[name]) for name in ("plain", "improved")]
    expect_that(
        flops[1] <= 1.1 * flops[0],
        f"operations for a token: {flops[1] / max(flops[0], 1):.2f} times those of the plain model",
        "A larger model isn't an improvement: make its layers so wide that the operations stay the "
        "same. SwiGLU has three matrices, so H is 8C/3 where the plain one has 4C.",
    )
    expect_that(
        not np.allclose(plain, better, atol=1e-6),
        f"{told}: expected others with the improvement",
        "Both models are the same: `improved` isn't used, or the improvement isn't built in.",
    )
    for name, calls, want in (
        ("plain", sum(run["called"] for run in got["plain"]), "none"),
        ("improved", min(run["called"] for run in got["improved"]), f"one in each of {STEPS}"),
    ):
        expect_that(
            calls == 0 if name == "plain" else calls >= STEPS,
            f"calls of your functions while the {name} model learns: expected {want}, got {calls}",
            "The plain model is the one without the improvement."
            if name == "plain"
            else "What makes the difference here isn't what `improvements` returns: the improved "
            "model has to call these functions themselves.",
        )
    expect_that(
        got["used"],
        "the improved model: expected that it depends on what your functions return, got the same "
        "weights after three updates whatever that is",
        "They are called, and what comes back isn't used: `q = rotary(q)`, not `rotary(q)` alone.",
    )
    mean, better_mean = float(np.mean(plain)), float(np.mean(better))
    wins = sum(b < p for p, b in zip(plain, better, strict=True))
    expect_that(
        mean - better_mean >= LESS and wins >= 2,
        f"{told}: expected a mean lower by {LESS}, got {better_mean:.3f} against {mean:.3f}",
        "The gain isn't shown. In so small a model rotary positions and Muon show theirs alone; "
        "the others need one of these beside them.",
    )
    expect_that(
        better_mean < BELOW,
        f"{told}: expected a mean with the improvement below {BELOW:.2f}, got {better_mean:.3f}",
        "It beats your plain model, and is no better than a good plain one. Is the improvement "
        "whole (rotary positions turn queries and keys), and is each rate that of `train_once`?",
    )


def _expect_fair(name: str, runs: list[dict]) -> None:
    """Expect each batch once and one update for it, weights from the seed, and no future seen."""
    for run in runs:
        expect_that(
            run["taken"] == STEPS,
            f"the batches that the {name} model used: expected all {STEPS}, got {run['taken']}",
            "Equal compute: both models go through all batches, one update for each.",
        )
        want = STEPS * ROWS * CONTEXT
        more = run["tokens"] > want or run["steps"] > STEPS
        expect_that(
            run["tokens"] == want and run["steps"] <= STEPS,
            f"the {name} model: expected {want:,} tokens through it while it learns and at most "
            f"{STEPS} updates, counted {run['tokens']:,} and {run['steps']}",
            "A batch is used twice: one pass through the model and one update for each. (What is "
            "only looked at belongs under `torch.no_grad()`.)"
            if more
            else "A part of the batches never passes through the model that comes back.",
        )
        first, again = run["began"]
        expect_that(
            first == again,
            f"the {name} model, made twice from the same seed: expected the same weights, got "
            "others",
            "The weights aren't drawn from `seed`: `torch.manual_seed(seed)` before the model is "
            "made.",
        )
        expect_that(
            run["ahead"] < 1e-3,
            f"the {name} model: expected logits that don't change with a later token, got "
            f"{float(run['ahead']):.2g} of change",
            "The model sees its future: in training it can read the answer, and in the last place "
            "of a text there is none to read. `is_causal=True`, or a mask.",
        )
    begun = [run["began"][0] for run in runs]
    expect_that(
        all(begun[i] != begun[j] for i in range(len(begun)) for j in range(i)),
        f"the {name} model, made from three seeds: expected three beginnings, got the same again",
        "`seed` isn't used: three runs from the same weights show what one shows.",
    )


def _next_loss(what: str, run: dict, target: np.ndarray) -> float:
    logits = array(f"the logits of {what}", run["logits"], (len(target), V))
    return mean_loss(logits, target)
