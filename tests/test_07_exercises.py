"""Right answers to 7.1, 7.5, 7.6 and 7.7 in other styles than the solution's pass as well."""

import ast
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import zerotohero
from misconceptions.gpt.e7_1_fuse import Fused
from misconceptions.gpt.e7_4_paper import no_training, orthogonal
from misconceptions.gpt.e7_5_kv_cache import Attention, Cached, generate, with_attention
from zerotohero import IGNORED
from zerotohero.bigram import as_tokens
from zerotohero.course import checks
from zerotohero.course.checking import examine, report
from zerotohero.gpt import GPT, GPTConfig


@cache
def future(T):
    """The lecture's mask, which is made once for each T."""
    return torch.ones(T, T).tril() == 0


class MaskMadeOnce(Fused):
    def hide(self, scores):
        return scores.masked_fill(future(scores.shape[2]), -torch.inf)


class HeadsBehindTime(Fused):
    def cut(self, z):
        return z.unflatten(2, (self.n_head, -1))

    def attend(self, q, k, v):
        scores = torch.einsum("bthc,bshc->bhts", q, k) / self.divisor(q)
        return torch.einsum("bhts,bshc->bthc", self.drop(self.weigh(self.hide(scores))), v)

    def merge(self, y):
        return y.flatten(2)


class MappedOverHeads(Fused):
    def attend(self, q, k, v):
        def head(q, k, v):
            weights = self.hide((q @ k.mT / q.shape[2] ** 0.5)[:, None])[:, 0].softmax(-1)
            return self.drop(weights) @ v

        return torch.vmap(head, in_dims=1, out_dims=1, randomness="different")(q, k, v)


class Allocated(Attention):
    """Its cache has room for the longest text from the start."""

    def remember(self, cache, k, v):
        if not cache:
            B, n_head, _, size = k.shape
            cache |= {"n": 0, "all": torch.zeros(2, B, n_head, 40, size)}
        n = cache["n"] = cache["n"] + k.shape[2]
        cache["all"][:, :, :, n - k.shape[2] : n] = torch.stack([k, v])
        cache["k"] = cache["all"][0, :, :, :n]
        return cache["k"], cache["all"][1, :, :, :n]


class SoftmaxByHand(Attention):
    def attend(self, q, k, v):
        T, n = q.shape[2], k.shape[2]
        odds = (q @ k.mT / q.shape[3] ** 0.5).exp().tril(n - T)
        return odds / odds.sum(-1, keepdim=True) @ v


class MaskInABuffer(Cached):
    """As 7.1's cell holds its mask."""

    def __init__(self, **sizes):
        super().__init__(**sizes)
        n = sizes["block_size"]
        self.register_buffer("future", torch.ones(n, n, dtype=torch.bool).triu(1))


def prompt_first(model, idx, n):
    """The prompt before the loop, and softmax on the way to the likeliest."""
    cache = model.new_cache()
    probs = model(idx, cache)[:, -1].softmax(-1)
    for i in range(n):
        idx = torch.cat([idx, probs.argmax(1, keepdim=True)], 1)
        if i + 1 < n:
            probs = model(idx[:, -1:], cache)[:, -1].softmax(-1)
    return idx


def shifted_mask(logits, p, temperature=1.0):
    probs, order = F.softmax(logits / temperature, -1).sort(descending=True)
    drop = (probs.cumsum(-1) >= p).roll(1, -1) & (p < 1)
    drop[:, 0] = False
    probs = probs.masked_fill(drop, 0.0)
    return (probs / probs.sum(-1, keepdim=True)).gather(-1, order.argsort(-1))


def row_by_row(logits, p, temperature=1.0):
    probs = F.softmax(logits / temperature, -1)
    out = torch.zeros_like(probs)
    for mine, kept in zip(probs, out, strict=True):
        for i in mine.argsort(descending=True).tolist():
            kept[i] = mine[i]
            if kept.sum() >= p and p < 1:
                break
    return out / out.sum(-1, keepdim=True)


def dropped_from_below(logits, p, temperature=1.0):
    probs = F.softmax(logits / temperature, -1).numpy()
    order = np.argsort(probs, 1)
    rising = np.take_along_axis(probs, order, 1)
    kept = np.zeros_like(probs)
    np.put_along_axis(kept, order, np.where((rising.cumsum(1) <= 1 - p) & (p < 1), 0, rising), 1)
    return torch.from_numpy(kept / kept.sum(1, keepdims=True))


