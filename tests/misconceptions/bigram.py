"""Wrong answers to the exercises of lecture 02."""

import math
import random

import torch
import torch.nn.functional as F

from misconceptions import wrong

# --- 2.1 ----------------------------------------------------------------------------------------


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


# --- 2.2 ----------------------------------------------------------------------------------------


def cut(shuffled):
    a, b = int(0.8 * len(shuffled)), int(0.9 * len(shuffled))
    return shuffled[:a], shuffled[a:b], shuffled[b:]


def fair_split(words, generator):
    return cut([words[i] for i in torch.randperm(len(words), generator=generator).tolist()])


def grams(words, n):
    padded = ["." * (n - 1) + word + "." for word in words]
    return [text[i : i + n] for text in padded for i in range(len(text) - n + 1)]


def fair_loss(train, held_out, n, k, stoi, keepdim=True, sum_before=False, log=math.log):
    N = torch.zeros((len(stoi),) * n, dtype=torch.float64)
    for gram in grams(train, n):
        N[tuple(stoi[s] for s in gram)] += 1
    total = (N if sum_before else N + k).sum(-1, keepdim=keepdim)
    P = (N + k) / total
    losses = []
    for gram in grams(held_out, n):
        p = P[tuple(stoi[s] for s in gram)].item()
        losses.append(-log(p) if p > 0 else math.inf)
    return sum(losses) / len(losses)


@wrong("2.2", "Nothing was shuffled")
def no_shuffle():
    return lambda words, generator: cut(list(words)), fair_loss


@wrong("2.2", "You shuffled the caller's own list")
def shuffles_in_place():
    def split_words(words, generator):
        random.Random(torch.randint(2**31, (1,), generator=generator).item()).shuffle(words)
        return cut(words)

    return split_words, fair_loss


@wrong("2.2", "generator that is passed in was not used")
def global_generator():
    def split_words(words, generator):
        return cut([words[i] for i in torch.randperm(len(words)).tolist()])

    return split_words, fair_loss


@wrong("2.2", "You use a seed of your own")
def own_seed():
    def split_words(words, generator):
        return fair_split(words, torch.Generator().manual_seed(42))

    return split_words, fair_loss


@wrong("2.2", "Some words are in two parts")
def parts_overlap():
    def split_words(words, generator):
        train, dev, test = fair_split(words, generator)
        return train, dev + test, test

    return split_words, fair_loss


@wrong("2.2", "Some words are lost")
def draws_with_replacement():
    def split_words(words, generator):
        drawn = torch.randint(len(words), (len(words),), generator=generator)
        return cut([words[i] for i in drawn.tolist()])

    return split_words, fair_loss


@wrong("2.2", "counted on the held-out words themselves")
def counts_on_held_out():
    return fair_split, lambda train, held_out, n, k, stoi: fair_loss(held_out, held_out, n, k, stoi)


@wrong("2.2", "that the model has seen")
def judges_on_train():
    return fair_split, lambda train, held_out, n, k, stoi: fair_loss(train, train, n, k, stoi)


@wrong("2.2", "counted too")
def counts_on_both():
    def ngram_loss(train, held_out, n, k, stoi):
        return fair_loss(train + held_out, held_out, n, k, stoi)

    return fair_split, ngram_loss


@wrong("2.2", "mean over words of means")
def mean_of_means():
    def ngram_loss(train, held_out, n, k, stoi):
        losses = [fair_loss(train, [word], n, k, stoi) for word in held_out]
        return sum(losses) / len(losses)

    return fair_split, ngram_loss


@wrong("2.2", "This is in bits")
def bits():
    return fair_split, lambda *a: fair_loss(*a, log=math.log2)


@wrong("2.2", "not to their sums")
def sums_before_adding_k():
    return fair_split, lambda *a: fair_loss(*a, sum_before=True)


@wrong("2.2", "This is the sum over all n-grams")
def sum_of_losses():
    def ngram_loss(train, held_out, n, k, stoi):
        return fair_loss(train, held_out, n, k, stoi) * len(grams(held_out, n))

    return fair_split, ngram_loss


@wrong("2.2", "the loss is its negative")
def log_likelihood():
    return fair_split, lambda *a: -fair_loss(*a)


@wrong("2.2", "the sum needs `keepdim=True`")
def without_keepdim():
    return fair_split, lambda *a: fair_loss(*a, keepdim=False)


@wrong("2.2", "hides it")
def a_little_something():
    def ngram_loss(train, held_out, n, k, stoi):
        return fair_loss(train, held_out, n, k + 1e-8, stoi)

    return fair_split, ngram_loss


