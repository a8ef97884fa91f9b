"""Wrong answers to 10.2, the initialisation of GPT-2."""

import math

import torch
from torch import nn

from misconceptions import wrong


def is_norm(name):
    return ".ln_" in name


def writes(name):
    return name.endswith("c_proj.weight")


def normal(p, deviation, generator):
    p.normal_(0.0, deviation, generator=generator)


def starting(
    scale=lambda N: 1 / math.sqrt(2 * N),
    scaled=writes,
    base=lambda name, p: 0.02,
    draw=normal,
    norm=lambda name, p: None,
    bias=lambda p: p.zero_(),
    skip=lambda name: False,
):
    """Return initialise with one thing wrong."""

    def initialise(model, generator):
        with torch.no_grad():
            for name, p in model.named_parameters():
                if skip(name):
                    continue
                if is_norm(name):
                    norm(name, p)
                elif name.endswith("bias"):
                    bias(p)
                else:
                    factor = scale(len(model.transformer.h)) if scaled(name) else 1
                    draw(p, factor * base(name, p), generator)

    return initialise


@wrong("10.2", "Nothing is divided: attn.c_proj writes")
def nothing_divided():
    return starting(scale=lambda N: 1)


@wrong("10.2", "√(2N), not √N")
def root_of_n():
    return starting(scale=lambda N: 1 / math.sqrt(N))


@wrong("10.2", "Divided by 2N: it is the variance")
def no_root():
    return starting(scale=lambda N: 1 / (2 * N))


@wrong("10.2", "Multiplied by √(2N)")
def multiplied():
    return starting(scale=lambda N: math.sqrt(2 * N))


@wrong("10.2", "which is right for GPT-2's 12 blocks")
def twelve_blocks():
    return starting(scale=lambda N: 1 / math.sqrt(24))


@wrong("10.2", "Divided by √(2N + 1)")
def embedding_counted():
    return starting(scale=lambda N: 1 / math.sqrt(2 * N + 1))


@wrong("10.2", "Divided by √(2N − 2)")
def last_number():
    return starting(scale=lambda N: 1 / math.sqrt(2 * (N - 1)))


@wrong("10.2", "Nothing is divided: mlp.c_proj writes")
def attention_alone():
    return starting(scaled=lambda name: name.endswith("attn.c_proj.weight"))


@wrong("10.2", "attn.c_attn was divided by √(2N)")
def all_matrices_of_the_blocks():
    return starting(scaled=lambda name: ".h." in name)


@wrong("10.2", "mlp.c_fc was divided by √(2N)")
def all_of_the_mlp():
    return starting(scaled=lambda name: ".mlp." in name or writes(name))


@wrong("10.2", "for each of them")
def by_depth():
    def initialise(model, generator):
        starting()(model, generator)
        N = len(model.transformer.h)
        with torch.no_grad():
            for i, block in enumerate(model.transformer.h):
                factor = math.sqrt(N / (i + 1) * sum(1 / (j + 1) for j in range(N)) ** -1)
                for layer in (block.attn.c_proj, block.mlp.c_proj):
                    layer.weight *= factor

    return initialise


@wrong("10.2", "the variance is its square")
def variance():
    return starting(base=lambda name, p: math.sqrt(0.02))


@wrong("10.2", "OpenAI's code has for positions")
def smaller_positions():
    return starting(base=lambda name, p: 0.01 if "wpe" in name else 0.02)


@wrong("10.2", "deviation by the width")
def by_the_width():
    return starting(base=lambda name, p: 0.02 if "w" in name[:13] else 1 / math.sqrt(p.shape[1]))


@wrong("10.2", "`normal_`, not `uniform_`")
def uniform():
    def draw(p, deviation, generator):
        wide = math.sqrt(3) * deviation
        p.uniform_(-wide, wide, generator=generator)

    return starting(draw=draw)


@wrong("10.2", "Nothing was drawn there")
def embeddings_passed_over():
    return starting(skip=lambda name: "wpe" in name)


@wrong("10.2", "it would wipe out what it passes on")
def norms_drawn():
    def norm(name, p):
        p.zero_() if name.endswith("bias") else p.normal_(0.0, 0.02)

    return starting(norm=norm)


@wrong("10.2", "It is called bias, and belongs to a LayerNorm")
def bias_of_a_norm():
    return starting(norm=lambda name, p: name.endswith("bias") and p.zero_())


@wrong("10.2", "and 0 would let nothing through")
def all_of_one_axis_zero():
    return starting(norm=lambda name, p: p.zero_())


