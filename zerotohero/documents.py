"""Documents: where the texts of a pretraining come from, one part after another, from any place on.

The idea. A corpus is longer than memory, and to turn it into tokens takes hours. So it is read as a
sequence of parts of about a million characters, each with the position after it: a few numbers,
from which a program that was killed goes on. Three kinds of source have this one form:

- a text file, in which `<|endoftext|>` stands between documents, or which is one document;
- a folder of text files, `.txt`, each as above;
- a data set of Hugging Face's, by its name or in a folder of `.parquet` or `.jsonl` files: a row a
  document. It is streamed: what isn't needed yet isn't downloaded.

A long document is cut into parts where every vocabulary of the course cuts anyway, between a letter
and what follows a word; so the tokens of the parts are the tokens of the document.

The data: FineWeb-Edu, Penedo and others (2024), arXiv:2406.17557.
"""

import codecs
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import regex

from zerotohero.splits import GPT2_SPLIT, GPT4_SPLIT, O200K_SPLIT
from zerotohero.tokenizer import END

PART = 2**20  # bytes of a file that are read at a time
BOM = codecs.BOM_UTF8
# From the end: a letter before what is no part of its word, a mark or the ' of "don't".
SEAM = regex.compile(r"(?r)\p{L}(?=[^\p{L}\p{M}'])")
CUT_THERE = GPT2_SPLIT, GPT4_SPLIT, O200K_SPLIT  # the patterns for which this is so
PUBLIC = {  # short names: the data set, its configuration, and how many tokens of GPT-2's it has
    "fineweb-edu": ("HuggingFaceFW/fineweb-edu", "sample-10BT", 10 * 10**9),
}
BYTES_A_TOKEN = 4  # of English, about
ROWS = "*.parquet", "*.jsonl"
COLUMN = "text"
Position = Any  # numbers and lists and dicts of them, as JSON has


@dataclass(frozen=True)
class Part:
    """A piece of a document, or all of it."""

    text: str
    first: bool  # whether a document begins with it
    after: Position  # where the source goes on


class TextFiles:
    """Text files, one after another, or the parts of one.

    Attributes: size, in bytes; says, what it is for a person; identity, what makes it the same
    source another time: names and sizes of its files.
    """

    unit, tokens = "B", None

    def __init__(self, path: Path):
        """ValueError if a folder holds no `.txt`, or all files are empty; OSError if unreadable."""
        self.paths = [path]
        if path.is_dir():
            self.paths = sorted(p for p in path.rglob("*.txt") if p.is_file())
            if not self.paths:
                raise ValueError(f"{path} holds no files that end in .txt.")
        sizes = [p.stat().st_size for p in self.paths]
        self._before = []
        self.size = 0
        digest = hashlib.sha256()
        for p, size in zip(self.paths, sizes, strict=True):
            self._before.append(self.size)
            self.size += size
            name = p.relative_to(path).as_posix() if path.is_dir() else p.name
            digest.update(f"{name}\0{size}\0".encode())
        if not self.size:
            raise ValueError(f"{path} is empty; name a file or a folder that holds text.")
        n = len(self.paths)
        self.says = f"{path}, {f'{n:,} files of ' if path.is_dir() else ''}{self.size:,} bytes"
        self.identity = {"files": digest.hexdigest()}

    def done(self, position: Position) -> int:
        """Return how many bytes lie before a position."""
        number, offset, _ = position
        return self._before[number] + offset

    def parts(self, position: Position = None, whole: bool = False) -> Iterator[Part]:
        """Yield the parts from a position on; with `whole`, every document is one.

        ValueError with one sentence for a file that is not UTF-8.
        """
        first, *where = position or (0, 0, False)
        for number in range(first, len(self.paths)):
            for text, begins, *after in _read(self.paths[number], *where, whole):
                yield Part(text, begins, [number, *after])
            where = 0, False


def _read(
    path: Path, offset: int, inside: bool, whole: bool
) -> Iterator[tuple[str, bool, int, bool]]:
    """Yield the parts of a file: text, whether a document begins, and the position after it."""
    end = END.encode()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(offset)
        # buffer[at:] is what was read and is still to be yielded; `start` is where buffer begins.
        buffer, at, start = b"", 0, offset
        if offset == 0:
            buffer = file.read(len(BOM))
            at = len(BOM) if buffer == BOM else 0
        # The bytes that are looked at. They follow from the position alone, not from where reading
        # began, so that a program that goes on makes the same parts.
        window = PART
        while True:
            while len(buffer) < min(at + window, size - start):
                more = file.read(PART)
                size = size if more else start + len(buffer)  # it was shortened meanwhile
                buffer, start, at = buffer[at:] + more, start + at, 0
            last = start + at + window >= size
            # The line breaks after an <|endoftext|> are its own, not the next document's.
            breaks = "\n" if not inside and start + at > len(BOM) else ""
            stop = buffer.find(end, at, at + window)
            if stop < 0 and not last:
                # The last characters may be those of an <|endoftext|> that isn't read to its end.
                content = buffer[at : at + window]
                text = "" if whole else _up_to_a_seam(path, content, start + at, len(end))
                if text:
                    at += len(text.encode())
                    text = text.replace("\r\n", "\n").lstrip(breaks)
                    yield text, not inside, start + at, True
                    inside, window = True, PART
                else:
                    window *= 2
                continue
            piece = buffer[at:] if stop < 0 else buffer[at:stop]
            text = _decoded(path, piece, start + at).replace("\r\n", "\n").lstrip(breaks)
            if stop >= 0:
                text = text.rstrip("\n")
            at = len(buffer) if stop < 0 else stop + len(end)
            if text:
                yield text, not inside, start + at, False
            inside, window = False, PART
            if stop < 0:
                return


