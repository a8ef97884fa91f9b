"""The models of 7.7, with leaks and without; and what a test leaves out that misses some."""

import math

import numpy as np

N, CHANNELS = 6, 12  # block_size and channels of the models
WHISPER = 0.0015  # by which a small leak changes one logit, whatever the tokens
CALL = 0.5  # by which a larger one does: two logits, one up and one down
SHOUT = 0.5  # times the token: by which a leak changes all logits of a position alike
ONE_LOGIT, ALL_LOGITS = {"whisper": WHISPER, "call": CALL}, {"rise": SHOUT, "fall": -SHOUT}
SEEN = [(0, N - 1), (1, N - 1), (2, 3)]  # where they leak, as holes in the mask do elsewhere
WHISPERS = [("whisper", *place) for place in SEEN]
CALLS = [("call", 2, 3)]
SHOUTS = [("rise", 0, N - 1), ("fall", 0, N - 1)]


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
        "whisper": [*leak[1:], ONE_LOGIT[kind]] if kind in ONE_LOGIT else [0, 0, 0.0],
        "shout": [*leak[1:], ALL_LOGITS[kind]] if kind in ALL_LOGITS else [0, 0, 0.0],
    }
    return spec | changes


def models_of(rng: np.random.Generator, kinds: list, **changes) -> dict:
    """Return models in random order, and for the verdict what leaks in each."""
    order = rng.permutation(len(kinds))
    return {
        "models": [_model(rng, kinds[i], **changes) for i in order],
        "_leaks": [kinds[i] for i in order],
    }


def told(leak: object) -> str:
    """Return a leak in words."""
    if isinstance(leak, str):
        return LEAKS[leak]
    if isinstance(leak, int):
        row = middle(leak)
        return f"where {row} sees {row + 1} in texts of {leak} tokens, and in no others"
    kind, *place = leak
    if kind in ONE_LOGIT:
        return f"where the token at {place[1]} adds {ONE_LOGIT[kind]} to one logit at {place[0]}"
    if kind in ALL_LOGITS:
        return f"where the token at {place[1]} moves all logits at {place[0]} by the same"
    return f"where {leak[0]} sees {leak[1]}"


def unseen_leaks(given: dict, got: dict) -> set:
    """Return the leaks of the models that were called causal."""
    leaks = (tuple(leak) if isinstance(leak, list) else leak for leak in given["_leaks"])
    called = (np.size(mine) == 1 and bool(mine) for mine in got["causal"])
    pairs = zip(leaks, called, strict=True)
    return {leak for leak, causal in pairs if leak is not None and causal}


def tried(got: dict, T: int) -> bool:
    """Return whether every cut of the texts of T tokens was tried, before True was returned."""
    cuts = [
        dict(each).get(T, [])
        for each, mine in zip(got["cuts"], got["causal"], strict=True)
        if np.size(mine) == 1 and bool(mine)
    ]
    return bool(cuts) and all(set(range(1, T)) <= set(each) for each in cuts)


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
    missed, every = unseen_leaks(given, got), tried(got, N)

    def those(seen) -> bool:
        """Return whether these are the leaks that a test misses which only has eyes for `seen`."""
        return missed == {(row, key) for row, key in PLACES if not seen(row, key)}

    if missed == set(PLACES):
        return (
            "Every one of the holes is missed. Each shows at some cuts alone: one that shows a "
            "leak is enough for False, and True takes all of them."
        )
    if every and any(those(lambda row, key, cut=cut: row < cut <= key) for cut in range(1, N)):
        return (
            "Every cut is tried, and only one of them counts: a later result writes over an "
            "earlier one. `return False` at the first leak, or `ok = ok and …`."
        )
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
    if not every and (those(lambda row, key: key < N - 1) or missed == {(N - 2, N - 1)}):
        return "The last token is never changed alone: in `range(1, T)`, the last cut is T − 1."
    if not every and missed == {(0, 1)}:
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
