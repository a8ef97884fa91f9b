"""How answers to the exercises of lecture 02 are called. This enters the sandbox."""

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


def counts(trigram_counts, trigram_network, words, stoi):
    N = trigram_counts(list(words), dict(stoi))
    N = N.clone() if isinstance(N, torch.Tensor) else N  # what the next call may change
    return {"N": N, "next": trigram_counts(words[:1], stoi)}


def network(trigram_counts, trigram_network, N, steps, lr):
    return {"probs": trigram_network(torch.tensor(N), steps, lr)}


def network_before_and_after(trigram_counts, trigram_network, N, lr):
    before, after = (trigram_network(torch.tensor(N), steps, lr) for steps in (0, 1))
    return {"before": before, "after": after}


def split(split_words, ngram_loss, words, seed):
    mine, generator = list(words), _seeded(seed)
    return {
        "parts": split_words(mine, generator),
        "words_after": mine,
        "next": split_words(list(words), generator),
        "same_seed": split_words(list(words), _seeded(seed)),
        "other_seed": split_words(list(words), _seeded(seed + 1)),
        "sizes of 215": [len(part) for part in split_words(words[:215], _seeded(seed)) or ()],
    }


def held_out_loss(split_words, ngram_loss, train, held_out, n, k, stoi):
    loss = ngram_loss(list(train), list(held_out), n, k, dict(stoi))
    return {"loss": loss, "next": ngram_loss(train[:20], held_out, n, k, stoi)}


def held_out_losses(split_words, ngram_loss, train, held_outs, n, k, stoi):
    return {"losses": [ngram_loss(train, held_out, n, k, stoi) for held_out in held_outs]}


def tuned(tune_smoothing, ks, losses):
    asked = []

    def loss(split, k):
        if split not in losses:
            raise ValueError(f"loss was asked for {split!r}; there is 'train', 'dev' and 'test'")
        if k not in ks:
            raise ValueError(f"loss was asked for k = {k!r}, which is not among ks")
        asked.append([split, k])
        return losses[split][ks.index(k)]

    return {"pair": tune_smoothing(loss, list(ks)), "asked": asked}


def looked_up(row_logits, W, xs):
    with _Watch() as watch:
        logits = row_logits(torch.tensor(W), torch.tensor(xs))
    return {"logits": logits, "called": sorted(watch.called), "calls": watch.calls}


def looked_up_at(row_logits, W, places):
    return {"logits": [row_logits(torch.tensor(W), torch.tensor(xs)) for xs in places]}


def gradient_of_rows(row_logits, W, xs, ys):
    weights = torch.tensor(W, requires_grad=True)
    F.cross_entropy(row_logits(weights, torch.tensor(xs)), torch.tensor(ys)).backward()
    return {"grad": weights.grad}


def entropy(cross_entropy, logits, targets):
    with _Watch() as watch:
        loss = cross_entropy(torch.tensor(logits), torch.tensor(targets))
    return {"loss": loss, "called": sorted(watch.called)}


def entropies(cross_entropy, far, targets, **large):
    """Take the loss of rows with a logit far below the others, and then that of the case."""
    before = entropy(cross_entropy, far, targets)["loss"]
    return {"far": before, **entropy(cross_entropy, targets=targets, **large)}


def gradient_of_entropy(cross_entropy, logits, targets):
    grads = []
    for rows in (len(logits), 1):
        x = torch.tensor(logits[:rows], requires_grad=True)
        cross_entropy(x, torch.tensor(targets[:rows])).backward()
        grads.append(x.grad)
    return {"grad": grads[0], "grad of one row": grads[1]}


def normalised(normalise_rows, is_distribution, tables, ks):
    found = []
    for N, k in zip(tables, ks, strict=True):
        table = torch.tensor(N)
        found.append({"P": normalise_rows(table, k), "N_after": table})
    return {"found": found}


def judged(normalise_rows, is_distribution, tables):
    return {"answers": [is_distribution(torch.tensor(P)) for P in tables]}


def share(leak_share, without_leak, train, dev):
    first = leak_share(list(train), list(dev))  # copies, which it may spoil
    return {"share": first, "swapped": leak_share(dev, train)}


def cleaned(leak_share, without_leak, train, dev):
    mine, known = list(dev), list(train)
    left = without_leak(known, mine)
    return {
        "dev": list(left) if isinstance(left, list) else left,
        "dev_after": mine,
        "train_after": known,
        "swapped": without_leak(list(dev), list(train)),
        "all leak": without_leak(list(train), list(train)),
    }


def _seeded(seed):
    return torch.Generator().manual_seed(seed)


class _Watch(TorchFunctionMode):
    """Note the name of every torch function that is called inside, and how many calls there are.

    Called past Python, as by compiled code, a function is noted by the operators that it is made
    of. A thread would not be seen; the grader allows none here.
    """

    def __init__(self):
        super().__init__()
        self.called, self.calls = set(), 0
        self._operators = _Operators(self.called)

    def __enter__(self):
        self._operators.__enter__()
        return super().__enter__()

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self._operators.__exit__(*exception)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.called.add(getattr(func, "__name__", ""))
        self.calls += 1
        return func(*args, **(kwargs or {}))


class _Operators(TorchDispatchMode):
    def __init__(self, called):
        super().__init__()
        self.called = called

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.called.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))