@wrong("2.2", "shuffled within a part")
def shuffles_train_only():
    def split_words(words, generator):
        train, dev, test = cut(words)
        return [train[i] for i in torch.randperm(len(train), generator=generator)], dev, test

    return split_words, fair_loss


@wrong("2.2", "These are the places of words")
def returns_places():
    def split_words(words, generator):
        return cut(torch.randperm(len(words), generator=generator).tolist())

    return split_words, fair_loss


@wrong("2.2", "a set keeps one of each")
def drops_repeated_words():
    return lambda words, generator: fair_split(sorted(set(words)), generator), fair_loss


@wrong("2.2", "Some words are in no part")
def loses_the_remainder():
    def split_words(words, generator):
        train, dev, test = fair_split(words, generator)
        return train, dev, test[: len(dev)]

    return split_words, fair_loss


@wrong("2.2", "A list can't be indexed by a tensor")
def indexes_a_list_by_a_tensor():
    def split_words(words, generator):
        return cut(words[torch.randperm(len(words), generator=generator)])

    return split_words, fair_loss


@wrong("2.2", "don't assign what they return")
def assigns_the_shuffled():
    return lambda words, generator: cut(random.shuffle(list(words)) or None), fair_loss


@wrong("2.2", "can't draw from a torch generator")
def shuffles_by_a_torch_generator():
    def split_words(words, generator):
        mine = list(words)
        random.shuffle(mine, generator)
        return cut(mine)

    return split_words, fair_loss


@wrong("2.2", "probability of the last character *given*")
def joint_probability():
    def ngram_loss(train, held_out, n, k, stoi):
        N = torch.full((len(stoi),) * n, k, dtype=torch.float64)
        for gram in grams(train, n):
            N[tuple(stoi[s] for s in gram)] += 1
        found = [N[tuple(stoi[s] for s in gram)] for gram in grams(held_out, n)]
        return -(torch.stack(found) / N.sum()).log().mean().item()

    return fair_split, ngram_loss


@wrong("2.2", "added once to the sum of a row")
def k_once_a_row():
    def ngram_loss(train, held_out, n, k, stoi):
        seen, rows = grams(train, n), [gram[:-1] for gram in grams(train, n)]
        probs = [
            (seen.count(gram) + k) / (rows.count(gram[:-1]) + k) for gram in grams(held_out, n)
        ]
        return -torch.tensor(probs).log().mean().item()

    return fair_split, ngram_loss


@wrong("2.2", "is k added to every count")
def no_smoothing():
    return fair_split, lambda train, held_out, n, k, stoi: fair_loss(train, held_out, n, 0, stoi)


@wrong("2.2", "This is the loss for k = 1")
def always_adds_one():
    return fair_split, lambda train, held_out, n, k, stoi: fair_loss(train, held_out, n, 1, stoi)


@wrong("2.2", "return the loss itself")
def number_of_choices():
    return fair_split, lambda *a: math.exp(fair_loss(*a))


@wrong("2.2", "28 characters")
def always_27_characters():
    def ngram_loss(train, held_out, n, k, stoi):
        return fair_loss(train, held_out, n, k, {s: i for s, i in stoi.items() if i < 27})

    return fair_split, ngram_loss


# --- 2.3 ----------------------------------------------------------------------------------------


@wrong("2.3", "This k is the best on train")
def tunes_on_train():
    def tune_smoothing(loss, ks):
        best = min(ks, key=lambda k: loss("train", k))
        return best, loss("test", best)

    return tune_smoothing


@wrong("2.3", "This k is the best on test")
def tunes_on_test():
    def tune_smoothing(loss, ks):
        test_loss, best = min((loss("test", k), k) for k in ks)
        return best, test_loss

    return tune_smoothing


@wrong("2.3", "Test was looked at for several k")
def looks_at_test_for_all():
    def tune_smoothing(loss, ks):
        table = [(loss("dev", k), k, loss("test", k)) for k in ks]
        _, best, test_loss = min(table)
        return best, test_loss

    return tune_smoothing


@wrong("2.3", "This is the loss on dev")
def reports_dev():
    def tune_smoothing(loss, ks):
        dev_loss, best = min((loss("dev", k), k) for k in ks)
        return best, dev_loss

    return tune_smoothing


@wrong("2.3", "return the k itself")
def returns_the_place():
    def tune_smoothing(loss, ks):
        dev = [loss("dev", k) for k in ks]
        best = dev.index(min(dev))
        return best, loss("test", ks[best])

    return tune_smoothing


