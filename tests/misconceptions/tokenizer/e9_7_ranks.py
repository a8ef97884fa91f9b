"""Wrong answers to 9.7, GPT-4's merges."""

from misconceptions import wrong


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
