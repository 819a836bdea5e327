"""The command line, called as a user calls it, on a project whose sandbox runs on a real port."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from connector.cli import main
from tests.e2e.project import ACCOUNTS, EVENT_SYNC, OBJECT_SYNC, Scene, scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


class Terminal(io.StringIO):
    """A terminal, as far as a program can tell."""

    def isatty(self) -> bool:
        """True."""
        return True

    @property
    def lines(self) -> list[str]:
        """What was written, without colours and other control sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue()).split("\n")


class Cli:
    """Calls commands on one project, in this process."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capsys = capsys

    def __call__(self, *words: str) -> Ended:
        """What the command did in this project."""
        return self.anywhere(*words, "--project", str(self.root))

    def anywhere(self, *words: str) -> Ended:
        """What the command did, without naming a project."""
        self._capsys.readouterr()
        code = main(words)
        said = self._capsys.readouterr()
        return Ended(code, said.out, said.err)


@pytest.fixture
def terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Terminal]:
    """Calls commands on the project as on a terminal of so many columns; stdout and stderr are one."""

    def call(columns: int, *words: str) -> Terminal:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm-256color")
        written = Terminal()
        with redirect_stdout(written), redirect_stderr(written):
            main([*words, "--project", str(cli.root)])
        return written

    return call


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line on the project `world`, or on whatever is in its folder."""
    return Cli(tmp_path / "project", capsys)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Scene]:
    """A project with three accounts, three events and a sync for each."""
    with scene(tmp_path / "project") as made:
        made.accounts(3)
        made.events(3)
        made.write("accounts", OBJECT_SYNC)
        made.write("events", EVENT_SYNC)
        yield made


@pytest.fixture
def troubled(world: Scene) -> Scene:
    """The same with one account that Pendo does not know, and one whose health is a word."""
    world.sql(
        "CREATE OR REPLACE TABLE accounts AS SELECT account_id, health::VARCHAR AS health, plan FROM accounts",
        "INSERT INTO accounts VALUES ('acct-unknown', '1', 'free'), ('acct-2x', 'poor', 'free')",
    )
    world.sandbox.add_objects("account", ["acct-2x"])
    fields = {"custom": {"health": {"column": "health", "type": "float", "create": True}}}
    world.write("accounts", OBJECT_SYNC, model=ACCOUNTS, fields=fields)
    return world
