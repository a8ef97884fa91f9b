"""Named recipes: a model's sizes and how to train it, together, because they fit together.

    recipe = RECIPES["speedrun-cpu"]
    model = GPT(recipe.model, torch.Generator().manual_seed(0))
    Trainer(recipe.train, model, train, val).run()

Those whose names begin with nanogpt are the published settings of nanoGPT for the same data, to
be compared with in one run (`benchmarks/speedrun.py`); lecture 07 explains the steps from there
to the speedruns. Those of lecture 10, gpt2-124m and gpt2-124m-fast, are for one large GPU or many,
and for shards of GPT-2's tokens; `adder` is for sums; `assistant` is the first of lecture 08's
stages; all others are for Tiny Shakespeare's 65 characters, and for any other text with its own
vocabulary.
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
    data: str | None = "tinyshakespeare"  # what it learns if nothing else is named; None: nothing
    pad: int = 1  # the vocabulary is filled up to a multiple of this, by tokens that never occur


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

# GPT-2's sizes with the training that GPT-3's paper published for them (Brown et al. 2020,
# arXiv:2005.14165, table 2.1 and appendix B); GPT-2's own says little of its training.
GPT2 = TrainConfig(
    steps=19_073,  # of 524,288 tokens: 10 billion. GPT-3 read 300 billion.
    batch_size=512,  # rows of 1,024 tokens: 2¹⁹, "0.5M" in the table
    accumulate=32,  # so a device has 16 rows at a time; of N devices each makes an Nth of the 32
    lr=6e-4,  # the table's for 125 million parameters; the larger the model, the lower
    min_lr=6e-5,  # "cosine decay down to 10 % of its value"
    warmup=715,  # "over the first 375 million tokens"
    schedule="cosine",
    weight_decay=0.1,  # on matrices and embeddings: on what is multiplied, not on what is added
    betas=(0.9, 0.95),  # a shorter memory of squares than usual: a jump in the loss is soon over
    grad_clip=1.0,  # the length of the whole gradient, so one odd batch can't throw it off
    compile=True,  # the only line that the paper doesn't have: it changes nothing but the speed
    eval_every=250,
    eval_batches=20,  # 10 million tokens of validation, the same every time
)

# The same batches with what became usual since: the speedruns of modded-nanogpt (2024 and later).
GPT2_FAST = replace(
    GPT2,
    steps=5_000,  # a quarter of the tokens
    optimizer="muon",  # on the blocks' matrices; the two tables and the vectors stay with AdamW
    muon_lr=0.02,  # the step's length in every direction, whatever the gradient's
    muon_momentum=0.95,
    lr=3.6e-3,  # the tables': six times GPT-2's, since each row has a gradient in few batches only
    min_lr=0.0,  # nothing is gained by steps that are still large at the end
    warmup=250,
    schedule="trapezoid",  # the rate stays up as long as possible …
    cooldown=0.3,  # … and falls in a straight line
    weight_decay=0.0,  # each token is read once, so there is little to overfit
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
    Recipe(
        "gpt2-124m",
        "GPT-2 from scratch on shards of your own, for GPUs: `--dry-run` says what it takes",
        # 50,257 tokens are an odd number, and a GPU multiplies in tiles: 47 rows for nothing make
        # the largest product of all faster. Nothing is dropped, since nothing is read twice.
        GPTConfig.preset("gpt2", vocab_size=50_304),
        GPT2,
        data=None,
        pad=128,
    ),
    Recipe(
        "gpt2-124m-fast",
        "the same size with modern parts and Muon, a quarter of the tokens; not yet measured",
        GPTConfig.preset("gpt2", vocab_size=50_304, **MODERN),
        GPT2_FAST,
        data=None,
        pad=128,
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
        data="adder",
    ),
    # The other stages' plans stand in `stages`.
    Recipe(
        "assistant",
        "four stages, from the plays to an assistant that answers: some minutes on a CPU",
        GPTConfig(1024, 64, n_layer=2, n_head=4, n_embd=96, **MODERN),
        replace(FAST, steps=300, eval_every=100, eval_batches=5),
        data="plays",
    ),
)
RECIPES = {recipe.name: recipe for recipe in _ALL}
