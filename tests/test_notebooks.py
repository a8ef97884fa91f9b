"""The notebooks as files: lectures keep to their anatomy, exercises are made from solutions."""

import ast
import html
import re
import shutil
import statistics
import tomllib
from pathlib import Path

import nbformat
import pytest

from zerotohero.course import checks, notebooks

ROOT = Path(__file__).parent.parent
LECTURES = [checks.file_name(lecture) for lecture in checks.LECTURES]
each_lecture = pytest.mark.parametrize("name", LECTURES)


def load(folder: str, name: str):
    return nbformat.read(ROOT / folder / f"{name}.ipynb", as_version=4)


def repository() -> str:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]


def code(notebook):
    return [c for c in notebook.cells if c.cell_type == "code"]


def prose(notebook) -> str:
    return "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def lines(cell) -> int:
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def has_drawing(cell) -> bool:
    """A graph or a diagram in the outputs, as `draw` and `diagram` make them."""
    htmls = (output.get("data", {}).get("text/html", "") for output in cell.get("outputs", []))
    return any("data:image/svg+xml" in text for text in htmls)


def has_plot(cell) -> bool:
    """A figure of matplotlib in the outputs: PNG, or SVG."""
    if has_drawing(cell):
        return False
    datas = (output.get("data", {}) for output in cell.get("outputs", []))
    return any("image/png" in data or "image/svg+xml" in data for data in datas)


def alternatives(cell) -> list[str]:
    """Return the text alternative of each figure in the outputs, "" where there is none."""
    alts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" in data:
            alts.append(output.get("metadata", {}).get("image/png", {}).get("alt", ""))
        for picture in re.findall(r"<img\b[^>]*>", data.get("text/html", "")):
            alt = re.search(r'\balt="([^"]*)"', picture)
            alts.append(html.unescape(alt[1]) if alt else "")
    return alts


def is_silent(cell) -> bool:
    return not cell.outputs


def must_speak(cell) -> bool:
    """Whether a code cell counts when those that print nothing are counted.

    What imports is for later, and a widget is shown where there is a kernel.
    """
    source = re.sub(r"^(\s*)%.*$", r"\1pass", cell.source, flags=re.M)
    imports = (ast.Import, ast.ImportFrom, ast.Pass, ast.Try)
    body = [s for s in ast.parse(source).body if "use_style" not in ast.unparse(s)]
    return "widgets." not in source and not all(isinstance(s, imports) for s in body)


# --- all notebooks ------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["lectures", "exercises", "solutions"])
@each_lecture
def test_badge_and_setup_cell_are_the_course_s(folder, name):
    notebook = load(folder, name)
    path = f"{folder}/{name}.ipynb"
    colab = f"https://colab.research.google.com/github/{repository().split('.com/')[1]}/blob/main"
    assert f"[![Open in Colab](../docs/colab.svg)]({colab}/{path})" in prose(notebook)
    assert code(notebook)[0].source == notebooks.SETUP


def test_colab_installs_the_package_or_until_it_is_published_the_repository():
    assert notebooks.PACKAGE in ("zerotohero", f"zerotohero @ git+{repository()}")
    assert f'%pip install --quiet "{notebooks.PACKAGE}"' in notebooks.SETUP


def test_pictures_in_prose_are_there_without_a_network():
    texts = {"README.md": (ROOT / "README.md").read_text(encoding="utf-8")}
    for folder in ("lectures", "exercises", "solutions"):
        texts |= {f"{folder}/{name}.ipynb": prose(load(folder, name)) for name in LECTURES}
    for path, text in texts.items():
        pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
        pictures += re.findall(r"^\[badge\]: (.+)$", text, flags=re.M)
        assert pictures, f"{path} has no badge"
        for picture in pictures:
            assert ((ROOT / path).parent / picture).is_file(), f"{picture} of {path}"


@pytest.mark.parametrize("folder", ["lectures", "solutions"])
@each_lecture
def test_outputs_are_stored_in_order_and_without_errors_or_dead_widgets(folder, name):
    cells = [c for c in code(load(folder, name)) if c.source.strip()]
    counts = [c.execution_count for c in cells]
    assert counts == list(range(1, len(cells) + 1)), "run it from a fresh kernel: make notebooks"
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error"
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
            assert output.get("name") != "stderr", f"stored noise: {output.get('text', '')[:200]}"


