"""A process that does one run that was asked for: real ones, forked, against the sandbox."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from connector.schedule.children import Order
from connector.schedule.files import ProjectFiles
from connector.schedule.loop import Scheduler
from connector.serve.launcher import ForkedChild, Launcher
from connector.state import open_history
from connector.state.clock import SystemClock
from connector.state.locks import run_lock
from tests.e2e.project import ACCOUNTS, OBJECT_SYNC, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.state.history import History
    from connector.state.triggers import Trigger

# The processes are asked for over a Unix socket, which the guard against sockets takes for the network.
pytestmark = pytest.mark.enable_socket

ROWS = 600


WITHIN_IMPORTS = """
import signal
from multiprocessing import forkserver
from pathlib import Path
from connector.serve.launcher import Launcher
Launcher()
print(Path(f"/proc/{forkserver._forkserver._forkserver_pid}/status").read_text())
print("handler:", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@pytest.fixture(scope="module")
def launcher() -> Launcher:
    """One for all tests: what it forks from takes a moment to begin."""
    return Launcher()


@pytest.fixture
def place(real: Scene) -> Scene:
    """A project with one sync that is slow enough to be met in the middle."""
    real.accounts(ROWS)
    real.write(ACCOUNTS, OBJECT_SYNC, batch={"rows": 10})
    real.point_at(concurrency=4)
    return real


@pytest.fixture
def history(place: Scene) -> Iterator[History]:
    """The history of the project."""
    with open_history(place.state_dir, clock=SystemClock()) as opened:
        yield opened


def order(place: Scene, trigger: Trigger, owner: str = "here") -> Order:
    definition = ProjectFiles(place.root, place.state_dir, {}).read().definition
    assert definition is not None
    return Order(definition, trigger.id, trigger.sync, owner, trigger.attempts)


def claimed(history: History, **options: Any) -> Trigger:
    """A run that was asked for and is started now."""
    history.triggers.ask(ACCOUNTS, trigger="api", options=options)
    (trigger,) = history.triggers.claim("here", limit=1)
    return trigger


def ended(child: ForkedChild) -> int:
    """How the process ended."""
    while (code := child.exit_code()) is None:
        time.sleep(0.01)
    return code


def settled(history: History, trigger: Trigger) -> Trigger:
    found = history.triggers.get(trigger.id)
    assert found is not None
    return found


def parent_of(pid: int) -> int:
    """The process that has forked this one."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[1])


def until_sending(place: Scene) -> None:
    """Nothing, once the sandbox has received some calls."""
    while len(place.sandbox.requests) < 8:
        time.sleep(0.005)


def test_a_process_does_the_run_under_the_name_that_was_given_out(
    place: Scene, history: History, launcher: Launcher
) -> None:
    trigger = claimed(history, limit=100)
    code = ended(launcher(order(place, trigger)))
    run = history.runs.get(trigger.run_id)

    assert code == 0
    assert (run.status, run.trigger, run.sync) == ("success", "api", ACCOUNTS)
    assert run.pid != os.getpid()
    assert len(place.held()) == 100
    assert (settled(history, trigger).state, settled(history, trigger).error) == ("done", None)


def test_what_runs_are_forked_from_ignores_ctrl_c_from_its_start() -> None:
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    said = subprocess.run([sys.executable, "-c", WITHIN_IMPORTS], capture_output=True, text=True, check=True).stdout
    status = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)

    assert int(status["SigIgn"], 16) >> (signal.SIGINT - 1) & 1
    assert status["handler"].strip() == "True"


def test_what_runs_are_forked_from_has_no_threads(launcher: Launcher, place: Scene, history: History) -> None:
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    child = launcher(order(place, claimed(history)))
    assert child.pid is not None
    parent = parent_of(child.pid)
    threads = len(list(Path(f"/proc/{parent}/task").iterdir()))
    ended(child)

    assert parent != os.getpid()
    assert threads == 1


def test_a_process_whose_trigger_was_taken_over_does_nothing(
    place: Scene, history: History, launcher: Launcher
) -> None:
    trigger = claimed(history)
    late = order(place, trigger)
    history.triggers.requeue(trigger.id, counted=False)
    history.triggers.claim("there", limit=1)
    code = ended(launcher(late))

    assert code == 0
    assert history.runs.list() == ()
    assert settled(history, trigger).state == "started"
    assert not place.sandbox.requests


def test_a_run_by_hand_is_waited_for(place: Scene, history: History, launcher: Launcher) -> None:
    trigger = claimed(history)
    (place.state_dir / "syncs").mkdir(parents=True)
    other = duckdb.connect(str(place.state_dir / f"syncs/{ACCOUNTS}.duckdb"))
    child = launcher(order(place, trigger))
    ended(child)
    other.close()
    found = settled(history, trigger)

    assert (found.state, found.attempts, found.error) == ("waiting", 0, None)
    assert found.not_before is not None
    assert found.not_before > time.time()


def test_a_process_of_the_same_sync_that_has_not_ended_is_waited_for(
    place: Scene, history: History, launcher: Launcher
) -> None:
    trigger = claimed(history)
    lock = run_lock(place.state_dir, ACCOUNTS)
    assert lock.acquire()
    ended(launcher(order(place, trigger)))
    lock.release()

    assert settled(history, trigger).state == "waiting"
    assert history.runs.list() == ()


def test_a_process_that_comes_too_late_leaves_alone_whoever_works_on_its_trigger(
    place: Scene, history: History, launcher: Launcher
) -> None:
    trigger = claimed(history)
    late = order(place, trigger)
    history.triggers.requeue(trigger.id, counted=False)
    (taken,) = history.triggers.claim("there", limit=1)
    lock = run_lock(place.state_dir, ACCOUNTS)
    assert lock.acquire()
    ended(launcher(late))
    lock.release()

    assert settled(history, trigger) == taken
    assert history.runs.list() == ()


def test_a_run_that_cannot_begin_says_why_with_its_trigger(place: Scene, history: History, launcher: Launcher) -> None:
    (place.root / "warehouse.duckdb").unlink()
    trigger = claimed(history)
    ended(launcher(order(place, trigger)))
    found = settled(history, trigger)

    assert found.state == "done"
    assert found.error is not None
    assert found.error["slug"] == "source-file-missing"
    assert history.runs.list() == ()


def test_sigterm_cancels_a_run_as_ctrl_c_does(place: Scene, history: History, launcher: Launcher) -> None:
    place.sandbox.add_faults({"latency_ms": 100})
    trigger = claimed(history)
    child = launcher(order(place, trigger))
    until_sending(place)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGINT)  # means nothing here: the scheduler decides
    os.kill(child.pid, signal.SIGTERM)
    code = ended(child)

    assert code == 0
    assert history.runs.get(trigger.run_id).status == "cancelled"
    assert settled(history, trigger).state == "done"


@contextmanager
def scheduling(place: Scene, history: History, launcher: Launcher, grace_s: float) -> Iterator[Scheduler]:
    """A scheduler in a thread, which is stopped at the end of the block."""
    files, stop = ProjectFiles(place.root, place.state_dir, {}), threading.Event()
    scheduler = Scheduler(files, history, SystemClock(), Random(1), launcher)  # noqa: S311
    thread = threading.Thread(target=lambda: scheduler.run(stop, grace_s=grace_s))
    thread.start()
    try:
        yield scheduler
    finally:
        stop.set()
        thread.join()


def test_a_run_that_is_killed_is_settled_and_gone_on_with(place: Scene, history: History, launcher: Launcher) -> None:
    place.sandbox.add_faults({"latency_ms": 50})
    asked = history.triggers.ask(ACCOUNTS, trigger="web")
    with scheduling(place, history, launcher, grace_s=60):
        until_sending(place)
        os.kill(history.runs.get(asked.run_id).pid, signal.SIGKILL)
        while len(history.runs.list()) < 2:
            time.sleep(0.01)

    first, second = reversed(history.runs.list())
    error = settled(history, asked).error
    assert (first.run_id, first.status, first.trigger) == (asked.run_id, "interrupted", "web")
    assert (second.status, second.trigger) == ("success", "recovery")
    assert error is not None
    assert error["slug"] == "run-died"
    assert place.held() == place.wanted()


def test_runs_go_on_without_what_they_were_forked_from(place: Scene, history: History, launcher: Launcher) -> None:
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    place.sandbox.add_faults({"latency_ms": 50})
    asked = history.triggers.ask(ACCOUNTS, trigger="web")
    with scheduling(place, history, launcher, grace_s=60):
        until_sending(place)
        os.kill(parent_of(history.runs.get(asked.run_id).pid), signal.SIGKILL)
        while settled(history, asked).state != "done":
            time.sleep(0.01)
        later = history.triggers.ask(ACCOUNTS, trigger="web")
        while settled(history, later).state != "done":
            time.sleep(0.01)

    assert [(run.trigger, run.status) for run in history.runs.list()] == [("web", "success")] * 2


def test_a_stop_cancels_what_does_not_end_in_time_and_the_next_start_goes_on(
    place: Scene, history: History, launcher: Launcher
) -> None:
    place.sandbox.add_faults({"latency_ms": 100})
    asked = history.triggers.ask(ACCOUNTS, trigger="web")
    with scheduling(place, history, launcher, grace_s=0):
        until_sending(place)

    assert history.runs.get(asked.run_id).status == "cancelled"
    (waiting,) = history.triggers.waiting()
    assert waiting.trigger == "recovery"

    place.sandbox.clear_faults()
    with scheduling(place, history, launcher, grace_s=60):
        while settled(history, waiting).state != "done":
            time.sleep(0.01)

    assert place.held() == place.wanted()
