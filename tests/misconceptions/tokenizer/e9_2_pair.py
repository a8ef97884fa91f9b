"""Wrong answers to 9.2, counting pairs and merging one."""

from collections import Counter
from itertools import pairwise

from misconceptions import wrong


def count_pairs(ids):
    return dict(Counter(pairwise(ids)))


def merge(ids, pair, new):
    out, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out


@wrong("9.2", "at two places that overlap")
def runs_counted_without_overlap():
    def count_apart(ids):
        counts, i, last = {}, 0, {}
        for i, pair in enumerate(pairwise(ids)):
            if last.get(pair, -9) != i - 1:
                counts[pair] = counts.get(pair, 0) + 1
                last[pair] = i
        return counts

    return count_apart, merge


@wrong("9.2", "The last pair is missing")
def last_pair_forgotten():
    return (lambda ids: count_pairs(ids[:-1])), merge


@wrong("9.2", "which goes round")
def list_goes_round():
    return (lambda ids: Counter((ids[i - 1], ids[i]) for i in range(len(ids)))), merge


@wrong("9.2", "always with a count of 1")
def pairs_as_a_set():
    return (lambda ids: dict.fromkeys(pairwise(ids), 1)), merge


@wrong("9.2", "(a, b) and (b, a) are two pairs")
def pairs_sorted():
    def count_sorted(ids):
        return Counter(tuple(sorted(pair)) for pair in pairwise(ids))

    return count_sorted, merge


@wrong("9.2", "one that occurs once counts too")
def pairs_that_occur_twice_only():
    return (lambda ids: {p: n for p, n in count_pairs(ids).items() if n > 1}), merge


@wrong("9.2", "(a, a) is missing")
def equal_tokens_are_no_pair():
    return (lambda ids: {p: n for p, n in count_pairs(ids).items() if p[0] != p[1]}), merge


@wrong("9.2", "`(a, b)`, and their count as its value")
def a_list_for_a_dict():
    return (lambda ids: list(count_pairs(ids).items())), merge


@wrong("9.2", "Only every second pair was counted")
def every_second_pair():
    return (lambda ids: Counter(zip(ids[::2], ids[1::2], strict=False))), merge


@wrong("9.2", "begin each call with a new dict")
def counts_of_all_calls():
    counts = Counter()

    def count_on(ids):
        counts.update(pairwise(ids))
        return dict(counts)

    return count_on, merge


@wrong("9.2", "go through it without `pop`")
def list_emptied():
    def pop(ids):
        counts = count_pairs(ids)
        del ids[1:]
        return counts

    return pop, merge


@wrong("9.2", "The last token is lost")
def last_token_lost():
    def lose(ids, pair, new):
        out, i = [], 0
        while i < len(ids) - 1:
            if (ids[i], ids[i + 1]) == pair:
                out.append(new)
                i += 2
            else:
                out.append(ids[i])
                i += 1
        return out

    return count_pairs, lose


@wrong("9.2", "at the very end of the list")
def pair_at_the_end_left():
    def leave(ids, pair, new):
        return merge(ids[:-2], pair, new) + ids[-2:]

    return count_pairs, leave


@wrong("9.2", "A run of equal tokens became one")
def runs_become_one():
    def swallow(ids, pair, new):
        out, i = [], 0
        while i < len(ids):
            if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
                out.append(new)
                i += 2
                while pair[0] == pair[1] and i < len(ids) and ids[i] == pair[0]:
                    i += 1
            else:
                out.append(ids[i])
                i += 1
        return out

    return count_pairs, swallow


@wrong("9.2", "go from the left to the right")
def from_the_right():
    return count_pairs, lambda ids, pair, new: merge(ids[::-1], pair[::-1], new)[::-1]


@wrong("9.2", "Only the first place was merged")
def first_place_only():
    def once(ids, pair, new):
        for i in range(len(ids) - 1):
            if (ids[i], ids[i + 1]) == pair:
                return [*ids[:i], new, *ids[i + 2 :]]
        return list(ids)

    return count_pairs, once


@wrong("9.2", "Only the first token of the pair was compared")
def first_token_compared():
    def half(ids, pair, new):
        out, i = [], 0
        while i < len(ids):
            if i + 1 < len(ids) and ids[i] == pair[0]:
                out.append(new)
                i += 2
            else:
                out.append(ids[i])
                i += 1
        return out

    return count_pairs, half


@wrong("9.2", "move on by two after a merge")
def moves_on_by_one():
    def keep(ids, pair, new):
        return [new if tuple(ids[i : i + 2]) == pair else t for i, t in enumerate(ids)]

    return count_pairs, keep


@wrong("9.2", "changed the list that it was given")
def in_place():
    def change(ids, pair, new):
        i = 0
        while i < len(ids) - 1:
            if (ids[i], ids[i + 1]) == pair:
                ids[i : i + 2] = [new]
            i += 1
        return ids

    return count_pairs, change


@wrong("9.2", "`12 5` stands in `112 5` too")
def numbers_as_text():
    def replace(ids, pair, new):
        text = " ".join(map(str, ids)).replace(f"{pair[0]} {pair[1]}", str(new))
        return [int(word) for word in text.split()]

    return count_pairs, replace


@wrong("9.2", "(b, a) was merged as well")
def either_order():
    def merge_both(ids, pair, new):
        out, i = [], 0
        while i < len(ids):
            if i + 1 < len(ids) and sorted(ids[i : i + 2]) == sorted(pair):
                out.append(new)
                i += 2
            else:
                out.append(ids[i])
                i += 1
        return out

    return count_pairs, merge_both


@wrong("9.2", "the left token comes first")
def swapped():
    return count_pairs, lambda ids, pair, new: merge(ids, pair[::-1], new)


@wrong("9.2", "had just been written was merged again")
def merged_again():
    def onto_the_last(ids, pair, new):
        out = []
        for token in ids:
            if out and (out[-1], token) == pair:
                out[-1] = new
            else:
                out.append(token)
        return out

    return count_pairs, onto_the_last
