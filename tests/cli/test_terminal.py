"""What a person sees on a terminal: colours, bars, and tables that fit its width."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from connector.cli.layout import Brief, Column, Styled, Table, text_of, width, wrapped
from tests.e2e.project import CONNECTOR, OBJECT_SYNC

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Cli, Terminal
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


def on_a_real_terminal(answer: bytes, *words: str) -> str:
    """What a command writes to a pseudo-terminal; `answer` is typed into it."""
    parent, child = pty.openpty()
    process = subprocess.Popen([*CONNECTOR, *words], stdin=child, stdout=child, stderr=child)
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


@pytest.mark.parametrize("columns", [80, 140])
def test_nothing_is_wider_than_the_terminal(troubled: Scene, terminal: Callable[..., Terminal], columns: int) -> None:
    troubled.sandbox.add_faults({"path": "/api/v1/metadata/account/custom/value", "latency_ms": 1500})
    ran = terminal(columns, "run", "accounts")
    call_id = terminal(columns, "log", "--calls").lines[-2].split()[0]
    looked = [
        terminal(columns, *words)
        for words in (["log"], ["log", "--rows"], ["log", "--call", call_id], ["log", "--key", "acct-1"], ["runs"])
    ]
    lines = [line for each in looked for line in each.lines]

    assert "accounts sending" in "".join(ran.lines)
    assert "3/4 rows" in "".join(ran.lines) or "0/4 rows" in "".join(ran.lines)
    assert "\x1b[33mwarning\x1b[0m" in ran.getvalue()
    assert all("\x1b[" in each.getvalue() for each in looked)
    assert max(width(line) for line in lines if "connector --project" not in line) <= columns
    assert any("not found in Pendo" in line for line in lines)
    assert any('"missing": [' in line for line in lines)


def test_a_bar_says_how_fast_it_goes_and_how_long_it_will_take(world: Scene, terminal: Callable[..., Terminal]) -> None:
    world.accounts(30)
    world.write("a-sync-with-quite-a-long-name", OBJECT_SYNC, batch={"rows": 1})
    world.point_at(concurrency=1)
    world.sandbox.add_objects("account", ["acct-1"])
    world.sandbox.add_faults({"path": "/api/v1/metadata/account/custom/value", "latency_ms": 60})
    said = "".join(terminal(120, "run", "a-sync-with-quite-a-long-name").lines)

    assert "a-sync-with-quite-a-lon… sending" in said
    assert re.search(r"\d+/30 rows, \d+/s, \d+ s left", said)


def test_long_lists_are_cut_on_a_terminal_and_whole_in_a_pipe(
    world: Scene, cli: Cli, terminal: Callable[..., Terminal]
) -> None:
    world.accounts(120)
    planned = terminal(80, "plan", "accounts")
    piped = cli("plan", "accounts")
    cli("run", "accounts")
    rows, all_rows = terminal(80, "log", "--rows"), cli("log", "--rows")
    few = cli("log", "--rows", "--limit", "3")
    calls = terminal(80, "log", "--calls", "--limit", "2")

    assert any("more characters; a pipe and --json get all" in line for line in planned.lines)
    assert "5 rows of 120 shown; --show N shows more" in planned.lines
    assert '"acct-99"' in piped.out
    assert "… and more rows; --limit shows more, a pipe gets all" in rows.lines
    assert len(rows.lines) < len(all_rows.out.splitlines()) == 121
    assert len(few.out.splitlines()) == 4
    assert any("3 calls more" in line for line in calls.lines)


def test_control_characters_of_a_row_do_not_steer_the_terminal(world: Scene, terminal: Callable[..., Terminal]) -> None:
    model = world.root / "models" / "events.sql"
    model.write_text(
        "/*\nsource: warehouse\nprimary_key: id\n*/\n"
        "select chr(27) || ']0;owned' || chr(7) || chr(155) || 'K' || chr(9) || chr(127) as id, 'b' as other",
        encoding="utf-8",
    )
    written = terminal(80, "preview", "events")

    assert written.lines[2].rstrip() == "\u241b]0;owned\u2407\ufffdK \u2421  b"
    assert set(re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\n".join(written.lines))) == set()


def test_long_messages_are_wrapped_with_their_hint_below(world: Scene, terminal: Callable[..., Terminal]) -> None:
    world.write("accounts", OBJECT_SYNC, match="account_identifier")
    lines = terminal(60, "check").lines

    assert lines[0].startswith("sync_configs/accounts.yml:")
    assert lines[1].startswith("    ")
    assert any(line.startswith("    hint: ") for line in lines)
    assert max(width(line) for line in lines) <= 60


@pytest.mark.parametrize(("answer", "said"), [(b"n\n", "cancelled"), (b"y\n", "forgotten")])
def test_a_reset_asks_first(world: Scene, answer: bytes, said: str) -> None:
    shown = on_a_real_terminal(answer, "reset", "events", "--project", str(world.root))

    assert "Pendo then has every event twice. Go on?" in shown
    assert said in shown


def test_a_probe_asks_first(world: Scene) -> None:
    shown = on_a_real_terminal(b"n\n", "probe", "pendo", "--project", str(world.root))

    assert "Probes write to 'pendo'" in shown
    assert "cancelled" in shown
    assert world.sandbox.requests == []


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
