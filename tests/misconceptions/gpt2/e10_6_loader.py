"""Wrong answers to 10.6, shard the loader."""

import bisect
import itertools
import random

import numpy as np
import torch

from misconceptions import wrong


def mixed(seed, epoch, R):
    return np.random.default_rng((seed, epoch)).permutation(R).tolist()


def numbering(
    order=mixed,
    rows=lambda N, T: (N - 1) // T,
    first=lambda step, rank, world, B: (step * world + rank) * B,
    at=divmod,
):
    """Return row_numbers with one thing wrong."""

    def row_numbers(n_tokens, T, B, step, rank, world, seed):
        R = rows(n_tokens, T)
        places = (at(first(step, rank, world, B) + i, R) for i in range(B))
        return [order(seed, epoch, R)[place] for epoch, place in places]

    return row_numbers


def starts_of(shards):
    ends = list(itertools.accumulate(len(shard) for shard in shards))
    return [0, *ends[:-1]], ends


def tensors(rows):
    rows = torch.tensor(np.array(rows).astype(np.int64))
    return rows[:, :-1], rows[:, 1:]


def reading(
    begin=lambda r, T: r * T,
    short=None,
    end=lambda rows: tensors(rows),
    read=lambda shard, a, b: shard[a:b],
    skip=0,
    again=0,
):
    """Return read_rows with one thing wrong."""

    def read_rows(shards, T, numbers):
        firsts, ends = starts_of(shards)
        rows = []
        for r in numbers:
            start = begin(r, T)
            k = min(bisect.bisect_right(ends, start), len(shards) - 1)
            at, row = start - firsts[k], []
            row += read(shards[k], at, at + T + 1).tolist()
            if len(row) < T + 1 and short:
                row = (row + short(shards, k, T, row))[: T + 1]
            while len(row) < T + 1 and k + 1 < len(shards):
                k, kept = k + 1, row[-again:] if again else []
                row += (kept + read(shards[k], skip, skip + T + 1 - len(row)).tolist())[
                    : T + 1 - len(row)
                ]
            rows.append(row + [0] * (T + 1 - len(row)))
        return end(rows)

    return read_rows


numbers, read = numbering(), reading()


@wrong("10.6", "All processes take the same rows")
def without_the_rank():
    return numbering(first=lambda step, rank, world, B: step * world * B), read


@wrong("10.6", "Each process has an order of its own")
def an_order_for_each():
    def row_numbers(n_tokens, T, B, step, rank, world, seed):
        R = (n_tokens - 1) // T
        places = [divmod((step * world + rank) * B + i, R) for i in range(B)]
        return [mixed(seed + 1000 * rank, epoch, R)[place] for epoch, place in places]

    return row_numbers, read


@wrong("10.6", "Each process goes through a part of its own")
def parts_of_their_own():
    def row_numbers(n_tokens, T, B, step, rank, world, seed):
        R = (n_tokens - 1) // T
        found, epoch, at = [], 0, step * B
        while len(found) < B:
            mine = mixed(seed, epoch, R)[rank::world] or [0]
            found += mine[at:][: B - len(found)]
            at, epoch = max(0, at - len(mine)), epoch + 1
        return found

    return row_numbers, read


