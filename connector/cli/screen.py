"""Where output goes and how it is laid out.

Results go to stdout; progress, warnings and errors to stderr. A terminal gets colour and tables that fit its width, a
pipe gets plain lines that are never cut. With `--json` stdout gets one JSON document and nothing else.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console


class Styled(NamedTuple):
    """A piece of a line with a style of its own; in a pipe it is its text alone."""

    text: str
    style: str


Part = str | Styled

GOOD, WARN, BAD, DIM, STRONG, NAME = "green", "yellow", "red", "dim", "bold", "cyan"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `cut`: on a narrow terminal its text ends in `…`; otherwise it is wrapped or kept whole."""

    title: str
    align: Literal["left", "right"] = "left"
    wide: Literal["keep", "cut", "wrap"] = "keep"
    least: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows; each cell is a text, with or without a style."""

    columns: Sequence[Column]
    rows: list[Sequence[Part]] = field(default_factory=list)

    def add(self, *cells: Part) -> None:
        """Nothing, after adding a row."""
        self.rows.append(cells)


class Stream:
    """One of the two outputs."""

    def __init__(self, file: IO[str]) -> None:
        """Write to `file`; whether it is a terminal decides on colour, width and tables."""
        self.file = file
        self.terminal = file.isatty()
        self.gone = False
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """The terminal as rich knows it."""
        if self._console is None:
            from rich.console import Console  # noqa: PLC0415 - start-up: a pipe does not need it

            self._console = Console(file=self.file, highlight=False, emoji=False, markup=False, soft_wrap=False)
        return self._console

    @property
    def width(self) -> int:
        """Characters a line; for a pipe more than anything takes."""
        return self.console.width if self.terminal else 1_000_000

    def line(self, *parts: Part, indent: int = 0, hang: int = 0) -> None:
        """Nothing, after a line. On a terminal it is wrapped between words, later lines `hang` further in."""
        if not self.terminal:
            self.write(" " * indent + "".join(_text(part) for part in parts) + "\n")
            return
        from rich.padding import Padding  # noqa: PLC0415 - start-up

        if hang == 0 or indent + sum(len(_text(part)) for part in parts) <= self.width:
            self._print(Padding(_rich(parts), (0, 0, 0, indent)) if indent else _rich(parts))
            return
        lines = _rich(parts).wrap(self.console, max(self.width - indent - hang, 20), no_wrap=False)
        for at, wrapped in enumerate(lines):
            wrapped.rstrip()
            self._print(Padding(wrapped, (0, 0, 0, indent + (hang if at else 0))))

    def raw(self, text: str) -> None:
        """Nothing, after the text exactly as it is, and a line end: nothing wrapped, nothing coloured."""
        self.write(text + "\n")

    def table(self, table: Table, *, indent: int = 0) -> None:
        """Nothing, after the table; without a header when no column has a title."""
        if self.terminal:
            self._rich_table(table, indent)
            return
        titled = any(column.title for column in table.columns)
        cells = [[_text(cell) for cell in row] for row in table.rows]
        if titled:
            cells.insert(0, [column.title for column in table.columns])
        widths = [max((len(row[at]) for row in cells), default=0) for at in range(len(table.columns))]
        for row in cells:
            placed = (
                cell.rjust(width) if column.align == "right" else cell.ljust(width)
                for cell, column, width in zip(row, table.columns, widths, strict=True)
            )
            self.write((" " * indent + "  ".join(placed)).rstrip() + "\n")

    def json_text(self, text: str, *, indent: int = 0) -> None:
        """Nothing, after JSON text in colours on a terminal; as it is in a pipe."""
        if not self.terminal:
            for line in text.splitlines():
                self.write(" " * indent + line + "\n")
            return
        from rich.padding import Padding  # noqa: PLC0415 - start-up
        from rich.text import Text  # noqa: PLC0415

        shown = Text(text)
        shown.highlight_regex(r'"(?:[^"\\]|\\.)*"(?=\s*:)', NAME)
        shown.highlight_regex(r'(?<=: )"(?:[^"\\]|\\.)*"', GOOD)
        self._print(Padding(shown, (0, 0, 0, indent)))

    def write(self, text: str) -> None:
        """Nothing, after writing. Once the reader of a pipe is gone, what follows is dropped."""
        if self.gone:
            return
        try:
            self.file.write(text)
            self.file.flush()
        except BrokenPipeError:
            self._reader_is_gone()

    def _print(self, renderable: Any) -> None:
        if self.gone:
            return
        try:
            self.console.print(renderable)
        except BrokenPipeError:
            self._reader_is_gone()

    def _reader_is_gone(self) -> None:
        """Later writes, and the flush when Python ends, go nowhere instead of failing again."""
        self.gone = True
        if self.file is sys.stdout or self.file is sys.stderr:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())

    def _rich_table(self, table: Table, indent: int) -> None:
        from rich.padding import Padding  # noqa: PLC0415 - start-up
        from rich.table import Table as RichTable  # noqa: PLC0415

        titled = any(column.title for column in table.columns)
        drawn = RichTable(box=None, show_header=titled, header_style=DIM, pad_edge=False, padding=(0, 2, 0, 0))
        for column in table.columns:
            drawn.add_column(
                column.title,
                justify=column.align,
                no_wrap=column.wide != "wrap",
                overflow="ellipsis" if column.wide == "cut" else "fold",
                min_width=column.least or None,
            )
        for row in table.rows:
            drawn.add_row(*(_rich([cell]) for cell in row))
        self._print(Padding(drawn, (0, 0, 0, indent)))


class Screen:
    """Both outputs of a command, and whether stdout is for a program."""

    def __init__(self, *, as_json: bool = False, out: IO[str] | None = None, err: IO[str] | None = None) -> None:
        """Write to the process's own outputs unless told otherwise."""
        self.as_json = as_json
        self.out = Stream(out or sys.stdout)
        self.err = Stream(err or sys.stderr)

    @property
    def people(self) -> Stream:
        """Where text for people goes: stdout, or stderr when stdout is for a program."""
        return self.err if self.as_json else self.out

    def document(self, value: Any) -> None:
        """Nothing, after the JSON document that stands alone on stdout."""
        self.out.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def pretty(value: Any) -> str:
    """A JSON value over several lines."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def compact(value: Any) -> str:
    """A JSON value on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _text(part: Part) -> str:
    return part if isinstance(part, str) else part.text


def _rich(parts: Iterable[Part]) -> Any:
    from rich.text import Text  # noqa: PLC0415 - start-up

    text = Text()
    for part in parts:
        if isinstance(part, str):
            text.append(part)
        else:
            text.append(part.text, style=part.style)
    return text
