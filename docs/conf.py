"""Sphinx's settings for the course's site; `build.py` beside it makes the pages and calls Sphinx.

Everything that a page loads comes from the site itself: no fonts, scripts or badges from elsewhere.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # `build` and `signatures`, beside this file

from build import REPOSITORY

project = "Zero to Hero"
author = "the authors of Zero to Hero"
copyright = "the authors of Zero to Hero, MIT licence"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "signatures",
]
exclude_patterns = ["README.md"]
suppress_warnings = ["mystnb.unknown_mime_type"]

nb_execution_mode = "off"  # what is shown is what the notebooks store
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "image/svg+xml", None)]  # a drawing comes as HTML, with its alt
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
myst_all_links_external = False
myst_url_schemes = ["http", "https", "mailto"]
mathjax_path = "mathjax/tex-chtml.js"
mathjax_options = {"defer": "defer"}

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "signature"
add_module_names = False
python_maximum_signature_line_length = 88

html_theme = "sphinx_book_theme"
html_title = "Zero to Hero"
html_static_path = ["static", "mathjax"]
html_css_files = ["course.css"]
html_copy_source = True
html_theme_options = {
    "repository_url": REPOSITORY,
    "repository_branch": "main",
    "use_repository_button": False,
    "use_download_button": True,
    "use_fullscreen_button": False,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