@torch.inference_mode()
def prefixes(model, V, n):
    """Whether a text's logits are those of its prefixes."""
    was = model.training
    model.eval()
    idx = torch.randint(V, (4, n))
    same = [
        torch.allclose(model(idx[:, :T]), model(idx[:, : T + 1])[:, :T], atol=1e-4)
        for T in range(1, n)
    ]
    model.train(was)
    return all(same)


@torch.no_grad()
def one_token_at_a_time(model, V, n):
    was, worst = model.training, torch.zeros(())
    model.eval()
    for T in range(2, n + 1):
        idx = torch.randint(V, (1, T))
        for t in range(1, T):
            other = idx.clone()
            other[:, t] = (other[:, t] + 1) % V
            moved = (model(other) - model(idx))[:, :t].abs().max()
            worst = torch.maximum(worst, moved)
    model.train(was)
    return bool(worst < 5e-4)


RIGHT = [
    ("7.1", (MaskMadeOnce,)),
    ("7.1", (HeadsBehindTime,)),
    ("7.1", (MappedOverHeads,)),
    ("7.5", with_attention(Allocated)),
    ("7.5", with_attention(SoftmaxByHand)),
    ("7.5", (MaskInABuffer, generate)),
    ("7.5", (Cached, generate)),
    ("7.5", (Cached, prompt_first)),
    ("7.6", (shifted_mask,)),
    ("7.6", (row_by_row,)),
    ("7.6", (dropped_from_below,)),
    ("7.7", (prefixes,)),
    ("7.7", (one_token_at_a_time,)),
]


def name(value) -> str:
    """What a case is called: the same in every process, so by no object's address."""
    return value if isinstance(value, str) else "-".join(answer.__name__ for answer in value)


@pytest.mark.parametrize("number, answers", RIGHT, ids=name)
def test_another_style_passes(number, answers):
    future.cache_clear()
    exercise = checks.find(number)
    for seed in (1, 2, 3):
        outcomes = examine(exercise, answers, seed)
        assert all(o.status == "passed" for o in outcomes), report(exercise, outcomes)


class CutOff(Fused):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


class TwoValues(Fused):
    def forward(self, x):
        return super().forward(x), None


@pytest.mark.parametrize("answer", [CutOff, TwoValues])
def test_no_verdict_stumbles_over_a_result_without_a_gradient_or_two_results(answer):
    exercise = checks.find("7.1")
    said = report(exercise, examine(exercise, (answer,), 1))
    assert "not of the kind asked for" not in said and "TypeError" not in said, said
    assert "got a result that has none" in said or "got several values" in said, said


def in_a_gpt(*tokens):
    return GPT(GPTConfig(30, 8, n_layer=1, n_head=1, n_embd=4))(torch.tensor([tokens]))


@pytest.mark.parametrize(
    "crash, hint",
    [
        (lambda: in_a_gpt(30), "`(idx + 1) % vocab_size` stays within the vocabulary."),
        (lambda: in_a_gpt(-1), "`(idx + 1) % vocab_size` stays within the vocabulary."),
        # What a GPT says of floats; in tests their types are refused before that.
        (lambda: as_tokens(torch.zeros(1)), "exchange some for others and compare the logits."),
    ],
    ids=["too large", "negative", "floats"],
)
def test_a_test_of_causality_that_breaks_the_library_gets_the_same_hints(crash, hint):
    outcome, *_ = examine(checks.find("7.7"), (lambda model, V, n: crash(),), 1)
    assert outcome.status == "crashed" and outcome.hint.endswith(hint), outcome


def test_the_target_that_losses_pass_over_is_torchs_and_stands_in_one_place():
    assert torch.nn.CrossEntropyLoss().ignore_index == IGNORED
    package = Path(zerotohero.__file__).parent

    def of_its_own(path: Path) -> bool:  # assigned, or compared with; logits may be −100
        nodes = [
            n
            for n in ast.walk(ast.parse(path.read_text()))
            if isinstance(n, ast.Assign | ast.Compare)
        ]
        values = [n.value if isinstance(n, ast.Assign) else n.comparators[0] for n in nodes]
        return "-100" in map(ast.unparse, values)

    found = [p.relative_to(package).as_posix() for p in package.rglob("*.py") if of_its_own(p)]
    assert found == ["__init__.py"]


def muon_in_place(gradient, buffer, momentum):
    """As torch.optim does it: the buffer that was handed over is the new one."""
    return orthogonal(buffer.mul_(momentum).add_(gradient)), buffer


def test_muon_may_write_into_its_buffer():
    answers = (lambda: {"muon": muon_in_place}), no_training
    values, properties, *_ = examine(checks.find("7.4"), answers)
    assert values.status == properties.status == "passed", (values, properties)
