"""Lecture 08's claims over many seeds: each stage of the plays' assistant, and the sums.

    python benchmarks/assistant.py --seeds 0 1 2 3 4 5 6 7 8 9 --rows rows.jsonl

Prints, of each figure, the lowest, the median and the highest over the seeds, then the claims with
the number of seeds that they hold for, and exits with 1 if one fails for any. A seed's figures are
put into the file of rows as soon as they are there, and seeds that it has aren't run again, so
several processes can share the work. Seconds are those of the processor, on one thread.
"""

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from zerotohero import stages, sums
from zerotohero.assistant import answer_rows
from zerotohero.course import data
from zerotohero.gpt import GPT
from zerotohero.plays import Plays
from zerotohero.preferences import RewardModel, best_of_n
from zerotohero.stages import StagesConfig
from zerotohero.sums import SumsConfig
from zerotohero.training import evaluate

NS = (1, 2, 4, 8, 16)
CLAIMS: dict[str, Callable[[dict], bool]] = {
    "fine-tuning: 3 of 4 answers end, of the base model's 1 of 10 at most": lambda r: (
        r["tuned ended"] > 0.75 and r["base ended"] < 0.1
    ),
    "fine-tuning: the loss of held-out answers falls by 1 nat a token": lambda r: (
        r["tuned loss"] < r["base loss"] - 1
    ),
    "reward model: 64 % of unseen pairs as the rule has them": lambda r: (
        r["reward model, rule"] > 0.64
    ),
    "best of n: true score rises with n, by 0.4 in all": lambda r: (
        all(r[f"best of {a}"] < r[f"best of {b}"] for a, b in itertools.pairwise(NS))
        and r["best of 16"] > r["best of 1"] + 0.4
    ),
    "policy gradient: true score 0.4 above the fine-tuned model's": lambda r: (
        r["policy score"] > r["tuned score"] + 0.4
    ),
    "without penalty: more reward, twice the divergence": lambda r: (
        r["unchecked reward"] > r["policy reward"]
        and r["unchecked divergence"] > 2 * r["policy divergence"]
    ),
    "without penalty: true score falls on the way 0.4 below the end with it": lambda r: (
        r["unchecked lowest"] < r["policy score"] - 0.4
    ),
    "DPO: true score 0.1 above the fine-tuned model's": lambda r: (
        r["dpo score"] > r["tuned score"] + 0.1
    ),
    "sums: the majority of 16 is right 10 % more often than one": lambda r: (
        r["begun majority of 16"] > r["begun pass@1"] + 0.1
    ),
    "sums: GRPO raises the share of right answers by 8 %": lambda r: (
        r["grpo pass@1"] > r["begun pass@1"] + 0.08
    ),
}


class Watch:
    """Figures and seconds of one seed."""

    def __init__(self):
        self.figures: dict[str, float] = {}

    def __call__(self, name: str, function: Callable, *args):
        """Return function(*args), and note what it took."""
        start = time.process_time()
        result = function(*args)
        self.figures[f"s, {name}"] = time.process_time() - start
        return result


def loss(model: GPT, plays: Plays) -> float:
    """Return the mean loss a token of the held-out answers in a chat."""
    return evaluate(model, stages.sft_rows(plays.conversations(plays.held_out), plays.template))


