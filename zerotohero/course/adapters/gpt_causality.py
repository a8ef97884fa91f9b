"""How answers to 7.7 are called: on models of one layer, in which something may leak."""

from itertools import pairwise
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F


def judged(is_causal, models):
    names = ("causal", "lengths", "texts", "cuts", "piles_up", "in_train", "mode_kept")
    got = {name: [] for name in names}
    for spec in models:
        model = _OneLayer(**spec)
        n, V = spec["bias"].shape[0], spec["wte"].shape[0]
        mode = model.training
        got["causal"].append(is_causal(model, V, n))
        texts = model.calls.of_length()
        got["lengths"].append(sorted(texts))
        got["texts"].append(len(model.calls.texts))
        got["cuts"].append([[T, sorted(_cuts(texts[T]))] for T in sorted(texts)])
        got["piles_up"].append(model.calls.alone and any(map(_piles_up, texts.values())))
        got["in_train"].append(model.calls.in_train)
        got["mode_kept"].append(model.training == mode)
    return got


def _first_unlike(a, b):
    """Return the first position at which two different texts of one length differ."""
    return next(i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y)


def _cuts(texts):
    """Return the positions from which on the future was changed."""
    pairs = [*pairwise(texts), *((texts[0], text) for text in texts[1:])]
    return {_first_unlike(*pair) for pair in pairs} - {0}


def _piles_up(texts):
    """Return whether what was changed at one cut is still so at the next, from left to right."""
    steps = [_first_unlike(*pair) for pair in pairwise(texts)]
    since = {_first_unlike(texts[0], text) for text in texts[1:]}
    return len(steps) > 1 and steps == sorted(set(steps)) and since == {steps[0]}


class _Calls:
    """What a model and its copies were called on, and whether in train mode."""

    def __init__(self):
        self.texts, self.in_train, self.alone = {}, False, True

    def note(self, texts, in_train):
        self.texts |= dict.fromkeys(texts)  # in the order in which they came
        self.in_train |= in_train
        self.alone &= len(texts) == 1

    def of_length(self):
        """Return the texts of each length, in their order."""
        found = {}
        for text in self.texts:
            found.setdefault(len(text), []).append(text)
        return found

    def __deepcopy__(self, memo):
        return self


class _OneLayer(nn.Module):
    """A model of one attention layer, in which some things may leak, and what it was called on.

    bias: (n, n), added to the scores: 0 where a position may look, −∞ where it may not.
    tail: whether a shorter text gets the bias's last rows, not its first.
    leaky_at: the only length for which the bias is used; texts of others get a right one. 0: none.
    axis: that softmax goes over. center: whether the mean over time is subtracted.
    total: whether the mean of the past is added, computed from the sum over all positions.
    shift: added to all logits.
    whisper: (row, key, size): the token at `key` adds `size` to its own logit at `row`, no more.
    shout: (row, key, size): the token at `key` adds itself times `size` to all logits at `row`.
    """

    def __init__(
        self,
        wte,
        wpe,
        w_attn,
        w_out,
        shift,
        bias,
        tail,
        leaky_at,
        axis,
        center,
        total,
        dropout,
        norm,
        train,
        whisper,
        shout,
    ):
        super().__init__()
        w_attn = _float(w_attn).transpose(0, 1).flatten(1)  # (C, 3 C)
        tables = (nn.Parameter(w) for w in (_float(wte), _float(wpe), w_attn, _float(w_out)))
        self.wte, self.wpe, self.w_attn, self.w_out = tables
        self.how = SimpleNamespace(
            bias=_float(bias), tail=tail, axis=axis, leaky_at=leaky_at, center=center, total=total
        )
        self.shift, self.whisper, self.shout, self.calls = shift, whisper, shout, _Calls()
        self.drop = nn.Dropout(dropout) if dropout else None
        self.norm = nn.BatchNorm1d(self.wte.shape[1]) if norm else None
        self.train(train)

    def forward(self, idx):
        if idx.ndim != 2:
            raise ValueError(f"idx has to be of shape (B, T), not {tuple(idx.shape)}.")
        self.calls.note([tuple(text) for text in idx.tolist()], self.training)
        how = self.how
        n, T = len(how.bias), idx.shape[1]
        if n < T:
            raise ValueError(f"{T} tokens are more than block_size = {n}.")
        x = F.embedding(idx, self.wte) + self.wpe[:T]
        if self.norm is not None:
            x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        if how.center:
            x = x - x.mean(1, keepdim=True)
        if how.total:
            after = x.flip(1).cumsum(1).flip(1) - x
            x = x + (x.sum(1, keepdim=True) - after) / torch.arange(1, T + 1)[:, None]
        q, k, v = (x @ self.w_attn).chunk(3, 2)
        bias = how.bias[n - T :, :T] if how.tail else how.bias[:T, :T]
        if how.leaky_at not in (0, T):
            bias = torch.full((T, T), float("-inf")).triu(1)
        weights = F.softmax(q @ k.transpose(1, 2) / q.shape[2] ** 0.5 + bias, how.axis)
        mixed = x + weights @ v
        mixed = mixed if self.drop is None else self.drop(mixed)
        logits = mixed @ self.w_out + self.shift
        row, key, size = self.whisper
        if size and key < T:
            logits[:, row] += size * F.one_hot(idx[:, key], logits.shape[2])
        row, key, size = self.shout
        if size and key < T:
            logits[:, row] += size * idx[:, key, None]
        return logits


def _float(value):
    return torch.tensor(value, dtype=torch.float32)
