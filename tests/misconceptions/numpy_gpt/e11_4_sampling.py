"""Wrong answers to 11.4, top-p and an end."""

import numpy as np

from misconceptions import wrong


def top_p(probs, p, before=True, sign=-1, more=0, back=True, share=True, all_of_1=True):
    if p >= 1 and all_of_1:
        return probs
    order = np.argsort(sign * probs, -1, kind="stable")
    ranked = np.take_along_axis(probs, order, -1)
    sums = ranked.cumsum(-1) - (ranked if before else 0)
    keep = np.arange(probs.shape[1]) < (sums < p).sum(-1, keepdims=True) + more
    kept = np.where(keep, ranked, 0)
    if back:
        out = np.zeros_like(probs)
        np.put_along_axis(out, order, kept, -1)
        kept = out
    with np.errstate(all="ignore"):
        return kept / kept.sum(-1, keepdims=True) if share else kept


def generating(stop="own", look="new", kept=False, more=0, filtered=True, asks=False, whole=False):
    """Return generate with one thing wrong."""

    def generate(model, draw, prompts, eos, n_tokens, p):
        texts, new = [list(t) for t in prompts], [[] for _ in prompts]
        ended = [False] * len(texts)
        for i, text in enumerate(texts):
            if (look == "last" and text[-1] == eos) or (look == "any" and eos in text):
                ended[i] = True
        for _ in range(n_tokens + more):
            if (all(ended) and not asks) or (any(ended) and stop == "all"):
                break
            probs = model(texts)
            for i, token in enumerate(draw(top_p(probs, p) if filtered else probs)):
                if (ended[i] and stop != "never") or (whole and len(texts[i]) >= n_tokens):
                    continue
                if token == eos and stop != "never":
                    ended[i] = True
                    if not kept:
                        continue
                texts[i].append(int(token))
                new[i].append(int(token))
        return new

    return generate


@wrong("11.4", "with which the sum reaches p is dropped")
def crossing_dropped():
    return (lambda probs, p: top_p(probs, p, before=False)), generating()


@wrong("11.4", "One token too many: once")
def one_more():
    return (lambda probs, p: top_p(probs, p, more=1)), generating()


@wrong("11.4", "begins with the unlikeliest tokens")
def rising():
    return (lambda probs, p: top_p(probs, p, sign=1)), generating()


@wrong("11.4", "in the vocabulary's order: sort each row first")
def unsorted():
    def filtered(probs, p):
        kept = np.where(probs.cumsum(-1) - probs < p, probs, 0)
        return kept / kept.sum(-1, keepdims=True)

    return filtered, generating()


@wrong("11.4", "In sorted order still")
def not_put_back():
    return (lambda probs, p: top_p(probs, p, back=False)), generating()


@wrong("11.4", "and used in the vocabulary's: put it back")
def decided_elsewhere():
    def filtered(probs, p):
        ranked = -np.sort(-probs, -1)
        kept = np.where(ranked.cumsum(-1) - ranked < p, probs, 0)
        return kept / kept.sum(-1, keepdims=True)

    return filtered, generating()


@wrong("11.4", "doesn't add up to 1: divide each row")
def not_shared_out():
    return (lambda probs, p: top_p(probs, p, share=False)), generating()


@wrong("11.4", "The batch adds up to 1")
def shared_out_over_the_batch():
    def filtered(probs, p):
        kept = top_p(probs, p, share=False)
        return kept / kept.sum()

    return filtered, generating()


@wrong("11.4", "whose own probability is at least p")
def threshold():
    def filtered(probs, p):
        kept = np.where(probs >= p, probs, 0)
        with np.errstate(all="ignore"):
            return kept / kept.sum(-1, keepdims=True)

    return filtered, generating()


@wrong("11.4", "One nucleus of the whole batch")
def of_the_batch():
    def filtered(probs, p):
        flat = top_p(probs.reshape(1, -1) / len(probs), p).reshape(probs.shape)
        with np.errstate(all="ignore"):
            return flat / flat.sum(-1, keepdims=True)

    return filtered, generating()


@wrong("11.4", "Nothing is left of a row")
def at_most_p():
    def filtered(probs, p):
        return top_p(probs, p, before=bool((probs.max(-1) < p).all()))

    return filtered, generating()


@wrong("11.4", "a threshold keeps all of them or none")
def ties_kept_together():
    def filtered(probs, p):
        least = np.where(top_p(probs, p) > 0, probs, np.inf).min(-1, keepdims=True)
        kept = np.where(probs >= least, probs, 0)
        return kept / kept.sum(-1, keepdims=True)

    return filtered, generating()


@wrong("11.4", "lost to rounding")
def rounded():
    def filtered(probs, p):
        return top_p(probs, p, all_of_1=False)

    return filtered, generating()


@wrong("11.4", "A sum that is a little below p")
def almost_p():
    return (lambda probs, p: top_p(probs, p if p >= 1 else p - 1e-4)), generating()


@wrong("11.4", "though p is below 1")
def almost_one():
    return (lambda probs, p: probs if p > 0.999 else top_p(probs, p)), generating()


