"""The course as a learner meets it: JupyterLab in a browser, lecture 01, exercise 1.1."""

import os
import re

import nbformat
import pytest
from playwright.sync_api import expect

from browser import ROOT, NotebookPage, browser, chromium, copy_notebooks, jupyterlab

# What a learner may write first: each number is nudged upwards, and not downwards.
ONE_SIDED = """\
def numerical_gradient(f, a, b, c, h=1e-5):
    here = f(a, b, c)
    da = (f(a + h, b, c) - here) / h
    db = (f(a, b + h, c) - here) / h
    dc = (f(a, b, c + h) - here) / h
    return da, db, dc
"""
LECTURE, EXERCISE = "lectures/01_micrograd.ipynb", "exercises/01_micrograd.ipynb"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on copies of the notebooks, and a browser: a function that opens one of them."""
    if chromium() is None:
        reason = "needs Chromium: apt-get install chromium, or Chrome"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    folder = copy_notebooks(ROOT, tmp_path_factory.mktemp("course"))
    end_with_the_widget(folder / LECTURE)
    private = tmp_path_factory.mktemp("jupyter")
    with jupyterlab(folder, private) as url, browser() as chrome:
        # One context, so that the second page finds JupyterLab in the cache.
        context = chrome.new_context(viewport={"width": 1400, "height": 1000})

        def open_notebook(path: str) -> NotebookPage:
            return NotebookPage(context.new_page(), url(path))

        yield open_notebook


def end_with_the_widget(path):
    """Take away what comes after the first widget: to train is for nbval, which runs it all."""
    notebook = nbformat.read(path, as_version=4)
    last = next(i for i, c in enumerate(notebook.cells) if "graph_explorer(" in c.source)
    notebook.cells = notebook.cells[: last + 1]
    nbformat.write(notebook, path)


def test_lecture_01_runs_and_its_widget_moves(lab):
    lecture = lab(LECTURE)
    with lecture.screenshot_on_failure("lecture-01"):
        lecture.run_all(seconds=60)
        widget = lecture.panel.locator(
            ".jp-OutputArea-output", has=lecture.page.get_by_role("slider")
        ).first
        slider, picture = widget.get_by_role("slider").first, widget.locator(".widget-html").first
        slider.scroll_into_view_if_needed()
        expect(picture.locator("svg, img").first).to_be_visible()
        before, value = lecture.settled(picture), slider.get_attribute("aria-valuenow")
        slider.focus()
        for _ in range(3):
            lecture.page.keyboard.press("ArrowRight")
        after = lecture.settled(picture, different_from=before)
        assert slider.get_attribute("aria-valuenow") != value
        lecture.picture("explorer", widget)
        for _ in range(3):
            lecture.page.keyboard.press("ArrowLeft")
        again = lecture.settled(picture, different_from=after)
        assert slider.get_attribute("aria-valuenow") == value
        assert again == before, "the same place of the slider shows another picture"


def test_exercise_1_1_is_answered_and_its_check_passes(lab):
    exercise = lab(EXERCISE)
    with exercise.screenshot_on_failure("exercise-1.1"):
        exercise.run_all(seconds=24)
        stub, check = exercise.cell("1.1 is yours to write"), exercise.cell('check("1.1"')
        expect(check).to_contain_text("not yet")
        exercise.write(stub, ONE_SIDED)
        answer = exercise.cell("def numerical_gradient")
        exercise.run(answer)
        exercise.run(check)
        output = check.locator(".jp-OutputArea")
        expect(output).to_contain_text("You nudge upwards only")
        exercise.picture("mistake", answer, check)
        exercise.write(answer, solution_of("1.1"))
        exercise.run(answer)
        exercise.run(check)
        expect(check.locator(".jp-OutputArea")).to_contain_text(re.compile(r"All \d+ points\."))


def solution_of(number: str) -> str:
    """The code cell of the solutions that follows the card of an exercise."""
    cells = nbformat.read(ROOT / "solutions" / "01_micrograd.ipynb", as_version=4).cells
    card = next(i for i, c in enumerate(cells) if f"card:{number}" in c.metadata.get("tags", []))
    return next(c.source for c in cells[card:] if "# BEGIN SOLUTION" in c.source)
