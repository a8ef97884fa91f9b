"""Lecture 11's network in NumPy: equal to lecture 07's and transformers', with a cache or without.

All models are small and random, but for one, which needs the network.
"""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from transformers import GPT2Config, GPT2LMHeadModel

from small import randomise
from zerotohero import numpy_gpt, tokenizer_files, vocabularies
from zerotohero.course.export import write_characters
from zerotohero.generation import next_token_probs
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.numpy_files import build, load_gpt2
from zerotohero.numpy_gpt import EightBit, generate, gpt2, quantise, sampler
from zerotohero.tokenizer import Tokenizer

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

# vocab_size, block_size, n_layer, n_head, n_embd: none of them equal to another
SIZES = [(17, 8, 1, 1, 4), (23, 16, 3, 2, 12), (65, 32, 4, 5, 40)]
PROMPTS = [[3, 1, 4, 1, 5], [9], [2, 6, 5], [22, 0, 22]]
CHARS = "\n abcdefghijklmnopqrstu"  # 23 of them


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder as `zerotohero export` writes it: a model of 23 characters and their table."""
    path = tmp_path_factory.mktemp("gpt")
    randomise(GPT(GPTConfig(*SIZES[1]))).save_pretrained(path)
    write_characters(path, CHARS)
    return path


@pytest.fixture(scope="module")
def model(folder) -> tuple[dict, int]:
    return load_gpt2(folder)


def written(prompts, model, n_tokens=8, **how) -> np.ndarray:
    """The new tokens, a row a prompt."""
    params, n_head = model
    return np.stack(list(generate(prompts, params, n_head, n_tokens, **how)), 1)


def double(params: dict) -> dict:
    return build(params, lambda name, array: array.astype(np.float64))


# --- the network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", SIZES)
def test_the_logits_are_lecture_07s_and_transformers(sizes, tmp_path):
    names = "vocab_size", "n_positions", "n_layer", "n_head", "n_embd"
    config = dict(zip(names, sizes, strict=True)) | {"bos_token_id": None, "eos_token_id": None}
    theirs = randomise(GPT2LMHeadModel(GPT2Config(**config)))
    ours = randomise(GPT(GPTConfig(*sizes)))
    for name, peer in (("theirs", theirs), ("ours", ours)):
        peer.save_pretrained(tmp_path / name)
        params, n_head = load_gpt2(tmp_path / name)
        tokens = np.random.default_rng(0).integers(sizes[0], size=(3, sizes[1]))
        with torch.no_grad():
            expected = peer(torch.from_numpy(tokens))
            exact = peer.double()(torch.from_numpy(tokens))
        expected, exact = (getattr(y, "logits", y).numpy() for y in (expected, exact))
        assert expected.std() > 0.1, "logits that hardly differ would hide mistakes"
        logits = gpt2(tokens, **params, n_head=n_head)
        assert logits.dtype == np.float32, "the article's code became float64 with NumPy 2"
        np.testing.assert_allclose(logits, expected, atol=1e-5)
        # In float64, to show that what remains is float32's rounding.
        np.testing.assert_allclose(
            gpt2(tokens, **double(params), n_head=n_head), exact, rtol=0, atol=1e-10
        )


def test_one_text_needs_no_batch_and_a_list_will_do(model):
    params, n_head = model
    batch = gpt2(np.array(PROMPTS[:1] * 2), **params, n_head=n_head)
    np.testing.assert_allclose(gpt2(PROMPTS[0], **params, n_head=n_head), batch[1], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_function_keeps_the_kind_of_number_that_it_is_given(dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (5, 6)).astype(dtype)
    row, square, mask = (
        x[0],
        rng.normal(0, 1, (6, 6)).astype(dtype),
        numpy_gpt.causal_mask(5, 5, 0, dtype),
    )
    for y in (
        numpy_gpt.gelu(x),
        numpy_gpt.softmax(x),
        numpy_gpt.layer_norm(x, row, row),
        numpy_gpt.linear(x, square, row),
        numpy_gpt.attention(x[None], x[None], x[None], mask),
    ):
        assert y.dtype == dtype


def test_the_parts_are_torch_s():
    rng = np.random.default_rng(1)
    x, g, b = rng.normal(0, 3, (4, 7, 6)), rng.normal(0, 1, 6), rng.normal(0, 1, 6)
    t = torch.from_numpy
    np.testing.assert_allclose(numpy_gpt.gelu(x), F.gelu(t(x), approximate="tanh"), atol=1e-14)
    np.testing.assert_allclose(numpy_gpt.softmax(1000 * x), t(1000 * x).softmax(-1), atol=1e-14)
    np.testing.assert_allclose(
        numpy_gpt.layer_norm(x, g, b), F.layer_norm(t(x), (6,), t(g), t(b)), atol=1e-12
    )
    q, k, v = rng.normal(0, 1, (3, 2, 4, 5, 6))
    np.testing.assert_allclose(
        numpy_gpt.attention(q, k, v, numpy_gpt.causal_mask(5, 5)),
        F.scaled_dot_product_attention(t(q), t(k), t(v), is_causal=True),
        atol=1e-12,
    )


def test_the_future_is_not_read(model):
    params, n_head = model
    a, b = np.array([[3, 1, 4, 1, 5], [3, 1, 4, 2, 0]])
    a, b = (gpt2(x, **params, n_head=n_head) for x in (a, b))
    np.testing.assert_array_equal(a[:3], b[:3])
    assert not np.allclose(a[3:], b[3:])


def test_a_text_beyond_the_context_is_refused_and_not_cut(model):
    params, n_head = model
    gpt2([1] * 16, **params, n_head=n_head)
    with pytest.raises(ValueError, match="17 tokens are too many: the model's context is 16"):
        gpt2([1] * 17, **params, n_head=n_head)
    cache = numpy_gpt.new_cache(params, n_head, 1, 20)
    gpt2([[1] * 16], **params, n_head=n_head, cache=cache)
    with pytest.raises(ValueError, match="17 tokens are too many"):
        gpt2([[1]], **params, n_head=n_head, cache=cache)


def test_the_network_and_writing_are_sixty_lines_of_a_module_of_350():
    lines = inspect.getsource(numpy_gpt).splitlines()
    assert len(lines) <= 350
    start, end = (
        next(i for i, line in enumerate(lines) if mark in line)
        for mark in ("sixty lines ---", "left for later ---")
    )
    code = [line for line in lines[start:end] if line.strip() and not line.strip().startswith("#")]
    assert code[0].startswith("def gelu") and len(code) <= 60
    assert any(line.startswith("def generate") for line in code)
    for i, line in enumerate(lines[start:end], start):
        if line.startswith("def "):
            assert "->" in lines[i - 1], f"{line} has no shapes above it"


# --- where only NumPy is --------------------------------------------------------------------------

ONLY_NUMPY = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names | {"numpy", "zerotohero"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
"""


