"""Wrong answers to 7.1, all heads at once."""

import torch
from torch import nn
from torch.nn import functional as F

from misconceptions import wrong


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


@wrong("7.1", "All texts drop the same weights")
def one_mask_for_all_texts():
    class FusedAttention(Fused):
        def drop(self, y):
            return y * super().drop(torch.ones_like(y[:1]))

    return FusedAttention


@wrong("7.1", "p is the share of the weights that is dropped, not the one that is kept")
def share_kept():
    class FusedAttention(Fused):
        def __init__(self, n_embd, n_head, block_size, dropout=0.0):
            super().__init__(n_embd, n_head, block_size, 1 - dropout)

    return FusedAttention


@wrong("7.1", "What is kept of the weights has to be divided")
def weights_only_hidden():
    class FusedAttention(Fused):
        def drop(self, y):
            return y * (torch.rand_like(y) >= self.p) if self.training else y

    return FusedAttention


@wrong("7.1", "On the weights, dropout has another p")
def weights_dropped_by_a_rate_of_their_own():
    class FusedAttention(Fused):
        def drop(self, y):
            return F.dropout(y, 0.1, self.training)

    return FusedAttention


@wrong("7.1", "On the output, dropout has another p")
def output_dropped_by_torchs_rate():
    class FusedAttention(Fused):
        def project(self, y):
            return F.dropout(self.c_proj(y), training=self.training)

    return FusedAttention


@wrong("7.1", "p is the share of the output that is dropped")
def share_of_the_output_kept():
    class FusedAttention(Fused):
        def project(self, y):
            return F.dropout(self.c_proj(y), 1 - self.p, self.training)

    return FusedAttention


@wrong("7.1", "What is kept of the output has to be divided")
def output_only_hidden():
    class FusedAttention(Fused):
        def project(self, y):
            y = self.c_proj(y)
            return y * (torch.rand_like(y) >= self.p) if self.training else y

    return FusedAttention


@wrong("7.1", "Dropout comes twice on the output")
def output_dropped_twice():
    class FusedAttention(Fused):
        def project(self, y):
            return F.dropout(super().project(y), self.p, self.training)

    return FusedAttention


@wrong("7.1", "takes all channels of a position together")
def whole_positions_dropped():
    class FusedAttention(Fused):
        def project(self, y):
            y = self.c_proj(y)
            return y * super().drop(torch.ones_like(y[..., :1]))

    return FusedAttention


@wrong("7.1", "All texts drop the same output")
def one_mask_of_the_output():
    class FusedAttention(Fused):
        def project(self, y):
            y = self.c_proj(y)
            return y * super().drop(torch.ones_like(y[:1]))

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


@wrong("7.1", "a new tensor cuts it off from the weights")
def detached():
    class FusedAttention(Fused):
        def forward(self, x):
            return super().forward(x).detach()

    return FusedAttention


@wrong("7.1", "the values are right, and nothing is learned")
def values_of_detached_queries():
    class FusedAttention(Fused):
        def attend(self, q, k, v):
            return super().attend(q.detach(), k, v)

    return FusedAttention


@wrong("7.1", "the values are right and the gradient isn't")
def one_head_without_a_gradient():
    class FusedAttention(Fused):
        def attend(self, q, k, v):
            y = super().attend(q, k, v)
            return torch.cat([y[:, :1].detach(), y[:, 1:]], 1)

    return FusedAttention


@wrong("7.1", "what passes through NumPy or lists has no gradient")
def numpy_returned():
    class FusedAttention(Fused):
        def forward(self, x):
            return super().forward(x).detach().numpy()

    return FusedAttention


@wrong("7.1", "with the n_head that the class was given")
def four_heads_always():
    class FusedAttention(Fused):
        def __init__(self, n_embd, n_head, block_size, dropout=0.0):
            super().__init__(n_embd, 4, block_size, dropout)

    return FusedAttention


@wrong("7.1", "give it the class, without brackets")
def a_module_handed_over():
    return Fused(12, 3, 8)


@wrong("7.1", "turns all axes round")
def all_axes_turned_round():
    class FusedAttention(Fused):
        def attend(self, q, k, v):
            return self.weigh(self.hide(q @ k.T / self.divisor(q))) @ v

    return FusedAttention


@wrong("7.1", "Whole rows of weights are dropped")
def one_mask_for_all_keys():
    class FusedAttention(Fused):
        def weigh(self, scores):
            return scores.softmax(-1) * super().drop(torch.ones_like(scores[..., :1]))

        def drop(self, y):
            return y

    return FusedAttention


@wrong("7.1", "Whole columns of weights are dropped")
def one_mask_for_all_queries():
    class FusedAttention(Fused):
        def weigh(self, scores):
            return scores.softmax(-1) * super().drop(torch.ones_like(scores[..., :1, :]))

        def drop(self, y):
            return y

    return FusedAttention


@wrong("7.1", "as `nn.Dropout2d` does it")
def whole_heads_dropped():
    class FusedAttention(Fused):
        def drop(self, y):
            return F.dropout2d(y, self.p, self.training)

    return FusedAttention


@wrong("7.1", "dropped more often than others, by their place")
def the_diagonal_dropped_alone():
    class FusedAttention(Fused):
        def drop(self, y):
            own = torch.eye(y.shape[-1], dtype=torch.bool)
            return torch.where(own, super().drop(y), y)

    return FusedAttention


