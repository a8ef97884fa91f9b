"""Who is in a folder of submissions: under which id, with which file, and what is passed over."""

import os
import random
import socket
import stat
import unicodedata
from pathlib import Path

import pytest

from grading.class_room import hand_in
from zerotohero.course import handed_in, marks
from zerotohero.course.handed_in import listed

ANSWERS = {"1.1": "def f(): pass\n"}

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such files")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "handed-in"
    folder.mkdir()
    return folder


def everyone(folder, **options):
    return listed(folder, folder.parent / "grades", **options)[0]


def ids(folder, **options):
    return {graded.entry: graded.id for graded in everyone(folder, **options)}


def only(folder):
    (graded,) = everyone(folder)
    return graded


# --- ids ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "id"),
    {
        "ada": "ada",
        "Ada Lovelace": "Ada_Lovelace",
        "王小明": "王小明",
        "Анна": "Анна",
        "Zoë Strauß": "Zoë_Strauß",
        "Zoe\u0308": "Zoë",  # as macOS may write it: one letter, two characters
        "محمد": "محمد",
        "नमिता": "नमिता",  # with marks that are no letters by themselves
        "علی\u200cرضا": "علیرضا",  # two words, joined by a sign that can't be seen
        "김철수 (1)": "김철수_1",
        "O'Neill, Seán": "O_Neill_Seán",
        "a\u2215b": "a_b",  # which looks like a slash
        "=cmd": "cmd",
        "-rf": "rf",
        "trailing. . ": "trailing",
        "１２３": "_１２３",
        "007": "_007",
        "1-2": "_1-2",
        "1e5": "_1e5",
        "3.14": "_3.14",
        "2026-11-29": "_2026-11-29",
        "10.30": "_10.30",
        "5 May": "_5_May",
        "MARCH1": "_MARCH1",
        "mar-1": "_mar-1",
        "Sept2": "_Sept2",
        "März.3": "_März.3",
        "май-1": "_май-1",
        "jan-2-2026": "_jan-2-2026",
        "TRUE": "_TRUE",
        "Maria2": "_Maria2",  # which a spreadsheet leaves alone, but who knows them all
        "Marie Curie 2": "Marie_Curie_2",
        "s123456": "s123456",
        "submission_12345": "submission_12345",
        "CON": "_CON",
        "con.txt": "_con.txt",
        "nul.tar.gz": "_nul.tar.gz",
        "LPT¹": "_LPT¹",
        "Connie": "Connie",
        "grades.csv": "grades.csv-2",  # so that it isn't where the table goes
        "!?": "submission",
        "\U00020bb7" * 55: "\U00020bb7" * 50,  # 200 bytes; a name may have 255
        "x" * 200: "x" * 80,
    }.items(),
)
@pytest.mark.parametrize("is_folder", [False, True])
def test_an_id_is_a_name_on_every_system_and_text_in_every_spreadsheet(folder, name, id, is_folder):
    if is_folder:
        (folder / name).mkdir()
    else:
        hand_in(folder, name, ANSWERS)
    (graded,) = everyone(folder)
    assert graded.id == id
    assert len(id.encode()) < 250
    assert graded.entry == name + ".json" * (not is_folder)


def test_a_name_that_is_not_utf_8_has_an_id_and_can_be_printed(folder):
    hand_in(folder, "Zo", ANSWERS)
    os.rename(folder / "Zo.json", os.fsencode(folder) + b"/Zo\xff\n.json")
    graded = only(folder)
    assert (graded.id, graded.file) == ("Zo", r"Zo\xff\n.json")
    assert graded.path is not None


CLASHES = [
    (["a", "a-2", "a ", "a;"], {"a": "a", "a-2": "a-2", "a ": "a-3", "a;": "a-4"}),
    (["Ada", "ada", "ADA"], {"ADA": "ADA", "Ada": "Ada-2", "ada": "ada-3"}),
    (["Strauß", "strauss"], {"Strauß": "Strauß", "strauss": "strauss-2"}),
    (["may", "May"], {"May": "May", "may": "_may-2"}),  # which would be a day in May
    (["007", "_007"], {"_007": "_007", "007": "_007-2"}),
    (["x" * 90, "x" * 91], {"x" * 90: "x" * 80, "x" * 91: "x" * 80 + "-2"}),
    (
        ["!", "?", "submission"],
        {"submission": "submission", "!": "submission-2", "?": "submission-3"},
    ),
    (["con", "CON "], {"CON ": "_CON", "con": "con-2"}),
]