@wrong("10.2", "1 is where torch begins")
def norms_reset():
    return starting(norm=lambda name, p: p.fill_(1.0 if name.endswith("weight") else 0.0))


@wrong("10.2", "The biases are as they were")
def biases_left():
    return starting(bias=lambda p: None)


@wrong("10.2", "a bias begins at 0")
def biases_drawn():
    return starting(bias=lambda p: p.normal_(0.0, 0.02))


@wrong("10.2", "They are all the same number")
def biases_of_one():
    return starting(bias=lambda p: p.fill_(1.0))


@wrong("10.2", "Their mean is another")
def around_the_deviation():
    return starting(draw=lambda p, deviation, g: p.normal_(deviation, deviation, generator=g))


@wrong("10.2", "there `layer.bias` is None")
def always_biases():
    def initialise(model, generator):
        starting(bias=lambda p: None)(model, generator)
        with torch.no_grad():
            for block in model.transformer.h:
                for layer in (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc):
                    layer.bias.zero_()
                block.mlp.c_proj.bias.zero_()

    return initialise


@wrong("10.2", "under `with torch.no_grad():` only")
def with_gradients():
    def initialise(model, generator):
        for p in model.parameters():
            p.normal_(0.0, 0.02, generator=generator)

    return initialise


@wrong("10.2", "it would never be trained")
def frozen():
    def initialise(model, generator):
        for p in model.parameters():
            p.requires_grad = False
        starting()(model, generator)

    return initialise


@wrong("10.2", "A new `nn.Parameter` for one of the two names")
def new_head():
    def initialise(model, generator):
        starting()(model, generator)
        new = torch.empty_like(model.lm_head.weight)
        model.lm_head.weight = nn.Parameter(new.normal_(0.0, 0.02, generator=generator))

    return initialise


@wrong("10.2", "An optimiser made before would go on with the old ones")
def new_positions():
    def initialise(model, generator):
        starting()(model, generator)
        wpe = model.transformer.wpe
        wpe.weight = nn.Parameter(wpe.weight.detach().clone())

    return initialise


@wrong("10.2", "This head is a parameter of its own")
def always_tied():
    def initialise(model, generator):
        starting()(model, generator)
        model.lm_head.weight = model.transformer.wte.weight

    return initialise


@wrong("10.2", "the second draw overwrites the first")
def by_modules():
    def initialise(model, generator):
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, 0.0, 0.02, generator)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for name, p in model.named_parameters():
            if writes(name):
                p.data /= math.sqrt(2 * len(model.transformer.h))

    return initialise


@wrong("10.2", "a tied table comes up twice")
def by_modules_and_then_by_names():
    def initialise(model, generator):
        by_modules()(model, generator)
        N = len(model.transformer.h)
        with torch.no_grad():
            for name, p in model.named_parameters():
                if writes(name):
                    normal(p, 0.02 / math.sqrt(2 * N), generator)

    return initialise


@wrong("10.2", "which may be another than float32")
def of_torchs_own_dtype():
    def draw(p, deviation, generator):
        p.data = deviation * torch.randn(p.shape, generator=generator)

    def bias(p):
        p.data = torch.zeros(p.shape)

    return starting(draw=draw, bias=bias)


@wrong("10.2", "without a new seed")
def one_seed_for_all():
    def draw(p, deviation, generator):
        seed = generator.initial_seed()
        p.normal_(0.0, deviation, generator=generator.manual_seed(seed))

    return starting(draw=draw)


@wrong("10.2", "The numbers come from elsewhere")
def global_generator():
    return starting(draw=lambda p, deviation, generator: p.normal_(0.0, deviation))


@wrong("10.2", "draw from the one that is handed over, as it comes")
def own_seed():
    def initialise(model, generator):
        starting()(model, torch.Generator().manual_seed(1337))

    return initialise


@wrong("10.2", "and returns nothing")
def returns_weights():
    def initialise(model, generator):
        starting()(model, generator)
        return model.state_dict()

    return initialise


@wrong("10.2", "All of them are 0, as biases are")
def head_of_zeros():
    return starting(base=lambda name, p: 0.0 if name == "lm_head.weight" else 0.02)


@wrong("10.2", "Only its seed was read")
def seed_of_the_generator():
    def initialise(model, generator):
        torch.manual_seed(generator.initial_seed())
        starting(draw=lambda p, deviation, generator: p.normal_(0.0, deviation))(model, generator)

    return initialise