@wrong("11.4", "A text that has ended still grows")
def cut_at_the_end():
    def generate(model, draw, prompts, eos, n_tokens, p):
        texts, new = [list(t) for t in prompts], [[] for _ in prompts]
        for _ in range(n_tokens):
            for i, token in enumerate(draw(top_p(model(texts), p))):
                texts[i].append(int(token))
                new[i].append(int(token))
            if all(eos in written for written in new):
                break
        return [text[: text.index(eos)] if eos in text else text for text in new]

    return top_p, generate


@wrong("11.4", "An `eos` goes behind an ended text in each round")
def padded_with_eos():
    def generate(model, draw, prompts, eos, n_tokens, p):
        texts, new = [list(t) for t in prompts], [[] for _ in prompts]
        ended = [False] * len(texts)
        for _ in range(n_tokens):
            if all(ended):
                break
            for i, token in enumerate(draw(top_p(model(texts), p))):
                ended[i] = ended[i] or token == eos
                texts[i].append(eos if ended[i] else int(token))
                if not ended[i]:
                    new[i].append(int(token))
        return new

    return top_p, generate


@wrong("11.4", "Draw once in each round")
def draws_by_row():
    def generate(model, draw, *given):
        return generating()(model, lambda probs: [draw(row[None])[0] for row in probs], *given)

    return top_p, generate


@wrong("11.4", "and not one after the other")
def one_after_the_other():
    def generate(model, draw, prompts, *given):
        return [generating()(model, draw, [prompt], *given)[0] for prompt in prompts]

    return top_p, generate


@wrong("11.4", "has ended all of them")
def one_end_for_all():
    return top_p, generating(stop="all")


@wrong("11.4", "because its prompt holds `eos`")
def looks_at_the_last_token():
    return top_p, generating(look="last")


@wrong("11.4", "is left in what comes back")
def eos_kept():
    return top_p, generating(kept=True)


@wrong("11.4", "A text goes on behind its own `eos`")
def never_ends():
    return top_p, generating(stop="never")


@wrong("11.4", "The prompts stand in front")
def with_prompts():
    def generate(model, draw, prompts, eos, n_tokens, p):
        new = generating()(model, draw, prompts, eos, n_tokens, p)
        return [t + n for t, n in zip(prompts, new, strict=True)]

    return top_p, generate


@wrong("11.4", "`top_p` of the probabilities isn't used")
def from_all_tokens():
    return top_p, generating(filtered=False)


@wrong("11.4", "one token too many: n_tokens at most")
def one_token_more():
    return top_p, generating(more=1)


@wrong("11.4", "one token too few")
def one_token_less():
    return top_p, generating(more=-1)


@wrong("11.4", "counts what is new, without the prompt")
def counts_the_prompt():
    return top_p, generating(whole=True)


@wrong("11.4", "although all texts have ended")
def asks_on():
    return top_p, generating(asks=True)


@wrong("11.4", "Texts that have ended stay in the batch")
def smaller_and_smaller():
    def generate(model, draw, prompts, eos, n_tokens, p):
        texts, new = [list(t) for t in prompts], [[] for _ in prompts]
        running = list(range(len(texts)))
        for _ in range(n_tokens):
            if not running:
                break
            tokens = draw(top_p(model([texts[i] for i in running]), p))
            for i, token in zip(list(running), tokens, strict=True):
                if token == eos:
                    running.remove(i)
                else:
                    texts[i].append(int(token))
                    new[i].append(int(token))
        return new

    return top_p, generate


@wrong("11.4", "nothing is drawn from that")
def asked_before_the_loop():
    def generate(model, draw, prompts, eos, n_tokens, p):
        texts, new = [list(t) for t in prompts], [[] for _ in prompts]
        ended, probs = [False] * len(texts), model(texts)
        for _ in range(n_tokens):
            for i, token in enumerate(draw(top_p(probs, p))):
                ended[i] |= token == eos
                if not ended[i]:
                    texts[i].append(int(token))
                    new[i].append(int(token))
            if all(ended):
                break
            probs = model(texts)
        return new

    return top_p, generate


@wrong("11.4", "Not one token may be written")
def one_round_at_least():
    def generate(model, draw, prompts, eos, n_tokens, p):
        return generating()(model, draw, prompts, eos, max(n_tokens, 1), p)

    return top_p, generate


@wrong("11.4", "The rounds are counted by the longest text")
def rounds_of_the_longest_text():
    def generate(model, draw, prompts, eos, n_tokens, p):
        texts, ended = [list(t) for t in prompts], [n_tokens == 0] * len(prompts)
        most = max(map(len, prompts)) + n_tokens
        while not all(ended) and max(map(len, texts)) < most:
            for i, token in enumerate(draw(top_p(model(texts), p))):
                ended[i] = ended[i] or token == eos
                if not ended[i]:
                    texts[i].append(int(token))
        return [text[len(prompt) :] for text, prompt in zip(texts, prompts, strict=True)]

    return top_p, generate


@wrong("11.4", "One row is a batch, too")
def one_row_squeezed():
    def filtered(probs, p):
        kept = top_p(probs, p)
        return kept[0] if len(kept) == 1 else kept

    return filtered, generating()


@wrong("11.4", "an empty one where nothing is new")
def no_lists_for_no_tokens():
    def generate(model, draw, prompts, eos, n_tokens, p):
        return generating()(model, draw, prompts, eos, n_tokens, p) if n_tokens else []

    return top_p, generate