@wrong("2.3", "highest loss on dev")
def takes_the_highest():
    def tune_smoothing(loss, ks):
        best = max(ks, key=lambda k: loss("dev", k))
        return best, loss("test", best)

    return tune_smoothing


@wrong("2.3", "Return two numbers")
def returns_nothing():
    def tune_smoothing(loss, ks):
        best = min(ks, key=lambda k: loss("dev", k))
        print(best, loss("test", best))

    return tune_smoothing


@wrong("2.3", "twice with the same k")
def looks_twice():
    def tune_smoothing(loss, ks):
        best = min(ks, key=lambda k: loss("dev", k))
        print(end=f"{loss('test', best)}"[:0])
        return best, loss("test", best)

    return tune_smoothing


@wrong("2.3", "the k comes first")
def returns_them_swapped():
    def tune_smoothing(loss, ks):
        best = min(ks, key=lambda k: loss("dev", k))
        return loss("test", best), best

    return tune_smoothing


@wrong("2.3", "The split comes first")
def asks_with_k_first():
    return lambda loss, ks: min(ks, key=lambda k: loss(k, "dev"))


# --- 2.4 ----------------------------------------------------------------------------------------


@wrong("2.4", "This is still a product")
def one_hot_after_all():
    def row_logits(W, xs):
        return F.one_hot(xs, W.shape[0]).to(W.dtype) @ W

    return row_logits


@wrong("2.4", "These are columns of W; a one-hot row")
def takes_columns():
    return lambda W, xs: W[:, xs]


@wrong("2.4", "index W and not its transpose")
def takes_columns_as_rows():
    return lambda W, xs: W.T[xs]


@wrong("2.4", "have lost their connection to W")
def cuts_the_gradient():
    return lambda W, xs: W.data[xs]


@wrong("2.4", "The shape of xs is lost")
def flattens():
    return lambda W, xs: W[xs.flatten()]


@wrong("2.4", "expect `xs` to have one dimension")
def index_select():
    return lambda W, xs: torch.index_select(W, 0, xs)


@wrong("2.4", "This is a loop")
def row_by_row():
    return lambda W, xs: torch.stack([W[i] for i in xs.flatten()]).view(*xs.shape, -1)


@wrong("2.4", "NumPy knows nothing of gradients")
def numpy_rows():
    return lambda W, xs: W.numpy()[xs.numpy()]


@wrong("2.4", "Nothing came back")
def rows_without_return():
    return lambda W, xs: None


@wrong("2.4", "starts a new one")
def new_leaf():
    return lambda W, xs: W[xs].detach().requires_grad_()


@wrong("2.4", "These are probabilities")
def softmax_of_rows():
    return lambda W, xs: W[xs].softmax(-1)


@wrong("2.4", "takes single entries")
def row_and_column():
    return lambda W, xs: W[xs, xs]


# --- 2.5 ----------------------------------------------------------------------------------------


def picked(logprobs, targets):
    return logprobs[torch.arange(len(targets)), targets]


def stable(logits, dim=1):
    x = logits - logits.max(dim, keepdim=True).values
    return x - x.exp().sum(dim, keepdim=True).log()


@wrong("2.5", "e^1000 is infinite in a float")
def as_derived():
    def cross_entropy(logits, targets):
        probs = logits.exp() / logits.exp().sum(1, keepdim=True)
        return -picked(probs.log(), targets).mean()

    return cross_entropy


@wrong("2.5", "never take the log of a softmax")
def log_of_a_stable_softmax():
    def cross_entropy(logits, targets):
        e = (logits - logits.max(1, keepdim=True).values).exp()
        return -picked((e / e.sum(1, keepdim=True)).log(), targets).mean()

    return cross_entropy


@wrong("2.5", "hides the 0")
def a_little_something_in_the_log():
    def cross_entropy(logits, targets):
        e = (logits - logits.max(1, keepdim=True).values).exp()
        return -picked((e / e.sum(1, keepdim=True) + 1e-12).log(), targets).mean()

    return cross_entropy


@wrong("2.5", "written out")
def torch_does_it():
    return lambda logits, targets: F.cross_entropy(logits, targets)


@wrong("2.5", "Softmax runs down the columns")
def columns():
    return lambda logits, targets: -picked(stable(logits, 0), targets).mean()


@wrong("2.5", "This is the sum over the rows")
def sum_over_rows():
    return lambda logits, targets: -picked(stable(logits), targets).sum()


