"""A character model with memory: three letters of context, an embedding table, a hidden layer.

The idea: a table of counts needs a row for every context, and the number of contexts grows as
27 ** block_size. Give every character a short vector of numbers instead (its embedding), put the
vectors of the context side by side, and let a small network turn them into the probabilities of
the next character. Similar characters get similar vectors, so what is learned from one context
serves others that were never seen.

The paper: Bengio, Ducharme, Vincent & Jauvin (2003), "A Neural Probabilistic Language Model",
Journal of Machine Learning Research 3, 1137-1155. Its table C is `wte` here, GPT-2's name for it.

New against `bigram`: a context of more than one character, embeddings, a hidden layer,
minibatches, a search for the learning rate, and three splits of the data.

Left out: an initialisation that keeps every layer healthy, and normalisation (lecture 04); the
backward pass by hand (05); deeper networks that read the context step by step (06); the paper's
direct connections from the embeddings to the output (exercise 3.5).
"""

import copy
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn

from zerotohero.bigram import Vocabulary, as_tokens, check_tokens, check_words, ngrams
from zerotohero.configs import at_least_one, demand, make_plain, not_negative, one_of


@dataclass(frozen=True)
class Splits:
    """The words of the three splits. No list is the caller's own."""

    train: list[str]  # the parameters are fitted to these
    dev: list[str]  # choices (sizes, learning rate, when to stop) are made on these
    test: list[str]  # looked at once, at the end


def split_words(
    words: Sequence[str], seed: int = 42, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
) -> Splits:
    """Shuffle a copy of `words` by `seed` and cut it into train, dev and test.

    Raises ValueError if there are no words, if the fractions are not positive or do not add up
    to 1, or if a split would be empty; TypeError for words that aren't strings.
    """
    check_words(words)
    if len(fractions) != 3 or min(fractions) <= 0 or not math.isclose(sum(fractions), 1.0):
        raise ValueError(
            f"The fractions {tuple(fractions)} must be three positive numbers that add up to 1, "
            "such as (0.8, 0.1, 0.1)."
        )
    shuffled = list(words)
    random.Random(seed).shuffle(shuffled)
    # Rounded, because 0.1 + 0.7 is a little less than 0.8 and would lose a word.
    n1 = round(fractions[0] * len(shuffled))
    n2 = round((fractions[0] + fractions[1]) * len(shuffled))
    splits = Splits(shuffled[:n1], shuffled[n1:n2], shuffled[n2:])
    if not (splits.train and splits.dev and splits.test):
        raise ValueError(
            f"{len(words)} words are too few for the fractions {tuple(fractions)}: "
            "one split would be empty. Pass more words."
        )
    return splits


def build_dataset(
    words: Sequence[str], block_size: int, vocabulary: Vocabulary
) -> tuple[Int[Tensor, "N T"], Int[Tensor, " N"]]:
    """Return every context of `block_size` characters and the character that follows it.

    A word of n characters gives n + 1 rows; the last one predicts the end. Positions before the
    word's first character hold the boundary, 0.

    Raises ValueError if there are no words, if `block_size` is below 1, or if a character is not
    in the vocabulary; TypeError for words that aren't strings.
    """
    if block_size < 1:
        raise ValueError(f"block_size is {block_size}; a context needs at least 1 character.")
    rows = ngrams(words, vocabulary, block_size + 1)
    return rows[:, :-1].contiguous(), rows[:, -1].contiguous()


@dataclass(frozen=True)
class MLPConfig:
    """Sizes and initialisation of the network. Raises ValueError for a size below 1."""

    vocab_size: int = 27  # V: the letters and the boundary
    block_size: int = 3  # T: characters of context
    n_embd: int = 10  # C: numbers that describe one character
    n_hidden: int = 200  # H: tanh units
    # What the standard normal numbers of a layer (weights and biases) are multiplied by at the
    # start. 1 and 1 is the naive choice of lecture 03; lecture 04 finds out what it costs.
    hidden_scale: float = 1.0
    output_scale: float = 1.0

    def __post_init__(self):
        make_plain(self)
        at_least_one(self, "vocab_size", "block_size", "n_embd", "n_hidden")
        not_negative(self, "hidden_scale", "output_scale")


