"""Wrong answers to 9.7, GPT-4's merges."""

from misconceptions import wrong


def guess(best):
    """Of all cuts into two older tokens the best, by the ranks of both parts."""

    def recover(ranks):
        merges = {}
        for token, rank in ranks.items():
            parts = [(token[:i], token[i:]) for i in range(1, len(token))]
            older = [(ranks[a], ranks[b]) for a, b in parts if a in ranks and b in ranks]
            older = [both for both in older if max(both) < rank]
            if older:
                merges[min(older, key=best)] = rank
        return merges

    return recover


def bpe(ranks, token, limit=float("inf")):
    parts = [bytes([b]) for b in token]
    while len(parts) > 1:
        best = min(
            range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], float("inf"))
        )
        if ranks.get(parts[best] + parts[best + 1], float("inf")) >= limit:
            break
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts


def recover(ranks, own=lambda ranks, part: ranks[part]):
    merges = {}
    for token, rank in ranks.items():
        if len(token) > 1:
            left, right = bpe(ranks, token, rank)
            merges[own(ranks, left), own(ranks, right)] = rank
    return merges


def encode(chunk, ranks, byte=lambda ranks, b: ranks[bytes([b])]):
    parts = bpe(ranks, chunk.encode())
    return [ranks[p] if len(p) > 1 else byte(ranks, p[0]) for p in parts]


def cut(ranks, longest):
    merges = {}
    for token, rank in ranks.items():
        for i in range(len(token) - 1, 0, -1) if longest else range(1, len(token)):
            a, b = ranks.get(token[:i], rank), ranks.get(token[i:], rank)
            if max(a, b) < rank:
                merges[a, b] = rank
                break
    return merges


@wrong("9.7", "a token's own rank is the limit")
def no_limit():
    def whole(ranks):
        merges = {}
        for token, rank in ranks.items():
            if len(token) > 1:
                left, right = bpe(ranks, token, rank + 1)
                merges[ranks[left], ranks[right]] = rank
        return merges

    return whole, encode


@wrong("9.7", "cut after the longest older token")
def longest_prefix():
    return (lambda ranks: cut(ranks, True)), encode


@wrong("9.7", "at the first place where both parts are tokens")
def shortest_prefix():
    return (lambda ranks: cut(ranks, False)), encode


@wrong("9.7", "stand for themselves here: their ids are their ranks")
def not_shuffled():
    return (lambda r: recover(r, lambda r, p: r[p] if len(p) > 1 else p[0])), encode


@wrong("9.7", "The two parts are in the wrong order")
def right_before_left():
    return (lambda ranks: {(b, a): new for (a, b), new in recover(ranks).items()}), encode


@wrong("9.7", "counting starts at 256")
def counted_from_zero():
    return (lambda ranks: {pair: new - 256 for pair, new in recover(ranks).items()}), encode


@wrong("9.7", "The bytes that are left stand for themselves")
def bytes_not_shuffled():
    return recover, lambda chunk, ranks: encode(chunk, ranks, lambda ranks, b: b)


@wrong("9.7", "applied backwards")
def shuffled_backwards():
    def backwards(ranks, b):
        return next(token[0] for token, rank in ranks.items() if rank == b)

    return recover, lambda chunk, ranks: encode(chunk, ranks, backwards)


@wrong("9.7", "shuffled twice")
def shuffled_twice():
    def twice(ranks, b):
        return ranks[bytes([ranks[bytes([b])]])]

    return recover, lambda chunk, ranks: encode(chunk, ranks, twice)


@wrong("9.7", "The longest token was taken at each place")
def greedy():
    def longest(chunk, ranks):
        data, ids = chunk.encode(), []
        while data:
            n = next(n for n in range(len(data), 0, -1) if data[:n] in ranks)
            ids.append(ranks[data[:n]])
            data = data[n:]
        return ids

    return recover, longest


@wrong("9.7", "its keys are bytes")
def str_for_bytes():
    return recover, lambda chunk, ranks: [ranks[c] for c in chunk]


@wrong("9.7", "whose younger part is oldest")
def smallest_youngest_part():
    return guess(max), encode


@wrong("9.7", "the smallest sum of ranks")
def smallest_sum():
    return guess(sum), encode


@wrong("9.7", "with the youngest part was guessed")
def youngest_part():
    return guess(lambda both: -max(both)), encode


@wrong("9.7", "A token's place in the dict")
def place_for_rank():
    def recover_places(ranks):
        place = {token: i for i, token in enumerate(ranks)}
        named = {rank: place[token] for token, rank in ranks.items()}
        return {pair: named[rank] for pair, rank in recover(ranks).items()}

    return recover_places, encode


@wrong("9.7", "The order of the dict was taken")
def order_of_the_dict():
    def by_place(chunk, ranks):
        parts = bpe({token: i for i, token in enumerate(ranks)}, chunk.encode())
        return [ranks[part] for part in parts]

    return recover, by_place


