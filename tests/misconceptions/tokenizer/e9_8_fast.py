"""Wrong answers to 9.8, the fast trainer."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from misconceptions import wrong
from misconceptions.tokenizer.e9_2_pair import merge
from misconceptions.tokenizer.e9_3_train import learn


def quick(
    chunks, n_merges, often=True, fresh=True, stale=False, choose=None, weighed=True, noted=True
):
    distinct = Counter(chunks)
    words = [list(word.encode()) for word in distinct]
    times = list(distinct.values()) if often else [1] * len(words)
    choose = choose or (lambda c: min(c, key=lambda p: (-c[p], p)))
    counts, where = Counter(), {}
    for i, word in enumerate(words):
        for pair in pairwise(word):
            counts[pair] += times[i]
            where.setdefault(pair, set()).add(i)
    merges = []
    while counts and len(merges) < n_merges:
        pair = choose(counts)
        for i in where.pop(pair) if noted else where.get(pair, ()):
            before = Counter(pairwise(words[i]))
            words[i] = merge(words[i], pair, 256 + len(merges))
            after = Counter(pairwise(words[i]))
            for p in before | after:
                change = after[p] - before[p]
                if (change > 0 and not fresh) or (change < 0 and stale and p != pair):
                    continue
                counts[p] += change * (times[i] if weighed else 1)
                if noted:
                    where.setdefault(p, set()).add(i)
        if noted:
            del counts[pair]
        counts = +counts
        merges.append(pair)
    return merges


@wrong("9.8", "touch only the words")
def naive():
    return learn


@wrong("9.8", "Each distinct chunk was counted once")
def words_counted_once():
    return lambda *given: quick(*given, often=False)


@wrong("9.8", "pairs that a merge makes were not counted")
def no_new_pairs():
    return lambda *given: quick(*given, fresh=False)


@wrong("9.8", "pairs that a merge breaks were still counted")
def stale_counts():
    return lambda *given: quick(*given, stale=True)


@wrong("9.8", "the highest was taken")
def highest_of_equals():
    return lambda *given: quick(*given, choose=lambda c: max(c, key=lambda p: (c[p], p)))


@wrong("9.8", "the one met first was taken")
def first_of_equals():
    return lambda chunks, n: learn(chunks, n, choose=lambda c: max(c, key=c.get))


def of_small_texts(train):
    """An answer that leaves the megabyte out, so that a test of its mistake is quick."""
    return lambda chunks, n: train(chunks, n) if len(chunks) < 1000 else []


@wrong("9.8", "both occur")
def longest_known_of_equals():
    return of_small_texts(lambda *given: quick(*given, choose=lambda c: max(c, key=c.get)))


@wrong("9.8", "a pair that occurs once is merged too")
def stops_at_one():
    return of_small_texts(lambda *given: learn(*given, least=2))


@wrong("9.8", "from one chunk into the next")
def across_chunks():
    return of_small_texts(lambda chunks, n: learn(["".join(chunks)], n))


@wrong("9.8", "One merge is missing")
def one_too_few():
    return of_small_texts(lambda chunks, n: quick(chunks, n - 1))


@wrong("9.8", "Neither a thread nor a process")
def in_a_thread():
    def elsewhere(chunks, n):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(learn, chunks, n).result()

    return elsewhere


@wrong("9.8", "a word's pairs were counted once")
def changes_counted_once_a_word():
    return of_small_texts(lambda *given: quick(*given, weighed=False))


@wrong("9.8", "A pair was chosen twice")
def words_of_new_pairs_not_noted():
    return of_small_texts(lambda *given: quick(*given, noted=False))


@wrong("9.8", "A pair was looked up that the dict lacks")
def goes_on_with_counts_of_zero():
    def train(chunks, n_merges):
        words = [list(chunk.encode()) for chunk in chunks]
        counts, where, merges = Counter(), {}, []
        for i, word in enumerate(words):
            for pair in pairwise(word):
                counts[pair] += 1
                where.setdefault(pair, set()).add(i)
        while counts and len(merges) < n_merges:
            pair = min(counts, key=lambda p: (-counts[p], p))
            for i in where.pop(pair):
                counts.subtract(pairwise(words[i]))
                words[i] = merge(words[i], pair, 256 + len(merges))
                for p in pairwise(words[i]):
                    counts[p] += 1
                    where.setdefault(p, set()).add(i)
            merges.append(pair)
        return merges

    return of_small_texts(train)


@wrong("9.8", "Rounds went on where no pair was left")
def padded():
    return of_small_texts(lambda chunks, n: (quick(chunks, n) + [(0, 0)] * n)[:n])


@wrong("9.8", "The first new token is 257")
def new_tokens_from_257():
    return of_small_texts(lambda *given: learn(*given, new=257))


@wrong("9.8", "merges of characters")
def characters():
    return of_small_texts(
        lambda *given: learn(*given, octets=lambda chunk: [ord(c) for c in chunk])
    )


@wrong("9.8", "What an earlier call returned")
def kept_from_call_to_call():
    merges = []

    def train(chunks, n):
        merges.extend(quick(chunks, n))
        return merges

    return of_small_texts(train)
