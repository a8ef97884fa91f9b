"""The texts that `generate` of 11.4 writes, rightly and with a slip, and the nucleus of a row."""

import numpy as np

from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import Mistake


def kept_of(probs: np.ndarray, p: float, shift: int = 0, rising: bool = False) -> np.ndarray:
    """Return which tokens are kept: `shift` more or fewer than right, or from the unlikely end."""
    order = np.argsort(probs if rising else -probs, 1, kind="stable")
    ranked = np.take_along_axis(probs, order, 1)
    count = (ranked.cumsum(1) - ranked < p).sum(1, keepdims=True) + shift
    keep = np.zeros(probs.shape, bool)
    np.put_along_axis(keep, order, np.arange(probs.shape[1]) < count, 1)
    return keep


def shared_out(weights: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return weights / weights.sum(1, keepdims=True)


def nucleus(probs: np.ndarray, p: float) -> np.ndarray:
    return probs if p >= 1 else shared_out(probs * kept_of(probs, p))


def _drawn(weights: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return the token of each row at which the running sum passes u."""
    at = (weights.cumsum(1) <= u[:, None]).sum(1)
    return np.minimum(at, weights.shape[1] - 1)


def written(
    table,
    u,
    prompts,
    eos,
    n_tokens,
    p,
    ends="own",
    seen="new",
    kept=False,
    more=0,
    of_all=False,
    of_longest=False,
) -> tuple[list[list[int]], int]:
    """Return the new tokens of each text and how often the model was asked.

    ends: "own" text, or "all" texts, when one writes eos, or "none". seen: where eos is looked
    for, in what is "new", in the "last" token of the text or in "any" of it. kept: eos stays.
    of_all: n_tokens counts the prompt's, too. of_longest: rounds are counted by the longest text.
    """
    texts = [list(prompt) for prompt in prompts]
    start = [len(text) for text in texts]
    ended = [
        (seen == "last" and text[-1] == eos) or (seen == "any" and eos in text) for text in texts
    ]
    rounds = len(u) if of_longest else n_tokens + more
    for asked in range(rounds):
        if of_longest and max(map(len, texts)) >= max(start) + n_tokens:
            break
        if (all(ended) and ends != "none") or (any(ended) and ends == "all"):
            break
        probs = np.array([table[len(text) % len(table), text[-1]] for text in texts])
        for i, token in enumerate(_drawn(nucleus(probs, p), u[asked])):
            if (ended[i] and ends != "none") or (of_all and len(texts[i]) >= n_tokens):
                continue
            if token == eos:
                ended[i] = True
            texts[i].append(int(token))
    else:
        asked = rounds
    new = [text[n:] for text, n in zip(texts, start, strict=True)]
    if not kept:
        new = [row[:-1] if row and row[-1] == eos and ends != "none" else row for row in new]
    return new, asked


def wrong_texts(asked: dict) -> list[Mistake]:
    right, _ = written(**asked)
    in_front = [p + row for p, row in zip(asked["prompts"], right, strict=True)]

    def variant(**switches):
        return written(**{**asked, **switches})[0]

    at_once = (
        "A text has ended at once, because its prompt holds `eos`: only what it writes counts."
    )
    both = "The `eos` that was written is left in what comes back."
    found = [
        (variant(ends="all"), "The first text that ended has ended all of them."),
        (variant(ends="all", kept=True), "The first text that ended has ended all of them."),
        (variant(kept=True), both),
        (variant(ends="none"), "A text goes on behind its own `eos`."),
        (variant(seen="last"), at_once),
        (variant(seen="any"), at_once),
        (in_front, "The prompts stand in front: return what is new."),
        (variant(p=1.0), "Drawn from all tokens: `top_p` of the probabilities isn't used."),
        (variant(more=1), "There is one token too many: n_tokens at most."),
        (variant(more=-1), "There is one token too few: n_tokens, where no `eos` comes."),
        (
            variant(of_longest=True),
            "The rounds are counted by the longest text, which may have ended: each text gets at "
            "most n_tokens.",
        ),
        (variant(of_all=True), "n_tokens counts what is new, without the prompt."),
    ]
    return [Mistake(value, hint) for value, hint in found]


def to_write(rng, all_end: bool) -> dict:
    """Return what makes texts of which some end early, and of which all do or one doesn't."""
    V, eos, B = 9, int(rng.integers(0, 9)), 4
    while True:
        logits = 1.5 * rng.normal(size=(5, V, V))
        logits[:, :, eos] = rng.normal(0.5 if all_end else -0.5, 1, (5, V))
        prompts = [rng.integers(0, V, n).tolist() for n in rng.permutation([1, 2, 3, 5])]
        prompts[0] = [eos]
        prompts[1][-1] = eos
        prompts[2] = [int(rng.integers(0, V)), eos, (eos + 1) % V]
        asked = {
            "table": softmax(logits),
            "u": rng.random((30, B)),
            "prompts": prompts,
            "eos": eos,
            "n_tokens": 25 if all_end else int(rng.integers(8, 12)),
            "p": 0.8,
        }
        right, calls = written(**asked)
        lengths = [len(row) for row in right]
        short = calls < asked["n_tokens"] - 1 if all_end else max(lengths) == asked["n_tokens"]
        if not short or len(set(lengths)) < B or min(lengths) > 2:
            continue
        if all_end:
            return asked
        grown = max(len(p) + n for p, n in zip(prompts, lengths, strict=True))
        if grown == max(map(len, prompts)) + asked["n_tokens"]:
            continue  # then rounds may as well be counted by the longest text
        hints = {repr(right): ""}
        if all(hints.setdefault(repr(m.value), m.hint) == m.hint for m in wrong_texts(asked)):
            return asked
