"""Wrong answers to 7.4, an improvement from a paper."""

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from misconceptions import wrong


def no_training(batches, V, improved, seed):
    raise NotImplementedError


def only(name, function):
    return (lambda: {name: function}), no_training


def rotate(x, first=0, power=2.0, mirror=1, same=False, axis=2):
    T, S = x.shape[axis], x.shape[3]
    speeds = 10_000 ** (-power * torch.arange(S // 2) / S)
    angles = (torch.arange(T) + first)[:, None] * speeds
    if axis == 1:
        angles = angles[:, None]
    cos, sin = angles.cos(), angles.sin()
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + mirror * b * cos], -1)


@wrong("7.4", "Positions count from 0")
def rotary_from_one():
    return only("rotary", partial(rotate, first=1))


@wrong("7.4", "The exponent is −2i/S")
def rotary_with_half_the_exponent():
    return only("rotary", partial(rotate, power=1.0))


@wrong("7.4", "makes it a mirror")
def rotary_with_a_sign_wrong():
    return only("rotary", partial(rotate, mirror=-1))


@wrong("7.4", "You turn by the number of the head")
def rotary_over_the_heads():
    return only("rotary", partial(rotate, axis=1))


@wrong("7.4", "Sines and cosines are *added*")
def sinusoidal_positions():
    def added(x):
        a, b = rotate(torch.ones_like(x)).chunk(2, -1)  # cos − sin, sin + cos
        return x + torch.cat([(b - a) / 2, (a + b) / 2], -1)

    return only("rotary", added)


@wrong("7.4", "a turned pair mixes its two")
def rotary_without_the_partner():
    return only("rotary", lambda x: x * rotate(torch.ones_like(x)))


@wrong("7.4", "that is LayerNorm. RMSNorm only divides")
def layer_norm():
    return only("rms_norm", lambda x: F.layer_norm(x, x.shape[-1:]))


@wrong("7.4", "measures from the mean")
def divided_by_the_deviation():
    return only("rms_norm", lambda x: x / x.std(-1, keepdim=True))


@wrong("7.4", "the root of the *sum* of squares")
def unit_length():
    return only("rms_norm", lambda x: F.normalize(x, dim=-1))


@wrong("7.4", "You normalise over time")
def norm_over_time():
    return only("rms_norm", lambda x: x / x.square().mean(1, keepdim=True).sqrt())


@wrong("7.4", "SiLU is around the wrong product")
def gate_and_value_exchanged():
    return only("swiglu", lambda x, g, u, d: (F.silu(x @ u) * (x @ g)) @ d)


@wrong("7.4", "which is GLU")
def plain_sigmoid():
    return only("swiglu", lambda x, g, u, d: (torch.sigmoid(x @ g) * (x @ u)) @ d)


@wrong("7.4", "which is GEGLU")
def gelu_gate():
    return only("swiglu", lambda x, g, u, d: (F.gelu(x @ g) * (x @ u)) @ d)


@wrong("7.4", "x W_up is missing")
def no_gate():
    return only("swiglu", lambda x, g, u, d: F.silu(x @ g) @ d)


@wrong("7.4", "came back as it was: both are normalised")
def only_queries_normalised():
    return only("qk_norm", lambda q, k: (F.rms_norm(q, q.shape[-1:]), k))


@wrong("7.4", "Unit length is too short")
def cosine_of_queries_and_keys():
    return only("qk_norm", lambda q, k: (F.normalize(q, dim=-1), F.normalize(k, dim=-1)))


@wrong("7.4", "You normalise across the heads")
def normalised_across_heads():
    return only("qk_norm", lambda *qk: [x / x.square().mean(1, keepdim=True).sqrt() for x in qk])


@wrong("7.4", "Negative numbers are squared too")
def squared_without_relu():
    return only("relu2", lambda x: x**2)


@wrong("7.4", "its square is missing")
def relu():
    return only("relu2", F.relu)


@wrong("7.4", "`repeat_interleave`, not `repeat`")
def heads_dealt_out_in_turns():
    def grouped_query(q, k, v):
        n = q.shape[1] // k.shape[1]
        k, v = k.repeat(1, n, 1, 1), v.repeat(1, n, 1, 1)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    return only("grouped_query", grouped_query)


@wrong("7.4", "The future is visible")
def groups_without_a_mask():
    def grouped_query(q, k, v):
        n = q.shape[1] // k.shape[1]
        k, v = (x.repeat_interleave(n, 1) for x in (k, v))
        return F.scaled_dot_product_attention(q, k, v)

    return only("grouped_query", grouped_query)