@wrong("9.7", "whatever their place in the dict")
def older_ones_by_their_place():
    def in_order(ranks):
        merges, older = {}, {}
        for token, rank in ranks.items():
            if len(token) > 1:
                left, right = bpe(older, token)
                merges[ranks[left], ranks[right]] = rank
            older[token] = rank
        return merges

    return in_order, encode


@wrong("9.7", "a token of two bytes has two parts, too")
def two_bytes_left_out():
    def longer(ranks):
        return {pair: rank for pair, rank in recover(ranks).items() if max(pair) > 255}

    return longer, encode


@wrong("9.7", "Single bytes were made of nothing")
def single_bytes_too():
    def every(ranks):
        single = {(rank,): rank for token, rank in ranks.items() if len(token) == 1}
        return recover(ranks) | single

    return every, encode


@wrong("9.7", "the wrong way round")
def pairs_of_tokens():
    return (lambda ranks: {new: pair for pair, new in recover(ranks).items()}), encode


@wrong("9.7", "The parts stand there as bytes")
def parts_as_bytes():
    def parts(ranks):
        return {tuple(bpe(ranks, t, rank)): rank for t, rank in ranks.items() if len(t) > 1}

    return parts, encode


@wrong("9.7", "`merges[left, right] = new`")
def list_of_triples():
    return (lambda ranks: [(*pair, new) for pair, new in recover(ranks).items()]), encode


@wrong("9.7", "The leftmost two that make a token")
def leftmost_first():
    def leftmost(chunk, ranks):
        parts = [bytes([b]) for b in chunk.encode()]
        i = 0
        while i < len(parts) - 1:
            if parts[i] + parts[i + 1] in ranks:
                parts[i : i + 2] = [parts[i] + parts[i + 1]]
                i = 0
            else:
                i += 1
        return [ranks[part] for part in parts]

    return recover, leftmost


@wrong("9.7", "or their leftmost two were joined first")
def leftmost_two():
    def leftmost(ranks):
        merges = {}
        for token, rank in ranks.items():
            parts = [bytes([b]) for b in token]
            while len(parts) > 2:
                both = [parts[i] + parts[i + 1] for i in range(len(parts) - 1)]
                known = [i for i, b in enumerate(both) if ranks.get(b, rank) < rank]
                if not known:
                    break
                parts[known[0] : known[0] + 2] = [both[known[0]]]
            if len(parts) == 2:
                merges[ranks[parts[0]], ranks[parts[1]]] = rank
        return merges

    return leftmost, encode


@wrong("9.7", "merges of that rank or above are not made")
def own_rank_too():
    def too_far(ranks):
        parts = {t: bpe(ranks, t, rank + 1) for t, rank in ranks.items() if len(t) > 1}
        return {tuple(ranks[p] for p in both): ranks[t] for t, both in parts.items()}

    return too_far, encode


@wrong("9.7", "Tokens are missing, 1 of")
def from_257_on():
    def later(ranks):
        return {pair: new for pair, new in recover(ranks).items() if new > 256}

    return later, encode


@wrong("9.7", "Something of an earlier call")
def kept_from_call_to_call():
    merges = {}

    def keep(ranks):
        merges.update(recover(ranks))
        return merges

    return keep, encode


@wrong("9.7", "No two neighbours were left")
def goes_on_with_one_part():
    def endless(chunk, ranks):
        parts = [bytes([b]) for b in chunk.encode()]
        while True:
            pairs = [(ranks.get(parts[i] + parts[i + 1], 1e9), i) for i in range(len(parts) - 1)]
            rank, i = min(pairs)
            if rank == 1e9:
                return [ranks[part] for part in parts]
            parts[i : i + 2] = [parts[i] + parts[i + 1]]

    return recover, endless


@wrong("9.7", "begin with single bytes")
def whole_characters():
    return recover, lambda chunk, ranks: [ranks[c.encode()] for c in chunk]


@wrong("9.7", "The list holds the parts")
def parts_for_ids():
    return recover, lambda chunk, ranks: bpe(ranks, chunk.encode())


@wrong("9.7", "The youngest token was never made")
def limit_in_encoding():
    def limited(chunk, ranks):
        return [ranks[part] for part in bpe(ranks, chunk.encode(), max(ranks.values()))]

    return recover, limited


@wrong("9.7", "The rightmost two that make a token")
def rightmost_first():
    def rightmost(chunk, ranks):
        parts = [bytes([b]) for b in chunk.encode()]
        i = len(parts) - 2
        while i >= 0:
            if parts[i] + parts[i + 1] in ranks:
                parts[i : i + 2] = [parts[i] + parts[i + 1]]
                i = len(parts) - 1
            i -= 1
        return [ranks[part] for part in parts]

    return recover, rightmost
