"""The points of lecture 10's scaling law: six sizes of models on all the plays, to several lengths.

    nice python benchmarks/scaling.py data/scaling.json                # six minutes on one core
    nice python benchmarks/scaling.py data/scaling.json --most 1.4e13  # and an hour for longer runs

Characters of Shakespeare's plays, 4.5 million to learn from and each run less than one pass over
them; the loss is that of 65,536 characters of Tiny Shakespeare's last tenth, in nats a character.
Every run has a schedule of its own, which falls to zero at its end: a loss on the way of a longer
run would be too high. The recipe is the same for all, modern parts with Muon, and its rates were
chosen from a few short runs of three of the sizes, so none is at its very best.

Every size makes the shortest run, and the longer ones that take at most `--most` operations. Each
is written down when it is done, the shortest first, and what the file holds already isn't done
again, so the command can be stopped and given again.
"""

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from zerotohero.course import data
from zerotohero.course.files import write_whole
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.scaling import Point
from zerotohero.text import Characters
from zerotohero.training import Trainer, evaluate
from zerotohero.training.recipes import FAST, MODERN

CONTEXT, ROWS = 64, 16
SIZES = ((1, 16), (2, 24), (2, 48), (3, 64), (4, 96), (4, 144))  # layers, channels
STEPS = (256, 512, 1024, 2048, 4096)  # of 1,024 characters
MOST = 5e11  # operations of a run
PLAN = replace(
    FAST,
    steps=1,
    batch_size=ROWS,
    warmup=0,
    cooldown=0.5,
    muon_lr=0.012,
    muon_momentum=0.95,
    lr=6e-3,
    betas=(0.9, 0.95),
    eval_every=0,
    log_every=10**6,
    precision="fp32",
)


def splits() -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return what is learned, what is predicted, and the size of the vocabulary."""
    tiny, other = data.text("tinyshakespeare"), data.other_plays()
    cut = len(tiny) * 9 // 10
    characters = Characters.of(tiny + other)
    val = characters.encode(tiny[cut:])[: 2**16 + 1]
    return characters.encode(other + tiny[:cut]), val, len(characters)


def train(layers: int, channels: int, steps: int, seed: int, its) -> Point:
    """Train one model to the end of its schedule."""
    learned, predicted, vocabulary = its
    heads = max(1, channels // 16)
    config = GPTConfig(vocabulary, CONTEXT, layers, heads, channels, **MODERN)
    model = GPT(config, torch.Generator().manual_seed(seed))
    plan = replace(PLAN, steps=steps, warmup=min(20, steps // 10), seed=seed)
    Trainer(plan, model, learned, progress=False).run()
    return Point(
        parameters=model.num_params(),
        tokens=steps * ROWS * CONTEXT,
        flops=float(model.flops_per_token() * steps * ROWS * CONTEXT),
        loss=round(evaluate(model, predicted), 4),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="where the points go")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=float, default=MOST, help="operations of the longest run")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(args.file.read_text("utf-8")) if args.file.exists() else []
    done = {(row["layers"], row["channels"], row["steps"], row["seed"]) for row in rows}
    its = splits()
    plan = []
    for layers, channels in SIZES:
        config = GPTConfig(its[2], CONTEXT, layers, 1, channels, **MODERN)
        a_step = GPT(config).flops_per_token() * ROWS * CONTEXT
        plan += [(n, layers, channels) for n in STEPS if n == STEPS[0] or a_step * n <= args.most]
    for steps, layers, channels in sorted(plan):
        if (layers, channels, steps, args.seed) in done:
            continue
        start = time.process_time()
        point = train(layers, channels, steps, args.seed, its)
        how = {"layers": layers, "channels": channels, "steps": steps, "seed": args.seed}
        seconds = round(time.process_time() - start, 1)
        rows.append({**how, **asdict(point), "seconds": seconds})
        lines = ",\n".join(json.dumps(row) for row in rows)
        write_whole(args.file, f"[\n{lines}\n]\n".encode())
        print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
