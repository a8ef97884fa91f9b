"""Wrong answers to 7.5, a KV cache."""

import torch
from torch import nn
from torch.nn import functional as F

from misconceptions import wrong


class Attention(nn.Module):
    """Attention with a cache, in parts that wrong ones replace."""

    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x, cache):
        B, T, C = x.shape
        q, k, v = (
            z.view(B, T, self.n_head, -1).transpose(1, 2) for z in self.c_attn(x).split(C, 2)
        )
        if cache is not None:
            k, v = self.remember(cache, k, v)
        y = self.attend(q, k, v)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, C))

    def remember(self, cache, k, v):
        if cache:
            k, v = torch.cat([cache["k"], k], 2), torch.cat([cache["v"], v], 2)
        cache["k"], cache["v"] = k, v
        return k, v

    def attend(self, q, k, v):
        T, all = q.shape[2], k.shape[2]
        seen = torch.ones(T, all, dtype=torch.bool).tril(all - T)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen)


class Block(nn.Module):
    def __init__(self, attn, n_embd):
        super().__init__()
        self.ln_1, self.attn, self.ln_2 = nn.LayerNorm(n_embd), attn, nn.LayerNorm(n_embd)
        layers = nn.Linear(n_embd, 4 * n_embd), nn.GELU("tanh"), nn.Linear(4 * n_embd, n_embd)
        self.mlp = nn.Sequential(*layers)

    def forward(self, x, cache):
        x = x + self.attn(self.ln_1(x), cache)
        return x + self.mlp(self.ln_2(x))


class Cached(nn.Module):
    """The small GPT with a cache, in parts that wrong ones replace."""

    attention = Attention

    def __init__(self, vocab_size, block_size, n_layer, n_head, n_embd):
        super().__init__()
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(block_size, n_embd)
        self.h = nn.ModuleList(
            Block(self.attention(n_embd, n_head), n_embd) for _ in range(n_layer)
        )
        self.ln_f = nn.LayerNorm(n_embd)
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)

    def new_cache(self):
        return [{} for _ in self.h]

    def past(self, cache):
        return cache[0]["k"].shape[2] if cache and cache[0] else 0

    def positions(self, past, T):
        return torch.arange(past, past + T)

    def forward(self, idx, cache=None):
        x = self.wte(idx) + self.wpe(self.positions(self.past(cache), idx.shape[1]))
        for i, block in enumerate(self.h):
            x = block(x, cache[i] if cache else None)
        return self.lm_head(self.ln_f(x))


def generate(model, idx, n):
    cache, new = model.new_cache(), idx
    for _ in range(n):
        new = model(new, cache)[:, -1:].argmax(2)
        idx = torch.cat([idx, new], 1)
    return idx


def with_attention(attention):
    return type("CachedGPT", (Cached,), {"attention": attention}), generate


@wrong("7.5", "get the positions 0, 1, … again")
def positions_from_zero():
    class CachedGPT(Cached):
        def past(self, cache):
            return 0

    return CachedGPT, generate


@wrong("7.5", "positions of the new tokens are one too large: counting")
def positions_from_one():
    class CachedGPT(Cached):
        def positions(self, past, T):
            return torch.arange(past, past + T) + (past > 0)

    return CachedGPT, generate


@wrong("7.5", "Read the length of the cache before it grows")
def length_read_after_the_layers():
    class CachedGPT(Cached):
        def positions(self, past, T):
            return torch.arange(past, past + T) + (T if past else 0)

    return CachedGPT, generate


@wrong("7.5", "All tokens that are fed at once get the same position")
def one_position_for_all():
    class CachedGPT(Cached):
        def positions(self, past, T):
            return torch.full((T,), past) if past else torch.arange(T)

    return CachedGPT, generate


@wrong("7.5", "the cache is changed where it is, and need not come back")
def cache_returned_as_well():
    class CachedGPT(Cached):
        def forward(self, idx, cache=None):
            return super().forward(idx, cache), cache

    def generate_cached(model, idx, n):
        cache, new = model.new_cache(), idx
        for _ in range(n):
            logits, cache = model(new, cache)
            new = logits[:, -1:].argmax(2)
            idx = torch.cat([idx, new], 1)
        return idx

    return CachedGPT, generate_cached


