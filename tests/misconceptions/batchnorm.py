"""Wrong answers to the exercises of lecture 04."""

import math

import torch
import torch.nn.functional as F

from misconceptions import wrong

# --- 4.1 ----------------------------------------------------------------------------------------

NAMES = ["wte", "W1", "b1", "W2", "b2"]


def move(parameters, X, Y, steps, rate, update=True, late=False, clone=True, by="grad"):
    ps = {n: (p.clone() if clone else p).requires_grad_() for n, p in parameters.items()}
    moved = []
    for step in range(steps + late):
        h = torch.tanh(ps["wte"][X].flatten(1) @ ps["W1"] + ps["b1"])
        loss = F.cross_entropy(h @ ps["W2"] + ps["b2"], Y)
        for p in ps.values():
            p.grad = None
        loss.backward()
        shown = {
            "grad": lambda p: p.grad.any(),
            "value": lambda p: p.any(),
            "there": lambda p: p.grad is not None,
        }[by]
        if step >= late:
            moved.append([n for n, p in ps.items() if shown(p)])
        for p in ps.values():
            p.data -= rate * update * p.grad
    return moved


def blame(zero, h_alone=False, slope=False, x=True, both=True, nearest=False):
    x_zero = "wte" in zero
    h_zero = (x_zero or "W1" in zero) and ("b1" in zero or h_alone)
    back = ["W2"] * ("W2" in zero) + ["h"] * (h_zero and slope)
    found = {
        "wte": ["W1"] * ("W1" in zero) + back * both,
        "W1": back + ["x"] * (x_zero and x),
        "b1": back,
        "W2": ["h"] * h_zero,
    }
    return {n: factors[:1] if nearest else factors for n, factors in found.items() if factors}


@wrong("4.1", "Not all gradients are zero")
def nothing_moves():
    return lambda parameters, X, Y, steps, rate: [[]] * steps, blame


@wrong("4.1", "not every bias moves")
def all_biases_move():
    return lambda *given: [sorted({*step, "b1", "b2"}) for step in move(*given)], blame


@wrong("4.1", "Every step gives the answer of the first")
def never_updated():
    return lambda *given: move(*given, update=False), blame


@wrong("4.1", "You are one step late")
def looked_after_the_update():
    return lambda *given: move(*given, late=True), blame


@wrong("4.1", "whose *values* aren't zero")
def values_for_gradients():
    return lambda *given: move(*given, by="value"), blame


@wrong("4.1", "`grad is not None`")
def a_gradient_that_is_there():
    return lambda *given: move(*given, by="there"), blame


@wrong("4.1", "Train on copies")
def given_tensors_trained():
    return lambda *given: move(*given, clone=False), blame


@wrong("4.1", "h is not zero as long as b1 isn't")
def hidden_zero_in_spite_of_the_bias():
    return move, lambda zero: blame(zero, h_alone=True)


@wrong("4.1", "tanh is steepest there")
def slope_of_zero_at_zero():
    return move, lambda zero: blame(zero, slope=True)


@wrong("4.1", "A parameter that is zero can have a gradient")
def zero_means_still():
    return move, lambda zero: {n: [n] for n in zero}


@wrong("4.1", "where the embeddings are zero, x is")
def input_forgotten():
    return move, lambda zero: blame(zero, x=False)


@wrong("4.1", "each of the two can stop it")
def embeddings_behind_one_matrix():
    return move, lambda zero: blame(zero, both=False)


@wrong("4.1", "You stop at the first factor")
def one_factor_each():
    return move, lambda zero: blame(zero, nearest=True)


@wrong("4.1", "instead of giving them an empty list")
def movers_listed_too():
    return move, lambda zero: {n: blame(zero).get(n, []) for n in NAMES}


# --- 4.2 ----------------------------------------------------------------------------------------


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


@wrong("4.2", "eps is missing")
def without_eps():
    return folding(scale=lambda norm: norm.gamma / norm.running_var.sqrt())


@wrong("4.2", "eps is added to the root")
def eps_outside_the_root():
    return folding(scale=lambda norm: norm.gamma / (norm.running_var.sqrt() + norm.eps))


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


@wrong("4.2", "one number an output channel: multiply weight (I, O)")
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


@wrong("4.2", "leave the two old ones as they are")
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


# --- 4.3 ----------------------------------------------------------------------------------------


