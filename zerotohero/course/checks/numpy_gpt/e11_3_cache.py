"""11.3 · The KV cache in NumPy: the same logits, each position computed once."""

from functools import partial

import numpy as np

from zerotohero.course.checks.gpt.shared import expect_slowly
from zerotohero.course.checks.numpy_gpt._e11_3_cache import (
    A_DICT_EACH,
    N_CTX,
    N_LAYER,
    C,
    V,
    cached_wrongly,
    greedy,
    logits,
    wrong_tokens,
)
from zerotohero.course.checks.numpy_gpt.shared import expect_array, small_gpt
from zerotohero.course.exercise import Exercise, Mistake, Wrong, expect, expect_that, show

cache = Exercise(
    number="11.3",
    title="The KV cache",
    difficulty=4,
    minutes=50,
    practises="making a computation incremental, with the same result",
    answers=("gpt_cached", "generate_cached"),
    changes=("cache",),
    summary=(
        "A GPT-2 in NumPy computes its whole text again for every token. Let it keep keys and "
        "values, so that each position is computed once and the tokens stay the same."
    ),
    statement="""
The next cell holds a small GPT-2 that works, but remembers nothing, and `generate_cached`, which
feeds it the whole text for every new token. Change both.

`gpt_cached(tokens: ndarray, params: dict, n_head: int, cache: list) -> ndarray`

`cache` is a list with one dict for each block, all of them empty before the first call. `tokens`,
(T,), are those that **follow** what this cache was fed with before: the whole prompt, one token,
or several after others. What comes back are the logits of these T positions, (T, V), the same as
they have in the whole text: each position sees all that was fed before it, what was fed with it up
to itself, and nothing behind; positions count on from what the cache holds. The cache then holds
these tokens too. What you put into the dicts is up to you, and all that is remembered is in them:
two texts with two caches can take turns, and a copy of a cache, by `copy.deepcopy`, serves as well
as the cache itself.

`params["wpe"]` has one row for each position of the context, and the last row is used like the
others. A call that would need more rows, be it the first, raises `ValueError` and leaves the cache
as it was.

`generate_cached(prompt: list[int], params: dict, n_head: int, n_tokens: int) -> list[int]`

The n_tokens new tokens, each the likeliest one, without the prompt; for 0 an empty list. Each
position passes through the blocks **once**: for a prompt of n tokens and n_tokens ≥ 1 these are
n + n_tokens − 1. That many have to fit into the context; if they don't, `ValueError` is raised here
as well.

```python
cache = [{} for _ in params["blocks"]]
gpt_cached(np.array([5, 2, 7]), params, n_head, cache)   # (3, V)
gpt_cached(np.array([4]), params, n_head, cache)         # (1, V): what follows 5, 2, 7, 4
```
""",
    hints=(
        "Which numbers of an earlier position does a new one need? Not its query and not its "
        "output: only its key and its value, in every block.",
        "In each block: put the new keys behind the cached ones, along the axis of positions, the "
        "values too, and store both. Two things then depend on how many were cached before: the "
        "rows of `wpe`, and the mask, which for T new and P positions in all is (T, P).",
        '`past = cache[0]["k"].shape[1] if cache[0] else 0`, read before anything is stored; '
        "`wpe[past : past + T]`; `np.tri(T, past + T, past, dtype=bool)`; `k = "
        'np.concatenate([store["k"], k], 1) if store else k`, and then `store["k"] = k`. In the '
        "loop: first the prompt, then only `np.array([new])`.",
    ),
)
CRASHES = {
    r"zip\(\) argument|IndexError: list index": A_DICT_EACH,
    "KeyError": "Mind the first call, for which the dicts are still empty.",
    "must match exactly": "Cached and new keys don't fit together: both are (n_head, T, S), those "
    "of the cache that is passed, and joined along axis 1, the positions.",
    "could not be broadcast": "The mask doesn't fit: with a cache the scores are (n_head, T, past "
    "+ T), because queries are new and keys are all so far.",
    "matmul: Input operand 1": "Two factors don't fit together. If they are weights and values: "
    "each key has a value, so values are cached as keys are.",
}
OWN = "^ValueError(?!: (zip|operands|all the input|matmul|cannot|could not))"  # not one of NumPy's
ALL_ROWS = (
    "A token beyond the vocabulary: `argmax` of all rows counts on from one to the next. Take the "
    "last row first, `logits[-1].argmax()`."
)
SHARED = (
    "The mask doesn't fit what is cached. Where `gpt_cached` is right by itself, all blocks share "
    "one dict, as in `[{}] * n`: each needs its own."
)
GENERATING = CRASHES | {"IndexError: index": ALL_ROWS, "could not be broadcast": SHARED}
COUNTER = (
    "The positions count on from another text: how many tokens came before is read from the cache "
    "that is passed."
)
ELSEWHERE = (
    "A copy of a cache knows nothing of what was fed before: all that is remembered has to be in "
    "its dicts."
)
PARTLY = (
    "Mask and keys don't fit. If the cases above pass, something is remembered outside of the "
    "dicts, such as the number of positions: here two texts take turns."
)


