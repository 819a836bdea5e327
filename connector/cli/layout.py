"""Tables: columns that give way when a terminal is narrow, and never do in a pipe."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GAP = 2


class Styled(NamedTuple):
    """A piece of a line with a style of its own; in a pipe it is its text alone."""

    text: str
    style: str


class Brief(str):
    """A text that is cut at the end where its column wraps the others."""

    __slots__ = ()


Part = str | Styled


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    `give`: what happens to its text when there is no room: it is kept whole, cut at the end or in the middle, or
    wrapped over several lines, down to `least` characters. Columns with `drop` leave when that is not enough, 1 first.
    """

    title: str
    align: Literal["left", "right"] = "left"
    give: Literal["nothing", "end", "middle", "wrap"] = "nothing"
    least: int = 8
    drop: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows; each cell is a text, with or without a style."""

    columns: Sequence[Column]
    rows: list[Sequence[Part]] = field(default_factory=list)

    def add(self, *cells: Part) -> None:
        """Nothing, after adding a row."""
        self.rows.append(cells)

    def lines(self, available: int | None, title_style: str = "") -> Iterator[list[Part]]:
        """Each line as its pieces, within `available` characters as far as that goes; None is a pipe."""
        titled = any(column.title for column in self.columns)
        rows: list[Sequence[Part]] = [*self.rows]
        if titled:
            rows.insert(0, [Styled(column.title, title_style) for column in self.columns])
        natural = [max((width(text_of(row[at])) for row in rows), default=0) for at in range(len(self.columns))]
        widths = natural if available is None else fit(self.columns, natural, available)
        shown = [at for at, wide in enumerate(widths) if wide > 0]
        for row in rows:
            yield from _row_lines([(row[at], self.columns[at], widths[at]) for at in shown])


def fit(columns: Sequence[Column], natural: Sequence[int], available: int) -> list[int]:
    """The width of each column; 0 for one that had to leave."""
    widths = list(natural)
    by_drop = sorted((column.drop, at) for at, column in enumerate(columns) if column.drop)
    while True:
        here = [at for at, wide in enumerate(widths) if wide > 0]
        excess = sum(widths[at] for at in here) + GAP * (len(here) - 1) - available
        yielding = {at: min(columns[at].least, widths[at]) for at in here if columns[at].give != "nothing"}
        room = sum(widths[at] - least for at, least in yielding.items())
        if excess <= room or not by_drop:
            break
        widths[by_drop.pop(0)[1]] = 0
    for _ in range(max(0, min(excess, room))):
        widest = max(yielding, key=lambda at: (widths[at] > yielding[at], widths[at]))
        widths[widest] -= 1
    return widths


def text_of(part: Part) -> str:
    """The text of a piece."""
    return part if isinstance(part, str) else part.text


def width(text: str) -> int:
    """How many characters of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def _row_lines(cells: Sequence[tuple[Part, Column, int]]) -> Iterator[list[Part]]:
    """A row over as many lines as its tallest cell takes; nothing stands behind the last text of a line."""
    pieces = [_pieces(text_of(cell), _give(cell, column), wide) for cell, column, wide in cells]
    for at in range(max((len(each) for each in pieces), default=1)):
        line: list[Part] = []
        blank = 0
        for (cell, column, wide), texts in zip(cells, pieces, strict=True):
            text = texts[at] if at < len(texts) else ""
            pad = wide - width(text)
            before, after = (pad, 0) if column.align == "right" else (0, pad)
            if text:
                line.append(" " * (blank + before))
                line.append(Styled(text, cell.style) if isinstance(cell, Styled) else text)
                blank = 0
            else:
                after = wide
            blank += after + GAP
        yield line


def _give(cell: Part, column: Column) -> str:
    return "end" if isinstance(cell, Brief) and column.give == "wrap" else column.give


def _pieces(text: str, give: str, wide: int) -> list[str]:
    """The text in lines that fit; tabs become spaces, and so do line ends unless it is wrapped."""
    text = text.replace("\t", " ")
    if give == "wrap" and (width(text) > wide or "\n" in text):
        return [piece for line in text.split("\n") for piece in wrapped(line, wide)] or [""]
    text = " ".join(text.splitlines()) if "\n" in text or "\r" in text else text
    if give == "nothing" or width(text) <= wide:
        return [text]
    if give == "end":
        return [_first(text, wide - 1) + "…"]
    tail = (wide - 1) * 2 // 3
    return [_first(text, wide - 1 - tail) + "…" + _first(text[::-1], tail)[::-1]]


def wrapped(text: str, wide: int) -> list[str]:
    """The text in lines of at most `wide` characters, broken between words; a longer word is broken inside."""
    lines: list[str] = []
    line = ""
    indent = len(text) - len(text.lstrip(" "))
    first, *others = text[indent:].split(" ")
    for word in (text[:indent] + first, *others):
        joined = f"{line} {word}" if line else word
        if width(joined) <= wide:
            line = joined
            continue
        if line:
            lines.append(line)
        rest = word
        while width(rest) > wide:
            head = _first(rest, wide) or rest[0]
            lines.append(head)
            rest = rest[len(head) :]
        line = rest
    return [*lines, line] if line or not lines else lines


def _first(text: str, wide: int) -> str:
    """The longest beginning that takes at most `wide` characters."""
    taken = 0
    for at, each in enumerate(text):
        taken += width(each)
        if taken > wide:
            return text[:at]
    return text