@wrong("7.5", "for each token that it is fed")
def last_logits_alone():
    class CachedGPT(Cached):
        def forward(self, idx, cache=None):
            logits = super().forward(idx, cache)
            return logits if cache is None else logits[:, -1:]

    return CachedGPT, generate


@wrong("7.5", "Are they joined along time")
def joined_along_the_heads():
    class AlongHeads(Attention):
        def remember(self, cache, k, v):
            if cache:
                k, v = torch.cat([cache["k"], k], 1), torch.cat([cache["v"], v], 1)
            cache["k"], cache["v"] = k, v
            return k, v

    return with_attention(AlongHeads)


@wrong("7.5", "it is replaced by the newest keys and values")
def replaced():
    class Replacing(Attention):
        def remember(self, cache, k, v):
            old = cache.copy()
            cache["k"], cache["v"] = k, v
            if old:
                k, v = torch.cat([old["k"], k], 2), torch.cat([old["v"], v], 2)
            return k, v

    return with_attention(Replacing)


@wrong("7.5", "Only what was fed first stays in the cache")
def never_stored_again():
    class Once(Attention):
        def remember(self, cache, k, v):
            if cache:
                return torch.cat([cache["k"], k], 2), torch.cat([cache["v"], v], 2)
            cache["k"], cache["v"] = k, v
            return k, v

    return with_attention(Once)


@wrong("7.5", "either the cache isn't used, or nothing stays in it")
def local_name():
    class Local(Attention):
        def forward(self, x, cache):
            return super().forward(x, cache or {})

    return with_attention(Local)


@wrong("7.5", "A new query sees the first keys alone")
def causal_with_one_query():
    class IsCausal(Attention):
        def attend(self, q, k, v):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    return with_attention(IsCausal)


@wrong("7.5", "the later ones too: several new tokens need")
def no_mask_with_a_cache():
    class Unmasked(Attention):
        def attend(self, q, k, v):
            causal = q.shape[2] == k.shape[2]
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

    return with_attention(Unmasked)


@wrong("7.5", "stand in front of the cached ones")
def put_in_front():
    class InFront(Attention):
        def remember(self, cache, k, v):
            if cache:
                k, v = torch.cat([k, cache["k"]], 2), torch.cat([v, cache["v"]], 2)
            cache["k"], cache["v"] = k, v
            return k, v

    return with_attention(InFront)


@wrong("7.5", "Keys and values change places")
def keys_and_values_swapped():
    class Swapped(Attention):
        def remember(self, cache, k, v):
            if cache:
                k, v = torch.cat([cache["v"], k], 2), torch.cat([cache["k"], v], 2)
            cache["k"], cache["v"] = k, v
            return k, v

    return with_attention(Swapped)


@wrong("7.5", "its cache isn't its own")
def cache_in_the_model():
    class CachedGPT(Cached):
        def new_cache(self):
            self.kept = getattr(self, "kept", None) or [{} for _ in self.h]
            return self.kept

    return CachedGPT, generate


@wrong("7.5", "a default such as `cache=[{}]` is made once and shared by all calls")
def default_that_is_shared():
    class CachedGPT(Cached):
        def __init__(self, **sizes):
            super().__init__(**sizes)
            self.default = self.new_cache()

        def forward(self, idx, cache=None):
            return super().forward(idx, self.default if cache is None else cache)

    return CachedGPT, generate


@wrong("7.5", "The positions go on counting from another text")
def counter_in_the_model():
    class CachedGPT(Cached):
        count = 0

        def past(self, cache):
            return self.count

        def positions(self, past, T):
            self.count += T
            return super().positions(past, T)

    return CachedGPT, generate


@wrong("7.5", "A call without a cache sees what others left behind")
def default_made_by_the_last_cache():
    class CachedGPT(Cached):
        def new_cache(self):
            self.newest = super().new_cache()
            return self.newest

        def forward(self, idx, cache=None):
            return super().forward(idx, getattr(self, "newest", None) if cache is None else cache)

    return CachedGPT, generate


