"""Collecting answers from cells, and the file that is handed in."""

import json
import os

import pytest

from zerotohero.course import checks, submission, submitting
from zerotohero.course.collecting import History, collect
from zerotohero.course.submission import NotASubmission, Submission, read


def run(source: str) -> dict:
    namespace: dict = {}
    exec(source, namespace)
    return namespace


def test_helpers_constants_and_imports_come_along_and_nothing_else():
    cells = [
        "import math\nimport numpy as np",
        "K = 3\nunrelated = 7",
        "def helper(x):\n    # a comment stays\n    return x * K",
        "print(unrelated)",
        "def f(x):\n    return helper(x) + math.pi",
    ]
    source = collect(cells, ["f"])
    assert run(source)["f"](1) == 3 + run("import math")["math"].pi
    assert "# a comment stays" in source and "unrelated" not in source and "numpy" not in source


def test_a_helper_defined_after_its_user_is_found():
    assert run(collect(["def f(): return g()", "def g(): return 5"], ["f"]))["f"]() == 5


def test_the_last_definition_counts():
    assert run(collect(["def f(): return 1", "def f(): return 2"], ["f"]))["f"]() == 2


def test_what_is_changed_in_place_or_built_on_itself_comes_along():
    loop = "for i in range(2):\n    N[i] += i + 1"
    cells = ["N = [0, 0]", loop, "N.append(9)", "k = 1", "k += 1", "def f(): return N, k"]
    assert run(collect(cells, ["f"]))["f"]() == ([1, 2, 9], 2)


def test_decorators_base_classes_and_annotations_come_along():
    cells = [
        "from dataclasses import dataclass",
        "class Base:\n    x = 4",
        "def keep(f): return f",
        "@dataclass\nclass Mine(Base):\n    y: int = 5\n    @keep\n    def z(self): return self.x",
    ]
    assert run(collect(cells, ["Mine"]))["Mine"]().z() == 4


def test_magics_broken_cells_and_calls_of_check_are_passed_over():
    cells = [
        "%matplotlib inline\nimport math",
        "!ls\n%%time is not first",
        "%%bash\nrm -rf /",
        "def broken(:",
        "get_ipython().run_line_magic('time', 'x')",
        "def f(x):\n    return ('%d'\n            % math.floor(x))\ncheck('1.1', f)",
    ]
    source = collect(cells, ["f"])
    assert run(source)["f"](2.5) == "2" and "check" not in source and "bash" not in source


def test_a_name_that_hides_a_builtin_comes_along():
    assert run(collect(["def sum(x): return 7", "def f(): return sum([1])"], ["f"]))["f"]() == 7


def test_names_that_are_local_to_a_function_bring_nothing_along():
    cells = [
        "def f(words):\n    w = [w for w in words]\n    for name in w: pass\n    return w",
        "for name in ['a']:\n    total = exit()",
        "words = w = exit",
    ]
    assert "exit" not in collect(cells, ["f"])


def test_a_loop_or_a_condition_builds_on_what_was_before():
    cells = [
        "k = 1",
        "for _ in range(3):\n    k += 1",
        "if k > 99:\n    k = 0",
        "def f(): return k",
    ]
    assert run(collect(cells, ["f"]))["f"]() == 4


def test_a_name_used_only_in_a_method_a_default_or_a_nested_function_comes_along():
    cells = [
        "A, B, C = 1, 2, 3",
        "class K:\n    def m(self, x=A):\n        def deep(): return B\n        return deep() + x",
        "f = lambda: K().m() + C",
    ]
    assert run(collect(cells, ["f"]))["f"]() == 6


def test_a_missing_name_is_none():
    assert collect(["def f(): pass"], ["g"]) is None
    assert collect([], ["g"]) is None
    assert collect(["def f(): pass"], ["f", "g"]) is None


def test_two_statements_on_a_line():
    assert run(collect(["a = 1; b = 2", "def f(): return b"], ["f"]))["f"]() == 2


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
        n for n in submission.answered_in(mine) if n not in {"1.5", "2.6", "7.5"}
    ], "all but those that start from code that runs are stubs"


def test_the_solutions_answer_everything(root):
    from zerotohero.course.checks import handed_in

    mine = submission.from_notebooks(root / "solutions", "")
    assert submission.answered_in(mine) == [e.number for e in handed_in()]
    assert sum(map(len, mine.exercises.values())) < submission.MAX_BYTES / 10


def test_a_trained_model_is_not_handed_in():
    """To collect it would be to collect its training, which the grader would run again."""
    history = History(["model = object()"])
    mine = submission.from_history(history, "", [checks.find("6.4")])
    assert mine.exercises == {}


def test_submit_outside_a_notebook_says_what_to_use(capsys):
    submitting.submit()
    assert "zerotohero submit" in capsys.readouterr().out
