"""Wrong answers to 10.5, score completions."""

import torch
import torch.nn.functional as F

from misconceptions import wrong


def common(whole, alone):
    n = 0
    while n < min(len(whole), len(alone)) and whole[n] == alone[n]:
        n += 1
    return n


def cut(encode, context, ending):
    whole, alone = encode(f"{context} {ending}"), encode(context)
    n = common(whole, alone)
    return whole[:n], whole[n:]


def padded(pairs, fill=0, left=False):
    rows = [before + after for before, after in pairs]
    longest = max(map(len, rows))
    filling = [[fill] * (longest - len(row)) for row in rows]
    both = zip(filling, rows, strict=True)
    return torch.tensor([f + row if left else row + f for f, row in both])


def scoring(
    start=0,
    stop=0,
    whole=False,
    to_the_end=False,
    axis=-1,
    fill=0,
    lengths="after",
    logs=F.log_softmax,
    turn=lambda logp: logp,
    left=False,
):
    """Return score_endings with one thing wrong."""

    def score_endings(model, pairs):
        idx = padded(pairs, fill, left)
        logp = logs(model(idx), axis)[:, :-1].gather(2, idx[:, 1:, None])[..., 0]
        sums, means = [], []
        for row, (before, after) in zip(turn(logp), pairs, strict=True):
            shift = idx.shape[1] - len(before) - len(after) if left else 0
            first = 0 if whole else max(0, len(before) - 1 + start) + shift
            last = None if to_the_end else len(before) + len(after) - 1 + stop + shift
            sums.append(row[first:last].sum().item())
            n = {"after": len(after), "row": len(before) + len(after), "none": 1}
            n |= {"longest": max(len(a) for _, a in pairs), "before": len(before)}
            means.append(sums[-1] / n[lengths])
        return sums, means

    return score_endings


score = scoring()


def cutting(which):
    """Return cut_completion of a wrong cut of (encode, context, ending, whole, alone, n)."""

    def cut_completion(encode, context, ending):
        whole, alone = encode(f"{context} {ending}"), encode(context)
        return which(encode, context, ending, whole, alone, common(whole, alone))

    return cut_completion


@wrong("10.5", "Cut behind as many tokens as the context has alone")
def token_lost_at_the_seam():
    return cutting(lambda e, c, x, w, a, n: (w[: len(a)], w[len(a) :])), score


@wrong("10.5", "The first list is the context alone: where it ends in other")
def whole_context_before():
    return cutting(lambda e, c, x, w, a, n: (a, w[n:])), score


@wrong("10.5", "Context and ending are encoded apart")
def encoded_apart():
    return cutting(lambda e, c, x, w, a, n: (a, e(f" {x}"))), score


@wrong("10.5", "Encoded apart, with the blank behind the context")
def blank_behind_the_context():
    return cutting(lambda e, c, x, w, a, n: (e(f"{c} "), e(x))), score


@wrong("10.5", "Encoded apart, and the blank between the two is lost")
def apart_without_a_blank():
    return cutting(lambda e, c, x, w, a, n: (a, e(x))), score


@wrong("10.5", "There is no blank between context and ending")
def glued():
    def cut_completion(encode, context, ending):
        whole, alone = encode(context + ending), encode(context)
        n = common(whole, alone)
        return whole[:n], whole[n:]

    return cut_completion, score


@wrong("10.5", "Compared with the context and a blank")
def compared_with_a_blank():
    def cut_completion(encode, context, ending):
        whole, alone = encode(f"{context} {ending}"), encode(f"{context} ")
        n = common(whole, alone)
        return whole[:n], whole[n:]

    return cut_completion, score


@wrong("10.5", "All places that agree are counted")
def all_that_agree():
    def which(e, c, x, w, a, n):
        n = sum(i == j for i, j in zip(w, a, strict=False))
        return w[:n], w[n:]

    return cutting(which), score


@wrong("10.5", "The other way round: first what both")
def other_way_round():
    return cutting(lambda e, c, x, w, a, n: (w[n:], w[:n])), score


@wrong("10.5", "The first token of the second list is lost")
def one_token_lost():
    return cutting(lambda e, c, x, w, a, n: (w[:n], w[n + 1 :])), score


