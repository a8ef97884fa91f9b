"""7.5 · A KV cache: making a computation incremental, with the same result and less work."""

from functools import partial

import numpy as np

from zerotohero.course.checks.gpt._e7_5_kv_cache import (
    BY_ROW,
    CACHE_CRASHES,
    COUNTER,
    IN_PIECES,
    IN_TURNS,
    LOOP_CRASHES,
    ONE_PLACE,
    SIZES,
    cached_wrongly,
    fed_wrongly,
    generated_wrongly,
    gpt_logits,
    greedy,
    left_behind,
    logits_of,
    small_gpt,
)
from zerotohero.course.checks.gpt.shared import expect_slowly, same_type
from zerotohero.course.exercise import Exercise, Mistake, expect, expect_that
from zerotohero.course.to_look_at import HOOKS, THREADS, TORCH

kv_cache = Exercise(
    number="7.5",
    title="A KV cache",
    difficulty=4,
    minutes=60,
    practises="making a computation incremental, with the same result and less work",
    answers=("CachedGPT", "generate_cached"),
    changes=("cache",),
    look_for=(*HOOKS, *THREADS, *TORCH),
    summary=(
        "A small GPT computes its whole text again for every token that it generates. Let it keep "
        "keys and values, so that each position is computed once and the tokens stay the same."
    ),
    statement="""
The next cell holds a small GPT that works, `CachedGPT`, and `generate_cached`, which works too but
slowly: it feeds the text so far, all of it, for every new token. Nothing in it remembers anything
yet. Change both. Leave the layers, their names and their weights as they are.

`CachedGPT(vocab_size: int, block_size: int, n_layer: int, n_head: int, n_embd: int)`

- `new_cache()` returns an empty cache, one dict for each layer. What you put into these is up to
  you.
- `forward(idx, cache=None)` takes (B, T) tokens to (B, T, V) logits. Without a cache it computes as
  it does now. With one, `idx` is what **follows** the tokens that this cache was fed with before:
  the logits must be those which the whole text would have at these positions, and the cache then
  holds these tokens too. `idx` can be the whole prompt, one token, or several after others.

All that is remembered lives in the cache that was passed, and one cache belongs to one batch of
texts: two texts with two caches can take turns.

`generate_cached(model, idx: Tensor, max_new_tokens: int) -> Tensor`

From (B, T) tokens to (B, T + max_new_tokens), both int64, each new token the likeliest. Feed the
prompt in one call, and then only what is new: for n ≥ 1 new tokens, T + n − 1 positions of each row
pass through the model. The whole text is at most block_size long, and B may be 1. For n = 0, the
tokens come back alone. The model is left in the mode in which it came.

```python
cache = model.new_cache()
model(idx, cache)              # the prompt, (B, T): logits (B, T, V)
model(token, cache)            # (B, 1): the logits after T + 1 tokens, (B, 1, V)
generate_cached(model, idx, 5) # as before, with T + 4 positions instead of 5 · T + 10
```
""",
    hints=(
        "Which numbers of an earlier position does a new position need? Not its query and not its "
        "output: only its key and its value, in every layer.",
        "In each layer: put the new keys behind the cached ones along the time axis, the values "
        "too, and store both. Two things then depend on how many are cached already: the positions "
        "in `wpe`, which go on counting, and the mask: query i of the new ones may see "
        "everything cached and the new keys 0 to i.",
        "In attention: `if cache: k, v = torch.cat([cache['k'], k], 2), torch.cat([cache['v'], v], "
        "2)`, then `cache['k'], cache['v'] = k, v`; with `past = k.shape[2] - T` the mask is "
        "`torch.ones(T, past + T).tril(past)`. In the model: `past = cache[0]['k'].shape[2]` if "
        "there is one, and `wpe(torch.arange(past, past + T))`. In the loop: feed `idx` first, "
        "then `idx[:, -1:]`.",
    ),
)
CLOSE = 1e-4  # the model is in float32, the reference in float64


def _text(rng: np.random.Generator, B: int, T: int) -> np.ndarray:
    return rng.integers(0, SIZES["vocab_size"], (B, T))


def _fed(rng: np.random.Generator, parts: list[int], B: int = 2, **other: int) -> dict:
    idx, sizes = _text(rng, B, sum(parts)), SIZES | other
    return {"sizes": sizes, "weights": small_gpt(rng, **other), "idx": idx, "parts": parts}


