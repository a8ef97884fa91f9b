"""GPT-2 in NumPy beside `transformers`, the article's code, eight bits; and a GPT on Values.

    python benchmarks/numpy_gpt.py                 # minutes, on a quiet machine; 3 GB of memory

GPT-2's 124 million parameters, random, the same for all: NEW tokens behind a prompt, one text. The
ways take turns, and the least time of each counts: processor time on one thread, the clock's on two
(spinning threads spend processor time for nothing, so on a busy machine only the first tell much).
What the matrix products alone take is measured with the same products and nothing between them.

The article's code is stated here in our words. It takes a second a token, so single steps are timed
at a few lengths. With NumPy 2 it computes in float64, as published; a line shows it in float32.

The small trained models are of names. Exits with 1 if a target is missed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from unittest import mock

from _shared import report

HELD_BACK = "OPENBLAS_CORETYPE"  # chooses kernels for an older processor
PROMPT, NEW = 16, 64  # tokens
PEER, PRODUCTS, ARTICLE = 1.4, 0.8, 15  # at least: times as fast as …, or this share of …
MEMORY, SPEED, LOSS = 0.3, 0.75, 0.01  # eight bits: at most, at least, at most
SCALAR = 1 / 5  # at most


def in_a_process_of_its_own(threads: int, rounds: int) -> int:
    """Run this file once more, with so many threads from the first import on."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads)) | {"HF_HUB_OFFLINE": "1"}
    if environment.pop(HELD_BACK, None):
        print(f"{HELD_BACK} is set, which holds OpenBLAS back; it is unset for this run.")
    command = [sys.executable, __file__, "--threads", str(threads), "--rounds", str(rounds)]
    return subprocess.run(command, env=environment).returncode


def least(ways: dict[str, Callable], rounds: int, clock: Callable) -> tuple[dict, dict]:
    """Return the least seconds of each way, which take turns, and what each returned."""
    seconds, results = dict.fromkeys(ways, float("inf")), {}
    for _ in range(rounds):
        for name, way in ways.items():
            start = clock()
            results[name] = way()
            seconds[name] = min(seconds[name], clock() - start)
    return seconds, results


def article(np, double: bool) -> Callable:
    """Return the article's `gpt2` in our words: heads one by one, all logits, and no cache."""
    # np.sqrt of a Python number is a float64, and with NumPy 2 makes float64 of what it touches.
    root = np.sqrt if double else lambda x: float(np.sqrt(x))

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(root(2 / np.pi) * (x + 0.044715 * x**3)))

    def softmax(x):
        e = np.exp(x - np.max(x, axis=-1, keepdims=True))
        return e / np.sum(e, axis=-1, keepdims=True)

    def layer_norm(x, g, b):
        mean, variance = np.mean(x, axis=-1, keepdims=True), np.var(x, axis=-1, keepdims=True)
        return g * (x - mean) / np.sqrt(variance + 1e-5) + b

    def linear(x, w, b):
        return x @ w + b

    def attention(q, k, v, mask):
        return softmax(q @ k.T / root(q.shape[-1]) + mask) @ v

    def mha(x, c_attn, c_proj, n_head):
        q, k, v = (np.split(part, n_head, -1) for part in np.split(linear(x, **c_attn), 3, -1))
        mask = (1 - np.tri(len(x), dtype=x.dtype)) * -1e10
        heads = [attention(*head, mask) for head in zip(q, k, v, strict=True)]
        return linear(np.hstack(heads), **c_proj)

    def gpt2(inputs, wte, wpe, blocks, ln_f, n_head):
        x = wte[inputs] + wpe[range(len(inputs))]
        for block in blocks:
            x = x + mha(layer_norm(x, **block["ln_1"]), **block["attn"], n_head=n_head)
            h = gelu(linear(layer_norm(x, **block["ln_2"]), **block["mlp"]["c_fc"]))
            x = x + linear(h, **block["mlp"]["c_proj"])
        return layer_norm(x, **ln_f) @ wte.T

    return gpt2


def products(np, params: dict) -> Callable:
    """Return what multiplies all that is multiplied while NEW tokens are written, and no more."""
    rng, layers = np.random.default_rng(0), []
    for block in params["blocks"]:
        parts = [block["attn"]["c_attn"], block["attn"]["c_proj"]]
        layers += [part["w"] for part in (*parts, block["mlp"]["c_fc"], block["mlp"]["c_proj"])]
    inputs = {
        (rows, n): rng.standard_normal((rows, n), dtype=np.float32)
        for rows in (PROMPT, 1)
        for n in {len(w) for w in layers}
    }
    head = params["wte"].T

    def multiply():
        for rows in (PROMPT, *[1] * (NEW - 1)):
            for w in layers:
                inputs[rows, len(w)] @ w
            inputs[1, len(head)] @ head

    return multiply


