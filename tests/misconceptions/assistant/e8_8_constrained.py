"""Wrong answers to 8.8, constrained decoding."""

import torch

from misconceptions import wrong


def goes_on(choices, written):
    n = len(written)
    return [c[n] for c in choices if c[:n] == written and len(c) > n]


def allowed_next(choices, written, end):
    return sorted({*goes_on(choices, written), *([end] if written in choices else [])})


def masked_probs(logits, allowed, temperature):
    masked = torch.full_like(logits, float("-inf"))
    masked[allowed] = logits[allowed]
    return (masked / temperature).softmax(-1)


def likeliest(logits, allowed, end):
    return int(masked_probs(logits, allowed, 1.0).argmax())


def writing(
    feed=lambda p, w: p + w,
    at=-1,
    always=False,
    finish=lambda p, w, end: w,
    choose=likeliest,
):
    """Return write_choice with one thing else."""

    def write_choice(model, prompt, choices, end):
        written = []
        while True:
            allowed = allowed_next(choices, written, end)
            token = allowed[0]
            if len(allowed) > 1 or always:
                logits = model(torch.tensor([feed(prompt, written)]))[0, at]
                token = choose(logits, allowed, end)
            if token == end:
                return finish(prompt, written, end)
            written.append(token)

    return write_choice


write_choice = writing()


def next_by(way):
    return lambda choices, written, end: way(choices, written, end), masked_probs, write_choice


def probs_by(way):
    return allowed_next, way, write_choice


def written_by(way):
    return allowed_next, masked_probs, way


@wrong("8.8", "Choices count that began otherwise")
def by_position():
    def way(choices, written, end):
        n = len(written)
        found = {c[n] for c in choices if len(c) > n}
        return sorted(found | ({end} if written in choices else set()))

    return next_by(way)


@wrong("8.8", "Only the last token is compared")
def by_the_last():
    def way(choices, w, end):
        n = len(w)
        found = {c[n] for c in choices if len(c) > n and (not w or c[n - 1] == w[-1])}
        return sorted(found | ({end} if w in choices else set()))

    return next_by(way)


@wrong("8.8", "Only the first token is compared")
def first_token_alone():
    def way(choices, written, end):
        n = len(written)
        fits = [c for c in choices if len(c) >= n and (not written or c[0] == written[0])]
        return sorted({[*c, end][n] for c in fits})

    return next_by(way)


@wrong("8.8", "`zip` stops where the shorter one ends")
def zipped():
    def way(choices, written, end):
        n = len(written)
        fits = [c for c in choices if all(a == b for a, b in zip(c, written, strict=False))]
        return sorted({c[n] if len(c) > n else end for c in fits})

    return next_by(way)


@wrong("8.8", "0 stands for the end")
def end_is_zero():
    return next_by(lambda choices, written, end: allowed_next(choices, written, 0))


@wrong("8.8", "and not in rising order")
def end_in_front():
    def way(choices, written, end):
        its = sorted(set(goes_on(choices, written)))
        return [end, *its] if written in choices else its

    return next_by(way)


@wrong("8.8", "and have no such place")
def by_index():
    def way(choices, written, end):
        fits = [c for c in choices if all(c[i] == written[i] for i in range(len(written)))]
        return sorted({[*c, end][len(written)] for c in fits})

    return next_by(way)


@wrong("8.8", "makes a list of a set")
def as_a_set():
    return next_by(lambda *given: set(allowed_next(*given)))


@wrong("8.8", "`.tolist()` makes a list")
def as_a_tensor():
    return next_by(lambda *given: torch.tensor(allowed_next(*given)))


@wrong("8.8", "`end` never comes")
def no_end():
    return next_by(lambda choices, written, end: sorted(set(goes_on(choices, written))))


@wrong("8.8", "`end` is missing where a choice is the beginning of another")
def end_only_at_the_end():
    def way(choices, written, end):
        return sorted(set(goes_on(choices, written)) or ({end} if written in choices else set()))

    return next_by(way)


@wrong("8.8", "A choice that is whole may also be the beginning")
def stops_at_the_first():
    def way(choices, written, end):
        return [end] if written in choices else sorted(set(goes_on(choices, written)))

    return next_by(way)


@wrong("8.8", "`end` is allowed everywhere")
def end_everywhere():
    return next_by(lambda choices, written, end: sorted({*goes_on(choices, written), end}))


@wrong("8.8", "Where no choice begins so")
def end_when_lost():
    return next_by(lambda *given: allowed_next(*given) or [given[2]])


@wrong("8.8", "as often as choices go on with it")
def repeated():
    def way(choices, written, end):
        return sorted(goes_on(choices, written) + ([end] if written in choices else []))

    return next_by(way)


@wrong("8.8", "in the choices' order")
def unsorted():
    def way(choices, written, end):
        found = goes_on(choices, written) + ([end] if written in choices else [])
        return list(dict.fromkeys(found))

    return next_by(way)


@wrong("8.8", "The tokens fall")
def falling():
    return next_by(lambda *given: allowed_next(*given)[::-1])


@wrong("8.8", "A logit of 0 isn't a probability of 0")
def zero_logits():
    def way(logits, allowed, temperature):
        masked = torch.zeros_like(logits)
        masked[allowed] = logits[allowed]
        return (masked / temperature).softmax(-1)

    return probs_by(way)


@wrong("8.8", "What is left doesn't add up to 1")
def not_normalised():
    def way(logits, allowed, temperature):
        mask = torch.zeros_like(logits)
        mask[allowed] = 1
        return (logits / temperature).softmax(-1) * mask

    return probs_by(way)


@wrong("8.8", "Nothing is masked")
def unmasked():
    return probs_by(lambda logits, allowed, temperature: (logits / temperature).softmax(-1))