@pytest.mark.parametrize(("names", "wanted"), CLASHES)
def test_ids_do_not_clash_whatever_the_order(tmp_path, names, wanted, monkeypatch):
    listdir = os.listdir
    for turn in range(3):
        folder = tmp_path / f"class {turn}"
        folder.mkdir()
        for name in names:
            hand_in(folder, name, ANSWERS)

        def shuffled(where, turn=turn):
            return random.Random(turn).sample(found := sorted(listdir(where)), len(found))

        monkeypatch.setattr(handed_in.os, "listdir", shuffled)
        got = ids(folder)
        assert {Path(entry).stem: id for entry, id in got.items()} == wanted
        keys = [unicodedata.normalize("NFC", id.casefold()) for id in got.values()]
        assert len(set(keys)) == len(keys)


def test_one_name_in_two_forms_is_two_ids(folder):
    for form in ("NFC", "NFD"):
        hand_in(folder, unicodedata.normalize(form, "Zoë"), ANSWERS)
    assert sorted(ids(folder).values()) == ["Zoë", "Zoë-2"]


def test_a_folder_and_a_file_of_one_name_are_two_people(folder):
    hand_in(folder, "ada", ANSWERS)
    hand_in(folder, "ada/zerotohero-submission", ANSWERS)
    assert ids(folder) == {"ada": "ada", "ada.json": "ada-2"}


def test_ids_that_were_given_stay_and_are_given_to_no_one_else(folder):
    hand_in(folder, "a ", ANSWERS)
    assert ids(folder) == {"a .json": "a"}
    hand_in(folder, "a", ANSWERS)
    assert ids(folder, ids={"a .json": "a", "gone.json": "a-2"}) == {
        "a .json": "a",
        "a.json": "a-3",
    }


# --- a folder a person --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "id"),
    {
        "Ada Lovelace_123_assignsubmission_file_": "Ada_Lovelace_123",
        "Ada Lovelace_123_assignsubmission_file": "Ada_Lovelace_123",
        "submission_98765": "submission_98765",
        "12345-678 - Ada Lovelace - Jan 5, 2026 1000 AM": (
            "_12345-678_-_Ada_Lovelace_-_Jan_5_2026_1000_AM"
        ),
    }.items(),
)
def test_a_folder_a_person_is_read_one_down_and_its_name_says_who_it_is(folder, entry, id):
    hand_in(folder, f"{entry}/zerotohero-submission", ANSWERS)
    graded = only(folder)
    assert (graded.id, graded.note) == (id, "")
    assert graded.path == folder / entry / "zerotohero-submission.json"
    assert graded.file == f"{entry}/zerotohero-submission.json"


def test_moodles_files_without_folders_have_the_names_of_people(folder):
    hand_in(folder, "Ada Lovelace_123_assignsubmission_file_zerotohero-submission", ANSWERS)
    assert only(folder).id == "Ada_Lovelace_123"


def test_moodles_text_box_is_no_second_person(folder):
    hand_in(folder, "Ada_1_assignsubmission_file_/zerotohero-submission", ANSWERS)
    for person in ("Ada_1", "Bob_2"):
        text = folder / f"{person}_assignsubmission_onlinetext_"
        text.mkdir()
        (text / "onlinetext.html").write_text("<p>See the file.</p>")
    ada, bob = everyone(folder)
    assert (ada.id, ada.file) == (
        "Ada_1",
        "Ada_1_assignsubmission_file_/zerotohero-submission.json",
    )
    assert (bob.id, bob.path) == ("Bob_2", None)
    assert bob.note.startswith("onlinetext.html: The file is broken or is not a submission")


def test_other_files_of_a_person_do_not_matter(folder):
    mine = hand_in(folder, "ada/zerotohero-submission", ANSWERS)
    (folder / "ada" / "01_micrograd.ipynb").write_text("{}")
    (folder / "ada" / "notes.pdf").write_bytes(b"%PDF")
    (folder / "ada" / "__MACOSX").mkdir()
    (folder / "ada" / "more").mkdir()
    graded = only(folder)
    assert (graded.path, graded.note) == (mine, "")


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("zerotohero-submission", "zerotohero-submission (1)"),
        ("zerotohero-submission (9)", "zerotohero-submission (10)"),
        ("zerotohero-submission-1", "zerotohero-submission-2"),
        ("zerotohero-submission_1", "zerotohero-submission_2"),
        ("zerotohero-submission", "zerotohero-submission(1)"),
    ],
)
def test_of_several_submissions_the_highest_number_is_marked_and_the_note_says_so(
    folder, older, newer
):
    for name, time in ((older, 2_000_000_000), (newer, 1_000_000_000)):
        os.utime(hand_in(folder, f"ada/{name}", {"1.1": f"# {name}"}), (time, time))
    graded = only(folder)
    assert graded.path == folder / "ada" / f"{newer}.json"
    assert graded.note == f"{newer}.json was marked, the newest of several: not {older}.json."


