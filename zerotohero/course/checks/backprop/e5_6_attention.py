"""5.6 · One attention head backwards: softmax's own backward pass, between two products of
matrices.
"""

import numpy as np

from zerotohero.course.checks.backprop.shared import BY_HAND, near, unlike
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
So each position takes a mean of the values up to its own. `dout` is the gradient of the loss by
`out`. Return `dq`, `dk` and `dv`.

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


NO_MASK = (
    "The mask is missing: where a column is later than its row, the score is −∞ before softmax, "
    "when you make att again as well."
)


DV_TURNED = (
    "dv: att must be transposed. The values of position s were used by all later rows t, so dv[s] "
    "= Σ att[t, s] · dout[t]."
)


def _attend(
    dout,
    q,
    k,
    v,
    *,
    mask="causal",
    scale=None,
    back=None,
    jacobian="whole",
    axis=-1,
    after=False,
    dk_turned=False,
    dv_turned=False,
    softmax_axis=-1,
):
    """dq, dk, dv; the switches are what learners get wrong."""
    T, size = q.shape[1:]
    scale = size**-0.5 if scale is None else scale
    back = scale if back is None else back

    def turned(a):
        return a.swapaxes(1, 2)

    scores = q @ turned(k) * scale
    allowed = {"causal": np.tri(T), "turned": np.tri(T).T}
    if mask != "none" and not after:
        scores = np.where(allowed[mask] > 0, scores, -np.inf)
    att = turned(softmax(turned(scores))) if softmax_axis == 1 else softmax(scores)
    if after:
        att = att * np.tri(T)
    datt = dout @ turned(v)
    if jacobian == "whole":
        ds = att * (datt - (att * datt).sum(axis, keepdims=True))
    else:
        ds = {"own": att * (1 - att), "product": att, "skipped": np.ones_like(att)}[jacobian] * datt
        ds = ds * np.tri(T) if mask == "causal" else ds
    dk = (ds if dk_turned else turned(ds)) @ q * back
    return ds @ k * back, dk, (att if dv_turned else turned(att)) @ dout


def _head(rng: np.random.Generator, B: int = 3, T: int = 5, size: int = 4) -> dict:
    return {name: rng.normal(size=(B, T, size)) for name in ("dout", "q", "k", "v")}


def _expect_attention(given: dict, got: dict, names: tuple[str, ...]) -> None:
    T, size = given["q"].shape[1:]
    slips = (
        ({"mask": "none"}, NO_MASK),
        (
            {"mask": "turned"},
            "The mask is the wrong way round: position t sees the positions up to t, which is "
            "`torch.tril`.",
        ),
        (
            {"after": True},
            "The mask came after the softmax, so the rows of att don't add to 1: set the scores to "
            "−∞ before it.",
        ),
        ({"softmax_axis": 1}, "The softmax runs down the columns; each row of att adds to 1."),
        ({"dv_turned": True}, DV_TURNED),
        ({"scale": 1.0}, "The scale 1/√head_size is missing, forwards and backwards."),
        (
            {"back": 1.0},
            "The scale is missing backwards: scores were divided by √head_size, so dq and dk are "
            "too.",
        ),
        ({"back": 1 / size}, "Backwards, dq and dk are divided by √head_size once, not twice."),
        ({"scale": T**-0.5}, "The scale is 1/√head_size, not 1/√T."),
        ({"scale": 1 / size}, "The scale is 1/√head_size; the root is missing."),
        ({"scale": size**0.5}, "The scores are divided by √head_size, not multiplied."),
        (
            {"jacobian": "own"},
            "att (1 − att) is only the slope of a number of att by its own score. Each score moves "
            "its whole row: att · (datt − Σ att · datt).",
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
        (
            {"dk_turned": True},
            "dk: dscores must be transposed. The key of position s was used by all later rows t, "
            "so dk[s] = Σ dscores[t, s] · q[t].",
        ),
    )
    order = ("dq", "dk", "dv")
    want = dict(zip(order, _attend(**given), strict=True))
    for name in names:
        value = array(name, got[name], want[name].shape)
        if near(value, want[name]):
            continue
        hint = None
        for slip, text in slips:
            wrong = dict(zip(order, _attend(**given, **slip), strict=True))[name]
            if near(value, wrong):
                hint = text
                break
        else:
            other = [n for n in order if n != name and near(value, want[n])]
            if other:
                hint = f"That is {other[0]}: the order is dq, dk, dv."
        raise Wrong(f"{name}: {unlike(name, value, want[name])}", hint)


@attention.case("the values", adapter="attention", inputs=_head, crashes=BY_HAND)
def gradient_of_the_values(given, got):
    _expect_attention(given, got, ("dv",))


@attention.case(
    "the queries and the keys", points=3, adapter="attention", inputs=_head, crashes=BY_HAND
)
def gradients_of_queries_and_keys(given, got):
    _expect_attention(given, got, ("dq", "dk"))


def _first_only(rng: np.random.Generator) -> dict:
    """A loss that looks at an early position only, in contexts longer than the head is wide."""
    given = _head(rng, 2, 6, 3)
    given["dout"][:, 3:] = 0
    return given


@attention.case(
    "nothing reaches what comes later",
    adapter="attention",
    inputs=_first_only,
    crashes=BY_HAND,
)
def future_gets_no_gradient(given, got):
    mine = [array(name, got[name], given["q"].shape) for name in ("dq", "dk", "dv")]
    masked = all(map(near, mine[:2], _attend(**given)))  # a mask that is missing shows in dq, dk
    for name, value in zip(("dk", "dv"), mine[1:], strict=True):
        expect_that(
            not value[:, 3:].any(),
            f"{name}: the loss looks at positions 0 to 2, and position 3 or later has a gradient",
            DV_TURNED if masked else NO_MASK,
        )
    _expect_attention(given, got, ("dq", "dk", "dv"))
