"""How answers to 8.6 to 8.10 are called. This enters the sandbox."""

import torch


class Stand:
    """Stands in for a model: logits that depend on all tokens so far, and on a shift that learns.

    It keeps the rows that it was asked about.
    """

    def __init__(self, emb, out, shift):
        self.emb, self.out = (torch.tensor(x, dtype=torch.float64) for x in (emb, out))
        self.shift = torch.tensor(shift, dtype=torch.float64, requires_grad=True)
        self.seen = []

    def __call__(self, idx):
        if not isinstance(idx, torch.Tensor) or idx.ndim != 2:
            raise TypeError("the model takes a tensor of tokens, (N, T)")
        self.seen.append(idx.tolist())
        x = self.emb[idx]
        past = x.cumsum(1) / torch.arange(1, 1 + idx.shape[1])[:, None]
        return torch.tanh(x + past) @ self.out + self.shift


# --- 8.6 ------------------------------------------------------------------------------------------


def logprobs(answer_logprobs, dpo_loss, model, tokens, mask):
    its = answer_logprobs(Stand(**model), torch.tensor(tokens), torch.tensor(mask))
    return {"logp": its}


def losses(answer_logprobs, dpo_loss, policy, reference, chosen, rejected, beta):
    models = Stand(**policy), Stand(**reference)
    pairs = [(torch.tensor(its["tokens"]), torch.tensor(its["mask"])) for its in (chosen, rejected)]
    loss = dpo_loss(*models, *pairs, beta)
    if not isinstance(loss, torch.Tensor):
        kind = "nothing" if loss is None else f"a {type(loss).__name__}"
        raise TypeError(f"dpo_loss has to return a tensor, and it returned {kind}")
    if not loss.requires_grad:
        raise TypeError("the loss has no gradient")
    if loss.ndim == 0:
        loss.backward()
    grads = [m.shift.grad for m in models]
    return {"loss": loss, "grad": grads[0], "of_reference": grads[1] is not None}
