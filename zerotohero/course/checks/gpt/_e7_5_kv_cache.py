"""The small GPT of 7.5 in NumPy, with a switch for each slip of a cache; what wrong answers give or
raise, and the hint for each.
"""

import math

import numpy as np

from zerotohero.course.checks.gpt.shared import ALL_NAN, one_tensor
from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import Mistake, Wrong, array, expect_that

SIZES = {"vocab_size": 23, "block_size": 40, "n_layer": 3, "n_head": 2, "n_embd": 12}


def small_gpt(rng: np.random.Generator, n_layer: int = SIZES["n_layer"]) -> dict[str, np.ndarray]:
    """Return random weights, large enough that positions and the past make a difference."""
    V, n, C = (SIZES[key] for key in ("vocab_size", "block_size", "n_embd"))
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (V, C), "wpe.weight": (n, C)}
    for i in range(n_layer):
        for name, shape in {
            "ln_1": (C,),
            "attn.c_attn": (3 * C, C),
            "attn.c_proj": (C, C),
            "ln_2": (C,),
            "mlp.0": (4 * C, C),
            "mlp.2": (C, 4 * C),
        }.items():
            shapes |= {f"h.{i}.{name}.weight": shape, f"h.{i}.{name}.bias": shape[:1]}
    shapes |= {"ln_f.weight": (C,), "ln_f.bias": (C,), "lm_head.weight": (V, C)}
    weights = {}
    for name, shape in shapes.items():
        values = rng.normal(size=shape)
        if len(shape) == 2 and name[:3] not in ("wte", "wpe"):
            values *= 1.5 / math.sqrt(shape[1])
        if len(shape) == 1:
            values = 0.1 * values + ("ln" in name and name.endswith("weight"))
        weights[name] = values
    return weights


def _normed(x: np.ndarray, w: dict, name: str) -> np.ndarray:
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def _linear(x: np.ndarray, w: dict, name: str) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)