@wrong("7.4", "that is multi-query attention")
def one_key_head():
    def grouped_query(q, k, v):
        k, v = (x[:, :1].expand_as(q) for x in (k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    return only("grouped_query", grouped_query)


def orthogonal(X, rounds=5, a=3.4445, b=-4.7750, c=2.0315):
    X = X / X.norm()
    for _ in range(rounds):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X


@wrong("7.4", "Orthogonalise it")
def plain_momentum():
    def muon(gradient, buffer, momentum):
        buffer = momentum * buffer + gradient
        return buffer / buffer.norm(), buffer

    return only("muon", muon)


@wrong("7.4", "it is the *buffer* that is orthogonalised")
def gradient_orthogonalised():
    return only("muon", lambda g, buffer, m: (orthogonal(g), m * buffer + g))


@wrong("7.4", "Each number became its sign")
def sign_of_the_momentum():
    return only("muon", lambda g, buffer, m: ((m * buffer + g).sign(), m * buffer + g))


@wrong("7.4", "the past is forgotten")
def no_momentum():
    return only("muon", lambda g, buffer, m: (orthogonal(g), g))


@wrong("7.4", "here the gradient is added whole")
def averaged_momentum():
    def muon(gradient, buffer, momentum):
        buffer = torch.lerp(gradient, buffer, momentum)
        return orthogonal(buffer), buffer

    return only("muon", muon)


@wrong("7.4", "The singular values are not yet equal")
def one_round():
    def muon(gradient, buffer, momentum):
        buffer = momentum * buffer + gradient
        return orthogonal(buffer, rounds=1), buffer

    return only("muon", muon)


def vectors(decompose, **options):
    """Multiply singular vectors as they come, of which the second are not transposed."""

    def muon(gradient, buffer, momentum):
        buffer = momentum * buffer + gradient
        U, _, V = decompose(buffer, **options)
        return U @ V, buffer

    return only("muon", muon)


@wrong("7.4", "`U @ V.mT` after `torch.svd`")
def singular_vectors_not_transposed():
    return vectors(torch.svd)


@wrong("7.4", "full_matrices=False")
def singular_vectors_of_the_whole_space():
    return vectors(torch.linalg.svd)


@wrong("7.4", "stands before X")
def polynomial_of_the_other_square():
    def muon(gradient, buffer, momentum):
        buffer = momentum * buffer + gradient
        return orthogonal_by_columns(buffer), buffer

    return only("muon", muon)


def orthogonal_by_columns(X):
    X = X / X.norm()
    A = X.T @ X
    return 3.4445 * X + (-4.7750 * A + 2.0315 * A @ A) @ X


@wrong("7.4", "what passes the gate meets W_down")
def weights_the_other_way_round():
    return only("swiglu", lambda x, g, u, d: F.linear(F.silu(F.linear(x, g)) * F.linear(x, u), d))


@wrong("7.4", "keeps the axis that it runs along")
def axis_of_the_mean_lost():
    return only("rms_norm", lambda x: x / x.square().mean(-1).sqrt())


@wrong("7.4", "and meet the pairs' halves")
def angles_of_whole_vectors():
    def rotary(x):
        T, S = x.shape[2:]
        angles = torch.arange(T)[:, None] * 10_000 ** (-torch.arange(S) / S)
        a, b = x.chunk(2, -1)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

    return only("rotary", rotary)


@wrong("7.4", "key and value heads are repeated first")
def key_heads_not_repeated():
    def grouped_query(q, k, v):
        later = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).triu(1)
        scores = q @ k.mT / q.shape[-1] ** 0.5
        return scores.masked_fill(later, -torch.inf).softmax(-1) @ v

    return only("grouped_query", grouped_query)


@wrong("7.4", "The names are those of the list")
def another_name():
    return only("rmsnorm", lambda x: x)


@wrong("7.4", "without calling it")
def called():
    return only("relu2", 3.0)


def relu2(x):
    return F.relu(x) ** 2


@wrong("7.4", "put down at (i, i + S/2)")
def pairs_put_down_elsewhere():
    def rotary(x):
        return rotate(torch.cat([x[..., ::2], x[..., 1::2]], -1))

    return only("rotary", rotary)


@wrong("7.4", "One way of pairing for the numbers and another for the angles")
def neighbours_turned_by_angles_of_halves():
    def rotary(x):
        T, S = x.shape[2:]
        angles = torch.arange(T)[:, None] * 10_000 ** (-2 * torch.arange(S // 2) / S)
        angles = torch.cat([angles, angles], -1)
        beside = torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)
        return x * angles.cos() + beside * angles.sin()

    return only("rotary", rotary)


@wrong("7.4", "of nothing no property is shown")
def zeros():
    return only("relu2", torch.zeros_like)


@wrong("7.4", "Begin with `x = x.clone()`")
def squared_in_place():
    return only("relu2", lambda x: x.relu_().square_())


@wrong("7.4", "Begin with `gradient = gradient.clone()`")
def momentum_added_to_the_gradient():
    def muon(gradient, buffer, momentum):
        gradient += momentum * buffer
        return orthogonal(gradient), gradient

    return only("muon", muon)


@wrong("7.4", "not with NumPy or lists")
def numpy_returned():
    return only("relu2", lambda x: relu2(x).numpy())


class Pairs(nn.Module):
    """Counts pairs of letters as they go through it; `by` makes it worse, `ahead` leak."""

    def __init__(self, V, width=8, ahead=0.0):
        super().__init__()
        self.counts = nn.Parameter(torch.ones(V, V), requires_grad=False)
        self.ahead, self.by, self.each = ahead, 1.0, None
        self.more = nn.Linear(width, width)

    def forward(self, idx, targets=None):
        if targets is not None:
            self.counts.index_put_((idx.flatten(), targets.flatten()), self.each, True)
        logits = self.by * (self.counts / self.counts.sum(1, keepdim=True)).log()
        x = self.more(torch.zeros(*idx.shape, self.more.in_features))
        return logits[idx] + 0 * x.sum(-1, keepdim=True) + self.ahead * idx[:, -1:, None]


def pairs(batches, V, seed, by=1.0, calls=False, used=True, rows=32, passes=1, **parts):
    """A quick training: every batch goes through the model once. Its improvement is a relu2(1)."""
    torch.manual_seed(seed)
    model = Pairs(V, **parts)
    for xb, yb in batches:
        model.each = torch.ones(yb[:rows].numel())
        if calls:
            improved = relu2(model.each)
            model.each = improved if used else model.each
        for _ in range(passes):
            model(xb[:rows], yb[:rows])
    model.by = by
    return model


def counting(plain=None, better=None):
    """An honest pair of functions but for the keywords of `pairs` for one of the two models."""

    def train_model(batches, V, improved, seed):
        given = {"calls": True} | (better or {}) if improved else {"by": 0.95} | (plain or {})
        return pairs(batches, V, seed, **given)

    return (lambda: {"relu2": relu2}), train_model


def training(train_model):
    return (lambda: {"relu2": relu2}), train_model


@wrong("7.4", "Both models are the same")
def improvement_not_used():
    return counting({"by": 1.0})


@wrong("7.4", "both models go through all batches")
def fewer_batches_for_the_plain_one():
    def train_model(batches, V, improved, seed):
        some = (pair for i, pair in enumerate(batches) if improved or i < 20)
        return pairs(some if improved else [next(some) for _ in range(20)], V, seed, calls=improved)

    return training(train_model)


@wrong("7.4", "A part of the batches never passes")
def half_of_each_batch_for_the_plain_one():
    return counting({"rows": 16})


@wrong("7.4", "A batch is used twice")
def two_updates_a_batch():
    return counting(better={"passes": 2})


@wrong("7.4", "A larger model isn't an improvement")
def a_larger_model():
    return counting(better={"width": 16})


@wrong("7.4", "What makes the difference here isn't what")
def nothing_built_in():
    return counting(better={"calls": False})


@wrong("7.4", "They are called, and what comes back isn't used")
def called_for_nothing():
    return counting(better={"used": False})


@wrong("7.4", "The plain model is the one without")
def built_into_both():
    return counting({"calls": True})


@wrong("7.4", "and is no better than a good plain one")
def a_plain_model_that_is_held_back():
    return counting({"by": 0.7})


@wrong("7.4", "The gain isn't shown")
def no_better():
    return counting({"by": 1.0}, {"by": 0.99})


@wrong("7.4", "in training it can read the answer")
def sees_its_future():
    return counting(better={"ahead": 0.01})


@wrong("7.4", "three runs from the same weights show what one shows")
def always_the_same_seed():
    return training(lambda batches, V, improved, seed: pairs(batches, V, 1))


@wrong("7.4", "The weights aren't drawn from `seed`")
def no_seed():
    return training(lambda batches, V, improved, seed: pairs(batches, V, torch.seed()))


@wrong("7.4", "Each batch may be used once")
def two_epochs():
    return training(
        lambda batches, V, improved, seed: [pairs(batches, V, seed) for _ in range(2)][-1]
    )


@wrong("7.4", "neither its loss nor its class")
def loss_returned():
    return training(lambda batches, V, improved, seed: 2.3)


@wrong("7.4", "The update comes first, then the buffer")
def buffer_first():
    def muon(gradient, buffer, momentum):
        buffer = momentum * buffer + gradient
        return buffer, orthogonal(buffer)

    return only("muon", muon)


@wrong("7.4", "Small singular values have not come up yet")
def three_rounds():
    def muon(gradient, buffer, momentum):
        buffer = momentum * buffer + gradient
        return orthogonal(buffer, rounds=3), buffer

    return only("muon", muon)


@wrong("7.4", "put down at (2i, 2i + 1)")
def halves_put_down_as_neighbours():
    return only("rotary", lambda x: torch.stack(rotate(x).chunk(2, -1), -1).flatten(-2))


@wrong("7.4", "its vectors come back as they are")
def numbers_turned_round():
    return only("rotary", lambda x: rotate(x).flip(-1))


@wrong("7.4", "`x.shape[-1]` is the last")
def three_axes_always():
    def rms_norm(x):
        _, _, C = x.shape
        return x / (x.square().sum(-1, keepdim=True) / C).sqrt()

    return only("rms_norm", rms_norm)


@wrong("7.4", "`.type_as(x)` at the end")
def rotary_in_float32():
    return only("rotary", lambda x: rotate(x.float()))


@wrong("7.4", "a training goes by the gradients")
def relu2_without_a_gradient():
    return only("relu2", torch.no_grad()(lambda x: F.relu(x) ** 2))
