"""Lecture 07: what a GPT writes, drawn, cached, batched, streamed."""

import collections
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zerotohero.generation import KVCache, next_token_probs
from zerotohero.gpt import GPT, GPTConfig

V, BLOCK = 23, 16
MODERN = {"norm": "rmsnorm", "position": "rotary", "activation": "relu2", "qk_norm": True}
KINDS = {
    "gpt2": {},
    "modern": MODERN | {"bias": False},
    "llama": {
        "norm": "rmsnorm",
        "norm_gain": True,
        "position": "rotary",
        "activation": "swiglu",
        "n_head": 4,
        "n_kv_head": 2,
        "bias": False,
    },
    "no positions": {"position": "none"},
}


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(kind: str = "gpt2", **changes) -> GPT:
    """A small GPT in float64, whose weights are large enough that its text depends on its past.

    In float64, because two ways to the same logits differ in the last digits, and in float32 two
    tokens that are nearly equally likely would sometimes change places.
    """
    fields = {"vocab_size": V, "block_size": BLOCK, "n_layer": 2, "n_head": 2, "n_embd": 16}
    model = GPT(GPTConfig(**(fields | {"tied": False} | KINDS[kind] | changes))).double()
    generator = gen(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Large biases would make one token the likeliest everywhere.
            parameter.normal_(0, 0.05 if "bias" in name else 0.5, generator=generator)
    return model.eval()


def by_hand(model: GPT, prompt: list[int], n: int) -> list[int]:
    """The likeliest tokens, one whole pass each: what every faster way has to give."""
    tokens = list(prompt)
    for _ in range(n):
        context = torch.tensor([tokens[-model.config.block_size :]])
        tokens.append(model(context)[0, -1].argmax().item())
    return tokens


def passes(model: GPT) -> list[tuple[int, ...]]:
    """Return a list that fills with the shape of every input that the model reads."""
    shapes = []
    model.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    return shapes


# --- the probabilities of the next token --------------------------------------------------------


def test_without_settings_they_are_the_softmax():
    logits = torch.randn(4, V, generator=gen(), dtype=torch.float64)
    torch.testing.assert_close(next_token_probs(logits), logits.softmax(-1))
    torch.testing.assert_close(next_token_probs(logits, 1.0, V, 1.0), logits.softmax(-1))


def test_temperature_divides_the_logits():
    logits = torch.randn(4, V, generator=gen(), dtype=torch.float64)
    torch.testing.assert_close(next_token_probs(logits, 0.5), (logits / 0.5).softmax(-1))


def test_temperature_zero_is_the_likeliest_token_alone():
    probs = next_token_probs(torch.tensor([[0.0, 2.0, 1.0], [3.0, 1.0, 2.0]]), 0)
    assert probs.tolist() == [[0, 1, 0], [1, 0, 0]]
    # Where several are the likeliest, as in a model that starts at zero, it is the first of them.
    assert next_token_probs(torch.zeros(5), 0).tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("temperature", [1e-30, 1e-5, 1e30])
def test_no_temperature_overflows(temperature):
    probs = next_token_probs(torch.tensor([1000.0, -1000.0, 999.0]), temperature)
    assert probs.isfinite().all()
    assert probs.sum().item() == pytest.approx(1)
    assert probs.argmax() == 0


def test_top_k_keeps_k_tokens_and_their_ratios():
    logits = torch.tensor([1.0, 4.0, 2.0, 3.0])
    probs = next_token_probs(logits, 1.0, 2)
    assert (probs > 0).tolist() == [False, True, False, True]
    torch.testing.assert_close(probs[1] / probs[3], torch.tensor(1.0).exp())


def test_top_k_keeps_k_of_equals_and_no_more():
    assert (next_token_probs(torch.zeros(3, 7), 1.0, 2) > 0).sum(-1).tolist() == [2, 2, 2]


def test_top_k_beyond_the_vocabulary_keeps_all():
    assert (next_token_probs(torch.randn(V, generator=gen()), 1.0, 10 * V) > 0).all()


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.01, 1), (0.39, 1), (0.41, 2), (0.69, 2), (0.71, 3), (0.89, 3), (0.91, 4), (1.0, 4)],
)
def test_top_p_keeps_the_smallest_set_that_reaches_p(top_p, kept):
    # In any order of the tokens; the token that crosses p belongs to the set.
    probs, order = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64), [2, 0, 3, 1]
    out = next_token_probs(probs[order].log(), 1.0, None, top_p)
    expected = torch.where(torch.arange(4) < kept, probs, 0) / probs[:kept].sum()
    torch.testing.assert_close(out, expected[order])


