"""The website: every link leads somewhere, and a browser shows every page whole.

The site is built once, without a network or a kernel, and served on the loopback address.
"""

import functools
import http.server
import itertools
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest
from bs4 import BeautifulSoup

from browser import ROOT, SCREENSHOTS, browser, chromium
from patience import patience

NPM = ROOT / ".venv" / "npm" / "node_modules"
WIDE, PHONE = {"width": 1200, "height": 900}, {"width": 360, "height": 740}
LOOKED_AT = [  # five pages, of five kinds; short ones, since contrast is slow to work out
    "index.html",
    "curriculum.html",
    "lectures/06_wavenet.html",
    "exercises/01_micrograd.html",
    "reference/gpt.html",
]
# The theme's own pages of search results and indexes have no text of ours.
OF_THE_THEME = {"search.html", "genindex.html", "py-modindex.html"}


def without(what: str) -> None:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


@pytest.fixture(scope="module")
def site() -> Path:
    """The site, built anew."""
    if not NPM.is_dir():
        without("needs MathJax: install Node.js with npm, then run `make site`")
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "build.py"],
        capture_output=True,
        text=True,
        timeout=patience(120),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert not done.stderr, "Sphinx warns of nothing"
    return ROOT / "build" / "site"


@pytest.fixture(scope="module")
def pages(site) -> dict[str, BeautifulSoup]:
    """Every page by its path in the site."""
    return {
        path.relative_to(site).as_posix(): BeautifulSoup(path.read_bytes(), "html.parser")
        for path in sorted(site.rglob("*.html"))
    }


