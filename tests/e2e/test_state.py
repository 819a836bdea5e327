"""A state directory that is full, locked, damaged, newer, lost or in use: a clear error, and nothing sent or lost."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from connector.errors import BusyError, ConnectorError, StateError
from connector.run.means import Options
from connector.run.steps import run_sync
from connector.state import open_history
from connector.state.clock import SystemClock
from tests.e2e.project import ACCOUNTS, CONNECTOR, EVENT_SYNC, EVENTS, OBJECT_SYNC, REPOSITORY, Scene, outcomes

if TYPE_CHECKING:
    from pathlib import Path

    from connector.run.ending import RunResult

SYNCS = (ACCOUNTS, EVENTS)
ROWS = 2_000
IN_FLIGHT = 8 * 100

STILL_THERE = "the warehouse has the snapshot, and the lost file's successor takes it up again"


def write_syncs(place: Scene) -> None:
    place.accounts(ROWS)
    place.events(ROWS)
    place.write(ACCOUNTS, OBJECT_SYNC, batch={"rows": 100})
    place.write(EVENTS, EVENT_SYNC, batch={"rows": 100})


def sync_file(place: Scene, sync: str) -> Path:
    return place.state_dir / "syncs" / f"{sync}.duckdb"


def command(place: Scene, *words: str, limit_kb: int | None = None) -> tuple[int, Any, str]:
    """Exit code, JSON and stderr of a command; files may not grow over `limit_kb`."""
    line = [*CONNECTOR, "--project", str(place.root), *words, "--json"]
    limited = ["bash", "-c", f'ulimit -f {limit_kb}; exec "$@"', "bash", *line] if limit_kb is not None else line
    ended = subprocess.run(limited, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120)
    return ended.returncode, json.loads(ended.stdout or "null"), ended.stderr


def assert_all_arrived(place: Scene, sync: str) -> None:
    if sync == ACCOUNTS:
        assert place.held() == place.wanted()
        return
    assert set(place.delivered()) == set(range(ROWS))
    assert place.delivered().total() - ROWS <= IN_FLIGHT


def refused(place: Scene, sync: str) -> ConnectorError:
    """The error of a run that does not start."""
    with pytest.raises(ConnectorError) as caught:
        place.run(sync)
    return caught.value


# --- a full disk -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("limit_kb", [0, 100, 200, 400, 1000])
def test_a_full_disk_is_a_clear_error_and_loses_nothing(real: Scene, sync: str, limit_kb: int) -> None:
    write_syncs(real)

    code, said, err = command(real, "run", sync, limit_kb=limit_kb)
    real.run(sync)
    quiet = real.run(sync)

    assert "Traceback" not in err
    assert "[defect]" not in err
    assert (code == 0) == (limit_kb == 1000)
    if code != 0:
        assert code == 3
        assert said[0]["error"]["slug"] == "state-disk-full"
        assert "run again" in said[0]["error"]["hint"]
    assert_all_arrived(real, sync)
    assert quiet.json()["requests"]["sent"] == 0


@pytest.mark.parametrize("sync", SYNCS)
def test_a_run_that_cannot_be_settled_is_settled_by_the_next_one(real: Scene, sync: str) -> None:
    write_syncs(real)
    with real.project() as project:
        assert project.runs() == ()
    in_the_way = real.state_dir / "rows"
    in_the_way.touch()

    error = refused(real, sync)
    in_the_way.unlink()
    after = real.run(sync)
    with real.project() as project:
        dead = project.runs(sync)[1]

    assert (error.problem.slug, error.exit_code) == ("state-unusable", 3)
    assert outcomes(after) == {}
    assert dead.status == "interrupted"
    assert dead.outcomes is not None
    assert dead.outcomes["succeeded"]["added"] == ROWS
    assert sync == ACCOUNTS or set(real.delivered().values()) == {1}


# --- a locked history ------------------------------------------------------------------------------------------------


class Lock:
    """Somebody else who has the history open for writing."""

    def __init__(self, place: Scene) -> None:
        self._connection = sqlite3.connect(
            place.state_dir / "history.db", isolation_level=None, check_same_thread=False, timeout=10
        )
        self._connection.execute("BEGIN IMMEDIATE")

    def close(self) -> None:
        self._connection.execute("ROLLBACK")
        self._connection.close()


def impatient_run(place: Scene, sync: str) -> RunResult:
    """A run that does not wait long for the history."""
    with (
        place.project() as project,
        open_history(place.state_dir, clock=SystemClock(), busy_timeout_s=0.3) as history,
    ):
        return run_sync(project.sync(sync), Options(), replace(project.means(), history=history))


def test_a_history_that_is_locked_from_the_start_stops_the_run_before_it_sends(real: Scene) -> None:
    write_syncs(real)
    real.point_at()
    with real.project() as project:
        assert project.runs() == ()
    with closing(Lock(real)), pytest.raises(StateError) as caught:
        impatient_run(real, EVENTS)

    assert caught.value.problem.slug == "state-locked"
    assert real.sandbox.requests == []
    assert outcomes(real.run(EVENTS)) == {"succeeded": ROWS}


@pytest.mark.parametrize("sync", SYNCS)
def test_a_history_that_is_locked_in_the_middle_stops_the_run_and_loses_nothing(real: Scene, sync: str) -> None:
    write_syncs(real)
    real.point_at(concurrency=2)
    real.sandbox.add_faults({"latency_ms": 20})
    done = threading.Event()

    def lock() -> None:
        while len(real.sandbox.requests) < 6:
            time.sleep(0.005)
        with closing(Lock(real)):
            done.wait(20)

    locker = threading.Thread(target=lock)
    locker.start()
    with pytest.raises(StateError) as caught:
        impatient_run(real, sync)
    done.set()
    locker.join()
    real.sandbox.clear_faults()
    real.run(sync)

    assert caught.value.problem.slug == "state-locked"
    assert_all_arrived(real, sync)
    with real.project() as project:
        assert [run.status for run in project.runs()] == ["success", "interrupted"]


# --- damaged, newer, lost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["begins wrong", "cut in half", "empty", "text"])
@pytest.mark.parametrize("sync", SYNCS)
def test_a_damaged_snapshot_stops_the_run_and_baseline_is_the_way_out(real: Scene, sync: str, damage: str) -> None:
    write_syncs(real)
    real.run(sync)
    file = sync_file(real, sync)
    content = file.read_bytes()
    damaged = {
        "begins wrong": b"\0" * 8192 + content[8192:],
        "cut in half": content[: len(content) // 2],
        "empty": b"",
        "text": b"not a database\n" * 1000,
    }
    file.write_bytes(damaged[damage])
    sent = len(real.sandbox.requests)

    error = refused(real, sync)
    file.unlink()
    with real.project() as project:
        project.reset(sync, baseline=True)
    after = real.run(sync)

    assert (error.problem.slug, error.exit_code) == ("state-damaged", 3)
    assert str(file) in str(error)
    assert "baseline" in str(error.problem.hint)
    assert len(real.sandbox.requests) == sent
    assert outcomes(after) == {}


@pytest.mark.parametrize("sync", SYNCS)
def test_a_snapshot_with_a_damaged_block_never_sends_on_a_guess(real: Scene, sync: str) -> None:
    write_syncs(real)
    real.run(sync)
    file = sync_file(real, sync)
    content = file.read_bytes()
    sent = len(real.sandbox.requests)
    slugs = set()

    for part in range(12, len(content), len(content) // 12):
        file.write_bytes(content[:part] + b"\xa5" * 64 + content[part + 64 :])
        try:
            result = real.run(sync)
        except StateError as error:
            slugs.add(error.problem.slug)
        else:
            slugs |= {result.error.problem.slug} if result.error else set()
            assert (result.status, outcomes(result)) == ("failed" if result.error else "success", {})
        assert len(real.sandbox.requests) == sent
    assert slugs == {"state-damaged"}


def test_a_damaged_history_stops_the_run(real: Scene) -> None:
    write_syncs(real)
    real.run(EVENTS)
    file = real.state_dir / "history.db"
    kept = file.read_bytes()
    file.write_bytes(b"\0" * 4096 + kept[4096:])
    sent = len(real.sandbox.requests)

    error = refused(real, EVENTS)

    assert (error.problem.slug, error.exit_code) == ("state-corrupt", 3)
    assert len(real.sandbox.requests) == sent


@pytest.mark.parametrize("where", ["snapshot", "history"])
def test_a_newer_state_is_left_as_it_is(real: Scene, where: str) -> None:
    write_syncs(real)
    real.run(EVENTS)
    if where == "snapshot":
        with duckdb.connect(str(sync_file(real, EVENTS))) as connection:
            connection.execute("UPDATE info SET value = '99' WHERE name = 'version'")
    else:
        with closing(sqlite3.connect(real.state_dir / "history.db")) as history, history:
            history.execute("UPDATE state_version SET version = 99")
    sent = len(real.sandbox.requests)

    error = refused(real, EVENTS)

    assert error.problem.slug == "state-newer"
    assert "99" in str(error)
    assert len(real.sandbox.requests) == sent


def test_events_whose_snapshot_is_gone_are_not_sent_anew_until_that_is_asked_for(real: Scene) -> None:
    if real.planner == "warehouse":
        pytest.skip(f"{STILL_THERE}: test_planner.py")
    write_syncs(real)
    real.run(EVENTS)
    sync_file(real, EVENTS).unlink()

    error = refused(real, EVENTS)
    with real.project() as project:
        project.reset(EVENTS)
    after = real.run(EVENTS)

    assert error.problem.slug == "state-lost"
    assert "connector reset" in str(error.problem.hint)
    assert outcomes(after) == {"succeeded": ROWS}


@pytest.mark.parametrize("sync", SYNCS)
def test_what_a_killed_run_has_sent_is_in_doubt_when_the_history_is_gone(real: Scene, sync: str) -> None:
    write_syncs(real)
    real.write(EVENTS, EVENT_SYNC, batch={"rows": 100}, in_doubt="hold")
    killed = real.start("run", sync, environ={"CONNECTOR_FAILPOINT": "before-intent:15"})
    killed.communicate()
    for file in real.state_dir.glob("history.db*"):
        file.unlink()
    with real.project() as project:
        planned = project.plan(sync)

    after = real.run(sync)

    if sync == ACCOUNTS:
        assert outcomes(after) == {"succeeded": ROWS}
        assert real.held() == real.wanted()
        return
    assert planned.requests == 0
    assert outcomes(after) == {"in_doubt": ROWS}
    assert after.json()["requests"]["sent"] == 0
    assert 0 < len(real.delivered()) < ROWS
    assert set(real.delivered().values()) == {1}


def test_objects_whose_snapshot_is_gone_are_sent_again(real: Scene) -> None:
    if real.planner == "warehouse":
        pytest.skip(f"{STILL_THERE}: test_planner.py")
    write_syncs(real)
    real.run(ACCOUNTS)
    shutil.rmtree(real.state_dir / "syncs")

    assert outcomes(real.run(ACCOUNTS)) == {"succeeded": ROWS}


# --- one run at a time -----------------------------------------------------------------------------------------------


def until_busy(place: Scene) -> BusyError:
    """What a look at the events' state is told as soon as a run has begun."""
    with place.project() as project:
        while True:
            try:
                project.undelivered(EVENTS)
            except BusyError as error:
                return error
            time.sleep(0.01)


