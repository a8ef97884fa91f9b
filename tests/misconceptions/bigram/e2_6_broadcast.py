"""Wrong answers to 2.6, repair the broadcasting bug."""

import torch
import torch.nn.functional as F

from misconceptions import wrong


def judge(P):
    return bool((P >= 0).all() and ((P.sum(-1) - 1).abs() < 1e-5).all())


def normalise(N, k):
    return (N + k) / (N + k).sum(-1, keepdim=True)


@wrong("2.6", "divided by the sum of row j")
def no_keepdim():
    return lambda N, k: (N + k) / (N + k).sum(-1), judge


@wrong("2.6", "Each *column* sums to 1")
def normalises_columns():
    return lambda N, k: (N + k) / (N + k).sum(0, keepdim=True), judge


@wrong("2.6", "The whole table sums to 1")
def normalises_everything():
    return lambda N, k: (N + k) / (N + k).sum(), judge


@wrong("2.6", "That is the sum along dimension 1")
def dimension_1():
    return lambda N, k: (N + k) / (N + k).sum(1, keepdim=True), judge


@wrong("2.6", "before k was added")
def sum_before_k():
    return lambda N, k: (N + k) / N.sum(-1, keepdim=True), judge


@wrong("2.6", "The caller's counts have changed")
def in_place():
    def normalise_rows(N, k):
        N += int(k)
        return N / N.sum(-1, keepdim=True)

    return normalise_rows, judge


@wrong("2.6", "The test looks at columns")
def judges_columns():
    return normalise, lambda P: bool((P >= 0).all() and ((P.sum(-2) - 1).abs() < 1e-5).all())


@wrong("2.6", "right on average only")
def judges_the_mean():
    return normalise, lambda P: bool((P >= 0).all() and abs(P.sum(-1).mean() - 1) < 1e-5)


@wrong("2.6", "The whole table may have the right sum")
def judges_the_whole_table():
    return normalise, lambda P: bool((P >= 0).all() and abs(P.sum() - len(P)) < 1e-5)


@wrong("2.6", "What the rows are off by is averaged")
def judges_the_mean_of_the_errors():
    return normalise, lambda P: bool((P >= 0).all() and (P.sum(-1) - 1).abs().mean() < 1e-5)


@wrong("2.6", "what they are off by is not added up")
def judges_the_sum_of_the_errors():
    return normalise, lambda P: bool((P >= 0).all() and (P.sum(-1) - 1).abs().sum() <= 1e-5)


@wrong("2.6", "An entry may be as much above 1")
def no_entry_above_one():
    return normalise, lambda P: judge(P) and bool((P <= 1).all())


@wrong("2.6", "look at the entries too")
def judges_sums_only():
    return normalise, lambda P: bool(((P.sum(-1) - 1).abs() < 1e-5).all())


@wrong("2.6", "ask whether all is right")
def asks_what_is_wrong():
    def is_distribution(P):
        return not bool((P < 0).any() or ((P.sum(-1) - 1).abs() > 1e-5).any())

    return normalise, is_distribution


@wrong("2.6", "add it before dividing")
def adds_k_afterwards():
    return lambda N, k: N / N.sum(-1, keepdim=True) + k, judge


@wrong("2.6", "*logarithms* of counts")
def softmax_of_counts():
    return lambda N, k: F.softmax(N + k, dim=-1), judge


@wrong("2.6", "Each matrix sums to 1")
def matrix_by_matrix():
    return lambda N, k: torch.stack([(M + k) / (M + k).sum() for M in N]), judge


@wrong("2.6", "Return False for a table that is none")
def asserts():
    def is_distribution(P):
        assert judge(P)
        return True

    return normalise, is_distribution


@wrong("2.6", "One answer for the whole table")
def judges_each_row():
    return normalise, lambda P: (P.sum(-1) - 1).abs() < 1e-5


@wrong("2.6", "says the opposite")
def judges_the_opposite():
    return normalise, lambda P: not judge(P)


@wrong("2.6", "more than a rounding error")
def judges_loosely():
    return normalise, lambda P: bool((P >= 0).all() and ((P.sum(-1) - 1).abs() < 0.01).all())


@wrong("2.6", "seldom exactly 1")
def compares_exactly():
    return normalise, lambda P: bool((P > 0).all() and (P.sum(-1) == 1).all())


@wrong("2.6", "Nothing came back")
def judges_by_printing():
    return normalise, lambda P: print(end="")


@wrong("2.6", "1 was added to every count")
def always_adds_one():
    return lambda N, k: normalise(N, 1), judge


@wrong("2.6", "an entry below 0 is none, however near")
def entries_judged_loosely():
    def is_distribution(P):
        return bool((P > -1e-5).all() and ((P.sum(-1) - 1).abs() < 1e-5).all())

    return normalise, is_distribution


@wrong("2.6", "says True of every table")
def judges_nothing():
    return normalise, lambda P: True


@wrong("2.6", "was left out of the sum")
def leaves_nan_out():
    def is_distribution(P):
        return not (P < 0).any().item() and bool(((P.nansum(-1) - 1).abs() < 1e-5).all())

    return normalise, is_distribution


@wrong("2.6", "the last as well as the first")
def looks_at_the_first_matrix():
    return normalise, lambda P: judge(P[0] if P.ndim > 2 else P)


@wrong("2.6", "Not every row is looked at")
def looks_at_the_first_row():
    return normalise, lambda P: judge(P.reshape(-1, P.shape[-1])[0])


@wrong("2.6", "On one side of 1 any sum passes")
def without_abs():
    return normalise, lambda P: bool((P >= 0).all() and ((P.sum(-1) - 1) < 1e-5).all())


@wrong("2.6", "a probability can't be negative")
def none_above_one():
    def is_distribution(P):
        return bool((P <= 1).all() and ((P.sum(-1) - 1).abs() < 1e-5).all())

    return normalise, is_distribution


@wrong("2.6", "This table has fewer dimensions")
def always_the_third_dimension():
    return lambda N, k: (N + k) / (N + k).sum(2, keepdim=True), judge


@wrong("2.6", "`N.float()` is N itself")
def floats_in_place():
    def normalise_rows(N, k):
        P = N.float()
        P += k
        P /= P.sum(-1, keepdim=True)
        return P

    return normalise_rows, judge


@wrong("2.6", "here k is 0.0")
def no_k_of_zero():
    return lambda N, k: normalise(N, k or 1), judge


@wrong("2.6", "was divided by 1")
def sums_of_at_least_one():
    return lambda N, k: (N + k) / (N + k).sum(-1, keepdim=True).clamp(min=1), judge


@wrong("2.6", "allow `rtol` and `atol` together")
def judges_by_allclose():
    def is_distribution(P):
        return bool((P >= 0).all()) and torch.allclose(P.sum(-1), torch.ones(()), atol=1e-5)

    return normalise, is_distribution
