"""Wrong answers to 9.1, UTF-8 by hand."""

from misconceptions import wrong

LOWEST = (0, 0x80, 0x800, 0x10000)


def encode(n, surrogates=False, largest=0x10FFFF, lowest=LOWEST, reverse=False, mark=0x80):
    if not 0 <= n <= largest or (0xD800 <= n < 0xE000 and not surrogates):
        raise ValueError("no code point")
    length = sum(n >= low for low in lowest)
    if length == 1:
        return bytes([n])
    rest = [mark | n >> 6 * i & 0x3F for i in reversed(range(length - 1))]
    first = (0, 0, 0xC0, 0xE0, 0xF0)[length] | n >> 6 * (length - 1)
    return bytes([first & 255, *(rest[::-1] if reverse else rest)])


def decode(
    data,
    leave=(),
    goes_on=lambda byte, k, length: byte & 0xC0 == 0x80,
    surrogate=lambda n: 0xD800 <= n < 0xE000,
):
    """All checks but those that are left out."""
    points, i = [], 0
    while i < len(data):
        first = data[i]
        length = 1 + (first >= 0xC0) + (first >= 0xE0) + (first >= 0xF0)
        if 0x80 <= first < 0xC0 and "stray" not in leave:
            raise ValueError("stray")
        if first >= 0xF8 and "first byte" not in leave:
            raise ValueError("first byte")
        n = first if length == 1 else first & (0x7F >> length)
        rest = data[i + 1 : i + length]
        if len(rest) < length - 1 and "early end" not in leave:
            raise ValueError("early end")
        for k, byte in enumerate(rest, 1):
            if not goes_on(byte, k, length) and "interrupted" not in leave:
                raise ValueError("interrupted")
            n = n << 6 | byte & 0x3F
        if n < LOWEST[length - 1] and "overlong" not in leave:
            raise ValueError("overlong")
        if surrogate(n) and "surrogate" not in leave:
            raise ValueError("surrogate")
        if n > 0x10FFFF and "too large" not in leave:
            raise ValueError("too large")
        points.append(n)
        i += length
    return points


@wrong("9.1", "as Latin-1 has it")
def low_byte():
    return (lambda n: bytes([n & 255])), decode


@wrong("9.1", "the highest bits first")
def bytes_reversed():
    return (lambda n: encode(n, reverse=True)), decode


@wrong("9.1", "begins with the bits 10: `0x80")
def no_mark():
    return (lambda n: encode(n, mark=0)), decode


@wrong("9.1", "which is UTF-16")
def utf16():
    def two(n):
        return encode(n) if n < 128 else bytes([n >> 8 & 255, n & 255])

    return two, decode


@wrong("9.1", "one code point too early")
def limits_too_early():
    return (lambda n: encode(n, lowest=(0, 0x7F, 0x7FF, 0xFFFF))), decode


@wrong("9.1", "one code point too late")
def one_limit_too_late():
    return (lambda n: encode(n, lowest=(0, 0x81, 0x800, 0x10000))), decode


@wrong("9.1", "`bytes(…)` makes bytes of it")
def a_bytearray():
    return (lambda n: bytearray(encode(n))), decode


@wrong("9.1", "Return bytes")
def a_str():
    return (lambda n: encode(n).decode("latin-1")), decode


@wrong("9.1", "are halves of UTF-16's pairs")
def surrogates_encoded():
    return (lambda n: encode(n, surrogates=True)), decode


@wrong("9.1", "and all between")
def first_surrogates_refused():
    def low_ones_encoded(n):
        return encode(n, surrogates=n > 0xDBFF)

    return low_ones_encoded, decode


def refusing(bad):
    """Return answers of which the first refuses sound code points, too."""

    def refuse(n):
        if bad(n):
            raise ValueError("not a code point")
        return encode(n)

    return refuse, decode


@wrong("9.1", "ValueError was raised for a sound code point")
def largest_refused():
    return refusing(lambda n: n >= 0x10FFFF)


@wrong("9.1", "0 to 0x10FFFF are, both included")
def zero_refused():
    return refusing(lambda n: n <= 0)


