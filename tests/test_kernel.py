"""`check`, `hint` and `submit` in a kernel with no notebook file, as on Colab: with the current
packages, and with Colab's. `make test` installs those in a folder of their own and names it in
ZEROTOHERO_COLAB; there nbval runs lectures and exercises too."""

import json
import os
import subprocess
import sys
from functools import partial
from importlib.metadata import version

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

from cells import run_cell
from patience import patience
from zerotohero.course import checks, marking, sandbox, submission

ANSWER = """
import math
SMALL = 1e-5
def slope(g, x, h):
    return (g(x + h) - g(x - h)) / (2 * h)
def numerical_gradient(f, a, b, c, h=SMALL):
    return (slope(lambda x: f(x, b, c), a, h),
            slope(lambda x: f(a, x, c), b, h),
            slope(lambda x: f(a, b, x), c, h))
"""


def colab() -> str:
    """The folder of Colab's packages."""
    folder = os.environ.get("ZEROTOHERO_COLAB")
    if not folder:
        pytest.skip("ZEROTOHERO_COLAB is not set; make test installs Colab's packages and sets it")
    return folder


@pytest.fixture(params=["current", "colab"])
def kernel(request, tmp_path, root):
    """A function that runs a cell in a fresh kernel and returns what it printed, and the
    descriptions of the pictures that it showed."""
    # What PYTHONPATH holds already are the oldest packages, where the tests run at the bounds.
    first = [colab()] if request.param == "colab" else []
    path = [*first, str(root), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    manager, client = start_new_kernel(
        kernel_name="python3", cwd=str(tmp_path), env=env, startup_timeout=patience(12)
    )

    run = partial(run_cell, client)
    named = ("ipython", "ipykernel", "ipywidgets", "traitlets", "numpy", "matplotlib")
    wanted = {name: version(name) for name in named}
    if request.param == "colab":
        lines = (root / "tests" / "colab-constraints.txt").read_text("utf-8").splitlines()
        pinned = dict(line.split("==") for line in lines if "==" in line)
        wanted = {name: pinned[name] for name in named}
    ask = f"assert {{name: version(name) for name in {named}}} == {wanted}"
    assert run(f"from importlib.metadata import version\n{ask}") == ""
    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_lectures_and_exercises_run_in_colab_s_kernel_and_solutions_in_the_current(tmp_path, root):
    for folder, expected in (("lectures", 7), ("exercises", 7), ("solutions", 9)):
        source = f"import IPython\nassert IPython.version_info[0] == {expected}"
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        (tmp_path / folder).mkdir()
        nbformat.write(notebook, tmp_path / folder / "01_n.ipynb")
    assert "3 passed" in pytest_run(tmp_path, root, ZEROTOHERO_COLAB=colab())


def pytest_run(folder, root, **environment: str) -> str:
    """Run the notebooks of a folder as `make test` does, and return what that printed."""
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "--nbval-lax"]
    path = os.pathsep.join(map(str, (root, root / "tests")))
    done = subprocess.run(
        [*command, "--nbval-current-env", "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=patience(30),
    )
    return done.stdout + done.stderr


@pytest.mark.skipif(sandbox.available() is not None, reason=str(sandbox.available()))
def test_a_solution_s_check_gets_all_points_or_is_made_in_the_sandbox(tmp_path, root):
    """The first cell of each is right, the second isn't."""
    (tmp_path / "solutions").mkdir()
    start = "from zerotohero.course import check\ndef nothing(*given): raise NotImplementedError\n"
    names = checks.find("7.2").answers
    cells = {
        "01_n": (ANSWER, 'check("1.1", numerical_gradient)', 'check("1.1", nothing)'),
        "07_n": (
            "\n".join(f"def {name}(): raise NotImplementedError" for name in names),
            f'check("7.2", {", ".join(names)})',  # which would get no points here
            f'check("7.2", {", ".join(reversed(names))})',
        ),
    }
    for name, (define, *calls) in cells.items():
        new = [nbformat.v4.new_code_cell(source) for source in (start + define, *calls)]
        nbformat.write(nbformat.v4.new_notebook(cells=new), tmp_path / f"solutions/{name}.ipynb")
    said = pytest_run(tmp_path, root)
    assert "2 failed, 4 passed" in said
    assert "solutions/01_n.ipynb::Cell 2" in said and "solutions/07_n.ipynb::Cell 2" in said


def test_the_live_curve_ends_in_a_picture_with_words(kernel):
    printed = kernel("""
from types import SimpleNamespace
from zerotohero.course.widgets.training import LiveCurve
trainer = SimpleNamespace(
    running=True, step=1, config=SimpleNamespace(steps=2),
    log=[{"step": 1}], losses=[3.0], val_losses=[],
)
curve = LiveCurve()
curve(trainer)
trainer.running, trainer.step = False, 2
trainer.log.append({"step": 2}), trainer.losses.append(2.0)
curve(trainer)
""")
    assert "ERROR" not in printed
    assert "PICTURE step 2 of 2 · training loss 2.000" in printed


def test_the_chat_s_answer_can_be_stopped_by_what_the_kernel_hears_next(kernel, root):
    printed = kernel(f"import sys; sys.path.append({str(root / 'tests')!r})")
    printed += kernel("""
import threading
from chatting import partner
from zerotohero.course.widgets.assistant import WRITES, chat, tokens
box = chat(partner(seconds=0.05, last=None))
page, field, buttons, *_ = box.children
send, stop, _ = buttons.children
field.value = "hello"
send.click()  # it would write for a minute
writes, = [thread for thread in threading.enumerate() if thread.name == WRITES]
""")
    printed += kernel("stop.click(); writes.join(); print(page.value)")
    assert "ERROR" not in printed and "Stopped." in printed
    assert "“b” had 100.0%" in kernel("""
view = tokens(partner(), "hello", "ab")
view.children[3].value = 2
print(view.children[-1].value)
""")


def test_check_hint_and_submit_with_only_a_kernel(kernel, tmp_path):
    assert "Nothing to submit" in kernel("from zerotohero.course import submit; submit()")
    kernel("from zerotohero.course import check, hint, submit")
    kernel("%config InlineBackend.figure_format = 'retina'")
    kernel("def numerical_gradient(f, a, b, c, h=1e-6):\n    raise NotImplementedError")
    assert "not yet" in kernel('check("1.1", numerical_gradient)')
    assert "Hint 1 of 3" in kernel('hint("1.1")')
    assert "ERROR" in kernel("this is not Python")
    assert "ZeroDivisionError" in kernel(
        "def numerical_gradient(f, a, b, c, h=1e-6):\n    return 1 / 0\n"
        'check("1.1", numerical_gradient)'
    )
    kernel(ANSWER)
    printed = kernel('check("1.1", numerical_gradient)')
    assert "All" in printed and "✗" not in printed
    printed = kernel('submit("Ada")')
    assert "answers to 1.1." in printed and "✓ 1.1" in printed and "no longer" not in printed
    handed_in = json.loads((tmp_path / "zerotohero-submission.json").read_text())
    assert handed_in["name"] == "Ada"
    namespace: dict = {}
    exec(handed_in["exercises"]["1.1"], namespace)  # helpers and constants came along
    gradient = namespace["numerical_gradient"](lambda a, b, c: a * b + c, 2.0, 3.0, 4.0)
    assert gradient == pytest.approx((3, 2, 1), abs=1e-6)


RIGHT = """
    return ((f(a + h, b, c) - f(a - h, b, c)) / (2 * h),
            (f(a, b + h, c) - f(a, b - h, c)) / (2 * h),
            (f(a, b, c + h) - f(a, b, c - h)) / (2 * h))"""
HEAD = "def numerical_gradient(f, a, b, c, h=1e-5):"
CHECK = 'check("1.1", numerical_gradient)'
# Cells of a notebook in which `check` gives all points for 1.1; so must what is handed in.
STYLES = {
    "%%time": [f"%%time\n{HEAD}{RIGHT}"],
    "%%capture": ["%%capture\nimport math", f"%%capture out\n{HEAD}{RIGHT}"],
    "%time": ["%time H = 1e-5", HEAD.replace("1e-5", "H") + RIGHT],
    "the check timed": [f"{HEAD}{RIGHT}", f"%time {CHECK}"],
    "a star import": ["from math import *", f"{HEAD}\n    assert pi > 3{RIGHT}"],
    "an older version": [
        f"{HEAD}{RIGHT}",
        "first = numerical_gradient",
        f"{HEAD}\n    return first(f, a, b, c, h)",
    ],
    "another name": [
        f"{HEAD}\n    raise NotImplementedError",
        f"{HEAD}{RIGHT}".replace("numerical_gradient", "mine"),
        'check("1.1", mine)',
    ],
    "no name": [
        f"{HEAD}{RIGHT}".replace("numerical_gradient", "mine"),
        'check("1.1", lambda *given, **named: mine(*given, **named))',
    ],
    "a failure behind it": [f"{HEAD}{RIGHT}", f"1 / 0\n{HEAD} return 0"],
    "a failure in %%time": [f"{HEAD}{RIGHT}", f"%%time\n1 / 0\n{HEAD} return 0"],
    "a failure in %%capture": [f"{HEAD}{RIGHT}", f"%%capture\n1 / 0\n{HEAD} return 0"],
    "names that no one sees": [
        "for n in ['H']:\n    exec(n + ' = 1e-5')",
        HEAD.replace("1e-5", "H") + RIGHT,
    ],
    "the answer in exec": [f"text = {HEAD + RIGHT!r}", "for part in [text]:\n    exec(part)"],
    "changed by a call": [
        "table = {}",
        "def put(t, k, v): t[k] = v",
        "ok = put(table, 'two', 2)",
        HEAD + RIGHT.replace("(2 * h)", "(table['two'] * h)"),
    ],
}


def test_what_check_accepted_gives_its_points_when_it_is_handed_in(kernel, tmp_path):
    exercise = checks.find("1.1")
    all_points = f"{exercise.points}/{exercise.points}"
    kernel("from zerotohero.course import check, submit")
    for style, cells in STYLES.items():
        kernel("%reset -f in\nfrom zerotohero.course import check, submit")
        printed = [kernel(cell) for cell in cells]
        if not any("All" in text for text in printed):
            printed.append(kernel(CHECK))
        assert any("All" in text for text in printed), (style, printed)
        said = kernel("submit()")
        assert all_points in said and "no longer" not in said, (style, said)
        mine = submission.read(tmp_path / submission.FILE_NAME)
        ((_, outcomes),) = marking.mark(mine, [exercise], sandboxed=False, seed=7)
        assert sum(outcome.points for outcome in outcomes) == exercise.points, style


def test_an_exercise_that_lost_its_points_is_named_with_the_reason(kernel, tmp_path):
    (tmp_path / "mine.py").write_text("H = 1e-5")
    kernel("from zerotohero.course import check, submit\nfrom mine import H")
    kernel(HEAD.replace("1e-5", "H") + RIGHT)
    assert "All" in kernel(CHECK)
    printed = kernel("submit()")
    assert "✗ 1.1" in printed and "check gave 3 in this notebook" in printed, printed
    assert "No module named 'mine'" in printed
    assert "1.1 no longer gives the points that check gave" in printed
    assert (tmp_path / submission.FILE_NAME).exists()


def test_where_a_crash_happened_is_a_line_of_the_cell(kernel):
    kernel("from zerotohero.course import check")
    printed = kernel(
        "def numerical_gradient(f, a, b, c, h=1e-6):\n"
        "    x = [a, b, c]\n"
        "    return x[3]\n"
        'check("1.1", numerical_gradient)'
    )
    assert "line 3 of your code, `return x[3]`" in printed
    assert "Traceback" not in printed


def test_a_figure_s_words_are_stored_with_it(kernel):
    run = "import matplotlib.pyplot as plt\nfrom zerotohero.course import plots\nplots.use_style()"
    assert kernel(run) == ""
    figure = 'plt.plot([1, 2])\nplots.describe("A line that\\n    rises.")'
    assert kernel(figure) == "PICTURE A line that rises."
    assert kernel(figure) == "PICTURE A line that rises.", "the second time, too"
