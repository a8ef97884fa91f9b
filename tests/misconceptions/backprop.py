"""Wrong answers to the exercises of lecture 05, and the hint each must get."""

import torch
import torch.nn.functional as F

from misconceptions import wrong

# --- 5.1 ----------------------------------------------------------------------------------------


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


@wrong("5.1", "d.logprobs lacks the mean's 1/B")
def sum_for_mean():
    return walk(logprobs=lambda c, d: -picked(c))


@wrong("5.1", "d.logprobs has its sign turned")
def loss_without_its_minus():
    return walk(logprobs=lambda c, d: picked(c) / len(c.Y))


@wrong("5.1", "`[:, Y]` takes whole columns")
def whole_columns():
    def logprobs(c, d):
        grad = torch.zeros_like(c.logprobs)
        grad[:, c.Y] = -1 / len(c.Y)
        return grad

    return walk(logprobs=logprobs)


@wrong("5.1", "the slope of log(p) is 1/p")
def slope_of_the_log_upside_down():
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


@wrong("5.1", "the slope of exp is exp itself")
def exp_without_slope():
    return walk(shifted=lambda c, d: d.counts)


@wrong("5.1", "d.top: the sum is missing")
def top_not_summed():
    return walk(top=lambda c, d: -d.shifted)


@wrong("5.1", "d.h is transposed")
def h_transposed():
    return walk(h=lambda c, d: c.W2 @ d.logits.T, act=lambda c, d: d.h.T * (1 - c.h**2))


@wrong("5.1", "d.W2 is transposed")
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


@wrong("5.1", "slope of the sigmoid")
def sigmoid_for_tanh():
    return walk(act=lambda c, d: d.h * c.h * (1 - c.h))


@wrong("5.1", "normed was multiplied by gamma")
def gamma_forgotten():
    return walk(normed=lambda c, d: d.act)


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


@wrong("5.1", "a later line changed d.logprobs in place")
def alias_of_logprobs():
    def probs(c, d):
        same = d.logprobs
        same /= c.probs
        return same

    return walk(probs=probs)


@wrong("5.1", "1/B is missing")
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


@wrong("5.1", "one and the same tensor")
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


@wrong("5.1", "gets only its last gradient")
def embedding_overwritten():
    def wte(c, d):
        grad = torch.zeros_like(c.wte)
        grad[c.X] += d.emb
        return grad

    return walk(wte=wte)


@wrong("5.1", "has changed c.probs in place")
def probs_changed_in_place():
    def all_gradients(c, d):
        d.logits = c.probs
        d.logits[range(len(c.Y)), c.Y] -= 1
        d.logits /= len(c.Y)
        d.logprobs = -picked(c) / len(c.Y)
        d.probs = d.logprobs / c.probs

    return all_gradients


@wrong("5.1", "It was used before it was put there")
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


# --- 5.2 ----------------------------------------------------------------------------------------


def loss_of(logits, targets):
    return F.cross_entropy(logits, targets)


def entropy(force, loss=loss_of):
    """An answer from the gradient's formula, given softmax and one-hot."""

    def cross_entropy_fused(logits, targets):
        hot = F.one_hot(targets, logits.shape[1]).to(logits)
        return loss(logits, targets), force(F.softmax(logits, 1), hot, len(logits))

    return cross_entropy_fused


@wrong("5.2", "has a 1/B, which is missing")
def gradient_of_the_sum():
    return entropy(lambda p, hot, B: p - hot)


@wrong("5.2", "a step against it pulls the target's logit up")
def force_turned_round():
    return entropy(lambda p, hot, B: (hot - p) / B)


@wrong("5.2", "The −1 at the targets is missing")
def softmax_alone():
    return entropy(lambda p, hot, B: p / B)


@wrong("5.2", "takes whole columns")
def targets_as_columns():
    def cross_entropy_fused(logits, targets):
        dlogits = F.softmax(logits, 1)
        dlogits[:, targets] -= 1
        return loss_of(logits, targets), dlogits / len(logits)

    return cross_entropy_fused


@wrong("5.2", "The softmax runs down the columns")
def softmax_over_the_batch():
    def cross_entropy_fused(logits, targets):
        hot = F.one_hot(targets, logits.shape[1])
        return loss_of(logits, targets), (F.softmax(logits, 0) - hot) / len(logits)

    return cross_entropy_fused