def lookup(wte: Float[Tensor, "V C"], tokens: Int[Tensor, "*B"]) -> Float[Tensor, "*B C"]:
    """Return `wte[tokens]`, but take no negative token for a row from the end: IndexError."""
    return wte.index_select(0, tokens.flatten()).view(*tokens.shape, wte.shape[1])


class MLP(nn.Module):
    """softmax(tanh(embeddings of the context · W1 + b1) · W2 + b2), before the softmax.

    With the naive initialisation the logits of a new network are sums of `n_hidden` normal
    numbers, each times a tanh near ±1: their standard deviation is a little below √n_hidden = 14.
    The largest of 27 such logits stands two standard deviations above the average one, so the
    network is sure of a character at random, and its first loss is about 2 · 13 = 26, where
    knowing nothing and saying so would be ln 27 = 3.3.
    """

    def __init__(self, config: MLPConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        V, C, H = config.vocab_size, config.n_embd, config.n_hidden
        fan_in = config.block_size * C

        def normal(*shape: int, scale: float = 1.0) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * scale)

        self.wte = normal(V, C)
        self.W1 = normal(fan_in, H, scale=config.hidden_scale)
        self.b1 = normal(H, scale=config.hidden_scale)
        self.W2 = normal(H, V, scale=config.output_scale)
        self.b2 = normal(V, scale=config.output_scale)

    def forward(self, xb: Integer[Tensor, "B T"]) -> Float[Tensor, "B V"]:
        """Return the logits of the next character for each context.

        Raises ValueError if the contexts are not `block_size` long, or hold a token that is not in
        the vocabulary (on the CPU; a GPU reports an assertion of its own).
        """
        if xb.shape[-1] != self.config.block_size:
            raise ValueError(
                f"The contexts have {xb.shape[-1]} characters, but the network was made for "
                f"block_size {self.config.block_size}: build the data set with the same one."
            )
        xb = as_tokens(xb)
        try:
            emb = lookup(self.wte, xb)  # (B, T, C)
        except IndexError:
            check_tokens(xb, self.config.vocab_size)
            raise
        x = emb.view(xb.shape[0], -1)  # (B, T·C), without moving a number
        h = torch.tanh(x @ self.W1 + self.b1)  # (B, H)
        return h @ self.W2 + self.b2  # (B, V)


@dataclass(frozen=True)
class Plan:
    """How to train. Raises ValueError for a value that cannot work."""

    steps: int  # parameter updates
    batch_size: int = 256  # B: rows drawn, with replacement, for one update
    lr: float = 0.02  # learning rate at the start
    optimizer: str = "adamw"  # "sgd": p -= lr · grad, or "adamw" (Loshchilov & Hutter 2019)
    schedule: str = "cosine"  # "constant", "drop" (a tenth in the second half) or "cosine" to 0
    weight_decay: float = 0.01  # how strongly adamw pulls weights towards 0; sgd ignores it

    def __post_init__(self):
        make_plain(self)
        at_least_one(self, "steps", "batch_size")
        demand(self, "lr", 0 < self.lr < math.inf, "a positive number")
        not_negative(self, "weight_decay")
        one_of(self, optimizer=("sgd", "adamw"), schedule=("constant", "drop", "cosine"))

    def lr_at(self, step: int) -> float:
        """Return the learning rate of update `step`, counted from 0."""
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.lr * (0.1 if self.schedule == "drop" and step >= self.steps / 2 else 1.0)


# The recipe of the published 2.17, for an older list of names, and two that get there sooner.
CLASSIC = Plan(200_000, batch_size=32, lr=0.1, optimizer="sgd", schedule="drop")
QUICK = Plan(6_000)
FULL = Plan(40_000, lr=0.01)


@runtime_checkable
class Trainable(Protocol):
    """What `train` needs of a model: a torch.nn.Module has it, and lecture 04's own layers do."""

    def __call__(self, xb: Tensor) -> Tensor: ...

    def parameters(self) -> Iterable[Tensor]: ...