def test_a_second_run_says_who_goes_on_and_a_waiting_one_takes_over(real: Scene) -> None:
    write_syncs(real)
    with real.project() as project, real.sandbox.lock:
        other = real.start("run", EVENTS, "--json")
        until_busy(real)
        with pytest.raises(BusyError) as caught:
            project.run(EVENTS)
        results: list[RunResult] = []
        waiting = threading.Thread(target=lambda: results.append(project.run(EVENTS, wait=True)))
        waiting.start()
        time.sleep(0.1)
    out, _ = other.communicate(timeout=60)
    waiting.join()

    assert str(other.pid) in str(caught.value)
    assert caught.value.problem.slug == "sync-busy"
    assert json.loads(out)[0]["status"] == "success"
    assert outcomes(results[0]) == {}
    assert set(real.delivered().values()) == {1}


def test_a_second_run_in_the_same_process_is_refused_as_well(real: Scene) -> None:
    write_syncs(real)
    results: list[RunResult] = []
    first = threading.Thread(target=lambda: results.append(real.run(EVENTS)))
    with real.sandbox.lock:
        first.start()
        until_busy(real)
        for attempt in ("run", "plan", "undelivered", "reset"):
            with real.project() as project, pytest.raises(BusyError, match="this process"):
                getattr(project, attempt)(EVENTS)
    first.join()

    assert outcomes(results[0]) == {"succeeded": ROWS}
    assert set(real.delivered().values()) == {1}


def test_a_look_at_the_state_does_not_let_another_process_in(real: Scene) -> None:
    write_syncs(real)
    first = threading.Thread(target=lambda: real.run(EVENTS))
    with real.sandbox.lock:
        first.start()
        until_busy(real)
        until_busy(real)
        code, said, err = command(real, "run", EVENTS)
    first.join()

    assert code == 1, err
    assert said[0]["error"]["slug"] == "sync-busy"
    assert set(real.delivered().values()) == {1}


def test_a_lock_of_a_killed_run_needs_no_hand(real: Scene) -> None:
    write_syncs(real)
    with real.sandbox.lock:
        other = real.start("run", EVENTS)
        until_busy(real)
        other.send_signal(signal.SIGKILL)
        other.communicate()

    assert real.run(EVENTS).status == "success"
    assert_all_arrived(real, EVENTS)
