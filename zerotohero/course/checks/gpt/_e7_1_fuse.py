"""What wrong answers to 7.1 give or raise, and the hint for each: attention with many heads, in
NumPy, one head after another as in the notebook, and all at once with a switch for every slip.
"""

import math

import numpy as np

from zerotohero.course.checks.gpt.shared import ALL_NAN
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import Mistake


def separate(x: np.ndarray, heads: list, proj: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Compute one head after another, as in the notebook: the reference."""
    future = np.triu(np.ones((x.shape[1],) * 2, bool), 1)
    outs = []
    for query, key, value in heads:
        scores = (x @ query.T) @ (x @ key.T).swapaxes(1, 2) / math.sqrt(len(query))
        outs.append(softmax(np.where(future, -np.inf, scores)) @ (x @ value.T))
    return np.concatenate(outs, 2) @ proj.T + bias


def _fused(
    x,
    heads,
    proj,
    bias,
    order="qkv",
    cut="right",
    among="positions",
    scale=None,
    mask="before",
    axis=-1,
    empty=np.nan,
    merge="right",
    project="right",
):
    """Compute all heads at once, with switches for what learners get wrong."""
    B, T, C = x.shape
    n, hs = len(heads), C // len(heads)
    both = x @ np.concatenate([head[i] for i in range(3) for head in heads]).T
    cuts = {
        "right": lambda z: z.reshape(B, T, n, hs).swapaxes(1, 2),
        "no transpose": lambda z: z.reshape(B, n, T, hs),
        "sizes exchanged": lambda z: z.reshape(B, T, hs, n).transpose(0, 3, 1, 2),
    }
    if order == "by head":  # c_attn's rows taken as head 0's q, k, v, head 1's q, k, v, …
        q, k, v = both.reshape(B, T, n, 3, hs).transpose(3, 0, 2, 1, 4)
    elif order == "strided":  # … or as q, k, v of channel 0, of channel 1, …
        q, k, v = (cuts[cut](both[..., i::3]) for i in range(3))
    else:
        parts = dict(zip("qkv", np.split(both, 3, 2), strict=True))
        q, k, v = (cuts[cut](parts[name]) for name in order)
    if among == "heads":  # (B, T, n_head, head_size) goes into attention
        q, k, v, T = *(z.swapaxes(1, 2) for z in (q, k, v)), n
    scores = q @ k.swapaxes(2, 3) * (hs**-0.5 if scale is None else scale)
    above = {"before": 1, "after": 1, "zero": 1, "next": 2, "not itself": 0, "none": T}
    hidden = np.triu(np.ones((T, T), bool), above.get(mask, 1))
    if mask in ("turned round", "the future alone"):
        hidden = np.tri(T, k=-1 if mask == "turned round" else 0, dtype=bool)
    if mask == "zero":
        scores = np.where(hidden, 0.0, scores)
    elif mask != "after":
        scores = np.where(hidden, -np.inf, scores)
    weights = np.nan_to_num(softmax(scores, axis), nan=empty)  # of rows that see nothing
    if mask == "after":
        weights = np.where(hidden, 0.0, weights)
    y = weights @ v
    if among == "heads":
        y, T = y.swapaxes(1, 2), x.shape[1]
    merges = {
        "right": lambda: y.swapaxes(1, 2).reshape(B, T, C),
        "no transpose": lambda: y.reshape(B, T, C),
        "sizes exchanged": lambda: y.transpose(0, 2, 3, 1).reshape(B, T, C),
    }
    y = merges[merge]()
    projected = {"right": y @ proj.T + bias, "none": y, "turned": y @ proj + bias}
    return projected[project]


BEHIND = (
    "At each position, heads attend to heads: they stand behind T, and attention goes along the "
    "axis before the last. `transpose(1, 2)` makes (B, n_head, T, head_size)."
)


INTERLEAVED = (
    "The heads' channels are interleaved on the way back: the joined row holds all of head 0, then "
    "all of head 1."
)


def fused_wrongly(x, heads, proj, bias) -> list[Mistake]:
    T, C = x.shape[1:]
    n, hs = len(heads), C // len(heads)
    no_transpose = (
        "The channels were cut up by `view(B, n_head, T, head_size)` at once. `view` deals "
        'numbers out in reading order, so one "head" gets the channels of a few positions. '
        "First `view(B, T, n_head, head_size)`, then `transpose(1, 2)`."
    )
    exchanged = (
        "Each head takes every n_head-th channel: the last axis of the view is head_size, `view(B, "
        "T, n_head, head_size)`, so that a head's channels lie side by side."
    )
    sees_all = (
        "Every position sees the whole text, its future too: the causal mask is missing, or the "
        "wrong part of a larger one is used. It is the first T rows and columns, `[:T, :T]`."
    )
    turned_round = (
        "The mask is the wrong way round: positions see their future instead of their past. (In "
        "`scaled_dot_product_attention`, True marks what may be seen.)"
    )
    variants = [
        ({"cut": "no transpose"}, no_transpose),
        ({"cut": "no transpose", "merge": "no transpose"}, no_transpose),
        (
            {"merge": "no transpose"},
            "Heads are mixed with time on the way back: y is (B, n_head, T, head_size), and a "
            "reshape to (B, T, C) puts several positions of one head into one row. `transpose(1, "
            "2)` first, then reshape.",
        ),
        ({"cut": "sizes exchanged"}, exchanged),
        ({"cut": "sizes exchanged", "merge": "sizes exchanged"}, exchanged),
        ({"merge": "sizes exchanged"}, INTERLEAVED),
        (
            {"scale": C**-0.5},
            "The scores are divided by √C. Each is a sum over head_size products, so it is "
            "√head_size that brings their variance back to 1.",
        ),
        ({"scale": 1.0}, "The scores aren't scaled: divide them by √head_size."),
        (
            {"scale": 1 / hs},
            "The scores are divided by head_size: it is its square root. "
            "(`F.scaled_dot_product_attention` divides by that already.)",
        ),
        ({"scale": 1 / C}, "The scores are divided by C: it is the square root of head_size."),
        ({"scale": hs**0.5}, "The scores are multiplied by √head_size: divide by it."),
        ({"scale": n**-0.5}, "The scores are divided by √n_head: it is √head_size."),
        (
            {"scale": 0.5},
            "The scores are divided by 2, whatever the head_size: that is its root in the card's "
            "example alone. Divide by √head_size.",
        ),
        ({"scale": T**-0.5}, "The scores are divided by √T: it is √head_size."),
        ({"mask": "none"}, sees_all),
        (
            {"mask": "after"},
            "The mask comes after softmax: the future has already taken its share of the 1, and "
            "what is left doesn't add up to 1. Put −∞ into the scores before softmax.",
        ),
        (
            {"mask": "zero"},
            "The scores of the future are 0, and exp(0) is 1, not 0: hide them with −∞, "
            "`float('-inf')`.",
        ),
        (
            {"mask": "next"},
            "Each position sees the next one as well: the mask's triangle is one diagonal too "
            "large. Position t sees 0 to t.",
        ),
        (
            {"mask": "not itself"},
            "No position sees itself, and the first sees nothing at all, hence its NaN: the "
            "diagonal belongs to what is seen.",
        ),
        ({"mask": "turned round"}, turned_round),
        ({"mask": "the future alone"}, turned_round),
        ({"mask": "the future alone", "empty": 0.0}, turned_round),
        (
            {"axis": -2},
            "softmax goes over the queries: each row of the scores belongs to one query, and has "
            "to add up to 1 over the keys, `dim=-1`.",
        ),
        (
            {"axis": 1},
            "softmax goes over the heads, axis 1: the weights of one query have to add up to 1 "
            "over the keys, `dim=-1`.",
        ),
        ({"axis": 0}, "softmax goes over the batch, axis 0: `dim=-1`."),
        (
            {"order": "kqv"},
            "Queries and keys have changed places: the first C rows of c_attn are the queries, "
            "then come the keys, then the values.",
        ),
        (
            {"order": "vkq"},
            "Queries and values have changed places: c_attn's rows are queries, keys, values, in "
            "this order.",
        ),
        (
            {"order": "qvk"},
            "Keys and values have changed places: c_attn's rows are queries, keys, values, in this "
            "order.",
        ),
        (
            {"order": "by head"},
            "c_attn's output is cut into heads first and into q, k, v then: its rows are the "
            "queries of all heads, then all keys, then all values. Split into three parts of C "
            "first.",
        ),
        (
            {"order": "strided"},
            "q, k and v are taken as every third channel: they lie one after the other, C channels "
            "each, as `split(C, dim=2)` cuts them.",
        ),
        (
            {"project": "none"},
            "The joined heads come back as they are: the projection `c_proj` is missing at the "
            "end.",
        ),
        ({"among": "heads"}, BEHIND),
        ({"among": "heads", "mask": "none"}, BEHIND),
        (
            {"project": "turned"},
            "The weight of c_proj is used untransposed: call the layer, `self.c_proj(y)`.",
        ),
    ]
    given = (x, heads, proj, bias)
    wrong = [(_fused(*given, **switches), hint) for switches, hint in variants]
    whole = [np.concatenate(parts) for parts in zip(*heads, strict=True)]
    regrouped = list(zip(*(np.split(part, hs) for part in whole), strict=True))
    wrong += [
        (
            _fused(x, [whole], proj, bias),
            "All channels are one head: the channels of each position have to be cut into n_head "
            "parts, `view(B, T, n_head, head_size)`.",
        ),
        *(
            (
                _fused(x, regrouped, proj, bias, scale=scale),
                "n_head and head_size have changed places: there are head_size heads of n_head "
                "channels. `view(B, T, n_head, head_size)`, then `transpose(1, 2)`.",
            )
            for scale in (None, hs**-0.5)
        ),
    ]
    right = _fused(*given)
    squeezed = (
        "An axis of length 1 is gone: one text, or one position, comes back as (B, T, C), too."
    )
    wrong += [(right.squeeze(a), squeezed) for a in (0, 1) if right.shape[a] == 1]
    wrong.append((np.full_like(right, np.nan), ALL_NAN))
    wrong.append((right + x, "x is added: the residual path belongs to the block around this one."))
    return [Mistake(value, hint) for value, hint in wrong]


CUT_OFF = (
    "Nothing that comes out has a gradient: `.detach()`, `.data`, `torch.no_grad()` or a new "
    "tensor cuts it off from the weights."
)


FUSED_CRASHES = {
    "before Module.__init__|_parameters'": "`super().__init__()` has to come first in `__init__`.",
    'required "forward"': "The class has no method `forward`: is it spelled so, and indented?",
    "needs other parameters": "The check copies weights by name: `self.c_attn = nn.Linear(C, 3 * "
    "C, bias=False)` and `self.c_proj = nn.Linear(C, C)`, and nothing else that is learned. A mask "
    "is a buffer, not a parameter.",
    "hand over the class": "`check` makes modules of its own: give it the class, without brackets.",
    "has to return a tensor": "Stay with torch's tensors from x to the result: what passes through "
    "NumPy or lists has no gradient.",
    "numpy.*requires grad|[Nn]um[Pp]y.*grad": "NumPy knows no gradients: use torch's functions.",
    "Expected size for first two dimensions|cannot be multiplied|Expected size for the first": "In "
    "the scores, the last two axes of k are exchanged: (T, head_size) times (head_size, T), `q @ "
    "k.transpose(-2, -1)`.",
    "view size is not compatible|use .reshape": "`view` refuses where the numbers don't lie in "
    "order. On the way in, only the last axis of q, k and v can be cut up, `view(B, T, n_head, "
    "head_size)`, and is transposed then; a view with T in another place would mix positions. On "
    "the way back, after the transposition, `reshape` or `.contiguous().view(…)`.",
    "invalid for input of size|is invalid": "The sizes of the view don't multiply to what is "
    "there: C = n_head · head_size, so head_size is `C // n_head`, with the n_head that the class "
    "was given.",
}


def block_size_for_T(*sizes: int) -> dict[str, str]:
    """Return the crash of a view in which a block_size stands: no other size is the same."""
    size = "|".join(map(str, sizes))
    hint = "block_size stands in the view, and fewer positions came: T is `x.shape[1]`."
    return {rf"shape '\[(.*\D)?({size})(\D.*)?\]' is invalid": hint}


TURNED = {
    "must match the size.*dimension [01]$|x[.]T. on tensors": "In a product, the "
    "batches of the two tensors differ. `k.T` turns all axes round, the batch too: exchange the "
    "last two of k, `k.transpose(-2, -1)`."
}


SCORES = TURNED | {
    "must match the size": "Two tensors of different shapes meet. The scores have the shape (B, "
    "n_head, T, T), and so fit a mask of (T, T), cut from one of (block_size, block_size); scores "
    "of (B, T, n_head, n_head) come from heads behind T: the heads have to stand in front of it, "
    "`transpose(1, 2)`. And if the product of q and k fails itself, it is the last two axes of k "
    "that are exchanged, `k.transpose(-2, -1)`."
}


FIRST_CALL = {
    r"\(11\) must match .*\(6\)|\(6\) must match .*\(11\)": "The mask is as large as the text of "
    "the first call, 6 positions, and a longer one came after it: make it for block_size "
    "positions, or anew in each call."
}


SMALL = {
    r"\(7\) must match .*\(6\)|\(6\) must match .*\(7\)": "The mask is made for one position too "
    "few: 7 came, which is block_size, and 6 of them fit. A text may be block_size positions long."
}


SHORT = TURNED | {
    "must match the size|expanded size": "The mask has the wrong size: it was made for block_size "
    "positions, and only T of them came. Cut it, `self.mask[:T, :T]`. (If the cases above crash "
    "too, begin there.)"
}
