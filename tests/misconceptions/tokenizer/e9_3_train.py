"""Wrong answers to 9.3, training a vocabulary."""

from collections import Counter
from itertools import pairwise
from unicodedata import normalize

from misconceptions import wrong
from misconceptions.tokenizer.e9_2_pair import count_pairs, merge


def learn(
    chunks,
    n_merges,
    octets=lambda chunk: list(chunk.encode()),
    choose=lambda counts: min(counts, key=lambda pair: (-counts[pair], pair)),
    count=count_pairs,
    new=256,
    least=1,
    join=merge,
    counter=Counter,
):
    parts, merges = [octets(chunk) for chunk in chunks], []
    for i in range(n_merges):
        counts = counter()
        for part in parts:
            counts.update(count(part))
        if not counts or max(counts.values()) < least:
            break
        pair = choose(counts)
        parts = [join(part, pair, new + i) for part in parts]
        merges.append(pair)
    return merges


def without_its_last(ids, pair, new):
    """Merge, and forget a token behind which nothing stands."""
    out, i = [], 0
    while i < len(ids) - 1:
        out.append(new if (ids[i], ids[i + 1]) == pair else ids[i])
        i += 2 if out[-1] == new else 1
    return out


@wrong("9.3", "the first that was met was taken")
def first_of_equals():
    return lambda *given: learn(*given, choose=lambda counts: max(counts, key=counts.get))


@wrong("9.3", "the highest was taken")
def highest_of_equals():
    return lambda *given: learn(*given, choose=lambda c: max(c, key=lambda p: (c[p], p)))


@wrong("9.3", "merges of characters")
def characters():
    return lambda *given: learn(*given, octets=lambda chunk: [ord(c) for c in chunk])


@wrong("9.3", "from one chunk into the next")
def across_chunks():
    return lambda chunks, n: learn(["".join(chunks)], n)


@wrong("9.3", "that occurs twice was counted once")
def distinct_chunks_only():
    return lambda chunks, n: learn(list(dict.fromkeys(chunks)), n)


@wrong("9.3", "The first new token is 257")
def new_tokens_from_257():
    return lambda *given: learn(*given, new=257)


@wrong("9.3", "Pairs that overlap were counted once")
def overlaps_counted_once():
    def apart(ids):
        counts, last = Counter(), {}
        for i, pair in enumerate(pairwise(ids)):
            if last.get(pair, -9) != i - 1:
                counts[pair] += 1
                last[pair] = i
        return counts

    return lambda *given: learn(*given, count=apart)


@wrong("9.3", "a pair that occurs once is merged too")
def stops_at_one():
    return lambda *given: learn(*given, least=2)


@wrong("9.3", "not the size of the vocabulary")
def size_of_the_vocabulary():
    return lambda chunks, n: learn(chunks, n - 256)


@wrong("9.3", "count anew in every round")
def counted_once():
    def train(chunks, n):
        counts = Counter()
        for chunk in chunks:
            counts.update(count_pairs(list(chunk.encode())))
        return sorted(counts, key=lambda pair: (-counts[pair], pair))[:n]

    return train


@wrong("9.3", "No pair was left")
def raises_at_the_end():
    def train(chunks, n):
        parts, merges = [list(chunk.encode()) for chunk in chunks], []
        for i in range(n):
            counts = Counter()
            for part in parts:
                counts.update(count_pairs(part))
            pair = min(counts, key=lambda pair: (-counts[pair], pair))
            parts = [merge(part, pair, 256 + i) for part in parts]
            merges.append(pair)
        return merges

    return train


@wrong("9.3", "the last that was met was taken")
def last_of_equals():
    return lambda *given: learn(*given, choose=lambda c: max(reversed(list(c)), key=c.get))


@wrong("9.3", "the lowest as text was taken")
def lowest_as_text():
    return lambda *given: learn(*given, choose=lambda c: min(c, key=lambda p: (-c[p], str(p))))


@wrong("9.3", "with the lowest right token")
def lowest_right_token():
    return lambda *given: learn(*given, choose=lambda c: min(c, key=lambda p: (-c[p], p[::-1])))


@wrong("9.3", "both occur")
def lowest_sum():
    return lambda *given: learn(*given, choose=lambda c: min(c, key=lambda p: (-c[p], sum(p))))


@wrong("9.3", "Capitals were made small")
def small_letters():
    return lambda *given: learn(*given, octets=lambda chunk: list(chunk.lower().encode()))


@wrong("9.3", "don't normalise")
def normalised():
    return lambda *given: learn(*given, octets=lambda c: list(normalize("NFC", c).encode()))


@wrong("9.3", "without `strip`")
def stripped():
    return lambda *given: learn(*given, octets=lambda chunk: list(chunk.strip().encode()))


@wrong("9.3", "add its count, not 1")
def pairs_once_a_chunk():
    return lambda *given: learn(*given, count=lambda ids: Counter(set(pairwise(ids))))


@wrong("9.3", "One merge is missing")
def one_too_few():
    return lambda chunks, n: learn(chunks, n - 1)


@wrong("9.3", "One merge too many")
def one_too_many():
    return lambda chunks, n: learn(chunks, n + 1)


@wrong("9.3", "in the order of merging, unsorted")
def merges_sorted():
    return lambda *given: sorted(learn(*given))


@wrong("9.3", "None was put into the list")
def none_at_the_end():
    return lambda chunks, n: (learn(chunks, n) + [None] * n)[:n]


@wrong("9.3", "`(left, right)` each")
def triples():
    return lambda *given: [(a, b, 256 + i) for i, (a, b) in enumerate(learn(*given))]


@wrong("9.3", "The rarest pair was merged")
def rarest():
    return lambda *given: learn(*given, choose=lambda c: min(c, key=lambda p: (c[p], p)))


@wrong("9.3", "The first new token is 255")
def new_tokens_from_255():
    return lambda *given: learn(*given, new=255)


@wrong("9.3", "The counts of earlier rounds were kept")
def one_counter_for_all_rounds():
    def train(*given):
        counts = Counter()
        return learn(*given, counter=lambda: counts)

    return train


@wrong("9.3", "as `update` of a dict has it")
def counts_in_a_dict():
    return lambda *given: learn(*given, counter=dict)


@wrong("9.3", "The merge lost the last token")
def last_token_lost():
    return lambda *given: learn(*given, join=without_its_last)


@wrong("9.3", "Only the first place in a chunk")
def first_place_only():
    def once(ids, pair, new):
        for i in range(len(ids) - 1):
            if (ids[i], ids[i + 1]) == pair:
                return [*ids[:i], new, *ids[i + 2 :]]
        return ids

    return lambda *given: learn(*given, join=once)


@wrong("9.3", "Of three equal tokens the last two")
def from_the_right():
    return lambda *given: learn(
        *given, join=lambda ids, pair, new: merge(ids[::-1], pair[::-1], new)[::-1]
    )


@wrong("9.3", "does `return` stand inside the loop?")
def one_round():
    return lambda chunks, n: learn(chunks, min(n, 1))


@wrong("9.3", "What an earlier call returned")
def kept_from_call_to_call():
    merges = []

    def train(chunks, n):
        merges.extend(learn(chunks, n))
        return merges

    return train


@wrong("9.3", "Rounds went on where no pair was left")
def padded():
    return lambda chunks, n: (learn(chunks, n) + [(0, 0)] * n)[:n]
