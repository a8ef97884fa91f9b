"""What 8.6 asks, and what comes of summing and comparing wrongly."""

import math

import numpy as np

from zerotohero.course.exercise import Mistake

V, H = 11, 6


def some_model(rng: np.random.Generator, sure: float = 1.0) -> dict:
    sizes = {"emb": (V, H), "out": (H, V), "shift": (V,)}
    made = {name: rng.normal(size=size) for name, size in sizes.items()}
    return {**made, "out": sure * made["out"]}


def some_rows(rng: np.random.Generator, T: int, turns: list[list[int]]) -> dict:
    """Return tokens, (N, T), and the mask: turns of a row are where its answers begin and end."""
    mask = np.zeros((len(turns), T), bool)
    for row, places in zip(mask, turns, strict=True):
        for start, end in zip(places[::2], places[1::2], strict=True):
            row[start:end] = True
    return {"tokens": rng.integers(0, V, mask.shape), "mask": mask}


def _log_softmax(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    shifted = logits - logits.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


def _logits(model: dict, tokens: np.ndarray) -> np.ndarray:
    x = model["emb"][tokens]
    past = x.cumsum(1) / np.arange(1, 1 + tokens.shape[1])[:, None]
    return np.tanh(x + past) @ model["out"] + model["shift"]


def _of_tokens(table: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    return np.take_along_axis(table, tokens[..., None], 2)[..., 0]


def each_logprob(model: dict, tokens: np.ndarray) -> np.ndarray:
    """Return the log-probability of each token but the first, (N, T − 1)."""
    return _of_tokens(_log_softmax(_logits(model, tokens))[:, :-1], tokens[:, 1:])


def logprob(model: dict, tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return (each_logprob(model, tokens) * mask[:, 1:]).sum(1)


def wrong_logprobs(model: dict, tokens: np.ndarray, mask: np.ndarray) -> list[Mistake]:
    logits, its = _logits(model, tokens), each_logprob(model, tokens)
    logp, counted = _log_softmax(logits), mask[:, 1:]
    right = (its * counted).sum(1)
    first, last = mask.argmax(1), mask.shape[1] - mask[:, ::-1].argmax(1)
    place = np.arange(mask.shape[1])
    from_first = (place >= first[:, None])[:, 1:]
    until_last = (place < last[:, None])[:, 1:]
    twice = np.roll(mask, -2, 1)[:, :-1]
    one_less = counted & np.roll(mask, 1, 1)[:, 1:]  # without the first token of each answer
    cut = counted & (np.roll(mask, -1, 1)[:, 1:] & (place < mask.shape[1] - 1)[1:])
    found = [
        (
            right / mask.sum(1),
            "The mean over the answer's tokens: their sum is the logarithm of the answer's "
            "probability.",
        ),
        (its.sum(1), "Question and padding count too: only tokens where the mask is True do."),
        (
            (its * from_first).sum(1),
            "All that stands behind the answer's first token counts: the mask decides for each "
            "token.",
        ),
        (
            (its * until_last).sum(1),
            "The questions count as well as the answers, up to the last answer's end.",
        ),
        (
            (its * (from_first & until_last)).sum(1),
            "What stands between two answers counts: the mask decides for each token.",
        ),
        (
            (_of_tokens(logp, tokens) * mask).sum(1),
            "Each token is judged by its own position's logits, which have seen it: those of the "
            "position before say what comes.",
        ),
        (
            (_of_tokens(logp[:, 1:], tokens[:, :-1]) * mask[:, :-1]).sum(1),
            "Shifted the wrong way: the logits at t are about token t + 1, not t − 1.",
        ),
        (
            (its * mask[:, :-1]).sum(1),
            "The mask isn't shifted with the tokens: the target of position t is token t + 1, so "
            "`mask[:, 1:]` goes with it.",
        ),
        (
            (its * twice).sum(1),
            "The mask is shifted twice: `mask[:, 1:]` goes with `tokens[:, 1:]`.",
        ),
        (
            (its * counted)[:, :-1].sum(1),
            "The last column is lost: an answer may go on to the end of its row.",
        ),
        ((its * one_less).sum(1), "The first token of each answer is lost."),
        ((its * cut).sum(1), "The last token of each answer is lost; the end of a turn counts."),
        (-right, "The other sign: the logarithm of a probability is below 0."),
        (right / math.log(2), "Logarithms to the base 2: the natural ones are asked for."),
        (
            (np.exp(its) * counted).sum(1),
            "Probabilities are added: take their logarithms, and add these.",
        ),
        (np.exp(right), "The probability itself: its logarithm is asked for."),
        (
            (_of_tokens(logits[:, :-1], tokens[:, 1:]) * counted).sum(1),
            "Logits are added: `log_softmax` makes logarithms of probabilities of them.",
        ),
        (
            (_of_tokens(_log_softmax(logits, 1)[:, :-1], tokens[:, 1:]) * counted).sum(1),
            "`log_softmax` goes along the positions: the vocabulary is the last axis.",
        ),
    ]
    return [Mistake(value, hint) for value, hint in found] + [
        Mistake(np.array(right.sum()), "One sum of all rows: each row has its own."),
    ]


# --- the loss -------------------------------------------------------------------------------------


def margins(given: dict) -> list[np.ndarray]:
    """Return the log-probabilities of policy and reference: chosen, rejected; chosen, rejected."""
    models, pairs = ("policy", "reference"), ("chosen", "rejected")
    return [logprob(given[m], **given[p]) for m in models for p in pairs]


def softplus(x: np.ndarray) -> np.ndarray:
    """Return −log σ(−x)."""
    return np.logaddexp(0, x)


def margin_of_each(given: dict) -> np.ndarray:
    """Return of each pair how much more than the reference the policy prefers what was chosen."""
    pc, pr, rc, rr = margins(given)
    return pc - rc - pr + rr


def the_loss(given: dict) -> float:
    return float(softplus(-given["beta"] * margin_of_each(given)).mean())


def its_gradient(given: dict) -> np.ndarray:
    """Return the gradient of the shift that is added to the policy's logits, (V,)."""
    weight = -given["beta"] / (1 + np.exp(given["beta"] * margin_of_each(given)))

    def of_sums(rows: dict) -> np.ndarray:
        tokens, counted = rows["tokens"], rows["mask"][:, 1:, None]
        probs = np.exp(_log_softmax(_logits(given["policy"], tokens)))[:, :-1]
        return ((np.eye(V)[tokens[:, 1:]] - probs) * counted).sum(1)

    difference = of_sums(given["chosen"]) - of_sums(given["rejected"])
    return (weight[:, None] * difference).mean(0)


def wrong_losses(given: dict) -> list[Mistake]:
    beta = given["beta"]
    pc, pr, rc, rr = margins(given)
    margin = pc - rc - pr + rr
    n = [given[p]["mask"].sum(1) for p in ("chosen", "rejected")]
    each = softplus(-beta * margin)
    with np.errstate(all="ignore"):
        ratios = np.exp(pc - rc) - np.exp(pr - rr)
        found = [
            (each.sum(), "The sum over the pairs: their mean is asked for."),
            (
                softplus(-beta * margin.mean()),
                "The mean of the margins, and then the loss of it: each pair has a loss.",
            ),
            (
                softplus(beta * margin).mean(),
                "The margin has the other sign: so it comes if chosen and rejected change places, "
                "or policy and reference, or if each log-probability has the other sign.",
            ),
            (-each.mean(), "The other sign: the loss is above 0, and −log σ(…)."),
            (
                softplus(-beta * (pc - pr)).mean(),
                "The reference is left out: what counts is how much likelier than the reference "
                "the policy finds an answer.",
            ),
            (
                softplus(-beta * (pc + rc - pr - rr)).mean(),
                "The reference's log-probabilities are added: a ratio's logarithm is a difference.",
            ),
            (
                softplus(-margin).mean(),
                "β is left out: it multiplies the margin, inside σ.",
            ),
            (
                beta * softplus(-margin).mean(),
                "β stands in front of the loss: it multiplies the margin, inside σ.",
            ),
            (
                softplus(-margin / beta).mean(),
                "The margin is divided by β: it is multiplied.",
            ),
            (
                softplus(-(beta * (pc - pr) - (rc - rr))).mean(),
                "β multiplies the policy's part alone: it belongs to the reference's too.",
            ),
            (
                softplus(-beta * ((pc - rc) / n[0] - (pr - rr) / n[1])).mean(),
                "Each answer's log-probability is divided by its length: take the sum.",
            ),
            (
                softplus(-beta * (np.exp(pc) - np.exp(rc) - np.exp(pr) + np.exp(rr))).mean(),
                "Probabilities are compared: take differences of their logarithms.",
            ),
            (softplus(-beta * ratios).mean(), "Ratios are compared: their logarithms are meant."),
            (
                (1 / (1 + np.exp(-beta * margin))).mean(),
                "That is the mean of σ itself: the loss is −log of it.",
            ),
            ((-beta * margin).mean(), "The margin itself, without −log σ around it."),
            (
                np.maximum(0, 1 - beta * margin).mean(),
                "A hinge: DPO's loss is −log σ of the margin.",
            ),
            (
                (softplus(-beta * (pc - rc)) + softplus(beta * (pr - rr))).mean(),
                "σ is taken of each answer alone: of the difference of the two, once.",
            ),
        ]
    return [Mistake(np.array(value), hint) for value, hint in found if np.isfinite(value)]
