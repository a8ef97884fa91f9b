"""11.2 · Causal attention of all heads in NumPy: axes that are split, swapped and joined again."""

import math
from collections.abc import Callable

import numpy as np

from zerotohero.course.checks.numerics import softmax
from zerotohero.course.checks.numpy_gpt.shared import WIDE, expect_array
from zerotohero.course.exercise import Exercise, Mistake

attention = Exercise(
    number="11.2",
    title="Attention of all heads",
    difficulty=3,
    minutes=40,
    practises="axes that are split, swapped and joined again",
    answers=("attention",),
    summary=(
        "Write causal multi-head attention in NumPy, for a whole batch at once. Heads and texts "
        "stay apart, and no position sees a later one."
    ),
    statement="""
`attention(x: ndarray, c_attn: dict, c_proj: dict, n_head: int) -> ndarray`

x has the shape (B, T, C): B texts of T positions. Each of the dicts holds a matrix `"w"`, (in,
out), and a vector `"b"`, (out,).

1. `x @ c_attn["w"] + c_attn["b"]` has 3C columns: first the C of the **queries**, then the C of the
   **keys**, then the C of the **values**.
2. Each of these has n_head heads, side by side: head h has the channels hS to (h + 1)S − 1, where
   S = C / n_head.
3. In each text and each head for itself, the query of position t meets the keys of positions 0 to
   t, its own included. Their dot products are divided by √S, and softmax makes weights of them,
   which add up to 1; the output of position t is the sum of the values with these weights.
   Positions behind t have **no** influence, however large the numbers are.
4. The outputs of the heads, side by side in their order, (B, T, C), go through c_proj: times its
   `"w"`, plus its `"b"`.

The result has the shape of x and its dtype: float32 stays float32. Dot products of
10,000,000,000 have to work, too.

```python
x = np.ones((2, 3, 4))                  # three equal positions: each weight is 1 / (t + 1)
c_attn = {"w": np.zeros((4, 12)), "b": np.arange(12.0)}
c_proj = {"w": np.eye(4), "b": np.zeros(4)}
attention(x, c_attn, c_proj, 2)[1, 2]   # [8, 9, 10, 11], the value of every position
```
""",
    hints=(
        "Write down the shape after each step. Which two axes does `@` multiply, and which are the "
        "ones in front of them that it leaves alone?",
        "`reshape(B, T, n_head, S)` splits the channels, and only `swapaxes(1, 2)` brings the "
        "heads in front of the positions. Back the other way, in the other order.",
        "`q, k, v = (z.reshape(B, T, n_head, S).swapaxes(1, 2) for z in np.split(qkv, 3, -1))`; "
        "`scores = q @ k.swapaxes(-1, -2) / math.sqrt(S)`; `np.where(np.tri(T, dtype=bool), "
        "scores, -np.inf)`, softmax along the last axis; `(weights @ v).swapaxes(1, "
        "2).reshape(B, T, C)`.",
    ),
)


def _parted(z: np.ndarray, n_head: int) -> np.ndarray:
    return z.reshape(*z.shape[:2], n_head, -1).swapaxes(1, 2)


def _joined(heads: np.ndarray) -> np.ndarray:
    return heads.swapaxes(1, 2).reshape(heads.shape[0], heads.shape[2], -1)


def _masked_softmax(scores: np.ndarray, hidden: float = -np.inf, k: int = 0) -> np.ndarray:
    return softmax(np.where(np.tri(scores.shape[-1], k=k, dtype=bool), scores, hidden))


def _attended(
    x: np.ndarray,
    c_attn: dict,
    c_proj: dict,
    n_head: int,
    weigh: Callable = _masked_softmax,
    scale: float | None = None,
    part: Callable = _parted,
    join: Callable = _joined,
    order: tuple[int, int, int] = (0, 1, 2),
    project: Callable | None = None,
    by_head: bool = False,
) -> np.ndarray:
    """The output of attention; what can be passed is what learners get wrong."""
    qkv = x @ c_attn["w"] + c_attn["b"]
    parts = np.split(qkv, 3, -1)
    q, k, v = (part(parts[i], n_head) for i in order)
    if by_head:
        rows = qkv.reshape(*x.shape[:2], n_head, 3, -1)
        q, k, v = (rows[:, :, :, i].swapaxes(1, 2) for i in range(3))
    scores = q @ k.swapaxes(-1, -2) / (scale or math.sqrt(q.shape[-1]))
    out = join(weigh(scores) @ v)
    return project(out) if project else out @ c_proj["w"] + c_proj["b"]


