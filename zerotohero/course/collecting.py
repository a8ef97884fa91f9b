"""From the cells of a notebook to the source of an answer: all that it needs, and little else.

    History(cells).source(["softmax"])  # None if it is not defined

An answer may need any statement that ran before: a helper, a constant, an import, an older
version of itself that another name still holds, a patch of a class. A broken plot or an hour of
training beside them must not come along. So statements are followed in the order in which they
ran: what each binds, what it changes in place, what it uses when it runs, and what the functions
that it defines will use when they are called. Of a name, the statements are taken that bound the
value which it had *when it was used*, and those that changed this value since.

It is a reading of the source and runs nothing, so it has limits: what a function that is called
changes elsewhere is followed for calls that stand alone (`register(f)`), and no further.
"""

import ast
import bisect
from collections.abc import Iterable, Mapping, Sequence

from zerotohero.course.cells import statements
from zerotohero.course.effects import ANY, FUNCTIONS, acts, effects

_IMPORTS = (ast.Import, ast.ImportFrom)


class History:
    """The statements of cells in the order in which they ran, and how they build on each other.

    stopped: by a cell's place among the cells, where it failed (see `cells.statements`).
    """

    def __init__(self, cells: Iterable[str], stopped: Mapping[int, Sequence[int]] | None = None):
        stopped = stopped or {}
        ran = [s for i, cell in enumerate(cells) for s in statements(cell, stopped.get(i, ()))]
        self.nodes = [node for node, _ in ran]
        self.sources = [_runnable(node, source) for node, source in ran]
        self.effects = [effects(node) for node in self.nodes]
        # For each name, from which statement on which statements have bound its value.
        self._bound: dict[str, list[tuple[int, tuple[int, ...]]]] = {}
        # For each statement, those that have changed what it bound.
        self._changers: list[list[int]] = []
        imports: dict[str, list[int]] = {}
        for i, (node, effect) in enumerate(zip(self.nodes, self.effects, strict=True)):
            # An import that is run again gives the same object, with all that was done to it.
            same = imports.setdefault(self.sources[i], []) if isinstance(node, _IMPORTS) else []
            self._changers.append(same)
            self._follow_calls(i)
            sets = effect.sets if self._is_setting(i) else set()
            for name in effect.changes | effect.touches:
                for site in self._owners(name, i, by_name=name in effect.changes | sets):
                    self._changers[site].append(i)
            for name in effect.binds:
                before = self._sites(name, i) if name in effect.maybe else ()
                self._bound.setdefault(name, []).append((i + 1, (*before, i)))
            if ANY in effect.binds:
                for name in set(self._bound) - effect.binds:
                    self._bound[name].append((i + 1, (*self._sites(name, i), i)))

    def source(
        self, names: Sequence[str], instead: Mapping[str, ast.expr] | None = None
    ) -> str | None:
        """Return the source that defines `names` as they are at the end; None if one is undefined.

        instead: for some of the names an expression that gives the answer in their place.
        """
        instead = instead or {}
        end, wanted = len(self.nodes), [name for name in names if name not in instead]
        if not all(self.defines(name) for name in wanted):
            return None
        for expression in instead.values():
            used = effects(ast.Return(expression))
            wanted += used.now | used.uses_later
        taken = {i for i, node in enumerate(self.nodes) if _is_future(node)}
        seen: set[tuple[int, int]] = set()
        todo = [(site, end) for name in wanted for site in self._sites(name, end)]
        while todo:  # a statement, and the moment at which what it bound is used
            site, moment = todo.pop()
            if (site, moment) in seen:
                continue
            seen.add((site, moment))
            taken.add(site)
            effect = self.effects[site]
            for name in effect.now:
                for source in self._sites(name, site):
                    todo += [(source, site), (source, moment)]  # which the value may hold
            for name in effect.uses_later:
                todo += [(source, moment) for source in self._sites(name, moment)]
            for i in self._changers[site]:
                # To try an answer is no part of it, whatever it leaves behind.
                if i < moment and not self.effects[i].calls & set(names):
                    todo.append((i, moment))
        parts = [self.sources[i] for i in sorted(taken)]
        renamed = [f"{name} = {ast.unparse(e)}" for name, e in instead.items()]
        return "\n\n".join([*parts, *renamed]) + "\n"

    def everything(self) -> str:
        """Return all that ran, but for checks and what is printed."""
        return "\n\n".join(s for n, s in zip(self.nodes, self.sources, strict=True) if acts(n))

    def defines(self, name: str, after: int = -1) -> bool:
        """Return whether the name has a value at the end, bound by a statement after that one."""
        sites = [s for s in self._sites(name, len(self.nodes)) if ANY not in self.effects[s].binds]
        return any(s > after and not isinstance(self.nodes[s], ast.Delete) for s in sites)

    def _sites(self, name: str, moment: int) -> tuple[int, ...]:
        """Return the statements that may have bound the value that the name has before `moment`."""
        for key in (name, ANY):
            bound = self._bound.get(key, [])
            if found := bisect.bisect_right(bound, moment, key=lambda entry: entry[0]):
                return bound[found - 1][1]
        return ()

    def _owners(self, name: str, moment: int, by_name: bool) -> set[int]:
        """Return the statements that bound the value of the name, and what this value is part of.

        by_name: also where that is fixed, as in `Value.exp = exp`.
        """
        owners, seen = set(), set()
        todo = [(site, name, by_name) for site in self._sites(name, moment)]
        if name in self.effects[moment].binds:  # as in `for row in table: row[0] = 1`
            todo.append((moment, name, by_name))
        while todo:
            site, name, by_name = todo.pop()
            if (site, name, by_name) in seen:
                continue
            seen.add((site, name, by_name))
            effect = self.effects[site]
            if by_name or not effect.fixed:
                owners.add(site)
            for part in effect.parts.get(name, ()):
                todo += [(s, part, by_name) for s in self._sites(part, site)]
            for source in effect.comes_from.get(name, ()):
                todo += [(s, source, False) for s in self._sites(source, site)]
        return owners - {moment}

    def _is_setting(self, i: int) -> bool:
        """Return whether a call on a module or class has only fixed arguments: `sys.set…(10**6)`.

        Else it is there for what it is given, as in `torch.save(model, path)`.
        """
        given = (s for name in self.effects[i].now for s in self._sites(name, i))
        return all(self.effects[site].fixed for site in given)

    def _follow_calls(self, i: int) -> None:
        """Add to a statement's effects those of the functions that it calls for their effect."""
        effect, seen = self.effects[i], set()
        todo = [site for name in effect.calls for site in self._sites(name, i)]
        while todo:
            site = todo.pop()
            if site in seen or not isinstance(self.nodes[site], FUNCTIONS):
                continue
            seen.add(site)
            called = self.effects[site]
            effect.binds |= called.binds_later
            effect.maybe |= called.binds_later
            effect.changes |= called.changes_later
            effect.touches |= called.touches_later
            todo += [s for name in called.uses_later for s in self._sites(name, i)]


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _runnable(node: ast.stmt, source: str) -> str:
    """Return the source as plain Python runs it: notebooks allow `await` outside of functions."""
    try:
        compile(ast.Module([node], []), "cell", "exec", dont_inherit=True)
        return source
    except SyntaxError:
        names = ast.Global(sorted(effects(node).binds))
        body = [names, node] if names.names else [node]
        awaited = ast.parse("async def _awaited():\n    pass\nimport asyncio").body
        awaited[0].body = body
        return f"{ast.unparse(awaited)}\nasyncio.run(_awaited())"
