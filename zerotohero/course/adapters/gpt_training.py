"""How answers to the exercises of lecture 07 that train are called. This enters the sandbox."""

import contextlib
import pathlib
import tempfile
import types

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from zerotohero.course.adapters.gpt_watch import Stopped, Watch, trained
from zerotohero.course.adapters.shared import kind_of, what_came

# --- 7.2 ------------------------------------------------------------------------------------------


def encoded(encode_sums, add, carry_chain, train_adder, a, b, reverse):
    def called(n=None, *reverse):
        returned = encode_sums(torch.tensor(a[:n]), torch.tensor(b[:n]), *reverse)
        return _several(returned, "encode_sums", "X, Y")

    X, Y = called(None, reverse)
    kinds = [str(getattr(part, "dtype", type(part))) for part in (X, Y)]
    return {"X": X, "Y": Y, "kinds": kinds, "one": called(1, reverse), "default": called()[0]}


def asked_for_sums(encode_sums, add, carry_chain, train_adder, a, b, reverse, shift):
    model, a, b = _Calculator(shift, reverse), torch.tensor(a), torch.tensor(b)
    with torch.no_grad():
        sums, again = add(model, a, b, reverse), add(model, a, b, reverse)
        got = {"sums": sums, "again": again, "one": add(model, a[:1], b[:1], reverse)}
        return got | ({"default": add(model, a, b)} if reverse else {})


def chained(encode_sums, add, carry_chain, train_adder, a, b):
    a, b = torch.tensor(a), torch.tensor(b)
    return {"chain": carry_chain(a, b), "one": carry_chain(a[:1], b[:1])}


def trained_adder(encode_sums, add, carry_chain, train_adder, a, b):
    pairs = [torch.tensor(part.astype("int64")) for part in (a, b)]
    with Watch(named=True) as watch:
        model = train_adder(*pairs)
    read = torch.zeros(1_000_000, dtype=torch.bool)
    for rows in watch.rows:
        read[_sums_in(rows)] = True
    read[pairs[0] * 1000 + pairs[1]] = False
    got = trained(model, "train_adder") | {"strangers": read.nonzero()[:, 0]}
    with Watch(named=True, stop=1) as watch, contextlib.suppress(Stopped):
        train_adder(*(part[::50] for part in pairs), False)
    return got | {"forwards": _share_forwards(watch.rows)}


def _sums_in(rows):
    """Return the questions that stand in rows of tokens, wherever in them, as 1000 a + b."""
    if rows.shape[1] < 8:
        return rows.new_zeros(0)
    parts = rows.long().unfold(1, 8, 1).flatten(0, 1)
    digit = parts[:, [0, 1, 2, 4, 5, 6]]
    asked = (parts[:, 3] == 10) & (parts[:, 7] == 11) & (digit < 10).all(1)
    return digit[asked] @ torch.tensor([100_000, 10_000, 1000, 100, 10, 1])


def _share_forwards(batches):
    """Return the share of rows whose answers begin with the thousands; 1 where none has any."""
    rows = [rows.long() for rows in batches if rows.shape[1] >= 11]
    if not rows or not len(asked := torch.cat([r[:, :11][r[:, 7] == 11] for r in rows])):
        return 1.0
    place = torch.tensor([100, 10, 1])
    total = (asked[:, :3] * place + asked[:, 4:7] * place).sum(1, keepdim=True)
    answer = total // torch.tensor([1000, 100, 10]) % 10
    return float((asked[:, 8:] == answer).all(1).double().mean())


class _Calculator(nn.Module):
    """Stands in for a model: it writes (7 a + 3 b + shift) % 10,000, as long as it may.

    Fed with digits that it would not have written, it goes wrong from there on.
    """

    def __init__(self, shift, reverse):
        super().__init__()
        self.shift, self.reverse = shift, reverse
        self.sure = nn.Parameter(torch.tensor(3.0))
        self.config = types.SimpleNamespace(vocab_size=12, block_size=11)
        self.device = self.sure.device
        self.eval()  # as a model is that is asked

    def forward(self, idx, cache=None, last=False):
        if idx.ndim != 2 or idx.shape[1] < 8 or (idx[:, 3] != 10).any() or (idx[:, 7] != 11).any():
            raise ValueError(
                f"the model was given {tuple(idx.shape)} tokens that do not begin with a question "
                "such as 1 2 3 + 4 5 6 ="
            )
        place = torch.tensor([100, 10, 1])
        a, b = (idx[:, :3] * place).sum(1), (idx[:, 4:7] * place).sum(1)
        said = (7 * a + 3 * b + self.shift) % 10_000
        digits = said[:, None] // torch.tensor([1000, 100, 10, 1]) % 10  # (N, 4)
        if self.reverse:
            digits = digits.flip(1)
        logits = torch.zeros(*idx.shape, 12)
        for t in range(7, min(idx.shape[1], 11)):
            off = (idx[:, 8 : t + 1] != digits[:, : t - 7]).sum(1)
            logits[:, t] = self.sure * F.one_hot((digits[:, t - 7] + off) % 10, 12)
        return logits

    def generate(self, *args, **options):  # GPT's; there is nothing here that a cache could keep
        from zerotohero.generation import generate

        return generate(self, *args, **{**options, "use_cache": False})


# --- 7.3 ------------------------------------------------------------------------------------------


