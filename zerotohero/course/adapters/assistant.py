"""How answers to 8.1 to 8.5 are called. This enters the sandbox."""

import re

import torch

from zerotohero.course.adapters.shared import kind_of

# --- 8.1 ----------------------------------------------------------------------------------------


def chatted(chat_ids, calls):
    return {"ids": [_chat(chat_ids, **call) for call in calls]}


def chatted_or_refused(chat_ids, calls):
    """Do what `chatted` does, with an error's name where one was raised: its own or ValueError."""
    found = []
    for call in calls:
        try:
            found.append(_chat(chat_ids, **call))
        except NotImplementedError:
            raise
        except Exception as error:
            found.append(kind_of(error))
    return {"ids": found}


def _chat(chat_ids, conversation, special, pairs):
    ids = chat_ids(conversation, special, _encoder(special, pairs))
    if isinstance(ids, list) and any(isinstance(i, list) for i in ids):
        raise TypeError("the list that was returned holds a list, and not only tokens")
    return ids


def _encoder(special, pairs):
    """Return an encode with bytes, tokens for some pairs of characters, and special ones."""

    def encode(text, allowed):
        names = [name for name in special if name in (allowed or ())]
        ids = []
        for part in (
            re.split("(" + "|".join(map(re.escape, names)) + ")", text) if names else [text]
        ):
            if part in names:
                ids.append(special[part])
                continue
            i = 0
            while i < len(part):
                pair = part[i : i + 2]
                ids += [pairs[pair]] if pair in pairs else part[i].encode()
                i += 2 if pair in pairs else 1
        return ids

    return encode


# --- 8.2 ----------------------------------------------------------------------------------------


def targeted(targets_of, masked_loss, calls):
    return {"targets": [_targets(targets_of, **call) for call in calls]}


def _targets(targets_of, tokens, lengths, roles, end):
    return targets_of(torch.tensor(tokens), torch.tensor(lengths), dict(roles), end)


def lost(targets_of, masked_loss, calls):
    losses = []
    for call in calls:
        logits = torch.tensor(call["logits"], requires_grad=True)
        loss = masked_loss(logits, torch.tensor(call["targets"]))
        losses.append(_with_gradients(loss, logits=logits))
    return {"losses": losses}


def _with_gradients(loss, **tensors):
    """Return a loss and its gradients: 0 where none arrives, None where the loss is a number."""
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        return {"loss": loss, **dict.fromkeys(tensors)}
    loss.backward()
    grads = {k: torch.zeros_like(x) if x.grad is None else x.grad for k, x in tensors.items()}
    return {"loss": loss, **grads}


# --- 8.3 ----------------------------------------------------------------------------------------


def preferred(preference_loss, last_reward, calls):
    losses = []
    for call in calls:
        tensors = {
            name: torch.tensor(call[name], requires_grad=True) for name in ("chosen", "rejected")
        }
        losses.append(_with_gradients(preference_loss(*tensors.values()), **tensors))
    return {"losses": losses}


def rewarded(preference_loss, last_reward, calls):
    found = []
    for call in calls:
        rewards = torch.tensor(call["rewards"], requires_grad=True)
        lengths = torch.tensor(call["lengths"])
        last = last_reward(rewards, lengths)
        if isinstance(last, torch.Tensor) and last.shape == lengths.shape and last.requires_grad:
            last.backward(torch.arange(1.0, len(last) + 1, dtype=last.dtype))
        found.append({"last": last, "grad": rewards.grad})
    return {"found": found}


# --- 8.4 ----------------------------------------------------------------------------------------


def estimated(estimates, biases, calls):
    found = []
    for call in calls:
        found.append(estimates(torch.tensor(call["logp"]), torch.tensor(call["ref_logp"])))
    return {"ks": found}


def biased(estimates, biases, calls):
    return {"biases": [biases(torch.tensor(c["p"]), torch.tensor(c["q"])) for c in calls]}


# --- 8.5 ----------------------------------------------------------------------------------------


def compared(less_the_others, in_its_group, policy_loss, clipped_loss, calls):
    rewards = [torch.tensor(call["rewards"]) for call in calls]
    return {
        "others": [less_the_others(r.clone()) for r in rewards],
        "groups": [in_its_group(r.clone()) for r in rewards],
    }


def improved(less_the_others, in_its_group, policy_loss, clipped_loss, calls):
    losses = []
    for call in calls:
        logp = torch.tensor(call["logp"], requires_grad=True)
        loss = policy_loss(logp, torch.tensor(call["advantages"]), torch.tensor(call["mask"]))
        losses.append(_with_gradients(loss, logp=logp))
    return {"losses": losses}


def clipped(less_the_others, in_its_group, policy_loss, clipped_loss, calls):
    losses = []
    for call in calls:
        logp = torch.tensor(call["logp"], requires_grad=True)
        given = [torch.tensor(call[name]) for name in ("old_logp", "advantages", "mask")]
        loss = clipped_loss(logp, *given, call["clip"])
        losses.append(_with_gradients(loss, logp=logp))
    return {"losses": losses}