def plays_figures(plays: Plays, seed: int) -> dict[str, float]:
    """Return the figures of all four stages."""
    watch, config = Watch(), StagesConfig(seed=seed)
    figures, generator = watch.figures, torch.Generator().manual_seed(seed + 1000)
    prompts = plays.prompts(plays.held_out)

    def look(name: str, model: GPT, rm: RewardModel | None = None) -> None:
        drawn = stages.ask(model, prompts, plays, generator)
        figures.update({f"{name} {key}": value for key, value in plays.judge(drawn).items()})
        if rm:
            rows = answer_rows(prompts, drawn)
            figures[f"{name} reward"] = stages.judge(rm, rows).mean().item()
            figures[f"{name} divergence"] = stages.divergence(model, tuned, rows)

    base = watch("pretraining", stages.pretrain, plays, config)
    look("base", base)
    tuned = watch("fine-tuning", stages.fine_tune, base, plays, config)
    look("tuned", tuned)
    figures |= {"base loss": loss(base, plays), "tuned loss": loss(tuned, plays)}

    preferences = watch("comparing", stages.compare, tuned, plays, config)
    learned, unseen = preferences[config.held_out :], preferences[: config.held_out]
    rm = watch("reward model", stages.fit_reward, tuned, learned, plays, config)
    figures["reward model, labels"] = stages.agreement(rm, unseen)
    figures["reward model, rule"] = stages.agreement(rm, stages.by_the_rule(unseen, plays))

    some = [prompt for prompt in prompts[:120] for _ in range(NS[-1])]
    drawn = watch("best of n", stages.ask, tuned, some, plays, generator)
    rewards = stages.judge(rm, answer_rows(some, drawn))
    scores = torch.tensor([plays.true_score(answer) for answer in drawn])
    for n in NS:
        best = best_of_n(rewards.view(-1, n))[:, None]
        figures[f"best of {n}"] = scores.view(-1, n).gather(1, best).mean().item()

    for name, beta in (("policy", config.beta), ("unchecked", 0.0)):
        changed = replace(config, beta=beta)
        model, went = watch(f"penalty {beta}", stages.reinforce, tuned, rm, plays, changed)
        look(name, model, rm)
        third = len(went) // 3  # until then, both do about the same
        figures[f"{name} lowest"] = min(step["score"] for step in went[third:])
    dpo = watch("DPO", stages.fit_dpo, tuned, learned, config)
    look("dpo", dpo, rm)
    return figures


def sums_figures(seed: int) -> dict[str, float]:
    """Return the figures of the sums."""
    watch, config = Watch(), SumsConfig(seed=seed)
    figures, generator = watch.figures, torch.Generator().manual_seed(seed + 1000)
    train, unseen = sums.draw_sums(seed)
    shorter = replace(config, learn=replace(config.learn, steps=120))
    direct = watch("sums, direct", sums.learn, train, False, shorter)
    figures["direct"] = sums.share_right(direct, unseen, False)

    def look(name: str, model: GPT) -> None:
        some = unseen[:250]
        written = watch(f"32 answers, {name}", sums.write, model, some, True, 32, 1.0, generator)
        for k in (1, 8, 32):
            figures[f"{name} pass@{k}"] = sums.passes(written, some, k)
        figures[f"{name} majority of 16"] = sums.votes(written, some, 16)

    begun = watch("sums, begun", sums.learn, train, True, config, 0.5)
    figures["begun"] = sums.share_right(begun, unseen, True)
    look("begun", begun)
    policy, _ = watch("GRPO", sums.grpo, begun, train, True, config)
    look("grpo", policy)
    return figures


def table(rows: list[dict[str, float]]) -> bool:
    """Print all figures and claims; return whether every claim holds for every seed."""
    print(f"{len(rows)} seeds {'':29} min   median      max")
    for name in rows[0]:
        values = [row[name] for row in rows if name in row]
        low, high, middle = min(values), max(values), statistics.median(values)
        print(f"{name:36} {low:8.3f} {middle:8.3f} {high:8.3f}")
    fine = True
    for claim, holds in CLAIMS.items():
        count = sum(map(holds, rows))
        fine = fine and count == len(rows)
        print(f"{count:3} of {len(rows)}  {claim}")
    return fine


def main() -> None:
    """Run the seeds that the file doesn't have, and print the table of all that it has then."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="*", default=range(10))
    parser.add_argument("--rows", type=Path, default=Path("assistant.jsonl"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    plays = Plays(data.other_plays())

    def read() -> dict[int, dict]:
        lines = args.rows.read_text().splitlines() if args.rows.exists() else []
        return {row.pop("seed"): row for row in map(json.loads, lines)}

    for seed in args.seeds:
        if seed not in read():
            row = {"seed": seed, **plays_figures(plays, seed), **sums_figures(seed)}
            with open(args.rows, "a") as file:
                file.write(json.dumps(row) + "\n")
    rows = read()
    raise SystemExit(not table([rows[seed] for seed in sorted(rows)]))


if __name__ == "__main__":
    main()
