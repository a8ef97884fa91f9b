"""Lectures 04 to 06 at the full budget: the dev loss that each reaches, and in how many seconds.

    python benchmarks/full_budget.py               # all three, about half an hour on two cores
    python benchmarks/full_budget.py wavenet       # one of them

Each trains the lecture's network by the module's own preset `FULL`, in one thread, on the names'
usual splits: 05 with gradients made by hand, the others with autograd. Exits with 1 if a target
is missed.
"""

import argparse
import sys
import time

import torch

from zerotohero import backprop, batchnorm, mlp, wavenet
from zerotohero.batchnorm import NetworkConfig, network
from zerotohero.bigram import Vocabulary
from zerotohero.course import data

# By lecture: the network of a generator, its context, its recipe, its trainer, and its target.
LECTURES = {
    "batchnorm": (
        lambda g: network(NetworkConfig(), g),
        3,
        batchnorm.FULL,
        mlp.train,
        2.105,
    ),
    "backprop": (
        lambda g: network(NetworkConfig(gain=1.0), g),
        3,
        backprop.FULL,
        backprop.train,
        2.11,
    ),
    "wavenet": (
        lambda g: wavenet.WaveNet(wavenet.LARGE, g),
        8,
        wavenet.FULL,
        mlp.train,
        1.993,
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lecture", nargs="*", help=f"of {', '.join(LECTURES)}; all if none")
    chosen = parser.parse_args().lecture or list(LECTURES)
    if unknown := set(chosen) - set(LECTURES):
        parser.error(f"no lecture {', '.join(unknown)} here; choose from {', '.join(LECTURES)}")
    torch.set_num_threads(1)

    words = data.words("names")
    vocabulary, splits = Vocabulary(words), mlp.split_words(words)
    line = "{:10} {:>8} {:>6} {:>9} {:>7} {:>7} {:>8}  {}".format
    print(line("lecture", "steps", "batch", "seconds", "train", "dev", "target", ""))
    missed = 0
    for name in chosen:
        make, block_size, config, train, target = LECTURES[name]
        parts = (splits.train, splits.dev)
        rows, dev = (mlp.build_dataset(part, block_size, vocabulary) for part in parts)
        model = make(torch.Generator().manual_seed(1))
        start = time.perf_counter()
        train(model, *rows, config, torch.Generator().manual_seed(1))
        seconds = time.perf_counter() - start
        model.eval()
        losses = mlp.evaluate(model, *rows), mlp.evaluate(model, *dev)
        met = losses[1] <= target
        missed += not met
        figures = (f"{seconds:.0f}", *(f"{loss:.4f}" for loss in losses), f"≤ {target}")
        said = "met" if met else "MISSED"
        print(line(name, config.steps, config.batch_size, *figures, said), flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
