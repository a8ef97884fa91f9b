"""Wrong answers to 2.1, a trigram, counted and learned."""

import torch
import torch.nn.functional as F

from misconceptions import wrong


def count_trigrams(words, stoi, front="..", end=".", add=True, reverse=False):
    N = torch.zeros(len(stoi), len(stoi), len(stoi), dtype=torch.int64)
    for word in words:
        ids = [stoi[s] for s in front + word + end]
        for i, j, k in zip(ids, ids[1:], ids[2:], strict=False):
            cell = (k, j, i) if reverse else (i, j, k)
            N[cell] = N[cell] + 1 if add else 1
    return N


def descend(N, steps, lr, loss_of=None, dim=-1, mean=True, zero=True, probs=True):
    share = N / N.sum() if mean else N.float()
    W = torch.zeros(N.shape, requires_grad=True)
    for _ in range(steps):
        loss = loss_of(W) if loss_of else -(share * F.log_softmax(W, dim=dim)).sum()
        if zero:
            W.grad = None
        loss.backward()
        with torch.no_grad():
            W -= lr * W.grad
    return F.softmax(W.detach(), dim=dim) if probs else W.detach()


@wrong("2.1", "two boundaries must stand before")
def one_boundary_before():
    return lambda words, stoi: count_trigrams(words, stoi, front="."), descend


@wrong("2.1", "one boundary must follow each word")
def no_boundary_after():
    return lambda words, stoi: count_trigrams(words, stoi, end=""), descend


@wrong("2.1", "add 1 to its cell")
def each_trigram_once():
    return lambda words, stoi: count_trigrams(words, stoi, add=False), descend


@wrong("2.1", "in reverse order")
def dimensions_in_reverse():
    return lambda words, stoi: count_trigrams(words, stoi, reverse=True), descend


@wrong("2.1", "divide by `N.sum()`")
def sum_instead_of_mean():
    return count_trigrams, lambda N, steps, lr: descend(N, steps, lr, mean=False)


@wrong("2.1", "along dimension 0")
def softmax_over_dimension_0():
    return count_trigrams, lambda N, steps, lr: descend(N, steps, lr, dim=0)


@wrong("2.1", "along dimension 1")
def softmax_over_dimension_1():
    return count_trigrams, lambda N, steps, lr: descend(N, steps, lr, dim=1)


@wrong("2.1", "The loss goes up")
def gradient_ascent():
    return count_trigrams, lambda N, steps, lr: descend(N, steps, -lr)


@wrong("2.1", "Every different trigram counts once")
def distinct_trigrams():
    def network(N, steps, lr):
        i, j, k = N.nonzero().T
        return descend(N, steps, lr, lambda W: F.cross_entropy(W[i, j], k))

    return count_trigrams, network


@wrong("2.1", "return their softmax")
def returns_logits():
    return count_trigrams, lambda N, steps, lr: descend(N, steps, lr, probs=False)


@wrong("2.1", "gradients add up")
def gradients_not_zeroed():
    return count_trigrams, lambda N, steps, lr: descend(N, steps, lr, zero=False)


@wrong("2.1", "the step has not changed W")
def rebinds_instead_of_changing():
    def network(N, steps, lr):
        W = torch.zeros(N.shape, requires_grad=True)
        for _ in range(steps):
            loss = -(N / N.sum() * F.log_softmax(W, dim=-1)).sum()
            (grad,) = torch.autograd.grad(loss, W)
            with torch.no_grad():
                W_new = W - lr * grad  # noqa: F841
        return F.softmax(W.detach(), dim=-1)

    return count_trigrams, network


@wrong("2.1", "Only the letters are counted")
def no_boundaries():
    return lambda words, stoi: count_trigrams(words, stoi, front="", end=""), descend


@wrong("2.1", "One boundary after the word is enough")
def two_boundaries_after():
    return lambda words, stoi: count_trigrams(words, stoi, end=".."), descend


@wrong("2.1", "not in the order of the characters")
def context_swapped():
    return lambda words, stoi: count_trigrams(words, stoi).transpose(0, 1), descend


@wrong("2.1", "Return a tensor of shape")
def dictionary():
    def trigram_counts(words, stoi):
        counts = {}
        for word in words:
            s = ".." + word + "."
            for gram in zip(s, s[1:], s[2:], strict=False):
                counts[gram] = counts.get(gram, 0) + 1
        return counts

    return trigram_counts, descend


