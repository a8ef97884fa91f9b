"""What is handed in in a folder, by whom, and the id under which each of them gets marks.

    everyone, passed_over = listed(Path("handed-in"), Path("grades"))

A file is a person. So is a folder, as Moodle and Gradescope hand them out: then its name says who
it is, and of the files in it one is marked. Everything that is there and isn't left by a system or
an earlier run is a row, with a note if nothing in it can be marked.
"""

import hashlib
import json
import os
import re
import stat
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from zerotohero.course import marks
from zerotohero.course.marks import Graded
from zerotohero.course.submission import NotASubmission, Submission, read

MOST_FILES = 100  # of one person
# What systems, archives and synchronisers leave beside people's files, and Gradescope's own list.
_LITTER = {
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "@eadir",
    "icon\r",
    "submission_metadata.yml",
}


def listed(
    folder: Path, out: Path, ids: Mapping[str, str] | None = None
) -> tuple[list[Graded], list[str]]:
    """Return what is handed in in a folder, in order, and what was passed over as older marks.

    out: where marks go, which isn't handed in.
    ids: those that have been given before, by entry.

    Raises ValueError if `out` is that folder or a person's, OSError if it can't be read.
    """
    real, real_out = os.path.realpath(folder), os.path.realpath(out)
    if real == real_out:
        raise ValueError(
            f"The marks can't go among the submissions; use --out {folder / 'grades'}, for example."
        )
    everyone, passed_over = [], []
    names = [name for name in os.listdir(folder) if not _is_litter(name)]
    for name in sorted(names, key=lambda name: (_plain(name), name)):
        if _is_beside(name, names):
            continue
        graded = _look(folder, name)
        if f"{real_out}{os.sep}".startswith(f"{os.path.join(real, name)}{os.sep}"):
            if graded.path is not None:
                raise ValueError(f"The marks can't go to {out}, where {graded.file} is handed in.")
        elif graded.path is None and marks.are_marks(folder / name):
            passed_over.append(shown(name))
        else:
            everyone.append(graded)
    given = _ids([graded.entry for graded in everyone], ids or {})
    for graded in everyone:
        graded.id = given[graded.entry]
    return everyone, passed_over