@pytest.fixture(scope="module")
def served(site):
    """The address of the site."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def chrome():
    if chromium() is None:
        without("needs Chromium: apt-get install chromium, or Chrome")
    with browser() as chrome:
        yield chrome


# --- as files -------------------------------------------------------------------------------------


def test_every_notebook_module_and_section_has_a_page(pages):
    for folder in ("lectures", "exercises", "solutions"):
        for path in (ROOT / folder).glob("*.ipynb"):
            assert f"{folder}/{path.stem}.html" in pages
    for folder, prefix in (("zerotohero", ""), ("zerotohero/training", "training.")):
        for path in (ROOT / folder).glob("*.py"):
            if path.stem != "__init__":
                assert f"reference/{prefix}{path.stem}.html" in pages
    files = [(ROOT / name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md")]
    headings = {heading for text in files for heading in re.findall(r"^## (.+)$", text, re.M)}
    headings -= {"Take part"}  # which leads to CONTRIBUTING.md
    found = {tag.text.rstrip("#") for page in pages.values() for tag in page.select("h1, h2")}
    assert headings <= found, headings - found


def test_no_link_anchor_or_picture_is_broken(site, pages):
    anchors = {
        name: {tag["id"] for tag in page.find_all(id=True)} | {""} for name, page in pages.items()
    }
    broken = []
    for name, page in pages.items():
        for tag, attribute in (("a", "href"), ("img", "src"), ("script", "src"), ("link", "href")):
            for element in page.find_all(tag, {attribute: True}):
                target = element[attribute]
                if re.match(r"(https?|mailto|data|javascript):", target):
                    continue
                path, anchor = urldefrag(unquote(urljoin(f"/{name}", target)))
                path = path.lstrip("/").partition("?")[0]
                if not (site / path).is_file():
                    broken.append(f"{name}: {target}")
                elif path in anchors and anchor not in anchors[path]:
                    broken.append(f"{name}: {target} has no such anchor")
    assert not broken, "\n".join(broken[:20])


def test_a_page_loads_nothing_from_elsewhere(pages):
    for name, page in pages.items():
        for element in page.find_all(["img", "script", "iframe", "link"]):
            source = element.get("src") or element.get("href") or ""
            alternative = element.get("rel") == ["canonical"]
            assert not source.startswith(("http:", "https:", "//")) or alternative, (name, source)


def test_pictures_have_alternatives_and_headings_are_in_order(pages):
    for name, page in pages.items():
        for picture in page.find_all("img"):
            assert picture.get("alt", "").strip(), f"{name}: {picture.get('src', '')[:60]}"
        levels = [int(heading.name[1]) for heading in page.select("article :is(h1,h2,h3,h4,h5)")]
        if name not in OF_THE_THEME:
            assert levels[:1] == [1] and levels.count(1) == 1, (name, levels)
            steps = itertools.pairwise(levels)
            assert all(after <= before + 1 for before, after in steps), (name, levels)


def test_exercises_show_cards_hints_and_starters_but_no_solutions(pages):
    page = pages["exercises/07_gpt.html"]
    folded = page.select("details summary")
    assert sum("Hint" in summary.text for summary in folded) == 24
    assert not any(details.has_attr("open") for details in page.select("article details"))
    assert "7.1 is yours to write" in page.text and "BEGIN SOLUTION" not in page.text
    (further,) = [a for a in page.select("article a") if a.text == "solutions"]
    solutions = pages[f"solutions/{Path(further['href']).name}"]
    assert "BEGIN SOLUTION" in solutions.text
    assert "exercises" in page.h1.text and "solutions" in solutions.h1.text


def test_a_reader_finds_what_they_came_for(site, pages):
    """What a visitor looks for, by the words that they would type into the search field."""
    index = (site / "searchindex.js").read_text("utf-8")
    titles = json.loads(index[index.index("{") : index.rindex("}") + 1])["titles"]
    assert any("Grade a class" in title for title in titles)
    assert "fused" in pages["lectures/05_backprop.html"].text.lower()
    signature = pages["reference/gpt.html"].find(id="zerotohero.gpt.GPT.generate").text
    assert "max_new_tokens: int" in signature and "temperature" in signature
    shapes = pages["reference/gpt.html"].find(id="zerotohero.gpt.GPT.forward").text
    assert "Integer[Tensor, 'B T']" in shapes and "jaxtyping" not in shapes
    example = pages["reference/tf_checkpoint.html"].select_one("div.highlight pre").text
    assert 'TensorFlowCheckpoint("124M/model.ckpt")' in example, "code, with its own quotes"


def test_the_site_is_small(site):
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    assert size < 40 * 2**20


def test_the_icons_that_are_shown_are_loaded_and_no_others(site, pages):
    script = (site / "_static" / "scripts" / "fontawesome.js").read_text("utf-8")
    drawn = set(re.findall(r'"?([\w-]+)"?:\[\d+,\d+,\[', script))
    shown = {
        name.removeprefix("fa-")
        for page in pages.values()
        for tag in page.select("[class*='fa-']")
        for name in tag["class"]
        if name.startswith("fa-") and name not in ("fa-solid", "fa-lg", "fa-fw")
    }
    assert len(shown) > 10 and drawn == shown | {"xmark"}  # which the theme's script shows


def test_nothing_is_written_twice(site):
    """The pages' text is in the repository's own files: a sentence that changes there, changes."""
    made = {path.name for path in (ROOT / "docs").iterdir()}
    assert not {name for name in made if name.endswith((".md", ".rst", ".ipynb", ".html"))}


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def visit(chrome, served):
    """Open a page and return it; what went wrong while it loaded fails the test."""
    context = chrome.new_context(viewport=WIDE)
    page = context.new_page()
    page.set_default_timeout(patience(6) * 1000)
    wrong = []
    page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda asked: (
            asked.url.startswith((served, "data:", "blob:")) or wrong.append(f"asked {asked.url}")
        ),
    )
    page.on("requestfailed", lambda asked: wrong.append(f"failed {asked.url}"))
    page.on("response", lambda got: got.status >= 400 and wrong.append(f"{got.status} {got.url}"))

    def open_page(name: str, theme: str = "light", viewport: dict = WIDE):
        wrong.clear()
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=theme)
        page.goto(served + name, wait_until="load")
        page.evaluate("window.MathJax && MathJax.startup && MathJax.startup.promise")
        assert not wrong, (name, wrong)
        return page

    yield open_page
    context.close()


def widths(page) -> str:
    """What is wider than the page, if anything is."""
    return page.evaluate(
        """() => document.documentElement.scrollWidth <= window.innerWidth ? "" :
        [...document.querySelectorAll("main *")].filter(
            e => e.getBoundingClientRect().right > window.innerWidth + 1
        ).slice(0, 3).map(e => e.outerHTML.slice(0, 150)).join("\\n") || "the page"
        """
    )


def test_every_page_opens_and_fits_a_screen_and_a_phone(visit, pages):
    # Low ones: how wide something is shows all the same, and what is seen has to be drawn.
    sizes = [size | {"height": 100} for size in (WIDE, PHONE)]
    for name in pages:
        if name in OF_THE_THEME:
            continue
        page = visit(name, viewport=sizes[0])
        assert not widths(page), f"{name} at {sizes[0]['width']} px"
        page.set_viewport_size(sizes[1])
        assert not widths(page), f"{name} at {sizes[1]['width']} px"
        sizes = sizes[::-1]  # the next page opens as this one is left


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_five_pages_are_accessible_in_light_and_dark(visit, theme):
    """By axe-core: contrast of 4.5, names for what can be pressed, order, language, alternatives.

    Pictures of the pages at both widths go to build/screenshots.
    """
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    axe = (NPM / "axe-core" / "axe.min.js").read_text("utf-8")
    for name in LOOKED_AT:
        page = visit(name, theme)
        for kind, viewport in (("phone", PHONE), ("wide", WIDE)):
            page.set_viewport_size(viewport)
            picture = f"site-{Path(name).stem}-{kind}-{theme}.png"
            # The sidebars move in and out when the width changes: where they end is of interest.
            page.screenshot(path=SCREENSHOTS / picture, animations="disabled")
        icons = page.locator("svg.svg-inline--fa")
        assert icons.count() > 10
        assert icons.filter(has=page.locator("path[d]")).count() == icons.count()
        page.evaluate(axe)
        # Sphinx marks up a class as a list of definitions with more in it than HTML allows.
        rules = {"definition-list": {"enabled": False}}
        options = {"rules": rules, "resultTypes": ["violations"]}  # the rest isn't worked out
        if theme == "dark":  # all but the colours is as in the light
            options["runOnly"] = ["color-contrast"]
        found = page.evaluate("options => axe.run(document, options)", options)
        serious = [
            f"{name}: {broken['id']}: {node['html'][:200]}"
            for broken in found["violations"]
            if broken["impact"] in ("serious", "critical")
            for node in broken["nodes"][:2]
        ]
        assert not serious, "\n".join(serious)


def test_search_finds_a_lecture(visit):
    page = visit("search.html?q=fused+batchnorm")
    results = page.locator("#search-results li a")
    results.first.wait_for()
    assert any("05_backprop" in a.get_attribute("href") for a in results.all())