def test_top_p_is_asked_of_what_top_k_left():
    # Of 0.4, 0.3, 0.2, 0.1 the two likeliest become 0.571 and 0.429: 0.5 is reached by the first.
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    assert (next_token_probs(logits, 1.0, 2, 0.5) > 0).sum() == 1
    assert (next_token_probs(logits, 1.0, None, 0.5) > 0).sum() == 2


def test_top_p_sees_the_temperature():
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    assert (next_token_probs(logits, 5.0, None, 0.5) > 0).sum() == 2
    assert (next_token_probs(logits, 0.2, None, 0.5) > 0).sum() == 1


@given(
    logits=st.lists(st.floats(-30, 30), min_size=1, max_size=40),
    temperature=st.floats(0, 5),
    top_k=st.none() | st.integers(1, 50),
    top_p=st.none() | st.floats(0.01, 1),
)
def test_they_are_probabilities_and_prefer_what_the_logits_prefer(
    logits, temperature, top_k, top_p
):
    logits = torch.tensor(logits, dtype=torch.float64)
    probs = next_token_probs(logits, temperature, top_k, top_p)
    assert probs.shape == logits.shape
    assert (probs >= 0).all()
    assert probs.sum().item() == pytest.approx(1)
    # Logits that differ by less than their exponentials show are equals.
    assert logits[probs.argmax()] >= logits.max() - 1e-9
    kept, left_out = logits[probs > 0], logits[probs == 0]
    assert len(kept) <= (top_k or len(logits))
    if len(left_out):
        assert kept.min() >= left_out.max() - 1e-9


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30), st.floats(0.01, 0.99))
def test_no_smaller_set_reaches_p(logits, top_p):
    logits = torch.tensor(logits, dtype=torch.float64)
    kept = next_token_probs(logits, 1.0, None, top_p) > 0
    inside = logits.softmax(-1)[kept]
    assert inside.sum() >= top_p - 1e-9
    assert len(inside) == 1 or inside.sum() - inside.min() < top_p + 1e-9


def test_half_precision_is_summed_in_single():
    logits = torch.zeros(50_000, dtype=torch.bfloat16)
    probs = next_token_probs(logits, 1.0, None, 0.5)
    assert probs.dtype == torch.float32
    assert (probs > 0).sum().item() == pytest.approx(25_000, rel=0.01)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"temperature": -0.1}, "temperature is -0.1; it must be 0 or a positive number."),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"top_k": 0}, "top_k is 0; keep at least 1 token"),
        ({"top_p": 0.0}, "top_p is 0.0; it must be above 0 and at most 1"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"max_new_tokens": -1}, "max_new_tokens is -1; it must be 0 or more."),
        ({"stop": [V]}, f"stop holds the token {V}, but the model knows 0 to {V - 1}"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_the_call(settings, says):
    model, settings = make(), {"max_new_tokens": 3} | settings
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        model.generate([[1]], **settings)
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        model.stream([1], **settings)  # not first at next()


@pytest.mark.parametrize("logit", [torch.nan, torch.inf])
def test_a_model_that_has_diverged_is_named(logit):
    model = make()
    model.register_forward_hook(lambda _, __, logits: logits.index_fill(2, torch.tensor(3), logit))
    with pytest.raises(ValueError, match="NaN or infinite: its training has diverged"):
        model.generate([[1]], 3)


def test_a_token_that_is_ruled_out_by_a_logit_of_minus_infinity_is_never_drawn():
    assert next_token_probs(torch.tensor([0.0, -torch.inf]), 0.5, 2, 0.9).tolist() == [1, 0]


# --- prompts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prompts",
    [[[]], [[1], []], torch.empty(2, 0, dtype=torch.long)],
)
def test_an_empty_prompt_is_refused(prompts):
    with pytest.raises(ValueError, match="A prompt is empty: give at least one token"):
        make().generate(prompts, 3)


@pytest.mark.parametrize("token", [-1, V])
def test_a_token_outside_the_vocabulary_is_refused(token):
    with pytest.raises(ValueError, match=f"A prompt holds the token {token}, but the model knows"):
        make().generate([[1, 2], [3, token]], 3)


