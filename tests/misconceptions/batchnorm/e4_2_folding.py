"""Wrong answers to 4.2, fold BatchNorm away."""

import torch

from misconceptions import wrong


def folded(linear, norm, scale=None, bias=None, change=None):
    """A fold whose scale or bias is computed otherwise."""
    from zerotohero.batchnorm import Linear

    s = scale(norm) if scale else norm.gamma / torch.sqrt(norm.running_var + norm.eps)
    b = linear.bias if linear.bias is not None else torch.zeros_like(s)
    new = Linear(*linear.weight.shape)
    new.weight = linear.weight * s
    right = (b - norm.running_mean) * s + norm.beta
    new.bias = bias(b, s, norm) if bias else right
    return new


def folding(**how):
    return lambda linear, norm: folded(linear, norm, **how)


@wrong("4.2", "nothing of BatchNorm is in it")
def returned_as_it_was():
    return folding(scale=lambda norm: torch.ones_like(norm.gamma), bias=lambda b, s, norm: b)


@wrong("4.2", "eps has no part in your scale")
def without_eps():
    return folding(scale=lambda norm: norm.gamma / norm.running_var.sqrt())


@wrong("4.2", "eps is added to the root")
def eps_outside_the_root():
    return folding(scale=lambda norm: norm.gamma / (norm.running_var.sqrt() + norm.eps))


@wrong("4.2", "You take an eps of 1e-5")
def eps_by_heart():
    return folding(scale=lambda norm: norm.gamma / (norm.running_var + 1e-5).sqrt())


@wrong("4.2", "You multiply by the root")
def multiplied_by_the_root():
    return folding(scale=lambda norm: norm.gamma * (norm.running_var + norm.eps).sqrt())


@wrong("4.2", "beta is scaled")
def beta_scaled():
    return folding(bias=lambda b, s, norm: (b - norm.running_mean + norm.beta) * s)


@wrong("4.2", "You divide by the variance")
def divided_by_variance():
    return folding(scale=lambda norm: norm.gamma / (norm.running_var + norm.eps))


@wrong("4.2", "gamma is missing")
def without_gamma():
    return folding(scale=lambda norm: 1 / (norm.running_var + norm.eps).sqrt())


@wrong("4.2", "beta is missing")
def without_beta():
    return folding(bias=lambda b, s, norm: (b - norm.running_mean) * s)


@wrong("4.2", "The running mean is missing")
def without_mean():
    return folding(bias=lambda b, s, norm: b * s + norm.beta)


@wrong("4.2", "The running mean is added")
def mean_added():
    return folding(bias=lambda b, s, norm: (b + norm.running_mean) * s + norm.beta)


@wrong("4.2", "The old bias is lost")
def without_the_old_bias():
    return folding(bias=lambda b, s, norm: norm.beta - norm.running_mean * s)


@wrong("4.2", "The old bias isn't scaled")
def old_bias_unscaled():
    return folding(bias=lambda b, s, norm: b - norm.running_mean * s + norm.beta)


@wrong("4.2", "The running mean isn't scaled")
def mean_unscaled():
    return folding(bias=lambda b, s, norm: b * s - norm.running_mean + norm.beta)


@wrong("4.2", "The bias is still the old one")
def only_the_weight_folded():
    return folding(bias=lambda b, s, norm: b)


@wrong("4.2", "Two shapes don't fit: weight is (I, O)")
def scale_along_the_inputs():
    def fold(linear, norm):
        new = folded(linear, norm)
        scale = norm.gamma / torch.sqrt(norm.running_var + norm.eps)
        new.weight = linear.weight * scale[:, None]
        return new

    return fold


@wrong("4.2", "linear.bias may be None")
def bias_taken_for_granted():
    def fold(linear, norm):
        new = folded(linear, norm)
        new.bias = (linear.bias - norm.running_mean) * new.weight[0] / linear.weight[0] + norm.beta
        return new

    return fold


