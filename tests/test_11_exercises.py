"""Right answers to 11.1, 11.4, 11.6 and 11.7 in other styles pass, and no wrong answer to lecture
11's exercises is told of a mistake that it doesn't make."""

import numpy as np
import pytest

from misconceptions.numpy_gpt import (
    e11_1_softmax,
    e11_2_attention,
    e11_3_cache,
    e11_4_sampling,
    e11_5_classify,
    e11_6_adapters,
    e11_7_bits,
)
from styles import assert_not_told, assert_passes


def by_log_softmax(x):
    y = e11_1_softmax.wide(x)
    y = y - y.max(-1, keepdims=True)
    return np.exp(y - np.log(np.exp(y).sum(-1, keepdims=True))).astype(x.dtype)


def searched(probs, p):
    out = np.zeros_like(probs)
    for i, row in enumerate(probs):
        order = np.argsort(-row)
        n = len(row) if p >= 1 else np.searchsorted(row[order].cumsum(), p) + 1
        out[i, order[:n]] = row[order[:n]]
    return out / out.sum(-1, keepdims=True)


def halved(params, r, rng):
    """Both adapters of a block are halves of one draw, which share no number."""
    new = e11_6_adapters.adding()(params, r, rng)
    C = len(params["head"]["w"])
    for block in new["blocks"]:
        halves = np.split(rng.normal(0, 0.02, (C, 2 * r)), 2, axis=1)
        for name, half in zip(("adapter_1", "adapter_2"), halves, strict=True):
            block[name]["down"]["w"] = half
    return new


def solved(params, share):
    """The size by a formula."""
    (C, V), n = params["head"]["w"].shape, 2 * len(params["blocks"])
    rest = share * e11_6_adapters.numbers(params) - n * C
    return max(0, int(rest // (n * (2 * C + 1) + C + V)))


def multiplied_by_127(w):
    top = np.abs(w).max(1, keepdims=True)
    q = np.rint(w * (127 / np.where(top == 0, 127, top)))
    return q.astype(np.int8), np.where(top == 0, np.float32(1), top / 127)[:, 0]


def scaled_x(x, q, scale):
    blocks = np.array_split(np.arange(len(q)), len(q) // 100 + 1)
    return sum((x[:, rows] * scale[rows]) @ q[rows].astype(np.float32) for rows in blocks)


OTHER_STYLES = {
    "11.1": (by_log_softmax, e11_1_softmax.layer_norm),
    "11.4": (searched, e11_4_sampling.generating()),
    "11.6": (e11_6_adapters.adapter, halved, solved, e11_6_adapters.merging()),
    "11.7": (multiplied_by_127, scaled_x),
}


@pytest.mark.parametrize("number", OTHER_STYLES)
def test_a_right_answer_in_another_style_passes(number):
    assert_passes(number, OTHER_STYLES[number])


def the_last_row_again():
    answers = e11_3_cache.caching(at=e11_3_cache.clipped, check=lambda *sizes: None)
    return answers, lambda *given: e11_3_cache.generate(*given, gpt=answers)


def of_float16():
    return e11_7_bits.right, lambda *given: e11_7_bits.product(*given, kind=np.float16)


# A wrong answer and the words of a hint that doesn't explain it.
NOT_MADE = (
    ("11.1", e11_1_softmax.no_root, "A square beyond 65504"),
    ("11.1", e11_1_softmax.largest_absolute_value, "The mean of a row"),
    ("11.2", e11_2_attention.strictly_earlier, "the wrong way round"),
    ("11.3", the_last_row_again, "is caught"),
    ("11.4", e11_4_sampling.no_lists_for_no_tokens, "Not one token"),
    ("11.5", e11_5_classify.divided_by_the_classes, "Divided by B · K"),
    ("11.6", e11_6_adapters.down_zero_and_up_drawn, "another one from the start"),
    ("11.6", e11_6_adapters.floor_division, "is missing"),
    ("11.6", e11_6_adapters.divided_by_channels, "is missing"),
    ("11.7", of_float16, "float64"),
)


@pytest.mark.parametrize(("number", "wrong", "words"), NOT_MADE)
def test_no_hint_names_a_mistake_that_was_not_made(number, wrong, words):
    assert_not_told(number, wrong(), words)
