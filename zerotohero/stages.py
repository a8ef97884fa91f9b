"""The four stages of an assistant, on a laptop: each begins with what the last one made.

The idea, after Karpathy's talk "State of GPT" (2023). Pretraining: a model reads plays, and learns
to continue them. Supervised fine-tuning: it reads questions with answers in the form of a chat, and
learns to answer and to stop. Reward modelling: it answers each question twice, a labeller says
which answer is better, and a copy of it learns to say so in advance. Reinforcement learning: it
answers, is told what the reward model thinks, and learns to please it, not too far from where it
began.

    plays, config = Plays(text), StagesConfig()
    base = pretrain(plays, config)
    tuned = fine_tune(base, plays, config)
    preferences = compare(tuned, plays, config)
    reward_model = fit_reward(tuned, preferences, plays, config)
    assistant, history = reinforce(tuned, reward_model, plays, config)

Each function leaves the model that it is given as it was. `fit_dpo` goes from the preferences to an
assistant without the last two.

The papers: Ouyang et al. (2022) for the order of the stages; those of their parts are named in
`assistant`, `preferences` and `policy`.

New against `training`: several losses, one after another. Left out: mixing in pretraining data,
and comparing again once the model has changed.
"""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zerotohero.assistant import Rows, answer_rows, answers, sft_rows
from zerotohero.configs import make_plain
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.plays import Labeller, Plays
from zerotohero.policy import leave_one_out, reinforce_loss, token_logprobs
from zerotohero.preferences import RewardModel, bradley_terry, dpo_loss
from zerotohero.training import TrainConfig, Trainer
from zerotohero.training.config import configure_optimizers, set_rates
from zerotohero.training.machine import autocast, choose_precision
from zerotohero.training.recipes import FAST, RECIPES

RECIPE = RECIPES["assistant"]  # the first stage's sizes and plan
FINE_TUNE = replace(FAST, steps=50, batch_size=48, warmup=5, lr=2e-3, muon_lr=5e-3, eval_every=0)
# A start from trained weights, which one more loss is to change a little: AdamW, and gently.
GENTLE = TrainConfig(
    steps=60, batch_size=24, min_lr=0.0, warmup=6, weight_decay=0.0, betas=(0.9, 0.95)
)
REWARD = replace(GENTLE, steps=120, warmup=10, weight_decay=0.01)
DPO = replace(GENTLE, batch_size=16, lr=3e-4)
# The rewards come from the policy itself: a step too far spoils what the next one learns from.
REINFORCE = replace(GENTLE, steps=24, batch_size=72, warmup=4, schedule="constant")


@dataclass(frozen=True)
class StagesConfig:
    """Sizes and plans of all stages; `seed` draws weights, batches, answers and slips."""

    model: GPTConfig = RECIPE.model
    pretrain: TrainConfig = RECIPE.train
    fine_tune: TrainConfig = FINE_TUNE
    compared: int = 1800  # pairs of answers that the labeller looks at
    slips: float = 0.1  # share of these in which the labeller slips
    held_out: int = 300  # comparisons that the reward model is judged by, and doesn't learn
    reward: TrainConfig = REWARD  # batch_size counts pairs
    reinforce: TrainConfig = REINFORCE  # batch_size counts answers
    group: int = 4  # answers to one prompt that are compared with each other
    beta: float = 0.2  # the penalty a nat of divergence, in deviations of the reward
    dpo: TrainConfig = DPO  # batch_size counts pairs
    dpo_beta: float = 0.2
    seed: int = 0

    def __post_init__(self):
        make_plain(self)


@dataclass(frozen=True)
class Preference:
    """Tokens of a prompt, and of the answers that the labeller took and left."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


# --- 1 and 2: predicting tokens -----------------------------------------------------------------


def pretrain(plays: Plays, config: StagesConfig, **options) -> GPT:
    """Return a model that has read the plays. `options` are the Trainer's, such as folder."""
    model = GPT(config.model, torch.Generator().manual_seed(config.seed))
    plan = replace(config.pretrain, seed=config.seed)
    options = {"progress": False, **options}
    Trainer(plan, model, plays.train, plays.val, **options).run()
    return model.eval()


def fine_tune(base: GPT, plays: Plays, config: StagesConfig) -> GPT:
    """Return a copy of the model that has learned to answer questions, in the form of a chat."""
    model = copy.deepcopy(base)
    rows = sft_rows(plays.conversations(plays.questions), plays.template)
    plan = replace(config.fine_tune, seed=config.seed)
    Trainer(plan, model, rows, device=model.device, progress=False).run()
    return model.eval()