@wrong("2.1", "Nothing came back")
def prints_the_counts():
    return lambda words, stoi: print(end=""), descend


@wrong("2.1", "not 27")
def always_27():
    def trigram_counts(words, stoi):
        N = torch.zeros(27, 27, 27, dtype=torch.int64)
        small = count_trigrams(words, stoi)
        N[: len(stoi), : len(stoi), : len(stoi)] = small
        return N

    return trigram_counts, descend


@wrong("2.1", "With no step, nothing is learned yet")
def begins_at_random():
    def network(N, steps, lr):
        W = torch.randn(N.shape, generator=torch.Generator().manual_seed(1))
        for _ in range(steps):
            share = N / N.sum()
            W -= lr * (share.sum(-1, keepdim=True) * F.softmax(W, dim=-1) - share)
        return F.softmax(W, dim=-1)

    return count_trigrams, network


@wrong("2.1", "These are the counted shares")
def counts_after_all():
    return count_trigrams, lambda N, steps, lr: N / N.sum(-1, keepdim=True)


@wrong("2.1", "not `log_softmax`")
def returns_log_probabilities():
    return count_trigrams, lambda N, steps, lr: descend(N, steps, lr).log()


@wrong("2.1", "a mean over the cells")
def mean_over_cells():
    def network(N, steps, lr):
        return descend(N, steps, lr, lambda W: -(N * F.log_softmax(W, dim=-1)).mean())

    return count_trigrams, network


@wrong("2.1", "Every context weighs the same")
def mean_over_cells_of_shares():
    def network(N, steps, lr):
        P = N / N.sum(-1, keepdim=True).clamp(min=1)
        return descend(N, steps, lr, lambda W: -(P * F.log_softmax(W, dim=-1)).mean())

    return count_trigrams, network


@wrong("2.1", "one step too many")
def one_step_more():
    return count_trigrams, lambda N, steps, lr: descend(N, steps + (steps > 0), lr)


@wrong("2.1", "those keep no gradient")
def rebinds_with_the_graph():
    def network(N, steps, lr):
        W = torch.zeros(N.shape, requires_grad=True)
        for _ in range(steps):
            (-(N / N.sum() * F.log_softmax(W, dim=-1)).sum()).backward()
            W = W - lr * W.grad
        return F.softmax(W, dim=-1)

    return count_trigrams, network


@wrong("2.1", "makes whole numbers as N has")
def weights_of_whole_numbers():
    def network(N, steps, lr):
        return F.softmax(torch.zeros_like(N, requires_grad=True), dim=-1)

    return count_trigrams, network


@wrong("2.1", "The boundary's number is taken to be 0")
def boundary_is_zero():
    return lambda words, stoi: count_trigrams(words, {**stoi, ".": 0}), descend


@wrong("2.1", "nothing is added")
def weights_held_small():
    def network(N, steps, lr):
        share = N / N.sum()

        def loss_of(W):
            return -(share * F.log_softmax(W, dim=-1)).sum() + 0.01 * (W**2).mean()

        return descend(N, steps, lr, loss_of)

    return count_trigrams, network


@wrong("2.1", "W has the shape of N")
def network_of_27_characters():
    def network(N, steps, lr):
        start = torch.zeros(27, 27, 27)
        start[: len(N), : len(N), : len(N)] += N
        return descend(start, steps, lr)

    return count_trigrams, network


@wrong("2.1", "in eight bits")
def counts_in_eight_bits():
    return lambda words, stoi: count_trigrams(words, stoi).to(torch.uint8), descend


@wrong("2.1", "Every different word counts once")
def every_word_once():
    return lambda words, stoi: count_trigrams(set(words), stoi), descend


@wrong("2.1", "something is kept from call to call")
def table_kept_between_calls():
    tables = {}

    def trigram_counts(words, stoi):
        N = tables.setdefault(len(stoi), torch.zeros((len(stoi),) * 3, dtype=torch.int64))
        N += count_trigrams(words, stoi)
        return N

    return trigram_counts, descend


@wrong("2.1", "Something is added to the counts here")
def network_of_smoothed_counts():
    return count_trigrams, lambda N, steps, lr: descend(N + 1, steps, lr)


@wrong("2.1", "the learning rate `lr` that is given")
def learning_rate_of_its_own():
    return count_trigrams, lambda N, steps, lr: descend(N, steps, 100.0)
