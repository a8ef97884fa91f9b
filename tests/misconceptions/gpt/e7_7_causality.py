"""Wrong answers to 7.7, a test of causality."""

import torch

from misconceptions import wrong


@torch.no_grad()
def causal(
    model,
    V,
    n,
    lengths=lambda n: range(2, n + 1),
    cuts=lambda T: range(1, T),
    copied=torch.clone,
    change=lambda tokens, V: (tokens + 1) % V,
    same=lambda a, b: torch.allclose(a, b, rtol=0, atol=1e-4),
    rows=lambda cut: slice(0, cut),
    evaluate=True,
    restore=True,
):
    """A right test, one cut after another, with switches."""
    was = model.training
    if evaluate:
        model.eval()
    g = torch.Generator().manual_seed(1)
    found = True
    for T in lengths(n):
        idx = torch.randint(V, (1, T), generator=g)
        logits = model(idx)
        for cut in cuts(T):
            other = copied(idx)
            other[:, cut:] = change(idx[:, cut:], V)
            found = found and same(model(other)[:, rows(cut)], logits[:, rows(cut)])
    if restore:
        model.train(was)
    return found


def testing(**switches):
    return lambda model, V, n: causal(model, V, n, **switches)


@wrong("7.7", "You change or cut off the last token only")
def last_token_alone():
    return testing(lengths=lambda n: [n], cuts=lambda T: [T - 1])