def measure(f, z):
    return 1 / (f(z) ** 2).mean().sqrt().item()


def derive(slope):
    return math.sqrt(2 / (1 + slope**2))


def follow(f, gain, z, depth, size=lambda y: (y**2).mean().sqrt().item(), grow=True, first=False):
    s, sizes = 1.0, []
    for _ in range(depth):
        before, s = s, gain * size(f(s * z if grow else z))
        sizes.append(before if first else s)
    return sizes


@wrong("4.3", "A sum of weight · f(z) has no such subtraction")
def standard_deviation_measured():
    return lambda f, z: 1 / f(z).std().item(), derive, follow


@wrong("4.3", "yours is its square")
def gain_squared():
    return lambda f, z: 1 / (f(z) ** 2).mean().item(), derive, follow


@wrong("4.3", "That is how large f(z) is; the gain has to make up for it")
def size_for_gain():
    return lambda f, z: 1 / measure(f, z), derive, follow


@wrong("4.3", "ReLU's gain, whatever f is")
def always_root_two():
    return lambda f, z: math.sqrt(2), derive, follow


@wrong("4.3", "You took the mean of |f(z)|")
def mean_of_absolutes():
    return lambda f, z: 1 / f(z).abs().mean().item(), derive, follow


@wrong("4.3", "the negative half counts too")
def slope_ignored():
    return measure, lambda slope: math.sqrt(2), follow


@wrong("4.3", "it is *squared* in the mean")
def slope_not_squared():
    return measure, lambda slope: math.sqrt(2 / (1 + slope)), follow


@wrong("4.3", "The root is missing: gain² is")
def root_forgotten():
    return measure, lambda slope: 2 / (1 + slope**2), follow


@wrong("4.3", "and the 2 is missing")
def half_forgotten():
    return measure, lambda slope: math.sqrt(1 / (1 + slope**2)), follow


@wrong("4.3", "The root goes over the whole fraction")
def root_of_the_two_alone():
    return measure, lambda slope: math.sqrt(2) / (1 + slope**2), follow


@wrong("4.3", "so it was measured")
def measured_instead_of_derived():
    z = torch.randn(100_000, generator=torch.Generator().manual_seed(1))
    return measure, lambda slope: measure(lambda z: F.leaky_relu(z, slope), z), follow


@wrong("4.3", "return the s *after* each layer")
def starts_with_one():
    return measure, derive, lambda *given: follow(*given, first=True)


@wrong("4.3", "Every layer is given z itself")
def size_not_carried_on():
    return measure, derive, lambda *given: follow(*given, grow=False)


@wrong("4.3", "the next sums grow with the mean of f(s · z)²")
def standard_deviation_followed():
    return measure, derive, lambda *given: follow(*given, size=lambda y: y.std().item())


@wrong("4.3", "These are variances")
def variances_returned():
    return measure, derive, lambda *given: [s**2 for s in follow(*given)]


@wrong("4.3", "The gain counts once")
def gain_counted_twice():
    return measure, derive, lambda f, gain, *given: follow(f, gain**2, *given)


# --- 4.4 ----------------------------------------------------------------------------------------


class Norm:
    """A right BatchNorm1d; each wrong one changes a method."""

    training = True

    def __init__(self, channels, eps=1e-5, momentum=0.1):
        self.eps, self.momentum = eps, momentum
        self.gamma = torch.ones(channels, requires_grad=True)
        self.beta = torch.zeros(channels, requires_grad=True)
        self.running_mean, self.running_var = torch.zeros(channels), torch.ones(channels)

    def parameters(self):
        return [self.gamma, self.beta]

    def __call__(self, x):
        if self.training:
            self.refuse(x)
            mean, var = self.statistics(x)
            with torch.no_grad():
                self.move(x)
        else:
            mean, var = self.used(x)
        return self.output(x, mean, var)

    def refuse(self, x):
        if len(x) < 2:
            raise ValueError("A batch of one has no variance: train with at least 2.")

    def statistics(self, x):
        return x.mean(0), x.var(0, correction=0)

    def unseen(self, x):  # x.var(0), which would warn about a batch of one
        return ((x - x.mean(0)) ** 2).sum(0) / (len(x) - 1)

    def move(self, x):
        a = self.momentum
        self.running_mean = (1 - a) * self.running_mean + a * x.mean(0)
        self.running_var = (1 - a) * self.running_var + a * self.unseen(x)

    def used(self, x):
        return self.running_mean, self.running_var

    def output(self, x, mean, var):
        return self.gamma * (x - mean) / (var + self.eps).sqrt() + self.beta


