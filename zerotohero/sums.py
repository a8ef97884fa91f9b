"""A second small world: sums, whose answers need no judge, and a model that may think first.

The idea. A model spends the same work on each token. Asked for a sum, it has to know the first
digit before any carry; if it may write the digits from the last to the first before it answers,
each step is small, and the answer is copied. These are tokens to think.

Whether the answer is right can be checked, so there is a reward that no policy can fool. It is
worth something even without training, since several answers can be drawn and the majority's taken;
and with it a model that is right now and then learns to be right more often. What it was never
right about it doesn't learn: that the share of sums right in one of k attempts rises less, or
falls, is what pass@k shows.

The papers: Wei et al. (2022), "Chain-of-Thought Prompting"; Wang et al. (2022), "Self-Consistency";
Chen et al. (2021), "Evaluating Large Language Models Trained on Code", for pass@k; Shao et al.
(2024), "DeepSeekMath", for GRPO; Yue et al. (2025), "Does Reinforcement Learning Really Incentivize
Reasoning Capacity in LLMs Beyond the Base Model?", for what pass@k says of it.

New against `stages`: a reward that is true. Left out: any other arithmetic.
"""

import copy
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64
from torch import Tensor

from zerotohero import IGNORED
from zerotohero.assistant import answer_rows
from zerotohero.configs import make_plain
from zerotohero.gpt import GPT
from zerotohero.policy import group_advantages, reinforce_loss, token_logprobs
from zerotohero.stages import fit
from zerotohero.text import Characters
from zerotohero.training import TrainConfig, Trainer
from zerotohero.training.recipes import RECIPES

VOCABULARY = Characters("\n+0123456789:=")
END = VOCABULARY.stoi["\n"]
DIGITS = 3
Pair = tuple[int, int]


# --- sums as text ---------------------------------------------------------------------------------


def question(a: int, b: int, think: bool) -> str:
    """Return what asks for a + b: `123+456=`, or to think first `123+456:`."""
    return f"{a:0{DIGITS}}+{b:0{DIGITS}}" + (":" if think else "=")


def solution(a: int, b: int, think: bool) -> str:
    """Return what should follow: `0579` and a newline; if thinking, `9750=` comes first."""
    answer = f"{a + b:0{DIGITS + 1}}"
    return (f"{answer[::-1]}=" if think else "") + answer + "\n"


def final(written: str) -> str:
    """Return the answer in what was written: what stands behind the last "=", up to the newline."""
    return written.partition("\n")[0].rpartition("=")[2]


def right(written: str, pair: Pair) -> bool:
    """Return whether the answer is right, whatever was thought."""
    return final(written) == f"{sum(pair):0{DIGITS + 1}}" and written.endswith("\n")


CONTEXT = len(question(0, 0, True) + solution(0, 0, True))


def draw_sums(seed: int, n: int = 20_000, held_out: int = 500) -> tuple[list[Pair], list[Pair]]:
    """Return pairs of numbers to learn from, and others to judge by."""
    size = 10**DIGITS
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randperm(size**2, generator=generator)[: n + held_out].tolist()
    pairs = [divmod(number, size) for number in numbers]
    return pairs[held_out:], pairs[:held_out]


def rows(pairs: Sequence[Pair], think: bool) -> tuple[Int64[Tensor, "N T"], Int64[Tensor, "N T"]]:
    """Return inputs and targets; of these, the questions are IGNORED."""
    texts = [question(*pair, think) + solution(*pair, think) for pair in pairs]
    tokens = VOCABULARY.encode("".join(texts)).view(len(pairs), -1)
    X, Y = tokens[:, :-1], tokens[:, 1:].clone()
    Y[:, : len(question(0, 0, think)) - 1] = IGNORED
    return X, Y


# --- learning from examples -----------------------------------------------------------------------


# At the adder's rate, one seed in ten never understood; at this one all do, within 180 steps.
LEARN = replace(RECIPES["adder"].train, steps=300, muon_lr=0.03, muon_momentum=0.9, eval_every=0)
GRPO = TrainConfig(
    steps=24,
    batch_size=768,
    lr=1.5e-3,
    warmup=4,
    schedule="constant",
    weight_decay=0.0,
    betas=(0.9, 0.95),
)


class _Enough(Exception):
    """What ends a training early."""


@dataclass(frozen=True)
class SumsConfig:
    """Plans; `seed` draws weights, batches and answers."""

    learn: TrainConfig = LEARN
    grpo: TrainConfig = GRPO
    group: int = 8  # answers to one sum
    seed: int = 0

    def __post_init__(self):
        make_plain(self)


QUICK = SumsConfig(grpo=replace(GRPO, batch_size=384))  # half as many answers a step


