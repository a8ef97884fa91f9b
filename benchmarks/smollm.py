"""SmolLM2 in the course's GPT beside `transformers`, with its cache and the same weights.

    python benchmarks/smollm.py                  # some minutes, and 2 GB

Reads a prompt of 512 tokens, and writes 64 tokens behind one of 32. The ways are run in turn,
several rounds after one that isn't timed; the figures are the least processor seconds of a thread.
How long loading takes and how much memory a conversation needs is asked of a process of its own.
Exits with 1 if a target is missed.

Tried on a CPU with AVX-512 and VNNI but no bfloat16, and not kept: bfloat16 (a token's products
take 50 ms in place of 43, a prompt's four times as long); eight-bit weights with inputs in bfloat16
(26 ms a token, but prompts 2.3 times as long); eight-bit weights and inputs (27 ms, prompts 2.3
times as fast, but the loss on Tiny Shakespeare rises from 3.71 to 4.11, or, with the MLPs' second
layers in float32, to 3.78, and the texts become others).
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from _shared import in_transformers, report
from torch import Tensor

from zerotohero import smollm
from zerotohero.gpt import GPT

PROMPT, SHORT, NEW = 512, 32, 64  # tokens
SECONDS, GIGABYTES = 5, 1.2  # the most that loading and a conversation may take
NOISE = 1.05  # two runs of the same differ by so much


def alone() -> None:
    """Load the model, read a prompt and answer; print what that took as JSON."""
    start = time.process_time()
    model, tokenizer = smollm.load()
    loading = time.process_time() - start
    prompt = tokenizer.chat([{"role": "user", "content": "a long question " * (PROMPT // 3)}])
    model.generate([prompt], NEW, temperature=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak /= 1e9 if sys.platform == "darwin" else 1e6
    print(json.dumps({"loading": loading, "memory": peak}))


def peer(model: GPT) -> Callable[[Tensor, int], list[int]] | None:
    """Return what writes with `transformers`, given our weights, if it is installed."""
    theirs = in_transformers(model, "LlamaForCausalLM")
    if theirs is None:
        return None

    def write(prompt: Tensor, n: int) -> list[int]:
        mask = torch.ones_like(prompt)
        settings = {"max_new_tokens": n, "do_sample": False, "pad_token_id": 0}
        return theirs.generate(prompt, attention_mask=mask, **settings)[0].tolist()

    return write


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=6, help="how often each way is run")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.alone:
        alone()
        return 0
    command = [sys.executable, __file__, "--alone", "--threads", str(arguments.threads)]
    took = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    model, _ = smollm.load()
    ways = {"the course's GPT": lambda prompt, n: model.generate(prompt, n, temperature=0)[0]}
    if transformers := peer(model):
        ways["transformers, with its cache"] = transformers
    drawn = torch.randint(17, 49_152, (1, PROMPT), generator=torch.Generator().manual_seed(0))
    works = {f"a prompt of {PROMPT}": (drawn, 1), f"{NEW} tokens": (drawn[:, :SHORT], NEW)}
    seconds, texts = {}, {}
    for work, (prompt, n) in works.items():
        for name, way in ways.items():  # untimed: the first finds less memory at hand
            texts[work, name] = way(prompt, n)
        for round_ in range(arguments.rounds):
            for name, way in list(ways.items())[:: -1 if round_ % 2 else 1]:
                start = time.process_time()
                way(prompt, n)
                seconds.setdefault((work, name), []).append(time.process_time() - start)

    least = {key: min(its) for key, its in seconds.items()}
    print(f"SmolLM2, {model.num_params():,} parameters, {arguments.threads} threads")
    print(f"{'':44} {'seconds':>8} {'tokens/s':>12}")
    for (work, name), took_it in least.items():
        tokens = PROMPT if work.startswith("a prompt") else NEW
        print(f"{work + ', ' + name:44} {took_it:8.2f} {tokens / took_it:12.1f}")
    print(f"loading {took['loading']:.2f} s, memory {took['memory']:.2f} GB")
    if not transformers:
        print("transformers is not installed, so there is no peer to stand beside.")

    targets = {
        f"loading takes at most {SECONDS} s": took["loading"] <= SECONDS,
        f"a conversation needs at most {GIGABYTES} GB": took["memory"] <= GIGABYTES,
    }
    if transformers:
        ours, theirs = ways
        for work in works:
            targets[f"{work}: at least as fast as transformers"] = (
                least[work, ours] <= NOISE * least[work, theirs]
            )
            targets[f"{work}: the same text"] = texts[work, ours] == texts[work, theirs]
    return report(targets)


if __name__ == "__main__":
    sys.exit(main())
