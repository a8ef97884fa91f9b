"""Learning from a reward: policy gradients, their baselines, and how far a policy has moved.

The idea: an answer is drawn, not computed, so no gradient leads from its reward back to the
weights. But the probability of what was drawn is differentiable: make what was rewarded more than
usual likelier, what was rewarded less than usual less likely. "Than usual" is the baseline. It
changes nothing in the mean, since the gradient of log p is 0 on average, and very much in the
noise.

The policy will find whatever the reward model takes for good, so it is kept near the model that it
started from: a penalty on the divergence between the two, estimated on the answers that were drawn.

The papers: Williams (1992), REINFORCE; Schulman et al. (2017), "Proximal Policy Optimization", for
the clip; Ahmadian et al. (2024), "Back to Basics", for leaving one out; Shao et al. (2024),
"DeepSeekMath", for GRPO; J. Schulman's note "Approximating KL Divergence" (2020) for the three
estimates.

New against `preferences`: the model learns from answers of its own. Left out: a learned value of
each position, as PPO has one, and rewards on the way.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


def token_logprobs(model: nn.Module, tokens: Int[Tensor, "N T"]) -> Float[Tensor, "N T_less_1"]:
    """Return the log of the probability of each token but the first, given those before it.

    What stands at the tokens of questions and padding goes out with `mask[:, 1:]`.
    """
    logits = model(tokens[:, :-1]).float()
    return logits.log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]


def masked_mean(x: Float[Tensor, "N T"], mask: Bool[Tensor, "N T"]) -> Float[Tensor, ""]:
    """Return the mean of x where the mask is True: of all tokens, not of the rows' means."""
    return (x * mask).sum() / mask.sum()


# --- how far the policy has moved -----------------------------------------------------------------


def kl_estimates(
    logp: Float[Tensor, "..."], ref_logp: Float[Tensor, "..."]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Return three estimates of KL(policy ‖ reference), from samples of the policy.

    With r the log of how much likelier the reference finds a sample:

    - k1 = −r: right on average, noisy, and negative for every second sample;
    - k2 = r² / 2: never negative, less noisy, and wrong on average, if little while r is small;
    - k3 = eʳ − 1 − r: right on average, since that of eʳ is 1, never negative, and less noisy
      than k1 while the two are near.
    """
    r = ref_logp - logp
    return -r, r**2 / 2, r.exp() - 1 - r


# --- what is better than usual --------------------------------------------------------------------


def leave_one_out(rewards: Float[Tensor, "P K"]) -> Float[Tensor, "P K"]:
    """Return each reward less the mean of the other K − 1 answers to the same prompt.

    The baseline doesn't know the answer that it judges, so the gradient's mean stays what it was.
    ValueError for a single answer.
    """
    K = rewards.shape[1]
    if K < 2:
        raise ValueError("With one answer to a prompt there is none to compare it with: draw two.")
    return (rewards - rewards.mean(1, keepdim=True)) * K / (K - 1)


def group_advantages(rewards: Float[Tensor, "P K"], scale: bool = True) -> Float[Tensor, "P K"]:
    """Return GRPO's advantages: rewards less their group's mean, divided by its deviation.

    Where all K answers to a prompt are as good, they are 0: there is nothing to learn from it.
    Not to `scale` is to give prompts that divide the answers evenly more weight, as Liu et al.
    (2025, "Understanding R1-Zero-Like Training") prefer.
    """
    advantages = rewards - rewards.mean(1, keepdim=True)
    return advantages / (rewards.std(1, keepdim=True) + 1e-4) if scale else advantages


# --- the losses whose gradient is the policy's ----------------------------------------------------


def reinforce_loss(
    logp: Float[Tensor, "N T"], advantages: Float[Tensor, " N"], mask: Bool[Tensor, "N T"]
) -> Float[Tensor, ""]:
    """Return the loss whose gradient is REINFORCE's: −advantage · log p, a mean over the tokens.

    The value of the loss says nothing; its gradient is right for the policy that drew the answers.
    """
    return -masked_mean(advantages[:, None] * logp, mask)


def ppo_loss(
    logp: Float[Tensor, "N T"],
    old_logp: Float[Tensor, "N T"],
    advantages: Float[Tensor, " N"],
    mask: Bool[Tensor, "N T"],
    clip: float | int = 0.2,
) -> Float[Tensor, ""]:
    """Return PPO's loss, for several updates on the same answers, a mean over the tokens.

    `old_logp` are those of the policy that drew them. Where the ratio of the two has gone more
    than `clip` beyond 1 in the direction that the advantage asks for, there is no gradient: these
    answers know nothing of a policy so far away. In the first update it is REINFORCE's gradient.
    """
    ratio = (logp - old_logp).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    gains = torch.minimum(ratio * advantages[:, None], clipped * advantages[:, None])
    return -masked_mean(gains, mask)