AHEAD = "Earlier positions are hidden, and later ones seen: the mask is the wrong way round."
MIXED = (
    "`reshape(B, n_head, T, S)` alone cuts the numbers in their order in memory, and mixes "
    "positions and heads: split the channels, (B, T, n_head, S), then swap the axes."
)
BY_TURNS = (
    "The channels go to the heads by turns, 0, n_head, 2·n_head, …: head h has S that stand side "
    "by side, so n_head comes before S in `reshape`."
)
NO_MAX = (
    "exp of thousands is ∞, and ∞/∞ NaN; so is 0/0, where the largest score of all was taken away, "
    "from which a row may be far: take each row's largest score away before exp, as in 11.1."
)


def _wrongly(given: dict) -> list[Mistake]:
    B, T, C = given["x"].shape
    S, w, b = C // given["n_head"], given["c_proj"]["w"], given["c_proj"]["b"]
    tri = np.tri(T)

    def every_other(z, n_head):
        return z.reshape(B, T, S, n_head).transpose(0, 3, 1, 2)

    def joined_by_turns(heads):
        return heads.transpose(0, 2, 3, 1).reshape(B, T, C)

    def cut_into_heads(z, n_head):
        return z.reshape(B, n_head, T, -1)

    with np.errstate(all="ignore"):
        variants = [
            (
                {"weigh": softmax},
                "Every position sees the later ones: a mask is missing.",
            ),
            ({"weigh": lambda s: softmax(np.where(tri.T > 0, s, -np.inf))}, AHEAD),
            ({"weigh": lambda s: softmax(np.where(tri > 0, -np.inf, s))}, AHEAD),
            (
                {"weigh": lambda s: _masked_softmax(s, k=-1)},
                "A position doesn't see itself: the mask's diagonal belongs to what is seen.",
            ),
            (
                {"weigh": lambda s: _masked_softmax(s, k=1)},
                "Each position sees one that comes after it: the mask is one too far to the right.",
            ),
            (
                {"weigh": lambda s: softmax(s) * tri},
                "The mask comes after softmax, whose weights then no longer add up to 1: hide the "
                "scores before it.",
            ),
            (
                {"weigh": lambda s: softmax(s * tri)},
                "Hidden scores are 0, and softmax gives them exp(0): hide them with −∞.",
            ),
            (
                {"weigh": lambda s: softmax(np.where(tri > 0, s, -np.inf), -2)},
                "softmax goes along the queries: the weights of one query add up to 1, over the "
                "keys, the last axis.",
            ),
            ({"scale": math.sqrt(C)}, "Divided by √C: the dot products are of S numbers."),
            ({"scale": math.sqrt(T)}, "Divided by √T: the dot products are of S numbers."),
            ({"scale": float(S)}, "Divided by S: its root is asked for."),
            ({"scale": 1.0}, "The scores aren't divided by √S."),
            ({"scale": 1 / math.sqrt(S)}, "The scores are multiplied by √S: divide."),
            ({"part": cut_into_heads}, MIXED),
            ({"part": cut_into_heads, "join": lambda h: h.reshape(B, T, C)}, MIXED),
            ({"part": every_other}, BY_TURNS),
            ({"part": every_other, "join": joined_by_turns}, BY_TURNS),
            ({"join": joined_by_turns}, "The heads' numbers come by turns: head after head."),
            (
                {"join": lambda h: h.reshape(B, T, C)},
                "The heads are joined without swapping the axes back: first (B, T, n_head, S), "
                "then reshape.",
            ),
            (
                {"by_head": True},
                "The columns were split by heads first and into q, k, v inside of each: the first "
                "C columns are the queries of all heads.",
            ),
            (
                {"order": (1, 0, 2)},
                "Queries and keys have changed places: the queries come first.",
            ),
            ({"order": (0, 2, 1)}, "Keys and values have changed places."),
            ({"order": (2, 1, 0)}, "Queries and values have changed places."),
            (
                {"part": lambda z, n_head: _parted(z, 1)},
                "All channels are one head: n_head isn't used.",
            ),
            ({"project": lambda y: y}, "c_proj is missing at the end."),
            ({"project": lambda y: y @ w}, 'The "b" of c_proj is missing.'),
            (
                {"project": lambda y: y @ w.T + b},
                'The "w" of c_proj has the shape (in, out), so it isn\'t transposed.',
            ),
            (
                {"project": lambda y: x + y @ w + b},
                "x was added to the result: the sum around attention is the block's.",
            ),
        ]
        x = given["x"]
        found = [Mistake(_attended(**given, **v), hint) for v, hint in variants]
        one_text = _attended(**dict(given, x=x.reshape(1, B * T, C))).reshape(B, T, C)
        found.append(Mistake(one_text, "The texts are joined to one: each is for itself."))
        bare = dict(given, c_attn=dict(given["c_attn"], b=0))
        found.append(Mistake(_attended(**bare), 'The "b" of c_attn is missing.'))
        return found