@wrong("5.2", "only the slope of a probability by its own")
def elementwise_slope():
    return entropy(lambda p, hot, B: p * (1 - p) / B)


@wrong("5.2", "That is the gradient by the probabilities")
def stopped_at_the_probabilities():
    return entropy(lambda p, hot, B: -hot / (B * p))


@wrong("5.2", "came after the division")
def one_after_the_division():
    return entropy(lambda p, hot, B: p / B - hot)


@wrong("5.2", "the loss is its mean")
def loss_as_a_sum():
    return entropy(
        lambda p, hot, B: (p - hot) / B,
        lambda logits, targets: F.cross_entropy(logits, targets, reduction="sum"),
    )


@wrong("5.2", "`exp` of a thousand is infinite")
def softmax_without_a_maximum():
    def cross_entropy_fused(logits, targets):
        rows = range(len(logits))
        probs = logits.exp() / logits.exp().sum(1, keepdim=True)
        loss = -probs[rows, targets].log().mean()
        probs[rows, targets] -= 1
        return loss, probs / len(logits)

    return cross_entropy_fused


@wrong("5.2", "Your code changed its arguments")
def maximum_subtracted_in_place():
    def cross_entropy_fused(logits, targets):
        logits -= logits.amax(1, keepdim=True)
        return entropy(lambda p, hot, B: (p - hot) / B)(logits, targets)

    return cross_entropy_fused


@wrong("5.2", "no `backward()`")
def loss_backward():
    def cross_entropy_fused(logits, targets):
        logits = logits.clone().requires_grad_()
        loss = F.cross_entropy(logits, targets)
        loss.backward()
        return loss, logits.grad

    return cross_entropy_fused


# --- 5.3 and 5.5 --------------------------------------------------------------------------------


def norm(dx, along=None, dgamma=None, dbeta=None, correction=0, eps=True):
    """An answer from dx's formula: `dx(m)` gets all the means and factors that one may need."""

    def fused(dout, x, gamma, epsilon):
        axes = tuple(range(x.ndim - 1))
        over = axes if along is None else along
        var, mean = torch.var_mean(x, over, correction=correction, keepdim=True)
        inv = (var + (epsilon if eps else 0)) ** -0.5
        xhat = (x - mean) * inv
        return (
            dx(dout, xhat, gamma, inv, lambda a: a.mean(over, keepdim=True)),
            (dgamma or (lambda d, h, x: (d * h).sum(axes)))(dout, xhat, x),
            (dbeta or (lambda d: d.sum(axes)))(dout),
        )

    return fused


def right(dout, xhat, gamma, inv, mean):
    d = dout * gamma
    return inv * (d - mean(d) - xhat * mean(d * xhat))


@wrong("5.3", "Mean and variance are taken for constants")
def statistics_as_constants():
    return norm(lambda dout, xhat, gamma, inv, mean: inv * dout * gamma)


@wrong("5.3", "The way through the mean is missing")
def without_the_mean():
    return norm(
        lambda dout, xhat, gamma, inv, mean: inv * gamma * (dout - xhat * mean(dout * xhat))
    )


@wrong("5.3", "The way through the variance is missing")
def without_the_variance():
    return norm(lambda dout, xhat, gamma, inv, mean: inv * gamma * (dout - mean(dout)))


@wrong("5.3", "gamma is missing in dx")
def gamma_left_out():
    return norm(lambda dout, xhat, gamma, inv, mean: right(dout, xhat, 1, inv, mean))


@wrong("5.3", "The sums in dx lack their 1/n")
def sums_for_means():
    def dx(dout, xhat, gamma, inv, mean):
        return right(dout, xhat, gamma, inv, lambda a: mean(a) * dout.numel() / len(gamma))

    return norm(dx)


@wrong("5.3", "(torch's default): pass correction=0")
def variance_by_default():
    return norm(right, correction=1)


@wrong("5.3", "eps is missing under the root when you make x̂")
def without_eps():
    return norm(right, eps=False)


@wrong("5.3", "Gamma multiplies x̂, not x")
def gamma_times_x():
    return norm(right, dgamma=lambda d, h, x: (d * x).sum(tuple(range(x.ndim - 1))))


