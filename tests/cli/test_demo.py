"""`connector demo`: the first thing a user sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli


def test_the_demo_shows_the_main_job_and_checks_it(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENDO_BASE_URL", "http://127.0.0.1:9")  # nothing of the caller's environment leads it astray
    monkeypatch.setenv("CONNECTOR_STATE_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)
    ended = cli.anywhere("demo")
    monkeypatch.delenv("CONNECTOR_STATE_DIR")
    looked = cli.anywhere("--project", ".connector/demo", "log")

    assert ended.code == 0, ended.err
    assert "2,000 of 2,000 equal" in ended.out
    assert "DIFFERENT" not in ended.out
    assert "row by row" in ended.out
    assert "call by call" in ended.out
    assert "Where to look next" in ended.out
    assert looked.code == 0
    assert not (tmp_path / "elsewhere").exists()


def test_the_demo_is_made_anew_and_is_one_document(tmp_path: Path, cli: Cli) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / ".connector-demo").write_text("", encoding="utf-8")
    (folder / "old").write_text("", encoding="utf-8")
    ended = cli.anywhere("demo", "--dir", str(folder), "--json")
    document = ended.json()

    assert ended.code == 0
    assert document["ok"] is True
    assert all(compared["holds"] for compared in document["compared"])
    assert sum(compared["equal"] for compared in document["compared"]) > 3000
    assert document["calls"]["logged"] == document["calls"]["received"] > 0
    assert [result["requests"]["sent"] for result in document["second_run"]] == [0, 0, 0, 0]
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