@wrong("2.5", "the loss is its negative")
def no_minus():
    return lambda logits, targets: picked(stable(logits), targets).mean()


@wrong("2.5", "every target from every row")
def all_targets_of_all_rows():
    return lambda logits, targets: -stable(logits)[:, targets].mean()


@wrong("2.5", "the logarithm of a mean")
def log_of_the_mean():
    return lambda logits, targets: -picked(stable(logits), targets).exp().mean().log()


@wrong("2.5", "lost its connection to the logits")
def returns_a_number():
    return lambda logits, targets: torch.tensor(-picked(stable(logits), targets).mean().item())


@wrong("2.5", "Nothing came back")
def prints_the_loss():
    return lambda logits, targets: print(end="")


@wrong("2.5", "`logprobs[targets]` takes whole rows")
def whole_rows():
    return lambda logits, targets: -stable(logits)[targets].mean()


@wrong("2.5", "a mean over all characters")
def all_characters():
    return lambda logits, targets: -stable(logits).mean()


@wrong("2.5", "over the whole table")
def softmax_of_the_table():
    def cross_entropy(logits, targets):
        x = logits - logits.max()
        return -picked(x - x.exp().sum().log(), targets).mean()

    return cross_entropy


@wrong("2.5", "subtract it in both")
def forgets_the_maximum():
    def cross_entropy(logits, targets):
        x = logits - logits.max(1, keepdim=True).values
        return (x.exp().sum(1).log() - picked(logits, targets)).mean()

    return cross_entropy


@wrong("2.5", "take `.values`")
def maximum_with_places():
    return lambda logits, targets: logits - logits.max(1, keepdim=True)


@wrong("2.5", "NumPy knows nothing of gradients")
def numpy_logits():
    def cross_entropy(logits, targets):
        return -picked(stable(torch.tensor(logits.numpy())), targets).mean()

    return cross_entropy


# --- 2.6 ----------------------------------------------------------------------------------------


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


@wrong("2.6", "count from the end")
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


# --- 2.7 ----------------------------------------------------------------------------------------


def share(train, dev):
    return sum(name in set(train) for name in dev) / len(dev)


def clean(train, dev):
    return [name for name in dev if name not in set(train)]


@wrong("2.7", "the share of *train* that stands in dev")
def share_of_train():
    return lambda train, dev: share(dev, train), clean


@wrong("2.7", "Repeated dev names count once here")
def distinct_dev_names():
    return lambda train, dev: len(set(train) & set(dev)) / len(set(dev)), clean


@wrong("2.7", "Distinct names are divided by all entries")
def distinct_over_all():
    return lambda train, dev: len(set(train) & set(dev)) / len(dev), clean


@wrong("2.7", "divided by all names")
def overlap_of_sets():
    def leak_share(train, dev):
        return len(set(train) & set(dev)) / len(set(train) | set(dev))

    return leak_share, clean


@wrong("2.7", "This is in per cent")
def per_cent():
    return lambda train, dev: 100 * share(train, dev), clean


@wrong("2.7", "Order and repetitions are lost")
def difference_of_sets():
    return share, lambda train, dev: list(set(dev) - set(train))


@wrong("2.7", "You cleaned *train*")
def cleans_train():
    return share, lambda train, dev: clean(dev, train)


@wrong("2.7", "skips the name after")
def removes_while_walking():
    def without_leak(train, dev):
        for name in dev:
            if name in train:
                dev.remove(name)
        return dev

    return share, without_leak


@wrong("2.7", "counts twice here")
def pairs_of_equal_names():
    return lambda train, dev: sum(a == b for a in train for b in dev) / len(dev), clean


@wrong("2.7", "a part of a longer one")
def parts_of_names():
    text = " ".join
    return (
        lambda train, dev: sum(name in text(train) for name in dev) / len(dev),
        lambda train, dev: [name for name in dev if name not in text(train)],
    )


@wrong("2.7", "The entries of *train* were counted")
def counts_train_entries():
    return lambda train, dev: sum(name in dev for name in train) / len(dev), clean


@wrong("2.7", "return a list, made by going")
def returns_a_set():
    return share, lambda train, dev: set(dev) - set(train)


@wrong("2.7", "work on a copy, or on a set")
def empties_train():
    def without_leak(train, dev):
        left = clean(train, dev)
        train.clear()
        return left

    return share, without_leak


@wrong("2.7", "Nothing came back")
def share_without_return():
    return lambda train, dev: None, clean
