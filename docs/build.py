"""`make site`: the course as a website in build/site, from what the repository holds.

Nothing is written twice. A page is a section of README.md or CONTRIBUTING.md, a notebook with the
outputs that it stores, or a module's docstrings; this program lays them out as Sphinx wants them
(`conf.py` has its settings), and no notebook is run. Formulas are set by MathJax, which `make`
takes from npm and which is copied along, so that a page loads nothing from elsewhere.
"""

import argparse
import contextlib
import functools
import gc
import re
import shutil
import sys
import webbrowser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat

from zerotohero.course.doctor import REPOSITORY

ROOT = Path(__file__).resolve().parent.parent
SOURCE, SITE = ROOT / "build" / "site-source", ROOT / "build" / "site"
MATHJAX = ROOT / ".venv" / "npm" / "node_modules" / "mathjax" / "es5"

# The pages that are a section of a file: page, file, heading.
PAGES = {
    "curriculum": ("README.md", "Curriculum"),
    "hand-in": ("README.md", "Do the exercises"),
    "train": ("README.md", "Train a GPT of your own"),
    "talk": ("README.md", "Talk to a model"),
    "grade": ("README.md", "Grade a class"),
    "figures": ("README.md", "What it reaches"),
    "tree": ("README.md", "How it is built"),
    "add-exercise": ("CONTRIBUTING.md", "Add an exercise"),
    "add-lecture": ("CONTRIBUTING.md", "Add a lecture"),
    "review": ("CONTRIBUTING.md", "How a change is reviewed"),
}


# An icon's name in a page, and its drawing in the theme's script: its name, its width and height,
# other names, its number in the font, and its outlines.
ICON = re.compile(r"\bfa-([a-z][a-z-]*)")
DRAWING = re.compile(
    r"""("?[\w-]+"?:\[\d+,\d+,\[[^\]]*\]),"\w+",(?:"[^"]*"|\["[^"]*","[^"]*"\])\],?"""
)


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@functools.cache
def sections(name: str) -> dict[str, str]:
    """Return the sections of a file by heading, the first under ""; with its links' targets."""
    readme = (ROOT / name).read_text(encoding="utf-8")
    links = "\n".join(re.findall(r"^\[\w+\]: \S+$", readme, re.M))
    readme = re.sub(r"^\[\w+\]: \S+\n", "", readme, flags=re.M)
    first, *rest = re.split(r"^## (.+)\n", readme, flags=re.M)
    found = {"": first} | dict(zip(rest[::2], rest[1::2], strict=True))
    return {heading: f"{text.strip()}\n\n{links}\n" for heading, text in found.items()}


def point(text: str, folder: Path) -> str:
    """Return Markdown of a file in `folder`, its links made to fit the site.

    What has a page there is linked as a page; what else the repository holds, at GitHub.
    """

    def there(target: str) -> str:
        path, _, anchor = target.partition("#")
        if re.match(r"\w+:", target):
            return target
        if not path:
            pages = {slug(heading): page for page, (_, heading) in PAGES.items()}
            return f"{pages[anchor]}.md" if anchor in pages else target
        full = (folder / path).resolve()
        if not full.exists():
            raise ValueError(f"{folder.relative_to(ROOT)} links to {path}, which isn't there.")
        name = full.relative_to(ROOT).as_posix()
        if name.endswith(".ipynb") or re.fullmatch(r"docs/.+\.(png|svg)", name):
            return target
        return f"{REPOSITORY}/{'tree' if full.is_dir() else 'blob'}/main/{name}"

    text = re.sub(r"(\]\()([^)\s]+)(\))", lambda m: m[1] + there(m[2]) + m[3], text)
    return re.sub(r"^(\[\w+\]: )(\S+)$", lambda m: m[1] + there(m[2]), text, flags=re.M)


def write(name: str, text: str) -> None:
    """Write a page of the site's source."""
    path = SOURCE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def notebook(path: Path) -> None:
    """Write a notebook's page: its cells and what they showed."""
    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        if cell.cell_type == "markdown":
            cell.source = point(cell.source, path.parent)
        for output in cell.get("outputs", []):
            if alt := output.get("metadata", {}).get("image/png", {}).get("alt"):
                # Where MyST-NB looks for the text alternative of a cell's figure.
                cell.metadata["mystnb"] = {"image": {"alt": alt}}
    if path.parent.name == "solutions":  # the exercises are made from them, title and all
        title = book.cells[0]
        title.source = title.source.replace(": exercises", ": solutions", 1)
    if path.parent.name == "exercises":
        further = f"The [solutions](../solutions/{path.name}) are for afterwards."
        tree = f"```{{toctree}}\n:hidden:\n\n../solutions/{path.stem}\n```"
        book.cells.append(nbformat.v4.new_markdown_cell(f"{further}\n\n{tree}"))
    write(path.relative_to(ROOT).as_posix(), nbformat.writes(book))


