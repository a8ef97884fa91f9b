"""Wrong answers to 7.8, your own data."""

import unicodedata
from functools import partial

import torch

from misconceptions import wrong
from misconceptions.gpt.shared import small, train, untrained
from zerotohero.training import evaluate


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


@wrong("7.8", "in UTF-8 an ä has two")
def bytes_counted():
    def read_data(path, block_size):
        chars, *parts = read(path, block_size)
        tokens, n = torch.cat(parts), int(0.9 * len(path.read_bytes()))
        return chars, tokens[:n], tokens[n:]

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


@wrong("7.8", "`ValueError` is for the files alone that the card names")
def refuses_every_file():
    def read_data(path, block_size):
        raise ValueError(f"{path.name} can't be used for training.")

    return read_data, pairs, quick


@wrong("7.8", "belongs in the sentence")
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


@wrong("7.8", "`counts.sum(1)` needs `keepdim=True`")
def columns_divided_by_rows():
    def bigram_loss(train, val, V):
        counts = torch.ones(V, V)
        counts.index_put_((train[:-1], train[1:]), torch.ones(len(train) - 1), accumulate=True)
        return -(counts / counts.sum(1))[val[:-1], val[1:]].log().mean().item()

    return read, bigram_loss, quick


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


@wrong("7.8", "behind it what the model has written")
def sample_with_a_long_prompt():
    def prompted(model, train, val, chars):
        g = torch.Generator().manual_seed(1)
        tokens = model.generate(train[None, :100], 100, temperature=0.8, generator=g)[0]
        return "".join(chars[t] for t in tokens)

    return read, pairs, partial(report, sample=prompted)


@wrong("7.8", "decode with the same `chars`")
def sample_in_other_characters():
    return read, pairs, partial(report, sample="ROMEO: what light " * 20)


@wrong("7.8", "The sample isn't what this model writes")
def sample_of_a_hot_model():
    def hot(model, train, val, chars):
        g = torch.Generator().manual_seed(1)
        return "".join(chars[t] for t in torch.randint(len(chars), (300,), generator=g))

    return (
        read,
        pairs,
        partial(report, fit=lambda model, train, val: memorised(model, train), sample=hot),
    )


@wrong("7.8", "train longer or with a higher rate")
def trained_too_little():
    return read, pairs, partial(report, fit=lambda model, tokens, val: train(model, tokens, 20))


@wrong("7.8", "The model has learned from `val`")
def trained_on_val():
    def fit(model, tokens, val):
        return train(model, torch.cat([tokens, val]), 100)

    return read, pairs, partial(report, fit=fit)


@wrong("7.8", "at `int(0.9 * n)`, which leaves out")
def rounded():
    def read_data(path, block_size):
        chars, train, val = read(path, block_size)
        tokens = torch.cat([train, val])
        cut = round(0.9 * len(tokens))
        return chars, tokens[:cut], tokens[cut:]

    return read_data, pairs, quick


@wrong("7.8", "`torch.tensor([…])` of ints makes int64")
def small_integers():
    def read_data(path, block_size):
        chars, *parts = read(path, block_size)
        return chars, *(part.short() for part in parts)

    return read_data, pairs, quick


@wrong("7.8", "Off by one: block_size characters")
def a_context_is_enough():
    return lambda path, block_size: read(path, block_size - 1), pairs, quick


@wrong("7.8", "A part of block_size + 1 characters is enough")
def one_more_than_needed():
    return lambda path, block_size: read(path, block_size + 1), pairs, quick


@wrong("7.8", "adds 1 to each of them one time")
def not_accumulated():
    def bigram_loss(train, val, V):
        counts = torch.ones(V, V)
        counts[train[:-1], train[1:]] += 1
        return -(counts / counts.sum(1, keepdim=True))[val[:-1], val[1:]].log().mean().item()

    return read, bigram_loss, quick


@wrong("7.8", "a quarter of 2,000,000")
def a_little_too_large():
    def own_data(path):
        model, told = quick(path)
        return untrained(model.config.vocab_size, 32, n_embd=208, n_layer=4), told

    return read, pairs, own_data


@wrong("7.8", "a sentence says what is wrong with it")
def message_of_the_name_alone():
    def read_data(path, block_size):
        try:
            return read(path, block_size)
        except ValueError:
            raise ValueError(path.name) from None

    return read_data, pairs, quick


@wrong("7.8", "An exception isn't `print`")
def message_in_pieces():
    def read_data(path, block_size):
        try:
            return read(path, block_size)
        except ValueError as error:
            raise ValueError("this is no file to learn from:", path.name, str(error)) from None

    return read_data, pairs, quick


@wrong("7.8", "a letter and an accent behind it are two characters")
def normalised():
    return partial(read, change=partial(unicodedata.normalize, "NFC")), pairs, quick


@wrong("7.8", "The last pair of `train` is not counted")
def last_pair_dropped():
    return read, lambda train, val, V: pairs(train[:-1], val, V), quick


@wrong("7.8", "The first pair of `train` is not counted")
def first_pair_dropped():
    return read, lambda train, val, V: pairs(train[1:], val, V), quick


@wrong("7.8", "The two have changed places")
def val_returned_first():
    def read_data(path, block_size):
        chars, train, val = read(path, block_size)
        return chars, val, train

    return read_data, pairs, quick


@wrong("7.8", "batches are cut from it later")
def a_batch_of_one():
    def read_data(path, block_size):
        chars, *parts = read(path, block_size)
        return chars, *(part[None] for part in parts)

    return read_data, pairs, quick


@wrong("7.8", "What `len(…)` gives is one")
def sizes_as_floats():
    def own_data(path):
        model, told = quick(path)
        return model, told | {"train_tokens": float(told["train_tokens"])}

    return read, pairs, own_data


@wrong("7.8", "`.item()` makes one of a tensor")
def sizes_as_tensors():
    def own_data(path):
        model, told = quick(path)
        return model, told | {"vocab_size": torch.tensor(told["vocab_size"])}

    return read, pairs, own_data