@wrong("10.5", "One token too few in the first list")
def one_token_early():
    return cutting(lambda e, c, x, w, a, n: (w[: n - 1], w[n - 1 :])), score


@wrong("10.5", "The first list is the whole text")
def whole_text_first():
    return cutting(lambda e, c, x, w, a, n: (w, w[n:])), score


@wrong("10.5", "One of the two may end before they differ")
def runs_over_the_end():
    def which(e, c, x, w, a, n):
        n = 0
        while w[n] == a[n]:
            n += 1
        return w[:n], w[n:]

    return cutting(which), score


@wrong("10.5", "The context is scored too: only the tokens")
def context_too():
    return cut, scoring(whole=True)


@wrong("10.5", "The first token of each ending is lost: it is judged")
def first_token_lost():
    return cut, scoring(start=1)


@wrong("10.5", "One token of the context is scored too")
def last_of_the_context():
    return cut, scoring(start=-1)


@wrong("10.5", "The last token of each ending is lost")
def last_token_lost():
    return cut, scoring(stop=-1)


@wrong("10.5", "The filling behind shorter rows is scored")
def filling_scored():
    return cut, scoring(to_the_end=True)


@wrong("10.5", "Each token is judged by its own position's logits")
def not_shifted():
    def score_endings(model, pairs):
        idx = padded(pairs)
        logp = F.log_softmax(model(idx), -1).gather(2, idx[..., None])[..., 0]
        ranges = [(len(b), len(b) + len(a)) for b, a in pairs]
        sums = [row[i:j].sum().item() for row, (i, j) in zip(logp, ranges, strict=True)]
        return sums, [s / len(a) for s, (_, a) in zip(sums, pairs, strict=True)]

    return cut, score_endings


@wrong("10.5", "Shifted the wrong way")
def shifted_backwards():
    def score_endings(model, pairs):
        idx = padded(pairs)
        logp = F.log_softmax(model(idx), -1)[:, 1:].gather(2, idx[:, :-1, None])[..., 0]
        ranges = [(len(b) - 1, len(b) + len(a) - 1) for b, a in pairs]
        sums = [row[i:j].sum().item() for row, (i, j) in zip(logp, ranges, strict=True)]
        return sums, [s / len(a) for s, (_, a) in zip(sums, pairs, strict=True)]

    return cut, score_endings


@wrong("10.5", "The other sign: a loss is above 0")
def losses():
    return cut, scoring(turn=lambda logp: -logp)


@wrong("10.5", "Logarithms to the base 2")
def in_bits():
    return cut, scoring(turn=lambda logp: logp / 0.6931471805599453)


@wrong("10.5", "Logarithms to the base 10")
def decadic():
    return cut, scoring(logs=lambda x, axis: F.softmax(x, axis).log10())


@wrong("10.5", "Probabilities are added")
def probabilities():
    return cut, scoring(turn=torch.exp)


@wrong("10.5", "The probability itself, which underflows")
def multiplied():
    def score_endings(model, pairs):
        sums, means = score(model, pairs)
        return torch.tensor(sums).exp().tolist(), means

    return cut, score_endings


@wrong("10.5", "Logits are added")
def logits():
    return cut, scoring(logs=lambda x, axis: x)


@wrong("10.5", "`log_softmax` goes along the positions")
def over_positions():
    return cut, scoring(axis=1)


@wrong("10.5", "`log_softmax` goes along the rows")
def over_rows():
    return cut, scoring(axis=0)


@wrong("10.5", "The sum of all rows together")
def one_sum():
    def score_endings(model, pairs):
        sums, means = score(model, pairs)
        return [sum(sums)] * len(sums), means

    return cut, score_endings


@wrong("10.5", "The last places of the row are taken")
def the_last_places():
    def score_endings(model, pairs):
        idx = padded(pairs)
        logp = F.log_softmax(model(idx), -1)[:, :-1].gather(2, idx[:, 1:, None])[..., 0]
        sums = [row[-len(a) :].sum().item() for row, (_, a) in zip(logp, pairs, strict=True)]
        return sums, [s / len(a) for s, (_, a) in zip(sums, pairs, strict=True)]

    return cut, score_endings


