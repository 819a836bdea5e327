from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.schema import CreateTable

from connector.errors import StateError
from connector.state import STATE_VERSION, check_version, open_history
from connector.state.clock import SystemClock
from connector.state.sqlite_errors import state_error
from connector.state.tables import metadata, runs

from .child import run_child, start_child, tell
from .fake_clock import FakeClock, request
from .test_runs import RUN

if TYPE_CHECKING:
    from connector.state.history import History


def refusal(state_dir: Path) -> StateError:
    """What opening it says."""
    with pytest.raises(StateError) as refused:
        open_history(state_dir, clock=FakeClock(), busy_timeout_s=0.2)
    return refused.value


def sqlite(state_dir: Path) -> sqlite3.Connection:
    """The database from outside."""
    return sqlite3.connect(state_dir / "history.db", isolation_level=None)


def test_a_new_history_hides_itself_from_git(history: History) -> None:
    assert (history.state_dir / ".gitignore").read_text() == "*\n"
    assert (history.state_dir / "history.db").exists()


def test_what_stands_in_the_gitignore_stays(state_dir: Path) -> None:
    state_dir.mkdir(parents=True)
    (state_dir / ".gitignore").write_text("history.db\n")

    open_history(state_dir, clock=FakeClock()).close()

    assert (state_dir / ".gitignore").read_text() == "history.db\n"


def test_a_history_is_still_there_when_it_is_opened_again(state_dir: Path) -> None:
    with open_history(state_dir, clock=FakeClock()) as history:
        history.runs.start(RUN)

    with open_history(state_dir, clock=FakeClock()) as history:
        assert history.runs.get(RUN.run_id).sync == RUN.sync


def test_a_power_loss_loses_nothing_and_readers_are_not_shut_out(history: History, state_dir: Path) -> None:
    with history._database.read() as connection:  # noqa: SLF001
        durable = connection.execute(text("PRAGMA synchronous")).scalar_one()

    with closing(sqlite(state_dir)) as outside:
        assert outside.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert durable == 2  # FULL


def test_the_tables_can_be_made_in_postgres() -> None:
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=PGDialect()))  # type: ignore[no-untyped-call]


def test_a_file_in_the_place_of_the_directory_is_refused(state_dir: Path) -> None:
    state_dir.parent.mkdir()
    state_dir.write_text("")

    refused = refusal(state_dir)

    assert refused.problem.slug == "state-not-writable"
    assert str(state_dir) in refused.problem.message
    assert "--state-dir" in (refused.problem.hint or "")


def test_a_directory_in_the_place_of_the_file_is_refused(state_dir: Path) -> None:
    (state_dir / "history.db").mkdir(parents=True)

    assert refusal(state_dir).problem.slug == "state-not-writable"


def test_a_directory_of_somebody_else_is_refused() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        Path(place).chmod(0o755)
        state_dir = Path(place) / "state"
        open_history(state_dir, clock=FakeClock()).close()
        state_dir.chmod(0o555)
        (state_dir / "history.db").chmod(0o444)

        said = run_child("write_without_rights", state_dir)

        state_dir.chmod(0o755)
    assert said == ["state-not-writable"]


def test_a_file_that_is_no_database_is_refused_and_kept(state_dir: Path) -> None:
    content = b"this is no database, but it is as long as the header of one would be" * 20
    state_dir.mkdir(parents=True)
    (state_dir / "history.db").write_bytes(content)

    assert refusal(state_dir).problem.slug == "state-corrupt"
    assert (state_dir / "history.db").read_bytes() == content


def test_a_damaged_file_is_an_error_where_the_damage_is_met(state_dir: Path) -> None:
    with open_history(state_dir, clock=FakeClock()) as history:
        history.runs.start(RUN)
    with (state_dir / "history.db").open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))

    with pytest.raises(StateError) as refused, open_history(state_dir, clock=FakeClock()) as history:
        history.runs.list()

    assert refused.value.problem.slug == "state-corrupt"
    assert "backup" in (refused.value.problem.hint or "")


@pytest.mark.parametrize("size", [600, 4000, 8192])
def test_a_file_whose_end_is_missing_is_refused(state_dir: Path, size: int) -> None:
    open_history(state_dir, clock=FakeClock()).close()
    os.truncate(state_dir / "history.db", size)

    assert refusal(state_dir).problem.slug == "state-corrupt"


def test_a_database_of_something_else_is_refused(state_dir: Path) -> None:
    state_dir.mkdir(parents=True)
    with closing(sqlite(state_dir)) as outside:
        outside.execute("CREATE TABLE runs (id INTEGER)")

    with pytest.raises(StateError) as refused, open_history(state_dir, clock=FakeClock()) as history:
        history.runs.list()

    assert refused.value.problem.slug == "state-corrupt"


def test_a_table_that_was_dropped_is_an_error(history: History, state_dir: Path) -> None:
    with closing(sqlite(state_dir)) as outside:
        outside.execute("DROP TABLE learned")

    with pytest.raises(StateError) as refused:
        history.learned.get("pendo")

    assert refused.value.problem.slug == "state-corrupt"


