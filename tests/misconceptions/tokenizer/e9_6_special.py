"""Wrong answers to 9.6, special tokens."""

import regex

from misconceptions import wrong


def encode_special(text, special, allowed, encode, longest=True, escape=True, refuse=True):
    if refuse:
        for name in special:
            if name not in allowed and name in text:
                raise ValueError(f"{name} is not allowed")
    if not allowed:
        return encode(text)
    ordered = sorted(allowed, key=lambda name: -len(name) if longest else len(name))
    names = map(regex.escape, ordered) if escape else ordered
    ids = []
    for i, part in enumerate(regex.split("(" + "|".join(names) + ")", text)):
        ids += [special.get(part, -1)] if i % 2 else encode(part)
    return ids


@wrong("9.6", "were read as a pattern")
def not_escaped():
    return lambda *given: encode_special(*given, escape=False)


@wrong("9.6", "the longest is meant")
def shortest_first():
    return lambda *given: encode_special(*given, longest=False)


@wrong("9.6", "gone from the text")
def separators_lost():
    def lost(text, special, allowed, encode):
        ids = encode_special(text, special, allowed, encode)
        return [i for i in ids if i not in special.values()]

    return lost


@wrong("9.6", "went to `encode` as ordinary text")
def after_the_split():
    return lambda text, special, allowed, encode: encode(text)


@wrong("9.6", "it gets each stretch whole")
def character_by_character():
    def each(text, special, allowed, encode):
        return [i for c in text for i in encode_special(c, special, allowed, encode)]

    return each


@wrong("9.6", "speaks with the program's voice")
def always_allowed():
    return lambda text, special, allowed, encode: encode_special(text, special, special, encode)


@wrong("9.6", "it has to be refused, with ValueError")
def never_refused():
    return lambda *given: encode_special(*given, refuse=False)


@wrong("9.6", "The message lacks the text")
def silent_refusal():
    def refuse(text, special, allowed, encode):
        if any(name in text and name not in allowed for name in special):
            raise ValueError("a special token is not allowed")
        return encode_special(text, special, allowed, encode)

    return refuse


@wrong("9.6", "A forbidden text inside a longer one")
def looked_for_after_cutting():
    def cut_first(text, special, allowed, encode):
        names = "|".join(map(regex.escape, sorted(special, key=len, reverse=True)))
        for name in regex.findall(names, text):
            if name not in allowed:
                raise ValueError(f"{name} is not allowed")
        return encode_special(text, special, allowed, encode, refuse=False)

    return cut_first


@wrong("9.6", "without a forbidden token was refused")
def all_refused():
    def refuse(text, special, allowed, encode):
        if len(allowed) < len(special):
            raise ValueError(" ".join(special))
        return encode_special(text, special, allowed, encode)

    return refuse
