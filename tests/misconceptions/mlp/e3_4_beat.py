"""Wrong answers to 3.4, beat 2.17."""

from functools import cache

import torch
import torch.nn.functional as F

from misconceptions import wrong
from misconceptions.mlp.shared import build


@cache
def examples(words, letters):
    """The data set, made once for all wrong answers: no one writes to it."""
    return build(words, 3, {s: i for i, s in enumerate(letters)})[:2]


def briefly(
    words,
    stoi,
    steps=150,
    aligned=True,
    newest=False,
    lr=0.02,
    before=False,
    change=lambda X, Y: (X, Y),
    hidden=torch.nn.Tanh,
    added_up=False,
    measure=F.cross_entropy,
):
    """A small network of torch.nn, trained a little; its five parameters, Linear's transposed."""
    X, Y = change(*examples(tuple(words), tuple(sorted(stoi, key=stoi.get))))
    X = X.flip(1) if newest else X
    g = torch.Generator().manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Embedding(27, 5),
        torch.nn.Flatten(),
        torch.nn.Linear(15, 30),
        hidden(),
        torch.nn.Linear(30, 27),
    )
    with torch.no_grad():
        for p in net.parameters():
            p.copy_((3.0 if before else 0.3) * torch.randn(p.shape, generator=g))
    untrained = [p.detach().clone() for p in net.parameters()]
    optimizer = torch.optim.Adam(net.parameters(), lr=lr, fused=True)
    for _ in range(steps):
        rows = torch.randint(len(X), (128,), generator=g)
        targets = rows if aligned else torch.randint(len(X), (128,), generator=g)
        loss = measure(net(X[rows]), Y[targets])
        if not added_up:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    wte, W1, b1, W2, b2 = untrained if before else net.parameters()
    return wte, W1.T, b1, W2.T, b2


@wrong("3.4", "the context isn't used")
def rows_that_do_not_match():
    return lambda *given: briefly(*given, steps=400, aligned=False)


@wrong("3.4", "With its context turned round")
def trained_newest_first():
    return lambda *given: briefly(*given, steps=600, newest=True)


@wrong("3.4", "worse than knowing nothing")
def copy_from_before_the_training():
    return lambda *given: briefly(*given, steps=10, before=True)


@wrong("3.4", "nearly as much: more steps")
def too_few_steps():
    return lambda *given: briefly(*given, steps=900)


@wrong("3.4", "is it that of the last steps?")
def targets_of_the_next_row():
    return lambda *given: briefly(*given, steps=600, change=lambda X, Y: (X, Y.roll(-1)))


@wrong("3.4", "`torch.nn.Linear` keeps its weight the other way round")
def weights_of_linear_layers():
    def train_mlp(words, stoi):
        wte, W1, b1, W2, b2 = briefly(words, stoi, steps=2)
        return wte, W1.T, b1, W2.T, b2

    return train_mlp


@wrong("3.4", "The training has diverged")
def diverged():
    def train_mlp(words, stoi):
        wte, W1, b1, W2, b2 = briefly(words, stoi, steps=2)
        return wte, W1 * float("inf"), b1, W2, b2

    return train_mlp


@wrong("3.4", "12,000 numbers")
def too_large_a_network():
    return lambda words, stoi: [
        torch.zeros(shape) for shape in [(27, 10), (30, 5000), (5000,), (5000, 27), (27,)]
    ]


@wrong("3.4", "They must be wte")
def one_character_too_few():
    return lambda words, stoi: [
        torch.zeros(shape) for shape in [(26, 10), (30, 200), (200,), (200, 26), (26,)]
    ]


@wrong("3.4", "The target is within reach of three characters")
def too_long_a_context():
    return lambda words, stoi: [
        torch.zeros(shape) for shape in [(27, 2), (34, 20), (20,), (20, 27), (27,)]
    ]


@wrong("3.4", "are filled up with dots in front")
def dots_behind():
    def behind(X, Y):
        order = (X == 0).int().argsort(dim=1, stable=True)
        return X.gather(1, order), Y

    return lambda *given: briefly(*given, steps=400, change=behind)


@wrong("3.4", "every name begins with a context of dots")
def names_run_on():
    def run_on(X, Y):
        return torch.cat((torch.zeros(3, dtype=Y.dtype), Y))[:-1].unfold(0, 3, 1), Y

    return lambda *given: briefly(*given, steps=600, change=run_on)


@wrong("3.4", "the last target of each name is the dot")
def ends_left_out():
    return lambda *given: briefly(*given, steps=400, change=lambda X, Y: (X[Y > 0], Y[Y > 0]))


@wrong("3.4", "With ReLU in the hidden layer")
def relu_for_tanh():
    return lambda *given: briefly(*given, steps=400, hidden=torch.nn.ReLU)


@wrong("3.4", "With a sigmoid in the hidden layer")
def sigmoid_for_tanh():
    return lambda *given: briefly(*given, steps=400, hidden=torch.nn.Sigmoid)


@wrong("3.4", "before the target is shifted into it")
def target_in_its_own_context():
    def shifted(X, Y):
        return torch.cat((X[:, 1:], Y[:, None]), 1), Y

    return lambda *given: briefly(*given, steps=300, change=shifted)


@wrong("3.4", "Are the gradients set to zero before each")
def gradients_that_add_up():
    return lambda *given: briefly(*given, steps=600, lr=0.1, added_up=True)


@wrong("3.4", "It takes the softmax itself")
def softmax_before_cross_entropy():
    def twice(logits, targets):
        return F.cross_entropy(logits.softmax(-1), targets)

    return lambda *given: briefly(*given, steps=900, measure=twice)
