"""Words in an answer's source at which a teacher may want to look: perhaps ways around a rule.

    words("def mean(x):\\n    return torch.compile(f)(x)", ["torch.compile"])    # ["torch.compile"]

Some rules are about how an answer is reached, not about what it is: no autograd, no recursion. In
the process in which an answer runs, it can get round what watches it. So its source is read as
well, outside the sandbox and without running it. What is found here proves nothing and costs no
marks, and nothing found is no proof either.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise

# Ways to other people's objects and to what Python keeps to itself, which no answer needs.
ANYWHERE = (
    "__closure__",
    "cell_contents",
    "__globals__",
    "__code__",
    "__subclasses__",
    "__getattribute__",
    "_getframe",
    "_current_frames",
    "f_back",
    "f_locals",
    "f_globals",
    "tb_frame",
    "gi_frame",
    "globals",
    "builtins",
    "__builtins__",
    "__import__",
    "__main__",
    "importlib",
    "sys.modules",
    "gc",
    "inspect",
    "ctypes",
)
# What several exercises look for. Ways to a gradient that isn't derived by hand:
AUTOGRAD = (
    "backward",
    "autograd",
    "requires_grad",
    "requires_grad_",
    "enable_grad",
    "set_grad_enabled",
    "inference_mode",
    "grad_fn",
    "_engine",
    "_execution_engine",
    "run_backward",
    "make_dual",
    "forward_ad",
    "torch.func",
    "functorch",
    "vjp",
    "jvp",
    "jacrev",
    "jacfwd",
    "jacobian",
    "jit",
    "torch.compile",
    "torch.ops",
    "_C",
)
# Out of sight of what watches the calls of a thread,
THREADS = ("_thread", "threading", "concurrent", "asyncio", "setprofile", "settrace")
# of what watches torch's functions,
TORCH = (
    "__torch_function__",
    "DisableTorchFunction",
    "DisableTorchFunctionSubclass",
    "jit",
    "torch.compile",
    "torch.ops",
    "_C",
)
# and of what watches the calls of a model and the steps of its optimiser.
HOOKS = (
    "forward",
    "functional_call",
    "_call_impl",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_global_forward_hooks",
    "_global_forward_pre_hooks",
    "_global_optimizer_pre_hooks",
    "_optimizer_step_pre_hooks",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_optimizer_step_pre_hook",
)

_RUN_TEXT = {"eval", "exec", "compile"}  # as names: `model.eval()` and `re.compile` are others
_BY_NAME = {"getattr": 1, "attrgetter": 0, "methodcaller": 0}  # the place of the name


def words(source: str, look_for: Sequence[str] = ()) -> list[str]:
    """Return which of `look_for`, and of the words that are looked for anywhere, the source uses.

    look_for: names, or two with a dot between them, such as "torch.compile".

    Names that the source defines itself do not count, nor do comments and docstrings; strings
    that consist of a name do, and so do `eval`, `exec`, `compile`, and `getattr` with a name that
    is computed. One that Python can't read gives nothing, as it gives no marks.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        used = set(_used(tree))
    except (SyntaxError, ValueError):
        return []
    except (RecursionError, MemoryError):  # Python's parser stops at a depth
        return ["too deeply nested to be read"]
    wanted = dict.fromkeys((*look_for, *ANYWHERE, *sorted(_RUN_TEXT), *_BY_NAME))
    return [word for word in wanted if word in used]


def _used(tree: ast.AST) -> Iterator[str]:
    """Yield a source's words, and pairs of them that a dot joins. Not recursive: ast.walk isn't."""
    nodes = list(ast.walk(tree))
    own = set(_defined(nodes))
    modules = {  # what a name stands for that an import has given
        alias.asname: alias.name.rpartition(".")[2]
        for node in nodes
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
        if alias.asname
    }
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    constant = set()  # the functions that get a name which is written there
    for node in nodes:
        match node:
            case ast.Import():
                for alias in node.names:
                    yield from _parts(alias.name)
            case ast.ImportFrom():
                for alias in node.names:
                    if alias.name not in _BY_NAME or alias.asname:
                        yield from _parts(f"{node.module or ''}.{alias.name}")
            case ast.Attribute():
                # `builtins.eval` is found by its module, and `model.eval` is something else.
                if node.attr not in _RUN_TEXT and node.attr not in _BY_NAME:
                    yield node.attr
                base = _last(node.value)
                yield f"{modules.get(base, base)}.{node.attr}"
            case ast.keyword(arg=str(name)):
                yield name
            case ast.MatchClass():
                yield from node.kwd_attrs
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                if re.fullmatch(r"[\w.]{1,200}", text):
                    yield from _parts(text)
            case ast.Call():
                place = _BY_NAME.get(_last(node.func))
                if place is not None and len(node.args) > place:
                    if all(isinstance(a, ast.Constant) for a in node.args[place : place + 1]):
                        constant.add(id(node.func))
                    else:
                        yield _last(node.func)
            case ast.Name(ctx=ast.Load()) if node.id not in own and node.id not in _BY_NAME:
                yield node.id
    for node in nodes:  # such as `get = getattr`
        if _last(node) in _BY_NAME and id(node) not in constant:
            yield _last(node)


def _defined(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Yield the names that a source gives a meaning of its own, somewhere."""
    if any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in nodes):
        return  # then no one can tell
    for node in nodes:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.id


def _last(node: ast.AST) -> str:
    """Return the name at the end of an expression, "b" for a.b; empty if it is no name."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _parts(dotted: str) -> Iterator[str]:
    names = dotted.split(".")
    yield from names
    yield from (f"{a}.{b}" for a, b in pairwise(names))