@wrong("5.3", "dgamma lacks x̂")
def dgamma_as_dbeta():
    return norm(right, dgamma=lambda d, h, x: d.sum(tuple(range(d.ndim - 1))))


@wrong("5.3", "That is the mean for dbeta")
def mean_of_dbeta():
    return norm(right, dbeta=lambda d: d.mean(tuple(range(d.ndim - 1))))


@wrong("5.3", "not over the batch alone")
def three_axes_as_two():
    def batchnorm_fused(dout, x, gamma, eps):
        var, mean = torch.var_mean(x, 0, correction=0)
        inv = (var + eps) ** -0.5
        xhat = (x - mean) * inv
        dx = right(dout, xhat, gamma, inv, lambda a: a.mean(0))
        return dx, (dout * xhat).sum(0), dout.sum(0)

    return batchnorm_fused


@wrong("5.3", "LayerNorm's along the last")
def examples_normalised():
    return norm(right, along=-1)


@wrong("5.3", "no `torch.func`")
def vjp():
    def batchnorm_fused(dout, x, gamma, eps):
        def forward(x, gamma, beta):
            return F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)

        return torch.func.vjp(forward, x, gamma, torch.zeros_like(gamma))[1](dout)

    return batchnorm_fused


@wrong("5.5", "gamma stands before the sums")
def gamma_before_the_sums():
    return norm(
        lambda dout, xhat, gamma, inv, mean: (
            gamma * inv * (dout - mean(dout) - xhat * mean(dout * xhat))
        ),
        along=-1,
    )


@wrong("5.5", "dgamma is summed over the channels")
def parameters_summed_along_the_vector():
    return norm(right, along=-1, dgamma=lambda d, h, x: (d * h).sum(-1))


@wrong("5.5", "not over the batch alone")
def parameters_summed_over_the_batch_alone():
    return norm(right, along=-1, dgamma=lambda d, h, x: (d * h).sum(0), dbeta=lambda d: d.sum(0))


@wrong("5.5", "(torch's default): pass correction=0")
def variance_of_c_minus_one():
    return norm(right, along=-1, correction=1)


@wrong("5.5", "Mean and variance are taken for constants")
def vector_statistics_as_constants():
    return norm(lambda dout, xhat, gamma, inv, mean: inv * dout * gamma, along=-1)


@wrong("5.5", "That is BatchNorm's")
def batchnorm_s_dx():
    def layernorm_fused(dout, x, gamma, eps):
        _, dgamma, dbeta = norm(right, along=-1)(dout, x, gamma, eps)
        return norm(right)(dout, x, gamma, eps)[0], dgamma, dbeta

    return layernorm_fused


@wrong("5.5", "The check runs your code without autograd")
def jacobian_in_forward_mode():
    def layernorm_fused(dout, x, gamma, eps):
        with torch.inference_mode(False):
            given = x.clone()

            def forward(x):
                return F.layer_norm(x, x.shape[-1:], gamma.clone(), None, eps)

            jacobian = torch.func.jacfwd(forward)(given)
            dx = torch.tensordot(dout.clone(), jacobian, x.ndim)
        _, dgamma, dbeta = norm(right, along=-1)(dout, x, gamma, eps)
        return dx, dgamma, dbeta

    return layernorm_fused


# --- 5.4 ----------------------------------------------------------------------------------------


def gradients(parameters, xb, yb, eps, mean=True, add=True, back=None, slope=lambda h: 1 - h**2):
    wte, W1, gamma, beta, W2, b2 = parameters
    x = wte[xb].flatten(1)
    pre = x @ W1
    var, mu = torch.var_mean(pre, 0, correction=0)
    inv = (var + eps) ** -0.5
    h = (gamma * (pre - mu) * inv + beta).tanh()
    logits = h @ W2 + b2
    dlogits = F.softmax(logits, 1) - F.one_hot(yb, len(b2))
    dlogits = dlogits / len(yb) if mean else dlogits
    dact = (dlogits @ (W2 if back is None else back).T) * slope(h)
    dpre, dgamma, dbeta = norm(right)(dact, pre, gamma, eps)
    dwte = torch.zeros_like(wte)
    dwte.index_put_((xb,), (dpre @ W1.T).view(*xb.shape, -1), accumulate=add)
    loss = F.cross_entropy(logits, yb)
    return loss.item(), [dwte, x.T @ dpre, dgamma, dbeta, h.T @ dlogits, dlogits.sum(0)]