def run(code: str, *arguments) -> subprocess.CompletedProcess:
    """Run code in a process that can import the standard library, NumPy and the course."""
    root = Path(__file__).parent.parent
    return subprocess.run(
        [sys.executable, "-c", ONLY_NUMPY + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root), "PYTHONIOENCODING": "utf-8"},
    )


def test_where_only_numpy_is_it_reads_writes_and_trains(folder, model):
    code = """
import numpy as np
from zerotohero import numpy_gpt, numpy_training, scalar_gpt
from zerotohero.numpy_files import load_gpt2

params, n_head = load_gpt2(sys.argv[1])
pick = numpy_gpt.sampler(np.random.default_rng(0), top_p=0.9)
list(numpy_gpt.generate([[1, 2], [3]], numpy_gpt.quantise(params), n_head, 3, pick))
print(*(int(new) for (new,) in numpy_gpt.generate([[3, 1, 4]], params, n_head, 5)))
optimizer = numpy_training.AdamW(params)
loss, grads = numpy_training.lm_value_and_grad(params, [[1, 2]], [[2, 3]], n_head)
optimizer.step(grads)
assert "torch" not in sys.modules
try:
    import torch
except ImportError as error:
    print(error)
"""
    done = run(code, folder)
    assert done.returncode == 0, done.stderr
    expected = " ".join(map(str, written([[3, 1, 4]], model, 5)[0]))
    assert done.stdout == f"{expected}\nNo module named 'torch'\n"


def test_where_only_numpy_is_the_command_writes_characters_and_says_what_pieces_need(
    folder, tmp_path
):
    code = "from zerotohero.numpy_gpt import main; main(sys.argv[1:])"
    done = run(code, folder, "abc", "--n-tokens", 3)
    assert done.returncode == 0 and len(done.stdout) == 3 + 1, done.stderr
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    done = run(code, tmp_path, "abc")
    assert done.returncode == 1 and "pip install regex" in done.stderr
    assert "Traceback" not in done.stderr


