"""5.6 · One attention head backwards: softmax's own backward pass, between two products of
matrices.
"""

import numpy as np

from zerotohero.course.checks.backprop.shared import (
    BY_HAND,
    FLOAT32,
    holds_nan,
    near,
    rounded,
    unlike,
)
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import Exercise, Wrong, array, expect_that
from zerotohero.course.to_look_at import AUTOGRAD

attention = Exercise(
    number="5.6",
    title="One attention head backwards",
    difficulty=5,
    minutes=60,
    practises="softmax's own backward pass, between two products of matrices",
    answers=("attention_fused",),
    without=("autograd",),
    look_for=AUTOGRAD,
    summary=(
        "Derive the backward pass of a causal attention head, the heart of a GPT. "
        "You need nothing but what this lecture had, two products of matrices and a softmax."
    ),
    statement="""
`attention_fused(dout, q, k, v) -> tuple[Tensor, Tensor, Tensor]`

q, k and v are three tensors that are given; lecture 07 says what they mean. All arguments are
(B, T, head_size). Forwards, scores = q kᵀ / √head_size, of shape (B, T, T); where a column
is later than its row the score becomes −∞; att = softmax(scores) along the last axis; out = att v.
So each position takes a mean of the values up to its own. `dout` is `out`'s gradient, the
derivative of the loss with respect to `out`. Return the gradients `dq`, `dk` and `dv`, right to
1e-10. All tensors are float64, and the arguments must come out unchanged.

```python
q = k = torch.zeros(1, 2, 1)
v, dout = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.0], [1.0]]])
attention_fused(dout, q, k, v)[2]                       # dv: tensor([[[0.5000], [0.5000]]])
attention_fused(dout, q + 1, k, v)[1]                   # dk: tensor([[[-0.5000], [0.5000]]])
```
""",
    hints=(
        "Make att again, as forwards. Then there are four steps back: through att v, through the "
        "softmax, through the scale, through q kᵀ. Only the second is new.",
        "A score moves all the numbers of its row of att. With datt = dout vᵀ: dscores = att · "
        "(datt − Σ att · datt), the sum along the row. The mask needs nothing more, since att is 0 "
        "there.",
        "`dv = att.mT @ dout`; `datt = dout @ v.mT`; `ds = att * (datt - (att * datt).sum(-1, "
        "keepdim=True))`; `dq = ds @ k / head_size**0.5`; `dk = ds.mT @ q / head_size**0.5`. "
        "`.mT` swaps the last two axes.",
    ),
)


def _attend(
    dout,
    q,
    k,
    v,
    *,
    mask=0,
    fill=-np.inf,
    scale=None,
    back=None,
    jacobian="whole",
    axis=-1,
    sign=-1,
    after=False,
    dq_from="k",
    dk_from="q",
    dk_turned=False,
    dv_turned=False,
    softmax_axis=-1,
):
    """dq, dk, dv; the switches are what learners get wrong.

    mask: how many positions later than its own each one sees; None for all, "turned" for those
    from its own on. A row that sees nothing takes the mean of all, as with a finite `fill`.
    """
    T, size = q.shape[1:]
    scale = size**-0.5 if scale is None else scale
    back = scale if back is None else back

    def turned(a):
        return a.swapaxes(1, 2)

    scores = q @ turned(k) * scale
    seen = (
        np.ones((T, T)) if mask is None else np.tri(T).T if mask == "turned" else np.tri(T, k=mask)
    )
    if not after:
        scores = np.where(seen > 0, scores, -1e9 if mask == -1 else fill)
    att = turned(softmax(turned(scores))) if softmax_axis == 1 else softmax(scores)
    if after:
        att = att * seen
    datt = dout @ turned(v)
    if jacobian == "whole":
        ds = att * (datt + sign * (att * datt).sum(axis, keepdims=True))
    else:
        ds = {"own": att * (1 - att), "product": att, "skipped": seen}[jacobian] * datt
    dk = (ds if dk_turned else turned(ds)) @ {"q": q, "k": k}[dk_from] * back
    dq = ds @ {"q": q, "k": k}[dq_from] * back
    return dq, dk, (att if dv_turned else turned(att)) @ dout


ORDER = ("dq", "dk", "dv")
UNSCALED = "The scores that att is made of lack their scale, 1/√head_size."
ITSELF = "Each position sees itself as well: the scores from the column *after* the row's are −∞."

ALMOST = (
    "It is almost 0. What is masked has a score of −∞, of which exp is 0; a large negative number "
    "such as −100 leaves a little."
)


