"""Wrong answers to 4.4, BatchNorm1d."""

import torch

from misconceptions import wrong


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


@wrong("4.4", "it is added to the variance, under the root")
def eps_by_heart():
    class Fixed(Norm):
        def output(self, x, mean, var):
            return self.gamma * (x - mean) / (var + 1e-5).sqrt() + self.beta

    return Fixed


@wrong("4.4", "eps, as it was given, has no part in it")
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


@wrong("4.4", "update the running statistics under `torch.no_grad()`, and")
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


@wrong("4.4", "parameters() returns gamma and beta themselves")
def copies_as_parameters():
    class Copies(Norm):
        def parameters(self):
            return [self.gamma.clone(), self.beta.clone()]

    return Copies


@wrong("4.4", "less the square of the mean, for the output")
def mean_of_squares_less_squared_mean():
    class Squares(Norm):
        def statistics(self, x):
            return x.mean(0), (x * x).mean(0) - x.mean(0) ** 2

    return Squares


@wrong("4.4", "less the square of the mean, for running_var")
def running_variance_by_squares():
    class Squares(Norm):
        def unseen(self, x):
            return ((x * x).mean(0) - x.mean(0) ** 2) * len(x) / (len(x) - 1)

    return Squares


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


@wrong("4.4", "Two examples are a batch")
def refuses_two():
    class Cautious(Norm):
        def refuse(self, x):
            if len(x) <= 2:
                raise ValueError("A batch of one has no variance: train with more than one.")

    return Cautious


@wrong("4.4", "gamma is C ones")
def starts_with_zeros():
    class Zeros(Norm):
        def __init__(self, *given, **more):
            super().__init__(*given, **more)
            self.gamma = torch.zeros_like(self.gamma).requires_grad_()

    return Zeros


@wrong("4.4", "the default is to be 1e-5")
def another_default_of_eps():
    class Default(Norm):
        def __init__(self, channels, eps=1e-3, momentum=0.1):
            super().__init__(channels, eps, momentum)

    return Default


@wrong("4.4", "the default is to be 0.1")
def another_default_of_momentum():
    class Default(Norm):
        def __init__(self, channels, eps=1e-5, momentum=0.9):
            super().__init__(channels, eps, momentum)

    return Default


@wrong("4.4", "the moving of the statistics alone that needs")
def eval_mode_without_gradients():
    class NoGrad(Norm):
        def __call__(self, x):
            with torch.set_grad_enabled(self.training):
                return super().__call__(x)

    return NoGrad


@wrong("4.4", "look at self.training in each call")
def eval_mode_for_good():
    class Sticky(Norm):
        def __call__(self, x):
            self.done = getattr(self, "done", False) or not self.training
            self.training = not self.done
            return super().__call__(x)

    return Sticky


@wrong("4.4", "those of the first time in eval mode")
def eval_statistics_kept():
    class Cached(Norm):
        def used(self, x):
            self.kept = getattr(self, "kept", super().used(x))
            return self.kept

    return Cached


@wrong("4.4", "The message is to say what is wrong")
def error_without_a_word():
    class Mute(Norm):
        def refuse(self, x):
            if len(x) < 2:
                raise ValueError

    return Mute


@wrong("4.4", "The card's order is channels, eps, momentum")
def eps_last():
    class Turned(Norm):
        def __init__(self, channels, momentum=0.1, eps=1e-5):
            super().__init__(channels, eps, momentum)

    return Turned


@wrong("4.4", "The card says a list")
def parameters_in_a_tuple():
    class Pair(Norm):
        def parameters(self):
            return self.gamma, self.beta

    return Pair


@wrong("4.4", "parameters is a method, and no property")
def parameters_as_a_property():
    class Listed(Norm):
        parameters = property(Norm.parameters)

    return Listed


@wrong("4.4", "Statistics are not learned")
def statistics_with_a_gradient():
    class Learned(Norm):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            self.running_mean.requires_grad_()

    return Learned


@wrong("4.4", "its shape is (C,), with no other axis kept")
def statistics_of_one_row():
    class Row(Norm):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            self.running_mean, self.running_var = self.running_mean[None], self.running_var[None]

    return Row


@wrong("4.4", "The running statistics move in eval mode, before they are used")
def statistics_move_before_use():
    class Moving(Norm):
        def used(self, x):
            if len(x) > 1:
                with torch.no_grad():
                    self.move(x)
            return super().used(x)

    return Moving


@wrong("4.4", "Only a tensor that training can move keeps its gradient")
def gamma_of_a_product():
    class Scaled(Norm):
        def __init__(self, channels, eps=1e-5, momentum=0.1):
            super().__init__(channels, eps, momentum)
            self.gamma = 1.0 * self.gamma

    return Scaled


@wrong("4.4", "one number a channel: `torch.ones(channels)`")
def gamma_with_an_axis_of_one():
    class Row(Norm):
        def __init__(self, channels, eps=1e-5, momentum=0.1):
            super().__init__(channels, eps, momentum)
            self.gamma = torch.ones(1, channels, requires_grad=True)

    return Row


@wrong("4.4", "`eps or …` takes 0 for none given")
def an_eps_of_0_is_none():
    class Never(Norm):
        def __init__(self, channels, eps=None, momentum=0.1):
            super().__init__(channels, eps or 1e-5, momentum)

    return Never


@wrong("4.4", "eps is 0 here, and you take 1e-5: use the one that is passed")
def an_eps_of_0_by_heart():
    class Known(Norm):
        def output(self, x, mean, var):
            eps = self.eps if self.eps > 0.001 else 1e-5
            return self.gamma * (x - mean) / (var + eps).sqrt() + self.beta

    return Known


@wrong("4.4", "and the layer is still in eval mode")
def trains_only_with_gradients():
    class Asks(Norm):
        def __call__(self, x):
            if self.training and not torch.is_grad_enabled():
                return self.output(x, *self.used(x))
            return super().__call__(x)

    return Asks


@wrong("4.4", "compute all else anew in each call")
def scale_kept_in_eval_mode():
    class Keeps(Norm):
        scale = None

        def __call__(self, x):
            if self.training:
                self.scale = None
                return super().__call__(x)
            if self.scale is None:
                self.scale = self.gamma / (self.running_var + self.eps).sqrt()
            return (x - self.running_mean) * self.scale + self.beta

    return Keeps