def trainer(step, made=gradients):
    def train_by_hand(parameters, X, Y, lr, eps):
        losses = []
        for xb, yb in zip(X, Y, strict=True):
            loss, grads = made(parameters, xb, yb, eps)
            losses.append(loss)
            step(parameters, grads, lr)
        return losses

    return train_by_hand


def descend(parameters, grads, lr):
    for p, grad in zip(parameters, grads, strict=True):
        p -= lr * grad


@wrong("5.4", "`p = p - …` makes a new tensor")
def rebound():
    def train_by_hand(parameters, *rest):
        return trainer(descend)([p.clone() for p in parameters], *rest)

    return train_by_hand


@wrong("5.4", "The steps go up the hill")
def uphill():
    return trainer(lambda parameters, grads, lr: descend(parameters, grads, -lr))


@wrong("5.4", "gets only its last")
def embedding_rows_overwritten():
    return trainer(descend, lambda *given: gradients(*given, add=False))


@wrong("5.4", "before the gradients that need it")
def updated_too_early():
    """W2 and W1 are stepped as soon as their own gradients are there."""

    def train_by_hand(parameters, X, Y, lr, eps):
        wte, W1, gamma, beta, W2, b2 = parameters
        losses = []
        for xb, yb in zip(X, Y, strict=True):
            x = wte[xb].flatten(1)
            pre = x @ W1
            var, mu = torch.var_mean(pre, 0, correction=0)
            h = (gamma * (pre - mu) * (var + eps) ** -0.5 + beta).tanh()
            logits = h @ W2 + b2
            losses.append(F.cross_entropy(logits, yb).item())
            dlogits = (F.softmax(logits, 1) - F.one_hot(yb, len(b2))) / len(yb)
            W2 -= lr * h.T @ dlogits
            b2 -= lr * dlogits.sum(0)
            dact = (dlogits @ W2.T) * (1 - h**2)
            dpre, dgamma, dbeta = norm(right)(dact, pre, gamma, eps)
            gamma -= lr * dgamma
            beta -= lr * dbeta
            W1 -= lr * x.T @ dpre
            demb = (dpre @ W1.T).view(*xb.shape, -1)
            wte.index_put_((xb,), -lr * demb, accumulate=True)
        return losses

    return train_by_hand


@wrong("5.4", "is W2 still the old one there?")
def w2_stepped_before_dh():
    def made(parameters, xb, yb, eps):
        stepped = parameters[4] - 0.3 * gradients(parameters, xb, yb, eps)[1][4]
        return gradients(parameters, xb, yb, eps, back=stepped)

    return trainer(descend, made)


@wrong("5.4", "is tanh's slope 1 − h²?")
def sigmoid_s_slope_in_training():
    return trainer(descend, lambda *given: gradients(*given, slope=lambda h: h * (1 - h)))


@wrong("5.4", "`torch.tensor` rounds them to 32 bits")
def losses_as_float32():
    train = trainer(descend)
    return lambda *given: torch.tensor(train(*given))


@wrong("5.4", "lacks the mean's 1/B")
def batch_sum():
    return trainer(descend, lambda *given: gradients(*given, mean=False))


@wrong("5.4", "The direction is right, the length isn't")
def rate_of_its_own():
    return trainer(lambda parameters, grads, lr: descend(parameters, grads, 0.1))


@wrong("5.4", "gamma and beta stay as they were")
def norm_not_trained():
    def step(parameters, grads, lr):
        for i in (0, 1, 4, 5):
            parameters[i] -= lr * grads[i]

    return trainer(step)


@wrong("5.4", "The gradients of earlier steps")
def gradients_pile_up():
    def train_by_hand(parameters, *rest):
        kept = [torch.zeros_like(p) for p in parameters]

        def step(parameters, grads, lr):
            for p, old, grad in zip(parameters, kept, grads, strict=True):
                old += grad
                p -= lr * old

        return trainer(step)(parameters, *rest)

    return train_by_hand