@pytest.mark.parametrize("folder", ["lectures", "solutions"])
@each_lecture
def test_every_figure_is_stored_with_words_of_its_own_for_what_it_shows(folder, name):
    notebook = load(folder, name)
    told, alts = " ".join(prose(notebook).split()), []
    for cell in code(notebook):
        found = alternatives(cell)
        assert all(len(alt) >= 40 for alt in found), f"{found} of:\n{cell.source}"
        alts += found
    assert len(set(alts)) == len(alts), "two figures of one text"
    for sentence in (s for alt in alts for s in re.split(r"(?<=\.) ", alt)):
        assert sentence not in told, "the prose says this already: say what it shows"


def test_the_alternatives_of_a_cell_are_those_of_its_plots_and_its_drawings():
    plot = {"data": {"image/png": "iVBO"}, "metadata": {"image/png": {"alt": "A line rises."}}}
    bare = {"data": {"image/png": "iVBO"}, "metadata": {}}
    drawn = {"data": {"text/html": '<img src="a" alt="A neuron &amp; its inputs"><img src="b">'}}
    outputs = [nbformat.from_dict(output) for output in (plot, bare, drawn)]
    cell = nbformat.from_dict({"outputs": [*outputs, {"output_type": "stream", "text": "1"}]})
    assert alternatives(cell) == ["A line rises.", "", "A neuron & its inputs", ""]


@pytest.mark.parametrize("lecture", checks.LECTURES)
def test_a_solution_is_stored_with_all_points_of_each_check(lecture):
    """What trains is checked in the sandbox alone when the notebooks are run: see conftest.py."""
    cells = code(load("solutions", checks.file_name(lecture)))
    for exercise in filter(lambda e: e.handed_in, checks.exercises(lecture)):
        call = f'check("{exercise.number}", {", ".join(exercise.answers)})'
        (outputs,) = (cell.outputs for cell in cells if cell.source == call)
        said = "".join(output.get("text", "") for output in outputs)
        plural = "s" * (exercise.points > 1)
        assert said.endswith(f"  All {exercise.points} point{plural}.\n"), call


@each_lecture
def test_an_exercise_notebook_says_what_every_answer_keeps_to(name):
    """For the machinery refuses what breaks it, whatever the card says: signatures.py."""
    rule = "An answer leaves its arguments as they are, unless the card says otherwise, and returns"
    assert f"{rule} what its signature says." in load("exercises", name).cells[0].source


@each_lecture
def test_an_exercise_notebook_is_made_from_its_solution(name):
    solution = load("solutions", name)
    assert notebooks.fill_cards(solution) == solution, "run make exercises"
    assert notebooks.exercise_notebook(solution) == load("exercises", name), "run make exercises"


@pytest.mark.parametrize("lecture", checks.LECTURES)
def test_every_exercise_has_its_card_and_its_check(lecture):
    notebook = load("exercises", checks.file_name(lecture))
    source = "\n".join(c.source for c in code(notebook))
    for exercise in checks.exercises(lecture):
        assert notebooks.card(exercise) in [c.source for c in notebook.cells]
        assert f'check("{exercise.number}", {", ".join(exercise.answers)})' in source
    assert notebooks.BEGIN not in source
    lecture_text = prose(load("lectures", checks.file_name(lecture)))
    assert notebooks.exercise_list(lecture) in lecture_text, "run make exercises"


# --- the anatomy of a lecture -------------------------------------------------------------------


@each_lecture
def test_the_first_cell_says_what_how_long_and_what_is_needed(name):
    first = load("lectures", name).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {name[:2]} · ")
    for word in ("CPU", "GPU", "need"):
        assert word in first.source


@each_lecture
def test_cells_are_short(name):
    lengths = [lines(c) for c in code(load("lectures", name))]
    assert statistics.median(lengths) <= 5
    assert sum(n <= 20 for n in lengths) >= 0.9 * len(lengths)
    assert sum(n > 30 for n in lengths) <= 1


@each_lecture
def test_prose_stands_between_the_code(name):
    run = 0
    for cell in load("lectures", name).cells:
        run = run + 1 if cell.cell_type == "code" else 0
        assert run <= 3, f"four code cells in a row, the last:\n{cell.source}"


@each_lecture
def test_the_prose_is_of_readable_length_and_tone(name):
    text = prose(load("lectures", name)).split(notebooks.EXERCISE_LIST)[0]
    text = re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)", " ", text, flags=re.S)
    words = re.findall(r"[A-Za-z][A-Za-z'’-]*", text)
    assert 1500 <= len(words) <= 3000, f"{len(words)} words"
    for word in ("simply", "obviously", "trivially", "of course"):
        assert not re.search(rf"\b{word}\b", text, re.I), word
    assert not re.search(r"\w!(\s|$)", text), "no exclamation marks"