@wrong("4.4", "x came back as it was")
def normalises_nothing():
    class Idle(Norm):
        def output(self, x, mean, var):
            return 1 * x

    return Idle


@wrong("4.4", "You normalise by the unbiased variance")
def unbiased_for_both():
    class Unbiased(Norm):
        def statistics(self, x):
            return x.mean(0), x.var(0)

    return Unbiased


@wrong("4.4", "The running variance collects the biased")
def biased_for_both():
    class Biased(Norm):
        def unseen(self, x):
            return x.var(0, correction=0)

    return Biased


@wrong("4.4", "which is LayerNorm")
def over_the_channels():
    class Channels(Norm):
        def statistics(self, x):
            return x.mean(1, keepdim=True), x.var(1, keepdim=True, correction=0)

    return Channels


@wrong("4.4", "One mean and one variance for all channels")
def over_everything():
    class Everything(Norm):
        def statistics(self, x):
            return x.mean(), x.var(correction=0)

    return Everything


@wrong("4.4", "eps is missing: it is added to the variance")
def batch_norm_without_eps():
    class WithoutEps(Norm):
        def output(self, x, mean, var):
            return self.gamma * (x - mean) / var.sqrt() + self.beta

    return WithoutEps


@wrong("4.4", "eps is added to the standard deviation")
def batch_norm_with_eps_outside():
    class Outside(Norm):
        def output(self, x, mean, var):
            return self.gamma * (x - mean) / (var.sqrt() + self.eps) + self.beta

    return Outside


@wrong("4.4", "Two roots are taken")
def standard_deviation_for_variance():
    class Roots(Norm):
        def statistics(self, x):
            return x.mean(0), x.std(0, correction=0)

    return Roots


@wrong("4.4", "with the same weight each")
def plain_average_of_all_batches():
    class Average(Norm):
        def move(self, x):
            self.n = getattr(self, "n", 0) + 1
            self.running_mean = self.running_mean + (x.mean(0) - self.running_mean) / self.n
            self.running_var = self.running_var + (self.unseen(x) - self.running_var) / self.n

    return Average


@wrong("4.4", "gamma and beta are missing: after the normalisation")
def neither_scaled_nor_shifted():
    class Bare(Norm):
        def output(self, x, mean, var):
            return (x - mean) / (var + self.eps).sqrt()

    return Bare


@wrong("4.4", "there it is the batch's own that normalise")
def running_statistics_in_train_mode():
    class Running(Norm):
        def statistics(self, x):
            return self.used(x)

    return Running


@wrong("4.4", "`x -= …` changes the tensor")
def changes_its_input():
    class Changes(Norm):
        def output(self, x, mean, var):
            y = super().output(x, mean, var)
            if not x.requires_grad:
                x -= mean
            return y

    return Changes


@wrong("4.4", "The momentum is the wrong way round")
def momentum_turned_round():
    class Turned(Norm):
        def __init__(self, channels, eps=1e-5, momentum=0.1):
            super().__init__(channels, eps, 1 - momentum)

    return Turned


@wrong("4.4", "have replaced the running ones")
def last_batch_kept():
    class Last(Norm):
        def move(self, x):
            self.running_mean, self.running_var = x.mean(0), x.var(0)

    return Last


@wrong("4.4", "in train mode every call moves")
def never_moved():
    class Still(Norm):
        def move(self, x):
            pass

    return Still


@wrong("4.4", "collects standard deviations")
def standard_deviations_collected():
    class Roots(Norm):
        def unseen(self, x):
            return x.std(0)

    return Roots


@wrong("4.4", "The share is always 0.1")
def momentum_ignored():
    class Fixed(Norm):
        def __init__(self, channels, eps=1e-5, momentum=0.1):
            super().__init__(channels, eps)

    return Fixed


@wrong("4.4", "running_var starts at ones")
def variance_from_zero():
    class Zero(Norm):
        def __init__(self, *given, **more):
            super().__init__(*given, **more)
            self.running_var = torch.zeros_like(self.running_mean)

    return Zero