@wrong("4.2", "It needs a bias even where")
def no_bias_before_none_after():
    def fold(linear, norm):
        new = folded(linear, norm)
        if linear.bias is None:
            new.bias = None
        return new

    return fold


@wrong("4.2", "Its parameters or statistics are others now")
def old_layer_changed():
    def fold(linear, norm):
        new = folded(linear, norm)
        linear.weight, linear.bias = new.weight, new.bias
        return linear

    return fold


@wrong("4.2", "That changes a parameter in place")
def multiplied_in_place():
    def fold(linear, norm):
        linear.weight *= norm.gamma
        return linear

    return fold


@wrong("4.2", "Return a layer, not its tensors")
def tensors_returned():
    return lambda linear, norm: (linear.weight, linear.bias)


@wrong("4.2", "It is in another mode now")
def set_to_train_mode():
    def fold(linear, norm):
        norm.train()
        return folded(linear, norm)

    return fold


@wrong("4.2", "Ask `linear.bias is None`")
def truth_of_a_bias():
    def fold(linear, norm):
        new = folded(linear, norm)
        new.bias = new.bias if linear.bias else norm.beta
        return new

    return fold


@wrong("4.2", "The layer to return is a `layers.Linear`")
def layer_of_torch():
    return lambda linear, norm: torch.nn.Linear(*linear.weight.shape)


@wrong("4.2", "as (inputs, outputs)")
def weight_of_torch():
    def fold(linear, norm):
        new = folded(linear, norm)
        new.weight = new.weight.T
        return new

    return fold


@wrong("4.2", "`dtype=linear.weight.dtype`")
def measured_in_float32():
    def fold(linear, norm):
        bias = norm(linear(torch.zeros(1, len(linear.weight))))[0]
        return folded(linear, norm, bias=lambda b, s, norm: bias)

    return fold


@wrong("4.2", "A new Linear is float32")
def copied_into_float32():
    def fold(linear, norm):
        from zerotohero.batchnorm import Linear

        right, new = folded(linear, norm), Linear(*linear.weight.shape)
        with torch.no_grad():
            new.weight.copy_(right.weight)
            new.bias.copy_(right.bias)
        return new

    return fold


@wrong("4.2", "Each call makes a new Linear")
def one_layer_for_all():
    kept = []

    def fold(linear, norm):
        new = folded(linear, norm)
        kept.append(new)
        kept[0].weight, kept[0].bias = new.weight, new.bias
        return kept[0]

    return fold


@wrong("4.2", "A function of x is no layer")
def composed_and_not_folded():
    return lambda linear, norm: lambda x: norm(linear(x))


@wrong("4.2", "where `detach_()` and `requires_grad_(False)` change theirs")
def no_gradients_any_more():
    def fold(linear, norm):
        for p in (linear.weight, norm.gamma, norm.beta):
            p.requires_grad_(False)
        return folded(linear, norm)

    return fold


@wrong("4.2", "nothing needs a backward pass here")
def gradients_left_behind():
    def fold(linear, norm):
        new = folded(linear, norm)
        new.weight.sum().backward(retain_graph=True)
        return new

    return fold


@wrong("4.2", "Make a new one, or begin with")
def bias_given_to_the_old_layer():
    def fold(linear, norm):
        if linear.bias is None:
            linear.bias = torch.zeros(linear.weight.shape[1])
        return folded(linear, norm)

    return fold


@wrong("4.2", "begin with `linear = copy.deepcopy(linear)`")
def folded_in_place():
    def fold(linear, norm):
        new = folded(linear, norm)
        with torch.no_grad():
            linear.weight *= norm.gamma / torch.sqrt(norm.running_var + norm.eps)
            linear.bias = new.bias.detach()
        return linear

    return fold


@wrong("4.2", "The two layers stay as they are, and may learn on")
def detached_and_put_back():
    def fold(linear, norm):
        linear.weight = linear.weight.detach()
        return folded(linear, norm)

    return fold
