"""Wrong answers to the exercises of lecture 07, and the hint each must get."""

import torch
from torch import nn
from torch.nn import functional as F

import misconceptions.gpt_training  # noqa: F401  (its wrong answers register)
from misconceptions import wrong

# --- 7.1 ----------------------------------------------------------------------------------------


class Fused(nn.Module):
    """The right layer in parts that wrong ones replace."""

    def __init__(self, n_embd, n_head, block_size, dropout=0.0):
        super().__init__()
        self.n_head, self.p = n_head, dropout
        self.c_attn = nn.Linear(n_embd, 3 * n_embd, bias=False)
        self.c_proj = nn.Linear(n_embd, n_embd)
        future = torch.ones(block_size, block_size, dtype=torch.bool).triu(1)
        self.register_buffer("future", future, persistent=False)

    def forward(self, x):
        C = x.shape[2]
        q, k, v = (self.cut(z) for z in self.c_attn(x).split(C, dim=2))
        return self.project(self.merge(self.attend(q, k, v)))

    def cut(self, z):
        B, T, C = z.shape
        return z.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)

    def attend(self, q, k, v):
        scores = q @ k.transpose(2, 3) / self.divisor(q)
        return self.drop(self.weigh(self.hide(scores))) @ v

    def divisor(self, q):
        return q.shape[3] ** 0.5

    def hide(self, scores):
        T = scores.shape[2]
        return scores.masked_fill(self.future[:T, :T], float("-inf"))

    def weigh(self, scores):
        return scores.softmax(-1)

    def drop(self, y):
        return F.dropout(y, self.p, self.training)

    def merge(self, y):
        return y.transpose(1, 2).flatten(2)

    def project(self, y):
        return F.dropout(self.c_proj(y), self.p, self.training)


