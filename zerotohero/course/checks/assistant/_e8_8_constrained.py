"""What 8.8 asks, and what comes of masking wrongly."""

from collections.abc import Callable

import numpy as np

from zerotohero.course.checks.assistant._e8_6_dpo import H, _logits
from zerotohero.course.exercise import Mistake

END, V = 0, 12


def followers(choices: list, written: list) -> list:
    n = len(written)
    found = {c[n] for c in choices if c[:n] == written and len(c) > n}
    return sorted(found | ({END} if written in choices else set()))


def wrong_followers(choices: list) -> list[tuple[Callable, str]]:
    """Return what comes of mistakes, as functions of what is written, each with its hint."""

    def goes_on(w: list) -> list:
        return [c[len(w)] for c in choices if c[: len(w)] == w and len(c) > len(w)]

    def last_fits(w: list) -> list:
        n = len(w)
        return [c for c in choices if len(c) >= n and (not w or c[n - 1] == w[-1])]

    return [
        (
            lambda w: sorted({c[len(w)] for c in choices if len(c) > len(w)} | _end(w in choices)),
            "Choices count that began otherwise: all of `written` has to agree.",
        ),
        (
            lambda w: sorted(
                {c[len(w)] for c in last_fits(w) if len(c) > len(w)} | _end(w in choices)
            ),
            "Only the last token is compared: all of `written` has to agree.",
        ),
        (
            lambda w: sorted(set(goes_on(w))),
            "`end` never comes: it may where `written` is a choice.",
        ),
        (
            lambda w: sorted(set(goes_on(w)) or _end(w in choices)),
            "`end` is missing where a choice is the beginning of another: both are possible there.",
        ),
        (
            lambda w: [END] if w in choices else sorted(set(goes_on(w))),
            "A choice that is whole may also be the beginning of a longer one, which goes on.",
        ),
        (
            lambda w: sorted({*goes_on(w), END}),
            "`end` is allowed everywhere: only where `written` is a choice.",
        ),
        (
            lambda w: sorted(set(goes_on(w)) | _end(w in choices)) or [END],
            "Where no choice begins so, nothing may follow, not even `end`.",
        ),
        (
            lambda w: sorted(goes_on(w) + ([END] if w in choices else [])),
            "A token comes as often as choices go on with it: each once.",
        ),
        (
            lambda w: list(dict.fromkeys(goes_on(w) + ([END] if w in choices else []))),
            "The tokens are in the choices' order: in rising order.",
        ),
        (
            lambda w: sorted(set(goes_on(w)) | _end(w in choices), reverse=True),
            "The tokens fall: in rising order.",
        ),
    ]


def _end(there: bool) -> set:
    return {END} if there else set()


def some_choices(rng: np.random.Generator) -> dict:
    a, b, c, d, e, f, g = (int(t) for t in rng.permutation(np.arange(1, V))[:7])
    choices = [[g, a], [a, b], [a, c, d], [e, c, f], [a, c], [b, c, g, a], [a, c, b, e], [g, d]]
    choices = [choices[i] for i in rng.permutation(len(choices))]
    written = [[], [a], [a, c], [a, b], [e], [e, c], [b, c, g, a], [f], [a, c, d, f], [g]]
    return {"choices": choices, "written": written, "end": END}


# --- probabilities --------------------------------------------------------------------------------


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def masked(given: dict, temperature: float | None = None) -> np.ndarray:
    logits, allowed = given["logits"], given["allowed"]
    out = np.zeros(len(logits))
    out[allowed] = _softmax(logits[allowed] / (temperature or given["temperature"]))
    return out


