"""How answers to 8.6 to 8.9 are called. This enters the sandbox."""

import torch
from torch import nn

from zerotohero.course.adapters.shared import what_came


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
        raise TypeError(f"dpo_loss has to return a tensor, and it returned {what_came(loss)}")
    if not loss.requires_grad:
        raise TypeError("the loss has no gradient")
    if loss.ndim == 0:
        loss.backward()
    grads = [m.shift.grad for m in models]
    return {"loss": loss, "grad": grads[0], "of_reference": grads[1] is not None}


# --- 8.7 ------------------------------------------------------------------------------------------


def layer(LoRALinear, add_lora, merge_lora, weight, bias, x, rank, alpha, A=None, B=None, seed=0):
    """Return what the layer gives and hands back, as it begins or with the A and B given."""
    linear = _linear(weight, bias)
    torch.manual_seed(seed)
    lora = LoRALinear(linear, rank, alpha)
    _expect_parameters(lora)
    begin = {name: getattr(lora, name).detach().clone() for name in "AB"}
    if A is not None:
        with torch.no_grad():
            lora.A.copy_(torch.tensor(A))
            lora.B.copy_(torch.tensor(B))
    x = torch.tensor(x, requires_grad=True)
    y = lora(x)
    if not isinstance(y, torch.Tensor) or not y.requires_grad:
        raise TypeError("what forward returns has no gradient")
    y.square().sum().backward()
    its = {name: p.detach().clone() for name, p in lora.named_parameters()}
    merged = lora.merged()
    if not isinstance(merged, nn.Linear):
        raise TypeError(f"merged returned {what_came(merged)}, and no nn.Linear")
    with torch.no_grad():
        got = {
            "begin": begin,
            "learn": sorted(_learning(lora)),
            "y": y,
            "x_grad": x.grad,
            "A_grad": lora.A.grad,
            "B_grad": lora.B.grad,
            "merged": {name: None if p is None else p.clone() for name, p in _its_own(merged)},
            "merged_y": merged(x),
            "again": lora(x),
            "changed": sorted(n for n, p in lora.named_parameters() if not torch.equal(p, its[n])),
            "twice": lora.merged().weight.clone(),
        }
        for p in merged.parameters():
            p.add_(1)
        return got | {"apart": lora(x)}


def _its_own(linear):
    return ("weight", linear.weight), ("bias", linear.bias)


def _linear(weight, bias):
    linear = nn.Linear(*weight.shape[::-1], bias=bias is not None, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(weight))
        if bias is not None:
            linear.bias.copy_(torch.tensor(bias))
    return linear


def _expect_parameters(lora):
    if not isinstance(lora, nn.Module):
        raise TypeError("LoRALinear is no nn.Module")
    for name in "AB":
        if not isinstance(getattr(lora, name, None), nn.Parameter):
            raise TypeError(f"LoRALinear has no nn.Parameter called {name}")


