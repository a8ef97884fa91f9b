"""Learning from comparisons: a reward model, and what preferences alone are good for.

The idea: to say which of two answers is better is easier than to write a good one, and easier than
to give an answer a number on which two people agree. So people compare, and a model learns the
number: a score for each answer, such that the better one has the higher score as often as possible.
Where the difference of two scores is d, the first is taken to win with the probability σ(d).

What is done with it: `best_of_n` writes n answers and keeps the one with the highest score, at n
times the cost of one; `policy` trains the model until it writes such answers at once. And
`dpo_loss` leaves the reward model out: a policy that has learned from rewards under a penalty
implies what the reward was, so the comparisons can train the policy itself.

The papers: Bradley & Terry (1952), "Rank Analysis of Incomplete Block Designs"; Stiennon et al.
(2020), "Learning to summarize from human feedback"; Rafailov et al. (2023), "Direct Preference
Optimization". Gao et al. (2023), "Scaling Laws for Reward Model Overoptimization", plot what
best-of-n and reinforcement learning gain against how far they move, as lecture 08 does.

New against `assistant`: a target that is an order, not a token. Left out: margins between answers,
more than two answers at a time, and the other losses that came after DPO.
"""

import copy
import dataclasses
import math

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from zerotohero.gpt import GPT


class RewardModel(nn.Module):
    """A GPT's body, with one number in place of the next token's logits.

    It is read at the last real token, the only one that has seen the whole answer and its end.
    """

    def __init__(self, gpt: GPT):
        """Copy the body of `gpt`, which has learned to read; the number starts at 0."""
        super().__init__()
        self.gpt = GPT(dataclasses.replace(gpt.config, tied=False))
        self.gpt.transformer = copy.deepcopy(gpt.transformer)
        self.gpt.lm_head = nn.Linear(gpt.config.n_embd, 1, device=gpt.device)
        for parameter in self.gpt.lm_head.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, tokens: Int[Tensor, "N T"], lengths: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Return the reward of each row, of which the first `lengths` tokens are real."""
        rewards = self.gpt(tokens)[..., 0].float()  # (N, T), at every position
        return rewards.gather(1, lengths[:, None] - 1)[:, 0]


def bradley_terry(chosen: Float[Tensor, " N"], rejected: Float[Tensor, " N"]) -> Float[Tensor, ""]:
    """Return the mean of −log σ(chosen − rejected), of the rewards of N compared pairs."""
    return -F.logsigmoid(chosen - rejected).mean()


def dpo_loss(
    chosen: Float[Tensor, " N"],
    rejected: Float[Tensor, " N"],
    ref_chosen: Float[Tensor, " N"],
    ref_rejected: Float[Tensor, " N"],
    beta: float | int = 0.1,
) -> Float[Tensor, ""]:
    """Return the loss of direct preference optimisation, from log-probabilities of whole answers.

    `chosen` and `rejected` are the policy's, the others those of the model that it started from.
    The reward that a policy implies is β times the log of how much likelier than the reference it
    finds the answer; on these rewards the loss is `bradley_terry`.
    """
    return bradley_terry(beta * (chosen - ref_chosen), beta * (rejected - ref_rejected))


def best_of_n(rewards: Float[Tensor, "P n"]) -> Int[Tensor, " P"]:
    """Return which of the n answers to each of P prompts has the highest reward; the first of
    equals."""
    return rewards.argmax(-1)


def best_of_n_divergence(n: int) -> float:
    """Return KL(best of n ‖ one) in nats: log n − (n − 1) / n. ValueError for n below 1.

    That is exact if no two answers have the same reward, as the r-th best of n uniform numbers
    shows, and else more than it is.
    """
    if n < 1:
        raise ValueError(f"n is {n}; the best of at least 1 answer can be taken.")
    return math.log(n) - (n - 1) / n
