"""Wrong answers to 7.3, read the other plays first."""

from functools import partial

from misconceptions import wrong
from misconceptions.gpt.shared import small, train


def clean(text, chars, dash="--", quote="'", other="", always=False):
    for odd, usual in (("—", dash), ('"', quote)):
        if always or odd not in chars:
            text = text.replace(odd, usual)
    return "".join(c if c in chars else other for c in text)


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
