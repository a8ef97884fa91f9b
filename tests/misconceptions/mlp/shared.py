"""What wrong answers to lecture 03 share: the data set, with switches."""

import torch


def build(words, block_size, stoi, end=".", row=list, source="word", late=False, dtype=None):
    X, Y, of = [], [], []
    for n, word in enumerate(words):
        context = [0] * block_size
        for s in word + end:
            after = [*context[1:], stoi[s]]
            X.append(row(after if late else context))
            of.append(n if source == "word" else len(Y))
            Y.append(stoi[s])
            context = after
    return torch.tensor(X, dtype=dtype), torch.tensor(Y), torch.tensor(of)