def _learning(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


class Small(nn.Module):
    """A transformer of one kind of block, as the notebook's cell has it, without its attention."""

    def __init__(self, V, C, n_layer, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.embed = nn.Embedding(V, C)
        self.blocks = nn.ModuleList(Part(C) for _ in range(n_layer))
        self.value = nn.LayerNorm(C)  # no linear layer, whatever it is called
        self.head = nn.Linear(C, V, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, idx):
        x = self.embed(idx)
        for block in self.blocks:
            x = block(x)
        return self.head(self.value(x))


class Part(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.norm = nn.LayerNorm(C)
        self.query, self.value = nn.Linear(C, C), nn.Linear(C, C)
        self.value_out = nn.Linear(C, C)
        self.mlp = nn.Sequential(nn.Linear(C, 4 * C), nn.GELU(), nn.Linear(4 * C, C))

    def forward(self, x):
        x = self.norm(x)
        mixed = (self.query(x).sigmoid() * self.value(x)).cumsum(1)
        return x + self.mlp(self.value_out(mixed))


FALL = 0.001  # of the loss in a step, by its slope: the A of every answer may be of another size


@torch.no_grad()
def _rise(lora, x):
    """Return what A and B add to the first output where they are ones."""
    for p in (lora.A, lora.B):
        p.fill_(1)
    y = lora(x)
    lora.B.zero_()
    return (y - lora(x))[0, 0].item()


def _teach(layers, seed):
    """Give all A and B numbers with which the model says something else."""
    generator = torch.Generator().manual_seed(seed)
    for lora in layers:
        for p in (lora.A, lora.B):
            p.data = 0.2 * torch.randn(p.shape, generator=generator, dtype=p.dtype)


def lora_in_a_model(LoRALinear, add_lora, merge_lora, sizes, names, rank, alpha, idx, seed, steps):
    model, idx = Small(**sizes, seed=seed), torch.tensor(idx)
    before, plain = model(idx).detach(), {n: p.clone() for n, p in model.named_parameters()}
    share = add_lora(model, names, rank, alpha)
    layers = {n: m for n, m in model.named_modules() if isinstance(m, LoRALinear)}
    for lora in layers.values():
        _expect_parameters(lora)
    learn = [p for p in model.parameters() if p.requires_grad]
    got = {
        "share": share,
        "layers": sorted(layers),
        "learn": sorted(_learning(model)),
        "count": sum(p.numel() for p in learn),
        "before": before,
        "after": model(idx).detach(),
    }
    if not steps:
        return got
    losses = []
    for _ in range(steps):
        loss = model(idx).square().mean().log()
        losses.append(loss.item())
        if not loss.requires_grad:
            break
        # By hand: the first optimizer that a process makes imports torch's compiler, for a second.
        grads = torch.autograd.grad(loss, learn, allow_unused=True, materialize_grads=True)
        slope = sum(grad.square().sum().item() for grad in grads)
        for p, grad in zip(learn, grads, strict=True):
            p.data -= FALL / (slope or 1) * grad
    known = [n for n in sorted(layers) if f"{n}.weight" in plain]
    added = [_rise(layers[n], torch.ones_like(plain[f"{n}.weight"][:1])) for n in known]
    _teach(layers.values(), seed)
    taught = model(idx).detach()
    merge_lora(model)
    now = dict(model.named_parameters())
    same = {n for n in plain if n in now and torch.equal(now[n], plain[n])}
    return got | {
        "losses": losses,
        "added": added,
        "taught": taught,
        "merged": model(idx).detach(),
        "left": sorted(n for n, m in model.named_modules() if isinstance(m, LoRALinear)),
        "names": sorted(now),
        "changed": sorted(set(plain) - same),
    }


# --- 8.8 ------------------------------------------------------------------------------------------


def nexts(allowed_next, masked_probs, write_choice, choices, written, end):
    def ask(w):
        return allowed_next([list(c) for c in choices], list(w), end)

    return {"found": [ask(w) for w in written]}


def probs(allowed_next, masked_probs, write_choice, logits, allowed, temperature):
    logits = torch.tensor(logits, dtype=torch.float64)
    return {"probs": masked_probs(logits, list(allowed), temperature)}


def choices_written(allowed_next, masked_probs, write_choice, model, prompts, choices, end):
    written, seen = [], []
    for prompt in prompts:
        stand = Stand(**model)
        with torch.no_grad():
            written.append(write_choice(stand, list(prompt), [list(c) for c in choices], end))
        seen.append(stand.seen)
    return {"written": written, "seen": seen}


# --- 8.9 ------------------------------------------------------------------------------------------


def votes(majority, best_of_n_probs, best_of_n_divergence, samples):
    return {"won": [majority(list(sample)) for sample in samples]}


def best(majority, best_of_n_probs, best_of_n_divergence, probs, rewards, ns):
    p, r = (torch.tensor(x, dtype=torch.float64) for x in (probs, rewards))
    return {"probs": [best_of_n_probs(p, r, n) for n in ns]}


def bounds(majority, best_of_n_probs, best_of_n_divergence, ns):
    return {"bounds": [best_of_n_divergence(n) for n in ns]}
