"""Byte pairs, fast: learned from the counts that really change, and merged in n log n steps.

The plain loop of lecture 09 counts all pairs of the whole text anew for each token. Three remarks
make it a thousand times as fast, and change no result:

- most words stand in a text many times, so it is enough to work on each distinct chunk once and
  to weigh what happens in it by how often the chunk occurs;
- a merge changes counts only where it happens: around its places, which are kept in a list;
- the largest count need not be searched for. A heap gives the pair that was the best when it was
  put there. After the round that made its newer token a pair only gets rarer, and its first place
  only moves to the right; so a pair that still is what the heap says is the best of all, and one
  that isn't goes back with what it is now.

The paper: R. Sennrich and others, Neural Machine Translation of Rare Words with Subword Units
(2016). New against lecture 09's loop: nothing but speed.
"""

import heapq
from array import array
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import pairwise

TIES = ("first", "lowest")
LONG = 100  # bytes; above, a heap finds the next merge
NEVER = 2**62  # the number of what is no token


def learn_merges(
    chunks: Mapping[bytes, int],
    n_merges: int,
    ties: str = "first",
    each: Callable[[], object] = lambda: None,
) -> list[tuple[int, int]]:
    """Return up to `n_merges` pairs of tokens, in the order in which they are merged.

    `chunks` says how often each chunk of the text occurs, in the order in which they occur first;
    nothing is merged across chunks. The first 256 tokens are the bytes, and the pair of place i
    becomes token 256 + i. Of pairs that are equally frequent the one that stands first in the text
    is taken (`ties="first"`), or the one whose tokens have the lowest numbers (`"lowest"`). There
    are fewer merges where nothing is left to merge. `each` is called after each of them.
    """
    if ties not in TIES:
        raise ValueError(f"ties is {ties!r}; it must be 'first' or 'lowest'.")
    # All chunks one after the other, with −1 between them; a token that was merged into the one
    # before it becomes −1, too, and `after` and `before` leap over it.
    ids, weight = array("i", [-1]), array("q", [0])
    for chunk, count in chunks.items():
        if len(chunk) > 1:
            ids.extend(chunk)
            ids.append(-1)
            weight.extend([count] * (len(chunk) + 1))
    after = array("i", range(1, len(ids) + 1))
    before = array("i", range(-1, len(ids) - 1))
    counts: dict[tuple[int, int], int] = defaultdict(int)
    places: dict[tuple[int, int], array] = defaultdict(lambda: array("i"))
    for i in range(len(ids) - 1):
        if (a := ids[i]) >= 0 and (b := ids[i + 1]) >= 0:
            counts[a, b] += weight[i]
            places[a, b].append(i)

    def entry(pair):  # the smaller, the better
        if ties == "lowest":
            return -counts[pair], pair
        a, b = pair
        where = places[pair]
        gone = 0
        while ids[where[gone]] != a or ids[after[where[gone]]] != b:
            gone += 1
        del where[:gone]
        return -counts[pair], where[0], pair

    heap = [entry(pair) for pair in counts]
    heapq.heapify(heap)
    merges = []
    while heap and len(merges) < n_merges:
        pair = heap[0][-1]
        if not counts[pair]:
            heapq.heappop(heap)
            continue
        if (now := entry(pair)) != heap[0]:
            heapq.heapreplace(heap, now)
            continue
        heapq.heappop(heap)
        new = 256 + len(merges)
        merges.append(pair)
        a, b = pair
        made = {}  # the new token's pairs, in order
        for i in places.pop(pair):
            j = after[i]
            if ids[i] != a or ids[j] != b:
                continue  # another merge took one of them, as in "aaa"
            left, right, times = before[i], after[j], weight[i]
            ids[i], ids[j] = new, -1
            after[i], before[right] = right, i
            if (c := ids[left]) >= 0:
                counts[c, a] -= times
                counts[c, new] += times
                places[c, new].append(left)
                made[c, new] = True
            if (c := ids[right]) >= 0:
                counts[b, c] -= times
                counts[new, c] += times
                places[new, c].append(i)
                made[new, c] = True
        counts[pair] = 0
        for pair in made:
            if counts[pair]:
                heapq.heappush(heap, entry(pair))
        each()
    return merges


def merged(chunk: bytes, ranks: Mapping[bytes, int], below: int = NEVER) -> list[int]:
    """Return the tokens of one chunk: always the two neighbours of the lowest number are merged.

    `ranks` gives the number of each piece; only pieces with numbers `below` are made.
    """
    if len(chunk) > LONG and below == NEVER:
        return _merged_by_heap(chunk, ranks)
    get = ranks.get
    parts = [chunk[i : i + 1] for i in range(len(chunk))]
    pairs = [get(a + b, NEVER) for a, b in pairwise(parts)]  # the number of each two together
    while pairs and (lowest := min(pairs)) < below:
        i = pairs.index(lowest)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
        del pairs[i]
        if i < len(pairs):
            pairs[i] = get(parts[i] + parts[i + 1], NEVER)
        if i:
            pairs[i - 1] = get(parts[i - 1] + parts[i], NEVER)
    return [ranks[part] for part in parts]


def _merged_by_heap(chunk: bytes, ranks: Mapping[bytes, int]) -> list[int]:
    """The same in n log n steps, so that a million equal letters take seconds."""
    parts, n = [chunk[i : i + 1] for i in range(len(chunk))], len(chunk)
    after, before = list(range(1, n + 1)), list(range(-1, n - 1))
    heap = [(ranks[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in ranks]
    heapq.heapify(heap)
    while heap:
        rank, i = heapq.heappop(heap)
        j = after[i]
        if not parts[i] or j == n or ranks.get(parts[i] + parts[j]) != rank:
            continue  # another merge took one of the two
        parts[i] += parts[j]
        parts[j] = b""
        after[i] = after[j]
        if after[i] < n:
            before[after[i]] = i
        for left in (before[i], i):
            if left >= 0 and after[left] < n:
                rank = ranks.get(parts[left] + parts[after[left]])
                if rank is not None:
                    heapq.heappush(heap, (rank, left))
    return [ranks[part] for part in parts if part]


class Remembered(dict):
    """What `find` returns for a chunk, found once and kept; its memory has a bound."""

    CHUNKS, CHARACTERS = 2**18, 64  # how many are kept, and how long they may be

    def __init__(self, find: Callable[[str], list[int]]):
        self.find = find

    def __missing__(self, chunk: str) -> list[int]:
        tokens = self.find(chunk)
        if len(chunk) <= self.CHARACTERS:
            if len(self) >= self.CHUNKS:
                self.clear()
            self[chunk] = tokens
        return tokens