def alphabet(to_alphabet, pretrain, from_scratch, finetune, text, chars):
    return {"text": to_alphabet(text, chars)}


def finetuned(to_alphabet, pretrain, from_scratch, finetune, other=None, tokens=None, missing=""):
    if missing:
        raise FileNotFoundError(missing)
    other, tokens = (torch.tensor(part.astype("int64")) for part in (other, tokens))
    got = {}

    def keep(name, train, text, function):
        with Watch(named=True, keep=_state) as watch:
            model = train()
        got[name] = trained(model, function)
        got[f"seen_{name}"] = {
            "tokens": sum(rows.numel() for rows in watch.rows),
            "own": _share(_are_in(text, watch.rows)),
            "rate": watch.rate,
        }
        return model, watch.began

    model, _ = keep("pretrained", lambda: pretrain(other, 65), other, "pretrain")
    before = _state(model)
    with torch.no_grad():  # it is another than any that the answer may have kept
        for p in model.parameters():
            p.mul_(1.0001)
    given = _state(model)
    tuned, began = keep("tuned", lambda: finetune(model, tokens), tokens, "finetune")
    got["went_on"], got["kept"] = _are_equal(given, began), _are_equal(before, began)
    known = given, _state(tuned)
    got["moved"] = not _are_equal(*known)
    _, began = keep("scratch", lambda: from_scratch(tokens, 65), tokens, "from_scratch")
    got["anew"] = not any(_are_equal(weights, began) for weights in known)
    return got


def _share(marked):
    return float(marked.double().mean()) if len(marked) else 1.0


def _are_equal(weights, others):
    if others is None or weights.keys() != others.keys():
        return False
    return all(torch.equal(w, others[name]) for name, w in weights.items())


def _state(model):
    state = getattr(model, "_orig_mod", model).state_dict()
    return {name: w.to("cpu", copy=True) for name, w in state.items()}


def _are_in(text, batches, n=12):
    """Return of each row whether its last n tokens are in the text; of shorter rows, all."""
    n = min([n, *(rows.shape[1] for rows in batches)])
    weights = torch.randint(2**62, (n,), generator=torch.Generator().manual_seed(1))
    ends = torch.cat([rows[:, -n:].long() for rows in batches] or [text[:0].view(0, n)])
    length = len(text) - n + 1
    pieces = torch.zeros(length, dtype=torch.long)  # hashes: they may run over
    for i, weight in enumerate(weights.tolist()):
        pieces.add_(text[i : i + length], alpha=weight)
    known = np.sort(pieces.numpy())  # isin would take ten times as long
    places = np.searchsorted(known, wanted := (ends @ weights).numpy())
    return torch.from_numpy(known[places.clip(max=length - 1)] == wanted)


# --- 7.8 ------------------------------------------------------------------------------------------


def read(read_data, bigram_loss, own_data, text, block_size):
    with _file(text.encode()) as path:
        chars, train, val = _several(read_data(path, block_size), "read_data", "chars, train, val")
    kinds = [
        f"{getattr(part, 'dtype', type(part))}, {len(np.shape(part))}-D" for part in (train, val)
    ]
    return {"chars": chars, "train": train, "val": val, "kinds": kinds}


def unreadable(read_data, bigram_loss, own_data, contents, block_size):
    replies = []
    for content in contents:
        with _file(bytes(content)) as path:
            try:
                _, *parts = _several(read_data(path, block_size), "read_data", "chars, train, val")
            except (NotImplementedError, TypeError):
                raise
            except Exception as error:
                # UnicodeDecodeError is Python's ValueError for the first who reads, not for this.
                unread = isinstance(error, UnicodeError)
                kind = type(error).__name__ if unread else kind_of(error)
                what = {"type": kind, "message": str(error)[:300]}
                replies.append(what | {"parts": len(error.args)})
            else:
                sizes = [len(part) for part in parts]
                replies.append({"type": "", "message": "", "parts": 0, "sizes": sizes})
    return {"replies": replies, "name": path.name}


def baseline(read_data, bigram_loss, own_data, train, val, V):
    return {"loss": bigram_loss(torch.tensor(train), torch.tensor(val), V)}


def reported(read_data, bigram_loss, own_data, text):
    with _file(text.encode()) as path, Watch(named=True) as watch:
        model, report = _several(own_data(path), "own_data", "model, report")
    if not isinstance(report, dict):
        raise TypeError(f"The report has to be a dict; own_data returned {what_came(report)}")
    chars = "".join(sorted(set(text)))
    tokens = torch.tensor([chars.index(c) for c in text])
    learned = _are_in(tokens[: int(0.9 * len(text))], watch.rows)
    held_out = int((_are_in(tokens, watch.rows) & ~learned).sum())
    return {**trained(model, "own_data"), "report": report, "held_out": held_out}


@contextlib.contextmanager
def _file(content):
    """A file of that content, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "mine.txt")
        path.write_bytes(content)
        yield path


# --- what they share ------------------------------------------------------------------------------


def _several(returned, name, values):
    """Return the values that were returned, if there are as many as `values` names."""
    if returned is None:
        raise TypeError(f"Nothing came back from {name}: end it with `return {values}`.")
    if not isinstance(returned, (tuple, list)) or len(returned) != len(values.split(", ")):
        raise TypeError(f"{name} has to end with `return {values}`.")
    return returned