@each_lecture
def test_there_are_four_pictures_or_more_and_each_is_read(name):
    cells = load("lectures", name).cells
    pictures = [i for i, c in enumerate(cells) if has_plot(c) or has_drawing(c)]
    assert len(pictures) >= 4, f"{len(pictures)} pictures"
    for i in pictures:
        assert cells[i + 1].cell_type == "markdown", f"no reading after:\n{cells[i].source}"


@each_lecture
def test_plots_are_four_to_eight_diagrams_two_to_five_and_each_is_read(name):
    cells = load("lectures", name).cells
    plots = [i for i, c in enumerate(cells) if has_plot(c)]
    drawings = [i for i, c in enumerate(cells) if has_drawing(c)]
    assert 4 <= len(plots) <= 8, f"{len(plots)} plots"
    assert 2 <= len(drawings) <= 5, f"{len(drawings)} diagrams"
    for i in plots + drawings:
        assert cells[i + 1].cell_type == "markdown", f"no reading after:\n{cells[i].source}"


@each_lecture
def test_what_is_built_is_shown(name):
    """At most a third of the cells print nothing, and never more than three in a row."""
    cells = [c for c in code(load("lectures", name)) if must_speak(c)]
    silent = [is_silent(c) for c in cells]
    assert sum(silent) <= len(cells) / 3, f"{sum(silent)} of {len(cells)} cells print nothing"
    for i in range(len(cells) - 3):
        assert not all(silent[i : i + 4]), f"four silent cells in a row, from:\n{cells[i].source}"


@each_lecture
def test_an_assertion_stands_on_a_line(name):
    for cell in code(load("lectures", name)):
        broken = re.search(r"^\s*assert .*\(\n\s*f?\".*\"\n\s*\)$", cell.source, re.M)
        assert not broken, f"shorten its message:\n{broken[0]}"


# Mathematics in the usual words, and no turn that a native speaker stumbles over.
STUMBLES = (
    r"derivatives? (to|by) (?!show)",
    r"(?<!multiplies the )(?<!multiply the )(?<!divide the )(?<!clip the )"
    r"gradients? by (?!hand|nudging)",
    r"slopes? (to|by) [a-zA-Z]\b",
    r"that there (is|are)\b(?! (an?|no|nothing)\b)",
    r"\b(two|three|four|five|some|many|few) \w+s more\b(?! than)",
    r"\b(is|are) to be \w+ed\b",
    r", for (it|they|he|she|there|that|no|nothing|otherwise|without) ",
    r", for (this|these) (is|are|was|were|has|have|can|would)\b",
)


def stumble(text: str, turns=STUMBLES) -> str:
    """Return the first of these turns in a text, with the words around it, or nothing."""
    for turn in turns:
        if found := re.search(turn, text, re.I):
            return text[max(found.start() - 40, 0) : found.end() + 40]
    return ""


@pytest.mark.parametrize("folder", ["lectures", "solutions"])
@each_lecture
def test_the_prose_is_idiomatic(folder, name):
    for cell in load(folder, name).cells:
        if cell.cell_type != "markdown":
            continue
        text = " ".join(re.sub(r"```.*?```|`[^`]*`", "x", cell.source, flags=re.S).split())
        assert not (found := stumble(text)), found
        for paragraph in cell.source.split("\n\n"):
            assert paragraph.lower().count("with respect to") <= 1, paragraph


@each_lecture
def test_claims_are_asserted_with_what_they_mean(name):
    asserts = []
    for cell in code(load("lectures", name)):
        source = re.sub(r"^(\s*)%.*$", r"\1pass", cell.source, flags=re.M)
        asserts += [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Assert)]
    assert len(asserts) >= 10
    silent = [ast.unparse(a) for a in asserts if a.msg is None]
    assert not silent, f"assertions without a message: {silent}"


@each_lecture
def test_it_ends_with_what_was_learned_what_to_read_and_the_exercises(name):
    headings = re.findall(r"^## (.+)$", prose(load("lectures", name)), flags=re.M)
    assert "learned" in headings[-3].lower()
    assert "read" in headings[-2].lower()
    assert headings[-1] == "Exercises"


