"""Wrong answers to 11.3, the KV cache."""

import math

import numpy as np

from misconceptions import wrong


def normed(x, g, b):
    d = x - x.mean(-1, keepdims=True)
    return d / np.sqrt((d * d).mean(-1, keepdims=True) + 1e-5) * g + b


def affine(x, w, b):
    return x @ w + b


def gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def remember(store, k, v):
    """Return the cached keys and values with the new ones behind them."""
    if store:
        k, v = np.concatenate([store["k"], k], 1), np.concatenate([store["v"], v], 1)
    store["k"], store["v"] = k, v
    return k, v


def length(cache):
    return cache[0]["k"].shape[1] if cache[0] else 0


def from_past(past, T):
    return np.arange(past, past + T)


def causal(T, P):
    return np.tri(T, P, P - T, dtype=bool)


def whole_rows(past, T, size):
    if past + T > size:
        raise ValueError(f"{past + T} positions, and the model has {size}")


def caching(
    at=from_past, sees=causal, keep=remember, past=length, check=whole_rows, before=None, heads=0
):
    """Return gpt_cached with one thing wrong."""

    def gpt_cached(tokens, params, n_head, cache):
        n_head = heads or n_head
        T, C = len(tokens), params["wte"].shape[1]
        old = past(cache)
        check(old, T, len(params["wpe"]))
        x = params["wte"][tokens] + params["wpe"][at(old, T)]
        for block, store in zip(params["blocks"], cache, strict=True):
            h = normed(x, **block["ln_1"])
            if before is not None:
                h = before(store, h)
            qkv = affine(h, **block["attn"]["c_attn"])
            q, k, v = (z.reshape(len(h), n_head, -1).swapaxes(0, 1) for z in np.split(qkv, 3, 1))
            if before is not None:
                q = q[:, -T:]
            else:
                k, v = keep(store, k, v)
            scores = q @ k.swapaxes(1, 2) / math.sqrt(C // n_head)
            y = softmax(np.where(sees(T, k.shape[1]), scores, -np.inf)) @ v
            x = x + affine(y.swapaxes(0, 1).reshape(T, C), **block["attn"]["c_proj"])
            h = gelu(affine(normed(x, **block["ln_2"]), **block["mlp"]["c_fc"]))
            x = x + affine(h, **block["mlp"]["c_proj"])
        return normed(x, **params["ln_f"]) @ params["wte"].T

    return gpt_cached


right = caching()


def generate(prompt, params, n_head, n_tokens, gpt=right, row=-1, more=0, dicts=0):
    cache = [{} for _ in range(dicts or len(params["blocks"]))]
    fed, new = np.array(prompt), []
    for _ in range(n_tokens + more):
        new.append(int(gpt(fed, params, n_head, cache)[row].argmax()))
        fed = np.array(new[-1:])
    return new


@wrong("11.3", "have the positions 0, 1, … again")
def positions_from_zero():
    return caching(at=lambda past, T: np.arange(T)), generate


@wrong("11.3", "the cache isn't used, or nothing stays in it")
def nothing_stays():
    return caching(keep=lambda store, k, v: (k, v)), generate


@wrong("11.3", "There are always two heads")
def two_heads():
    return caching(heads=2), generate


@wrong("11.3", "All channels are one head")
def one_head():
    return caching(heads=1), generate


@wrong("11.3", "A position doesn't see itself")
def strictly_earlier():
    def sees(T, P):
        seen = np.tri(T, P, P - T - 1, dtype=bool)
        seen[0, 0] |= T == P
        return seen

    return caching(sees=sees), generate


@wrong("11.3", "has changed the cache")
def refused_too_late():
    def gpt_cached(tokens, params, n_head, cache):
        if length(cache) + len(tokens) > len(params["wpe"]):
            for store in cache:
                store.clear()
            raise ValueError("full")
        return right(tokens, params, n_head, cache)

    return gpt_cached, generate


@wrong("11.3", "one dict for each block")
def two_dicts():
    return right, lambda *given: generate(*given, dicts=2)


@wrong("11.3", "It ends after 6 tokens")
def six_at_most():
    return right, lambda prompt, params, n_head, n: generate(prompt, params, n_head, min(n, 6))


@wrong("11.3", "What follows the last position")
def cut_one_too_early():
    def generate_cached(prompt, params, n_head, n_tokens):
        return generate(prompt, params, n_head, min(n_tokens, len(params["wpe"]) - len(prompt)))

    return right, generate_cached


@wrong("11.3", "The ValueError of `gpt_cached` is caught")
def caught():
    def generate_cached(prompt, params, n_head, n_tokens):
        cache, fed, new = [{} for _ in params["blocks"]], np.array(prompt), []
        try:
            for _ in range(n_tokens):
                new.append(int(right(fed, params, n_head, cache)[-1].argmax()))
                fed = np.array(new[-1:])
        except ValueError:
            pass
        return new

    return right, generate_cached


@wrong("11.3", "The new tokens see only each other")
def stored_and_not_read():
    def keep(store, k, v):
        remember(store, k, v)
        return k, v

    return caching(keep=keep), generate


@wrong("11.3", "The cache holds the newest part alone")
def replaced():
    def keep(store, k, v):
        joined = (k, v)
        if store:
            joined = (
                np.concatenate([store["k"], k], 1),
                np.concatenate([store["v"], v], 1),
            )
        store["k"], store["v"] = k, v
        store["n"] = store.get("n", 0) + k.shape[1]
        return joined

    return caching(keep=keep, past=lambda cache: cache[0].get("n", 0)), generate


@wrong("11.3", "A new query sees the first keys alone")
def corner_on_the_left():
    return caching(sees=lambda T, P: np.tri(T, P, dtype=bool)), generate


@wrong("11.3", "Tokens that are fed at once all see each other")
def no_mask_with_a_cache():
    def sees(T, P):
        return causal(T, P) if T == P else np.ones((T, P), bool)

    return caching(sees=sees), generate


@wrong("11.3", "The new keys stand in front")
def new_in_front():
    def keep(store, k, v):
        if store:
            k, v = np.concatenate([k, store["k"]], 1), np.concatenate([v, store["v"]], 1)
        store["k"], store["v"] = k, v
        return k, v

    return caching(keep=keep), generate


@wrong("11.3", "keys and values change places")
def exchanged():
    def keep(store, k, v):
        if store:
            k, v = np.concatenate([store["v"], k], 1), np.concatenate([store["k"], v], 1)
        store["k"], store["v"] = k, v
        return k, v

    return caching(keep=keep), generate


@wrong("11.3", "so read it before the cache grows")
def length_after_it_has_grown():
    def at(past, T):
        return np.arange(past, past + T) + (T if past else 0)

    return caching(at=at, check=lambda *sizes: None), generate


@wrong("11.3", "one too small")
def one_too_small():
    return caching(at=lambda past, T: np.arange(past, past + T) - (past > 0)), generate


@wrong("11.3", "get the same position")
def one_place():
    def at(past, T):
        return np.full(T, past) if past else np.arange(T)

    return caching(at=at), generate


@wrong("11.3", "joined along axis 1, the positions")
def joined_along_the_heads():
    def keep(store, k, v):
        if store:
            k, v = np.concatenate([store["k"], k], 0), np.concatenate([store["v"], v], 0)
        store["k"], store["v"] = k, v
        return k, v

    return caching(keep=keep), generate


@wrong("11.3", "Mind the first call")
def empty_at_first():
    return caching(past=lambda cache: cache[0]["k"].shape[1]), generate


@wrong("11.3", "remembered outside of the cache")
def one_memory():
    memory = {}

    def gpt_cached(tokens, params, n_head, cache):
        if memory.get("params") is not params:  # a new question of the check
            memory.update(params=params, cache=[{} for _ in params["blocks"]])
        return right(tokens, params, n_head, memory["cache"])

    return gpt_cached, generate


@wrong("11.3", "count on from another text")
def one_counter():
    counted = {"params": None, "n": 0}

    def past(cache):
        return counted["n"]

    def gpt_cached(tokens, params, n_head, cache):
        if counted["params"] is not params:
            counted.update(params=params, n=0)
        out = caching(past=past)(tokens, params, n_head, cache)
        counted["n"] += len(tokens)
        return out

    return gpt_cached, generate


@wrong("11.3", "adds its one row to both")
def no_end():
    return caching(at=lambda past, T: slice(past, past + T), check=lambda *sizes: None), generate


@wrong("11.3", "can still be used")
def one_too_early():
    def check(past, T, size):
        if past + T >= size:
            raise ValueError("full")

    return caching(check=check), generate


@wrong("11.3", "The prompt stands in front")
def with_the_prompt():
    return right, lambda prompt, *given: [*prompt, *generate(prompt, *given)]


@wrong("11.3", "There is one token too many")
def one_more():
    return right, lambda *given: generate(*given, more=1)


@wrong("11.3", "The last token is missing")
def one_less():
    return right, lambda *given: generate(*given, more=-1)


@wrong("11.3", "one cache, made before the loop")
def cache_in_the_loop():
    def fresh(prompt, params, n_head, n_tokens):
        fed, new = np.array(prompt), []
        for _ in range(n_tokens):
            cache = [{} for _ in params["blocks"]]
            new.append(int(right(fed, params, n_head, cache)[-1].argmax()))
            fed = np.array(new[-1:])
        return new

    return right, fresh


@wrong("11.3", "The logits of the first row")
def first_row():
    return right, lambda *given: generate(*given, row=0)


@wrong("11.3", "The whole text passes through the blocks")
def everything_again():
    def slow(prompt, params, n_head, n_tokens):
        text = list(prompt)
        for _ in range(n_tokens):
            cache = [{} for _ in params["blocks"]]
            text.append(int(right(np.array(text), params, n_head, cache)[-1].argmax()))
        return text[len(prompt) :]

    return right, slow


@wrong("11.3", "One position too many")
def last_one_fed():
    def eager(prompt, params, n_head, n_tokens):
        cache, new = [{} for _ in params["blocks"]], []
        logits = right(np.array(prompt), params, n_head, cache)
        for _ in range(n_tokens):
            new.append(int(logits[-1].argmax()))
            logits = right(np.array(new[-1:]), params, n_head, cache)
        return new

    return right, eager


@wrong("11.3", "go through c_attn again")
def inputs_cached():
    def before(store, h):
        h = np.concatenate([store["h"], h]) if store else h
        store["h"] = h
        return h

    def past(cache):
        return len(cache[0]["h"]) if cache[0] else 0

    recomputing = caching(before=before, past=past)
    return recomputing, lambda *given: generate(*given, gpt=recomputing)


@wrong("11.3", "one row of logits for each token that it is fed")
def last_row_alone():
    return (lambda *given: right(*given)[-1]), generate


@wrong("11.3", "Not one token was asked for")
def one_token_at_least():
    return right, lambda prompt, params, n_head, n: generate(prompt, params, n_head, max(n, 1))


@wrong("11.3", "A copy of a cache knows nothing")
def memory_by_identity():
    memory = {}

    def gpt_cached(tokens, params, n_head, cache):
        own = memory.setdefault(id(cache), (cache, [{} for _ in cache]))[1]
        return right(tokens, params, n_head, own)

    def generating(prompt, params, n_head, n_tokens):
        return generate(prompt, params, n_head, n_tokens, gpt_cached)

    return gpt_cached, generating


@wrong("11.3", "look whether the tokens fit before anything is stored")
def checked_at_the_end():
    def gpt_cached(tokens, params, n_head, cache):
        size = len(params["wpe"])
        longer = np.concatenate([params["wpe"], params["wpe"][: len(tokens)]])
        y = right(tokens, params | {"wpe": longer}, n_head, cache)
        if length(cache) > size:
            raise ValueError("full")
        return y

    return gpt_cached, generate


def clipped(past, T):
    return np.minimum(np.arange(past, past + T), 19)  # at most the last row


@wrong("11.3", "One token needs a row of wpe, too")
def compared_for_several_alone():
    def check(past, T, size):
        if T > 1:
            whole_rows(past, T, size)

    return caching(at=clipped, check=check), generate


@wrong("11.3", "A first call may be too long as well")
def compared_with_a_past_alone():
    def check(past, T, size):
        if past:
            whole_rows(past, T, size)

    return caching(at=clipped, check=check), generate


@wrong("11.3", "from more positions than the context has")
def a_window_of_the_newest():
    def generate_cached(prompt, params, n_head, n_tokens):
        if len(prompt) + n_tokens - 1 <= len(params["wpe"]):
            return generate(prompt, params, n_head, n_tokens)
        text = list(prompt)
        for _ in range(n_tokens):
            cache, newest = [{} for _ in params["blocks"]], text[-len(params["wpe"]) :]
            text.append(int(right(np.array(newest), params, n_head, cache)[-1].argmax()))
        return text[len(prompt) :]

    return right, generate_cached


def generating(feed, caches=lambda n: [{} for _ in range(n)], choose=lambda y: y[-1].argmax()):
    """Return generate_cached that feeds `feed(prompt, new)`, with one thing wrong."""

    def generate_cached(prompt, params, n_head, n_tokens):
        cache, new = caches(len(params["blocks"])), []
        for _ in range(n_tokens):
            logits = right(np.array(feed(prompt, new)), params, n_head, cache)
            new.append(int(choose(logits)))
        return new

    return generate_cached


@wrong("11.3", "is fed again with what it holds")
def whole_text_into_the_cache():
    return right, generating(lambda prompt, new: prompt + new)


@wrong("11.3", "These tokens fit, to the last row of wpe")
def refused_one_early():
    def generate_cached(prompt, params, n_head, n_tokens):
        if len(prompt) + n_tokens > len(params["wpe"]):
            raise ValueError("too long")
        return generate(prompt, params, n_head, n_tokens)

    return right, generate_cached


@wrong("11.3", "as in `[{}] * n`")
def one_dict_for_all_blocks():
    return right, generating(lambda prompt, new: new[-1:] or prompt, lambda n: [{}] * n)


@wrong("11.3", "`argmax` of all rows counts on")
def likeliest_of_all_rows():
    return right, generating(lambda prompt, new: new[-1:] or prompt, choose=lambda y: y.argmax())


@wrong("11.3", "is fed twice")
def last_of_the_prompt_twice():
    def generate_cached(prompt, params, n_head, n_tokens):
        cache, new, fed = [{} for _ in params["blocks"]], [], prompt[-1:]
        right(np.array(prompt), params, n_head, cache)
        for _ in range(n_tokens):
            new.append(int(right(np.array(fed), params, n_head, cache)[-1].argmax()))
            fed = new[-1:]
        return new

    return right, generate_cached


@wrong("11.3", "Each position sees the one behind it")
def mask_one_too_far():
    return caching(sees=lambda T, P: np.tri(T, P, P - T + 1, dtype=bool)), generate


@wrong("11.3", "values are cached as keys are")
def keys_alone():
    def keep(store, k, v):
        store["k"] = np.concatenate([store["k"], k], 1) if store else k
        return store["k"], v

    return caching(keep=keep), generate


@wrong("11.3", "something is remembered outside of the dicts")
def positions_counted_outside():
    count = {}

    def gpt_cached(tokens, params, n_head, cache):
        old = count["n"] if cache[0] else 0
        count["n"] = old + len(tokens)

        def sees(T, P):
            return np.tri(T, old + T, old, dtype=bool)

        return caching(past=lambda cache: old, sees=sees)(tokens, params, n_head, cache)

    return gpt_cached, generate