def test_of_several_submissions_without_numbers_the_newest_is_marked(folder):
    for name, time in (("first", 2_000_000_000), ("second", 1_000_000_000)):
        os.utime(hand_in(folder, f"ada/{name}", {"1.1": f"# {name}"}), (time, time))
    assert only(folder).path == folder / "ada" / "first.json"
    assert "not second.json" in only(folder).note


def test_the_same_handed_in_twice_needs_no_note(folder):
    for name in ("zerotohero-submission", "zerotohero-submission (1)"):
        body = hand_in(folder, "ada/zerotohero-submission", ANSWERS).read_bytes()
        (folder / "ada" / f"{name}.json").write_bytes(body)
    assert only(folder).path is not None and only(folder).note == ""


def test_a_broken_resubmission_leaves_the_one_that_can_be_read(folder):
    mine = hand_in(folder, "ada/zerotohero-submission", ANSWERS)
    (folder / "ada" / "zerotohero-submission (1).json").write_bytes(mine.read_bytes()[:20])
    assert only(folder).path == mine


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([], "There is no file in this folder."),
        ([".DS_Store", "Thumbs.db"], "There is no file in this folder."),
        (["a.ipynb"], "a.ipynb: This is a notebook; hand in the file that submit() writes."),
        (["empty.json"], "empty.json: The file is empty; "),
        (["more/"], "more: This is not a file but a folder."),
        (["a.pdf", "b.txt"], "None of the 2 files here is a submission: a.pdf, b.txt."),
        ([f"{i}.txt" for i in range(7)], "4.txt, 2 more."),
        ([f"{i}.txt" for i in range(101)], "more than 100 files"),
    ],
)
def test_a_folder_without_a_submission_is_a_row_with_a_note(folder, files, says):
    (folder / "ada").mkdir()
    for name in files:
        if name.endswith("/"):
            (folder / "ada" / name).mkdir()
        else:
            (folder / "ada" / name).write_text("")
    graded = only(folder)
    assert (graded.id, graded.path, graded.file) == ("ada", None, "ada")
    assert says in graded.note


# --- strange files ------------------------------------------------------------------------------


def strange(folder: Path) -> dict[str, str]:
    """Make one of every kind of strange file; return what the note says of each."""
    says = {}

    def made(name, note):
        says[name] = note
        return folder / name

    made("loop.json", "not a file but a link").symlink_to("loop.json")
    made("dangling.json", "not a file but a link").symlink_to("nowhere")
    made("passwd.json", "not a file but a link").symlink_to("/etc/passwd")
    made("folder link", "not a file but a link").symlink_to("/etc")
    made("circle", "not a file but a link").symlink_to(".")
    os.mkfifo(made("pipe.json", "not a file but a pipe"))
    os.mkfifo(folder / "ada.fifo")
    says["ada.fifo"] = "not a file but a pipe"
    made("x" * 250, "empty").write_text("")
    made("empty folder", "no file").mkdir()
    inner = made("inner", "None of the 4 files")
    inner.mkdir()
    (inner / "loop.json").symlink_to("loop.json")
    (inner / "up").symlink_to("..")
    os.mkfifo(inner / "pipe.json")
    (inner / "folder").mkdir()
    return says


@posix
def test_what_is_strange_is_one_row_with_a_note(folder):
    says = strange(folder)
    mine = hand_in(folder, "honest", ANSWERS)
    rows = {graded.entry: graded for graded in everyone(folder)}
    assert rows.pop("honest.json").path == mine
    assert rows.keys() == says.keys()
    for name, row in rows.items():
        assert row.path is None and says[name] in row.note, (name, row.note)


