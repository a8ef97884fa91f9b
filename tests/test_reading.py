"""A stranger's file is read whatever saved it again, and nothing but a file is opened."""

import contextlib
import json
import os
import socket
import stat
import threading

import pytest

from zerotohero.course import files, submission
from zerotohero.course.submission import FORMAT, NotASubmission, Submission, read

MINE = Submission("Zoë 王小明", {"1.1": "def f():\n    return 'é → ü'\n"})

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such files")


def text_of(mine: Submission) -> str:
    body = {"format": FORMAT, "version": 1, "course": mine.course, "name": mine.name}
    body["exercises"] = mine.exercises
    return json.dumps(body, indent=1, ensure_ascii=False)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"],
)
def test_what_a_system_has_saved_again_is_what_was_handed_in(tmp_path, encoding, newline):
    path = tmp_path / "s.json"
    path.write_bytes(text_of(MINE).replace("\n", newline).encode(encoding))
    assert read(path) == MINE


def test_what_windows_has_saved_as_ansi_is_read_too(tmp_path):
    mine = Submission("Zoë", {"1.1": "def f():\n    return '€'\n"})
    (tmp_path / "s.json").write_bytes(text_of(mine).encode("cp1252"))
    assert read(tmp_path / "s.json") == mine


@pytest.mark.parametrize("field", ["name", "course", "version", "format", "exercises"])
@pytest.mark.parametrize("depth", [1, 500, 900, 980, 990, 2000, 10**5])
def test_a_field_nested_as_deep_as_json_goes_is_refused_or_left_out(tmp_path, field, depth):
    """For to print it goes deeper than to read it, and that must stop no one else's marks."""
    body = {"format": FORMAT, "version": 1, "course": "", "name": "", "exercises": {}, field: 0}
    text = json.dumps(body).replace(f'"{field}": 0', f'"{field}": {"[" * depth}{"]" * depth}')
    (tmp_path / "s.json").write_text(text)
    try:
        mine = read(tmp_path / "s.json")
    except NotASubmission:
        assert field not in ("name", "course") or depth > 500
    else:
        assert field in ("name", "course") and mine == Submission("", {}, "")


def make(path, kind):
    """Put something there that is not a file; return what keeps it there."""
    if kind == "a link":
        (path.parent / "elsewhere.json").write_text(text_of(MINE))
        path.symlink_to("elsewhere.json")
    elif kind == "a link that loops":
        path.symlink_to(path.name)
    elif kind == "a link to nothing":
        path.symlink_to("nowhere")
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        listener = socket.socket(socket.AF_UNIX)
        here = os.open(path.parent, os.O_RDONLY)  # for a path may be too long for a socket
        listener.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)
        return listener
    elif kind == "a device":
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # zeros without end
        except OSError:
            pytest.skip("only root may make a device")
    return None


KINDS = [
    "a link",
    "a link that loops",
    "a link to nothing",
    "a folder",
    "a pipe",
    "a socket",
    "a device",
]


@posix
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_a_file_is_said_and_not_opened(tmp_path, kind):
    kept = make(tmp_path / "s.json", kind)
    with pytest.raises(OSError) as error:
        read(tmp_path / "s.json")
    assert error.value.strerror == f"not a file but {' '.join(kind.split()[:2])}"
    del kept


@posix
@pytest.mark.parametrize("kind", KINDS)
def test_what_takes_the_place_of_a_file_after_the_look_is_not_followed(tmp_path, kind, monkeypatch):
    path = tmp_path / "s.json"
    path.write_text(text_of(MINE))
    kept, look = [], os.lstat

    def late(looked_at):
        found = look(looked_at)
        path.unlink()
        kept.append(make(path, kind))
        return found

    monkeypatch.setattr(files.os, "lstat", late)
    done = []

    def reads():
        with pytest.raises(OSError):
            read(path)
        done.append(True)

    thread = threading.Thread(target=reads, daemon=True)  # which a pipe would hold for ever
    thread.start()
    thread.join(60)
    assert done


@posix
@pytest.mark.parametrize("swapped", ["before", "after"])
def test_a_students_folder_that_becomes_a_link_is_not_followed(tmp_path, swapped, monkeypatch):
    theirs, elsewhere = tmp_path / "class" / "ada", tmp_path / "elsewhere"
    theirs.mkdir(parents=True)
    elsewhere.mkdir()
    for folder in (theirs, elsewhere):
        (folder / "s.json").write_text(text_of(MINE))
    assert read(theirs / "s.json", tmp_path / "class") == MINE
    look = os.lstat

    def swap(path="", *, result=None):
        (theirs / "s.json").unlink()
        theirs.rmdir()
        theirs.symlink_to(elsewhere)

    if swapped == "before":
        swap()
    else:
        monkeypatch.setattr(files.os, "lstat", lambda path: (look(path), swap())[0])
    with pytest.raises(OSError):
        read(theirs / "s.json", tmp_path / "class")


@posix
def test_the_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "s.json").write_text(text_of(MINE))
    (tmp_path / "link").symlink_to("real")
    assert read(tmp_path / "link" / "s.json", tmp_path / "link") == MINE


@posix
def test_no_file_is_left_open(tmp_path):
    make(tmp_path / "pipe.json", "a pipe")
    (tmp_path / "s.json").write_text(text_of(MINE))

    def handles():
        return len(os.listdir("/proc/self/fd"))

    before = handles()
    for name in ("s.json", "pipe.json", "missing.json"):
        for _ in range(5):
            with contextlib.suppress(OSError):
                read(tmp_path / name)
    assert handles() == before


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path):
    with (tmp_path / "s.json").open("wb") as file:
        file.write(b"{")
        file.truncate(2**40)  # which no memory would hold
    with pytest.raises(NotASubmission, match="larger than 2 MB"):
        read(tmp_path / "s.json")
    assert submission.MAX_BYTES == 2 * 2**20
