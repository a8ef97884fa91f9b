"""What TRL says of random tensors: the figures that the losses of lecture 08 are compared with.

    python -m venv /tmp/trl && /tmp/trl/bin/pip install torch==2.13.0 trl==1.16.0
    /tmp/trl/bin/python tests/trl_figures.py

writes data/trl.json: inputs, TRL's losses and their gradients, and the versions. The losses are
computed by TRL's own trainers, whose methods are called with the tensors in place of a model's.
The advantages are no methods there; those lines of its source are run as they stand.
"""

import inspect
import json
import re
import textwrap
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor

FILE = Path(__file__).parent / "data" / "trl.json"
N, T, K = 6, 9, 3  # rows, tokens, answers to a prompt
BETA, CLIP, KL = 0.3, 0.2, 0.1


class Fake(SimpleNamespace):
    """A trainer that has nothing but what its loss asks for; what is unknown is off."""

    def __getattr__(self, name: str) -> object:
        return False


ACCELERATOR = SimpleNamespace(
    device="cpu",
    num_processes=1,
    gather=lambda x: x,
    gather_for_metrics=lambda x: x,
    reduce=lambda x, reduction: x,
)


def fake(**has) -> Fake:
    known = {"accelerator": ACCELERATOR, "_metrics": {"train": defaultdict(list)}, "_logs": None}
    return Fake(model=Fake(training=True), args=Fake(**has.pop("args", {})), **known, **has)


def draw() -> dict[str, Tensor]:
    """Return the inputs: log-probabilities, masks of different lengths, rewards."""
    g = torch.Generator().manual_seed(8)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    logp = normal(N, T) - 3
    return {
        "logp": logp,
        "old_logp": logp + 0.3 * normal(N, T),  # some ratios beyond the clip, either way
        "ref_logp": logp + 0.5 * normal(N, T),
        "mask": (torch.arange(T) < torch.tensor([[9], [4], [1], [7], [9], [2]])).long(),
        "advantages": normal(N),
        "chosen": normal(N),
        "rejected": normal(N),
        "ref_chosen": normal(N),
        "ref_rejected": normal(N),
        "rewards": normal(N // K, K),
    }


def reward_loss(i: dict[str, Tensor]) -> Tensor:
    from trl import RewardTrainer

    rewards = torch.cat([i["chosen"], i["rejected"]])[:, None]
    trainer = fake(args={"center_rewards_coefficient": None})
    trainer._total_train_tokens, trainer._tp_size = 0, 1
    inputs = {"attention_mask": torch.ones(1)}
    return RewardTrainer.compute_loss(trainer, lambda **_: Fake(logits=rewards), inputs)


def dpo_loss(i: dict[str, Tensor]) -> Tensor:
    from trl import DPOTrainer

    def model(first: Tensor, second: Tensor):
        whole = torch.cat([first, second])[:, None]  # an answer of one token
        zeros = torch.zeros_like(whole)
        said = {"log_probs": whole, "entropy": zeros, "mean_logits": zeros, "is_top1": whole > 0}
        return lambda **_: Fake(**said)

    trainer = fake(beta=BETA, f_divergence_type="reverse_kl", ld_alpha=None)
    trainer.loss_types, trainer.loss_weights = ["sigmoid"], [1.0]
    trainer.ref_model = model(i["ref_chosen"], i["ref_rejected"])
    trainer._total_train_tokens, trainer._tp_size = 0, 1
    mask = torch.ones(2 * N, 2, dtype=torch.long)
    inputs = {"input_ids": mask, "attention_mask": mask, "completion_mask": mask}
    return DPOTrainer._compute_loss(trainer, model(i["chosen"], i["rejected"]), inputs, False)


def grpo_loss(i: dict[str, Tensor], old: bool, beta: float) -> Tensor:
    from trl import GRPOTrainer

    trainer = fake(
        beta=beta,
        loss_type="bnpo",  # a mean over all tokens of the batch
        importance_sampling_level="token",
        epsilon_low=CLIP,
        epsilon_high=CLIP,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        current_gradient_accumulation_steps=1,
        args={"delta": None},
    )
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (i["logp"], i["logp"], None)
    ids = torch.ones(N, T, dtype=torch.long)
    inputs = {
        "prompt_ids": ids,
        "prompt_mask": ids,
        "completion_ids": ids,
        "completion_mask": i["mask"],
        "advantages": i["advantages"],
        "ref_per_token_logps": i["ref_logp"],
    }
    inputs |= {"old_per_token_logps": i["old_logp"]} if old else {}
    return GRPOTrainer._compute_loss(trainer, None, inputs)


def advantages(trainer: type, first: str, last: str, rewards: Tensor) -> Tensor:
    """Run the lines of a trainer's source from the one with `first` to that with `last`."""
    from trl.trainer.utils import nanstd

    source = inspect.getsource(trainer._generate_and_score_completions)
    block = re.search(rf"^ *{re.escape(first)}.*?^ *{re.escape(last)}[^\n]*", source, re.M | re.S)
    names = {
        "torch": torch,
        "nanstd": nanstd,
        "self": Fake(scale_rewards="group"),
        "num_generations": K,
        "rewards": rewards.flatten(),
        "grouped_rewards": rewards,
    }
    exec(textwrap.dedent(block[0]), names)
    return names["advantages"].view(-1, K)


def main() -> None:
    import transformers
    import trl

    inputs, said = draw(), {}

    def note(name: str, loss: Tensor, *of: str) -> None:
        gradients = torch.autograd.grad(loss, [inputs[key] for key in of])
        its = {key: g.tolist() for key, g in zip(of, gradients, strict=True)}
        said[name] = {"loss": loss.item(), "gradients": its}

    for name in ("logp", "chosen", "rejected"):
        inputs[name].requires_grad_()
    note("bradley_terry", reward_loss(inputs), "chosen", "rejected")
    note("dpo_loss", dpo_loss(inputs), "chosen", "rejected")
    note("reinforce_loss", grpo_loss(inputs, old=False, beta=0.0), "logp")
    note("ppo_loss", grpo_loss(inputs, old=True, beta=0.0), "logp")
    note("ppo_loss with k3", grpo_loss(inputs, old=True, beta=KL), "logp")
    for name, trainer, first, last in (
        (
            "group_advantages",
            trl.GRPOTrainer,
            "mean_grouped_rewards =",
            "advantages = advantages /",
        ),
        ("leave_one_out", trl.RLOOTrainer, "scorable_counts =", "advantages = rewards - baselines"),
    ):
        said[name] = advantages(trainer, first, last, inputs["rewards"]).tolist()
    content = {
        "made by": "python tests/trl_figures.py",
        "versions": {m.__name__: m.__version__ for m in (trl, transformers, torch)},
        "settings": {"beta": BETA, "clip": CLIP, "kl": KL},
        "inputs": {name: tensor.tolist() for name, tensor in inputs.items()},
        "said": said,
    }
    FILE.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