@wrong("4.4", "the batch's own statistics are used: look at self.training")
def batch_statistics_in_eval_mode():
    class OneMode(Norm):
        def used(self, x):
            return self.statistics(x)

    return OneMode


@wrong("4.4", "Eval mode only looks")
def moves_in_eval_mode():
    class Moves(Norm):
        def used(self, x):
            now = self.running_mean, self.running_var
            if len(x) > 1:
                self.move(x.detach())
            return now

    return Moves


@wrong("4.4", "remember the graph of the batch before")
def statistics_in_the_graph():
    class Linked(Norm):
        def move(self, x):
            with torch.enable_grad():
                super().move(x)

        def output(self, x, mean, var):
            return super().output(x, mean, var) + 0 * self.running_mean

    return Linked


@wrong("4.4", "The running statistics are part of the graph")
def no_grad_forgotten():
    class Tracked(Norm):
        def move(self, x):
            with torch.enable_grad():
                super().move(x)

    return Tracked


@wrong("4.4", "Mean and variance count as constants")
def statistics_detached():
    class Detached(Norm):
        def statistics(self, x):
            return super().statistics(x.detach())

    return Detached


@wrong("4.4", "The running statistics are no parameters")
def running_statistics_as_parameters():
    class Four(Norm):
        def parameters(self):
            return [self.gamma, self.beta, self.running_mean, self.running_var]

    return Four


@wrong("4.4", "No error came")
def batch_of_one_accepted():
    class Accepts(Norm):
        def refuse(self, x):
            pass

    return Accepts


@wrong("4.4", "can be switched off")
def batch_of_one_asserted():
    class Asserts(Norm):
        def refuse(self, x):
            assert len(x) > 1, "a batch of one"

    return Asserts


@wrong("4.4", "NaN never leaves them")
def moves_before_it_raises():
    class Late(Norm):
        def refuse(self, x):
            with torch.no_grad():
                if len(x) < 2:
                    self.move(x)
            super().refuse(x)

    return Late


@wrong("4.4", "raise only in train mode")
def batch_of_one_refused_in_eval_mode():
    class Refuses(Norm):
        def used(self, x):
            self.refuse(x)
            return super().used(x)

    return Refuses


# --- 4.5 ----------------------------------------------------------------------------------------


def say(**changes):
    return lambda: (
        {
            "A": ("learning rate too large", "large updates"),
            "B": ("gain too large", "saturated at the start"),
            "C": ("output layer too large", "high first loss"),
        }
        | changes
    )


@wrong("4.5", "the tanh outputs already pile up at -1 and 1 before the first step. Look at A again")
def saturation_means_gain():
    symptom = ("gain too large", "saturated by training")
    return say(A=symptom, B=symptom, C=symptom)


@wrong("4.5", "A and C both show it")
def symptom_for_evidence():
    return say(A=("learning rate too large", "saturated by training"))


@wrong("4.5", "and the loss rises from where it started. Look at C again")
def falling_loss_taken_for_large_steps():
    return say(C=("learning rate too large", "large updates"))


@wrong("4.5", "narrower from layer to layer")
def small_gain_for_large():
    return say(B=("gain too small", "narrowing outputs"))


@wrong("4.5", "the loss hardly falls")
def small_steps_for_large():
    return say(A=("learning rate too small", "small updates"))


@wrong("4.5", "the first loss is far above ln 27")
def output_layer_for_gain():
    return say(B=("output layer too large", "high first loss"))


@wrong("4.5", "That is not what the plots of B show")
def evidence_of_another():
    return say(B=("gain too large", "large updates"))


@wrong("4.5", "C's updates are large at first")
def early_updates_for_evidence():
    return say(C=("output layer too large", "large updates"))


@wrong("4.5", "The cause comes first")
def evidence_first():
    return say(C=("high first loss", "output layer too large"))


@wrong("4.5", "The list of causes")
def words_of_ones_own():
    return say(A=("learning rate too high", "large updates"))


@wrong("4.5", "two strings from the lists")
def cause_without_evidence():
    return say(B="gain too large")


# --- 4.6 ----------------------------------------------------------------------------------------


def layer(x, gamma, beta, eps, axis=-1, correction=0, outside=False):
    mean = x.mean(axis, keepdim=True)
    var = x.var(axis, keepdim=True, correction=correction)
    return gamma * (x - mean) / (var.sqrt() + eps if outside else (var + eps).sqrt()) + beta


