"""What a model costs, before it is trained: parameters, operations, memory, hours and money.

The idea: a Transformer is matrices, and each weight of a matrix is multiplied with each token once
forward and twice backward, so nearly everything follows from two numbers, the parameters N and
the tokens D: 6 N D operations. What is left is attention, whose products have no weights and grow
with the context, and the memory, where what training keeps for a weight (itself, its gradient, the
optimiser's averages) stands beside what it keeps for a token (what each layer needs again when
gradients flow back).

The papers: 6 N D, Kaplan et al. (2020), "Scaling Laws for Neural Language Models",
arXiv:2001.08361, section 2.1; with attention, and MFU, Chowdhery et al. (2022), "PaLM",
arXiv:2204.02311, appendix B; what a weight takes, Rajbhandari et al. (2020), "ZeRO",
arXiv:1910.02054, section 3; what a token takes, Korthikanti et al. (2022), arXiv:2205.05198,
section 4.

Left out: dropout's masks, what a compiler saves of the activations, what the allocator and CUDA
take themselves, and the time in which devices wait for each other, which MFU contains.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zerotohero.gpt import GPTConfig
    from zerotohero.training import TrainConfig

HOUR = 3600  # seconds


# --- the model --------------------------------------------------------------------------------


def parameters(config: "GPTConfig") -> dict[str, int]:
    """Return how many parameters each part has; their sum is the model's.

    "tokens" and "positions" are the tables that are looked up, "matrices" those of the blocks,
    "vectors" all biases and gains, and "head" an output layer of its own: 0 where it is tied.
    """
    V, C, L = config.vocab_size, config.n_embd, config.n_layer
    # A block's four products make queries, keys and values, what attention adds, what the MLP has
    # inside, and what it adds. In GPT-2 they are 3 C, C, 4 C and C numbers: 12 C² weights.
    qkv, wide, hidden = sum(config.qkv_sizes), config.widened, config.hidden
    layernorm = config.norm == "layernorm"
    norm = C * (layernorm or config.norm_gain) + C * (layernorm and config.bias)
    return {
        "tokens": V * C,
        "positions": config.block_size * C if config.position == "learned" else 0,
        "matrices": L * C * (qkv + C + wide + hidden),
        "vectors": L * (qkv + C + wide + C) * config.bias + (2 * L + 1) * norm,
        "head": 0 if config.tied else V * C,
    }


def num_params(config: "GPTConfig") -> int:
    return sum(parameters(config).values())


# --- operations -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Flops:
    """Floating-point operations: those with weights, and those of attention without any."""

    weights: float
    attention: float

    @property
    def total(self) -> float:
        return self.weights + self.attention

    @property
    def attention_share(self) -> float:
        return self.attention / self.total


def flops_per_token(config: "GPTConfig") -> Flops:
    """Return the operations that training spends on a token: PaLM's 6 N + 12 L C T.

    A weight is one multiplication and one addition forward, and twice that backward: for the
    gradient of the weight and for that of its input. N leaves out what is only looked up: the
    positions, and the tokens if the output layer isn't the same table.

    A query meets T keys, and T weights meet T values: 2 · 2 C T forward, three times that in all,
    in each of L layers. By custom the half that the mask makes zero counts too, though good
    kernels leave it out.
    """
    its = parameters(config)
    N = its["matrices"] + its["vectors"] + (its["tokens"] if config.tied else its["head"])
    return decoder_flops(N, config.n_layer, config.n_embd, config.block_size)


def decoder_flops(N: int, layers: int, width: int, context: int) -> Flops:
    """Return the operations on a token of any decoder with N parameters.

    `width` is that of all heads together, which need not be the model's: PaLM's isn't.
    """
    return Flops(6 * N, 12 * layers * width * context)


def tokens(config: "GPTConfig", plan: "TrainConfig") -> int:
    """Return how many tokens a run reads."""
    return plan.steps * plan.batch_size * config.block_size


# --- time and money ---------------------------------------------------------------------------


def mfu(tokens_per_s: float, flops_a_token: float, peak: float) -> float:
    """Return the share of the peak that is spent on the model; `peak` of all devices together.

    Tokens a second times operations a token, over what the makers promise for dense bf16. What
    is computed twice to save memory doesn't count: it isn't the model's.
    """
    return tokens_per_s * flops_a_token / peak


def hours(flops: float, peak: float, mfu: float) -> float:
    """Return how long that many operations take; `peak` of all devices together."""
    return flops / (peak * mfu) / HOUR


def price(hours: float, devices: int, rate: float) -> float:
    """Return what it costs, at a rate for one device and hour."""
    return hours * devices * rate


# --- memory -----------------------------------------------------------------------------------


def memory(
    config: "GPTConfig",
    plan: "TrainConfig",
    devices: int = 1,
    *,
    half: bool = True,
    shard: bool = False,
) -> dict[str, int]:
    """Return the bytes that training takes on each device, part by part.

    half: products in bf16 or fp16 (autocast); the weights themselves have 4 bytes anyway.
    shard: weights, gradients and the optimiser are cut among the devices (ZeRO's third stage);
    else each has them all, and the gradients twice if they travel (DistributedDataParallel).

    The parts, a parameter: its weight, 4 bytes, and a copy in half of those in products; its
    gradient, 4; AdamW's two averages, 8, or Muon's one, 4. A token: `activations` and `logits`,
    as in `activation_bytes` and `logit_bytes`, for the rows of one micro-batch.

    The sum is an upper bound: the first gradients come when the logits are gone. While micro-
    batches accumulate it is reached, but for what a compiler saves.
    """
    its, N = parameters(config), num_params(config)
    multiplied = its["matrices"] + (its["tokens"] if config.tied else its["head"])
    averages = 2 * N - (its["matrices"] if plan.optimizer == "muon" else 0)
    parts = devices if shard else 1
    travelling = 1 if shard or devices == 1 else 2
    rows = plan.batch_size // (plan.accumulate * devices)
    positions = rows * config.block_size
    return {
        "weights": 4 * N // parts + (2 * multiplied if half else 0),
        "gradients": travelling * 4 * N // parts,
        "optimiser": 4 * averages // parts,
        "activations": positions * activation_bytes(config, half),
        "logits": positions * logit_bytes(config),
    }


def activation_bytes(config: "GPTConfig", half: bool = True) -> int:
    """Return what the layers keep of one token until its gradients come.

    A block keeps, in numbers: 2 C that its two normalisations read, in 4 bytes, since the residual
    path stays precise; and what its products read and make, in 2 bytes if `half`: C, the queries,
    keys and values (3 C in GPT-2), C that attention makes, C, what the MLP has before the bend and
    behind it (4 C each). SwiGLU keeps its gate before and behind the bend, and what it is
    multiplied with. No T²: the kernel of F.scaled_dot_product_attention keeps one number a head.
    Queries and keys that are turned are kept again, and bringing them to one length reads them in
    4 bytes. After the last block a normalisation and the output layer read C each.
    """
    C, size = config.n_embd, 2 if half else 4
    queries, keys, values = config.qkv_sizes
    precise = 2 * C + (queries + keys if config.qk_norm else 0)
    turned = queries + keys if config.position == "rotary" else 0
    halved = C + queries + keys + values + turned + C + C + 2 * config.widened
    block = 4 * precise + size * halved + 4 * config.n_head
    return config.n_layer * block + (4 + size) * C


def logit_bytes(config: "GPTConfig") -> int:
    """Return what the loss takes for one token at its highest, in 4 bytes whatever the products.

    On the way back the logarithms of the probabilities, the gradient with regard to them, and that
    with regard to the logits are there at a time: V numbers each.
    """
    return 3 * 4 * config.vocab_size