def gpt_logits(w: dict, idx: np.ndarray, sees=None, at=None, swapped=None) -> np.ndarray:
    """Return the small GPT's logits of whole texts. Three things say what is wrong with a cache.

    sees: (T, T), which keys a query looks at. at: (T,), the positions in wpe.
    swapped: (T, T), where a query meets a value in place of a key, and a key in place of a value.
    """
    T, n, C = idx.shape[1], SIZES["n_head"], SIZES["n_embd"]
    sees = np.tri(T, dtype=bool) if sees is None else sees
    swapped = np.zeros((T, T), bool) if swapped is None else swapped
    x = w["wte.weight"][idx] + w["wpe.weight"].take(
        np.arange(T) if at is None else at, 0, mode="clip"
    )
    for i in range(sum(name.endswith("c_attn.weight") for name in w)):
        parts = np.split(_linear(_normed(x, w, f"h.{i}.ln_1"), w, f"h.{i}.attn.c_attn"), 3, 2)
        q, k, v = (z.reshape(*idx.shape, n, C // n).swapaxes(1, 2) for z in parts)
        scores = np.where(swapped, q @ v.swapaxes(2, 3), q @ k.swapaxes(2, 3))
        weights = softmax(np.where(sees, scores / math.sqrt(C // n), -np.inf))
        y = np.where(swapped, 0, weights) @ v + np.where(swapped, weights, 0) @ k
        x = x + _linear(y.swapaxes(1, 2).reshape(x.shape), w, f"h.{i}.attn.c_proj")
        h = _linear(_normed(x, w, f"h.{i}.ln_2"), w, f"h.{i}.mlp.0")
        h = 0.5 * h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        x = x + _linear(h, w, f"h.{i}.mlp.2")
    return _linear(_normed(x, w, "ln_f"), w, "lm_head")


ONE_PLACE = "All tokens that are fed at once get the same position: `torch.arange(past, past + T)`."


def cached_wrongly(w: dict, idx: np.ndarray, parts: list[int]) -> list[Mistake]:
    """Return what caches with something wrong give for a text that is fed in parts."""
    t = np.arange(idx.shape[1])
    part = np.repeat(np.arange(len(parts)), parts)  # in which part each position came
    start = np.cumsum([0, *parts])[part]
    later = part > 0
    same, past = part[:, None] == part, part[:, None] > part
    own = same & (t[:, None] >= t)
    of_first = past & (part == 0)
    in_front = np.argsort(-part, kind="stable")  # the keys' order where new ones go in front
    turned = np.zeros_like(own)
    for row, n in enumerate(t + 1):
        keys = [s for s in in_front if part[s] <= part[row]]
        turned[row, keys[:n]] = True
    odd = past & ((part[:, None] - part) % 2 == 1)
    alone = (np.array(parts)[part] == 1)[:, None]
    one_before = past & (part[:, None] == part + 1)
    of_replaced = t - start + np.where(later, np.array([0, *parts])[part], 0)
    replaced = (
        "The cache holds the newest part alone, and has lost what was older: it is replaced by the "
        "newest keys and values. Store what `torch.cat` gives, all of them so far."
    )
    first_stays = (
        "Only what was fed first stays in the cache; what came after it is used once and lost. "
        "Store the joined keys and values every time."
    )
    exchanged = (
        "Keys and values change places on their way through the cache: what was stored as a key "
        "comes back as a value."
    )
    variants = [
        (
            {"at": t - start},
            "The new tokens get the positions 0, 1, … again. They follow what is cached, so their "
            "rows of wpe begin at the number of cached tokens.",
        ),
        (
            {"sees": own, "at": t - start},
            "The new tokens see nothing of what was fed before, and their positions begin at 0: "
            "either the cache isn't used, or nothing stays in it. (`if cache:` is False for an "
            "empty dict: what is stored under it alone is never stored. `cache = …` only gives a "
            "local name a new value, and `cache or {}` replaces an empty dict by another; "
            "`cache['k'] = …` changes the dict that was passed.)",
        ),
        (
            {"sees": own},
            "The new tokens see nothing of what was fed before, only each other: put their keys "
            "and values behind the cached ones, and let the queries look at all of them.",
        ),
        ({"sees": own | one_before}, replaced),
        ({"sees": own | one_before, "at": of_replaced}, replaced),
        ({"sees": own, "at": of_replaced}, replaced),
        ({"sees": own | of_first}, first_stays),
        ({"sees": own | of_first, "at": np.where(later, parts[0] + t - start, t)}, first_stays),
        (
            {"sees": (t - start)[:, None] >= t},
            "A new query sees the first keys alone. That is what `is_causal=True` does, or a "
            "`tril()` whose corner is on the left: where there are more keys than queries, the "
            "corner belongs on the right, `tril(past)`. A single query needs no mask at all.",
        ),
        (
            {"sees": np.where(alone, own | past, (t - start)[:, None] >= t)},
            "A single new token sees all that it should; of several, each sees the first keys "
            "alone. `is_causal=True`, or a `tril()` whose corner is on the left, is right for as "
            "many keys as queries: where there are more keys, it is `tril(past)`.",
        ),
        *(
            (
                {"sees": sees | past},
                "The tokens that are fed at once all see each other, the later ones too: several "
                "new tokens need the causal mask among themselves.",
            )
            for sees in (same, own | (same & later))
        ),
        (
            {"sees": turned},
            "The new keys stand in front of the cached ones, where the mask takes them for old: "
            "append them behind, `torch.cat([cached, new], 2)`.",
        ),
        ({"swapped": past}, exchanged),
        ({"swapped": odd}, exchanged),
        (
            {"at": np.where(later, t + 1, t)},
            "The positions of the new tokens are one too large: counting starts at 0, so the first "
            "new one has the number of tokens cached before. Read the length of the cache before "
            "it grows.",
        ),
        (
            {"at": np.where(later, t - 1, t)},
            "The positions of the new tokens are one too small: the first new one has the number "
            "of cached tokens.",
        ),
        (
            {"at": t + np.array(parts)[part] * later},
            "The new tokens' positions are too large by their own number. Read the length of the "
            "cache before it grows.",
        ),
        ({"at": np.where(later, start, t)}, ONE_PLACE),
        (
            {"at": np.minimum(t, SIZES["block_size"] - 2)},
            "The last of the block's positions is never used: wpe has the rows 0 to block_size − "
            "1, and a text may fill the block.",
        ),
    ]
    return [Mistake(gpt_logits(w, idx, **v), hint) for v, hint in variants]


def greedy(w: dict, idx: np.ndarray, new: int, row: int = -1, newest=False) -> np.ndarray:
    """Return the likeliest tokens; `newest`: from the one before alone, after the prompt."""
    for i in range(new):
        fed = idx[:, -1:] if newest and i else idx
        likeliest = gpt_logits(w, fed)[:, row].argmax(-1)
        idx = np.concatenate([idx, likeliest[:, None]], 1)
    return idx


def generated_wrongly(w: dict, idx: np.ndarray, new: int) -> list[Mistake]:
    """Return what a `generate_cached` with something wrong gives, its model being right."""
    want, T = greedy(w, idx, new), idx.shape[1]
    return [
        Mistake(want[:, T:], "Only the new tokens came back: the prompt stands in front of them."),
        *(
            Mistake(
                greedy(w, greedy(w, idx, n, row=0), new - n),
                "You take the logits of the first row: what follows the text is in the last, "
                "`logits[:, -1]`.",
            )
            for n in (1, new)
        ),
        Mistake(
            greedy(w, idx, new, newest=True),
            "Each new token follows from the newest one alone. If the cases above pass, the "
            "cache doesn't arrive: one that is made before the loop goes into every call, "
            "`model(new, cache)`.",
        ),
        Mistake(want[:, :-1], "The last token is missing."),
        Mistake(greedy(w, idx, new + 1), "There is one token too many."),
    ]


def left_behind(w: dict, want: np.ndarray, other: np.ndarray, new: int) -> list[Mistake]:
    """Return what comes of another prompt behind all that was fed for `want`."""
    both = np.concatenate([want[:, :-1], other], 1)
    return [
        Mistake(
            greedy(w, both, new)[:, want.shape[1] - 1 :],
            "The first call was right, and the second goes on from what it left in the model: "
            "`generate_cached` begins with a cache of its own, made by `model.new_cache()`.",
        )
    ]


def logits_of(what: str, got, shape: tuple[int, ...]) -> np.ndarray:
    """Return what `forward` returned, if it has the right shape."""
    alone = "Return the logits alone: the cache is changed where it is, and need not come back."
    one_tensor(what, got, alone)
    expect_that(
        np.ndim(got) != 3 or got.shape[1] == shape[1],
        f"{what}: expected shape {shape}, got {np.shape(got)}",
        "`forward` returns logits for each token that it is fed, with a cache and without.",
    )
    if isinstance(got, np.ndarray) and got.dtype.kind == "f" and np.isnan(got).all() and got.size:
        raise Wrong(f"{what}: expected numbers, got NaN alone", ALL_NAN)
    return array(what, got, shape)


def fed_wrongly(fed: float, T: int, new: int) -> tuple[str, str]:
    """Return the hints for so many positions that are fed: if tokens are wrong, if they aren't."""
    everything = sum(range(T, T + new))
    wrong = {
        everything: "The whole text is fed for each new token, to a cache that holds it already: "
        "after the prompt, feed the newest token alone, `idx[:, -1:]`.",
        new: "Only the last token is fed, from the start: the prompt has to pass through the model "
        "once, as a whole.",
        T + new: "The last token of the prompt passes twice: after the prompt, the next to feed is "
        "the token that its logits gave.",
    }
    look = "If the cases above pass, the model is right: look at what you feed, and that you take "
    look += "the likeliest, `logits[:, -1].argmax(-1)`."
    right = "Feed the prompt once, and each new token once, whatever the batch."
    if fed == everything:
        right = "The tokens are right, but everything is computed again for each of them: pass a "
        right += "cache, and after the prompt feed only the newest token, `idx[:, -1:]`."
    elif fed == T + new:
        right = "One position too many: what follows the last token isn't asked for, so it needn't "
        right += "be fed."
    elif fed < T + new - 1:
        right = "Fewer than can be: does every token pass through `wte`, as a layer that is called?"
    return wrong.get(fed, look), right


BY_ROW = "The rows are fed one after another: one call takes all of the batch, (B, T)."


IN_PIECES = "The prompt is fed in pieces: one call takes all of it, and gives the first new token."


COUNTER = (
    "The positions go on counting from another text: what counts them lives in the model. How many "
    "tokens came before has to be read from the cache that is passed."
)


IN_TURNS = (
    "If the cases above pass, one text alone is right, and the other is in the way here: all that "
    "is remembered lives in the cache that is passed, and nothing in the model."
)


CACHE_CRASHES = {
    "needs other parameters": "The check loads weights by name: change what `forward` does, and "
    "leave the layers as they are. (A mask is a buffer, not a parameter.)",
    r"new_cache\(\) has to return": "`[{} for _ in self.h]` makes a dict of its own for each layer "
    "of this model, however many it has.",
    "Sizes of tensors must match": "Cached and new keys don't fit together. Are they joined along "
    "time, which is axis 2 of (B, n_head, T, head_size)? If they are, keys of different batches "
    "meet, and something is remembered from another text: all memory belongs into the cache that "
    "is passed, and a default such as `cache=[{}]` is made once and shared by all calls. (In "
    "`generate_cached`, tokens are joined along axis 1.)",
    "must match the size|expanded size|attn_mask": "The mask doesn't fit: with a cache the scores "
    "are (T, past + T): the queries are new and the keys are all so far. (And there are as "
    "many values as keys: both are cached.)",
    "index out of range in self": "A position beyond block_size: are positions counted too far, do "
    "they go on counting across texts, or is text fed again that the cache already holds?",
    "too many values|KeyError|list indices|NoneType": "Mind the first call, for which the cache is "
    "still empty, and the call without a cache, for which it is None.",
}


LOOP_CRASHES = {
    "Sizes of tensors must match|invalid for input of size|Dimension out of range|same number of "
    "dimensions": "If the cases above pass, it is the loop in `generate_cached`: the likeliest "
    "token of each row comes from the last logits, (B, V), along V, `argmax(dim=-1, "
    "keepdim=True)`, is (B, 1), and is joined to the text along axis 1.",
}