@wrong("7.1", "takes a channel away at all positions")
def one_mask_of_the_output_for_all_positions():
    class FusedAttention(Fused):
        def project(self, y):
            y = self.c_proj(y)
            return y * super().drop(torch.ones_like(y[:, :1]))

    return FusedAttention


@wrong("7.1", "An axis of length 1 is gone")
def one_text_squeezed():
    class FusedAttention(Fused):
        def forward(self, x):
            return super().forward(x).squeeze(0)

    return FusedAttention


@wrong("7.1", "exp of a score of 100 is infinite")
def softmax_without_the_shift():
    class FusedAttention(Fused):
        def weigh(self, scores):
            likely = scores.exp()
            return likely / likely.sum(-1, keepdim=True)

    return FusedAttention


@wrong("7.1", "Large ones must count as they are")
def hidden_by_minus_five_hundred():
    class FusedAttention(Fused):
        def hide(self, scores):
            T = scores.shape[2]
            return scores.masked_fill(self.future[:T, :T], -500.0)

    return FusedAttention


@wrong("7.1", "their data type isn't that of what came in")
def double_comes_back():
    class FusedAttention(Fused):
        def forward(self, x):
            return super().forward(x).double()

    return FusedAttention


@wrong("7.1", "made for one position too few")
def mask_one_too_small():
    class FusedAttention(Fused):
        def hide(self, scores):
            T = scores.shape[2]
            return scores.masked_fill(self.future[1:, 1:][:T, :T], float("-inf"))

    return FusedAttention


@wrong("7.1", "as large as the text of the first call")
def mask_of_the_first_text():
    class FusedAttention(Fused):
        first = None

        def hide(self, scores):
            T = scores.shape[2]
            if self.first is None:
                self.first = torch.ones(T, T, dtype=torch.bool).triu(1)
            return scores.masked_fill(self.first[:T, :T], float("-inf"))

    return FusedAttention


@wrong("7.1", "does the mask depend on the mode?")
def causal_in_eval_mode_alone():
    class FusedAttention(Fused):
        def hide(self, scores):
            return scores if self.training else super().hide(scores)

    return FusedAttention


@wrong("7.1", "and one that the mask hides stays 0")
def causal_without_dropout_alone():
    class FusedAttention(Fused):
        def hide(self, scores):
            return scores if self.training and self.p else super().hide(scores)

    return FusedAttention


@wrong("7.1", "Somewhere a loop goes over the positions")
def one_query_after_another():
    class FusedAttention(Fused):
        def attend(self, q, k, v):
            n = self.future.shape[0]  # the loop goes as far as a text can be
            q, k, v = (F.pad(z, (0, 0, 0, n - z.shape[2])) for z in (q, k, v))
            rows = [
                (q[:, :, i : i + 1] @ k.mT / self.divisor(q))
                .masked_fill(self.future[i], float("-inf"))
                .softmax(-1)
                for i in range(n)
            ]
            return self.drop(torch.cat(rows, 2)) @ v

        def merge(self, y):
            return super().merge(y)[:, : self.T]

        def forward(self, x):
            self.T = x.shape[1]
            return super().forward(x)

    return FusedAttention


@wrong("7.1", "interleaved on the way back")
def joined_channel_by_channel():
    class FusedAttention(Fused):
        def merge(self, y):
            return y.permute(0, 2, 3, 1).flatten(2)

    return FusedAttention


@wrong("7.1", "`dropout: float = 0.0`")
def dropout_by_default():
    class FusedAttention(Fused):
        def __init__(self, n_embd, n_head, block_size, dropout=0.1):
            super().__init__(n_embd, n_head, block_size, dropout)

    return FusedAttention


@wrong("7.1", "keep the signature as it is there")
def dropout_without_a_default():
    class FusedAttention(Fused):
        def __init__(self, n_embd, n_head, block_size, dropout):
            super().__init__(n_embd, n_head, block_size, dropout)

    return FusedAttention


@wrong("7.1", "no generator is seeded in forward")
def dropout_seeded_in_forward():
    class FusedAttention(Fused):
        def forward(self, x):
            torch.manual_seed(1)
            return super().forward(x)

    return FusedAttention


@wrong("7.1", "forward leaves the mode as it is")
def eval_mode_after_one_call():
    class FusedAttention(Fused):
        def forward(self, x):
            y = super().forward(x)
            self.eval()
            return y

    return FusedAttention


@wrong("7.1", "Gradients go through dropout as the numbers do")
def output_dropped_past_the_gradient():
    class FusedAttention(Fused):
        def project(self, y):
            y = self.c_proj(y)
            y.data = self.drop(y).data
            return y

    return FusedAttention


@wrong("7.1", "that is its root in the card's example alone")
def scaled_by_the_examples_head_size():
    class FusedAttention(Fused):
        def divisor(self, q):
            return 4**0.5

    return FusedAttention


@wrong("7.1", "block_size stands in the view")
def viewed_as_block_size_positions():
    class FusedAttention(Fused):
        def cut(self, z):
            B, _, C = z.shape
            return z.view(B, len(self.future), self.n_head, C // self.n_head).transpose(1, 2)

    return FusedAttention


@wrong("7.1", "multiply no mask by it")
def mask_times_minus_infinity():
    class FusedAttention(Fused):
        def hide(self, scores):
            T = scores.shape[2]
            return scores + self.future[:T, :T] * float("-inf")

    return FusedAttention