def learn(
    pairs: Sequence[Pair],
    think: bool,
    config: SumsConfig,
    until: float | None = None,
) -> GPT:
    """Return a model that has learned from sums, in the form with thinking or in that without.

    It stops as soon as the share of 100 sums that it gets right is `until`: the understanding
    comes within few steps, and after a number of them that differs from seed to seed.
    """
    sizes = replace(
        RECIPES["adder"].model,
        vocab_size=len(VOCABULARY),
        block_size=CONTEXT,
    )
    model = GPT(sizes, torch.Generator().manual_seed(config.seed))
    plan = replace(config.learn, seed=config.seed)
    trainer = Trainer(plan, model, rows(pairs, think), progress=False)

    def enough(_: Trainer) -> None:
        if share_right(model, pairs[:100], think) >= until:
            raise _Enough

    if until is not None:
        trainer.on("log", enough)
    with suppress(_Enough):
        trainer.run()
    return model.eval()


# --- writing --------------------------------------------------------------------------------------


def write(
    model: GPT,
    pairs: Sequence[Pair],
    think: bool,
    n: int = 1,
    temperature: float | int = 1.0,
    generator: torch.Generator | None = None,
) -> list[list[str]]:
    """Return n answers to each sum, drawn at a temperature; 0 is always the likeliest."""
    prompts = VOCABULARY.encode("".join(question(*pair, think) for pair in pairs))
    prompts = prompts.view(len(pairs), -1).repeat_interleave(n, 0)
    length = len(solution(0, 0, think))
    options = {"temperature": temperature, "generator": generator, "stop": [END], "share": True}
    written = []
    for some in prompts.split(512):  # so many at a time, to save memory
        for ids in model.generate(some, length, **options):
            written.append(VOCABULARY.decode(ids[prompts.shape[1] :]))
    return [written[i : i + n] for i in range(0, len(written), n)]


def share_right(model: GPT, pairs: Sequence[Pair], think: bool) -> float:
    """Return the share of the sums whose likeliest answer is right."""
    written = write(model, pairs, think, temperature=0)
    return sum(right(its[0], pair) for its, pair in zip(written, pairs, strict=True)) / len(pairs)


def majority(written: Sequence[str]) -> str:
    """Return the answer that most have arrived at, whatever they thought; the first of equals."""
    return Counter(map(final, written)).most_common(1)[0][0]


def pass_at_k(n: int, n_right: int, k: int) -> float:
    """Return the chance that one of k answers is right, if `n_right` of n drawn ones are.

    That is unbiased, where 1 − (1 − n_right / n)ᵏ is not. ValueError unless k is in 1 … n.
    """
    if not 1 <= k <= n:
        raise ValueError(f"k is {k}; of {n} answers, 1 to {n} can be taken.")
    return 1 - math.comb(n - n_right, k) / math.comb(n, k)


def votes(written: Sequence[Sequence[str]], pairs: Sequence[Pair], k: int) -> float:
    """Return the share of the sums of which the majority of the first k answers is right."""
    won = (f"{majority(its[:k])}\n" for its in written)
    return sum(right(answer, pair) for answer, pair in zip(won, pairs, strict=True)) / len(pairs)


def passes(written: Sequence[Sequence[str]], pairs: Sequence[Pair], k: int) -> float:
    """Return the mean of pass@k over the sums."""
    counts = [sum(right(w, pair) for w in its) for its, pair in zip(written, pairs, strict=True)]
    return sum(pass_at_k(len(written[0]), count, k) for count in counts) / len(pairs)


# --- learning from being right --------------------------------------------------------------------


def grpo(
    model: GPT, pairs: Sequence[Pair], think: bool, config: SumsConfig
) -> tuple[GPT, list[float]]:
    """Return a copy of the model that has learned from which of its answers were right.

    The second is the share of right ones in each step. No other model is needed: not one that
    judges, because the sum can be checked; not one that knows what is usual, because that is the
    mean of the group; and not the one that it started from, because this reward can't be fooled.
    """
    policy, plan, history = copy.deepcopy(model), config.grpo, []
    generator = torch.Generator().manual_seed(config.seed)

    def loss(_: int) -> Tensor:
        numbers = torch.randint(len(pairs), (plan.batch_size // config.group,), generator=generator)
        some = [pairs[i] for i in numbers.tolist()]
        written = write(policy, some, think, config.group, generator=generator)
        rewards = torch.tensor(
            [[float(right(w, pair)) for w in its] for its, pair in zip(written, some, strict=True)]
        )
        history.append(rewards.mean().item())
        asked = [[VOCABULARY.stoi[c] for c in question(*pair, think)] for pair in some]
        prompts = [ids for ids in asked for _ in range(config.group)]
        answers = [[VOCABULARY.stoi[c] for c in w] for its in written for w in its]
        tokens, mask, _ = answer_rows(prompts, answers)
        advantages = group_advantages(rewards).flatten()
        return reinforce_loss(token_logprobs(policy, tokens), advantages, mask[:, 1:])

    fit(policy, plan, loss)
    return policy.eval(), history
