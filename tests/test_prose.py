"""One voice: what test_notebooks.py keeps out of notebooks is in no other text either."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

from test_notebooks import STUMBLES, stumble

ROOT = Path(__file__).parent.parent
FOLDERS = ("zerotohero", "benchmarks", "tests")
PATHS = [ROOT / "conftest.py", *(path for f in FOLDERS for path in (ROOT / f).rglob("*.py"))]
LINTS = {ROOT / "tests/test_notebooks.py", ROOT / "tests/test_prose.py"}  # which hold the turns
SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in set(PATHS) - LINTS)
TURNS = (*STUMBLES, r"\b(hasn't|haven't)(?=[.,:;)`]|$)")
# A docstring of a function says what it does: "Return the place", not "The place".
NOUN = re.compile(
    r"(The|An?|Whether|What|Which|Where|Who|How|Why|Those|This|Its?|All|Each|Every|Everything) "
)
# These are read as what they are, not as what they do.
NAMED = {"property", "contextmanager", "contextlib.contextmanager", "check"}


def functions(tree: ast.AST):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def texts(source: str) -> list[str]:
    """Return all docstrings, messages and comments: what stands in quotes and behind a #."""
    strings = [
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT]
    return [" ".join(text.split()) for text in [*strings, " ".join(comments)]]


@pytest.mark.parametrize("path", ["README.md", "data/README.md", *SOURCES])
def test_no_text_has_a_turn_to_stumble_over(path):
    source = (ROOT / path).read_text(encoding="utf-8")
    for text in texts(source) if path.endswith(".py") else [" ".join(source.split())]:
        assert not (found := stumble(text, TURNS)), found


@pytest.mark.parametrize("path", [p for p in SOURCES if not p.startswith("tests/")])
def test_the_docstring_of_a_function_says_what_it_does(path):
    for function in functions(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        decorators = {ast.unparse(d).split("(")[0] for d in function.decorator_list}
        if not decorators & NAMED and not function.name.startswith("_"):
            first = (ast.get_docstring(function) or "").split("\n")[0]
            assert not NOUN.match(first), f'{function.name}: "{first}" begins with a noun'