def shown(name: str) -> str:
    """Return a file's name as it can be printed: what isn't text, or can't be seen, is escaped."""
    text = os.fsencode(name).decode("utf-8", errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def digest(submission: Submission) -> str:
    """Return a hash of what is in a submission, by which one that has changed since is known."""
    content = json.dumps([submission.name, submission.exercises], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _LITTER


def _is_beside(name: str, names: Sequence[str]) -> bool:
    """Return whether it is what Moodle's text box held, beside files of the same person."""
    person = _person(name)
    of_files = f"{person}_assignsubmission_file"
    return "_onlinetext" in name[len(person) :] and any(n.startswith(of_files) for n in names)


# --- the file of a person -----------------------------------------------------------------------


def _look(folder: Path, name: str) -> Graded:
    """Return one entry of the folder: which file to mark, or why there is none."""
    graded = Graded(folder, name, file=shown(name))
    path = folder / name
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            _look_inside(path, graded)
            return graded
    except OSError as error:
        graded.note = f"It can't be read: {error.strerror}."
        return graded
    found = _read(folder, path)
    if isinstance(found, Submission):
        graded.path, graded.digest = path, digest(found)
    else:
        graded.note = found
    return graded


def _look_inside(path: Path, graded: Graded) -> None:
    """Take from a person's folder the submission with the highest number, or the newest."""
    names = sorted(name for name in os.listdir(path) if not _is_litter(name))
    if not names:
        graded.note = "There is no file in this folder."
    if len(names) > MOST_FILES:
        graded.note = f"There are more than {MOST_FILES} files in this folder; one is enough."
        return
    found = {name: _read(graded.folder, path / name) for name in names}
    digests = {name: digest(its) for name, its in found.items() if isinstance(its, Submission)}
    if digests:
        best = max(digests, key=lambda name: _rank(path / name))
        graded.path, graded.digest = path / best, digests[best]
        graded.file = f"{graded.file}/{shown(best)}"
        others = [name for name in digests if digests[name] != digests[best]]
        if others:
            graded.note = f"{shown(best)} was marked, the newest of several: not {_some(others)}."
    elif len(names) == 1:
        graded.note = f"{shown(names[0])}: {found[names[0]]}"
    elif names:
        graded.note = f"None of the {len(names)} files here is a submission: {_some(names)}."


def _rank(path: Path) -> tuple[int, float, str]:
    """Return more for what came in later: "name (1).json" after "name.json", else by its time."""
    number = re.search(r"[ _(-](\d{1,2})\)?(\.\w+)?$", path.name)
    return int(number[1]) if number else 0, os.lstat(path).st_mtime, path.name


def _some(names: Sequence[str]) -> str:
    more = [f"{len(names) - 5} more"] if len(names) > 5 else []
    return ", ".join([*map(shown, names[:5]), *more])


def _read(folder: Path, path: Path) -> Submission | str:
    """Return the submission in a file, or why it is none."""
    try:
        return read(path, folder)
    except NotASubmission as error:
        return str(error)
    except OSError as error:
        what = error.strerror or "no one knows why"
        return f"This is {what}." if what.startswith("not a file") else f"It can't be read: {what}."


# --- who is who ---------------------------------------------------------------------------------


def _person(name: str) -> str:
    """Return an entry's name without what Moodle adds to a person's."""
    return re.sub(r"_assignsubmission_(file|onlinetext)(_.*)?$", "", name, flags=re.DOTALL)


def _plain(name: str) -> str:
    """Return an entry's name, the same on systems that compose accents and on those that don't."""
    return unicodedata.normalize("NFC", name)


def _ids(entries: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return an id for each entry, from its name, whatever the order in which they are listed."""
    order = sorted(entries, key=lambda name: (_plain(name), name))
    ids = {name: given[shown(name)] for name in order if shown(name) in given}
    taken = {_same(id) for id in (marks.TABLE, *given.values())}
    stems = {name: re.sub(r"\.json$", "", _person(name), flags=re.IGNORECASE) for name in order}
    # Those whose name is their id come first: no number that is made below can be another's name.
    for name in order:
        id = _id(stems[name])
        if name not in ids and id == _plain(stems[name]) and _same(id) not in taken:
            ids[name] = id
            taken.add(_same(id))
    for name in order:
        id, n = _id(stems[name]), 1
        while name not in ids and _same(id) in taken:
            n += 1
            id = _guarded(f"{_letters(stems[name])}-{n}")
        taken.add(_same(ids.setdefault(name, id)))
    return ids


def _same(id: str) -> str:
    """Return the same for ids that are one folder where case or accents' form don't count."""
    return unicodedata.normalize("NFC", id.casefold())


# What spreadsheets in English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Russian
# read as a month, with a number before or behind it.
_MONTH = (
    "jan|feb|fév|fev|fbr|mar|mär|mrt|apr|avr|abr|may|mai|mag|maj|mei|jun|jui|jul|giu|lug|aug|aoû|ago"
    "|sep|set|oct|okt|ott|out|nov|dec|dez|déc|dic|ene|gen|sty|lut|kwi|cze|lip|sie|wrz|paź|lis|gru"
    "|янв|фев|мар|апр|май|мая|июн|июл|авг|сен|окт|ноя|дек"
)
_NUMBER = re.compile(rf"\d|({_MONTH})[^\W\d_]*[.-]*\d+([.-]+\d+)*$|(true|false)$", re.IGNORECASE)
_RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\.|$)", re.IGNORECASE)  # by Windows


def _id(name: str) -> str:
    """Return a name as an id: letters and digits of every script, and `.`, `_`, `-` between them.

    It is the name of a folder on every system, and text to every spreadsheet: neither 007 nor
    MARCH1 is, nor can a folder be called CON, so these get a `_` in front.
    """
    return _guarded(_letters(name))


def _letters(name: str) -> str:
    kept = []
    for c in _plain(name):
        kind = unicodedata.category(c)
        if c.isalnum() or c in "._-" or kind[0] == "M":
            kept.append(c)
        elif kind != "Cf":  # Persian and Indian names join letters by signs that can't be seen
            kept.append(" ")
    id = "_".join("".join(kept).split()).strip("._-")
    return id[:80].encode()[:200].decode(errors="ignore").strip("._-") or "submission"


def _guarded(id: str) -> str:
    return f"_{id}" if _NUMBER.match(id) or _RESERVED.match(id) else id
