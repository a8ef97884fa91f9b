"""The course's notebooks: exercises made from solutions, and all of them run and stored.

`make exercises` reads `solutions/NN_name.ipynb`, writes the cards of the exercises into it, and
makes `exercises/NN_name.ipynb` from it: solution regions become stubs, cells tagged `solution`
are left out. It also fills the list of exercises at the end of the lecture, and the counts and
minutes of exercises wherever they stand. In a solution notebook

- a Markdown cell tagged `card:1.1` holds the card of exercise 1.1, made from `checks/<name>.py`;
- a region from `# BEGIN SOLUTION` to `# END SOLUTION` is what the learner will write. Commented
  lines after `# INSTEAD` in it are what the exercise shows in its place, where that is more
  than a stub, such as code with a bug to find.

`make notebooks` runs lectures and solutions in fresh kernels and stores their outputs.
"""

import copy
import hashlib
import re
import sys
from pathlib import Path
from typing import Any

import nbformat

from zerotohero import __version__
from zerotohero.course import checks
from zerotohero.course.doctor import REPOSITORY
from zerotohero.course.exercise import Exercise
from zerotohero.course.files import write_whole

BEGIN, INSTEAD, END = "# BEGIN SOLUTION", "# INSTEAD", "# END SOLUTION"
EXERCISE_LIST = "<!-- exercises -->"
CELL_TIMEOUT = 300  # seconds

# What Colab installs: "zerotohero" as soon as the package is published, and then `make exercises`.
PACKAGE = f"zerotohero @ git+{REPOSITORY}"
SETUP = f"""\
try:
    import zerotohero
except ImportError:  # on Colab: the package alone, because torch and NumPy are there
    %pip install --quiet "{PACKAGE}\""""


# --- cards --------------------------------------------------------------------------------------


def card(exercise: Exercise) -> str:
    """Return the Markdown card of an exercise: heading, facts, statement, folded hints."""
    stars = "●" * exercise.difficulty + "○" * (5 - exercise.difficulty)
    facts = f"Difficulty {stars} · about {exercise.minutes} minutes · {exercise.points} points"
    if not exercise.handed_in:
        facts += " · for yourself: a trained model isn't handed in"
    lines = [
        f"## {exercise.number} · {exercise.title}",
        f"*{facts} · practises {exercise.practises}*",
        exercise.summary,
        exercise.statement,
    ]
    for i, text in enumerate(exercise.hints, 1):
        lines.append(f"<details><summary>Hint {i}</summary>\n\n{text}\n\n</details>")
    return "\n\n".join(line.strip() for line in lines)


def exercise_list(lecture: str) -> str:
    """Return the exercises of a lecture for its last page: number, title, summary, link."""
    path = f"../exercises/{checks.file_name(lecture)}.ipynb"
    lines = [f"They are in [{path.removeprefix('../')}]({path}), and each is checked at once."]
    lines += [f"- **{e.number} {e.title}.** {e.summary}" for e in checks.exercises(lecture)]
    return f"{EXERCISE_LIST}\n" + "\n".join(lines)


def minutes(lecture: str) -> int:
    """Return the minutes of all the lecture's exercises together, as their cards say."""
    return sum(exercise.minutes for exercise in checks.exercises(lecture))


_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def count(lecture: str) -> str:
    """Return how many exercises a lecture has, as a word."""
    return _COUNTS[len(checks.exercises(lecture))]


def fill_readme(text: str) -> str:
    """Return the README with the counts and minutes of exercises in its curriculum."""
    for lecture in checks.LECTURES:
        name = checks.file_name(lecture)
        row = rf"\[\w+\](\(exercises/{name}\.ipynb\).*) \d+ min \|$"
        new = rf"[{count(lecture)}]\1 {minutes(lecture)} min |"
        text, found = re.subn(row, new, text, flags=re.M)
        if found != 1:
            raise ValueError(f"README.md needs one row with [{count(lecture)}](exercises/{name}).")
    return text


# --- exercises from solutions -------------------------------------------------------------------


def stub(source: str, number: str) -> str:
    """Return a code cell with its solution regions taken out.

    Raises ValueError for a region that is not closed or stands outside a function.
    """
    out: list[str] = []
    region: list[str] | None = None
    for line in source.splitlines():
        bare, indent = line.strip(), line[: len(line) - len(line.lstrip())]
        if bare == BEGIN and region is None:
            region = []
        elif bare == END and region is not None:
            if INSTEAD in (r.strip() for r in region):
                start = [r.strip() for r in region].index(INSTEAD) + 1
                out += [re.sub(r"^(\s*)# ?", r"\1", r) for r in region[start:]]
            elif not indent:
                raise ValueError(f"{number}: a solution region must stand inside a function.")
            else:
                out.append(f'{indent}raise NotImplementedError("{number} is yours to write")')
            region = None
        elif region is not None:
            region.append(line)
        else:
            out.append(line)
    if region is not None:
        raise ValueError(f"{number}: {BEGIN} without {END}.")
    return "\n".join(out)


def fill_cards(solution: Any) -> Any:
    """Return the solution notebook with its `card:…` cells, and their count, written anew."""
    solution, lecture = copy.deepcopy(solution), ""
    for cell in solution.cells:
        if number := _card_number(cell):
            cell.source = card(checks.find(number))
            lecture = checks.lecture_of(checks.find(number))
    fill_setup(solution)
    first = solution.cells[0]
    first.source = re.sub(
        r"\b\w+ exercises on", f"{count(lecture).title()} exercises on", first.source
    )
    return solution


def fill_setup(notebook: Any) -> None:
    """Write the set-up cell, a notebook's first cell of code, anew."""
    next(cell for cell in notebook.cells if cell.cell_type == "code").source = SETUP