@wrong("10.6", "as if they were drawn with replacement")
def with_replacement():
    def row_numbers(n_tokens, T, B, step, rank, world, seed):
        rng = np.random.default_rng((seed, step, rank))
        return rng.integers(0, (n_tokens - 1) // T, B).tolist()

    return row_numbers, read


@wrong("10.6", "The rest of an epoch, which doesn't fill a step")
def rest_left_out():
    def row_numbers(n_tokens, T, B, step, rank, world, seed):
        R = (n_tokens - 1) // T
        steps = max(1, R // (world * B))
        epoch, step = divmod(step, steps)
        first = (step * world + rank) * B
        return [mixed(seed, epoch, R)[(first + i) % R] for i in range(B)]

    return row_numbers, read


@wrong("10.6", "The last step of an epoch is filled up")
def filled_up():
    def row_numbers(n_tokens, T, B, step, rank, world, seed):
        R = (n_tokens - 1) // T
        epoch, step = divmod(step, -(-R // (world * B)))
        first = (step * world + rank) * B
        return [mixed(seed, epoch, R)[(first + i) % R] for i in range(B)]

    return row_numbers, read


@wrong("10.6", "A batch in which an epoch ends goes on")
def batch_cut_off():
    def row_numbers(n_tokens, T, B, step, rank, world, seed):
        R = (n_tokens - 1) // T
        epoch, first = divmod((step * world + rank) * B, R)
        return mixed(seed, epoch, R)[first : first + B]

    return row_numbers, read


@wrong("10.6", "says which epoch it is, and which place in it")
def one_epoch_only():
    return numbering(at=lambda p, R: (0, p)), read


@wrong("10.6", "Every epoch has the same order")
def one_order():
    return numbering(order=lambda seed, epoch, R: mixed(seed, 0, R)), read


@wrong("10.6", "The rows are read in the order of the text")
def not_mixed():
    return numbering(order=lambda seed, epoch, R: list(range(R))), read


@wrong("10.6", "shifted or backwards: mix it anew")
def back_and_forth():
    def order(seed, epoch, R):
        return mixed(seed, 0, R)[:: -1 if epoch % 2 else 1]

    return numbering(order=order), read


@wrong("10.6", "`.tolist()` makes plain numbers")
def as_an_array():
    return (lambda *given: np.array(numbers(*given))), read


@wrong("10.6", "It depends on what was asked before")
def mixed_by_the_clock():
    def order(seed, epoch, R):
        return random.sample(range(R), R)

    def row_numbers(n_tokens, T, B, step, rank, world, seed):
        R = (n_tokens - 1) // T
        p = (step * world + rank) * B
        return (order(seed, p // R, R) * 40)[p % R :][:B]

    return row_numbers, read


@wrong("10.6", "One row too many")
def a_row_too_many():
    return numbering(rows=lambda N, T: N // T), read


@wrong("10.6", "Row R − 1 never comes")
def a_row_too_few():
    return numbering(rows=lambda N, T: max(1, (N - 2) // T)), read


@wrong("10.6", "These are the rows of all processes")
def rows_of_all():
    def row_numbers(n_tokens, T, B, step, rank, world, seed):
        return numbers(n_tokens, T, B * world, step, 0, 1, seed)

    return row_numbers, read


@wrong("10.6", "The random numbers depend on more than R")
def mixed_for_each_world():
    def row_numbers(n_tokens, T, B, step, rank, world, seed):
        return numbers(n_tokens, T, B, step, rank, world, seed + 1000 * world)

    return row_numbers, read


@wrong("10.6", "The seed makes no difference")
def without_the_seed():
    return numbering(order=lambda seed, epoch, R: mixed(0, epoch, R)), read


@wrong("10.6", "go on until it is full")
def two_epochs_at_most():
    def row_numbers(n_tokens, T, B, step, rank, world, seed):
        R = (n_tokens - 1) // T
        epoch, place = divmod((step * world + rank) * B, R)
        return (mixed(seed, epoch, R) + mixed(seed, epoch + 1, R))[place : place + B]

    return row_numbers, read


@wrong("10.6", "begins this epoch again")
def same_epoch_again():
    def row_numbers(n_tokens, T, B, step, rank, world, seed):
        R = (n_tokens - 1) // T
        first = (step * world + rank) * B
        order = mixed(seed, first // R, R)
        return [order[(first + i) % R] for i in range(B)]

    return row_numbers, read


@wrong("10.6", "Every step takes the same rows")
def without_the_step():
    return numbering(first=lambda step, rank, world, B: rank * B), read


@wrong("10.6", "what its neighbour takes in this one")
def without_the_world():
    return numbering(first=lambda step, rank, world, B: (step + rank) * B), read


@wrong("10.6", "The last rows never come")
def rows_of_one_token_more():
    return numbering(rows=lambda N, T: max(1, N // (T + 1))), read


@wrong("10.6", "the processes take turns, row by row")
def row_by_row():
    def row_numbers(n_tokens, T, B, step, rank, world, seed):
        R = (n_tokens - 1) // T
        places = [divmod((step * B + i) * world + rank, R) for i in range(B)]
        return [mixed(seed, epoch, R)[place] for epoch, place in places]

    return row_numbers, read


@wrong("10.6", "or is at another place of it")
def a_stretch_for_each():
    return numbering(first=lambda step, rank, world, B: (1000 * rank + step) * B), read


@wrong("10.6", "Rows are counted from 0")
def counted_from_one():
    return (lambda *given: [n + 1 for n in numbers(*given)]), read


@wrong("10.6", "Row r begins at token r: at r · T")
def begins_at_r():
    return numbers, reading(begin=lambda r, T: r)


@wrong("10.6", "Row r begins at r · (T + 1)")
def without_overlap():
    return numbers, reading(begin=lambda r, T: r * (T + 1))


@wrong("10.6", "is filled with zeros")
def zeros_behind_the_end():
    return numbers, reading(short=lambda shards, k, T, row: [0] * (T + 1))


@wrong("10.6", "At the end of a shard the row goes on at its start")
def round_the_shard():
    def short(shards, k, T, row):
        return np.resize(shards[k][: T + 1 - len(row)], T + 1 - len(row)).tolist()

    return numbers, reading(short=short)


@wrong("10.6", "At the seam a token is lost")
def token_lost():
    return numbers, reading(skip=1)


@wrong("10.6", "At the seam a token comes twice")
def token_twice():
    return numbers, reading(again=1)


@wrong("10.6", "but where that one is short, in the one behind it")
def two_shards_only():
    return numbers, reading(short=lambda s, k, T, row: [*s[k + 1][: T + 1 - len(row)], *[0] * T])


@wrong("10.6", "begins in the next shard: tokens are skipped")
def next_shard():
    def read_rows(shards, T, numbers):
        _, ends = starts_of(shards)
        starts = []
        for r in numbers:
            k = bisect.bisect_right(ends, r * T)
            starts.append(r * T if r * T + T + 1 <= ends[k] else ends[k])
        return reading(begin=lambda i, T: starts[i])(shards, T, range(len(numbers)))

    return numbers, read_rows


@wrong("10.6", "is moved back until it fits")
def moved_back():
    def read_rows(shards, T, numbers):
        _, ends = starts_of(shards)
        starts = [
            max(0, min(r * T, ends[bisect.bisect_right(ends, r * T)] - T - 1)) for r in numbers
        ]
        return reading(begin=lambda i, T: starts[i])(shards, T, range(len(numbers)))

    return numbers, read_rows


@wrong("10.6", "Rows are counted in each shard by itself")
def counted_by_shard():
    def read_rows(shards, T, numbers):
        firsts, _ = starts_of(shards)
        both = zip(firsts, shards, strict=True)
        starts = [f + i * T for f, shard in both for i in range((len(shard) - 1) // T)]
        starts += [0] * 99
        return reading(begin=lambda r, T: starts[r])(shards, T, numbers)

    return numbers, read_rows


@wrong("10.6", "have become negative")
def as_int16():
    def end(rows):
        return tensors(np.array(rows).astype(np.uint16).astype(np.int16))

    return numbers, reading(end=end)


@wrong("10.6", "The shards come in reverse order")
def in_reverse():
    return numbers, lambda shards, T, numbers: read(shards[::-1], T, numbers)


@wrong("10.6", "The targets are the inputs")
def targets_are_inputs():
    return numbers, lambda *given: (read(*given)[0],) * 2


@wrong("10.6", "The last target is the row's own first token")
def rolled():
    def read_rows(*given):
        x, _ = read(*given)
        return x, x.roll(-1, 1)

    return numbers, read_rows


@wrong("10.6", "Targets stand where the inputs are asked for")
def other_way_round():
    return numbers, lambda *given: read(*given)[::-1]


@wrong("10.6", "An embedding takes int64")
def as_int32():
    return numbers, lambda *given: tuple(t.int() for t in read(*given))


@wrong("10.6", "All shards are read whole")
def read_whole():
    def read_rows(shards, T, numbers):
        return read([np.concatenate([shard[:] for shard in shards])], T, numbers)

    return numbers, read_rows


@wrong("10.6", "Inputs and targets are read apart")
def read_apart():
    def read_rows(shards, T, numbers):
        def parts(shift):
            firsts, ends = starts_of(shards)
            for r in numbers:
                start, row = r * T + shift, []
                k = bisect.bisect_right(ends, start)
                at = start - firsts[k]
                while len(row) < T:
                    row += shards[k][at : at + T - len(row)].tolist()
                    k, at = k + 1, 0
                yield row

        return torch.tensor([*parts(0)]), torch.tensor([*parts(1)])

    return numbers, read_rows


@wrong("10.6", "More is read than the rows hold")
def one_token_more():
    return numbers, reading(read=lambda shard, a, b: shard[a : b + 1][: b - a])


@wrong("10.6", "A row came out shorter than T + 1")
def ragged():
    def read_rows(shards, T, numbers):
        firsts, ends = starts_of(shards)
        rows = []
        for r in numbers:
            k = bisect.bisect_right(ends, r * T)
            at = r * T - firsts[k]
            rows.append(torch.tensor(shards[k][at : at + T + 1].astype(np.int64)))
        rows = torch.stack(rows)
        return rows[:, :-1], rows[:, 1:]

    return numbers, read_rows


@wrong("10.6", "Return both: `return x, y`")
def inputs_alone():
    return numbers, lambda *given: read(*given)[0]


@wrong("10.6", "that of `numbers` is asked for")
def in_the_order_of_the_text():
    return numbers, lambda shards, T, numbers: read(shards, T, sorted(numbers))


@wrong("10.6", "In epoch 0 the seed makes no difference")
def seed_times_epoch():
    return numbering(order=lambda seed, epoch, R: mixed(seed * epoch, 0, R)), read


@wrong("10.6", "With the seed 0 every epoch has the same order")
def seed_times_epoch_and_one():
    return numbering(order=lambda seed, epoch, R: mixed(seed * (epoch + 1), 0, R)), read


@wrong("10.6", "Far more rows than there are")
def a_row_for_each_token():
    return numbering(rows=lambda N, T: N - T), read


@wrong("10.6", "An order kept from an earlier call")
def orders_kept_by_epoch():
    kept = {}

    def order(seed, epoch, R):
        return kept.setdefault(epoch, mixed(seed, epoch, R))

    return numbering(order=order), read


@wrong("10.6", "goes on at the place where it began in the first")
def place_kept():
    def read_rows(shards, T, numbers):
        firsts, ends = starts_of(shards)
        rows = []
        for r in numbers:
            k = bisect.bisect_right(ends, r * T)
            at, row = r * T - firsts[k], []
            while len(row) < T + 1 and k < len(shards):
                row += shards[k][at : at + T + 1 - len(row)].tolist()
                k += 1
            rows.append(row + [0] * (T + 1 - len(row)))
        return tensors(rows)

    return numbers, read_rows


@wrong("10.6", "A row whose number stands twice")
def each_row_once():
    return numbers, lambda shards, T, asked: read(shards, T, [*dict.fromkeys(asked)])