@wrong("7.5", "cache their keys and values, not what these are computed from")
def inputs_cached():
    class Inputs(Attention):
        def forward(self, x, cache):
            T = x.shape[1]
            if cache:
                x = torch.cat([cache["x"], x], 1)
            if cache is not None:
                cache["x"] = x
            return super().forward(x, None)[:, -T:]

    class CachedGPT(Cached):
        attention = Inputs

        def past(self, cache):
            return cache[0]["x"].shape[1] if cache and cache[0] else 0

    return CachedGPT, generate


@wrong("7.5", "`[{}] * n` is one dict n times")
def one_dict_for_all_layers():
    class CachedGPT(Cached):
        def new_cache(self):
            return [{}] * len(self.h)

    return CachedGPT, generate


@wrong("7.5", "The mask doesn't fit")
def mask_of_the_new_tokens():
    class Square(Attention):
        def attend(self, q, k, v):
            T = q.shape[2]
            scores = (q @ k.transpose(2, 3)) / q.shape[3] ** 0.5
            hidden = torch.ones(T, T, dtype=torch.bool).triu(1)
            return scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v

    return with_attention(Square)


@wrong("7.5", "The tokens are right, but everything is computed again")
def no_cache_in_the_loop():
    def generate_cached(model, idx, n):
        for _ in range(n):
            idx = torch.cat([idx, model(idx)[:, -1:].argmax(2)], 1)
        return idx

    return Cached, generate_cached


@wrong("7.5", "The whole text is fed for each new token, to a cache")
def whole_text_fed_again():
    def generate_cached(model, idx, n):
        cache = model.new_cache()
        for _ in range(n):
            idx = torch.cat([idx, model(idx, cache)[:, -1:].argmax(2)], 1)
        return idx

    class CachedGPT(Cached):
        def positions(self, past, T):
            return super().positions(past, T) % self.wpe.num_embeddings

    return CachedGPT, generate_cached


@wrong("7.5", "Only the last token is fed, from the start")
def prompt_never_fed():
    def generate_cached(model, idx, n):
        cache = model.new_cache()
        for _ in range(n):
            idx = torch.cat([idx, model(idx[:, -1:], cache)[:, -1:].argmax(2)], 1)
        return idx

    return Cached, generate_cached


@wrong("7.5", "The last token of the prompt passes twice")
def last_token_twice():
    def generate_cached(model, idx, n):
        cache = model.new_cache()
        model(idx, cache)
        for _ in range(n):
            idx = torch.cat([idx, model(idx[:, -1:], cache)[:, -1:].argmax(2)], 1)
        return idx

    return Cached, generate_cached


@wrong("7.5", "One position too many")
def last_token_fed_in_vain():
    def generate_cached(model, idx, n):
        cache = model.new_cache()
        logits = model(idx, cache)
        for _ in range(n):
            idx = torch.cat([idx, logits[:, -1:].argmax(2)], 1)
            logits = model(idx[:, -1:], cache)
        return idx

    return Cached, generate_cached


@wrong("7.5", "Only the new tokens came back")
def prompt_left_out():
    return Cached, lambda model, idx, n: generate(model, idx, n)[:, idx.shape[1] :]


@wrong("7.5", "Each new token follows from the newest one alone")
def cache_not_passed():
    def generate_cached(model, idx, n):
        new = idx
        for _ in range(n):
            new = model(new, model.new_cache())[:, -1:].argmax(2)
            idx = torch.cat([idx, new], 1)
        return idx

    return Cached, generate_cached


@wrong("7.5", "You take the logits of the first row")
def first_row_of_the_prompt():
    def generate_cached(model, idx, n):
        cache, new = model.new_cache(), idx
        for _ in range(n):
            new = model(new, cache)[:, 0].argmax(1, keepdim=True)
            idx = torch.cat([idx, new], 1)
        return idx

    return Cached, generate_cached


@wrong("7.5", "Old queries are kept and meet all keys again")
def queries_cached():
    class Queries(Attention):
        def forward(self, x, cache):
            q, k, v = (
                z.unflatten(2, (self.n_head, -1)).transpose(1, 2)
                for z in self.c_attn(x).chunk(3, 2)
            )
            if cache is not None:
                if cache:
                    q, k, v = (
                        torch.cat([old, new], 2)
                        for old, new in zip(cache.values(), (q, k, v), strict=True)
                    )
                cache.update(q=q, k=k, v=v)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.c_proj(y.transpose(1, 2).flatten(2)[:, -x.shape[1] :])

    return with_attention(Queries)