def rms(x, gamma, eps, axis=-1):
    return gamma * x / ((x * x).mean(axis, keepdim=True) + eps).sqrt()


def dependence(norm, x, change=None, keep=False):
    g = torch.Generator().manual_seed(1)
    before, columns, changed = norm(x), [], x.clone()
    for j in range(len(x)):
        changed = changed if keep else x.clone()
        changed[j] = change(x[j]) if change else torch.randn(x.shape[1], generator=g)
        # A shift of one's own row is undone but for rounding, as a learner's allclose sees it.
        columns.append(~torch.isclose(norm(changed), before).all(1))
    return torch.stack(columns, 1)


@wrong("4.6", "over axis 0 it is BatchNorm")
def layer_norm_over_the_batch():
    return lambda *given: layer(*given, axis=0), rms, dependence


@wrong("4.6", "`x.var(-1)` divides by C − 1")
def layer_norm_unbiased():
    return lambda *given: layer(*given, correction=1), rms, dependence


@wrong("4.6", "eps is added to the standard deviation")
def layer_norm_with_eps_outside():
    return lambda *given: layer(*given, outside=True), rms, dependence


@wrong("4.6", "the channels are axis 2")
def layer_norm_over_axis_1():
    return lambda *given: layer(*given, axis=1), rms, dependence


@wrong("4.6", "The positions of an example are mixed")
def layer_norm_over_the_example():
    def layer_norm(x, gamma, beta, eps):
        return layer(x, gamma, beta, eps, axis=tuple(range(1, x.ndim)))

    return layer_norm, rms, dependence


@wrong("4.6", "`x -= …` changes the tensor that was given")
def layer_norm_in_place():
    def layer_norm(x, gamma, beta, eps):
        y = layer(x, gamma, beta, eps)
        x -= x.mean(-1, keepdim=True)
        return y

    return layer_norm, rms, dependence


@wrong("4.6", "went to another: keep their axis")
def axis_not_kept():
    def layer_norm(x, gamma, beta, eps):
        return gamma * (x - x.mean(-1)) / (x.var(-1, correction=0) + eps).sqrt() + beta

    return layer_norm, rms, dependence


@wrong("4.6", "That is LayerNorm without beta")
def rms_norm_centred():
    return layer, lambda x, gamma, eps: layer(x, gamma, 0, eps), dependence


@wrong("4.6", "You divide by the standard deviation, which takes the mean out")
def rms_norm_by_standard_deviation():
    def rms_norm(x, gamma, eps):
        return gamma * x / (x.var(-1, keepdim=True, correction=0) + eps).sqrt()

    return layer, rms_norm, dependence


@wrong("4.6", "You divide by the length of the vector")
def rms_norm_by_length():
    def rms_norm(x, gamma, eps):
        return gamma * x / ((x * x).sum(-1, keepdim=True) + eps).sqrt()

    return layer, rms_norm, dependence


@wrong("4.6", "eps is missing in rms_norm")
def rms_norm_without_eps():
    return layer, lambda x, gamma, eps: rms(x, gamma, 0), dependence


@wrong("4.6", "Rows and columns are swapped: [i, j]")
def dependence_transposed():
    return layer, rms, lambda norm, x: dependence(norm, x).T


@wrong("4.6", "is what a normalisation takes out")
def all_channels_shifted():
    return layer, rms, lambda norm, x: dependence(norm, x, change=lambda row: row + 1)


@wrong("4.6", "the diagonal is left out")
def itself_left_out():
    def depends(norm, x):
        return dependence(norm, x) & ~torch.eye(len(x), dtype=torch.bool)

    return layer, rms, depends


@wrong("4.6", "is so for LayerNorm; `norm` may be anything")
def identity_by_heart():
    return layer, rms, lambda norm, x: torch.eye(len(x), dtype=torch.bool)


@wrong("4.6", "is so for BatchNorm; `norm` may be anything")
def everything_by_heart():
    return layer, rms, lambda norm, x: torch.ones(len(x), len(x), dtype=torch.bool)


@wrong("4.6", "begin each time with a fresh copy")
def changes_kept():
    return layer, rms, lambda norm, x: dependence(norm, x, keep=True)


@wrong("4.6", "Each entry is True or False")
def differences_for_booleans():
    return layer, rms, lambda norm, x: dependence(norm, x).float()
