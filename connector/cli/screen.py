"""Where output goes and how it is laid out.

Results go to stdout; progress, warnings and errors to stderr. A terminal gets colour and tables that fit its width, a
pipe gets plain lines that are never cut. With `--json` stdout gets one JSON document and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import IO, TYPE_CHECKING, Any

from connector.cli.layout import Styled, text_of, width, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from connector.cli.layout import Part, Table

MINIMUM_WIDTH = 20
_MEMBER = re.compile(r'(\s*)("(?:[^"\\]|\\.)*")(: ?|)(.*)')


# What comes from rows and replies may steer a terminal: each control character is shown as its picture.
_CONTROLS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"}
_CONTROLS |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
GOOD, WARN, BAD, DIM, STRONG, NAME = "green", "yellow", "red", "dim", "bold", "cyan"


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
        text = "".join(text_of(part) for part in parts)
        if not self.terminal:
            self.write(" " * indent + text + "\n")
            return
        if indent + width(text) <= self.width:
            self._print([" " * indent, *parts])
            return
        start = 0
        for at, piece in enumerate(_broken(text, self.width - indent, hang)):
            self._print([" " * (indent + (hang if at else 0)), *_between(parts, start, start + len(piece))])
            start += len(piece)
            start += text[start : start + 1] == " "

    def raw(self, text: str) -> None:
        """Nothing, after the text exactly as it is, and a line end: nothing wrapped, nothing coloured."""
        self.write(text + "\n")

    def table(self, table: Table, *, indent: int = 0) -> None:
        """Nothing, after the table; without a header when no column has a title."""
        available = self.width - indent if self.terminal else None
        for parts in table.lines(available, DIM):
            if self.terminal:
                self._print([" " * indent, *parts])
            else:
                self.write((" " * indent + "".join(text_of(part) for part in parts)).rstrip() + "\n")

    def json_text(self, text: str, *, indent: int = 0) -> None:
        """Nothing, after JSON text in colours on a terminal; as it is in a pipe."""
        if not self.terminal:
            for line in text.splitlines():
                self.write(" " * indent + line + "\n")
            return
        for line in text.splitlines():
            self.line(*_coloured(line), indent=indent, hang=4)

    def write(self, text: str) -> None:
        """Nothing, after writing. Once the reader of a pipe is gone, what follows is dropped."""
        if self.gone:
            return
        try:
            self.file.write(text)
            self.file.flush()
        except BrokenPipeError:
            self._reader_is_gone()

    def _print(self, parts: Iterable[Part]) -> None:
        from rich.text import Text  # noqa: PLC0415 - start-up

        if self.gone:
            return
        text = Text(no_wrap=True, overflow="ignore")
        for part in parts:
            text.append(text_of(part).translate(_CONTROLS), style=part.style if isinstance(part, Styled) else None)
        try:
            self.console.print(text, crop=False)
        except BrokenPipeError:
            self._reader_is_gone()

    def _reader_is_gone(self) -> None:
        """Later writes, and the flush when Python ends, go nowhere instead of failing again."""
        self.gone = True
        if self.file is sys.stdout or self.file is sys.stderr:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


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


def _broken(text: str, wide: int, hang: int) -> list[str]:
    """The text in lines, all but the first one `hang` characters shorter."""
    first, *others = wrapped(text, max(wide, MINIMUM_WIDTH))
    rest = text[len(first) :].removeprefix(" ")
    return [first, *wrapped(rest, max(wide - hang, MINIMUM_WIDTH))] if others else [first]


def _between(parts: Sequence[Part], start: int, stop: int) -> list[Part]:
    """The characters from `start` up to `stop` of the line, each piece with its style."""
    found: list[Part] = []
    at = 0
    for part in parts:
        text = text_of(part)
        inside = text[max(start - at, 0) : max(stop - at, 0)]
        if inside:
            found.append(Styled(inside, part.style) if isinstance(part, Styled) else inside)
        at += len(text)
    return found


def _coloured(line: str) -> list[Part]:
    """A line of pretty JSON: its name and, where it is a text, its value in colours."""
    match = _MEMBER.fullmatch(line)
    if match is None:
        return [line]
    indent, name, colon, value = match.groups()
    parts: list[Part] = [indent, Styled(name, NAME) if colon else Styled(name, GOOD), colon]
    return [*parts, Styled(value, GOOD) if value.startswith('"') else value]