def test_a_row_that_must_be_there_and_is_not_is_an_error(history: History, state_dir: Path) -> None:
    with closing(sqlite(state_dir)) as outside:
        outside.execute("DELETE FROM counters")

    with pytest.raises(StateError) as refused:
        history.journal("run").begin(request(), attempt=1)

    assert refused.value.problem.slug == "state-failed"


def test_a_newer_state_directory_is_refused_and_left_alone(state_dir: Path) -> None:
    open_history(state_dir, clock=FakeClock()).close()
    with closing(sqlite(state_dir)) as outside:
        outside.execute("UPDATE state_version SET version = version + 1")
    before = (state_dir / "history.db").read_bytes()

    refused = refusal(state_dir)

    assert refused.problem.slug == "state-newer"
    assert f"state version {STATE_VERSION + 1}" in refused.problem.message
    assert (state_dir / "history.db").read_bytes() == before


def test_what_an_older_state_directory_lacks_is_added_and_what_it_holds_stays(state_dir: Path) -> None:
    with open_history(state_dir, clock=FakeClock()) as history:
        history.runs.start(RUN)
    with closing(sqlite(state_dir)) as outside:
        outside.execute("DROP TABLE learned")
        outside.execute("DROP INDEX runs_by_start")
        outside.execute("ALTER TABLE runs DROP COLUMN timings")

    with open_history(state_dir, clock=FakeClock()) as history:
        assert history.runs.get(RUN.run_id).timings == {}
        assert history.learned.facts() == ()

    with closing(sqlite(state_dir)) as outside:
        assert outside.execute("SELECT count(*) FROM sqlite_master WHERE name = 'runs_by_start'").fetchone() == (1,)


def test_this_version_and_older_ones_are_read() -> None:
    check_version(STATE_VERSION, Path("x.duckdb"))
    check_version(STATE_VERSION - 1, Path("x.duckdb"))


def test_a_database_that_somebody_holds_is_locked_for_writing_only(history: History, state_dir: Path) -> None:
    history.runs.start(RUN)

    with closing(sqlite(state_dir)) as outside:
        outside.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError) as refused:
            history.runs.stage(RUN.run_id, "querying")
        read = history.runs.get(RUN.run_id)
        outside.execute("ROLLBACK")
    history.runs.stage(RUN.run_id, "querying")

    assert refused.value.problem.slug == "state-locked"
    assert read.run_id == RUN.run_id


def test_a_new_database_that_somebody_holds_cannot_be_set_up(state_dir: Path) -> None:
    state_dir.mkdir(parents=True)

    with closing(sqlite(state_dir)) as outside:
        outside.execute("BEGIN IMMEDIATE")

        assert refusal(state_dir).problem.slug == "state-locked"


def test_a_writer_waits_for_another_one(history: History, state_dir: Path) -> None:
    with closing(sqlite3.connect(state_dir / "history.db", isolation_level=None, check_same_thread=False)) as outside:
        outside.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.05, outside.execute, ["ROLLBACK"])
        timer.start()
        history.runs.start(RUN)
        timer.join()

    assert history.runs.get(RUN.run_id).run_id == RUN.run_id


def test_many_processes_can_make_the_same_history_at_once(state_dir: Path) -> None:
    children = [start_child("open_at_once", state_dir, str(n)) for n in range(3)]
    for child in children:
        tell(child, "go")

    ended = [(child.communicate()[0], child.returncode) for child in children]

    with open_history(state_dir, clock=SystemClock()) as history:
        assert ended == [("", 0)] * 3
        assert len(history.learned.get("pendo")) == 3


def test_a_write_that_fails_half_way_leaves_nothing(history: History) -> None:
    class OwnError(Exception):
        pass

    def write() -> None:
        with history._database.write() as connection:  # noqa: SLF001
            connection.execute(runs.insert().values(**vars_of_run()))
            raise OwnError

    with pytest.raises(OwnError):
        write()

    with history._database.read() as connection:  # noqa: SLF001
        assert connection.execute(select(runs)).all() == []


def vars_of_run() -> dict[str, object]:
    """The columns a run must have."""
    names = ("run_id", "sync", "trigger", "model", "destination", "object", "pid", "host")
    return {name: getattr(RUN, name) for name in names} | {"status": "running", "started_at": 0.0}


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        (OSError(28, "No space left on device"), "state-disk-full"),
        (OSError(122, "Disk quota exceeded"), "state-disk-full"),
        (PermissionError(13, "Permission denied"), "state-not-writable"),
        (sqlite3.OperationalError("disk I/O error"), "state-failed"),
        (ValueError("anything"), "state-failed"),
    ],
)
def test_every_error_has_a_name(error: Exception, slug: str) -> None:
    problem = state_error(error, Path("history.db")).problem

    assert (problem.slug, str(error) in problem.message) == (slug, True)
