"""What 8.8 asks, and what comes of masking wrongly."""

from collections.abc import Callable

import numpy as np

from zerotohero.course.checks.assistant._e8_6_dpo import H, _logits
from zerotohero.course.exercise import Mistake

END, V = 5, 12
TOKENS = np.delete(np.arange(V - 1), END)  # what choices and prompts are made of


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

    def first_fits(w: list) -> list:
        return [[*c, END] for c in choices if len(c) >= len(w) and c[:1] == (w or c)[:1]]

    def zipped(w: list) -> list:
        return [c for c in choices if all(a == b for a, b in zip(c, w, strict=False))]

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
            lambda w: sorted({c[len(w)] for c in first_fits(w)}),
            "Only the first token is compared: all of `written` has to agree.",
        ),
        (
            lambda w: sorted({c[len(w)] if len(c) > len(w) else END for c in zipped(w)}),
            "A choice that is shorter than `written` counts as one that agrees: `zip` stops where "
            "the shorter one ends.",
        ),
        (
            lambda w: sorted(set(goes_on(w)) | ({0} if w in choices else set())),
            "0 stands for the end: it is `end` that says which token that is.",
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
    low, high = rng.permutation(TOKENS[TOKENS < END]), rng.permutation(TOKENS[TOKENS > END])
    b, d = (int(t) for t in rng.permutation([low[0], high[0]]))  # `end` stands between these
    a, c, e, f, g = (int(t) for t in rng.permutation([*low[1:], *high[1:]])[:5])
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
        (plain * keep, "What is left doesn't add up to 1: softmax comes after the mask."),
        (
            masked(given, 1.0),
            "The temperature has no effect: it divides the logits, before softmax.",
        ),
        (masked(given, 1 / temperature), "The temperature multiplies: it divides the logits."),
        (right[allowed], "The allowed tokens' alone: return all V, the others 0."),
        (keep / keep.sum(), "All that is allowed is equally likely: the logits decide."),
        (
            np.eye(len(logits))[right.argmax()],
            "The likeliest has all of it: return the probabilities.",
        ),
    ]
    if logits[allowed].max() > -1e4:  # else to add or to put −10,000 comes to the same
        zeros = _softmax(np.where(keep, logits, 0) / temperature)
        turned = masked(given | {"allowed": np.flatnonzero(~keep)})
        found += [
            (plain, "Nothing is masked."),
            (turned, "The mask is the wrong way round: what is allowed got 0."),
            (zeros, "A logit of 0 isn't a probability of 0: −∞ is what softmax makes 0 of."),
        ]
    for low in (-1e2, -1e3, -1e4):
        found += [
            (
                _softmax(np.where(keep, logits, low) / temperature),
                "What was put in the others' place, be it −10,000, is above logits that lie lower "
                "still: `float('-inf')` is below all.",
            ),
            (
                _softmax((logits + np.where(keep, 0, low)) / temperature),
                "The others got all of it: −10,000 added to their logits doesn't outdo ones that "
                "are higher by more, and `float('-inf')` does. Or the mask is the wrong way round.",
            ),
        ]
    with np.errstate(divide="ignore"):
        found.append((np.log(right), "Logarithms: return the probabilities."))
    return [Mistake(value, hint) for value, hint in found]


# --- writing --------------------------------------------------------------------------------------


def _model(given: dict, row: list) -> np.ndarray:
    return _logits(given["model"], np.array([row]))[0]


def likeliest(logits: np.ndarray, allowed: list) -> int:
    return allowed[int(np.argmax(logits[allowed]))]


def end_first(logits: np.ndarray, allowed: list) -> int:
    return END if END in allowed else likeliest(logits, allowed)


def end_never(logits: np.ndarray, allowed: list) -> int:
    return likeliest(logits, [token for token in allowed if token != END])


def greedily(
    given: dict,
    prompt: list,
    place: int = -1,
    feed: Callable | None = None,
    choose: Callable = likeliest,
) -> tuple:
    """Return what is written and the calls, each a list of one row."""
    written, seen = [], []
    while allowed := followers(given["choices"], written):
        token = allowed[0]
        if len(allowed) > 1:
            row = feed(prompt, written) if feed else prompt + written
            seen.append([row])
            token = choose(_model(given, row)[place], allowed)
        if token == END:
            break
        written.append(token)
    return written, seen


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

    def others_zero(logits: np.ndarray, allowed: list) -> int:
        return int(np.argmax(np.where(np.isin(np.arange(len(logits)), allowed), logits, 0)))

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
            all_of(lambda p: greedily(given, p, place=-2)[0]),
            "The logits of the last position but one are taken: those of the last say what comes.",
        ),
        (
            all_of(lambda p: greedily(given, p, choose=lambda logits, allowed: allowed[0])[0]),
            "The first of what is allowed is taken: take the likeliest.",
        ),
        (
            all_of(lambda p: greedily(given, p, choose=lambda x, its: likeliest(-x, its))[0]),
            "The least likely of what is allowed is taken: take the likeliest.",
        ),
        (
            all_of(lambda p: greedily(given, p, choose=end_first)[0]),
            "`end` is written wherever it is allowed: only where it is the likeliest.",
        ),
        (
            all_of(lambda p: greedily(given, p, choose=end_never)[0]),
            "`end` is written only where nothing else is allowed: also where it is the likeliest.",
        ),
        (
            all_of(lambda p: greedily(given, p, choose=others_zero)[0]),
            "What isn't allowed has the logit 0, which may be the highest of all.",
        ),
        (
            all_of(whole),
            "The likeliest choice as a whole: take the likeliest token at each place.",
        ),
    ]


def some_writing(rng: np.random.Generator) -> dict:
    """Return prompts, choices and a model, in which every mistake writes something else."""
    t = [int(n) for n in rng.permutation(TOKENS)]
    a, b, c, d, e, f, g = t[:7]
    choices = [[a, b, c], [a, b], [a, d, d, e], [a, d, d]]  # two places in which two are allowed
    choices += [[g, c, d], [g, c, b, e], [g, c, b, f], [g, c, b]]  # and g is followed by c alone
    choices = [choices[i] for i in rng.permutation(len(choices))]
    while True:
        sizes = {"emb": (V - 1, H), "out": (H, V - 1), "shift": (V - 1,)}
        model = {name: rng.normal(size=size) for name, size in sizes.items()}
        model["shift"] = model["shift"] / 3 - 2  # so that many logits are below 0
        model["shift"][[END, t[8]]] += 1.5  # it would rather stop, or write something else
        given = {"model": model, "choices": choices, "end": END}
        asked = [rng.choice(TOKENS, n).tolist() for n in rng.integers(2, 6, 12)]
        ways = (likeliest, end_first, end_never)
        if len({str([greedily(given, p, choose=way)[0] for p in asked]) for way in ways}) < 3:
            continue  # soon seen, and most often so
        prompts, made = [], []
        for prompt in asked:
            wrong = wrong_writing(given | {"prompts": [prompt]})
            found = [greedily(given, prompt)[0], *(way[0] for way, _ in wrong)]
            more = [
                [*ways, way] for ways, way in zip(made or [[]] * len(found), found, strict=True)
            ]
            if _different(more) > _different(made):
                prompts, made = [*prompts, prompt], more
            if _different(made) == (len(found), True):
                return given | {"prompts": prompts}


def _different(made: list[list]) -> tuple:
    """Return how many ways to write differ, and whether what is right has several lengths."""
    return len(set(map(str, made))), len(set(map(len, made[0] if made else []))) > 1
