"""The file that is handed in, what goes into it, and what is still to be written."""

import json
import os

import pytest

from zerotohero.course import checks, submission
from zerotohero.course.answering import define
from zerotohero.course.collecting import History
from zerotohero.course.submission import NotASubmission, Submission, read, unwritten


def test_a_file_comes_back_as_it_was_written(tmp_path):
    mine = Submission("Ada Ω", {"1.1": "def f():\n    return 'é'\n"})
    mine.write(tmp_path / "s.json")
    assert read(tmp_path / "s.json") == mine
    assert os.listdir(tmp_path) == ["s.json"]


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        Submission("", {}).write(tmp_path / "file" / "s.json")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"   \n", "empty"),
        (b"{", "broken"),
        (b"\xff\xfe\x00", "broken"),
        (b"[" * 100_000, "broken"),
        (b"[]", "not the file"),
        (b'{"format": "other"}', "not the file"),
        (json.dumps({"format": submission.FORMAT, "version": 99}).encode(), "version 99"),
        (json.dumps({"format": submission.FORMAT, "version": 1}).encode(), "not numbers with"),
        (
            json.dumps(
                {"format": submission.FORMAT, "version": 1, "exercises": {"1.1": 3}}
            ).encode(),
            "not numbers with",
        ),
        (b"x" * (submission.MAX_BYTES + 1), "larger than"),
    ],
)
def test_what_is_not_a_submission_is_refused_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "s.json"
    path.write_bytes(content)
    with pytest.raises(NotASubmission, match=reason):
        read(path)


def test_a_notebook_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "s.ipynb"
    path.write_text("{}")
    with pytest.raises(NotASubmission, match="submit"):
        read(path)


def test_a_folder_without_exercise_notebooks_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"01_micrograd\.ipynb"):
        submission.from_notebooks(tmp_path, "")


def test_a_broken_notebook_is_said(tmp_path):
    (tmp_path / "01_micrograd.ipynb").write_text("{")
    with pytest.raises(ValueError, match="not a notebook"):
        submission.from_notebooks(tmp_path, "")


def test_the_untouched_notebooks_hold_no_answers(root):
    mine = submission.from_notebooks(root / "exercises", "")
    assert mine.exercises and not [
        n for n in submission.answered_in(mine) if n not in {"1.5", "2.6", "7.5", "11.3"}
    ], "all but those that start from code that runs are stubs"


def test_the_solutions_answer_everything(root):
    from zerotohero.course.checks import handed_in

    mine = submission.from_notebooks(root / "solutions", "")
    assert submission.answered_in(mine) == [e.number for e in handed_in()]
    assert sum(map(len, mine.exercises.values())) < submission.MAX_BYTES / 10


# --- stubs ----------------------------------------------------------------------------------------

STUB = 'raise NotImplementedError("1.1 is yours to write")'
STUBS = {
    "as it came": f"def f(x):\n    {STUB}",
    "with a docstring": f'def f(x):\n    """Twice x."""\n    {STUB}',
    "the bare class": "def f(x):\n    raise NotImplementedError",
    "with a comment": f"def f(x):\n    # mine\n    {STUB}",
    "decorated": f"def g(h): return h\n@g\ndef f(x):\n    {STUB}",
    "a class": f"class f:\n    on = True\n    def __init__(self): {STUB}\n    def a(self): {STUB}",
    "a class with super": f"class f:\n    def __init__(self):\n        super().__init__(); {STUB}",
    "after an attempt": f"def f(x): return x\ndef f(x):\n    {STUB}",
    "another name of a stub": f"def g(x):\n    {STUB}\nf = g",
}
ANSWERS = {
    "commented out": f"def f(x):\n    # {STUB}\n    return x",
    "below the return": f"def f(x):\n    return x\n    {STUB}",
    "in a helper's base class": f"class B:\n    def a(self): {STUB}\ndef f(x): return B()",
    "in a guard": f"def f(x):\n    if x is None:\n        {STUB}\n    return x",
    "in a docstring": f"def f(x):\n    '''Not {STUB}'''\n    return x",
    "in a text": f"def f(x):\n    print({STUB!r})\n    return x",
    "in an except": f"def f(x):\n    try:\n        return x\n    except TypeError:\n        {STUB}",
    "in an inner function": f"def f(x):\n    def later(): {STUB}\n    return x",
    "a stub that was replaced": f"def f(x):\n    {STUB}\ndef f(x): return x",
    "a lambda": f"def f(x):\n    {STUB}\nf = lambda x: x",
    "half a class": f"class f:\n    def a(self): return 1\n    def b(self): {STUB}",
    "a class without methods": "class f(dict): pass",
    "another error": "def f(x):\n    raise ValueError",
}


@pytest.mark.parametrize("source", STUBS.values(), ids=STUBS)
def test_what_only_raises_is_still_to_be_written(source):
    assert unwritten(source, ["f"]) == ["f"]


@pytest.mark.parametrize("source", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_mentions_the_stubs_error_is_an_answer(source):
    assert "f" not in unwritten(source, ["f"])


def test_the_part_that_is_missing_is_named():
    assert unwritten(ANSWERS["half a class"], ["f"]) == ["f.b"]
    source = f"def f(x): return x\ndef g(x):\n    {STUB}"
    assert unwritten(source, ["f", "g"]) == ["g"]


def handed_in(*cells: str) -> dict[str, str]:
    of = checks.exercises("micrograd")
    return submission.from_history(History(cells), "", of).exercises


def test_of_several_answers_those_that_are_there_are_handed_in():
    mine = Submission("", handed_in("def softmax(logits): return logits"))
    assert submission.answered_in(mine) == ["1.4"]
    assert unwritten(mine.exercises["1.4"], ["softmax", "nll"]) == ["nll"]
    softmax, nll = define(mine.exercises["1.4"], ["softmax", "nll"])
    assert softmax(3) == 3
    with pytest.raises(NotImplementedError):
        nll([], 0)


STUB_1_1 = f"def numerical_gradient(f, a, b, c, h=1):\n    {STUB}"


def answer(*cells: str):
    return define(handed_in(*cells)["1.1"], ["numerical_gradient"])[0]


def test_what_was_checked_under_another_name_is_the_answer():
    mine = "def mine(*_): return 7"
    assert answer(STUB_1_1, mine, 'check("1.1", mine)')() == 7
    assert answer(STUB_1_1, mine, "import zerotohero.course as c\nc.check(1.1, mine)")() == 7
    assert answer(STUB_1_1, mine, 'check("1.1", lambda: mine() + 1)')() == 8


def test_what_was_defined_after_that_check_is_the_answer():
    mine, later = "def mine(*_): return 7", "def numerical_gradient(*_): return 8"
    assert answer(mine, 'check("1.1", mine)', later)() == 8
    assert answer(later, mine, 'check("1.1", mine)')() == 7


def test_the_last_check_of_an_exercise_counts():
    one, two = "def one(*_): return 1", "def numerical_gradient(*_): return 2"
    assert answer(one, two, 'check("1.1", one)', 'check("1.1", numerical_gradient)')() == 2
    assert answer(one, two, 'check("1.1", one)', 'check("1.2", two)', 'check("1.1")')() == 1


def test_a_trained_model_is_not_handed_in():
    """To collect it would be to collect its training, which the grader would run again."""
    history = History(["model = object()"])
    mine = submission.from_history(history, "", [checks.find("6.4")])
    assert mine.exercises == {}
