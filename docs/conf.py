"""Sphinx's settings for the course's site; `build.py` beside it makes the pages and calls Sphinx.

Everything that a page loads comes from the site itself: no fonts, scripts or badges from elsewhere.
"""

import inspect
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the course that is documented

from zerotohero.course.doctor import REPOSITORY  # noqa: E402

project = "Zero to Hero"
author = "the authors of Zero to Hero"
copyright = "the authors of Zero to Hero, MIT licence"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.linkcode",
]
suppress_warnings = ["mystnb.unknown_mime_type"]

nb_execution_mode = "off"  # what is shown is what the notebooks store
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "image/svg+xml", None)]  # a drawing as HTML: it has an alt
myst_enable_extensions = ["dollarmath", "amsmath", "html_image"]
myst_heading_anchors = 3
myst_url_schemes = ["http", "https", "mailto"]
mathjax_path = "mathjax/tex-chtml.js"
mathjax_options = {"defer": "defer"}

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "signature"
autodoc_use_type_comments = False  # nobody has written any, and to look takes a second
add_module_names = False
python_maximum_signature_line_length = 88

html_theme = "sphinx_book_theme"
html_title = "Zero to Hero"
html_favicon = "static/favicon.svg"
html_context = {"default_mode": "auto"}  # light or dark as the system says
html_static_path = ["static"]
html_css_files = ["course.css"]
html_copy_source = True
html_theme_options = {
    "repository_url": REPOSITORY,
    "repository_branch": "main",
    "use_repository_button": False,
    "use_download_button": True,
    "use_fullscreen_button": False,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "collapse_navbar": True,  # the solutions, only beside their exercises
    "navbar_persistent": [],  # the menu has the search field; once is enough
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def linkcode_resolve(domain, info):
    """Return where GitHub shows the lines of what is documented."""
    found = sys.modules[info["module"]]
    for name in info["fullname"].split("."):
        found = getattr(found, name, None)
    found = inspect.unwrap(getattr(found, "fget", None) or found)
    try:
        file = Path(inspect.getsourcefile(found)).relative_to(ROOT).as_posix()
        lines, first = inspect.getsourcelines(found)
    except (TypeError, OSError, ValueError):  # a constant, or somebody else's
        return None
    return f"{REPOSITORY}/blob/main/{file}#L{first}-L{first + len(lines) - 1}"


CODE = re.compile(r"((?<=\n\n)(?: {4}.*\n?|\n(?= {4}))+)")  # what is indented after a blank line


def from_markdown(app, what, name, obj, options, lines):
    """Turn a docstring, which quotes and indents code as Markdown does, into what Sphinx reads."""
    prose, *rest = CODE.split("\n".join(lines))
    pieces = [inline(prose)]
    for code, after in zip(rest[::2], rest[1::2], strict=True):
        pieces += ["::\n\n", code, "\n", inline(after)]
    lines[:] = "".join(pieces).split("\n")


def inline(prose: str) -> str:
    """Return prose whose quoted code Sphinx knows, and whose other signs mean nothing to it."""
    text, *quoted = prose.split("`")
    plain = [text, *quoted[1::2]]
    plain = [re.sub(r"[*|\\]|_(?=\W|$)", r"\\\g<0>", part) for part in plain]
    pieces = [plain[0]]
    for code, after in zip(quoted[::2], plain[1:], strict=True):
        pieces += ["``", code, "``", "\\ " if after[:1].isalnum() else "", after]
    return "".join(pieces)


def setup(app):
    app.connect("autodoc-process-docstring", from_markdown)