@wrong("10.5", "All rows are cut where the first one's context ends")
def one_context_for_all():
    def score_endings(model, pairs):
        idx, n = padded(pairs), len(pairs[0][0])
        logp = F.log_softmax(model(idx), -1)[:, :-1].gather(2, idx[:, 1:, None])[..., 0]
        both = zip(logp, pairs, strict=True)
        sums = [row[n - 1 : n - 1 + len(a)].sum().item() for row, (_, a) in both]
        return sums, [s / len(a) for s, (_, a) in zip(sums, pairs, strict=True)]

    return cut, score_endings


@wrong("10.5", "As many tokens are scored as the longest ending has")
def all_as_long_as_the_longest():
    def score_endings(model, pairs):
        idx, n = padded(pairs), max(len(a) for _, a in pairs)
        logp = F.log_softmax(model(idx), -1)[:, :-1].gather(2, idx[:, 1:, None])[..., 0]
        both = zip(logp, pairs, strict=True)
        sums = [row[len(b) - 1 : len(b) - 1 + n].sum().item() for row, (b, _) in both]
        return sums, [s / len(a) for s, (_, a) in zip(sums, pairs, strict=True)]

    return cut, score_endings


@wrong("10.5", "Rows are filled up on the left")
def filled_on_the_left():
    return cut, scoring(left=True)


@wrong("10.5", "Some probability has become 0")
def in_two_steps():
    return cut, scoring(logs=lambda x, axis: F.softmax(x, axis).log())


@wrong("10.5", "Improbable tokens are held above a limit")
def held_above_a_limit():
    return cut, scoring(logs=lambda x, axis: (F.softmax(x, axis) + 1e-10).log())


@wrong("10.5", "One call for each pair")
def one_by_one():
    def score_endings(model, pairs):
        found = [score(model, [pair]) for pair in pairs]
        return [s for (s,), _ in found], [m for _, (m,) in found]

    return cut, score_endings


@wrong("10.5", "A token that the model doesn't know")
def filled_with_ignored():
    return cut, scoring(fill=-100)


@wrong("10.5", "Rows of different length are no tensor")
def ragged():
    def score_endings(model, pairs):
        model(torch.tensor([before + after for before, after in pairs]))
        return score(model, pairs)

    return cut, score_endings


@wrong("10.5", "makes a (B, T) tensor of rows")
def one_row_alone():
    def score_endings(model, pairs):
        model(torch.tensor(pairs[0][0] + pairs[0][1]))
        return score(model, pairs)

    return cut, score_endings


@wrong("10.5", "The means stand where the sums are asked for")
def means_first():
    return cut, lambda model, pairs: score(model, pairs)[::-1]


@wrong("10.5", "The mean is the sum itself")
def sums_twice():
    return cut, scoring(lengths="none")


@wrong("10.5", "Divided by the length of the row")
def divided_by_the_row():
    return cut, scoring(lengths="row")


@wrong("10.5", "Divided by the length of the longest ending")
def divided_by_the_longest():
    return cut, scoring(lengths="longest")


@wrong("10.5", "Divided by the length of the context")
def divided_by_the_context():
    return cut, scoring(lengths="before")


@wrong("10.5", "That is the perplexity")
def perplexities():
    def score_endings(model, pairs):
        sums, means = score(model, pairs)
        return sums, (-torch.tensor(means)).exp().tolist()

    return cut, score_endings


@wrong("10.5", "Both functions return two lists")
def sums_alone():
    return cut, lambda model, pairs: score(model, pairs)[0]


@wrong("10.5", "All is one position early")
def one_position_early():
    return cut, scoring(start=-1, stop=-1)


@wrong("10.5", "is taken for filling")
def filling_by_its_token():
    def score_endings(model, pairs):
        idx = padded(pairs)
        logp = F.log_softmax(model(idx), -1)[:, :-1].gather(2, idx[:, 1:, None])[..., 0]
        logp = logp * (idx[:, 1:] != 0)
        sums = [logp[i, len(before) - 1 :].sum().item() for i, (before, _) in enumerate(pairs)]
        return sums, [s / len(after) for s, (_, after) in zip(sums, pairs, strict=True)]

    return cut, score_endings


@wrong("10.5", "right sums in another order")
def longest_first():
    def score_endings(model, pairs):
        return score(model, sorted(pairs, key=lambda pair: -len(pair[0]) - len(pair[1])))

    return cut, score_endings