def modules() -> list[str]:
    """Return the library's modules, as within zerotohero, in the order of README's tree."""
    tree = sections("README.md")["How it is built"]
    tree = tree[tree.index("zerotohero/ ") : tree.index("zerotohero/course/")]
    names, prefix = [], ""
    for line in tree.splitlines():
        if folder := re.match(r"zerotohero/(\w+)/", line):
            prefix = folder[1] + "."
        elif file := re.match(r"  (\w+)\.py ", line):
            names.append(f"{prefix}{file[1]}")
    return names


def menu(folder: str) -> list[str]:
    """Return the names of a folder's notebooks, in order."""
    return [f"{folder}/{path.name}" for path in sorted((ROOT / folder).glob("*.ipynb"))]


def make_source() -> None:
    """Write all pages' sources."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    for page, (name, heading) in PAGES.items():
        write(f"{page}.md", f"# {heading}\n\n{point(sections(name)[heading], ROOT)}")
    write("changes.md", point((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), ROOT))
    for folder in ("lectures", "exercises", "solutions"):
        for path in sorted((ROOT / folder).glob("*.ipynb")):
            notebook(path)
    reference = "# {0}\n\n```{{eval-rst}}\n.. automodule:: zerotohero.{0}\n```\n"
    for name in modules():
        write(f"reference/{name}.md", reference.format(name))
    trees = {
        "Lectures": ["curriculum", *menu("lectures")],
        "Exercises": ["hand-in", *menu("exercises")],
        "Do more": ["train", "talk", "grade", "figures"],
        "The library": [f"reference/{name}" for name in modules()],
        "Take part": ["tree", "add-exercise", "add-lecture", "review", "changes"],
    }
    toc = "".join(
        f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n\n"
        for caption, pages in trees.items()
    )
    readme = sections("README.md")
    start = f"{readme['']}\n## Two commands\n\n{readme['Two commands'].split('[badge]:')[0]}"
    write("index.md", point(start, ROOT) + "\n" + toc)
    (SOURCE / "docs").mkdir()
    for picture in [*(ROOT / "docs").glob("*.png"), *(ROOT / "docs").glob("*.svg")]:
        shutil.copy(picture, SOURCE / "docs")
    shutil.copy(ROOT / "docs" / "conf.py", SOURCE)
    shutil.copytree(ROOT / "docs" / "static", SOURCE / "static")
    fonts = "output/chtml/fonts/woff-v2"
    shutil.copytree(MATHJAX / fonts, SOURCE / "static" / "mathjax" / fonts)
    shutil.copy(MATHJAX / "tex-chtml.js", SOURCE / "static" / "mathjax")


def mend() -> None:
    """Mend what the theme leaves: pages that are its own tools, a button without a name, and two
    thousand icons, 1.5 MB for every page, of which some twenty are shown.
    """
    for macros in (SITE / "_static").glob("*macros.html"):
        macros.unlink()
    shown = set()
    for page in SITE.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        nameless, named = "<summary><span", '<summary aria-label="Solutions"><span'
        page.write_text(text.replace(nameless, named), encoding="utf-8")
        shown.update(ICON.findall(text))
    scripts = SITE / "_static" / "scripts"
    for script in scripts.glob("*theme.js"):
        shown.update(ICON.findall(script.read_text(encoding="utf-8")))
    icons = scripts / "fontawesome.js"
    text = icons.read_text(encoding="utf-8")
    icons.write_text(
        DRAWING.sub(lambda d: d[0] if {*re.findall(r"[\w-]+", d[1])} & shown else "", text),
        encoding="utf-8",
    )


def serve() -> None:
    """Serve the site to this machine alone, in the browser, until Ctrl-C."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(SITE))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"The site is at {address} until you press Ctrl-C.")
        webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def main() -> int:
    """Build the site, and serve it if asked; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--open", action="store_true", help="serve it, and open a browser")
    options = parser.parse_args()
    if not MATHJAX.is_dir():
        print("MathJax is missing: install Node.js with npm, then `make site`.", file=sys.stderr)
        return 1
    from sphinx.cmd.build import main as sphinx

    gc.disable()  # a page is made of many objects: to look for free ones took a fifth of the time
    make_source()
    shutil.rmtree(SITE, ignore_errors=True)
    quiet = ["-q", "-d", str(SOURCE.with_name("site-trees"))]
    status = sphinx([*quiet, "-b", "html", str(SOURCE), str(SITE)])
    mend()
    if status == 0:
        print(f"The site is in {SITE}.")
        if options.open:
            serve()
    return status


if __name__ == "__main__":
    sys.exit(main())