# --- the generator ------------------------------------------------------------------------------


def test_a_solution_region_becomes_a_stub():
    source = "def f(x):\n    # BEGIN SOLUTION\n    return x\n    # END SOLUTION"
    assert notebooks.stub(source, "1.1") == (
        'def f(x):\n    raise NotImplementedError("1.1 is yours to write")'
    )


def test_a_solution_region_may_show_something_instead():
    source = "# BEGIN SOLUTION\nx = 1\n# INSTEAD\n# x = 2\n#     y\n# END SOLUTION\nz"
    assert notebooks.stub(source, "1.1") == "x = 2\n    y\nz"


@pytest.mark.parametrize(
    "source",
    ["def f():\n    # BEGIN SOLUTION\n    x", "# BEGIN SOLUTION\nx\n# END SOLUTION"],
)
def test_a_region_that_is_open_or_outside_a_function_is_refused(source):
    with pytest.raises(ValueError, match=r"1\.1"):
        notebooks.stub(source, "1.1")


@pytest.mark.parametrize("lecture", checks.LECTURES)
def test_each_exercise_has_one_card_cell_and_one_check_cell(lecture):
    notebooks.expect_whole(load("solutions", checks.file_name(lecture)), lecture)


def cell_of(notebook, tag: str):
    return next(c for c in notebook.cells if tag in c.metadata.get("tags", []))


def misspell(notebook):
    cell_of(notebook, "card:2.7").metadata["tags"] = ["cards:2.7"]


def take_the_check(notebook):
    notebook.cells = [c for c in notebook.cells if not c.source.startswith('check("2.4"')]


def check_another(notebook):
    cell = next(c for c in notebook.cells if c.source.startswith('check("2.4"'))
    cell.source = cell.source.replace("2.4", "2.5")


def repeat_a_card(notebook):
    notebook.cells.append(cell_of(notebook, "card:2.1"))


def card_of_another_lecture(notebook):
    cell_of(notebook, "card:2.1").metadata["tags"] = ["card:3.1"]


def make_it_code(notebook):
    cell_of(notebook, "card:2.2").cell_type = "code"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (misspell, r"2\.7 has 0 card cells and needs one Markdown cell tagged card:2\.7\.$"),
        (
            take_the_check,
            r'2\.4 has 0 check cells and needs one cell that calls check\("2\.4", …\)',
        ),
        (check_another, r"2\.4 has 0 check cells .*; 2\.5 has 2 check cells"),
        (repeat_a_card, r"2\.1 has 2 card cells"),
        (card_of_another_lecture, r"2\.1 has 0 card cells .*; 3\.1 has a card cell and is not an"),
        (make_it_code, r"2\.2 has 0 card cells"),
    ],
)
def test_what_a_solution_notebook_lacks_is_named(change, said):
    notebook = load("solutions", "02_bigram")
    change(notebook)
    with pytest.raises(ValueError, match=r"^solutions/02_bigram\.ipynb: " + said):
        notebooks.expect_whole(notebook, "bigram")


def test_nothing_is_written_for_a_notebook_that_lacks_a_card(tmp_path):
    for folder in ("lectures", "exercises", "solutions"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "README.md", tmp_path)
    path = tmp_path / "solutions" / "02_bigram.ipynb"
    path.write_text(path.read_text().replace('"card:2.7"', '"cards:2.7"'))
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(ValueError, match=r"2\.7 has 0 card cells"):
        notebooks.make_exercises(tmp_path)
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}


def test_a_learner_s_answers_are_never_overwritten(tmp_path):
    for folder in ("lectures", "exercises", "solutions"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "README.md", tmp_path)
    assert notebooks.make_exercises(tmp_path) == []
    path = tmp_path / "exercises" / f"{LECTURES[-1]}.ipynb"
    path.write_text(path.read_text().replace("raise NotImplementedError", "return 42; raise X"))
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="answers"):
        notebooks.make_exercises(tmp_path)
    assert path.read_bytes() == before


def test_a_run_stores_outputs_and_a_failing_cell_changes_nothing(tmp_path):
    path = tmp_path / "n.ipynb"
    cell = nbformat.v4.new_code_cell("1 + 1")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    notebooks.run(path)
    assert nbformat.read(path, 4).cells[0].outputs[0]["data"]["text/plain"] == "2"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    with pytest.raises(Exception, match="ZeroDivisionError"):
        notebooks.run(path)
    assert path.read_bytes() == before
