"""Wrong answers to 2.2, names that were held back."""

import math
import random
from collections import Counter

import torch

from misconceptions import wrong


def cut(shuffled):
    a, b = int(0.8 * len(shuffled)), int(0.9 * len(shuffled))
    return shuffled[:a], shuffled[a:b], shuffled[b:]


def fair_split(words, generator):
    return cut([words[i] for i in torch.randperm(len(words), generator=generator).tolist()])


def grams(words, n):
    padded = ["." * (n - 1) + word + "." for word in words]
    return [text[i : i + n] for text in padded for i in range(len(text) - n + 1)]


def fair_loss(
    train,
    held_out,
    n,
    k,
    stoi,
    keepdim=True,
    sum_before=False,
    log=math.log,
    axis=-1,
    dtype=torch.float64,
):
    N = torch.zeros((len(stoi),) * n, dtype=dtype)
    for gram in grams(train, n):
        N[tuple(stoi[s] for s in gram)] += 1
    N = N.double()
    total = (N if sum_before else N + k).sum(axis, keepdim=keepdim)
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
        return train, dev, test[: len(words) // 10]

    return split_words, fair_loss


@wrong("2.2", "dev must begin where train ends")
def a_tenth_for_dev():
    """Which loses a word where two cuts are rounded down."""

    def split_words(words, generator):
        train, dev, test = fair_split(words, generator)
        return train, dev[: int(0.1 * len(words))], test

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


@wrong("2.2", "turned round or sorted isn't shuffled")
def rotates():
    def split_words(words, generator):
        start = torch.randint(1, len(words), (1,), generator=generator).item()
        return cut(words[start:] + words[:start])

    return split_words, fair_loss


@wrong("2.2", "The boundary's number is taken to be 0")
def boundary_is_zero():
    def ngram_loss(train, held_out, n, k, stoi):
        return fair_loss(train, held_out, n, k, {**stoi, ".": 0})

    return fair_split, ngram_loss


@wrong("2.2", "You start another generator with this one's seed")
def seed_read_off():
    def split_words(words, generator):
        mine = list(words)
        random.Random(generator.initial_seed()).shuffle(mine)
        return cut(mine)

    return split_words, fair_loss


@wrong("2.2", "`int` rounds down")
def cuts_rounded():
    def split_words(words, generator):
        train, dev, test = fair_split(words, generator)
        mine, a, b = train + dev + test, round(0.8 * len(words)), round(0.9 * len(words))
        return mine[:a], mine[a:b], mine[b:]

    return split_words, fair_loss


@wrong("2.2", "This is rounded")
def loss_rounded():
    return fair_split, lambda *a: round(fair_loss(*a), 4)


@wrong("2.2", "adds over the first character")
def sums_over_the_first_character():
    return fair_split, lambda *a: fair_loss(*a, axis=0)


@wrong("2.2", "Dev is cut off before test")
def dev_and_test_swapped():
    def split_words(words, generator):
        train, dev, test = fair_split(words, generator)
        return train, test, dev

    return split_words, fair_loss


@wrong("2.2", "not their letters")
def letters_sorted():
    def split_words(words, generator):
        return fair_split(["".join(sorted(word)) for word in words], generator)

    return split_words, fair_loss


@wrong("2.2", "stands twice in `held_out`")
def a_set_of_held_out_words():
    def ngram_loss(train, held_out, *given):
        return fair_loss(train, sorted(set(held_out)), *given)

    return fair_split, ngram_loss


@wrong("2.2", "stands twice in `train`")
def a_set_of_train_words():
    return fair_split, lambda train, *given: fair_loss(sorted(set(train)), *given)


@wrong("2.2", "A count above 255")
def counted_in_8_bits():
    return fair_split, lambda *given: fair_loss(*given, dtype=torch.uint8)


@wrong("2.2", "divides 0 by 0: what follows it")
def nan_where_nothing_was_seen():
    def ngram_loss(train, held_out, n, k, stoi):
        N = torch.full((len(stoi),) * n, k, dtype=torch.float64)
        for gram in grams(train, n):
            N[tuple(stoi[s] for s in gram)] += 1
        P = N / N.sum(-1, keepdim=True)
        found = [P[tuple(stoi[s] for s in gram)] for gram in grams(held_out, n)]
        return -torch.stack(found).log().mean().item()

    return fair_split, ngram_loss


@wrong("2.2", "was counted 0 times")
def divided_by_nothing():
    def ngram_loss(train, held_out, n, k, stoi):
        seen, contexts = Counter(grams(train, n)), Counter(gram[:-1] for gram in grams(train, n))
        losses = []
        for gram in grams(held_out, n):
            p = (seen[gram] + k) / (contexts[gram[:-1]] + k * len(stoi))
            losses.append(-math.log(p) if p else math.inf)
        return sum(losses) / len(losses)

    return fair_split, ngram_loss


@wrong("2.2", "something is kept from call to call")
def words_kept_between_calls():
    words = {}

    def ngram_loss(train, held_out, n, k, stoi):
        kept = words.setdefault((n, len(stoi)), [])
        kept += train
        return fair_loss(kept, held_out, n, k, stoi)

    return fair_split, ngram_loss


@wrong("2.2", "a boundary too many at each word")
def one_boundary_more_after():
    def ngram_loss(train, held_out, n, k, stoi):
        more = ([word + "." for word in words] for words in (train, held_out))
        return fair_loss(*more, n, k, stoi)

    return fair_split, ngram_loss


@wrong("2.2", "too, were left out")
def held_out_names_of_train_left_out():
    def ngram_loss(train, held_out, n, k, stoi):
        new = [name for name in held_out if name not in train]
        return fair_loss(train, new or held_out, n, k, stoi)

    return fair_split, ngram_loss
