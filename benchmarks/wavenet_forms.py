"""Lecture 06's network in its two forms on whole names: the tree, window by window, against
causal convolutions that go over a name once.

    python benchmarks/wavenet_forms.py             # about a minute on two cores

The same parameters, names, machine and one thread for all, and in every form the loss of every
position of the dev names. The forms are run in turn, several rounds; the figures are medians.
Exits with 1 if a target is missed.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from _shared import report
from torch import Tensor

from zerotohero import IGNORED
from zerotohero.bigram import Vocabulary
from zerotohero.course import data
from zerotohero.mlp import build_dataset, split_words, train
from zerotohero.wavenet import (
    QUICK,
    WaveNet,
    WaveNetConfig,
    as_convolutions,
    build_names,
    multiply_adds,
)

DEPTHS = (8, 32, 128)  # contexts of trees with 3, 5 and 7 layers
POSITIONS = 512  # of a text that is longer than any name


def total(logits: Tensor, targets: Tensor) -> float:
    loss = F.cross_entropy(
        logits.flatten(0, -2), targets.flatten(), reduction="sum", ignore_index=IGNORED
    )
    return loss.item()


def medians(forms: dict[str, Callable[[], float]], rounds: int) -> dict[str, tuple[float, float]]:
    """Run every form once a round; return for each its median seconds and what it returned."""
    seconds, values = {name: [] for name in forms}, {}
    for _ in range(rounds):
        for name, form in forms.items():
            start = time.perf_counter()
            values[name] = form()
            seconds[name].append(time.perf_counter() - start)
    return {name: (statistics.median(seconds[name]), values[name]) for name in forms}


@torch.no_grad()
def main() -> int:
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split("\n\n")[0].split()))
    parser.add_argument("--rounds", type=int, default=3, help="how often each form is run")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    words = data.words("names")
    vocabulary, names = Vocabulary(words), split_words(words).dev
    config = WaveNetConfig()
    tree = WaveNet(config, torch.Generator().manual_seed(1))
    # Any parameters would do for the times; statistics that were learned make losses that count.
    with torch.enable_grad():
        rows = build_dataset(split_words(words).train, config.block_size, vocabulary)
        train(tree, *rows, replace(QUICK, steps=200), torch.Generator().manual_seed(1))
    tree.eval()
    convolutions = as_convolutions(tree)

    X, Y = build_dataset(names, config.block_size, vocabulary)
    windows = list(zip(*(t.split([len(n) + 1 for n in names]) for t in (X, Y)), strict=True))
    whole = [build_names([name], vocabulary) for name in names]
    padded = build_names(names, vocabulary)

    def one_position() -> float:
        return sum(
            total(tree(x[i : i + 1]), y[i : i + 1]) for x, y in windows for i in range(len(x))
        )

    forms = {
        "tree, a pass a position": one_position,
        "tree, a pass a name": lambda: sum(total(tree(x), y) for x, y in windows),
        "convolutions, a pass a name": lambda: sum(total(convolutions(x), y) for x, y in whole),
        "tree, all names at once": lambda: total(tree(X), Y),
        "convolutions, all names at once": lambda: total(convolutions(padded[0]), padded[1]),
    }
    positions = len(X)
    results = medians(forms, arguments.rounds)
    base = results["tree, a pass a position"][0]
    print(f"{len(names):,} dev names, {positions:,} positions, {config}")
    line = "{:32} {:>8} {:>12} {:>8} {:>12}".format
    print(line("form", "seconds", "µs/position", "time ÷", "dev loss"))
    for name, (seconds, loss) in results.items():
        figures = f"{seconds:.3f}", f"{seconds / positions * 1e6:.1f}", f"{base / seconds:.2f}"
        print(line(name, *figures, f"{loss / positions:.8f}"))

    slots = padded[0].numel()
    per_window, per_name = (n / 1e9 for n in multiply_adds(config, positions))
    print(
        f"\nmultiply-adds, in 10⁹: windows {per_window:.2f}, convolutions {per_name:.2f}, which is"
    )
    print(
        f"{per_window / per_name:.2f} times fewer. All names in one batch: {slots:,} positions, of"
    )
    print(f"which {1 - positions / slots:.0%} are padding behind the shorter names, so", end=" ")
    print(f"{multiply_adds(config, slots).convolutions / 1e9:.2f}.")

    print(f"\nA text of {POSITIONS} positions, all its windows in one batch against one pass:")
    line = "{:>8} {:>7} {:>22} {:>12} {:>12} {:>7}".format
    print(line("context", "layers", "multiply-adds ÷", "windows, ms", "one pass, ms", "time ÷"))
    for block_size in DEPTHS:
        deep = WaveNetConfig(block_size=block_size)
        tree = WaveNet(deep, torch.Generator().manual_seed(1)).eval()
        text = torch.randint(27, (1, POSITIONS), generator=torch.Generator().manual_seed(1))
        text[0, 0] = 0  # texts start on the boundary, as names do
        contexts = F.pad(text, (block_size - 1, 0))[0].unfold(0, block_size, 1)
        convolutions = as_convolutions(tree)
        pair = medians(
            {
                "windows": lambda tree=tree, x=contexts: tree(x).sum().item(),
                "one pass": lambda net=convolutions, x=text: net(x).sum().item(),
            },
            max(arguments.rounds, 5),
        )
        ops, (slow, _), (fast, _) = multiply_adds(deep, POSITIONS), *pair.values()
        fewer = f"{ops.windows / ops.convolutions:.2f}"
        times = f"{slow * 1e3:.1f}", f"{fast * 1e3:.1f}", f"{slow / fast:.2f}"
        print(line(block_size, deep.n_layer, fewer, *times))

    losses = [loss / positions for _, loss in results.values()]
    ratio = base / results["convolutions, a pass a name"][0]
    targets = {
        "a pass a name at least 3 times as fast as a pass a position": ratio >= 3,
        "the dev losses of all forms equal to 1e-5": max(losses) - min(losses) <= 1e-5,
    }
    return report(targets)


if __name__ == "__main__":
    sys.exit(main())
