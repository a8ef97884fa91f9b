"""Wrong answers to 5.1, every node backwards."""

import torch

from misconceptions import wrong
from misconceptions.backprop.shared import overwriting


def picked(c):
    hot = torch.zeros_like(c.logprobs)
    hot[range(len(c.Y)), c.Y] = 1
    return hot


def table(c, d):
    return torch.zeros_like(c.wte).index_put_((c.X,), d.emb, accumulate=True)


RULES = {
    "logprobs": lambda c, d: -picked(c) / len(c.Y),
    "probs": lambda c, d: d.logprobs / c.probs,
    "share": lambda c, d: (d.probs * c.counts).sum(1, keepdim=True),
    "total": lambda c, d: -d.share * c.share**2,
    "counts": lambda c, d: d.probs * c.share + d.total,
    "shifted": lambda c, d: d.counts * c.counts,
    "top": lambda c, d: -d.shifted.sum(1, keepdim=True),
    "logits": lambda c, d: d.shifted + (c.logits == c.top) * d.top,
    "h": lambda c, d: d.logits @ c.W2.T,
    "W2": lambda c, d: c.h.T @ d.logits,
    "b2": lambda c, d: d.logits.sum(0),
    "act": lambda c, d: d.h * (1 - c.h**2),
    "normed": lambda c, d: d.act * c.gamma,
    "gamma": lambda c, d: (d.act * c.normed).sum(0),
    "beta": lambda c, d: d.act.sum(0),
    "inv": lambda c, d: (d.normed * c.diff).sum(0),
    "var": lambda c, d: -0.5 * c.inv**3 * d.inv,
    "square": lambda c, d: (d.var / len(c.Y)).expand_as(c.square),
    "diff": lambda c, d: d.normed * c.inv + 2 * c.diff * d.square,
    "mean": lambda c, d: -d.diff.sum(0),
    "pre": lambda c, d: d.diff + d.mean / len(c.Y),
    "x": lambda c, d: d.pre @ c.W1.T,
    "W1": lambda c, d: c.x.T @ d.pre,
    "b1": lambda c, d: d.pre.sum(0),
    "emb": lambda c, d: d.x.view_as(c.emb),
    "wte": table,
}


def walk(**instead):
    """A right answer but for the nodes named, whose mistakes then run through the rest."""

    def all_gradients(c, d):
        for name, rule in RULES.items():
            setattr(d, name, instead.get(name, rule)(c, d))

    return all_gradients


@wrong("5.1", "d.logprobs: the mean's 1/B is missing")
def sum_for_mean():
    return walk(logprobs=lambda c, d: -picked(c))


@wrong("5.1", "d.logprobs: its sign is turned")
def loss_without_its_minus():
    return walk(logprobs=lambda c, d: picked(c) / len(c.Y))


@wrong("5.1", "`[:, Y]` takes whole columns")
def whole_columns():
    def logprobs(c, d):
        grad = torch.zeros_like(c.logprobs)
        grad[:, c.Y] = -1 / len(c.Y)
        return grad

    return walk(logprobs=logprobs)


@wrong("5.1", "the derivative of log(p) is 1/p")
def derivative_of_the_log_upside_down():
    return walk(probs=lambda c, d: d.logprobs * c.probs)


@wrong("5.1", "d.share: the sum is missing")
def share_not_summed():
    return walk(share=lambda c, d: d.probs * c.counts, total=lambda c, d: -d.share * c.share**2)


@wrong("5.1", "d.share: sum over axis 1, not 0")
def share_over_the_batch():
    return walk(share=lambda c, d: (d.probs * c.counts).sum(0, keepdim=True))


@wrong("5.1", "d.share: sum over axis 1, with keepdim=True")
def share_without_its_axis():
    return walk(share=lambda c, d: (d.probs * c.counts).sum(1))


@wrong("5.1", "minus* 1/n²")
def total_without_its_minus():
    return walk(total=lambda c, d: d.share * c.share**2)


@wrong("5.1", "branch through total is missing")
def counts_used_once():
    return walk(counts=lambda c, d: d.probs * c.share)


@wrong("5.1", "branch through probs is missing")
def counts_only_in_their_sum():
    return walk(counts=lambda c, d: d.total.expand_as(c.counts))


@wrong("5.1", "the derivative of exp is exp itself")
def exp_without_its_derivative():
    return walk(shifted=lambda c, d: d.counts)


@wrong("5.1", "d.top: the sum is missing")
def top_not_summed():
    return walk(top=lambda c, d: -d.shifted)


@wrong("5.1", "d.h: it is transposed")
def h_transposed():
    return walk(h=lambda c, d: c.W2 @ d.logits.T, act=lambda c, d: d.h.T * (1 - c.h**2))


@wrong("5.1", "d.W2: it is transposed")
def w2_transposed():
    return walk(W2=lambda c, d: d.logits.T @ c.h)