def wrong_probs(given: dict) -> list[Mistake]:
    logits, allowed, temperature = (given[k] for k in ("logits", "allowed", "temperature"))
    keep = np.isin(np.arange(len(logits)), allowed)
    plain = _softmax(logits / temperature)
    right = masked(given)
    found = [
        (
            _softmax(np.where(keep, logits, 0) / temperature),
            "A logit of 0 isn't a probability of 0: −∞ is what softmax makes 0 of.",
        ),
        (plain * keep, "What is left doesn't add up to 1: softmax comes after the mask."),
        (plain, "Nothing is masked."),
        (
            masked(given | {"allowed": np.flatnonzero(~keep)}),
            "The mask is the wrong way round: what is allowed got 0.",
        ),
        (masked(given, 1.0), "The temperature is left out: it divides the logits."),
        (masked(given, 1 / temperature), "The temperature multiplies: it divides the logits."),
        (right[allowed], "The allowed tokens' alone: return all V, the others 0."),
        (keep / keep.sum(), "All that is allowed is equally likely: the logits decide."),
        (
            np.eye(len(logits))[right.argmax()],
            "The likeliest has all of it: return the probabilities.",
        ),
    ]
    with np.errstate(divide="ignore"):
        found.append((np.log(right), "Logarithms: return the probabilities."))
    return [Mistake(value, hint) for value, hint in found]


# --- writing --------------------------------------------------------------------------------------


def _model(given: dict, row: list) -> np.ndarray:
    return _logits(given["model"], np.array([row]))[0]


def greedily(given: dict, prompt: list, place: int = -1, feed: Callable | None = None) -> tuple:
    """Return what is written and the calls, each a list of one row."""
    written, seen = [], []
    while True:
        allowed = followers(given["choices"], written)
        token = allowed[0]
        if len(allowed) > 1:
            row = feed(prompt, written) if feed else prompt + written
            seen.append([row])
            logits = _model(given, row)[place]
            token = allowed[int(np.argmax(logits[allowed]))]
        if token == END:
            return written, seen
        written.append(token)


def wrong_writing(given: dict) -> list[tuple[list, str]]:
    prompts, choices = given["prompts"], given["choices"]

    def all_of(way: Callable) -> list:
        return [way(prompt) for prompt in prompts]

    def whole(prompt: list, mean: bool = False) -> list:
        scores = []
        for choice in choices:
            row = prompt + choice + [END]
            logits = _model(given, row)
            logits -= logits.max(-1, keepdims=True)
            logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            its = [logp[t, row[t + 1]] for t in range(len(prompt) - 1, len(row) - 1)]
            scores.append(sum(its) / (len(its) if mean else 1))
        return choices[int(np.argmax(scores))]

    right = all_of(lambda p: greedily(given, p)[0])
    return [
        ([[*w, END] for w in right], "`end` isn't returned: it only says that all is written."),
        ([p + w for p, w in zip(prompts, right, strict=True)], "Return what is new, no prompt."),
        (
            all_of(lambda p: greedily(given, p, feed=lambda p, w: p)[0]),
            "The model never sees what is written: feed the prompt and all that was written.",
        ),
        (
            all_of(lambda p: greedily(given, p, feed=lambda p, w: (p + w)[-1:])[0]),
            "The model sees the last token alone: feed the prompt and all that was written.",
        ),
        (
            all_of(lambda p: greedily(given, p, feed=lambda p, w: w or p)[0]),
            "The model sees the prompt only once: feed it, and all that was written, each time.",
        ),
        (
            all_of(lambda p: greedily(given, p, place=0)[0]),
            "The logits of the first position are taken: those of the last say what comes.",
        ),
        (
            all_of(whole),
            "The likeliest choice as a whole: take the likeliest token at each place.",
        ),
    ]


def some_writing(rng: np.random.Generator) -> dict:
    """Return prompts, choices and a model, in which every mistake writes something else."""
    while True:
        t = [int(n) for n in rng.permutation(np.arange(1, V - 1))]
        a, b, c, d, e, f = t[:6]
        choices = [[a, b, c], [a, d, d, e], [a, d, d], [a, b, f], [a, d, c], [a, b, e, e, f, b]]
        sizes = {"emb": (V - 1, H), "out": (H, V - 1), "shift": (V - 1,)}
        model = {name: rng.normal(size=size) for name, size in sizes.items()}
        model["shift"][[END, t[8]]] += 1  # it would rather stop, or write something else
        given = {
            "model": model,
            "prompts": [rng.integers(1, V - 1, n).tolist() for n in (4, 3, 5, 4, 2)],
            "choices": [choices[i] for i in rng.permutation(len(choices))],
            "end": END,
        }
        right = [greedily(given, p)[0] for p in given["prompts"]]
        if len({len(w) for w in right}) == 1:
            continue
        made = [way for way, _ in wrong_writing(given)]
        if right not in made and all(made.count(way) == 1 for way in made):
            return given
