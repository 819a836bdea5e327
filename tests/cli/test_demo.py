"""`connector demo`: the first thing a user sees."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from connector.cli.commands.demo import next_steps

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli


def test_the_demo_shows_the_main_job_and_checks_it(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ".connector" / "demo"
    folder.mkdir(parents=True)
    (folder / ".connector-demo").write_text("", encoding="utf-8")
    (folder / "old").write_text("", encoding="utf-8")
    monkeypatch.setenv("PENDO_BASE_URL", "http://127.0.0.1:9")  # nothing of the caller's environment leads it astray
    monkeypatch.setenv("CONNECTOR_STATE_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)
    ended = cli.anywhere("demo", "--json")
    monkeypatch.delenv("CONNECTOR_STATE_DIR")
    looked = cli.anywhere("--project", ".connector/demo", "log", "account_health", "--key", "group-01::acct-0001")
    document = ended.json()
    steps = next_steps(".connector/demo")
    followed = [(words, cli.anywhere(*shlex.split(words)[1:]).code) for words, _ in steps]

    assert ended.code == 0, ended.err
    assert document["ok"] is True
    assert all(compared["holds"] for compared in document["compared"])
    assert sum(compared["equal"] for compared in document["compared"]) > 3000
    assert document["calls"]["logged"] == document["calls"]["received"] > 0
    assert [result["requests"]["sent"] for result in document["second_run"]] == [0, 0, 0, 0]
    assert "2,000 of 2,000 equal" in ended.err
    assert "DIFFERENT" not in ended.err
    assert "row by row" in ended.err
    assert "call by call" in ended.err
    assert "group-01::acct-0001  changed" in looked.out
    assert [words for words, _ in steps if words not in ended.err] == []
    assert [words for words, code in followed if code != 0] == []
    assert not (tmp_path / "elsewhere").exists()
    assert not (folder / "old").exists()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path, cli: Cli, kind: str) -> None:
    mine = tmp_path / "mine" if kind == "file" else tmp_path / "mine" / "thesis.txt"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("a year's work", encoding="utf-8")
    ended = cli.anywhere("demo", "--dir", str(tmp_path / "mine"))

    assert ended.code == 1
    assert "[not-a-demo]" in ended.err
    assert mine.read_text() == "a year's work"