@pytest.mark.parametrize("prompts", [[1, 2], ["ROMEO:"], torch.tensor([1, 2]), [[0.5]], [[[1]]]])
def test_what_is_no_list_of_prompts_is_refused(prompts):
    with pytest.raises(TypeError, match="Text is encoded first; and generate takes a list"):
        make().generate(prompts, 3)


def test_prompts_may_be_tensors_lists_or_arrays():
    model, rows = make(), [[1, 2, 3], [4, 5, 6]]
    expected = model.generate(rows, 5, temperature=0)
    for prompts in (
        torch.tensor(rows),
        torch.tensor(rows, dtype=torch.int32),
        [torch.tensor(row) for row in rows],
        torch.tensor(rows).numpy(),
    ):
        assert model.generate(prompts, 5, temperature=0) == expected
    assert all(type(token) is int for row in expected for token in row)


def test_prompts_are_not_changed():
    rows = [[1, 2, 3], [4]]
    make().generate(rows, 5)
    assert rows == [[1, 2, 3], [4]]


def test_no_prompts_and_no_new_tokens():
    model = make()
    assert model.generate([], 5) == []
    assert model.generate([[1, 2], [3]], 0) == [[1, 2], [3]]
    assert list(model.stream([1, 2], 0)) == []


# --- the same tokens in every way ---------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("use_cache", [True, False])
def test_the_likeliest_tokens_are_those_found_by_hand(kind, use_cache):
    # 30 tokens leave the block of 16: from there on the context slides.
    model = make(kind)
    expected = by_hand(model, [3, 1, 4], 30)
    assert len(set(expected[3:])) >= 5, "a text that repeats itself would hide mistakes"
    assert model.generate([[3, 1, 4]], 30, temperature=0, use_cache=use_cache) == [expected]


