"""What a person sees on a terminal: colours, bars, and tables that fit its width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from typing import TYPE_CHECKING

import pytest

from connector.cli.layout import Brief, Column, Styled, Table, text_of, width, wrapped
from tests.e2e.project import CONNECTOR

if TYPE_CHECKING:
    from tests.e2e.project import Scene

COLUMNS = [
    Column("key", give="wrap", least=6),
    Column("at", drop=1),
    Column("count", align="right"),
    Column("path", give="middle", least=8),
    Column("what", give="end", least=8),
]
ROW = ("a-rather-long-key", "06:00:00", "1,234", "POST /api/v1/metadata/account/custom/value", "not found in Pendo")


def drawn(table: Table, available: int | None) -> list[str]:
    return ["".join(text_of(part) for part in line) for line in table.lines(available)]


def on_a_terminal(columns: int, *words: str, answer: bytes = b"") -> str:
    """What a command writes to a terminal of that width, without its colours; `answer` is typed into it."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    process = subprocess.Popen([*CONNECTOR, *words], stdin=child, stdout=child, stderr=child, env=environment)
    os.close(child)
    os.write(parent, answer)
    written = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not piece:
            break
        written += piece
    process.wait(timeout=30)
    os.close(parent)
    return written.decode()


def plain(text: str) -> list[str]:
    """The lines without control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n").split("\n")


@pytest.mark.parametrize("columns", [80, 140])
def test_nothing_is_wider_than_the_terminal(troubled: Scene, columns: int) -> None:
    project = ["--project", str(troubled.root)]
    troubled.sandbox.add_faults({"path": "/api/v1/metadata/account/custom/value", "latency_ms": 500})
    ran = on_a_terminal(columns, "run", "accounts", *project)
    looked = on_a_terminal(columns, "log", *project)
    lines = plain(looked)

    assert "sending" in ran
    assert "/5 rows" in ran
    assert "\x1b[33mwarning\x1b[0m" in ran
    assert "\x1b[" in looked
    assert max(width(line) for line in lines if "connector --project" not in line) <= columns
    assert any("not found in Pendo" in line for line in lines)


def test_a_long_body_is_cut_on_a_terminal_and_whole_in_a_pipe(world: Scene) -> None:
    world.accounts(100)
    shown = on_a_terminal(80, "plan", "accounts", "--project", str(world.root))
    piped = subprocess.run(
        [*CONNECTOR, "plan", "accounts", "--project", str(world.root)], capture_output=True, text=True, check=True
    )

    assert "more characters; a pipe and --json get all" in shown
    assert "5 rows of 100 shown" in shown
    assert '"acct-99"' in piped.stdout


@pytest.mark.parametrize(("answer", "code_word"), [(b"n\n", "cancelled"), (b"y\n", "forgotten")])
def test_a_reset_asks_first(world: Scene, answer: bytes, code_word: str) -> None:
    world.run("events")
    shown = on_a_terminal(80, "reset", "events", "--project", str(world.root), answer=answer)

    assert "Pendo then has every event twice. Go on?" in shown
    assert code_word in shown


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        (
            None,
            [
                "key                at        count  path                                        what",
                "a-rather-long-key  06:00:00  1,234  POST /api/v1/metadata/account/custom/value  not found in Pendo",
            ],
        ),
        (
            60,
            [
                "key            at        count  path           what",
                "a-rather-long  06:00:00  1,234  POST…om/value  not found in…",
                "-key",
            ],
        ),
        (
            40,
            [
                "key        count  path        what",
                "a-rather-  1,234  POS…/value  not found…",
                "long-key",
            ],
        ),
    ],
)
def test_columns_give_way_when_there_is_no_room(available: int | None, expected: list[str]) -> None:
    table = Table(COLUMNS)
    table.add(*ROW)

    assert drawn(table, available) == expected


def test_a_table_without_titles_has_no_header() -> None:
    table = Table([Column(""), Column("", align="right")])
    table.add("rows", Styled("3", "green"))
    table.add("", "12")

    assert drawn(table, 40) == ["rows   3", "      12"]


def test_a_brief_text_is_cut_where_others_are_wrapped() -> None:
    table = Table([Column("why", give="wrap", least=10)])
    table.add("one two three four")
    table.add(Brief("one two three four"))

    assert drawn(table, 10) == ["why", "one two", "three four", "one two t…"]


@pytest.mark.parametrize(
    ("text", "wide", "lines"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("  in and out", 8, ["  in and", "out"]),
        ("", 5, [""]),
        ("日本語の文", 4, ["日本", "語の", "文"]),
        ("a ", 5, ["a "]),
    ],
)
def test_text_is_wrapped_by_what_it_takes_on_the_screen(text: str, wide: int, lines: list[str]) -> None:
    assert wrapped(text, wide) == lines
