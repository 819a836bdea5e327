"""What the server does beside starting runs: in threads, and without an end of the server when it goes wrong."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from connector.schedule.files import Loaded, ProjectFiles
from connector.serve.chores import DAY_S, Chores

from .world import World, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    """A project with one sync."""
    with world(tmp_path / "p") as made:
        made.write("accounts", {"every": "1m"})
        yield made


def done(place: World, name: str, loaded: Loaded | None = None) -> None:
    """Nothing, after that chore."""
    chores = Chores(place.history, place.clock)
    (chore,) = (each for each in chores.all() if each.name == name)
    chore.do(loaded or ProjectFiles(place.root, place.root / ".connector", {}).read())
    chores.join()


def test_old_triggers_and_runs_leave_the_history(place: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    old = place.history.triggers.ask("accounts", trigger="api")
    place.history.triggers.withdraw(old.id)
    place.by_hand("accounts")
    place.history.cancels.ask("long-ended")
    place.clock.sleep(400 * DAY_S)
    newest = place.by_hand("accounts")
    waiting = place.history.triggers.ask("accounts", trigger="api")
    done(place, "history")

    assert place.history.triggers.list() == (waiting,)
    assert not place.history.cancels.asked("long-ended")
    assert newest in [run.run_id for run in place.runs("accounts")]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_project_that_never_was_has_no_chores(place: World) -> None:
    done(place, "history", Loaded(None))
    done(place, "alerts", Loaded(None))

    assert place.history.runs.list() == ()


def test_trouble_in_a_chore_is_said_and_is_no_end(place: World, caplog: pytest.LogCaptureFixture) -> None:
    with closing(sqlite3.connect(place.root / ".connector/history.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done(place, "history")

    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage().startswith("history: ")
    assert record.exc_info is None