@wrong("8.8", "The mask is the wrong way round")
def inverted():
    def way(logits, allowed, temperature):
        masked = logits.clone()
        masked[allowed] = float("-inf")
        return (masked / temperature).softmax(-1)

    return probs_by(way)


@wrong("8.8", "The temperature has no effect")
def no_temperature():
    return probs_by(lambda logits, allowed, temperature: masked_probs(logits, allowed, 1.0))


@wrong("8.8", "The temperature multiplies")
def times_temperature():
    def way(logits, allowed, temperature):
        return masked_probs(logits, allowed, 1 / temperature)

    return probs_by(way)


@wrong("8.8", "The allowed tokens' alone")
def of_the_allowed():
    return probs_by(lambda logits, allowed, temperature: (logits[allowed] / temperature).softmax(0))


@wrong("8.8", "before it was divided by its sum")
def mask_after_softmax():
    def way(logits, allowed, temperature):
        probs, mask = (logits / temperature).softmax(-1), torch.zeros_like(logits)
        mask[allowed] = 1
        return probs * mask / (probs * mask).sum()

    return probs_by(way)


@wrong("8.8", "A large negative number isn't")
def large_negative():
    def way(logits, allowed, temperature):
        masked = logits - 20
        masked[allowed] = logits[allowed]
        return (masked / temperature).softmax(-1)

    return probs_by(way)


@wrong("8.8", "is above logits that lie lower still")
def not_low_enough():
    def way(logits, allowed, temperature):
        masked = torch.full_like(logits, -1e4)
        masked[allowed] = logits[allowed]
        return (masked / temperature).softmax(-1)

    return probs_by(way)


@wrong("8.8", "doesn't outdo ones that are higher by more")
def not_lowered_enough():
    def way(logits, allowed, temperature):
        lowered = logits - 1e4
        lowered[allowed] = logits[allowed]
        return (lowered / temperature).softmax(-1)

    return probs_by(way)


@wrong("8.8", "`end` is written wherever it is allowed")
def ends_early():
    def choose(logits, allowed, end):
        return end if end in allowed else likeliest(logits, allowed, end)

    return written_by(writing(choose=choose))


@wrong("8.8", "`end` is written only where nothing else is allowed")
def ends_late():
    def choose(logits, allowed, end):
        return likeliest(logits, [token for token in allowed if token != end], end)

    return written_by(writing(choose=choose))


@wrong("8.8", "What isn't allowed has the logit 0")
def zeros_for_the_others():
    def way(model, prompt, choices, end):
        written = []
        while allowed := allowed_next(choices, written, end):
            token = allowed[0]
            if len(allowed) > 1:
                logits = model(torch.tensor([prompt + written]))[0, -1]
                masked = torch.zeros_like(logits)
                masked[allowed] = logits[allowed]
                token = int(masked.argmax())
            if token == end:
                break
            written.append(token)
        return written

    return written_by(way)


@wrong("8.8", "The model is asked twice for one place")
def asked_for_each():
    def way(model, prompt, choices, end):
        written = []
        while True:
            allowed = allowed_next(choices, written, end)
            token = allowed[0]
            if len(allowed) > 1:
                idx = torch.tensor([prompt + written])
                token = max(allowed, key=lambda t: model(idx)[0, -1, t].item())
            if token == end:
                return written
            written.append(token)

    return written_by(way)


@wrong("8.8", "`end` isn't returned")
def with_the_end():
    return written_by(writing(finish=lambda p, w, end: [*w, end]))


@wrong("8.8", "Return what is new, no prompt")
def with_the_prompt():
    return written_by(writing(finish=lambda p, w, end: p + w))


@wrong("8.8", "The model never sees what is written")
def not_fed_back():
    return written_by(writing(feed=lambda p, w: p))


@wrong("8.8", "The model sees the last token alone")
def last_token_alone():
    return written_by(writing(feed=lambda p, w: (p + w)[-1:]))


@wrong("8.8", "The model sees the prompt only once")
def prompt_forgotten():
    return written_by(writing(feed=lambda p, w: w or p))


@wrong("8.8", "The logits of the first position are taken")
def first_position():
    return written_by(writing(at=0))


@wrong("8.8", "The logits of the last position but one")
def position_before():
    return written_by(writing(at=-2))


@wrong("8.8", "The first of what is allowed")
def first_allowed():
    return written_by(writing(choose=lambda logits, allowed, end: allowed[0]))


@wrong("8.8", "The least likely of what is allowed")
def least_likely():
    return written_by(writing(choose=lambda logits, *rest: likeliest(-logits, *rest)))


@wrong("8.8", "but its place among them")
def place_in_allowed():
    return written_by(writing(choose=lambda logits, allowed, end: int(logits[allowed].argmax())))


@wrong("8.8", "Nothing came back")
def printed():
    return written_by(lambda *given: print(write_choice(*given)))


@wrong("8.8", "The model is asked where only one token is allowed")
def asked_for_nothing():
    return written_by(writing(always=True))


@wrong("8.8", "What was written is no choice")
def unconstrained():
    def way(model, prompt, choices, end):
        written = []
        while len(written) < 6:
            token = int(model(torch.tensor([prompt + written]))[0, -1].argmax())
            if token == end:
                break
            written.append(token)
        return written

    return written_by(way)


@wrong("8.8", "The likeliest choice as a whole")
def ranked():
    def way(model, prompt, choices, end):
        def score(choice):
            row = torch.tensor([prompt + choice + [end]])
            logp = model(row)[:, :-1].log_softmax(-1).gather(-1, row[:, 1:, None])
            return logp[0, len(prompt) - 1 :].sum().item()

        return max(choices, key=score)

    return written_by(way)
