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


def refused(text, special, allowed):
    for name in special:
        if name not in allowed and name in text:
            raise ValueError(f"{name} is not allowed")


@wrong("9.6", "the one that begins first is meant")
def longest_anywhere():
    def cut(text, special, names, encode):
        if not names:
            return encode(text)
        ids = []
        for i, part in enumerate(text.split(names[0])):
            ids += ([special[names[0]]] if i else []) + cut(part, special, names[1:], encode)
        return ids

    def longest_first(text, special, allowed, encode):
        refused(text, special, allowed)
        return cut(text, special, sorted(allowed, key=len, reverse=True), encode)

    return longest_first


@wrong("9.6", "the left one is meant")
def from_the_right():
    def last_first(text, special, allowed, encode):
        refused(text, special, allowed)
        found = [(text.rfind(name), len(name), name) for name in allowed if name in text]
        if not found:
            return encode(text)
        i, n, name = max(found)
        before = last_first(text[:i], special, allowed, encode)
        return [*before, special[name], *encode(text[i + n :])]

    return last_first


@wrong("9.6", "go on behind it")
def first_one_only():
    def once(text, special, allowed, encode):
        refused(text, special, allowed)
        found = [(text.find(name), -len(name), name) for name in allowed if name in text]
        if not found:
            return encode(text)
        i, n, name = min(found)
        return [*encode(text[:i]), special[name], *encode(text[i - n :])]

    return once


@wrong("9.6", "only a blank was left out")
def blank_stretches_lost():
    def with_words(text, special, allowed, encode):
        return encode_special(
            text, special, allowed, lambda part: encode(part) if part.strip() else []
        )

    return with_words


@wrong("9.6", "lost the blanks at their ends")
def stretches_stripped():
    def strip(text, special, allowed, encode):
        return encode_special(text, special, allowed, lambda part: encode(part.strip()))

    return strip


@wrong("9.6", "called for each word")
def word_by_word():
    def words(text, special, allowed, encode):
        def each(part):
            return [i for word in regex.findall(r"\s*\S+|\s+", part) for i in encode(word)]

        return encode_special(text, special, allowed, each)

    return words


@wrong("9.6", "the empty pattern that is left")
def nothing_allowed_forgotten():
    def split_anyway(text, special, allowed, encode):
        refused(text, special, allowed)
        names = map(regex.escape, sorted(allowed, key=len, reverse=True))
        ids = []
        for i, part in enumerate(regex.split("(" + "|".join(names) + ")", text)):
            ids += [special[part]] if i % 2 else encode(part)
        return ids

    return split_anyway


@wrong("9.6", "nothing forbidden stands in this text")
def nothing_allowed_is_an_error():
    def refuse(text, special, allowed, encode):
        if not allowed:
            raise ValueError(" ".join(special))
        return encode_special(text, special, allowed, encode)

    return refuse


@wrong("9.6", "Read as a pattern, `<|end|>`")
def not_escaped_and_looked_up():
    def look_up(text, special, allowed, encode):
        refused(text, special, allowed)
        if not allowed:
            return encode(text)
        names = sorted(allowed, key=len, reverse=True)
        ids = []
        for i, part in enumerate(regex.split("(" + "|".join(names) + ")", text)):
            ids += [special[part]] if i % 2 else encode(part)
        return ids

    return look_up


@wrong("9.6", "`append` puts the ids")
def appended():
    def append(text, special, allowed, encode):
        return encode_special(text, special, allowed, lambda part: [encode(part)])

    return append


@wrong("9.6", "anywhere means behind a letter, too")
def forbidden_behind_blanks_only():
    def behind_blanks(text, special, allowed, encode):
        for name in special:
            if name not in allowed and regex.search(r"(?<!\S)" + regex.escape(name), text):
                raise ValueError(name)
        return encode_special(text, special, allowed, encode, refuse=False)

    return behind_blanks


@wrong("9.6", "between blanks: anywhere")
def forbidden_words_only():
    def words(text, special, allowed, encode):
        for name in text.split():
            if name in special and name not in allowed:
                raise ValueError(name)
        return encode_special(text, special, allowed, encode, refuse=False)

    return words


@wrong("9.6", "`allowed = set(allowed)`")
def allowed_emptied():
    def empty(text, special, allowed, encode):
        ids = encode_special(text, special, allowed, encode)
        allowed.clear()
        return ids

    return empty


@wrong("9.6", "`(?i)` has no place in the pattern")
def capitals_cut_out_too():
    def any_case(text, special, allowed, encode):
        refused(text, special, allowed)
        if not allowed:
            return encode(text)
        small = {name.lower(): special[name] for name in allowed}
        names = map(regex.escape, sorted(allowed, key=len, reverse=True))
        ids = []
        for i, part in enumerate(regex.split("(?i)(" + "|".join(names) + ")", text)):
            ids += [small[part.lower()]] if i % 2 else encode(part)
        return ids

    return any_case


@wrong("9.6", "sort them by length")
def in_the_order_of_a_set():
    def unsorted(text, special, allowed, encode):
        refused(text, special, allowed)
        if not allowed:
            return encode(text)
        ids = []
        for part in regex.split("(" + "|".join(map(regex.escape, allowed)) + ")", text):
            ids += [special[part]] if part in allowed else encode(part)
        return ids

    return unsorted


@wrong("9.6", "`|` and `.` mean something else")
def not_escaped_and_not_noticed():
    def pattern(text, special, allowed, encode):
        refused(text, special, allowed)
        if not allowed:
            return encode(text)
        ids = []
        names = sorted(allowed, key=lambda name: (-len(name), name))
        for part in regex.split("(" + "|".join(names) + ")", text):
            ids += [special[part]] if part in special else encode(part)
        return ids

    return pattern


@wrong("9.6", "behind the last special token is missing")
def end_left_out():
    def matches(text, special, allowed, encode):
        refused(text, special, allowed)
        if not allowed:
            return encode(text)
        ids, end = [], 0
        names = "|".join(map(regex.escape, sorted(allowed, key=len, reverse=True)))
        for match in regex.finditer(names, text):
            ids += [*encode(text[end : match.start()]), special[match[0]]]
            end = match.end()
        return ids

    return matches


@wrong("9.6", "but not by `encode`")
def bytes_of_the_stretches():
    return lambda text, special, allowed, encode: encode_special(
        text, special, allowed, lambda part: list(part.encode())
    )


@wrong("9.6", "character by character: an empty pattern")
def nothing_allowed_splits_everywhere():
    def split_anyway(text, special, allowed, encode):
        refused(text, special, allowed)
        ordered = sorted(allowed, key=len, reverse=True)
        ids = []
        for part in regex.split("(" + "|".join(map(regex.escape, ordered)) + ")", text):
            ids += [special[part]] if part in allowed else encode(part)
        return ids

    return split_anyway


@wrong("9.6", "but not with `ValueError`")
def refused_with_another_error():
    def refuse(text, special, allowed, encode):
        for name in special:
            if name in text and name not in allowed:
                raise KeyError(name)
        return encode_special(text, special, allowed, encode)

    return refuse


@wrong("9.6", "The error came back as a value")
def error_returned():
    def refuse(text, special, allowed, encode):
        for name in special:
            if name in text and name not in allowed:
                return ValueError(name)
        return encode_special(text, special, allowed, encode)

    return refuse