@wrong("7.7", "You change or cut off the tokens from 3 on")
def one_cut_in_the_middle():
    return testing(lengths=lambda n: [n], cuts=lambda T: [T // 2])


@wrong("7.7", "The last token is never changed")
def last_cut_forgotten():
    return testing(lengths=lambda n: [n], cuts=lambda T: range(1, T - 1))


@wrong("7.7", "none further back")
def only_the_row_before():
    @torch.no_grad()
    def is_causal(model, V, n):
        was = model.training
        model.eval()
        found = True
        for T in range(2, n + 1):
            idx = torch.zeros(1, T, dtype=torch.long)
            logits = model(idx)
            for t in range(1, T):
                other = idx.clone()
                other[:, t] = 1
                found = found and torch.allclose(
                    model(other)[:, t - 1], logits[:, t - 1], atol=1e-4
                )
        model.train(was)
        return found

    return is_causal


@wrong("7.7", "Position 0 is never compared")
def first_position_left_out():
    return testing(rows=lambda cut: slice(1, cut))


@wrong("7.7", "only those *before* the first changed token must stay")
def compares_the_changed_position():
    return testing(rows=lambda cut: slice(0, cut + 1))


@wrong("7.7", "with a tolerance, `torch.allclose(a, b, atol=1e-4)`")
def exactly_equal():
    return testing(same=torch.equal)


@wrong("7.7", "The tolerance is too wide:")
def wide_tolerance():
    return testing(same=lambda a, b: torch.allclose(a, b, atol=0.1))


@wrong("7.7", "positions left out that have changed?")
def absurd_tolerance():
    return testing(same=lambda a, b: torch.allclose(a, b, atol=20))


@wrong("7.7", "You call the model in train mode")
def left_in_train_mode():
    return testing(evaluate=False)


@wrong("7.7", "BatchNorm refuses a single token in train mode")
def a_single_token_in_train_mode():
    return testing(lengths=lambda n: range(1, n + 1), evaluate=False)


@wrong("7.7", "A test must leave no trace")
def mode_not_restored():
    return testing(restore=False)


@wrong("7.7", "one that is drawn at random is the old one")
def drawn_at_random():
    g = torch.Generator().manual_seed(1)
    return testing(change=lambda tokens, V: torch.randint(V, tokens.shape, generator=g))


@wrong("7.7", "You test texts of up to 2 tokens")
def two_tokens():
    return testing(lengths=lambda n: [2])


@wrong("7.7", "You only test T = block_size")
def full_length_alone():
    return testing(lengths=lambda n: [n])


@wrong("7.7", "A last token that changes shows what it leaks itself")
def last_token_at_every_length():
    return testing(cuts=lambda T: [T - 1])


@wrong("7.7", "test all lengths from 2 to block_size")
def shortest_and_longest():
    return testing(lengths=lambda n: [2, n])


@wrong("7.7", "they cancel in a sum or a mean")
def means_compared():
    return testing(same=lambda a, b: abs(a.mean() - b.mean()).item() < 1e-4)


@wrong("7.7", "take `.abs()` before the largest")
def differences_of_one_sign():
    return testing(same=lambda a, b: (a - b).max().item() <= 1e-4)


@wrong("7.7", "begin each time with a fresh copy")
def changes_pile_up():
    return testing(copied=lambda tokens: tokens)


def looping(join):
    """A right test, but for how what comes of the cuts is joined to an answer."""

    def is_causal(model, V, n):
        found = []
        for T in range(2, n + 1):
            for cut in range(1, T):
                one = {"lengths": lambda n, T=T: [T], "cuts": lambda T, cut=cut: [cut]}
                found.append(causal(model, V, n, **one))
        return join(found)

    return is_causal


@wrong("7.7", "only one of them counts")
def answer_overwritten():
    return looping(lambda found: found[-1])


@wrong("7.7", "True takes all of them")
def any_cut_for_all():
    return looping(any)


@wrong("7.7", "A mean over positions or the vocabulary loses them")
def mean_of_differences():
    return testing(same=lambda a, b: (a - b).abs().mean().item() < 1e-4)


@wrong("7.7", "one and the same text")
def changed_in_place():
    @torch.no_grad()
    def is_causal(model, V, n):
        was = model.training
        model.eval()
        idx = torch.zeros(1, n, dtype=torch.long)
        other = idx
        other[:, n // 2 :] = 1
        found = torch.allclose(model(idx)[:, : n // 2], model(other)[:, : n // 2], atol=1e-4)
        model.train(was)
        return found

    return is_causal


@wrong("7.7", "stays within the vocabulary")
def beyond_the_vocabulary():
    return testing(change=lambda tokens, V: tokens + V)


@wrong("7.7", "is an axis missing?")
def without_a_batch():
    def is_causal(model, V, n):
        idx = torch.zeros(n, dtype=torch.long)
        other = (torch.arange(n) > 3).long()
        return torch.allclose(model(idx)[:4], model(other)[:4], atol=1e-4)

    return is_causal


@wrong("7.7", "exchange some for others and compare the logits")
def gradient_of_tokens():
    def is_causal(model, V, n):
        idx = torch.zeros(1, n, requires_grad=True)
        model(idx)[:, 0].sum().backward()
        return not idx.grad[:, 1:].any()

    return is_causal


@wrong("7.7", "Each answer is turned round")
def leaky_instead_of_causal():
    return lambda model, V, n: not causal(model, V, n)


@wrong("7.7", "the caller wants an answer")
def asserts():
    def is_causal(model, V, n):
        assert causal(model, V, n)
        return True

    return is_causal


@wrong("7.7", "The model is never called")
def always_true():
    return lambda model, V, n: True


@wrong("7.7", "one for the model as a whole")
def one_answer_a_position():
    def is_causal(model, V, n):
        return torch.ones(n, dtype=torch.bool)

    return is_causal


@wrong("7.7", "No text of 2 tokens is fed")
def lengths_from_three():
    return testing(lengths=lambda n: range(3, n + 1))


@wrong("7.7", "No text of 4 tokens is fed")
def short_and_longest():
    return testing(lengths=lambda n: [2, 3, n])


@wrong("7.7", "with other tokens from there on")
def first_and_last_cut():
    return testing(cuts=lambda T: {1, T - 1})


@wrong("7.7", "without softmax or log_softmax")
def probabilities_compared():
    return testing(
        same=lambda a, b: torch.allclose(a.log_softmax(-1), b.log_softmax(-1), rtol=0, atol=1e-4)
    )


@wrong("7.7", "Something empty is indexed")
def texts_of_no_tokens():
    @torch.no_grad()
    def is_causal(model, V, n):
        model.eval()
        for T in range(n + 1):
            idx = torch.zeros(T, dtype=torch.long)
            logits = model(torch.stack([idx, (idx + 1) % V]))
            if not torch.allclose(logits[0, 0], logits[1, 0]):
                return False
        return True

    return is_causal
