"""Wrong answers to the exercises of lecture 07 that train, and the hint each must get.

Nothing here trains for more than a few seconds: what a wrong training leaves behind is made in
other ways, or recognised before it begins.
"""

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from misconceptions import wrong
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.train import TrainConfig, Trainer, evaluate


def untrained(V, block_size, **changes):
    config = GPTConfig(V, block_size, **{"n_layer": 1, "n_head": 2, "n_embd": 16} | changes)
    return GPT(config, torch.Generator().manual_seed(1))


# --- 7.2 ----------------------------------------------------------------------------------------


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


@wrong("7.2", "Twelve tokens and a context of eleven")
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


# --- 7.3 ----------------------------------------------------------------------------------------


def clean(text, chars, dash="--", quote="'", other="", always=False):
    for odd, usual in (("—", dash), ('"', quote)):
        if always or odd not in chars:
            text = text.replace(odd, usual)
    return "".join(c if c in chars else other for c in text)


def train(model, tokens, steps, part=1.0, rows=16):
    config = TrainConfig(
        steps=steps,
        batch_size=rows,
        lr=0.01 * part,
        min_lr=0.0,
        warmup=min(5, steps // 2),
        schedule="trapezoid",
        weight_decay=0.0,
        grad_clip=0.0,
        optimizer="muon",
        muon_lr=0.02 * part,
        precision="fp32",
    )
    return Trainer(config, model, tokens, device="cpu", progress=False).run().model


def small(V, **changes):
    """Small and modern, so that it learns something in a second."""
    modern = {"norm": "rmsnorm", "position": "rotary", "activation": "relu2", "qk_norm": True}
    return untrained(V, 32, n_embd=32, bias=False, zero_init=True, **modern, **changes)


def scratch(tokens, V):
    return train(small(V), tokens, 100)


def before(tokens, V):
    return train(small(V), tokens, 150)


def after(model, tokens):
    return train(model, tokens, 5, 0.1)


@wrong("7.3", "characters are left that `chars` hasn't")
def nothing_replaced():
    return lambda text, chars: text, *stubs()


@wrong("7.3", "All unknown characters are dropped")
def only_dropped():
    return partial(clean, dash="", quote=""), *stubs()


@wrong("7.3", "A long dash becomes *two* hyphens")
def one_hyphen():
    return partial(clean, dash="-"), *stubs()


@wrong("7.3", "A double quote becomes a single one")
def quotes_dropped():
    return partial(clean, quote=""), *stubs()


@wrong("7.3", "Unknown characters became blanks")
def blanks():
    return partial(clean, other=" "), *stubs()


@wrong("7.3", "only what is unknown needs to be")
def known_dashes_replaced_too():
    return partial(clean, always=True), *stubs()


def stubs():
    """Functions of models that return without training."""
    return (lambda tokens, V: small(V)), (lambda tokens, V: small(V)), (lambda model, tokens: model)


def clean_but(pretrain=before, from_scratch=scratch, finetune=after):
    return clean, pretrain, from_scratch, finetune


@wrong("7.3", "`vocab_size` is V")
def a_row_too_many():
    return clean, lambda tokens, V: small(V + 1), *stubs()[1:]


@wrong("7.3", "Nothing went through the model in train mode")
def nothing_trained():
    return clean, *stubs()


@wrong("7.3", "fewer of any will do")
def more_than_the_budget():
    large = partial(train, steps=2, rows=1100)
    return clean, stubs()[0], lambda tokens, V: large(small(V), tokens), large


@wrong("7.3", "A comparison changes one thing")
def a_larger_model_is_tuned():
    def pretrain(tokens, V):
        return small(V, n_layer=2)

    return clean, pretrain, *stubs()[1:]


@wrong("7.3", "Fine-tuning is the shorter one")
def hardly_pretrained():
    def pretrain(tokens, V):
        return train(small(V), tokens, 2)

    return clean, pretrain, lambda tokens, V: train(small(V), tokens, 3), partial(train, steps=3)


@wrong("7.3", "so it is easy to beat")
def a_weak_opponent():
    def pretrain(tokens, V):
        return train(small(V), tokens, 12)

    return clean, pretrain, lambda tokens, V: train(small(V), tokens, 3), partial(train, steps=3)


@wrong("7.3", "large steps overwrite")
def tuned_at_a_high_rate():
    return clean_but(finetune=lambda model, tokens: train(model, tokens, 8, 20.0))


@wrong("7.3", "The head start is too small")
def tuned_from_the_start():
    return clean_but(
        pretrain=lambda tokens, V: train(small(V), tokens, 110),
        finetune=lambda model, tokens: train(model, tokens, 20, 0.2),
    )


# --- 7.4 ----------------------------------------------------------------------------------------


def no_training(batches, V, improved, seed):
    raise NotImplementedError


def only(name, function):
    return (lambda: {name: function}), no_training


def rotate(x, first=0, power=2.0, mirror=1, same=False, axis=2):
    T, S = x.shape[axis], x.shape[3]
    speeds = 10_000 ** (-power * torch.arange(S // 2) / S)
    angles = (torch.arange(T) + first)[:, None] * speeds
    if axis == 1:
        angles = angles[:, None]
    cos, sin = angles.cos(), angles.sin()
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + mirror * b * cos], -1)


@wrong("7.4", "Positions count from 0")
def rotary_from_one():
    return only("rotary", partial(rotate, first=1))


@wrong("7.4", "The exponent is −2i/S")
def rotary_with_half_the_exponent():
    return only("rotary", partial(rotate, power=1.0))


@wrong("7.4", "makes it a mirror")
def rotary_with_a_sign_wrong():
    return only("rotary", partial(rotate, mirror=-1))


@wrong("7.4", "You turn by the number of the head")
def rotary_over_the_heads():
    return only("rotary", partial(rotate, axis=1))


@wrong("7.4", "Sines and cosines are *added*")
def sinusoidal_positions():
    def added(x):
        a, b = rotate(torch.ones_like(x)).chunk(2, -1)  # cos − sin, sin + cos
        return x + torch.cat([(b - a) / 2, (a + b) / 2], -1)

    return only("rotary", added)


@wrong("7.4", "a turned pair mixes its two")
def rotary_without_the_partner():
    return only("rotary", lambda x: x * rotate(torch.ones_like(x)))


@wrong("7.4", "that is LayerNorm. RMSNorm only divides")
def layer_norm():
    return only("rms_norm", lambda x: F.layer_norm(x, x.shape[-1:]))


@wrong("7.4", "measures from the mean")
def divided_by_the_deviation():
    return only("rms_norm", lambda x: x / x.std(-1, keepdim=True))


@wrong("7.4", "the root of the *sum* of squares")
def unit_length():
    return only("rms_norm", lambda x: F.normalize(x, dim=-1))


@wrong("7.4", "You normalise over time")
def norm_over_time():
    return only("rms_norm", lambda x: x / x.square().mean(1, keepdim=True).sqrt())


@wrong("7.4", "SiLU is around the wrong product")
def gate_and_value_exchanged():
    return only("swiglu", lambda x, g, u, d: (F.silu(x @ u) * (x @ g)) @ d)


@wrong("7.4", "which is GLU")
def plain_sigmoid():
    return only("swiglu", lambda x, g, u, d: (torch.sigmoid(x @ g) * (x @ u)) @ d)


@wrong("7.4", "which is GEGLU")
def gelu_gate():
    return only("swiglu", lambda x, g, u, d: (F.gelu(x @ g) * (x @ u)) @ d)


@wrong("7.4", "x W_up is missing")
def no_gate():
    return only("swiglu", lambda x, g, u, d: F.silu(x @ g) @ d)


@wrong("7.4", "came back as it was: both are normalised")
def only_queries_normalised():
    return only("qk_norm", lambda q, k: (F.rms_norm(q, q.shape[-1:]), k))


@wrong("7.4", "Unit length is too short")
def cosine_of_queries_and_keys():
    return only("qk_norm", lambda q, k: (F.normalize(q, dim=-1), F.normalize(k, dim=-1)))


@wrong("7.4", "You normalise across the heads")
def normalised_across_heads():
    return only("qk_norm", lambda *qk: [x / x.square().mean(1, keepdim=True).sqrt() for x in qk])


@wrong("7.4", "Negative numbers are squared too")
def squared_without_relu():
    return only("relu2", lambda x: x**2)


@wrong("7.4", "its square is missing")
def relu():
    return only("relu2", F.relu)


@wrong("7.4", "`repeat_interleave`, not `repeat`")
def heads_dealt_out_in_turns():
    def grouped_query(q, k, v):
        n = q.shape[1] // k.shape[1]
        k, v = k.repeat(1, n, 1, 1), v.repeat(1, n, 1, 1)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    return only("grouped_query", grouped_query)


@wrong("7.4", "The future is visible")
def groups_without_a_mask():
    def grouped_query(q, k, v):
        n = q.shape[1] // k.shape[1]
        k, v = (x.repeat_interleave(n, 1) for x in (k, v))
        return F.scaled_dot_product_attention(q, k, v)

    return only("grouped_query", grouped_query)


@wrong("7.4", "that is multi-query attention")
def one_key_head():
    def grouped_query(q, k, v):
        k, v = (x[:, :1].expand_as(q) for x in (k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    return only("grouped_query", grouped_query)


def orthogonal(X, rounds=5, a=3.4445, b=-4.7750, c=2.0315):
    X = X / X.norm()
    for _ in range(rounds):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X


@wrong("7.4", "Orthogonalise it")
def plain_momentum():
    def muon(gradient, buffer, momentum):
        buffer = momentum * buffer + gradient
        return buffer / buffer.norm(), buffer

    return only("muon", muon)


@wrong("7.4", "it is the *buffer* that is orthogonalised")
def gradient_orthogonalised():
    return only("muon", lambda g, buffer, m: (orthogonal(g), m * buffer + g))


@wrong("7.4", "Each number became its sign")
def sign_of_the_momentum():
    return only("muon", lambda g, buffer, m: ((m * buffer + g).sign(), m * buffer + g))


@wrong("7.4", "the past is forgotten")
def no_momentum():
    return only("muon", lambda g, buffer, m: (orthogonal(g), g))


@wrong("7.4", "here the gradient is added whole")
def averaged_momentum():
    def muon(gradient, buffer, momentum):
        buffer = torch.lerp(gradient, buffer, momentum)
        return orthogonal(buffer), buffer

    return only("muon", muon)


@wrong("7.4", "The singular values are not yet equal")
def one_round():
    def muon(gradient, buffer, momentum):
        buffer = momentum * buffer + gradient
        return orthogonal(buffer, rounds=1), buffer

    return only("muon", muon)


@wrong("7.4", "The names are those of the list")
def another_name():
    return only("rmsnorm", lambda x: x)


@wrong("7.4", "without calling it")
def called():
    return only("relu2", 3.0)


def relu2(x):
    return F.relu(x) ** 2


class Pairs(nn.Module):
    """What counting pairs of letters gives, in a moment; `by` makes it worse or better."""

    def __init__(self, batches, V, by=1.0, width=8):
        super().__init__()
        counts = torch.ones(V, V)
        for xb, yb in batches:
            counts.index_put_((xb.flatten(), yb.flatten()), torch.ones(xb.numel()), True)
        self.logits = by * (counts / counts.sum(1, keepdim=True)).log()
        self.more = nn.Linear(width, width)

    def forward(self, idx):
        x = self.more(torch.zeros(*idx.shape, self.more.in_features))
        return self.logits[idx] + 0 * x.sum(-1, keepdim=True)


def counting(function):
    """An honest pair of functions around a train_model of counted pairs."""
    return (lambda: {"relu2": relu2}), function


@wrong("7.4", "Both models are the same")
def improvement_not_used():
    return counting(lambda batches, V, improved, seed: Pairs(batches, V))


@wrong("7.4", "both models go through all batches")
def fewer_batches_for_the_plain_one():
    def train_model(batches, V, improved, seed):
        pairs = (pair for i, pair in enumerate(batches) if improved or i < 20)
        if improved:
            return Pairs(pairs, V)
        return Pairs([next(pairs) for _ in range(20)], V)

    return counting(train_model)


@wrong("7.4", "A larger model isn't an improvement")
def a_larger_model():
    def train_model(batches, V, improved, seed):
        return Pairs(batches, V, by=1.0 if improved else 0.9, width=16 if improved else 8)

    return counting(train_model)


@wrong("7.4", "whatever beats it proves nothing")
def a_plain_model_that_has_hardly_learned():
    def train_model(batches, V, improved, seed):
        return Pairs(batches, V, by=1.0 if improved else 0.3)

    return counting(train_model)


@wrong("7.4", "not everything pays off alone")
def no_better():
    def train_model(batches, V, improved, seed):
        return Pairs(batches, V, by=0.95 if improved else 1.0)

    return counting(train_model)


@wrong("7.4", "Each batch may be used once")
def two_epochs():
    def train_model(batches, V, improved, seed):
        return [Pairs(batches, V) for _ in range(2)][-1]

    return counting(train_model)


@wrong("7.4", "neither its loss nor its class")
def loss_returned():
    return counting(lambda batches, V, improved, seed: 2.3)


# --- 7.8 ----------------------------------------------------------------------------------------


def read(path, block_size, encoding="utf-8", cut=0.9, change=str, chars=None, **options):
    try:
        text = change(path.read_text(encoding, **options))
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not UTF-8: save it as UTF-8 first.") from None
    n = int(cut * len(text))
    if min(n, len(text) - n) < block_size + 1:
        raise ValueError(f"{path.name} is too short for a context of {block_size}.")
    chars = chars(text) if chars else "".join(sorted(set(text)))
    tokens = torch.tensor([chars.index(c) for c in text])
    return chars, tokens[:n], tokens[n:]


def pairs(train, val, V, add=1, axis=1, measured=None, log=torch.log, mean=torch.mean):
    counts = torch.full((V, V), float(add))
    counts.index_put_((train[:-1], train[1:]), torch.ones(len(train) - 1), accumulate=True)
    tokens = val if measured is None else measured
    return -mean(log((counts / counts.sum(axis, keepdim=True))[tokens[:-1], tokens[1:]])).item()


def report(path, fit=lambda model, train, val: model, **changes):
    """A model that `fit` trains, and a report that says what `changes` don't put in its place."""
    chars, train, val = read(path, 32)
    model = fit(small(len(chars)), train, val)
    facts = {
        "vocab_size": len(chars),
        "train_tokens": len(train),
        "val_tokens": len(val),
        "bigram_loss": pairs(train, val, len(chars)),
    }
    if "val_loss" not in changes:
        facts["val_loss"] = evaluate(model, val)
    if "sample" not in changes:
        start = torch.zeros(1, 1, dtype=torch.long)
        g = torch.Generator().manual_seed(1)
        tokens = model.generate(start, 300, temperature=0.8, generator=g)[0]
        facts["sample"] = "".join(chars[t] for t in tokens)
    given = {k: v(model, train, val, chars) if callable(v) else v for k, v in changes.items()}
    return model, facts | given


def quick(path):
    return report(path, sample="a" * 300)


@wrong("7.8", "the file read as latin-1")
def read_as_latin_1():
    return partial(read, encoding="latin-1"), pairs, quick


@wrong("7.8", "the text in small letters")
def small_letters():
    return partial(read, change=str.lower), pairs, quick


@wrong("7.8", "the blanks at its ends too")
def stripped():
    return partial(read, change=str.strip), pairs, quick


@wrong("7.8", "sort them, so that the same text")
def in_order_of_appearance():
    return partial(read, chars=lambda text: "".join(dict.fromkeys(text))), pairs, quick


@wrong("7.8", "the vocabulary is that of the whole file")
def vocabulary_of_the_training_part():
    def first_part(text):
        return "".join(sorted(set(text[: int(0.9 * len(text))])))

    return partial(read, chars=first_part), pairs, quick


@wrong("7.8", "The parts overlap")
def train_is_everything():
    def read_data(path, block_size):
        chars, train, val = read(path, block_size)
        return chars, torch.cat([train, val]), val

    return read_data, pairs, quick


@wrong("7.8", "The tokens were shuffled")
def shuffled():
    def read_data(path, block_size):
        chars, train, val = read(path, block_size)
        tokens = torch.cat([train, val])
        order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(1))
        return chars, tokens[order[: len(train)]], tokens[order[len(train) :]]

    return read_data, pairs, quick


@wrong("7.8", "The validation part is taken from the front")
def val_first():
    def read_data(path, block_size):
        chars, val, train = read(path, block_size, cut=0.1)
        return chars, train, val

    return read_data, pairs, quick


@wrong("7.8", "what it says is about codecs")
def error_of_the_codec():
    def read_data(path, block_size):
        path.read_text("utf-8")
        return read(path, block_size)

    return read_data, pairs, quick


@wrong("7.8", "the model would learn from a damaged text")
def damage_replaced():
    return partial(read, errors="replace"), pairs, quick


@wrong("7.8", "A part needs block_size + 1 tokens")
def short_files_accepted():
    def read_data(path, block_size):
        return read(path, -1)

    return read_data, pairs, quick


@wrong("7.8", "Say what is wrong with which file")
def message_without_the_name():
    def read_data(path, block_size):
        try:
            return read(path, block_size)
        except ValueError:
            raise ValueError("The file cannot be used for training.") from None

    return read_data, pairs, quick


@wrong("7.8", "A pair that never came has the probability 0")
def no_pair_added():
    return read, partial(pairs, add=0), quick


@wrong("7.8", "measure on `val`")
def baseline_measured_on_train():
    return read, lambda train, val, V: pairs(train, val, V, measured=train), quick


@wrong("7.8", "as the model does")
def baseline_learns_from_val():
    return read, lambda train, val, V: pairs(torch.cat([train, val]), val, V, measured=val), quick


@wrong("7.8", "what follows a character")
def columns_add_up():
    return read, partial(pairs, axis=0), quick


@wrong("7.8", "That is in bits")
def bits():
    return read, partial(pairs, log=torch.log2), quick


@wrong("7.8", "That is the sum")
def summed():
    return read, partial(pairs, mean=torch.sum), quick


@wrong("7.8", "A report leaves nothing out")
def without_the_baseline():
    def own_data(path):
        model, told = quick(path)
        del told["bigram_loss"]
        return model, told

    return read, pairs, own_data


@wrong("7.8", "which the model has learned from")
def loss_on_train_reported():
    def fit(model, train, val):
        return memorised(model, train)

    def on_train(model, train, val, chars):
        return evaluate(model, train)

    return read, pairs, partial(report, fit=fit, sample="a" * 300, val_loss=on_train)


def memorised(model, tokens):
    """A model that says what counts of the training part say of single letters, but too surely."""
    return train(model, tokens, 40)


@wrong("7.8", "The report is better than the model")
def report_embellished():
    return read, pairs, partial(report, sample="a" * 300, val_loss=1.0)


@wrong("7.8", "Decode the tokens")
def sample_of_tokens():
    return read, pairs, partial(report, sample=[1, 2, 3])


@wrong("7.8", "`max_new_tokens` says")
def short_sample():
    return read, pairs, partial(report, sample="a")


@wrong("7.8", "The sample was copied out of the file")
def sample_copied():
    def copied(model, train, val, chars):
        return "".join(chars[t] for t in train[100:400])

    return read, pairs, partial(report, sample=copied)


@wrong("7.8", "decode with the same `chars`")
def sample_in_other_characters():
    return read, pairs, partial(report, sample="ROMEO: what light " * 20)


@wrong("7.8", "The sample isn't what this model writes")
def sample_of_a_hot_model():
    def hot(model, train, val, chars):
        g = torch.Generator().manual_seed(1)
        return "".join(chars[t] for t in torch.randint(len(chars), (300,), generator=g))

    return read, pairs, partial(report, fit=lambda model, train, val: memorised(model, train),
                                sample=hot)  # fmt: skip


@wrong("7.8", "train longer or with a higher rate")
def trained_too_little():
    return read, pairs, partial(report, fit=lambda model, tokens, val: train(model, tokens, 20))


@wrong("7.8", "so it has learned from `val`")
def trained_on_val():
    def fit(model, tokens, val):
        return train(model, torch.cat([tokens, val]), 300, 2.0)

    return read, pairs, partial(report, fit=fit)
