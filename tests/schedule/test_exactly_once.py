"""Every due time runs exactly once, whatever dies meanwhile; proved from the run history."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from connector.state import open_history
from connector.state.clock import SystemClock
from tests.e2e.project import OBJECT_SYNC, REPOSITORY, Scene
from tests.state.fake_clock import NEW_YEAR

from .world import MadeUpChild, World, crash, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connector.schedule.children import Order
    from connector.state.history import History
    from connector.state.runs import Run

ROWS = 3


def runs_by_due_time(history: History) -> dict[tuple[str, float], list[Run]]:
    """The runs of the history that a schedule has asked for, by sync and due time."""
    found: dict[tuple[str, float], list[Run]] = {}
    for run in history.runs.list():
        trigger = history.triggers.by_run(run.run_id)
        if trigger is not None and trigger.due_at is not None:
            assert trigger.last_due_at == trigger.due_at  # it stands for no other due time
            found.setdefault((run.sync, trigger.due_at), []).append(run)
    return found


def wanted(syncs: list[str], seconds: int) -> set[tuple[str, float]]:
    """Each sync at each second."""
    return {(sync, NEW_YEAR + second) for sync in syncs for second in range(1, seconds + 1)}


# --- time set by hand, processes made up ------------------------------------------------------------------------------


class Killed(BaseException):
    """What becomes of a scheduler in the middle of something."""


@pytest.mark.parametrize(
    ("count", "seconds"), [(10, 12), pytest.param(50, 60, marks=pytest.mark.slow)], ids=["120 due times", "3,000"]
)
def test_schedulers_that_are_killed_while_they_start_runs_lose_and_repeat_nothing(
    tmp_path: Path, count: int, seconds: int
) -> None:
    names = [f"s{number:02}" for number in range(count)]
    with world(tmp_path / "p", runs_at_once=64) as place:
        for name in names:
            place.write(name, {"every": "1s"})
        first = place.scheduler()
        first.look()
        crash(first)
        for second in range(1, seconds + 1):
            place.clock.time = NEW_YEAR + second
            # Each scheduler comes one start further than the last one, then dies before the process is there.
            for lives in range(1, 4) if second % 4 == 2 else ():
                killed_at_start(place, lives)
            scheduler = place.scheduler()
            scheduler.look()
            while place.going or place.history.triggers.waiting() or place.history.triggers.started():
                for name in place.going:
                    place.finish(name)
                scheduler.look()
            if second < seconds:
                crash(scheduler)
        found = runs_by_due_time(place.history)

        assert set(found) == wanted(names, seconds)
        assert {len(runs) for runs in found.values()} == {1}
        assert len(place.history.runs.list()) == count * seconds


def killed_at_start(place: World, lives: int) -> None:
    """Nothing, after a scheduler was killed when it wanted to start its next process but so many."""
    left = lives
    scheduler = place.scheduler()
    works = place.launch

    def launch(order: Order) -> MadeUpChild:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return works(order)

    scheduler._children._launch = launch  # noqa: SLF001
    with pytest.raises(Killed):
        scheduler.look()
    crash(scheduler)


# --- real servers, real processes, real runs --------------------------------------------------------------------------


@contextmanager
def server(place: Scene, clock: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler in a process of its own, which leads a group of processes; all are gone at the end."""
    words = [sys.executable, "-m", "tests.schedule.stepping", str(place.root), str(clock)]
    started = subprocess.Popen(words, cwd=REPOSITORY, start_new_session=True)
    try:
        yield started
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(started.pid, number)
            except ProcessLookupError:
                break
        started.wait()


def until(history: History, syncs: list[str], due_at: float, share: float = 1.0) -> None:
    """Nothing, once that share of what was due then is done."""
    while True:
        done = [each for each in history.triggers.list() if each.due_at == due_at and each.state == "done"]
        if len(done) >= share * len(syncs):
            return
        time.sleep(0.05)


def scheduled(place: Scene, count: int) -> list[str]:
    """The syncs, each due at every second."""
    place.accounts(ROWS)
    place.point_at()
    fields = OBJECT_SYNC["fields"]["custom"]
    return [
        place.write(
            f"s{number:02}", OBJECT_SYNC, schedule={"every": "1s"}, fields={"custom": {"health": fields["health"]}}
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("group", [False, True], ids=["the server alone", "the server and its runs"])
@pytest.mark.parametrize(
    ("count", "seconds"),
    [(5, 4), pytest.param(50, 60, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
    ids=["20 due times", "3,000"],
)
def test_a_server_that_is_killed_in_the_middle_loses_and_repeats_nothing(
    real: Scene, tmp_path: Path, *, count: int, seconds: int, group: bool
) -> None:
    syncs, clock = scheduled(real, count), tmp_path / "clock"
    clock.write_text(str(NEW_YEAR), encoding="ascii")
    with open_history(real.state_dir, clock=SystemClock()) as history:
        with server(real, clock) as first:
            while len(history.due.all()) < count:
                time.sleep(0.05)
            for second in range(1, seconds // 2 + 1):
                tell(clock, NEW_YEAR + second)
                until(history, syncs, NEW_YEAR + second, 1.0 if second < seconds // 2 else 0.3)
            kill(first, group=group)
            tell(clock, NEW_YEAR + seconds // 2 + 0.5)
            with server(real, clock):
                for second in range(seconds // 2, seconds + 1):
                    tell(clock, NEW_YEAR + second)
                    until(history, syncs, NEW_YEAR + second)
                while history.triggers.started() or history.triggers.waiting():
                    time.sleep(0.05)
        found = runs_by_due_time(history)
        others = [run for run in history.runs.list() if run.trigger == "recovery"]

    statuses = Counter(run.status for runs in found.values() for run in runs)
    assert set(found) == wanted(syncs, seconds)
    assert {len(runs) for runs in found.values()} == {1}
    assert set(statuses) <= ({"success", "interrupted"} if group else {"success"})
    # What was killed with its server is settled, and gone on with, once.
    assert len(others) == statuses["interrupted"]
    assert {run.status for run in others} <= {"success"}
    assert {key: values["health"] for key, values in real.held().items()} == {
        key: values["health"] for key, values in real.wanted().items()
    }


def tell(clock: Path, now: float) -> None:
    """Nothing, after setting the clock, in one piece."""
    fresh = clock.with_suffix(".new")
    fresh.write_text(str(now), encoding="ascii")
    fresh.replace(clock)


def kill(started: subprocess.Popen[bytes], *, group: bool) -> None:
    """Nothing, after `kill -9`, of the server alone or of everything that it has started, too."""
    if group:
        os.killpg(started.pid, signal.SIGKILL)
    else:
        os.kill(started.pid, signal.SIGKILL)
    started.wait()