def speed(threads: int, rounds: int) -> dict[str, bool]:
    """Print what GPT-2's size takes, and return which targets are met."""
    import numpy as np
    import torch
    import transformers

    from zerotohero import numpy_gpt
    from zerotohero.numpy_files import load_gpt2
    from zerotohero.numpy_training import leaves

    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(0)
    config = transformers.GPT2Config(bos_token_id=None, eos_token_id=None)
    peer = transformers.GPT2LMHeadModel(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        peer.save_pretrained(folder)
        params, n_head = load_gpt2(folder)
    small = numpy_gpt.quantise(params)
    prompt = np.random.default_rng(0).integers(config.vocab_size, size=PROMPT).tolist()
    ids = torch.tensor([prompt])
    settings = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}
    settings["attention_mask"] = torch.ones_like(ids)

    def write(weights: dict, n: int = NEW, **how) -> list[int]:
        return [int(new) for (new,) in numpy_gpt.generate([prompt], weights, n_head, n, **how)]

    clock = time.process_time if threads == 1 else time.perf_counter
    ways = {
        "ours, with its cache": lambda: write(params),
        "transformers, with its cache": lambda: peer.generate(ids, **settings)[0, PROMPT:].tolist(),
        "the matrix products alone": products(np, params),
        "ours, with eight-bit weights": lambda: write(small),
    }
    write(params, 2), peer.generate(ids, **settings | {"max_new_tokens": 2})  # the first are slow
    seconds, texts = least(ways, rounds, clock)
    ours = texts["ours, with its cache"]

    lengths = [PROMPT + round((i + 0.5) * NEW / 4) for i in range(4)]
    steps = {}
    for name, gpt2 in {
        "the article's, as published": article(np, double=True),
        "the article's, in float32": article(np, double=False),
        "ours, without its cache": numpy_gpt.gpt2,
    }.items():
        timed, logits = least(
            {
                n: lambda n=n, f=gpt2: f((prompt + ours)[:n], **params, n_head=n_head)
                for n in lengths
            },
            1 if threads > 1 else 2,
            clock,
        )
        steps[name] = sum(timed.values()) / len(lengths)
        seconds[name] = steps[name] * NEW
        same = [int(logits[n][-1].argmax()) == ours[n - PROMPT] for n in lengths]
        texts[name] = ours if all(same) else None

    base = seconds["ours, with its cache"]
    kind = "processor time" if threads == 1 else "time"
    print(
        f"\n{NEW} tokens behind {PROMPT}, 124 million random weights, {threads} thread(s), {kind}"
    )
    line = "{:34} {:>10} {:>24}".format
    print(line("way", "tokens/s", "ours with its cache is ×"))
    for name, value in seconds.items():
        print(line(name, f"{NEW / value:.1f}", f"{value / base:.2f}"))
    sizes = [sum(w.nbytes for w in leaves(p).values()) for p in (params, small)]
    print(f"weights {sizes[0] / 1e6:.0f} MB, in eight bits {sizes[1] / 1e6:.0f} MB")
    compared = (
        "transformers, with its cache",
        "the article's, as published",
        "ours, without its cache",
    )
    return {
        f"at least {PEER} times transformers": seconds["transformers, with its cache"] / base
        >= PEER,
        f"at least {PRODUCTS:.0%} of the products alone": (
            seconds["the matrix products alone"] / base >= PRODUCTS
        ),
        f"at least {ARTICLE} times the article's": (
            seconds["the article's, as published"] / base >= ARTICLE
        ),
        f"eight bits: at most {MEMORY} of the memory": sizes[1] / sizes[0] <= MEMORY,
        f"eight bits: at least {SPEED} of the speed": (
            base / seconds["ours, with eight-bit weights"] >= SPEED
        ),
        "all ways in full precision write the same tokens": all(texts[n] == ours for n in compared),
    }


def names(rows: int):
    """Return rows of names as tokens, the targets, and the same number of held-out ones."""
    import numpy as np

    from zerotohero.course import data
    from zerotohero.numpy_gpt import IGNORED

    words = sorted(data.words())
    words = [words[i] for i in np.random.default_rng(0).permutation(len(words))[: 2 * rows]]
    T = max(map(len, words)) + 1
    x = np.array([[0, *(ord(c) - 96 for c in word), *[0] * (T - 1 - len(word))] for word in words])
    y = np.concatenate([x[:, 1:], np.zeros((len(x), 1), int)], 1)
    lengths = np.array([[len(word)] for word in words])
    y = np.where(np.arange(T) <= lengths, y, IGNORED)
    return (x[:rows], y[:rows]), (x[rows:], y[rows:])