@wrong("5.1", "The shapes don't fit")
def product_as_in_the_forward_pass():
    return walk(h=lambda c, d: d.logits @ c.W2)


@wrong("5.1", "d.b2: sum over axis 0, not 1")
def bias_over_the_wrong_axis():
    return walk(b2=lambda c, d: d.logits.sum(1))


@wrong("5.1", "d.b2: the sum is missing")
def bias_not_summed():
    return walk(b2=lambda c, d: d.logits)


@wrong("5.1", "you squared its input")
def tanh_of_its_input():
    return walk(act=lambda c, d: d.h * (1 - c.act**2))


@wrong("5.1", "derivative of the sigmoid")
def sigmoid_for_tanh():
    return walk(act=lambda c, d: d.h * c.h * (1 - c.h))


@wrong("5.1", "normed was multiplied by gamma")
def gamma_forgotten():
    return walk(normed=lambda c, d: d.act)


@wrong("5.1", "a negative gamma loses its sign")
def gamma_without_its_sign():
    return walk(normed=lambda c, d: d.act * c.gamma.abs())


@wrong("5.1", "was right when it was set")
def normed_changed_later():
    def diff(c, d):
        return d.normed.mul_(c.inv) + 2 * c.diff * d.square

    return walk(diff=diff)


@wrong("5.1", "After d.logprobs was set, your code stopped with an error (IndexError)")
def batch_by_heart():
    def all_gradients(c, d):
        d.logprobs = torch.zeros_like(c.logprobs)
        d.logprobs[range(8), c.Y] = -1 / 8
        walk()(c, d)

    return all_gradients


@wrong("5.1", "this is beta's")
def gamma_without_normed():
    return walk(gamma=lambda c, d: d.act.sum(0))


@wrong("5.1", "d.beta: sum over axis 0 instead of taking the mean")
def mean_for_sum():
    return walk(beta=lambda c, d: d.act.mean(0))


@wrong("5.1", "d.inv: sum over axis 0, not 1")
def inv_over_the_channels():
    return walk(
        inv=lambda c, d: (d.normed * c.diff).sum(1), var=lambda c, d: -0.5 * c.inv**3 * d.inv.sum()
    )


@wrong("5.1", "the ½ of the exponent")
def var_without_its_half():
    return walk(var=lambda c, d: -(c.inv**3) * d.inv)


@wrong("5.1", "eps is missing")
def var_without_eps():
    return walk(var=lambda c, d: -0.5 * c.var**-1.5 * d.inv)


@wrong("5.1", "eps is c.eps, not the lecture's")
def var_with_another_eps():
    return walk(var=lambda c, d: -0.5 * (c.var + 1e-5) ** -1.5 * d.inv)


@wrong("5.1", "d.logprobs and d.probs are one and the same tensor")
def alias_of_logprobs():
    def probs(c, d):
        same = d.logprobs
        same /= c.probs
        return same

    return walk(probs=probs)


@wrong("5.1", "d.square: var is the sum divided by B")
def squares_not_averaged():
    return walk(square=lambda c, d: d.var.expand_as(c.square))


@wrong("5.1", "no Bessel correction here")
def bessel_where_it_was_not():
    return walk(square=lambda c, d: (d.var / (len(c.Y) - 1)).expand_as(c.square))


@wrong("5.1", "branch through square is missing")
def diff_used_once():
    return walk(diff=lambda c, d: d.normed * c.inv)


@wrong("5.1", "the 2 is missing")
def square_without_its_two():
    return walk(diff=lambda c, d: d.normed * c.inv + c.diff * d.square)


@wrong("5.1", "the mean is *subtracted*")
def mean_without_its_minus():
    return walk(mean=lambda c, d: d.diff.sum(0))


@wrong("5.1", "branch through mean is missing")
def pre_used_once():
    return walk(pre=lambda c, d: d.diff)


@wrong("5.1", "d.diff and d.pre are one and the same tensor")
def alias_of_diff():
    def pre(c, d):
        same = d.diff
        same += d.mean / len(c.Y)
        return same

    return walk(pre=pre)


@wrong("5.1", "in the wrong order")
def positions_and_channels_swapped():
    def emb(c, d):
        B, T, C = c.emb.shape
        return d.x.view(B, C, T).transpose(1, 2)

    return walk(emb=emb)


def embedding_added_by(parts):
    return walk(wte=lambda c, d: overwriting(c.wte, c.X, d.emb, parts))


@wrong("5.1", "occurs more than once gets only its last")
def embedding_overwritten():
    return embedding_added_by(lambda a: a[None])


@wrong("5.1", "occurs more than once in one context")
def embedding_overwritten_within_a_context():
    return embedding_added_by(lambda a: a)


