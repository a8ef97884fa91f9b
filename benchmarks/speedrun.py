"""Seconds to a validation loss on Tiny Shakespeare: nanoGPT's recipe against the speedrun.

    python benchmarks/speedrun.py          # on a CPU, two threads: to 1.886, about three minutes
    python benchmarks/speedrun.py --rows   # and every step between the two, about eight minutes
    python benchmarks/speedrun.py --gpu    # on a GPU, 10.8 million parameters: to 1.47

Both recipes are of `zerotohero.training.recipes` and trained by the same Trainer on the same data,
in one run. The loss is that of the whole validation split, in float32. It is taken at times during
the second half of a training, off the clock; what counts is the time of the training steps until it
is first below the target, and for a peer that ends above it all its time. On a GPU the compiler's
time is off the clock too, for both, and is printed. Exits with 1 if the speedrun needs more than
its share of the peer's time, or misses the loss.
"""

import argparse
import dataclasses
import sys
import time

import torch

from zerotohero.course import data
from zerotohero.gpt import GPT
from zerotohero.text import Characters, split_text
from zerotohero.training import Trainer, evaluate
from zerotohero.training.recipes import RECIPES, Recipe

CPU = ("nanogpt-cpu", "speedrun-cpu", 1.886, 1 / 10)  # peer, ours, loss, share of the time
GPU = ("nanogpt-gpu", "speedrun-gpu", 1.47, 1 / 8)
SEED = 1


@dataclasses.dataclass
class Result:
    """What a training reached, and when."""

    seconds: float | None  # of training until the loss was below the target; None: never
    step: int | None
    final: float  # validation loss after the last step
    total: float  # seconds of all steps
    rate: float  # tokens a second
    mfu: float
    waited: float  # seconds besides: compiling and the first step, evaluations


def reach(recipe: Recipe, target: float, splits, device: str) -> Result:
    """Train a new model by the recipe and find out when it reached the target."""
    train, val = splits
    model = GPT(recipe.model, torch.Generator().manual_seed(SEED))
    config = dataclasses.replace(
        recipe.train, log_every=max(recipe.train.steps // 40, 1), eval_every=0, seed=SEED
    )
    found = []

    def look(trainer: Trainer) -> None:
        if not trainer.running or found or 2 * trainer.step < config.steps:
            return
        if evaluate(model, val) < target:
            found.append((trainer.seconds, trainer.step))

    start = time.perf_counter()
    trainer = Trainer(config, model, train, device=device, progress=False)
    trainer.on("log", look)
    trainer.run()
    final = evaluate(model, val)
    tokens = config.batch_size * recipe.model.block_size * config.steps
    seconds, step = found[0] if found else (None, None)
    waited = time.perf_counter() - start - trainer.seconds
    rate = tokens / trainer.seconds
    mfus = sorted(row["mfu"] for row in trainer.log)
    return Result(seconds, step, final, trainer.seconds, rate, mfus[len(mfus) // 2], waited)


def rows() -> list[tuple[str, Recipe]]:
    """Return the recipes from the peer's to ours, each with one thing more than the one before.

    Each has about as many steps as it needs for the loss.
    """
    peer, ours = RECIPES["nanogpt-cpu"], RECIPES["speedrun-cpu"]
    falls = ("min_lr", "schedule", "cooldown")
    muon = ("batch_size", "warmup", "weight_decay", "grad_clip", "lr", "betas")
    muon += ("optimizer", "muon_lr", "muon_momentum")
    changes = (  # of the model, of the training, and what of the training is ours from here on
        ("twice the rate, falling to zero", {}, {"lr": 2e-3, "steps": 1400}, falls),
        ("bfloat16", {}, {"precision": "auto"}, ()),
        ("Muon", {}, {"steps": 415}, muon),
        ("rotary positions", {"position": "rotary"}, {"steps": 340}, ()),
        ("QK-norm", {"qk_norm": True}, {"steps": 240}, ()),
        ("RMSNorm, ReLU²", {"norm": "rmsnorm", "activation": "relu2"}, {"steps": 220}, ()),
        ("a start at zero, untied", {"zero_init": True, "tied": False}, {"steps": 215}, ()),
    )
    model, train, all_rows = peer.model, peer.train, []
    for name, of_model, of_train, taken in changes:
        taken = {field: getattr(ours.train, field) for field in taken}
        model = dataclasses.replace(model, **of_model)
        train = dataclasses.replace(train, **taken | of_train)
        all_rows.append((f"+ {name}", Recipe(name, name, model, train)))
    last = dataclasses.replace(model, n_layer=ours.model.n_layer)
    assert last == ours.model, "the rows must end at the speedrun"
    return all_rows


def show(name: str, result: Result, peer: Result | None) -> None:
    """Print a line; beside the peer's whole time, where that did not reach the target."""
    never = result.seconds is None
    when = "   never" if never else f"{result.seconds:6.1f} s"
    share = ""
    if peer and not never:
        share = f", {result.seconds / (peer.seconds or peer.total):.3f} of the peer's time"
    print(
        f"{name:34} {when}{share}; at the end {result.final:.4f} after {result.total:.1f} s; "
        f"{result.rate:,.0f} tokens/s, MFU {result.mfu:.0%}, {result.waited:.0f} s off the clock",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="store_true", help="10.8 million parameters, on CUDA")
    parser.add_argument("--rows", action="store_true", help="every step between the two, on a CPU")
    arguments = parser.parse_args()
    if arguments.gpu and not torch.cuda.is_available():
        print("No CUDA device is here; on a CPU the larger model would take hours.")
        return 1
    torch.set_num_threads(2)
    device = "cuda" if arguments.gpu else "cpu"
    text = data.text("tinyshakespeare")
    peer_name, our_name, target, share = GPU if arguments.gpu else CPU
    splits = split_text(Characters.of(text).encode(text), RECIPES[peer_name].model.block_size)

    print(f"validation loss below {target}, on {device}")
    peer = reach(RECIPES[peer_name], target, splits, device)
    show(peer_name, peer, None)
    if arguments.rows:
        for name, recipe in rows():
            show(name, reach(recipe, target, splits, device), peer)
    ours = reach(RECIPES[our_name], target, splits, device)
    show(our_name, ours, peer)
    if ours.seconds is None:
        print("missed: the speedrun did not reach the loss")
        return 1
    ratio = ours.seconds / (peer.seconds or peer.total)
    at_most = "" if peer.seconds else "at most "  # it would have needed more than it was given
    print(f"the speedrun takes {at_most}{ratio:.3f} of the peer's time; promised: {share:.3f}")
    return int(ratio > share)


if __name__ == "__main__":
    sys.exit(main())