def eight_bits() -> dict[str, bool]:
    """Print what eight bits do to the loss of a trained model on names it hasn't seen."""
    import numpy as np

    from zerotohero.numpy_gpt import lm_loss, quantise
    from zerotohero.numpy_training import AdamW, lm_value_and_grad, random_params

    rng = np.random.default_rng(0)
    (x, y), held_out = names(4000)
    params = random_params(27, x.shape[1], 2, 64, rng)
    optimizer = AdamW(params, lr=5e-3)
    for step in range(300):
        rows = rng.integers(len(x), size=64)
        optimizer.step(lm_value_and_grad(params, x[rows], y[rows], 4)[1], 1 - step / 300)
    losses = [float(lm_loss(p, *held_out, 4)) for p in (params, quantise(params))]
    print(f"\nloss of a small model on names that it hasn't seen: {losses[0]:.4f} nats a letter,")
    print(f"with eight-bit weights {losses[1]:.4f}")
    learned = losses[0] < 2.4  # letters by their frequency alone: 2.8
    return {
        f"eight bits: the loss within {LOSS:.0%}": learned
        and abs(losses[1] / losses[0] - 1) <= LOSS
    }


def scalar(rounds: int) -> dict[str, bool]:
    """Print what a step of the GPT on Values takes, and with a node for each operation."""
    from itertools import count, repeat

    import numpy as np

    from zerotohero import scalar_gpt
    from zerotohero.micrograd import Value, topological_order
    from zerotohero.numpy_files import build
    from zerotohero.numpy_training import lm_value_and_grad, random_params

    def dots(x, columns, b=None):
        rows = []
        for column, total in zip(columns, b or repeat(Value(0.0)), strict=b is not None):
            for weight, v in zip(column, x, strict=True):
                total = total + weight * v
            rows.append(total)
        return rows

    def gelu(v):
        inner = 0.7978845608028654 * v * (1 + 0.044715 * v * v)
        return 0.5 * v * (1 + inner.tanh())

    def layer_norm(x, g, b, eps=1e-5):
        mean = sum(x) / len(x)
        x = [v - mean for v in x]
        scale = (sum(v * v for v in x) / len(x) + eps) ** -0.5
        return [v * scale * gain + bias for v, gain, bias in zip(x, g, b, strict=True)]

    (x, y), _ = names(1)
    n = int((y[0] >= 0).sum())
    tokens, targets = x[0, :n].tolist(), y[0, :n].tolist()
    params = random_params(27, 16, 1, 16, np.random.default_rng(0), np.float64)
    numbers = build(params, lambda name, array: array.tolist())

    def trained() -> Callable:
        values, found, moments, steps = scalar_gpt.each(Value, numbers), [], {}, count(1)
        scalar_gpt.each(found.append, values)

        def step() -> Value:
            loss = scalar_gpt.loss(tokens, targets, values, 4)
            loss.backward()
            scalar_gpt.adamw(found, moments, next(steps))
            return loss

        return step

    step = trained()

    def plain() -> Value:
        with mock.patch.multiple(scalar_gpt, dots=dots, gelu=gelu, layer_norm=layer_norm):
            return step()

    ways = {"a node for each operation": plain, "a node for each weighted sum": trained()}
    seconds, losses = least(ways, rounds, time.process_time)
    first, _ = lm_value_and_grad(params, [tokens], [targets], 4)
    print(f"\nthe GPT on Values: a step of AdamW on {n} letters, one layer, 16 channels, 4 heads")
    for name, loss in losses.items():
        nodes = len(topological_order(loss))
        print(f"{name:34} {seconds[name] * 1000:8.1f} ms {nodes:9,} nodes")
    a, b = (losses[name].data for name in ways)
    print(f"losses after {rounds} steps {a:.12f} and {b:.12f}; NumPy's first was {first:.4f}")
    plainly, ours = seconds.values()
    return {
        f"on Values: at most {SCALAR} of a node each's time": ours / plainly <= SCALAR,
        "on Values: both learn the same": abs(a - b) < 1e-9 and a < first,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each way is run")
    parser.add_argument("--threads", type=int, help="1 or 2; without it both, one after the other")
    arguments = parser.parse_args()
    if arguments.threads is None:
        return max([in_a_process_of_its_own(threads, arguments.rounds) for threads in (1, 2)])
    targets = speed(arguments.threads, arguments.rounds)
    if arguments.threads == 1:
        targets |= eight_bits() | scalar(arguments.rounds)
    return report(targets)


if __name__ == "__main__":
    sys.exit(main())