@given(
    lengths=st.lists(st.integers(1, 2 * BLOCK), min_size=1, max_size=4),
    n=st.integers(0, BLOCK + 4),  # beyond the block, whatever the length
    seed=st.integers(0, 99),
    kind=st.sampled_from(list(KINDS)),
    use_cache=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_each_row_of_a_batch_gets_what_it_gets_alone(lengths, n, seed, kind, use_cache):
    model = make(kind)
    rows = [torch.randint(V, (length,), generator=gen(seed)).tolist() for length in lengths]
    together = model.generate(rows, n, temperature=0, use_cache=use_cache)
    assert together == [by_hand(model, row, n) for row in rows]


@given(
    length=st.integers(1, 20),
    n=st.integers(1, BLOCK + 4),
    seed=st.integers(0, 99),
    temperature=st.floats(0.3, 2),
    top_k=st.none() | st.integers(1, V),
    top_p=st.none() | st.floats(0.1, 1),
)
@settings(deadline=None, max_examples=30)
def test_the_cache_draws_the_same_tokens(length, n, seed, temperature, top_k, top_p):
    model = make()
    rows = torch.randint(V, (3, length), generator=gen(seed))
    chosen = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    with_cache = model.generate(rows, n, **chosen, generator=gen(seed))
    without = model.generate(rows, n, **chosen, generator=gen(seed), use_cache=False)
    assert with_cache == without


@pytest.mark.parametrize("use_cache", [True, False])
def test_streaming_gives_what_generating_gives(use_cache):
    model, chosen = make(), {"temperature": 0.8, "top_k": 9, "use_cache": use_cache}
    row = model.generate([[5, 6]], 30, **chosen, generator=gen())[0]
    assert [5, 6, *model.stream([5, 6], 30, **chosen, generator=gen())] == row


# --- stopping -----------------------------------------------------------------------------------


def test_each_row_stops_at_its_own_stop_token_and_keeps_it():
    model, rows = make(), [[3, 1, 4], [2, 7], [9]]
    whole = [by_hand(model, row, 30) for row in rows]
    stop = {whole[0][6], whole[1][9]}
    expected = []
    for row, text in zip(rows, whole, strict=True):
        new = text[len(row) :]
        ends = [i + 1 for i, token in enumerate(new) if token in stop]
        expected.append(row + new[: min(ends, default=30)])
    assert len({len(row) for row in expected}) > 1, "the rows should end at different lengths"
    assert model.generate(rows, 30, temperature=0, stop=stop) == expected
    assert [9, *model.stream([9], 30, temperature=0, stop=stop)] == expected[2]


def test_a_stop_token_in_the_prompt_does_not_stop():
    model = make()
    row = model.generate([[1, 1]], 4, stop=torch.tensor([1]), generator=gen())[0]
    assert len(row) > 2


def test_nothing_is_read_after_all_rows_have_stopped():
    model = make()
    token = by_hand(model, [3, 1, 4], 1)[-1]
    shapes = passes(model)
    assert model.generate([[3, 1, 4]], 10, temperature=0, stop=[token]) == [[3, 1, 4, token]]
    assert shapes == [(1, 3)]


# --- what it costs ------------------------------------------------------------------------------


def test_with_the_cache_a_step_reads_one_column():
    model = make()
    shapes = passes(model)
    model.generate([[1, 2, 3, 4, 5], [6, 7, 8, 9]], 4)
    # The shorter prompt's length in one pass; then a column each, of which the first still holds
    # a given token of the longer prompt.
    assert shapes == [(2, 4)] + [(2, 1)] * 4


def test_without_the_cache_a_step_reads_everything():
    model = make()
    shapes = passes(model)
    model.generate([[1, 2, 3]], 3, use_cache=False)
    assert shapes == [(1, 3), (1, 4), (1, 5)]


def test_a_longer_prompt_is_read_in_one_pass_where_no_other_row_is_written():
    model = make()
    shapes = passes(model)
    model.generate([[1], list(range(12))], 2)
    assert shapes == [(2, 1), (2, 1), (2, 10), (2, 1)]


def test_when_the_context_slides_the_whole_of_it_is_read():
    model = make()
    shapes = passes(model)
    model.generate([[1] * (BLOCK - 2)], 5)
    assert shapes == [(1, BLOCK - 2), (1, 1), (1, 1), (1, BLOCK), (1, BLOCK)]


# --- what it leaves behind ----------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_while_writing_and_the_mode_is_restored(training):
    model = make(dropout=0.5).train(training)
    rows = [model.generate([[1]], 20, temperature=0) for _ in range(3)]
    assert rows[0] == rows[1] == rows[2]
    assert model.training is training
    for _ in model.stream([1], 3):
        assert model.training is training  # between tokens too, whoever trains there
        assert torch.is_grad_enabled()


def test_the_mode_is_restored_after_an_error():
    model = make().train()
    model.lm_head = torch.nn.Linear(1, 1)  # cannot take the last block's output
    with pytest.raises(RuntimeError):
        model.generate([[1]], 3)
    assert model.training
    assert torch.is_grad_enabled()


def test_nothing_is_recorded_for_a_gradient():
    model = make()
    outputs = []
    model.register_forward_hook(lambda _, __, output: outputs.append(output))
    model.generate([[1]], 3)
    assert not any(output.requires_grad for output in outputs)


def test_all_randomness_is_the_generators():
    model = make()
    state = torch.get_rng_state()
    first = model.generate([[1], [2, 3]], 20, generator=gen(5))
    torch.rand(3)
    assert model.generate([[1], [2, 3]], 20, generator=gen(5)) == first
    assert model.generate([[1], [2, 3]], 20, generator=gen(6)) != first
    torch.set_rng_state(state)
    model.generate([[1]], 20, generator=gen(5))
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"


def test_tokens_come_as_often_as_their_probabilities_say():
    model, n = make(), 4000
    logits = model(torch.tensor([[7]]))[0, -1] / 3
    drawn = model.generate([[7]] * n, 1, temperature=3.0, top_k=4, generator=gen(2))
    counts = collections.Counter(row[1] for row in drawn)
    probs = next_token_probs(logits, 1.0, 4)
    assert set(counts) == set(probs.nonzero()[:, 0].tolist())
    for token, count in counts.items():
        p = probs[token].item()
        # Five standard deviations of a count.
        assert abs(count - n * p) < 5 * (n * p * (1 - p)) ** 0.5


def test_the_device_is_the_models():
    """On "meta" nothing is computed, but a tensor left on another device would be refused."""
    model = make().to("meta")
    seen = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].device.type))
    with pytest.raises(Exception, match="meta"):  # there is nothing to draw from
        model.generate([[1, 2]], 3)
    assert seen == ["meta"]


@pytest.mark.gpu
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_on_a_gpu_the_generator_may_live_anywhere(where):
    model = make().cuda()
    generator = torch.Generator(where).manual_seed(1)
    rows = model.generate([[1], [2, 3]], 30, generator=generator)
    assert [len(row) for row in rows] == [31, 32]
    assert model.generate([[1]], 30, temperature=0) == [by_hand(model.cpu(), [1], 30)]