def _slips(T: int, size: int) -> list[tuple[dict, str]]:
    """Mistakes with their hints, in which {whose} stands for dq, for dk, or for both with "are"."""
    return [
        (
            {"mask": None},
            "The mask is missing: where a column is later than its row, the score is −∞ before "
            "softmax, when you make att again as well.",
        ),
        (
            {"mask": "turned"},
            "The mask is the wrong way round: position t sees the positions up to t, which is "
            "`torch.tril`.",
        ),
        ({"mask": 1}, "Each position sees one that is later: the mask is off by one."),
        ({"mask": -1}, ITSELF),
        ({"fill": 0}, "A score that is masked is −∞, not 0: exp(0) is 1, which softmax counts."),
        (
            {"after": True},
            "The mask came after the softmax, so the rows of att don't add to 1: set the scores to "
            "−∞ before it.",
        ),
        ({"softmax_axis": 1}, "The softmax runs down the columns; each row of att adds to 1."),
        (
            {"dv_turned": True},
            "dv: att must be transposed. The values of position s were used by all later rows t, "
            "so dv[s] = Σ att[t, s] · dout[t].",
        ),
        ({"scale": 1.0}, "The scale 1/√head_size is missing, forwards and backwards."),
        (
            {"scale": 1.0, "back": size**-0.5},
            "The scale 1/√head_size is there backwards, and the scores lack it forwards.",
        ),
        (
            {"back": 1.0},
            "The scale is missing backwards: scores were divided by √head_size, so {whose} too.",
        ),
        ({"back": 1 / size}, "Backwards, {whose} divided by √head_size once, not twice."),
        ({"back": size**0.5}, "Backwards, {whose} divided by √head_size, not multiplied."),
        ({"scale": T**-0.5}, "The scale is 1/√head_size, not 1/√T."),
        ({"scale": 1 / size}, "The scale is 1/√head_size; the root is missing."),
        ({"scale": size**0.5}, "The scores are divided by √head_size, not multiplied."),
        (
            {"jacobian": "own"},
            "att (1 − att) is only how a number of att changes with its own score. Each score "
            "moves its whole row: att · (datt − Σ att · datt).",
        ),
        (
            {"jacobian": "product"},
            "The sum is missing in softmax's backward pass: att · (datt − Σ att · datt), since the "
            "numbers of a row share out a total of 1.",
        ),
        (
            {"jacobian": "skipped"},
            "Softmax's backward pass is missing: datt is att's gradient, and the scores come "
            "before the softmax.",
        ),
        (
            {"axis": -2},
            "The sum in softmax's backward pass runs down the columns; it runs along the row that "
            "adds to 1, the last axis.",
        ),
        ({"sign": 1}, "The sum in softmax's backward pass is subtracted, not added."),
        ({"dq_from": "q"}, "dq is dscores times k: what a query was multiplied with is the keys."),
        ({"dk_from": "k"}, "dk is dscores, transposed, times q: the keys met the queries."),
        (
            {"dk_turned": True},
            "dk: dscores must be transposed. The key of position s was used by all later rows t, "
            "so dk[s] = Σ dscores[t, s] · q[t].",
        ),
    ]


def _head(rng: np.random.Generator) -> dict:
    B, T, size = (int(rng.choice(s)) for s in ((2, 4), (3, 5), (6, 7)))
    given = _tensors(rng, B, T, size)
    return given | {"q": 4 * given["q"]}  # scores of any size


def _tensors(rng: np.random.Generator, B: int, T: int, size: int) -> dict:
    return {name: rng.normal(size=(B, T, size)) for name in ("dout", "q", "k", "v")}


def _hint(name: str, value: np.ndarray, given: dict, got: dict) -> str | None:
    """What explains a wrong value, if something does."""
    want = dict(zip(ORDER, _attend(**given), strict=True))
    if near(value, want[name]):  # and yet not 0 where it must be
        return ALMOST
    for slip, text in _slips(*given["q"].shape[1:]):
        wrong = dict(zip(ORDER, _attend(**given, **slip), strict=True))
        if near(value, wrong[name]):
            if name == "dv" and slip == {"scale": 1.0}:  # what is backwards, dv doesn't show
                return UNSCALED
            alike = all(_is_like(got[other], wrong[other]) for other in ("dq", "dk"))
            return text.format(whose="dq and dk are" if alike else f"{name} is")
    for other in ORDER:
        if near(value, want[other]):
            return f"That is {other}: the order is dq, dk, dv."
    if near(value, -want[name]):
        return f"{name} has its sign turned."
    return FLOAT32 if rounded(value, want[name]) else None


def _is_like(got, want: np.ndarray) -> bool:
    value = np.asarray(got)
    return value.dtype.kind == "f" and near(value, want)


def _expect_attention(given: dict, got: dict, names: tuple[str, ...]) -> None:
    want = dict(zip(ORDER, _attend(**given), strict=True))
    for name in names:
        if holds_nan(got[name]):
            first = np.asarray(got["dq"])  # row 0 of a strict mask is all −∞
            alone = first.ndim == 3 and np.isnan(first[:, 0]).all() and np.isfinite(first[:, 1:])
            raise Wrong(f"{name} holds NaN", ITSELF if np.all(alone) else None)
        value = array(name, got[name], want[name].shape)
        if not near(value, want[name]):
            raise Wrong(
                f"{name}: {unlike(name, value, want[name])}", _hint(name, value, given, got)
            )


CRASHES = BY_HAND | {
    "must match the size|batch2 tensor": "The shapes don't fit: write down those of both factors. "
    "On three axes `.T` turns the batch round as well; `.mT` exchanges the last two."
}


@attention.case("the values", adapter="attention", inputs=_head, crashes=CRASHES)
def gradient_of_the_values(given, got):
    _expect_attention(given, got, ("dv",))


@attention.case(
    "the queries and the keys", points=3, adapter="attention", inputs=_head, crashes=CRASHES
)
def gradients_of_queries_and_keys(given, got):
    _expect_attention(given, got, ("dq", "dk"))


def _first_only(rng: np.random.Generator) -> dict:
    """A loss that looks at an early position only, in contexts longer than the head is wide."""
    given = _tensors(rng, 2, 6, 3)
    given["dout"][:, 3:] = 0
    return given


@attention.case(
    "nothing reaches what comes later",
    adapter="attention",
    inputs=_first_only,
    crashes=CRASHES,
)
def future_gets_no_gradient(given, got):
    for name in ("dk", "dv"):
        value = array(name, got[name], given["q"].shape)
        expect_that(
            not value[:, 3:].any(),
            f"{name}: the loss looks at positions 0 to 2, and position 3 or later has a gradient",
            _hint(name, value, given, got),
        )
    _expect_attention(given, got, ORDER)
