"""What `zerotohero train assistant` does: all four stages of lecture 08, into one run's folder.

The folder is a run's, as any other, and its model is the last stage's: `sample` and `chat` take it.
In it are those of the stages before: `1-pretrained` and `2-fine-tuned` are runs, too, to be
compared with it; `3-reward-model` holds reward.pt. A stage writes its file when it is done, so a
run that was stopped goes on with the stage that it was in, and within the first one with its last
checkpoint.

`steps` is the first stage's. The other stages keep their proportion to it.
"""

import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from zerotohero import stages
from zerotohero.assistant import answer_rows
from zerotohero.course import settings
from zerotohero.course.run import Run, check_device, check_free, resume_command, say
from zerotohero.course.sources import OURS
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.plays import Plays
from zerotohero.preferences import RewardModel
from zerotohero.stages import RECIPE, StagesConfig
from zerotohero.text import BytePairTokens, read_text
from zerotohero.training import TrainConfig, load_checkpoint
from zerotohero.training.checkpoint import load_weights, save_checkpoint, weights
from zerotohero.training.machine import best_device, place

NAME = RECIPE.name
PRETRAINED, FINE_TUNED, REWARD = "1-pretrained", "2-fine-tuned", "3-reward-model"
LEAST = 40  # comparisons, however short the stages are


def train(
    folder: Path,
    source: str | None,
    wish: dict[str, object],
    *,
    resume: bool = False,
    device: str | None = None,
) -> None:
    """Make an assistant in a new folder, or go on with one. ValueError for what can't be.

    source: a name in OURS or a file; None: the plays, or what the folder was begun with.
    """
    if place()[1] > 1:
        raise ValueError("The assistant's stages are for one process: start them without torchrun.")
    where = torch.device(check_device(device) or best_device())
    begun = Run.read(folder) if resume else None
    if not resume:
        check_free(folder)
    source = source or (begun.data if begun else RECIPE.data)
    text = OURS[source]() if source in OURS else read_text(source)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if begun:
        check_same(begun, folder, source, digest, wish)
    sizes, plan = (begun.model, begun.train) if begun else planned(wish)
    plays = Plays(text, sizes.vocab_size)
    longest = max(map(len, plays.prompts(plays.questions + plays.held_out))) + plays.ANSWER
    if sizes.block_size < longest or sizes.vocab_size != len(plays.tokenizer):
        raise ValueError(
            f"A question and its answer take {longest} tokens, and the text gives "
            f"{len(plays.tokenizer)} pieces: block_size={sizes.block_size} and "
            f"vocab_size={sizes.vocab_size} don't fit."
        )
    pieces = BytePairTokens(plays.tokenizer)
    run = begun or Run(NAME, None, source, digest, False, None, sizes, plan, pieces)
    if not resume:
        run.write(folder)
    try:
        Stages(folder, run, plays, where).all()
    except KeyboardInterrupt:
        say(f"Stopped. Go on with `{resume_command(folder)}`.")
        raise SystemExit(130) from None


