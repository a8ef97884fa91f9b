"""How answers to 10.5 to 10.8 are called. This enters the sandbox."""

import numpy as np
import torch

from zerotohero.course.adapters.shared import pair

# --- 10.5 ---------------------------------------------------------------------------------------


def cuts(cut_completion, score_endings, pieces, texts):
    """Return each text cut by the answer, as two lists of tokens."""
    encode = Pieces(pieces)
    return {"cuts": [pair(cut_completion(encode, *text), "two lists") for text in texts]}


class Pieces:
    """A tokenizer that takes, from the left, the longest of its pieces that fits."""

    def __init__(self, pieces):
        self.ids = {piece: i for i, piece in enumerate(pieces)}

    def __call__(self, text):
        ids = []
        while text:
            fits = (n for n in range(len(text), 0, -1) if text[:n] in self.ids)
            if (length := next(fits, 0)) == 0:
                raise ValueError(f"encode has no token for {text[0]!r}")
            ids.append(self.ids[text[:length]])
            text = text[length:]
        return ids


def scores(cut_completion, score_endings, pairs, emb, pos, out):
    emb, pos, out = (torch.tensor(x, dtype=torch.float64) for x in (emb, pos, out))
    seen = []

    def model(idx):
        if not isinstance(idx, torch.Tensor) or idx.ndim != 2:
            raise TypeError("the model takes a tensor of tokens, (B, T)")
        if idx.dtype != torch.int64:
            raise TypeError(f"tokens of int64 are needed, and these are {idx.dtype}")
        if idx.shape[1] > len(pos):
            raise ValueError(f"{idx.shape[1]} tokens, and the context holds {len(pos)}")
        seen.append(idx.tolist())
        x = emb[idx] + pos[: idx.shape[1]]
        past = x.cumsum(1) / torch.arange(1, 1 + idx.shape[1])[:, None]
        return (torch.tanh(x + past) @ out).float()

    came = score_endings(model, [(list(before), list(after)) for before, after in pairs])
    sums, means = pair(came, "two lists")
    return {"sums": sums, "means": means, "seen": seen}


# --- 10.6 ---------------------------------------------------------------------------------------


def numbered(row_numbers, read_rows, asked):
    """Return the numbers by step and process, asked in the order of `calls`, the last twice."""
    found = []
    for one in asked:
        table = [[None] * one["world"] for _ in range(one["steps"])]
        for step, rank in one["calls"]:
            given = [one[name] for name in ("n_tokens", "T", "B")]
            table[step][rank] = row_numbers(*given, step, rank, one["world"], one["seed"])
        again = row_numbers(*given, step, rank, one["world"], one["seed"])
        found.append({"table": table, "again": again})
    return {"found": found}


class Shard:
    """Tokens on a disk, as a memory map has them, which counts how many are read."""

    def __init__(self, tokens):
        self._tokens, self.read = tokens.astype(np.uint16), 0
        self._tokens.flags.writeable = False
        self.shape, self.size, self.ndim, self.dtype = tokens.shape, tokens.size, 1, np.dtype("u2")

    def __len__(self):
        return self.size

    def __getitem__(self, which):
        part = self._tokens[which]
        self.read += np.size(part)
        return part


def rows_read(row_numbers, read_rows, shards, T, numbers):
    shards = [Shard(tokens) for tokens in shards]
    x, y = pair(read_rows(list(shards), T, list(numbers)), "two tensors")
    return {"x": x, "y": y, "read": sum(shard.read for shard in shards)}


# --- 10.7 ---------------------------------------------------------------------------------------


def costs_of(model_costs, state_bytes, utilisation, run_hours, configs):
    return {"found": [model_costs(dict(config)) for config in configs]}


def bytes_of(model_costs, state_bytes, utilisation, run_hours, config, runs):
    return {"found": [state_bytes(dict(config), *run) for run in runs]}


def rates_of(model_costs, state_bytes, utilisation, run_hours, runs):
    return {"found": [utilisation(*run) for run in runs]}


def hours_of(model_costs, state_bytes, utilisation, run_hours, runs):
    return {"found": [run_hours(*run) for run in runs]}


# --- 10.8 ---------------------------------------------------------------------------------------


def laws(fit_law, predict, runs):
    return {"laws": [fit_law(run["compute"], run["loss"]) for run in runs]}


def predictions(fit_law, predict, runs):
    came = [predict(run["compute"], run["loss"], run["at"]) for run in runs]
    return {"found": [pair(its, "two numbers") for its in came]}