# --- writing --------------------------------------------------------------------------------------


def varied(logits):
    """A `pick` that never settles on one token, as the likeliest of a random model do."""
    return np.round(3 * logits[:, :7].sum(-1)).astype(int) % 23


@pytest.mark.parametrize("cached", [True, False])
def test_many_prompts_at_once_are_continued_as_each_alone(cached, model):
    together = written(PROMPTS, model, pick=varied, cached=cached)
    for row, prompt in zip(together, PROMPTS, strict=True):
        alone = written([prompt], model, pick=varied, cached=False)[0]
        np.testing.assert_array_equal(row, alone)
    assert len({tuple(row) for row in together}) == len(PROMPTS), "equal rows would show nothing"


def test_the_tokens_are_lecture_07s(folder, model):
    texts = GPT.from_pretrained(folder).generate(PROMPTS, 8, temperature=0)
    for row, prompt, text in zip(written(PROMPTS, model), PROMPTS, texts, strict=True):
        assert [*prompt, *row] == text


def test_the_cache_holds_what_a_pass_over_everything_computes(model):
    """Whatever pieces the text comes in: to 1e-5, and of a padded row what follows the padding."""
    params, n_head = model
    inputs, padding = numpy_gpt.pad(PROMPTS)
    inputs = np.concatenate([inputs, [[7, 8, 9, 10]] * 4], 1)
    whole = gpt2(inputs, **params, n_head=n_head, padding=padding)
    cache = numpy_gpt.new_cache(params, n_head, 4, 9)
    parts = [
        gpt2(part, **params, n_head=n_head, cache=cache, padding=padding)
        for part in np.split(inputs, [2, 5, 6], axis=1)
    ]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-5)
    assert np.isfinite(whole).all(), "a place in the padding must not spoil anything by NaN"
    for row, first, prompt in zip(whole, padding, PROMPTS, strict=True):
        alone = gpt2([*prompt, 7, 8, 9, 10], **params, n_head=n_head)
        np.testing.assert_allclose(row[first:], alone, atol=1e-5)


def test_a_cached_step_reads_one_token_and_so_does_each_of_the_first_prompt_only_once(
    model, monkeypatch
):
    read = []
    hidden = numpy_gpt.hidden
    monkeypatch.setattr(
        numpy_gpt, "hidden", lambda x, *a, **k: read.append(x.shape) or hidden(x, *a, **k)
    )
    written(PROMPTS, model, 4)
    assert read == [(4, 5), (4, 1), (4, 1), (4, 1)]
    read.clear()
    written(PROMPTS, model, 3, cached=False)
    assert read == [(4, 5), (4, 6), (4, 7)]


def test_tokens_come_one_by_one(model, monkeypatch):
    params, n_head = model
    steps = generate(PROMPTS, params, n_head, 5)
    next(steps)
    monkeypatch.setattr(numpy_gpt, "hidden", None)  # the next step's pass isn't done yet
    with pytest.raises(TypeError):
        next(steps)


def picks(*rows):
    """A `pick` that takes its tokens from a list, step by step."""
    steps = iter(rows)
    return lambda logits: np.array(next(steps))


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("stop", [0, 9])
def test_each_row_stops_for_itself_and_all_end_with_the_last(stop, cached, model):
    pick = picks([1, stop], [2, 3], [stop, 4], [5, 6])
    rows = written([[1], [2, 3]], model, 4, pick=pick, stop=stop, cached=cached)
    np.testing.assert_array_equal(rows, [[1, 2, stop], [stop, stop, stop]])


def test_a_stop_in_the_prompt_means_nothing(model):
    rows = written([[9, 4, 9]], model, 3, pick=picks([1], [2], [3]), stop=9)
    np.testing.assert_array_equal(rows, [[1, 2, 3]])


def test_without_a_stop_zero_is_a_token_as_any_other(model):
    rows = written([[1]], model, 3, pick=picks([0], [5], [0]))
    np.testing.assert_array_equal(rows, [[0, 5, 0]])


