"""Make the runs behind lecture 08's slider: the policy gradient under several penalties.

    python benchmarks/penalties.py

Trains the first three stages once, then a policy for each penalty, and writes each step's figures
and some answers into `zerotohero/course/widgets/penalties.json`. It takes some three minutes.
"""

import json
from dataclasses import replace
from pathlib import Path

import torch

from zerotohero import stages
from zerotohero.course import data, widgets
from zerotohero.plays import Plays
from zerotohero.stages import StagesConfig

PENALTIES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
FILE = Path(widgets.__file__).with_name("penalties.json")


def main() -> None:
    """Train, and write the file."""
    torch.set_num_threads(1)
    plays, config = Plays(data.other_plays()), StagesConfig()
    tuned = stages.fine_tune(stages.pretrain(plays, config), plays, config)
    learned = stages.compare(tuned, plays, config)[config.held_out :]
    FILE.write_text(runs(tuned, stages.fit_reward(tuned, learned, plays, config), plays, config))


def runs(tuned, reward_model, plays: Plays, config: StagesConfig) -> str:
    """Return a run for each penalty as JSON: the figures of its steps, and six answers."""
    asked = plays.held_out[:6]
    found = {}
    for beta in PENALTIES:
        policy, history = stages.reinforce(tuned, reward_model, plays, replace(config, beta=beta))
        drawn = stages.ask(policy, plays.prompts(asked), plays, torch.Generator().manual_seed(1))
        said = [plays.template.decode(ids) for ids in drawn]
        found[f"{beta:g}"] = {
            "history": [{key: round(x, 3) for key, x in step.items()} for step in history],
            "answers": [[question, text] for (question, _), text in zip(asked, said, strict=True)],
        }
        print(beta, found[f"{beta:g}"]["history"][-1], flush=True)
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
