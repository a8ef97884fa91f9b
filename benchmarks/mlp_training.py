"""Lecture 03's training against the recipe that its dev loss of 2.17 is known from.

    python benchmarks/mlp_training.py                  # about two minutes on two cores
    python benchmarks/mlp_training.py --classic-full   # the peer's 200,000 steps too, to the end

The same network, data, machine and two threads for all. The classic recipe is plain SGD, batches
of 32, 200,000 steps at 0.1 and then 0.01. By default its seconds are measured over slices of
2,000 steps, taken before, between and after our runs, and multiplied up; such a figure is marked
with ~, and has no loss. Exits with 1 if a target is missed.
"""

import argparse
import sys
import time
from dataclasses import replace

import torch
from _shared import report

from zerotohero.bigram import Vocabulary
from zerotohero.course import data
from zerotohero.mlp import (
    CLASSIC,
    FULL,
    MLP,
    QUICK,
    MLPConfig,
    Plan,
    build_dataset,
    evaluate,
    split_words,
    train,
)

SLICE = replace(CLASSIC, steps=2_000, schedule="constant")


def run(config: Plan, train_rows, dev_rows) -> tuple[float, float, float]:
    """Train a new network; return seconds, train loss and dev loss."""
    model = MLP(MLPConfig(), torch.Generator().manual_seed(1))
    start = time.perf_counter()
    train(model, *train_rows, config, torch.Generator().manual_seed(1))
    seconds = time.perf_counter() - start
    return seconds, evaluate(model, *train_rows), evaluate(model, *dev_rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classic-full", action="store_true", help="run the peer to its end")
    arguments = parser.parse_args()
    torch.set_num_threads(2)

    words = data.words("names")
    vocabulary, splits = Vocabulary(words), split_words(words)
    rows = [build_dataset(part, 3, vocabulary) for part in (splits.train, splits.dev)]

    slices = [run(SLICE, *rows)[0]]
    quick = run(QUICK, *rows)
    slices.append(run(SLICE, *rows)[0])
    full = run(FULL, *rows)
    slices.append(run(SLICE, *rows)[0])
    # The middle one, since another program on the machine slows a short slice the most.
    classic = sorted(slices)[1] * CLASSIC.steps / SLICE.steps
    peer = (f"~{classic:.0f}", "", "", "1.00")
    if arguments.classic_full:
        classic, train_loss, dev_loss = run(CLASSIC, *rows)
        peer = (f"{classic:.0f}", f"{train_loss:.3f}", f"{dev_loss:.3f}", "1.00")

    line = "{:8} {:>8} {:>6} {:>9} {:>7} {:>7} {:>9}".format
    print(line("recipe", "steps", "batch", "seconds", "train", "dev", "time ÷"))
    print(line("classic", CLASSIC.steps, CLASSIC.batch_size, *peer))
    for name, config, (seconds, train_loss, dev_loss) in (
        ("quick", QUICK, quick),
        ("full", FULL, full),
    ):
        measured = (f"{seconds:.0f}", f"{train_loss:.3f}", f"{dev_loss:.3f}")
        print(line(name, config.steps, config.batch_size, *measured, f"{seconds / classic:.2f}"))

    targets = {
        "quick: dev ≤ 2.20": quick[2] <= 2.20,
        "quick: ≤ ½ of its time": quick[0] <= classic / 2,
        "full: dev ≤ 2.17": full[2] <= 2.17,
    }
    return report(targets)


if __name__ == "__main__":
    sys.exit(main())