@wrong("7.5", "the logits must be those of the cell as it was given")
def mask_one_too_large():
    class Ahead(Attention):
        def attend(self, q, k, v):
            T, all = q.shape[2], k.shape[2]
            seen = torch.ones(T, all, dtype=torch.bool).tril(all - T + 1)
            return F.scaled_dot_product_attention(q, k, v, attn_mask=seen)

    return with_attention(Ahead)


@wrong("7.5", "a text that is kept as tokens is no cache")
def text_cached():
    class CachedGPT(Cached):
        def past(self, cache):
            return 0

        def forward(self, idx, cache=None):
            if cache is None:
                return super().forward(idx)
            T = idx.shape[1]
            cache[0]["idx"] = torch.cat([cache[0].get("idx", idx[:, :0]), idx], 1)
            self.wte(idx)  # for what counts
            for block in self.h:
                block.attn.c_attn(torch.zeros(len(idx), T, self.wte.embedding_dim))
            return Whole(self)(cache[0]["idx"])[:, -T:]

    return CachedGPT, generate


class Whole:
    """The small GPT out of functions, which no hook of a layer sees."""

    def __init__(self, model):
        self.model = model

    def __call__(self, idx):
        m, C = self.model, self.model.wte.embedding_dim
        x = m.wte.weight[idx] + m.wpe.weight[: idx.shape[1]]
        for block in m.h:
            h = F.layer_norm(x, (C,), block.ln_1.weight, block.ln_1.bias)
            qkv = F.linear(h, block.attn.c_attn.weight, block.attn.c_attn.bias)
            q, k, v = (
                z.unflatten(2, (block.attn.n_head, -1)).transpose(1, 2) for z in qkv.chunk(3, 2)
            )
            scores = q @ k.mT / q.shape[3] ** 0.5
            hidden = torch.ones_like(scores, dtype=torch.bool).triu(1)
            weights = scores.masked_fill(hidden, float("-inf")).exp()
            y = (weights / weights.sum(-1, keepdim=True)) @ v
            y = y.transpose(1, 2).flatten(2)
            x = x + F.linear(y, block.attn.c_proj.weight, block.attn.c_proj.bias)
            h = F.layer_norm(x, (C,), block.ln_2.weight, block.ln_2.bias)
            h = F.gelu(F.linear(h, block.mlp[0].weight, block.mlp[0].bias), approximate="tanh")
            x = x + F.linear(h, block.mlp[2].weight, block.mlp[2].bias)
        return F.linear(F.layer_norm(x, (C,), m.ln_f.weight, m.ln_f.bias), m.lm_head.weight)


@wrong("7.5", "`if cache:` is False for an empty dict")
def stored_only_if_there_is_something():
    class Never(Attention):
        def remember(self, cache, k, v):
            if cache:
                k, v = torch.cat([cache["k"], k], 2), torch.cat([cache["v"], v], 2)
                cache["k"], cache["v"] = k, v
            return k, v

    return with_attention(Never)


@wrong("7.5", "it is the loop in `generate_cached`: the likeliest")
def likeliest_of_the_batch():
    def generate_cached(model, idx, n):
        cache, new = model.new_cache(), idx
        for _ in range(n):
            new = model(new, cache)[:, -1].argmax(dim=0)[:, None]
            idx = torch.cat([idx, new], 1)
        return idx

    return Cached, generate_cached


@wrong("7.5", "The last of the block's positions is never used")
def block_never_filled():
    class Short(Cached):
        def positions(self, past, T):
            return super().positions(past, T).clamp(max=self.wpe.num_embeddings - 2)

    return Short, generate


@wrong("7.5", "Without a cache the model computes as before, and so can be trained")
def keys_detached():
    class Detached(Attention):
        def attend(self, q, k, v):
            return super().attend(q, k.detach(), v.detach())

    class Untrainable(Cached):
        attention = Detached

    return Untrainable, generate


@wrong("7.5", "goes on from what it left in the model")
def one_cache_for_all_calls():
    def generate_cached(model, idx, n):
        model.kept = getattr(model, "kept", None) or model.new_cache()
        new = idx
        for _ in range(n):
            new = model(new, model.kept)[:, -1:].argmax(2)
            idx = torch.cat([idx, new], 1)
        return idx

    return Cached, generate_cached


