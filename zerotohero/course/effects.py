"""What one statement of a notebook does to the names there: what it binds, changes and uses.

    effects(ast.parse("losses.append(f(x))").body[0])   # uses losses, f and x; changes losses

Names that are local to a function, a class or a comprehension don't count. What happens only
when a function is called is kept apart from what happens when the statement runs.
"""

import ast
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from zerotohero.course.cells import COMPOUND

ANY = "*"  # what star imports and `exec` bind: names that can't be seen
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_NOT_PARTS = {"check", "hint", "submit", "print", "display"}
_COMPREHENSIONS = {"listcomp", "setcomp", "dictcomp", "genexpr"}
_WRITES_NAMES = {"exec", "globals", "locals"}
_CHANGE = {"append", "extend", "insert", "add", "update", "setdefault", "appendleft"}
_CHANGE |= {"pop", "popleft", "popitem", "remove", "discard", "clear", "sort", "reverse"}
_CONSTANTS = (ast.Constant, ast.Tuple, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Load)


@dataclass
class Effects:
    """What a statement does to the global names."""

    binds: set[str] = field(default_factory=set)
    maybe: set[str] = field(default_factory=set)  # those of them that may keep their old value
    now: set[str] = field(default_factory=set)  # used when it runs
    changes: set[str] = field(default_factory=set)  # whose values it changes in place
    touches: set[str] = field(default_factory=set)  # the same, unless they are `fixed`
    sets: set[str] = field(default_factory=set)  # as `torch.manual_seed(1)` does
    calls: set[str] = field(default_factory=set)  # functions that it calls for what they do
    # The same for what happens when a function in it is called.
    uses_later: set[str] = field(default_factory=set)
    binds_later: set[str] = field(default_factory=set)
    changes_later: set[str] = field(default_factory=set)
    touches_later: set[str] = field(default_factory=set)
    # For a name that it binds, the names whose values the new value is part of, or has come from.
    parts: dict[str, set[str]] = field(default_factory=dict)
    comes_from: dict[str, set[str]] = field(default_factory=dict)
    fixed: bool = False  # it binds what no call changes: a function, a module, a number


def effects(statement: ast.stmt) -> Effects:
    """Return what a statement does, by its source alone."""
    effect = Effects()
    if not acts(statement) or (isinstance(statement, ast.AnnAssign) and not statement.value):
        return effect
    # Python's own symbol table knows which names are local to a function or a comprehension.
    table = symtable.symtable(ast.unparse(statement), "cell", "exec")
    for symbol in table.get_symbols():
        if symbol.is_assigned() or symbol.is_imported():
            effect.binds.add(symbol.get_name())
        if symbol.is_referenced():
            effect.now.add(symbol.get_name())
    _inner_names(table.get_children(), effect, called=False)
    bodies: list[ast.AST] = []
    for node in _running(statement, bodies):
        if isinstance(node, ast.AugAssign):
            effect.now |= _names_of(node.target)
        _in_place(node, effect, effect.changes, effect.touches)
        _bindings(node, effect)
    for body in bodies:
        for node in ast.walk(body):
            _in_place(node, effect, effect.changes_later, effect.touches_later)
    effect.changes_later &= effect.uses_later
    effect.touches_later &= effect.uses_later
    match statement:
        case ast.Expr(value=value):  # its value is not kept, so it may be there for what it does
            effect.touches |= effect.now
            called = [n.func for n in ast.walk(value) if isinstance(n, ast.Call)]
            if called and all(isinstance(function, ast.Attribute) for function in called):
                effect.sets |= _names_of(value)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            decorators = [
                d.func if isinstance(d, ast.Call) else d for d in statement.decorator_list
            ]
            effect.calls |= {d.id for d in decorators if isinstance(d, ast.Name)}
            effect.fixed = True
        case ast.Import(names=names):  # `import a.b` and `import a.c` make one name together
            effect.maybe |= {n.name.partition(".")[0] for n in names if not n.asname}
            effect.maybe -= {n.name for n in names}
            effect.fixed = True
        case ast.ImportFrom():
            effect.fixed = True
        case ast.Assign(value=value) | ast.AnnAssign(value=value):
            effect.fixed = all(isinstance(n, _CONSTANTS) for n in ast.walk(value))
    if isinstance(statement, COMPOUND):  # it may not run, or end early
        effect.maybe |= effect.binds
    return effect


