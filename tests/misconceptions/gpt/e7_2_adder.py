"""Wrong answers to 7.2, a GPT that adds."""

from functools import partial

import torch

from misconceptions import wrong
from misconceptions.gpt.shared import untrained
from zerotohero.training import TrainConfig, Trainer


def digits(n, width):
    return torch.stack([n // 10**i % 10 for i in reversed(range(width))], 1)


def encode(a, b, reverse=True, answer=4, masked=7, ignored=-100, turned=False, plus=10, shift=1):
    parts = [digits(a, 3), digits(b, 3), digits(a + b, answer)]
    if turned:
        parts[:2] = [part.flip(1) for part in parts[:2]]
    if reverse:
        parts[2] = parts[2].flip(1)
    sign = torch.ones_like(a)[:, None]
    row = torch.cat([parts[0], plus * sign, parts[1], (21 - plus) * sign, parts[2]], 1)
    Y = row[:, shift : shift + len(row[0]) - 1].clone()
    Y[:, :masked] = ignored
    return row[:, :-1], Y


def add(model, a, b, reverse=True, start=8):
    idx = encode(a, b, reverse)[0][:, :start]
    for _ in range(12 - start):
        idx = torch.cat([idx, model(idx)[:, -1:].argmax(-1)], 1)
    return (idx[:, 8:] * torch.tensor([1, 10, 100, 1000] if reverse else [1000, 100, 10, 1])).sum(1)


def chain(a, b, incoming=1, least=10, places=(1, 10, 100), longest=True):
    carry, run, best = (torch.zeros_like(a) for _ in range(3))
    for place in places:
        carry = (a // place % 10 + b // place % 10 + incoming * carry >= least).long()
        run = (run + 1) * carry if longest else run + carry
        best = torch.maximum(best, run)
    return best


def hardly(a, b, reverse=True):
    return untrained(12, 11)


@wrong("7.2", "write leading zeros")
def sums_of_three_digits():
    def encode_sums(a, b, reverse=True):
        rows = []
        for x, y in zip(a.tolist(), b.tolist(), strict=True):
            s = str(x + y)[::-1] if reverse else str(x + y)
            rows.append(torch.tensor([int(c, 12) for c in f"{x:03}a{y:03}b{s}"]))
        rows = torch.stack(rows)
        return rows[:, :-1], rows[:, 1:]

    return encode_sums, add, chain, hardly


@wrong("7.2", "with `reverse`, its units come first")
def never_reversed():
    return lambda a, b, reverse=True: encode(a, b, False), add, chain, hardly


@wrong("7.2", "The answer is reversed although")
def always_reversed():
    return lambda a, b, reverse=True: encode(a, b), add, chain, hardly


@wrong("7.2", "`reverse` is about the answer alone")
def question_reversed_too():
    return partial(encode, turned=True), add, chain, hardly


@wrong("7.2", "yours are exchanged")
def signs_exchanged():
    return partial(encode, plus=11), add, chain, hardly


@wrong("7.2", "The question is not masked")
def nothing_masked():
    return partial(encode, masked=0), add, chain, hardly


@wrong("7.2", "One target too many is masked")
def masked_by_the_length_of_the_question():
    return partial(encode, masked=8), add, chain, hardly


@wrong("7.2", "One target too few is masked")
def equals_sign_in_the_loss():
    return partial(encode, masked=6), add, chain, hardly


@wrong("7.2", "The masked targets are 0")
def masked_with_zero():
    return partial(encode, ignored=0), add, chain, hardly


@wrong("7.2", "Y is not shifted")
def targets_not_shifted():
    return partial(encode, shift=0), add, chain, hardly


@wrong("7.2", "You add the numbers yourself")
def added_by_torch():
    return encode, lambda model, a, b, reverse=True: a + b, chain, hardly


@wrong("7.2", "The model was fed with the digits of the true sum")
def fed_with_the_solution():
    def teacher_forced(model, a, b, reverse=True):
        out = model(encode(a, b, reverse)[0])[:, 7:].argmax(-1)
        return (out * torch.tensor([1, 10, 100, 1000] if reverse else [1000, 100, 10, 1])).sum(1)

    return encode, teacher_forced, chain, hardly


@wrong("7.2", "the first that the model writes is the units")
def read_from_left_to_right():
    def from_left(model, a, b, reverse=True):
        said = add(model, a, b, reverse)
        return (digits(said, 4) * torch.tensor([1, 10, 100, 1000])).sum(1) if reverse else said

    return encode, from_left, chain, hardly


@wrong("7.2", "The digits were drawn at random")
def sampled():
    def drawn(model, a, b, reverse=True):
        idx = encode(a, b, reverse)[0][:, :8]
        for _ in range(4):
            probs = model(idx)[:, -1].softmax(-1)
            idx = torch.cat([idx, torch.multinomial(probs, 1)], 1)
        return (idx[:, 8:] * torch.tensor([1, 10, 100, 1000])).sum(1)

    return encode, drawn, chain, hardly


@wrong("7.2", "All four digits were taken from one call")
def four_digits_at_once():
    def at_once(model, a, b, reverse=True):
        said = model(encode(a, b, reverse)[0][:, :8])[:, -4:].argmax(-1)
        places = torch.tensor([1, 10, 100, 1000])
        return (said * (places if reverse else places.flip(0))).sum(1)

    return encode, at_once, chain, hardly


@wrong("7.2", "A question is eight tokens")
def asked_without_the_equals_sign():
    return encode, partial(add, start=7), chain, hardly


@wrong("7.2", "You count all columns that carry")
def all_carries_counted():
    return encode, add, partial(chain, longest=False), hardly


@wrong("7.2", "is left out: in 955 + 45")
def no_incoming_carry():
    return encode, add, partial(chain, incoming=0), hardly


@wrong("7.2", "The hundreds carry too")
def two_columns():
    return encode, add, partial(chain, places=(1, 10)), hardly


@wrong("7.2", "A column carries from 10 on")
def more_than_ten():
    return encode, add, partial(chain, least=11), hardly


@wrong("7.2", "Not even the units are learned")
def not_trained():
    return encode, add, chain, hardly


@wrong("7.2", "A context of eleven is needed")
def a_context_of_ten():
    return encode, add, chain, lambda a, b, reverse=True: untrained(12, 10)


@wrong("7.2", "try a tenth of the learning rate")
def diverged():
    def train_adder(a, b, reverse=True):
        model = untrained(12, 11)
        model.lm_head.weight.data *= float("nan")
        return model

    return encode, add, chain, train_adder


@wrong("7.2", "the model is the one that you gave it")
def the_trainer_returned():
    def train_adder(a, b, reverse=True):
        config = TrainConfig(steps=1, batch_size=2, warmup=0, precision="fp32")
        pairs = encode(a[:9], b[:9])
        return Trainer(config, hardly(a, b), pairs, device="cpu", progress=False).run()

    return encode, add, chain, train_adder


@wrong("7.2", "within reach of a quarter of 500,000")
def too_large():
    return encode, add, chain, lambda a, b, reverse=True: untrained(12, 11, n_layer=1, n_embd=320)


@wrong("7.2", "Mask a copy, `row[:, 1:].clone()`")
def one_memory_for_both():
    def encode_sums(a, b, reverse=True):
        row = torch.cat([*(part for part in encode(a, b, reverse, masked=0))], 1)[
            :, [*range(11), 21]
        ]
        X, Y = row[:, :-1], row[:, 1:]
        Y[:, :7] = -100
        return X, Y

    return encode_sums, add, chain, hardly


@wrong("7.2", "not arrays of NumPy or lists")
def arrays():
    return lambda *given: tuple(part.numpy() for part in encode(*given)), add, chain, hardly


def quick(X, Y):
    """A little training on rows and their targets."""
    config = TrainConfig(
        steps=30,
        batch_size=32,
        lr=0.02,
        min_lr=0.0,
        warmup=3,
        optimizer="muon",
        muon_lr=0.05,
        precision="fp32",
    )
    model = hardly(X, Y)
    Trainer(config, model, (X, Y), device="cpu", progress=False).run()
    return model


@wrong("7.2", "draw no pairs of your own")
def pairs_of_its_own():
    def train_adder(a, b, reverse=True):
        X, Y = encode(*torch.randint(1000, (2, 100_000)), reverse)
        model = quick(X, Y)
        model(X[:10_000])  # as long training would; 1,000 rows may hold no unseen sum
        return model

    return encode, add, chain, train_adder


def quick_on(encoding):
    """Train on some of the sums, as they are encoded by this."""

    def train_adder(a, b, reverse=True):
        some = torch.arange(0, len(a), 9)
        return quick(*encoding(a[some], b[some], reverse))

    return encode, add, chain, train_adder


@wrong("7.2", "in which the question isn't masked: train it on")
def question_in_the_loss():
    return quick_on(partial(encode, masked=0))


@wrong("7.2", "One error of the model is added")
def corrected_by_the_model_s_error():
    def corrected(model, a, b, reverse=True):
        return a + b + add(model, a[:1], b[:1], reverse) - a[:1] - b[:1]

    return encode, corrected, chain, hardly


@wrong("7.2", "The target is within reach")
def a_little_too_large():
    return encode, add, chain, lambda a, b, reverse=True: untrained(12, 11, n_layer=1, n_embd=208)


@wrong("7.2", "their data type isn't that of what came in")
def sums_as_floats():
    return encode, lambda *given: add(*given).float(), chain, hardly


@wrong("7.2", "If it isn't given, it is True")
def not_reversed_by_default():
    return lambda a, b, reverse=False: encode(a, b, reverse), add, chain, hardly


@wrong("7.2", "one sum is a batch too, and keeps its axis")
def one_sum_squeezed():
    return lambda *given: tuple(part.squeeze(0) for part in encode(*given)), add, chain, hardly


@wrong("7.2", "hand it on to `encode_sums`")
def trained_on_reversed_answers_always():
    return quick_on(lambda a, b, reverse: encode(a, b))


@wrong("7.2", "The equals sign is part of the question, too, and was among")
def equals_sign_among_the_targets():
    return quick_on(partial(encode, masked=6))


@wrong("7.2", "so `vocab_size` is 12")
def sixteen_tokens():
    return encode, add, chain, lambda a, b, reverse=True: untrained(16, 11)
