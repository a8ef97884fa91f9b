"""Wrong answers to 7.3, read the other plays first."""

import copy
import re
from functools import partial

import torch
from torch.nn import functional as F

from misconceptions import wrong
from misconceptions.gpt.shared import small, train


def clean(text, chars, dash="--", quote="'", other="", always=False):
    for odd, usual in (("—", dash), ('"', quote)):
        if always or odd not in chars:
            text = text.replace(odd, usual)
    return "".join(c if c in chars else other for c in text)


def scratch(tokens, V):
    return train(small(V), tokens, 60)


def after(model, tokens):
    return train(model, tokens, 5, 0.1)


@wrong("7.3", "characters are left that are not in `chars`")
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


def clean_but(pretrain, from_scratch=scratch, finetune=after):
    return clean, pretrain, from_scratch, finetune


@wrong("7.3", "`vocab_size` is V")
def a_row_too_many():
    return clean, lambda tokens, V: small(V + 1), *stubs()[1:]


@wrong("7.3", "Nothing is trained: no tokens went")
def nothing_trained():
    return clean, *stubs()


@wrong("7.3", "fewer of any will do")
def more_than_the_budget():
    large = partial(train, steps=2, rows=1100)
    return clean, stubs()[0], quickly, large


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


@wrong("7.3", "of another text than the function's argument")
def tuned_on_the_other_plays():
    kept = []

    def pretrain(tokens, V):
        kept.append(tokens)
        return train(small(V), tokens, 6)

    return clean_but(pretrain, quickly, lambda model, tokens: train(model, kept[0], 5, 0.1))


@wrong("7.3", "That is no fine-tuning")
def tuned_a_new_model():
    def finetune(model, tokens):
        return train(small(65), tokens, 4)

    return clean_but(lambda tokens, V: train(small(V), tokens, 5), quickly, finetune)


@wrong("7.3", "Fine-tuning takes a lower rate")
def tuned_at_the_same_rate():
    return clean_but(
        lambda tokens, V: train(small(V), tokens, 6),
        quickly,
        lambda model, tokens: train(model, tokens, 5),
    )


@wrong("7.3", "The comparison is at an equal budget")
def scratch_with_fewer_steps():
    return clean_but(lambda tokens, V: train(small(V), tokens, 6), quickly)


def quickly(tokens, V):
    return train(small(V), tokens, 4)


@wrong("7.3", "so it is easy to beat")
def a_weak_opponent():
    def pretrain(tokens, V):
        return train(small(V), tokens, 12)

    return clean_but(pretrain, lambda tokens, V: train(small(V), tokens, 5))


@wrong("7.3", "Large steps overwrite")
def tuned_at_a_high_rate():
    return clean_but(pretrain=lambda tokens, V: train(small(V), tokens, 20, 1.1), finetune=ruined)


def ruined(model, tokens):
    """Large steps of an optimiser of one's own."""
    g = torch.Generator().manual_seed(1)
    rows = torch.randint(len(tokens) - 33, (16, 1), generator=g) + torch.arange(33)
    xb, yb = tokens[rows][:, :-1], tokens[rows][:, 1:]
    for _ in range(3):
        F.cross_entropy(model(xb).flatten(0, 1), yb.flatten()).backward()
        for p in model.parameters():
            p.data -= 30 * p.grad
            p.grad = None
    return model


@wrong("7.3", "The head start is too small")
def tuned_from_the_start():
    return clean_but(
        pretrain=lambda tokens, V: train(small(V), tokens, 60),
        finetune=lambda model, tokens: train(model, tokens, 10, 0.2),
    )


@wrong("7.3", "Short dashes or curly quotes were rewritten, too")
def everything_that_looks_alike():
    def to_alphabet(text, chars):
        for curly in "‘’“”":
            text = text.replace(curly, "'")
        return clean(text.replace("–", "-"), chars)

    return to_alphabet, *stubs()


@wrong("7.3", "It went on with a model that has read the other plays")
def one_model_for_all():
    kept = []

    def pretrain(tokens, V):
        kept.append(train(small(V), tokens, 6))
        return kept[-1]

    return clean_but(pretrain, lambda tokens, V: train(kept[-1], tokens, 5))


@wrong("7.3", "Long dashes that stand side by side became one")
def dashes_side_by_side_become_one():
    return lambda text, chars: clean(re.sub("—+", "—", text), chars), *stubs()


@wrong("7.3", "Blanks or line breaks at the ends of the text are gone")
def ends_stripped():
    return lambda text, chars: clean(text.strip(), chars), *stubs()


@wrong("7.3", "and none that was kept from before")
def tuned_a_model_that_was_kept():
    kept = []

    def pretrain(tokens, V):
        kept.append(train(small(V), tokens, 5))
        return copy.deepcopy(kept[0])

    return clean_but(pretrain, quickly, lambda model, tokens: train(kept[0], tokens, 4, 0.1))