# --- 3: comparing -------------------------------------------------------------------------------


def ask(
    model: GPT, prompts: Sequence[list[int]], plays: Plays, generator: torch.Generator
) -> list[list[int]]:
    """Return an answer to each prompt, drawn at temperature 1."""
    with mixed(model):
        return answers(model, prompts, plays.ANSWER, plays.template.end, generator)


def compare(model: GPT, plays: Plays, config: StagesConfig) -> list[Preference]:
    """Return which of two answers of the model's the labeller took, for each pair that differs."""
    draw, generator = random.Random(config.seed), torch.Generator().manual_seed(config.seed)
    labeller = Labeller(plays, config.slips, config.seed)
    prompts = plays.prompts(draw.choices(plays.questions, k=config.compared))
    preferences = []
    for i in range(0, len(prompts), 500):  # so many at a time, to save memory
        some = prompts[i : i + 500]
        ones, others = (ask(model, some, plays, generator) for _ in range(2))
        for prompt, one, other in zip(some, ones, others, strict=True):
            if (first := labeller.prefers_first(one, other)) is not None:
                chosen, rejected = (one, other) if first else (other, one)
                preferences.append(Preference(prompt, chosen, rejected))
    return preferences


def fit_reward(
    tuned: GPT, preferences: Sequence[Preference], plays: Plays, config: StagesConfig
) -> RewardModel:
    """Return a reward model that has learned the preferences.

    Bradley–Terry fixes neither the zero nor the unit of a reward. Here they are the mean and the
    deviation of the rewards of `tuned`'s own answers, so a reward of 1 is one answer in six.
    """
    model, rows = RewardModel(tuned), both(preferences).to(tuned.device)
    batches = batches_of(len(preferences), config.reward, config.seed)

    def loss(step: int) -> Float[Tensor, ""]:
        return bradley_terry(*score(model, rows, batches[step]).unbind(1))

    fit(model, config.reward, loss)
    prompts, generator = plays.prompts(plays.questions), torch.Generator().manual_seed(config.seed)
    rewards = judge(model.eval(), answer_rows(prompts, ask(tuned, prompts, plays, generator)))
    with torch.no_grad():
        head, mean, deviation = model.gpt.lm_head, rewards.mean(), rewards.std()
        head.weight /= deviation
        head.bias.copy_((head.bias - mean) / deviation)
    return model


@torch.no_grad()
def judge(reward_model: RewardModel, rows: Rows) -> Float[Tensor, " N"]:
    """Return the reward of each row."""
    with mixed(reward_model.gpt):
        rows = rows.to(reward_model.gpt.device)
        parts = zip(rows.tokens.split(512), rows.lengths.split(512), strict=True)
        return torch.cat([reward_model(*part) for part in parts])


def agreement(reward_model: RewardModel, preferences: Sequence[Preference]) -> float:
    """Return the share of the pairs in which the chosen answer has the higher reward."""
    rewards = judge(reward_model, both(preferences)).view(-1, 2)
    return (rewards[:, 0] > rewards[:, 1]).float().mean().item()


def by_the_rule(preferences: Sequence[Preference], plays: Plays) -> list[Preference]:
    """Return the same pairs as a labeller would have them who never slips."""
    return [
        p
        if plays.true_score(p.chosen) > plays.true_score(p.rejected)
        else Preference(p.prompt, p.rejected, p.chosen)
        for p in preferences
    ]


def fit_dpo(tuned: GPT, preferences: Sequence[Preference], config: StagesConfig) -> GPT:
    """Return a copy of the model that has learned from the preferences without a reward model."""
    policy, rows = copy.deepcopy(tuned), both(preferences).to(tuned.device)
    batches = batches_of(len(preferences), config.dpo, config.seed)

    def loss(step: int) -> Float[Tensor, ""]:
        i = batches[step]
        logp = whole_logprobs(policy, rows, i)
        with torch.no_grad():
            ref = whole_logprobs(tuned, rows, i)
        return dpo_loss(*logp.unbind(1), *ref.unbind(1), beta=config.dpo_beta)

    fit(policy, config.dpo, loss)
    return policy.eval()


# --- 4: learning from the reward ------------------------------------------------------------------