@pytest.mark.parametrize(
    ("prompts", "n_tokens", "says"),
    [
        ([], 1, "nothing to go on from"),
        ([[1], []], 1, "nothing to go on from"),
        ([[1] * 13], 4, "13 tokens and 4 new ones are too many for a context of 16"),
        ([[1]], -1, "n_tokens is -1; it must be 0 or more"),
        ([[1], [2, 23]], 1, "23 is no token: the vocabulary goes from 0 to 22"),
        ([[-1]], 1, "-1 is no token"),
    ],
)
def test_what_cant_be_continued_is_said(prompts, n_tokens, says, model):
    with pytest.raises(ValueError, match=says):
        written(prompts, model, n_tokens)


def test_the_context_can_be_filled_to_its_end(model):
    assert written([[1] * 12, [2]], model, 4).shape == (2, 4)
    assert list(generate([[1] * 16], *model, 0)) == []


# --- drawing --------------------------------------------------------------------------------------


class Evenly:
    """In place of a generator: numbers that lie evenly between 0 and 1."""

    def random(self, shape):
        n = shape[0]
        return (np.arange(n)[:, None] + 0.5) / n


SETTINGS = [
    {},
    {"temperature": 0.5},
    {"temperature": 3},
    {"top_k": 1},
    {"top_k": 3},
    {"top_k": 99},
    {"top_p": 0.3},
    {"top_p": 0.75},
    {"top_p": 1.0},
    {"temperature": 0.7, "top_k": 4, "top_p": 0.8},
]


@pytest.mark.parametrize("how", SETTINGS, ids=str)
def test_tokens_are_drawn_as_often_as_lecture_07s_probabilities_say(how):
    logits = np.random.default_rng(3).normal(0, 2, 9).astype(np.float32)
    n = 10_000
    drawn = sampler(Evenly(), **how)(np.tile(logits, (n, 1)))
    expected = next_token_probs(torch.from_numpy(logits), **how).numpy()
    np.testing.assert_allclose(np.bincount(drawn, minlength=9) / n, expected, atol=1.5 / n)


def test_the_token_that_crosses_p_is_kept_and_one_that_starts_at_p_is_not():
    logits = np.log([[0.5, 0.25, 0.125, 0.125]] * 1000)
    assert set(sampler(Evenly(), top_p=0.5)(logits)) == {0}
    assert set(sampler(Evenly(), top_p=0.51)(logits)) == {0, 1}


@pytest.mark.parametrize("drawn", [0.0, 1 - 2**-53])
def test_what_is_left_out_is_not_drawn_at_either_end(drawn):
    class Ends:
        def random(self, shape):
            return np.full(shape, drawn)

    logits = np.array([[-np.inf, 3.0, 5.0, 1.0, -np.inf], [0.0, -np.inf, 0.0, 0.0, 0.0]])
    for how in ({}, {"top_p": 0.999}, {"top_k": 4}):
        a, b = sampler(Ends(), **how)(logits)
        assert a in (1, 2, 3) and b != 1


def test_a_tiny_temperature_is_greedy_and_0_is_too():
    logits = np.random.default_rng(0).normal(0, 50, (6, 9)).astype(np.float32)
    rng = np.random.default_rng(0)
    for temperature in (0, 1e-300, 1e-3):
        np.testing.assert_array_equal(sampler(rng, temperature)(logits), logits.argmax(1))


def test_the_same_seed_draws_the_same_text(model):
    a, b, c = (written(PROMPTS, model, pick=sampler(np.random.default_rng(s))) for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"temperature": -1}, "temperature is -1; it must be 0 or a positive number"),
        ({"temperature": np.inf}, "temperature is inf"),
        ({"temperature": np.nan}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0; it must be at least 1"),
        ({"top_p": 0}, "top_p is 0; it must be above 0 and at most 1"),
        ({"top_p": 1.1}, "top_p is 1.1"),
    ],
)
def test_settings_that_cant_be_are_said(how, says):
    with pytest.raises(ValueError, match=says):
        sampler(np.random.default_rng(0), **how)


def test_a_model_that_has_diverged_is_said():
    with pytest.raises(ValueError, match="its training has diverged"):
        sampler(np.random.default_rng(0))(np.array([[1.0, np.nan]]))


# --- the loss -------------------------------------------------------------------------------------


def test_the_loss_is_torch_s_and_passes_over_what_is_ignored(model):
    params, n_head = model
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(23, size=(2, 3, 7))
    targets[0, 3:] = targets[2] = numpy_gpt.IGNORED
    logits = torch.from_numpy(gpt2(inputs, **params, n_head=n_head))
    expected = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten())
    loss = numpy_gpt.lm_loss(params, inputs, targets, n_head)
    assert loss == pytest.approx(expected.item(), abs=1e-5)