def _up_to_a_seam(path: Path, content: bytes, offset: int, margin: int) -> str:
    """Return the text up to the last place where a document can be cut, or nothing."""
    text = _decoded(path, content, offset, final=False)
    seam = SEAM.search(text, 0, max(0, len(text) - margin))
    return text[: seam.end()] if seam else ""


def _decoded(path: Path, content: bytes, offset: int, final: bool = True) -> str:
    """Return the text of bytes, of which the last may be a part of a character unless `final`."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(content, final)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text: the byte at position {offset + error.start} is "
            f"0x{content[error.start]:02x}; save the file as UTF-8 first."
        ) from None


class Stream:
    """A data set of Hugging Face's, read row by row as it comes from the hub or from a folder.

    Attributes as TextFiles has them; size is None, but tokens is about how many there are, where
    the data set says it.
    """

    unit, size = None, None

    def __init__(self, name: str):
        """`name` is "fineweb-edu", "owner/name", "owner/name:configuration", or a folder.

        ImportError without the package datasets; ConnectionError if the hub doesn't answer;
        ValueError for a data set without a column of texts.
        """
        try:
            import datasets
        except ImportError:
            raise ImportError(
                f"To read {name}, a package is missing: pip install datasets."
            ) from None
        config, self.tokens = None, None
        path = name
        if not Path(name).is_dir():
            if name in PUBLIC:
                path, config, self.tokens = PUBLIC[name]
            elif ":" in name:
                path, config = name.split(":", 1)
        datasets.disable_progress_bars()
        try:
            rows = datasets.load_dataset(path, config, split="train", streaming=True)
        except OSError as error:
            raise ConnectionError(
                f"{name} could not be fetched from the Hugging Face hub "
                f"({str(error).splitlines()[0]}): try again with a network, or give a file or a "
                "folder."
            ) from error
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{name} can't be read: {str(error).splitlines()[0]}") from None
        columns = rows.column_names or list(next(iter(rows), {}))
        if COLUMN not in columns:
            has = ", ".join(columns) or "none"
            raise ValueError(f"{name} has no column {COLUMN!r} with its texts; it has {has}.")
        self._rows = rows.select_columns([COLUMN])
        if self.tokens is None and rows.info.splits:
            self.tokens = rows.info.splits["train"].num_bytes // BYTES_A_TOKEN
        self.says = path + (f", {config}" if config else "")
        path = str(Path(path).resolve()) if Path(path).is_dir() else path
        self.identity = {"path": path, "config": config}

    def done(self, position: Position) -> None:
        """Return None: how much lies before a position is known to nobody."""

    def parts(self, position: Position = None, whole: bool = False) -> Iterator[Part]:
        """Yield the documents from a position on. ConnectionError if no more of them come."""
        if position is not None:
            self._rows.load_state_dict(position)
        rows = iter(self._rows)
        while True:
            try:
                row = next(rows, None)
            except Exception as error:  # of a network or a file, of whichever library reads it
                raise ConnectionError(
                    f"{self.says} broke off ({type(error).__name__}): go on by the same command."
                ) from error
            if row is None:
                return
            if row[COLUMN]:
                yield Part(row[COLUMN], True, self._rows.state_dict())


def source_of(name: str) -> TextFiles | Stream:
    """Return the source of a path or a name. FileNotFoundError, or what the sources raise."""
    path = Path(name)
    if path.is_dir():
        if any(next(path.rglob(kind), None) for kind in ROWS):
            return Stream(name)
        return TextFiles(path)
    if path.exists():
        return TextFiles(path)
    hub = regex.fullmatch(r"[\w.-]+/[\w.-]+(:[\w.-]+)?", name)
    if name in PUBLIC or (hub and not path.parent.is_dir()):
        return Stream(name)
    raise FileNotFoundError(
        f"There is no file or folder {name}; of data sets by name there are "
        f"{', '.join(PUBLIC)}, and any OWNER/NAME of the Hugging Face hub."
    )
