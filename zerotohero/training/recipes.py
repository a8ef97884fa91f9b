"""Named recipes: a model's sizes and how to train it, together, because they fit together.

    recipe = RECIPES["speedrun-cpu"]
    model = GPT(recipe.model, torch.Generator().manual_seed(0))
    Trainer(recipe.train, model, train, val).run()

Those whose names begin with nanogpt are the published settings of nanoGPT for the same data, to
be compared with in one run (`benchmarks/speedrun.py`); lecture 07 explains the steps from there
to the speedruns. All but `adder` are for Tiny Shakespeare's 65 characters, and for any other text
with its own vocabulary.
"""

from dataclasses import dataclass, replace

from zerotohero.gpt import GPTConfig
from zerotohero.training import TrainConfig


@dataclass(frozen=True)
class Recipe:
    """A model and its training, under a name."""

    name: str
    says: str  # what it is for, in one line
    model: GPTConfig
    train: TrainConfig


# What came after GPT-2, all of it.
MODERN = {
    "norm": "rmsnorm",
    "position": "rotary",
    "activation": "relu2",
    "qk_norm": True,
    "zero_init": True,
    "tied": False,
    "bias": False,
}

# Muon on the matrices, and a rate that stays up and then falls to zero.
FAST = TrainConfig(
    steps=250,
    batch_size=16,
    lr=1e-2,
    min_lr=0.0,
    warmup=10,
    schedule="trapezoid",
    cooldown=0.7,
    weight_decay=0.0,
    betas=(0.9, 0.9),
    grad_clip=0.0,
    optimizer="muon",
    muon_lr=0.018,
    muon_momentum=0.85,
    eval_every=50,
)

_ALL = (
    Recipe(
        "shakespeare-char",
        "10.8 million parameters on Tiny Shakespeare, for a GPU: validation loss about 1.47",
        GPTConfig.preset("shakespeare-char"),
        TrainConfig(steps=5000, batch_size=64),
    ),
    Recipe(
        "shakespeare-quick",
        "0.8 million parameters on Tiny Shakespeare, for a CPU: some minutes",
        GPTConfig(65, 128, n_layer=4, n_head=4, n_embd=128, **MODERN),
        replace(FAST, steps=1500, batch_size=16, eval_every=250),
    ),
    Recipe(
        "nanogpt-cpu",
        "nanoGPT's recipe for a CPU, to be compared with: validation loss 1.88",
        GPTConfig(65, 64, n_layer=4, n_head=4, n_embd=128, bias=False),
        TrainConfig(steps=2000, precision="fp32"),
    ),
    Recipe(
        "speedrun-cpu",
        "the same loss on a CPU in less than a tenth of the time",
        GPTConfig(65, 64, n_layer=2, n_head=4, n_embd=128, **MODERN),
        FAST,
    ),
    Recipe(
        "nanogpt-gpu",
        "nanoGPT's recipe for a GPU, to be compared with: validation loss 1.47",
        GPTConfig.preset("shakespeare-char"),
        TrainConfig(steps=5000, batch_size=64, compile=True),
    ),
    Recipe(
        "speedrun-gpu",
        "the same with what the CPU's speedrun found; not yet measured on a GPU",
        GPTConfig.preset("shakespeare-char", **MODERN),
        replace(FAST, steps=600, batch_size=64, compile=True),
    ),
    Recipe(
        "gpt-nano",
        "GPT-2's parts at their smallest, for shards of your own: some minutes on a CPU",
        GPTConfig.preset("gpt-nano", block_size=128),
        TrainConfig(steps=1000, batch_size=16),
    ),
    # Rotary positions don't learn this one: which digit stands where is all that matters. And a
    # start at zero gets stuck in one run of eight.
    Recipe(
        "adder",
        "sums of three-digit numbers, the answer written backwards: 99 % right in seconds",
        GPTConfig(
            12,
            11,
            n_layer=2,
            n_head=4,
            n_embd=64,
            **MODERN | {"position": "learned", "zero_init": False},
        ),
        replace(
            FAST,
            steps=350,
            batch_size=128,
            warmup=20,
            cooldown=0.4,
            betas=(0.9, 0.98),
            grad_clip=1.0,
            muon_lr=0.05,
            muon_momentum=0.95,
            precision="fp32",
        ),
    ),
)
RECIPES = {recipe.name: recipe for recipe in _ALL}