SHAPES = {
    "mismatch in its core dimension|not aligned": "Two matrices don't fit: the axis that the left "
    "one ends with has to be as long as the right one's second to last. For the scores, keys are "
    "(…, S, T): `k.swapaxes(-1, -2)`.",
    "cannot reshape": "The sizes don't multiply to as many numbers: C is n_head times S.",
}


def _drawn(rng, B: int, T: int, n_head: int, S: int, large: float = 1.0) -> dict:
    C = n_head * S
    return {
        "x": large * rng.normal(size=(B, T, C)),
        "c_attn": {"w": rng.normal(size=(C, 3 * C)) / math.sqrt(C), "b": rng.normal(size=3 * C)},
        "c_proj": {"w": rng.normal(size=(C, C)) / math.sqrt(C), "b": rng.normal(size=C)},
        "n_head": n_head,
    }


def _batch(rng) -> dict:
    B, n_head, S = (int(i) for i in rng.permutation([2, 3, 5]))
    return _drawn(rng, B, int(rng.integers(7, 9)), n_head, S)  # T is none of these, not C or S²


@attention.case(
    "texts in a batch, several heads", points=4, adapter="attended", inputs=_batch, crashes=SHAPES
)
def heads_and_texts_apart(given, got):
    what = f"attention, n_head={given['n_head']}"
    want = _attended(**given)
    expect_array(what, got["y"], want, dtype="float64", mistakes=lambda: _wrongly(given))


@attention.case(
    "one position, one head",
    adapter="attended",
    inputs=lambda rng: _drawn(rng, 3, 1, 1, 6),
    crashes=SHAPES,
)
def smallest(given, got):
    what = "attention of one position, n_head=1"
    want = _attended(**given)
    known = [Mistake(np.full(want.shape, np.nan), ITSELF), Mistake(want.squeeze(), LOST_AXIS)]
    expect_array(what, got["y"], want, mistakes=lambda: known + _wrongly(given))


ITSELF = "The only position is hidden, and softmax of −∞ alone is NaN: a position sees itself."
LOST_AXIS = "An axis of length 1 is lost: the result has the shape of x, whatever its lengths are."


def _large(rng) -> dict:
    return _drawn(rng, 1, 9, 8, 3, large=1e5)  # so many heads that some see low scores alone


@attention.case(
    "dot products of 10,000,000,000", points=2, adapter="attended", inputs=_large, crashes=SHAPES
)
def large_scores(given, got):
    def unshifted(scores):
        e = np.exp(np.where(np.tri(scores.shape[-1], dtype=bool), scores, -np.inf))
        return e / e.sum(-1, keepdims=True)

    def hidden_by(number):
        return lambda s: softmax(np.where(np.tri(s.shape[-1], dtype=bool), s, s + number))

    def mistakes() -> list[Mistake]:
        weak = "Later positions are seen: of scores as large as these −∞ alone hides each."
        values = [hidden_by(-(10.0**n)) for n in range(1, 10)]
        values += [lambda s, n=n: _masked_softmax(s, -(10.0**n)) for n in range(1, 10)]
        values += [softmax, lambda s: _masked_softmax(s, 0)]
        with np.errstate(all="ignore"):
            found = [Mistake(_attended(**given, weigh=unshifted), NO_MAX)]
        found.append(Mistake(want[0], LOST_AXIS))
        return found + [Mistake(_attended(**given, weigh=v), weak) for v in values]

    want = _attended(**given)
    expect_array("attention of one text with large dot products", got["y"], want, mistakes=mistakes)


def _single(rng) -> dict:
    given = _batch(rng)
    for name in ("c_attn", "c_proj"):
        given[name] = {key: value.astype(np.float32) for key, value in given[name].items()}
    return given | {"x": given["x"].astype(np.float32)}


@attention.case("float32 stays float32", adapter="attended", inputs=_single, crashes=SHAPES)
def kept_float32(given, got):
    expect_array(
        "attention of float32",
        got["y"],
        _attended(**given),
        tol=1e-4,
        dtype="float32",
        wide=WIDE,
        mistakes=lambda: _wrongly(given),
    )