# --- eight bits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 64, 150])  # rows: less than a block, one, some and a rest
def test_a_product_with_eight_bits_is_off_by_no_more_than_half_a_step_a_number(n):
    rng = np.random.default_rng(0)
    w = (rng.normal(0, 1, (n, 40)) * rng.uniform(0.01, 10, (n, 1))).astype(np.float32)
    w[0] = 0
    q = EightBit(w)
    step = np.abs(w).max(1, keepdims=True) / 127
    for x in (rng.normal(0, 1, (2, 3, n)), rng.normal(0, 1, n)):
        x = x.astype(np.float32)
        bound = np.abs(x) @ (step / 2) + 1e-4
        assert (x @ q).dtype == np.float32 and (np.abs(x @ q - x @ w) <= bound).all()
        assert n == 1 or (x @ q != x @ w).any()
    x = rng.normal(0, 1, (5, 40)).astype(np.float32)
    bound = np.abs(x).sum(1, keepdims=True) * step[:, 0] / 2 + 1e-4
    assert (np.abs(x @ q.T - x @ w.T) <= bound).all()
    rows = np.array([[0, n - 1], [n // 2, 0]])
    assert (np.abs(q[rows] - w[rows]) <= step[rows] / 2 + 1e-6).all()
    assert q.shape == w.shape == q.T.T.shape and q.T.shape == (40, n) and len(q) == n


def test_a_model_of_eight_bits_writes_with_a_quarter_of_the_memory(tmp_path):
    randomise(GPT(GPTConfig(100, 16, 2, 4, 64)), deviation=0.1).save_pretrained(tmp_path)
    params, n_head = load_gpt2(tmp_path)
    small = quantise(params)
    sizes = [[], []]
    for tree, found in zip((params, small), sizes, strict=True):
        build(tree, lambda name, array, found=found: found.append(array.nbytes))
    assert sum(sizes[1]) < 0.3 * sum(sizes[0])
    assert isinstance(params["wte"], np.ndarray) and small["wpe"] is params["wpe"]
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(100, size=(2, 8, 16))
    losses = [numpy_gpt.lm_loss(p, inputs, targets, n_head) for p in (params, small)]
    assert losses[1] == pytest.approx(losses[0], rel=0.01) and losses[0] != losses[1]
    assert written(PROMPTS, (small, n_head)).shape == (4, 8)


# --- JAX ------------------------------------------------------------------------------------------


def test_another_library_is_put_in_place_and_numpy_stays_where_it_was():
    class Library:
        __name__ = "nothing"
        tanh = staticmethod(lambda x: "its own")

    other = numpy_gpt.with_numpy(Library())
    with pytest.raises(TypeError):
        other.gelu(1.0)  # 1 + "its own"
    assert numpy_gpt.np is np and numpy_gpt.gelu(0.0) == 0


# --- the command ----------------------------------------------------------------------------------


def command(*arguments) -> None:
    numpy_gpt.main([str(argument) for argument in arguments])


def test_the_command_writes_what_the_model_writes(folder, model, capsys):
    prompt = [CHARS.index(c) for c in "hello"]
    command(folder, "hello", "--n-tokens", 6)
    expected = "".join(CHARS[token] for token in written([prompt], model, 6)[0])
    assert capsys.readouterr().out == f"{expected}\n"


def test_the_command_writes_each_token_as_it_comes(folder, capsys, monkeypatch):
    seen = []

    def slowly(*_):
        for letter in "abc":
            yield np.array([CHARS.index(letter)])
            seen.append(capsys.readouterr().out)

    monkeypatch.setattr(numpy_gpt, "generate", slowly)
    command(folder, "hello")
    assert seen == ["a", "b", "c"]


def test_the_command_draws_with_a_seed(folder, capsys):
    texts = []
    for seed in (1, 1, 2):
        command(folder, "a", "--temperature", 1, "--seed", seed, "--n-tokens", 12)
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


@pytest.fixture
def pieces(tmp_path) -> Path:
    """A model with a vocabulary of pieces and an end of text, both of the course's own."""
    tokenizer = Tokenizer.learn(["the hen, then the heron"], 262, special=["<|endoftext|>"])
    randomise(GPT(GPTConfig(len(tokenizer), 12, 1, 2, 8))).save_pretrained(tmp_path)
    tokenizer_files.save(tokenizer, tmp_path)
    return tmp_path


def test_the_command_begins_from_nothing_with_the_end_of_a_text_and_ends_with_it(
    pieces, capsys, monkeypatch
):
    asked = []

    def noted(prompts, params, n_head, n_tokens, pick, stop):
        asked.append((prompts, stop))
        yield from ([token] for token in [*"né".encode(), stop])

    monkeypatch.setattr(numpy_gpt, "generate", noted)
    end = tokenizer_files.load(pieces).special["<|endoftext|>"]
    command(pieces, "")
    command(pieces, "<|endoftext|>")
    assert asked[0] == ([[end]], end)
    assert asked[1][1] == end and end not in asked[1][0][0], "typed, it is letters as any other"
    assert capsys.readouterr().out == "né\n" * 2


def fails(capsys, *arguments) -> str:
    """What the command says where it can't go on: one line, on the error stream."""
    with pytest.raises(SystemExit) as caught:
        command(*arguments)
    assert capsys.readouterr().out == ""
    assert isinstance(caught.value.code, str) and "\n" not in caught.value.code
    return caught.value.code


def test_the_command_s_errors_are_a_sentence_each(folder, pieces, tmp_path, capsys):
    (empty := tmp_path / "empty").mkdir()
    assert "holds no config.json" in fails(capsys, empty, "a")
    assert (
        fails(capsys, "gpt2-huge", "a")
        == "gpt2-huge is neither a folder nor a size of GPT-2; those are gpt2, gpt2-medium, "
        "gpt2-large, gpt2-xl."
    )
    assert "There is no folder" in fails(capsys, tmp_path / "no" / "such" / "folder", "a")
    says = "10 tokens and 7 new ones are too many for a context of 16: shorten the prompt"
    assert says in fails(capsys, folder, "abcdefghij", "--n-tokens", 7)
    assert "The model knows no 'z'" in fails(capsys, folder, "jazz", "--n-tokens", 1)
    assert "nothing to go on from" in fails(capsys, folder, "", "--n-tokens", 1)
    assert "n_tokens is -1" in fails(capsys, folder, "a", "--n-tokens", -1)
    assert "temperature is -1.0" in fails(capsys, folder, "a", "--temperature", -1)
    assert "top_p is 2.0" in fails(capsys, folder, "a", "--temperature", 1, "--top-p", 2)
    path = pieces / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert "is not a whole safetensors file (it is cut off)" in fails(capsys, pieces, "a")
    (pieces / "config.json").write_text("[]")
    assert "describes a model of the type None, not a 'gpt2'" in fails(capsys, pieces, "a")


def test_the_command_reads_no_pieces_of_another_vocabulary(folder, tmp_path, capsys):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert "There is no file" in fails(capsys, tmp_path, "a")
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "Unigram"}}))
    assert "is no tokenizer of byte pairs" in fails(capsys, tmp_path, "a")


