"""The models of 7.7, with leaks and without; and what a test leaves out that misses some."""

import math

import numpy as np

N, CHANNELS = 6, 12  # block_size and channels of the models
WHISPER = 0.0015  # by which a small leak changes one logit, whatever the tokens
SHOUT = 0.5  # times the token: by which a leak changes all logits of a position alike
WHISPERS = [("whisper", row, key) for row, key in ((0, N - 1), (1, N - 1), (2, 3))]
SHOUTS = ("shout", 0, N - 1)


def middle(T: int) -> int:
    """Return a position that sees the next one, seen by one cut alone, and not the last of all."""
    return (T - 2) // 2


def _model(rng: np.random.Generator, leak: object = None, V: int = 30, **changes) -> dict:
    """Return a model of one layer for the adapter, without a leak or with this one."""
    C, kind = CHANNELS, leak[0] if isinstance(leak, tuple) else None
    bias = np.where(np.tri(N, dtype=bool), 0.0, -np.inf)
    if leak == "next":
        bias[np.arange(N - 1), np.arange(1, N)] = 0.0
    elif leak == "soft":
        bias[np.isinf(bias)] = -8.0
    elif isinstance(kind, int):
        bias[leak] = 0.0
    elif isinstance(leak, int):
        bias[middle(leak), middle(leak) + 1] = 0.0
    spec = {
        "wte": rng.normal(size=(V, C)),
        "wpe": 0.5 * rng.normal(size=(N, C)),
        # Scores near 0, so that attention is spread out and no leak gets next to nothing.
        "w_attn": rng.normal(size=(3, C, C)) / math.sqrt(C) * np.reshape([0.4, 0.4, 1], (3, 1, 1)),
        "w_out": rng.normal(size=(C, V)) / math.sqrt(C),
        "shift": 0.0,
        "bias": bias,
        "tail": leak == "tail",
        "leaky_at": leak if isinstance(leak, int) else 0,
        "axis": -2 if leak == "queries" else -1,
        "center": leak == "mean",
        "total": False,
        "dropout": 0.0,
        "norm": False,
        "train": False,
        "whisper": [*leak[1:], WHISPER] if kind == "whisper" else [0, 0, 0.0],
        "shout": [*leak[1:], SHOUT] if kind == "shout" else [0, 0, 0.0],
    }
    return spec | changes


def models_of(rng: np.random.Generator, kinds: list, **changes) -> dict:
    """Return models in random order, and for the verdict what leaks in each."""
    order = rng.permutation(len(kinds))
    return {
        "models": [_model(rng, kinds[i], **changes) for i in order],
        "_leaks": [kinds[i] for i in order],
    }


LEAKS = {
    "next": "where every position sees the next one",
    "queries": "with softmax over the queries",
    "mean": "that subtracts the mean over time",
    "soft": "whose mask is −8, not −∞",
    "tail": "whose mask is right only for T = block_size",
}


PLACES = [*((row, row + 1) for row in range(N - 1)), (0, N - 1), (1, N - 2)]


def missed_places(given: dict, got: dict) -> str:
    """Return what a test leaves out that misses these leaks: the hint."""
    pairs = zip(given["_leaks"], got["causal"], strict=True)
    missed = {tuple(leak) for leak, mine in pairs if leak is not None and mine}

    def those(seen) -> bool:
        """Return whether these are the leaks that a test misses which only has eyes for `seen`."""
        return missed == {(row, key) for row, key in PLACES if not seen(row, key)}

    if those(lambda row, key: key == N - 1):
        return (
            "You change or cut off the last token only. A leak between two earlier positions stays "
            "unseen, as where 0 sees 1: change the future at every cut of the text."
        )
    for cut in range(1, N - 1):
        if those(lambda row, key, cut=cut: row < cut <= key):
            return (
                f"You change or cut off the tokens from {cut} on and compare those before: leaks "
                "on one side of this cut stay unseen. Try every cut from 1 to T − 1."
            )
    if those(lambda row, key: key < N - 1) or missed == {(N - 2, N - 1)}:
        return "The last token is never changed alone: in `range(1, T)`, the last cut is T − 1."
    if missed == {(0, 1)}:
        return "The first cut is missing, where token 0 stays and all others change: it is 1."
    if those(lambda row, key: key == row + 1):
        return (
            "You compare the logits just before the changed token and none further back: a leak "
            "can reach far, so compare all positions before it."
        )
    if those(lambda row, key: row > 0):
        return "Position 0 is never compared: it has a future too, all the other tokens."
    if those(lambda row, key: row == 0):
        return "You only look at the logits of position 0: every position has a future."
    return (
        "Each of these models has one hole in its mask. Change the future at every cut of the "
        "text, and compare all positions before the cut. What is drawn at random, a cut or a "
        "token, misses some by chance."
    )