def check_rows(X: Tensor, Y: Tensor) -> None:
    """Raise ValueError unless there are rows, and as many contexts as targets."""
    if len(X) == 0 or len(X) != len(Y):
        raise ValueError(
            f"There are {len(X)} contexts and {len(Y)} targets; pass at least one, and one "
            "target for each context."
        )


def train(
    model: Trainable,
    X: Integer[Tensor, "N T"],
    Y: Integer[Tensor, " N"],
    config: Plan,
    generator: torch.Generator,
    on_step: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train `model` in place on minibatches of (X, Y); return the loss of every minibatch.

    `generator` draws the minibatches and lives on the CPU; the model and the data may be on any
    device. `on_step(step, loss)` is called after each update, for a progress bar or a snapshot.

    Raises ValueError if X and Y have no rows or not the same number, and FloatingPointError as
    soon as the loss is not a finite number.
    """
    check_rows(X, Y)
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=config.lr)
    else:
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
    losses = []
    for step in range(config.steps):
        rows = torch.randint(len(X), (config.batch_size,), generator=generator).to(X.device)
        loss = F.cross_entropy(model(X[rows]), Y[rows].long())
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(
                f"The loss is {losses[-1]} at step {step}, with learning rate "
                f"{config.lr_at(step):.3g}: start again from a new model with a tenth of it, or "
                "look for one with find_learning_rate."
            )
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = config.lr_at(step)
        optimizer.step()
        if on_step is not None:
            on_step(step, losses[-1])
    return losses


def find_learning_rate(
    model: Trainable,
    X: Integer[Tensor, "N T"],
    Y: Integer[Tensor, " N"],
    generator: torch.Generator,
    low: float = 1e-3,
    high: float = 1.0,
    steps: int = 1000,
    batch_size: int = 32,
) -> tuple[list[float], list[float]]:
    """Take one plain gradient step at each rate from `low` to `high`; return rates and losses.

    The rates are evenly spaced on a logarithmic scale, and the steps are taken on a copy of the
    model. A good rate stands a little below the one where the loss stops falling and turns noisy
    (Smith 2017, "Cyclical Learning Rates for Training Neural Networks"). The lists end early
    where the loss stops being finite.

    Raises ValueError if not 0 < low < high, or if there are fewer than 2 steps.
    """
    if not 0 < low < high < math.inf:
        raise ValueError(f"low is {low} and high is {high}; they must satisfy 0 < low < high.")
    if steps < 2:
        raise ValueError(f"steps is {steps}; a search needs at least 2.")
    model = copy.deepcopy(model)
    rates, losses = torch.logspace(math.log10(low), math.log10(high), steps).tolist(), []
    for rate in rates:
        try:
            config = Plan(1, batch_size, rate, optimizer="sgd", schedule="constant")
            losses += train(model, X, Y, config, generator)
        except FloatingPointError:
            break
    return rates[: len(losses)], losses


@torch.no_grad()
def evaluate(
    model: Trainable, X: Integer[Tensor, "N T"], Y: Integer[Tensor, " N"], chunk: int = 16_384
) -> float:
    """Return the mean loss over all rows, `chunk` rows at a time to bound the memory.

    Raises ValueError if X and Y have no rows or not the same number.
    """
    check_rows(X, Y)
    total = 0.0
    for i in range(0, len(X), chunk):
        logits = model(X[i : i + chunk])
        total += F.cross_entropy(logits, Y[i : i + chunk].long(), reduction="sum").item()
    return total / len(X)


@torch.no_grad()
def sample(
    model: MLP, vocabulary: Vocabulary, generator: torch.Generator, max_length: int = 50
) -> str:
    """Return one word, drawn character by character until the boundary or `max_length`."""
    device = next(model.parameters()).device
    context, tokens = [0] * model.config.block_size, []
    while len(tokens) < max_length:
        logits = model(torch.tensor([context], device=device))
        probs = F.softmax(logits[0], dim=0).cpu()
        token = torch.multinomial(probs, 1, generator=generator).item()
        if token == 0:
            break
        tokens.append(token)
        context = [*context[1:], token]
    return vocabulary.decode(tokens)
