"""CRC-32C: the checksum that TensorFlow's files carry, of 100 MB in a tenth of a second.

The idea. Such a checksum is the rest of a division of polynomials whose coefficients are bits, so
it is linear: what more zeros behind a message do to its rest is a matrix of 32 × 32 bits, and the
product of that matrix and a number is two look-ups, for its lower and its upper 16 bits. Word by
word that would be a loop too slow for Python. But the words can be taken side by side: 16,384 of
them are a row, a NumPy operation does a whole row at once, and the last row, which has the same
rest as the message, is folded again into a shorter one.

The standard: RFC 3720, appendix B.4. Left out: the processor's own instruction for it, which is
faster than memory, but needs a compiled package.
"""

from functools import cache

import numpy as np

POLYNOMIAL = 0x82F63B78  # from the lowest power up, as are all the bits here
START = 0x641F6454  # a word whose rest is all ones, with which the standard begins
WIDTHS = 2**14, 2**7  # words in a row: as many as the cache likes, then fewer


def crc32c(data: bytes | np.ndarray) -> int:
    """Return the CRC-32C of bytes, or of the bytes of a one-dimensional array of uint8."""
    data = np.frombuffer(data, np.uint8)
    odd = len(data) % 4
    # Zeros in front of a message leave its rest as it is, so it is filled up there.
    front = bytes(-odd % 4) + START.to_bytes(4, "little") + bytes(data[:odd])
    words, more = np.frombuffer(front, "<u4"), data[odd:].view("<u4")
    for width in WIDTHS:
        if len(words) + len(more) > width:
            first = len(more) % width
            empty = np.zeros(-(len(words) + first) % width, np.uint32)
            words, more = np.concatenate([empty, words, more[:first]]), more[first:]
            words, more = _folded((words, more), width), more[:0]
    low, high = _tables(1)
    rest = 0
    for word in (*words, *more):
        rest ^= word
        rest = low[rest & 0xFFFF] ^ high[rest >> 16]
    return int(rest) ^ 0xFFFFFFFF


def _folded(parts: tuple[np.ndarray, ...], width: int) -> np.ndarray:
    """Return one row of words with the same rest as all rows of the parts."""
    low, high = _tables(width)
    row = np.zeros(width, "<u4")
    for part in parts:
        for start in range(0, len(part), width):
            halves = row.view("<u2")
            row = low.take(halves[::2], mode="wrap")  # so that none is checked for being inside
            row ^= high.take(halves[1::2], mode="wrap")
            row ^= part[start : start + width]
    return row


@cache
def _tables(n_words: int) -> list[np.ndarray]:
    """Return what the matrix of so many words makes of each lower, and of each upper half."""
    tables, matrix = [], _matrix(n_words)
    for columns in (matrix[:16], matrix[16:]):
        table = np.zeros(1, "<u4")
        for column in columns:
            table = np.concatenate([table, table ^ np.uint32(column)])
        tables.append(table)
    return tables


@cache
def _matrix(n_words: int) -> list[int]:
    """Return, column by column, what `n_words` words of zeros do; they are a power of two."""
    if n_words > 1:
        half = _matrix(n_words // 2)
        return [_product(half, column) for column in half]
    columns = []
    for i in range(32):
        rest = 1 << i
        for _ in range(32):
            rest = rest >> 1 ^ (POLYNOMIAL if rest & 1 else 0)
        columns.append(rest)
    return columns


def _product(matrix: list[int], bits: int) -> int:
    product = 0
    for i, column in enumerate(matrix):
        if bits >> i & 1:
            product ^= column
    return product