def expect_whole(solution: Any, lecture: str) -> None:
    """Raise ValueError unless each exercise of the lecture has one card cell and one check cell.

    A misspelt tag, such as `cards:2.8`, makes no card, and its exercise would go missing.
    """
    cards = [_card_number(c) for c in solution.cells if c.cell_type == "markdown"]
    code = [c.source for c in solution.cells if c.cell_type == "code"]
    calls = [n for text in code for n in re.findall(r"^check\(\s*[\"'](\d+\.\d+)", text, re.M)]
    numbers = [exercise.number for exercise in checks.exercises(lecture)]
    wrong = []
    for kind, found, cell in (
        ("card", cards, "Markdown cell tagged card:{}"),
        ("check", calls, 'cell that calls check("{}", …)'),
    ):
        wrong += [
            f"{number} has {found.count(number)} {kind} cells and needs one {cell.format(number)}"
            for number in numbers
            if found.count(number) != 1
        ]
        strangers = sorted({number for number in found if number} - set(numbers))
        wrong += [f"{number} has a {kind} cell and is not an exercise here" for number in strangers]
    if wrong:
        raise ValueError(f"solutions/{checks.file_name(lecture)}.ipynb: {'; '.join(wrong)}.")


def exercise_notebook(solution: Any) -> Any:
    """Return the exercise notebook of a solution notebook: stubs, no solutions, no outputs."""
    exercise = fill_cards(solution)
    kept, number = [], ""
    for cell in exercise.cells:
        number = _card_number(cell) or number
        tags = cell.metadata.get("tags", [])
        if "solution" in tags:
            continue
        if cell.cell_type == "code":
            cell.source = stub(cell.source, number)
            cell.outputs, cell.execution_count = [], None
        else:
            cell.source = cell.source.replace("/solutions/", "/exercises/")
        kept.append(cell)
    exercise.cells = kept
    exercise.metadata["zerotohero"] = {"generated": _digest(exercise), "version": __version__}
    return exercise


def _card_number(cell: Any) -> str | None:
    for tag in cell.metadata.get("tags", []):
        if tag.startswith("card:"):
            return tag.removeprefix("card:")
    return None


def _digest(notebook: Any) -> str:
    text = "\0".join(cell.source for cell in notebook.cells)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_exercises(root: Path) -> list[Path]:
    """Write cards, lists, counts and exercise notebooks of all lectures; return what changed.

    Raises, before anything is written, ValueError if a solution notebook lacks the card or the
    check of an exercise, and FileExistsError if an exercise notebook holds what a learner has
    written.
    """
    made: dict[Path, Any] = {}
    for lecture in checks.LECTURES:
        name = f"{checks.file_name(lecture)}.ipynb"
        solution = nbformat.read(root / "solutions" / name, as_version=4)
        expect_whole(solution, lecture)
        solution = fill_cards(solution)
        made[root / "solutions" / name] = solution
        made[root / "exercises" / name] = exercise_notebook(solution)
        lecture_path = root / "lectures" / name
        made[lecture_path] = _with_exercise_list(nbformat.read(lecture_path, 4), lecture)
        _refuse_to_overwrite(root / "exercises" / name)
    texts = {path: _text(notebook) for path, notebook in made.items()}
    readme = root / "README.md"
    texts[readme] = fill_readme(readme.read_text(encoding="utf-8"))
    changed = []
    for path, text in texts.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_whole(path, text.encode())
            changed.append(path)
    return changed


def _with_exercise_list(notebook: Any, lecture: str) -> Any:
    fill_setup(notebook)
    for cell in notebook.cells:
        before, marker, _ = cell.source.partition(EXERCISE_LIST)
        if marker:
            cell.source = before + exercise_list(lecture)
    return notebook


def _refuse_to_overwrite(path: Path) -> None:
    if path.exists():
        old = nbformat.read(path, as_version=4)
        if old.metadata.get("zerotohero", {}).get("generated") != _digest(old):
            raise FileExistsError(
                f"{path} holds answers that somebody wrote; move it elsewhere, then try again."
            )


# --- running ------------------------------------------------------------------------------------


def run(path: Path) -> None:
    """Run a notebook in a fresh kernel and store its outputs in the file, tidied.

    A run in which kernel and client both fall idle in mid-notebook is tried once more: nbclient
    is known to hang like that about once in thirty runs. A cell that raises ends the run
    and changes nothing.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError

    for attempt in (1, 2):
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT,
            kernel_name="python3",
            store_widget_state=False,
            resources={"metadata": {"path": str(path.parent)}},
        )
        try:
            client.execute()
            break
        except CellTimeoutError:
            if attempt == 2:
                raise
            print(f"{path}: no answer within {CELL_TIMEOUT} s; once more.", file=sys.stderr)
    write_whole(path, _text(tidy(notebook)).encode())


def tidy(notebook: Any) -> Any:
    """Return a notebook as it is stored: no widget views, which nothing shows without a kernel."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            views = "application/vnd.jupyter.widget-view+json"
            cell.outputs = [o for o in cell.outputs if views not in o.get("data", {})]
            cell.outputs = _joined(cell.outputs)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def _joined(outputs: list[Any]) -> list[Any]:
    """Return printed text in one piece, however the kernel happened to cut it, and without what a
    progress bar wrote over."""
    joined: list[Any] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if output.output_type != "stream":
            joined.append(output)
        elif last is not None and last.get("name") == output.name:
            last.text += output.text
        else:
            joined.append(copy.copy(output))
    for output in joined:
        if output.output_type == "stream":
            lines = output.text.splitlines(keepends=True)
            output.text = "".join(line.rsplit("\r", 1)[-1] for line in lines)
    return joined


def _text(notebook: Any) -> str:
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"
