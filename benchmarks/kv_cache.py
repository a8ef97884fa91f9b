"""How much faster a GPT writes when it keeps its keys and values.

    python benchmarks/kv_cache.py                  # about two minutes

256 tokens behind a prompt of 32, one text at a time, by a model of the size of shakespeare-char
(10.8 million parameters, not trained: the work is the same). With the cache a step reads one
token; without, all of them. Beside them `transformers` with its own cache and the same weights,
where it is installed. The ways are run in turn, several rounds; the figures are medians. Exits
with 1 if a target is missed.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from _shared import in_transformers, report
from torch import Tensor

from zerotohero.gpt import GPT, GPTConfig

PROMPT, NEW = 32, 256  # tokens
PROMISE = 5  # times as fast


def peer(model: GPT, prompt: Tensor) -> Callable[[], list[int]] | None:
    """Return the same text's writer of `transformers`, given our weights, if it is installed."""
    theirs = in_transformers(model, "GPT2LMHeadModel")
    if theirs is None:
        return None
    settings = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}
    mask = torch.ones_like(prompt)
    return lambda: theirs.generate(prompt, attention_mask=mask, **settings)[0].tolist()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is run")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    generator = torch.Generator().manual_seed(1)
    config = GPTConfig.preset("shakespeare-char", block_size=PROMPT + NEW)
    model = GPT(config, generator).eval()
    prompt = torch.randint(config.vocab_size, (1, PROMPT), generator=generator)
    ways = {
        "without a cache": lambda: model.generate(prompt, NEW, temperature=0, use_cache=False)[0],
        "with the cache": lambda: model.generate(prompt, NEW, temperature=0)[0],
    }
    transformers = peer(model, prompt)
    if transformers:
        ways["transformers, with its cache"] = transformers

    seconds, texts = {name: [] for name in ways}, {}
    model.generate(prompt, 8)  # the first products of a process are slower
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            texts[name] = way()
            seconds[name].append(time.perf_counter() - start)

    medians = {name: statistics.median(times) for name, times in seconds.items()}
    base = medians["without a cache"]
    print(f"{NEW} tokens behind {PROMPT}, {config}, {arguments.threads} threads")
    line = "{:32} {:>8} {:>12} {:>8}".format
    print(line("way", "seconds", "tokens/s", "time ÷"))
    for name, median in medians.items():
        print(line(name, f"{median:.2f}", f"{NEW / median:.1f}", f"{base / median:.2f}"))
    if not transformers:
        print("transformers is not installed, so there is no peer to stand beside.")

    targets = {
        f"with the cache at least {PROMISE} times as fast": (
            base / medians["with the cache"] >= PROMISE
        ),
        "every way writes the same tokens": len(set(map(tuple, texts.values()))) == 1,
    }
    return report(targets)


if __name__ == "__main__":
    sys.exit(main())
