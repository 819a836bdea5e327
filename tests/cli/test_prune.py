"""`history:` and `connector prune`: what is kept of the past, and what must be."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from connector.actions.retention import prune, tidy
from connector.state import open_history
from connector.state.clock import SystemClock
from tests.e2e.project import EVENT_SYNC, OBJECT_SYNC, scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connector.state.runs import Run
    from tests.cli.conftest import Cli
    from tests.e2e.project import Scene

DAY_S = 86_400.0


class Calendar(SystemClock):
    """Real time, some days ahead or behind."""

    def __init__(self) -> None:
        self.days = 0.0

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.days * DAY_S

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Nothing, after that time."""
        time.sleep(seconds)


@pytest.fixture
def world(tmp_path: Path, past: Scene) -> Scene:
    """A copy of the past of its own."""
    shutil.copytree(past.root, tmp_path / "project")
    found = replace(past, root=tmp_path / "project")
    found.reload()
    return found


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two syncs, each with a run 100, 50 and 0 days ago; an event of the oldest run was never delivered."""
    calendar = Calendar()
    with scene(tmp_path_factory.mktemp("past") / "project", clock=calendar) as made:
        made.write("accounts", OBJECT_SYNC)
        made.write("events", EVENT_SYNC, max_attempts=1)
        for days in (-100, -50, 0):
            calendar.days = days
            made.accounts(20)
            made.sql(f"UPDATE accounts SET health = {days}")
            made.run("accounts")
            made.events(3)
            if days == -100:
                made.sandbox.add_faults({"path": "*/track", "status": 400, "text": "no"})
            made.run("events")
            made.sandbox.clear_faults()
        yield made


def keep(world: Scene, **history: object) -> None:
    """Nothing, after writing `history:` into connector.yml."""
    yaml, path = YAML(typ="safe"), world.root / "connector.yml"
    yaml.dump({**yaml.load(path.read_text()), "history": history}, path)
    world.reload()


def ages(world: Scene, sync: str) -> list[int]:
    """How many days ago the runs were that are kept."""
    with world.project() as project:
        return [round((time.time() - run.started_at) / DAY_S) for run in project.runs(sync, limit=None)]


def rows_files(world: Scene) -> int:
    return len(list((world.state_dir / "rows").glob("*.parquet")))


def test_old_runs_go_with_their_calls_and_rows_and_needed_ones_stay(world: Scene) -> None:
    with world.project() as project:
        waiting = project.undelivered("events")
        before = rows_files(world)
        would = project.prune(dry_run=True, keep_days=90)
        untouched = ages(world, "accounts")
        done = project.prune(keep_days=90)
        left = {call.run_id for call in project.history.calls.list(None)}
        named = {row.first_run for row in waiting} | {row.last_run for row in waiting}
        runs = {run.run_id for run in project.runs(limit=None)}
    again = world.run("events")

    assert untouched == [0, 50, 100]
    assert would.runs == done.runs
    assert would.calls == done.calls > 0
    assert ages(world, "accounts") == [0, 50]
    assert waiting != []
    assert named <= runs
    assert left <= runs
    assert rows_files(world) == before - len(done.runs) + 1
    assert done.needed.keys() & named
    assert again.status in ("success", "warning")


def test_the_newest_run_and_the_newest_that_delivered_stay(world: Scene) -> None:
    world.run("accounts")
    with world.project() as project:
        done = project.prune(keep_days=0)
        found = project.runs("accounts", limit=None)

    assert len(found) == 2
    assert found[1].outcomes is not None
    assert sum(found[1].outcomes["succeeded"].values()) == 20
    assert set(done.needed.values()) >= {"the newest run of its sync"}


def test_the_room_is_limited_and_given_back(world: Scene, cli: Cli) -> None:
    keep(world, keep_days=None, keep_bytes="1KB")
    said = cli("prune").out
    with closing(sqlite3.connect(world.state_dir / "history.db")) as database:
        mode, free = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("auto_vacuum", "freelist_count"))

    assert ages(world, "accounts") == [0]
    assert "taken out" in said
    assert (mode, free) == (2, 0)


def test_by_default_ninety_days_are_kept_and_null_keeps_all(world: Scene, cli: Cli) -> None:
    keep(world, keep_days=None, keep_bytes=None)
    nothing = cli("prune", "--json").json()
    keep(world)
    old = cli("prune", "--dry-run", "--json").json()
    other = cli("prune", "--sync", "accounts", "--keep-days", "10", "--json").json()
    unknown = cli("prune", "--sync", "acounts")

    assert nothing["runs"] == []
    assert len(old["runs"]) == 1
    assert len(other["runs"]) == 2
    assert unknown.code == 1


def test_a_sync_that_runs_now_keeps_its_past(world: Scene) -> None:
    from connector.state.snapshot import open_snapshot  # noqa: PLC0415 - only here

    with open_snapshot(world.state_dir, "accounts"), world.project() as project:
        done = project.prune(keep_days=1)

    assert ages(world, "accounts") == [0, 50, 100]
    assert "its sync is running now" in done.needed.values()


def test_a_run_that_the_warehouse_logs_do_not_have_yet_stays(world: Scene) -> None:
    yaml, path = YAML(typ="safe"), world.root / "connector.yml"
    yaml.dump({**yaml.load(path.read_text()), "logs": {"source": "warehouse", "schema": "logs"}}, path)
    world.reload()
    with world.project() as project:
        oldest = project.runs("accounts", limit=None)[-1].run_id
        project.history.unlogged.note(oldest)
        kept = project.prune(keep_days=1)
        project.history.unlogged.forget(oldest)
        gone = project.prune(keep_days=1)

    assert kept.needed[oldest] == "the warehouse logs do not have it yet"
    assert oldest in gone.runs


def test_a_run_that_begins_during_a_pruning_keeps_its_rows(world: Scene) -> None:
    rows = world.state_dir / "rows" / "late.parquet"
    stray = rows.with_name("stray.parquet")
    stray.touch()

    class Meanwhile:
        """The runs of a history, one of which begins when they have just been read."""

        def list(self) -> tuple[Run, ...]:
            found = project.history.runs.list(limit=None)
            rows.touch()
            return found

    with world.project() as project:
        parts = SimpleNamespace(pruning=project.history.pruning, runs=Meanwhile())
        prune(project.definition, parts, SystemClock())  # type: ignore[arg-type]

    assert rows.exists()
    assert not stray.exists()


def test_a_database_of_an_older_connector_is_written_anew_once(world: Scene) -> None:
    path = world.state_dir / "history.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript("PRAGMA auto_vacuum=NONE; VACUUM; CREATE TABLE t AS SELECT zeroblob(3000000) AS b;")
        database.executescript("DROP TABLE t;")
    with world.project() as project:
        freed = project.prune(keep_days=1).freed_bytes
    with closing(sqlite3.connect(path)) as database:
        (mode,) = database.execute("PRAGMA auto_vacuum").fetchone()

    assert freed > 2_000_000
    assert mode == 2


def test_wrong_settings_are_mistakes_with_a_place(world: Scene, cli: Cli) -> None:
    keep(world, keep_bytes="much")
    checked = cli("check")

    assert checked.code == 1
    assert "connector.yml:" in checked.err
    assert "is no size such as 500MB or 5GB" in checked.err


def test_small_row_files_are_in_order_already(world: Scene) -> None:
    with world.project() as project, open_history(world.state_dir, clock=SystemClock()) as history:
        assert tidy(project.definition, history) == 0
