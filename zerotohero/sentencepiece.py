"""Llama's older way: byte pairs over characters, and bytes only where a character is unknown.

The idea. The library `sentencepiece` merges characters instead of bytes, so its pieces are always
readable, but a character that was rare in training has no piece. Its bytes are written then, each
as a token of its own: byte fallback. Blanks are letters, too, written ▁, and one is put in front
of the text, so that a word is the same piece at the start as elsewhere. There is no pattern: the
merges see the whole text.

The paper: T. Kudo and J. Richardson, SentencePiece (2018). A file of the library holds its settings
and pieces as a protobuf message: fields of a number, a type and a value, one after the other.

New against `tokenizer`: characters, scores in place of ranks. Left out: learning such a model,
unigram models, and normalisation of the text.
"""

import struct
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

NORMAL, BYTE, BPE = 1, 6, 2  # a piece's type; the model's
BLANK = "▁"


class SentencePieces:
    """Pieces of characters with scores: the best two neighbours are merged first."""

    def __init__(self, pieces: list[tuple[str, float, int]], dummy_prefix: bool = True):
        """`pieces` are texts with score and type, in the order of their numbers.

        ValueError unless there is a piece for each of the 256 bytes, as in "<0x0A>".
        """
        self.pieces = pieces
        self.dummy_prefix = dummy_prefix
        self.ids = {text: i for i, (text, _, _) in enumerate(pieces)}
        self.scores = {text: score for text, score, kind in pieces if kind == NORMAL}
        self.bytes = {
            int(text[3:5], 16): i for i, (text, _, kind) in enumerate(pieces) if kind == BYTE
        }
        if len(self.bytes) < 256:
            raise ValueError("The model has no byte fallback: it lacks pieces for single bytes.")

    def __len__(self) -> int:
        return len(self.pieces)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of `text`."""
        if not text:
            return []
        parts = list((" " * self.dummy_prefix + text).replace(" ", BLANK))
        while True:
            best, at = None, 0
            for i, (a, b) in enumerate(pairwise(parts)):
                score = self.scores.get(a + b)
                if score is not None and (best is None or score > best):
                    best, at = score, i
            if best is None:
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        ids = []
        for part in parts:
            known = self.ids.get(part)
            ids += [self.bytes[b] for b in part.encode()] if known is None else [known]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`, without the blank in front. ValueError for no token."""
        number = {i: b for b, i in self.bytes.items()}
        content = b""
        for token in ids:
            if not 0 <= token < len(self.pieces):
                raise ValueError(f"{token} is no token: they go from 0 to {len(self.pieces) - 1}.")
            byte = number.get(token)
            content += self.pieces[token][0].encode() if byte is None else bytes([byte])
        text = content.decode("utf-8", "replace").replace(BLANK, " ")
        return text.removeprefix(" ") if self.dummy_prefix else text


def load(path: str | Path) -> SentencePieces:
    """Return the tokenizer of a sentencepiece .model file.

    ValueError, with one sentence, if it isn't one, is cut off, or is of a kind left out here.
    """
    pieces, kind, prefix, normalizer = [], 1, True, ""
    try:
        for field, value in fields(Path(path).read_bytes()):
            if field == 1:
                piece = dict(fields(value))
                pieces.append((piece[1].decode(), piece.get(2, 0.0), piece.get(3, NORMAL)))
            elif field == 2:  # how it was trained
                kind = dict(fields(value)).get(3, 1)
            elif field == 3:  # how a text is normalised
                its = dict(fields(value))
                normalizer, prefix = its.get(1, b"").decode(), bool(its.get(3, 1))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error):
        raise ValueError(f"{path} is not a whole sentencepiece model.") from None
    if kind != BPE or normalizer != "identity":
        raise ValueError(
            f"{path} is a model of another kind: only byte pairs without normalisation are read."
        )
    return SentencePieces(pieces, prefix)


def fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Yield number and value of the fields of a protobuf message. ValueError if it is cut off."""
    at = 0

    def varint() -> int:  # seven bits a byte, the lowest first; the eighth says that more follow
        nonlocal at
        number = shift = 0
        while True:
            byte = message[at]
            at += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 2: 0, 5: 4}[kind] or varint()
        value = message[at : at + size]
        if len(value) < size:
            raise ValueError("cut off")
        at += size
        yield key >> 3, struct.unpack("<f", value)[0] if kind == 5 else value