@kv_cache.case(
    "the prompt: without a cache, and with an empty one",
    adapter="whole",
    inputs=lambda rng: {"sizes": SIZES, "weights": small_gpt(rng), "idx": _text(rng, 4, 6)},
    crashes=CACHE_CRASHES,
)
def prompt_with_and_without_a_cache(given, got):
    w, idx = given["weights"], given["idx"]
    want, T = gpt_logits(w, idx), idx.shape[1]

    def within_the_prompt() -> list[Mistake]:
        ahead = gpt_logits(w, idx, sees=np.ones((T, T), bool))
        return [
            Mistake(
                ahead,
                "Each token of the prompt sees the later ones too: whatever the cache holds, "
                "several new tokens need the causal mask.",
            ),
            Mistake(gpt_logits(w, idx, at=np.zeros_like(idx[0])), ONE_PLACE),
        ]

    def from_before() -> list[Mistake]:
        return [
            Mistake(
                gpt_logits(w, np.concatenate([idx, idx], 1))[:, T:],
                "Something is remembered between calls that pass no cache: a default such as "
                "`cache=[{}]` is made once and shared by all calls, and so is what is stored in "
                "the model. Without a cache, nothing is kept.",
            ),
            Mistake(gpt_logits(w, idx, at=np.arange(T) + T), COUNTER),
        ]

    plain, again, cached = (
        logits_of("the logits", got[name], want.shape) for name in ("plain", "again", "cached")
    )
    expect_slowly(
        "model(idx)",
        plain,
        want,
        within_the_prompt,
        tol=CLOSE,
        hint="Without a cache, the logits must be those of the cell as it was given: what have the "
        "mask and the positions become where nothing is cached, with past = 0?",
    )
    expect_slowly("model(idx), a second time", again, want, from_before, tol=CLOSE)
    expect_slowly(
        "model(idx, model.new_cache())",
        cached,
        want,
        lambda: within_the_prompt() + from_before(),
        tol=CLOSE,
        hint="With an empty cache nothing is different from no cache. Has each layer a dict of its "
        "own? `[{}] * n` is one dict n times.",
    )
    expect_that(
        all(got["kept"]),
        "the cache after that: expected something in the dict of each layer, got "
        f"{got['kept'].count(False)} of {len(got['kept'])} that are empty",
        "What was fed isn't in the cache that was passed.",
    )
    expect_that(
        not got["dead"],
        f"model(idx), with gradients: none reaches {', '.join(got['dead'])}",
        "Without a cache the model computes as before, and so can be trained: no `no_grad` around "
        "`forward`, no `.detach()` and no `.data` in it.",
    )


def parts_continue_the_cache(given: dict, got: dict) -> None:
    w, idx, parts = given["weights"], given["idx"], given["parts"]
    logits = [
        logits_of(f"part {i + 1}, of {n} tokens", part, (len(idx), n, SIZES["vocab_size"]))
        for i, (n, part) in enumerate(zip(parts, got["logits"], strict=True))
    ]
    expect_slowly(
        f"the logits of a text that is fed in parts of {', '.join(map(str, parts))} tokens",
        np.concatenate(logits, 1),
        gpt_logits(w, idx),
        partial(cached_wrongly, w, idx, parts),
        tol=CLOSE,
        hint="Compare with the logits of the whole text at once, position by position. Which is "
        "the first that differs, what does it see of what was fed before it, and at which "
        "positions did these tokens and its own stand?",
    )
    expect(
        f"model(idx) for all {idx.shape[1]} tokens, without a cache",
        got["plain"],
        gpt_logits(w, idx),
        tol=CLOSE,
        hint="The same text in parts is right, and this is one call without a cache.",
    )


kv_cache.case(
    "a prompt of four, then one token at a time",
    points=3,
    adapter="in_parts",
    inputs=lambda rng: _fed(rng, [4, 1, 1, 1, 1], B=1),
    crashes=CACHE_CRASHES,
)(parts_continue_the_cache)


kv_cache.case(
    "several tokens into a cache that holds some",
    points=2,
    adapter="in_parts",
    # The whole block, of a smaller model.
    inputs=lambda rng: _fed(rng, [*map(int, rng.permutation([2, 3, 5])), 29, 1], n_layer=2),
    crashes=CACHE_CRASHES,
)(parts_continue_the_cache)


@kv_cache.case(
    "two texts with two caches take turns",
    points=2,
    adapter="two_texts",
    inputs=lambda rng: _fed(rng, [3, 1, 1]) | {"other": _text(rng, 2, 5)},
    crashes=CACHE_CRASHES,
)
def two_caches_take_turns(given, got):
    w, texts = given["weights"], [given["idx"], given["other"]]
    stops = np.cumsum(given["parts"])[:-1]

    def in_turns(*wholes) -> list[np.ndarray]:
        """Return the first part of each whole, then the second of each, and so on."""
        parts = [np.split(whole, stops, 1) for whole in wholes]
        return [part for turn in zip(*parts, strict=True) for part in turn]

    plain = [gpt_logits(w, text) for text in texts]
    turns = in_turns(*texts)
    at = np.cumsum([part.shape[1] for part in turns])[:-1]  # where each begins, were they one text

    def mistakes(turn: int) -> list[Mistake]:
        """Return what comes of one memory, and of one counter, for both texts."""
        one_text = np.concatenate(turns, 1)
        places = np.split(np.arange(one_text.shape[1]), at)
        counted = [
            gpt_logits(w, text, at=np.concatenate(places[i::2])) for i, text in enumerate(texts)
        ]
        return [
            Mistake(
                np.split(gpt_logits(w, one_text), at, 1)[turn],
                "The second text goes on where the first one stopped: its cache isn't its own. "
                "Keep nothing in the model or in a default; `new_cache()` makes new dicts at each "
                "call.",
            ),
            Mistake(in_turns(*counted)[turn], COUNTER),
        ]

    for i, (mine, right) in enumerate(zip(got["logits"], in_turns(*plain), strict=True)):
        what = f"text {i % 2 + 1}, part {i // 2 + 1}"
        mine = logits_of(what, mine, right.shape)
        expect_slowly(what, mine, right, partial(mistakes, i), tol=CLOSE, hint=IN_TURNS)
    expect(
        "the last part of text 1 again, with a copy that was made of its cache before it",
        got["forked"],
        np.split(plain[0], stops, 1)[-1],
        tol=CLOSE,
        hint="The two texts are right, and the cache is not all that is remembered: what it only "
        "points to, by a key or a number, lives somewhere else.",
    )
    expect(
        "the first text without a cache, after that",
        got["plain"],
        plain[0],
        tol=CLOSE,
        hint="A call without a cache sees what others left behind: something is stored in the "
        "model or in a default.",
    )