def planned(wish: dict[str, object]) -> tuple[GPTConfig, TrainConfig]:
    """Return the model's sizes and the first stage's plan, as the recipe has them, with changes."""
    sizes = replace(RECIPE.model, **{k: v for k, v in wish.items() if k in settings.MODEL})
    changes = {key: value for key, value in wish.items() if key in settings.TRAIN}
    if "steps" in changes and "warmup" not in changes:  # short, it isn't all warm-up
        changes["warmup"] = min(RECIPE.train.warmup, changes["steps"] // 10)
    return sizes, replace(RECIPE.train, **changes)


def check_same(run: Run, folder: Path, source: str, digest: str, wish: dict[str, object]) -> None:
    """Raise ValueError unless the run is an assistant's, and goes on with what it was begun."""
    if run.recipe != NAME:
        raise ValueError(f"{folder} holds no assistant: name the folder of one with --out.")
    if run.sha256 != digest:
        raise ValueError(
            f"{source} is not what {folder} was begun with (its SHA-256 differs); restore the old "
            "file, or begin in another folder with --out."
        )
    fields = asdict(run.model) | asdict(run.train)
    for key, value in wish.items():
        if value != fields[key]:
            raise ValueError(
                f"{folder} was begun with {key}={fields[key]}, and goes on with it; for "
                f"{key}={value}, begin in another folder with --out."
            )


def scaled(run: Run) -> StagesConfig:
    """Return the plans of all stages: as long as they should be beside the first one."""
    usual, share = StagesConfig(), run.train.steps / RECIPE.train.steps

    def shorter(plan: TrainConfig) -> TrainConfig:
        steps = max(1, round(share * plan.steps))
        return replace(plan, steps=steps, warmup=min(plan.warmup, steps // 4))

    return replace(
        usual,
        model=run.model,
        pretrain=run.train,
        fine_tune=shorter(usual.fine_tune),
        compared=max(LEAST, round(share * usual.compared)),
        held_out=max(LEAST // 4, round(share * usual.held_out)),
        reward=shorter(usual.reward),
        reinforce=shorter(usual.reinforce),
        seed=run.train.seed,
    )


class Stages:
    """The four stages of a run, each made, or read where it was made already."""

    def __init__(self, folder: Path, run: Run, plays: Plays, device: torch.device):
        self.folder, self.run, self.plays, self.device = folder, run, plays, device
        self.config = scaled(run)
        self.prompts = plays.prompts(plays.held_out)

    def all(self) -> None:
        """Make what isn't made yet, and say what each stage was good for."""
        base = self.pretrained()
        tuned = self.fine_tuned(base)
        rewards = self.reward_model(tuned)
        drawn = self.assistant(tuned, rewards)
        for question, answer in zip(self.plays.held_out[:5], drawn, strict=False):
            say(f"    {question[0]}  {self.plays.template.decode(answer)}")
        say(f"Talk to it:     zerotohero chat {self.folder}")
        say(f"Before that:    zerotohero chat {self.folder / FINE_TUNED}")
        say(f"And the first:  zerotohero sample {self.folder / PRETRAINED}")

    def pretrained(self) -> GPT:
        say(f"1. Pretraining: {self.config.pretrain.steps:,} steps on {self.run.data}")
        folder = self.folder / PRETRAINED
        self.describe(folder, self.config.pretrain)
        options = {"folder": folder, "device": self.device, "resume": True}
        base = stages.pretrain(self.plays, self.config, progress=sys.stderr.isatty(), **options)
        self.report(base)
        return base

    def fine_tuned(self, base: GPT) -> GPT:
        plan, path = self.config.fine_tune, self.folder / FINE_TUNED / "last.pt"
        n = len(self.plays.questions)
        say(f"2. Supervised fine-tuning: {plan.steps} steps on {n:,} questions and answers")
        if not path.exists():
            tuned = stages.fine_tune(base, self.plays, self.config)
            self.describe(path.parent, plan)
            keep(path, tuned, tuned.config, plan)
        tuned = self.read(path, GPT(self.run.model))
        self.report(tuned)
        return tuned

    def reward_model(self, tuned: GPT) -> RewardModel:
        plan, path = self.config.reward, self.folder / REWARD / "reward.pt"
        say(f"3. Reward model: {plan.steps} steps on {self.config.compared:,} comparisons")
        if not path.exists():
            preferences = stages.compare(tuned, self.plays, self.config)
            unseen = preferences[: self.config.held_out]
            learned = preferences[self.config.held_out :]
            model = stages.fit_reward(tuned, learned, self.plays, self.config)
            share = stages.agreement(model, stages.by_the_rule(unseen, self.plays))
            path.parent.mkdir(exist_ok=True)
            keep(path, model, tuned.config, plan, [{"agreement": share}])
        share = load_checkpoint(path)["log"][0]["agreement"]
        say(f"   it judges {share:.0%} of unseen pairs as the rule does that the labeller has")
        return self.read(path, RewardModel(tuned))

    def assistant(self, tuned: GPT, rewards: RewardModel) -> list[list[int]]:
        """Make the last stage, and return what it answers."""
        plan, path = self.config.reinforce, self.folder / "last.pt"
        say(f"4. Reinforcement learning: {plan.steps} steps, {plan.batch_size} answers each")
        if not path.exists():
            policy, history = stages.reinforce(tuned, rewards, self.plays, self.config)
            keep(path, policy, policy.config, plan, history)
        policy = self.read(path, GPT(self.run.model))
        drawn = self.report(policy)
        rows = answer_rows(self.prompts, drawn)
        reward = stages.judge(rewards, rows).mean().item()
        moved = stages.divergence(policy, tuned, rows)
        say(f"   reward {reward:+.2f}; {moved:.1f} nats from the fine-tuned model")
        return drawn

    # --- what they share

    def report(self, model: GPT) -> list[list[int]]:
        """Say how good the model's answers are, and return them."""
        generator = torch.Generator().manual_seed(self.config.seed)
        drawn = stages.ask(model, self.prompts, self.plays, generator)
        its = self.plays.judge(drawn)
        say(
            f"   asked in a chat, {its['ended']:.0%} of the answers end, {its['polite']:.0%} are "
            f"polite; true score {its['score']:+.2f}"
        )
        return drawn

    def describe(self, folder: Path, plan: TrainConfig) -> None:
        """Make the folder of a stage a run's own."""
        folder.mkdir(exist_ok=True)
        dataclasses.replace(self.run, recipe=None, train=plan).write(folder)

    def read(self, path: Path, model: nn.Module) -> nn.Module:
        """Put the weights of a stage that is done into the model."""
        load_weights(model, load_checkpoint(path)["model"])
        return model.to(self.device).eval()


def keep(
    path: Path, model: nn.Module, sizes: GPTConfig, plan: TrainConfig, log: Sequence[dict] = ()
) -> None:
    """Write a stage's model as a checkpoint, whole or not at all."""
    content = {
        **weights(model),
        "model_config": asdict(sizes),
        "train_config": asdict(plan),
        "extra": {},
        "step": plan.steps,
        "log": list(log),
    }
    save_checkpoint(path, content)
