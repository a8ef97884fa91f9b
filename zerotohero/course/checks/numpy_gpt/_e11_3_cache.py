"""The small GPT of 11.3 with a switch for each slip of a cache, and the hint for each."""

import math
from collections.abc import Iterator

import numpy as np

from zerotohero.course.checks.numerics import softmax
from zerotohero.course.checks.numpy_gpt.shared import gelu, normed
from zerotohero.course.exercise import Mistake

V, N_CTX, N_LAYER, C = 23, 20, 3, 12


def logits(params: dict, n_head: int, tokens, sees=None, at=None, swapped=None) -> np.ndarray:
    """Return the logits of a whole text. Three things say what is wrong with a cache.

    sees: (T, T), which keys a query looks at. at: (T,), the rows of wpe.
    swapped: (T, T), where a query meets a value in place of a key, and a key in place of a value.
    """
    T = len(tokens)
    sees = np.tri(T, dtype=bool) if sees is None else sees
    swapped = np.zeros((T, T), bool) if swapped is None else swapped
    x = params["wte"][tokens] + params["wpe"][np.arange(T) if at is None else at % N_CTX]
    for block in params["blocks"]:
        attn, mlp = block["attn"], block["mlp"]
        parts = np.split(_affine(normed(x, **block["ln_1"]), attn["c_attn"]), 3, 1)
        q, k, v = (z.reshape(T, n_head, -1).swapaxes(0, 1) for z in parts)
        scores = np.where(swapped, q @ v.swapaxes(1, 2), q @ k.swapaxes(1, 2))
        weights = softmax(np.where(sees, scores / math.sqrt(C // n_head), -np.inf))
        y = np.where(swapped, 0, weights) @ v + np.where(swapped, weights, 0) @ k
        x = x + _affine(y.swapaxes(0, 1).reshape(T, C), attn["c_proj"])
        x = x + _affine(gelu(_affine(normed(x, **block["ln_2"]), mlp["c_fc"])), mlp["c_proj"])
    return normed(x, **params["ln_f"]) @ params["wte"].T


def _affine(x: np.ndarray, layer: dict) -> np.ndarray:
    return x @ layer["w"] + layer["b"]


def cached_wrongly(
    params: dict, n_head: int, tokens: np.ndarray, parts: list[int]
) -> list[Mistake]:
    """Return what caches with something wrong give for a text that is fed in parts."""
    t = np.arange(len(tokens))
    part = np.repeat(np.arange(len(parts)), parts)  # in which part each position came
    start = np.cumsum([0, *parts])[part]
    later = part > 0
    same, past = part[:, None] == part, part[:, None] > part
    own = same & (t[:, None] >= t)
    one_before = past & (part[:, None] == part + 1)
    before = np.where(later, np.array([0, *parts])[part], 0)
    turned = np.zeros_like(own)
    in_front = np.argsort(-part, kind="stable")  # the keys' order where new ones go in front
    for row, n in enumerate(t + 1):
        turned[row, [s for s in in_front if part[s] <= part[row]][:n]] = True
    replaced = (
        "The cache holds the newest part alone: store the joined keys and values, all of them so "
        "far."
    )
    variants = [
        (
            {"at": t - start},
            "The new tokens have the positions 0, 1, … again: their rows of wpe begin at the "
            "number of cached tokens.",
        ),
        (
            {"sees": own, "at": t - start},
            "The new tokens see nothing of what was fed before, and their positions begin at 0: "
            "the cache isn't used, or nothing stays in it. (`store = {…}` only gives a local name "
            'another value; `store["k"] = …` changes the dict that was passed.)',
        ),
        (
            {"sees": own},
            "The new tokens see only each other: put their keys and values behind the cached ones, "
            "and let the queries look at all of them.",
        ),
        ({"sees": own | one_before}, replaced),
        ({"sees": own | one_before, "at": t - start + before}, replaced),
        (
            {"sees": (t - start)[:, None] >= t},
            "A new query sees the first keys alone: where there are more keys than queries, the "
            "mask's corner is on the right, `np.tri(T, past + T, past)`.",
        ),
        *(
            (
                {"sees": sees | past},
                "Tokens that are fed at once all see each other, the later ones too: several new "
                "ones need the causal mask among themselves.",
            )
            for sees in (same, own | (same & later[:, None]))
        ),
        (
            {"sees": turned},
            "The new keys stand in front of the cached ones, where the mask takes them for old: "
            "`np.concatenate([cached, new], 1)`.",
        ),
        *(
            (
                {"swapped": there},
                "What was stored as a key comes back as a value: keys and values change places.",
            )
            for there in (past, past & ((part[:, None] - part) % 2 == 1))
        ),
        *(
            (
                {"at": np.where(later, t + more, t)},
                "The new tokens' positions are too large: they begin at the number of tokens that "
                "the cache held before the call, so read it before the cache grows.",
            )
            for more in (np.array(parts)[part], 1)
        ),
        (
            {"sees": np.tri(len(t), k=1, dtype=bool) & (same | past)},
            "Each position sees the one behind it, too: in `np.tri(T, past + T, past)` the last "
            "that it sees is itself.",
        ),
        (
            {"at": np.where(later, t - 1, t)},
            "The positions of the new tokens are one too small: the first has the number of cached "
            "tokens.",
        ),
        (
            {"at": np.where(later, start, t)},
            "All tokens that are fed at once get the same position: each has its own.",
        ),
    ]
    alone = np.eye(len(t), dtype=bool)
    variants += [
        (
            {"sees": np.tri(len(t), k=-1, dtype=bool) | (alone & (t == 0))},
            "A position doesn't see itself: the mask's diagonal belongs to what is seen.",
        ),
    ]
    found = [Mistake(logits(params, n_head, tokens, **v), hint) for v, hint in variants]
    for n, hint in ((1, "All channels are one head"), (2, "There are always two heads")):
        found.append(Mistake(logits(params, n, tokens), f"{hint}: n_head says how many."))
    return found


A_DICT_EACH = 'The cache has one dict for each block: `[{} for _ in params["blocks"]]`.'


def greedy(
    params: dict, n_head: int, prompt: list[int], n: int, row: int = -1, alone=False
) -> list[int]:
    text = list(prompt)
    for i in range(n):
        fed = text[-1:] if alone and i else text
        text.append(int(logits(params, n_head, np.array(fed))[row].argmax()))
    return text[len(prompt) :]


def wrong_tokens(
    params: dict, n_head: int, prompt: list[int], new: int, want: list[int]
) -> Iterator[Mistake]:
    """Yield what wrong answers give: first what might be right by chance, as it is as long."""
    two = params | {"blocks": params["blocks"][:2]}
    first = greedy(params, n_head, prompt, 1, row=0)
    of_first = "The logits of the first row were taken: what follows the text is in the last."
    yield Mistake(first * new, of_first)
    yield Mistake(
        greedy(params, n_head, prompt, new, alone=True),
        "Each new token follows from the newest one alone: one cache, made before the loop, "
        "goes into every call.",
    )
    yield Mistake(first + greedy(params, n_head, prompt + first, new - 1), of_first)
    for again in (prompt, prompt[-1:]):
        yield Mistake(
            greedy(params, n_head, prompt + again, new),
            "The prompt, or its last token, is fed twice: its logits are those of the first call.",
        )
    yield Mistake(greedy(two, n_head, prompt, new), A_DICT_EACH)
    yield Mistake(prompt + want, "The prompt stands in front: return the new tokens alone.")
    yield Mistake(want[:-1], "The last token is missing.")
    if len(prompt) + new <= N_CTX:
        longer = want + greedy(params, n_head, prompt + want, 1)
        yield Mistake(longer, "There is one token too many.")