def _fed(rng, parts: list[int], n_head: int = 2) -> dict:
    params = small_gpt(rng, V, N_CTX, N_LAYER, C)
    return {
        "params": params,
        "n_head": n_head,
        "tokens": rng.integers(0, V, sum(parts)),
        "parts": parts,
    }


def parts_continue_the_cache(given: dict, got: dict) -> None:
    params, tokens, parts = given["params"], given["tokens"], given["parts"]
    want = logits(params, given["n_head"], tokens)
    for i, (y, n) in enumerate(zip(got["logits"], parts, strict=True)):
        if not isinstance(y, np.ndarray) or y.shape != (n, V):
            raise Wrong(f"part {i + 1}: expected logits ({n}, {V}), got {show(y)}", ONLY_NEW)
    hint = "Compare with the logits of the whole text, row by row: which is the first that differs?"
    expect_array(
        f"the logits of a text that is fed in parts of {', '.join(map(str, parts))} tokens",
        np.concatenate(got["logits"]),
        want,
        mistakes=partial(cached_wrongly, params, given["n_head"], tokens, parts),
        hint=hint,
    )


ONLY_NEW = "`gpt_cached` returns one row of logits for each token that it is fed, and no others."


for name, points, n_head, parts in (
    ("a prompt of four, then one token at a time", 3, 3, lambda rng: [4, 1, 1, 1]),
    ("several tokens into a cache that holds some", 2, 4, lambda rng: _in_any_order(rng)),
):
    cache.case(
        name,
        points=points,
        adapter="in_parts",
        inputs=lambda rng, parts=parts, n_head=n_head: _fed(rng, parts(rng), n_head),
        crashes=CRASHES,
    )(parts_continue_the_cache)


def _in_any_order(rng) -> list[int]:
    return [*map(int, rng.permutation([2, 3, 5])), 1]


@cache.case(
    "two texts with two caches take turns",
    points=2,
    adapter="two_texts",
    inputs=lambda rng: _fed(rng, [3, 1, 1], 1) | {"other": rng.integers(0, V, 5)},
    crashes={r"KeyError: \d{6}": ELSEWHERE} | CRASHES | {"could not be broadcast": PARTLY},
)
def two_caches_take_turns(given, got):
    texts, of_text = [given["tokens"], given["other"]], partial(logits, given["params"], 1)
    stops = np.cumsum(given["parts"])[:-1]

    def in_turns(*wholes) -> list[np.ndarray]:
        parts = [np.split(whole, stops) for whole in wholes]
        return [part for turn in zip(*parts, strict=True) for part in turn]

    turns = in_turns(*texts)
    ends = np.cumsum([len(part) for part in turns])[:-1]
    # With one memory for both, all parts are one text, in the order in which they were fed.
    mixed = np.split(of_text(np.concatenate(turns)), ends)
    places = np.split(np.arange(len(np.concatenate(turns))), ends)
    counted = [of_text(text, at=np.concatenate(places[i::2])) for i, text in enumerate(texts)]
    shared = "The second text goes on where the first one stopped: something is remembered outside "
    shared += "of the cache that is passed."
    right = in_turns(*map(of_text, texts))
    for i, (y, want) in enumerate(zip(got["logits"], right, strict=True)):
        mistakes = [Mistake(mixed[i], shared), Mistake(in_turns(*counted)[i], COUNTER)]
        mistakes.append(Mistake(of_text(turns[i]), ELSEWHERE))
        what = f"text {i % 2 + 1}, part {i // 2 + 1}"
        expect_array(what, y, want, mistakes=lambda mistakes=mistakes: mistakes)


def _to_the_end(rng) -> dict:
    return _fed(rng, [3, N_CTX - 4, 1]) | {"more": rng.integers(0, V, 2)}


@cache.case("the last position, and one more", adapter="to_the_end", inputs=_to_the_end)
def beyond_the_last_position(given, got):
    want = logits(given["params"], given["n_head"], given["tokens"])[-1:]
    refused = Mistake(
        "ValueError", "The last row of wpe can still be used: refuse only what needs more."
    )
    expect(f"the logits of position {N_CTX - 1}, the last", got["last"], want, mistakes=[refused])
    _expect_refused("two tokens where wpe has one row left", got["two"], TOO_SHORT)
    expect(
        f"the logits of position {N_CTX - 1}, after a call that was refused",
        got["after"],
        want,
        hint="A call that is refused has changed the cache: look whether the tokens fit before "
        "anything is stored.",
    )
    _expect_refused("one token where wpe has no row left", got["one"], EVEN_ONE)
    _expect_refused(f"{N_CTX + 1} tokens into an empty cache", got["all"], FIRST_CALL)