# --- the cache ----------------------------------------------------------------------------------


def test_the_cache_keeps_layers_apart_and_counts_when_the_last_has_appended():
    cache = KVCache(2)
    first, second = torch.randn(2, 2, 2, 1, 3, 4, 8, generator=gen())  # a pass: layer, k or v
    for layer, (k, v) in enumerate(first):
        assert cache.length == 0
        assert all(map(torch.equal, cache.append(layer, k, v), (k, v)))
    for layer, (k, v) in enumerate(second[..., :1, :]):
        assert cache.length == 4
        all_k, all_v = cache.append(layer, k, v)
        assert torch.equal(all_k, torch.cat([first[layer][0], k], 2))
        assert torch.equal(all_v, torch.cat([first[layer][1], v], 2))
    assert cache.length == 5


@given(cuts=st.lists(st.integers(1, 6), min_size=1, max_size=5), kind=st.sampled_from(list(KINDS)))
@settings(deadline=None, max_examples=30)
def test_a_text_read_in_pieces_has_the_logits_of_the_whole(cuts, kind):
    model = make(kind)
    idx = torch.randint(V, (2, min(sum(cuts), BLOCK)), generator=gen(3))
    cache, pieces = KVCache(2), []
    for piece in idx.split([c for c in _within(cuts, idx.shape[1])], 1):
        pieces.append(model(piece, cache))
    assert cache.length == idx.shape[1]
    torch.testing.assert_close(torch.cat(pieces, 1), model(idx), atol=1e-12, rtol=0)


def _within(cuts: list[int], total: int) -> list[int]:
    """The pieces, the last ones cut off where the block ends."""
    out = []
    for cut in cuts:
        out.append(min(cut, total - sum(out)))
    return [cut for cut in out if cut]


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(
    ("prompts", "shared"),
    [
        ([[1, 2, 3, 4], [1, 2, 3, 5, 6], [1, 2, 3, 4, 7, 8]], 3),
        ([[1, 2, 3], [1, 2, 3, 4]], 2),  # one begins the other, and its last token is left
        ([[5, 6, 7]] * 3, 2),
        ([[1, 4], [2, 4]], 0),
        ([[3] * (BLOCK + 2) + [last] for last in (1, 2)], BLOCK),  # more than the model can hold
    ],
)
def test_what_all_prompts_begin_with_may_be_read_once(kind, prompts, shared):
    model = make(kind)
    alone = model.generate(prompts, 6, temperature=0)
    shapes = passes(model)
    assert model.generate(prompts, 6, temperature=0, share=True) == alone
    begun = [(1, shared)] * (shared > 0)
    assert [*begun, len(prompts)] == [*shapes[: len(begun)], shapes[len(begun)][0]]
    shapes.clear()
    assert model.generate(prompts, 6, temperature=0, share=True, use_cache=False) == alone
    assert shapes[0][0] == len(prompts), "there is nowhere to keep it"


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("use_cache", [True, False])
def test_a_row_that_has_ended_may_be_read_no_more(kind, use_cache):
    model, stop = make(kind), list(range(V // 4))
    prompts = [[1 + i % 3] * (1 + i % 5) for i in range(16)]
    ask = partial(model.generate, prompts, BLOCK + 2, stop=stop, use_cache=use_cache)
    whole = ask(generator=gen(4))
    shapes = passes(model)
    assert ask(generator=gen(4), share=True) == whole
    read = [rows for rows, _ in shapes]
    columns = range(min(map(len, prompts)), max(map(len, whole)))
    writing = [sum(len(row) > column for row in whole) for column in columns]
    assert len(set(writing)) > 4, "they end at different times"
    assert all(w <= r and 4 * w > 3 * r for w, r in zip(writing, read, strict=True))
    shapes.clear()
    ask(generator=gen(4))
    assert {rows for rows, _ in shapes} == {16}, "unless one says that rows are alike, all are"


def test_one_row_of_a_cache_serves_several_that_follow():
    model, begin = make(), torch.tensor([[1, 2, 3]])
    ends = torch.randint(V, (4, 3), generator=gen(3))
    cache = KVCache(2)
    model(begin, cache)
    whole = model(torch.cat([begin.expand(4, -1), ends], 1))
    torch.testing.assert_close(model(ends, cache), whole[:, 3:], atol=1e-12, rtol=0)