@wrong("5.1", "occurs more than once at one position")
def embedding_overwritten_within_a_position():
    return embedding_added_by(lambda a: a.transpose(0, 1))


@wrong("5.1", "Each number of d.wte is 0")
def embedding_summed_over_all():
    return walk(wte=lambda c, d: d.emb.sum((0, 1)).expand_as(c.wte))


def filled_in(fill):
    """A right answer that begins d.wte with zeros, and then stops with an error."""

    def all_gradients(c, d):
        walk(wte=lambda c, d: torch.zeros_like(c.wte))(c, d)
        fill(c, d)

    return all_gradients


@wrong("5.1", "`index_add_` takes a vector of rows")
def contexts_not_flattened():
    return filled_in(lambda c, d: d.wte.index_add_(0, c.X, d.emb))


@wrong("5.1", "`index_put_` takes a tuple of indices")
def index_without_a_tuple():
    return filled_in(lambda c, d: d.wte.index_put_(c.X, d.emb, accumulate=True))


@wrong("5.1", "the shape of the places that they are put into")
def embedding_in_the_shape_of_x():
    return filled_in(lambda c, d: d.wte.index_put_((c.X,), d.x, accumulate=True))


@wrong("5.1", "has changed c.probs in place")
def probs_changed_in_place():
    def all_gradients(c, d):
        d.logits = c.probs
        d.logits[range(len(c.Y)), c.Y] -= 1
        d.logits /= len(c.Y)
        d.logprobs = -picked(c) / len(c.Y)
        d.probs = d.logprobs / c.probs

    return all_gradients


@wrong("5.1", "Nothing has this name so far")
def used_before_it_is_there():
    return walk(probs=lambda c, d: d.logprob / c.probs)


@wrong("5.1", "no `torch.autograd.grad`")
def autograd_switched_on_again():
    def all_gradients(c, d):
        with torch.inference_mode(False), torch.enable_grad():
            logprobs = c.logprobs.clone().requires_grad_()
            loss = -logprobs[range(len(c.Y)), c.Y.clone()].mean()
            d.logprobs = torch.autograd.grad(loss, logprobs)[0]

    return all_gradients


def and_then(end):
    """A right answer with something after it."""

    def all_gradients(c, d):
        walk()(c, d)
        end(c, d)

    return all_gradients


@wrong("5.1", "Work on a copy, made by")
def scratch_paper_at_the_end():
    def end(c, d):
        c.probs[range(len(c.Y)), c.Y] -= 1

    return and_then(end)


@wrong("5.1", "not 1e-3")
def eps_of_the_cell_above():
    return walk(var=lambda c, d: -0.5 * (c.var + 1e-3) ** -1.5 * d.inv)


@wrong("5.1", "Take the sizes from c's tensors")
def sizes_of_the_cell_above():
    return walk(emb=lambda c, d: d.x.view(8, 3, 5))


@wrong("5.1", "Each number of d.logprobs is")
def batch_of_the_lecture():
    return walk(logprobs=lambda c, d: -picked(c) / 32)


@wrong("5.1", "d.wte must have the shape of c.wte")
def vocabulary_of_the_names():
    def wte(c, d):
        grad = torch.zeros(27, d.emb.shape[2], dtype=d.emb.dtype)
        return grad.index_put_((c.X,), d.emb, accumulate=True)

    return walk(wte=wte)


@wrong("5.1", "as far as float32 goes")
def zeros_of_float32():
    def logprobs(c, d):
        grad = torch.zeros(c.logprobs.shape)
        grad[range(len(c.Y)), c.Y] = -1 / len(c.Y)
        return grad

    return walk(logprobs=logprobs)


@wrong("5.1", "c and d aren't dicts")
def d_as_a_dict():
    def all_gradients(c, d):
        d["logprobs"] = -picked(c) / len(c.Y)

    return all_gradients


@wrong("5.1", "d.mean: sum over axis 0, without keepdim")
def mean_with_its_axis():
    return walk(mean=lambda c, d: -d.diff.sum(0, keepdim=True), pre=lambda c, d: d.diff)


@wrong("5.1", "d.share has its sign turned")
def share_turned():
    return walk(share=lambda c, d: -(d.probs * c.counts).sum(1, keepdim=True))


@wrong("5.1", "d.counts: a sum gives each of its terms the whole")
def total_shared_out():
    return walk(counts=lambda c, d: d.probs * c.share + d.total / c.counts.shape[1])


@wrong("5.1", "d.b2 is None")
def nothing_in_b2():
    return walk(b2=lambda c, d: None)


@wrong("5.1", "d.x must have the shape of c.x")
def x_in_the_shape_of_emb():
    return walk(x=lambda c, d: (d.pre @ c.W1.T).view_as(c.emb))


@wrong("5.1", "Calculate with torch from c's values on")
def bias_in_numpy():
    return walk(b2=lambda c, d: d.logits.numpy().sum(0))