@wrong("7.1", "a view with T in another place would mix positions")
def view_without_transpose():
    class FusedAttention(Fused):
        def cut(self, z):
            B, T, C = z.shape
            return z.view(B, self.n_head, T, C // self.n_head)

    return FusedAttention


@wrong("7.1", "were cut up by `view(B, n_head, T, head_size)` at once")
def reshape_without_transpose():
    class FusedAttention(Fused):
        def cut(self, z):
            B, T, C = z.shape
            return z.reshape(B, self.n_head, T, C // self.n_head)

        def merge(self, y):
            return y.flatten(1).view(y.shape[0], y.shape[2], -1)

    return FusedAttention


@wrong("7.1", "Heads are mixed with time on the way back")
def not_transposed_back():
    class FusedAttention(Fused):
        def merge(self, y):
            B, n_head, T, head_size = y.shape
            return y.reshape(B, T, n_head * head_size)

    return FusedAttention


@wrong("7.1", "Each head takes every n_head-th channel")
def head_size_and_n_head_exchanged():
    class FusedAttention(Fused):
        def cut(self, z):
            B, T, C = z.shape
            return z.view(B, T, C // self.n_head, self.n_head).permute(0, 3, 1, 2)

    return FusedAttention


@wrong("7.1", "The scores are divided by √C.")
def scaled_by_all_channels():
    class FusedAttention(Fused):
        def divisor(self, q):
            return (q.shape[1] * q.shape[3]) ** 0.5

    return FusedAttention


@wrong("7.1", "The scores aren't scaled")
def not_scaled():
    class FusedAttention(Fused):
        def divisor(self, q):
            return 1.0

    return FusedAttention


@wrong("7.1", "The scores are divided by head_size: it is its square root.")
def scaled_without_the_root():
    class FusedAttention(Fused):
        def divisor(self, q):
            return q.shape[3]

    return FusedAttention


@wrong("7.1", "The mask comes after softmax")
def mask_after_softmax():
    class FusedAttention(Fused):
        def hide(self, scores):
            return scores

        def weigh(self, scores):
            T = scores.shape[2]
            return scores.softmax(-1).masked_fill(self.future[:T, :T], 0.0)

    return FusedAttention


@wrong("7.1", "The scores of the future are 0")
def masked_with_zero():
    class FusedAttention(Fused):
        def hide(self, scores):
            return scores.tril()

    return FusedAttention


@wrong("7.1", "the causal mask is missing")
def not_causal():
    class FusedAttention(Fused):
        def attend(self, q, k, v):
            return F.scaled_dot_product_attention(q, k, v)

    return FusedAttention


@wrong("7.1", "it was made for block_size positions")
def mask_of_block_size():
    class FusedAttention(Fused):
        def hide(self, scores):
            return scores.masked_fill(self.future, float("-inf"))

    return FusedAttention


@wrong("7.1", "one diagonal too large")
def sees_the_next():
    class FusedAttention(Fused):
        def hide(self, scores):
            hidden = torch.ones_like(scores, dtype=torch.bool).triu(2)
            return scores.masked_fill(hidden, float("-inf"))

    return FusedAttention


@wrong("7.1", "No position sees itself")
def does_not_see_itself():
    class FusedAttention(Fused):
        def hide(self, scores):
            hidden = torch.ones_like(scores, dtype=torch.bool).triu(0)
            return scores.masked_fill(hidden, float("-inf"))

    return FusedAttention


@wrong("7.1", "softmax goes over the queries")
def softmax_over_queries():
    class FusedAttention(Fused):
        def weigh(self, scores):
            return scores.softmax(-2)

    return FusedAttention


@wrong("7.1", "softmax goes over the heads")
def softmax_over_heads():
    class FusedAttention(Fused):
        def weigh(self, scores):
            return scores.softmax(1)

    return FusedAttention


@wrong("7.1", "Queries and keys have changed places")
def key_first():
    class FusedAttention(Fused):
        def attend(self, q, k, v):
            return super().attend(k, q, v)

    return FusedAttention


@wrong("7.1", "cut into heads first and into q, k, v then")
def cut_by_head():
    class FusedAttention(Fused):
        def forward(self, x):
            B, T, _ = x.shape
            parts = self.c_attn(x).view(B, T, self.n_head, -1).transpose(1, 2)
            return self.project(self.merge(self.attend(*parts.chunk(3, dim=3))))

    return FusedAttention


@wrong("7.1", "The joined heads come back as they are")
def not_projected():
    class FusedAttention(Fused):
        def project(self, y):
            return y

    return FusedAttention


@wrong("7.1", "scores of (B, T, n_head, n_head) come from heads behind T")
def heads_behind_time():
    class FusedAttention(Fused):
        def cut(self, z):
            B, T, C = z.shape
            return z.view(B, T, self.n_head, C // self.n_head)

        def hide(self, scores):
            return scores.masked_fill(self.future, float("-inf"))

        def merge(self, y):
            return y.flatten(2)

    return FusedAttention


@wrong("7.1", "At each position, heads attend to heads")
def heads_attend_to_heads():
    class FusedAttention(Fused):
        def cut(self, z):
            return super().cut(z).transpose(1, 2)

        def attend(self, q, k, v):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)

    return FusedAttention


@wrong("7.1", "True marks what may be seen")
def mask_turned_round():
    class FusedAttention(Fused):
        def attend(self, q, k, v):
            T = q.shape[2]
            return F.scaled_dot_product_attention(q, k, v, attn_mask=self.future[:T, :T])

    return FusedAttention


@wrong("7.1", "the residual path belongs to the block")
def residual_inside():
    class FusedAttention(Fused):
        def forward(self, x):
            return x + super().forward(x)

    return FusedAttention


@wrong("7.1", "the last two axes of k are exchanged")
def keys_not_turned():
    class FusedAttention(Fused):
        def attend(self, q, k, v):
            return self.weigh(self.hide(q @ k / self.divisor(q))) @ v

    return FusedAttention


@wrong("7.1", "`reshape` or `.contiguous().view(…)`")
def viewed_after_transposing():
    class FusedAttention(Fused):
        def merge(self, y):
            B, n_head, T, head_size = y.shape
            return y.transpose(1, 2).view(B, T, n_head * head_size)

    return FusedAttention


@wrong("7.1", "Dropout is left on in eval mode")
def dropout_left_on():
    class FusedAttention(Fused):
        def attend(self, q, k, v):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=self.p)

    return FusedAttention


@wrong("7.1", "There is no dropout in train mode")
def no_dropout():
    class FusedAttention(Fused):
        def __init__(self, n_embd, n_head, block_size, dropout=0.0):
            super().__init__(n_embd, n_head, block_size)

    return FusedAttention


@wrong("7.1", "Dropout on the attention weights is missing")
def output_dropped_alone():
    class FusedAttention(Fused):
        def drop(self, y):
            return y

    return FusedAttention


@wrong("7.1", "Dropout on the projected output is missing")
def weights_dropped_alone():
    class FusedAttention(Fused):
        def project(self, y):
            return self.c_proj(y)

    return FusedAttention


@wrong("7.1", "The second dropout comes before c_proj")
def dropped_before_projecting():
    class FusedAttention(Fused):
        def project(self, y):
            return self.c_proj(self.drop(y))

    return FusedAttention


@wrong("7.1", "Single channels are dropped inside the heads, not weights")
def values_dropped():
    class FusedAttention(Fused):
        def attend(self, q, k, v):
            return self.weigh(self.hide(q @ k.mT / self.divisor(q))) @ self.drop(v)

    return FusedAttention


@wrong("7.1", "All heads drop the same weights")
def one_mask_for_all_heads():
    class FusedAttention(Fused):
        def weigh(self, scores):
            return scores.softmax(-1) * super().drop(torch.ones_like(scores[:, :1]))

        def drop(self, y):
            return y

    return FusedAttention


@wrong("7.1", "p is the share that is dropped, not the one that is kept")
def share_kept():
    class FusedAttention(Fused):
        def __init__(self, n_embd, n_head, block_size, dropout=0.0):
            super().__init__(n_embd, n_head, block_size, 1 - dropout)

    return FusedAttention


@wrong("7.1", "All channels are one head")
def never_cut():
    class FusedAttention(Fused):
        def cut(self, z):
            return z[:, None]

    return FusedAttention


@wrong("7.1", "there are head_size heads of n_head channels")
def cut_into_head_size_heads():
    class FusedAttention(Fused):
        def cut(self, z):
            B, T, C = z.shape
            return z.view(B, T, C // self.n_head, self.n_head).transpose(1, 2)

    return FusedAttention


@wrong("7.1", "a loop goes over the heads")
def one_head_after_another():
    class FusedAttention(Fused):
        def attend(self, q, k, v):
            each = [super(FusedAttention, self).attend(*one) for one in self.heads(q, k, v)]
            return torch.cat(each, dim=1)

        def heads(self, q, k, v):
            return zip(*(z.split(1, dim=1) for z in (q, k, v)), strict=True)

    return FusedAttention


@wrong("7.1", "The check copies weights by name")
def three_layers():
    class FusedAttention(Fused):
        def __init__(self, n_embd, n_head, block_size, dropout=0.0):
            super().__init__(n_embd, n_head, block_size, dropout)
            del self.c_attn
            self.query, self.key, self.value = (nn.Linear(n_embd, n_embd) for _ in range(3))

    return FusedAttention


# --- 7.5 ----------------------------------------------------------------------------------------


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


# --- 7.6 ----------------------------------------------------------------------------------------


def nucleus(
    logits, p, temperature=1.0,
    keep=lambda falling, p: falling.cumsum(-1) - falling < p, back=True, divide=True,
):  # fmt: skip
    """The right answer with switches."""
    probs = F.softmax(logits / temperature, -1)
    if p >= 1:
        return probs
    falling, order = probs.sort(dim=-1, descending=True)
    kept = torch.where(keep(falling, p), falling, 0.0)
    if back:
        kept = torch.zeros_like(probs).scatter(-1, order, kept)
    return kept / kept.sum(-1, keepdim=True) if divide else kept


def filtered(keep):
    """An answer that decides on unsorted probabilities."""

    def top_p(logits, p, temperature=1.0):
        probs = F.softmax(logits / temperature, -1)
        kept = torch.where(keep(probs, p), probs, 0.0)
        return kept / kept.sum(-1, keepdim=True)

    return top_p


@wrong("7.6", "The decision was made in sorted order and used in the vocabulary's")
def mask_not_put_back():
    def keep(probs, p):
        falling = probs.sort(dim=-1, descending=True).values
        return falling.cumsum(-1) - falling < p

    return filtered(keep)


@wrong("7.6", "The result is in sorted order")
def left_sorted():
    return lambda *given: nucleus(*given, back=False)


@wrong("7.6", "isn't the way back, it sorts once more")
def gathered_back():
    def top_p(logits, p, temperature=1.0):
        order = logits.sort(dim=-1, descending=True).indices
        return nucleus(logits, p, temperature, back=False).gather(-1, order)

    return top_p


@wrong("7.6", "and draw none")
def a_token_drawn():
    return lambda *given: torch.multinomial(nucleus(*given), 1)


@wrong("7.6", "the right side needs `.clone()`")
def shifted_onto_itself():
    def keep(falling, p):
        drop = falling.cumsum(-1) > p
        drop[..., 1:] = drop[..., :-1]
        drop[..., 0] = False
        return ~drop

    return lambda *given: nucleus(*given, keep=keep)


@wrong("7.6", "The token with which the sum reaches p is dropped")
def crossing_token_dropped():
    return lambda *given: nucleus(*given, keep=lambda falling, p: falling.cumsum(-1) <= p)


@wrong("7.6", "Nothing is left, hence the zeros or NaN")
def nothing_left_when_sure():
    def keep(falling, p):
        sums = falling.cumsum(-1)
        first = sums < p
        crossing = (~first).int().cumsum(-1) == 1
        return first | (crossing & (sums[:, :1] < p))

    return lambda *given: nucleus(*given, keep=keep)


@wrong("7.6", "One token too many is kept")
def one_too_many():
    def keep(falling, p):
        before = (falling.cumsum(-1) - falling).roll(1, -1)
        before[:, 0] = 0
        return before < p

    return lambda *given: nucleus(*given, keep=keep)


@wrong("7.6", "What is left doesn't add up to 1")
def not_renormalised():
    return lambda *given: nucleus(*given, divide=False)


@wrong("7.6", "The temperature comes after the filter")
def temperature_after_the_filter():
    def top_p(logits, p, temperature=1.0):
        keep = nucleus(logits, p) > 0
        return F.softmax((logits / temperature).masked_fill(~keep, float("-inf")), -1)

    return top_p


@wrong("7.6", "The temperature isn't used")
def temperature_ignored():
    return lambda logits, p, temperature=1.0: nucleus(logits, p)


@wrong("7.6", "The logits are multiplied by the temperature")
def multiplied_by_the_temperature():
    return lambda logits, p, temperature=1.0: nucleus(logits, p, 1 / temperature)


@wrong("7.6", "not along the batch")
def summed_down_the_batch():
    return lambda *given: nucleus(*given, keep=lambda f, p: f.cumsum(0) - f < p)


@wrong("7.6", "as many as the first row needs")
def first_row_for_all():
    def keep(falling, p):
        count = (falling.cumsum(-1) - falling < p)[0].sum()
        return torch.arange(falling.shape[1]).expand(falling.shape) < count

    return lambda *given: nucleus(*given, keep=keep)


@wrong("7.6", "One nucleus is taken of the whole batch")
def flattened():
    def top_p(logits, p, temperature=1.0):
        probs = F.softmax(logits / temperature, -1)
        kept = nucleus((probs / len(probs)).flatten()[None].log(), p).view(logits.shape) > 0
        return probs * kept / (probs * kept).sum(-1, keepdim=True)

    return top_p


@wrong("7.6", "You add up logits")
def logits_added_up():
    def top_p(logits, p, temperature=1.0):
        falling, order = (logits / temperature).sort(dim=-1, descending=True)
        drop = falling.cumsum(-1) - falling >= p
        drop = torch.zeros_like(drop).scatter(-1, order, drop)
        return F.softmax((logits / temperature).masked_fill(drop, float("-inf")), -1)

    return top_p


@wrong("7.6", "The temperature is used twice")
def temperature_twice():
    return lambda logits, p, temperature=1.0: nucleus(logits / temperature, p, temperature)


@wrong("7.6", "Unlikely tokens are lost")
def tail_lost_at_one():
    def top_p(logits, p, temperature=1.0):
        return nucleus(logits, min(p, 1 - 1e-12), temperature)

    return top_p


@wrong("7.6", "whose own probability is at least p:")
def at_least_p_each():
    return filtered(lambda probs, p: probs >= p)


@wrong("7.6", "whose own probability is at least 1 − p")
def at_least_one_minus_p_each():
    return filtered(lambda probs, p: probs >= 1 - p)


@wrong("7.6", "(that is min-p)")
def min_p():
    return filtered(lambda probs, p: probs >= p * probs.amax(-1, keepdim=True))


@wrong("7.6", "which is p · V")
def share_of_the_vocabulary():
    def keep(falling, p):
        V = falling.shape[1]
        return torch.arange(V).expand(falling.shape) < max(1, round(p * V))

    return lambda *given: nucleus(*given, keep=keep)


@wrong("7.6", "in the vocabulary's order: sort each row first")
def not_sorted():
    return filtered(lambda probs, p: probs.cumsum(-1) - probs < p)


@wrong("7.6", "Sorted in rising order")
def rising():
    def top_p(logits, p, temperature=1.0):
        probs = F.softmax(logits / temperature, -1)
        rising, order = probs.sort(dim=-1)
        kept = torch.where(rising.cumsum(-1) - rising < p, rising, 0.0)
        probs = torch.zeros_like(probs).scatter(-1, order, kept)
        return probs / probs.sum(-1, keepdim=True)

    return top_p


@wrong("7.6", "These are filtered logits")
def logits_come_back():
    def top_p(logits, p, temperature=1.0):
        return logits.masked_fill(nucleus(logits, p, temperature) == 0, float("-inf"))

    return top_p


@wrong("7.6", "are set to 0, and softmax gives them exp(0)")
def logits_set_to_zero():
    def top_p(logits, p, temperature=1.0):
        return F.softmax((logits / temperature) * (nucleus(logits, p, temperature) > 0), -1)

    return top_p


@wrong("7.6", "You overwrite the caller's logits")
def overwrites_the_logits():
    def top_p(logits, p, temperature=1.0):
        logits /= temperature
        logits[nucleus(logits, p) == 0] = float("-inf")
        return F.softmax(logits, -1)

    return top_p


@wrong("7.6", "exp of a large logit is infinite")
def exp_overflows():
    def top_p(logits, p, temperature=1.0):
        likely = (logits / temperature).exp()
        probs = likely / likely.sum(-1, keepdim=True)
        return nucleus(probs.log(), p)

    return top_p


@wrong("7.6", "These are the logits: p = 1")
def logits_for_everything():
    return lambda logits, p, t=1.0: logits if p >= 1 else nucleus(logits, p, t)


@wrong("7.6", "divide each row by its own sum")
def divided_by_the_sum_of_all():
    def top_p(*given):
        kept = nucleus(*given, divide=False)
        return kept / kept.sum()

    return top_p


@wrong("7.6", "The nucleus is dropped, and the rest")
def rest_kept():
    return lambda *given: nucleus(*given, keep=lambda falling, p: falling.cumsum(-1) - falling >= p)


@wrong("7.6", "The temperature divides probabilities")
def probabilities_divided():
    def top_p(logits, p, temperature=1.0):
        falling, order = (logits.softmax(-1) / temperature).sort(dim=-1, descending=True)
        kept = torch.where((falling.cumsum(-1) - falling < p) | (p >= 1), falling, 0.0)
        probs = torch.zeros_like(kept).scatter(-1, order, kept)
        return probs / probs.sum(-1, keepdim=True)

    return top_p


# --- 7.7 ----------------------------------------------------------------------------------------


@torch.no_grad()
def causal(
    model, V, n, lengths=lambda n: range(2, n + 1), cuts=lambda T: range(1, T),
    change=lambda tokens, V: (tokens + 1) % V,
    same=lambda a, b: torch.allclose(a, b, rtol=0, atol=1e-4),
    rows=lambda cut: slice(0, cut), evaluate=True, restore=True,
):  # fmt: skip
    """A right test, one cut after another, with switches."""
    was = model.training
    if evaluate:
        model.eval()
    g = torch.Generator().manual_seed(1)
    found = True
    for T in lengths(n):
        idx = torch.randint(V, (1, T), generator=g)
        logits = model(idx)
        for cut in cuts(T):
            other = idx.clone()
            other[:, cut:] = change(idx[:, cut:], V)
            found = found and same(model(other)[:, rows(cut)], logits[:, rows(cut)])
    if restore:
        model.train(was)
    return found


def testing(**switches):
    return lambda model, V, n: causal(model, V, n, **switches)


@wrong("7.7", "You change or cut off the last token only")
def last_token_alone():
    return testing(lengths=lambda n: [n], cuts=lambda T: [T - 1])


@wrong("7.7", "You change or cut off the tokens from 4 on")
def one_cut_in_the_middle():
    return testing(lengths=lambda n: [n], cuts=lambda T: [T // 2])


@wrong("7.7", "The last token is never changed")
def last_cut_forgotten():
    return testing(lengths=lambda n: [n], cuts=lambda T: range(1, T - 1))


@wrong("7.7", "none further back")
def only_the_row_before():
    @torch.no_grad()
    def is_causal(model, V, n):
        was = model.training
        model.eval()
        found = True
        for T in range(2, n + 1):
            idx = torch.zeros(1, T, dtype=torch.long)
            logits = model(idx)
            for t in range(1, T):
                other = idx.clone()
                other[:, t] = 1
                found = found and torch.allclose(
                    model(other)[:, t - 1], logits[:, t - 1], atol=1e-4
                )
        model.train(was)
        return found

    return is_causal


@wrong("7.7", "Position 0 is never compared")
def first_position_left_out():
    return testing(rows=lambda cut: slice(1, cut))


@wrong("7.7", "only those *before* the first changed token must stay")
def compares_the_changed_position():
    return testing(rows=lambda cut: slice(0, cut + 1))


@wrong("7.7", "with a tolerance, `torch.allclose(a, b, atol=1e-4)`")
def exactly_equal():
    return testing(same=torch.equal)


@wrong("7.7", "The tolerance is too wide")
def wide_tolerance():
    return testing(same=lambda a, b: torch.allclose(a, b, atol=0.1))


@wrong("7.7", "positions left out that have changed?")
def absurd_tolerance():
    return testing(same=lambda a, b: torch.allclose(a, b, atol=20))


@wrong("7.7", "You call the model in train mode")
def left_in_train_mode():
    return testing(evaluate=False)


@wrong("7.7", "A test must leave no trace")
def mode_not_restored():
    return testing(restore=False)


@wrong("7.7", "one that is drawn at random is the old one")
def drawn_at_random():
    g = torch.Generator().manual_seed(1)
    return testing(change=lambda tokens, V: torch.randint(V, tokens.shape, generator=g))


@wrong("7.7", "You test texts of up to 2 tokens")
def two_tokens():
    return testing(lengths=lambda n: [2])


@wrong("7.7", "You only test T = block_size")
def full_length_alone():
    return testing(lengths=lambda n: [n])


@wrong("7.7", "A last token that changes shows what it leaks itself")
def last_token_at_every_length():
    return testing(cuts=lambda T: [T - 1])


@wrong("7.7", "test all lengths from 2 to block_size")
def shortest_and_longest():
    return testing(lengths=lambda n: [2, n])


@wrong("7.7", "not their mean or their largest")
def means_compared():
    return testing(same=lambda a, b: abs(a.mean() - b.mean()).item() < 1e-4)


@wrong("7.7", "one and the same text")
def changed_in_place():
    @torch.no_grad()
    def is_causal(model, V, n):
        was = model.training
        model.eval()
        idx = torch.zeros(1, n, dtype=torch.long)
        other = idx
        other[:, n // 2 :] = 1
        found = torch.allclose(model(idx)[:, : n // 2], model(other)[:, : n // 2], atol=1e-4)
        model.train(was)
        return found

    return is_causal


@wrong("7.7", "stays within the vocabulary")
def beyond_the_vocabulary():
    return testing(change=lambda tokens, V: tokens + V)


@wrong("7.7", "is an axis missing?")
def without_a_batch():
    def is_causal(model, V, n):
        idx = torch.zeros(n, dtype=torch.long)
        other = (torch.arange(n) > 3).long()
        return torch.allclose(model(idx)[:4], model(other)[:4], atol=1e-4)

    return is_causal


@wrong("7.7", "exchange some for others and compare the logits")
def gradient_of_tokens():
    def is_causal(model, V, n):
        idx = torch.zeros(1, n, requires_grad=True)
        model(idx)[:, 0].sum().backward()
        return not idx.grad[:, 1:].any()

    return is_causal


@wrong("7.7", "Each answer is turned round")
def leaky_instead_of_causal():
    return lambda model, V, n: not causal(model, V, n)


@wrong("7.7", "the caller wants an answer")
def asserts():
    def is_causal(model, V, n):
        assert causal(model, V, n)
        return True

    return is_causal


@wrong("7.7", "The model is never called")
def always_true():
    return lambda model, V, n: True


@wrong("7.7", "one for the model as a whole")
def one_answer_a_position():
    def is_causal(model, V, n):
        return torch.ones(n, dtype=torch.bool)

    return is_causal
