"""`Results`: the table that grows through a lecture, a row for each thing that was tried.

    results = Results("what", train_loss=".3f", dev_loss=".3f", seconds=".1f")
    results.add("knowing nothing", train_loss=3.296, dev_loss=3.296)
    results.add("counting", train_loss=2.454, dev_loss=2.455, seconds=0.1)   # as a cell's last line
    results[-1].dev_loss    # 2.455, for an assertion

Shown in a notebook, figures stand one under the other, and rows that are new since the table was
last shown are marked.
"""

import html
from types import SimpleNamespace
from typing import Any

CELL = "padding:2px 10px; font-variant-numeric:tabular-nums"
BOLD, MARK = "font-weight:bold", "border-left:3px solid #0072B2"


class Results:
    """A table of figures, each row with a name.

    first: the title of the first column, which holds the names.
    columns: the others, each with the format of its numbers; a title's _ is shown as a space.
    """

    def __init__(self, first: str, **columns: str):
        self.first, self.columns = first, columns
        self._rows: list[SimpleNamespace] = []
        self._shown = 0

    def add(self, name: str, **figures: float | None) -> "Results":
        """Add a row and return the table. What is left out, or None, stays an empty cell.

        Raises ValueError for a figure without a column.
        """
        if unknown := [title for title in figures if title not in self.columns]:
            raise ValueError(
                f"There is no column {unknown[0]}; the columns are {', '.join(self.columns)}."
            )
        self._rows.append(SimpleNamespace(name=name, **dict.fromkeys(self.columns) | figures))
        return self

    def __getitem__(self, i: int) -> SimpleNamespace:
        """Return the i-th row, with its figures as attributes."""
        return self._rows[i]

    def __len__(self) -> int:
        return len(self._rows)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        bundle = {"text/html": self._html(), "text/plain": repr(self)}
        self._shown = len(self._rows)
        return bundle

    def __repr__(self) -> str:
        table = [[self.first, *self._titles()], *([r.name, *self._cells(r)] for r in self._rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for i, (name, *cells) in enumerate(table):
            mark = "> " if i > self._shown else "  "
            numbers = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
            lines.append((mark + "   ".join([name.ljust(widths[0]), *numbers])).rstrip())
        return "\n".join(lines)

    def _titles(self) -> list[str]:
        return [title.replace("_", " ") for title in self.columns]

    def _cells(self, row: SimpleNamespace) -> list[str]:
        figures = [(getattr(row, title), style) for title, style in self.columns.items()]
        return ["" if figure is None else _shown(figure, style) for figure, style in figures]

    def _html(self) -> str:
        def line(tag: str, name: str, cells: list[str], new: bool = False) -> str:
            bold, more = (BOLD, f"{BOLD}; {MARK}") if new else ("", "")
            rest = "".join(
                f'<{tag} style="{CELL}; text-align:right; {bold}">{html.escape(cell)}</{tag}>'
                for cell in cells
            )
            first = f'<{tag} style="{CELL}; text-align:left; {more}">{html.escape(name)}</{tag}>'
            return f"<tr>{first}{rest}</tr>"

        rows = [
            line("td", row.name, self._cells(row), i >= self._shown)
            for i, row in enumerate(self._rows)
        ]
        head = line("th", self.first, self._titles())
        return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _shown(figure: float, style: str) -> str:
    """The figure in its format; what is rounded to zero has no sign."""
    text = format(figure, style)
    return text if any(digit in text for digit in "123456789n") else text.lstrip("-")