@posix
def test_a_socket_and_a_device_are_rows_with_a_note(folder):
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(folder, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/socket.json")
        os.close(here)
        assert only(folder).note == "This is not a file but a socket."
    os.unlink(folder / "socket.json")
    try:
        os.mknod(folder / "zero.json", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except OSError:
        return  # only root may
    assert only(folder).note == "This is not a file but a device."


@posix
@pytest.mark.parametrize("what", ["file", "folder", "file in a folder"])
def test_what_may_not_be_read_is_a_row_with_a_note(folder, what, monkeypatch):
    mine = hand_in(folder, "ada" if what == "file" else "ada/mine", ANSWERS)
    if os.geteuid():
        (mine.parent if what == "folder" else mine).chmod(0)
    else:  # root may read everything
        name = "listdir" if what == "folder" else "open"
        true = getattr(os, name)

        def refuse(path, *arguments, **options):
            if os.fspath(path) in (str(folder / "ada"), mine.name):
                raise PermissionError(13, "Permission denied", path)
            return true(path, *arguments, **options)

        monkeypatch.setattr(os, name, refuse)
    graded = only(folder)
    if what == "folder":
        mine.parent.chmod(0o755)
    assert graded.path is None and "can't be read: Permission denied." in graded.note


# --- what is passed over ------------------------------------------------------------------------


def test_what_systems_leave_is_nobody(folder):
    mine = hand_in(folder, "ada", ANSWERS)
    for name in (
        ".DS_Store",
        "._ada.json",
        "Thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "Desktop.ini",
        "Icon\r",
        "submission_metadata.yml",
        ".zerotohero-submission.json.tmp",
    ):
        (folder / name).write_text("x")
    for name in ("__MACOSX", ".git", "$RECYCLE.BIN", "@eaDir"):
        (folder / name).mkdir()
        (folder / name / "._ada.json").write_text("x")
    assert only(folder).path == mine


def earlier_marks(out: Path, table: str = "id,name,score,max_score,1.1,note\n"):
    """What the grader has written, one version ago or now."""
    (out / "ada").mkdir(parents=True)
    results = '{"score": 0, "tests": [], "extra_data": {"name": "", "max_score": 1, "seed": 1}}'
    (out / "ada" / "results.json").write_text(results)
    (out / "grades.csv").write_text(table, encoding="utf-8-sig")


@pytest.mark.parametrize("place", ["grades", "week 1", "marks/first"])
@pytest.mark.parametrize("table", ["id,name,score\n", "id,file,name\n", "id;name;score\r\n"])
def test_marks_of_an_earlier_run_are_passed_over_under_any_name(folder, place, table):
    hand_in(folder, "ada", ANSWERS)
    earlier_marks(folder / place, table)
    found, passed_over = listed(folder, folder.parent / "elsewhere")
    assert [graded.id for graded in found] == ["ada"]
    assert passed_over == [place.split("/")[0]]


def test_marks_without_their_table_and_a_table_without_its_marks_are_passed_over(folder):
    hand_in(folder, "ada", ANSWERS)
    earlier_marks(folder / "grades")
    (folder / "grades" / "grades.csv").rename(folder / "monday.csv")
    assert listed(folder, folder.parent / "elsewhere")[1] == ["grades", "monday.csv"]


@pytest.mark.parametrize("out", ["grades", "marks/first/try", "."])
def test_where_the_marks_go_is_nobody(folder, out):
    mine = hand_in(folder, "ada", ANSWERS)
    if out == ".":
        with pytest.raises(ValueError, match="can't go among the submissions"):
            listed(folder, folder / "." / "x" / "..")
        return
    (folder / out).mkdir(parents=True)
    found, passed_over = listed(folder, folder / out)
    assert [graded.path for graded in found] == [mine] and passed_over == []


@pytest.mark.parametrize("out", ["ada", "ada/grades", "ada/mine.json"])
def test_marks_do_not_go_to_where_a_person_has_handed_in(folder, out):
    hand_in(folder, "ada/mine", ANSWERS)
    with pytest.raises(ValueError, match=r"can't go to .*, where ada/mine\.json is handed in"):
        listed(folder, folder / out)


def test_a_person_who_hands_in_a_table_is_still_there(folder):
    mine = hand_in(folder, "ada/mine", ANSWERS)
    earlier_marks(folder / "ada" / "x")
    (folder / "ada" / "grades.csv").write_text("id,name\n")
    (folder / "roster.csv").write_text("name,id\n")
    found, passed_over = listed(folder, folder.parent / "elsewhere")
    assert [graded.path for graded in found] == [mine, None] and passed_over == []


def test_nothing_in_a_list_of_marks_is_taken_for_marks_by_its_name(folder):
    (folder / "grades").mkdir()
    (folder / "grades" / "grades.csv").write_text("name,mark\nada,3\n")
    assert not marks.are_marks(folder / "grades")
    assert only(folder).note.startswith("grades.csv: ")