@wrong("7.5", "The rows are fed one after another")
def row_by_row():
    return Cached, lambda model, idx, n: torch.cat([generate(model, row[None], n) for row in idx])


@wrong("7.5", "of several, each sees the first keys alone")
def causal_where_there_are_several():
    class SeveralCausal(Attention):
        def attend(self, q, k, v):
            return F.scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1)

    return with_attention(SeveralCausal)


@wrong("7.5", "leave the layers as they are")
def a_parameter_of_its_own():
    class CachedGPT(Cached):
        def __init__(self, **sizes):
            super().__init__(**sizes)
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, idx, cache=None):
            return super().forward(idx, cache) * self.scale

    return CachedGPT, generate


@wrong("7.5", "The prompt is fed in pieces")
def prompt_token_by_token():
    def in_pieces(model, idx, n):
        cache = model.new_cache()
        for token in idx[:, :-1].split(1, 1):
            model(token, cache)
        new = idx[:, -1:]
        for _ in range(n):
            new = model(new, cache)[:, -1:].argmax(2)
            idx = torch.cat([idx, new], 1)
        return idx

    return Cached, in_pieces


@wrong("7.5", "No new token was asked for")
def one_token_at_least():
    def at_least_one(model, idx, n):
        return generate(model, idx, max(n, 1))

    return Cached, at_least_one


@wrong("7.5", "the other is in the way here")
def keys_kept_in_the_layer():
    class Own(Attention):
        def remember(self, cache, k, v):
            if cache:
                k, v = torch.cat([self.k, k], 2), torch.cat([self.v, v], 2)
            self.k, self.v, cache["k"] = k, v, k
            return k, v

    class Kept(Cached):
        attention = Own

    return Kept, generate


@wrong("7.5", "makes a dict of its own for each layer of this model")
def three_layers_always():
    class CachedGPT(Cached):
        def new_cache(self):
            return [{}, {}, {}]

    return CachedGPT, generate


@wrong("7.5", "the cache is not all that is remembered")
def cache_that_points_to_the_layer():
    class Pointing(Attention):
        def remember(self, cache, k, v):
            self.kept = getattr(self, "kept", {})
            key = cache.setdefault("key", len(self.kept))
            if key in self.kept:
                k, v = (torch.cat(pair, 2) for pair in zip(self.kept[key], (k, v), strict=True))
            self.kept[key] = k, v
            return k, v

    class CachedGPT(Cached):
        attention = Pointing

        def past(self, cache):
            kept = self.h[0].attn.kept if cache and cache[0] else None
            return kept[cache[0]["key"]][0].shape[2] if kept else 0

    return CachedGPT, generate


@wrong("7.5", "this is one call without a cache")
def whole_blocks_by_the_mask_of_one_less():
    class Short(Attention):
        def attend(self, q, k, v):
            T, most = q.shape[2], 39
            seen = torch.ones(T, k.shape[2], dtype=torch.bool).tril(k.shape[2] - T)
            seen[most:, 0] = seen[most:, 0] & (most >= T)
            return F.scaled_dot_product_attention(q, k, v, attn_mask=seen)

    return with_attention(Short)


@wrong("7.5", "what is different where B is 1, or where T + n is block_size?")
def never_fills_the_block():
    def generate_cached(model, idx, n):
        room = model.wpe.num_embeddings - 1 - idx.shape[1]
        return generate(model, idx, min(n, room))

    return Cached, generate_cached


@wrong("7.5", "their data type isn't that of what came in")
def tokens_of_int32():
    return Cached, lambda model, idx, n: generate(model, idx, n).int()


@wrong("7.5", "end with `model.train(was)`")
def left_in_eval_mode():
    return Cached, lambda model, idx, n: generate(model.eval(), idx, n)


@wrong("7.5", "multiply no mask by it")
def mask_times_minus_infinity():
    class Hidden(Attention):
        def attend(self, q, k, v):
            T, all = q.shape[2], k.shape[2]
            future = torch.ones(T, all).triu(all - T + 1)
            scores = q @ k.transpose(2, 3) / q.shape[3] ** 0.5 + future * float("-inf")
            return scores.softmax(-1) @ v

    return with_attention(Hidden)