@wrong("9.1", "for 0xD800 to 0xDFFF.")
def neighbours_of_the_surrogates_refused():
    return refusing(lambda n: 0xD7FF <= n <= 0xE000)


@wrong("9.1", "at least 0 and at most 0x10FFFF")
def beyond_unicode():
    return (lambda n: encode(n, largest=0x1FFFFF)), decode


@wrong("9.1", "Those are the bytes")
def bytes_for_code_points():
    return encode, lambda data: decode(data) and list(data)


@wrong("9.1", "Only the first character was read")
def first_character():
    return encode, lambda data: decode(data)[:1]


@wrong("9.1", "The last character is missing")
def last_character_lost():
    return encode, lambda data: decode(data)[:-1]


@wrong("9.1", "can't begin a character")
def stray_byte():
    return encode, lambda data: decode(data, leave=("stray",))


@wrong("9.1", "The data ends inside a character")
def early_end():
    return encode, lambda data: decode(data, leave=("early end", "overlong"))


@wrong("9.1", "another character begins there")
def interrupted():
    return encode, lambda data: decode(data, leave=("interrupted",))


@wrong("9.1", "fit into fewer bytes")
def overlong():
    return encode, lambda data: decode(data, leave=("overlong",))


@wrong("9.1", "give a surrogate")
def surrogate_read():
    return encode, lambda data: decode(data, leave=("surrogate",))


@wrong("9.1", "give a number above 0x10FFFF")
def too_large():
    return encode, lambda data: decode(data, leave=("too large",))


@wrong("9.1", "No character begins with 0xF8")
def first_byte():
    return encode, lambda data: decode(data, leave=("first byte",))


@wrong("9.1", "without `chr`")
def a_text():
    return encode, lambda data: "".join(map(chr, decode(data)))


@wrong("9.1", "A sound text was refused")
def noncharacters_refused():
    def refuse(data):
        points = decode(data)
        if 0xFFFF in points:
            raise ValueError("no character")
        return points

    return encode, refuse


@wrong("9.1", "is a character like any other here")
def byte_order_mark_left_out():
    def without(data):
        points = decode(data)
        return points[1:] if points[:1] == [0xFEFF] else points

    return encode, without


@wrong("9.1", "to have the highest bit isn't enough")
def highest_bit_only():
    return encode, lambda data: decode(data, goes_on=lambda byte, k, length: byte >= 0x80)


@wrong("9.1", "A byte below 0x40")
def second_bit_only():
    return encode, lambda data: decode(data, goes_on=lambda byte, k, length: not byte & 0x40)


@wrong("9.1", "The fourth byte of four")
def fourth_byte_unseen():
    def goes_on(byte, k, length):
        return k == 3 or byte & 0xC0 == 0x80

    return encode, lambda data: decode(data, goes_on=goes_on)


@wrong("9.1", "Only the second byte was looked at")
def second_byte_only():
    def goes_on(byte, k, length):
        return k > 1 or byte & 0xC0 == 0x80

    return encode, lambda data: decode(data, goes_on=goes_on)


@wrong("9.1", "Only the last byte was looked at")
def last_byte_only():
    def goes_on(byte, k, length):
        return k < length - 1 or byte & 0xC0 == 0x80

    return encode, lambda data: decode(data, goes_on=goes_on)


@wrong("9.1", "they end at 0xDFFF")
def first_half_of_the_surrogates():
    return encode, lambda data: decode(data, surrogate=lambda n: 0xD800 <= n <= 0xDBFF)


@wrong("9.1", "they begin at 0xD800")
def second_half_of_the_surrogates():
    return encode, lambda data: decode(data, surrogate=lambda n: 0xDC00 <= n <= 0xDFFF)


@wrong("9.1", "0xD800 itself is one")
def surrogates_from_the_second():
    return encode, lambda data: decode(data, surrogate=lambda n: 0xD800 < n <= 0xDFFF)


@wrong("9.1", "0xDFFF itself is one")
def surrogates_but_the_last():
    return encode, lambda data: decode(data, surrogate=lambda n: 0xD800 <= n < 0xDFFF)