TOO_SHORT = (
    "Compare past + T with the rows of wpe. A slice of wpe that is too short raises no error: "
    "NumPy adds its one row to both tokens without a word."
)
EVEN_ONE = "One token needs a row of wpe, too: compare past + T with the rows, whatever T is."
FIRST_CALL = (
    "A first call may be too long as well: compare past + T with the rows, if past is 0, too."
)


def _expect_refused(what: str, came, hint: str) -> None:
    told = came if isinstance(came, str) else "logits"
    expect_that(
        told == "ValueError",
        f"{what}: expected a ValueError, got {told}",
        hint if told == "logits" else None,
    )


def _to_continue(rng, n: int, new: int, n_head: int, apart: bool) -> dict:
    """Return a prompt; with `apart`, one that wrong answers continue with other tokens."""
    while True:
        given = _fed(rng, [n], n_head)
        params, prompt = given["params"], given["tokens"].tolist()
        want = greedy(params, n_head, prompt, new)
        best = np.sort(logits(params, n_head, np.array((prompt + want)[:N_CTX])), 1)[n - 1 :]
        close = (best[:, -1] - best[:, -2]).min() < 1e-3  # rounding may decide about a token
        known = wrong_tokens(params, n_head, prompt, new, want) if apart and not close else []
        if not close and all(m.value != want for m in known):
            given = {"params": params, "n_head": n_head, "prompt": prompt, "new": new}
            return given | {"_want": want}


AGAIN = (
    "The context is full, though all positions fit. Either the cache is fed again with what it "
    "holds, or all blocks share one dict, as in `[{}] * n`."
)
THEY_FIT = (
    "These tokens fit, to the last row of wpe: they need n + n_tokens − 1 positions, as nothing "
    "follows the last token."
)


@cache.case(
    "the same tokens, each position computed once",
    points=3,
    adapter="continued",
    inputs=lambda rng: _to_continue(
        rng, int(rng.integers(3, 6)), int(rng.integers(4, 7)), n_head=2, apart=True
    ),
    crashes={OWN: AGAIN} | GENERATING,
)
def positions_computed_once(given, got):
    params, n_head, prompt, new = (given[key] for key in ("params", "n_head", "prompt", "new"))
    n, want = len(prompt), given["_want"]
    right, everything = n + new - 1, sum(range(n, n + new))
    expect_slowly(
        f"generate_cached(prompt, …, {new})",
        got["tokens"],
        want,
        partial(wrong_tokens, params, n_head, prompt, new, want),
        tol=0,
    )
    hint = {
        everything: "The whole text passes through the blocks for each new token: after the "
        "prompt, only the newest token has to, and the cache keeps keys and values.",
        right + 1: "One position too many: what follows the last token isn't asked for.",
    }.get(round(max(got["mlp"], got["wte"])))
    sum_of = f"expected {n} + {new} − 1 = {right}"
    expect_that(
        max(got["mlp"], got["wte"]) < right + 0.5,
        f"positions that pass through a block: {sum_of}, got {max(got['mlp'], got['wte']):g}",
        hint,
    )
    expect_that(
        got["attn"] < right + 0.5,
        f"positions that pass through a block's c_attn: {sum_of}, got {got['attn']:g}",
        "Old positions go through c_attn again: cache their keys and values, not what these are "
        "computed from.",
    )


@cache.case(
    "tokens up to the last position, and one more",
    points=2,
    adapter="up_to_the_end",
    inputs=lambda rng: _to_continue(rng, 5, N_CTX - 4, n_head=3, apart=False),
    crashes={OWN: THEY_FIT} | GENERATING,
)
def generated_to_the_end(given, got):
    prompt, new, want, came = given["prompt"], given["new"], given["_want"], got["tokens"]
    what = f"generate_cached, {len(prompt)} tokens, then {new}, with {N_CTX} positions"
    hint = None
    if isinstance(came, list) and len(came) < new and came == want[: len(came)]:
        hint = (
            "What follows the last position can still be asked for: n + n_tokens − 1 have to fit."
            if len(came) == new - 1
            else f"It ends after {len(came)} tokens, where {new} are asked for and fit."
        )
    expect(what, came, want, tol=0, hint=hint)
    beyond, hint = got["beyond"], None
    if isinstance(beyond, list):
        hint = UNSEEN if len(beyond) > new else FEWER
    expect_that(
        isinstance(beyond, str) and beyond == "ValueError",
        f"generate_cached, one token more than fits: expected a ValueError, got {show(beyond)}",
        hint,
    )
    expect("generate_cached for 0 tokens", got["none"], [], hint="Not one token was asked for.")


FEWER = (
    "The ValueError of `gpt_cached` is caught, or the tokens are cut to what fits: whoever calls "
    "gets fewer than were asked for, and no word."
)
UNSEEN = "As many tokens came as were asked for, from more positions than the context has."
