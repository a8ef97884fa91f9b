"""The 26 nodes of exercise 5.1: how each one's gradient follows from those of the nodes after it,
and the wrong values that learners get, each with what it says about their line.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from zerotohero.course.checks.backprop.shared import REPEATED, one_hot, overwritten

Mistakes = Mapping[str, np.ndarray | tuple[np.ndarray, ...]]  # a hint: the wrong values it names


@dataclass(frozen=True)
class Node:
    """How the gradient of one value follows from those of the values made from it (`after`)."""

    after: tuple[str, ...]
    rule: Callable[[SimpleNamespace, SimpleNamespace], np.ndarray]
    mistakes: Callable[[SimpleNamespace, SimpleNamespace], Mistakes]


NODES: dict[str, Node] = {}


def node(name: str, *after: str):
    """Add a node: `f(c, d)` returns its gradient and a function that lists likely mistakes."""

    def add(f):
        NODES[name] = Node(after, lambda c, d: f(c, d)[0], lambda c, d: f(c, d)[1]())

    return add


# --- mistakes that several nodes share ----------------------------------------------------------


def sums(full: np.ndarray, axis: int, keep: bool, copied: str) -> Mistakes:
    """Return what goes wrong where `full` has to be summed over an axis."""
    here, other = f"sum over axis {axis}", 1 - axis
    why = f"{copied}, so the gradients of its copies add up."
    shape = "with keepdim=True" if keep else "without keepdim"
    return {
        f"the sum is missing. {why} S{here[1:]}.": full,
        f"{here}, not {other}: {why}": (full.sum(other), full.sum(other, keepdims=True)),
        f"{here} instead of taking the mean: each use adds its share in full. The loss's 1/B is in "
        "there since d.logprobs.": full.mean(axis, keepdims=keep),
        f"{here}, {shape}: it has the shape of its value in c.": full.sum(axis, keepdims=not keep),
    }


def branches(name: str, **through: np.ndarray) -> Mistakes:
    """Return what goes wrong where a value is used twice: one of the two terms is missing."""
    (a, first), (b, second) = through.items()
    twice = f"{name} is used twice, in {a} and in {b}; the branch through"
    nothing = 0 * (first + second)
    return {
        f"{twice} {b} is missing.": first + nothing,
        f"{twice} {a} is missing.": (second + nothing, second),
    }


def product(value: np.ndarray, factors: str) -> Mistakes:
    """Return what goes wrong with a product of matrices; `factors` says which one fits."""
    return {f"it is transposed: {factors}.": value.T}


def averaged(value: np.ndarray) -> Mistakes:
    """Return what goes wrong with the gradient of a weight, (B, …) transposed times (B, …)."""
    return {"it is divided by B once more; the loss's 1/B is in there since d.logprobs.": value}


# --- from the loss to the logits ----------------------------------------------------------------


@node("logprobs")
def rule_of_logprobs(c, d):
    B, V = c.logprobs.shape
    picked = one_hot(c.Y, V)
    columns = picked.max(0) * np.ones((B, 1))
    return -picked / B, lambda: {
        "its sign is turned: the loss is *minus* the mean.": picked / B,
        "the mean's 1/B is missing.": -picked,
        "the mean is over the B numbers picked, not over all.": -picked / (B * V),
        "only the number picked in each row has a share in the loss; the others get 0.": (
            np.full((B, V), -1 / B)
        ),
        "`[:, Y]` takes whole columns; `[range(B), Y]` takes one number a row.": -columns / B,
    }


@node("probs", "logprobs")
def rule_of_probs(c, d):
    return d.logprobs / c.probs, lambda: {
        "the derivative of log(p) is 1/p, so divide by c.probs.": d.logprobs * c.probs,
        "1/p is the derivative of this step alone; multiply by d.logprobs.": 1 / c.probs,
    }


@node("share", "probs")
def rule_of_share(c, d):
    return (d.probs * c.counts).sum(1, keepdims=True), lambda: {
        **sums(d.probs * c.counts, 1, True, "Each share was copied along its row"),
        "share multiplies c.counts in `counts * share`: multiply by it before you sum.": (
            d.probs.sum(1, keepdims=True)
        ),
    }


@node("total", "share")
def rule_of_total(c, d):
    return -d.share * c.share**2, lambda: {
        "the derivative of 1/n is *minus* 1/n².": d.share * c.share**2,
        "the derivative of 1/n is −1/n², with the square.": -d.share * c.share,
        "the derivative of n⁻¹ is −n⁻²; you multiplied by n².": -d.share * c.total**2,
        "the derivative of 1/n is −1/n²; only its sign is there.": -d.share,
    }


@node("counts", "probs", "total")
def rule_of_counts(c, d):
    first, V = d.probs * c.share, c.counts.shape[1]
    return first + d.total, lambda: {
        **branches("counts", probs=first, total=d.total),
        "a sum gives each of its terms the whole of d.total, not a part of it.": (
            first + d.total / V
        ),
        "the gradients from the two uses are added, not multiplied.": first * d.total,
    }


@node("shifted", "counts")
def rule_of_shifted(c, d):
    return d.counts * c.counts, lambda: {
        "the derivative of exp is exp itself, c.counts; it is missing.": d.counts,
        "the derivative of exp(s) is exp(s), which is c.counts, not s.": d.counts * c.shifted,
    }


@node("top", "shifted")
def rule_of_top(c, d):
    return -d.shifted.sum(1, keepdims=True), lambda: {
        **sums(-d.shifted, 1, True, "Each maximum was copied along its row"),
        "the sum is missing, and the minus: top is subtracted.": d.shifted,
    }


@node("logits", "shifted", "top")
def rule_of_logits(c, d):
    picked = one_hot(c.logits.argmax(1), c.logits.shape[1])
    return d.shifted + picked * d.top, lambda: {
        **branches("logits", shifted=d.shifted, top=picked * d.top),
        "the maximum's gradient is d.top at its place, not 1.": d.shifted - picked,
    }


# --- from the logits to BatchNorm ---------------------------------------------------------------


@node("h", "logits")
def rule_of_h(c, d):
    value = d.logits @ c.W2.T
    return value, lambda: product(
        value, "d.logits (B, V) times W2 transposed (V, H) is (B, H), the shape of h"
    )


@node("W2", "logits")
def rule_of_W2(c, d):
    value = c.h.T @ d.logits
    return value, lambda: {
        **product(value, "h transposed (H, B) times d.logits (B, V) is (H, V), the shape of W2"),
        **averaged(value / len(c.h)),
    }


@node("b2", "logits")
def rule_of_b2(c, d):
    return d.logits.sum(0), lambda: sums(d.logits, 0, False, "The bias was copied into each row")


@node("act", "h")
def rule_of_act(c, d):
    twice = 1 - np.tanh(c.h) ** 2
    return d.h * (1 - c.h**2), lambda: {
        "the derivative of tanh is 1 − tanh², and tanh(act) is c.h; you squared its input.": (
            d.h * (1 - c.act**2)
        ),
        "c.h has been through tanh already; use 1 − c.h², without another tanh.": d.h * twice,
        "h (1 − h) is the derivative of the sigmoid; tanh's is 1 − h².": d.h * c.h * (1 - c.h),
        "the derivative of tanh is 1 − h², with the square.": d.h * (1 - c.h),
        "1 − h² is the derivative of this step alone; multiply by d.h.": 1 - c.h**2,
    }


@node("normed", "act")
def rule_of_normed(c, d):
    return d.act * c.gamma, lambda: {
        "normed was multiplied by gamma on its way; the factor is missing.": d.act,
        "normed was multiplied by gamma, so multiply by it here as well.": d.act / c.gamma,
        "a negative gamma loses its sign.": d.act * np.abs(c.gamma),
    }


@node("gamma", "act")
def rule_of_gamma(c, d):
    return (d.act * c.normed).sum(0), lambda: {
        **sums(d.act * c.normed, 0, False, "Gamma was copied into each row"),
        "gamma multiplies c.normed, which is missing; this is beta's.": d.act.sum(0),
        "gamma multiplies c.normed, not c.act.": (d.act * c.act).sum(0),
        "gamma multiplies c.normed, not c.diff.": (d.act * c.diff).sum(0),
    }


@node("beta", "act")
def rule_of_beta(c, d):
    return d.act.sum(0), lambda: {
        **sums(d.act, 0, False, "Beta was copied into each row"),
        "beta is added, so its factor is 1; this is gamma's.": (d.act * c.normed).sum(0),
    }


@node("inv", "normed")
def rule_of_inv(c, d):
    return (d.normed * c.diff).sum(0), lambda: {
        **sums(d.normed * c.diff, 0, False, "Inv was copied into each row"),
        "inv multiplies c.diff in `diff * inv`: multiply by it before you sum.": d.normed.sum(0),
        "inv multiplies c.diff, not c.normed.": (d.normed * c.normed).sum(0),
    }


@node("var", "inv")
def rule_of_var(c, d):
    def power(eps: float) -> np.ndarray:
        return -0.5 * (c.var + eps) ** -1.5 * d.inv

    return -0.5 * c.inv**3 * d.inv, lambda: {
        "a greater variance makes inv smaller; the minus of the exponent −½ is missing.": (
            0.5 * c.inv**3 * d.inv
        ),
        "the ½ of the exponent −½ is missing.": -(c.inv**3) * d.inv,
        "it is var + eps that is raised to the power; eps is missing.": power(0),
        "eps is c.eps, not the lecture's 1e-5.": power(1e-5),
        "eps is c.eps, whatever it is, not 1e-3.": power(1e-3),
        "the exponent goes down by one, from −½ to −1½.": -0.5 * c.inv * d.inv,
        "the exponent goes down by one, from −½ to −1½; yours went up.": -0.5 / c.inv * d.inv,
    }


@node("square", "var")
def rule_of_square(c, d):
    B, H = c.square.shape
    wide = np.ones((B, 1)) * d.var
    rows = "what was summed forwards is copied backwards; it has a row for each of the B examples"
    return wide / B, lambda: {
        "var is the sum divided by B, and so is this: 1/B is missing.": wide,
        "c.var divides by B, not by B − 1 (no Bessel correction here).": wide / (B - 1),
        "the mean is over the batch: divide by B, not by H.": wide / H,
        f"{rows}.": (d.var / B, d.var),
    }


@node("diff", "normed", "square")
def rule_of_diff(c, d):
    first, second = d.normed * c.inv, 2 * c.diff * d.square
    return first + second, lambda: {
        **branches("diff", normed=first, square=second),
        "the derivative of diff² is 2 · diff; the 2 is missing.": first + second / 2,
        "the derivative of diff² is 2 · diff; diff itself is missing.": first + 2 * d.square,
    }


@node("mean", "diff")
def rule_of_mean(c, d):
    return -d.diff.sum(0), lambda: {
        **sums(-d.diff, 0, False, "The mean was copied into each row"),
        "the mean is *subtracted*; the minus is missing.": d.diff.sum(0),
        "the sum is missing, and the minus: the mean is subtracted.": d.diff,
    }


@node("pre", "diff", "mean")
def rule_of_pre(c, d):
    B = len(c.pre)
    return d.diff + d.mean / B, lambda: {
        **branches("pre", diff=d.diff, mean=d.mean / B),
        "the mean is the sum divided by B, and so is its branch: 1/B is missing.": d.diff + d.mean,
        "the minus is in d.mean already; add the two branches.": d.diff - d.mean / B,
    }


# --- from BatchNorm to the embeddings -----------------------------------------------------------


@node("x", "pre")
def rule_of_x(c, d):
    value = d.pre @ c.W1.T
    return value, lambda: product(
        value, "d.pre (B, H) times W1 transposed (H, T · C) is (B, T · C), the shape of x"
    )


@node("W1", "pre")
def rule_of_W1(c, d):
    value = c.x.T @ d.pre
    return value, lambda: {
        **product(value, "x transposed (T · C, B) times d.pre (B, H) is (T · C, H), as W1 is"),
        **averaged(value / len(c.x)),
    }


@node("b1", "pre")
def rule_of_b1(c, d):
    return d.pre.sum(0), lambda: sums(d.pre, 0, False, "The bias was copied into each row")


@node("emb", "x")
def rule_of_emb(c, d):
    B, T, C = c.emb.shape
    return d.x.reshape(B, T, C), lambda: {
        "`view` only regroups the numbers; regroup them back to (B, T, C).": d.x,
        "the numbers are in the wrong order; `view(B, T * C)` is undone by a view to (B, T, C), "
        "with no transposition.": d.x.reshape(B, C, T).transpose(0, 2, 1),
    }


@node("wte", "emb")
def rule_of_wte(c, d):
    table, uses = np.zeros_like(c.wte), np.bincount(c.X.ravel(), minlength=len(c.wte))
    np.add.at(table, c.X, d.emb)

    lost = "a token that occurs more than once{} gets only its last gradient there, since `=` and "
    lost += "`+=` at `[X]` write over the others: add up with `index_add_`, or `index_put_((c.X,), "
    lost += "d.emb, accumulate=True)`."
    return table, lambda: {
        **{
            lost.format(where): overwritten(c.wte, c.X, d.emb, parts)
            for where, parts in REPEATED.items()
        },
        "each use of a row adds its share; don't take the mean over them.": (
            table / np.maximum(uses, 1)[:, None]
        ),
    }
