"""Wrong answers to 8.4, three estimates of a divergence."""

import torch

from misconceptions import wrong


def estimates(logp, ref_logp):
    r = ref_logp - logp
    return -r, r**2 / 2, r.exp() - 1 - r


def expected(p, q, ks):
    return (p * torch.stack(ks)).sum(-1)


def kl(p, q):
    return (p * (p / q).log()).sum()


def biases(p, q):
    p, q = p[p > 0], q[p > 0]
    return expected(p, q, estimates(p.log(), q.log())) - kl(p, q)


def of_r(function):
    """Return the answers with other estimates, made of r."""
    return lambda logp, ref_logp: function(ref_logp - logp), biases


def drawn(function):
    """Return the answers with other biases, made of what is drawn."""
    return estimates, lambda p, q: function(p[p > 0], q[p > 0])


@wrong("8.4", "r is turned around")
def turned():
    return lambda logp, ref_logp: estimates(ref_logp, logp), biases


@wrong("8.4", "k1 is −r: it has the wrong sign")
def k1_is_r():
    return of_r(lambda r: (r, r**2 / 2, r.exp() - 1 - r))


@wrong("8.4", "k1 was cut off at 0")
def k1_cut():
    return of_r(lambda r: ((-r).clamp(min=0), r**2 / 2, r.exp() - 1 - r))


@wrong("8.4", "k1 without its sign")
def k1_without_sign():
    return of_r(lambda r: (r.abs(), r**2 / 2, r.exp() - 1 - r))


@wrong("8.4", "k2 is **half** of r²")
def whole_square():
    return of_r(lambda r: (-r, r**2, r.exp() - 1 - r))


@wrong("8.4", "k2 holds |r|")
def k2_without_square():
    return of_r(lambda r: (-r, r.abs() / 2, r.exp() - 1 - r))


@wrong("8.4", "k3 lacks the − 1")
def k3_without_one():
    return of_r(lambda r: (-r, r**2 / 2, r.exp() - r))


@wrong("8.4", "k3 lacks the − r")
def k3_without_r():
    return of_r(lambda r: (-r, r**2 / 2, r.exp() - 1))


@wrong("8.4", "k3 has + r where")
def k3_plus_r():
    return of_r(lambda r: (-r, r**2 / 2, r.exp() - 1 + r))


@wrong("8.4", "k3 has r turned around")
def k3_turned():
    return of_r(lambda r: (-r, r**2 / 2, (-r).exp() - 1 + r))


@wrong("8.4", "r was cut off where it is large")
def r_cut():
    return of_r(lambda r: estimates(torch.zeros_like(r), r.clamp(-5, 5)))


@wrong("8.4", "k3 has the wrong sign")
def k3_negative():
    return of_r(lambda r: (-r, r**2 / 2, 1 + r - r.exp()))


@wrong("8.4", "k1 and k3 have changed places")
def changed_places():
    return lambda *given: estimates(*given)[::-1], biases


@wrong("8.4", "The mean over all samples was taken")
def means():
    return lambda *given: tuple(k.mean() for k in estimates(*given)), biases


@wrong("8.4", "The sum over all samples was taken")
def sums():
    return lambda *given: tuple(k.sum() for k in estimates(*given)), biases


@wrong("8.4", "The mean over the last axis was taken")
def means_of_rows():
    return lambda *given: tuple(k.mean(-1) for k in estimates(*given)), biases


@wrong("8.4", "Each sample was weighed by its probability")
def weighed():
    return lambda logp, ref: tuple(logp.exp() * k for k in estimates(logp, ref)), biases


@wrong("8.4", "returns a tuple of three")
def one_estimate():
    return lambda *given: estimates(*given)[2], biases


@wrong("8.4", "0 · ∞ is NaN")
def all_outcomes():
    def of_all(p, q):
        return expected(p, q, estimates(p.log(), q.log())) - kl(p, q)

    return estimates, of_all


@wrong("8.4", "What is drawn seldom is drawn")
def seldom_left_out():
    return estimates, lambda p, q: biases(p[p > 1e-6], q[p > 1e-6])


@wrong("8.4", "q was scaled so that it adds up to 1")
def scaled():
    def of_some(p, q):
        q = q[p > 0] / q[p > 0].sum()
        return biases(p[p > 0], q)

    return estimates, of_some


@wrong("8.4", "given q's logarithms first")
def arguments_turned():
    return drawn(lambda p, q: expected(p, q, estimates(q.log(), p.log())) - kl(p, q))


@wrong("8.4", "over samples of the reference")
def under_the_reference():
    return drawn(lambda p, q: expected(q, p, estimates(p.log(), q.log())) - kl(p, q))


@wrong("8.4", "Every outcome counts the same")
def evenly():
    return drawn(lambda p, q: torch.stack(estimates(p.log(), q.log())).mean(-1) - kl(p, q))


@wrong("8.4", "added up without their probabilities")
def without_probabilities():
    return drawn(lambda p, q: torch.stack(estimates(p.log(), q.log())).sum(-1) - kl(p, q))


@wrong("8.4", "Those are the expected values")
def expected_values():
    return drawn(lambda p, q: expected(p, q, estimates(p.log(), q.log())))


@wrong("8.4", "KL(q ‖ p) was subtracted")
def the_other_divergence():
    return drawn(lambda p, q: expected(p, q, estimates(p.log(), q.log())) - kl(q, p))


@wrong("8.4", "the expected value comes first")
def sign_turned():
    return estimates, lambda p, q: -biases(p, q)


@wrong("8.4", "The size of the error was returned")
def sizes():
    return estimates, lambda p, q: biases(p, q).abs()


@wrong("8.4", "The error was divided by KL")
def relative():
    return drawn(lambda p, q: biases(p, q) / kl(p, q))


@wrong("8.4", "k3 is right on average only where")
def by_heart():
    return estimates, lambda p, q: biases(p, q) * torch.tensor([0.0, 1.0, 0.0])