@wrong("10.5", "needs `dtype=torch.int64`")
def rows_of_int32():
    def score_endings(model, pairs):
        idx = padded(pairs)
        logp = F.log_softmax(model(idx.int()), -1)[:, :-1].gather(2, idx[:, 1:, None])[..., 0]
        sums = [
            logp[i, len(before) - 1 : len(before) + len(after) - 1].sum().item()
            for i, (before, after) in enumerate(pairs)
        ]
        return sums, [s / len(after) for s, (_, after) in zip(sums, pairs, strict=True)]

    return cut, score_endings


@wrong("10.5", "The context's own tokens, and the whole from as many on")
def context_and_the_rest():
    return cutting(lambda e, c, x, w, a, n: (a, w[len(a) :])), score


@wrong("10.5", "Cut by the number of tokens that the ending has")
def counted_from_the_end():
    def which(e, c, x, w, a, n):
        n = len(e(f" {x}"))
        return w[:-n], w[-n:]

    return cutting(which), score


@wrong("10.5", "is looked for anywhere in the context")
def known_tokens():
    def which(e, c, x, w, a, n):
        return [t for t in w if t in a], [t for t in w if t not in a]

    return cutting(which), score


@wrong("10.5", "compare place by place")
def up_to_the_first_unknown():
    def which(e, c, x, w, a, n):
        n = 0
        while n < min(len(w), len(a)) and w[n] in a:
            n += 1
        return w[:n], w[n:]

    return cutting(which), score


@wrong("10.5", "One token too many in the first list")
def one_token_late():
    return cutting(lambda e, c, x, w, a, n: (w[: n + 1], w[n + 1 :])), score


@wrong("10.5", "The logits at position t are read at token t")
def not_shifted_at_all():
    def score_endings(model, pairs):
        idx = padded(pairs)
        logp = F.log_softmax(model(idx), -1).gather(2, idx[..., None])[..., 0]
        ranges = [(len(b) - 1, len(b) + len(a) - 1) for b, a in pairs]
        sums = [row[i:j].sum().item() for row, (i, j) in zip(logp, ranges, strict=True)]
        return sums, [s / len(a) for s, (_, a) in zip(sums, pairs, strict=True)]

    return cut, score_endings


@wrong("10.5", "The likeliest tokens are scored")
def likeliest_tokens():
    def score_endings(model, pairs):
        logp = F.log_softmax(model(padded(pairs)), -1).max(-1).values
        ranges = [(len(b) - 1, len(b) + len(a) - 1) for b, a in pairs]
        sums = [row[i:j].sum().item() for row, (i, j) in zip(logp, ranges, strict=True)]
        return sums, [s / len(a) for s, (_, a) in zip(sums, pairs, strict=True)]

    return cut, score_endings


def one_of_each(place):
    """Return score_endings of one token of each ending."""

    def score_endings(model, pairs):
        idx = padded(pairs)
        logp = F.log_softmax(model(idx), -1)[:, :-1].gather(2, idx[:, 1:, None])[..., 0]
        both = zip(logp, pairs, strict=True)
        sums = [row[len(b) - 1 :][: len(a)][place].item() for row, (b, a) in both]
        return sums, [s / len(a) for s, (_, a) in zip(sums, pairs, strict=True)]

    return score_endings


@wrong("10.5", "Only the first token of each ending is scored")
def first_tokens():
    return cut, one_of_each(0)


@wrong("10.5", "Only the last token of each ending is scored")
def last_tokens():
    return cut, one_of_each(-1)


@wrong("10.5", "Something stands in front of the rows")
def a_sign_in_front():
    def score_endings(model, pairs):
        return score(model, [([0, *before], after) for before, after in pairs])

    return cut, score_endings


@wrong("10.5", "Either no token is added up")
def before_grows():
    def score_endings(model, pairs):
        idx = padded(pairs)
        logp = F.log_softmax(model(idx), -1)[:, :-1].gather(2, idx[:, 1:, None])[..., 0]
        sums = []
        for row, (before, after) in zip(logp, pairs, strict=True):
            before += after
            sums.append(row[len(before) - 1 :][: len(after)].sum().item())
        return sums, [s / len(after) for s, (_, after) in zip(sums, pairs, strict=True)]

    return cut, score_endings