def reinforce(
    tuned: GPT, reward_model: RewardModel, plays: Plays, config: StagesConfig
) -> tuple[GPT, list[dict[str, float]]]:
    """Return a copy of the model that has learned to please the reward model, and how it went.

    Of each step: the mean "reward" of its answers, their "divergence" from `tuned` in nats, and
    their true "score", which nothing learns from. An answer earns its reward, less `beta` times
    the log of how much likelier it has become.
    """
    policy, plan, history = copy.deepcopy(tuned), config.reinforce, []
    draw, generator = random.Random(config.seed), torch.Generator().manual_seed(config.seed)

    def loss(_: int) -> Float[Tensor, ""]:
        questions = draw.choices(plays.questions, k=plan.batch_size // config.group)
        prompts = [p for p in plays.prompts(questions) for _ in range(config.group)]
        drawn = ask(policy, prompts, plays, generator)
        rows = answer_rows(prompts, drawn).to(policy.device)
        mask, rewards = rows.mask[:, 1:], judge(reward_model, rows)
        logp = token_logprobs(policy, rows.tokens)
        with torch.no_grad():
            moved = ((logp - token_logprobs(tuned, rows.tokens)) * mask).sum(1)
        earned = (rewards - config.beta * moved).view(-1, config.group)
        history.append(
            {
                "reward": rewards.mean().item(),
                "divergence": moved.mean().item(),
                "score": plays.judge(drawn)["score"],
            }
        )
        return reinforce_loss(logp, leave_one_out(earned).flatten(), mask)

    fit(policy, plan, loss)
    return policy.eval(), history


@torch.no_grad()
def divergence(policy: GPT, reference: GPT, rows: Rows) -> float:
    """Return KL(policy ‖ reference) an answer in nats, estimated on rows that the policy wrote."""
    rows = rows.to(policy.device)
    with mixed(policy):
        logp, ref = (token_logprobs(model, rows.tokens) for model in (policy, reference))
    return ((logp - ref) * rows.mask[:, 1:]).sum(1).mean().item()


# --- what the stages share ------------------------------------------------------------------------


def fit(model: nn.Module, plan: TrainConfig, loss: Callable[[int], Float[Tensor, ""]]) -> None:
    """Make the plan's steps down the gradient of `loss(step)`."""
    optimizers = configure_optimizers(model, plan)
    for step in range(plan.steps):
        model.zero_grad(set_to_none=True)
        with mixed(model, plan.precision):
            value = loss(step)
        value.backward()
        if plan.grad_clip:
            nn.utils.clip_grad_norm_(model.parameters(), plan.grad_clip)
        set_rates(optimizers, plan, step)
        for optimizer in optimizers:
            optimizer.step()


def mixed(model: nn.Module, precision: str = "auto"):
    """Return the context in which the device multiplies in `precision`, or as it does fastest."""
    device = next(model.parameters()).device
    return autocast(device, choose_precision(device) if precision == "auto" else precision)


def both(preferences: Sequence[Preference]) -> Rows:
    """Return rows of all answers: of each pair the chosen one, and after it the rejected one."""
    pairs = [(p.prompt, answer) for p in preferences for answer in (p.chosen, p.rejected)]
    return answer_rows(*zip(*pairs, strict=True))


def batches_of(pairs: int, plan: TrainConfig, seed: int) -> Tensor:
    """Return the numbers of the pairs of each step, (steps, batch_size)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(pairs, (plan.steps, plan.batch_size), generator=generator)


def pick(rows: Rows, pairs: Tensor) -> Rows:
    """Return the rows of both answers of these pairs."""
    i = torch.stack([2 * pairs, 2 * pairs + 1], 1).flatten().to(rows.tokens.device)
    T = int(rows.lengths[i].max())  # what is longer here is padding alone
    return Rows(rows.tokens[i, :T], rows.mask[i, :T], rows.lengths[i])


def score(model: RewardModel, rows: Rows, pairs: Tensor) -> Float[Tensor, "B 2"]:
    """Return the rewards of the chosen and of the rejected answers of these pairs."""
    some = pick(rows, pairs)
    return model(some.tokens, some.lengths).view(-1, 2)


def whole_logprobs(model: GPT, rows: Rows, pairs: Tensor) -> Float[Tensor, "B 2"]:
    """Return the log-probabilities of the chosen and the rejected answers of these pairs."""
    some = pick(rows, pairs)
    return (token_logprobs(model, some.tokens) * some.mask[:, 1:]).sum(1).view(-1, 2)