@wrong("5.4", "Each loss is from after its step")
def loss_after_the_step():
    def train_by_hand(parameters, X, Y, lr, eps):
        losses = []
        for xb, yb in zip(X, Y, strict=True):
            descend(parameters, gradients(parameters, xb, yb, eps)[1], lr)
            losses.append(gradients(parameters, xb, yb, eps)[0])
        return losses

    return train_by_hand


@wrong("5.4", "The check runs your code without autograd")
def autograd_after_all():
    def train_by_hand(parameters, X, Y, lr, eps):
        losses = []
        with torch.inference_mode(False), torch.enable_grad():
            leaves = [p.clone().requires_grad_() for p in parameters]
            wte, W1, gamma, beta, W2, b2 = leaves
            for xb, yb in zip(X.clone(), Y.clone(), strict=True):
                act = F.batch_norm(wte[xb].flatten(1) @ W1, None, None, gamma, beta, True, eps=eps)
                loss = F.cross_entropy(act.tanh() @ W2 + b2, yb)
                losses.append(loss.item())
                loss.backward()
        return losses

    return train_by_hand


# --- 5.6 ----------------------------------------------------------------------------------------


def head(mask="before", scale=None, back=None, jacobian=None, dk=None, dv=None):
    def attention_fused(dout, q, k, v):
        T, size = q.shape[1:]
        by = size**-0.5 if scale is None else scale(T, size)
        seen = torch.ones(T, T, dtype=torch.bool).tril()
        scores = q @ k.mT * by
        if mask == "before":
            scores = scores.masked_fill(~seen, -torch.inf)
        elif mask == "turned":
            scores = scores.masked_fill(~seen.T, -torch.inf)
        att = F.softmax(scores, -1)
        if mask == "after":
            att = att * seen
        datt = dout @ v.mT
        ds = att * (datt - (att * datt).sum(-1, keepdim=True))
        if jacobian:
            ds = jacobian(att, datt) * seen
        by = by if back is None else back(size)
        return (
            ds @ k * by,
            (dk or (lambda s, q: s.mT @ q))(ds, q) * by,
            (dv or (lambda att, dout: att.mT @ dout))(att, dout),
        )

    return attention_fused


@wrong("5.6", "The mask is missing")
def mask_forgotten():
    return head(mask=None)


@wrong("5.6", "The mask came after the softmax")
def mask_after_softmax():
    return head(mask="after")


@wrong("5.6", "The mask is the wrong way round")
def mask_turned():
    return head(mask="turned")


@wrong("5.6", "is missing, forwards and backwards")
def scale_forgotten():
    return head(scale=lambda T, size: 1.0)


@wrong("5.6", "The scale is missing backwards")
def scale_forgotten_backwards():
    return head(back=lambda size: 1.0)


@wrong("5.6", "not 1/√T")
def scale_by_the_context():
    return head(scale=lambda T, size: T**-0.5)


@wrong("5.6", "the root is missing")
def scale_without_root():
    return head(scale=lambda T, size: 1 / size)


@wrong("5.6", "att (1 − att) is only the slope")
def softmax_elementwise():
    return head(jacobian=lambda att, datt: att * (1 - att) * datt)


@wrong("5.6", "The sum is missing in softmax's backward pass")
def softmax_without_its_sum():
    return head(jacobian=lambda att, datt: att * datt)


@wrong("5.6", "Softmax's backward pass is missing")
def softmax_skipped():
    return head(jacobian=lambda att, datt: datt)


@wrong("5.6", "runs down the columns; it runs along")
def softmax_sum_over_the_wrong_axis():
    return head(jacobian=lambda att, datt: att * (datt - (att * datt).sum(-2, keepdim=True)))


@wrong("5.6", "dk: dscores must be transposed")
def dk_not_transposed():
    return head(dk=lambda ds, q: ds @ q)


@wrong("5.6", "dv: att must be transposed")
def dv_not_transposed():
    return head(dv=lambda att, dout: att @ dout)


@wrong("5.6", "no `torch.autograd.grad`")
def grad_of_the_forward_pass():
    def attention_fused(dout, q, k, v):
        with torch.enable_grad():
            given = [t.clone().requires_grad_() for t in (q, k, v)]
            out = F.scaled_dot_product_attention(*given, is_causal=True)
            return torch.autograd.grad(out, given, dout)

    return attention_fused
