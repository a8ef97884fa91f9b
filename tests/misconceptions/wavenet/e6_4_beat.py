"""Wrong answers to 6.4, beat 1.993."""

from functools import cache

import torch

from misconceptions import wrong
from zerotohero import mlp, wavenet
from zerotohero.bigram import Vocabulary
from zerotohero.course import data


@cache
def names(*splits):
    words = mlp.split_words(data.words())
    return tuple(word for split in splits for word in getattr(words, split))


@cache
def counted(words, longest=8):
    """Logits from counts of the windows' last 0, 1, …, `longest` characters (Witten-Bell)."""
    X, Y = mlp.build_dataset(words, 8, Vocabulary(words))
    place = 27 ** torch.arange(8).flip(0)  # a window as one number, the newest character last

    def numbers(xb, k):
        return xb[:, 8 - k :] @ place[8 - k :]

    tables = []
    for k in range(longest + 1):
        keys, at = numbers(X, k).unique(return_inverse=True)
        counts = torch.zeros(len(keys), 27).index_put_((at, Y), torch.ones(len(Y)), True)
        tables.append((keys, counts))

    def model(xb):
        probs = torch.full((len(xb), 27), 1 / 27)
        for k, (keys, counts) in enumerate(tables):
            at = torch.searchsorted(keys, numbers(xb, k)).clamp(max=len(keys) - 1)
            seen = counts[at] * (keys[at] == numbers(xb, k))[:, None]
            kinds = (seen > 0).sum(1, keepdim=True).clamp(min=1)
            probs = (seen + 3 * kinds * probs) / (seen.sum(1, keepdim=True) + 3 * kinds)
        return probs.log()

    return model


def peeking():
    """A model that passes, to show that one can: it has counted the held-out names, a little."""
    return counted(names("train", "dev", "test"), longest=3)


@wrong("6.4", "return the logits, before softmax")
def probabilities():
    return lambda xb: peeking()(xb).softmax(1)


@wrong("6.4", "The model is still in train mode: BatchNorm mixes")
def still_in_train_mode():
    config = wavenet.WaveNetConfig(n_embd=4, n_hidden=8)
    return wavenet.WaveNet(config, torch.Generator().manual_seed(1)).train()


@wrong("6.4", "it was trained on dev as well")
def trained_on_dev():
    return counted(names("train", "dev"))


@wrong("6.4", "it was trained on test as well")
def trained_on_test():
    return counted(names("train", "test"), longest=5)


@wrong("6.4", "among those that it learned from")
def trained_on_all_names():
    return counted(names("train", "dev", "test"))


@wrong("6.4", "doesn't look at its context")
def the_same_for_every_window():
    return lambda xb: torch.linspace(0, 1, 27).repeat(len(xb), 1)


@wrong("6.4", "The model answers for every position")
def all_positions():
    return lambda xb: peeking()(xb)[:, None].expand(-1, 8, -1)


@wrong("6.4", "NaN comes from weights that are NaN")
def diverged():
    return lambda xb: peeking()(xb) * float("nan")


@wrong("6.4", "The network has hardly learned")
def letter_pairs():
    return counted(names("train"), longest=1)


@wrong("6.4", "Compare with the loss on the training names")
def not_good_enough():
    return counted(names("train"))


@wrong("6.4", "worse than knowing nothing")
def newest_character_first():
    return lambda xb: counted(names("train"))(xb.flip(1))


@wrong("6.4", "Is this the model that was trained?")
def large_logits_of_the_newest_character():
    return lambda xb: 100 * torch.nn.functional.one_hot(xb[:, -1], 27).float()


@wrong("6.4", "Rows and columns are exchanged")
def a_column_for_each_window():
    return lambda xb: peeking()(xb).T


@wrong("6.4", "a sixth of the budget's parameters")
def too_large():
    config = wavenet.WaveNetConfig(n_embd=4, n_hidden=400)
    return wavenet.WaveNet(config, torch.Generator().manual_seed(1)).eval()


@wrong("6.4", "made for another context")
def another_context():
    config = wavenet.WaveNetConfig(block_size=16, n_embd=4, n_hidden=8)
    return wavenet.WaveNet(config, torch.Generator().manual_seed(1)).eval()


@wrong("6.4", "write into the tensor that was handed over")
def window_overwritten():
    def model(xb):
        logits = peeking()(xb)
        xb.zero_()
        return logits

    return model
