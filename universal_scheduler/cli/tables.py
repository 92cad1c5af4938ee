"""Tables that people can read at any width: no name is broken, and no state is cut if it fits on one line.

The columns of a table are in the order of their importance. If they do not all fit into the width,

1. a long name (first column) gets a line of its own, above the rest of its row,
2. the prose of the last column is wrapped between words inside its column, or
3. columns leave the table, the last column first: their values stand below the row, as `column: value`.

In a pipe the width is not limited (`console.make_console`), so that a row is always one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

from universal_scheduler.cli.printable import printable

GAP = 2
INDENT = 4
PROSE_WIDTH = 30
"""The smallest width to which prose is wrapped."""

Cell = str | Text


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Its text may be wrapped between words if it is `prose`."""

    name: str
    right: bool = False
    prose: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    cells: tuple[Text, ...]
    interest: int


def number(name: str) -> Column:
    return Column(name, right=True)


def prose(name: str) -> Column:
    return Column(name, prose=True)


class Table:
    """Rows under columns. Any rich console can print it."""

    def __init__(
        self,
        *columns: str | Column,
        title: Cell | None = None,
        height: int | None = None,
        caption: Callable[[int], str] = lambda _: "",
    ) -> None:
        """`height` is how many lines the rows may have together: of more, those of the lowest `interest` are shown.
        `caption` is what to say below, given how many rows are shown."""
        self.columns = [column if isinstance(column, Column) else Column(column) for column in columns]
        self.rows: list[Row] = []
        self._title = None if title is None else _text(title)
        self._height = height
        self._caption = caption

    def add_row(self, *cells: Cell, interest: int = 0) -> None:
        """Add a row. A text is shown as it is, without markup, and with escapes for control characters."""
        self.rows.append(Row(tuple(_text(cell) for cell in cells), interest))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        rows = self._first(len(self.rows) if self._height is None else max(1, self._height))
        layout = _Layout.of(self.columns, rows, options.max_width)
        if self._title is not None:
            yield from wrapped(console, self._title, options.max_width, style="bold")
        yield from layout.header("-" if options.ascii_only else "─")
        room = self._height
        shown = 0
        for row in rows:
            lines = list(layout.row(console, row))
            if room is not None:
                room -= len(lines)
                if room < 0 and shown:
                    break
            shown += 1
            yield from lines
        if caption := self._caption(shown):
            yield from wrapped(console, Text(caption), options.max_width, style="dim")
        yield Text("")

    def _first(self, count: int) -> Sequence[Row]:
        return self.rows if len(self.rows) <= count else sorted(self.rows, key=lambda row: row.interest)[:count]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns stand in the table, how wide, and which below each row."""

    columns: Sequence[Column]
    width: int
    """Of the screen."""
    widths: tuple[int, ...]
    """Of the columns that stand in the table: the first of them all."""

    @classmethod
    def of(cls, columns: Sequence[Column], rows: Sequence[Row], width: int) -> _Layout:
        natural = [max([cell_len(column.name), *_cells(rows, place)]) for place, column in enumerate(columns)]
        if _total(natural) <= width:
            return cls(columns, width, tuple(natural))
        kept = 1 if columns[1].prose else 2  # the name, and what it is at, never leave the table
        for limit in (width // 2, 0):  # of a name that stands beside the rest of its row
            natural[0] = max([cell_len(columns[0].name), *(size for size in _cells(rows, 0) if size <= limit)])
            for count in range(len(columns), kept - 1, -1):
                widths = natural[:count]
                if columns[count - 1].prose:
                    left = width - _total(natural[: count - 1]) - GAP
                    widths[-1] = min(widths[-1], max(left, PROSE_WIDTH))
                if _total(widths) <= width:
                    return cls(columns, width, tuple(widths))
        return cls(columns, width, tuple(natural[:kept]))

    def header(self, rule: str) -> Iterator[Text]:
        names = [Text(column.name, style="bold") for column in self.columns[: len(self.widths)]]
        yield self._line(names)
        yield Text(rule * min(self.width, _total(self.widths)), style="dim")

    def row(self, console: Console, row: Row) -> Iterator[Text]:
        count = len(self.widths)
        if self.columns[count - 1].prose and _longest_word(row.cells[count - 1]) > self.widths[-1]:
            count -= 1
        cells = list(row.cells[:count])
        if cell_len(cells[0].plain) > self.widths[0]:
            yield from wrapped(console, cells[0], self.width)
            cells[0] = Text("")
        if any(cells):
            parts = list(wrapped(console, cells[-1], self.widths[count - 1])) or [Text("")]
            yield self._line([*cells[:-1], parts[0]])
            for more in parts[1:]:
                yield self._line([*(Text("") for _ in cells[:-1]), more])
        yield from self._below(console, zip(self.columns[count:], row.cells[count:], strict=True))

    def _below(self, console: Console, left: Iterable[tuple[Column, Text]]) -> Iterator[Text]:
        """What has no column, as many on a line as fit."""
        line = Text(" " * INDENT)
        for column, cell in left:
            if not cell.plain:
                continue
            named = Text.assemble((f"{column.name}: ", "dim"), cell)
            if line.plain.strip() and line.cell_len + GAP + named.cell_len > self.width:
                yield line
                line = Text(" " * INDENT)
            if line.plain.strip():
                line.append(" " * GAP)
            if line.cell_len + named.cell_len <= self.width:
                line.append_text(named)
            else:
                for part in wrapped(console, named, self.width - INDENT):
                    yield Text.assemble(" " * INDENT, part)
        if line.plain.strip():
            yield line

    def _line(self, cells: Sequence[Text]) -> Text:
        line = Text()
        for column, width, cell in zip(self.columns, self.widths, cells, strict=False):
            space = " " * max(0, width - cell.cell_len)
            if line.cell_len or column is not self.columns[0]:
                line.append(" " * GAP)
            line.append(space if column.right else "")
            line.append_text(cell)
            line.append("" if column.right else space)
        line.rstrip()
        return line


def _text(cell: Cell) -> Text:
    if isinstance(cell, str):
        return Text(printable(cell))
    clean = printable(cell.plain)
    return cell if clean == cell.plain else Text(clean, style=cell.style)


def _cells(rows: Iterable[Row], place: int) -> Iterator[int]:
    return (cell_len(row.cells[place].plain) for row in rows)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _longest_word(cell: Text) -> int:
    return max((cell_len(word) for word in cell.plain.split()), default=0)


def wrapped(console: Console, text: Text, width: int, style: str = "") -> Iterator[Text]:
    """The text in lines of this width, broken between words. Only a word that is longer than a line is broken
    itself."""
    if style:
        text = Text.assemble(text, style=style)
    for line in text.wrap(console, max(1, width), overflow="fold", no_wrap=False):
        line.rstrip()
        yield line