def _to_continue(rng: np.random.Generator) -> dict:
    T, new = int(rng.integers(5, 9)), int(rng.integers(4, 7))
    while True:
        w, texts = small_gpt(rng), [_text(rng, 4, T), _text(rng, 1, SIZES["block_size"] - new)]
        best = [np.sort(gpt_logits(w, greedy(w, idx, new)), 2)[:, -new - 1 :] for idx in texts]
        if min((b[..., -1] - b[..., -2]).min() for b in best) > 1e-3:  # rounding decides nothing
            idx, long = texts
            return {"sizes": SIZES, "weights": w, "idx": idx, "new": new, "long": long}


@kv_cache.case(
    "the same tokens, each position computed once",
    points=3,
    adapter="continued",
    inputs=_to_continue,
    crashes=LOOP_CRASHES | CACHE_CRASHES,
)
def positions_computed_once(given, got):
    w, idx, new = given["weights"], given["idx"], given["new"]
    T = idx.shape[1]
    want = greedy(w, idx, new)
    fed, right = got["fed"], T + new - 1
    if_wrong, if_right = fed_wrongly(fed, T, new)
    expect_slowly(
        f"generate_cached(model, idx, {new})",
        got["tokens"],
        want,
        lambda: generated_wrongly(w, idx, new),
        tol=0,
        hint=if_wrong,
    )
    same_type(f"generate_cached(model, idx, {new})", got["tokens"], "int64")
    sum_of = f"expected {T} + {new} − 1 = {right}"
    expect_that(fed == right, f"positions of a row that are fed: {sum_of}, got {fed:g}", if_right)
    expect_that(
        got["calls"] <= new,
        f"calls of the model for {new} new tokens: expected {new}, got {got['calls']}",
        BY_ROW if got["calls"] == len(idx) * new else IN_PIECES,
    )
    expect_slowly(
        f"generate_cached(model, other, {new}), with the same model after that",
        got["second"],
        want[::-1],
        lambda: left_behind(w, want, idx[::-1], new),
        tol=0,
        hint="The first call was right. What did it leave behind, and where?",
    )
    expect("generate_cached(model, idx, 0)", got["none"], idx, hint="No new token was asked for.")
    same_type("generate_cached(model, idx, 0)", got["none"], "int64")
    long = given["long"]
    expect(
        f"generate_cached(model, idx, {new}) for one text of {long.shape[1]} tokens, which then "
        "fills the block",
        got["long"],
        greedy(w, long, new),
        tol=0,
        hint="Several shorter texts are right: what is different where B is 1, or where T + n is "
        "block_size?",
    )
    expect_that(
        got["computed"] == right,
        f"positions that pass through a layer's c_attn: {sum_of}, got {got['computed']:g}",
        "The right tokens are fed, but in the layers the old ones pass through c_attn again: cache "
        "their keys and values, not what these are computed from.",
    )
    expect_that(
        got["asked"] <= right,
        f"queries of a layer that meet keys: {sum_of}, got {got['asked']:g}",
        "Old queries are kept and meet all keys again, and what comes of it is thrown away: nobody "
        "asks for it a second time. Only keys and values belong in the cache.",
    )
    # All layers on each fed position, and attention over block_size keys: more than is needed.
    C, V, n = (SIZES[key] for key in ("n_embd", "vocab_size", "block_size"))
    most = right * len(idx) * (SIZES["n_layer"] * (12 * C * C + 2 * C * n) + C * V)
    expect_that(
        got["products"] <= most,
        f"multiplications in all matrix products: expected at most {most:,}, got "
        f"{got['products']:,}",
        "Earlier positions are computed again somewhere, past the layers: a text that is kept as "
        "tokens is no cache. What is kept are keys and values, ready to be used.",
    )