def _inner_names(tables: Iterable[symtable.SymbolTable], effect: Effects, called: bool) -> None:
    """Collect the global names in functions, classes and comprehensions, however deep.

    called: whether this is in a function, so that it happens when the function is called.
    """
    for table in tables:
        function = table.get_type() == "function"
        lazy = called or (function and table.get_name() not in _COMPREHENSIONS)
        for symbol in table.get_symbols():
            name = symbol.get_name()
            # In a class, `rate = rate` reads the global one.
            of_class = not function and symbol.is_assigned()
            if symbol.is_referenced() and (symbol.is_global() or of_class):
                (effect.uses_later if lazy else effect.now).add(name)
                if table.get_name() == "genexpr":
                    effect.uses_later.add(name)
            if symbol.is_assigned() and symbol.is_global():
                (effect.binds_later if lazy else effect.binds).add(name)
                effect.maybe.add(name)
                if lazy:  # it may build on the old value, as `k += 1` does
                    effect.uses_later.add(name)
        _inner_names(table.get_children(), effect, lazy)


def _running(statement: ast.AST, bodies: list[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes that are evaluated when the statement runs; put functions' bodies aside."""
    todo = [statement]
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, (*FUNCTIONS, ast.Lambda)):
            bodies += [node.body] if isinstance(node, ast.Lambda) else node.body
            todo += [node.args, *getattr(node, "decorator_list", ())]
        else:
            todo += ast.iter_child_nodes(node)


def _in_place(node: ast.AST, effect: Effects, changes: set[str], touches: set[str]) -> None:
    """Collect what a node changes in place: by an assignment to a part, or by a call."""
    match node:
        case (
            ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del())
        ):
            changes |= _names_of(node.value)
        case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[of, *_]):
            changes |= _names_of(of)
        case ast.Call(func=ast.Name(id="next"), args=[of, *_]):
            touches |= _names_of(of)
        case ast.AugAssign(target=ast.Name(id=name)):
            touches.add(name)
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))) if name in _NOT_PARTS:
            pass
        # A call for its effect, such as `losses.append(x)` or `shuffle(words)`.
        case ast.Expr(value=ast.Call(func=function) as call):
            if isinstance(function, ast.Attribute):
                touches |= _names_of(function.value)
            elif isinstance(function, ast.Name) and changes is effect.changes:
                effect.calls.add(function.id)
            for argument in (*call.args, *(k.value for k in call.keywords)):
                touches |= _names_of(argument)
        case ast.Call(func=ast.Attribute(value=of, attr=method)):
            if method in _CHANGE or (method.endswith("_") and not method.endswith("__")):
                touches |= _names_of(of)


def _bindings(node: ast.AST, effect: Effects) -> None:
    """Collect what the values are made of that a node gives to names."""
    targets, value = [], None
    match node:
        case ast.Assign():
            targets, value = node.targets, node.value
        case ast.AnnAssign() | ast.NamedExpr():
            targets, value = [node.target], node.value
            if isinstance(node, ast.NamedExpr):  # behind an `and`, it may not run
                effect.maybe.add(node.target.id)
        case ast.For() | ast.AsyncFor():
            targets, value = [node.target], node.iter
        case ast.withitem(optional_vars=ast.expr() as target):
            targets, value = [target], node.context_expr
        case ast.ImportFrom(names=[ast.alias(name="*")]):
            effect.binds.add(ANY)
            effect.maybe.add(ANY)
        case ast.Call(func=ast.Name(id=name)) if name in _WRITES_NAMES:
            effect.binds.add(ANY)
            effect.maybe.add(ANY)
        case ast.Delete():
            effect.now |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    for name in {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}:
        effect.parts.setdefault(name, set()).update(_names_of(value, calls=False))
        effect.comes_from.setdefault(name, set()).update(_names_of(value))


def _names_of(node: ast.AST | None, calls: bool = True) -> set[str]:
    """Return the names that an expression is, or gives a part of, or holds.

    calls: whether what a method returns is part of its object, as in `model.parameters()`.
    """
    match node:
        case ast.Name():
            return {node.id}
        case ast.Attribute() | ast.Subscript() | ast.Starred() | ast.NamedExpr() | ast.Await():
            inside = [node.value]
        case ast.Call(func=ast.Attribute() as method) if calls:
            inside = [method]
        case ast.Call(func=ast.Name(id="zip" | "enumerate" | "reversed" | "list")) if calls:
            inside = node.args
        case ast.Tuple() | ast.List() | ast.Set():
            inside = node.elts
        case ast.Dict() | ast.BoolOp():
            inside = node.values
        case ast.IfExp():
            inside = [node.body, node.orelse]
        case _:
            inside = []
    return set().union(*(_names_of(part, calls) for part in inside))


def acts(node: ast.stmt) -> bool:
    """Return whether a statement does more than to print or to check."""
    if not isinstance(node, ast.Expr) or any(isinstance(n, ast.NamedExpr) for n in ast.walk(node)):
        return True
    match node.value:
        case ast.Call(func=ast.Name(id=name)):
            return name not in _NOT_PARTS
    return not isinstance(node.value, (ast.Name, ast.Constant))
