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

import codecs
import struct
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from pathlib import Path

NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # a piece's type
BPE = 2  # a model's
BLANK = "▁"


class SentencePieces:
    """Pieces of characters with scores: the best two neighbours are merged first."""

    def __init__(self, pieces: list[tuple[str, float, int]], dummy_prefix: bool = True):
        """`pieces` are texts with score and type, in the order of their numbers.

        ValueError unless there is a piece for each of the 256 bytes, as in "<0x0A>", and for a
        type that isn't read here, such as pieces that are never cut.
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
        if {kind for _, _, kind in pieces} - {NORMAL, UNKNOWN, CONTROL, BYTE}:
            raise ValueError("The model has pieces that are never cut, which are not read here.")

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
        """Return the text of `ids`, without the blank in front; control tokens are no text.

        A byte that belongs to no character is "\\ufffd". ValueError for no token.
        """
        number = {i: b for b, i in self.bytes.items()}
        text, ids = "", list(ids)
        for are_bytes, run in groupby(ids, number.__contains__):
            if are_bytes:
                text += bytes(number[token] for token in run).decode("utf-8", "byte by byte")
            else:
                shown = "".join(map(self._shown, run))
                if self.dummy_prefix and not text:
                    shown = shown.removeprefix(BLANK)
                text += shown.replace(BLANK, " ")
        return text

    def _shown(self, token: int) -> str:
        if not 0 <= token < len(self.pieces):
            raise ValueError(f"{token} is no token: they go from 0 to {len(self.pieces) - 1}.")
        text, _, kind = self.pieces[token]
        return {CONTROL: "", UNKNOWN: " ⁇ "}.get(kind, text)


def _each_byte(error: UnicodeDecodeError) -> tuple[str, int]:
    return "\ufffd", error.start + 1  # Python's own way replaces the begun character at once


codecs.register_error("byte by byte", _each_byte)


def load(path: str | Path) -> SentencePieces:
    """Return the tokenizer of a sentencepiece .model file.

    FileNotFoundError if there is none; ValueError, with one sentence, if it isn't one, is cut off,
    or is of a kind left out here.
    """
    pieces, kind, prefix, plain = [], 1, True, False
    try:
        for field, value in fields(Path(path).read_bytes()):
            if field == 1:
                piece = dict(fields(value))
                pieces.append((piece[1].decode(), piece.get(2, 0.0), piece.get(3, NORMAL)))
            elif field == 2:  # how it was trained
                its = dict(fields(value))
                kind = 0 if its.get(24) else its.get(3, 1)  # 24: the blank comes after a word
            elif field == 3:  # how a text is normalised
                its = dict(fields(value))
                prefix = bool(its.get(3, 1))
                plain = its.get(1, b"") == b"identity" and not its.get(4, 1)  # 4: fewer blanks
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {path}.") from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error):
        raise ValueError(f"{path} is not a whole sentencepiece model.") from None
    if kind != BPE or not plain:
        raise ValueError(
            f"{path} is a model of another kind: only byte pairs without normalisation are read."
        )
    try:
        return SentencePieces(pieces, prefix)
    except ValueError as error:
        raise ValueError(f"{path} is a model of another kind: {error}") from None


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