@pytest.mark.skipif(
    vocabularies.installed(vocabularies.SOURCES["gpt2"]) is None, reason="no vocabulary of GPT-2"
)
@pytest.mark.parametrize("with_hubs_own", [False, True])
def test_50257_tokens_are_gpt_2s(with_hubs_own, tmp_path, capsys):
    randomise(GPT(GPTConfig(50_257, 8, 1, 1, 2))).save_pretrained(tmp_path)
    if with_hubs_own:
        (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0", "model": {}}))
    params, n_head = load_gpt2(tmp_path)
    tokenizer = Tokenizer.named("gpt2")
    rows = written([tokenizer.encode("Hello, you")], (params, n_head), 4)
    command(tmp_path, "Hello, you", "--n-tokens", 4)
    assert capsys.readouterr().out == tokenizer.decode(rows[0].tolist()) + "\n"


def test_the_module_runs_as_a_command(folder, root):
    done = subprocess.run(
        [sys.executable, "-m", "zerotohero.numpy_gpt", folder, "abc", "--n-tokens", "2"],
        capture_output=True,
        text=True,
        cwd=root,
    )
    assert done.returncode == 0 and len(done.stdout) == 2 + 1 and done.stderr == ""


@pytest.mark.network
def test_openai_s_weights_go_on_as_they_are_known_to(monkeypatch, capsys):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    command("gpt2", "Alan Turing theorized that computers would one day become", "--n-tokens", 8)
    assert capsys.readouterr().out == " the most powerful machines on the planet.\n"
